/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines of the audit log: made, sealed under a key that is used once, parsed, checked (FORMAT.md "Audit log"). */
#ifndef CRYPTO_AUDIT_H
#define CRYPTO_AUDIT_H

#include <stdbool.h>

#include "crypto/keys.h"

#define AUDIT_LINE_MAX 4096u /* a line, newline included */
#define AUDIT_TEXT_MAX 3072u /* what audit_text_*() make of an event */
#define AUDIT_TIME_LEN 24u   /* 2026-11-24T15:26:12.123Z */
#define AUDIT_EVENT_MAX 31u
#define AUDIT_END_LEN 120u /* the end record that the host keeps */

/* How the writer of a session's first line found the log. */
enum audit_found {
	AUDIT_NEW = 1, /* there was none, and none was known */
	AUDIT_WHOLE,   /* as this host remembers it */
	AUDIT_TORN,    /* the same, and a line that a crash cut off behind it */
	AUDIT_UNKNOWN, /* there is one, and this host has no end record of it */
	AUDIT_CUT,     /* what this host remembers is not there */
	AUDIT_MISSING, /* no log at all, and this host remembers one */
};

/* The text of one event: time, event and members, ready to be sealed later. Zeroed it is empty. */
struct audit_text {
	char text[AUDIT_TEXT_MAX];
	size_t len;
	bool cut; /* a member did not fit and was left out, or its end was */
};

/* Begin with the time (unix, UTC) and EVENT, 1 to 31 of a-z and '_'. */
void audit_text_begin(struct audit_text *t, int64_t unix_ms, const char *event);
/* Add a member. KEY is ours: plain. VALUE may hold any byte, see crypto/json.h; 600 bytes of JSON at most. */
void audit_text_str(struct audit_text *t, const char *key, const char *value);
void audit_text_u64(struct audit_text *t, const char *key, uint64_t value);
void audit_text_i64(struct audit_text *t, const char *key, int64_t value);

/* A line as parsed; pointers lead into its text. */
struct audit_line {
	uint64_t session, line;
	uint8_t prev[MAC_LEN]; /* MAC of the line before it in the file */
	uint8_t mac[MAC_LEN];
	const char *time; /* AUDIT_TIME_LEN bytes */
	const char *event;
	size_t event_len;
	const char *members; /* `,"key":value...` up to the MAC; may be empty */
	size_t members_len;
	size_t maced_len;       /* bytes of the line that the MAC covers */
	enum audit_found found; /* line 1 */
	uint64_t torn;          /* line 1: bytes of an unfinished line before it, 0 if none */
};
/* LEN bytes without the newline. -EBADMSG, or -ENOTSUP for a newer version. Nothing is authenticated yet. */
int audit_line_parse(const char *text, size_t len, struct audit_line *out) MUST_CHECK;

/* The log's own key, from the root key; in secret memory. */
struct audit_key;
int audit_key_new(const struct store_keys *keys, struct audit_key **out) MUST_CHECK;
void audit_key_free(struct audit_key *k); /* wipes; NULL is legal */

/*
 * One session's chain: the key of its next line alone, in secret memory. Each line sealed or passed replaces it by a one-way
 * function, so that who reads it later can neither make nor change a line before.
 */
struct audit_chain;
int audit_chain_new(const struct audit_key *k, uint64_t session, struct audit_chain **out) MUST_CHECK;
void audit_chain_free(struct audit_chain *c); /* wipes; NULL is legal */
uint64_t audit_chain_session(const struct audit_chain *c);
uint64_t audit_chain_line(const struct audit_chain *c); /* number of the next line, from 1 */
/*
 * Seal the next line: OUT gets *LEN bytes (<= AUDIT_LINE_MAX), newline included. PREV is the MAC of the line before it in the
 * file (zeros for none) and becomes this line's. FOUND and TORN count for line 1 only.
 */
struct audit_seal {
	const struct audit_text *text;
	enum audit_found found;
	uint64_t torn;
};
int audit_chain_seal(struct audit_chain *c, const struct audit_seal *what, uint8_t prev[MAC_LEN],
		     char out[AUDIT_LINE_MAX], size_t *len) MUST_CHECK;
/* Is it the line that comes next in C's session? -EBADMSG; C moves on in either case. LINE was parsed from TEXT. */
int audit_chain_check(struct audit_chain *c, const char *text, const struct audit_line *line) MUST_CHECK;
/* Move on without one. */
int audit_chain_skip(struct audit_chain *c) MUST_CHECK;

/* What a host remembers of the end of a log, outside the store. */
struct audit_end {
	uint8_t store_id[ID_LEN];
	uint64_t session, line; /* of the last line */
	uint64_t length;        /* of the log up to and with that line */
	uint64_t lost;          /* events that could not be written, not yet told in the log */
	uint8_t mac[MAC_LEN];   /* of that line */
};
void audit_end_write(const struct audit_end *e, uint8_t buf[AUDIT_END_LEN]);
/* -EUCLEAN, -ENOTSUP for a newer version. */
int audit_end_parse(const uint8_t *buf, size_t len, struct audit_end *out) MUST_CHECK;

#endif
