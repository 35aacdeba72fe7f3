/* SPDX-License-Identifier: BSD-2-Clause */
/* The providers that exist, and the door through which tests add one of their own. Private to kms/ and tests/. */
#ifndef KMS_PROVIDER_PRIVATE_H
#define KMS_PROVIDER_PRIVATE_H

#include "kms/provider.h"

extern const struct kms_provider kms_local;

/* providers.c: those that are built in; NULL at the end. */
extern const struct kms_provider *const kms_providers[];

/* Tests only: P comes behind the built-in ones. Not thread-safe; before any handle is opened. -ENOSPC. */
int kms_provider_register(const struct kms_provider *p) MUST_CHECK;

#endif
