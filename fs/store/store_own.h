/* SPDX-License-Identifier: BSD-2-Clause */
/* What the store's own files share among themselves: names, small cleanups. For fs/store*.c, pin_file.c, replay.c. */
#ifndef FS_STORE_OWN_H
#define FS_STORE_OWN_H

#include <dirent.h>
#include <limits.h>
#include <stdarg.h>

#include "fs/store/store.h"

#define STORE_TMP_PREFIX OWN_PREFIX "tmp."
#define STORE_COPIES 2u /* of the keyring, in the store */

typedef void (*store_log_fn)(int priority, const char *text);

/* One copy of the keyring, as it was found. */
struct store_copy {
	const char *name;        /* file name in STORE/byokfs, "pin" for the pin's */
	struct keyring *keyring; /* NULL if it does not parse */
	int error;               /* why: -ENOENT, -EUCLEAN, -ENOTSUP */
	bool tried;
};

struct store_copies {
	struct store_copy copy[STORE_COPIES + 1]; /* the last one is the pin's */
	struct store_copy *chosen;
	bool same; /* both copies in the store have the same bytes */
	struct store_open how;
};

/* WHY becomes the text of FORMAT, cut short if it is too long. */
void store_say(char why[STORE_WHY_MAX], const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * Two names that differ in case only must be two names: base64url has both cases. -EOPNOTSUPP and WHY if they are one on
 * the filesystem of DATA_FD, which is data/ of the store at PATH.
 */
int store_case_check(int data_fd, const char *path, char why[STORE_WHY_MAX]) MUST_CHECK;

/* For AUTO(). */
void store_dir_close(DIR **d);

/* rename(2) of TMP to NAME, both in DIR_FD; a folder that somebody has put in its place goes aside, as NAME.displaced. */
int store_put_in_place(int dir_fd, const char *tmp, const char *name) MUST_CHECK;

/* A fresh directory stream on DIR_FD, which stays the caller's; NULL and errno. */
DIR *store_dir_open(int dir_fd);

/* 64-bit FNV-1a of TEXT as 16 hex digits and NUL: file names made from paths that the operator chose. */
void store_path_hash(const char *text, char out[17]);

/* mkdir -p of PATH, which is absolute, with 0700 for what is made; changed meanwhile. As mkdir(2), but -EEXIST. */
int store_make_dirs(char *path) MUST_CHECK;

/* What an owner's lock file says, which anyone may have written; made plain for a message. -ENOENT: it says nothing. */
int store_owner_parse(const char *text, struct store_owner *out) MUST_CHECK;

/* STORE/byokfs/inflight with all its blocks allocated, every slot empty. */
int store_inflight_make(int own_fd, size_t slot_len) MUST_CHECK;

#endif
