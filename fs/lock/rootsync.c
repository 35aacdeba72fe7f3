/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a lock does through the mount itself: syncfs(2), for the kernel writes back in large requests, where an invalidation
 * goes page by page; and look-ups that take the time from the attributes which the kernel keeps.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fs/lock/lock_own.h"
#include "fs/lock/pass.h"

#define BEAT_MS 100
#define END_WAIT_MS 1000
#define OPEN_TRIES 5
#define NAME_PREFIX ".byokfs:ask:"
#define TOUCH_PREFIX ".byokfs:touch:"
#define BATCH 64u
#define ASK_MS 500

/*
 * Shared by who started it and the thread; whoever is last frees it. The thread opens a path, and what lies there now may be
 * anything, so nothing waits for it without a limit.
 */
struct rootsync {
	pthread_mutex_t mutex;
	pthread_cond_t news;
	struct lock *lock; /* mutex; NULL: nobody waits any more */
	enum rootsync_kind kind;
	bool wanted;     /* mutex: rounds, until settled */
	bool stop, done; /* mutex */
	char path[];
};

static void sync_free(struct rootsync *s)
{
	pthread_cond_destroy(&s->news);
	pthread_mutex_destroy(&s->mutex);
	free(s);
}

/* Is it our own root that this thread has opened, and did no other thread of ours open it since? */
static bool sync_opened(struct rootsync *s)
{
	pthread_mutex_lock(&s->mutex);
	bool ours = s->lock && atomic_load(&s->lock->root_opened_by) == gettid();
	pthread_mutex_unlock(&s->mutex);
	return ours;
}

/* Before a round: how many WRITE requests came so far, and may more be admitted? False: it is over. */
static bool round_begin(struct rootsync *s, uint64_t *writes, bool *sealed)
{
	pthread_mutex_lock(&s->mutex);
	while (s->lock && !s->stop && !s->wanted)
		pthread_cond_wait(&s->news, &s->mutex);
	bool go = s->lock && !s->stop;
	if (go) {
		*writes = atomic_load(&s->lock->writes);
		*sealed = lock_sealed(s->lock);
	}
	pthread_mutex_unlock(&s->mutex);
	return go;
}

static void round_end(struct rootsync *s, uint64_t writes, bool sealed)
{
	pthread_mutex_lock(&s->mutex);
	if (sealed || (s->lock && atomic_load(&s->lock->writes) == writes)) {
		s->wanted = false;
		pthread_cond_broadcast(&s->news);
	}
	pthread_mutex_unlock(&s->mutex);
}

static void sync_rounds(struct rootsync *s, int fd)
{
	uint64_t writes;
	bool sealed;

	while (round_begin(s, &writes, &sealed)) {
		(void)syncfs(fd); /* what could not be written is told by the inodes themselves */
		round_end(s, writes, sealed);
	}
}

static uint64_t id_behind(const char *prefix, const char *name)
{
	const size_t len = strlen(prefix);

	if (strncmp(name, prefix, len) != 0 || name[len] < '1' || name[len] > '9')
		return 0;
	char *end;
	uint64_t id = strtoull(name + len, &end, 10);
	return *end ? 0 : id;
}

uint64_t lock_asked_id(const char *name)
{
	return id_behind(NAME_PREFIX, name);
}

uint64_t lock_touched_id(const char *name)
{
	return id_behind(TOUCH_PREFIX, name);
}

void lock_touch_name(uint64_t id, char name[LOCK_NAME_MAX])
{
	snprintf(name, LOCK_NAME_MAX, TOUCH_PREFIX "%" PRIu64, id);
}

/* The next of the files open for writing. */
static size_t written_ids(struct rootsync *s, uint64_t *next, uint64_t ids[BATCH])
{
	size_t n = 0;

	pthread_mutex_lock(&s->mutex);
	if (s->lock && !s->stop)
		n = pass_writable(s->lock, next, ids, BATCH);
	pthread_mutex_unlock(&s->mutex);
	return n;
}

/* Does anybody still wait for S? */
static bool goes_on(struct rootsync *s)
{
	pthread_mutex_lock(&s->mutex);
	bool go = s->lock && !s->stop;
	pthread_mutex_unlock(&s->mutex);
	return go;
}

/*
 * A write(2) inside the kernel goes on to fill pages that a read(2) would find there. The kernel asks for attributes before
 * it reads from them, when those it has are past their time - an invalidation of them is not enough for a size that it
 * keeps itself (Linux 6.18, fuse_update_get_attr()) -, and only a reply can say what time they have. So look the file up,
 * by its number, and let the reply say: none. It is thrown away when the inode was invalidated while it was under way, and the
 * janitor may do so all the time. So this statx(2) wants the size, as a read(2) does, and has an answer of its own
 * (op_getattr()) when the kernel does ask.
 */
