/* SPDX-License-Identifier: BSD-2-Clause */
/* Extended attributes: names and values (FORMAT.md "Extended attributes"). */
#ifndef CRYPTO_XATTR_H
#define CRYPTO_XATTR_H

#include "crypto/keys.h"

#define XATTR_PLAIN_NAME_MAX 171u /* so that "user." + base64url(SIV) fits 255 */
#define XATTR_DISK_NAME_MAX 255u
#define XATTR_OVERHEAD (NONCE_LEN + TAG_LEN)
#define XATTR_DISK_PREFIX "user." /* then base64url of the SIV name */

/* OBJECT_ID is the file id, directory id or special object's id. -ERANGE when the name is too long or empty. */
int xattr_name_encode(const struct store_keys *keys, const uint8_t object_id[ID_LEN], const char *plain,
		      char disk[XATTR_DISK_NAME_MAX + 1]) MUST_CHECK;
/* -EBADMSG when it is not ours or does not authenticate. */
int xattr_name_decode(const struct store_keys *keys, const uint8_t object_id[ID_LEN], const char *disk,
		      char plain[XATTR_DISK_NAME_MAX + 1]) MUST_CHECK;
/* CIPHER gets LEN + XATTR_OVERHEAD bytes. -ERANGE (the name), -ENOMEM, -EIO. */
int xattr_seal(const struct store_keys *keys, const uint8_t object_id[ID_LEN], const char *plain_name,
	       const uint8_t *plain, size_t len, uint8_t *cipher) MUST_CHECK;
/* PLAIN gets LEN - XATTR_OVERHEAD bytes. -EBADMSG, -ENOMEM, -EIO. */
int xattr_open(const struct store_keys *keys, const uint8_t object_id[ID_LEN], const char *plain_name,
	       const uint8_t *cipher, size_t len, uint8_t *plain) MUST_CHECK;

#endif
