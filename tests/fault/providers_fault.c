/* SPDX-License-Identifier: BSD-2-Clause */
/* The list of providers of byokfs-fault; stands in the place of kms/providers/providers.c. */
#include "tests/fault/fault_kms.h"

const struct kms_provider *const kms_providers[] = {
	&kms_local,
	&kms_fault,
	NULL,
};
