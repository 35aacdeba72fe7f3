/* SPDX-License-Identifier: BSD-2-Clause */
/* From a node to a descriptor: an LRU of directory descriptors, look-up by name, checked against (dev, ino). */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "fs/inode/file.h"
#include "fs/inode/node.h"
#include "fs/store/store.h"

#define DIRFDS_MAX 1024u
#define DEPTH_MAX 65536u /* names of a store that somebody changes under us may form a ring */
#define TRIES 20         /* a rename moves the entry on disk a moment before the entry here */

static void lru_remove(struct nodes *t, struct dirfd *d)
{
	if (d->newer)
		d->newer->older = d->older;
	else
		t->newest = d->older;
	if (d->older)
		d->older->newer = d->newer;
	else
		t->oldest = d->newer;
	d->newer = d->older = NULL;
	t->n_dirfds--;
}

static void lru_add(struct nodes *t, struct dirfd *d)
{
	d->older = t->newest;
	d->newer = NULL;
	if (t->newest)
		t->newest->newer = d;
	t->newest = d;
	if (!t->oldest)
		t->oldest = d;
	t->n_dirfds++;
}

/* Returns N's descriptor with one more user, or NULL. */
static struct dirfd *dirfd_cached(struct nodes *t, struct node *n)
{
	pthread_mutex_lock(&t->lock);
	struct dirfd *d = n->dirfd;
	if (d && d->users++ == 0)
		lru_remove(t, d);
	pthread_mutex_unlock(&t->lock);
	return d;
}

static struct dirfd *dirfd_adopt(struct nodes *t, struct node *n, int fd)
{
	struct dirfd *d = calloc(1, sizeof(*d));

	if (!d) {
		close(fd);
		return NULL;
	}
	*d = (struct dirfd){.fd = fd, .users = 1, .node = n};
	pthread_mutex_lock(&t->lock);
	struct dirfd *other = n->dirfd;
	if (!other)
		n->dirfd = d;
	else if (other->users++ == 0)
		lru_remove(t, other);
	pthread_mutex_unlock(&t->lock);
	if (other) {
		close(fd);
		free(d);
		return other;
	}
	return d;
}

void dirfd_put(struct nodes *t, struct dirfd *d)
{
	struct dirfd *old = NULL;

	pthread_mutex_lock(&t->lock);
	if (--d->users == 0) {
		if (!d->node)
			old = d;
		else
			lru_add(t, d);
		if (t->n_dirfds > DIRFDS_MAX) {
			old = t->oldest;
			lru_remove(t, old);
			old->node->dirfd = NULL;
		}
	}
	pthread_mutex_unlock(&t->lock);
	if (old) {
		close(old->fd);
		free(old);
	}
}

void dirfd_ref_put(struct dirfd_ref *r)
{
	if (r->d)
		dirfd_put(r->t, r->d);
}

static bool same(const struct node *n, const struct stat *st)
{
	return st->st_ino == n->ino && st->st_dev == n->dev;
}

static int open_checked(int dir_fd, const char *name, const struct node *n, int flags)
{
	struct stat st;
	int fd = store_openat(dir_fd, name, O_PATH | (uint64_t)flags, 0);

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) == 0 && same(n, &st))
		return fd;
	close(fd);
	return -ESTALE;
}

/* A descriptor that does not depend on names: the open file's, or the orphan's. A duplicate, or -ENOENT. */
static int fd_without_name(struct nodes *t, struct node *n)
{
	int fd = -ENOENT;

	pthread_mutex_lock(&n->lock);
	if (n->file)
		fd = fcntl(file_fd(n->file), F_DUPFD_CLOEXEC, 3);
	pthread_mutex_unlock(&n->lock);
	if (fd >= 0)
		return fd;
	pthread_mutex_lock(&t->lock);
	if (n->orphan_fd >= 0)
		fd = fcntl(n->orphan_fd, F_DUPFD_CLOEXEC, 3);
	pthread_mutex_unlock(&t->lock);
	return fd < 0 ? -ENOENT : fd;
}

static bool has_fd_without_name(struct nodes *t, struct node *n)
{
	pthread_mutex_lock(&n->lock);
	bool has = n->file != NULL;
	pthread_mutex_unlock(&n->lock);
	pthread_mutex_lock(&t->lock);
	has = has || n->orphan_fd >= 0;
	pthread_mutex_unlock(&t->lock);
	return has;
}

/* The folders from one without a descriptor up to below one that has it; all but the first are pinned. */
struct chain {
	struct nodes *t;
	struct node **node;
	size_t n, cap;
};

static void chain_end(struct chain *c)
{
	for (size_t i = 1; i < c->n; i++)
		node_unpin(c->t, c->node[i]);
	free(c->node);
}

static int chain_add(struct chain *c, struct node *n)
{
	size_t cap = c->cap ? c->cap * 2 : 32;

	if (c->n == DEPTH_MAX)
		return -ESTALE;
	if (c->n == c->cap) {
		struct node **p = realloc(c->node, cap * sizeof(*p));
		if (!p)
			return -ENOMEM;
		c->node = p;
		c->cap = cap;
	}
	c->node[c->n++] = n;
	return 0;
}

