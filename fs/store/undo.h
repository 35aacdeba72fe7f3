/* SPDX-License-Identifier: BSD-2-Clause */
/* After a session that broke off: what the undo journal has, put back where the disk has half of something (FORMAT.md). No FUSE. */
#ifndef FS_UNDO_H
#define FS_UNDO_H

#include "fs/store/store.h"
#include "kms/gate.h"

struct undo {
	const struct store *store;
	struct gate *gate;
	void (*log)(int priority, const char *text); /* may be NULL */
};

struct undo_file {
	uint8_t file_id[ID_LEN];
	uint64_t ino;
};

struct undo_done {
	uint64_t entries; /* that were in force */
	size_t files;     /* that went back to what they were */
	struct undo_file *file;
};

/*
 * Before the first request of a mount for writing whose store is unclean, behind the slots' replay: put back, sync, and empty the
 * journal. DONE is freed by undo_done_free(). What fails for one file leaves the journal as it is, and is an error: the mount must not go on, since it would write over
 * the entries. With wrap type `file` one call to the KMS for each file that is not as it was. -EACCES, -EIO, -ENOSPC, -ENOMEM.
 */
int undo_all(const struct undo *u, struct undo_done *done) MUST_CHECK;
/* What undo_all() filled, whatever it returned. */
void undo_done_free(struct undo_done *done);

#endif
