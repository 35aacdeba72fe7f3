/* SPDX-License-Identifier: BSD-2-Clause */
/* What a mount tells about itself: numbers for status and for the audit log. Types only. */
#ifndef FS_REPORT_H
#define FS_REPORT_H

#include <stdint.h>

/* Counters for status. */
struct fs_stats {
	uint64_t cached_inodes, open_files;
	uint64_t lost_ranges;    /* writes answered with an error, in earlier mounts too, that still read as EIO */
	uint64_t refused_writes; /* page-cache writes refused after LOCKING */
	uint64_t corrupt;        /* objects that did not authenticate */
	uint64_t recovered;      /* stumps and unfinished files tolerated after a crash */
	uint64_t draining;       /* inodes still being invalidated */
	uint64_t sealed_waiting_bytes; /* that a lock has sealed, on their way to the disk */
};

/* What the last lock did; all 0 before the first. */
struct fs_lock_report {
	int64_t started;        /* unix seconds */
	uint64_t sealed_bytes;  /* page-cache writes sealed after LOCKING */
	uint64_t refused_bytes; /* refused, up to now: a write(2) that was under way goes on being refused */
	uint64_t inodes;        /* forgotten by the kernel */
	uint64_t contents_ms;   /* from LOCKING until the contents of every file were forgotten */
	uint64_t all_ms;        /* until all was: attributes of inodes never opened too */
};

#endif
