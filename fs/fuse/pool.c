/* SPDX-License-Identifier: BSD-2-Clause */
/* The pool: a queue and a few threads for each lane. */
#include "fs/fuse/pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#define POOL_THREADS_MAX 20u

struct job {
	struct job *next;
	pool_job *run;
	void *arg;
};

struct lane {
	pthread_cond_t more;
	struct job *first, **last;
};

struct pool {
	pthread_mutex_t lock;
	struct lane lane[POOL_LANES]; /* lock */
	bool stop;
	unsigned n;
	struct file_work work[POOL_THREADS_MAX];
	bool busy[POOL_THREADS_MAX]; /* lock */
	pthread_t thread[POOL_THREADS_MAX];
};

struct seat {
	struct pool *p;
	struct lane *lane;
	unsigned i;
};

static struct job *next_job(struct pool *p, struct lane *l, unsigned i)
{
	pthread_mutex_lock(&p->lock);
	p->busy[i] = false;
	while (!l->first && !p->stop)
		pthread_cond_wait(&l->more, &p->lock);
	struct job *j = l->first;
	if (j) {
		l->first = j->next;
		if (!l->first)
			l->last = &l->first;
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
	while ((j = next_job(seat.p, seat.lane, seat.i))) {
		j->run(&seat.p->work[seat.i], j->arg);
		if (seat.p->work[seat.i].dirty) /* most jobs are an fsync */
			file_work_wipe(&seat.p->work[seat.i]);
		free(j);
	}
	return NULL;
}

static int start_one(struct pool *p, struct lane *lane, const struct layout *l)
{
	struct seat *seat = malloc(sizeof(*seat));

	if (!seat)
		return -ENOMEM;
	*seat = (struct seat){p, lane, p->n};
	int r = file_work_init(&p->work[p->n], l, NULL);
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

int pool_new(const struct layout *l, const unsigned threads[POOL_LANES], struct pool **out)
{
	struct pool *p = calloc(1, sizeof(*p));
	int r = 0;

	if (!p)
		return -ENOMEM;
	pthread_mutex_init(&p->lock, NULL);
	for (unsigned lane = 0; lane < POOL_LANES; lane++) {
		pthread_cond_init(&p->lane[lane].more, NULL);
		p->lane[lane].last = &p->lane[lane].first;
	}
	for (unsigned lane = 0; lane < POOL_LANES; lane++)
		for (unsigned i = 0; !r && i < threads[lane] && p->n < POOL_THREADS_MAX; i++)
			r = start_one(p, &p->lane[lane], l);
	if (r) {
		pool_free(p);
		return r;
	}
	*out = p;
	return 0;
}

int pool_submit(struct pool *p, enum pool_lane lane, pool_job *run, void *arg)
{
	struct lane *l = &p->lane[lane];
	struct job *j = malloc(sizeof(*j));

	if (!j)
		return -ENOMEM;
	*j = (struct job){NULL, run, arg};
	pthread_mutex_lock(&p->lock);
	bool stopped = p->stop;
	if (!stopped) {
		*l->last = j;
		l->last = &j->next;
		pthread_cond_signal(&l->more);
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
	for (unsigned lane = 0; lane < POOL_LANES; lane++)
		pthread_cond_broadcast(&p->lane[lane].more);
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
	for (unsigned lane = 0; lane < POOL_LANES; lane++)
		pthread_cond_destroy(&p->lane[lane].more);
	pthread_mutex_destroy(&p->lock);
	free(p);
}
