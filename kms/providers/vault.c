/* SPDX-License-Identifier: BSD-2-Clause */
/* The provider `vault:`: the transit engine of HashiCorp Vault and OpenBao (PROVIDERS.md "vault"). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kms/clock.h"
#include "kms/net/heap.h"
#include "kms/net/json.h"
#include "kms/provider_private.h"
#include "kms/providers/common.h"
#include "kms/providers/vault.h"
#include "kms/verdict.h"

#define RETURN_MS 1000 /* how long a token that is given back may hold up the end of a mount */

struct kms {
	struct kms_base base;
	struct vault_ref ref;
	struct kms_options options;
	struct http *http;
	struct vault_login login;
	char url[HTTP_URL_MAX]; /* "https://HOST:PORT/v1/MOUNT" */
	atomic_bool looked;     /* the key is there: no wrap will make it by mistake */
	atomic_bool no_aad;     /* the key is of a type without associated data */
	pthread_mutex_t lock;
	struct kms_wrapped worked; /* lock: the keyring's wrap that was unwrapped last */
};

static const struct kms_option_def options[] = {
	{"auth", "token, approle, cert, jwt or kubernetes; else the first that is configured", KMS_OPTION_TEXT},
	{"auth-mount", "where that login is mounted, if not at its name", KMS_OPTION_TEXT},
	{"role", "role of the login by certificate, JWT or Kubernetes", KMS_OPTION_TEXT},
	{"role-id", "role id of AppRole", KMS_OPTION_TEXT},
	{"secret-id-file", "the secret id of AppRole", KMS_OPTION_SECRET},
	{"token-file", "a token (else ~/.vault-token)", KMS_OPTION_SECRET},
	{"jwt-file", "the JWT (Kubernetes: else the pod's own)", KMS_OPTION_SECRET},
	{"namespace", "namespace of the login, if not the key's", KMS_OPTION_TEXT},
	{"ca-file", "the CA that the server's certificate is checked by, PEM", KMS_OPTION_FILE},
	{"client-cert", "our certificate for TLS, PEM", KMS_OPTION_FILE},
	{"client-key", "its key, PEM", KMS_OPTION_SECRET},
	{"server-name", "the name in the server's certificate, if not the address's", KMS_OPTION_TEXT},
	{"proxy", "URL of a proxy, or none; else as the environment says", KMS_OPTION_TEXT},
	{"endpoint", "https://HOST:PORT, http://127.0.0.1:PORT or unix:PATH to connect to in the place of the address",
	 KMS_OPTION_TEXT},
	{"standby", "HOST:PORT to which a standby server may send us on", KMS_OPTION_TEXT},
	{"plain-http", "http to this machine itself", KMS_OPTION_FLAG},
	{0},
};

static const char *environment(const char *bao, const char *vault)
{
	const char *value = getenv(bao);

	value = value && *value ? value : getenv(vault);
	return value && *value ? value : NULL;
}

static int vault_normalise(const char *ref, char out[KMS_REF_MAX + 1], char why[KMS_TEXT_MAX])
{
	struct vault_ref parsed;
	int r = vault_ref_parse(ref, environment("BAO_ADDR", "VAULT_ADDR"),
				environment("BAO_NAMESPACE", "VAULT_NAMESPACE"), &parsed, why);

	if (!r && vault_ref_write(&parsed, out)) {
		snprintf(why, KMS_TEXT_MAX, "key reference is longer than %u bytes", KMS_REF_MAX);
		r = -EINVAL;
	}
	return r;
}

static void vault_close(struct kms *k)
{
	if (k->http) {
		http_refresh(k->http); /* it may have been cancelled */
		vault_login_end(&k->login, clock_ms(CLOCK_BOOTTIME) + RETURN_MS);
	}
	http_free(k->http);
	pthread_mutex_destroy(&k->login.lock);
	pthread_mutex_destroy(&k->lock);
	free(k);
}

