/* SPDX-License-Identifier: BSD-2-Clause */
/* The gate over time: grace, clocks, manual return, other keys, what it shows and tells, the cap on keys. */
#include "crypto/keys_private.h"
#include "tests/unit/gate_rig.h"

#define HOUR 3600000

/* Wait until hooks have been heard to the end: the last event is LAST. */
static void await_event(char last)
{
	char event[4096];

	for (int i = 0; i < 1000; i++) {
		history_copy(event);
		if (event[0] && event[strlen(event) - 1] == last)
			return;
		sleep_ms(5);
	}
	ck_abort_msg("no %c at the end of %s", last, event);
}

static int count(char what)
{
	char event[4096];
	int n = 0;

	history_copy(event);
	for (const char *p = event; *p; p++)
		n += *p == what;
	return n;
}

static void jump(int64_t ms)
{
	atomic_fetch_add(&clock_jump, ms);
	gate_wake(gate);
}

/* Grace: its end is fixed when it begins, and counts on the gate's clock. */
START_TEST(test_grace_deadline)
{
	struct plan p = {
		.n = 1, .policy = POLICY_ALL, .type = WRAP_STORE, .poll_ms = 1000, .lease_ms = 30000, .grace_ms = HOUR};
	struct gate_status s;
	int64_t end, from;

	start(&p);
	from = gate->machine.lease_end - 30000; /* the last good answer */
	fake_set(0, FAKE_TRANSIENT);
	jump(29500);
	ck_assert_int_ge(await(GATE_GRACE, 2000), 0);
	end = atomic_load(&gate->deadline);
	ck_assert_int_ge(end, from + HOUR); /* one more good answer may have slipped in */
	ck_assert_int_le(end, from + HOUR + 1000);
	for (int i = 0; i < 5; i++) {
		jump(600000);
		sleep_ms(20);
		ck_assert_int_eq(atomic_load(&gate->deadline), end);
		ck_assert_int_eq(may(GATE_USE_NEW), 0);
		gate_status(gate, &s);
		ck_assert_int_eq(s.state, GATE_GRACE);
		ck_assert_int_le(s.grace_left_ms, HOUR - 600000 * i);
	}
	jump(end - gate_now(gate) - 500);
	ck_assert_int_eq(may(GATE_USE_NEW), 0);
	atomic_fetch_add(&clock_jump, 501);
	ck_assert_int_eq(may(GATE_USE_NEW), -EACCES); /* the request looks itself */
	gate_wake(gate);
	ck_assert_int_ge(await(GATE_LOCKED, 2000), 0);
	gate_status(gate, &s);
	ck_assert_int_eq(s.cause, GATE_CAUSE_OUTAGE);
	ck_assert_int_eq(s.grace_left_ms, 0);
	await_event('L');
	/* No grace for a gate that has no keys: the KMS is still silent. */
	ck_assert_int_eq(gate_unlock(gate, (char[320]){0}), -ETIMEDOUT);
	ck_assert_int_eq(count('b'), 1);
}
END_TEST

START_TEST(test_grace_most)
{
	struct gate_config cfg = {.kek = kek, .grace_ms = GATE_GRACE_MAX_MS + 1};

	keyring = fake_keyring(1, POLICY_ALL, WRAP_STORE, kek);
	cfg.keyring = keyring;
	ck_assert_int_eq(gate_new(&cfg, &gate), -EINVAL);
	gate = NULL;
	cfg.grace_ms = GATE_GRACE_MAX_MS;
	ck_assert_int_eq(gate_new(&cfg, &gate), 0);
}
END_TEST

/* A suspend past the lease, with and without grace: nobody is let in before a new unwrap, and grace does not begin. */
START_TEST(test_suspend_no_enter)
{
	struct plan p = lazy;
	char event[4096];
	int before;

	p.grace_ms = _i ? HOUR : 0;
	start(&p);
	before = atomic_load(&fakes[0].calls);
	atomic_fetch_add(&clock_jump, 121000);
	while (may(GATE_USE_NEW) != 0) {
		gate_wake(gate);
		sleep_ms(1);
	}
	ck_assert_int_gt(atomic_load(&fakes[0].calls), before);
	await_event('A');
	history_copy(event);
	ck_assert_str_eq(event, "acDdLeaA");
}
END_TEST

