/* SPDX-License-Identifier: BSD-2-Clause */
/* A check's queue of files: the walk puts, the workers take. */
#include <stdlib.h>
#include <string.h>

#include "fs/check/check_own.h"

void check_push(struct check_run *run, struct check_dir *dir, const char *name, char *plain)
{
	pthread_mutex_lock(&run->lock);
	while (run->count == CHECK_QUEUE && !atomic_load(&run->stop))
		pthread_cond_wait(&run->drained, &run->lock);
	if (run->count == CHECK_QUEUE) {
		pthread_mutex_unlock(&run->lock);
		free(plain);
		return;
	}
	struct check_job *job = &run->queue[(run->first + run->count++) % CHECK_QUEUE];
	job->dir = check_dir_get(dir);
	job->plain = plain;
	memcpy(job->name, name, strlen(name) + 1);
	pthread_cond_signal(&run->filled);
	pthread_mutex_unlock(&run->lock);
}

/* The next file, or 0 when there is none left. */
int check_take(struct check_run *run, struct check_job *job)
{
	pthread_mutex_lock(&run->lock);
	while (run->count == 0 && !run->done && !atomic_load(&run->stop))
		pthread_cond_wait(&run->filled, &run->lock);
	int got = run->count > 0;
	if (got) {
		*job = run->queue[run->first];
		run->first = (run->first + 1) % CHECK_QUEUE;
		run->count--;
		pthread_cond_signal(&run->drained);
	}
	pthread_mutex_unlock(&run->lock);
	return got;
}
