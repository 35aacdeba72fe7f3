/* SPDX-License-Identifier: BSD-2-Clause */
/* What was lost, in memory: by file, asked and changed by any thread. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/store/lost_own.h"

/* ---- files, under the lock ---- */

/* Where FILE_ID is in the array, or belongs. */
static size_t place_of(const struct lost *l, const uint8_t file_id[ID_LEN])
{
	size_t lo = 0, hi = l->n_files;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (memcmp(l->file[mid]->file_id, file_id, ID_LEN) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct lost_file *lost_find(const struct lost *l, const uint8_t file_id[ID_LEN])
{
	size_t i = place_of(l, file_id);

	return i < l->n_files && memcmp(l->file[i]->file_id, file_id, ID_LEN) == 0 ? l->file[i] : NULL;
}

/* A bit for each inode number that was ever seen: most files of a store are none of these, and cost one look. */
static void filter_add(struct lost *l, uint64_t ino)
{
	uint64_t bit = (ino * 0x9e3779b97f4a7c15ull) >> 52;

	if (ino == 0)
		l->numberless = true;
	else
		atomic_fetch_or(&l->filter[bit / 64], 1ull << (bit % 64));
}

static bool filter_has(const struct lost *l, uint64_t ino)
{
	uint64_t bit = (ino * 0x9e3779b97f4a7c15ull) >> 52;

	return atomic_load(&l->filter[bit / 64]) & (1ull << (bit % 64));
}

/* The inode number of F is known from now on. */
static void learn(struct lost *l, struct lost_file *f, uint64_t ino)
{
	if (ino == 0 || f->ino == ino)
		return;
	f->renumber = f->renumber || f->ino == 0;
	f->ino = ino;
	filter_add(l, ino);
	if (f->renumber)
		lost_queue(l, f);
}

struct lost_file *lost_file_of(struct lost *l, const struct lost_of *of)
{
	struct lost_file *f = lost_find(l, of->file_id);

	if (f) {
		learn(l, f, of->ino);
		return f;
	}
	if (l->n_files == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 16;
		struct lost_file **p = realloc(l->file, cap * sizeof(struct lost_file *));

		if (!p)
			return NULL;
		l->file = p;
		l->cap = cap;
	}
	f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	memcpy(f->file_id, of->file_id, ID_LEN);
	f->ino = of->ino;
	filter_add(l, of->ino);
	size_t i = place_of(l, of->file_id);
	memmove(l->file + i + 1, l->file + i, (l->n_files - i) * sizeof(struct lost_file *));
	l->file[i] = f;
	atomic_store(&l->count, ++l->n_files);
	return f;
}

void lost_file_free(struct lost_file *f)
{
	ranges_clear(&f->now);
	free(f->placed);
	free(f);
}

void lost_queue(struct lost *l, struct lost_file *f)
{
	if (!l->key || l->cfg.read_only) /* there is no file to bring after */
		return;
	if (!f->queued) {
		f->queued = true;
		f->next = l->queue;
		l->queue = f;
	}
	pthread_cond_signal(&l->wake);
}

void lost_sweep(struct lost *l)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n_files; i++) {
		struct lost_file *f = l->file[i];

		if (f->now.n > 0 || f->n_placed > 0 || f->queued)
			l->file[n++] = f;
		else
			lost_file_free(f);
	}
	l->n_files = n;
	atomic_store(&l->count, n);
}

/* ---- what the mount says and asks ---- */

int lost_add(struct lost *l, const struct lost_of *of, uint64_t start, uint64_t end)
{
	int r = 0;

	pthread_mutex_lock(&l->lock);
	struct lost_file *f = lost_file_of(l, of);
	if (!f || ranges_add(&f->now, start, end)) {
		r = f && f->now.n > 0 ? 0 : -ENOMEM;
		if (r == 0) { /* all of it rather than zeros read where there were bytes */
			f->now.n = 1;
			f->now.r[0] = (struct range){0, UINT64_MAX};
		}
	}
	if (f && f->now.n > 0)
		lost_queue(l, f);
	pthread_mutex_unlock(&l->lock);
	return r;
}

void lost_cut(struct lost *l, const struct lost_of *of, uint64_t start, uint64_t end)
{
	if (!l)
		return;
	pthread_mutex_lock(&l->lock);
	struct lost_file *f = lost_find(l, of->file_id);
	if (f && ranges_hit(&f->now, start, end)) {
		ranges_cut(&f->now, start, end);
		lost_queue(l, f);
	}
	pthread_mutex_unlock(&l->lock);
}