/* Where to connect to, and by which words: k->url, k->login.base. PLAIN: it is spoken without TLS. */
static int address_find(struct kms *k, const char **socket, bool *plain, struct kms_verdict *v)
{
	const char *endpoint = kms_options_get(&k->options, "endpoint");
	struct vault_ref at = k->ref;
	char why[KMS_TEXT_MAX];
	bool path = endpoint && strncmp(endpoint, "unix:/", 6) == 0;

	if (path)
		*socket = endpoint + 5;
	else if (endpoint && vault_address_parse(endpoint, &at, why))
		return kms_verdict_set(v, KMS_MISCONFIGURED, "option", "option endpoint: %.220s", why);
	if (at.plain && !path && !kms_options_flag(&k->options, "plain-http"))
		return kms_verdict_set(v, KMS_MISCONFIGURED, "option",
				       "http to %.100s is not encrypted: option plain-http=yes if that is meant",
				       at.host);
	*plain = at.plain || path;
	snprintf(k->login.base, sizeof(k->login.base), "%s://%s:%u", *plain ? "http" : "https", at.host, at.port);
	snprintf(k->url, sizeof(k->url), "%s/v1/%s", k->login.base, k->ref.mount);
	return 0;
}

static int http_begin(struct kms *k, struct kms_verdict *v)
{
	char ca[PATH_MAX], cert[PATH_MAX], key[PATH_MAX];
	struct http_config cfg = {.server_name = kms_options_get(&k->options, "server-name"),
				  .proxy = kms_options_get(&k->options, "proxy"),
				  .standby = kms_options_get(&k->options, "standby")};
	int r = provider_path(&k->options, "ca-file", ca, &cfg.ca_file, v);

	if (cfg.proxy && strchr(cfg.proxy, '@')) /* it would stand in argv, and in what is remembered */
		return kms_verdict_set(v, KMS_MISCONFIGURED, "option", "option proxy: no name or password in it");
	if (!r)
		r = provider_path(&k->options, "client-cert", cert, &cfg.client_cert, v);
	if (!r)
		r = provider_path(&k->options, "client-key", key, &cfg.client_key, v);
	if (!r)
		r = address_find(k, &cfg.unix_path, &cfg.plain, v);
	if (r)
		return r;
	r = http_new(&cfg, &k->http);
	return r ? kms_verdict_set(v, KMS_TRANSIENT, "memory", "libcurl: %s", strerror(-r)) : 0;
}

static int vault_open(const struct kms_config *cfg, struct kms **out, struct kms_verdict *v)
{
	struct kms *k = calloc(1, sizeof(*k));
	char why[KMS_TEXT_MAX];

	if (!k)
		return kms_verdict_set(v, KMS_TRANSIENT, "memory", "out of memory");
	pthread_mutex_init(&k->lock, NULL);
	pthread_mutex_init(&k->login.lock, NULL);
	k->base.provider = &kms_vault;
	snprintf(k->base.ref, sizeof(k->base.ref), "%s", cfg->ref);
	if (cfg->options)
		k->options = *cfg->options;
	int r = vault_ref_parse(cfg->ref, NULL, NULL, &k->ref, why);
	if (r)
		r = kms_verdict_set(v, KMS_MISCONFIGURED, "reference", "%s", why);
	if (!r)
		r = http_begin(k, v);
	if (!r)
		r = vault_login_begin(&k->login, &k->options, v);
	if (r) {
		vault_close(k);
		return r;
	}
	const char *space = kms_options_get(&k->options, "namespace");
	snprintf(k->login.space, sizeof(k->login.space), "%.255s", space ? space : k->ref.space);
	k->login.http = k->http;
	*out = k;
	return kms_verdict_ok(v);
}

/* Asking */

/* One request about the key: OP is "encrypt", "decrypt", "keys". */
struct question {
	enum vault_call call;
	const char *op, *body; /* body NULL: GET */
	int64_t deadline;
	bool single; /* no poll, which comes again by itself: asked until the deadline while nobody answers */
};

static int ask_with(struct kms *k, const struct question *q, const char *token, struct http_reply *r,
		    struct kms_verdict *v)
{
	char url[HTTP_URL_MAX + VAULT_NAME_MAX + 32], space[VAULT_PATH_MAX + 32];
	const char *headers[5] = {"X-Vault-Request: true", "Content-Type: application/json", token};

