/* SPDX-License-Identifier: BSD-2-Clause */
/* Which durable records a change touches, and their way into the undo journal. */
#include "fs/inode/keep_own.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "crypto/auto.h"
#include "fs/inode/file_own.h"
#include "fs/store/store.h"

#define FRESH_MS 30000 /* Linux writes back by itself what has been dirty so long (dirty_expire_centisecs) */

static void all_durable(const struct file *f, struct keep *k)
{
	uint64_t size = behind_stored(f);

	k->blocks = size / f->env->layout.block_len;
	k->disk_size = layout_disk_size(&f->env->layout, size);
	k->end = true;
	fresh_clear(&k->fresh);
	k->since = clock_ms(CLOCK_MONOTONIC);
}

/* F's account as it is now. Under `first`. NULL: memory is short. */
static struct keep *keep_of(struct file *f)
{
	struct keep *k = f->node->keep;
	bool stale = !k;

	if (!k)
		k = f->node->keep = calloc(1, sizeof(*k));
	if (!k)
		return NULL;
	k->journal = f->env->journal;
	uint64_t era = k->owner ? journal_era(k->journal, k->owner) : 0;
	if (stale || era != k->era || clock_ms(CLOCK_MONOTONIC) - k->since > FRESH_MS)
		all_durable(f, k);
	k->era = era;
	return k;
}

/* What of a change has to be kept: whole records from `first` to `end` - 1, and the final record. */
struct touched {
	uint64_t first, end;
	bool final, cut;
	uint64_t era;
};

static bool nothing(const struct touched *t)
{
	return t->first == t->end && !t->final && !t->cut;
}

static void touch(const struct keep *k, struct touched *t, uint64_t first, uint64_t end)
{
	for (uint64_t no = first; no < end && no < k->blocks; no++) {
		if (fresh_has(&k->fresh, no))
			continue;
		if (t->first == t->end)
			t->first = no;
		t->end = no + 1;
	}
}

static void look(const struct file *f, const struct keep *k, const struct inflight *in, struct touched *t)
{
	const struct layout *l = &f->env->layout;
	uint64_t record = layout_record_len(l), size = behind_stored(f), disk_size = layout_disk_size(l, size);
	uint64_t final_at = layout_record_off(l, size / l->block_len);

	t->cut = in->disk_size < k->disk_size;
	t->final = t->cut && k->end;
	for (uint32_t i = 0; i < in->n_extents; i++) {
		uint64_t from = in->extent[i].disk_off, to = from + in->extent[i].len;

		touch(k, t, (from - l->header_len) / record, (to - l->header_len + record - 1) / record);
		t->final = t->final || (k->end && to > final_at && from < disk_size);
	}
}

/* What IN touches that has to be kept; without IN the whole blocks from T's first to END - 1. NULL: memory is short. */
static struct keep *look_at(struct file *f, const struct inflight *in, uint64_t first, uint64_t end, struct touched *t)
{
	*t = (struct touched){0};
	pthread_mutex_lock(&f->first);
	struct keep *k = keep_of(f);
	if (k && in)
		look(f, k, in, t);
	else if (k)
		touch(k, t, first, end);
	t->era = k ? k->era : 0;
	pthread_mutex_unlock(&f->first);
	return k;
}

/* One extent more of the entry, BYTES long of it. */
static void add(struct journal_change *j, uint64_t off, size_t len, enum journal_kind kind, const uint8_t *bytes)
{
	uint32_t i = j->entry.n_extents++;

	j->entry.extent[i] = (struct journal_extent){.off = off, .len = (uint32_t)len, .kind = kind};
	j->bytes[i] = bytes;
}

/* The old bytes, read into *BUF, which moves on. */
static int add_old(struct file *f, struct journal_change *j, uint64_t off, size_t len, uint8_t **buf)
{
	int r = store_pread_full(f->fd, *buf, len, off);

	add(j, off, len, JOURNAL_OLD, *buf);
	*buf += len;
	return r;
}

static int owned(struct file *f, struct keep *k)
{
	pthread_mutex_lock(&f->first);
	int r = k->owner ? 0 : journal_join(k->journal, f->fd, &k->owner);
	pthread_mutex_unlock(&f->first);
	return r;
}

static int put(struct file *f, struct keep *k, struct journal_change *j)
{
	char path[JOURNAL_PATH_MAX];
	int r = owned(f, k);

	if (r)
		return r;
	memcpy(j->entry.file_id, f->file_id, ID_LEN);
	j->entry.ino = f->node->ino;
	j->entry.disk_size = layout_disk_size(&f->env->layout, behind_stored(f));
	j->entry.path_len = (uint32_t)node_path(f->env->nodes, f->node, path, sizeof(path));
	j->path = path;
	j->owner = k->owner;
	return journal_put(k->journal, j);
}

/*
 * What is in the journal now may be written over. If another era has begun meanwhile it is durable again, and is looked at once more; who
 * writes beside may have begun the account of that era already.
 */
