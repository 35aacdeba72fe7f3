/* SPDX-License-Identifier: BSD-2-Clause */
/* The gate's machine by table: every state and event, every cause, every time; the clock is a number here. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/attr.h"
#include "kms/gate/gate_machine.h"

#define POLL 1000
#define LEASE 10000
#define GRACE 60000
#define HOUR 3600000
#define T0 1000000      /* the newest good answer was asked for then */
#define NOW (T0 + 3000) /* and it is this */
#define ANY INT64_MIN   /* not looked at */

/* ck_assert() writes into a pipe each time: too slow for what is looked at a million times. */
#define MUST(x)                                 \
	do {                                    \
		if (!(x))                       \
			ck_abort_msg("%s", #x); \
	} while (0)

/* Where a row begins. */
enum from {
	ACTIVE = 1,
	ASKING,    /* ACTIVE, a probe is under way */
	DOUBTED,   /* ACTIVE, one refusal was heard */
	REFRESHED, /* ACTIVE, a bad credential was tried afresh */
	IN_GRACE,
	GRACE_DOUBTED,
	REVOKED,      /* LOCKED by it */
	REVOKED_GOOD, /* ... and one good answer was heard */
	OUTAGE,
	SLOW, /* LOCKED by an outage, for more than five minutes */
	ORDERED,
	UNLOCKING,      /* ORDERED, and then order 1 to unlock */
	HELD,           /* LOCKED by a refusal, manual_return */
	HELD_BACK,      /* ... and the key is back */
	HELD_UNLOCKING, /* ... and order 1 to unlock */
	RETURNING,      /* files' keys are being loaded */
	OPENING,
	OPENING_AGAIN, /* asked a second time */
};

static struct gate_machine locked(enum gate_cause cause, bool manual)
{
	struct gate_machine m = gate_machine_new(POLL, LEASE, GRACE, manual);

	m.cause = cause;
	m.locked_at = m.asked_at = T0;
	m.next_probe = NOW + 500;
	m.lease_end = m.deadline = T0;
	m.held = manual;
	return m;
}

static struct gate_machine begin(enum from from)
{
	const bool held = from == HELD || from == HELD_BACK || from == HELD_UNLOCKING;
	struct gate_machine m = locked(held || from == REVOKED || from == REVOKED_GOOD ? GATE_CAUSE_REVOKED
				       : from == OUTAGE || from == SLOW                ? GATE_CAUSE_OUTAGE
				       : from == ORDERED || from == UNLOCKING          ? GATE_CAUSE_ORDERED
										       : GATE_CAUSE_NONE,
				       held);

	if (from <= GRACE_DOUBTED || from == RETURNING)
		m.lease_end = m.deadline = T0 + LEASE;
	m.state = from <= REFRESHED ? GATE_ACTIVE : from <= GRACE_DOUBTED ? GATE_GRACE : GATE_LOCKED;
	if (m.state == GATE_GRACE)
		m.deadline += GRACE;
	m.asking = from == ASKING || from == OPENING || from == OPENING_AGAIN || from == RETURNING;
	m.refusal_unconfirmed = from == DOUBTED || from == GRACE_DOUBTED || from == OPENING_AGAIN;
	m.credential_refreshed = from == REFRESHED;
	m.good_unconfirmed = from == REVOKED_GOOD;
	m.told_back = from == HELD_BACK;
	m.ordered = from == ORDERED;
	m.opening = from == OPENING || from == OPENING_AGAIN;
	if (from == UNLOCKING || from == HELD_UNLOCKING) {
		m.request = m.unlocking = 1;
		m.held = false;
	}
	if (from == SLOW)
		m.locked_at = NOW - GATE_FAST_MS - 1;
	if (from == RETURNING)
		m.state = GATE_RETURNING;
	return m;
}

/* What is to be done, as words in the order of struct gate_actions. */
static const char *words(const struct gate_actions *a)
{
	static char text[128];

	snprintf(text, sizeof(text), "%s%s%s%s%s%s%s%s%s%s%s%s", a->take_keys ? "keys " : "",
		 a->show ? gate_state_name(a->show) : "", a->show && !a->tell ? " untold" : "", a->shut ? " shut" : "",
		 a->drain ? " drain" : "", a->wipe ? " wipe" : "", a->locked ? " locked-hook" : "",
		 a->active ? " active-hook" : "", a->files_refused ? " files-hook" : "", a->load ? " load" : "",
		 a->probe ? " probe" : "", a->fresh ? " fresh" : "");
	return text[0] == ' ' ? text + 1 : text;
}

/* In FROM, at time NOW, EV (asked for 100 ms ago when it is an answer): what becomes of it. */
struct row {
	enum from from;
	struct gate_event ev;
	enum gate_state state;
	enum gate_cause cause;
	const char *does;
	enum gate_word say;
	int64_t next; /* probe, from now */
	int64_t at;   /* 0 = NOW */
};

#define ANSWER(c) .kind = GATE_ANSWER, .class = KMS_##c
#define FRESH(c) .kind = GATE_ANSWER, .class = KMS_##c, .fresh = true
#define EVENT(k) .kind = GATE_##k

static const struct row rows[] = {
	/* Serving: a good answer renews, and ends a doubt and a grace. */
	{ACTIVE, {ANSWER(OK)}, GATE_ACTIVE, GATE_CAUSE_NONE, "", 0, POLL - 100, 0},
	{DOUBTED, {FRESH(OK)}, GATE_ACTIVE, GATE_CAUSE_NONE, "", 0, POLL - 100, 0},
	{IN_GRACE, {ANSWER(OK)}, GATE_ACTIVE, GATE_CAUSE_NONE, "active", GATE_SAY_GRACE_ENDS, POLL - 100, 0},
	/* A refusal is asked about again, fresh; the second locks when it was fresh. CORRUPT has worked before: a refusal. */
	{ACTIVE, {ANSWER(REVOKED)}, GATE_ACTIVE, GATE_CAUSE_NONE, "", GATE_SAY_REFUSED_ONCE, 0, 0},
	{ACTIVE, {FRESH(REVOKED)}, GATE_ACTIVE, GATE_CAUSE_NONE, "", GATE_SAY_REFUSED_ONCE, 0, 0},
	{ACTIVE, {ANSWER(CORRUPT)}, GATE_ACTIVE, GATE_CAUSE_NONE, "", GATE_SAY_REFUSED_ONCE, 0, 0},
	{DOUBTED, {ANSWER(REVOKED)}, GATE_ACTIVE, GATE_CAUSE_NONE, "", GATE_SAY_REFUSED_ONCE, 0, 0},
	{DOUBTED, {FRESH(REVOKED)}, GATE_LOCKING, GATE_CAUSE_REVOKED, "locking shut drain", GATE_SAY_LOCKING, ANY, 0},
	{DOUBTED, {FRESH(CORRUPT)}, GATE_LOCKING, GATE_CAUSE_REVOKED, "locking shut drain", GATE_SAY_LOCKING, ANY, 0},
	{IN_GRACE, {ANSWER(REVOKED)}, GATE_GRACE, GATE_CAUSE_NONE, "", GATE_SAY_REFUSED_ONCE, 0, 0},
	{GRACE_DOUBTED,
	 {FRESH(REVOKED)},
	 GATE_LOCKING,
	 GATE_CAUSE_REVOKED,
	 "locking shut drain",
	 GATE_SAY_LOCKING,
	 ANY,
	 0},
	/* Silence does not move the lease; a bad credential or reference is tried afresh once, then bounded like silence. */
	{ACTIVE, {ANSWER(TRANSIENT)}, GATE_ACTIVE, GATE_CAUSE_NONE, "", GATE_SAY_SILENT, POLL - 100, 0},
	{IN_GRACE, {ANSWER(TRANSIENT)}, GATE_GRACE, GATE_CAUSE_NONE, "", GATE_SAY_SILENT, POLL - 100, 0},
	{ACTIVE, {ANSWER(AUTH)}, GATE_ACTIVE, GATE_CAUSE_NONE, "", GATE_SAY_SILENT, 0, 0},
	{ACTIVE, {ANSWER(MISCONFIGURED)}, GATE_ACTIVE, GATE_CAUSE_NONE, "", GATE_SAY_SILENT, 0, 0},
	{REFRESHED, {FRESH(AUTH)}, GATE_ACTIVE, GATE_CAUSE_NONE, "", GATE_SAY_SILENT, POLL - 100, 0},
	{REFRESHED, {FRESH(MISCONFIGURED)}, GATE_ACTIVE, GATE_CAUSE_NONE, "", GATE_SAY_SILENT, POLL - 100, 0},
	{DOUBTED, {FRESH(TRANSIENT)}, GATE_ACTIVE, GATE_CAUSE_NONE, "", GATE_SAY_SILENT, GATE_CONFIRM_MS, 0},
	/* An answer that a lock has made void says nothing. */
	{ASKING, {EVENT(ANSWER)}, GATE_ACTIVE, GATE_CAUSE_NONE, "", 0, ANY, 0},
	{UNLOCKING, {EVENT(ANSWER)}, GATE_LOCKED, GATE_CAUSE_ORDERED, "", 0, 500, 0},

	/* Locked by a refusal: a good answer counts when it is repeated, fresh. */
	{REVOKED, {ANSWER(OK)}, GATE_LOCKED, GATE_CAUSE_REVOKED, "", 0, 0, 0},
	{REVOKED, {FRESH(OK)}, GATE_LOCKED, GATE_CAUSE_REVOKED, "", 0, 0, 0},
	{REVOKED_GOOD, {ANSWER(OK)}, GATE_LOCKED, GATE_CAUSE_REVOKED, "", 0, 0, 0},
	{REVOKED_GOOD, {FRESH(OK)}, GATE_RETURNING, GATE_CAUSE_NONE, "keys returning load", GATE_SAY_LOADING, ANY, 0},
	{REVOKED_GOOD,
	 {FRESH(REVOKED)},
	 GATE_LOCKED,
	 GATE_CAUSE_REVOKED,
	 "locked",
	 GATE_SAY_STILL_LOCKED,
	 POLL - 100,
	 0},
	{REVOKED, {ANSWER(REVOKED)}, GATE_LOCKED, GATE_CAUSE_REVOKED, "locked", GATE_SAY_STILL_LOCKED, POLL - 100, 0},
	{REVOKED, {ANSWER(CORRUPT)}, GATE_LOCKED, GATE_CAUSE_REVOKED, "locked", GATE_SAY_STILL_LOCKED, POLL - 100, 0},
	/* ... and silence does not replace it. */
	{REVOKED, {ANSWER(TRANSIENT)}, GATE_LOCKED, GATE_CAUSE_REVOKED, "", 0, POLL - 100, 0},
	{REVOKED_GOOD, {FRESH(AUTH)}, GATE_LOCKED, GATE_CAUSE_REVOKED, "", 0, POLL - 100, 0},
	/* Locked by an outage: one good answer is enough, a refusal replaces silence. */
	{OUTAGE, {ANSWER(OK)}, GATE_RETURNING, GATE_CAUSE_NONE, "keys returning load", GATE_SAY_LOADING, ANY, 0},
	{OUTAGE, {ANSWER(TRANSIENT)}, GATE_LOCKED, GATE_CAUSE_OUTAGE, "locked", GATE_SAY_STILL_LOCKED, POLL - 100, 0},
	{OUTAGE, {ANSWER(AUTH)}, GATE_LOCKED, GATE_CAUSE_OUTAGE, "locked", GATE_SAY_STILL_LOCKED, POLL - 100, 0},
	{OUTAGE, {ANSWER(REVOKED)}, GATE_LOCKED, GATE_CAUSE_REVOKED, "locked", GATE_SAY_STILL_LOCKED, POLL - 100, 0},
	{OUTAGE, {ANSWER(CORRUPT)}, GATE_LOCKED, GATE_CAUSE_REVOKED, "locked", GATE_SAY_STILL_LOCKED, POLL - 100, 0},
	/* After five minutes the questions come every 30 s. */
	{SLOW,
	 {ANSWER(TRANSIENT)},
	 GATE_LOCKED,
	 GATE_CAUSE_OUTAGE,
	 "locked",
	 GATE_SAY_STILL_LOCKED,
	 GATE_SLOW_MS - 100,
	 0},
	{SLOW, {ANSWER(OK)}, GATE_RETURNING, GATE_CAUSE_NONE, "keys returning load", GATE_SAY_LOADING, ANY, 0},
	/* Locked by order: nothing is asked, and what is answered all the same does not count. */
	{ORDERED, {ANSWER(OK)}, GATE_LOCKED, GATE_CAUSE_ORDERED, "", 0, ANY, 0},
	{ORDERED, {ANSWER(REVOKED)}, GATE_LOCKED, GATE_CAUSE_ORDERED, "", 0, ANY, 0},
	{ORDERED, {EVENT(TIME)}, GATE_LOCKED, GATE_CAUSE_ORDERED, "", 0, ANY, NOW + HOUR},
	{ORDERED, {EVENT(ORDER_LOCK)}, GATE_LOCKED, GATE_CAUSE_ORDERED, "locked wipe", GATE_SAY_REASON, ANY, 0},
	{ORDERED, {EVENT(ORDER_UNLOCK)}, GATE_LOCKED, GATE_CAUSE_ORDERED, "", 0, 0, 0},
	/* An order to unlock: one good answer is enough; a bad one is the reason from then on. */
	{UNLOCKING, {ANSWER(OK)}, GATE_RETURNING, GATE_CAUSE_NONE, "keys returning load", GATE_SAY_LOADING, ANY, 0},
	{UNLOCKING, {ANSWER(REVOKED)}, GATE_LOCKED, GATE_CAUSE_REVOKED, "locked", GATE_SAY_STILL_LOCKED, POLL - 100, 0},
	{UNLOCKING,
	 {ANSWER(TRANSIENT)},
	 GATE_LOCKED,
	 GATE_CAUSE_OUTAGE,
	 "locked",
	 GATE_SAY_STILL_LOCKED,
	 POLL - 100,
	 0},
	{UNLOCKING, {EVENT(ORDER_LOCK)}, GATE_LOCKED, GATE_CAUSE_ORDERED, "locked wipe", GATE_SAY_REASON, ANY, 0},
	{REVOKED, {EVENT(ORDER_UNLOCK)}, GATE_LOCKED, GATE_CAUSE_REVOKED, "", 0, 0, 0},
	{REVOKED, {EVENT(ORDER_LOCK)}, GATE_LOCKED, GATE_CAUSE_ORDERED, "locked wipe", GATE_SAY_REASON, ANY, 0},
	{OUTAGE, {EVENT(ORDER_LOCK)}, GATE_LOCKED, GATE_CAUSE_ORDERED, "locked wipe", GATE_SAY_REASON, ANY, 0},
	/* manual_return: a person decides, and is told once that he can. */
	{HELD, {ANSWER(OK)}, GATE_LOCKED, GATE_CAUSE_REVOKED, "locked", GATE_SAY_HELD, POLL - 100, 0},
	{HELD_BACK, {ANSWER(OK)}, GATE_LOCKED, GATE_CAUSE_REVOKED, "", 0, POLL - 100, 0},
	{HELD_BACK,
	 {ANSWER(TRANSIENT)},
	 GATE_LOCKED,
	 GATE_CAUSE_REVOKED,
	 "locked",
	 GATE_SAY_STILL_LOCKED,
	 POLL - 100,
	 0},
	{HELD_BACK, {ANSWER(REVOKED)}, GATE_LOCKED, GATE_CAUSE_REVOKED, "locked", GATE_SAY_STILL_LOCKED, POLL - 100, 0},
	{HELD_BACK, {EVENT(ORDER_UNLOCK)}, GATE_LOCKED, GATE_CAUSE_REVOKED, "", 0, 0, 0},
	{HELD_UNLOCKING,
	 {ANSWER(OK)},
	 GATE_RETURNING,
	 GATE_CAUSE_NONE,
	 "keys returning load",
	 GATE_SAY_LOADING,
	 ANY,
	 0},

	/* Returning: loaded within the lease, or the KMS must say yes once more; a no, or silence, is a lock without a drain. */
	{RETURNING,
	 {EVENT(LOADED)},
	 GATE_ACTIVE,
	 GATE_CAUSE_NONE,
	 "active active-hook",
	 GATE_SAY_SERVING_AGAIN,
	 500,
	 0},
	{RETURNING, {EVENT(LOADED)}, GATE_RETURNING, GATE_CAUSE_NONE, "probe", 0, ANY, T0 + LEASE},
	{RETURNING,
	 {ANSWER(OK)},
	 GATE_ACTIVE,
	 GATE_CAUSE_NONE,
	 "active active-hook",
	 GATE_SAY_SERVING_AGAIN,
	 POLL - 100,
	 T0 + LEASE},
	{RETURNING, {ANSWER(REVOKED)}, GATE_LOCKING, GATE_CAUSE_REVOKED, "locked untold shut", GATE_SAY_REASON, ANY, 0},
	{RETURNING, {ANSWER(CORRUPT)}, GATE_LOCKING, GATE_CAUSE_REVOKED, "locked untold shut", GATE_SAY_REASON, ANY, 0},
	{RETURNING,
	 {ANSWER(TRANSIENT)},
	 GATE_LOCKING,
	 GATE_CAUSE_OUTAGE,
	 "locked untold shut",
	 GATE_SAY_REASON,
	 ANY,
	 0},
	{RETURNING, {ANSWER(AUTH)}, GATE_LOCKING, GATE_CAUSE_OUTAGE, "locked untold shut", GATE_SAY_REASON, ANY, 0},
	{RETURNING, {EVENT(TIME)}, GATE_RETURNING, GATE_CAUSE_NONE, "", 0, ANY, T0 + HOUR},
	{RETURNING,
	 {EVENT(ORDER_LOCK)},
	 GATE_LOCKING,
	 GATE_CAUSE_ORDERED,
	 "locked untold shut",
	 GATE_SAY_REASON,
	 ANY,
	 0},
	{RETURNING, {EVENT(CLOSING)}, GATE_LOCKING, GATE_CAUSE_CLOSED, "locked untold shut", GATE_SAY_REASON, ANY, 0},
	{RETURNING, {EVENT(FILES_REFUSED)}, GATE_RETURNING, GATE_CAUSE_NONE, "", 0, ANY, 0},

	/* The first question: a refusal and a bad identity are asked once more. */
	{OUTAGE, {EVENT(OPEN)}, GATE_LOCKED, GATE_CAUSE_OUTAGE, "probe", 0, ANY, 0},
	{OPENING, {ANSWER(OK)}, GATE_ACTIVE, GATE_CAUSE_NONE, "keys active", GATE_SAY_OPENED, POLL - 100, 0},
	{OPENING, {ANSWER(REVOKED)}, GATE_LOCKED, GATE_CAUSE_NONE, "probe fresh", 0, ANY, 0},
	{OPENING, {ANSWER(AUTH)}, GATE_LOCKED, GATE_CAUSE_NONE, "probe fresh", 0, ANY, 0},
	{OPENING, {ANSWER(TRANSIENT)}, GATE_LOCKED, GATE_CAUSE_OUTAGE, "locked", GATE_SAY_REASON, ANY, 0},
	{OPENING, {ANSWER(MISCONFIGURED)}, GATE_LOCKED, GATE_CAUSE_OUTAGE, "locked", GATE_SAY_REASON, ANY, 0},
	{OPENING, {ANSWER(CORRUPT)}, GATE_LOCKED, GATE_CAUSE_OUTAGE, "locked", GATE_SAY_REASON, ANY, 0},
	{OPENING_AGAIN, {FRESH(OK)}, GATE_ACTIVE, GATE_CAUSE_NONE, "keys active", GATE_SAY_OPENED, POLL - 100, 0},
	{OPENING_AGAIN, {FRESH(REVOKED)}, GATE_LOCKED, GATE_CAUSE_REVOKED, "locked", GATE_SAY_REASON, ANY, 0},
	{OPENING_AGAIN, {FRESH(AUTH)}, GATE_LOCKED, GATE_CAUSE_OUTAGE, "locked", GATE_SAY_REASON, ANY, 0},

	/* An order, and the end, in every state that serves. */
	{ACTIVE, {EVENT(ORDER_LOCK)}, GATE_LOCKING, GATE_CAUSE_ORDERED, "locking shut drain", GATE_SAY_LOCKING, ANY, 0},
	{ASKING, {EVENT(ORDER_LOCK)}, GATE_LOCKING, GATE_CAUSE_ORDERED, "locking shut drain", GATE_SAY_LOCKING, ANY, 0},
	{DOUBTED,
	 {EVENT(ORDER_LOCK)},
	 GATE_LOCKING,
	 GATE_CAUSE_ORDERED,
	 "locking shut drain",
	 GATE_SAY_LOCKING,
	 ANY,
	 0},
	{IN_GRACE,
	 {EVENT(ORDER_LOCK)},
	 GATE_LOCKING,
	 GATE_CAUSE_ORDERED,
	 "locking shut drain",
	 GATE_SAY_LOCKING,
	 ANY,
	 0},
	{ACTIVE, {EVENT(ORDER_UNLOCK)}, GATE_ACTIVE, GATE_CAUSE_NONE, "", 0, 0, 0},
	{IN_GRACE, {EVENT(ORDER_UNLOCK)}, GATE_GRACE, GATE_CAUSE_NONE, "", 0, 0, 0},
	{ACTIVE, {EVENT(CLOSING)}, GATE_LOCKING, GATE_CAUSE_CLOSED, "locking shut drain", GATE_SAY_REASON, ANY, 0},
	{IN_GRACE, {EVENT(CLOSING)}, GATE_LOCKING, GATE_CAUSE_CLOSED, "locking shut drain", GATE_SAY_REASON, ANY, 0},
	{REVOKED, {EVENT(CLOSING)}, GATE_LOCKING, GATE_CAUSE_CLOSED, "locked untold shut", GATE_SAY_REASON, ANY, 0},
	{ACTIVE, {EVENT(FILES_REFUSED)}, GATE_ACTIVE, GATE_CAUSE_NONE, "files-hook", 0, ANY, 0},
	{IN_GRACE, {EVENT(FILES_REFUSED)}, GATE_GRACE, GATE_CAUSE_NONE, "files-hook", 0, ANY, 0},
	{REVOKED, {EVENT(FILES_REFUSED)}, GATE_LOCKED, GATE_CAUSE_REVOKED, "", 0, ANY, 0},

	/* Nobody watches: locked, from wherever keys are lent or loaded; nothing is asked until somebody does. */
	{ACTIVE,
	 {EVENT(UNWATCHED)},
	 GATE_LOCKING,
	 GATE_CAUSE_UNWATCHED,
	 "locking shut drain",
	 GATE_SAY_LOCKING,
	 ANY,
	 0},
	{IN_GRACE,
	 {EVENT(UNWATCHED)},
	 GATE_LOCKING,
	 GATE_CAUSE_UNWATCHED,
	 "locking shut drain",
	 GATE_SAY_LOCKING,
	 ANY,
	 0},
	{RETURNING,
	 {EVENT(UNWATCHED)},
	 GATE_LOCKING,
	 GATE_CAUSE_UNWATCHED,
	 "locked untold shut",
	 GATE_SAY_REASON,
	 ANY,
	 0},
	{REVOKED, {EVENT(UNWATCHED)}, GATE_LOCKED, GATE_CAUSE_REVOKED, "", 0, ANY, 0},
	{ORDERED, {EVENT(UNWATCHED)}, GATE_LOCKED, GATE_CAUSE_ORDERED, "", 0, ANY, 0},
	{REVOKED, {EVENT(WATCHED)}, GATE_LOCKED, GATE_CAUSE_REVOKED, "", 0, 0, 0},

	/* Time: the next probe, the grace, the ends of the lease and of the grace. */
	{ACTIVE, {EVENT(TIME)}, GATE_ACTIVE, GATE_CAUSE_NONE, "", 0, 500, 0},
	{ACTIVE, {EVENT(TIME)}, GATE_ACTIVE, GATE_CAUSE_NONE, "probe", 0, POLL, NOW + 500},
	{OUTAGE, {EVENT(TIME)}, GATE_LOCKED, GATE_CAUSE_OUTAGE, "probe", 0, POLL, NOW + 500},
	{ASKING, {EVENT(TIME)}, GATE_ACTIVE, GATE_CAUSE_NONE, "", 0, ANY, T0 + LEASE - POLL - 1},
	{ASKING, {EVENT(TIME)}, GATE_GRACE, GATE_CAUSE_NONE, "grace", GATE_SAY_GRACE_BEGINS, ANY, T0 + LEASE - POLL},
	{ASKING, {EVENT(TIME)}, GATE_GRACE, GATE_CAUSE_NONE, "grace", GATE_SAY_GRACE_BEGINS, ANY, T0 + LEASE - 1},
	{ASKING,
	 {EVENT(TIME)},
	 GATE_LOCKING,
	 GATE_CAUSE_OUTAGE,
	 "locking shut drain",
	 GATE_SAY_LEASE_OVER,
	 ANY,
	 T0 + LEASE},
	{DOUBTED, {EVENT(TIME)}, GATE_ACTIVE, GATE_CAUSE_NONE, "probe", 0, ANY, T0 + LEASE - 1},
	{DOUBTED,
	 {EVENT(TIME)},
	 GATE_LOCKING,
	 GATE_CAUSE_REVOKED,
	 "locking shut drain",
	 GATE_SAY_LEASE_OVER,
	 ANY,
	 T0 + LEASE},
	{IN_GRACE, {EVENT(TIME)}, GATE_GRACE, GATE_CAUSE_NONE, "probe", 0, POLL, T0 + LEASE + GRACE - 1},
	{IN_GRACE,
	 {EVENT(TIME)},
	 GATE_LOCKING,
	 GATE_CAUSE_OUTAGE,
	 "locking shut drain",
	 GATE_SAY_GRACE_OVER,
	 ANY,
	 T0 + LEASE + GRACE},
	/* A suspend, and a clock that was put back, before grace could begin. */
	{ACTIVE,
	 {EVENT(TIME)},
	 GATE_LOCKING,
	 GATE_CAUSE_OUTAGE,
	 "locking shut drain",
	 GATE_SAY_LEASE_OVER,
	 ANY,
	 T0 + HOUR},
	{ACTIVE,
	 {EVENT(TIME)},
	 GATE_LOCKING,
	 GATE_CAUSE_OUTAGE,
	 "locking shut drain",
	 GATE_SAY_LEASE_OVER,
	 ANY,
	 T0 - 1},
	{IN_GRACE,
	 {EVENT(TIME)},
	 GATE_LOCKING,
	 GATE_CAUSE_OUTAGE,
	 "locking shut drain",
	 GATE_SAY_GRACE_OVER,
	 ANY,
	 T0 - 1},
	{ACTIVE, {EVENT(TIME)}, GATE_ACTIVE, GATE_CAUSE_NONE, "", 0, ANY, T0},
	{OUTAGE, {EVENT(TIME)}, GATE_LOCKED, GATE_CAUSE_OUTAGE, "probe", 0, POLL, T0 - HOUR},
};

/* An answer was asked for 100 ms ago, under the newest order, unless EV says when. */
static struct gate_actions step(struct gate_machine *m, struct gate_event ev, int64_t now)
{
	if (ev.kind == GATE_ANSWER && !ev.started) {
		ev.started = now - 100;
		ev.request = m->request;
	}
	return gate_step(m, &ev, now);
}

START_TEST(test_rows)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *r = &rows[i];
		const int64_t now = r->at ? r->at : NOW;
		struct gate_machine m = begin(r->from);
		struct gate_actions a = step(&m, r->ev, now);

		ck_assert_msg(m.state == r->state && m.cause == r->cause, "row %zu: %s, %s", i,
			      gate_state_name(m.state), gate_cause_name(m.cause));
		ck_assert_msg(strcmp(words(&a), r->does) == 0, "row %zu: does '%s', not '%s'", i, words(&a), r->does);
		ck_assert_msg(a.say == r->say, "row %zu: says %d", i, (int)a.say);
		ck_assert_msg(r->next == ANY || m.next_probe - now == r->next, "row %zu: next probe in %lld", i,
			      (long long)(m.next_probe - now));
		/* What is shown is what the machine is in, but for a door that is LOCKED before all is wiped. */
		ck_assert(!a.show || a.show == m.state ||
			  (a.show == GATE_LOCKED && !a.tell && m.state == GATE_LOCKING));
		ck_assert_int_eq(a.shut, m.state == GATE_LOCKING);
	}
}
END_TEST

