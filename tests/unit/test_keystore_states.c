/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every act on a key in every state, allowed or refused, and the dates of a deletion. time() of kms/ is ours (--wrap, see
 * tests/meson.build): days pass at once.
 */
#include "kms/keystore/keystore.h"

#include <check.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "crypto/secret.h"

#define START 1700000000
#define DAY 86400

static char base[PATH_MAX], why[KEYSTORE_WHY_MAX];
static struct keystore *ks;
static int64_t now;

time_t __wrap_time(time_t *out);

time_t __wrap_time(time_t *out)
{
	if (out)
		*out = (time_t)now;
	return (time_t)now;
}

static void setup(void)
{
	char template[] = "/tmp/byokfs-states-XXXXXX";
	struct keystore_init how = {.path = "k"};
	struct passphrase_source src = {.what = "k"};

	now = START;
	ck_assert_int_eq(secret_init(), 0);
	ck_assert_ptr_nonnull(mkdtemp(template));
	ck_assert_ptr_nonnull(realpath(template, base));
	ck_assert_int_eq(chdir(base), 0);
	ck_assert_msg(keystore_create(&how, why) == 0, "%s", why);
	ck_assert_msg(keystore_open("k", &src, &ks, why) == 0, "%s", why);
}

static void teardown(void)
{
	char command[PATH_MAX + 16];

	keystore_close(ks);
	ck_assert_uint_eq(secret_in_use(), 0);
	ck_assert_int_eq(chdir("/"), 0);
	snprintf(command, sizeof(command), "rm -rf %s", base);
	ck_assert_int_eq(system(command), 0);
}

/* A copy without material. */
static struct keystore_key look(void)
{
	struct keystore_key key;

	ck_assert_int_eq(keystore_load(ks, "a", &key), 0);
	keystore_key_wipe(&key);
	return key;
}

static void add(uint16_t flags)
{
	struct keystore_new new = {.name = "a", .type = KEYSTORE_AES256, .flags = flags};

	ck_assert_msg(keystore_add(ks, &new, why) == 0, "%s", why);
}

/* The bytes of the key's file, 0 if there is none. */
static size_t file_read(uint8_t *bytes, size_t max)
{
	FILE *f = fopen("k/a.key", "re");

	if (!f)
		return 0;
	size_t n = fread(bytes, 1, max, f);
	fclose(f);
	return n;
}

/* Transitions */

enum act { ADD, ROTATE, DISABLE, ENABLE, DELETE, RECOVER, PURGE, ACTS };
static const char *const act_name[] = {"add", "rotate", "disable", "enable", "delete", "recover", "purge"};

static int act_do(enum act act)
{
	struct keystore_new new = {.name = "a", .type = KEYSTORE_AES256};

	switch (act) {
	case ADD:
		return keystore_add(ks, &new, why);
	case ROTATE:
		return keystore_rotate(ks, "a", NULL, 0, why);
	case DISABLE:
		return keystore_disable(ks, "a", why);
	case ENABLE:
		return keystore_enable(ks, "a", why);
	case DELETE:
		return keystore_delete(ks, "a", 30, why);
	case RECOVER:
		return keystore_recover(ks, "a", why);
	default:
		return keystore_purge(ks, "a", why);
	}
}

