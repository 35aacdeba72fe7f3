/* SPDX-License-Identifier: BSD-2-Clause */
/* The audit log on disk: how it is found again, a disk that is full, pieces of any length; the words of each event. */
#include "fs/audit/audit_file.h"

#include "fs/audit/audit.h"
#include "tests/unit/fault.h"
#include "tests/unit/store_rig.h"

#define FULL "the audit log cannot be written: No space left on device; its lines wait"
#define EVENTS 200

static struct rig rig;
static struct audit_file log_file;
static struct audit_chain *chain;
static struct audit_end last; /* of what was appended */
static char text[1 << 16];    /* the whole log */
static char said[400];        /* by the log's thread */

static void chain_begin(uint64_t session)
{
	const struct store_keys *keys;
	struct audit_key *key;

	audit_chain_free(chain);
	ck_assert_int_eq(gate_enter(rig.gate, GATE_USE_NEW, &keys), 0);
	ck_assert_int_eq(audit_key_new(keys, &key), 0);
	gate_leave(rig.gate);
	ck_assert_int_eq(audit_chain_new(key, session, &chain), 0);
	audit_key_free(key);
}

static void setup(void)
{
	char why[STORE_WHY_MAX];

	fault_clear();
	rig_begin(&rig);
	rig_start(&rig);
	ck_assert_msg(store_begin(rig.store, rig.gate, NULL, why) == 0, "%s", why);
	chain_begin(1);
	log_file = (struct audit_file){.fd = -1, .end_fd = -1, .own_fd = -1};
}

static void teardown(void)
{
	fault_clear();
	audit_chain_free(chain);
	audit_file_close(&log_file);
	rig_end(&rig);
}

/* Close the log and look at it again. */
static enum audit_found found(void)
{
	audit_file_close(&log_file);
	ck_assert_int_eq(audit_file_open(&log_file, rig.store), 0);
	return log_file.found;
}

/* The next line, ready to be written. */
static size_t line_make(char line[AUDIT_LINE_MAX])
{
	struct audit_text t;
	size_t len;

	last.session = audit_chain_session(chain);
	last.line = audit_chain_line(chain);
	audit_text_begin(&t, 1795533972123, "test");
	ck_assert_int_eq(audit_chain_seal(chain, &(struct audit_seal){.text = &t, .found = AUDIT_NEW}, log_file.prev,
					  line, &len),
			 0);
	memcpy(last.mac, log_file.prev, MAC_LEN);
	memcpy(last.store_id, rig.store->keyring->store_id, ID_LEN);
	return len;
}

static void line_put(void)
{
	char line[AUDIT_LINE_MAX];
	size_t len = line_make(line);

	ck_assert_int_eq(audit_file_append(&log_file, line, len, &last), 0);
}

