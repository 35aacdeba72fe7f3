/* SPDX-License-Identifier: BSD-2-Clause */
/* What all subcommands share: exit codes of errors, numbers and times, near misses, wrong options, messages. */
#include "tests/unit/said.h"

#include <sys/stat.h>

/* Exit codes */

START_TEST(exit_codes)
{
	const struct {
		int error;
		enum cmd_exit code;
	} row[] = {
		{0, CMD_OK},
		{-EKEYREVOKED, CMD_REFUSED},
		{-ETIMEDOUT, CMD_UNREACHABLE},
		{-EBADMSG, CMD_DAMAGED},
		{-EUCLEAN, CMD_DAMAGED},
		{-EBUSY, CMD_BUSY},
		{-ENOTEMPTY, CMD_BUSY},
		{-EKEYREJECTED, CMD_PASSPHRASE},
		{-ENOKEY, CMD_PASSPHRASE},
		{-ENOENT, CMD_NOT_FOUND},
		{-ENOTDIR, CMD_NOT_FOUND},
		{-EACCES, CMD_NOT_ALLOWED},
		{-EPERM, CMD_FAILED}, /* means different things in store, keystore and kernel: its callers know */
		{-EIO, CMD_FAILED},
		{-ENOMEM, CMD_FAILED},
		{-ENOSPC, CMD_FAILED},
		{-EINVAL, CMD_FAILED},
		{ENOENT, CMD_FAILED}, /* errors are negative */
	};

	for (size_t i = 0; i < ARRAY_LEN(row); i++)
		ck_assert_msg(cmd_exit_of(row[i].error) == row[i].code, "%d: %d, not %d", row[i].error,
			      cmd_exit_of(row[i].error), row[i].code);
}
END_TEST

/* Scripts rely on them, and byokfs(1) lists them. */
START_TEST(exit_numbers)
{
	ck_assert(CMD_OK == 0 && CMD_FAILED == 1 && CMD_USAGE == 2 && CMD_REFUSED == 3);
	ck_assert(CMD_UNREACHABLE == 4 && CMD_DAMAGED == 5 && CMD_BUSY == 6 && CMD_PASSPHRASE == 7);
	ck_assert(CMD_NOT_FOUND == 8 && CMD_NOT_TRUSTED == 9 && CMD_NOT_ALLOWED == 10);
}
END_TEST

/* Numbers */

START_TEST(numbers)
{
	const struct {
		const char *text, *suffixes;
		uint64_t lo, hi, n;
	} row[] = {
		{"0", NULL, 0, 9, 0},
		{"9", NULL, 0, 9, 9},
		{"007", NULL, 0, 9, 7},
		{"30", "smhd", 0, 100, 30},
		{"30s", "smhd", 0, 100, 30},
		{"2m", "smhd", 120, 120, 120},
		{"1h", "smhd", 0, 3600, 3600},
		{"1d", "smhd", 0, 86400, 86400},
		{"4k", "kKM", 4096, 1 << 20, 4096},
		{"4K", "kKM", 4096, 1 << 20, 4096},
		{"1M", "kKM", 4096, 1 << 20, 1 << 20},
		{"0d", "smhd", 0, 10, 0},
		{"18446744073709551609", NULL, 0, UINT64_MAX, UINT64_MAX - 6},
		{"18446744073709551615", NULL, 0, UINT64_MAX, UINT64_MAX},
	};

	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		uint64_t n = 12345;
		ck_assert_msg(cmd_number(row[i].text, row[i].suffixes, row[i].lo, row[i].hi, &n) == 0, "%s",
			      row[i].text);
		ck_assert_uint_eq(n, row[i].n);
	}
}
END_TEST

