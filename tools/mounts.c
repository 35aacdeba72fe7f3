/* SPDX-License-Identifier: BSD-2-Clause */
/* The kernel's mount table, and taking an entry out of it. */
#include "tools/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
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
#include "tools/cmd.h"

#define ALIVE_TIMEOUT_MS 2000u

int mounts_canonical(const char *path, char out[MOUNTS_PATH_MAX])
{
	char copy[MOUNTS_PATH_MAX], copy2[MOUNTS_PATH_MAX], parent[PATH_MAX];

	if (realpath(path, out) != NULL)
		return 0;
	int error = -errno;
	if (error == -ENOENT || strlen(path) >= sizeof(copy))
		return error;
	memcpy(copy, path, strlen(path) + 1);
	memcpy(copy2, path, strlen(path) + 1);
	const char *last = basename(copy2);
	if (strcmp(last, ".") == 0 || strcmp(last, "..") == 0 || realpath(dirname(copy), parent) == NULL)
		return error;
	int n = snprintf(out, MOUNTS_PATH_MAX, "%s/%s", strcmp(parent, "/") == 0 ? "" : parent, last);
	return n < 0 || (size_t)n >= MOUNTS_PATH_MAX ? -ENAMETOOLONG : 0;
}

void mounts_free(char **list)
{
	for (char **p = list; p != NULL && *p != NULL; p++)
		free(*p);
	free(list);
}

/* The mount point of a line of mountinfo if it is one of ours, malloc'ed, else NULL. */
static char *line_mount(const char *line)
{
	const char *dash = strstr(line, " - ");
	char *path = NULL;

	if (dash == NULL || strncmp(dash + 3, MOUNTS_TYPE " ", sizeof(MOUNTS_TYPE)) != 0)
		return NULL;
	if (sscanf(line, "%*s %*s %*s %*s %ms", &path) != 1)
		return NULL;
	control_unescape(path);
	return path;
}

/* Takes PATH over. */
static int list_add(char ***list, size_t *n, char *path)
{
	char **more = path == NULL ? NULL : realloc(*list, (*n + 2) * sizeof(*more));

	if (more == NULL) {
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
	AUTO(cmd_free_at) char *line = NULL;
	size_t size = 0, n = 0;
	char **list = calloc(1, sizeof(*list));
	FILE *f = fopen("/proc/self/mountinfo", "re");
	int r = list == NULL ? -ENOMEM : f == NULL ? -errno : 0;

	while (r == 0 && getline(&line, &size, f) > 0) {
		char *path = line_mount(line);
		if (path != NULL)
			r = list_add(&list, &n, path);
	}
	if (f != NULL)
		fclose(f);
	if (r < 0)
		mounts_free(list);
	else
		*out = list;
	return r;
}

int mounts_is(const char *mountpoint)
{
	char **list;
	int found = 0, r = mounts_list(&list);

	if (r < 0)
		return r;
	for (char **p = list; *p != NULL; p++)
		found |= strcmp(*p, mountpoint) == 0;
	mounts_free(list);
	return found;
}

/* statfs(2) in a child of ours: a connection that nobody serves and nobody ends would keep the caller for good. */
static int statfs_error(const char *mountpoint)
{
	struct pollfd p = {.events = POLLIN};
	struct statfs st;
	int status = 0, late;

	pid_t pid = fork();
	if (pid < 0)
		return errno;
	if (pid == 0) /* not stat(): the kernel would answer from its cache */
		_exit(statfs(mountpoint, &st) < 0 ? errno : 0);
	AUTO(auto_close) int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	p.fd = fd;
	late = fd >= 0 && poll(&p, 1, (int)ALIVE_TIMEOUT_MS) == 0;
	if (late)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return late ? ETIMEDOUT : WIFEXITED(status) ? WEXITSTATUS(status) : 0;
}

int mounts_is_dead(const char *mountpoint)
{
	char *answer = NULL;

	/* Who listens is alive, or hangs. */
	int r = control_call(mountpoint, CONTROL_STATUS, ALIVE_TIMEOUT_MS, &answer);
	free(answer);
	if (r != -ENOENT)
		return 0;
	int error = statfs_error(mountpoint);
	return error == ENOTCONN || error == ECONNABORTED || error == ETIMEDOUT;
}

/* Mounted by us (user_id= of the mount table)? Unknown counts as yes. */
static int is_mine(const char *mountpoint)
{
	AUTO(cmd_free_at) char *line = NULL;
	size_t size = 0;
	unsigned uid = geteuid();
	FILE *f = fopen("/proc/self/mountinfo", "re");

	while (f != NULL && getline(&line, &size, f) > 0) {
		AUTO(cmd_free_at) char *path = line_mount(line);
		const char *opt = strstr(line, "user_id=");
		if (path != NULL && opt != NULL && strcmp(path, mountpoint) == 0 &&
		    sscanf(opt, "user_id=%u", &uid) != 1)
			uid = geteuid();
	}
	if (f != NULL)
		fclose(f);
	return uid == geteuid();
}

/* fusermount3 -u: the only way for a user, and it checks that the mount is his. */
static int fusermount(const char *mountpoint, int detach)
{
	char prog[] = "fusermount3", u[] = "-u", q[] = "-q", z[] = "-z", end[] = "--";
	char *path = strdup(mountpoint);
	char *with[] = {prog, u, q, z, end, path, NULL}, *without[] = {prog, u, q, end, path, NULL};
	pid_t pid;
	int status;

	if (path == NULL)
		return -ENOMEM;
	if (!is_mine(mountpoint)) {
		free(path);
		return -EPERM;
	}
	int r = -posix_spawnp(&pid, prog, NULL, NULL, detach ? with : without, environ);
	free(path);
	if (r < 0)
		return r;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	/* It does not tell why; what is still mounted is most often in use. */
	return mounts_is(mountpoint) == 1 ? -EBUSY : 0;
}

int mounts_umount(const char *mountpoint, int detach)
{
	if (geteuid() != 0)
		return fusermount(mountpoint, detach);
	/* Forced first: that ends a connection whose processes were both killed while they waited for it. */
	if (detach && umount2(mountpoint, UMOUNT_NOFOLLOW | MNT_FORCE) == 0)
		return 0;
	return umount2(mountpoint, UMOUNT_NOFOLLOW | (detach ? MNT_DETACH : 0)) < 0 ? -errno : 0;
}
