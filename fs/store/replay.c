/* SPDX-License-Identifier: BSD-2-Clause */
/* Replay of the in-flight slots at mount: what was sealed but perhaps written in part only is written whole. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <syslog.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "crypto/header.h"
#include "crypto/json.h"
#include "fs/store/replay.h"
#include "fs/store/slots.h"
#include "fs/store/store_own.h"

#define SCAN_DEPTH_MAX 16384 /* folders held open at once while looking for an inode number */

/*
 * Is it the very inode that was written? A copy of the file has its file id, and may be newer than the slot. Where device
 * numbers are handed out at each mount (major 0), the filesystem is known from the slot's home, which of_another_home() looked at.
 */
static bool inode_is(int fd, const struct inflight *f)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || st.st_ino != f->ino)
		return false;
	return st.st_dev == f->dev || (f->home_ino != 0 && major(st.st_dev) == 0 && major(f->dev) == 0);
}

/* FD if the file behind it is the one the slot was for, else -ENOENT and FD closed. */
static int file_is(int fd, const struct store *s, const struct inflight *f)
{
	if (!inode_is(fd, f)) {
		close(fd);
		return -ENOENT;
	}
	AUTO(auto_free) uint8_t *buf = malloc(s->keyring->layout.header_len);
	AUTO(auto_free) struct header *h = malloc(sizeof(*h));
	int r = !buf || !h ? -ENOMEM : store_pread_full(fd, buf, s->keyring->layout.header_len, 0);
	if (r == 0)
		r = header_parse(buf, s->keyring->layout.header_len, h);
	if (r == 0 && memcmp(h->file_id, f->file_id, ID_LEN) == 0)
		return fd;
	close(fd);
	return r == -ENOMEM ? r : -ENOENT;
}

/* Not to be opened is not the same as not there: a slot is dropped only when its file is gone. */
static int find_error(int r)
{
	return r == -ENOENT || r == -ENOTDIR || r == -ELOOP || r == -EUCLEAN ? -ENOENT : r;
}

static int find_by_path(const struct store *s, const struct inflight *f, const char *path)
{
	char text[INFLIGHT_PATH_MAX + 1];

	if (f->path_len == 0 || f->path_len > INFLIGHT_PATH_MAX)
		return -ENOENT;
	memcpy(text, path, f->path_len);
	text[f->path_len] = 0;
	/* Disk names grow by a third, so the path may be longer than the kernel takes at once: one part at a time. */
	AUTO(auto_close) int dir_fd = store_openat(s->data_fd, ".", O_RDONLY | O_DIRECTORY, 0);
	char *part = text;
	for (char *slash; dir_fd >= 0 && (slash = strchr(part, '/')); part = slash + 1) {
		*slash = 0;
		int next = store_openat(dir_fd, part, O_PATH | O_DIRECTORY, 0);
		close(dir_fd);
		dir_fd = next;
	}
	if (dir_fd < 0)
		return find_error(dir_fd);
	int fd = store_open_lifted(dir_fd, part, O_RDWR);
	return fd < 0 ? find_error(fd) : file_is(fd, s, f);
}

/* The files of marked slots that are not where their paths say: one walk looks for all of them. */
struct hunt {
	bool walked;
	bool blind;    /* a folder could not be looked into */
	unsigned left; /* not found yet */
	bool wanted[INFLIGHT_SLOTS];
	struct inflight slot[INFLIGHT_SLOTS];
	int fd[INFLIGHT_SLOTS]; /* those found, where wanted; else -1 */
};

static void hunt_begin(struct hunt *h)
{
	*h = (struct hunt){0};
	for (unsigned i = 0; i < INFLIGHT_SLOTS; i++)
		h->fd[i] = -1;
}

static void hunt_end(struct hunt *h)
{
	for (unsigned i = 0; i < INFLIGHT_SLOTS; i++)
		auto_close(&h->fd[i]);
}

