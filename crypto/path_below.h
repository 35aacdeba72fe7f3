/* SPDX-License-Identifier: BSD-2-Clause */
/* A path of disk names that was found on disk, and is walked below data/. Private to crypto/. */
#ifndef CRYPTO_PATH_BELOW_H
#define CRYPTO_PATH_BELOW_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define PATH_BELOW_PART_MAX 255u

/* No absolute path, no empty part, no "." and "..", no NUL: it stays below. LEN bytes; an empty one is none, and fine. */
static inline bool path_below(const char *path, size_t len)
{
	for (size_t at = 0; at < len;) {
		const char *part = path + at, *slash = memchr(part, '/', len - at);
		size_t n = slash ? (size_t)(slash - part) : len - at;
		if (n == 0 || n > PATH_BELOW_PART_MAX || memchr(part, '\0', n))
			return false;
		if (part[0] == '.' && (n == 1 || (n == 2 && part[1] == '.')))
			return false;
		at += n;
		if (slash && ++at == len)
			return false;
	}
	return true;
}

#endif
