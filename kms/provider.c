/* SPDX-License-Identifier: BSD-2-Clause */
/* Providers: lookup by scheme, and calls through a handle. */
#include "kms/provider_private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "crypto/block.h"
#include "crypto/header.h"
#include "crypto/keyring.h"
#include "crypto/secret.h"
#include "kms/path.h"
#include "kms/verdict.h"

const struct kms_provider *kms_provider_at(size_t i)
{
	for (size_t n = 0; kms_providers[n]; n++)
		if (n == i)
			return kms_providers[n];
	return NULL;
}

/* Edit distance; only small words are compared, so a row of fixed size will do. */
static unsigned word_distance(const char *a, size_t a_len, const char *b)
{
	unsigned row[33];
	size_t b_len = strlen(b);

	if (a_len > 32 || b_len > 32)
		return 99;
	for (size_t j = 0; j <= b_len; j++)
		row[j] = (unsigned)j;
	for (size_t i = 0; i < a_len; i++) {
		unsigned diagonal = row[0];

		row[0] = (unsigned)i + 1;
		for (size_t j = 0; j < b_len; j++) {
			unsigned best = diagonal + (a[i] != b[j]);

			diagonal = row[j + 1];
			best = row[j] + 1 < best ? row[j] + 1 : best;
			row[j + 1] = diagonal + 1 < best ? diagonal + 1 : best;
		}
	}
	return row[b_len];
}

static const char *provider_near(const char *word, size_t len)
{
	const char *best = NULL;
	unsigned least = 3; /* more than two edits away is another word */
	const struct kms_provider *p;

	for (size_t i = 0; (p = kms_provider_at(i)); i++) {
		unsigned d = word_distance(word, len, p->scheme);

		if (d < least && d < strlen(p->scheme)) {
			least = d;
			best = p->scheme;
		}
	}
	return best;
}

static void provider_list(char *out, size_t len)
{
	const struct kms_provider *p;
	size_t at = 0;

	for (size_t i = 0; (p = kms_provider_at(i)) && at < len; i++)
		at += (size_t)snprintf(out + at, len - at, "%s%s:", i ? ", " : "", p->scheme);
}

static void provider_explain(const char *ref, char why[KMS_TEXT_MAX])
{
	const char *colon = strchr(ref, ':');
	size_t len = colon ? (size_t)(colon - ref) : 0;
	char schemes[128] = "";
	const char *near;

	provider_list(schemes, sizeof(schemes));
	if (!*ref) {
		snprintf(why, KMS_TEXT_MAX, "empty key reference: expected one that begins with %s", schemes);
		return;
	}
	if (!colon || memchr(ref, '/', len)) {
		snprintf(why, KMS_TEXT_MAX, "key reference '%.80s' names no KMS: did you mean local:%.80s?", ref, ref);
		return;
	}
	near = provider_near(ref, len);
	if (near)
		snprintf(why, KMS_TEXT_MAX, "unknown scheme '%.*s': did you mean %s?", (int)(len < 40 ? len : 40), ref,
			 near);
	else
		snprintf(why, KMS_TEXT_MAX, "unknown scheme '%.*s': this build knows %s", (int)(len < 40 ? len : 40),
			 ref, schemes);
}

const struct kms_provider *kms_provider_find(const char *ref, char why[KMS_TEXT_MAX])
{
	const struct kms_provider *p;
	size_t len = strcspn(ref, ":");

	for (size_t i = 0; ref[len] && (p = kms_provider_at(i)); i++)
		if (strlen(p->scheme) == len && memcmp(p->scheme, ref, len) == 0)
			return p;
	if (why)
		provider_explain(ref, why);
	return NULL;
}

int kms_ref_normalise(const char *ref, char out[KMS_REF_MAX + 1], char why[KMS_TEXT_MAX])
{
	const struct kms_provider *p;

	if (strlen(ref) > KMS_REF_MAX) {
		snprintf(why, KMS_TEXT_MAX, "key reference is longer than %u bytes", KMS_REF_MAX);
		return -EINVAL;
	}
	for (const char *c = ref; *c; c++) {
		/* References are shown in messages and logs, one to a line. */
		if ((unsigned char)*c < ' ' || *c == 0x7f) {
			snprintf(why, KMS_TEXT_MAX, "key reference contains a control character");
			return -EINVAL;
		}
	}
	p = kms_provider_find(ref, why);
	return p ? p->normalise(ref, out, why) : -EINVAL;
}

int kms_ref_inside(const char *ref, const char *dir)
{
	const struct kms_provider *p = kms_provider_find(ref, NULL);
	char keys[KMS_REF_MAX + 1];
	int r;

	if (!p)
		return -EINVAL;
	if (!p->directory)
		return 0;
	r = p->directory(ref, keys);
	return r ? r : kms_path_inside(keys, dir);
}

