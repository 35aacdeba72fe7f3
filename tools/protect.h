/* SPDX-License-Identifier: BSD-2-Clause */
/* The bare mount point, made unusable while nothing is mounted on it. */
#ifndef TOOLS_PROTECT_H
#define TOOLS_PROTECT_H

#include <stdbool.h>

#include "tools/cmd.h"

/*
 * Make the folder PLACE (O_PATH will do), on which nothing is mounted, root's, of mode 0000 and immutable; again is harmless. What
 * the filesystem cannot do is told as a warning, with its name PATH, and is no failure. CMD_OK, or the error was printed: not root.
 */
int protect_mountpoint(int place, const char *path) MUST_CHECK;
/* The folder PLACE is immutable. False also where that cannot be told. */
bool protect_is_immutable(int place);

#endif
