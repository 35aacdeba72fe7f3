/* SPDX-License-Identifier: BSD-2-Clause */
/* Supervisor and worker: workers that end, crash and hang, signals, notes, respawns. The mount is a packet socket. */
#include <check.h>
#include <errno.h>
#include <linux/fuse.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "fs/watch/ended.h"
#include "fs/watch/link.h"
#include "fs/watch/supervise.h"
#include "kms/clock.h"

/* What workers leave behind for the test; shared memory. */
struct seen {
	_Atomic int runs;   /* workers that began */
	_Atomic int got[4]; /* types of messages that came to one */
	_Atomic int n_got;
	_Atomic int pid, worker; /* of the last order; the last worker */
	_Atomic int state;       /* what the next one shows */
};
static struct seen *shared;

static const struct supervise_limits limits = {
	.health =
		{.beats_missed = 300, .beats_late = 900, .lease_over = 200, .locking_over = 200, .locking_stall = 200},
	.forget_more = 55,
	.reap = 5000,
};

static char dir[64], logged[8192];
static int kernel = -1;   /* the test's end of what is mounted */
static int fuse_end = -1; /* the other one, where it is made before the supervisor is forked */
static int mounts, umounts, readies, mount_error;
static struct supervise_config cfg;

static void log_line(int priority, const char *text)
{
	char line[600];

	snprintf(line, sizeof(line), "%d %s\n", priority, text);
	strncat(logged, line, sizeof(logged) - strlen(logged) - 1);
}

static int fake_mount(const struct mnt_config *c, int *fd, char why[STORE_WHY_MAX])
{
	int pair[2];

	ck_assert_str_eq(c->mountpoint, dir);
	mounts++;
	if (mount_error) {
		snprintf(why, STORE_WHY_MAX, "no mount today");
		return mount_error;
	}
	if (fuse_end >= 0) {
		*fd = fuse_end;
		return 0;
	}
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	if (kernel >= 0)
		close(kernel);
	kernel = pair[0];
	*fd = pair[1];
	return 0;
}

static int fake_umount(const char *mountpoint, const struct mount_num *n, bool detach)
{
	(void)n;
	(void)mountpoint;
	(void)detach;
	umounts++;
	return 0;
}

static void ready(void)
{
	readies++;
}

