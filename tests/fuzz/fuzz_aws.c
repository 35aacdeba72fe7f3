/* SPDX-License-Identifier: BSD-2-Clause */
/* Answers of AWS KMS, the first byte the status: each has a verdict that can be shown, and nothing stays when it is given back. */
#include "tests/fuzz/fuzz.h"

#include "kms/net/heap.h"
#include "kms/providers/aws.h"

#define ARN "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const unsigned statuses[] = {200, 204, 302, 400, 403, 404, 429, 500, 503};
	static struct kms_wrapped w;
	const struct kms_purpose p = {.use = KMS_USE_FILE};
	struct aws_question q = {.p = &p, .arn = ARN};
	struct kms_verdict v;
	struct aws_ref a;
	uint8_t plain[PAYLOAD_LEN];
	char why[KMS_TEXT_MAX];

	if (size == 0 || size > HTTP_BODY_MAX)
		return 0;
	MUST(aws_ref_parse(ARN, &a, why) == 0);
	struct http_reply r = {.status = statuses[data[0] % 9], .body = heap_alloc(size), .len = size - 1};
	MUST(r.body);
	memcpy(r.body, data + 1, size - 1);
	r.body[size - 1] = '\0';
	for (int call = AWS_WRAP; call <= AWS_UNWRAP; call++) {
		memset(&v, 0, sizeof(v));
		int e = aws_judge((enum aws_call)call, &r, "aws-kms:" ARN, &v);
		MUST(v.class >= KMS_OK && v.class <= KMS_CORRUPT && (e == 0) == (v.class == KMS_OK));
		MUST(memchr(v.text, 0, sizeof(v.text)) && memchr(v.code, 0, sizeof(v.code)) &&
		     !strpbrk(v.text, "\n\r\t\x1b"));
	}
	for (int rsa = 0; rsa < 2; rsa++) {
		q.rsa = rsa;
		memset(&w, 0, sizeof(w));
		if (aws_wrap_read(&r, &a, &q, &w, &v) == 0)
			MUST(w.len <= sizeof(w.data) && kms_version_good(KMS_VERSION_UUID, w.version));
		(void)(aws_unwrap_read(&r, &q, plain, &v) == 0);
	}
	http_reply_free(&r);
	MUST(heap_in_use() == 0);
	return 0;
}
