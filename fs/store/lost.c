/* SPDX-License-Identifier: BSD-2-Clause */
/* The list of what was lost: its beginning and end, and the thread that brings its file after what is in memory. */
#include "fs/store/lost.h"

#include <errno.h>
#include <stdlib.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "fs/store/lost_own.h"

#define PAUSE_US \
	10000      /* a lock may refuse thousands of writes in a moment: whoever does is not to wait for each plan */
#define LINGER_S 1 /* so long an entry that is not wanted may wait for others; a close or fsync takes it along */

/* Under io. */
static int sync_file(struct lost *l)
{
	if (l->fd < 0 || !atomic_exchange(&l->unsynced, false))
		return 0;
	int r = fdatasync(l->fd) < 0 ? -errno : 0;
	if (r)
		atomic_store(&l->unsynced, true);
	return r;
}

int lost_sync(struct lost *l, bool durable)
{
	if (!l || !l->key || l->cfg.read_only)
		return 0;
	pthread_mutex_lock(&l->io);
	int r = lost_mirror(l, true);
	if (r == 0 && durable)
		r = sync_file(l);
	pthread_mutex_unlock(&l->io);
	return r;
}

/*
 * Until there is something to do, under the lock; what only takes away may wait, and so may what has just FAILED. True: it has. As long
 * as anything is lost it is looked once in a while whether the file is there.
 */
static bool await(struct lost *l, bool failed)
{
	struct timespec until;

	if (l->queue && !failed)
		return false;
	if (!l->queue && !l->cuts && !atomic_load(&l->unsynced) && l->n_files == 0) {
		pthread_cond_wait(&l->wake, &l->lock);
		return false;
	}
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += LINGER_S;
	return pthread_cond_timedwait(&l->wake, &l->lock, &until) == ETIMEDOUT;
}

static void *keep(void *arg)
{
	struct lost *l = arg;
	bool failed = false;

	pthread_mutex_lock(&l->lock);
	while (!l->stop) {
		bool late = await(l, failed);

		if (l->stop)
			break;
		pthread_mutex_unlock(&l->lock);
		pthread_mutex_lock(&l->io);
		failed = lost_mirror(l, late) != 0; /* tried again; a close or fsync tells */
		if (late)
			failed = sync_file(l) != 0 || failed;
		pthread_mutex_unlock(&l->io);
		usleep(PAUSE_US);
		pthread_mutex_lock(&l->lock);
	}
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

int lost_start(struct lost *l)
{
	int r = l->key && !l->cfg.read_only ? -pthread_create(&l->thread, NULL, keep, l) : 0;

	l->running = r == 0 && l->key && !l->cfg.read_only;
	return r;
}

static void stop(struct lost *l)
{
	pthread_mutex_lock(&l->lock);
	l->stop = true;
	pthread_cond_signal(&l->wake);
	pthread_mutex_unlock(&l->lock);
	if (l->running)
		pthread_join(l->thread, NULL);
}

int lost_new(struct lost **out)
{
	struct lost *l = calloc(1, sizeof(*l));
	pthread_condattr_t attr;

	if (!l)
		return -ENOMEM;
	pthread_mutex_init(&l->lock, NULL);
	pthread_mutex_init(&l->io, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&l->wake, &attr);
	pthread_condattr_destroy(&attr);
	l->fd = -1;
	*out = l;
	return 0;
}

int lost_open(const struct lost_config *cfg, struct lost_key *key, struct lost **out)
{
	struct lost *l;
	int r = lost_new(&l);

	if (r)
		return r;
	l->cfg = *cfg;
	l->key = key;
	r = lost_load(l);
	if (r) {
		l->key = NULL; /* the caller's still */
		lost_free(l);
		return r;
	}
	*out = l;
	return 0;
}

void lost_free(struct lost *l)
{
	if (!l)
		return;
	stop(l);
	if (!l->cfg.read_only && lost_sync(l, true) && l->cfg.log)
		l->cfg.log(LOG_ERR, "the list of what was lost could not be written to its end");
	auto_close(&l->fd);
	lost_key_free(l->key);
	for (size_t i = 0; i < l->n_files; i++)
		lost_file_free(l->file[i]);
	free(l->file);
	pthread_cond_destroy(&l->wake);
	pthread_mutex_destroy(&l->io);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

int lost_make(int own_fd, const struct store_keys *keys, uint64_t session)
{
	const struct lost_config cfg = {.own_fd = own_fd, .data_fd = own_fd, .session = session};
	struct lost_key *key = NULL;
	struct lost *l = NULL;
	int r = lost_key_new(keys, &key);

	if (!r)
		r = lost_new(&l);
	if (r) {
		lost_key_free(key);
		return r;
	}
	l->cfg = cfg;
	l->key = key;
	l->head.session = session;
	r = lost_make_anew(l);
	lost_free(l);
	return r;
}
