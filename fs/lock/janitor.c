/* SPDX-License-Identifier: BSD-2-Clause */
/* The janitor's threads: what is due is done, then they wait for the next. */
#include "fs/lock/janitor.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "fs/lock/janitor_own.h"
#include "fs/lock/lock_own.h"

static void wait_until(struct janitor *j, int64_t when)
{
	const struct timespec ts = clock_timespec(when);

	if (when == NEVER)
		pthread_cond_wait(&j->wake, &j->mutex);
	else
		pthread_cond_timedwait(&j->wake, &j->mutex, &ts);
}

static void *janitor_main(void *arg)
{
	struct janitor *j = arg;

	lock_hurry(); /* a write(2) that fills pages does not wait */
	pthread_mutex_lock(&j->mutex);
	while (!j->stop) {
		int64_t now = clock_ms(CLOCK_MONOTONIC), next = NEVER;
		struct entry *e = janitor_entry_due(j, now, &next);

		if (e)
			janitor_entry_run(j, e);
		else if (!janitor_chore_run(j, now, &next))
			wait_until(j, next);
	}
	pthread_mutex_unlock(&j->mutex);
	return NULL;
}

int janitor_start(struct lock *l)
{
	struct janitor *j = calloc(1, sizeof(*j));
	pthread_condattr_t attr;

	if (!j)
		return -ENOMEM;
	j->lock = l;
	j->watch_pause = PAUSE_MS;
	j->sync_pause = SYNC_PAUSE_MS;
	for (unsigned i = 0; i < N_CHORES; i++)
		j->chore[i].due = NEVER;
	pthread_mutex_init(&j->mutex, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&j->wake, &attr);
	pthread_condattr_destroy(&attr);
	l->janitor = j;
	while (j->n_threads < JANITOR_THREADS && pthread_create(&j->thread[j->n_threads], NULL, janitor_main, j) == 0)
		j->n_threads++;
	if (j->n_threads > 0)
		return 0;
	janitor_free(l);
	return -EAGAIN;
}

void janitor_stop(struct lock *l)
{
	struct janitor *j = l->janitor;

	if (!j)
		return;
	pthread_mutex_lock(&j->mutex);
	j->stop = true;
	pthread_cond_broadcast(&j->wake);
	pthread_mutex_unlock(&j->mutex);
	while (j->n_threads > 0)
		pthread_join(j->thread[--j->n_threads], NULL);
}

void janitor_free(struct lock *l)
{
	struct janitor *j = l->janitor;

	if (!j)
		return;
	pthread_cond_destroy(&j->wake);
	pthread_mutex_destroy(&j->mutex);
	l->janitor = NULL;
	free(j);
}
