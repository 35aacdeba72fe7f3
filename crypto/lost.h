/* SPDX-License-Identifier: BSD-2-Clause */
/* The list of what was lost (FORMAT.md "Lost ranges"): head, entries, their key. */
#ifndef CRYPTO_LOST_H
#define CRYPTO_LOST_H

#include "crypto/keys.h"

#define LOST_HEAD_LEN 128u
#define LOST_ENTRY_LEN 64u
#define LOST_SLOTS 32766u
#define LOST_LEN (LOST_HEAD_LEN + LOST_SLOTS * LOST_ENTRY_LEN)

_Static_assert(LOST_LEN == 2u << 20, "2 MiB");

/* The list's key, in secret memory. It opens no data, so it may outlive a lock. */
struct lost_key;

struct lost_head {
	uint64_t session; /* that kept the list last */
	uint64_t ino;     /* of the list itself */
	bool altered;     /* an earlier state of it was taken away, altered or put back */
	bool overflowed;  /* more was lost than it has room for */
};

/* Plain bytes [start, end) of a file. */
struct lost_entry {
	uint8_t file_id[ID_LEN];
	uint64_t ino; /* 0: not known */
	uint64_t start, end;
};

/* Derive the key. Caller frees. -ENOMEM, -EIO. */
int lost_key_new(const struct store_keys *keys, struct lost_key **out) MUST_CHECK;
/* Wipes. NULL is legal. */
void lost_key_free(struct lost_key *k);

/* -EINVAL for a session of 0; -EIO. */
int lost_head_write(const struct lost_key *k, const struct lost_head *h, uint8_t buf[LOST_HEAD_LEN]) MUST_CHECK;
/* -EBADMSG; -ENOTSUP a newer format. */
int lost_head_parse(const struct lost_key *k, const uint8_t *buf, size_t len, struct lost_head *out) MUST_CHECK;

/* -EINVAL for an empty range; -EIO. */
int lost_entry_write(const struct lost_key *k, const struct lost_entry *e, uint8_t buf[LOST_ENTRY_LEN]) MUST_CHECK;
/* -ENOENT an empty one, -EBADMSG. */
int lost_entry_parse(const struct lost_key *k, const uint8_t buf[LOST_ENTRY_LEN], struct lost_entry *out) MUST_CHECK;

#endif
