/* SPDX-License-Identifier: BSD-2-Clause */
/* The gate: what it asks, orders, hooks, the lease without a thread, files' keys, and many threads at once. */
#include <signal.h>

#include "tests/unit/gate_rig.h"

START_TEST(test_new_refuses)
{
	struct gate_config cfg = {.kek = kek, .poll_ms = 100, .lease_ms = 150};

	keyring = fake_keyring(1, POLICY_ALL, WRAP_STORE, kek);
	cfg.keyring = keyring;
	ck_assert_int_eq(gate_new(&cfg, &gate), -EINVAL);
	kms_close(kek[0]);
}
END_TEST

static const struct {
	enum fake_mode mode;
	int error;
} opens[] = {
	{FAKE_REVOKED, -EKEYREVOKED}, {FAKE_TRANSIENT, -ETIMEDOUT},    {FAKE_MISCONFIGURED, -EINVAL},
	{FAKE_AUTH, -EACCES},         {FAKE_CORRUPT, -EBADMSG},        {FAKE_JUNK, -EBADMSG},
	{FAKE_EMPTY, -ETIMEDOUT},     {FAKE_LIAR, -ETIMEDOUT},         {FAKE_EXPIRED, -EKEYREVOKED},
	{FAKE_AUTH_UNTIL_REFRESH, 0}, {FAKE_REVOKED_UNTIL_REFRESH, 0},
};

START_TEST(test_open)
{
	struct gate_config cfg = {.kek = kek};
	struct gate_status s;
	char why[320];

	keyring = fake_keyring(1, POLICY_ALL, WRAP_STORE, kek);
	cfg.keyring = keyring;
	ck_assert_int_eq(gate_new(&cfg, &gate), 0);
	ck_assert_int_eq(may(GATE_USE_NEW), -EACCES);
	fake_set(0, opens[_i].mode);
	ck_assert_int_eq(gate_open(gate, why), opens[_i].error);
	ck_assert_int_eq(may(GATE_USE_NEW), opens[_i].error ? -EACCES : 0);
	gate_status(gate, &s);
	ck_assert_int_eq(s.state, opens[_i].error ? GATE_LOCKED : GATE_ACTIVE);
	if (!opens[_i].error)
		return;
	ck_assert(why[0]);
	ck_assert_str_eq(s.reason, why);
	ck_assert_uint_eq(secret_in_use(), 0);
	fake_set(0, FAKE_OK);
	ck_assert_int_eq(gate_open(gate, why), 0);
	ck_assert_int_eq(may(GATE_USE_NEW), 0);
}
END_TEST

/* What each answer of a KMS is to the gate's machine; what becomes of it there: test_gate_machine.c. */
static const struct {
	enum fake_mode mode;
	enum kms_class class, again; /* again: asked fresh after it */
} asked[] = {
	{FAKE_OK, KMS_OK, KMS_OK},
	{FAKE_SLOW, KMS_OK, KMS_OK},
	{FAKE_REVOKED, KMS_REVOKED, KMS_REVOKED},
	{FAKE_EXPIRED, KMS_REVOKED, KMS_REVOKED},
	{FAKE_CORRUPT, KMS_CORRUPT, KMS_CORRUPT},
	{FAKE_JUNK, KMS_CORRUPT, KMS_CORRUPT},
	{FAKE_OTHER, KMS_CORRUPT, KMS_CORRUPT},
	{FAKE_TRANSIENT, KMS_TRANSIENT, KMS_TRANSIENT},
	{FAKE_STRANGER, KMS_TRANSIENT, KMS_TRANSIENT},
	{FAKE_EMPTY, KMS_TRANSIENT, KMS_TRANSIENT},
	{FAKE_LIAR, KMS_TRANSIENT, KMS_TRANSIENT},
	{FAKE_LIAR2, KMS_TRANSIENT, KMS_TRANSIENT},
	{FAKE_NOCLASS, KMS_TRANSIENT, KMS_TRANSIENT},
	{FAKE_AUTH, KMS_AUTH, KMS_AUTH},
	{FAKE_MISCONFIGURED, KMS_MISCONFIGURED, KMS_MISCONFIGURED},
	{FAKE_REVOKED_UNTIL_REFRESH, KMS_REVOKED, KMS_OK},
	{FAKE_AUTH_UNTIL_REFRESH, KMS_AUTH, KMS_OK},
};

