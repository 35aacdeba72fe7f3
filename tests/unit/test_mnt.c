/* SPDX-License-Identifier: BSD-2-Clause */
/* The mount point as a descriptor: only the folder that has the name, and nothing is unmounted but what is meant. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/watch/mnt.h"
#include "fs/watch/mountinfo.h"

static char dir[PATH_MAX], path[PATH_MAX + 64];

static const char *at(const char *name)
{
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void setup(void)
{
	char template[] = "/tmp/byokfs-mnt-XXXXXX";

	ck_assert_ptr_nonnull(mkdtemp(template));
	ck_assert_ptr_nonnull(realpath(template, dir));
	ck_assert_int_eq(chdir(dir), 0);
	ck_assert_int_eq(mkdir("p", 0755), 0);
	ck_assert_int_eq(mkdir("p/m", 0755), 0);
}

static void teardown(void)
{
	char command[PATH_MAX + 16];

	snprintf(command, sizeof(command), "rm -r %s", dir);
	ck_assert_int_eq(system(command), 0);
}

START_TEST(place)
{
	int fd = mnt_place_open(at("p/m"));

	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert_int_eq(mnt_place_open(at("none")), -ENOENT);
	close(open("file", O_CREAT | O_WRONLY, 0600));
	ck_assert_int_eq(mnt_place_open(at("file")), -ENOTDIR);
	/* a link may be changed to lead elsewhere */
	ck_assert_int_eq(symlink("p/m", "link"), 0);
	ck_assert_int_lt(mnt_place_open(at("link")), 0);
	ck_assert_int_eq(symlink("p", "q"), 0);
	ck_assert_int_eq(mnt_place_open(at("q/m")), -ESTALE);
}
END_TEST

/* What was checked has another name, or something lies in it, by the time of the mount: for root and users alike. */
START_TEST(changed)
{
	char why[STORE_WHY_MAX];
	struct mnt_config cfg = {.source = "/srv/store", .place_fd = mnt_place_open(at("p/m"))};
	int fd = -1;

	cfg.mountpoint = path;
	ck_assert_int_ge(cfg.place_fd, 0);
	close(open("p/m/file", O_CREAT | O_WRONLY, 0600));
	ck_assert_int_eq(mnt_mount(&cfg, &fd, why), -EBUSY);
	ck_assert_ptr_nonnull(strstr(why, "not empty"));
	ck_assert_int_eq(unlink("p/m/file"), 0);
	ck_assert_int_eq(rename("p", "q"), 0);
	ck_assert_int_eq(mkdir("p", 0755), 0);
	ck_assert_int_eq(mkdir("p/m", 0755), 0);
	ck_assert_int_eq(mnt_mount(&cfg, &fd, why), -ESTALE);
	ck_assert_ptr_nonnull(strstr(why, "moved"));
	ck_assert_int_eq(rmdir("q/m"), 0);
	ck_assert_int_eq(mnt_mount(&cfg, &fd, why), -ESTALE);
	close(cfg.place_fd);
}
END_TEST

/* No mount has such a number, and no folder lies in it. */
START_TEST(not_meant)
{
	const struct mount_num nobody = {.id = INT_MAX}, any = {0};

	ck_assert_int_eq(mnt_umount(at("p/m"), &nobody, true), -EINVAL);
	ck_assert_int_eq(mnt_umount(at("p/m"), &any, true), -EINVAL);
	ck_assert_int_eq(mnt_umount_at(at("p/m"), &nobody, 0), -EINVAL);
	ck_assert_int_eq(mnt_umount_at(at("none/m"), &nobody, 0), -ENOENT);
	ck_assert_int_eq(mnt_umount_at("m", &nobody, 0), -EINVAL);
	ck_assert_int_eq(mnt_umount_at("/", &nobody, 0), -EINVAL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("mnt");
	TCase *tc = tcase_create("mnt");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, place);
	tcase_add_test(tc, changed);
	tcase_add_test(tc, not_meant);
	suite_add_tcase(s, tc);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
