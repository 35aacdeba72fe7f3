/* SPDX-License-Identifier: BSD-2-Clause */
/* The store's own files: made, opened, damaged, put back, locked; and the pin that decides which of them to believe. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "crypto/auto.h"
#include "fs/store/pin_file.h"
#include "fs/store/store_own.h"
#include "tests/unit/store_rig.h"

#define KEYRING "byokfs/keyring"
#define COPY "byokfs/keyring.copy"

static struct rig rig;
static char why[STORE_WHY_MAX];
static char logged[65536];

static void log_line(int priority, const char *text)
{
	(void)priority;
	size_t n = strlen(logged);
	snprintf(logged + n, sizeof(logged) - n, "%s\n", text);
}

static void setup(void)
{
	rig_begin(&rig);
	rig_start(&rig);
	logged[0] = 0;
	/* Nothing in these tests may hang. */
	alarm(60);
}

static void teardown(void)
{
	rig_end(&rig);
}

static void path_of(char out[256], const char *name)
{
	snprintf(out, 256, "%s/%s", rig.path, name);
}

static size_t load(const char *name, uint8_t *buf, size_t max)
{
	char path[256];
	path_of(path, name);
	FILE *f = fopen(path, "rb");
	ck_assert_ptr_nonnull(f);
	size_t n = fread(buf, 1, max, f);
	fclose(f);
	return n;
}

static void save(const char *name, const uint8_t *buf, size_t len)
{
	char path[256];
	path_of(path, name);
	FILE *f = fopen(path, "wb");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(buf, 1, len, f), len);
	ck_assert_int_eq(fclose(f), 0);
}

static void drop(const char *name)
{
	char path[256];
	path_of(path, name);
	ck_assert_int_eq(remove(path), 0);
}

/* The same byte changed in NAME. */
static void flip(const char *name, size_t at)
{
	uint8_t buf[65536];
	size_t n = load(name, buf, sizeof(buf));
	ck_assert_uint_lt(at, n);
	buf[at] ^= 1;
	save(name, buf, n);
}

/* Open as a mount on this host does: the pin alone decides. */
static int pinned_open(struct store **s)
{
	const struct store_open how = {.path = rig.path};
	why[0] = 0;
	return store_open(&how, s, why);
}

static void pinned_ok(void)
{
	struct store *s = NULL;
	ck_assert_msg(pinned_open(&s) == 0, "%s", why);
	store_close(s);
}

static void pinned_refused(int error, const char *word)
{
	struct store *s = NULL;
	int r = pinned_open(&s);
	ck_assert_msg(r == error, "%d instead of %d: %s", r, error, why);
	ck_assert_msg(strstr(why, word) != NULL, "'%s' not in: %s", word, why);
	ck_assert_ptr_null(s);
}

static void begin_ok(void)
{
	ck_assert_msg(store_begin(rig.store, rig.gate, log_line, why) == 0, "%s", why);
}

static void reopen(void)
{
	rig_shut(&rig);
	ck_assert_int_eq(rig_open(&rig), 0);
}

/* Making */

START_TEST(create_refuses)
{
	char path[256], made[256];
	struct keyring *k = rig.store->keyring;
	const struct store_keys *keys;
	ck_assert_int_eq(gate_enter(rig.gate, GATE_USE_NEW, &keys), 0);
	ck_assert_int_eq(store_create(rig.path, k, keys, why), -ENOTEMPTY);
	ck_assert_ptr_nonnull(strstr(why, "not empty"));
	snprintf(path, sizeof(path), "%s/file", rig.dir);
	ck_assert_int_eq(mknod(path, S_IFREG | 0600, 0), 0);
	ck_assert_int_eq(store_create(path, k, keys, why), -ENOTDIR);
	/* The pin cannot be written: nothing stays, not even the folder. */
	setenv("BYOKFS_STATE_DIR", path, 1);
	snprintf(made, sizeof(made), "%s/made", rig.dir);
	ck_assert_int_lt(store_create(made, k, keys, why), 0);
	ck_assert_int_eq(access(made, F_OK), -1);
	/* A folder that was there before stays, empty. */
	ck_assert_int_eq(mkdir(made, 0700), 0);
	ck_assert_int_lt(store_create(made, k, keys, why), 0);
	ck_assert_int_eq(rmdir(made), 0);
	snprintf(made, sizeof(made), "%s/no/such/parent", rig.dir);
	ck_assert_int_eq(store_create(made, k, keys, why), -ENOENT);
	gate_leave(rig.gate);
	setenv("BYOKFS_STATE_DIR", rig.dir, 1);
	pinned_ok();
}
END_TEST

