/* SPDX-License-Identifier: BSD-2-Clause */
/* Writing an open file: one request, one run of sealed records, one pwritev-like commit out of the in-flight slot. */
#include <errno.h>
#include <string.h>

#include "fs/inode/file.h"
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
	bool pad;                        /* the old tail, before a gap, becomes a whole block */
	bool unend;                      /* the old, empty final record lies where a hole is to be: zero it */
	uint8_t *edge_first, *edge_last; /* NULL: direct from the request */
	struct file_old old[4];
	unsigned n_old;
	uint32_t flags;       /* of the new final record */
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
	e->old[e->n_old++] = (struct file_old){no, plain};
}

static void plan_edges(const struct file *f, const struct file_work *w, struct edit *e)
{
	uint32_t b = block_len(f);

	if (is_edge(e, e->first, b)) {
		e->edge_first = w->edge;
		if (needs_old(e, e->first, f->size, b))
			add_old(e, e->first, e->edge_first);
	}
	if (e->last != e->first && is_edge(e, e->last, b)) {
		e->edge_last = w->edge + b;
		if (needs_old(e, e->last, f->size, b))
			add_old(e, e->last, e->edge_last);
	}
	if (e->pad)
		add_old(e, e->whole, w->edge + 2 * (size_t)b);
}

/* The old final record is put back if the write fails: keep it raw. An empty one is sealed again instead of being read. */
static void plan_saved(const struct file *f, const struct file_work *w, struct edit *e)
{
	size_t stride = layout_final_room(&f->env->layout);
	unsigned i;

	if (!e->final || f->size % block_len(f) == 0)
		return;
	for (i = 0; i < e->n_old && e->old[i].no != e->whole; i++)
		;
	if (i == e->n_old)
		add_old(e, e->whole, NULL);
	e->saved = w->cipher + i * stride;
	e->saved_len = layout_final_len(&f->env->layout, f->size);
}

static void plan(const struct file *f, const struct file_work *w, const struct file_write *wr, struct edit *e)
{
	uint32_t b = block_len(f);
	uint64_t tail = f->size % b;

	memset(e, 0, sizeof(*e));
	e->wr = wr;
	e->end = wr->off + wr->len;
	e->new_size = e->end > f->size ? e->end : f->size;
	e->whole = f->size / b;
	e->new_whole = e->new_size / b;
	e->first = wr->off / b;
	e->last = (e->end - 1) / b;
	e->final = e->end > e->whole * b;
	e->pad = e->first > e->whole && tail > 0;
	e->unend = e->first > e->whole && tail == 0;
	e->saved = e->empty;
	e->saved_len = sizeof(e->empty);
	plan_edges(f, w, e);
	plan_saved(f, w, e);
}

/* Gaps that this write opens and closes, and what the new final record has to say of them. */
static void plan_gaps(struct file *f, struct edit *e)
{
	uint64_t gap = e->whole + (e->pad ? 1 : 0);

	if (gap < e->first && ranges_add(&f->gaps, gap, e->first))
		f->holes = true;
	if (f->gaps.n > 0)
		ranges_cut(&f->gaps, e->first, e->last + 1);
	if (f->gaps.n > 64) {
		f->holes = true; /* not write-back in disorder any more but a sparse file */
		ranges_clear(&f->gaps);
	}
	e->flags = f->holes || f->gaps.n > 0 ? FINAL_SPARSE : 0;
}

/* Lay the request's bytes over the old content of block NO in EDGE. */
static void merge(const struct edit *e, uint64_t no, uint8_t *edge, uint32_t b)
{
	uint64_t start = no * b, from = e->wr->off > start ? e->wr->off : start;
	uint64_t to = e->end < start + b ? e->end : start + b;

	memcpy(edge + (from - start), e->wr->plain + (from - e->wr->off), to - from);
}

static const uint8_t *plain_of(const struct edit *e, uint64_t no, uint32_t b)
{
	if (no == e->first && e->edge_first)
		return e->edge_first;
	if (no == e->last && e->edge_last)
		return e->edge_last;
	return e->wr->plain + (no * b - e->wr->off);
}

/* Seal whole blocks FROM..TO-1, those that lie one behind another in the request in one call. */
static int seal_blocks(struct block_cipher *c, const struct edit *e, uint64_t to, const struct layout *l, uint8_t **out)
{
	uint64_t no = e->first;
	int r = 0;

	while (!r && no < to) {
		uint64_t stop = no + 1;
		bool direct = !(no == e->first && e->edge_first) && !(no == e->last && e->edge_last);

		if (direct)
			stop = to == e->last + 1 && e->edge_last ? to - 1 : to;
		r = block_seal(c, no, stop - no, plain_of(e, no, l->block_len), *out);
		*out += (stop - no) * layout_record_len(l);
		no = stop;
	}
	return r;
}

