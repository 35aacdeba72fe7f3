/* SPDX-License-Identifier: BSD-2-Clause */
/* The session record: was the store closed cleanly (FORMAT.md "Session"). */
#ifndef CRYPTO_SESSION_H
#define CRYPTO_SESSION_H

#include <stdbool.h>

#include "crypto/keys.h"

#define SESSION_LEN 64u

enum session_state { SESSION_OPEN = 1, SESSION_CLEAN = 2 };

struct session {
	uint64_t number; /* counts mounts, from 1 */
	enum session_state state;
	uint64_t dirty_since; /* number of the first session since the last clean state, 0 when clean */
};

int session_write(const struct store_keys *keys, const struct session *s, uint8_t buf[SESSION_LEN]) MUST_CHECK;
/*
 * What the record says, unauthenticated, for a look without keys; a state that is none is left for the caller to see.
 * -EUCLEAN, -ENOTSUP a newer format.
 */
int session_peek(const uint8_t *buf, size_t len, struct session *out) MUST_CHECK;
/* -EBADMSG. */
int session_parse(const struct store_keys *keys, const uint8_t *buf, size_t len, struct session *out) MUST_CHECK;

/* What a host remembers of the last session that it saw of a store: with a checksum against accidents, its owner guards it. */
#define SESSION_MARK_LEN 72u

enum session_mark_state {
	SESSION_MARK_OPEN = 1,
	SESSION_MARK_CLEAN = 2,
	SESSION_MARK_DOUBTED = 3, /* begun on an older record, which nobody has accepted yet */
};

struct session_mark {
	uint8_t store_id[ID_LEN];
	uint64_t number; /* from 1 */
	enum session_mark_state state;
	bool listed; /* the session keeps a list of files being written (crypto/writing.h) */
};

void session_mark_write(const struct session_mark *m, uint8_t buf[SESSION_MARK_LEN]);
/* -EUCLEAN, -ENOTSUP a newer format. */
int session_mark_parse(const uint8_t *buf, size_t len, struct session_mark *out) MUST_CHECK;

/* What a store's record is worth beside what this host remembers, and what follows for the next session. */
struct session_verdict {
	bool unclean;         /* a crash may have left unfinished ends: they are tolerated */
	bool stale;           /* the record is no news: it claims a crash of which this host knows better */
	bool listed;          /* the session that broke off kept a list of files being written: it must be there */
	bool older;           /* the record is of a session before the one that this host saw last, and closed */
	uint64_t next;        /* number of the session that begins now */
	uint64_t dirty_since; /* of its record */
};

/*
 * RECORD: NULL when it is missing or does not authenticate; MARK: NULL when this host remembers nothing. ACCEPT: the
 * operator says that an older store was put back on purpose. Pure.
 */
void session_judge(const struct session *record, const struct session_mark *mark, bool accept,
		   struct session_verdict *out);

#endif
