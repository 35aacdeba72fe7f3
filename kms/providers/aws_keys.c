/* SPDX-License-Identifier: BSD-2-Clause */
/* Where an access key of AWS comes from: environment, files, roles, web identity, container, instance. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "crypto/secret.h"
#include "kms/hidden.h"
#include "kms/net/heap.h"
#include "kms/providers/aws.h"
#include "kms/providers/common.h"
#include "kms/providers/vault.h"

#define FILE_MAX 65536u
#define DEPTH_MAX 5u /* of source_profile */
#define CONNECT_MS 1000u
#define INSTANCE "http://169.254.169.254"
#define CONTAINER "http://169.254.170.2"
#define TTL "300" /* seconds that the metadata's own token lives */

/* What is being looked for. */
struct key_search {
	struct aws_login *l;
	char *credentials, *config; /* the two files; heap, NULL where there is none */
	int64_t deadline;
	struct kms_verdict *v;
};

static const struct aws_way {
	const char *name;
	enum aws_identity identity;
} ways[] = {{"environment", AWS_ENVIRONMENT},
	    {"files", AWS_FILES},
	    {"web-identity", AWS_WEB_IDENTITY},
	    {"container", AWS_CONTAINER},
	    {"instance", AWS_INSTANCE}};

static const char *option(const struct aws_login *l, const char *name)
{
	return kms_options_get(l->options, name);
}

