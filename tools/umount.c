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
#include "tools/ask.h"
#include "tools/mounts.h"

#define END_TIMEOUT_MS 60000

static const char help[] = "Usage: byokfs umount MOUNTPOINT\n"
			   "Unmount, and wait until the store is closed: it can be mounted again, copied or taken away "
			   "at once. A mount whose\n"
			   "daemon has died is cleared away.\n"
			   "\n"
			   "  -h, --help   this text\n"
			   "\n"
			   "Example:\n"
			   "  byokfs umount /mnt/backup\n";

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

static int wait_end(const char *path, int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int r;

	if (fd < 0)
		return CMD_OK;
	while ((r = poll(&p, 1, END_TIMEOUT_MS)) < 0 && errno == EINTR)
		;
	if (r == 0)
		return cmd_fail(
			CMD_FAILED,
			"%s is unmounted, but its daemon has not ended after %d s: the store is in use until it has. "
			"Open files, or another mount namespace (a container, a service with PrivateTmp), still hold "
			"the mount",
			path, END_TIMEOUT_MS / 1000);
	return CMD_OK;
}

int cmd_umount(int argc, char **argv)
{
	char path[MOUNTS_PATH_MAX];

	int r = ask_mountpoint(argc, argv, help, path);
	if (r != CMD_OK)
		return r < 0 ? CMD_OK : r;
	if (!mounts_is(path))
		return cmd_fail(CMD_NOT_FOUND, "no byokfs is mounted on %s", path);
	AUTO(auto_close) int fd = daemon_fd(path);
	if (fd >= 0)
		announce(path);
	r = unmount(path, fd);
	return r == CMD_OK ? wait_end(path, fd) : r;
}
