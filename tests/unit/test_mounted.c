/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * status, lock, unlock, umount and the places of mount, where something is mounted. The linker puts a mount table, a daemon
 * that answers and a kernel that unmounts in the place of the real ones (--wrap, see tests/meson.build): no root, no mount.
 */
#include "tests/unit/said.h"

#include <signal.h>
#include <sys/wait.h>

#include "fs/watch/control.h"
#include "fs/watch/ended.h"
#include "fs/watch/mnt.h"
#include "fs/watch/holders.h"
#include "fs/watch/mountinfo.h"
#include "tools/ask.h"
#include "tools/mounts.h"

int __real_mountinfo_open(struct mountinfo_reader *r, const char *table);
int __real_mountinfo_find(const char *table, const char *mountpoint, struct mountinfo *out);
int __wrap_mountinfo_open(struct mountinfo_reader *r, const char *table);
int __wrap_mountinfo_find(const char *table, const char *mountpoint, struct mountinfo *out);
int __wrap_control_call(const char *mountpoint, enum control_command cmd, unsigned timeout_ms, char **answer);
int __wrap_ended_read(const char *mountpoint, struct ended_note *out);
int __wrap_mnt_umount(const char *mountpoint, const struct mount_num *n, bool detach);
size_t __wrap_holders_find(const char *proc, const struct mountinfo *mine, char text[HOLDERS_TEXT_MAX]);

/* The mount table is the file `table` in the scratch folder. */
int __wrap_mountinfo_open(struct mountinfo_reader *r, const char *table)
{
	ck_assert_str_eq(table, MOUNTINFO_SELF);
	return __real_mountinfo_open(r, "table");
}

int __wrap_mountinfo_find(const char *table, const char *mountpoint, struct mountinfo *out)
{
	ck_assert_str_eq(table, MOUNTINFO_SELF);
	return __real_mountinfo_find("table", mountpoint, out);
}

/* The daemon: what it answers, and what it was asked. */
static struct {
	int error;
	const char *text; /* NULL: none */
	char asked[256];
	unsigned timeout_ms;
} server;

int __wrap_control_call(const char *mountpoint, enum control_command cmd, unsigned timeout_ms, char **answer)
{
	size_t n = strlen(server.asked);

	ck_assert_int_eq(mountpoint[0], '/');
	snprintf(server.asked + n, sizeof(server.asked) - n, "%d ", cmd);
	server.timeout_ms = timeout_ms;
	*answer = server.text ? strdup(server.text) : NULL;
	return server.error;
}

static const char *holder; /* who has the mount elsewhere */

size_t __wrap_holders_find(const char *proc, const struct mountinfo *mine, char text[HOLDERS_TEXT_MAX])
{
	ck_assert_str_eq(proc, "/proc");
	ck_assert_int_gt(mine->id, 0);
	snprintf(text, HOLDERS_TEXT_MAX, "%s", holder ? holder : "");
	return holder != NULL;
}

static struct ended_note note; /* mountpoint "": there is none */

int __wrap_ended_read(const char *mountpoint, struct ended_note *out)
{
	if (strcmp(note.mountpoint, mountpoint) != 0)
		return -ENOENT;
	*out = note;
	return 0;
}

/* The kernel: what umount says, and which process ends by it. */
static struct {
	int error;
	pid_t ends;
	int calls;
	bool detach;
} kernel;

int __wrap_mnt_umount(const char *mountpoint, const struct mount_num *n, bool detach)
{
	ck_assert_int_eq(mountpoint[0], '/');
	ck_assert_int_eq(n->id, 36); /* as in the table */
	kernel.calls++;
	kernel.detach = detach;
	if (kernel.ends)
		kill(kernel.ends, SIGKILL);
	if (!kernel.error)
		said_put("table", "", 0);
	return kernel.error;
}

static char where[PATH_MAX + 8]; /* the mount point `m` */

static void table_put(const char *format_path, unsigned owner)
{
	char line[2 * PATH_MAX];
	int n = snprintf(line, sizeof(line),
			 "22 1 8:1 / / rw - ext4 /dev/root rw\n"
			 "36 22 0:47 / %s rw,nosuid - fuse.byokfs /srv/s rw,user_id=%u,group_id=0\n",
			 format_path, owner);
	said_put("table", line, (size_t)n);
}

static void setup(void)
{
	said_scratch();
	setenv("TZ", "UTC", 1);
	ck_assert_int_eq(mkdir("m", 0755), 0);
	snprintf(where, sizeof(where), "%s/m", said.dir);
	table_put(where, geteuid());
	server.error = 0;
	server.text = "";
}

