/* SPDX-License-Identifier: BSD-2-Clause */
/* Bytes of the embedded keystore's files (PROVIDERS.md "Files of a keystore"): parse, seal, open. */
#include "kms/keystore/keystore_format.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/aead.h"
#include "crypto/secret.h"

#define HEAD_CLEAR 56u
#define KEY_CLEAR 136u /* without the versions */
#define CHANGE_AT 136u /* format 2 only, before the versions */
#define CHANGE_LEN 8u
#define VERSION_CLEAR 24u /* each */
#define NAME_AT 72u
#define OPS_MAX 64u
#define MEM_KIB_MAX (4u << 20) /* a planted file must not make us ask for more than 4 GiB */

static const char head_magic[] = "BYOKFSKS";
static const char key_magic[] = "BYOKFSKF";

static int kind_check(const uint8_t *buf, size_t len, const char *magic, uint16_t newest)
{
	if (len < 10 || memcmp(buf, magic, 8) != 0)
		return -EUCLEAN;
	return be16_get(buf + 8) >= 1 && be16_get(buf + 8) <= newest ? 0 : -ENOTSUP;
}

/* Where the versions begin: a key that was never changed by a version that counts changes is written in format 1. */
static size_t versions_at(uint64_t change)
{
	return KEY_CLEAR + (change ? CHANGE_LEN : 0);
}

int keystore_head_parse(const uint8_t *buf, size_t len, struct keystore_head *out)
{
	int r = kind_check(buf, len, head_magic, 1);

	if (r)
		return r;
	if (len != KEYSTORE_HEAD_LEN || be32_get(buf + 20) != 0)
		return -EUCLEAN;
	out->protection = be16_get(buf + 10);
	out->ops = be32_get(buf + 12);
	out->mem_kib = be32_get(buf + 16);
	memcpy(out->id, buf + 24, ID_LEN);
	memcpy(out->salt, buf + 40, sizeof(out->salt));
	memcpy(out->bytes, buf, KEYSTORE_HEAD_LEN);
	if (out->protection == KEYSTORE_FILE_MODE)
		return out->ops == 0 && out->mem_kib == 0 ? 0 : -EUCLEAN;
	if (out->protection != KEYSTORE_PASSPHRASE || out->ops < crypto_pwhash_OPSLIMIT_MIN || out->ops > OPS_MAX ||
	    out->mem_kib < crypto_pwhash_MEMLIMIT_MIN / 1024 || out->mem_kib > MEM_KIB_MAX)
		return -EUCLEAN;
	return 0;
}

/*
 * The key that seals the keystore's own. Without a passphrase it is one that everybody can compute: the seal only finds
 * accidents then, and the modes of directory and file are the whole protection.
 */
static int head_key(const struct keystore_head *head, const char *passphrase, uint8_t key[KEY_LEN])
{
	static const char everybody_label[] = "byokfs keystore without a passphrase";

	if (head->protection == KEYSTORE_FILE_MODE)
		return crypto_generichash(key, KEY_LEN, (const uint8_t *)everybody_label, sizeof(everybody_label),
					  head->salt, sizeof(head->salt))
			       ? -EIO
			       : 0;
	if (crypto_pwhash(key, KEY_LEN, passphrase, strlen(passphrase), head->salt, head->ops,
			  (size_t)head->mem_kib * 1024, crypto_pwhash_ALG_ARGON2ID13))
		return -ENOMEM;
	return 0;
}

int keystore_head_seal(struct keystore_head *head, const char *passphrase, const uint8_t *master)
{
	AUTO(secret_free_at) uint8_t *key = secret_alloc(KEY_LEN);

	if (!key)
		return -ENOMEM;
	uint8_t *b = head->bytes;
	memset(b, 0, KEYSTORE_HEAD_LEN);
	memcpy(b, head_magic, 8);
	be16_put(b + 8, 1);
	be16_put(b + 10, head->protection);
	be32_put(b + 12, head->ops);
	be32_put(b + 16, head->mem_kib);
	memcpy(b + 24, head->id, ID_LEN);
	memcpy(b + 40, head->salt, sizeof(head->salt));
	int r = head_key(head, passphrase, key);
	struct aead a = {.key = key, .aad = b, .aad_len = HEAD_CLEAR};
	return r ? r : aead_seal(&a, master, KEY_LEN, b + HEAD_CLEAR);
}