START_TEST(test_asked)
{
	make(&lazy);
	for (size_t i = 0; i < ARRAY_LEN(asked); i++) {
		fake_set(0, asked[i].mode);
		for (int fresh = 0; fresh < 2; fresh++) {
			const enum kms_class want = fresh ? asked[i].again : asked[i].class;
			struct gate_answer a;

			gate_ask(gate, fresh, &a);
			ck_assert_msg(a.verdict.class == want, "mode %d: %d", (int)asked[i].mode, (int)a.verdict.class);
			ck_assert_int_eq(a.keys != NULL, want == KMS_OK);
			ck_assert(a.job == JOB_PROBE && a.fresh == fresh);
			ck_assert(want == KMS_OK || a.verdict.text[0]);
			store_keys_free(a.keys);
		}
	}
}
END_TEST

/* Those that hang are as silent: cut short by a cancel, or not. */
START_TEST(test_hanging)
{
	static const enum fake_mode modes[] = {FAKE_HANG, FAKE_DEAF};
	struct gate_status s;

	start(&plain);
	fake_set(0, modes[_i]);
	await_locked();
	gate_status(gate, &s);
	ck_assert_int_eq(s.cause, GATE_CAUSE_OUTAGE);
	ck_assert(s.reason[0]);
	ck_assert_int_eq(may(GATE_USE_DRAIN), -EACCES);
	ck_assert_int_eq(atomic_load(&seen.drains), 1);
	ck_assert_int_eq(atomic_load(&seen.cause), GATE_CAUSE_OUTAGE);
	fake_set(0, FAKE_OK);
	ck_assert_int_ge(await(GATE_ACTIVE, 3000), 0);
	ck_assert_int_eq(may(GATE_USE_NEW), 0);
	gate_status(gate, &s);
	ck_assert_str_eq(s.reason, "");
	ck_assert_int_eq(s.cause, GATE_CAUSE_NONE);
	ck_assert_int_gt(s.lease_left_ms, 0);
}
END_TEST

/* A refusal is asked about again on a fresh connection before it locks. */
START_TEST(test_confirm)
{
	start(&lazy);
	ck_assert_int_eq(atomic_load(&fakes[0].refreshes), 0);
	fake_set(0, FAKE_REVOKED);
	gate_poke(gate);
	ck_assert_int_ge(await(GATE_LOCKED, 2000), 0);
	ck_assert_int_ge(atomic_load(&fakes[0].refreshes), 1);
	ck_assert_int_ge(atomic_load(&fakes[0].calls), 3); /* wrap is one, open another */
}
END_TEST

START_TEST(test_hooks)
{
	start(&lazy);
	fake_set(0, FAKE_REVOKED);
	fake_notify(0);
	ck_assert_int_ge(await(GATE_LOCKED, 1000), 0);
	while (!atomic_load(&seen.locks))
		sleep_ms(1);
	ck_assert_int_eq(atomic_load(&seen.state_at_drain), GATE_LOCKING);
	ck_assert_int_eq(atomic_load(&seen.drain_ok), 1);
	ck_assert_int_eq(atomic_load(&seen.new_refused), 1);
	ck_assert_int_eq(atomic_load(&seen.drain_refused_after_end), 1);
	ck_assert_int_eq(atomic_load(&seen.state_at_locked), GATE_LOCKED);
	ck_assert_int_eq(atomic_load(&seen.keys_left), 0);
	ck_assert_int_eq(atomic_load(&seen.secrets_left), 0);
	ck_assert_int_eq(atomic_load(&seen.returns), 0);
	fake_set(0, FAKE_OK);
	fake_notify(0);
	ck_assert_int_ge(await(GATE_ACTIVE, 1000), 0);
	for (int i = 0; i < 200 && !atomic_load(&seen.returns); i++)
		sleep_ms(5);
	ck_assert_int_eq(atomic_load(&seen.returns), 1);
}
END_TEST

