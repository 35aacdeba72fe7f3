/* SPDX-License-Identifier: BSD-2-Clause */
/* A list of ranges of blocks: as many as there are threads that serve, so it is walked. */
#include "fs/inode/busy.h"

#include <stddef.h>

void busy_init(struct busy_list *l)
{
	*l = (struct busy_list){0};
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->gone, NULL);
}

void busy_destroy(struct busy_list *l)
{
	pthread_mutex_destroy(&l->lock);
	pthread_cond_destroy(&l->gone);
}

static bool meets(const struct busy_list *l, const struct busy *b)
{
	for (const struct busy *o = l->head; o; o = o->next)
		if (o->first <= b->last && b->first <= o->last && (o->writes || b->writes))
			return true;
	return false;
}

void busy_enter(struct busy_list *l, struct busy *b)
{
	pthread_mutex_lock(&l->lock);
	while (meets(l, b))
		pthread_cond_wait(&l->gone, &l->lock);
	b->next = l->head;
	l->head = b;
	l->writers += b->writes;
	pthread_mutex_unlock(&l->lock);
}

void busy_leave(struct busy_list *l, struct busy *b)
{
	pthread_mutex_lock(&l->lock);
	struct busy **at = &l->head;
	while (*at != b)
		at = &(*at)->next;
	*at = b->next;
	l->writers -= b->writes;
	pthread_cond_broadcast(&l->gone);
	pthread_mutex_unlock(&l->lock);
}

bool busy_written(struct busy_list *l)
{
	pthread_mutex_lock(&l->lock);
	bool written = l->writers > 0;
	pthread_mutex_unlock(&l->lock);
	return written;
}