START_TEST(session_counts)
{
	begin_ok();
	ck_assert_int_eq(rig.store->unclean, 0);
	uint64_t first = rig.store->session.number;
	ck_assert_ptr_nonnull(rig.store->slots);
	ck_assert_int_eq(store_end(rig.store, 0), 0);
	ck_assert_ptr_null(rig.store->slots);
	reopen();
	begin_ok();
	ck_assert_int_eq(rig.store->unclean, 0);
	ck_assert_uint_eq(rig.store->session.number, first + 1);
	/* Died: from here on unclean until verified. */
	reopen();
	begin_ok();
	ck_assert_int_eq(rig.store->unclean, 1);
	ck_assert_uint_eq(rig.store->session.dirty_since, first + 1);
	ck_assert_int_eq(store_end(rig.store, 0), 0);
	reopen();
	begin_ok();
	ck_assert_int_eq(rig.store->unclean, 1);
	ck_assert_uint_eq(rig.store->session.dirty_since, first + 1);
	ck_assert_int_eq(store_end(rig.store, 1), 0);
	reopen();
	begin_ok();
	ck_assert_int_eq(rig.store->unclean, 0);
	ck_assert_int_eq(store_end(rig.store, 0), 0);
}
END_TEST

START_TEST(session_ends_clean_when_locked)
{
	begin_ok();
	ck_assert_int_eq(gate_lock(rig.gate, "the test"), 0);
	ck_assert_int_eq(store_end(rig.store, 0), 0);
	reopen();
	begin_ok();
	ck_assert_int_eq(rig.store->unclean, 0);
}
END_TEST

/* This host saw the last session end: a record that says nothing is not believed to claim a crash. */
START_TEST(session_damaged)
{
	uint8_t buf[SESSION_LEN + 1];
	begin_ok();
	ck_assert_int_eq(store_end(rig.store, 0), 0);
	ck_assert_uint_eq(load(STORE_OWN "/" STORE_SESSION, buf, sizeof(buf)), SESSION_LEN);
	for (size_t i = 0; i < SESSION_LEN; i++) {
		uint8_t bad[SESSION_LEN];
		memcpy(bad, buf, sizeof(bad));
		bad[i] ^= 0x80;
		save(STORE_OWN "/" STORE_SESSION, bad, sizeof(bad));
		reopen();
		begin_ok();
		ck_assert(!rig.store->unclean && rig.store->stale);
	}
	ck_assert_ptr_nonnull(strstr(logged, "put back"));
	drop(STORE_OWN "/" STORE_SESSION);
	reopen();
	begin_ok();
	ck_assert(!rig.store->unclean && rig.store->stale);
}
END_TEST

/* It did not see it end, or never saw it: then it is treated as after a crash. */
START_TEST(session_damaged_in_use)
{
	begin_ok();
	save(STORE_OWN "/" STORE_SESSION, (const uint8_t *)"damaged", 7);
	reopen();
	begin_ok();
	ck_assert(rig.store->unclean && !rig.store->stale);
	ck_assert_ptr_nonnull(strstr(logged, "damaged"));
	drop(STORE_OWN "/" STORE_SESSION);
	reopen();
	begin_ok();
	ck_assert(rig.store->unclean && !rig.store->stale);
	ck_assert_ptr_nonnull(strstr(logged, "missing"));
}
END_TEST