/* Seal everything into the slot's data part, the extents into IN. Keys are borrowed. */
static int seal_edit(struct file *f, struct file_work *w, struct edit *e, struct block_cipher *c, struct inflight *in)
{
	const struct layout *l = &f->env->layout;
	uint8_t *data = inflight_data(w->slot), *out = data;
	struct final_head head = {e->new_size % l->block_len, e->flags, f->generation + 1};
	uint64_t to = e->final ? e->new_whole : e->last + 1;
	int r = 0;

	if (e->pad)
		r = block_seal(c, e->whole, 1, w->edge + 2 * (size_t)l->block_len, out);
	if (e->pad || e->unend) {
		uint32_t len = file_unend(f, e->first, out);

		in->extent[in->n_extents++] = (struct inflight_extent){layout_record_off(l, e->whole), len};
		out += len;
		data = out;
	}
	if (!r)
		r = seal_blocks(c, e, to, l, &out);
	if (!r && e->final) {
		r = final_seal(c, e->new_whole, &head, head.tail_len ? plain_of(e, e->new_whole, l->block_len) : NULL,
			       out);
		out += layout_final_len(l, e->new_size);
	}
	in->extent[in->n_extents++] = (struct inflight_extent){layout_record_off(l, e->first), (uint32_t)(out - data)};
	return r;
}

/* Borrow, open old content, merge, seal, give back: no I/O in between. */
static int crypt_edit(struct file *f, struct file_work *w, struct edit *e, struct inflight *in)
{
	uint32_t b = block_len(f);
	struct borrow keys;
	int r = file_borrow(f, e->wr->use, &keys);

	if (r)
		return r;
	if (e->edge_first)
		memset(e->edge_first, 0, b);
	if (e->edge_last)
		memset(e->edge_last, 0, b);
	r = file_old_open(f, w, &keys.open, e->old, e->n_old);
	if (!r) {
		if (e->edge_first)
			merge(e, e->first, e->edge_first, b);
		if (e->edge_last)
			merge(e, e->last, e->edge_last, b);
		r = seal_edit(f, w, e, &keys.seal, in);
	}
	/* now and not when it is needed: by then the gate may be shut */
	if (!r && e->final && e->saved == e->empty)
		r = final_seal(&keys.seal, e->whole, &(struct final_head){0, f->flags, f->generation + 1}, NULL,
			       e->empty);
	borrow_end(&keys);
	return r;
}

/* A failed write has left the account of gaps uncertain: what was sparse on disk stays sparse. */
static void keep_holes(struct file *f)
{
	if ((f->flags & FINAL_SPARSE) || f->gaps.n > 0)
		f->holes = true;
}

/*
 * The write failed on the disk: blocks that it covers in part hold bytes that are none of its business, so they are put
 * back, and so is the end of the file.
 */
static void undo_edit(struct file *f, struct file_work *w, const struct edit *e)
{
	const struct layout *l = &f->env->layout;
	size_t stride = layout_final_room(l);

	keep_holes(f);
	for (unsigned i = 0; i < e->n_old; i++) {
		uint64_t no = e->old[i].no;

		if (no < e->whole &&
		    store_pwrite_full(f->fd, w->cipher + i * stride, layout_record_len(l), layout_record_off(l, no)))
			(void)file_corrupt(f, "a failed write left block", no);
	}
	if (e->final)
		file_undo(f, w, e->saved, e->saved_len);
}

static void found(struct node *n, uint64_t off, uint64_t len)
{
	if (!atomic_load(&n->lost_any))
		return;
	pthread_mutex_lock(&n->lock);
	ranges_cut(&n->lost, off, off + len);
	atomic_store(&n->lost_any, n->lost.n > 0);
	pthread_mutex_unlock(&n->lock);
}

static int write_locked(struct file *f, struct file_work *w, const struct file_write *wr)
{
	struct inflight in = {.disk_size = INFLIGHT_KEEP_SIZE};
	struct edit e;
	int r;

	plan(f, w, wr, &e);
	plan_gaps(f, &e);
	r = file_old_read(f, w, e.old, e.n_old);
	if (!r)
		r = crypt_edit(f, w, &e, &in);
	if (r) {
		keep_holes(f);
		return r;
	}
	r = file_commit(f, w, &in);
	if (r) {
		undo_edit(f, w, &e);
		return r;
	}
	f->size = e.new_size;
	if (e.final) {
		f->flags = e.flags;
		f->generation++;
	} else if (e.flags != f->flags) {
		return file_reflag(f, w, e.flags, wr->use);
	}
	return 0;
}

int file_write(struct file *f, struct file_work *w, const struct file_write *wr)
{
	int r;

	if (wr->len == 0)
		return 0;
	if (wr->len > INFLIGHT_REQUEST_MAX || wr->off > layout_size_max(&f->env->layout) - wr->len)
		return -EFBIG;
	if (f->broken)
		return -EIO;
	pthread_rwlock_wrlock(&f->lock);
	r = write_locked(f, w, wr);
	pthread_rwlock_unlock(&f->lock);
	if (!r)
		found(f->node, wr->off, wr->len);
	return r;
}
