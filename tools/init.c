/* SPDX-License-Identifier: BSD-2-Clause */
/* `byokfs init`: make a store under one or more KEKs. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "fs/store/pin_file.h"
#include "kms/custody.h"
#include "kms/hidden.h"
#include "tools/cmd.h"
#include "tools/opened.h"
#include "tools/reach.h"

#define KMS_TIMEOUT_MS 10000u
#define BLOCK_LEN_DEFAULT 4096u

static const char help[] =
	"Usage: byokfs init STORE --kms REF [OPTIONS]\n"
	"Make a store in the new or empty folder STORE, its keys wrapped under the KEK that REF names.\n"
	"\n"
	"  --kms REF             the KEK: local:KEYDIR/NAME, vault:https://HOST:PORT/MOUNT/NAME, an ARN of AWS KMS, "
	"pkcs11:URI. "
	"Repeat it for several "
	"KEKs, with --policy\n"
	"  --kms-option N=V      how the --kms before it is reached (byokfs mount --help has them); remembered by this "
	"host\n"
	"  --policy all|any      with several KEKs: all of them are needed, or any one is enough\n"
	"  --wrap store|file     store (default): the KMS is asked at mount and lease renewal only;\n"
	"                        file: the KMS wraps the key of each file, one line in its log per file\n"
	"  --block-size N        bytes encrypted as one, a power of two from 4k to 1M (default 4k)\n"
	"  --plain-names         file names stay readable in the store\n"
	"  --passphrase-file F   the keystore's passphrase (else systemd's credentials, else a prompt)\n"
	"  -h, --help            this text\n"
	"\n"
	"Example:\n"
	"  byokfs init /srv/backup.store --kms local:/root/keys/customer\n"
	"\n"
	"A pin is written outside the store (/var/lib/byokfs, or ~/.local/state/byokfs): it names the KMS that this\n"
	"host may contact for this store. Another host names it once: byokfs mount --kms REF. See byokfs-init(1).\n";

enum { OPT_KMS = 256, OPT_POLICY, OPT_WRAP, OPT_BLOCK, OPT_PLAIN, OPT_PASSPHRASE, OPT_KMS_OPTION };

static const struct option longs[] = {
	{"kms", required_argument, NULL, OPT_KMS},
	{"kms-option", required_argument, NULL, OPT_KMS_OPTION},
	{"policy", required_argument, NULL, OPT_POLICY},
	{"wrap", required_argument, NULL, OPT_WRAP},
	{"block-size", required_argument, NULL, OPT_BLOCK},
	{"plain-names", no_argument, NULL, OPT_PLAIN},
	{"passphrase-file", required_argument, NULL, OPT_PASSPHRASE},
	{"help", no_argument, NULL, 'h'},
	{0},
};

struct init {
	const char *path, *passphrase_file;
	struct keyring *keyring;
	const char *ref[KEYRING_SLOTS_MAX];
	struct kms_options *given[KEYRING_SLOTS_MAX]; /* --kms-option of each, or NULL */
	struct kms *kek[KEYRING_SLOTS_MAX];
	uint32_t n_keks;
	bool help;
};

static void init_wipe(struct init *in)
{
	for (uint32_t i = 0; i < in->n_keks; i++)
		kms_close(in->kek[i]);
	for (size_t i = 0; i < ARRAY_LEN(in->given); i++)
		free(in->given[i]);
	keyring_free(in->keyring);
}

static void keys_free_at(struct store_keys **keys)
{
	store_keys_free(*keys);
}

/* Command line */

static int word_of(const char *option, const char *value, const char *const words[2])
{
	for (int i = 0; i < 2; i++)
		if (strcmp(value, words[i]) == 0)
			return i;
	cmd_usage("init", "%s is '%s' or '%s', not '%s'", option, words[0], words[1], value);
	return -1;
}

