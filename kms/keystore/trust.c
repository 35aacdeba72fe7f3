/* SPDX-License-Identifier: BSD-2-Clause */
/* Owners and modes of what holds keys and passphrases. */
#include "kms/keystore/trust.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool ours(const struct stat *st)
{
	return st->st_uid == 0 || st->st_uid == geteuid();
}

int trust_check(const struct stat *st)
{
	return ours(st) && !(st->st_mode & (S_IWGRP | S_IWOTH)) ? 0 : -EPERM;
}

int trust_file(const struct stat *st, const char *path)
{
	char real[PATH_MAX];
	int r = trust_check(st);

	if (r == 0 && !realpath(path, real))
		r = -errno;
	if (r == 0)
		r = trust_parents(real);
	return r == 0 && path[0] == '/' ? trust_parents(path) : r;
}

int trust_parents(const char *path)
{
	char above[PATH_MAX];
	struct stat st;

	if (strlen(path) >= sizeof(above))
		return -ENAMETOOLONG;
	memcpy(above, path, strlen(path) + 1);
	for (char *slash; (slash = strrchr(above, '/'));) {
		*slash = 0;
		if (stat(above[0] ? above : "/", &st) < 0)
			return -errno;
		if (!ours(&st) || (trust_check(&st) < 0 && !(st.st_mode & S_ISVTX)))
			return -EPERM;
	}
	return 0;
}
