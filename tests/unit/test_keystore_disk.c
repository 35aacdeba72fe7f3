/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The keystore on a disk that fails, and in a directory where somebody planted things. The calls of kms/ and of this test
 * go through those below (--wrap, see tests/meson.build).
 */
#include "kms/keystore/keystore.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/secret.h"

/* Faults */

enum step { NONE, OPENAT, PREAD, WRITE, FSYNC, CLOSE, RENAMEAT, FLOCK };

/* The STEP after SKIP others fails with ERR. Reads and writes move at most PIECE bytes, and are INTERRUPTED so often. */
static struct {
	enum step step;
	int skip, err;
	size_t piece;
	int interrupted;
	unsigned struck;
	bool cut; /* reads find the end at once */
} disk;

int __real_close(int fd);
int __real_flock(int fd, int how);
int __real_fsync(int fd);
int __real_openat64(int dir, const char *path, int flags, mode_t mode);
ssize_t __real_pread64(int fd, void *buf, size_t len, off_t off);
int __real_renameat(int from_dir, const char *from, int to_dir, const char *to);
ssize_t __real_write(int fd, const void *buf, size_t len);
int __wrap_close(int fd);
int __wrap_flock(int fd, int how);
int __wrap_fsync(int fd);
int __wrap_openat64(int dir, const char *path, int flags, mode_t mode);
ssize_t __wrap_pread64(int fd, void *buf, size_t len, off_t off);
int __wrap_renameat(int from_dir, const char *from, int to_dir, const char *to);
ssize_t __wrap_write(int fd, const void *buf, size_t len);

static bool strikes(enum step step)
{
	if (disk.step != step || disk.skip-- > 0)
		return false;
	disk.step = NONE;
	disk.struck++;
	errno = disk.err;
	return true;
}

static bool interrupts(void)
{
	if (disk.interrupted <= 0)
		return false;
	disk.interrupted--;
	disk.struck++;
	errno = EINTR;
	return true;
}

int __wrap_close(int fd)
{
	int r = __real_close(fd); /* as Linux does: closed, whatever it says */

	return strikes(CLOSE) ? -1 : r;
}

int __wrap_flock(int fd, int how)
{
	return strikes(FLOCK) ? -1 : __real_flock(fd, how);
}

int __wrap_fsync(int fd)
{
	return strikes(FSYNC) ? -1 : __real_fsync(fd);
}

int __wrap_openat64(int dir, const char *path, int flags, mode_t mode)
{
	return strikes(OPENAT) ? -1 : __real_openat64(dir, path, flags, mode);
}

ssize_t __wrap_pread64(int fd, void *buf, size_t len, off_t off)
{
	if (strikes(PREAD) || interrupts())
		return -1;
	if (disk.cut)
		return 0;
	return __real_pread64(fd, buf, disk.piece && disk.piece < len ? disk.piece : len, off);
}

int __wrap_renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	return strikes(RENAMEAT) ? -1 : __real_renameat(from_dir, from, to_dir, to);
}

ssize_t __wrap_write(int fd, const void *buf, size_t len)
{
	if (strikes(WRITE) || interrupts())
		return -1;
	return __real_write(fd, buf, disk.piece && disk.piece < len ? disk.piece : len);
}

static void disk_heals(void)
{
	memset(&disk, 0, sizeof(disk));
}

static void disk_fails(enum step step, int skip, int err)
{
	disk_heals();
	disk.step = step;
	disk.skip = skip;
	disk.err = err;
}

/* A keystore `k` with the key `a` */

static char base[PATH_MAX], why[KEYSTORE_WHY_MAX];
static struct keystore *ks;
static const struct passphrase_source no_passphrase = {.what = "k"};

static void setup(void)
{
	char template[] = "/tmp/byokfs-disk-XXXXXX";
	struct keystore_init how = {.path = "k"};
	struct keystore_new new = {.name = "a", .type = KEYSTORE_AES256};

	disk_heals();
	ck_assert_int_eq(secret_init(), 0);
	ck_assert_ptr_nonnull(mkdtemp(template));
	ck_assert_ptr_nonnull(realpath(template, base));
	ck_assert_int_eq(chdir(base), 0);
	ck_assert_msg(keystore_create(&how, why) == 0, "%s", why);
	ck_assert_msg(keystore_open("k", &no_passphrase, &ks, why) == 0, "%s", why);
	ck_assert_msg(keystore_add(ks, &new, why) == 0, "%s", why);
}

