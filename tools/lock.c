/* SPDX-License-Identifier: BSD-2-Clause */
/* `byokfs lock` and `byokfs unlock`: orders to a running mount. */
#include <stdio.h>
#include <string.h>

#include "crypto/auto.h"
#include "tools/ask.h"
#include "tools/mounts.h"

static const char lock_help[] = "Usage: byokfs lock MOUNTPOINT\n"
				"Drop the keys of the mount now: dirty pages are sealed, then everything answers "
				"EACCES, for root too. The mount stays\n"
				"locked until 'byokfs unlock', whatever the KMS says.\n"
				"\n"
				"  -h, --help   this text\n"
				"\n"
				"Example:\n"
				"  byokfs lock /mnt/backup\n";

static const char unlock_help[] = "Usage: byokfs unlock MOUNTPOINT\n"
				  "End an ordered lock: the KMS is asked for the key at once. When it refuses, the "
				  "mount stays locked (exit code 3) and\n"
				  "opens by itself as soon as the KMS gives the key back.\n"
				  "\n"
				  "  -h, --help   this text\n"
				  "\n"
				  "Example:\n"
				  "  byokfs unlock /mnt/backup\n";

static const struct option longs[] = {{"help", no_argument, NULL, 'h'}, {0}};

static int order(int argc, char **argv, enum control_command cmd, const char *help)
{
	AUTO(auto_free) char *answer = NULL;
	char path[MOUNTS_PATH_MAX];
	int c;

	while ((c = cmd_option(argc, argv, "h", longs)) != -1) {
		if (c != 'h')
			return CMD_USAGE;
		fputs(help, stdout);
		return CMD_OK;
	}
	if (optind != argc - 1)
		return cmd_usage(argv[0], "%s", optind == argc ? "MOUNTPOINT is missing" : "one MOUNTPOINT only");
	int r = mounts_canonical(argv[optind], path);
	if (r < 0)
		return cmd_fail(cmd_exit_of(r), "%s: %s", argv[optind], strerror(-r));
	enum cmd_exit code = ask_mount(path, cmd, &answer, NULL);
	if (code == CMD_OK)
		printf("%s is %s\n", path, cmd == CONTROL_LOCK ? "locked" : "unlocked");
	return code;
}

int cmd_lock(int argc, char **argv)
{
	return order(argc, argv, CONTROL_LOCK, lock_help);
}

int cmd_unlock(int argc, char **argv)
{
	return order(argc, argv, CONTROL_UNLOCK, unlock_help);
}
