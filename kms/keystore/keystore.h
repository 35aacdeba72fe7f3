/* SPDX-License-Identifier: BSD-2-Clause */
/* The embedded keystore: a directory of key files that stands in for a KMS. Private to kms/ and tools/keystore.c. */
#ifndef KMS_KEYSTORE_H
#define KMS_KEYSTORE_H

#include "kms/keystore/passphrase.h"
#include "kms/provider.h"

#define KEYSTORE_NAME_MAX 64u
#define KEYSTORE_VERSIONS_MAX 128u
#define KEYSTORE_RETENTION_DAYS 30u
#define KEYSTORE_RETENTION_MAX 3650u
#define KEYSTORE_WHY_MAX 1600u
#define KEYSTORE_SUFFIX ".key"

enum keystore_protection { KEYSTORE_PASSPHRASE = 1, KEYSTORE_FILE_MODE = 2 };
enum keystore_type { KEYSTORE_AES256 = 1, KEYSTORE_RSA = 2 };
enum keystore_state {
	KEYSTORE_ENABLED = 1,
	KEYSTORE_DISABLED,
	KEYSTORE_DELETED, /* soft: recoverable until the retention time ends */
	KEYSTORE_PURGED,  /* no material left; the file stays, so that version numbers are never used again */
};
enum { KEYSTORE_PURGE_PROTECTED = 1, KEYSTORE_IMPORTED = 2 };

struct keystore_version {
	uint32_t number; /* from 1 */
	uint16_t bits;   /* 256, or the length of the RSA modulus */
	uint32_t len;    /* of its material: 32 bytes, or DER */
	size_t off;      /* in `material` */
	int64_t created;
};

struct keystore_key {
	char name[KEYSTORE_NAME_MAX + 1];
	uint8_t keystore_id[ID_LEN];
	enum keystore_type type;
	enum keystore_state state;
	enum keystore_state before; /* the state to come back to when a deletion is undone */
	uint16_t flags;
	uint64_t change; /* counts acts on the key, from 1; 0: the file is older than that count */
	uint32_t next_version;
	uint32_t retention_days;
	int64_t created, changed, deleted; /* unix seconds; `deleted` is 0 unless soft-deleted or purged */
	uint32_t n_versions;
	struct keystore_version version[KEYSTORE_VERSIONS_MAX]; /* rising numbers; the last one wraps */
	uint8_t *material;                                      /* sodium_malloc'ed */
	size_t material_len;
};

/* An open keystore: knows its key. The files are read anew at each call. */
struct keystore;

struct keystore_init {
	const char *path;
	const char *passphrase; /* NULL: file mode only */
	uint32_t ops, mem_kib;  /* Argon2id; 0 = defaults */
};

/* "enabled", "disabled", "soft-deleted", "purged"; "unknown" for any other value. */
const char *keystore_state_name(enum keystore_state s);
/* -EINVAL unless NAME is [A-Za-z0-9._-]{1,64} and does not begin with a dot. */
int keystore_name_check(const char *name) MUST_CHECK;
/* When a soft-deleted key can no longer be recovered. */
int64_t keystore_retention_end(const struct keystore_key *key);
/* Wipe and free the material; may be called again. */
void keystore_key_wipe(struct keystore_key *key);

/*
 * Make a keystore in PATH (absent, or an empty directory, which becomes private). -ENOTEMPTY, -ENODEV a link, or as the disk
 * says. WHY gets one sentence on any error, here and below.
 */
int keystore_create(const struct keystore_init *how, char why[KEYSTORE_WHY_MAX]) MUST_CHECK;
/*
 * -ENOENT no keystore there, -EKEYREJECTED wrong passphrase, -EPERM others than its owner may reach it, -EUCLEAN its head is
 * damaged, -ENOTSUP made by a newer byokfs, as passphrase_read() (-ENOKEY: no passphrase at hand), or as the disk says.
 */
int keystore_open(const char *path, const struct passphrase_source *src, struct keystore **out,
		  char why[KEYSTORE_WHY_MAX]) MUST_CHECK;
