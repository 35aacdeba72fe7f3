/* SPDX-License-Identifier: BSD-2-Clause */
/* Replies of a KMS: what is JSON to the letter, what is looked up in it, and base64 that says one thing only. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"
#include "kms/net/heap.h"
#include "kms/net/json.h"

static struct reply *r;

static void setup(void)
{
	ck_assert_int_eq(secret_init(), 0);
	r = NULL;
}

static void teardown(void)
{
	reply_free(r);
	ck_assert_uint_eq(heap_in_use(), 0);
}

static const struct {
	const char *text;
	bool good;
} texts[] = {
	{"{}", true},
	{" \t\r\n{ } \n", true},
	{"{\"a\":1}", true},
	{"{\"a\":[1,-2.5e+3,0,0.1,true,false,null,\"x\",{},[]]}", true},
	{"{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00\"}", true},
	{"{\"\xc3\xa9\":\"\xe2\x82\xac\"}", true},
	{"", false},
	{"[]", false},
	{"\"a\"", false},
	{"null", false},
	{"{", false},
	{"{}x", false},
	{"{} {}", false},
	{"\xef\xbb\xbf{}", false}, /* a byte order mark */
	{"{\"a\"}", false},
	{"{\"a\":}", false},
	{"{\"a\":1,}", false},
	{"{,}", false},
	{"{a:1}", false},
	{"{'a':1}", false},
	{"{\"a\":[1,]}", false},
	{"{\"a\":[1}", false},
	{"{\"a\":01}", false},
	{"{\"a\":-}", false},
	{"{\"a\":+1}", false},
	{"{\"a\":1.}", false},
	{"{\"a\":.1}", false},
	{"{\"a\":1e}", false},
	{"{\"a\":0x10}", false},
	{"{\"a\":NaN}", false},
	{"{\"a\":Infinity}", false},
	{"{\"a\":tru}", false},
	{"{\"a\":\"\n\"}", false},
	{"{\"a\":\"\\x41\"}", false},
	{"{\"a\":\"\\u12g4\"}", false},
	{"{\"a\":\"\\u0000\"}", false}, /* would end the string early */
	{"{\"a\":\"\\ud83d\"}", false},
	{"{\"a\":\"\\ude00\\ud83d\"}", false},
	{"{\"a\":\"\\ud83dx\"}", false},
	{"{\"a\":\"x}", false},
	{"{\"a\":\"x\\\"}", false},
	{"{\"\xc3\":1}", false},             /* cut UTF-8 */
	{"{\"a\":\"\xc0\xaf\"}", false},     /* overlong */
	{"{\"a\":\"\xed\xa0\x80\"}", false}, /* a surrogate */
	{"{\"a\":1,\"a\":1}", false},
	{"{\"b\":{\"a\":1,\"c\":2,\"a\":3}}", false},
	{"{\"b\":[{\"a\":1,\"\\u0061\":3}]}", false},
	{"{\"a\":1,\"A\":2}", true},
	{"<html>403</html>", false},
};

START_TEST(test_texts)
{
	int got = reply_parse(texts[_i].text, strlen(texts[_i].text), &r);

	ck_assert_msg((got == 0) == texts[_i].good, "%s: %d", texts[_i].text, got);
	ck_assert(got == 0 || got == -EBADMSG);
}
END_TEST

/* Deep, long, with a NUL: bounded, whatever comes. */
START_TEST(test_bounds)
{
	static char text[REPLY_MAX + 10];

	for (unsigned depth = 1; depth < 40; depth++) {
		size_t n = (size_t)snprintf(text, sizeof(text), "{\"a\":");
		for (unsigned i = 1; i < depth; i++)
			text[n++] = '[';
		text[n++] = '1';
		for (unsigned i = 1; i < depth; i++)
			text[n++] = ']';
		text[n++] = '}';
		int got = reply_parse(text, n, &r);
		ck_assert_msg((got == 0) == (depth <= REPLY_DEPTH), "depth %u: %d", depth, got);
		reply_free(got ? NULL : r);
		r = NULL;
	}
	memset(text, '[', sizeof(text)); /* no recursion without end */
	text[0] = '{';
	ck_assert_int_eq(reply_parse(text, REPLY_MAX, &r), -EBADMSG);
	memset(text, ' ', sizeof(text));
	memcpy(text, "{}", 2);
	ck_assert_int_eq(reply_parse(text, REPLY_MAX + 1, &r), -EBADMSG);
	ck_assert_int_eq(reply_parse(text, REPLY_MAX, &r), 0);
	reply_free(r);
	r = NULL;
	ck_assert_int_eq(reply_parse("{\0}", 3, &r), -EBADMSG);
	ck_assert_int_eq(reply_parse("{}\0", 3, &r), -EBADMSG);
	ck_assert_int_eq(reply_parse("{\"a\":\"x\0y\"}", 11, &r), -EBADMSG);
}
END_TEST

