/* SPDX-License-Identifier: BSD-2-Clause */
/* What AWS KMS answers, and what is said to it: no network in here (the table: PROVIDERS.md "aws-kms"). */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "crypto/json.h"
#include "kms/net/heap.h"
#include "kms/net/json.h"
#include "kms/providers/aws.h"

#define BODY_MAX (2u * KMS_WRAPPED_MAX)
#define CODE_MAX 63u
#define SYMMETRIC "SYMMETRIC_DEFAULT"
#define OAEP "RSAES_OAEP_SHA_256"
#define STATE "KMSInvalidStateException"

/*
 * A code, words of its message (NULL: any), and what they mean for a wrap and an unwrap. The first row that fits counts. Whatever an
 * external key manager or a CloudHSM says comes as STATE, sometimes inside KMSInternalException, and only the words tell.
 */
static const struct aws_answer {
	const char *code, *words;
	enum kms_class wrap, unwrap;
	const char *text;
} rows[] = {
	{"DisabledException", NULL, KMS_REVOKED, KMS_REVOKED, "is disabled"},
	{STATE, "is pending", KMS_REVOKED, KMS_REVOKED, "is pending deletion or import"},
	{STATE, "is unavailable", KMS_REVOKED, KMS_REVOKED, "is unavailable: its key store is disconnected"},
	{STATE, "is disabled", KMS_REVOKED, KMS_REVOKED, "is disabled"},
	{STATE, "is creating", KMS_TRANSIENT, KMS_TRANSIENT, "is being made"},
	{STATE, "is updating", KMS_TRANSIENT, KMS_TRANSIENT, "is being updated"},
	{STATE, "external key is not enabled", KMS_REVOKED, KMS_REVOKED, "is not enabled in its external key manager"},
	{STATE, "could not find the external key", KMS_REVOKED, KMS_REVOKED, "is not in its external key manager"},
	{STATE, "denied access to the operation", KMS_REVOKED, KMS_REVOKED, "is denied by its external key manager"},
	{STATE, "does not support the requested operation", KMS_MISCONFIGURED, KMS_REVOKED,
	 "does not do this in its external key manager"},
	{STATE, "additional authenticated data is corrupted", KMS_CORRUPT, KMS_CORRUPT, "did not wrap this"},
	{STATE, "ciphertext that the external key store proxy submitted for decryption", KMS_CORRUPT, KMS_CORRUPT,
	 "did not wrap this"},
	{STATE, "could not authenticate AWS KMS", KMS_MISCONFIGURED, KMS_MISCONFIGURED,
	 "cannot be reached: AWS has the wrong credentials for its external key store"},
	{STATE, "invalid URI path", KMS_MISCONFIGURED, KMS_MISCONFIGURED,
	 "cannot be reached: AWS has the wrong path of its external key store"},
	{STATE, "TLS configuration", KMS_MISCONFIGURED, KMS_MISCONFIGURED,
	 "cannot be reached: TLS of its external key store"},
	{STATE, NULL, KMS_TRANSIENT, KMS_TRANSIENT, "cannot be used now: its key store does not answer as it should"},
	{"AccessDeniedException", NULL, KMS_REVOKED, KMS_REVOKED, "may not be used: the right to it is not there"},
	{"AccessDenied", NULL, KMS_REVOKED, KMS_REVOKED, "may not be used: the right to it is not there"},
	{"NotFoundException", NULL, KMS_MISCONFIGURED, KMS_REVOKED, "is not there"},
	{"InvalidCiphertextException", NULL, KMS_CORRUPT, KMS_CORRUPT, "did not wrap this"},
	/* Decrypt is told the very key that wrapped: what names another one is damage. */
	{"IncorrectKeyException", NULL, KMS_MISCONFIGURED, KMS_CORRUPT, "did not wrap this"},
	{"InvalidKeyUsageException", NULL, KMS_MISCONFIGURED, KMS_MISCONFIGURED, "is of a type that does not do this"},
	{"InvalidArnException", NULL, KMS_MISCONFIGURED, KMS_MISCONFIGURED, "is not what AWS calls an ARN"},
	{"ValidationException", NULL, KMS_MISCONFIGURED, KMS_MISCONFIGURED,
	 "cannot be asked this: AWS finds it malformed"},
	{"SerializationException", NULL, KMS_MISCONFIGURED, KMS_MISCONFIGURED,
	 "cannot be asked this: AWS cannot read it"},
	{"UnsupportedOperationException", NULL, KMS_MISCONFIGURED, KMS_MISCONFIGURED, "does not do this"},
	{"UnknownOperationException", NULL, KMS_MISCONFIGURED, KMS_MISCONFIGURED, "is asked what AWS does not know"},
	{"InvalidGrantTokenException", NULL, KMS_MISCONFIGURED, KMS_MISCONFIGURED, "has no such grant"},
	{"OptInRequired", NULL, KMS_MISCONFIGURED, KMS_MISCONFIGURED, "is in a region that the account does not use"},
	{"RegionDisabledException", NULL, KMS_MISCONFIGURED, KMS_MISCONFIGURED,
	 "is in a region that the account does not use"},
	{"IncompleteSignature", NULL, KMS_MISCONFIGURED, KMS_MISCONFIGURED, "is asked without a whole signature"},
	{"IncompleteSignatureException", NULL, KMS_MISCONFIGURED, KMS_MISCONFIGURED,
	 "is asked without a whole signature"},
	{"MissingAuthenticationToken", NULL, KMS_MISCONFIGURED, KMS_MISCONFIGURED, "is asked without a signature"},
	{"MissingAuthenticationTokenException", NULL, KMS_MISCONFIGURED, KMS_MISCONFIGURED,
	 "is asked without a signature"},
	{"ExpiredTokenException", NULL, KMS_AUTH, KMS_AUTH, "cannot be asked: our session has ended"},
	{"ExpiredToken", NULL, KMS_AUTH, KMS_AUTH, "cannot be asked: our session has ended"},
	{"UnrecognizedClientException", NULL, KMS_AUTH, KMS_AUTH, "cannot be asked: our access key is not accepted"},
	{"InvalidClientTokenId", NULL, KMS_AUTH, KMS_AUTH, "cannot be asked: our access key is not accepted"},
	{"InvalidSignatureException", NULL, KMS_AUTH, KMS_AUTH,
	 "cannot be asked: the secret of our access key is wrong"},
	{"SignatureDoesNotMatch", NULL, KMS_AUTH, KMS_AUTH, "cannot be asked: the secret of our access key is wrong"},
	{"KeyUnavailableException", NULL, KMS_TRANSIENT, KMS_TRANSIENT, "is unavailable for now"},
	{"DependencyTimeoutException", NULL, KMS_TRANSIENT, KMS_TRANSIENT, "cannot be asked now: AWS waits for itself"},
	{"KMSInternalException", NULL, KMS_TRANSIENT, KMS_TRANSIENT, "cannot be asked now: an error inside AWS"},
	{"InternalFailure", NULL, KMS_TRANSIENT, KMS_TRANSIENT, "cannot be asked now: an error inside AWS"},
	{"ServiceUnavailable", NULL, KMS_TRANSIENT, KMS_TRANSIENT, "cannot be asked now: AWS is unavailable"},
	{"ServiceUnavailableException", NULL, KMS_TRANSIENT, KMS_TRANSIENT, "cannot be asked now: AWS is unavailable"},
	{"ThrottlingException", NULL, KMS_TRANSIENT, KMS_TRANSIENT, "cannot be asked so often"},
	{"Throttling", NULL, KMS_TRANSIENT, KMS_TRANSIENT, "cannot be asked so often"},
	{"TooManyRequestsException", NULL, KMS_TRANSIENT, KMS_TRANSIENT, "cannot be asked so often"},
	{"RequestThrottled", NULL, KMS_TRANSIENT, KMS_TRANSIENT, "cannot be asked so often"},
	{"RequestLimitExceeded", NULL, KMS_TRANSIENT, KMS_TRANSIENT, "cannot be asked so often"},
	{"SlowDown", NULL, KMS_TRANSIENT, KMS_TRANSIENT, "cannot be asked so often"},
	{"LimitExceededException", NULL, KMS_TRANSIENT, KMS_TRANSIENT, "cannot be asked so often: a quota"},
};

