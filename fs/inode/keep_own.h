/* SPDX-License-Identifier: BSD-2-Clause */
/* The account of what is durable of one file. For keep*.c. */
#ifndef FS_KEEP_OWN_H
#define FS_KEEP_OWN_H

#include "fs/inode/keep.h"
#include "fs/store/fresh.h"
#include "fs/store/journal.h"

struct keep {
	struct journal *journal;
	struct journal_owner *owner; /* once something of the file was put into the journal */
	uint64_t blocks;             /* records before this one are durable, but for those in `fresh` */
	bool end;                    /* so is the final record */
	struct fresh fresh;
	int64_t since; /* when the first of what is fresh was written; CLOCK_MONOTONIC, ms */
};

#endif
