/* SPDX-License-Identifier: BSD-2-Clause */
/* What the gate shows of itself: its state to requests, to the beacon, to whoever is to be told, and in words. */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#include "kms/gate/gate_private.h"

const char *gate_state_name(enum gate_state s)
{
	static const char *const names[] = {
		[GATE_ACTIVE] = "active", [GATE_GRACE] = "grace",         [GATE_LOCKING] = "locking",
		[GATE_LOCKED] = "locked", [GATE_RETURNING] = "returning",
	};
	return s >= GATE_ACTIVE && s <= GATE_RETURNING ? names[s] : "unknown";
}

const char *gate_cause_name(enum gate_cause c)
{
	static const char *const names[] = {
		[GATE_CAUSE_NONE] = "",         [GATE_CAUSE_REVOKED] = "revoked",
		[GATE_CAUSE_OUTAGE] = "outage", [GATE_CAUSE_ORDERED] = "ordered",
		[GATE_CAUSE_CLOSED] = "closed", [GATE_CAUSE_UNWATCHED] = "unwatched",
	};
	return c <= GATE_CAUSE_UNWATCHED ? names[c] : "unknown";
}

void gate_say(struct gate *g, int priority, const char *fmt, ...)
{
	char text[sizeof(((struct gate_line *)0)->text)];
	va_list ap;

	if (!g->log)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	g->log(priority, text);
}

/* Whoever watches reads the state first: what belongs to it is stored before it, and taken back after it. */
static void beacon_show(struct gate *g, enum gate_state s)
{
	struct gate_beacon *b = g->beacon;

	if (!b)
		return;
	if (s == GATE_LOCKING)
		atomic_store(&b->locking_since, gate_now(g));
	atomic_store(&b->state, (int)s);
	if (s != GATE_LOCKING)
		atomic_store(&b->locking_since, 0);
}

void gate_show_locked(struct gate *g)
{
	beacon_show(g, GATE_LOCKED);
}

void gate_beat(struct gate *g)
{
	if (g->beacon)
		atomic_fetch_add(&g->beacon->beat, 1);
}

void gate_tell(struct gate *g)
{
	const struct gate_change c = {
		.from = g->told_state,
		.to = (enum gate_state)atomic_load(&g->state),
		.cause = g->machine.cause,
		.reason = g->reason,
		.key_version = g->last_good ? g->keyring->slot[0].version : "",
		.request_id = g->last.request_id,
		.took_ms = g->last.took_ms,
	};

	if (!g->hooks.changed || (c.from == c.to && c.cause == g->told_cause))
		return;
	g->told_state = c.to;
	g->told_cause = c.cause;
	g->hooks.changed(g->hooks.arg, &c);
}

/* The words for each gate_word. TEXT is what gate_handle() was given, LAST the KMS's newest sentence. */
static const struct word {
	const char *reason; /* NULL: it stays as it is */
	const char *log;    /* followed by the reason, or by TEXT where the reason stays; NULL: no line */
	int priority;
	bool add_text, add_last; /* to the reason */
	bool answer;    /* it speaks of an answer: the log says how long that took, and the KMS's number of it */
	bool log_alone; /* the line is complete */
} words[] = {
	[GATE_SAY_OPENED] = {.reason = ""},
	[GATE_SAY_REFUSED_ONCE] = {.log = "the KMS refuses, asking once more: ",
				   .priority = LOG_NOTICE,
				   .answer = true},
	[GATE_SAY_SILENT] = {.log = "no answer from the KMS that counts: ", .priority = LOG_NOTICE, .answer = true},
	[GATE_SAY_GRACE_BEGINS] = {.reason = "no good answer from the KMS", .add_last = true, .priority = LOG_WARNING},
	[GATE_SAY_GRACE_ENDS] = {.reason = "", .log = "the KMS answers again: grace ends", .priority = LOG_NOTICE},
	[GATE_SAY_LOCKING] = {.reason = "", .add_text = true, .log = "locking: ", .priority = LOG_WARNING},
	[GATE_SAY_LEASE_OVER] = {.reason = "no good answer from the KMS within the lease",
				 .add_last = true,
				 .log = "locking: ",
				 .priority = LOG_WARNING},
	[GATE_SAY_GRACE_OVER] = {.reason = "no good answer from the KMS within the grace",
				 .add_last = true,
				 .log = "locking: ",
				 .priority = LOG_WARNING},
	[GATE_SAY_LOCKED] = {.log = "locked, every key is wiped: ", .priority = LOG_WARNING},
	[GATE_SAY_CLOSED] = {.log = "locked, every key is wiped: ", .priority = LOG_INFO},
	[GATE_SAY_REASON] = {.reason = "", .add_text = true},
	[GATE_SAY_STILL_LOCKED] =
		{.reason = "", .add_text = true, .log = "still locked: ", .priority = LOG_NOTICE, .answer = true},
	[GATE_SAY_HELD] = {.reason = "the key is back: byokfs unlock ends the lock",
			   .log = "the key is back, and stays locked until byokfs unlock",
			   .priority = LOG_NOTICE,
			   .log_alone = true},
	[GATE_SAY_LOADING] = {.reason = "the KMS gives the key again: loading"},
	[GATE_SAY_SERVING_AGAIN] = {.reason = "",
				    .log = "the key is back: serving again",
				    .priority = LOG_NOTICE,
				    .log_alone = true},
};