START_TEST(test_lookup)
{
	static const char text[] =
		"{\"data\":{\"ciphertext\":\"vault:v1:x\",\"n\":7,\"half\":0.5,\"neg\":-1,\"big\":1e300,\"yes\":true},"
		"\"errors\":[\"a\",2,\"c\"],\"null\":null}";
	uint64_t n = 0;

	ck_assert_int_eq(reply_parse(text, strlen(text), &r), 0);
	ck_assert_str_eq(reply_str(r, "data/ciphertext"), "vault:v1:x");
	ck_assert_ptr_null(reply_str(r, "data/n"));
	ck_assert_ptr_null(reply_str(r, "data/cipher"));
	ck_assert_ptr_null(reply_str(r, "dat/ciphertext"));
	ck_assert_ptr_null(reply_str(r, "errors/a"));
	ck_assert_ptr_null(reply_str(r, "data/ciphertext/x"));
	ck_assert_int_eq(reply_number(r, "data/n", &n), 0);
	ck_assert_uint_eq(n, 7);
	ck_assert_int_eq(reply_number(r, "data/half", &n), -ENOENT);
	ck_assert_int_eq(reply_number(r, "data/neg", &n), -ENOENT);
	ck_assert_int_eq(reply_number(r, "data/big", &n), -ENOENT);
	ck_assert_int_eq(reply_number(r, "data/ciphertext", &n), -ENOENT);
	ck_assert_str_eq(reply_item(r, "errors", 0), "a");
	ck_assert_ptr_null(reply_item(r, "errors", 1));
	ck_assert_str_eq(reply_item(r, "errors", 2), "c");
	ck_assert_ptr_null(reply_item(r, "errors", 3));
	ck_assert_ptr_null(reply_item(r, "data", 0));
	ck_assert(reply_true(r, "data/yes") && !reply_true(r, "data/n") && !reply_true(r, "no"));
	ck_assert(reply_has(r, "null") && !reply_has(r, "nul"));
}
END_TEST

static const struct {
	enum base64_kind kind;
	const char *text;
	int len; /* -1: refused */
} base64s[] = {
	{BASE64, "", 0},       {BASE64, "AA==", 1},          {BASE64, "AAA=", 2},     {BASE64, "AAAA", 3},
	{BASE64, "+/+/", 3},   {BASE64, "AA", -1},           {BASE64, "AA=", -1},     {BASE64, "AB==", -1},
	{BASE64, "A", -1},     {BASE64, "AA==\n", -1},       {BASE64, " AA==", -1},   {BASE64, "AA==AA==", -1},
	{BASE64, "-_-_", -1},  {BASE64, "AAAAAAAAAAAA", -1}, /* longer than there is room */
	{BASE64_URL, "AA", 1}, {BASE64_URL, "AA==", -1},     {BASE64_URL, "-_-_", 3}, {BASE64_URL, "+/+/", -1},
};

START_TEST(test_base64)
{
	uint8_t out[8];
	size_t len = 99;
	int got = base64_read(base64s[_i].kind, base64s[_i].text, out, sizeof(out), &len);

	ck_assert_int_eq(got, base64s[_i].len < 0 ? -EBADMSG : 0);
	if (got)
		return;
	char text[32];
	ck_assert_uint_eq(len, (size_t)base64s[_i].len);
	base64_write(base64s[_i].kind, out, len, text);
	ck_assert_str_eq(text, base64s[_i].text);
	ck_assert_uint_lt(strlen(text), base64_size(len));
}
END_TEST

START_TEST(test_heap)
{
	char *p = heap_strdup("abc");

	ck_assert_uint_eq(heap_in_use(), 4);
	p = heap_realloc(p, 100);
	ck_assert_str_eq(p, "abc");
	p = heap_realloc(p, 2);
	ck_assert_int_eq(memcmp(p, "ab", 2), 0);
	heap_free(p);
	heap_free(NULL);
	ck_assert_ptr_null(heap_calloc(SIZE_MAX, 2));
	ck_assert_ptr_null(heap_alloc(SIZE_MAX));
	p = heap_calloc(3, 2);
	ck_assert_int_eq(memcmp(p, "\0\0\0\0\0\0", 6), 0);
	heap_free(p);
	p = heap_realloc(NULL, 5);
	heap_free(p);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("reply");
	TCase *t = tcase_create("reply");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, test_texts, 0, (int)ARRAY_LEN(texts));
	tcase_add_test(t, test_bounds);
	tcase_add_test(t, test_lookup);
	tcase_add_loop_test(t, test_base64, 0, (int)ARRAY_LEN(base64s));
	tcase_add_test(t, test_heap);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
