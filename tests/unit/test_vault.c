/* SPDX-License-Identifier: BSD-2-Clause */
/* The provider `vault:` without a network: references, what each answer means, bytes in and out. The real server: 47-vault. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"
#include "kms/net/heap.h"
#include "kms/net/json.h"
#include "kms/providers/vault.h"
#include "tests/kms/scripted.h"
#include "tests/unit/ref_rows.h"

static char why[KMS_TEXT_MAX];

static void setup(void)
{
	ck_assert_int_eq(secret_init(), 0);
	unsetenv("VAULT_ADDR");
	unsetenv("BAO_ADDR");
	unsetenv("VAULT_NAMESPACE");
	unsetenv("BAO_NAMESPACE");
}

/* References */

static const struct ref_row refs[] = {
	{"vault:https://h:8200/transit/kek", "vault:https://h:8200/transit/kek", NULL},
	{"vault:https://Kms.Example.COM/transit/kek", "vault:https://kms.example.com:443/transit/kek", NULL},
	{"vault:https://h:8200/team/a/transit/k.e_k-1", "vault:https://h:8200/team/a/transit/k.e_k-1", NULL},
	{"vault:https://h:8200/transit/keys/kek", "vault:https://h:8200/transit/kek", NULL},
	{"vault:https://h:8200/keys/kek", "vault:https://h:8200/keys/kek", NULL},
	{"vault:https://h:8200/transit/kek?namespace=/a/b/", "vault:https://h:8200/transit/kek?namespace=a/b", NULL},
	{"vault:https://h:8200/transit/kek?namespace=", "vault:https://h:8200/transit/kek", NULL},
	{"vault:https://[2001:DB8::1]:8200/t/k", "vault:https://[2001:db8::1]:8200/t/k", NULL},
	{"vault:http://127.0.0.1:8200/t/k", "vault:http://127.0.0.1:8200/t/k", NULL},
	{"vault:http://[::1]/t/k", "vault:http://[::1]:80/t/k", NULL},
	{"vault:http://localhost/t/k", "vault:http://localhost:80/t/k", NULL},
	{"vault:http://10.0.0.1:8200/t/k", NULL, "http:// to 10.0.0.1: only to this machine"},
	{"vault:http://127.0.0.1.example.com/t/k", NULL, "only to this machine"},
	{"vault:http://127.0.0.999/t/k", NULL, "only to this machine"},
	{"vault:http://localhost.example/t/k", NULL, "only to this machine"},
	{"vault:transit/kek", NULL, "no address: vault:https://HOST:PORT/transit/kek, or set VAULT_ADDR"},
	{"vault:", NULL, "no address"},
	{"vault:ftp://h/t/k", NULL, "does not begin with https://"},
	{"vault:https:///t/k", NULL, "the host in"},
	{"vault:https://user@h/t/k", NULL, "no key behind the address"},
	{"vault:https://h:0/t/k", NULL, "the port in ':0/t/k' is not a number"},
	{"vault:https://h:65536/t/k", NULL, "the port in"},
	{"vault:https://h:8200x/t/k", NULL, "no key behind the address"},
	{"vault:https://h:/t/k", NULL, "the port in"},
	{"vault:https://[::1/t/k", NULL, "is not [an IPv6 address]"},
	{"vault:https://h", NULL, "no key behind the address"},
	{"vault:https://h/", NULL, "is not MOUNT/NAME"},
	{"vault:https://h/kek", NULL, "'kek' names no key: MOUNT/NAME"},
	{"vault:https://h/t/", NULL, "is not MOUNT/NAME"},
	{"vault:https://h//k", NULL, "is not MOUNT/NAME"},
	{"vault:https://h/t/../k", NULL, "is not MOUNT/NAME"},
	{"vault:https://h/t/.k", NULL, "is not MOUNT/NAME"},
	{"vault:https://h/t/k%2f", NULL, "is not MOUNT/NAME"},
	{"vault:https://h/t/k#x", NULL, "is not MOUNT/NAME"},
	{"vault:https://h/t/k?x=1", NULL, "'?x=1' is not ?namespace=NS"},
	{"vault:https://h/t/k?namespace=a b", NULL, "the namespace 'a b'"},
	{"vault:https://h/t/k?namespace=a&x=1", NULL, "the namespace"},
	{"vault:https://h/t/k?namespace=../a", NULL, "the namespace"},
};

