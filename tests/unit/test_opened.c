/* SPDX-License-Identifier: BSD-2-Clause */
/* From a store's path to an open gate and back: what is refused and with which words; verify, audit and status on a store. */
#include "tests/unit/said.h"

#include <pthread.h>
#include <signal.h>
#include <syslog.h>

#include "fs/audit/audit.h"
#include "tests/unit/store_rig.h"
#include "tools/opened.h"

static struct rig rig;
static struct opened_config cfg;
static struct opened_store opened;
static char logged[SAID_MAX];

static void log_keep(int priority, const char *text)
{
	size_t n = strlen(logged);

	snprintf(logged + n, sizeof(logged) - n, "%d %s\n", priority, text);
	said_hide(logged);
}

static int begin(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	logged[0] = 0;
	return opened_begin(&cfg, &opened);
}

static int end(int argc, char **argv)
{
	(void)argc;
	return opened_close(&opened, strcmp(argv[0], "verified") == 0);
}

/* A store under fake:0 in the current folder, closed. */
static void setup(void)
{
	fake_reset();
	rig_begin(&rig);
	rig_start(&rig);
	rig_shut(&rig);
	said_enter(rig.dir);
	setenv("BYOKFS_STATE_DIR", said.dir, 1); /* where the rig's pin is */
	cfg = (struct opened_config){.path = "store", .mountpoint = "", .log = log_keep};
}

#define OPENS(log_text)                                \
	do {                                           \
		SAID(begin, "begin");                  \
		SAID_IS(CMD_OK, "", "");               \
		ck_assert_str_eq(logged, log_text);    \
		ck_assert(opened.store &&opened.gate); \
	} while (0)
#define CLOSES()                                                           \
	do {                                                               \
		SAID(end, "close");                                        \
		SAID_IS(CMD_OK, "", "");                                   \
		ck_assert(!opened.store && !opened.gate && !opened.begun); \
	} while (0)
#define REFUSED(code, sentence)                                            \
	do {                                                               \
		SAID(begin, "begin");                                      \
		SAID_IS(code, "", "byokfs: " sentence "\n");               \
		ck_assert(!opened.store && !opened.gate && !opened.begun); \
	} while (0)

/* References and verdicts */

static int add_ref(int argc, char **argv)
{
	(void)argc;
	return opened_add_ref(&cfg, argv[0], argv[1]);
}

START_TEST(references)
{
	for (unsigned i = 0; i < OPENED_REFS_MAX; i++) {
		SAID(add_ref, "verify", "fake:0");
		SAID_IS(CMD_OK, "", "");
	}
	SAID(add_ref, "verify", "fake:0");
	SAID_USAGE("verify", "more than 16 KMS references");
	ck_assert_uint_eq(cfg.n_refs, OPENED_REFS_MAX);
	cfg.n_refs = 1;
	cfg.ref[0] = "fake";
	REFUSED(CMD_USAGE, "KMS reference 'fake': key reference 'fake' names no KMS: did you mean local:fake?");
}
END_TEST

static struct kms_verdict verdict;
static int verdict_error;

static int kms_error(int argc, char **argv)
{
	(void)argc;
	return opened_kms_error(verdict_error, &verdict, argv[1]);
}

START_TEST(verdicts)
{
	const struct {
		struct kms_verdict v;
		int error;
		enum cmd_exit code;
		const char *text;
	} row[] = {
		{{KMS_REVOKED, "disabled", "key k is disabled"}, -EKEYREVOKED, CMD_REFUSED, "key k is disabled"},
		{{KMS_REVOKED, "disabled", ""}, -EKEYREVOKED, CMD_REFUSED, "Key has been revoked"},
		{{KMS_AUTH, "401", "who?"}, -EACCES, CMD_REFUSED, "who?"},
		{{KMS_TRANSIENT, "timeout", "late"}, -ETIMEDOUT, CMD_UNREACHABLE, "late"},
		{{KMS_TRANSIENT, "", "late"}, -EINVAL, CMD_UNREACHABLE, "late"},
		{{KMS_AUTH, "passphrase", "wrong"}, -EACCES, CMD_PASSPHRASE, "wrong"},
		{{KMS_MISCONFIGURED, "no-keystore", "none"}, -EINVAL, CMD_NOT_FOUND, "none"},
		{{KMS_REVOKED, "no-such-key", "none"}, -EKEYREVOKED, CMD_NOT_FOUND, "none"},
		{{KMS_MISCONFIGURED, "404", "none"}, -EINVAL, CMD_FAILED, "none"},
		{{KMS_CORRUPT, "corrupt", "altered"}, -EBADMSG, CMD_DAMAGED, "altered"},
		{{0}, -ENOMEM, CMD_FAILED, "Cannot allocate memory"},
	};

	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		char want[256];
		verdict = row[i].v;
		verdict_error = row[i].error;
		SAID(kms_error, "x", "fake:3");
		snprintf(want, sizeof(want), "byokfs: KMS fake:3: %s\n", row[i].text);
		SAID_IS(row[i].code, "", want);
	}
}
END_TEST