/* An entry with an inode number that is looked for. */
static int hunt_entry(const struct store *s, struct hunt *h, int dir_fd, const struct dirent *e)
{
	for (unsigned i = 0; i < INFLIGHT_SLOTS; i++) {
		if (!h->wanted[i] || h->fd[i] >= 0 || e->d_ino != h->slot[i].ino)
			continue;
		int fd = store_open_lifted(dir_fd, e->d_name, O_RDWR);
		fd = fd < 0 ? find_error(fd) : file_is(fd, s, &h->slot[i]);
		if (fd < 0 && fd != -ENOENT)
			return fd;
		if (fd < 0)
			continue;
		h->fd[i] = fd;
		h->left--;
	}
	return 0;
}

/* What cannot be looked into for want of memory or descriptors must not count as looked into: the mount is refused. */
static int hunt_blind(struct hunt *h, int r)
{
	if (r == -EMFILE || r == -ENFILE || r == -ENOMEM)
		return r;
	h->blind = h->blind || find_error(r) != -ENOENT;
	return 0;
}

static int open_folder(int dir_fd, const char *name)
{
	AUTO(auto_close) int fd = store_openat(dir_fd, name, O_PATH | O_DIRECTORY, 0);

	return fd < 0 ? fd : store_reopen(fd, O_RDONLY | O_DIRECTORY);
}

static int hunt_walk(const struct store *s, struct hunt *h, int dir_fd, int depth)
{
	AUTO(store_dir_close) DIR *d = store_dir_open(dir_fd);
	int r = d ? 0 : depth > 0 ? hunt_blind(h, -errno) : -errno;
	if (!d)
		return r;
	for (const struct dirent *e; !r && h->left > 0 && (e = readdir(d));) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (e->d_type != DT_DIR)
			r = hunt_entry(s, h, dirfd(d), e);
		if (r || (e->d_type != DT_DIR && e->d_type != DT_UNKNOWN))
			continue;
		AUTO(auto_close) int sub = depth < SCAN_DEPTH_MAX ? open_folder(dirfd(d), e->d_name) : -ELOOP;
		if (depth == SCAN_DEPTH_MAX)
			h->blind = true;
		r = sub < 0 ? hunt_blind(h, sub) : hunt_walk(s, h, sub, depth + 1);
	}
	return r;
}

static int write_extents(int fd, const struct inflight *f, const uint8_t *data)
{
	for (uint32_t i = 0; i < f->n_extents; i++) {
		int r = store_pwrite_full(fd, data, f->extent[i].len, f->extent[i].disk_off);
		if (r < 0)
			return r;
		data += f->extent[i].len;
	}
	if (f->disk_size != INFLIGHT_KEEP_SIZE && ftruncate(fd, (off_t)f->disk_size) < 0)
		return -errno;
	return fsync(fd) < 0 ? -errno : 0;
}

/* The times that the user set stay: the request was his, the repetition is ours. */
static int replay_file(int fd, const struct inflight *f, const uint8_t *data)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	int r = write_extents(fd, f, data);
	if (r < 0)
		return r;
	const struct timespec times[2] = {st.st_atim, st.st_mtim};
	return futimens(fd, times) < 0 ? -errno : 0;
}

static void replay_log(store_log_fn log, int priority, unsigned i, const char *what, const char *path)
{
	char text[512], name[300];

	if (!log)
		return;
	snprintf(name, sizeof(name), "%.299s", path);
	text_plain(name);
	snprintf(text, sizeof(text), "in-flight slot %u: %s%s%s", i, what, name[0] != 0 ? ": data/" : "", name);
	log(priority, text);
}

/* The page cache that makes a slot trustworthy outlives the daemon, not the machine. */
static int of_another_boot(const struct inflight *f)
{
	static const uint8_t unknown[ID_LEN];
	uint8_t now[ID_LEN];

	store_boot_id(now);
	/* Not to know this boot is no reason to drop a slot. */
	return memcmp(f->boot_id, unknown, ID_LEN) != 0 && memcmp(now, unknown, ID_LEN) != 0 &&
	       memcmp(f->boot_id, now, ID_LEN) != 0;
}

