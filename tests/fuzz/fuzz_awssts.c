/* SPDX-License-Identifier: BSD-2-Clause */
/* Answers of STS (XML) and of instance metadata (JSON), the first byte the status: a key is whole or none. */
#include "tests/fuzz/fuzz.h"

#include "kms/net/heap.h"
#include "kms/providers/aws.h"

typedef int reader(const struct http_reply *r, struct aws_key *out, struct kms_verdict *v);

static void read_by(reader *read, const struct http_reply *r)
{
	struct aws_key key = {0};
	struct kms_verdict v;

	memset(&v, 0, sizeof(v));
	int e = read(r, &key, &v);
	MUST(v.class >= KMS_OK && v.class <= KMS_CORRUPT && (e == 0) == (v.class == KMS_OK) && v.class != KMS_REVOKED);
	MUST((key.secret != NULL) == (e == 0));
	MUST(!key.secret || (key.id[0] && key.secret[0] && !strpbrk(key.id, "\r\n /,=")));
	MUST(memchr(v.text, 0, sizeof(v.text)) && !strpbrk(v.text, "\n\r\t\x1b"));
	aws_key_wipe(&key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const unsigned statuses[] = {200, 302, 400, 403, 500};

	MUST(secret_init() == 0);
	if (size == 0 || size > HTTP_BODY_MAX)
		return 0;
	struct http_reply r = {.status = statuses[data[0] % 5], .body = heap_alloc(size), .len = size - 1};
	MUST(r.body);
	memcpy(r.body, data + 1, size - 1);
	r.body[size - 1] = '\0';
	read_by(aws_sts_read, &r);
	read_by(aws_meta_read, &r);
	http_reply_free(&r);
	MUST(heap_in_use() == 0 && secret_in_use() == 0);
	return 0;
}
