/* SPDX-License-Identifier: BSD-2-Clause */
/* FUSE callback on ioctl(2): inode flags, which lsattr(1) and chattr(1) ask for; all others are ENOTTY. */
#include <errno.h>
#include <linux/fs.h>
#include <string.h>

#include "fs/fuse/ops.h"

static uint32_t xflags_of(unsigned flags)
{
	return (flags & FS_IMMUTABLE_FL ? FS_XFLAG_IMMUTABLE : 0) | (flags & FS_APPEND_FL ? FS_XFLAG_APPEND : 0) |
	       (flags & FS_NODUMP_FL ? FS_XFLAG_NODUMP : 0);
}

static void get(fuse_req_t req, struct node *n, unsigned cmd, size_t out_len)
{
	struct fsxattr x = {0};
	unsigned flags = 0;
	size_t len = cmd == FS_IOC_GETFLAGS ? sizeof(flags) : sizeof(x);
	int r = out_len < len ? -ENOTTY : obj_flags_get(req_tree(req), n, &flags);

	x.fsx_xflags = xflags_of(flags);
	if (r)
		fuse_reply_err(req, -r);
	else
		fuse_reply_ioctl(req, 0, cmd == FS_IOC_GETFLAGS ? (void *)&flags : (void *)&x, len);
}

static void set(fuse_req_t req, struct node *n, const void *in, size_t in_len)
{
	unsigned flags = 0;

	if (in_len >= sizeof(flags))
		memcpy(&flags, in, sizeof(flags));
	int r = in_len < sizeof(flags) ? -ENOTTY : obj_flags_set(req_tree(req), n, flags);
	if (r)
		fuse_reply_err(req, -r);
	else
		fuse_reply_ioctl(req, 0, NULL, 0);
}

/*
 * The kernel has looked who may, and sends and takes an int, whatever the number of the call says of a long. Before it sets flags
 * it asks for them the other way.
 */
static void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned cmd, void *arg, struct fuse_file_info *fi, unsigned how,
		     const void *in, size_t in_len, size_t out_len)
{
	bool gets = cmd == FS_IOC_GETFLAGS || cmd == FS_IOC_FSGETXATTR, sets = cmd == FS_IOC_SETFLAGS;

	(void)arg;
	(void)fi;
	if ((how & FUSE_IOCTL_COMPAT) || !(gets || sets)) {
		fuse_reply_err(req, ENOTTY);
		return;
	}
	struct node *n = sets ? ops_admit_change(req, ino) : ops_admit(req, ino);
	if (n && sets)
		set(req, n, in, in_len);
	else if (n)
		get(req, n, cmd, out_len);
}

void ops_fill_ioctl(struct fuse_lowlevel_ops *ops)
{
	ops->ioctl = op_ioctl;
}
