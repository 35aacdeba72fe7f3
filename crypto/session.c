/* SPDX-License-Identifier: BSD-2-Clause */
/* The session record: 64 bytes with a MAC, so that nobody else can claim a clean or an unclean end. */
#include "crypto/session.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "crypto/magic.h"

#define MAGIC "BYOKFS1M"
#define MACED_LEN (SESSION_LEN - MAC_LEN)
#define MARK_MAGIC "BYOKFS1N"
#define MARK_LISTED 1u
#define MARK_SUMMED (SESSION_MARK_LEN - crypto_hash_sha256_BYTES)

int session_write(const struct store_keys *keys, const struct session *s, uint8_t buf[SESSION_LEN])
{
	if (s->number == 0 || s->dirty_since > s->number || (s->state != SESSION_OPEN && s->state != SESSION_CLEAN))
		return -EINVAL;
	memcpy(buf, MAGIC, MAGIC_LEN);
	be64_put(buf + 8, s->number);
	be32_put(buf + 16, (uint32_t)s->state);
	be32_put(buf + 20, 0);
	be64_put(buf + 24, s->dirty_since);
	return store_mac(keys, MAC_SESSION, buf, MACED_LEN, buf + MACED_LEN);
}

int session_parse(const struct store_keys *keys, const uint8_t *buf, size_t len, struct session *out)
{
	if (len != SESSION_LEN || memcmp(buf, MAGIC, MAGIC_LEN) != 0)
		return -EBADMSG;
	int r = store_mac_check(keys, MAC_SESSION, buf, MACED_LEN, buf + MACED_LEN);
	if (r)
		return r;
	uint32_t state = be32_get(buf + 16);
	if ((state != SESSION_OPEN && state != SESSION_CLEAN) || be32_get(buf + 20) != 0)
		return -EBADMSG;
	out->number = be64_get(buf + 8);
	out->state = (enum session_state)state;
	out->dirty_since = be64_get(buf + 24);
	return out->number && out->dirty_since <= out->number ? 0 : -EBADMSG;
}

int session_peek(const uint8_t *buf, size_t len, struct session *out)
{
	int r = len == SESSION_LEN ? magic_check(buf, len, MAGIC) : -EUCLEAN;
	if (r)
		return r;
	out->number = be64_get(buf + 8);
	out->state = (enum session_state)be32_get(buf + 16);
	out->dirty_since = be64_get(buf + 24);
	return 0;
}

void session_mark_write(const struct session_mark *m, uint8_t buf[SESSION_MARK_LEN])
{
	memcpy(buf, MARK_MAGIC, MAGIC_LEN);
	memcpy(buf + 8, m->store_id, ID_LEN);
	be64_put(buf + 24, m->number);
	be32_put(buf + 32, (uint32_t)m->state);
	be32_put(buf + 36, m->listed ? MARK_LISTED : 0);
	crypto_hash_sha256(buf + MARK_SUMMED, buf, MARK_SUMMED);
}

int session_mark_parse(const uint8_t *buf, size_t len, struct session_mark *out)
{
	uint8_t hash[crypto_hash_sha256_BYTES];
	int r = len == SESSION_MARK_LEN ? magic_check(buf, len, MARK_MAGIC) : -EUCLEAN;
	if (r)
		return r;
	crypto_hash_sha256(hash, buf, MARK_SUMMED);
	uint32_t state = be32_get(buf + 32);
	if (sodium_memcmp(hash, buf + MARK_SUMMED, sizeof(hash)) != 0 || state < SESSION_MARK_OPEN ||
	    state > SESSION_MARK_DOUBTED || (be32_get(buf + 36) & ~MARK_LISTED) != 0 || be64_get(buf + 24) == 0)
		return -EUCLEAN;
	memcpy(out->store_id, buf + 8, ID_LEN);
	out->number = be64_get(buf + 24);
	out->state = (enum session_mark_state)state;
	out->listed = be32_get(buf + 36) & MARK_LISTED;
	return 0;
}

void session_judge(const struct session *record, const struct session_mark *mark, bool accept,
		   struct session_verdict *out)
{
	static const struct session none = {0};
	const struct session *s = record ? record : &none;
	uint64_t known = mark ? mark->number : 0;
	bool closed = record && record->state == SESSION_CLEAN;
	/* An open record of the very session that this host saw begin is news; unreadable, it can only be that one's. */
	bool news = known == 0 || s->number > known ||
		    (mark->state == SESSION_MARK_OPEN && (s->number == known || !record));

	*out = (struct session_verdict){
		.unclean = !closed && (news || accept),
		.stale = !closed && !news && !accept,
		.older = closed && s->number < known,
		.listed = !accept && mark && mark->listed && (s->number == known || !record),
		.next = (s->number > known ? s->number : known) + 1,
	};
	out->dirty_since = closed || s->dirty_since == 0 ? out->next : s->dirty_since;
}