static void teardown(void)
{
	char command[PATH_MAX + 16];

	disk_heals();
	keystore_close(ks);
	ck_assert_uint_eq(secret_in_use(), 0);
	ck_assert_int_eq(chdir("/"), 0);
	snprintf(command, sizeof(command), "rm -rf %s", base);
	ck_assert_int_eq(system(command), 0);
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

static int again_open(void)
{
	struct keystore *second = NULL;
	int r = keystore_open("k", &no_passphrase, &second, why);

	keystore_close(second);
	return r;
}

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs(text, f), 0);
	ck_assert_int_eq(fclose(f), 0);
}

static unsigned mode_of(const char *path)
{
	struct stat st;

	ck_assert_int_eq(lstat(path, &st), 0);
	return st.st_mode & 07777;
}

/* Writing */

/* What an act does in turn: the head is read, the lock taken, the old key read, the new one written. Each may fail. */
static const struct {
	enum step step;
	int skip, err;
	const char *says;
} failures[] = {
	{OPENAT, 0, EIO, "keystore /"}, /* the head */
	{OPENAT, 1, EROFS, "cannot lock the keystore"},
	{FLOCK, 0, ENOLCK, "cannot lock the keystore"},
	{OPENAT, 2, EIO, "cannot read key a"}, /* the old key */
	{PREAD, 0, EIO, "keystore /"},
	{PREAD, 1, EIO, "cannot read key a"},
	{OPENAT, 3, ENOSPC, "/k: No space"}, /* the new file */
	{WRITE, 0, ENOSPC, "/k: No space"},
	{WRITE, 0, EIO, "/k: Input/output"},
	{FSYNC, 0, EIO, "/k: Input/output"},
	{CLOSE, 2, EDQUOT, "/k: Disk quota"}, /* after the head's and the old key's */
	{RENAMEAT, 0, EIO, "/k: Input/output"},
};

START_TEST(write_fails)
{
	disk_fails(failures[_i].step, failures[_i].skip, failures[_i].err);
	ck_assert_int_eq(keystore_disable(ks, "a", why), -failures[_i].err);
	ck_assert_uint_eq(disk.struck, 1);
	ck_assert_msg(strstr(why, failures[_i].says) != NULL, "%s: no '%s'", why, failures[_i].says);
	disk_heals();
	ck_assert_int_eq(state_of("a"), KEYSTORE_ENABLED);
	ck_assert_int_eq(access("k/.a.key.tmp", F_OK), -1);
	ck_assert_int_eq(keystore_disable(ks, "a", why), 0); /* no lock is left behind */
	ck_assert_int_eq(state_of("a"), KEYSTORE_DISABLED);
}
END_TEST

/* The new file is in its place, but may not survive a loss of power: an error, and nobody says that nothing changed. */
START_TEST(directory_not_durable)
{
	disk_fails(FSYNC, 1, EIO);
	ck_assert_int_eq(keystore_disable(ks, "a", why), -EIO);
	ck_assert_uint_eq(disk.struck, 1);
	ck_assert_int_eq(state_of("a"), KEYSTORE_DISABLED);
	ck_assert_ptr_null(strstr(why, "unchanged"));
	ck_assert_ptr_nonnull(strstr(why, "cannot write key a of keystore"));
}
END_TEST

/* Bytes that come and go in pieces, and signals in between */
START_TEST(pieces)
{
	disk_heals();
	disk.piece = 7;
	disk.interrupted = 5;
	ck_assert_msg(keystore_rotate(ks, "a", NULL, 0, why) == 0, "%s", why);
	ck_assert_int_eq(disk.interrupted, 0);
	ck_assert_uint_eq(disk.struck, 5);
	disk.interrupted = 3;
	ck_assert_int_eq(state_of("a"), KEYSTORE_ENABLED);
	ck_assert_int_eq(disk.interrupted, 0);
	/* Only while writing */
	disk_heals();
	disk_fails(WRITE, 0, EINTR);
	ck_assert_int_eq(keystore_disable(ks, "a", why), 0);
	ck_assert_uint_eq(disk.struck, 1);
	ck_assert_int_eq(state_of("a"), KEYSTORE_DISABLED);
}
END_TEST

