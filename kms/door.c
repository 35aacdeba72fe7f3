/* SPDX-License-Identifier: BSD-2-Clause */
/* The one door to a provider's calls: what goes in and what comes out is checked here. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "crypto/block.h"
#include "crypto/header.h"
#include "crypto/keyring.h"
#include "crypto/secret.h"
#include "kms/clock.h"
#include "kms/provider.h"
#include "kms/verdict.h"

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

static bool is_number(const char *s)
{
	uint64_t n = 0;

	if (*s < '1' || *s > '9')
		return false;
	for (; *s >= '0' && *s <= '9' && n <= UINT32_MAX; s++)
		n = n * 10 + (uint64_t)(*s - '0');
	return *s == '\0' && n <= UINT32_MAX;
}

/* S is as long as FORM, a hex digit wherever that has an 'x', and its own byte elsewhere. */
static bool has_form(const char *s, const char *form)
{
	for (; *form; s++, form++)
		if (*form == 'x' ? !strchr("0123456789abcdef", *s) || !*s : *s != *form)
			return false;
	return *s == '\0';
}

bool kms_version_good(enum kms_version_kind kind, const char *version)
{
	static const char hex32[] = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
	size_t len = strnlen(version, KMS_VERSION_MAX + 1);

	if (len > KMS_VERSION_MAX)
		return false;
	switch (kind) {
	case KMS_VERSION_NUMBER:
		return is_number(version);
	case KMS_VERSION_UUID:
		return has_form(version, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx") ||
		       (strncmp(version, "mrk-", 4) == 0 && has_form(version + 4, hex32));
	case KMS_VERSION_HEX32:
		return has_form(version, hex32);
	case KMS_VERSION_HEX:
		return len >= 2 && len <= 128 && len % 2 == 0 && strspn(version, "0123456789abcdef") == len;
	case KMS_VERSION_NONE:
		return len == 0;
	}
	return false;
}

/* Could a provider have made this? */
static bool wrapped_good(const struct kms *k, const struct kms_wrapped *w, enum kms_use use)
{
	return w->algorithm >= KMS_ALG_LOCAL_AES256GCM && w->algorithm <= KMS_ALG_RSA_OAEP_SHA1 &&
	       kms_version_good(kms_provider_of(k)->version_kind, w->version) && w->len >= PAYLOAD_LEN &&
	       w->len <= uses[use].wrapped_max;
}

static int say_garbled(const struct kms *k, struct kms_verdict *v)
{
	return kms_verdict_set(v, KMS_TRANSIENT, "garbled", "the answer for %.180s makes no sense", kms_ref(k));
}

/* One call through the door. */
struct doorway {
	struct kms_base *base;
	struct kms_purpose purpose; /* with a deadline */
	int64_t begun;
};

/* Every wrap and unwrap is between these two. */
static void call_begin(struct doorway *d, struct kms *k, const struct kms_purpose *p, struct kms_verdict *v)
{
	*d = (struct doorway){.base = (struct kms_base *)k, .purpose = *p, .begun = clock_ms(CLOCK_MONOTONIC)};
	if (!d->purpose.deadline)
		d->purpose.deadline = kms_deadline(k);
	atomic_fetch_add(&d->base->calls, 1);
	memset(v, 0, sizeof(*v));
}

/* R is the provider's; what it means is returned. */
static int call_end(const struct doorway *d, int r, struct kms_verdict *v)
{
	v->took_ms = (unsigned)(clock_ms(CLOCK_MONOTONIC) - d->begun);
	return kms_verdict_settle(v, r, d->base->ref);
}

static void call_leave(const struct doorway *d)
{
	atomic_fetch_sub(&d->base->calls, 1);
}

unsigned kms_calls(const struct kms *k)
{
	return atomic_load(&((const struct kms_base *)k)->calls);
}

int kms_wrap(struct kms *k, const struct kms_purpose *p, const uint8_t plain[PAYLOAD_LEN], struct kms_wrapped *out,
	     struct kms_verdict *v)
{
	struct doorway d;

	memset(v, 0, sizeof(*v));
	if (!use_valid(p->use))
		return kms_verdict_set(v, KMS_MISCONFIGURED, "purpose", "a wrap for no known purpose");
	memset(out, 0, sizeof(*out));
	call_begin(&d, k, p, v);
	int r = call_end(&d, kms_provider_of(k)->wrap(k, &d.purpose, plain, out, v), v);
	call_leave(&d);
	if (!r && !wrapped_good(k, out, p->use))
		r = say_garbled(k, v);
	if (r)
		memset(out, 0, sizeof(*out));
	return r;
}

int kms_unwrap(struct kms *k, const struct kms_purpose *p, const struct kms_wrapped *in, uint8_t plain[PAYLOAD_LEN],
	       struct kms_verdict *v)
{
	struct doorway d;

	memset(v, 0, sizeof(*v));
	memset(plain, 0, PAYLOAD_LEN);
	if (!use_valid(p->use) || !wrapped_good(k, in, p->use))
		return kms_verdict_set(v, KMS_CORRUPT, "corrupt", "key %.180s cannot have wrapped this", kms_ref(k));
	call_begin(&d, k, p, v);
	int r = call_end(&d, kms_provider_of(k)->unwrap(k, &d.purpose, in, plain, v), v);
	if (!r && block_is_zero(plain, PAYLOAD_LEN))
		r = say_garbled(k, v); /* it said yes and gave nothing */
	if (r)
		secret_wipe(plain, PAYLOAD_LEN);
	call_leave(&d);
	return r;
}

/* Ask for the dates if it is time; dates_lock is held. A description that says nothing leaves those heard last. */
static void dates_ask(struct kms *k, const struct kms_purpose *p, const char *version)
{
	struct kms_base *b = (struct kms_base *)k;
	const int64_t now = clock_ms(CLOCK_BOOTTIME);
	struct kms_key_info info = {.purge_protected = -1};
	struct kms_purpose purpose = *p;
	struct kms_verdict v = {0};

	if (b->dates_at && now >= b->dates_at && now - b->dates_at < b->provider->dates_ms)
		return;
	b->dates_at = now;
	if (!purpose.deadline)
		purpose.deadline = kms_deadline(k);
	if (kms_verdict_settle(&v, b->provider->info(k, &purpose, version, &info, &v), b->ref))
		return;
	b->not_before = info.not_before;
	b->not_after = info.not_after;
}

int kms_check_dates(struct kms *k, const struct kms_purpose *p, const char *version, struct kms_verdict *v)
{
	struct kms_base *b = (struct kms_base *)k;
	const int64_t now = time(NULL);

	if (!b->provider->info || !b->provider->dates_ms)
		return 0;
	pthread_mutex_lock(&b->dates_lock);
	dates_ask(k, p, version);
	int64_t from = b->not_before, to = b->not_after;
	pthread_mutex_unlock(&b->dates_lock);
	if (to && now >= to)
		return kms_verdict_set(v, KMS_REVOKED, "expired", "key %.200s has expired", b->ref);
	if (from && now < from)
		return kms_verdict_set(v, KMS_REVOKED, "not-yet-valid", "key %.200s is not valid yet", b->ref);
	return 0;
}