/* Nobody hears a hook after gate_detach(), and the gate still locks. */
START_TEST(test_detach)
{
	start(&lazy);
	gate_detach(gate);
	gate_detach(gate);
	fake_set(0, FAKE_REVOKED);
	fake_notify(0);
	ck_assert_int_ge(await(GATE_LOCKED, 1000), 0);
	sleep_ms(50);
	ck_assert_int_eq(atomic_load(&seen.drains) + atomic_load(&seen.locks), 0);
}
END_TEST

/* The lease is checked by the request itself: no thread runs here. */
START_TEST(test_lease_alone)
{
	make(&lazy);
	ck_assert_int_eq(may(GATE_USE_NEW), 0);
	atomic_store(&clock_jump, 119000);
	ck_assert_int_eq(may(GATE_USE_NEW), 0);
	atomic_store(&clock_jump, 120001);
	ck_assert_int_eq(may(GATE_USE_NEW), -EACCES);
	ck_assert_int_eq(may(GATE_USE_DRAIN), 0);
	ck_assert_int_eq(gate_state(gate), GATE_LOCKING);
	atomic_store(&clock_jump, 120000 + 500 + 1001);
	ck_assert_int_eq(may(GATE_USE_DRAIN), -EACCES);
}
END_TEST

/* A request between the two stores that begin a grace is not refused: its deadline is there, the state is still ACTIVE. */
START_TEST(test_grace_begins)
{
	struct plan p = lazy;

	p.grace_ms = 3600000;
	make(&p);
	atomic_fetch_add(&gate->deadline, p.grace_ms);
	ck_assert_int_eq(may(GATE_USE_NEW), 0);
	ck_assert_int_eq(gate_state(gate), GATE_ACTIVE);
}
END_TEST

/* A suspend: the clock jumps past the lease. Locked first, then back by a good answer. */
START_TEST(test_suspend)
{
	start(&lazy);
	atomic_store(&clock_jump, 3600000);
	ck_assert_int_eq(may(GATE_USE_NEW), -EACCES);
	gate_wake(gate);
	for (int i = 0; i < 400 && !atomic_load(&seen.locks); i++)
		sleep_ms(5);
	ck_assert_int_eq(atomic_load(&seen.locks), 1);
	ck_assert_int_eq(atomic_load(&seen.cause), GATE_CAUSE_OUTAGE);
	gate_poke(gate);
	ck_assert_int_ge(await(GATE_ACTIVE, 2000), 0);
}
END_TEST

START_TEST(test_order)
{
	struct gate_status s;
	char why[320];

	start(&plain);
	ck_assert_int_eq(gate_lock(gate, "uid 0"), 0);
	ck_assert_int_eq(gate_state(gate), GATE_LOCKED);
	gate_status(gate, &s);
	ck_assert(s.ordered);
	ck_assert_int_eq(s.cause, GATE_CAUSE_ORDERED);
	ck_assert_ptr_nonnull(strstr(s.reason, "uid 0"));
	gate_poke(gate); /* the KMS is well: an ordered lock stays all the same */
	ck_assert_int_eq(gate_lock(gate, "again"), 0);
	ck_assert_int_eq(gate_state(gate), GATE_LOCKED);
	fake_set(0, FAKE_REVOKED);
	ck_assert_int_eq(gate_unlock(gate, why), -EKEYREVOKED);
	ck_assert_ptr_nonnull(strstr(why, "disabled"));
	gate_status(gate, &s);
	ck_assert(!s.ordered);
	ck_assert_int_eq(s.cause, GATE_CAUSE_REVOKED);
	fake_set(0, FAKE_OK);
	ck_assert_int_eq(gate_unlock(gate, why), 0);
	ck_assert_int_eq(gate_state(gate), GATE_ACTIVE);
	ck_assert_int_eq(gate_unlock(gate, why), 0);
}
END_TEST

