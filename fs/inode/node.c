/* SPDX-License-Identifier: BSD-2-Clause */
/* The inode table: ids, lookups, and how long a node lives. */
#include "fs/inode/node.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/name.h"
#include "fs/inode/keep.h"
#include "fs/inode/node_own.h"

static size_t hash_of(const struct nodes *t, dev_t dev, ino_t ino)
{
	uint64_t h = ((uint64_t)ino ^ ((uint64_t)dev << 40)) * 0x9e3779b97f4a7c15ull;

	return (size_t)(h >> 20) & (t->n_hash - 1);
}

struct node *node_find_locked(struct nodes *t, dev_t dev, ino_t ino)
{
	struct node *n = t->hash[hash_of(t, dev, ino)];

	while (n && (n->ino != ino || n->dev != dev))
		n = n->hash_next;
	return n;
}

static void hash_insert(struct nodes *t, struct node *n)
{
	size_t h = hash_of(t, n->dev, n->ino);

	n->hash_next = t->hash[h];
	t->hash[h] = n;
}

void node_unhash_locked(struct nodes *t, struct node *n)
{
	struct node **p = &t->hash[hash_of(t, n->dev, n->ino)];

	while (*p != n)
		p = &(*p)->hash_next;
	*p = n->hash_next;
}

/* Doubling keeps a million inodes within one or two steps of a look-up; failure to grow only makes it slower. */
static void hash_grow(struct nodes *t)
{
	struct node **old = t->hash;
	size_t n_old = t->n_hash;
	struct node **new = calloc(n_old * 2, sizeof(*new));

	if (!new)
		return;
	t->hash = new;
	t->n_hash = n_old * 2;
	for (size_t i = 0; i < n_old; i++) {
		for (struct node *n = old[i], *next; n; n = next) {
			next = n->hash_next;
			hash_insert(t, n);
		}
	}
	free(old);
}

/* Ids are dense: a freed one is used again under a new generation, so that `high` bounds every list of the kernel's inodes. */
static uint64_t id_take(struct nodes *t)
{
	if (t->n_free > 0)
		return t->free_ids[--t->n_free];
	if (t->high + 1 >= (uint64_t)NODE_CHUNK * NODE_CHUNKS)
		return 0;
	++t->high;
	if (t->shared_high) /* before any reply that makes the id known */
		atomic_store(t->shared_high, t->high);
	return t->high;
}

static void id_give(struct nodes *t, uint64_t id)
{
	if (t->n_free == t->cap_free) {
		size_t cap = t->cap_free ? t->cap_free * 2 : 1024;
		uint64_t *p = realloc(t->free_ids, cap * sizeof(*p));

		if (!p)
			return; /* the id is lost, nothing else */
		t->free_ids = p;
		t->cap_free = cap;
	}
	t->free_ids[t->n_free++] = id;
}

static int slot_set(struct nodes *t, uint64_t id, struct node *n)
{
	struct node **chunk = atomic_load(&t->chunk[id / NODE_CHUNK]);

	if (!chunk) {
		chunk = calloc(NODE_CHUNK, sizeof(*chunk));
		if (!chunk)
			return -ENOMEM;
		atomic_store(&t->chunk[id / NODE_CHUNK], chunk);
	}
	__atomic_store_n(&chunk[id % NODE_CHUNK], n, __ATOMIC_RELEASE);
	return 0;
}

struct node *node_get(struct nodes *t, uint64_t id)
{
	if (id == 0 || id >= (uint64_t)NODE_CHUNK * NODE_CHUNKS)
		return NULL;
	struct node **chunk = atomic_load(&t->chunk[id / NODE_CHUNK]);
	return chunk ? __atomic_load_n(&chunk[id % NODE_CHUNK], __ATOMIC_ACQUIRE) : NULL;
}

static struct node *node_new_locked(struct nodes *t, const struct node_key *key)
{
	struct node *n = calloc(1, sizeof(*n));

