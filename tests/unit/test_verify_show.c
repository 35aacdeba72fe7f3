/* SPDX-License-Identifier: BSD-2-Clause */
/* What `byokfs verify` prints: problems, summary and progress, as lines and as JSON, with and without a terminal. */
#include "tests/unit/said.h"

#include "kms/clock.h"
#include "tools/verify_show.h"

static struct verify_show show;
static struct check_problem problem;
static struct check_counts counts;
static struct verify_result result;

static int show_problem(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	verify_show_problem(&show, &problem);
	return 0;
}

static int show_end(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	verify_show_end(&show, &counts, &result);
	return result.exit_code;
}

static int show_progress(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	verify_show_progress(&show, &counts);
	return 0;
}

static int show_log(int argc, char **argv)
{
	(void)argc;
	verify_show_log(&show, argv[1]);
	return 0;
}

static void begin(bool json)
{
	verify_show_begin(&show, json);
	show.terminal = false;
	ck_assert_int_eq(show.json, json);
	ck_assert(!show.drawn);
}

#define PROBLEM_IS(text)                      \
	do {                                  \
		SAID(show_problem, "verify"); \
		SAID_IS(0, text, "");         \
	} while (0)
/* The check has begun just now: how long it took is told in seconds. */
#define END_IS(text)                                       \
	do {                                               \
		show.begun_ms = clock_ms(CLOCK_MONOTONIC); \
		SAID(show_end, "verify");                  \
		SAID_IS(result.exit_code, text, "");       \
	} while (0)

/* Problems */

START_TEST(problem_lines)
{
	begin(false);
	problem = (struct check_problem){.path = "data/x",
					 .plain = "/docs/a",
					 .code = CHECK_BLOCK,
					 .severity = CHECK_DAMAGE,
					 .block = 3,
					 .last = 5,
					 .text = "blocks 3 to 5 are altered"};
	PROBLEM_IS("damage: /docs/a (data/x): blocks 3 to 5 are altered\n");
	problem.plain = NULL;
	PROBLEM_IS("damage: data/x: blocks 3 to 5 are altered\n");
	problem.severity = CHECK_CRASH;
	PROBLEM_IS("crash: data/x: blocks 3 to 5 are altered\n");
	problem.severity = CHECK_NOTE;
	PROBLEM_IS("note: data/x: blocks 3 to 5 are altered\n");
	problem.repaired = 1;
	PROBLEM_IS("repaired: data/x: blocks 3 to 5 are altered\n");
	/* of the store as a whole: no path on disk beside the other */
	problem.plain = "/";
	problem.path = "";
	PROBLEM_IS("repaired: /: blocks 3 to 5 are altered\n");
}
END_TEST

/* Names are a stranger's. */
START_TEST(problem_escapes)
{
	begin(false);
	problem = (struct check_problem){.path = "data/\x1b[2J",
					 .plain = "/a\nb\\",
					 .code = CHECK_NAME,
					 .severity = CHECK_DAMAGE,
					 .block = -1,
					 .last = -1,
					 .text = "a\rb"};
	PROBLEM_IS("damage: /a\\x0ab\\x5c (data/\\x1b[2J): a\\x0db\n");
	begin(true);
	PROBLEM_IS(
		"{\"type\": \"problem\", \"severity\": \"damage\", \"code\": \"name\", \"path\": \"data/\\u001b[2J\", "
		"\"plain\": \"/a\\u000ab\\\\\", \"repaired\": false, \"text\": \"a\\u000db\"}\n");
}
END_TEST

START_TEST(problem_json)
{
	begin(true);
	problem = (struct check_problem){.path = "data/x",
					 .plain = "/x",
					 .code = CHECK_BLOCK,
					 .severity = CHECK_DAMAGE,
					 .block = 0,
					 .last = 5,
					 .text = "t"};
	PROBLEM_IS("{\"type\": \"problem\", \"severity\": \"damage\", \"code\": \"block\", \"path\": \"data/x\", "
		   "\"plain\": \"/x\", \"block\": 0, \"last\": 5, \"repaired\": false, \"text\": \"t\"}\n");
	problem.plain = NULL;
	problem.block = problem.last = -1;
	problem.repaired = 1;
	problem.code = CHECK_LEFTOVER;
	problem.severity = CHECK_NOTE;
	PROBLEM_IS("{\"type\": \"problem\", \"severity\": \"note\", \"code\": \"leftover\", \"path\": \"data/x\", "
		   "\"repaired\": true, \"text\": \"t\"}\n");
}
END_TEST

