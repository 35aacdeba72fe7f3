/* SPDX-License-Identifier: BSD-2-Clause */
/* Parsing the keyring file: everything but the box, which keyring_box.c opens and seals. */
#include "crypto/keyring.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/block.h"
#include "crypto/keyring_private.h"
#include "crypto/magic.h"

#define VERSIONED_LEN 40u /* magic to compat: at this place in every version */

/* A cursor over the slots' bytes. */
struct slots_reader {
	const uint8_t *at;
	size_t left;
};

static int keyring_len_check(const uint8_t *buf, size_t len)
{
	if (len < KEYRING_FIXED_LEN + KEYRING_BOX_MIN || len > KEYRING_LEN_MAX || be32_get(buf + 12) != len)
		return -EUCLEAN;
	uint64_t slots_len = be32_get(buf + 88), box_len = be32_get(buf + 92);
	return KEYRING_FIXED_LEN + slots_len + box_len == len && box_len >= KEYRING_BOX_MIN ? 0 : -EUCLEAN;
}

/* Magic, version, features: a newer format is told apart before its unknown parts are looked at. */
static int version_check(const uint8_t *buf, size_t len)
{
	int r = len < VERSIONED_LEN ? -EUCLEAN : magic_check(buf, len, KEYRING_MAGIC);
	if (r)
		return r;
	uint16_t major = be16_get(buf + 8), reader = be16_get(buf + 10);
	if (reader == 0 || major < reader)
		return -EUCLEAN;
	if (reader > KEYRING_FORMAT_MAJOR || (be64_get(buf + 16) & ~FEATURES_INCOMPAT_KNOWN) != 0)
		return -ENOTSUP;
	return 0;
}

int keyring_fields_check(const struct keyring *k)
{
	uint32_t want = k->wrap_type == WRAP_STORE ? HEADER_LEN_STORE : HEADER_LEN_FILE;
	if (k->wrap_type != WRAP_STORE && k->wrap_type != WRAP_FILE)
		return -EUCLEAN;
	if (k->name_mode != NAMES_SIV && k->name_mode != NAMES_PLAIN)
		return -EUCLEAN;
	if (k->policy != POLICY_ALL && k->policy != POLICY_ANY)
		return -EUCLEAN;
	if (layout_check(&k->layout) != 0 || k->layout.header_len != want)
		return -EUCLEAN;
	return k->sequence && k->n_slots && k->n_slots <= KEYRING_SLOTS_MAX ? 0 : -EUCLEAN;
}

static int fixed_parse(const uint8_t *buf, struct keyring *k)
{
	k->incompat = be64_get(buf + 16);
	k->ro_compat = be64_get(buf + 24);
	k->compat = be64_get(buf + 32);
	k->sequence = be64_get(buf + 40);
	memcpy(k->store_id, buf + 48, ID_LEN);
	k->layout.header_len = be32_get(buf + 64);
	k->layout.block_len = be32_get(buf + 68);
	k->wrap_type = (enum wrap_type)be16_get(buf + 74);
	k->name_mode = (enum name_mode)be16_get(buf + 76);
	k->policy = (enum slot_policy)be16_get(buf + 78);
	k->next_number = be32_get(buf + 80);
	k->n_slots = be32_get(buf + 84);
	uint16_t suite = be16_get(buf + 72);
	if (suite == 0 || suite > SUITE_2)
		return suite ? -ENOTSUP : -EUCLEAN;
	k->layout.suite = (enum suite)suite;
	if (!block_is_zero(buf + KEYRING_FIXED_USED, KEYRING_FIXED_LEN - KEYRING_FIXED_USED))
		return -EUCLEAN;
	return keyring_fields_check(k);
}

/* References and versions end up in messages: no control characters. */
static bool text_ok(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return false;
	return true;
}

