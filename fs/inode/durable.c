/* SPDX-License-Identifier: BSD-2-Clause */
/* What is known to be durable of the names. */
#include "fs/inode/durable.h"

#include <string.h>

#include "fs/inode/node_own.h"

static bool entry_durable(const struct nodes *t, const struct node *n, const struct link *l)
{
	return (t->names_follow && n->type != OBJECT_DIR) || l->made <= atomic_load(&l->parent->entries_durable);
}

static bool name_durable(const struct nodes *t, const struct node *n, const struct link *l)
{
	return entry_durable(t, n, l) && l->sidecar_durable;
}

static bool way_durable_locked(const struct nodes *t, const struct node *dir)
{
	for (; dir != t->root && dir->links; dir = dir->links->parent)
		if (!atomic_load(&dir->id_durable) || !name_durable(t, dir, dir->links))
			return false;
	return true;
}

static bool found_again(const struct nodes *t, const struct node *n, const struct link *l)
{
	return name_durable(t, n, l) && way_durable_locked(t, l->parent);
}

bool node_name_ref(struct nodes *t, struct node *n, bool any, struct name_ref *out)
{
	pthread_mutex_lock(&t->lock);
	struct link *l = n->links;
	while (l && !any && found_again(t, n, l))
		l = l->next;
	if (l) {
		*out = (struct name_ref){.parent = l->parent,
					 .made = l->made,
					 .entry = entry_durable(t, n, l),
					 .sidecar = l->sidecar_durable};
		memcpy(out->name, l->name, strlen(l->name) + 1);
		l->parent->pins++;
	}
	pthread_mutex_unlock(&t->lock);
	return l != NULL;
}

uint64_t nodes_stamp(struct nodes *t)
{
	pthread_mutex_lock(&t->lock);
	uint64_t stamp = t->stamp;
	pthread_mutex_unlock(&t->lock);
	return stamp;
}

void node_sidecar_durable(struct nodes *t, struct node *n, const struct name_ref *ref)
{
	pthread_mutex_lock(&t->lock);
	for (struct link *l = n->links; l; l = l->next)
		if (l->made == ref->made)
			l->sidecar_durable = true;
	pthread_mutex_unlock(&t->lock);
}

struct node *node_pin_inode(struct nodes *t, dev_t dev, ino_t ino)
{
	pthread_mutex_lock(&t->lock);
	struct node *n = node_find_locked(t, dev, ino);
	if (n)
		n->pins++;
	pthread_mutex_unlock(&t->lock);
	return n;
}

bool node_way_durable(struct nodes *t, struct node *dir)
{
	pthread_mutex_lock(&t->lock);
	bool durable = way_durable_locked(t, dir);
	pthread_mutex_unlock(&t->lock);
	return durable;
}

bool node_owes_others(struct nodes *t, struct node *n, const struct node *parent, const char *name)
{
	bool owes = false;

	pthread_mutex_lock(&t->lock);
	for (const struct link *l = n->links; l && !owes; l = l->next)
		owes = (l->parent != parent || strcmp(l->name, name) != 0) && !found_again(t, n, l);
	pthread_mutex_unlock(&t->lock);
	return owes;
}
