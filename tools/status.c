/* SPDX-License-Identifier: BSD-2-Clause */
/* `byokfs status`: what a mount says of itself, what a store shows without a key. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "crypto/auto.h"
#include "fs/store/store.h"
#include "fs/watch/built_on.h"
#include "fs/watch/ended.h"
#include "tools/ask.h"
#include "tools/emit.h"
#include "tools/mounts.h"
#include "tools/reach.h"
#include "tools/status_page.h"

static const char help[] =
	"Usage: byokfs status [MOUNTPOINT|STORE] [--json]\n"
	"Show the state of a mount and the reason for it, what to do, what was refused or found damaged. Of a "
	"store that is not mounted,\n"
	"show what can be read without a key. Without an argument: every mount.\n"
	"\n"
	"  --json       every field, as one line of JSON\n"
	"  -h, --help   this text\n"
	"\n"
	"Examples:\n"
	"  byokfs status /mnt/backup\n"
	"  byokfs status --json | python3 -m json.tool\n";

enum { OPT_JSON = 256 };
static const struct option longs[] = {
	{"json", no_argument, NULL, OPT_JSON},
	{"help", no_argument, NULL, 'h'},
	{0},
};

/* Kinds of status values; what is not listed is text. */
static const char *const numbers[] = {"since",
				      "lease_left_s",
				      "grace_left_s",
				      "next_probe_s",
				      "last_good",
				      "last_refusal",
				      "polls",
				      "kms_took_ms",
				      "keys_in_memory",
				      "keys_cap",
				      "keys_dropped",
				      "pid",
				      "supervisor_pid",
				      "worker_pid",
				      "mount_id",
				      "block_size",
				      "cached_inodes",
				      "open_files",
				      "lost_ranges",
				      "refused_writes",
				      "corrupt",
				      "recovered",
				      "mended_files",
				      "mended_bytes_cut",
				      "put_back_files",
				      "journal_bytes",
				      "journal_bytes_used",
				      "journal_entries",
				      "journal_entries_put",
				      "draining",
				      "built_on_all",
				      "keyring_sequence",
				      "lock_sealed_bytes",
				      "lock_refused_bytes",
				      "lock_inodes",
				      "lock_contents_ms",
				      "lock_all_ms",
				      "audit_lines",
				      "audit_waiting",
				      "audit_lost",
				      "denied",
				      NULL};
/* Lines of which there may be several; with --json a list. */
static const char *const repeated[] = {"kms", "built_on"};
static const char *const booleans[] = {"ordered", "read_only", "connected", NULL};

static bool is_in(const char *key, const char *const *list)
{
	for (; *list; list++)
		if (strcmp(key, *list) == 0)
			return true;
	return false;
}

static void put_time(struct emit *e, const char *key, uint64_t value)
{
	char text[64];
	time_t t = (time_t)value;
	struct tm tm;

	if (value == 0)
		emit_str(e, key, "never");
	else if (localtime_r(&t, &tm) && strftime(text, sizeof(text), "%F %T %z", &tm) > 0)
		emit_str(e, key, text);
}

static void put_value(struct emit *e, const char *key, const char *value)
{
	uint64_t n = 0;
	bool is_number = cmd_number(value, NULL, 0, UINT64_MAX, &n) == 0;

	if (is_number && is_in(key, numbers))
		emit_u64(e, key, n);
	else if (is_number && is_in(key, booleans))
		emit_bool(e, key, n != 0);
	else
		emit_str(e, key, value);
}

static void put_refs(struct emit *e, const char *const *ref, size_t n)
{
	if (e->json)
		emit_list(e, "kms");
	for (size_t i = 0; i < n; i++)
		emit_str(e, e->json ? NULL : "kms", ref[i]);
	if (e->json)
		emit_close(e);
}

/* All values of KEY as one list, where its first line stands. */
static void put_repeated(struct emit *e, const char *answer, const char *key)
{
	unsigned n = 0;

	emit_list(e, key);
	for (char *value; (value = ask_value(answer, key, n)); n++) {
		emit_str(e, NULL, value);
		free(value);
	}
	emit_close(e);
}