/* A clock put back (CLOCK_BOOTTIME never is, but for a process restored elsewhere) makes no lease longer. */
START_TEST(test_clock_back)
{
	start(&lazy);
	ck_assert_int_eq(may(GATE_USE_NEW), 0);
	atomic_fetch_sub(&clock_jump, HOUR);
	ck_assert_int_eq(may(GATE_USE_NEW), -EACCES);
	gate_wake(gate);
	await_event('A'); /* locked, asked, back */
	ck_assert_int_eq(may(GATE_USE_NEW), 0);
	ck_assert_int_eq(count('D'), 1);
}
END_TEST

/* The words of a lock that a person must end; the decisions: test_gate_machine.c. */
START_TEST(test_manual)
{
	struct plan p = plain;
	struct gate_status s = {0};
	char why[320];

	p.manual = true;
	start(&p);
	fake_set(0, FAKE_REVOKED);
	ck_assert_int_ge(await(GATE_LOCKED, 3000), 0);
	fake_set(0, FAKE_OK);
	for (int i = 0; i < 2000 && !strstr(s.reason, "byokfs unlock"); i++) {
		sleep_ms(1);
		gate_status(gate, &s);
	}
	ck_assert_ptr_nonnull(strstr(s.reason, "byokfs unlock"));
	ck_assert_int_eq(s.state, GATE_LOCKED);
	ck_assert_int_eq(s.cause, GATE_CAUSE_REVOKED);
	ck_assert(s.ordered);
	fake_set(0, FAKE_REVOKED);
	for (int i = 0; i < 2000 && strstr(s.reason, "byokfs unlock"); i++) {
		sleep_ms(1);
		gate_status(gate, &s);
	}
	ck_assert_ptr_null(strstr(s.reason, "byokfs unlock"));
	ck_assert_int_eq(gate_unlock(gate, why), -EKEYREVOKED);
	gate_status(gate, &s);
	ck_assert(s.ordered);
	fake_set(0, FAKE_OK);
	ck_assert_int_eq(gate_unlock(gate, why), 0);
	gate_status(gate, &s);
	ck_assert(!s.ordered);
	ck_assert_int_eq(may(GATE_USE_NEW), 0);
}
END_TEST

/* A KMS that hangs holds up nobody who has a lease. */
START_TEST(test_hang_blocks_nothing)
{
	struct plan p = {.n = 1, .policy = POLICY_ALL, .type = WRAP_STORE, .poll_ms = 20, .lease_ms = 20000};
	uint8_t header[HEADER_LEN_STORE];
	struct gate_key *k;
	int64_t from, worst = 0;

	start(&p);
	fake_set(0, _i ? FAKE_DEAF : FAKE_HANG);
	sleep_ms(60);
	for (int i = 0; i < 200; i++) {
		from = real_ms();
		ck_assert_int_eq(gate_key_create(gate, header, &k), 0);
		ck_assert_int_eq(borrow(k, GATE_USE_NEW), 0);
		gate_key_close(k);
		worst = real_ms() - from > worst ? real_ms() - from : worst;
		gate_poke(gate);
	}
	ck_assert_int_lt(worst, 500);
	ck_assert_int_eq(gate_state(gate), GATE_ACTIVE);
}
END_TEST

