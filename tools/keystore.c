/* SPDX-License-Identifier: BSD-2-Clause */
/* `byokfs keystore`: the embedded keystore from the command line. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "crypto/secret.h"
#include "kms/keystore/import.h"
#include "tools/cmd.h"
#include "tools/keystore_show.h"
#include "tools/opened.h"

static const char help[] =
	"Usage: byokfs keystore COMMAND KEYDIR [NAME] [OPTIONS]\n"
	"A keystore is a folder of keys that stands in for a customer's KMS: local:KEYDIR/NAME.\n"
	"\n"
	"  init KEYDIR           make one; asks for its passphrase, or takes --passphrase-file F, or\n"
	"                        --no-passphrase: the folder's mode alone protects the keys\n"
	"  create KEYDIR NAME    a new key [--type aes256|rsa2048|rsa3072|rsa4096] [--purge-protection]\n"
	"  import KEYDIR NAME    a key of your own: --file F (32 raw bytes, or an RSA private key in PEM;\n"
	"                        '-' is standard input) [--purge-protection]\n"
	"  list KEYDIR           all keys [--json]\n"
	"  show KEYDIR NAME      one key and its versions [--json]\n"
	"  rotate KEYDIR NAME    a new version, drawn or from --file F; the old ones still unwrap\n"
	"  disable KEYDIR NAME   mounts that use the key lock at once\n"
	"  enable KEYDIR NAME    and serve again\n"
	"  delete KEYDIR NAME    disable, and purge later [--retention-days N] (default 30)\n"
	"  recover KEYDIR NAME   undo a delete within its retention time\n"
	"  purge KEYDIR NAME     destroy a deleted key: everything under it is lost for good\n"
	"  accept KEYDIR NAME    take a copy of a key that is older than this host has seen: you restored it\n"
	"\n"
	"  --passphrase-file F   the passphrase (else the systemd credential byokfs.passphrase, else a prompt);\n"
	"                        every command but init --no-passphrase needs it: acts and answers are authenticated\n"
	"  -h, --help            this text\n"
	"\n"
	"Example:\n"
	"  byokfs keystore init /root/keys && byokfs keystore create /root/keys customer\n"
	"  byokfs keystore disable /root/keys customer\n"
	"\n"
	"See byokfs-keystore(1).\n";

/* What the command line said. */
struct args {
	const char *command, *dir, *name;
	const char *passphrase_file, *file, *type;
	bool no_passphrase, purge_protection, json, help;
	uint64_t retention_days;
};

enum { OPT_PASSPHRASE = 256, OPT_NO_PASSPHRASE, OPT_FILE, OPT_TYPE, OPT_PROTECT, OPT_JSON, OPT_RETENTION };

#define WITH_PASSPHRASE "passphrase-file", required_argument, NULL, OPT_PASSPHRASE
#define WITH_FILE "file", required_argument, NULL, OPT_FILE
#define WITH_PROTECT "purge-protection", no_argument, NULL, OPT_PROTECT
#define WITH_JSON "json", no_argument, NULL, OPT_JSON
#define WITH_HELP "help", no_argument, NULL, 'h'

/* Each command takes its own options only, so that one on the wrong command is told. */
static const struct option of_init[] = {
	{WITH_PASSPHRASE}, {"no-passphrase", no_argument, NULL, OPT_NO_PASSPHRASE}, {WITH_HELP}, {0}};
static const struct option of_create[] = {
	{WITH_PASSPHRASE}, {"type", required_argument, NULL, OPT_TYPE}, {WITH_PROTECT}, {WITH_HELP}, {0}};
static const struct option of_import[] = {{WITH_PASSPHRASE}, {WITH_FILE}, {WITH_PROTECT}, {WITH_HELP}, {0}};
static const struct option of_rotate[] = {{WITH_PASSPHRASE}, {WITH_FILE}, {WITH_HELP}, {0}};
static const struct option of_show[] = {{WITH_PASSPHRASE}, {WITH_JSON}, {WITH_HELP}, {0}};
static const struct option of_delete[] = {
	{WITH_PASSPHRASE}, {"retention-days", required_argument, NULL, OPT_RETENTION}, {WITH_HELP}, {0}};
