/* SPDX-License-Identifier: BSD-2-Clause */
/* The embedded keystore: made, opened, read. */
#include "kms/keystore/keystore.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "crypto/secret.h"
#include "kms/keystore/keystore_format.h"
#include "kms/keystore/keystore_private.h"
#include "kms/keystore/trust.h"
#include "kms/path.h"

/* libsodium's "moderate": 0.7 s and 256 MiB, once per mount. */
#define ARGON2_OPS 3u
#define ARGON2_MEM_KIB (256u << 10)

/* Make PATH, or take it when it is an empty directory of ours. */
static int create_dir(const char *path, char why[KEYSTORE_WHY_MAX])
{
	if (mkdir(path, 0700) == 0)
		return 0;
	if (errno != EEXIST)
		return keystore_say(why, -errno, "cannot make %s: %s", path, strerror(errno));
	DIR *dir = opendir(path);
	if (!dir)
		return keystore_say(why, -errno, "cannot open %s: %s", path, strerror(errno));
	int n = 0;
	struct dirent *entry;
	while ((entry = readdir(dir)))
		n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
	int r = n || fchmod(dirfd(dir), 0700) == 0 ? 0 : -errno;
	closedir(dir);
	if (n)
		return keystore_say(why, -ENOTEMPTY, "%s is not empty: a keystore is made in a directory of its own",
				    path);
	return r ? keystore_say(why, r, "cannot make %s private: %s", path, strerror(-r)) : 0;
}

int keystore_create(const struct keystore_init *how, char why[KEYSTORE_WHY_MAX])
{
	AUTO(secret_free_at) uint8_t *master = secret_alloc(KEY_LEN);

	if (!master)
		return keystore_say(why, -ENOMEM, "no locked memory left");
	int r = create_dir(how->path, why);
	if (r)
		return r;
	AUTO(keystore_close_fd) int dir = keystore_dir_open(how->path);
	if (dir < 0)
		return keystore_say(why, dir, "cannot open %s: %s", how->path, strerror(-dir));
	struct keystore_head head = {.protection = how->passphrase ? KEYSTORE_PASSPHRASE : KEYSTORE_FILE_MODE};
	if (how->passphrase) {
		head.ops = how->ops ? how->ops : ARGON2_OPS;
		head.mem_kib = how->mem_kib ? how->mem_kib : ARGON2_MEM_KIB;
	}
	random_bytes(master, KEY_LEN);
	random_bytes(head.id, sizeof(head.id));
	random_bytes(head.salt, sizeof(head.salt));
	r = keystore_head_seal(&head, how->passphrase ? how->passphrase : "", master);
	if (r)
		return keystore_say(why, r, "cannot protect the keystore's key: %s", strerror(-r));
	r = keystore_replace(dir, KEYSTORE_HEAD_FILE, head.bytes, sizeof(head.bytes));
	return r ? keystore_say(why, r, "cannot write %s/%s: %s", how->path, KEYSTORE_HEAD_FILE, strerror(-r)) : 0;
}

static int head_read(int dir, struct keystore_head *head)
{
	AUTO(auto_free) uint8_t *buf = NULL;
	size_t len;
	int r = keystore_read(dir, KEYSTORE_HEAD_FILE, KEYSTORE_HEAD_LEN, &buf, &len);

	return r ? r : keystore_head_parse(buf, len, head);
}

static int head_find(const char *path, struct keystore_head *head, char why[KEYSTORE_WHY_MAX])
{
	AUTO(keystore_close_fd) int dir = keystore_dir_open(path);

	if (dir == -ENODEV)
		return keystore_say(why, -ENOENT, "there is no keystore at %s: byokfs keystore init makes one", path);
	if (dir == -EPERM)
		return keystore_say(
			why, -EPERM,
			"others than its owner may reach the keystore %s: chmod 700 it; and it must be yours or "
			"root's",
			path);
	if (dir < 0)
		return keystore_say(why, dir, "keystore %s: %s", path, strerror(-dir));
	int r = trust_parents(path);
	if (r == -EPERM)
		return keystore_say(
			why, r,
			"somebody else owns or may write a folder above the keystore %s, and could put another in "
			"its place: chmod go-w it, or make it sticky",
			path);
	if (r == 0)
		r = head_read(dir, head);
	if (r == -EPERM)
		return keystore_say(why, r, "%s/%s is not yours, or others may write it: chmod 600 it", path,
				    KEYSTORE_HEAD_FILE);
	if (r == -ENOENT)
		return keystore_say(why, -ENOENT, "%s is not a keystore: byokfs keystore init makes one", path);
	if (r == -ENOTSUP)
		return keystore_say(why, r, "keystore %s was made by a newer byokfs", path);
	if (r == -EUCLEAN)
		return keystore_say(why, r, "%s/%s is damaged: restore it from a backup", path, KEYSTORE_HEAD_FILE);
	return r ? keystore_say(why, r, "%s/%s: %s", path, KEYSTORE_HEAD_FILE, strerror(-r)) : 0;
}

static int master_open(struct keystore *ks, const struct keystore_head *head, const struct passphrase_source *src,
		       char why[KEYSTORE_WHY_MAX])
{
	AUTO(secret_free_at) char *passphrase = NULL;

	if (head->protection == KEYSTORE_PASSPHRASE) {
		int r = passphrase_read(src, &passphrase, why, KEYSTORE_WHY_MAX);
		if (r)
			return r;
	}
	int r = keystore_head_open(head, passphrase ? passphrase : "", ks->master);
	if (r == -EBADMSG && passphrase)
		return keystore_say(why, -EKEYREJECTED, "the passphrase does not open the keystore %s", ks->path);
	if (r == -EBADMSG)
		return keystore_say(why, -EUCLEAN, "%s/%s is damaged: restore it from a backup", ks->path,
				    KEYSTORE_HEAD_FILE);
	return r ? keystore_say(why, r, "cannot open the keystore %s: %s", ks->path, strerror(-r)) : 0;
}