START_TEST(create_fails)
{
	static const struct {
		enum step step;
		int skip;
	} steps[] = {{OPENAT, 0}, {WRITE, 0}, {FSYNC, 0}, {FSYNC, 1}, {RENAMEAT, 0}};
	struct keystore_init how = {.path = "new"};

	disk_fails(steps[_i].step, steps[_i].skip, EIO);
	ck_assert_int_eq(keystore_create(&how, why), -EIO);
	ck_assert_uint_eq(disk.struck, 1);
	ck_assert_ptr_nonnull(strstr(why, "cannot write new/keystore: Input/output error"));
	ck_assert_int_eq(access("new/.keystore.tmp", F_OK), -1);
	/* Nothing but a whole keystore is left, or none. */
	disk_heals();
	ck_assert_int_eq(keystore_create(&how, why), steps[_i].skip ? -ENOTEMPTY : 0);
}
END_TEST

/* Reading */

/* What the disk says is said on, never taken for a key that was tampered with. */
START_TEST(read_fails)
{
	static const int errors[] = {EIO, EACCES, EMFILE, ENOMEM, ESTALE};

	for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
		for (int skip = 0; skip < 2; skip++) { /* the head, the key */
			disk_fails(OPENAT, skip, errors[i]);
			ck_assert_int_eq(state_of("a"), -errors[i]);
			disk_fails(PREAD, skip, errors[i]);
			ck_assert_int_eq(state_of("a"), -errors[i]);
			ck_assert_uint_eq(disk.struck, 1);
		}
	}
	disk_heals();
	ck_assert_int_eq(state_of("a"), KEYSTORE_ENABLED);
	/* A file that was cut between its length and its bytes is not whole. */
	disk.cut = true;
	ck_assert_int_eq(state_of("a"), -EUCLEAN);
}
END_TEST

START_TEST(open_fails)
{
	disk_fails(OPENAT, 0, EIO);
	ck_assert_int_eq(again_open(), -EIO);
	ck_assert_ptr_nonnull(strstr(why, "/k/keystore: Input/output error"));
	disk_fails(PREAD, 0, EACCES);
	ck_assert_int_eq(again_open(), -EACCES);
	disk_heals();
	ck_assert_int_eq(again_open(), 0);
}
END_TEST

struct listed {
	int n, r[8];
	char name[8][KEYSTORE_NAME_MAX + 1];
};

static void list_one(void *arg, const struct keystore_key *key, int r)
{
	struct listed *l = arg;

	ck_assert_int_lt(l->n, 8);
	l->r[l->n] = r;
	memcpy(l->name[l->n++], key->name, sizeof(key->name));
}

/* One key that cannot be read does not hide the others. */
START_TEST(list_goes_on)
{
	static const char *const names[] = {"a", "b", "c"};
	struct keystore_new new = {.name = "b", .type = KEYSTORE_AES256};
	struct listed l = {0};

	ck_assert_int_eq(keystore_add(ks, &new, why), 0);
	new.name = "c";
	ck_assert_int_eq(keystore_add(ks, &new, why), 0);
	disk_fails(OPENAT, 2, EIO); /* head, a, b */
	ck_assert_int_eq(keystore_list(ks, list_one, &l, why), 0);
	ck_assert_int_eq(l.n, 3);
	for (int i = 0; i < 3; i++) {
		ck_assert_str_eq(l.name[i], names[i]);
		ck_assert_int_eq(l.r[i], i == 1 ? -EIO : 0);
	}
	/* Names that no act takes are told, not passed over; others are none of ours. */
	put("k/a b.key", "x");
	put("k/.hidden.key", "x");
	put("k/.key", "x");
	put("k/key", "x");
	memset(&l, 0, sizeof(l));
	ck_assert_int_eq(keystore_list(ks, list_one, &l, why), 0);
	ck_assert_int_eq(l.n, 4);
	ck_assert_str_eq(l.name[0], "a b");
	ck_assert_int_eq(l.r[0], -EINVAL);
	ck_assert_int_eq(rename("k", "away"), 0);
	ck_assert_int_eq(keystore_list(ks, list_one, &l, why), -ENODEV);
	ck_assert_ptr_nonnull(strstr(why, "/k: No such device"));
	ck_assert_int_eq(l.n, 4);
}
END_TEST

