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

void gate_ask(struct gate *g, int fresh, struct gate_answer *out)
{
	memset(out, 0, sizeof(*out));
	out->job = JOB_PROBE;
	out->fresh = fresh;
	/* The lease counts from the question: the key may be disabled while the answer is under way. */
	out->started = gate_now(g);
	if (fresh)
		probe_refresh(g);
	atomic_fetch_add(&g->probes, 1);
	if (custody_open(g->keyring, g->kek, &out->keys, &out->verdict))
		out->keys = NULL;
	atomic_fetch_sub(&g->probes, 1);
}

static void worker_run(struct gate *g, enum gate_job job, int fresh, struct gate_answer *out)
{
	if (job == JOB_PROBE) {
		gate_ask(g, fresh, out);
		return;
	}
	memset(out, 0, sizeof(*out));
	out->job = JOB_LOAD;
	out->started = gate_now(g);
	kms_verdict_ok(&out->verdict);
	gate_keys_load(g);
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
		g->files_wanted = 0;
		pthread_mutex_unlock(&g->lock);
		gate_keys_probe(g);
		pthread_mutex_lock(&g->lock);
	}
	pthread_mutex_unlock(&g->lock);
	return NULL;
}

/* Put the answer out; g->lock is held. */
static void worker_answer(struct gate *g, struct gate_answer *answer)
{
	if (g->job_void) {
		store_keys_free(answer->keys);
		*answer = (struct gate_answer){.request = answer->request};
	}
	g->job_void = 0;
	g->answer = *answer;
	g->job_done = 1;
	gate_wake(g);
}

static void *worker_main(void *arg)
{
	struct gate *g = arg;
	struct gate_answer answer;

	pthread_mutex_lock(&g->lock);
	for (;;) {
		enum gate_job job;
		int fresh, request;

		while (!atomic_load(&g->stop) && (g->job == JOB_NONE || g->job_done))
			pthread_cond_wait(&g->job_ready, &g->lock);
		if (atomic_load(&g->stop))
			break;
		job = g->job;
		fresh = g->job_fresh;
		request = g->job_request;
		pthread_mutex_unlock(&g->lock);
		atomic_fetch_add(&g->probes, job == JOB_PROBE);
		worker_run(g, job, fresh, &answer);
		answer.request = request;
		pthread_mutex_lock(&g->lock);
		worker_answer(g, &answer);
		atomic_fetch_sub(&g->probes, job == JOB_PROBE);
		if (job == JOB_PROBE && answer.verdict.class == KMS_OK && g->keyring->wrap_type == WRAP_FILE) {
			g->files_wanted = 1;
			pthread_cond_broadcast(&g->job_ready);
		}
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
	atomic_store(&g->stop, 1);
	gate_worker_stop(g);
	return -EAGAIN;
}

void gate_worker_ask(struct gate *g, enum gate_job job, int fresh)
{
	pthread_mutex_lock(&g->lock);
	g->job = job;
	g->job_fresh = fresh;
	g->job_request =
		g->requests; /* not at its start: until then a lock may make it void, and an unlock come after */
	g->job_done = 0;
	if (job == JOB_PROBE)
		g->polls++;
	pthread_cond_broadcast(&g->job_ready);
	pthread_mutex_unlock(&g->lock);
}

int gate_worker_take(struct gate *g, struct gate_answer *out)
{
	int done;

	pthread_mutex_lock(&g->lock);
	done = g->job != JOB_NONE && g->job_done;
	if (done) {
		*out = g->answer;
		memset(&g->answer, 0, sizeof(g->answer));
		g->job = JOB_NONE;
		g->job_done = 0;
	}
	pthread_mutex_unlock(&g->lock);
	return done;
}

void gate_worker_void(struct gate *g)
{
	pthread_mutex_lock(&g->lock);
	if (g->job == JOB_PROBE && g->job_done) {
		store_keys_free(g->answer.keys);
		g->answer = (struct gate_answer){.request = g->answer.request};
	} else if (g->job == JOB_PROBE) {
		g->job_void = 1;
	}
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
	g->has_files = 0;
	store_keys_free(g->answer.keys);
	memset(&g->answer, 0, sizeof(g->answer));
	g->job = JOB_NONE;
	g->job_done = 0;
}
