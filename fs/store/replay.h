/* SPDX-License-Identifier: BSD-2-Clause */
/* Writing again what a dead daemon left in the in-flight slots (FORMAT.md "In-flight"). */
#ifndef FS_REPLAY_H
#define FS_REPLAY_H

#include "fs/store/store.h"

/*
 * Write every valid slot of STORE/byokfs/inflight to its file, durably, and mark it empty. The file is found by its path
 * below data/, else by its inode number; only the very inode that was written, with the slot's file id in its header, is
 * touched. A slot without such a file, malformed, or of another in-flight file, mount or boot, is logged and emptied. *REPLAYED
 * counts those written. A missing file is no error. -EIO, -ENOSPC, ... when a slot could not be written: it stays valid.
 */
int replay_all(const struct store *s, void (*log)(int priority, const char *text), unsigned *replayed) MUST_CHECK;
/* How many slots are valid; negative errno. Writes nothing. */
int replay_pending(const struct store *s) MUST_CHECK;

#endif
