/* SPDX-License-Identifier: BSD-2-Clause */
/* Options of `byokfs mount`. An option that is not known is refused: a misspelt one must not mean less protection. */
#include "tools/mount_options.h"

#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kms/keystore/trust.h"
#include "tools/cmd.h"
#include "tools/mount_words.h"

#define LEASE_MS_DEFAULT 15000u
#define POLL_MS_DEFAULT 5000u
#define GRACE_MS_DEFAULT 3600000u
#define RESPAWNS_DEFAULT 3u
#define RESPAWNS_MAX 100u

/* A long option from here on is the word of -o with the same name, '-' for '_'. */
enum { OPT_WORD = 256 };

static const struct option longs[] = {
	{"foreground", no_argument, NULL, 'f'},
	{"options", required_argument, NULL, 'o'},
	{"help", no_argument, NULL, 'h'},
	{"on-revoke", required_argument, NULL, OPT_WORD},
	{"restore", required_argument, NULL, OPT_WORD + 1},
	{"passphrase-file", required_argument, NULL, OPT_WORD + 2},
	{"kms", required_argument, NULL, OPT_WORD + 3},
	{"accept-older-keyring", no_argument, NULL, OPT_WORD + 4},
	{"poll", required_argument, NULL, OPT_WORD + 5},
	{"lease", required_argument, NULL, OPT_WORD + 6},
	{"grace", required_argument, NULL, OPT_WORD + 7},
	{"drain", required_argument, NULL, OPT_WORD + 8},
	{"wait", optional_argument, NULL, OPT_WORD + 9},
	{"respawn", optional_argument, NULL, OPT_WORD + 10},
	{"notify-command", required_argument, NULL, OPT_WORD + 11},
	{"protect-mountpoint", no_argument, NULL, OPT_WORD + 12},
	{"audit-syslog", no_argument, NULL, OPT_WORD + 13},
	{"accept-older-session", no_argument, NULL, OPT_WORD + 14},
	{"store-id", required_argument, NULL, OPT_WORD + 15},
	{"allow-copy", no_argument, NULL, OPT_WORD + 16},
	{"kms-option", required_argument, NULL, OPT_WORD + 17},
	{0},
};

/* Words that switch a flag of mount(2). */
struct flag_word {
	const char *word;
	unsigned long set, clear;
};

static const struct flag_word flag_words[] = {
	{"nodev", MS_NODEV, 0},
	{"dev", 0, MS_NODEV},
	{"nosuid", MS_NOSUID, 0},
	{"suid", 0, MS_NOSUID},
	{"noexec", MS_NOEXEC, 0},
	{"exec", 0, MS_NOEXEC},
	{"noatime", MS_NOATIME, 0},
	{"atime", 0, MS_NOATIME},
	{"nodiratime", MS_NODIRATIME, 0},
	{"diratime", 0, MS_NODIRATIME},
	{"relatime", MS_RELATIME, 0},
	{"norelatime", 0, MS_RELATIME},
	{"sync", MS_SYNCHRONOUS, 0},
	{"async", 0, MS_SYNCHRONOUS},
	{"dirsync", MS_DIRSYNC, 0},
	{"strictatime", MS_STRICTATIME, MS_RELATIME | MS_NOATIME},
	{"nostrictatime", 0, MS_STRICTATIME},
	{"lazytime", MS_LAZYTIME, 0},
	{"nolazytime", 0, MS_LAZYTIME},
	{"nosymfollow", NOSYMFOLLOW, 0},
	{"symfollow", 0, NOSYMFOLLOW},
};

/* The rest, for the near miss. */
static const char *const others[] = {"ro",
				     "rw",
				     "remount",
				     "allow_other",
				     "noallow_other",
				     "allow_root",
				     "kms",
				     "kms_option",
				     "store_id",
				     "allow_copy",
				     "passphrase_file",
				     "on_revoke",
				     "restore",
				     "poll",
				     "lease",
				     "grace",
				     "drain",
				     "wait",
				     "respawn",
				     "notify_command",
				     "protect_mountpoint",
				     "audit_syslog",
				     "accept_older_keyring",
				     "accept_older_session",
				     NULL};

void mount_options_init(struct mount_options *m)
{
	*m = (struct mount_options){.flags = MS_NOSUID | MS_NODEV, .open = {.grace_ms = GRACE_MS_DEFAULT}};
}

void mount_options_wipe(struct mount_options *m)
{
	while (m->texts) {
		struct option_text *t = m->texts;
		m->texts = t->next;
		free(t);
	}
	opened_config_wipe(&m->open);
}

static int revoke_word(struct mount_options *m, const char *value)
{
	if (strcmp(value, "lock") != 0 && strcmp(value, "unmount") != 0)
		return cmd_usage("mount", "on revocation 'lock' or 'unmount', not '%s'", value);
	m->unmount_on_revoke = strcmp(value, "unmount") == 0;
	return CMD_OK;
}

static int restore_word(struct mount_options *m, const char *value)
{
	if (strcmp(value, "auto") != 0 && strcmp(value, "manual") != 0)
		return cmd_usage("mount", "restore 'auto' or 'manual', not '%s'", value);
	m->open.manual_return = strcmp(value, "manual") == 0;
	return CMD_OK;
}

