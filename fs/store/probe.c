/* SPDX-License-Identifier: BSD-2-Clause */
/* Trying a filesystem: mergerfs, sshfs, NFS, FAT each lack something else, and say so only when it is asked for. */
#include "fs/store/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "fs/store/store_own.h"

#define TRIED_LEN 9000u /* more than a page, and not whole pages */

struct probe {
	int dir; /* a folder of our own in data/ */
	int fd;  /* the file "a" in it */
};

static int failed(bool bad)
{
	return bad ? -errno : 0;
}

/* What is there, but does something else than it should. */
static int differs(bool bad)
{
	return bad ? -EOPNOTSUPP : 0;
}

static int try_contents(struct probe *p)
{
	static const uint8_t wrote[TRIED_LEN] = {[0] = 'b', [TRIED_LEN - 1] = 'k'};
	uint8_t read[TRIED_LEN];
	struct stat st;

	int r = store_pwrite_full(p->fd, wrote, sizeof(wrote), 0);
	if (!r)
		r = store_pread_full(p->fd, read, sizeof(read), 0);
	if (!r)
		r = differs(memcmp(wrote, read, sizeof(read)) != 0);
	if (!r)
		r = failed(ftruncate(p->fd, 5000) < 0 || ftruncate(p->fd, 1 << 20) < 0 || fstat(p->fd, &st) < 0);
	return r ? r : differs(st.st_size != 1 << 20);
}

static int try_lock(struct probe *p)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	return failed(fcntl(p->fd, F_OFD_SETLK, &lock) < 0);
}

/* An inode is known by its number, by whatever name and however it was opened. */
static int try_inode(struct probe *p)
{
	struct stat st, now;

	int r = failed(fstat(p->fd, &st) < 0);
	if (!r)
		r = failed(renameat(p->dir, "a", p->dir, "b") < 0);
	if (!r)
		r = store_stat(p->dir, "b", &now);
	if (!r)
		r = failed(renameat(p->dir, "b", p->dir, "a") < 0);
	return r ? r : differs(st.st_ino != now.st_ino || st.st_dev != now.st_dev);
}

static int try_replace(struct probe *p)
{
	AUTO(auto_close) int other = store_open_file(p->dir, "c", O_RDWR | O_CREAT | O_EXCL);
	struct stat st, now;

	int r = other < 0 ? other : failed(fstat(other, &st) < 0 || renameat(p->dir, "c", p->dir, "a") < 0);
	if (!r)
		r = store_stat(p->dir, "a", &now);
	if (!r)
		r = failed(fstat(p->fd, &st) < 0); /* what was replaced lives on while it is open */
	return r ? r : differs(now.st_ino == st.st_ino);
}

static int try_long_name(struct probe *p)
{
	char name[NAME_LEN_MAX + 1];

	memset(name, 'n', NAME_LEN_MAX);
	name[NAME_LEN_MAX] = '\0';
	AUTO(auto_close) int fd = store_open_file(p->dir, name, O_RDWR | O_CREAT | O_EXCL);
	if (fd < 0)
		return fd;
	return failed(unlinkat(p->dir, name, 0) < 0);
}

static int try_modes(struct probe *p)
{
	struct stat st;

	int r = failed(fchmod(p->fd, 0640) < 0 || fstat(p->fd, &st) < 0);
	return r ? r : differs((st.st_mode & 07777) != 0640);
}

static int try_owners(struct probe *p)
{
	struct stat st;

	if (geteuid() != 0)
		return 0;
	int r = failed(fchown(p->fd, 1, 2) < 0 || fstat(p->fd, &st) < 0);
	return r ? r : differs(st.st_uid != 1 || st.st_gid != 2);
}

static int try_times(struct probe *p)
{
	const struct timespec times[2] = {{1000000001, 123456789}, {1000000001, 123456789}};
	struct stat st;

	int r = failed(futimens(p->fd, times) < 0 || fstat(p->fd, &st) < 0);
	return r ? r : differs(st.st_mtim.tv_sec != times[1].tv_sec);
}

static int try_links(struct probe *p)
{
	return failed(linkat(p->dir, "a", p->dir, "l", 0) < 0 || unlinkat(p->dir, "l", 0) < 0);
}

