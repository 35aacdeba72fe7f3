/* SPDX-License-Identifier: BSD-2-Clause */
/* What a helper with a vendor's module in it may answer: what passes the check has a verdict that can be shown. */
#include "tests/fuzz/fuzz.h"

#include "kms/providers/pkcs11.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct p11_reply r;

	memset(&r, 0, sizeof(r));
	memcpy(&r, data, size < sizeof(r) ? size : sizeof(r));
	if (!p11_reply_good(&r))
		return 0;
	MUST(r.len <= sizeof(r.data) && r.id_len <= sizeof(r.id));
	for (int op = P11_BEGIN; op <= P11_INFO; op++) {
		struct kms_verdict v;

		memset(&v, 0, sizeof(v));
		int e = p11_judge((enum p11_op)op, &r, "pkcs11:token=t;object=o", &v);
		MUST(v.class >= KMS_OK && v.class <= KMS_CORRUPT && (e == 0) == (v.class == KMS_OK));
		MUST(memchr(v.text, 0, sizeof(v.text)) && memchr(v.code, 0, sizeof(v.code)) &&
		     !strpbrk(v.text, "\n\r\t\x1b"));
	}
	MUST(p11_date(r.from, 0) >= 0 && p11_date(r.to, 1) >= 0);
	return 0;
}