START_TEST(test_refs)
{
	ref_row_check(&refs[_i]);
}
END_TEST

/* As with the command lines of both: BAO_ADDR before VAULT_ADDR; a reference with an address does not look at them. */
START_TEST(test_environment)
{
	char out[KMS_REF_MAX + 1];

	setenv("VAULT_ADDR", "https://v.example:8200/", 1);
	setenv("VAULT_NAMESPACE", "ns/", 1);
	ck_assert_int_eq(kms_ref_normalise("vault:transit/kek", out, why), 0);
	ck_assert_str_eq(out, "vault:https://v.example:8200/transit/kek?namespace=ns");
	setenv("BAO_ADDR", "http://127.0.0.1:8300", 1);
	ck_assert_int_eq(kms_ref_normalise("vault:transit/kek?namespace=other", out, why), 0);
	ck_assert_str_eq(out, "vault:http://127.0.0.1:8300/transit/kek?namespace=other");
	setenv("BAO_ADDR", "https://h/path", 1);
	ck_assert_int_eq(kms_ref_normalise("vault:transit/kek", out, why), -EINVAL);
	ck_assert_ptr_nonnull(strstr(why, "'path' behind the address"));
	ck_assert_int_eq(kms_ref_normalise("vault:https://own/transit/kek?namespace=x", out, why), 0);
	ck_assert_str_eq(out, "vault:https://own:443/transit/kek?namespace=x");
}
END_TEST

/* Answers, byte for byte as OpenBao 2.7.2 gives them where it does */

#define DENIED "{\"errors\":[\"1 error occurred:\\n\\t* permission denied\\n\\n\"]}\n"

