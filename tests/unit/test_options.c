/* SPDX-License-Identifier: BSD-2-Clause */
/* The options of a KMS: what a command line may say, and the text in which a host remembers them. */
#include <check.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kms/options.h"
#include "tests/kms/scripted.h"

static struct kms_options o, other;
static char why[KMS_TEXT_MAX];

static void setup(void)
{
	memset(&o, 0, sizeof(o));
	memset(&other, 0, sizeof(other));
	why[0] = '\0';
	ck_assert_int_eq(chdir("/usr"), 0);
}

static const struct {
	const char *text, *kept; /* NULL: refused with `says` */
	const char *says;
} words[] = {
	{"word=a b=c", "a b=c", NULL},
	{"word= ", " ", NULL},
	{"flag=yes", "yes", NULL},
	{"flag=no", "no", NULL},
	{"some-file=/etc/x", "/etc/x", NULL},
	{"some-file=x", "/usr/x", NULL},
	{"some-file=credential:x.y", "credential:x.y", NULL},
	{"secret-file=../x", "/usr/../x", NULL},
	{"flag=maybe", NULL, "option flag is 'yes' or 'no', not 'maybe'"},
	{"flag", NULL, "option flag has no value"},
	{"word=", NULL, "option word has no value"},
	{"wrod=x", NULL, "fake: has no option 'wrod': did you mean 'word'?"},
	{"some-fil=x", NULL, "did you mean 'some-file'?"},
	{"Word=x", NULL, "did you mean 'word'?"},
	{"nothing-near=x", NULL, "has no option 'nothing-near' (byokfs mount --help"},
	{"=x", NULL, "has no option ''"},
	{"", NULL, "has no option ''"},
	{"word=a\nb", NULL, "control character"},
	{"wo\x7frd=a", NULL, "control character"},
	{"some-file=credential:", NULL, "is not credential:NAME"},
	{"secret-file=credential:../../etc/shadow", NULL, "is not credential:NAME"},
	{"secret-file=credential:.hidden", NULL, "is not credential:NAME"},
};

START_TEST(test_words)
{
	char name[KMS_OPTION_NAME_MAX + 1] = "";
	int r = kms_options_add(&o, &fake_provider, words[_i].text, why);

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(words[_i].text, "="), words[_i].text);
	if (words[_i].kept) {
		ck_assert_msg(r == 0, "%s: %s", words[_i].text, why);
		ck_assert_str_eq(kms_options_get(&o, name), words[_i].kept);
		ck_assert_int_eq(kms_options_add(&o, &fake_provider, words[_i].text, why), -EINVAL);
		ck_assert_ptr_nonnull(strstr(why, "is given twice"));
	} else {
		ck_assert_int_eq(r, -EINVAL);
		ck_assert_msg(strstr(why, words[_i].says) != NULL, "%s: %s", words[_i].text, why);
		ck_assert_uint_eq(o.n, 0);
	}
}
END_TEST

START_TEST(test_lookup)
{
	static char text[KMS_OPTION_VALUE_MAX + 64];

	ck_assert_ptr_null(kms_options_get(NULL, "word"));
	ck_assert(!kms_options_flag(NULL, "flag"));
	ck_assert_int_eq(kms_options_add(&o, &fake_provider, "flag=no", why), 0);
	ck_assert(!kms_options_flag(&o, "flag"));
	ck_assert_int_eq(kms_options_add(&other, &fake_provider, "flag=yes", why), 0);
	ck_assert_int_eq(kms_options_add(&other, &fake_provider, "word=1", why), 0);
	ck_assert(!kms_options_equal(&o, &other));
	kms_options_overlay(&o, &other);
	ck_assert(kms_options_flag(&o, "flag"));
	ck_assert(kms_options_equal(&o, &other));
	ck_assert_uint_eq(o.n, 2);
	o.option[1].value[0] = '2';
	ck_assert(!kms_options_equal(&o, &other));
	memset(text, 'x', sizeof(text) - 1);
	memcpy(text, "some-file=", 10);
	ck_assert_int_eq(kms_options_add(&o, &fake_provider, text, why), -EINVAL);
	ck_assert_ptr_nonnull(strstr(why, "longer than 1024 bytes"));
}
END_TEST

