/* SPDX-License-Identifier: BSD-2-Clause */
/* The provider `aws-kms:` without a network: references, answers, bytes in and out, files, roles. The real server: 47-aws. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"
#include "kms/hidden.h"
#include "kms/net/heap.h"
#include "kms/net/json.h"
#include "kms/providers/aws.h"
#include "tests/kms/scripted.h"
#include "tests/unit/ref_rows.h"

#define ID "1234abcd-12ab-34cd-56ef-1234567890ab"
#define MRK "mrk-1234abcd12ab34cd56ef1234567890ab"
#define HOME "arn:aws:kms:eu-west-1:111122223333:"
#define ARN HOME "key/" ID

static char why[KMS_TEXT_MAX];

static void setup(void)
{
	ck_assert_int_eq(secret_init(), 0);
}

/* References */

static const struct ref_row refs[] = {
	{"aws-kms:" ARN, "aws-kms:" ARN, NULL},
	{ARN, "aws-kms:" ARN, NULL},
	{"aws-kms://" ARN, "aws-kms:" ARN, NULL},
	{HOME "key/" MRK, "aws-kms:" HOME "key/" MRK, NULL},
	{HOME "alias/team/backup_1-x", "aws-kms:" HOME "alias/team/backup_1-x", NULL},
	{"arn:aws-cn:kms:cn-north-1:111122223333:key/" ID, "aws-kms:arn:aws-cn:kms:cn-north-1:111122223333:key/" ID,
	 NULL},
	{"arn:aws-us-gov:kms:us-gov-west-1:111122223333:key/" ID,
	 "aws-kms:arn:aws-us-gov:kms:us-gov-west-1:111122223333:key/" ID, NULL},
	{"arn:aws-eusc:kms:eusc-de-east-1:111122223333:key/" ID,
	 "aws-kms:arn:aws-eusc:kms:eusc-de-east-1:111122223333:key/" ID, NULL},
	{"arn:aws-iso-b:kms:us-isob-east-1:111122223333:alias/a",
	 "aws-kms:arn:aws-iso-b:kms:us-isob-east-1:111122223333:alias/a", NULL},
	{ID, NULL, "aws kms describe-key --key-id " ID " --query KeyMetadata.Arn"},
	{"aws-kms:" ID, NULL, "names no region and no account"},
	{"aws-kms:key/" ID, NULL, "describe-key --key-id " ID},
	{"alias/backup", NULL, "describe-key --key-id alias/backup"},
	{"aws-kms:alias/backup", NULL, "names no region"},
	{"aws-kms:", NULL, "is not aws-kms:arn:aws:kms:"},
	{"aws-kms:backup", NULL, "is not aws-kms:arn:aws:kms:"},
	{"aws-kms:arn:", NULL, "the 2nd field"},
	{"aws-kms:arn:azure:kms:eu-west-1:111122223333:key/" ID, NULL, "the 2nd field of the ARN, the partition"},
	{"arn:aws:s3:eu-west-1:111122223333:key/" ID, NULL, "the 3rd field of the ARN, the service, must be kms"},
	{"arn:aws:kms::111122223333:key/" ID, NULL, "the 4th field of the ARN, the region"},
	{"arn:aws:kms:Eu-west-1:111122223333:key/" ID, NULL, "the 4th field"},
	{"arn:aws:kms:eu-west-1.evil:111122223333:key/" ID, NULL, "the 4th field"},
	{"arn:aws:kms:eu--1:111122223333:key/" ID, NULL, "the 4th field"},
	{"arn:aws-cn:kms:eu-west-1:111122223333:key/" ID, NULL, "begins with cn- in the partition aws-cn"},
	{"arn:aws:kms:eu-west-1:11112222333:key/" ID, NULL, "the 5th field of the ARN, the account, must be 12 digits"},
	{"arn:aws:kms:eu-west-1:11112222333x:key/" ID, NULL, "must be 12 digits"},
	{"arn:aws:kms:eu-west-1:1111222233334:key/" ID, NULL, "must be 12 digits"},
	{"arn:aws:kms:eu-west-1:111122223333", NULL, "the 5th field"},
	{HOME "grant/" ID, NULL, "the 6th field of the ARN is key/ID or alias/NAME, not 'grant/"},
	{HOME "key/" ID "x", NULL, "of the key is not one like"},
	{HOME "key/1234ABCD-12ab-34cd-56ef-1234567890ab", NULL, "of the key is not one like"},
	{HOME "key/" ID "/..", NULL, "of the key is not one like"},
	{HOME "key/", NULL, "of the key is not one like"},
	{HOME "alias/", NULL, "the alias '' is not made of"},
	{HOME "alias/a b", NULL, "the alias 'a b' is not made of"},
	{HOME "alias/a:b", NULL, "the alias 'a:b' is not made of"},
	{"aws-kms:" ARN "\n", NULL, "control character"},
};

