/* SPDX-License-Identifier: BSD-2-Clause */
/* A file's keys: its DEK, what is derived from it, and the two ways in which it is wrapped. */
#include <errno.h>
#include <sodium.h>
#include <stdbool.h>
#include <string.h>

#include "crypto/aead.h"
#include "crypto/kdf.h"
#include "crypto/keys_private.h"

#define LABEL_LEN 8u
#define LABEL_SLOT "BYOKFS1K"
#define LABEL_DEK "BYOKFS1D"
#define LABEL_WRAP "BYOKFS1W"
#define WRAP_AAD_LEN (LABEL_LEN + 2 * ID_LEN + 4u)

static void file_keys_free_at(struct file_keys **keys)
{
	file_keys_free(*keys);
}

static int file_derive(const struct file_keys *f, const struct kdf_info *what, uint8_t key[KEY_LEN])
{
	struct kdf_info info = *what;
	info.store_id = f->store_id;
	info.file_id = f->id;
	return kdf_expand(f->prk, &info, key, KEY_LEN);
}

static int content_derive(const struct file_keys *f, uint64_t segment, uint8_t key[KEY_LEN])
{
	return file_derive(f, &(struct kdf_info){.purpose = "content", .number = segment, .has_number = true}, key);
}

int file_keys_from(const struct store_keys *keys, const uint8_t file_id[ID_LEN], const uint8_t dek[KEY_LEN],
		   struct file_keys **out)
{
	AUTO(file_keys_free_at) struct file_keys *f = secret_alloc(sizeof(*f));
	if (!f)
		return -ENOMEM;
	f->cache = &f->cache_space;
	pthread_mutex_init(&f->cache->lock, NULL);
	memcpy(f->dek, dek, KEY_LEN);
	memcpy(f->id, file_id, ID_LEN);
	memcpy(f->store_id, keys->id, ID_LEN);
	/* The root key's salt: a DEK that a stranger wrapped for us gives keys that he cannot compute. */
	int r = kdf_extract(keys->dek_salt, dek, KEY_LEN, f->prk);
	if (!r)
		r = file_derive(f, &(struct kdf_info){.purpose = "header mac"}, f->header_mac);
	if (!r && keys->suite == SUITE_1)
		r = content_derive(f, 0, f->content0);
	if (r)
		return r;
	*out = f;
	f = NULL;
	return 0;
}

int file_keys_new(const struct store_keys *keys, const uint8_t file_id[ID_LEN], struct file_keys **out)
{
	AUTO(secret_free_at) void *dek = secret_alloc(KEY_LEN);
	if (!dek)
		return -ENOMEM;
	random_bytes(dek, KEY_LEN);
	return file_keys_from(keys, file_id, dek, out);
}

void file_keys_free(struct file_keys *keys)
{
	if (!keys)
		return;
	pthread_mutex_destroy(&keys->cache->lock);
	secret_free(keys);
}

const uint8_t *file_keys_id(const struct file_keys *keys)
{
	return keys->id;
}

static bool cache_find(struct segment_cache *c, uint64_t segment, uint8_t key[KEY_LEN])
{
	for (size_t i = 0; i < SEGMENTS_CACHED; i++) {
		if (c->segment[i] != segment)
			continue;
		memcpy(key, c->key[i], KEY_LEN);
		return true;
	}
	return false;
}

int file_content_key(const struct file_keys *f, uint64_t segment, uint8_t key[KEY_LEN])
{
	if (segment == 0) {
		memcpy(key, f->content0, KEY_LEN);
		return 0;
	}
	struct segment_cache *c = f->cache;
	pthread_mutex_lock(&c->lock);
	int r = 0;
	if (!cache_find(c, segment, key)) {
		r = content_derive(f, segment, key);
		if (!r) {
			c->segment[c->next] = segment;
			memcpy(c->key[c->next], key, KEY_LEN);
			c->next = (c->next + 1) % SEGMENTS_CACHED;
		}
	}
	pthread_mutex_unlock(&c->lock);
	return r;
}

int file_record_key(const struct file_keys *f, const uint8_t prefix[RECORD_PREFIX_LEN], uint8_t key[KEY_LEN])
{
	return file_derive(f, &(struct kdf_info){.purpose = "record", .prefix = prefix}, key);
}

static void payload_write(const char label[LABEL_LEN + 1], const uint8_t key[KEY_LEN], const uint8_t store_id[ID_LEN],
			  const uint8_t *file_id, uint8_t payload[PAYLOAD_LEN])
{
	memcpy(payload, label, LABEL_LEN);
	memcpy(payload + 8, key, KEY_LEN);
	memcpy(payload + 40, store_id, ID_LEN);
	memset(payload + 56, 0, ID_LEN);
	if (file_id)
		memcpy(payload + 56, file_id, ID_LEN);
}

