/* SPDX-License-Identifier: BSD-2-Clause */
/* Finding and sealing the end of a file that a crash left unfinished. */
#include "fs/store/recover.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "crypto/secret.h"
#include "fs/store/borrow.h"
#include "fs/store/store.h"

#define GENERATION_SANE (1ull << 62)
#define CHUNK_LEN (1u << 20) /* cipher bytes read at a time, or one record if that is longer */

/* The state of one pass over a file. */
struct scan {
	const struct recover *r;
	uint64_t record_len;
	uint64_t size;    /* on disk */
	uint64_t records; /* whole ones that fit the body */
	uint8_t *cipher;  /* `room` records */
	uint8_t *plain;   /* one block */
	size_t room;
	bool rubbish;        /* something that is neither zero nor authentic was seen */
	uint64_t empty;      /* zero records so far, those behind the last authentic block included */
	uint64_t bad;        /* the same for records that do not authenticate */
	uint64_t generation; /* the highest one in any head that looks like a final record's */
	struct recover_end end;
};

static void scan_end(struct scan *s)
{
	free(s->cipher);
	if (s->plain)
		secret_wipe(s->plain, s->r->layout->block_len);
	free(s->plain);
}

static int scan_begin(struct scan *s, const struct recover *rec)
{
	struct stat st;
	if (fstat(rec->fd, &st) < 0)
		return -errno;
	if ((uint64_t)st.st_size < rec->layout->header_len)
		return -EUCLEAN;
	s->r = rec;
	s->size = (uint64_t)st.st_size;
	s->record_len = layout_record_len(rec->layout);
	s->records = (s->size - rec->layout->header_len) / s->record_len;
	s->room = CHUNK_LEN / s->record_len + 1;
	s->cipher = malloc(s->room * s->record_len);
	s->plain = malloc(rec->layout->block_len);
	return s->cipher && s->plain ? 0 : -ENOMEM;
}

static int borrow(const struct recover *rec, struct borrow *b)
{
	return borrow_file(b, rec->gate, GATE_USE_NEW, rec->key, rec->layout);
}

/* Open the LEN bytes at the place of block NO as a final record. -EBADMSG if they are none. */
static int open_final(const struct recover *rec, uint64_t no, size_t len, struct final_head *head)
{
	uint8_t *cipher = malloc(len);
	uint8_t *tail = malloc(rec->layout->block_len);
	AUTO(borrow_end) struct borrow b = {0};
	int r = cipher && tail ? store_pread_full(rec->fd, cipher, len, layout_record_off(rec->layout, no)) : -ENOMEM;
	if (!r)
		r = borrow(rec, &b);
	if (!r)
		r = final_open(&b.open, no, cipher, len, head, tail);
	if (tail)
		secret_wipe(tail, rec->layout->block_len);
	free(tail);
	free(cipher);
	return r;
}

int recover_final_at(const struct recover *rec, uint64_t no, struct final_head *head)
{
	uint8_t front[FINAL_OVERHEAD];
	struct final_head seen;
	struct stat st;
	if (fstat(rec->fd, &st) < 0)
		return -errno;
	uint64_t off = layout_record_off(rec->layout, no);
	if ((uint64_t)st.st_size < off + sizeof(front))
		return 0;
	int r = store_pread_full(rec->fd, front, sizeof(front), off);
	if (r)
		return r;
	if (final_head_parse(rec->layout, front, sizeof(front), &seen) || block_is_zero(front, sizeof(front)))
		return 0;
	uint64_t len = layout_final_len(rec->layout, seen.tail_len);
	if ((uint64_t)st.st_size < off + len)
		return 0;
	r = open_final(rec, no, len, &seen);
	if (r)
		return r == -EBADMSG ? 0 : r;
	if (head)
		*head = seen;
	return 1;
}

/* The end is the final record that authenticates at the place of block NO. */
static void end_at_final(struct scan *s, uint64_t no, const struct final_head *head)
{
	s->end.blocks = no;
	s->end.disk_size = layout_record_off(s->r->layout, no) + layout_final_len(s->r->layout, head->tail_len);
	s->end.flags = head->flags;
	s->end.sealed = true;
	s->end.bad = s->bad;
	s->end.empty = s->empty;
}

