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
#include "fs/watch/built_on.h"
#include "fs/watch/holders.h"
#include "fs/watch/mountinfo.h"
#include "kms/clock.h"
#include "tools/ask.h"
#include "tools/mounts.h"

#define TOLD_MS 1000 /* whoever waits is told for what after so long */
#define LOCK_MS 10000
#define ASK_TRIES 3
#define TIMEOUT_MS 60000       /* unless --timeout says otherwise */
#define TIMEOUT_MAX_S 86400ull /* a day */

static const char help[] = "Usage: byokfs umount MOUNTPOINT [--timeout TIME]\n"
			   "Unmount, and wait until the store is closed: it can be mounted again, copied or taken away "
			   "at once. A mount whose\n"
			   "daemon has died is cleared away. While another mount namespace or a second path has the "
			   "mount, it is locked and stays\n"
			   "until that has let go; who it is is told, and after TIME the exit code is 11.\n"
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

/* What is to be unmounted, and whose it is. */
struct target {
	char path[MOUNTS_PATH_MAX];
	struct mountinfo mount;
	int fd;      /* of the daemon's process, -1: there is none */
	bool second; /* a path that the daemon does not know: its own stays */
	int timeout_ms;
};

/* Before the unmount: a number of a process could be another's afterwards. */
static void find_daemon(struct target *t)
{
	AUTO(auto_free) char *answer = NULL;
	int r = -EAGAIN;

	t->fd = -1;
	/* one that is slow or hung up is asked again: it is not to be unmounted as if nobody had it */
	for (int i = 0; i < ASK_TRIES && r < 0 && r != -ENOENT && r != -EPERM; i++) {
		free(answer);
		r = control_call(t->path, CONTROL_STATUS, 5000, &answer);
	}
	if (r < 0)
		return;
	int pid = (int)ask_number(answer, "pid"), id = (int)ask_number(answer, "mount_id");
	t->second = id > 0 && id != t->mount.id;
	t->fd = pid > 0 ? (int)syscall(SYS_pidfd_open, (pid_t)pid, 0) : -1;
}

/* Who unmounts stands in the audit log; a daemon that does not take it is unmounted all the same. */
static void announce(const char *mountpoint)
{
	AUTO(auto_free) char *answer = NULL;

	(void)(control_call(mountpoint, CONTROL_UNMOUNTING, 2000, &answer) == 0);
}

#define BUILT_MAX 1024u

/* What no process has open and keeps it in use all the same: "built on it: loop device ...", or nothing. */
static void built(const char *path, char text[BUILT_MAX])
{
	struct built_on found;

	(void)(built_on_below(path, &found) == 0); /* what was found is there in any case */
	int at = snprintf(text, BUILT_MAX, "%s", found.n ? "built on it: " : "");
	built_on_line(&found, text + at, BUILT_MAX - (size_t)at);
}

static int busy(const char *path)
{
	char text[BUILT_MAX];

	built(path, text);
	if (text[0])
		return cmd_fail(CMD_BUSY, "%s is in use; %s; fuser -vm %s names processes, if any", path, text, path);
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
	if (r == -EINVAL && mounts_is(path))
		return cmd_fail(CMD_BUSY, "something else is mounted over %s: unmount that first", path);
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

#define HELD_MAX (MOUNTS_PATH_MAX + BUILT_MAX + 64u)

/* Who keeps the daemon from ending, as a sentence without its full stop. */
static void held(const struct target *t, char text[HELD_MAX])
{
	char who[BUILT_MAX];
	bool here = mounts_is(t->path);

	if (holders_find("/proc", &t->mount, who) == 0)
		built(t->path, who);
	snprintf(text, HELD_MAX, "%s is %s: %s", t->path,
		 here ? "in use and stays mounted until it is not" : "unmounted, but the store is still in use",
		 who[0] ? who
		 : here ? "files are open in it, or it is the current folder of a process"
			: "its disk is slow, or a mount namespace that you may not look into has it");
}

/* Whoever else has the mount is not to go on with it. Did it work? */
static bool lock(const char *path)
{
	AUTO(auto_free) char *answer = NULL;

	return control_call(path, CONTROL_LOCK, LOCK_MS, &answer) == 0;
}

/* All was written back when the unmount returned. LOCKED: that was done. */
static int wait_end(const struct target *t, bool locked)
{
	int first = locked ? 0 : t->timeout_ms < TOLD_MS ? t->timeout_ms : TOLD_MS;
	char text[HELD_MAX];

	if (t->fd < 0 || ends_within(t->fd, first))
		return CMD_OK;
	locked = locked || lock(t->path);
	held(t, text);
	if (first < t->timeout_ms)
		cmd_warn("%s. %sWaiting for its end", text, locked ? "It is locked there. " : "");
	if (ends_within(t->fd, t->timeout_ms - first))
		return CMD_OK;
	held(t, text);
	return cmd_fail(CMD_STILL_HELD, "%s%s", text, locked ? ". It is locked there" : "");
}

/*
 * Somebody else has the mount: an unmount here would free its place while that one is served. So the daemon locks, keeps the place,
 * and unmounts when it is the last.
 */
static int hand_over(const struct target *t)
{
	AUTO(auto_free) char *answer = NULL;
	bool locked = lock(t->path);
	int r = control_call(t->path, CONTROL_UNMOUNT, LOCK_MS, &answer);

	if (r < 0)
		return cmd_fail(CMD_FAILED, "the daemon of %s does not answer: %s", t->path, strerror(-r));
	return wait_end(t, locked);
}

/* CMD_OK with path and time of T, -1 when the help was printed, or an error was. */
static int arguments(int argc, char **argv, struct target *t)
{
	uint64_t n;
	int c;

	t->timeout_ms = TIMEOUT_MS;
	while ((c = cmd_option(argc, argv, "h", longs)) != -1) {
		if (c == 'h') {
			fputs(help, stdout);
			return -1;
		}
		if (c != OPT_TIMEOUT)
			return CMD_USAGE;
		if (cmd_number(optarg, "smh", 0, TIMEOUT_MAX_S, &n) < 0)
			return cmd_usage("umount", "--timeout %s is not a time up to 24h", optarg);
		t->timeout_ms = (int)(n * 1000);
	}
	return ask_operand(argc, argv, t->path);
}

int cmd_umount(int argc, char **argv)
{
	struct target t = {0};
	char who[HOLDERS_TEXT_MAX];

	int r = arguments(argc, argv, &t);
	if (r != CMD_OK)
		return r < 0 ? CMD_OK : r;
	if (mountinfo_find(MOUNTINFO_SELF, t.path, &t.mount) < 0)
		return cmd_fail(CMD_NOT_FOUND, "no byokfs is mounted on %s", t.path);
	find_daemon(&t);
	AUTO(auto_close) int fd = t.fd;
	if (fd >= 0 && !t.second && holders_find("/proc", &t.mount, who) > 0)
		return hand_over(&t);
	if (fd >= 0)
		announce(t.path);
	r = unmount(t.path, fd);
	return r == CMD_OK && !t.second ? wait_end(&t, false) : r;
}