static bool is_asked_for(int fd, uint64_t id)
{
	char name[LOCK_NAME_MAX];
	struct statx x;

	snprintf(name, sizeof(name), NAME_PREFIX "%" PRIu64, id);
	if (statx(fd, name, AT_SYMLINK_NOFOLLOW, STATX_SIZE, &x) == 0)
		return false;
	return errno == LOCK_ASKED || errno == ENOENT; /* it may be closed by now */
}

/* From now on nothing is invalidated page by page until UNTIL; 0: it is done. */
static void asking(struct rootsync *s, int64_t until)
{
	pthread_mutex_lock(&s->mutex);
	if (s->lock && !s->stop) {
		atomic_store(&s->lock->ask_until, until);
		atomic_store(&s->lock->asked, until == 0);
	}
	pthread_mutex_unlock(&s->mutex);
}

static void ask_first(struct rootsync *s, int fd)
{
	uint64_t ids[BATCH], next = 1;
	size_t n;

	asking(s, clock_ms(CLOCK_BOOTTIME) + ASK_MS);
	while ((n = written_ids(s, &next, ids)) > 0)
		for (size_t i = 0; i < n; i++)
			while (!is_asked_for(fd, ids[i]) && goes_on(s))
				clock_pause(1);
	asking(s, 0);
}

/* The root of our mount, or -1. */
static int sync_open(struct rootsync *s)
{
	for (int i = 0; i < OPEN_TRIES; i++) {
		int fd = open(s->path, O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC);

		if (fd < 0 || sync_opened(s))
			return fd;
		close(fd);
	}
	return -1;
}

void rootsync_own_descriptors(void)
{
	if (unshare(CLONE_FILES) == 0)
		(void)(close_range(3, ~0u, 0) == 0);
}

static void *sync_thread(void *arg)
{
	struct rootsync *s = arg;

	rootsync_own_descriptors();
	int fd = sync_open(s);
	if (fd >= 0 && s->kind == ROOTSYNC_ASK_FIRST)
		ask_first(s, fd);
	if (fd >= 0) {
		sync_rounds(s, fd);
		close(fd);
	}
	pthread_mutex_lock(&s->mutex);
	s->done = true;
	bool left = !s->lock;
	pthread_cond_broadcast(&s->news);
	pthread_mutex_unlock(&s->mutex);
	if (left)
		sync_free(s);
	return NULL;
}

struct rootsync *rootsync_start(struct lock *l, enum rootsync_kind kind)
{
	size_t len = strlen(l->cfg.mountpoint) + 1;
	struct rootsync *s = calloc(1, sizeof(*s) + len);
	pthread_condattr_t cond;
	pthread_attr_t attr;
	pthread_t thread;

	if (!s)
		return NULL;
	s->lock = l;
	s->kind = kind;
	s->wanted = true;
	memcpy(s->path, l->cfg.mountpoint, len);
	pthread_mutex_init(&s->mutex, NULL);
	pthread_condattr_init(&cond);
	pthread_condattr_setclock(&cond, CLOCK_MONOTONIC);
	pthread_cond_init(&s->news, &cond);
	pthread_condattr_destroy(&cond);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	int r = pthread_create(&thread, &attr, sync_thread, s);
	pthread_attr_destroy(&attr);
	if (!r)
		return s;
	sync_free(s);
	return NULL;
}

static void wait_a_beat(struct rootsync *s)
{
	struct timespec ts = clock_timespec(clock_ms(CLOCK_MONOTONIC) + BEAT_MS);

	pthread_cond_timedwait(&s->news, &s->mutex, &ts);
}

bool rootsync_settle(struct rootsync *s, struct lock *l, int64_t until)
{
	if (!s)
		return true;
	pthread_mutex_lock(&s->mutex);
	s->wanted = true;
	pthread_cond_broadcast(&s->news);
	while (s->wanted && !s->done && clock_ms(CLOCK_BOOTTIME) < until) {
		wait_a_beat(s);
		lock_beat(l);
	}
	bool settled = !s->wanted || s->done;
	pthread_mutex_unlock(&s->mutex);
	return settled;
}

void rootsync_end(struct rootsync *s, struct lock *l)
{
	int64_t until = clock_ms(CLOCK_BOOTTIME) + END_WAIT_MS;

	if (!s)
		return;
	pthread_mutex_lock(&s->mutex);
	s->stop = true;
	pthread_cond_broadcast(&s->news);
	while (!s->done && !s->wanted && clock_ms(CLOCK_BOOTTIME) < until) {
		wait_a_beat(s);
		lock_beat(l);
	}
	bool done = s->done;
	s->lock = NULL;
	pthread_cond_broadcast(&s->news);
	pthread_mutex_unlock(&s->mutex);
	if (done)
		sync_free(s);
}
