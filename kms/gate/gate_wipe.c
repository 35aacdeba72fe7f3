/* SPDX-License-Identifier: BSD-2-Clause */
/* Every key of the gate goes: when nobody uses one any more, and when no KMS call holds one. */
#include <syslog.h>

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
	for (int ms = 0; ms < GATE_CALLS_MS && gate_asking(g); ms++)
		clock_pause(1);
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
