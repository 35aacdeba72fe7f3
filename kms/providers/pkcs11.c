/* SPDX-License-Identifier: BSD-2-Clause */
/* The provider `pkcs11:`: a key on a token, by the vendor's module in a helper process (PROVIDERS.md "pkcs11"). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "crypto/secret.h"
#include "kms/clock.h"
#include "kms/keystore/trust.h"
#include "kms/provider_private.h"
#include "kms/providers/pkcs11.h"
#include "kms/verdict.h"

#define DATES_MS 60000u
#define AGAIN_MS 200u /* between two tries of what is no poll */

struct kms {
	struct kms_base base;
	struct kms_options options;
	struct p11_uri uri;
	struct p11_link *link;
	pthread_mutex_t lock;
	struct p11_secret *refused; /* lock: the PIN that the token has refused: never again. NULL: none was */
};

static const struct kms_option_def options[] = {
	{"module-path", "the vendor's PKCS#11 library", KMS_OPTION_FILE},
	{"module-args", "what is handed to it at the start (NSS: configdir='sql:DIR' ...)", KMS_OPTION_TEXT},
	{"module-env", "NAME=VALUE, with blanks between several, for its environment: SOFTHSM2_CONF=/etc/softhsm2.conf",
	 KMS_OPTION_TEXT},
	{"pin-source", "the PIN of the token's user (else credential:byokfs.pin)", KMS_OPTION_SECRET},
	{0},
};

static int p11_normalise(const char *ref, char out[KMS_REF_MAX + 1], char why[KMS_TEXT_MAX])
{
	struct p11_uri uri;
	int r = p11_uri_parse(ref, &uri, why);

	if (!r && p11_uri_write(&uri, out)) {
		snprintf(why, KMS_TEXT_MAX, "key reference is longer than %u bytes", KMS_REF_MAX);
		r = -EINVAL;
	}
	return r;
}

static void p11_close(struct kms *k)
{
	p11_link_free(k->link);
	secret_free(k->refused);
	pthread_mutex_destroy(&k->lock);
	free(k);
}

/* The PIN */

/* Where it lies now. -ENOENT: nowhere, which is an error if an option says so only. */
static int pin_path(const struct kms *k, char out[PATH_MAX])
{
	const char *value = kms_options_get(&k->options, "pin-source");
	int r = kms_option_path(value ? value : "credential:byokfs.pin", out);

	return r ? r : access(out, R_OK) < 0 ? -errno : 0;
}

