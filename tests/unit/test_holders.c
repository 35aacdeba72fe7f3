/* SPDX-License-Identifier: BSD-2-Clause */
/* Who still has a mount, by a /proc that was made up. */
#include "tests/unit/said.h"

#include <sys/stat.h>
#include <unistd.h>

#include "fs/watch/holders.h"

static const struct mountinfo mine = {.id = 39, .minor = 77};
static const char proc[] = "."; /* the scratch folder */

static void put(const char *pid, const char *name, const char *text)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", proc, pid);
	(void)(mkdir(path, 0700) == 0);
	snprintf(path, sizeof(path), "%s/%s/%s", proc, pid, name);
	FILE *f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	ck_assert_int_eq(fclose(f), 0);
}

/* A process PID, called COMM, in the mount namespace of LIKE (NULL: one of its own), whose table is TABLE. */
static void process(const char *pid, const char *comm, const char *like, const char *table)
{
	char path[128], other[128];

	put(pid, "comm", comm);
	put(pid, "mountinfo", table);
	snprintf(path, sizeof(path), "%s/%s/ns", proc, pid);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	if (!like) {
		put(pid, "ns/mnt", "");
		return;
	}
	snprintf(path, sizeof(path), "%s/%s/ns/mnt", proc, pid);
	snprintf(other, sizeof(other), "%s/%s/ns/mnt", proc, like);
	ck_assert_int_eq(link(other, path), 0);
}

#define OURS(path) "40 1 0:77 / " path " rw - fuse.byokfs /s rw,user_id=0\n"
#define OTHERS "41 1 0:78 / /other rw - fuse.byokfs /s rw,user_id=0\n42 1 0:77 / /proc rw - proc proc rw\n"

START_TEST(nobody)
{
	char text[HOLDERS_TEXT_MAX];

	process("self", "me\n", NULL, OTHERS);
	process("1", "init\n", "self", OTHERS);
	process("20", "else\n", NULL, OTHERS "rubbish\n");
	ck_assert_uint_eq(holders_find(proc, &mine, text), 0);
	ck_assert_str_eq(text, "");
	ck_assert_uint_eq(holders_find("/tmp/none-such", &mine, text), 0);
}
END_TEST

START_TEST(some)
{
	char text[HOLDERS_TEXT_MAX];

	process("self", "me\n", NULL, OTHERS OURS("/a\\040b"));
	process("1", "init\n", "self", OURS("/a\\040b"));
	process("20", "a\033[31m\n", NULL, OURS("/in\\012side"));
	process("21", "a\033[31m\n", "20", OURS("/in\\012side")); /* whichever of the two is met first */
	ck_assert_uint_eq(holders_find(proc, &mine, text), 2);
	char *of = strstr(text, "process 2");
	ck_assert_ptr_nonnull(of);
	of[9] = '_';
	ck_assert_str_eq(text,
			 "it is mounted here too, at /a b; process 2_ (a\\x1b[31m) has it in another mount namespace, "
			 "at /in\\x0aside");
}
END_TEST

/* More than the text takes: cut, counted. */
START_TEST(many)
{
	char text[HOLDERS_TEXT_MAX + 8], pid[16];

	memset(text, 'x', sizeof(text));
	process("self", "me\n", NULL, "");
	for (int i = 0; i < 40; i++) {
		snprintf(pid, sizeof(pid), "%d", 100 + i);
		process(pid, "holder\n", NULL, OURS("/somewhere/in/it"));
	}
	ck_assert_uint_eq(holders_find(proc, &mine, text), 40);
	ck_assert_uint_lt(strlen(text), HOLDERS_TEXT_MAX);
	ck_assert_ptr_nonnull(strstr(text, "holder) has it"));
	for (size_t i = HOLDERS_TEXT_MAX; i < sizeof(text); i++)
		ck_assert_int_eq(text[i], 'x');
}
END_TEST

#define PLACE "39 38 0:77 / /m/a rw shared:9 - fuse.byokfs /s rw,user_id=0\n"

/* Tables of another namespace; whether its copy goes when ours is unmounted. */
static const struct {
	const char *table;
	bool goes;
} propagated[] = {
	{"50 51 0:77 / /m/a rw - fuse.byokfs /s rw\n51 1 8:1 / /m rw shared:7 - ext4 d rw\n", true},
	{"51 1 8:1 / /m rw master:7 - ext4 d rw\n50 51 0:77 / /m/a rw - fuse.byokfs /s rw\n", true},
	{"51 1 8:1 / /m rw - ext4 d rw\n50 51 0:77 / /m/a rw shared:7 - fuse.byokfs /s rw\n", false},
	{"51 1 8:1 / /m rw master:6 - ext4 d rw\n50 51 0:77 / /m/a rw master:7 - fuse.byokfs /s rw\n", false},
	/* a slave of a slave */
	{"52 1 8:2 / /o rw shared:6 master:7 - ext4 e rw\n51 1 8:1 / /m rw master:6 - ext4 d rw\n"
	 "50 51 0:77 / /m/a rw - fuse.byokfs /s rw\n",
	 true},
	{"52 1 8:2 / /o rw shared:6 master:5 - ext4 e rw\n51 1 8:1 / /m rw master:6 - ext4 d rw\n"
	 "50 51 0:77 / /m/a rw - fuse.byokfs /s rw\n",
	 false},
	/* a circle of groups ends */
	{"52 1 8:2 / /o rw shared:6 master:5 - ext4 e rw\n53 1 8:2 / /p rw shared:5 master:6 - ext4 e rw\n"
	 "51 1 8:1 / /m rw master:6 - ext4 d rw\n50 51 0:77 / /m/a rw - fuse.byokfs /s rw\n",
	 false},
	/* another place of the same filesystem, and the same one by a bind mount of a folder of it */
	{"51 1 8:1 / /m rw master:7 - ext4 d rw\n50 51 0:77 / /m/b rw - fuse.byokfs /s rw\n", false},
	{"51 1 8:1 /a /n rw master:7 - ext4 d rw\n50 51 0:77 / /n rw - fuse.byokfs /s rw\n", true},
	/* what it lies on cannot be seen from the root of that process */
	{"50 51 0:77 / /m/a rw - fuse.byokfs /s rw\n", false},
};

START_TEST(propagation)
{
	static const char on_shared[] = "38 1 8:1 / /m rw shared:7 - ext4 d rw\n";
	char text[HOLDERS_TEXT_MAX];

	process("self", "me\n", NULL, PLACE);
	process("20", "else\n", NULL, "");
	for (size_t i = 0; i < ARRAY_LEN(propagated); i++) {
		put("20", "mountinfo", propagated[i].table);
		put("self", "mountinfo", "38 1 8:1 / /m rw shared:7 - ext4 d rw\n" PLACE);
		ck_assert_msg(holders_find(proc, &mine, text) == !propagated[i].goes, "table %zu", i);
		ck_assert(!propagated[i].goes == (text[0] != 0));
		/* what is not there any more takes nothing along */
		put("self", "mountinfo", on_shared);
		ck_assert_uint_eq(holders_find(proc, &mine, text), 1);
		/* nor does one that lies on what is private; a path here counts */
		put("self", "mountinfo",
		    "38 1 8:1 / /m rw - ext4 d rw\n" PLACE "60 38 0:77 / /m/b rw - fuse.byokfs /s rw\n");
		ck_assert_uint_eq(holders_find(proc, &mine, text), 2);
	}
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {nobody, some, many, propagation};

	return said_main("holders", said_scratch, tests, ARRAY_LEN(tests));
}
