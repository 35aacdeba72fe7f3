/* SPDX-License-Identifier: BSD-2-Clause */
/* The file STORE/byokfs/lost: made, brought after memory, made again when it is not there. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <syslog.h>
#include <unistd.h>

#include "fs/store/lost_own.h"
#include "fs/store/store_own.h"

#define RUN_MAX 256u /* entries in one write */

static void say(const struct lost *l, int priority, const char *text)
{
	if (l->cfg.log)
		l->cfg.log(priority, text);
}

static uint64_t entry_off(uint32_t slot)
{
	return LOST_HEAD_LEN + (uint64_t)slot * LOST_ENTRY_LEN;
}

static int entry_bytes(const struct lost *l, const struct lost_file *f, const struct range *r,
		       uint8_t buf[LOST_ENTRY_LEN])
{
	struct lost_entry e = {.ino = f->ino, .start = r->start, .end = r->end};

	memcpy(e.file_id, f->file_id, ID_LEN);
	return lost_entry_write(l->key, &e, buf);
}

static int put_head(struct lost *l)
{
	uint8_t buf[LOST_HEAD_LEN];

	pthread_mutex_lock(&l->lock);
	int r = lost_head_write(l->key, &l->head, buf);
	l->head_changed = false;
	pthread_mutex_unlock(&l->lock);
	if (!r)
		r = store_pwrite_full(l->fd, buf, sizeof(buf), 0);
	if (r)
		l->again = true;
	atomic_store(&l->unsynced, true);
	return r;
}

/* A file of ours with all its blocks, to be written: fd, or an error. */
static int open_whole(const struct lost *l)
{
	struct stat st;
	AUTO(auto_close) int fd = store_open_own(l->cfg.own_fd, STORE_LOST, O_RDWR);

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size != LOST_LEN || (uint64_t)st.st_blocks * 512 < LOST_LEN)
		return -ENOENT;
	int keep = fd;
	fd = -1;
	return keep;
}

/* Is the file that is written to still the one that the next mount will find? */
static bool in_place(const struct lost *l)
{
	struct stat st, own;
	int r = store_stat(l->cfg.own_fd, STORE_LOST, &st);

	if (r)
		return r != -ENOENT; /* a disk that does not answer says nothing about the file */
	return fstat(l->fd, &own) == 0 && st.st_dev == own.st_dev && st.st_ino == own.st_ino && st.st_size == LOST_LEN;
}

/* All of what is in memory as the file's bytes for FD. */
static int image(struct lost *l, int fd, uint8_t *bytes)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	memset(bytes, 0, LOST_LEN);
	pthread_mutex_lock(&l->lock);
	l->head.ino = st.st_ino;
	int r = lost_replace_all(l);
	if (!r)
		r = lost_head_write(l->key, &l->head, bytes);
	l->head_changed = false;
	for (size_t i = 0; !r && i < l->n_files; i++) {
		const struct lost_file *f = l->file[i];

		for (size_t k = 0; !r && k < f->n_placed; k++)
			r = entry_bytes(l, f, &f->placed[k].range, bytes + entry_off(f->placed[k].slot));
	}
	pthread_mutex_unlock(&l->lock);
	return r;
}

static int fill(struct lost *l, int fd)
{
	AUTO(auto_free) uint8_t *bytes = malloc(LOST_LEN);
	int r = bytes ? image(l, fd, bytes) : -ENOMEM;

	if (!r)
		r = store_pwrite_full(fd, bytes, LOST_LEN, 0);
	return r == 0 && fsync(fd) < 0 ? -errno : r;
}