static int pin_read_file(const char *path, struct p11_secret *out)
{
	AUTO(auto_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (S_ISREG(st.st_mode) && trust_file(&st, path))
		return -EPERM; /* whoever may write it can use up the tries of the PIN */
	ssize_t n = read(fd, out->bytes, sizeof(out->bytes));
	while (n > 0 && (out->bytes[n - 1] == '\n' || out->bytes[n - 1] == '\r'))
		n--;
	if (n < 0)
		return -errno;
	if (n == 0 || n > (ssize_t)P11_PIN_MAX)
		return -EINVAL;
	out->len = (uint32_t)n;
	return 0;
}

static bool is_refused(struct kms *k, const struct p11_secret *pin)
{
	pthread_mutex_lock(&k->lock);
	bool same = k->refused && k->refused->len == pin->len && memcmp(k->refused->bytes, pin->bytes, pin->len) == 0;
	pthread_mutex_unlock(&k->lock);
	return same;
}

/* For struct p11_ask. A PIN that was refused once is not tried again: tokens lock after three. A new one in the same file is. */
static int pin_get(void *arg, struct p11_secret *out, struct kms_verdict *v)
{
	struct kms *k = arg;
	char path[PATH_MAX];
	int r = pin_path(k, path);

	if (r == -ENOENT && !kms_options_get(&k->options, "pin-source"))
		return 0; /* there are tokens without */
	if (!r)
		r = pin_read_file(path, out);
	if (r)
		return kms_verdict_set(v, KMS_AUTH, "credentials", "the PIN, option pin-source: %s",
				       r == -EPERM    ? "others may write the file"
				       : r == -EINVAL ? "is empty, or longer than 255 bytes"
						      : strerror(-r));
	if (is_refused(k, out))
		return kms_verdict_set(v, KMS_AUTH, "pin-refused",
				       "the token has refused this PIN, it is not tried again: key %.160s",
				       k->base.ref);
	return 0;
}

static void pin_refused(void *arg, const struct p11_secret *pin)
{
	struct kms *k = arg;

	pthread_mutex_lock(&k->lock);
	if (!k->refused)
		k->refused = secret_alloc(sizeof(*k->refused));
	if (k->refused)
		*k->refused = *pin;
	pthread_mutex_unlock(&k->lock);
}

/* Opening */

static int begin_fill(struct kms *k, struct p11_begin *b, struct kms_verdict *v)
{
	const char *module = kms_options_get(&k->options, "module-path"),
		   *args = kms_options_get(&k->options, "module-args"),
		   *env = kms_options_get(&k->options, "module-env");
	char path[PATH_MAX];

	if (!module || kms_option_path(module, path))
		return kms_verdict_set(v, KMS_MISCONFIGURED, "option",
				       "which library has the token? --kms-option module-path=FILE");
	if (snprintf(b->module, sizeof(b->module), "%s", path) >= (int)sizeof(b->module) || access(path, R_OK) < 0)
		return kms_verdict_set(v, KMS_MISCONFIGURED, "option", "option module-path, %.150s: %s", path,
				       strerror(errno));
	snprintf(b->args, sizeof(b->args), "%s", args ? args : "");
	snprintf(b->environment, sizeof(b->environment), "%s", env ? env : "");
	b->uri = k->uri;
	int r = pin_path(k, path);
	if (r && kms_options_get(&k->options, "pin-source"))
		return kms_verdict_set(v, KMS_AUTH, "credentials", "option pin-source, %.150s: %s",
				       kms_options_get(&k->options, "pin-source"), strerror(-r));
	return 0;
}

static int p11_open(const struct kms_config *cfg, struct kms **out, struct kms_verdict *v)
{
	AUTO(auto_free) struct p11_begin *b = calloc(1, sizeof(*b));
	struct kms *k = calloc(1, sizeof(*k));
	char why[KMS_TEXT_MAX];

	if (!k || !b) {
		free(k);
		return kms_verdict_set(v, KMS_TRANSIENT, "memory", "out of memory");
	}
	pthread_mutex_init(&k->lock, NULL);
	k->base.provider = &kms_pkcs11;
	snprintf(k->base.ref, sizeof(k->base.ref), "%s", cfg->ref);
	if (cfg->options)
		k->options = *cfg->options;
	int r = p11_uri_parse(cfg->ref, &k->uri, why);
	if (r)
		r = kms_verdict_set(v, KMS_MISCONFIGURED, "reference", "%s", why);
	if (!r)
		r = begin_fill(k, b, v);
	int e = r ? 0 : p11_link_new(b, &k->link);
	if (e)
		r = kms_verdict_set(v, KMS_TRANSIENT, "helper", "the helper for PKCS#11 cannot be started: %s",
				    strerror(-e));
	if (r) {
		p11_close(k);
		return r;
	}
	*out = k;
	return kms_verdict_ok(v);
}

/* Asking */

/* A question about the key: what goes out and what comes back. On the heap, for they are long. */
struct p11_errand {
	struct p11_question q;
	struct p11_reply r;
	struct p11_secret *secret;
	bool single; /* no poll, which comes again by itself: asked until the deadline while nobody answers */
};

static void errand_free(struct p11_errand **e)
{
	if (*e)
		secret_free((*e)->secret);
	free(*e);
}

static struct p11_errand *errand_new(enum p11_op op, const struct kms_purpose *p)
{
	struct p11_errand *e = calloc(1, sizeof(*e));
	size_t len = strlen(kms_use_name(p->use));

	if (!e || !(e->secret = secret_alloc(sizeof(*e->secret)))) {
		free(e);
		return NULL;
	}
	e->q.op = op;
	e->single = op == P11_WRAP || p->use == KMS_USE_FILE;
	memcpy(e->q.use.aad, p->store_id, ID_LEN);
	memcpy(e->q.use.aad + ID_LEN, kms_use_name(p->use), len);
	e->q.use.aad_len = (uint32_t)(ID_LEN + len);
	return e;
}

static int errand_run(struct kms *k, struct p11_errand *e, const uint8_t *payload, int64_t deadline,
		      struct kms_verdict *v)
{
	const struct p11_ask a = {.q = &e->q,
				  .secret = e->secret,
				  .deadline = deadline,
				  .pin = pin_get,
				  .refused = pin_refused,
				  .arg = k,
				  .key = k->base.ref};

	for (;;) {
		if (payload) {
			memcpy(e->secret->bytes, payload, PAYLOAD_LEN);
			e->secret->len = PAYLOAD_LEN;
		}
		int r = p11_link_ask(k->link, &a, &e->r, v);
		if (r == -ECANCELED)
			return r;
		r = r ? kms_class_errno(v->class) : p11_judge((enum p11_op)e->q.op, &e->r, k->base.ref, v);
		if (!e->single || v->class != KMS_TRANSIENT || clock_ms(CLOCK_BOOTTIME) + AGAIN_MS >= deadline)
			return r;
		clock_pause(AGAIN_MS);
	}
}

static int say_memory(struct kms_verdict *v)
{
	return kms_verdict_set(v, KMS_TRANSIENT, "memory", "no locked memory left");
}

/* LEN bytes as lower-case hex digits: a version. */
static void version_write(const uint8_t *id, size_t len, char out[KMS_VERSION_MAX + 1])
{
	for (size_t i = 0; i < len; i++)
		snprintf(out + 2 * i, 3, "%02x", id[i]);
	out[2 * len] = '\0';
}

/* The door has looked at it: an even number of hex digits. */
static uint32_t version_read(const char *version, uint8_t out[P11_ID_MAX])
{
	uint32_t n = 0;

	for (; version[2 * n] && n < P11_ID_MAX; n++) {
		const char digits[3] = {version[2 * n], version[2 * n + 1], 0};

		out[n] = (uint8_t)strtoul(digits, NULL, 16);
	}
	return n;
}

static int p11_wrap(struct kms *k, const struct kms_purpose *p, const uint8_t plain[PAYLOAD_LEN],
		    struct kms_wrapped *out, struct kms_verdict *v)
{
	AUTO(errand_free) struct p11_errand *e = errand_new(P11_WRAP, p);

	if (!e)
		return say_memory(v);
	int r = errand_run(k, e, plain, p->deadline, v);
	if (r)
		return r;
	out->algorithm = (uint16_t)e->r.algorithm;
	version_write(e->r.id, e->r.id_len, out->version);
	memcpy(out->data, e->r.data, e->r.len);
	out->len = e->r.len;
	return 0;
}

static int p11_unwrap(struct kms *k, const struct kms_purpose *p, const struct kms_wrapped *in,
		      uint8_t plain[PAYLOAD_LEN], struct kms_verdict *v)
{
	AUTO(errand_free) struct p11_errand *e = errand_new(P11_UNWRAP, p);

	if (!e)
		return say_memory(v);
	struct p11_use *u = &e->q.use;
	u->id_len = version_read(in->version, u->id);
	bool other_id = k->uri.id_len && (k->uri.id_len != u->id_len || memcmp(k->uri.id, u->id, u->id_len) != 0);
	if (in->len > sizeof(u->data) || other_id || in->algorithm == KMS_ALG_LOCAL_AES256GCM ||
	    in->algorithm == KMS_ALG_PROVIDER)
		return kms_verdict_set(v, KMS_CORRUPT, "corrupt", "key %.180s cannot have wrapped this", k->base.ref);
	u->algorithm = in->algorithm;
	u->len = (uint32_t)in->len;
	memcpy(u->data, in->data, in->len);
	int r = errand_run(k, e, NULL, p->deadline, v);
	if (!r && e->secret->len != PAYLOAD_LEN)
		return kms_verdict_set(v, KMS_TRANSIENT, "garbled", "an answer for key %.180s that makes no sense",
				       k->base.ref);
	if (!r)
		memcpy(plain, e->secret->bytes, PAYLOAD_LEN);
	return r;
}

static int p11_info(struct kms *k, const struct kms_purpose *p, const char *version, struct kms_key_info *out,
		    struct kms_verdict *v)
{
	AUTO(errand_free) struct p11_errand *e = errand_new(P11_INFO, p);

	if (!e)
		return say_memory(v);
	e->single = false;
	e->q.use.id_len = version_read(version, e->q.use.id);
	int r = errand_run(k, e, NULL, p->deadline, v);
	bool disabled = strcmp(v->code, "CKA_DECRYPT") == 0;
	if (r && !disabled)
		return r;
	version_write(e->r.id, e->r.id_len, out->version);
	snprintf(out->state, sizeof(out->state), "%s", disabled ? "disabled" : "enabled");
	out->not_before = p11_date(e->r.from, 0);
	out->not_after = p11_date(e->r.to, 1); /* the day of its end is its last */
	out->purge_protected = -1;
	return kms_verdict_ok(v);
}

static void p11_refresh(struct kms *k)
{
	p11_link_refresh(k->link);
}

static void p11_cancel(struct kms *k)
{
	p11_link_cancel(k->link);
}

const struct kms_provider kms_pkcs11 = {
	.scheme = "pkcs11",
	.description = "a key on a PKCS#11 token or HSM: pkcs11:token=LABEL;object=LABEL",
	.options = options,
	.version_kind = KMS_VERSION_HEX,
	.dates_ms = DATES_MS,
	.normalise = p11_normalise,
	.ref_option = p11_uri_option,
	.open = p11_open,
	.wrap = p11_wrap,
	.unwrap = p11_unwrap,
	.info = p11_info,
	.refresh = p11_refresh,
	.cancel = p11_cancel,
	.close = p11_close,
};
