/* SPDX-License-Identifier: BSD-2-Clause */
/* Mounting as root by mount(2), as a plain user through fusermount3. */
#include "fs/watch/mnt.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "fs/watch/link.h"
#include "fs/watch/mountinfo.h"

#define MAX_READ (1u << 20)
#define FUSERMOUNT "fusermount3"

static int explain(int r, char why[STORE_WHY_MAX], const char *what, const char *path)
{
	snprintf(why, STORE_WHY_MAX, "%s %s: %s", what, path, strerror(-r));
	return r;
}

static int mount_as_root(const struct mnt_config *cfg, const struct stat *st, int *fd, char why[STORE_WHY_MAX])
{
	char opts[256];

	*fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (*fd < 0)
		return explain(-errno, why, "cannot open", "/dev/fuse (is the fuse module loaded?)");
	snprintf(opts, sizeof(opts), "fd=%d,rootmode=%o,user_id=%u,group_id=%u,default_permissions,max_read=%u%s", *fd,
		 st->st_mode & S_IFMT, getuid(), getgid(), MAX_READ, cfg->allow_other ? ",allow_other" : "");
	if (mount(cfg->source, cfg->mountpoint, MOUNTINFO_TYPE, cfg->mount_flags | (cfg->read_only ? MS_RDONLY : 0),
		  opts)) {
		int r = -errno;

		close(*fd);
		return explain(r, why, "cannot mount on", cfg->mountpoint);
	}
	return 0;
}

/* fusermount3's -o argument; a comma or backslash in the store's path is escaped for it. */
static int user_options(const struct mnt_config *cfg, char *opts, size_t len)
{
	size_t n = (size_t)snprintf(
		opts, len, "default_permissions,subtype=byokfs,max_read=%u%s%s%s%s%s,fsname=", MAX_READ,
		cfg->read_only ? ",ro" : "", cfg->allow_other ? ",allow_other" : "",
		cfg->mount_flags & MS_NOSUID ? ",nosuid" : "", cfg->mount_flags & MS_NODEV ? ",nodev" : "",
		cfg->mount_flags & MS_NOEXEC ? ",noexec" : "");

	for (const char *p = cfg->source; *p; p++) {
		if (n + 3 > len)
			return -ENAMETOOLONG;
		if (*p == ',' || *p == '\\')
			opts[n++] = '\\';
		opts[n++] = *p;
	}
	opts[n] = '\0';
	return 0;
}

/* Only what fusermount3 needs of the environment is passed on. */
static void exec_fusermount(char *const argv[], int sock)
{
	char commfd[32];
	char *const env[] = {commfd, (char[]){"PATH=/usr/local/bin:/usr/bin:/bin"}, NULL};
	sigset_t none;

	snprintf(commfd, sizeof(commfd), "_FUSE_COMMFD=%d", sock);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (sock >= 0)
		fcntl(sock, F_SETFD, 0);
	execve("/usr/bin/" FUSERMOUNT, argv, env);
	execve("/bin/" FUSERMOUNT, argv, env);
	_exit(127);
}

static int run_fusermount(char *const argv[], int sock)
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid == 0)
		exec_fusermount(argv, sock);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return -ENOENT;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EPERM;
}

static int mount_as_user(const struct mnt_config *cfg, int *fd, char why[STORE_WHY_MAX])
{
	char opts[8192], mountpoint[4096], byte;
	char *argv[] = {(char[]){FUSERMOUNT}, (char[]){"-o"}, opts, (char[]){"--"}, mountpoint, NULL};
	int sock[2], r = user_options(cfg, opts, sizeof(opts));

	if (r)
		return explain(r, why, "the path is too long:", cfg->source);
	snprintf(mountpoint, sizeof(mountpoint), "%s", cfg->mountpoint);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock))
		return explain(-errno, why, "cannot talk to", FUSERMOUNT);
	r = run_fusermount(argv, sock[0]);
	close(sock[0]);
	*fd = r;
	if (!r && link_take(sock[1], &byte, 1, fd) <= 0)
		auto_close(fd);
	if (!r && *fd < 0)
		*fd = -EPERM;
	close(sock[1]);
	if (r == -ENOENT)
		return explain(r, why, "a plain user's mount needs", FUSERMOUNT " (package fuse3)");
	return *fd < 0 ? explain(*fd, why, FUSERMOUNT " refused to mount on", cfg->mountpoint) : 0;
}

int mnt_mount(const struct mnt_config *cfg, int *fd, char why[STORE_WHY_MAX])
{
	struct stat st;

	if (stat(cfg->mountpoint, &st))
		return explain(-errno, why, "cannot use the mount point", cfg->mountpoint);
	if (!S_ISDIR(st.st_mode))
		return explain(-ENOTDIR, why, "cannot use the mount point", cfg->mountpoint);
	return geteuid() == 0 ? mount_as_root(cfg, &st, fd, why) : mount_as_user(cfg, fd, why);
}

int mnt_umount(const char *mountpoint, bool detach)
{
	char path[4096];
	char *plain[] = {(char[]){FUSERMOUNT}, (char[]){"-u"}, (char[]){"-q"}, (char[]){"--"}, path, NULL};
	char *lazy[] = {
		(char[]){FUSERMOUNT}, (char[]){"-u"}, (char[]){"-q"}, (char[]){"-z"}, (char[]){"--"}, path, NULL};

	if (geteuid() == 0)
		return umount2(mountpoint, UMOUNT_NOFOLLOW | (detach ? MNT_DETACH : 0)) ? -errno : 0;
	snprintf(path, sizeof(path), "%s", mountpoint);
	int r = run_fusermount(detach ? lazy : plain, -1);
	return r == -EPERM ? -EBUSY : r;
}