/* The record of a mounted store, put back after that mount has ended: not believed, until the operator says so. */
START_TEST(session_put_back)
{
	uint8_t open[SESSION_LEN];
	begin_ok();
	ck_assert_uint_eq(load(STORE_OWN "/" STORE_SESSION, open, sizeof(open)), SESSION_LEN);
	ck_assert_int_eq(store_end(rig.store, 0), 0);
	save(STORE_OWN "/" STORE_SESSION, open, sizeof(open));
	for (int i = 0; i < 2; i++) { /* nor at the next mount: this host remembers the doubt */
		reopen();
		begin_ok();
		ck_assert(!rig.store->unclean && rig.store->stale);
		ck_assert_int_eq(store_end(rig.store, 1), 0);
	}
	reopen();
	rig.store->accept_session = true;
	begin_ok();
	ck_assert(rig.store->unclean && !rig.store->stale);
	ck_assert_int_eq(store_end(rig.store, 1), 0);
	reopen();
	begin_ok();
	ck_assert(!rig.store->unclean && !rig.store->stale);
}
END_TEST

START_TEST(read_only_writes_nothing)
{
	const struct store_open how = {.path = rig.path, .read_only = 1};
	uint8_t before[SESSION_LEN], after[SESSION_LEN];
	struct store *s;
	auto_close(&rig.store->lock_fd);
	load(STORE_OWN "/" STORE_SESSION, before, sizeof(before));
	ck_assert_int_eq(store_open(&how, &s, why), 0);
	ck_assert_int_eq(store_lock(s, "/mnt", why), 0);
	ck_assert_int_eq(store_begin(s, rig.gate, log_line, why), 0);
	ck_assert_ptr_null(s->slots);
	ck_assert_int_eq(store_end(s, 1), 0);
	store_close(s);
	load(STORE_OWN "/" STORE_SESSION, after, sizeof(after));
	ck_assert_mem_eq(before, after, sizeof(before));
}
END_TEST

/* Keyring copies */

START_TEST(one_copy_is_enough)
{
	static const char *const names[] = {KEYRING, COPY};
	uint8_t good[4096], now[4096];
	size_t len = load(KEYRING, good, sizeof(good));
	for (size_t i = 0; i < 2; i++) {
		drop(names[i]);
		reopen();
		ck_assert_int_eq(access(rig.path, F_OK), 0);
		begin_ok();
		ck_assert_ptr_nonnull(strstr(logged, "missing"));
		ck_assert_uint_eq(load(names[i], now, sizeof(now)), len);
		ck_assert_mem_eq(good, now, len);
	}
}
END_TEST

/* Every byte of one copy: the other one opens the store, and puts it right only at the beginning. */
START_TEST(flipped_copy)
{
	uint8_t good[4096], now[4096];
	size_t len = load(KEYRING, good, sizeof(good));
	rig_shut(&rig);
	for (size_t i = 0; i < len; i++) {
		flip(KEYRING, i);
		struct store *s = NULL;
		ck_assert_msg(pinned_open(&s) == 0, "byte %zu: %s", i, why);
		/* What parses is tried first and does not open its box: the next one does. */
		if (memcmp(s->keyring->bytes, good, len) != 0) {
			struct kms *kek = rig_kms_new();
			struct kms_verdict v;
			struct store_keys *keys = NULL;
			ck_assert_int_lt(custody_open(s->keyring, &kek, &keys, &v), 0);
			kms_close(kek);
			ck_assert_int_eq(store_next_keyring(s), 0);
		}
		ck_assert_mem_eq(s->keyring->bytes, good, len);
		ck_assert_int_eq(store_next_keyring(s), -ENOENT);
		store_close(s);
		load(KEYRING, now, sizeof(now));
		ck_assert_int_ne(memcmp(good, now, len), 0);
		save(KEYRING, good, len);
	}
	ck_assert_int_eq(rig_open(&rig), 0);
}
END_TEST

