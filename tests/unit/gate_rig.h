/* SPDX-License-Identifier: BSD-2-Clause */
/* What the gate's test programs share: a gate on the scripted KMS with a settable clock, and hooks that note what they saw. */
#ifndef TESTS_GATE_RIG_H
#define TESTS_GATE_RIG_H

#include <check.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "crypto/secret.h"
#include "kms/custody.h"
#include "kms/gate/gate_private.h"
#include "kms/verdict.h"
#include "tests/kms/scripted.h"

static struct kms *kek[FAKES];
static struct keyring *keyring;
static struct gate *gate;
static atomic_llong clock_jump;

static inline int64_t real_ms(void)
{
	return clock_ms(CLOCK_BOOTTIME);
}

static inline int64_t jumping_clock(void)
{
	return real_ms() + atomic_load(&clock_jump);
}

static inline void sleep_ms(int ms)
{
	clock_pause((unsigned)ms);
}

/* What the hooks saw. */
static struct seen {
	atomic_int drains, locks, returns;
	atomic_int drain_ok, new_refused, drain_refused_after_end;
	atomic_int keys_left, secrets_left, state_at_drain, state_at_locked;
	atomic_int cause;
	atomic_int drain_sleep, drain_ms;
	atomic_int drain_jump, refused_after_limit; /* jump: the clock goes to the end of the limit */
} seen;

/* What happened in which order: 'a'..'e' the states of hooks.changed, D, L, A the hooks, F files_refused. */
static struct history {
	pthread_mutex_t lock;
	char event[4096];
	int n;
	enum gate_cause cause;
	char version[32];
} history = {.lock = PTHREAD_MUTEX_INITIALIZER};

static inline void note(char event)
{
	pthread_mutex_lock(&history.lock);
	if (history.n < (int)sizeof(history.event) - 1)
		history.event[history.n++] = event;
	pthread_mutex_unlock(&history.lock);
}

static inline void history_copy(char out[4096])
{
	pthread_mutex_lock(&history.lock);
	memcpy(out, history.event, 4096);
	pthread_mutex_unlock(&history.lock);
}

static inline void on_changed(void *arg, const struct gate_change *c)
{
	(void)arg;
	ck_assert(c->to == GATE_ACTIVE ? !c->reason[0] : c->reason[0] != 0);
	note((char)('a' + c->to - GATE_ACTIVE));
	pthread_mutex_lock(&history.lock);
	history.cause = c->cause;
	snprintf(history.version, sizeof(history.version), "%s", c->key_version);
	pthread_mutex_unlock(&history.lock);
}

static inline void on_files_refused(void *arg)
{
	(void)arg;
	note('F');
}

static inline void on_drain(void *arg, unsigned drain_ms)
{
	struct gate *g = arg;
	const struct store_keys *keys;

	note('D');
	atomic_store(&seen.state_at_drain, (int)gate_state(g));
	atomic_store(&seen.drain_ms, (int)drain_ms);
	ck_assert_uint_gt(drain_ms, 0);
	if (gate_enter(g, GATE_USE_DRAIN, &keys) == 0) {
		atomic_store(&seen.drain_ok, keys != NULL);
		gate_leave(g);
	}
	atomic_store(&seen.new_refused, gate_enter(g, GATE_USE_NEW, &keys) == -EACCES);
	if (atomic_load(&seen.drain_jump)) {
		atomic_fetch_add(&clock_jump, drain_ms);
		int r = gate_enter(g, GATE_USE_DRAIN, &keys);
		atomic_store(&seen.refused_after_limit, r == -EACCES);
		if (!r)
			gate_leave(g);
	}
	sleep_ms(atomic_load(&seen.drain_sleep));
	gate_drain_end(g);
	atomic_store(&seen.drain_refused_after_end, gate_enter(g, GATE_USE_DRAIN, &keys) == -EACCES);
	atomic_fetch_add(&seen.drains, 1);
}

static inline void on_locked(void *arg, enum gate_cause cause, const char *reason)
{
	struct gate_status s;

	note('L');
	gate_status(arg, &s);
	atomic_store(&seen.keys_left, (int)s.keys_in_memory);
	atomic_store(&seen.secrets_left, (int)secret_in_use());
	atomic_store(&seen.state_at_locked, (int)s.state);
	atomic_store(&seen.cause, (int)cause);
	ck_assert(reason[0]);
	atomic_fetch_add(&seen.locks, 1);
}