static int option_take(struct init *in, int c)
{
	static const char *const policies[2] = {"all", "any"}, *const wraps[2] = {"store", "file"};
	struct keyring *k = in->keyring;
	int i;

	switch (c) {
	case OPT_KMS:
		if (k->n_slots == KEYRING_SLOTS_MAX)
			return cmd_usage("init", "at most %u KEKs", KEYRING_SLOTS_MAX);
		in->ref[k->n_slots++] = optarg;
		return (int)reach_take_ref("init", optarg, &in->given[k->n_slots - 1]);
	case OPT_KMS_OPTION:
		i = k->n_slots ? (int)k->n_slots - 1 : 0;
		return (int)reach_take("init", k->n_slots ? in->ref[i] : NULL, optarg, &in->given[i]);
	case OPT_POLICY:
		i = word_of("--policy", optarg, policies);
		k->policy = i == 1 ? POLICY_ANY : POLICY_ALL;
		return i < 0 ? CMD_USAGE : CMD_OK;
	case OPT_WRAP:
		i = word_of("--wrap", optarg, wraps);
		k->wrap_type = i == 1 ? WRAP_FILE : WRAP_STORE;
		return i < 0 ? CMD_USAGE : CMD_OK;
	case OPT_BLOCK:
		return cmd_block_size("init", optarg, &k->layout.block_len);
	case OPT_PLAIN:
		k->name_mode = NAMES_PLAIN;
		return CMD_OK;
	case OPT_PASSPHRASE:
		in->passphrase_file = optarg;
		return CMD_OK;
	case 'h':
		in->help = true;
		return CMD_OK;
	default:
		return CMD_USAGE;
	}
}

/* What fits together and what does not; fills in what follows from it. */
static int options_check(struct init *in, int argc, char **argv)
{
	struct keyring *k = in->keyring;

	if (optind != argc - 1)
		return cmd_usage("init", "%s", optind == argc ? "STORE is missing" : "one STORE only");
	in->path = argv[optind];
	if (k->n_slots == 0)
		return cmd_usage("init",
				 "--kms is missing: which key is the store made under? (--kms local:KEYDIR/NAME)");
	if (k->wrap_type == WRAP_FILE && k->n_slots > 1)
		return cmd_usage("init", "--wrap file takes exactly one --kms: the KMS wraps each file's key itself");
	if (k->n_slots > 1 && k->policy == 0)
		return cmd_usage(
			"init",
			"several KEKs: is each of them needed (--policy all), or is one enough (--policy any)?");
	if (k->policy == 0)
		k->policy = POLICY_ALL;
	k->layout.header_len = k->wrap_type == WRAP_FILE ? HEADER_LEN_FILE : HEADER_LEN_STORE;
	return CMD_OK;
}

static int options_read(struct init *in, int argc, char **argv)
{
	int c, r = CMD_OK;

	while (r == CMD_OK && !in->help && (c = cmd_option(argc, argv, "h", longs)) != -1)
		r = option_take(in, c);
	return r != CMD_OK || in->help ? r : options_check(in, argc, argv);
}

/* KEKs */

static int ref_check(const struct init *in, struct keyring_slot *slot, const char *ref)
{
	char why[KMS_TEXT_MAX] = "";
	const struct keyring_slot *all = in->keyring->slot;

	if (kms_ref_normalise(ref, slot->ref, why) < 0)
		return cmd_usage("init", "--kms '%s': %s", ref, why);
	for (const struct keyring_slot *s = all; s < slot; s++)
		if (strcmp(s->ref, slot->ref) == 0)
			return cmd_usage("init", "--kms '%s' is given twice", ref);
	int r = kms_ref_inside(slot->ref, in->path);
	if (r == 1)
		return cmd_fail(CMD_USAGE,
				"the keys of %s would lie inside the store %s: whoever takes the one takes the other",
				ref, in->path);
	return CMD_OK;
}

static void log_warning(int priority, const char *text)
{
	if (priority <= LOG_WARNING)
		cmd_warn("%s", text);
}

static int keks_open(struct init *in)
{
	struct keyring *k = in->keyring;

	k->slot = calloc(k->n_slots, sizeof(*k->slot));
	if (!k->slot)
		return cmd_fail(CMD_FAILED, "out of memory");
	for (uint32_t i = 0; i < k->n_slots; i++) {
		int r = ref_check(in, &k->slot[i], in->ref[i]);
		if (r != CMD_OK)
			return r;
		k->slot[i].number = i + 1;
	}
	opened_warn_passphrase(in->passphrase_file);
	if (hidden_take())
		return cmd_fail(CMD_FAILED, "no locked memory left for the secrets of the environment");
	for (uint32_t i = 0; i < k->n_slots; i++) {
		struct kms_verdict v = {0};
		const struct kms_config kc = {
			.ref = k->slot[i].ref,
			.passphrase_file = in->passphrase_file,
			.memory_dir = opened_memory_dir(),
			.may_prompt = isatty(STDIN_FILENO),
			.log = log_warning,
			.timeout_ms = KMS_TIMEOUT_MS,
			.options = in->given[i],
		};
		if (in->given[i])
			opened_warn_secrets(kms_provider_find(kc.ref, NULL), in->given[i]);
		int r = kms_open(&kc, &in->kek[i], &v);
		if (r < 0)
			return opened_kms_error(r, &v, kc.ref);
		in->n_keks++;
	}
	return CMD_OK;
}

