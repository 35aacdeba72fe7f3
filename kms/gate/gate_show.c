/* SPDX-License-Identifier: BSD-2-Clause */
/* What the gate shows of itself: its state to requests, to the beacon, to whoever is to be told, and in words. */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "kms/gate/gate_private.h"

const char *gate_state_name(enum gate_state s)
{
	static const char *const names[] = {
		[GATE_ACTIVE] = "active", [GATE_GRACE] = "grace",         [GATE_LOCKING] = "locking",
		[GATE_LOCKED] = "locked", [GATE_RETURNING] = "returning",
	};
	return s >= GATE_ACTIVE && s <= GATE_RETURNING ? names[s] : "unknown";
}

const char *gate_cause_name(enum gate_cause c)
{
	static const char *const names[] = {
		[GATE_CAUSE_NONE] = "",           [GATE_CAUSE_REVOKED] = "revoked", [GATE_CAUSE_OUTAGE] = "outage",
		[GATE_CAUSE_ORDERED] = "ordered", [GATE_CAUSE_CLOSED] = "closed",
	};
	return c <= GATE_CAUSE_CLOSED ? names[c] : "unknown";
}

void gate_say(struct gate *g, int priority, const char *fmt, ...)
{
	char text[GATE_WHY_MAX + 64];
	va_list ap;

	if (!g->log)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	g->log(priority, text);
}

/* Whoever watches reads the state first: what belongs to it is stored before it, and taken back after it. */
static void beacon_show(struct gate *g, enum gate_state s)
{
	struct gate_beacon *b = g->beacon;

	if (!b)
		return;
	if (s == GATE_LOCKING)
		atomic_store(&b->locking_since, gate_now(g));
	atomic_store(&b->state, (int)s);
	if (s != GATE_LOCKING)
		atomic_store(&b->locking_since, 0);
}

void gate_show_locked(struct gate *g)
{
	beacon_show(g, GATE_LOCKED);
}

void gate_beat(struct gate *g)
{
	if (g->beacon)
		atomic_fetch_add(&g->beacon->beat, 1);
}

void gate_set_deadline(struct gate *g, int64_t deadline)
{
	atomic_store(&g->deadline, deadline);
	if (g->beacon)
		atomic_store(&g->beacon->deadline, deadline);
}

void gate_tell(struct gate *g)
{
	const struct gate_change c = {
		.from = g->told_state,
		.to = (enum gate_state)atomic_load(&g->state),
		.cause = g->cause,
		.reason = g->reason,
		.key_version = g->last_good ? g->keyring->slot[0].version : "",
	};

	if (!g->hooks.changed || (c.from == c.to && c.cause == g->told_cause))
		return;
	g->told_state = c.to;
	g->told_cause = c.cause;
	g->hooks.changed(g->hooks.arg, &c);
}

void gate_set_state(struct gate *g, enum gate_state s, enum gate_cause cause, const char *reason)
{
	pthread_mutex_lock(&g->lock);
	if ((enum gate_state)atomic_load(&g->state) != s)
		g->since = time(NULL);
	g->cause = cause;
	if (reason != g->reason)
		snprintf(g->reason, sizeof(g->reason), "%s", reason);
	atomic_store(&g->state, (int)s);
	if (s != GATE_LOCKED) /* shown when all of it is done: gate_show_locked() */
		beacon_show(g, s);
	gate_tell(g);
	pthread_cond_broadcast(&g->changed);
	pthread_mutex_unlock(&g->lock);
}

static int64_t left(const struct gate *g, int64_t until)
{
	int64_t now = gate_now(g);

	return until > now ? until - now : 0;
}

void gate_status(struct gate *g, struct gate_status *out)
{
	memset(out, 0, sizeof(*out));
	out->keys_in_memory = atomic_load(&g->in_memory);
	out->keys_cap = g->cap == SIZE_MAX ? 0 : g->cap;
	out->keys_dropped = atomic_load(&g->dropped);
	pthread_mutex_lock(&g->lock); /* state and cause belong together */
	out->state = gate_state(g);
	if (out->state == GATE_ACTIVE)
		out->lease_left_ms = left(g, atomic_load(&g->deadline));
	if (out->state == GATE_GRACE)
		out->grace_left_ms = left(g, atomic_load(&g->deadline));
	out->cause = g->cause;
	memcpy(out->reason, g->reason, sizeof(out->reason));
	out->since = g->since;
	out->last_good = g->last_good;
	out->last_refusal = g->last_refusal;
	out->polls = g->polls;
	out->ordered = g->ordered || atomic_load(&g->held);
	if (!g->ordered)
		out->next_probe_ms = left(g, atomic_load(&g->next_probe));
	pthread_mutex_unlock(&g->lock);
}

void gate_let_in(struct gate *g, int64_t lease_end)
{
	g->lease_end = lease_end;
	gate_set_deadline(g, lease_end);
	atomic_store(&g->drain_open, 1);
	gate_set_state(g, GATE_ACTIVE, GATE_CAUSE_NONE, "");
}