/* How a key comes into its state, and what each act does then: the state after it, or why not. */
enum { ABSENT = 0, NO_KEY = -ENOENT, EXISTS = -EEXIST, REFUSED = -EKEYREVOKED };
static const struct {
	const char *name;
	int state;
	enum act way[4]; /* up to ACTS */
	int after[ACTS]; /* add rotate disable enable delete recover purge */
} rows[] = {
	{"absent", ABSENT, {ACTS}, {KEYSTORE_ENABLED, NO_KEY, NO_KEY, NO_KEY, NO_KEY, NO_KEY, NO_KEY}},
	{"enabled",
	 KEYSTORE_ENABLED,
	 {ADD, ACTS},
	 {EXISTS, KEYSTORE_ENABLED, KEYSTORE_DISABLED, KEYSTORE_ENABLED, KEYSTORE_DELETED, REFUSED, REFUSED}},
	{"disabled",
	 KEYSTORE_DISABLED,
	 {ADD, DISABLE, ACTS},
	 {EXISTS, REFUSED, KEYSTORE_DISABLED, KEYSTORE_ENABLED, KEYSTORE_DELETED, REFUSED, REFUSED}},
	{"soft-deleted, was enabled",
	 KEYSTORE_DELETED,
	 {ADD, DELETE, ACTS},
	 {EXISTS, REFUSED, REFUSED, REFUSED, REFUSED, KEYSTORE_ENABLED, KEYSTORE_PURGED}},
	{"soft-deleted, was disabled",
	 KEYSTORE_DELETED,
	 {ADD, DISABLE, DELETE, ACTS},
	 {EXISTS, REFUSED, REFUSED, REFUSED, REFUSED, KEYSTORE_DISABLED, KEYSTORE_PURGED}},
	{"purged",
	 KEYSTORE_PURGED,
	 {ADD, DELETE, PURGE, ACTS},
	 {KEYSTORE_ENABLED, REFUSED, REFUSED, REFUSED, REFUSED, REFUSED, REFUSED}},
};

/* _i is row and act: each from its own beginning. */
START_TEST(transition)
{
	size_t row = (size_t)_i / ACTS;
	enum act act = (enum act)((size_t)_i % ACTS);
	uint8_t before[1024], after[1024];

	for (size_t i = 0; rows[row].way[i] != ACTS; i++)
		ck_assert_msg(act_do(rows[row].way[i]) == 0, "%s", why);
	if (rows[row].state)
		ck_assert_int_eq((int)look().state, rows[row].state);
	size_t n = file_read(before, sizeof(before));
	now += 60;
	why[0] = '\0';
	int r = act_do(act), wanted = rows[row].after[act];
	ck_assert_msg(r == (wanted < 0 ? wanted : 0), "%s of a key that is %s: %d %s", act_name[act], rows[row].name, r,
		      why);
	if (wanted >= 0) {
		ck_assert_int_eq((int)look().state, wanted);
		return;
	}
	ck_assert_ptr_nonnull(strstr(why, "key a ")); /* a sentence that names it */
	ck_assert_uint_eq(file_read(after, sizeof(after)), n);
	ck_assert_mem_eq(after, before, n); /* not written: no date has changed either */
}
END_TEST

/* Dates */

START_TEST(dates)
{
	add(0);
	struct keystore_key key = look();
	ck_assert_int_eq(key.created, START);
	ck_assert_int_eq(key.changed, START);
	ck_assert_int_eq(key.deleted, 0);
	ck_assert_int_eq(key.version[0].created, START);
	now += 100;
	ck_assert_int_eq(keystore_rotate(ks, "a", NULL, 0, why), 0);
	key = look();
	ck_assert_int_eq(key.created, START);
	ck_assert_int_eq(key.changed, START + 100);
	ck_assert_int_eq(key.version[0].created, START);
	ck_assert_int_eq(key.version[1].created, START + 100);
	now += 100;
	ck_assert_int_eq(keystore_enable(ks, "a", why), 0); /* is enabled: not written */
	ck_assert_int_eq(look().changed, START + 100);
	ck_assert_int_eq(keystore_delete(ks, "a", 9, why), 0);
	key = look();
	ck_assert_int_eq(key.deleted, START + 200);
	ck_assert_uint_eq(key.retention_days, 9);
	ck_assert_int_eq(keystore_retention_end(&key), START + 200 + 9 * DAY);
	now += 100;
	ck_assert_int_eq(keystore_recover(ks, "a", why), 0);
	key = look();
	ck_assert_int_eq(key.changed, START + 300);
	ck_assert_int_eq(key.deleted, 0);
	ck_assert_uint_eq(key.retention_days, 0);
	ck_assert_uint_eq(key.n_versions, 2);
}
END_TEST

