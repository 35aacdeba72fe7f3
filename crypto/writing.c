/* SPDX-License-Identifier: BSD-2-Clause */
/* The list of files being written: head and entries, each with a MAC under a key of its session. */
#include "crypto/writing.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "crypto/kdf.h"
#include "crypto/keys_private.h"
#include "crypto/magic.h"
#include "crypto/secret.h"

#define MAGIC "BYOKFS1O"
#define FLAG_ALL 1u
#define FLAG_LOST 2u
#define HEAD_USED 72u
#define HEAD_MACED (WRITING_HEAD_LEN - MAC_LEN)
#define ENTRY_MAC_LEN 16u
#define ENTRY_MACED (WRITING_ENTRY_LEN - ENTRY_MAC_LEN)

struct writing_key {
	uint8_t key[KEY_LEN];
};

int writing_key_new(const struct store_keys *keys, uint64_t session, struct writing_key **out)
{
	const struct kdf_info info = {
		.purpose = "writing", .store_id = keys->id, .number = session, .has_number = true};
	AUTO(secret_free_at) void *prk = secret_alloc(KEY_LEN);
	struct writing_key *k = secret_alloc(sizeof(*k));
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

void writing_key_free(struct writing_key *k)
{
	secret_free(k);
}

static int mac_of(const struct writing_key *k, const uint8_t *buf, size_t len, uint8_t mac[MAC_LEN])
{
	return hmac_sha256(k->key, &(struct hmac_part){buf, len}, 1, mac);
}

/* Do the LEN bytes of BUF have MAC_BYTES of their HMAC behind them? */
static int mac_check(const struct writing_key *k, const uint8_t *buf, size_t len, size_t mac_bytes)
{
	uint8_t good[MAC_LEN];
	int r = mac_of(k, buf, len, good);

	return r ? r : sodium_memcmp(good, buf + len, mac_bytes) == 0 ? 0 : -EBADMSG;
}

static bool head_ok(const struct writing_head *h)
{
	return h->session && h->from <= h->to && h->begun <= INT64_MAX && h->to <= INT64_MAX;
}

int writing_head_write(const struct writing_key *k, const struct writing_head *h, uint8_t buf[WRITING_HEAD_LEN])
{
	uint8_t mac[MAC_LEN];

	if (!head_ok(h))
		return -EINVAL;
	memset(buf, 0, WRITING_HEAD_LEN);
	memcpy(buf, MAGIC, MAGIC_LEN);
	be64_put(buf + 8, h->session);
	memcpy(buf + 16, h->boot_id, ID_LEN);
	be64_put(buf + 32, h->ino);
	be64_put(buf + 40, h->begun);
	be64_put(buf + 48, h->from);
	be64_put(buf + 56, h->to);
	be32_put(buf + 64, (h->all ? FLAG_ALL : 0) | (h->lost ? FLAG_LOST : 0));
	be32_put(buf + 68, WRITING_SLOTS);
	int r = mac_of(k, buf, HEAD_MACED, mac);
	memcpy(buf + HEAD_MACED, mac, MAC_LEN);
	return r;
}

int writing_head_peek(const uint8_t *buf, size_t len, uint64_t *session)
{
	int r = len == WRITING_HEAD_LEN ? magic_check(buf, len, MAGIC) : -EUCLEAN;

	if (r)
		return r;
	*session = be64_get(buf + 8);
	return *session ? 0 : -EUCLEAN;
}

int writing_head_parse(const struct writing_key *k, const uint8_t *buf, size_t len, struct writing_head *out)
{
	if (len != WRITING_HEAD_LEN || memcmp(buf, MAGIC, MAGIC_LEN) != 0)
		return -EBADMSG;
	int r = mac_check(k, buf, HEAD_MACED, MAC_LEN);
	if (r)
		return r;
	uint32_t flags = be32_get(buf + 64);
	*out = (struct writing_head){
		.session = be64_get(buf + 8),
		.ino = be64_get(buf + 32),
		.begun = be64_get(buf + 40),
		.from = be64_get(buf + 48),
		.to = be64_get(buf + 56),
		.all = (flags & FLAG_ALL) != 0,
		.lost = (flags & FLAG_LOST) != 0,
	};
	memcpy(out->boot_id, buf + 16, ID_LEN);
	bool known = !(flags & ~(FLAG_ALL | FLAG_LOST)) && be32_get(buf + 68) == WRITING_SLOTS;
	return known && head_ok(out) && sodium_is_zero(buf + HEAD_USED, HEAD_MACED - HEAD_USED) ? 0 : -EBADMSG;
}

int writing_entry_write(const struct writing_key *k, const struct writing_entry *e, uint8_t buf[WRITING_ENTRY_LEN])
{
	uint8_t mac[MAC_LEN];

	if (e->kind < WRITING_WRITTEN || e->kind > WRITING_BACK || e->time > INT64_MAX)
		return -EINVAL;
	be32_put(buf, (uint32_t)e->kind);
	be32_put(buf + 4, 0);
	memcpy(buf + 8, e->file_id, ID_LEN);
	be64_put(buf + 24, e->ino);
	be64_put(buf + 32, e->time);
	be64_put(buf + 40, e->value);
	int r = mac_of(k, buf, ENTRY_MACED, mac);
	memcpy(buf + ENTRY_MACED, mac, ENTRY_MAC_LEN);
	return r;
}

int writing_entry_parse(const struct writing_key *k, const uint8_t buf[WRITING_ENTRY_LEN], struct writing_entry *out)
{
	if (sodium_is_zero(buf, WRITING_ENTRY_LEN))
		return -ENOENT;
	int r = mac_check(k, buf, ENTRY_MACED, ENTRY_MAC_LEN);
	if (r)
		return r;
	uint32_t kind = be32_get(buf);
	if (kind < WRITING_WRITTEN || kind > WRITING_BACK || be32_get(buf + 4) != 0 || be64_get(buf + 32) > INT64_MAX)
		return -EBADMSG;
	*out = (struct writing_entry){.kind = (enum writing_kind)kind,
				      .ino = be64_get(buf + 24),
				      .time = be64_get(buf + 32),
				      .value = be64_get(buf + 40)};
	memcpy(out->file_id, buf + 8, ID_LEN);
	return 0;
}

uint64_t writing_place(uint64_t dir_ino, const char *disk_name)
{
	uint8_t hash[crypto_hash_sha256_BYTES], text[8 + WRITING_PLACE_NAME_MAX];
	size_t len = strnlen(disk_name, WRITING_PLACE_NAME_MAX);

	be64_put(text, dir_ino);
	memcpy(text + 8, disk_name, len);
	crypto_hash_sha256(hash, text, 8 + len);
	uint64_t place = be64_get(hash);
	return place ? place : 1;
}
