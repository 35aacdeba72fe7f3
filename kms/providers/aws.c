/* SPDX-License-Identifier: BSD-2-Clause */
/* The provider `aws-kms:`: keys of AWS KMS (PROVIDERS.md "aws-kms"). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kms/net/heap.h"
#include "kms/provider_private.h"
#include "kms/providers/aws.h"
#include "kms/providers/common.h"

#define TRIES 3u /* of one question: once more with a new key, once more by the right time */

struct kms {
	struct kms_base base;
	struct aws_ref ref;
	struct kms_options options;
	struct http *http, *sts;
	struct aws_place place;
	struct aws_login login;
	atomic_bool rsa; /* the key is an RSA key */
	pthread_mutex_t lock;
	char resolved[AWS_KEY_ID_MAX +
		      1]; /* lock: the key that the alias meant when it was asked for first; "" = not yet */
};

static const struct kms_option_def options[] = {
	{"identity", "environment, files, web-identity, container or instance; else the first that is configured",
	 KMS_OPTION_TEXT},
	{"profile", "profile of ~/.aws, if not default", KMS_OPTION_TEXT},
	{"credentials-file", "access keys in the form of ~/.aws/credentials", KMS_OPTION_SECRET},
	{"config-file", "profiles in the form of ~/.aws/config", KMS_OPTION_FILE},
	{"role", "ARN of a role that is assumed on top", KMS_OPTION_TEXT},
	{"external-id", "external id by which that role is assumed", KMS_OPTION_TEXT},
	{"session-name", "name of the session, if not byokfs", KMS_OPTION_TEXT},
	{"token-file", "a web identity's token, by which the role is assumed", KMS_OPTION_SECRET},
	{"region", "region of STS, if not the key's", KMS_OPTION_TEXT},
	{"endpoint", "https://HOST, http://127.0.0.1:PORT or unix:PATH in the place of kms.REGION.amazonaws.com",
	 KMS_OPTION_TEXT},
	{"sts-endpoint", "the same for sts.REGION.amazonaws.com", KMS_OPTION_TEXT},
	{"ca-file", "the CA that the servers' certificates are checked by, PEM", KMS_OPTION_FILE},
	{"server-name", "the name in the servers' certificate, if not the endpoint's", KMS_OPTION_TEXT},
	{"proxy", "URL of a proxy, or none; else as the environment says", KMS_OPTION_TEXT},
	{"plain-http", "http to this machine itself", KMS_OPTION_FLAG},
	{0},
};

static int aws_normalise(const char *ref, char out[KMS_REF_MAX + 1], char why[KMS_TEXT_MAX])
{
	struct aws_ref parsed;
	char arn[AWS_ARN_MAX];
	int r = aws_ref_parse(ref, &parsed, why);

	if (r)
		return r;
	aws_ref_arn(&parsed, arn);
	snprintf(out, KMS_REF_MAX + 1, "aws-kms:%s", arn);
	return 0;
}

static void aws_close(struct kms *k)
{
	aws_login_end(&k->login);
	http_free(k->sts);
	http_free(k->http);
	pthread_mutex_destroy(&k->login.lock);
	pthread_mutex_destroy(&k->lock);
	free(k);
}

static int http_begin(struct kms *k, struct kms_verdict *v)
{
	char ca[PATH_MAX], host[AWS_HOST_MAX + 1];
	struct http_config cfg = {.server_name = kms_options_get(&k->options, "server-name"),
				  .proxy = kms_options_get(&k->options, "proxy")};
	struct aws_place *sts = &k->login.sts;

	if (cfg.proxy && strchr(cfg.proxy, '@')) /* it would stand in argv, and in what is remembered */
		return kms_verdict_set(v, KMS_MISCONFIGURED, "option", "option proxy: no name or password in it");
	snprintf(host, sizeof(host), "kms.%s.%s", k->ref.region, k->ref.suffix);
	int r = aws_place_find(&k->options, "endpoint", host, &k->place, v);
	snprintf(host, sizeof(host), "sts.%s.%s", k->login.region, k->ref.suffix);
	if (!r)
		r = aws_place_find(&k->options, "sts-endpoint", host, sts, v);
	if (!r)
		r = provider_path(&k->options, "ca-file", ca, &cfg.ca_file, v);
	if (r)
		return r;
	cfg.plain = k->place.plain;
	cfg.unix_path = k->place.socket;
	r = http_new(&cfg, &k->http);
	cfg.plain = sts->plain;
	cfg.unix_path = sts->socket;
	if (!r)
		r = http_new(&cfg, &k->sts);
	k->login.http = k->sts;
	return r ? kms_verdict_set(v, KMS_TRANSIENT, "memory", "libcurl: %s", strerror(-r)) : 0;
}

