/* SPDX-License-Identifier: BSD-2-Clause */
/* The keys of open files: made, unwrapped, lent, wiped. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"
#include "kms/gate/gate_private.h"
#include "kms/verdict.h"

struct gate_key *gate_key_new(struct gate *g, const uint8_t *header)
{
	size_t len = g->keyring->layout.header_len;
	struct gate_key *k = calloc(1, sizeof(*k) + len);

	if (!k)
		return NULL;
	k->gate = g;
	if (header)
		memcpy(k->header, header, len);
	/* In the list from the first moment: whatever is put into it later, a lock finds and wipes. */
	pthread_mutex_lock(&g->list_lock);
	k->next = g->keys;
	if (k->next)
		k->next->prev = k;
	g->keys = k;
	pthread_mutex_unlock(&g->list_lock);
	return k;
}

struct file_keys *gate_key_install(struct gate_key *k, struct file_keys *keys)
{
	struct file_keys *none = NULL;

	if (atomic_compare_exchange_strong(&k->keys, &none, keys)) {
		if (atomic_fetch_add(&k->gate->in_memory, 1) == k->gate->cap)
			gate_wake(k->gate);
		return keys;
	}
	file_keys_free(keys); /* another borrower was first */
	return none;
}

void gate_key_wipe(struct gate_key *k)
{
	struct file_keys *keys = atomic_exchange(&k->keys, NULL);

	if (!keys)
		return;
	file_keys_free(keys);
	atomic_fetch_sub(&k->gate->in_memory, 1);
}

void gate_keys_wipe(struct gate *g)
{
	for (struct gate_key *k = g->keys; k; k = k->next)
		gate_key_wipe(k);
}

/* list_lock is held. */
void gate_key_free(struct gate_key *k)
{
	if (k->gate->hand == k)
		k->gate->hand = k->next;
	if (k->prev)
		k->prev->next = k->next;
	else
		k->gate->keys = k->next;
	if (k->next)
		k->next->prev = k->prev;
	gate_key_wipe(k);
	free(k->version);
	free(k);
}

void gate_key_close(struct gate_key *k)
{
	if (!k)
		return;
	struct gate *g = k->gate;
	if (!g) { /* the gate was closed first */
		free(k->version);
		free(k);
		return;
	}
	pthread_mutex_lock(&g->list_lock);
	k->closed = true;
	/* The worker may wait long for the KMS with K in hand: the memory is left to it, the key is not. */
	gate_key_wipe(k);
	if (!k->busy)
		gate_key_free(k);
	pthread_mutex_unlock(&g->list_lock);
}

static int key_parse(const struct gate_key *k, struct header *h)
{
	return header_parse(k->header, k->gate->keyring->layout.header_len, h);
}

static int key_check(const struct gate_key *k, int i, const struct store_keys *store, struct file_keys *keys)
{
	return header_check(k->header, k->gate->keyring->layout.header_len, i, store, keys);
}

static int store_unwrap_slot(const struct gate_key *k, const struct header *h, int i, const struct store_keys *store,
			     struct file_keys **out)
{
	const struct header_wrap *w = &h->wrap[i];

	if (w->wrapped_len != DEK_WRAP_LEN || w->algorithm != STORE_WRAP_AES256GCM)
		return -EUCLEAN;
	struct file_keys *keys = NULL;
	int r = dek_unwrap(store, w->number, h->file_id, w->wrapped, &keys);
	if (!r)
		r = key_check(k, i, store, keys);
	if (r) {
		file_keys_free(keys);
		return r;
	}
	*out = keys;
	return 0;
}

/* Wrap type `store`: the newest slot, else the other one (a re-wrap may have been cut off). Inside the gate. */
static int store_unwrap(const struct gate_key *k, const struct store_keys *store, struct file_keys **out)
{
	struct header h;
	int r = key_parse(k, &h);

	if (r)
		return r;
	int first = header_newest(&h, -1);
	if (first < 0)
		return -EUCLEAN;
	r = store_unwrap_slot(k, &h, first, store, out);
	if (r == 0 || r == -ENOMEM)
		return r;
	int other = header_newest(&h, first);
	return other >= 0 && store_unwrap_slot(k, &h, other, store, out) == 0 ? 0 : r;
}

int gate_key_ask(struct gate_key *k, const struct header *h, int i, uint8_t *payload, struct kms_verdict *v)
{
	struct kms_wrapped *w = malloc(sizeof(*w));

	if (!w)
		return kms_verdict_set(v, KMS_TRANSIENT, "memory", "out of memory");
	struct gate *g = k->gate;
	struct kms_purpose purpose = {.use = KMS_USE_FILE};
	memcpy(purpose.store_id, g->keyring->store_id, ID_LEN);
	const struct header_wrap *wrap = &h->wrap[i];
	kms_wrapped_set(w, wrap->algorithm, wrap->version, wrap->wrapped, wrap->wrapped_len);
	int r = kms_unwrap(g->kek[0], &purpose, w, payload, v);
	free(w);
	return r;
}

