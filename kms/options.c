/* SPDX-License-Identifier: BSD-2-Clause */
/* How this host reaches a KMS: the options of one reference, checked against its provider's table, and the text they are kept in. */
#include "kms/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kms/near.h"
#include "kms/path.h"

#define CREDENTIAL "credential:"
#define NAMES_MAX 64u

static const struct kms_option_def *def_find(const struct kms_provider *p, const char *name, size_t len)
{
	for (const struct kms_option_def *d = p->options; d && d->name; d++)
		if (strlen(d->name) == len && memcmp(d->name, name, len) == 0)
			return d;
	return NULL;
}

static int say_unknown(const struct kms_provider *p, const char *name, size_t len, char why[KMS_TEXT_MAX])
{
	const char *list[NAMES_MAX + 1] = {0};
	int shown = (int)(len < 40 ? len : 40);
	size_t n = 0;

	for (const struct kms_option_def *d = p->options; d && d->name && n < NAMES_MAX; d++)
		list[n++] = d->name;
	const char *near = near_word(name, len, list);
	if (n == 0)
		snprintf(why, KMS_TEXT_MAX, "%s: has no option '%.*s', and no other", p->scheme, shown, name);
	else if (near)
		snprintf(why, KMS_TEXT_MAX, "%s: has no option '%.*s': did you mean '%s'?", p->scheme, shown, name,
			 near);
	else
		snprintf(why, KMS_TEXT_MAX, "%s: has no option '%.*s' (byokfs mount --help names those it has)",
			 p->scheme, shown, name);
	return -EINVAL;
}

static bool credential_good(const char *name)
{
	return *name && *name != '.' && !strchr(name, '/');
}

/* VALUE as it is kept: of a path, the absolute one. */
static int value_take(const struct kms_option_def *d, const char *value, char out[KMS_OPTION_VALUE_MAX + 1],
		      char why[KMS_TEXT_MAX])
{
	bool is_path = d->kind == KMS_OPTION_FILE || d->kind == KMS_OPTION_SECRET;
	bool credential = is_path && strncmp(value, CREDENTIAL, strlen(CREDENTIAL)) == 0;
	char cwd[PATH_MAX] = "";

	if (d->kind == KMS_OPTION_FLAG && strcmp(value, "yes") != 0 && strcmp(value, "no") != 0) {
		snprintf(why, KMS_TEXT_MAX, "option %s is 'yes' or 'no', not '%.80s'", d->name, value);
		return -EINVAL;
	}
	if (credential && !credential_good(value + strlen(CREDENTIAL))) {
		snprintf(why, KMS_TEXT_MAX, "option %s: '%.80s' is not credential:NAME", d->name, value);
		return -EINVAL;
	}
	if (is_path && !credential && value[0] != '/' && !realpath(".", cwd)) {
		snprintf(why, KMS_TEXT_MAX, "option %s: %s", d->name, strerror(errno));
		return -EINVAL;
	}
	if (snprintf(out, KMS_OPTION_VALUE_MAX + 1, "%s%s%s", cwd, cwd[0] ? "/" : "", value) >
	    (int)KMS_OPTION_VALUE_MAX) {
		snprintf(why, KMS_TEXT_MAX, "option %s is longer than %u bytes", d->name, KMS_OPTION_VALUE_MAX);
		return -EINVAL;
	}
	return 0;
}

static int option_check(const struct kms_options *o, const struct kms_option_def *d, const char *value,
			char why[KMS_TEXT_MAX])
{
	if (kms_options_get(o, d->name))
		snprintf(why, KMS_TEXT_MAX, "option %s is given twice", d->name);
	else if (o->n == KMS_OPTIONS_MAX)
		snprintf(why, KMS_TEXT_MAX, "more than %u options", KMS_OPTIONS_MAX);
	else if (!*value)
		snprintf(why, KMS_TEXT_MAX, "option %s has no value", d->name);
	else
		return 0;
	return -EINVAL;
}

int kms_options_add(struct kms_options *o, const struct kms_provider *p, const char *text, char why[KMS_TEXT_MAX])
{
	size_t len = strcspn(text, "=");

	for (const char *c = text; *c; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f) {
			snprintf(why, KMS_TEXT_MAX, "an option contains a control character");
			return -EINVAL;
		}
	}
	const struct kms_option_def *d = def_find(p, text, len);
	if (!d)
		return say_unknown(p, text, len, why);
	const char *value = text[len] ? text + len + 1 : "";
	int r = option_check(o, d, value, why);
	if (r)
		return r;
	struct kms_option *to = &o->option[o->n];
	r = value_take(d, value, to->value, why);
	if (r)
		return r;
	snprintf(to->name, sizeof(to->name), "%s", d->name);
	o->n++;
	return 0;
}

