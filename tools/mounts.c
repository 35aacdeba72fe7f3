/* SPDX-License-Identifier: BSD-2-Clause */
/* The kernel's mount table, and taking an entry out of it. */
#include "tools/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "fs/watch/control.h"
#include "fs/watch/mnt.h"
#include "fs/watch/mountinfo.h"

#define ALIVE_TIMEOUT_MS 2000u

int mounts_canonical(const char *path, char out[MOUNTS_PATH_MAX])
{
	char copy[MOUNTS_PATH_MAX], copy2[MOUNTS_PATH_MAX], parent[PATH_MAX];

	if (realpath(path, out))
		return 0;
	int error = -errno;
	if (error == -ENOENT || strlen(path) >= sizeof(copy))
		return error;
	memcpy(copy, path, strlen(path) + 1);
	memcpy(copy2, path, strlen(path) + 1);
	const char *last = basename(copy2);
	if (strcmp(last, ".") == 0 || strcmp(last, "..") == 0 || !realpath(dirname(copy), parent))
		return error;
	int n = snprintf(out, MOUNTS_PATH_MAX, "%s/%s", strcmp(parent, "/") == 0 ? "" : parent, last);
	return n < 0 || (size_t)n >= MOUNTS_PATH_MAX ? -ENAMETOOLONG : 0;
}

void mounts_free(char **list)
{
	for (char **p = list; p && *p; p++)
		free(*p);
	free(list);
}

/* Takes PATH over. */
static int list_add(char ***list, size_t *n, char *path)
{
	char **more = path ? realloc(*list, (*n + 2) * sizeof(*more)) : NULL;

	if (!more) {
		free(path);
		return -ENOMEM;
	}
	more[(*n)++] = path;
	more[*n] = NULL;
	*list = more;
	return 0;
}

int mounts_list(char ***out)
{
	struct mountinfo_reader reader;
	struct mountinfo m;
	char **list = calloc(1, sizeof(*list));
	size_t n = 0;
	int r = mountinfo_open(&reader, MOUNTINFO_SELF);

	if (!list)
		r = -ENOMEM;
	while (r == 0 && mountinfo_next(&reader, &m))
		r = list_add(&list, &n, strdup(m.path));
	mountinfo_close(&reader);
	if (r < 0)
		mounts_free(list);
	else
		*out = list;
	return r;
}

bool mounts_is(const char *mountpoint)
{
	struct mountinfo m;

	return mountinfo_find(MOUNTINFO_SELF, mountpoint, &m) == 0;
}

/* statfs(2) in a child of ours: a connection that nobody serves and nobody ends would hold the caller for ever. */
static int statfs_error(const char *mountpoint)
{
	struct pollfd p = {.events = POLLIN};
	struct statfs st;
	int status = 0;

	pid_t pid = fork();
	if (pid < 0)
		return errno;
	if (pid == 0) /* not stat(): the kernel would answer from its cache */
		_exit(statfs(mountpoint, &st) < 0 ? errno : 0);
	AUTO(auto_close) int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	p.fd = fd;
	bool late = fd >= 0 && poll(&p, 1, (int)ALIVE_TIMEOUT_MS) == 0;
	if (late)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return late ? ETIMEDOUT : WIFEXITED(status) ? WEXITSTATUS(status) : 0;
}

bool mounts_is_dead(const char *mountpoint)
{
	char *answer = NULL;

	/* Whoever listens is alive, or hangs. */
	int r = control_call(mountpoint, CONTROL_STATUS, ALIVE_TIMEOUT_MS, &answer);
	free(answer);
	if (r != -ENOENT)
		return false;
	int error = statfs_error(mountpoint);
	return error == ENOTCONN || error == ECONNABORTED || error == ETIMEDOUT;
}

int mounts_umount(const char *mountpoint, bool detach)
{
	struct mountinfo m;
	int r = mountinfo_find(MOUNTINFO_SELF, mountpoint, &m);

	if (r)
		return r == -ENOENT ? 0 : r; /* gone meanwhile */
	const struct mount_num n = {.id = m.id};
	if (geteuid() != 0) {
		if (m.has_owner && m.owner != geteuid())
			return -EPERM;
		r = mnt_umount(mountpoint, &n, detach);
		/* fusermount3 does not tell why; what is still mounted is most often in use */
		return r == -EBUSY && !mounts_is(mountpoint) ? 0 : r;
	}
	/* Forced first: that ends a connection whose processes were both killed while they waited for it. */
	if (detach && mnt_umount_at(mountpoint, &n, MNT_FORCE) == 0)
		return 0;
	return mnt_umount(mountpoint, &n, detach);
}
