/* SPDX-License-Identifier: BSD-2-Clause */
/* The INI of ~/.aws/credentials and ~/.aws/config, as far as access keys need it. */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "kms/providers/aws.h"

#define PROFILE "profile"
#define WHITE " \t\r"

/* A line, without white space at its end. */
struct ini_line {
	const char *text;
	size_t len;
};

/* The next line of *AT that says something; what is indented belongs to a value before it, which is none of ours. False at the end. */
static bool line_take(const char **at, struct ini_line *l)
{
	while (**at) {
		l->text = *at;
		l->len = strcspn(*at, "\n");
		*at += l->len + ((*at)[l->len] == '\n');
		while (l->len && strchr(WHITE, l->text[l->len - 1]))
			l->len--;
		if (l->len && !strchr("#;" WHITE, l->text[0]))
			return true;
	}
	return false;
}

/* 1 if L, which begins with a bracket, is the section NAME: "[NAME]" or "[profile NAME]"; -EINVAL. */
static int is_section(const struct ini_line *l, const char *name)
{
	const char *at = l->text + 1, *end = l->text + l->len - 1;

	if (l->len < 3 || *end != ']' || memchr(at, ']', (size_t)(end - at)))
		return -EINVAL;
	while (at < end && strchr(WHITE, *at))
		at++;
	size_t word = strlen(PROFILE);
	if ((size_t)(end - at) > word && memcmp(at, PROFILE, word) == 0 && strchr(WHITE, at[word]))
		at += word;
	while (at < end && strchr(WHITE, *at))
		at++;
	while (end > at && strchr(WHITE, end[-1]))
		end--;
	return (size_t)(end - at) == strlen(name) && memcmp(at, name, strlen(name)) == 0;
}

/* 1 with the value in OUT if L is KEY, a line of NAME=VALUE; -EINVAL if it is no such line. */
static int is_key(const struct ini_line *l, const char *key, char out[AWS_WORD_MAX + 1])
{
	const char *equals = memchr(l->text, '=', l->len), *end = l->text + l->len;
	size_t len = equals ? (size_t)(equals - l->text) : 0;

	while (len && strchr(WHITE, l->text[len - 1]))
		len--;
	if (!len)
		return -EINVAL;
	if (len != strlen(key) || strncasecmp(l->text, key, len) != 0)
		return 0;
	const char *value = equals + 1;
	while (value < end && strchr(WHITE, *value))
		value++;
	if (end - value > (long)AWS_WORD_MAX)
		return -EINVAL;
	memcpy(out, value, (size_t)(end - value));
	out[end - value] = '\0';
	return 1;
}

/* KEY NULL: the section alone. */
static int find(const char *text, const char *name, const char *key, char out[AWS_WORD_MAX + 1])
{
	bool inside = false, begun = false, seen = false, found = false;
	struct ini_line l;

	while (line_take(&text, &l)) {
		bool is_head = l.text[0] == '[';
		int r = is_head ? is_section(&l, name) : is_key(&l, inside && key ? key : "", out);

		if (r < 0 || (!is_head && !begun) || (r > 0 && (is_head ? seen : found)))
			return -EINVAL;
		begun |= is_head;
		inside = is_head ? r > 0 : inside;
		seen |= inside;
		found |= !is_head && r > 0;
	}
	return (key ? found : seen) ? 0 : -ENOENT;
}

int aws_ini_get(const char *text, const char *name, const char *key, char out[AWS_WORD_MAX + 1])
{
	return find(text, name, key, out);
}

int aws_ini_has(const char *text, const char *name)
{
	char unused[AWS_WORD_MAX + 1];

	return find(text, name, NULL, unused);
}