START_TEST(numbers_refused)
{
	const struct {
		const char *text, *suffixes;
		uint64_t lo, hi;
	} row[] = {
		{"", "smhd", 0, 100},
		{"s", "smhd", 0, 100},
		{"-1", "smhd", 0, 100},
		{"+1", "smhd", 0, 100},
		{" 1", "smhd", 0, 100},
		{"1 ", "smhd", 0, 100},
		{"1.5h", "smhd", 0, 100000},
		{"0x10", NULL, 0, 100},
		{"1s", NULL, 0, 100},
		{"1k", "smhd", 0, 10000},
		{"1m", "kKM", 0, 10000},
		{"1mm", "smhd", 0, 100000},
		{"1m30s", "smhd", 0, 100000},
		{"1w", "smhdw", 0, UINT64_MAX}, /* a suffix without a factor is none */
		{"1", "smhd", 2, 100},
		{"101", "smhd", 2, 100},
		{"2m", "smhd", 2, 100},
		{"18446744073709551616", NULL, 0, UINT64_MAX},
		{"18446744073709551620", NULL, 0, UINT64_MAX},
		{"99999999999999999999999", NULL, 0, UINT64_MAX},
		{"18446744073709551615d", "smhd", 0, UINT64_MAX}, /* the product is too long */
		{"213503982334602d", "smhd", 0, UINT64_MAX},
	};

	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		uint64_t n = 12345;
		ck_assert_msg(cmd_number(row[i].text, row[i].suffixes, row[i].lo, row[i].hi, &n) == -EINVAL, "%s",
			      row[i].text);
		ck_assert_uint_eq(n, 12345);
	}
}
END_TEST

static const char *block_text;
static uint32_t block_len;

static int block_size(int argc, char **argv)
{
	(void)argc;
	return cmd_block_size(argv[0], block_text, &block_len);
}

START_TEST(block_sizes)
{
	const struct {
		const char *text;
		uint32_t len; /* 0: refused */
	} row[] = {
		{"4096", 4096}, {"4k", 4096}, {"64K", 65536}, {"1M", 1 << 20}, {"1024k", 1 << 20},
		{"4095", 0},    {"2k", 0},    {"5k", 0},      {"2M", 0},       {"12k", 0},
		{"", 0},        {"k", 0},     {"4kk", 0},     {"-4k", 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		char want[256];
		block_text = row[i].text;
		block_len = 7;
		SAID(block_size, "init");
		snprintf(want, sizeof(want),
			 "byokfs init: --block-size is a power of two from 4k to 1M, not '%s'\n"
			 "Try 'byokfs init --help'.\n",
			 row[i].text);
		SAID_IS(row[i].len ? CMD_OK : CMD_USAGE, "", row[i].len ? "" : want);
		ck_assert_uint_eq(block_len, row[i].len ? row[i].len : 7);
	}
}
END_TEST

/* Near misses */

START_TEST(near)
{
	static const char *const list[] = {"mount", "umount", "lock", "unlock", "status", "ro", "rw", NULL};
	const struct {
		const char *word, *meant;
	} row[] = {
		{"mount", "mount"},    {"moutn", "mount"}, /* two neighbours exchanged are one step */
		{"mnt", NULL},     /* a short word gets one step only: three letters would be near to anything */
		{"mont", "mount"}, /* one left out */
		{"unmount", "umount"}, {"unlok", "unlock"}, {"sttaus", "status"},
		{"stautss", "status"}, {"or", "ro"},        {"rx", "ro"}, /* the first of two equally near */
		{"xyz", NULL},         {"", NULL},          {"verify", NULL},
	};

	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		const char *got = cmd_near(row[i].word, list);
		ck_assert_msg(row[i].meant ? got && strcmp(got, row[i].meant) == 0 : !got, "%s: %s", row[i].word,
			      got ? got : "-");
	}
}
END_TEST

