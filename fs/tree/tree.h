/* SPDX-License-Identifier: BSD-2-Clause */
/* The tree of a mounted store: what object.c and xattrs.c, and those who serve them, work on. No FUSE. */
#ifndef FS_TREE_H
#define FS_TREE_H

#include "crypto/name.h"
#include "fs/inode/file.h"
#include "fs/store/store.h"

/* Made by tree_init(). Its counters (env.corrupt, env.recovered) and `nodes` are safe from any thread, the rest stays. */
struct tree {
	struct file_env env; /* the gate, the layout, read-only or not, the log */
	struct nodes nodes;
	enum name_mode names;
	bool root_only; /* the root folder is shown without rights for group and others: nobody but its owner and root gets in */
};

/*
 * The tree of S, whose data directory, like GATE, must outlive it; nothing is read but the directory's own attributes. LOG
 * may be called from any thread. -ENOMEM, or as fstat(2); then there is nothing to free.
 */
int tree_init(struct tree *t, const struct store *s, struct gate *gate, bool read_only,
	      void (*log)(int priority, const char *text)) MUST_CHECK;
/* When no thread uses it any more. */
void tree_free(struct tree *t);

#endif
