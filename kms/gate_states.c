/* SPDX-License-Identifier: BSD-2-Clause */
/* The gate's table of states: what an answer, and what time, does in each. On the gate's thread. */
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#include "kms/gate_private.h"

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

int gate_serving(const struct gate *g)
{
	int state = atomic_load(&g->state);

	return state == GATE_ACTIVE || state == GATE_GRACE;
}

void gate_want_probe(struct gate *g)
{
	if (g->probing)
		g->again = 1; /* the one under way may have looked before the change */
	else
		g->next_probe = gate_now(g);
}

void gate_want_probe_soon(struct gate *g)
{
	int64_t now = gate_now(g), free_at = g->asked_at + GATE_WATCH_GAP_MS;

	if (!g->watch_at)
		g->watch_at = now > free_at ? now : free_at;
}

/* The way out of ACTIVE and GRACE, and the pace of the questions after it. */
void gate_shut_serving(struct gate *g, enum gate_cause cause, const char *reason)
{
	gate_shut(g, cause, reason, 1);
	g->locked_at = gate_now(g);
	g->next_probe = g->locked_at + g->poll_ms;
	g->refusal = 0;
	g->refreshed = 0;
}

/* Is this answer a definite no? CORRUPT is one too: this very wrap has worked before. */
static int answer_refuses(struct gate *g, const struct gate_answer *a)
{
	if (a->verdict.class == KMS_OK)
		return !store_keys_equal(a->keys, g->store);
	return a->verdict.class == KMS_REVOKED || a->verdict.class == KMS_CORRUPT;
}

static void serving_refused(struct gate *g, const struct gate_answer *a)
{
	const char *text = a->verdict.class == KMS_OK ? "the KMS gives another key than before" : a->verdict.text;

	if (g->refusal && a->fresh) {
		gate_shut_serving(g, GATE_CAUSE_REVOKED, text);
		return;
	}
	gate_say(g, LOG_NOTICE, "the KMS refuses, asking once more: %s", text);
	g->refusal = 1;
	g->want_fresh = 1;
	g->next_probe = gate_now(g);
	/* Grace is for silence: after a refusal no more than a lease is left to confirm it. */
	if (atomic_load(&g->state) == GATE_GRACE)
		gate_set_deadline(g, earlier(atomic_load(&g->deadline), gate_now(g) + g->lease_ms));
}

static void serving_good(struct gate *g, const struct gate_answer *a)
{
	g->refusal = 0;
	g->refreshed = 0;
	g->lease_end = a->started + g->lease_ms;
	g->next_probe = a->started + g->poll_ms;
	gate_set_deadline(g, g->lease_end);
	if (atomic_load(&g->state) == GATE_GRACE) {
		gate_set_state(g, GATE_ACTIVE, GATE_CAUSE_NONE, "");
		gate_say(g, LOG_NOTICE, "the KMS answers again: grace ends");
	}
}

/* No statement about the key: the lease runs on. A credential or a reference is tried afresh once. */
static void serving_silent(struct gate *g, const struct gate_answer *a)
{
	int ours = a->verdict.class == KMS_AUTH || a->verdict.class == KMS_MISCONFIGURED;

	gate_say(g, LOG_NOTICE, "no answer from the KMS that counts: %s", a->verdict.text);
	g->next_probe = a->started + g->poll_ms;
	if (ours && !g->refreshed) {
		g->refreshed = 1;
		g->want_fresh = 1;
		g->next_probe = gate_now(g);
	} else if (g->refusal) {
		g->want_fresh = 1;
		g->next_probe = gate_now(g) + earlier(GATE_CONFIRM_MS, g->poll_ms);
	}
}

static void answer_serving(struct gate *g, const struct gate_answer *a)
{
	if (answer_refuses(g, a))
		serving_refused(g, a);
	else if (a->verdict.class == KMS_OK)
		serving_good(g, a);
	else
		serving_silent(g, a);
}

static void back_to_active(struct gate *g)
{
	g->refusal = 0;
	g->refreshed = 0;
	g->want_fresh = 0;
	g->next_probe = earlier(g->next_probe, gate_now(g) + g->poll_ms);
	gate_let_in(g, g->lease_end);
	gate_say(g, LOG_NOTICE, "the key is back: serving again");
	if (g->hooks.active)
		g->hooks.active(g->hooks.arg);
}

static void locked_good(struct gate *g, struct gate_answer *a)
{
	g->next_probe = a->started + g->poll_ms;
	g->lease_end = a->started + g->lease_ms;
	if (gate_now(g) >= g->lease_end)
		return; /* too old to let anybody in; asked again at the next turn */
	gate_set_state(g, GATE_RETURNING, GATE_CAUSE_NONE, "the KMS gives the key again: loading");
	g->store = a->keys;
	a->keys = NULL;
	if (g->keyring->wrap_type == WRAP_STORE) {
		back_to_active(g);
		return;
	}
	gate_worker_ask(g, JOB_LOAD, 0);
	g->probing = 1;
}