START_TEST(log_lines)
{
	begin(false);
	SAID(show_log, "verify", "3 writes in flight were completed\x07");
	SAID_IS(0, "", "byokfs: 3 writes in flight were completed\\x07\n");
	begin(true);
	SAID(show_log, "verify", "x");
	SAID_IS(0, "", "byokfs: x\n"); /* never between the objects on standard output */
}
END_TEST

/* Summary */

static void clean_store(void)
{
	counts = (struct check_counts){.files = 1, .dirs = 1, .specials = 1, .bytes = 1};
	result = (struct verify_result){.store = "/srv/s", .with_key = true, .complete = true};
}

START_TEST(summary_lines)
{
	begin(false);
	clean_store();
	END_IS("/srv/s: 1 file, 1 directory, 1 special object, 1 bytes checked in 0:00\nnothing wrong\n");
	counts = (struct check_counts){.files = 2, .dirs = 0, .specials = 3, .bytes = 1536};
	result.with_key = false;
	END_IS("/srv/s: 2 files, 0 directories, 3 special objects, 1.5 KiB checked without the key (structure only) in "
	       "0:00\nnothing wrong\n");
	counts = (struct check_counts){
		.files = 2, .dirs = 2, .damage = 1, .crash = 2, .notes = 3, .repaired = 4, .busy = 5};
	result.with_key = true;
	END_IS("/srv/s: 2 files, 2 directories, 0 special objects, 0 bytes checked in 0:00\n"
	       "damage: 1, left by a crash: 2, notes: 3, repaired: 4, in use and not looked at: 5\n");
	counts = (struct check_counts){.files = 2, .dirs = 2, .notes = 1};
	result.complete = false;
	END_IS("/srv/s: 2 files, 2 directories, 0 special objects, 0 bytes checked in 0:00\nnotes: 1, not complete\n");
	counts.notes = 0;
	END_IS("/srv/s: 2 files, 2 directories, 0 special objects, 0 bytes checked in 0:00\nnot complete\n");
	result.store = "a\nb";
	SAID(show_end, "verify");
	SAID_BEGINS(said.out, "a\\x0ab: 2 files");
}
END_TEST

/* A store that a crash left: what it counts as now. */
START_TEST(summary_unclean)
{
	begin(false);
	clean_store();
	result.unclean = result.marked_clean = true;
	END_IS("/srv/s: 1 file, 1 directory, 1 special object, 1 bytes checked in 0:00\nnothing wrong\n"
	       "The store was not closed cleanly before; it counts as clean now.\n");
	result.marked_clean = false;
	END_IS("/srv/s: 1 file, 1 directory, 1 special object, 1 bytes checked in 0:00\nnothing wrong\n"
	       "The store was not closed cleanly, and counts as such until a check finds nothing.\n");
	counts.crash = 1;
	END_IS("/srv/s: 1 file, 1 directory, 1 special object, 1 bytes checked in 0:00\nleft by a crash: 1\n"
	       "The store was not closed cleanly. A mount tolerates what the crash left; byokfs verify --repair puts "
	       "it "
	       "right.\n");
	result.unclean = false;
	END_IS("/srv/s: 1 file, 1 directory, 1 special object, 1 bytes checked in 0:00\nleft by a crash: 1\n");
}
END_TEST

START_TEST(sizes_and_durations)
{
	const struct {
		uint64_t bytes;
		const char *text;
	} row[] = {
		{0, "0 bytes"},          {1023, "1023 bytes"},    {1024, "1.0 KiB"},
		{1048575, "1024.0 KiB"}, {1048576, "1.0 MiB"},    {5368709120, "5.0 GiB"},
		{1ull << 40, "1.0 TiB"}, {3ull << 50, "3.0 PiB"}, {UINT64_MAX, "16.0 EiB"},
	};
	const struct {
		int seconds;
		const char *text;
	} lasted[] = {{0, "0:00"},       {59, "0:59"},        {60, "1:00"},         {3599, "59:59"},
		      {3600, "1:00:00"}, {86399, "23:59:59"}, {360000, "100:00:00"}};
	char want[256];

	begin(false);
	clean_store();
	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		counts.bytes = row[i].bytes;
		snprintf(want, sizeof(want),
			 "/srv/s: 1 file, 1 directory, 1 special object, %s checked in 0:00\nnothing wrong\n",
			 row[i].text);
		END_IS(want);
	}
	counts.bytes = 0;
	for (size_t i = 0; i < ARRAY_LEN(lasted); i++) {
		show.begun_ms = clock_ms(CLOCK_MONOTONIC) - lasted[i].seconds * 1000 - 100;
		snprintf(want, sizeof(want),
			 "/srv/s: 1 file, 1 directory, 1 special object, 0 bytes checked in %s\nnothing wrong\n",
			 lasted[i].text);
		SAID(show_end, "verify");
		SAID_IS(0, want, "");
	}
}
END_TEST