	if (!n)
		return NULL;
	n->id = id_take(t);
	if (n->id == 0 || slot_set(t, n->id, n)) {
		if (n->id)
			id_give(t, n->id);
		free(n);
		return NULL;
	}
	n->generation = ++t->generation;
	n->dev = key->dev;
	n->ino = key->ino;
	n->type = key->type;
	n->orphan_fd = -1;
	n->owed_seq = n->owed_more = OWED_UNKNOWN;
	pthread_mutex_init(&n->lock, NULL);
	pthread_mutex_init(&n->once, NULL);
	if (++t->n_nodes > t->n_hash)
		hash_grow(t);
	hash_insert(t, n);
	return n;
}

/* The name last seen comes first: it is the one that is tried first. */
int link_add_locked(struct nodes *t, struct node *n, struct node *parent, const char *name)
{
	size_t len = strlen(name);
	struct link **p = &n->links;

	while (*p && ((*p)->parent != parent || strcmp((*p)->name, name) != 0))
		p = &(*p)->next;
	struct link *l = *p;
	if (l) {
		*p = l->next;
	} else {
		l = malloc(sizeof(*l) + len + 1);
		if (!l)
			return -ENOMEM;
		memcpy(l->name, name, len + 1);
		l->parent = parent;
		l->made = ++t->stamp;
		l->sidecar_durable = strncmp(name, LONG_PREFIX, strlen(LONG_PREFIX)) != 0;
		parent->pins++;
	}
	l->next = n->links;
	n->links = l;
	return 0;
}

static void node_free_if_unused(struct nodes *t, struct node *n);

void link_free_locked(struct nodes *t, struct link *l)
{
	struct node *parent = l->parent;

	free(l);
	parent->pins--;
	node_free_if_unused(t, parent);
}

static void dirfd_forget_locked(struct nodes *t, struct node *n)
{
	struct dirfd *d = n->dirfd;

	if (!d)
		return;
	n->dirfd = NULL;
	d->node = NULL;
	if (d->users > 0)
		return; /* dirfd_put() frees it */
	if (d->newer)
		d->newer->older = d->older;
	else
		t->newest = d->older;
	if (d->older)
		d->older->newer = d->newer;
	else
		t->oldest = d->newer;
	t->n_dirfds--;
	close(d->fd);
	free(d);
}

static bool is_unused(const struct nodes *t, const struct node *n)
{
	return n->nlookup == 0 && n->pins == 0 && n != t->root;
}

void orphan_close(struct nodes *t, int fd)
{
	if (fd < 0)
		return;
	close(fd);
	atomic_fetch_sub(&t->orphans, 1);
}

/* Frees N and, when that unpins them, its ancestors. The chain is walked by recursion through link_free_locked(). */
static void node_free_if_unused(struct nodes *t, struct node *n)
{
	if (!is_unused(t, n))
		return;
	if (!n->gone)
		node_unhash_locked(t, n);
	t->n_nodes--;
	(void)slot_set(t, n->id, NULL);
	dirfd_forget_locked(t, n);
	orphan_close(t, n->orphan_fd);
	keep_free(n->keep);
	owed_forget(t, n);
	struct link *links = n->links;
	id_give(t, n->id);
	pthread_mutex_destroy(&n->lock);
	pthread_mutex_destroy(&n->once);
	free(n);
	while (links) {
		struct link *next = links->next;

		link_free_locked(t, links);
		links = next;
	}
}

int node_lookup(struct nodes *t, const struct node_key *key, struct node *parent, const char *disk_name,
		struct node **out)
{
	int r = 0;

	pthread_mutex_lock(&t->lock);
	struct node *n = node_find_locked(t, key->dev, key->ino);
	if (!n)
		n = node_new_locked(t, key);
	if (n && parent)
		r = link_add_locked(t, n, parent, disk_name);
	if (!n || r) {
		if (n)
			node_free_if_unused(t, n);
		pthread_mutex_unlock(&t->lock);
		return -ENOMEM;
	}
	if (n->nlookup++ == 0)
		atomic_fetch_add(&t->known, 1);
	pthread_mutex_unlock(&t->lock);
	*out = n;
	return 0;
}

