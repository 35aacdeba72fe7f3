/* SPDX-License-Identifier: BSD-2-Clause */
/* Sealing, parsing and checking lines of the audit log; the host's end record. */
#include "crypto/audit.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "crypto/kdf.h"
#include "crypto/keys_private.h"
#include "crypto/magic.h"
#include "crypto/secret.h"

#define MAGIC "BYOKFS1A"
#define HASH_LEN crypto_hash_sha256_BYTES
#define MAC_HEX (2 * MAC_LEN)
#define TAIL_LABEL ",\"mac\":\""
#define TAIL_LABEL_LEN (sizeof(TAIL_LABEL) - 1)
#define TAIL_LEN (TAIL_LABEL_LEN + MAC_HEX + 2) /* and the closing quote and brace */

struct audit_key {
	uint8_t key[KEY_LEN];
	uint8_t store_id[ID_LEN];
};

struct audit_chain {
	uint8_t key[KEY_LEN]; /* of line `line` */
	uint8_t store_id[ID_LEN];
	uint64_t session, line;
};

static const char *const found_name[] = {
	[AUDIT_NEW] = "new",         [AUDIT_WHOLE] = "whole", [AUDIT_TORN] = "torn",
	[AUDIT_UNKNOWN] = "unknown", [AUDIT_CUT] = "cut",     [AUDIT_MISSING] = "missing",
};

static const char *audit_found_name(enum audit_found f)
{
	return (size_t)f < ARRAY_LEN(found_name) && found_name[f] ? found_name[f] : "";
}

/* Keys */

int audit_key_new(const struct store_keys *keys, struct audit_key **out)
{
	AUTO(secret_free_at) void *prk = secret_alloc(KEY_LEN);
	struct audit_key *k = secret_alloc(sizeof(*k));
	if (!prk || !k) {
		secret_free(k);
		return -ENOMEM;
	}
	memcpy(k->store_id, keys->id, ID_LEN);
	int r = kdf_extract(NULL, keys->root, KEY_LEN, prk);
	if (!r)
		r = kdf_expand(prk, &(struct kdf_info){.purpose = "audit", .store_id = k->store_id}, k->key, KEY_LEN);
	if (r) {
		secret_free(k);
		return r;
	}
	*out = k;
	return 0;
}

void audit_key_free(struct audit_key *k)
{
	secret_free(k);
}

int audit_chain_new(const struct audit_key *k, uint64_t session, struct audit_chain **out)
{
	const struct kdf_info info = {
		.purpose = "audit session", .store_id = k->store_id, .number = session, .has_number = true};
	struct audit_chain *c = secret_alloc(sizeof(*c));
	if (!c)
		return -ENOMEM;
	memcpy(c->store_id, k->store_id, ID_LEN);
	c->session = session;
	c->line = 1;
	int r = kdf_expand(k->key, &info, c->key, KEY_LEN);
	if (r) {
		secret_free(c);
		return r;
	}
	*out = c;
	return 0;
}

void audit_chain_free(struct audit_chain *c)
{
	secret_free(c);
}

uint64_t audit_chain_session(const struct audit_chain *c)
{
	return c->session;
}

uint64_t audit_chain_line(const struct audit_chain *c)
{
	return c->line;
}

/* On failure the old key stays: better one line too many under it than none. */
int audit_chain_skip(struct audit_chain *c)
{
	AUTO(secret_free_at) void *next = secret_alloc(KEY_LEN);
	if (!next)
		return -ENOMEM;
	int r = kdf_expand(c->key, &(struct kdf_info){.purpose = "audit next", .store_id = c->store_id}, next, KEY_LEN);
	if (r)
		return r;
	memcpy(c->key, next, KEY_LEN);
	c->line++;
	return 0;
}

/* Sealing */

static int head_write(const struct audit_chain *c, const struct audit_seal *what, const uint8_t prev[MAC_LEN],
		      char out[AUDIT_LINE_MAX])
{
	char hex[MAC_HEX + 1];

	sodium_bin2hex(hex, sizeof(hex), prev, MAC_LEN);
	int n = snprintf(out, AUDIT_LINE_MAX, "{\"v\":1,\"session\":%" PRIu64 ",\"line\":%" PRIu64 ",\"prev\":\"%s\",",
			 c->session, c->line, hex);
	return n > 0 && (size_t)n < AUDIT_LINE_MAX && what->text->len <= sizeof(what->text->text) ? n : -EINVAL;
}

