/* SPDX-License-Identifier: BSD-2-Clause */
/* The gate's states: what an answer, an order and time do in each. Functions are named as in tests/model/gate.pml. */
#include "kms/gate/gate_machine.h"

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static bool serving(const struct gate_machine *m)
{
	return m->state == GATE_ACTIVE || m->state == GATE_GRACE;
}

/* A clock before the newest good answer was put back (a process restored on another machine): that is the lease's end too. */
static bool time_over(const struct gate_machine *m, int64_t now)
{
	return now >= m->deadline || now < m->lease_end - m->lease_ms;
}

static void show(struct gate_machine *m, struct gate_actions *a, enum gate_state state, enum gate_word word)
{
	m->state = state;
	a->show = state;
	a->tell = true;
	a->say = word;
}

static void want_probe(struct gate_machine *m, int64_t now)
{
	if (m->asking)
		m->ask_again = true;
	else
		m->next_probe = now;
}

/* MS, give or take 10 %. Nothing hangs on it that nobody can tell the next one: it is to be spread, not secret (xorshift). */
static int64_t spread(struct gate_machine *m, int64_t ms)
{
	if (!m->dice)
		return ms;
	m->dice ^= m->dice << 13;
	m->dice ^= m->dice >> 17;
	m->dice ^= m->dice << 5;
	return ms - ms / 10 + m->dice % (ms / 5 + 1);
}

static void renew(struct gate_machine *m, const struct gate_event *ev)
{
	m->lease_end = ev->started + m->lease_ms;
	m->next_probe = ev->started + spread(m, m->poll_ms);
}

/* Out of any state, on the way to LOCKED: keys must go. */
static void shut(struct gate_machine *m, struct gate_actions *a, enum gate_cause cause, enum gate_word word)
{
	bool served = serving(m);

	m->cause = cause;
	m->ask_fresh = true; /* only a refresh lets cancelled handles work again */
	show(m, a, GATE_LOCKING, served ? word : GATE_SAY_REASON);
	a->shut = true;
	a->drain = served;
	if (!served) { /* nobody was let in: the door is LOCKED at once, and it is told when it is done */
		a->show = GATE_LOCKED;
		a->tell = false;
	}
}

/* Nobody has a key any more: LOCKED, and a new count of all that is counted. */
static void wiped(struct gate_machine *m, int64_t now, struct gate_actions *a)
{
	m->locked_at = now;
	/* After silence at once: it may have been this machine that slept. */
	m->next_probe = m->cause == GATE_CAUSE_OUTAGE ? now : now + m->poll_ms;
	m->refusal_unconfirmed = m->credential_refreshed = m->good_unconfirmed = m->told_back = false;
	m->unlocking = 0;
	m->held = m->manual_return && m->cause != GATE_CAUSE_ORDERED;
	show(m, a, GATE_LOCKED, m->cause == GATE_CAUSE_CLOSED ? GATE_SAY_CLOSED : GATE_SAY_LOCKED);
	a->locked = true;
}

static void let_in(struct gate_machine *m, struct gate_actions *a, enum gate_word word)
{
	m->refusal_unconfirmed = m->credential_refreshed = m->good_unconfirmed = m->ask_fresh = false;
	m->unlocking = 0;
	m->cause = GATE_CAUSE_NONE;
	m->deadline = m->lease_end;
	show(m, a, GATE_ACTIVE, word);
}

/* A definite no. CORRUPT is one too: this very wrap has worked before. */
static bool refuses(const struct gate_event *ev)
{
	return ev->class == KMS_REVOKED || ev->class == KMS_CORRUPT;
}

/* gate_open(): the first key, or the reason why there is none. No wrap has worked before, so CORRUPT is no refusal. */
static void answer_opening(struct gate_machine *m, const struct gate_event *ev, int64_t now, struct gate_actions *a)
{
	bool repeat = !m->refusal_unconfirmed && (ev->class == KMS_REVOKED || ev->class == KMS_AUTH);

	m->refusal_unconfirmed = m->asking = repeat;
	/* A refusal counts when it is repeated; a credential may just have been renewed. */
	a->probe = a->fresh = repeat;
	if (repeat)
		return;
	m->opening = false;
	if (ev->class != KMS_OK) {
		m->cause = ev->class == KMS_REVOKED ? GATE_CAUSE_REVOKED : GATE_CAUSE_OUTAGE;
		show(m, a, GATE_LOCKED, GATE_SAY_REASON);
	} else if (now < ev->started + m->lease_ms) {
		renew(m, ev);
		let_in(m, a, GATE_SAY_OPENED);
		a->take_keys = true;
	}
}