/* Opening */

START_TEST(opens)
{
	OPENS("");
	ck_assert(opened.begun);
	uint64_t session = opened.store->session.number;
	CLOSES();
	OPENS("");
	ck_assert_uint_eq(opened.store->session.number, session + 1);
	ck_assert(!opened.store->unclean);
	/* two at once: not the same process, nor another */
	struct opened_store first = opened;
	SAID(begin, "begin");
	ck_assert_int_eq(said.code, CMD_BUSY);
	ck_assert_ptr_nonnull(strstr(said.err, "store"));
	/* but a look, which takes no lock and begins no session */
	cfg.look_only = cfg.read_only = true;
	OPENS("");
	ck_assert(!opened.begun);
	CLOSES();
	opened = first;
	CLOSES();
}
END_TEST

START_TEST(no_store)
{
	int before = atomic_load(&fakes[0].calls);

	cfg.path = "none";
	SAID(begin, "begin");
	ck_assert_int_eq(said.code, CMD_NOT_FOUND);
	ck_assert_str_eq(said.err, "byokfs: cannot open the store none: No such file or directory\n");
	ck_assert_int_eq(mkdir("empty", 0700), 0);
	cfg.path = "empty";
	SAID(begin, "begin");
	ck_assert_int_eq(said.code, CMD_NOT_FOUND);
	ck_assert_int_eq(atomic_load(&fakes[0].calls), before);
}
END_TEST

/* This host contacts only what it was told of. */
START_TEST(not_pinned)
{
	char path[PATH_MAX + 8];

	snprintf(path, sizeof(path), "%s/other", said.dir);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	setenv("BYOKFS_STATE_DIR", path, 1);
	int before = atomic_load(&fakes[0].calls);
	SAID(begin, "begin");
	ck_assert_int_eq(said.code, CMD_NOT_TRUSTED);
	ck_assert_ptr_nonnull(strstr(said.err, "--kms"));
	cfg.n_refs = 1;
	cfg.ref[0] = "fake:1";
	SAID(begin, "begin");
	ck_assert_int_ne(said.code, CMD_OK);
	ck_assert_int_eq(atomic_load(&fakes[0].calls), before); /* and it was not asked */
	cfg.ref[0] = "fake:0";
	cfg.has_store_id = true; /* of no store that there is */
	SAID(begin, "begin");
	ck_assert_int_eq(said.code, CMD_NOT_TRUSTED);
	ck_assert_ptr_nonnull(strstr(said.err, "another store than --store-id"));
	ck_assert_int_eq(atomic_load(&fakes[0].calls), before);
	cfg.has_store_id = false;
	SAID(begin, "begin");
	SAID_IS(CMD_OK, "", "");
	ck_assert_ptr_nonnull(strstr(logged, "has no pin of DIR/store and trusts it as it is"));
	CLOSES();
	cfg.n_refs = 0; /* named once, it is known */
	OPENS("");
	CLOSES();
}
END_TEST

START_TEST(keys_inside)
{
	cfg.n_refs = 1;
	cfg.ref[0] = "local:store/k/a";
	SAID(begin, "begin");
	ck_assert_int_eq(said.code, CMD_NOT_TRUSTED);
}
END_TEST