static const char *variable(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

static int say_none(struct kms_verdict *v, const char *text)
{
	return kms_verdict_set(v, KMS_AUTH, "credentials", "%.250s", text);
}

/* Files */

static const char *profile_name(const struct aws_login *l)
{
	const char *name = option(l, "profile");

	if (!name)
		name = variable("AWS_PROFILE");
	return name ? name : "default";
}

/* The file of OPTION, else of the variable NAME, else of the home folder. MUST: it is an error when it is not there. */
static int file_find(const struct aws_login *l, const char *name, char path[PATH_MAX], bool *must,
		     struct kms_verdict *v)
{
	bool is_config = strcmp(name, "config-file") == 0;
	const char *from = variable(is_config ? "AWS_CONFIG_FILE" : "AWS_SHARED_CREDENTIALS_FILE"), *found = NULL;
	const char *home = variable("HOME");

	path[0] = '\0';
	*must = option(l, name) != NULL;
	if (*must)
		return provider_path(l->options, name, path, &found, v);
	if (from)
		snprintf(path, PATH_MAX, "%s", from);
	else if (home)
		snprintf(path, PATH_MAX, "%.4000s/.aws/%s", home, is_config ? "config" : "credentials");
	return 0;
}

static void search_end(struct key_search *s)
{
	heap_free(s->credentials);
	heap_free(s->config);
}

/* Both files as they are now. One that is not there is none, unless an option names it. */
static int files_read(struct key_search *s)
{
	char path[PATH_MAX];
	bool must;

	for (int i = 0; i < 2; i++) {
		char **to = i ? &s->config : &s->credentials;
		int r = file_find(s->l, i ? "config-file" : "credentials-file", path, &must, s->v);

		if (r)
			return r;
		if (!must && (!path[0] || access(path, F_OK) < 0))
			continue;
		*to = provider_file(path, FILE_MAX, s->v);
		if (!*to)
			return kms_class_errno(s->v->class);
	}
	return 0;
}

/* KEY of the profile NAME; the credentials' file goes first. 0, -ENOENT, -EINVAL. */
static int value_get(const struct key_search *s, const char *name, const char *key, char out[AWS_WORD_MAX + 1])
{
	int r = s->credentials ? aws_ini_get(s->credentials, name, key, out) : -ENOENT;

	return r == -ENOENT && s->config ? aws_ini_get(s->config, name, key, out) : r;
}

static int say_malformed(const struct key_search *s, const char *name)
{
	return kms_verdict_set(s->v, KMS_AUTH, "credentials",
			       "profile %.60s: a line that is no NAME=VALUE, or something twice, in ~/.aws", name);
}

/* The access key that stands in the profile. -ENOENT: none does. */
static int static_key(const struct key_search *s, const char *name, struct aws_key *out)
{
	AUTO(heap_free_at) char *word = heap_alloc(3 * (AWS_WORD_MAX + 1));
	char *secret = word + AWS_WORD_MAX + 1, *token = secret + AWS_WORD_MAX + 1;

	if (!word)
		return kms_verdict_set(s->v, KMS_TRANSIENT, "memory", "out of memory");
	int r = value_get(s, name, "aws_access_key_id", word);
	if (!r)
		r = value_get(s, name, "aws_secret_access_key", secret);
	if (r)
		return r == -ENOENT ? r : say_malformed(s, name);
	r = value_get(s, name, "aws_session_token", token);
	if (r && r != -ENOENT)
		return say_malformed(s, name);
	r = aws_key_set(out, word, secret, r ? NULL : token);
	out->lasting = true;
	return r ? kms_verdict_set(s->v, KMS_AUTH, "credentials", "profile %.60s: no access key of AWS's form", name)
		 : kms_verdict_ok(s->v);
}

/* Roles */

static int sts_ask(const struct key_search *s, const struct aws_role *role, const struct aws_key *by,
		   struct aws_key *out, struct http_reply *r)
{
	static const char *const plain[] = {"Content-Type: application/x-www-form-urlencoded; charset=utf-8", NULL};
	AUTO(heap_free_at) char *body = aws_sts_body(role);
	AUTO(aws_signed_free)
	struct aws_signed sign = {
		.host = s->l->sts.host, .body = body, .region = s->l->region, .service = "sts", .header = plain};

	if (!body || (by && aws_sign(s->l, by, &sign)))
		return kms_verdict_set(s->v, KMS_TRANSIENT, "memory", "a request for a role cannot be made");
	const struct http_request q = {.method = "POST",
				       .url = s->l->sts.url,
				       .header = by ? sign.all : plain,
				       .body = body,
				       .body_len = strlen(body),
				       .deadline = s->deadline};
	int e = http_ask(s->l->http, &q, r, s->v);
	return e ? e : aws_sts_read(r, out, s->v);
}

/* ROLE for BY (NULL: for the JWT), once, and once more when our clock was wrong. */
static int role_assume(const struct key_search *s, const struct aws_role *role, const struct aws_key *by,
		       struct aws_key *out)
{
	for (int i = 0;; i++) {
		AUTO(http_reply_free) struct http_reply r = {0};
		int e = sts_ask(s, role, by, out, &r);

		if (!e || i || strcmp(s->v->code, "clock") != 0 || !aws_clock_correct(s->l, &r))
			return e;
	}
}

static int web_identity(const struct key_search *s, const char *path, const struct aws_role *role, struct aws_key *out)
{
	AUTO(heap_free_at) char *jwt = provider_file(path, FILE_MAX / 4, s->v);

	if (!jwt)
		return kms_class_errno(s->v->class);
	for (size_t n = strlen(jwt); n > 0 && strchr("\r\n ", jwt[n - 1]); n--)
		jwt[n - 1] = '\0';
	const struct aws_role with = {.arn = role->arn, .session = role->session, .jwt = jwt};
	return role_assume(s, &with, NULL, out);
}

static int environment_key(const struct key_search *s, struct aws_key *out)
{
	const struct long_secret *id = hidden_get("AWS_ACCESS_KEY_ID"), *secret = hidden_get("AWS_SECRET_ACCESS_KEY"),
				 *token = hidden_get("AWS_SESSION_TOKEN");
	AUTO(heap_free_at) char *text = heap_calloc(3, LONG_SECRET_MAX + 1);

	if (!id || !secret)
		return say_none(s->v,
				"no AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment (what a mount that "
				"begins by itself never has)");
	if (!text)
		return kms_verdict_set(s->v, KMS_TRANSIENT, "memory", "out of memory");
	char *two = text + LONG_SECRET_MAX + 1, *three = two + LONG_SECRET_MAX + 1;
	long_secret_copy(id, text);
	long_secret_copy(secret, two);
	if (token)
		long_secret_copy(token, three);
	out->lasting = true;
	return aws_key_set(out, text, two, three)
		       ? say_none(s->v, "the access key of the environment is not of AWS's form")
		       : kms_verdict_ok(s->v);
}

/* This machine's own */

/* http goes to this machine, and to the addresses that AWS has for this; https to anywhere. */
static bool metadata_good(const char *url)
{
	static const char *const hosts[] = {"169.254.169.254", "169.254.170.2", "169.254.170.23", "[fd00:ec2::254]",
					    "[fd00:ec2::23]"};
	char host[AWS_HOST_MAX + 1];

	if (strncmp(url, "https://", 8) == 0)
		return true;
	if (strncmp(url, "http://", 7) != 0)
		return false;
	const char *at = url + 7, *end = *at == '[' ? strchr(at, ']') : NULL;
	size_t len = *at == '[' ? (end ? (size_t)(end - at) + 1 : 0) : strcspn(at, ":/?#@\\");
	if (len == 0 || len > AWS_HOST_MAX || (at[len] && !strchr(":/", at[len])))
		return false;
	memcpy(host, at, len);
	host[len] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++)
		if (strcmp(hosts[i], host) == 0)
			return true;
	return vault_host_is_loopback(host);
}

