/* SPDX-License-Identifier: BSD-2-Clause */
/* The pin: this host's own knowledge of a store, with a checksum against accidents (its owner guards it, not a MAC). */
#include "crypto/pin.h"

#include <errno.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/magic.h"

#define MAGIC "BYOKFS1P"
#define FIXED_LEN 48u
#define HASH_LEN crypto_hash_sha256_BYTES
#define REFS_MAX 60u /* the longest ones still fit PIN_LEN_MAX */

_Static_assert(FIXED_LEN + HASH_LEN + REFS_MAX * (2 + KEYRING_REF_MAX) + KEYRING_LEN_MAX <= PIN_LEN_MAX, "fits");

int pin_write(const struct pin *p, uint8_t **out, size_t *len)
{
	if (p->n_refs > REFS_MAX || p->keyring_len > KEYRING_LEN_MAX)
		return -EINVAL;
	size_t total = FIXED_LEN + p->keyring_len + HASH_LEN;
	for (uint32_t i = 0; i < p->n_refs; i++) {
		size_t n = strnlen(p->ref[i], sizeof(p->ref[i]));
		if (n == 0 || n > KEYRING_REF_MAX)
			return -EINVAL;
		total += 2 + n;
	}
	uint8_t *buf = calloc(1, total);
	if (!buf)
		return -ENOMEM;
	uint8_t *at = buf + FIXED_LEN;
	memcpy(buf, MAGIC, MAGIC_LEN);
	be32_put(buf + 8, (uint32_t)total);
	be32_put(buf + 12, p->n_refs);
	memcpy(buf + 16, p->store_id, ID_LEN);
	be64_put(buf + 32, p->sequence);
	be32_put(buf + 40, (uint32_t)p->keyring_len);
	for (uint32_t i = 0; i < p->n_refs; i++) {
		size_t n = strlen(p->ref[i]);
		be16_put(at, (uint16_t)n);
		memcpy(at + 2, p->ref[i], n);
		at += 2 + n;
	}
	if (p->keyring_len)
		memcpy(at, p->keyring, p->keyring_len);
	crypto_hash_sha256(buf + total - HASH_LEN, buf, total - HASH_LEN);
	*out = buf;
	*len = total;
	return 0;
}

/* Magic, length, checksum, reserved bytes. */
static int frame_check(const uint8_t *buf, size_t len)
{
	uint8_t hash[HASH_LEN];
	int r = len < FIXED_LEN + HASH_LEN || len > PIN_LEN_MAX ? -EUCLEAN : magic_check(buf, len, MAGIC);
	if (r)
		return r;
	crypto_hash_sha256(hash, buf, len - HASH_LEN);
	if (be32_get(buf + 8) != len || sodium_memcmp(hash, buf + len - HASH_LEN, HASH_LEN) != 0)
		return -EUCLEAN;
	return be32_get(buf + 44) == 0 ? 0 : -EUCLEAN;
}

/* The references from AT on; *REST is where the keyring begins. */
static int refs_parse(const uint8_t *at, const uint8_t *end, struct pin *p, const uint8_t **rest)
{
	p->ref = calloc(p->n_refs ? p->n_refs : 1, sizeof(*p->ref));
	if (!p->ref)
		return -ENOMEM;
	for (uint32_t i = 0; i < p->n_refs; i++) {
		if (end - at < 2)
			return -EUCLEAN;
		size_t n = be16_get(at);
		at += 2;
		if (n == 0 || n > KEYRING_REF_MAX || n > (size_t)(end - at) || memchr(at, '\0', n))
			return -EUCLEAN;
		memcpy(p->ref[i], at, n);
		at += n;
	}
	*rest = at;
	return 0;
}

static void pin_free_at(struct pin **p)
{
	pin_free(*p);
}

int pin_parse(const uint8_t *buf, size_t len, struct pin **out)
{
	int r = frame_check(buf, len);
	if (r)
		return r;
	AUTO(pin_free_at) struct pin *p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	const uint8_t *end = buf + len - HASH_LEN, *at = NULL;
	memcpy(p->store_id, buf + 16, ID_LEN);
	p->sequence = be64_get(buf + 32);
	p->n_refs = be32_get(buf + 12);
	p->keyring_len = be32_get(buf + 40);
	if (p->n_refs > REFS_MAX)
		return -EUCLEAN;
	r = refs_parse(buf + FIXED_LEN, end, p, &at);
	if (r)
		return r;
	if (p->keyring_len > KEYRING_LEN_MAX || p->keyring_len != (size_t)(end - at))
		return -EUCLEAN;
	p->keyring = malloc(p->keyring_len ? p->keyring_len : 1);
	if (!p->keyring)
		return -ENOMEM;
	memcpy(p->keyring, at, p->keyring_len);
	*out = p;
	p = NULL;
	return 0;
}

void pin_free(struct pin *p)
{
	if (!p)
		return;
	free(p->ref);
	free(p->keyring);
	free(p);
}

bool pin_has_ref(const struct pin *p, const char *ref)
{
	for (uint32_t i = 0; i < p->n_refs; i++)
		if (strcmp(p->ref[i], ref) == 0)
			return true;
	return false;
}