/* The same root key, the same slot secret, but another store key in the box: not the keys that went. */
static void reseal(struct keyring *k)
{
	static const struct kms_purpose purpose = {.use = KMS_USE_KEYRING};
	static struct kms_wrapped wrapped;
	const struct keyring_slot *slot = &k->slot[0];
	uint8_t payload[PAYLOAD_LEN], secret[KEY_LEN], other[KEY_LEN];
	struct store_keys *old = NULL, *new = NULL;
	struct kms_verdict v;

	ck_assert_int_eq(custody_open(k, kek, &old, &v), 0);
	kms_wrapped_set(&wrapped, slot->algorithm, slot->version, slot->wrapped, slot->wrapped_len);
	ck_assert_int_eq(kms_unwrap(kek[0], &purpose, &wrapped, payload, &v), 0);
	ck_assert_int_eq(slot_payload_parse(payload, PAYLOAD_LEN, k->store_id, secret), 0);
	random_bytes(other, sizeof(other));
	ck_assert_int_eq(store_keys_new(old->root, SUITE_2, &new), 0);
	ck_assert_int_eq(store_keys_add(new, 1, other), 0);
	ck_assert_int_eq(keyring_seal(k, secret, new), 0);
	store_keys_free(old);
	store_keys_free(new);
}

START_TEST(test_same_keys)
{
	struct gate_status s;
	uint8_t *box;
	size_t len;
	char why[320];

	start(&lazy);
	ck_assert_int_eq(gate_lock(gate, "test"), 0);
	for (uint32_t i = 0; i < FAKES; i++)
		atomic_store(&fakes[i].cancelled, 0);
	box = malloc(keyring->len);
	len = keyring->len;
	memcpy(box, keyring->bytes, len);
	reseal(keyring);
	ck_assert_uint_eq(keyring->len, len);
	ck_assert_int_ne(gate_unlock(gate, why), 0);
	gate_status(gate, &s);
	ck_assert_int_eq(s.state, GATE_LOCKED);
	ck_assert_int_eq(s.cause, GATE_CAUSE_REVOKED);
	ck_assert_str_eq(s.reason, GATE_OTHER_KEYS);
	ck_assert_uint_eq(secret_in_use(), 0);
	memcpy(keyring->bytes, box, len);
	free(box);
	ck_assert_int_eq(gate_unlock(gate, why), 0);
	ck_assert_int_eq(may(GATE_USE_NEW), 0);
}
END_TEST

/* What a process that watches sees, and when. */
static struct gate_beacon beacon;

static void watch_drain(void *arg, unsigned drain_ms)
{
	(void)drain_ms;
	ck_assert_int_eq(atomic_load(&beacon.state), GATE_LOCKING);
	ck_assert_int_gt(atomic_load(&beacon.locking_since), real_ms() - 2000);
	ck_assert_int_le(atomic_load(&beacon.locking_since), real_ms());
	gate_drain_end(arg);
	note('D');
}

static void watch_locked(void *arg, enum gate_cause cause, const char *reason)
{
	(void)arg, (void)cause, (void)reason;
	sleep_ms(20);
	ck_assert_int_eq(gate_state(arg), GATE_LOCKED);
	ck_assert_int_eq(atomic_load(&beacon.state), GATE_LOCKING); /* not before all of it is done */
	note('L');
}

START_TEST(test_beacon)
{
	struct gate_hooks hooks = {.drain = watch_drain, .locked = watch_locked};
	struct plan p = lazy;
	uint64_t beat;
	int64_t deadline;

	p.beacon = &beacon;
	make(&p);
	hooks.arg = gate;
	ck_assert_int_eq(atomic_load(&beacon.state), GATE_ACTIVE);
	ck_assert_int_eq(atomic_load(&beacon.deadline), gate->machine.lease_end);
	ck_assert_int_eq(gate_start(gate, &hooks), 0);
	beat = atomic_load(&beacon.beat);
	for (int i = 0; i < 2;
	     i++) { /* idle, and yet a beat in every GATE_BEAT_MS; the first may be that of the start */
		for (unsigned ms = 0; ms < GATE_BEAT_MS && atomic_load(&beacon.beat) == beat; ms++)
			sleep_ms(1);
		ck_assert_uint_gt(atomic_load(&beacon.beat), beat);
		beat = atomic_load(&beacon.beat);
	}
	deadline = atomic_load(&beacon.deadline);
	gate_poke(gate);
	for (int i = 0; i < 400 && atomic_load(&beacon.deadline) == deadline; i++)
		sleep_ms(5);
	ck_assert_int_gt(atomic_load(&beacon.deadline), deadline); /* a renewal shows */
	ck_assert_int_eq(gate_lock(gate, "test"), 0);
	ck_assert_int_eq(atomic_load(&beacon.state), GATE_LOCKED);
	ck_assert_int_eq(atomic_load(&beacon.locking_since), 0);
	ck_assert_int_eq(count('D') + count('L'), 2);
	ck_assert_int_eq(gate_unlock(gate, (char[320]){0}), 0);
	ck_assert_int_eq(atomic_load(&beacon.state), GATE_ACTIVE);
	gate_detach(gate);
	gate_close(gate);
	gate = NULL;
	ck_assert_int_eq(atomic_load(&beacon.state), GATE_LOCKED);
}
END_TEST

