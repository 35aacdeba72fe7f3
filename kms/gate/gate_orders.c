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

/* Still locked, though V was heard: why, as an errno and in words. */
static int why_locked(const struct kms_verdict *v, char why[GATE_WHY_MAX])
{
	int r = kms_class_errno(v->class);

	why_say(why, v);
	return r ? r : -ETIMEDOUT;
}

int gate_open(struct gate *g, char why[320])
{
	struct gate_actions a = gate_handle(g, &(struct gate_event){.kind = GATE_OPEN}, NULL, NULL);

	g->polls++;
	while (a.probe) {
		struct gate_answer answer;

		gate_ask(g, a.fresh, &answer);
		a = gate_hear(g, &answer);
	}
	why[0] = '\0';
	return atomic_load(&g->state) == GATE_ACTIVE ? 0 : why_locked(&g->last, why);
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
		g->hooks = (struct gate_hooks){0};
	return r;
}

/* g->lock is held. Wait until the gate's thread has done what *ORDER asks for. */
static void order_wait(struct gate *g, const bool *order)
{
	gate_wake(g);
	while (*order && !atomic_load(&g->stop))
		pthread_cond_wait(&g->changed, &g->lock);
}

void gate_detach(struct gate *g)
{
	if (!g->started) {
		g->hooks = (struct gate_hooks){0};
		return;
	}
	pthread_mutex_lock(&g->lock);
	g->order_detach = true;
	order_wait(g, &g->order_detach);
	pthread_mutex_unlock(&g->lock);
}

int gate_lock(struct gate *g, const char *who)
{
	if (!g->started) {
		gate_order_lock(g, who);
		return 0;
	}
	if (pthread_equal(pthread_self(), g->thread))
		return -EDEADLK;
	pthread_mutex_lock(&g->lock);
	snprintf(g->order_who, sizeof(g->order_who), "%s", who);
	g->order_lock = true;
	order_wait(g, &g->order_lock);
	pthread_mutex_unlock(&g->lock);
	return 0;
}

void gate_lock_signal(struct gate *g)
{
	atomic_store(&g->signalled, true);
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
		enum gate_state state = gate_state(g);

		if (state == GATE_ACTIVE || state == GATE_GRACE)
			return 0;
		if (g->machine.ordered || g->machine.unwatched) { /* ordered again, since */
			snprintf(why, GATE_WHY_MAX, "%s", g->machine.ordered ? g->reason : GATE_UNWATCHED_WHY);
			return -EACCES;
		}
		if (atomic_load(&g->stop) || (g->answered >= mine && state == GATE_LOCKED))
			break;
		r = pthread_cond_timedwait(&g->changed, &g->lock, &until);
	}
	if (!r)
		return why_locked(&g->last, why);
	why_say(why, &g->last);
	return -ETIMEDOUT;
}

int gate_unlock(struct gate *g, char why[320])
{
	int r;

	why[0] = '\0';
	if (!g->started) {
		gate_handle(g, &(struct gate_event){.kind = GATE_ORDER_UNLOCK}, NULL, NULL);
		return atomic_load(&g->state) == GATE_LOCKED ? gate_open(g, why) : 0;
	}
	if (pthread_equal(pthread_self(), g->thread))
		return -EDEADLK;
	pthread_mutex_lock(&g->lock);
	g->order_unlock = true;
	order_wait(g, &g->order_unlock);
	r = unlock_wait(g, g->machine.request, why); /* the thread has raised it for this order */
	pthread_mutex_unlock(&g->lock);
	return r;
}
