/* SPDX-License-Identifier: BSD-2-Clause */
/* What Vault and OpenBao answer, and what is said to them: no network in here (the table: PROVIDERS.md "vault"). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/json.h"
#include "kms/net/heap.h"
#include "kms/net/json.h"
#include "kms/providers/vault.h"

#define PREFIX "vault:v"
#define UNSURE "denied"
#define ERRORS_MAX 512u
#define BODY_MAX (2u * KMS_WRAPPED_MAX)

/* Words of an error, and what they mean for a wrap, an unwrap, and the probe's own wrap. The first row that fits counts. */
static const struct row {
	const char *words;
	enum kms_class wrap, unwrap, probe;
	const char *code, *text;
} rows[] = {
	{"Vault is sealed", KMS_TRANSIENT, KMS_TRANSIENT, KMS_TRANSIENT, "sealed",
	 "cannot be asked: the server is sealed"},
	{"is sealed", KMS_TRANSIENT, KMS_TRANSIENT, KMS_TRANSIENT, "sealed",
	 "cannot be asked: its namespace is sealed"},
	{"quota exceeded", KMS_TRANSIENT, KMS_TRANSIENT, KMS_TRANSIENT, "throttled",
	 "cannot be asked so often: a quota"},
	{"encryption key not found", KMS_MISCONFIGURED, KMS_REVOKED, KMS_REVOKED, "no-such-key", "is not there"},
	{"soft-deleted key", KMS_REVOKED, KMS_REVOKED, KMS_REVOKED, "soft-deleted", "is soft-deleted"},
	{"disallowed by policy (too old)", KMS_REVOKED, KMS_REVOKED, KMS_REVOKED, "version-disallowed",
	 "no longer allows this version: min_decryption_version"},
	{"no such key version", KMS_REVOKED, KMS_REVOKED, KMS_REVOKED, "version-gone", "no longer has this version"},
	{"invalid key version", KMS_REVOKED, KMS_REVOKED, KMS_REVOKED, "version-gone", "no longer has this version"},
	{"version is too new", KMS_CORRUPT, KMS_CORRUPT, KMS_REVOKED, "another-key", "was made anew under its name"},
	{"no handler for route", KMS_MISCONFIGURED, KMS_REVOKED, KMS_REVOKED, "no-mount",
	 "cannot be asked: nothing is mounted there"},
	{"namespace not found", KMS_MISCONFIGURED, KMS_REVOKED, KMS_REVOKED, "no-namespace",
	 "cannot be asked: no such namespace"},
	{"missing 'context'", KMS_MISCONFIGURED, KMS_MISCONFIGURED, KMS_MISCONFIGURED, "key-type",
	 "is derived or convergent: no key for this"},
	{"not supported for key type", KMS_MISCONFIGURED, KMS_MISCONFIGURED, KMS_MISCONFIGURED, "key-type",
	 "is of a type that encrypts nothing"},
	{"non-AEAD", KMS_MISCONFIGURED, KMS_MISCONFIGURED, KMS_MISCONFIGURED, "key-type", "takes no associated data"},
	{"message authentication failed", KMS_CORRUPT, KMS_CORRUPT, KMS_REVOKED, "another-key",
	 "did not wrap this, or was made anew under its name"},
	{"failed to RSA decrypt", KMS_CORRUPT, KMS_CORRUPT, KMS_REVOKED, "another-key",
	 "did not wrap this, or was made anew under its name"},
	{"invalid ciphertext", KMS_CORRUPT, KMS_CORRUPT, KMS_REVOKED, "corrupt", "did not wrap this"},
};

