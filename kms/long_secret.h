/* SPDX-License-Identifier: BSD-2-Clause */
/* Secrets that are longer than a slot of locked memory: session tokens. */
#ifndef KMS_LONG_SECRET_H
#define KMS_LONG_SECRET_H

#include "crypto/attr.h"

#define LONG_SECRET_MAX 4096u /* bytes */

/* Zeroed, it is empty. Its bytes lie in secret_alloc() slots. */
struct long_secret {
	char *piece[8];
	size_t len;
};

/* Take the LEN bytes at TEXT in the place of what S held. -ENOMEM, -EMSGSIZE: S is empty then. */
int long_secret_set(struct long_secret *s, const char *text, size_t len) MUST_CHECK;
/* S->len bytes and a NUL to OUT, which is for the caller to wipe. */
void long_secret_copy(const struct long_secret *s, char *out);
bool long_secret_equal(const struct long_secret *a, const struct long_secret *b) MUST_CHECK;
void long_secret_wipe(struct long_secret *s);

#endif