/* _i days of retention: recoverable to the last second, not after it. */
START_TEST(retention_ends)
{
	unsigned days = (unsigned[]){0, 1, 30, KEYSTORE_RETENTION_MAX}[_i];

	add(0);
	ck_assert_int_eq(keystore_delete(ks, "a", days, why), 0);
	now = START + (int64_t)days * DAY;
	ck_assert_int_eq(keystore_recover(ks, "a", why), -EKEYREVOKED);
	ck_assert_ptr_nonnull(strstr(why, "retention time has ended"));
	now--; /* one second before; with no retention at all: before the deletion itself */
	ck_assert_int_eq(keystore_recover(ks, "a", why), 0);
	ck_assert_int_eq((int)look().state, KEYSTORE_ENABLED);
}
END_TEST

START_TEST(retention_bounds)
{
	add(0);
	ck_assert_int_eq(keystore_delete(ks, "a", KEYSTORE_RETENTION_MAX + 1, why), -EINVAL);
	ck_assert_int_eq(keystore_delete(ks, "a", UINT_MAX, why), -EINVAL);
	ck_assert_ptr_nonnull(strstr(why, "0 to 3650 days"));
	ck_assert_int_eq((int)look().state, KEYSTORE_ENABLED);
	ck_assert_int_eq(keystore_delete(ks, "a", KEYSTORE_RETENTION_MAX, why), 0);
}
END_TEST

/* Without protection a deleted key may be purged at once; with it, not before the end, and not with a short time. */
START_TEST(purge_waits)
{
	add(KEYSTORE_PURGE_PROTECTED);
	for (unsigned days = 0; days < 7; days++)
		ck_assert_int_eq(keystore_delete(ks, "a", days, why), -EKEYREVOKED);
	ck_assert_ptr_nonnull(strstr(why, "at least 7 days"));
	ck_assert_int_eq(keystore_delete(ks, "a", 7, why), 0);
	ck_assert_int_eq(keystore_purge(ks, "a", why), -EKEYREVOKED);
	now = START + 7 * DAY - 1;
	ck_assert_int_eq(keystore_purge(ks, "a", why), -EKEYREVOKED);
	ck_assert_ptr_nonnull(strstr(why, "purge-protected"));
	now = START - DAY; /* the clock was set back: no sooner for it */
	ck_assert_int_eq(keystore_purge(ks, "a", why), -EKEYREVOKED);
	now = START + 7 * DAY;
	ck_assert_int_eq(keystore_recover(ks, "a", why), -EKEYREVOKED);
	ck_assert_int_eq(keystore_purge(ks, "a", why), 0);
	struct keystore_key key = look();
	ck_assert_int_eq((int)key.state, KEYSTORE_PURGED);
	ck_assert_int_eq(key.deleted, START);
	ck_assert_uint_eq(key.n_versions, 0);
	ck_assert_uint_eq(key.next_version, 2);
	/* What is made under its name anew is a key of its own: no protection, no dates of the old one. */
	add(0);
	key = look();
	ck_assert_uint_eq(key.flags, 0);
	ck_assert_int_eq(key.created, START + 7 * DAY);
	ck_assert_int_eq(key.deleted, 0);
	ck_assert_uint_eq(key.retention_days, 0);
	ck_assert_uint_eq(key.version[0].number, 2);
}
END_TEST

