/* SPDX-License-Identifier: BSD-2-Clause */
/* Events into the gate's machine, and its actions carried out: on the gate's thread, or on the caller's before it runs. */
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "kms/gate/gate_private.h"
#include "kms/verdict.h"

static unsigned drain_limit(const struct gate *g)
{
	bool quick = g->machine.cause == GATE_CAUSE_ORDERED && g->drain_ms > GATE_ORDER_DRAIN_MS;

	return quick ? GATE_ORDER_DRAIN_MS : g->drain_ms;
}

static void carry_shut(struct gate *g, bool drain)
{
	const unsigned limit = drain_limit(g);

	atomic_store(&g->drain_until, gate_now(g) + limit);
	gate_cancel_calls(g);
	if (drain && g->hooks.drain)
		g->hooks.drain(g->hooks.arg, limit);
	gate_drain_end(g);
	gate_wipe(g);
	gate_handle(g, &(struct gate_event){.kind = GATE_WIPED}, NULL, NULL);
}

static void carry_locked(struct gate *g)
{
	if (g->hooks.locked)
		g->hooks.locked(g->hooks.arg, g->machine.cause, g->reason);
	gate_show_locked(g);
}

static void carry_load(struct gate *g)
{
	if (g->keyring->wrap_type == WRAP_FILE)
		gate_worker_ask(g, JOB_LOAD, false);
	else
		gate_handle(g, &(struct gate_event){.kind = GATE_LOADED}, NULL, NULL);
}

static void carry_out(struct gate *g, const struct gate_actions *a)
{
	if (a->shut)
		carry_shut(g, a->drain);
	if (a->wipe) {
		gate_cancel_calls(g);
		gate_wipe(g);
	}
	if (a->locked)
		carry_locked(g);
	if (a->active && g->hooks.active)
		g->hooks.active(g->hooks.arg);
	if (a->files_refused && g->hooks.files_refused)
		g->hooks.files_refused(g->hooks.arg);
	if (a->load)
		carry_load(g);
	if (a->probe && g->started) /* else gate_open() asks */
		gate_worker_ask(g, JOB_PROBE, a->fresh);
}

struct gate_actions gate_handle(struct gate *g, const struct gate_event *ev, const char *text, struct store_keys **keys)
{
	struct gate_line line;
	struct gate_actions a;

	pthread_mutex_lock(&g->lock);
	a = gate_step(&g->machine, ev, gate_now(g));
	if (a.take_keys) {
		g->store = *keys;
		*keys = NULL;
	}
	gate_show(g, &a, text, &line);
	pthread_mutex_unlock(&g->lock);
	if (line.text[0])
		gate_say(g, line.priority, "%s", line.text);
	carry_out(g, &a);
	return a;
}

void gate_order_lock(struct gate *g, const char *who)
{
	char text[GATE_WHY_MAX];

	snprintf(text, sizeof(text), "locked by order of %s", who);
	gate_handle(g, &(struct gate_event){.kind = GATE_ORDER_LOCK}, text, NULL);
}

/*
 * Are KEYS those that this gate began with (the first ones are)? The box pins the root key by the store id and opens with the
 * right slot secret only; that the store keys in it are those of before is what the commitment adds, over a time in which there
 * is no key in memory to compare with.
 */
static bool same_keys(struct gate *g, const struct store_keys *keys)
{
	uint8_t commit[MAC_LEN];

	if (g->store)
		return store_keys_equal(keys, g->store);
	if (!g->committed)
		random_bytes(g->commit_salt, sizeof(g->commit_salt));
	if (store_keys_commit(keys, g->commit_salt, commit))
		return false;
	if (!g->committed)
		memcpy(g->commit, commit, sizeof(commit));
	g->committed = true;
	return sodium_memcmp(g->commit, commit, sizeof(commit)) == 0;
}

/* Other keys than before are a refusal: to the machine, to status, and to whoever waits for the answer. */
static void answer_settle(struct gate *g, struct gate_answer *a)
{
	if (a->verdict.class != KMS_OK || a->job != JOB_PROBE || same_keys(g, a->keys))
		return;
	store_keys_free(a->keys);
	a->keys = NULL;
	kms_verdict_set(&a->verdict, KMS_REVOKED, "another-key", "%s", GATE_OTHER_KEYS);
}

static void answer_note(struct gate *g, const struct gate_answer *a)
{
	if (a->job != JOB_PROBE)
		return;
	pthread_mutex_lock(&g->lock);
	g->last = a->verdict;
	if (a->verdict.class == KMS_OK)
		g->last_good = time(NULL);
	if (a->verdict.class == KMS_REVOKED)
		g->last_refusal = time(NULL);
	pthread_mutex_unlock(&g->lock);
}

struct gate_actions gate_hear(struct gate *g, struct gate_answer *a)
{
	struct gate_event ev = {.kind = a->job == JOB_LOAD ? GATE_LOADED : GATE_ANSWER,
				.fresh = a->fresh,
				.started = a->started,
				.request = a->request};
	struct gate_actions actions;

	answer_settle(g, a);
	answer_note(g, a);
	ev.class = a->verdict.class;
	actions = gate_handle(g, &ev, a->verdict.text, &a->keys);
	store_keys_free(a->keys);
	a->keys = NULL;
	return actions;
}
