/* SPDX-License-Identifier: BSD-2-Clause */
/* Offsets and checks that the keyring's parser and its box share. Private to crypto/. */
#ifndef CRYPTO_KEYRING_PRIVATE_H
#define CRYPTO_KEYRING_PRIVATE_H

#include "crypto/aead.h"
#include "crypto/keyring.h"

#define KEYRING_MAGIC "BYOKFS1R"
#define KEYRING_FIXED_LEN 128u
#define KEYRING_FIXED_USED 96u
#define KEYRING_SLOT_FIXED_LEN 16u
#define KEYRING_BOX_ENTRY 36u /* generation, key; also root key, count */
#define KEYRING_BOX_MIN (AEAD_OVERHEAD + 2 * KEYRING_BOX_ENTRY)

_Static_assert(KEYRING_FIXED_LEN +
			       KEYRING_SLOTS_MAX * (KEYRING_SLOT_FIXED_LEN + KEYRING_REF_MAX + KEYRING_VERSION_MAX +
						    KEYRING_WRAPPED_MAX) +
			       AEAD_OVERHEAD + (1 + GENERATION_MAX) * KEYRING_BOX_ENTRY <=
		       KEYRING_LEN_MAX,
	       "the fullest keyring fits");

/* -EUCLEAN unless the fields (slot I: the slot and those before it) are such as a keyring may have. */
int keyring_fields_check(const struct keyring *k) MUST_CHECK;
int keyring_slot_check(const struct keyring *k, uint32_t i) MUST_CHECK;

#endif
