/* SPDX-License-Identifier: BSD-2-Clause */
/* From a plan to the disk: old records read and opened, spans sealed into the in-flight slot, the slot committed. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "fs/inode/file_own.h"
#include "fs/inode/keep.h"
#include "fs/inode/times.h"
#include "fs/store/slots.h"
#include "fs/store/store.h"
#include "fs/store/written.h"

static void add_span(const struct file *f, struct file_plan *p, struct file_span s)
{
	s.off = layout_record_off(&f->env->layout, s.no);
	p->span[p->n_spans++] = s;
}

void file_plan_final(const struct file *f, struct file_plan *p, uint64_t size, uint32_t flags, const uint8_t *tail)
{
	const struct layout *l = &f->env->layout;

	p->head = (struct final_head){(uint32_t)(size % l->block_len), flags, f->generation + 1};
	add_span(f, p,
		 (struct file_span){.kind = SPAN_FINAL,
				    .no = size / l->block_len,
				    .plain = tail,
				    .len = layout_final_len(&f->env->layout, size)});
}

void file_plan_blocks(const struct file *f, struct file_plan *p, uint64_t no, size_t n, const uint8_t *plain)
{
	uint32_t len = (uint32_t)(n * layout_record_len(&f->env->layout));

	add_span(f, p, (struct file_span){.kind = SPAN_BLOCKS, .no = no, .n = n, .plain = plain, .len = len});
}

void file_plan_unend(const struct file *f, struct file_plan *p, uint64_t next, const uint8_t *tail)
{
	const struct layout *l = &f->env->layout;
	uint64_t whole = f->size / l->block_len, len = layout_final_len(l, f->size);
	uint64_t record = layout_record_len(l);

	if (f->size % l->block_len == 0) {
		add_span(f, p, (struct file_span){.kind = SPAN_ZEROS, .no = whole, .len = FINAL_OVERHEAD});
		return;
	}
	file_plan_blocks(f, p, whole, 1, tail);
	/* F > R - B: a long tail's record reaches a few bytes into the next one, which is a hole unless it is written now */
	if (next > whole + 1 && len > record)
		add_span(f, p,
			 (struct file_span){.kind = SPAN_ZEROS, .no = whole + 1, .len = (uint32_t)(len - record)});
}

int file_old_read(struct file *f, struct file_work *w, const struct file_plan *p)
{
	const struct layout *l = &f->env->layout;
	uint64_t whole = f->size / l->block_len;

	for (unsigned i = 0; i < p->n_old; i++) {
		uint64_t no = p->old[i].no;
		size_t len = no < whole ? layout_record_len(l) : layout_final_len(l, f->size);

		if (no > whole)
			continue;
		int r = behind_pread(f, file_old_raw(f, w, i), len, layout_record_off(l, no));
		if (r)
			return r == -EIO ? file_corrupt(f, "cut short or unreadable: block", no) : r;
	}
	return 0;
}

static int open_old(struct file *f, struct file_work *w, struct block_cipher *c, const struct file_plan *p)
{
	const struct layout *l = &f->env->layout;
	uint64_t whole = f->size / l->block_len;

	w->dirty = true;
	for (unsigned i = 0; i < p->n_old; i++) {
		const struct file_old *old = &p->old[i];
		const uint8_t *cipher = file_old_raw(f, w, i);
		struct final_head head;
		int r = 0;

		if (!old->plain)
			continue;
		memset(old->plain, 0, l->block_len);
		if (old->no < whole)
			r = block_open(c, old->no, 1, f->flags, cipher, old->plain, NULL);
		else if (old->no == whole)
			r = final_open(c, whole, cipher, layout_final_len(l, f->size), &head, old->plain);
		if (r == -EBADMSG && old->no < whole && file_lost_block(f, old->no))
			r = 0; /* what is written is there then, the rest of the block is lost as before */
		if (r)
			return r == -EBADMSG ? file_corrupt(f, "block", old->no) : r;
	}
	for (unsigned i = 0; i < p->n_lay; i++) {
		const struct file_lay *lay = &p->lay[i];

		if (lay->from)
			memcpy(lay->to, lay->from, lay->len);
		else
			memset(lay->to, 0, lay->len);
	}
	return 0;
}

/* What follows on disk what is last in the slot is one write with it. */
static void add_extent(struct inflight *in, const struct file_span *s)
{
	struct inflight_extent *last = in->n_extents ? &in->extent[in->n_extents - 1] : NULL;

	if (last && last->disk_off + last->len == s->off)
		last->len += s->len;
	else
		in->extent[in->n_extents++] = (struct inflight_extent){s->off, s->len};
}

