/* SPDX-License-Identifier: BSD-2-Clause */
/* Signature Version 4: AWS's published test suite as far as it is about what we send, and requests that botocore signed. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kms/net/sigv4.h"

#define ID "AKIDEXAMPLE"
#define SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define SUITE_TIME INT64_C(1440938160)  /* 20150830T123600Z */
#define GOLDEN_TIME INT64_C(1767323045) /* 20260102T030405Z */
#define HOST "Host: example.amazonaws.com"
#define GOLDEN_BODY                                           \
	"{\"CiphertextBlob\":\"AQIDBA==\",\"KeyId\":\"alias/" \
	"kek\",\"EncryptionContext\":{\"fs\":\"a\",\"file\":\"b\"}}"

static const struct {
	const char *name, *method, *query, *body;
	const char *header[6];
	const char *names, *signature;
} suite[] = {
	{"get-vanilla",
	 "GET",
	 "",
	 "",
	 {HOST},
	 "host;x-amz-date",
	 "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
	{"get-vanilla-query-order-key-case",
	 "GET",
	 "Param1=value1&Param2=value2",
	 "",
	 {HOST},
	 "host;x-amz-date",
	 "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
	{"post-vanilla",
	 "POST",
	 "",
	 "",
	 {HOST},
	 "host;x-amz-date",
	 "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
	{"get-header-value-trim",
	 "GET",
	 "",
	 "",
	 {HOST, "My-Header1: value1", "My-Header2: \"a   b   c\""},
	 "host;my-header1;my-header2;x-amz-date",
	 "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
	{"get-header-key-duplicate",
	 "GET",
	 "",
	 "",
	 {HOST, "My-Header1:value2", "My-Header1:value2", "My-Header1:value1"},
	 "host;my-header1;x-amz-date",
	 "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
	{"get-header-value-order",
	 "GET",
	 "",
	 "",
	 {HOST, "My-Header1:value4", "My-Header1:value1", "My-Header1:value3", "My-Header1:value2"},
	 "host;my-header1;x-amz-date",
	 "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"},
	{"post-header-key-sort",
	 "POST",
	 "",
	 "",
	 {HOST, "My-Header1:value1"},
	 "host;my-header1;x-amz-date",
	 "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"},
	{"post-header-value-case",
	 "POST",
	 "",
	 "",
	 {HOST, "My-Header1:VALUE1"},
	 "host;my-header1;x-amz-date",
	 "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"},
	{"post-x-www-form-urlencoded",
	 "POST",
	 "",
	 "Param1=value1",
	 {"Content-Type:application/x-www-form-urlencoded", HOST},
	 "content-type;host;x-amz-date",
	 "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
};

static struct sigv4_request request_of(int i)
{
	return (struct sigv4_request){.method = suite[i].method,
				      .path = "/",
				      .query = suite[i].query,
				      .header = suite[i].header,
				      .body = suite[i].body,
				      .body_len = strlen(suite[i].body),
				      .region = "us-east-1",
				      .service = "service",
				      .id = ID,
				      .secret = SECRET,
				      .now = SUITE_TIME};
}

START_TEST(test_suite)
{
	char date[SIGV4_DATE_LEN + 1], auth[SIGV4_AUTH_MAX], want[SIGV4_AUTH_MAX];
	const struct sigv4_request q = request_of(_i);

	ck_assert_int_eq(sigv4_sign(&q, date, auth), 0);
	ck_assert_str_eq(date, "20150830T123600Z");
	snprintf(want, sizeof(want),
		 "AWS4-HMAC-SHA256 Credential=" ID
		 "/20150830/us-east-1/service/aws4_request, SignedHeaders=%s, Signature=%s",
		 suite[_i].names, suite[_i].signature);
	ck_assert_msg(strcmp(auth, want) == 0, "%s: %s", suite[_i].name, auth);
}
END_TEST

/* As Debian's botocore signed them, without and with a session token. */
START_TEST(test_golden)
{
	const char *header[] = {"Content-Type: application/x-amz-json-1.1", "X-Amz-Target: TrentService.Decrypt",
				"Host: kms.eu-west-1.amazonaws.com", NULL, NULL};
	struct sigv4_request q = request_of(2);
	char date[SIGV4_DATE_LEN + 1], auth[SIGV4_AUTH_MAX];

	q.header = header;
	q.region = "eu-west-1";
	q.service = "kms";
	q.body = GOLDEN_BODY;
	q.body_len = strlen(GOLDEN_BODY);
	q.now = GOLDEN_TIME;
	ck_assert_int_eq(sigv4_sign(&q, date, auth), 0);
	ck_assert_str_eq(date, "20260102T030405Z");
	ck_assert_ptr_nonnull(strstr(auth, "a740728eb1e3b12c739d98fb6030749d3a3cf85908ac27c30c7f67cef0802e02"));
	header[3] = "X-Amz-Security-Token: FwoGZXIvYXdzEXAMPLETOKEN//+==";
	ck_assert_int_eq(sigv4_sign(&q, date, auth), 0);
	ck_assert_ptr_nonnull(strstr(auth, "77fc687ce936761cd4ce32768bfb3ac6332755f7c706d84aac3023252ab7b951"));
	ck_assert_ptr_nonnull(
		strstr(auth, "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target,"));
}
END_TEST

START_TEST(test_refuses)
{
	char date[SIGV4_DATE_LEN + 1], auth[SIGV4_AUTH_MAX], secret[SIGV4_SECRET_MAX + 2];
	const char *many[SIGV4_HEADERS_MAX + 1] = {0};
	struct sigv4_request q = request_of(0);

	for (size_t i = 0; i < SIGV4_HEADERS_MAX; i++)
		many[i] = HOST;
	q.header = many;
	ck_assert_int_eq(sigv4_sign(&q, date, auth), -EINVAL); /* with the date's it is one too many */
	many[SIGV4_HEADERS_MAX - 1] = NULL;
	ck_assert_int_eq(sigv4_sign(&q, date, auth), 0);
	many[0] = "no colon";
	ck_assert_int_eq(sigv4_sign(&q, date, auth), -EINVAL);
	q = request_of(0);
	memset(secret, 'x', sizeof(secret) - 1);
	secret[sizeof(secret) - 1] = '\0';
	q.secret = secret;
	ck_assert_int_eq(sigv4_sign(&q, date, auth), -EINVAL);
	secret[SIGV4_SECRET_MAX] = '\0';
	ck_assert_int_eq(sigv4_sign(&q, date, auth), 0);
	char id[SIGV4_AUTH_MAX];
	memset(id, 'A', sizeof(id) - 1);
	id[sizeof(id) - 1] = '\0';
	q.id = id;
	ck_assert_int_eq(sigv4_sign(&q, date, auth), -ENOSPC);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sigv4");
	TCase *t = tcase_create("sigv4");

	tcase_add_loop_test(t, test_suite, 0, ARRAY_LEN(suite));
	tcase_add_test(t, test_golden);
	tcase_add_test(t, test_refuses);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