/* Climb from N to a folder with a descriptor; it comes back with one more user, what lies below it in C. */
static int chain_climb(struct chain *c, struct node *n, struct dirfd **out)
{
	int r = 0;

	while (!(*out = dirfd_cached(c->t, n))) {
		r = chain_add(c, n);
		if (r) {
			if (c->n > 0)
				node_unpin(c->t, n);
			return r;
		}
		char name[256];
		r = node_name(c->t, n, 0, &n, name);
		if (r)
			break;
	}
	if (c->n > 0 && !r)
		node_unpin(c->t, n); /* its descriptor is in use: that holds no node, but the pinned child does */
	if (r != -ENOENT)
		return r;
	/* no name: removed, and perhaps still in use */
	n = c->node[c->n - 1];
	r = fd_without_name(c->t, n);
	if (r < 0)
		return r;
	*out = dirfd_adopt(c->t, n, r);
	if (!*out)
		return -ENOMEM;
	if (--c->n > 0)
		node_unpin(c->t, n);
	return 0;
}

/* The descriptor of folder N, a child of the one whose descriptor is UP. */
static int chain_step(struct nodes *t, struct dirfd *up, struct node *n, struct dirfd **out)
{
	struct node *parent;
	char name[256];
	int r = node_name(t, n, 0, &parent, name);

	if (r)
		return r;
	node_unpin(t, parent);
	int fd = open_checked(up->fd, name, n, O_DIRECTORY);
	if (fd < 0)
		return fd;
	*out = dirfd_adopt(t, n, fd);
	return *out ? 0 : -ENOMEM;
}

/* One try, from the nearest folder with a descriptor down: a loop, because trees may be deeper than a stack. */
static int dirfd_walk(struct nodes *t, struct node *n, struct dirfd **out)
{
	AUTO(chain_end) struct chain c = {.t = t};
	struct dirfd *d;
	int r = chain_climb(&c, n, &d);

	while (!r && c.n > 0) {
		struct dirfd *next;

		r = chain_step(t, d, c.node[c.n - 1], &next);
		dirfd_put(t, d);
		if (r)
			return r;
		d = next;
		if (--c.n > 0)
			node_unpin(t, c.node[c.n]);
	}
	if (!r)
		*out = d;
	return r;
}

int dirfd_get(struct nodes *t, struct node *n, struct dirfd **out)
{
	int r = 0;

	for (int i = 0; i < TRIES; i++) {
		r = dirfd_walk(t, n, out);
		if (r != -ENOENT && r != -ESTALE && r != -ENOTDIR)
			return r;
		nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);
	}
	return -ESTALE;
}

/* What is done with a name once its folder's descriptor is there. Returns a descriptor, 0, or a negative errno. */
struct by_name {
	int (*act)(int dir_fd, const char *name, const struct node *n, struct by_name *b);
	int flags;
	struct stat *st;
};

static int try_names(struct nodes *t, struct node *n, struct by_name *b)
{
	for (unsigned i = 0;; i++) {
		char name[256];
		struct node *parent;
		int r = node_name(t, n, i, &parent, name);

		if (r)
			return r;
		struct dirfd *d;
		r = dirfd_walk(t, parent, &d);
		if (!r) {
			r = b->act(d->fd, name, n, b);
			dirfd_put(t, d);
		}
		node_unpin(t, parent);
		if (r >= 0 || (r != -ENOENT && r != -ESTALE && r != -ENOTDIR))
			return r;
	}
}

static int find_by_name(struct nodes *t, struct node *n, struct by_name *b)
{
	int r = -ENOENT;

	for (int i = 0; i < TRIES; i++) {
		r = try_names(t, n, b);
		if (r != -ENOENT && r != -ESTALE)
			return r;
		/* gone from its names: an orphan, or a rename between its two halves */
		if (has_fd_without_name(t, n))
			return -ENOENT;
		nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);
	}
	return -ESTALE;
}

static int act_open_path(int dir_fd, const char *name, const struct node *n, struct by_name *b)
{
	return open_checked(dir_fd, name, n, b->flags);
}

int node_open_path(struct nodes *t, struct node *n)
{
	struct by_name b = {.act = act_open_path, .flags = n->type == OBJECT_DIR ? O_DIRECTORY : 0};

	if (n == t->root) {
		int fd = fcntl(n->dirfd->fd, F_DUPFD_CLOEXEC, 3);
		return fd < 0 ? -errno : fd;
	}
	int fd = find_by_name(t, n, &b);
	return fd == -ENOENT ? fd_without_name(t, n) : fd;
}

static int act_stat(int dir_fd, const char *name, const struct node *n, struct by_name *b)
{
	int r = store_stat(dir_fd, name, b->st);

	if (r)
		return r;
	return same(n, b->st) ? 0 : -ESTALE;
}

int node_stat(struct nodes *t, struct node *n, struct stat *st)
{
	struct by_name b = {.act = act_stat, .st = st};
	int r = -ENOENT;

	if (n == t->root)
		return fstat(n->dirfd->fd, st) ? -errno : 0;
	if (n->type == OBJECT_FILE) {
		pthread_mutex_lock(&n->lock);
		if (n->file)
			r = fstat(file_fd(n->file), st) ? -errno : 0;
		pthread_mutex_unlock(&n->lock);
	}
	if (r != -ENOENT)
		return r;
	r = find_by_name(t, n, &b);
	if (r != -ENOENT)
		return r;
	int fd = fd_without_name(t, n);
	if (fd < 0)
		return -ESTALE;
	r = fstat(fd, st) ? -errno : 0;
	close(fd);
	return r;
}

int node_open(struct nodes *t, struct node *n, int flags)
{
	AUTO(auto_close) int fd_path = node_open_path(t, n);

	/* The O_PATH descriptor was checked; opening it again cannot meet another object. */
	return fd_path < 0 ? fd_path : store_reopen(fd_path, flags);
}