static void serving_refused(struct gate_machine *m, const struct gate_event *ev, int64_t now, struct gate_actions *a)
{
	if (m->refusal_unconfirmed && ev->fresh) {
		shut(m, a, GATE_CAUSE_REVOKED, GATE_SAY_LOCKING);
		return;
	}
	a->say = GATE_SAY_REFUSED_ONCE;
	m->refusal_unconfirmed = true;
	m->ask_fresh = true;
	m->next_probe = now;
	/* Grace is for silence: after a refusal no more than a lease is left to confirm it. */
	if (m->state == GATE_GRACE)
		m->deadline = earlier(m->deadline, now + m->lease_ms);
}

static void serving_good(struct gate_machine *m, const struct gate_event *ev, struct gate_actions *a)
{
	m->refusal_unconfirmed = m->credential_refreshed = false;
	renew(m, ev);
	m->deadline = m->lease_end;
	if (m->state == GATE_GRACE)
		show(m, a, GATE_ACTIVE, GATE_SAY_GRACE_ENDS);
}

/* No statement about the key: the lease runs on. A credential or a reference is tried afresh once. */
static void serving_silent(struct gate_machine *m, const struct gate_event *ev, int64_t now, struct gate_actions *a)
{
	a->say = GATE_SAY_SILENT;
	m->next_probe = ev->started + spread(m, m->poll_ms);
	if ((ev->class == KMS_AUTH || ev->class == KMS_MISCONFIGURED) && !m->credential_refreshed) {
		m->credential_refreshed = true;
		m->ask_fresh = true;
		m->next_probe = now;
	} else if (m->refusal_unconfirmed) {
		m->ask_fresh = true;
		m->next_probe = now + earlier(GATE_CONFIRM_MS, m->poll_ms);
	}
}

static void answer_serving(struct gate_machine *m, const struct gate_event *ev, int64_t now, struct gate_actions *a)
{
	if (refuses(ev))
		serving_refused(m, ev, now, a);
	else if (ev->class == KMS_OK)
		serving_good(m, ev, a);
	else
		serving_silent(m, ev, now, a);
}

static void locked_good(struct gate_machine *m, const struct gate_event *ev, int64_t now, struct gate_actions *a)
{
	renew(m, ev);
	if (m->held) { /* a person decides, and is told once that he can */
		if (!m->told_back)
			show(m, a, GATE_LOCKED, GATE_SAY_HELD);
		m->told_back = true;
		return;
	}
	/* As a no, a yes after a no counts when it is repeated: a KMS of many machines may not agree with itself for a while. */
	if (m->cause == GATE_CAUSE_REVOKED && !m->unlocking && !(m->good_unconfirmed && ev->fresh)) {
		m->good_unconfirmed = true;
		m->ask_fresh = true;
		m->next_probe = now;
		return;
	}
	if (now >= m->lease_end)
		return; /* too old to let anybody in; asked again at the next turn */
	m->cause = GATE_CAUSE_NONE;
	show(m, a, GATE_RETURNING, GATE_SAY_LOADING);
	a->take_keys = a->load = m->asking = true;
}

/* No key. Say what is known best: a refusal replaces silence, silence does not replace a refusal. */
static void locked_bad(struct gate_machine *m, const struct gate_event *ev, int64_t now, struct gate_actions *a)
{
	bool slow = now - m->locked_at > GATE_FAST_MS && m->poll_ms < GATE_SLOW_MS;
	bool news = refuses(ev) || m->cause != GATE_CAUSE_REVOKED || m->told_back;

	if (m->unlocking && ev->request >= m->unlocking) { /* this was the answer: the order has not helped */
		m->unlocking = 0;
		m->held = m->manual_return;
	}
	m->good_unconfirmed = m->told_back = false;
	m->ask_fresh = true;
	m->next_probe = ev->started + spread(m, slow ? GATE_SLOW_MS : m->poll_ms);
	if (!news)
		return;
	if (refuses(ev))
		m->cause = GATE_CAUSE_REVOKED;
	else if (m->cause != GATE_CAUSE_REVOKED)
		m->cause = GATE_CAUSE_OUTAGE;
	show(m, a, GATE_LOCKED, GATE_SAY_STILL_LOCKED);
}

