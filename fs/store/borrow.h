/* SPDX-License-Identifier: BSD-2-Clause */
/* Keys borrowed from the gate for one stretch of cryptography, and given back when the scope ends. */
#ifndef FS_BORROW_H
#define FS_BORROW_H

#include "crypto/block.h"
#include "kms/gate.h"

/*
 * What is borrowed; `= {0}` is nothing. Neither across I/O that may block long nor nested (see gate_enter()): where the
 * scope goes on after the cryptography, borrow_end() is called at once.
 */
struct borrow {
	struct gate *gate; /* NULL: nothing is borrowed */
	const struct store_keys *store;
	const struct file_keys *file; /* borrow_file() only, as are the ciphers of its contents */
	struct block_cipher seal, open;
};

/* Borrow the store's keys. -EACCES unless the gate's state allows USE; nothing is borrowed then. */
int borrow_store(struct borrow *b, struct gate *g, enum gate_use use) MUST_CHECK;
/* Those, and KEY's with ciphers for layout L. -EACCES (also when this one key was refused), -EBADMSG, -ENOMEM. */
int borrow_file(struct borrow *b, struct gate *g, enum gate_use use, struct gate_key *key,
		const struct layout *l) MUST_CHECK;
/* Give them back. For AUTO(); legal when nothing is borrowed. On the thread that borrowed. */
void borrow_end(struct borrow *b);

#endif
