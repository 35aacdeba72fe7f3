/* SPDX-License-Identifier: BSD-2-Clause */
/* Options of `byokfs mount`. An option that is not known is refused: a misspelt one must not mean less protection. */
#include "tools/mount_options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "tools/cmd.h"

#define LEASE_MS_DEFAULT 15000u
#define POLL_MS_DEFAULT 5000u

enum { OPT_REVOKE = 256, OPT_PASSPHRASE, OPT_KMS, OPT_OLDER };

static const struct option longs[] = {
	{ "foreground", no_argument, NULL, 'f' },
	{ "options", required_argument, NULL, 'o' },
	{ "on-revoke", required_argument, NULL, OPT_REVOKE },
	{ "passphrase-file", required_argument, NULL, OPT_PASSPHRASE },
	{ "kms", required_argument, NULL, OPT_KMS },
	{ "accept-older-keyring", no_argument, NULL, OPT_OLDER },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

/* Words that switch a flag of mount(2). */
struct flag_word {
	const char *word;
	unsigned long set, clear;
};

static const struct flag_word flag_words[] = {
	{ "nodev", MS_NODEV, 0 },           { "dev", 0, MS_NODEV },
	{ "nosuid", MS_NOSUID, 0 },         { "suid", 0, MS_NOSUID },
	{ "noexec", MS_NOEXEC, 0 },         { "exec", 0, MS_NOEXEC },
	{ "noatime", MS_NOATIME, 0 },       { "atime", 0, MS_NOATIME },
	{ "nodiratime", MS_NODIRATIME, 0 }, { "diratime", 0, MS_NODIRATIME },
	{ "relatime", MS_RELATIME, 0 },     { "norelatime", 0, MS_RELATIME },
	{ "sync", MS_SYNCHRONOUS, 0 },      { "async", 0, MS_SYNCHRONOUS },
	{ "dirsync", MS_DIRSYNC, 0 },
};

/* Words of fstab that are meant for others than the filesystem. */
static const char *const ignored[] = { "defaults", "default_permissions", "_netdev", "nofail", "auto", "noauto", "user",
				       "nouser", "users", "owner", "group", NULL };

/* The rest, for the near miss. */
static const char *const others[] = { "ro", "rw", "allow_other", "noallow_other", "kms", "passphrase_file", "on_revoke",
				      "poll", "lease", "drain", "accept_older_keyring", NULL };

void mount_options_init(struct mount_options *m)
{
	memset(m, 0, sizeof(*m));
	m->allow_other = -1;
	m->flags = MS_NOSUID | MS_NODEV;
}

void mount_options_wipe(struct mount_options *m)
{
	while (m->texts != NULL) {
		struct option_text *t = m->texts;
		m->texts = t->next;
		free(t);
	}
}

static int revoke_word(struct mount_options *m, const char *value)
{
	if (strcmp(value, "lock") != 0 && strcmp(value, "unmount") != 0)
		return cmd_usage("mount", "on revocation 'lock' or 'unmount', not '%s'", value);
	m->unmount_on_revoke = strcmp(value, "unmount") == 0;
	return CMD_OK;
}

static int seconds_word(const char *word, const char *value, uint64_t lo, uint64_t hi, unsigned *ms)
{
	uint64_t n;

	if (cmd_number(value, "smh", lo, hi, &n) < 0)
		return cmd_usage("mount", "-o %s is a time from %llus to %llus, not '%s'", word, (unsigned long long)lo,
				 (unsigned long long)hi, value);
	*ms = (unsigned)(n * 1000);
	return CMD_OK;
}

static int value_word(struct mount_options *m, const char *word, const char *value)
{
	if (strcmp(word, "kms") == 0)
		return opened_add_ref(&m->open, "mount", value);
	if (strcmp(word, "passphrase_file") == 0) {
		m->open.passphrase_file = value;
		return CMD_OK;
	}
	if (strcmp(word, "on_revoke") == 0)
		return revoke_word(m, value);
	if (strcmp(word, "poll") == 0)
		return seconds_word(word, value, 1, 3600, &m->open.poll_ms);
	if (strcmp(word, "lease") == 0)
		return seconds_word(word, value, 2, 86400, &m->open.lease_ms);
	if (strcmp(word, "drain") == 0)
		return seconds_word(word, value, 1, 60, &m->open.drain_ms);
	return -1;
}

static int plain_word(struct mount_options *m, const char *word)
{
	for (size_t i = 0; i < ARRAY_LEN(flag_words); i++) {
		if (strcmp(word, flag_words[i].word) != 0)
			continue;
		m->flags = (m->flags | flag_words[i].set) & ~flag_words[i].clear;
		return CMD_OK;
	}
	if (strcmp(word, "ro") == 0 || strcmp(word, "rw") == 0)
		m->open.read_only = word[1] == 'o';
	else if (strcmp(word, "allow_other") == 0 || strcmp(word, "noallow_other") == 0)
		m->allow_other = word[0] == 'a';
	else if (strcmp(word, "accept_older_keyring") == 0)
		m->open.accept_older = 1;
	else
		return -1;
	return CMD_OK;
}

static int unknown_word(const char *word)
{
	const char *list[ARRAY_LEN(flag_words) + ARRAY_LEN(ignored) + ARRAY_LEN(others)];
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(flag_words); i++)
		list[n++] = flag_words[i].word;
	for (size_t i = 0; ignored[i] != NULL; i++)
		list[n++] = ignored[i];
	for (size_t i = 0; others[i] != NULL; i++)
		list[n++] = others[i];
	list[n] = NULL;
	const char *near = cmd_near(word, list);
	if (near != NULL && strcmp(near, word) == 0)
		return cmd_usage("mount", "mount option '%s' needs a value, or takes none", word);
	if (near != NULL)
		return cmd_usage("mount", "unknown mount option '%s': did you mean '%s'?", word, near);
	return cmd_usage("mount", "unknown mount option '%s'", word);
}