/* What finds this very answer in the KMS's own log. */
static void answer_say(const struct kms_verdict *v, struct gate_line *line)
{
	size_t n = strlen(line->text);

	snprintf(line->text + n, sizeof(line->text) - n, " (%u ms%s%s)", v->took_ms,
		 v->request_id[0] ? ", request " : "", v->request_id);
}

/* g->lock is held. New reason, and in LINE what the log is to say. */
static void words_say(struct gate *g, enum gate_word word, const char *text, struct gate_line *line)
{
	const struct word *w = &words[word];
	const char *last = w->add_last ? g->last.text : "";
	char before[GATE_WHY_MAX];

	memcpy(before, g->reason, sizeof(before));
	if (w->reason)
		snprintf(g->reason, sizeof(g->reason), "%s%s%s%s", w->reason, w->add_text ? text : "",
			 last[0] ? ": " : "", last);
	if (word == GATE_SAY_STILL_LOCKED && strcmp(before, g->reason) == 0)
		return; /* said already */
	line->priority = w->priority;
	if (word == GATE_SAY_GRACE_BEGINS)
		snprintf(line->text, sizeof(line->text), "grace of %lld s begins: %s",
			 (long long)g->machine.grace_ms / 1000, g->reason);
	else if (w->log)
		snprintf(line->text, sizeof(line->text), "%s%s", w->log,
			 w->log_alone         ? ""
			 : w->reason || !text ? g->reason
					      : text);
	if (w->answer)
		answer_say(&g->last, line);
}

void gate_show(struct gate *g, const struct gate_actions *a, const char *text, struct gate_line *line)
{
	*line = (struct gate_line){0};
	if (a->say)
		words_say(g, a->say, text, line);
	/* The end of the lease, or of the grace, before the state it belongs to. */
	atomic_store(&g->lease_from, g->machine.lease_end - g->machine.lease_ms);
	atomic_store(&g->deadline, g->machine.deadline);
	if (g->beacon)
		atomic_store(&g->beacon->deadline, g->machine.deadline);
	if (!a->show)
		return;
	if (a->show == GATE_ACTIVE) {
		atomic_store(&g->drain_until, GATE_NEVER);
		atomic_store(&g->drain_open, true);
	}
	if ((enum gate_state)atomic_load(&g->state) != a->show)
		g->since = time(NULL);
	atomic_store(&g->state, (int)a->show);
	if (a->show != GATE_LOCKED) /* shown when all of it is done: gate_show_locked() */
		beacon_show(g, a->show);
	if (a->tell)
		gate_tell(g);
	pthread_cond_broadcast(&g->changed);
}

static int64_t left(const struct gate *g, int64_t until)
{
	int64_t now = gate_now(g);

	return until > now ? until - now : 0;
}

void gate_status(struct gate *g, struct gate_status *out)
{
	*out = (struct gate_status){0};
	out->keys_in_memory = atomic_load(&g->in_memory);
	out->keys_cap = g->cap == SIZE_MAX ? 0 : g->cap;
	out->keys_dropped = atomic_load(&g->dropped);
	pthread_mutex_lock(&g->lock); /* state and cause belong together */
	out->state = gate_state(g);
	if (out->state == GATE_ACTIVE)
		out->lease_left_ms = left(g, atomic_load(&g->deadline));
	if (out->state == GATE_GRACE)
		out->grace_left_ms = left(g, atomic_load(&g->deadline));
	out->cause = g->machine.cause;
	memcpy(out->reason, g->reason, sizeof(out->reason));
	out->since = g->since;
	out->last_good = g->last_good;
	out->last_refusal = g->last_refusal;
	memcpy(out->request_id, g->last.request_id, sizeof(out->request_id));
	out->took_ms = g->last.took_ms;
	out->polls = g->polls;
	out->ordered = g->machine.ordered || g->machine.held;
	if (!g->machine.ordered)
		out->next_probe_ms = left(g, g->machine.next_probe);
	pthread_mutex_unlock(&g->lock);
}
