/* SPDX-License-Identifier: BSD-2-Clause */
/* A record of the slots' last uses and of the list on a tmpfs: written by pwrite(2), a number at a time. */
#include "fs/store/live.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
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
/* Behind it, 8 bytes for each entry of the list: its last ones, which no other entry has; 0: nothing is known. */
#define MARK_LEN sizeof(uint64_t)
#define RECORD_LEN (sizeof(struct record) + WRITING_SLOTS * MARK_LEN)

struct live {
	int fd;
	uint64_t session;
	char *path, *made; /* where it lies when the session has begun, and until then */
	bool begun;
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
	l->fd = -1;
	l->path = strdup(path);
	if (asprintf(&l->made, "%s.next.slots", path) < 0)
		l->made = NULL;
	int r = l->path && l->made ? 0 : -ENOMEM;
	if (!r) {
		(void)unlink(l->made); /* whatever it is: it is not written into */
		l->fd = open(l->made, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		r = l->fd < 0 || ftruncate(l->fd, RECORD_LEN) ? -errno : write_all(l);
	}
	if (r) {
		live_free(l, false);
		return r;
	}
	*out = l;
	return 0;
}

void live_begun(struct live *l)
{
	if (l)
		l->begun = rename(l->made, l->path) == 0;
}

void live_free(struct live *l, bool clean)
{
	if (!l)
		return;
	if (l->begun && clean)
		(void)unlink(l->path);
	else if (!l->begun && l->fd >= 0)
		(void)unlink(l->made);
	auto_close(&l->fd);
	free(l->path);
	free(l->made);
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

/* 0: an empty entry. */
static uint64_t mark_of(const uint8_t entry[WRITING_ENTRY_LEN])
{
	uint64_t mark;

	memcpy(&mark, entry + WRITING_ENTRY_LEN - MARK_LEN, MARK_LEN);
	return mark;
}

void live_unlist(struct live *l, uint32_t no)
{
	put(l, sizeof(struct record) + no * MARK_LEN, 0);
}

void live_listed(struct live *l, uint32_t no, const uint8_t entry[WRITING_ENTRY_LEN])
{
	put(l, sizeof(struct record) + no * MARK_LEN, mark_of(entry));
}

static int open_record(const char *path, uint64_t session, struct record *r)
{
	struct stat st;
	AUTO(auto_close) int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_uid != geteuid() || st.st_size != RECORD_LEN ||
	    store_pread_full(fd, r, sizeof(*r), 0) || memcmp(r->magic, MAGIC, sizeof(r->magic)) != 0 ||
	    r->session != session)
		return -1;
	int out = fd;
	fd = -1;
	return out;
}

static bool slots_behind(const struct record *r, uint64_t session, const struct live_disk *d)
{
	uint8_t head[INFLIGHT_PEEK_LEN];

	for (unsigned i = 0; i < INFLIGHT_SLOTS; i++) {
		uint64_t of = 0, turn = 0;
		bool valid = false;

		if (store_pread_full(d->slots, head, sizeof(head), (uint64_t)i * d->slot_len))
			return false;
		if (!inflight_peek(head, &of, &turn, &valid) || of != session)
			turn = 0;
		if (turn < r->slot[i].put || (valid && turn && turn <= r->slot[i].done))
			return true;
	}
	return false;
}

static bool list_behind(int fd, const uint8_t *list)
{
	AUTO(auto_free) uint64_t *mark = malloc(WRITING_SLOTS * MARK_LEN);

	if (!mark || store_pread_full(fd, (uint8_t *)mark, WRITING_SLOTS * MARK_LEN, sizeof(struct record)))
		return false;
	for (size_t i = 0; i < WRITING_SLOTS; i++)
		if (mark[i] && mark[i] != mark_of(list + WRITING_HEAD_LEN + i * WRITING_ENTRY_LEN))
			return true;
	return false;
}

bool live_ahead(const char *path, uint64_t session, const struct live_disk *d)
{
	struct record r;
	AUTO(auto_close) int fd = session ? open_record(path, session, &r) : -1;

	if (fd < 0)
		return false;
	return (d->slots >= 0 && slots_behind(&r, session, d)) || (d->list && list_behind(fd, d->list));
}