static const struct option of_state[] = {{WITH_PASSPHRASE}, {WITH_HELP}, {0}};

/* Exit code of a failed act; the sentence is WHY. */
static int act_fail(int r, const char *why)
{
	enum cmd_exit code = cmd_exit_of(r);

	if (r == -EPERM)
		code = CMD_NOT_ALLOWED;
	if (r == -EINTR)
		code = CMD_PASSPHRASE;
	return cmd_fail(code, "%s", why);
}

/* A name that can be no key's, or a value that can be no key, is a wrong command line. */
static int act_end(int r, const char *why)
{
	if (r == -EINVAL || r == -ERANGE)
		return cmd_fail(CMD_USAGE, "%s", why);
	return r ? act_fail(r, why) : CMD_OK;
}

static void keystore_close_at(struct keystore **ks)
{
	keystore_close(*ks);
}

static int do_init(const struct args *a, struct keystore *none)
{
	struct passphrase_source src = {
		.file = a->passphrase_file, .may_prompt = true, .new_one = true, .what = a->dir};
	AUTO(secret_free_at) char *passphrase = NULL;
	struct keystore_init how = {.path = a->dir};
	char why[KEYSTORE_WHY_MAX];

	(void)none;
	if (a->no_passphrase && a->passphrase_file)
		return cmd_usage("keystore init", "--passphrase-file and --no-passphrase exclude each other");
	if (!a->no_passphrase) {
		if (passphrase_read(&src, &passphrase, why, sizeof(why)))
			return cmd_fail(CMD_PASSPHRASE, "%s", why);
		how.passphrase = passphrase;
	}
	int r = keystore_create(&how, why);
	if (r)
		return act_fail(r, why);
	if (a->no_passphrase)
		cmd_warn("whoever can read %s has the keys: its mode alone protects them", a->dir);
	cmd_say("Keystore %s created. Back it up: without its keys nothing can be read.", a->dir);
	return CMD_OK;
}

/* The types that --type takes. */
static const struct {
	const char *word;
	enum keystore_type type;
	unsigned bits;
} types[] = {
	{"aes256", KEYSTORE_AES256, 256},
	{"rsa2048", KEYSTORE_RSA, 2048},
	{"rsa3072", KEYSTORE_RSA, 3072},
	{"rsa4096", KEYSTORE_RSA, 4096},
};

static int add_key(const struct args *a, struct keystore *ks, const struct keystore_new *new)
{
	char why[KEYSTORE_WHY_MAX];
	int r = keystore_add(ks, new, why);

	if (r)
		return act_end(r, why);
	cmd_say("Key %s %s. Its reference: local:%s/%s", a->name, new->material ? "imported" : "created",
		keystore_path(ks), a->name);
	return CMD_OK;
}

static int do_create(const struct args *a, struct keystore *ks)
{
	struct keystore_new new = {.name = a->name, .flags = a->purge_protection ? KEYSTORE_PURGE_PROTECTED : 0};
	const char *type = a->type ? a->type : "aes256";

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		if (strcmp(type, types[i].word) != 0)
			continue;
		new.type = types[i].type;
		new.bits = types[i].bits;
		return add_key(a, ks, &new);
	}
	return cmd_usage("keystore create", "--type is aes256, rsa2048, rsa3072 or rsa4096, not '%s'", type);
}

static int do_import(const struct args *a, struct keystore *ks)
{
	struct keystore_new new = {.name = a->name, .flags = a->purge_protection ? KEYSTORE_PURGE_PROTECTED : 0};
	AUTO(rsa_der_free) struct rsa_der key;
	char why[KEYSTORE_WHY_MAX];
	int r = import_read(a->file, &new.type, &key, why);

	if (r)
		return act_end(r == -EKEYREJECTED ? -EINVAL : r, why);
	new.material = key.bytes;
	new.material_len = key.len;
	new.bits = key.bits;
	return add_key(a, ks, &new);
}

