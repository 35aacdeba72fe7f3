/* SPDX-License-Identifier: BSD-2-Clause */
/* Options of `byokfs mount`: every one as a long option and as a word of -o, limits, contradictions, what is refused. */
#include "tests/unit/said.h"

#include <sys/mount.h>

#include "tools/mount_options.h"

#define DEFAULT_FLAGS (MS_NOSUID | MS_NODEV)

static struct mount_options m;

/* The words stay until the next command line: what was read points into them. */
static int mount_read(int argc, char **argv)
{
	static char text[16384], *words[SAID_WORDS + 1];
	size_t used = 0;

	for (int i = 0; i < argc; i++) {
		size_t len = strlen(argv[i]) + 1;
		ck_assert_uint_le(used + len, sizeof(text));
		words[i] = memcpy(text + used, argv[i], len);
		used += len;
	}
	words[argc] = NULL;
	mount_options_wipe(&m);
	mount_options_init(&m);
	return mount_options_read(&m, argc, words);
}

/* STORE and MOUNTPOINT with these options between them. */
#define READ(...) SAID(mount_read, "mount", "store", __VA_ARGS__, "mnt")
#define GOOD(...)                                       \
	do {                                            \
		READ(__VA_ARGS__);                      \
		SAID_IS(CMD_OK, "", "");                \
		ck_assert_str_eq(m.open.path, "store"); \
		ck_assert_str_eq(m.mountpoint, "mnt");  \
	} while (0)
#define WRONG(sentence, ...)                   \
	do {                                   \
		READ(__VA_ARGS__);             \
		SAID_USAGE("mount", sentence); \
	} while (0)

START_TEST(defaults)
{
	GOOD("-o", "");
	ck_assert(!m.foreground && !m.unmount_on_revoke && !m.protect_mountpoint && !m.audit_syslog && !m.help);
	ck_assert_int_eq(m.allow_other, ALLOW_BY_USER);
	ck_assert_uint_eq(m.flags, DEFAULT_FLAGS);
	ck_assert(m.wait_ms == 0 && m.open.wait_ms == 0 && m.respawns == 0);
	ck_assert_ptr_null(m.notify_command);
	ck_assert(!m.open.accept_older && !m.open.read_only && !m.open.look_only && !m.open.manual_return);
	ck_assert_ptr_null(m.open.passphrase_file);
	ck_assert_uint_eq(m.open.n_refs, 0);
	ck_assert_uint_eq(m.open.grace_ms, 3600000);
	ck_assert_uint_eq(m.open.lease_ms, 15000);
	ck_assert(m.open.poll_ms == 0 && m.open.drain_ms == 0); /* the gate's own */
}
END_TEST

START_TEST(places)
{
	SAID(mount_read, "mount");
	SAID_USAGE("mount", "STORE and MOUNTPOINT are missing");
	SAID(mount_read, "mount", "store", "-f");
	SAID_USAGE("mount", "MOUNTPOINT is missing");
	SAID(mount_read, "mount", "store", "mnt", "more");
	SAID_USAGE("mount", "one STORE and one MOUNTPOINT only");
	/* as mount(8) calls its helpers: options behind the places */
	SAID(mount_read, "mount", "store", "mnt", "-o", "ro,nofail");
	SAID_IS(CMD_OK, "", "");
	ck_assert(m.open.read_only);
	SAID(mount_read, "mount", "--", "-store", "-mnt");
	SAID_IS(CMD_OK, "", "");
	ck_assert_str_eq(m.open.path, "-store");
	ck_assert_str_eq(m.mountpoint, "-mnt");
}
END_TEST

START_TEST(help)
{
	SAID(mount_read, "mount", "--help");
	SAID_IS(CMD_OK, "", "");
	ck_assert(m.help);
	SAID(mount_read, "mount", "-h", "--nonsense"); /* what follows is not read */
	SAID_IS(CMD_OK, "", "");
	ck_assert(m.help);
}
END_TEST

