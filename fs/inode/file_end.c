/* SPDX-License-Identifier: BSD-2-Clause */
/* The end of an open file: sealed anew, moved up or down, put back when that fails. */
#include <errno.h>
#include <string.h>

#include "fs/inode/file_own.h"
#include "fs/store/store.h"

/* A change of the end, and what takes it back. */
struct resize {
	struct file_plan plan;
	uint64_t size; /* new */
	bool overlaps; /* the new final record lies over a part of the block behind its own, which is read for that */
};

/* Places in plan.old. */
enum { OLD_TAIL, OLD_FINAL, OLD_OVERLAPPED };

/* Bytes by which the final record of a long tail reaches into the next record's place. */
static size_t overlap(const struct layout *l, uint64_t size)
{
	uint64_t len = layout_final_len(l, size);

	return len > layout_record_len(l) ? len - layout_record_len(l) : 0;
}

/*
 * The new final record comes first: old and new ends are both whole at every moment. Where the file grows past its old
 * last block, the old final record becomes a full block, or zeros where a hole begins.
 */
static void plan(const struct file *f, const struct file_work *w, uint32_t flags, struct resize *z)
{
	const struct layout *l = &f->env->layout;
	uint64_t b = l->block_len, whole = f->size / b, new_whole = z->size / b;
	bool keeps = new_whole >= whole || z->size % b; /* a cut at a block's edge needs no old content */
	bool grows = new_whole > whole;
	uint8_t *zeros = w->edge + b;
	struct file_plan *p = &z->plan;

	z->overlaps = new_whole + 1 < whole && overlap(l, z->size) > 0;
	p->disk_size = layout_disk_size(l, z->size);
	/* the block that the new tail is cut from, or the old tail that grows */
	p->old[OLD_TAIL] = (struct file_old){new_whole < whole ? new_whole : whole, keeps ? w->edge : NULL};
	p->old[OLD_FINAL] = (struct file_old){whole, NULL};
	p->old[OLD_OVERLAPPED] = (struct file_old){new_whole + 1, NULL};
	p->n_old = z->overlaps ? 3 : 2;
	if (!grows) /* what is cut off must not come back when the file grows again */
		p->lay[p->n_lay++] = (struct file_lay){w->edge + z->size % b, NULL, b - z->size % b};
	memset(zeros, 0, b);
	file_plan_final(f, p, z->size, flags, grows ? zeros : w->edge);
	if (grows)
		file_plan_unend(f, p, new_whole, w->edge);
}

/* Block (record 0) first, where the new final record was to lie over it, then the end. */
static void undo(struct file *f, struct file_work *w, const struct resize *z)
{
	const struct layout *l = &f->env->layout;
	uint64_t no = z->size / l->block_len;

	if (no < f->size / l->block_len &&
	    store_pwrite_full(f->fd, file_old_raw(f, w, OLD_TAIL), layout_record_len(l), layout_record_off(l, no)))
		(void)file_corrupt(f, "a failed truncate left block", no);
	if (z->overlaps && store_pwrite_full(f->fd, file_old_raw(f, w, OLD_OVERLAPPED), overlap(l, z->size),
					     layout_record_off(l, no + 1)))
		(void)file_corrupt(f, "a failed truncate left block", no + 1);
	file_undo(f, w, file_old_raw(f, w, OLD_FINAL), layout_final_len(l, f->size));
}

static int put_down(struct file *f, struct file_work *w, const struct resize *z, struct inflight *in)
{
	if (behind_takes(f, z->plan.use))
		return behind_put(f, w, &(struct behind_change){.in = in, .size = z->size});
	int r = behind_wait(f);
	if (r)
		return r;
	r = file_commit(f, w, in);
	if (r)
		undo(f, w, z);
	file_committed(f, w, r);
	return r;
}

int file_resize_locked(struct file *f, struct file_work *w, uint64_t size, uint32_t flags, enum gate_use use)
{
	struct resize z = {.size = size, .plan = {.use = use}};

	plan(f, w, flags, &z);
	struct inflight in;
	int r = file_old_read(f, w, &z.plan);
	if (!r)
		r = file_seal(f, w, &z.plan, &in);
	if (!r)
		r = put_down(f, w, &z, &in);
	if (r)
		return r;
	f->size = size;
	file_ended(f, flags, f->generation + 1);
	return 0;
}