/* status */

static const char answer[] = "state ACTIVE\n"
			     "reason \n"
			     "since 1764000000\n"
			     "last_refusal 0\n"
			     "ordered 0\n"
			     "read_only 1\n"
			     "kms local:/k/a\n"
			     "kms local:/k/b\n"
			     "pid 77\n"
			     "lease_left_s unknown\n"
			     "store /srv/a\\012b\n"
			     "novalue\n"
			     "unheard_of 5\n"
			     "polls 18446744073709551615";

START_TEST(status_lines)
{
	server.text = strstr(answer,
			     "last_refusal"); /* the time since then is not the same twice: test_status_page has it */
	server.text = strcat(strcpy((char[sizeof(answer) + 16]){0}, "state ACTIVE\n"), server.text);
	SAID(cmd_status, "status", "m");
	SAID_IS(CMD_OK,
		"state                          ACTIVE\n"
		"store                          /srv/a\\x0ab\n"
		"kms                            local:/k/a\n"
		"kms                            local:/k/b\n"
		"policy                         all of them are needed\n"
		"read only                      yes\n",
		"");
	ck_assert_str_eq(server.asked, "1 ");
	ck_assert_uint_eq(server.timeout_ms, 10000);
}
END_TEST

START_TEST(status_json)
{
	server.text = answer;
	SAID(cmd_status, "status", "m", "--json");
	SAID_IS(CMD_OK,
		"{\"state\": \"ACTIVE\", \"reason\": \"\", \"since\": 1764000000, \"last_refusal\": 0, \"ordered\": "
		"false, "
		"\"read_only\": true, \"kms\": [\"local:/k/a\", \"local:/k/b\"], \"pid\": 77, "
		"\"lease_left_s\": \"unknown\", \"store\": \"/srv/a\\u000ab\", \"unheard_of\": \"5\", "
		"\"polls\": 18446744073709551615}\n",
		"");
}
END_TEST

START_TEST(status_all)
{
	char line[3 * PATH_MAX];
	int n = snprintf(line, sizeof(line),
			 "36 22 0:47 / %s rw - fuse.byokfs /srv/s rw,user_id=0\n"
			 "broken line\n"
			 "37 22 0:48 / /mnt/a\\040b rw - fuse.byokfs /srv/t rw,user_id=0\n"
			 "38 22 0:49 / /mnt/c rw - fuse.sshfs x rw\n",
			 where);
	char **list;

	said_put("table", line, (size_t)n);
	ck_assert_int_eq(mounts_list(&list), 0);
	ck_assert_str_eq(list[0], where);
	ck_assert_str_eq(list[1], "/mnt/a b");
	ck_assert_ptr_null(list[2]);
	mounts_free(list);
	server.text = "state ACTIVE\n";
	SAID(cmd_status, "status");
	SAID_IS(CMD_OK, "state                          ACTIVE\n\nstate                          ACTIVE\n", "");
	SAID(cmd_status, "status", "--json");
	SAID_IS(CMD_OK, "{\"mounts\": [{\"state\": \"ACTIVE\"}, {\"state\": \"ACTIVE\"}]}\n", "");
	said_put("table", "", 0);
	SAID(cmd_status, "status");
	SAID_IS(CMD_OK, "No byokfs is mounted.\n", "");
	SAID(cmd_status, "status", "--json");
	SAID_IS(CMD_OK, "{\"mounts\": []}\n", "");
	ck_assert_int_eq(unlink("table"), 0);
	SAID(cmd_status, "status");
	SAID_IS(CMD_FAILED, "", "byokfs: cannot read the mount table: No such file or directory\n");
}
END_TEST

/* Silence, and what it may mean */

START_TEST(status_silent)
{
	server.text = NULL;
	server.error = -ETIMEDOUT;
	SAID(cmd_status, "status", "m", "--json");
	SAID_IS(CMD_FAILED,
		"{\"state\": \"unknown\", \"reason\": \"the daemon does not answer\", \"mountpoint\": \"DIR/m\"}\n",
		"byokfs: the daemon of DIR/m does not answer: Connection timed out\n");
	server.error = -EPERM;
	SAID(cmd_status, "status", "m");
	ck_assert_int_eq(said.code, CMD_NOT_ALLOWED);
	ck_assert_str_eq(said.err, "byokfs: DIR/m was mounted by someone else: ask as root or as that user\n");
	server.error = -ENOENT; /* the folder answers, so nobody has died */
	SAID(cmd_status, "status", "m");
	ck_assert_int_eq(said.code, CMD_FAILED);
	ck_assert_str_eq(said.err,
			 "byokfs: nobody answers for DIR/m: its daemon is gone, or it was mounted by someone else\n");
	ck_assert_ptr_nonnull(strstr(said.out, "state                          unknown\n"));
}
END_TEST

