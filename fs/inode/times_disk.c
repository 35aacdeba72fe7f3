/* SPDX-License-Identifier: BSD-2-Clause */
/* Times of regular files that the kernel says, and that go to the disk. */
#include "fs/inode/times.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "fs/store/store.h"

/*
 * What is to be put on disk; *F is the open file, held against writers, or NULL where there is none: who opens it later and
 * writes sets `times_moved` again. False: nothing is to be done, or not now.
 */
static bool settle_begin(struct node *n, struct times *t, struct file **f)
{
	pthread_mutex_lock(&n->lock);
	*f = atomic_load(&n->file);
	bool go = atomic_load(&n->times_moved) && (!*f || pthread_rwlock_tryrdlock(&(*f)->lock) == 0);
	if (go && *f && (busy_written(&(*f)->busy) || !behind_idle(*f))) {
		pthread_rwlock_unlock(&(*f)->lock);
		go = false;
	}
	if (go) {
		*t = n->times;
		atomic_store(&n->times_moved, false);
		if (*f)
			(*f)->handles++;
	}
	pthread_mutex_unlock(&n->lock);
	return go;
}

/* True: what was put is what is held. Another thread may have put something newer before us. */
static bool settle_end(struct node *n, const struct times *t, struct file *f)
{
	if (f) {
		pthread_rwlock_unlock(&f->lock);
		file_close(f, false);
	}
	pthread_mutex_lock(&n->lock);
	bool same = times_same(&n->times.mtime, &t->mtime) && times_same(&n->times.ctime, &t->ctime);
	if (!same)
		atomic_store(&n->times_moved, true);
	pthread_mutex_unlock(&n->lock);
	return same;
}

static void put(const struct file_env *env, int fd, const struct times *t)
{
	const struct timespec ts[2] = {{0, UTIME_OMIT}, t->mtime};
	uint8_t kept[TIMES_LEN];

	if (utimensat(fd, "", ts, AT_EMPTY_PATH) || !times_beside(env))
		return;
	times_encode(t, kept);
	(void)!store_setxattr(fd, TIMES_XATTR, kept, sizeof(kept)); /* the disk's own ctime is told then */
}

void times_settle(struct file_env *env, struct node *n, int fd)
{
	struct times t;
	struct file *f;

	while (settle_begin(n, &t, &f)) {
		put(env, fd, &t);
		if (settle_end(n, &t, f))
			break;
	}
}

void times_told(struct file_env *env, struct node *n, int fd, const struct timespec *mtime,
		const struct timespec *ctime)
{
	if (!env->keeps_times || (!mtime && !ctime))
		return;
	pthread_mutex_lock(&n->lock);
	times_know(env, n, fd);
	if (mtime)
		n->times.mtime = *mtime;
	if (ctime)
		n->times.ctime = *ctime;
	atomic_store(&n->times_moved, n->times_known);
	pthread_mutex_unlock(&n->lock);
	times_settle(env, n, fd);
}
