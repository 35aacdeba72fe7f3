/* SPDX-License-Identifier: BSD-2-Clause */
/* Administrative acts on the embedded keystore: each reads a key, changes it and writes it whole, under one lock. */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "kms/keystore/keystore_format.h"
#include "kms/keystore/keystore_private.h"
#include "kms/keystore/rsa.h"

/* One act: lock, load, (change), save, unlock. */
struct key_edit {
	struct keystore *ks;
	const char *name;
	int dir, lock;
	bool exists;
	bool accept; /* a copy that is older than this host has seen will do */
	struct keystore_key key;
	char *why;
};

static void edit_end(struct key_edit *e)
{
	keystore_key_wipe(&e->key);
	keystore_close_fd(&e->lock);
	keystore_close_fd(&e->dir);
}

static int edit_begin(struct key_edit *e)
{
	if (keystore_name_check(e->name))
		return keystore_say(e->why, -EINVAL,
				    "'%.80s' is no key name: letters, digits, '.', '_' and '-', at most %u", e->name,
				    KEYSTORE_NAME_MAX);
	e->dir = keystore_dir(e->ks);
	if (e->dir < 0)
		return keystore_say(e->why, e->dir, "keystore %s: %s", e->ks->path, strerror(-e->dir));
	e->lock = openat(e->dir, KEYSTORE_LOCK_FILE, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (e->lock < 0 || flock(e->lock, LOCK_EX) != 0)
		return keystore_say(e->why, -errno, "cannot lock the keystore %s: %s", e->ks->path, strerror(errno));
	int r = keystore_load_at(e->ks, e->dir, e->name, &e->key);
	if (r == -EBADMSG)
		return keystore_say(
			e->why, r,
			"key %s of keystore %s is damaged or was changed by hand: restore %s%s from a backup", e->name,
			e->ks->path, e->name, KEYSTORE_SUFFIX);
	if (r == -EKEYEXPIRED && !e->accept)
		return keystore_say(
			e->why, r,
			"key %s of keystore %s is an older copy than this host has seen: if you put it back on "
			"purpose, say so with byokfs keystore accept",
			e->name, e->ks->path);
	if (r && r != -ENOENT && r != -EKEYEXPIRED)
		return keystore_say(e->why, r, "cannot read key %s of keystore %s: %s", e->name, e->ks->path,
				    strerror(-r));
	e->exists = r == 0 || r == -EKEYEXPIRED;
	return 0;
}

/* For acts on a key that must be there. */
static int edit_begin_existing(struct key_edit *e)
{
	int r = edit_begin(e);

	if (!r && !e->exists)
		r = keystore_say(e->why, -ENOENT, "there is no key %s in keystore %s: byokfs keystore list shows them",
				 e->name, e->ks->path);
	return r;
}

static int edit_save(struct key_edit *e)
{
	struct seen known;
	e->key.changed = time(NULL);
	/* Also newer than a file that was removed by hand, or put back: what was seen last is always passed. A damaged memory is made anew. */
	if (keystore_seen(e->ks, e->name, &known) == 0 && known.change > e->key.change)
		e->key.change = known.change;
	e->key.change++;
	struct keystore_who who = {.master = e->ks->master, .id = e->ks->id, .name = e->name};
	uint8_t *buf = NULL;
	size_t len;
	int r = keystore_key_seal(&e->key, &who, &buf, &len);
	if (!r) {
		char file[KEYSTORE_FILE_NAME_MAX];
		snprintf(file, sizeof(file), "%s" KEYSTORE_SUFFIX, e->name);
		r = keystore_replace(e->dir, file, buf, len);
		free(buf);
		/* A new file that is there although its folder could not be synced is remembered by who reads it next. */
		if (!r)
			keystore_saw(e->ks, &e->key);
	}
	/* Not "is unchanged": if the folder's fsync failed, the new file may be there. */
	if (r)
		return keystore_say(e->why, r, "cannot write key %s of keystore %s: %s", e->name, e->ks->path,
				    strerror(-r));
	return 0;
}

static int edit_refuse(struct key_edit *e, int r, const char *text)
{
	return keystore_say(e->why, r, "key %s of keystore %s %s", e->name, e->ks->path, text);
}

/* New material of KEY's type in guarded memory: given (checked), or drawn. */
static int material_make(enum keystore_type type, unsigned bits, const uint8_t *given, size_t len, struct rsa_der *out)
{
	memset(out, 0, sizeof(*out));
	if (type == KEYSTORE_RSA)
		return given ? rsa_from_der(given, len, out) : rsa_generate(bits, out);
	if (given && len != KEY_LEN)
		return -EINVAL;
	out->bytes = sodium_malloc(KEY_LEN);
	if (!out->bytes)
		return -ENOMEM;
	out->len = KEY_LEN;
	out->bits = 256;
	if (given)
		memcpy(out->bytes, given, KEY_LEN);
	else
		random_bytes(out->bytes, KEY_LEN);
	return 0;
}

/* Append MATERIAL as the newest version. */
static int version_append(struct keystore_key *key, const struct rsa_der *material)
{
	if (key->n_versions >= KEYSTORE_VERSIONS_MAX || key->next_version == UINT32_MAX)
		return -ENOSPC;
	uint8_t *grown = sodium_malloc(key->material_len + material->len);
	if (!grown)
		return -ENOMEM;
	if (key->material)
		memcpy(grown, key->material, key->material_len);
	memcpy(grown + key->material_len, material->bytes, material->len);
	sodium_free(key->material);
	key->material = grown;
	struct keystore_version *v = &key->version[key->n_versions];
	v->off = key->material_len;
	v->len = (uint32_t)material->len;
	v->bits = (uint16_t)material->bits;
	v->number = key->next_version++;
	v->created = time(NULL);
	key->material_len += material->len;
	key->n_versions++;
	return 0;
}

static int add_version(struct key_edit *e, unsigned bits, const uint8_t *material, size_t len)
{
	AUTO(rsa_der_free) struct rsa_der made;
	int r = material_make(e->key.type, bits, material, len, &made);

	if (r == -ERANGE)
		return edit_refuse(e, r, "is unchanged: an RSA key must have 2048 to 4096 bits");
	if (r == -EINVAL)
		return edit_refuse(e, r,
				   e->key.type == KEYSTORE_RSA ? "is unchanged: that is not an RSA private key"
							       : "is unchanged: an AES-256 key is 32 bytes");
	if (!r)
		r = version_append(&e->key, &made);
	if (r == -ENOSPC)
		return edit_refuse(e, r, "has as many versions as a key may have: make a new key");
	return r ? keystore_say(e->why, r, "cannot make a key: %s", strerror(-r)) : 0;
}

int keystore_add(struct keystore *ks, const struct keystore_new *what, char why[KEYSTORE_WHY_MAX])
{
	AUTO(edit_end) struct key_edit e = {.ks = ks, .name = what->name, .dir = -1, .lock = -1, .why = why};
	int r = edit_begin(&e);

	if (r)
		return r;
	if (e.exists && e.key.state != KEYSTORE_PURGED)
		return edit_refuse(&e, -EEXIST,
				   e.key.state == KEYSTORE_DELETED
					   ? "is soft-deleted: recover or purge it, or take another name"
					   : "exists: rotate makes a new version of it");
	/* A purged key's numbers are not used again: what it had wrapped must never meet another key. */
	uint32_t next = e.exists ? e.key.next_version : 1;
	keystore_key_wipe(&e.key);
	memset(&e.key, 0, sizeof(e.key));
	snprintf(e.key.name, sizeof(e.key.name), "%.64s", what->name);
	e.key.type = what->type;
	e.key.state = e.key.before = KEYSTORE_ENABLED;
	e.key.flags = (uint16_t)(what->flags | (what->material ? KEYSTORE_IMPORTED : 0));
	e.key.created = time(NULL);
	e.key.next_version = next;
	r = add_version(&e, what->bits, what->material, what->material_len);
	return r ? r : edit_save(&e);
}

int keystore_rotate(struct keystore *ks, const char *name, const uint8_t *material, size_t len,
		    char why[KEYSTORE_WHY_MAX])
{
	AUTO(edit_end) struct key_edit e = {.ks = ks, .name = name, .dir = -1, .lock = -1, .why = why};
	int r = edit_begin_existing(&e);

	if (r)
		return r;
	if (e.key.state != KEYSTORE_ENABLED)
		return edit_refuse(&e, -EKEYREVOKED, "is not enabled: only an enabled key can be rotated");
	r = add_version(&e, e.key.version[e.key.n_versions - 1].bits, material, len);
	return r ? r : edit_save(&e);
}

static int key_switch(struct keystore *ks, const char *name, enum keystore_state to, char why[KEYSTORE_WHY_MAX])
{
	AUTO(edit_end) struct key_edit e = {.ks = ks, .name = name, .dir = -1, .lock = -1, .why = why};
	int r = edit_begin_existing(&e);

	if (r)
		return r;
	if (e.key.state == KEYSTORE_DELETED)
		return edit_refuse(&e, -EKEYREVOKED, "is soft-deleted: recover it first");
	if (e.key.state == KEYSTORE_PURGED)
		return edit_refuse(&e, -EKEYREVOKED, "is purged: nothing brings it back");
	if (e.key.state == to)
		return 0; /* as wanted already */
	e.key.state = e.key.before = to;
	return edit_save(&e);
}

int keystore_disable(struct keystore *ks, const char *name, char why[KEYSTORE_WHY_MAX])
{
	return key_switch(ks, name, KEYSTORE_DISABLED, why);
}

int keystore_enable(struct keystore *ks, const char *name, char why[KEYSTORE_WHY_MAX])
{
	return key_switch(ks, name, KEYSTORE_ENABLED, why);
}

int keystore_delete(struct keystore *ks, const char *name, unsigned retention_days, char why[KEYSTORE_WHY_MAX])
{
	AUTO(edit_end) struct key_edit e = {.ks = ks, .name = name, .dir = -1, .lock = -1, .why = why};
	int r = edit_begin_existing(&e);

	if (r)
		return r;
	if (retention_days > KEYSTORE_RETENTION_MAX)
		return keystore_say(why, -EINVAL, "a retention time is 0 to %u days", KEYSTORE_RETENTION_MAX);
	if (e.key.state == KEYSTORE_DELETED)
		return edit_refuse(&e, -EKEYREVOKED, "is soft-deleted already");
	if (e.key.state == KEYSTORE_PURGED)
		return edit_refuse(&e, -EKEYREVOKED, "is purged already");
	if ((e.key.flags & KEYSTORE_PURGE_PROTECTED) && retention_days < 7)
		return edit_refuse(&e, -EKEYREVOKED, "is purge-protected: its retention time is at least 7 days");
	e.key.before = e.key.state;
	e.key.state = KEYSTORE_DELETED;
	e.key.deleted = time(NULL);
	e.key.retention_days = retention_days;
	return edit_save(&e);
}

int keystore_recover(struct keystore *ks, const char *name, char why[KEYSTORE_WHY_MAX])
{
	AUTO(edit_end) struct key_edit e = {.ks = ks, .name = name, .dir = -1, .lock = -1, .why = why};
	int r = edit_begin_existing(&e);

	if (r)
		return r;
	if (e.key.state == KEYSTORE_PURGED)
		return edit_refuse(&e, -EKEYREVOKED, "is purged: nothing brings it back");
	if (e.key.state != KEYSTORE_DELETED)
		return edit_refuse(&e, -EKEYREVOKED, "is not deleted");
	if (time(NULL) >= keystore_retention_end(&e.key))
		return edit_refuse(&e, -EKEYREVOKED, "can no longer be recovered: its retention time has ended");
	e.key.state = e.key.before;
	e.key.deleted = 0;
	e.key.retention_days = 0;
	return edit_save(&e);
}

int keystore_accept(struct keystore *ks, const char *name, char why[KEYSTORE_WHY_MAX])
{
	AUTO(edit_end) struct key_edit e = {.ks = ks, .name = name, .dir = -1, .lock = -1, .why = why, .accept = true};
	int r = edit_begin_existing(&e);

	return r ? r : edit_save(&e);
}

int keystore_purge(struct keystore *ks, const char *name, char why[KEYSTORE_WHY_MAX])
{
	AUTO(edit_end) struct key_edit e = {.ks = ks, .name = name, .dir = -1, .lock = -1, .why = why};
	int r = edit_begin_existing(&e);

	if (r)
		return r;
	if (e.key.state == KEYSTORE_PURGED)
		return edit_refuse(&e, -EKEYREVOKED, "is purged already");
	if (e.key.state != KEYSTORE_DELETED)
		return edit_refuse(&e, -EKEYREVOKED, "is not deleted: delete it first");
	if ((e.key.flags & KEYSTORE_PURGE_PROTECTED) && time(NULL) < keystore_retention_end(&e.key))
		return edit_refuse(&e, -EKEYREVOKED, "is purge-protected: not before its retention time has ended");
	keystore_key_wipe(&e.key);
	e.key.n_versions = 0;
	e.key.state = KEYSTORE_PURGED;
	return edit_save(&e);
}