START_TEST(near_long)
{
	char word[64];
	static const char *const list[] = {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbb", NULL};

	memset(word, 'a', sizeof(word) - 1);
	word[sizeof(word) - 1] = 0;
	ck_assert_ptr_null(cmd_near(word, list)); /* longer than any option: not compared */
	word[40] = 0;
	ck_assert_ptr_null(cmd_near(word, list));
	ck_assert_str_eq(cmd_near("bbbbbbbbcc", list), "bbbbbbbb");
	ck_assert_ptr_null(cmd_near("bbbbbbbbccc", list));
}
END_TEST

/* Options */

static const struct option longs[] = {
	{"verbose", no_argument, NULL, 'v'},
	{"name", required_argument, NULL, 300},
	{"wait", optional_argument, NULL, 301},
	{0},
};
static char taken[256];
static int rest;

/* A subcommand that tells what it was given. */
static int options(int argc, char **argv)
{
	int c;

	taken[0] = 0;
	while ((c = cmd_option(argc, argv, "vn:", longs)) != -1) {
		char one[64];
		if (c == '?')
			return CMD_USAGE;
		snprintf(one, sizeof(one), "%d=%s;", c, optarg ? optarg : "-");
		strncat(taken, one, sizeof(taken) - strlen(taken) - 1);
	}
	rest = optind;
	return CMD_OK;
}

START_TEST(options_good)
{
	SAID(options, "x", "-v", "file", "--name", "a b", "--name=", "--wait", "--wait=3s", "-nq", "--", "--verbose");
	SAID_IS(CMD_OK, "", "");
	ck_assert_str_eq(taken, "118=-;300=a b;300=;301=-;301=3s;110=q;");
	ck_assert_int_eq(rest, 9); /* behind "--"; words that are none have moved to the end */
	SAID(options, "x");
	SAID_IS(CMD_OK, "", "");
	ck_assert_int_eq(rest, 1);
	SAID(options, "x", "--verb", "--na", "1");
	SAID_IS(CMD_OK, "", ""); /* getopt's abbreviations */
	ck_assert_str_eq(taken, "118=-;300=1;");
}
END_TEST

START_TEST(options_wrong)
{
	SAID(options, "x", "--verbos3");
	SAID_USAGE("x", "unknown option '--verbos3': did you mean '--verbose'?");
	SAID(options, "x", "--nmae=secret");
	SAID_USAGE("x", "unknown option '--nmae': did you mean '--name'?"); /* the value is not repeated */
	SAID(options, "x", "--frobnicate");
	SAID_USAGE("x", "unknown option '--frobnicate'");
	SAID(options, "x", "-v", "-z");
	SAID_USAGE("x", "unknown option '-z'");
	SAID(options, "x", "-vz");
	SAID_USAGE("x", "unknown option '-z'");
	SAID(options, "x", "--name");
	SAID_USAGE("x", "option '--name' needs a value");
	SAID(options, "x", "-n");
	SAID_USAGE("x", "option '-n' needs a value");
	SAID(options, "x", "--verbose=1");
	SAID_USAGE("x", "option '--verbose=1' takes no value");
	SAID(options, "keystore create", "--x");
	SAID_USAGE("keystore create", "unknown option '--x'");
}
END_TEST

START_TEST(options_long_word)
{
	char word[600], want[700];

	memset(word, 'x', sizeof(word));
	memcpy(word, "--", 2);
	word[sizeof(word) - 1] = 0;
	SAID(options, "x", word);
	word[2 + 32] = 0;
	snprintf(want, sizeof(want), "byokfs x: unknown option '%s'\nTry 'byokfs x --help'.\n", word);
	SAID_IS(CMD_USAGE, "", want);
}
END_TEST

/* Messages */

static int messages(int argc, char **argv)
{
	(void)argc;
	cmd_warn("%s is %d%%", argv[1], 7);
	return cmd_fail(CMD_BUSY, "%s: %s", argv[1], "in use");
}

START_TEST(messages_text)
{
	SAID(messages, "x", "a%sb");
	SAID_IS(CMD_BUSY, "", "byokfs: warning: a%sb is 7%\nbyokfs: a%sb: in use\n");
	/* what others said is shown, not obeyed */
	SAID(messages, "x", "\033]0;t\a\n");
	SAID_IS(CMD_BUSY, "", "byokfs: warning: ?]0;t?? is 7%\nbyokfs: ?]0;t??: in use\n");
}
END_TEST

/* Folders */

START_TEST(folder_empty)
{
	bool empty = false;

	ck_assert_int_eq(mkdir("d", 0700), 0);
	ck_assert_int_eq(cmd_folder_empty("d", &empty), 0);
	ck_assert(empty);
	said_put("d/.hidden", "", 0);
	ck_assert_int_eq(cmd_folder_empty("d", &empty), 0);
	ck_assert(!empty);
	ck_assert_int_eq(unlink("d/.hidden"), 0);
	ck_assert_int_eq(mkdir("d/sub", 0700), 0);
	ck_assert_int_eq(cmd_folder_empty("d", &empty), 0);
	ck_assert(!empty);
	said_put("f", "", 0);
	ck_assert_int_eq(cmd_folder_empty("f", &empty), -ENOTDIR);
	ck_assert_int_eq(cmd_folder_empty("none", &empty), -ENOENT);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		exit_codes, exit_numbers, numbers,       numbers_refused,   block_sizes,   near,
		near_long,  options_good, options_wrong, options_long_word, messages_text, folder_empty,
	};

	return said_main("cmd", said_scratch, tests, ARRAY_LEN(tests));
}
