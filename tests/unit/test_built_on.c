/* SPDX-License-Identifier: BSD-2-Clause */
/* What is built on files of a mount: loop devices and mount tables as the kernel writes them, odd names, no end of them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/attr.h"
#include "fs/watch/built_on.h"
#include "tests/unit/vector.h"

static char *paths[] = {(char[]){"/mnt/a"}, (char[]){"/srv/b c"}, (char[]){"/x:y"}};
static const struct built_on_places places = {paths, ARRAY_LEN(paths)};

/* What a line of the table comes to: its one text, or "". */
static const char *of_line(const char *text)
{
	static struct built_on b;
	static char line[1024];
	struct mountinfo m;

	b = (struct built_on){0};
	snprintf(line, sizeof(line), "%s", text);
	ck_assert_msg(mountinfo_parse(line, &m) == 0, "%s", text);
	built_on_mount(&places, &m, &b);
	ck_assert_msg(b.n <= 1, "%zu of %s", b.n, text);
	return b.n ? b.what[0] : "";
}

START_TEST(mounts)
{
	static const struct {
		const char *line, *want;
	} row[] = {
		/* sources */
		{"9 1 0:9 / /y rw - fuse.gocryptfs /mnt/a/c rw", "fuse.gocryptfs at /y on /mnt/a/c"},
		{"9 1 0:9 / /y\\040z rw - ecryptfs /srv/b\\040c rw", "ecryptfs at /y z on /srv/b c"},
		{"9 1 0:9 / /y rw - ecryptfs /mnt/ab rw", ""},
		{"9 1 0:9 / /y rw - ecryptfs /mnt rw", ""},
		{"9 1 0:9 / /mnt/a/y rw - tmpfs tmpfs rw", ""},
		{"9 1 0:9 / /y rw - nfs4 host:/mnt/a rw,addr=::1", ""},
		{"9 1 7:0 / /y rw - ext4 /dev/loop0 rw", ""},
		/* overlays: each folder of a list, in either way of writing it */
		{"9 1 0:9 / /y rw - overlay none rw,lowerdir=/mnt/a/l,upperdir=/u,workdir=/w",
		 "overlay at /y on /mnt/a/l"},
		{"9 1 0:9 / /y rw - overlay none rw,lowerdir=/l,upperdir=/mnt/a,workdir=/mnt/a/w",
		 "overlay at /y on /mnt/a"},
		{"9 1 0:9 / /y rw - overlay none rw,lowerdir=/l:/m::/mnt/a/d", "overlay at /y on /mnt/a/d"},
		{"9 1 0:9 / /y rw - overlay none rw,lowerdir+=/l,lowerdir+=/mnt/a/n,datadir+=/d",
		 "overlay at /y on /mnt/a/n"},
		{"9 1 0:9 / /y rw - overlay none rw,lowerdir=/p\\072q:/srv/b\\040c/\\054",
		 "overlay at /y on /srv/b c/,"},
		{"9 1 0:9 / /y rw - overlay none rw,lowerdir=/p\\134:q:/srv/b\\040c", "overlay at /y on /srv/b c"},
		{"9 1 0:9 / /y rw - overlay none rw,lowerdir=/p\\134:/mnt/a", "overlay at /y on /mnt/a"},
		/* the mount point's own colon */
		{"9 1 0:9 / /y rw - overlay none rw,lowerdir=/l:/x\\072y/l", "overlay at /y on /x"},
		{"9 1 0:9 / /y rw - overlay none rw,lowerdir=/l:/x\\134:y/l", "overlay at /y on /x"},
		{"9 1 0:9 / /y rw - overlay none rw,lowerdir=/l:/x", ""},
		{"9 1 0:9 / /y rw - overlay none rw,lowerdir=/mnt/ab:/mnt:/:mnt/a:a,upperdir=", ""},
		{"9 1 0:9 / /y rw - overlay none lowerdir,=,=:,:=/,\\134", ""},
		{"9 1 0:9 / /y rw - overlay none ", ""},
		/* relative, or by a symlink: a container's is mounted beside its folders */
		{"9 1 0:9 / /mnt/a/d/merged rw - overlay overlay rw,lowerdir=l/A:l/B",
		 "perhaps overlay at /mnt/a/d/merged"},
		{"9 1 0:9 / /mnt/a/d/merged rw - overlay overlay rw,lowerdir=/mnt/a/l",
		 "overlay at /mnt/a/d/merged on /mnt/a/l"},
	};

	for (size_t i = 0; i < ARRAY_LEN(row); i++)
		ck_assert_str_eq(of_line(row[i].line), row[i].want);
}
END_TEST

static const char *of_loop(const char *text)
{
	static struct built_on b;
	char copy[1024];

	b = (struct built_on){0};
	snprintf(copy, sizeof(copy), "%s", text);
	built_on_loop(&places, "loop7", copy, &b);
	return b.n ? b.what[0] : "";
}

START_TEST(loops)
{
	ck_assert_str_eq(of_loop("/mnt/a/f\n"), "loop device /dev/loop7 on /mnt/a/f");
	ck_assert_str_eq(of_loop("/mnt/a/f (deleted)\n"), "loop device /dev/loop7 on /mnt/a/f (deleted)");
	ck_assert_str_eq(of_loop("/mnt/a"), "loop device /dev/loop7 on /mnt/a");
	ck_assert_str_eq(of_loop("/srv/b c/d\ne\n"), "loop device /dev/loop7 on /srv/b c/d\ne");
	ck_assert_str_eq(of_loop("/mnt/ab\n"), "");
	ck_assert_str_eq(of_loop("/mnt\n"), "");
	ck_assert_str_eq(of_loop("mnt/a/f\n"), "");
	ck_assert_str_eq(of_loop("\n"), "");
	ck_assert_str_eq(of_loop(""), "");
}
END_TEST

