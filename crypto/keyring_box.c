/* SPDX-License-Identifier: BSD-2-Clause */
/* The keyring's box: root key and store keys under the slot secrets, with every other byte as associated data. */
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/kdf.h"
#include "crypto/keyring_private.h"
#include "crypto/keys_private.h"

static void store_keys_free_at(struct store_keys **keys)
{
	store_keys_free(*keys);
}

/* The box's plain bytes can be longer than a secret slot: guarded pages of their own. */
static void box_free(uint8_t **plain)
{
	sodium_free(*plain);
}

static void bytes_free(uint8_t **bytes)
{
	free(*bytes);
}

/* POLICY_ANY: one secret, the same in each slot; POLICY_ALL: all of them in slot order. */
static int box_key(const struct keyring *k, const uint8_t *secrets, uint8_t key[KEY_LEN])
{
	size_t len = k->policy == POLICY_ALL ? (size_t)k->n_slots * KEY_LEN : KEY_LEN;
	AUTO(secret_free_at) void *prk = secret_alloc(KEY_LEN);
	if (!prk)
		return -ENOMEM;
	int r = kdf_extract(NULL, secrets, len, prk);
	return r ? r : kdf_expand(prk, &(struct kdf_info){.purpose = "box", .store_id = k->store_id}, key, KEY_LEN);
}

/* Root key, count, then {generation, key} with rising generations. */
static int box_parse(const uint8_t *plain, size_t len, enum suite suite, struct store_keys **out)
{
	uint64_t n = be32_get(plain + KEY_LEN);
	if (n == 0 || n > GENERATION_MAX || len != (1 + n) * KEYRING_BOX_ENTRY)
		return -EBADMSG;
	AUTO(store_keys_free_at) struct store_keys *keys = NULL;
	int r = store_keys_new(plain, suite, &keys);
	if (r)
		return r;
	for (uint64_t i = 1; i <= n; i++) {
		const uint8_t *entry = plain + i * KEYRING_BOX_ENTRY;
		uint32_t generation = be32_get(entry);
		if (generation <= store_keys_generation(keys))
			return -EBADMSG;
		r = store_keys_add(keys, generation, entry + 4);
		if (r)
			return r;
	}
	*out = keys;
	keys = NULL;
	return 0;
}

int keyring_open(const struct keyring *k, const uint8_t *secrets, struct store_keys **out)
{
	if (!k->bytes || k->len < KEYRING_FIXED_LEN + KEYRING_BOX_MIN)
		return -EBADMSG;
	size_t box_len = be32_get(k->bytes + 92), aad_len = k->len - box_len;
	AUTO(secret_free_at) void *key = secret_alloc(KEY_LEN);
	AUTO(box_free) uint8_t *plain = sodium_malloc(box_len - AEAD_OVERHEAD);
	if (!key || !plain)
		return -ENOMEM;
	int r = box_key(k, secrets, key);
	if (!r)
		r = aead_open(&(struct aead){key, k->bytes, aad_len}, k->bytes + aad_len, box_len, plain);
	if (r)
		return r;
	AUTO(store_keys_free_at) struct store_keys *keys = NULL;
	r = box_parse(plain, box_len - AEAD_OVERHEAD, k->layout.suite, &keys);
	if (r)
		return r;
	if (sodium_memcmp(store_keys_id(keys), k->store_id, ID_LEN) != 0)
		return -EBADMSG;
	*out = keys;
	keys = NULL;
	return 0;
}

static size_t slot_bytes(const struct keyring_slot *s)
{
	return KEYRING_SLOT_FIXED_LEN + strlen(s->ref) + strlen(s->version) + s->wrapped_len;
}

static uint8_t *slot_write(const struct keyring_slot *s, uint8_t *p)
{
	size_t ref_len = strlen(s->ref), version_len = strlen(s->version);
	be32_put(p, s->number);
	be16_put(p + 4, s->algorithm);
	be16_put(p + 6, (uint16_t)ref_len);
	be16_put(p + 8, (uint16_t)version_len);
	be16_put(p + 10, (uint16_t)s->wrapped_len);
	be32_put(p + 12, 0);
	p += KEYRING_SLOT_FIXED_LEN;
	memcpy(p, s->ref, ref_len);
	memcpy(p + ref_len, s->version, version_len);
	memcpy(p + ref_len + version_len, s->wrapped, s->wrapped_len);
	return p + ref_len + version_len + s->wrapped_len;
}

