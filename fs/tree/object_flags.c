/* SPDX-License-Identifier: BSD-2-Clause */
/* Inode flags: those of the store's files that mean the same for the objects in them. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "crypto/auto.h"
#include "fs/tree/object.h"

/*
 * Immutable and append-only hold for the object because they hold for its file, and nodump is for programs. The others tell how the
 * store's filesystem keeps the file (extents, compression), or what our kernel does not do for this one (sync, noatime).
 */
#define SHOWN ((unsigned)(FS_IMMUTABLE_FL | FS_APPEND_FL | FS_NODUMP_FL))
#define SETTABLE ((unsigned)FS_NODUMP_FL)

static int get(int fd, unsigned *flags)
{
	int all = 0; /* the call's name says long, the kernel writes an int */

	if (ioctl(fd, FS_IOC_GETFLAGS, &all))
		return -errno;
	*flags = (unsigned)all;
	return 0;
}

int obj_flags_get(struct tree *t, struct node *n, unsigned *flags)
{
	AUTO(auto_close) int fd = node_open(&t->nodes, n, O_RDONLY);
	int r = fd < 0 ? fd : get(fd, flags);

	if (!r)
		*flags &= SHOWN;
	return r;
}

int obj_flags_set(struct tree *t, struct node *n, unsigned flags)
{
	AUTO(auto_close) int fd = node_open(&t->nodes, n, O_RDONLY);
	unsigned old = 0;
	int r = fd < 0 ? fd : get(fd, &old);

	if (r)
		return r;
	if ((flags ^ (old & SHOWN)) & ~SETTABLE)
		return -EOPNOTSUPP;
	int new = (int)((old & ~SETTABLE) | (flags & SETTABLE));
	return ioctl(fd, FS_IOC_SETFLAGS, &new) ? -errno : 0;
}
