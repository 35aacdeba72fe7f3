/* SPDX-License-Identifier: BSD-2-Clause */
/* The inside of the list of files being written: its slots, and its file. For written*.c. */
#ifndef FS_STORE_WRITTEN_OWN_H
#define FS_STORE_WRITTEN_OWN_H

#include <pthread.h>

#include "fs/store/written.h"

enum slot_state {
	SLOT_FREE = 0,
	SLOT_OPEN,
	SLOT_CLOSED, /* in the queue of those that may go */
	SLOT_KEPT,   /* until the store is known whole */
};

struct written_slot {
	struct writing_entry entry;
	enum slot_state state;
	uint32_t users;      /* who have it open for writing */
	uint32_t prev, next; /* closed: the queue; free: the next free one; 0: none */
	int64_t closed;      /* CLOCK_MONOTONIC, seconds */
};

struct written {
	struct written_config cfg;
	struct writing_key *key;
	int fd;
	bool missing; /* it could not be made again, and the log knows */
	int64_t skew; /* the filesystem's clock against ours, in seconds */
	pthread_t thread;
	bool running;
	pthread_mutex_t lock; /* all that follows */
	pthread_cond_t wake;
	bool stop;
	struct writing_head head;
	bool unsynced;
	bool all_carried;   /* head.all is an earlier session's, and stays */
	int64_t overflowed; /* when there was no room, the last time; CLOCK_MONOTONIC, seconds */
	int64_t tried; /* when the store was last synced to let closed ones go; CLOCK_MONOTONIC, seconds; 0: never */
	bool in_vain;  /* and nobody could go */
	uint32_t free, fresh, used; /* first free slot, first one never used (from 1), how many are used */
	uint32_t oldest, newest;    /* of the closed ones */
	struct written_mends mends;
	uint32_t n_dirty, dirty[WRITING_SLOTS];      /* their inode number is not on disk */
	struct written_slot slot[WRITING_SLOTS + 1]; /* by number, from 1 */
};

/* written_disk.c. All to the file FD, which is W's or becomes it; the entry of slot NO (from 1). -EIO, -ENOSPC, ... */
int written_put_entry(const struct written *w, int fd, uint32_t no, const struct writing_entry *e) MUST_CHECK;
int written_clear_entry(const struct written *w, int fd, uint32_t no) MUST_CHECK;
int written_put_head(struct written *w, int fd) MUST_CHECK;
/* Make the file from memory, durable; REUSE: one that is there already, whatever stands in it. */
int written_make(struct written *w, bool reuse) MUST_CHECK;
/* When it is not in its place any more, make it again. By one thread. */
void written_look(struct written *w);
/* Sync it. */
void written_sync(struct written *w);

#endif
