/* SPDX-License-Identifier: BSD-2-Clause */
/* What this host has seen of a key's file, kept beside the pins: older copies that are put back are known by it. */
#include "kms/keystore/seen.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "kms/keystore/keystore_private.h"
#include "kms/keystore/trust.h"

#define MAGIC "BYOKFSKN"
#define BODY_LEN 24u
#define HASH_LEN (SEEN_LEN - BODY_LEN)
#define FILE_MAX (sizeof("keystore--.seen") + 2 * ID_LEN + KEYSTORE_NAME_MAX)

bool seen_older(const struct seen *a, const struct seen *b)
{
	return a->change != b->change ? a->change < b->change : a->changed < b->changed;
}

void seen_write(const struct seen *s, uint8_t out[SEEN_LEN])
{
	memcpy(out, MAGIC, 8);
	be64_put(out + 8, s->change);
	be64_put(out + 16, (uint64_t)s->changed);
	crypto_generichash(out + BODY_LEN, HASH_LEN, out, BODY_LEN, NULL, 0);
}

int seen_parse(const uint8_t *buf, size_t len, struct seen *out)
{
	uint8_t hash[HASH_LEN];

	if (len != SEEN_LEN || memcmp(buf, MAGIC, 8) != 0)
		return -EUCLEAN;
	crypto_generichash(hash, HASH_LEN, buf, BODY_LEN, NULL, 0);
	if (sodium_memcmp(hash, buf + BODY_LEN, HASH_LEN) != 0)
		return -EUCLEAN;
	out->change = be64_get(buf + 8);
	out->changed = (int64_t)be64_get(buf + 16);
	return 0;
}

static void file_name(const struct keystore *ks, const char *name, char out[FILE_MAX])
{
	char hex[2 * ID_LEN + 1];

	sodium_bin2hex(hex, sizeof(hex), ks->id, ID_LEN);
	snprintf(out, FILE_MAX, "keystore-%s-%s.seen", hex, name);
}

/* Who may write here may make an old key new: only root and we. */
static int memory_open(const struct keystore *ks)
{
	struct stat st;
	AUTO(keystore_close_fd) int fd = open(ks->memory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	int r = trust_check(&st);
	if (r < 0)
		return r;
	int keep = fd;
	fd = -1;
	return keep;
}

static int memory_read(const struct keystore *ks, int dir, const char *name, struct seen *out)
{
	AUTO(auto_free) uint8_t *buf = NULL;
	char file[FILE_MAX];
	size_t len;

	file_name(ks, name, file);
	int r = keystore_read(dir, file, SEEN_LEN, &buf, &len);
	if (r == 0)
		r = seen_parse(buf, len, out);
	return r == -EUCLEAN ? -EKEYEXPIRED : r;
}

int keystore_seen(struct keystore *ks, const char *name, struct seen *out)
{
	struct seen kept = {0};

	*out = kept;
	if (ks->memory[0]) {
		AUTO(keystore_close_fd) int dir = memory_open(ks);
		int r = dir < 0 ? dir : memory_read(ks, dir, name, &kept);
		if (r < 0 && r != -ENOENT)
			return r;
	}
	pthread_mutex_lock(&ks->lock);
	if (strcmp(ks->last_name, name) == 0)
		*out = ks->last;
	pthread_mutex_unlock(&ks->lock);
	if (seen_older(out, &kept))
		*out = kept;
	return 0;
}

/* Under a lock of the folder: two who have seen different files must not leave the older one. */
static void memory_put(const struct keystore *ks, const char *name, const struct seen *now)
{
	uint8_t record[SEEN_LEN];
	char file[FILE_MAX];
	struct seen kept = {0};
	AUTO(keystore_close_fd) int dir = memory_open(ks);

	if (dir < 0 || flock(dir, LOCK_EX) < 0)
		return;
	int r = memory_read(ks, dir, name, &kept);
	if (r == 0 && !seen_older(&kept, now))
		return;
	file_name(ks, name, file);
	seen_write(now, record);
	r = keystore_replace(dir, file, record, sizeof(record));
	(void)r; /* a full disk: ks->last has it as long as this process lives, and the next load tries again */
}

void keystore_saw(struct keystore *ks, const struct keystore_key *key)
{
	const struct seen now = {.change = key->change, .changed = key->changed};

	pthread_mutex_lock(&ks->lock);
	if (strcmp(ks->last_name, key->name) != 0 || seen_older(&ks->last, &now)) {
		ks->last = now;
		snprintf(ks->last_name, sizeof(ks->last_name), "%s", key->name);
	}
	pthread_mutex_unlock(&ks->lock);
	if (ks->memory[0])
		memory_put(ks, key->name, &now);
}

int keystore_remember(struct keystore *ks, const char *dir)
{
	if (strlen(dir) >= sizeof(ks->memory))
		return -ENAMETOOLONG;
	memcpy(ks->memory, dir, strlen(dir) + 1);
	return 0;
}