static int meta_ask(const struct key_search *s, const char *method, const char *url, const char *header,
		    struct http_reply *r)
{
	const char *headers[] = {header, NULL};
	const struct http_request q = {
		.method = method, .url = url, .header = header ? headers : NULL, .deadline = s->deadline};

	if (!metadata_good(url))
		return kms_verdict_set(s->v, KMS_AUTH, "credentials", "an access key is not fetched from %.150s", url);
	return http_ask(s->l->meta, &q, r, s->v);
}

/* One word of what is asked for, in a header or a path. */
static int meta_word(const struct http_reply *r, const char *chars, size_t max, struct kms_verdict *v)
{
	size_t len = strspn(r->body, chars);

	if (r->status != 200)
		return r->status == 404 || r->status == 403
			       ? kms_verdict_set(
					 v, KMS_AUTH, "credentials",
					 "the metadata service has no role for this machine (HTTP %u): is another "
					 "identity meant (option identity)?",
					 r->status)
			       : kms_verdict_set(v, KMS_TRANSIENT, "metadata",
						 "the metadata service does not answer (HTTP %u)", r->status);
	if (len == 0 || len > max || (r->body[len] && r->body[len] != '\n' && r->body[len] != '\r'))
		return kms_verdict_set(v, KMS_TRANSIENT, "garbled",
				       "an answer for this machine's role that is not AWS's");
	r->body[len] = '\0';
	return 0;
}

#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

/* IMDSv2: a token, the name of the role, its key. */
static int instance_key(const struct key_search *s, struct aws_key *out)
{
	AUTO(http_reply_free) struct http_reply token = {0};
	AUTO(http_reply_free) struct http_reply role = {0};
	AUTO(http_reply_free) struct http_reply key = {0};
	const char *base = variable("AWS_EC2_METADATA_SERVICE_ENDPOINT");
	char url[HTTP_URL_MAX], header[600];
	int len = snprintf(url, sizeof(url), "%.500s", base ? base : INSTANCE);

	while (len > 0 && url[len - 1] == '/')
		len--;
	snprintf(url + len, sizeof(url) - (size_t)len, "/latest/api/token");
	int e = meta_ask(s, "PUT", url, "X-aws-ec2-metadata-token-ttl-seconds: " TTL, &token);
	if (!e)
		e = meta_word(&token, LETTERS "+/=_-", 512, s->v);
	if (e)
		return e;
	snprintf(header, sizeof(header), "X-aws-ec2-metadata-token: %.512s", token.body);
	snprintf(url + len, sizeof(url) - (size_t)len, "/latest/meta-data/iam/security-credentials/");
	e = meta_ask(s, "GET", url, header, &role);
	if (!e)
		e = meta_word(&role, LETTERS "+=,.@_-", 64, s->v);
	if (e)
		return e;
	snprintf(url + len, sizeof(url) - (size_t)len, "/latest/meta-data/iam/security-credentials/%.64s", role.body);
	e = meta_ask(s, "GET", url, header, &key);
	return e ? e : aws_meta_read(&key, out, s->v);
}

/* The header by which a container says who it is, or NULL: it need not. */
static int container_header(const struct key_search *s, char **out)
{
	static const char name[] = "Authorization: ";
	const char *path = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
	const struct long_secret *token = hidden_get("AWS_CONTAINER_AUTHORIZATION_TOKEN");
	AUTO(heap_free_at) char *text = path ? provider_file(path, FILE_MAX / 4, s->v) : NULL;

	if (path && !text)
		return kms_class_errno(s->v->class);
	if (!path && token && (text = heap_alloc(token->len + 1)))
		long_secret_copy(token, text);
	if (!text)
		return 0;
	for (size_t n = strlen(text); n > 0 && strchr("\r\n ", text[n - 1]); n--)
		text[n - 1] = '\0';
	*out = strpbrk(text, "\r\n") ? NULL : heap_alloc(sizeof(name) + strlen(text));
	if (!*out)
		return say_none(s->v, "the container's token is not one line of text");
	snprintf(*out, sizeof(name) + strlen(text), "%s%s", name, text);
	return 0;
}

