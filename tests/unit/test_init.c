/* SPDX-License-Identifier: BSD-2-Clause */
/* `byokfs init` on a scratch folder, under the scripted KMS and a keystore: every refusal, and that a refusal leaves nothing. */
#include "tests/unit/said.h"

#include <ctype.h>

#include "crypto/keyring.h"
#include "fs/store/store.h"
#include "tests/kms/scripted.h"

#define INIT(...) SAID(cmd_init, "init", __VA_ARGS__)
#define WRONG(sentence, ...)                  \
	do {                                  \
		INIT(__VA_ARGS__);            \
		SAID_USAGE("init", sentence); \
	} while (0)
#define FAILS(code, sentence, ...)                           \
	do {                                                 \
		INIT(__VA_ARGS__);                           \
		SAID_IS(code, "", "byokfs: " sentence "\n"); \
	} while (0)

static void begin(void)
{
	said_scratch();
	fake_reset();
}

static bool is_there(const char *path)
{
	return access(path, F_OK) == 0;
}

/* The store's id is drawn: ID in its place. */
static void id_hide(void)
{
	char *id = strstr(said.out, ": id ");
	ck_assert_ptr_nonnull(id);
	id += 5;
	for (int i = 0; i < 32; i++)
		ck_assert(isxdigit(id[i]));
	memcpy(id, "ID", 2);
	memmove(id + 2, id + 32, strlen(id + 32) + 1);
}

/* The keyring of the store that was made; keyring_free(). */
static struct keyring *keyring_of(const char *path)
{
	const struct store_open how = {.path = path, .no_pin_check = true, .read_only = true};
	char why[STORE_WHY_MAX];
	struct store *s;
	struct keyring *k;

	ck_assert_msg(store_open(&how, &s, why) == 0, "%s", why);
	ck_assert_int_eq(keyring_parse(s->keyring->bytes, s->keyring->len, &k), 0);
	store_close(s);
	return k;
}

START_TEST(made)
{
	INIT("s", "--kms", "fake:0");
	id_hide();
	SAID_IS(CMD_OK,
		"Store s created: id ID\n"
		"  KEK 1: fake:0\n"
		"  pin: in DIR/home\n"
		"Without the KEK nobody can read it, you included: keep the KEK backed up, apart from the store.\n"
		"Mount it: byokfs mount s MOUNTPOINT\n"
		"Name that id on another host: byokfs mount --store-id ID, or byokfs pin export and import.\n",
		"");
	struct keyring *k = keyring_of("s");
	ck_assert(k->wrap_type == WRAP_STORE && k->name_mode == NAMES_SIV && k->policy == POLICY_ALL);
	ck_assert(k->layout.block_len == 4096 && k->layout.header_len == HEADER_LEN_STORE && k->n_slots == 1);
	ck_assert(k->sequence == 1 && k->slot[0].number == 1);
	keyring_free(k);
	/* it wraps, and asks that it unwraps again: a key that can only wrap would make a store that nobody can open */
	ck_assert_int_eq(atomic_load(&fakes[0].wraps), 1);
	ck_assert_int_gt(atomic_load(&fakes[0].calls), 1);
}
END_TEST

START_TEST(made_with_options)
{
	ck_assert_int_eq(mkdir("s", 0700), 0); /* an empty folder will do */
	INIT("--kms=fake:0", "--kms=fake:1", "--policy", "any", "--block-size=64k", "--plain-names", "s");
	id_hide();
	SAID_IS(CMD_OK,
		"Store s created: id ID\n"
		"  KEK 1: fake:0\n"
		"  KEK 2: fake:1\n"
		"  policy: any one of them opens it\n"
		"  pin: in DIR/home\n"
		"Without the KEK nobody can read it, you included: keep the KEKs backed up, apart from the store.\n"
		"Mount it: byokfs mount s MOUNTPOINT\n"
		"Name that id on another host: byokfs mount --store-id ID, or byokfs pin export and import.\n",
		"");
	struct keyring *k = keyring_of("s");
	ck_assert(k->name_mode == NAMES_PLAIN && k->policy == POLICY_ANY && k->layout.block_len == 65536);
	ck_assert(k->n_slots == 2 && k->slot[1].number == 2 && k->next_number == 3);
	ck_assert_str_eq(k->slot[1].ref, "fake:1");
	keyring_free(k);
	INIT("t", "--kms=fake:0", "--wrap=file");
	ck_assert_int_eq(said.code, CMD_OK);
	k = keyring_of("t");
	ck_assert(k->wrap_type == WRAP_FILE && k->layout.header_len == HEADER_LEN_FILE && k->policy == POLICY_ALL);
	keyring_free(k);
	INIT("u", "--kms=fake:2", "--kms=fake:1", "--policy=all");
	ck_assert_int_eq(said.code, CMD_OK);
	ck_assert_ptr_nonnull(strstr(said.out, "  policy: all of them are needed\n"));
}
END_TEST

