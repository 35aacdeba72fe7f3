/* SPDX-License-Identifier: BSD-2-Clause */
/* The audit log's queue and its thread. */
#include "fs/audit/audit.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "crypto/secret.h"
#include "fs/audit/audit_file.h"
#include "fs/audit/audit_own.h"
#include "kms/gate.h"

#define BATCH_BYTES 65536u
#define RETRY_MS 1000
#define MINUTE_MS 60000
#define STOP_MS 2000

struct audit_out {
	char bytes[BATCH_BYTES]; /* sealed lines that are not on disk yet */
	size_t len;
	uint64_t lines;
	uint64_t events; /* in them, or told by them as lost */
	uint64_t last;   /* number of the last of them */
};

/* The thread */

/* Wait until there is something to do; true when it is time to stop. */
static bool wait_for_work(struct audit *a, int64_t until)
{
	const struct timespec ts = clock_timespec(until);

	pthread_mutex_lock(&a->lock);
	while (!a->stop && (a->n == 0 || a->error < 0) && pthread_cond_timedwait(&a->more, &a->lock, &ts) == 0)
		;
	bool stop = a->stop;
	pthread_mutex_unlock(&a->lock);
	return stop;
}

static int seal(struct audit *a, const struct audit_text *t)
{
	struct audit_out *o = a->out;
	const struct audit_seal what = {t, a->file.found, a->file.torn};
	size_t len;

	o->last = audit_chain_line(a->chain);
	int r = audit_chain_seal(a->chain, &what, a->file.prev, o->bytes + o->len, &len);
	if (r < 0)
		return r;
	o->len += len;
	o->lines++;
	return 0;
}

/* EVENTS in a line that could not be sealed: no memory for a key. */
static void drop(struct audit *a, uint64_t events)
{
	pthread_mutex_lock(&a->lock);
	a->lost++;
	a->lost_untold += events;
	pthread_mutex_unlock(&a->lock);
}

/* A read-only store has no session of its own and so no key: its lines have no MAC. */
static void plain(struct audit *a, const struct audit_text *t)
{
	struct audit_out *o = a->out;

	o->len += (size_t)snprintf(o->bytes + o->len, AUDIT_LINE_MAX, "{\"v\":1,%.*s}\n", (int)t->len, t->text);
	o->lines++;
}

/* Take one event out of the queue; behind the last one, how many did not fit. For how many events T stands, 0 for none. */
static uint64_t pop(struct audit *a, struct audit_text *t)
{
	pthread_mutex_lock(&a->lock);
	uint64_t events = a->n > 0 ? 1 : a->lost_untold;
	bool some = a->n > 0, told = !some && a->lost_untold > 0;
	if (some) {
		const struct audit_text *from = &a->queue[a->first];
		memcpy(t->text, from->text, from->len);
		t->len = from->len;
		t->cut = from->cut;
		a->first = (a->first + 1) % AUDIT_QUEUE;
		a->n--;
	}
	if (told) {
		audit_event(t, "lost");
		audit_text_u64(t, "events", a->lost_untold);
		a->lost_untold = 0;
	}
	pthread_mutex_unlock(&a->lock);
	return events;
}

static void to_syslog(const struct audit *a, const struct audit_out *o)
{
	char line[AUDIT_LINE_MAX + 1];
	const char *at = o->bytes;

	for (const char *end; (end = memchr(at, '\n', (size_t)(o->bytes + o->len - at))); at = end + 1) {
		snprintf(line, sizeof(line), "%.*s", (int)(end - at), at);
		a->cfg.line(line);
	}
}

static void result(struct audit *a, int r)
{
	char text[200];

	pthread_mutex_lock(&a->lock);
	int was = a->error;
	a->error = r;
	a->waiting = a->out->lines;
	pthread_mutex_unlock(&a->lock);
	if (r == was)
		return;
	if (r == 0) {
		a->cfg.log(LOG_NOTICE, "the audit log is written again");
		return;
	}
	snprintf(text, sizeof(text), "the audit log cannot be written: %s; its lines wait", strerror(-r));
	a->cfg.log(LOG_ERR, text);
}

