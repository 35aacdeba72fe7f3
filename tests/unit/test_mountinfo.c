/* SPDX-License-Identifier: BSD-2-Clause */
/* The mount table: lines as the kernel writes them, escapes, broken lines, several mounts on one point. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/watch/mountinfo.h"

#define OURS \
	"36 25 0:47 / /mnt/a rw,nosuid,nodev,relatime shared:7 - fuse.byokfs /srv/store rw,user_id=1000,group_id=0\n"

static char line[512];

static int parse(const char *text, struct mountinfo *out)
{
	snprintf(line, sizeof(line), "%s", text);
	return mountinfo_parse(line, out);
}

START_TEST(lines)
{
	struct mountinfo m;

	ck_assert_int_eq(parse("36 25 0:47 / /mnt/a rw,nosuid shared:7 - fuse.byokfs /srv/store rw,user_id=1000", &m),
			 0);
	ck_assert_int_eq(m.id, 36);
	ck_assert_uint_eq(m.minor, 47);
	ck_assert_str_eq(m.path, "/mnt/a");
	ck_assert_str_eq(m.type, "fuse.byokfs");
	ck_assert(m.has_owner && m.owner == 1000);
	/* no optional field, several, and no owner */
	ck_assert_int_eq(parse("22 1 8:1 / / rw - ext4 /dev/root rw", &m), 0);
	ck_assert(m.id == 22 && m.minor == 1 && !m.has_owner);
	ck_assert_str_eq(m.path, "/");
	ck_assert_int_eq(
		parse("22 1 8:4294967295 /r /x rw shared:1 master:2 propagate_from:3 unbindable - ext4 none rw", &m),
		0);
	ck_assert_str_eq(m.path, "/x");
	ck_assert_str_eq(m.root, "/r");
	ck_assert(m.parent == 1 && m.shared == 1 && m.master == 2);
	ck_assert_uint_eq(m.minor, 4294967295u);
	/* a source of nothing */
	ck_assert_int_eq(parse("22 1 8:1 / /x rw - tmpfs  rw", &m), 0);
	ck_assert_str_eq(m.type, "tmpfs");
}
END_TEST

/* The owner is an option of the filesystem, whatever paths say. */
START_TEST(owner)
{
	struct mountinfo m;

	ck_assert_int_eq(parse("36 25 0:47 / /user_id=7 rw - fuse.byokfs /srv/,user_id=8 rw,user_id=9", &m), 0);
	ck_assert(m.has_owner && m.owner == 9);
	ck_assert_int_eq(parse("36 25 0:47 / /user_id=7 rw - fuse.byokfs user_id=8 rw,xuser_id=9,user_id=x", &m), 0);
	ck_assert(!m.has_owner);
}
END_TEST

START_TEST(escapes)
{
	struct mountinfo m;

	ck_assert_int_eq(parse("36 25 0:47 / /a\\040b\\011\\012\\134c\\303\\244 rw - fuse.byokfs x rw", &m), 0);
	ck_assert_str_eq(m.path, "/a b\t\n\\c\xc3\xa4");
	ck_assert_int_eq(parse("36 25 0:47 / /\\9\\01\\x\\ rw - fuse.byokfs x rw", &m), 0);
	ck_assert_str_eq(m.path, "/\\9\\01\\x\\");
	/* no byte: neither a NUL, which would hide the rest, nor more than a byte */
	ck_assert_int_eq(parse("36 25 0:47 / /a\\000b\\777 rw - fuse.byokfs x rw", &m), 0);
	ck_assert_str_eq(m.path, "/a\\000b\\777");
}
END_TEST

START_TEST(broken)
{
	static const char *const bad[] = {
		"",
		" ",
		"36",
		"36 25 0:47 / /mnt/a rw",
		"36 25 0:47 / /mnt/a rw shared:7",
		"36 25 0:47 / /mnt/a rw shared:7 -",
		"36 25 0:47 / /mnt/a rw - fuse.byokfs",
		"36 25 0:47 / /mnt/a rw - fuse.byokfs /store",
		"x 25 0:47 / /mnt/a rw - fuse.byokfs /store rw",
		"-1 25 0:47 / /mnt/a rw - fuse.byokfs /store rw",
		"0 25 0:47 / /mnt/a rw - fuse.byokfs /store rw",
		"2147483648 25 0:47 / /mnt/a rw - fuse.byokfs /store rw",
		"99999999999999999999999 25 0:47 / /mnt/a rw - fuse.byokfs /store rw",
		"36 25 47 / /mnt/a rw - fuse.byokfs /store rw",
		"36 25 0: / /mnt/a rw - fuse.byokfs /store rw",
		"36 25 :47 / /mnt/a rw - fuse.byokfs /store rw",
		"36 25 0:4294967296 / /mnt/a rw - fuse.byokfs /store rw",
		"36 25 0:47 / mnt/a rw - fuse.byokfs /store rw",
		"36 25 0:47 /  rw - fuse.byokfs /store rw",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct mountinfo m = {.id = 4711};

		ck_assert_msg(parse(bad[i], &m) == -EUCLEAN, "%s", bad[i]);
		ck_assert_int_eq(m.id, 4711);
	}
}
END_TEST