START_TEST(foreground)
{
	GOOD("-f");
	ck_assert(m.foreground);
	GOOD("--foreground");
	ck_assert(m.foreground);
	WRONG("unknown mount option 'foreground'", "-o", "foreground");
}
END_TEST

/* Words without a value, in both forms. */
START_TEST(switches)
{
	GOOD("--accept-older-keyring");
	ck_assert(m.open.accept_older);
	GOOD("-o", "accept_older_keyring");
	ck_assert(m.open.accept_older);
	GOOD("--protect-mountpoint");
	ck_assert(m.protect_mountpoint);
	GOOD("-o", "protect_mountpoint");
	ck_assert(m.protect_mountpoint);
	GOOD("--audit-syslog");
	ck_assert(m.audit_syslog);
	GOOD("-oaudit_syslog");
	ck_assert(m.audit_syslog);
	GOOD("-o", "ro");
	ck_assert(m.open.read_only);
	GOOD("-o", "ro,rw");
	ck_assert(!m.open.read_only);
	GOOD("-o", "allow_other");
	ck_assert_int_eq(m.allow_other, ALLOW_OTHER);
	GOOD("-o", "allow_other,noallow_other");
	ck_assert_int_eq(m.allow_other, ALLOW_NO_OTHER);
	GOOD("-o", "allow_other,allow_root");
	ck_assert_int_eq(m.allow_other, ALLOW_ROOT);
	WRONG("option '--audit-syslog=1' takes no value", "--audit-syslog=1");
	WRONG("mount option 'ro' needs a value, or takes none", "-o", "ro=1");
	WRONG("mount option 'audit_syslog' needs a value, or takes none", "-o", "audit_syslog=");
}
END_TEST

START_TEST(kernel_flags)
{
	const struct {
		const char *words;
		unsigned long flags;
	} row[] = {
		{"nodev,nosuid", DEFAULT_FLAGS},
		{"dev", MS_NOSUID},
		{"suid", MS_NODEV},
		{"dev,suid", 0},
		{"suid,nosuid", DEFAULT_FLAGS},
		{"noexec", DEFAULT_FLAGS | MS_NOEXEC},
		{"noexec,exec", DEFAULT_FLAGS},
		{"noatime", DEFAULT_FLAGS | MS_NOATIME},
		{"noatime,strictatime", DEFAULT_FLAGS | MS_STRICTATIME},
		{"lazytime,nolazytime,silent,mand,fsname=x", DEFAULT_FLAGS},
		{"noatime,atime", DEFAULT_FLAGS},
		{"nodiratime", DEFAULT_FLAGS | MS_NODIRATIME},
		{"nodiratime,diratime", DEFAULT_FLAGS},
		{"relatime", DEFAULT_FLAGS | MS_RELATIME},
		{"relatime,norelatime", DEFAULT_FLAGS},
		{"sync", DEFAULT_FLAGS | MS_SYNCHRONOUS},
		{"sync,async", DEFAULT_FLAGS},
		{"dirsync", DEFAULT_FLAGS | MS_DIRSYNC},
	};

	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		GOOD("-o", row[i].words);
		ck_assert_msg(m.flags == row[i].flags, "%s: %#lx", row[i].words, m.flags);
	}
	GOOD("-o", "dev", "-o", "noexec"); /* more than one -o */
	ck_assert_uint_eq(m.flags, MS_NOSUID | MS_NOEXEC);
}
END_TEST

/* What fstab holds for others than the filesystem changes nothing. */
START_TEST(fstab_words)
{
	GOOD("-o", "defaults,default_permissions,_netdev,nofail,auto,noauto,user,nouser,users,owner,group");
	ck_assert_uint_eq(m.flags, DEFAULT_FLAGS);
	GOOD("-o", "x-systemd.automount,x-gvfs-show,X-mount.mkdir=0700,comment=any thing,,");
	ck_assert_uint_eq(m.flags, DEFAULT_FLAGS);
	ck_assert(!m.open.read_only && m.allow_other == ALLOW_BY_USER);
	WRONG("unknown mount option 'commentary'", "-o", "commentary=1");
}
END_TEST

