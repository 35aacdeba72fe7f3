/* SPDX-License-Identifier: BSD-2-Clause */
/* Checking the whole blocks of one file, a chunk at a time. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "fs/check/check_own.h"
#include "fs/store/borrow.h"

/* Blocks that do not open, told as runs. */
struct run_of_bad {
	struct check_work *w;
	const struct check_target *t;
	uint64_t first, last;
	enum bad_kind { BAD_NONE = 0, BAD_SEAL, BAD_ZERO, BAD_READ } kind;
};

static void bad_tell(struct run_of_bad *b)
{
	static const char *const why[] = {
		[BAD_SEAL] = "does not authenticate: altered or moved",
		[BAD_ZERO] = "is all zero, in a file without holes",
		[BAD_READ] = "cannot be read from the disk",
	};
	static const char *const why_all[] = {
		[BAD_SEAL] = "do not authenticate: altered or moved",
		[BAD_ZERO] = "are all zero, in a file without holes",
		[BAD_READ] = "cannot be read from the disk",
	};
	if (b->kind == BAD_NONE)
		return;
	struct check_finding f = {
		.code = b->kind == BAD_READ ? CHECK_IO : CHECK_BLOCK,
		.severity = CHECK_DAMAGE,
		.in_blocks = true,
		.block = b->first,
		.last = b->last,
	};
	if (b->first == b->last)
		check_say(b->w->run, b->t->at, &f, "block %" PRIu64 " %s", b->first, why[b->kind]);
	else
		check_say(b->w->run, b->t->at, &f, "blocks %" PRIu64 " to %" PRIu64 " %s", b->first, b->last,
			  why_all[b->kind]);
	b->kind = BAD_NONE;
}

/* Bytes of block NO are on the list of what was lost, and told: what is there instead is no news. */
static bool is_lost(const struct run_of_bad *b, uint64_t no)
{
	uint64_t len = b->t->file.layout->block_len;

	return lost_hit(b->w->run->cfg->store->lost, b->t->file_id, no * len, (no + 1) * len);
}

static void bad_add(struct run_of_bad *b, uint64_t no, enum bad_kind kind)
{
	if (kind != BAD_READ && is_lost(b, no))
		return;
	if (b->kind == kind && b->last + 1 == no) {
		b->last = no;
		return;
	}
	bad_tell(b);
	b->kind = kind;
	b->first = b->last = no;
}

/* The first block from NO on that is not wholly in a hole of the backing file. */
static uint64_t skip_hole(const struct check_work *w, const struct check_target *t, uint64_t no)
{
	uint64_t off = layout_record_off(t->file.layout, no);
	if (!(t->end.flags & FINAL_SPARSE))
		return no;
	off_t data = lseek(t->file.fd, (off_t)off, SEEK_DATA);
	if (data < 0)
		return errno == ENXIO ? t->end.blocks : no;
	uint64_t next = ((uint64_t)data - t->file.layout->header_len) / w->record_len;
	if (next > t->end.blocks)
		next = t->end.blocks;
	return next > no ? next : no;
}

static int looks_final(const struct check_target *t, const uint8_t *record)
{
	struct final_head head;
	return !final_head_parse(t->file.layout, record, FINAL_OVERHEAD, &head) &&
	       !block_is_zero(record, FINAL_OVERHEAD);
}

/* N records from block `no` on, in the worker's buffer. `done` is how many of them were dealt with. */
struct check_chunk {
	uint64_t no;
	size_t n, done;
};

/* One by one, marking each that fails; stops before one that may be an earlier end of the file. */
static int open_singly(struct check_work *w, const struct check_target *t, struct block_cipher *c,
		       struct check_chunk *k, struct run_of_bad *bad)
{
	for (; k->done < k->n; k->done++) {
		const uint8_t *record = w->cipher + k->done * w->record_len;
		int r = block_open(c, k->no + k->done, 1, t->end.flags, record, w->plain, NULL);
		if (r == -EBADMSG && looks_final(t, record))
			return 0;
		if (r == -EBADMSG)
			bad_add(bad, k->no + k->done, block_is_zero(record, w->record_len) ? BAD_ZERO : BAD_SEAL);
		else if (r)
			return r;
	}
	return 0;
}

/* Open the records all at once; one by one only when that fails. */
static int open_chunk(struct check_work *w, const struct check_target *t, struct check_chunk *k, struct run_of_bad *bad)
{
	AUTO(borrow_end) struct borrow b;
	int r = borrow_file(&b, t->file.gate, GATE_USE_NEW, t->file.key, t->file.layout);
	if (r)
		return r;
	r = block_open(&b.open, k->no, k->n, t->end.flags, w->cipher, w->plain, NULL);
	if (!r)
		k->done = k->n;
	return r == -EBADMSG ? open_singly(w, t, &b.open, k, bad) : r;
}

/* The disk refused a chunk: find the records it does not give. */
static int read_singly(struct check_work *w, const struct check_target *t, struct check_chunk *k,
		       struct run_of_bad *bad)
{
	for (; k->done < k->n; k->done++) {
		struct check_chunk one = {.no = k->no + k->done, .n = 1};
		int r = store_pread_full(t->file.fd, w->cipher, w->record_len,
					 layout_record_off(t->file.layout, one.no));
		if (r) {
			bad_add(bad, one.no, BAD_READ);
			continue;
		}
		r = open_chunk(w, t, &one, bad);
		if (r)
			return r;
		if (one.done == 0)
			bad_add(bad, one.no, BAD_SEAL);
	}
	return 0;
}

/* 1 when the final record at the place of block NO authenticates: an earlier end of the file, T's from now on. */
static int earlier_end(struct check_target *t, uint64_t no)
{
	struct final_head head;
	int found = recover_final_at(&t->file, no, &head);
	if (found != 1)
		return found;
	t->end = (struct recover_end){
		.blocks = no,
		.disk_size = layout_record_off(t->file.layout, no) + layout_final_len(t->file.layout, head.tail_len),
		.flags = head.flags,
		.sealed = true,
	};
	return 1;
}

/* Check one chunk from *NO on, and advance it; 1 at an earlier end. */
static int check_chunk(struct check_work *w, struct check_target *t, struct run_of_bad *bad, uint64_t *no)
{
	uint64_t left = t->end.blocks - *no;
	struct check_chunk k = {.no = *no, .n = left < w->room ? (size_t)left : w->room};
	int r = store_pread_full(t->file.fd, w->cipher, k.n * w->record_len, layout_record_off(t->file.layout, k.no));
	r = r ? read_singly(w, t, &k, bad) : open_chunk(w, t, &k, bad);
	if (!r && k.done < k.n) {
		r = earlier_end(t, k.no + k.done);
		if (!r)
			bad_add(bad, k.no + k.done++, BAD_SEAL);
	}
	check_count(w->run, &(struct check_counts){.bytes = k.done * w->record_len});
	*no += k.done;
	return r;
}

int check_blocks(struct check_work *w, struct check_target *t)
{
	struct run_of_bad bad = {.w = w, .t = t};
	int r = 0;
	for (uint64_t no = skip_hole(w, t, 0); no < t->end.blocks && !r && !atomic_load(&w->run->stop);) {
		r = check_chunk(w, t, &bad, &no);
		if (!r)
			no = skip_hole(w, t, no);
	}
	bad_tell(&bad);
	return r;
}