static void answer_locked(struct gate_machine *m, const struct gate_event *ev, int64_t now, struct gate_actions *a)
{
	if (ev->class == KMS_OK)
		locked_good(m, ev, now, a);
	else
		locked_bad(m, ev, now, a);
}

/* Open files have their keys: let in, unless loading took longer than the lease. Then the KMS must say yes once more. */
static void loaded(struct gate_machine *m, int64_t now, struct gate_actions *a)
{
	m->asking = a->probe = now >= m->lease_end;
	if (m->asking)
		return;
	m->next_probe = earlier(m->next_probe, now + m->poll_ms);
	let_in(m, a, GATE_SAY_SERVING_AGAIN);
	a->active = true;
}

static void answer_returning(struct gate_machine *m, const struct gate_event *ev, int64_t now, struct gate_actions *a)
{
	if (ev->class != KMS_OK) {
		shut(m, a, refuses(ev) ? GATE_CAUSE_REVOKED : GATE_CAUSE_OUTAGE, GATE_SAY_LOCKING);
		return;
	}
	renew(m, ev);
	loaded(m, now, a);
}

static void take_answer(struct gate_machine *m, const struct gate_event *ev, int64_t now, struct gate_actions *a)
{
	m->asking = false;
	if (m->opening)
		answer_opening(m, ev, now, a);
	else if (ev->kind == GATE_LOADED && m->state == GATE_RETURNING)
		loaded(m, now, a);
	else if (ev->class && serving(m))
		answer_serving(m, ev, now, a);
	else if (ev->class && m->state == GATE_LOCKED && !m->ordered && !m->unwatched)
		answer_locked(m, ev, now, a);
	else if (ev->class && m->state == GATE_RETURNING)
		answer_returning(m, ev, now, a);
	if (m->ask_again)
		m->next_probe = now;
	m->ask_again = false;
}

/*
 * Grace begins before the lease ends, so that nothing is refused between the two; but no earlier than needed, for an answer
 * that is slow is no silence (the bound of a KMS call: tools/opened.c). GATE_NEVER when it does not begin.
 */
static int64_t grace_at(const struct gate_machine *m)
{
	if (m->state != GATE_ACTIVE || m->grace_ms <= m->lease_ms || m->refusal_unconfirmed)
		return GATE_NEVER;
	return m->lease_end - earlier(m->poll_ms, m->lease_ms / 5);
}

/* When the next probe is due. A clock that was put back leaves more time than there ever is: now. */
static int64_t probe_at(const struct gate_machine *m, int64_t now)
{
	int64_t most = m->poll_ms > GATE_SLOW_MS ? m->poll_ms : GATE_SLOW_MS;

	if (m->asking || m->ordered || m->unwatched || !(serving(m) || m->state == GATE_LOCKED))
		return GATE_NEVER;
	return m->next_probe - now > most + most / 10 ? now : m->next_probe;
}

static void probe_if_due(struct gate_machine *m, int64_t now, struct gate_actions *a)
{
	if (probe_at(m, now) > now)
		return;
	a->probe = m->asking = true;
	a->fresh = m->ask_fresh;
	m->ask_fresh = false;
	m->asked_at = now;
	m->next_probe = now + m->poll_ms; /* until the answer says otherwise */
}

