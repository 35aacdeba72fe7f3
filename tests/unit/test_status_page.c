/* SPDX-License-Identifier: BSD-2-Clause */
/* The page of `byokfs status` for people: state first, what to do, times in words, and no zeros. */
#include "tests/unit/said.h"

#include <time.h>

#include "tools/status_page.h"

#define NOW 1000000

static char *text;

/* The page of ANSWER at NOW, in TEXT. */
static void page(const char *answer)
{
	size_t len;
	struct emit e = {.out = open_memstream(&text, &len)};

	ck_assert_ptr_nonnull(e.out);
	status_page(&e, answer, NOW);
	ck_assert_int_eq(fclose(e.out), 0);
}

/* The page has a line KEY with VALUE; VALUE NULL: it has none. */
static void line_is(const char *key, const char *value)
{
	char want[256], start[64];
	size_t n = strlen(key);

	snprintf(start, sizeof(start), "%s%*s", key, (int)(31 - n), "");
	const char *at = strncmp(text, start, strlen(start)) == 0 ? text : NULL;
	if (!at) {
		snprintf(want, sizeof(want), "\n%s", start);
		at = strstr(text, want);
		at = at ? at + 1 : NULL;
	}
	if (!value) {
		ck_assert_msg(!at, "%s is there: %s", key, text);
		return;
	}
	ck_assert_msg(at != NULL, "no %s: %s", key, text);
	snprintf(want, sizeof(want), "%s\n", value);
	ck_assert_msg(strncmp(at + 31, want, strlen(want)) == 0, "%s: %s", key, text);
}

START_TEST(words)
{
	static const struct {
		uint64_t s;
		const char *want;
	} row[] = {{0, "0 s"},
		   {59, "59 s"},
		   {60, "1 min"},
		   {119, "1 min"},
		   {3599, "59 min"},
		   {3600, "1 h"},
		   {3660, "1 h 1 min"},
		   {86399, "23 h 59 min"},
		   {86400, "1 d"},
		   {90000, "1 d 1 h"},
		   {UINT64_MAX, "213503982334601 d 7 h"}};
	char got[STATUS_WORDS_MAX];

	status_words(row[_i].s, got);
	ck_assert_str_eq(got, row[_i].want);
}
END_TEST

START_TEST(serving)
{
	page("state active\ncause \nreason \nsince 999000\nlease_left_s 13\ngrace_left_s 0\nnext_probe_s 3\nlast_good "
	     "999998\n"
	     "last_refusal 0\nkms_took_ms 21\nkms_request \nmountpoint /mnt\\040x\nstore /s\nstore_id 00ff\nkms "
	     "local:/a/k\nkms local:/b/k\npolicy "
	     "any\n"
	     "session clean\nread_only 0\ncorrupt 0\nopen_files 2\nsupervisor_pid 7\nworker_pid 8\naudit_error \n");
	ck_assert_ptr_eq(strstr(text, "state "), text);
	line_is("state", "active for 16 min, since 1970-01-12 13:30:00 +0000");
	line_is("reason", NULL);
	line_is("to do", NULL);
	line_is("key", "granted 2 s ago (21 ms), asked again in 3 s; the lease ends in 13 s");
	line_is("mountpoint", "/mnt x");
	line_is("kms", "local:/a/k");
	ck_assert_ptr_nonnull(strstr(text, "local:/b/k\n"));
	line_is("policy", "any of them is enough");
	line_is("open files", "2 (files open)");
	line_is("corrupt", NULL);
	line_is("session", NULL);
	line_is("read only", NULL);
	line_is("audit error", NULL);
	line_is("last lock", NULL);
	line_is("processes", "supervisor 7, worker 8");
	free(text);
}
END_TEST

