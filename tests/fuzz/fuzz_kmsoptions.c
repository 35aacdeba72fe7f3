/* SPDX-License-Identifier: BSD-2-Clause */
/* What a host remembers of a KMS's options: what is read can be written, and is read again as it was. */
#include "tests/fuzz/fuzz.h"

#include "kms/options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char out[KMS_OPTIONS_TEXT_MAX];
	struct kms_options *o = malloc(2 * sizeof(*o));
	char *text = fuzz_text(data, size), why[KMS_TEXT_MAX] = "";
	size_t at = 0;

	MUST(o);
	memset(o, 0x81, 2 * sizeof(*o));
	if (kms_options_read(text, size, "fake:0", &o[0], why) == 0) {
		MUST(o[0].n <= KMS_OPTIONS_MAX);
		MUST(kms_options_write("fake:0", &o[0], out, &at) == 0 && (at > 0) == (o[0].n > 0));
		MUST(kms_options_read(out, at, "fake:0", &o[1], why) == 0 && kms_options_equal(&o[0], &o[1]));
	} else {
		MUST(why[0] && strlen(why) < KMS_TEXT_MAX);
	}
	free(text);
	free(o);
	return 0;
}
