/* SPDX-License-Identifier: BSD-2-Clause */
/* The undo journal that a session left which broke off: its entries, by file. */
#ifndef FS_STORE_JOURNAL_READ_H
#define FS_STORE_JOURNAL_READ_H

#include "crypto/journal.h"
#include "fs/store/store.h"

/* Entries in force, of each file one behind another, newest first. */
struct journal_found {
	uint8_t *ring; /* what the entries point into */
	struct journal_left *left;
	size_t n;
};

/*
 * What SESSION left in the journal of S. Nothing (0 entries) where there is no journal, or one of another session or place: *WHY, if
 * it is one to be told of, else NULL. Caller frees with journal_found_free(). -ENOMEM, -EIO.
 */
int journal_read(const struct store *s, const struct store_keys *keys, uint64_t session, struct journal_found *out,
		 const char **why) MUST_CHECK;
void journal_found_free(struct journal_found *f);
/* It is dealt with: no entry counts any more. Durable. */
int journal_forget(const struct store *s) MUST_CHECK;

#endif