/* Each change once, in order, before the hooks that are called for it; the first and the last too. */
START_TEST(test_changes)
{
	struct plan p = {
		.n = 1, .policy = POLICY_ALL, .type = types[_i], .poll_ms = 1000, .lease_ms = 30000, .grace_ms = HOUR};
	char event[4096];

	start(&p);
	await_event('a');
	fake_set(0, FAKE_TRANSIENT);
	jump(29500);
	await_event('b');
	ck_assert_int_eq(history.cause, GATE_CAUSE_NONE);
	ck_assert_str_eq(history.version, "1");
	fake_set(0, FAKE_REVOKED);
	gate_poke(gate);
	await_event('L');
	ck_assert_int_eq(history.cause, GATE_CAUSE_REVOKED);
	ck_assert_int_eq(gate_lock(gate, "test"),
			 0); /* another cause of the same state is told, and no hook is called */
	await_event('d');
	ck_assert_int_eq(history.cause, GATE_CAUSE_ORDERED);
	fake_set(0, FAKE_OK);
	ck_assert_int_eq(gate_unlock(gate, (char[320]){0}), 0);
	await_event('A');
	gate_close(gate);
	gate = NULL;
	ck_assert_int_eq(history.cause, GATE_CAUSE_CLOSED);
	history_copy(event);
	ck_assert_str_eq(event, "abcDdLdeaAcd");
}
END_TEST

START_TEST(test_changes_detached)
{
	char event[4096];

	start(&lazy);
	gate_detach(gate);
	gate_close(gate);
	gate = NULL;
	history_copy(event);
	ck_assert_str_eq(event, "a");
}
END_TEST

/* Wrap type `file`: a refused version is told to fs, outside every lock, and the gate serves on. */
START_TEST(test_files_refused)
{
	struct plan p = lazy;
	uint8_t header[HEADER_LEN_FILE];
	struct gate_key *k;
	int calls;

	p.type = WRAP_FILE;
	start(&p);
	atomic_store(&fakes[0].version, 2);
	ck_assert_int_eq(gate_key_create(gate, header, &k), 0);
	atomic_store(&fakes[0].bad_version, 2);
	gate_poke(gate);
	await_event('F');
	ck_assert_int_eq(gate_state(gate), GATE_ACTIVE);
	ck_assert_int_eq(borrow(k, GATE_USE_NEW), -EACCES);
	calls = atomic_load(&fakes[0].calls);
	gate_poke(gate);
	for (int i = 0; i < 2000 && atomic_load(&fakes[0].calls) < calls + 3; i++)
		sleep_ms(1); /* the keyring, and the version twice */
	ck_assert_int_ge(atomic_load(&fakes[0].calls), calls + 3);
	sleep_ms(10);
	ck_assert_int_eq(count('F'), 1); /* once: it was refused already */
	gate_key_close(k);
}
END_TEST

#define CAP_KEYS 600

static struct gate_key *crowd[CAP_KEYS];
static uint8_t crowd_id[CAP_KEYS][ID_LEN];
static atomic_int crowd_runs, crowd_lent;

