/* SPDX-License-Identifier: BSD-2-Clause */
/* The list of what was lost: head and entries, each with a MAC under one key of the store. */
#include "crypto/lost.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "crypto/kdf.h"
#include "crypto/keys_private.h"
#include "crypto/magic.h"
#include "crypto/secret.h"

#define MAGIC "BYOKFS1L"
#define FLAG_ALTERED 1u
#define FLAG_OVERFLOWED 2u
#define HEAD_USED 32u
#define HEAD_MACED (LOST_HEAD_LEN - MAC_LEN)
#define ENTRY_MAC_LEN 16u
#define ENTRY_MACED (LOST_ENTRY_LEN - ENTRY_MAC_LEN)

struct lost_key {
	uint8_t key[KEY_LEN];
};

int lost_key_new(const struct store_keys *keys, struct lost_key **out)
{
	const struct kdf_info info = {.purpose = "lost", .store_id = keys->id};
	AUTO(secret_free_at) void *prk = secret_alloc(KEY_LEN);
	struct lost_key *k = secret_alloc(sizeof(*k));
	int r = prk && k ? kdf_extract(NULL, keys->root, KEY_LEN, prk) : -ENOMEM;

	if (!r)
		r = kdf_expand(prk, &info, k->key, KEY_LEN);
	if (r) {
		secret_free(k);
		return r;
	}
	*out = k;
	return 0;
}

void lost_key_free(struct lost_key *k)
{
	secret_free(k);
}

/* Head and entries are of different lengths, so that none can stand for the other. */
static int mac_of(const struct lost_key *k, const uint8_t *buf, size_t len, uint8_t mac[MAC_LEN])
{
	return hmac_sha256(k->key, &(struct hmac_part){buf, len}, 1, mac);
}

/* Do the LEN bytes of BUF have MAC_BYTES of their HMAC behind them? */
static int mac_check(const struct lost_key *k, const uint8_t *buf, size_t len, size_t mac_bytes)
{
	uint8_t good[MAC_LEN];
	int r = mac_of(k, buf, len, good);

	return r ? r : sodium_memcmp(good, buf + len, mac_bytes) == 0 ? 0 : -EBADMSG;
}

int lost_head_write(const struct lost_key *k, const struct lost_head *h, uint8_t buf[LOST_HEAD_LEN])
{
	uint8_t mac[MAC_LEN];

	if (!h->session)
		return -EINVAL;
	memset(buf, 0, LOST_HEAD_LEN);
	memcpy(buf, MAGIC, MAGIC_LEN);
	be64_put(buf + 8, h->session);
	be64_put(buf + 16, h->ino);
	be32_put(buf + 24, (h->altered ? FLAG_ALTERED : 0) | (h->overflowed ? FLAG_OVERFLOWED : 0));
	be32_put(buf + 28, LOST_SLOTS);
	int r = mac_of(k, buf, HEAD_MACED, mac);
	memcpy(buf + HEAD_MACED, mac, MAC_LEN);
	return r;
}

int lost_head_parse(const struct lost_key *k, const uint8_t *buf, size_t len, struct lost_head *out)
{
	int r = len == LOST_HEAD_LEN ? magic_check(buf, len, MAGIC) : -EBADMSG;

	if (!r)
		r = mac_check(k, buf, HEAD_MACED, MAC_LEN);
	if (r)
		return r == -EUCLEAN ? -EBADMSG : r;
	uint32_t flags = be32_get(buf + 24);
	const struct lost_head h = {
		.session = be64_get(buf + 8),
		.ino = be64_get(buf + 16),
		.altered = (flags & FLAG_ALTERED) != 0,
		.overflowed = (flags & FLAG_OVERFLOWED) != 0,
	};
	if ((flags & ~(FLAG_ALTERED | FLAG_OVERFLOWED)) || be32_get(buf + 28) != LOST_SLOTS || !h.session ||
	    !sodium_is_zero(buf + HEAD_USED, HEAD_MACED - HEAD_USED))
		return -EBADMSG;
	*out = h;
	return 0;
}

int lost_entry_write(const struct lost_key *k, const struct lost_entry *e, uint8_t buf[LOST_ENTRY_LEN])
{
	uint8_t mac[MAC_LEN];

	if (e->start >= e->end)
		return -EINVAL;
	memcpy(buf, e->file_id, ID_LEN);
	be64_put(buf + 16, e->ino);
	be64_put(buf + 24, e->start);
	be64_put(buf + 32, e->end);
	be64_put(buf + 40, 0);
	int r = mac_of(k, buf, ENTRY_MACED, mac);
	memcpy(buf + ENTRY_MACED, mac, ENTRY_MAC_LEN);
	return r;
}

int lost_entry_parse(const struct lost_key *k, const uint8_t buf[LOST_ENTRY_LEN], struct lost_entry *out)
{
	if (sodium_is_zero(buf, LOST_ENTRY_LEN))
		return -ENOENT;
	int r = mac_check(k, buf, ENTRY_MACED, ENTRY_MAC_LEN);
	if (r)
		return r;
	struct lost_entry e = {.ino = be64_get(buf + 16), .start = be64_get(buf + 24), .end = be64_get(buf + 32)};
	if (e.start >= e.end || be64_get(buf + 40) != 0)
		return -EBADMSG;
	memcpy(e.file_id, buf, ID_LEN);
	*out = e;
	return 0;
}
