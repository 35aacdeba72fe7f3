/* SPDX-License-Identifier: BSD-2-Clause */
/* What the in-flight slots and the list of a mount must say by now, kept where nothing but a restart of the machine takes it. */
#ifndef FS_STORE_LIVE_H
#define FS_STORE_LIVE_H

#include <stdbool.h>

#include "crypto/inflight.h"
#include "crypto/writing.h"

/*
 * In-flight slots are believed after a crash in the same boot, for what the daemon wrote is in the page cache. But a disk that was
 * pulled out, or whose server was lost, takes that along, and what it has of the slots is old: writing it again would undo what
 * was acknowledged. And files that were only made have no slot: their entries in the list of files being written may be lost alone,
 * and without them what is torn of these files would be damage. So a small file on a tmpfs (/run) has the number of each slot's last
 * use and the end of each entry, which the disk must not be behind: however it came to be, by a disk pulled out, a filesystem that was
 * aborted, or one over the network or FUSE that was unmounted by force.
 */
struct live;

/* Make a record for SESSION, beside the one at PATH. *OUT is freed by live_free(). As open(2). */
int live_open(const char *path, uint64_t session, struct live **out) MUST_CHECK;
/* The store says that the session has begun: the record of the last one, which counted until then, is replaced. NULL is legal. */
void live_begun(struct live *l);
/* CLEAN: the store says that the session has ended in good order, and the record goes. NULL is legal. */
void live_free(struct live *l, bool clean);

/* Slot NO has been written for its use TURN; has been emptied after it. Any thread, one at a time for a slot. NULL is legal. */
void live_put(struct live *l, unsigned no, uint64_t turn);
void live_done(struct live *l, unsigned no, uint64_t turn);
/* All slots have been made anew, empty. NULL is legal. */
void live_reset(struct live *l);

/*
 * Entry NO (from 0) of the list is about to be written or emptied; has been written, as ENTRY. Any thread, one at a time for an entry.
 * NULL is legal.
 */
void live_unlist(struct live *l, uint32_t no);
void live_listed(struct live *l, uint32_t no, const uint8_t entry[WRITING_ENTRY_LEN]);

/* What there is of a session that broke off. */
struct live_disk {
	int slots;           /* the in-flight file; -1: there is none, or it says nothing */
	size_t slot_len;     /* bytes of one */
	const uint8_t *list; /* the list, WRITING_LEN bytes; NULL: there is none */
};
/*
 * Is D behind what the record at PATH says of SESSION? False also where nobody knows: there is no record, or one of another session.
 */
bool live_ahead(const char *path, uint64_t session, const struct live_disk *d);

#endif
