/* SPDX-License-Identifier: BSD-2-Clause */
/* Bytes of the embedded keystore's files (PROVIDERS.md "Files of a keystore"): parse, seal, open. No I/O. Private to kms/. */
#ifndef KMS_KEYSTORE_FORMAT_H
#define KMS_KEYSTORE_FORMAT_H

#include "kms/keystore/keystore.h"

#define KEYSTORE_HEAD_LEN 116u
#define KEYSTORE_FILE_MAX (1u << 20)

/* The file `keystore`: how the keystore key is protected. */
struct keystore_head {
	uint16_t protection;   /* enum keystore_protection */
	uint32_t ops, mem_kib; /* Argon2id */
	uint8_t id[ID_LEN];
	uint8_t salt[16];
	uint8_t bytes[KEYSTORE_HEAD_LEN];
};

/* Structure only. -EUCLEAN malformed, -ENOTSUP newer. */
int keystore_head_parse(const uint8_t *buf, size_t len, struct keystore_head *out) MUST_CHECK;
/*
 * Seal MASTER (KEY_LEN) under what PASSPHRASE ("" for no passphrase) gives with HEAD's parameters; fills head->bytes.
 * -ENOMEM: less memory than Argon2 is to use.
 */
int keystore_head_seal(struct keystore_head *head, const char *passphrase, const uint8_t *master) MUST_CHECK;
/* -EBADMSG: the passphrase is wrong, or the file was changed. -ENOMEM as above. */
int keystore_head_open(const struct keystore_head *head, const char *passphrase, uint8_t *master) MUST_CHECK;

/* Structure of a key file: all clear fields; *CLEAR is how many bytes they are. No material. -EUCLEAN, -ENOTSUP. */
int keystore_key_parse(const uint8_t *buf, size_t len, struct keystore_key *out, size_t *clear) MUST_CHECK;
/*
 * Parse and authenticate under MASTER, with the key material: it must be NAME of keystore ID. -EBADMSG if it is not, is
 * malformed or was changed; -ENOTSUP newer, -ENOMEM. keystore_key_wipe() afterwards; after an error it has nothing to do.
 */
struct keystore_who {
	const uint8_t *master;
	const uint8_t *id;
	const char *name;
};
int keystore_key_open(const uint8_t *buf, size_t len, const struct keystore_who *who,
		      struct keystore_key *out) MUST_CHECK;
/* The file's bytes, malloc'ed. -EFBIG more than KEYSTORE_FILE_MAX, -ENOMEM. */
int keystore_key_seal(const struct keystore_key *key, const struct keystore_who *who, uint8_t **out,
		      size_t *len) MUST_CHECK;

#endif
