/* SPDX-License-Identifier: BSD-2-Clause */
/* Checking every object of a store, and putting right what a crash left (the `verify` command). No FUSE. */
#ifndef FS_CHECK_H
#define FS_CHECK_H

#include <stdarg.h>

#include "fs/store/store.h"
#include "kms/gate.h"

/* Where repairs put what they take away: STORE/byokfs/lost+found. */
#define CHECK_LOST "lost+found"

enum check_severity {
	CHECK_NOTE = 1, /* nothing is lost: left over by a crash, ignored by the mount */
	CHECK_CRASH,    /* what a crash may leave; the mount tolerates it until verify has passed */
	CHECK_DAMAGE,   /* altered, lost or planted */
};

enum check_code {
	CHECK_IO = 1, /* the disk does not give it */
	CHECK_TYPE,   /* neither a directory nor a regular file */
	CHECK_SIZE,   /* no object has such a size */
	CHECK_HEADER, /* the file header does not parse, or belongs to another store or file */
	CHECK_KEY,    /* the file's key cannot be had */
	CHECK_END,    /* the final record: cut, or unfinished */
	CHECK_BLOCK,
	CHECK_SPECIAL, /* symlink, fifo, socket, device node */
	CHECK_XATTR,
	CHECK_NAME,
	CHECK_SIDECAR, /* a long name's sidecar is missing or wrong */
	CHECK_ORPHAN,  /* a sidecar without its entry */
	CHECK_DIRID,
	CHECK_STUMP,    /* a create or mkdir that was cut off */
	CHECK_COPY,     /* two objects with one id */
	CHECK_LEFTOVER, /* a file under a name of the store's own */
	CHECK_KEYRING,
	CHECK_SESSION,
	CHECK_INFLIGHT,
	CHECK_LOST_RANGE, /* what was accepted and never stored; or the list of it */
};
/* "io", "type", ...; and "note", "crash", "damage". */
const char *check_code_name(enum check_code c);
const char *check_severity_name(enum check_severity s);

/* One problem. The strings live during the callback only. */
struct check_problem {
	const char *path;  /* on disk, below STORE: "data/..." */
	const char *plain; /* in the mount: "/a/b"; NULL where it could not be decrypted */
	enum check_code code;
	enum check_severity severity;
	int64_t block, last; /* the blocks concerned, -1 if none in particular */
	bool repaired;
	const char *text; /* one sentence, without the path */
};

/* Counts so far, and in the end. */
struct check_counts {
	uint64_t files, dirs, specials;
	uint64_t bytes;                /* on disk, looked at */
	uint64_t total;                /* bytes there are; 0 until known */
	uint64_t notes, crash, damage; /* problems by severity, those repaired left out */
	uint64_t repaired;
	uint64_t lost; /* of the damage: lost ranges, which a mount knows of and answers with an error */
	uint64_t busy; /* without key on a mounted store: changed all the time while looked at */
};

struct check_config {
	const struct store *store; /* open; with a gate: locked and begun */
	struct gate *gate;         /* ACTIVE, or NULL: structure only */
	unsigned threads;          /* beside the one that walks; 0 = 2, at most 16 */
	bool repair;               /* only with a gate and a writable store */
	bool begins;               /* check_own(): store_begin() follows, which completes the writes in flight */
	const _Atomic int *cancel; /* set from outside: end soon with -EINTR; may be NULL */
	/* One call at a time, from any thread. */
	void (*problem)(void *arg, const struct check_problem *p);
	void (*progress)(void *arg, const struct check_counts *c); /* a few times a second; may be NULL */
	void *arg;
};

/*
 * Look at every object below STORE/data, in bounded memory. 0 when all of it was looked at, whatever was found; -EACCES when the
 * gate locked meanwhile, -EINTR, -ENOMEM, -EMFILE (too deep for the limit of open files), -EIO when data/ itself cannot be read.
 * OUT is filled in any case. With `repair`, in an unclean store: orphan sidecars and planted objects move to lost+found,
 * stumps become empty files or directories, unfinished files are sealed at their end, what is cut off them is kept in
 * lost+found. In a clean store only the first: there a missing end is damage, not a crash.
 */
int check_data(const struct check_config *cfg, struct check_counts *out) MUST_CHECK;

/*
 * The store's own files but the keyring, before store_begin() puts them right: the session record (its length, or with a
 * gate all of it), the in-flight slots. Adds to OUT.
 */
int check_own(const struct check_config *cfg, struct check_counts *out) MUST_CHECK;

/*
 * The keyring copies as they were when cfg->store was opened: both parse and are the same. With cfg->repair they have been
 * written again since, by store_begin().
 */
void check_keyring(const struct check_config *cfg, struct check_counts *out);

/* The lists of files being written when a session broke off, and of what was lost, as store_begin() has found them. */
void check_list(const struct check_config *cfg, struct check_counts *out);

/* The session record's bytes, read before store_begin() wrote another, against the key that the gate has now. */
int check_session(const struct check_config *cfg, const uint8_t *record, size_t len,
		  struct check_counts *out) MUST_CHECK;

#endif
