/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading an open file; finding data and holes. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "fs/inode/file_own.h"
#include "fs/store/store.h"

/* What of the disk one READ needs. */
struct span {
	uint64_t first;   /* block */
	size_t n;         /* whole blocks */
	size_t final_len; /* of the final record, 0 if not needed */
	uint32_t flags;
};

/* Fetch the records that [off, off + *len) needs, cut at the end of the file. *LEN = 0 past it. */
static int fetch(struct file *f, struct file_work *w, uint64_t off, size_t *len, struct span *s)
{
	const struct layout *l = &f->env->layout;
	uint64_t whole = f->size / l->block_len;

	if (off >= f->size) {
		*len = 0;
		return 0;
	}
	if (*len > f->size - off)
		*len = f->size - off;
	uint64_t last = (off + *len - 1) / l->block_len;
	s->first = off / l->block_len;
	s->final_len = last == whole ? layout_final_len(l, f->size) : 0;
	s->n = (last == whole ? whole : last + 1) - s->first;
	s->flags = f->flags;
	struct busy busy = {.first = s->first, .last = last};
	busy_enter(&f->busy, &busy);
	int r = behind_pread(f, w->cipher, s->n * layout_record_len(l) + s->final_len, layout_record_off(l, s->first));
	busy_leave(&f->busy, &busy);
	return r == -EIO ? file_corrupt(f, "cut short or unreadable: block", s->first) : r;
}

static int open_span(struct file *f, struct file_work *w, const struct span *s)
{
	const struct layout *l = &f->env->layout;
	struct borrow b;
	int r = file_borrow(f, GATE_USE_NEW, &b);

	if (r)
		return r;
	w->dirty = true;
	uint64_t bad = 0;
	if (s->n > 0)
		r = block_open(&b.open, s->first, s->n, s->flags, w->cipher, w->plain, &bad);
	if (!r && s->final_len > 0) {
		struct final_head head;

		bad = s->first + s->n;
		r = final_open(&b.open, bad, w->cipher + s->n * layout_record_len(l), s->final_len, &head,
			       w->plain + s->n * l->block_len);
	}
	borrow_end(&b);
	return r == -EBADMSG ? file_corrupt(f, "block", bad) : r;
}

int file_read(struct file *f, struct file_work *w, uint64_t off, size_t len, const uint8_t **plain, size_t *out_len)
{
	*plain = w->plain;
	*out_len = 0;
	if (len == 0)
		return 0;
	if (len > INFLIGHT_REQUEST_MAX)
		len = INFLIGHT_REQUEST_MAX;
	/* what was lost may have been written again, and be behind */
	if (file_is_lost(f, off, len) && behind_wait(f))
		return -EACCES;
	if (f->broken || file_is_lost(f, off, len))
		return -EIO;
	pthread_rwlock_rdlock(&f->lock);
	struct span s;
	size_t asked = len;
	int r = fetch(f, w, off, &len, &s);
	uint64_t told = file_told_size(f);
	pthread_rwlock_unlock(&f->lock);
	if (!r && len > 0)
		r = open_span(f, w, &s);
	if (r)
		return r;
	/* a hole before what was lost behind the end: who gets less than he is told there is takes it for the end */
	size_t all = off >= told ? 0 : told - off < asked ? (size_t)(told - off) : asked;
	uint8_t *from = w->plain + off % f->env->layout.block_len;
	if (all > len)
		memset(from + len, 0, all - len);
	*plain = from;
	*out_len = all > len ? all : len;
	return 0;
}

/* Is whole block NO a hole: all zero on disk? The backing's own holes are asked first, so that long ones cost nothing. */
static int is_hole(struct file *f, struct file_work *w, uint64_t no, bool *hole)
{
	const struct layout *l = &f->env->layout;
	size_t len = layout_record_len(l);
	int r = store_pread_full(f->fd, w->cipher, len, layout_record_off(l, no));

	if (!r)
		*hole = block_is_zero(w->cipher, len);
	return r;
}

/* First block >= NO whose record may hold data, by the backing's own map; the number of whole blocks if there is none. */
static uint64_t skip_backing_hole(struct file *f, uint64_t no, uint64_t whole)
{
	const struct layout *l = &f->env->layout;
	off_t at = lseek(f->fd, (off_t)layout_record_off(l, no), SEEK_DATA);

	if (at < 0)
		return errno == ENXIO ? whole : no;
	uint64_t found = ((uint64_t)at - l->header_len) / layout_record_len(l);
	return found < no ? no : found > whole ? whole : found;
}

static int seek_sparse(struct file *f, struct file_work *w, uint64_t off, int whence, uint64_t *out)
{
	const struct layout *l = &f->env->layout;
	uint64_t whole = f->size / l->block_len, no = off / l->block_len;

	for (; no < whole; no++) {
		bool hole;
		int r;

		if (whence == SEEK_DATA)
			no = skip_backing_hole(f, no, whole);
		if (no == whole)
			break;
		r = is_hole(f, w, no, &hole);
		if (r)
			return r;
		if (hole == (whence == SEEK_HOLE))
			break;
	}
	/* The tail is data; behind it is the hole that every file ends with. */
	if (no == whole && whence == SEEK_HOLE)
		*out = f->size;
	else
		*out = no * l->block_len;
	if (*out < off)
		*out = off;
	return *out >= f->size && whence == SEEK_DATA ? -ENXIO : 0;
}

/* As file_seek(), of what is stored; OFF may be behind it. */
static int seek_stored(struct file *f, struct file_work *w, uint64_t off, int whence, uint64_t *out)
{
	if (off >= f->size)
		return -ENXIO;
	if (f->flags & FINAL_SPARSE)
		return seek_sparse(f, w, off, whence, out);
	*out = whence == SEEK_DATA ? off : f->size;
	return 0;
}

/* What was lost is data: who copies only that is to meet the error, and not to leave it out as a hole. */
static int seek_data(struct file *f, struct file_work *w, uint64_t off, uint64_t *out)
{
	struct range lost;
	int r = seek_stored(f, w, off, SEEK_DATA, out);

	if ((r && r != -ENXIO) || !file_next_lost(f, off, &lost))
		return r;
	uint64_t at = lost.start > off ? lost.start : off;
	if (r || at < *out)
		*out = at;
	return 0;
}

static int seek_hole(struct file *f, struct file_work *w, uint64_t off, uint64_t *out)
{
	uint64_t told = file_told_size(f);
	struct range lost;
	int r = 0;

	for (*out = off; !r && *out < told;) {
		bool some = file_next_lost(f, *out, &lost);

		if (some && lost.start <= *out) {
			*out = lost.end;
			continue;
		}
		if (*out < f->size)
			r = seek_stored(f, w, *out, SEEK_HOLE, out);
		if (!some || *out < lost.start)
			break;
	}
	if (*out > told)
		*out = told;
	return r;
}

int file_seek(struct file *f, struct file_work *w, uint64_t off, int whence, uint64_t *out)
{
	pthread_rwlock_rdlock(&f->lock);
	int r = behind_wait(f);
	if (!r)
		r = off >= file_told_size(f) ? -ENXIO
		    : whence == SEEK_DATA    ? seek_data(f, w, off, out)
					     : seek_hole(f, w, off, out);
	pthread_rwlock_unlock(&f->lock);
	return r;
}
