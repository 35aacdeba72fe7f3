/* SPDX-License-Identifier: BSD-2-Clause */
/* `byokfs mount`: checks, then the daemon's whole life. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <syslog.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "crypto/secret.h"
#include "fs/audit/audit.h"
#include "fs/mount/harden.h"
#include "fs/mount/control.h"
#include "fs/watch/mountinfo.h"
#include "fs/watch/supervise.h"
#include "fs/watch/takeover.h"
#include "tools/cmd.h"
#include "tools/daemon.h"
#include "tools/mount_options.h"
#include "tools/mountpoint.h"
#include "tools/mounts.h"
#include "tools/opened.h"
#include "tools/reach.h"

/* Of what statvfs(3) tells, those that mount(2) takes by the same numbers. */
#define MOUNT_FLAGS \
	(MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_SYNCHRONOUS | MS_NOATIME | MS_NODIRATIME | MS_RELATIME)
#define SHOWS_NOSYMFOLLOW 0x2000u /* ST_NOSYMFOLLOW: by another */
#define DRAIN_MS_DEFAULT 2000u    /* the gate's own default */

static const char help[] =
	"Usage: byokfs mount STORE MOUNTPOINT [OPTIONS]\n"
	"Mount STORE on the empty folder MOUNTPOINT. The KMS is asked for the key now, and every few seconds from then "
	"on;\n"
	"when it refuses, the mount is locked: everything answers EACCES until the key is back.\n"
	"\n"
	"  -f, --foreground         do not go to the background; log to stderr too\n"
	"  --on-revoke lock|unmount what to do when the KMS refuses the key (default lock)\n"
	"  --restore auto|manual    when the key is back: serve again (default), or wait for 'byokfs unlock'\n"
	"  --passphrase-file F      the keystore's passphrase (else systemd's credentials, else a prompt)\n"
	"  --kms REF                contact this KMS too: on a host that does not know the store yet\n"
	"  --kms-option NAME=VALUE  how the --kms before it is reached; remembered by this host when the KMS has "
	"answered\n"
	"  --store-id ID            the id that the store must have; needed on such a host when the KEK is an RSA key\n"
	"  --allow-copy             although another copy of this store is mounted for writing on this host\n"
	"  --accept-older-keyring   take a keyring older than this host has seen, or the pin's copy when both are "
	"gone\n"
	"  --accept-older-session   the store was restored from a copy: tolerate what a crash had left in it then\n"
	"  --wait[=TIME]            keep asking a KMS that is silent (for TIME, or without end) instead of failing\n"
	"  --poll 5s --lease 15s    how often the KMS is asked; how long an answer counts (at least twice the poll)\n"
	"  --grace 1h               how long to serve on after the last good answer while the KMS is silent, 0 to 7d;\n"
	"                           never after a refusal\n"
	"  --drain 2s               time to seal what was accepted, when locking\n"
	"  --respawn[=N]            mount again by itself when the daemon died, N times in ten minutes at most "
	"(default 3)\n"
	"  --notify-command CMD     run the program CMD at each change of state\n"
	"  --audit-syslog           send the lines of the audit log to syslog (facility auth) too\n"
	"  --protect-mountpoint     make the bare mount point unusable: root's, mode 0000, immutable\n"
	"  -o, --options LIST       as in fstab, separated by commas:\n"
	"        ro, suid, dev, noexec, noatime, allow_other, noallow_other, allow_root (nosuid,nodev is the default)\n"
	"        and the options above as on_revoke=, restore=, kms=, kms_option=, store_id=, passphrase_file=, wait, "
	"poll=,\n"
	"        protect_mountpoint ...\n"
	"  -h, --help               this text\n"
	"\n"
	"Example:\n"
	"  byokfs mount /srv/backup.store /mnt/backup\n"
	"In /etc/fstab:\n"
	"  /srv/backup.store /mnt/backup fuse.byokfs passphrase_file=/root/pass,protect_mountpoint,nofail 0 0\n"
	"\n"
	"See byokfs-mount(8); exit codes in byokfs(1).\n";