static int try_xattrs(struct probe *p)
{
	return failed(fsetxattr(p->fd, "user.byokfs", "probe", 5, 0) < 0);
}

static int try_acls(struct probe *p)
{
	static const uint8_t acl[] = {2, 0, 0,   0,   1,   0,   6,    0, 255, 255, 255, 255, 4,   0,
				      4, 0, 255, 255, 255, 255, 0x20, 0, 4,   0,   255, 255, 255, 255};

	return failed(fsetxattr(p->fd, "system.posix_acl_access", acl, sizeof(acl), 0) < 0);
}

static int try_holes(struct probe *p)
{
	return failed(fallocate(p->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) < 0);
}

static int try_exchange(struct probe *p)
{
	AUTO(auto_close) int other = store_open_file(p->dir, "x", O_RDWR | O_CREAT | O_EXCL);

	int r = other < 0 ? other : failed(renameat2(p->dir, "a", p->dir, "x", RENAME_EXCHANGE) < 0);
	(void)(unlinkat(p->dir, "x", 0) == 0);
	return r;
}

static const struct {
	int (*try)(struct probe *p);
	bool needed;
	const char *what;
} tries[] = {
	{try_contents, true, "files that can be written, read again, cut and grown"},
	{try_lock, true, "locks (F_OFD_SETLK)"},
	{try_inode, true, "inode numbers that stay when a file is renamed"},
	{try_long_name, true, "names of 255 bytes"},
	{try_modes, false, "permission bits"},
	{try_owners, false, "owners of files"},
	{try_times, false, "modification times"},
	{try_links, false, "hard links"},
	{try_xattrs, false, "extended attributes"},
	{try_acls, false, "access control lists"},
	{try_holes, false, "holes in files"},
	{try_exchange, false, "the exchange of two names"},
	{try_replace, true, "renaming over a file that is open"}, /* the last: afterwards `a` is another one */
};

/* Says nothing about the filesystem. */
static bool no_answer(int r)
{
	return r == -ENOSPC || r == -EDQUOT || r == -EIO || r == -EROFS || r == -EACCES || r == -EMFILE ||
	       r == -ENFILE || r == -ENOMEM;
}

static int try_all(struct probe *p, char lacks[STORE_WHY_MAX])
{
	size_t len = 0;

	for (size_t i = 0; i < ARRAY_LEN(tries); i++) {
		int r = tries[i].try(p);

		if (r == 0)
			continue;
		if (no_answer(r)) {
			lacks[0] = '\0';
			return r;
		}
		if (tries[i].needed) {
			snprintf(lacks, STORE_WHY_MAX, "%s", tries[i].what);
			return -EOPNOTSUPP;
		}
		len += (size_t)snprintf(lacks + len, STORE_WHY_MAX - len, "%s%s", len > 0 ? ", " : "", tries[i].what);
	}
	return 0;
}

static void clean(int data_fd, const char *name, struct probe *p)
{
	static const char *const left[] = {"a", "b", "c", "l", "x"};

	auto_close(&p->fd);
	for (size_t i = 0; p->dir >= 0 && i < ARRAY_LEN(left); i++)
		(void)(unlinkat(p->dir, left[i], 0) == 0);
	auto_close(&p->dir);
	(void)(unlinkat(data_fd, name, AT_REMOVEDIR) == 0);
}

int store_probe(int data_fd, char lacks[STORE_WHY_MAX])
{
	struct probe p = {.dir = -1, .fd = -1};
	char name[64];

	lacks[0] = '\0';
	snprintf(name, sizeof(name), STORE_TMP_PREFIX "probe.%d", (int)getpid());
	if (mkdirat(data_fd, name, 0700) < 0)
		return -errno;
	p.dir = store_openat(data_fd, name, O_RDONLY | O_DIRECTORY, 0);
	p.fd = p.dir < 0 ? p.dir : store_open_file(p.dir, "a", O_RDWR | O_CREAT | O_EXCL);
	int r = p.fd < 0 ? p.fd : try_all(&p, lacks);
	clean(data_fd, name, &p);
	return r;
}