/* They are given to mount(2), in which the kernel takes the quotes apart. */
START_TEST(security_contexts)
{
	char text[600];

	GOOD("-o", "ro");
	ck_assert_str_eq(m.security, "");
	GOOD("-o", "noexec,context=\"u:r:t:s0:c1,c2\",ro", "-o", "fscontext=u:r:t,user=joe,nogroup,noowner,nousers");
	ck_assert_str_eq(m.security, ",context=\"u:r:t:s0:c1,c2\",fscontext=u:r:t");
	ck_assert(m.open.read_only && (m.flags & MS_NOEXEC));
	GOOD("-o", "defcontext=\"u,ro"); /* a quote without an end holds all that follows */
	ck_assert_str_eq(m.security, ",defcontext=\"u,ro");
	ck_assert(!m.open.read_only);
	snprintf(text, sizeof(text), "rootcontext=%0580d", 0);
	WRONG("the security contexts are too long", "-o", text);
	WRONG("unknown mount option 'contexts'", "-o", "contexts=a");
}
END_TEST

START_TEST(kms)
{
	GOOD("--kms", "local:/k/a", "-o", "kms=local:/k/b,kms=vault:x=y");
	ck_assert_uint_eq(m.open.n_refs, 3);
	ck_assert_str_eq(m.open.ref[0], "local:/k/a");
	ck_assert_str_eq(m.open.ref[1], "local:/k/b");
	ck_assert_str_eq(m.open.ref[2], "vault:x=y"); /* only the first '=' counts */
	SAID(mount_read, "mount", "--kms");
	SAID_USAGE("mount", "option '--kms' needs a value");
	WRONG("mount option 'kms' needs a value, or takes none", "-o", "kms");
	WRONG("more than 16 KMS references", "-o",
	      "kms=1,kms=2,kms=3,kms=4,kms=5,kms=6,kms=7,kms=8,kms=9,kms=10,kms=11,kms=12,kms=13,kms=14,kms=15,kms=16,"
	      "kms=17");
}
END_TEST

START_TEST(passphrase_file)
{
	GOOD("--passphrase-file", "/a,b");
	ck_assert_str_eq(m.open.passphrase_file, "/a,b");
	GOOD("-o", "passphrase_file=/p/f,ro");
	ck_assert_str_eq(m.open.passphrase_file, "/p/f");
	GOOD("-o", "passphrase_file=/1", "--passphrase-file=/2"); /* the last one counts */
	ck_assert_str_eq(m.open.passphrase_file, "/2");
	WRONG("mount option 'passphrase_file' needs a value, or takes none", "-o", "passphrase_file");
	/* the word's own spelling in each form */
	WRONG("unknown mount option 'passphrase-file': did you mean 'passphrase_file'?", "-o", "passphrase-file=/x");
	WRONG("unknown option '--passphrase_file': did you mean '--passphrase-file'?", "--passphrase_file=/x");
}
END_TEST

START_TEST(on_revoke)
{
	GOOD("--on-revoke", "unmount");
	ck_assert(m.unmount_on_revoke);
	GOOD("--on-revoke=unmount", "-o", "on_revoke=lock");
	ck_assert(!m.unmount_on_revoke);
	GOOD("-o", "on_revoke=unmount");
	ck_assert(m.unmount_on_revoke);
	WRONG("on revocation 'lock' or 'unmount', not 'umount'", "--on-revoke=umount");
	WRONG("on revocation 'lock' or 'unmount', not ''", "-o", "on_revoke=");
}
END_TEST

START_TEST(restore)
{
	GOOD("--restore=manual");
	ck_assert(m.open.manual_return);
	GOOD("-o", "restore=manual,restore=auto");
	ck_assert(!m.open.manual_return);
	WRONG("restore 'auto' or 'manual', not 'Manual'", "--restore", "Manual");
}
END_TEST

START_TEST(revoke_and_restore)
{
	WRONG("restore manual has no meaning with on-revoke unmount: nothing is left to come back",
	      "--on-revoke=unmount", "-o", "restore=manual");
	GOOD("--on-revoke=unmount", "--restore=auto");
}
END_TEST

