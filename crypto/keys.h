/* SPDX-License-Identifier: BSD-2-Clause */
/* The key hierarchy: root key, store keys, DEKs, and what is derived from them (FORMAT.md "Keys"). */
#ifndef CRYPTO_KEYS_H
#define CRYPTO_KEYS_H

#include "crypto/layout.h"

#define KEY_LEN 32u
#define ID_LEN 16u
#define TAG_LEN 16u
#define NONCE_LEN 12u
#define MAC_LEN 32u
#define PAYLOAD_LEN 72u      /* what a KMS (or a store key) wraps: label 8, key 32, store id 16, file id 16 */
#define DEK_WRAP_LEN 100u    /* a DEK wrapped under a store key: nonce 12, payload 72, tag 16 */
#define GENERATION_MAX 1024u /* store keys that a keyring may hold */

enum payload_kind { PAYLOAD_SLOT = 'K', PAYLOAD_DEK = 'D' };

/* Keys derived from the root key, and the store keys by generation. Lives in secret memory. */
struct store_keys;
/* Keys derived from one DEK, and the DEK. Lives in secret memory. */
struct file_keys;

/*
 * Purposes of MAC keys derived from the root key. Names, xattrs and special objects have their own modules.
 */
enum mac_purpose { MAC_DIRID = 1, MAC_SESSION, MAC_BINDING };

/* Derive everything that hangs on ROOT_KEY in a store of SUITE. Caller frees. -EINVAL, -ENOMEM, -EIO (OpenSSL). */
int store_keys_new(const uint8_t root_key[KEY_LEN], enum suite suite, struct store_keys **out) MUST_CHECK;
/* Add the store key of GENERATION (1..; the highest one wraps new DEKs). -EEXIST, -ENOMEM, -EINVAL. */
int store_keys_add(struct store_keys *keys, uint32_t generation, const uint8_t key[KEY_LEN]) MUST_CHECK;
/* Highest generation, 0 if none. */
uint32_t store_keys_generation(const struct store_keys *keys);
enum suite store_keys_suite(const struct store_keys *keys);
/* The store id, ID_LEN bytes; owned by KEYS. Not secret. */
const uint8_t *store_keys_id(const struct store_keys *keys);
/* True if both derive from the same root key and hold the same store keys (constant time). */
bool store_keys_equal(const struct store_keys *a, const struct store_keys *b);
/*
 * A fingerprint of the root key and every store key, by which the same set is known again when it was wiped in between: keyed
 * by SALT, public as SALT is, and useless without the keys.
 */
int store_keys_commit(const struct store_keys *keys, const uint8_t salt[KEY_LEN], uint8_t out[MAC_LEN]) MUST_CHECK;
/* Wipes. NULL is legal. */
void store_keys_free(struct store_keys *keys);

/* HMAC-SHA-256 of DATA under the root-derived key of PURPOSE. */
int store_mac(const struct store_keys *keys, enum mac_purpose purpose, const uint8_t *data, size_t len,
	      uint8_t mac[MAC_LEN]) MUST_CHECK;
/* The same, compared in constant time. -EBADMSG on difference. */
int store_mac_check(const struct store_keys *keys, enum mac_purpose purpose, const uint8_t *data, size_t len,
		    const uint8_t mac[MAC_LEN]) MUST_CHECK;

/* A new random DEK for FILE_ID. Caller frees. */
int file_keys_new(const struct store_keys *keys, const uint8_t file_id[ID_LEN], struct file_keys **out) MUST_CHECK;
/* Wipes. NULL is legal. */
void file_keys_free(struct file_keys *keys);
const uint8_t *file_keys_id(const struct file_keys *keys);

/* Wrap the DEK under the newest store key (wrap type `store`); AAD store id, file id, generation. */
int dek_wrap(const struct store_keys *store, const struct file_keys *file, uint8_t wrapped[DEK_WRAP_LEN]) MUST_CHECK;
/* -ENOKEY if the generation is unknown, -EBADMSG if it does not authenticate or is not FILE_ID's. */
int dek_unwrap(const struct store_keys *store, uint32_t generation, const uint8_t file_id[ID_LEN],
	       const uint8_t wrapped[DEK_WRAP_LEN], struct file_keys **out) MUST_CHECK;
/* The same DEK as the 72-byte payload that a KMS wraps (wrap type `file`). PAYLOAD should be secret memory. */
int dek_payload_write(const struct store_keys *store, const struct file_keys *file,
		      uint8_t payload[PAYLOAD_LEN]) MUST_CHECK;
int dek_payload_parse(const struct store_keys *store, const uint8_t file_id[ID_LEN], const uint8_t *payload, size_t len,
		      struct file_keys **out) MUST_CHECK;

/* Slot secrets (keyring): payload of a KEK slot. STORE_ID is in the keyring's clear part. */
void slot_payload_write(const uint8_t secret[KEY_LEN], const uint8_t store_id[ID_LEN], uint8_t payload[PAYLOAD_LEN]);
/* -EBADMSG if label, length or store id differ; SECRET is wiped then. */
int slot_payload_parse(const uint8_t *payload, size_t len, const uint8_t store_id[ID_LEN],
		       uint8_t secret[KEY_LEN]) MUST_CHECK;

/* N random bytes from libsodium. */
void random_bytes(void *p, size_t n);

#endif