/* After the wipe: how the next question is asked, and whose decision the return is. */
START_TEST(test_wiped)
{
	static const struct {
		enum gate_cause cause;
		bool manual, held;
		int64_t next;
		enum gate_word say;
	} ends[] = {
		{GATE_CAUSE_REVOKED, false, false, POLL, GATE_SAY_LOCKED},
		{GATE_CAUSE_OUTAGE, false, false, 0, GATE_SAY_LOCKED},
		{GATE_CAUSE_ORDERED, false, false, POLL, GATE_SAY_LOCKED},
		{GATE_CAUSE_REVOKED, true, true, POLL, GATE_SAY_LOCKED},
		{GATE_CAUSE_OUTAGE, true, true, 0, GATE_SAY_LOCKED},
		{GATE_CAUSE_ORDERED, true, false, POLL, GATE_SAY_LOCKED},
		{GATE_CAUSE_CLOSED, false, false, POLL, GATE_SAY_CLOSED},
	};

	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		struct gate_machine m = begin(ACTIVE);
		struct gate_actions a;

		m.manual_return = ends[i].manual;
		m.state = GATE_LOCKING;
		m.cause = ends[i].cause;
		m.refusal_unconfirmed = m.credential_refreshed = m.good_unconfirmed = m.told_back = true;
		m.unlocking = 1;
		a = step(&m, (struct gate_event){EVENT(WIPED)}, NOW);
		ck_assert_str_eq(words(&a), "locked locked-hook");
		ck_assert_int_eq(a.say, ends[i].say);
		ck_assert_int_eq(m.state, GATE_LOCKED);
		ck_assert_int_eq(m.cause, ends[i].cause);
		ck_assert_int_eq(m.held, ends[i].held);
		ck_assert_int_eq(m.next_probe, NOW + ends[i].next);
		ck_assert_int_eq(m.locked_at, NOW);
		ck_assert(!m.refusal_unconfirmed && !m.credential_refreshed && !m.good_unconfirmed && !m.told_back);
		ck_assert_int_eq(m.unlocking, 0);
	}
}
END_TEST