START_TEST(kms_says_no)
{
	fake_set(0, FAKE_REVOKED);
	SAID(begin, "begin");
	ck_assert_int_eq(said.code, CMD_REFUSED);
	SAID_BEGINS(said.err, "byokfs: cannot open the store DIR/store: ");
	ck_assert_ptr_nonnull(strstr(said.err, "key fake:0 is disabled"));
	fake_set(0, FAKE_TRANSIENT);
	SAID(begin, "begin");
	ck_assert_int_eq(said.code, CMD_UNREACHABLE);
	ck_assert_ptr_nonnull(strstr(said.err, "nobody listens"));
	ck_assert_ptr_null(strstr(said.err, "--wait")); /* verify has none */
	fake_set(0, FAKE_CORRUPT);
	SAID(begin, "begin");
	ck_assert_int_eq(said.code, CMD_DAMAGED);
	/* a refusal leaves no owner and no session behind */
	fake_set(0, FAKE_OK);
	OPENS("");
	ck_assert(!opened.store->unclean);
	CLOSES();
}
END_TEST

/* A mount begins with a good answer; what may be done about silence is told. */
START_TEST(silence)
{
	sigset_t term, before;

	fake_set(0, FAKE_TRANSIENT);
	cfg.mountpoint = "/mnt";
	SAID(begin, "begin");
	ck_assert_int_eq(said.code, CMD_UNREACHABLE);
	const char *hint =
		". A mount begins with a good answer, and grace is only for one that serves; --wait keeps asking\n";
	ck_assert_str_eq(said.err + strlen(said.err) - strlen(hint), hint);
	/* asked again until a signal comes: one that is on its way ends the first pause */
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	ck_assert_int_eq(pthread_sigmask(SIG_BLOCK, &term, &before), 0);
	ck_assert_int_eq(raise(SIGTERM), 0);
	cfg.wait_ms = UINT_MAX;
	SAID(begin, "begin");
	ck_assert_int_eq(said.code, CMD_UNREACHABLE);
	ck_assert_str_eq(said.err + strlen(said.err) - 15, " (interrupted)\n");
	char want[128];
	snprintf(want, sizeof(want), "%d waiting for the KMS (Ctrl-C ends it): ", LOG_WARNING);
	ck_assert_msg(strncmp(logged, want, strlen(want)) == 0, "%s", logged);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}
END_TEST

START_TEST(times_that_do_not_fit)
{
	cfg.lease_ms = 3000;
	cfg.poll_ms = 2000;
	REFUSED(CMD_USAGE, "cannot make the gate: Invalid argument (lease must be at least twice poll, grace at most 7 "
			   "days)");
}
END_TEST

/* One altered byte in `path` at OFF. */
static void alter(const char *path, off_t off)
{
	uint8_t b;
	int fd = open(path, O_RDWR | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pread(fd, &b, 1, off), 1);
	b ^= 0x40;
	ck_assert_int_eq(pwrite(fd, &b, 1, off), 1);
	close(fd);
}

static off_t length(const char *path)
{
	struct stat st;
	ck_assert_int_eq(stat(path, &st), 0);
	return st.st_size;
}

START_TEST(keyring_altered)
{
	off_t last = length("store/byokfs/keyring") - 1; /* of the box: it parses, and does not open */

	alter("store/byokfs/keyring", last);
	OPENS("4 keyring copy keyring was not the same: written again from keyring.copy\n");
	CLOSES();
	OPENS("");
	CLOSES();
	alter("store/byokfs/keyring", last);
	alter("store/byokfs/keyring.copy", last);
	SAID(begin, "begin");
	ck_assert_int_eq(said.code, CMD_DAMAGED);
	SAID_BEGINS(said.err, "byokfs: cannot open the store DIR/store: ");
	ck_assert_int_eq(truncate("store/byokfs/keyring", 10), 0);
	ck_assert_int_eq(truncate("store/byokfs/keyring.copy", 10), 0);
	SAID(begin, "begin");
	ck_assert_int_eq(said.code, CMD_DAMAGED);
}
END_TEST

/* verify */

#define VERIFY(...) SAID(cmd_verify, "verify", __VA_ARGS__)

/* A file of three bytes over a block under its own name; its path from here. */
static void file_make(char path[PATH_MAX])
{
	char disk[NAME_LEN_MAX + 1];
	struct gate_key *key;

	ck_assert_int_eq(rig_open(&rig), 0);
	rig_name(&rig, rig.store->data_fd, rig.root_id, "a", disk);
	close(rig_put_file(&rig, rig.store->data_fd, disk, RIG_BLOCK + 3, &key));
	gate_key_close(key);
	rig_shut(&rig);
	snprintf(path, PATH_MAX, "store/data/%s", disk);
}