int mount_options_word(struct mount_options *m, char *word)
{
	if (strncmp(word, "x-", 2) == 0 || strncmp(word, "X-", 2) == 0 || strncmp(word, "comment=", 8) == 0 || word[0] == 0)
		return CMD_OK;
	for (size_t i = 0; ignored[i] != NULL; i++)
		if (strcmp(word, ignored[i]) == 0)
			return CMD_OK;
	char *value = strchr(word, '=');
	if (value != NULL)
		*value++ = 0;
	int r = value != NULL ? value_word(m, word, value) : plain_word(m, word);
	return r < 0 ? unknown_word(word) : r;
}

/* -o may be given more than once. Values stay in use, so every copy is kept, the older ones behind the newer. */
static int list_words(struct mount_options *m, const char *text)
{
	struct option_text *t = calloc(1, sizeof(*t) + strlen(text) + 1);
	char *rest;
	int r = CMD_OK;

	if (t == NULL)
		return cmd_fail(CMD_FAILED, "out of memory");
	memcpy(t->text, text, strlen(text) + 1);
	t->next = m->texts;
	m->texts = t;
	rest = t->text;
	for (char *word; r == CMD_OK && (word = strsep(&rest, ",")) != NULL;)
		r = mount_options_word(m, word);
	return r;
}

static int option_take(struct mount_options *m, int c)
{
	switch (c) {
	case 'f':
		m->foreground = 1;
		return CMD_OK;
	case 'o':
		return list_words(m, optarg);
	case OPT_REVOKE:
		return revoke_word(m, optarg);
	case OPT_PASSPHRASE:
		m->open.passphrase_file = optarg;
		return CMD_OK;
	case OPT_KMS:
		return opened_add_ref(&m->open, "mount", optarg);
	case OPT_OLDER:
		m->open.accept_older = 1;
		return CMD_OK;
	case 'h':
		m->help = 1;
		return CMD_OK;
	default:
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
		return cmd_usage("mount", "-o lease (%us) must be at least twice -o poll (%us)", o->lease_ms / 1000, poll / 1000);
	return CMD_OK;
}

int mount_options_read(struct mount_options *m, int argc, char **argv)
{
	int c, r = CMD_OK;

	while (r == CMD_OK && !m->help && (c = cmd_option(argc, argv, "fo:h", longs)) != -1)
		r = option_take(m, c);
	if (r != CMD_OK || m->help)
		return r;
	if (argc - optind != 2)
		return cmd_usage("mount", "%s", argc - optind == 0   ? "STORE and MOUNTPOINT are missing"
						: argc - optind == 1 ? "MOUNTPOINT is missing"
								     : "one STORE and one MOUNTPOINT only");
	m->open.path = argv[optind];
	m->mountpoint = argv[optind + 1];
	return times_check(&m->open);
}
