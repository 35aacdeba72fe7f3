/* SPDX-License-Identifier: BSD-2-Clause */
/* Putting old records back: each file's entries, newest first, where what is on disk does not authenticate. */
#include "fs/store/undo.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "crypto/json.h"
#include "crypto/secret.h"
#include "fs/store/fresh.h"
#include "fs/store/recover.h"
#include "fs/store/borrow.h"
#include "fs/store/hunt.h"
#include "fs/store/journal_read.h"

#define GENERATION_STEP (1u << 16) /* above whatever was sealed and lost since */

/* One file and its entries. */
struct patient {
	const struct undo *undo;
	const struct layout *l;
	struct recover rec;
	const struct journal_left *left; /* newest first */
	size_t n;
	uint8_t *disk, *plain; /* a record, a block */
	bool sparse;           /* so said the old end, or a hole has been put back */
	bool new_hole;         /* one was */
	bool as_before;        /* the end on disk is the old one: no later cut has got there, nor what came after it */
	uint64_t put_back;
};

/* ---- what an entry says ---- */

/* Bytes of extent I of L; NULL: a hole. */
static const uint8_t *bytes_of(const struct journal_left *l, uint32_t i)
{
	const uint8_t *at = l->bytes;

	for (uint32_t k = 0; k < i; k++)
		at += l->e.extent[k].hole ? 0 : l->e.extent[k].len;
	return l->e.extent[i].hole ? NULL : at;
}

/* The plain size of the file when L was put; false: it was none of a file. */
static bool size_then(const struct patient *p, const struct journal_left *l, uint64_t *size)
{
	return layout_classify(p->l, l->e.disk_size, size) == OBJECT_FILE;
}

/* Is extent I of L the final record that the file had then? */
static bool is_end(const struct patient *p, const struct journal_left *l, uint32_t i)
{
	uint64_t size;

	return size_then(p, l, &size) && l->e.extent[i].off == layout_record_off(p->l, size / p->l->block_len) &&
	       l->e.extent[i].len == layout_final_len(p->l, size);
}

/* Is it a run of whole records? */
static bool is_run(const struct patient *p, const struct journal_left *l, uint32_t i)
{
	const struct journal_extent *x = &l->e.extent[i];

	return !is_end(p, l, i) && x->off >= p->l->header_len && x->len % layout_record_len(p->l) == 0 &&
	       (x->off - p->l->header_len) % layout_record_len(p->l) == 0;
}

static uint64_t block_at(const struct patient *p, uint64_t disk_off)
{
	return (disk_off - p->l->header_len) / layout_record_len(p->l);
}

/* The block in which a cut to DISK_SIZE ends; UINT64_MAX: no cut. */
static uint64_t cut_block(const struct patient *p, const struct journal_left *l)
{
	return l->e.cut == JOURNAL_NO_CUT || l->e.cut < p->l->header_len ? UINT64_MAX : block_at(p, l->e.cut);
}

/* ---- records ---- */

/* 1 RECORD authenticates as block NO (or is a hole that may be one), 0 it does not, negative errno. Its content into P->plain. */
static int authentic(struct patient *p, uint64_t no, const uint8_t *record, bool hole)
{
	AUTO(borrow_end) struct borrow b = {0};

	if (block_is_zero(record, layout_record_len(p->l)))
		return hole;
	int r = borrow_file(&b, p->rec.gate, GATE_USE_NEW, p->rec.key, p->l);
	if (!r)
		r = block_open(&b.open, no, 1, 0, record, p->plain, NULL);
	return r == 0 ? 1 : r == -EBADMSG ? 0 : r;
}

/* What is on disk of block NO: 1 whole, 0 not or not there, negative errno. */
static int on_disk(struct patient *p, uint64_t no)
{
	struct stat st;

	if (fstat(p->rec.fd, &st) < 0)
		return -errno;
	if ((uint64_t)st.st_size < layout_record_off(p->l, no + 1))
		return 0;
	int r = store_pread_full(p->rec.fd, p->disk, layout_record_len(p->l), layout_record_off(p->l, no));
	return r ? r : authentic(p, no, p->disk, p->sparse);
}

