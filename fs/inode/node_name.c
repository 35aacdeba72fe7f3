/* SPDX-License-Identifier: BSD-2-Clause */
/* The names of nodes, and the descriptor that stands in for them when the last one is gone. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/inode/node.h"
#include "fs/inode/node_own.h"
#include "kms/gate.h"

#define ROOM_MS 100u

int node_add_name(struct nodes *t, struct node *n, struct node *parent, const char *name)
{
	pthread_mutex_lock(&t->lock);
	int r = link_add_locked(t, n, parent, name);
	if (!r) {
		orphan_close(t, n->orphan_fd);
		n->orphan_fd = -1;
	}
	pthread_mutex_unlock(&t->lock);
	return r;
}

static void link_drop_locked(struct nodes *t, struct node *n, struct node *parent, const char *name)
{
	for (struct link **p = &n->links; *p; p = &(*p)->next) {
		struct link *l = *p;

		if (l->parent != parent || strcmp(l->name, name) != 0)
			continue;
		*p = l->next;
		link_free_locked(t, l);
		return;
	}
}

void node_drop_name(struct nodes *t, dev_t dev, ino_t ino, struct node *parent, const char *name)
{
	pthread_mutex_lock(&t->lock);
	struct node *n = node_find_locked(t, dev, ino);
	if (n)
		link_drop_locked(t, n, parent, name);
	pthread_mutex_unlock(&t->lock);
}

int node_move_name(struct nodes *t, const struct stat *st, struct node_place from, struct node_place to)
{
	int r = 0;

	pthread_mutex_lock(&t->lock);
	struct node *n = node_find_locked(t, st->st_dev, st->st_ino);
	if (n) {
		r = link_add_locked(t, n, to.parent, to.name);
		if (!r && (from.parent != to.parent || strcmp(from.name, to.name) != 0))
			link_drop_locked(t, n, from.parent, from.name);
	}
	pthread_mutex_unlock(&t->lock);
	return r;
}

bool nodes_room_comes(struct nodes *t)
{
	unsigned before = atomic_load(&t->orphans);

	for (unsigned ms = 0; ms < ROOM_MS && atomic_load(&t->orphans) > 0; ms++)
		clock_pause(1);
	return atomic_load(&t->orphans) < before;
}

static struct node *orphan_locked(struct nodes *t, const struct orphan *o)
{
	struct node *n = node_get(t, o->id);

	return n && n->generation == o->generation && n->orphan_fd >= 0 ? n : NULL;
}

/*
 * Without the descriptor nothing keeps the backing's inode, and its number may come back as another object: the node is
 * not to be found by it any more.
 */
static void orphan_drop_locked(struct nodes *t, struct node *n)
{
	orphan_close(t, n->orphan_fd);
	n->orphan_fd = -1;
	if (n->links || n->gone)
		return;
	node_unhash_locked(t, n);
	n->gone = true;
}

/* A place in the ring: one whose node has been forgotten, else the oldest's. */
static struct orphan *orphan_place_locked(struct nodes *t)
{
	for (size_t i = 0; i < ORPHANS_MAX; i++) {
		if (!orphan_locked(t, &t->orphan[t->orphan_next]))
			break;
		t->orphan_next = (t->orphan_next + 1) % ORPHANS_MAX;
	}
	struct node *old = orphan_locked(t, &t->orphan[t->orphan_next]);
	if (old)
		orphan_drop_locked(t, old);
	struct orphan *place = &t->orphan[t->orphan_next];
	t->orphan_next = (t->orphan_next + 1) % ORPHANS_MAX;
	return place;
}

void node_keep_orphan(struct nodes *t, dev_t dev, ino_t ino, int fd)
{
	pthread_mutex_lock(&t->lock);
	struct node *n = node_find_locked(t, dev, ino);
	if (n && n->orphan_fd < 0) {
		*orphan_place_locked(t) = (struct orphan){n->id, n->generation};
		n->orphan_fd = fd;
		atomic_fetch_add(&t->orphans, 1);
		fd = -1;
	}
	pthread_mutex_unlock(&t->lock);
	if (fd >= 0)
		close(fd);
}

int node_name(struct nodes *t, struct node *n, unsigned i, struct node **parent, char name[256])
{
	int r = -ENOENT;

	pthread_mutex_lock(&t->lock);
	struct link *l = n->links;
	for (; l && i > 0; l = l->next)
		i--;
	if (l) {
		*parent = l->parent;
		l->parent->pins++;
		memcpy(name, l->name, strlen(l->name) + 1);
		r = 0;
	}
	pthread_mutex_unlock(&t->lock);
	return r;
}

size_t node_path(struct nodes *t, struct node *n, char *buf, size_t len)
{
	size_t at = len;

	pthread_mutex_lock(&t->lock);
	while (n != t->root && n->links) {
		size_t l = strlen(n->links->name);

		if (l + 1 > at) {
			at = len;
			break;
		}
		at -= l;
		memcpy(buf + at, n->links->name, l);
		buf[--at] = '/';
		n = n->links->parent;
	}
	pthread_mutex_unlock(&t->lock);
	if (at == len || n != t->root)
		return 0;
	memmove(buf, buf + at + 1, len - at - 1);
	return len - at - 1;
}
