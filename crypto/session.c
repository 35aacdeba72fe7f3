/* SPDX-License-Identifier: BSD-2-Clause */
/* The session record: 64 bytes with a MAC, so that nobody else can claim a clean or an unclean end. */
#include "crypto/session.h"

#include <errno.h>
#include <string.h>

#include "crypto/magic.h"

#define MAGIC "BYOKFS1M"
#define MACED_LEN (SESSION_LEN - MAC_LEN)

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
