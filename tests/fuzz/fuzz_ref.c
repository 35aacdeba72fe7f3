/* SPDX-License-Identifier: BSD-2-Clause */
/* Fuzz target: KMS references. What is accepted is canonical: it fits, begins with its scheme, and stays itself. */
#include <stdlib.h>
#include <string.h>

#include "kms/provider.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char out[KMS_REF_MAX + 1], again[KMS_REF_MAX + 1], why[KMS_TEXT_MAX];
	char *ref = malloc(len + 1);

	memcpy(ref, data, len);
	ref[len] = '\0';
	if (kms_ref_normalise(ref, out, why)) {
		if (!why[0] || strlen(why) >= KMS_TEXT_MAX)
			abort();
		free(ref);
		return 0;
	}
	bool local = strncmp(out, "local:/", 7) == 0;
	bool other = strncmp(out, "vault:http", 10) == 0 || strncmp(out, "pkcs11:", 7) == 0 ||
		     (strncmp(out, "aws-kms:arn:aws", 15) == 0 && !strpbrk(out, "?#%@"));
	if (strlen(out) > KMS_REF_MAX || (local ? strstr(out, "//") != NULL : !other) || strstr(out, "/../"))
		abort();
	if (kms_ref_normalise(out, again, why) || strcmp(out, again) != 0)
		abort();
	if (kms_ref_inside(out, "/") != local)
		abort();
	free(ref);
	return 0;
}