/* Where the members behind the event begin in the text of an event: `found` goes in there. */
static size_t members_at(const struct audit_text *t)
{
	static const char event[] = ",\"event\":\"";
	const char *at = memmem(t->text, t->len, event, sizeof(event) - 1);
	const char *end = at ? memchr(at + sizeof(event) - 1, '"', t->len - (size_t)(at + sizeof(event) - 1 - t->text))
			     : NULL;

	return end ? (size_t)(end + 1 - t->text) : t->len;
}

static size_t found_write(const struct audit_chain *c, const struct audit_seal *what, char out[96])
{
	if (c->line != 1)
		return 0;
	int n = snprintf(out, 96, ",\"found\":\"%s\"", audit_found_name(what->found));
	if (what->torn > 0)
		n += snprintf(out + n, 96 - (size_t)n, ",\"torn\":%" PRIu64, what->torn);
	return (size_t)n;
}

int audit_chain_seal(struct audit_chain *c, const struct audit_seal *what, uint8_t prev[MAC_LEN],
		     char out[AUDIT_LINE_MAX], size_t *len)
{
	char found[96], hex[MAC_HEX + 1];
	uint8_t mac[MAC_LEN];
	int head = head_write(c, what, prev, out);
	if (head < 0)
		return head;
	size_t at = (size_t)head, n = found_write(c, what, found), split = members_at(what->text);
	if (at + what->text->len + n + TAIL_LEN + 1 > AUDIT_LINE_MAX)
		return -EINVAL;
	memcpy(out + at, what->text->text, split);
	memcpy(out + at + split, found, n);
	memcpy(out + at + split + n, what->text->text + split, what->text->len - split);
	at += what->text->len + n;
	int r = hmac_sha256(c->key, &(struct hmac_part){(uint8_t *)out, at}, 1, mac);
	if (!r)
		r = audit_chain_skip(c);
	if (r)
		return r;
	sodium_bin2hex(hex, sizeof(hex), mac, MAC_LEN);
	snprintf(out + at, AUDIT_LINE_MAX - at, TAIL_LABEL "%s\"}", hex);
	out[at + TAIL_LEN] = '\n';
	memcpy(prev, mac, MAC_LEN);
	*len = at + TAIL_LEN + 1;
	return 0;
}

/* Parsing. A cursor over the line; each step moves it or fails. */

struct cursor {
	const char *at, *end;
};

static int take_label(struct cursor *c, const char *label)
{
	size_t n = strlen(label);
	if ((size_t)(c->end - c->at) < n || memcmp(c->at, label, n) != 0)
		return -EBADMSG;
	c->at += n;
	return 0;
}

static int take_u64(struct cursor *c, uint64_t *out)
{
	const char *from = c->at;
	uint64_t v = 0;
	for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++) {
		unsigned digit = (unsigned)(*c->at - '0');
		if (v > (UINT64_MAX - digit) / 10)
			return -EBADMSG;
		v = v * 10 + digit;
	}
	if (c->at == from || (*from == '0' && c->at - from > 1))
		return -EBADMSG;
	*out = v;
	return 0;
}

static int take_mac(struct cursor *c, uint8_t mac[MAC_LEN])
{
	if ((size_t)(c->end - c->at) < MAC_HEX)
		return -EBADMSG;
	for (size_t i = 0; i < MAC_HEX; i++) {
		char d = c->at[i];
		int v = d >= '0' && d <= '9' ? d - '0' : d >= 'a' && d <= 'f' ? d - 'a' + 10 : -1;
		if (v < 0)
			return -EBADMSG;
		mac[i / 2] = (uint8_t)(i % 2 ? mac[i / 2] | v : v << 4);
	}
	c->at += MAC_HEX;
	return 0;
}

static int take_time(struct cursor *c, const char **out)
{
	static const char form[] = "dddd-dd-ddTdd:dd:dd.dddZ";
	if ((size_t)(c->end - c->at) < AUDIT_TIME_LEN)
		return -EBADMSG;
	for (size_t i = 0; i < AUDIT_TIME_LEN; i++)
		if (form[i] == 'd' ? c->at[i] < '0' || c->at[i] > '9' : c->at[i] != form[i])
			return -EBADMSG;
	*out = c->at;
	c->at += AUDIT_TIME_LEN;
	return 0;
}

static int take_event(struct cursor *c, struct audit_line *l)
{
	l->event = c->at;
	while (c->at < c->end && ((*c->at >= 'a' && *c->at <= 'z') || *c->at == '_'))
		c->at++;
	l->event_len = (size_t)(c->at - l->event);
	return l->event_len > 0 && l->event_len <= AUDIT_EVENT_MAX ? 0 : -EBADMSG;
}

