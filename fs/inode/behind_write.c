/* SPDX-License-Identifier: BSD-2-Clause */
/* The threads that write what is behind: in the order of each file, side by side what does not meet. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/inode/behind_own.h"
#include "fs/inode/file_own.h"
#include "fs/inode/times.h"

/* The first change of F that may be made now, or NULL. */
static struct behind_job *next_of(const struct file *f)
{
	struct behind_job *j = f->behind.first;

	while (j && j->running && !j->alone)
		j = j->next;
	if (!j || j->running || (j->alone && j != f->behind.first))
		return NULL;
	return j;
}

static struct behind_job *next(const struct behind *b, struct file **out)
{
	struct behind_job *j = NULL;

	for (struct file *f = b->files; f && !j; f = f->behind.next) {
		*out = f;
		j = next_of(f);
	}
	return j;
}

/* Does J move the end of F, or write over it? */
static bool ends(const struct file *f, const struct behind_job *j)
{
	const struct layout *l = &f->env->layout;
	uint64_t end = layout_record_off(l, f->behind.stored / l->block_len);
	bool ends = j->in.disk_size != INFLIGHT_KEEP_SIZE;

	for (uint32_t i = 0; i < j->in.n_extents; i++)
		ends = ends || j->in.extent[i].disk_off + j->in.extent[i].len > end;
	return ends;
}

/* J was answered well. What is not there reads as lost; a file whose end nobody knows any more, as broken, until it is opened anew. */
static void has_failed(const struct behind_config *cfg, struct file *f, const struct behind_job *j, int r)
{
	if (!f->broken && ends(f, j)) {
		f->broken = true;
		atomic_store(&f->env->half_done, true);
		(void)file_corrupt(f, "a write that a lock had sealed failed, and the end with it; block",
				   f->behind.stored / f->env->layout.block_len);
	}
	atomic_store(&f->behind.error, r);
	if (j->plain_len)
		cfg->failed(cfg->arg, f, j->off, j->plain_len, r);
}

static int carry_out(struct behind_thread *t, struct file *f, struct behind_job *j)
{
	int r = -EIO;

	if (!f->broken) {
		memcpy(inflight_data(t->work.slot), j->data, j->len);
		r = file_commit(f, &t->work, &j->in);
		file_committed(f, &t->work, r);
	}
	if (r)
		has_failed(&t->behind->cfg, f, j, r);
	else if (j->plain_len)
		file_found(f, j->off, j->off + j->plain_len);
	return r;
}

static void take_out(struct behind *b, struct file *f, struct behind_job *j, bool made)
{
	struct behind_queue *q = &f->behind;
	struct behind_job **at = &q->first, *before = NULL;

	while (*at != j) {
		before = *at;
		at = &before->next;
	}
	*at = j->next;
	if (q->last == j)
		q->last = before;
	if (made)
		q->stored = j->size;
	q->done++;
	atomic_fetch_sub(&b->bytes, j->len);
	free(j);
}

/* The last one of F is made: it goes from the list, and is held no more. Gives the lock up meanwhile. */
static void let_go(struct behind *b, struct file *f)
{
	struct file_env *env = b->cfg.env;
	struct node *n = f->node;
	struct file **at = &b->files;

	while (*at != f)
		at = &(*at)->behind.next;
	*at = f->behind.next;
	pthread_mutex_unlock(&b->lock);
	times_settle(env, n, f->fd);
	file_close(f, false);
	node_unpin(env->nodes, n);
	pthread_mutex_lock(&b->lock);
}

static void *thread_main(void *arg)
{
	struct behind_thread *t = arg;
	struct behind *b = t->behind;
	struct file *f = NULL;

	pthread_mutex_lock(&b->lock);
	while (b->files || !b->stopping) {
		struct behind_job *j = next(b, &f);
		if (!j) {
			pthread_cond_wait(&b->changed, &b->lock);
			continue;
		}
		j->running = true;
		pthread_mutex_unlock(&b->lock);
		int r = carry_out(t, f, j);
		pthread_mutex_lock(&b->lock);
		take_out(b, f, j, r == 0);
		if (atomic_fetch_sub(&f->behind.n, 1) == 1)
			let_go(b, f);
		pthread_cond_broadcast(&b->changed);
	}
	pthread_mutex_unlock(&b->lock);
	return NULL;
}

static int thread_start(struct behind *b)
{
	struct behind_thread *t = &b->thread[b->n_threads];

	t->behind = b;
	int r = file_work_init(&t->work, &b->cfg.env->layout, b->slots + b->n_threads * b->cfg.slot_len);
	if (r)
		return r;
	t->work.slot_no = b->cfg.slot_no + b->n_threads;
	r = -pthread_create(&t->thread, NULL, thread_main, t);
	if (r)
		file_work_free(&t->work);
	else
		b->n_threads++;
	return r;
}

int behind_start(struct behind *b, const struct behind_config *cfg)
{
	int r = 0;

	b->cfg = *cfg;
	b->slots = calloc(BEHIND_THREADS, cfg->slot_len);
	if (!b->slots)
		return -ENOMEM;
	while (!r && b->n_threads < BEHIND_THREADS)
		r = thread_start(b);
	return b->n_threads > 0 ? 0 : r;
}

void behind_stop(struct behind *b)
{
	pthread_mutex_lock(&b->lock);
	b->stopping = true;
	atomic_store(&b->on, false);
	pthread_cond_broadcast(&b->changed);
	pthread_mutex_unlock(&b->lock);
	for (unsigned i = 0; i < b->n_threads; i++) {
		pthread_join(b->thread[i].thread, NULL);
		file_work_free(&b->thread[i].work);
	}
	b->n_threads = 0;
	free(b->slots);
	b->slots = NULL;
}
