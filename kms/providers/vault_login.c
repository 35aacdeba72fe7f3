/* SPDX-License-Identifier: BSD-2-Clause */
/* Who we are at Vault: a token from a file, or one that a login gives, made anew before it is old. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crypto/json.h"
#include "crypto/secret.h"
#include "kms/clock.h"
#include "kms/net/heap.h"
#include "kms/net/json.h"
#include "kms/providers/common.h"
#include "kms/providers/vault.h"

#define RENEW_MS (5 * 60 * INT64_C(1000)) /* a deleted role bites within these, not at the end of a long token */
#define AGAIN_MS 15000                    /* after a renewal that nobody answered */
#define FILE_MAX 8192u                    /* a JWT may be long */
#define BODY_MAX (2u * FILE_MAX)
#define POD_JWT "/var/run/secrets/kubernetes.io/serviceaccount/token"

static const struct way {
	const char *name, *mount;
	enum vault_auth auth;
} ways[] = {
	{"token", "", VAULT_TOKEN}, {"approle", "approle", VAULT_APPROLE},          {"cert", "cert", VAULT_CERT},
	{"jwt", "jwt", VAULT_JWT},  {"kubernetes", "kubernetes", VAULT_KUBERNETES},
};

static const char *option(const struct vault_login *l, const char *name)
{
	return kms_options_get(l->options, name);
}

/* Asked for by name, else the first that has what it needs. */
static enum vault_auth auth_choose(const struct vault_login *l)
{
	const char *name = option(l, "auth");

	for (size_t i = 0; name && i < ARRAY_LEN(ways); i++)
		if (strcmp(ways[i].name, name) == 0)
			return ways[i].auth;
	if (name)
		return 0;
	if (option(l, "token-file"))
		return VAULT_TOKEN;
	if (option(l, "role-id"))
		return VAULT_APPROLE;
	if (option(l, "jwt-file"))
		return VAULT_JWT;
	return option(l, "client-cert") ? VAULT_CERT : VAULT_TOKEN;
}

/* The file of OPTION, where it lies now. Without the option: FALLBACK, which may be NULL. */
static int file_path(const struct vault_login *l, const char *name, const char *fallback, char out[PATH_MAX])
{
	const char *value = option(l, name);

	if (!value && !fallback)
		return -ENOENT;
	return value                                                ? kms_option_path(value, out)
	       : snprintf(out, PATH_MAX, "%s", fallback) < PATH_MAX ? 0
								    : -ENAMETOOLONG;
}

/* Where `vault login` and `bao login` leave a token. */
static int token_path(const struct vault_login *l, char out[PATH_MAX])
{
	char home[PATH_MAX];
	const char *dir = getenv("HOME");
	bool there = dir && snprintf(home, sizeof(home), "%s/.vault-token", dir) < PATH_MAX;

	return file_path(l, "token-file", there ? home : NULL, out);
}

static int secret_path(const struct vault_login *l, char out[PATH_MAX])
{
	switch (l->auth) {
	case VAULT_TOKEN:
		return token_path(l, out);
	case VAULT_APPROLE:
		return file_path(l, "secret-id-file", NULL, out);
	case VAULT_JWT:
		return file_path(l, "jwt-file", NULL, out);
	case VAULT_KUBERNETES:
		return file_path(l, "jwt-file", POD_JWT, out);
	default:
		return -ENOENT;
	}
}

static int say_none(struct kms_verdict *v, const char *text)
{
	return kms_verdict_set(v, KMS_AUTH, "credentials", "%.250s", text);
}

int vault_login_begin(struct vault_login *l, const struct kms_options *o, struct kms_verdict *v)
{
	char path[PATH_MAX] = "", text[KMS_TEXT_MAX];

	l->options = o;
	l->auth = auth_choose(l);
	if (!l->auth)
		return kms_verdict_set(v, KMS_MISCONFIGURED, "option",
				       "option auth is token, approle, cert, jwt or kubernetes, not '%.40s'",
				       option(l, "auth"));
	if (l->auth == VAULT_APPROLE && !option(l, "role-id"))
		return say_none(v, "AppRole needs the option role-id");
	if ((l->auth == VAULT_JWT || l->auth == VAULT_KUBERNETES) && !option(l, "role"))
		return say_none(v, "a login by JWT needs the option role");
	if (l->auth == VAULT_CERT && (!option(l, "client-cert") || !option(l, "client-key")))
		return say_none(v, "a login by certificate needs the options client-cert and client-key");
	if (l->auth == VAULT_CERT)
		return kms_verdict_ok(v);
	int r = secret_path(l, path);
	if (!r && access(path, R_OK) < 0)
		r = -errno;
	if (!r)
		return kms_verdict_ok(v);
	snprintf(text, sizeof(text), "no %s: %.120s%s%s",
		 l->auth == VAULT_TOKEN     ? "token of Vault (option token-file, or auth and what it needs)"
		 : l->auth == VAULT_APPROLE ? "secret id (option secret-id-file)"
					    : "JWT (option jwt-file)",
		 path, path[0] ? ": " : "", strerror(-r));
	return say_none(v, text);
}

