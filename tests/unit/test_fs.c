/* SPDX-License-Identifier: BSD-2-Clause */
/* A mount's life between its supervisor and the kernel, both played here: mounted, served, told, given up; and what status says. */
#include <linux/fuse.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "fs/mount/status.h"
#include "fs/watch/control.h"
#include "fs/watch/ended.h"
#include "fs/watch/link.h"
#include "fs/watch/mnt.h"
#include "fs/watch/mountinfo.h"
#include "fs/watch/worker.h"
#include "tests/unit/store_rig.h"

static struct rig rig;
static struct watch_page page;
static struct worker worker;
static struct fs_config cfg;
static struct fs *fs;
static char mountpoint[96], why[STORE_WHY_MAX];
static int link_fd, life_fd; /* the supervisor's end of the link; closed, it is dead */
static int kernel;           /* the other end of /dev/fuse */
static pthread_t waiter;

/* ---- the kernel's part ---- */

static _Atomic unsigned n_umounts, n_detached, n_synced;
static _Atomic bool busy; /* files are open */

/* In the place of fs/watch/mnt.c. */
int mnt_umount(const char *at, const struct mount_num *n, bool detach)
{
	ck_assert_str_eq(at, mountpoint);
	ck_assert_int_eq(n->id, worker.mount.id);
	atomic_fetch_add(&n_umounts, 1);
	if (detach)
		atomic_fetch_add(&n_detached, 1);
	else if (atomic_load(&busy))
		return -EBUSY;
	if (!atomic_load(&busy))
		shutdown(kernel, SHUT_RDWR);
	return 0;
}

int mnt_umount_at(const char *path, const struct mount_num *n, int flags)
{
	(void)path;
	(void)n;
	(void)flags;
	return -EINVAL;
}

int syncfs(int fd)
{
	struct stat st, want;

	if (fstat(fd, &st) == 0 && stat(mountpoint, &want) == 0 && st.st_ino == want.st_ino)
		atomic_fetch_add(&n_synced, 1);
	return 0;
}

static void begin_session(void)
{
	struct fuse_init_in in = {.major = 7, .minor = 36, .flags = FUSE_WRITEBACK_CACHE | FUSE_DO_READDIRPLUS};
	struct fuse_in_header h = {.len = sizeof(h) + sizeof(in), .opcode = FUSE_INIT, .unique = 1};
	struct iovec iov[2] = {{&h, sizeof(h)}, {&in, sizeof(in)}};
	struct fuse_out_header out;
	char answer[512];

	ck_assert_int_eq(writev(kernel, iov, 2), (ssize_t)h.len);
	ck_assert_int_ge(recv(kernel, answer, sizeof(answer), 0), (ssize_t)sizeof(out));
	memcpy(&out, answer, sizeof(out));
	ck_assert_uint_eq(out.unique, 1);
	ck_assert_int_eq(out.error, 0);
}

/* ---- the supervisor's part ---- */

static char logged[4096];

static void on_log(int priority, const char *text)
{
	size_t len = strlen(logged);

	if (strcmp(text, "short read on fuse device") == 0)
		return; /* libfuse's, of a device that is a socket here */
	(void)priority;
	snprintf(logged + len, sizeof(logged) - len, "%s\n", text);
}

static void say(const struct link_msg *m, int fd)
{
	ck_assert_int_eq(link_send(link_fd, m, fd, false), 0);
}

static struct link_msg hear(void)
{
	struct link_msg m = {0};
	int fd;

	ck_assert_int_eq(link_receive(link_fd, &m, &fd), 0);
	ck_assert_int_eq(fd, -1);
	return m;
}

