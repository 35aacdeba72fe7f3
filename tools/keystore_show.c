/* SPDX-License-Identifier: BSD-2-Clause */
/* How `byokfs keystore list` and `show` print. */
#include "tools/keystore_show.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "crypto/auto.h"
#include "tools/cmd.h"
#include "tools/emit.h"

#define TIME_MAX 32

static const char *when(int64_t t, char text[TIME_MAX])
{
	time_t seconds = (time_t)t;
	struct tm tm;

	if (!gmtime_r(&seconds, &tm) || !strftime(text, TIME_MAX, "%Y-%m-%dT%H:%M:%SZ", &tm))
		snprintf(text, TIME_MAX, "?");
	return text;
}

static void type_name(const struct keystore_key *key, char text[16])
{
	unsigned bits = key->n_versions ? key->version[key->n_versions - 1].bits : 0;

	if (key->type == KEYSTORE_AES256)
		snprintf(text, 16, "aes256");
	else if (bits)
		snprintf(text, 16, "rsa%u", bits);
	else
		snprintf(text, 16, "rsa");
}

/* What list and show say of a key in the same words. */
static void emit_summary(struct emit *e, const struct keystore_key *key)
{
	char text[TIME_MAX], type[16];

	type_name(key, type);
	emit_str(e, "name", key->name);
	emit_str(e, "state", keystore_state_name(key->state));
	emit_str(e, "type", type);
	emit_u64(e, "current_version", key->n_versions ? key->version[key->n_versions - 1].number : 0);
	emit_str(e, "created", when(key->created, text));
	emit_str(e, "changed", when(key->changed, text));
	emit_bool(e, "purge_protected", (key->flags & KEYSTORE_PURGE_PROTECTED) != 0);
	emit_bool(e, "imported", (key->flags & KEYSTORE_IMPORTED) != 0);
	if (key->deleted)
		emit_str(e, "deleted", when(key->deleted, text));
	if (key->state == KEYSTORE_DELETED)
		emit_str(e, "recoverable_until", when(keystore_retention_end(key), text));
}

struct key_listing {
	struct emit e;
	size_t n, damaged;
};

static const char *broken(int r)
{
	if (r == -EKEYEXPIRED)
		return "older copy";
	return r == -EBADMSG || r == -ENOTSUP ? "damaged" : "unreadable";
}

static void list_json(void *arg, const struct keystore_key *key, int r)
{
	struct key_listing *l = arg;

	l->damaged += r != 0;
	emit_open(&l->e, NULL);
	if (r) {
		emit_str(&l->e, "name", key->name);
		emit_str(&l->e, "state", broken(r));
	} else {
		emit_summary(&l->e, key);
	}
	emit_close(&l->e);
}

static void list_line(void *arg, const struct keystore_key *key, int r)
{
	struct key_listing *l = arg;
	char text[TIME_MAX], type[16];

	if (l->n++ == 0)
		printf("%-24s %-13s %-8s %7s  %s\n", "NAME", "STATE", "TYPE", "VERSION", "CHANGED");
	if (r) {
		l->damaged++;
		emit_escaped(stdout, key->name);
		printf("  %s\n", broken(r));
		return;
	}
	type_name(key, type);
	printf("%-24s %-13s %-8s %7u  %s", key->name, keystore_state_name(key->state), type,
	       key->n_versions ? key->version[key->n_versions - 1].number : 0, when(key->changed, text));
	if (key->state == KEYSTORE_DELETED)
		printf("  recoverable until %s", when(keystore_retention_end(key), text));
	putchar('\n');
}

int keystore_show_list(struct keystore *ks, bool json)
{
	struct key_listing l = {.e = {.out = stdout, .json = true}};
	char why[KEYSTORE_WHY_MAX];

	if (json) {
		emit_open(&l.e, NULL);
		emit_list(&l.e, "keys");
	}
	int r = keystore_list(ks, json ? list_json : list_line, &l, why);
	if (json) {
		emit_close(&l.e);
		emit_close(&l.e);
	}
	if (r)
		return cmd_fail(cmd_exit_of(r), "%s", why);
	if (!json && l.n == 0)
		cmd_say("No keys in %s yet: byokfs keystore create %s NAME", keystore_path(ks), keystore_path(ks));
	if (l.damaged)
		return cmd_fail(CMD_DAMAGED,
				"%zu key file%s of %s %s not what the keystore wrote: restore from a backup", l.damaged,
				l.damaged == 1 ? "" : "s", keystore_path(ks), l.damaged == 1 ? "is" : "are");
	return CMD_OK;
}

static void show_versions(struct emit *e, const struct keystore_key *key)
{
	char text[TIME_MAX];

	emit_list(e, "versions");
	for (uint32_t i = 0; i < key->n_versions; i++) {
		emit_open(e, NULL);
		emit_u64(e, "number", key->version[i].number);
		emit_u64(e, "bits", key->version[i].bits);
		emit_str(e, "created", when(key->version[i].created, text));
		emit_close(e);
	}
	emit_close(e);
}

static int show_fail(struct keystore *ks, const char *name, int r)
{
	if (r == -ENOENT)
		return cmd_fail(CMD_NOT_FOUND, "there is no key %s in keystore %s", name, keystore_path(ks));
	if (r == -EKEYEXPIRED)
		return cmd_fail(CMD_NOT_TRUSTED,
				"key %s of keystore %s is an older copy than this host has seen: if you put it back on "
				"purpose, say so with byokfs keystore accept",
				name, keystore_path(ks));
	if (r == -EBADMSG)
		return cmd_fail(CMD_DAMAGED,
				"key %s of keystore %s is damaged or was changed by hand: restore %s%s from a backup",
				name, keystore_path(ks), name, KEYSTORE_SUFFIX);
	return cmd_fail(cmd_exit_of(r), "cannot read key %s of keystore %s: %s", name, keystore_path(ks), strerror(-r));
}

int keystore_show_key(struct keystore *ks, const char *name, bool json)
{
	AUTO(auto_free) struct keystore_key *key = calloc(1, sizeof(*key));
	struct emit e = {.out = stdout, .json = json};
	int r = key ? keystore_load(ks, name, key) : -ENOMEM;

	if (r)
		return show_fail(ks, name, r);
	emit_open(&e, NULL);
	emit_summary(&e, key);
	emit_fmt(&e, "reference", "local:%s/%s", keystore_path(ks), name);
	show_versions(&e, key);
	emit_close(&e);
	keystore_key_wipe(key);
	return CMD_OK;
}
