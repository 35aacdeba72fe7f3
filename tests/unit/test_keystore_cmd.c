/* SPDX-License-Identifier: BSD-2-Clause */
/* `byokfs keystore`: each of its commands on a scratch keystore, with its sentences and exit codes; wrong command lines. */
#include "tests/unit/said.h"

#include <openssl/evp.h>
#include <openssl/pem.h>

#include "kms/keystore/keystore.h"
#include "tools/keystore_show.h"

#define KEYSTORE(...) SAID(cmd_keystore, "keystore", __VA_ARGS__)
#define WRONG(command, sentence, ...)          \
	do {                                   \
		KEYSTORE(__VA_ARGS__);         \
		SAID_USAGE(command, sentence); \
	} while (0)
#define DONE(sentence, ...)                         \
	do {                                        \
		KEYSTORE(__VA_ARGS__);              \
		SAID_IS(CMD_OK, sentence "\n", ""); \
	} while (0)
#define FAILS(code, sentence, ...)                           \
	do {                                                 \
		KEYSTORE(__VA_ARGS__);                       \
		SAID_IS(code, "", "byokfs: " sentence "\n"); \
	} while (0)

/* `k`, protected by its mode alone, and a key `a` in it. */
static void keystore_make(void)
{
	KEYSTORE("init", "k", "--no-passphrase");
	SAID_IS(CMD_OK, "Keystore k created. Back it up: without its keys nothing can be read.\n",
		"byokfs: warning: whoever can read k has the keys: its mode alone protects them\n");
	DONE("Key a created. Its reference: local:DIR/k/a", "create", "k", "a");
}

/* The state of key NAME as `show` tells it. */
static void state_is(const char *name, const char *state)
{
	char want[128];

	KEYSTORE("show", "k", name, "--json");
	ck_assert_int_eq(said.code, CMD_OK);
	snprintf(want, sizeof(want), "{\"name\": \"%s\", \"state\": \"%s\", ", name, state);
	ck_assert_msg(strncmp(said.out, want, strlen(want)) == 0, "%s", said.out);
}

/* Times are of this moment: each digit of one is shown as 0. */
static void times_hide(char *text)
{
	for (char *p = text; (p = strstr(p, "Z")); p++) {
		if (p - text < 19 || p[-3] != ':' || p[-9] != 'T')
			continue;
		for (char *q = p - 19; q < p; q++)
			*q = *q >= '0' && *q <= '9' ? '0' : *q;
	}
}

#define THEN "0000-00-00T00:00:00Z"

/* The command line */

START_TEST(commands)
{
	SAID(cmd_keystore, "keystore");
	SAID_USAGE("keystore", "a command is missing: init, create, list ...");
	WRONG("keystore", "unknown command 'creat': did you mean 'create'?", "creat", "k");
	WRONG("keystore", "unknown command 'forget'", "forget", "k", "a");
	WRONG("keystore", "unknown command ''", "");
	static const char *const asks[] = {"--help", "-h", "help"};
	for (size_t i = 0; i < ARRAY_LEN(asks); i++) {
		KEYSTORE(asks[i]);
		ck_assert_int_eq(said.code, CMD_OK);
		ck_assert_str_eq(said.err, "");
		SAID_BEGINS(said.out, "Usage: byokfs keystore COMMAND KEYDIR");
	}
	KEYSTORE("purge", "--help");
	ck_assert_int_eq(said.code, CMD_OK);
	SAID_BEGINS(said.out, "Usage: byokfs keystore COMMAND KEYDIR");
}
END_TEST

START_TEST(words)
{
	WRONG("keystore init", "KEYDIR is missing", "init");
	WRONG("keystore init", "too many arguments: 'a'", "init", "k", "a");
	WRONG("keystore list", "too many arguments: 'a'", "list", "k", "a");
	WRONG("keystore create", "KEYDIR is missing", "create");
	static const char *const named[] = {"create", "show",   "rotate",  "disable",
					    "enable", "delete", "recover", "purge"};
	for (size_t i = 0; i < ARRAY_LEN(named); i++) {
		char want[256];
		KEYSTORE(named[i], "k");
		snprintf(want, sizeof(want),
			 "byokfs keystore %s: NAME is missing: which key?\nTry 'byokfs keystore %s --help'.\n",
			 named[i], named[i]);
		SAID_IS(CMD_USAGE, "", want);
		KEYSTORE(named[i], "k", "a", "b");
		snprintf(want, sizeof(want),
			 "byokfs keystore %s: too many arguments: 'b'\nTry 'byokfs keystore %s --help'.\n", named[i],
			 named[i]);
		SAID_IS(CMD_USAGE, "", want);
	}
	WRONG("keystore import", "--file is missing: where is the key?", "import", "k", "a");
}
END_TEST