/*
 * The last run of verify, apart from what is the machine's: how long it took reads T, and how many keys fit into a plain
 * user's locked memory is left out.
 */
static void verify_tidy(void)
{
	char *took = strstr(said.out, "checked"), *end = took ? strchr(took, '\n') : NULL, *in = NULL;

	for (char *p = took; end && p < end && (p = strstr(p, " in ")) && p < end; p++)
		in = p;
	if (in) {
		in[4] = 'T';
		memmove(in + 5, end, strlen(end) + 1);
	}
	if (strncmp(said.err, "byokfs: the keys of ", 20) == 0)
		memmove(said.err, strchr(said.err, '\n') + 1, strlen(strchr(said.err, '\n') + 1) + 1);
}

START_TEST(verify_usage)
{
	SAID(cmd_verify, "verify");
	SAID_USAGE("verify", "STORE is missing");
	VERIFY("a", "b");
	SAID_USAGE("verify", "one STORE only");
	VERIFY("store", "--no-key", "--repair");
	SAID_USAGE("verify", "--repair needs the key: what is right can only be told with it");
	VERIFY("store", "--repiar");
	SAID_USAGE("verify", "unknown option '--repiar': did you mean '--repair'?");
	VERIFY("--help");
	ck_assert_int_eq(said.code, CMD_OK);
	SAID_BEGINS(said.out, "Usage: byokfs verify STORE");
	VERIFY("none");
	SAID_IS(CMD_NOT_FOUND, "", "byokfs: cannot open the store none: No such file or directory\n");
	VERIFY("store", "--kms=x");
	SAID_IS(CMD_USAGE, "", "byokfs: KMS reference 'x': key reference 'x' names no KMS: did you mean local:x?\n");
}
END_TEST

START_TEST(verify_clean)
{
	char path[PATH_MAX];

	file_make(path);
	VERIFY("store");
	verify_tidy();
	SAID_IS(CMD_OK, "store: 1 file, 1 directory, 0 special objects, 4.0 KiB checked in T\nnothing wrong\n", "");
	VERIFY("store", "--no-key");
	verify_tidy();
	SAID_IS(CMD_OK,
		"store: 1 file, 1 directory, 0 special objects, 512 bytes checked without the key (structure only) in "
		"T\nnothing wrong\n",
		"");
	VERIFY("store", "--json");
	ck_assert_int_eq(said.code, CMD_OK);
	SAID_BEGINS(said.out, "{\"type\": \"summary\", \"store\": \"store\", \"with_key\": true, "
			      "\"complete\": true, \"files\": 1, ");
	VERIFY("store", "--repair", "--kms=fake:0");
	ck_assert_int_eq(said.code, CMD_OK);
}
END_TEST

START_TEST(verify_damaged)
{
	char path[PATH_MAX], want[PATH_MAX + 128];

	file_make(path);
	alter(path, HEADER_LEN_STORE + 100);
	VERIFY("store");
	ck_assert_int_eq(said.code, CMD_DAMAGED);
	snprintf(want, sizeof(want), "damage: /a (%s): ", path + 6);
	ck_assert_msg(strncmp(said.out, want, strlen(want)) == 0, "%s", said.out);
	ck_assert_ptr_nonnull(strstr(said.out, "\ndamage: 1\n"));
	VERIFY("store", "--no-key"); /* nothing of the structure is wrong */
	ck_assert_int_eq(said.code, CMD_OK);
	VERIFY("store", "--json");
	ck_assert_int_eq(said.code, CMD_DAMAGED);
	SAID_BEGINS(said.out, "{\"type\": \"problem\", \"severity\": \"damage\", \"code\": \"block\", ");
	ck_assert_ptr_nonnull(strstr(said.out, "\"plain\": \"/a\", \"block\": 0, \"last\": 0, \"repaired\": false, "));
	ck_assert_ptr_nonnull(strstr(said.out, "\"damage\": 1, "));
	ck_assert_ptr_nonnull(strstr(said.out, "\"exit\": 5}\n"));
}
END_TEST

START_TEST(verify_refused)
{
	fake_set(0, FAKE_REVOKED);
	VERIFY("store");
	ck_assert_int_eq(said.code, CMD_REFUSED);
	ck_assert_str_eq(said.out, "");
	VERIFY("store", "--no-key"); /* asks nobody */
	ck_assert_int_eq(said.code, CMD_OK);
	fake_set(0, FAKE_OK);
	OPENS("");
	VERIFY("store");
	ck_assert_int_eq(said.code, CMD_BUSY);
	ck_assert_str_eq(said.out, "");
	CLOSES();
}
END_TEST

