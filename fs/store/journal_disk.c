/* SPDX-License-Identifier: BSD-2-Clause */
/* The undo journal's file: made when it is first needed, taken over from an earlier session, emptied. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "fs/store/journal_own.h"
#include "fs/store/store_own.h"

#define CHUNK (1u << 20)
#define SHARE 4 /* the ring takes so much of the free room at most, if the shortest one is not more */

static bool all_blocks(const struct stat *st)
{
	return (uint64_t)st->st_blocks * 512 >= (uint64_t)st->st_size;
}

/* The file that is there, if it can be used: its ring's length, -ENOENT if it cannot. Sparse counts as absent. */
static int open_whole(const struct journal *j, uint64_t *ring_len)
{
	struct stat st;
	AUTO(auto_close) int fd = store_open_own(j->cfg.own_fd, STORE_JOURNAL, O_RDWR);

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	uint64_t len = (uint64_t)st.st_size;
	if (len < JOURNAL_HEAD_LEN + j->cfg.ring_min || len > JOURNAL_HEAD_LEN + JOURNAL_RING_MAX || !all_blocks(&st) ||
	    (len - JOURNAL_HEAD_LEN) % JOURNAL_UNIT)
		return -ENOENT;
	*ring_len = len - JOURNAL_HEAD_LEN;
	int keep = fd;
	fd = -1;
	return keep;
}

/* Zeros all over: what is only reserved would be made blocks in the middle of a sync, with a commit for each. */
static int fill(int fd, uint64_t len)
{
	AUTO(auto_free) uint8_t *zeros = calloc(1, CHUNK);
	int r = zeros ? 0 : -ENOMEM;

	for (uint64_t at = 0; r == 0 && at < len; at += CHUNK)
		r = store_pwrite_full(fd, zeros, len - at < CHUNK ? (size_t)(len - at) : CHUNK, at);
	return r;
}

/* A new one in place of what is there. */
static int make(const struct journal *j, uint64_t ring_len)
{
	static const char name[] = STORE_TMP_PREFIX "journal";

	(void)!unlinkat(j->cfg.own_fd, name, 0);
	AUTO(auto_close) int fd = store_open_file(j->cfg.own_fd, name, O_RDWR | O_CREAT | O_EXCL);
	if (fd < 0)
		return fd;
	int r = fill(fd, JOURNAL_HEAD_LEN + ring_len);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (r == 0)
		r = store_put_in_place(j->cfg.own_fd, name, STORE_JOURNAL);
	if (r == 0 && fsync(j->cfg.own_fd) < 0)
		r = -errno;
	if (r) {
		(void)!unlinkat(j->cfg.own_fd, name, 0);
		return r;
	}
	int keep = fd;
	fd = -1;
	return keep;
}

static bool is_full(int r)
{
	return r == -ENOSPC || r == -EDQUOT;
}

/* The next shorter ring, 0 if there is none. */
static uint64_t shorter(const struct journal *j, uint64_t ring_len)
{
	uint64_t half = ring_len / 2 / JOURNAL_UNIT * JOURNAL_UNIT;

	return ring_len <= j->cfg.ring_min ? 0 : half > j->cfg.ring_min ? half : j->cfg.ring_min;
}

/*
 * A share of what is free, so that others' writes do not fail for the journal's sake, nor while it is found out that it has no room; 0
 * if there is none.
 */
static uint64_t longest(const struct journal *j)
{
	uint64_t len = j->cfg.ring_len;
	struct statvfs v;

	if (fstatvfs(j->cfg.own_fd, &v) < 0 || v.f_blocks == 0)
		return len;
	uint64_t free = (uint64_t)v.f_bavail * v.f_frsize;
	while (len > j->cfg.ring_min && len > free / SHARE)
		len = shorter(j, len);
	if (len + JOURNAL_HEAD_LEN <= free)
		return len;
	/* the shortest one may take of what is kept for root: or nothing could be written over on a disk that is full for users */
	return geteuid() == 0 && j->cfg.ring_min + JOURNAL_HEAD_LEN <= (uint64_t)v.f_bfree * v.f_frsize
		       ? j->cfg.ring_min
		       : 0;
}

/* A new one, of as long a ring as there is room for, if that is more than HAVE. A quota says how long only by refusing. */
static int make_longest(const struct journal *j, uint64_t have, uint64_t *ring_len)
{
	int r = -ENOSPC;

	for (uint64_t len = longest(j); len > have && is_full(r); len = shorter(j, len)) {
		r = make(j, len);
		*ring_len = len;
	}
	return r;
}

uint64_t journal_born(int fd)
{
	struct timespec t;

	return store_born(fd, &t) ? (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec : 0;
}

static int put_head(const struct journal *j, int fd, uint64_t ring_len)
{
	uint8_t buf[JOURNAL_HEAD_LEN];
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	const struct journal_head h = {
		.session = j->cfg.session, .home_born = journal_born(fd), .home_ino = st.st_ino, .ring_len = ring_len};
	int r = journal_head_write(j->key, &h, buf);
	if (r == 0)
		r = store_pwrite_full(fd, buf, sizeof(buf), 0);
	return r == 0 && fsync(fd) < 0 ? -errno : r;
}

int journal_disk_make(const struct journal *j, struct journal_file *out)
{
	uint64_t have = 0, ring_len = 0;
	struct stat st;
	AUTO(auto_close) int old = open_whole(j, &have);

	if (old < 0 && old != -ENOENT && old != -EUCLEAN)
		return old;
	AUTO(auto_close) int fd = make_longest(j, j->anew ? 0 : have, &ring_len);
	int r = 0;
	if (is_full(fd) && old >= 0) { /* what is there has its blocks */
		fd = old;
		old = -1;
		ring_len = have;
		r = j->anew ? fill(fd, JOURNAL_HEAD_LEN + ring_len) : 0;
	}
	if (fd < 0)
		return fd;
	if (r == 0)
		r = put_head(j, fd, ring_len);
	if (r == 0 && fstat(fd, &st) < 0)
		r = -errno;
	if (r)
		return r;
	*out = (struct journal_file){.fd = fd, .ring_len = ring_len, .whole = all_blocks(&st)};
	fd = -1;
	return 0;
}

bool journal_disk_in_place(const struct journal *j)
{
	struct stat st, own;
	int r = store_stat(j->cfg.own_fd, STORE_JOURNAL, &st);

	if (r)
		return r != -ENOENT;
	return fstat(j->fd, &own) == 0 && st.st_dev == own.st_dev && st.st_ino == own.st_ino &&
	       (uint64_t)st.st_size == JOURNAL_HEAD_LEN + j->ring_len && (!j->whole || all_blocks(&st));
}

void journal_disk_drop(int fd)
{
	static const uint8_t none[JOURNAL_HEAD_LEN];

	if (store_pwrite_full(fd, none, sizeof(none), 0) == 0)
		(void)!fdatasync(fd);
	close(fd);
}

int journal_disk_ended(struct journal *j, uint64_t at)
{
	return store_pwrite_full(j->fd, journal_magic_ended, JOURNAL_MARK_LEN,
				 JOURNAL_HEAD_LEN + at % j->ring_len + JOURNAL_MARK_OFF);
}
