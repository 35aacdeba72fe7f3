/* SPDX-License-Identifier: BSD-2-Clause */
/* The control socket itself, for its server. */
#ifndef FS_MOUNT_CONTROL_PRIVATE_H
#define FS_MOUNT_CONTROL_PRIVATE_H

#include <sys/un.h>

#include "crypto/attr.h"

#define CONTROL_CLIENTS 64 /* at a time */

struct control_socket {
	int fd; /* listens; -1: it does not */
	struct sockaddr_un address;
	struct sockaddr_un device; /* a link to it, of another name; none: an empty path */
};

/*
 * Listen for the mount on MOUNTPOINT, at its path's name and, where that can be had, at its device number's. What a daemon that was
 * killed left there makes room; -EADDRINUSE where one listens. C was {.fd = -1}; control_socket_close() ends it, after an error too.
 */
MUST_CHECK int control_socket_open(struct control_socket *c, const char *mountpoint);

void control_socket_close(struct control_socket *c);

#endif
