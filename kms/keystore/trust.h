/* SPDX-License-Identifier: BSD-2-Clause */
/* Who could have written what is trusted here: owners and modes, as ssh looks at them. */
#ifndef KMS_TRUST_H
#define KMS_TRUST_H

#include <sys/stat.h>

#include "crypto/attr.h"

/* -EPERM unless ST belongs to root or to us, and nobody else may write it. */
int trust_check(const struct stat *st) MUST_CHECK;
/*
 * The same for every folder above PATH, which is absolute: whoever may write one of them can put another
 * folder in its place. A sticky one (/tmp) will do. As stat(2).
 */
int trust_parents(const char *path) MUST_CHECK;
/* Both for the file ST at PATH: the folders above it, and above the link by which it is named. As stat(2). */
int trust_file(const struct stat *st, const char *path) MUST_CHECK;

#endif
