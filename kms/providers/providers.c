/* SPDX-License-Identifier: BSD-2-Clause */
/* Which providers this program has: a file of its own, so that a test program can bring another list. */
#include "kms/provider_private.h"

const struct kms_provider *const kms_providers[] = {
	&kms_local, &kms_vault, &kms_aws, &kms_pkcs11, NULL,
};