int kms_open(const struct kms_config *cfg, struct kms **out, struct kms_verdict *v)
{
	char why[KMS_TEXT_MAX];
	const struct kms_provider *p = kms_provider_find(cfg->ref, why);

	memset(v, 0, sizeof(*v));
	if (!p)
		return kms_verdict_set(v, KMS_MISCONFIGURED, "reference", "%s", why);
	struct kms *k = NULL;
	int r = kms_verdict_settle(v, p->open(cfg, &k, v), cfg->ref);
	if (r) {
		kms_close(k);
		return r;
	}
	*out = k;
	return 0;
}

void kms_close(struct kms *k)
{
	if (k)
		kms_provider_of(k)->close(k);
}

/* The first member of every provider's struct kms is the base. */
const char *kms_ref(const struct kms *k)
{
	return ((const struct kms_base *)k)->ref;
}

const struct kms_provider *kms_provider_of(const struct kms *k)
{
	return ((const struct kms_base *)k)->provider;
}

void kms_refresh(struct kms *k)
{
	if (kms_provider_of(k)->refresh)
		kms_provider_of(k)->refresh(k);
}

void kms_cancel(struct kms *k)
{
	if (kms_provider_of(k)->cancel)
		kms_provider_of(k)->cancel(k);
}

static const struct {
	const char *name;
	size_t wrapped_max;
} uses[] = {
	[KMS_USE_KEYRING] = {"keyring", KEYRING_WRAPPED_MAX},
	[KMS_USE_FILE] = {"file", HEADER_WRAPPED_MAX},
};

static bool use_valid(enum kms_use use)
{
	return use >= KMS_USE_KEYRING && use <= KMS_USE_FILE;
}

const char *kms_use_name(enum kms_use use)
{
	return use_valid(use) ? uses[use].name : "";
}

void kms_wrapped_set(struct kms_wrapped *w, uint16_t algorithm, const char *version, const uint8_t *data, size_t len)
{
	memset(w, 0, sizeof(*w));
	if (strlen(version) > KMS_VERSION_MAX || len > sizeof(w->data))
		return;
	w->algorithm = algorithm;
	memcpy(w->version, version, strlen(version));
	memcpy(w->data, data, len);
	w->len = len;
}

/* Versions stand in messages and logs, one to a line. */
static bool version_good(const char version[KMS_VERSION_MAX + 1])
{
	size_t len = strnlen(version, KMS_VERSION_MAX + 1);

	if (len == 0 || len > KMS_VERSION_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)version[i] < ' ' || version[i] == 0x7f)
			return false;
	return true;
}

/* Could a provider have made this? */
static bool wrapped_good(const struct kms_wrapped *w, enum kms_use use)
{
	return w->algorithm >= KMS_ALG_LOCAL_AES256GCM && w->algorithm <= KMS_ALG_PROVIDER &&
	       version_good(w->version) && w->len >= PAYLOAD_LEN && w->len <= uses[use].wrapped_max;
}

static int say_garbled(const struct kms *k, struct kms_verdict *v)
{
	return kms_verdict_set(v, KMS_TRANSIENT, "garbled", "the answer for %.180s makes no sense", kms_ref(k));
}

/* Every wrap and unwrap is between these two. */
static void call_begin(struct kms *k, struct kms_verdict *v)
{
	atomic_fetch_add(&((struct kms_base *)k)->calls, 1);
	memset(v, 0, sizeof(*v));
}

static void call_end(struct kms *k)
{
	atomic_fetch_sub(&((struct kms_base *)k)->calls, 1);
}

unsigned kms_calls(const struct kms *k)
{
	return atomic_load(&((const struct kms_base *)k)->calls);
}

int kms_wrap(struct kms *k, const struct kms_purpose *p, const uint8_t plain[PAYLOAD_LEN], struct kms_wrapped *out,
	     struct kms_verdict *v)
{
	if (!use_valid(p->use))
		return kms_verdict_set(v, KMS_MISCONFIGURED, "purpose", "a wrap for no known purpose");
	memset(out, 0, sizeof(*out));
	call_begin(k, v);
	int r = kms_verdict_settle(v, kms_provider_of(k)->wrap(k, p, plain, out, v), kms_ref(k));
	call_end(k);
	if (!r && !wrapped_good(out, p->use))
		r = say_garbled(k, v);
	if (r)
		memset(out, 0, sizeof(*out));
	return r;
}

int kms_unwrap(struct kms *k, const struct kms_purpose *p, const struct kms_wrapped *in, uint8_t plain[PAYLOAD_LEN],
	       struct kms_verdict *v)
{
	memset(plain, 0, PAYLOAD_LEN);
	if (!use_valid(p->use) || !wrapped_good(in, p->use))
		return kms_verdict_set(v, KMS_CORRUPT, "corrupt", "key %.180s cannot have wrapped this", kms_ref(k));
	call_begin(k, v);
	int r = kms_verdict_settle(v, kms_provider_of(k)->unwrap(k, p, in, plain, v), kms_ref(k));
	if (!r && block_is_zero(plain, PAYLOAD_LEN))
		r = say_garbled(k, v); /* it said yes and gave nothing */
	if (r)
		secret_wipe(plain, PAYLOAD_LEN);
	call_end(k);
	return r;
}