START_TEST(both_copies_gone)
{
	const struct store_open older = {.path = rig.path, .accept_older = 1};
	uint8_t good[4096], now[4096];
	size_t len = load(KEYRING, good, sizeof(good));
	flip(KEYRING, 0);
	drop(COPY);
	rig_shut(&rig);
	pinned_refused(-EUCLEAN, "--accept-older-keyring");
	/* By order the pin's copy is taken, and both are written again. */
	ck_assert_msg(store_open(&older, &rig.store, why) == 0, "%s", why);
	ck_assert_int_eq(store_lock(rig.store, "", why), 0);
	struct kms *kek = rig_kms_new();
	struct gate_config cfg = {.keyring = rig.store->keyring, .kek = &kek};
	char reason[320];
	ck_assert_int_eq(gate_new(&cfg, &rig.gate), 0);
	ck_assert_int_eq(gate_open(rig.gate, reason), 0);
	begin_ok();
	load(KEYRING, now, sizeof(now));
	ck_assert_mem_eq(good, now, len);
	load(COPY, now, sizeof(now));
	ck_assert_mem_eq(good, now, len);
	drop(KEYRING);
	drop(COPY);
	rig_shut(&rig);
	pinned_refused(-EUCLEAN, "missing");
	save(KEYRING, good, len);
	ck_assert_int_eq(rig_open(&rig), 0);
}
END_TEST

START_TEST(cut_copies)
{
	uint8_t good[4096];
	size_t len = load(KEYRING, good, sizeof(good));
	drop(COPY);
	rig_shut(&rig);
	for (size_t n = 0; n < len; n++) {
		save(KEYRING, good, n);
		struct store *s = NULL;
		int r = pinned_open(&s);
		ck_assert_msg(r == -EUCLEAN || r == -ENOTSUP, "%zu bytes: %d", n, r);
	}
	save(KEYRING, good, len);
	ck_assert_int_eq(rig_open(&rig), 0);
}
END_TEST

START_TEST(newer_format)
{
	/* Major version and minimum reader; an unknown incompatible feature; FORMAT.md "Keyring". */
	static const size_t newer[] = {16, 23};
	uint8_t good[4096], bad[4096];
	size_t len = load(KEYRING, good, sizeof(good));
	rig_shut(&rig);
	for (size_t i = 0; i < ARRAY_LEN(newer); i++) {
		memcpy(bad, good, len);
		bad[newer[i]] = 0x40;
		save(KEYRING, bad, len);
		/* One copy only: a flipped bit, not a newer format. */
		pinned_ok();
		save(COPY, bad, len);
		pinned_refused(-ENOTSUP, "newer");
		save(COPY, good, len);
	}
	memcpy(bad, good, len);
	be16_put(bad + 8, 2);
	be16_put(bad + 10, 2);
	save(KEYRING, bad, len);
	save(COPY, bad, len);
	pinned_refused(-ENOTSUP, "newer");
	/* Unknown read-only-compatible feature: only -o ro. */
	memcpy(bad, good, len);
	bad[31] = 0x80;
	save(KEYRING, bad, len);
	save(COPY, bad, len);
	pinned_refused(-ENOTSUP, "-o ro");
	const struct store_open ro = {.path = rig.path, .read_only = 1};
	struct store *s = NULL;
	ck_assert_msg(store_open(&ro, &s, why) == 0, "%s", why);
	store_close(s);
	save(KEYRING, good, len);
	save(COPY, good, len);
	ck_assert_int_eq(rig_open(&rig), 0);
}
END_TEST

/* The pin */

/* A pin that has seen a later change. */
static void pin_sequence(uint64_t sequence)
{
	struct keyring k = *rig.store->keyring;
	k.sequence = sequence;
	ck_assert_int_eq(pin_file_write(rig.store->path, &k), 0);
}

START_TEST(older_keyring)
{
	const struct store_open older = {.path = rig.path, .accept_older = 1};
	struct store *s;
	pin_sequence(7);
	pinned_refused(-EPERM, "--accept-older-keyring");
	ck_assert_int_eq(store_open(&older, &s, why), 0);
	store_close(s);
	/* Looked at, not used: still refused. */
	pinned_refused(-EPERM, "older");
	begin_ok();
	ck_assert_ptr_nonnull(strstr(logged, "by order"));
	pinned_ok();
}
END_TEST