int keystore_head_open(const struct keystore_head *head, const char *passphrase, uint8_t *master)
{
	AUTO(secret_free_at) uint8_t *key = secret_alloc(KEY_LEN);

	if (!key)
		return -ENOMEM;
	int r = head_key(head, passphrase, key);
	struct aead a = {.key = key, .aad = head->bytes, .aad_len = HEAD_CLEAR};
	return r ? r : aead_open(&a, head->bytes + HEAD_CLEAR, KEYSTORE_HEAD_LEN - HEAD_CLEAR, master);
}

static int name_parse(const uint8_t *buf, char name[KEYSTORE_NAME_MAX + 1])
{
	size_t n = strnlen((const char *)buf, KEYSTORE_NAME_MAX);

	memcpy(name, buf, n);
	name[n] = '\0';
	for (size_t i = n; i < KEYSTORE_NAME_MAX; i++)
		if (buf[i])
			return -EUCLEAN;
	return keystore_name_check(name) ? -EUCLEAN : 0;
}

static int version_parse(const uint8_t *p, struct keystore_key *key)
{
	struct keystore_version *v = &key->version[key->n_versions];
	uint32_t before = key->n_versions ? v[-1].number : 0;

	v->number = be32_get(p);
	v->bits = be16_get(p + 4);
	v->len = be32_get(p + 8);
	v->created = (int64_t)be64_get(p + 16);
	v->off = key->material_len;
	if (be16_get(p + 6) || be32_get(p + 12) || v->number <= before || v->number >= key->next_version ||
	    v->len < 1 || v->len > KEYSTORE_FILE_MAX)
		return -EUCLEAN;
	if (key->type == KEYSTORE_AES256 && (v->len != KEY_LEN || v->bits != 256))
		return -EUCLEAN;
	if (key->type == KEYSTORE_RSA && (v->bits < 2048 || v->bits > 4096))
		return -EUCLEAN;
	key->material_len += v->len;
	key->n_versions++;
	return 0;
}

static int fields_parse(const uint8_t *b, struct keystore_key *key)
{
	key->type = be16_get(b + 10);
	key->state = be16_get(b + 12);
	key->flags = be16_get(b + 14);
	memcpy(key->keystore_id, b + 16, ID_LEN);
	key->next_version = be32_get(b + 32);
	key->created = (int64_t)be64_get(b + 40);
	key->changed = (int64_t)be64_get(b + 48);
	key->deleted = (int64_t)be64_get(b + 56);
	key->retention_days = be32_get(b + 64);
	key->before = be32_get(b + 68);
	if ((key->type != KEYSTORE_AES256 && key->type != KEYSTORE_RSA) || key->state < KEYSTORE_ENABLED ||
	    key->state > KEYSTORE_PURGED || (key->flags & ~(KEYSTORE_PURGE_PROTECTED | KEYSTORE_IMPORTED)) ||
	    key->before < KEYSTORE_ENABLED || key->before > KEYSTORE_DISABLED || key->next_version < 2 ||
	    key->retention_days > KEYSTORE_RETENTION_MAX)
		return -EUCLEAN;
	return name_parse(b + NAME_AT, key->name);
}

int keystore_key_parse(const uint8_t *buf, size_t len, struct keystore_key *out, size_t *clear)
{
	int r = kind_check(buf, len, key_magic, 2);

	memset(out, 0, sizeof(*out));
	if (r)
		return r;
	if (len < KEY_CLEAR || len > KEYSTORE_FILE_MAX)
		return -EUCLEAN;
	r = fields_parse(buf, out);
	if (r)
		return r;
	if (be16_get(buf + 8) == 2) {
		out->change = len < KEY_CLEAR + CHANGE_LEN ? 0 : be64_get(buf + CHANGE_AT);
		if (out->change == 0)
			return -EUCLEAN;
	}
	uint32_t n = be32_get(buf + 36);
	*clear = versions_at(out->change) + (size_t)n * VERSION_CLEAR;
	if (n > KEYSTORE_VERSIONS_MAX || *clear > len || (n == 0) != (out->state == KEYSTORE_PURGED))
		return -EUCLEAN;
	for (uint32_t i = 0; i < n; i++) {
		r = version_parse(buf + versions_at(out->change) + i * VERSION_CLEAR, out);
		if (r)
			return r;
	}
	return len == *clear + out->material_len + AEAD_OVERHEAD ? 0 : -EUCLEAN;
}