START_TEST(test_refs)
{
	ref_row_check(&refs[_i]);
}
END_TEST

START_TEST(test_key_id)
{
	struct aws_ref key, alias;

	ck_assert_int_eq(aws_ref_parse(ARN, &key, why), 0);
	ck_assert_int_eq(aws_ref_parse(HOME "alias/a", &alias, why), 0);
	ck_assert_str_eq(aws_key_id_of(&key, ARN), ID);
	ck_assert_str_eq(aws_key_id_of(&alias, ARN), ID);
	ck_assert_ptr_null(aws_key_id_of(&key, HOME "key/" MRK));
	ck_assert_str_eq(aws_key_id_of(&alias, HOME "key/" MRK), MRK);
	ck_assert_ptr_null(aws_key_id_of(&alias, HOME "alias/a"));
	ck_assert_ptr_null(aws_key_id_of(&alias, ID));
	ck_assert_ptr_null(aws_key_id_of(&alias, "arn:aws:kms:eu-west-2:111122223333:key/" ID));
	ck_assert_ptr_null(aws_key_id_of(&alias, "arn:aws:kms:eu-west-1:111122223334:key/" ID));
	ck_assert_ptr_null(aws_key_id_of(&alias, "arn:aws-cn:kms:eu-west-1:111122223333:key/" ID));
	ck_assert_ptr_null(aws_key_id_of(&key, ARN "/"));
}
END_TEST

/* Answers */

#define ERR(type, message) "{\"__type\":\"" type "\",\"message\":\"" message "\"}"
#define STATE(message) ERR("KMSInvalidStateException", ARN " " message)
#define BOTH(class) class, class