static size_t log_read(void)
{
	int fd = openat(rig.store->own_fd, STORE_AUDIT, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : pread(fd, text, sizeof(text) - 1, 0);

	ck_assert_int_ge(n, 0);
	close(fd);
	text[n] = 0;
	return (size_t)n;
}

static void log_write(const void *bytes, size_t len, uint64_t at)
{
	int fd = openat(rig.store->own_fd, STORE_AUDIT, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	ck_assert_int_eq(store_pwrite_full(fd, bytes, len, at), 0);
	close(fd);
}

static void log_cut(uint64_t len)
{
	int fd = openat(rig.store->own_fd, STORE_AUDIT, O_WRONLY | O_CLOEXEC, 0);

	ck_assert_int_eq(ftruncate(fd, (off_t)len), 0);
	close(fd);
}

START_TEST(found_again)
{
	ck_assert_int_eq(found(), AUDIT_NEW);
	line_put();
	uint64_t first = log_file.length;
	ck_assert_int_eq(found(), AUDIT_UNKNOWN); /* nothing was remembered */
	ck_assert_mem_eq(log_file.prev, last.mac, MAC_LEN);
	ck_assert_int_eq(audit_file_remember(&log_file, &last), 0);
	ck_assert_int_eq(found(), AUDIT_WHOLE);
	ck_assert_uint_eq(log_file.length, first);
	ck_assert_mem_eq(log_file.prev, last.mac, MAC_LEN);
	line_put(); /* behind what is remembered: from before the record could be written */
	ck_assert_int_eq(found(), AUDIT_WHOLE);
	log_write("X", 1, first - 10); /* the MAC that is remembered */
	ck_assert_int_eq(found(), AUDIT_CUT);
	log_cut(first - 1);
	ck_assert_int_eq(found(), AUDIT_CUT);
	ck_assert_uint_eq(log_file.torn, first - 1);
	log_cut(0);
	ck_assert_int_eq(found(), AUDIT_MISSING);
	ck_assert_int_eq(unlinkat(rig.store->own_fd, STORE_AUDIT, 0), 0);
	ck_assert_int_eq(found(), AUDIT_MISSING);
}
END_TEST

/* An unfinished line gets its newline before the next one, and is no more than that: also when it is longer than any buffer. */
START_TEST(torn)
{
	static const size_t lens[] = {1, AUDIT_LINE_MAX - 1, AUDIT_LINE_MAX, 2 * AUDIT_LINE_MAX,
				      5 * AUDIT_LINE_MAX + 3};
	static char junk[5 * AUDIT_LINE_MAX + 3];
	char line[AUDIT_LINE_MAX];

	memset(junk, 'j', sizeof(junk));
	ck_assert_int_eq(found(), AUDIT_NEW);
	line_put();
	ck_assert_int_eq(audit_file_remember(&log_file, &last), 0);
	uint64_t whole = log_file.length;
	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		log_cut(whole);
		log_write(junk, lens[i], whole);
		ck_assert_int_eq(found(), AUDIT_TORN);
		ck_assert_uint_eq(log_file.torn, lens[i]);
		ck_assert_mem_eq(log_file.prev, last.mac, MAC_LEN);
		struct audit_end end = last;
		memcpy(line, "next\n", 6);
		ck_assert_int_eq(audit_file_append(&log_file, line, 5, &end), 0);
		ck_assert_uint_eq(end.length, whole + lens[i] + 1 + 5);
		ck_assert_uint_eq(log_read(), end.length);
		ck_assert_str_eq(text + whole + lens[i], "\nnext\n");
		ck_assert_uint_eq(log_file.torn, 0);
	}
}
END_TEST

/* Whoever writes the store makes it as long as he likes, at no cost: neither mount nor reader goes through all of that. */
START_TEST(endless)
{
	static struct audit_reader reader;
	struct audit_piece p;
	struct timespec before, after;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
	ck_assert_int_eq(found(), AUDIT_NEW);
	line_put();
	ck_assert_int_eq(audit_file_remember(&log_file, &last), 0);
	ck_assert_int_eq(ftruncate(log_file.fd, (off_t)40 << 30), 0);
	ck_assert_int_eq(found(), AUDIT_TORN);
	ck_assert_uint_eq(log_file.torn, 1u << 20);
	ck_assert_int_eq(audit_reader_open(&reader, rig.store->own_fd), 0);
	ck_assert_int_eq(audit_reader_next(&reader, &p), 1);
	ck_assert_int_eq(audit_reader_next(&reader, &p), 1);
	ck_assert(p.too_long);
	ck_assert_uint_eq(p.end, (uint64_t)40 << 30);
	ck_assert_int_eq(audit_reader_next(&reader, &p), 0);
	audit_reader_close(&reader);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
	ck_assert_int_lt(after.tv_sec - before.tv_sec, 3); /* 40 GB of zeros take ten times as long */
}
END_TEST

/* After an error nothing counts as written, and the same bytes come again to the same place. */
START_TEST(disk_full)
{
	static const struct fault faulty[] = {
		{CALL_PWRITE, NULL, ENOSPC, 0, 1}, /* the newline */
		{CALL_PWRITE, NULL, ENOSPC, 1, 1}, /* the lines behind it */
		{CALL_FDATASYNC, NULL, EIO, 0, 1},
	};

	ck_assert_int_eq(found(), AUDIT_NEW);
	log_write("torn", 4, 0);
	ck_assert_int_eq(found(), AUDIT_UNKNOWN);
	for (size_t i = 0; i < ARRAY_LEN(faulty); i++) {
		struct audit_end end = {.length = 77};
		fault_clear();
		faults[0] = faulty[i];
		ck_assert_int_eq(audit_file_append(&log_file, "line\n", 5, &end), -faulty[i].err);
		ck_assert(log_file.length == 4 && log_file.torn == 4 && end.length == 77);
	}
	struct audit_end end = {0};
	ck_assert_int_eq(audit_file_append(&log_file, "line\n", 5, &end), 0);
	ck_assert_uint_eq(end.length, 10);
	log_read();
	ck_assert_str_eq(text, "torn\nline\n");
}
END_TEST

/* A log that cannot be made now is made by the first line that can; any other error than a full disk is one. */
START_TEST(not_made)
{
	static const int full[] = {ENOSPC, EDQUOT};

	for (size_t i = 0; i < ARRAY_LEN(full); i++) {
		struct audit_end end = {0};
		fault_set(CALL_OPENAT2, STORE_AUDIT, full[i]);
		faults[0].left = 2;
		ck_assert_int_eq(found(), AUDIT_NEW);
		ck_assert_int_eq(log_file.fd, -1);
		ck_assert_int_eq(audit_file_append(&log_file, "line\n", 5, &end), -full[i]);
		ck_assert_int_eq(audit_file_append(&log_file, "line\n", 5, &end), 0);
		log_read();
		ck_assert_str_eq(text, "line\n");
		ck_assert_int_eq(unlinkat(rig.store->own_fd, STORE_AUDIT, 0), 0);
	}
	audit_file_close(&log_file);
	fault_set(CALL_OPENAT2, STORE_AUDIT, EROFS);
	ck_assert_int_eq(audit_file_open(&log_file, rig.store), -EROFS);
	audit_file_close(&log_file);
	ck_assert_int_eq(symlinkat("/dev/null", rig.store->own_fd, STORE_AUDIT), 0);
	ck_assert_int_eq(audit_file_open(&log_file, rig.store), -EUCLEAN);
}
END_TEST

/* The record that the host keeps: not written, of another store, damaged, empty, no place for it. */
START_TEST(end_record)
{
	struct audit_end e;
	uint8_t bytes[AUDIT_END_LEN];

	ck_assert_int_eq(audit_end_read(rig.store, &e), -ENOENT);
	ck_assert_int_eq(found(), AUDIT_NEW);
	ck_assert_int_eq(audit_end_read(rig.store, &e), -ENOENT); /* made, and empty */
	line_put();
	fault_set(CALL_PWRITE, NULL, ENOSPC);
	ck_assert_int_eq(audit_file_remember(&log_file, &last), -ENOSPC);
	fault_set(CALL_FDATASYNC, NULL, EIO);
	ck_assert_int_eq(audit_file_remember(&log_file, &last), -EIO);
	ck_assert_int_eq(audit_file_remember(&log_file, &last), 0);
	ck_assert_int_eq(audit_end_read(rig.store, &e), 0);
	ck_assert(e.session == 1 && e.line == 1 && e.length == log_file.length);
	e.store_id[0] ^= 1;
	audit_end_write(&e, bytes);
	ck_assert_int_eq(store_pwrite_full(log_file.end_fd, bytes, sizeof(bytes), 0), 0);
	ck_assert_int_eq(audit_end_read(rig.store, &e), -EUCLEAN);
	ck_assert_int_eq(found(), AUDIT_UNKNOWN);
	ck_assert_int_eq(ftruncate(log_file.end_fd, AUDIT_END_LEN - 1), 0);
	ck_assert_int_eq(audit_end_read(rig.store, &e), -EUCLEAN);
	setenv("BYOKFS_STATE_DIR", "/proc/none", 1);
	ck_assert_int_eq(found(), AUDIT_UNKNOWN);
	ck_assert_int_lt(log_file.end_fd, 0);
	ck_assert_int_eq(audit_file_remember(&log_file, &last), -ENOENT);
}
END_TEST

/* Pieces of each length about the limits, one behind the other: none is merged, split or lost. */
START_TEST(pieces)
{
	static const size_t lens[] = {0, 1, 4094, 4095, 4096, 4097, 0, 16382, 16383, 16384, 16385, 40000, 7};
	static struct audit_reader reader;
	struct audit_piece p;
	uint64_t end = 0;

	log_write("", 0, 0);
	ck_assert_int_eq(audit_reader_open(&reader, rig.store->own_fd), 0);
	ck_assert_int_eq(audit_reader_next(&reader, &p), 0);
	audit_reader_close(&reader);
	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		memset(text, 'a' + (int)i, lens[i]);
		text[lens[i]] = '\n';
		bool ended = i + 1 < ARRAY_LEN(lens);
		log_write(text, lens[i] + ended, end);
		end += lens[i] + ended;
	}
	ck_assert_int_eq(audit_reader_open(&reader, rig.store->own_fd), 0);
	end = 0;
	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		ck_assert_int_eq(audit_reader_next(&reader, &p), 1);
		ck_assert_uint_eq(p.len, lens[i]);
		ck_assert_int_eq(p.too_long, lens[i] >= AUDIT_LINE_MAX);
		ck_assert_int_eq(p.ended, i + 1 < ARRAY_LEN(lens));
		end += lens[i] + p.ended;
		ck_assert_uint_eq(p.end, end);
		ck_assert_int_eq(p.text[0], lens[i] > 0 ? 'a' + (int)i : 0);
		ck_assert(p.too_long || strlen(p.text) == p.len);
	}
	ck_assert_int_eq(audit_reader_next(&reader, &p), 0);
	audit_reader_close(&reader);
	ck_assert_int_eq(unlinkat(rig.store->own_fd, STORE_AUDIT, 0), 0);
	ck_assert_int_eq(audit_reader_open(&reader, rig.store->own_fd), -ENOENT);
}
END_TEST

