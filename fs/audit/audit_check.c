/* SPDX-License-Identifier: BSD-2-Clause */
/* Walking over an audit log that anyone may have changed, with the key. */
#include "fs/audit/audit_check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/audit/audit_file.h"

/* Steps along chains that lead to no line: a forged number must not keep us busy for ever. */
#define STEPS_MAX 4000000u

struct walk {
	const struct audit_check_config *cfg;
	struct audit_checked *out;
	struct audit_key *key;
	struct audit_chain *chain; /* of the session that is being read; NULL before the first */
	uint64_t at;               /* number of the piece */
	uint64_t steps;            /* left */
	uint8_t last[MAC_LEN];     /* MAC of the last line in its place */
	bool doubt;                /* the piece before was damage: no second report for what follows from it */
	uint64_t unread;           /* damaged pieces since the last line: each may have been one that is wanted */
	uint64_t odd_len, odd_at;  /* a piece that is no line and not judged yet; 0 none */
	bool odd_newer;
	struct audit_end end;
	bool end_known, end_seen;
};

static const char *const trouble_name[] = {
	[AUDIT_CHANGED] = "changed",       [AUDIT_REMOVED] = "removed", [AUDIT_ORDER] = "order", [AUDIT_END] = "end",
	[AUDIT_UNFINISHED] = "unfinished", [AUDIT_NO_END] = "no_end",   [AUDIT_NEWER] = "newer", [AUDIT_BACK] = "back",
};

const char *audit_trouble_name(enum audit_trouble t)
{
	return (size_t)t < ARRAY_LEN(trouble_name) && trouble_name[t] ? trouble_name[t] : "";
}

static void chain_free_at(struct audit_chain **c)
{
	audit_chain_free(*c);
}

/* P's text is made of FORMAT. */
static __attribute__((format(printf, 3, 4))) void say(struct walk *w, struct audit_problem p, const char *format, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	p.text = text;
	p.damage = p.trouble <= AUDIT_END;
	if (p.damage)
		w->out->damage++;
	else
		w->out->notes++;
	w->cfg->problem(w->cfg->arg, &p);
}

static struct audit_problem at_line(const struct walk *w, enum audit_trouble t, const struct audit_line *l)
{
	return (struct audit_problem){.trouble = t, .at = w->at, .session = l->session, .line = l->line};
}

/* Move C on to line N: false when that is further than any log would lead. */
static bool steps_to(struct walk *w, struct audit_chain *c, uint64_t n)
{
	if (n - audit_chain_line(c) > w->steps)
		return false;
	while (audit_chain_line(c) < n) {
		if (audit_chain_skip(c) < 0)
			return false;
		w->steps--;
	}
	return true;
}

/* Is L authentic, wherever it stands? */
static bool authentic_alone(struct walk *w, const char *text, const struct audit_line *l)
{
	AUTO(chain_free_at) struct audit_chain *c = NULL;

	return audit_chain_new(w->key, l->session, &c) == 0 && steps_to(w, c, l->line) &&
	       audit_chain_check(c, text, l) == 0;
}

/* What is no line */

static void odd_is_damage(struct walk *w)
{
	const struct audit_problem p = {.trouble = w->odd_newer ? AUDIT_NEWER : AUDIT_CHANGED, .at = w->odd_at};

	if (w->odd_newer)
		say(w, p, "line %" PRIu64 " of the file is of a newer version of byokfs", w->odd_at);
	else
		say(w, p, "line %" PRIu64 " of the file cannot be read as a log line: it was changed", w->odd_at);
	w->odd_len = 0;
	w->doubt = true;
	w->unread++;
}

static void take_odd(struct walk *w, const struct audit_piece *p, bool newer)
{
	if (w->odd_len > 0)
		odd_is_damage(w);
	w->odd_len = p->len > 0 ? p->len : 1; /* an empty line is none of ours either */
	w->odd_at = w->at;
	w->odd_newer = newer;
}