static const struct {
	unsigned status;
	const char *body;
	enum kms_class wrap, unwrap;
	const char *code;
} answers[] = {
	{200, "{}", BOTH(KMS_OK), ""},
	{400, ERR("DisabledException", ARN " is disabled."), BOTH(KMS_REVOKED), "DisabledException"},
	{409, ERR("DisabledException", "..."), BOTH(KMS_REVOKED), "DisabledException"},
	{400, STATE("is pending deletion."), BOTH(KMS_REVOKED), "KMSInvalidStateException"},
	{400,
	 "{\"__type\":\"com.amazonaws.kms#KMSInvalidStateException:http://x/\",\"message\":\"arn:... is pending "
	 "import.\"}",
	 BOTH(KMS_REVOKED), "KMSInvalidStateException"},
	{400, STATE("is pending replica deletion"), BOTH(KMS_REVOKED), "KMSInvalidStateException"},
	{400, STATE("is unavailable"), BOTH(KMS_REVOKED), "KMSInvalidStateException"},
	{400, STATE("is creating"), BOTH(KMS_TRANSIENT), "KMSInvalidStateException"},
	{400, STATE("is updating"), BOTH(KMS_TRANSIENT), "KMSInvalidStateException"},
	{400, STATE("... the external key is not enabled in the external key manager"), BOTH(KMS_REVOKED),
	 "KMSInvalidStateException"},
	{400, STATE("... could not find the external key"), BOTH(KMS_REVOKED), "KMSInvalidStateException"},
	{400, STATE("... external key store proxy denied access to the operation"), BOTH(KMS_REVOKED),
	 "KMSInvalidStateException"},
	{500, ERR("KMSInternalException", "... external key store proxy denied access to the operation"),
	 BOTH(KMS_REVOKED), "KMSInternalException"},
	{400, STATE("... external key does not support the requested operation"), KMS_MISCONFIGURED, KMS_REVOKED,
	 "KMSInvalidStateException"},
	{400, STATE("... external key store proxy did not respond to the request in the time allotted ..."),
	 BOTH(KMS_TRANSIENT), "KMSInvalidStateException"},
	{400, STATE("... cannot communicate with the external key store proxy"), BOTH(KMS_TRANSIENT),
	 "KMSInvalidStateException"},
	{400, STATE("... proxy is in an unhealthy state"), BOTH(KMS_TRANSIENT), "KMSInvalidStateException"},
	{400, STATE("... could not authenticate AWS KMS"), BOTH(KMS_MISCONFIGURED), "KMSInvalidStateException"},
	{400, STATE("... an invalid URI path"), BOTH(KMS_MISCONFIGURED), "KMSInvalidStateException"},
	{400, STATE("... its TLS configuration"), BOTH(KMS_MISCONFIGURED), "KMSInvalidStateException"},
	{400, STATE("... specified ciphertext or additional authenticated data is corrupted"), BOTH(KMS_CORRUPT),
	 "KMSInvalidStateException"},
	{400,
	 "{\"__type\":\"AccessDeniedException\",\"Message\":\"User: arn:... is not authorized to perform: kms:Decrypt "
	 "on resource: arn:...\"}",
	 BOTH(KMS_REVOKED), "AccessDeniedException"},
	{403, ERR("AccessDeniedException", "... with an explicit deny in a resource-based policy"), BOTH(KMS_REVOKED),
	 "AccessDeniedException"},
	{400, ERR("NotFoundException", "Key '" ARN "' does not exist"), KMS_MISCONFIGURED, KMS_REVOKED,
	 "NotFoundException"},
	{400, "{\"__type\":\"InvalidCiphertextException\"}", BOTH(KMS_CORRUPT), "InvalidCiphertextException"},
	{400, ERR("IncorrectKeyException", "x"), KMS_MISCONFIGURED, KMS_CORRUPT, "IncorrectKeyException"},
	{400, ERR("InvalidKeyUsageException", "x"), BOTH(KMS_MISCONFIGURED), "InvalidKeyUsageException"},
	{400, ERR("ValidationException", "x"), BOTH(KMS_MISCONFIGURED), "ValidationException"},
	{400, "{\"__type\":\"SerializationException\"}", BOTH(KMS_MISCONFIGURED), "SerializationException"},
	{400, ERR("InvalidArnException", "x"), BOTH(KMS_MISCONFIGURED), "InvalidArnException"},
	{403, ERR("OptInRequired", "x"), BOTH(KMS_MISCONFIGURED), "OptInRequired"},
	{403, ERR("MissingAuthenticationTokenException", "x"), BOTH(KMS_MISCONFIGURED),
	 "MissingAuthenticationTokenException"},
	{400, ERR("UnrecognizedClientException", "The security token included in the request is invalid."),
	 BOTH(KMS_AUTH), "UnrecognizedClientException"},
	{400, ERR("ExpiredTokenException", "The security token included in the request is expired"), BOTH(KMS_AUTH),
	 "ExpiredTokenException"},
	{400, ERR("InvalidSignatureException", "The request signature we calculated does not match"), BOTH(KMS_AUTH),
	 "InvalidSignatureException"},
	{400, ERR("InvalidSignatureException", "Signature expired: 20260102T030405Z is now earlier than ..."),
	 BOTH(KMS_AUTH), "clock"},
	{403, ERR("InvalidSignatureException", "Signature not yet current: 20260102T030405Z"), BOTH(KMS_AUTH), "clock"},
	{400, ERR("ThrottlingException", "Rate exceeded"), BOTH(KMS_TRANSIENT), "ThrottlingException"},
	{400, ERR("LimitExceededException", "x"), BOTH(KMS_TRANSIENT), "LimitExceededException"},
	{500, "{\"__type\":\"KeyUnavailableException\"}", BOTH(KMS_TRANSIENT), "KeyUnavailableException"},
	{503, ERR("DependencyTimeoutException", "x"), BOTH(KMS_TRANSIENT), "DependencyTimeoutException"},
	{500, ERR("KMSInternalException", "x"), BOTH(KMS_TRANSIENT), "KMSInternalException"},
	{503, ERR("ServiceUnavailableException", "x"), BOTH(KMS_TRANSIENT), "ServiceUnavailableException"},
	{400, ERR("NobodyKnowsException", ARN " is disabled."), BOTH(KMS_TRANSIENT), "NobodyKnowsException"},
	/* strangers: neither a yes nor a no of AWS's */
	{403, "<html><body>403 Forbidden</body></html>", BOTH(KMS_TRANSIENT), "garbled"},
	{403, "", BOTH(KMS_TRANSIENT), "garbled"},
	{403, "{\"error\":{\"code\":\"Forbidden\",\"message\":\"AccessDeniedException\"}}", BOTH(KMS_TRANSIENT),
	 "garbled"},
	{403, "{\"errors\":[\"permission denied\"]}", BOTH(KMS_TRANSIENT), "garbled"},
	{400, "{\"__type\":\"DisabledException\",\"message\":\"", BOTH(KMS_TRANSIENT), "garbled"}, /* cut */
	{400, "{\"__type\":\"DisabledException\",\"__type\":\"DisabledException\"}", BOTH(KMS_TRANSIENT), "garbled"},
	{400, "{\"__type\":[\"DisabledException\"]}", BOTH(KMS_TRANSIENT), "garbled"},
	{400, "{\"__type\":\"x#\"}", BOTH(KMS_TRANSIENT), "garbled"},
	{403, "<ErrorResponse><Errors><Error><Code>AccessDenied</Code></Error></Errors></ErrorResponse>",
	 BOTH(KMS_TRANSIENT), "garbled"},
	{302, "", BOTH(KMS_TRANSIENT), "garbled"},
	{204, "", BOTH(KMS_TRANSIENT), "garbled"},
};