/* What was accepted has the drain limit after a refusal, less after an order: that one is obeyed within a second. */
START_TEST(test_drain_limit)
{
	static const int limits[][3] = {{500, 500, 500}, {60000, 700, 60000}};
	struct plan p = plain;

	p.drain_ms = (unsigned)limits[_i][0];
	start(&p);
	ck_assert_int_eq(gate_lock(gate, "test"), 0);
	ck_assert_int_eq(atomic_load(&seen.drain_ms), limits[_i][1]);
	ck_assert_int_eq(gate_unlock(gate, (char[320]){0}), 0);
	fake_set(0, FAKE_REVOKED);
	ck_assert_int_ge(await(GATE_LOCKED, 2000), 0);
	ck_assert_int_eq(atomic_load(&seen.drain_ms), limits[_i][2]);
}
END_TEST

/* The limit holds at the door: who queued for a file all the while seals nothing after it. The next lock has one of its own. */
START_TEST(test_drain_limit_at_door)
{
	start(&lazy);
	atomic_store(&seen.drain_jump, 1);
	for (int i = 0; i < 2; i++) {
		atomic_store(&seen.drain_ok, 0);
		atomic_store(&seen.refused_after_limit, 0);
		ck_assert_int_eq(gate_lock(gate, "test"), 0);
		ck_assert_int_eq(atomic_load(&seen.drain_ok), 1);
		ck_assert_int_eq(atomic_load(&seen.refused_after_limit), 1);
		ck_assert_int_eq(gate_unlock(gate, (char[320]){0}), 0);
	}
}
END_TEST

START_TEST(test_order_without_thread)
{
	char why[320];

	make(&lazy);
	ck_assert_int_eq(gate_lock(gate, "tool"), 0);
	ck_assert_int_eq(may(GATE_USE_NEW), -EACCES);
	ck_assert_uint_eq(secret_in_use(), 0);
	ck_assert_int_eq(gate_unlock(gate, why), 0);
	ck_assert_int_eq(may(GATE_USE_NEW), 0);
}
END_TEST

static void on_signal(int number)
{
	(void)number;
	gate_lock_signal(gate);
}

START_TEST(test_signal)
{
	char why[320];

	start(&lazy);
	signal(SIGUSR1, on_signal);
	raise(SIGUSR1);
	ck_assert_int_ge(await(GATE_LOCKED, 1000), 0);
	ck_assert_int_eq(gate_unlock(gate, why), 0);
}
END_TEST

/* An order is obeyed within its second while the KMS hangs, whether it can be cancelled or not. */
START_TEST(test_order_while_hanging)
{
	int64_t from;

	start(&plain);
	fake_set(0, _i ? FAKE_DEAF : FAKE_HANG);
	sleep_ms(60);
	from = real_ms();
	ck_assert_int_eq(gate_lock(gate, "test"), 0);
	ck_assert_int_lt(real_ms() - from, 1000);
	ck_assert_int_eq(gate_state(gate), GATE_LOCKED);
}
END_TEST

/* A yes that comes while a lock drains is older than the lock: no key of it is left when LOCKED is told. */
START_TEST(test_late_answer)
{
	start(&plain);
	atomic_store(&seen.drain_sleep, 150);
	fake_set(0, FAKE_LATE);
	sleep_ms(60);
	gate_lock_signal(gate);
	ck_assert_int_ge(await(GATE_LOCKING, 1000), 0);
	sleep_ms(30);
	fake_set(0, FAKE_OK);
	ck_assert_int_ge(await(GATE_LOCKED, 1000), 0);
	sleep_ms(50);
	ck_assert_int_eq(atomic_load(&seen.locks), 1);
	ck_assert_int_eq(atomic_load(&seen.secrets_left), 0);
}
END_TEST

