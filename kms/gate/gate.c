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

static struct gate_machine machine_of(const struct gate_config *cfg)
{
	return gate_machine_new(cfg->poll_ms ? cfg->poll_ms : 5000, cfg->lease_ms ? cfg->lease_ms : 15000,
				cfg->grace_ms, cfg->manual_return);
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
	*g = (struct gate){.machine = machine_of(cfg), .drain_ms = cfg->drain_ms ? cfg->drain_ms : 2000};
	random_bytes(&g->machine.dice, sizeof(g->machine.dice));
	g->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	g->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (g->machine.lease_ms < 2 * g->machine.poll_ms || g->wake_fd < 0 || g->timer_fd < 0) {
		int r = g->machine.lease_ms < 2 * g->machine.poll_ms ? -EINVAL : -EMFILE;

		close(g->wake_fd);
		close(g->timer_fd);
		free(g);
		return r;
	}
	g->keyring = cfg->keyring;
	memcpy(g->kek, cfg->kek, n * sizeof(*g->kek));
	g->log = cfg->log;
	g->clock = gate_clock;
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
	gate_handle(g, &(struct gate_event){.kind = GATE_CLOSING}, "the mount ends", NULL);
	gate_free(g);
}
