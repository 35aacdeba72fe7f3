/* SPDX-License-Identifier: BSD-2-Clause */
/* The inside of the undo journal: its ring in memory, its file. For journal*.c. */
#ifndef FS_STORE_JOURNAL_OWN_H
#define FS_STORE_JOURNAL_OWN_H

#include <pthread.h>

#include "fs/store/journal.h"

struct journal_owner {
	int fd;
	bool open;    /* its file still is */
	bool syncing; /* somebody syncs it to get room, */
	bool closing; /* and waits for those who have put something to begin their change, or they would have to put it again for ever */
	size_t coming; /* those who have */
	size_t items;
	uint64_t era;
	uint64_t ended;    /* its entries up to this one have */
	unsigned under[2]; /* entries being put and changes being made, of an even era and of an odd one */
	bool turning;      /* an era has begun, and those of the one before it are waited for */
};

/* One entry. Places count on without end; in the ring they are taken modulo its length. */
struct journal_item {
	uint64_t at, len, seq;
	int64_t since; /* when it was put: CLOCK_MONOTONIC, s */
	struct journal_owner *owner;
	bool ended;
};

struct journal {
	struct journal_config cfg;
	struct journal_key *key;
	pthread_mutex_t lock; /* all that follows */
	pthread_cond_t moved; /* a tail, a state, a sync */
	int fd;               /* -1: there is no file yet, or not any more */
	uint64_t ring_len;
	bool making; /* somebody makes the file, or looks whether it is there */
	bool gone;   /* it is not the one that the next mount will find: its entries end, none is put */
	bool anew; /* one of this session was lost: what lies by its name may be a copy of that, and is not taken over */
	bool whole;    /* all its blocks were there */
	time_t looked; /* when; CLOCK_MONOTONIC, s */
	uint64_t head, tail, seq;
	uint64_t written, durable; /* entries written, and how many of them are durable */
	bool syncing;
	int broken; /* a sync failed: its errno */
	uint64_t in_force, put;
	struct journal_item *item; /* a ring of its own: oldest first */
	size_t room, first, n;
	pthread_t thread;
	pthread_cond_t wake;
	bool started, stopping;
};

/* journal_items.c; all under the lock, or when nobody else is there any more. */
static inline struct journal_item *journal_item_at(const struct journal *j, size_t i)
{
	return &j->item[(j->first + i) % j->room];
}
/* A new one behind the others, LEN bytes at AT. -ENOMEM. */
int journal_item_add(struct journal *j, struct journal_owner *o, uint64_t at, uint64_t len) MUST_CHECK;
/* Where LEN bytes would go; false if there is no room. An entry lies in one piece, so the ring's end may have to be left out. */
bool journal_fits(const struct journal *j, size_t len, uint64_t *at);
/* O's entries up to UPTO count no more, and room that is free at the tail is given back. */
void journal_items_end(struct journal *j, struct journal_owner *o, uint64_t upto);
void journal_drop_oldest(struct journal *j);
/* Nobody needs O any more? Then it goes. */
void journal_owner_unused(struct journal_owner *o);

/* journal_sync.c, under the lock, which is let go meanwhile. */
/* Who has put an entry of O begins his change, or will not make it. */
void journal_came(struct journal *j, struct journal_owner *o);
/* What was begun in ERA is done. */
void journal_done(struct journal *j, struct journal_owner *o, uint64_t era);
/* What has been written is durable when this returns 0; whoever comes first syncs for all that wait. */
int journal_settle(struct journal *j) MUST_CHECK;
/* The oldest entry's file is synced, or whoever does that waited for. */
int journal_reclaim(struct journal *j) MUST_CHECK;

/*
 * journal_place.c, under the lock, which is let go meanwhile. The file is there, its head this session's and durable; it is looked for
 * once a second, NOW: in any case. -ENOSPC, -EIO, ... and tried again the next time.
 */
int journal_ready(struct journal *j, bool now) MUST_CHECK;

/* When the file FD was made, in nanoseconds since 1970; 0: its filesystem does not tell. A copy is younger. */
uint64_t journal_born(int fd);
/* journal_disk.c, which leaves J as it is. */
struct journal_file {
	int fd;
	uint64_t ring_len;
	bool whole; /* all its blocks are there; no is normal where the filesystem compresses */
};
/*
 * A file with this session's head, durable: the one that is there, unless J says `anew`, or a new one, of as long a ring as there is
 * room for. -ENOSPC, -EIO, ...
 */
int journal_disk_make(const struct journal *j, struct journal_file *out) MUST_CHECK;
/* Is the file of J the one that the next mount will find? A disk that does not answer says nothing about that. */
bool journal_disk_in_place(const struct journal *j);
/* FD counts for nothing any more, wherever it is. Closes it. */
void journal_disk_drop(int fd);
/* Write the mark of the entry at AT in the ring: it has ended. -EIO. */
int journal_disk_ended(struct journal *j, uint64_t at) MUST_CHECK;
#define JOURNAL_RING_MAX (1u << 28) /* far above what any version makes */

#endif
