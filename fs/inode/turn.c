/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes under way, by where they begin. The kernel sends dirty pages in order, but threads take them up in any; and what the death
 * of this process leaves of a file whose end went ahead is a hole that nobody wrote. The lowest one never waits.
 */
#include "fs/inode/turn.h"

#include <stddef.h>

void turns_init(struct turns *t)
{
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->left, NULL);
	t->first = NULL;
}

void turns_free(struct turns *t)
{
	pthread_cond_destroy(&t->left);
	pthread_mutex_destroy(&t->lock);
}

void turn_enter(struct turns *t, struct turn *me, uint64_t off)
{
	me->off = off;
	pthread_mutex_lock(&t->lock);
	me->next = t->first;
	t->first = me;
	pthread_mutex_unlock(&t->lock);
}

void turn_leave(struct turns *t, struct turn *me)
{
	pthread_mutex_lock(&t->lock);
	struct turn **p = &t->first;
	while (*p != me)
		p = &(*p)->next;
	*p = me->next;
	if (t->first)
		pthread_cond_broadcast(&t->left);
	pthread_mutex_unlock(&t->lock);
}

static bool is_anothers(const struct turns *t, const struct turn *me, uint64_t from)
{
	for (const struct turn *o = t->first; o; o = o->next)
		if (o->off >= from && o->off < me->off)
			return true;
	return false;
}

bool turn_is_anothers(struct turns *t, const struct turn *me, uint64_t from)
{
	pthread_mutex_lock(&t->lock);
	bool yes = is_anothers(t, me, from);
	pthread_mutex_unlock(&t->lock);
	return yes;
}

void turn_wait(struct turns *t, const struct turn *me, uint64_t from)
{
	pthread_mutex_lock(&t->lock);
	if (is_anothers(t, me, from))
		pthread_cond_wait(&t->left, &t->lock);
	pthread_mutex_unlock(&t->lock);
}
