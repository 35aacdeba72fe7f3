/* SPDX-License-Identifier: BSD-2-Clause */
/* Objects by name: looking up, making, linking, renaming and removing them; their attributes. No FUSE. */
#ifndef FS_OBJECT_H
#define FS_OBJECT_H

#include "crypto/special.h"
#include "fs/tree/tree.h"

/* Who asks. */
struct cred {
	uid_t uid;
	gid_t gid;
	mode_t umask;
};

/* A plain name in a folder. */
struct at {
	struct node *dir;
	const char *name;
};

/* The name on disk of AT. Borrows the keys: -EACCES when locked. */
int obj_encode(struct tree *t, struct at at, struct disk_name *dn) MUST_CHECK;
/* The directory id of DIR, cached; after a crash an empty directory without one gets it. */
int obj_dir_id(struct tree *t, struct node *dir, uint8_t id[ID_LEN]) MUST_CHECK;
/* The object id that an xattr of N is bound to: directory id, or what the header (special record) says. */
int obj_id(struct tree *t, struct node *n, uint8_t id[ID_LEN]) MUST_CHECK;

/* What lies at ST on disk, as node type; -EIO for what a store never holds. */
int obj_type(struct tree *t, const struct stat *st, int *type) MUST_CHECK;
/* Translate the backing's attributes ST of N into what the user sees. May read a special object's record. */
int obj_attr(struct tree *t, struct node *n, struct stat *st) MUST_CHECK;
/* Attributes of N as the user sees them. */
int obj_getattr(struct tree *t, struct node *n, struct stat *st) MUST_CHECK;
/* Read and check the record of special object N into S. */
int obj_special(struct tree *t, struct node *n, struct special *s) MUST_CHECK;

/* Look up: counts one lookup of *OUT. DISK: the name on disk is known already (readdir). -ENOENT. */
int obj_lookup(struct tree *t, struct at at, struct node **out, struct stat *st) MUST_CHECK;
int obj_lookup_disk(struct tree *t, struct node *dir, const char *disk, struct node **out, struct stat *st) MUST_CHECK;

/* Make; each counts one lookup of *OUT and fills ST. FILE (may be NULL) gets the open file with one writable handle. */
struct make {
	struct at at;
	mode_t mode; /* with type bits for mknod */
	dev_t rdev;
	const char *target; /* symlink */
	struct cred cred;
};
int obj_create(struct tree *t, const struct make *m, struct node **out, struct stat *st, struct file **file) MUST_CHECK;
int obj_mkdir(struct tree *t, const struct make *m, struct node **out, struct stat *st) MUST_CHECK;
int obj_special_new(struct tree *t, const struct make *m, struct node **out, struct stat *st) MUST_CHECK;
int obj_link(struct tree *t, struct node *n, struct at at, struct stat *st) MUST_CHECK;

int obj_unlink(struct tree *t, struct at at) MUST_CHECK;
int obj_rmdir(struct tree *t, struct at at) MUST_CHECK;
int obj_rename(struct tree *t, struct at from, struct at to, unsigned flags) MUST_CHECK;

/* Make durable what the names of N need: ids, sidecars and folders made in this mount, up to the root. */
int obj_sync_up(struct tree *t, struct node *n) MUST_CHECK;

/* Between object*.c only. Remember the id of an object just made. */
void obj_cache_id(struct node *n, const uint8_t id[ID_LEN]);
int obj_sidecar_write(struct node *dir, int dir_fd, const struct disk_name *dn, bool *made) MUST_CHECK;
void obj_sidecar_remove(int dir_fd, const struct disk_name *dn);

#endif
