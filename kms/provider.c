/* SPDX-License-Identifier: BSD-2-Clause */
/* Providers: lookup by scheme, and calls through a handle. */
#include "kms/provider_private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "kms/clock.h"
#include "kms/near.h"
#include "kms/path.h"
#include "kms/verdict.h"

#define PROVIDERS_MAX 16u
#define TIMEOUT_MS_DEFAULT 10000u

const struct kms_provider *kms_provider_at(size_t i)
{
	for (size_t n = 0; kms_providers[n]; n++)
		if (n == i)
			return kms_providers[n];
	return NULL;
}

static const char *provider_near(const char *word, size_t len)
{
	const char *list[PROVIDERS_MAX + 1] = {0};
	const struct kms_provider *p;

	for (size_t i = 0; i < PROVIDERS_MAX && (p = kms_provider_at(i)); i++)
		list[i] = p->scheme;
	return near_word(word, len, list);
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
	for (size_t i = 0; (p = kms_provider_at(i)); i++)
		if (p->claims && p->claims(ref))
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
		if (k)
			p->close(k);
		return r;
	}
	struct kms_base *b = (struct kms_base *)k;
	b->timeout_ms = cfg->timeout_ms ? cfg->timeout_ms : TIMEOUT_MS_DEFAULT;
	pthread_mutex_init(&b->dates_lock, NULL);
	*out = k;
	return 0;
}

void kms_close(struct kms *k)
{
	if (!k)
		return;
	pthread_mutex_destroy(&((struct kms_base *)k)->dates_lock);
	kms_provider_of(k)->close(k);
}

int64_t kms_deadline(const struct kms *k)
{
	return clock_ms(CLOCK_BOOTTIME) + ((const struct kms_base *)k)->timeout_ms;
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
	struct kms_base *b = (struct kms_base *)k;

	pthread_mutex_lock(&b->dates_lock);
	b->dates_at = 0; /* the dates may be what is in doubt */
	pthread_mutex_unlock(&b->dates_lock);
	if (kms_provider_of(k)->refresh)
		kms_provider_of(k)->refresh(k);
}

void kms_cancel(struct kms *k)
{
	if (kms_provider_of(k)->cancel)
		kms_provider_of(k)->cancel(k);
}
