/* SPDX-License-Identifier: BSD-2-Clause */
/* What node_name.c needs of the inode table. The caller holds the table's lock. */
#ifndef FS_NODE_OWN_H
#define FS_NODE_OWN_H

#include "fs/inode/node.h"

/* The node of (dev, ino), or NULL; no reference is counted. */
struct node *node_find_locked(struct nodes *t, dev_t dev, ino_t ino);
/* N, which must be there, is not found by (dev, ino) any more. */
void node_unhash_locked(struct nodes *t, struct node *n);

/* N has NAME in PARENT, which is pinned if that is new; it comes first among N's names. -ENOMEM: nothing has changed. */
int link_add_locked(struct nodes *t, struct node *n, struct node *parent, const char *name) MUST_CHECK;
/* Free L, which is in no list any more. Its parent is unpinned, and freed if nothing else keeps it. */
void link_free_locked(struct nodes *t, struct link *l);

/* N is about to be freed: frees what it owes, and remembers that it did. No lock is needed any more. */
void owed_forget(struct nodes *t, struct node *n);

/* Close FD, an orphan's (-1: none): what the last name of has gone gives its blocks back with it. */
void orphan_close(struct nodes *t, int fd);

#endif
