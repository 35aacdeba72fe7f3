/* SPDX-License-Identifier: BSD-2-Clause */
/* Syncs of the undo journal and of the files in it: entries become durable, eras begin, entries end. */
#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "fs/store/journal_own.h"

int journal_settle(struct journal *j)
{
	uint64_t mine = ++j->written;

	while (j->durable < mine && !j->broken) {
		if (j->syncing) {
			pthread_cond_wait(&j->moved, &j->lock);
			continue;
		}
		uint64_t upto = j->written;
		j->syncing = true;
		pthread_mutex_unlock(&j->lock);
		int r = fdatasync(j->fd) ? -errno : 0;
		pthread_mutex_lock(&j->lock);
		j->syncing = false;
		if (r == 0)
			j->durable = upto;
		else
			j->broken = r;
		pthread_cond_broadcast(&j->moved);
	}
	return j->durable >= mine ? 0 : j->broken;
}

/* ---- eras ---- */

uint64_t journal_era(struct journal *j, const struct journal_owner *o)
{
	pthread_mutex_lock(&j->lock);
	uint64_t era = o->era;
	pthread_mutex_unlock(&j->lock);
	return era;
}

void journal_came(struct journal *j, struct journal_owner *o)
{
	if (o->coming > 0 && --o->coming == 0)
		pthread_cond_broadcast(&j->moved);
}

bool journal_enter(struct journal *j, struct journal_owner *o, uint64_t era)
{
	pthread_mutex_lock(&j->lock);
	journal_came(j, o); /* who has put nothing may come for another, who then has it a little harder */
	bool in = o->era == era;
	o->under[era % 2] += in;
	pthread_mutex_unlock(&j->lock);
	return in;
}

void journal_done(struct journal *j, struct journal_owner *o, uint64_t era)
{
	if (--o->under[era % 2] == 0)
		pthread_cond_broadcast(&j->moved);
}

void journal_made(struct journal *j, struct journal_owner *o, uint64_t era)
{
	pthread_mutex_lock(&j->lock);
	journal_done(j, o, era);
	pthread_mutex_unlock(&j->lock);
}

static uint64_t before_sync(struct journal *j, struct journal_owner *o)
{
	while (o->turning)
		pthread_cond_wait(&j->moved, &j->lock);
	uint64_t upto = j->seq, old = o->era++;
	o->turning = true;
	while (o->under[old % 2] > 0)
		pthread_cond_wait(&j->moved, &j->lock);
	o->turning = false;
	pthread_cond_broadcast(&j->moved);
	return upto;
}

/* The marks of what has ended. Is there something YOUNGER, it says that they have not, and only marks say so to the next mount. */
static int put_marks(struct journal *j, const struct journal_owner *o, uint64_t upto, bool *younger)
{
	int r = 0;

	*younger = false;
	if (j->gone) /* nobody will read it */
		return 0;
	for (size_t i = 0; i < j->n && r == 0; i++) {
		const struct journal_item *it = journal_item_at(j, i);
		if (it->owner != o || it->ended)
			continue;
		*younger = *younger || it->seq > upto;
		if (it->seq <= upto)
			r = journal_disk_ended(j, it->at);
	}
	return r;
}

static int synced(struct journal *j, struct journal_owner *o, uint64_t upto)
{
	bool younger;
	int r = put_marks(j, o, upto, &younger);

	if (r == 0 && younger)
		r = journal_settle(j);
	if (r)
		return r;
	o->ended = upto > o->ended ? upto : o->ended;
	journal_items_end(j, o, upto);
	return 0;
}

uint64_t journal_before_sync(struct journal *j, struct journal_owner *o)
{
	pthread_mutex_lock(&j->lock);
	uint64_t upto = before_sync(j, o);
	pthread_mutex_unlock(&j->lock);
	return upto;
}

int journal_synced(struct journal *j, struct journal_owner *o, uint64_t upto)
{
	pthread_mutex_lock(&j->lock);
	int r = synced(j, o, upto);
	pthread_mutex_unlock(&j->lock);
	return r;
}

/* ---- room ---- */

int journal_reclaim(struct journal *j)
{
	struct journal_owner *o = journal_item_at(j, 0)->owner;

	if (o->syncing) {
		pthread_cond_wait(&j->moved, &j->lock);
		return 0;
	}
	o->syncing = true;
	o->items++; /* stays, whoever leaves it */
	o->closing = true;
	while (o->coming > 0)
		pthread_cond_wait(&j->moved, &j->lock);
	o->closing = false;
	pthread_cond_broadcast(&j->moved);
	uint64_t upto = before_sync(j, o);
	pthread_mutex_unlock(&j->lock);
	int r = fdatasync(o->fd) ? -errno : 0;
	pthread_mutex_lock(&j->lock);
	if (r == 0)
		r = synced(j, o, upto);
	o->syncing = false;
	o->items--;
	journal_owner_unused(o);
	pthread_cond_broadcast(&j->moved);
	return r;
}
