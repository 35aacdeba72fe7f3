/* SPDX-License-Identifier: BSD-2-Clause */
/* Extended attributes: the whole name by SIV, the value by GCM, both bound to the object. */
#include "crypto/xattr.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "crypto/aead.h"
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
	int r = siv_seal(keys->xattr_names, object_id, (const uint8_t *)plain, len, siv);
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
	int r = siv_open(keys->xattr_names, object_id, siv, len, (uint8_t *)plain);
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

int xattr_seal(const struct store_keys *keys, const uint8_t object_id[ID_LEN], const char *plain_name,
	       const uint8_t *plain, size_t len, uint8_t *cipher)
{
	uint8_t aad[AAD_FIXED_LEN + XATTR_PLAIN_NAME_MAX];
	struct aead a = {keys->xattr_values, aad, value_aad(keys, object_id, plain_name, aad)};
	return a.aad_len ? aead_seal(&a, plain, len, cipher) : -ERANGE;
}

int xattr_open(const struct store_keys *keys, const uint8_t object_id[ID_LEN], const char *plain_name,
	       const uint8_t *cipher, size_t len, uint8_t *plain)
{
	uint8_t aad[AAD_FIXED_LEN + XATTR_PLAIN_NAME_MAX];
	struct aead a = {keys->xattr_values, aad, value_aad(keys, object_id, plain_name, aad)};
	return a.aad_len ? aead_open(&a, cipher, len, plain) : -EBADMSG;
}