static void *crowd_main(void *arg)
{
	unsigned turn = (unsigned)(uintptr_t)arg * 7919;

	while (atomic_load(&crowd_runs)) {
		unsigned i = (turn = turn * 1103515245u + 12345u) / 65536 % CAP_KEYS;
		const struct store_keys *store;
		const struct file_keys *keys;

		if (gate_enter(gate, GATE_USE_NEW, &store)) {
			sleep_ms(1); /* whoever lets in needs the processor */
			continue;
		}
		ck_assert_int_eq(gate_key_borrow(crowd[i], store, &keys), 0);
		ck_assert_mem_eq(file_keys_id(keys), crowd_id[i], ID_LEN);
		gate_leave(gate);
		atomic_fetch_add(&crowd_lent, 1);
	}
	return NULL;
}

/* Wait until MORE keys were lent, and keys were dropped in between. */
static void crowd_await(int more)
{
	const int64_t dropped = (int64_t)atomic_load(&gate->dropped);
	const int lent = atomic_load(&crowd_lent);

	for (int i = 0; i < 10000; i++) {
		if (atomic_load(&crowd_lent) >= lent + more && (int64_t)atomic_load(&gate->dropped) > dropped)
			return;
		sleep_ms(1);
	}
	ck_abort_msg("no keys are lent, or none is dropped");
}

/* More open files than keys that fit: those unused are dropped, every file still has its own key, a lock wipes all. */
START_TEST(test_cap)
{
	uint8_t header[HEADER_LEN_STORE];
	struct gate_status s;
	struct header h;
	pthread_t t[4];

	make(&lazy);
	gate->cap = 50;
	ck_assert_int_eq(gate_start(gate, NULL), 0);
	for (int i = 0; i < CAP_KEYS; i++) {
		ck_assert_int_eq(gate_key_create(gate, header, &crowd[i]), 0);
		ck_assert_int_eq(header_parse(header, HEADER_LEN_STORE, &h), 0);
		memcpy(crowd_id[i], h.file_id, ID_LEN);
	}
	atomic_store(&crowd_runs, 1);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, crowd_main, (void *)(uintptr_t)i), 0);
	crowd_await(2000);
	ck_assert_int_eq(gate_lock(gate, "test"), 0);
	ck_assert_uint_eq(secret_in_use(), 0);
	ck_assert_int_eq(gate_unlock(gate, (char[320]){0}), 0);
	crowd_await(1000);
	atomic_store(&crowd_runs, 0);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		pthread_join(t[i], NULL);
	ck_assert_int_gt(atomic_load(&crowd_lent), 100);
	for (int i = 0; i < 1000; i++) {
		gate_status(gate, &s);
		if (s.keys_in_memory <= 50)
			break;
		sleep_ms(5);
	}
	ck_assert_uint_le(s.keys_in_memory, 50);
	ck_assert_uint_eq(s.keys_cap, 50);
	ck_assert_uint_gt(s.keys_dropped, CAP_KEYS - 50);
	for (int i = 0; i < CAP_KEYS; i++)
		gate_key_close(crowd[i]);
	gate_status(gate, &s);
	for (int i = 0; i < 400 && s.keys_in_memory; i++) {
		sleep_ms(5);
		gate_status(gate, &s);
	}
	ck_assert_uint_eq(s.keys_in_memory, 0);
}
END_TEST

/* Wrap type `file` drops none: each would cost a KMS call to have again. */
START_TEST(test_cap_file)
{
	struct plan p = lazy;
	uint8_t header[HEADER_LEN_FILE];
	struct gate_status s;

	p.type = WRAP_FILE;
	make(&p);
	gate->cap = 5;
	ck_assert_int_eq(gate_start(gate, NULL), 0);
	for (int i = 0; i < 20; i++)
		ck_assert_int_eq(gate_key_create(gate, header, &crowd[i]), 0);
	sleep_ms(50);
	gate_status(gate, &s);
	ck_assert_uint_eq(s.keys_in_memory, 20);
	ck_assert_uint_eq(s.keys_dropped, 0);
	for (int i = 0; i < 20; i++) {
		ck_assert_int_eq(borrow(crowd[i], GATE_USE_NEW), 0);
		gate_key_close(crowd[i]);
	}
}
END_TEST

