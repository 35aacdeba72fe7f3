/* SPDX-License-Identifier: BSD-2-Clause */
/* The end of a file that a crash left unfinished: found, and sealed again (FORMAT.md "Final record"). No FUSE. */
#ifndef FS_RECOVER_H
#define FS_RECOVER_H

#include <stdbool.h>

#include "crypto/block.h"
#include "kms/gate.h"

/* A file to look at: FD is open for reading (and writing, to apply), KEY is its own. The gate must be ACTIVE. */
struct recover {
	int fd;
	const struct layout *layout;
	struct gate *gate;
	struct gate_key *key;
	bool made; /* nothing of it need be there: it ends at 0 where nothing authenticates */
	/* recover_file(): gets one line that names the file; may be NULL */
	void (*log)(int priority, const char *text);
	bool (*may_log)(void *arg); /* asked before that line; NULL: yes */
	/* recover_file(): told, before anything is written, how many bytes on disk go; an error ends it. May be NULL. */
	int (*before)(void *arg, uint64_t cut);
	void *arg;
};

/* Where a file ends whose arithmetic end does not authenticate. */
struct recover_end {
	uint64_t blocks;     /* whole blocks before the end */
	uint64_t disk_size;  /* of the file that ends there */
	uint32_t flags;      /* of the final record, found or to be sealed */
	uint64_t generation; /* of the final record to be sealed */
	bool sealed;         /* an old final record stands there and authenticates: only a cut is needed */
	uint64_t bad;        /* records before the end that do not authenticate (they stay, and read as EIO) */
	uint64_t empty; /* all-zero records before the end: holes if `flags` allow them, else they read as EIO, too */
};

/*
 * For a session that began unclean. If the final record at the arithmetic end authenticates, nothing is read beyond it and
 * nothing is written. Else the end is found by recover_find(), the final record sealed there if need be, the rest cut
 * off, and the times put back. FD is read-write and the caller's alone (its inode is locked); KEY is the file's. Not synced:
 * the caller does, before the session is marked clean.
 * 1 when it was mended, 0 when it was whole.
 *
 * -EBADMSG, and nothing is written, when there is a body and nothing in it authenticates, unless it is `made`. -EACCES locked; -EIO, -ENOSPC.
 */
int recover_file(const struct recover *rec) MUST_CHECK;

/*
 * The first half: read the file in order, one request's memory, write nothing. The first record that is a final record
 * and authenticates is the end, be it before the arithmetic one or at it; else the end is behind the last block that
 * authenticates, and allows no holes: zeros before it may be what never reached the disk. A body that is too short for a final record, or
 * all zero, ends at 0; any body, if the file is `made`. -EBADMSG, -EACCES, -EIO, -ENOMEM.
 */
int recover_find(const struct recover *rec, struct recover_end *out) MUST_CHECK;
/* The second half: seal and cut at END, put the times back. */
int recover_apply(const struct recover *rec, const struct recover_end *end) MUST_CHECK;

/* 0 if the final record at the arithmetic end authenticates, -EBADMSG if not; -EACCES, -EIO. */
int recover_whole(const struct recover *rec) MUST_CHECK;

/* 1 if a final record that authenticates lies at the place of block NO, 0 if not, negative errno. HEAD may be NULL. */
int recover_final_at(const struct recover *rec, uint64_t no, struct final_head *head) MUST_CHECK;

#endif
