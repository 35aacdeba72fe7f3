/* SPDX-License-Identifier: BSD-2-Clause */
/* Changing an open file's size and holes: truncate, fallocate, punch hole, the sparse flag. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <unistd.h>

#include "fs/inode/file.h"
#include "fs/store/store.h"

/* One change of the end: old tail read, new final record sealed, committed. */
struct resize {
	uint64_t size;        /* new */
	uint32_t flags;
	enum gate_use use;
	const uint8_t *saved; /* the old final record, raw */
	size_t saved_len;
	const uint8_t *next;  /* what the new, long final record overlaps of the block behind its own, raw; or NULL */
};

static const struct layout *layout(const struct file *f)
{
	return &f->env->layout;
}

/*
 * Seal the new final record and, where the file grows past its old last block, what the old final record becomes: a full
 * block, or zeros where a hole begins. The new one comes first: old and new ends are both whole at every moment.
 */
static int seal_resize(struct file *f, struct file_work *w, const struct resize *z, struct block_cipher *c, struct inflight *in)
{
	const struct layout *l = layout(f);
	uint64_t whole = f->size / l->block_len, new_whole = z->size / l->block_len;
	struct final_head head = {z->size % l->block_len, z->flags, f->generation + 1};
	uint8_t *out = w->slot + INFLIGHT_HEAD_LEN, *zeros = w->edge + l->block_len;
	bool grows = new_whole > whole;
	uint32_t len = FINAL_OVERHEAD + head.tail_len;
	int r;

	memset(zeros, 0, l->block_len);
	r = final_seal(c, new_whole, &head, grows ? zeros : w->edge, out);
	in->extent[in->n_extents++] = (struct inflight_extent){layout_record_off(l, new_whole), len};
	if (r || !grows)
		return r;
	out += len;
	if (f->size % l->block_len)
		r = block_seal(c, whole, 1, w->edge, out);
	len = file_unend(f, new_whole, out);
	in->extent[in->n_extents++] = (struct inflight_extent){layout_record_off(l, whole), len};
	return r;
}

/* Bytes by which the final record of a long tail reaches into the next record's place. */
static size_t overlap(const struct layout *l, uint64_t size)
{
	uint64_t len = FINAL_OVERHEAD + size % l->block_len;

	return len > layout_record_len(l) ? len - layout_record_len(l) : 0;
}

/*
 * Record 0 of w->cipher: the block that the new tail is cut from (or the old tail that grows); record 1: the old final one;
 * record 2: the block that the new final record overlaps.
 */
static int prepare(struct file *f, struct file_work *w, struct resize *z, struct inflight *in)
{
	const struct layout *l = layout(f);
	uint64_t whole = f->size / l->block_len, new_whole = z->size / l->block_len;
	bool keeps = new_whole >= whole || z->size % l->block_len; /* a cut at a block's edge needs no old content */
	bool overlaps = new_whole + 1 < whole && overlap(l, z->size) > 0;
	struct file_old old[3] = {
		{new_whole < whole ? new_whole : whole, keeps ? w->edge : NULL}, {whole, NULL}, {new_whole + 1, NULL}};
	struct file_borrow keys;
	int r = file_old_read(f, w, old, overlaps ? 3 : 2);

	if (!r)
		r = file_borrow(f, z->use, &keys);
	if (r)
		return r;
	r = file_old_open(f, w, &keys.open, old, 1);
	if (!r && new_whole <= whole) /* what is cut off must not come back when the file grows again */
		memset(w->edge + z->size % l->block_len, 0, l->block_len - z->size % l->block_len);
	if (!r)
		r = seal_resize(f, w, z, &keys.seal, in);
	file_borrow_end(&keys);
	z->saved = w->cipher + FINAL_OVERHEAD + l->block_len;
	z->saved_len = FINAL_OVERHEAD + f->size % l->block_len;
	z->next = overlaps ? w->cipher + 2 * (FINAL_OVERHEAD + (size_t)l->block_len) : NULL;
	return r;
}

