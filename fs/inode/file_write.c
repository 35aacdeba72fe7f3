/* SPDX-License-Identifier: BSD-2-Clause */
/* Writing an open file: one request, one run of sealed records, one pwritev-like commit out of the in-flight slot. */
#include <errno.h>
#include <string.h>

#include "fs/inode/file_own.h"
#include "fs/store/store.h"

/*
 * One write, worked out. The run goes from block `first` to the final record (when `final`) or to `last`. Blocks that the
 * request covers only in part are put together in an edge buffer out of old content and new.
 */
struct edit {
	const struct file_write *wr;
	uint64_t end; /* off + len */
	uint64_t new_size;
	uint64_t whole, new_whole;       /* whole blocks before and after */
	uint64_t first, last;            /* blocks that the request touches */
	bool final;                      /* the final record is written anew */
	uint8_t *edge_first, *edge_last; /* NULL: direct from the request */
	uint32_t flags;                  /* of the file afterwards, */
	struct ranges gaps;              /* its gaps, */
	bool holes;                      /* and holes */
	struct file_plan plan;
	const uint8_t *saved; /* the old final record, raw */
	size_t saved_len;
	uint8_t empty[FINAL_OVERHEAD]; /* where the old tail was empty: one like it */
};

static uint32_t block_len(const struct file *f)
{
	return f->env->layout.block_len;
}

static bool needs_old(const struct edit *e, uint64_t no, uint64_t size, uint32_t b)
{
	uint64_t start = no * b, stop = start + b;

	return (e->wr->off > start && start < size) || (e->end < stop && e->end < size);
}

/* The request does not cover block NO up to its end (or up to the end of the file, where it is the tail). */
static bool is_edge(const struct edit *e, uint64_t no, uint32_t b)
{
	uint64_t start = no * b, stop = start + b;

	if (stop > e->new_size)
		stop = e->new_size;
	return e->wr->off > start || e->end < stop;
}

static void add_old(struct edit *e, uint64_t no, uint8_t *plain)
{
	e->plan.old[e->plan.n_old++] = (struct file_old){no, plain};
}

/* Block NO is put together in EDGE: old content where there is any, zeros elsewhere, the request's bytes over it. */
static uint8_t *plan_edge(const struct file *f, struct edit *e, uint64_t no, uint8_t *edge)
{
	uint32_t b = block_len(f);
	uint64_t start = no * b, from = e->wr->off > start ? e->wr->off : start;
	uint64_t to = e->end < start + b ? e->end : start + b;

	memset(edge, 0, b);
	if (needs_old(e, no, f->size, b))
		add_old(e, no, edge);
	e->plan.lay[e->plan.n_lay++] = (struct file_lay){edge + (from - start), e->wr->plain + (from - e->wr->off),
							 to - from};
	return edge;
}

/* The old final record is put back if the write fails: keep it raw. An empty one is sealed again instead of being read. */
static void plan_saved(const struct file *f, const struct file_work *w, struct edit *e)
{
	unsigned i = 0;

	if (!e->final)
		return;
	if (f->size % block_len(f) == 0) {
		e->saved = e->plan.empty = e->empty;
		e->saved_len = sizeof(e->empty);
		return;
	}
	while (i < e->plan.n_old && e->plan.old[i].no != e->whole)
		i++;
	if (i == e->plan.n_old)
		add_old(e, e->whole, NULL);
	e->saved = file_old_raw(f, w, i);
	e->saved_len = layout_final_len(&f->env->layout, f->size);
}

/*
 * Gaps that this write opens and closes, and what the new final record has to say of them. They are the file's when the write is on
 * disk: one that fails opens none.
 */
