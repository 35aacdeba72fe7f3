/* SPDX-License-Identifier: BSD-2-Clause */
/* What of a file is durable, and goes to the undo journal before it is written over. */
#ifndef FS_KEEP_H
#define FS_KEEP_H

#include "fs/inode/file.h"

/*
 * Durable is what was there when the file was first written to in this mount, and what a sync has passed on; also what was written
 * half a minute ago, for by then the kernel has. The rest is fresh: nobody was told that it is safe, and it is written over
 * as it is. A file made in this mount is fresh as a whole, so that one that is made, written and closed pays nothing.
 *
 * All under the file's `lock`, held to write, or to read for blocks in the middle; but keep_free() and the syncs.
 */
struct keep;

/* N has just been made: nothing of it is durable. When memory is short it counts as durable. */
void keep_new(struct node *n);
/*
 * F's last handle is closed; under the node's lock. What of it is in the journal stays there; a file that is opened again is durable as a
 * whole, but a new one of which nothing has been put there.
 */
void keep_closed(struct file *f);
/* With the node. NULL is legal. */
void keep_free(struct keep *k);

/*
 * F is about to be changed as IN says, by what lies in W's slot: what of that is durable is in the journal, and durable there, when this
 * returns 0. W's buffer `cipher` behind the old records is used. Waits for the disk. -ENOSPC, -EIO, -ENOMEM: F must not be changed.
 */
int keep_before(struct file *f, struct file_work *w, const struct inflight *in, struct keep_change *c) MUST_CHECK;
/*
 * The same for whole blocks FIRST to LAST - 1 that are to become a hole, less than 4 GiB of them. Under the write lock; F's end allows holes,
 * and is made durable if it is not.
 */
int keep_before_hole(struct file *f, uint64_t first, uint64_t last, struct keep_change *c) MUST_CHECK;
/* The change was made; or failed, which is R: then nobody knows what is there, and all of it counts as durable. */
void keep_after(struct file *f, const struct keep_change *c, int r);

/* Before a sync of F, under its write lock: what is there now will be durable. What keep_synced() wants to know. */
uint64_t keep_before_sync(struct file *f);
/* It succeeded: entries up to UPTO have ended. -EIO. */
int keep_synced(struct file *f, uint64_t upto) MUST_CHECK;

#endif