/* As a crash leaves it: the session is open. */
START_TEST(verify_unclean)
{
	OPENS("");
	opened.begun = false;
	CLOSES();
	VERIFY("store", "--no-key");
	ck_assert_int_eq(said.code, CMD_OK);
	VERIFY("store");
	ck_assert_int_eq(said.code, CMD_OK);
	ck_assert_ptr_nonnull(strstr(said.out, "The store was not closed cleanly before; it counts as clean now.\n"));
	VERIFY("store");
	ck_assert_ptr_null(strstr(said.out, "not closed cleanly"));
	ck_assert_ptr_nonnull(strstr(said.out, "\nnothing wrong\n"));
}
END_TEST

/* audit */

#define AUDIT(...) SAID(cmd_audit, "audit", __VA_ARGS__)

/* Two sessions' logs. */
static void audit_make(void)
{
	for (int i = 0; i < 2; i++) {
		char why[STORE_WHY_MAX];
		struct audit *audit;
		OPENS("");
		const struct audit_config ac = {.store = opened.store, .gate = opened.gate, .log = log_keep};
		ck_assert_msg(audit_start(&ac, &audit, why) == 0, "%s", why);
		const struct audit_mount am = {.mountpoint = "/mnt/\"b\""};
		audit_mounted(audit, &am);
		audit_ending(audit, "the test ends it");
		audit_stop(audit, NULL);
		CLOSES();
	}
}

START_TEST(audit_usage)
{
	SAID(cmd_audit, "audit");
	SAID_USAGE("audit", "show or verify is missing");
	AUDIT("shwo", "store");
	SAID_USAGE("audit", "'shwo': did you mean 'show'?");
	AUDIT("print", "store");
	SAID_USAGE("audit", "show or verify, not 'print'");
	AUDIT("show");
	SAID_USAGE("audit", "STORE is missing");
	AUDIT("show", "store", "more");
	SAID_USAGE("audit", "one STORE only");
	AUDIT("verify", "store", "--since=1h");
	SAID_USAGE("audit", "--since is for show");
	AUDIT("show", "store", "--kms=fake:0");
	SAID_USAGE("audit", "--kms, --store-id and --passphrase-file are for verify");
	AUDIT("show", "store", "--passphrase-file=x");
	SAID_USAGE("audit", "--kms, --store-id and --passphrase-file are for verify");
	static const char *const bad[] = {
		"", "90", "1w", "2026", "2026-1-1", "2026-11-24T15:2", "2026-11-24x15:26", "2026/11/24"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char want[256];
		AUDIT("show", "store", "--since", bad[i]);
		snprintf(want, sizeof(want),
			 "byokfs audit: --since is a time like 2026-11-24T15:26 (UTC) or 12h, not '%s'\n"
			 "Try 'byokfs audit --help'.\n",
			 bad[i]);
		SAID_IS(CMD_USAGE, "", want);
	}
	AUDIT("--help");
	ck_assert_int_eq(said.code, CMD_OK);
	SAID_BEGINS(said.out, "Usage: byokfs audit show");
}
END_TEST

START_TEST(audit_none)
{
	AUDIT("show", "store");
	SAID_IS(CMD_NOT_FOUND, "",
		"byokfs: DIR/store has no audit log: it was not mounted for writing by a version that keeps one\n");
	AUDIT("show", "none");
	SAID_IS(CMD_NOT_FOUND, "", "byokfs: cannot open the store none: No such file or directory\n");
	fake_set(0, FAKE_REVOKED);
	AUDIT("verify", "store");
	ck_assert_int_eq(said.code, CMD_REFUSED);
}
END_TEST

/* How many lines of the text hold WORD. */
static int lines_with(const char *text, const char *word)
{
	int n = 0;
	for (const char *p = text; (p = strstr(p, word)); p += strcspn(p, "\n"))
		n++;
	return n;
}

