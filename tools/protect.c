/* SPDX-License-Identifier: BSD-2-Clause */
/* `byokfs mount --protect-mountpoint`: a target that is not mounted must not take the next backup in clear. */
#include "tools/protect.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/auto.h"

static int flags_get(int fd, int *flags)
{
	return ioctl(fd, FS_IOC_GETFLAGS, flags) < 0 ? -errno : 0;
}

static int flags_set(int fd, int flags)
{
	return ioctl(fd, FS_IOC_SETFLAGS, &flags) < 0 ? -errno : 0;
}

bool protect_is_immutable(int place)
{
	AUTO(auto_close) int fd = openat(place, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int flags = 0;

	return fd >= 0 && flags_get(fd, &flags) == 0 && (flags & FS_IMMUTABLE_FL) != 0;
}

static const char *flags_error(int r)
{
	if (r == -ENOTTY || r == -EOPNOTSUPP || r == -ENOSYS)
		return "its filesystem has no such flag";
	return strerror(-r);
}

/* Owner and mode; an immutable folder must be opened up for it. */
static void owner_set(int fd, const char *path, bool immutable, int flags)
{
	if (immutable && flags_set(fd, flags & ~FS_IMMUTABLE_FL) < 0)
		cmd_warn("%s is immutable, and its owner or mode cannot be changed", path);
	else if (fchown(fd, 0, 0) < 0 || fchmod(fd, 0) < 0)
		cmd_warn("%s cannot be made root's with mode 0000: %s", path, strerror(errno));
}

int protect_mountpoint(int place, const char *path)
{
	AUTO(auto_close) int fd = openat(place, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;
	int flags = 0;

	if (geteuid() != 0)
		return cmd_fail(CMD_NOT_ALLOWED,
				"only root can protect the mount point %s; without that option: chmod a-w on it", path);
	if (fd < 0 || fstat(fd, &st) < 0)
		return cmd_fail(cmd_exit_of(-errno), "mount point %s: %s", path, strerror(errno));
	int r = flags_get(fd, &flags);
	bool immutable = r == 0 && (flags & FS_IMMUTABLE_FL) != 0;
	bool owned = st.st_uid == 0 && st.st_gid == 0 && (st.st_mode & 07777) == 0;
	if (!owned)
		owner_set(fd, path, immutable, flags);
	if (r == 0 && !(immutable && owned))
		r = flags_set(fd, flags | FS_IMMUTABLE_FL);
	if (r < 0)
		cmd_warn("%s cannot be made immutable (%s): while nothing is mounted there, root can still write to it",
			 path, flags_error(r));
	return CMD_OK;
}