static int restore_block(struct patient *p, uint64_t no, const uint8_t *record)
{
	const size_t len = layout_record_len(p->l);
	const bool hole = !record;
	struct stat st;

	if (fstat(p->rec.fd, &st) < 0)
		return -errno;
	if ((uint64_t)st.st_size <
	    layout_record_off(p->l, no)) /* cut off since, or never reached the disk: see the end */
		return 0;
	int r = on_disk(p, no);
	if (r)
		return r < 0 ? r : 0;
	memset(p->disk, 0, len);
	r = hole ? 1 : authentic(p, no, record, true);
	if (r <= 0)
		return r;
	p->put_back++;
	p->new_hole = p->new_hole || hole;
	return store_pwrite_full(p->rec.fd, hole ? p->disk : record, len, layout_record_off(p->l, no));
}

/*
 * The blocks of all entries: for each the newest that has it, unless it was cut off since. The one that a cut goes through stays in
 * part.
 */
static int restore_blocks(struct patient *p)
{
	const uint64_t record = layout_record_len(p->l);
	uint64_t limit = UINT64_MAX;
	struct fresh seen = {0};
	int r = 0;

	for (size_t k = 0; k < p->n && r == 0; k++) {
		const struct journal_left *l = &p->left[k];
		for (uint32_t i = 0; i < l->e.n_extents && r == 0; i++) {
			if (!is_run(p, l, i))
				continue;
			const uint8_t *bytes = bytes_of(l, i);
			uint64_t no = block_at(p, l->e.extent[i].off), end = no + l->e.extent[i].len / record;
			for (uint64_t at = 0; no < end && no <= limit && r == 0; no++, at += record)
				if (!fresh_has(&seen, no))
					r = fresh_put(&seen, no, no + 1)
						    ? restore_block(p, no, bytes ? bytes + at : NULL)
						    : -ENOMEM;
		}
		if (!p->as_before && cut_block(p, l) < limit)
			limit = cut_block(p, l);
	}
	fresh_clear(&seen);
	return r;
}

/* ---- the end ---- */

/* The newest old final record: its entry, NULL if there is none; and its place among the extents. */
static const struct journal_left *old_end(const struct patient *p, uint32_t *extent)
{
	for (size_t k = 0; k < p->n; k++)
		for (uint32_t i = 0; i < p->left[k].e.n_extents; i++)
			if (is_end(p, &p->left[k], i)) {
				*extent = i;
				return &p->left[k];
			}
	return NULL;
}

/*
 * 1: a block stands whole at the place of block NO, or the end does; 0: neither, negative errno. Zeros are a block only in a file that has
 * an end, for nothing is lost by cutting those at its end off; a final record is the end only if there is no other behind it.
 */
static int stands(struct patient *p, uint64_t no)
{
	int r = on_disk(p, no);
	struct stat st;

	if (r < 0 || (r == 1 && !block_is_zero(p->disk, layout_record_len(p->l))))
		return r;
	int whole = recover_whole(&p->rec);
	if (r == 1 || (whole && whole != -EBADMSG))
		return whole == 0 ? 1 : whole == -EBADMSG ? 0 : whole;
	r = recover_final_at(&p->rec, no, NULL);
	if (r <= 0 || whole)
		return r;
	if (fstat(p->rec.fd, &st) < 0)
		return -errno;
	return (uint64_t)st.st_size < layout_record_off(p->l, no + 2) &&
	       block_at(p, (uint64_t)st.st_size - FINAL_OVERHEAD) == no;
}

static int put_end(struct patient *p, const uint8_t *record, size_t len, uint64_t no)
{
	uint64_t off = layout_record_off(p->l, no);
	int r = store_pwrite_full(p->rec.fd, record, len, off);

	if (r == 0 && ftruncate(p->rec.fd, (off_t)(off + len)) < 0)
		r = -errno;
	p->put_back += r == 0;
	return r;
}

/* Does RECORD authenticate as the final one behind NO blocks? Its tail into P->plain. */
static int authentic_end(struct patient *p, uint64_t no, const uint8_t *record, size_t len, struct final_head *head)
{
	AUTO(borrow_end) struct borrow b = {0};
	int r = borrow_file(&b, p->rec.gate, GATE_USE_NEW, p->rec.key, p->l);

	if (!r)
		r = final_open(&b.open, no, record, len, head, p->plain);
	return r == 0 ? 1 : r == -EBADMSG ? 0 : r;
}