/* The reference in both copies now names another KMS: it must not be contacted. */
START_TEST(foreign_reference)
{
	static const char *const refs[] = {"fake:1"};
	const struct store_open named = {.path = rig.path, .refs = refs, .n_refs = 1};
	uint8_t buf[4096];
	size_t len = load(KEYRING, buf, sizeof(buf));
	uint8_t *at = memmem(buf, len, "fake:0", 6);
	ck_assert_ptr_nonnull(at);
	at[5] = '1';
	save(KEYRING, buf, len);
	pinned_ok();
	save(COPY, buf, len);
	pinned_refused(-EPERM, "fake:1");
	struct store *s;
	ck_assert_int_eq(store_open(&named, &s, why), 0);
	store_close(s);
}
END_TEST

START_TEST(unknown_host)
{
	char state[256];
	static const char *const refs[] = {"fake:0"};
	const struct store_open named = {.path = rig.path, .refs = refs, .n_refs = 1};
	snprintf(state, sizeof(state), "%s/elsewhere/state", rig.dir);
	setenv("BYOKFS_STATE_DIR", state, 1);
	pinned_refused(-EPERM, "--kms");
	ck_assert_int_eq(access(state, F_OK), -1);
	struct store *s;
	ck_assert_int_eq(store_open(&named, &s, why), 0);
	store_close(s);
	begin_ok();
	pinned_ok();
	/* Whoever may write the pins may name the KMS. */
	ck_assert_int_eq(chmod(state, 0770), 0);
	pinned_refused(-EPERM, "chmod");
	ck_assert_int_eq(chmod(state, 0700), 0);
	pinned_ok();
}
END_TEST

/* A second store of this host under the first one's path, and back; and a store that moved. */
START_TEST(other_store_at_the_path)
{
	struct rig other = rig;
	char away[256];
	snprintf(other.path, sizeof(other.path), "%s/other", rig.dir);
	rig_make_store(&other);
	rig_shut(&rig);
	snprintf(away, sizeof(away), "%s/away", rig.dir);
	ck_assert_int_eq(rename(rig.path, away), 0);
	ck_assert_int_eq(rename(other.path, rig.path), 0);
	pinned_refused(-EPERM, "not the store");
	ck_assert_int_eq(rename(rig.path, other.path), 0);
	/* At a path that this host knows nothing of, the store id finds the pin. */
	struct store_open how = {.path = away};
	struct store *s;
	ck_assert_msg(store_open(&how, &s, why) == 0, "%s", why);
	store_close(s);
	ck_assert_int_eq(rename(away, rig.path), 0);
	pinned_ok();
	ck_assert_int_eq(rig_open(&rig), 0);
}
END_TEST

START_TEST(damaged_pin)
{
	char path[256] = "";
	DIR *d = opendir(rig.dir);
	for (const struct dirent *e; (e = readdir(d)) != NULL;)
		if (strstr(e->d_name, ".pin") != NULL)
			snprintf(path, sizeof(path), "%s/%.150s", rig.dir, e->d_name);
	closedir(d);
	ck_assert_int_ne(path[0], 0);
	ck_assert_int_eq(truncate(path, 20), 0);
	pinned_refused(-EUCLEAN, "pin");
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	pinned_refused(-EUCLEAN, "pin");
	ck_assert_int_eq(unlink(path), 0);
	pinned_refused(-EPERM, "--kms");
}
END_TEST

/* Planted things */

