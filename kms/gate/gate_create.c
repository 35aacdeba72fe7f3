/* SPDX-License-Identifier: BSD-2-Clause */
/* The key of a new file: drawn, wrapped, written into its header. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"
#include "kms/gate/gate_private.h"
#include "kms/verdict.h"

/* A new DEK in K, and what is to be wrapped: as W (`store`) or as PAYLOAD (`file`). */
static int create_dek(struct gate_key *k, struct header_wrap *w, uint8_t *payload)
{
	uint8_t id[ID_LEN];

	random_bytes(id, sizeof(id));
	const struct store_keys *store;
	int r = gate_enter(k->gate, GATE_USE_NEW, &store);
	if (r)
		return r;
	struct file_keys *keys = NULL;
	r = file_keys_new(store, id, &keys);
	if (!r && payload)
		r = dek_payload_write(store, keys, payload);
	if (!r && !payload) {
		w->number = store_keys_generation(store);
		w->algorithm = STORE_WRAP_AES256GCM;
		w->wrapped_len = DEK_WRAP_LEN;
		r = dek_wrap(store, keys, w->wrapped);
	}
	if (r)
		file_keys_free(keys);
	else
		gate_key_install(k, keys);
	gate_leave(k->gate);
	return r;
}

static int create_wrap(struct gate_key *k, struct header_wrap *w, const uint8_t *payload)
{
	struct kms_wrapped *got = calloc(1, sizeof(*got));

	if (!got)
		return -ENOMEM;
	struct gate *g = k->gate;
	struct kms_purpose purpose = {.use = KMS_USE_FILE};
	memcpy(purpose.store_id, g->keyring->store_id, ID_LEN);
	struct kms_verdict v;
	int r = kms_wrap(g->kek[0], &purpose, payload, got, &v);
	if (r) {
		r = gate_file_error(g, r, &v);
	} else {
		w->number = g->keyring->slot[0].number;
		w->algorithm = got->algorithm;
		w->wrapped_len = got->len;
		snprintf(w->version, sizeof(w->version), "%s", got->version);
		memcpy(w->wrapped, got->data, got->len);
	}
	free(got);
	return r;
}

/* Write the header of a new file; a lock may have come since the DEK was made. */
static int create_header(struct gate_key *k, const struct header_wrap *w, uint8_t *header)
{
	const struct store_keys *store;
	int r = gate_enter(k->gate, GATE_USE_NEW, &store);

	if (r)
		return r;
	size_t len = k->gate->keyring->layout.header_len;
	struct file_keys *keys = atomic_load(&k->keys);
	r = keys ? header_write(w, store, keys, k->header, len) : -EACCES;
	gate_leave(k->gate);
	if (!r)
		memcpy(header, k->header, len);
	return r;
}

static int key_create(struct gate_key *k, uint8_t *header)
{
	const bool per_file = k->gate->keyring->wrap_type == WRAP_FILE;
	AUTO(secret_free_at) uint8_t *payload = per_file ? secret_alloc(PAYLOAD_LEN) : NULL;

	if (per_file && !payload)
		return -ENOMEM;
	struct header_wrap w = {.sequence = 1};
	int r = create_dek(k, &w, payload);
	if (!r && per_file)
		r = create_wrap(k, &w, payload);
	if (!r)
		r = create_header(k, &w, header);
	if (!r && !per_file)
		atomic_store(&k->droppable, true);
	/* From here on the worker may read the header. */
	return !r && per_file ? gate_key_note_version(k, w.version) : r;
}

int gate_key_create(struct gate *g, uint8_t *header, struct gate_key **out)
{
	struct gate_key *k = gate_key_new(g, NULL);

	if (!k)
		return -ENOMEM;
	int r = key_create(k, header);
	if (r) {
		gate_key_close(k);
		return r;
	}
	*out = k;
	return 0;
}
