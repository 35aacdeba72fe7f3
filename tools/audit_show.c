/* SPDX-License-Identifier: BSD-2-Clause */
/* An audit line's members as words. They come from a file that anyone may have changed. */
#include "tools/audit_show.h"

#include <stdbool.h>
#include <string.h>

#include "tools/emit.h"

struct said {
	const char *at, *end;
};

/* The string at W, which stands behind its opening quote: its bytes into TEXT; \" and \\ are taken back, \u stays. */
static void take_string(struct said *w, char *text, size_t size)
{
	size_t n = 0;

	while (w->at < w->end && *w->at != '"') {
		if (*w->at == '\\' && w->end - w->at > 1 && w->at[1] != 'u')
			w->at++;
		if (n < size - 1)
			text[n++] = *w->at;
		w->at++;
	}
	w->at += w->at < w->end;
	text[n] = 0;
}

/* A number or a word, or whatever stands in the place of one. */
static void take_other(struct said *w, char *text, size_t size)
{
	size_t n = 0;

	for (; w->at < w->end && *w->at != ','; w->at++)
		if (n < size - 1)
			text[n++] = *w->at;
	text[n] = 0;
}

static bool take_member(struct said *w, char *key, char *value, size_t size)
{
	if (w->end - w->at < 2 || w->at[0] != ',' || w->at[1] != '"')
		return false;
	w->at += 2;
	take_string(w, key, size);
	if (w->at >= w->end || *w->at != ':')
		return false;
	w->at++;
	if (w->at < w->end && *w->at == '"') {
		w->at++;
		take_string(w, value, size);
	} else {
		take_other(w, value, size);
	}
	return true;
}

/*
 * In quotes where it would not be one word, a quote in it with a backslash: a mount point has any name, and must not look like
 * a member of its own. A backslash of its own reads \x5c.
 */
static void show_value(FILE *out, char *value)
{
	if (value[0] != 0 && !strpbrk(value, " \"")) {
		emit_escaped(out, value);
		return;
	}
	fputc('"', out);
	for (char *quote; (quote = strchr(value, '"')); value = quote + 1) {
		*quote = 0;
		emit_escaped(out, value);
		fputs("\\\"", out);
	}
	emit_escaped(out, value);
	fputc('"', out);
}

void audit_show_line(FILE *out, const struct audit_line *l)
{
	char key[AUDIT_LINE_MAX], value[AUDIT_LINE_MAX];
	struct said w = {l->members, l->members + l->members_len};

	fprintf(out, "%.*s %llu.%llu %.*s", (int)AUDIT_TIME_LEN, l->time, (unsigned long long)l->session,
		(unsigned long long)l->line, (int)l->event_len, l->event);
	while (take_member(&w, key, value, sizeof(key))) {
		fputc(' ', out);
		emit_escaped(out, key);
		fputc('=', out);
		show_value(out, value);
	}
	fputc('\n', out);
}
