/* SPDX-License-Identifier: BSD-2-Clause */
/* The list of providers of byokfs-fault and of the unit tests; stands in the place of kms/providers/providers.c. */
#include "tests/kms/scripted.h"

const struct kms_provider *const kms_providers[] = {
	&kms_local, &fake_provider, &fault_provider, &kms_vault, &kms_aws, &kms_pkcs11, NULL,
};
