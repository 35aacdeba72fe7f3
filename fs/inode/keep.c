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
	k->blocks = f->size / f->env->layout.block_len;
	k->end = true;
	fresh_clear(&k->fresh);
	k->since = clock_ms(CLOCK_MONOTONIC);
}

/* F's account as it is now. NULL: memory is short. */
static struct keep *keep_of(struct file *f)
{
	struct keep *k = f->node->keep;

	if (!k) {
		k = calloc(1, sizeof(*k));
		if (!k)
			return NULL;
		all_durable(f, k);
		f->node->keep = k;
	} else if (clock_ms(CLOCK_MONOTONIC) - k->since > FRESH_MS) {
		all_durable(f, k);
	}
	k->journal = f->env->journal;
	return k;
}

/* What of a change has to be kept: whole records from `first` to `end` - 1, and the final record. */
struct touched {
	uint64_t first, end;
	bool final, cut;
};

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
	uint64_t record = layout_record_len(l), disk_size = layout_disk_size(l, f->size);
	uint64_t final_at = layout_record_off(l, f->size / l->block_len);

	*t = (struct touched){0};
	t->cut = in->disk_size != INFLIGHT_KEEP_SIZE && in->disk_size < disk_size;
	t->final = t->cut && k->end;
	for (uint32_t i = 0; i < in->n_extents; i++) {
		uint64_t from = in->extent[i].disk_off, to = from + in->extent[i].len;

		touch(k, t, (from - l->header_len) / record, (to - l->header_len + record - 1) / record);
		t->final = t->final || (k->end && to > final_at && from < disk_size);
	}
	/* who has an entry behind the cut must say that it counts no more, too */
	t->cut = t->cut && (k->owner || t->final || k->blocks > 0);
}

/* One extent of the entry, its bytes read into *BUF, which moves on. */
static int take_bytes(struct file *f, struct journal_change *j, uint64_t off, size_t len, uint8_t **buf)
{
	uint32_t i = j->entry.n_extents++;
	int r = store_pread_full(f->fd, *buf, len, off);

	j->entry.extent[i] = (struct journal_extent){.off = off, .len = (uint32_t)len};
	j->bytes[i] = *buf;
	*buf += len;
	return r;
}

static int put(struct file *f, struct keep *k, struct journal_change *j, struct keep_change *c)
{
	char path[JOURNAL_PATH_MAX];
	pthread_mutex_lock(&f->first);
	int r = k->owner ? 0 : journal_join(k->journal, f->fd, &k->owner);
	pthread_mutex_unlock(&f->first);

	if (r)
		return r;
	memcpy(j->entry.file_id, f->file_id, ID_LEN);
	j->entry.ino = f->node->ino;
	j->entry.disk_size = layout_disk_size(&f->env->layout, f->size);
	j->entry.path_len = (uint32_t)node_path(f->env->nodes, f->node, path, sizeof(path));
	j->path = path;
	j->owner = k->owner;
	r = journal_put(k->journal, j);
	if (!r)
		*c = (struct keep_change){k->owner, j->entry.seq};
	return r;
}

/* What is in the journal now may be written over again. */
static void now_fresh(struct file *f, struct keep *k, const struct touched *t, const struct inflight *in)
{
	const struct layout *l = &f->env->layout;

	pthread_mutex_lock(&f->first);
	if (!fresh_put(&k->fresh, t->first, t->end))
		fresh_clear(&k->fresh);
	if (t->final)
		k->end = false;
	if (t->cut) {
		uint64_t left = (in->disk_size - l->header_len) / layout_record_len(l);
		k->blocks = left < k->blocks ? left : k->blocks;
		k->end = false;
	}
	pthread_mutex_unlock(&f->first);
}

/* What IN touches that has to be kept. NULL: memory is short. */
static struct keep *look_at(struct file *f, const struct inflight *in, struct touched *t)
{
	pthread_mutex_lock(&f->first);
	struct keep *k = keep_of(f);
	if (k)
		look(f, k, in, t);
	pthread_mutex_unlock(&f->first);
	return k;
}

int keep_before(struct file *f, struct file_work *w, const struct inflight *in, struct keep_change *c)
{
	const struct layout *l = &f->env->layout;
	struct journal_change j = {.entry.cut = JOURNAL_NO_CUT};
	struct touched t;

	*c = (struct keep_change){0};
	if (!f->env->journal)
		return 0;
	struct keep *k = look_at(f, in, &t);
	if (!k)
		return -ENOMEM;
	if (t.first == t.end && !t.final && !t.cut)
		return 0;
	uint8_t *buf = w->cipher + FILE_OLD_MAX * layout_final_room(l);
	int r = 0;
	if (t.first < t.end)
		r = take_bytes(f, &j, layout_record_off(l, t.first), (t.end - t.first) * layout_record_len(l), &buf);
	if (!r && t.final)
		r = take_bytes(f, &j, layout_record_off(l, f->size / l->block_len), layout_final_len(l, f->size), &buf);
	if (t.cut)
		j.entry.cut = in->disk_size;
	if (!r)
		r = put(f, k, &j, c);
	if (!r)
		now_fresh(f, k, &t, in);
	return r == -EIO ? file_corrupt(f, "what is to be written over cannot be kept: block", t.first) : r;
}

int keep_before_hole(struct file *f, uint64_t first, uint64_t last, struct keep_change *c)
{
	const struct layout *l = &f->env->layout;
	struct journal_change j = {.entry.cut = JOURNAL_NO_CUT};
	struct touched t = {0};

	*c = (struct keep_change){0};
	if (!f->env->journal)
		return 0;
	struct keep *k = keep_of(f);
	if (!k)
		return -ENOMEM;
	touch(k, &t, first, last);
	if (t.first == t.end)
		return 0;
	j.entry.n_extents = 1;
	j.entry.extent[0] = (struct journal_extent){layout_record_off(l, t.first),
						    (uint32_t)((t.end - t.first) * layout_record_len(l)), true};
	int r = put(f, k, &j, c);
	if (!r && !fresh_put(&k->fresh, t.first, t.end))
		fresh_clear(&k->fresh);
	return r;
}

void keep_after(struct file *f, const struct keep_change *c, int r)
{
	if (c->owner)
		journal_made(f->env->journal, c->owner, c->seq);
	if (!r || !f->node->keep)
		return;
	pthread_mutex_lock(&f->first);
	all_durable(f, f->node->keep);
	pthread_mutex_unlock(&f->first);
}

uint64_t keep_before_sync(struct file *f)
{
	uint64_t upto = 0;

	pthread_rwlock_wrlock(&f->lock);
	struct keep *k = f->node->keep;
	if (k && f->env->journal) {
		if (k->owner)
			upto = journal_before_sync(k->journal, k->owner);
		all_durable(f, k);
	}
	pthread_rwlock_unlock(&f->lock);
	return upto;
}

void keep_synced(struct file *f, uint64_t upto)
{
	if (upto)
		journal_synced(f->env->journal, f->node->keep->owner, upto);
}
