/* SPDX-License-Identifier: BSD-2-Clause */
/* Putting old records back: a file of which something does not authenticate is again what it was when it was last synced. */
#include "fs/store/undo.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "crypto/json.h"
#include "crypto/secret.h"
#include "fs/store/recover.h"
#include "fs/store/borrow.h"
#include "fs/store/hunt.h"
#include "fs/store/journal_read.h"

/* One file and its entries. */
struct patient {
	const struct undo *undo;
	const struct layout *l;
	struct recover rec;
	const struct journal_left *left; /* newest first */
	size_t n;
	uint64_t back;         /* L: the length it has if it goes back */
	uint8_t *disk, *plain; /* a record, a block */
	bool went_back;
};

/* ---- what entries say ---- */

/* Bytes of extent I of L, which is no hole. */
static const uint8_t *bytes_of(const struct journal_left *l, uint32_t i)
{
	const uint8_t *at = l->bytes;

	for (uint32_t k = 0; k < i; k++)
		at += l->e.extent[k].kind == JOURNAL_HOLE ? 0 : l->e.extent[k].len;
	return at;
}

/* The number of whole records before disk offset OFF, or to its end if it lies in one: UP. */
static uint64_t record_at(const struct layout *l, uint64_t off, bool up)
{
	uint64_t record = layout_record_len(l), at = off < l->header_len ? 0 : off - l->header_len;

	return (at + (up ? record - 1 : 0)) / record;
}

/* May a file of the store be what E says? A MAC says who wrote it, not that it is right. */
static bool sane(const struct layout *l, const struct journal_entry *e)
{
	const uint64_t max = layout_disk_size(l, layout_size_max(l));
	bool ok = e->disk_size >= l->header_len + FINAL_OVERHEAD && e->disk_size <= max &&
		  (e->cut == JOURNAL_NO_CUT || (e->cut >= l->header_len + FINAL_OVERHEAD && e->cut <= max));

	for (uint32_t i = 0; i < e->n_extents; i++)
		ok = ok && e->extent[i].off >= l->header_len && e->extent[i].off + e->extent[i].len <= max;
	return ok;
}

/* Entries that have ended are forgotten; those that are left say how far back it is. False: they are none of a file. */
static bool know_entries(struct patient *p)
{
	const uint64_t oldest = p->left[0].e.oldest;
	bool ok = true;

	while (p->n > 1 && p->left[p->n - 1].e.seq < oldest)
		p->n--;
	p->back = p->left[p->n - 1].e.disk_size;
	for (size_t k = 0; k < p->n; k++) {
		ok = ok && sane(p->l, &p->left[k].e);
		if (p->left[k].e.cut < p->back) /* "no cut" is more than any length */
			p->back = p->left[k].e.cut;
	}
	return ok;
}

/* ---- is it whole? ---- */

/* 1 all records from NO to END - 1 authenticate, or are holes where HOLES may be; 0 not all; negative errno. */
static int whole(struct patient *p, uint64_t no, uint64_t end, bool holes)
{
	const size_t len = layout_record_len(p->l);
	int r = 0;

	for (; r == 0 && no < end; no++) {
		AUTO(borrow_end) struct borrow b = {0};
		r = store_pread_full(p->rec.fd, p->disk, len, layout_record_off(p->l, no));
		if (r == 0 && block_is_zero(p->disk, len)) {
			r = holes ? 0 : -EBADMSG;
			continue;
		}
		if (r == 0)
			r = borrow_file(&b, p->rec.gate, GATE_USE_NEW, p->rec.key, p->l);
		if (r == 0)
			r = block_open(&b.open, no, 1, 0, p->disk, p->plain, NULL);
	}
	return r == 0 ? 1 : r == -EBADMSG ? 0 : r;
}

/* The same of the file's end and all that was touched, as far as it is there. */
static int all_whole(struct patient *p)
{
	struct final_head head;
	struct stat st;
	uint64_t size;
	int r = recover_whole(&p->rec);

	if (r)
		return r == -EBADMSG ? 0 : r;
	if (fstat(p->rec.fd, &st) < 0)
		return -errno;
	if (layout_classify(p->l, (uint64_t)st.st_size, &size) != OBJECT_FILE)
		return 0;
	const uint64_t n = size / p->l->block_len;
	r = recover_final_at(&p->rec, n, &head);
	if (r <= 0)
		return r;
	const bool holes = head.flags & FINAL_SPARSE;
	r = whole(p, record_at(p->l, p->back, false), n, holes);
	for (size_t k = 0; k < p->n && r == 1; k++)
		for (uint32_t i = 0; i < p->left[k].e.n_extents && r == 1; i++) {
			const struct journal_extent *x = &p->left[k].e.extent[i];
			uint64_t end = record_at(p->l, x->off + x->len, true);
			r = whole(p, record_at(p->l, x->off, false), end < n ? end : n, holes);
		}
	return r;
}

