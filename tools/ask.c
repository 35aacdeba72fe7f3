/* SPDX-License-Identifier: BSD-2-Clause */
/* Asking a running mount over its control socket. */
#include "tools/ask.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/auto.h"
#include "fs/watch/mountinfo.h"
#include "fs/watch/ended.h"
#include "tools/mounts.h"

#define STATUS_TIMEOUT_MS 10000u
#define ENDED_TIMEOUT_MS 500u   /* a note says that it has ended: its worker may hang, with the socket open */
#define ORDER_TIMEOUT_MS 90000u /* a lock seals what was accepted, an unlock asks the KMS */

int ask_operand(int argc, char **argv, char path[MOUNTS_PATH_MAX])
{
	if (optind != argc - 1)
		return cmd_usage(argv[0], "%s", optind == argc ? "MOUNTPOINT is missing" : "one MOUNTPOINT only");
	int r = mounts_canonical(argv[optind], path);
	return r < 0 ? cmd_fail(cmd_exit_of(r), "%s: %s", argv[optind], strerror(-r)) : CMD_OK;
}

int ask_mountpoint(int argc, char **argv, const char *help, char path[MOUNTS_PATH_MAX])
{
	static const struct option longs[] = {{"help", no_argument, NULL, 'h'}, {0}};
	int c;

	while ((c = cmd_option(argc, argv, "h", longs)) != -1) {
		if (c != 'h')
			return CMD_USAGE;
		fputs(help, stdout);
		return -1;
	}
	return ask_operand(argc, argv, path);
}

static enum cmd_exit silence(const char *mountpoint, int r)
{
	if (!mounts_is(mountpoint))
		return cmd_fail(CMD_NOT_FOUND, "no byokfs is mounted on %s", mountpoint);
	if (r == -EPERM)
		return cmd_fail(CMD_NOT_ALLOWED, "%s was mounted by someone else: ask as root or as that user",
				mountpoint);
	if (r == -ENOENT && mounts_is_dead(mountpoint))
		return cmd_fail(CMD_FAILED, "the daemon of %s has died: byokfs umount it, then mount it again",
				mountpoint);
	if (r == -ENOENT)
		return cmd_fail(CMD_FAILED,
				"nobody answers for %s: its daemon is gone, or it was mounted by someone "
				"else",
				mountpoint);
	return cmd_fail(CMD_FAILED, "the daemon of %s does not answer: %s", mountpoint, strerror(-r));
}

static unsigned timeout_of(const char *mountpoint, enum control_command cmd)
{
	struct ended_note n;

	if (cmd != CONTROL_STATUS)
		return ORDER_TIMEOUT_MS;
	return ended_read(mountpoint, &n) == 0 ? ENDED_TIMEOUT_MS : STATUS_TIMEOUT_MS;
}

enum cmd_exit ask_mount(const char *mountpoint, enum control_command cmd, char **answer, int *error)
{
	char *text = NULL;
	int r = control_call(mountpoint, cmd, timeout_of(mountpoint, cmd), &text);

	if (error)
		*error = r;
	if (r < 0 && !text)
		return silence(mountpoint, r);
	if (r < 0) {
		enum cmd_exit code = r == -EACCES ? CMD_REFUSED : cmd_exit_of(r);
		cmd_fail(code, "%s: %s", mountpoint, text);
		free(text);
		return code;
	}
	*answer = text;
	return CMD_OK;
}

char *ask_value(const char *answer, const char *key, unsigned n)
{
	size_t len = strlen(key);

	for (const char *p = answer; p && *p != 0; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL) {
		if (strncmp(p, key, len) != 0 || p[len] != ' ' || n-- > 0)
			continue;
		char *value = strndup(p + len + 1, strcspn(p + len + 1, "\n"));
		if (value)
			mountinfo_unescape(value);
		return value;
	}
	return NULL;
}

uint64_t ask_number(const char *answer, const char *key)
{
	AUTO(auto_free) char *text = ask_value(answer, key, 0);
	uint64_t n = 0;

	return text && cmd_number(text, NULL, 0, UINT64_MAX, &n) == 0 ? n : 0;
}
