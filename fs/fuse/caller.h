/* SPDX-License-Identifier: BSD-2-Clause */
/* Who asks: the rights that the kernel has not looked at itself, from /proc. Any thread, no lock held; during its request. */
#ifndef FS_CALLER_H
#define FS_CALLER_H

#include <stdbool.h>
#include <sys/stat.h>

#include "fs/fuse/ops.h"

/*
 * Has it CAP_SYS_ADMIN, in the user namespace that we are in? Of whom /proc knows nothing (a pid namespace that is not ours has
 * no pid here) his user id decides.
 */
bool caller_is_admin(fuse_req_t req);
/* Has it CAP_FSETID, in the user namespace that we are in? A write by it leaves setuid and setgid. */
bool caller_keeps_setid(fuse_req_t req);
/* May it leave the setgid bit of ST: is it in the file's group, or has it CAP_FSETID over the file? In doubt: no. */
bool caller_keeps_setgid(fuse_req_t req, const struct stat *st);

#endif
