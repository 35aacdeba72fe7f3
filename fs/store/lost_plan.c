/* SPDX-License-Identifier: BSD-2-Clause */
/* Which entries of the list's file have to come and to go, and where: no I/O, under both locks. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/store/lost_own.h"

/* What the file is to say of F. */
struct wanted {
	struct ranges set; /* nobody's to free */
	struct range hull;
};

static void want(const struct lost_file *f, struct wanted *w)
{
	w->set = f->gone ? (struct ranges){0} : f->now;
	if (!f->hull || w->set.n < 2)
		return;
	w->hull = (struct range){w->set.r[0].start, w->set.r[w->set.n - 1].end};
	w->set = (struct ranges){.r = &w->hull, .n = 1};
}

static bool is_wanted(const struct wanted *w, const struct range *r)
{
	const struct range *next = ranges_next(&w->set, r->start);

	return next && next->start == r->start && next->end == r->end;
}

static int by_range(const void *a, const void *b)
{
	const struct range *x = a, *y = &((const struct lost_placed *)b)->range;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return x->end < y->end ? -1 : x->end > y->end;
}

static int placed_by_range(const void *a, const void *b)
{
	return by_range(&((const struct lost_placed *)a)->range, b);
}

void lost_sort(struct lost_file *f)
{
	qsort(f->placed, f->n_placed, sizeof(*f->placed), placed_by_range);
}

static uint32_t slot_take(struct lost *l)
{
	while (l->used[l->hint])
		l->hint++;
	l->used[l->hint] = 1;
	l->n_used++;
	return l->hint;
}

void lost_slot_give(struct lost *l, uint32_t slot)
{
	l->used[slot] = 0;
	l->n_used--;
	if (slot < l->hint)
		l->hint = slot;
}

void lost_change_end(struct lost_change *c)
{
	free(c->put);
	free(c->drop);
	*c = (struct lost_change){0};
}

static int change_begin(struct lost_change *c, size_t puts, size_t drops)
{
	c->put = calloc(puts + 1, sizeof(*c->put));
	c->drop = calloc(drops + 1, sizeof(*c->drop));
	return c->put && c->drop ? 0 : -ENOMEM;
}

/* What of W has no entry yet, to C without slots. */
static void plan_puts(const struct lost_file *f, const struct wanted *w, struct lost_change *c)
{
	for (size_t i = 0; i < w->set.n; i++)
		if (!f->n_placed || f->renumber ||
		    !bsearch(&w->set.r[i], f->placed, f->n_placed, sizeof(*f->placed), by_range))
			c->put[c->n_puts++] = (struct lost_placed){.range = w->set.r[i]};
}

/* The file with the most ranges, if they can become one. */
static struct lost_file *squeeze(const struct lost *l)
{
	struct lost_file *most = NULL;

	for (size_t i = 0; i < l->n_files; i++) {
		struct lost_file *f = l->file[i];

		if (!f->hull && !f->gone && f->now.n > 1 && (!most || f->now.n > most->now.n))
			most = f;
	}
	if (most)
		most->hull = true;
	return most;
}

/* Entries that others cover go at once, those that must wait for the disk stay. */
static void drop_covered(struct lost *l, struct lost_file *f, const struct wanted *w, struct lost_change *c)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n_placed; i++) {
		const struct lost_placed *p = &f->placed[i];
		bool keep = !f->renumber && is_wanted(w, &p->range) &&
			    (n == 0 || placed_by_range(&f->placed[n - 1], p) != 0);

		if (!keep && ranges_hold(&w->set, p->range.start, p->range.end)) {
			c->drop[c->n_drops++] = p->slot;
			continue;
		}
		l->cuts = l->cuts || (!keep && !p->going);
		f->placed[n++] = *p;
	}
	f->n_placed = n;
}

int lost_plan(struct lost *l, struct lost_file *f, struct lost_change *c, struct lost_file **most)
{
	struct wanted w;

	want(f, &w);
	int r = change_begin(c, w.set.n, f->n_placed);
	if (r)
		return r;
	plan_puts(f, &w, c);
	if (c->n_puts > LOST_SLOTS - l->n_used ||
	    (!f->hull && c->n_puts > 0 && LOST_SLOTS - l->n_used < c->n_puts + LOST_SPARE)) {
		*most = squeeze(l);
		return -ENOSPC;
	}
	struct lost_placed *all = realloc(f->placed, (f->n_placed + c->n_puts + 1) * sizeof(*all));
	if (!all)
		return -ENOMEM;
	f->placed = all;
	drop_covered(l, f, &w, c);
	f->renumber = false;
	for (size_t i = 0; i < c->n_puts; i++) {
		c->put[i].slot = slot_take(l);
		f->placed[f->n_placed++] = c->put[i];
	}
	lost_sort(f);
	return 0;
}

bool lost_mark_going(struct lost *l)
{
	bool some = false;

	pthread_mutex_lock(&l->lock);
	for (size_t i = 0; l->cuts && i < l->n_files; i++) {
		struct lost_file *f = l->file[i];
		struct wanted w;

		want(f, &w);
		for (size_t k = 0; k < f->n_placed; k++) {
			f->placed[k].going = !is_wanted(&w, &f->placed[k].range);
			some = some || f->placed[k].going;
		}
	}
	l->cuts = false;
	pthread_mutex_unlock(&l->lock);
	return some;
}

/* F's entries that are marked and not wanted again. */
static void drop_going(struct lost_file *f, struct lost_change *c)
{
	struct wanted w;
	size_t n = 0;

	want(f, &w);
	for (size_t i = 0; i < f->n_placed; i++) {
		struct lost_placed *p = &f->placed[i];

		if (p->going && !is_wanted(&w, &p->range)) {
			c->drop[c->n_drops++] = p->slot;
			continue;
		}
		p->going = false;
		f->placed[n++] = *p;
	}
	f->n_placed = n;
}

int lost_plan_going(struct lost *l, struct lost_change *c)
{
	pthread_mutex_lock(&l->lock);
	int r = change_begin(c, 0, l->n_used);
	for (size_t i = 0; !r && i < l->n_files; i++)
		drop_going(l->file[i], c);
	pthread_mutex_unlock(&l->lock);
	return r;
}

/* How many slots all of them need. */
static size_t slots_wanted(const struct lost *l)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n_files; i++) {
		struct wanted w;

		want(l->file[i], &w);
		n += w.set.n;
	}
	return n;
}

/* F's entries to the next free slots. */
static int replace_file(struct lost *l, struct lost_file *f)
{
	struct wanted w;

	want(f, &w);
	struct lost_placed *all = realloc(f->placed, (w.set.n + 1) * sizeof(*all));
	if (!all)
		return -ENOMEM;
	f->placed = all;
	f->n_placed = 0;
	for (size_t i = 0; i < w.set.n && l->n_used < LOST_SLOTS; i++)
		f->placed[f->n_placed++] = (struct lost_placed){.range = w.set.r[i], .slot = slot_take(l)};
	l->head.overflowed = l->head.overflowed || f->n_placed < w.set.n;
	f->queued = false;
	return 0;
}

int lost_replace_all(struct lost *l)
{
	int r = 0;

	while (slots_wanted(l) > LOST_SLOTS - LOST_SPARE && squeeze(l))
		;
	memset(l->used, 0, sizeof(l->used));
	l->n_used = l->hint = 0;
	for (size_t i = 0; !r && i < l->n_files; i++)
		r = replace_file(l, l->file[i]);
	l->queue = NULL;
	l->cuts = false;
	return r;
}
