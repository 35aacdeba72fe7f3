/* SPDX-License-Identifier: BSD-2-Clause */
/* The pin: what this host knows of a store, kept outside it (FORMAT.md "Pin"). No I/O. */
#ifndef CRYPTO_PIN_H
#define CRYPTO_PIN_H

#include "crypto/keyring.h"

#define PIN_LEN_MAX (KEYRING_LEN_MAX + 65536u)

struct pin {
	uint8_t store_id[ID_LEN];
	uint64_t sequence; /* highest keyring sequence seen */
	uint32_t n_refs;
	char (*ref)[KEYRING_REF_MAX + 1]; /* the KMS references that may be contacted */
	uint8_t *keyring;                 /* copy of the keyring file */
	size_t keyring_len;
};

/* Serialise; *OUT is malloc'ed, the caller frees. */
int pin_write(const struct pin *p, uint8_t **out, size_t *len) MUST_CHECK;
/* -EUCLEAN malformed or checksum wrong. Caller calls pin_free(). */
int pin_parse(const uint8_t *buf, size_t len, struct pin **out) MUST_CHECK;
void pin_free(struct pin *p);
/* True if REF is one of the pin's. */
bool pin_has_ref(const struct pin *p, const char *ref);

#endif
