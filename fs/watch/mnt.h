/* SPDX-License-Identifier: BSD-2-Clause */
/* mount(2) and fusermount3: the descriptor of /dev/fuse is ours from the start. */
#ifndef FS_MNT_H
#define FS_MNT_H

#include <stdbool.h>

#include "fs/store/store.h"
#include "fs/watch/mountinfo.h"

struct mnt_config {
	const char *source;     /* canonical path of the store, for the mount table */
	const char *mountpoint; /* canonical: what the mount is known by */
	/* The folder itself, O_PATH, as it was checked; the caller's. -1: mnt_place_open() at the time of the mount. */
	int place_fd;
	/* Called with a folder that mnt_mount() opened itself, before it mounts; else 0 is an error that was told. NULL is legal. */
	int (*bare)(int place, const char *mountpoint);
	bool allow_other;
	bool read_only;
	const char *security;      /* more for mount(2), each behind a comma: contexts of SELinux; "" = none */
	unsigned long mount_flags; /* MS_NODEV, MS_NOSUID, MS_NOATIME, ... */
};

/*
 * The folder MOUNTPOINT (canonical), O_PATH and the caller's: it is a folder, and no link stands for it or for one above.
 * -ENOTDIR, -ELOOP, -ESTALE: what lies there has another name; -ENOENT, -EACCES.
 */
int mnt_place_open(const char *mountpoint) MUST_CHECK;
/*
 * Open /dev/fuse and mount (through fusermount3 for a plain user) on the folder of the config, wherever its path leads by
 * now; *FD is the caller's. WHY says what went wrong: -EBUSY (not empty too), -ENOTDIR, -EPERM, -ENODEV; -ESTALE: the folder
 * was moved away from its path.
 */
int mnt_mount(const struct mnt_config *cfg, int *fd, char why[STORE_WHY_MAX]) MUST_CHECK;
/*
 * The mount N (id 0: whichever of ours lies on MOUNTPOINT) by umount2(2), or for a plain user by fusermount3, which does not
 * say why it failed: then -EBUSY. Whoever owns a folder above has nothing else unmounted. DETACH: at once, even while files
 * are open. -EINVAL: it is not mounted any more; -ENOENT: there is no fusermount3.
 */
int mnt_umount(const char *mountpoint, const struct mount_num *n, bool detach) MUST_CHECK;
/* For root: umount2(2) with FLAGS of the mount N, which must lie on PATH. -EINVAL: something else does. */
int mnt_umount_at(const char *path, const struct mount_num *n, int flags) MUST_CHECK;

#endif