/* What a grace is worth: fixed when it begins, counted from the last good answer, none when it is 0, cut to a lease by a refusal. */
START_TEST(test_deadlines)
{
	struct gate_machine m = begin(ASKING);

	step(&m, (struct gate_event){EVENT(TIME)}, T0 + LEASE - 1);
	ck_assert_int_eq(m.state, GATE_GRACE);
	ck_assert_int_eq(m.deadline, T0 + GRACE);
	for (int64_t t = T0 + LEASE; t < T0 + GRACE; t += 5000) {
		step(&m, (struct gate_event){ANSWER(TRANSIENT)}, t);
		step(&m, (struct gate_event){EVENT(TIME)}, t);
		ck_assert_int_eq(m.deadline, T0 + GRACE);
		ck_assert_int_eq(m.state, GATE_GRACE);
	}
	m = begin(IN_GRACE);
	step(&m, (struct gate_event){ANSWER(REVOKED)}, NOW);
	ck_assert_int_eq(m.deadline, NOW + LEASE);
	step(&m, (struct gate_event){ANSWER(REVOKED)},
	     NOW + LEASE - 1); /* not fresh: no confirmation, and no more time */
	ck_assert_int_eq(m.deadline, NOW + LEASE);
	m = begin(IN_GRACE);
	m.deadline = NOW + 10;
	step(&m, (struct gate_event){ANSWER(REVOKED)}, NOW);
	ck_assert_int_eq(m.deadline, NOW + 10);
	m = begin(ASKING);
	m.grace_ms = 0;
	step(&m, (struct gate_event){EVENT(TIME)}, T0 + LEASE - 1);
	ck_assert_int_eq(m.state, GATE_ACTIVE);
	step(&m, (struct gate_event){ANSWER(OK)}, NOW);
	ck_assert_int_eq(m.deadline, NOW - 100 + LEASE); /* from the question, not from the answer */
	ck_assert_int_eq(m.lease_end, m.deadline);
}
END_TEST

