/* SPDX-License-Identifier: BSD-2-Clause */
/* One pass over a store: the threads of a check, its queue of files, its counts. */
#include "fs/check/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crypto/secret.h"
#include "fs/check/check_own.h"
#include "fs/check/check_total.h"
#include "fs/store/store_own.h"

#define THREADS_DEFAULT 2u
#define THREADS_MAX 16u

static void work_end(struct check_work *w)
{
	free(w->cipher);
	if (w->plain)
		secret_wipe(w->plain, w->plain_len);
	free(w->plain);
}

static int work_begin(struct check_work *w, struct check_run *run)
{
	w->run = run;
	w->record_len = layout_record_len(run->layout);
	w->room = CHECK_CHUNK / w->record_len + 1;
	w->plain_len = w->room * run->layout->block_len;
	w->cipher = malloc(w->room * w->record_len);
	w->plain = malloc(w->plain_len);
	return w->cipher && w->plain ? 0 : -ENOMEM;
}

static void *work(void *arg)
{
	struct check_run *run = arg;
	AUTO(work_end) struct check_work w = {0};
	struct check_job job;
	int r = work_begin(&w, run);
	if (r)
		check_stop(run, r);
	while (check_take(run, &job)) {
		struct check_at at = {.dir = job.dir, .name = job.name, .plain = job.plain};
		if (!atomic_load(&run->stop)) {
			if (run->cfg->gate)
				check_file(&w, &at);
			else
				check_file_plain(&w, &at);
		}
		check_dir_put(job.dir);
		free(job.plain);
	}
	return NULL;
}

static void run_begin(struct check_run *run, const struct check_config *cfg, const struct check_counts *counts)
{
	memset(run, 0, sizeof(*run));
	run->cfg = cfg;
	run->layout = &cfg->store->keyring->layout;
	run->names = cfg->store->keyring->name_mode;
	run->unclean = cfg->gate ? cfg->store->unclean : check_says_unclean(cfg->store);
	run->leeway = &cfg->store->leeway;
	run->repair = cfg->repair && cfg->gate && !cfg->store->read_only;
	run->counts = *counts;
	run->lost_fd = -1;
	pthread_mutex_init(&run->lock, NULL);
	pthread_mutex_init(&run->out, NULL);
	pthread_mutex_init(&run->ids.lock, NULL);
	pthread_cond_init(&run->filled, NULL);
	pthread_cond_init(&run->drained, NULL);
}

static void run_end(struct check_run *run)
{
	check_ids_free(&run->ids);
	auto_close(&run->lost_fd);
	pthread_cond_destroy(&run->drained);
	pthread_cond_destroy(&run->filled);
	pthread_mutex_destroy(&run->ids.lock);
	pthread_mutex_destroy(&run->out);
	pthread_mutex_destroy(&run->lock);
}

/* Walk on this thread while N workers look into files. */
static int run_all(struct check_run *run, unsigned n)
{
	pthread_t worker[THREADS_MAX];
	unsigned started = 0;
	int r = 0;
	for (; started < n && !r; started++) {
		r = -pthread_create(&worker[started], NULL, work, run);
		if (r)
			break;
	}
	if (!r)
		r = check_walk(run);
	if (r)
		check_stop(run, r);
	pthread_mutex_lock(&run->lock);
	run->done = true;
	pthread_cond_broadcast(&run->filled);
	pthread_mutex_unlock(&run->lock);
	while (started-- > 0)
		pthread_join(worker[started], NULL);
	/* the walk may have put one more when a stop had sent the workers away */
	for (struct check_job job; run->count > 0 && check_take(run, &job);) {
		check_dir_put(job.dir);
		free(job.plain);
	}
	return atomic_load(&run->stop);
}

int check_data(const struct check_config *cfg, struct check_counts *out)
{
	struct check_run *run = malloc(sizeof(*run));
	if (!run)
		return -ENOMEM;
	run_begin(run, cfg, out);
	struct check_total total = {.run = run};
	if (cfg->progress)
		check_total_begin(&total);
	unsigned n = cfg->threads ? cfg->threads : THREADS_DEFAULT;
	int r = run_all(run, n < THREADS_MAX ? n : THREADS_MAX);
	if (cfg->progress)
		check_total_end(&total);
	if (!r && run->ids.full) {
		struct check_at at = {.name = "data"};
		check_say(run, &at, &(struct check_finding){.code = CHECK_COPY, .severity = CHECK_NOTE},
			  "there are so many objects that copies were looked for among the first six million only");
	}
	if (!r && run->cfg->gate)
		check_lost_end(run);
	/* syncfs(2) may reach nothing; what was repaired has been synced by itself, where it lies */
	if (run->lost_fd >= 0 && (syncfs(run->lost_fd) || store_sync_dir(run->lost_fd)) && !r)
		r = -errno;
	*out = run->counts;
	run_end(run);
	free(run);
	return r;
}