/* Words whose value is a time. */
static const struct time_word {
	const char *word;
	uint64_t lo, hi; /* seconds */
	const char *range;
	size_t at; /* of the milliseconds in mount_options */
} time_words[] = {
	{"poll", 1, 3600, "1s to 1h", offsetof(struct mount_options, open.poll_ms)},
	{"lease", 2, 86400, "2s to 1d", offsetof(struct mount_options, open.lease_ms)},
	{"grace", 0, 7 * 86400, "0 to 7d", offsetof(struct mount_options, open.grace_ms)},
	{"drain", 1, 60, "1s to 60s", offsetof(struct mount_options, open.drain_ms)},
	{"wait", 1, 40 * 86400, "1s to 40d", offsetof(struct mount_options, wait_ms)},
};

static int time_word(struct mount_options *m, const char *word, const char *value)
{
	for (size_t i = 0; i < ARRAY_LEN(time_words); i++) {
		const struct time_word *w = &time_words[i];
		uint64_t n;

		if (strcmp(word, w->word) != 0)
			continue;
		if (cmd_number(value, "smhd", w->lo, w->hi, &n) < 0)
			return cmd_usage("mount", "%s is a time from %s, not '%s'", word, w->range, value);
		*(unsigned *)((char *)m + w->at) = (unsigned)(n * 1000);
		return CMD_OK;
	}
	return -1;
}

static int respawn_word(struct mount_options *m, const char *value)
{
	uint64_t n;

	if (cmd_number(value, NULL, 0, RESPAWNS_MAX, &n) < 0)
		return cmd_usage("mount", "respawn is how often in ten minutes, 0 to %u, not '%s'", RESPAWNS_MAX,
				 value);
	m->respawns = (unsigned)n;
	return CMD_OK;
}

/* The daemon's folder is the root, and nobody looks at its terminal: what cannot be run is told now. NULL: nothing is wrong. */
static const char *notify_wrong(const char *value)
{
	struct stat st;

	if (value[0] != '/')
		return "does not begin with '/'";
	if (access(value, X_OK) < 0 || stat(value, &st) < 0 || !S_ISREG(st.st_mode))
		return "cannot be run";
	/* it is run with all rights of who mounts */
	return trust_file(&st, value) < 0 ? "is not yours, or others may write it or a folder above it" : NULL;
}

static int notify_word(struct mount_options *m, const char *value)
{
	const char *wrong = notify_wrong(value);

	if (wrong)
		return cmd_usage("mount", "notify-command is the absolute path of a program, and '%s' %s", value,
				 wrong);
	m->notify_command = value;
	return CMD_OK;
}

static int value_word(struct mount_options *m, const char *word, const char *value)
{
	if (strcmp(word, "kms") == 0)
		return opened_add_ref(&m->open, "mount", value);
	if (strcmp(word, "kms_option") == 0)
		return opened_add_option(&m->open, "mount", value);
	if (strcmp(word, "store_id") == 0)
		return opened_take_id(&m->open, "mount", value);
	if (strcmp(word, "passphrase_file") == 0) {
		m->open.passphrase_file = value;
		return CMD_OK;
	}
	if (strcmp(word, "on_revoke") == 0)
		return revoke_word(m, value);
	if (strcmp(word, "restore") == 0)
		return restore_word(m, value);
	if (strcmp(word, "respawn") == 0)
		return respawn_word(m, value);
	if (strcmp(word, "notify_command") == 0)
		return notify_word(m, value);
	return time_word(m, word, value);
}

static int plain_word(struct mount_options *m, const char *word)
{
	for (size_t i = 0; i < ARRAY_LEN(flag_words); i++) {
		if (strcmp(word, flag_words[i].word) != 0)
			continue;
		m->flags = (m->flags | flag_words[i].set) & ~flag_words[i].clear;
		m->flags_named |= flag_words[i].set | flag_words[i].clear;
		return CMD_OK;
	}
	if (strcmp(word, "ro") == 0 || strcmp(word, "rw") == 0) {
		m->open.read_only = word[1] == 'o';
		m->flags_named |= MS_RDONLY;
	} else if (strcmp(word, "remount") == 0) {
		m->remount = true;
	} else if (strcmp(word, "allow_other") == 0 || strcmp(word, "noallow_other") == 0)
		m->allow_other = word[0] == 'a' ? ALLOW_OTHER : ALLOW_NO_OTHER;
	else if (strcmp(word, "allow_root") == 0)
		m->allow_other = ALLOW_ROOT;
	else if (strcmp(word, "accept_older_keyring") == 0)
		m->open.accept_older = true;
	else if (strcmp(word, "accept_older_session") == 0)
		m->open.accept_session = true;
	else if (strcmp(word, "allow_copy") == 0)
		m->open.allow_copy = true;
	else if (strcmp(word, "protect_mountpoint") == 0)
		m->protect_mountpoint = true;
	else if (strcmp(word, "audit_syslog") == 0)
		m->audit_syslog = true;
	else if (strcmp(word, "wait") == 0)
		m->wait_ms = UINT_MAX;
	else if (strcmp(word, "respawn") == 0)
		m->respawns = RESPAWNS_DEFAULT;
	else
		return -1;
	return CMD_OK;
}