/* Each command takes its own options only. */
START_TEST(options)
{
	WRONG("keystore init", "unknown option '--type'", "init", "k", "--type", "aes256");
	WRONG("keystore create", "unknown option '--no-passphrase'", "create", "k", "a", "--no-passphrase");
	WRONG("keystore create", "unknown option '--file'", "create", "k", "a", "--file=x");
	WRONG("keystore create", "unknown option '--json'", "create", "k", "a", "--json");
	WRONG("keystore create", "unknown option '--tpye': did you mean '--type'?", "create", "k", "a", "--tpye");
	WRONG("keystore rotate", "unknown option '--purge-protection'", "rotate", "k", "a", "--purge-protection");
	WRONG("keystore list", "unknown option '--retention-days'", "list", "k", "--retention-days=3");
	WRONG("keystore disable", "unknown option '--json'", "disable", "k", "a", "--json");
	WRONG("keystore enable", "unknown option '-f'", "enable", "k", "a", "-f");
	WRONG("keystore delete", "--retention-days is 0 to 3650, not '3651'", "delete", "k", "a",
	      "--retention-days=3651");
	WRONG("keystore delete", "--retention-days is 0 to 3650, not '7d'", "delete", "k", "a", "--retention-days",
	      "7d");
	WRONG("keystore delete", "option '--retention-days' needs a value", "delete", "k", "a", "--retention-days");
	WRONG("keystore init", "--passphrase-file and --no-passphrase exclude each other", "init", "k",
	      "--no-passphrase", "--passphrase-file=p");
}
END_TEST

START_TEST(key_names)
{
	keystore_make();
	static const char *const bad[] = {"",
					  ".a",
					  "a/b",
					  "a b",
					  "../k",
					  "\xc3\xbc",
					  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char want[512];
		KEYSTORE("create", "k", bad[i]);
		snprintf(
			want, sizeof(want),
			"byokfs keystore create: '%s' is not a key name: letters, digits, '.', '_' and '-', at most 64 "
			"of them, not '.' first\nTry 'byokfs keystore create --help'.\n",
			bad[i]);
		SAID_IS(CMD_USAGE, "", want);
	}
	DONE("Key A.b_c-9 created. Its reference: local:DIR/k/A.b_c-9", "create", "k", "A.b_c-9");
}
END_TEST

/* init and passphrases */

START_TEST(init)
{
	keystore_make();
	KEYSTORE("init", "k", "--no-passphrase");
	ck_assert_int_eq(said.code, CMD_BUSY);
	ck_assert_str_eq(said.out, "");
	said_put("file", "x", 1);
	KEYSTORE("init", "file", "--no-passphrase");
	ck_assert_int_ne(said.code, CMD_OK);
	ck_assert_str_eq(said.out, "");
	KEYSTORE("init", "no/such/folder", "--no-passphrase");
	ck_assert_int_eq(said.code, CMD_NOT_FOUND);
	/* without an option it asks, and here is nobody to ask */
	FAILS(CMD_PASSPHRASE, "the keystore n needs a passphrase and there is no terminal to ask on: --passphrase-file",
	      "init", "n");
	ck_assert_int_lt(access("n", F_OK), 0);
	FAILS(CMD_PASSPHRASE, "passphrase file none: No such file or directory", "init", "n", "--passphrase-file",
	      "none");
	ck_assert_int_lt(access("n", F_OK), 0);
}
END_TEST