/* Times: both ends of their range, both forms. */
START_TEST(times)
{
	GOOD("--poll=1s");
	ck_assert_uint_eq(m.open.poll_ms, 1000);
	GOOD("-o", "poll=1h,lease=1d");
	ck_assert_uint_eq(m.open.poll_ms, 3600000);
	ck_assert_uint_eq(m.open.lease_ms, 86400000);
	GOOD("--grace=0");
	ck_assert_uint_eq(m.open.grace_ms, 0);
	GOOD("-o", "grace=7d");
	ck_assert_uint_eq(m.open.grace_ms, 7 * 86400000u);
	GOOD("--drain=60", "-o", "drain=1m");
	ck_assert_uint_eq(m.open.drain_ms, 60000);
	GOOD("-o", "drain=1");
	ck_assert_uint_eq(m.open.drain_ms, 1000);
	WRONG("poll is a time from 1s to 1h, not '0'", "--poll=0");
	WRONG("poll is a time from 1s to 1h, not '61m'", "-o", "poll=61m");
	WRONG("lease is a time from 2s to 1d, not '1'", "--lease", "1");
	WRONG("lease is a time from 2s to 1d, not '25h'", "-o", "lease=25h");
	WRONG("grace is a time from 0 to 7d, not '8d'", "--grace=8d");
	WRONG("grace is a time from 0 to 7d, not '-1'", "-o", "grace=-1");
	WRONG("drain is a time from 1s to 60s, not '61'", "--drain=61");
	WRONG("drain is a time from 1s to 60s, not '500ms'", "-o", "drain=500ms");
	WRONG("poll is a time from 1s to 1h, not ''", "-o", "poll=");
	WRONG("mount option 'poll' needs a value, or takes none", "-o", "poll");
	SAID(mount_read, "mount", "--lease");
	SAID_USAGE("mount", "option '--lease' needs a value");
}
END_TEST

/* A lease outlives a poll that fails once: the one that was not given follows from the other. */
START_TEST(lease_and_poll)
{
	GOOD("--poll=7s");
	ck_assert_uint_eq(m.open.lease_ms, 15000);
	GOOD("--poll=8s");
	ck_assert_uint_eq(m.open.lease_ms, 24000);
	GOOD("--lease=10s");
	ck_assert_uint_eq(m.open.poll_ms, 0);
	GOOD("--lease=9s");
	ck_assert_uint_eq(m.open.poll_ms, 3000);
	GOOD("--lease=2s");
	ck_assert_uint_eq(m.open.poll_ms, 666);
	GOOD("--lease=10s", "--poll=5s");
	WRONG("lease (9s) must be at least twice poll (5s)", "--lease=9s", "--poll=5s");
	WRONG("lease (60s) must be at least twice poll (3600s)", "-o", "poll=1h,lease=1m");
}
END_TEST

START_TEST(waiting)
{
	GOOD("--wait");
	ck_assert_uint_eq(m.wait_ms, UINT_MAX);
	ck_assert_uint_eq(m.open.wait_ms, UINT_MAX);
	GOOD("-o", "wait");
	ck_assert_uint_eq(m.open.wait_ms, UINT_MAX);
	GOOD("--wait=90");
	ck_assert_uint_eq(m.open.wait_ms, 90000);
	GOOD("-o", "wait=40d"); /* still no overflow, and not "for ever" */
	ck_assert_uint_eq(m.open.wait_ms, 40u * 86400000u);
	WRONG("wait is a time from 1s to 40d, not '41d'", "--wait=41d");
	WRONG("wait is a time from 1s to 40d, not '0'", "-o", "wait=0");
	/* an optional value stands behind '=' only: a word of its own is STORE or MOUNTPOINT */
	WRONG("one STORE and one MOUNTPOINT only", "--wait", "90");
}
END_TEST

