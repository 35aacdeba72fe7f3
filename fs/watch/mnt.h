/* SPDX-License-Identifier: BSD-2-Clause */
/* mount(2) and fusermount3: the descriptor of /dev/fuse is ours from the start. */
#ifndef FS_MNT_H
#define FS_MNT_H

#include <stdbool.h>

#include "fs/store/store.h"

struct mnt_config {
	const char *source;     /* canonical path of the store, for the mount table */
	const char *mountpoint; /* canonical */
	bool allow_other;
	bool read_only;
	unsigned long mount_flags; /* MS_NODEV, MS_NOSUID, MS_NOATIME, ... */
};

/*
 * Open /dev/fuse and mount (through fusermount3 for a plain user); *FD is the caller's. WHY says what went wrong: -EBUSY,
 * -ENOTDIR, -EPERM, -ENODEV.
 */
int mnt_mount(const struct mnt_config *cfg, int *fd, char why[STORE_WHY_MAX]) MUST_CHECK;
/*
 * By umount2(2), or for a plain user by fusermount3, which does not say why it failed: then -EBUSY. DETACH: at once, even
 * while files are open. -EINVAL: nothing is mounted there; -ENOENT: there is no fusermount3.
 */
int mnt_umount(const char *mountpoint, bool detach) MUST_CHECK;

#endif
