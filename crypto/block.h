/* SPDX-License-Identifier: BSD-2-Clause */
/* Sealing and opening blocks and final records (FORMAT.md "Contents"). */
#ifndef CRYPTO_BLOCK_H
#define CRYPTO_BLOCK_H

#include "crypto/keys.h"
#include "crypto/layout.h"

#define FINAL_SPARSE 1u /* flag: all-zero records of this file are holes */

/* The final record's head. `tail_len` < B. */
struct final_head {
	uint32_t tail_len;
	uint32_t flags;
	uint64_t generation;
};

/*
 * One request's cipher: made after the keys were borrowed, ended before they are given back. Holds an OpenSSL context
 * with an expanded key; block_cipher_end() wipes it. Not thread-safe. Fields are private to block.c. In suite 2 each cipher
 * that seals draws a prefix at random, which chooses the key. Others may draw the same one: prefix and nonce together, 128
 * random bits, are what no two records share (FORMAT.md "Messages under a key").
 */
struct block_cipher {
	void *evp;
	const struct file_keys *file;
	const struct store_keys *store;
	struct layout layout;
	uint64_t segment;                  /* suite 1: of the key that is loaded */
	uint8_t prefix[RECORD_PREFIX_LEN]; /* suite 2: the same */
	uint32_t sealed;                   /* records under this prefix */
	int tag_len;
	bool loaded, sealing;
};

/* Begin sealing (SEALING) or opening. STORE, FILE outlive the cipher. -EIO. */
int block_cipher_begin(struct block_cipher *c, const struct store_keys *store, const struct file_keys *file,
		       const struct layout *l, bool sealing) MUST_CHECK;
/* For AUTO() as well; legal on a zeroed struct. */
void block_cipher_end(struct block_cipher *c);

/*
 * Seal N whole blocks: PLAIN is N * B bytes, block numbers from NO; CIPHER gets N * R bytes. Fresh random nonces.
 * -ENOMEM, -EIO if OpenSSL fails, -EFBIG past the largest block number.
 */
int block_seal(struct block_cipher *c, uint64_t no, size_t n, const uint8_t *plain, uint8_t *cipher) MUST_CHECK;
/*
 * Open N whole blocks. FLAGS are the file's (FINAL_SPARSE: an all-zero record reads as zeros). On -EBADMSG nothing of
 * PLAIN may be used (it is wiped), and *BAD (may be NULL) is the number of the first block that did not authenticate.
 */
int block_open(struct block_cipher *c, uint64_t no, size_t n, uint32_t flags, const uint8_t *cipher, uint8_t *plain,
	       uint64_t *bad) MUST_CHECK;

/* Seal the final record of a file of NO whole blocks: CIPHER gets FINAL_OVERHEAD + head->tail_len bytes. */
int final_seal(struct block_cipher *c, uint64_t no, const struct final_head *head, const uint8_t *tail,
	       uint8_t *cipher) MUST_CHECK;
/*
 * Open the final record of LEN bytes (FINAL_OVERHEAD + t) after NO whole blocks: fills HEAD, and TAIL with t bytes.
 * -EBADMSG if it does not authenticate or the head's tail length is not LEN's.
 */
int final_open(struct block_cipher *c, uint64_t no, const uint8_t *cipher, size_t len, struct final_head *head,
	       uint8_t *tail) MUST_CHECK;
/* Read a head in clear, unauthenticated: -EBADMSG if tail length >= B, unknown flags or reserved bytes not zero. */
int final_head_parse(const struct layout *l, const uint8_t *cipher, size_t len, struct final_head *head) MUST_CHECK;

/* True if all LEN bytes are zero. */
bool block_is_zero(const uint8_t *p, size_t len);

#endif
