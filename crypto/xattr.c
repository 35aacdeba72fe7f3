/* SPDX-License-Identifier: BSD-2-Clause */
/* Extended attributes: name and value by SIV, the value of suite 1 by GCM, all bound to the object. */
#include "crypto/xattr.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/aead.h"
#include "crypto/auto.h"
#include "crypto/keys_private.h"

#define B64 sodium_base64_VARIANT_URLSAFE_NO_PADDING
#define LABEL "BYOKFS1X"
#define PREFIX_LEN (sizeof(XATTR_DISK_PREFIX) - 1)
#define AAD_FIXED_LEN (8u + 2 * ID_LEN)

int xattr_name_encode(const struct store_keys *keys, const uint8_t object_id[ID_LEN], const char *plain,
		      char disk[XATTR_DISK_NAME_MAX + 1])
{
	uint8_t siv[XATTR_PLAIN_NAME_MAX + TAG_LEN];
	size_t len = strnlen(plain, XATTR_PLAIN_NAME_MAX + 1);
	if (len == 0 || len > XATTR_PLAIN_NAME_MAX)
		return -ERANGE;
	int r = siv_seal(keys->xattr_names, object_id, ID_LEN, (const uint8_t *)plain, len, siv);
	if (r)
		return r;
	memcpy(disk, XATTR_DISK_PREFIX, PREFIX_LEN);
	sodium_bin2base64(disk + PREFIX_LEN, XATTR_DISK_NAME_MAX + 1 - PREFIX_LEN, siv, len + TAG_LEN, B64);
	return 0;
}

int xattr_name_decode(const struct store_keys *keys, const uint8_t object_id[ID_LEN], const char *disk,
		      char plain[XATTR_DISK_NAME_MAX + 1])
{
	uint8_t siv[XATTR_PLAIN_NAME_MAX + TAG_LEN];
	size_t len;
	if (strncmp(disk, XATTR_DISK_PREFIX, PREFIX_LEN) != 0)
		return -EBADMSG;
	disk += PREFIX_LEN;
	if (sodium_base642bin(siv, sizeof(siv), disk, strlen(disk), NULL, &len, NULL, B64) != 0 || len <= TAG_LEN)
		return -EBADMSG;
	int r = siv_open(keys->xattr_names, object_id, ID_LEN, siv, len, (uint8_t *)plain);
	if (r)
		return r;
	plain[len - TAG_LEN] = '\0';
	return strlen(plain) == len - TAG_LEN ? 0 : -EBADMSG;
}

/* Label, store, object, name: a value moved to another of them does not open. 0 if the name is no name. */
static size_t value_aad(const struct store_keys *keys, const uint8_t object_id[ID_LEN], const char *name,
			uint8_t aad[AAD_FIXED_LEN + XATTR_PLAIN_NAME_MAX])
{
	size_t len = strnlen(name, XATTR_PLAIN_NAME_MAX + 1);
	if (len == 0 || len > XATTR_PLAIN_NAME_MAX)
		return 0;
	memcpy(aad, LABEL, 8);
	memcpy(aad + 8, keys->id, ID_LEN);
	memcpy(aad + 24, object_id, ID_LEN);
	memcpy(aad + AAD_FIXED_LEN, name, len);
	return AAD_FIXED_LEN + len;
}

/* Suite 2: SIV of a nonce and the value, which a nonce met twice does not hurt. */
static int value_seal(const struct siv *siv, const struct aead *a, const uint8_t *plain, size_t len, uint8_t *cipher)
{
	AUTO(auto_free) uint8_t *whole = malloc(NONCE_LEN + len);
	if (!whole)
		return -ENOMEM;
	random_bytes(whole, NONCE_LEN);
	if (len)
		memcpy(whole + NONCE_LEN, plain, len);
	int r = siv_seal(siv, a->aad, a->aad_len, whole, NONCE_LEN + len, cipher);
	secret_wipe(whole, NONCE_LEN + len);
	return r;
}

static int value_open(const struct siv *siv, const struct aead *a, const uint8_t *cipher, size_t len, uint8_t *plain)
{
	if (len < XATTR_OVERHEAD)
		return -EBADMSG;
	AUTO(auto_free) uint8_t *whole = malloc(len - TAG_LEN);
	if (!whole)
		return -ENOMEM;
	int r = siv_open(siv, a->aad, a->aad_len, cipher, len, whole);
	if (!r && len > XATTR_OVERHEAD)
		memcpy(plain, whole + NONCE_LEN, len - XATTR_OVERHEAD);
	secret_wipe(whole, len - TAG_LEN);
	return r;
}

int xattr_seal(const struct store_keys *keys, const uint8_t object_id[ID_LEN], const char *plain_name,
	       const uint8_t *plain, size_t len, uint8_t *cipher)
{
	uint8_t aad[AAD_FIXED_LEN + XATTR_PLAIN_NAME_MAX];
	struct aead a = {keys->xattr_values, aad, value_aad(keys, object_id, plain_name, aad)};
	if (!a.aad_len)
		return -ERANGE;
	return keys->suite == SUITE_1 ? aead_seal(&a, plain, len, cipher)
				      : value_seal(keys->xattr_siv, &a, plain, len, cipher);
}

int xattr_open(const struct store_keys *keys, const uint8_t object_id[ID_LEN], const char *plain_name,
	       const uint8_t *cipher, size_t len, uint8_t *plain)
{
	uint8_t aad[AAD_FIXED_LEN + XATTR_PLAIN_NAME_MAX];
	struct aead a = {keys->xattr_values, aad, value_aad(keys, object_id, plain_name, aad)};
	if (!a.aad_len)
		return -EBADMSG;
	return keys->suite == SUITE_1 ? aead_open(&a, cipher, len, plain)
				      : value_open(keys->xattr_siv, &a, cipher, len, plain);
}
