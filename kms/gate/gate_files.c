/* SPDX-License-Identifier: BSD-2-Clause */
/* Wrap type `file`: the worker loads the keys of open files after a lock, and probes each KMS key version in use. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "crypto/secret.h"
#include "kms/gate/gate_private.h"
#include "kms/verdict.h"

#define VERSIONS_MAX 64u /* probed in one round; more than a few is unheard of */

/* The next key from K on (list_lock is held) that is WANTED; it stays in the list until key_release(). */
static struct gate_key *key_hold(struct gate_key *k, bool (*wanted)(const struct gate_key *))
{
	while (k && (k->closed || !k->version || !wanted(k)))
		k = k->next;
	if (k)
		k->busy++;
	return k;
}

/* list_lock is held. */
static void key_release(struct gate_key *k)
{
	if (--k->busy == 0 && k->closed)
		gate_key_free(k);
}

static bool is_absent(const struct gate_key *k)
{
	return !atomic_load(&k->keys);
}

/* The slot whose version K carries: the one that unwrapped when the file was opened. */
static int key_slot(const struct gate_key *k, const struct header *h)
{
	int first = header_newest(h, -1);
	int other = first < 0 ? -1 : header_newest(h, first);

	if (first >= 0 && strcmp(h->wrap[first].version, k->version) == 0)
		return first;
	return other >= 0 && strcmp(h->wrap[other].version, k->version) == 0 ? other : first;
}

static int key_ask(struct gate_key *k, struct header *h, int *slot, uint8_t *payload, struct kms_verdict *v)
{
	int r = header_parse(k->header, k->gate->keyring->layout.header_len, h);

	*slot = r ? -1 : key_slot(k, h);
	if (*slot < 0)
		return kms_verdict_set(v, KMS_CORRUPT, "header", "a header in memory is malformed");
	return gate_key_ask(k, h, *slot, payload, v);
}

/* The key in PAYLOAD into K, unless it was closed meanwhile; list_lock is held, and the store's keys cannot go. */
static int key_install(struct gate_key *k, const struct header *h, int slot, const uint8_t *payload)
{
	if (k->closed)
		return 0;
	struct file_keys *keys;
	int r = gate_key_accept(k, h, slot, payload, &keys);
	if (!r)
		gate_key_install(k, keys);
	return r;
}

/* list_lock is held, state RETURNING: nobody is inside and only this thread adds keys. */
static int load_install(struct gate_key *k, const struct header *h, int slot, const uint8_t *payload)
{
	if (atomic_load(&k->gate->state) != GATE_RETURNING || !k->gate->store)
		return -ECANCELED;
	return key_install(k, h, slot, payload);
}

void gate_keys_load(struct gate *g)
{
	AUTO(secret_free_at) uint8_t *payload = secret_alloc(PAYLOAD_LEN);

	if (!payload)
		return;
	pthread_mutex_lock(&g->list_lock);
	for (struct gate_key *k = key_hold(g->keys, is_absent), *next; k; k = next) {
		pthread_mutex_unlock(&g->list_lock);
		struct kms_verdict v;
		struct header h;
		int slot;
		int r = key_ask(k, &h, &slot, payload, &v);
		pthread_mutex_lock(&g->list_lock);
		if (!r)
			r = load_install(k, &h, slot, payload);
		secret_wipe(payload, PAYLOAD_LEN);
		atomic_store(&k->refused, r != 0);
		next = r == -ECANCELED ? NULL : key_hold(k->next, is_absent);
		key_release(k);
	}
	pthread_mutex_unlock(&g->list_lock);
}

/* One key of each version, held. Returns how many. */
static size_t versions_hold(struct gate *g, struct gate_key **sample)
{
	size_t n = 0;

	pthread_mutex_lock(&g->list_lock);
	for (struct gate_key *k = g->keys; k && n < VERSIONS_MAX; k = k->next) {
		if (k->closed || !k->version)
			continue;
		size_t i = 0;
		while (i < n && strcmp(sample[i]->version, k->version) != 0)
			i++;
		if (i < n)
			continue;
		k->busy++;
		sample[n++] = k;
	}
	pthread_mutex_unlock(&g->list_lock);
	return n;
}