/*
 * A slot speaks of the files beside it at one moment. Copied elsewhere or put back later it would undo what was written
 * since, so it counts only in the very file, and after the very mount, that it was written in. Those of 0.1.0 do not tell.
 */
static bool of_another_home(const struct store *s, int home_fd, const struct inflight *f)
{
	struct stat st;

	if (f->home_ino == 0)
		return false;
	if (f->session != 0 && s->last_session != 0 && f->session != s->last_session)
		return true;
	return fstat(home_fd, &st) < 0 || st.st_ino != f->home_ino || slots_fs(home_fd, &st) != f->home_fs;
}

/* Why this slot must not be acted on, NULL if it may. */
static const char *slot_foreign(const struct store *s, int home_fd, const struct inflight *f)
{
	if (of_another_boot(f))
		return "from before a restart of the machine, ignored: its pages may be torn themselves";
	if (of_another_home(s, home_fd, f))
		return "written for another copy of this store or put back from one, ignored: what it names may be "
		       "newer here";
	return NULL;
}

/* A replay under way. */
struct replay {
	const struct store *s;
	int home_fd;
	store_log_fn log;
	struct hunt hunt;
};

/* The file of slot I wherever it has been moved to: a descriptor, which is the hunt's no more, or -ENOENT. */
static int find_by_inode(struct replay *p, unsigned i)
{
	struct hunt *h = &p->hunt;
	uint8_t head[INFLIGHT_HEAD_LEN];
	const char *path;

	for (unsigned n = 0; !h->walked && n < INFLIGHT_SLOTS; n++) {
		int r = store_pread_full(p->home_fd, head, sizeof(head), (uint64_t)n * p->s->slot_len);
		if (r)
			return r;
		h->wanted[n] = inflight_parse(head, p->s->slot_len, &p->s->keyring->layout, &h->slot[n], &path) == 0 &&
			       !slot_foreign(p->s, p->home_fd, &h->slot[n]);
		h->left += h->wanted[n];
	}
	int r = h->walked ? 0 : hunt_walk(p->s, h, p->s->data_fd, 0);
	h->walked = true;
	int fd = h->fd[i];
	h->fd[i] = -1;
	return r ? r : fd < 0 ? -ENOENT : fd;
}

/* 1 written, 0 nothing to write to, negative errno. */
static int replay_one(struct replay *p, unsigned i, const uint8_t *slot)
{
	const struct store *s = p->s;
	store_log_fn log = p->log;
	struct inflight f;
	const char *path = NULL;
	char name[300] = "";

	int r = inflight_parse(slot, s->slot_len, &s->keyring->layout, &f, &path);
	if (r == -ENOENT)
		return 0;
	if (r < 0) {
		replay_log(log, LOG_WARNING, i, "malformed, ignored: it was altered or the disk is damaged", "");
		return 0;
	}
	const char *foreign = slot_foreign(s, p->home_fd, &f);
	if (foreign) {
		replay_log(log, LOG_WARNING, i, foreign, "");
		return 0;
	}
	if (f.path_len > 0)
		snprintf(name, sizeof(name), "%.*s", (int)f.path_len, path);
	AUTO(auto_close) int fd = find_by_path(s, &f, path);
	if (fd == -ENOENT)
		fd = find_by_inode(p, i);
	if (fd == -ENOENT) {
		if (p->hunt.blind)
			replay_log(log, LOG_WARNING, i,
				   "its file is not found, and not all folders could be looked into: what it was to be "
				   "written is lost if it lies there",
				   name);
		else
			replay_log(log, LOG_INFO, i, "its file is gone, nothing to write", name);
		return 0;
	}
	r = fd < 0 ? fd : replay_file(fd, &f, slot + INFLIGHT_HEAD_LEN);
	/* No write of ours asked for such a size: an altered slot must not keep the store from being mounted for good. */
	if (r == -EFBIG || r == -EINVAL) {
		replay_log(log, LOG_WARNING, i, "malformed, ignored: it asks for an impossible size", name);
		return 0;
	}
	replay_log(log, r < 0 ? LOG_ERR : LOG_INFO, i,
		   r < 0 ? "cannot be written to its file" : "write completed after a crash", name);
	return r < 0 ? r : 1;
}