/* Wrong command lines */

START_TEST(usage)
{
	SAID(cmd_init, "init");
	SAID_USAGE("init", "STORE is missing");
	WRONG("one STORE only", "s", "t", "--kms=fake:0");
	WRONG("--kms is missing: which key is the store made under? (--kms local:KEYDIR/NAME)", "s");
	WRONG("--wrap file takes exactly one --kms: the KMS wraps each file's key itself", "s", "--kms=fake:0",
	      "--kms=fake:1", "--policy=all", "--wrap=file");
	WRONG("several KEKs: is each of them needed (--policy all), or is one enough (--policy any)?", "s",
	      "--kms=fake:0", "--kms=fake:1");
	WRONG("--policy is 'all' or 'any', not 'some'", "s", "--kms=fake:0", "--policy=some");
	WRONG("--wrap is 'store' or 'file', not 'File'", "s", "--kms=fake:0", "--wrap=File");
	WRONG("--block-size is a power of two from 4k to 1M, not '3k'", "s", "--kms=fake:0", "--block-size=3k");
	WRONG("unknown option '--blocksize': did you mean '--block-size'?", "s", "--blocksize=4k");
	WRONG("option '--plain-names=1' takes no value", "s", "--plain-names=1");
	WRONG("at most 16 KEKs", "s", "--kms=1", "--kms=2", "--kms=3", "--kms=4", "--kms=5", "--kms=6", "--kms=7",
	      "--kms=8", "--kms=9", "--kms=10", "--kms=11", "--kms=12", "--kms=13", "--kms=14", "--kms=15", "--kms=16",
	      "--kms=17");
	INIT("--help");
	ck_assert_int_eq(said.code, CMD_OK);
	SAID_BEGINS(said.out, "Usage: byokfs init STORE --kms REF");
	ck_assert(!is_there("s"));
}
END_TEST

START_TEST(references)
{
	WRONG("--kms 'fake:9': not fake:N", "s", "--kms", "fake:9");
	WRONG("--kms '': empty key reference: expected one that begins with local:, fake:, fault:, vault:, aws-kms:, "
	      "pkcs11:",
	      "s", "--kms", "");
	WRONG("--kms '/keys/a': key reference '/keys/a' names no KMS: did you mean local:/keys/a?", "s", "--kms",
	      "/keys/a");
	WRONG("--kms 'loacl:/k/a': unknown scheme 'loacl': did you mean local?", "s", "--kms", "loacl:/k/a");
	WRONG("--kms 'fake:1' is given twice", "s", "--kms=fake:1", "--kms=fake:1", "--policy=any");
	/* in whatever spelling */
	WRONG("--kms 'local:k/./a' is given twice", "s", "--kms=local:k/a", "--kms=local:k/./a", "--policy=any");
	ck_assert(!is_there("s"));
}
END_TEST

START_TEST(folders)
{
	ck_assert_int_eq(mkdir("full", 0700), 0);
	said_put("full/x", "", 0);
	FAILS(CMD_BUSY, "full is not empty: a store is made in a new or an empty folder", "full", "--kms=fake:0");
	FAILS(CMD_NOT_FOUND, "cannot make a store in full/x: Not a directory", "full/x", "--kms=fake:0");
	ck_assert_int_eq(atomic_load(&fakes[0].calls), 0); /* told before the KMS is asked */
	INIT("no/such/s", "--kms=fake:0");
	SAID_IS(CMD_NOT_FOUND, "", "byokfs: cannot make the folder no/such/s: No such file or directory\n");
	INIT("s", "--kms=fake:0");
	FAILS(CMD_BUSY, "s is not empty: a store is made in a new or an empty folder", "s", "--kms=fake:0");
}
END_TEST

