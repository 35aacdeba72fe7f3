/* SPDX-License-Identifier: BSD-2-Clause */
/* What a token's return values mean, by table, and what a helper's answer must look like. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kms/providers/pkcs11.h"
#include "kms/verdict.h"

/* Beside the classes: a fresh wrap of the same key decides. It opens: CORRUPT. It does not: TRANSIENT. */
#define ASK_CANARY ((enum kms_class)0)

/* PKCS#11 2.40 and 3.0, chapter "function return values"; the classes: PROVIDERS.md "pkcs11", in the order of that page. */
static const struct rv_row {
	uint64_t rv;
	const char *name; /* behind "CKR_" */
	enum kms_class wrap, unwrap;
	const char *text; /* behind "key K" */
} rows[] = {
	{0x68, "KEY_FUNCTION_NOT_PERMITTED", KMS_REVOKED, KMS_REVOKED,
	 "may not be used for this: CKA_DECRYPT or CKA_ENCRYPT"},
	{0x63, "KEY_TYPE_INCONSISTENT", KMS_MISCONFIGURED, KMS_REVOKED,
	 "may not be used for this, or is of another type"},
	{0x60, "KEY_HANDLE_INVALID", KMS_MISCONFIGURED, KMS_REVOKED, "was destroyed"},
	{0x82, "OBJECT_HANDLE_INVALID", KMS_MISCONFIGURED, KMS_REVOKED, "was destroyed"},
	{0x05, "GENERAL_ERROR", KMS_TRANSIENT, ASK_CANARY, "gives an error without a reason"},
	{0x06, "FUNCTION_FAILED", KMS_TRANSIENT, ASK_CANARY, "gives an error without a reason"},
	{0x21, "DATA_LEN_RANGE", KMS_MISCONFIGURED, ASK_CANARY, "does not take what is as long as this"},
	{0x40, "ENCRYPTED_DATA_INVALID", KMS_TRANSIENT, ASK_CANARY, "did not wrap this"},
	{0x41, "ENCRYPTED_DATA_LEN_RANGE", KMS_TRANSIENT, ASK_CANARY, "did not wrap this"},
	{0x42, "AEAD_DECRYPT_FAILED", KMS_TRANSIENT, ASK_CANARY, "did not wrap this"},
	{0xa0, "PIN_INCORRECT", KMS_AUTH, KMS_AUTH, "cannot be reached: the PIN is wrong"},
	{0xa1, "PIN_INVALID", KMS_AUTH, KMS_AUTH, "cannot be reached: the PIN is none"},
	{0xa2, "PIN_LEN_RANGE", KMS_AUTH, KMS_AUTH, "cannot be reached: the PIN is too short or too long"},
	{0xa3, "PIN_EXPIRED", KMS_AUTH, KMS_AUTH, "cannot be reached: the PIN has expired"},
	{0xa4, "PIN_LOCKED", KMS_AUTH, KMS_AUTH, "cannot be reached: the PIN is locked"},
	{0x102, "USER_PIN_NOT_INITIALIZED", KMS_AUTH, KMS_AUTH, "cannot be reached: the token has no PIN yet"},
	{0x103, "USER_TYPE_INVALID", KMS_AUTH, KMS_AUTH, "cannot be reached: the token knows no such user"},
	{0x70, "MECHANISM_INVALID", KMS_MISCONFIGURED, KMS_MISCONFIGURED, "is on a token without that mechanism"},
	{0x71, "MECHANISM_PARAM_INVALID", KMS_MISCONFIGURED, KMS_MISCONFIGURED, "is on a token without that mechanism"},
	{0x07, "ARGUMENTS_BAD", KMS_MISCONFIGURED, KMS_MISCONFIGURED, "is on a token without that mechanism"},
	{0x54, "FUNCTION_NOT_SUPPORTED", KMS_MISCONFIGURED, KMS_MISCONFIGURED, "is on a token that cannot do that"},
	{0x62, "KEY_SIZE_RANGE", KMS_MISCONFIGURED, KMS_MISCONFIGURED, "is of a length that the token does not use"},
	{0xe0, "TOKEN_NOT_PRESENT", KMS_TRANSIENT, KMS_TRANSIENT, "cannot be asked: the token is not there"},
	{0xe1, "TOKEN_NOT_RECOGNIZED", KMS_TRANSIENT, KMS_TRANSIENT, "cannot be asked: the token is not recognised"},
	{0x03, "SLOT_ID_INVALID", KMS_TRANSIENT, KMS_TRANSIENT, "cannot be asked: the token's slot is gone"},
	{0x30, "DEVICE_ERROR", KMS_TRANSIENT, KMS_TRANSIENT, "cannot be asked: an error of the device"},
	{0x31, "DEVICE_MEMORY", KMS_TRANSIENT, KMS_TRANSIENT, "cannot be asked: the device is full"},
	{0x32, "DEVICE_REMOVED", KMS_TRANSIENT, KMS_TRANSIENT, "cannot be asked: the device was removed"},
	{0x02, "HOST_MEMORY", KMS_TRANSIENT, KMS_TRANSIENT, "cannot be asked: out of memory"},
	{0xb0, "SESSION_CLOSED", KMS_TRANSIENT, KMS_TRANSIENT, "cannot be asked: the session was closed"},
	{0xb1, "SESSION_COUNT", KMS_TRANSIENT, KMS_TRANSIENT, "cannot be asked: no session is free"},
	{0xb3, "SESSION_HANDLE_INVALID", KMS_TRANSIENT, KMS_TRANSIENT, "cannot be asked: the session was closed"},
	{0x101, "USER_NOT_LOGGED_IN", KMS_TRANSIENT, KMS_TRANSIENT, "cannot be asked: the login has ended"},
	{0x190, "CRYPTOKI_NOT_INITIALIZED", KMS_TRANSIENT, KMS_TRANSIENT, "cannot be asked: the module is not ready"},
};