/* A line follows: does it vouch for the odd piece before it? */
static void judge_odd(struct walk *w, const struct audit_line *l, bool authentic)
{
	if (w->odd_len > 0 && authentic && l->torn == w->odd_len) {
		const struct audit_problem p = {.trouble = AUDIT_UNFINISHED, .at = w->odd_at};
		say(w, p,
		    "line %" PRIu64 " of the file is unfinished: a crash cut it off, as the session after it says",
		    w->odd_at);
		w->odd_len = 0;
		return;
	}
	if (w->odd_len > 0) {
		odd_is_damage(w);
	} else if (authentic && l->torn > 0 && !w->doubt) {
		say(w, at_line(w, AUDIT_REMOVED, l), "the unfinished line before session %" PRIu64 " was removed",
		    l->session);
		w->doubt = true;
	}
}

/* Lines in their place */

static void changed(struct walk *w, const struct audit_line *l)
{
	say(w, at_line(w, AUDIT_CHANGED, l),
	    "line %" PRIu64 " of the file (it says line %" PRIu64 " of session %" PRIu64 ") was changed", w->at,
	    l->line, l->session);
	w->doubt = true;
	memcpy(w->last, l->mac, MAC_LEN);
}

static void in_place(struct walk *w, const struct audit_line *l)
{
	w->out->lines++;
	if (!w->doubt && memcmp(l->prev, w->last, MAC_LEN) != 0)
		say(w, at_line(w, AUDIT_REMOVED, l),
		    "what stood before line %" PRIu64 " of session %" PRIu64 " is not there", l->line, l->session);
	w->doubt = false;
	w->unread = 0;
	memcpy(w->last, l->mac, MAC_LEN);
}

/* A line whose numbers cannot be believed has taken the place of some line. */
static void impostor(struct walk *w, const struct audit_line *l)
{
	changed(w, l);
	w->unread++;
}

static int take_first(struct walk *w, const char *text, const struct audit_line *l)
{
	AUTO(chain_free_at) struct audit_chain *c = NULL;
	uint64_t before = w->chain ? audit_chain_session(w->chain) : 0;

	int r = audit_chain_new(w->key, l->session, &c);
	if (r < 0)
		return r;
	bool good = audit_chain_check(c, text, l) == 0;
	judge_odd(w, l, good);
	if (!good) {
		impostor(w, l);
		return 0;
	}
	struct audit_chain *old = w->chain;
	w->chain = c;
	c = old;
	w->out->sessions++;
	in_place(w, l);
	if (l->found == AUDIT_CUT || l->found == AUDIT_MISSING)
		say(w, at_line(w, AUDIT_END, l), "when session %" PRIu64 " began, the log before it was %s", l->session,
		    l->found == AUDIT_CUT ? "cut or an older one" : "gone");
	else if (l->session <= before)
		say(w, at_line(w, AUDIT_BACK, l),
		    "session %" PRIu64 " follows session %" PRIu64 ": the session record was lost, or the "
		    "store put back",
		    l->session, before);
	return 0;
}

/* L is authentic and further on than wanted, or of a session whose beginning is missing. */
static int jump(struct walk *w, const struct audit_line *l)
{
	if (!w->chain || l->session != audit_chain_session(w->chain)) {
		struct audit_chain *c = NULL;
		int r = audit_chain_new(w->key, l->session, &c);
		if (r < 0)
			return r;
		audit_chain_free(w->chain);
		w->chain = c;
		w->out->sessions++;
	}
	uint64_t want = audit_chain_line(w->chain), gap = l->line - want;
	if (gap > w->unread && gap - w->unread == 1)
		say(w, at_line(w, AUDIT_REMOVED, l),
		    "line %" PRIu64 " of session %" PRIu64 " is not before line %" PRIu64, l->line - 1, l->session,
		    l->line);
	else if (gap > w->unread)
		say(w, at_line(w, AUDIT_REMOVED, l),
		    "%" PRIu64 " lines before line %" PRIu64 " of session %" PRIu64 " are not there", gap - w->unread,
		    l->line, l->session);
	w->doubt = w->doubt || gap > 0;
	if (!steps_to(w, w->chain, l->line + 1))
		return -EIO;
	in_place(w, l);
	return 0;
}

static void stray(struct walk *w, const struct audit_line *l)
{
	say(w, at_line(w, AUDIT_ORDER, l), "line %" PRIu64 " of session %" PRIu64 " stands where it does not belong",
	    l->line, l->session);
	w->doubt = true;
}

