/* SPDX-License-Identifier: BSD-2-Clause */
/* Versions of the program and of the libraries that it runs with. */
#ifndef TOOLS_VERSION_H
#define TOOLS_VERSION_H

/* "byokfs 0.1.0" and one line per library, on stdout. */
void version_print(void);

#endif