/* The final record that the file had when it was last durable, unless a whole block stands in its place. */
static int restore_old_end(struct patient *p, const struct journal_left *l, uint32_t i)
{
	struct final_head head;
	uint64_t size;

	if (!size_then(p, l, &size))
		return 0;
	uint64_t no = size / p->l->block_len;
	struct stat st;
	if (fstat(p->rec.fd, &st) < 0)
		return -errno;
	if ((uint64_t)st.st_size < layout_record_off(p->l, no)) /* cut off since */
		return 0;
	int r = stands(p, no);
	if (r)
		return r < 0 ? r : 0;
	r = authentic_end(p, no, bytes_of(l, i), l->e.extent[i].len, &head);
	return r <= 0 ? r : put_end(p, bytes_of(l, i), l->e.extent[i].len, no);
}

/*
 * Block NO as it was before the cut L, in what L or an entry before it has: into P->plain. 1 there it is, 0 nobody kept it, for it was
 * not durable.
 */
static int victim(struct patient *p, const struct journal_left *l, uint64_t no)
{
	const uint64_t record = layout_record_len(p->l);

	for (; l < p->left + p->n; l++)
		for (uint32_t i = 0; i < l->e.n_extents; i++) {
			uint64_t first = block_at(p, l->e.extent[i].off), n = l->e.extent[i].len / record;
			const uint8_t *bytes = bytes_of(l, i);

			if (!is_run(p, l, i) || no < first || no >= first + n)
				continue;
			if (bytes && !block_is_zero(bytes + (no - first) * record, record))
				return authentic(p, no, bytes + (no - first) * record, false);
			memset(p->plain, 0, p->l->block_len);
			return 1;
		}
	return 0;
}

/*
 * A truncate was under way, and what stands where it cuts is torn: it is done again, out of the block that was there. 1: there is something
 * whole there (now); 0: there is not.
 */
static int redo_cut(struct patient *p, const struct journal_left *l)
{
	const uint64_t no = cut_block(p, l);
	struct final_head head;
	uint64_t size;
	uint32_t i;

	if (layout_classify(p->l, l->e.cut, &size) != OBJECT_FILE)
		return 0;
	int r = stands(p, no);
	if (r)
		return r;
	if ((r = recover_final_at(&p->rec, no, &head)) < 0)
		return r;
	if (r) { /* the cut's own end, and rests of what was written behind it */
		uint64_t len = layout_record_off(p->l, no) + FINAL_OVERHEAD + head.tail_len;
		p->put_back++;
		return ftruncate(p->rec.fd, (off_t)len) < 0 ? -errno : 1;
	}
	head = (struct final_head){.flags = p->sparse || p->new_hole ? FINAL_SPARSE : 0, .generation = GENERATION_STEP};
	const struct journal_left *old = old_end(p, &i);
	if (old && old->e.extent[i].len >= FINAL_OVERHEAD &&
	    final_head_parse(p->l, bytes_of(old, i), FINAL_OVERHEAD, &head) == 0)
		head.generation += GENERATION_STEP;
	head.tail_len = (uint32_t)(size % p->l->block_len);
	r = head.tail_len == 0 ? 1 : victim(p, l, no);
	if (r <= 0)
		return r;
	AUTO(borrow_end) struct borrow b = {0};
	r = borrow_file(&b, p->rec.gate, GATE_USE_NEW, p->rec.key, p->l);
	if (!r)
		r = final_seal(&b.seal, no, &head, p->plain, p->disk);
	borrow_end(&b); /* before the disk */
	if (!r)
		r = put_end(p, p->disk, FINAL_OVERHEAD + head.tail_len, no);
	return r ? r : 1;
}

/* The lowest cut since END (NULL: of all), NULL if there was none. */
static const struct journal_left *lowest_cut(const struct patient *p, const struct journal_left *end)
{
	const struct journal_left *low = NULL;

	for (size_t k = 0; k < p->n && (!end || p->left[k].e.seq >= end->e.seq); k++)
		if (p->left[k].e.cut != JOURNAL_NO_CUT && (!low || p->left[k].e.cut < low->e.cut))
			low = &p->left[k];
	return low;
}

