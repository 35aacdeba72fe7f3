/* SPDX-License-Identifier: BSD-2-Clause */
/* A scripted KMS in memory, for tests of the gate and of custody: `fake:N`, N = 0..3, each answering as it is told. */
#ifndef TESTS_FAKE_KMS_H
#define TESTS_FAKE_KMS_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "crypto/keyring.h"
#include "crypto/secret.h"
#include "kms/custody.h"
#include "kms/provider_private.h"
#include "kms/verdict.h"

#define FAKES 4

enum fake_mode {
	FAKE_OK = 0,
	FAKE_REVOKED,
	FAKE_TRANSIENT,
	FAKE_MISCONFIGURED,
	FAKE_AUTH,
	FAKE_CORRUPT,
	FAKE_HANG,    /* until cancelled, or another mode */
	FAKE_DEAF,    /* hangs and hears no cancel */
	FAKE_LATE,    /* the same, and then says yes */
	FAKE_EMPTY,   /* 0, but no verdict */
	FAKE_LIAR,    /* 0 with "revoked" */
	FAKE_LIAR2,   /* an error with "ok" */
	FAKE_NOCLASS, /* a class that does not exist */
	FAKE_JUNK,    /* OK with random bytes */
	FAKE_EXPIRED, /* unwraps, but is past its date */
	FAKE_FLAP,    /* refuses every other call */
	FAKE_REVOKED_UNTIL_REFRESH,
	FAKE_AUTH_UNTIL_REFRESH,
	FAKE_SLOW,     /* right, after 60 ms */
	FAKE_OTHER,    /* OK with a well-formed secret that is another */
	FAKE_STRANGER, /* a proxy's 403: no statement of the KMS */
};

struct fake {
	atomic_int mode;
	atomic_int version;     /* what wrap answers */
	atomic_int bad_version; /* this one is refused */
	atomic_int calls, wraps, refreshes, cancels;
	atomic_int cancelled;
	int watch; /* eventfd, or -1 */
};

static struct fake fakes[FAKES];

struct kms {
	struct kms_base base;
	struct fake *f;
};

static inline int fake_normalise(const char *ref, char out[KMS_REF_MAX + 1], char why[KMS_TEXT_MAX])
{
	if (strlen(ref) != 6 || ref[5] < '0' || ref[5] >= '0' + FAKES) {
		snprintf(why, KMS_TEXT_MAX, "not fake:N");
		return -EINVAL;
	}
	snprintf(out, KMS_REF_MAX + 1, "%s", ref);
	return 0;
}

static const struct kms_provider fake_provider;

static inline int fake_open(const struct kms_config *cfg, struct kms **out, struct kms_verdict *v)
{
	struct kms *k = calloc(1, sizeof(*k));

	k->base.provider = &fake_provider;
	snprintf(k->base.ref, sizeof(k->base.ref), "%s", cfg->ref);
	k->f = &fakes[cfg->ref[5] - '0'];
	atomic_store(&k->f->cancelled, 0);
	*out = k;
	return kms_verdict_ok(v);
}

static inline int fake_hang(struct fake *f, struct kms_verdict *v)
{
	struct timespec pause = {.tv_nsec = 1000000};
	int mode = atomic_load(&f->mode);

	while (atomic_load(&f->mode) == mode && !(mode == FAKE_HANG && atomic_load(&f->cancelled)))
		nanosleep(&pause, NULL);
	kms_verdict_set(v, KMS_TRANSIENT, "timeout", "fake key did not answer");
	return -ECANCELED;
}

/* 0: go on and do it. */
static inline int fake_answer(struct kms *k, struct kms_verdict *v)
{
	struct fake *f = k->f;
	int call = atomic_fetch_add(&f->calls, 1);

	if (atomic_load(&f->cancelled) && atomic_load(&f->mode) != FAKE_DEAF) {
		kms_verdict_set(v, KMS_TRANSIENT, "cancelled", "fake key: cancelled");
		return -ECANCELED;
	}
	switch (atomic_load(&f->mode)) {
	case FAKE_REVOKED:
	case FAKE_REVOKED_UNTIL_REFRESH:
		return kms_verdict_set(v, KMS_REVOKED, "disabled", "fake key is disabled");
	case FAKE_TRANSIENT:
		return kms_verdict_set(v, KMS_TRANSIENT, "503", "fake key: 503");
	case FAKE_MISCONFIGURED:
		return kms_verdict_set(v, KMS_MISCONFIGURED, "404", "fake key: no such key");
	case FAKE_AUTH:
	case FAKE_AUTH_UNTIL_REFRESH:
		return kms_verdict_set(v, KMS_AUTH, "401", "fake key: who are you?");
	case FAKE_CORRUPT:
		return kms_verdict_set(v, KMS_CORRUPT, "corrupt", "fake key did not wrap this");
	case FAKE_HANG:
	case FAKE_DEAF:
		return fake_hang(f, v);
	case FAKE_STRANGER:
		return kms_verdict_set(v, KMS_TRANSIENT, "403-html", "fake key: 403 from somebody else");
	case FAKE_SLOW:
		nanosleep(&(struct timespec){.tv_nsec = 60000000}, NULL);
		return kms_verdict_ok(v);
	case FAKE_LATE:
		(void)fake_hang(f, v);
		return kms_verdict_ok(v);
	case FAKE_FLAP:
		return call % 2 ? kms_verdict_ok(v) : kms_verdict_set(v, KMS_REVOKED, "flap", "fake key flaps");
	default:
		return kms_verdict_ok(v);
	}
}

