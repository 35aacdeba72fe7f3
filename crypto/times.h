/* SPDX-License-Identifier: BSD-2-Clause */
/* A regular file's times as they were told (FORMAT.md "Times"): the one that a filesystem does not let us set is kept here. */
#ifndef CRYPTO_TIMES_H
#define CRYPTO_TIMES_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "crypto/attr.h"

#define TIMES_XATTR \
	"user.byokfs.t" /* no name of ours has a dot behind its prefix; short: it is to fit into the inode */
#define TIMES_LEN 24u

/* `ctime` is what was told while the file on disk had `mtime`, which says whether it is still true. */
struct times {
	struct timespec mtime, ctime;
};

void times_encode(const struct times *t, uint8_t out[TIMES_LEN]);
/* LEN bytes of DATA, hostile. -EBADMSG: another length, or nanoseconds past a second. */
int times_decode(const uint8_t *data, size_t len, struct times *t) MUST_CHECK;

#endif
