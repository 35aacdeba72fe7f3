/* SPDX-License-Identifier: BSD-2-Clause */
/* The gate's worker: asks the KMS, so that one which hangs never holds up the gate's own thread. */
#include <errno.h>
#include <string.h>

#include "kms/custody.h"
#include "kms/gate/gate_private.h"
#include "kms/verdict.h"

void gate_cancel_calls(struct gate *g)
{
	for (uint32_t i = 0; i < g->keyring->n_slots; i++)
		if (g->kek[i])
			kms_cancel(g->kek[i]);
}

static void probe_refresh(struct gate *g)
{
	for (uint32_t i = 0; i < g->keyring->n_slots; i++)
		if (g->kek[i])
			kms_refresh(g->kek[i]);
}

void gate_ask(struct gate *g, bool fresh, struct gate_answer *out)
{
	/* The lease counts from the question: the key may be disabled while the answer is under way. */
	*out = (struct gate_answer){.job = JOB_PROBE, .fresh = fresh, .started = gate_now(g)};
	if (fresh)
		probe_refresh(g);
	atomic_fetch_add(&g->probes, 1);
	if (custody_open(g->keyring, g->kek, &out->keys, &out->verdict))
		out->keys = NULL;
	atomic_fetch_sub(&g->probes, 1);
}

/* Apart from the keyring's probe: files' keys that hang must not keep a refusal of the KEK from being heard. */
static void *files_main(void *arg)
{
	struct gate *g = arg;

	pthread_mutex_lock(&g->lock);
	for (;;) {
		while (!atomic_load(&g->stop) && !g->files_wanted)
			pthread_cond_wait(&g->job_ready, &g->lock);
		if (atomic_load(&g->stop))
			break;
		g->files_wanted = false;
		pthread_mutex_unlock(&g->lock);
		gate_keys_probe(g);
		pthread_mutex_lock(&g->lock);
	}
	pthread_mutex_unlock(&g->lock);
	return NULL;
}

/* A lock has come since it was asked for: it says nothing. */
static void answer_void(struct gate_answer *a)
{
	store_keys_free(a->keys);
	*a = (struct gate_answer){.request = a->request};
}

/* Put the answer out; g->lock is held. */
static void worker_answer(struct gate *g, struct gate_answer *answer)
{
	if (g->job_void)
		answer_void(answer);
	g->job_void = false;
	g->answer = *answer;
	g->job_done = true;
	gate_wake(g);
}

/* The job's KMS call counts until its keys are where a lock finds them; g->lock is held, but not in the call. */
static void worker_turn(struct gate *g)
{
	const bool fresh = g->job_fresh, probe = g->job == JOB_PROBE;
	const int request = g->job_request;
	struct gate_answer answer = {.job = JOB_LOAD};

	pthread_mutex_unlock(&g->lock);
	atomic_fetch_add(&g->probes, probe);
	if (probe)
		gate_ask(g, fresh, &answer);
	else
		gate_keys_load(g);
	answer.request = request;
	pthread_mutex_lock(&g->lock);
	worker_answer(g, &answer);
	atomic_fetch_sub(&g->probes, probe);
	if (answer.verdict.class == KMS_OK && g->keyring->wrap_type == WRAP_FILE) {
		g->files_wanted = true;
		pthread_cond_broadcast(&g->job_ready);
	}
}

static void *worker_main(void *arg)
{
	struct gate *g = arg;

	pthread_mutex_lock(&g->lock);
	for (;;) {
		while (!atomic_load(&g->stop) && (g->job == JOB_NONE || g->job_done))
			pthread_cond_wait(&g->job_ready, &g->lock);
		if (atomic_load(&g->stop))
			break;
		worker_turn(g);
	}
	pthread_mutex_unlock(&g->lock);
	return NULL;
}

int gate_worker_start(struct gate *g)
{
	int r = -pthread_create(&g->worker, NULL, worker_main, g);

	if (r || g->keyring->wrap_type != WRAP_FILE)
		return r;
	g->has_files = pthread_create(&g->files, NULL, files_main, g) == 0;
	if (g->has_files)
		return 0;
	atomic_store(&g->stop, true);
	gate_worker_stop(g);
	return -EAGAIN;
}

void gate_worker_ask(struct gate *g, enum gate_job job, bool fresh)
{
	pthread_mutex_lock(&g->lock);
	g->job = job;
	g->job_fresh = fresh;
	/* Not at its start: until then a lock may make it void, and an unlock come after. */
	g->job_request = g->machine.request;
	g->job_done = false;
	if (job == JOB_PROBE)
		g->polls++;
	pthread_cond_broadcast(&g->job_ready);
	pthread_mutex_unlock(&g->lock);
}

bool gate_worker_take(struct gate *g, struct gate_answer *out)
{
	bool done;

	pthread_mutex_lock(&g->lock);
	done = g->job != JOB_NONE && g->job_done;
	if (done) {
		*out = g->answer;
		g->answer = (struct gate_answer){0};
		g->job = JOB_NONE;
		g->job_done = false;
	}
	pthread_mutex_unlock(&g->lock);
	return done;
}

void gate_worker_void(struct gate *g)
{
	pthread_mutex_lock(&g->lock);
	if (g->job == JOB_PROBE && g->job_done)
		answer_void(&g->answer);
	else if (g->job == JOB_PROBE)
		g->job_void = true;
	pthread_mutex_unlock(&g->lock);
}

void gate_worker_stop(struct gate *g)
{
	pthread_mutex_lock(&g->lock);
	pthread_cond_broadcast(&g->job_ready);
	pthread_mutex_unlock(&g->lock);
	gate_cancel_calls(g);
	pthread_join(g->worker, NULL);
	if (g->has_files)
		pthread_join(g->files, NULL);
	g->has_files = false;
	answer_void(&g->answer);
	g->job = JOB_NONE;
	g->job_done = false;
}
