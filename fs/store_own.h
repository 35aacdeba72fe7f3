/* SPDX-License-Identifier: BSD-2-Clause */
/* What the store's own files share among themselves: names, small cleanups. For fs/store*.c, pin_file.c, replay.c. */
#ifndef FS_STORE_OWN_H
#define FS_STORE_OWN_H

#include <dirent.h>

#include "fs/store.h"

#define STORE_TMP_PREFIX OWN_PREFIX "tmp."

/* For AUTO(). */
void store_fd_close(int *fd);
void store_dir_close(DIR **d);

/* A fresh directory stream on DIR_FD, which stays the caller's; NULL and errno. */
DIR *store_dir_open(int dir_fd);
/* 1 if DIR_FD holds nothing but EXCEPT (may be NULL), 0 if it does, negative errno. */
int store_dir_empty(int dir_fd, const char *except) MUST_CHECK;

/* 64-bit FNV-1a of TEXT as 16 hex digits and NUL: file names made from paths that the operator chose. */
void store_path_hash(const char *text, char out[17]);

#endif
