/* SPDX-License-Identifier: BSD-2-Clause */
/* Where a passphrase comes from: files, the credentials directory, and a prompt on a terminal that the test plays. */
#include "kms/keystore/passphrase.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "crypto/secret.h"

static char base[PATH_MAX], why[512];

static void put(const char *path, const void *bytes, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, bytes, len), (ssize_t)len);
	close(fd);
}

static void setup(void)
{
	char template[] = "/tmp/byokfs-passphrase-XXXXXX";

	ck_assert_int_eq(secret_init(), 0);
	unsetenv("CREDENTIALS_DIRECTORY");
	ck_assert_ptr_nonnull(mkdtemp(template));
	ck_assert_ptr_nonnull(realpath(template, base));
	ck_assert_int_eq(chdir(base), 0);
}

static void teardown(void)
{
	char command[PATH_MAX + 16];

	ck_assert_uint_eq(secret_in_use(), 0); /* on every way out */
	ck_assert_int_eq(chdir("/"), 0);
	snprintf(command, sizeof(command), "rm -rf %s", base);
	ck_assert_int_eq(system(command), 0);
}

/* What SRC gives: R, and with 0 the text WANTED, with an error a sentence that has WANTED in it. */
static void gives(const struct passphrase_source *src, int r, const char *wanted)
{
	char *text = NULL;

	why[0] = '\0';
	ck_assert_int_eq(passphrase_read(src, &text, why, sizeof(why)), r);
	if (r) {
		ck_assert_ptr_null(text);
		ck_assert_msg(strstr(why, wanted) != NULL, "%s: no '%s'", why, wanted);
		return;
	}
	ck_assert_str_eq(text, wanted);
	ck_assert_str_eq(why, "");
	secret_free(text);
}

/* Files */

static const struct {
	const char *bytes;
	size_t len;
	const char *text; /* NULL: refused, and WHY has `refusal` in it */
	const char *refusal;
} files[] = {
	{"a", 1, "a", NULL},
	{"a\n", 2, "a", NULL},
	{"a\r\n", 3, "a", NULL},
	{"a\r", 2, "a", NULL},
	{"a\n\n", 3, "a\n", NULL}, /* one line end, no more */
	{"a\r\n\r\n", 5, "a\r\n", NULL},
	{"a\n\r", 3, "a\n", NULL},
	{"a\r\r\n", 4, "a\r", NULL},
	{"\na", 2, "\na", NULL},
	{" a b \t\n", 7, " a b \t", NULL},
	{"a\nb\n", 4, "a\nb", NULL},
	{"\xc3\xa4\n", 3, "\xc3\xa4", NULL},
	{"\xff\x01\n", 3, "\xff\x01", NULL},
	{"\n\n", 2, "\n", NULL},
	{"", 0, NULL, "is empty"},
	{"\n", 1, NULL, "is empty"},
	{"\r", 1, NULL, "is empty"},
	{"\r\n", 2, NULL, "is empty"},
	{"\0", 1, NULL, "NUL"},
	{"a\0", 2, NULL, "NUL"},
	{"\0a\n", 3, NULL, "NUL"},
	{"a\0b", 3, NULL, "NUL"},
};

START_TEST(file_contents)
{
	const struct passphrase_source src = {.file = "pw", .what = "k"};

	put("pw", files[_i].bytes, files[_i].len);
	gives(&src, files[_i].text ? 0 : -EINVAL, files[_i].text ? files[_i].text : files[_i].refusal);
}
END_TEST

/* Each length around the limit, with each line end: the line end does not count. */
START_TEST(file_lengths)
{
	static const char *const ends[] = {"", "\n", "\r\n"};
	const struct passphrase_source src = {.file = "pw", .what = "k"};
	char bytes[2 * PASSPHRASE_MAX];

	for (size_t n = PASSPHRASE_MAX - 3; n < PASSPHRASE_MAX + 8; n++) {
		for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
			memset(bytes, 'p', sizeof(bytes));
			memcpy(bytes + n, ends[i], strlen(ends[i]) + 1);
			put("pw", bytes, strlen(bytes));
			bytes[n] = '\0';
			if (n <= PASSPHRASE_MAX)
				gives(&src, 0, bytes);
			else
				gives(&src, -EINVAL, "is longer than 500 bytes");
			ck_assert_ptr_null(strstr(why, "ppp")); /* never the passphrase itself */
		}
	}
}
END_TEST

