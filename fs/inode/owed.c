/* SPDX-License-Identifier: BSD-2-Clause */
/* What an fsync of a folder has to bring along: a list of names, of a certain length. */
#include <stdlib.h>
#include <string.h>

#include "fs/inode/durable.h"
#include "fs/inode/node_own.h"

static struct owed_name *owed_new(uint64_t seq, const char *name)
{
	size_t len = strlen(name);
	struct owed_name *o = malloc(sizeof(*o) + len + 1);

	if (!o)
		return NULL;
	o->next = NULL;
	o->seq = seq;
	memcpy(o->name, name, len + 1);
	return o;
}

void node_owe(struct node *dir, const char *name)
{
	pthread_mutex_lock(&dir->lock);
	uint64_t seq = ++dir->owed_seq;
	struct owed_name *o = dir->n_owed < OWED_MAX ? owed_new(seq, name) : NULL;
	if (!o) {
		dir->owed_more = seq;
	} else {
		*(dir->owed ? &dir->owed_last->next : &dir->owed) = o;
		dir->owed_last = o;
		dir->n_owed++;
	}
	pthread_mutex_unlock(&dir->lock);
}

bool node_owed(struct node *dir, uint64_t *seq, char name[256])
{
	pthread_mutex_lock(&dir->lock);
	const struct owed_name *o = dir->owed;
	while (o && o->seq <= *seq)
		o = o->next;
	if (o) {
		*seq = o->seq;
		memcpy(name, o->name, strlen(o->name) + 1);
	}
	pthread_mutex_unlock(&dir->lock);
	return o != NULL;
}

unsigned node_owed_count(struct node *dir)
{
	pthread_mutex_lock(&dir->lock);
	unsigned n = dir->n_owed;
	pthread_mutex_unlock(&dir->lock);
	return n;
}

uint64_t node_owed_seq(struct node *dir, uint64_t *more)
{
	pthread_mutex_lock(&dir->lock);
	uint64_t seq = dir->owed_seq;
	*more = dir->owed_more;
	pthread_mutex_unlock(&dir->lock);
	return seq;
}

static void owed_cut(struct node *dir, uint64_t seq)
{
	for (struct owed_name *o; (o = dir->owed) && o->seq <= seq; free(o)) {
		dir->owed = o->next;
		dir->n_owed--;
	}
}

void node_paid(struct node *dir, uint64_t seq)
{
	pthread_mutex_lock(&dir->lock);
	owed_cut(dir, seq);
	if (dir->owed_more <= seq)
		dir->owed_more = 0;
	pthread_mutex_unlock(&dir->lock);
}

void owed_forget(struct nodes *t, struct node *n)
{
	if (n->owed || n->owed_more > OWED_UNKNOWN)
		atomic_store(&t->forgot, true);
	owed_cut(n, UINT64_MAX);
}