/* An answer that is older than the lease lets nobody in, at the first question and later. */
START_TEST(test_stale)
{
	static const enum from from[] = {OPENING, OUTAGE, UNLOCKING, REVOKED_GOOD};

	for (size_t i = 0; i < ARRAY_LEN(from); i++) {
		struct gate_machine m = begin(from[i]);
		const struct gate_event ev = {
			.kind = GATE_ANSWER, .class = KMS_OK, .fresh = true, .started = NOW - LEASE};
		struct gate_actions a = gate_step(&m, &ev, NOW);

		ck_assert_str_eq(words(&a), "");
		ck_assert_int_eq(m.state, GATE_LOCKED);
		ck_assert(!m.opening);
	}
}
END_TEST

/* Only an answer to a probe that was asked for after the order settles the order. */
START_TEST(test_request_numbers)
{
	const struct gate_event before = {.kind = GATE_ANSWER, .class = KMS_REVOKED, .started = NOW, .request = 0};
	const struct gate_event after = {.kind = GATE_ANSWER, .class = KMS_REVOKED, .started = NOW, .request = 1};
	struct gate_machine m = begin(HELD);

	ck_assert(m.held);
	step(&m, (struct gate_event){EVENT(TIME)}, NOW + 500); /* asks */
	ck_assert(m.asking);
	step(&m, (struct gate_event){EVENT(ORDER_UNLOCK)}, NOW + 600);
	ck_assert_int_eq(m.request, 1);
	ck_assert_int_eq(m.unlocking, 1);
	ck_assert(!m.held && m.ask_again);
	step(&m, before, NOW + 700);
	ck_assert_int_eq(m.unlocking, 1);
	ck_assert(!m.held);
	ck_assert_int_eq(m.next_probe, NOW + 700); /* the one that counts follows at once */
	step(&m, after, NOW + 800);
	ck_assert_int_eq(m.unlocking, 0);
	ck_assert(m.held); /* an order that did not help decides nothing */
}
END_TEST