START_TEST(locked)
{
	static const struct {
		const char *state, *cause, *todo;
		unsigned good; /* when the KMS gave the key; it was locked at 999940, and refused at 999941 */
	} row[] = {{"locked", "revoked", "have the key enabled again, by whoever has the KMS", 990000},
		   {"locked", "outage", "make the KMS answer", 990000},
		   {"locked", "revoked", "byokfs unlock /m", 999942}, /* --restore manual */
		   {"locked", "outage", "byokfs unlock /m", 999942},
		   {"locked", "ordered", "byokfs unlock /m", 990000},
		   {"locked", "unwatched", "let process 7 run again (kill -CONT 7)", 999942},
		   {"grace", "", "make the KMS answer before the grace ends: it is locked then", 990000},
		   {"locking", "revoked", NULL, 990000},
		   {"returning", "", NULL, 999942}};
	char answer[512], state[128];

	snprintf(answer, sizeof(answer),
		 "state %s\ncause %s\nreason because\\012of it\nsince 999940\ngrace_left_s 61\nlast_good "
		 "%u\nlast_refusal 999941\n"
		 "mountpoint /m\nsupervisor_pid 7\nlost_ranges 3\nsession unclean\n",
		 row[_i].state, row[_i].cause, row[_i].good);
	page(answer);
	snprintf(state, sizeof(state), "%s%s%s%s for 1 min, since 1970-01-12 13:45:40 +0000", row[_i].state,
		 row[_i].cause[0] ? " (" : "", row[_i].cause, row[_i].cause[0] ? ")" : "");
	line_is("state", state);
	line_is("reason", "because\\x0aof it");
	line_is("to do", row[_i].todo);
	line_is("key", strcmp(row[_i].state, "grace") == 0 ? "refused 59 s ago; the grace ends in 1 min"
		       : row[_i].good > 999941             ? "granted 58 s ago"
							   : "refused 59 s ago");
	line_is("lost ranges", "3 (ranges of files that read as EIO until they are written again)");
	line_is("session", "unclean after a crash, until byokfs verify has passed");
	free(text);
}
END_TEST

/* What is built on files of the mount, before a lock and after it; more than are named. */
START_TEST(built_on)
{
	page("state active\nbuilt_on_all 0\n");
	line_is("built on it", NULL);
	line_is("which means", NULL);
	free(text);
	page("state active\nbuilt_on overlay at /y on /m\\033x\nbuilt_on_all 1\n");
	line_is("built on it", "overlay at /y on /m\\x1bx");
	line_is("which means", "a lock will not end what it caches: unmount it, and losetup -d a loop device");
	free(text);
	page("state locked\ncause ordered\nbuilt_on a\nbuilt_on b\nbuilt_on_all 9\n");
	line_is("built on it", "a");
	ck_assert_ptr_nonnull(strstr(text, " b\n"));
	ck_assert_ptr_nonnull(strstr(text, " and 7 more\n"));
	line_is("which means", "what it has cached can still be read: unmount it, and losetup -d a loop device");
	free(text);
}
END_TEST

/* An answer of another version, or none to speak of: nothing is made up. */
START_TEST(strange)
{
	page("");
	ck_assert_ptr_eq(strstr(text, "state "), text);
	line_is("state", "unknown");
	line_is("key", NULL);
	line_is("kms", NULL);
	line_is("processes", NULL);
	free(text);
	page("state active\nlast_good x\ncorrupt 99999999999999999999\nopen_files -1\nunknown 3\n");
	line_is("corrupt", NULL);
	line_is("open files", NULL);
	line_is("unknown", NULL);
	free(text);
}
END_TEST

static Suite *status_page_suite(void)
{
	Suite *s = suite_create("status_page");
	TCase *t = tcase_create("page");

	tcase_add_loop_test(t, words, 0, 11);
	tcase_add_test(t, serving);
	tcase_add_loop_test(t, locked, 0, 9);
	tcase_add_test(t, built_on);
	tcase_add_test(t, strange);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	setenv("TZ", "UTC", 1);
	tzset();
	SRunner *r = srunner_create(status_page_suite());
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