static struct http_reply reply_of(unsigned status, const char *body)
{
	return (struct http_reply){.status = status, .body = heap_strdup(body), .len = strlen(body)};
}

static void judged(int i, enum aws_call call, enum kms_class want)
{
	AUTO(http_reply_free) struct http_reply r = reply_of(answers[i].status, answers[i].body);
	struct kms_verdict v = {0};
	int e = aws_judge(call, &r, "aws-kms:" ARN, &v);

	ck_assert_msg(v.class == want, "call %d: %u %s: %s, not %s: %s", call, r.status, r.body,
		      fake_class_name(v.class), fake_class_name(want), v.text);
	ck_assert_int_eq(e != 0, want != KMS_OK);
	ck_assert(want == KMS_OK || v.text[0]);
	ck_assert_str_eq(v.code, answers[i].code);
}

START_TEST(test_answers)
{
	judged(_i, AWS_WRAP, answers[_i].wrap);
	judged(_i, AWS_UNWRAP, answers[_i].unwrap);
	ck_assert_uint_eq(heap_in_use(), 0);
}
END_TEST

/* Bytes in and out. The encryption context is format (FORMAT.md "Wrapped payloads"). */

static struct kms_purpose purpose(void)
{
	struct kms_purpose p = {.use = KMS_USE_FILE};

	for (unsigned i = 0; i < ID_LEN; i++)
		p.store_id[i] = (uint8_t)(0xf0 + i);
	return p;
}

START_TEST(test_bodies)
{
	const struct kms_purpose p = purpose();
	struct aws_question q = {.p = &p, .arn = ARN};
	static struct kms_wrapped w = {.data = {1, 2, 3, 4}, .len = 4};

	char *body = aws_unwrap_body(&q, &w);
	ck_assert_str_eq(body, "{\"KeyId\":\"" ARN
			       "\",\"CiphertextBlob\":\"AQIDBA==\",\"EncryptionAlgorithm\":\"SYMMETRIC_DEFAULT\","
			       "\"EncryptionContext\":{\"byokfs-store\":\"f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff\","
			       "\"byokfs-purpose\":\"file\"}}");
	heap_free(body);
	q.rsa = true;
	body = aws_unwrap_body(&q, &w);
	ck_assert_str_eq(body, "{\"KeyId\":\"" ARN
			       "\",\"CiphertextBlob\":\"AQIDBA==\",\"EncryptionAlgorithm\":\"RSAES_OAEP_SHA_256\"}");
	heap_free(body);
	uint8_t plain[PAYLOAD_LEN] = {0xff};
	body = aws_wrap_body(&q, plain);
	ck_assert_ptr_nonnull(strstr(body, "\"Plaintext\":\"/wAAAA"));
	heap_free(body);
	ck_assert_uint_eq(heap_in_use(), 0);
}
END_TEST

#define PLAIN96 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define YES(key, algorithm) \
	"{\"KeyId\":\"" key "\",\"Plaintext\":\"" PLAIN96 "\",\"EncryptionAlgorithm\":\"" algorithm "\"}"