/* Open the N records of the chunk that begins with block NO, one by one: what counts is each one's own answer. */
static int scan_blocks(struct scan *s, uint64_t no, size_t n)
{
	AUTO(borrow_end) struct borrow b;
	int r = borrow(s->r, &b);
	if (r)
		return r;
	for (size_t i = 0; i < n && !r; i++) {
		const uint8_t *record = s->cipher + i * s->record_len;
		if (block_is_zero(record, s->record_len)) {
			s->empty++;
			continue;
		}
		r = block_open(&b.open, no + i, 1, 0, record, s->plain, NULL);
		if (!r) {
			s->end.blocks = no + i + 1;
			s->end.empty = s->empty;
			s->end.bad = s->bad;
		} else if (r == -EBADMSG) {
			s->bad++;
			s->rubbish = true;
			r = 0;
		}
	}
	return r;
}

/* How many of the N records at the chunk's front come before one that looks like a final record. */
static size_t before_final(struct scan *s, size_t n)
{
	struct final_head head;
	for (size_t i = 0; i < n; i++) {
		const uint8_t *record = s->cipher + i * s->record_len;
		if (final_head_parse(s->r->layout, record, FINAL_OVERHEAD, &head) ||
		    block_is_zero(record, FINAL_OVERHEAD))
			continue;
		/* A torn one may say anything; what it says is only a number to stay above. */
		if (head.generation > s->generation && head.generation < GENERATION_SANE)
			s->generation = head.generation;
		return i;
	}
	return n;
}

/* The first block from NO on whose record is not wholly in a hole of the backing file; counts those passed. */
static uint64_t skip_hole(struct scan *s, uint64_t no)
{
	off_t data = lseek(s->r->fd, (off_t)layout_record_off(s->r->layout, no), SEEK_DATA);
	if (data < 0 && errno != ENXIO)
		return no; /* no such question on this backing: read the zeros */
	uint64_t next = data < 0 ? s->records : ((uint64_t)data - s->r->layout->header_len) / s->record_len;
	if (next > s->records)
		next = s->records;
	if (next > no)
		s->empty += next - no;
	return next > no ? next : no;
}

/* One chunk from *NO on; advances it. 1 when the end was found, 0 to go on. */
static int scan_chunk(struct scan *s, uint64_t *no)
{
	*no = skip_hole(s, *no);
	size_t n = s->records - *no < s->room ? (size_t)(s->records - *no) : s->room;
	if (n == 0)
		return 0;
	int r = store_pread_full(s->r->fd, s->cipher, n * s->record_len, layout_record_off(s->r->layout, *no));
	if (r)
		return r;
	size_t before = before_final(s, n);
	r = before ? scan_blocks(s, *no, before) : 0;
	if (r)
		return r;
	*no += before;
	if (before == n)
		return 0;
	struct final_head head;
	int found = recover_final_at(s->r, *no, &head);
	if (found < 0)
		return found;
	if (found) {
		end_at_final(s, *no, &head);
		return 1;
	}
	/* No block begins like this but by a chance of 2^-150: a torn final record. */
	s->bad++;
	s->rubbish = true;
	(*no)++;
	return 0;
}

/* What lies behind the last whole record: the final record, or rubbish. 1 when it was the end. */
static int scan_rest(struct scan *s)
{
	struct final_head head;
	int found = recover_final_at(s->r, s->records, &head);
	if (found == 1)
		end_at_final(s, s->records, &head);
	if (found)
		return found;
	uint64_t off = layout_record_off(s->r->layout, s->records);
	size_t len = (size_t)(s->size - off);
	int r = store_pread_full(s->r->fd, s->cipher, len, off);
	if (r)
		return r;
	/* At the front of the body fewer bytes than a final record has can hold nothing: a create cut short. */
	if (!block_is_zero(s->cipher, len) && (s->records || len >= FINAL_OVERHEAD))
		s->rubbish = true;
	return 0;
}

static int find(struct scan *s)
{
	int found = 0;
	for (uint64_t no = 0; no < s->records && found == 0;)
		found = scan_chunk(s, &no);
	if (found == 0)
		found = scan_rest(s);
	if (found)
		return found < 0 ? found : 0;
	if (s->end.blocks == 0 && s->rubbish && !s->r->made)
		return -EBADMSG;
	/*
	 * Whether the file had holes its end knew. Zeros may as well be blocks that did not reach the disk when later ones did, of a
	 * file that nobody synced; what was synced has its end back from the journal.
	 */
	s->end.flags = 0;
	s->end.generation = s->generation + 1;
	s->end.disk_size = layout_disk_size(s->r->layout, s->end.blocks * s->r->layout->block_len);
	return 0;
}

