/* SPDX-License-Identifier: BSD-2-Clause */
/* Making verdicts, and what a class means as an errno. Private to kms/. */
#ifndef KMS_VERDICT_H
#define KMS_VERDICT_H

#include "kms/provider.h"

/* 0, -EKEYREVOKED, -ETIMEDOUT, -EINVAL, -EACCES, -EBADMSG; -ETIMEDOUT for a value that is no class. */
int kms_class_errno(enum kms_class class);

/* Fill V and return kms_class_errno(CLASS). The text is cut when it is too long. */
int kms_verdict_set(struct kms_verdict *v, enum kms_class class, const char *code, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* V says OK, with no words; request id and time stay, as they do in kms_verdict_set(). Returns 0. */
int kms_verdict_ok(struct kms_verdict *v);
/* The KMS's own number of the request, cut when it is too long and made harmless. */
void kms_verdict_request(struct kms_verdict *v, const char *id);

/*
 * Make R and V agree after a provider's call: only 0 together with KMS_OK is good; anything that contradicts itself
 * becomes TRANSIENT (a bad answer says nothing). Returns kms_class_errno() of what V says then.
 */
int kms_verdict_settle(struct kms_verdict *v, int r, const char *ref);

#endif
