/* SPDX-License-Identifier: BSD-2-Clause */
/* Names that may hold any byte, for a log or a terminal. */
#ifndef FS_PRINTABLE_H
#define FS_PRINTABLE_H

#include <stdio.h>

/* TEXT with nothing in it that a terminal obeys: control characters, backslash and what is not UTF-8 as \xHH. */
void printable_put(FILE *out, const char *text);

#endif
