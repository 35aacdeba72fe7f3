/* SPDX-License-Identifier: BSD-2-Clause */
/* `byokfs audit`: show and verify the log of what was done to a store. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "fs/audit/audit_check.h"
#include "fs/audit/audit_file.h"
#include "fs/watch/ended.h"
#include "tools/ask.h"
#include "tools/audit_show.h"
#include "tools/emit.h"
#include "tools/mounts.h"
#include "tools/opened.h"

#define SINCE_MAX (40 * 365 * 86400ull)

static const char help[] =
	"Usage: byokfs audit show STORE|MOUNTPOINT [--json] [--since TIME]\n"
	"       byokfs audit verify STORE|MOUNTPOINT [--json] [--kms REF] [--store-id ID] [--passphrase-file F]\n"
	"The log of a store: who mounted, locked, unlocked and unmounted it, each change of state and why, what was "
	"refused.\n"
	"'show' prints it, without a key and so without any proof. 'verify' asks the KMS for the key and finds "
	"removed, changed\n"
	"and reordered lines; a cut end is found on the host that mounted the store last. Both work while it is "
	"mounted.\n"
	"\n"
	"  --json               show: the lines as they are; verify: one object per problem, then a summary\n"
	"  --since TIME         show: from then on; UTC, 2026-11-24 or 2026-11-24T15:26, or how long ago: 90m, 12h, "
	"7d\n"
	"  --kms REF            verify: a KMS that may be contacted for this store, if this host does not know it yet\n"
	"  --store-id ID        verify: the id that the store must have; needed on such a host when the KEK is an RSA "
	"key\n"
	"  --passphrase-file F  verify: the keystore's passphrase (else systemd's credentials, else a prompt)\n"
	"  -h, --help           this text\n"
	"\n"
	"Exit: 0 nothing is wrong, 5 the log was tampered with, 3 the KMS refuses the key. The others stand in "
	"byokfs(1).\n"
	"\n"
	"Example:\n"
	"  byokfs audit show /mnt/backup --since 7d\n"
	"  byokfs audit verify /srv/backup.store\n";

enum { OPT_JSON = 256, OPT_SINCE, OPT_KMS, OPT_ID, OPT_PASSPHRASE };

static const struct option longs[] = {
	{"json", no_argument, NULL, OPT_JSON},
	{"since", required_argument, NULL, OPT_SINCE},
	{"kms", required_argument, NULL, OPT_KMS},
	{"passphrase-file", required_argument, NULL, OPT_PASSPHRASE},
	{"store-id", required_argument, NULL, OPT_ID},
	{"help", no_argument, NULL, 'h'},
	{0},
};

struct audit_cmd {
	struct opened_config open;
	bool verify, json, help;
	bool show_only, verify_only; /* such an option was given */
	char since[AUDIT_TIME_LEN + 1];
	struct emit emit;
};

static void store_close_at(struct store **s)
{
	store_close(*s);
}

/* The command line */

/* 0 and the beginning of a line's time, or CMD_USAGE. */
static int since_read(const char *text, char out[AUDIT_TIME_LEN + 1])
{
	static const char form[] = "dddd-dd-ddTdd:dd:dd";
	size_t n = strlen(text);
	uint64_t ago;
	struct tm tm;

	if (cmd_number(text, "smhd", 0, SINCE_MAX, &ago) == 0 && n > 0 && strchr("smhd", text[n - 1])) {
		time_t t = time(NULL) - (time_t)ago;
		if (gmtime_r(&t, &tm) && strftime(out, AUDIT_TIME_LEN + 1, "%Y-%m-%dT%H:%M:%S", &tm) > 0)
			return CMD_OK;
	}
	bool good = n == 10 || n == 13 || n == 16 || n == 19;
	for (size_t i = 0; good && i < n; i++) {
		out[i] = (char)(text[i] == ' ' && form[i] == 'T' ? 'T' : text[i]);
		good = form[i] == 'd' ? text[i] >= '0' && text[i] <= '9' : out[i] == form[i];
	}
	if (!good)
		return cmd_usage("audit", "--since is a time like 2026-11-24T15:26 (UTC) or 12h, not '%s'", text);
	out[n] = 0;
	return CMD_OK;
}