/* All errors of the reply in one text; -EBADMSG: that is no error object of Vault's. */
static int errors_read(const struct http_reply *r, char out[ERRORS_MAX])
{
	AUTO(reply_free_at) struct reply *reply = NULL;
	const char *one;
	size_t at = 0;

	out[0] = '\0';
	if (reply_parse(r->body, r->len, &reply) || !reply_has(reply, "errors"))
		return -EBADMSG;
	for (size_t i = 0; (one = reply_item(reply, "errors", i)) && at < ERRORS_MAX; i++)
		at += (size_t)snprintf(out + at, ERRORS_MAX - at, "%s%s", i ? "; " : "", one);
	return at ? 0 : -EBADMSG;
}

/*
 * A 403 is two things. The list of one error is the policy's word: the token is good, the right is gone. The bare sentence, and
 * whatever speaks of the token, is about the token.
 */
static int judge_denied(enum vault_call call, const char *errors, const char *key, struct kms_verdict *v)
{
	if (strstr(errors, "invalid token") || strstr(errors, "bad token") || strcmp(errors, "permission denied") == 0)
		return kms_verdict_set(v, KMS_AUTH, "token", "our token for key %.180s is not accepted", key);
	if (strstr(errors, "1 error occurred:") && strstr(errors, "* permission denied"))
		return kms_verdict_set(v, KMS_REVOKED, "permission-denied",
				       call == VAULT_WRAP ? "no right to wrap under key %.160s"
							  : "the right to use key %.160s was taken away",
				       key);
	return kms_verdict_set(v, KMS_AUTH, UNSURE, "we may not use key %.180s", key);
}

static int judge_login(unsigned status, const char *errors, struct kms_verdict *v)
{
	if (status >= 400 && status < 500 && status != 429 && status != 412)
		return kms_verdict_set(v, KMS_AUTH, "login", "the login is refused: %.160s", errors);
	return kms_verdict_set(v, KMS_TRANSIENT, status == 429 ? "throttled" : "login",
			       "no login now (HTTP %u): %.140s", status, errors);
}

int vault_judge(enum vault_call call, const struct http_reply *r, const char *key, struct kms_verdict *v, bool *unsure)
{
	char errors[ERRORS_MAX];

	*unsure = false;
	if (r->status == 200 || r->status == 204)
		return kms_verdict_ok(v);
	if (errors_read(r, errors))
		return kms_verdict_set(v, KMS_TRANSIENT, "garbled",
				       "an answer for key %.120s that is not Vault's (HTTP %u)", key, r->status);
	if (call == VAULT_LOGIN)
		return judge_login(r->status, errors, v);
	if (r->status == 403 && strstr(errors, "permission denied")) {
		int error = judge_denied(call, errors, key, v);

		*unsure = strcmp(v->code, UNSURE) == 0;
		return error;
	}
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *w = &rows[i];

		if (strstr(errors, w->words))
			return kms_verdict_set(v,
					       call == VAULT_WRAP    ? w->wrap
					       : call == VAULT_PROBE ? w->probe
								     : w->unwrap,
					       w->code, "key %.150s %s", key, w->text);
	}
	return kms_verdict_set(v, KMS_TRANSIENT, "unknown", "HTTP %u for key %.100s: %.100s", r->status, key, errors);
}

bool vault_no_aad(const struct http_reply *r)
{
	char errors[ERRORS_MAX];

	return r->status == 400 && errors_read(r, errors) == 0 && strstr(errors, "associated_data") &&
	       strstr(errors, "non-AEAD");
}

/* What is read */

static int say_garbled(struct kms_verdict *v)
{
	kms_verdict_set(v, KMS_TRANSIENT, "garbled", "an answer of Vault's that makes no sense");
	return -EBADMSG;
}

/* "vault:vN:BASE64", of which N is the version and the rest is kept as bytes. */
static int cipher_read(const char *text, struct kms_wrapped *out)
{
	size_t len = strncmp(text, PREFIX, strlen(PREFIX)) == 0 ? strspn(text + strlen(PREFIX), "0123456789") : 0;

	text += len ? strlen(PREFIX) : 0;
	if (len == 0 || len > 10 || text[len] != ':')
		return -EBADMSG;
	memcpy(out->version, text, len);
	out->version[len] = '\0';
	return base64_read(BASE64, text + len + 1, out->data, sizeof(out->data), &out->len);
}