/* Own running time: what stops both, a suspend for instance, says nothing about whoever watches. */
START_TEST(test_watcher_look)
{
	struct gate_watcher w = {.last = 1000};
	int64_t now = 1000;

	for (int i = 0; i < 1000; i++) /* nobody watches */
		ck_assert(!gate_watcher_look(&w, 0, now += 200));
	for (uint64_t beat = 1; beat < 100; beat++)
		ck_assert(!gate_watcher_look(&w, beat, now += 200));
	for (int i = 0; i < 7; i++) { /* seven suspends in a row, and no beat between them yet */
		now += 3600000;
		ck_assert(!gate_watcher_look(&w, 99, now));
	}
	ck_assert(!gate_watcher_look(&w, 100, now += 100));
	int64_t since = now;
	while (!gate_watcher_look(&w, 100, now += 200))
		ck_assert_int_le(now - since, GATE_WATCHER_MS);
	ck_assert_int_gt(now - since, GATE_WATCHER_MS);
	ck_assert(gate_watcher_look(&w, 100, now += 200));
	ck_assert(!gate_watcher_look(&w, 101, now += 200));
	ck_assert(!gate_watcher_look(&w, 101, now - 5000)); /* that clock does not go back, and if it did */
}
END_TEST

/* Whoever watches stops, and goes on: locked, with a reason of its own that an unlock does not lift, and back by itself. */
START_TEST(test_watcher)
{
	struct plan p = lazy;
	struct gate_status s;
	char why[320];

	p.beacon = &beacon;
	atomic_store(&beacon.watcher, 1);
	start(&p);
	for (int i = 0; i < 2 * (int)GATE_WATCHER_MS; i += 100) {
		sleep_ms(100);
		atomic_fetch_add(&beacon.watcher, 1);
		ck_assert_int_eq(gate_state(gate), GATE_ACTIVE);
	}
	await_locked(); /* 5 s are enough for its 3 */
	gate_status(gate, &s);
	ck_assert_int_eq(s.cause, GATE_CAUSE_UNWATCHED);
	ck_assert_str_eq(gate_cause_name(s.cause), "unwatched");
	ck_assert_ptr_nonnull(strstr(s.reason, "supervisor"));
	ck_assert(!s.ordered);
	ck_assert_int_eq(gate_unlock(gate, why), -EACCES);
	ck_assert_ptr_nonnull(strstr(why, "supervisor"));
	atomic_fetch_add(&beacon.watcher, 1);
	ck_assert_int_ge(await(GATE_ACTIVE, 3000), 0);
	ck_assert_int_eq(may(GATE_USE_NEW), 0);
}
END_TEST

static Suite *gate_states_suite(void)
{
	Suite *s = suite_create("gate_states");
	TCase *t = tcase_create("gate_states");

	tcase_set_timeout(t, 90);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_grace_deadline);
	tcase_add_test(t, test_grace_most);
	tcase_add_loop_test(t, test_suspend_no_enter, 0, 2);
	tcase_add_test(t, test_clock_back);
	tcase_add_test(t, test_manual);
	tcase_add_loop_test(t, test_hang_blocks_nothing, 0, 2);
	tcase_add_test(t, test_same_keys);
	tcase_add_test(t, test_beacon);
	tcase_add_test(t, test_watcher_look);
	tcase_add_test(t, test_watcher);
	tcase_add_loop_test(t, test_changes, 0, 2);
	tcase_add_test(t, test_changes_detached);
	tcase_add_test(t, test_files_refused);
	tcase_add_test(t, test_cap);
	tcase_add_test(t, test_cap_file);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	SRunner *r = srunner_create(gate_states_suite());
	int failed;

	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