/* "com.amazonaws.kms#DisabledException:http://..." is DisabledException: as botocore reads it. */
static int code_read(const char *type, char out[CODE_MAX + 1])
{
	size_t len = strcspn(type, ":");
	size_t from = len;

	while (from > 0 && type[from - 1] != '#')
		from--;
	if (len - from == 0 || len - from > CODE_MAX)
		return -EBADMSG;
	memcpy(out, type + from, len - from);
	out[len - from] = '\0';
	return 0;
}

bool aws_is_clock(const char *code, const char *words)
{
	static const char *const codes[] = {"InvalidSignatureException", "SignatureDoesNotMatch", "RequestExpired",
					    "RequestTimeTooSkewed", "RequestExpiredException"};
	bool about = strstr(words, "ignature expired") || strstr(words, "not yet current");

	for (size_t i = 0; i < ARRAY_LEN(codes); i++)
		if (strcmp(codes[i], code) == 0)
			return about || i >= 2;
	return false;
}

static bool row_fits(const struct aws_answer *w, const char *code, const char *words)
{
	bool inside = w->words && strcmp(w->code, STATE) == 0 && strcmp(code, "KMSInternalException") == 0;

	return (inside || strcmp(w->code, code) == 0) && (!w->words || strstr(words, w->words));
}