START_TEST(audit_show)
{
	audit_make();
	AUDIT("show", "store");
	ck_assert_int_eq(said.code, CMD_OK);
	ck_assert_str_eq(said.err, "");
	ck_assert_int_eq(lines_with(said.out, " mount "), 2);
	ck_assert_int_eq(lines_with(said.out, " mountpoint=\"/mnt/\\\"b\\\"\" "), 2);
	ck_assert_int_eq(lines_with(said.out, " reason=\"the test ends it\""), 2);
	int all = lines_with(said.out, "Z ");
	AUDIT("show", "store", "--since", "1h");
	ck_assert_int_eq(lines_with(said.out, "Z "), all);
	AUDIT("show", "store", "--since", "2020-01-01 10:00");
	ck_assert_int_eq(lines_with(said.out, "Z "), all);
	AUDIT("show", "store", "--since", "2999-01-01");
	SAID_IS(CMD_OK, "", "");
	AUDIT("show", "store", "--json");
	ck_assert_int_eq(lines_with(said.out, "\"mountpoint\":\"/mnt/\\\"b\\\"\""), 2);
}
END_TEST

START_TEST(audit_verify)
{
	char want[256];

	audit_make();
	AUDIT("show", "store");
	int all = lines_with(said.out, "Z ");
	snprintf(want, sizeof(want), "%d lines of 2 sessions are authentic; damage: 0, notes: 0\n", all);
	AUDIT("verify", "store");
	SAID_IS(CMD_OK, want, "");
	AUDIT("verify", "store", "--json");
	snprintf(want, sizeof(want),
		 "{\"type\": \"summary\", \"store\": \"DIR/store\", \"lines\": %d, \"sessions\": 2, \"damage\": 0, "
		 "\"notes\": 0, \"end_known\": true, \"mounted\": false}\n",
		 all);
	SAID_IS(CMD_OK, want, "");
	/* a byte of the first line */
	alter("store/byokfs/audit.log", 60);
	AUDIT("verify", "store");
	ck_assert_int_eq(said.code, CMD_DAMAGED);
	SAID_BEGINS(said.out, "damage: ");
	AUDIT("verify", "store", "--json");
	ck_assert_int_eq(said.code, CMD_DAMAGED);
	SAID_BEGINS(said.out, "{\"type\": \"problem\", \"severity\": \"damage\", \"code\": \"");
	alter("store/byokfs/audit.log", 60);
	/* the end cut off: this host remembers it */
	ck_assert_int_eq(truncate("store/byokfs/audit.log", length("store/byokfs/audit.log") - 20), 0);
	AUDIT("verify", "store");
	ck_assert_int_eq(said.code, CMD_DAMAGED);
	AUDIT("show", "store");
	ck_assert_int_eq(said.code, CMD_OK);
	snprintf(want, sizeof(want), "byokfs: warning: line %d of the log is unfinished\n", all);
	ck_assert_str_eq(said.err, want);
}
END_TEST

START_TEST(audit_planted)
{
	said_put("store/byokfs/audit.log", "not a line of ours\n\x1b[31m", 24);
	AUDIT("show", "store");
	SAID_IS(CMD_OK, "",
		"byokfs: warning: line 1 of the log was not written by byokfs\n"
		"byokfs: warning: line 2 of the log is unfinished\n");
}
END_TEST

/* status, and orders to a mount that is not there */

START_TEST(status_of_store)
{
	SAID(cmd_status, "status", "store", "--json");
	ck_assert_int_eq(said.code, CMD_OK);
	char *id = strstr(said.out, "\"store_id\": \"");
	ck_assert_ptr_nonnull(id);
	memmove(id + 13, id + 13 + 32, strlen(id + 13 + 32) + 1);
	SAID_IS(CMD_OK,
		"{\"state\": \"not mounted\", \"reason\": \"\", \"pid\": 0, \"store\": \"DIR/store\", \"store_id\": "
		"\"\", "
		"\"kms\": [\"fake:0\"], \"kms_options\": [], \"policy\": \"all\", \"wrap\": \"store\", \"names\": "
		"\"encrypted\", "
		"\"block_size\": 4096, \"keyring_sequence\": 1, "
		"\"trust\": \"what the keyring claims: nothing of it was checked with a key\"}\n",
		"");
	cfg.mountpoint = "/no/such/mount";
	OPENS("");
	SAID(cmd_status, "status", "store");
	ck_assert_int_eq(said.code, CMD_OK);
	ck_assert_ptr_nonnull(strstr(said.out, "state                          in use\n"));
	ck_assert_ptr_nonnull(strstr(said.out, "\nmountpoint                     /no/such/mount\n"));
	ck_assert_ptr_nonnull(strstr(said.out, "\nkms                            fake:0\n"));
	CLOSES();
	SAID(cmd_status, "status", ".");
	SAID_IS(CMD_NOT_FOUND, "", "byokfs: DIR is neither a byokfs mount nor a store\n");
	SAID(cmd_status, "status", "none");
	SAID_IS(CMD_NOT_FOUND, "", "byokfs: none: No such file or directory\n");
	SAID(cmd_status, "status", "a", "b");
	SAID_USAGE("status", "one MOUNTPOINT or STORE only");
	SAID(cmd_status, "status", "--jsno");
	SAID_USAGE("status", "unknown option '--jsno': did you mean '--json'?");
	SAID(cmd_status, "status", "--help");
	ck_assert_int_eq(said.code, CMD_OK);
}
END_TEST

