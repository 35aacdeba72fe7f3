/* SPDX-License-Identifier: BSD-2-Clause */
/* The audit log on disk and the host's memory of its end. For the audit thread and the check; no keys. */
#ifndef FS_AUDIT_FILE_H
#define FS_AUDIT_FILE_H

#include <stdbool.h>

#include "crypto/audit.h"
#include "fs/store/store.h"

#define STORE_AUDIT "audit.log"
#define AUDIT_RESERVE 65536u /* room that is kept behind the log, for a disk that is full when it counts */

struct audit_file {
	char *path;        /* the store's, for the end record's name */
	int own_fd;        /* STORE/byokfs, our own descriptor */
	int fd;            /* -1: could not be made yet */
	int end_fd;        /* -1: none */
	uint64_t length;   /* where the next line goes */
	uint64_t reserved; /* up to here there is room */
	enum audit_found found;
	uint64_t torn;         /* bytes of an unfinished line at the end */
	uint8_t prev[MAC_LEN]; /* MAC of the last line; zeros */
	struct audit_end end;  /* as the host remembers it; session 0 = not at all */
};

/*
 * Look at the log of S and at the host's end record, and open both for writing. What cannot be made now (a full disk) is
 * tried again by append. -EUCLEAN: there is something under that name that is no regular file; -ENOMEM, -EIO.
 */
int audit_file_open(struct audit_file *f, const struct store *s) MUST_CHECK;
void audit_file_close(struct audit_file *f);
/*
 * Append whole lines, durably; after an error nothing counts as written, and the same bytes must come again. END says which
 * line is the last; its length is filled in.
 */
int audit_file_append(struct audit_file *f, const char *lines, size_t len, struct audit_end *end) MUST_CHECK;
/* Remember END on this host. -ENOENT where there is no place for it. */
int audit_file_remember(struct audit_file *f, const struct audit_end *end) MUST_CHECK;

/* What the host remembers of the log of S: 0, -ENOENT nothing, -EUCLEAN damaged. */
int audit_end_read(const struct store *s, struct audit_end *out) MUST_CHECK;

/* Reading line by line, whatever lies there. */
struct audit_reader {
	int fd;
	uint64_t off; /* of what is in the buffer */
	size_t at, len;
	char buf[4 * AUDIT_LINE_MAX];
};
/* -ENOENT, -EUCLEAN. */
int audit_reader_open(struct audit_reader *r, int own_fd) MUST_CHECK;
void audit_reader_close(struct audit_reader *r);
struct audit_piece {
	const char *text; /* NUL behind it; until the next call. Of a piece that is too long, its beginning */
	size_t len;       /* without the newline; all of it, also where `text` is shorter */
	bool ended;       /* by a newline */
	bool too_long;    /* no line of ours */
	uint64_t end;     /* offset behind it, newline included */
};
/* 1 and the next piece, 0 at the end, negative errno. */
int audit_reader_next(struct audit_reader *r, struct audit_piece *out) MUST_CHECK;

#endif