/* What the file holds now, without a line end, into memory that is wiped; NULL with V. */
static char *secret_read(const struct vault_login *l, struct kms_verdict *v)
{
	char path[PATH_MAX] = "";
	int r = secret_path(l, path);

	if (r) {
		kms_verdict_set(v, KMS_AUTH, "credentials", "%.180s: %s", path, strerror(-r));
		return NULL;
	}
	char *text = provider_file(path, FILE_MAX, v);
	for (size_t n = text ? strlen(text) : 0; n > 0 && strchr("\r\n ", text[n - 1]); n--)
		text[n - 1] = '\0';
	if (text && text[0])
		return text;
	if (text)
		kms_verdict_set(v, KMS_AUTH, "credentials", "%.180s: is empty", path);
	heap_free(text);
	return NULL;
}

/* A request of the login's own. */
struct errand {
	const char *path, *body;         /* body NULL: none */
	const struct vault_token *token; /* NULL: none */
	int64_t deadline;
};

static int errand_run(const struct vault_login *l, const struct errand *e, struct http_reply *r, struct kms_verdict *v)
{
	AUTO(heap_free_at) char *header = e->token ? heap_alloc(VAULT_TOKEN_MAX + 32) : NULL;
	char url[HTTP_URL_MAX], space[VAULT_PATH_MAX + 32];
	const char *headers[5] = {"X-Vault-Request: true", "Content-Type: application/json"};
	size_t n = 2;

	snprintf(url, sizeof(url), "%s/v1/%s", l->base, e->path);
	if (l->space[0]) {
		snprintf(space, sizeof(space), "X-Vault-Namespace: %s", l->space);
		headers[n++] = space;
	}
	if (header) {
		snprintf(header, VAULT_TOKEN_MAX + 32, "X-Vault-Token: %s", e->token->text);
		headers[n++] = header;
	}
	const struct http_request q = {.method = "POST",
				       .url = url,
				       .header = headers,
				       .body = e->body,
				       .body_len = e->body ? strlen(e->body) : 0,
				       .deadline = e->deadline};
	return http_ask(l->http, &q, r, v);
}

static int token_set(struct vault_token *t, const char *text, bool ours, int64_t lives_ms)
{
	int64_t now = clock_ms(CLOCK_BOOTTIME);
	size_t len = strlen(text);

	if (len == 0 || len > VAULT_TOKEN_MAX || strpbrk(text, "\r\n"))
		return -EINVAL;
	t->text = secret_alloc(VAULT_TOKEN_MAX + 1);
	if (!t->text)
		return -ENOMEM;
	memcpy(t->text, text, len + 1);
	t->ours = ours;
	t->renew_at = now + (lives_ms > 0 && lives_ms / 2 < RENEW_MS ? lives_ms / 2 : RENEW_MS);
	t->ends_at = lives_ms > 0 ? now + lives_ms : INT64_MAX;
	return 0;
}

static void token_forget(struct vault_token *t)
{
	secret_free(t->text);
	*t = (struct vault_token){0};
}

/* Give back one that we made. Whether that works is nobody's concern: it ends by itself. */
static void token_return(struct vault_login *l, struct vault_token *t, int64_t deadline)
{
	const struct errand e = {.path = "auth/token/revoke-self", .token = t, .deadline = deadline};
	struct http_reply r = {0};
	struct kms_verdict v = {0};

	if (t->text && t->ours)
		(void)(errand_run(l, &e, &r, &v) == 0);
	http_reply_free(&r);
	token_forget(t);
}

/* The body of the login; for heap_free(). NULL with V. */
static char *login_body(const struct vault_login *l, struct kms_verdict *v)
{
	AUTO(heap_free_at) char *secret = NULL;
	struct json j = {.text = heap_alloc(BODY_MAX), .size = BODY_MAX};

	if (l->auth != VAULT_CERT && !(secret = secret_read(l, v))) {
		heap_free(j.text);
		return NULL;
	}
	if (!j.text)
		return NULL;
	json_raw(&j, "{", 1);
	if (l->auth == VAULT_APPROLE)
		json_str(&j, "role_id", option(l, "role-id"), BODY_MAX);
	else if (option(l, "role"))
		json_str(&j, l->auth == VAULT_CERT ? "name" : "role", option(l, "role"), BODY_MAX);
	if (secret)
		json_str(&j, l->auth == VAULT_APPROLE ? "secret_id" : "jwt", secret, BODY_MAX);
	json_raw(&j, "}", 2);
	if (!j.cut)
		return j.text;
	heap_free(j.text);
	kms_verdict_set(v, KMS_AUTH, "credentials", "the login's secret is too long");
	return NULL;
}

