/* SPDX-License-Identifier: BSD-2-Clause */
/* How `byokfs keystore list` and `show` print. */
#ifndef TOOLS_KEYSTORE_SHOW_H
#define TOOLS_KEYSTORE_SHOW_H

#include <stdbool.h>

#include "kms/keystore/keystore.h"

/* Both print, and return an exit code: CMD_DAMAGED if a key file is not what the keystore wrote. */
int keystore_show_list(struct keystore *ks, bool json);
int keystore_show_key(struct keystore *ks, const char *name, bool json);

#endif