	snprintf(url, sizeof(url), "%s/%s/%s", k->url, q->op, k->ref.name);
	if (k->ref.space[0]) {
		snprintf(space, sizeof(space), "X-Vault-Namespace: %s", k->ref.space);
		headers[3] = space;
	}
	const struct http_request request = {.method = q->body ? "POST" : "GET",
					     .url = url,
					     .header = headers,
					     .body = q->body,
					     .body_len = q->body ? strlen(q->body) : 0,
					     .deadline = q->deadline};
	return http_ask(k->http, &request, r, v);
}

/* A 403 that fits neither: whoever is told who he is has a good token, so it is the right that is gone. */
static int settle_unsure(struct kms *k, const struct question *q, const char *token, struct kms_verdict *v)
{
	AUTO(http_reply_free) struct http_reply r = {0};
	struct kms_verdict other = {0};
	char url[HTTP_URL_MAX];
	const char *headers[] = {token, NULL};
	const struct http_request request = {.method = "GET", .url = url, .header = headers, .deadline = q->deadline};

	snprintf(url, sizeof(url), "%s/v1/auth/token/lookup-self", k->login.base);
	if (http_ask(k->http, &request, &r, &other) == 0 && r.status == 200)
		return kms_verdict_set(v, KMS_REVOKED, "permission-denied",
				       "the right to use key %.160s was taken away", k->base.ref);
	return kms_class_errno(v->class);
}

/* Once, and once more with a new token when the old one had ended. */
static int ask_once(struct kms *k, const struct question *q, struct http_reply *r, struct kms_verdict *v)
{
	for (int i = 0;; i++) {
		unsigned generation = 0;
		bool unsure = false;
		AUTO(heap_free_at) char *token = vault_login_header(&k->login, q->deadline, &generation, v);

		if (!token)
			return kms_class_errno(v->class);
		http_reply_free(r);
		int e = ask_with(k, q, token, r, v);
		if (e)
			return e;
		e = vault_judge(q->call, r, k->base.ref, v, &unsure);
		if (unsure)
			e = settle_unsure(k, q, token, v);
		if (v->class != KMS_AUTH)
			return e;
		vault_login_refused(&k->login, generation);
		if (i)
			return e;
	}
}

/* R is the caller's to free, whatever comes. */
static int ask(struct kms *k, const struct question *q, struct http_reply *r, struct kms_verdict *v)
{
	for (unsigned n = 0;; n++) {
		int e = ask_once(k, q, r, v);

		if (!q->single || v->class != KMS_TRANSIENT || http_pause(k->http, n, r, q->deadline))
			return e;
	}
}

/* Before the first wrap: encrypt makes a key that is not there, if the token may. A look that is not allowed says nothing. */
static int look(struct kms *k, int64_t deadline, struct kms_verdict *v)
{
	AUTO(http_reply_free) struct http_reply r = {0};
	AUTO(reply_free_at) struct reply *reply = NULL;
	const struct question q = {.call = VAULT_WRAP, .op = "keys", .deadline = deadline, .single = true};
	bool empty;

	if (atomic_load(&k->looked))
		return 0;
	int e = ask(k, &q, &r, v);
	if (e && r.status != 403 && r.status != 404)
		return e;
	empty = r.status == 404 && reply_parse(r.body, r.len, &reply) == 0 && reply_has(reply, "errors") &&
		!reply_item(reply, "errors", 0);
	if (empty)
		return kms_verdict_set(v, KMS_MISCONFIGURED, "no-such-key", "key %.180s is not there", k->base.ref);
	if (e && r.status == 404)
		return e;
	if (!e && reply_parse(r.body, r.len, &reply) == 0 && reply_true(reply, "data/derived"))
		return kms_verdict_set(v, KMS_MISCONFIGURED, "key-type",
				       "key %.150s is derived or convergent: no key for this", k->base.ref);
	atomic_store(&k->looked, true);
	return 0;
}