static int login_read(const struct http_reply *r, struct vault_token *out, struct kms_verdict *v)
{
	AUTO(reply_free_at) struct reply *reply = NULL;
	const char *token;
	uint64_t lives = 0;

	if (reply_parse(r->body, r->len, &reply) || !(token = reply_str(reply, "auth/client_token")) ||
	    reply_number(reply, "auth/lease_duration", &lives) || lives > INT32_MAX ||
	    token_set(out, token, true, (int64_t)lives * 1000))
		return kms_verdict_set(v, KMS_TRANSIENT, "garbled", "the answer to a login makes no sense");
	return 0;
}

static int log_in(struct vault_login *l, struct vault_token *out, int64_t deadline, struct kms_verdict *v)
{
	AUTO(heap_free_at) char *body = login_body(l, v);
	AUTO(http_reply_free) struct http_reply r = {0};
	char path[KMS_OPTION_VALUE_MAX + 32];
	bool unsure;

	if (!body)
		return kms_class_errno(v->class);
	const char *mount = option(l, "auth-mount");
	for (size_t i = 0; !mount && i < ARRAY_LEN(ways); i++)
		if (ways[i].auth == l->auth)
			mount = ways[i].mount;
	snprintf(path, sizeof(path), "auth/%s/login", mount);
	const struct errand e = {.path = path, .body = body, .deadline = deadline};
	int error = errand_run(l, &e, &r, v);
	if (!error)
		error = vault_judge(VAULT_LOGIN, &r, "", v, &unsure);
	return error ? error : login_read(&r, out, v);
}

/* A token from the file: as it is there now. One that has not changed is asked to live on, which it need not be allowed to. */
static int file_token(struct vault_login *l, struct vault_token *out, int64_t deadline, struct kms_verdict *v)
{
	AUTO(heap_free_at) char *text = secret_read(l, v);
	struct http_reply r = {0};
	struct kms_verdict ignored = {0};

	if (!text)
		return kms_class_errno(v->class);
	if (token_set(out, text, false, 0))
		return kms_verdict_set(v, KMS_AUTH, "credentials", "the token is not one line of at most %u bytes",
				       VAULT_TOKEN_MAX);
	const struct errand e = {.path = "auth/token/renew-self", .body = "{}", .token = out, .deadline = deadline};
	if (l->now.text && strcmp(l->now.text, text) == 0)
		(void)(errand_run(l, &e, &r, &ignored) == 0);
	http_reply_free(&r);
	return 0;
}

/* A token that may be used; l->lock is held. The old one serves on while a renewal is silent, and goes when it is refused. */
static int token_make(struct vault_login *l, int64_t deadline, struct kms_verdict *v)
{
	int64_t now = clock_ms(CLOCK_BOOTTIME);
	struct vault_token fresh = {0};

	if (!atomic_exchange(&l->anew, false) && l->now.text && now < l->now.renew_at)
		return 0;
	int r = l->auth == VAULT_TOKEN ? file_token(l, &fresh, deadline, v) : log_in(l, &fresh, deadline, v);
	if (r && v->class == KMS_TRANSIENT && l->now.text && now < l->now.ends_at) {
		l->now.renew_at = now + AGAIN_MS;
		return 0;
	}
	/* What was used until now is given back at the next renewal: calls under way have it yet. */
	token_return(l, &l->before, deadline);
	l->before = l->now;
	l->now = fresh;
	l->generation++;
	return r;
}

char *vault_login_header(struct vault_login *l, int64_t deadline, unsigned *generation, struct kms_verdict *v)
{
	static const char name[] = "X-Vault-Token: ";
	char *header = NULL;

	/* Another question may be logging in, and hang: it is no reason to miss one's own deadline. */
	struct timespec until = clock_timespec(clock_ms(CLOCK_MONOTONIC) + deadline - clock_ms(CLOCK_BOOTTIME));
	if (pthread_mutex_clocklock(&l->lock, CLOCK_MONOTONIC, &until)) {
		kms_verdict_set(v, KMS_TRANSIENT, "busy", "a login to the KMS is under way and does not end");
		return NULL;
	}
	if (token_make(l, deadline, v) == 0) {
		size_t size = sizeof(name) + strlen(l->now.text);

		header = heap_alloc(size);
		if (header)
			snprintf(header, size, "%s%s", name, l->now.text);
		else
			kms_verdict_set(v, KMS_TRANSIENT, "memory", "out of memory");
		*generation = l->generation;
	}
	pthread_mutex_unlock(&l->lock);
	return header;
}

void vault_login_refused(struct vault_login *l, unsigned generation)
{
	if (pthread_mutex_trylock(&l->lock)) { /* somebody has it in hand, or makes a new one */
		atomic_store(&l->anew, true);
		return;
	}
	if (l->generation == generation)
		token_forget(&l->now);
	pthread_mutex_unlock(&l->lock);
}

void vault_login_end(struct vault_login *l, int64_t deadline)
{
	pthread_mutex_lock(&l->lock);
	token_return(l, &l->before, deadline);
	token_return(l, &l->now, deadline);
	pthread_mutex_unlock(&l->lock);
}