static char table[64];

static void write_table(const char *text)
{
	snprintf(table, sizeof(table), "/tmp/byokfs-mountinfo-XXXXXX");
	int fd = mkstemp(table);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

START_TEST(find)
{
	struct mountinfo m;

	write_table("22 1 8:1 / / rw - ext4 /dev/root rw\n" OURS "nonsense\n"
		    "40 36 0:50 / /mnt/a rw - fuse.byokfs /srv/store rw,user_id=0\n"
		    "41 40 0:51 / /mnt/a rw - tmpfs tmpfs rw\n"
		    "42 25 0:52 / /mnt/b rw - fuse.byokfs /srv/b rw");
	ck_assert_int_eq(mountinfo_find(table, "/mnt/a", &m), 0);
	ck_assert(m.id == 40 && m.minor == 50 && m.has_owner && m.owner == 0);
	ck_assert_ptr_null(m.path);
	ck_assert_int_eq(mountinfo_find(table, "/mnt/b", &m), 0);
	ck_assert(m.id == 42 && !m.has_owner);
	m.id = 4711;
	ck_assert_int_eq(mountinfo_find(table, "/", &m), -ENOENT);
	ck_assert_int_eq(mountinfo_find(table, "/mnt", &m), -ENOENT);
	ck_assert_int_eq(m.id, 4711);
	ck_assert_int_eq(mountinfo_find("/nonexistent/mountinfo", "/mnt/a", &m), -ENOENT);
	unlink(table);
}
END_TEST

START_TEST(all)
{
	struct mountinfo_reader r;
	struct mountinfo m;
	int ids[4], n = 0;

	write_table(OURS "22 1 8:1 / / rw - ext4 /dev/root rw\n" OURS "7 7 7:7 / /c rw - fuse.byokfs x rw\n");
	ck_assert_int_eq(mountinfo_open(&r, table), 0);
	while (n < 4 && mountinfo_next(&r, &m))
		ids[n++] = m.id;
	mountinfo_close(&r);
	ck_assert_int_eq(n, 3);
	ck_assert(ids[0] == 36 && ids[1] == 36 && ids[2] == 7);
	unlink(table);
	ck_assert_int_eq(mountinfo_open(&r, table), -ENOENT);
	mountinfo_close(&r);
}
END_TEST

/* The kernel's own table reads without a broken line. */
START_TEST(kernels)
{
	FILE *f = fopen(MOUNTINFO_SELF, "re");
	char *text = NULL;
	size_t size = 0;
	struct mountinfo m;
	ssize_t n;

	ck_assert_ptr_nonnull(f);
	while ((n = getline(&text, &size, f)) > 0) {
		text[n - 1] = '\0';
		ck_assert_msg(mountinfo_parse(text, &m) == 0, "%s", text);
	}
	fclose(f);
	free(text);
}
END_TEST

/* The kernel gives the number of a mount that is gone to the next one: that is not ours to end. */
START_TEST(given_on)
{
	const int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct mount_num now, before;
	char text[200], path[100];

	ck_assert(mount_num_of(fd, &now));
	ck_assert(mount_holds(fd, &now) && mount_in_place("/", &now));
	snprintf(text, sizeof(text), "%d 1 0:50 / / rw - fuse.byokfs /srv/store rw\n", now.id);
	write_table(text);
	ck_assert_int_eq(mountinfo_path(table, now.id, path, sizeof(path)), 0);
	ck_assert_str_eq(path, "/");
	before = (struct mount_num){.id = now.id}; /* as far as older kernels tell */
	ck_assert(mount_holds(fd, &before));
	before.unique = now.unique + 1;
	ck_assert_int_eq(mount_holds(fd, &before), now.unique == 0);
	ck_assert_int_eq(mount_in_place(path, &before), now.unique == 0);
	before = (struct mount_num){now.id + 1, now.unique};
	ck_assert(!mount_holds(fd, &before));
	ck_assert_int_eq(mountinfo_path(table, before.id, path, sizeof(path)), -ENOENT);
	unlink(table);
	close(fd);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("mountinfo");
	TCase *c = tcase_create("mountinfo");

	tcase_add_test(c, lines);
	tcase_add_test(c, owner);
	tcase_add_test(c, escapes);
	tcase_add_test(c, broken);
	tcase_add_test(c, find);
	tcase_add_test(c, all);
	tcase_add_test(c, kernels);
	tcase_add_test(c, given_on);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed > 0;
}