int keystore_key_open(const uint8_t *buf, size_t len, const struct keystore_who *who, struct keystore_key *out)
{
	struct aead a = {.key = who->master, .aad = buf};
	int r = keystore_key_parse(buf, len, out, &a.aad_len);

	if (r)
		return r == -ENOTSUP ? r : -EBADMSG;
	/* A file of another keystore, or one renamed to another key's name, is authentic but not what was asked for. */
	if (memcmp(out->keystore_id, who->id, ID_LEN) != 0 || strcmp(out->name, who->name) != 0)
		return -EBADMSG;
	out->material = sodium_malloc(out->material_len ? out->material_len : 1);
	if (!out->material)
		return -ENOMEM;
	r = aead_open(&a, buf + a.aad_len, len - a.aad_len, out->material);
	if (r)
		keystore_key_wipe(out);
	return r;
}

static void fields_write(const struct keystore_key *key, const uint8_t *id, uint8_t *b)
{
	memcpy(b, key_magic, 8);
	be16_put(b + 8, key->change ? 2 : 1);
	be16_put(b + 10, (uint16_t)key->type);
	be16_put(b + 12, (uint16_t)key->state);
	be16_put(b + 14, key->flags);
	memcpy(b + 16, id, ID_LEN);
	be32_put(b + 32, key->next_version);
	be32_put(b + 36, key->n_versions);
	be64_put(b + 40, (uint64_t)key->created);
	be64_put(b + 48, (uint64_t)key->changed);
	be64_put(b + 56, (uint64_t)key->deleted);
	be32_put(b + 64, key->retention_days);
	be32_put(b + 68, (uint32_t)key->before);
	memcpy(b + NAME_AT, key->name, strlen(key->name));
	if (key->change)
		be64_put(b + CHANGE_AT, key->change);
	for (uint32_t i = 0; i < key->n_versions; i++) {
		uint8_t *p = b + versions_at(key->change) + i * VERSION_CLEAR;

		be32_put(p, key->version[i].number);
		be16_put(p + 4, key->version[i].bits);
		be32_put(p + 8, key->version[i].len);
		be64_put(p + 16, (uint64_t)key->version[i].created);
	}
}

int keystore_key_seal(const struct keystore_key *key, const struct keystore_who *who, uint8_t **out, size_t *len)
{
	struct aead a = {.key = who->master, .aad_len = versions_at(key->change) + key->n_versions * VERSION_CLEAR};

	*len = a.aad_len + key->material_len + AEAD_OVERHEAD;
	if (*len > KEYSTORE_FILE_MAX)
		return -EFBIG;
	uint8_t *b = calloc(1, *len);
	if (!b)
		return -ENOMEM;
	fields_write(key, who->id, b);
	a.aad = b;
	int r = aead_seal(&a, key->material, key->material_len, b + a.aad_len);
	if (r) {
		free(b);
		return r;
	}
	*out = b;
	return 0;
}

int keystore_name_check(const char *name)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
	size_t n = strlen(name);

	return n >= 1 && n <= KEYSTORE_NAME_MAX && name[0] != '.' && strspn(name, allowed) == n ? 0 : -EINVAL;
}

void keystore_key_wipe(struct keystore_key *key)
{
	sodium_free(key->material);
	key->material = NULL;
	key->material_len = 0;
}

const char *keystore_state_name(enum keystore_state s)
{
	static const char *const names[] = {
		[KEYSTORE_ENABLED] = "enabled",
		[KEYSTORE_DISABLED] = "disabled",
		[KEYSTORE_DELETED] = "soft-deleted",
		[KEYSTORE_PURGED] = "purged",
	};
	return s >= KEYSTORE_ENABLED && s <= KEYSTORE_PURGED ? names[s] : "unknown";
}

int64_t keystore_retention_end(const struct keystore_key *key)
{
	return key->deleted + (int64_t)key->retention_days * 86400;
}
