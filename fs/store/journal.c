/* SPDX-License-Identifier: BSD-2-Clause */
/* The undo journal's ring: room is had from its tail, one sync makes the entries of many threads durable. */
#include "fs/store/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "fs/store/journal_own.h"
#include "fs/store/store.h"

uint64_t journal_ring_min(const struct layout *l)
{
	uint64_t record = layout_record_len(l), final = layout_final_room(l);
	uint64_t write = (INFLIGHT_REQUEST_MAX / l->block_len + 2) * record + final, cut = 4 * record + 2 * final;
	uint64_t len = JOURNAL_ENTRY_HEAD + JOURNAL_PATH_MAX + (write > cut ? write : cut) + MAC_LEN + JOURNAL_ALIGN;

	return (len + JOURNAL_UNIT - 1) / JOURNAL_UNIT * JOURNAL_UNIT;
}

int journal_open(const struct journal_config *cfg, struct journal_key *key, struct journal **out)
{
	struct journal *j = calloc(1, sizeof(*j));
	pthread_condattr_t attr;

	if (!j)
		return -ENOMEM;
	j->cfg = *cfg;
	j->key = key;
	j->fd = -1;
	pthread_mutex_init(&j->lock, NULL);
	pthread_cond_init(&j->moved, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&j->wake, &attr);
	pthread_condattr_destroy(&attr);
	*out = j;
	return 0;
}

void journal_close(struct journal *j)
{
	if (!j)
		return;
	pthread_mutex_lock(&j->lock);
	j->stopping = true;
	pthread_cond_signal(&j->wake);
	pthread_mutex_unlock(&j->lock);
	if (j->started)
		pthread_join(j->thread, NULL);
	while (j->n > 0)
		journal_drop_oldest(j);
	auto_close(&j->fd);
	journal_key_free(j->key);
	pthread_mutex_destroy(&j->lock);
	pthread_cond_destroy(&j->moved);
	pthread_cond_destroy(&j->wake);
	free(j->item);
	free(j);
}

int journal_join(struct journal *j, int fd, struct journal_owner **out)
{
	struct journal_owner *o = calloc(1, sizeof(*o));

	int r = 0;

	if (!o)
		return -ENOMEM;
	pthread_mutex_lock(&j->lock);
	while (r == 0 && (o->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3)) < 0)
		r = errno == EMFILE && j->n > 0 ? journal_reclaim(j) : -errno; /* closed files give theirs back */
	pthread_mutex_unlock(&j->lock);
	if (r) {
		free(o);
		return r;
	}
	o->open = true;
	*out = o;
	return 0;
}

void journal_leave(struct journal *j, struct journal_owner *o)
{
	if (!o)
		return;
	pthread_mutex_lock(&j->lock);
	o->open = false;
	journal_owner_unused(o);
	pthread_mutex_unlock(&j->lock);
}

/* Where LEN bytes go, once there is room. */
static int get_room(struct journal *j, size_t len, uint64_t *at)
{
	for (;;) {
		int r = journal_ready(j, false);

		if (r == 0)
			r = j->broken ? j->broken : len > j->ring_len ? -EFBIG : 0;
		if (r || journal_fits(j, len, at))
			return r;
		r = journal_reclaim(j); /* lets the lock go: the file may be another one */
		if (r)
			return r;
	}
}

/* An item for C, whose entry gets its number and its place. 1: its era is over, so that nobody needs it. */
static int take(struct journal *j, struct journal_change *c, size_t len)
{
	const uint64_t era = c->owner->era;
	uint64_t at;
	int r;

	while ((r = get_room(j, len, &at)) == 0 && c->owner->closing)
		pthread_cond_wait(&j->moved, &j->lock);
	if (r == 0 && c->owner->era != era)
		return 1;
	if (r == 0)
		r = journal_item_add(j, c->owner, at, len);
	if (r)
		return r;
	c->owner->coming++;
	c->entry.seq = j->seq;
	c->entry.oldest = c->owner->ended + 1;
	c->entry.place = at % j->ring_len;
	return 0;
}

/* Entry and bytes of C, sealed, at its place. */
static int write_entry(struct journal *j, const struct journal_change *c, size_t len)
{
	AUTO(auto_free) uint8_t *buf = malloc(len);

	if (!buf)
		return -ENOMEM;
	uint8_t *to = buf + journal_bytes_at(&c->entry);
	for (uint32_t i = 0; i < c->entry.n_extents; i++) {
		if (c->entry.extent[i].kind == JOURNAL_HOLE)
			continue;
		memcpy(to, c->bytes[i], c->entry.extent[i].len);
		to += c->entry.extent[i].len;
	}
	int r = journal_entry_seal(j->key, &c->entry, c->path, buf);
	return r ? r : store_pwrite_full(j->fd, buf, len, JOURNAL_HEAD_LEN + c->entry.place);
}

int journal_put(struct journal *j, struct journal_change *c)
{
	c->entry.seq = c->entry.oldest = 1; /* the length does not hang on them */
	c->entry.place = 0;
	const size_t len = journal_entry_len(&c->entry);

	if (!len)
		return -EINVAL;
	pthread_mutex_lock(&j->lock);
	int r = take(j, c, len);
	const uint64_t era = c->owner->era;
	c->owner->under[era % 2] += r == 0;
	pthread_mutex_unlock(&j->lock);
	if (r)
		return r < 0 ? r : 0;
	r = write_entry(j, c, len);
	pthread_mutex_lock(&j->lock);
	if (r == 0)
		r = journal_settle(j);
	/* what failed stays until the next sync of its file: on disk it may be there, and what it says is true */
	j->put += r == 0;
	if (r)
		journal_came(j, c->owner);
	journal_done(j, c->owner, era);
	pthread_mutex_unlock(&j->lock);
	return r;
}

/* ---- the thread ---- */

void journal_tick(struct journal *j, int64_t now)
{
	int r = 0;

	pthread_mutex_lock(&j->lock);
	if (j->n > 0)
		(void)(journal_ready(j, true) == 0); /* whoever puts something is told */
	while (r == 0 && !j->stopping && j->n > 0 && journal_item_at(j, 0)->since + JOURNAL_AGE_S <= now)
		r = journal_reclaim(j);
	pthread_mutex_unlock(&j->lock);
}

static void *run(void *arg)
{
	struct journal *j = arg;
	struct timespec until;

	pthread_mutex_lock(&j->lock);
	while (!j->stopping) {
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec++;
		pthread_cond_timedwait(&j->wake, &j->lock, &until);
		pthread_mutex_unlock(&j->lock);
		clock_gettime(CLOCK_MONOTONIC, &until);
		journal_tick(j, until.tv_sec);
		pthread_mutex_lock(&j->lock);
	}
	pthread_mutex_unlock(&j->lock);
	return NULL;
}

int journal_start(struct journal *j)
{
	int r = pthread_create(&j->thread, NULL, run, j);

	j->started = r == 0;
	return -r;
}

void journal_stat(struct journal *j, struct journal_stat *out)
{
	pthread_mutex_lock(&j->lock);
	*out = (struct journal_stat){
		.ring_len = j->ring_len, .used = j->n ? j->head - j->tail : 0, .in_force = j->in_force, .put = j->put};
	pthread_mutex_unlock(&j->lock);
}
