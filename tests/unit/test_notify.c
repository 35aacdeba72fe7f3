/* SPDX-License-Identifier: BSD-2-Clause */
/* The notify command: what it reads, in which order it runs, and that one that fails, hangs or is missing only is told. */
#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fs/watch/notify.h"
#include "kms/clock.h"

#define LONG_MS 60000

static char dir[64], script[80], told[80];
static char logged[8192];

static void log_line(int priority, const char *text)
{
	(void)priority;
	strncat(logged, text, sizeof(logged) - strlen(logged) - 2);
	strcat(logged, "\n");
}

static void setup(void)
{
	snprintf(dir, sizeof(dir), "/tmp/byokfs-notify-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(script, sizeof(script), "%s/command", dir);
	snprintf(told, sizeof(told), "%s/told", dir);
	logged[0] = '\0';
	alarm(20);
}

static void teardown(void)
{
	unlink(script);
	unlink(told);
	rmdir(dir);
}

/* The command is a shell script: BODY, in DIR. */
static void write_script(const char *body)
{
	FILE *f = fopen(script, "we");

	ck_assert_ptr_nonnull(f);
	fprintf(f, "#!/bin/sh\ncd %s || exit 1\n%s\n", dir, body);
	ck_assert_int_eq(fclose(f), 0);
	ck_assert_int_eq(chmod(script, 0700), 0);
}

static char *read_told(void)
{
	static char text[16384];
	FILE *f = fopen(told, "re");
	size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;

	text[n] = '\0';
	if (f)
		fclose(f);
	return text;
}

static struct notify_facts facts(const char *to)
{
	return (struct notify_facts){.mountpoint = "/mnt/a",
				     .store = "/srv/store",
				     .from = "active",
				     .to = to,
				     .cause = "",
				     .reason = "",
				     .when = 1700000000,
				     .supervisor_pid = 7,
				     .worker_pid = 8};
}

static void say(struct notify *n, const char *to)
{
	const struct notify_facts f = facts(to);

	char *text = notify_line(&f);
	ck_assert_ptr_nonnull(text);
	notify_put(n, text);
	free(text);
}

START_TEST(nothing)
{
	ck_assert_ptr_null(notify_new(NULL, LONG_MS, log_line));
	notify_put(NULL, "{}");
	ck_assert_uint_eq(notify_step(NULL), 0);
	notify_free(NULL, 0);
}
END_TEST

START_TEST(line)
{
	struct notify_facts f = facts("locking");

	write_script("cat >told; env >>told");
	f.mountpoint = "/mnt/m\xc3\xa4";
	f.store = "/srv/\xff\n";
	f.cause = "revoked";
	f.reason = "KMS: \"no\"";
	setenv("SECRET", "x", 1);
	struct notify *n = notify_new(script, LONG_MS, log_line);
	char *put = notify_line(&f);
	notify_put(n, put);
	free(put);
	notify_free(n, LONG_MS);
	ck_assert_str_eq(logged, "");
	const char *text = read_told();
	static const char want[] =
		"{\"mountpoint\":\"/mnt/m\xc3\xa4\",\"store\":\"/srv/\\udcff\\u000a\",\"from\":\"active\","
		"\"state\":\"locking\",\"cause\":\"revoked\",\"reason\":\"KMS: \\\"no\\\"\",\"time\":1700000000,"
		"\"supervisor_pid\":7,\"worker_pid\":8}\n";
	ck_assert_msg(strncmp(text, want, sizeof(want) - 1) == 0, "%s", text);
	ck_assert_ptr_null(strstr(text, "SECRET"));
	ck_assert_ptr_nonnull(strstr(text, "PATH="));
}
END_TEST

/* One at a time, in their order. */
START_TEST(order)
{
	write_script(
		"mkdir busy || echo overlap >>told; sed 's/.*\"state\":\"\\([^\"]*\\)\".*/\\1/' >>told; rmdir busy");
	struct notify *n = notify_new(script, LONG_MS, log_line);
	say(n, "one");
	say(n, "two");
	say(n, "three");
	ck_assert_uint_eq(notify_step(n), 3);
	notify_free(n, LONG_MS);
	ck_assert_str_eq(read_told(), "one\ntwo\nthree\n");
	ck_assert_str_eq(logged, "");
}
END_TEST

START_TEST(fails)
{
	write_script("exit 3");
	struct notify *n = notify_new(script, LONG_MS, log_line);
	say(n, "locked");
	notify_free(n, LONG_MS);
	ck_assert_ptr_nonnull(strstr(logged, "failed"));
}
END_TEST

START_TEST(missing)
{
	struct notify *n = notify_new(script, LONG_MS, log_line);
	say(n, "locking");
	say(n, "locked");
	notify_free(n, LONG_MS);
	ck_assert_ptr_nonnull(strstr(logged, "No such file or directory"));
	ck_assert_ptr_nonnull(strstr(logged, script));
}
END_TEST

/* It and what it has started are killed after the limit; the next change is told all the same. */
START_TEST(hangs)
{
	write_script(
		"if [ -e told ]; then echo second >>told; else echo $$ >told; sleep 600 & echo $! >>told; wait; fi");
	struct notify *n = notify_new(script, 500, log_line);
	int64_t t0 = clock_ms(CLOCK_MONOTONIC);
	say(n, "one");
	say(n, "two");
	ck_assert_int_lt(clock_ms(CLOCK_MONOTONIC) - t0, 450); /* whoever says something does not wait */
	notify_free(n, LONG_MS);
	ck_assert_int_ge(clock_ms(CLOCK_MONOTONIC) - t0, 500);
	ck_assert_ptr_nonnull(strstr(logged, "took too long and was killed"));
	int shell = 0, child = 0;
	ck_assert_int_eq(sscanf(read_told(), "%d\n%d", &shell, &child), 2);
	ck_assert_ptr_nonnull(strstr(read_told(), "second"));
	ck_assert(kill(shell, 0) < 0);
	for (int i = 0; i < 100 && kill(child, 0) == 0; i++) {
		char path[40], state[64] = "";
		snprintf(path, sizeof(path), "/proc/%d/stat", child);
		FILE *f = fopen(path, "re");
		if (!f || fscanf(f, "%*d %*s %60s", state) != 1 || state[0] == 'Z') {
			if (f)
				fclose(f);
			return; /* init has not reaped it yet */
		}
		fclose(f);
		clock_pause(10);
	}
	ck_assert(kill(child, 0) < 0);
}
END_TEST

/* The end of a mount waits for what is left, but not for good. */
START_TEST(end)
{
	write_script("echo run >>told; exec sleep 600");
	struct notify *n = notify_new(script, LONG_MS, log_line);
	say(n, "one");
	say(n, "two");
	int64_t t0 = clock_ms(CLOCK_MONOTONIC);
	notify_free(n, 200);
	int64_t ms = clock_ms(CLOCK_MONOTONIC) - t0;
	ck_assert(ms >= 200 && ms < 5000);
	ck_assert_ptr_nonnull(strstr(logged, "took too long and was killed"));
	ck_assert_ptr_nonnull(strstr(logged, "the mount has ended before all changes of state were told"));
}
END_TEST

/* A queue of bounded length: the oldest change is dropped, and that is told. */
START_TEST(overflow)
{
	write_script("while [ ! -e go ]; do sleep 0.02; done; sed 's/.*\"state\":\"\\([^\"]*\\)\".*/\\1/' >>told");
	struct notify *n = notify_new(script, LONG_MS, log_line);
	char go[80], name[8];
	say(n, "first");
	for (unsigned i = 0; i < NOTIFY_QUEUE + 2; i++) {
		snprintf(name, sizeof(name), "%u", i);
		say(n, name);
	}
	ck_assert_uint_eq(notify_step(n), NOTIFY_QUEUE + 1);
	ck_assert_ptr_nonnull(strstr(logged, "is too slow: a change of state is not told"));
	snprintf(go, sizeof(go), "%s/go", dir);
	close(open(go, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	notify_free(n, LONG_MS);
	unlink(go);
	const char *text = read_told();
	ck_assert_msg(strncmp(text, "first\n2\n3\n", 10) == 0, "%s", text);
	ck_assert_ptr_nonnull(strstr(text, "\n17\n"));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("notify");
	TCase *c = tcase_create("notify");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_set_timeout(c, 30);
	tcase_add_test(c, nothing);
	tcase_add_test(c, line);
	tcase_add_test(c, order);
	tcase_add_test(c, fails);
	tcase_add_test(c, missing);
	tcase_add_test(c, hangs);
	tcase_add_test(c, end);
	tcase_add_test(c, overflow);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed > 0;
}
