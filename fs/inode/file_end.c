/* SPDX-License-Identifier: BSD-2-Clause */
/* The end of an open file: sealing it anew, growing, cutting, putting it back. */
#include <errno.h>
#include <string.h>

#include "fs/inode/file.h"
#include "fs/store/store.h"

static const struct layout *layout(const struct file *f)
{
	return &f->env->layout;
}

/*
 * Seal the new final record and, where the file grows past its old last block, what the old final record becomes: a full
 * block, or zeros where a hole begins. The new one comes first: old and new ends are both whole at every moment.
 */
static int seal_resize(struct file *f, struct file_work *w, const struct file_resize *z, struct block_cipher *c,
		       struct inflight *in)
{
	const struct layout *l = layout(f);
	uint64_t whole = f->size / l->block_len, new_whole = z->size / l->block_len;
	struct final_head head = {z->size % l->block_len, z->flags, f->generation + 1};
	uint8_t *out = inflight_data(w->slot), *zeros = w->edge + l->block_len;
	bool grows = new_whole > whole;
	uint32_t len = layout_final_len(l, head.tail_len);
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
	uint64_t len = layout_final_len(l, size);

	return len > layout_record_len(l) ? len - layout_record_len(l) : 0;
}

/*
 * Record 0 of w->cipher: the block that the new tail is cut from (or the old tail that grows); record 1: the old final one;
 * record 2: the block that the new final record overlaps.
 */
static int prepare(struct file *f, struct file_work *w, struct file_resize *z, struct inflight *in)
{
	const struct layout *l = layout(f);
	uint64_t whole = f->size / l->block_len, new_whole = z->size / l->block_len;
	bool keeps = new_whole >= whole || z->size % l->block_len; /* a cut at a block's edge needs no old content */
	bool overlaps = new_whole + 1 < whole && overlap(l, z->size) > 0;
	struct file_old old[3] = {
		{new_whole < whole ? new_whole : whole, keeps ? w->edge : NULL}, {whole, NULL}, {new_whole + 1, NULL}};
	struct borrow keys;
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
	borrow_end(&keys);
	z->saved = w->cipher + layout_final_room(l);
	z->saved_len = layout_final_len(l, f->size);
	z->next = overlaps ? w->cipher + 2 * layout_final_room(l) : NULL;
	return r;
}

/* Block (record 0) first, where the new final record was to lie over it, then the end. */
static void undo_resize(struct file *f, struct file_work *w, const struct file_resize *z)
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

int file_resize_locked(struct file *f, struct file_work *w, struct file_resize *z)
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
	struct file_resize z = {.size = f->size, .flags = flags, .use = use};

	return file_resize_locked(f, w, &z);
}
