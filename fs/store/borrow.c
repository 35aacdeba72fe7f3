/* SPDX-License-Identifier: BSD-2-Clause */
/* Borrowing keys: the one place of fs/ that goes through the gate's door. */
#include "fs/store/borrow.h"

int borrow_store(struct borrow *b, struct gate *g, enum gate_use use)
{
	*b = (struct borrow){0};
	int r = gate_enter(g, use, &b->store);
	if (r)
		return r;
	b->gate = g;
	return 0;
}

int borrow_file(struct borrow *b, struct gate *g, enum gate_use use, struct gate_key *key, const struct layout *l)
{
	int r = borrow_store(b, g, use);
	if (r)
		return r;
	r = gate_key_borrow(key, b->store, &b->file);
	if (!r)
		r = block_cipher_begin(&b->open, b->store, b->file, l, 0);
	if (!r)
		r = block_cipher_begin(&b->seal, b->store, b->file, l, 1);
	if (r)
		borrow_end(b);
	return r;
}

void borrow_end(struct borrow *b)
{
	block_cipher_end(&b->open);
	block_cipher_end(&b->seal);
	if (b->gate)
		gate_leave(b->gate);
	*b = (struct borrow){0};
}
