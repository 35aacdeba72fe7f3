/* SPDX-License-Identifier: BSD-2-Clause */
/* The gate's table of states: what an answer, and what time, does in each. On the gate's thread. */
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#include "kms/gate/gate_private.h"

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
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
	/* After silence at once: it may have been this machine that slept. */
	g->next_probe = cause == GATE_CAUSE_OUTAGE ? g->locked_at : g->locked_at + g->poll_ms;
	g->refusal = 0;
	g->refreshed = 0;
	g->yes = 0;
	g->back = 0;
	g->by_order = 0;
	atomic_store(&g->held, g->manual && cause != GATE_CAUSE_ORDERED);
}

/*
 * The box pins the root key by the store id and opens with the right slot secret only; that the store keys in it are those of
 * before is what the commitment adds, over a time in which there is no key in memory to compare with.
 */
int gate_same_keys(struct gate *g, const struct store_keys *keys)
{
	uint8_t commit[MAC_LEN];

	if (!g->committed)
		random_bytes(g->commit_salt, sizeof(g->commit_salt));
	if (store_keys_commit(keys, g->commit_salt, commit))
		return 0;
	if (!g->committed) {
		memcpy(g->commit, commit, sizeof(commit));
		g->committed = 1;
	}
	return sodium_memcmp(g->commit, commit, sizeof(commit)) == 0;
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
	const char *text = a->verdict.class == KMS_OK ? GATE_OTHER_KEYS : a->verdict.text;

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
	g->yes = 0;
	g->by_order = 0;
	g->next_probe = earlier(g->next_probe, gate_now(g) + g->poll_ms);
	gate_let_in(g, g->lease_end);
	gate_say(g, LOG_NOTICE, "the key is back: serving again");
	if (g->hooks.active)
		g->hooks.active(g->hooks.arg);
}

/* `manual`: a person decides, and is told that he can. */
static void locked_back(struct gate *g)
{
	if (g->back)
		return;
	g->back = 1;
	gate_set_state(g, GATE_LOCKED, g->cause, "the key is back: byokfs unlock ends the lock");
	gate_say(g, LOG_NOTICE, "the key is back, and stays locked until byokfs unlock");
}

static void locked_good(struct gate *g, struct gate_answer *a)
{
	g->next_probe = a->started + g->poll_ms;
	g->lease_end = a->started + g->lease_ms;
	if (atomic_load(&g->held)) {
		locked_back(g);
		return;
	}
	/* As a no, a yes after a no counts when it is repeated: a KMS of many machines may not agree with itself for a while. */
	if (g->cause == GATE_CAUSE_REVOKED && !g->by_order && !(g->yes && a->fresh)) {
		g->yes = 1;
		g->want_fresh = 1;
		g->next_probe = gate_now(g);
		return;
	}
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

/* Say what is known best: a refusal replaces silence, silence does not replace a refusal. */
static void locked_say(struct gate *g, int refused, const char *text)
{
	int back = g->back;

	g->back = 0;
	if (!refused && g->cause == GATE_CAUSE_REVOKED && !back)
		return;
	if (strcmp(text, g->reason) == 0)
		return;
	gate_set_state(g, GATE_LOCKED,
		       refused || g->cause == GATE_CAUSE_REVOKED ? GATE_CAUSE_REVOKED : GATE_CAUSE_OUTAGE, text);
	gate_say(g, LOG_NOTICE, "still locked: %s", text);
}

static void answer_locked(struct gate *g, struct gate_answer *a)
{
	int refused = a->verdict.class == KMS_REVOKED || a->verdict.class == KMS_CORRUPT;
	int slow = gate_now(g) - g->locked_at > GATE_FAST_MS && g->poll_ms < GATE_SLOW_MS;
	int other = a->verdict.class == KMS_OK && !gate_same_keys(g, a->keys);

	if (a->verdict.class == KMS_OK && !other) {
		locked_good(g, a);
		return;
	}
	g->yes = 0;
	if (g->by_order && a->request >= g->by_order) {
		g->by_order = 0;
		atomic_store(&g->held, g->manual);
	}
	g->want_fresh = 1;
	g->next_probe = a->started + (slow ? GATE_SLOW_MS : g->poll_ms);
	locked_say(g, refused || other, other ? GATE_OTHER_KEYS : a->verdict.text);
}

static void answer_returning(struct gate *g, struct gate_answer *a)
{
	if (a->job == JOB_PROBE) {
		if (a->verdict.class != KMS_OK || answer_refuses(g, a)) {
			gate_shut_serving(g, answer_refuses(g, a) ? GATE_CAUSE_REVOKED : GATE_CAUSE_OUTAGE,
					  a->verdict.text);
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

/*
 * Grace begins before the lease ends, so that nothing is refused between the two; but no earlier than needed, for an answer
 * that is slow is no silence (the bound of a KMS call: tools/opened.c).
 */
int64_t gate_grace_at(const struct gate *g)
{
	return g->lease_end - earlier(g->poll_ms, g->lease_ms / 5);
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
	/* Not after the lease: a machine that slept, or a process that was stopped, has not heard any silence. */
	if (state == GATE_ACTIVE && g->grace_ms && !g->refusal && now >= gate_grace_at(g) && !gate_time_over(g)) {
		snprintf(reason, sizeof(reason), "no good answer from the KMS%s%s", g->last.text[0] ? ": " : "",
			 g->last.text);
		gate_set_deadline(g, g->lease_end + g->grace_ms);
		gate_set_state(g, GATE_GRACE, GATE_CAUSE_NONE, reason);
		gate_say(g, LOG_WARNING, "grace of %lld s begins: %s", (long long)g->grace_ms / 1000, reason);
	}
	if (!gate_serving(g) || !gate_time_over(g))
		return;
	snprintf(reason, sizeof(reason), "no good answer from the KMS within the %s%s%s",
		 state == GATE_GRACE ? "grace" : "lease", g->last.text[0] ? ": " : "", g->last.text);
	gate_shut_serving(g, g->refusal ? GATE_CAUSE_REVOKED : GATE_CAUSE_OUTAGE, reason);
}