static void answer_locked(struct gate *g, struct gate_answer *a)
{
	int refused = a->verdict.class == KMS_REVOKED || a->verdict.class == KMS_CORRUPT;
	int slow = gate_now(g) - g->locked_at > GATE_FAST_MS && g->poll_ms < GATE_SLOW_MS;

	if (a->verdict.class == KMS_OK) {
		locked_good(g, a);
		return;
	}
	g->want_fresh = 1;
	g->next_probe = a->started + (slow ? GATE_SLOW_MS : g->poll_ms);
	/* Say what is known best: a refusal replaces silence, silence does not replace a refusal. */
	if (!refused && g->cause == GATE_CAUSE_REVOKED)
		return;
	if (strcmp(a->verdict.text, g->reason) == 0)
		return;
	gate_set_state(g, GATE_LOCKED, refused ? GATE_CAUSE_REVOKED : GATE_CAUSE_OUTAGE, a->verdict.text);
	gate_say(g, LOG_NOTICE, "still locked: %s", a->verdict.text);
}

static void answer_returning(struct gate *g, struct gate_answer *a)
{
	if (a->job == JOB_PROBE) {
		if (a->verdict.class != KMS_OK || answer_refuses(g, a)) {
			gate_shut_serving(g, answer_refuses(g, a) ? GATE_CAUSE_REVOKED : GATE_CAUSE_OUTAGE, a->verdict.text);
			return;
		}
		g->lease_end = a->started + g->lease_ms;
		g->next_probe = a->started + g->poll_ms;
	}
	if (gate_now(g) < g->lease_end) {
		back_to_active(g);
		return;
	}
	/* Loading took longer than the lease: the KMS must say once more that all is well. */
	gate_worker_ask(g, JOB_PROBE, 0);
	g->probing = 1;
}

static void answer_note(struct gate *g, const struct gate_answer *a)
{
	pthread_mutex_lock(&g->lock);
	if (a->job == JOB_PROBE) {
		g->last = a->verdict;
		if (a->verdict.class == KMS_OK)
			g->last_good = time(NULL);
		if (a->verdict.class == KMS_REVOKED)
			g->last_refusal = time(NULL);
	}
	pthread_mutex_unlock(&g->lock);
}

void gate_take_answer(struct gate *g)
{
	struct gate_answer a;
	int state = atomic_load(&g->state);

	if (!gate_worker_take(g, &a))
		return;
	g->probing = 0;
	answer_note(g, &a);
	if (gate_serving(g) && a.job == JOB_PROBE)
		answer_serving(g, &a);
	else if (state == GATE_LOCKED && !g->ordered && a.job == JOB_PROBE)
		answer_locked(g, &a);
	else if (state == GATE_RETURNING)
		answer_returning(g, &a);
	store_keys_free(a.keys);
	if (g->again) {
		g->again = 0;
		g->next_probe = gate_now(g);
	}
	pthread_mutex_lock(&g->lock);
	g->answered = a.request;
	pthread_cond_broadcast(&g->changed);
	pthread_mutex_unlock(&g->lock);
}

/* What time alone does to the states. */
void gate_take_time(struct gate *g)
{
	char reason[GATE_WHY_MAX];
	int state = atomic_load(&g->state);
	int64_t now = gate_now(g);

	if (g->watch_at && now >= g->watch_at) {
		g->watch_at = 0;
		gate_want_probe(g);
	}
	/* Grace begins before the lease ends, so that nothing is refused between the two. */
	if (state == GATE_ACTIVE && g->grace_ms && !g->refusal && now >= g->lease_end - g->poll_ms) {
		snprintf(reason, sizeof(reason), "no good answer from the KMS%s%s", g->last.text[0] ? ": " : "", g->last.text);
		gate_set_deadline(g, g->lease_end + g->grace_ms);
		gate_set_state(g, GATE_GRACE, GATE_CAUSE_NONE, reason);
		gate_say(g, LOG_WARNING, "grace of %lld s begins: %s", (long long)g->grace_ms / 1000, reason);
	}
	if (!gate_serving(g) || now < atomic_load(&g->deadline))
		return;
	snprintf(reason, sizeof(reason), "no good answer from the KMS within the %s%s%s",
		 state == GATE_GRACE ? "grace" : "lease", g->last.text[0] ? ": " : "", g->last.text);
	gate_shut_serving(g, g->refusal ? GATE_CAUSE_REVOKED : GATE_CAUSE_OUTAGE, reason);
}
