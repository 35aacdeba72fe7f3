/* SPDX-License-Identifier: BSD-2-Clause */
/* Answers of Vault, the first byte the status: each has a verdict that can be shown, and nothing stays when it is given back. */
#include "tests/fuzz/fuzz.h"

#include "kms/net/heap.h"
#include "kms/providers/vault.h"

static void judged(enum vault_call call, const struct http_reply *r)
{
	struct kms_verdict v;
	bool unsure;

	memset(&v, 0, sizeof(v));
	int e = vault_judge(call, r, "vault:https://h:1/t/k", &v, &unsure);
	MUST(v.class >= KMS_OK && v.class <= KMS_CORRUPT && (e == 0) == (v.class == KMS_OK));
	MUST(memchr(v.text, 0, sizeof(v.text)) && memchr(v.code, 0, sizeof(v.code)) && !strpbrk(v.text, "\n\r\t\x1b"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const unsigned statuses[] = {200, 204, 302, 400, 403, 404, 429, 500, 503};
	static struct kms_wrapped w;
	struct kms_verdict v;
	uint8_t plain[PAYLOAD_LEN];

	if (size == 0 || size > HTTP_BODY_MAX)
		return 0;
	struct http_reply r = {.status = statuses[data[0] % 9], .body = heap_alloc(size), .len = size - 1};
	MUST(r.body);
	memcpy(r.body, data + 1, size - 1);
	r.body[size - 1] = '\0';
	for (int call = VAULT_WRAP; call <= VAULT_LOGIN; call++)
		judged((enum vault_call)call, &r);
	(void)vault_no_aad(&r);
	memset(&v, 0, sizeof(v));
	memset(&w, 0, sizeof(w));
	if (vault_wrap_read(&r, &w, &v) == 0)
		MUST(w.len <= sizeof(w.data) && strspn(w.version, "0123456789") == strlen(w.version));
	(void)(vault_unwrap_read(&r, plain, &v) == 0);
	http_reply_free(&r);
	MUST(heap_in_use() == 0);
	return 0;
}