static const struct {
	unsigned status;
	const char *body;
	enum kms_class wrap, unwrap, probe, login;
	const char *code; /* of the probe */
} answers[] = {
	{200, "{\"data\":{}}", KMS_OK, KMS_OK, KMS_OK, KMS_OK, ""},
	{204, "", KMS_OK, KMS_OK, KMS_OK, KMS_OK, ""},
	{400, "{\"errors\":[\"encryption key not found\"]}\n", KMS_MISCONFIGURED, KMS_REVOKED, KMS_REVOKED, KMS_AUTH,
	 "no-such-key"},
	{400, "{\"errors\":[\"refusing to use soft-deleted key\"]}\n", KMS_REVOKED, KMS_REVOKED, KMS_REVOKED, KMS_AUTH,
	 "soft-deleted"},
	{400, "{\"errors\":[\"ciphertext or signature version is disallowed by policy (too old)\"]}\n", KMS_REVOKED,
	 KMS_REVOKED, KMS_REVOKED, KMS_AUTH, "version-disallowed"},
	{400, "{\"errors\":[\"no such key version 3\"]}", KMS_REVOKED, KMS_REVOKED, KMS_REVOKED, KMS_AUTH,
	 "version-gone"},
	{400, "{\"errors\":[\"invalid key version\"]}", KMS_REVOKED, KMS_REVOKED, KMS_REVOKED, KMS_AUTH,
	 "version-gone"},
	{400, "{\"errors\":[\"invalid ciphertext: version is too new\"]}\n", KMS_CORRUPT, KMS_CORRUPT, KMS_REVOKED,
	 KMS_AUTH, "another-key"},
	{400, "{\"errors\":[\"cipher: message authentication failed\"]}\n", KMS_CORRUPT, KMS_CORRUPT, KMS_REVOKED,
	 KMS_AUTH, "another-key"},
	{400, "{\"errors\":[\"invalid ciphertext: no prefix\"]}\n", KMS_CORRUPT, KMS_CORRUPT, KMS_REVOKED, KMS_AUTH,
	 "corrupt"},
	{400, "{\"errors\":[\"invalid ciphertext length\"]}\n", KMS_CORRUPT, KMS_CORRUPT, KMS_REVOKED, KMS_AUTH,
	 "corrupt"},
	{500,
	 "{\"errors\":[\"1 error occurred:\\n\\t* internal error: failed to RSA decrypt the ciphertext: "
	 "crypto/rsa\\n\\n\"]}",
	 KMS_CORRUPT, KMS_CORRUPT, KMS_REVOKED, KMS_TRANSIENT, "another-key"},
	{400, "{\"errors\":[\"missing 'context' for key derivation; the key was created using a derived key\"]}",
	 KMS_MISCONFIGURED, KMS_MISCONFIGURED, KMS_MISCONFIGURED, KMS_AUTH, "key-type"},
	{400, "{\"errors\":[\"message decryption not supported for key type ed25519\"]}", KMS_MISCONFIGURED,
	 KMS_MISCONFIGURED, KMS_MISCONFIGURED, KMS_AUTH, "key-type"},
	{404, "{\"errors\":[\"no handler for route \\\"transit/decrypt/kek\\\". route entry not found.\"]}\n",
	 KMS_MISCONFIGURED, KMS_REVOKED, KMS_REVOKED, KMS_AUTH, "no-mount"},
	{404, "{\"errors\":[\"namespace not found\"]}", KMS_MISCONFIGURED, KMS_REVOKED, KMS_REVOKED, KMS_AUTH,
	 "no-namespace"},
	{429, "{\"errors\":[\"request path \\\"transit/decrypt/kek\\\": rate limit quota exceeded\"]}\n", KMS_TRANSIENT,
	 KMS_TRANSIENT, KMS_TRANSIENT, KMS_TRANSIENT, "throttled"},
	{503, "{\"errors\":[\"Vault is sealed\"]}\n", KMS_TRANSIENT, KMS_TRANSIENT, KMS_TRANSIENT, KMS_TRANSIENT,
	 "sealed"},
	{503, "{\"errors\":[\"namespace is sealed\"]}", KMS_TRANSIENT, KMS_TRANSIENT, KMS_TRANSIENT, KMS_TRANSIENT,
	 "sealed"},
	{403, DENIED, KMS_REVOKED, KMS_REVOKED, KMS_REVOKED, KMS_AUTH, "permission-denied"},
	{403, "{\"errors\":[\"permission denied\"]}\n", KMS_AUTH, KMS_AUTH, KMS_AUTH, KMS_AUTH, "token"},
	{403, "{\"errors\":[\"2 errors occurred:\\n\\t* permission denied\\n\\t* invalid token\\n\\n\"]}", KMS_AUTH,
	 KMS_AUTH, KMS_AUTH, KMS_AUTH, "token"},
	{403, "{\"errors\":[\"1 error occurred:\\n\\t* bad token: permission denied\\n\\n\"]}", KMS_AUTH, KMS_AUTH,
	 KMS_AUTH, KMS_AUTH, "token"},
	{403, "{\"errors\":[\"something else: permission denied\"]}", KMS_AUTH, KMS_AUTH, KMS_AUTH, KMS_AUTH, "denied"},
	{400, "{\"errors\":[\"invalid role or secret ID\"]}\n", KMS_TRANSIENT, KMS_TRANSIENT, KMS_TRANSIENT, KMS_AUTH,
	 "unknown"},
	{412, "{\"errors\":[\"required index state not present\"]}", KMS_TRANSIENT, KMS_TRANSIENT, KMS_TRANSIENT,
	 KMS_TRANSIENT, "unknown"},
	{500, "{\"errors\":[\"internal error\"]}", KMS_TRANSIENT, KMS_TRANSIENT, KMS_TRANSIENT, KMS_TRANSIENT,
	 "unknown"},
	{405, "{\"errors\":[\"unsupported operation\"]}", KMS_TRANSIENT, KMS_TRANSIENT, KMS_TRANSIENT, KMS_AUTH,
	 "unknown"},
	/* strangers: neither a yes nor a no of Vault's */
	{403, "<html><body>403 Forbidden</body></html>", KMS_TRANSIENT, KMS_TRANSIENT, KMS_TRANSIENT, KMS_TRANSIENT,
	 "garbled"},
	{403, "", KMS_TRANSIENT, KMS_TRANSIENT, KMS_TRANSIENT, KMS_TRANSIENT, "garbled"},
	{403, "{\"error\":{\"code\":\"Forbidden\",\"message\":\"permission denied\"}}", KMS_TRANSIENT, KMS_TRANSIENT,
	 KMS_TRANSIENT, KMS_TRANSIENT, "garbled"},
	{400, "{\"__type\":\"DisabledException\",\"message\":\"encryption key not found\"}", KMS_TRANSIENT,
	 KMS_TRANSIENT, KMS_TRANSIENT, KMS_TRANSIENT, "garbled"},
	{403, "{\"errors\":[\"1 error occurred:\\n\\t* permission denied\\n\\n\"]", KMS_TRANSIENT, KMS_TRANSIENT,
	 KMS_TRANSIENT, KMS_TRANSIENT, "garbled"}, /* cut */
	{403, "{\"errors\":\"1 error occurred:\\n\\t* permission denied\\n\\n\"}", KMS_TRANSIENT, KMS_TRANSIENT,
	 KMS_TRANSIENT, KMS_TRANSIENT, "garbled"}, /* no list */
	{404, "{\"errors\":[]}\n", KMS_TRANSIENT, KMS_TRANSIENT, KMS_TRANSIENT, KMS_TRANSIENT, "garbled"},
	{302, "{\"errors\":[\"1 error occurred:\\n\\t* permission denied\\n\\n\"]}", KMS_TRANSIENT, KMS_TRANSIENT,
	 KMS_TRANSIENT, KMS_TRANSIENT, "unknown"},
	{307, "", KMS_TRANSIENT, KMS_TRANSIENT, KMS_TRANSIENT, KMS_TRANSIENT, "garbled"},
	{502, "Bad gateway", KMS_TRANSIENT, KMS_TRANSIENT, KMS_TRANSIENT, KMS_TRANSIENT, "garbled"},
};

