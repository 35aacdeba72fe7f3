/* SPDX-License-Identifier: BSD-2-Clause */
/* Passes over the inode table: in batches, on a few threads. */
#include "fs/lock/pass.h"

#include <errno.h>

#include "fs/lock/lock_own.h"

#define BATCH 256u
#define RETRIES_MAX 512u /* per pass; what is more is told at once */

/* A pass under way, shared by its threads. */
struct pass {
	struct lock *lock;
	struct pass_order order;
	pthread_mutex_t mutex;
	uint64_t next;                /* mutex */
	uint64_t absent[RETRIES_MAX]; /* mutex: ENOENT, a reply may still be under way */
	size_t n_absent;
};

static int forget(const struct pass *p, uint64_t id)
{
	if (p->order.attributes_only)
		return lock_forget_inode(p->lock, id, -1, 0);
	return p->order.class == NODE_WRITTEN ? lock_forget(p->lock, id) : lock_forget_inode(p->lock, id, 0, 0);
}

static void beat(const struct pass *p)
{
	if (p->order.beat)
		lock_beat(p->lock);
}

static void absent(struct pass *p, uint64_t id)
{
	pthread_mutex_lock(&p->mutex);
	bool kept = p->n_absent < RETRIES_MAX;
	if (kept)
		p->absent[p->n_absent++] = id;
	pthread_mutex_unlock(&p->mutex);
	if (!kept)
		p->order.absent(p->lock, id);
}

static void *pass_thread(void *arg)
{
	struct pass *p = arg;
	uint64_t ids[BATCH];

	for (;;) {
		pthread_mutex_lock(&p->mutex);
		size_t n = nodes_collect(p->lock->cfg.nodes, p->order.class, &p->next, ids, BATCH);
		pthread_mutex_unlock(&p->mutex);
		if (n == 0)
			return NULL;
		/* no lock is held here: with dirty pages the kernel waits for our own WRITE handlers */
		for (size_t i = 0; i < n; i++)
			if (forget(p, ids[i]) == -ENOENT && p->order.absent)
				absent(p, ids[i]);
		beat(p);
	}
}

/* An id that the kernel did not know yet: its reply was under way. Later repeats hold nobody up. */
static void try_again(struct pass *p)
{
	static const unsigned wait_ms[] = {10, 100};

	for (size_t w = 0; w < ARRAY_LEN(wait_ms) && p->n_absent > 0; w++) {
		size_t left = 0;

		clock_pause(wait_ms[w]);
		for (size_t i = 0; i < p->n_absent; i++) {
			uint64_t id = p->absent[i];

			if (node_live(p->lock->cfg.nodes, id) && forget(p, id) == -ENOENT)
				p->absent[left++] = id;
		}
		p->n_absent = left;
		beat(p);
	}
	for (size_t i = 0; i < p->n_absent; i++)
		p->order.absent(p->lock, p->absent[i]);
}

void pass_run(struct lock *l, const struct pass_order *o)
{
	struct pass p = {.lock = l, .order = *o, .next = 1};
	pthread_t thread[PASS_THREADS_MAX];
	unsigned n = 0;

	pthread_mutex_init(&p.mutex, NULL);
	while (n + 1 < o->threads && pthread_create(&thread[n], NULL, pass_thread, &p) == 0)
		n++;
	pass_thread(&p);
	while (n > 0)
		pthread_join(thread[--n], NULL);
	try_again(&p);
	pthread_mutex_destroy(&p.mutex);
}

size_t pass_writable(struct lock *l, uint64_t *next, uint64_t *ids, size_t max)
{
	size_t n, left = 0;

	while (left == 0 && (n = nodes_collect(l->cfg.nodes, NODE_WRITTEN, next, ids, max)) > 0)
		for (size_t i = 0; i < n; i++)
			if (lock_writable(l, ids[i], NULL))
				ids[left++] = ids[i];
	return left;
}