/*
 * The end, or what was the end and became a block: what is acknowledged of it lies in one record, and when that is torn, what
 * was written behind it since has to go. It is the old end's, or that which the lowest cut since goes through.
 */
static int restore_end(struct patient *p)
{
	uint32_t i;
	const struct journal_left *end = old_end(p, &i), *cut = lowest_cut(p, end);
	int r = 0;

	if (cut && end && cut->e.cut > end->e.disk_size)
		cut = NULL;
	if (cut && !p->as_before)
		r = redo_cut(p, cut);
	return r == 0 && end ? restore_old_end(p, end, i) : r < 0 ? r : 0;
}

/* A hole has been put back: the end has to say that there may be some. */
static int allow_holes(struct patient *p)
{
	struct final_head head;
	struct stat st;
	uint64_t size;

	if (!p->new_hole)
		return 0;
	if (fstat(p->rec.fd, &st) < 0)
		return -errno;
	if (layout_classify(p->l, (uint64_t)st.st_size, &size) != OBJECT_FILE)
		return 0;
	const uint64_t no = size / p->l->block_len;
	const size_t len = layout_final_len(p->l, size);
	int r = store_pread_full(p->rec.fd, p->disk, len, layout_record_off(p->l, no));
	if (!r)
		r = authentic_end(p, no, p->disk, len, &head);
	if (r <= 0 || (head.flags & FINAL_SPARSE))
		return r < 0 ? r : 0;
	head.flags |= FINAL_SPARSE;
	head.generation += GENERATION_STEP;
	AUTO(borrow_end) struct borrow b = {0};
	r = borrow_file(&b, p->rec.gate, GATE_USE_NEW, p->rec.key, p->l);
	if (!r)
		r = final_seal(&b.seal, no, &head, p->plain, p->disk);
	borrow_end(&b);
	return r ? r : put_end(p, p->disk, len, no);
}

/* What the newest old end says of the file, and whether that stands on the disk still. */
static int know_end(struct patient *p)
{
	uint32_t i;
	struct final_head head;
	struct stat st;
	const struct journal_left *end = old_end(p, &i);

	if (!end)
		return 0;
	const size_t len = end->e.extent[i].len;
	if (final_head_parse(p->l, bytes_of(end, i), FINAL_OVERHEAD, &head) == 0)
		p->sparse = head.flags & FINAL_SPARSE;
	if (fstat(p->rec.fd, &st) < 0)
		return -errno;
	if ((uint64_t)st.st_size != end->e.disk_size)
		return 0;
	int r = store_pread_full(p->rec.fd, p->disk, len, end->e.extent[i].off);
	p->as_before = r == 0 && memcmp(p->disk, bytes_of(end, i), len) == 0;
	return r;
}

/* ---- files ---- */

/* Did the change reach nothing of the disk? Then no key is needed to see it. */
static bool untouched(struct patient *p)
{
	const struct journal_left *l = &p->left[p->n - 1];
	struct stat st;

	if (p->n > 1 || fstat(p->rec.fd, &st) < 0 || (uint64_t)st.st_size != l->e.disk_size)
		return false;
	for (uint32_t i = 0; i < l->e.n_extents; i++) {
		const uint8_t *bytes = bytes_of(l, i);
		AUTO(auto_free) uint8_t *now = bytes ? malloc(l->e.extent[i].len) : NULL;
		if (!now || store_pread_full(p->rec.fd, now, l->e.extent[i].len, l->e.extent[i].off) ||
		    memcmp(now, bytes, l->e.extent[i].len) != 0)
			return false;
	}
	return true;
}

static void say(const struct patient *p)
{
	char name[300], text[512];

	if (!p->undo->log)
		return;
	snprintf(name, sizeof(name), "%.*s", (int)p->left->e.path_len, p->left->path);
	text_plain(name);
	snprintf(text, sizeof(text),
		 "data/%s: %" PRIu64 " records were half written and have been put back as they were", name,
		 p->put_back);
	p->undo->log(LOG_WARNING, text);
}

