/* SPDX-License-Identifier: BSD-2-Clause */
/* The keyring and its KEKs together: slot secrets wrapped and unwrapped through the providers. */
#include "kms/custody.h"

#include <errno.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/auto.h"
#include "crypto/secret.h"
#include "kms/verdict.h"

/* One KEK being asked. Lives on the heap: a kms_wrapped is 8 KiB. */
struct call {
	const struct keyring *keyring;
	const struct keyring_slot *slot;
	struct kms *kek;
	uint8_t *secret; /* KEY_LEN bytes, in the array of all secrets */
	struct kms_wrapped wrapped;
	struct kms_verdict verdict;
	pthread_t thread;
	bool threaded;
};

static void store_keys_free_at(struct store_keys **p)
{
	store_keys_free(*p);
}

static struct kms_purpose purpose_keyring(const struct keyring *k)
{
	struct kms_purpose p = {.use = KMS_USE_KEYRING};

	memcpy(p.store_id, k->store_id, ID_LEN);
	return p;
}

static int call_unwrap(struct call *c)
{
	AUTO(secret_free_at) uint8_t *payload = secret_alloc(PAYLOAD_LEN);

	if (!c->kek)
		return kms_verdict_set(&c->verdict, KMS_TRANSIENT, "not-open", "key %.200s could not be opened",
				       c->slot->ref);
	if (!payload)
		return kms_verdict_set(&c->verdict, KMS_TRANSIENT, "memory", "no locked memory left");
	struct kms_purpose purpose = purpose_keyring(c->keyring);
	purpose.deadline = kms_deadline(c->kek); /* one for all that this question takes */
	kms_wrapped_set(&c->wrapped, c->slot->algorithm, c->slot->version, c->slot->wrapped, c->slot->wrapped_len);
	int r = kms_unwrap(c->kek, &purpose, &c->wrapped, payload, &c->verdict);
	if (r)
		return r;
	if (slot_payload_parse(payload, PAYLOAD_LEN, c->keyring->store_id, c->secret))
		return kms_verdict_set(&c->verdict, KMS_CORRUPT, "payload",
				       "key %.160s unwraps something that is not this store's", kms_ref(c->kek));
	/* Azure and PKCS#11 unwrap with a key whose date has passed. */
	return kms_check_dates(c->kek, &purpose, c->slot->version, &c->verdict);
}

static void *call_main(void *arg)
{
	struct call *c = arg;

	if (call_unwrap(c))
		sodium_memzero(c->secret, KEY_LEN);
	return NULL;
}

/* All KEKs are asked at the same time, so that one which hangs does not delay the refusal of another. */
static void calls_run(struct call *calls, uint32_t n)
{
	for (uint32_t i = 1; i < n; i++)
		calls[i].threaded = pthread_create(&calls[i].thread, NULL, call_main, &calls[i]) == 0;
	call_main(&calls[0]);
	for (uint32_t i = 1; i < n; i++) {
		if (calls[i].threaded)
			pthread_join(calls[i].thread, NULL);
		else
			call_main(&calls[i]);
	}
}

/* What counts most when several KEKs answer differently: a definite no first, silence last. */
static int class_weight(enum kms_class class)
{
	static const int weight[] = {
		[KMS_OK] = 0,      [KMS_TRANSIENT] = 1, [KMS_AUTH] = 2, [KMS_MISCONFIGURED] = 3,
		[KMS_CORRUPT] = 4, [KMS_REVOKED] = 5,
	};
	return weight[class];
}

static const struct call *calls_worst(const struct call *calls, uint32_t n)
{
	const struct call *worst = &calls[0];

	for (uint32_t i = 1; i < n; i++)
		if (class_weight(calls[i].verdict.class) > class_weight(worst->verdict.class))
			worst = &calls[i];
	return worst;
}

static const struct call *calls_first_good(const struct call *calls, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (calls[i].verdict.class == KMS_OK)
			return &calls[i];
	return NULL;
}

/* POLICY_ANY: the replicas must agree; SECRETS gets the one secret in first place. */
static int calls_agree(const struct call *calls, uint32_t n, uint8_t *secrets, struct kms_verdict *v)
{
	const struct call *good = calls_first_good(calls, n);

	for (uint32_t i = 0; i < n; i++)
		if (calls[i].verdict.class == KMS_OK && sodium_memcmp(calls[i].secret, good->secret, KEY_LEN) != 0)
			return kms_verdict_set(v, KMS_CORRUPT, "replica",
					       "key %.160s unwraps another secret than the other keys",
					       calls[i].slot->ref);
	if (good->secret != secrets)
		memcpy(secrets, good->secret, KEY_LEN);
	return 0;
}

