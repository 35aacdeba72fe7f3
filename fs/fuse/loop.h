/* SPDX-License-Identifier: BSD-2-Clause */
/* The FUSE session and its serving threads. */
#ifndef FS_LOOP_H
#define FS_LOOP_H

#include "fs/mount/core.h"

/* A session on fs->fuse_fd, as /dev/fd/N: who opened the descriptor is no matter. */
int loop_new(struct fs *fs) MUST_CHECK;
/* Start the serving threads. */
int loop_start(struct fs *fs) MUST_CHECK;
/* Wait for their end (the connection is gone), free. NULL loop is legal. */
void loop_free(struct fs *fs);

#endif