/* Planted things */

enum plant { A_LINK, A_DANGLING_LINK, A_FIFO, A_FOLDER, AN_EMPTY_FILE, A_HUGE_FILE, PLANTS };

static void plant(enum plant what, const char *path)
{
	switch (what) {
	case A_LINK:
		put("elsewhere", "another's file");
		ck_assert_int_eq(symlink("../elsewhere", path), 0);
		break;
	case A_DANGLING_LINK:
		ck_assert_int_eq(symlink("../nowhere", path), 0);
		break;
	case A_FIFO:
		ck_assert_int_eq(mkfifo(path, 0600), 0);
		break;
	case A_FOLDER:
		ck_assert_int_eq(mkdir(path, 0700), 0);
		break;
	case AN_EMPTY_FILE:
		put(path, "");
		break;
	default:
		put(path, "");
		ck_assert_int_eq(truncate(path, (1 << 20) + 1), 0);
	}
}

/* In the place of a key: not read, not followed, not overwritten, and nobody hangs. */
START_TEST(planted_key)
{
	struct keystore_new new = {.name = "b", .type = KEYSTORE_AES256};

	plant((enum plant)_i, "k/b.key");
	ck_assert_int_eq(state_of("b"), -EBADMSG);
	ck_assert_int_eq(keystore_add(ks, &new, why), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(why, "b.key from a backup"));
	ck_assert_int_eq(keystore_disable(ks, "b", why), -EBADMSG);
	ck_assert_int_eq(access("nowhere", F_OK), -1);
	ck_assert_int_eq(state_of("a"), KEYSTORE_ENABLED);
}
END_TEST

START_TEST(planted_head)
{
	ck_assert_int_eq(rename("k/keystore", "head"), 0);
	plant((enum plant)_i, "k/keystore");
	ck_assert_int_eq(again_open(), -EUCLEAN);
	ck_assert_ptr_nonnull(strstr(why, "is damaged: restore it from a backup"));
	ck_assert_int_eq(state_of("a"), -EUCLEAN);
	ck_assert_int_eq(keystore_disable(ks, "a", why), -EUCLEAN);
	if (_i == A_FOLDER)
		ck_assert_int_eq(rmdir("k/keystore"), 0);
	ck_assert_int_eq(rename("head", "k/keystore"), 0);
	ck_assert_int_eq(state_of("a"), KEYSTORE_ENABLED);
}
END_TEST

/* In the place of the lock: a link is not followed, an act does not go on without the lock. */
START_TEST(planted_lock)
{
	static const enum plant plants[] = {A_LINK, A_DANGLING_LINK, A_FOLDER};

	ck_assert_int_eq(unlink("k/lock"), 0);
	plant(plants[_i], "k/lock");
	ck_assert_int_eq(keystore_disable(ks, "a", why), plants[_i] == A_FOLDER ? -EISDIR : -ELOOP);
	ck_assert_ptr_nonnull(strstr(why, "cannot lock the keystore"));
	ck_assert_int_eq(access("nowhere", F_OK), -1);
	ck_assert_int_eq(state_of("a"), KEYSTORE_ENABLED);
}
END_TEST

/* In the place of the temporary file: replaced, and what a link leads to is not touched. */
START_TEST(planted_temporary)
{
	struct stat st;

	plant((enum plant)_i, "k/.a.key.tmp");
	int r = keystore_disable(ks, "a", why);
	if (_i == A_FOLDER) { /* cannot be a leftover of ours */
		ck_assert_int_eq(r, -EEXIST);
		ck_assert_int_eq(state_of("a"), KEYSTORE_ENABLED);
		return;
	}
	ck_assert_msg(r == 0, "%s", why);
	ck_assert_int_eq(state_of("a"), KEYSTORE_DISABLED);
	ck_assert_int_eq(lstat("k/a.key", &st), 0);
	ck_assert(S_ISREG(st.st_mode));
	ck_assert_int_eq(access("nowhere", F_OK), -1);
	if (_i == A_LINK) {
		ck_assert_int_eq(stat("elsewhere", &st), 0);
		ck_assert_int_eq(st.st_size, 14);
	}
}
END_TEST