static void plan_gaps(const struct file *f, struct edit *e)
{
	uint64_t gap = e->whole + (f->size % block_len(f) ? 1 : 0);

	e->holes = f->holes;
	if (ranges_copy(&e->gaps, &f->gaps) || (gap < e->first && file_gaps_add(f, &e->gaps, gap, e->first)))
		e->holes = true;
	file_gaps_lost(f, &e->gaps);
	if (e->gaps.n > 0)
		ranges_cut(&e->gaps, e->first, e->last + 1);
	if (e->gaps.n > 64) {
		e->holes = true; /* not write-back in disorder any more but a sparse file */
		ranges_clear(&e->gaps);
	}
	e->flags = e->holes || e->gaps.n > 0 ? FINAL_SPARSE : 0;
}

static const uint8_t *plain_of(const struct edit *e, uint64_t no, uint32_t b)
{
	if (no == e->first && e->edge_first)
		return e->edge_first;
	if (no == e->last && e->edge_last)
		return e->edge_last;
	return e->wr->plain + (no * b - e->wr->off);
}

/* Whole blocks from the first one on; those that lie one behind another in the request are one span. */
static void plan_blocks(const struct file *f, struct edit *e)
{
	uint64_t to = e->final ? e->new_whole : e->last + 1, no = e->first;
	uint32_t b = block_len(f);

	while (no < to) {
		uint64_t stop = no + 1;
		bool direct = !(no == e->first && e->edge_first) && !(no == e->last && e->edge_last);

		if (direct)
			stop = to == e->last + 1 && e->edge_last ? to - 1 : to;
		file_plan_blocks(f, &e->plan, no, stop - no, plain_of(e, no, b));
		no = stop;
	}
}

/* What is read, what is laid over what, what is sealed and where it goes. */
static void plan(struct file *f, const struct file_work *w, const struct file_write *wr, struct edit *e)
{
	uint32_t b = block_len(f);
	uint8_t *old_tail = w->edge + 2 * (size_t)b;

	*e = (struct edit){.wr = wr, .end = wr->off + wr->len};
	e->plan.use = wr->use;
	e->plan.disk_size = INFLIGHT_KEEP_SIZE;
	e->new_size = e->end > f->size ? e->end : f->size;
	e->whole = f->size / b;
	e->new_whole = e->new_size / b;
	e->first = wr->off / b;
	e->last = (e->end - 1) / b;
	e->final = e->end > e->whole * b;
	if (is_edge(e, e->first, b))
		e->edge_first = plan_edge(f, e, e->first, w->edge);
	if (e->last != e->first && is_edge(e, e->last, b))
		e->edge_last = plan_edge(f, e, e->last, w->edge + b);
	if (e->first > e->whole) { /* the old tail, before a gap, becomes a whole block */
		if (f->size % b)
			add_old(e, e->whole, old_tail);
		file_plan_unend(f, &e->plan, e->first, old_tail);
	}
	plan_saved(f, w, e);
	plan_gaps(f, e);
	plan_blocks(f, e);
	if (e->final)
		file_plan_final(f, &e->plan, e->new_size, e->flags,
				e->new_size % b ? plain_of(e, e->new_whole, b) : NULL);
}

/*
 * The write failed on the disk: blocks that it covers in part hold bytes that are none of its business, so they are put
 * back, and so is the end of the file.
 */
static void undo_edit(struct file *f, struct file_work *w, const struct edit *e)
{
	const struct layout *l = &f->env->layout;

	for (unsigned i = 0; i < e->plan.n_old; i++) {
		uint64_t no = e->plan.old[i].no;

		if (no < e->whole &&
		    store_pwrite_full(f->fd, file_old_raw(f, w, i), layout_record_len(l), layout_record_off(l, no)))
			(void)file_corrupt(f, "a failed write left block", no);
	}
	if (e->final)
		file_undo(f, w, e->saved, e->saved_len);
}