START_TEST(file_errors)
{
	struct passphrase_source src = {.file = "absent", .what = "k"};

	gives(&src, -ENOENT, "passphrase file absent: No such file");
	src.file = "."; /* opens, cannot be read */
	gives(&src, -EISDIR, "passphrase file .: ");
	src.file = "loop";
	ck_assert_int_eq(symlink("loop", "loop"), 0);
	gives(&src, -ELOOP, "passphrase file loop: ");
	src.file = "/dev/null";
	gives(&src, -EINVAL, "/dev/null is empty");
	src.file = "";
	gives(&src, -ENOENT, "passphrase file ");
}
END_TEST

/* `--passphrase-file <(command)`: it comes in pieces, from something that is not a file. */
START_TEST(file_is_pipe)
{
	int ends[2];
	char path[32];

	ck_assert_int_eq(pipe(ends), 0);
	snprintf(path, sizeof(path), "/dev/fd/%d", ends[0]);
	pid_t pid = fork();
	if (pid == 0) {
		static const char *const pieces[] = {"cor", "rect", " horse\n"};
		const struct timespec pause = {.tv_nsec = 5000000};
		for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
			if (write(ends[1], pieces[i], strlen(pieces[i])) < 0)
				_exit(1);
			nanosleep(&pause, NULL);
		}
		_exit(0);
	}
	close(ends[1]);
	const struct passphrase_source src = {.file = path, .what = "k"};
	gives(&src, 0, "correct horse");
	int status;
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	close(ends[0]);
}
END_TEST

/* Credentials directory */

START_TEST(credentials)
{
	struct passphrase_source src = {.what = "/keys"};

	gives(&src, -ENOKEY, "/keys needs a passphrase");
	ck_assert_int_eq(mkdir("cred", 0700), 0);
	setenv("CREDENTIALS_DIRECTORY", "cred", 1);
	gives(&src, -ENOKEY, "systemd credential byokfs.passphrase"); /* the directory, but not ours in it */
	put("cred/other", "x\n", 2);
	gives(&src, -ENOKEY, "systemd credential");
	put("cred/byokfs.passphrase", "from systemd\n", 13);
	gives(&src, 0, "from systemd");
	/* A file that is named comes before it, even if it is not there. */
	put("pw", "from a file\n", 12);
	src.file = "pw";
	gives(&src, 0, "from a file");
	src.file = "absent";
	gives(&src, -ENOENT, "absent");
	/* One that is there and bad is not passed over. */
	src.file = NULL;
	src.may_prompt = true;
	put("cred/byokfs.passphrase", "", 0);
	gives(&src, -EINVAL, "cred/byokfs.passphrase is empty");
	src.may_prompt = false;
	static char longer[2 * PATH_MAX];
	memset(longer, 'd', sizeof(longer) - 1);
	setenv("CREDENTIALS_DIRECTORY", longer, 1);
	gives(&src, -ENOKEY, "--passphrase-file");
}
END_TEST

/* Prompt */

/* A process with a terminal of its own asks; the test is who sits there. */
struct seat {
	pid_t pid;
	int terminal, result, go;
	char screen[4096];
	size_t shown;
};

struct result {
	int r;
	size_t secrets_in_use;
	char text[PASSPHRASE_MAX + 1], why[256];
};

static void seat_child(const struct passphrase_source *src, int fd)
{
	static struct result result;
	char *text = NULL;

	signal(SIGINT, SIG_DFL);  /* Check's own handler ends the whole test */
	signal(SIGQUIT, SIG_DFL); /* ignored in what a shell runs in the background */
	result.r = passphrase_read(src, &text, result.why, sizeof(result.why));
	if (text)
		snprintf(result.text, sizeof(result.text), "%s", text);
	secret_free(text);
	result.secrets_in_use = secret_in_use();
	exit(write(fd, &result, sizeof(result)) == (ssize_t)sizeof(result) ? 0 : 9);
}