/* Block (record 0) first, where the new final record was to lie over it, then the end. */
static void undo_resize(struct file *f, struct file_work *w, const struct resize *z)
{
	const struct layout *l = layout(f);
	uint64_t no = z->size / l->block_len;

	if (no < f->size / l->block_len &&
	    store_pwrite_full(f->fd, w->cipher, layout_record_len(l), layout_record_off(l, no)))
		(void)file_corrupt(f, "a failed truncate left block", no);
	if (z->next && store_pwrite_full(f->fd, z->next, overlap(l, z->size), layout_record_off(l, no + 1)))
		(void)file_corrupt(f, "a failed truncate left block", no + 1);
	file_undo(f, w, z->saved, z->saved_len);
}

static int resize_locked(struct file *f, struct file_work *w, struct resize *z)
{
	struct inflight in = {.disk_size = layout_disk_size(layout(f), z->size)};
	int r = prepare(f, w, z, &in);

	if (r)
		return r;
	r = file_commit(f, w, &in);
	if (r) {
		undo_resize(f, w, z);
		return r;
	}
	f->size = z->size;
	f->flags = z->flags;
	f->generation++;
	return 0;
}

int file_reflag(struct file *f, struct file_work *w, uint32_t flags, enum gate_use use)
{
	struct resize z = {.size = f->size, .flags = flags, .use = use};

	return resize_locked(f, w, &z);
}

static int truncate_locked(struct file *f, struct file_work *w, uint64_t size)
{
	struct resize z = {.size = size, .use = GATE_USE_NEW};
	uint32_t b = layout(f)->block_len;
	bool holes = f->holes;
	int r;

	if (size == f->size) /* the times change all the same */
		return ftruncate(f->fd, (off_t)layout_disk_size(layout(f), size)) ? -errno : 0;
	if (size / b > f->size / b + (f->size % b ? 1 : 0))
		holes = true; /* whole blocks come into being that nobody wrote */
	if (size == 0)
		holes = false;
	if (size < f->size)
		ranges_cut(&f->gaps, size / b, UINT64_MAX);
	z.flags = holes || f->gaps.n > 0 ? FINAL_SPARSE : 0;
	r = resize_locked(f, w, &z);
	if (r)
		f->holes = f->holes || (f->flags & FINAL_SPARSE);
	else
		f->holes = holes;
	return r;
}

int file_truncate(struct file *f, struct file_work *w, uint64_t size)
{
	struct node *n = f->node;
	int r;

	if (size > layout_size_max(layout(f)))
		return -EFBIG;
	if (f->broken)
		return -EIO;
	pthread_rwlock_wrlock(&f->lock);
	r = truncate_locked(f, w, size);
	pthread_rwlock_unlock(&f->lock);
	if (!r && atomic_load(&n->lost_any)) {
		pthread_mutex_lock(&n->lock);
		ranges_cut(&n->lost, size, UINT64_MAX);
		atomic_store(&n->lost_any, n->lost.n > 0);
		pthread_mutex_unlock(&n->lock);
	}
	return r;
}

/* A backing without holes: zeros, out of the slot, so that death leaves no record half zero. */
static int zero_records(struct file *f, struct file_work *w, uint64_t first, uint64_t last)
{
	const struct layout *l = layout(f);
	uint64_t most = INFLIGHT_REQUEST_MAX / l->block_len;
	int r = 0;

	for (uint64_t n; !r && first < last; first += n) {
		struct inflight in = {.disk_size = INFLIGHT_KEEP_SIZE, .n_extents = 1};

		n = last - first < most ? last - first : most;
		in.extent[0] = (struct inflight_extent){layout_record_off(l, first), (uint32_t)(n * layout_record_len(l))};
		memset(w->slot + INFLIGHT_HEAD_LEN, 0, in.extent[0].len);
		r = file_commit(f, w, &in);
	}
	return r;
}

