/* SPDX-License-Identifier: BSD-2-Clause */
/* syncfs(2) of our own mount: the kernel writes back in large requests, where an invalidation goes page by page. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "fs/core.h"

#define BEAT_MS 100

/*
 * Shared by the lock and the thread; whoever is last frees it. The thread opens a path, and what lies there now may be
 * anything, so nothing waits for it without a limit.
 */
struct rootsync {
	pthread_mutex_t lock;
	pthread_cond_t over;
	struct fs *fs; /* lock; NULL: nobody waits any more */
	bool done;     /* lock */
	bool last;     /* lock: no round after this one */
	char path[];
};

static void sync_free(struct rootsync *s)
{
	pthread_cond_destroy(&s->over);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* Was it our own root that this thread has opened? *WRITES is how many WRITE requests came so far. */
static bool sync_opened(struct rootsync *s, uint64_t *writes)
{
	bool ours;

	pthread_mutex_lock(&s->lock);
	ours = s->fs && atomic_load(&s->fs->root_opened_by) == gettid();
	if (ours) {
		s->last = locking_sealed(s->fs);
		*writes = atomic_load(&s->fs->writes);
	}
	pthread_mutex_unlock(&s->lock);
	return ours;
}

/*
 * Did the last round bring a WRITE? When WRITE was closed meanwhile, one more round and no other: what has become dirty
 * since is refused in large requests then, and not page by page in a pass; but a write(2) under way has no end.
 */
static bool sync_again(struct rootsync *s, uint64_t *writes)
{
	uint64_t before = *writes;
	bool again;

	pthread_mutex_lock(&s->lock);
	again = s->fs && !s->last;
	if (again) {
		s->last = locking_sealed(s->fs);
		*writes = atomic_load(&s->fs->writes);
	}
	pthread_mutex_unlock(&s->lock);
	return again && *writes != before;
}

static void *sync_thread(void *arg)
{
	struct rootsync *s = arg;
	int fd = open(s->path, O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC);
	uint64_t writes;
	bool left;

	if (fd >= 0 && sync_opened(s, &writes)) {
		do
			(void)syncfs(fd); /* what could not be written is told by the inodes themselves */
		while (sync_again(s, &writes));
	}
	if (fd >= 0)
		close(fd);
	pthread_mutex_lock(&s->lock);
	s->done = true;
	left = !s->fs;
	pthread_cond_signal(&s->over);
	pthread_mutex_unlock(&s->lock);
	if (left)
		sync_free(s);
	return NULL;
}

struct rootsync *rootsync_start(struct fs *fs)
{
	size_t len = strlen(fs->cfg.mountpoint) + 1;
	struct rootsync *s = calloc(1, sizeof(*s) + len);
	pthread_condattr_t cond;
	pthread_attr_t attr;
	pthread_t thread;
	int r;

	if (!s)
		return NULL;
	s->fs = fs;
	memcpy(s->path, fs->cfg.mountpoint, len);
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&cond);
	pthread_condattr_setclock(&cond, CLOCK_MONOTONIC);
	pthread_cond_init(&s->over, &cond);
	pthread_condattr_destroy(&cond);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	r = pthread_create(&thread, &attr, sync_thread, s);
	pthread_attr_destroy(&attr);
	if (!r)
		return s;
	sync_free(s);
	return NULL;
}

static void wait_a_beat(struct rootsync *s)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_nsec += BEAT_MS * 1000000;
	if (ts.tv_nsec >= 1000000000) {
		ts.tv_sec++;
		ts.tv_nsec -= 1000000000;
	}
	pthread_cond_timedwait(&s->over, &s->lock, &ts);
}

void rootsync_end(struct fs *fs, struct rootsync *s, int64_t until)
{
	bool done;

	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	while (!s->done && locking_now() < until) {
		wait_a_beat(s);
		locking_beat(fs);
	}
	done = s->done;
	s->fs = NULL;
	pthread_mutex_unlock(&s->lock);
	if (done)
		sync_free(s);
	else
		fs->cfg.log(LOG_WARNING, "locking: syncfs of the mount point does not come back; going on without it");
}
