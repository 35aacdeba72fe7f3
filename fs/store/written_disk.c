/* SPDX-License-Identifier: BSD-2-Clause */
/* The file STORE/byokfs/writing: made, written to, made again when it is not there. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "fs/store/live.h"
#include "fs/store/store_own.h"
#include "fs/store/written_own.h"

static uint64_t entry_off(uint32_t no)
{
	return WRITING_HEAD_LEN + (uint64_t)(no - 1) * WRITING_ENTRY_LEN;
}

int written_put_entry(const struct written *w, int fd, uint32_t no, const struct writing_entry *e)
{
	uint8_t buf[WRITING_ENTRY_LEN];
	int r = writing_entry_write(w->key, e, buf);

	live_unlist(w->cfg.live, no - 1); /* killed in between, either may be there */
	if (!r)
		r = store_pwrite_full(fd, buf, sizeof(buf), entry_off(no));
	if (!r)
		live_listed(w->cfg.live, no - 1, buf);
	return r;
}

int written_clear_entry(const struct written *w, int fd, uint32_t no)
{
	static const uint8_t empty[WRITING_ENTRY_LEN];

	live_unlist(w->cfg.live, no - 1);
	return store_pwrite_full(fd, empty, sizeof(empty), entry_off(no));
}

int written_put_head(struct written *w, int fd)
{
	uint8_t buf[WRITING_HEAD_LEN];
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	w->head.ino = st.st_ino;
	int r = writing_head_write(w->key, &w->head, buf);
	return r ? r : store_pwrite_full(fd, buf, sizeof(buf), 0);
}

/* A file of ours with all its blocks: fd, or an error. */
static int open_whole(const struct written *w)
{
	struct stat st;
	AUTO(auto_close) int fd = store_open_own(w->cfg.own_fd, STORE_WRITING, O_RDWR);

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size != WRITING_LEN || (uint64_t)st.st_blocks * 512 < WRITING_LEN)
		return -ENOENT;
	int keep = fd;
	fd = -1;
	return keep;
}

/* All that is in memory, to FD. */
static int put_all(struct written *w, int fd)
{
	int r = 0;

	for (uint32_t no = 1; no < w->fresh && r == 0; no++)
		if (w->slot[no].state != SLOT_FREE)
			r = written_put_entry(w, fd, no, &w->slot[no].entry);
	return r ? r : written_put_head(w, fd);
}

static int fill(struct written *w, int fd)
{
	AUTO(auto_free) uint8_t *zeros = calloc(1, WRITING_LEN);
	int r = zeros ? store_pwrite_full(fd, zeros, WRITING_LEN, 0) : -ENOMEM;

	if (r == 0)
		r = put_all(w, fd);
	return r == 0 && fsync(fd) < 0 ? -errno : r;
}

static int make_anew(struct written *w, int *out)
{
	char tmp[64];
	int dir = w->cfg.own_fd;

	snprintf(tmp, sizeof(tmp), STORE_TMP_PREFIX "%d.writing", (int)getpid());
	unlinkat(dir, tmp, 0);
	AUTO(auto_close) int fd = store_open_file(dir, tmp, O_RDWR | O_CREAT | O_EXCL);
	if (fd < 0)
		return fd;
	int r = fill(w, fd);
	if (r == 0)
		r = store_put_in_place(dir, tmp, STORE_WRITING);
	if (r == 0 && fsync(dir) < 0)
		r = -errno;
	if (r < 0) {
		unlinkat(dir, tmp, 0);
		return r;
	}
	*out = fd;
	fd = -1;
	return 0;
}

int written_make(struct written *w, bool reuse)
{
	struct stat st;
	struct timespec now = {0};
	int fd = reuse ? open_whole(w) : -ENOENT;
	int r = fd < 0 ? make_anew(w, &fd) : 0;

	if (r == -ENOSPC || r == -EDQUOT) { /* a full store must be mountable */
		fd = open_whole(w);
		r = fd < 0 ? r : put_all(w, fd);
	} else if (r == 0) {
		r = put_all(w, fd);
	}
	if (r == 0 && fdatasync(fd) < 0)
		r = -errno;
	clock_gettime(CLOCK_REALTIME, &now);
	if (r == 0 && fstat(fd, &st) == 0)
		w->skew = st.st_mtime - now.tv_sec;
	if (r == 0)
		w->fd = fd;
	else
		auto_close(&fd);
	return r;
}

/* Is the file that we write to still the one that the next mount will find? */
static bool in_place(const struct written *w)
{
	struct stat st, own;

	int r = store_stat(w->cfg.own_fd, STORE_WRITING, &st);
	if (r)
		return r != -ENOENT; /* a disk that does not answer says nothing about the file */
	return fstat(w->fd, &own) == 0 && st.st_dev == own.st_dev && st.st_ino == own.st_ino &&
	       st.st_size == WRITING_LEN;
}

/*
 * The new file gets the old one's descriptor. Whoever has written to the old one meanwhile is in memory, and so is written
 * once more.
 */
static void make_again(struct written *w)
{
	int fd = -1;

	pthread_mutex_lock(&w->lock);
	int r = make_anew(w, &fd);
	if (r == 0 && dup3(fd, w->fd, O_CLOEXEC) < 0)
		r = -errno;
	if (r == 0)
		r = put_all(w, w->fd);
	pthread_mutex_unlock(&w->lock);
	auto_close(&fd);
	if (w->cfg.log && r == 0)
		w->cfg.log(LOG_WARNING, STORE_OWN
			   "/" STORE_WRITING " was removed, replaced or cut while the store is mounted: made again");
	else if (w->cfg.log && !w->missing)
		w->cfg.log(LOG_ERR, STORE_OWN "/" STORE_WRITING
					      " was removed, replaced or cut while the store is mounted, and cannot be "
					      "made again: no unfinished end is tolerated should this mount break off");
	w->missing = r != 0;
}

void written_look(struct written *w)
{
	if (!in_place(w))
		make_again(w);
}

void written_sync(struct written *w)
{
	(void)fdatasync(w->fd); /* what fails here fails for the files too, and they tell it */
}