/* Zero the disk bytes of whole blocks FIRST..LAST-1, giving their room back where the backing can. */
static int punch_records(struct file *f, struct file_work *w, uint64_t first, uint64_t last)
{
	const struct layout *l = layout(f);
	uint64_t at = layout_record_off(l, first), end = layout_record_off(l, last);

	if (fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at, (off_t)(end - at)) == 0)
		return 0;
	if (errno != EOPNOTSUPP && errno != ENOSYS)
		return -errno;
	return zero_records(f, w, first, last);
}

static int zero_part(struct file *f, struct file_work *w, uint64_t off, uint64_t end)
{
	struct file_write wr = {.off = off, .plain = w->plain, .len = end - off, .use = GATE_USE_NEW};

	if (off >= end)
		return 0;
	memset(w->plain, 0, wr.len);
	return file_write(f, w, &wr);
}

static int punch_whole(struct file *f, struct file_work *w, uint64_t first, uint64_t last)
{
	int r = 0;

	pthread_rwlock_wrlock(&f->lock);
	if (last > f->size / layout(f)->block_len)
		last = f->size / layout(f)->block_len;
	if (first < last) {
		f->holes = true;
		if (!(f->flags & FINAL_SPARSE))
			r = file_reflag(f, w, FINAL_SPARSE, GATE_USE_NEW);
		if (!r)
			r = punch_records(f, w, first, last);
	}
	pthread_rwlock_unlock(&f->lock);
	return r;
}

static int punch(struct file *f, struct file_work *w, uint64_t off, uint64_t end)
{
	uint32_t b = layout(f)->block_len;
	uint64_t size = file_size(f), first, last;
	int r;

	if (end > size)
		end = size;
	if (off >= end)
		return 0;
	first = (off + b - 1) / b;
	last = end / b;
	if (first >= last) { /* at most two partial blocks */
		uint64_t cut = first * b < end ? first * b : end;

		r = zero_part(f, w, off, cut);
		return r ? r : zero_part(f, w, cut, end);
	}
	r = zero_part(f, w, off, first * b);
	if (!r)
		r = zero_part(f, w, last * b, end);
	return r ? r : punch_whole(f, w, first, last);
}

static void unlose(struct file *f, uint64_t off, uint64_t end)
{
	struct node *n = f->node;

	pthread_mutex_lock(&n->lock);
	ranges_cut(&n->lost, off, end);
	atomic_store(&n->lost_any, n->lost.n > 0);
	pthread_mutex_unlock(&n->lock);
}

/* Take the room on disk before the size says so: ENOSPC now, not later. */
static int reserve(struct file *f, uint64_t off, uint64_t end)
{
	const struct layout *l = layout(f);
	uint64_t at = layout_record_off(l, off / l->block_len), stop = layout_disk_size(l, end);
	int r;

	pthread_rwlock_wrlock(&f->lock);
	r = fallocate(f->fd, FALLOC_FL_KEEP_SIZE, (off_t)at, (off_t)(stop - at)) ? -errno : 0;
	pthread_rwlock_unlock(&f->lock);
	return r;
}

int file_fallocate(struct file *f, struct file_work *w, int mode, uint64_t off, uint64_t len)
{
	uint64_t end = off + len;
	int r;

	if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		return -EOPNOTSUPP;
	if (len == 0 || end < off || end > layout_size_max(layout(f)))
		return len == 0 ? -EINVAL : -EFBIG;
	if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) {
		r = punch(f, w, off, end);
		if (!r)
			unlose(f, off, end);
		if (r || (mode & FALLOC_FL_PUNCH_HOLE))
			return r;
	}
	r = reserve(f, off, end);
	if (r || (mode & FALLOC_FL_KEEP_SIZE))
		return r;
	return end > file_size(f) ? file_truncate(f, w, end) : 0;
}
