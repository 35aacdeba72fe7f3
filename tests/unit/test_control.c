/* SPDX-License-Identifier: BSD-2-Clause */
/* The control socket: its parsers, and a server that silent, slow and lying clients cannot hold up. */
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "fs/mount/control.h"
#include "fs/watch/control_own.h"
#include "fs/store/store_own.h"
#include "tests/unit/store_rig.h"

static struct rig rig;
static struct control *control;
static char why[STORE_WHY_MAX];

static void setup(void)
{
	rig_begin(&rig);
	rig_start(&rig);
	ck_assert_int_eq(store_begin(rig.store, rig.gate, NULL, why), 0);
	alarm(60);
}

static void teardown(void)
{
	rig_end(&rig);
}

/* Requests */

START_TEST(requests)
{
	enum control_command c = 0;
	for (enum control_command i = CONTROL_STATUS; i <= CONTROL_UNMOUNTING; i++) {
		const char *text = control_request_text(i);
		ck_assert_int_eq(control_request_parse(text, strlen(text), &c), 0);
		ck_assert_int_eq(c, i);
		for (size_t n = 0; n < strlen(text); n++)
			ck_assert_int_eq(control_request_parse(text, n, &c), -EPROTO);
	}
	static const char *const bad[] = {"",
					  "\n",
					  "byokfs 1 \n",
					  "byokfs 1 statu\n",
					  "byokfs 1 statuss\n",
					  "byokfs 2 status\n",
					  "byokfs 1 status",
					  "byokfs 1 status\n\n",
					  "BYOKFS 1 status\n",
					  "byokfs 1 status \n",
					  "byokfs 1  status\n",
					  "byokfs 1 unlocklock\n",
					  " byokfs 1 status\n"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_int_eq(control_request_parse(bad[i], strlen(bad[i]), &c), -EPROTO);
	ck_assert_int_eq(control_request_parse("byokfs 1 status\0\n", 17, &c), -EPROTO);
	char longer[300];
	memset(longer, ' ', sizeof(longer));
	longer[299] = '\n';
	ck_assert_int_eq(control_request_parse(longer, sizeof(longer), &c), -EPROTO);
}
END_TEST

static int answer(const char *text, int *error, char *out)
{
	const char *body;
	size_t len;
	int r = control_answer_parse(text, strlen(text), error, &body, &len);
	if (r == 0)
		snprintf(out, 100, "%.*s", (int)len, body);
	return r;
}

START_TEST(answers)
{
	char body[100];
	int error;
	ck_assert_int_eq(answer("ok\n", &error, body), 0);
	ck_assert_int_eq(error, 0);
	ck_assert_str_eq(body, "");
	ck_assert_int_eq(answer("ok\nstate active\npid 7\n", &error, body), 0);
	ck_assert_str_eq(body, "state active\npid 7\n");
	ck_assert_int_eq(answer("error 128 key is disabled\n", &error, body), 0);
	ck_assert_int_eq(error, -128);
	ck_assert_str_eq(body, "key is disabled");
	ck_assert_int_eq(answer("error 1 \n", &error, body), 0);
	ck_assert_str_eq(body, "");
	static const char *const bad[] = {"",
					  "\n",
					  "ok",
					  "okay\n",
					  "error\n",
					  "error \n",
					  "error 0 x\n",
					  "error -1 x\n",
					  "error 99999999999999999999 x\n",
					  "error 5000 x\n",
					  "error 12\n",
					  "error x y\n",
					  "error 1 no end"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_msg(answer(bad[i], &error, body) == -EPROTO, "%s", bad[i]);
	const char *b;
	size_t n;
	ck_assert_int_eq(control_answer_parse("ok\nstate a\0b\n", 13, &error, &b, &n), -EPROTO);
}
END_TEST

START_TEST(places)
{
	struct sockaddr_un a, b;
	char dir[256];
	ck_assert_int_eq(control_dir_at(0, 0, dir, sizeof(dir)), 0);
	ck_assert_str_eq(dir, "/run/byokfs");
	ck_assert_int_eq(control_dir_at(0, 1, dir, sizeof(dir)), -ENOENT);
	ck_assert_int_eq(control_dir_at(0, 0, dir, 5), -ENAMETOOLONG);
	ck_assert_int_eq(control_dir_at(4711, 1, dir, sizeof(dir)), 0);
	ck_assert_str_eq(dir, "/run/user/4711/byokfs");
	ck_assert_int_eq(control_dir_at(4711, 9, dir, sizeof(dir)), -ENOENT);
	ck_assert_int_eq(control_address(dir, "/mnt/a", &a), 0);
	ck_assert_int_eq(control_address(dir, "/mnt/b", &b), 0);
	ck_assert_str_ne(a.sun_path, b.sun_path);
	memset(dir, 'x', 200);
	dir[200] = 0;
	ck_assert_int_eq(control_address(dir, "/mnt/a", &a), -ENAMETOOLONG);
}
END_TEST

/* Server. As root its sockets lie in /run/byokfs, as everywhere; the mount point is the test's own. */

static struct sockaddr_un address;

static void server_start(void)
{
	const struct control_config cfg = {.fs = NULL, .gate = rig.gate, .store = rig.store, .mountpoint = rig.path};
	char dir[256];
	ck_assert_int_eq(control_start(&cfg, &control), 0);
	ck_assert_int_eq(control_dir(dir, sizeof(dir)), 0);
	ck_assert_int_eq(control_address(dir, rig.path, &address), 0);
}

static int dial(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

START_TEST(lock_and_unlock)
{
	char *text = NULL;
	server_start();
	ck_assert_int_eq(control_call(rig.path, CONTROL_LOCK, 5000, &text), 0);
	free(text);
	ck_assert_int_eq(gate_state(rig.gate), GATE_LOCKED);
	fake_set(0, FAKE_REVOKED);
	int r = control_call(rig.path, CONTROL_UNLOCK, 5000, &text);
	ck_assert_int_lt(r, 0);
	ck_assert_ptr_nonnull(strstr(text, "is disabled"));
	free(text);
	fake_set(0, FAKE_OK);
	ck_assert_int_eq(control_call(rig.path, CONTROL_UNLOCK, 5000, &text), 0);
	free(text);
	ck_assert_int_eq(gate_state(rig.gate), GATE_ACTIVE);
	control_stop(control);
	ck_assert_int_eq(control_call(rig.path, CONTROL_LOCK, 1000, &text), -ENOENT);
	ck_assert_int_eq(access(address.sun_path, F_OK), -1);
}
END_TEST

#define AT_ONCE_MS 4000 /* on a slow machine too: who waits for one of the silent waits for 5 s */

/* Dozens that say nothing, or one byte at a time, or rubbish: the next one is answered at once. */
START_TEST(silent_clients)
{
	int fd[40];
	char *text, buf[256];
	server_start();
	for (int i = 0; i < 40; i++) {
		fd[i] = dial();
		if (i % 3 == 1)
			ck_assert_int_eq(send(fd[i], "b", 1, 0), 1);
	}
	int64_t t = now_ms();
	ck_assert_int_eq(control_call(rig.path, CONTROL_LOCK, 5000, &text), 0);
	free(text);
	ck_assert_int_lt(now_ms() - t, AT_ONCE_MS);
	int junk = dial();
	memset(buf, 'x', sizeof(buf));
	ck_assert_int_eq(send(junk, buf, sizeof(buf), MSG_NOSIGNAL), (int)sizeof(buf));
	ck_assert_int_le(recv(junk, buf, sizeof(buf), 0), 0);
	close(junk);
	junk = dial();
	ck_assert_int_eq(send(junk, "GET / HTTP/1.1\n", 15, MSG_NOSIGNAL), 15);
	ck_assert_int_gt(recv(junk, buf, sizeof(buf), 0), 0);
	ck_assert_int_eq(memcmp(buf, "error ", 6), 0);
	close(junk);
	/* And the end does not wait for them. */
	t = now_ms();
	control_stop(control);
	ck_assert_int_lt(now_ms() - t, AT_ONCE_MS);
	for (int i = 0; i < 40; i++)
		close(fd[i]);
}
END_TEST

START_TEST(stale_socket)
{
	pid_t pid = fork();
	if (pid == 0) {
		server_start();
		_exit(0); /* without control_stop(): the socket stays */
	}
	int status;
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	server_start();
	ck_assert_int_eq(access(address.sun_path, F_OK), 0);
	/* One that lives is not taken over. */
	const struct control_config cfg = {.gate = rig.gate, .store = rig.store, .mountpoint = rig.path};
	struct control *second;
	ck_assert_int_eq(control_start(&cfg, &second), -EADDRINUSE);
	control_stop(control);
	control_stop(NULL);
}
END_TEST

/* Another user is not answered. */
START_TEST(strangers)
{
	if (geteuid() != 0)
		return;
	server_start();
	int made[2];
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, made), 0);
	pid_t pid = fork();
	if (pid == 0) {
		char *text;
		if (setresuid(65534, 65534, 65534) < 0)
			_exit(9);
		_exit(control_call(rig.path, CONTROL_LOCK, 1000, &text) == 0 ? 1 : 0);
	}
	int status;
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(gate_state(rig.gate), GATE_ACTIVE);
	close(made[0]);
	close(made[1]);
	control_stop(control);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("control");
	TCase *t = tcase_create("control");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, requests);
	tcase_add_test(t, answers);
	tcase_add_test(t, places);
	tcase_add_test(t, lock_and_unlock);
	tcase_add_test(t, silent_clients);
	tcase_add_test(t, stale_socket);
	tcase_add_test(t, strangers);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
