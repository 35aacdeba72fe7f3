/* SPDX-License-Identifier: BSD-2-Clause */
/* mount(2) and fusermount3: the descriptor of /dev/fuse is ours from the start. */
#ifndef FS_MNT_H
#define FS_MNT_H

#include "fs/store/store.h"

struct mnt_config {
	const char *source;     /* canonical path of the store, for the mount table */
	const char *mountpoint; /* canonical */
	int allow_other;
	int read_only;
	unsigned long mount_flags; /* MS_NODEV, MS_NOSUID, MS_NOATIME, ... */
};

/*
 * Open /dev/fuse and mount (through fusermount3 for a plain user); *FD is the caller's. WHY says what went wrong: -EBUSY,
 * -ENOTDIR, -EPERM, -ENODEV.
 */
int mnt_mount(const struct mnt_config *cfg, int *fd, char why[STORE_WHY_MAX]) MUST_CHECK;
/* -EBUSY while files are open, unless DETACH. */
int mnt_umount(const char *mountpoint, int detach) MUST_CHECK;

#endif