void lost_gone(struct lost *l, const uint8_t file_id[ID_LEN])
{
	if (!l)
		return;
	pthread_mutex_lock(&l->lock);
	struct lost_file *f = lost_find(l, file_id);
	if (f) {
		f->gone = true;
		lost_queue(l, f);
	}
	pthread_mutex_unlock(&l->lock);
}

bool lost_maybe(struct lost *l, uint64_t ino)
{
	if (!l || atomic_load(&l->count) == 0)
		return false;
	return l->numberless || filter_has(l, ino);
}

bool lost_any(struct lost *l, const struct lost_of *of)
{
	if (!l || atomic_load(&l->count) == 0)
		return false;
	pthread_mutex_lock(&l->lock);
	struct lost_file *f = lost_find(l, of->file_id);
	bool any = f && f->now.n > 0;
	if (any)
		learn(l, f, of->ino);
	pthread_mutex_unlock(&l->lock);
	return any;
}

bool lost_next(struct lost *l, const uint8_t file_id[ID_LEN], uint64_t pos, struct range *out)
{
	if (!l || atomic_load(&l->count) == 0)
		return false;
	pthread_mutex_lock(&l->lock);
	const struct lost_file *f = lost_find(l, file_id);
	const struct range *r = f ? ranges_next(&f->now, pos) : NULL;
	if (r)
		*out = *r;
	pthread_mutex_unlock(&l->lock);
	return r != NULL;
}

bool lost_hit(struct lost *l, const uint8_t file_id[ID_LEN], uint64_t start, uint64_t end)
{
	struct range r;

	return start < end && lost_next(l, file_id, start, &r) && r.start < end;
}

uint64_t lost_end(struct lost *l, const uint8_t file_id[ID_LEN])
{
	uint64_t end = 0;

	if (!l || atomic_load(&l->count) == 0)
		return 0;
	pthread_mutex_lock(&l->lock);
	const struct lost_file *f = lost_find(l, file_id);
	if (f && f->now.n > 0)
		end = f->now.r[f->now.n - 1].end;
	pthread_mutex_unlock(&l->lock);
	return end;
}

void lost_count(struct lost *l, struct lost_counts *out)
{
	*out = (struct lost_counts){0};
	if (!l)
		return;
	pthread_mutex_lock(&l->lock);
	for (size_t i = 0; i < l->n_files; i++) {
		if (l->file[i]->gone)
			continue;
		out->files += l->file[i]->now.n > 0;
		out->ranges += l->file[i]->now.n;
	}
	out->altered = l->head.altered;
	out->overflowed = l->head.overflowed;
	pthread_mutex_unlock(&l->lock);
}

/* ---- the check of every file ---- */

void lost_met(struct lost *l, const struct lost_of *of)
{
	if (!l || atomic_load(&l->count) == 0)
		return;
	pthread_mutex_lock(&l->lock);
	struct lost_file *f = lost_find(l, of->file_id);
	if (f) {
		f->met = true;
		learn(l, f, of->ino);
	}
	pthread_mutex_unlock(&l->lock);
}

void lost_unmet(struct lost *l, void (*each)(void *arg, const struct lost_of *f, size_t ranges), void *arg)
{
	if (!l)
		return;
	pthread_mutex_lock(&l->lock);
	for (size_t i = 0; i < l->n_files; i++) {
		const struct lost_file *f = l->file[i];

		if (!f->met && f->now.n > 0)
			each(arg, &(struct lost_of){f->file_id, f->ino}, f->now.n);
	}
	pthread_mutex_unlock(&l->lock);
}

void lost_settle(struct lost *l, bool unmet)
{
	if (!l)
		return;
	pthread_mutex_lock(&l->lock);
	for (size_t i = 0; i < l->n_files; i++) {
		if (l->file[i]->met || !unmet)
			continue;
		ranges_clear(&l->file[i]->now);
		lost_queue(l, l->file[i]);
	}
	l->head_changed = l->head_changed || l->head.altered || l->head.overflowed;
	l->head.altered = l->head.overflowed = false;
	pthread_mutex_unlock(&l->lock);
}

bool lost_pending(struct lost *l)
{
	if (!l || atomic_load(&l->count) == 0 || atomic_load(&l->failing))
		return false;
	pthread_mutex_lock(&l->lock);
	bool pending = l->queue || l->cuts || l->head_changed;
	pthread_mutex_unlock(&l->lock);
	return pending;
}