int gate_key_accept(struct gate_key *k, const struct header *h, int i, const uint8_t *payload, struct file_keys **out)
{
	const struct store_keys *store = k->gate->store;
	struct file_keys *keys = NULL;
	int r = dek_payload_parse(store, h->file_id, payload, PAYLOAD_LEN, &keys);

	if (!r)
		r = key_check(k, i, store, keys);
	if (r) {
		file_keys_free(keys);
		return r;
	}
	*out = keys;
	return 0;
}

int gate_file_error(struct gate *g, int error, const struct kms_verdict *v)
{
	if (v->class == KMS_REVOKED || v->class == KMS_AUTH || v->class == KMS_MISCONFIGURED) {
		gate_poke(g);
		return -EACCES;
	}
	/* Cancelled by a lock: the lock is what there is to tell. */
	return gate_serving(g) ? error : -EACCES;
}

static int file_unwrap_slot(struct gate_key *k, const struct header *h, int i)
{
	AUTO(secret_free_at) uint8_t *payload = secret_alloc(PAYLOAD_LEN);

	if (!gate_serving(k->gate))
		return -EACCES;
	if (!payload)
		return -ENOMEM;
	if (h->wrap[i].number != k->gate->keyring->slot[0].number)
		return -ENOKEY;
	struct kms_verdict v;
	int r = gate_key_ask(k, h, i, payload, &v);
	if (r)
		return gate_file_error(k->gate, r, &v);
	const struct store_keys *store;
	r = gate_enter(k->gate, GATE_USE_NEW, &store);
	if (r)
		return r;
	struct file_keys *keys;
	r = gate_key_accept(k, h, i, payload, &keys);
	if (!r)
		gate_key_install(k, keys);
	gate_leave(k->gate);
	return r;
}

int gate_key_note_version(struct gate_key *k, const char *version)
{
	char *copy = strdup(version);

	if (!copy)
		return -ENOMEM;
	pthread_mutex_lock(&k->gate->list_lock);
	k->version = copy;
	pthread_mutex_unlock(&k->gate->list_lock);
	return 0;
}

static int per_file_open(struct gate_key *k)
{
	struct header h;
	int r = key_parse(k, &h);

	if (r)
		return r;
	int first = header_newest(&h, -1);
	if (first < 0)
		return -EUCLEAN;
	r = file_unwrap_slot(k, &h, first);
	int other = header_newest(&h, first);
	if ((r == -EBADMSG || r == -ENOKEY) && other >= 0 && file_unwrap_slot(k, &h, other) == 0) {
		first = other;
		r = 0;
	}
	return r ? r : gate_key_note_version(k, h.wrap[first].version);
}

static int store_open_key(struct gate_key *k)
{
	const struct store_keys *store;
	int r = gate_enter(k->gate, GATE_USE_NEW, &store);

	if (r)
		return r;
	struct file_keys *keys;
	r = store_unwrap(k, store, &keys);
	if (!r) {
		gate_key_install(k, keys);
		atomic_store(&k->droppable, true);
	}
	gate_leave(k->gate);
	return r;
}

int gate_key_open(struct gate *g, const uint8_t *header, struct gate_key **out)
{
	struct gate_key *k = gate_key_new(g, header);

	if (!k)
		return -ENOMEM;
	int r = g->keyring->wrap_type == WRAP_FILE ? per_file_open(k) : store_open_key(k);
	if (r) {
		gate_key_close(k);
		return r;
	}
	*out = k;
	return 0;
}

void gate_keys_drop_refused(struct gate *g)
{
	gate_quiesce(g); /* whoever borrowed one before has left */
	pthread_mutex_lock(&g->list_lock);
	for (struct gate_key *k = g->keys; k; k = k->next)
		if (atomic_load(&k->refused) && !atomic_load(&k->writable))
			gate_key_wipe(k);
	pthread_mutex_unlock(&g->list_lock);
}

void gate_key_writable(struct gate_key *k, bool writable)
{
	atomic_store(&k->writable, writable);
	/* Refused, and kept only so that accepted pages could still be sealed. */
	if (!writable && k->gate && atomic_load(&k->refused))
		gate_keys_drop_refused(k->gate);
}

int gate_key_borrow(struct gate_key *k, const struct store_keys *store, const struct file_keys **keys)
{
	struct file_keys *got = atomic_load(&k->keys);

	if (atomic_load(&k->refused) && !(atomic_load(&k->writable) && gate_use_now() == GATE_USE_DRAIN))
		return -EACCES;
	if (!got && k->gate->keyring->wrap_type == WRAP_FILE)
		return -EACCES;
	if (!got) {
		/* Locked since, or dropped: `store` keys are unwrapped again when they are wanted. Not read again: see the cap. */
		int r = store_unwrap(k, store, &got);
		if (r)
			return r;
		got = gate_key_install(k, got);
	}
	if (!atomic_load_explicit(&k->used, memory_order_relaxed))
		atomic_store_explicit(&k->used, true, memory_order_relaxed);
	*keys = got;
	return 0;
}
