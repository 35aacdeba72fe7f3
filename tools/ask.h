/* SPDX-License-Identifier: BSD-2-Clause */
/* Asking a running mount, with its errors in words. */
#ifndef TOOLS_ASK_H
#define TOOLS_ASK_H

#include "fs/watch/control.h"
#include "tools/cmd.h"
#include "tools/mounts.h"

/*
 * The command line of a subcommand that takes MOUNTPOINT and nothing else: CMD_OK and the canonical PATH; -1 when HELP was
 * printed instead; else the error was printed.
 */
int ask_mountpoint(int argc, char **argv, const char *help, char path[MOUNTS_PATH_MAX]) MUST_CHECK;
/* The same of what is left when the options are read: MOUNTPOINT, canonical, into PATH. */
int ask_operand(int argc, char **argv, char path[MOUNTS_PATH_MAX]) MUST_CHECK;
/*
 * Ask the mount at MOUNTPOINT (canonical). CMD_OK and its answer (malloc'ed, never NULL), or the error is printed. 0 or the
 * negative errno goes to *ERROR (may be NULL).
 */
enum cmd_exit ask_mount(const char *mountpoint, enum control_command cmd, char **answer, int *error);
/* The value of KEY in a status answer, unescaped, malloc'ed; NULL if it is not there. N counts repeated keys from 0. */
char *ask_value(const char *answer, const char *key, unsigned n);
/* The number that it has for KEY; 0 also where it has none, or none up to UINT64_MAX. */
uint64_t ask_number(const char *answer, const char *key);

#endif
