/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control socket's server, asked byte by byte: each order and what is logged of it, clients that are many, slow, gone
 * or strangers, and the end of the mount while one waits. What it orders and tells, and where its sockets lie, is played by
 * the linker (--wrap, see tests/meson.build): no mount, no root.
 */
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "fs/audit/audit.h"
#include "fs/mount/control.h"
#include "fs/mount/control_private.h"
#include "fs/mount/status.h"
#include "fs/watch/control_own.h"
#include "tests/unit/store_rig.h"

static struct rig rig;
static struct control *control;
static struct sockaddr_un address;
static char run_dir[112];

/* What the server reaches for */

int __real_getsockopt(int fd, int level, int name, void *value, socklen_t *len);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *len);
int __wrap_control_dir(char *out, size_t len);
void __wrap_fs_leave(struct fs *fs);
int __wrap_status_text(const struct control_config *cfg, char **out);
void __wrap_audit_ordered(struct audit *a, const struct audit_order *o);

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uid_t peer_uid; /* who asks, if not as the kernel says: `stranger` */
	bool stranger;
	int status_result;
	const char *status;
	unsigned unmounts, in_status, held; /* held: status waits until so many ask at once, or for held = 0 */
	char logged[1024];
} world = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

int __wrap_control_dir(char *out, size_t len)
{
	int n = snprintf(out, len, "%s", run_dir);

	return n < 0 || (size_t)n >= len ? -ENAMETOOLONG : 0;
}

int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	int r = __real_getsockopt(fd, level, name, value, len);

	if (r == 0 && world.stranger && level == SOL_SOCKET && name == SO_PEERCRED)
		((struct ucred *)value)->uid = world.peer_uid;
	return r;
}

void __wrap_fs_leave(struct fs *fs)
{
	ck_assert_ptr_null(fs);
	world.unmounts++;
}

int __wrap_status_text(const struct control_config *cfg, char **out)
{
	ck_assert_str_eq(cfg->mountpoint, rig.path);
	pthread_mutex_lock(&world.lock);
	world.in_status++;
	pthread_cond_broadcast(&world.changed);
	while (world.in_status < world.held)
		pthread_cond_wait(&world.changed, &world.lock);
	pthread_mutex_unlock(&world.lock);
	if (world.status_result)
		return world.status_result;
	*out = strdup(world.status);
	return *out ? 0 : -ENOMEM;
}

void __wrap_audit_ordered(struct audit *a, const struct audit_order *o)
{
	size_t n = strlen(world.logged);

	ck_assert_ptr_null(a);
	ck_assert_uint_eq(o->uid, geteuid());
	ck_assert_int_eq(o->pid, getpid());
	snprintf(world.logged + n, sizeof(world.logged) - n, "%s %d %s;", o->order, o->error, o->why ? o->why : "-");
}

static void setup(void)
{
	char why[STORE_WHY_MAX];

	rig_begin(&rig);
	rig_start(&rig);
	fake_reset();
	ck_assert_int_eq(store_begin(rig.store, rig.gate, NULL, why), 0);
	snprintf(run_dir, sizeof(run_dir), "%s/run", rig.dir);
	world.status = "state active\n";
	alarm(60);
}

static void teardown(void)
{
	rig_end(&rig);
}

static int start(void)
{
	const struct control_config cfg = {.gate = rig.gate, .store = rig.store, .mountpoint = rig.path};

	return control_start(&cfg, &control);
}

static void begin(void)
{
	ck_assert_int_eq(start(), 0);
	ck_assert_int_eq(control_address(run_dir, rig.path, &address), 0);
}

/* A client */

static int dial(void)
{
	const struct timeval limit = {.tv_sec = 20};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
	return fd;
}

static void say(int fd, const char *text, size_t len)
{
	ck_assert_int_eq(send(fd, text, len, MSG_NOSIGNAL), (ssize_t)len);
}