/* He sits down; nobody asks before seat_go(). */
static void seat_sit(struct seat *s, const struct passphrase_source *src)
{
	int ends[2], go[2];
	char byte;

	memset(s, 0, sizeof(*s));
	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_eq(pipe(go), 0);
	s->pid = forkpty(&s->terminal, NULL, NULL, NULL);
	ck_assert_int_ge(s->pid, 0);
	if (s->pid == 0) {
		close(ends[0]);
		close(go[1]);
		if (read(go[0], &byte, 1) == 0)
			seat_child(src, ends[1]);
		_exit(8);
	}
	close(ends[1]);
	close(go[0]);
	s->result = ends[0];
	s->go = go[1];
}

static void seat_go(const struct seat *s)
{
	close(s->go);
}

static void seat_begin(struct seat *s, const struct passphrase_source *src)
{
	seat_sit(s, src);
	seat_go(s);
}

/* Wait until TEXT is on the screen, after what was looked for before. */
static void seat_await(struct seat *s, const char *text)
{
	const char *at;

	while (!(at = strstr(s->screen + s->shown, text))) {
		size_t n = strlen(s->screen);
		ssize_t got = read(s->terminal, s->screen + n, sizeof(s->screen) - 1 - n);
		ck_assert_msg(got > 0, "the screen ends with '%s'", s->screen + s->shown);
	}
	s->shown = (size_t)(at - s->screen) + strlen(text);
}

static void seat_type(const struct seat *s, const char *keys, size_t len)
{
	ck_assert_int_eq(write(s->terminal, keys, len), (ssize_t)len);
}

static bool seat_echoes(const struct seat *s)
{
	struct termios t;

	ck_assert_int_eq(tcgetattr(s->terminal, &t), 0);
	return (t.c_lflag & ECHO) != 0;
}

/* How the process ended; RESULT has what it was told, if it lived to say so. */
static int seat_end(struct seat *s, struct result *result)
{
	int status;

	memset(result, 0, sizeof(*result));
	if (read(s->result, result, sizeof(*result)) != (ssize_t)sizeof(*result))
		result->r = 1;
	ck_assert_int_eq(waitpid(s->pid, &status, 0), s->pid);
	ck_assert_uint_eq(result->secrets_in_use, 0);
	close(s->result);
	close(s->terminal);
	return status;
}

static const struct passphrase_source asks = {.may_prompt = true, .what = "/keys"};
static const struct passphrase_source asks_twice = {.may_prompt = true, .new_one = true, .what = "/keys"};

START_TEST(prompt)
{
	struct seat s;
	struct result result;

	seat_begin(&s, &asks);
	seat_await(&s, "Passphrase for keystore /keys: ");
	ck_assert(!seat_echoes(&s));
	seat_type(&s, "correct horse\n", 14);
	seat_await(&s, "\n"); /* the line ends on the screen though nothing is echoed */
	ck_assert_int_eq(seat_end(&s, &result), 0);
	ck_assert_int_eq(result.r, 0);
	ck_assert_str_eq(result.text, "correct horse");
	ck_assert_ptr_null(strstr(s.screen, "horse"));
}
END_TEST

START_TEST(prompt_twice)
{
	static const char *const again[] = {"correct horse\n", "correct horsf\n", "correct\n", "correct horse \n"};
	struct seat s;
	struct result result;

	seat_begin(&s, &asks_twice);
	seat_await(&s, "New passphrase for keystore /keys: ");
	seat_type(&s, "correct horse\n", 14);
	seat_await(&s, "The same again: ");
	ck_assert(!seat_echoes(&s));
	seat_type(&s, again[_i], strlen(again[_i]));
	ck_assert_int_eq(seat_end(&s, &result), 0);
	ck_assert_int_eq(result.r, _i == 0 ? 0 : -EINVAL);
	ck_assert_str_eq(result.text, _i == 0 ? "correct horse" : "");
	ck_assert_str_eq(result.why, _i == 0 ? "" : "the two passphrases differ");
}
END_TEST