/* ---- back ---- */

static int make_hole(int fd, uint64_t off, uint64_t len)
{
	static const uint8_t zeros[65536];
	int r = 0;

	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)len) == 0)
		return 0;
	for (uint64_t n; r == 0 && len > 0; off += n, len -= n) {
		n = len < sizeof(zeros) ? len : sizeof(zeros);
		r = store_pwrite_full(fd, zeros, (size_t)n, off);
	}
	return r;
}

/* The extents of L of KIND, to where they belong. */
static int put_extents(const struct patient *p, const struct journal_left *l, enum journal_kind kind)
{
	int r = 0;

	for (uint32_t i = 0; i < l->e.n_extents && r == 0; i++) {
		const struct journal_extent *x = &l->e.extent[i];
		if (x->kind != kind)
			continue;
		r = kind == JOURNAL_HOLE ? make_hole(p->rec.fd, x->off, x->len)
					 : store_pwrite_full(p->rec.fd, bytes_of(l, i), x->len, x->off);
	}
	return r;
}

static int go_back(struct patient *p)
{
	const struct journal_left *cut = NULL;
	int r = 0;

	for (size_t k = 0; k < p->n && r == 0; k++) {
		r = put_extents(p, &p->left[k], JOURNAL_OLD);
		if (r == 0)
			r = put_extents(p, &p->left[k], JOURNAL_HOLE);
		if (p->left[k].e.cut == p->back)
			cut = &p->left[k];
	}
	if (r == 0 && cut)
		r = put_extents(p, cut, JOURNAL_NEW);
	if (r == 0 && ftruncate(p->rec.fd, (off_t)p->back) < 0)
		r = -errno;
	p->went_back = r == 0;
	return r;
}

/* ---- files ---- */

static void say(const struct patient *p)
{
	char name[300], text[512];

	if (!p->undo->log)
		return;
	snprintf(name, sizeof(name), "%.*s", (int)p->left->e.path_len, p->left->path);
	text_plain(name);
	snprintf(text, sizeof(text),
		 "data/%s: half written when the machine went down; it is again as it was when it was last synced",
		 name);
	p->undo->log(LOG_WARNING, text);
}

/* Whole, or back where it was: durable. What cannot be opened at all is damage, and told by who opens it. */
static int with_key(struct patient *p)
{
	struct stat st;
	int r = all_whole(p);

	if (r == 0 && fstat(p->rec.fd, &st) < 0)
		r = -errno;
	if (r == 0) {
		const struct timespec times[2] = {st.st_atim, st.st_mtim};
		r = go_back(p);
		(void)futimens(p->rec.fd, times);
	}
	return r < 0 ? r : fsync(p->rec.fd) < 0 ? -errno : 0;
}

static int mend(struct patient *p)
{
	AUTO(auto_free) uint8_t *header = malloc(p->l->header_len);

	p->disk = malloc(layout_final_room(p->l));
	p->plain = malloc(p->l->block_len);
	if (!header || !p->disk || !p->plain)
		return -ENOMEM;
	int r = store_pread_full(p->rec.fd, header, p->l->header_len, 0);
	if (!r)
		r = gate_key_open(p->rec.gate, header, &p->rec.key);
	if (r)
		return r == -EBADMSG || r == -EUCLEAN || r == -ENOTSUP || r == -ENOKEY ? 0 : r;
	r = with_key(p);
	gate_key_close(p->rec.key);
	return r;
}

struct round {
	const struct undo *undo;
	struct undo_done *done;
	const struct journal_found *found;
};

static int remember(struct undo_done *done, const struct journal_entry *e)
{
	struct undo_file *file = realloc(done->file, (done->files + 1) * sizeof(*file));

	if (!file)
		return -ENOMEM;
	done->file = file;
	memcpy(file[done->files].file_id, e->file_id, ID_LEN);
	file[done->files++].ino = e->ino;
	return 0;
}

void undo_done_free(struct undo_done *done)
{
	free(done->file);
	*done = (struct undo_done){0};
}

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
	int r = know_entries(&p) ? mend(&p) : 0;

	free(p.disk);
	if (p.plain)
		secret_wipe(p.plain, p.l->block_len);
	free(p.plain);
	close(fd);
	if (p.went_back) {
		say(&p);
		r = r ? r : remember(all->done, &left->e);
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