static void listen_to(int priority, const char *what)
{
	(void)priority;
	snprintf(said, sizeof(said), "%s", what);
}

static struct audit *audit_begin(void)
{
	const struct audit_config cfg = {.store = rig.store, .gate = rig.gate, .log = listen_to};
	struct audit *a;
	char why[STORE_WHY_MAX];

	said[0] = 0;
	ck_assert_msg(audit_start(&cfg, &a, why) == 0, "%s", why);
	return a;
}

/* Said while the disk was full up to the unmount: counted on the host, told by the next session, then forgotten. */
START_TEST(lost)
{
	struct audit_text t;
	struct audit_end e;

	fault_set(CALL_OPENAT2, STORE_AUDIT, ENOSPC);
	faults[0].left = 1000;
	struct audit *a = audit_begin();
	for (int i = 0; i < EVENTS; i++) {
		audit_event(&t, "test");
		audit_say(a, &t);
	}
	audit_stop(a, NULL);
	ck_assert_str_eq(said, FULL);
	ck_assert_int_eq(audit_end_read(rig.store, &e), 0);
	ck_assert_uint_eq(e.lost, EVENTS);
	ck_assert(e.session == 0 && e.line == 0);
	fault_clear();
	rig.store->session.number++;
	audit_stop(audit_begin(), NULL);
	log_read();
	ck_assert_ptr_nonnull(strstr(text, "\"event\":\"lost\",\"found\":\"new\",\"events\":200,\"mac\":"));
	ck_assert_str_eq(strchr(text, '\n'), "\n");
	ck_assert_int_eq(audit_end_read(rig.store, &e), 0);
	ck_assert(e.lost == 0 && e.session == rig.store->session.number && e.line == 1);
	ck_assert_str_eq(said, "");
}
END_TEST