/* Whether PAYLOAD is of this kind and for these ids; all in constant time, since a key lies between them. */
static int payload_check(const char label[LABEL_LEN + 1], const uint8_t *payload, size_t len,
			 const uint8_t store_id[ID_LEN], const uint8_t file_id[ID_LEN])
{
	if (len != PAYLOAD_LEN)
		return -EBADMSG;
	int bad = sodium_memcmp(payload, label, LABEL_LEN);
	bad |= sodium_memcmp(payload + 40, store_id, ID_LEN);
	bad |= sodium_memcmp(payload + 56, file_id, ID_LEN);
	return bad ? -EBADMSG : 0;
}

void slot_payload_write(const uint8_t secret[KEY_LEN], const uint8_t store_id[ID_LEN], uint8_t payload[PAYLOAD_LEN])
{
	payload_write(LABEL_SLOT, secret, store_id, NULL, payload);
}

int slot_payload_parse(const uint8_t *payload, size_t len, const uint8_t store_id[ID_LEN], uint8_t secret[KEY_LEN])
{
	static const uint8_t no_file[ID_LEN];
	int r = payload_check(LABEL_SLOT, payload, len, store_id, no_file);
	if (r)
		secret_wipe(secret, KEY_LEN);
	else
		memcpy(secret, payload + 8, KEY_LEN);
	return r;
}

int dek_payload_write(const struct store_keys *store, const struct file_keys *file, uint8_t payload[PAYLOAD_LEN])
{
	if (sodium_memcmp(store->id, file->store_id, ID_LEN) != 0)
		return -EINVAL;
	payload_write(LABEL_DEK, file->dek, store->id, file->id, payload);
	return 0;
}

int dek_payload_parse(const struct store_keys *store, const uint8_t file_id[ID_LEN], const uint8_t *payload, size_t len,
		      struct file_keys **out)
{
	int r = payload_check(LABEL_DEK, payload, len, store->id, file_id);
	return r ? r : file_keys_from(store, file_id, payload + 8, out);
}

static void wrap_aad(const struct store_keys *store, const uint8_t file_id[ID_LEN], uint32_t generation,
		     uint8_t aad[WRAP_AAD_LEN])
{
	memcpy(aad, LABEL_WRAP, LABEL_LEN);
	memcpy(aad + 8, store->id, ID_LEN);
	memcpy(aad + 24, file_id, ID_LEN);
	be32_put(aad + 40, generation);
}

/* What wraps the DEK of FILE_ID: the store key of GENERATION, or in suite 2 a key of the file's own below it. */
static int wrap_key(const struct store_keys *store, const uint8_t file_id[ID_LEN], uint32_t generation,
		    uint8_t key[KEY_LEN])
{
	struct kdf_info info = {.purpose = "dek wrap", .store_id = store->id, .file_id = file_id};
	const uint8_t *store_key = store_key_find(store, generation);
	if (!store_key)
		return -ENOKEY;
	if (store->suite != SUITE_1)
		return kdf_expand(store_key, &info, key, KEY_LEN);
	memcpy(key, store_key, KEY_LEN);
	return 0;
}

int dek_wrap(const struct store_keys *store, const struct file_keys *file, uint8_t wrapped[DEK_WRAP_LEN])
{
	AUTO(secret_free_at) void *payload = secret_alloc(PAYLOAD_LEN);
	if (!payload)
		return -ENOMEM;
	uint8_t aad[WRAP_AAD_LEN], key[KEY_LEN];
	wrap_aad(store, file->id, store->newest, aad);
	int r = dek_payload_write(store, file, payload);
	if (!r)
		r = wrap_key(store, file->id, store->newest, key);
	if (!r)
		r = aead_seal(&(struct aead){key, aad, sizeof(aad)}, payload, PAYLOAD_LEN, wrapped);
	secret_wipe(key, sizeof(key));
	return r;
}

int dek_unwrap(const struct store_keys *store, uint32_t generation, const uint8_t file_id[ID_LEN],
	       const uint8_t wrapped[DEK_WRAP_LEN], struct file_keys **out)
{
	AUTO(secret_free_at) void *payload = secret_alloc(PAYLOAD_LEN);
	if (!payload)
		return -ENOMEM;
	uint8_t aad[WRAP_AAD_LEN], key[KEY_LEN];
	wrap_aad(store, file_id, generation, aad);
	int r = wrap_key(store, file_id, generation, key);
	if (!r)
		r = aead_open(&(struct aead){key, aad, sizeof(aad)}, wrapped, DEK_WRAP_LEN, payload);
	secret_wipe(key, sizeof(key));
	return r ? r : dek_payload_parse(store, file_id, payload, PAYLOAD_LEN, out);
}
