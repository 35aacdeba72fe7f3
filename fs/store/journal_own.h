/* SPDX-License-Identifier: BSD-2-Clause */
/* The inside of the undo journal: its ring in memory, its file. For journal*.c. */
#ifndef FS_STORE_JOURNAL_OWN_H
#define FS_STORE_JOURNAL_OWN_H

#include <pthread.h>

#include "fs/store/journal.h"

struct journal_owner {
	int fd;
	bool open;    /* its file still is */
	bool syncing; /* somebody syncs it to get room */
	size_t items;
};

enum item_state {
	ITEM_PUT = 1, /* its change is not made yet */
	ITEM_MADE,
	ITEM_ENDED,
};

/* One entry. Places count on without end; in the ring they are taken modulo its length. */
struct journal_item {
	uint64_t at, len, seq;
	struct journal_owner *owner;
	enum item_state state;
};

struct journal {
	struct journal_config cfg;
	struct journal_key *key;
	pthread_mutex_t making; /* held while the file is made */
	_Atomic bool ready;     /* fd and ring_len are there to stay */
	int fd;
	uint64_t ring_len;
	pthread_mutex_t lock; /* all that follows */
	pthread_cond_t moved; /* a tail, a state, a sync */
	uint64_t head, tail, seq;
	uint64_t written, durable; /* entries written, and how many of them are durable */
	bool syncing;
	int broken; /* a sync failed: its errno */
	uint64_t in_force, put;
	struct journal_item *item; /* a ring of its own: oldest first */
	size_t room, first, n;
};

/* Under the lock, or when nobody else is there any more. */
void journal_drop_oldest(struct journal *j);

/* journal_disk.c. The file is there, its head this session's and durable. -ENOSPC, -EIO, ... and tried again the next time. */
int journal_disk_ready(struct journal *j) MUST_CHECK;
/* Write what has ended on disk: the entry at AT in the ring. Best effort. */
void journal_disk_ended(struct journal *j, uint64_t at);

#endif
