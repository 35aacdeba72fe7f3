/* SPDX-License-Identifier: BSD-2-Clause */
/* What a process that was forked to do one thing keeps open of its parent's. */
#ifndef FS_KEEP_ONLY_H
#define FS_KEEP_ONLY_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Close every descriptor but the N of FDS (in any order; -1 stands for none) and the three standard ones, which go to /dev/null;
 * but standard error if TO_STDERR.
 */
void keep_only(const int *fds, size_t n, bool to_stderr);

#endif
