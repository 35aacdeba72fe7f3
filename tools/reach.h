/* SPDX-License-Identifier: BSD-2-Clause */
/* How this host reaches the KMS of a store: --kms-option, and what is remembered of it beside the pin. */
#ifndef TOOLS_REACH_H
#define TOOLS_REACH_H

#include <stdio.h>

#include "crypto/keyring.h"
#include "kms/options.h"
#include "tools/cmd.h"

/*
 * Take --kms-option TEXT, which belongs to REF, the --kms before it (NULL: there is none), into *O, which is made when it is NULL
 * and is for free(). CMD_OK, or the error was printed for the subcommand COMMAND.
 */
enum cmd_exit reach_take(const char *command, const char *ref, const char *text, struct kms_options **o);
/* The same for the options that REF itself names, as a pkcs11: URI may; without any *O stays as it is. */
enum cmd_exit reach_take_ref(const char *command, const char *ref, struct kms_options **o);
/* Every option of every provider, for a help text. */
void reach_help(FILE *out);

/*
 * What this host remembers for REF of the store at PATH (canonical), into O; nothing remembered is no error. -EINVAL: the file
 * does not parse; -EPERM: others may write it; or as open(2). WHY gets a sentence.
 */
int reach_remembered(const char *path, const uint8_t store_id[ID_LEN], const char *ref, struct kms_options *o,
		     char why[CMD_WHY_MAX]) MUST_CHECK;
/*
 * Remember O, one set per slot of K, for the store at PATH, unless that is what is remembered. Warns where it cannot: nothing but the
 * next mount hangs on it.
 */
void reach_remember(const char *path, const struct keyring *k, const struct kms_options *o);

#endif
