/* SPDX-License-Identifier: BSD-2-Clause */
/* HMAC over one digest object: a third of the cost of EVP_MAC, and opening a file takes four of them. */
#include "crypto/kdf.h"

#include <errno.h>
#include <string.h>

#include "crypto/fetch.h"
#include "crypto/secret.h"

#define SHA256_BLOCK 64u
#define PURPOSE_MAX 24u
#define INFO_PREFIX "byokfs v1 "
#define INFO_MAX (sizeof(INFO_PREFIX) - 1 + PURPOSE_MAX + 1 + 2 * ID_LEN + 8)

static void md_free(EVP_MD_CTX **md)
{
	EVP_MD_CTX_free(*md);
}

/* One of HMAC's two passes: digest of (key xor PAD) || parts. */
static int hmac_pass(EVP_MD_CTX *md, const uint8_t padded_key[SHA256_BLOCK], const struct hmac_part *part, size_t n,
		     uint8_t out[MAC_LEN])
{
	unsigned len = MAC_LEN;
	if (!EVP_DigestInit_ex2(md, fetch_sha256(), NULL) || !EVP_DigestUpdate(md, padded_key, SHA256_BLOCK))
		return -EIO;
	for (size_t i = 0; i < n; i++)
		if (!EVP_DigestUpdate(md, part[i].bytes, part[i].len))
			return -EIO;
	return EVP_DigestFinal_ex(md, out, &len) ? 0 : -EIO;
}

int hmac_sha256(const uint8_t key[KEY_LEN], const struct hmac_part *part, size_t n, uint8_t mac[MAC_LEN])
{
	AUTO(md_free) EVP_MD_CTX *md = EVP_MD_CTX_new();
	if (!md)
		return -ENOMEM;
	if (!fetch_sha256())
		return -EIO;
	uint8_t pad[SHA256_BLOCK], inner[MAC_LEN];
	memset(pad, 0x36, sizeof(pad));
	for (size_t i = 0; i < KEY_LEN; i++)
		pad[i] ^= key[i];
	int rc = hmac_pass(md, pad, part, n, inner);
	for (size_t i = 0; i < SHA256_BLOCK; i++)
		pad[i] ^= 0x36 ^ 0x5c;
	if (!rc)
		rc = hmac_pass(md, pad, &(struct hmac_part){inner, sizeof(inner)}, 1, mac);
	secret_wipe(pad, sizeof(pad));
	secret_wipe(inner, sizeof(inner));
	return rc;
}

int kdf_extract(const uint8_t salt[KEY_LEN], const uint8_t *ikm, size_t len, uint8_t prk[KEY_LEN])
{
	static const uint8_t no_salt[KEY_LEN];
	return hmac_sha256(salt ? salt : no_salt, &(struct hmac_part){ikm, len}, 1, prk);
}

static void info_put(uint8_t *buf, size_t *len, const void *p, size_t n)
{
	memcpy(buf + *len, p, n);
	*len += n;
}

/* FORMAT.md "Derivations": prefix purpose NUL store id [file id] [u64]. */
static size_t info_write(const struct kdf_info *info, uint8_t buf[INFO_MAX])
{
	size_t len = 0;
	uint8_t number[8];
	info_put(buf, &len, INFO_PREFIX, sizeof(INFO_PREFIX) - 1);
	info_put(buf, &len, info->purpose, strnlen(info->purpose, PURPOSE_MAX));
	info_put(buf, &len, "", 1);
	if (info->store_id)
		info_put(buf, &len, info->store_id, ID_LEN);
	if (info->file_id)
		info_put(buf, &len, info->file_id, ID_LEN);
	be64_put(number, info->number);
	if (info->has_number)
		info_put(buf, &len, number, sizeof(number));
	return len;
}

int kdf_expand(const uint8_t prk[KEY_LEN], const struct kdf_info *info, uint8_t *out, size_t len)
{
	uint8_t text[INFO_MAX], t[MAC_LEN];
	size_t text_len = info_write(info, text);
	int rc = 0;
	for (size_t done = 0; done < len && !rc;) {
		uint8_t count = (uint8_t)(done / MAC_LEN + 1);
		const struct hmac_part part[] = {{t, done ? MAC_LEN : 0}, {text, text_len}, {&count, 1}};
		rc = hmac_sha256(prk, part, ARRAY_LEN(part), t);
		size_t n = len - done < MAC_LEN ? len - done : MAC_LEN;
		if (!rc)
			memcpy(out + done, t, n);
		done += n;
	}
	secret_wipe(t, sizeof(t));
	if (rc)
		secret_wipe(out, len);
	return rc;
}
