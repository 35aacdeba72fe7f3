/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptors that come with the process: the three standard ones must be there, others must not live on in a daemon. */
#ifndef TOOLS_DESCRIPTORS_H
#define TOOLS_DESCRIPTORS_H

#include "crypto/attr.h"

/*
 * First thing in main(). Standard descriptors that are closed go to /dev/null: else the next file opened becomes standard output,
 * and a message goes into the store. Notes what else is open. -errno when there is no /dev/null.
 */
int descriptors_begin(void) MUST_CHECK;
/*
 * Close what was open at the start besides the standard three: a lock file of the shell's, the end of a pipe that somebody
 * waits for. When nothing that was named on the command line (a passphrase by /dev/fd/N) is to be read any more.
 */
void descriptors_leave(void);

#endif