int aws_judge(enum aws_call call, const struct http_reply *r, const char *key, struct kms_verdict *v)
{
	AUTO(reply_free_at) struct reply *reply = NULL;
	const char *type = NULL, *words = NULL;
	char code[CODE_MAX + 1];

	kms_verdict_request(v, r->request_id);
	if (r->status == 200)
		return kms_verdict_ok(v);
	if (reply_parse(r->body, r->len, &reply) || !(type = reply_str(reply, "__type")) || code_read(type, code))
		return kms_verdict_set(v, KMS_TRANSIENT, "garbled",
				       "an answer for key %.120s that is not AWS's (HTTP %u)", key, r->status);
	words = reply_str(reply, "message");
	if (!words)
		words = reply_str(reply, "Message"); /* AccessDenied has it so */
	if (!words)
		words = "";
	if (aws_is_clock(code, words))
		return kms_verdict_set(v, KMS_AUTH, "clock", "key %.130s cannot be asked: this host's clock is wrong",
				       key);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (row_fits(&rows[i], code, words))
			return kms_verdict_set(v, call == AWS_WRAP ? rows[i].wrap : rows[i].unwrap, code,
					       "key %.150s %s", key, rows[i].text);
	return kms_verdict_set(v, KMS_TRANSIENT, code, "HTTP %u for key %.100s: %.100s", r->status, key, words);
}

bool aws_is_other_type(const struct kms_verdict *v)
{
	return v->class == KMS_MISCONFIGURED &&
	       (strcmp(v->code, "InvalidKeyUsageException") == 0 || strcmp(v->code, "ValidationException") == 0 ||
		strcmp(v->code, "UnsupportedOperationException") == 0);
}

/* What is read */

static int say_garbled(struct kms_verdict *v)
{
	kms_verdict_set(v, KMS_TRANSIENT, "garbled", "an answer of AWS's that makes no sense");
	return -EBADMSG;
}

static int say_other(const char *got, const char *arn, struct kms_verdict *v)
{
	kms_verdict_set(v, KMS_TRANSIENT, "another-key", "asked for %.110s, an answer for %.110s", arn, got);
	return -EBADMSG;
}

/* Does the answer say nothing of an algorithm, or that of the question? */
static bool algorithm_agrees(const struct reply *reply, bool rsa)
{
	const char *name = reply_str(reply, "EncryptionAlgorithm");

	return !name || strcmp(name, rsa ? OAEP : SYMMETRIC) == 0;
}