static struct http_reply reply_of(unsigned status, const char *body)
{
	return (struct http_reply){.status = status, .body = heap_strdup(body), .len = strlen(body)};
}

static void judged(int i, enum vault_call call, enum kms_class want, const char *code)
{
	AUTO(http_reply_free) struct http_reply r = reply_of(answers[i].status, answers[i].body);
	struct kms_verdict v = {0};
	bool unsure;
	int e = vault_judge(call, &r, "vault:https://h:1/t/k", &v, &unsure);

	ck_assert_msg(v.class == want, "call %d: %u %s: %s, not %s: %s", call, r.status, r.body,
		      fake_class_name(v.class), fake_class_name(want), v.text);
	ck_assert_int_eq(e != 0, want != KMS_OK);
	ck_assert(want == KMS_OK || v.text[0]);
	if (code)
		ck_assert_str_eq(v.code, code);
	ck_assert_int_eq(unsure, call != VAULT_LOGIN && strstr(r.body, "something else") != NULL);
}

START_TEST(test_answers)
{
	judged(_i, VAULT_WRAP, answers[_i].wrap, NULL);
	judged(_i, VAULT_UNWRAP, answers[_i].unwrap, NULL);
	judged(_i, VAULT_PROBE, answers[_i].probe, answers[_i].code);
	judged(_i, VAULT_LOGIN, answers[_i].login, NULL);
	ck_assert_uint_eq(heap_in_use(), 0);
}
END_TEST

START_TEST(test_no_aad)
{
	struct http_reply r = reply_of(
		400, "{\"errors\":[\"'[0].associated_data' provided for non-AEAD cipher suite rsa-2048\"]}");

	ck_assert(vault_no_aad(&r));
	r.status = 500;
	ck_assert(!vault_no_aad(&r));
	http_reply_free(&r);
	r = reply_of(400, "{\"errors\":[\"associated_data is too long\"]}");
	ck_assert(!vault_no_aad(&r));
	http_reply_free(&r);
}
END_TEST

