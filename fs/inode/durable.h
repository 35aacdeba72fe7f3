/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is known to be durable: names, and what was made in a folder. Of a node that has been found, and not made, nothing is known:
 * it may be of an earlier mount, or the kernel had forgotten it, and with it went what was known. Any thread, no lock held.
 */
#ifndef FS_DURABLE_H
#define FS_DURABLE_H

#include "fs/inode/node.h"

/* One name of a node, as it was when it was asked for. */
struct name_ref {
	struct node *parent; /* pinned: give it to node_unpin() */
	uint64_t made;
	bool entry, sidecar; /* is durable, or not needed */
	char name[256];
};
/* The first name of N that is not durable with the folders above it (ANY: the first at all). False: there is none. */
bool node_name_ref(struct nodes *t, struct node *n, bool any, struct name_ref *out);
/* The stamp of the youngest name in the table: what an fsync that begins now makes durable. */
uint64_t nodes_stamp(struct nodes *t);
/* The sidecar of REF, a name of N, is durable; nothing happens when N does not have that very name any more. */
void node_sidecar_durable(struct nodes *t, struct node *n, const struct name_ref *ref);
/* The node of (dev, ino), not to be freed until node_unpin(); NULL: the table has none. */
struct node *node_pin_inode(struct nodes *t, dev_t dev, ino_t ino);
/* Are the id of folder DIR, and ids and names of the folders above it, known to be durable? */
bool node_way_durable(struct nodes *t, struct node *dir);
/* Has N another name than NAME in PARENT, and is one of these not known to be durable with its folders? */
bool node_owes_others(struct nodes *t, struct node *n, const struct node *parent, const char *name);

#define OWED_MAX 1024u
/* NAME in folder DIR was made: an fsync of DIR has to bring it along. */
void node_owe(struct node *dir, const char *name);
/* The first one after *SEQ that DIR owes, and its number into *SEQ. False: no more. */
bool node_owed(struct node *dir, uint64_t *seq, char name[256]);
unsigned node_owed_count(struct node *dir);
/* Where the numbers are now, and whether there is more than the names (node.owed_more). */
uint64_t node_owed_seq(struct node *dir, uint64_t *more);
/* All up to SEQ has been made durable. */
void node_paid(struct node *dir, uint64_t seq);

#endif