/* One verdict out of all answers: 0 if SECRETS may be used. */
static int calls_judge(const struct keyring *k, const struct call *calls, uint8_t *secrets, struct kms_verdict *v)
{
	const struct call *worst = calls_worst(calls, k->n_slots);
	bool fail_over = k->policy == POLICY_ANY && calls_first_good(calls, k->n_slots) &&
			 worst->verdict.class == KMS_TRANSIENT;

	if (worst->verdict.class != KMS_OK && !fail_over) {
		*v = worst->verdict;
		return kms_class_errno(v->class);
	}
	if (k->policy == POLICY_ANY)
		return calls_agree(calls, k->n_slots, secrets, v);
	return 0;
}

int custody_open(const struct keyring *k, struct kms **kek, struct store_keys **out, struct kms_verdict *v)
{
	AUTO(secret_free_at) uint8_t *secrets = NULL;
	AUTO(auto_free) struct call *calls = NULL;

	memset(v, 0, sizeof(*v));
	if (k->n_slots < 1 || k->n_slots > KEYRING_SLOTS_MAX)
		return kms_verdict_set(v, KMS_CORRUPT, "keyring", "the keyring has no KEK");
	secrets = secret_alloc(k->n_slots * KEY_LEN);
	calls = calloc(k->n_slots, sizeof(*calls));
	if (!secrets || !calls)
		return kms_verdict_set(v, KMS_TRANSIENT, "memory", "no locked memory left");
	for (uint32_t i = 0; i < k->n_slots; i++) {
		calls[i].keyring = k;
		calls[i].slot = &k->slot[i];
		calls[i].kek = kek[i];
		calls[i].secret = secrets + i * KEY_LEN;
	}
	calls_run(calls, k->n_slots);
	int r = calls_judge(k, calls, secrets, v);
	if (r)
		return r;
	*v = calls_first_good(calls, k->n_slots)->verdict;
	r = keyring_open(k, secrets, out);
	if (r == -EBADMSG)
		return kms_verdict_set(v, KMS_CORRUPT, "box", "the keyring does not open with what the KMS unwrapped");
	if (r)
		return kms_verdict_set(v, KMS_TRANSIENT, "memory", "the keyring could not be opened: %s", strerror(-r));
	return 0;
}

/* Wrap one slot's secret and keep the answer in the slot. WRAPPED is scratch. */
static int slot_wrap(struct keyring *k, uint32_t i, const uint8_t *secret, struct kms *kek, struct kms_verdict *v)
{
	AUTO(secret_free_at) uint8_t *payload = secret_alloc(PAYLOAD_LEN);
	AUTO(auto_free) struct kms_wrapped *w = calloc(1, sizeof(*w));
	struct keyring_slot *slot = &k->slot[i];

	if (!payload || !w)
		return kms_verdict_set(v, KMS_TRANSIENT, "memory", "no locked memory left");
	struct kms_purpose purpose = purpose_keyring(k);
	slot_payload_write(secret, k->store_id, payload);
	int r = kms_wrap(kek, &purpose, payload, w, v);
	if (r)
		return r;
	slot->algorithm = w->algorithm;
	snprintf(slot->version, sizeof(slot->version), "%s", w->version);
	memcpy(slot->wrapped, w->data, w->len);
	slot->wrapped_len = w->len;
	return 0;
}

static void keyring_number(struct keyring *k)
{
	if (k->sequence == 0)
		k->sequence = 1;
	for (uint32_t i = 0; i < k->n_slots; i++)
		if (k->next_number <= k->slot[i].number)
			k->next_number = k->slot[i].number + 1;
}

int custody_create(struct keyring *k, struct kms **kek, struct kms_verdict *v)
{
	AUTO(store_keys_free_at) struct store_keys *keys = NULL;
	AUTO(secret_free_at) uint8_t *secrets = NULL;

	memset(v, 0, sizeof(*v));
	if (k->n_slots < 1 || k->n_slots > KEYRING_SLOTS_MAX || (k->wrap_type == WRAP_FILE && k->n_slots != 1))
		return kms_verdict_set(v, KMS_MISCONFIGURED, "slots", "%s",
				       k->wrap_type == WRAP_FILE ? "wrap type file takes exactly one KEK"
								 : "1 to 16 KEKs");
	secrets = secret_alloc(k->n_slots * KEY_LEN);
	if (!secrets || keyring_new_keys(&keys))
		return kms_verdict_set(v, KMS_TRANSIENT, "memory", "no locked memory left");
	memcpy(k->store_id, store_keys_id(keys), ID_LEN);
	keyring_number(k);
	random_bytes(secrets, k->n_slots * KEY_LEN);
	for (uint32_t i = 0; i < k->n_slots; i++) {
		const uint8_t *secret = k->policy == POLICY_ANY ? secrets : secrets + i * KEY_LEN;

		int r = slot_wrap(k, i, secret, kek[i], v);
		if (r)
			return r;
	}
	int r = keyring_seal(k, secrets, keys);
	if (r)
		return kms_verdict_set(v, KMS_MISCONFIGURED, "seal", "the keyring could not be sealed: %s",
				       strerror(-r));
	return kms_verdict_ok(v);
}
