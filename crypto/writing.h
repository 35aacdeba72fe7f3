/* SPDX-License-Identifier: BSD-2-Clause */
/* The list of files that a session has written lately (FORMAT.md "Files being written"): head, entries, their key. */
#ifndef CRYPTO_WRITING_H
#define CRYPTO_WRITING_H

#include "crypto/keys.h"

#define WRITING_HEAD_LEN 128u
#define WRITING_ENTRY_LEN 64u
#define WRITING_SLOTS 32766u
#define WRITING_LEN (WRITING_HEAD_LEN + WRITING_SLOTS * WRITING_ENTRY_LEN)
#define WRITING_PLACE_NAME_MAX 255u

_Static_assert(WRITING_LEN == 2u << 20, "2 MiB");

/* The list's key of one session, in secret memory. It opens no data, so it may outlive a lock. */
struct writing_key;

struct writing_head {
	uint64_t session;
	uint8_t boot_id[ID_LEN];
	uint64_t ino;      /* of the list itself */
	uint64_t begun;    /* seconds since 1970, as all times here */
	uint64_t from, to; /* ctimes of files whose ends are tolerated too; both 0: none */
	bool all;          /* every end is tolerated */
	bool lost;         /* an earlier session's list was taken away */
};

enum writing_kind {
	WRITING_WRITTEN = 1,
	WRITING_MENDED = 2,
	WRITING_BACK = 3, /* went back to what the undo journal had of it */
};

struct writing_entry {
	enum writing_kind kind;
	uint8_t file_id[ID_LEN];
	uint64_t ino;   /* 0: not known yet */
	uint64_t time;  /* when it was made */
	uint64_t value; /* written: the place of a create, 0 = none; mended: bytes on disk that were cut off; back: 0 */
};

/* Derive the key of SESSION. Caller frees. -ENOMEM, -EIO. */
int writing_key_new(const struct store_keys *keys, uint64_t session, struct writing_key **out) MUST_CHECK;
/* Wipes. NULL is legal. */
void writing_key_free(struct writing_key *k);

/* -EINVAL for what writing_head_parse() would refuse; -EIO. */
int writing_head_write(const struct writing_key *k, const struct writing_head *h,
		       uint8_t buf[WRITING_HEAD_LEN]) MUST_CHECK;
/* The session that a head names, unauthenticated: its key must be had first. -EUCLEAN, -ENOTSUP a newer format. */
int writing_head_peek(const uint8_t *buf, size_t len, uint64_t *session) MUST_CHECK;
/* -EBADMSG. */
int writing_head_parse(const struct writing_key *k, const uint8_t *buf, size_t len,
		       struct writing_head *out) MUST_CHECK;

int writing_entry_write(const struct writing_key *k, const struct writing_entry *e,
			uint8_t buf[WRITING_ENTRY_LEN]) MUST_CHECK;
/* -ENOENT an empty one, -EBADMSG. */
int writing_entry_parse(const struct writing_key *k, const uint8_t buf[WRITING_ENTRY_LEN],
			struct writing_entry *out) MUST_CHECK;

/* The place of a create of DISK_NAME in the folder with inode number DIR_INO; never 0. */
uint64_t writing_place(uint64_t dir_ino, const char *disk_name);

#endif
