/* SPDX-License-Identifier: BSD-2-Clause */
/* Finding files of the store again after a crash: by the path that was noted, else all that are missing by one walk. */
#ifndef FS_STORE_HUNT_H
#define FS_STORE_HUNT_H

#include "fs/store/store.h"

/* A file that is looked for. */
struct quarry {
	uint64_t ino;
	uint8_t file_id[ID_LEN];
	bool found; /* or not wanted: set by the caller or by the hunt */
};

/* Not to be opened is not the same as not there: -ENOENT only for what is gone, or another object by now. */
int hunt_error(int r);

/*
 * FD if it is the very file of Q, by inode number and file id; else FD is closed: -ENOENT, or -ENOMEM.
 */
int hunt_is(const struct store *s, int fd, const struct quarry *q) MUST_CHECK;
/* The file at PATH (LEN disk names' bytes below data/), opened to write; one of Q or any. -ENOENT, else as open(2). */
int hunt_path(const struct store *s, const char *path, size_t len, const struct quarry *q) MUST_CHECK;

/* One of the Q that was found; FD is the callee's to close. */
typedef int hunt_fn(void *arg, struct quarry *q, int fd);
/*
 * Walk data/ for those of the N at Q, sorted by ino, that are not found yet. The first error of FOUND ends it. 0; 1 some are not found, and
 * not all folders could be looked into; -EMFILE, -ENFILE, -ENOMEM.
 */
int hunt_walk(const struct store *s, struct quarry *q, size_t n, hunt_fn *found, void *arg) MUST_CHECK;

#endif
