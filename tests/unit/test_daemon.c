/* SPDX-License-Identifier: BSD-2-Clause */
/* Going to the background: the parent ends with the child's word, and where the child's messages go meanwhile. */
#include "tests/unit/said.h"

#include <signal.h>
#include <sys/wait.h>
#include <syslog.h>

#include "tools/daemon.h"

static const struct daemon_config background = {.mountpoint = "/m"};
static int (*child)(void); /* what the daemon does; returns its exit code */

static int ends_with_7(void)
{
	daemon_log(LOG_WARNING, "about to fail");
	daemon_log(LOG_INFO, "not for the terminal");
	return 7;
}

static int ends_with_0(void)
{
	return 0;
}

static int dies(void)
{
	raise(SIGKILL);
	return 0;
}

/* Serves: leaves a file about itself, for the parent to see. */
static int serves(void)
{
	char line[64], folder[16];
	char *was = getcwd(line, sizeof(line));
	int result = open("result", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (!was || result < 0)
		return 1;
	daemon_log(LOG_WARNING, "heard");
	daemon_ready();
	daemon_log(LOG_WARNING, "not heard any more");
	fputs("nor this\n", stderr);
	fputs("nor this\n", stdout);
	fflush(NULL);
	struct stat terminal, nothing;
	bool away = getcwd(folder, sizeof(folder)) && strcmp(folder, "/") == 0 && getsid(0) == getpid() &&
		    fstat(STDERR_FILENO, &terminal) == 0 && stat("/dev/null", &nothing) == 0 &&
		    terminal.st_rdev == nothing.st_rdev;
	daemon_ready(); /* once is enough */
	daemon_leave();
	(void)!write(result, away ? "away" : "here", 4);
	close(result);
	return 9; /* what it ends with later is nobody's business */
}

/* Leaves the terminal and ends without a word: its exit code is the parent's. */
static int leaves(void)
{
	daemon_leave();
	daemon_log(LOG_ERR, "not heard");
	return 6;
}

static int run(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	fflush(NULL);
	int code = daemon_fork(&background);
	if (code >= 0)
		return code;
	code = child();
	fflush(NULL);
	_exit(code);
}

static int run_foreground(int argc, char **argv)
{
	const struct daemon_config cfg = {.foreground = true, .mountpoint = "/m"};

	(void)argc;
	(void)argv;
	int code = daemon_fork(&cfg);
	daemon_log(LOG_INFO, "all is heard");
	daemon_ready();
	daemon_leave();
	daemon_log(LOG_WARNING, "and later too");
	daemon_end(); /* by then it is all there */
	return code;
}

START_TEST(child_fails)
{
	child = ends_with_7;
	SAID(run, "mount");
	SAID_IS(7, "", "byokfs: warning: about to fail\n");
	child = ends_with_0;
	SAID(run, "mount");
	SAID_IS(0, "", "");
}
END_TEST

START_TEST(child_dies)
{
	child = dies;
	SAID(run, "mount");
	SAID_IS(CMD_FAILED, "", "byokfs: the daemon died of signal 9 before the mount was ready\n");
}
END_TEST

START_TEST(child_serves)
{
	char result[8] = "";

	child = serves;
	SAID(run, "mount");
	SAID_IS(CMD_OK, "", "byokfs: warning: heard\n");
	ck_assert_int_gt(wait(NULL), 0); /* the parent that ended is this process: the daemon is its child still */
	int fd = open("result", O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(read(fd, result, sizeof(result) - 1), 4);
	close(fd);
	ck_assert_str_eq(result, "away");
}
END_TEST

START_TEST(child_leaves)
{
	child = leaves;
	SAID(run, "mount");
	SAID_IS(6, "", "");
}
END_TEST

START_TEST(foreground)
{
	char was[PATH_MAX], is[PATH_MAX];

	ck_assert_ptr_nonnull(getcwd(was, sizeof(was)));
	SAID(run_foreground, "mount");
	SAID_IS(-1, "", "byokfs: all is heard\nbyokfs: and later too\n");
	ck_assert_ptr_nonnull(getcwd(is, sizeof(is)));
	ck_assert_str_eq(is, was);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {child_fails, child_dies, child_serves, child_leaves, foreground};

	return said_main("daemon", said_scratch, tests, ARRAY_LEN(tests));
}
