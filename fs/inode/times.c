/* SPDX-License-Identifier: BSD-2-Clause */
/* Held times of regular files: read once, held while the file is written, told. */
#include "fs/inode/times.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "fs/store/store.h"

#define DAY_S 86400

/* ---- reading ---- */

/* What is kept beside the file is true as long as nobody has changed its bytes by other means. */
static struct times times_of(const struct stat *st, const uint8_t *kept, ssize_t len)
{
	struct times now = {st->st_mtim, st->st_ctim}, t;
	bool good = len > 0 && times_decode(kept, (size_t)len, &t) == 0;

	return good && times_same(&t.mtime, &now.mtime) ? t : now;
}

/* May what was read stay in the node? Where nobody tells us of changes it may not. */
static bool stays(const struct file_env *env)
{
	return env->keeps_times || env->read_only;
}

static int times_read(const struct file_env *env, int fd, struct times *t)
{
	uint8_t kept[TIMES_LEN];
	char path[40];
	struct stat st;
	ssize_t len = 0;

	if (fstat(fd, &st))
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd); /* it may be O_PATH */
	if (times_beside(env))
		len = getxattr(path, TIMES_XATTR, kept, sizeof(kept));
	*t = times_of(&st, kept, len);
	return 0;
}

/* Under N's lock. */
static void know(struct node *n, const struct times *t)
{
	n->times = *t;
	n->times_known = true;
}

void times_know(const struct file_env *env, struct node *n, int fd)
{
	struct times t;

	if (!n->times_known && times_read(env, fd, &t) == 0)
		know(n, &t);
}

void times_look(const struct file_env *env, struct node *n, int fd)
{
	if (!stays(env) || n->type != OBJECT_FILE)
		return;
	/* asked again: what was asked before the node was there may be older than what the node's life has done */
	pthread_mutex_lock(&n->lock);
	times_know(env, n, fd);
	pthread_mutex_unlock(&n->lock);
}

/* Not looked up by name, or what is read does not stay: through a descriptor of its own. */
static void answer_by_path(struct file_env *env, struct node *n, struct times *t)
{
	AUTO(auto_close) int fd = node_open_path(env->nodes, n);

	if (fd < 0 || times_read(env, fd, t))
		return;
	pthread_mutex_lock(&n->lock);
	if (n->times_known)
		*t = n->times;
	else if (stays(env))
		know(n, t);
	pthread_mutex_unlock(&n->lock);
}

void times_answer(struct file_env *env, struct node *n, struct stat *st)
{
	struct times t = {st->st_mtim, st->st_ctim};

	pthread_mutex_lock(&n->lock);
	struct file *f = atomic_load(&n->file);
	if (f && stays(env))
		times_know(env, n, f->fd);
	bool known = n->times_known;
	if (known)
		t = n->times;
	pthread_mutex_unlock(&n->lock);
	if (!known && (stays(env) || times_beside(env)))
		answer_by_path(env, n, &t);
	st->st_mtim = t.mtime;
	st->st_ctim = t.ctime;
}

/* ---- while it is written ---- */

void times_hold(struct file *f)
{
	struct node *n = f->node;

	if (!f->env->keeps_times || atomic_load(&n->times_moved))
		return;
	pthread_mutex_lock(&n->lock);
	times_know(f->env, n, f->fd);
	atomic_store(&n->times_moved, n->times_known);
	pthread_mutex_unlock(&n->lock);
}

void times_written(struct node *n, const struct timespec *when)
{
	pthread_mutex_lock(&n->lock);
	if (n->times_known)
		n->times = (struct times){*when, *when};
	pthread_mutex_unlock(&n->lock);
}

/* ---- atime ---- */

static bool older(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec < b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec <= b->tv_nsec);
}

/* As the kernel has it for `relatime`. */
static bool due(const struct stat *st)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	return older(&st->st_atim, &st->st_mtim) || older(&st->st_atim, &st->st_ctim) ||
	       now.tv_sec - st->st_atim.tv_sec >= DAY_S;
}

void times_read_by_user(const struct file_env *env, int fd)
{
	struct stat st;

	if ((env->atimes & ATIME_FILES) && ((env->atimes & ATIME_ALWAYS) || (fstat(fd, &st) == 0 && due(&st))))
		store_touch(fd);
}