/* A mount that was ended leaves a note: it is believed, and its worker, which may hang, is not waited for. */
START_TEST(status_ended)
{
	note = (struct ended_note){
		.store = "/srv/s", .who = "supervisor", .why = "the worker died", .when = 1764000000};
	memcpy(note.mountpoint, where, strlen(where) + 1);
	server.text = NULL;
	server.error = -ETIMEDOUT;
	SAID(cmd_status, "status", "m", "--json");
	SAID_IS(CMD_FAILED,
		"{\"state\": \"dead\", \"reason\": \"the worker died\", \"ended_by\": \"supervisor\", "
		"\"since\": 1764000000, \"store\": \"/srv/s\", \"mountpoint\": \"DIR/m\"}\n",
		"byokfs: the daemon of DIR/m does not answer: Connection timed out\n");
	ck_assert_uint_eq(server.timeout_ms, 500);
	SAID(cmd_status, "status", "m");
	ck_assert_str_eq(said.out, "state                          dead\n"
				   "reason                         the worker died\n"
				   "to do                          byokfs umount DIR/m, then mount it again\n"
				   "ended by                       supervisor\n"
				   "since                          2025-11-24 16:00:00 +0000\n"
				   "store                          /srv/s\n"
				   "mountpoint                     DIR/m\n");
	SAID(cmd_lock, "lock", "m"); /* an order takes its time, note or not */
	ck_assert_uint_eq(server.timeout_ms, 90000);
}
END_TEST

/* Orders */

START_TEST(lock_and_unlock)
{
	SAID(cmd_lock, "lock", "m");
	SAID_IS(CMD_OK, "DIR/m is locked\n", "");
	ck_assert_uint_eq(server.timeout_ms, 90000);
	SAID(cmd_unlock, "unlock", "m");
	SAID_IS(CMD_OK, "DIR/m is unlocked\n", "");
	ck_assert_str_eq(server.asked, "2 3 ");
	server.text = "the KMS refuses";
	server.error = -EACCES;
	SAID(cmd_unlock, "unlock", "m");
	SAID_IS(CMD_REFUSED, "", "byokfs: DIR/m: the KMS refuses\n");
	server.error = -ETIMEDOUT;
	SAID(cmd_unlock, "unlock", "m");
	SAID_IS(CMD_UNREACHABLE, "", "byokfs: DIR/m: the KMS refuses\n");
	server.error = -EBUSY;
	SAID(cmd_lock, "lock", "m");
	SAID_IS(CMD_BUSY, "", "byokfs: DIR/m: the KMS refuses\n");
}
END_TEST

/* umount */

/* A process that lives until it is killed, as the daemon that answers. */
static void daemon_begin(void)
{
	static char text[64];

	kernel.ends = fork();
	ck_assert_int_ge(kernel.ends, 0);
	if (kernel.ends == 0) {
		for (;;)
			pause();
	}
	snprintf(text, sizeof(text), "state ACTIVE\npid %d\n", (int)kernel.ends);
	server.text = text;
}

START_TEST(umount_waits)
{
	daemon_begin();
	SAID(cmd_umount, "umount", "m");
	SAID_IS(CMD_OK, "", "");
	ck_assert_int_eq(kernel.calls, 1);
	ck_assert(!kernel.detach);
	ck_assert_str_eq(server.asked, "1 5 "); /* who unmounts is told for the audit log */
	int status;
	ck_assert_int_eq(waitpid(kernel.ends, &status, WNOHANG), kernel.ends); /* it had ended when umount did */
}
END_TEST

/* Somebody else has it: the daemon locks and leaves by itself, nothing is unmounted here. */
START_TEST(umount_handed_over)
{
	char text[64];

	snprintf(text, sizeof(text), "pid %d\n", (int)getpid());
	server.text = text;
	holder = "process 7 (x) has it";
	SAID(cmd_umount, "umount", "m", "--timeout", "0");
	SAID_IS(CMD_STILL_HELD, "",
		"byokfs: DIR/m is in use and stays mounted until it is not: process 7 (x) has it. It is locked "
		"there\n");
	ck_assert_int_eq(kernel.calls, 0);
	ck_assert_str_eq(server.asked, "1 2 4 ");
	/* a path that is not the daemon's own frees nothing but itself, and nobody waits for an end */
	server.asked[0] = 0;
	snprintf(text, sizeof(text), "pid %d\nmount_id 9999\n", (int)getpid());
	SAID(cmd_umount, "umount", "m");
	SAID_IS(CMD_OK, "", "");
	ck_assert_int_eq(kernel.calls, 1);
	ck_assert_str_eq(server.asked, "1 5 ");
}
END_TEST

