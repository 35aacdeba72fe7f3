/* SPDX-License-Identifier: BSD-2-Clause */
/* The pool: a queue and a few threads. */
#include "fs/pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#define POOL_THREADS_MAX 16u

struct job {
	struct job *next;
	pool_job *run;
	void *arg;
};

struct pool {
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct job *first, **last;
	bool stop;
	unsigned n;
	struct file_work work[POOL_THREADS_MAX];
	bool busy[POOL_THREADS_MAX];  /* lock */
	pthread_t thread[POOL_THREADS_MAX];
};

struct seat {
	struct pool *p;
	unsigned i;
};

static struct job *next_job(struct pool *p, unsigned i)
{
	struct job *j;

	pthread_mutex_lock(&p->lock);
	p->busy[i] = false;
	while (!p->first && !p->stop)
		pthread_cond_wait(&p->more, &p->lock);
	j = p->first;
	if (j) {
		p->first = j->next;
		if (!p->first)
			p->last = &p->first;
		p->busy[i] = true;
	}
	pthread_mutex_unlock(&p->lock);
	return j;
}

static void *pool_main(void *arg)
{
	struct seat seat = *(struct seat *)arg;
	struct job *j;

	free(arg);
	while ((j = next_job(seat.p, seat.i))) {
		j->run(&seat.p->work[seat.i], j->arg);
		if (seat.p->work[seat.i].dirty) /* most jobs are an fsync */
			file_work_wipe(&seat.p->work[seat.i]);
		free(j);
	}
	return NULL;
}

static int start_one(struct pool *p, const struct layout *l)
{
	struct seat *seat = malloc(sizeof(*seat));
	int r;

	if (!seat)
		return -ENOMEM;
	*seat = (struct seat){p, p->n};
	r = file_work_init(&p->work[p->n], l, NULL);
	if (!r)
		r = -pthread_create(&p->thread[p->n], NULL, pool_main, seat);
	if (r) {
		file_work_free(&p->work[p->n]);
		free(seat);
		return r;
	}
	p->n++;
	return 0;
}

int pool_new(const struct layout *l, unsigned threads, struct pool **out)
{
	struct pool *p = calloc(1, sizeof(*p));
	int r = 0;

	if (!p)
		return -ENOMEM;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->more, NULL);
	p->last = &p->first;
	for (unsigned i = 0; !r && i < threads && i < POOL_THREADS_MAX; i++)
		r = start_one(p, l);
	if (r) {
		pool_free(p);
		return r;
	}
	*out = p;
	return 0;
}

int pool_submit(struct pool *p, pool_job *run, void *arg)
{
	struct job *j = malloc(sizeof(*j));
	bool stopped;

	if (!j)
		return -ENOMEM;
	*j = (struct job){NULL, run, arg};
	pthread_mutex_lock(&p->lock);
	stopped = p->stop;
	if (!stopped) {
		*p->last = j;
		p->last = &j->next;
		pthread_cond_signal(&p->more);
	}
	pthread_mutex_unlock(&p->lock);
	if (stopped)
		free(j);
	return stopped ? -ECANCELED : 0;
}

void pool_wipe(struct pool *p)
{
	pthread_mutex_lock(&p->lock);
	for (unsigned i = 0; i < p->n; i++)
		if (!p->busy[i])
			file_work_wipe(&p->work[i]);
	pthread_mutex_unlock(&p->lock);
}

void pool_stop(struct pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_broadcast(&p->more);
	pthread_mutex_unlock(&p->lock);
	while (p->n > 0) {
		pthread_join(p->thread[p->n - 1], NULL);
		pthread_mutex_lock(&p->lock); /* pool_wipe() may look */
		file_work_free(&p->work[--p->n]);
		pthread_mutex_unlock(&p->lock);
	}
}

void pool_free(struct pool *p)
{
	if (!p)
		return;
	pool_stop(p);
	pthread_cond_destroy(&p->more);
	pthread_mutex_destroy(&p->lock);
	free(p);
}