static int vault_wrap(struct kms *k, const struct kms_purpose *p, const uint8_t plain[PAYLOAD_LEN],
		      struct kms_wrapped *out, struct kms_verdict *v)
{
	int e = look(k, p->deadline, v);

	if (e)
		return e;
	for (;;) {
		bool aad = !atomic_load(&k->no_aad);
		AUTO(http_reply_free) struct http_reply r = {0};
		AUTO(heap_free_at) char *body = vault_wrap_body(p, plain, aad);
		const struct question q = {
			.call = VAULT_WRAP, .op = "encrypt", .body = body, .deadline = p->deadline, .single = true};

		if (!body)
			return kms_verdict_set(v, KMS_TRANSIENT, "memory", "out of memory");
		e = ask(k, &q, &r, v);
		if (e && aad && r.body && vault_no_aad(&r)) { /* an RSA key */
			atomic_store(&k->no_aad, true);
			continue;
		}
		if (e || vault_wrap_read(&r, out, v))
			return kms_class_errno(v->class);
		out->algorithm = aad ? KMS_ALG_PROVIDER : KMS_ALG_RSA_OAEP_SHA256;
		return kms_verdict_ok(v);
	}
}

/* Has this very wrap of the keyring been unwrapped before? */
static enum vault_call call_of(struct kms *k, const struct kms_purpose *p, const struct kms_wrapped *in)
{
	pthread_mutex_lock(&k->lock);
	bool same = p->use == KMS_USE_KEYRING && k->worked.len == in->len && in->len &&
		    strcmp(k->worked.version, in->version) == 0 && memcmp(k->worked.data, in->data, in->len) == 0;
	pthread_mutex_unlock(&k->lock);
	return same ? VAULT_PROBE : VAULT_UNWRAP;
}

static void worked_keep(struct kms *k, const struct kms_purpose *p, const struct kms_wrapped *in)
{
	if (p->use != KMS_USE_KEYRING)
		return;
	pthread_mutex_lock(&k->lock);
	k->worked = *in;
	pthread_mutex_unlock(&k->lock);
}

static int vault_unwrap(struct kms *k, const struct kms_purpose *p, const struct kms_wrapped *in,
			uint8_t plain[PAYLOAD_LEN], struct kms_verdict *v)
{
	AUTO(http_reply_free) struct http_reply r = {0};
	AUTO(heap_free_at) char *body = NULL;

	if (in->algorithm != KMS_ALG_PROVIDER && in->algorithm != KMS_ALG_RSA_OAEP_SHA256)
		return kms_verdict_set(v, KMS_CORRUPT, "algorithm", "key %.180s wraps nothing like that", k->base.ref);
	body = vault_unwrap_body(p, in, in->algorithm == KMS_ALG_PROVIDER);
	if (!body)
		return kms_verdict_set(v, KMS_TRANSIENT, "memory", "out of memory");
	const struct question q = {.call = call_of(k, p, in),
				   .op = "decrypt",
				   .body = body,
				   .deadline = p->deadline,
				   .single = p->use == KMS_USE_FILE};
	int e = ask(k, &q, &r, v);
	if (e || vault_unwrap_read(&r, plain, v))
		return kms_class_errno(v->class);
	worked_keep(k, p, in);
	return kms_verdict_ok(v);
}

/* New connections, and a login from the files as they are now. */
static void vault_refresh(struct kms *k)
{
	http_refresh(k->http);
	atomic_store(&k->login.anew, true);
}

static void vault_cancel(struct kms *k)
{
	http_cancel(k->http);
}

const struct kms_provider kms_vault = {
	.scheme = "vault",
	.description = "transit key of HashiCorp Vault or OpenBao, vault:https://HOST:PORT/MOUNT/NAME",
	.options = options,
	.version_kind = KMS_VERSION_NUMBER,
	.normalise = vault_normalise,
	.open = vault_open,
	.wrap = vault_wrap,
	.unwrap = vault_unwrap,
	.refresh = vault_refresh,
	.cancel = vault_cancel,
	.close = vault_close,
};