/* Making it */

/* Said before a passphrase is asked for; store_create() looks again. */
static int folder_check(const char *path)
{
	bool empty;
	int r = cmd_folder_empty(path, &empty);

	if (r == -ENOENT)
		return CMD_OK;
	if (r)
		return cmd_fail(cmd_exit_of(r), "cannot make a store in %s: %s", path, strerror(-r));
	if (!empty)
		return cmd_fail(CMD_BUSY, "%s is not empty: a store is made in a new or an empty folder", path);
	return CMD_OK;
}

/* For `byokfs mount STORE MOUNTPOINT` without another word. */
static int remember(const struct init *in)
{
	AUTO(auto_free) struct kms_options *o = calloc(in->keyring->n_slots, sizeof(*o));
	AUTO(auto_free) char *path = realpath(in->path, NULL);

	if (!o || !path)
		return cmd_fail(CMD_FAILED, "out of memory");
	for (uint32_t i = 0; i < in->keyring->n_slots; i++)
		if (in->given[i])
			o[i] = *in->given[i];
	reach_remember(path, in->keyring, o);
	return CMD_OK;
}

static int make(struct init *in)
{
	AUTO(keys_free_at) struct store_keys *keys = NULL;
	char why[STORE_WHY_MAX];
	struct kms_verdict v = {0};

	int r = custody_create(in->keyring, in->kek, &v);
	/* Wrapped is not yet unwrapped: a key that can only wrap would make a store that nobody can open. */
	if (r == 0)
		r = custody_open(in->keyring, in->kek, &keys, &v);
	if (r < 0)
		return opened_kms_error(r, &v, in->keyring->n_slots == 1 ? in->keyring->slot[0].ref : "of the store");
	r = store_create(in->path, in->keyring, keys, why);
	if (r < 0)
		return cmd_fail(cmd_exit_of(r), "%s", why);
	if (why[0] != 0)
		cmd_warn("%s", why);
	return remember(in);
}

static void report(const struct init *in)
{
	const struct keyring *k = in->keyring;
	char dir[4096], hex[2 * ID_LEN + 1];

	store_id_hex(k->store_id, hex);
	cmd_say("Store %s created: id %s", in->path, hex);
	for (uint32_t i = 0; i < k->n_slots; i++)
		cmd_say("  KEK %u: %s", k->slot[i].number, k->slot[i].ref);
	if (k->n_slots > 1)
		cmd_say("  policy: %s",
			k->policy == POLICY_ANY ? "any one of them opens it" : "all of them are needed");
	if (pin_file_dir(dir, sizeof(dir)) == 0)
		cmd_say("  pin: in %s", dir);
	cmd_say("Without the KEK nobody can read it, you included: keep %s backed up, apart from the store.",
		k->n_slots > 1 ? "the KEKs" : "the KEK");
	cmd_say("Mount it: byokfs mount %s MOUNTPOINT", in->path);
	puts("Name that id on another host: byokfs mount --store-id ID, or byokfs pin export and import.");
}

int cmd_init(int argc, char **argv)
{
	AUTO(init_wipe) struct init in = {.keyring = calloc(1, sizeof(*in.keyring))};

	if (!in.keyring)
		return cmd_fail(CMD_FAILED, "out of memory");
	in.keyring->wrap_type = WRAP_STORE;
	in.keyring->ro_compat = FEATURE_RO_JOURNAL | FEATURE_RO_LOST;
	in.keyring->name_mode = NAMES_SIV;
	in.keyring->layout.block_len = BLOCK_LEN_DEFAULT;
	in.keyring->layout.suite = SUITE_2;
	int r = options_read(&in, argc, argv);
	if (r == CMD_OK && in.help) {
		fputs(help, stdout);
		return CMD_OK;
	}
	if (r == CMD_OK)
		r = folder_check(in.path);
	if (r == CMD_OK)
		r = keks_open(&in);
	if (r == CMD_OK)
		r = make(&in);
	if (r == CMD_OK)
		report(&in);
	return r;
}
