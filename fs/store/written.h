/* SPDX-License-Identifier: BSD-2-Clause */
/* The list of files being written while a store is mounted: entries come before the change, go when it is durable. */
#ifndef FS_STORE_WRITTEN_H
#define FS_STORE_WRITTEN_H

#include "fs/store/leeway.h"

struct live;
struct written;

#define WRITTEN_LINGER_S 600 /* so long after its last close a file stays listed, if there is room */

struct written_config {
	int own_fd, data_fd; /* the caller's, open as long as the list */
	uint64_t session;
	const struct leeway *carry;                  /* of the session that broke off; NULL after a clean end */
	struct live *live;                           /* told what is listed, and outlives it; may be NULL */
	void (*log)(int priority, const char *text); /* may be NULL */
};

/*
 * Make the session's list, durable: with all that CARRY says. KEY is taken over on 0. *OUT is freed by written_free(). -ENOSPC, -EIO,
 * ...: the list of before is what it was.
 */
int written_open(const struct written_config *cfg, struct writing_key *key, struct written **out) MUST_CHECK;
/* Start the thread that syncs the list, and lets go of what is durable. Not before the last fork. */
int written_start(struct written *w) MUST_CHECK;
/* Ends the thread; the file stays. NULL is legal. */
void written_free(struct written *w);

/* A file that is to be changed or made. */
struct written_file {
	const uint8_t *file_id;
	uint64_t ino;   /* 0: it is to be made */
	uint64_t place; /* of a create, else 0 */
};

/*
 * Before F's first change since it was opened: have it listed. *SLOT (0 at first) is the caller's, and kept for as long as he knows
 * the file: with it a file that is still listed costs nothing. On 0 it stays listed until written_closed(). Takes no lock but its
 * own. -EIO, -ENOSPC, ...: it must not be changed.
 */
int written_add(struct written *w, const struct written_file *f, uint32_t *slot) MUST_CHECK;
/* The inode number of a file that was to be made; on disk within seconds. */
void written_found(struct written *w, uint32_t slot, uint64_t ino);
/* A file that was made is durable now, SLOT having been its: what it has must be there after a crash. On disk within seconds. */
void written_durable(struct written *w, uint32_t slot, const uint8_t file_id[ID_LEN]);
/* Its last handle is closed. KEEP: its end could not be put back, so it stays listed for the next session. */
void written_closed(struct written *w, uint32_t slot, bool keep);

/* Before the end of a file, or a stump, is mended: note CUT, the bytes on disk that go. Stays until the store is whole. */
int written_mended(struct written *w, const uint8_t file_id[ID_LEN], uint64_t ino, uint64_t cut) MUST_CHECK;
/* The same of a file that went back to what the undo journal had of it, when that was done. */
int written_back(struct written *w, const uint8_t file_id[ID_LEN], uint64_t ino) MUST_CHECK;
/* How many files were mended since the store was last known whole, bytes cut off, and how many went back. */
struct written_mends {
	uint64_t files, bytes, back;
};
void written_mends(struct written *w, struct written_mends *out);

/* What the thread does each second; NOW in seconds of CLOCK_MONOTONIC. For tests without it. */
void written_tick(struct written *w, int64_t now);

#endif
