/* SPDX-License-Identifier: BSD-2-Clause */
/* A disk that lost its last writes while the machine went on: its in-flight slots are behind the record of their uses. */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/store/live.h"
#include "fs/store/store.h"

#define SLOT_LEN 16384u
#define SESSION 7u

static char dir[] = "/tmp/byokfs-live-XXXXXX", record[64], slots[64];
static int fd;
static struct live *live;

static void setup(void)
{
	memcpy(dir + strlen(dir) - 6, "XXXXXX", 6);
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(record, sizeof(record), "%s/record", dir);
	snprintf(slots, sizeof(slots), "%s/inflight", dir);
	fd = open(slots, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_eq(ftruncate(fd, INFLIGHT_SLOTS * SLOT_LEN), 0);
	ck_assert_int_eq(live_open(record, SESSION, &live), 0);
}

static void teardown(void)
{
	live_free(live, true);
	ck_assert_int_eq(access(record, F_OK), -1);
	close(fd);
	unlink(slots);
	rmdir(dir);
}

/* Slot NO on the disk, as of its use TURN. */
static void on_disk(unsigned no, uint64_t session, uint64_t turn, int valid)
{
	static uint8_t slot[SLOT_LEN];
	const struct inflight in = {.session = session, .turn = turn};

	inflight_fill(slot, &in, NULL);
	inflight_mark(slot, valid);
	ck_assert_int_eq(store_pwrite_full(fd, slot, INFLIGHT_PEEK_LEN, (uint64_t)no * SLOT_LEN), 0);
}

static bool ahead(void)
{
	return live_ahead(record, SESSION, fd, SLOT_LEN);
}

START_TEST(in_step)
{
	ck_assert(!ahead()); /* nothing was written yet */
	on_disk(3, SESSION, 1, 1);
	ck_assert(!ahead()); /* killed between the slot and the record */
	live_put(live, 3, 1);
	ck_assert(!ahead()); /* killed while the file was written */
	on_disk(3, SESSION, 1, 0);
	ck_assert(!ahead()); /* between the mark and the record */
	live_done(live, 3, 1);
	ck_assert(!ahead());
	on_disk(3, SESSION, 2, 1);
	ck_assert(!ahead());
}
END_TEST

START_TEST(behind)
{
	on_disk(0, SESSION, 5, 1);
	live_put(live, 0, 5);
	live_done(live, 0, 5);
	ck_assert(ahead()); /* the mark was lost: it would be written again over what came later */
	on_disk(0, SESSION, 5, 0);
	ck_assert(!ahead());
	live_put(live, 0, 6);
	ck_assert(ahead()); /* all of a use was lost */
	on_disk(0, SESSION - 1, 6, 0);
	ck_assert(ahead()); /* what is there is of an earlier session */
	on_disk(0, SESSION, 6, 1);
	ck_assert(!ahead());
	live_put(live, 15, 1);
	ck_assert(ahead()); /* any of them */
	live_reset(live);   /* made anew, since somebody took the file away */
	on_disk(0, 0, 0, 0);
	ck_assert(!ahead());
}
END_TEST

START_TEST(unknown)
{
	live_put(live, 0, 6);
	ck_assert(ahead());
	ck_assert(!live_ahead(record, SESSION + 1, fd, SLOT_LEN)); /* of another session */
	ck_assert(!live_ahead(record, 0, fd, SLOT_LEN));
	ck_assert(!live_ahead("/nonexistent/record", SESSION, fd, SLOT_LEN));
	ck_assert_int_eq(ftruncate(fd, 100), 0);
	ck_assert(!ahead()); /* the in-flight file was cut */
	ck_assert_int_eq(ftruncate(fd, INFLIGHT_SLOTS * SLOT_LEN), 0);
	ck_assert(ahead());
	ck_assert_int_eq(truncate(record, 100), 0);
	ck_assert(!ahead());
	live_free(live, false);
	ck_assert_int_eq(access(record, F_OK), 0);
	ck_assert_int_eq(live_open(record, SESSION, &live), 0);
	live_put(NULL, 0, 1);
	live_done(NULL, 0, 1);
	live_reset(NULL);
	live_free(NULL, true);
}
END_TEST

/* What somebody has put in its place is neither written into nor believed. */
START_TEST(planted)
{
	char victim[64], text[8] = "";
	int v;

	snprintf(victim, sizeof(victim), "%s/victim", dir);
	live_free(live, true);
	v = open(victim, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_eq(write(v, "text", 4), 4);
	ck_assert_int_eq(symlink(victim, record), 0);
	ck_assert(!ahead());
	ck_assert_int_eq(live_open(record, SESSION, &live), 0);
	ck_assert_int_eq(pread(v, text, sizeof(text), 0), 4);
	ck_assert_str_eq(text, "text");
	close(v);
	unlink(victim);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("live");
	TCase *t = tcase_create("live");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, in_step);
	tcase_add_test(t, behind);
	tcase_add_test(t, unknown);
	tcase_add_test(t, planted);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
