/* SPDX-License-Identifier: BSD-2-Clause */
/* Changing an open file's size and holes: truncate, fallocate, punch hole, the sparse flag. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <unistd.h>

#include "fs/inode/file_own.h"
#include "fs/inode/keep.h"
#include "fs/inode/times.h"
#include "fs/store/store.h"

#define PUNCH_MOST (3ull << 30) /* bytes at a time, so that one entry of the journal takes them */

static const struct layout *layout(const struct file *f)
{
	return &f->env->layout;
}

/* The write lock, with all on disk that was sealed. -EACCES, and no lock: a lock of the gate has no time for that. */
static int lock_written(struct file *f)
{
	pthread_rwlock_wrlock(&f->lock);
	int r = behind_wait(f);

	if (r)
		pthread_rwlock_unlock(&f->lock);
	return r;
}

static int truncate_locked(struct file *f, struct file_work *w, uint64_t size)
{
	uint32_t b = layout(f)->block_len;
	bool holes = f->holes;

	if (size == f->size) { /* the times on disk change all the same */
		times_hold(f);
		return ftruncate(f->fd, (off_t)layout_disk_size(layout(f), size)) ? -errno : 0;
	}
	if (file_has_gap(f, f->size / b + (f->size % b ? 1 : 0), size / b))
		holes = true; /* whole blocks come into being that nobody wrote */
	if (size == 0)
		holes = false;
	file_gaps_lost(f, &f->gaps);
	bool gaps = f->gaps.n > 0 && (size > f->size || f->gaps.r[0].start < size / b);
	int r = file_resize_locked(f, w, size, holes || gaps ? FINAL_SPARSE : 0, GATE_USE_NEW);
	if (r)
		return r;
	if (!gaps)
		ranges_clear(&f->gaps);
	else if (size < f->size)
		ranges_cut(&f->gaps, size / b, UINT64_MAX);
	f->holes = holes;
	return 0;
}

int file_truncate(struct file *f, struct file_work *w, uint64_t size)
{
	if (size > layout_size_max(layout(f)))
		return -EFBIG;
	if (f->broken)
		return -EIO;
	int r = lock_written(f);
	if (r)
		return r;
	r = truncate_locked(f, w, size);
	pthread_rwlock_unlock(&f->lock);
	if (!r)
		file_found(f, size, UINT64_MAX);
	return r;
}

void file_unsparse(struct file *f, struct file_work *w)
{
	if (!atomic_load(&f->node->lost_any))
		return;
	pthread_rwlock_wrlock(&f->lock);
	file_gaps_lost(f, &f->gaps);
	/* for want of room it stays: the list says what is no hole */
	if ((f->flags & FINAL_SPARSE) && !f->holes && f->gaps.n == 0 && !f->broken)
		(void)(file_resize_locked(f, w, f->size, 0, GATE_USE_DRAIN) == 0);
	pthread_rwlock_unlock(&f->lock);
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
		in.extent[0] = (struct inflight_extent){layout_record_off(l, first),
							(uint32_t)(n * layout_record_len(l))};
		memset(inflight_data(w->slot), 0, in.extent[0].len);
		r = file_commit(f, w, &in);
		file_committed(f, w, r);
	}
	return r;
}

/* Zero the disk bytes of whole blocks FIRST..LAST-1, giving their room back where the backing can. */
static int punch_records(struct file *f, struct file_work *w, uint64_t first, uint64_t last)
{
	const struct layout *l = layout(f);
	uint64_t at = layout_record_off(l, first), end = layout_record_off(l, last);
	struct keep_change kept;
	int r = keep_before_hole(f, first, last, &kept);

	times_hold(f);
	if (!r && fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at, (off_t)(end - at)) < 0)
		r = -errno;
	keep_after(f, &kept, r);
	return r == -EOPNOTSUPP || r == -ENOSYS ? zero_records(f, w, first, last) : r;
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
	int r = lock_written(f);

	if (r)
		return r;
	if (last > f->size / layout(f)->block_len)
		last = f->size / layout(f)->block_len;
	if (first < last) {
		f->holes = true;
		if (!(f->flags & FINAL_SPARSE))
			r = file_resize_locked(f, w, f->size, FINAL_SPARSE, GATE_USE_NEW);
		for (uint64_t n; !r && first < last; first += n) {
			n = PUNCH_MOST / layout_record_len(layout(f));
			n = last - first < n ? last - first : n;
			r = punch_records(f, w, first, first + n);
		}
	}
	pthread_rwlock_unlock(&f->lock);
	return r;
}

static int punch(struct file *f, struct file_work *w, uint64_t off, uint64_t end)
{
	uint32_t b = layout(f)->block_len;
	uint64_t size = file_size(f);

	if (end > size)
		end = size;
	if (off >= end)
		return 0;
	uint64_t first = (off + b - 1) / b;
	uint64_t last = end / b;
	if (first >= last) { /* at most two partial blocks */
		uint64_t cut = first * b < end ? first * b : end;

		int r = zero_part(f, w, off, cut);
		return r ? r : zero_part(f, w, cut, end);
	}
	int r = zero_part(f, w, off, first * b);
	if (!r)
		r = zero_part(f, w, last * b, end);
	return r ? r : punch_whole(f, w, first, last);
}

/* Take the room on disk before the size says so: ENOSPC now, not later. */
static int reserve(struct file *f, uint64_t off, uint64_t end)
{
	const struct layout *l = layout(f);
	uint64_t at = layout_record_off(l, off / l->block_len), stop = layout_disk_size(l, end);

	int r = lock_written(f);
	if (r)
		return r;
	times_hold(f);
	r = file_reserve(f, at, stop - at);
	pthread_rwlock_unlock(&f->lock);
	return r;
}

/* What was lost behind the end is part of the size that is told: before holes are made there the end moves so far. */
static int grow_to_told(struct file *f, struct file_work *w)
{
	int r = lock_written(f);

	if (r)
		return r;
	uint64_t size = file_told_size(f);
	if (size > f->size)
		r = truncate_locked(f, w, size);
	pthread_rwlock_unlock(&f->lock);
	return r;
}

int file_fallocate(struct file *f, struct file_work *w, int mode, uint64_t off, uint64_t len)
{
	uint64_t end = off + len;

	if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		return -EOPNOTSUPP;
	if (len == 0 || end < off || end > layout_size_max(layout(f)))
		return len == 0 ? -EINVAL : -EFBIG;
	if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) {
		int r = grow_to_told(f, w);
		if (!r)
			r = punch(f, w, off, end);
		if (!r)
			file_found(f, off, end);
		if (r || (mode & FALLOC_FL_PUNCH_HOLE))
			return r;
	}
	int r = reserve(f, off, end);
	if (r || (mode & FALLOC_FL_KEEP_SIZE))
		return r;
	return end > file_told_size(f) ? file_truncate(f, w, end) : 0;
}