START_TEST(summary_json)
{
	begin(true);
	clean_store();
	counts = (struct check_counts){.files = 1,
				       .dirs = 2,
				       .specials = 3,
				       .bytes = 4,
				       .total = 99,
				       .notes = 5,
				       .crash = 6,
				       .damage = 7,
				       .repaired = 8,
				       .busy = 9};
	result.unclean = true;
	result.exit_code = 5;
	SAID(show_end, "verify");
	char *ms = strstr(said.out, "\"milliseconds\": ");
	ck_assert_ptr_nonnull(ms);
	ms += 16;
	ck_assert_int_lt(atoi(ms), 60000);
	memmove(ms + 1, ms + strspn(ms, "0123456789"), strlen(ms + strspn(ms, "0123456789")) + 1);
	*ms = 'T';
	SAID_IS(5,
		"{\"type\": \"summary\", \"store\": \"/srv/s\", \"with_key\": true, \"complete\": true, \"files\": 1, "
		"\"directories\": 2, \"specials\": 3, \"bytes\": 4, \"notes\": 5, \"crash\": 6, \"damage\": 7, "
		"\"repaired\": 8, \"busy\": 9, \"unclean\": true, \"marked_clean\": false, \"milliseconds\": T, "
		"\"exit\": 5}\n",
		"");
}
END_TEST

/* Progress */

#define PROGRESS_IS(text)                      \
	do {                                   \
		SAID(show_progress, "verify"); \
		SAID_IS(0, "", text);          \
	} while (0)

START_TEST(no_terminal)
{
	verify_show_begin(&show, false);
	ck_assert(!isatty(STDERR_FILENO) == !show.terminal);
	begin(false);
	show.begun_ms -= 10000;
	counts = (struct check_counts){.files = 5, .bytes = 10, .total = 20};
	PROGRESS_IS("");
	ck_assert(!show.drawn);
}
END_TEST

/* Begun 10 s ago; what depends on the moment (rate, time left) is a round number within half a percent. */
static void terminal(void)
{
	begin(false);
	show.terminal = true;
	show.begun_ms = clock_ms(CLOCK_MONOTONIC) - 10000;
	show.drawn_ms = 0;
}

START_TEST(progress)
{
	counts = (struct check_counts){.files = 5, .specials = 2, .bytes = 50 << 20};
	terminal();
	SAID(show_progress, "verify"); /* the sum is not known yet */
	SAID_BEGINS(said.err, "\r7 files, 50.0 MiB, ");
	ck_assert_ptr_nonnull(strstr(said.err, " MiB/s\033[K"));
	ck_assert(show.drawn);
	PROGRESS_IS(""); /* not more often than every 200 ms */
	counts.total = 200 << 20;
	terminal();
	SAID(show_progress, "verify");
	SAID_BEGINS(said.err, "\r 25% [#####...............] 50.0 MiB of 200.0 MiB, ");
	ck_assert_ptr_nonnull(strstr(said.err, "/s, 0:30 left\033[K"));
	counts.bytes = 300 << 20; /* holes make the sum wrong: never more than all */
	terminal();
	SAID(show_progress, "verify");
	SAID_BEGINS(said.err, "\r100% [####################] 300.0 MiB of 200.0 MiB, ");
	ck_assert_ptr_nonnull(strstr(said.err, "/s, 0:00 left\033[K"));
	counts.bytes = 0;
	terminal();
	PROGRESS_IS("\r7 files, 0 bytes, 0 bytes/s\033[K");
}
END_TEST

/* The line is taken away before something else is printed, once. */
START_TEST(progress_cleared)
{
	counts = (struct check_counts){.files = 1};
	terminal();
	SAID(show_progress, "verify");
	ck_assert(show.drawn);
	problem = (struct check_problem){
		.path = "data/x", .code = CHECK_IO, .severity = CHECK_DAMAGE, .block = -1, .text = "t"};
	SAID(show_problem, "verify");
	SAID_IS(0, "damage: data/x: t\n", "\r\033[K");
	SAID(show_problem, "verify");
	SAID_IS(0, "damage: data/x: t\n", "");
	show.drawn = true;
	SAID(show_log, "verify", "x");
	SAID_IS(0, "", "\r\033[Kbyokfs: x\n");
	show.drawn = true;
	clean_store();
	SAID(show_end, "verify");
	ck_assert_str_eq(said.err, "\r\033[K");
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		problem_lines,       problem_escapes, problem_json, log_lines, summary_lines,    summary_unclean,
		sizes_and_durations, summary_json,    no_terminal,  progress,  progress_cleared,
	};

	return said_main("verify_show", NULL, tests, ARRAY_LEN(tests));
}
