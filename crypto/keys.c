/* SPDX-License-Identifier: BSD-2-Clause */
/* The store's keys: everything derived from the root key, and the store keys by generation. */
#include "crypto/keys.h"

#include <errno.h>
#include <sodium.h>
#include <stdbool.h>
#include <string.h>

#include "crypto/kdf.h"
#include "crypto/keys_private.h"

void random_bytes(void *p, size_t n)
{
	randombytes_buf(p, n);
}

static void store_keys_free_at(struct store_keys **keys)
{
	store_keys_free(*keys);
}

static int derive(struct store_keys *k, const uint8_t prk[KEY_LEN], const char *purpose, uint8_t *out, size_t len)
{
	return kdf_expand(prk, &(struct kdf_info){.purpose = purpose, .store_id = k->id}, out, len);
}

static int derive_siv(struct store_keys *k, const uint8_t prk[KEY_LEN], const char *purpose, struct siv **out)
{
	AUTO(secret_free_at) void *key = secret_alloc(SIV_KEY_LEN);
	if (!key)
		return -ENOMEM;
	int r = derive(k, prk, purpose, key, SIV_KEY_LEN);
	return r ? r : siv_new(key, out);
}

/* FORMAT.md "Derivations": the store id first, it goes into all others. */
static int derive_all(struct store_keys *k, const uint8_t prk[KEY_LEN])
{
	int r = kdf_expand(prk, &(struct kdf_info){.purpose = "store id"}, k->id, ID_LEN);
	if (r)
		return r;
	const struct {
		const char *purpose;
		uint8_t *key;
	} list[] = {
		{"dek salt", k->dek_salt},
		{"directory id", k->mac[MAC_DIRID - 1]},
		{"session", k->mac[MAC_SESSION - 1]},
		{"binding", k->mac[MAC_BINDING - 1]},
		{"xattr values", k->xattr_values},
		{"special objects", k->special},
	};
	for (size_t i = 0; i < ARRAY_LEN(list) && !r; i++)
		r = derive(k, prk, list[i].purpose, list[i].key, KEY_LEN);
	if (!r)
		r = derive_siv(k, prk, "names", &k->names);
	if (!r)
		r = derive_siv(k, prk, "xattr names", &k->xattr_names);
	return r || k->suite == SUITE_1 ? r : derive_siv(k, prk, "xattr values siv", &k->xattr_siv);
}

int store_keys_new(const uint8_t root_key[KEY_LEN], enum suite suite, struct store_keys **out)
{
	if (suite != SUITE_1 && suite != SUITE_2)
		return -EINVAL;
	AUTO(store_keys_free_at) struct store_keys *k = secret_alloc(sizeof(*k));
	AUTO(secret_free_at) void *prk = secret_alloc(KEY_LEN);
	if (!k || !prk)
		return -ENOMEM;
	memcpy(k->root, root_key, KEY_LEN);
	k->suite = suite;
	int r = kdf_extract(NULL, root_key, KEY_LEN, prk);
	if (!r)
		r = derive_all(k, prk);
	if (r)
		return r;
	*out = k;
	k = NULL;
	return 0;
}

void store_keys_free(struct store_keys *keys)
{
	if (!keys)
		return;
	siv_free(keys->names);
	siv_free(keys->xattr_names);
	siv_free(keys->xattr_siv);
	for (struct generation_page *p = keys->generations; p;) {
		struct generation_page *next = p->next;
		secret_free(p);
		p = next;
	}
	secret_free(keys);
}

const uint8_t *store_key_find(const struct store_keys *keys, uint32_t generation)
{
	for (const struct generation_page *p = keys->generations; p; p = p->next)
		for (uint32_t i = 0; i < p->n; i++)
			if (p->entry[i].number == generation)
				return p->entry[i].key;
	return NULL;
}

int store_keys_add(struct store_keys *keys, uint32_t generation, const uint8_t key[KEY_LEN])
{
	if (generation == 0 || keys->n_generations >= GENERATION_MAX)
		return -EINVAL;
	if (store_key_find(keys, generation))
		return -EEXIST;
	struct generation_page *p = keys->generations;
	if (!p || p->n == GENERATIONS_PER_PAGE) {
		p = secret_alloc(sizeof(*p));
		if (!p)
			return -ENOMEM;
		p->next = keys->generations;
		keys->generations = p;
	}
	p->entry[p->n].number = generation;
	memcpy(p->entry[p->n].key, key, KEY_LEN);
	p->n++;
	keys->n_generations++;
	if (generation > keys->newest)
		keys->newest = generation;
	return 0;
}

uint32_t store_keys_generation(const struct store_keys *keys)
{
	return keys->newest;
}

enum suite store_keys_suite(const struct store_keys *keys)
{
	return keys->suite;
}

const uint8_t *store_keys_id(const struct store_keys *keys)
{
	return keys->id;
}

bool store_keys_equal(const struct store_keys *a, const struct store_keys *b)
{
	if (a->suite != b->suite || a->n_generations != b->n_generations ||
	    sodium_memcmp(a->root, b->root, KEY_LEN) != 0)
		return false;
	bool same = true;
	for (const struct generation_page *p = a->generations; p; p = p->next) {
		for (uint32_t i = 0; i < p->n; i++) {
			const uint8_t *other = store_key_find(b, p->entry[i].number);
			if (!other)
				return false;
			same &= sodium_memcmp(p->entry[i].key, other, KEY_LEN) == 0;
		}
	}
	return same;
}

int special_key(const struct store_keys *keys, const uint8_t object_id[ID_LEN], uint8_t key[KEY_LEN])
{
	struct kdf_info info = {.purpose = "special object", .store_id = keys->id, .file_id = object_id};
	if (keys->suite != SUITE_1)
		return kdf_expand(keys->special, &info, key, KEY_LEN);
	memcpy(key, keys->special, KEY_LEN);
	return 0;
}

/* The box is one, so the order of its keys is too. */
int store_keys_commit(const struct store_keys *keys, const uint8_t salt[KEY_LEN], uint8_t out[MAC_LEN])
{
	uint8_t mac[MAC_LEN], number[4];
	int r = hmac_sha256(salt, &(struct hmac_part){keys->root, KEY_LEN}, 1, mac);

	for (const struct generation_page *p = keys->generations; p && !r; p = p->next) {
		for (uint32_t i = 0; i < p->n && !r; i++) {
			be32_put(number, p->entry[i].number);
			const struct hmac_part part[] = {
				{mac, sizeof(mac)}, {number, sizeof(number)}, {p->entry[i].key, KEY_LEN}};
			r = hmac_sha256(salt, part, ARRAY_LEN(part), mac);
		}
	}
	if (!r)
		memcpy(out, mac, MAC_LEN);
	return r;
}

int store_mac(const struct store_keys *keys, enum mac_purpose purpose, const uint8_t *data, size_t len,
	      uint8_t mac[MAC_LEN])
{
	if ((unsigned)purpose - 1 >= MAC_PURPOSES)
		return -EINVAL;
	return hmac_sha256(keys->mac[purpose - 1], &(struct hmac_part){data, len}, 1, mac);
}

int store_mac_check(const struct store_keys *keys, enum mac_purpose purpose, const uint8_t *data, size_t len,
		    const uint8_t mac[MAC_LEN])
{
	uint8_t good[MAC_LEN];
	int r = store_mac(keys, purpose, data, len, good);
	if (!r && sodium_memcmp(good, mac, MAC_LEN) != 0)
		r = -EBADMSG;
	secret_wipe(good, sizeof(good));
	return r;
}