static inline void on_active(void *arg)
{
	note('A');
	ck_assert_int_eq(gate_state(arg), GATE_ACTIVE);
	atomic_fetch_add(&seen.returns, 1);
}

static inline void setup(void)
{
	ck_assert_int_eq(secret_init(), 0);
	fake_reset();
	memset(kek, 0, sizeof(kek));
	memset(&seen, 0, sizeof(seen));
	memset(history.event, 0, sizeof(history.event));
	history.n = 0;
	atomic_store(&clock_jump, 0);
}

static inline void teardown(void)
{
	for (int i = 0; i < FAKES; i++)
		fake_set(i, FAKE_OK);
	gate_close(gate);
	gate = NULL;
	keyring_free(keyring);
	ck_assert_uint_eq(secret_in_use(), 0);
}

struct plan {
	uint32_t n;
	enum slot_policy policy;
	enum wrap_type type;
	unsigned poll_ms, lease_ms, grace_ms, drain_ms;
	bool manual;
	struct gate_beacon *beacon;
};

static const struct plan plain = {.n = 1, .policy = POLICY_ALL, .type = WRAP_STORE, .poll_ms = 20, .lease_ms = 200};
static const struct plan lazy = {.n = 1,
				 .policy = POLICY_ALL,
				 .type = WRAP_STORE,
				 .poll_ms = 60000,
				 .lease_ms = 120000}; /* only orders move it */

static const enum wrap_type types[] = {WRAP_STORE, WRAP_FILE};

static inline void make(const struct plan *p)
{
	struct gate_config cfg = {.kek = kek,
				  .poll_ms = p->poll_ms,
				  .lease_ms = p->lease_ms,
				  .grace_ms = p->grace_ms,
				  .drain_ms = p->drain_ms ? p->drain_ms : 500,
				  .manual_return = p->manual,
				  .beacon = p->beacon};
	char why[320];

	keyring = fake_keyring(p->n, p->policy, p->type, kek);
	ck_assert_ptr_nonnull(keyring);
	cfg.keyring = keyring;
	ck_assert_int_eq(gate_new(&cfg, &gate), 0);
	gate->clock = jumping_clock;
	ck_assert_int_eq(gate_state(gate), GATE_LOCKED);
	ck_assert_int_eq(gate_open(gate, why), 0);
	ck_assert_int_eq(gate_state(gate), GATE_ACTIVE);
}

static inline void start(const struct plan *p)
{
	struct gate_hooks hooks = {.drain = on_drain,
				   .locked = on_locked,
				   .active = on_active,
				   .changed = on_changed,
				   .files_refused = on_files_refused};

	make(p);
	hooks.arg = gate;
	ck_assert_int_eq(gate_start(gate, &hooks), 0);
}

/* Wait until STATE; milliseconds it took, or -1. */
static inline int64_t await(enum gate_state state, int ms)
{
	int64_t from = real_ms();

	while (real_ms() - from < ms) {
		if (gate_state(gate) == state)
			return real_ms() - from;
		sleep_ms(1);
	}
	return -1;
}

/* Wait until LOCKED and the hook for it has returned. */
static inline void await_locked(void)
{
	for (int i = 0; i < 5000 && !atomic_load(&seen.locks); i++)
		sleep_ms(1);
	ck_assert_int_ge(atomic_load(&seen.locks), 1);
	ck_assert_int_eq(gate_state(gate), GATE_LOCKED);
}

static inline int may(enum gate_use use)
{
	const struct store_keys *keys;
	int r = gate_enter(gate, use, &keys);

	if (r == 0) {
		ck_assert_mem_eq(store_keys_id(keys), keyring->store_id, ID_LEN);
		gate_leave(gate);
	}
	return r;
}

static inline int borrow(struct gate_key *k, enum gate_use use)
{
	const struct store_keys *store;
	const struct file_keys *keys;
	int r = gate_enter(gate, use, &store);

	if (r)
		return r;
	r = gate_key_borrow(k, store, &keys);
	if (!r)
		ck_assert_ptr_nonnull(file_keys_id(keys));
	gate_leave(gate);
	return r;
}

#endif
