/* SPDX-License-Identifier: BSD-2-Clause */
/* The undo journal's file: made when it is first needed, taken over from an earlier session, emptied. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "fs/store/journal_own.h"
#include "fs/store/store_own.h"

#define CHUNK (1u << 20)

/* The file that is there, if it is whole: its ring's length, -ENOENT if it is not. Sparse counts as absent. */
static int open_whole(const struct journal *j, uint64_t *ring_len)
{
	struct stat st;
	AUTO(auto_close) int fd = store_open_own(j->cfg.own_fd, STORE_JOURNAL, O_RDWR);

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	uint64_t len = (uint64_t)st.st_size;
	if (len != JOURNAL_HEAD_LEN + j->cfg.ring_len || (uint64_t)st.st_blocks * 512 < len)
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
static int make(const struct journal *j)
{
	static const char name[] = STORE_TMP_PREFIX "journal";

	(void)!unlinkat(j->cfg.own_fd, name, 0);
	AUTO(auto_close) int fd = store_open_file(j->cfg.own_fd, name, O_RDWR | O_CREAT | O_EXCL);
	if (fd < 0)
		return fd;
	int r = fill(fd, JOURNAL_HEAD_LEN + j->cfg.ring_len);
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

static int get_ready(struct journal *j)
{
	uint64_t ring_len = j->cfg.ring_len;
	AUTO(auto_close) int fd = open_whole(j, &ring_len);

	if (fd == -ENOENT || fd == -EUCLEAN)
		fd = make(j);
	if (fd < 0)
		return fd;
	int r = put_head(j, fd, ring_len);
	if (r)
		return r;
	j->fd = fd;
	j->ring_len = ring_len;
	fd = -1;
	return 0;
}

int journal_disk_ready(struct journal *j)
{
	if (atomic_load(&j->ready))
		return 0;
	pthread_mutex_lock(&j->making);
	int r = atomic_load(&j->ready) ? 0 : get_ready(j);
	if (r == 0)
		atomic_store(&j->ready, true);
	pthread_mutex_unlock(&j->making);
	return r;
}

int journal_disk_ended(struct journal *j, uint64_t at)
{
	return store_pwrite_full(j->fd, journal_magic_ended, JOURNAL_MARK_LEN,
				 JOURNAL_HEAD_LEN + at % j->ring_len + JOURNAL_MARK_OFF);
}