/*
 * A question put before an unlock is no answer to it, however late the worker gets to run: it may be void, and what was heard
 * last is then a refusal that is no more.
 */
START_TEST(test_unlock_before_worker)
{
	struct gate_answer a;

	make(&lazy);
	gate_worker_ask(gate, JOB_PROBE, false);
	gate_worker_void(gate);
	gate->machine.request++;
	ck_assert_int_eq(gate_worker_start(gate), 0);
	while (!gate_worker_take(gate, &a))
		sleep_ms(1);
	ck_assert_ptr_null(a.keys);
	ck_assert_int_lt(a.request, gate->machine.request);
	atomic_store(&gate->stop, 1);
	gate_worker_stop(gate);
}
END_TEST

/* Several KEKs: a refusal by any of them wins; with `any`, one that is silent does not lock. */
START_TEST(test_policies)
{
	struct plan p = lazy;
	struct gate_answer a;

	p.n = 2;
	p.policy = _i ? POLICY_ANY : POLICY_ALL;
	make(&p);
	fake_set(0, FAKE_TRANSIENT);
	gate_ask(gate, false, &a);
	ck_assert_int_eq(a.verdict.class, _i ? KMS_OK : KMS_TRANSIENT);
	store_keys_free(a.keys);
	fake_set(1, FAKE_REVOKED);
	for (int i = 0; i < 2; i++) {
		fake_set(0, i ? FAKE_OK : FAKE_TRANSIENT);
		gate_ask(gate, false, &a);
		if (i || _i) /* `all` may be content with the first that has not said yes */
			ck_assert_int_eq(a.verdict.class, KMS_REVOKED);
		ck_assert_ptr_null(a.keys);
	}
}
END_TEST

START_TEST(test_keys)
{
	struct plan p = lazy;
	uint8_t header[HEADER_LEN_FILE], copy[HEADER_LEN_FILE];
	struct gate_key *made, *opened;
	struct gate_status s;

	p.type = types[_i];
	start(&p);
	ck_assert_int_eq(gate_key_create(gate, header, &made), 0);
	ck_assert_int_eq(gate_key_open(gate, header, &opened), 0);
	ck_assert_int_eq(borrow(made, GATE_USE_NEW), 0);
	ck_assert_int_eq(borrow(opened, GATE_USE_NEW), 0);
	gate_status(gate, &s);
	ck_assert_uint_eq(s.keys_in_memory, 2);
	/* Damage anywhere: an error, whichever, and nothing kept. */
	for (size_t i = 0; i < 700 && i < keyring->layout.header_len; i++) {
		struct gate_key *bad = NULL;
		int r;

		memcpy(copy, header, sizeof(copy));
		copy[i] ^= 0x40;
		r = gate_key_open(gate, copy, &bad);
		if (r == 0)
			gate_key_close(bad); /* a byte of the binding area, or of padding that nobody reads */
		else
			ck_assert_msg(r == -EBADMSG || r == -EUCLEAN || r == -ENOTSUP || r == -ENOKEY, "byte %zu: %d",
				      i, r);
	}
	gate_status(gate, &s);
	ck_assert_uint_eq(s.keys_in_memory, 2);
	ck_assert_int_eq(gate_lock(gate, "test"), 0);
	ck_assert_uint_eq(secret_in_use(), 0);
	ck_assert_int_eq(borrow(made, GATE_USE_NEW), -EACCES);
	ck_assert_int_eq(gate_key_open(gate, header, &made), -EACCES);
	ck_assert_int_eq(gate_key_create(gate, copy, &made), -EACCES);
	ck_assert_int_eq(gate_unlock(gate, (char[320]){0}), 0);
	ck_assert_int_eq(borrow(made, GATE_USE_NEW), 0);
	ck_assert_int_eq(borrow(opened, GATE_USE_NEW), 0);
	gate_key_close(made);
	gate_key_close(opened);
	gate_key_close(NULL);
	gate_status(gate, &s);
	ck_assert_uint_eq(s.keys_in_memory, 0);
}
END_TEST

