/* SPDX-License-Identifier: BSD-2-Clause */
/* The events of the audit log that have a form of their own. */
#include <errno.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fs/audit/audit_own.h"
#include "fs/store/store_own.h"
#include "fs/watch/ended.h"

#define NO_LOGIN 4294967295u

/* Kinds of operations, in the order of their counters; 0 for what the table does not have. */
enum { KIND_OTHER, KIND_STAT, KIND_LIST, KIND_OPEN, KIND_READ, KIND_WRITE, KIND_CHANGE, KIND_XATTR };

static const char *const kind_name[AUDIT_KINDS] = {"other", "stat", "list", "open", "read", "write", "change", "xattr"};

static const uint8_t kind_of[] = {
	[FUSE_LOOKUP] = KIND_STAT,     [FUSE_GETATTR] = KIND_STAT,
	[FUSE_READLINK] = KIND_STAT,   [FUSE_ACCESS] = KIND_STAT,
	[FUSE_STATFS] = KIND_STAT,     [FUSE_OPENDIR] = KIND_LIST,
	[FUSE_READDIR] = KIND_LIST,    [FUSE_READDIRPLUS] = KIND_LIST,
	[FUSE_OPEN] = KIND_OPEN,       [FUSE_READ] = KIND_READ,
	[FUSE_LSEEK] = KIND_READ,      [FUSE_WRITE] = KIND_WRITE,
	[FUSE_FALLOCATE] = KIND_WRITE, [FUSE_COPY_FILE_RANGE] = KIND_WRITE,
	[FUSE_FSYNC] = KIND_WRITE,     [FUSE_FLUSH] = KIND_WRITE,
	[FUSE_SETATTR] = KIND_CHANGE,  [FUSE_SYMLINK] = KIND_CHANGE,
	[FUSE_MKNOD] = KIND_CHANGE,    [FUSE_MKDIR] = KIND_CHANGE,
	[FUSE_UNLINK] = KIND_CHANGE,   [FUSE_RMDIR] = KIND_CHANGE,
	[FUSE_RENAME] = KIND_CHANGE,   [FUSE_RENAME2] = KIND_CHANGE,
	[FUSE_LINK] = KIND_CHANGE,     [FUSE_CREATE] = KIND_CHANGE,
	[FUSE_SETXATTR] = KIND_XATTR,  [FUSE_GETXATTR] = KIND_XATTR,
	[FUSE_LISTXATTR] = KIND_XATTR, [FUSE_REMOVEXATTR] = KIND_XATTR,
};

void audit_denied(struct audit *a, uint32_t opcode)
{
	if (!a)
		return;
	unsigned kind = opcode < ARRAY_LEN(kind_of) ? kind_of[opcode] : KIND_OTHER;
	atomic_fetch_add_explicit(&a->denied_all[kind], 1, memory_order_relaxed);
}

void audit_corrupt(struct audit *a, const _Atomic uint64_t *count)
{
	if (!a)
		return;
	pthread_mutex_lock(&a->lock);
	a->corrupt = count;
	pthread_mutex_unlock(&a->lock);
}

static void tell_denied(struct audit *a)
{
	struct audit_text *t = &a->counts;
	uint64_t all = 0, now[AUDIT_KINDS];

	for (size_t i = 0; i < AUDIT_KINDS; i++) {
		now[i] = atomic_load_explicit(&a->denied_all[i], memory_order_relaxed);
		all += now[i] - a->denied_told[i];
	}
	if (all == 0)
		return;
	audit_event(t, "denied");
	audit_text_u64(t, "operations", all);
	for (size_t i = 0; i < AUDIT_KINDS; i++) {
		if (now[i] > a->denied_told[i])
			audit_text_u64(t, kind_name[i], now[i] - a->denied_told[i]);
		a->denied_told[i] = now[i];
	}
	audit_say(a, t);
}