/* How a question is put: fresh where it must be, and never while another is under way. */
START_TEST(test_fresh)
{
	static const struct {
		enum from from;
		struct gate_event ev;
		bool fresh;
	} asks[] = {{ACTIVE, {ANSWER(OK)}, false},          {ACTIVE, {ANSWER(TRANSIENT)}, false},
		    {ACTIVE, {ANSWER(REVOKED)}, true},      {ACTIVE, {ANSWER(CORRUPT)}, true},
		    {ACTIVE, {ANSWER(AUTH)}, true},         {ACTIVE, {ANSWER(MISCONFIGURED)}, true},
		    {REFRESHED, {FRESH(AUTH)}, false},      {DOUBTED, {FRESH(TRANSIENT)}, true},
		    {REVOKED, {ANSWER(OK)}, true},          {REVOKED, {ANSWER(REVOKED)}, true},
		    {OUTAGE, {ANSWER(TRANSIENT)}, true},    {ORDERED, {EVENT(ORDER_LOCK)}, true},
		    {ACTIVE, {EVENT(ORDER_UNLOCK)}, false}, {ACTIVE, {EVENT(ORDER_LOCK)}, true},
		    {IN_GRACE, {EVENT(ORDER_LOCK)}, true}};

	for (size_t i = 0; i < ARRAY_LEN(asks); i++) {
		struct gate_machine m = begin(asks[i].from);
		struct gate_actions a;

		a = step(&m, asks[i].ev, NOW);
		if (a.shut) /* its handles were cancelled */
			a = step(&m, (struct gate_event){EVENT(WIPED)}, NOW);
		m.ordered = false;
		m.next_probe = NOW;
		a = step(&m, (struct gate_event){EVENT(TIME)}, NOW);
		ck_assert_msg(a.probe && a.fresh == asks[i].fresh, "row %zu: %s", i, words(&a));
		ck_assert(m.asking && !m.ask_fresh);
		a = step(&m, (struct gate_event){EVENT(TIME)}, NOW + 2 * POLL);
		ck_assert(!a.probe);
	}
}
END_TEST

/* A gate without threads: the KMS answers as the test says, time is a number, and all actions are carried out. */
struct sim {
	struct gate_machine m;
	int64_t now, wake_at;
	enum kms_class (*kms)(struct sim *s, bool fresh);
	int64_t delay;    /* of an answer */
	int64_t drain_ms; /* of a drain */
	int64_t load_ms;  /* wrap type `file` when it is not 0 */
	enum kms_class class;
	int64_t due; /* of what the worker has in hand, 0 = nothing */
	struct gate_event in_hand;
	int probes;
	enum gate_state told;
	enum gate_cause told_cause;
	char history[256]; /* 'a'..'e' what is told, D, L, A, F the hooks */
	size_t n;
};

static enum kms_class kms_says(struct sim *s, bool fresh)
{
	(void)fresh;
	return s->class;
}

/* Refuses every other call. */
static enum kms_class kms_flaps(struct sim *s, bool fresh)
{
	(void)fresh;
	return s->probes % 2 ? KMS_REVOKED : KMS_OK;
}

/* S->class until connections are dropped. */
static enum kms_class kms_until_fresh(struct sim *s, bool fresh)
{
	if (fresh)
		s->class = KMS_OK;
	return s->class;
}

static void note(struct sim *s, char event)
{
	MUST(s->n < sizeof(s->history) - 1);
	s->history[s->n++] = event;
	s->history[s->n] = '\0';
}

static void happen(struct sim *s, struct gate_event ev)
{
	struct gate_actions a = gate_step(&s->m, &ev, s->now);

	if (ev.kind == GATE_TIME)
		s->wake_at = a.wake_at;
	if (a.tell && (a.show != s->told || s->m.cause != s->told_cause)) { /* as gate_tell() */
		note(s, (char)('a' + a.show - GATE_ACTIVE));
		s->told = a.show;
		s->told_cause = s->m.cause;
	}
	MUST(!a.take_keys || (ev.kind == GATE_ANSWER && ev.class == KMS_OK));
	if (a.shut) {
		if (a.drain)
			note(s, 'D');
		s->now += s->drain_ms;
		happen(s, (struct gate_event){EVENT(WIPED)});
	}
	if (a.locked)
		note(s, 'L');
	if (a.active)
		note(s, 'A');
	if (a.files_refused)
		note(s, 'F');
	if (a.load && !s->load_ms) {
		happen(s, (struct gate_event){EVENT(LOADED)});
	} else if (a.load) {
		s->in_hand = (struct gate_event){EVENT(LOADED)};
		s->due = s->now + s->load_ms;
	}
	if (a.probe) {
		MUST(!s->due);
		s->probes++;
		s->in_hand = (struct gate_event){.kind = GATE_ANSWER,
						 .class = s->kms(s, a.fresh),
						 .fresh = a.fresh,
						 .started = s->now,
						 .request = s->m.request};
		s->due = s->now + s->delay;
	}
}

/* One turn of the gate's thread. */
static void turn(struct sim *s)
{
	if (s->due && s->now >= s->due) {
		s->due = 0;
		happen(s, s->in_hand);
	}
	happen(s, (struct gate_event){EVENT(TIME)});
}

static void run_until(struct sim *s, int64_t until)
{
	turn(s);
	for (int turns = 0; s->now < until; turns++) {
		int64_t next = s->due && s->due < s->wake_at ? s->due : s->wake_at;

		if (next > s->now)
			s->now = next < until ? next : until;
		turn(s);
		MUST(turns < 100000);
	}
}

static void run(struct sim *s, int64_t ms)
{
	run_until(s, s->now + ms);
}

static void order(struct sim *s, enum gate_event_kind kind)
{
	happen(s, (struct gate_event){.kind = kind});
	turn(s);
}

/* ACTIVE since NOW. */
static struct sim sim_begin(int64_t poll, int64_t lease, int64_t grace)
{
	struct sim s = {.now = NOW, .kms = kms_says, .class = KMS_OK, .delay = 5, .drain_ms = 10};

	s.m = gate_machine_new(poll, lease, grace, false);
	happen(&s, (struct gate_event){EVENT(OPEN)});
	s.now = s.due;
	turn(&s);
	ck_assert_int_eq(s.m.state, GATE_ACTIVE);
	ck_assert_str_eq(s.history, "a");
	return s;
}

