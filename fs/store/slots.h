/* SPDX-License-Identifier: BSD-2-Clause */
/* The in-flight file while a store is mounted: slots are written, emptied, and the file is made again when it is not there. */
#ifndef FS_STORE_SLOTS_H
#define FS_STORE_SLOTS_H

#include <sys/stat.h>

#include "crypto/inflight.h"
#include "fs/store/live.h"

struct slots;
struct slots_file;

/* One request's slot: its number, the caller's, and the file that it was written to. */
struct slot_hold {
	unsigned no;
	struct slots_file *file; /* NULL: none */
};

/* The slots of one mount. By pwrite(2) and never by a mapping: whoever cuts the file would end the mount with SIGBUS. */
struct slots_config {
	int own_fd; /* STORE/byokfs, the caller's, open as long as the slots */
	size_t slot_len;
	uint64_t session;                            /* of this mount; goes into each slot */
	struct live *live;                           /* who keeps count of them; the caller's; may be NULL */
	void (*log)(int priority, const char *text); /* may be NULL */
};

/* Open the in-flight file, or make it: absent, of another length, sparse. *OUT is freed by slots_free(). */
int slots_open(const struct slots_config *cfg, struct slots **out) MUST_CHECK;
/* NULL is legal. No slot may be in use. */
void slots_free(struct slots *s);

/*
 * Write slot HOLD->no: SLOT with the data in place; its head is made from IN (home and session are set here) and PATH. From 0 on the
 * slot is valid on disk until slots_clear() with HOLD. On error it is empty, and what it was for must not be begun: -ENOSPC,
 * -EIO, ... Once a second it is looked whether the file is still there by its name, and whole; if not, it is made again.
 * Safe from several threads with different NO.
 */
int slots_put(struct slots *s, struct slot_hold *hold, uint8_t *slot, struct inflight *in, const char *path) MUST_CHECK;
void slots_clear(struct slots *s, struct slot_hold *hold);

/*
 * Which filesystem the file FD with ST is on, the same whenever it is mounted: its device number, or where that is handed out
 * at each mount (btrfs, NFS, overlays), its own id if it has one.
 */
uint64_t slots_fs(int fd, const struct stat *st);

#endif