static const struct {
	const char *body;
	int result;
	const char *code;
} plains[] = {
	{YES(ARN, "SYMMETRIC_DEFAULT"), 0, ""},
	{"{\"KeyId\":\"" ARN "\",\"Plaintext\":\"" PLAIN96 "\",\"KeyMaterialId\":\"00\"}", 0, ""},
	{YES(HOME "key/" MRK, "SYMMETRIC_DEFAULT"), -EBADMSG, "another-key"},
	{YES("arn:aws:kms:eu-west-1:111122223334:key/" ID, "SYMMETRIC_DEFAULT"), -EBADMSG, "another-key"},
	{YES(ID, "SYMMETRIC_DEFAULT"), -EBADMSG, "another-key"},
	{YES(ARN, "RSAES_OAEP_SHA_256"), -EBADMSG, "garbled"},
	{"{\"Plaintext\":\"" PLAIN96 "\"}", -EBADMSG, "garbled"},
	{"{\"KeyId\":\"" ARN "\"}", -EBADMSG, "garbled"},
	{"{\"KeyId\":\"" ARN "\",\"Plaintext\":\"AAA\"}", -EBADMSG, "garbled"},
	{"{\"KeyId\":\"" ARN "\",\"Plaintext\":\"AAAA\"}", -EMSGSIZE, "length"},
	{"{\"KeyId\":\"" ARN "\",\"Plaintext\":\"AA==" PLAIN96 "\"}", -EBADMSG, "garbled"},
	{"{\"KeyId\":\"" ARN "\",\"Plaintext\":\"" PLAIN96 "AA==\"}", -EMSGSIZE, "length"}, /* 73 */
	{"<html>", -EBADMSG, "garbled"},
};

START_TEST(test_unwrap_read)
{
	AUTO(http_reply_free) struct http_reply r = reply_of(200, plains[_i].body);
	const struct kms_purpose p = purpose();
	const struct aws_question q = {.p = &p, .arn = ARN};
	uint8_t plain[PAYLOAD_LEN];
	struct kms_verdict v = {0};

	ck_assert_int_eq(aws_unwrap_read(&r, &q, plain, &v), plains[_i].result);
	ck_assert_str_eq(v.code, plains[_i].code);
	ck_assert_int_eq(v.class, plains[_i].result == 0           ? 0
				  : plains[_i].result == -EMSGSIZE ? KMS_CORRUPT
								   : KMS_TRANSIENT);
}
END_TEST

START_TEST(test_wrap_read)
{
	static struct kms_wrapped w;
	const struct kms_purpose p = purpose();
	struct aws_question q = {.p = &p, .arn = HOME "alias/a"};
	struct kms_verdict v = {0};
	struct aws_ref a;
	struct http_reply r = reply_of(200, "{\"KeyId\":\"" ARN "\",\"CiphertextBlob\":\"AQIDBA==\"}");

	ck_assert_int_eq(aws_ref_parse(HOME "alias/a", &a, why), 0);
	ck_assert_int_eq(aws_wrap_read(&r, &a, &q, &w, &v), 0);
	ck_assert_str_eq(w.version, ID);
	ck_assert_uint_eq(w.len, 4);
	ck_assert_uint_eq(w.algorithm, KMS_ALG_PROVIDER);
	q.rsa = true;
	ck_assert_int_eq(aws_wrap_read(&r, &a, &q, &w, &v), 0);
	ck_assert_uint_eq(w.algorithm, KMS_ALG_RSA_OAEP_SHA256);
	q.arn = HOME "key/" MRK; /* what the alias meant before: the answer is another key's */
	ck_assert_int_eq(aws_wrap_read(&r, &a, &q, &w, &v), -EBADMSG);
	ck_assert_str_eq(v.code, "another-key");
	http_reply_free(&r);
	q.arn = HOME "alias/a";
	r = reply_of(200,
		     "{\"KeyId\":\"arn:aws:kms:eu-west-1:999922223333:key/" ID "\",\"CiphertextBlob\":\"AQIDBA==\"}");
	ck_assert_int_eq(aws_wrap_read(&r, &a, &q, &w, &v), -EBADMSG);
	ck_assert_str_eq(v.code, "another-key");
	http_reply_free(&r);
}
END_TEST

/* Files */

static const char ini[] = "# comment\n; another\n"
			  "[default]\naws_access_key_id = AKIA1\r\n  nested = 1\nAWS_Secret_Access_Key=s=1 \n\n"
			  "[profile two words ]\nregion=\n[ last ]\nrole_arn\t=\tarn";

