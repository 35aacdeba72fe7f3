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
	uint64_t era;                /* of the owner, for which this is the account */
	uint64_t blocks;             /* records before this one are durable, but for those in `fresh` */
	uint64_t disk_size;          /* the file's durable length; less after a cut */
	bool end;                    /* the final record is durable */
	uint64_t sparse;             /* the file's `sparse_since` of which a sync is known to have made it durable */
	struct fresh fresh;
	int64_t since; /* when the first of what is fresh was written; CLOCK_MONOTONIC, ms */
};

#endif
