/* SPDX-License-Identifier: BSD-2-Clause */
/* The undo journal's account of its ring: which entries lie where, whose they are, when room is free again. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "fs/store/journal_own.h"

#define ITEMS_MIN 64u

void journal_owner_unused(struct journal_owner *o)
{
	if (o->open || o->items > 0)
		return;
	close(o->fd);
	free(o);
}

void journal_drop_oldest(struct journal *j)
{
	struct journal_item *it = journal_item_at(j, 0);

	j->tail = it->at + it->len;
	it->owner->items--;
	journal_owner_unused(it->owner);
	j->first = (j->first + 1) % j->room;
	j->n--;
}

static int grow(struct journal *j)
{
	size_t room = j->room ? 2 * j->room : ITEMS_MIN;
	struct journal_item *item = malloc(room * sizeof(*item));

	if (!item)
		return -ENOMEM;
	for (size_t i = 0; i < j->n; i++)
		item[i] = *journal_item_at(j, i);
	free(j->item);
	j->item = item;
	j->room = room;
	j->first = 0;
	return 0;
}

int journal_item_add(struct journal *j, struct journal_owner *o, uint64_t at, uint64_t len)
{
	struct timespec now;
	int r = j->n == j->room ? grow(j) : 0;

	if (r)
		return r;
	if (j->n == 0)
		j->tail = at;
	clock_gettime(CLOCK_MONOTONIC, &now);
	j->n++;
	*journal_item_at(j, j->n - 1) = (struct journal_item){
		.at = at, .len = len, .seq = ++j->seq, .since = now.tv_sec, .owner = o};
	o->items++;
	j->head = at + len;
	j->in_force++;
	return 0;
}

bool journal_fits(const struct journal *j, size_t len, uint64_t *at)
{
	uint64_t to_end = j->ring_len - j->head % j->ring_len;

	*at = to_end < len ? j->head + to_end : j->head;
	return *at + len - (j->n ? j->tail : *at) <= j->ring_len;
}

void journal_items_end(struct journal *j, struct journal_owner *o, uint64_t upto)
{
	size_t before = j->n;

	for (size_t i = 0; i < j->n && journal_item_at(j, i)->seq <= upto; i++) {
		struct journal_item *it = journal_item_at(j, i);
		if (it->owner != o || it->ended)
			continue;
		it->ended = true;
		j->in_force--;
	}
	while (j->n > 0 && journal_item_at(j, 0)->ended)
		journal_drop_oldest(j);
	if (j->n != before)
		pthread_cond_broadcast(&j->moved);
}