START_TEST(orders)
{
	static int (*const run[])(int, char **) = {cmd_lock, cmd_unlock, cmd_umount};
	static const char *const word[] = {"lock", "unlock", "umount"};

	for (size_t i = 0; i < ARRAY_LEN(run); i++) {
		char want[256];
		SAID(run[i], word[i], "store");
		SAID_IS(CMD_NOT_FOUND, "", "byokfs: no byokfs is mounted on DIR/store\n");
		SAID(run[i], word[i], "none");
		SAID_IS(CMD_NOT_FOUND, "", "byokfs: none: No such file or directory\n");
		SAID(run[i], word[i]);
		snprintf(want, sizeof(want), "byokfs %s: MOUNTPOINT is missing\nTry 'byokfs %s --help'.\n", word[i],
			 word[i]);
		SAID_IS(CMD_USAGE, "", want);
		SAID(run[i], word[i], "a", "b");
		snprintf(want, sizeof(want), "byokfs %s: one MOUNTPOINT only\nTry 'byokfs %s --help'.\n", word[i],
			 word[i]);
		SAID_IS(CMD_USAGE, "", want);
		SAID(run[i], word[i], "--help");
		ck_assert_int_eq(said.code, CMD_OK);
		SAID_BEGINS(said.out, "Usage: byokfs ");
		SAID(run[i], word[i], "-x", "a");
		snprintf(want, sizeof(want), "byokfs %s: unknown option '-x'\nTry 'byokfs %s --help'.\n", word[i],
			 word[i]);
		SAID_IS(CMD_USAGE, "", want);
	}
}
END_TEST

/* mount, as far as it goes before there is one: where it is to be. */
START_TEST(mount_places)
{
	SAID(cmd_mount, "mount", "store", "none");
	SAID_IS(CMD_NOT_FOUND, "", "byokfs: mount point none: No such file or directory: make the folder first\n");
	said_put("file", "", 0);
	SAID(cmd_mount, "mount", "store", "file");
	SAID_IS(CMD_NOT_FOUND, "", "byokfs: mount point DIR/file is not a folder\n");
	SAID(cmd_mount, "mount", "store", "store/data");
	SAID_IS(CMD_USAGE, "",
		"byokfs: mount point DIR/store/data lies in the store DIR/store: the store would be hidden below it\n");
	ck_assert_int_eq(mkdir("full", 0700), 0);
	said_put("full/x", "", 0);
	SAID(cmd_mount, "mount", "store", "full");
	SAID_IS(CMD_BUSY, "",
		"byokfs: mount point DIR/full is not empty: what lies in it would be hidden. Move it away first\n");
	SAID(cmd_mount, "mount", "--help");
	ck_assert_int_eq(said.code, CMD_OK);
	SAID_BEGINS(said.out, "Usage: byokfs mount STORE MOUNTPOINT");
	SAID(cmd_mount, "mount", "store");
	SAID_USAGE("mount", "MOUNTPOINT is missing");
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		references,      verdicts,       opens,
		no_store,        not_pinned,     keys_inside,
		kms_says_no,     silence,        times_that_do_not_fit,
		keyring_altered, verify_usage,   verify_clean,
		verify_damaged,  verify_refused, verify_unclean,
		audit_usage,     audit_none,     audit_show,
		audit_verify,    audit_planted,  status_of_store,
		orders,          mount_places,
	};

	return said_main("opened", setup, tests, ARRAY_LEN(tests));
}
