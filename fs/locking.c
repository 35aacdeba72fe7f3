/* SPDX-License-Identifier: BSD-2-Clause */
/* Locking is not done until the kernel has forgotten: the passes over every inode that it knows (design: section 6). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "fs/core.h"

#define PASS_THREADS 4u
#define BATCH 256u
#define HANDLERS_WAIT_MS 1000u /* past the drain limit */
#define RETRIES_MAX 4096u

/* One pass over one class of inodes, shared by its threads. */
struct pass {
	struct fs *fs;
	enum node_class class;
	pthread_mutex_t lock;
	uint64_t next;              /* lock */
	uint64_t absent[RETRIES_MAX]; /* lock: ENOENT, a reply may still be under way */
	size_t n_absent;
};

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void sleep_ms(unsigned ms)
{
	nanosleep(&(struct timespec){ms / 1000, (long)(ms % 1000) * 1000000}, NULL);
}

static void *pass_thread(void *arg)
{
	struct pass *p = arg;
	uint64_t ids[BATCH];

	for (;;) {
		size_t n;

		pthread_mutex_lock(&p->lock);
		n = nodes_collect(&p->fs->nodes, p->class, &p->next, ids, BATCH);
		pthread_mutex_unlock(&p->lock);
		if (n == 0)
			return NULL;
		/* no lock is held here: with dirty pages the kernel waits for our own WRITE handlers */
		for (size_t i = 0; i < n; i++) {
			if (loop_invalidate(p->fs, ids[i], 0, 0) != -ENOENT)
				continue;
			pthread_mutex_lock(&p->lock);
			if (p->n_absent < RETRIES_MAX)
				p->absent[p->n_absent++] = ids[i];
			pthread_mutex_unlock(&p->lock);
		}
	}
}

/* An id that the kernel did not know yet: its reply was under way. */
static void pass_again(struct pass *p)
{
	static const unsigned wait_ms[] = {10, 100};

	for (size_t w = 0; w < ARRAY_LEN(wait_ms) && p->n_absent > 0; w++) {
		size_t left = 0;

		sleep_ms(wait_ms[w]);
		for (size_t i = 0; i < p->n_absent; i++) {
			struct node *n = node_get(&p->fs->nodes, p->absent[i]);

			if (n && loop_invalidate(p->fs, p->absent[i], 0, 0) == -ENOENT)
				p->absent[left++] = p->absent[i];
		}
		p->n_absent = left;
	}
}

static void pass_run(struct fs *fs, enum node_class class, bool again)
{
	struct pass *p = calloc(1, sizeof(*p));
	pthread_t thread[PASS_THREADS];
	unsigned n;

	if (!p) {
		fs->cfg.log(LOG_CRIT, "locking: out of memory, cached pages may stay until their timeout");
		return;
	}
	p->fs = fs;
	p->class = class;
	p->next = 1;
	pthread_mutex_init(&p->lock, NULL);
	for (n = 0; n < PASS_THREADS - 1; n++)
		if (pthread_create(&thread[n], NULL, pass_thread, p))
			break;
	pass_thread(p);
	while (n > 0)
		pthread_join(thread[--n], NULL);
	if (again)
		pass_again(p);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

/* The drain limit bounds sealing, never the passes: when it has passed, WRITE is refused and they end by themselves. */
struct limit {
	struct fs *fs;
	unsigned ms;
	pthread_mutex_t lock;
	pthread_cond_t over;
	bool done; /* lock */
	bool started;
};

static void *limit_thread(void *arg)
{
	struct limit *l = arg;
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += l->ms / 1000;
	until.tv_nsec += (long)(l->ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&l->lock);
	while (!l->done && pthread_cond_timedwait(&l->over, &l->lock, &until) == 0)
		;
	atomic_store(&l->fs->write_closed, true);
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

static void limit_start(struct limit *l, struct fs *fs, unsigned ms, pthread_t *thread)
{
	pthread_condattr_t attr;

	*l = (struct limit){.fs = fs, .ms = ms};
	pthread_mutex_init(&l->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&l->over, &attr);
	pthread_condattr_destroy(&attr);
	l->started = pthread_create(thread, NULL, limit_thread, l) == 0;
	if (!l->started)
		atomic_store(&fs->write_closed, true); /* no limit without its thread: nothing more is sealed */
}

static void limit_end(struct limit *l, pthread_t thread)
{
	pthread_mutex_lock(&l->lock);
	l->done = true;
	pthread_cond_signal(&l->over);
	pthread_mutex_unlock(&l->lock);
	if (l->started)
		pthread_join(thread, NULL);
	pthread_cond_destroy(&l->over);
	pthread_mutex_destroy(&l->lock);
}

/* Steps 3 and 4: contents first, what is open for writing before all; then again until no WRITE came. */
static void write_back(struct fs *fs)
{
	uint64_t before;

	for (enum node_class c = NODE_WRITTEN; c <= NODE_OTHER; c++)
		pass_run(fs, c, false);
	do {
		before = atomic_load(&fs->writes);
		pass_run(fs, NODE_WRITTEN, false);
	} while (atomic_load(&fs->writes) != before && !atomic_load(&fs->write_closed));
}

void locking_drain(void *arg, unsigned drain_ms)
{
	struct fs *fs = arg;
	uint64_t start = now_ms(), lost = atomic_load(&fs->refused_writes);
	struct limit limit;
	pthread_t thread = 0;
	char text[160];

	atomic_store(&fs->write_closed, false);
	limit_start(&limit, fs, drain_ms, &thread);
	write_back(fs);
	limit_end(&limit, thread);
	gate_drain_end(fs->gate);
	/* Step 5: whoever is still inside is waited for, so that pass 3 sees every page that was filled. */
	while (atomic_load(&fs->in_flight) > 0 && now_ms() - start < drain_ms + HANDLERS_WAIT_MS)
		sleep_ms(1);
	for (enum node_class c = NODE_WRITTEN; c <= NODE_OTHER; c++)
		pass_run(fs, c, true);
	snprintf(text, sizeof(text), "locking: %llu inodes forgotten by the kernel in %llu ms, %llu page writes refused",
		 (unsigned long long)atomic_load(&fs->nodes.known), (unsigned long long)(now_ms() - start),
		 (unsigned long long)(atomic_load(&fs->refused_writes) - lost));
	fs->cfg.log(LOG_NOTICE, text);
}