/* Purged and made anew, again and again: no version number comes twice. */
START_TEST(numbers_rise)
{
	for (uint32_t i = 1; i < 9; i += 2) {
		add(0);
		ck_assert_int_eq(keystore_rotate(ks, "a", NULL, 0, why), 0);
		struct keystore_key key = look();
		ck_assert_uint_eq(key.n_versions, 2);
		ck_assert_uint_eq(key.version[0].number, i);
		ck_assert_uint_eq(key.version[1].number, i + 1);
		ck_assert_int_eq(keystore_delete(ks, "a", 0, why), 0);
		ck_assert_int_eq(keystore_purge(ks, "a", why), 0);
	}
}
END_TEST

/* A deletion undone keeps the material: what was wrapped before is not lost. */
START_TEST(material_survives)
{
	static const enum act acts[] = {DISABLE, ENABLE, DELETE, RECOVER, ROTATE, DISABLE, DELETE, RECOVER};
	struct keystore_key key;
	uint8_t first[KEY_LEN];

	add(0);
	ck_assert_int_eq(keystore_load(ks, "a", &key), 0);
	memcpy(first, key.material, KEY_LEN);
	keystore_key_wipe(&key);
	for (size_t i = 0; i < ARRAY_LEN(acts); i++) {
		ck_assert_msg(act_do(acts[i]) == 0, "%s: %s", act_name[acts[i]], why);
		ck_assert_int_eq(keystore_load(ks, "a", &key), 0);
		ck_assert_mem_eq(key.material, first, KEY_LEN);
		if (key.n_versions == 2)
			ck_assert_mem_ne(key.material + KEY_LEN, first, KEY_LEN);
		keystore_key_wipe(&key);
	}
}
END_TEST

START_TEST(names)
{
	static const char *const bad[] = {"",    ".",   "..", ".a",       "a/b", "/a",     "a b",
					  "a\n", "a\\", "a*", "\xc3\xa4", "a:b", "../k/a", "a\x7f"};
	static const char *const good[] = {"-", "_", "a.", "A-Z_0.9", "a..b", "key", "0"};
	struct keystore_new new = {.type = KEYSTORE_AES256};
	char longest[KEYSTORE_NAME_MAX + 2];

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		new.name = bad[i];
		ck_assert_msg(keystore_add(ks, &new, why) == -EINVAL, "'%s'", bad[i]);
		ck_assert_ptr_nonnull(strstr(why, "is no key name"));
	}
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		new.name = good[i];
		ck_assert_msg(keystore_add(ks, &new, why) == 0, "'%s': %s", good[i], why);
	}
	memset(longest, 'n', sizeof(longest));
	longest[KEYSTORE_NAME_MAX + 1] = '\0';
	new.name = longest;
	ck_assert_int_eq(keystore_add(ks, &new, why), -EINVAL);
	longest[KEYSTORE_NAME_MAX] = '\0';
	ck_assert_int_eq(keystore_add(ks, &new, why), 0);
	ck_assert_int_eq(keystore_rotate(ks, longest, NULL, 0, why), 0);
}
END_TEST

START_TEST(state_names)
{
	ck_assert_str_eq(keystore_state_name(KEYSTORE_ENABLED), "enabled");
	ck_assert_str_eq(keystore_state_name(KEYSTORE_DISABLED), "disabled");
	ck_assert_str_eq(keystore_state_name(KEYSTORE_DELETED), "soft-deleted");
	ck_assert_str_eq(keystore_state_name(KEYSTORE_PURGED), "purged");
	ck_assert_str_eq(keystore_state_name(0), "unknown");
	ck_assert_str_eq(keystore_state_name(KEYSTORE_PURGED + 1), "unknown");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("keystore_states");
	TCase *t = tcase_create("keystore_states");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, transition, 0, (int)(ARRAY_LEN(rows) * ACTS));
	tcase_add_test(t, dates);
	tcase_add_loop_test(t, retention_ends, 0, 4);
	tcase_add_test(t, retention_bounds);
	tcase_add_test(t, purge_waits);
	tcase_add_test(t, numbers_rise);
	tcase_add_test(t, material_survives);
	tcase_add_test(t, names);
	tcase_add_test(t, state_names);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