static const struct {
	const char *text, *section, *key;
	int result;
	const char *value;
} inis[] = {
	{ini, "default", "aws_access_key_id", 0, "AKIA1"},
	{ini, "default", "aws_secret_access_key", 0, "s=1"},
	{ini, "default", "nested", -ENOENT, NULL},
	{ini, "default", "role_arn", -ENOENT, NULL},
	{ini, "two words", "region", 0, ""},
	{ini, "last", "role_arn", 0, "arn"},
	{ini, "profile", "role_arn", -ENOENT, NULL},
	{ini, "nobody", "role_arn", -ENOENT, NULL},
	{"", "default", "a", -ENOENT, NULL},
	{"a=1\n[default]\n", "default", "a", -EINVAL, NULL},
	{"[default]\na=1\na=2\n", "default", "a", -EINVAL, NULL},
	{"[default]\na=1\n[default]\n", "default", "a", -EINVAL, NULL},
	{"[x]\na=1\n[x]\n[default]\na=3", "default", "a", 0, "3"},
	{"[default]\njust words\n", "default", "a", -EINVAL, NULL},
	{"[default\na=1\n", "default", "a", -EINVAL, NULL},
	{"[]\n", "default", "a", -EINVAL, NULL},
	{"[default]\n=1\n", "default", "a", -EINVAL, NULL},
	{"[profile default]\na=1", "default", "a", 0, "1"},
};

START_TEST(test_ini)
{
	char out[AWS_WORD_MAX + 1] = "";

	ck_assert_int_eq(aws_ini_get(inis[_i].text, inis[_i].section, inis[_i].key, out), inis[_i].result);
	if (inis[_i].value)
		ck_assert_str_eq(out, inis[_i].value);
}
END_TEST

START_TEST(test_times)
{
	int64_t t = 0;

	ck_assert_int_eq(aws_time_read("2026-01-02T03:04:05Z", &t), 0);
	ck_assert_int_eq(t, 1767323045);
	ck_assert_int_eq(aws_time_read("2026-01-02T03:04:05.123Z", &t), 0);
	ck_assert_int_eq(aws_time_read("2026-01-02T03:04:05", &t), -EINVAL);
	ck_assert_int_eq(aws_time_read("2026-01-02T03:04:05+02:00", &t), -EINVAL);
	ck_assert_int_eq(aws_time_read("soon", &t), -EINVAL);
	ck_assert_int_eq(aws_time_read("", &t), -EINVAL);
}
END_TEST

/* Roles */

#define STS(id, secret, token, ends)                                                                              \
	"<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>" \
	"<AccessKeyId>" id "</AccessKeyId><SecretAccessKey>" secret "</SecretAccessKey><SessionToken>" token      \
	"</SessionToken><Expiration>" ends "</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
#define ENDS "2026-01-02T03:04:05Z"
#define NO(code, message)                                                                                          \
	"<?xml version=\"1.0\"?>\n<ErrorResponse><Error><Type>Sender</Type><Code>" code "</Code><Message>" message \
	"</Message></Error><RequestId>r</RequestId></ErrorResponse>\n"