START_TEST(planted)
{
	static const char *const names[] = {STORE_KEYRING, STORE_KEYRING_COPY, STORE_SESSION, STORE_INFLIGHT,
					    STORE_LOCK};
	char path[256], name[64];
	rig_shut(&rig);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		for (int kind = 0; kind < 3; kind++) {
			uint8_t *old = malloc(32u << 20);
			snprintf(name, sizeof(name), STORE_OWN "/%s", names[i]);
			size_t len = load(name, old, 32u << 20);
			drop(name);
			path_of(path, name);
			if (kind == 0)
				ck_assert_int_eq(mkfifo(path, 0600), 0);
			else if (kind == 1)
				ck_assert_int_eq(symlink("/etc/passwd", path), 0);
			else
				ck_assert_int_eq(mkdir(path, 0700), 0);
			struct store *s = NULL;
			int r = pinned_open(&s);
			ck_assert_msg(r == 0, "%s, kind %d: %s", names[i], kind, why);
			r = store_lock(s, "", why);
			ck_assert_int_eq(r, i == 4 ? -EUCLEAN : 0);
			store_close(s);
			ck_assert_int_eq(kind == 2 ? rmdir(path) : unlink(path), 0);
			save(name, old, len);
			free(old);
		}
	}
	ck_assert_int_eq(rig_open(&rig), 0);
}
END_TEST

START_TEST(planted_session_and_slots)
{
	char path[256];
	drop(STORE_OWN "/" STORE_SESSION);
	path_of(path, STORE_OWN "/" STORE_SESSION);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	begin_ok();
	ck_assert_int_eq(rig.store->unclean, 1);
	reopen();
	drop(STORE_OWN "/" STORE_INFLIGHT);
	path_of(path, STORE_OWN "/" STORE_INFLIGHT);
	ck_assert_int_eq(symlink("/etc/passwd", path), 0);
	struct stat st;
	/* replaced, not followed */
	begin_ok();
	ck_assert_int_eq(lstat(path, &st), 0);
	ck_assert(S_ISREG(st.st_mode));
	reopen();
	drop(STORE_OWN "/" STORE_INFLIGHT);
	/* Absent, short or sparse: made anew, with all its blocks. */
	save(STORE_OWN "/" STORE_INFLIGHT, (const uint8_t *)"x", 1);
	begin_ok();
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq((uint64_t)st.st_size, INFLIGHT_SLOTS * rig.store->slot_len);
	ck_assert_uint_ge((uint64_t)st.st_blocks * 512, INFLIGHT_SLOTS * rig.store->slot_len);
}
END_TEST

START_TEST(leads_nowhere)
{
	char path[256];
	path_of(path, "data/link");
	ck_assert_int_eq(symlink("/etc", path), 0);
	ck_assert_int_lt(store_openat(rig.store->data_fd, "link/passwd", O_RDONLY, 0), 0);
	ck_assert_int_lt(store_openat(rig.store->data_fd, "link", O_RDONLY, 0), 0);
	ck_assert_int_lt(store_openat(rig.store->data_fd, "../byokfs/keyring", O_RDONLY, 0), 0);
	ck_assert_int_lt(store_openat(rig.store->data_fd, "/etc/passwd", O_RDONLY, 0), 0);
	ck_assert_int_eq(store_open_file(rig.store->data_fd, "link", O_RDONLY), -EUCLEAN);
	ck_assert_int_eq(store_open_file(rig.store->data_fd, "link", O_RDWR | O_CREAT), -EUCLEAN);
	path_of(path, "data/fifo");
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert_int_eq(store_open_file(rig.store->data_fd, "fifo", O_RDONLY), -EUCLEAN);
	ck_assert_int_eq(store_open_file(rig.store->data_fd, "fifo", O_WRONLY | O_CREAT), -EUCLEAN);
	ck_assert_int_eq(store_open_file(rig.store->data_fd, "absent", O_RDONLY), -ENOENT);
	ck_assert_int_eq(store_open_file(rig.store->data_fd, ".", O_RDONLY), -EUCLEAN);
}
END_TEST

/* Owner */

