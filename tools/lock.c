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

static int order(int argc, char **argv, enum control_command cmd, const char *help)
{
	AUTO(auto_free) char *answer = NULL;
	char path[MOUNTS_PATH_MAX];

	int r = ask_mountpoint(argc, argv, help, path);
	if (r != CMD_OK)
		return r < 0 ? CMD_OK : r;
	enum cmd_exit code = ask_mount(path, cmd, &answer, NULL);
	if (code == CMD_OK)
		cmd_say("%s is %s", path, cmd == CONTROL_LOCK ? "locked" : "unlocked");
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
