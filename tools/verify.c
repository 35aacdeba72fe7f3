/* SPDX-License-Identifier: BSD-2-Clause */
/* `byokfs verify`: check every object of a store. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "tools/opened.h"
#include "tools/verify_show.h"

#define PATIENCE_S 2
#define FILES_WANTED 65536u /* one descriptor per folder of the deepest path, and then some */

static const char help[] =
	"Usage: byokfs verify STORE [OPTIONS]\n"
	"Check every directory, name, file, block and attribute of STORE, which must not be mounted.\n"
	"\n"
	"  --no-key              structure only, without asking the KMS; works on a mounted or locked store too\n"
	"  --repair              put right what a crash left; what is taken away is kept in STORE/byokfs/lost+found\n"
	"  --json                one JSON object per problem and line, then a summary\n"
	"  --kms REF             a KMS that may be contacted for this store, if this host does not know it yet\n"
	"  --kms-option N=V      how the --kms before it is reached (byokfs mount --help has them)\n"
	"  --accept-older-session\n"
	"                        the store was restored from a copy: what a crash had left in it is no damage\n"
	"  --store-id ID         the id that the store must have; needed on such a host when the KEK is an RSA key\n"
	"  --passphrase-file F   the keystore's passphrase (else systemd's credentials, else a prompt)\n"
	"  -h, --help            this text\n"
	"\n"
	"Exit: 0 no damage, 5 damage, 3 the KMS refuses the key, 6 the store is in use. What a crash left is told but "
	"is\n"
	"no damage: a mount tolerates it. The others stand in byokfs(1).\n"
	"\n"
	"Example:\n"
	"  byokfs umount /mnt/backup && byokfs verify /srv/backup.store\n";

enum { OPT_NO_KEY = 256, OPT_REPAIR, OPT_JSON, OPT_KMS, OPT_KMS_OPTION, OPT_ID, OPT_PASSPHRASE, OPT_SESSION };

static const struct option longs[] = {
	{"no-key", no_argument, NULL, OPT_NO_KEY},
	{"repair", no_argument, NULL, OPT_REPAIR},
	{"json", no_argument, NULL, OPT_JSON},
	{"kms", required_argument, NULL, OPT_KMS},
	{"kms-option", required_argument, NULL, OPT_KMS_OPTION},
	{"store-id", required_argument, NULL, OPT_ID},
	{"passphrase-file", required_argument, NULL, OPT_PASSPHRASE},
	{"accept-older-session", no_argument, NULL, OPT_SESSION},
	{"help", no_argument, NULL, 'h'},
	{0},
};

struct verify {
	struct opened_config open;
	bool no_key, repair, json, help;
	struct verify_show show;
	struct check_counts counts;
	struct verify_result result;
	struct store *before; /* as it was found */
	uint8_t *session;     /* the record before store_begin() wrote another */
	size_t session_len;
};

static _Atomic int cancelled;
static struct verify_show *shown; /* for the log, which has no argument */

/* A second signal ends at once if it comes later: timeout(1) sends two in a row, a user means it. */
static void on_signal(int number)
{
	static _Atomic time_t first;
	time_t now = time(NULL);
	if (cancelled && now - first >= PATIENCE_S) {
		signal(number, SIG_DFL);
		raise(number);
	}
	if (!cancelled)
		first = now;
	cancelled = 1;
}

static void catch_signals(void)
{
	struct sigaction a = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	sigaction(SIGINT, &a, NULL);
	sigaction(SIGTERM, &a, NULL);
	sigaction(SIGHUP, &a, NULL);
}

static void log_line(int priority, const char *text)
{
	(void)priority;
	verify_show_log(shown, text);
}

static void raise_files(void)
{
	struct rlimit l;
	if (getrlimit(RLIMIT_NOFILE, &l) < 0 || l.rlim_cur >= FILES_WANTED)
		return;
	l.rlim_cur = l.rlim_max < FILES_WANTED ? l.rlim_max : FILES_WANTED;
	(void)setrlimit(RLIMIT_NOFILE, &l); /* without it only very deep trees are refused, and that is told */
}

