/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the undo journal's file is: made when it is first needed, missed when somebody takes it away, made again. */
#include <errno.h>
#include <stdio.h>
#include <syslog.h>
#include <time.h>

#include "fs/store/journal_own.h"
#include "fs/store/store_own.h"

/*
 * Whatever is put into a file that the next mount will not find protects nothing, and what is in it has to end: files are synced, as
 * when room is short. Nobody else puts anything meanwhile.
 */
static int end_all(struct journal *j)
{
	int r = 0;

	j->gone = true;
	while (r == 0 && j->n > 0)
		r = journal_reclaim(j);
	while (j->syncing)
		pthread_cond_wait(&j->moved, &j->lock);
	if (r)
		return r;
	int old = j->fd;
	j->fd = -1;
	j->ring_len = j->head = j->tail = 0;
	j->durable = j->written; /* who waits for a sync of it need not any more */
	j->broken = 0;
	j->gone = false;
	j->anew = true;
	pthread_cond_broadcast(&j->moved);
	pthread_mutex_unlock(&j->lock);
	journal_disk_drop(old);
	if (j->cfg.log)
		j->cfg.log(LOG_WARNING, STORE_OWN "/" STORE_JOURNAL
						  " was removed, replaced or cut while the store is mounted: what it "
						  "kept has been synced, and it is made again");
	pthread_mutex_lock(&j->lock);
	return 0;
}

static int look(struct journal *j)
{
	if (!j->gone) {
		pthread_mutex_unlock(&j->lock);
		bool in_place = journal_disk_in_place(j);
		pthread_mutex_lock(&j->lock);
		if (in_place)
			return 0;
	}
	return end_all(j);
}

static int make(struct journal *j)
{
	struct journal_file file = {0};
	char text[200];

	pthread_mutex_unlock(&j->lock);
	int r = journal_disk_make(j, &file);
	if (r == 0 && file.ring_len < j->cfg.ring_len && j->cfg.log) {
		snprintf(text, sizeof(text),
			 STORE_OWN "/" STORE_JOURNAL " has %llu MiB only: there is little room where the store lies",
			 (unsigned long long)(file.ring_len / JOURNAL_UNIT));
		j->cfg.log(LOG_NOTICE, text);
	}
	pthread_mutex_lock(&j->lock);
	if (r)
		return r;
	j->fd = file.fd;
	j->ring_len = file.ring_len;
	j->whole = file.whole;
	return 0;
}

int journal_ready(struct journal *j, bool now)
{
	struct timespec t = {0};
	int r = 0;

	while (j->making)
		pthread_cond_wait(&j->moved, &j->lock);
	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	if (j->fd >= 0 && !j->gone && !now && t.tv_sec == j->looked)
		return 0;
	j->making = true;
	if (j->fd >= 0)
		r = look(j);
	if (r == 0 && j->fd < 0)
		r = make(j);
	j->looked = t.tv_sec;
	j->making = false;
	pthread_cond_broadcast(&j->moved);
	return r;
}
