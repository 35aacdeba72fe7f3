/* SPDX-License-Identifier: BSD-2-Clause */
/* The undo journal's ring: room is had from its tail, one sync makes the entries of many threads durable. */
#include "fs/store/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "fs/store/journal_own.h"
#include "fs/store/store.h"

#define ITEMS_MIN 64u

int journal_open(const struct journal_config *cfg, struct journal_key *key, struct journal **out)
{
	struct journal *j = calloc(1, sizeof(*j));

	if (!j)
		return -ENOMEM;
	j->cfg = *cfg;
	j->key = key;
	j->fd = -1;
	pthread_mutex_init(&j->lock, NULL);
	pthread_cond_init(&j->moved, NULL);
	pthread_mutex_init(&j->making, NULL);
	*out = j;
	return 0;
}

static void owner_free(struct journal_owner *o)
{
	close(o->fd);
	free(o);
}

void journal_close(struct journal *j)
{
	if (!j)
		return;
	while (j->n > 0)
		journal_drop_oldest(j);
	auto_close(&j->fd);
	journal_key_free(j->key);
	pthread_mutex_destroy(&j->lock);
	pthread_mutex_destroy(&j->making);
	pthread_cond_destroy(&j->moved);
	free(j->item);
	free(j);
}

int journal_join(struct journal *j, int fd, struct journal_owner **out)
{
	struct journal_owner *o = calloc(1, sizeof(*o));

	(void)j;
	if (!o)
		return -ENOMEM;
	o->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (o->fd < 0) {
		int r = -errno;
		free(o);
		return r;
	}
	o->open = true;
	*out = o;
	return 0;
}

/* ---- items, under the lock ---- */

static struct journal_item *item_at(struct journal *j, size_t i)
{
	return &j->item[(j->first + i) % j->room];
}

/* Nobody needs O any more. */
static void owner_unused(struct journal_owner *o)
{
	if (!o->open && o->items == 0)
		owner_free(o);
}

void journal_drop_oldest(struct journal *j)
{
	struct journal_item *it = item_at(j, 0);

	j->tail = it->at + it->len;
	it->owner->items--;
	owner_unused(it->owner);
	j->first = (j->first + 1) % j->room;
	j->n--;
}

void journal_leave(struct journal *j, struct journal_owner *o)
{
	if (!o)
		return;
	pthread_mutex_lock(&j->lock);
	o->open = false;
	owner_unused(o);
	pthread_mutex_unlock(&j->lock);
}

static int items_grow(struct journal *j)
{
	size_t room = j->room ? 2 * j->room : ITEMS_MIN;
	struct journal_item *item = malloc(room * sizeof(*item));

	if (!item)
		return -ENOMEM;
	for (size_t i = 0; i < j->n; i++)
		item[i] = *item_at(j, i);
	free(j->item);
	j->item = item;
	j->room = room;
	j->first = 0;
	return 0;
}

/* What is free behind the head: an entry lies in one piece, so the rest of the ring's end may have to be left out. */
static bool fits(const struct journal *j, size_t len, uint64_t *at)
{
	uint64_t to_end = j->ring_len - j->head % j->ring_len;

	*at = to_end < len ? j->head + to_end : j->head;
	return *at + len - (j->n ? j->tail : *at) <= j->ring_len;
}

static void ended_go(struct journal *j)
{
	size_t before = j->n;

	while (j->n > 0 && item_at(j, 0)->state == ITEM_ENDED)
		journal_drop_oldest(j);
	if (j->n != before)
		pthread_cond_broadcast(&j->moved);
}

static uint64_t before_sync(struct journal *j, const struct journal_owner *o)
{
	uint64_t upto = 0;

	for (size_t i = 0; i < j->n; i++) {
		const struct journal_item *it = item_at(j, i);
		if (it->owner != o)
			continue;
		if (it->state == ITEM_PUT)
			break;
		upto = it->seq;
	}
	return upto;
}

static void synced(struct journal *j, const struct journal_owner *o, uint64_t upto)
{
	for (size_t i = 0; i < j->n; i++) {
		struct journal_item *it = item_at(j, i);
		if (it->seq > upto)
			break;
		if (it->owner != o || it->state != ITEM_MADE)
			continue;
		it->state = ITEM_ENDED;
		j->in_force--;
		journal_disk_ended(j, it->at);
	}
	ended_go(j);
}