/* How many hold the newest file's key beside its owner; -1: no file is known. */
static int in_hand(void)
{
	pthread_mutex_lock(&gate->list_lock);
	const int busy = gate->keys ? gate->keys->busy : -1;
	pthread_mutex_unlock(&gate->list_lock);
	return busy;
}

/* Closed while the KMS is asked about it, for as long as that hangs: the key goes at once. */
START_TEST(test_close_in_hand)
{
	struct plan p = lazy;
	uint8_t header[HEADER_LEN_FILE];
	struct gate_key *k;
	struct gate_status s;

	p.type = WRAP_FILE;
	start(&p);
	ck_assert_int_eq(gate_key_create(gate, header, &k), 0);
	const size_t without = secret_in_use() - 1;
	fake_set(0, FAKE_HANG_FILE);
	gate_poke(gate);
	for (int i = 0; i < 2000 && (in_hand() != 1 || !kms_calls(kek[0])); i++)
		sleep_ms(5);
	const size_t asking = secret_in_use(); /* and what the answer is to be put into */
	gate_key_close(k);
	ck_assert_int_eq(in_hand(), 1);
	ck_assert_uint_eq(secret_in_use(), asking - 1);
	gate_status(gate, &s);
	ck_assert_uint_eq(s.keys_in_memory, 0);
	fake_set(0, FAKE_OK);
	for (int i = 0; i < 2000 && (in_hand() != -1 || secret_in_use() != without); i++)
		sleep_ms(5);
	ck_assert_int_eq(in_hand(), -1);
	ck_assert_uint_eq(secret_in_use(), without);
	gate_status(gate, &s);
	ck_assert_uint_eq(s.keys_in_memory, 0);
	ck_assert_int_eq(gate_state(gate), GATE_ACTIVE);
}
END_TEST

/* Another store's header is not ours. */
START_TEST(test_foreign_header)
{
	struct plan p = lazy;
	uint8_t header[HEADER_LEN_FILE];
	struct gate_key *k;

	p.type = types[_i];
	make(&p);
	ck_assert_int_eq(gate_key_create(gate, header, &k), 0);
	gate_key_close(k);
	gate_close(gate);
	keyring_free(keyring);
	make(&p);
	ck_assert_int_eq(gate_key_open(gate, header, &k), -EBADMSG);
}
END_TEST

/* Wrap type `file`: a wrap by an algorithm that nobody knows makes no file, for nothing could open it again. */
START_TEST(test_create_unknown_algorithm)
{
	struct plan p = lazy;
	uint8_t header[HEADER_LEN_FILE] = {0};
	struct gate_key *k = NULL;

	p.type = WRAP_FILE;
	make(&p);
	fake_set(0, FAKE_NOALGORITHM);
	ck_assert_int_eq(gate_key_create(gate, header, &k), -ETIMEDOUT);
	ck_assert_ptr_null(k);
	ck_assert_int_eq(header[0], 0);
}
END_TEST

static void note_version(int version)
{
	atomic_store(&fakes[0].version, version);
}

