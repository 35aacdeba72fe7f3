/* SPDX-License-Identifier: BSD-2-Clause */
/* Secrets of the environment: taken out of it before anything else, and handed over once. */
#ifndef KMS_HIDDEN_H
#define KMS_HIDDEN_H

#include "kms/long_secret.h"

#define HIDDEN_MAX 4096u /* bytes of all of them together: what a pipe takes at once */

/*
 * First thing of main(): move the variables of LIST (environ) that hold secrets into a pipe of this process and its children, and
 * overwrite them where they stood, which other processes of the user could read in /proc. Too many for HIDDEN_MAX: they are only overwritten.
 */
void hidden_begin(char **list);
/*
 * The process that asks the KMS, before its first thread: take them out of the pipe into locked memory, so that no other process has them.
 * A worker that is started again finds none. -ENOMEM. Calling it again is harmless.
 */
int hidden_take(void) MUST_CHECK;
/* The value of NAME, or NULL where there is none; valid until hidden_end(). After hidden_take() only. */
const struct long_secret *hidden_get(const char *name);
/* Wipe what was taken, and drop what was not. */
void hidden_end(void);

#endif