static const struct {
	unsigned status;
	const char *body;
	enum kms_class class;
	const char *code;
} roles[] = {
	{200, STS("ASIA1", "sec/ret+", "tok&amp;en==", ENDS), KMS_OK, ""},
	{200,
	 "<AssumeRoleWithWebIdentityResponse><AccessKeyId>A</AccessKeyId><SecretAccessKey>tok&amp;</SecretAccessKey>"
	 "<SessionToken>tok&amp;en==</SessionToken><Expiration>" ENDS
	 "</Expiration></AssumeRoleWithWebIdentityResponse>",
	 KMS_OK, ""},
	{200, STS("ASIA1", "secret", "token", "later"), KMS_TRANSIENT, "garbled"},
	{200, STS("", "secret", "token", ENDS), KMS_TRANSIENT, "garbled"},
	{200, STS("A/B", "secret", "token", ENDS), KMS_TRANSIENT, "garbled"},
	{200, STS("ASIA1", "se cret", "token", ENDS), KMS_TRANSIENT, "garbled"},
	{200, STS("ASIA1", "secret", "to\nken", ENDS), KMS_TRANSIENT, "garbled"},
	{200, STS("ASIA1", "secret", "token&bogus;", ENDS), KMS_TRANSIENT, "garbled"},
	{200, STS("ASIA1", "secret", "<x/>", ENDS), KMS_TRANSIENT, "garbled"},
	{200, STS("ASIA1</AccessKeyId><AccessKeyId>ASIA2", "secret", "token", ENDS), KMS_TRANSIENT, "garbled"},
	{200, "<html><AccessKeyId>A</AccessKeyId></html>", KMS_TRANSIENT, "garbled"},
	{200, NO("AccessDenied", "x"), KMS_TRANSIENT, "garbled"},
	{200, "", KMS_TRANSIENT, "garbled"},
	{403, NO("AccessDenied", "User: x is not authorized to perform: sts:AssumeRole"), KMS_AUTH, "AccessDenied"},
	{403, NO("SignatureDoesNotMatch", "Signature expired: 2026 is now earlier than"), KMS_AUTH, "clock"},
	{403, NO("SignatureDoesNotMatch", "x"), KMS_AUTH, "SignatureDoesNotMatch"},
	{400, NO("ExpiredTokenException", "x"), KMS_AUTH, "ExpiredTokenException"},
	{400, NO("InvalidIdentityToken", "x"), KMS_AUTH, "InvalidIdentityToken"},
	{403, NO("InvalidClientTokenId", "x"), KMS_AUTH, "InvalidClientTokenId"},
	{400, NO("IDPCommunicationError", "x"), KMS_TRANSIENT, "IDPCommunicationError"},
	{400, NO("ValidationError", "x"), KMS_MISCONFIGURED, "ValidationError"},
	{403, NO("RegionDisabledException", "x"), KMS_MISCONFIGURED, "RegionDisabledException"},
	{400, NO("Throttling", "x"), KMS_TRANSIENT, "Throttling"},
	{400, NO("SomethingNew", "x"), KMS_TRANSIENT, "SomethingNew"},
	{403, "<html>403</html>", KMS_TRANSIENT, "garbled"},
	{403, "", KMS_TRANSIENT, "garbled"},
	{403, "<ErrorResponse><Error><Code>AccessDenied</Code>", KMS_TRANSIENT, "garbled"},
};

START_TEST(test_sts)
{
	AUTO(http_reply_free) struct http_reply r = reply_of(roles[_i].status, roles[_i].body);
	AUTO(aws_key_wipe) struct aws_key key = {0};
	struct kms_verdict v = {0};
	char token[64];

	int e = aws_sts_read(&r, &key, &v);
	ck_assert_msg(v.class == roles[_i].class, "%s: %s", roles[_i].body, v.text);
	ck_assert_int_eq(e != 0, v.class != KMS_OK);
	ck_assert_str_eq(v.code, roles[_i].code);
	ck_assert_int_eq(key.secret != NULL, v.class == KMS_OK);
	if (v.class != KMS_OK)
		return;
	long_secret_copy(&key.token, token);
	ck_assert_str_eq(token, "tok&en==");
	ck_assert_int_eq(key.expires, 1767323045);
}
END_TEST

START_TEST(test_sts_body)
{
	struct aws_role role = {.arn = "arn:aws:iam::1:role/r", .session = "byokfs", .external_id = "a b&c"};

	char *body = aws_sts_body(&role);
	ck_assert_str_eq(body, "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr&"
			       "RoleSessionName=byokfs&DurationSeconds=900&ExternalId=a%20b%26c");
	heap_free(body);
	role = (struct aws_role){.arn = "r", .session = "s", .jwt = "a.b"};
	body = aws_sts_body(&role);
	ck_assert_str_eq(body, "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=r&RoleSessionName=s&"
			       "DurationSeconds=900&WebIdentityToken=a.b");
	heap_free(body);
	static char huge[40000];
	memset(huge, 'x', sizeof(huge) - 1);
	role.jwt = huge;
	ck_assert_ptr_null(aws_sts_body(&role));
	ck_assert_uint_eq(heap_in_use(), 0);
}
END_TEST

static const struct {
	unsigned status;
	const char *body;
	enum kms_class class;
} metas[] = {
	{200,
	 "{\"Code\":\"Success\",\"Type\":\"AWS-HMAC\",\"AccessKeyId\":\"ASIA\",\"SecretAccessKey\":\"s\",\"Token\":"
	 "\"t\","
	 "\"Expiration\":\"" ENDS "\"}",
	 KMS_OK},
	{200, "{\"AccessKeyId\":\"ASIA\",\"SecretAccessKey\":\"s\",\"Token\":\"t\",\"Expiration\":\"" ENDS "\"}",
	 KMS_OK},
	{200, "{\"Code\":\"AssumeRoleUnauthorizedAccess\",\"Message\":\"x\"}", KMS_AUTH},
	{200, "{\"Code\":\"Success\",\"AccessKeyId\":\"ASIA\"}", KMS_TRANSIENT},
	{200, "{\"AccessKeyId\":\"ASIA\",\"SecretAccessKey\":\"s\",\"Expiration\":\"soon\"}", KMS_TRANSIENT},
	{200, "<html>", KMS_TRANSIENT},
	{404, "", KMS_AUTH},
	{500, "", KMS_TRANSIENT},
};

