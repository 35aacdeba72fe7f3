/* SPDX-License-Identifier: BSD-2-Clause */
/* The janitor: invalidates again what a lock, or a lost write, leaves behind it in the kernel (DESIGN.md "Locking"). */
#ifndef FS_JANITOR_H
#define FS_JANITOR_H

#include "fs/lock/lock.h"

/* Start its threads; everything that it will ever need is allocated here. Sets l->janitor. */
int janitor_start(struct lock *l) MUST_CHECK;
/* End them: the connection must be gone, or be served until this returns. What is queued later is forgotten. NULL is legal. */
void janitor_stop(struct lock *l);
/* When nobody queues any more. NULL is legal. */
void janitor_free(struct lock *l);

/* What follows may be called from any thread, request handlers included: it queues, and never waits for the kernel. */

/*
 * A page-cache WRITE of [off, off + len) of INO was answered with an error. The kernel is told to drop the pages: at once,
 * then at most every 10 ms for as long as more of it come, and once more 100 ms after the last. While locked the whole
 * inode. l->draining counts the inodes in its hands.
 */
void janitor_lost(struct lock *l, uint64_t ino, uint64_t off, uint64_t len);
/* Every inode that was opened since the mount, once. */
void janitor_sweep(struct lock *l);
/* A lock begins: names of files with refused writes are logged anew, 20 at most. */
void janitor_locking(struct lock *l);
/*
 * LOCKED: watch the inodes that are open for writing until they are closed or the gate opens. A write(2) that was inside
 * the kernel before the lock fills pages after it, and nothing tells us before the kernel writes them back.
 */
void janitor_locked(struct lock *l);
/* The kernel did not know this id, though it is not forgotten: asked again after 1 s, then every 5 s. */
void janitor_absent(struct lock *l, uint64_t ino);

#endif
