/* SPDX-License-Identifier: BSD-2-Clause */
/* Making verdicts, and what a class means as an errno. */
#include "kms/verdict.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "crypto/json.h"

static const int errors[] = {
	[KMS_OK] = 0,         [KMS_REVOKED] = -EKEYREVOKED, [KMS_TRANSIENT] = -ETIMEDOUT, [KMS_MISCONFIGURED] = -EINVAL,
	[KMS_AUTH] = -EACCES, [KMS_CORRUPT] = -EBADMSG,
};

static bool class_valid(enum kms_class c)
{
	return c >= KMS_OK && (size_t)c < ARRAY_LEN(errors);
}

int kms_class_errno(enum kms_class class)
{
	return class_valid(class) ? errors[class] : -ETIMEDOUT;
}

int kms_verdict_set(struct kms_verdict *v, enum kms_class class, const char *code, const char *fmt, ...)
{
	va_list ap;

	v->class = class;
	snprintf(v->code, sizeof(v->code), "%s", code);
	va_start(ap, fmt);
	vsnprintf(v->text, sizeof(v->text), fmt, ap);
	va_end(ap);
	/* Both may be a KMS's own words, and go to logs and terminals. */
	text_plain(v->code);
	text_plain(v->text);
	return kms_class_errno(class);
}

int kms_verdict_ok(struct kms_verdict *v)
{
	v->class = KMS_OK;
	v->code[0] = v->text[0] = '\0';
	return 0;
}

void kms_verdict_request(struct kms_verdict *v, const char *id)
{
	snprintf(v->request_id, sizeof(v->request_id), "%s", id);
	text_plain(v->request_id);
}

int kms_verdict_settle(struct kms_verdict *v, int r, const char *ref)
{
	v->code[sizeof(v->code) - 1] = '\0';
	v->text[sizeof(v->text) - 1] = '\0';
	v->request_id[sizeof(v->request_id) - 1] = '\0';
	text_plain(v->code);
	text_plain(v->text);
	text_plain(v->request_id);
	if (!class_valid(v->class) || (r == 0) != (v->class == KMS_OK))
		return kms_verdict_set(v, KMS_TRANSIENT, r == -ECANCELED ? "cancelled" : "garbled",
				       "the answer for %.180s makes no sense", ref);
	return kms_class_errno(v->class);
}