static void setup(void)
{
	int pair[2], life[2];

	atomic_store(&busy, false);
	fake_reset();
	rig_begin(&rig);
	rig_start(&rig);
	ck_assert_msg(store_begin(rig.store, rig.gate, NULL, why) == 0, "%s", why);
	setenv("XDG_RUNTIME_DIR", rig.dir, 1);
	snprintf(mountpoint, sizeof(mountpoint), "%s/mnt", rig.dir);
	ck_assert_int_eq(mkdir(mountpoint, 0700), 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	ck_assert_int_eq(pipe2(life, O_CLOEXEC), 0);
	link_fd = pair[0];
	life_fd = life[1];
	worker = (struct worker){.sock = pair[1], .supervisor_fd = life[0], .supervisor = getppid(), .page = &page};
	cfg = (struct fs_config){.worker = &worker,
				 .store = rig.store,
				 .gate = rig.gate,
				 .mountpoint = mountpoint,
				 .attr_timeout_ms = 15000,
				 .beacon = &page.gate,
				 .high = &page.high,
				 .log = on_log};
	alarm(30);
}

static void teardown(void)
{
	close(worker.sock);
	close(worker.supervisor_fd);
	close(link_fd);
	close(life_fd);
	ended_forget(mountpoint);
	rig_end(&rig);
}

/* ---- mounting ---- */

static unsigned open_fds(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* fs_mount() fails with R, says TEXT and leaves nothing open. */
static void mount_fails(int r, const char *text)
{
	unsigned before = open_fds();

	fs = NULL;
	ck_assert_int_eq(fs_mount(&cfg, &fs, why), r);
	ck_assert_str_eq(why, text);
	ck_assert_ptr_null(fs);
	ck_assert_uint_eq(open_fds(), before);
}

START_TEST(mount_refused)
{
	const struct link_msg no = {.type = LINK_MOUNTED, .error = -EPERM, .text = "fusermount3 said no"};

	say(&no, -1);
	mount_fails(-EPERM, "fusermount3 said no");
	ck_assert_int_eq(hear().type, LINK_MOUNT);
	ck_assert_uint_eq(n_umounts, 0);
}
END_TEST

START_TEST(mount_interrupted)
{
	const struct link_msg lock = {.type = LINK_LOCK}, stop = {.type = LINK_STOP, .signal = SIGTERM};

	say(&lock, -1); /* before there is anything to lock: not an answer */
	say(&stop, -1);
	mount_fails(-EINTR, "interrupted");
}
END_TEST

START_TEST(mount_without_descriptor)
{
	const struct link_msg yes = {.type = LINK_MOUNTED, .how = "fusectl"};

	say(&yes, -1);
	mount_fails(-EPROTO, "");
}
END_TEST

START_TEST(mount_without_supervisor)
{
	close(link_fd);
	mount_fails(-EPIPE, "the supervisor does not answer");
	link_fd = -1;
}
END_TEST

/* ---- serving ---- */

static void *wait_main(void *arg)
{
	(void)arg;
	return (void *)(intptr_t)fs_wait(fs);
}

static void serve(void)
{
	const struct link_msg yes = {.type = LINK_MOUNTED, .how = "fusectl"};
	int end[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, end), 0);
	kernel = end[0];
	say(&yes, end[1]);
	close(end[1]);
	ck_assert_msg(fs_mount(&cfg, &fs, why) == 0, "%s", why);
	ck_assert_int_eq(hear().type, LINK_MOUNT);
	ck_assert_str_eq(worker.abort_how, "fusectl");
	ck_assert_uint_eq(page.high, 1); /* the root */
	ck_assert_int_eq(page.phase, WATCH_STARTING);
	ck_assert_int_eq(fs_start(fs), 0);
	struct link_msg m = hear();
	ck_assert_int_eq(m.type, LINK_CHANGE);
	ck_assert_int_eq(m.to, GATE_ACTIVE);
	ck_assert_int_eq(pthread_create(&waiter, NULL, wait_main, NULL), 0);
	ck_assert_int_eq(hear().type, LINK_SERVING);
	ck_assert_int_eq(page.phase, WATCH_SERVING);
	begin_session();
}

/* fs_wait() has returned, or does soon. */
static void served(void)
{
	void *r;

	ck_assert_int_eq(pthread_join(waiter, &r), 0);
	ck_assert_int_eq((int)(intptr_t)r, 0);
	ck_assert_int_eq(page.phase, WATCH_ENDING);
}

static void let_go(void)
{
	gate_detach(rig.gate);
	shutdown(kernel, SHUT_RDWR);
	fs_free(fs);
	close(kernel);
}

static bool waits(void)
{
	return pthread_tryjoin_np(waiter, NULL) == EBUSY;
}

static void until(const _Atomic unsigned *n, unsigned want)
{
	for (int ms = 0; ms < 5000 && atomic_load(n) != want; ms++)
		clock_pause(1);
	ck_assert_uint_eq(atomic_load(n), want);
}

/* Asked to leave: that ends the session, and nothing is unmounted a second time in between. */
START_TEST(unmounted)
{
	serve();
	ck_assert(waits());
	fs_leave(fs);
	served();
	let_go();
	ck_assert_uint_eq(n_umounts, 1);
	ck_assert_str_eq(logged, "");
}
END_TEST

START_TEST(stopped)
{
	const struct link_msg stop = {.type = LINK_STOP, .signal = SIGTERM, .pid = 1};

	serve();
	say(&stop, -1);
	served();
	let_go();
	ck_assert_uint_eq(n_umounts, 1);
	ck_assert_uint_eq(n_detached, 0);
}
END_TEST

/* What the supervisor is told until the state is LOCKED. */
static void hear_lock(enum gate_cause cause)
{
	struct link_msg m;

	do {
		m = hear();
		ck_assert_int_eq(m.type, LINK_CHANGE);
		ck_assert_int_eq(m.cause, (int)cause);
		ck_assert_int_ne(m.from, m.to);
	} while (m.to != GATE_LOCKED);
}

/* Files are open: locked, and the place kept until they are closed; nothing is freed. */
START_TEST(stopped_while_busy)
{
	const struct link_msg stop = {.type = LINK_STOP, .signal = SIGINT, .pid = 1};

	serve();
	atomic_store(&busy, true);
	say(&stop, -1);
	hear_lock(GATE_CAUSE_ORDERED);
	until(&n_umounts, 3); /* asked, tried, and tried again */
	ck_assert(waits());
	ck_assert_uint_eq(n_detached, 0);
	ck_assert_ptr_nonnull(strstr(logged, "still in use: locked, and unmounted when"));
	atomic_store(&busy, false);
	served();
	let_go();
	ck_assert_uint_eq(n_detached, 0);
}
END_TEST

/* A second signal ends the session all the same, and leaves what is mounted where it is. */
START_TEST(stopped_twice_while_busy)
{
	const struct link_msg stop = {.type = LINK_STOP, .signal = SIGINT, .pid = 1};

	serve();
	atomic_store(&busy, true);
	say(&stop, -1);
	hear_lock(GATE_CAUSE_ORDERED);
	say(&stop, -1);
	served();
	let_go();
	ck_assert_uint_eq(n_detached, 0);
	ck_assert_ptr_nonnull(strstr(logged, "what is mounted answers errors until byokfs umount"));
}
END_TEST

/* The end of a session that nobody unmounted takes the mount away. */
START_TEST(connection_breaks)
{
	serve();
	shutdown(kernel, SHUT_RDWR);
	served();
	ck_assert_uint_eq(n_umounts, 0);
	let_go();
	ck_assert_uint_eq(n_umounts, 1);
	ck_assert_uint_eq(n_detached, 1);
}
END_TEST

/* ---- locking ---- */

/* An order locks and nothing else, however the mount was asked to end; the kernel is told to forget its root. */
START_TEST(told_to_lock)
{
	const struct link_msg lock = {.type = LINK_LOCK, .signal = SIGUSR1, .uid = 0, .pid = 1};
	struct {
		struct fuse_out_header head;
		struct fuse_notify_inval_inode_out body;
	} m;
	struct fs_lock_report report;
	bool forgot = false;

	cfg.unmount_on_revoke = true;
	serve();
	fs_last_lock(fs, &report);
	ck_assert_int_eq(report.started, 0);
	say(&lock, -1);
	hear_lock(GATE_CAUSE_ORDERED);
	ck_assert_int_eq(gate_state(rig.gate), GATE_LOCKED);
	while (recv(kernel, &m, sizeof(m), MSG_DONTWAIT) > 0)
		forgot = forgot || (m.head.error == FUSE_NOTIFY_INVAL_INODE && m.body.ino == FUSE_ROOT_ID);
	ck_assert(forgot);
	fs_last_lock(fs, &report);
	ck_assert_int_gt(report.started, 0);
	ck_assert_uint_eq(report.inodes, 1);
	clock_pause(20);
	ck_assert(waits());
	ck_assert_uint_eq(n_umounts, 0);
	fs_leave(fs);
	served();
	let_go();
}
END_TEST

/* _i: whether the mount was asked to end when the key is revoked. */
START_TEST(revoked)
{
	cfg.unmount_on_revoke = _i;
	serve();
	fake_set(0, FAKE_REVOKED);
	fake_notify(0);
	hear_lock(GATE_CAUSE_REVOKED);
	if (!_i) {
		clock_pause(20);
		ck_assert(waits());
		ck_assert_uint_eq(n_umounts, 0);
		fs_leave(fs);
	}
	served();
	let_go();
	ck_assert_uint_eq(n_umounts, 1);
}
END_TEST

/*
 * The supervisor dies: locked, the end noted down, the session over. Without its fs_free(): that stays for seconds, so
 * that a write(2) under way leaves nothing behind.
 */
START_TEST(supervisor_lost)
{
	struct ended_note n;

	serve();
	close(life_fd);
	served();
	ck_assert_int_eq(gate_state(rig.gate), GATE_LOCKED);
	ck_assert_uint_eq(n_umounts, 0); /* what stays mounted answers errors, and is no empty folder to write into */
	ck_assert_ptr_nonnull(strstr(logged, "the supervisor is dead: locking, and ending the mount\n"));
	ck_assert_int_eq(ended_read(mountpoint, &n), 0);
	ck_assert_str_eq(n.who, "worker");
	ck_assert_str_eq(n.why, "the supervisor died: locked and closed");
	ck_assert_str_eq(n.mountpoint, mountpoint);
	ck_assert_str_eq(n.store, rig.store->path);
	ck_assert(!n.reported);
	ended_forget(mountpoint);
	char command[sizeof(rig.dir) + 16];
	snprintf(command, sizeof(command), "rm -rf %s", rig.dir);
	exit(system(command));
}
END_TEST

/* ---- status ---- */

/* Text with every control character and the backslash in it; what is beyond ASCII is left alone. */
static const char odd[] = "/mnt/a b\\c\nd\te\x7f\x01\xc3\xa9";
static const char odd_escaped[] = "/mnt/a b\\134c\\012d\\011e\\177\\001\xc3\xa9";

static void expect(char *out, size_t len, const struct gate_status *st)
{
	const struct keyring *k = rig.store->keyring;
	char id[2 * ID_LEN + 1];

	for (size_t i = 0; i < ID_LEN; i++)
		snprintf(id + 2 * i, 3, "%02x", k->store_id[i]);
	snprintf(out, len,
		 "state active\ncause \nreason \nsince %lld\nlease_left_s %lld\ngrace_left_s 0\nnext_probe_s %lld\n"
		 "last_good %lld\nlast_refusal 0\nkms_took_ms %u\nkms_request \npolls %llu\nkeys_in_memory 0\nkeys_cap "
		 "%zu\nkeys_dropped 0\nordered "
		 "0\n"
		 "pid %d\nsupervisor_pid %d\nworker_pid %d\nabort fusectl\nmount_id 0\nconnected 1\nversion "
		 "%s\nmountpoint %s\n"
		 "store %s\nstore_id %s\nkms fake:0\npolicy all\nwrap store\nblock_size 4096\nkeyring_sequence 1\n"
		 "session clean\nread_only 0\n"
		 "cached_inodes 1\nopen_files 0\nlost_ranges 0\nrefused_writes 0\ncorrupt 0\nrecovered 0\nmended_files "
		 "0\nmended_bytes_cut 0\nput_back_files 0\njournal_bytes 0\njournal_bytes_used 0\njournal_entries 0\n"
		 "journal_entries_put 0\ndraining 0\nsealed_waiting_bytes 0\n"
		 "lock_sealed_bytes 0\nlock_refused_bytes 0\nlock_inodes 0\nlock_contents_ms 0\nlock_all_ms "
		 "0\nbuilt_on_all 0\n"
		 "audit_lines 0\naudit_waiting 0\naudit_lost 0\naudit_error \ndenied 0\n",
		 (long long)st->since, (long long)(st->lease_left_ms + 999) / 1000,
		 (long long)(st->next_probe_ms + 999) / 1000, (long long)st->last_good, st->took_ms,
		 (unsigned long long)st->polls, st->keys_cap, (int)getppid(), (int)getppid(), (int)getpid(),
		 BYOKFS_VERSION, odd_escaped, rig.store->path, id);
}

/* Every line, in order; the seconds left may go on between two looks. */
START_TEST(status)
{
	const struct control_config c = {
		.gate = rig.gate, .store = rig.store, .worker = &worker, .mountpoint = odd, .fs = NULL};
	struct control_config with = c;
	char want[2][4096], *text;

	serve();
	with.fs = fs;
	for (int tries = 0; tries < 3; tries++) {
		struct gate_status st[2];
		gate_status(rig.gate, &st[0]);
		ck_assert_int_eq(status_text(&with, &text), 0);
		gate_status(rig.gate, &st[1]);
		expect(want[0], sizeof(want[0]), &st[0]);
		expect(want[1], sizeof(want[1]), &st[1]);
		if (strcmp(want[0], want[1]) == 0 || tries == 2)
			break;
		free(text);
	}
	ck_assert_str_eq(text, want[0]);
	char *at = strstr(text, "\nmountpoint ") + strlen("\nmountpoint ");
	*strchr(at, '\n') = '\0';
	mountinfo_unescape(at);
	ck_assert_str_eq(at, odd);
	free(text);
	fs_leave(fs);
	served();
	let_go();
}
END_TEST

/* Locked, with a reason; a session after a crash, read-only. */
START_TEST(status_when_locked)
{
	struct control_config c = {.gate = rig.gate, .store = rig.store, .worker = &worker, .mountpoint = mountpoint};
	char *text;

	serve();
	c.fs = fs;
	ck_assert_int_eq(gate_lock(rig.gate, "over\nlunch"), 0);
	rig.store->unclean = true;
	rig.store->read_only = true;
	ck_assert_int_eq(status_text(&c, &text), 0);
	rig.store->unclean = false;
	rig.store->read_only = false;
	static const char beginning[] = "state locked\ncause ordered\nreason locked by order of over\\012lunch\nsince ";
	ck_assert_msg(strncmp(text, beginning, strlen(beginning)) == 0, "%s", text);
	ck_assert_ptr_nonnull(strstr(text, "\nlease_left_s 0\ngrace_left_s 0\nnext_probe_s 0\n"));
	ck_assert_ptr_nonnull(strstr(text, "\nordered 1\n"));
	ck_assert_ptr_nonnull(strstr(text, "\nsession unclean\nread_only 1\n"));
	ck_assert_ptr_nonnull(strstr(text, "\nlock_inodes 1\n"));
	free(text);
	fs_leave(fs);
	served();
	let_go();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fs");
	TCase *c = tcase_create("fs");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, mount_refused);
	tcase_add_test(c, mount_interrupted);
	tcase_add_test(c, mount_without_descriptor);
	tcase_add_test(c, mount_without_supervisor);
	tcase_add_test(c, unmounted);
	tcase_add_test(c, stopped);
	tcase_add_test(c, stopped_while_busy);
	tcase_add_test(c, stopped_twice_while_busy);
	tcase_add_test(c, connection_breaks);
	tcase_add_test(c, told_to_lock);
	tcase_add_loop_test(c, revoked, 0, 2);
	tcase_add_exit_test(c, supervisor_lost, 0);
	tcase_add_test(c, status);
	tcase_add_test(c, status_when_locked);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