/* Line NO of the log, from its event to its MAC. */
static const char *event_text(unsigned no)
{
	static char line[AUDIT_LINE_MAX];
	const char *at = text;

	while (no-- > 1)
		at = strchr(at, '\n') + 1;
	at = strstr(at, "\"event\":");
	ck_assert_ptr_nonnull(at);
	snprintf(line, sizeof(line), "%.*s", (int)(strstr(at, ",\"mac\":") - at), at);
	return line;
}

START_TEST(events)
{
	static const char *const want[] = {
		"\"event\":\"state\",\"found\":\"new\",\"from\":\"active\",\"to\":\"locking\",\"reason\":\"the key is "
		"gone\","
		"\"kms\":\"fake:0\",\"key_version\":\"7\"",
		"\"event\":\"locked\",\"refused_at\":5,\"gate_closed_at\":6,\"sealed_bytes\":1,\"refused_bytes\":2,"
		"\"inodes\":3,"
		"\"contents_ms\":4,\"all_ms\":8,\"wiped\":\"keys, buffers\"",
		"\"event\":\"locked\",\"gate_closed_at\":6,\"sealed_bytes\":1,\"refused_bytes\":2,\"inodes\":3,"
		"\"contents_ms\":4,\"all_ms\":8,\"wiped\":\"keys, buffers\"",
		"\"event\":\"built_on\",\"what\":\"a\"",
		"\"event\":\"built_on\",\"what\":\"b\"",
		"\"event\":\"returned\",\"sealed_bytes\":1,\"refused_bytes\":2",
		"\"event\":\"ended\",\"by\":\"worker\",\"reason\":\"because\"",
		"\"event\":\"unmount\",\"result\":\"ok\",\"open_files\":1,\"lost_ranges\":2,\"refused_writes\":3,"
		"\"damaged_objects\":4",
	};
	const struct gate_change change = {
		.from = GATE_ACTIVE, .to = GATE_LOCKING, .reason = "the key is gone", .key_version = "7"};
	const struct fs_lock_report report = {6, 1, 2, 3, 4, 8}, never = {0};
	const struct fs_stats stats = {.open_files = 1, .lost_ranges = 2, .refused_writes = 3, .corrupt = 4};
	struct built_on built_on = {2, {"a", "b"}}, none = {0};
	struct audit_text t;
	struct audit *a = audit_begin();

	audit_change(a, &change);
	audit_locked(a, &report, 5);
	audit_locked(a, &report, 0);
	audit_built_on(a, &none);
	audit_built_on(a, &built_on);
	audit_returned(a, &never); /* nothing was locked, nothing returns */
	audit_returned(a, &report);
	audit_ending(a, "because");
	audit_unmount_text(&t, &stats, 0);
	audit_stop(a, &t);
	log_read();
	for (unsigned i = 0; i < ARRAY_LEN(want); i++)
		ck_assert_str_eq(event_text(i + 1), want[i]);
	audit_unmount_text(&t, &stats, -EIO);
	ck_assert_ptr_nonnull(strstr(t.text, "\"result\":\"the connection to the kernel broke\""));
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {found_again, torn,   endless, disk_full, not_made,
				      end_record,  pieces, lost,    events};
	Suite *s = suite_create("audit_file");
	TCase *c = tcase_create("audit_file");

	if (secret_init() < 0)
		return 2;
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_set_timeout(c, 60);
	for (size_t i = 0; i < ARRAY_LEN(tests); i++)
		tcase_add_test(c, tests[i]);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