/* Whoever takes the store must not take its key with it. */
START_TEST(keys_inside)
{
	FAILS(CMD_USAGE,
	      "the keys of local:s/keys/a would lie inside the store s: whoever takes the one takes the other", "s",
	      "--kms=local:s/keys/a");
	FAILS(CMD_USAGE, "the keys of local:s/a would lie inside the store s: whoever takes the one takes the other",
	      "s", "--kms=local:s/a");
	ck_assert(!is_there("s"));
}
END_TEST

/* What the KMS says is what the exit code says, and nothing is made. */
START_TEST(kms_answers)
{
	const struct {
		enum fake_mode mode;
		int code;
		const char *text;
	} row[] = {
		{FAKE_REVOKED, CMD_REFUSED, "KMS fake:0: key fake:0 is disabled"},
		{FAKE_AUTH, CMD_REFUSED, "KMS fake:0: key fake:0: who are you?"},
		{FAKE_TRANSIENT, CMD_UNREACHABLE, "KMS fake:0: key fake:0: nobody listens"},
		{FAKE_THROTTLED, CMD_UNREACHABLE, "KMS fake:0: key fake:0: too many requests"},
		{FAKE_STRANGER, CMD_UNREACHABLE, "KMS fake:0: key fake:0: a 403 that nobody signed"},
		{FAKE_MISCONFIGURED, CMD_FAILED, "KMS fake:0: key fake:0: no such key"},
	};

	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		char want[256];
		fake_set(0, row[i].mode);
		INIT("s", "--kms=fake:0");
		snprintf(want, sizeof(want), "byokfs: %s\n", row[i].text);
		SAID_IS(row[i].code, "", want);
		ck_assert(!is_there("s"));
	}
	/* answers that contradict themselves say nothing about the key */
	static const enum fake_mode lies[] = {FAKE_EMPTY, FAKE_LIAR, FAKE_LIAR2, FAKE_NOCLASS, FAKE_NOALGORITHM};
	for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
		fake_set(0, lies[i]);
		INIT("s", "--kms=fake:0");
		ck_assert_msg(said.code == CMD_UNREACHABLE, "%d: %d %s", lies[i], said.code, said.err);
		ck_assert(!is_there("s"));
	}
	/* one of several */
	fake_set(0, FAKE_OK);
	fake_set(1, FAKE_REVOKED);
	FAILS(CMD_REFUSED, "KMS of the store: key fake:1 is disabled", "s", "--kms=fake:0", "--kms=fake:1",
	      "--policy=all");
	ck_assert(!is_there("s"));
}
END_TEST

START_TEST(keystores)
{
	FAILS(CMD_NOT_FOUND, "KMS local:DIR/k/a: there is no keystore at DIR/k: byokfs keystore init makes one", "s",
	      "--kms=local:k/a");
	SAID(cmd_keystore, "keystore", "init", "k", "--no-passphrase");
	INIT("s", "--kms=local:k/a");
	ck_assert_int_eq(said.code, CMD_NOT_FOUND);
	SAID_BEGINS(said.err, "byokfs: KMS local:DIR/k/a: ");
	SAID(cmd_keystore, "keystore", "create", "k", "a");
	SAID(cmd_keystore, "keystore", "disable", "k", "a");
	INIT("s", "--kms=local:k/a");
	ck_assert_int_eq(said.code, CMD_REFUSED);
	ck_assert(!is_there("s"));
	SAID(cmd_keystore, "keystore", "enable", "k", "a");
	INIT("s", "--kms=local:k/a");
	id_hide();
	ck_assert_int_eq(said.code, CMD_OK);
	ck_assert_ptr_nonnull(strstr(said.out, "\n  KEK 1: local:DIR/k/a\n")); /* canonical */
}
END_TEST

/* The pin is what makes the store's KMS trusted on this host: without it, no success. */
START_TEST(no_pin)
{
	char path[PATH_MAX + 16];
	said_put("file", "", 0);
	snprintf(path, sizeof(path), "%s/file", said.dir);
	setenv("BYOKFS_STATE_DIR", path, 1);
	INIT("s", "--kms=fake:0");
	ck_assert_int_ne(said.code, CMD_OK);
	ck_assert_str_eq(said.out, "");
	SAID_BEGINS(said.err, "byokfs: cannot write the pin of ");
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		made, made_with_options, usage, references, folders, keys_inside, kms_answers, keystores, no_pin,
	};

	return said_main("init", begin, tests, ARRAY_LEN(tests));
}