/* The inflight file, if it is as long as it must be: fd, -ENOENT otherwise (store_begin() makes it anew). */
static int inflight_open(const struct store *s, int flags)
{
	struct stat st;
	AUTO(auto_close) int fd = store_open_file(s->own_fd, STORE_INFLIGHT, flags);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if ((uint64_t)st.st_size != (uint64_t)INFLIGHT_SLOTS * s->slot_len)
		return -ENOENT;
	int keep = fd;
	fd = -1;
	return keep;
}

/* 1 if slot I is marked (its whole bytes then stand in SLOT), 0 if it is empty. */
static int slot_read(const struct store *s, int fd, unsigned i, uint8_t *slot)
{
	struct inflight f;
	const char *path;
	uint64_t off = (uint64_t)i * s->slot_len;

	int r = store_pread_full(fd, slot, INFLIGHT_HEAD_LEN, off);
	if (r < 0)
		return r;
	if (inflight_parse(slot, s->slot_len, &s->keyring->layout, &f, &path) == -ENOENT)
		return 0;
	r = store_pread_full(fd, slot + INFLIGHT_HEAD_LEN, s->slot_len - INFLIGHT_HEAD_LEN, off + INFLIGHT_HEAD_LEN);
	return r < 0 ? r : 1;
}

/* Slot I, read into SLOT: written to its file, and emptied. 1, 0 or a negative errno as replay_one(). */
static int replay_slot(struct replay *p, unsigned i, uint8_t *slot)
{
	int r = slot_read(p->s, p->home_fd, i, slot);
	if (r <= 0)
		return r;
	int written = replay_one(p, i, slot);
	if (written < 0)
		return written;
	/* Only now that the file is durable. */
	inflight_mark(slot, 0);
	r = store_pwrite_full(p->home_fd, slot, INFLIGHT_HEAD_LEN, (uint64_t)i * p->s->slot_len);
	return r < 0 ? r : written;
}

int replay_all(const struct store *s, store_log_fn log, unsigned *replayed)
{
	*replayed = 0;
	AUTO(auto_close) int fd = inflight_open(s, O_RDWR);
	if (fd < 0)
		return fd == -ENOENT || fd == -EUCLEAN ? 0 : fd;
	AUTO(auto_free) uint8_t *slot = malloc(s->slot_len);
	if (!slot)
		return -ENOMEM;
	struct replay p = {.s = s, .home_fd = fd, .log = log};
	int r = 0;
	hunt_begin(&p.hunt);
	for (unsigned i = 0; i < INFLIGHT_SLOTS && r >= 0; i++) {
		r = replay_slot(&p, i, slot);
		*replayed += r > 0;
	}
	hunt_end(&p.hunt);
	if (r < 0)
		return r;
	return fsync(fd) < 0 ? -errno : 0;
}

int replay_pending(const struct store *s)
{
	int n = 0;
	AUTO(auto_close) int fd = inflight_open(s, O_RDONLY);
	if (fd < 0)
		return fd == -ENOENT || fd == -EUCLEAN ? 0 : fd;
	AUTO(auto_free) uint8_t *slot = malloc(s->slot_len);
	if (!slot)
		return -ENOMEM;
	for (unsigned i = 0; i < INFLIGHT_SLOTS; i++) {
		int r = slot_read(s, fd, i, slot);
		if (r < 0)
			return r;
		n += r;
	}
	return n;
}