void audit_tell_counts(struct audit *a)
{
	struct audit_text *t = &a->counts;

	tell_denied(a);
	pthread_mutex_lock(&a->lock);
	uint64_t now = a->corrupt ? atomic_load(a->corrupt) : a->corrupt_told;
	pthread_mutex_unlock(&a->lock);
	if (now <= a->corrupt_told)
		return;
	audit_event(t, "damage");
	audit_text_u64(t, "objects", now - a->corrupt_told);
	a->corrupt_told = now;
	audit_say(a, t);
}

/* Who logged in, which stays what it was through sudo and su; NO_LOGIN for services. */
static unsigned login_uid(int pid)
{
	char path[64];
	unsigned uid = NO_LOGIN;

	snprintf(path, sizeof(path), "/proc/%d/loginuid", pid);
	FILE *f = fopen(path, "re");
	if (!f)
		return NO_LOGIN;
	if (fscanf(f, "%u", &uid) != 1) /* NOLINT(cert-err34-c): the kernel writes a number that fits */
		uid = NO_LOGIN;
	fclose(f);
	return uid;
}

/* Members `uid`, `pid` and, where the system knows who logged in, `login_uid`. */
static void audit_who(struct audit_text *t, unsigned uid, int pid)
{
	unsigned login = login_uid(pid);

	audit_text_u64(t, "uid", uid);
	if (login != NO_LOGIN)
		audit_text_u64(t, "login_uid", login);
	audit_text_i64(t, "pid", pid);
}

static void put_host(struct audit_text *t)
{
	char host[256] = "";

	if (gethostname(host, sizeof(host) - 1) < 0 || host[0] == 0)
		memcpy(host, "?", 2);
	audit_text_str(t, "host", host);
}

/* What ended the mount before this one, if anything had to. The note lies where the mount's user can write. */
static void tell_ended(struct audit *a, const char *mountpoint)
{
	struct ended_note n;
	struct audit_text t;

	if (ended_read(mountpoint, &n) < 0 || n.reported || strcmp(n.store, a->cfg.store->path) != 0)
		return;
	audit_event(&t, "ended_before");
	audit_text_str(&t, "by", n.who);
	audit_text_str(&t, "reason", n.why);
	audit_text_i64(&t, "at", n.when);
	audit_text_str(&t, "authentic", "no");
	audit_say(a, &t);
	n.reported = true;
	(void)(ended_write(&n) == 0); /* then it is told twice */
}

void audit_mounted(struct audit *a, const struct audit_mount *m)
{
	struct audit_text t;

	if (!a)
		return;
	audit_event(&t, "mount");
	audit_who(&t, getuid(), (int)getpid());
	put_host(&t);
	audit_text_str(&t, "version", BYOKFS_VERSION);
	audit_text_str(&t, "mountpoint", m->mountpoint);
	audit_text_str(&t, "kms", a->kms);
	audit_text_str(&t, "access", m->read_only ? "ro" : "rw");
	audit_text_str(&t, "session_before",
		       a->cfg.store->stale     ? "put back"
		       : a->cfg.store->unclean ? "unclean"
					       : "clean");
	audit_text_str(&t, "on_revoke", m->unmount_on_revoke ? "unmount" : "lock");
	audit_text_str(&t, "restore", m->manual_return ? "manual" : "automatic");
	if (m->poll_ms != 0)
		audit_text_u64(&t, "poll_ms", m->poll_ms);
	if (m->lease_ms != 0)
		audit_text_u64(&t, "lease_ms", m->lease_ms);
	audit_text_u64(&t, "grace_ms", m->grace_ms);
	if (m->accepted_older)
		audit_text_str(&t, "accept_older_keyring", "yes");
	audit_say(a, &t);
	tell_ended(a, m->mountpoint);
}

