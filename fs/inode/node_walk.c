/* SPDX-License-Identifier: BSD-2-Clause */
/* The inode table from end to end: what a locking pass looks at, what status counts. */
#include "fs/inode/node.h"

static enum node_class class_of(const struct node *n)
{
	uint8_t opened = atomic_load(&n->opened);

	if (opened & NODE_OPENED_TO_WRITE)
		return NODE_WRITTEN;
	if (opened)
		return NODE_OPENED;
	return n->type == OBJECT_DIR ? NODE_FOLDER : NODE_OTHER;
}

size_t nodes_collect(struct nodes *t, enum node_class class, uint64_t *next, uint64_t *ids, size_t max)
{
	size_t n_ids = 0;
	bool end = false;

	/* In steps: a million inodes of another class must not stop every request meanwhile. */
	while (!end && n_ids < max) {
		uint64_t stop = *next + NODE_CHUNK;

		pthread_mutex_lock(&t->lock);
		for (; *next <= t->high && *next < stop && n_ids < max; ++*next) {
			struct node *n = node_get(t, *next);

			if (n && n->nlookup > 0 && class_of(n) == class)
				ids[n_ids++] = *next;
		}
		end = *next > t->high;
		pthread_mutex_unlock(&t->lock);
	}
	return n_ids;
}

bool node_live(struct nodes *t, uint64_t id)
{
	pthread_mutex_lock(&t->lock);
	struct node *n = node_get(t, id);
	bool live = n && n->nlookup > 0;
	pthread_mutex_unlock(&t->lock);
	return live;
}

static bool is_open(struct nodes *t, uint64_t id)
{
	struct node *n = node_pin(t, id);

	if (!n)
		return false;
	pthread_mutex_lock(&n->lock);
	bool open = n->file != NULL;
	pthread_mutex_unlock(&n->lock);
	node_unpin(t, n);
	return open;
}

uint64_t nodes_open_files(struct nodes *t)
{
	static const enum node_class classes[] = {NODE_WRITTEN, NODE_OPENED};
	uint64_t open_files = 0;

	for (size_t i = 0; i < ARRAY_LEN(classes); i++) {
		uint64_t next = 1, id;

		while (nodes_collect(t, classes[i], &next, &id, 1) == 1)
			open_files += is_open(t, id);
	}
	return open_files;
}