void keystore_close(struct keystore *ks); /* NULL is legal */
/*
 * From now on keep in the folder DIR, which only root and we may write, how new each key's file was that was seen or written,
 * and refuse one that is older: an old copy that was put back would undo a disable, and a purge. Without this call, and where
 * DIR cannot be written, only what this KS saw counts. -ENAMETOOLONG. Before any other use of KS.
 */
int keystore_remember(struct keystore *ks, const char *dir) MUST_CHECK;
const char *keystore_path(const struct keystore *ks);
const uint8_t *keystore_id(const struct keystore *ks);

/*
 * Read key NAME from disk as it is now, authenticated. -ENODEV the directory or its `keystore` file is not there (a medium
 * that was taken out), -ESTALE another keystore lies there, -EPERM others than its owner may reach it, -EUCLEAN its head is
 * damaged, -ENOENT no such key, -EINVAL no key can have that name, -EBADMSG the file is not what the keystore wrote,
 * -EKEYEXPIRED it is older than one that this host has seen (keystore_remember()), -ENOTSUP file or head made by a newer byokfs, -EIO and others as the disk says. keystore_key_wipe() when done, if 0.
 */
int keystore_load(struct keystore *ks, const char *name, struct keystore_key *out) MUST_CHECK;
/*
 * Call EACH for every key file, in order of name; R is what keystore_load() said, and unless it is 0 only the name of KEY may
 * be looked at. Errors of the directory as keystore_load().
 */
int keystore_list(struct keystore *ks, void (*each)(void *arg, const struct keystore_key *key, int r), void *arg,
		  char why[KEYSTORE_WHY_MAX]) MUST_CHECK;

/*
 * Administrative acts. Each writes a new key file (durable, atomic) under the writers' lock. Each reads and authenticates
 * the old one, so the keystore's key is needed for every act: nobody can be locked out, or let in, by who merely writes the
 * directory. -EKEYREVOKED: the key's state or its purge protection forbids it. -EEXIST, and as keystore_load(). After an error
 * the key is as it was, but for one: when the directory cannot be synced, the new file is there and may not last.
 */
struct keystore_new {
	const char *name;
	enum keystore_type type;
	unsigned bits; /* RSA: 2048, 3072, 4096 */
	uint16_t flags;
	const uint8_t *material; /* to import: 32 bytes or an RSA key in DER; NULL: draw one */
	size_t material_len;
};
/* -EINVAL the material is not of that type, -ERANGE an RSA key of another length. A purged key's name may be used again. */
int keystore_add(struct keystore *ks, const struct keystore_new *what, char why[KEYSTORE_WHY_MAX]) MUST_CHECK;
/* A new version; MATERIAL NULL: drawn, of the same type and length. As keystore_add(); -ENOSPC it has as many as it may have. */
int keystore_rotate(struct keystore *ks, const char *name, const uint8_t *material, size_t len,
		    char why[KEYSTORE_WHY_MAX]) MUST_CHECK;
/* Disabled or enabled already: 0, and nothing is written. */
int keystore_disable(struct keystore *ks, const char *name, char why[KEYSTORE_WHY_MAX]) MUST_CHECK;
int keystore_enable(struct keystore *ks, const char *name, char why[KEYSTORE_WHY_MAX]) MUST_CHECK;
/* -EINVAL more than KEYSTORE_RETENTION_MAX days. A purge-protected key is kept for 7 days at least. */
int keystore_delete(struct keystore *ks, const char *name, unsigned retention_days,
		    char why[KEYSTORE_WHY_MAX]) MUST_CHECK;
/* To the state that it had. Not once its retention time has ended. */
int keystore_recover(struct keystore *ks, const char *name, char why[KEYSTORE_WHY_MAX]) MUST_CHECK;
/* The copy that lies there, older than this host has seen, was put back on purpose: it becomes the newest. 0 too if it was no older. */
int keystore_accept(struct keystore *ks, const char *name, char why[KEYSTORE_WHY_MAX]) MUST_CHECK;
/* Wipes the material. Only a soft-deleted key; under purge protection not before its retention time has ended. */
int keystore_purge(struct keystore *ks, const char *name, char why[KEYSTORE_WHY_MAX]) MUST_CHECK;

#endif
