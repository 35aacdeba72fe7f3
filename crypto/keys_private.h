/* SPDX-License-Identifier: BSD-2-Clause */
/* The inside of key objects, for the modules that use a derived key. Private to crypto/. */
#ifndef CRYPTO_KEYS_PRIVATE_H
#define CRYPTO_KEYS_PRIVATE_H

#include <pthread.h>

#include "crypto/keys.h"
#include "crypto/secret.h"
#include "crypto/siv.h"

#define MAC_PURPOSES 3u
#define SEGMENTS_CACHED 4u
#define GENERATIONS_PER_PAGE 13u

struct generation {
	uint32_t number;
	uint8_t key[KEY_LEN];
};

/* Store keys, in secret memory of their own: one page is enough for most stores. */
struct generation_page {
	struct generation_page *next;
	uint32_t n;
	struct generation entry[GENERATIONS_PER_PAGE];
};

/* Read-only while shared between threads. */
struct store_keys {
	uint8_t root[KEY_LEN];
	uint8_t dek_salt[KEY_LEN];
	uint8_t mac[MAC_PURPOSES][KEY_LEN];
	uint8_t xattr_values[KEY_LEN]; /* suite 1 */
	uint8_t special[KEY_LEN];
	uint8_t id[ID_LEN];
	enum suite suite;
	struct siv *xattr_siv; /* suite 2: of values */
	struct siv *names;
	struct siv *xattr_names;
	struct generation_page *generations;
	uint32_t n_generations;
	uint32_t newest;
};

/* Content keys of segments other than the first; entries are replaced in turn. */
struct segment_cache {
	pthread_mutex_t lock;
	uint64_t segment[SEGMENTS_CACHED]; /* 0: empty */
	uint8_t key[SEGMENTS_CACHED][KEY_LEN];
	unsigned next;
};

/* All but *cache is read-only. `cache` points into the struct: it is what a const file_keys may change. */
struct file_keys {
	uint8_t dek[KEY_LEN];
	uint8_t prk[KEY_LEN];
	uint8_t header_mac[KEY_LEN];
	uint8_t content0[KEY_LEN]; /* suite 1 */
	uint8_t id[ID_LEN];
	uint8_t store_id[ID_LEN];
	struct segment_cache *cache;
	struct segment_cache cache_space;
};

_Static_assert(sizeof(struct store_keys) <= SECRET_MAX, "fits one slot");
_Static_assert(sizeof(struct generation_page) <= SECRET_MAX, "fits one slot");
_Static_assert(sizeof(struct file_keys) <= SECRET_MAX, "fits one slot");

/* The store key of GENERATION, or NULL. */
const uint8_t *store_key_find(const struct store_keys *keys, uint32_t generation);
/* What seals the special object of OBJECT_ID; the caller wipes KEY. */
int special_key(const struct store_keys *keys, const uint8_t object_id[ID_LEN], uint8_t key[KEY_LEN]) MUST_CHECK;
/* Suite 2: the key of the records with PREFIX; the caller wipes KEY. */
int file_record_key(const struct file_keys *f, const uint8_t prefix[RECORD_PREFIX_LEN],
		    uint8_t key[KEY_LEN]) MUST_CHECK;
/* Suite 1: the content key of SEGMENT; the caller wipes KEY. */
int file_content_key(const struct file_keys *f, uint64_t segment, uint8_t key[KEY_LEN]) MUST_CHECK;
/* Keys of FILE_ID from its DEK. */
int file_keys_from(const struct store_keys *keys, const uint8_t file_id[ID_LEN], const uint8_t dek[KEY_LEN],
		   struct file_keys **out) MUST_CHECK;

#endif
