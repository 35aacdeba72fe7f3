/* SPDX-License-Identifier: BSD-2-Clause */
/* The gate's thread: waits, makes events of what it finds, and has them handled. It never waits for a KMS. */
#include <poll.h>
#include <string.h>
#include <sys/timerfd.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "kms/gate/gate_private.h"

/* Nothing to do: look again after so long. */
#define IDLE_MS 60000

static struct gate_actions handle(struct gate *g, enum gate_event_kind kind)
{
	return gate_handle(g, &(struct gate_event){.kind = kind}, NULL, NULL);
}

static void order_done(struct gate *g, bool *order)
{
	pthread_mutex_lock(&g->lock);
	*order = false;
	pthread_cond_broadcast(&g->changed);
	pthread_mutex_unlock(&g->lock);
}

static void take_orders(struct gate *g)
{
	char who[sizeof(g->order_who)];
	bool lock, unlock, detach;

	pthread_mutex_lock(&g->lock);
	lock = g->order_lock;
	unlock = g->order_unlock;
	detach = g->order_detach;
	memcpy(who, g->order_who, sizeof(who));
	pthread_mutex_unlock(&g->lock);
	if (detach) {
		g->hooks = (struct gate_hooks){0};
		order_done(g, &g->order_detach);
	}
	if (atomic_exchange(&g->signalled, false))
		gate_order_lock(g, "a signal");
	if (lock) {
		gate_order_lock(g, who);
		order_done(g, &g->order_lock);
	}
	if (unlock) {
		handle(g, GATE_ORDER_UNLOCK);
		order_done(g, &g->order_unlock);
	}
	if (atomic_exchange(&g->poked, false))
		handle(g, GATE_POKED);
	if (atomic_exchange(&g->files_refused, false))
		handle(g, GATE_FILES_REFUSED);
}

static void look_at_watcher(struct gate *g)
{
	if (!g->beacon)
		return;
	bool lost = gate_watcher_look(&g->watcher, atomic_load(&g->beacon->watcher), clock_ms(CLOCK_MONOTONIC));
	if (lost == g->machine.unwatched)
		return;
	if (!lost)
		gate_say(g, LOG_NOTICE, "the supervisor runs again");
	gate_handle(g, &(struct gate_event){.kind = lost ? GATE_UNWATCHED : GATE_WATCHED}, GATE_UNWATCHED_WHY, NULL);
}

static void take_answer(struct gate *g)
{
	struct gate_answer a;

	if (!gate_worker_take(g, &a))
		return;
	gate_hear(g, &a);
	pthread_mutex_lock(&g->lock);
	g->answered = a.request;
	pthread_cond_broadcast(&g->changed);
	pthread_mutex_unlock(&g->lock);
}

/* Wait until an order, an answer, a change or WAKE_AT. The timer counts a suspend, as the lease does. */
static void thread_sleep(struct gate *g, int64_t wake_at)
{
	int64_t most = g->crowded ? 1 : g->beacon ? GATE_BEAT_MS / 2 : IDLE_MS;
	int64_t now = gate_now(g), ms = wake_at < now ? 0 : wake_at - now > most ? most : wake_at - now;
	struct itimerspec timer = {.it_value = clock_timespec(ms)};
	struct pollfd fds[2 + KEYRING_SLOTS_MAX] = {{.fd = g->wake_fd, .events = POLLIN},
						    {.fd = g->timer_fd, .events = POLLIN}};
	uint32_t n = g->keyring->n_slots;
	uint64_t count;

	timer.it_value.tv_nsec++; /* 0 would be never */
	timerfd_settime(g->timer_fd, 0, &timer, NULL);
	for (uint32_t i = 0; i < n; i++) {
		const struct kms_provider *p = g->kek[i] ? kms_provider_of(g->kek[i]) : NULL;

		fds[2 + i].fd = p && p->watch_fd ? p->watch_fd(g->kek[i]) : -1;
		fds[2 + i].events = POLLIN;
	}
	if (poll(fds, 2 + n, -1) < 0)
		return;
	if (fds[0].revents) {
		ssize_t got = read(g->wake_fd, &count, sizeof(count));

		(void)got;
	}
	for (uint32_t i = 0; i < n; i++) {
		if (fds[2 + i].fd < 0 || !fds[2 + i].revents)
			continue;
		kms_provider_of(g->kek[i])->watch_clear(g->kek[i]);
		handle(g, GATE_POKED);
	}
}

static void *thread_main(void *arg)
{
	struct gate *g = arg;

	g->watcher.last = clock_ms(CLOCK_MONOTONIC);
	while (!atomic_load(&g->stop)) {
		struct gate_actions a;

		gate_beat(g);
		take_orders(g);
		look_at_watcher(g);
		take_answer(g);
		a = handle(g, GATE_TIME);
		g->crowded = gate_cap_keep(g);
		thread_sleep(g, a.wake_at);
	}
	return NULL;
}

int gate_thread_start(struct gate *g)
{
	int r = gate_worker_start(g);

	if (r)
		return r;
	g->started = true;
	r = -pthread_create(&g->thread, NULL, thread_main, g);
	if (r) {
		g->started = false;
		atomic_store(&g->stop, true);
		gate_worker_stop(g);
	}
	return r;
}

void gate_thread_stop(struct gate *g)
{
	if (!g->started)
		return;
	atomic_store(&g->stop, true);
	gate_wake(g);
	pthread_join(g->thread, NULL);
	gate_worker_stop(g);
	pthread_mutex_lock(&g->lock);
	pthread_cond_broadcast(&g->changed);
	pthread_mutex_unlock(&g->lock);
	g->started = false;
}
