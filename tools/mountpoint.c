/* SPDX-License-Identifier: BSD-2-Clause */
/* The mount point: checked by a descriptor that is kept, for whoever owns a folder above may change what its path means. */
#include "tools/mountpoint.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "kms/clock.h"
#include "tools/cmd.h"
#include "tools/daemon.h"
#include "tools/leaving.h"
#include "tools/protect.h"

void mountpoint_close(struct mountpoint *p)
{
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
}

/* An unmounted target that can be written sends the next backup in clear to the bare folder. */
static int warn_writable(int place, const char *path)
{
	char link[48];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", place);
	if (access(link, W_OK) < 0 || protect_is_immutable(place))
		return CMD_OK;
	cmd_warn(
		"%s can be written while nothing is mounted there: a backup that runs then lands in it unencrypted. %s",
		path,
		geteuid() == 0 ? "--protect-mountpoint prevents that"
			       : "To prevent that: chmod a-w on it, while it is unmounted");
	return CMD_OK;
}

static bool is_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return strncmp(path, dir, n) == 0 && (path[n] == 0 || path[n] == '/');
}

static int open_error(const char *path, int r)
{
	if (r == -ENOTDIR)
		return cmd_fail(CMD_NOT_FOUND, "mount point %s is not a folder", path);
	if (r == -ESTALE || r == -ELOOP)
		return cmd_fail(CMD_NOT_FOUND, "mount point %s: it, or a folder above, was moved at this moment", path);
	return cmd_fail(cmd_exit_of(r), "mount point %s: %s", path, strerror(-r));
}

static int bare_open(struct mountpoint *p)
{
	char link[48];
	bool empty;

	p->fd = mnt_place_open(p->path);
	if (p->fd < 0)
		return open_error(p->path, p->fd);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", p->fd);
	int r = cmd_folder_empty(link, &empty);
	if (r < 0)
		return cmd_fail(cmd_exit_of(r), "mount point %s: %s", p->path, strerror(-r));
	if (!empty)
		return cmd_fail(CMD_BUSY,
				"mount point %s is not empty: what lies in it would be hidden. Move it away first",
				p->path);
	return p->bare(p->fd, p->path);
}

int mountpoint_open(const struct mount_options *m, struct mountpoint *p)
{
	char store[MOUNTS_PATH_MAX];

	p->fd = -1;
	p->bare = m->protect_mountpoint ? protect_mountpoint : warn_writable;
	int r = mounts_canonical(m->mountpoint, p->path);
	if (r < 0)
		return cmd_fail(cmd_exit_of(r), "mount point %s: %s%s", m->mountpoint, strerror(-r),
				r == -ENOENT ? ": make the folder first" : "");
	if (realpath(m->open.path, store) && is_below(p->path, store))
		return cmd_fail(CMD_USAGE, "mount point %s lies in the store %s: the store would be hidden below it",
				p->path, store);
	/* killed a moment ago: it serves until it is locked, or until the other process has noticed */
	for (int ms = 0; leaving_mount(p->path) && ms < LEAVING_MAX_MS; ms += LEAVING_LOOK_MS)
		clock_pause(LEAVING_LOOK_MS);
	if (!mounts_is(p->path))
		return bare_open(p);
	/* A daemon that was killed leaves a mount that answers nothing but errors. It stays until the new one comes. */
	if (!mounts_is_dead(p->path))
		return cmd_fail(CMD_BUSY, "a byokfs is mounted on %s already: byokfs status %s", p->path, p->path);
	return CMD_OK;
}

/* As many as there are: one may lie on another. */
static int clear_dead(const char *path, char why[STORE_WHY_MAX])
{
	char text[MOUNTS_PATH_MAX + 64];

	while (mounts_is(path)) {
		if (!mounts_is_dead(path)) {
			snprintf(why, STORE_WHY_MAX, "a byokfs is mounted on it already");
			return -EBUSY;
		}
		int r = mounts_umount(path, true);
		if (r < 0) {
			snprintf(why, STORE_WHY_MAX, "the mount of a byokfs that died cannot be unmounted: %s",
				 strerror(-r));
			return r;
		}
		snprintf(text, sizeof(text), "unmounted the remains of a byokfs that died on %s", path);
		daemon_log(LOG_WARNING, text);
	}
	return 0;
}

int mountpoint_mount(const struct mnt_config *cfg, int *fd, char why[STORE_WHY_MAX])
{
	int r = clear_dead(cfg->mountpoint, why);

	return r ? r : mnt_mount(cfg, fd, why);
}
