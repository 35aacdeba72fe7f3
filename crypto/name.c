/* SPDX-License-Identifier: BSD-2-Clause */
/* Names: SIV under the directory's id, base64url; a long name is its hash, with the rest in a sidecar. */
#include "crypto/name.h"

#include <errno.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "crypto/keys_private.h"

#define B64 sodium_base64_VARIANT_URLSAFE_NO_PADDING
#define PREFIX_LEN (sizeof(LONG_PREFIX) - 1) /* both prefixes are of one length */
#define HASH_CHARS 43u
#define SHORT_CHARS_MIN 23u /* SIV and one byte */
#define SHORT_PLAIN_MAX 175u

_Static_assert(sizeof(LONG_PREFIX) == sizeof(SIDECAR_PREFIX), "one length");

static bool has_prefix(const char *name, const char *prefix)
{
	return strncmp(name, prefix, strlen(prefix)) == 0;
}

enum entry_kind name_kind(enum name_mode mode, const char *disk)
{
	if (mode == NAMES_PLAIN)
		return has_prefix(disk, OWN_PREFIX) ? ENTRY_OWN : ENTRY_NAME;
	if (has_prefix(disk, LONG_PREFIX))
		return ENTRY_LONG;
	if (has_prefix(disk, SIDECAR_PREFIX))
		return ENTRY_SIDECAR;
	if (has_prefix(disk, OWN_PREFIX))
		return ENTRY_OWN;
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	size_t len = strlen(disk);
	return len >= SHORT_CHARS_MIN && len <= NAME_LEN_MAX && strspn(disk, alphabet) == len ? ENTRY_NAME
											      : ENTRY_ALIEN;
}

/* A name that a directory may have. */
static int plain_check(const char *plain, size_t len)
{
	if (len == 0 || memchr(plain, '\0', len) || memchr(plain, '/', len))
		return -EINVAL;
	if (plain[0] == '.' && (len == 1 || (len == 2 && plain[1] == '.')))
		return -EINVAL;
	return len > NAME_LEN_MAX ? -ENAMETOOLONG : 0;
}

static int own_prefix(const char *plain, size_t len)
{
	return len >= sizeof(OWN_PREFIX) - 1 && has_prefix(plain, OWN_PREFIX);
}

/* LONG_PREFIX || base64url(SHA-256(SIV name)) */
static void long_name(const uint8_t *siv, size_t len, char out[NAME_LEN_MAX + 1])
{
	uint8_t hash[crypto_hash_sha256_BYTES];
	crypto_hash_sha256(hash, siv, len);
	memcpy(out, LONG_PREFIX, PREFIX_LEN);
	sodium_bin2base64(out + PREFIX_LEN, HASH_CHARS + 1, hash, sizeof(hash), B64);
}

int name_encode(const struct store_keys *keys, enum name_mode mode, const uint8_t dir_id[ID_LEN], const char *plain,
		size_t len, struct disk_name *out)
{
	int r = plain_check(plain, len);
	if (r)
		return r;
	out->sidecar[0] = '\0';
	out->sidecar_len = 0;
	if (mode == NAMES_PLAIN) {
		if (own_prefix(plain, len))
			return -EINVAL;
		memcpy(out->name, plain, len);
		out->name[len] = '\0';
		return 0;
	}
	r = siv_seal(keys->names, dir_id, ID_LEN, (const uint8_t *)plain, len, out->sidecar_data);
	if (r)
		return r;
	size_t siv_len = len + TAG_LEN;
	if (len <= SHORT_PLAIN_MAX) {
		sodium_bin2base64(out->name, sizeof(out->name), out->sidecar_data, siv_len, B64);
		return 0;
	}
	out->sidecar_len = siv_len;
	long_name(out->sidecar_data, siv_len, out->name);
	name_sidecar(out->name, out->sidecar);
	return 0;
}

/* Decrypt a SIV name and check what came out. */
static int siv_decode(const struct store_keys *keys, const uint8_t dir_id[ID_LEN], const uint8_t *siv, size_t len,
		      char plain[NAME_LEN_MAX + 1])
{
	if (len <= TAG_LEN || len > NAME_SIDECAR_MAX)
		return -EBADMSG;
	int r = siv_open(keys->names, dir_id, ID_LEN, siv, len, (uint8_t *)plain);
	if (r)
		return r;
	plain[len - TAG_LEN] = '\0';
	return plain_check(plain, len - TAG_LEN) ? -EBADMSG : 0;
}

static int long_decode(const struct store_keys *keys, const uint8_t dir_id[ID_LEN], const char *disk,
		       const struct disk_name *sidecar, char plain[NAME_LEN_MAX + 1])
{
	char want[NAME_LEN_MAX + 1];
	/* A name that would fit must not lie here as a long one: one plain name, one name on disk. */
	if (sidecar->sidecar_len <= SHORT_PLAIN_MAX + TAG_LEN)
		return -EBADMSG;
	long_name(sidecar->sidecar_data, sidecar->sidecar_len, want);
	if (strcmp(want, disk) != 0)
		return -EBADMSG;
	return siv_decode(keys, dir_id, sidecar->sidecar_data, sidecar->sidecar_len, plain);
}

static int plain_decode(const char *disk, char plain[NAME_LEN_MAX + 1])
{
	size_t len = strlen(disk);
	if (plain_check(disk, len) != 0 || own_prefix(disk, len))
		return -EBADMSG;
	memcpy(plain, disk, len + 1);
	return 0;
}

int name_decode(const struct store_keys *keys, enum name_mode mode, const uint8_t dir_id[ID_LEN], const char *disk,
		const uint8_t *sidecar, size_t sidecar_len, char plain[NAME_LEN_MAX + 1])
{
	struct disk_name siv;
	if (mode == NAMES_PLAIN)
		return plain_decode(disk, plain);
	if (name_kind(mode, disk) == ENTRY_LONG) {
		if (!sidecar || sidecar_len > sizeof(siv.sidecar_data))
			return -EBADMSG;
		memcpy(siv.sidecar_data, sidecar, sidecar_len);
		siv.sidecar_len = sidecar_len;
		return long_decode(keys, dir_id, disk, &siv, plain);
	}
	if (name_kind(mode, disk) != ENTRY_NAME)
		return -EBADMSG;
	/* libsodium's decoder is strict: alphabet, no padding, unused bits of the last character zero. */
	if (sodium_base642bin(siv.sidecar_data, sizeof(siv.sidecar_data), disk, strlen(disk), NULL, &siv.sidecar_len,
			      NULL, B64) != 0)
		return -EBADMSG;
	return siv_decode(keys, dir_id, siv.sidecar_data, siv.sidecar_len, plain);
}

void name_sidecar(const char *disk, char sidecar[NAME_LEN_MAX + 1])
{
	sidecar[0] = '\0';
	if (has_prefix(disk, LONG_PREFIX))
		snprintf(sidecar, NAME_LEN_MAX + 1, "%s%s", SIDECAR_PREFIX, disk + PREFIX_LEN);
}
