/* SPDX-License-Identifier: BSD-2-Clause */
/* --protect-mountpoint: who may, what is told when the filesystem has no such flag, and that again is harmless. */
#include "tests/unit/said.h"

#include <linux/fs.h>
#include <sys/ioctl.h>

#include "tools/protect.h"

static int protect_path(const char *path)
{
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int code = fd < 0 ? CMD_NOT_FOUND : protect_mountpoint(fd, path);

	if (fd >= 0)
		close(fd);
	return code;
}

static bool is_immutable(const char *path)
{
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	bool is = protect_is_immutable(fd);

	if (fd >= 0)
		close(fd);
	return is;
}

static int protect(int argc, char **argv)
{
	(void)argc;
	return protect_path(argv[1]);
}

static int as_user(int argc, char **argv)
{
	(void)argc;
	uid_t before = geteuid();
	if (before == 0 && seteuid(65534) < 0)
		return -1;
	int code = protect_path(argv[1]);
	if (before == 0 && seteuid(before) < 0)
		return -1;
	return code;
}

/* The flags of PATH; false where its filesystem has none. */
static bool flags_of(const char *path, int *flags)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool known = fd >= 0 && ioctl(fd, FS_IOC_GETFLAGS, flags) == 0;

	if (fd >= 0)
		close(fd);
	return known;
}

/* So that the scratch folder can be removed. */
static void release(const char *path)
{
	int flags, fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0 && ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0) {
		flags &= ~FS_IMMUTABLE_FL;
		(void)ioctl(fd, FS_IOC_SETFLAGS, &flags);
	}
	if (fd >= 0)
		close(fd);
}

START_TEST(not_root)
{
	struct stat st;

	ck_assert_int_eq(mkdir("m", 0755), 0);
	ck_assert_int_eq(chmod(".", 0755), 0);
	SAID(as_user, "mount", "m");
	SAID_IS(CMD_NOT_ALLOWED, "",
		"byokfs: only root can protect the mount point m; without that option: chmod a-w on it\n");
	ck_assert_int_eq(stat("m", &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0755);
	ck_assert(!is_immutable("m"));
}
END_TEST

START_TEST(no_folder)
{
	ck_assert(!is_immutable("none"));
	said_put("file", "", 0);
	ck_assert(!is_immutable("file"));
}
END_TEST

/* Twice: the second time finds all as it is to be. Owner and mode always, immutable where the filesystem can. */
START_TEST(as_root)
{
	struct stat st;
	int flags = 0;

	if (geteuid() != 0)
		return;
	ck_assert_int_eq(mkdir("m", 0755), 0);
	ck_assert_int_eq(chown("m", 65534, 65534), 0);
	for (int i = 0; i < 2; i++) {
		SAID(protect, "mount", "m");
		ck_assert_int_eq(said.code, CMD_OK);
		ck_assert_str_eq(said.out, "");
		ck_assert_int_eq(stat("m", &st), 0);
		ck_assert(st.st_uid == 0 && st.st_gid == 0 && (st.st_mode & 07777) == 0);
		if (flags_of("m", &flags) && (flags & FS_IMMUTABLE_FL)) {
			ck_assert_str_eq(said.err, "");
			ck_assert(is_immutable("m"));
			ck_assert_int_lt(open("m/x", O_WRONLY | O_CREAT | O_CLOEXEC, 0600), 0);
		} else { /* told, and no failure */
			SAID_BEGINS(said.err, "byokfs: warning: m cannot be made immutable (");
			ck_assert_ptr_nonnull(
				strstr(said.err, "): while nothing is mounted there, root can still write to it\n"));
			ck_assert(!is_immutable("m"));
		}
	}
	/* an immutable folder with another mode is put right, too */
	if (is_immutable("m")) {
		release("m");
		ck_assert_int_eq(chmod("m", 0700), 0);
		int fd = open("m", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		ck_assert_int_eq(ioctl(fd, FS_IOC_SETFLAGS, &flags), 0);
		close(fd);
		SAID(protect, "mount", "m");
		SAID_IS(CMD_OK, "", "");
		ck_assert_int_eq(stat("m", &st), 0);
		ck_assert_uint_eq(st.st_mode & 07777, 0);
		ck_assert(is_immutable("m"));
	}
	release("m");
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {not_root, no_folder, as_root};

	return said_main("protect", said_scratch, tests, ARRAY_LEN(tests));
}
