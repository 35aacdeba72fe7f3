/* SPDX-License-Identifier: BSD-2-Clause */
/* Printing what a check finds. */
#include "tools/verify_show.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "kms/clock.h"
#include "tools/emit.h"

#define BAR 20
#define DRAW_MS 200
#define VERIFY_BYTES_LEN 32

/* "1.2 GiB" into OUT. */
static void verify_show_bytes(uint64_t n, char out[VERIFY_BYTES_LEN])
{
	static const char *const unit[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double v = (double)n;
	size_t i = 0;
	while (v >= 1024 && i + 1 < ARRAY_LEN(unit)) {
		v /= 1024;
		i++;
	}
	if (i == 0)
		snprintf(out, VERIFY_BYTES_LEN, "%" PRIu64 " bytes", n);
	else
		snprintf(out, VERIFY_BYTES_LEN, "%.1f %s", v, unit[i]);
}

void verify_show_begin(struct verify_show *s, bool json)
{
	*s = (struct verify_show){
		.json = json,
		.terminal = isatty(STDERR_FILENO),
		.begun_ms = clock_ms(CLOCK_MONOTONIC),
	};
}

/* Take the progress line away before something else is printed. */
static void clear(struct verify_show *s)
{
	if (s->drawn)
		fputs("\r\033[K", stderr);
	s->drawn = false;
}

static void problem_line(const struct check_problem *p)
{
	printf("%s: ", p->repaired ? "repaired" : check_severity_name(p->severity));
	emit_escaped(stdout, p->plain ? p->plain : p->path);
	if (p->plain && *p->path) {
		fputs(" (", stdout);
		emit_escaped(stdout, p->path);
		fputc(')', stdout);
	}
	fputs(": ", stdout);
	emit_escaped(stdout, p->text);
	fputc('\n', stdout);
}

static void problem_json(const struct check_problem *p)
{
	struct emit e = {.out = stdout, .json = true};
	emit_open(&e, NULL);
	emit_str(&e, "type", "problem");
	emit_str(&e, "severity", check_severity_name(p->severity));
	emit_str(&e, "code", check_code_name(p->code));
	emit_str(&e, "path", p->path);
	if (p->plain)
		emit_str(&e, "plain", p->plain);
	if (p->block >= 0) {
		emit_i64(&e, "block", p->block);
		emit_i64(&e, "last", p->last);
	}
	emit_bool(&e, "repaired", p->repaired);
	emit_str(&e, "text", p->text);
	emit_close(&e);
}

void verify_show_problem(void *arg, const struct check_problem *p)
{
	struct verify_show *s = arg;
	clear(s);
	if (s->json)
		problem_json(p);
	else
		problem_line(p);
	/* A check may run for days: what is found is told now, to a pipe too. */
	fflush(stdout);
}

/* "1:02:03" or "2:03". */
static void duration(int64_t s, char out[VERIFY_BYTES_LEN])
{
	if (s >= 3600)
		snprintf(out, VERIFY_BYTES_LEN, "%d:%02d:%02d", (int)(s / 3600), (int)(s / 60 % 60), (int)(s % 60));
	else
		snprintf(out, VERIFY_BYTES_LEN, "%d:%02d", (int)(s / 60), (int)(s % 60));
}

void verify_show_progress(void *arg, const struct check_counts *c)
{
	struct verify_show *s = arg;
	int64_t now = clock_ms(CLOCK_MONOTONIC), spent = now - s->begun_ms;
	if (!s->terminal || now - s->drawn_ms < DRAW_MS || spent <= 0)
		return;
	s->drawn_ms = now;
	s->drawn = true;
	char done[VERIFY_BYTES_LEN], rate[VERIFY_BYTES_LEN], all[VERIFY_BYTES_LEN], left[VERIFY_BYTES_LEN],
		bar[BAR + 1];
	verify_show_bytes(c->bytes, done);
	verify_show_bytes((uint64_t)((double)c->bytes * 1000 / (double)spent), rate);
	if (!c->total || !c->bytes) {
		fprintf(stderr, "\r%" PRIu64 " files, %s, %s/s\033[K", c->files + c->specials, done, rate);
		return;
	}
	/* Holes and what is passed over make the sum a little wrong: never more than all. */
	double part = c->bytes < c->total ? (double)c->bytes / (double)c->total : 1;
	int filled = (int)(part * BAR);
	for (int i = 0; i < BAR; i++)
		bar[i] = i < filled ? '#' : '.';
	bar[BAR] = '\0';
	verify_show_bytes(c->total, all);
	duration((int64_t)((double)spent / 1000 * (1 - part) / part), left);
	fprintf(stderr, "\r%3d%% [%s] %s of %s, %s/s, %s left\033[K", (int)(part * 100), bar, done, all, rate, left);
}

void verify_show_log(struct verify_show *s, const char *text)
{
	clear(s);
	fputs("byokfs: ", stderr);
	emit_escaped(stderr, text);
	fputc('\n', stderr);
}

static void summary_json(const struct verify_show *s, const struct check_counts *c, const struct verify_result *r)
{
	struct emit e = {.out = stdout, .json = true};
	emit_open(&e, NULL);
	emit_str(&e, "type", "summary");
	emit_str(&e, "store", r->store);
	emit_bool(&e, "with_key", r->with_key);
	emit_bool(&e, "complete", r->complete);
	emit_u64(&e, "files", c->files);
	emit_u64(&e, "directories", c->dirs);
	emit_u64(&e, "specials", c->specials);
	emit_u64(&e, "bytes", c->bytes);
	emit_u64(&e, "notes", c->notes);
	emit_u64(&e, "crash", c->crash);
	emit_u64(&e, "damage", c->damage);
	emit_u64(&e, "repaired", c->repaired);
	emit_u64(&e, "busy", c->busy);
	emit_bool(&e, "unclean", r->unclean);
	emit_bool(&e, "marked_clean", r->marked_clean);
	emit_u64(&e, "milliseconds", (uint64_t)(clock_ms(CLOCK_MONOTONIC) - s->begun_ms));
	emit_i64(&e, "exit", r->exit_code);
	emit_close(&e);
}

static const char *plural(uint64_t n, const char *one, const char *many)
{
	return n == 1 ? one : many;
}

static void count(uint64_t n, const char *what, const char **join)
{
	if (!n)
		return;
	printf("%s%s: %" PRIu64, *join, what, n);
	*join = ", ";
}

static void summary_lines(const struct verify_show *s, const struct check_counts *c, const struct verify_result *r)
{
	char bytes[VERIFY_BYTES_LEN], spent[VERIFY_BYTES_LEN];
	const char *join = "";
	verify_show_bytes(c->bytes, bytes);
	duration((clock_ms(CLOCK_MONOTONIC) - s->begun_ms) / 1000, spent);
	emit_escaped(stdout, r->store);
	printf(": %" PRIu64 " %s, %" PRIu64 " %s, %" PRIu64 " %s, %s checked%s in %s\n", c->files,
	       plural(c->files, "file", "files"), c->dirs, plural(c->dirs, "directory", "directories"), c->specials,
	       plural(c->specials, "special object", "special objects"), bytes,
	       r->with_key ? "" : " without the key (structure only)", spent);
	count(c->damage, "damage", &join);
	count(c->crash, "left by a crash", &join);
	count(c->notes, "notes", &join);
	count(c->repaired, "repaired", &join);
	count(c->busy, "in use and not looked at", &join);
	if (!*join && r->complete)
		fputs("nothing wrong", stdout);
	if (!r->complete)
		printf("%snot complete", join);
	fputs("\n", stdout);
	if (r->unclean && r->marked_clean)
		puts("The store was not closed cleanly before; it counts as clean now.");
	else if (r->unclean && c->crash)
		puts("The store was not closed cleanly. A mount tolerates what the crash left; byokfs verify --repair "
		     "puts it right.");
	else if (r->unclean)
		puts("The store was not closed cleanly, and counts as such until a check finds nothing.");
}

void verify_show_end(struct verify_show *s, const struct check_counts *c, const struct verify_result *r)
{
	clear(s);
	if (s->json)
		summary_json(s, c, r);
	else
		summary_lines(s, c, r);
	fflush(stdout);
}