static int option_take(struct verify *v, int c)
{
	switch (c) {
	case OPT_NO_KEY:
		v->no_key = true;
		return CMD_OK;
	case OPT_REPAIR:
		v->repair = true;
		return CMD_OK;
	case OPT_SESSION:
		v->open.accept_session = true;
		return CMD_OK;
	case OPT_JSON:
		v->json = true;
		return CMD_OK;
	case OPT_KMS:
		return opened_add_ref(&v->open, "verify", optarg);
	case OPT_KMS_OPTION:
		return opened_add_option(&v->open, "verify", optarg);
	case OPT_ID:
		return opened_take_id(&v->open, "verify", optarg);
	case OPT_PASSPHRASE:
		v->open.passphrase_file = optarg;
		return CMD_OK;
	case 'h':
		v->help = true;
		return CMD_OK;
	default:
		return CMD_USAGE;
	}
}

static int options_read(struct verify *v, int argc, char **argv)
{
	int c, r = CMD_OK;
	while (r == CMD_OK && !v->help && (c = cmd_option(argc, argv, "h", longs)) != -1)
		r = option_take(v, c);
	if (r != CMD_OK || v->help)
		return r;
	if (optind != argc - 1)
		return cmd_usage("verify", "%s", optind == argc ? "STORE is missing" : "one STORE only");
	if (v->no_key && v->repair)
		return cmd_usage("verify", "--repair needs the key: what is right can only be told with it");
	v->open.path = argv[optind];
	return CMD_OK;
}

/* What the outcome of a pass means as an exit code. */
static int outcome(struct verify *v, int r)
{
	const struct check_counts *c = &v->counts;
	v->result.complete = !r;
	if (r == -EINTR)
		return cmd_fail(CMD_FAILED, "interrupted: not all of the store was looked at");
	if (r == -EMFILE || r == -ENFILE)
		return cmd_fail(CMD_FAILED,
				"too many open files: the folders are nested too deep for the limit (ulimit -n)");
	if (r && r != -EACCES)
		return cmd_fail(cmd_exit_of(r), "cannot check the store: %s", strerror(-r));
	/* What a crash left is no damage: the mount makes good of it. It only keeps the store from counting as clean. */
	return c->damage ? CMD_DAMAGED : CMD_OK;
}

/* The gate locked in the middle: say why. */
static int locked(struct gate *g)
{
	struct gate_status s;
	gate_status(g, &s);
	return cmd_fail(s.cause == GATE_CAUSE_OUTAGE ? CMD_UNREACHABLE : CMD_REFUSED,
			"the key was taken away while the store was checked: %s", s.reason);
}

static struct check_config check_of(struct verify *v, const struct store *s, struct gate *g)
{
	return (struct check_config){
		.store = s,
		.gate = g,
		.repair = v->repair,
		.cancel = &cancelled,
		.problem = verify_show_problem,
		.progress = v->show.terminal ? verify_show_progress : NULL,
		.arg = &v->show,
	};
}

/*
 * The store as it is found, before anything is put right; with --no-key all of it. The session record is kept for when
 * there is a key.
 */
static int look_before(struct verify *v)
{
	const struct store_open how = {.path = v->open.path,
				       .accept_session = v->open.accept_session,
				       .no_pin_check = true,
				       .read_only = true};
	char why[STORE_WHY_MAX] = "";
	int r = store_open(&how, &v->before, why);
	if (r) {
		v->before = NULL;
		return cmd_fail(cmd_exit_of(r), "%s", why);
	}
	struct check_config cfg = check_of(v, v->before, NULL);
	cfg.begins = !v->no_key;
	r = check_own(&cfg, &v->counts);
	if (!r && v->no_key) {
		catch_signals();
		check_keyring(&cfg, &v->counts);
		r = check_data(&cfg, &v->counts);
	}
	if (!r && !v->no_key &&
	    store_read_file(v->before->own_fd, STORE_SESSION, SESSION_LEN, &v->session, &v->session_len))
		v->session_len = 0;
	return outcome(v, r);
}