void audit_locked(struct audit *a, const struct fs_lock_report *r, int64_t refused_at)
{
	struct audit_text t;

	if (!a)
		return;
	audit_event(&t, "locked");
	if (refused_at > 0)
		audit_text_i64(&t, "refused_at", refused_at);
	audit_text_i64(&t, "gate_closed_at", r->started);
	audit_text_u64(&t, "sealed_bytes", r->sealed_bytes);
	audit_text_u64(&t, "refused_bytes", r->refused_bytes);
	audit_text_u64(&t, "inodes", r->inodes);
	audit_text_u64(&t, "contents_ms", r->contents_ms);
	audit_text_u64(&t, "all_ms", r->all_ms);
	audit_text_str(&t, "wiped", "keys, buffers");
	audit_say(a, &t);
}

void audit_built_on(struct audit *a, const struct built_on *b)
{
	struct audit_text t;

	for (size_t i = 0; a && i < b->n && i < BUILT_ON_MAX; i++) {
		audit_event(&t, "built_on");
		audit_text_str(&t, "what", b->what[i]);
		if (i + 1 == BUILT_ON_MAX && b->n > BUILT_ON_MAX)
			audit_text_u64(&t, "more", b->n - BUILT_ON_MAX);
		audit_say(a, &t);
	}
}

void audit_returned(struct audit *a, const struct fs_lock_report *r)
{
	struct audit_text t;

	if (!a || r->started == 0)
		return;
	audit_event(&t, "returned");
	audit_text_u64(&t, "sealed_bytes", r->sealed_bytes);
	audit_text_u64(&t, "refused_bytes", r->refused_bytes);
	audit_say(a, &t);
}

void audit_unmount_text(struct audit_text *t, const struct fs_stats *st, int result)
{
	audit_event(t, "unmount");
	audit_text_str(t, "result", result == 0 ? "ok" : "the connection to the kernel broke");
	audit_text_u64(t, "open_files", st->open_files);
	audit_text_u64(t, "lost_ranges", st->lost_ranges);
	audit_text_u64(t, "refused_writes", st->refused_writes);
	audit_text_u64(t, "damaged_objects", st->corrupt);
}

void audit_ending(struct audit *a, const char *why)
{
	struct audit_text t;

	if (!a)
		return;
	audit_event(&t, "ended");
	audit_text_str(&t, "by", "worker");
	audit_text_str(&t, "reason", why);
	audit_say(a, &t);
}

void audit_change(struct audit *a, const struct gate_change *c)
{
	struct audit_text t;

	if (!a)
		return;
	audit_event(&t, "state");
	audit_text_str(&t, "from", gate_state_name(c->from));
	audit_text_str(&t, "to", gate_state_name(c->to));
	if (c->cause != GATE_CAUSE_NONE)
		audit_text_str(&t, "cause", gate_cause_name(c->cause));
	if (c->reason && c->reason[0] != 0)
		audit_text_str(&t, "reason", c->reason);
	audit_text_str(&t, "kms", a->kms);
	if (c->key_version && c->key_version[0] != 0)
		audit_text_str(&t, "key_version", c->key_version);
	if (c->cause == GATE_CAUSE_REVOKED || c->to == GATE_ACTIVE)
		audit_text_u64(&t, "kms_took_ms", c->took_ms);
	if (c->request_id && c->request_id[0] != 0)
		audit_text_str(&t, "kms_request", c->request_id);
	/* What was denied while it was locked stands before the return in time, and soon after it in the log. */
	if (c->to == GATE_ACTIVE)
		atomic_store(&a->counts_due, true);
	audit_say(a, &t);
}

void audit_ordered(struct audit *a, const struct audit_order *o)
{
	struct audit_text t;

	if (!a)
		return;
	audit_event(&t, "order");
	audit_text_str(&t, "order", o->order);
	if (o->signal)
		audit_text_str(&t, "signal", o->signal);
	if (o->pid != 0)
		audit_who(&t, o->uid, o->pid);
	put_host(&t);
	if (o->error < 0)
		audit_text_str(&t, "refused", o->why[0] != 0 ? o->why : strerror(-o->error));
	audit_say(a, &t);
}