static int option_take(struct audit_cmd *a, int c)
{
	switch (c) {
	case OPT_JSON:
		a->json = true;
		return CMD_OK;
	case OPT_SINCE:
		a->show_only = true;
		return since_read(optarg, a->since);
	case OPT_KMS:
		a->verify_only = true;
		return opened_add_ref(&a->open, "audit", optarg);
	case OPT_ID:
		a->verify_only = true;
		return opened_take_id(&a->open, "audit", optarg);
	case OPT_PASSPHRASE:
		a->verify_only = true;
		a->open.passphrase_file = optarg;
		return CMD_OK;
	case 'h':
		a->help = true;
		return CMD_OK;
	default:
		return CMD_USAGE;
	}
}

static int options_read(struct audit_cmd *a, int argc, char **argv)
{
	static const char *const words[] = {"show", "verify", NULL};
	int c, r = CMD_OK;

	while (r == CMD_OK && !a->help && (c = cmd_option(argc, argv, "h", longs)) != -1)
		r = option_take(a, c);
	if (r != CMD_OK || a->help)
		return r;
	if (optind == argc)
		return cmd_usage("audit", "show or verify is missing");
	const char *word = argv[optind], *near = cmd_near(word, words);
	a->verify = strcmp(word, "verify") == 0;
	if (!a->verify && strcmp(word, "show") != 0)
		return near ? cmd_usage("audit", "'%s': did you mean '%s'?", word, near)
			    : cmd_usage("audit", "show or verify, not '%s'", word);
	if (optind != argc - 2)
		return cmd_usage("audit", "%s", optind == argc - 1 ? "STORE is missing" : "one STORE only");
	if (a->verify ? a->show_only : a->verify_only)
		return cmd_usage("audit", a->verify ? "--since is for show"
						    : "--kms, --store-id and --passphrase-file are for verify");
	a->open.path = argv[optind + 1];
	return CMD_OK;
}

/* STORE itself, or the store that is mounted on it; malloc'ed. A dead mount has left a note. */
static char *store_path(const char *path)
{
	AUTO(auto_free) char *answer = NULL;
	char canonical[MOUNTS_PATH_MAX];
	struct ended_note n;

	if (mounts_canonical(path, canonical) < 0 || !mounts_is(canonical))
		return strdup(path);
	if (control_call(canonical, CONTROL_STATUS, 5000, &answer) == 0)
		return ask_value(answer, "store", 0);
	return strdup(ended_read(canonical, &n) == 0 ? n.store : path);
}

/* show */

static void show_piece(struct audit_cmd *a, uint64_t at, const struct audit_piece *p)
{
	struct audit_line l;

	int r = p->too_long ? -EBADMSG : audit_line_parse(p->text, p->len, &l);
	if (r < 0) {
		fflush(stdout);
		cmd_warn("line %llu of the log %s", (unsigned long long)at,
			 r == -ENOTSUP ? "is of a newer version of byokfs"
			 : p->ended    ? "was not written by byokfs"
				       : "is unfinished");
		return;
	}
	if (strncmp(l.time, a->since, strlen(a->since)) < 0)
		return;
	if (a->json)
		printf("%s\n", p->text);
	else
		audit_show_line(stdout, &l);
}

static int show_all(struct audit_cmd *a, const struct store *s)
{
	AUTO(auto_free) struct audit_reader *reader = calloc(1, sizeof(*reader));
	struct audit_piece p;
	uint64_t at = 0;

	if (!reader)
		return cmd_fail(CMD_FAILED, "out of memory");
	int r = audit_reader_open(reader, s->own_fd);
	if (r == -ENOENT)
		return cmd_fail(CMD_NOT_FOUND,
				"%s has no audit log: it was not mounted for writing by a version that keeps one",
				s->path);
	while (r == 0 && (r = audit_reader_next(reader, &p)) == 1) {
		show_piece(a, ++at, &p);
		r = 0;
	}
	audit_reader_close(reader);
	return r < 0 ? cmd_fail(cmd_exit_of(r), "cannot read the audit log of %s: %s", s->path, strerror(-r)) : CMD_OK;
}

