/* SPDX-License-Identifier: BSD-2-Clause */
/* What the in-flight slots of a mount must say by now, kept where nothing but a restart of the machine takes it. */
#ifndef FS_STORE_LIVE_H
#define FS_STORE_LIVE_H

#include <stdbool.h>

#include "crypto/inflight.h"

/*
 * In-flight slots are believed after a crash in the same boot, for what the daemon wrote is in the page cache. But a disk that was
 * pulled out, or whose server was lost, takes that along, and what it has of the slots is old: writing it again would undo what
 * was acknowledged. So a small file on a tmpfs (/run) has the number of each slot's last use, which the disk must not be behind.
 */
struct live;

/* Make the record at PATH for SESSION, in place of any. *OUT is freed by live_free(). As open(2). */
int live_open(const char *path, uint64_t session, struct live **out) MUST_CHECK;
/* CLEAN: the session has ended, and the record goes. NULL is legal. */
void live_free(struct live *l, bool clean);

/* Slot NO has been written for its use TURN; has been emptied after it. Any thread, one at a time for a slot. NULL is legal. */
void live_put(struct live *l, unsigned no, uint64_t turn);
void live_done(struct live *l, unsigned no, uint64_t turn);
/* All slots have been made anew, empty. NULL is legal. */
void live_reset(struct live *l);

/*
 * Is the in-flight file FD (slots of SLOT_LEN bytes) behind what the record at PATH says of SESSION? False also where nobody knows: there
 * is no record, or one of another session.
 */
bool live_ahead(const char *path, uint64_t session, int fd, size_t slot_len);

#endif