static void setup(void)
{
	snprintf(dir, sizeof(dir), "/tmp/byokfs-supervise-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(shared, MAP_FAILED);
	atomic_store(&shared->state, GATE_ACTIVE);
	cfg = (struct supervise_config){
		.mnt = {.mountpoint = dir, .source = "/srv/store"},
		.log = log_line,
		.ready = ready,
		.limits = &limits,
		.mount = fake_mount,
		.umount = fake_umount,
	};
	alarm(20);
}

static void teardown(void)
{
	ended_forget(dir);
	rmdir(dir);
}

static int run(int (*work)(struct worker *w, void *arg))
{
	cfg.work = work;
	return supervise(&cfg);
}

static bool has_note(struct ended_note *n)
{
	return ended_read(dir, n) == 0;
}

/* Packets that make the kernel forget. */
static int forgotten(void)
{
	struct fuse_out_header h;
	int n = 0;

	while (recv(kernel, &h, sizeof(h), MSG_DONTWAIT | MSG_TRUNC) > 0)
		n += h.error == FUSE_NOTIFY_INVAL_INODE;
	return n;
}

/* Workers */

/* Mounted, with a lease of a minute, and serving. */
static void serve(struct worker *w)
{
	char why[STORE_WHY_MAX];
	int fd;

	atomic_fetch_add(&shared->runs, 1);
	atomic_store(&shared->worker, getpid());
	if (worker_mount(w, &fd, why))
		_exit(99);
	atomic_store(&w->page->high, 3);
	atomic_store(&w->page->gate.deadline, clock_ms(CLOCK_BOOTTIME) + 60000);
	atomic_store(&w->page->gate.state, atomic_load(&shared->state));
	worker_serving(w);
}

static void hang(void)
{
	for (;;)
		pause();
}

static int work_ends(struct worker *w, void *arg)
{
	(void)w;
	(void)arg;
	return 3;
}

static int work_crashes_first(struct worker *w, void *arg)
{
	(void)w;
	(void)arg;
	raise(SIGKILL);
	return 0;
}

static int work_in_order(struct worker *w, void *arg)
{
	(void)arg;
	serve(w);
	atomic_store(&w->page->phase, WATCH_ENDING);
	return 0;
}

static int work_leaves(struct worker *w, void *arg)
{
	(void)arg;
	serve(w);
	return 0;
}

static int work_crashes(struct worker *w, void *arg)
{
	(void)arg;
	serve(w);
	clock_pause(20);
	raise(SIGKILL);
	return 0;
}

static int work_hangs(struct worker *w, void *arg)
{
	(void)arg;
	serve(w);
	hang();
	return 0;
}

/* Its gate's thread lives and does not lock. */
static int work_keeps_lease(struct worker *w, void *arg)
{
	(void)arg;
	serve(w);
	for (atomic_store(&w->page->gate.deadline, clock_ms(CLOCK_BOOTTIME) - 1);; clock_pause(50))
		atomic_fetch_add(&w->page->gate.beat, 1);
	return 0;
}

/* In order, but for the end of its lease. */
static int work_short_lease(struct worker *w, void *arg)
{
	(void)arg;
	serve(w);
	for (atomic_store(&w->page->gate.deadline, clock_ms(CLOCK_BOOTTIME) + 4500);; clock_pause(50))
		atomic_fetch_add(&w->page->gate.beat, 1);
	return 0;
}

static int work_mount_fails(struct worker *w, void *arg)
{
	char why[STORE_WHY_MAX];
	int fd;

	(void)arg;
	return worker_mount(w, &fd, why) == -EBUSY && strcmp(why, "no mount today") == 0 ? 6 : 99;
}

static int work_unused(struct worker *w, void *arg)
{
	char why[STORE_WHY_MAX];
	int fd;

	(void)arg;
	return worker_mount(w, &fd, why) ? 99 : 5;
}

/* Takes orders: the second LINK_STOP, or the first one if nothing is open, ends it in good order. */
static int work_obeys(struct worker *w, void *arg)
{
	int stops = *(int *)arg;
	struct link_msg m;
	int fd;

	serve(w);
	while (link_receive(w->sock, &m, &fd) == 0) {
		atomic_store(&shared->got[atomic_fetch_add(&shared->n_got, 1) % 4], m.type);
		atomic_store(&shared->pid, m.pid);
		if (m.type == LINK_STOP && --stops == 0)
			break;
	}
	atomic_store(&w->page->phase, WATCH_ENDING);
	return 0;
}

static int work_tells(struct worker *w, void *arg)
{
	const struct gate_change c = {
		.from = GATE_ACTIVE, .to = GATE_LOCKING, .cause = GATE_CAUSE_REVOKED, .reason = "key is disabled"};

	(void)arg;
	serve(w);
	worker_tell(w, &c);
	atomic_store(&w->page->phase, WATCH_ENDING);
	return 0;
}

/* A process that sends SIGNALS to the supervisor, the next when the last one has reached the worker. */
static pid_t send_signals(const int *signals, size_t n)
{
	pid_t supervisor = getpid(), pid = fork();

	if (pid != 0)
		return pid;
	while (atomic_load(&shared->runs) == 0)
		clock_pause(10);
	clock_pause(50);
	for (size_t i = 0; i < n; i++) {
		kill(supervisor, signals[i]);
		for (int ms = 0; ms < 3000 && atomic_load(&shared->n_got) <= (int)i; ms += 10)
			clock_pause(10);
	}
	_exit(0);
}

/* Ends */

START_TEST(exit_code)
{
	ck_assert_int_eq(run(work_ends), 3);
	ck_assert_str_eq(logged, "");
	ck_assert(readies == 0 && mounts == 0);
}
END_TEST

START_TEST(crash_at_start)
{
	ck_assert_int_eq(run(work_crashes_first), 1);
	ck_assert_ptr_nonnull(strstr(logged, "3 the worker was killed by signal 9"));
	ck_assert_int_eq(readies, 0);
}
END_TEST

START_TEST(mount_fails)
{
	mount_error = -EBUSY;
	ck_assert_int_eq(run(work_mount_fails), 6);
	ck_assert_int_eq(mounts, 1);
}
END_TEST

/* Mounted and never used: it is aborted, and forgotten. */
START_TEST(never_served)
{
	ck_assert_int_eq(run(work_unused), 5);
	ck_assert(mounts == 1 && readies == 0);
}
END_TEST

START_TEST(good_order)
{
	struct ended_note n = {.who = "worker", .why = "an old note"};

	snprintf(n.mountpoint, sizeof(n.mountpoint), "%s", dir);
	ck_assert_int_eq(ended_write(&n), 0);
	ck_assert_int_eq(run(work_in_order), 0);
	ck_assert(mounts == 1 && readies == 1);
	ck_assert_msg(!has_note(&n), "the note of the mount before is still there");
	ck_assert_str_eq(logged, "");
}
END_TEST

/* Deaths and hangs */

static void taken(int (*work)(struct worker *w, void *arg), const char *why)
{
	struct ended_note n;

	ck_assert_int_eq(run(work), 1);
	ck_assert_msg(strstr(logged, why) && strstr(logged, ": taken over and closed in"), "%s", logged);
	ck_assert(has_note(&n));
	ck_assert_str_eq(n.who, "supervisor");
	ck_assert_str_eq(n.store, "/srv/store");
	ck_assert_msg(strncmp(n.why, why, strlen(why)) == 0, "%s", n.why);
	ck_assert(!n.reported && n.when > 1700000000);
	/* ids 1 to 3, twice, at once and again behind it */
	ck_assert_int_ge(forgotten(), 12);
	ck_assert_int_eq(readies, 1);
	ck_assert_msg(kill(atomic_load(&shared->worker), 0) < 0, "the worker lives");
}

START_TEST(crash)
{
	taken(work_crashes, "the worker was killed by signal 9 (Killed)");
}
END_TEST

START_TEST(leaves)
{
	taken(work_leaves, "the worker ended by itself with code 0");
}
END_TEST

START_TEST(hangs)
{
	taken(work_hangs, "the worker is no longer running (no beat for 300 ms)");
}
END_TEST

START_TEST(keeps_lease)
{
	taken(work_keeps_lease, "the lease has ended and the worker did not lock");
}
END_TEST

/* It is found by that alone: the other limits are far off, however slow the machine is. */
START_TEST(locking_hangs)
{
	static const struct supervise_limits far = {
		.health = {.beats_missed = 60000,
			   .beats_late = 60000,
			   .lease_over = 60000,
			   .locking_over = 200,
			   .locking_stall = 200},
		.forget_more = 55,
		.reap = 5000,
	};

	cfg.limits = &far;
	atomic_store(&shared->state, GATE_LOCKING);
	taken(work_hangs, "locking did not end in time");
}
END_TEST

/* The guard */

/* A supervisor in a process of its own, whose worker is serving. */
static pid_t supervise_apart(int (*work)(struct worker *w, void *arg))
{
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	kernel = pair[0];
	fuse_end = pair[1];
	pid_t pid = fork();
	if (pid == 0) {
		close(kernel);
		_exit(run(work));
	}
	close(fuse_end);
	for (int ms = 0; ms < 5000 && atomic_load(&shared->runs) == 0; ms += 10)
		clock_pause(10);
	clock_pause(100);
	ck_assert_int_gt(atomic_load(&shared->worker), 0);
	return pid;
}

/* The guard has closed the last descriptor within LIMIT_MS: how often something was forgotten. */
static int forgotten_at_end(int limit_ms)
{
	struct fuse_out_header h;
	struct pollfd p = {.fd = kernel, .events = POLLIN};
	int n = 0;
	ssize_t got = 1;

	while (got > 0 && poll(&p, 1, limit_ms) == 1) {
		got = recv(kernel, &h, sizeof(h), MSG_TRUNC);
		n += got > 0 && h.error == FUSE_NOTIFY_INVAL_INODE;
	}
	ck_assert_msg(got == 0, "somebody still has the mount");
	return n;
}

static void by_guard(const char *why)
{
	struct ended_note n;

	ck_assert(has_note(&n));
	ck_assert_str_eq(n.who, "guard");
	ck_assert_msg(strncmp(n.why, why, strlen(why)) == 0, "%s", n.why);
}

START_TEST(both_killed)
{
	pid_t pid = supervise_apart(work_hangs);

	kill(pid, SIGKILL);
	kill(atomic_load(&shared->worker), SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert_int_ge(forgotten_at_end(3000), 12);
	by_guard("supervisor and worker were killed");
}
END_TEST

/* A worker that is left alone and does nothing is held to what a supervisor holds it to. */
START_TEST(left_and_hangs)
{
	pid_t pid = supervise_apart(work_hangs);

	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert_int_ge(forgotten_at_end(5000), 12);
	by_guard("the worker is no longer running"); /* and it has been ended: it had the descriptor, too */
}
END_TEST

/* Both stopped: they may only be paused, until the lease has ended. */
START_TEST(both_stopped)
{
	pid_t pid = supervise_apart(work_short_lease);
	struct pollfd p = {.fd = kernel, .events = POLLIN};

	kill(pid, SIGSTOP);
	kill(atomic_load(&shared->worker), SIGSTOP);
	ck_assert_int_eq(poll(&p, 1, 3500), 0); /* longer than a supervisor may be silent */
	ck_assert_int_eq(poll(&p, 1, 5000), 1);
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert_int_ge(forgotten_at_end(5000), 12);
	by_guard("the lease has ended");
}
END_TEST

/* Respawns */

START_TEST(respawn_limit)
{
	cfg.respawns = 2;
	taken(work_crashes, "the worker was killed by signal 9 (Killed)");
	ck_assert_int_eq(atomic_load(&shared->runs), 3);
	ck_assert_int_eq(mounts, 3);
}
END_TEST

/* Locked when it died: a new worker would open what a person has shut. */
START_TEST(respawn_locked)
{
	cfg.respawns = 2;
	atomic_store(&shared->state, GATE_LOCKED);
	taken(work_crashes, "the worker was killed by signal 9 (Killed)");
	ck_assert_int_eq(atomic_load(&shared->runs), 1);
	ck_assert_ptr_nonnull(strstr(logged, "not mounted again"));
}
END_TEST

/* Signals and words */

START_TEST(signals)
{
	static const int list[] = {SIGUSR1, SIGTERM, SIGHUP};
	int stops = 2;

	cfg.arg = &stops;
	pid_t pid = send_signals(list, 3);
	ck_assert_int_eq(run(work_obeys), 0);
	ck_assert_int_eq(atomic_load(&shared->n_got), 3);
	ck_assert_int_eq(atomic_load(&shared->got[0]), LINK_LOCK);
	ck_assert_int_eq(atomic_load(&shared->got[1]), LINK_STOP);
	ck_assert_int_eq(atomic_load(&shared->got[2]), LINK_STOP);
	ck_assert_int_eq(atomic_load(&shared->pid), pid);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}
END_TEST

static int work_at_prompt(struct worker *w, void *arg)
{
	(void)w;
	(void)arg;
	atomic_fetch_add(&shared->runs, 1);
	hang();
	return 0;
}

/* Still at its prompt, a worker is ended by the signal itself. */
START_TEST(signal_at_start)
{
	static const int list[] = {SIGTERM};
	pid_t pid = send_signals(list, 1);

	ck_assert_int_eq(run(work_at_prompt), 1);
	ck_assert_ptr_nonnull(strstr(logged, "killed by signal 15"));
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}
END_TEST

START_TEST(tells)
{
	char script[80], told[80], text[1024] = "";

	snprintf(script, sizeof(script), "%s/command", dir);
	snprintf(told, sizeof(told), "%s/told", dir);
	FILE *f = fopen(script, "we");
	ck_assert_ptr_nonnull(f);
	fprintf(f, "#!/bin/sh\ncat >%s\n", told);
	ck_assert(fchmod(fileno(f), 0700) == 0 && fclose(f) == 0);
	const struct words_config wc = {.mountpoint = "/mnt", .notify_command = script};
	ck_assert_int_eq(words_start(&wc, &cfg.words), 0);
	ck_assert_int_eq(run(work_tells), 0);
	words_end(cfg.words);
	f = fopen(told, "re");
	ck_assert_ptr_nonnull(f);
	ck_assert_ptr_nonnull(fgets(text, sizeof(text), f));
	fclose(f);
	ck_assert_ptr_nonnull(strstr(text, "\"from\":\"active\",\"state\":\"locking\",\"cause\":\"revoked\","
					   "\"reason\":\"key is disabled\""));
	ck_assert_str_eq(logged, "");
	unlink(told);
	unlink(script);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("supervise");
	TCase *c = tcase_create("supervise");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_set_timeout(c, 30);
	tcase_add_test(c, exit_code);
	tcase_add_test(c, crash_at_start);
	tcase_add_test(c, mount_fails);
	tcase_add_test(c, never_served);
	tcase_add_test(c, good_order);
	tcase_add_test(c, crash);
	tcase_add_test(c, leaves);
	tcase_add_test(c, hangs);
	tcase_add_test(c, keeps_lease);
	tcase_add_test(c, locking_hangs);
	tcase_add_test(c, both_killed);
	tcase_add_test(c, left_and_hangs);
	tcase_add_test(c, both_stopped);
	tcase_add_test(c, respawn_limit);
	tcase_add_test(c, respawn_locked);
	tcase_add_test(c, signals);
	tcase_add_test(c, signal_at_start);
	tcase_add_test(c, tells);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed > 0;
}
