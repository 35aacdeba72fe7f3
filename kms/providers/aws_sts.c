/* SPDX-License-Identifier: BSD-2-Clause */
/* Access keys as STS, instance metadata and containers give them: no network in here. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "crypto/secret.h"
#include "kms/net/heap.h"
#include "kms/net/json.h"
#include "kms/providers/aws.h"

#define WHITE " \t\r\n"
#define FORM_MAX 32768u
#define WORDS_MAX 512u

void aws_key_wipe(struct aws_key *k)
{
	secret_free(k->secret);
	long_secret_wipe(&k->token);
	*k = (struct aws_key){0};
}

/* Goes into a header: printable, without a space. */
static bool is_plain(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text <= ' ' || (unsigned char)*text >= 0x7f)
			return false;
	return true;
}

int aws_key_set(struct aws_key *k, const char *id, const char *secret, const char *token)
{
	size_t id_len = strlen(id), len = strlen(secret);

	token = token ? token : "";
	aws_key_wipe(k);
	if (id_len == 0 || id_len > AWS_ACCESS_MAX || len == 0 || len > AWS_ACCESS_MAX || !is_plain(id) ||
	    strpbrk(id, "/,=") || !is_plain(secret) || !is_plain(token) || strlen(token) > LONG_SECRET_MAX)
		return -EINVAL;
	k->secret = secret_alloc(AWS_ACCESS_MAX + 1);
	if (!k->secret || long_secret_set(&k->token, token, strlen(token))) {
		aws_key_wipe(k);
		return -ENOMEM;
	}
	memcpy(k->id, id, id_len + 1);
	memcpy(k->secret, secret, len + 1);
	return 0;
}

bool aws_key_equal(const struct aws_key *a, const struct aws_key *b)
{
	return a->secret && b->secret && strcmp(a->id, b->id) == 0 && strcmp(a->secret, b->secret) == 0 &&
	       long_secret_equal(&a->token, &b->token);
}

int aws_time_read(const char *text, int64_t *out)
{
	struct tm tm = {0};
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);

	if (rest && *rest == '.')
		rest += 1 + strspn(rest + 1, "0123456789");
	if (!rest || (strcmp(rest, "Z") != 0 && strcmp(rest, "+00:00") != 0))
		return -EINVAL;
	*out = timegm(&tm);
	return *out > 0 ? 0 : -EINVAL;
}

/* The XML of STS */

/* Is TEXT one element ROOT, perhaps behind an XML declaration? */
static bool xml_is(const char *text, const char *root)
{
	char end[64];
	size_t len = strlen(text), name = strlen(root);

	text += strspn(text, WHITE);
	if (strncmp(text, "<?xml", 5) == 0 && strstr(text, "?>"))
		text = strstr(text, "?>") + 2;
	text += strspn(text, WHITE);
	len = strlen(text);
	while (len && strchr(WHITE, text[len - 1]))
		len--;
	size_t tail = (size_t)snprintf(end, sizeof(end), "</%s>", root);
	return text[0] == '<' && strncmp(text + 1, root, name) == 0 && text[1 + name] &&
	       strchr(WHITE ">", text[1 + name]) && len > tail && memcmp(text + len - tail, end, tail) == 0;
}

/* The character that the entity at *AT stands for, or 0; *AT moves behind it. */
static char entity_take(const char **at)
{
	static const struct {
		const char *name;
		char is;
	} entities[] = {{"&amp;", '&'},  {"&lt;", '<'},    {"&gt;", '>'},
			{"&quot;", '"'}, {"&apos;", '\''}, {"&#39;", '\''}};

	for (size_t i = 0; i < ARRAY_LEN(entities); i++) {
		size_t len = strlen(entities[i].name);

		if (strncmp(*at, entities[i].name, len) == 0) {
			*at += len;
			return entities[i].is;
		}
	}
	return 0;
}

