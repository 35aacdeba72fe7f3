/* SPDX-License-Identifier: BSD-2-Clause */
/* Disk access, shared by the sources of kms/keystore/. */
#ifndef KMS_KEYSTORE_PRIVATE_H
#define KMS_KEYSTORE_PRIVATE_H

#include <limits.h>
#include <pthread.h>

#include "kms/keystore/keystore.h"
#include "kms/keystore/seen.h"

#define KEYSTORE_HEAD_FILE "keystore"
#define KEYSTORE_LOCK_FILE "lock"
#define KEYSTORE_FILE_NAME_MAX (KEYSTORE_NAME_MAX + sizeof(KEYSTORE_SUFFIX))

struct keystore {
	char path[KMS_REF_MAX + 1];
	uint8_t id[ID_LEN];
	uint8_t *master;       /* KEY_LEN bytes, secret */
	char memory[PATH_MAX]; /* where seen files are remembered; "" nowhere */
	pthread_mutex_t lock;
	struct seen last; /* lock: the newest of the key that was loaded last, whatever became of the memory */
	char last_name[KEYSTORE_NAME_MAX + 1]; /* lock */
};

void keystore_close_fd(int *fd); /* for AUTO() */
/* Write the sentence, return R. */
int keystore_say(char why[KEYSTORE_WHY_MAX], int r, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/*
 * A descriptor of the directory after its mode was checked, or negative errno: -ENODEV nothing is there, or no directory, or a
 * link; -EPERM others than its owner have rights on it, or he is neither root nor we.
 */
int keystore_dir_open(const char *path);
/* The same for KS, and that it is still this keystore: -ESTALE; -ENODEV no head there, -EUCLEAN, -ENOTSUP what its head is. */
int keystore_dir(const struct keystore *ks);
/* A whole regular file, malloc'ed. -EPERM another's, or others may write it. -EUCLEAN not a regular file, a link, empty, or longer than MAX. */
int keystore_read(int dir, const char *name, size_t max, uint8_t **out, size_t *len) MUST_CHECK;
/*
 * Temporary file, fsync, rename, fsync of the directory. After an error the old file is there and no other, unless it is that
 * last fsync which failed: then it is the new one. Under the writers' lock.
 */
int keystore_replace(int dir, const char *name, const uint8_t *buf, size_t len) MUST_CHECK;
/* keystore_load() in DIR, which is KS's and checked; KEY is what was read with -EKEYEXPIRED too. */
int keystore_load_at(struct keystore *ks, int dir, const char *name, struct keystore_key *out) MUST_CHECK;

/* What is known of key NAME: zeros when nothing is. Errors as the disk of the memory says; -EKEYEXPIRED it is damaged. */
int keystore_seen(struct keystore *ks, const char *name, struct seen *out) MUST_CHECK;
/* KEY was read or written: remember it, if it is newer than what is known. Not durable where the memory cannot be written. */
void keystore_saw(struct keystore *ks, const struct keystore_key *key);

#endif