static int with_key(struct patient *p)
{
	const struct layout *l = p->l;
	AUTO(auto_free) uint8_t *header = malloc(l->header_len);
	struct stat st;

	p->disk = malloc(layout_final_room(l));
	p->plain = malloc(l->block_len);
	if (!header || !p->disk || !p->plain)
		return -ENOMEM;
	if (fstat(p->rec.fd, &st) < 0)
		return -errno;
	int r = store_pread_full(p->rec.fd, header, l->header_len, 0);
	if (!r)
		r = gate_key_open(p->rec.gate, header, &p->rec.key);
	if (r) /* damage is told by who opens it */
		return r == -EBADMSG || r == -EUCLEAN || r == -ENOTSUP || r == -ENOKEY ? 0 : r;
	r = know_end(p);
	if (!r)
		r = restore_blocks(p);
	if (!r)
		r = restore_end(p);
	if (!r)
		r = allow_holes(p);
	if (!r && p->put_back) {
		const struct timespec times[2] = {st.st_atim, st.st_mtim};
		(void)futimens(p->rec.fd, times);
		r = fsync(p->rec.fd) < 0 ? -errno : 0;
	}
	gate_key_close(p->rec.key);
	return r;
}

struct round {
	const struct undo *undo;
	struct undo_done *done;
	const struct journal_found *found;
};

/* FD is the file of Q, whose entries are N from LEFT on. */
static int treat(const struct round *all, const struct journal_left *left, size_t n, int fd)
{
	struct patient p = {
		.undo = all->undo,
		.l = &all->undo->store->keyring->layout,
		.left = left,
		.n = n,
	};
	p.rec = (struct recover){.fd = fd, .layout = p.l, .gate = all->undo->gate};
	int r = untouched(&p) ? 0 : with_key(&p);

	free(p.disk);
	if (p.plain)
		secret_wipe(p.plain, p.l->block_len);
	free(p.plain);
	close(fd);
	if (p.put_back) {
		all->done->files++;
		all->done->records += p.put_back;
		say(&p);
	}
	return r;
}

/* How many entries from LEFT on, of the N there are, are of the same file. */
static size_t same_file(const struct journal_left *left, size_t n)
{
	size_t k = 1;

	while (k < n && left[k].e.ino == left->e.ino && memcmp(left[k].e.file_id, left->e.file_id, ID_LEN) == 0)
		k++;
	return k;
}

static int walked_into(void *arg, struct quarry *q, int fd)
{
	const struct round *all = arg;
	size_t n = all->found->n;

	for (size_t i = 0, k; i < n; i += k) {
		const struct journal_left *left = &all->found->left[i];
		k = same_file(left, n - i);
		if (left->e.ino == q->ino && memcmp(left->e.file_id, q->file_id, ID_LEN) == 0)
			return treat(all, left, k, fd);
	}
	close(fd);
	return 0;
}

/* Each file by its path; who is not there is left for the walk. */
static int treat_all(struct round *all)
{
	const struct store *s = all->undo->store;
	size_t n = all->found->n, files = 0;
	AUTO(auto_free) struct quarry *q = calloc(n ? n : 1, sizeof(*q));
	int r = q ? 0 : -ENOMEM;

	for (size_t i = 0, k; r == 0 && i < n; i += k) {
		const struct journal_left *left = &all->found->left[i];
		k = same_file(left, n - i);
		q[files].ino = left->e.ino;
		memcpy(q[files].file_id, left->e.file_id, ID_LEN);
		int fd = hunt_path(s, left->path, left->e.path_len, &q[files]);
		if (fd >= 0)
			r = treat(all, left, k, fd);
		else if (fd != -ENOENT)
			r = fd;
		else
			files++;
	}
	return r ? r : hunt_walk(s, q, files, walked_into, all);
}

int undo_all(const struct undo *u, struct undo_done *done)
{
	AUTO(journal_found_free) struct journal_found found = {0};
	const char *why = NULL;
	struct borrow b = {0};

	*done = (struct undo_done){0};
	int r = borrow_store(&b, u->gate, GATE_USE_NEW);
	if (!r)
		r = journal_read(u->store, b.store, u->store->left_session, &found, &why);
	borrow_end(&b);
	if (r)
		return r;
	if (why && u->log) {
		char text[256];
		snprintf(text, sizeof(text), "the undo journal is left alone: it is %s", why);
		u->log(LOG_NOTICE, text);
	}
	done->entries = found.n;
	struct round all = {u, done, &found};
	r = treat_all(&all);
	return r ? r : journal_forget(u->store);
}
