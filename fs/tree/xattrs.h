/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Extended attributes of the mount: sealed under user. of the backing, POSIX ACLs as they are. No FUSE.
 *
 * For all of these: any thread, no lock held; 0 or a negative errno. Names are those of user., trusted. and security.;
 * -EOPNOTSUPP for others, -EINVAL for a bare prefix. Sealed ones need the keys, borrowed for the cryptography only: -EACCES
 * when the gate is locked. ACLs need none: whoever asks has made sure that the gate is open. -EIO for a value that does not
 * authenticate, which is counted; else as the system call on the backing.
 */
#ifndef FS_XATTRS_H
#define FS_XATTRS_H

#include "fs/tree/object.h"

#define XATTR_STATE "user.byokfs.state" /* of the mount root: the gate's state, readable while locked; its callback's */

#define XATTR_ACL_ACCESS "system.posix_acl_access"
#define XATTR_ACL_DEFAULT "system.posix_acl_default"

#define XATTR_CAPABILITY "security.capability"

/* Where an answer goes. SIZE 0 asks for the length alone. */
struct xattr_buf {
	void *value;
	size_t size;
	size_t len;        /* of the answer */
	bool hide_trusted; /* of a list: leave out trusted.*; HAS_TRUSTED: there was one, left out or not */
	bool has_trusted;
};

/* The value of NAME. -ENODATA, -ERANGE when SIZE is too small. A length alone is told unread. */
int xattrs_get(struct tree *t, struct node *n, const char *name, struct xattr_buf *buf) MUST_CHECK;

struct xattr_value {
	const void *value;
	size_t len;
	int flags;        /* XATTR_CREATE, XATTR_REPLACE */
	bool drop_setgid; /* of an access ACL: who sets it may not leave that bit */
};

/* Set NAME. -EEXIST, -ENODATA by the flags; -ERANGE for a name, -ENOSPC for a value that is too long. */
int xattrs_set(struct tree *t, struct node *n, const char *name, const struct xattr_value *v) MUST_CHECK;
/* The names, each with its NUL. Those that do not authenticate are left out and counted. -ERANGE when SIZE is too small. */
int xattrs_list(struct tree *t, struct node *n, struct xattr_buf *buf) MUST_CHECK;
/* -ENODATA. */
int xattrs_remove(struct tree *t, struct node *n, const char *name) MUST_CHECK;

#endif
