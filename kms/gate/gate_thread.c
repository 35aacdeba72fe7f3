/* SPDX-License-Identifier: BSD-2-Clause */
/* The gate's thread: polls, watches, orders. It never waits for a KMS. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/timerfd.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "kms/gate/gate_private.h"

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static void order_lock(struct gate *g, const char *who)
{
	char reason[GATE_WHY_MAX];

	snprintf(reason, sizeof(reason), "locked by order of %s", who);
	pthread_mutex_lock(&g->lock);
	g->ordered = 1;
	pthread_mutex_unlock(&g->lock);
	if (atomic_load(&g->state) == GATE_LOCKED) {
		gate_set_state(g, GATE_LOCKED, GATE_CAUSE_ORDERED, reason);
		gate_cancel_calls(g); /* a probe may have been asking whether the key is back */
		g->want_fresh = 1;
		gate_wipe(g);
	} else {
		gate_shut_serving(g, GATE_CAUSE_ORDERED, reason);
	}
}

static void order_unlock(struct gate *g)
{
	int mine;

	pthread_mutex_lock(&g->lock);
	g->ordered = 0;
	mine = ++g->requests;
	pthread_mutex_unlock(&g->lock);
	atomic_store(&g->held, 0);
	if (atomic_load(&g->state) == GATE_LOCKED) {
		g->by_order = mine;
		g->locked_at = gate_now(g);
	}
	gate_want_probe(g);
}

static void order_done(struct gate *g, int *order)
{
	pthread_mutex_lock(&g->lock);
	*order = 0;
	pthread_cond_broadcast(&g->changed);
	pthread_mutex_unlock(&g->lock);
}

static void take_orders(struct gate *g)
{
	char who[sizeof(g->order_who)];
	int lock, unlock, detach;

	pthread_mutex_lock(&g->lock);
	lock = g->order_lock;
	unlock = g->order_unlock;
	detach = g->order_detach;
	memcpy(who, g->order_who, sizeof(who));
	pthread_mutex_unlock(&g->lock);
	if (detach) {
		memset(&g->hooks, 0, sizeof(g->hooks));
		order_done(g, &g->order_detach);
	}
	if (atomic_exchange(&g->signalled, 0))
		order_lock(g, "a signal");
	if (lock) {
		order_lock(g, who);
		order_done(g, &g->order_lock);
	}
	if (unlock) {
		order_unlock(g);
		order_done(g, &g->order_unlock);
	}
	if (atomic_exchange(&g->poked, 0))
		gate_want_probe_soon(g);
	/* When the gate is shut, the kernel forgets those files with all others. */
	if (atomic_exchange(&g->files_refused, 0) && gate_serving(g) && g->hooks.files_refused)
		g->hooks.files_refused(g->hooks.arg);
}

/* A clock that was put back leaves more time than there ever is. */
static int64_t probe_left(const struct gate *g)
{
	int64_t left = g->next_probe - gate_now(g), most = g->poll_ms > GATE_SLOW_MS ? g->poll_ms : GATE_SLOW_MS;

	return left > most ? 0 : left;
}

static void probe_if_due(struct gate *g)
{
	int state = atomic_load(&g->state);

	if (g->probing || g->ordered || probe_left(g) > 0 || (state != GATE_LOCKED && !gate_serving(g)))
		return;
	gate_worker_ask(g, JOB_PROBE, g->want_fresh);
	g->probing = 1;
	g->want_fresh = 0;
	g->asked_at = gate_now(g);
	g->next_probe = g->asked_at + g->poll_ms; /* until the answer says otherwise */
}

/* Milliseconds to the next thing that time brings. */
static int64_t time_left(const struct gate *g)
{
	int64_t now = gate_now(g), next = now + (g->crowded ? 1 : g->beacon ? GATE_BEAT_MS / 2 : 60000);

	if (!g->probing && !g->ordered)
		next = earlier(next, g->next_probe);
	if (g->watch_at)
		next = earlier(next, g->watch_at);
	if (gate_serving(g))
		next = earlier(next, atomic_load(&g->deadline));
	if (atomic_load(&g->state) == GATE_ACTIVE && g->grace_ms && !g->refusal)
		next = earlier(next, gate_grace_at(g));
	return next > now ? next - now : 0;
}

/* Sleep until an order, an answer, a change or TIME_LEFT. The timer counts a suspend, as the lease does. */
static void thread_sleep(struct gate *g)
{
	int64_t ms = time_left(g);
	struct itimerspec timer = {.it_value = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 + 1}};
	struct pollfd fds[2 + KEYRING_SLOTS_MAX] = {{.fd = g->wake_fd, .events = POLLIN},
						    {.fd = g->timer_fd, .events = POLLIN}};
	uint32_t n = g->keyring->n_slots;
	uint64_t count;
	ssize_t got;

	timerfd_settime(g->timer_fd, 0, &timer, NULL);
	for (uint32_t i = 0; i < n; i++) {
		const struct kms_provider *p = g->kek[i] ? kms_provider_of(g->kek[i]) : NULL;

		fds[2 + i].fd = p && p->watch_fd ? p->watch_fd(g->kek[i]) : -1;
		fds[2 + i].events = POLLIN;
	}
	if (poll(fds, 2 + n, -1) < 0)
		return;
	if (fds[0].revents) {
		got = read(g->wake_fd, &count, sizeof(count));
		(void)got;
	}
	for (uint32_t i = 0; i < n; i++) {
		if (fds[2 + i].fd < 0 || !fds[2 + i].revents)
			continue;
		kms_provider_of(g->kek[i])->watch_clear(g->kek[i]);
		gate_want_probe_soon(g);
	}
}

static void *thread_main(void *arg)
{
	struct gate *g = arg;

	while (!atomic_load(&g->stop)) {
		gate_beat(g);
		take_orders(g);
		gate_take_answer(g);
		gate_take_time(g);
		probe_if_due(g);
		g->crowded = gate_cap_keep(g);
		thread_sleep(g);
	}
	return NULL;
}

int gate_thread_start(struct gate *g)
{
	int r = gate_worker_start(g);

	if (r)
		return r;
	g->locked_at = gate_now(g);
	g->started = 1;
	r = -pthread_create(&g->thread, NULL, thread_main, g);
	if (r) {
		g->started = 0;
		atomic_store(&g->stop, 1);
		gate_worker_stop(g);
	}
	return r;
}

void gate_thread_stop(struct gate *g)
{
	if (!g->started)
		return;
	atomic_store(&g->stop, 1);
	gate_wake(g);
	pthread_join(g->thread, NULL);
	gate_worker_stop(g);
	pthread_mutex_lock(&g->lock);
	pthread_cond_broadcast(&g->changed);
	pthread_mutex_unlock(&g->lock);
	g->started = 0;
}