int file_seal(struct file *f, struct file_work *w, const struct file_plan *p, struct inflight *in)
{
	AUTO(borrow_end) struct borrow keys;
	uint8_t *out = inflight_data(w->slot);

	*in = (struct inflight){.disk_size = p->disk_size};
	int r = file_borrow(f, p->use, &keys);
	if (!r)
		r = open_old(f, w, &keys.open, p);
	for (unsigned i = 0; !r && i < p->n_spans; i++) {
		const struct file_span *s = &p->span[i];

		if (s->kind == SPAN_BLOCKS)
			r = block_seal(&keys.seal, s->no, s->n, s->plain, out);
		else if (s->kind == SPAN_FINAL)
			r = final_seal(&keys.seal, s->no, &p->head, s->plain, out);
		else
			memset(out, 0, s->len);
		add_extent(in, s);
		out += s->len;
	}
	/* now and not when it is needed: by then the gate may be shut */
	if (!r && p->empty)
		r = final_seal(&keys.seal, f->size / f->env->layout.block_len,
			       &(struct final_head){0, f->flags, f->generation + 1}, NULL, p->empty);
	return r;
}

static int write_out(struct file *f, const uint8_t *data, const struct inflight *in)
{
	int r = 0;

	for (unsigned i = 0; !r && i < in->n_extents; i++) {
		r = store_pwrite_full(f->fd, data, in->extent[i].len, in->extent[i].disk_off);
		data += in->extent[i].len;
	}
	if (!r && in->disk_size != INFLIGHT_KEEP_SIZE && ftruncate(f->fd, (off_t)in->disk_size))
		r = -errno;
	return r;
}

/* The slot with its head; on disk too where there are slots. */
static int slot_fill(struct file *f, struct file_work *w, struct inflight *in, struct slot_hold *hold)
{
	char path[INFLIGHT_PATH_MAX];

	memcpy(in->boot_id, f->env->boot_id, ID_LEN);
	memcpy(in->file_id, f->file_id, ID_LEN);
	in->dev = f->node->dev;
	in->ino = f->node->ino;
	in->path_len = (uint32_t)node_path(f->env->nodes, f->node, path, sizeof(path));
	if (f->env->slots)
		return slots_put(f->env->slots, hold, w->slot, in, path);
	inflight_fill(w->slot, in, path);
	inflight_mark(w->slot, 1);
	return 0;
}

static void slot_empty(struct file *f, struct file_work *w, struct slot_hold *hold)
{
	if (hold->file)
		slots_clear(f->env->slots, hold);
	inflight_mark(w->slot, 0);
}

/* Before the first change: should this session break off, the file's end may be found unfinished. */
static int have_listed(struct file *f)
{
	int r = 0;

	if (!f->env->written)
		return 0;
	pthread_mutex_lock(&f->first);
	if (!f->slot) {
		const struct written_file what = {.file_id = f->file_id, .ino = f->node->ino, .place = file_made_at(f)};
		uint32_t slot = atomic_load(&f->node->listed);
		r = written_add(f->env->written, &what, &slot);
		f->slot = slot;
		atomic_store(&f->node->listed, slot);
	}
	pthread_mutex_unlock(&f->first);
	return r;
}

int file_commit(struct file *f, struct file_work *w, struct inflight *in)
{
	struct slot_hold hold = {w->slot_no, NULL};
	int r = have_listed(f);

	times_hold(f);
	w->kept = (struct keep_change){0};
	if (!r)
		r = keep_before(f, w, in, &w->kept);
	if (!r)
		r = slot_fill(f, w, in, &hold);
	if (!r)
		r = write_out(f, inflight_data(w->slot), in);
	slot_empty(f, w, &hold);
	return r;
}

void file_committed(struct file *f, const struct file_work *w, int r)
{
	keep_after(f, &w->kept, r);
}

void file_undo(struct file *f, struct file_work *w, const uint8_t *raw, size_t len)
{
	struct slot_hold hold = {w->slot_no, NULL};
	struct inflight in = {
		.disk_size = layout_disk_size(&f->env->layout, f->size),
		.n_extents = 1,
		.extent = {{layout_record_off(&f->env->layout, f->size / f->env->layout.block_len), (uint32_t)len}},
	};

	memcpy(inflight_data(w->slot), raw, len);
	/* without a slot if need be: an end that is not put back is damage */
	(void)slot_fill(f, w, &in, &hold);
	int r = write_out(f, inflight_data(w->slot), &in);
	slot_empty(f, w, &hold);
	if (!r)
		return;
	f->broken = true;
	atomic_store(&f->env->half_done, true);
	(void)file_corrupt(f, "after a failed write the end could not be put back; block",
			   f->size / f->env->layout.block_len);
}