int recover_find(const struct recover *rec, struct recover_end *out)
{
	AUTO(scan_end) struct scan s = {.r = rec};
	int r = scan_begin(&s, rec);
	if (!r)
		r = find(&s);
	if (!r)
		*out = s.end;
	return r;
}

static int seal_end(const struct recover *rec, const struct recover_end *end)
{
	uint8_t record[FINAL_OVERHEAD];
	struct final_head head = {.tail_len = 0, .flags = end->flags, .generation = end->generation};
	AUTO(borrow_end) struct borrow b;
	int r = borrow(rec, &b);
	if (r)
		return r;
	r = final_seal(&b.seal, end->blocks, &head, (const uint8_t *)"", record);
	borrow_end(&b); /* before the disk */
	if (r)
		return r;
	return store_pwrite_full(rec->fd, record, sizeof(record), layout_record_off(rec->layout, end->blocks));
}

int recover_apply(const struct recover *rec, const struct recover_end *end)
{
	struct stat st;
	if (fstat(rec->fd, &st) < 0)
		return -errno;
	/* The new end first: cut down in between, the file is found just as unfinished as it was. */
	int r = end->sealed ? 0 : seal_end(rec, end);
	if (r)
		return r;
	if (ftruncate(rec->fd, (off_t)end->disk_size) < 0)
		return -errno;
	struct timespec times[2] = {st.st_atim, st.st_mtim};
	(void)futimens(rec->fd, times); /* another owner's file on some backings: the times are not worth failing for */
	return 0;
}

int recover_whole(const struct recover *rec)
{
	struct stat st;
	uint64_t plain_size;
	struct final_head head;
	if (fstat(rec->fd, &st) < 0)
		return -errno;
	if (layout_classify(rec->layout, (uint64_t)st.st_size, &plain_size) != OBJECT_FILE)
		return -EBADMSG;
	uint64_t no = plain_size / rec->layout->block_len;
	return open_final(rec, no, layout_final_len(rec->layout, plain_size), &head);
}

static void say(const struct recover *rec, const struct recover_end *end)
{
	char link[64], name[512], text[1024];
	snprintf(link, sizeof(link), "/proc/self/fd/%d", rec->fd);
	ssize_t n = readlink(link, name, sizeof(name) - 1);
	name[n < 0 ? 0 : n] = '\0';
	int len = snprintf(text, sizeof(text),
			   "%s: left unfinished by a crash; it ends now after %" PRIu64 " blocks (%s)", name,
			   end->blocks, end->sealed ? "at its earlier end" : "after the last block that authenticates");
	uint64_t lost = end->bad + (end->flags & FINAL_SPARSE ? 0 : end->empty);
	if (lost && len > 0 && (size_t)len < sizeof(text))
		snprintf(text + len, sizeof(text) - (size_t)len, "; %" PRIu64 " blocks before it are lost", lost);
	rec->log(LOG_WARNING, text);
}

/* Bytes on disk that do not outlive the mending: a new final record is written over what lies behind the last block. */
static int bytes_cut(const struct recover *rec, const struct recover_end *end, uint64_t *cut)
{
	uint64_t keeps = end->sealed ? end->disk_size : layout_record_off(rec->layout, end->blocks);
	struct stat st;

	if (fstat(rec->fd, &st) < 0)
		return -errno;
	*cut = (uint64_t)st.st_size > keeps ? (uint64_t)st.st_size - keeps : 0;
	return 0;
}

int recover_file(const struct recover *rec)
{
	struct recover_end end;
	uint64_t cut = 0;
	int r = recover_whole(rec);
	if (r != -EBADMSG)
		return r;
	r = recover_find(rec, &end);
	if (!r)
		r = bytes_cut(rec, &end, &cut);
	if (!r && rec->before)
		r = rec->before(rec->arg, cut);
	if (!r)
		r = recover_apply(rec, &end);
	if (r)
		return r;
	if (rec->log && (!rec->may_log || rec->may_log(rec->arg)))
		say(rec, &end);
	return 1;
}
