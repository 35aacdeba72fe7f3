/* SPDX-License-Identifier: BSD-2-Clause */
/* A pass: every inode of one class that the kernel knows is forgotten. Private to fs/lock/. */
#ifndef FS_LOCK_PASS_H
#define FS_LOCK_PASS_H

#include "fs/lock/lock.h"

#define PASS_THREADS_MAX 4u

struct pass_order {
	enum node_class class;
	bool attributes_only; /* contents too unless set */
	unsigned threads;     /* 1 to PASS_THREADS_MAX, the caller's own included; fewer where they cannot be made */
	bool beat;            /* whoever watches this process is to see the progress */
	/*
	 * Told of ids that the kernel did not know though they are not forgotten: their reply is under way. They have been
	 * tried three times by then. NULL: nobody cares, another pass will come.
	 */
	void (*absent)(struct lock *l, uint64_t ino);
};

/*
 * Returns when the pass is over; waits for dirty pages to be written back, and holds no lock meanwhile. Allocates nothing: a
 * lock must not fail where memory is short.
 */
void pass_run(struct lock *l, const struct pass_order *o);
/* The next inodes open for writing, from id *NEXT on, at most MAX of them; *NEXT moves on. Returns how many; 0 at the end. */
size_t pass_writable(struct lock *l, uint64_t *next, uint64_t *ids, size_t max);

#endif