/* It stands in a host's name and in a signature. */
static int region_check(const char *region, struct kms_verdict *v)
{
	size_t len = strlen(region);

	return len < 32 && strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-") == len
		       ? 0
		       : kms_verdict_set(v, KMS_MISCONFIGURED, "option", "option region: '%.60s' is none", region);
}

static int aws_open(const struct kms_config *cfg, struct kms **out, struct kms_verdict *v)
{
	struct kms *k = calloc(1, sizeof(*k));
	char why[KMS_TEXT_MAX];

	if (!k)
		return kms_verdict_set(v, KMS_TRANSIENT, "memory", "out of memory");
	pthread_mutex_init(&k->lock, NULL);
	pthread_mutex_init(&k->login.lock, NULL);
	k->base.provider = &kms_aws;
	snprintf(k->base.ref, sizeof(k->base.ref), "%s", cfg->ref);
	if (cfg->options)
		k->options = *cfg->options;
	const char *region = kms_options_get(&k->options, "region");
	k->login.options = &k->options;
	k->login.log = cfg->log;
	k->login.region = region ? region : k->ref.region;
	int r = aws_ref_parse(cfg->ref, &k->ref, why);
	if (r)
		r = kms_verdict_set(v, KMS_MISCONFIGURED, "reference", "%s", why);
	if (!r && region)
		r = region_check(region, v);
	if (!r)
		r = http_begin(k, v);
	if (!r)
		r = aws_login_begin(&k->login, cfg->may_respawn, v);
	if (r) {
		aws_close(k);
		return r;
	}
	*out = k;
	return kms_verdict_ok(v);
}

/* Asking */

/* One request about the key. */
struct task {
	enum aws_call call;
	const char *body;
	int64_t deadline;
	bool single; /* no poll, which comes again by itself: asked until the deadline while nobody answers */
};

static int ask_with(struct kms *k, const struct task *t, const struct aws_signed *s, struct http_reply *r,
		    struct kms_verdict *v)
{
	const struct http_request q = {.method = "POST",
				       .url = k->place.url,
				       .header = s->all,
				       .body = t->body,
				       .body_len = strlen(t->body),
				       .id_header = "x-amzn-RequestId",
				       .deadline = t->deadline};

	http_reply_free(r);
	int e = http_ask(k->http, &q, r, v);
	return e ? e : aws_judge(t->call, r, k->base.ref, v);
}

/* Once; and once more with a new key when the old one is refused, or by the right time when that was wrong. */
static int ask_once(struct kms *k, const struct task *t, struct http_reply *r, struct kms_verdict *v)
{
	const char *const headers[] = {"Content-Type: application/x-amz-json-1.1",
				       t->call == AWS_WRAP ? "X-Amz-Target: TrentService.Encrypt"
							   : "X-Amz-Target: TrentService.Decrypt",
				       NULL};
	unsigned refused = 0;

	for (unsigned i = 0;; i++) {
		AUTO(aws_signed_free)
		struct aws_signed s = {.host = k->place.host,
				       .body = t->body,
				       .region = k->ref.region,
				       .service = "kms",
				       .header = headers};
		struct kms_verdict before = *v;
		int e = aws_login_sign(&k->login, &s, t->deadline, v);

		if (e)
			return e;
		if (refused && refused == s.generation) { /* the same again: its answer stands */
			*v = before;
			return kms_class_errno(v->class);
		}
		e = ask_with(k, t, &s, r, v);
		if (v->class != KMS_AUTH || i + 1 == TRIES)
			return e;
		if (strcmp(v->code, "clock") == 0 && aws_clock_correct(&k->login, r))
			continue;
		aws_login_refused(&k->login, s.generation);
		if (refused)
			return e;
		refused = s.generation;
	}
}

/* R is the caller's to free, whatever comes. */
static int ask(struct kms *k, const struct task *t, struct http_reply *r, struct kms_verdict *v)
{
	for (unsigned n = 0;; n++) {
		int e = ask_once(k, t, r, v);

		if (!t->single || v->class != KMS_TRANSIENT || http_pause(k->http, n, r, t->deadline))
			return e;
	}
}

/* The ARN to wrap under: of an alias the key that it meant first, so that one mount has one key. */
static void arn_to_wrap(struct kms *k, char out[AWS_ARN_MAX])
{
	pthread_mutex_lock(&k->lock);
	if (k->resolved[0])
		aws_key_arn(&k->ref, k->resolved, out);
	else
		aws_ref_arn(&k->ref, out);
	pthread_mutex_unlock(&k->lock);
}