/* All lines of a mount's answer, in its order, for programs; repeated keys as lists. */
static void put_answer(struct emit *e, const char *answer)
{
	bool done[ARRAY_LEN(repeated)] = {false};

	for (const char *p = answer; *p != 0; p += strcspn(p, "\n") + (p[strcspn(p, "\n")] == '\n')) {
		char key[64];
		size_t len = strcspn(p, " \n");
		if (len == 0 || len >= sizeof(key) || p[len] != ' ')
			continue;
		memcpy(key, p, len);
		key[len] = 0;
		size_t i = 0;
		while (i < ARRAY_LEN(repeated) && strcmp(key, repeated[i]) != 0)
			i++;
		if (i == ARRAY_LEN(repeated)) {
			AUTO(auto_free) char *value = ask_value(answer, key, 0);
			if (value)
				put_value(e, key, value);
		} else if (!done[i]) {
			put_repeated(e, answer, key);
			done[i] = true;
		}
	}
}

/* The mount is dead, and still in the table: what is built on it has what it had cached. */
static void put_built_on(struct emit *e, const char *mountpoint)
{
	struct built_on found;

	(void)(built_on_here(0, mountpoint, &found) == 0); /* what was found is there in any case */
	if (found.n == 0)
		return;
	if (e->json)
		emit_list(e, "built_on");
	for (size_t i = 0; i < found.n && i < BUILT_ON_MAX; i++)
		emit_str(e, e->json ? NULL : "built_on_it", found.what[i]);
	if (e->json)
		emit_close(e);
	emit_u64(e, "built_on_all", found.n);
}

/* Nobody answers there: what the end of the mount has left behind. */
static void put_silent(struct emit *e, const char *mountpoint)
{
	struct ended_note n;
	bool known = ended_read(mountpoint, &n) == 0;

	bool dead = known || mounts_is_dead(mountpoint);
	emit_str(e, "state", dead ? "dead" : "unknown");
	emit_str(e, "reason", known ? n.why : "the daemon does not answer");
	if (dead && !e->json)
		emit_fmt(e, "to_do", "byokfs umount %s, then mount it again", mountpoint);
	if (known) {
		emit_str(e, "ended_by", n.who);
		if (e->json)
			emit_i64(e, "since", n.when);
		else
			put_time(e, "since", (uint64_t)n.when);
		emit_str(e, "store", n.store);
	}
	emit_str(e, "mountpoint", mountpoint);
	put_built_on(e, mountpoint);
}

/* How this host reaches each KMS of the store, as it remembers it. */
static void put_options(struct emit *e, const struct store *s)
{
	AUTO(auto_free) struct kms_options *o = calloc(1, sizeof(*o));
	char why[CMD_WHY_MAX] = "";

	if (e->json)
		emit_list(e, "kms_options");
	for (uint32_t i = 0; o && i < s->keyring->n_slots; i++) {
		const char *ref = s->keyring->slot[i].ref;

		if (reach_remembered(s->path, s->keyring->store_id, ref, o, why))
			cmd_warn("%s", why);
		for (size_t n = 0; n < o->n; n++) {
			char text[sizeof(s->keyring->slot[0].ref) + sizeof(o->option[0]) + 2];

			snprintf(text, sizeof(text), "%s %s=%s", ref, o->option[n].name, o->option[n].value);
			emit_str(e, e->json ? NULL : "kms_option", text);
		}
	}
	if (e->json)
		emit_close(e);
}

/* S: the store that was asked about by its path, or NULL. */
static enum cmd_exit one_mount(struct emit *e, const char *mountpoint, const struct store *s)
{
	AUTO(auto_free) char *answer = NULL;
	enum cmd_exit code = ask_mount(mountpoint, CONTROL_STATUS, &answer, NULL);

	emit_open(e, NULL);
	if (code != CMD_OK)
		put_silent(e, mountpoint);
	else if (e->json)
		put_answer(e, answer);
	else
		status_page(e, answer, (int64_t)time(NULL));
	if (s)
		put_options(e, s);
	emit_close(e);
	return code;
}