static int show(struct audit_cmd *a)
{
	const struct store_open how = {.path = a->open.path, .no_pin_check = true, .read_only = true};
	AUTO(store_close_at) struct store *s = NULL;
	char why[STORE_WHY_MAX];

	int r = store_open(&how, &s, why);
	return r < 0 ? cmd_fail(cmd_exit_of(r), "%s", why) : show_all(a, s);
}

/* verify */

static void log_quiet(int priority, const char *text)
{
	if (priority <= LOG_WARNING)
		cmd_warn("%s", text);
}

static void problem(void *arg, const struct audit_problem *p)
{
	struct audit_cmd *a = arg;
	struct emit *e = &a->emit;

	if (!e->json) {
		printf("%s: ", p->damage ? "damage" : "note");
		emit_escaped(stdout, p->text);
		putchar('\n');
		return;
	}
	emit_open(e, NULL);
	emit_str(e, "type", "problem");
	emit_str(e, "severity", p->damage ? "damage" : "note");
	emit_str(e, "code", audit_trouble_name(p->trouble));
	emit_u64(e, "at", p->at);
	emit_u64(e, "session", p->session);
	emit_u64(e, "line", p->line);
	emit_str(e, "text", p->text);
	emit_close(e);
}

static void summary(struct audit_cmd *a, const struct store *s, const struct audit_checked *c, bool live)
{
	struct emit *e = &a->emit;

	if (!e->json) {
		printf("%llu lines of %llu sessions are authentic; damage: %llu, notes: %llu%s\n",
		       (unsigned long long)c->lines, (unsigned long long)c->sessions, (unsigned long long)c->damage,
		       (unsigned long long)c->notes,
		       live ? ". The store is mounted: the log may have grown meanwhile" : "");
		return;
	}
	emit_open(e, NULL);
	emit_str(e, "type", "summary");
	emit_str(e, "store", s->path);
	emit_u64(e, "lines", c->lines);
	emit_u64(e, "sessions", c->sessions);
	emit_u64(e, "damage", c->damage);
	emit_u64(e, "notes", c->notes);
	emit_bool(e, "end_known", c->end_known);
	emit_bool(e, "mounted", live);
	emit_close(e);
}

static int verify_opened(struct audit_cmd *a, const struct opened_store *o)
{
	struct store_owner owner;
	struct audit_check_config cfg = {
		.store = o->store,
		.gate = o->gate,
		.live = store_owner(o->store, &owner) == 0,
		.problem = problem,
		.arg = a,
	};
	struct audit_checked c;

	int r = audit_check(&cfg, &c);
	if (r < 0)
		return cmd_fail(cmd_exit_of(r), "cannot check the audit log of %s: %s", o->store->path,
				r == -EUCLEAN ? "it is not a regular file" : strerror(-r));
	summary(a, o->store, &c, cfg.live);
	return c.damage > 0 ? CMD_DAMAGED : CMD_OK;
}

static int verify(struct audit_cmd *a)
{
	struct opened_store o;

	a->open.mountpoint = "";
	a->open.read_only = a->open.look_only = true;
	a->open.may_prompt = isatty(STDIN_FILENO);
	a->open.log = log_quiet;
	int code = opened_begin(&a->open, &o);
	if (code != CMD_OK)
		return code;
	code = verify_opened(a, &o);
	int end = opened_close(&o, false);
	return code != CMD_OK ? code : end;
}

int cmd_audit(int argc, char **argv)
{
	struct audit_cmd a = {0};

	int r = options_read(&a, argc, argv);
	if (r == CMD_OK && a.help) {
		fputs(help, stdout);
		return CMD_OK;
	}
	if (r != CMD_OK)
		return r;
	AUTO(auto_free) char *path = store_path(a.open.path);
	if (!path)
		return cmd_fail(CMD_FAILED, "cannot tell which store is mounted on %s", a.open.path);
	a.open.path = path;
	a.emit = (struct emit){.out = stdout, .json = a.json};
	return a.verify ? verify(&a) : show(&a);
}
