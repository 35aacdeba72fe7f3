/* SPDX-License-Identifier: BSD-2-Clause */
/* Between the files of the lock: steps that the order and the janitor share. Private to fs/lock/. */
#ifndef FS_LOCK_OWN_H
#define FS_LOCK_OWN_H

#include "fs/lock/lock.h"

/* Whoever watches this process can tell slow progress from a hang. */
void lock_beat(struct lock *l);
/* This thread goes before all that keep the machine busy, where we may say so. Threads that it makes are the same. */
void lock_hurry(void);
/* Is INO open for writing, and how long is it on disk? SIZE may be NULL. */
bool lock_writable(struct lock *l, uint64_t ino, uint64_t *size);
/*
 * Make the kernel forget all of an inode that may be open for writing; as lock_forget_inode(). A write(2) under way does not
 * hold it up for longer than a few megabytes take.
 */
int lock_forget(struct lock *l, uint64_t ino);

/* The name below the root by which ID is touched; lock_touched_id() reads it. */
#define LOCK_NAME_MAX 40u
void lock_touch_name(uint64_t id, char name[LOCK_NAME_MAX]);
/*
 * For a thread that asks this very mount: a table of descriptors of its own, empty. Killed in the middle, it sleeps until our
 * requests are answered or the connection ends, and the connection ends when nobody holds /dev/fuse any more.
 */
void rootsync_own_descriptors(void);

/*
 * The write-back: syncfs of the mount root, from a thread of its own that no request needs, begun at once. NULL: not now; the
 * passes write back page by page then. Never from a request handler.
 */
enum rootsync_kind {
	ROOTSYNC_WRITE_BACK,
	ROOTSYNC_ASK_FIRST, /* before it, each file open for writing loses its time: each read(2) of it is a request from then on */
};
struct rootsync;
struct rootsync *rootsync_start(struct lock *l, enum rootsync_kind kind);
/*
 * Rounds of syncfs until one brings no WRITE, or WRITE was closed before it began (what is dirty is refused then, in large
 * requests); at most until UNTIL (clock_ms(CLOCK_BOOTTIME)): false then. NULL is legal.
 */
bool rootsync_settle(struct rootsync *s, struct lock *l, int64_t until);
/* End it; one that does not come back is left to itself. NULL is legal. */
void rootsync_end(struct rootsync *s, struct lock *l);

#endif