static void put_store(struct emit *e, const struct store *s, const struct store_owner *owner)
{
	const struct keyring *k = s->keyring;
	const char *ref[KEYRING_SLOTS_MAX];

	emit_str(e, "state", owner ? "in use" : "not mounted");
	if (e->json)
		emit_str(e, "reason", "");
	if (owner || e->json)
		emit_i64(e, "pid", owner ? owner->pid : 0);
	if (owner) {
		emit_str(e, "host", owner->host);
		emit_str(e, "mountpoint", owner->mountpoint);
	}
	emit_str(e, "store", s->path);
	emit_hex(e, "store_id", k->store_id, ID_LEN);
	for (uint32_t i = 0; i < k->n_slots; i++)
		ref[i] = k->slot[i].ref;
	put_refs(e, ref, k->n_slots);
	put_options(e, s);
	emit_str(e, "policy", k->policy == POLICY_ANY ? "any" : "all");
	emit_str(e, "wrap", k->wrap_type == WRAP_FILE ? "file" : "store");
	emit_str(e, "names", k->name_mode == NAMES_PLAIN ? "plain" : "encrypted");
	emit_u64(e, "block_size", k->layout.block_len);
	emit_u64(e, "keyring_sequence", k->sequence);
	emit_str(e, "trust", "what the keyring claims: nothing of it was checked with a key");
}

static void store_close_at(struct store **s)
{
	store_close(*s);
}

/* Nothing is contacted and nothing written. */
static enum cmd_exit one_store(struct emit *e, const char *path)
{
	const struct store_open how = {.path = path, .no_pin_check = true, .read_only = true};
	AUTO(store_close_at) struct store *s = NULL;
	char why[STORE_WHY_MAX], mountpoint[MOUNTS_PATH_MAX];
	struct store_owner owner;

	int r = store_open(&how, &s, why);
	if (r == -ENOENT)
		return cmd_fail(CMD_NOT_FOUND, "%s is neither a byokfs mount nor a store", path);
	if (r < 0)
		return cmd_fail(cmd_exit_of(r), "%s", why);
	bool owned = store_owner(s, &owner) == 0;
	if (owned && owner.mountpoint[0] != 0 && mounts_canonical(owner.mountpoint, mountpoint) == 0 &&
	    mounts_is(mountpoint))
		return one_mount(e, mountpoint, s);
	emit_open(e, NULL);
	put_store(e, s, owned ? &owner : NULL);
	emit_close(e);
	return CMD_OK;
}

static enum cmd_exit all_mounts(struct emit *e)
{
	char **list;
	enum cmd_exit code = CMD_OK;

	int r = mounts_list(&list);
	if (r < 0)
		return cmd_fail(CMD_FAILED, "cannot read the mount table: %s", strerror(-r));
	if (e->json) {
		emit_open(e, NULL);
		emit_list(e, "mounts");
	}
	for (char **p = list; *p; p++) {
		enum cmd_exit one = one_mount(e, *p, NULL);
		if (one != CMD_OK)
			code = one;
		if (!e->json && p[1])
			fputc('\n', e->out);
	}
	if (e->json) {
		emit_close(e);
		emit_close(e);
	}
	if (!*list && !e->json)
		puts("No byokfs is mounted.");
	mounts_free(list);
	return code;
}

int cmd_status(int argc, char **argv)
{
	struct emit e = {.out = stdout};
	char path[MOUNTS_PATH_MAX];
	int c;

	while ((c = cmd_option(argc, argv, "h", longs)) != -1) {
		if (c == 'h') {
			fputs(help, stdout);
			return CMD_OK;
		}
		if (c != OPT_JSON)
			return CMD_USAGE;
		e.json = true;
	}
	if (argc - optind > 1)
		return cmd_usage("status", "one MOUNTPOINT or STORE only");
	enum cmd_exit code;
	int r = optind < argc ? mounts_canonical(argv[optind], path) : 0;
	if (r < 0)
		return cmd_fail(cmd_exit_of(r), "%s: %s", argv[optind], strerror(-r));
	if (optind == argc)
		code = all_mounts(&e);
	else
		code = mounts_is(path) ? one_mount(&e, path, NULL) : one_store(&e, path);
	return code;
}