/* It is on disk: the file is what the plan said. */
static int written(struct file *f, struct file_work *w, struct edit *e)
{
	ranges_clear(&f->gaps);
	f->gaps = e->gaps;
	e->gaps = (struct ranges){0};
	f->holes = e->holes;
	f->size = e->new_size;
	if (!e->final) /* a gap was filled that the end still tells of */
		return e->flags == f->flags ? 0 : file_resize_locked(f, w, f->size, e->flags, e->wr->use);
	file_ended(f, e->flags, f->generation + 1);
	return 0;
}

/* What is sealed goes to the disk, or behind the answer. */
static int put_down(struct file *f, struct file_work *w, const struct edit *e, struct inflight *in, bool inside)
{
	w->behind = behind_takes(f, e->wr->use);
	if (w->behind)
		return behind_put(
			f, w,
			&(struct behind_change){in, e->wr->off, e->wr->len, inside ? f->size : e->new_size, inside});
	int r = behind_wait(f);
	if (r)
		return r;
	r = file_commit(f, w, in);
	if (r)
		undo_edit(f, w, e);
	file_committed(f, w, r);
	return r;
}

/* All of it but the locks. */
static int write_locked(struct file *f, struct file_work *w, const struct file_write *wr, bool inside)
{
	struct inflight in;
	struct edit e;

	plan(f, w, wr, &e);
	int r = file_old_read(f, w, &e.plan);
	if (!r)
		r = file_seal(f, w, &e.plan, &in);
	if (!r)
		r = file_room(f, &in);
	if (!r)
		r = put_down(f, w, &e, &in, inside);
	if (!r && !inside)
		r = written(f, w, &e);
	ranges_clear(&e.gaps);
	return r;
}

/* Does WR write over whole blocks in the middle, and change nothing else of the file? */
static bool is_inside(const struct file *f, const struct file_write *wr)
{
	uint64_t whole = f->size / block_len(f) * block_len(f);

	return wr->off + wr->len <= whole && f->gaps.n == 0 && !atomic_load(&f->node->lost_any) &&
	       f->holes == ((f->flags & FINAL_SPARSE) != 0);
}

/* As the others, but beside them. 1: it is not for here. */
static int write_inside(struct file *f, struct file_work *w, const struct file_write *wr)
{
	struct busy busy = {
		.first = wr->off / block_len(f), .last = (wr->off + wr->len - 1) / block_len(f), .writes = true};
	int r = 1;

	pthread_rwlock_rdlock(&f->lock);
	if (is_inside(f, wr)) {
		busy_enter(&f->busy, &busy);
		r = write_locked(f, w, wr, true);
		busy_leave(&f->busy, &busy);
	}
	pthread_rwlock_unlock(&f->lock);
	return r;
}

/* The write lock, as soon as WR would not leave a gap for a write that is under way as well. */
static void lock_in_turn(struct file *f, const struct file_write *wr, struct turn *me)
{
	uint32_t b = block_len(f);

	for (;;) {
		pthread_rwlock_wrlock(&f->lock);
		uint64_t size = f->size;
		if (wr->off / b <= size / b + (size % b ? 1 : 0) || !turn_is_anothers(&f->turns, me, size / b * b))
			return;
		pthread_rwlock_unlock(&f->lock);
		turn_wait(&f->turns, me, size / b * b);
	}
}

int file_write(struct file *f, struct file_work *w, const struct file_write *wr)
{
	if (wr->len == 0)
		return 0;
	if (wr->len > INFLIGHT_REQUEST_MAX || wr->off > layout_size_max(&f->env->layout) - wr->len)
		return -EFBIG;
	if (f->broken)
		return -EIO;
	struct turn me;
	turn_enter(&f->turns, &me, wr->off);
	int r = write_inside(f, w, wr);
	if (r == 1) {
		lock_in_turn(f, wr, &me);
		r = write_locked(f, w, wr, false);
		pthread_rwlock_unlock(&f->lock);
	}
	turn_leave(&f->turns, &me);
	if (!r && !w->behind) /* else when it is there */
		file_found(f, wr->off, wr->off + wr->len);
	return r;
}