/* The first one is bad: not asked again. */
START_TEST(prompt_refused)
{
	static char longer[PASSPHRASE_MAX + 3];
	memset(longer, 'p', sizeof(longer));
	longer[sizeof(longer) - 1] = '\n';
	const struct {
		const char *keys;
		size_t len;
		const char *refusal;
	} typed[] = {{"\n", 1, "terminal is empty"},
		     {"\004", 1, "terminal is empty"}, /* end of input */
		     {longer, sizeof(longer), "terminal is longer than 500 bytes"}};
	struct seat s;
	struct result result;

	seat_begin(&s, &asks_twice);
	seat_await(&s, "New passphrase for keystore /keys: ");
	seat_type(&s, typed[_i].keys, typed[_i].len);
	ck_assert_int_eq(seat_end(&s, &result), 0);
	ck_assert_int_eq(result.r, -EINVAL);
	ck_assert_ptr_nonnull(strstr(result.why, typed[_i].refusal));
	ck_assert_ptr_null(strstr(s.screen, "again"));
}
END_TEST

/* What was typed before a question is not its answer. */
START_TEST(prompt_ignores_the_past)
{
	struct seat s;
	struct result result;

	seat_sit(&s, &asks_twice);
	seat_type(&s, "early\n", 6);
	seat_await(&s, "early"); /* it is in the terminal's queue */
	seat_go(&s);
	seat_await(&s, "New passphrase for keystore /keys: ");
	seat_type(&s, "one\ntwo\n", 8);
	seat_await(&s, "The same again: ");
	seat_type(&s, "one\n", 4);
	ck_assert_int_eq(seat_end(&s, &result), 0);
	ck_assert_int_eq(result.r, 0);
	ck_assert_str_eq(result.text, "one");
}
END_TEST

/* ^C and ^\ end the process as ever, and the terminal echoes again. */
START_TEST(prompt_stopped)
{
	static const struct {
		char key;
		int number;
	} stops[] = {{'\003', SIGINT}, {'\034', SIGQUIT}};
	struct seat s;
	struct result result;

	seat_begin(&s, &asks);
	seat_await(&s, "Passphrase for keystore /keys: ");
	seat_type(&s, "half", 4);
	seat_type(&s, &stops[_i].key, 1);
	seat_await(&s, "\n");
	ck_assert(seat_echoes(&s));
	int status = seat_end(&s, &result);
	ck_assert_int_eq(result.r, 1); /* did not live to say */
	ck_assert(WIFSIGNALED(status));
	ck_assert_int_eq(WTERMSIG(status), stops[_i].number);
	ck_assert_ptr_null(strstr(s.screen, "half"));
}
END_TEST

static void ignore(int number)
{
	(void)number;
}

/* Who handles the signal himself gets it, and -EINTR. */
START_TEST(prompt_stopped_handled)
{
	struct sigaction own = {.sa_handler = ignore}, before;
	struct seat s;
	struct result result;

	ck_assert_int_eq(sigaction(SIGTERM, &own, &before), 0);
	seat_begin(&s, &asks);
	seat_await(&s, "Passphrase for keystore /keys: ");
	ck_assert_int_eq(kill(s.pid, SIGTERM), 0);
	seat_await(&s, "\n");
	ck_assert_int_eq(seat_end(&s, &result), 0);
	ck_assert_int_eq(result.r, -EINTR);
	ck_assert_str_eq(result.why, "stopped at the passphrase prompt");
	ck_assert_int_eq(sigaction(SIGTERM, &before, NULL), 0);
}
END_TEST

/* No terminal: said, not hung upon. */
START_TEST(no_terminal)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		char *text = NULL;
		if (setsid() < 0)
			_exit(8);
		if (passphrase_read(&asks, &text, why, sizeof(why)) != -ENOKEY || text || secret_in_use())
			_exit(1);
		exit(strstr(why, "there is no terminal to ask on") && strstr(why, "/keys") ? 0 : 2);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("passphrase");
	TCase *t = tcase_create("passphrase");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, file_contents, 0, (int)ARRAY_LEN(files));
	tcase_add_test(t, file_lengths);
	tcase_add_test(t, file_errors);
	tcase_add_test(t, file_is_pipe);
	tcase_add_test(t, credentials);
	tcase_add_test(t, prompt);
	tcase_add_loop_test(t, prompt_twice, 0, 4);
	tcase_add_loop_test(t, prompt_refused, 0, 3);
	tcase_add_test(t, prompt_ignores_the_past);
	tcase_add_loop_test(t, prompt_stopped, 0, 2);
	tcase_add_test(t, prompt_stopped_handled);
	tcase_add_test(t, no_terminal);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