/* "Wrap" by XOR: only the fake's answers matter. */
static inline int fake_wrap(struct kms *k, const struct kms_purpose *p, const uint8_t plain[PAYLOAD_LEN],
			    struct kms_wrapped *out, struct kms_verdict *v)
{
	int r = fake_answer(k, v);

	(void)p;
	if (r)
		return r;
	atomic_fetch_add(&k->f->wraps, 1);
	for (size_t i = 0; i < PAYLOAD_LEN; i++)
		out->data[i] = plain[i] ^ 0x5a;
	out->len = PAYLOAD_LEN;
	out->algorithm = KMS_ALG_PROVIDER;
	snprintf(out->version, sizeof(out->version), "v%d", atomic_load(&k->f->version));
	return 0;
}

static inline int fake_unwrap(struct kms *k, const struct kms_purpose *p, const struct kms_wrapped *in,
			      uint8_t plain[PAYLOAD_LEN], struct kms_verdict *v)
{
	int mode = atomic_load(&k->f->mode), r;

	(void)p;
	if (mode == FAKE_EMPTY) {
		memset(plain, 0, PAYLOAD_LEN);
		memset(v, 0, sizeof(*v));
		return 0;
	}
	r = fake_answer(k, v);
	if (r)
		return r;
	if (atoi(in->version + 1) == atomic_load(&k->f->bad_version))
		return kms_verdict_set(v, KMS_REVOKED, "version-disabled", "fake key version is disabled");
	for (size_t i = 0; i < PAYLOAD_LEN; i++)
		plain[i] = mode == FAKE_JUNK ? (uint8_t)rand() : in->data[i] ^ 0x5a;
	if (mode == FAKE_OTHER)
		plain[20] ^= 1;
	if (mode == FAKE_LIAR)
		kms_verdict_set(v, KMS_REVOKED, "liar", "fake key lies");
	if (mode == FAKE_NOCLASS)
		v->class = (enum kms_class)77;
	return mode == FAKE_LIAR2 ? -EIO : 0;
}

static inline int fake_info(struct kms *k, struct kms_key_info *out, struct kms_verdict *v)
{
	memset(out, 0, sizeof(*out));
	if (atomic_load(&k->f->mode) == FAKE_EXPIRED)
		out->not_after = 1000000;
	return kms_verdict_ok(v);
}

static inline void fake_refresh(struct kms *k)
{
	int mode = atomic_load(&k->f->mode);

	atomic_fetch_add(&k->f->refreshes, 1);
	atomic_store(&k->f->cancelled, 0);
	if (mode == FAKE_REVOKED_UNTIL_REFRESH || mode == FAKE_AUTH_UNTIL_REFRESH)
		atomic_store(&k->f->mode, FAKE_OK);
}

static inline void fake_cancel(struct kms *k)
{
	atomic_fetch_add(&k->f->cancels, 1);
	atomic_store(&k->f->cancelled, 1);
}

static inline int fake_watch_fd(struct kms *k)
{
	return k->f->watch;
}

static inline void fake_watch_clear(struct kms *k)
{
	uint64_t n;
	ssize_t got = read(k->f->watch, &n, sizeof(n));

	(void)got;
}

static inline void fake_close(struct kms *k)
{
	free(k);
}

static const struct kms_provider fake_provider = {
	.scheme = "fake",
	.description = "scripted, for tests",
	.normalise = fake_normalise,
	.open = fake_open,
	.wrap = fake_wrap,
	.unwrap = fake_unwrap,
	.info = fake_info,
	.refresh = fake_refresh,
	.cancel = fake_cancel,
	.watch_fd = fake_watch_fd,
	.watch_clear = fake_watch_clear,
	.close = fake_close,
};

static inline void fake_reset(void)
{
	for (int i = 0; i < FAKES; i++) {
		if (fakes[i].watch > 0)
			close(fakes[i].watch);
		memset(&fakes[i], 0, sizeof(fakes[i]));
		atomic_store(&fakes[i].version, 1);
		atomic_store(&fakes[i].bad_version, -1);
		fakes[i].watch = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	}
}

static inline void fake_set(int i, enum fake_mode mode)
{
	atomic_store(&fakes[i].mode, mode);
}

/* As a change of the key directory would show. */
static inline void fake_notify(int i)
{
	uint64_t one = 1;
	ssize_t put = write(fakes[i].watch, &one, sizeof(one));

	(void)put;
}

/* A keyring of N KEKs fake:0.., made through custody; KEK gets the open handles. NULL when custody said no. */
static inline struct keyring *fake_keyring(uint32_t n, enum slot_policy policy, enum wrap_type type, struct kms **kek)
{
	struct keyring *k = calloc(1, sizeof(*k));
	struct kms_verdict v;
	int r = 0;

	k->layout.block_len = 4096;
	k->layout.header_len = type == WRAP_FILE ? HEADER_LEN_FILE : HEADER_LEN_STORE;
	k->wrap_type = type;
	k->name_mode = NAMES_SIV;
	k->policy = policy;
	k->n_slots = n;
	k->slot = calloc(n, sizeof(*k->slot));
	for (uint32_t i = 0; i < n; i++) {
		struct kms_config cfg = {.ref = k->slot[i].ref, .timeout_ms = 1000};

		k->slot[i].number = i + 1;
		snprintf(k->slot[i].ref, sizeof(k->slot[i].ref), "fake:%u", i);
		r = kms_open(&cfg, &kek[i], &v);
		if (r)
			return NULL;
	}
	r = custody_create(k, kek, &v);
	if (r) {
		fprintf(stderr, "custody_create: %d %s\n", r, v.text);
		return NULL;
	}
	return k;
}

#endif
