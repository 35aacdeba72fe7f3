/* SPDX-License-Identifier: BSD-2-Clause */
/* The record at the front of a special object: type, device number, target. */
#include "crypto/special.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "crypto/aead.h"
#include "crypto/keys_private.h"
#include "crypto/magic.h"

#define MAGIC "BYOKFS1S"
#define HEAD_LEN 28u    /* magic, object id, payload length */
#define PAYLOAD_MIN 11u /* type, major, minor, target length */
#define PAYLOAD_MAX (PAYLOAD_MIN + SPECIAL_TARGET_MAX)

_Static_assert(HEAD_LEN + AEAD_OVERHEAD + PAYLOAD_MAX <= SPECIAL_RECORD_MAX, "longest record");
_Static_assert(SPECIAL_RECORD_MAX < HEADER_LEN_STORE + FINAL_HEAD_LEN + BLOCK_LEN_MIN, "shorter than every object");

/* Only a symlink has a target, only a device a number. */
static bool special_ok(const struct special *s)
{
	if (s->type < OBJECT_SYMLINK || s->type > OBJECT_BLOCK)
		return false;
	int is_link = s->type == OBJECT_SYMLINK, is_device = s->type == OBJECT_CHAR || s->type == OBJECT_BLOCK;
	if (is_link != (s->target_len > 0) || s->target_len > SPECIAL_TARGET_MAX)
		return false;
	if (!is_device && (s->major || s->minor))
		return false;
	return !memchr(s->target, '\0', s->target_len);
}

static void special_aad(const struct store_keys *keys, const uint8_t *head, uint8_t aad[HEAD_LEN + ID_LEN])
{
	memcpy(aad, head, HEAD_LEN);
	memcpy(aad + HEAD_LEN, keys->id, ID_LEN);
}

int special_seal(const struct store_keys *keys, struct special *s, uint8_t record[SPECIAL_RECORD_MAX], size_t *len)
{
	uint8_t plain[PAYLOAD_MAX], aad[HEAD_LEN + ID_LEN];
	if (!special_ok(s))
		return -EINVAL;
	size_t plain_len = PAYLOAD_MIN + s->target_len;
	plain[0] = (uint8_t)(s->type - OBJECT_SYMLINK + 1);
	be32_put(plain + 1, s->major);
	be32_put(plain + 5, s->minor);
	be16_put(plain + 9, s->target_len);
	memcpy(plain + PAYLOAD_MIN, s->target, s->target_len);
	random_bytes(s->object_id, ID_LEN);
	memcpy(record, MAGIC, MAGIC_LEN);
	memcpy(record + 8, s->object_id, ID_LEN);
	be32_put(record + 24, (uint32_t)plain_len);
	special_aad(keys, record, aad);
	*len = HEAD_LEN + plain_len + AEAD_OVERHEAD;
	uint8_t key[KEY_LEN];
	int r = special_key(keys, s->object_id, key);
	if (!r)
		r = aead_seal(&(struct aead){key, aad, sizeof(aad)}, plain, plain_len, record + HEAD_LEN);
	secret_wipe(key, sizeof(key));
	secret_wipe(plain, plain_len);
	return r;
}

static int payload_parse(const uint8_t *plain, size_t len, struct special *out)
{
	if (plain[0] == 0 || plain[0] > OBJECT_BLOCK - OBJECT_SYMLINK + 1)
		return -EBADMSG;
	out->type = (enum object_type)(OBJECT_SYMLINK + plain[0] - 1);
	out->major = be32_get(plain + 1);
	out->minor = be32_get(plain + 5);
	out->target_len = be16_get(plain + 9);
	if (len != PAYLOAD_MIN + (size_t)out->target_len)
		return -EBADMSG;
	memcpy(out->target, plain + PAYLOAD_MIN, out->target_len);
	out->target[out->target_len] = '\0';
	return special_ok(out) ? 0 : -EBADMSG;
}

int special_open(const struct store_keys *keys, enum object_type type, const uint8_t *record, size_t len,
		 struct special *out)
{
	uint8_t plain[PAYLOAD_MAX], aad[HEAD_LEN + ID_LEN];
	if (len < HEAD_LEN || memcmp(record, MAGIC, MAGIC_LEN) != 0)
		return -EBADMSG;
	size_t plain_len = be32_get(record + 24);
	if (plain_len < PAYLOAD_MIN || plain_len > PAYLOAD_MAX || len - HEAD_LEN < plain_len + AEAD_OVERHEAD)
		return -EBADMSG;
	special_aad(keys, record, aad);
	uint8_t key[KEY_LEN];
	int r = special_key(keys, record + 8, key);
	if (!r)
		r = aead_open(&(struct aead){key, aad, sizeof(aad)}, record + HEAD_LEN, plain_len + AEAD_OVERHEAD,
			      plain);
	secret_wipe(key, sizeof(key));
	if (r)
		return r;
	memcpy(out->object_id, record + 8, ID_LEN);
	r = payload_parse(plain, plain_len, out);
	secret_wipe(plain, plain_len);
	return r || out->type == type ? r : -EBADMSG;
}

int special_peek(const uint8_t *record, size_t len, struct special_head *out)
{
	int r = len < HEAD_LEN ? -EUCLEAN : magic_check(record, len, MAGIC);
	if (r)
		return r;
	uint32_t payload_len = be32_get(record + 24);
	memcpy(out->object_id, record + MAGIC_LEN, ID_LEN);
	out->record_len = HEAD_LEN + (uint64_t)payload_len + AEAD_OVERHEAD;
	out->possible = payload_len >= PAYLOAD_MIN && payload_len <= PAYLOAD_MAX;
	out->target_len = payload_len > PAYLOAD_MIN ? payload_len - PAYLOAD_MIN : 0;
	return 0;
}
