/* SPDX-License-Identifier: BSD-2-Clause */
/* The undo journal: head, entries, their key (FORMAT.md "Undo journal"). Bytes only: the ring is fs/store/journal.h. */
#ifndef CRYPTO_JOURNAL_H
#define CRYPTO_JOURNAL_H

#include "crypto/keys.h"

#define JOURNAL_HEAD_LEN 4096u
#define JOURNAL_ALIGN 64u
#define JOURNAL_ENTRY_HEAD 160u
#define JOURNAL_EXTENTS 4u
#define JOURNAL_PATH_MAX 7936u
#define JOURNAL_UNIT (1u << 20) /* the ring's length is a multiple */
#define JOURNAL_NO_CUT UINT64_MAX

/* The journal's key of one session, in secret memory. It opens no data, so it may outlive a lock. */
struct journal_key;

struct journal_head {
	uint64_t session;
	uint64_t home_born, home_ino; /* of the journal itself */
	uint64_t ring_len;
};

enum journal_kind {
	JOURNAL_OLD = 0,  /* bytes as they were */
	JOURNAL_HOLE = 1, /* punched: the entry has no bytes of it */
	JOURNAL_NEW = 2,  /* what a cut puts: its final record */
};

struct journal_extent {
	uint64_t off; /* on disk */
	uint32_t len;
	enum journal_kind kind;
};

/* What a file was before a change of it. Bytes of the extents that are no holes follow the path, one after another. */
struct journal_entry {
	uint64_t seq;    /* from 1 */
	uint64_t oldest; /* the file's entries before this one have ended; from 1 to seq */
	uint64_t place;  /* in the ring, a multiple of JOURNAL_ALIGN */
	uint8_t file_id[ID_LEN];
	uint64_t ino;
	uint64_t disk_size;
	uint64_t cut; /* the length that a truncate gives it, or JOURNAL_NO_CUT */
	uint32_t n_extents;
	struct journal_extent extent[JOURNAL_EXTENTS];
	uint32_t path_len; /* 0: unknown */
	bool ended;        /* read only */
};

/* Derive the key of SESSION. Caller frees. -ENOMEM, -EIO. */
int journal_key_new(const struct store_keys *keys, uint64_t session, struct journal_key **out) MUST_CHECK;
/* Wipes. NULL is legal. */
void journal_key_free(struct journal_key *k);

/* -EINVAL for what journal_head_parse() would refuse; -EIO. The rest of the page is zeros. */
int journal_head_write(const struct journal_key *k, const struct journal_head *h,
		       uint8_t buf[JOURNAL_HEAD_LEN]) MUST_CHECK;
/* The session that a head names, unauthenticated: its key must be had first. -EUCLEAN, -ENOTSUP a newer format. */
int journal_head_peek(const uint8_t *buf, size_t len, uint64_t *session) MUST_CHECK;
/* -EBADMSG. */
int journal_head_parse(const struct journal_key *k, const uint8_t *buf, size_t len,
		       struct journal_head *out) MUST_CHECK;

/* Bytes of E in the ring, its padding to JOURNAL_ALIGN included. 0 if it is none that may be written. */
size_t journal_entry_len(const struct journal_entry *e);
/* Where the old bytes go in an entry with E's path. */
size_t journal_bytes_at(const struct journal_entry *e);
/*
 * Finish the entry in BUF (journal_entry_len() bytes), whose old bytes the caller has put at journal_bytes_at(): head, PATH
 * (path_len bytes), MAC, padding. -EINVAL, -EIO.
 */
int journal_entry_seal(const struct journal_key *k, const struct journal_entry *e, const char *path,
		       uint8_t *buf) MUST_CHECK;
/* An entry that was read: what `path` (entry.path_len bytes) and `bytes` point at is the reader's. */
struct journal_left {
	struct journal_entry e;
	const char *path;
	const uint8_t *bytes; /* of the extents that are no holes */
};
/*
 * The entry at BUF, whose place in the ring is PLACE; LEN bytes from there to the ring's end. 0 and *OUT, which points into BUF; -ENOENT
 * there is none, -EBADMSG. Any memory may be read up to LEN, nothing behind.
 */
int journal_entry_parse(const struct journal_key *k, const uint8_t *buf, size_t len, uint64_t place,
			struct journal_left *out) MUST_CHECK;

/* Where in an entry the mark lies; as `ended` it has these bytes. */
#define JOURNAL_MARK_OFF 4u
#define JOURNAL_MARK_LEN 4u
extern const uint8_t journal_magic_ended[JOURNAL_MARK_LEN];

#endif
