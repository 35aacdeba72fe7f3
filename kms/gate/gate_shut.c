/* SPDX-License-Identifier: BSD-2-Clause */
/* The way into LOCKED: drain, wipe, tell. */
#include <stdbool.h>
#include <syslog.h>
#include <time.h>

#include "kms/gate/gate_private.h"

/* Is anything on its way that brings or holds a key? */
static bool gate_asking(const struct gate *g)
{
	if (atomic_load(&g->probes))
		return true;
	for (uint32_t i = 0; i < g->keyring->n_slots; i++)
		if (g->kek[i] && kms_calls(g->kek[i]))
			return true;
	return false;
}

/* A provider that cannot be cancelled must not hold up the lock; what it had in memory is wiped when it returns. */
static void gate_await_calls(struct gate *g)
{
	struct timespec pause = {.tv_nsec = 1000000};

	for (int ms = 0; ms < GATE_CALLS_MS && gate_asking(g); ms++)
		nanosleep(&pause, NULL);
	if (gate_asking(g))
		gate_say(g, LOG_WARNING, "a KMS call did not stop in time: its buffer is wiped when it returns");
}

void gate_wipe(struct gate *g)
{
	gate_quiesce(g);
	gate_await_calls(g);
	pthread_mutex_lock(&g->list_lock);
	store_keys_free(g->store);
	g->store = NULL;
	gate_keys_wipe(g);
	gate_cap_wipe(g);
	pthread_mutex_unlock(&g->list_lock);
	gate_worker_void(g);
}

static unsigned drain_limit(const struct gate *g, enum gate_cause cause)
{
	return cause == GATE_CAUSE_ORDERED && g->drain_ms > GATE_ORDER_DRAIN_MS ? GATE_ORDER_DRAIN_MS : g->drain_ms;
}

void gate_shut(struct gate *g, enum gate_cause cause, const char *reason, int drain)
{
	int state = atomic_load(&g->state);

	if (state == GATE_ACTIVE || state == GATE_GRACE) {
		gate_set_state(g, GATE_LOCKING, cause, reason);
		if (cause != GATE_CAUSE_CLOSED)
			gate_say(g, LOG_WARNING, "locking: %s", reason);
	} else {
		drain = 0; /* nothing can be dirty: no request was let in */
	}
	gate_cancel_calls(g);
	g->want_fresh = 1; /* only a refresh lets cancelled handles work again */
	if (drain && g->hooks.drain)
		g->hooks.drain(g->hooks.arg, drain_limit(g, cause));
	atomic_store(&g->drain_open, 0);
	if (state == GATE_RETURNING) { /* the worker looks before it installs a key */
		pthread_mutex_lock(&g->lock);
		g->cause = cause;
		atomic_store(&g->state, GATE_LOCKED);
		pthread_mutex_unlock(&g->lock);
	}
	gate_wipe(g);
	gate_set_state(g, GATE_LOCKED, cause, reason);
	gate_say(g, cause == GATE_CAUSE_CLOSED ? LOG_INFO : LOG_WARNING, "locked, every key is wiped: %s", reason);
	if (g->hooks.locked)
		g->hooks.locked(g->hooks.arg, cause, reason);
	gate_show_locked(g);
}
