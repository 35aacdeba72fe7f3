/* SPDX-License-Identifier: BSD-2-Clause */
/* A record of the slots' last uses on a tmpfs: written by pwrite(2), a number at a time. */
#include "fs/store/live.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "fs/store/store.h"

#define MAGIC "byokfs\0L"

/* Of this machine and boot alone, so as its processor has them. */
struct record {
	char magic[8];
	uint64_t session;
	struct {
		uint64_t put, done; /* turns */
	} slot[INFLIGHT_SLOTS];
};

struct live {
	int fd;
	uint64_t session;
	char *path;
};

static int write_all(const struct live *l)
{
	struct record r = {.magic = MAGIC, .session = l->session};

	return store_pwrite_full(l->fd, &r, sizeof(r), 0);
}

int live_open(const char *path, uint64_t session, struct live **out)
{
	struct live *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->session = session;
	l->path = strdup(path);
	(void)unlink(path); /* whatever it is: it is not written into */
	l->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int r = !l->path ? -ENOMEM : l->fd < 0 ? -errno : write_all(l);
	if (r) {
		live_free(l, l->fd >= 0);
		return r;
	}
	*out = l;
	return 0;
}

void live_free(struct live *l, bool clean)
{
	if (!l)
		return;
	if (clean && l->path)
		(void)unlink(l->path);
	if (l->fd >= 0)
		close(l->fd);
	free(l->path);
	free(l);
}

/* What cannot be written is a record that is behind the disk, and proves nothing. */
static void put(const struct live *l, size_t at, uint64_t turn)
{
	if (l)
		(void)(store_pwrite_full(l->fd, &turn, sizeof(turn), at) == 0);
}

void live_put(struct live *l, unsigned no, uint64_t turn)
{
	put(l, offsetof(struct record, slot[0].put) + no * sizeof(((struct record *)0)->slot[0]), turn);
}

void live_done(struct live *l, unsigned no, uint64_t turn)
{
	put(l, offsetof(struct record, slot[0].done) + no * sizeof(((struct record *)0)->slot[0]), turn);
}

void live_reset(struct live *l)
{
	if (l)
		(void)(write_all(l) == 0);
}

static bool read_record(const char *path, struct record *r)
{
	struct stat st;
	AUTO(auto_close) int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
	       store_pread_full(fd, r, sizeof(*r), 0) == 0 && memcmp(r->magic, MAGIC, sizeof(r->magic)) == 0;
}

bool live_ahead(const char *path, uint64_t session, int fd, size_t slot_len)
{
	uint8_t head[INFLIGHT_PEEK_LEN];
	struct record r;

	if (!session || !read_record(path, &r) || r.session != session)
		return false;
	for (unsigned i = 0; i < INFLIGHT_SLOTS; i++) {
		uint64_t of = 0, turn = 0;
		bool valid = false;

		if (store_pread_full(fd, head, sizeof(head), (uint64_t)i * slot_len))
			return false;
		if (!inflight_peek(head, &of, &turn, &valid) || of != session)
			turn = 0;
		if (turn < r.slot[i].put || (valid && turn && turn <= r.slot[i].done))
			return true;
	}
	return false;
}
