/* SPDX-License-Identifier: BSD-2-Clause */
/* Options, near misses and messages of the command line. */
#include "tools/cmd.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "crypto/auto.h"
#include "crypto/json.h"
#include "crypto/layout.h"
#include "kms/near.h"

#define WORD_MAX 32
#define LONGS_MAX 64

/* Messages */

/* The one way of a message to the terminal: what others said stands in it, and nothing of it may be obeyed there. */
static __attribute__((format(printf, 2, 0))) void message(FILE *out, const char *format, va_list ap)
{
	AUTO(auto_free) char *text = NULL;

	if (vasprintf(&text, format, ap) < 0) {
		text = NULL;
		fputs("out of memory", out);
		return;
	}
	text_plain(text);
	fputs(text, out);
}

int cmd_usage(const char *name, const char *format, ...)
{
	va_list ap;

	fprintf(stderr, "byokfs %s: ", name);
	va_start(ap, format);
	message(stderr, format, ap);
	va_end(ap);
	fprintf(stderr, "\nTry 'byokfs %s --help'.\n", name);
	return CMD_USAGE;
}

int cmd_fail(enum cmd_exit code, const char *format, ...)
{
	va_list ap;

	fputs("byokfs: ", stderr);
	va_start(ap, format);
	message(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	return code;
}

void cmd_warn(const char *format, ...)
{
	va_list ap;

	fputs("byokfs: warning: ", stderr);
	va_start(ap, format);
	message(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
}

void cmd_say(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	message(stdout, format, ap);
	va_end(ap);
	putchar('\n');
}

enum cmd_exit cmd_exit_of(int error)
{
	switch (-error) {
	case 0:
		return CMD_OK;
	case EKEYEXPIRED:
		return CMD_NOT_TRUSTED;
	case EKEYREVOKED:
		return CMD_REFUSED;
	case ETIMEDOUT:
		return CMD_UNREACHABLE;
	case EBADMSG:
	case EUCLEAN:
		return CMD_DAMAGED;
	case EBUSY:
	case ENOTEMPTY:
		return CMD_BUSY;
	case EKEYREJECTED:
	case ENOKEY:
		return CMD_PASSPHRASE;
	case ENOENT:
	case ENOTDIR:
		return CMD_NOT_FOUND;
	case EACCES:
		return CMD_NOT_ALLOWED;
	default:
		return CMD_FAILED;
	}
}

/* Near misses */

const char *cmd_near(const char *word, const char *const *list)
{
	return near_word(word, strlen(word), list);
}

/* Options */

static void option_unknown(const char *name, const char *word, const struct option *longs)
{
	const char *list[LONGS_MAX + 1];
	char plain[WORD_MAX + 1];
	size_t n = 0;

	for (; longs[n].name && n < LONGS_MAX; n++)
		list[n] = longs[n].name;
	list[n] = NULL;
	snprintf(plain, sizeof(plain), "%.*s", (int)strcspn(word, "="), word);
	const char *near = cmd_near(plain, list);
	if (near)
		cmd_usage(name, "unknown option '--%s': did you mean '--%s'?", plain, near);
	else
		cmd_usage(name, "unknown option '--%s'", plain);
}

int cmd_option(int argc, char **argv, const char *shorts, const struct option *longs)
{
	char quiet[64];

	/* ':' in front: a missing argument is told from an unknown option. */
	snprintf(quiet, sizeof(quiet), ":%s", shorts);
	opterr = 0;
	int at = optind, c = getopt_long(argc, argv, quiet, longs, NULL);
	if (c != '?' && c != ':')
		return c;
	const char *word = optind > at || optind > 1 ? argv[optind - 1] : argv[at];
	if (c == ':')
		cmd_usage(argv[0], "option '%s' needs a value", word);
	else if (optopt == 0 && strncmp(word, "--", 2) == 0)
		option_unknown(argv[0], word + 2, longs);
	else if (strncmp(word, "--", 2) == 0)
		cmd_usage(argv[0], "option '%s' takes no value", word);
	else
		cmd_usage(argv[0], "unknown option '-%c'", optopt);
	return '?';
}

/* Numbers */

/* What a suffix multiplies by, or 0. */
static uint64_t suffix_factor(char c)
{
	switch (c) {
	case 's':
		return 1;
	case 'm':
		return 60;
	case 'h':
		return 3600;
	case 'd':
		return 86400;
	case 'k':
	case 'K':
		return 1024;
	case 'M':
		return 1024 * 1024;
	default:
		return 0;
	}
}

int cmd_number(const char *text, const char *suffixes, uint64_t lo, uint64_t hi, uint64_t *out)
{
	uint64_t n = 0, factor = 1;
	const char *p = text;

	for (; *p >= '0' && *p <= '9'; p++) {
		uint64_t digit = (uint64_t)(*p - '0');
		if (n > (UINT64_MAX - digit) / 10)
			return -EINVAL;
		n = 10 * n + digit;
	}
	if (p == text)
		return -EINVAL;
	if (*p != 0) {
		if (p[1] != 0 || !suffixes || !strchr(suffixes, *p))
			return -EINVAL;
		factor = suffix_factor(*p);
	}
	if (factor == 0 || n > UINT64_MAX / factor || n * factor < lo || n * factor > hi)
		return -EINVAL;
	*out = n * factor;
	return 0;
}

int cmd_block_size(const char *name, const char *text, uint32_t *len)
{
	uint64_t n;

	if (cmd_number(text, "kKM", BLOCK_LEN_MIN, BLOCK_LEN_MAX, &n) < 0 || (n & (n - 1)) != 0)
		return cmd_usage(name, "--block-size is a power of two from 4k to 1M, not '%s'", text);
	*len = (uint32_t)n;
	return CMD_OK;
}

/* Folders */

int cmd_folder_empty(const char *path, bool *empty)
{
	DIR *dir = opendir(path);
	const struct dirent *e;

	if (!dir)
		return -errno;
	for (*empty = true; *empty && (e = readdir(dir));)
		*empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
	closedir(dir);
	return 0;
}
