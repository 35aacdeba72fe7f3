/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the control socket lies: bound, found by the mount's device number too, and taken away again. */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "fs/mount/control_private.h"
#include "fs/watch/control_own.h"

/* A socket that nobody listens on is left over from a daemon that was killed. */
static int address_free(const struct sockaddr_un *a)
{
	AUTO(auto_close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)a, sizeof(*a)) == 0 || errno == EAGAIN)
		return -EADDRINUSE;
	if (unlink(a->sun_path) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

/* Links of earlier daemons of this mount point, which were killed: their numbers are another mount's by now. */
static void unlink_stale(const char *dir, const char *socket_name)
{
	char target[sizeof(((struct sockaddr_un *)0)->sun_path)];
	DIR *stream = opendir(dir);

	for (const struct dirent *e; stream && (e = readdir(stream));) {
		ssize_t n = readlinkat(dirfd(stream), e->d_name, target, sizeof(target) - 1);

		if (n < 0)
			continue;
		target[n] = '\0';
		if (strcmp(target, socket_name) == 0)
			(void)unlinkat(dirfd(stream), e->d_name, 0);
	}
	if (stream)
		closedir(stream);
}

/* So that the mount is found by other paths as well; without it, by its own only. */
static void link_device(struct control_socket *c, const char *mountpoint, const char *dir)
{
	char device[CONTROL_DEVICE_MAX];

	unlink_stale(dir, strrchr(c->address.sun_path, '/') + 1);
	if (control_device(mountpoint, device) || control_address(dir, device, &c->device))
		return;
	if (unlink(c->device.sun_path) < 0 && errno != ENOENT)
		return;
	if (symlink(strrchr(c->address.sun_path, '/') + 1, c->device.sun_path) < 0)
		c->device.sun_path[0] = '\0';
}

int control_socket_open(struct control_socket *c, const char *mountpoint)
{
	char dir[sizeof(c->address.sun_path)];
	int r = control_dir_make(dir, sizeof(dir));
	if (r == 0)
		r = control_address(dir, mountpoint, &c->address);
	if (r == 0)
		r = address_free(&c->address);
	if (r < 0)
		return r;
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->fd < 0)
		return -errno;
	/* before the bind: what lies at the name afterwards might be another's */
	if (fchmod(c->fd, 0600) < 0)
		return -errno;
	if (bind(c->fd, (const struct sockaddr *)&c->address, sizeof(c->address)) < 0)
		return -errno;
	if (listen(c->fd, CONTROL_CLIENTS) < 0)
		return -errno;
	link_device(c, mountpoint, dir);
	return 0;
}

void control_socket_close(struct control_socket *c)
{
	if (c->fd >= 0)
		unlink(c->address.sun_path);
	if (c->device.sun_path[0])
		unlink(c->device.sun_path);
	auto_close(&c->fd);
}