/* Bytes in and out. The associated data is format: store id, "keyring" or "file" (FORMAT.md "Wrapped payloads"). */

START_TEST(test_bodies)
{
	struct kms_purpose p = {.use = KMS_USE_KEYRING};
	static struct kms_wrapped w = {.version = "12", .data = {0xfb, 0xff, 0x00}, .len = 3};
	uint8_t plain[PAYLOAD_LEN] = {1, 2, 3};

	for (unsigned i = 0; i < ID_LEN; i++)
		p.store_id[i] = (uint8_t)i;
	char *body = vault_wrap_body(&p, plain, true);
	char want[400];
	snprintf(
		want, sizeof(want),
		"{\"plaintext\":\"AQID%.92s\",\"associated_data\":\"AAECAwQFBgcICQoLDA0OD2tleXJpbmc=\"}",
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
	ck_assert_str_eq(body, want);
	heap_free(body);
	body = vault_wrap_body(&p, plain, false);
	ck_assert_ptr_null(strstr(body, "associated_data"));
	heap_free(body);
	p.use = KMS_USE_FILE;
	body = vault_unwrap_body(&p, &w, true);
	ck_assert_str_eq(body,
			 "{\"ciphertext\":\"vault:v12:+/8A\",\"associated_data\":\"AAECAwQFBgcICQoLDA0OD2ZpbGU=\"}");
	heap_free(body);
	w.len = KMS_WRAPPED_MAX; /* the longest that there can be */
	body = vault_unwrap_body(&p, &w, true);
	ck_assert_ptr_nonnull(body);
	heap_free(body);
	ck_assert_uint_eq(heap_in_use(), 0);
}
END_TEST

static const struct {
	const char *body;
	bool good;
} wraps[] = {
	{"{\"request_id\":\"r-1\",\"data\":{\"ciphertext\":\"vault:v3:AAECAw==\",\"key_version\":3}}", true},
	{"{\"data\":{\"ciphertext\":\"vault:v3:AAECAw==\"}}", true},
	{"{\"data\":{\"ciphertext\":\"vault:v3:AAECAw==\",\"key_version\":4}}", false},
	{"{\"data\":{\"ciphertext\":\"vault:3:AAECAw==\"}}", false},
	{"{\"data\":{\"ciphertext\":\"vault:v:AAECAw==\"}}", false},
	{"{\"data\":{\"ciphertext\":\"vault:v3/../x:AAECAw==\"}}", false},
	{"{\"data\":{\"ciphertext\":\"vault:v99999999999:AAECAw==\"}}", false},
	{"{\"data\":{\"ciphertext\":\"vault:v3:AAECAw\"}}", false},
	{"{\"data\":{\"ciphertext\":\"AAECAw==\"}}", false},
	{"{\"data\":{\"ciphertext\":7}}", false},
	{"{\"data\":{}}", false},
	{"<html>", false},
	{"", false},
};

START_TEST(test_wrap_read)
{
	AUTO(http_reply_free) struct http_reply r = reply_of(200, wraps[_i].body);
	static struct kms_wrapped w;
	struct kms_verdict v = {0};
	int e = vault_wrap_read(&r, &w, &v);

	ck_assert_int_eq(e == 0, wraps[_i].good);
	if (e) {
		ck_assert_str_eq(v.code, "garbled");
		return;
	}
	ck_assert_str_eq(w.version, "3");
	ck_assert_uint_eq(w.len, 4);
	ck_assert_str_eq(v.request_id, _i ? "" : "r-1");
}
END_TEST

/* 71 and 73 bytes are no payload of ours: the key is well, the wrap is not. */
START_TEST(test_unwrap_read)
{
	for (size_t len = 0; len < 100; len++) {
		uint8_t bytes[100] = {7}, plain[PAYLOAD_LEN];
		char text[200], body[300];
		struct kms_verdict v = {0};

		base64_write(BASE64, bytes, len, text);
		snprintf(body, sizeof(body), "{\"request_id\":\"r\",\"data\":{\"plaintext\":\"%s\"}}", text);
		AUTO(http_reply_free) struct http_reply r = reply_of(200, body);
		int e = vault_unwrap_read(&r, plain, &v);
		ck_assert_int_eq(e, len == PAYLOAD_LEN ? 0 : -EMSGSIZE);
		ck_assert(e == 0 || v.class == KMS_CORRUPT);
		ck_assert_str_eq(v.request_id, "r");
	}
	AUTO(http_reply_free) struct http_reply r = reply_of(200, "{\"data\":{\"plaintext\":\"AA=\"}}");
	struct kms_verdict v = {0};
	uint8_t plain[PAYLOAD_LEN];
	ck_assert_int_eq(vault_unwrap_read(&r, plain, &v), -EBADMSG);
	ck_assert_int_eq(v.class, KMS_TRANSIENT);
}
END_TEST

/* What is missing is said before anything is asked. */
static const struct {
	const char *options[4];
	enum kms_class class;
	const char *says;
} logins[] = {
	{{"auth=aprole"}, KMS_MISCONFIGURED, "option auth is token, approle"},
	{{"token-file=/nowhere"},
	 KMS_AUTH,
	 "no token of Vault (option token-file, or auth and what it needs): /nowhere: No such file"},
	{{NULL}, KMS_AUTH, "no token of Vault"},
	{{"auth=approle"}, KMS_AUTH, "needs the option role-id"},
	{{"role-id=r"}, KMS_AUTH, "no secret id (option secret-id-file)"},
	{{"role-id=r", "secret-id-file=/nowhere"}, KMS_AUTH, "/nowhere: No such file"},
	{{"role-id=r", "secret-id-file=/etc/passwd"}, KMS_OK, ""},
	{{"auth=jwt", "jwt-file=/etc/passwd"}, KMS_AUTH, "needs the option role"},
	{{"auth=kubernetes", "role=x"}, KMS_AUTH, "/var/run/secrets/kubernetes.io"},
	{{"auth=cert"}, KMS_AUTH, "needs the options client-cert and client-key"},
	{{"client-cert=/c", "client-key=/k"}, KMS_OK, ""},
	{{"jwt-file=/etc/passwd", "role=x"}, KMS_OK, ""},
	{{"token-file=credential:x"}, KMS_AUTH, "no token of Vault"},
};

START_TEST(test_login)
{
	static struct kms_options o;
	struct vault_login l = {0};
	struct kms_verdict v = {0};

	memset(&o, 0, sizeof(o));
	setenv("HOME", "/nowhere-at-all", 1);
	unsetenv("CREDENTIALS_DIRECTORY");
	for (size_t i = 0; i < 4 && logins[_i].options[i]; i++)
		ck_assert_msg(kms_options_add(&o, &kms_vault, logins[_i].options[i], why) == 0, "%s", why);
	int r = vault_login_begin(&l, &o, &v);
	ck_assert_msg(v.class == logins[_i].class, "%d: %s", v.class, v.text);
	ck_assert_int_eq(r == 0, v.class == KMS_OK);
	ck_assert_msg(strstr(v.text, logins[_i].says) != NULL, "%s", v.text);
	if (v.class == KMS_AUTH)
		ck_assert_str_eq(v.code, "credentials");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vault");
	TCase *t = tcase_create("vault");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_loop_test(t, test_refs, 0, (int)ARRAY_LEN(refs));
	tcase_add_test(t, test_environment);
	tcase_add_loop_test(t, test_answers, 0, (int)ARRAY_LEN(answers));
	tcase_add_test(t, test_no_aad);
	tcase_add_test(t, test_bodies);
	tcase_add_loop_test(t, test_wrap_read, 0, (int)ARRAY_LEN(wraps));
	tcase_add_test(t, test_unwrap_read);
	tcase_add_loop_test(t, test_login, 0, (int)ARRAY_LEN(logins));
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
