/* SPDX-License-Identifier: BSD-2-Clause */
/* The embedded keystore: its files, its acts, its answers as a provider, and the gate on top of it. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "crypto/secret.h"
#include "kms/custody.h"
#include "kms/keystore/seen.h"
#include "kms/gate.h"
#include "kms/keystore/import.h"
#include "kms/keystore/keystore_format.h"
#include "kms/verdict.h"

static char base[PATH_MAX], why[KEYSTORE_WHY_MAX];
static struct keystore *ks;

static void put(const char *path, const void *bytes, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, bytes, len), (ssize_t)len);
	close(fd);
}

static size_t get(const char *path, uint8_t *bytes, size_t max)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	ck_assert_int_ge(fd, 0);
	n = read(fd, bytes, max);
	close(fd);
	ck_assert_int_gt(n, 0);
	return (size_t)n;
}

static void sleep_ms(int ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

	nanosleep(&t, NULL);
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int try_open(const char *path, const char *file)
{
	struct passphrase_source src = {.file = file, .what = path};

	keystore_close(ks);
	ks = NULL;
	return keystore_open(path, &src, &ks, why);
}

static void setup(void)
{
	char template[] = "/tmp/byokfs-keystore-XXXXXX";
	struct keystore_init how = {.path = "k"};

	ck_assert_int_eq(secret_init(), 0);
	unsetenv("CREDENTIALS_DIRECTORY");
	ck_assert_ptr_nonnull(mkdtemp(template));
	ck_assert_ptr_nonnull(realpath(template, base));
	ck_assert_int_eq(chdir(base), 0);
	ck_assert_msg(keystore_create(&how, why) == 0, "%s", why);
	ck_assert_msg(try_open("k", NULL) == 0, "%s", why);
}

static void teardown(void)
{
	char command[PATH_MAX + 16];

	keystore_close(ks);
	ks = NULL;
	ck_assert_uint_eq(secret_in_use(), 0);
	ck_assert_int_eq(chdir("/"), 0);
	snprintf(command, sizeof(command), "rm -rf %s", base);
	ck_assert_int_eq(system(command), 0);
}

static void add(const char *name, enum keystore_type type, uint16_t flags)
{
	struct keystore_new new = {.name = name, .type = type, .bits = 2048, .flags = flags};

	ck_assert_msg(keystore_add(ks, &new, why) == 0, "%s", why);
}

static int state_of(const char *name)
{
	struct keystore_key key;
	int r = keystore_load(ks, name, &key);

	if (r)
		return r;
	keystore_key_wipe(&key);
	return (int)key.state;
}

/* Protection */

START_TEST(test_passphrase)
{
	struct keystore_init how = {.path = "p", .passphrase = "correct horse", .ops = 1, .mem_kib = 8};

	ck_assert_int_eq(keystore_create(&how, why), 0);
	ck_assert_int_eq(keystore_create(&how, why), -ENOTEMPTY);
	put("good", "correct horse\n", 14);
	put("dos", "correct horse\r\n", 15);
	put("bare", "correct horse", 13);
	put("two", "correct horse\n\n", 15);
	put("bad", "correct horsf\n", 14);
	put("empty", "\n", 1);
	put("nul", "correct\0horse\n", 14);
	ck_assert_int_eq(try_open("p", "good"), 0);
	ck_assert_int_eq(try_open("p", "dos"), 0);
	ck_assert_int_eq(try_open("p", "bare"), 0);
	ck_assert_int_eq(try_open("p", "two"), -EKEYREJECTED);
	ck_assert_int_eq(try_open("p", "bad"), -EKEYREJECTED);
	ck_assert_ptr_nonnull(strstr(why, "does not open"));
	ck_assert_int_eq(try_open("p", "empty"), -EINVAL);
	ck_assert_int_eq(try_open("p", "nul"), -EINVAL);
	ck_assert_int_eq(try_open("p", "absent"), -ENOENT);
	ck_assert_int_eq(try_open("p", NULL), -ENOKEY);
	ck_assert_ptr_null(strstr(why, "horse"));
	/* systemd's credentials directory, when no file is named */
	ck_assert_int_eq(mkdir("cred", 0700), 0);
	put("cred/byokfs.passphrase", "correct horse\n", 14);
	setenv("CREDENTIALS_DIRECTORY", "cred", 1);
	ck_assert_int_eq(try_open("p", NULL), 0);
	ck_assert_int_eq(try_open("p", "bad"), -EKEYREJECTED);
}
END_TEST