static void remember(struct audit *a)
{
	pthread_mutex_lock(&a->lock);
	a->end.lost = a->lost_untold + (a->stop ? a->n + a->out->events : 0);
	pthread_mutex_unlock(&a->lock);
	int r = audit_file_remember(&a->file, &a->end);
	if (r < 0 && !a->end_told)
		a->cfg.log(LOG_WARNING, "this host cannot remember where the audit log ends: if its last lines are "
					"cut off, nothing will show it");
	a->end_told = a->end_told || r < 0;
}

static void written(struct audit *a)
{
	struct audit_out *o = a->out;

	if (a->cfg.line)
		to_syslog(a, o);
	pthread_mutex_lock(&a->lock);
	a->lines += o->lines;
	pthread_mutex_unlock(&a->lock);
	o->len = 0;
	o->lines = o->events = 0;
	if (!a->store_read_only)
		remember(a);
}

/* Write what is sealed. After an error the very same bytes come again: their keys are gone. */
static int write_out(struct audit *a)
{
	struct audit_out *o = a->out;
	int r = 0;

	if (o->len == 0)
		return 0;
	if (!a->store_read_only) {
		struct audit_end end = {.session = audit_chain_session(a->chain), .line = o->last};
		memcpy(end.store_id, a->file.end.store_id, ID_LEN);
		memcpy(end.mac, a->file.prev, MAC_LEN);
		r = audit_file_append(&a->file, o->bytes, o->len, &end);
		if (r == 0)
			a->end = end;
	}
	if (r == 0)
		written(a);
	result(a, r);
	return r;
}

/* All that waits, in batches. */
static void work(struct audit *a)
{
	struct audit_out *o = a->out;
	struct audit_text *t = &a->text;

	for (;;) {
		bool some = false;
		if (write_out(a) < 0)
			return;
		for (uint64_t events; o->len + AUDIT_LINE_MAX <= sizeof(o->bytes) && (events = pop(a, t)) > 0;) {
			some = true;
			if (a->store_read_only)
				plain(a, t);
			else if (seal(a, t) < 0)
				drop(a, events);
			else
				o->events += events;
		}
		if (!some)
			return;
	}
}

static void *thread_main(void *arg)
{
	struct audit *a = arg;
	int64_t minute = clock_ms(CLOCK_MONOTONIC) + MINUTE_MS;
	bool stop = false;

	while (!stop) {
		int64_t now = clock_ms(CLOCK_MONOTONIC),
			until = a->error < 0 && now + RETRY_MS < minute ? now + RETRY_MS : minute;
		stop = wait_for_work(a, until);
		now = clock_ms(CLOCK_MONOTONIC);
		if (stop || now >= minute || atomic_exchange(&a->counts_due, false)) {
			audit_tell_counts(a);
			minute = now + MINUTE_MS;
		}
		if (stop && a->last.len > 0)
			audit_say(a, &a->last);
		work(a);
	}
	/* What could not be written is at least counted: the next session tells. */
	if (!a->store_read_only && a->error < 0)
		remember(a);
	secret_wipe_stack();
	pthread_mutex_lock(&a->lock);
	a->finished = true;
	pthread_cond_signal(&a->done);
	pthread_mutex_unlock(&a->lock);
	return NULL;
}

/* Beginning and end */

static void audit_free(struct audit *a)
{
	audit_chain_free(a->chain);
	if (!a->store_read_only)
		audit_file_close(&a->file);
	pthread_mutex_destroy(&a->lock);
	pthread_cond_destroy(&a->more);
	pthread_cond_destroy(&a->done);
	free(a->out);
	free(a->kms);
	free(a);
}

static int chain_make(struct audit *a, struct gate *g, uint64_t session)
{
	const struct store_keys *keys;
	struct audit_key *key = NULL;

	int r = gate_enter(g, GATE_USE_NEW, &keys);
	if (r < 0)
		return r;
	r = audit_key_new(keys, &key);
	gate_leave(g);
	if (r == 0)
		r = audit_chain_new(key, session, &a->chain);
	audit_key_free(key);
	return r;
}

