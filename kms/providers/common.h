/* SPDX-License-Identifier: BSD-2-Clause */
/* What providers over a network have in common: files that options name. */
#ifndef KMS_PROVIDERS_COMMON_H
#define KMS_PROVIDERS_COMMON_H

#include "kms/options.h"
#include "kms/verdict.h"

/* *TO = OUT, the path that option NAME of O means now, or left alone where it is not given. 0, or AUTH "credentials" in V. */
int provider_path(const struct kms_options *o, const char *name, char out[PATH_MAX], const char **to,
		  struct kms_verdict *v) MUST_CHECK;
/*
 * What the file at PATH, of less than MAX bytes, holds now: text with a NUL behind it for heap_free(), which wipes it. It must be root's or ours
 * and nobody else's to write. NULL with V, AUTH "credentials": not there, empty, too long, a NUL in it.
 */
char *provider_file(const char *path, size_t max, struct kms_verdict *v);

#endif