static int unknown_word(const char *word)
{
	const char *list[ARRAY_LEN(flag_words) + MOUNT_WORDS_IGNORED + ARRAY_LEN(others)];
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(flag_words); i++)
		list[n++] = flag_words[i].word;
	for (size_t i = 0; mount_words_ignored[i]; i++)
		list[n++] = mount_words_ignored[i];
	for (size_t i = 0; others[i]; i++)
		list[n++] = others[i];
	list[n] = NULL;
	const char *near = cmd_near(word, list);
	if (near && strcmp(near, word) == 0)
		return cmd_usage("mount", "mount option '%s' needs a value, or takes none", word);
	if (near)
		return cmd_usage("mount", "unknown mount option '%s': did you mean '%s'?", word, near);
	return cmd_usage("mount", "unknown mount option '%s'", word);
}

static int security_word(struct mount_options *m, const char *word)
{
	size_t len = strlen(m->security), need = strlen(word) + 2;

	if (need > sizeof(m->security) - len)
		return cmd_usage("mount", "the security contexts are too long");
	snprintf(m->security + len, need, ",%s", word);
	return CMD_OK;
}

/* One word of -o, "name" or "name=value"; it is taken apart in place and must live on. Errors are printed. */
static int mount_options_word(struct mount_options *m, char *word)
{
	if (mount_word_ignored(word))
		return CMD_OK;
	if (mount_word_security(word))
		return security_word(m, word);
	char *value = strchr(word, '=');
	if (value)
		*value++ = 0;
	int r = value ? value_word(m, word, value) : plain_word(m, word);
	return r < 0 ? unknown_word(word) : r;
}

/* -o may be given more than once. Values stay in use, so every copy is kept, the older ones behind the newer. */
static int list_words(struct mount_options *m, const char *text)
{
	struct option_text *t = calloc(1, sizeof(*t) + strlen(text) + 1);

	if (!t)
		return cmd_fail(CMD_FAILED, "out of memory");
	memcpy(t->text, text, strlen(text) + 1);
	t->next = m->texts;
	m->texts = t;
	char *rest = t->text;
	int r = CMD_OK;
	for (char *word; r == CMD_OK && (word = mount_word_next(&rest));)
		r = mount_options_word(m, word);
	return r;
}

static int long_word(struct mount_options *m, const char *name)
{
	char word[64];

	snprintf(word, sizeof(word), "%s", name);
	for (char *p = word; *p; p++)
		*p = (char)(*p == '-' ? '_' : *p);
	return optarg ? value_word(m, word, optarg) : plain_word(m, word);
}

static int option_take(struct mount_options *m, int c)
{
	switch (c) {
	case 'f':
		m->foreground = true;
		return CMD_OK;
	case 'o':
		return list_words(m, optarg);
	case 'h':
		m->help = true;
		return CMD_OK;
	default:
		for (const struct option *o = longs; o->name; o++)
			if (o->val == c)
				return long_word(m, o->name);
		return CMD_USAGE;
	}
}

/* A lease must outlive a poll that fails once. */
static int times_check(struct opened_config *o)
{
	unsigned poll = o->poll_ms != 0 ? o->poll_ms : POLL_MS_DEFAULT;

	if (o->lease_ms == 0 && LEASE_MS_DEFAULT < 2 * poll)
		o->lease_ms = 3 * poll;
	if (o->lease_ms == 0)
		o->lease_ms = LEASE_MS_DEFAULT;
	if (o->poll_ms == 0 && o->lease_ms < 2 * poll)
		o->poll_ms = poll = o->lease_ms / 3;
	if (o->lease_ms < 2 * poll)
		return cmd_usage("mount", "lease (%us) must be at least twice poll (%us)", o->lease_ms / 1000,
				 poll / 1000);
	return CMD_OK;
}

static int options_check(struct mount_options *m)
{
	if (m->unmount_on_revoke && m->open.manual_return)
		return cmd_usage("mount",
				 "restore manual has no meaning with on-revoke unmount: nothing is left to come back");
	m->open.wait_ms = m->wait_ms;
	return times_check(&m->open);
}

int mount_options_read(struct mount_options *m, int argc, char **argv)
{
	int c, r = CMD_OK;

	while (r == CMD_OK && !m->help && (c = cmd_option(argc, argv, "fo:h", longs)) != -1)
		r = option_take(m, c);
	if (r != CMD_OK || m->help)
		return r;
	if (argc - optind != 2)
		return cmd_usage("mount", "%s",
				 argc - optind == 0   ? "STORE and MOUNTPOINT are missing"
				 : argc - optind == 1 ? "MOUNTPOINT is missing"
						      : "one STORE and one MOUNTPOINT only");
	m->open.path = argv[optind];
	m->mountpoint = argv[optind + 1];
	return options_check(m);
}
