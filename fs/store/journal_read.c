/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading what a session that broke off left in the undo journal. */
#include "fs/store/journal_read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "crypto/block.h"
#include "fs/store/journal_own.h"
#include "fs/store/store_own.h"

void journal_found_free(struct journal_found *f)
{
	free(f->ring);
	free(f->left);
	*f = (struct journal_found){0};
}

/* By file, then the newest first. */
static int by_file(const void *a, const void *b)
{
	const struct journal_entry *x = &((const struct journal_left *)a)->e, *y = &((const struct journal_left *)b)->e;
	int r = x->ino != y->ino ? (x->ino < y->ino ? -1 : 1) : memcmp(x->file_id, y->file_id, ID_LEN);

	return r ? r : x->seq > y->seq ? -1 : 1;
}

static int add(struct journal_found *f, size_t *room, const struct journal_left *l)
{
	if (f->n == *room) {
		size_t more = *room ? 2 * *room : 64;
		struct journal_left *left = realloc(f->left, more * sizeof(*left));
		if (!left)
			return -ENOMEM;
		f->left = left;
		*room = more;
	}
	f->left[f->n++] = *l;
	return 0;
}

/* Entries begin at multiples of JOURNAL_ALIGN, wherever an older one may have been. */
static int entries(const struct journal_key *key, uint64_t len, struct journal_found *f)
{
	size_t room = 0;
	int r = 0;

	for (uint64_t at = 0; r == 0 && at < len; at += JOURNAL_ALIGN) {
		struct journal_left l;
		int bad = journal_entry_parse(key, f->ring + at, (size_t)(len - at), at, &l);
		if (bad == 0 && !l.e.ended)
			r = add(f, &room, &l);
		else if (bad && bad != -ENOENT && bad != -EBADMSG)
			r = bad;
	}
	if (f->n)
		qsort(f->left, f->n, sizeof(*f->left), by_file);
	return r;
}

static const char *foreign(int fd, const struct journal_head *h, uint64_t session, uint64_t len)
{
	struct stat st;

	if (h->session != session)
		return "of another session";
	if (fstat(fd, &st) < 0 || h->home_ino != st.st_ino || h->home_born != journal_born(fd))
		return "written for another copy of this store, or put back from one";
	return h->ring_len == len ? NULL : "of another length";
}

/* The whole ring of the file FD into F. 0 with nothing in F: it does not count. */
static int read_ring(int fd, const struct journal_key *key, uint64_t session, struct journal_found *f, const char **why)
{
	uint8_t buf[JOURNAL_HEAD_LEN];
	struct journal_head h;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size <= JOURNAL_HEAD_LEN || st.st_size > JOURNAL_HEAD_LEN + JOURNAL_RING_MAX)
		return 0;
	uint64_t len = (uint64_t)st.st_size - JOURNAL_HEAD_LEN;
	int r = store_pread_full(fd, buf, sizeof(buf), 0);
	if (r == 0 && block_is_zero(buf, sizeof(buf)))
		return 0; /* emptied */
	if (r == 0)
		r = journal_head_parse(key, buf, sizeof(buf), &h);
	*why = r == -EBADMSG ? "not authentic, or of another session" : r == 0 ? foreign(fd, &h, session, len) : NULL;
	if (r || *why)
		return r == -EBADMSG ? 0 : r;
	f->ring = malloc(len);
	r = f->ring ? store_pread_full(fd, f->ring, len, JOURNAL_HEAD_LEN) : -ENOMEM;
	return r ? r : entries(key, len, f);
}

int journal_read(const struct store *s, const struct store_keys *keys, uint64_t session, struct journal_found *out,
		 const char **why)
{
	struct journal_key *key = NULL;
	AUTO(auto_close) int fd = store_open_file(s->own_fd, STORE_JOURNAL, O_RDONLY);

	*out = (struct journal_found){0};
	*why = NULL;
	if (fd < 0)
		return fd == -ENOENT || fd == -EUCLEAN ? 0 : fd;
	int r = journal_key_new(keys, session, &key);
	if (r == 0)
		r = read_ring(fd, key, session, out, why);
	journal_key_free(key);
	if (r)
		journal_found_free(out);
	return r;
}

int journal_forget(const struct store *s)
{
	static const uint8_t none[JOURNAL_HEAD_LEN];
	AUTO(auto_close) int fd = store_open_own(s->own_fd, STORE_JOURNAL, O_RDWR);

	if (fd < 0)
		return fd == -ENOENT || fd == -EUCLEAN ? 0 : fd;
	int r = store_pwrite_full(fd, none, sizeof(none), 0);
	return r == 0 && fsync(fd) < 0 ? -errno : r;
}