/* `mount -o remount,ro`: the flags of a mount are the kernel's; its daemon goes on as it is. */
static int remount(const struct mount_options *m)
{
	char path[MOUNTS_PATH_MAX], link[48];
	struct mountinfo info;
	struct statvfs st;

	int r = mounts_canonical(m->mountpoint, path);
	if (r < 0)
		return cmd_fail(cmd_exit_of(r), "mount point %s: %s", m->mountpoint, strerror(-r));
	/* by descriptor from here on: whoever owns a folder above may put another mount in its place */
	AUTO(auto_close) int fd = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || mountinfo_find(MOUNTINFO_SELF, path, &info) < 0 ||
	    !mount_holds(fd, &(struct mount_num){.id = info.id}))
		return cmd_fail(CMD_NOT_FOUND, "no byokfs is mounted on %s", path);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if (fstatvfs(fd, &st) < 0)
		return cmd_fail(cmd_exit_of(-errno), "%s: %s", path, strerror(errno));
	unsigned long named = m->flags | (m->open.read_only ? MS_RDONLY : 0);
	unsigned long now = (st.f_flag & MOUNT_FLAGS) | (st.f_flag & SHOWS_NOSYMFOLLOW ? NOSYMFOLLOW : 0);
	unsigned long flags = (now & ~m->flags_named) | (named & m->flags_named);
	if (mount(NULL, link, NULL, MS_REMOUNT | flags, NULL) < 0)
		return cmd_fail(cmd_exit_of(-errno), "cannot remount %s: %s", path, strerror(errno));
	return CMD_OK;
}

/* The daemon: a supervisor, and a worker that serves */

static bool allow_other(const struct mount_options *m)
{
	if (geteuid() == 0)
		return m->allow_other == ALLOW_OTHER || m->allow_other == ALLOW_BY_USER;
	return m->allow_other == ALLOW_OTHER || m->allow_other == ALLOW_ROOT; /* fs_config.root_only keeps others out */
}

#define FILES_ENOUGH 4096u /* what systemd and Debian give everybody is far above it */

/* What this machine and this user allow, told at each mount; how many keys fit is the gate's to tell. */
static void log_limits(const struct fs_config *fc)
{
	char text[160];
	struct rlimit files;

	if (!secret_all_locked())
		fc->log(LOG_WARNING, "not all memory that holds keys could be locked: raise the limit (ulimit -l) or "
				     "use encrypted swap");
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_max < FILES_ENOUGH) {
		snprintf(text, sizeof(text),
			 "%ju files can be open at a time, by all users together: raise the limit "
			 "(ulimit -n)",
			 (uintmax_t)files.rlim_max);
		fc->log(LOG_WARNING, text);
	}
	snprintf(text, sizeof(text), "if this process dies the connection is ended by: %s", fc->worker->abort_how);
	fc->log(LOG_INFO, text);
}

static int serve(struct fs *fs, const struct fs_config *fc, const struct opened_store *o)
{
	const struct control_config cc = {
		.fs = fs,
		.gate = o->gate,
		.store = o->store,
		.worker = fc->worker,
		.mountpoint = fc->mountpoint,
		.audit = fc->audit,
	};
	struct control *control = NULL;

	/* orders come when the gate's thread is there to take them */
	int r = fs_start(fs);
	if (r < 0)
		return cmd_fail(cmd_exit_of(r), "cannot serve %s: %s", fc->mountpoint, strerror(-r));
	r = control_start(&cc, &control);
	if (r < 0) {
		gate_detach(o->gate);
		return cmd_fail(CMD_FAILED, "cannot listen for byokfs status, lock and unlock: %s", strerror(-r));
	}
	log_limits(fc);
	fc->log(LOG_INFO, "mounted");
	daemon_leave();
	r = fs_wait(fs);
	if (r < 0)
		fc->log(LOG_ERR, "the connection to the kernel broke");
	control_stop(control);
	gate_detach(o->gate);
	return r < 0 ? CMD_FAILED : CMD_OK;
}

static void log_mount(const struct mount_options *m, struct audit *audit)
{
	const struct audit_mount am = {
		.mountpoint = m->open.mountpoint,
		.read_only = m->open.read_only,
		.unmount_on_revoke = m->unmount_on_revoke,
		.manual_return = m->open.manual_return,
		.accepted_older = m->open.accept_older,
		.poll_ms = m->open.poll_ms,
		.lease_ms = m->open.lease_ms,
		.grace_ms = m->open.grace_ms,
	};
	audit_mounted(audit, &am);
}