static int do_rotate(const struct args *a, struct keystore *ks)
{
	AUTO(rsa_der_free) struct rsa_der key = {0};
	enum keystore_type type;
	char why[KEYSTORE_WHY_MAX];
	int r = a->file ? import_read(a->file, &type, &key, why) : 0;

	if (!r)
		r = keystore_rotate(ks, a->name, key.bytes, key.len, why);
	if (r)
		return act_end(a->file && r == -EKEYREJECTED ? -EINVAL : r, why);
	cmd_say("Key %s has a new version; the old ones still unwrap.", a->name);
	return CMD_OK;
}

static int act_done(int r, const char *why, const char *name, const char *what)
{
	if (r)
		return act_end(r, why);
	cmd_say("Key %s is %s.", name, what);
	return CMD_OK;
}

static int do_disable(const struct args *a, struct keystore *ks)
{
	char why[KEYSTORE_WHY_MAX];

	return act_done(keystore_disable(ks, a->name, why), why, a->name, "disabled");
}

static int do_enable(const struct args *a, struct keystore *ks)
{
	char why[KEYSTORE_WHY_MAX];

	return act_done(keystore_enable(ks, a->name, why), why, a->name, "enabled");
}

static int do_delete(const struct args *a, struct keystore *ks)
{
	char why[KEYSTORE_WHY_MAX];
	int r = keystore_delete(ks, a->name, (unsigned)a->retention_days, why);

	if (r)
		return act_end(r, why);
	cmd_say("Key %s is soft-deleted: byokfs keystore recover brings it back within %u days.", a->name,
		(unsigned)a->retention_days);
	return CMD_OK;
}

static int do_recover(const struct args *a, struct keystore *ks)
{
	char why[KEYSTORE_WHY_MAX];

	return act_done(keystore_recover(ks, a->name, why), why, a->name, "recovered");
}

static int do_purge(const struct args *a, struct keystore *ks)
{
	char why[KEYSTORE_WHY_MAX];

	return act_done(keystore_purge(ks, a->name, why), why, a->name, "purged: what it protected is lost for good");
}

/* Who takes the customer's last word back says so where the host keeps such things. */
static int do_accept(const struct args *a, struct keystore *ks)
{
	char why[KEYSTORE_WHY_MAX];
	int r = keystore_accept(ks, a->name, why);

	openlog("byokfs", LOG_PID, LOG_AUTH);
	syslog(LOG_NOTICE, "keystore accept: uid %u took the copy of key %s in %.200s as the newest%s",
	       (unsigned)getuid(), a->name, keystore_path(ks), r ? ": failed" : "");
	return act_done(r, why, a->name, "taken as it lies there: older copies are refused from now on");
}

static int do_list(const struct args *a, struct keystore *ks)
{
	return keystore_show_list(ks, a->json);
}

static int do_show(const struct args *a, struct keystore *ks)
{
	return keystore_show_key(ks, a->name, a->json);
}

static const struct keystore_command {
	const char *word;
	const char *title; /* for messages */
	int (*run)(const struct args *a, struct keystore *ks);
	const struct option *options;
	bool named, opened; /* takes NAME; works on an open keystore */
} commands[] = {
	{"init", "keystore init", do_init, of_init, false, false},
	{"create", "keystore create", do_create, of_create, true, true},
	{"import", "keystore import", do_import, of_import, true, true},
	{"list", "keystore list", do_list, of_show, false, true},
	{"show", "keystore show", do_show, of_show, true, true},
	{"rotate", "keystore rotate", do_rotate, of_rotate, true, true},
	{"disable", "keystore disable", do_disable, of_state, true, true},
	{"enable", "keystore enable", do_enable, of_state, true, true},
	{"delete", "keystore delete", do_delete, of_delete, true, true},
	{"recover", "keystore recover", do_recover, of_state, true, true},
	{"purge", "keystore purge", do_purge, of_state, true, true},
	{"accept", "keystore accept", do_accept, of_state, true, true},
};