START_TEST(respawn)
{
	GOOD("--respawn");
	ck_assert_uint_eq(m.respawns, 3);
	GOOD("-o", "respawn");
	ck_assert_uint_eq(m.respawns, 3);
	GOOD("--respawn=0");
	ck_assert_uint_eq(m.respawns, 0);
	GOOD("-o", "respawn=100");
	ck_assert_uint_eq(m.respawns, 100);
	WRONG("respawn is how often in ten minutes, 0 to 100, not '101'", "--respawn=101");
	WRONG("respawn is how often in ten minutes, 0 to 100, not '3s'", "-o", "respawn=3s");
}
END_TEST

START_TEST(notify_command)
{
	char path[PATH_MAX + 8], word[PATH_MAX + 64], want[PATH_MAX + 256];

	said_put("hook", "#!/bin/sh\n", 10);
	snprintf(path, sizeof(path), "%s/hook", said.dir);
	snprintf(want, sizeof(want),
		 "byokfs mount: notify-command is the absolute path of a program, and 'DIR/hook' cannot be run\n"
		 "Try 'byokfs mount --help'.\n");
	READ("--notify-command", path);
	SAID_IS(CMD_USAGE, "", want); /* of mode 0600: root may not run it either */
	ck_assert_int_eq(chmod("hook", 0700), 0);
	GOOD("--notify-command", path);
	ck_assert_str_eq(m.notify_command, path);
	snprintf(word, sizeof(word), "ro,notify_command=%s,noexec", path);
	GOOD("-o", word);
	ck_assert_str_eq(m.notify_command, path);
	WRONG("notify-command is the absolute path of a program, and 'hook' does not begin with '/'",
	      "--notify-command=hook");
	WRONG("notify-command is the absolute path of a program, and '' does not begin with '/'", "-o",
	      "notify_command=");
	WRONG("notify-command is the absolute path of a program, and '/no/such' cannot be run",
	      "--notify-command=/no/such");
}
END_TEST

/* A misspelt option must not mean less protection. */
START_TEST(unknown)
{
	WRONG("unknown mount option 'nosiud': did you mean 'nosuid'?", "-o", "nosiud");
	WRONG("unknown mount option 'noexce': did you mean 'noexec'?", "-o", "ro,noexce,dev");
	WRONG("unknown mount option 'allow-other': did you mean 'allow_other'?", "-o", "allow-other");
	WRONG("unknown mount option 'nofale': did you mean 'nofail'?", "-o", "nofale");
	WRONG("unknown mount option 'on_revok': did you mean 'on_revoke'?", "-o", "on_revok=unmount");
	WRONG("unknown mount option 'blksize'", "-o", "blksize=4096");
	WRONG("unknown mount option ' ro': did you mean 'ro'?", "-o", " ro");
	WRONG("unknown mount option 'RO'", "-o", "RO");
	WRONG("unknown mount option ''", "-o", "=1");
	WRONG("unknown option '--on-revok2': did you mean '--on-revoke'?", "--on-revok2=lock", "-f");
	WRONG("unknown option '-x'", "-x");
	SAID(mount_read, "mount", "-o");
	SAID_USAGE("mount", "option '-o' needs a value");
}
END_TEST

/* Values of each -o live until the options are wiped, the older ones too. */
START_TEST(texts_live_on)
{
	GOOD("-o", "kms=one", "-o", "kms=two,passphrase_file=/p", "-o", "kms=three");
	ck_assert_str_eq(m.open.ref[0], "one");
	ck_assert_str_eq(m.open.ref[1], "two");
	ck_assert_str_eq(m.open.ref[2], "three");
	ck_assert_str_eq(m.open.passphrase_file, "/p");
	mount_options_wipe(&m);
	ck_assert_ptr_null(m.texts);
	mount_options_wipe(&m);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		defaults,
		places,
		help,
		foreground,
		switches,
		kernel_flags,
		fstab_words,
		security_contexts,
		kms,
		passphrase_file,
		on_revoke,
		restore,
		revoke_and_restore,
		times,
		lease_and_poll,
		waiting,
		respawn,
		notify_command,
		unknown,
		texts_live_on,
	};

	return said_main("mount_options", said_scratch, tests, ARRAY_LEN(tests));
}
