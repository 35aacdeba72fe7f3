/* SPDX-License-Identifier: BSD-2-Clause */
/* Mount points as the kernel writes them, what is asked of a mount that is not there, and values of a mount's answer. */
#include "tests/unit/said.h"

#include "tools/ask.h"
#include "tools/mounts.h"
#include "tools/version.h"

static char path[MOUNTS_PATH_MAX];

/* What WORD is in the mount table: WANT, below the scratch folder. */
static void is_canonical(const char *word, const char *want)
{
	char all[MOUNTS_PATH_MAX];

	ck_assert_int_eq(mounts_canonical(word, path), 0);
	snprintf(all, sizeof(all), "%s%s", said.dir, want);
	ck_assert_str_eq(path, all);
}

START_TEST(canonical)
{
	ck_assert_int_eq(mkdir("a", 0755), 0);
	ck_assert_int_eq(mkdir("a/b c", 0755), 0);
	ck_assert_int_eq(symlink("a/b c", "link"), 0);
	is_canonical("a", "/a");
	is_canonical("a/", "/a");
	is_canonical("./a//b c/.", "/a/b c");
	is_canonical("a/b c/..", "/a");
	is_canonical("link", "/a/b c");
	is_canonical(".", "");
	ck_assert_int_eq(mounts_canonical("/", path), 0);
	ck_assert_str_eq(path, "/");
	ck_assert_int_eq(mounts_canonical("none", path), -ENOENT);
	ck_assert_int_eq(mounts_canonical("none/at/all", path), -ENOENT);
	ck_assert_int_eq(mounts_canonical("", path), -ENOENT);
}
END_TEST

/* What cannot be resolved for another reason than its absence may be a dead mount: only the folder above is looked at. */
START_TEST(canonical_dead)
{
	ck_assert_int_eq(mkdir("d", 0755), 0);
	ck_assert_int_eq(symlink("loop", "d/loop"), 0);
	ck_assert_int_eq(symlink("d", "to_d"), 0);
	is_canonical("d/loop", "/d/loop");
	is_canonical("to_d/loop/", "/d/loop");
	is_canonical("./d/../to_d/loop", "/d/loop");
	ck_assert_int_eq(mounts_canonical("d/loop/.", path), -ELOOP);
	ck_assert_int_eq(mounts_canonical("d/loop/..", path), -ELOOP);
	ck_assert_int_eq(mounts_canonical("d/loop/x", path), -ELOOP);
	said_put("file", "", 0);
	is_canonical("file/x", "/file/x");
}
END_TEST

START_TEST(canonical_long)
{
	char longer[2 * MOUNTS_PATH_MAX];

	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = 0;
	ck_assert_int_eq(mounts_canonical(longer, path), -ENAMETOOLONG);
	/* one that would do, but is longer than a path may be */
	ck_assert_int_eq(symlink("loop", "loop"), 0);
	for (size_t i = 0; i < sizeof(longer) - 1; i++)
		longer[i] = i % 2 ? '/' : '.';
	memcpy(longer + 400, "loop", 5);
	is_canonical(longer, "/loop");
	memset(longer + 400, '/', 4);
	longer[404] = '.';
	memcpy(longer + 5000, "loop", 5);
	ck_assert_int_eq(mounts_canonical(longer, path), -ELOOP);
}
END_TEST

START_TEST(no_mount)
{
	char **list;

	ck_assert(!mounts_is(said.dir));
	ck_assert(!mounts_is("/"));
	ck_assert(!mounts_is(""));
	/* it answers, as any folder does */
	ck_assert(!mounts_is_dead(said.dir));
	ck_assert(!mounts_is_dead("/no/such/folder"));
	ck_assert_int_eq(mounts_list(&list), 0);
	for (char **p = list; *p; p++)
		ck_assert_msg((*p)[0] == '/' && mounts_is(*p), "%s", *p);
	mounts_free(list);
	mounts_free(NULL);
}
END_TEST

/* Values of an answer */

static void value_is(const char *answer, const char *key, unsigned n, const char *want)
{
	char *value = ask_value(answer, key, n);

	if (want)
		ck_assert_msg(value && strcmp(value, want) == 0, "%s %u: %s", key, n, value ? value : "-");
	else
		ck_assert_msg(!value, "%s %u: %s", key, n, value);
	free(value);
}

START_TEST(values)
{
	static const char answer[] = "state ACTIVE\n"
				     "kms local:/k/a\n"
				     "kmsx 1\n"
				     "kms local:/k/b\n"
				     "reason \n"
				     "mountpoint /mnt/a\\012b\\134\n"
				     "last end";

	value_is(answer, "state", 0, "ACTIVE");
	value_is(answer, "state", 1, NULL);
	value_is(answer, "kms", 0, "local:/k/a");
	value_is(answer, "kms", 1, "local:/k/b");
	value_is(answer, "kms", 2, NULL);
	value_is(answer, "reason", 0, "");
	value_is(answer, "mountpoint", 0, "/mnt/a\nb\\");
	value_is(answer, "last", 0, "end"); /* no line end behind it */
	value_is(answer, "stat", 0, NULL);
	value_is(answer, "ACTIVE", 0, NULL);
	value_is("", "state", 0, NULL);
	value_is(NULL, "state", 0, NULL);
	value_is("state\nstate x\n", "state", 0, "x"); /* a key without a value is none */
}
END_TEST

/* Asking */

static char asked[MOUNTS_PATH_MAX];
static int asked_error;

static int ask(int argc, char **argv)
{
	char *answer = NULL;

	(void)argc;
	int code = ask_mount(argv[1], CONTROL_STATUS, &answer, &asked_error);
	free(answer);
	return code;
}

static int ask_where(int argc, char **argv)
{
	return ask_mountpoint(argc, argv, "the help\n", asked);
}

START_TEST(ask_nobody)
{
	SAID(ask, "x", said.dir);
	SAID_IS(CMD_NOT_FOUND, "", "byokfs: no byokfs is mounted on DIR\n");
	ck_assert_int_eq(asked_error, -ENOENT);
}
END_TEST

START_TEST(ask_command_line)
{
	SAID(ask_where, "lock", ".");
	SAID_IS(CMD_OK, "", "");
	ck_assert_str_eq(asked, said.dir);
	SAID(ask_where, "lock", "--help");
	SAID_IS(-1, "the help\n", "");
	SAID(ask_where, "lock");
	SAID_USAGE("lock", "MOUNTPOINT is missing");
	SAID(ask_where, "lock", "a", "b");
	SAID_USAGE("lock", "one MOUNTPOINT only");
	SAID(ask_where, "lock", "--hlep");
	SAID_USAGE("lock", "unknown option '--hlep': did you mean '--help'?");
	SAID(ask_where, "lock", "none");
	SAID_IS(CMD_NOT_FOUND, "", "byokfs: none: No such file or directory\n");
}
END_TEST

static int version(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	version_print();
	return 0;
}

START_TEST(versions)
{
	static const char *const names[] = {"byokfs " BYOKFS_VERSION "\n", "\nlibfuse 3.", "\nlibsodium 1.",
					    "\nOpenSSL 3.", "\nglibc 2."};

	SAID(version, "version");
	ck_assert_str_eq(said.err, "");
	SAID_BEGINS(said.out, "byokfs " BYOKFS_VERSION "\n");
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		ck_assert_msg(strstr(said.out, names[i]), "%s: %s", names[i], said.out);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {canonical, canonical_dead, canonical_long,   no_mount,
				      values,    ask_nobody,     ask_command_line, versions};

	return said_main("mounts", said_scratch, tests, ARRAY_LEN(tests));
}