/* The table of causes: each kind of answer, without and with a grace, and when it locks after the change. */
static const struct {
	enum kms_class class;
	enum kms_class (*kms)(struct sim *s, bool fresh);
	int64_t delay;
	const char *plain;         /* history without a grace, 3 leases long, then with a good KMS again */
	const char *grace;         /* with one */
	int64_t at_least, at_most; /* ms until LOCKING without a grace */
} causes[] = {
	{KMS_OK, kms_says, 5, "a", "a", 0, 0},
	{KMS_OK, kms_says, 600, "a", "a", 0, 0}, /* slow, and right */
	{KMS_OK, kms_flaps, 5, "a", "a", 0, 0},  /* neither a no nor a yes is confirmed: nothing moves */
	{KMS_REVOKED, kms_until_fresh, 5, "a", "a", 0, 0},
	{KMS_AUTH, kms_until_fresh, 5, "a", "a", 0, 0},
	{KMS_REVOKED, kms_says, 5, "acDdLeaA", "acDdLeaA", 0, POLL + 20},
	{KMS_CORRUPT, kms_says, 5, "acDdLeaA", "acDdLeaA", 0, POLL + 20},
	{KMS_TRANSIENT, kms_says, 5, "acDdLeaA", "aba", LEASE - POLL, LEASE},
	{KMS_TRANSIENT, kms_says, HOUR, "acDdL", "abcDdL", LEASE - POLL, LEASE}, /* hangs for ever */
	{KMS_AUTH, kms_says, 5, "acDdLeaA", "aba", LEASE - POLL, LEASE},
	{KMS_MISCONFIGURED, kms_says, 5, "acDdLeaA", "aba", LEASE - POLL, LEASE},
	{KMS_TRANSIENT, kms_says, LEASE / 2, "acDdLeaA", "aba", LEASE / 2, LEASE}, /* slow, and then 503 */
};

START_TEST(test_causes)
{
	for (size_t i = 0; i < ARRAY_LEN(causes) * 2; i++) {
		const bool grace = i % 2;
		const char *want = grace ? causes[i / 2].grace : causes[i / 2].plain;
		struct sim s = sim_begin(POLL, LEASE, grace ? GRACE + LEASE : 0); /* longer than all of it takes */
		int64_t from = s.now;

		s.kms = causes[i / 2].kms;
		s.class = causes[i / 2].class;
		s.delay = causes[i / 2].delay;
		while (s.now < from + 3 * LEASE && !strchr(s.history, 'D'))
			run(&s, 1);
		if (strchr(want, 'D') && !strchr(want, 'b')) {
			ck_assert_int_ge(s.now - from, causes[i / 2].at_least);
			ck_assert_int_le(s.now - from, causes[i / 2].at_most + s.drain_ms);
		}
		run(&s, 3 * LEASE);
		ck_assert_msg(strncmp(s.history, want, s.n) == 0, "row %zu: %s", i, s.history);
		s.kms = kms_says;
		s.class = KMS_OK;
		s.delay = 5;
		run(&s, LEASE);
		ck_assert_msg(strcmp(s.history, want) == 0, "row %zu: %s, not %s", i, s.history, want);
	}
}
END_TEST

/* A refusal whose confirmation is lost in silence locks when the lease ends, as a refusal, and no grace comes in between. */
START_TEST(test_unconfirmed)
{
	for (int i = 0; i < 2; i++) {
		struct sim s = sim_begin(POLL, LEASE, i ? GRACE : 0);

		s.class = KMS_REVOKED;
		while (!s.m.refusal_unconfirmed)
			run(&s, 1);
		s.class = KMS_TRANSIENT;
		s.due = 0; /* whatever it had to say */
		s.m.asking = false;
		run(&s, LEASE - POLL - 100);
		ck_assert_str_eq(s.history, "a");
		ck_assert_int_ge(s.probes, 5); /* it is asked about again and again */
		run(&s, POLL + 200);
		ck_assert_str_eq(s.history, "acDdL");
		ck_assert_int_eq(s.m.cause, GATE_CAUSE_REVOKED);
	}
}
END_TEST

/* Grace to its end, to a good answer, to a refusal. */
START_TEST(test_grace)
{
	struct sim s = sim_begin(POLL, LEASE, GRACE);
	int64_t end;

	s.class = KMS_TRANSIENT;
	run(&s, LEASE);
	ck_assert_str_eq(s.history, "ab");
	end = s.m.deadline;
	run_until(&s, end - 1);
	ck_assert_str_eq(s.history, "ab");
	ck_assert_int_eq(s.m.deadline, end);
	run(&s, 1);
	ck_assert_str_eq(s.history, "abcDdL");
	ck_assert_int_eq(s.m.cause, GATE_CAUSE_OUTAGE);
	/* None for a gate that has no keys: the KMS is still silent. */
	order(&s, GATE_ORDER_UNLOCK);
	run(&s, 2 * GRACE);
	ck_assert_ptr_null(strchr(s.history + 2, 'b'));

	s = sim_begin(POLL, LEASE, GRACE);
	s.class = KMS_TRANSIENT;
	run(&s, LEASE);
	s.class = KMS_OK;
	run(&s, 2 * POLL);
	ck_assert_str_eq(s.history, "aba");
	s.class = KMS_TRANSIENT;
	run(&s, LEASE);
	s.class = KMS_REVOKED;
	run(&s, POLL + 20);
	ck_assert_str_eq(s.history, "ababcDdL");
	ck_assert_int_eq(s.m.cause, GATE_CAUSE_REVOKED);
}
END_TEST

/* The clock jumps: past the lease, past all of the grace, and back. Locked first, asked at once, back by a good answer. */
START_TEST(test_jumps)
{
	static const int64_t jumps[] = {LEASE + 1, 2 * HOUR, -HOUR};

	for (size_t i = 0; i < ARRAY_LEN(jumps) * 2; i++) {
		struct sim s = sim_begin(POLL, LEASE, i % 2 ? HOUR : 0);

		run(&s, 100);
		s.now += jumps[i / 2];
		turn(&s);
		ck_assert_str_eq(s.history, "acDdL"); /* no grace: a machine that slept has not heard any silence */
		ck_assert_int_eq(s.m.cause, GATE_CAUSE_OUTAGE);
		run(&s, 50);
		ck_assert_str_eq(s.history, "acDdLeaA");
	}
}
END_TEST

/* A clock put back while a poke waits does not make it wait for an hour. */
START_TEST(test_poke_and_clock_back)
{
	struct sim s = sim_begin(POLL, LEASE, 0);
	int before;

	s.class = KMS_REVOKED;
	run(&s, 2 * POLL);
	ck_assert_int_eq(s.m.state, GATE_LOCKED);
	before = s.probes;
	while (s.probes == before || s.due)
		run(&s, 1);
	order(&s, GATE_POKED);
	ck_assert_int_gt(s.m.watch_at, s.now);
	s.now -= HOUR;
	run(&s, 100);
	before = s.probes;
	order(&s, GATE_POKED);
	run(&s, GATE_WATCH_GAP_MS);
	ck_assert_int_gt(s.probes, before);
}
END_TEST

/* A hundred changes a second are not a hundred probes, and the last one counts. */
START_TEST(test_pokes)
{
	struct sim s = sim_begin(60000, 120000, 0);
	int before = s.probes;

	for (int i = 0; i < 1000; i++)
		order(&s, GATE_POKED);
	run(&s, 200);
	ck_assert_int_ge(s.probes - before, 1);
	ck_assert_int_le(s.probes - before, 3);
	before = s.probes;
	for (int i = 0; i < 300; i++) {
		order(&s, GATE_POKED);
		run(&s, 1);
	}
	ck_assert_int_le(s.probes - before, 300 / GATE_WATCH_GAP_MS + 2);
	s.class = KMS_REVOKED;
	order(&s, GATE_POKED);
	run(&s, 2 * GATE_WATCH_GAP_MS);
	ck_assert_str_eq(s.history, "acDdL");
	/* One that comes while a probe is under way may have been missed by it: asked again right after. */
	s = sim_begin(60000, 120000, 0);
	s.delay = 500;
	order(&s, GATE_POKED);
	run(&s, 100);
	before = s.probes;
	order(&s, GATE_POKED);
	run(&s, 390);
	ck_assert_int_eq(s.probes, before);
	run(&s, 20);
	ck_assert_int_eq(s.probes, before + 1);
}
END_TEST