static void resolved_keep(struct kms *k, const char *id)
{
	pthread_mutex_lock(&k->lock);
	if (!k->resolved[0])
		snprintf(k->resolved, sizeof(k->resolved), "%.36s", id);
	pthread_mutex_unlock(&k->lock);
}

static int wrap_as(struct kms *k, const struct aws_question *q, const uint8_t plain[PAYLOAD_LEN],
		   struct kms_wrapped *out, struct kms_verdict *v)
{
	AUTO(http_reply_free) struct http_reply r = {0};
	AUTO(heap_free_at) char *body = aws_wrap_body(q, plain);
	const struct task t = {.call = AWS_WRAP, .body = body, .deadline = q->p->deadline, .single = true};

	if (!body)
		return kms_verdict_set(v, KMS_TRANSIENT, "memory", "out of memory");
	int e = ask(k, &t, &r, v);
	if (e || aws_wrap_read(&r, &k->ref, q, out, v))
		return kms_class_errno(v->class);
	return kms_verdict_ok(v);
}

static int aws_wrap(struct kms *k, const struct kms_purpose *p, const uint8_t plain[PAYLOAD_LEN],
		    struct kms_wrapped *out, struct kms_verdict *v)
{
	char arn[AWS_ARN_MAX];
	struct aws_question q = {.p = p, .arn = arn, .rsa = atomic_load(&k->rsa)};

	arn_to_wrap(k, arn);
	int e = wrap_as(k, &q, plain, out, v);
	if (e && !q.rsa && aws_is_other_type(v)) { /* an RSA key says so */
		struct kms_verdict first = *v;

		q.rsa = true;
		e = wrap_as(k, &q, plain, out, v);
		if (e && aws_is_other_type(v)) {
			*v = first;
			return kms_class_errno(v->class);
		}
	}
	if (e)
		return e;
	atomic_store(&k->rsa, q.rsa);
	resolved_keep(k, out->version);
	return 0;
}

static int aws_unwrap(struct kms *k, const struct kms_purpose *p, const struct kms_wrapped *in,
		      uint8_t plain[PAYLOAD_LEN], struct kms_verdict *v)
{
	AUTO(http_reply_free) struct http_reply r = {0};
	AUTO(heap_free_at) char *body = NULL;
	char arn[AWS_ARN_MAX];
	const struct aws_question q = {.p = p, .arn = arn, .rsa = in->algorithm == KMS_ALG_RSA_OAEP_SHA256};

	if (in->algorithm != KMS_ALG_PROVIDER && !q.rsa)
		return kms_verdict_set(v, KMS_CORRUPT, "algorithm", "key %.180s wraps nothing like that", k->base.ref);
	aws_key_arn(&k->ref, in->version, arn);
	if (!aws_key_id_of(&k->ref, arn))
		return kms_verdict_set(v, KMS_CORRUPT, "another-key", "key %.180s did not wrap this", k->base.ref);
	body = aws_unwrap_body(&q, in);
	if (!body)
		return kms_verdict_set(v, KMS_TRANSIENT, "memory", "out of memory");
	const struct task t = {
		.call = AWS_UNWRAP, .body = body, .deadline = p->deadline, .single = p->use == KMS_USE_FILE};
	int e = ask(k, &t, &r, v);
	if (e || aws_unwrap_read(&r, &q, plain, v))
		return kms_class_errno(v->class);
	return kms_verdict_ok(v);
}

/* New connections, and a key from where it comes. */
static void aws_refresh(struct kms *k)
{
	http_refresh(k->http);
	http_refresh(k->sts);
	http_refresh(k->login.meta);
	atomic_store(&k->login.anew, true);
}

static void aws_cancel(struct kms *k)
{
	http_cancel(k->http);
	http_cancel(k->sts);
	http_cancel(k->login.meta);
}

const struct kms_provider kms_aws = {
	.scheme = "aws-kms",
	.description = "key of AWS KMS, aws-kms:arn:aws:kms:REGION:ACCOUNT:key/ID, or the ARN alone",
	.options = options,
	.version_kind = KMS_VERSION_UUID,
	.claims = aws_ref_claims,
	.normalise = aws_normalise,
	.open = aws_open,
	.wrap = aws_wrap,
	.unwrap = aws_unwrap,
	.refresh = aws_refresh,
	.cancel = aws_cancel,
	.close = aws_close,
};