/* The references of all KEKs, separated by spaces. */
static char *kms_text(const struct keyring *k)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	for (uint32_t i = 0; i < k->n_slots; i++)
		fprintf(f, "%s%s", i > 0 ? " " : "", k->slot[i].ref);
	if (fclose(f) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

static struct audit *audit_alloc(const struct audit_config *cfg)
{
	struct audit *a = calloc(1, sizeof(*a));
	pthread_condattr_t attr;

	if (!a)
		return NULL;
	a->cfg = *cfg;
	a->store_read_only = cfg->store->read_only;
	a->file.fd = a->file.end_fd = a->file.own_fd = -1;
	a->out = calloc(1, sizeof(*a->out));
	a->kms = kms_text(cfg->store->keyring);
	pthread_mutex_init(&a->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&a->more, &attr);
	pthread_cond_init(&a->done, &attr);
	pthread_condattr_destroy(&attr);
	if (a->out && a->kms)
		return a;
	audit_free(a);
	return NULL;
}

/* What the host remembers and the log does not say. */
static void tell_found(struct audit *a)
{
	a->end = a->file.end;
	a->lost_untold = a->file.end.lost;
	if (a->file.found == AUDIT_CUT)
		a->cfg.log(LOG_ERR, "the audit log is not as this host remembers it: its end was cut or changed "
				    "(byokfs audit verify)");
	else if (a->file.found == AUDIT_MISSING)
		a->cfg.log(LOG_ERR, "the audit log is gone: this host remembers one (byokfs audit verify)");
}

static int thread_start(struct audit *a)
{
	sigset_t all, old;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int r = -pthread_create(&a->thread, NULL, thread_main, a);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return r;
}

int audit_start(const struct audit_config *cfg, struct audit **out, char why[STORE_WHY_MAX])
{
	int r = 0;

	*out = NULL;
	if (cfg->store->read_only && !cfg->line)
		return 0;
	struct audit *a = audit_alloc(cfg);
	if (!a)
		r = -ENOMEM;
	if (r == 0 && !a->store_read_only)
		r = audit_file_open(&a->file, cfg->store);
	if (r == 0 && !a->store_read_only)
		r = chain_make(a, cfg->gate, cfg->store->session.number);
	if (r == 0) {
		tell_found(a);
		r = thread_start(a);
	}
	if (r < 0) {
		snprintf(why, STORE_WHY_MAX, "cannot write the audit log %.300s/" STORE_OWN "/" STORE_AUDIT ": %s",
			 cfg->store->path,
			 r == -EUCLEAN ? "it is not a regular file with one name only: move it away" : strerror(-r));
		if (a)
			audit_free(a);
		return r;
	}
	*out = a;
	return 0;
}

void audit_stop(struct audit *a, const struct audit_text *last)
{
	if (!a)
		return;
	const struct timespec until = clock_timespec(clock_ms(CLOCK_MONOTONIC) + STOP_MS);
	pthread_mutex_lock(&a->lock);
	if (last && !a->stop) {
		memcpy(a->last.text, last->text, last->len);
		a->last.len = last->len;
	}
	a->stop = true;
	pthread_cond_signal(&a->more);
	while (!a->finished && pthread_cond_timedwait(&a->done, &a->lock, &until) == 0)
		;
	bool finished = a->finished;
	pthread_mutex_unlock(&a->lock);
	if (!finished) {
		a->cfg.log(LOG_ERR, "the audit log hangs in its disk: the unmount goes on without its last lines");
		pthread_detach(a->thread);
		return;
	}
	pthread_join(a->thread, NULL);
	audit_free(a);
}

void audit_stats(struct audit *a, struct audit_stats *out)
{
	*out = (struct audit_stats){0};
	if (!a)
		return;
	pthread_mutex_lock(&a->lock);
	out->lines = a->lines;
	out->waiting = a->n + a->waiting;
	out->lost = a->lost;
	out->error = a->error;
	pthread_mutex_unlock(&a->lock);
	for (size_t i = 0; i < AUDIT_KINDS; i++)
		out->denied += atomic_load(&a->denied_all[i]);
}
