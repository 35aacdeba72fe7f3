/* SPDX-License-Identifier: BSD-2-Clause */
/* In-flight slots on disk: data first, then the head in one page, so that what is marked valid is whole. */
#include "fs/store/slots.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "fs/store/store_own.h"

#define PAGE 4096u /* a write within one is never half done when its process is killed */

/* One in-flight file. It stays open until the last request that has its slot there is done. */
struct slots_file {
	int fd;
	dev_t dev;
	ino_t ino;
	uint64_t fs;
	unsigned refs;
};

struct slots {
	struct slots_config cfg;
	pthread_mutex_t lock;
	struct slots_file *file;   /* lock: the current one; it counts as a reference */
	bool full[INFLIGHT_SLOTS]; /* it could not be emptied; each is its user's own, as the turns */
	uint64_t turn[INFLIGHT_SLOTS];
	time_t looked; /* lock */
};

uint64_t slots_fs(int fd, const struct stat *st)
{
	struct statfs sfs;
	uint64_t id = 0;

	if (major(st->st_dev) == 0 && fstatfs(fd, &sfs) == 0) {
		_Static_assert(sizeof(sfs.f_fsid) == sizeof(id), "64 bits");
		memcpy(&id, &sfs.f_fsid, sizeof(id));
	}
	return id ? id : st->st_dev;
}

static void file_unref(struct slots_file *f)
{
	if (!f || --f->refs > 0)
		return;
	close(f->fd);
	free(f);
}

/* The file behind the name, if it is whole: -ENOENT if it is not. */
static int file_open_whole(const struct slots_config *cfg, struct slots_file *f)
{
	uint64_t len = (uint64_t)INFLIGHT_SLOTS * cfg->slot_len;
	struct stat st;

	AUTO(auto_close) int fd = store_open_own(cfg->own_fd, STORE_INFLIGHT, O_RDWR);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	/* Sparse counts as absent: a full disk is to be told at the mount. */
	if ((uint64_t)st.st_size != len || (uint64_t)st.st_blocks * 512 < len)
		return -ENOENT;
	*f = (struct slots_file){fd, st.st_dev, st.st_ino, slots_fs(fd, &st), 1};
	fd = -1;
	return 0;
}

static int file_open_or_make(const struct slots_config *cfg, struct slots_file **out)
{
	AUTO(auto_free) struct slots_file *f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	int r = file_open_whole(cfg, f);
	if (r < 0) {
		/* also over what is no file: a planted link or fifo is replaced, not followed */
		r = store_inflight_make(cfg->own_fd, cfg->slot_len);
		if (r == 0) {
			struct stat st;
			f->fd = store_open_own(cfg->own_fd, STORE_INFLIGHT, O_RDWR);
			if (f->fd < 0)
				return f->fd;
			if (fstat(f->fd, &st) < 0) {
				r = -errno;
				close(f->fd);
				return r;
			}
			*f = (struct slots_file){f->fd, st.st_dev, st.st_ino, slots_fs(f->fd, &st), 1};
		}
	}
	if (r < 0)
		return r;
	*out = f;
	f = NULL;
	return 0;
}

int slots_open(const struct slots_config *cfg, struct slots **out)
{
	AUTO(auto_free) struct slots *s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->cfg = *cfg;
	int r = file_open_or_make(cfg, &s->file);
	if (r < 0)
		return r;
	pthread_mutex_init(&s->lock, NULL);
	*out = s;
	s = NULL;
	return 0;
}

void slots_free(struct slots *s)
{
	if (!s)
		return;
	file_unref(s->file);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* Is the file that we write to still the one that the next mount will find? */
static bool in_place(const struct slots *s)
{
	uint64_t len = (uint64_t)INFLIGHT_SLOTS * s->cfg.slot_len;
	struct stat st;

	int r = store_stat(s->cfg.own_fd, STORE_INFLIGHT, &st);
	if (r)
		return r != -ENOENT; /* a disk that does not answer says nothing about the file */
	return S_ISREG(st.st_mode) && st.st_dev == s->file->dev && st.st_ino == s->file->ino &&
	       (uint64_t)st.st_size == len;
}

static int look(struct slots *s)
{
	struct timespec now = {0};

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	if (now.tv_sec == s->looked)
		return 0;
	s->looked = now.tv_sec;
	if (in_place(s))
		return 0;
	struct slots_file *f = NULL;
	int r = file_open_or_make(&s->cfg, &f);
	if (r < 0) {
		s->looked = 0; /* no request goes on without */
		return r;
	}
	file_unref(s->file);
	s->file = f;
	live_reset(s->cfg.live);
	if (s->cfg.log)
		s->cfg.log(LOG_WARNING, STORE_OWN
			   "/" STORE_INFLIGHT " was removed, replaced or cut while the store is mounted: made again");
	return 0;
}

/* The head in one page, last; a path that goes beyond is written with the data before. */
static int slot_write(int fd, uint64_t off, uint8_t *slot, const struct inflight *in)
{
	size_t from = INFLIGHT_HEAD_LEN, head = INFLIGHT_HEAD_LEN - INFLIGHT_PATH_MAX + in->path_len;
	size_t end = INFLIGHT_HEAD_LEN;

	for (uint32_t i = 0; i < in->n_extents; i++)
		end += in->extent[i].len;
	if (head > PAGE)
		from = head = PAGE;
	inflight_mark(slot, 0);
	int r = store_pwrite_full(fd, slot + from, end - from, off + from);
	inflight_mark(slot, 1);
	return r < 0 ? r : store_pwrite_full(fd, slot, head, off);
}

static int mark_empty(int fd, uint64_t off)
{
	static const uint8_t empty[INFLIGHT_MARK_LEN];

	return store_pwrite_full(fd, empty, sizeof(empty), off + INFLIGHT_MARK_OFF);
}

int slots_put(struct slots *s, struct slot_hold *hold, uint8_t *slot, struct inflight *in, const char *path)
{
	uint64_t off = (uint64_t)hold->no * s->cfg.slot_len;

	pthread_mutex_lock(&s->lock);
	int r = look(s);
	struct slots_file *f = hold->file = s->file;
	f->refs++;
	pthread_mutex_unlock(&s->lock);
	in->home_fs = f->fs;
	in->home_ino = f->ino;
	in->session = s->cfg.session;
	in->turn = ++s->turn[hold->no];
	inflight_fill(slot, in, path);
	/* new data under an old head would be a write that nobody asked for */
	if (r == 0 && s->full[hold->no])
		r = mark_empty(f->fd, off);
	if (r == 0)
		r = slot_write(f->fd, off, slot, in);
	if (r < 0)
		slots_clear(s, hold);
	else
		live_put(s->cfg.live, hold->no, in->turn);
	return r;
}

void slots_clear(struct slots *s, struct slot_hold *hold)
{
	int r = mark_empty(hold->file->fd, (uint64_t)hold->no * s->cfg.slot_len);

	s->full[hold->no] = r < 0;
	if (r == 0)
		live_done(s->cfg.live, hold->no, s->turn[hold->no]);
	if (r < 0 && s->cfg.log)
		s->cfg.log(LOG_ERR, "an in-flight slot cannot be emptied");
	pthread_mutex_lock(&s->lock);
	file_unref(hold->file);
	pthread_mutex_unlock(&s->lock);
	hold->file = NULL;
}