static void take_time(struct gate_machine *m, int64_t now, struct gate_actions *a)
{
	if (m->watch_at && (now >= m->watch_at || m->watch_at - now > GATE_WATCH_GAP_MS)) {
		m->watch_at = 0;
		want_probe(m, now);
	}
	if (serving(m) && time_over(m, now)) {
		shut(m, a, m->refusal_unconfirmed ? GATE_CAUSE_REVOKED : GATE_CAUSE_OUTAGE,
		     m->state == GATE_GRACE ? GATE_SAY_GRACE_OVER : GATE_SAY_LEASE_OVER);
	} else if (now >= grace_at(m)) {
		/* Never after the lease: a machine that slept, or a process that was stopped, has not heard any silence. */
		m->deadline = m->lease_end - m->lease_ms + m->grace_ms; /* from the last good answer on */
		show(m, a, GATE_GRACE, GATE_SAY_GRACE_BEGINS);
	}
	probe_if_due(m, now, a);
	a->wake_at = earlier(probe_at(m, now), grace_at(m));
	if (m->watch_at)
		a->wake_at = earlier(a->wake_at, m->watch_at);
	if (serving(m))
		a->wake_at = earlier(a->wake_at, m->deadline);
	if (m->state == GATE_LOCKING)
		a->wake_at = now; /* there is more to decide when it is wiped */
}

static void order_lock(struct gate_machine *m, struct gate_actions *a)
{
	m->ordered = true;
	if (m->state != GATE_LOCKED) {
		shut(m, a, GATE_CAUSE_ORDERED, GATE_SAY_LOCKING);
		return;
	}
	m->cause = GATE_CAUSE_ORDERED;
	m->ask_fresh = true;
	a->wipe = true; /* a probe may have been asking whether the key is back */
	show(m, a, GATE_LOCKED, GATE_SAY_REASON);
}

static void order_unlock(struct gate_machine *m, int64_t now)
{
	m->ordered = m->held = false;
	m->request++;
	if (m->state == GATE_LOCKED) {
		m->unlocking = m->request;
		m->locked_at = now;
	}
	want_probe(m, now);
}

/* What this process would leave behind if it ended now, nobody would take away: so nothing is lent. */
static void unwatched(struct gate_machine *m, struct gate_actions *a)
{
	m->unwatched = true;
	if (serving(m) || m->state == GATE_RETURNING)
		shut(m, a, GATE_CAUSE_UNWATCHED, GATE_SAY_LOCKING);
}

/* The KMS is asked before anybody is let in: the key may have been refused meanwhile. */
static void watched(struct gate_machine *m, int64_t now)
{
	m->unwatched = false;
	m->locked_at = now;
	want_probe(m, now);
}

static void open_first(struct gate_machine *m, int64_t now, struct gate_actions *a)
{
	m->opening = true;
	m->refusal_unconfirmed = false;
	m->locked_at = now;
	a->probe = m->asking = true;
	a->fresh = m->ask_fresh;
	m->ask_fresh = false;
}

/* The same as want_probe(), but not at each of a hundred changes or refused files. */
static void poked(struct gate_machine *m, int64_t now)
{
	int64_t free_at = m->asked_at + GATE_WATCH_GAP_MS;

	if (!m->watch_at)
		m->watch_at = now > free_at ? now : free_at;
}

struct gate_actions gate_step(struct gate_machine *m, const struct gate_event *ev, int64_t now)
{
	struct gate_actions a = {.wake_at = GATE_NEVER};

	switch (ev->kind) {
	case GATE_OPEN:
		open_first(m, now, &a);
		break;
	case GATE_ANSWER:
	case GATE_LOADED:
		take_answer(m, ev, now, &a);
		break;
	case GATE_TIME:
		take_time(m, now, &a);
		break;
	case GATE_ORDER_LOCK:
		order_lock(m, &a);
		break;
	case GATE_ORDER_UNLOCK:
		order_unlock(m, now);
		break;
	case GATE_POKED:
		poked(m, now);
		break;
	case GATE_UNWATCHED:
		unwatched(m, &a);
		break;
	case GATE_WATCHED:
		watched(m, now);
		break;
	case GATE_FILES_REFUSED: /* when the gate is shut, the kernel forgets those files with all others */
		a.files_refused = serving(m);
		break;
	case GATE_WIPED:
		wiped(m, now, &a);
		break;
	case GATE_CLOSING:
		shut(m, &a, GATE_CAUSE_CLOSED, GATE_SAY_REASON);
		break;
	}
	return a;
}

struct gate_machine gate_machine_new(int64_t poll_ms, int64_t lease_ms, int64_t grace_ms, bool manual_return)
{
	return (struct gate_machine){
		.poll_ms = poll_ms,
		.lease_ms = lease_ms,
		.grace_ms = grace_ms,
		.manual_return = manual_return,
		.state = GATE_LOCKED,
	};
}
