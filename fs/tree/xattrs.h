/* SPDX-License-Identifier: BSD-2-Clause */
/* Extended attributes of the mount: sealed under user. of the backing, ACLs as they are. No FUSE. */
#ifndef FS_XATTRS_H
#define FS_XATTRS_H

#include "fs/tree/object.h"

#define XATTR_STATE "user.byokfs.state" /* of the mount root: the gate's state, readable while locked */

/* Where an answer goes. SIZE 0 asks for the length alone. */
struct xattr_buf {
	void *value;
	size_t size;
	size_t len; /* of the answer */
};
/* -ENODATA, -ERANGE, -EIO. */
int xattrs_get(struct tree *t, struct node *n, const char *name, struct xattr_buf *buf) MUST_CHECK;
struct xattr_value {
	const void *value;
	size_t len;
	int flags; /* XATTR_CREATE, XATTR_REPLACE */
};
int xattrs_set(struct tree *t, struct node *n, const char *name, const struct xattr_value *v) MUST_CHECK;
int xattrs_list(struct tree *t, struct node *n, struct xattr_buf *buf) MUST_CHECK;
int xattrs_remove(struct tree *t, struct node *n, const char *name) MUST_CHECK;

#endif
