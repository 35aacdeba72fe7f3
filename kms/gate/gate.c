/* SPDX-License-Identifier: BSD-2-Clause */
/* The gate's door: who may borrow keys now, and what state it is in. */
#include "kms/gate.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "kms/gate/gate_private.h"

static _Thread_local unsigned shard_number; /* 0 = not chosen yet */
static _Thread_local enum gate_use use_now;

/* A clock that counts a suspend: a laptop that slept through the lease wakes up locked. */
static int64_t clock_boot(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t gate_now(const struct gate *g)
{
	return g->clock();
}

void gate_wake(struct gate *g)
{
	uint64_t one = 1;
	int saved = errno;
	ssize_t n = write(g->wake_fd, &one, sizeof(one)); /* a full counter wakes just as well */

	(void)n;
	errno = saved;
}

static struct gate_shard *shard_mine(struct gate *g)
{
	static atomic_uint next;

	if (!shard_number)
		shard_number = atomic_fetch_add(&next, 1) % GATE_SHARDS + 1;
	return &g->shard[shard_number - 1];
}

/*
 * Milliseconds since lease or grace ended, negative while it runs. A clock that was put back (a process restored on another
 * machine) leaves more than there ever was: that is its end too.
 */
static int64_t gate_past(const struct gate *g, int state)
{
	int64_t left = atomic_load(&g->deadline) - g->clock();
	int64_t most = g->lease_ms + (state == GATE_GRACE ? g->grace_ms : 0);

	return left > most ? 0 : -left;
}

int gate_time_over(const struct gate *g)
{
	return gate_past(g, atomic_load(&g->state)) >= 0;
}

static int gate_admits(const struct gate *g, enum gate_use use)
{
	int state = atomic_load(&g->state);
	int64_t past;

	if (state == GATE_LOCKING)
		return use == GATE_USE_DRAIN && atomic_load(&g->drain_open);
	if (state != GATE_ACTIVE && state != GATE_GRACE)
		return 0;
	past = gate_past(g, state);
	/*
	 * The lease has ended: nothing new, whether the gate's thread lives or not. What was accepted before may still be
	 * sealed for as long as a drain may take, until the thread has gone through LOCKING.
	 */
	return past < 0 || (use == GATE_USE_DRAIN && past < (int64_t)g->drain_ms + 1000);
}

int gate_enter(struct gate *g, enum gate_use use, const struct store_keys **keys)
{
	struct gate_shard *s = shard_mine(g);
	int state = atomic_load(&g->state);

	/* A crowd that is refused must not keep the counts busy that a lock waits for. */
	if (state == GATE_LOCKED || state == GATE_RETURNING)
		return -EACCES;
	if (state == GATE_LOCKING && (use != GATE_USE_DRAIN || !atomic_load(&g->drain_open)))
		return -EACCES;
	/*
	 * Count first, look at the state second; the lock sets the state first and looks at the counts second. Both are
	 * sequentially consistent, so one of the two sees the other.
	 */
	atomic_fetch_add(&s->inside, 1);
	if (!gate_admits(g, use)) {
		atomic_fetch_sub(&s->inside, 1);
		return -EACCES;
	}
	use_now = use;
	*keys = g->store;
	return 0;
}

void gate_leave(struct gate *g)
{
	use_now = 0;
	atomic_fetch_sub(&shard_mine(g)->inside, 1);
}

enum gate_use gate_use_now(void)
{
	return use_now;
}

void gate_quiesce(struct gate *g)
{
	struct timespec pause = {.tv_nsec = 50000};

	for (size_t i = 0; i < GATE_SHARDS; i++)
		while (atomic_load(&g->shard[i].inside))
			nanosleep(&pause, NULL);
}

void gate_drain_end(struct gate *g)
{
	atomic_store(&g->drain_open, 0);
}

enum gate_state gate_state(const struct gate *g)
{
	enum gate_state state = (enum gate_state)atomic_load(&g->state);

	if ((state == GATE_ACTIVE || state == GATE_GRACE) && gate_past(g, (int)state) >= 0)
		return GATE_LOCKING;
	return state;
}

void gate_let_in(struct gate *g, int64_t lease_end)
{
	g->lease_end = lease_end;
	gate_set_deadline(g, lease_end);
	atomic_store(&g->drain_open, 1);
	gate_set_state(g, GATE_ACTIVE, GATE_CAUSE_NONE, "");
}

/* A provider that cannot be cancelled must not hold up the lock; what it had in memory is wiped when it returns. */
static void gate_await_calls(struct gate *g)
{
	struct timespec pause = {.tv_nsec = 1000000};

	for (int ms = 0; ms < GATE_CALLS_MS && atomic_load(&g->kms_calls); ms++)
		nanosleep(&pause, NULL);
	if (atomic_load(&g->kms_calls))
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

static void gate_free(struct gate *g)
{
	pthread_mutex_lock(&g->list_lock);
	for (struct gate_key *k = g->keys; k; k = k->next)
		k->gate = NULL; /* closed too late: nothing left in it but bytes of the store */
	pthread_mutex_unlock(&g->list_lock);
	for (uint32_t i = 0; i < g->keyring->n_slots; i++)
		kms_close(g->kek[i]);
	close(g->wake_fd);
	close(g->timer_fd);
	pthread_cond_destroy(&g->job_ready);
	pthread_cond_destroy(&g->changed);
	pthread_mutex_destroy(&g->lock);
	pthread_mutex_destroy(&g->list_lock);
	free(g);
}

static void gate_set_times(struct gate *g, const struct gate_config *cfg)
{
	g->poll_ms = cfg->poll_ms ? cfg->poll_ms : 5000;
	g->lease_ms = cfg->lease_ms ? cfg->lease_ms : 15000;
	g->grace_ms = cfg->grace_ms;
	g->manual = cfg->manual_return;
	g->drain_ms = cfg->drain_ms ? cfg->drain_ms : 2000;
}

int gate_new(const struct gate_config *cfg, struct gate **out)
{
	uint32_t n = cfg->keyring->n_slots;
	struct gate *g;

	if (n < 1 || n > KEYRING_SLOTS_MAX || (cfg->keyring->wrap_type == WRAP_FILE && n != 1) ||
	    cfg->grace_ms > GATE_GRACE_MAX_MS)
		return -EINVAL;
	g = aligned_alloc(64, sizeof(*g));
	if (!g)
		return -ENOMEM;
	memset(g, 0, sizeof(*g));
	gate_set_times(g, cfg);
	g->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	g->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (g->lease_ms < 2 * g->poll_ms || g->wake_fd < 0 || g->timer_fd < 0) {
		int r = g->lease_ms < 2 * g->poll_ms ? -EINVAL : -EMFILE;

		close(g->wake_fd);
		close(g->timer_fd);
		free(g);
		return r;
	}
	g->keyring = cfg->keyring;
	memcpy(g->kek, cfg->kek, n * sizeof(*g->kek));
	g->log = cfg->log;
	g->clock = clock_boot;
	g->beacon = cfg->beacon;
	gate_cap_set(g);
	atomic_store(&g->state, GATE_LOCKED);
	g->told_state = GATE_LOCKED;
	gate_show_locked(g);
	g->since = time(NULL);
	pthread_mutex_init(&g->lock, NULL);
	pthread_mutex_init(&g->list_lock, NULL);
	pthread_cond_init(&g->changed, NULL);
	pthread_cond_init(&g->job_ready, NULL);
	*out = g;
	return 0;
}

void gate_close(struct gate *g)
{
	if (!g)
		return;
	gate_thread_stop(g);
	/* Its last word; what the others belong to may be gone. */
	g->hooks = (struct gate_hooks){.changed = g->hooks.changed, .arg = g->hooks.arg};
	gate_shut(g, GATE_CAUSE_CLOSED, "the mount ends", 0);
	gate_free(g);
}