static int judge_row(enum p11_op op, const struct rv_row *w, const struct p11_reply *r, const char *key,
		     struct kms_verdict *v)
{
	enum kms_class class = op == P11_UNWRAP ? w->unwrap : w->wrap;
	char code[sizeof(v->code)];

	if (class == ASK_CANARY)
		class = r->canary == P11_OPENS ? KMS_CORRUPT : KMS_TRANSIENT;
	snprintf(code, sizeof(code), "CKR_%s", w->name);
	return kms_verdict_set(v, class, code, "key %.150s %s", key, w->text);
}

static int judge_rv(enum p11_op op, const struct p11_reply *r, const char *key, struct kms_verdict *v)
{
	char code[sizeof(v->code)];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].rv == r->rv)
			return judge_row(op, &rows[i], r, key, v);
	snprintf(code, sizeof(code), "CKR_%08llx", (unsigned long long)r->rv);
	return kms_verdict_set(v, KMS_TRANSIENT, code, "key %.150s: the token gives an error that is not known here",
			       key);
}

int p11_judge(enum p11_op op, const struct p11_reply *r, const char *key, struct kms_verdict *v)
{
	switch (r->stage) {
	case P11_DONE:
		if (!r->forbidden)
			return kms_verdict_ok(v);
		return kms_verdict_set(v, KMS_REVOKED, "CKA_DECRYPT",
				       "key %.160s may not decrypt, although the token still does", key);
	case P11_LOAD:
		return kms_verdict_set(v, KMS_MISCONFIGURED, "module", "the module of PKCS#11: %.200s", r->text);
	case P11_TOKEN:
		return kms_verdict_set(v, KMS_TRANSIENT, "no-token", "no token of that name is there: key %.180s", key);
	case P11_NO_PIN:
		return kms_verdict_set(v, KMS_AUTH, "credentials",
				       "the token wants a PIN (option pin-source): key %.160s", key);
	case P11_KEY:
		return kms_verdict_set(v, op == P11_UNWRAP ? KMS_REVOKED : KMS_MISCONFIGURED, "no-such-key",
				       "key %.180s is not on the token", key);
	case P11_NO_ID:
		return kms_verdict_set(
			v, KMS_MISCONFIGURED, "no-id",
			"key %.160s has no CKA_ID of 1 to %u bytes: none of its wraps could be told apart", key,
			P11_ID_MAX);
	case P11_MECHANISM:
		return kms_verdict_set(v, KMS_MISCONFIGURED, "mechanism",
				       "the token has neither AES-GCM, AES-KW nor RSA-OAEP for key %.120s (0x%llx)",
				       key, (unsigned long long)r->rv);
	default:
		return judge_rv(op, r, key, v);
	}
}

/* A text with its NUL inside SIZE bytes; one is put there. */
static bool text_good(char *text, size_t size)
{
	text[size - 1] = '\0';
	return true;
}

static bool date_good(const char *text)
{
	size_t digits = strspn(text, "0123456789");

	return text[digits] == '\0' && (digits == 0 || digits == P11_DATE_LEN);
}

bool p11_reply_good(struct p11_reply *r)
{
	bool texts = text_good(r->from, sizeof(r->from)) && text_good(r->to, sizeof(r->to)) &&
		     text_good(r->text, sizeof(r->text));

	if (r->stage < P11_DONE || r->stage > P11_CALL || r->canary > P11_FAILS)
		return false;
	if (r->stage == P11_CALL && r->rv == 0)
		return false;
	return texts && r->id_len <= P11_ID_MAX && r->len <= P11_WRAP_MAX && date_good(r->from) && date_good(r->to);
}

int64_t p11_date(const char *text, unsigned days)
{
	struct tm t = {0};
	char *end;

	if (!date_good(text) || !text[0])
		return 0;
	long all = strtol(text, &end, 10);
	t.tm_year = (int)(all / 10000) - 1900;
	t.tm_mon = (int)(all / 100 % 100) - 1;
	t.tm_mday = (int)(all % 100);
	if (t.tm_mon < 0 || t.tm_mon > 11 || t.tm_mday < 1 || t.tm_mday > 31)
		return 0;
	t.tm_mday += (int)days;
	int64_t at = timegm(&t);
	return at > 0 ? at : 1; /* 0 says that there is none; a date before 1970 is long past */
}
