/* SPDX-License-Identifier: BSD-2-Clause */
/* FUSE callbacks on extended attributes, and the one attribute that tells the gate's state. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"
#include "fs/fuse/caller.h"
#include "fs/tree/xattrs.h"

static void reply_sized(fuse_req_t req, int r, const void *buf, size_t len, size_t size)
{
	if (r)
		fuse_reply_err(req, -r);
	else if (size == 0)
		fuse_reply_xattr(req, len);
	else
		fuse_reply_buf(req, buf, len);
}

static void reply_state(fuse_req_t req, size_t size)
{
	struct gate_status s;

	gate_status(req_tree(req)->env.gate, &s);
	char text[512];
	size_t len = (size_t)snprintf(text, sizeof(text), "%s%s%s%s%s", gate_state_name(s.state), s.cause ? " (" : "",
				      gate_cause_name(s.cause), s.cause ? "): " : "", s.cause ? s.reason : "");
	reply_sized(req, size > 0 && size < len ? -ERANGE : 0, text, len, size);
}

static bool is_state(fuse_ino_t ino, const char *name)
{
	return ino == FUSE_ROOT_ID && strcmp(name, XATTR_STATE) == 0;
}

/*
 * Who may see trusted.* names: CAP_SYS_ADMIN, as in the kernel's own filesystems. It checks that by itself when such a value is
 * asked for, but cannot when names are listed.
 */
static int list(fuse_req_t req, struct node *n, struct xattr_buf *buf)
{
	int r = xattrs_list(req_tree(req), n, buf);

	/* asked only where there is one: few files have any */
	if ((r && r != -ERANGE) || !buf->has_trusted || caller_is_admin(req))
		return r;
	buf->hide_trusted = true;
	return xattrs_list(req_tree(req), n, buf);
}

/*
 * The kernel asks for the root's ACL before a plain user may read anything of it, user.byokfs.state included: answered while locked
 * too. It lies in clear and says who may, no more than the mode that anybody is told.
 */
static bool is_root_acl(fuse_ino_t ino, const char *name)
{
	return ino == FUSE_ROOT_ID && name && strcmp(name, XATTR_ACL_ACCESS) == 0;
}

/* The value of NAME, or the list of names where it is NULL. */
static void read_xattrs(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct node *n = is_root_acl(ino, name) ? ops_node(req, ino) : ops_admit(req, ino);
	struct xattr_buf buf = {.size = size};
	int r = -ENOMEM;

	if (!n)
		return;
	if (size > 0)
		buf.value = malloc(size);
	if (size == 0 || buf.value)
		r = name ? xattrs_get(req_tree(req), n, name, &buf) : list(req, n, &buf);
	reply_sized(req, r, buf.value, buf.len, size);
	if (buf.value)
		secret_wipe(buf.value, size);
	free(buf.value);
}

static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	if (is_state(ino, name))
		reply_state(req, size);
	else
		read_xattrs(req, ino, name, size);
}

static void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	read_xattrs(req, ino, NULL, size);
}

/*
 * An access ACL is a chmod in other words, but the kernel takes the setgid bit away from a chmod only: it leaves that to us here,
 * and tells this libfuse nothing of who asks.
 */
static bool acl_drops_setgid(fuse_req_t req, struct node *n)
{
	struct stat st;

	return obj_getattr(req_tree(req), n, &st) == 0 && (st.st_mode & S_ISGID) && !caller_keeps_setgid(req, &st);
}

static void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags)
{
	struct xattr_value v = {value, size, flags, false};
	struct node *n = ops_admit_change(req, ino);

	if (!n)
		return;
	if (strcmp(name, XATTR_ACL_ACCESS) == 0)
		v.drop_setgid = acl_drops_setgid(req, n);
	fuse_reply_err(req, is_state(ino, name) ? EPERM : -xattrs_set(req_tree(req), n, name, &v));
}

static void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct node *n = ops_admit_change(req, ino);

	if (n)
		fuse_reply_err(req, -xattrs_remove(req_tree(req), n, name));
}

void ops_fill_xattr(struct fuse_lowlevel_ops *ops)
{
	ops->getxattr = op_getxattr;
	ops->listxattr = op_listxattr;
	ops->setxattr = op_setxattr;
	ops->removexattr = op_removexattr;
}
