/* SPDX-License-Identifier: BSD-2-Clause */
/* What a subcommand says: its standard output, its standard error and its exit code, in a scratch folder of its own. */
#ifndef TESTS_UNIT_SAID_H
#define TESTS_UNIT_SAID_H

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/secret.h"
#include "tools/cmd.h"

#define SAID_MAX 65536
#define SAID_WORDS 80

/* Of the last run. In both texts the path of the scratch folder reads DIR. */
struct said {
	int code;
	char out[SAID_MAX], err[SAID_MAX];
	char dir[PATH_MAX]; /* canonical; "" before said_scratch() */
	int saved[2], heard[2];
};

static struct said said;

/* From here to said_stop() what is printed is kept. */
static inline void said_listen(void)
{
	fflush(stdout);
	fflush(stderr);
	for (int i = 0; i < 2; i++) {
		said.heard[i] = memfd_create("said", MFD_CLOEXEC);
		said.saved[i] = fcntl(STDOUT_FILENO + i, F_DUPFD_CLOEXEC, 3);
		ck_assert(said.heard[i] >= 0 && said.saved[i] >= 0);
		ck_assert_int_eq(dup2(said.heard[i], STDOUT_FILENO + i), STDOUT_FILENO + i);
	}
}

static inline void said_hide(char text[SAID_MAX])
{
	size_t len = strlen(said.dir);

	for (char *p = text; len > 0 && (p = strstr(p, said.dir));) {
		memcpy(p, "DIR", 3);
		memmove(p + 3, p + len, strlen(p + len) + 1);
	}
}

static inline void said_stop(void)
{
	fflush(stdout);
	fflush(stderr);
	for (int i = 0; i < 2; i++) {
		char *text = i ? said.err : said.out;
		dup2(said.saved[i], STDOUT_FILENO + i);
		close(said.saved[i]);
		ssize_t n = pread(said.heard[i], text, SAID_MAX - 1, 0);
		ck_assert_int_ge(n, 0);
		text[n] = 0;
		close(said.heard[i]);
		said_hide(text);
	}
}

/* getopt(3) from the start, whatever an earlier run left in the middle of. */
static inline void said_options_reset(void)
{
	char name[] = "none", *argv[] = {name, NULL};

	optind = 0;
	(void)getopt(1, argv, "");
	optind = 1;
}

/* RUN as main() would: WORDS are writable copies, ended by NULL. The exit code is in said.code too. */
static inline int said_run(int (*run)(int, char **), const char *const *words)
{
	char *argv[SAID_WORDS + 1] = {0};
	int argc = 0;

	for (; words[argc]; argc++) {
		ck_assert_int_lt(argc, SAID_WORDS);
		argv[argc] = strdup(words[argc]);
	}
	char *given[SAID_WORDS + 1];
	memcpy(given, argv, sizeof(given)); /* getopt changes the order */
	said_options_reset();
	said_listen();
	said.code = run(argc, argv);
	said_stop();
	for (int i = 0; i < argc; i++)
		free(given[i]);
	return said.code;
}

/* SAID(cmd_init, "init", "store") */
#define SAID(command, ...) said_run(command, (const char *const[]){__VA_ARGS__, NULL})

/* The last run ended with CODE and printed exactly this. */
#define SAID_IS(want, text_out, text_err)             \
	do {                                          \
		ck_assert_str_eq(said.err, text_err); \
		ck_assert_str_eq(said.out, text_out); \
		ck_assert_int_eq(said.code, want);    \
	} while (0)

/* TEXT, as far as it goes. */
#define SAID_BEGINS(text, beginning) ck_assert_msg(strncmp(text, beginning, sizeof(beginning) - 1) == 0, "%s", text)

/* A wrong command line of the subcommand NAME: exit code 2, nothing on standard output, one sentence and where help is. */
#define SAID_USAGE(name, sentence) \
	SAID_IS(CMD_USAGE, "", "byokfs " name ": " sentence "\nTry 'byokfs " name " --help'.\n")

/*
 * Make FOLDER (absolute) the place where the test stands: home, state and run-time directories are in it, there is no terminal
 * to ask on and no credential. In a checked fixture: the process is the test's own.
 */
static inline void said_enter(const char *folder)
{
	static const char *const names[] = {"HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "BYOKFS_STATE_DIR"};

	ck_assert_ptr_nonnull(realpath(folder, said.dir));
	ck_assert_int_eq(chdir(said.dir), 0);
	umask(022);
	(void)setsid();
	int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(dup2(nothing, STDIN_FILENO), 0);
	close(nothing);
	ck_assert_int_eq(mkdir("home", 0700), 0);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char path[PATH_MAX + 8];
		snprintf(path, sizeof(path), "%s/home", said.dir);
		setenv(names[i], path, 1);
	}
	unsetenv("CREDENTIALS_DIRECTORY");
}

/* A scratch folder to stand in. */
static inline void said_scratch(void)
{
	char template[] = "/tmp/byokfs-said-XXXXXX";

	ck_assert_int_eq(secret_init(), 0);
	ck_assert_ptr_nonnull(mkdtemp(template));
	said_enter(template);
}

static inline void said_scratch_end(void)
{
	char command[PATH_MAX + 16];

	ck_assert_int_eq(chdir("/"), 0);
	snprintf(command, sizeof(command), "rm -rf %s", said.dir);
	ck_assert_int_eq(system(command), 0);
}

static inline void said_put(const char *path, const void *bytes, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, bytes, len), (ssize_t)len);
	close(fd);
}

/* main() of a test program. SETUP (said_scratch, or what calls it) before each test, and an end of its folder; NULL: neither. */
static inline int said_main(const char *name, void (*setup)(void), const TTest *const *tests, size_t n)
{
	Suite *suite = suite_create(name);
	TCase *tcase = tcase_create(name);

	tcase_set_timeout(tcase, 60);
	if (setup)
		tcase_add_checked_fixture(tcase, setup, said_scratch_end);
	for (size_t i = 0; i < n; i++)
		tcase_add_test(tcase, tests[i]);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