START_TEST(test_meta)
{
	AUTO(http_reply_free) struct http_reply r = reply_of(metas[_i].status, metas[_i].body);
	AUTO(aws_key_wipe) struct aws_key key = {0};
	struct kms_verdict v = {0};

	(void)aws_meta_read(&r, &key, &v);
	ck_assert_msg(v.class == metas[_i].class, "%s: %s", metas[_i].body, v.text);
	ck_assert_int_eq(key.secret != NULL, v.class == KMS_OK);
}
END_TEST

/* Longer than a slot of locked memory, and over its ends. */
START_TEST(test_long_secret)
{
	static const size_t lens[] = {0, 1, 511, 512, 513, 4095, 4096};
	static char text[LONG_SECRET_MAX + 2], out[LONG_SECRET_MAX + 1];
	struct long_secret a = {0}, b = {0};

	for (size_t i = 0; i < sizeof(text) - 1; i++)
		text[i] = (char)('a' + i % 23);
	size_t before = secret_in_use();
	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		ck_assert_int_eq(long_secret_set(&a, text, lens[i]), 0);
		ck_assert_int_eq(long_secret_set(&b, text, lens[i]), 0);
		ck_assert(long_secret_equal(&a, &b));
		long_secret_copy(&a, out);
		ck_assert_uint_eq(strlen(out), lens[i]);
		ck_assert_int_eq(memcmp(out, text, lens[i]), 0);
	}
	b.piece[7][511] ^= 1;
	ck_assert(!long_secret_equal(&a, &b));
	ck_assert_int_eq(long_secret_set(&a, text, LONG_SECRET_MAX + 1), -EMSGSIZE);
	ck_assert_uint_eq(a.len, 0);
	long_secret_wipe(&b);
	ck_assert_uint_eq(secret_in_use(), before);
}
END_TEST

/* Out of the environment at once, and handed over once. */
START_TEST(test_hidden)
{
	char one[] = "AWS_SECRET_ACCESS_KEY=s3cret", two[] = "AWS_PROFILE=p", three[] = "AWS_SESSION_TOKEN=";
	char *list[] = {one, two, three, NULL};
	char out[16];

	hidden_begin(list);
	ck_assert_str_eq(one, "");
	ck_assert_int_eq(one[27], 0);
	ck_assert_str_eq(two, "AWS_PROFILE=p");
	ck_assert_ptr_null(hidden_get("AWS_SECRET_ACCESS_KEY"));
	ck_assert_int_eq(hidden_take(), 0);
	ck_assert_ptr_nonnull(hidden_get("AWS_SECRET_ACCESS_KEY"));
	long_secret_copy(hidden_get("AWS_SECRET_ACCESS_KEY"), out);
	ck_assert_str_eq(out, "s3cret");
	ck_assert_ptr_null(hidden_get("AWS_SESSION_TOKEN"));
	ck_assert_ptr_null(hidden_get("AWS_SECRET_ACCESS"));
	ck_assert_int_eq(hidden_take(), 0);
	ck_assert_ptr_nonnull(hidden_get("AWS_SECRET_ACCESS_KEY"));
	hidden_end();
	ck_assert_ptr_null(hidden_get("AWS_SECRET_ACCESS_KEY"));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("aws");
	TCase *t = tcase_create("aws");

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_loop_test(t, test_refs, 0, ARRAY_LEN(refs));
	tcase_add_test(t, test_key_id);
	tcase_add_loop_test(t, test_answers, 0, ARRAY_LEN(answers));
	tcase_add_test(t, test_bodies);
	tcase_add_loop_test(t, test_unwrap_read, 0, ARRAY_LEN(plains));
	tcase_add_test(t, test_wrap_read);
	tcase_add_loop_test(t, test_ini, 0, ARRAY_LEN(inis));
	tcase_add_test(t, test_times);
	tcase_add_loop_test(t, test_sts, 0, ARRAY_LEN(roles));
	tcase_add_test(t, test_sts_body);
	tcase_add_loop_test(t, test_meta, 0, ARRAY_LEN(metas));
	tcase_add_test(t, test_long_secret);
	tcase_add_test(t, test_hidden);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