/* One with a passphrase, drawn out by Argon2id as `init` does: a moment each. */
START_TEST(passphrases)
{
	struct keystore_init how = {.path = "p", .passphrase = "correct horse", .ops = 1, .mem_kib = 1024};
	char why[KEYSTORE_WHY_MAX];

	ck_assert_msg(keystore_create(&how, why) == 0, "%s", why);
	said_put("good", "correct horse\n", 14);
	said_put("bad", "wrong horse\n", 12);
	said_put("empty", "", 0);
	DONE("Key a created. Its reference: local:DIR/p/a", "create", "p", "a", "--passphrase-file", "good");
	KEYSTORE("disable", "p", "a", "--passphrase-file", "bad");
	ck_assert_int_eq(said.code, CMD_PASSPHRASE);
	ck_assert_str_eq(said.out, "");
	ck_assert_ptr_nonnull(strstr(said.err, "passphrase"));
	KEYSTORE("disable", "p", "a", "--passphrase-file", "empty");
	ck_assert_int_eq(said.code, CMD_PASSPHRASE);
	FAILS(CMD_PASSPHRASE, "the keystore p needs a passphrase and there is no terminal to ask on: --passphrase-file",
	      "list", "p");
	/* the systemd credential is taken where no file is named */
	ck_assert_int_eq(mkdir("cred", 0700), 0);
	said_put("cred/byokfs.passphrase", "correct horse\n", 14);
	setenv("CREDENTIALS_DIRECTORY", "cred", 1);
	DONE("Key a is disabled.", "disable", "p", "a");
}
END_TEST

START_TEST(no_keystore)
{
	static const char *const named[] = {"create", "show",   "rotate",  "disable",
					    "enable", "delete", "recover", "purge"};

	ck_assert_int_eq(mkdir("empty", 0700), 0);
	for (size_t i = 0; i < ARRAY_LEN(named); i++) {
		KEYSTORE(named[i], "none", "a");
		ck_assert_int_eq(said.code, CMD_NOT_FOUND);
		ck_assert_str_eq(said.out, "");
		KEYSTORE(named[i], "empty", "a");
		ck_assert_int_eq(said.code, CMD_NOT_FOUND);
	}
	KEYSTORE("list", "none");
	ck_assert_int_eq(said.code, CMD_NOT_FOUND);
}
END_TEST

/* A keystore that others may write cannot be trusted, whatever the passphrase says. */
START_TEST(mode)
{
	keystore_make();
	ck_assert_int_eq(chmod("k", 0777), 0);
	KEYSTORE("list", "k");
	ck_assert_int_eq(said.code, CMD_NOT_ALLOWED);
	ck_assert_str_eq(said.out, "");
	SAID_BEGINS(said.err, "byokfs: ");
	ck_assert_int_eq(chmod("k", 0700), 0);
	KEYSTORE("list", "k");
	ck_assert_int_eq(said.code, CMD_OK);
}
END_TEST

/* create */

START_TEST(create)
{
	keystore_make();
	FAILS(CMD_FAILED, "key a of keystore DIR/k exists: rotate makes a new version of it", "create", "k", "a");
	DONE("Key s created. Its reference: local:DIR/k/s", "create", "k", "s", "--type=aes256", "--purge-protection");
	WRONG("keystore create", "--type is aes256, rsa2048, rsa3072 or rsa4096, not 'rsa1024'", "create", "k", "t",
	      "--type=rsa1024");
	WRONG("keystore create", "--type is aes256, rsa2048, rsa3072 or rsa4096, not ''", "create", "k", "t",
	      "--type=");
	KEYSTORE("show", "k", "a", "--json");
	ck_assert_ptr_nonnull(strstr(said.out, "\"purge_protected\": false"));
	KEYSTORE("show", "k", "s", "--json");
	ck_assert_ptr_nonnull(strstr(said.out, "\"purge_protected\": true"));
}
END_TEST

/* import */