START_TEST(root)
{
	char *at_root[] = {(char[]){"/"}};
	const struct built_on_places all = {at_root, 1};
	struct built_on b = {0};
	char text[] = "/f\n", no[] = "f\n";

	built_on_loop(&all, "loop1", text, &b);
	built_on_loop(&all, "loop2", no, &b);
	ck_assert_uint_eq(b.n, 1);
}
END_TEST

/* A path that does not fit is cut and shows it; what is too many is counted. */
START_TEST(bounds)
{
	struct built_on b = {0};
	char text[4097], line[200];

	for (size_t i = 0; i < BUILT_ON_MAX + 3; i++) {
		memset(text, 'x', sizeof(text) - 1);
		memcpy(text, "/mnt/a/", 7);
		text[sizeof(text) - 1] = '\0';
		built_on_loop(&places, "loop7", text, &b);
	}
	ck_assert_uint_eq(b.n, BUILT_ON_MAX + 3);
	for (size_t i = 0; i < BUILT_ON_MAX; i++) {
		ck_assert_uint_eq(strlen(b.what[i]), BUILT_ON_TEXT_MAX - 1);
		ck_assert_str_eq(b.what[i] + BUILT_ON_TEXT_MAX - 4, "...");
	}
	memset(line, '!', sizeof(line));
	built_on_line(&b, line, sizeof(line) - 1);
	ck_assert(strlen(line) == sizeof(line) - 2 && line[sizeof(line) - 1] == '!');
	for (size_t i = 0; i < BUILT_ON_MAX; i++)
		snprintf(b.what[i], sizeof(b.what[i]), "%zu", i);
	built_on_line(&b, line, sizeof(line));
	ck_assert_str_eq(line, "0; 1; 2; 3; 4; 5; 6; 7; and 3 more");
	b.n = 2;
	built_on_line(&b, line, sizeof(line));
	ck_assert_str_eq(line, "0; 1");
	b.n = 0;
	built_on_line(&b, line, sizeof(line));
	ck_assert_str_eq(line, "");
}
END_TEST

static char dir[64];

static void put(const char *name, const char *text)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	for (char *p = path + strlen(dir) + 1; (p = strchr(p, '/')); *p++ = '/') {
		*p = '\0';
		ck_assert(mkdir(path, 0700) == 0 || errno == EEXIST);
	}
	FILE *f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert(fputs(text, f) >= 0 && fclose(f) == 0);
}

/* A table and devices as the kernel has them: every place of the connection counts, its own mounts do not, nor others of our type. */
START_TEST(find)
{
	char table[128], blocks[128];
	struct built_on b;

	snprintf(dir, sizeof(dir), "/tmp/byokfs-built-on-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	put("table", "20 1 8:1 / / rw - ext4 /dev/root rw\n"
		     "31 20 0:47 / /mnt/a rw - fuse.byokfs /srv/store rw\n"
		     "32 20 0:47 /sub /place rw - fuse.byokfs /srv/store rw\n"
		     "33 20 0:48 / /other rw - fuse.byokfs /mnt/a/store rw\n"
		     "34 20 0:49 / /ov rw - overlay none rw,lowerdir=/place/l\n"
		     "35 20 0:49 / /ov2 rw - overlay none rw,lowerdir=/other/l\n"
		     "nonsense\n");
	put("block/loop0/loop/backing_file", "/place/disk\n");
	put("block/loop1/loop/backing_file", "/other/disk\n");
	put("block/loop2/size", "0\n");
	put("block/sda/loop/backing_file", "/mnt/a/disk\n");
	snprintf(table, sizeof(table), "%s/table", dir);
	snprintf(blocks, sizeof(blocks), "%s/block", dir);
	struct built_on_where w = {.table = table, .blocks = blocks, .mount_id = 31, .mountpoint = "/mnt/a"};

	for (int turn = 0; turn < 2; turn++) {
		ck_assert_int_eq(built_on_find(&w, &b), 0);
		ck_assert_uint_eq(b.n, 3);
		ck_assert_str_eq(b.what[0], "loop device /dev/loop0 on /place/disk");
		ck_assert_str_eq(b.what[1], "fuse.byokfs at /other on /mnt/a/store");
		ck_assert_str_eq(b.what[2], "overlay at /ov on /place/l");
		w.mount_id = 0; /* then by the mount point */
	}
	w.blocks = "/nonexistent"; /* the mounts are told all the same */
	ck_assert_int_eq(built_on_find(&w, &b), -ENOENT);
	ck_assert_uint_eq(b.n, 2);
	w.mount_id = 20; /* not of ours */
	ck_assert_int_eq(built_on_find(&w, &b), -ENOENT);
	ck_assert_uint_eq(b.n, 0);
	w.table = "/nonexistent";
	ck_assert_int_eq(built_on_find(&w, &b), -ENOENT);
	char command[128];
	snprintf(command, sizeof(command), "rm -r %s", dir);
	ck_assert_int_eq(system(command), 0);
}
END_TEST

int main(void)
{
	const struct test_entry list[] = {
		{"mounts", mounts}, {"loops", loops}, {"root", root}, {"bounds", bounds}, {"find", find},
	};
	return test_main("built_on", list, ARRAY_LEN(list));
}