/* Wrap type `file`: a refused key version drops exactly its files; one that is written to may still be sealed. */
START_TEST(test_versions)
{
	struct plan p = lazy;
	uint8_t header[HEADER_LEN_FILE];
	struct gate_key *old, *written, *new;

	p.type = WRAP_FILE;
	start(&p);
	ck_assert_int_eq(gate_key_create(gate, header, &old), 0);
	ck_assert_int_eq(gate_key_create(gate, header, &written), 0);
	gate_key_writable(written, true);
	note_version(2);
	ck_assert_int_eq(gate_key_create(gate, header, &new), 0);
	/* The keyring's own wrap is of version 1: only files are refused. */
	atomic_store(&fakes[0].bad_version, 2);
	gate_poke(gate);
	for (int i = 0; i < 400 && borrow(new, GATE_USE_NEW) == 0; i++)
		sleep_ms(5);
	ck_assert_int_eq(borrow(new, GATE_USE_NEW), -EACCES);
	ck_assert_int_eq(borrow(new, GATE_USE_DRAIN), -EACCES);
	ck_assert_int_eq(borrow(old, GATE_USE_NEW), 0);
	ck_assert_int_eq(gate_state(gate), GATE_ACTIVE);
	atomic_store(&fakes[0].bad_version, -1);
	gate_poke(gate);
	for (int i = 0; i < 400 && borrow(new, GATE_USE_NEW) != 0; i++)
		sleep_ms(5);
	ck_assert_int_eq(borrow(new, GATE_USE_NEW), 0);
	gate_key_writable(new, true);
	atomic_store(&fakes[0].bad_version, 2);
	gate_poke(gate);
	for (int i = 0; i < 400 && borrow(new, GATE_USE_NEW) == 0; i++)
		sleep_ms(5);
	ck_assert_int_eq(borrow(new, GATE_USE_NEW), -EACCES);
	ck_assert_int_eq(borrow(new, GATE_USE_DRAIN), 0);
	gate_key_writable(new, false);
	ck_assert_int_eq(borrow(new, GATE_USE_DRAIN), -EACCES);
	/* Through a lock and back: the refused one alone stays refused. */
	ck_assert_int_eq(gate_lock(gate, "test"), 0);
	ck_assert_int_eq(gate_unlock(gate, (char[320]){0}), 0);
	ck_assert_int_eq(borrow(old, GATE_USE_NEW), 0);
	ck_assert_int_eq(borrow(written, GATE_USE_NEW), 0);
	ck_assert_int_eq(borrow(new, GATE_USE_NEW), -EACCES);
	gate_key_close(old);
	gate_key_close(written);
	gate_key_close(new);
}
END_TEST

/* A file's KMS call under way when the lock comes: it fails, and leaves no key. */
static void *opener(void *arg)
{
	struct gate_key *k = NULL;
	int r = gate_key_open(gate, arg, &k);

	gate_key_close(k);
	return (void *)(intptr_t)r;
}

START_TEST(test_lock_during_unwrap)
{
	struct plan p = lazy;
	uint8_t header[HEADER_LEN_FILE];
	struct gate_key *k;
	pthread_t t;
	void *r;

	p.type = WRAP_FILE;
	start(&p);
	ck_assert_int_eq(gate_key_create(gate, header, &k), 0);
	gate_key_close(k);
	fake_set(0, FAKE_HANG);
	ck_assert_int_eq(pthread_create(&t, NULL, opener, header), 0);
	sleep_ms(50);
	ck_assert_int_eq(gate_lock(gate, "test"), 0);
	ck_assert_int_eq(pthread_join(t, &r), 0);
	ck_assert_int_lt((int)(intptr_t)r, 0);
	ck_assert_uint_eq(secret_in_use(), 0);
}
END_TEST

/* Many threads borrow, open, create and close while the gate locks and returns in every way it can. */
static atomic_int running;
static atomic_int lent, refused, wrong;

static void *stress_main(void *arg)
{
	uint8_t header[HEADER_LEN_FILE];
	struct gate_key *k = NULL;
	unsigned turn = (unsigned)(uintptr_t)arg;

	while (atomic_load(&running)) {
		int r;

		if (k && turn++ % 50 == 0) {
			gate_key_close(k);
			k = NULL;
		}
		if (!k && gate_key_create(gate, header, &k) == 0 && turn % 2) {
			gate_key_close(k);
			k = NULL;
			if (gate_key_open(gate, header, &k))
				k = NULL;
		}
		r = k ? borrow(k, turn % 3 ? GATE_USE_NEW : GATE_USE_DRAIN) : may(GATE_USE_NEW);
		if (r == 0)
			atomic_fetch_add(&lent, 1);
		else if (r == -EACCES)
			atomic_fetch_add(&refused, 1);
		else
			atomic_fetch_add(&wrong, 1);
		if (r)
			sched_yield();
	}
	gate_key_close(k);
	return NULL;
}