#define AT_ONCE_MS 4000 /* on a slow machine too, and less than the 5 s that a silent client is borne */

/* All that comes until the server hangs up, which is at once; closes FD. */
static void hear(int fd, char *out, size_t max)
{
	int64_t from = clock_ms(CLOCK_MONOTONIC);
	size_t n = 0;

	for (;;) {
		ssize_t got = recv(fd, out + n, max - 1 - n, 0);
		ck_assert_msg(got >= 0 || errno == ECONNRESET, "%s", strerror(errno));
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	ck_assert_int_lt(clock_ms(CLOCK_MONOTONIC) - from, AT_ONCE_MS);
	out[n] = '\0';
	close(fd);
}

static const char *ask(const char *request)
{
	static char answer[2048];
	int fd = dial();

	say(fd, request, strlen(request));
	hear(fd, answer, sizeof(answer));
	return answer;
}

/* Orders */

START_TEST(orders)
{
	begin();
	ck_assert_str_eq(ask("byokfs 1 lock\n"), "ok\n");
	ck_assert_int_eq(gate_state(rig.gate), GATE_LOCKED);
	ck_assert_str_eq(world.logged, "lock 0 -;");
	world.logged[0] = '\0';
	ck_assert_str_eq(ask("byokfs 1 unlock\n"), "ok\n");
	ck_assert_int_eq(gate_state(rig.gate), GATE_ACTIVE);
	ck_assert_str_eq(world.logged, "unlock 0 -;");
	world.logged[0] = '\0';
	ck_assert_str_eq(ask("byokfs 1 unmount\n"), "ok\n");
	ck_assert_uint_eq(world.unmounts, 1);
	ck_assert_str_eq(world.logged, "unmount 0 -;");
	/* He will do it himself: it is logged, and that is all. */
	world.logged[0] = '\0';
	ck_assert_str_eq(ask("byokfs 1 unmounting\n"), "ok\n");
	ck_assert_uint_eq(world.unmounts, 1);
	ck_assert_str_eq(world.logged, "unmount 0 -;");
	control_stop(control);
}
END_TEST

/* An order that fails is logged twice: that it was given, and how it ended. */
START_TEST(orders_that_fail)
{
	begin();
	ck_assert_str_eq(ask("byokfs 1 lock\n"), "ok\n");
	fake_set(0, FAKE_REVOKED);
	const char *answer = ask("byokfs 1 unlock\n");
	ck_assert_int_eq(strncmp(answer, "error 128 ", 10), 0);
	ck_assert_ptr_nonnull(strstr(answer, "is disabled"));
	ck_assert_ptr_nonnull(strstr(world.logged, "lock 0 -;unlock 0 -;unlock -128 "));
	ck_assert_ptr_nonnull(strstr(world.logged, "is disabled"));
	ck_assert_int_eq(gate_state(rig.gate), GATE_LOCKED);
	control_stop(control);
}
END_TEST

/* To ask is no order. */
START_TEST(status)
{
	static char large[CONTROL_MESSAGE_MAX], answer[CONTROL_MESSAGE_MAX + 16];

	begin();
	ck_assert_str_eq(ask("byokfs 1 status\n"), "ok\nstate active\n");
	ck_assert_str_eq(world.logged, "");
	world.status_result = -ENOMEM;
	ck_assert_str_eq(ask("byokfs 1 status\n"), "error 12 Cannot allocate memory\n");
	world.status_result = 0;
	/* More than a socket holds comes whole. */
	memset(large, 'v', sizeof(large) - 1);
	world.status = large;
	int fd = dial();
	say(fd, "byokfs 1 status\n", 16);
	hear(fd, answer, sizeof(answer));
	ck_assert_uint_eq(strlen(answer), 3 + sizeof(large) - 1);
	ck_assert_str_eq(answer + 3, large);
	control_stop(control);
}
END_TEST

/* Requests */

START_TEST(requests)
{
	static const char *const bad[] = {"\n",
					  "byokfs 1 \n",
					  "byokfs 1 stop\n",
					  "byokfs 2 lock\n",
					  "byokfs 1 lock\r\n",
					  "GET / HTTP/1.1\n",
					  "byokfs 1 lock\nbyokfs 1 lock\n"};
	begin();
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_str_eq(ask(bad[i]),
				 "error 71 this mount does not understand the request: another version of byokfs?\n");
	ck_assert_int_eq(gate_state(rig.gate), GATE_ACTIVE);
	ck_assert_str_eq(world.logged, "");
	control_stop(control);
}
END_TEST

/* The longest line that is read, one byte more, and one that does not end: no answer, and no order. */
START_TEST(lengths)
{
	char line[CONTROL_REQUEST_MAX + 1], answer[256];

	begin();
	for (size_t n = CONTROL_REQUEST_MAX - 1; n <= CONTROL_REQUEST_MAX + 1; n++) {
		memset(line, 'x', sizeof(line));
		line[n - 1] = '\n';
		int fd = dial();
		say(fd, line, n);
		hear(fd, answer, sizeof(answer));
		ck_assert_msg((answer[0] != '\0') == (n <= CONTROL_REQUEST_MAX), "%zu: %s", n, answer);
	}
	int fd = dial();
	say(fd, "byokfs 1 lock", 13);
	ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
	hear(fd, answer, sizeof(answer));
	ck_assert_str_eq(answer, "");
	ck_assert_int_eq(gate_state(rig.gate), GATE_ACTIVE);
	control_stop(control);
}
END_TEST

START_TEST(in_pieces)
{
	static const char request[] = "byokfs 1 lock\n";
	char answer[64];

	begin();
	int fd = dial();
	for (size_t i = 0; i < sizeof(request) - 1; i++) {
		ck_assert_int_eq(gate_state(rig.gate), GATE_ACTIVE);
		say(fd, request + i, 1);
		clock_pause(1);
	}
	hear(fd, answer, sizeof(answer));
	ck_assert_str_eq(answer, "ok\n");
	ck_assert_int_eq(gate_state(rig.gate), GATE_LOCKED);
	control_stop(control);
}
END_TEST

/* Clients */

/* Three are answered at the same time: each waits until all of them have asked. */
START_TEST(at_once)
{
	int fd[3];
	char answer[64];

	begin();
	world.held = 3;
	for (int i = 0; i < 3; i++) {
		fd[i] = dial();
		say(fd[i], "byokfs 1 status\n", 16);
	}
	for (int i = 2; i >= 0; i--) {
		hear(fd[i], answer, sizeof(answer));
		ck_assert_str_eq(answer, "ok\nstate active\n");
	}
	control_stop(control);
}
END_TEST

/* As many as there may be sit there and say nothing, or half of it: an order gets through, and who came first has made room. */
START_TEST(full_of_silent)
{
	int fd[CONTROL_CLIENTS + 10];
	char answer[64];

	begin();
	for (size_t i = 0; i < ARRAY_LEN(fd); i++) {
		fd[i] = dial();
		if (i % 2)
			say(fd[i], "byokfs 1 sta", 12);
	}
	ck_assert_str_eq(ask("byokfs 1 lock\n"), "ok\n");
	for (int i = 0; i < 10; i++) {
		hear(fd[i], answer, sizeof(answer));
		ck_assert_str_eq(answer, "");
	}
	say(fd[20], "byokfs 1 status\n", 16); /* he may still speak */
	hear(fd[20], answer, sizeof(answer));
	ck_assert_str_eq(answer, "ok\nstate active\n");
	control_stop(control); /* and the end waits for none of them */
	for (size_t i = 0; i < ARRAY_LEN(fd); i++)
		close(fd[i]);
}
END_TEST

/* All have asked and wait: nobody loses his answer, and the next is told. */
START_TEST(full_of_waiting)
{
	int fd[CONTROL_CLIENTS];
	char answer[64];

	begin();
	world.held = CONTROL_CLIENTS + 1;
	for (size_t i = 0; i < ARRAY_LEN(fd); i++) {
		fd[i] = dial();
		say(fd[i], "byokfs 1 status\n", 16);
	}
	pthread_mutex_lock(&world.lock);
	while (world.in_status < CONTROL_CLIENTS)
		pthread_cond_wait(&world.changed, &world.lock);
	pthread_mutex_unlock(&world.lock);
	int extra = dial();
	hear(extra, answer, sizeof(answer));
	ck_assert_str_eq(answer, "error 16 too many ask at the same time: try again\n");
	pthread_mutex_lock(&world.lock);
	world.held = 0;
	pthread_cond_broadcast(&world.changed);
	pthread_mutex_unlock(&world.lock);
	for (size_t i = 0; i < ARRAY_LEN(fd); i++) {
		hear(fd[i], answer, sizeof(answer));
		ck_assert_str_eq(answer, "ok\nstate active\n");
	}
	control_stop(control);
}
END_TEST

/* Gone before the answer: nobody else is harmed, by no signal either. */
START_TEST(gone)
{
	static char large[1 << 20];

	begin();
	memset(large, 'v', sizeof(large) - 1);
	world.status = large;
	for (int i = 0; i < 10; i++) {
		int fd = dial();
		say(fd, "byokfs 1 status\n", 16);
		if (i % 2)
			ck_assert_int_eq(recv(fd, (char[1]){0}, 1, 0), 1); /* in the middle of it */
		close(fd);
	}
	world.status = "state active\n";
	ck_assert_str_eq(ask("byokfs 1 status\n"), "ok\nstate active\n");
	control_stop(control);
}
END_TEST

START_TEST(strangers)
{
	char answer[256];

	begin();
	world.peer_uid = geteuid() + 4711;
	world.stranger = true;
	int fd = dial();
	hear(fd, answer, sizeof(answer)); /* without a word of his */
	ck_assert_str_eq(answer, "error 1 only root and the user who mounted it may ask\n");
	ck_assert_int_eq(gate_state(rig.gate), GATE_ACTIVE);
	world.stranger = false;
	ck_assert_str_eq(ask("byokfs 1 status\n"), "ok\nstate active\n");
	control_stop(control);
}
END_TEST

/* The end */

static void *stop_main(void *arg)
{
	control_stop(control);
	return arg;
}

/* Who has asked is answered before the end; who only sits there is not waited for. */
START_TEST(stop_while_one_waits)
{
	pthread_t thread;
	char answer[64];

	begin();
	world.held = 2; /* the second never comes */
	int silent = dial(), fd = dial();
	say(fd, "byokfs 1 status\n", 16);
	pthread_mutex_lock(&world.lock);
	while (!world.in_status)
		pthread_cond_wait(&world.changed, &world.lock);
	pthread_mutex_unlock(&world.lock);
	ck_assert_int_eq(pthread_create(&thread, NULL, stop_main, NULL), 0);
	hear(silent, answer, sizeof(answer)); /* the end has begun */
	ck_assert_str_eq(answer, "");
	ck_assert_int_eq(pthread_tryjoin_np(thread, NULL), EBUSY);
	pthread_mutex_lock(&world.lock);
	world.held = 0;
	pthread_cond_broadcast(&world.changed);
	pthread_mutex_unlock(&world.lock);
	hear(fd, answer, sizeof(answer));
	ck_assert_str_eq(answer, "ok\nstate active\n");
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(access(address.sun_path, F_OK), -1);
}
END_TEST

/* The sockets' folder */

START_TEST(folder)
{
	struct stat st;

	begin();
	ck_assert_int_eq(stat(run_dir, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0700);
	ck_assert_int_eq(lstat(address.sun_path, &st), 0);
	ck_assert(S_ISSOCK(st.st_mode));
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	control_stop(control);
	for (mode_t bit = 01; bit <= 040; bit <<= 1) {
		ck_assert_int_eq(chmod(run_dir, 0700 | bit), 0);
		ck_assert_int_eq(start(), -EPERM);
	}
	ck_assert_int_eq(rmdir(run_dir), 0); /* nothing was left in it */
	char real[sizeof(run_dir) + 8];
	snprintf(real, sizeof(real), "%s.real", run_dir);
	ck_assert_int_eq(mkdir(real, 0700), 0);
	ck_assert_int_eq(symlink(real, run_dir), 0);
	ck_assert_int_eq(start(), -EPERM); /* a link, wherever it leads */
	ck_assert_int_eq(unlink(run_dir), 0);
	int fd = open(run_dir, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert_int_eq(start(), -EPERM);
	snprintf(run_dir, sizeof(run_dir), "%s/absent/run", rig.dir);
	ck_assert_int_eq(start(), 0); /* its parents are made, too */
	control_stop(control);
	memset(run_dir, 'd', sizeof(run_dir) - 1);
	ck_assert_int_eq(start(), -ENAMETOOLONG);
}
END_TEST

/* What lies where the socket belongs: a file of a daemon that is gone is replaced, a folder is not. */
START_TEST(place_taken)
{
	begin();
	control_stop(control);
	int fd = open(address.sun_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	close(fd);
	begin();
	ck_assert_str_eq(ask("byokfs 1 status\n"), "ok\nstate active\n");
	control_stop(control);
	ck_assert_int_eq(mkdir(address.sun_path, 0700), 0);
	ck_assert_int_eq(start(), -EISDIR);
	ck_assert_int_eq(access(address.sun_path, F_OK), 0);
}
END_TEST

/* No descriptors left: who is served is served on, and new ones come in when there are some again. */
START_TEST(no_descriptors)
{
	struct rlimit before, few;
	char answer[64];

	begin();
	int fd = dial(), waiting = dial();
	say(fd, "byokfs 1 ", 9);                                          /* taken in, and half way */
	ck_assert_str_eq(ask("byokfs 1 status\n"), "ok\nstate active\n"); /* so both have been accepted */
	int late = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(late, 0);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = before;
	few.rlim_cur = 3;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	ck_assert_int_eq(connect(late, (struct sockaddr *)&address, sizeof(address)), 0);
	say(late, "byokfs 1 lock\n", 14);
	say(fd, "status\n", 7);
	hear(fd, answer, sizeof(answer));
	ck_assert_str_eq(answer, "ok\nstate active\n");
	int64_t busy = clock_ms(CLOCK_PROCESS_CPUTIME_ID);
	clock_pause(60);
	ck_assert_int_lt(clock_ms(CLOCK_PROCESS_CPUTIME_ID) - busy, 30); /* it waits, and does not try without end */
	ck_assert_int_eq(gate_state(rig.gate), GATE_ACTIVE);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	hear(late, answer, sizeof(answer));
	ck_assert_str_eq(answer, "ok\n");
	close(waiting);
	control_stop(control);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("control_server");
	TCase *t = tcase_create("control_server");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, orders);
	tcase_add_test(t, orders_that_fail);
	tcase_add_test(t, status);
	tcase_add_test(t, requests);
	tcase_add_test(t, lengths);
	tcase_add_test(t, in_pieces);
	tcase_add_test(t, at_once);
	tcase_add_test(t, full_of_silent);
	tcase_add_test(t, full_of_waiting);
	tcase_add_test(t, gone);
	tcase_add_test(t, strangers);
	tcase_add_test(t, stop_while_one_waits);
	tcase_add_test(t, folder);
	tcase_add_test(t, place_taken);
	tcase_add_test(t, no_descriptors);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