int kms_options_add_ref(struct kms_options *o, const struct kms_provider *p, const char *ref, char why[KMS_TEXT_MAX])
{
	char text[KMS_OPTION_NAME_MAX + 1 + KMS_OPTION_VALUE_MAX + 1];
	int r = p->ref_option ? 1 : 0;

	for (size_t i = 0; r == 1; i++) {
		r = p->ref_option(ref, i, text, sizeof(text), why);
		int bad = r == 1 ? kms_options_add(o, p, text, why) : 0;
		if (bad)
			return bad;
	}
	return r;
}

const char *kms_options_get(const struct kms_options *o, const char *name)
{
	for (size_t i = 0; o && i < o->n; i++)
		if (strcmp(o->option[i].name, name) == 0)
			return o->option[i].value;
	return NULL;
}

bool kms_options_flag(const struct kms_options *o, const char *name)
{
	const char *value = kms_options_get(o, name);

	return value && strcmp(value, "yes") == 0;
}

void kms_options_overlay(struct kms_options *to, const struct kms_options *over)
{
	for (size_t i = 0; i < over->n; i++) {
		size_t at = 0;

		while (at < to->n && strcmp(to->option[at].name, over->option[i].name) != 0)
			at++;
		if (at == KMS_OPTIONS_MAX)
			return; /* no table is as long */
		to->option[at] = over->option[i];
		to->n += at == to->n;
	}
}

bool kms_options_equal(const struct kms_options *a, const struct kms_options *b)
{
	for (size_t i = 0; i < a->n; i++) {
		const char *other = kms_options_get(b, a->option[i].name);

		if (!other || strcmp(other, a->option[i].value) != 0)
			return false;
	}
	return a->n == b->n;
}

int kms_option_path(const char *value, char out[PATH_MAX])
{
	const char *dir = "", *slash = "", *name = value;

	if (strncmp(value, CREDENTIAL, strlen(CREDENTIAL)) == 0) {
		dir = getenv("CREDENTIALS_DIRECTORY");
		if (!dir)
			return -ENOENT;
		slash = "/";
		name = value + strlen(CREDENTIAL);
	}
	return snprintf(out, PATH_MAX, "%s%s%s", dir, slash, name) < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* The text that is remembered */

/* A line of it, taken out into a buffer of its own. */
struct option_line {
	const char *next, *end;
	unsigned number;
	char text[KMS_REF_MAX + 1 + 2 + KMS_OPTION_NAME_MAX + KMS_OPTION_VALUE_MAX];
};

static int line_bad(const struct option_line *l, const char *what, char why[KMS_TEXT_MAX])
{
	snprintf(why, KMS_TEXT_MAX, "line %u: %.230s", l->number, what);
	return -EINVAL;
}

/* 1 with the next line that says something in TEXT, 0 at the end. */
static int line_next(struct option_line *l, char why[KMS_TEXT_MAX])
{
	while (l->next < l->end) {
		const char *nl = memchr(l->next, '\n', (size_t)(l->end - l->next));
		size_t len = (size_t)((nl ? nl : l->end) - l->next);

		l->number++;
		if (len >= sizeof(l->text))
			return line_bad(l, "too long", why);
		memcpy(l->text, l->next, len);
		l->text[len] = '\0';
		if (strlen(l->text) != len)
			return line_bad(l, "a NUL byte", why);
		l->next = nl ? nl + 1 : l->end;
		if (len > 0 && l->text[0] != '#')
			return 1;
	}
	return 0;
}

int kms_options_read(const char *text, size_t len, const char *ref, struct kms_options *o, char why[KMS_TEXT_MAX])
{
	const struct kms_provider *p = kms_provider_find(ref, why);
	struct option_line l = {.next = text, .end = text + len};
	bool in_section = false, seen = false, ours = false;
	char bad[KMS_TEXT_MAX];
	int r;

	memset(o, 0, sizeof(*o));
	if (!p)
		return -EINVAL;
	while ((r = line_next(&l, why)) == 1) {
		size_t n = strlen(l.text);

		if (l.text[0] == '[' && l.text[n - 1] == ']') {
			in_section = true;
			l.text[n - 1] = '\0';
			ours = strcmp(l.text + 1, ref) == 0;
			if (ours && seen)
				return line_bad(&l, "this reference has a section already", why);
			seen |= ours;
		} else if (!in_section || !strchr(l.text, '=')) {
			return line_bad(&l, "neither [REFERENCE] nor NAME=VALUE in a section", why);
		} else if (ours && kms_options_add(o, p, l.text, bad)) {
			return line_bad(&l, bad, why);
		}
	}
	return r;
}

int kms_options_write(const char *ref, const struct kms_options *o, char *out, size_t *at)
{
	for (size_t i = 0; i <= o->n && o->n > 0; i++) {
		size_t room = KMS_OPTIONS_TEXT_MAX - *at;
		const struct kms_option *from = i ? &o->option[i - 1] : NULL;
		int n = from ? snprintf(out + *at, room, "%s=%s\n", from->name, from->value)
			     : snprintf(out + *at, room, "[%s]\n", ref);

		if (n < 0 || (size_t)n >= room)
			return -ENOSPC;
		*at += (size_t)n;
	}
	return 0;
}
