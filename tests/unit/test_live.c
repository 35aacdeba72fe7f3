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
static uint8_t list[WRITING_LEN];
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
	live_begun(live);
	memset(list, 0, sizeof(list));
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
	const struct live_disk d = {.slots = fd, .slot_len = SLOT_LEN, .list = list};

	return live_ahead(record, SESSION, &d);
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

/* Entry NO of the list as it is on the disk: empty, or one of two. */
static uint8_t *entry(uint32_t no, char what)
{
	uint8_t *e = list + WRITING_HEAD_LEN + no * WRITING_ENTRY_LEN;

	memset(e, what, WRITING_ENTRY_LEN);
	return e;
}

START_TEST(listed)
{
	static const uint32_t no[] = {0, 1, WRITING_SLOTS - 1};

	for (size_t i = 0; i < sizeof(no) / sizeof(*no); i++) {
		live_unlist(live, no[i]);
		live_listed(live, no[i], entry(no[i], 'a'));
		ck_assert(!ahead());
		entry(no[i], 0);
		ck_assert(ahead()); /* the entry was lost, and no slot is behind */
		entry(no[i], 'a');
		live_unlist(live, no[i]);
		ck_assert(!ahead()); /* killed before the change of it */
		entry(no[i], 'b');
		ck_assert(!ahead()); /* and before the record of that */
		live_listed(live, no[i], entry(no[i], 'b'));
		ck_assert(!ahead());
		entry(no[i], 'a');
		ck_assert(ahead()); /* the change was lost */
		live_unlist(live, no[i]);
		ck_assert(!ahead()); /* emptied: should that be lost, one file too many is listed */
		entry(no[i], 0);
	}
	live_listed(live, 3, entry(3, 'a'));
	live_reset(live); /* the slots, made anew: the list is what it was */
	ck_assert(!ahead());
	entry(3, 0);
	ck_assert(ahead());
}
END_TEST

/* A session that did not come to begin leaves the record of the last one, which is still the one to be judged. */
START_TEST(not_begun)
{
	struct live *next;

	live_put(live, 0, 6);
	ck_assert(ahead());
	ck_assert_int_eq(live_open(record, SESSION + 1, &next), 0);
	ck_assert(ahead());
	live_free(next, false);
	ck_assert(ahead());
	ck_assert_int_eq(live_open(record, SESSION + 1, &next), 0);
	live_begun(next);
	ck_assert(!ahead());
	live_free(live, false);
	live = next;
}
END_TEST

START_TEST(unknown)
{
	live_put(live, 0, 6);
	ck_assert(ahead());
	const struct live_disk d = {.slots = fd, .slot_len = SLOT_LEN, .list = list}, nothing = {.slots = -1};
	ck_assert(!live_ahead(record, SESSION + 1, &d)); /* of another session */
	ck_assert(!live_ahead(record, 0, &d));
	ck_assert(!live_ahead("/nonexistent/record", SESSION, &d));
	ck_assert(!live_ahead(record, SESSION, &nothing));
	ck_assert_int_eq(ftruncate(fd, 100), 0);
	ck_assert(!ahead()); /* the in-flight file was cut */
	ck_assert_int_eq(ftruncate(fd, INFLIGHT_SLOTS * SLOT_LEN), 0);
	ck_assert(ahead());
	ck_assert_int_eq(truncate(record, 100), 0);
	ck_assert(!ahead());
	live_free(live, false);
	ck_assert_int_eq(access(record, F_OK), 0);
	ck_assert_int_eq(live_open(record, SESSION, &live), 0);
	live_begun(live);
	live_put(NULL, 0, 1);
	live_done(NULL, 0, 1);
	live_unlist(NULL, 0);
	live_listed(NULL, 0, list);
	live_reset(NULL);
	live_begun(NULL);
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
	char beside[80];
	snprintf(beside, sizeof(beside), "%s.next.slots", record);
	ck_assert_int_eq(symlink(victim, record), 0);
	ck_assert_int_eq(symlink(victim, beside), 0);
	ck_assert(!ahead());
	ck_assert_int_eq(live_open(record, SESSION, &live), 0);
	live_begun(live);
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
	tcase_add_test(t, listed);
	tcase_add_test(t, not_begun);
	tcase_add_test(t, unknown);
	tcase_add_test(t, planted);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