/* The text of the element NAME, which has no attributes and stands once. -ENOENT: not there; -EBADMSG. */
static int xml_get(const char *text, const char *name, char *out, size_t size)
{
	char tag[64];
	size_t n = 0;

	size_t len = (size_t)snprintf(tag, sizeof(tag), "<%s>", name);
	const char *at = strstr(text, tag);
	if (!at)
		return -ENOENT;
	at += len;
	while (*at && *at != '<') {
		char c = *at;

		if (c == '&')
			c = entity_take(&at);
		else
			at++;
		if (!c || n + 1 >= size)
			return -EBADMSG;
		out[n++] = c;
	}
	out[n] = '\0';
	snprintf(tag, sizeof(tag), "</%s>", name);
	bool ends = strncmp(at, tag, len + 1) == 0;
	snprintf(tag, sizeof(tag), "<%s>", name);
	return ends && !strstr(at, tag) ? 0 : -EBADMSG;
}

/* Codes of STS, and of what is in front of every service of AWS. */
static const struct sts_answer {
	const char *code;
	enum kms_class class;
	const char *text;
} rows[] = {
	{"AccessDenied", KMS_AUTH, "this identity may not assume the role"},
	{"AccessDeniedException", KMS_AUTH, "this identity may not assume the role"},
	{"ExpiredTokenException", KMS_AUTH, "the token by which it is assumed has ended"},
	{"ExpiredToken", KMS_AUTH, "the token by which it is assumed has ended"},
	{"InvalidIdentityToken", KMS_AUTH, "the web identity is not accepted"},
	{"IDPRejectedClaim", KMS_AUTH, "the web identity is rejected by who gave it"},
	{"InvalidClientTokenId", KMS_AUTH, "our access key is not accepted"},
	{"UnrecognizedClientException", KMS_AUTH, "our access key is not accepted"},
	{"SignatureDoesNotMatch", KMS_AUTH, "the secret of our access key is wrong"},
	{"InvalidSignatureException", KMS_AUTH, "the secret of our access key is wrong"},
	{"NoSuchEntity", KMS_AUTH, "there is no such role"},
	{"ValidationError", KMS_MISCONFIGURED, "AWS finds role, session or external id malformed"},
	{"InvalidParameterValue", KMS_MISCONFIGURED, "AWS finds role, session or external id malformed"},
	{"MalformedPolicyDocument", KMS_MISCONFIGURED, "AWS finds a policy malformed"},
	{"PackedPolicyTooLarge", KMS_MISCONFIGURED, "AWS finds a policy too long"},
	{"RegionDisabledException", KMS_MISCONFIGURED, "STS is not active in this region for the account"},
	{"IncompleteSignature", KMS_MISCONFIGURED, "the signature is not whole"},
	{"MissingAuthenticationToken", KMS_MISCONFIGURED, "the request is not signed"},
	{"IDPCommunicationError", KMS_TRANSIENT, "AWS does not reach who gave the web identity"},
	{"Throttling", KMS_TRANSIENT, "asked too often"},
	{"ThrottlingException", KMS_TRANSIENT, "asked too often"},
	{"RequestLimitExceeded", KMS_TRANSIENT, "asked too often"},
	{"InternalFailure", KMS_TRANSIENT, "an error inside AWS"},
	{"ServiceUnavailable", KMS_TRANSIENT, "STS is unavailable"},
};

static int say_garbled(struct kms_verdict *v, const char *who, unsigned status)
{
	return kms_verdict_set(v, KMS_TRANSIENT, "garbled", "an answer for %s that is not AWS's (HTTP %u)", who,
			       status);
}

static int judge_refusal(const struct http_reply *r, struct kms_verdict *v)
{
	char code[64], words[WORDS_MAX] = "";

	if (!xml_is(r->body, "ErrorResponse") || xml_get(r->body, "Code", code, sizeof(code)))
		return say_garbled(v, "a role", r->status);
	if (xml_get(r->body, "Message", words, sizeof(words)))
		words[0] = '\0';
	if (aws_is_clock(code, words))
		return kms_verdict_set(v, KMS_AUTH, "clock", "the role cannot be assumed: this host's clock is wrong");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strcmp(rows[i].code, code) == 0)
			return kms_verdict_set(v, rows[i].class, code, "the role cannot be assumed: %s", rows[i].text);
	return kms_verdict_set(v, KMS_TRANSIENT, code, "the role cannot be assumed (HTTP %u): %.120s", r->status,
			       words);
}

