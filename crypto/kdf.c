/* SPDX-License-Identifier: BSD-2-Clause */
/* HMAC by OpenSSL, HKDF in terms of it (libsodium 1.0.18 has none, EVP_KDF has no separate parts), and its info strings. */
#include "crypto/kdf.h"

#include <errno.h>
#include <string.h>

#include "crypto/fetch.h"
#include "crypto/secret.h"

#define PURPOSE_MAX 24u
#define INFO_PREFIX "byokfs v1 "
#define INFO_MAX (sizeof(INFO_PREFIX) - 1 + PURPOSE_MAX + 1 + 2 * ID_LEN + 8 + RECORD_PREFIX_LEN)

static void mac_free(EVP_MAC_CTX **mac)
{
	EVP_MAC_CTX_free(*mac); /* wipes the key */
}

int hmac_sha256(const uint8_t key[KEY_LEN], const struct hmac_part *part, size_t n, uint8_t mac[MAC_LEN])
{
	AUTO(mac_free) EVP_MAC_CTX *ctx = fetch_hmac_sha256();
	if (!ctx || !EVP_MAC_init(ctx, key, KEY_LEN, NULL))
		return -EIO;
	for (size_t i = 0; i < n; i++)
		if (!EVP_MAC_update(ctx, part[i].bytes, part[i].len))
			return -EIO;
	size_t len;
	return EVP_MAC_final(ctx, mac, &len, MAC_LEN) ? 0 : -EIO;
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

/* FORMAT.md "Derivations": "byokfs v1 " purpose NUL store id [id] [u64] [prefix]. */
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
	if (info->prefix)
		info_put(buf, &len, info->prefix, RECORD_PREFIX_LEN);
	return len;
}

int kdf_expand(const uint8_t prk[KEY_LEN], const struct kdf_info *info, uint8_t *out, size_t len)
{
	uint8_t text[INFO_MAX], t[MAC_LEN];
	size_t text_len = info_write(info, text);
	int r = 0;
	for (size_t done = 0; done < len && !r;) {
		uint8_t count = (uint8_t)(done / MAC_LEN + 1);
		const struct hmac_part part[] = {{t, done ? MAC_LEN : 0}, {text, text_len}, {&count, 1}};
		r = hmac_sha256(prk, part, ARRAY_LEN(part), t);
		size_t n = len - done < MAC_LEN ? len - done : MAC_LEN;
		if (!r)
			memcpy(out + done, t, n);
		done += n;
	}
	secret_wipe(t, sizeof(t));
	if (r)
		secret_wipe(out, len);
	return r;
}
