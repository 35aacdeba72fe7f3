/* SPDX-License-Identifier: BSD-2-Clause */
/* What `verify --repair` does. Nothing is destroyed: what is taken away lies in STORE/byokfs/lost+found afterwards. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "fs/check/check_own.h"
#include "fs/inode/blank.h"
#include "fs/store/borrow.h"
#include "fs/store/store_own.h"

#define COPY_LEN 65536u

/* The folder lost+found, made when first needed; the run's. */
static int lost_dir(struct check_run *run)
{
	int own = run->cfg->store->own_fd;
	pthread_mutex_lock(&run->out);
	if (run->lost_fd < 0) {
		int r = mkdirat(own, CHECK_LOST, 0700) < 0 && errno != EEXIST ? -errno : 0;
		run->lost_fd = r ? r : store_openat(own, CHECK_LOST, O_RDONLY | O_DIRECTORY, 0);
	}
	int fd = run->lost_fd;
	pthread_mutex_unlock(&run->out);
	return fd;
}

int check_move_lost(struct check_run *run, const struct check_at *at)
{
	char name[NAME_LEN_MAX + 1];
	struct stat st;
	int lost = lost_dir(run);
	if (lost < 0)
		return lost;
	int r = store_stat(at->dir->fd, at->name, &st);
	if (r)
		return r;
	/* By inode: unique, and never too long. */
	int n = snprintf(name, sizeof(name), "%" PRIu64 ".", (uint64_t)st.st_ino);
	snprintf(name + n, sizeof(name) - (size_t)n, "%.*s", (int)(sizeof(name) - (size_t)n - 1), at->name);
	if (store_stat(lost, name, &st) == 0)
		return -EEXIST;
	/* durable at the end, all at once: who writes to the store may have planted any number */
	return renameat(at->dir->fd, at->name, lost, name) < 0 ? -errno : 0;
}

static int sync_id(int dir_fd)
{
	AUTO(auto_close) int id = store_open_file(dir_fd, DIRID_NAME, O_RDONLY);
	return id < 0 ? id : fsync(id) < 0 || fsync(dir_fd) < 0 ? -errno : 0;
}

int check_new_id(struct check_run *run, struct check_dir *dir)
{
	const struct check_at at = {.dir = dir, .name = DIRID_NAME};
	int r = check_move_lost(run, &at);
	if (r && r != -ENOENT)
		return r;
	r = store_dirid_make(dir->fd, run->cfg->gate, dir->id);
	return r ? r : sync_id(dir->fd);
}

/* Free on a backing that has no RENAME_NOREPLACE, too: the walk is the only one that works here. */
static int rename_free(int dir_fd, const char *from, const char *to)
{
	struct stat st;
	if (store_stat(dir_fd, to, &st) == 0)
		return -EEXIST;
	return renameat(dir_fd, from, dir_fd, to) < 0 || fsync(dir_fd) < 0 ? -errno : 0;
}

/* What it was called on disk stays: the id that opens it may turn up in an old copy. */
static int keep_old_name(struct check_run *run, const struct check_at *at, uint64_t inode)
{
	char line[NAME_LEN_MAX + 32];
	int lost = lost_dir(run);
	if (lost < 0)
		return lost;
	AUTO(auto_close) int fd = store_open_own(lost, "names", O_WRONLY | O_CREAT | O_APPEND);
	if (fd < 0)
		return fd;
	int n = snprintf(line, sizeof(line), "%" PRIu64 " %s\n", inode, at->name);
	return write(fd, line, (size_t)n) == n && fsync(fd) == 0 ? 0 : -EIO;
}

/* The old long name AT is no more: nor may be what said it. Where it cannot go now, a later check finds it without its entry. */
static void sweep_sidecar(struct check_run *run, const struct check_at *at)
{
	char name[NAME_LEN_MAX + 1];
	const struct check_at sidecar = {.dir = at->dir, .name = name};

	if (name_kind(run->names, at->name) != ENTRY_LONG)
		return;
	name_sidecar(at->name, name);
	(void)(check_move_lost(run, &sidecar) == 0);
}