START_TEST(one_owner)
{
	struct store_owner o;
	struct store *s;
	ck_assert_int_eq(pinned_open(&s), 0);
	ck_assert_int_eq(store_owner(s, &o), 0);
	ck_assert_int_eq(o.pid, getpid());
	ck_assert_int_eq(store_lock(s, "/mnt/b", why), -EBUSY);
	char pid[32];
	snprintf(pid, sizeof(pid), "process %d", getpid());
	ck_assert_ptr_nonnull(strstr(why, pid));
	rig_shut(&rig);
	ck_assert_int_eq(store_owner(s, &o), -ENOENT);
	ck_assert_int_eq(store_lock(s, "/mnt/\nb", why), 0);
	struct store *t;
	ck_assert_int_eq(pinned_open(&t), 0);
	ck_assert_int_eq(store_owner(t, &o), 0);
	ck_assert_str_eq(o.mountpoint, "/mnt/?b");
	store_close(s);
	store_close(t);
	ck_assert_int_eq(rig_open(&rig), 0);
}
END_TEST

START_TEST(dead_owner)
{
	int ready[2];
	char c;
	rig_shut(&rig);
	ck_assert_int_eq(pipe(ready), 0);
	pid_t pid = fork();
	if (pid == 0) {
		struct store *s;
		if (pinned_open(&s) == 0 && store_lock(s, "/mnt/x", why) == 0)
			c = (char)write(ready[1], "x", 1);
		pause();
		_exit(0);
	}
	ck_assert_int_eq(read(ready[0], &c, 1), 1);
	struct store *s;
	ck_assert_int_eq(pinned_open(&s), 0);
	ck_assert_int_eq(store_lock(s, "", why), -EBUSY);
	ck_assert_ptr_nonnull(strstr(why, "/mnt/x"));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	ck_assert_msg(store_lock(s, "", why) == 0, "%s", why);
	store_close(s);
	ck_assert_int_eq(rig_open(&rig), 0);
}
END_TEST

/* Between open and lock another owner changed the keyring: ours is stale and would overwrite his. */
START_TEST(changed_before_lock)
{
	struct store *s;
	rig_shut(&rig);
	ck_assert_int_eq(pinned_open(&s), 0);
	flip(KEYRING, 100);
	ck_assert_int_eq(store_lock(s, "", why), -EAGAIN);
	store_close(s);
	flip(KEYRING, 100);
	ck_assert_int_eq(rig_open(&rig), 0);
}
END_TEST

START_TEST(lock_text_is_hostile)
{
	uint8_t buf[20000];
	struct store *s;
	struct store_owner o;
	ck_assert_int_eq(pinned_open(&s), 0);
	for (size_t n = 0; n < sizeof(buf); n = 2 * n + 1) {
		memset(buf, '\n', n);
		save(STORE_OWN "/" STORE_LOCK, buf, n);
		ck_assert_int_eq(store_owner(s, &o), 0);
		memset(buf, 'x', n);
		save(STORE_OWN "/" STORE_LOCK, buf, n);
		ck_assert_int_eq(store_owner(s, &o), 0);
		ck_assert_int_eq(store_lock(s, "", why), -EBUSY);
	}
	store_close(s);
}
END_TEST

/* Directory ids */

START_TEST(directory_ids)
{
	uint8_t a[ID_LEN], b[ID_LEN];
	int dir = rig.store->data_fd;
	ck_assert_int_eq(mkdirat(dir, "d", 0755), 0);
	AUTO(auto_close) int fd = store_openat(dir, "d", O_RDONLY | O_DIRECTORY, 0);
	ck_assert_int_eq(store_dirid_read(fd, rig.gate, a), -ENODATA);
	ck_assert_int_eq(store_dirid_mend(fd, rig.gate, NAMES_SIV, a), 0);
	ck_assert_int_eq(store_dirid_mend(fd, rig.gate, NAMES_SIV, b), 0);
	ck_assert_mem_eq(a, b, ID_LEN);
	/* Cut off by a crash before the write: as good as none while the folder is empty. */
	save("data/d/" DIRID_NAME, (const uint8_t *)"", 0);
	ck_assert_int_eq(store_dirid_read(fd, rig.gate, b), -ENODATA);
	ck_assert_int_eq(store_dirid_mend(fd, rig.gate, NAMES_SIV, b), 0);
	ck_assert(store_is_local(fd) || memcmp(a, b, ID_LEN) != 0); /* known by the folder itself, or a new one */
	flip("data/d/" DIRID_NAME, 20);
	ck_assert_int_eq(store_dirid_mend(fd, rig.gate, NAMES_SIV, a), -EBADMSG);
	flip("data/d/" DIRID_NAME, 20);
	save("data/d/file", (const uint8_t *)"", 0);
	ck_assert_int_eq(store_dirid_mend(fd, rig.gate, NAMES_SIV, a), 0);
	drop("data/d/" DIRID_NAME);
	ck_assert_int_eq(store_dirid_mend(fd, rig.gate, NAMES_SIV, a), -ENODATA);
	char path[256];
	path_of(path, "data/d/" DIRID_NAME);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert_int_eq(store_dirid_mend(fd, rig.gate, NAMES_SIV, a), -EBADMSG);
}
END_TEST