START_TEST(umount_refused)
{
	server.text = "state ACTIVE\n"; /* no pid: nothing to wait for */
	kernel.error = -EBUSY;
	SAID(cmd_umount, "umount", "m");
	SAID_IS(CMD_BUSY, "",
		"byokfs: DIR/m is in use: files are open in it, or it is the current folder of a process (fuser -vm "
		"DIR/m "
		"names them)\n");
	kernel.error = -EPERM;
	SAID(cmd_umount, "umount", "m");
	SAID_IS(CMD_NOT_ALLOWED, "", "byokfs: you may not unmount DIR/m: only root and the user who mounted it may\n");
	kernel.error = -EINVAL;
	SAID(cmd_umount, "umount", "m");
	SAID_IS(CMD_BUSY, "", "byokfs: something else is mounted over DIR/m: unmount that first\n");
	kernel.error = -EIO;
	SAID(cmd_umount, "umount", "m");
	SAID_IS(CMD_FAILED, "", "byokfs: cannot unmount DIR/m: Input/output error\n");
	server.text = "pid 0\n"; /* no process has such a number */
	kernel.error = 0;
	SAID(cmd_umount, "umount", "m");
	SAID_IS(CMD_OK, "", "");
	SAID(cmd_umount, "umount", "m");
	SAID_IS(CMD_NOT_FOUND, "", "byokfs: no byokfs is mounted on DIR/m\n");
	ck_assert_int_eq(kernel.calls, 5);
}
END_TEST

/* fusermount3 does not say why it failed, and a plain user has his own mounts only. */
START_TEST(umount_as_user)
{
	if (geteuid() == 0) {
		ck_assert_int_eq(chmod(".", 0755), 0);
		ck_assert_int_eq(chmod("table", 0644), 0);
		ck_assert_int_eq(seteuid(65534), 0);
	}
	kernel.error = -EBUSY;
	ck_assert_int_eq(mounts_umount("/elsewhere", false), 0); /* gone meanwhile: that is what was wanted */
	ck_assert_int_eq(kernel.calls, 0);
	ck_assert_int_eq(mounts_umount(where, false), getuid() == 0 ? -EPERM : -EBUSY);
	(void)(getuid() == 0 && seteuid(0) < 0);
	table_put(where, getuid() == 0 ? 65534 : getuid());
	(void)(getuid() == 0 && (chmod("table", 0644) < 0 || seteuid(65534) < 0));
	kernel.calls = 0;
	ck_assert_int_eq(mounts_umount(where, true), -EBUSY); /* his own */
	ck_assert_int_eq(kernel.calls, 1);
	ck_assert(kernel.detach);
	(void)(getuid() == 0 && seteuid(0) < 0);
}
END_TEST

/* mount and audit, where something is mounted already */

START_TEST(mount_on_mount)
{
	SAID(cmd_mount, "mount", "store", "m");
	SAID_IS(CMD_BUSY, "", "byokfs: a byokfs is mounted on DIR/m already: byokfs status DIR/m\n");
}
END_TEST

START_TEST(audit_of_mount)
{
	server.text = "store /no/such\\040store\n";
	SAID(cmd_audit, "audit", "show", "m");
	SAID_IS(CMD_NOT_FOUND, "", "byokfs: cannot open the store /no/such store: No such file or directory\n");
	server.text = "state ACTIVE\n";
	SAID(cmd_audit, "audit", "show", "m");
	SAID_IS(CMD_FAILED, "", "byokfs: cannot tell which store is mounted on m\n");
	/* of a dead one the note tells it */
	server.error = -ENOENT;
	server.text = NULL;
	note = (struct ended_note){.store = "/the/store"};
	memcpy(note.mountpoint, where, strlen(where) + 1);
	SAID(cmd_audit, "audit", "show", "m");
	SAID_IS(CMD_NOT_FOUND, "", "byokfs: cannot open the store /the/store: No such file or directory\n");
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {status_lines,   status_json,     status_all,     status_silent,
				      status_ended,   lock_and_unlock, umount_waits,   umount_handed_over,
				      umount_refused, umount_as_user,  mount_on_mount, audit_of_mount};

	return said_main("mounted", setup, tests, ARRAY_LEN(tests));
}