int check_new_name(struct check_run *run, const struct check_at *at, char disk[NAME_LEN_MAX + 1], char **plain)
{
	AUTO(borrow_end) struct borrow b = {0};
	struct disk_name dn;
	char name[32];
	struct stat st;
	int r = store_stat(at->dir->fd, at->name, &st);
	if (r)
		return r;
	int n = snprintf(name, sizeof(name), "lost-%" PRIu64, (uint64_t)st.st_ino);
	AUTO(auto_free) char *given = strdup(name);
	r = !given ? -ENOMEM : borrow_store(&b, run->cfg->gate, GATE_USE_NEW);
	if (!r)
		r = name_encode(b.store, run->names, at->dir->id, name, (size_t)n, &dn);
	borrow_end(&b);
	if (!r)
		r = keep_old_name(run, at, (uint64_t)st.st_ino);
	if (!r)
		r = rename_free(at->dir->fd, at->name, dn.name);
	if (r)
		return r;
	sweep_sidecar(run, at);
	*plain = given;
	given = NULL;
	memcpy(disk, dn.name, sizeof(dn.name));
	return 0;
}

int check_fill_stump(struct check_run *run, const struct check_at *at)
{
	AUTO(blank_end) struct blank b = {0};
	struct stat st;
	AUTO(auto_close) int fd = store_open_lifted(at->dir->fd, at->name, O_RDWR);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	int r = blank_make(&b, run->cfg->gate, run->layout);
	if (r)
		return r;
	if (ftruncate(fd, 0) < 0)
		return -errno;
	r = blank_write(&b, fd);
	if (r)
		return r;
	struct timespec times[2] = {st.st_atim, st.st_mtim};
	(void)futimens(fd, times);
	return fsync(fd) < 0 ? -errno : 0;
}

/* Keep what lies behind FROM in lost+found. */
static int keep_tail(struct check_run *run, int fd, uint64_t from)
{
	char name[64];
	struct stat st;
	int lost = lost_dir(run);
	if (lost < 0)
		return lost;
	if (fstat(fd, &st) < 0)
		return -errno;
	snprintf(name, sizeof(name), "%" PRIu64 ".from-%" PRIu64, (uint64_t)st.st_ino, from);
	AUTO(auto_close) int out = store_openat(lost, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (out < 0)
		return out;
	uint8_t *buf = malloc(COPY_LEN);
	int r = buf ? 0 : -ENOMEM;
	for (uint64_t off = from; !r && off < (uint64_t)st.st_size;) {
		size_t n = (uint64_t)st.st_size - off < COPY_LEN ? (size_t)((uint64_t)st.st_size - off) : COPY_LEN;
		r = store_pread_full(fd, buf, n, off);
		if (!r && !block_is_zero(buf, n)) /* zeros stay a hole */
			r = store_pwrite_full(out, buf, n, off - from);
		off += n;
	}
	free(buf);
	if (!r && (ftruncate(out, st.st_size - (off_t)from) < 0 || fsync(out) < 0 || fsync(lost) < 0))
		r = -errno;
	if (r)
		(void)unlinkat(lost, name, 0);
	return r;
}

int check_seal_end(struct check_run *run, const struct check_target *t)
{
	AUTO(auto_close) int fd = store_open_lifted(t->at->dir->fd, t->at->name, O_RDWR);
	if (fd < 0)
		return fd;
	struct recover rec = t->file;
	rec.fd = fd;
	/* A new final record is written over what lies there; an old one that authenticates stays. */
	uint64_t from = t->end.sealed ? t->end.disk_size : layout_record_off(run->layout, t->end.blocks);
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -errno;
	int r = (uint64_t)st.st_size > from ? keep_tail(run, fd, from) : 0;
	if (!r)
		r = recover_apply(&rec, &t->end);
	if (!r && fsync(fd) < 0)
		r = -errno;
	return r;
}