int aws_wrap_read(const struct http_reply *r, const struct aws_ref *a, const struct aws_question *q,
		  struct kms_wrapped *out, struct kms_verdict *v)
{
	AUTO(reply_free_at) struct reply *reply = NULL;
	const char *arn, *blob, *id;

	if (reply_parse(r->body, r->len, &reply) || !(arn = reply_str(reply, "KeyId")) ||
	    !(blob = reply_str(reply, "CiphertextBlob")) || !algorithm_agrees(reply, q->rsa))
		return say_garbled(v);
	id = aws_key_id_of(a, arn);
	if (!id || (strstr(q->arn, ":key/") && strcmp(arn, q->arn) != 0))
		return say_other(arn, q->arn, v);
	if (base64_read(BASE64, blob, out->data, sizeof(out->data), &out->len))
		return say_garbled(v);
	snprintf(out->version, sizeof(out->version), "%s", id);
	out->algorithm = q->rsa ? KMS_ALG_RSA_OAEP_SHA256 : KMS_ALG_PROVIDER;
	return 0;
}

int aws_unwrap_read(const struct http_reply *r, const struct aws_question *q, uint8_t plain[PAYLOAD_LEN],
		    struct kms_verdict *v)
{
	AUTO(reply_free_at) struct reply *reply = NULL;
	AUTO(heap_free_at) uint8_t *bytes = heap_alloc(HTTP_BODY_MAX);
	const char *arn, *text;
	size_t len = 0;

	if (!bytes || reply_parse(r->body, r->len, &reply) || !(arn = reply_str(reply, "KeyId")) ||
	    !(text = reply_str(reply, "Plaintext")) || !algorithm_agrees(reply, q->rsa))
		return say_garbled(v);
	if (strcmp(arn, q->arn) != 0)
		return say_other(arn, q->arn, v);
	if (base64_read(BASE64, text, bytes, HTTP_BODY_MAX, &len))
		return say_garbled(v);
	if (len != PAYLOAD_LEN) {
		kms_verdict_set(v, KMS_CORRUPT, "length", "the KMS unwraps %zu bytes and not %u", len, PAYLOAD_LEN);
		return -EMSGSIZE;
	}
	memcpy(plain, bytes, PAYLOAD_LEN);
	return 0;
}

/* What is said */

/* {"KeyId":..,MEMBER:DATA,"EncryptionAlgorithm":..,"EncryptionContext":{..}}; DATA in base64. */
static char *body_write(const struct aws_question *q, const char *member, const uint8_t *data, size_t len)
{
	AUTO(heap_free_at) char *text = heap_alloc(base64_size(len));
	struct json j = {.text = heap_alloc(BODY_MAX), .size = BODY_MAX};
	char context[160], store[2 * ID_LEN + 1];

	if (!text || !j.text) {
		heap_free(j.text);
		return NULL;
	}
	base64_write(BASE64, data, len, text);
	for (size_t i = 0; i < ID_LEN; i++)
		snprintf(store + 2 * i, 3, "%02x", q->p->store_id[i]);
	int n = snprintf(context, sizeof(context),
			 ",\"EncryptionContext\":{\"byokfs-store\":\"%s\",\"byokfs-purpose\":\"%s\"}", store,
			 kms_use_name(q->p->use));
	json_raw(&j, "{", 1);
	json_str(&j, "KeyId", q->arn, AWS_ARN_MAX);
	json_str(&j, member, text, BODY_MAX);
	json_str(&j, "EncryptionAlgorithm", q->rsa ? OAEP : SYMMETRIC, 32);
	if (!q->rsa)
		json_raw(&j, context, (size_t)n);
	json_raw(&j, "}", 2); /* with the NUL */
	if (!j.cut)
		return j.text;
	heap_free(j.text);
	return NULL;
}

char *aws_wrap_body(const struct aws_question *q, const uint8_t plain[PAYLOAD_LEN])
{
	return body_write(q, "Plaintext", plain, PAYLOAD_LEN);
}

char *aws_unwrap_body(const struct aws_question *q, const struct kms_wrapped *in)
{
	return body_write(q, "CiphertextBlob", in->data, in->len);
}
