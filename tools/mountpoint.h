/* SPDX-License-Identifier: BSD-2-Clause */
/* The mount point of `byokfs mount`: looked at before the KMS is asked, and mounted on by the descriptor that was looked at. */
#ifndef TOOLS_MOUNTPOINT_H
#define TOOLS_MOUNTPOINT_H

#include "fs/watch/mnt.h"
#include "tools/mount_options.h"
#include "tools/mounts.h"

struct mountpoint {
	char path[MOUNTS_PATH_MAX]; /* canonical */
	int fd; /* the folder, O_PATH; -1: below the mount of a byokfs that died, which is left in place */
	int (*bare)(int place, const char *path); /* for mnt_config, when fd is -1 */
};

/*
 * Look at the mount point of M: there, a folder, empty, not in the store, nothing alive mounted; protected if that is wanted.
 * CMD_OK with P, or the error was printed. P is the caller's in either case: mountpoint_close().
 */
int mountpoint_open(const struct mount_options *m, struct mountpoint *p) MUST_CHECK;
void mountpoint_close(struct mountpoint *p);
/* mnt_mount(), and right before it what a byokfs that died has left on the mount point is taken away. */
int mountpoint_mount(const struct mnt_config *cfg, int *fd, char why[STORE_WHY_MAX]) MUST_CHECK;

#endif