int keystore_open(const char *path, const struct passphrase_source *src, struct keystore **out,
		  char why[KEYSTORE_WHY_MAX])
{
	struct keystore *ks = calloc(1, sizeof(*ks));

	if (!ks || !(ks->master = secret_alloc(KEY_LEN))) {
		keystore_close(ks);
		return keystore_say(why, -ENOMEM, "no locked memory left");
	}
	pthread_mutex_init(&ks->lock, NULL);
	int r = kms_path_canonical(path, ks->path, sizeof(ks->path));
	if (r)
		keystore_say(why, r, "%.200s: %s", path, strerror(-r));
	struct keystore_head head;
	if (!r)
		r = head_find(ks->path, &head, why);
	if (!r) {
		memcpy(ks->id, head.id, ID_LEN);
		r = master_open(ks, &head, src, why);
	}
	if (r) {
		keystore_close(ks);
		return r;
	}
	*out = ks;
	return 0;
}

void keystore_close(struct keystore *ks)
{
	if (!ks)
		return;
	if (ks->master)
		pthread_mutex_destroy(&ks->lock);
	secret_free(ks->master);
	free(ks);
}

const char *keystore_path(const struct keystore *ks)
{
	return ks->path;
}

const uint8_t *keystore_id(const struct keystore *ks)
{
	return ks->id;
}

/* The path is opened at each call: a descriptor held would keep a removable medium busy, and outlive a replaced directory. */
int keystore_dir(const struct keystore *ks)
{
	int dir = keystore_dir_open(ks->path);

	if (dir < 0)
		return dir;
	struct keystore_head head;
	int r = head_read(dir, &head);
	if (r == -ENOENT)
		r = -ENODEV; /* an empty mount point: says nothing about the key */
	if (!r && memcmp(head.id, ks->id, ID_LEN) != 0)
		r = -ESTALE;
	if (r) {
		close(dir);
		return r;
	}
	return dir;
}

/* An old copy that was put back has a good seal, and the state that the key had then. KNOWN is from before KEY was read. */
static int age_check(struct keystore *ks, const struct keystore_key *key, const struct seen *known)
{
	const struct seen now = {.change = key->change, .changed = key->changed};

	if (seen_older(&now, known))
		return -EKEYEXPIRED;
	if (seen_older(known, &now))
		keystore_saw(ks, key);
	return 0;
}

int keystore_load_at(struct keystore *ks, int dir, const char *name, struct keystore_key *out)
{
	memset(out, 0, sizeof(*out));
	if (keystore_name_check(name))
		return -EINVAL;
	char file[KEYSTORE_FILE_NAME_MAX];
	snprintf(file, sizeof(file), "%s" KEYSTORE_SUFFIX, name);
	AUTO(auto_free) uint8_t *buf = NULL;
	struct seen known;
	size_t len;
	/* First what is known, then the file: a writer puts the file there before he says that it was seen. */
	int r = keystore_seen(ks, name, &known);
	if (r)
		return r;
	r = keystore_read(dir, file, KEYSTORE_FILE_MAX, &buf, &len);
	if (r)
		return r == -EUCLEAN ? -EBADMSG : r;
	struct keystore_who who = {.master = ks->master, .id = ks->id, .name = name};
	r = keystore_key_open(buf, len, &who, out);
	return r ? r : age_check(ks, out, &known);
}

int keystore_load(struct keystore *ks, const char *name, struct keystore_key *out)
{
	AUTO(keystore_close_fd) int dir = keystore_dir(ks);
	int r = dir < 0 ? dir : keystore_load_at(ks, dir, name, out);

	if (r && dir >= 0)
		keystore_key_wipe(out);
	return r;
}

/* Directory entries that are key files, "NAME.key". */
static int is_key_file(const struct dirent *entry)
{
	size_t n = strlen(entry->d_name), suffix = strlen(KEYSTORE_SUFFIX);

	return entry->d_name[0] != '.' && n > suffix && n - suffix <= KEYSTORE_NAME_MAX &&
	       strcmp(entry->d_name + n - suffix, KEYSTORE_SUFFIX) == 0;
}

int keystore_list(struct keystore *ks, void (*each)(void *arg, const struct keystore_key *key, int r), void *arg,
		  char why[KEYSTORE_WHY_MAX])
{
	AUTO(keystore_close_fd) int dir = keystore_dir(ks);
	AUTO(auto_free) struct keystore_key *key = calloc(1, sizeof(*key));

	if (dir < 0 || !key)
		return keystore_say(why, key ? dir : -ENOMEM, "keystore %s: %s", ks->path,
				    strerror(key ? -dir : ENOMEM));
	struct dirent **entries = NULL;
	int n = scandirat(dir, ".", &entries, is_key_file, alphasort);
	if (n < 0)
		return keystore_say(why, -errno, "cannot list %s: %s", ks->path, strerror(errno));
	for (int i = 0; i < n; i++) {
		entries[i]->d_name[strlen(entries[i]->d_name) - strlen(KEYSTORE_SUFFIX)] = '\0';
		int r = keystore_load_at(ks, dir, entries[i]->d_name, key);
		if (r)
			snprintf(key->name, sizeof(key->name), "%.64s", entries[i]->d_name);
		each(arg, key, r);
		keystore_key_wipe(key);
		free(entries[i]);
	}
	free(entries);
	return 0;
}
