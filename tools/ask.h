/* SPDX-License-Identifier: BSD-2-Clause */
/* Asking a running mount, with its errors in words. */
#ifndef TOOLS_ASK_H
#define TOOLS_ASK_H

#include "fs/watch/control.h"
#include "tools/cmd.h"

/*
 * Ask the mount at MOUNTPOINT (canonical). CMD_OK and its answer (malloc'ed, never NULL), or the error is printed. 0 or the
 * negative errno goes to *ERROR (may be NULL).
 */
enum cmd_exit ask_mount(const char *mountpoint, enum control_command cmd, char **answer, int *error);
/* The value of KEY in a status answer, unescaped, malloc'ed; NULL if it is not there. N counts repeated keys from 0. */
char *ask_value(const char *answer, const char *key, unsigned n);

#endif
