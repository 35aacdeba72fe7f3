/* SPDX-License-Identifier: BSD-2-Clause */
/* What other threads ask of the gate: open, start, lock, unlock, probe now. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#include "kms/gate/gate_private.h"
#include "kms/verdict.h"

/* How long gate_unlock() waits; a KMS call is bounded by its own timeout, far below. */
#define UNLOCK_WAIT_S 120

static void why_say(char why[GATE_WHY_MAX], const struct kms_verdict *v)
{
	if (v->class == KMS_OK)
		snprintf(why, GATE_WHY_MAX, "the lease had ended before the KMS answered");
	else
		snprintf(why, GATE_WHY_MAX, "%s", v->text);
}

static void open_note(struct gate *g, const struct gate_answer *a)
{
	pthread_mutex_lock(&g->lock);
	g->polls++;
	g->last = a->verdict;
	if (a->verdict.class == KMS_OK)
		g->last_good = time(NULL);
	else if (a->verdict.class == KMS_REVOKED)
		g->last_refusal = time(NULL);
	pthread_mutex_unlock(&g->lock);
}

int gate_open(struct gate *g, char why[320])
{
	struct gate_answer a;
	int r;

	gate_ask(g, g->want_fresh, &a);
	g->want_fresh = 0;
	/* A refusal counts when it is repeated; a credential may just have been renewed. */
	if (a.verdict.class == KMS_REVOKED || a.verdict.class == KMS_AUTH)
		gate_ask(g, 1, &a);
	open_note(g, &a);
	why[0] = '\0';
	if (a.verdict.class == KMS_OK && !gate_same_keys(g, a.keys)) {
		store_keys_free(a.keys);
		a.keys = NULL;
		kms_verdict_set(&a.verdict, KMS_REVOKED, "another-key", GATE_OTHER_KEYS);
	}
	if (a.verdict.class == KMS_OK && gate_now(g) >= a.started + g->lease_ms) {
		store_keys_free(a.keys);
		why_say(why, &a.verdict);
		return -ETIMEDOUT;
	}
	if (a.verdict.class == KMS_OK) {
		g->store = a.keys;
		g->next_probe = a.started + g->poll_ms;
		gate_let_in(g, a.started + g->lease_ms);
		return 0;
	}
	why_say(why, &a.verdict);
	r = kms_class_errno(a.verdict.class);
	gate_set_state(g, GATE_LOCKED, r == -EKEYREVOKED ? GATE_CAUSE_REVOKED : GATE_CAUSE_OUTAGE, why);
	return r;
}

int gate_start(struct gate *g, const struct gate_hooks *hooks)
{
	int r;

	if (hooks)
		g->hooks = *hooks;
	pthread_mutex_lock(&g->lock);
	gate_tell(g);
	pthread_mutex_unlock(&g->lock);
	if (g->cap != SIZE_MAX)
		gate_say(g, LOG_INFO, "the keys of %zu open files fit into locked memory (ulimit -l)%s", g->cap,
			 g->keyring->wrap_type == WRAP_FILE ? "" : "; beyond that the least used are dropped");
	r = gate_thread_start(g);
	if (r)
		memset(&g->hooks, 0, sizeof(g->hooks));
	return r;
}

/* g->lock is held. Wait until the gate's thread has done what *ORDER asks for. */
static void order_wait(struct gate *g, const int *order)
{
	gate_wake(g);
	while (*order && !atomic_load(&g->stop))
		pthread_cond_wait(&g->changed, &g->lock);
}

void gate_detach(struct gate *g)
{
	if (!g->started) {
		memset(&g->hooks, 0, sizeof(g->hooks));
		return;
	}
	pthread_mutex_lock(&g->lock);
	g->order_detach = 1;
	order_wait(g, &g->order_detach);
	pthread_mutex_unlock(&g->lock);
}

int gate_lock(struct gate *g, const char *who)
{
	if (g->started && pthread_equal(pthread_self(), g->thread))
		return -EDEADLK;
	if (!g->started) {
		char reason[GATE_WHY_MAX];

		snprintf(reason, sizeof(reason), "locked by order of %s", who);
		g->ordered = 1;
		gate_shut(g, GATE_CAUSE_ORDERED, reason, 0);
		return 0;
	}
	pthread_mutex_lock(&g->lock);
	snprintf(g->order_who, sizeof(g->order_who), "%s", who);
	g->order_lock = 1;
	order_wait(g, &g->order_lock);
	pthread_mutex_unlock(&g->lock);
	return 0;
}

void gate_lock_signal(struct gate *g)
{
	atomic_store(&g->signalled, 1);
	gate_wake(g);
}

/* g->lock is held. Wait for the answer to request MINE, and for what comes of it. */
static int unlock_wait(struct gate *g, int mine, char why[GATE_WHY_MAX])
{
	struct timespec until;
	int r = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += UNLOCK_WAIT_S;
	while (r == 0) {
		int state = (int)gate_state(g);

		if (state == GATE_ACTIVE || state == GATE_GRACE)
			return 0;
		if (g->ordered) { /* again, since */
			snprintf(why, GATE_WHY_MAX, "%s", g->reason);
			return -EACCES;
		}
		if (atomic_load(&g->stop) || (g->answered >= mine && state == GATE_LOCKED))
			break;
		r = pthread_cond_timedwait(&g->changed, &g->lock, &until);
	}
	why_say(why, &g->last);
	r = r ? -ETIMEDOUT : kms_class_errno(g->last.class);
	return r ? r : -ETIMEDOUT;
}

int gate_unlock(struct gate *g, char why[320])
{
	int mine, r;

	why[0] = '\0';
	if (!g->started) {
		g->ordered = 0;
		atomic_store(&g->held, 0);
		return atomic_load(&g->state) == GATE_LOCKED ? gate_open(g, why) : 0;
	}
	if (pthread_equal(pthread_self(), g->thread))
		return -EDEADLK;
	pthread_mutex_lock(&g->lock);
	g->order_unlock = 1;
	order_wait(g, &g->order_unlock);
	mine = g->requests; /* the thread has raised it for this order */
	r = unlock_wait(g, mine, why);
	pthread_mutex_unlock(&g->lock);
	return r;
}
