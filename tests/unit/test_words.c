/* SPDX-License-Identifier: BSD-2-Clause */
/* The process that speaks: lines in their order, a log that does not read holds up nobody, and what is missing is told. */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "fs/watch/words.h"
#include "fs/watch/words_own.h"
#include "kms/clock.h"

#define STALLED_MS 600000 /* longer than the test */

static char dir[64], told[80], go[80];

static void setup(void)
{
	snprintf(dir, sizeof(dir), "/tmp/byokfs-words-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(told, sizeof(told), "%s/told", dir);
	snprintf(go, sizeof(go), "%s/go", dir);
}

static void teardown(void)
{
	unlink(told);
	unlink(go);
	rmdir(dir);
}

/* In the process that speaks. */
static void to_file(int priority, const char *text)
{
	FILE *f = fopen(told, "ae");

	if (f) {
		fprintf(f, "%d %s\n", priority, text);
		fclose(f);
	}
}

static void when_let(int priority, const char *text)
{
	for (int ms = 0; access(go, F_OK) != 0 && ms < STALLED_MS; ms++)
		clock_pause(1);
	to_file(priority, text);
}

static char *read_told(void)
{
	static char text[1 << 20];
	FILE *f = fopen(told, "re");
	size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;

	text[n] = '\0';
	if (f)
		fclose(f);
	return text;
}

static struct words *begin(void (*out)(int priority, const char *text))
{
	const struct words_config cfg = {.mountpoint = "/mnt/a", .out = out};
	struct words *w = NULL;

	ck_assert_int_eq(words_start(&cfg, &w), 0);
	return w;
}

START_TEST(order)
{
	struct words *w = begin(to_file);
	char text[16], want[16 * 200] = "";

	for (int i = 0; i < 200; i++) {
		snprintf(text, sizeof(text), "line %d", i);
		snprintf(want + strlen(want), sizeof(want) - strlen(want), "4 line %d\n", i);
		words_log(w, LOG_WARNING, text);
	}
	words_end(w);
	ck_assert_str_eq(read_told(), want);
	words_log(NULL, LOG_INFO, "to nobody");
	words_end(NULL);
}
END_TEST

/* Another process, forked later, speaks through the same one, which ends when both have. */
START_TEST(two_processes)
{
	struct words *w = begin(to_file);
	pid_t pid = fork();

	if (pid == 0) {
		clock_pause(200);
		words_log(w, LOG_ERR, "the child");
		_exit(0);
	}
	words_log(w, LOG_ERR, "the parent");
	words_end(w);
	ck_assert_str_eq(read_told(), "3 the parent\n3 the child\n");
}
END_TEST

/* Nobody reads: whoever speaks goes on at once; afterwards what is missing is told, once and where it is missing. */
START_TEST(stalled)
{
	enum { LINES = 20000 };
	struct words *w = begin(when_let);
	char text[32];
	unsigned missing = 0, told_lines = 0;
	int64_t t0 = clock_ms(CLOCK_MONOTONIC);

	for (int i = 0; i < LINES; i++) {
		snprintf(text, sizeof(text), "line %d", i);
		words_log(w, LOG_INFO, text);
	}
	ck_assert_int_lt(clock_ms(CLOCK_MONOTONIC) - t0, 10000);
	close(open(go, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	clock_pause(500); /* room again; however long it takes, the count below holds */
	words_log(w, LOG_INFO, "the last");
	words_end(w);
	for (const char *at = strtok(read_told(), "\n"); at; at = strtok(NULL, "\n")) {
		unsigned n;

		if (sscanf(at, "4 " WORDS_DROPPED, &n) == 1)
			missing += n;
		else
			told_lines++;
	}
	ck_assert_uint_gt(missing, 0);
	ck_assert_uint_ge(told_lines, 100);
	/* the socket's share may be told by nobody if the last line found no room either */
	ck_assert_uint_le(missing + told_lines, LINES + 1);
}
END_TEST

/* The end of a mount does not wait for a log that does not read. */
START_TEST(end)
{
	struct words *w = begin(when_let);
	int64_t t0 = clock_ms(CLOCK_MONOTONIC);

	words_log(w, LOG_INFO, "never read");
	words_end(w);
	int64_t ms = clock_ms(CLOCK_MONOTONIC) - t0;
	ck_assert_msg(ms >= 500 && ms < 20000, "%lld ms", (long long)ms);
	ck_assert_str_eq(read_told(), "");
}
END_TEST

/* Dropped lines stand where they are missing. */
START_TEST(queue)
{
	struct words_queue q;
	const struct words_line head = {.priority = LOG_INFO, .pid = 7};
	static const char *const want[] = {"0", "1", "3 lines are missing here: the log did not take them", "new"};
	char text[8];

	words_queue_init(&q, 2);
	for (int i = 0; i < 5; i++) {
		snprintf(text, sizeof(text), "%d", i);
		words_queue_put(&q, &head, text);
	}
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		struct words_line *l = words_queue_take(&q);
		ck_assert_ptr_nonnull(l);
		ck_assert_str_eq(l->text, want[i]);
		ck_assert_int_eq(l->pid, i == 2 ? getppid() : 7);
		free(l);
		words_queue_said(&q);
		if (i == 2)
			words_queue_put(&q, &head, "new");
	}
	words_queue_drain(&q, 10000);
	ck_assert_uint_eq(q.n, 0);
}
END_TEST

/* A notify command is run here, and fails into the log. */
START_TEST(notifies)
{
	const struct words_config cfg = {.mountpoint = "/mnt/a", .out = to_file, .notify_command = "/nonexistent"};
	const struct notify_facts f = {
		.mountpoint = "/mnt/a", .store = "/s", .from = "a", .to = "b", .cause = "", .reason = ""};
	struct words *w = NULL;

	ck_assert_int_eq(words_start(&cfg, &w), 0);
	words_notify(w, &f);
	words_end(w);
	ck_assert_ptr_nonnull(strstr(read_told(), "No such file or directory"));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("words");
	TCase *c = tcase_create("words");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_set_timeout(c, 60);
	tcase_add_test(c, order);
	tcase_add_test(c, two_processes);
	tcase_add_test(c, stalled);
	tcase_add_test(c, end);
	tcase_add_test(c, queue);
	tcase_add_test(c, notifies);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed > 0;
}