static void now_fresh(struct file *f, struct keep *k, const struct touched *t, uint64_t cut)
{
	const struct layout *l = &f->env->layout;

	pthread_mutex_lock(&f->first);
	if (k->era == t->era) {
		if (!fresh_put(&k->fresh, t->first, t->end))
			fresh_clear(&k->fresh);
		k->end = k->end && !t->final;
		if (t->cut) {
			uint64_t left = (cut - l->header_len) / layout_record_len(l);
			k->blocks = left < k->blocks ? left : k->blocks;
			k->disk_size = cut;
		}
	}
	pthread_mutex_unlock(&f->first);
}

/* May the change be made, everything that it needs being kept? */
static bool enter(const struct keep *k, const struct touched *t, struct keep_change *c)
{
	if (!k->owner)
		return true;
	if (!journal_enter(k->journal, k->owner, t->era))
		return false;
	c->owner = k->owner;
	c->era = t->era;
	return true;
}

/* All that T says, out of the file, and for a cut the bytes of IN out of the slot. */
static int keep_touched(struct file *f, struct file_work *w, const struct inflight *in, struct keep *k,
			const struct touched *t)
{
	const struct layout *l = &f->env->layout;
	struct journal_change j = {.entry.cut = t->cut ? in->disk_size : JOURNAL_NO_CUT};
	uint8_t *buf = w->cipher + FILE_OLD_MAX * layout_final_room(l);
	const uint8_t *slot = inflight_data(w->slot);
	uint64_t size = behind_stored(f);
	int r = 0;

	if (t->first < t->end)
		r = add_old(f, &j, layout_record_off(l, t->first), (t->end - t->first) * layout_record_len(l), &buf);
	if (!r && t->final)
		r = add_old(f, &j, layout_record_off(l, size / l->block_len), layout_final_len(l, size), &buf);
	for (uint32_t i = 0; t->cut && i < in->n_extents; i++) {
		add(&j, in->extent[i].disk_off, in->extent[i].len, JOURNAL_NEW, slot);
		slot += in->extent[i].len;
	}
	if (!r)
		r = put(f, k, &j);
	return r == -EIO ? file_corrupt(f, "what is to be written over cannot be kept: block", t->first) : r;
}

int keep_before(struct file *f, struct file_work *w, const struct inflight *in, struct keep_change *c)
{
	struct touched t;

	*c = (struct keep_change){0};
	if (!f->env->journal)
		return 0;
	for (;;) {
		struct keep *k = look_at(f, in, 0, 0, &t);
		int r = !k ? -ENOMEM : nothing(&t) ? 0 : keep_touched(f, w, in, k, &t);
		if (r)
			return r;
		if (!nothing(&t))
			now_fresh(f, k, &t, in->disk_size);
		c->redone = c->redone || t.cut;
		if (enter(k, &t, c))
			return 0;
	}
}

/* All that F is now becomes durable, and its entries end. Under the write lock. */
static int sync_now(struct file *f)
{
	uint64_t upto = keep_before_sync(f);

	return fdatasync(f->fd) ? -errno : keep_synced(f, upto);
}

/* Make it durable that the end allows holes. */
static int holes_durable(struct file *f, struct keep *k)
{
	int r = sync_now(f);

	if (!r)
		k->sparse = f->sparse_since;
	return r;
}

static int put_hole(struct file *f, struct keep *k, const struct touched *t)
{
	const struct layout *l = &f->env->layout;
	struct journal_change j = {.entry.cut = JOURNAL_NO_CUT};

	add(&j, layout_record_off(l, t->first), (t->end - t->first) * layout_record_len(l), JOURNAL_HOLE, NULL);
	return put(f, k, &j);
}

int keep_before_hole(struct file *f, uint64_t first, uint64_t last, struct keep_change *c)
{
	struct touched t;

	*c = (struct keep_change){0};
	if (!f->env->journal)
		return 0;
	for (;;) {
		struct keep *k = look_at(f, NULL, first, last, &t);
		bool ready = k && (nothing(&t) || k->sparse == f->sparse_since);
		int r = !k ? -ENOMEM : !ready ? holes_durable(f, k) : nothing(&t) ? 0 : put_hole(f, k, &t);
		if (r)
			return r;
		if (!ready)
			continue;
		if (!nothing(&t))
			now_fresh(f, k, &t, 0);
		c->redone = c->redone || !nothing(&t);
		if (enter(k, &t, c))
			return 0;
	}
}

void keep_after(struct file *f, const struct keep_change *c, int r)
{
	if (c->owner)
		journal_made(f->env->journal, c->owner, c->era);
	if (!r || !f->node->keep)
		return;
	pthread_mutex_lock(&f->first);
	all_durable(f, f->node->keep);
	pthread_mutex_unlock(&f->first);
	if (c->redone) /* nor must a later mount make what has failed here */
		(void)(sync_now(f) == 0);
}

uint64_t keep_before_sync(struct file *f)
{
	struct keep *k = f->node->keep;
	uint64_t upto = 0;

	if (!k || !f->env->journal)
		return 0;
	if (k->owner)
		upto = journal_before_sync(k->journal, k->owner);
	pthread_mutex_lock(&f->first);
	all_durable(f, k);
	pthread_mutex_unlock(&f->first);
	return upto;
}

int keep_synced(struct file *f, uint64_t upto)
{
	return upto ? journal_synced(f->env->journal, f->node->keep->owner, upto) : 0;
}