/* Drop the keys of SAMPLE's version: at once, but those that accepted pages still need (see gate_key_borrow()). */
static void version_refused(struct gate *g, const struct gate_key *sample, const struct kms_verdict *v)
{
	size_t n = 0;

	pthread_mutex_lock(&g->list_lock);
	for (struct gate_key *k = g->keys; k; k = k->next)
		if (k->version && strcmp(k->version, sample->version) == 0)
			n += !atomic_exchange(&k->refused, true);
	pthread_mutex_unlock(&g->list_lock);
	if (!n)
		return;
	gate_keys_drop_refused(g);
	gate_say(g, LOG_WARNING, "key version %.64s is refused, %zu open files with it: %s", sample->version, n,
		 v->text);
	/* The gate's thread calls the hook: this one is wanted for the next question. */
	atomic_store(&g->files_refused, true);
	gate_wake(g);
}

static int load_inside(struct gate_key *k, const struct header *h, int slot, const uint8_t *payload)
{
	const struct store_keys *store;
	int r = gate_enter(k->gate, GATE_USE_NEW, &store);

	if (r)
		return r;
	pthread_mutex_lock(&k->gate->list_lock);
	r = key_install(k, h, slot, payload);
	if (!r)
		atomic_store(&k->refused, false);
	pthread_mutex_unlock(&k->gate->list_lock);
	gate_leave(k->gate);
	return r;
}

static bool is_refused(const struct gate_key *k)
{
	return atomic_load(&k->refused);
}

/* SAMPLE's version works: load those files that were refused with it before. */
static void version_good(struct gate *g, const struct gate_key *sample, uint8_t *payload)
{
	pthread_mutex_lock(&g->list_lock);
	for (struct gate_key *k = key_hold(g->keys, is_refused), *next; k; k = next) {
		const bool same = strcmp(k->version, sample->version) == 0;

		pthread_mutex_unlock(&g->list_lock);
		struct kms_verdict v;
		struct header h;
		int slot;
		if (same && key_ask(k, &h, &slot, payload, &v) == 0 && load_inside(k, &h, slot, payload) == 0)
			gate_say(g, LOG_NOTICE, "a file's key is back (version %.64s)", sample->version);
		secret_wipe(payload, PAYLOAD_LEN);
		pthread_mutex_lock(&g->list_lock);
		next = key_hold(k->next, is_refused);
		key_release(k);
	}
	pthread_mutex_unlock(&g->list_lock);
}

void gate_keys_probe(struct gate *g)
{
	AUTO(secret_free_at) uint8_t *payload = secret_alloc(PAYLOAD_LEN);

	if (!payload || atomic_load(&g->state) != GATE_ACTIVE)
		return;
	struct gate_key *sample[VERSIONS_MAX];
	size_t n = versions_hold(g, sample);
	for (size_t i = 0; i < n; i++) {
		struct kms_verdict v;
		struct header h;
		int slot;
		int r = key_ask(sample[i], &h, &slot, payload, &v);
		secret_wipe(payload, PAYLOAD_LEN);
		/* A definite no counts when it is repeated, as for the keyring. */
		if (r == -EKEYREVOKED || r == -EBADMSG) {
			r = key_ask(sample[i], &h, &slot, payload, &v);
			secret_wipe(payload, PAYLOAD_LEN);
		}
		if (r == -EKEYREVOKED || r == -EBADMSG)
			version_refused(g, sample[i], &v);
		else if (r == 0)
			version_good(g, sample[i], payload);
		pthread_mutex_lock(&g->list_lock);
		key_release(sample[i]);
		pthread_mutex_unlock(&g->list_lock);
	}
}