static void fixed_write(const struct keyring *k, uint8_t buf[KEYRING_FIXED_LEN])
{
	memset(buf, 0, KEYRING_FIXED_LEN);
	memcpy(buf, KEYRING_MAGIC, 8);
	be16_put(buf + 8, KEYRING_FORMAT_MAJOR);
	be16_put(buf + 10, KEYRING_FORMAT_MAJOR);
	be64_put(buf + 16, k->incompat);
	be64_put(buf + 24, k->ro_compat);
	be64_put(buf + 32, k->compat);
	be64_put(buf + 40, k->sequence);
	memcpy(buf + 48, k->store_id, ID_LEN);
	be32_put(buf + 64, k->layout.header_len);
	be32_put(buf + 68, k->layout.block_len);
	be16_put(buf + 72, (uint16_t)k->layout.suite);
	be16_put(buf + 74, (uint16_t)k->wrap_type);
	be16_put(buf + 76, (uint16_t)k->name_mode);
	be16_put(buf + 78, (uint16_t)k->policy);
	be32_put(buf + 80, k->next_number);
	be32_put(buf + 84, k->n_slots);
}

/* The entry with the lowest generation above AFTER: pages hold them in the order in which they were added. */
static const struct generation *generation_above(const struct store_keys *keys, uint32_t after)
{
	const struct generation *best = NULL;
	for (const struct generation_page *p = keys->generations; p; p = p->next)
		for (uint32_t i = 0; i < p->n; i++)
			if (p->entry[i].number > after && (!best || p->entry[i].number < best->number))
				best = &p->entry[i];
	return best;
}

static void box_write(const struct store_keys *keys, uint8_t *plain)
{
	memcpy(plain, keys->root, KEY_LEN);
	be32_put(plain + KEY_LEN, keys->n_generations);
	plain += KEYRING_BOX_ENTRY;
	for (const struct generation *g = generation_above(keys, 0); g; g = generation_above(keys, g->number)) {
		be32_put(plain, g->number);
		memcpy(plain + 4, g->key, KEY_LEN);
		plain += KEYRING_BOX_ENTRY;
	}
}

static int seal_check(const struct keyring *k, const struct store_keys *keys)
{
	if (keyring_fields_check(k) != 0 || k->layout.suite != keys->suite ||
	    (k->incompat & ~FEATURES_INCOMPAT_KNOWN) != 0 || keys->n_generations == 0)
		return -EINVAL;
	for (uint32_t i = 0; i < k->n_slots; i++)
		if (keyring_slot_check(k, i) != 0)
			return -EINVAL;
	return sodium_memcmp(store_keys_id(keys), k->store_id, ID_LEN) == 0 ? 0 : -EINVAL;
}

int keyring_seal(struct keyring *k, const uint8_t *secrets, const struct store_keys *keys)
{
	int r = seal_check(k, keys);
	if (r)
		return r;
	size_t aad_len = KEYRING_FIXED_LEN, plain_len = (size_t)(1 + keys->n_generations) * KEYRING_BOX_ENTRY;
	for (uint32_t i = 0; i < k->n_slots; i++)
		aad_len += slot_bytes(&k->slot[i]);
	size_t box_len = plain_len + AEAD_OVERHEAD;
	AUTO(secret_free_at) void *key = secret_alloc(KEY_LEN);
	AUTO(box_free) uint8_t *plain = sodium_malloc(plain_len);
	AUTO(bytes_free) uint8_t *bytes = malloc(aad_len + box_len);
	if (!key || !plain || !bytes)
		return -ENOMEM;
	fixed_write(k, bytes);
	be32_put(bytes + 12, (uint32_t)(aad_len + box_len));
	be32_put(bytes + 88, (uint32_t)(aad_len - KEYRING_FIXED_LEN));
	be32_put(bytes + 92, (uint32_t)box_len);
	uint8_t *at = bytes + KEYRING_FIXED_LEN;
	for (uint32_t i = 0; i < k->n_slots; i++)
		at = slot_write(&k->slot[i], at);
	box_write(keys, plain);
	r = box_key(k, secrets, key);
	if (!r)
		r = aead_seal(&(struct aead){key, bytes, aad_len}, plain, plain_len, at);
	if (r)
		return r;
	free(k->bytes);
	k->bytes = bytes;
	k->len = aad_len + box_len;
	bytes = NULL;
	return 0;
}

int keyring_new_keys(struct store_keys **out)
{
	AUTO(secret_free_at) void *key = secret_alloc(KEY_LEN);
	AUTO(store_keys_free_at) struct store_keys *keys = NULL;
	if (!key)
		return -ENOMEM;
	random_bytes(key, KEY_LEN);
	int r = store_keys_new(key, SUITE_2, &keys);
	if (r)
		return r;
	random_bytes(key, KEY_LEN);
	r = store_keys_add(keys, 1, key);
	if (r)
		return r;
	*out = keys;
	keys = NULL;
	return 0;
}
