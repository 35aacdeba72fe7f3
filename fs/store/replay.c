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
#include "crypto/json.h"
#include "fs/store/hunt.h"
#include "fs/store/replay.h"
#include "fs/store/slots.h"
#include "fs/store/store_own.h"

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

/* FD if it is the very inode that the slot was for, not only a file with its id; else -ENOENT and FD closed. */
static int same_inode(int fd, const struct inflight *f)
{
	if (fd < 0 || inode_is(fd, f))
		return fd;
	close(fd);
	return -ENOENT;
}

static struct quarry quarry_of(const struct inflight *f)
{
	struct quarry q = {.ino = f->ino};

	memcpy(q.file_id, f->file_id, ID_LEN);
	return q;
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
	if (s->disk_lost)
		return "from before the disk lost what was written later, ignored: it would undo that";
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
	bool blind;  /* and could not look into all folders */
	bool walked; /* one walk looks for the files of all slots that are not where their paths say */
	int found[INFLIGHT_SLOTS];
	struct inflight slot[INFLIGHT_SLOTS];
	bool wanted[INFLIGHT_SLOTS];
};

static int note_found(void *arg, struct quarry *q, int fd)
{
	struct replay *p = arg;
	bool taken = false;

	for (unsigned n = 0; n < INFLIGHT_SLOTS; n++) {
		if (!p->wanted[n] || p->found[n] >= 0 || p->slot[n].ino != q->ino ||
		    memcmp(p->slot[n].file_id, q->file_id, ID_LEN) != 0 || !inode_is(fd, &p->slot[n]))
			continue;
		p->found[n] = taken ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : fd;
		taken = true;
	}
	if (!taken)
		close(fd);
	return 0;
}

static int by_ino(const void *a, const void *b)
{
	const struct quarry *x = a, *y = b;

	return x->ino < y->ino ? -1 : x->ino > y->ino;
}

static int walk_for_all(struct replay *p)
{
	uint8_t head[INFLIGHT_HEAD_LEN];
	struct quarry q[INFLIGHT_SLOTS];
	const char *path;
	size_t n = 0;

	for (unsigned i = 0; i < INFLIGHT_SLOTS; i++) {
		int r = store_pread_full(p->home_fd, head, sizeof(head), (uint64_t)i * p->s->slot_len);
		if (r)
			return r;
		p->wanted[i] = inflight_parse(head, p->s->slot_len, &p->s->keyring->layout, &p->slot[i], &path) == 0 &&
			       !slot_foreign(p->s, p->home_fd, &p->slot[i]);
		if (p->wanted[i])
			q[n++] = quarry_of(&p->slot[i]);
	}
	qsort(q, n, sizeof(*q), by_ino);
	int r = hunt_walk(p->s, q, n, note_found, p);
	p->blind = r == 1;
	return r < 0 ? r : 0;
}

/* The file of slot I wherever it has been moved to: a descriptor, or -ENOENT. */
static int find_by_inode(struct replay *p, unsigned i)
{
	int r = p->walked ? 0 : walk_for_all(p);

	p->walked = true;
	int fd = p->found[i];
	p->found[i] = -1;
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
	const struct quarry q = quarry_of(&f);
	AUTO(auto_close) int fd = same_inode(hunt_path(s, path, f.path_len, &q), &f);
	if (fd == -ENOENT)
		fd = find_by_inode(p, i);
	if (fd == -ENOENT) {
		if (p->blind)
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
	for (unsigned i = 0; i < INFLIGHT_SLOTS; i++)
		p.found[i] = -1;
	for (unsigned i = 0; i < INFLIGHT_SLOTS && r >= 0; i++) {
		r = replay_slot(&p, i, slot);
		*replayed += r > 0;
	}
	for (unsigned i = 0; i < INFLIGHT_SLOTS; i++)
		auto_close(&p.found[i]);
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