/* The credential is looked up when it is read: systemd may hand over another folder at the next start. */
START_TEST(test_path)
{
	char path[PATH_MAX];

	unsetenv("CREDENTIALS_DIRECTORY");
	ck_assert_int_eq(kms_option_path("/a/b", path), 0);
	ck_assert_str_eq(path, "/a/b");
	ck_assert_int_eq(kms_option_path("credential:token", path), -ENOENT);
	setenv("CREDENTIALS_DIRECTORY", "/run/credentials/x", 1);
	ck_assert_int_eq(kms_option_path("credential:token", path), 0);
	ck_assert_str_eq(path, "/run/credentials/x/token");
	static char deep[PATH_MAX];
	memset(deep, 'd', sizeof(deep) - 1);
	setenv("CREDENTIALS_DIRECTORY", deep, 1);
	ck_assert_int_eq(kms_option_path("credential:token", path), -ENAMETOOLONG);
}
END_TEST

/* The text that a host keeps */

START_TEST(test_round_trip)
{
	static char text[KMS_OPTIONS_TEXT_MAX];
	size_t at = 0;

	ck_assert_int_eq(kms_options_add(&o, &fake_provider, "word=a = b # [c]", why), 0);
	ck_assert_int_eq(kms_options_add(&o, &fake_provider, "secret-file=/x", why), 0);
	ck_assert_int_eq(kms_options_write("fake:0", &o, text, &at), 0);
	ck_assert_int_eq(kms_options_write("fake:1", &other, text, &at), 0); /* no option, no section */
	ck_assert_int_eq(kms_options_add(&other, &fake_provider, "word=2", why), 0);
	ck_assert_int_eq(kms_options_write("local:/k/[a]=b", &other, text, &at), 0);
	ck_assert_str_eq(text, "[fake:0]\nword=a = b # [c]\nsecret-file=/x\n[local:/k/[a]=b]\nword=2\n");
	ck_assert_uint_eq(at, strlen(text));
	ck_assert_int_eq(kms_options_read(text, at, "fake:0", &other, why), 0);
	ck_assert(kms_options_equal(&o, &other));
	ck_assert_int_eq(kms_options_read(text, at, "fake:1", &other, why), 0);
	ck_assert_uint_eq(other.n, 0);
	at = KMS_OPTIONS_TEXT_MAX - 8;
	ck_assert_int_eq(kms_options_write("fake:0", &o, text, &at), -ENOSPC);
}
END_TEST

static const struct {
	const char *text, *says; /* NULL: read, with word=1 */
} texts[] = {
	{"# x\n\n[fake:0]\nword=1\n", NULL},
	{"[fake:0]\nword=1", NULL},
	{"[fake:1]\nwhat=ever\n[fake:0]\n#word=2\nword=1\n", NULL}, /* another's section is its provider's to judge */
	{"[fake:0]\nword=1\n[fake:0]\nword=1\n", "line 3: this reference has a section already"},
	{"word=1\n", "line 1: neither"},
	{"[fake:0]\nword\n", "line 2: neither"},
	{"[fake:0\nword=1\n", "line 1: neither"},
	{"[fake:0]\nword=1\nword=1\n", "line 3: option word is given twice"},
	{"[fake:0]\nwrod=1\n", "line 2: fake: has no option 'wrod': did you mean 'word'?"},
	{"[fake:0]\nword=1\r\n", "line 2: an option contains a control character"},
};

START_TEST(test_texts)
{
	int r = kms_options_read(texts[_i].text, strlen(texts[_i].text), "fake:0", &o, why);

	if (texts[_i].says) {
		ck_assert_int_eq(r, -EINVAL);
		ck_assert_msg(strstr(why, texts[_i].says) != NULL, "%s", why);
	} else {
		ck_assert_msg(r == 0, "%s", why);
		ck_assert_uint_eq(o.n, 1);
		ck_assert_str_eq(kms_options_get(&o, "word"), "1");
	}
}
END_TEST

START_TEST(test_hostile_text)
{
	static char text[9000];

	memset(text, 'x', sizeof(text));
	ck_assert_int_eq(kms_options_read(text, sizeof(text), "fake:0", &o, why), -EINVAL);
	ck_assert_str_eq(why, "line 1: too long");
	ck_assert_int_eq(kms_options_read("[fake:0]\nwo\0rd=1\n", 17, "fake:0", &o, why), -EINVAL);
	ck_assert_str_eq(why, "line 2: a NUL byte");
	ck_assert_int_eq(kms_options_read("", 0, "nope:0", &o, why), -EINVAL);
	ck_assert_int_eq(kms_options_read("", 0, "fake:0", &o, why), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("options");
	TCase *t = tcase_create("options");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_loop_test(t, test_words, 0, (int)ARRAY_LEN(words));
	tcase_add_test(t, test_lookup);
	tcase_add_test(t, test_path);
	tcase_add_test(t, test_round_trip);
	tcase_add_loop_test(t, test_texts, 0, (int)ARRAY_LEN(texts));
	tcase_add_test(t, test_hostile_text);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