int keyring_slot_check(const struct keyring *k, uint32_t i)
{
	const struct keyring_slot *s = &k->slot[i];
	size_t ref_len = strnlen(s->ref, sizeof(s->ref)), version_len = strnlen(s->version, sizeof(s->version));
	if (s->number == 0 || s->number >= k->next_number || s->algorithm == 0)
		return -EUCLEAN;
	if (ref_len == 0 || ref_len > KEYRING_REF_MAX || version_len > KEYRING_VERSION_MAX)
		return -EUCLEAN;
	if (s->wrapped_len == 0 || s->wrapped_len > KEYRING_WRAPPED_MAX)
		return -EUCLEAN;
	if (!text_ok(s->ref, ref_len) || !text_ok(s->version, version_len))
		return -EUCLEAN;
	for (uint32_t other = 0; other < i; other++)
		if (k->slot[other].number == s->number)
			return -EUCLEAN;
	return 0;
}

static const uint8_t *slots_take(struct slots_reader *r, size_t n)
{
	if (n > r->left)
		return NULL;
	const uint8_t *p = r->at;
	r->at += n;
	r->left -= n;
	return p;
}

static int slot_parse(struct slots_reader *r, struct keyring_slot *s)
{
	const uint8_t *p = slots_take(r, KEYRING_SLOT_FIXED_LEN);
	if (!p)
		return -EUCLEAN;
	s->number = be32_get(p);
	s->algorithm = be16_get(p + 4);
	size_t ref_len = be16_get(p + 6), version_len = be16_get(p + 8);
	s->wrapped_len = be16_get(p + 10);
	if (be32_get(p + 12) != 0 || ref_len > KEYRING_REF_MAX || version_len > KEYRING_VERSION_MAX ||
	    s->wrapped_len > KEYRING_WRAPPED_MAX)
		return -EUCLEAN;
	const uint8_t *ref = slots_take(r, ref_len), *version = slots_take(r, version_len);
	const uint8_t *wrapped = slots_take(r, s->wrapped_len);
	if (!ref || !version || !wrapped)
		return -EUCLEAN;
	memcpy(s->ref, ref, ref_len);
	memcpy(s->version, version, version_len);
	memcpy(s->wrapped, wrapped, s->wrapped_len);
	/* A NUL inside would make two different files of one meaning. */
	return strlen(s->ref) == ref_len && strlen(s->version) == version_len ? 0 : -EUCLEAN;
}

static int slots_parse(const uint8_t *buf, struct keyring *k)
{
	struct slots_reader reader = {buf + KEYRING_FIXED_LEN, be32_get(buf + 88)};
	k->slot = calloc(k->n_slots, sizeof(*k->slot));
	if (!k->slot)
		return -ENOMEM;
	for (uint32_t i = 0; i < k->n_slots; i++) {
		int r = slot_parse(&reader, &k->slot[i]);
		if (!r)
			r = keyring_slot_check(k, i);
		if (r)
			return r;
	}
	return reader.left == 0 ? 0 : -EUCLEAN;
}

static void keyring_free_at(struct keyring **k)
{
	keyring_free(*k);
}

int keyring_parse(const uint8_t *buf, size_t len, struct keyring **out)
{
	*out = NULL;
	int r = version_check(buf, len);
	if (!r)
		r = keyring_len_check(buf, len);
	if (r)
		return r;
	AUTO(keyring_free_at) struct keyring *k = calloc(1, sizeof(*k));
	if (!k)
		return -ENOMEM;
	r = fixed_parse(buf, k);
	if (!r)
		r = slots_parse(buf, k);
	if (r)
		return r;
	k->bytes = malloc(len);
	if (!k->bytes)
		return -ENOMEM;
	memcpy(k->bytes, buf, len);
	k->len = len;
	*out = k;
	k = NULL;
	return 0;
}

bool keyring_wrapped_by_anybody(const struct keyring *k)
{
	for (uint32_t i = 0; i < k->n_slots; i++) {
		uint16_t a = k->slot[i].algorithm;

		if (a != KMS_ALG_LOCAL_AES256GCM && a != KMS_ALG_AES256KW && a != KMS_ALG_PROVIDER &&
		    a != KMS_ALG_TOKEN_AES256GCM)
			return true;
	}
	return false;
}

void keyring_free(struct keyring *k)
{
	if (!k)
		return;
	free(k->slot);
	free(k->bytes);
	free(k);
}
