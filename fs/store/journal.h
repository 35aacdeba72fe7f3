/* SPDX-License-Identifier: BSD-2-Clause */
/* The undo journal while a store is mounted: a ring of entries, durable before what they speak of is written over. */
#ifndef FS_STORE_JOURNAL_H
#define FS_STORE_JOURNAL_H

#include <stdbool.h>

#include "crypto/inflight.h"
#include "crypto/journal.h"

struct journal;
/* A file as the journal knows it: while the file is open, and as long as an entry of it is in force. */
struct journal_owner;

struct journal_config {
	int own_fd; /* STORE/byokfs, the caller's, open as long as the journal */
	uint64_t session;
	uint64_t ring_len;                           /* if there is to be a new one, and there is room for it; */
	uint64_t ring_min;                           /* not less than this; journal_ring_min(), or what a test wants */
	void (*log)(int priority, const char *text); /* may be NULL */
};

/* The shortest ring that takes the largest entry of a file of layout L, a whole number of MiB. */
uint64_t journal_ring_min(const struct layout *l);

/* Nothing on disk yet: the file is made, or taken over from an earlier session, with the first entry. KEY is taken over on 0. -ENOMEM. */
int journal_open(const struct journal_config *cfg, struct journal_key *key, struct journal **out) MUST_CHECK;
/* All owners have been left. Ends the thread; the file stays. NULL is legal. */
void journal_close(struct journal *j);

/*
 * The owner of a file whose descriptor is FD, of which it keeps a duplicate to sync by. When descriptors are short, files are synced until
 * one is free. -ENOMEM, -EMFILE.
 */
int journal_join(struct journal *j, int fd, struct journal_owner **out) MUST_CHECK;
/* The file is closed: the owner goes with its last entry in force. NULL is legal. */
void journal_leave(struct journal *j, struct journal_owner *o);

/* A change that is about to be made. */
struct journal_change {
	struct journal_owner *owner;
	struct journal_entry entry;            /* seq, oldest and place are set here */
	const char *path;                      /* entry.path_len bytes */
	const uint8_t *bytes[JOURNAL_EXTENTS]; /* of each extent that is no hole */
};

/*
 * Put the entry of C into the ring, and wait until it is durable, with others' in one sync. May sync other files when the ring is
 * full. Once a second it is looked whether the file is still there by its name, and whole; if not, all files in it are synced, so that
 * nothing in it is needed any more, and it is made again. Safe from any thread, but not between journal_enter() and journal_made().
 * On 0 journal_enter() is to follow, which says whether the entry was put in time. -ENOSPC not even ring_min is to be had; -EIO (of
 * the journal's own sync for as long as the file is the same: what a failed one has dropped nobody knows), -ENOMEM.
 */
int journal_put(struct journal *j, struct journal_change *c) MUST_CHECK;

/*
 * O's file is synced by whoever needs room, too, and its entries end with that: then what was written over freely until now is durable
 * as well. Each sync begins a new era. Who is about to change the file looks what has to be kept in the era of now, puts that, and enters:
 * false if the era is over, and he must look anew. Else he makes his change, and says that it is made; a sync waits for him until then.
 */
uint64_t journal_era(struct journal *j, const struct journal_owner *o);
bool journal_enter(struct journal *j, struct journal_owner *o, uint64_t era) MUST_CHECK;
void journal_made(struct journal *j, struct journal_owner *o, uint64_t era);

/* Before a sync of O's file: a new era; what the sync will end. Waits for changes under way. */
uint64_t journal_before_sync(struct journal *j, struct journal_owner *o);
/*
 * The sync that began after journal_before_sync() gave UPTO has succeeded. Waits for the disk if entries were put meanwhile.
 * -EIO: it may count as not having ended them.
 */
int journal_synced(struct journal *j, struct journal_owner *o, uint64_t upto) MUST_CHECK;

/* Start the thread that syncs a file JOURNAL_AGE_S after its first entry, so that it goes back by no more. Not before the last fork. */
#define JOURNAL_AGE_S 20
int journal_start(struct journal *j) MUST_CHECK;
/* What the thread does each second; NOW in seconds of CLOCK_MONOTONIC. For tests without it. */
void journal_tick(struct journal *j, int64_t now);

struct journal_stat {
	uint64_t ring_len, used; /* bytes; ring_len 0: there is none yet */
	uint64_t in_force, put;  /* entries now, and since the mount */
};
void journal_stat(struct journal *j, struct journal_stat *out);

#endif