struct node *node_lookup_again(struct nodes *t, uint64_t id)
{
	pthread_mutex_lock(&t->lock);
	struct node *n = node_get(t, id);
	if (n && n->nlookup > 0)
		n->nlookup++;
	else
		n = NULL;
	pthread_mutex_unlock(&t->lock);
	return n;
}

void node_forget(struct nodes *t, struct node *n, uint64_t count)
{
	int orphan_fd = -1;

	pthread_mutex_lock(&t->lock);
	if (n->nlookup > 0) {
		n->nlookup = count < n->nlookup ? n->nlookup - count : 0;
		if (n->nlookup == 0)
			atomic_fetch_sub(&t->known, 1);
	}
	if (is_unused(t, n)) {
		orphan_fd = n->orphan_fd;
		n->orphan_fd = -1;
	}
	node_free_if_unused(t, n);
	pthread_mutex_unlock(&t->lock);
	orphan_close(t, orphan_fd); /* the end of the backing's inode, with all its pages: not under the lock */
}

bool node_known(struct nodes *t, dev_t dev, ino_t ino)
{
	pthread_mutex_lock(&t->lock);
	struct node *n = node_find_locked(t, dev, ino);
	bool known = n && (n->nlookup > 0 || n->pins > 0);
	pthread_mutex_unlock(&t->lock);
	return known;
}

struct node *node_pin(struct nodes *t, uint64_t id)
{
	pthread_mutex_lock(&t->lock);
	struct node *n = node_get(t, id);
	if (n)
		n->pins++;
	pthread_mutex_unlock(&t->lock);
	return n;
}

void node_unpin(struct nodes *t, struct node *n)
{
	pthread_mutex_lock(&t->lock);
	n->pins--;
	node_free_if_unused(t, n);
	pthread_mutex_unlock(&t->lock);
}

int nodes_init(struct nodes *t, int root_fd)
{
	struct stat st;
	struct dirfd *d = calloc(1, sizeof(*d));

	memset(t, 0, sizeof(*t));
	if (!d || fstat(root_fd, &st)) {
		free(d);
		return -EIO;
	}
	/* ids begin anew with each mount: a file handle of an earlier one must not fit another object of this one */
	uint32_t generation;
	random_bytes(&generation, sizeof(generation));
	t->generation = generation;
	pthread_mutex_init(&t->lock, NULL);
	t->n_hash = 1024;
	t->hash = calloc(t->n_hash, sizeof(struct node *));
	struct node_key key = {st.st_dev, st.st_ino, OBJECT_DIR};
	t->root = t->hash ? node_new_locked(t, &key) : NULL;
	if (!t->root) {
		free(t->hash);
		free(d);
		return -ENOMEM;
	}
	/* The root's descriptor counts one user for ever, so that it never gets into the LRU. */
	*d = (struct dirfd){.fd = root_fd, .users = 1, .node = t->root};
	t->root->dirfd = d;
	t->root->nlookup = 1;
	atomic_store(&t->root->id_durable, true); /* since `init` */
	atomic_store(&t->known, 1);
	return 0;
}

void nodes_free(struct nodes *t)
{
	for (uint64_t id = 1; id <= t->high; id++) {
		struct node *n = node_get(t, id);

		if (!n)
			continue;
		if (n->dirfd && n != t->root)
			close(n->dirfd->fd);
		free(n->dirfd);
		if (n->orphan_fd >= 0)
			close(n->orphan_fd);
		for (struct link *l = n->links, *next; l; l = next) {
			next = l->next;
			free(l);
		}
		keep_free(n->keep);
		owed_forget(t, n);
		pthread_mutex_destroy(&n->lock);
		pthread_mutex_destroy(&n->once);
		free(n);
	}
	for (size_t i = 0; i <= t->high / NODE_CHUNK; i++)
		free(atomic_load(&t->chunk[i]));
	free(t->hash);
	free(t->free_ids);
	pthread_mutex_destroy(&t->lock);
}
