/* SPDX-License-Identifier: BSD-2-Clause */
/* Keyring and pin: configuration, KEK slots and references in clear. Never wrapped bytes, never the box. */
#include <errno.h>

#include "crypto/keyring.h"
#include "crypto/pin.h"
#include "kms/provider.h"
#include "tools/inspect_show.h"

const char *inspect_algorithm(unsigned algorithm, bool store)
{
	static const char *const name[] = {
		[KMS_ALG_LOCAL_AES256GCM] = "AES-256-GCM of a local keystore",
		[KMS_ALG_RSA_OAEP_SHA256] = "RSA-OAEP-SHA-256",
		[KMS_ALG_AES256KW] = "AES-256-KW",
		[KMS_ALG_PROVIDER] = "the KMS's own",
		[KMS_ALG_TOKEN_AES256GCM] = "AES-256-GCM of a token",
		[KMS_ALG_RSA_OAEP_SHA1] = "RSA-OAEP-SHA-1",
	};
	if (store)
		return algorithm == 1 ? "AES-256-GCM under a store key" : "unknown";
	return algorithm < ARRAY_LEN(name) && name[algorithm] ? name[algorithm] : "unknown";
}

static void show_features(const struct keyring *k, struct emit *e)
{
	emit_fmt(e, "features_incompatible", "%#llx", (unsigned long long)k->incompat);
	emit_fmt(e, "features_read_only_compatible", "%#llx", (unsigned long long)k->ro_compat);
	emit_fmt(e, "features_compatible", "%#llx", (unsigned long long)k->compat);
}

static void show_slots(const struct keyring *k, struct emit *e)
{
	emit_list(e, "slots");
	for (uint32_t i = 0; i < k->n_slots; i++) {
		const struct keyring_slot *s = &k->slot[i];
		emit_open(e, NULL);
		emit_u64(e, "kek", s->number);
		emit_str(e, "reference", s->ref);
		emit_str(e, "version", s->version);
		emit_u64(e, "algorithm", s->algorithm);
		emit_str(e, "algorithm_name", inspect_algorithm(s->algorithm, false));
		emit_u64(e, "wrapped_length", s->wrapped_len);
		emit_close(e);
	}
	emit_close(e);
}

static void show_config(const struct keyring *k, struct emit *e)
{
	emit_hex(e, "store_id", k->store_id, ID_LEN);
	emit_u64(e, "sequence", k->sequence);
	emit_u64(e, "block_size", k->layout.block_len);
	emit_u64(e, "suite", k->layout.suite);
	emit_u64(e, "header_size", k->layout.header_len);
	emit_str(e, "wrap_type", k->wrap_type == WRAP_FILE ? "file" : "store");
	emit_str(e, "names", k->name_mode == NAMES_PLAIN ? "plain" : "siv");
	emit_str(e, "policy", k->policy == POLICY_ANY ? "any" : "all");
	show_features(k, e);
	emit_u64(e, "next_kek", k->next_number);
}

int inspect_show_keyring(const struct inspected *in, struct emit *e)
{
	struct keyring *k = NULL;
	int r = keyring_parse(in->bytes, in->len, &k);
	if (r)
		return r;
	show_config(k, e);
	show_slots(k, e);
	keyring_free(k);
	return 0;
}

int inspect_show_pin(const struct inspected *in, struct emit *e)
{
	struct pin *p = NULL;
	struct keyring *k = NULL;
	int r = pin_parse(in->bytes, in->len, &p);
	if (r)
		return r;
	emit_hex(e, "store_id", p->store_id, ID_LEN);
	emit_u64(e, "highest_sequence", p->sequence);
	emit_list(e, "references");
	for (uint32_t i = 0; i < p->n_refs; i++) {
		emit_open(e, NULL);
		emit_str(e, "reference", p->ref[i]);
		emit_close(e);
	}
	emit_close(e);
	emit_u64(e, "keyring_length", p->keyring_len);
	r = p->keyring_len ? keyring_parse(p->keyring, p->keyring_len, &k) : 0;
	if (!r && k) {
		emit_open(e, "keyring");
		show_config(k, e);
		show_slots(k, e);
		emit_close(e);
		keyring_free(k);
	}
	pin_free(p);
	return r;
}
