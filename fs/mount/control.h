/* SPDX-License-Identifier: BSD-2-Clause */
/* The control socket's server: what fs/watch/control.h describes is asked for there, answered here. */
#ifndef FS_MOUNT_CONTROL_H
#define FS_MOUNT_CONTROL_H

#include "fs/mount/fs.h"

struct control;

/* What is asked about and ordered; all of it outlives the control. */
struct control_config {
	struct fs *fs;
	struct gate *gate;
	struct store *store;
	struct audit *audit; /* or NULL */
	struct worker *worker;
	const char *mountpoint; /* canonical */
};

/*
 * Listen and answer, on threads of its own. -EADDRINUSE: another process answers for this mount point; -EPERM: the sockets'
 * folder is not ours alone; -ENAMETOOLONG, -ENOMEM, -EAGAIN, or as bind(2).
 */
int control_start(const struct control_config *cfg, struct control **out) MUST_CHECK;
/* Finish the answers that are under way, end. NULL is legal. */
void control_stop(struct control *c);

#endif