START_TEST(test_stress)
{
	static const enum fake_mode modes[] = {FAKE_REVOKED, FAKE_OK, FAKE_TRANSIENT, FAKE_OK,
					       FAKE_HANG,    FAKE_OK, FAKE_FLAP,      FAKE_OK};
	struct plan p = {.n = 1, .policy = POLICY_ALL, .type = types[_i], .poll_ms = 5, .lease_ms = 40};
	struct gate_status s;
	pthread_t t[8];
	char why[320];
	int r, tries;

	start(&p);
	atomic_store(&running, 1);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, stress_main, (void *)(uintptr_t)i), 0);
	/* Until both have happened often enough, on a machine however slow. */
	for (int turn = 0; turn < 24 || (turn < 400 && (atomic_load(&lent) <= 1000 || !atomic_load(&refused)));
	     turn++) {
		fake_set(0, modes[turn % ARRAY_LEN(modes)]);
		fake_notify(0);
		sleep_ms(5 + turn % 7 * 5);
		if (turn % 5 == 0) {
			gate_lock(gate, "stress");
			fake_set(0, FAKE_OK);
			/* A lease of 40 ms may end again before a slow machine has looked. */
			for (r = -ETIMEDOUT, tries = 0; r == -ETIMEDOUT && tries < 50; tries++)
				r = gate_unlock(gate, why);
			ck_assert_msg(r == 0, "%d %s", r, why);
		}
		gate_status(gate, &s);
	}
	fake_set(0, FAKE_OK);
	gate_poke(gate);
	ck_assert_int_ge(await(GATE_ACTIVE, 5000), 0);
	sleep_ms(50);
	atomic_store(&running, 0);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		pthread_join(t[i], NULL);
	ck_assert_int_gt(atomic_load(&lent), 1000);
	ck_assert_int_gt(atomic_load(&refused), 0);
	ck_assert_int_eq(atomic_load(&wrong), 0);
	gate_status(gate, &s);
	ck_assert_uint_eq(s.keys_in_memory, 0);
	ck_assert_int_eq(gate_lock(gate, "end"), 0);
	ck_assert_uint_eq(secret_in_use(), 0);
}
END_TEST

static Suite *gate_suite(void)
{
	Suite *s = suite_create("gate");
	TCase *t = tcase_create("gate");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_new_refuses);
	tcase_add_loop_test(t, test_open, 0, (int)ARRAY_LEN(opens));
	tcase_add_test(t, test_asked);
	tcase_add_loop_test(t, test_hanging, 0, 2);
	tcase_add_test(t, test_confirm);
	tcase_add_test(t, test_hooks);
	tcase_add_test(t, test_detach);
	tcase_add_test(t, test_lease_alone);
	tcase_add_test(t, test_grace_begins);
	tcase_add_test(t, test_suspend);
	tcase_add_test(t, test_order);
	tcase_add_loop_test(t, test_drain_limit, 0, 2);
	tcase_add_test(t, test_drain_limit_at_door);
	tcase_add_test(t, test_order_without_thread);
	tcase_add_test(t, test_signal);
	tcase_add_loop_test(t, test_order_while_hanging, 0, 2);
	tcase_add_test(t, test_late_answer);
	tcase_add_test(t, test_unlock_before_worker);
	tcase_add_loop_test(t, test_policies, 0, 2);
	tcase_add_loop_test(t, test_keys, 0, 2);
	tcase_add_test(t, test_close_in_hand);
	tcase_add_loop_test(t, test_foreign_header, 0, 2);
	tcase_add_test(t, test_create_unknown_algorithm);
	tcase_add_test(t, test_versions);
	tcase_add_test(t, test_lock_during_unwrap);
	tcase_add_loop_test(t, test_stress, 0, 2);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	SRunner *r = srunner_create(gate_suite());
	int failed;

	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