static int take_option(struct args *a, const struct keystore_command *c, int option)
{
	switch (option) {
	case OPT_PASSPHRASE:
		a->passphrase_file = optarg;
		return CMD_OK;
	case OPT_NO_PASSPHRASE:
		a->no_passphrase = true;
		return CMD_OK;
	case OPT_FILE:
		a->file = optarg;
		return CMD_OK;
	case OPT_TYPE:
		a->type = optarg;
		return CMD_OK;
	case OPT_PROTECT:
		a->purge_protection = true;
		return CMD_OK;
	case OPT_JSON:
		a->json = true;
		return CMD_OK;
	case OPT_RETENTION:
		if (cmd_number(optarg, NULL, 0, KEYSTORE_RETENTION_MAX, &a->retention_days) == 0)
			return CMD_OK;
		return cmd_usage(c->title, "--retention-days is 0 to %u, not '%s'", KEYSTORE_RETENTION_MAX, optarg);
	case 'h':
		a->help = true;
		return CMD_OK;
	default:
		return CMD_USAGE;
	}
}

static int take_words(struct args *a, const struct keystore_command *c, int argc, char **argv)
{
	int wanted = c->named ? 2 : 1;

	if (argc < 1)
		return cmd_usage(c->title, "KEYDIR is missing");
	if (argc < wanted)
		return cmd_usage(c->title, "NAME is missing: which key?");
	if (argc > wanted)
		return cmd_usage(c->title, "too many arguments: '%s'", argv[wanted]);
	a->dir = argv[0];
	a->name = c->named ? argv[1] : NULL;
	if (strcmp(c->word, "import") == 0 && !a->file)
		return cmd_usage(c->title, "--file is missing: where is the key?");
	return CMD_OK;
}

static int run_opened(const struct keystore_command *c, const struct args *a)
{
	struct passphrase_source src = {.file = a->passphrase_file, .may_prompt = true, .what = a->dir};
	AUTO(keystore_close_at) struct keystore *ks = NULL;
	char why[KEYSTORE_WHY_MAX];

	if (c->named && keystore_name_check(a->name))
		return cmd_usage(
			c->title,
			"'%s' is not a key name: letters, digits, '.', '_' and '-', at most %u of them, not '.' first",
			a->name, KEYSTORE_NAME_MAX);
	opened_warn_passphrase(a->passphrase_file);
	int r = keystore_open(a->dir, &src, &ks, why);
	if (r == -EINVAL)
		r = -EKEYREJECTED; /* an empty or overlong passphrase */
	if (r)
		return act_fail(r, why);
	const char *memory = opened_memory_dir();
	r = memory ? keystore_remember(ks, memory) : -ENOENT;
	if (r)
		cmd_warn("this host cannot remember how new the key is: an older copy put back would not be noticed");
	return c->run(a, ks);
}

static int run_command(const struct keystore_command *c, int argc, char **argv)
{
	struct args a = {.command = c->word, .retention_days = KEYSTORE_RETENTION_DAYS};
	static char title[32];
	int option, r = CMD_OK;

	snprintf(title, sizeof(title), "%s", c->title);
	argv[0] = title; /* what messages about options begin with */
	optind = 1;
	while (r == CMD_OK && (option = cmd_option(argc, argv, "h", c->options)) != -1)
		r = take_option(&a, c, option);
	if (r != CMD_OK)
		return r;
	if (a.help) {
		fputs(help, stdout);
		return CMD_OK;
	}
	r = take_words(&a, c, argc - optind, argv + optind);
	if (r != CMD_OK)
		return r;
	return c->opened ? run_opened(c, &a) : c->run(&a, NULL);
}

int cmd_keystore(int argc, char **argv)
{
	const char *words[ARRAY_LEN(commands) + 1] = {0};

	if (argc < 2)
		return cmd_usage("keystore", "a command is missing: init, create, list ...");
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
		fputs(help, stdout);
		return CMD_OK;
	}
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		words[i] = commands[i].word;
		if (strcmp(argv[1], commands[i].word) == 0)
			return run_command(&commands[i], argc - 1, argv + 1);
	}
	const char *near = cmd_near(argv[1], words);
	if (near)
		return cmd_usage("keystore", "unknown command '%s': did you mean '%s'?", argv[1], near);
	return cmd_usage("keystore", "unknown command '%s'", argv[1]);
}