/* A line of the session that is read: the wanted one, or any other. */
static int take_next(struct walk *w, const char *text, const struct audit_line *l)
{
	uint64_t session = w->chain ? audit_chain_session(w->chain) : 0;
	uint64_t want = w->chain ? audit_chain_line(w->chain) : 1;

	if (l->session == session && l->line == want) {
		if (audit_chain_check(w->chain, text, l) == 0)
			in_place(w, l);
		else
			changed(w, l);
		return 0;
	}
	if (!authentic_alone(w, text, l))
		impostor(w, l);
	else if (l->session < session || (l->session == session && l->line < want))
		stray(w, l);
	else
		return jump(w, l);
	return 0;
}

static int take_line(struct walk *w, const struct audit_piece *p, const struct audit_line *l)
{
	uint64_t session = w->chain ? audit_chain_session(w->chain) : 0;

	if (w->end_known && l->session == w->end.session && l->line == w->end.line &&
	    memcmp(l->mac, w->end.mac, MAC_LEN) == 0)
		w->end_seen = true;
	/* Line 1 again, with lines of its session before it: only if it follows them does a session begin anew. */
	if (l->line == 1 && (l->session != session || memcmp(l->prev, w->last, MAC_LEN) == 0))
		return take_first(w, p->text, l);
	if (w->odd_len > 0)
		odd_is_damage(w);
	return take_next(w, p->text, l);
}

static int take(struct walk *w, const struct audit_piece *p)
{
	struct audit_line l;

	w->at++;
	/* Without its newline it is not finished, however whole it looks. */
	int r = p->too_long || !p->ended ? -EBADMSG : audit_line_parse(p->text, p->len, &l);
	if (r == 0)
		return take_line(w, p, &l);
	take_odd(w, p, r == -ENOTSUP);
	return 0;
}

/* The end */

static void judge_end(struct walk *w, bool ended)
{
	struct audit_problem p = {.at = w->at};

	if (w->odd_len > 0 && !ended && !w->odd_newer) {
		p.trouble = AUDIT_UNFINISHED;
		say(w, p, "the last line is unfinished: %s",
		    w->cfg->live ? "the mount is writing it" : "a crash cut it off");
	} else if (w->odd_len > 0) {
		odd_is_damage(w);
	}
	p.at = 0;
	if (w->end_known && !w->end_seen) {
		p = (struct audit_problem){.trouble = AUDIT_END, .session = w->end.session, .line = w->end.line};
		say(w, p, "line %" PRIu64 " of session %" PRIu64 ", which this host remembers, is not there: %s",
		    w->end.line, w->end.session,
		    w->at == 0 ? "the log was deleted" : "the end was cut or changed, or an older log put back");
	}
	if (!w->end_known) {
		p.trouble = AUDIT_NO_END;
		say(w, p, "%s",
		    w->at == 0 ? "there is no audit log"
			       : "this host does not remember where the log ends: lines cut from its end would not be "
				 "missed");
	}
}

static int walk(struct walk *w, int own_fd)
{
	struct audit_reader *reader = malloc(sizeof(*reader));
	struct audit_piece p = {.ended = true};
	bool ended = true;

	if (!reader)
		return -ENOMEM;
	int r = audit_reader_open(reader, own_fd);
	bool open = r == 0;
	if (r == -ENOENT)
		r = 0;
	while (open && r == 0) {
		r = audit_reader_next(reader, &p);
		if (r <= 0)
			break;
		ended = p.ended;
		r = take(w, &p);
	}
	if (open)
		audit_reader_close(reader);
	free(reader);
	if (r == 0)
		judge_end(w, ended);
	return r;
}

static int key_make(struct gate *g, struct audit_key **out)
{
	const struct store_keys *keys;
	int r = gate_enter(g, GATE_USE_NEW, &keys);

	if (r < 0)
		return r;
	r = audit_key_new(keys, out);
	gate_leave(g);
	return r;
}

int audit_check(const struct audit_check_config *cfg, struct audit_checked *out)
{
	struct walk w = {.cfg = cfg, .out = out, .steps = STEPS_MAX};

	*out = (struct audit_checked){0};
	/* The end first: what is written meanwhile lies behind it. A damaged record is like none. */
	w.end_known = audit_end_read(cfg->store, &w.end) == 0 && w.end.session != 0;
	out->end_known = w.end_known;
	int r = key_make(cfg->gate, &w.key);
	if (r == 0)
		r = walk(&w, cfg->store->own_fd);
	audit_chain_free(w.chain);
	audit_key_free(w.key);
	return r;
}
