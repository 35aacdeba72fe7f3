/* SPDX-License-Identifier: BSD-2-Clause */
/* Providers: lookup by scheme, and calls through a handle. */
#include "kms/provider_private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "kms/path.h"
#include "kms/verdict.h"

static const struct kms_provider *registered[4];

int kms_provider_register(const struct kms_provider *p)
{
	for (size_t i = 0; i < ARRAY_LEN(registered); i++) {
		if (registered[i] && registered[i] != p)
			continue;
		registered[i] = p;
		return 0;
	}
	return -ENOSPC;
}

const struct kms_provider *kms_provider_at(size_t i)
{
	size_t n = 0;

	for (; kms_providers[n]; n++)
		if (n == i)
			return kms_providers[n];
	i -= n;
	return i < ARRAY_LEN(registered) ? registered[i] : NULL;
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
	const struct kms_provider *p;
	char why[KMS_TEXT_MAX];
	struct kms *k = NULL;
	int r;

	memset(v, 0, sizeof(*v));
	p = kms_provider_find(cfg->ref, why);
	if (!p)
		return kms_verdict_set(v, KMS_MISCONFIGURED, "reference", "%s", why);
	r = kms_verdict_settle(v, p->open(cfg, &k, v), cfg->ref);
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
