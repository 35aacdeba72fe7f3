/* SPDX-License-Identifier: BSD-2-Clause */
/* How a unit test tells the fakes what to answer, and a keyring whose KEKs they are. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "crypto/header.h"
#include "kms/custody.h"
#include "tests/kms/scripted.h"

const char *fake_class_name(enum kms_class class)
{
	static const char *const names[] = {
		[KMS_OK] = "ok",
		[KMS_REVOKED] = "revoked",
		[KMS_TRANSIENT] = "transient",
		[KMS_MISCONFIGURED] = "misconfigured",
		[KMS_AUTH] = "auth",
		[KMS_CORRUPT] = "corrupt",
	};

	return class >= KMS_OK && class < ARRAY_LEN(names) ? names[class] : "unknown";
}

void fake_reset(void)
{
	for (int i = 0; i < FAKES; i++) {
		if (fakes[i].watch >= 0)
			close(fakes[i].watch);
		fakes[i] = (struct fake){.version = 1, .bad_version = -1};
		fakes[i].watch = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	}
}

void fake_set(int i, enum fake_mode mode)
{
	atomic_store(&fakes[i].mode, mode);
}

void fake_notify(int i)
{
	uint64_t one = 1;

	if (write(fakes[i].watch, &one, sizeof(one)) != sizeof(one))
		abort();
}

struct kms *fake_kms_open(unsigned i)
{
	char ref[KMS_REF_MAX + 1];
	struct kms_config cfg = {.ref = ref, .timeout_ms = 1000};
	struct kms_verdict v;
	struct kms *k;

	snprintf(ref, sizeof(ref), "fake:%u", i);
	return kms_open(&cfg, &k, &v) == 0 ? k : NULL;
}

struct keyring *fake_keyring(uint32_t n, enum slot_policy policy, enum wrap_type type, struct kms **kek)
{
	struct keyring *k = calloc(1, sizeof(*k));
	struct kms_verdict v;

	if (!k)
		return NULL;
	k->layout.block_len = 4096;
	k->layout.suite = SUITE_2;
	k->layout.header_len = type == WRAP_FILE ? HEADER_LEN_FILE : HEADER_LEN_STORE;
	k->wrap_type = type;
	k->name_mode = NAMES_SIV;
	k->policy = policy;
	k->n_slots = n;
	k->slot = calloc(n, sizeof(*k->slot));
	for (uint32_t i = 0; k->slot && i < n; i++) {
		k->slot[i].number = i + 1;
		snprintf(k->slot[i].ref, sizeof(k->slot[i].ref), "fake:%u", i);
		kek[i] = fake_kms_open(i);
	}
	int r = k->slot ? custody_create(k, kek, &v) : -1;
	if (!r)
		return k;
	fprintf(stderr, "custody_create: %d %s\n", r, k->slot ? v.text : "");
	keyring_free(k);
	return NULL;
}
