/* SPDX-License-Identifier: BSD-2-Clause */
/* `byokfs umount`: unmount, and wait until the daemon has let go of the store. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "fs/watch/mountinfo.h"
#include "kms/clock.h"
#include "tools/ask.h"
#include "tools/holders.h"
#include "tools/mounts.h"

#define TOLD_MS 1000 /* whoever waits is told for what after so long */
#define LOCK_MS 10000
#define TIMEOUT_MS 60000       /* unless --timeout says otherwise */
#define TIMEOUT_MAX_S 86400ull /* a day */

static const char help[] = "Usage: byokfs umount MOUNTPOINT [--timeout TIME]\n"
			   "Unmount, and wait until the store is closed: it can be mounted again, copied or taken away "
			   "at once. A mount whose\n"
			   "daemon has died is cleared away. While another mount namespace or a second path still has "
			   "the mount, it is locked there,\n"
			   "who it is is told, and after TIME the exit code is 11.\n"
			   "\n"
			   "  --timeout TIME  how long to wait for that; s, m, h may follow (60s)\n"
			   "  -h, --help      this text\n"
			   "\n"
			   "Examples:\n"
			   "  byokfs umount /mnt/backup\n"
			   "  byokfs umount /mnt/backup --timeout 5m\n";

enum { OPT_TIMEOUT = 256 };
static const struct option longs[] = {
	{"timeout", required_argument, NULL, OPT_TIMEOUT},
	{"help", no_argument, NULL, 'h'},
	{0},
};

/* A descriptor of the daemon's process, taken before the unmount: a number could be another's afterwards. */
static int daemon_fd(const char *mountpoint)
{
	AUTO(auto_free) char *answer = NULL;
	uint64_t pid;

	if (control_call(mountpoint, CONTROL_STATUS, 5000, &answer) < 0)
		return -1;
	AUTO(auto_free) char *text = ask_value(answer, "pid", 0);
	if (!text || cmd_number(text, NULL, 1, INT32_MAX, &pid) < 0)
		return -1;
	return (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
}

/* Who unmounts stands in the audit log; a daemon that does not take it is unmounted all the same. */
static void announce(const char *mountpoint)
{
	AUTO(auto_free) char *answer = NULL;

	(void)(control_call(mountpoint, CONTROL_UNMOUNTING, 2000, &answer) == 0);
}

static int busy(const char *path)
{
	return cmd_fail(CMD_BUSY,
			"%s is in use: files are open in it, or it is the current folder of a process (fuser -vm %s "
			"names them)",
			path, path);
}

static int unmount(const char *path, int fd)
{
	/* Of a dead mount nothing is lost any more, however busy it is. */
	int r = mounts_umount(path, fd < 0 && mounts_is_dead(path));

	if (r == -EBUSY)
		return busy(path);
	if (r == -EPERM || r == -EACCES)
		return cmd_fail(CMD_NOT_ALLOWED, "you may not unmount %s: only root and the user who mounted it may",
				path);
	if (r < 0)
		return cmd_fail(cmd_exit_of(r), "cannot unmount %s: %s", path, strerror(-r));
	return CMD_OK;
}

/* Has the daemon of FD ended within MS? */
static bool ends_within(int fd, int ms)
{
	const int64_t end = clock_ms(CLOCK_MONOTONIC) + ms;
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int64_t left = ms;
	int r;

	while ((r = poll(&p, 1, left > 0 ? (int)left : 0)) < 0 && errno == EINTR)
		left = end - clock_ms(CLOCK_MONOTONIC);
	return r != 0;
}

#define HELD_MAX (MOUNTS_PATH_MAX + HOLDERS_TEXT_MAX + 64u)

/* Who keeps the daemon of MINOR from ending, as a sentence without its full stop. */
static void held(const char *path, unsigned minor, char text[HELD_MAX])
{
	char who[HOLDERS_TEXT_MAX];
	bool seen = holders_find("/proc", minor, who) > 0;

	snprintf(text, HELD_MAX, "%s is unmounted, but the store is still in use: %s", path,
		 seen ? who : "its disk is slow, or a mount namespace that you may not look into has it");
}

/* All was written back when the unmount returned: whoever else has the mount is not to go on with it. Did it work? */
static bool lock(const char *path)
{
	AUTO(auto_free) char *answer = NULL;

	return control_call(path, CONTROL_LOCK, LOCK_MS, &answer) == 0;
}

static int wait_end(const char *path, int fd, unsigned minor, int timeout_ms)
{
	int first = timeout_ms < TOLD_MS ? timeout_ms : TOLD_MS;
	char text[HELD_MAX];

	if (fd < 0 || ends_within(fd, first))
		return CMD_OK;
	bool locked = lock(path);
	held(path, minor, text);
	if (first < timeout_ms)
		cmd_warn("%s. %sWaiting for its end", text, locked ? "It is locked there. " : "");
	if (ends_within(fd, timeout_ms - first))
		return CMD_OK;
	held(path, minor, text);
	return cmd_fail(CMD_STILL_HELD, "%s%s", text, locked ? ". It is locked there" : "");
}

/* CMD_OK with PATH and *TIMEOUT_MS, -1 when the help was printed, or an error was. */
static int arguments(int argc, char **argv, char path[MOUNTS_PATH_MAX], int *timeout_ms)
{
	uint64_t n;
	int c;

	*timeout_ms = TIMEOUT_MS;
	while ((c = cmd_option(argc, argv, "h", longs)) != -1) {
		if (c == 'h') {
			fputs(help, stdout);
			return -1;
		}
		if (c != OPT_TIMEOUT)
			return CMD_USAGE;
		if (cmd_number(optarg, "smh", 0, TIMEOUT_MAX_S, &n) < 0)
			return cmd_usage("umount", "--timeout %s is not a time up to 24h", optarg);
		*timeout_ms = (int)(n * 1000);
	}
	return ask_operand(argc, argv, path);
}

int cmd_umount(int argc, char **argv)
{
	char path[MOUNTS_PATH_MAX];
	struct mountinfo m;
	int timeout_ms;

	int r = arguments(argc, argv, path, &timeout_ms);
	if (r != CMD_OK)
		return r < 0 ? CMD_OK : r;
	if (mountinfo_find(MOUNTINFO_SELF, path, &m) < 0)
		return cmd_fail(CMD_NOT_FOUND, "no byokfs is mounted on %s", path);
	AUTO(auto_close) int fd = daemon_fd(path);
	if (fd >= 0)
		announce(path);
	r = unmount(path, fd);
	return r == CMD_OK ? wait_end(path, fd, m.minor, timeout_ms) : r;
}
