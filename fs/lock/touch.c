/* SPDX-License-Identifier: BSD-2-Clause */
/* A file's time of change told to the kernel, which with the write-back cache takes it from nobody but utimensat(2). */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/lock/lock_own.h"

#define WAIT_MS 1000

/* Shared by who waits and the thread; whoever is last frees it. */
struct touch {
	pthread_mutex_t mutex;
	pthread_cond_t ended;
	struct lock *lock; /* mutex; NULL: nobody waits any more */
	bool done;         /* mutex */
	uint64_t id;
	struct timespec time;
	char path[];
};

static void touch_free(struct touch *t)
{
	pthread_cond_destroy(&t->ended);
	pthread_mutex_destroy(&t->mutex);
	free(t);
}

/* Is it our own root that this thread has opened? */
static bool opened_ours(struct touch *t)
{
	pthread_mutex_lock(&t->mutex);
	bool ours = t->lock && atomic_load(&t->lock->root_opened_by) == gettid();
	pthread_mutex_unlock(&t->mutex);
	return ours;
}

static void *touch_thread(void *arg)
{
	struct touch *t = arg;
	const struct timespec ts[2] = {{0, UTIME_OMIT}, t->time};
	char name[LOCK_NAME_MAX];

	rootsync_own_descriptors();
	int fd = open(t->path, O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC);
	lock_touch_name(t->id, name);
	/* A lock may have come; nobody reads the time then. Seen to be gone, the name no longer holds a file that is removed. */
	if (fd >= 0 && opened_ours(t) && utimensat(fd, name, ts, AT_SYMLINK_NOFOLLOW) == 0) {
		struct stat st;

		(void)(fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0);
	}
	if (fd >= 0)
		close(fd);
	pthread_mutex_lock(&t->mutex);
	t->done = true;
	bool left = !t->lock;
	pthread_cond_signal(&t->ended);
	pthread_mutex_unlock(&t->mutex);
	if (left)
		touch_free(t);
	return NULL;
}

static void touch_wait(struct touch *t)
{
	struct timespec until = clock_timespec(clock_ms(CLOCK_MONOTONIC) + WAIT_MS);
	int r = 0;

	pthread_mutex_lock(&t->mutex);
	while (!t->done && !r)
		r = pthread_cond_timedwait(&t->ended, &t->mutex, &until);
	bool done = t->done;
	t->lock = NULL;
	pthread_mutex_unlock(&t->mutex);
	if (done)
		touch_free(t);
}

void lock_touch(struct lock *l, uint64_t id, const struct timespec *time)
{
	size_t len = strlen(l->cfg.mountpoint) + 1;
	struct touch *t = calloc(1, sizeof(*t) + len);
	pthread_condattr_t cond;
	pthread_attr_t attr;
	pthread_t thread;

	if (!t)
		return;
	t->lock = l;
	t->id = id;
	t->time = *time;
	memcpy(t->path, l->cfg.mountpoint, len);
	pthread_mutex_init(&t->mutex, NULL);
	pthread_condattr_init(&cond);
	pthread_condattr_setclock(&cond, CLOCK_MONOTONIC);
	pthread_cond_init(&t->ended, &cond);
	pthread_condattr_destroy(&cond);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	int r = pthread_create(&thread, &attr, touch_thread, t);
	pthread_attr_destroy(&attr);
	if (r)
		touch_free(t);
	else
		touch_wait(t);
}