int aws_sts_read(const struct http_reply *r, struct aws_key *out, struct kms_verdict *v)
{
	AUTO(heap_free_at) char *token = heap_alloc(LONG_SECRET_MAX + 1);
	char id[AWS_ACCESS_MAX + 1], secret[AWS_ACCESS_MAX + 1], ends[40];

	if (!token)
		return kms_verdict_set(v, KMS_TRANSIENT, "memory", "out of memory");
	if (strlen(r->body) != r->len)
		return say_garbled(v, "a role", r->status);
	if (r->status != 200)
		return judge_refusal(r, v);
	bool whole = (xml_is(r->body, "AssumeRoleResponse") || xml_is(r->body, "AssumeRoleWithWebIdentityResponse")) &&
		     xml_get(r->body, "AccessKeyId", id, sizeof(id)) == 0 &&
		     xml_get(r->body, "SecretAccessKey", secret, sizeof(secret)) == 0 &&
		     xml_get(r->body, "SessionToken", token, LONG_SECRET_MAX + 1) == 0 &&
		     xml_get(r->body, "Expiration", ends, sizeof(ends)) == 0;
	int e = whole ? aws_key_set(out, id, secret, token) : -EINVAL;
	secret_wipe(secret, sizeof(secret));
	if (!e)
		e = aws_time_read(ends, &out->expires);
	if (!e)
		return kms_verdict_ok(v);
	aws_key_wipe(out);
	return say_garbled(v, "a role", r->status);
}

int aws_meta_read(const struct http_reply *r, struct aws_key *out, struct kms_verdict *v)
{
	AUTO(reply_free_at) struct reply *reply = NULL;
	const char *code, *id, *secret, *ends;

	if (r->status == 401 || r->status == 403 || r->status == 404)
		return kms_verdict_set(v, KMS_AUTH, "metadata", "this machine has no role (HTTP %u)", r->status);
	if (r->status != 200 || reply_parse(r->body, r->len, &reply))
		return say_garbled(v, "this machine's role", r->status);
	code = reply_str(reply, "Code");
	if (code && strcmp(code, "Success") != 0)
		return kms_verdict_set(v, KMS_AUTH, "metadata", "this machine's role gives no access key: %.60s", code);
	id = reply_str(reply, "AccessKeyId");
	secret = reply_str(reply, "SecretAccessKey");
	ends = reply_str(reply, "Expiration");
	if (!id || !secret || aws_key_set(out, id, secret, reply_str(reply, "Token")))
		return say_garbled(v, "this machine's role", r->status);
	if (ends && aws_time_read(ends, &out->expires)) {
		aws_key_wipe(out);
		return say_garbled(v, "this machine's role", r->status);
	}
	return kms_verdict_ok(v);
}

/* Append "&NAME=" and VALUE as a form has it: every byte but letters, digits and "-._~" as %HH. False: it does not fit. */
static bool form_add(char *out, size_t *at, const char *name, const char *value)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
	int n = snprintf(out + *at, FORM_MAX - *at, "%s%s=", *at ? "&" : "", name);

	*at += (size_t)n;
	for (; *value && *at + 4 < FORM_MAX; value++)
		*at += (size_t)snprintf(out + *at, FORM_MAX - *at, strchr(plain, *value) ? "%c" : "%%%02X",
					(unsigned char)*value);
	return !*value && *at + 4 < FORM_MAX;
}

char *aws_sts_body(const struct aws_role *role)
{
	AUTO(heap_free_at) char *form = heap_alloc(FORM_MAX);
	size_t at = 0;

	if (!form || !form_add(form, &at, "Action", role->jwt ? "AssumeRoleWithWebIdentity" : "AssumeRole") ||
	    !form_add(form, &at, "Version", "2011-06-15") || !form_add(form, &at, "RoleArn", role->arn) ||
	    !form_add(form, &at, "RoleSessionName", role->session) || !form_add(form, &at, "DurationSeconds", "900") ||
	    (role->external_id && !form_add(form, &at, "ExternalId", role->external_id)) ||
	    (role->jwt && !form_add(form, &at, "WebIdentityToken", role->jwt)))
		return NULL;
	char *out = form;
	form = NULL;
	return out;
}
