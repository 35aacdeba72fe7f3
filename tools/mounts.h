/* SPDX-License-Identifier: BSD-2-Clause */
/* Mounted byokfs filesystems as the kernel lists them, and mount points as they are written there. */
#ifndef TOOLS_MOUNTS_H
#define TOOLS_MOUNTS_H

#include <stdbool.h>

#include "crypto/attr.h"

#define MOUNTS_PATH_MAX 4096u

/*
 * PATH as /proc/self/mountinfo would have it, without touching what is mounted there where that is dead: then only the
 * folder above is resolved. Negative errno.
 */
int mounts_canonical(const char *path, char out[MOUNTS_PATH_MAX]) MUST_CHECK;
/* A byokfs is mounted on MOUNTPOINT (canonical). False also when the mount table cannot be read. */
bool mounts_is(const char *mountpoint) MUST_CHECK;
/* What is mounted there has no daemon any more: it answers errors, or within two seconds nothing at all. */
bool mounts_is_dead(const char *mountpoint);
/* mnt_umount(), for a plain user of his own mounts only (-EPERM); DETACH ends a connection that hangs, too. */
int mounts_umount(const char *mountpoint, bool detach) MUST_CHECK;
/* All of them: a malloc'ed array of malloc'ed paths with a NULL at the end; mounts_free(). */
int mounts_list(char ***out) MUST_CHECK;
void mounts_free(char **list);

#endif