static int container_key(const struct key_search *s, struct aws_key *out)
{
	const char *path = variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
		   *full = variable("AWS_CONTAINER_CREDENTIALS_FULL_URI");
	AUTO(http_reply_free) struct http_reply r = {0};
	AUTO(heap_free_at) char *header = NULL;
	char url[HTTP_URL_MAX];

	if (!path && !full)
		return say_none(s->v, "no AWS_CONTAINER_CREDENTIALS_FULL_URI in the environment");
	if (path && path[0] != '/')
		return say_none(s->v, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI does not begin with /");
	if (snprintf(url, sizeof(url), "%s%s", path ? CONTAINER : "", path ? path : full) >= (int)sizeof(url))
		return say_none(s->v, "the container's address for access keys is too long");
	int e = container_header(s, &header);
	if (!e)
		e = meta_ask(s, "GET", url, header, &r);
	return e ? e : aws_meta_read(&r, out, s->v);
}

/* Profiles */

static int profile_key(const struct key_search *s, const char *name, unsigned depth, struct aws_key *out);

/* The key by which the role of the profile NAME is assumed. */
static int source_key(const struct key_search *s, const char *name, unsigned depth, struct aws_key *out)
{
	char word[AWS_WORD_MAX + 1];
	int r = value_get(s, name, "source_profile", word);

	if (!r && strcmp(word, name) == 0) {
		r = static_key(s, name, out);
		return r == -ENOENT ? say_none(s->v, "a profile is its own source_profile, and has no access key") : r;
	}
	if (!r)
		return profile_key(s, word, depth + 1, out);
	if (r == -ENOENT)
		r = value_get(s, name, "credential_source", word);
	if (r)
		return r == -EINVAL
			       ? say_malformed(s, name)
			       : say_none(s->v, "a profile with a role_arn needs source_profile or credential_source");
	if (strcmp(word, "Environment") == 0)
		return environment_key(s, out);
	if (strcmp(word, "EcsContainer") == 0)
		return container_key(s, out);
	if (strcmp(word, "Ec2InstanceMetadata") == 0)
		return instance_key(s, out);
	return say_none(s->v, "credential_source is Environment, EcsContainer or Ec2InstanceMetadata");
}

/* The role of a profile: by a web identity, or by another key. */
static int profile_role(const struct key_search *s, const char *name, unsigned depth, struct aws_key *out)
{
	char arn[AWS_WORD_MAX + 1], session[AWS_WORD_MAX + 1], word[AWS_WORD_MAX + 1];
	AUTO(aws_key_wipe) struct aws_key by = {0};
	struct aws_role role = {.arn = arn, .session = session};

	int r = value_get(s, name, "role_arn", arn);
	if (r)
		return r;
	if (value_get(s, name, "role_session_name", session))
		snprintf(session, sizeof(session), "byokfs");
	r = value_get(s, name, "web_identity_token_file", word);
	if (!r)
		return web_identity(s, word, &role, out);
	if (r == -EINVAL)
		return r;
	r = value_get(s, name, "external_id", word);
	if (r == -EINVAL)
		return r;
	role.external_id = r ? NULL : word;
	r = source_key(s, name, depth, &by);
	return r ? r : role_assume(s, &role, &by, out);
}

static int profile_key(const struct key_search *s, const char *name, unsigned depth, struct aws_key *out)
{
	char word[AWS_WORD_MAX + 1];

	if (depth > DEPTH_MAX)
		return say_none(s->v, "source_profile leads in a circle, or too far");
	int r = profile_role(s, name, depth, out);
	if (r == -EINVAL && s->v->class != KMS_MISCONFIGURED)
		return say_malformed(s, name);
	if (r != -ENOENT)
		return r;
	r = static_key(s, name, out);
	if (r != -ENOENT)
		return r;
	r = value_get(s, name, "credential_process", word);
	return kms_verdict_set(s->v, KMS_AUTH, "credentials", "profile %.60s %s", name,
			       r ? "is not there, or has no access key and no role"
				 : "has a credential_process: a mount starts no programs; let a timer write the file");
}

/* The whole way */

static int first_key(const struct key_search *s, struct aws_key *out)
{
	const char *path = option(s->l, "token-file"), *session = option(s->l, "session-name");
	char file[PATH_MAX];

	switch (s->l->identity) {
	case AWS_ENVIRONMENT:
		return environment_key(s, out);
	case AWS_FILES:
		return profile_key(s, profile_name(s->l), 0, out);
	case AWS_WEB_IDENTITY:
		if (!session)
			session = variable("AWS_ROLE_SESSION_NAME");
		const struct aws_role role = {.arn = path ? option(s->l, "role") : variable("AWS_ROLE_ARN"),
					      .session = session ? session : "byokfs"};
		if (!role.arn)
			return say_none(s->v, "a web identity needs the option role, or AWS_ROLE_ARN");
		if (path && provider_path(s->l->options, "token-file", file, &path, s->v))
			return kms_class_errno(s->v->class);
		path = path ? path : variable("AWS_WEB_IDENTITY_TOKEN_FILE");
		return path ? web_identity(s, path, &role, out)
			    : say_none(s->v, "a web identity needs the option token-file");
	case AWS_CONTAINER:
		return container_key(s, out);
	case AWS_INSTANCE:
		return instance_key(s, out);
	}
	return say_none(s->v, "no identity");
}

int aws_key_make(struct aws_login *l, struct aws_key *out, int64_t deadline, struct kms_verdict *v)
{
	AUTO(search_end) struct key_search s = {.l = l, .deadline = deadline, .v = v};
	AUTO(aws_key_wipe) struct aws_key by = {0};
	const char *session = option(l, "session-name");
	const struct aws_role role = {.arn = option(l, "role"),
				      .session = session ? session : "byokfs",
				      .external_id = option(l, "external-id")};
	bool on_top = role.arn && !(l->identity == AWS_WEB_IDENTITY && option(l, "token-file"));

	int r = l->identity == AWS_FILES ? files_read(&s) : 0;
	if (!r)
		r = first_key(&s, on_top ? &by : out);
	if (r && l->guessed && v->class == KMS_TRANSIENT && !l->now.secret)
		return say_none(v,
				"no access key of AWS: no option credentials-file, profile or token-file, nothing in "
				"~/.aws, none in the environment, and no instance metadata here");
	if (r || !on_top)
		return r;
	return role_assume(&s, &role, &by, out);
}

/* Is there anything in the files for the profile? Files that cannot be read say so later. */
static bool files_have(struct aws_login *l)
{
	static const char *const keys[] = {"aws_access_key_id", "role_arn", "credential_process"};
	char word[AWS_WORD_MAX + 1];
	struct kms_verdict v = {0};
	AUTO(search_end) struct key_search s = {.l = l, .v = &v};
	bool found = variable("AWS_PROFILE") || files_read(&s);

	for (size_t i = 0; !found && i < ARRAY_LEN(keys); i++)
		found = value_get(&s, profile_name(l), keys[i], word) != -ENOENT;
	secret_wipe(word, sizeof(word));
	return found;
}

static enum aws_identity identity_choose(struct aws_login *l)
{
	const char *name = option(l, "identity"), *disabled = variable("AWS_EC2_METADATA_DISABLED");

	for (size_t i = 0; name && i < ARRAY_LEN(ways); i++)
		if (strcmp(ways[i].name, name) == 0)
			return ways[i].identity;
	if (name)
		return 0;
	if (option(l, "profile") || option(l, "credentials-file") || option(l, "config-file"))
		return AWS_FILES;
	if (option(l, "token-file"))
		return AWS_WEB_IDENTITY;
	if (hidden_get("AWS_ACCESS_KEY_ID") && hidden_get("AWS_SECRET_ACCESS_KEY"))
		return AWS_ENVIRONMENT;
	if (variable("AWS_WEB_IDENTITY_TOKEN_FILE"))
		return AWS_WEB_IDENTITY;
	if (files_have(l))
		return AWS_FILES;
	if (variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") || variable("AWS_CONTAINER_CREDENTIALS_FULL_URI"))
		return AWS_CONTAINER;
	l->guessed = true;
	return disabled && strcmp(disabled, "true") == 0 ? AWS_ENVIRONMENT : AWS_INSTANCE;
}

int aws_login_begin(struct aws_login *l, bool may_respawn, struct kms_verdict *v)
{
	const struct http_config meta = {.proxy = "none", .plain = true, .connect_ms = CONNECT_MS};
	AUTO(search_end) struct key_search s = {.l = l, .v = v};

	l->identity = identity_choose(l);
	if (!l->identity)
		return kms_verdict_set(
			v, KMS_MISCONFIGURED, "option",
			"option identity is environment, files, web-identity, container or instance, not '%.40s'",
			option(l, "identity"));
	if (l->identity == AWS_ENVIRONMENT && may_respawn)
		return say_none(v,
				"an access key of the environment is there once only, --respawn needs it again: option "
				"credentials-file");
	if (http_new(&meta, &l->meta))
		return kms_verdict_set(v, KMS_TRANSIENT, "memory", "out of memory");
	if (l->identity == AWS_FILES && files_read(&s))
		return kms_class_errno(v->class);
	if (l->identity != AWS_ENVIRONMENT)
		return kms_verdict_ok(v);
	AUTO(aws_key_wipe) struct aws_key key = {0};
	int r = environment_key(&s, &key); /* what is not there is told now */
	if (!r && l->log)
		l->log(LOG_WARNING,
		       "the access key of AWS comes from the environment: it cannot be changed while this mount lasts");
	return r;
}