START_TEST(not_a_store)
{
	const struct store_open how = {.path = rig.dir}, absent = {.path = "/nonexistent/store"};
	struct store *s;
	ck_assert_int_eq(store_open(&how, &s, why), -ENOENT);
	ck_assert_ptr_nonnull(strstr(why, "byokfs init"));
	ck_assert_int_eq(store_open(&absent, &s, why), -ENOENT);
	store_close(NULL);
}
END_TEST

static int race_fd;

/* Puts a link to `outside` where the store's file is, again and again. */
static void *exchange_names(void *arg)
{
	const atomic_bool *over = arg;

	while (!atomic_load(over)) {
		(void)(symlinkat("outside", race_fd, "link") == 0);
		(void)(renameat(race_fd, "link", race_fd, "victim") == 0);
	}
	return NULL;
}

/* Whoever writes the store exchanges names while root works on them: nothing outside is changed. */
START_TEST(links_race)
{
	enum { ROUNDS = 400 };
	atomic_bool over = false;
	struct stat st;
	pthread_t thread;

	race_fd = open(rig.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(race_fd, 0);
	ck_assert_int_eq(store_write_file(race_fd, "outside", "x", 1, 0640), 0);
	ck_assert(fstatat(race_fd, "outside", &st, 0) == 0 && (st.st_mode & 07777) == 0640);
	ck_assert_int_eq(pthread_create(&thread, NULL, exchange_names, &over), 0);
	for (int i = 0; i < ROUNDS; i++)
		ck_assert_int_eq(store_write_file(race_fd, "victim", "y", 1, 0600), 0);
	atomic_store(&over, true);
	pthread_join(thread, NULL);
	ck_assert(fstatat(race_fd, "outside", &st, 0) == 0 && (st.st_mode & 07777) == 0640 && st.st_size == 1);
	close(race_fd);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("store");
	TCase *t = tcase_create("store");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, create_refuses);
	tcase_add_test(t, links_race);
	tcase_add_test(t, session_counts);
	tcase_add_test(t, session_ends_clean_when_locked);
	tcase_add_test(t, session_damaged);
	tcase_add_test(t, session_damaged_in_use);
	tcase_add_test(t, session_put_back);
	tcase_add_test(t, read_only_writes_nothing);
	tcase_add_test(t, one_copy_is_enough);
	tcase_add_test(t, flipped_copy);
	tcase_add_test(t, both_copies_gone);
	tcase_add_test(t, cut_copies);
	tcase_add_test(t, newer_format);
	tcase_add_test(t, older_keyring);
	tcase_add_test(t, foreign_reference);
	tcase_add_test(t, unknown_host);
	tcase_add_test(t, other_store_at_the_path);
	tcase_add_test(t, damaged_pin);
	tcase_add_test(t, planted);
	tcase_add_test(t, planted_session_and_slots);
	tcase_add_test(t, leads_nowhere);
	tcase_add_test(t, one_owner);
	tcase_add_test(t, dead_owner);
	tcase_add_test(t, changed_before_lock);
	tcase_add_test(t, lock_text_is_hostile);
	tcase_add_test(t, directory_ids);
	tcase_add_test(t, not_a_store);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
