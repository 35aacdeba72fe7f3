/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Paths of key directories: one form for each place, and whether it lies inside another. stat() of path.c is ours (--wrap,
 * see tests/meson.build): a directory that is mounted at a second place needs no mount.
 */
#include "kms/path.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char base[PATH_MAX], out[PATH_MAX];

/* TWIN has the identity of the directory ORIGINAL, as a bind mount has. */
static struct {
	const char *twin, *original;
} bound;

int __real_stat64(const char *path, struct stat *st);
int __wrap_stat64(const char *path, struct stat *st);

int __wrap_stat64(const char *path, struct stat *st)
{
	return __real_stat64(bound.twin && strcmp(path, bound.twin) == 0 ? bound.original : path, st);
}

static void setup(void)
{
	char template[] = "/tmp/byokfs-path-XXXXXX";

	memset(&bound, 0, sizeof(bound));
	ck_assert_ptr_nonnull(mkdtemp(template));
	ck_assert_ptr_nonnull(realpath(template, base));
	ck_assert_int_eq(chdir(base), 0);
	ck_assert_int_eq(mkdir("store", 0700), 0);
	ck_assert_int_eq(mkdir("store/data", 0700), 0);
	ck_assert_int_eq(mkdir("keys", 0700), 0);
	ck_assert_int_eq(symlink("store", "link"), 0);
	ck_assert_int_eq(symlink("nowhere", "dangling"), 0);
	int fd = open("file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	close(fd);
}

static void teardown(void)
{
	char command[PATH_MAX + 16];

	ck_assert_int_eq(chdir("/"), 0);
	snprintf(command, sizeof(command), "rm -rf %s", base);
	ck_assert_int_eq(system(command), 0);
}

/* WANTED is below the scratch directory. */
static void becomes(const char *path, const char *wanted)
{
	char whole[2 * PATH_MAX];

	snprintf(whole, sizeof(whole), "%s%s", base, wanted);
	ck_assert_msg(kms_path_canonical(path, out, sizeof(out)) == 0, "%s", path);
	ck_assert_str_eq(out, whole);
}

static void absolute_becomes(const char *format, const char *wanted)
{
	char path[2 * PATH_MAX];

	snprintf(path, sizeof(path), "%s%s", base, format);
	becomes(path, wanted);
}

START_TEST(one_form)
{
	becomes(".", "");
	becomes("./", "");
	becomes("store", "/store");
	becomes("store/", "/store");
	becomes("store//data///", "/store/data");
	becomes("./store/./data/.", "/store/data");
	becomes("store/data/..", "/store");
	becomes("store/../keys", "/keys");
	becomes("link", "/store");
	becomes("link/data", "/store/data");
	becomes("link/../keys", "/keys"); /* as the kernel does: the parent of where the link leads */
	becomes("file", "/file");
	absolute_becomes("/link/data", "/store/data");
	absolute_becomes("//keys/", "/keys");
}
END_TEST

START_TEST(absent_end)
{
	becomes("absent", "/absent");
	becomes("absent/", "/absent");
	becomes("link/absent/deeper", "/store/absent/deeper");
	becomes("absent/./x//y/.", "/absent/x/y");
	becomes("absent/...", "/absent/...");
	becomes("absent/..x/.y", "/absent/..x/.y");
	becomes("file/x", "/file/x"); /* no directory: nothing exists under it */
	becomes("dangling/x", "/dangling/x");
	ck_assert_int_eq(kms_path_canonical("/byokfs-absent/x", out, sizeof(out)), 0);
	ck_assert_str_eq(out, "/byokfs-absent/x"); /* one slash after the root */
	static const char *const climbs[] = {"absent/..", "absent/../keys", "absent/x/../../keys", "dangling/..",
					     "file/.."};
	for (size_t i = 0; i < ARRAY_LEN(climbs); i++)
		ck_assert_msg(kms_path_canonical(climbs[i], out, sizeof(out)) == -EINVAL, "%s", climbs[i]);
	ck_assert_int_eq(kms_path_canonical("", out, sizeof(out)), -EINVAL);
}
END_TEST

START_TEST(root)
{
	static const char *const names[] = {"/", "//", "///", "/.", "/..", "/./../"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		ck_assert_msg(kms_path_canonical(names[i], out, sizeof(out)) == 0, "%s", names[i]);
		ck_assert_str_eq(out, "/");
	}
}
END_TEST

/* With each length of the buffer: the whole path, or -ENAMETOOLONG and nothing beyond the end. */
START_TEST(buffer_length)
{
	static const char *const names[] = {"store/data", "store/absent/x"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char whole[PATH_MAX];
		ck_assert_int_eq(kms_path_canonical(names[i], whole, sizeof(whole)), 0);
		for (size_t len = 1; len <= strlen(whole) + 2; len++) {
			memset(out, 'Z', sizeof(out));
			int r = kms_path_canonical(names[i], out, len);
			ck_assert_int_eq(r, len > strlen(whole) ? 0 : -ENAMETOOLONG);
			if (!r)
				ck_assert_str_eq(out, whole);
			ck_assert_int_eq(out[len], 'Z');
		}
	}
}
END_TEST

START_TEST(too_long)
{
	char path[PATH_MAX + 300];

	/* A component that no filesystem can have: not "absent" */
	memset(path, 'x', 300);
	path[300] = '\0';
	ck_assert_int_eq(kms_path_canonical(path, out, sizeof(out)), -ENAMETOOLONG);
	for (size_t i = 0; i + 1 < sizeof(path); i += 2)
		memcpy(path + i, "y/", 2);
	path[sizeof(path) - 2] = '\0';
	ck_assert_int_eq(kms_path_canonical(path, out, sizeof(out)), -ENAMETOOLONG);
	path[PATH_MAX - 2] = '\0'; /* short enough as it is given, too long with what is before it */
	ck_assert_int_eq(kms_path_canonical(path, out, sizeof(out)), -ENAMETOOLONG);
}
END_TEST

/* A working directory that was removed has no path. */
START_TEST(no_working_directory)
{
	ck_assert_int_eq(mkdir("w", 0700), 0);
	ck_assert_int_eq(chdir("w"), 0);
	ck_assert_int_eq(rmdir("../w"), 0);
	ck_assert_int_eq(kms_path_canonical("x", out, sizeof(out)), -ENOENT);
	ck_assert_int_eq(kms_path_inside("x", "/"), -ENOENT);
	ck_assert_int_eq(kms_path_inside("/", "x"), -ENOENT);
	ck_assert_int_eq(kms_path_canonical("/", out, sizeof(out)), 0);
}
END_TEST

static const struct {
	const char *path, *dir;
	int inside;
} inside_of[] = {
	{"store", "store", 1},
	{"store/data", "store", 1},
	{"store/data/absent/deep", "store", 1},
	{"store/absent", "store/", 1},
	{"link/data", "store", 1},
	{"store/data", "link", 1},
	{"store/data/../../store/x", "store", 1},
	{"store", "store/data", 0},
	{"keys", "store", 0},
	{"storehouse", "store", 0}, /* begins alike */
	{"store2/data", "store", 0},
	{"store/../keys", "store", 0},
	{"absent/x", "absent", 1}, /* by name, though neither is there */
	{"absentee", "absent", 0},
	{"keys", "/", 1},
	{"/", "/", 1},
	{"/", "store", 0},
	{"", "store", -EINVAL},
	{"store", "", -EINVAL},
	{"absent/../store", "store", -EINVAL},
};

START_TEST(inside)
{
	ck_assert_msg(kms_path_inside(inside_of[_i].path, inside_of[_i].dir) == inside_of[_i].inside, "%s in %s",
		      inside_of[_i].path, inside_of[_i].dir);
}
END_TEST

/* The same directory at a second place: by identity, up to the root. */
START_TEST(second_place)
{
	char twin[PATH_MAX + 8];

	snprintf(twin, sizeof(twin), "%s/keys", base);
	bound.twin = twin;
	bound.original = "store";
	ck_assert_int_eq(kms_path_inside("store", "keys"), 1);
	ck_assert_int_eq(kms_path_inside("store/data", "keys"), 1);
	ck_assert_int_eq(kms_path_inside("store/data/absent/x", "keys"), 1);
	ck_assert_int_eq(kms_path_inside("keys/x", "store"), 1);
	ck_assert_int_eq(kms_path_inside("file", "keys"), 0);
	ck_assert_int_eq(kms_path_inside("keys", "store/data"), 0);
	/* The whole tree once more, under `keys`: all lies inside it. */
	bound.original = "/";
	ck_assert_int_eq(kms_path_inside("store", "keys"), 1);
	ck_assert_int_eq(kms_path_inside("/byokfs-absent/x", "keys"), 1);
	ck_assert_int_eq(kms_path_inside("/", "keys"), 1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("path");
	TCase *t = tcase_create("path");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, one_form);
	tcase_add_test(t, absent_end);
	tcase_add_test(t, root);
	tcase_add_test(t, buffer_length);
	tcase_add_test(t, too_long);
	tcase_add_test(t, no_working_directory);
	tcase_add_loop_test(t, inside, 0, (int)ARRAY_LEN(inside_of));
	tcase_add_test(t, second_place);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
