/* SPDX-License-Identifier: BSD-2-Clause */
/* The cap on keys in memory: beyond it, those that were not used lately are dropped and unwrapped again when wanted. */
#include <stdint.h>
#include <syslog.h>

#include "crypto/secret.h"
#include "kms/gate/gate_private.h"

#define STEPS_MAX 8192u /* looked at under one hold of the list's lock */

_Static_assert(GATE_SHARDS == 64, "a bit for each in shards_busy");

void gate_cap_set(struct gate *g)
{
	size_t fits = secret_capacity();

	/* A quarter stays for the store's keys, for payloads, and for what is unwrapped before the gate's thread comes by. */
	g->cap = fits == SIZE_MAX || fits == 0 ? SIZE_MAX : fits - fits / 4;
}

static void cap_tell(struct gate *g)
{
	if (g->cap_told)
		return;
	g->cap_told = true;
	if (g->keyring->wrap_type == WRAP_FILE)
		gate_say(g, LOG_WARNING,
			 "more open files than keys fit into locked memory (%zu): raise the limit (ulimit -l)", g->cap);
	else
		gate_say(g, LOG_INFO,
			 "more open files than keys fit into locked memory (%zu): those unused are dropped", g->cap);
}

/* Take keys out of the list, into limbo: second chance for those used since the hand came by. */
static void cap_collect(struct gate *g, size_t want)
{
	pthread_mutex_lock(&g->list_lock);
	struct gate_key *k = g->hand;
	for (unsigned i = 0; i < STEPS_MAX && g->n_limbo < want; i++) {
		if (!k)
			k = g->keys;
		if (!k)
			break;
		if (atomic_load(&k->droppable) && !atomic_exchange(&k->used, false)) {
			struct file_keys *keys = atomic_exchange(&k->keys, NULL);
			if (keys)
				g->limbo[g->n_limbo++] = keys;
		}
		k = k->next;
	}
	g->hand = k;
	pthread_mutex_unlock(&g->list_lock);
	g->shards_busy = UINT64_MAX;
}

void gate_cap_wipe(struct gate *g)
{
	for (size_t i = 0; i < g->n_limbo; i++)
		file_keys_free(g->limbo[i]);
	atomic_fetch_sub(&g->in_memory, g->n_limbo);
	g->n_limbo = 0;
}

/* Whoever counted himself in after a key was taken out did not see it: each shard must be seen empty once. */
static void cap_release(struct gate *g)
{
	for (unsigned i = 0; i < GATE_SHARDS; i++)
		if (g->shards_busy >> i & 1 && !atomic_load(&g->shard[i].inside))
			g->shards_busy &= ~(1ull << i);
	if (g->shards_busy)
		return;
	atomic_fetch_add(&g->dropped, g->n_limbo);
	gate_cap_wipe(g);
}

bool gate_cap_keep(struct gate *g)
{
	size_t n = atomic_load(&g->in_memory);

	if (n > g->cap && !g->n_limbo) {
		cap_tell(g);
		if (g->keyring->wrap_type == WRAP_FILE)
			return false;
		size_t want = n - g->cap + g->cap / 16; /* not again at the very next key */
		cap_collect(g, want < GATE_LIMBO ? want : GATE_LIMBO);
		if (!g->n_limbo)
			return true;
	}
	if (g->n_limbo)
		cap_release(g);
	return g->n_limbo || atomic_load(&g->in_memory) > g->cap;
}