/* Locked: at the normal pace for five minutes, then every 30 s; a change wakes it, an order starts the five minutes anew. */
START_TEST(test_pace)
{
	struct sim s = sim_begin(POLL, LEASE, 0);
	int before;

	s.class = KMS_REVOKED;
	run(&s, 2 * POLL);
	before = s.probes;
	run(&s, GATE_FAST_MS - 2 * POLL);
	ck_assert_int_ge(s.probes - before, GATE_FAST_MS / POLL - 5);
	run(&s, 4 * POLL);
	before = s.probes;
	run(&s, 10 * GATE_SLOW_MS);
	ck_assert_int_ge(s.probes - before, 9);
	ck_assert_int_le(s.probes - before, 10);
	before = s.probes;
	order(&s, GATE_POKED);
	run(&s, GATE_WATCH_GAP_MS);
	ck_assert_int_eq(s.probes, before + 1);
	order(&s, GATE_ORDER_UNLOCK);
	run(&s, POLL / 2);
	before = s.probes;
	run(&s, 10 * POLL);
	ck_assert_int_ge(s.probes - before, 9);
	s.class = KMS_OK;
	run(&s, POLL + 20);
	ck_assert_int_eq(s.m.state, GATE_ACTIVE);
	/* A poll that is slower than that stays as it is. */
	s = sim_begin(60000, 120000, 0);
	s.class = KMS_REVOKED;
	order(&s, GATE_POKED);
	run(&s, GATE_FAST_MS + 120000);
	before = s.probes;
	run(&s, 10 * 60000);
	ck_assert_int_eq(s.probes - before, 10);
}
END_TEST

/* An ordered lock stays, whatever the KMS says and whoever asks; an unlock that fails says why, and is no order any more. */
START_TEST(test_order)
{
	struct sim s = sim_begin(POLL, LEASE, 0);
	int before;

	order(&s, GATE_ORDER_LOCK);
	ck_assert_str_eq(s.history, "acDdL");
	s.due = 0; /* void */
	s.m.asking = false;
	before = s.probes;
	order(&s, GATE_POKED);
	run(&s, HOUR);
	ck_assert_int_eq(s.probes, before);
	order(&s, GATE_ORDER_LOCK);
	ck_assert_str_eq(s.history, "acDdL");
	s.class = KMS_REVOKED;
	order(&s, GATE_ORDER_UNLOCK);
	run(&s, 20);
	ck_assert_int_eq(s.probes, before + 1);
	ck_assert_int_eq(s.m.state, GATE_LOCKED);
	ck_assert_int_eq(s.m.cause, GATE_CAUSE_REVOKED);
	ck_assert(!s.m.ordered);
	s.class = KMS_OK;
	order(&s, GATE_ORDER_UNLOCK);
	run(&s, 20);
	ck_assert_int_eq(s.m.state, GATE_ACTIVE);
	order(&s, GATE_ORDER_UNLOCK); /* of what is open */
	run(&s, 20);
	ck_assert_int_eq(s.m.state, GATE_ACTIVE);
	ck_assert_int_eq(s.m.unlocking, 0);
}
END_TEST

/* Nobody watches for a while: locked, not asked, and back by a good answer; a refusal, and an order, stay what they are. */
START_TEST(test_unwatched)
{
	struct sim s = sim_begin(POLL, LEASE, GRACE);
	int before;

	order(&s, GATE_UNWATCHED);
	ck_assert_str_eq(s.history, "acDdL");
	s.due = 0; /* void */
	s.m.asking = false;
	before = s.probes;
	run(&s, HOUR);
	ck_assert_int_eq(s.probes, before);
	order(&s, GATE_ORDER_UNLOCK);
	run(&s, POLL);
	ck_assert_int_eq(s.probes, before);
	ck_assert_int_eq(s.m.cause, GATE_CAUSE_UNWATCHED);
	order(&s, GATE_WATCHED);
	run(&s, 20);
	ck_assert_str_eq(s.history, "acDdLeaA");
	/* the key is refused meanwhile */
	order(&s, GATE_UNWATCHED);
	s.due = 0;
	s.m.asking = false;
	s.class = KMS_REVOKED;
	order(&s, GATE_WATCHED);
	run(&s, POLL);
	ck_assert_int_eq(s.m.state, GATE_LOCKED);
	ck_assert_int_eq(s.m.cause, GATE_CAUSE_REVOKED);
	s.class = KMS_OK;
	run(&s, 3 * POLL);
	ck_assert_int_eq(s.m.state, GATE_ACTIVE);
	/* an order is not ended by it */
	order(&s, GATE_UNWATCHED);
	order(&s, GATE_ORDER_LOCK);
	order(&s, GATE_WATCHED);
	run(&s, HOUR);
	ck_assert_int_eq(s.m.state, GATE_LOCKED);
	ck_assert_int_eq(s.m.cause, GATE_CAUSE_ORDERED);
}
END_TEST

START_TEST(test_manual)
{
	static const struct {
		enum kms_class class;
		enum gate_cause cause;
	} by[] = {{KMS_REVOKED, GATE_CAUSE_REVOKED}, {KMS_TRANSIENT, GATE_CAUSE_OUTAGE}};

	for (size_t i = 0; i < ARRAY_LEN(by); i++) {
		struct sim s = sim_begin(POLL, LEASE, 0);
		int before;

		s.m.manual_return = true;
		s.class = by[i].class;
		run(&s, 2 * LEASE);
		ck_assert_int_eq(s.m.state, GATE_LOCKED);
		ck_assert(s.m.held);
		s.class = KMS_OK;
		before = s.probes;
		run(&s, 10 * POLL);
		ck_assert_int_ge(s.probes - before, 9); /* asked all the same */
		ck_assert_int_eq(s.m.state, GATE_LOCKED);
		ck_assert_int_eq(s.m.cause, by[i].cause);
		ck_assert(s.m.told_back);
		s.class = by[i].class;
		run(&s, 2 * POLL);
		ck_assert(!s.m.told_back);
		order(&s, GATE_ORDER_UNLOCK);
		run(&s, 2 * POLL);
		ck_assert(s.m.held); /* an unlock that fails decides nothing */
		s.class = KMS_OK;
		run(&s, 10 * POLL);
		ck_assert_int_eq(s.m.state, GATE_LOCKED);
		order(&s, GATE_ORDER_UNLOCK);
		run(&s, 20);
		ck_assert_int_eq(s.m.state, GATE_ACTIVE);
		ck_assert(!s.m.held);
		/* An order is a person's already: nothing to hold. */
		order(&s, GATE_ORDER_LOCK);
		ck_assert(!s.m.held);
	}
}
END_TEST

/* Alternating answers: neither a no nor a yes is confirmed, so nothing moves, in either direction. */
START_TEST(test_flap_calls)
{
	struct sim s = sim_begin(POLL, LEASE, 0);

	s.kms = kms_flaps;
	run(&s, 50 * POLL);
	ck_assert_str_eq(s.history, "a");
	s.kms = kms_says;
	s.class = KMS_REVOKED;
	run(&s, 2 * POLL);
	ck_assert_str_eq(s.history, "acDdL");
	s.kms = kms_flaps;
	run(&s, 50 * POLL);
	ck_assert_int_eq(s.m.state, GATE_LOCKED);
	ck_assert_ptr_null(strchr(s.history, 'e'));
	s.kms = kms_says;
	s.class = KMS_OK;
	run(&s, 3 * POLL);
	ck_assert_int_eq(s.m.state, GATE_ACTIVE);
}
END_TEST

/* The key itself goes off and on: one lock for each time off that lasted, and one return for each lock. */
START_TEST(test_flap_time)
{
	struct sim s = sim_begin(POLL, LEASE, 0);
	int locks = 0;

	for (int i = 0; i < 40; i++) {
		s.class = i % 2 ? KMS_OK : KMS_REVOKED;
		order(&s, GATE_POKED);
		run(&s, 300);
	}
	run(&s, 3 * POLL);
	ck_assert_int_eq(s.m.state, GATE_ACTIVE);
	for (const char *p = s.history; *p; p++)
		locks += *p == 'D';
	ck_assert_int_eq(locks, 20);
	for (const char *p = s.history; (p = strchr(p, 'D')); p++)
		ck_assert(strncmp(p, "DdLeaA", 6) == 0);
}
END_TEST