/*
 * A clean store is only read: a check that is killed leaves it as it was. One that a crash left is begun for writing, so
 * that the writes in flight are completed first and it can count as clean afterwards.
 */
static int begin_writing(struct opened_store *o)
{
	char why[STORE_WHY_MAX] = "";
	struct store *s = o->store;
	if (!s->read_only || !s->unclean || (s->keyring->ro_compat & ~FEATURES_RO_COMPAT_KNOWN) ||
	    faccessat(s->own_fd, ".", W_OK, 0) < 0)
		return CMD_OK;
	s->read_only = false;
	int r = store_begin(s, o->gate, log_line, why);
	if (!r)
		return CMD_OK;
	o->begun = false;
	return cmd_fail(cmd_exit_of(r), "%s", why);
}

static int check_all(struct verify *v, struct opened_store *o)
{
	const struct gate_hooks none = {0};
	struct check_config cfg = check_of(v, o->store, o->gate), before = check_of(v, v->before, NULL);
	before.repair = !o->store->read_only;
	check_keyring(&before, &v->counts);
	/* Its thread renews the lease for as long as the check takes, and sees a refusal. */
	int r = gate_start(o->gate, &none);
	if (!r && v->session_len == SESSION_LEN)
		r = check_session(&cfg, v->session, v->session_len, &v->counts);
	check_list(&cfg, &v->counts);
	if (!r)
		r = check_data(&cfg, &v->counts);
	if (!r && v->repair && syncfs(o->store->data_fd) < 0)
		r = -errno;
	v->result.unclean = o->store->unclean;
	int code = outcome(v, r);
	return r == -EACCES ? locked(o->gate) : code;
}

static int verify_with_key(struct verify *v)
{
	struct opened_store o;
	v->result.complete = false; /* what look_before() said is of its own pass */
	v->open.read_only = !v->repair;
	v->open.mountpoint = "";
	v->open.may_prompt = isatty(STDIN_FILENO);
	v->open.log = log_line;
	int code = opened_begin(&v->open, &o);
	if (code != CMD_OK)
		return code;
	catch_signals(); /* not before: a prompt must end as ever */
	code = begin_writing(&o);
	if (code == CMD_OK)
		code = check_all(v, &o);
	/*
	 * Whatever verify says of the store it says of all of it, and only then does the crash count as dealt with. What was lost
	 * stays on its list: that it is damage is no crash's doing.
	 */
	bool passed = (code == CMD_OK || code == CMD_DAMAGED) && v->result.complete && !v->counts.crash &&
		      v->counts.damage == v->counts.lost;
	v->result.marked_clean = passed && o.store->unclean && !o.store->read_only;
	int end = opened_close(&o, passed);
	return code == CMD_OK ? end : code;
}

static int verify(struct verify *v)
{
	verify_show_begin(&v->show, v->json);
	shown = &v->show;
	raise_files();
	v->result.store = v->open.path;
	v->result.with_key = !v->no_key;
	int before = look_before(v);
	if (!v->before)
		return before;
	int code = v->no_key ? before : verify_with_key(v);
	if (code != CMD_OK && !v->counts.dirs && !v->counts.damage)
		return code; /* never begun: the message is all there is */
	v->result.exit_code = code;
	verify_show_end(&v->show, &v->counts, &v->result);
	return code;
}

int cmd_verify(int argc, char **argv)
{
	struct verify v = {0};
	int r = options_read(&v, argc, argv);
	if (r == CMD_OK && v.help) {
		fputs(help, stdout);
		return CMD_OK;
	}
	if (r == CMD_OK)
		r = verify(&v);
	store_close(v.before);
	free(v.session);
	opened_config_wipe(&v.open);
	return r;
}