/* LAST: the last line of the audit log, if the mount came about. */
static int run(const struct mount_options *m, struct worker *w, struct opened_store *o, struct audit *audit,
	       struct audit_text *last)
{
	const struct fs_config fc = {
		.worker = w,
		.store = o->store,
		.gate = o->gate,
		.audit = audit,
		.mountpoint = m->open.mountpoint,
		.unmount_on_revoke = m->unmount_on_revoke,
		.read_only = m->open.read_only,
		.mount_flags = m->flags,
		.root_only = m->allow_other == ALLOW_ROOT,
		.attr_timeout_ms = m->open.lease_ms,
		.beacon = &w->page->gate,
		.high = &w->page->high,
		.log = m->open.log,
	};
	char why[STORE_WHY_MAX] = "";
	struct fs *fs = NULL;

	/* Modes are the caller's in every request, his umask already in them. */
	umask(0);
	int r = fs_mount(&fc, &fs, why);
	if (r < 0)
		return cmd_fail(cmd_exit_of(r), "cannot mount on %s: %s", fc.mountpoint,
				why[0] != 0 ? why : strerror(-r));
	log_mount(m, audit);
	int code = serve(fs, &fc, o);
	struct fs_stats st;
	fs_stats(fs, &st);
	audit_unmount_text(last, &st, code);
	fs_free(fs);
	return code;
}

static int run_audited(const struct mount_options *m, struct worker *w, struct opened_store *o)
{
	const struct audit_config ac = {.store = o->store,
					.gate = o->gate,
					.line = m->audit_syslog ? daemon_log_audit : NULL,
					.log = m->open.log};
	char why[STORE_WHY_MAX] = "";
	struct audit_text last = {.len = 0};
	struct audit *audit;

	/* Before the first thread. The supervisor mounts; this process never needs more again. */
	harden_worker(m->open.log);
	int r = audit_start(&ac, &audit, why);
	if (r < 0)
		return cmd_fail(cmd_exit_of(r), "%s", why[0] ? why : strerror(-r));
	r = run(m, w, o, audit, &last);
	audit_stop(audit, last.len > 0 ? &last : NULL);
	return r;
}

/* The worker's life. */
static int work(struct worker *w, void *arg)
{
	struct mount_options *m = arg;
	struct opened_store o;

	/* One that is started again has no terminal; and what was typed once is not kept for it. */
	m->open.may_prompt = m->respawns == 0 && isatty(STDIN_FILENO);
	m->open.may_respawn = m->respawns > 0;
	m->open.beacon = &w->page->gate;
	atomic_store(&w->page->drain_ms, m->open.drain_ms != 0 ? m->open.drain_ms : DRAIN_MS_DEFAULT);
	int code = opened_begin(&m->open, &o);
	if (code != CMD_OK)
		return code;
	code = run_audited(m, w, &o);
	int end = opened_close(&o, false);
	daemon_log(LOG_INFO, "unmounted");
	return code != CMD_OK ? code : end;
}

static int daemon_main(struct mount_options *m, const struct mountpoint *p)
{
	char store[MOUNTS_PATH_MAX];

	if (!realpath(m->open.path, store))
		return cmd_fail(cmd_exit_of(-errno), "store %s: %s", m->open.path, strerror(errno));
	m->open.mountpoint = p->path;
	m->open.log = daemon_log;
	const struct supervise_config sc = {
		.mnt =
			{
				.source = store,
				.mountpoint = p->path,
				.place_fd = p->fd,
				.bare = p->bare,
				.allow_other = allow_other(m),
				.read_only = m->open.read_only,
				/* the kernel knows the words where SELinux is */
				.security = access("/sys/fs/selinux/enforce", F_OK) == 0 ? m->security : "",
				.mount_flags = m->flags,
			},
		.respawns = m->respawns,
		.words = daemon_words(),
		.log = daemon_log,
		.mount = mountpoint_mount,
		.work = work,
		.ready = daemon_ready,
		.arg = m,
	};
	int code = supervise(&sc);
	daemon_end();
	return code;
}

int cmd_mount(int argc, char **argv)
{
	AUTO(mount_options_wipe) struct mount_options m;
	AUTO(mountpoint_close) struct mountpoint p = {.fd = -1};

	mount_options_init(&m);
	int r = mount_options_read(&m, argc, argv);
	if (r == CMD_OK && m.help) {
		fputs(help, stdout);
		reach_help(stdout);
		return CMD_OK;
	}
	if (r == CMD_OK && m.remount)
		return remount(&m);
	if (r == CMD_OK)
		r = mountpoint_open(&m, &p);
	if (r != CMD_OK)
		return r;
	const struct daemon_config dc = {
		.foreground = m.foreground, .mountpoint = p.path, .notify_command = m.notify_command};
	r = daemon_fork(&dc);
	return r >= 0 ? r : daemon_main(&m, &p);
}