int vault_wrap_read(const struct http_reply *r, struct kms_wrapped *out, struct kms_verdict *v)
{
	AUTO(reply_free_at) struct reply *reply = NULL;
	uint64_t version;
	const char *text;

	if (reply_parse(r->body, r->len, &reply) || !(text = reply_str(reply, "data/ciphertext")) ||
	    cipher_read(text, out))
		return say_garbled(v);
	if (reply_number(reply, "data/key_version", &version) == 0 && version != strtoull(out->version, NULL, 10))
		return say_garbled(v); /* it contradicts itself */
	kms_verdict_request(v, reply_str(reply, "request_id") ? reply_str(reply, "request_id") : "");
	return 0;
}

int vault_unwrap_read(const struct http_reply *r, uint8_t plain[PAYLOAD_LEN], struct kms_verdict *v)
{
	AUTO(reply_free_at) struct reply *reply = NULL;
	AUTO(heap_free_at) uint8_t *bytes = heap_alloc(HTTP_BODY_MAX);
	const char *text;
	size_t len = 0;

	if (!bytes || reply_parse(r->body, r->len, &reply) || !(text = reply_str(reply, "data/plaintext")) ||
	    base64_read(BASE64, text, bytes, HTTP_BODY_MAX, &len))
		return say_garbled(v);
	kms_verdict_request(v, reply_str(reply, "request_id") ? reply_str(reply, "request_id") : "");
	if (len != PAYLOAD_LEN) {
		kms_verdict_set(v, KMS_CORRUPT, "length", "the KMS unwraps %zu bytes and not %u", len, PAYLOAD_LEN);
		return -EMSGSIZE;
	}
	memcpy(plain, bytes, PAYLOAD_LEN);
	return 0;
}

/* What is said */

/* Store id and use; base64 in OUT. */
static void aad_write(const struct kms_purpose *p, char out[64])
{
	uint8_t aad[ID_LEN + 16];
	size_t len = strlen(kms_use_name(p->use));

	memcpy(aad, p->store_id, ID_LEN);
	memcpy(aad + ID_LEN, kms_use_name(p->use), len);
	base64_write(BASE64, aad, ID_LEN + len, out);
}

static char *body_end(struct json *j)
{
	json_raw(j, "}", 2); /* with the NUL */
	if (!j->cut)
		return j->text;
	heap_free(j->text);
	return NULL;
}

static char *body_write(const struct kms_purpose *p, const char *member, const char *value, bool aad)
{
	char text[64];
	struct json j = {.text = heap_alloc(BODY_MAX), .size = BODY_MAX};

	if (!j.text)
		return NULL;
	json_raw(&j, "{", 1);
	json_str(&j, member, value, BODY_MAX);
	if (aad) {
		aad_write(p, text);
		json_str(&j, "associated_data", text, sizeof(text));
	}
	return body_end(&j);
}

char *vault_wrap_body(const struct kms_purpose *p, const uint8_t plain[PAYLOAD_LEN], bool aad)
{
	AUTO(heap_free_at) char *text = heap_alloc(base64_size(PAYLOAD_LEN));

	if (!text)
		return NULL;
	base64_write(BASE64, plain, PAYLOAD_LEN, text);
	return body_write(p, "plaintext", text, aad);
}

char *vault_unwrap_body(const struct kms_purpose *p, const struct kms_wrapped *in, bool aad)
{
	size_t size = base64_size(in->len) + sizeof(PREFIX) + 16;
	AUTO(heap_free_at) char *text = heap_alloc(size);

	if (!text)
		return NULL;
	int n = snprintf(text, size, PREFIX "%.10s:", in->version);
	base64_write(BASE64, in->data, in->len, text + n);
	return body_write(p, "ciphertext", text, aad);
}
