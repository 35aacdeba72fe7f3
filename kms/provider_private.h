/* SPDX-License-Identifier: BSD-2-Clause */
/* The providers that exist. Private to kms/ and tests/. */
#ifndef KMS_PROVIDER_PRIVATE_H
#define KMS_PROVIDER_PRIVATE_H

#include "kms/provider.h"

extern const struct kms_provider kms_aws;
extern const struct kms_provider kms_local;
extern const struct kms_provider kms_pkcs11;
extern const struct kms_provider kms_vault;

/* providers/providers.c: those that are built in; NULL at the end. Tests link a list of their own. */
extern const struct kms_provider *const kms_providers[];

#endif
