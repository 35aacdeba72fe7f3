/* SPDX-License-Identifier: BSD-2-Clause */
/* Is the store nearly full, or does writing to it fail? Then files are opened past the kernel's write-back cache. */
#ifndef FS_SPACE_H
#define FS_SPACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* What is remembered of one store; zeroed = nothing is known yet. Any thread. */
struct space {
	_Atomic int64_t ask_at;    /* CLOCK_MONOTONIC, ms: what is known holds until then */
	_Atomic int64_t failed_at; /* the last write that failed on the disk, 0: none */
	_Atomic bool near;
};

/*
 * Would the bytes that the kernel may hold dirty for one mount not surely find room in the store that FD is a folder of? True
 * as well for a minute after a failed write: a quota or a dying disk is seen by nothing else. Asks the filesystem as often as
 * it could have filled up since.
 */
bool space_near(struct space *s, int fd);
/* A write failed with R (negative errno). True when the writer is to be told as for a disk: anything but a lock's EACCES. */
bool space_failed(struct space *s, int r);
/* For how long it is known that BOUND bytes are free where FREE bytes are now: milliseconds, at least 1. Pure. */
int64_t space_known_ms(uint64_t free, uint64_t bound);

#endif