/* A link in the place of the directory: what is open asks no other directory. */
START_TEST(planted_directory)
{
	ck_assert_int_eq(rename("k", "away"), 0);
	ck_assert_int_eq(symlink("away", "k"), 0);
	ck_assert_int_eq(state_of("a"), -ENODEV);
	ck_assert_int_eq(keystore_disable(ks, "a", why), -ENODEV);
	ck_assert_int_eq(again_open(), 0); /* opened anew, by its real path */
	ck_assert_int_eq(unlink("k"), 0);
	put("k", "a file");
	ck_assert_int_eq(state_of("a"), -ENODEV);
	ck_assert_int_eq(again_open(), -ENOENT);
	ck_assert_int_eq(unlink("k"), 0);
	ck_assert_int_eq(rename("away", "k"), 0);
	ck_assert_int_eq(state_of("a"), KEYSTORE_ENABLED);
}
END_TEST

/* Modes */

/* Every single right of others makes it a directory that is not trusted. */
START_TEST(open_to_others)
{
	for (mode_t bit = 01; bit <= 040; bit <<= 1) {
		ck_assert_int_eq(chmod("k", 0700 | bit), 0);
		ck_assert_int_eq(state_of("a"), -EPERM);
		ck_assert_int_eq(again_open(), -EPERM);
		ck_assert_ptr_nonnull(strstr(why, "chmod 700"));
		ck_assert_int_eq(keystore_disable(ks, "a", why), -EPERM);
	}
	ck_assert_int_eq(chmod("k", 0700), 0);
	ck_assert_int_eq(state_of("a"), KEYSTORE_ENABLED);
}
END_TEST

/* Private whatever the umask says. */
START_TEST(made_private)
{
	static const char *const files[] = {"new/keystore", "new/a.key", "new/lock"};
	struct keystore_init how = {.path = "new"};
	struct keystore_new key = {.name = "a", .type = KEYSTORE_AES256};
	mode_t before = umask(0);

	ck_assert_int_eq(mkdir("new", 0777), 0);
	ck_assert_int_eq(keystore_create(&how, why), 0);
	keystore_close(ks);
	ks = NULL;
	ck_assert_int_eq(keystore_open("new", &no_passphrase, &ks, why), 0);
	ck_assert_int_eq(keystore_add(ks, &key, why), 0);
	umask(before);
	ck_assert_uint_eq(mode_of("new"), 0700);
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		ck_assert_uint_eq(mode_of(files[i]), 0600);
}
END_TEST

START_TEST(create_refused)
{
	struct keystore_init how = {.path = "full"};

	ck_assert_int_eq(mkdir("full", 0755), 0);
	put("full/.something", "");
	ck_assert_int_eq(keystore_create(&how, why), -ENOTEMPTY);
	ck_assert_uint_eq(mode_of("full"), 0755); /* another's folder stays as it was */
	put("file", "x");
	how.path = "file";
	ck_assert_int_eq(keystore_create(&how, why), -ENOTDIR);
	how.path = "absent/new";
	ck_assert_int_eq(keystore_create(&how, why), -ENOENT);
	ck_assert_ptr_nonnull(strstr(why, "cannot make absent/new"));
	ck_assert_int_eq(mkdir("real", 0700), 0);
	ck_assert_int_eq(symlink("real", "link"), 0);
	how.path = "link";
	ck_assert_int_eq(keystore_create(&how, why), -ENODEV); /* by its real path, or not at all */
	ck_assert_int_eq(access("real/keystore", F_OK), -1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("keystore_disk");
	TCase *t = tcase_create("keystore_disk");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, write_fails, 0, (int)ARRAY_LEN(failures));
	tcase_add_test(t, directory_not_durable);
	tcase_add_test(t, pieces);
	tcase_add_loop_test(t, create_fails, 0, 5);
	tcase_add_test(t, read_fails);
	tcase_add_test(t, open_fails);
	tcase_add_test(t, list_goes_on);
	tcase_add_loop_test(t, planted_key, 0, PLANTS);
	tcase_add_loop_test(t, planted_head, 0, PLANTS);
	tcase_add_loop_test(t, planted_lock, 0, 3);
	tcase_add_loop_test(t, planted_temporary, 0, PLANTS);
	tcase_add_test(t, planted_directory);
	tcase_add_test(t, open_to_others);
	tcase_add_test(t, made_private);
	tcase_add_test(t, create_refused);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
