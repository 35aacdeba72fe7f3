/* SPDX-License-Identifier: BSD-2-Clause */
/* The body of the answer to `status`. Private to fs/mount/. */
#ifndef FS_MOUNT_STATUS_H
#define FS_MOUNT_STATUS_H

#include "fs/mount/control.h"

/* Lines of `key value`, values escaped as control_unescape() takes them; malloc'ed, the caller's. -ENOMEM. */
int status_text(const struct control_config *cfg, char **out) MUST_CHECK;

#endif