/* Wrap type `file`: loading that takes longer than the lease asks once more; a lock in the middle of it wins. */
START_TEST(test_loading)
{
	struct sim s = sim_begin(POLL, LEASE, 0);
	int before;

	order(&s, GATE_ORDER_LOCK);
	s.due = 0;
	s.m.asking = false;
	s.load_ms = LEASE + 500;
	before = s.probes;
	order(&s, GATE_ORDER_UNLOCK);
	run(&s, LEASE);
	ck_assert_int_eq(s.m.state, GATE_RETURNING);
	ck_assert_int_eq(s.probes, before + 1);
	run(&s, 1000);
	ck_assert_int_eq(s.m.state, GATE_ACTIVE);
	ck_assert_int_eq(s.probes, before + 2);
	ck_assert_str_eq(s.history, "acDdLeaA");
	order(&s, GATE_ORDER_LOCK);
	s.due = 0;
	s.m.asking = false;
	order(&s, GATE_ORDER_UNLOCK);
	run(&s, 100);
	ck_assert_int_eq(s.m.state, GATE_RETURNING);
	order(&s, GATE_ORDER_LOCK);
	ck_assert_int_eq(s.m.state, GATE_LOCKED);
	ck_assert_str_eq(s.history,
			 "acDdLeaAcDdLedL"); /* nobody was let in: no drain, and LOCKED is told when it is done */
}
END_TEST

/* Whatever happens in whatever order: what may never be, never is. */
static void walk_check(const struct gate_machine *was, const struct gate_event *ev, const struct gate_machine *m,
		       const struct gate_actions *a, int64_t now)
{
	const bool served = was->state == GATE_ACTIVE || was->state == GATE_GRACE;
	const bool serves = m->state == GATE_ACTIVE || m->state == GATE_GRACE;

	/* In only by a good answer, and by way of RETURNING; never against an order. */
	if (serves && !served)
		MUST(was->state == GATE_RETURNING || was->opening);
	if (m->state == GATE_RETURNING && was->state != GATE_RETURNING)
		MUST(ev->class == KMS_OK && a->take_keys && !m->ordered && !m->unwatched && !was->held);
	if (a->probe && ev->kind == GATE_TIME)
		MUST(!m->ordered && !m->unwatched && !was->asking);
	/* `revoked` while the lease runs only after a refusal that was confirmed fresh. */
	if (m->state == GATE_LOCKING && served && m->cause == GATE_CAUSE_REVOKED && ev->kind != GATE_TIME)
		MUST(was->refusal_unconfirmed && ev->fresh && (ev->class == KMS_REVOKED || ev->class == KMS_CORRUPT));
	/* Nobody serves past the deadline once time was looked at; a grace never grows. */
	if (ev->kind == GATE_TIME && serves)
		MUST(now < m->deadline);
	if (was->state == GATE_GRACE && m->state == GATE_GRACE)
		MUST(m->deadline <= was->deadline);
	MUST(!m->unwatched || !serves);
	MUST(!a->drain || (served && a->shut));
	MUST(a->shut == (m->state == GATE_LOCKING));
	MUST(!a->show || a->show == m->state || (a->show == GATE_LOCKED && !served));
	/* Time moves on: what is to be done at WAKE_AT is done by then, and nothing waits for ever while a lease runs. */
	if (ev->kind == GATE_TIME && m->state != GATE_LOCKING)
		MUST(a->wake_at > now && (!serves || a->wake_at <= m->deadline));
}

START_TEST(test_walk)
{
	static const enum gate_event_kind kinds[] = {
		GATE_ANSWER,    GATE_ANSWER,        GATE_ANSWER,     GATE_TIME,         GATE_TIME,
		GATE_POKED,     GATE_FILES_REFUSED, GATE_ORDER_LOCK, GATE_ORDER_UNLOCK, GATE_LOADED,
		GATE_UNWATCHED, GATE_WATCHED,       GATE_WATCHED};
	unsigned seen[GATE_RETURNING + 1] = {0};

	srand(7);
	for (int run = 0; run < 400; run++) {
		struct gate_machine m = gate_machine_new(POLL, LEASE, run % 2 ? GRACE : 0, run % 3 == 0);
		int64_t now = T0;

		for (int i = 0; i < 250; i++) {
			const struct gate_machine was = m;
			struct gate_event ev = {.kind = m.state == GATE_LOCKING ? GATE_WIPED
							: i == 0                ? GATE_OPEN
								 : kinds[rand() % (int)ARRAY_LEN(kinds)]};
			struct gate_actions a;

			if (ev.kind == GATE_ANSWER && !m.asking)
				ev.kind = GATE_TIME;
			if (ev.kind == GATE_UNWATCHED &&
			    (m.opening || rand() % 4)) /* opening: its thread does not run */
				ev.kind = GATE_TIME;
			if (ev.kind == GATE_LOADED && m.state != GATE_RETURNING)
				ev.kind = GATE_TIME;
			if (ev.kind == GATE_ANSWER) {
				ev.class = (enum kms_class)(rand() % 3 ? KMS_OK + rand() % 2 : rand() % 7);
				ev.fresh = rand() % 2;
				ev.started = now - rand() % 2000;
				ev.request = m.request - (m.request && rand() % 4 == 0);
			}
			a = gate_step(&m, &ev, now);
			walk_check(&was, &ev, &m, &a, now);
			seen[m.state]++;
			now += rand() % 20 ? rand() % 700 : rand() % LEASE;
		}
	}
	for (enum gate_state state = GATE_ACTIVE; state <= GATE_RETURNING; state++)
		ck_assert_uint_gt(seen[state], 50);
}
END_TEST

/* A thousand stores do not ask in one instant: each interval is drawn from 10 % around the poll, and none is lost. */
START_TEST(test_spread)
{
	unsigned early = 0, late = 0;

	for (uint32_t dice = 1; dice <= 1000; dice++) {
		struct gate_machine m = begin(ASKING);
		m.dice = dice * 2654435761u;
		struct gate_event ev = {ANSWER(OK), .started = NOW};
		(void)gate_step(&m, &ev, NOW).tell;
		int64_t ms = m.next_probe - NOW;
		MUST(ms >= POLL - POLL / 10 && ms <= POLL + POLL / 10);
		early += ms < POLL - POLL / 20;
		late += ms > POLL + POLL / 20;
		/* nothing is asked before it, and it is asked then */
		struct gate_event time = {EVENT(TIME)};
		struct gate_actions a = gate_step(&m, &time, m.next_probe - 1);
		MUST(!a.probe);
		a = gate_step(&m, &time, m.next_probe);
		MUST(a.probe);
	}
	ck_assert_uint_gt(early, 150);
	ck_assert_uint_gt(late, 150);
}
END_TEST

static Suite *gate_machine_suite(void)
{
	Suite *s = suite_create("gate_machine");
	TCase *t = tcase_create("gate_machine");

	tcase_add_test(t, test_spread);
	tcase_add_test(t, test_rows);
	tcase_add_test(t, test_wiped);
	tcase_add_test(t, test_deadlines);
	tcase_add_test(t, test_stale);
	tcase_add_test(t, test_request_numbers);
	tcase_add_test(t, test_fresh);
	tcase_add_test(t, test_causes);
	tcase_add_test(t, test_unconfirmed);
	tcase_add_test(t, test_grace);
	tcase_add_test(t, test_jumps);
	tcase_add_test(t, test_poke_and_clock_back);
	tcase_add_test(t, test_pokes);
	tcase_add_test(t, test_pace);
	tcase_add_test(t, test_order);
	tcase_add_test(t, test_unwatched);
	tcase_add_test(t, test_manual);
	tcase_add_test(t, test_flap_calls);
	tcase_add_test(t, test_flap_time);
	tcase_add_test(t, test_loading);
	tcase_add_test(t, test_walk);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	SRunner *r = srunner_create(gate_machine_suite());
	int failed;

	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
