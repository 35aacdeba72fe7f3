/* SPDX-License-Identifier: BSD-2-Clause */
/* Mounting as root by mount(2), as a plain user through fusermount3. */
#include "fs/watch/mnt.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
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

/* The folder */

static void fd_link(int fd, char out[48])
{
	snprintf(out, 48, "/proc/self/fd/%d", fd);
}

/* 0 while PLACE still has the name MOUNTPOINT. */
static int place_named(int place, const char *mountpoint)
{
	char link[48], now[4096];

	fd_link(place, link);
	ssize_t n = readlink(link, now, sizeof(now));
	if (n < 0)
		return -errno;
	return (size_t)n == strlen(mountpoint) && memcmp(now, mountpoint, (size_t)n) == 0 ? 0 : -ESTALE;
}

int mnt_place_open(const char *mountpoint)
{
	AUTO(auto_close) int fd = open(mountpoint, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int r = fd < 0 ? -errno : place_named(fd, mountpoint);

	if (r)
		return r;
	r = fd;
	fd = -1;
	return r;
}

static int place_empty(int place)
{
	int fd = openat(place, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;
	int r = dir ? 0 : -errno;

	while (dir && !r && (e = readdir(dir)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			r = -ENOTEMPTY;
	if (dir)
		closedir(dir);
	else if (fd >= 0)
		close(fd);
	return r;
}

/* What lies on PLACE now is the mount that the table has under its name. */
static int place_mounted(int place, const char *mountpoint)
{
	const char *name = strrchr(mountpoint, '/') + 1;
	struct mountinfo m;
	AUTO(auto_close) int above = openat(place, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
	AUTO(auto_close) int top = above < 0 ? -1 : openat(above, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return top >= 0 && mountinfo_find(MOUNTINFO_SELF, mountpoint, &m) == 0 &&
			       mount_holds(top, &(struct mount_num){.id = m.id})
		       ? 0
		       : -ESTALE;
}

/* Mounting */

static int mount_as_root(const struct mnt_config *cfg, int place, int *fd, char why[STORE_WHY_MAX])
{
	char opts[1024], target[48];

	fd_link(place, target);
	*fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (*fd < 0)
		return explain(-errno, why, "cannot open", "/dev/fuse (is the fuse module loaded?)");
	snprintf(opts, sizeof(opts), "fd=%d,rootmode=%o,user_id=%u,group_id=%u,default_permissions,max_read=%u%s%s",
		 *fd, S_IFDIR, getuid(), getgid(), MAX_READ, cfg->allow_other ? ",allow_other" : "",
		 cfg->security ? cfg->security : "");
	if (mount(cfg->source, target, MOUNTINFO_TYPE, cfg->mount_flags | (cfg->read_only ? MS_RDONLY : 0), opts)) {
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
		opts, len, "default_permissions,subtype=byokfs,max_read=%u%s%s%s%s%s%s,fsname=", MAX_READ,
		cfg->read_only ? ",ro" : "", cfg->allow_other ? ",allow_other" : "",
		cfg->mount_flags & MS_NOSUID ? ",nosuid" : "", cfg->mount_flags & MS_NODEV ? ",nodev" : "",
		cfg->mount_flags & MS_NOEXEC ? ",noexec" : "", cfg->security ? cfg->security : "");

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
static void exec_fusermount(char *const argv[], int place, int sock)
{
	char commfd[32];
	char *const env[] = {commfd, (char[]){"PATH=/usr/local/bin:/usr/bin:/bin"}, NULL};
	sigset_t none;

	snprintf(commfd, sizeof(commfd), "_FUSE_COMMFD=%d", sock);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (sock >= 0)
		fcntl(sock, F_SETFD, 0);
	if (place >= 0 && fchdir(place) < 0)
		_exit(1);
	execve("/usr/bin/" FUSERMOUNT, argv, env);
	execve("/bin/" FUSERMOUNT, argv, env);
	_exit(127);
}

/* PLACE: its current folder, -1 = ours. */
static int run_fusermount(char *const argv[], int place, int sock)
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid == 0)
		exec_fusermount(argv, place, sock);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return -ENOENT;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EPERM;
}

static int mount_as_user(const struct mnt_config *cfg, int place, int *fd, char why[STORE_WHY_MAX])
{
	char opts[8192], byte;
	char *argv[] = {(char[]){FUSERMOUNT}, (char[]){"-o"}, opts, (char[]){"--"}, (char[]){"."}, NULL};
	int sock[2], r = user_options(cfg, opts, sizeof(opts));

	if (r)
		return explain(r, why, "the path is too long:", cfg->source);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock))
		return explain(-errno, why, "cannot talk to", FUSERMOUNT);
	r = run_fusermount(argv, place, sock[0]);
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

static int mount_on(const struct mnt_config *cfg, int place, int *fd, char why[STORE_WHY_MAX])
{
	int r = place_named(place, cfg->mountpoint);

	if (r)
		return explain(r, why, "moved since it was checked:", cfg->mountpoint);
	r = place_empty(place);
	if (r)
		return explain(r == -ENOTEMPTY ? -EBUSY : r, why, "cannot use the mount point",
			       r == -ENOTEMPTY ? "(it is not empty)" : cfg->mountpoint);
	r = geteuid() == 0 ? mount_as_root(cfg, place, fd, why) : mount_as_user(cfg, place, fd, why);
	if (r || place_mounted(place, cfg->mountpoint) == 0)
		return r;
	/* with its last descriptor the connection ends, wherever it was moved */
	auto_close(fd);
	return explain(-ESTALE, why, "moved while it was mounted:", cfg->mountpoint);
}

int mnt_mount(const struct mnt_config *cfg, int *fd, char why[STORE_WHY_MAX])
{
	if (cfg->place_fd >= 0)
		return mount_on(cfg, cfg->place_fd, fd, why);
	AUTO(auto_close) int place = mnt_place_open(cfg->mountpoint);
	if (place < 0)
		return explain(place, why, "cannot use the mount point", cfg->mountpoint);
	if (cfg->bare && cfg->bare(place, cfg->mountpoint))
		return explain(-EPERM, why, "cannot use the mount point", cfg->mountpoint);
	return mount_on(cfg, place, fd, why);
}

/* Unmounting */

int mnt_umount_at(const char *path, const struct mount_num *n, int flags)
{
	char above[4096], target[48 + NAME_MAX + 1];
	const char *slash = strrchr(path, '/');

	if (!slash || strlen(slash + 1) > NAME_MAX || (size_t)(slash - path) >= sizeof(above))
		return -EINVAL;
	snprintf(above, sizeof(above), "%.*s", slash == path ? 1 : (int)(slash - path), path);
	AUTO(auto_close) int dir = open(above, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	int top = openat(dir, slash + 1, O_PATH | O_NOFOLLOW | O_CLOEXEC); /* a file, where one was mounted by itself */
	bool holds = top >= 0 && mount_holds(top, n);
	if (top >= 0)
		close(top); /* it would keep the mount busy */
	if (!holds)
		return -EINVAL;
	/* The name cannot be changed as long as something is mounted on it, and the folder above is held. */
	snprintf(target, sizeof(target), "/proc/self/fd/%d/%s", dir, slash + 1);
	return umount2(target, UMOUNT_NOFOLLOW | flags) ? -errno : 0;
}

static int umount_as_user(char *path, bool detach)
{
	char *plain[] = {(char[]){FUSERMOUNT}, (char[]){"-u"}, (char[]){"-q"}, (char[]){"--"}, path, NULL};
	char *lazy[] = {
		(char[]){FUSERMOUNT}, (char[]){"-u"}, (char[]){"-q"}, (char[]){"-z"}, (char[]){"--"}, path, NULL};
	int r = run_fusermount(detach ? lazy : plain, -1, -1);

	return r == -EPERM ? -EBUSY : r;
}

int mnt_umount(const char *mountpoint, const struct mount_num *n, bool detach)
{
	char path[4096];
	struct mountinfo m;
	struct mount_num now = *n;
	int r = n->id ? mountinfo_path(MOUNTINFO_SELF, n->id, path, sizeof(path))
		      : mountinfo_find(MOUNTINFO_SELF, mountpoint, &m);

	if (r)
		return r == -ENOENT ? -EINVAL : r;
	if (!n->id) {
		now.id = m.id;
		snprintf(path, sizeof(path), "%s", mountpoint);
	}
	if (geteuid() == 0)
		return mnt_umount_at(path, &now, detach ? MNT_DETACH : 0);
	return mount_in_place(path, &now) ? umount_as_user(path, detach) : -EINVAL;
}