static int take_found(struct cursor c, struct audit_line *l)
{
	if (l->line != 1)
		return 0;
	int r = take_label(&c, ",\"found\":\"");
	for (size_t f = AUDIT_NEW; !r && f < ARRAY_LEN(found_name); f++) {
		struct cursor t = c;
		if (take_label(&t, found_name[f]) == 0 && take_label(&t, "\"") == 0) {
			l->found = (enum audit_found)f;
			c = t;
			break;
		}
	}
	if (r || l->found == 0)
		return -EBADMSG;
	if (take_label(&c, ",\"torn\":") == 0)
		return take_u64(&c, &l->torn) || l->torn == 0 ? -EBADMSG : 0;
	return l->found == AUDIT_TORN ? -EBADMSG : 0;
}

static int head_parse(struct cursor *c, struct audit_line *l)
{
	uint64_t version;
	if (take_label(c, "{\"v\":") || take_u64(c, &version) || version == 0)
		return -EBADMSG;
	if (version > 1)
		return -ENOTSUP;
	if (take_label(c, ",\"session\":") || take_u64(c, &l->session) || take_label(c, ",\"line\":") ||
	    take_u64(c, &l->line))
		return -EBADMSG;
	if (take_label(c, ",\"prev\":\"") || take_mac(c, l->prev) || take_label(c, "\",\"time\":\"") ||
	    take_time(c, &l->time))
		return -EBADMSG;
	if (take_label(c, "\",\"event\":\"") || take_event(c, l) || take_label(c, "\""))
		return -EBADMSG;
	return l->session && l->line ? 0 : -EBADMSG;
}

int audit_line_parse(const char *text, size_t len, struct audit_line *out)
{
	struct audit_line l = {0};
	if (len >= AUDIT_LINE_MAX)
		return -EBADMSG;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return -EBADMSG;
	struct cursor c = {text, text + len};
	int r = head_parse(&c, &l);
	if (r)
		return r;
	if ((size_t)(c.end - c.at) < TAIL_LEN)
		return -EBADMSG;
	struct cursor tail = {c.end - TAIL_LEN, c.end};
	l.members = c.at;
	l.members_len = (size_t)(tail.at - c.at);
	l.maced_len = (size_t)(tail.at - text);
	if (l.members_len > 0 && l.members[0] != ',')
		return -EBADMSG;
	if (take_label(&tail, TAIL_LABEL) || take_mac(&tail, l.mac) || take_label(&tail, "\"}"))
		return -EBADMSG;
	r = take_found((struct cursor){l.members, l.members + l.members_len}, &l);
	if (!r)
		*out = l;
	return r;
}

int audit_chain_check(struct audit_chain *c, const char *text, const struct audit_line *line)
{
	uint8_t mac[MAC_LEN];
	int r = hmac_sha256(c->key, &(struct hmac_part){(const uint8_t *)text, line->maced_len}, 1, mac);
	if (r)
		return r;
	bool good = line->session == c->session && line->line == c->line && sodium_memcmp(mac, line->mac, MAC_LEN) == 0;
	r = audit_chain_skip(c);
	return r ? r : good ? 0 : -EBADMSG;
}

/* The host's end record */

void audit_end_write(const struct audit_end *e, uint8_t buf[AUDIT_END_LEN])
{
	memcpy(buf, MAGIC, MAGIC_LEN);
	memcpy(buf + 8, e->store_id, ID_LEN);
	be64_put(buf + 24, e->session);
	be64_put(buf + 32, e->line);
	be64_put(buf + 40, e->length);
	be64_put(buf + 48, e->lost);
	memcpy(buf + 56, e->mac, MAC_LEN);
	crypto_hash_sha256(buf + 88, buf, AUDIT_END_LEN - HASH_LEN);
}

int audit_end_parse(const uint8_t *buf, size_t len, struct audit_end *out)
{
	uint8_t hash[HASH_LEN];
	int r = magic_check(buf, len, MAGIC);
	if (r)
		return r;
	if (len != AUDIT_END_LEN)
		return -EUCLEAN;
	crypto_hash_sha256(hash, buf, AUDIT_END_LEN - HASH_LEN);
	if (sodium_memcmp(hash, buf + AUDIT_END_LEN - HASH_LEN, HASH_LEN) != 0)
		return -EUCLEAN;
	memcpy(out->store_id, buf + 8, ID_LEN);
	out->session = be64_get(buf + 24);
	out->line = be64_get(buf + 32);
	out->length = be64_get(buf + 40);
	out->lost = be64_get(buf + 48);
	memcpy(out->mac, buf + 56, MAC_LEN);
	return 0;
}
