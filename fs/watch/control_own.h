/* SPDX-License-Identifier: BSD-2-Clause */
/* What the two ends of the control socket share. Private to fs/control*.c. */
#ifndef FS_CONTROL_OWN_H
#define FS_CONTROL_OWN_H

#include <sys/types.h>
#include <sys/un.h>

#include "fs/watch/control.h"

#define CONTROL_REQUEST_MAX 64u
#define CONTROL_DEVICE_MAX 32u
#define CONTROL_DIRS 3u /* places where a user's sockets may lie */

/* "byokfs 1 status\n"; static storage. */
const char *control_request_text(enum control_command cmd);
/* The I-th place for sockets of UID's mounts; -ENOENT when there is no such place, -ENAMETOOLONG. */
int control_dir_at(uid_t uid, unsigned i, char *out, size_t len) MUST_CHECK;
/* Socket address of MOUNTPOINT in DIR. -ENAMETOOLONG. */
int control_address(const char *dir, const char *mountpoint, struct sockaddr_un *out) MUST_CHECK;
/*
 * What stands in MOUNTPOINT's place for whoever comes by another path: a bind mount, a mount that was moved. By the device number,
 * which is the same on all of them. -ENOENT where no mount of ours lies on MOUNTPOINT.
 */
int control_device(const char *mountpoint, char out[CONTROL_DEVICE_MAX]) MUST_CHECK;

#endif