/* The ring is full: the oldest entry's file is synced, or what is being done with it waited for. */
static int reclaim(struct journal *j)
{
	struct journal_item *it = item_at(j, 0);
	struct journal_owner *o = it->owner;

	if (it->state == ITEM_PUT || o->syncing) {
		pthread_cond_wait(&j->moved, &j->lock);
		return 0;
	}
	uint64_t upto = before_sync(j, o);
	o->syncing = true;
	o->items++; /* stays, whoever leaves it */
	pthread_mutex_unlock(&j->lock);
	int r = fdatasync(o->fd) ? -errno : 0;
	pthread_mutex_lock(&j->lock);
	o->syncing = false;
	if (r == 0)
		synced(j, o, upto);
	o->items--;
	owner_unused(o);
	pthread_cond_broadcast(&j->moved);
	return r;
}

/* An item for C, whose entry gets its number and its place. */
static int take(struct journal *j, struct journal_change *c, size_t len)
{
	uint64_t at;
	int r = 0;

	if (len > j->ring_len)
		return -EFBIG;
	while (r == 0 && !fits(j, len, &at))
		r = reclaim(j);
	if (r == 0 && j->n == j->room)
		r = items_grow(j);
	if (r)
		return r;
	if (j->n == 0)
		j->tail = at;
	c->entry.seq = ++j->seq;
	c->entry.place = at % j->ring_len;
	*item_at(j, j->n++) = (struct journal_item){
		.at = at, .len = len, .seq = c->entry.seq, .owner = c->owner, .state = ITEM_PUT};
	c->owner->items++;
	j->head = at + len;
	j->in_force++;
	return 0;
}

static struct journal_item *find(struct journal *j, uint64_t seq)
{
	size_t low = 0, high = j->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (item_at(j, mid)->seq < seq)
			low = mid + 1;
		else
			high = mid;
	}
	return item_at(j, low);
}

void journal_made(struct journal *j, struct journal_owner *o, uint64_t seq)
{
	(void)o;
	pthread_mutex_lock(&j->lock);
	find(j, seq)->state = ITEM_MADE;
	pthread_cond_broadcast(&j->moved);
	pthread_mutex_unlock(&j->lock);
}

/* It was not put after all: nothing is in force. */
static void untake(struct journal *j, uint64_t seq)
{
	find(j, seq)->state = ITEM_ENDED;
	j->in_force--;
	ended_go(j);
}

/* Entry and bytes of C, sealed, at its place. */
static int write_entry(struct journal *j, const struct journal_change *c, size_t len)
{
	AUTO(auto_free) uint8_t *buf = malloc(len);

	if (!buf)
		return -ENOMEM;
	uint8_t *to = buf + journal_bytes_at(&c->entry);
	for (uint32_t i = 0; i < c->entry.n_extents; i++) {
		if (c->entry.extent[i].hole)
			continue;
		memcpy(to, c->bytes[i], c->entry.extent[i].len);
		to += c->entry.extent[i].len;
	}
	int r = journal_entry_seal(j->key, &c->entry, c->path, buf);
	return r ? r : store_pwrite_full(j->fd, buf, len, JOURNAL_HEAD_LEN + c->entry.place);
}

/* What has been written is durable when this returns 0; whoever comes first syncs for all that wait. Under the lock. */
static int settle(struct journal *j)
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

int journal_put(struct journal *j, struct journal_change *c)
{
	c->entry.seq = 1; /* the length does not hang on them */
	c->entry.place = 0;
	const size_t len = journal_entry_len(&c->entry);
	int r = len ? journal_disk_ready(j) : -EINVAL;

	if (r)
		return r;
	pthread_mutex_lock(&j->lock);
	r = j->broken ? j->broken : take(j, c, len);
	pthread_mutex_unlock(&j->lock);
	if (r)
		return r;
	r = write_entry(j, c, len);
	pthread_mutex_lock(&j->lock);
	if (r == 0)
		r = settle(j);
	if (r)
		untake(j, c->entry.seq);
	else
		j->put++;
	pthread_mutex_unlock(&j->lock);
	return r;
}

uint64_t journal_before_sync(struct journal *j, const struct journal_owner *o)
{
	pthread_mutex_lock(&j->lock);
	uint64_t upto = before_sync(j, o);
	pthread_mutex_unlock(&j->lock);
	return upto;
}

void journal_synced(struct journal *j, struct journal_owner *o, uint64_t upto)
{
	pthread_mutex_lock(&j->lock);
	synced(j, o, upto);
	pthread_mutex_unlock(&j->lock);
}

void journal_stat(struct journal *j, struct journal_stat *out)
{
	pthread_mutex_lock(&j->lock);
	*out = (struct journal_stat){
		.ring_len = j->ring_len, .used = j->n ? j->head - j->tail : 0, .in_force = j->in_force, .put = j->put};
	pthread_mutex_unlock(&j->lock);
}