START_TEST(test_passphrase_long)
{
	char text[700];

	memset(text, 'x', sizeof(text));
	for (size_t n = PASSPHRASE_MAX - 2; n < PASSPHRASE_MAX + 5; n++) {
		struct passphrase_source src = {.file = "long", .what = "k"};
		char *out = NULL;

		put("long", text, n);
		ck_assert_int_eq(passphrase_read(&src, &out, why, sizeof(why)), n > PASSPHRASE_MAX ? -EINVAL : 0);
		if (out)
			ck_assert_uint_eq(strlen(out), n);
		secret_free(out);
	}
	put("long", text, sizeof(text));
	ck_assert_int_eq(try_open("k", "long"), 0); /* needs none, asks for none */
}
END_TEST

START_TEST(test_modes)
{
	struct stat st;

	add("a", KEYSTORE_AES256, 0);
	ck_assert_int_eq(stat("k", &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0700);
	ck_assert_int_eq(stat("k/keystore", &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	ck_assert_int_eq(stat("k/a.key", &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	ck_assert_int_eq(chmod("k", 0750), 0);
	ck_assert_int_eq(state_of("a"), -EPERM);
	ck_assert_int_eq(try_open("k", NULL), -EPERM);
	ck_assert_int_eq(chmod("k", 0700), 0);
	ck_assert_int_eq(try_open("absent", NULL), -ENOENT);
	ck_assert_int_eq(mkdir("empty", 0700), 0);
	ck_assert_int_eq(try_open("empty", NULL), -ENOENT);
	ck_assert_ptr_nonnull(strstr(why, "keystore init"));
}
END_TEST

/* Every byte of the head flipped, every cut: never opens, never crashes. */
START_TEST(test_head_damage)
{
	uint8_t bytes[KEYSTORE_HEAD_LEN + 8] = {0}, copy[KEYSTORE_HEAD_LEN + 8];
	size_t n = get("k/keystore", bytes, sizeof(bytes));

	ck_assert_uint_eq(n, KEYSTORE_HEAD_LEN);
	for (size_t i = 0; i < n; i++) {
		memcpy(copy, bytes, sizeof(copy));
		copy[i] ^= 1;
		put("k/keystore", copy, n);
		ck_assert_msg(try_open("k", NULL) < 0, "byte %zu", i);
	}
	for (size_t i = 0; i <= n + 1; i++) {
		put("k/keystore", bytes, i);
		ck_assert_int_eq(try_open("k", NULL) == 0, i == n);
	}
}
END_TEST

/* The same for a key file: no state, no date, no version can be edited in. */
START_TEST(test_key_damage)
{
	struct keystore_key key;
	uint8_t bytes[4096], copy[4096];
	size_t n;

	add("a", _i ? KEYSTORE_RSA : KEYSTORE_AES256, 0);
	ck_assert_int_eq(keystore_disable(ks, "a", why), 0);
	n = get("k/a.key", bytes, sizeof(bytes));
	for (size_t i = 0; i < n; i++) {
		for (int bit = 1; bit < 256; bit <<= _i ? 4 : 1) {
			memcpy(copy, bytes, n);
			copy[i] ^= (uint8_t)bit;
			put("k/a.key", copy, n);
			ck_assert_int_lt(keystore_load(ks, "a", &key), 0);
		}
	}
	for (size_t i = 0; i < n; i++) {
		put("k/a.key", bytes, i);
		ck_assert_int_eq(keystore_load(ks, "a", &key), -EBADMSG);
	}
	ck_assert_int_eq(keystore_enable(ks, "a", why), -EBADMSG); /* an act never overwrites what it cannot read */
	put("k/a.key", bytes, n);
	ck_assert_int_eq(state_of("a"), KEYSTORE_DISABLED);
}
END_TEST

START_TEST(test_foreign_files)
{
	struct keystore_init how = {.path = "other"};
	uint8_t bytes[4096];
	size_t n;

	add("a", KEYSTORE_AES256, 0);
	add("b", KEYSTORE_AES256, 0);
	n = get("k/a.key", bytes, sizeof(bytes));
	put("k/b.key", bytes, n); /* another key's file under this name */
	ck_assert_int_eq(state_of("b"), -EBADMSG);
	ck_assert_int_eq(keystore_create(&how, why), 0);
	put("other/a.key", bytes, n);
	ck_assert_int_eq(try_open("other", NULL), 0);
	ck_assert_int_eq(state_of("a"), -EBADMSG);
	ck_assert_int_eq(try_open("k", NULL), 0);
	ck_assert_int_eq(unlink("k/b.key"), 0);
	ck_assert_int_eq(mkfifo("k/b.key", 0600), 0);
	ck_assert_int_eq(state_of("b"), -EBADMSG);
	ck_assert_int_eq(unlink("k/b.key"), 0);
	ck_assert_int_eq(symlink("a.key", "k/b.key"), 0);
	ck_assert_int_eq(state_of("b"), -EBADMSG);
	/* Another keystore in the same place */
	ck_assert_int_eq(rename("k", "away"), 0);
	ck_assert_int_eq(state_of("a"), -ENODEV);
	ck_assert_int_eq(mkdir("k", 0700), 0);
	ck_assert_int_eq(state_of("a"), -ENODEV);
	ck_assert_int_eq(rmdir("k"), 0);
	ck_assert_int_eq(rename("other", "k"), 0);
	ck_assert_int_eq(state_of("a"), -ESTALE);
}
END_TEST

/* Acts */

START_TEST(test_life)
{
	struct keystore_new new = {.name = "a", .type = KEYSTORE_AES256};
	struct keystore_key key;

	add("a", KEYSTORE_AES256, 0);
	ck_assert_int_eq(keystore_add(ks, &new, why), -EEXIST);
	ck_assert_int_eq(state_of("a"), KEYSTORE_ENABLED);
	ck_assert_int_eq(keystore_disable(ks, "a", why), 0);
	ck_assert_int_eq(keystore_disable(ks, "a", why), 0);
	ck_assert_int_eq(state_of("a"), KEYSTORE_DISABLED);
	ck_assert_int_eq(keystore_rotate(ks, "a", NULL, 0, why), -EKEYREVOKED);
	ck_assert_int_eq(keystore_purge(ks, "a", why), -EKEYREVOKED);
	ck_assert_int_eq(keystore_recover(ks, "a", why), -EKEYREVOKED);
	ck_assert_int_eq(keystore_delete(ks, "a", 5000, why), -EINVAL);
	ck_assert_int_eq(keystore_delete(ks, "a", 30, why), 0);
	ck_assert_int_eq(keystore_delete(ks, "a", 30, why), -EKEYREVOKED);
	ck_assert_int_eq(keystore_enable(ks, "a", why), -EKEYREVOKED);
	ck_assert_int_eq(keystore_add(ks, &new, why), -EEXIST);
	ck_assert_int_eq(keystore_recover(ks, "a", why), 0);
	ck_assert_int_eq(state_of("a"), KEYSTORE_DISABLED); /* as it was before */
	ck_assert_int_eq(keystore_enable(ks, "a", why), 0);
	ck_assert_int_eq(keystore_delete(ks, "a", 0, why), 0);
	ck_assert_int_eq(keystore_recover(ks, "a", why), -EKEYREVOKED);
	ck_assert_ptr_nonnull(strstr(why, "retention"));
	ck_assert_int_eq(keystore_purge(ks, "a", why), 0);
	ck_assert_int_eq(state_of("a"), KEYSTORE_PURGED);
	ck_assert_int_eq(keystore_purge(ks, "a", why), -EKEYREVOKED);
	ck_assert_int_eq(keystore_recover(ks, "a", why), -EKEYREVOKED);
	/* The name may be used again, the version number not. */
	ck_assert_int_eq(keystore_add(ks, &new, why), 0);
	ck_assert_int_eq(keystore_load(ks, "a", &key), 0);
	ck_assert_uint_eq(key.version[0].number, 2);
	keystore_key_wipe(&key);
	ck_assert_int_eq(keystore_enable(ks, "nope", why), -ENOENT);
	ck_assert_int_eq(keystore_enable(ks, "../a", why), -EINVAL);
	ck_assert_int_eq(keystore_enable(ks, ".a", why), -EINVAL);
}
END_TEST

START_TEST(test_purge_protection)
{
	add("a", KEYSTORE_AES256, KEYSTORE_PURGE_PROTECTED);
	ck_assert_int_eq(keystore_delete(ks, "a", 1, why), -EKEYREVOKED);
	ck_assert_int_eq(keystore_delete(ks, "a", 7, why), 0);
	ck_assert_int_eq(keystore_purge(ks, "a", why), -EKEYREVOKED);
	ck_assert_int_eq(state_of("a"), KEYSTORE_DELETED);
	ck_assert_int_eq(keystore_recover(ks, "a", why), 0);
}
END_TEST

START_TEST(test_versions_end)
{
	struct keystore_key key;

	add("a", KEYSTORE_AES256, 0);
	for (unsigned i = 1; i < KEYSTORE_VERSIONS_MAX; i++)
		ck_assert_int_eq(keystore_rotate(ks, "a", NULL, 0, why), 0);
	ck_assert_int_eq(keystore_rotate(ks, "a", NULL, 0, why), -ENOSPC);
	ck_assert_int_eq(keystore_load(ks, "a", &key), 0);
	ck_assert_uint_eq(key.n_versions, KEYSTORE_VERSIONS_MAX);
	keystore_key_wipe(&key);
}
END_TEST

static void *rotate_many(void *arg)
{
	char text[KEYSTORE_WHY_MAX];

	(void)arg;
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(keystore_rotate(ks, "a", NULL, 0, text), 0);
	return NULL;
}

static void *read_many(void *arg)
{
	(void)arg;
	for (int i = 0; i < 200; i++)
		ck_assert_int_eq(state_of("a"), KEYSTORE_ENABLED);
	return NULL;
}

/* Writers wait for one another, readers never see half a file. */
START_TEST(test_writers)
{
	struct keystore_key key;
	pthread_t t[6];

	add("a", KEYSTORE_AES256, 0);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, i < 4 ? rotate_many : read_many, NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		pthread_join(t[i], NULL);
	ck_assert_int_eq(keystore_load(ks, "a", &key), 0);
	ck_assert_uint_eq(key.n_versions, 41);
	keystore_key_wipe(&key);
}
END_TEST

static void count(void *arg, const struct keystore_key *key, int r)
{
	int *n = arg;

	n[r ? 1 : 0]++;
	ck_assert(key->name[0]);
}

START_TEST(test_list)
{
	int n[2] = {0, 0};

	add("b", KEYSTORE_AES256, 0);
	add("a", KEYSTORE_AES256, 0);
	put("k/junk.key", "junk", 4);
	put("k/.b.key.tmp", "left by a crash", 15);
	put("k/readme", "x", 1);
	ck_assert_int_eq(keystore_list(ks, count, n, why), 0);
	ck_assert_int_eq(n[0], 2);
	ck_assert_int_eq(n[1], 1);
	ck_assert_int_eq(keystore_rotate(ks, "b", NULL, 0, why), 0);
}
END_TEST

START_TEST(test_import)
{
	AUTO(rsa_der_free) struct rsa_der key = {0};
	struct keystore_new new = {.name = "raw"};
	uint8_t raw[40] = {1, 2, 3};

	put("raw", raw, 32);
	ck_assert_int_eq(import_read("raw", &new.type, &key, why), 0);
	ck_assert_int_eq(new.type, KEYSTORE_AES256);
	new.material = key.bytes;
	new.material_len = key.len;
	ck_assert_int_eq(keystore_add(ks, &new, why), 0);
	rsa_der_free(&key);
	for (size_t n = 0; n < 40; n += n == 31 ? 2 : 1) {
		put("raw", raw, n);
		ck_assert_int_eq(import_read("raw", &new.type, &key, why), -EINVAL);
	}
	put("raw", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", 59);
	ck_assert_int_eq(import_read("raw", &new.type, &key, why), -EINVAL);
	ck_assert_int_eq(system("openssl genrsa -out p.pem 3072 2>/dev/null && openssl ecparam -name prime256v1 "
				"-genkey -out e.pem "
				"2>/dev/null && openssl genrsa -out s.pem 1024 2>/dev/null && openssl genrsa -aes128 "
				"-passout pass:abcd "
				"-out c.pem 2048 2>/dev/null"),
			 0);
	ck_assert_int_eq(import_read("e.pem", &new.type, &key, why), -EINVAL);
	ck_assert_int_eq(import_read("s.pem", &new.type, &key, why), -ERANGE);
	ck_assert_int_eq(import_read("c.pem", &new.type, &key, why), -EKEYREJECTED);
	ck_assert_int_eq(import_read("absent", &new.type, &key, why), -ENOENT);
	ck_assert_int_eq(import_read("p.pem", &new.type, &key, why), 0);
	ck_assert_uint_eq(key.bits, 3072);
	new.name = "rsa";
	new.material = key.bytes;
	new.material_len = key.len;
	ck_assert_int_eq(keystore_add(ks, &new, why), 0);
	/* A wrong kind of material is refused, and the key stays as it was. */
	ck_assert_int_eq(keystore_rotate(ks, "raw", key.bytes, key.len, why), -EINVAL);
	ck_assert_int_eq(keystore_rotate(ks, "rsa", raw, 32, why), -EINVAL);
	ck_assert_int_eq(keystore_rotate(ks, "rsa", key.bytes, key.len, why), 0);
}
END_TEST

/* Older is what has fewer changes; among files from before they were counted, the clock decides. */
START_TEST(test_seen)
{
	const struct seen order[] = {{0, 5}, {0, 9}, {1, 3}, {2, 1}, {2, 2}, {UINT64_MAX, 0}};
	uint8_t record[SEEN_LEN];
	struct seen got;

	for (size_t i = 0; i < ARRAY_LEN(order); i++)
		for (size_t j = 0; j < ARRAY_LEN(order); j++)
			ck_assert_int_eq(seen_older(&order[i], &order[j]), i < j);
	seen_write(&order[3], record);
	ck_assert_int_eq(seen_parse(record, sizeof(record), &got), 0);
	ck_assert(got.change == 2 && got.changed == 1);
	ck_assert_int_eq(seen_parse(record, sizeof(record) - 1, &got), -EUCLEAN);
	for (size_t i = 0; i < 8 * sizeof(record); i++) {
		record[i / 8] ^= (uint8_t)(1 << i % 8);
		ck_assert_int_eq(seen_parse(record, sizeof(record), &got), -EUCLEAN);
		record[i / 8] ^= (uint8_t)(1 << i % 8);
	}
}
END_TEST

/* A copy that is put back: known within the handle, and with a memory by every other one. */
START_TEST(test_older_copy)
{
	static struct keystore_key key;

	ck_assert_int_eq(mkdir("memory", 0700), 0);
	ck_assert_int_eq(keystore_remember(ks, "memory"), 0);
	add("a", KEYSTORE_AES256, 0);
	ck_assert_int_eq(system("cp -p k/a.key old"), 0);
	ck_assert_int_eq(keystore_disable(ks, "a", why), 0);
	ck_assert_int_eq(keystore_load(ks, "a", &key), 0);
	ck_assert_uint_eq(key.change, 2);
	keystore_key_wipe(&key);
	ck_assert_int_eq(system("cp -p old k/a.key"), 0);
	ck_assert_int_eq(keystore_load(ks, "a", &key), -EKEYEXPIRED);
	ck_assert_int_eq(keystore_enable(ks, "a", why), -EKEYEXPIRED);
	ck_assert_ptr_nonnull(strstr(why, "accept"));
	/* The folder lost: this handle still knows. */
	ck_assert_int_eq(system("mv memory away"), 0);
	ck_assert_int_eq(keystore_load(ks, "a", &key), -EKEYEXPIRED);
	ck_assert_int_eq(system("mv away memory"), 0);
	ck_assert_int_eq(chmod("memory", 0777), 0); /* anybody may have written it: it says nothing */
	ck_assert_int_eq(keystore_load(ks, "a", &key), -EPERM);
	ck_assert_int_eq(chmod("memory", 0700), 0);
	ck_assert_int_eq(keystore_accept(ks, "a", why), 0);
	ck_assert_int_eq(keystore_load(ks, "a", &key), 0);
	ck_assert(key.state == KEYSTORE_ENABLED && key.change == 3);
	keystore_key_wipe(&key);
}
END_TEST

/* The provider */

static struct kms *kms;
static struct kms_purpose purpose = {.use = KMS_USE_KEYRING};

static void provider_open(const char *name)
{
	static char ref[KMS_REF_MAX + 1];
	struct kms_config cfg = {.ref = ref, .timeout_ms = 1000};
	struct kms_verdict v;

	snprintf(ref, sizeof(ref), "local:%.900s/k/%s", base, name);
	ck_assert_msg(kms_open(&cfg, &kms, &v) == 0, "%s", v.text);
}

static void wrap(struct kms_wrapped *w)
{
	uint8_t plain[PAYLOAD_LEN];
	struct kms_verdict v;

	memset(plain, 7, sizeof(plain));
	ck_assert_msg(kms_wrap(kms, &purpose, plain, w, &v) == 0, "%s", v.text);
	ck_assert_int_eq(v.class, KMS_OK);
}

static void unwraps(const struct kms_wrapped *w, enum kms_class class, const char *code)
{
	uint8_t plain[PAYLOAD_LEN] = {0}, wanted[PAYLOAD_LEN];
	struct kms_verdict v;
	int r = kms_unwrap(kms, &purpose, w, plain, &v);

	ck_assert_msg(v.class == class, "class %d, wanted %d: %s", v.class, class, v.text);
	ck_assert_int_eq(r, kms_class_errno(class));
	memset(wanted, class == KMS_OK ? 7 : 0, sizeof(wanted));
	ck_assert_mem_eq(plain, wanted, sizeof(wanted));
	if (class != KMS_OK) {
		ck_assert_str_eq(v.code, code);
		ck_assert(v.text[0]);
	}
}

START_TEST(test_wrap)
{
	static struct kms_wrapped w, old;

	add("a", _i ? KEYSTORE_RSA : KEYSTORE_AES256, 0);
	provider_open("a");
	wrap(&w);
	ck_assert_uint_eq(w.algorithm, _i ? KMS_ALG_RSA_OAEP_SHA256 : KMS_ALG_LOCAL_AES256GCM);
	ck_assert_uint_eq(w.len, _i ? 256 : 100);
	ck_assert_str_eq(w.version, "1");
	unwraps(&w, KMS_OK, "");
	old = w;
	ck_assert_int_eq(keystore_rotate(ks, "a", NULL, 0, why), 0);
	unwraps(&old, KMS_OK, "");
	wrap(&w);
	ck_assert_str_eq(w.version, "2");
	unwraps(&w, KMS_OK, "");
	/* A wrap under the wrong version, cut, flipped, of the wrong kind */
	snprintf(w.version, sizeof(w.version), "1");
	unwraps(&w, KMS_CORRUPT, "corrupt");
	snprintf(w.version, sizeof(w.version), "x");
	unwraps(&w, KMS_CORRUPT, "corrupt");
	snprintf(w.version, sizeof(w.version), "99");
	unwraps(&w, KMS_REVOKED, "version-gone");
	w = old;
	for (size_t i = 0; i < w.len; i += _i ? 37 : 1) {
		w.data[i] ^= 1;
		unwraps(&w, KMS_CORRUPT, "corrupt");
		w.data[i] ^= 1;
		size_t len = w.len;
		w.len = i;
		unwraps(&w, KMS_CORRUPT, "corrupt");
		w.len = len;
	}
	w.algorithm = KMS_ALG_PROVIDER;
	unwraps(&w, KMS_CORRUPT, "corrupt");
	w = old;
	if (!_i) { /* bound to store and purpose */
		purpose.store_id[0] ^= 1;
		unwraps(&w, KMS_CORRUPT, "corrupt");
		purpose.store_id[0] ^= 1;
		purpose.use = KMS_USE_FILE;
		unwraps(&w, KMS_CORRUPT, "corrupt");
		purpose.use = KMS_USE_KEYRING;
	}
	unwraps(&w, KMS_OK, "");
	kms_close(kms);
}
END_TEST

/* The table of PROVIDERS.md, row by row. */
START_TEST(test_answers)
{
	static struct kms_wrapped w;
	struct kms_key_info info;
	struct kms_verdict v;

	add("a", KEYSTORE_AES256, KEYSTORE_PURGE_PROTECTED);
	provider_open("a");
	wrap(&w);
	ck_assert_int_eq(keystore_disable(ks, "a", why), 0);
	unwraps(&w, KMS_REVOKED, "disabled");
	ck_assert_int_eq(kms_provider_of(kms)->info(kms, &purpose, "", &info, &v), 0);
	ck_assert_str_eq(info.state, "disabled");
	ck_assert_str_eq(info.version, "1");
	ck_assert_int_eq(info.purge_protected, 1);
	ck_assert_int_eq(keystore_enable(ks, "a", why), 0);
	unwraps(&w, KMS_OK, "");
	ck_assert_int_eq(keystore_delete(ks, "a", 30, why), 0);
	unwraps(&w, KMS_REVOKED, "soft-deleted");
	ck_assert_int_eq(keystore_recover(ks, "a", why), 0);
	unwraps(&w, KMS_OK, "");
	ck_assert_int_eq(rename("k/a.key", "a.key"), 0);
	unwraps(&w, KMS_REVOKED, "deleted");
	put("k/a.key", "junk", 4);
	unwraps(&w, KMS_MISCONFIGURED, "damaged");
	ck_assert_int_eq(rename("a.key", "k/a.key"), 0);
	unwraps(&w, KMS_OK, "");
	ck_assert_int_eq(chmod("k", 0755), 0);
	unwraps(&w, KMS_MISCONFIGURED, "mode");
	ck_assert_int_eq(chmod("k", 0700), 0);
	ck_assert_int_eq(rename("k", "gone"), 0);
	unwraps(&w, KMS_TRANSIENT, "unreachable");
	ck_assert_int_eq(mkdir("k", 0700), 0);
	unwraps(&w, KMS_TRANSIENT, "unreachable");
	ck_assert_int_eq(rmdir("k"), 0);
	struct keystore_init how = {.path = "k"};
	ck_assert_int_eq(keystore_create(&how, why), 0);
	unwraps(&w, KMS_MISCONFIGURED, "another-keystore");
	ck_assert_int_eq(system("rm -r k"), 0);
	ck_assert_int_eq(rename("gone", "k"), 0);
	unwraps(&w, KMS_OK, "");
	kms_close(kms);
	provider_open("nope"); /* a fresh handle: there is a wrap, so there was a key */
	unwraps(&w, KMS_REVOKED, "deleted");
	struct kms_wrapped none;
	ck_assert_int_ne(kms_wrap(kms, &purpose, (uint8_t[PAYLOAD_LEN]){7}, &none, &v), 0);
	ck_assert(v.class == KMS_MISCONFIGURED && strcmp(v.code, "no-such-key") == 0);
	kms_close(kms);
	add("b", KEYSTORE_AES256, 0);
	provider_open("b");
	unwraps(&w, KMS_CORRUPT, "corrupt"); /* a's wrap, b's key */
	snprintf(w.version, sizeof(w.version), "5");
	unwraps(&w, KMS_REVOKED, "version-gone");
	ck_assert_int_eq(keystore_delete(ks, "b", 30, why), 0);
	ck_assert_int_eq(keystore_purge(ks, "b", why), 0);
	unwraps(&w, KMS_REVOKED, "purged");
	/* Made again under its name: the old wrap is not the new key's. */
	add("b", KEYSTORE_AES256, 0);
	snprintf(w.version, sizeof(w.version), "1");
	unwraps(&w, KMS_REVOKED, "version-gone");
	kms_close(kms);
}
END_TEST

START_TEST(test_open_errors)
{
	struct keystore_init how = {.path = "p", .passphrase = "x", .ops = 1, .mem_kib = 8};
	char ref[KMS_REF_MAX + 1];
	struct kms_config cfg = {.ref = ref, .timeout_ms = 1000};
	struct kms_verdict v;

	snprintf(ref, sizeof(ref), "local:%.900s/absent/a", base);
	ck_assert_int_eq(kms_open(&cfg, &kms, &v), -EINVAL);
	ck_assert_str_eq(v.code, "no-keystore");
	ck_assert_int_eq(keystore_create(&how, why), 0);
	snprintf(ref, sizeof(ref), "local:%.900s/p/a", base);
	ck_assert_int_eq(kms_open(&cfg, &kms, &v), -EACCES);
	ck_assert_int_eq(v.class, KMS_AUTH);
	put("pw", "y\n", 2);
	cfg.passphrase_file = "pw";
	ck_assert_int_eq(kms_open(&cfg, &kms, &v), -EACCES);
	put("pw", "x\n", 2);
	ck_assert_int_eq(kms_open(&cfg, &kms, &v), 0);
	kms_close(kms);
}
END_TEST

/* The gate on a keystore */

#define SOON_MS 5000 /* on a slow machine too, and far from the poll, which is a minute */

static int64_t await(struct gate *g, enum gate_state state, int ms)
{
	int64_t from = now_ms();

	while (now_ms() - from < ms) {
		if (gate_state(g) == state)
			return now_ms() - from;
		sleep_ms(1);
	}
	return -1;
}

static struct keyring *keyring_make(struct kms **kek)
{
	struct keyring *k = calloc(1, sizeof(*k));
	struct kms_verdict v;

	k->layout = (struct layout){.header_len = HEADER_LEN_STORE, .block_len = 4096, .suite = SUITE_2};
	k->wrap_type = WRAP_STORE;
	k->name_mode = NAMES_SIV;
	k->policy = POLICY_ALL;
	k->n_slots = 1;
	k->slot = calloc(1, sizeof(*k->slot));
	k->slot[0].number = 1;
	snprintf(k->slot[0].ref, sizeof(k->slot[0].ref), "%s", kms_ref(kek[0]));
	ck_assert_msg(custody_create(k, kek, &v) == 0, "%s", v.text);
	return k;
}

/* A change is noticed at once, though the poll is a minute away. */
START_TEST(test_gate_watches)
{
	struct gate_config cfg = {.kek = &kms, .poll_ms = 60000, .lease_ms = 120000};
	struct gate_status s;
	struct keyring *keyring;
	struct gate *g;
	char text[320];

	add("a", KEYSTORE_AES256, 0);
	provider_open("a");
	cfg.keyring = keyring = keyring_make(&kms);
	ck_assert_int_eq(gate_new(&cfg, &g), 0);
	ck_assert_int_eq(gate_open(g, text), 0);
	ck_assert_int_eq(gate_start(g, NULL), 0);
	for (int turn = 0; turn < 5; turn++) {
		ck_assert_int_eq(keystore_disable(ks, "a", why), 0);
		ck_assert_int_ge(await(g, GATE_LOCKED, SOON_MS), 0);
		gate_status(g, &s);
		ck_assert_int_eq(s.cause, GATE_CAUSE_REVOKED);
		ck_assert_ptr_nonnull(strstr(s.reason, "is disabled"));
		ck_assert_uint_eq(secret_in_use(), 2); /* the keystore's own key: the provider's, and this test's */
		ck_assert_int_eq(keystore_enable(ks, "a", why), 0);
		ck_assert_int_ge(await(g, GATE_ACTIVE, SOON_MS), 0);
	}
	ck_assert_int_eq(keystore_rotate(ks, "a", NULL, 0, why), 0);
	sleep_ms(100);
	ck_assert_int_eq(gate_state(g), GATE_ACTIVE);
	ck_assert_int_eq(rename("k/a.key", "a.key"), 0);
	ck_assert_int_ge(await(g, GATE_LOCKED, SOON_MS), 0);
	ck_assert_int_eq(rename("a.key", "k/a.key"), 0);
	ck_assert_int_ge(await(g, GATE_ACTIVE, SOON_MS), 0);
	/* The key made again under its name, with the same version number: another key. */
	ck_assert_int_eq(system("cp k/a.key keep && rm k/a.key"), 0);
	ck_assert_int_ge(await(g, GATE_LOCKED, SOON_MS), 0);
	add("a", KEYSTORE_AES256, 0);
	sleep_ms(150);
	gate_status(g, &s);
	ck_assert_int_eq(s.state, GATE_LOCKED);
	ck_assert_int_eq(system("cp keep k/a.tmp && mv k/a.tmp k/a.key"), 0);
	sleep_ms(150);
	gate_status(g, &s);
	ck_assert_int_eq(s.state, GATE_LOCKED); /* an older copy, until somebody says that it is meant */
	ck_assert_ptr_nonnull(strstr(s.reason, "older copy"));
	ck_assert_int_eq(keystore_accept(ks, "a", why), 0);
	ck_assert_int_ge(await(g, GATE_ACTIVE, SOON_MS), 0);
	gate_close(g);
	keyring_free(keyring);
}
END_TEST

/* The medium is taken out and comes back: an outage, not a refusal; then watched again. */
START_TEST(test_gate_medium)
{
	struct gate_config cfg = {.kek = &kms, .poll_ms = 50, .lease_ms = 300};
	struct gate_status s;
	struct keyring *keyring;
	struct gate *g;
	char text[320];

	add("a", KEYSTORE_AES256, 0);
	provider_open("a");
	cfg.keyring = keyring = keyring_make(&kms);
	ck_assert_int_eq(gate_new(&cfg, &g), 0);
	ck_assert_int_eq(gate_open(g, text), 0);
	ck_assert_int_eq(gate_start(g, NULL), 0);
	for (int turn = 0; turn < 2; turn++) {
		ck_assert_int_eq(rename("k", "out"), 0);
		ck_assert_int_ge(await(g, GATE_LOCKED, 2000), 100);
		gate_status(g, &s);
		ck_assert_int_eq(s.cause, GATE_CAUSE_OUTAGE);
		ck_assert_int_eq(rename("out", "k"), 0);
		ck_assert_int_ge(await(g, GATE_ACTIVE, 2000), 0);
	}
	gate_close(g);
	keyring_free(keyring);
}
END_TEST

static Suite *keystore_suite(void)
{
	Suite *s = suite_create("keystore");
	TCase *t = tcase_create("keystore");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_passphrase);
	tcase_add_test(t, test_passphrase_long);
	tcase_add_test(t, test_modes);
	tcase_add_test(t, test_head_damage);
	tcase_add_loop_test(t, test_key_damage, 0, 2);
	tcase_add_test(t, test_foreign_files);
	tcase_add_test(t, test_life);
	tcase_add_test(t, test_purge_protection);
	tcase_add_test(t, test_versions_end);
	tcase_add_test(t, test_writers);
	tcase_add_test(t, test_list);
	tcase_add_test(t, test_import);
	tcase_add_test(t, test_seen);
	tcase_add_test(t, test_older_copy);
	tcase_add_loop_test(t, test_wrap, 0, 2);
	tcase_add_test(t, test_answers);
	tcase_add_test(t, test_open_errors);
	tcase_add_test(t, test_gate_watches);
	tcase_add_test(t, test_gate_medium);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	SRunner *r = srunner_create(keystore_suite());
	int failed;

	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