static int make_in_place(struct lost *l, int *out)
{
	char tmp[64];
	int dir = l->cfg.own_fd;

	snprintf(tmp, sizeof(tmp), STORE_TMP_PREFIX "%d.lost", (int)getpid());
	unlinkat(dir, tmp, 0);
	AUTO(auto_close) int fd = store_open_file(dir, tmp, O_RDWR | O_CREAT | O_EXCL);
	if (fd < 0)
		return fd;
	int r = fill(l, fd);
	if (r == 0)
		r = store_put_in_place(dir, tmp, STORE_LOST);
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

/* A full disk is left alone: the little that it has is the user's. */
static bool has_room(const struct lost *l)
{
	struct statvfs v;

	return fstatvfs(l->cfg.own_fd, &v) < 0 || (uint64_t)v.f_bavail * v.f_frsize >= 2 * (uint64_t)LOST_LEN;
}

int lost_make_anew(struct lost *l)
{
	int fd = -1, r = has_room(l) ? make_in_place(l, &fd) : -ENOSPC;

	if (r == -ENOSPC || r == -EDQUOT) { /* what is there has room enough */
		fd = open_whole(l);
		r = fd < 0 ? r : fill(l, fd);
	}
	l->again = r != 0;
	if (r) {
		auto_close(&fd);
		return r;
	}
	auto_close(&l->fd);
	l->fd = fd;
	atomic_store(&l->unsynced, false);
	return 0;
}

/* The session that begins keeps the list that is there. */
static int reuse(struct lost *l, uint64_t ino)
{
	l->fd = open_whole(l);
	if (l->fd < 0) /* a copy may have left its blocks out */
		return lost_make_anew(l);
	l->head.ino = ino;
	int r = put_head(l);
	return r == 0 && fdatasync(l->fd) < 0 ? -errno : r;
}

int lost_load(struct lost *l)
{
	AUTO(auto_free) uint8_t *bytes = NULL;
	uint64_t ino = 0;
	bool as_is = false;
	int r = lost_fetch(l, &bytes, &ino);

	l->head = (struct lost_head){
		.session = l->cfg.session,
		.altered = r == -EUCLEAN || (r == -ENOENT && l->cfg.expected),
	};
	if (!r)
		r = lost_take(l, bytes, ino, &as_is);
	if ((r && r != -ENOENT && r != -EUCLEAN) || l->cfg.read_only)
		return r == -ENOENT || r == -EUCLEAN ? 0 : r;
	r = as_is ? reuse(l, ino) : lost_make_anew(l);
	if (r != -ENOSPC && r != -EDQUOT)
		return r;
	atomic_store(&l->failing, true);
	say(l, LOG_WARNING,
	    "no room for " STORE_OWN "/" STORE_LOST ": what this mount loses is not known to be lost by the next one");
	return 0;
}

/* ---- bringing it after memory ---- */

/* The N entries from SLOT on, one behind another in BUF. */
static int write_run(const struct lost *l, const uint8_t *buf, uint32_t slot, size_t n)
{
	return n ? store_pwrite_full(l->fd, buf, n * LOST_ENTRY_LEN, entry_off(slot)) : 0;
}

/* Slots that follow one another are one write: on some backings each is a way to another machine. */
static int write_puts(const struct lost *l, const struct lost_file *f, const struct lost_change *c)
{
	uint8_t buf[RUN_MAX * LOST_ENTRY_LEN];
	uint32_t slot = 0;
	size_t n = 0;
	int r = 0;

	for (size_t i = 0; !r && i < c->n_puts; i++) {
		if (n == RUN_MAX || (n && c->put[i].slot != slot + n)) {
			r = write_run(l, buf, slot, n);
			n = 0;
		}
		if (n == 0)
			slot = c->put[i].slot;
		if (!r)
			r = entry_bytes(l, f, &c->put[i].range, buf + n++ * LOST_ENTRY_LEN);
	}
	return r ? r : write_run(l, buf, slot, n);
}

static int by_slot(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static int write_drops(const struct lost *l, struct lost_change *c)
{
	static const uint8_t empty[RUN_MAX * LOST_ENTRY_LEN];
	int r = 0;

	if (c->n_drops > 1)
		qsort(c->drop, c->n_drops, sizeof(*c->drop), by_slot);
	for (size_t i = 0, n; !r && i < c->n_drops; i += n) {
		for (n = 1; n < RUN_MAX && i + n < c->n_drops && c->drop[i + n] == c->drop[i] + n;)
			n++;
		r = write_run(l, empty, c->drop[i], n);
	}
	return r;
}

static int write_change(struct lost *l, const struct lost_file *f, struct lost_change *c)
{
	int r = write_puts(l, f, c);

	if (!r)
		r = write_drops(l, c);
	for (size_t i = 0; !r && i < c->n_drops; i++)
		lost_slot_give(l, c->drop[i]);
	if (r)
		l->again = true;
	if (c->n_puts + c->n_drops)
		atomic_store(&l->unsynced, true);
	return r;
}

/* F's entries as they are to be; where there is no room the file with the most gets one for all. */
static int mirror_file(struct lost *l, struct lost_file *f)
{
	AUTO(lost_change_end) struct lost_change c = {0};
	struct lost_file *most = NULL;

	pthread_mutex_lock(&l->lock);
	int r = lost_plan(l, f, &c, &most);
	pthread_mutex_unlock(&l->lock);
	if (r == -ENOSPC && most) {
		say(l, LOG_WARNING,
		    STORE_OWN "/" STORE_LOST " is full: of one file all from its first lost byte to its last counts "
			      "as lost by the next mount");
		r = mirror_file(l, most);
		return r ? r : mirror_file(l, f);
	}
	if (r == -ENOSPC) {
		say(l, LOG_ERR,
		    STORE_OWN "/" STORE_LOST " is full: not all that is lost is known to be by the next mount");
		pthread_mutex_lock(&l->lock);
		l->head_changed = l->head.overflowed = true;
		pthread_mutex_unlock(&l->lock);
		return 0;
	}
	return r ? r : write_change(l, f, &c);
}

/* Everything that goes was replaced by what the disk has now. */
static int clear_going(struct lost *l)
{
	AUTO(lost_change_end) struct lost_change c = {0};
	int r = lost_plan_going(l, &c);

	return r ? r : write_change(l, NULL, &c);
}

static struct lost_file *dequeue(struct lost *l)
{
	pthread_mutex_lock(&l->lock);
	struct lost_file *f = l->queue;
	if (f) {
		l->queue = f->next;
		f->queued = false;
	}
	pthread_mutex_unlock(&l->lock);
	return f;
}

/* What has come, and what others cover. */
static int mirror_queue(struct lost *l)
{
	struct lost_file *f;
	int r = 0;

	while (!r && (f = dequeue(l))) {
		r = mirror_file(l, f);
		if (r) {
			pthread_mutex_lock(&l->lock);
			lost_queue(l, f);
			pthread_mutex_unlock(&l->lock);
		}
	}
	return r;
}

static int mirror_all(struct lost *l, bool clear)
{
	int r = mirror_queue(l);

	if (!r && clear && lost_mark_going(l)) {
		r = syncfs(l->cfg.data_fd) < 0 ? -errno : mirror_queue(l);
		if (!r)
			r = clear_going(l);
	}
	pthread_mutex_lock(&l->lock);
	l->cuts = l->cuts || r;
	bool head = l->head_changed;
	lost_sweep(l);
	pthread_mutex_unlock(&l->lock);
	return !r && head ? put_head(l) : r;
}

static int mirror(struct lost *l, bool clear)
{
	if (l->fd >= 0 && !l->again && in_place(l))
		return mirror_all(l, clear);
	bool had = l->fd >= 0 && !l->again;
	int r = lost_make_anew(l);
	if (!r && had)
		say(l, LOG_WARNING,
		    STORE_OWN "/" STORE_LOST " was removed, replaced or cut while the store is mounted: made again");
	return r;
}

int lost_mirror(struct lost *l, bool clear)
{
	pthread_mutex_lock(&l->lock);
	bool something = l->queue || (clear && l->cuts) || l->head_changed;
	pthread_mutex_unlock(&l->lock);
	if (!something && !l->again && (l->fd < 0 || in_place(l)))
		return 0;
	int r = mirror(l, clear);
	if (r && !atomic_load(&l->failing))
		say(l, LOG_ERR,
		    STORE_OWN "/" STORE_LOST
			      " cannot be written: what is lost now is not known to be by the next mount");
	atomic_store(&l->failing, r != 0);
	return r;
}