START_TEST(import)
{
	uint8_t raw[33];

	keystore_make();
	memset(raw, 7, sizeof(raw));
	said_put("raw", raw, 32);
	said_put("longer", raw, 33);
	said_put("text", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n", 65);
	said_put("pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", 60);
	DONE("Key i imported. Its reference: local:DIR/k/i", "import", "k", "i", "--file", "raw");
	KEYSTORE("show", "k", "i", "--json");
	ck_assert_ptr_nonnull(strstr(said.out, "\"type\": \"aes256\""));
	ck_assert_ptr_nonnull(strstr(said.out, "\"imported\": true"));
	FAILS(CMD_FAILED, "key i of keystore DIR/k exists: rotate makes a new version of it", "import", "k", "i",
	      "--file", "raw");
	FAILS(CMD_NOT_FOUND, "cannot open none: No such file or directory", "import", "k", "j", "--file", "none");
	FAILS(CMD_USAGE, "longer has 33 bytes: a key is 32 raw bytes, or an RSA private key in PEM", "import", "k", "j",
	      "--file=longer");
	FAILS(CMD_USAGE,
	      "text has 65 bytes: a key is 32 raw bytes (this looks like text: decode it with base64 -d or xxd -r -p), "
	      "or an RSA private key in PEM",
	      "import", "k", "j", "--file=text");
	FAILS(CMD_USAGE, "pem holds no RSA private key that can be read", "import", "k", "j", "--file=pem");
	FAILS(CMD_USAGE, "standard input has 0 bytes: a key is 32 raw bytes, or an RSA private key in PEM", "import",
	      "k", "j", "--file", "-");
	FAILS(CMD_NOT_FOUND, "there is no key j in keystore DIR/k", "show", "k", "j");
}
END_TEST

/* KEY in PEM, under a passphrase if there is one. */
static void pem_put(const char *path, EVP_PKEY *key, const char *secret)
{
	FILE *f = fopen(path, "w");

	ck_assert(key && f);
	ck_assert_int_eq(PEM_write_PrivateKey(f, key, secret ? EVP_aes_128_cbc() : NULL, (const unsigned char *)secret,
					      secret ? (int)strlen(secret) : 0, NULL, NULL),
			 1);
	fclose(f);
}

START_TEST(import_rsa)
{
	keystore_make();
	EVP_PKEY *key = EVP_RSA_gen(2048), *small = EVP_RSA_gen(1024);
	pem_put("rsa", key, NULL);
	pem_put("locked", key, "x");
	pem_put("short", small, NULL);
	EVP_PKEY_free(key);
	EVP_PKEY_free(small);
	DONE("Key r imported. Its reference: local:DIR/k/r", "import", "k", "r", "--file=rsa", "--purge-protection");
	KEYSTORE("show", "k", "r", "--json");
	ck_assert_ptr_nonnull(strstr(said.out, "\"type\": \"rsa2048\""));
	ck_assert_ptr_nonnull(strstr(said.out, "\"purge_protected\": true, \"imported\": true"));
	FAILS(CMD_USAGE, "the RSA key in short does not have 2048 to 4096 bits", "import", "k", "s", "--file=short");
	/* a wrong file, not a wrong passphrase of the keystore */
	FAILS(CMD_USAGE, "locked is encrypted: decrypt it first (openssl pkey -in F -out -)", "import", "k", "s",
	      "--file=locked");
	FAILS(CMD_USAGE, "locked is encrypted: decrypt it first (openssl pkey -in F -out -)", "rotate", "k", "r",
	      "--file=locked");
	/* a new version is of the key's own type */
	FAILS(CMD_USAGE, "key a of keystore DIR/k is unchanged: an AES-256 key is 32 bytes", "rotate", "k", "a",
	      "--file=rsa");
	DONE("Key r has a new version; the old ones still unwrap.", "rotate", "k", "r", "--file=rsa");
}
END_TEST

/* rotate, disable, enable */

START_TEST(rotate)
{
	uint8_t raw[32] = {1};

	keystore_make();
	said_put("raw", raw, sizeof(raw));
	DONE("Key a has a new version; the old ones still unwrap.", "rotate", "k", "a");
	DONE("Key a has a new version; the old ones still unwrap.", "rotate", "k", "a", "--file", "raw");
	KEYSTORE("show", "k", "a", "--json");
	ck_assert_ptr_nonnull(strstr(said.out, "\"current_version\": 3,"));
	FAILS(CMD_NOT_FOUND, "there is no key b in keystore DIR/k: byokfs keystore list shows them", "rotate", "k",
	      "b");
	FAILS(CMD_NOT_FOUND, "cannot open none: No such file or directory", "rotate", "k", "a", "--file=none");
	KEYSTORE("disable", "k", "a");
	FAILS(CMD_REFUSED, "key a of keystore DIR/k is not enabled: only an enabled key can be rotated", "rotate", "k",
	      "a");
}
END_TEST

START_TEST(disable_and_enable)
{
	keystore_make();
	DONE("Key a is disabled.", "disable", "k", "a");
	state_is("a", "disabled");
	DONE("Key a is disabled.", "disable", "k", "a"); /* as wanted already */
	DONE("Key a is enabled.", "enable", "k", "a");
	state_is("a", "enabled");
	FAILS(CMD_NOT_FOUND, "there is no key b in keystore DIR/k: byokfs keystore list shows them", "disable", "k",
	      "b");
	FAILS(CMD_NOT_FOUND, "there is no key b in keystore DIR/k: byokfs keystore list shows them", "enable", "k",
	      "b");
}
END_TEST

/* delete, recover, purge */

START_TEST(delete_and_recover)
{
	keystore_make();
	FAILS(CMD_REFUSED, "key a of keystore DIR/k is not deleted", "recover", "k", "a");
	FAILS(CMD_REFUSED, "key a of keystore DIR/k is not deleted: delete it first", "purge", "k", "a");
	KEYSTORE("disable", "k", "a");
	DONE("Key a is soft-deleted: byokfs keystore recover brings it back within 30 days.", "delete", "k", "a");
	state_is("a", "soft-deleted");
	FAILS(CMD_REFUSED, "key a of keystore DIR/k is soft-deleted already", "delete", "k", "a");
	FAILS(CMD_REFUSED, "key a of keystore DIR/k is soft-deleted: recover it first", "enable", "k", "a");
	FAILS(CMD_FAILED, "key a of keystore DIR/k is soft-deleted: recover or purge it, or take another name",
	      "create", "k", "a");
	DONE("Key a is recovered.", "recover", "k", "a");
	state_is("a", "disabled"); /* what it was before */
	DONE("Key a is soft-deleted: byokfs keystore recover brings it back within 0 days.", "delete", "k", "a",
	     "--retention-days", "0");
	FAILS(CMD_REFUSED, "key a of keystore DIR/k can no longer be recovered: its retention time has ended",
	      "recover", "k", "a");
}
END_TEST

START_TEST(purge)
{
	keystore_make();
	KEYSTORE("delete", "k", "a", "--retention-days=3650");
	ck_assert_int_eq(said.code, CMD_OK);
	DONE("Key a is purged: what it protected is lost for good.", "purge", "k", "a");
	state_is("a", "purged");
	FAILS(CMD_REFUSED, "key a of keystore DIR/k is purged already", "purge", "k", "a");
	FAILS(CMD_REFUSED, "key a of keystore DIR/k is purged already", "delete", "k", "a");
	FAILS(CMD_REFUSED, "key a of keystore DIR/k is purged: nothing brings it back", "recover", "k", "a");
	FAILS(CMD_REFUSED, "key a of keystore DIR/k is purged: nothing brings it back", "enable", "k", "a");
	/* its name may be taken again, its version numbers not */
	KEYSTORE("create", "k", "a");
	ck_assert_int_eq(said.code, CMD_OK);
	KEYSTORE("show", "k", "a", "--json");
	ck_assert_ptr_nonnull(strstr(said.out, "\"current_version\": 2,"));
}
END_TEST

START_TEST(purge_protection)
{
	keystore_make();
	KEYSTORE("create", "k", "s", "--purge-protection");
	FAILS(CMD_REFUSED, "key s of keystore DIR/k is purge-protected: its retention time is at least 7 days",
	      "delete", "k", "s", "--retention-days=6");
	DONE("Key s is soft-deleted: byokfs keystore recover brings it back within 7 days.", "delete", "k", "s",
	     "--retention-days=7");
	FAILS(CMD_REFUSED, "key s of keystore DIR/k is purge-protected: not before its retention time has ended",
	      "purge", "k", "s");
}
END_TEST

/* list and show */

START_TEST(list)
{
	KEYSTORE("init", "k", "--no-passphrase");
	DONE("No keys in DIR/k yet: byokfs keystore create DIR/k NAME", "list", "k");
	DONE("{\"keys\": []}", "list", "k", "--json");
	KEYSTORE("create", "k", "b");
	KEYSTORE("create", "k", "a", "--purge-protection");
	KEYSTORE("rotate", "k", "b");
	KEYSTORE("delete", "k", "b");
	KEYSTORE("list", "k");
	times_hide(said.out);
	SAID_IS(CMD_OK,
		"NAME                     STATE         TYPE     VERSION  CHANGED\n"
		"a                        enabled       aes256         1  " THEN "\n"
		"b                        soft-deleted  aes256         2  " THEN "  recoverable until " THEN "\n",
		"");
	KEYSTORE("list", "k", "--json");
	times_hide(said.out);
	SAID_IS(CMD_OK,
		"{\"keys\": [{\"name\": \"a\", \"state\": \"enabled\", \"type\": \"aes256\", \"current_version\": 1, "
		"\"created\": \"" THEN "\", \"changed\": \"" THEN
		"\", \"purge_protected\": true, \"imported\": false}, "
		"{\"name\": \"b\", \"state\": \"soft-deleted\", \"type\": \"aes256\", \"current_version\": 2, "
		"\"created\": \"" THEN "\", \"changed\": \"" THEN
		"\", \"purge_protected\": false, \"imported\": false, "
		"\"deleted\": \"" THEN "\", \"recoverable_until\": \"" THEN "\"}]}\n",
		"");
	KEYSTORE("purge", "k", "b");
	KEYSTORE("list", "k");
	times_hide(said.out);
	ck_assert_ptr_nonnull(
		strstr(said.out, "\nb                        purged        aes256         0  " THEN "\n"));
}
END_TEST

START_TEST(list_damaged)
{
	keystore_make();
	KEYSTORE("create", "k", "b");
	said_put("k/b.key", "not what the keystore wrote", 27);
	KEYSTORE("list", "k");
	times_hide(said.out);
	SAID_IS(CMD_DAMAGED,
		"NAME                     STATE         TYPE     VERSION  CHANGED\n"
		"a                        enabled       aes256         1  " THEN "\n"
		"b  damaged\n",
		"byokfs: 1 key file of DIR/k is not what the keystore wrote: restore from a backup\n");
	said_put("k/a.key", "", 0);
	KEYSTORE("list", "k", "--json");
	SAID_IS(CMD_DAMAGED,
		"{\"keys\": [{\"name\": \"a\", \"state\": \"damaged\"}, {\"name\": \"b\", \"state\": \"damaged\"}]}\n",
		"byokfs: 2 key files of DIR/k are not what the keystore wrote: restore from a backup\n");
	FAILS(CMD_DAMAGED, "key b of keystore DIR/k is damaged or was changed by hand: restore b.key from a backup",
	      "show", "k", "b");
}
END_TEST

START_TEST(show)
{
	keystore_make();
	KEYSTORE("rotate", "k", "a");
	KEYSTORE("show", "k", "a", "--json");
	times_hide(said.out);
	SAID_IS(CMD_OK,
		"{\"name\": \"a\", \"state\": \"enabled\", \"type\": \"aes256\", \"current_version\": 2, \"created\": "
		"\"" THEN "\", \"changed\": \"" THEN "\", \"purge_protected\": false, \"imported\": false, "
		"\"reference\": \"local:DIR/k/a\", \"versions\": [{\"number\": 1, \"bits\": 256, \"created\": \"" THEN
		"\"}, {\"number\": 2, \"bits\": 256, \"created\": \"" THEN "\"}]}\n",
		"");
	KEYSTORE("show", "k", "a");
	times_hide(said.out);
	SAID_IS(CMD_OK,
		"name                           a\n"
		"state                          enabled\n"
		"type                           aes256\n"
		"current version                2\n"
		"created                        " THEN "\n"
		"changed                        " THEN "\n"
		"purge protected                no\n"
		"imported                       no\n"
		"reference                      local:DIR/k/a\n"
		"versions                       \n"
		"    number                     1\n"
		"    bits                       256\n"
		"    created                    " THEN "\n"
		"    number                     2\n"
		"    bits                       256\n"
		"    created                    " THEN "\n",
		"");
	FAILS(CMD_NOT_FOUND, "there is no key zz in keystore DIR/k", "show", "k", "zz");
	/* an RSA key without a version has no length to tell */
	KEYSTORE("create", "k", "r", "--type=rsa2048");
	KEYSTORE("delete", "k", "r");
	KEYSTORE("purge", "k", "r");
	KEYSTORE("show", "k", "r", "--json");
	ck_assert_ptr_nonnull(strstr(said.out, "\"state\": \"purged\", \"type\": \"rsa\", \"current_version\": 0, "));
	ck_assert_ptr_nonnull(strstr(said.out, "\"versions\": []}\n"));
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		commands,
		words,
		options,
		key_names,
		init,
		passphrases,
		no_keystore,
		mode,
		create,
		import,
		import_rsa,
		rotate,
		disable_and_enable,
		delete_and_recover,
		purge,
		purge_protection,
		list,
		list_damaged,
		show,
	};

	return said_main("keystore_cmd", said_scratch, tests, ARRAY_LEN(tests));
}
