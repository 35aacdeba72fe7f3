/* SPDX-License-Identifier: BSD-2-Clause */
/* mount(2) and fusermount3: the descriptor of /dev/fuse is ours from the start. */
#ifndef FS_MNT_H
#define FS_MNT_H

#include "fs/fs.h"

/* Open /dev/fuse and mount; *FD is the caller's. */
int mnt_mount(const struct fs_config *cfg, int *fd, char why[STORE_WHY_MAX]) MUST_CHECK;
/* -EBUSY while files are open, unless DETACH. */
int mnt_umount(const char *mountpoint, int detach) MUST_CHECK;

#endif
