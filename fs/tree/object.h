/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Objects by name: looking up, making, linking, renaming and removing them; their attributes. No FUSE.
 *
 * For all of these: any thread, no lock held; 0 or a negative errno. What needs the keys borrows them for its cryptography
 * only and answers -EACCES when the gate is locked, with nothing changed on disk. What does not authenticate is -EIO,
 * logged and counted. -ESTALE when the object is not where the table says. A look-up that is counted is counted on success
 * only, and given back by node_forget().
 */
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

/* The name on disk of AT. -EINVAL for a name that no folder may have, -ENAMETOOLONG. */
int obj_encode(struct tree *t, struct at at, struct disk_name *dn) MUST_CHECK;
/*
 * The id of folder DIR, read once and remembered. After a crash an empty folder without one gets it (a mkdir was cut off),
 * unless the mount is read-only; otherwise one that is missing is -EIO. Takes the node's `once`.
 */
int obj_dir_id(struct tree *t, struct node *dir, uint8_t id[ID_LEN]) MUST_CHECK;
/* The object id that an xattr of N is bound to: directory id, or what the header (special record) says. -EIO for a stump. */
int obj_id(struct tree *t, struct node *n, uint8_t id[ID_LEN]) MUST_CHECK;

/* What lies at ST on disk, as node type; -EIO for what a store never holds. Reads nothing. */
int obj_type(struct tree *t, const struct stat *st, int *type) MUST_CHECK;
/*
 * Translate the backing's attributes ST of N into what the user sees. Reads a special object's record, once; for all others
 * no key is needed. -EIO when N is of another kind.
 */
int obj_attr(struct tree *t, struct node *n, struct stat *st) MUST_CHECK;
/* Attributes of N as the user sees them, by obj_attr(). */
int obj_getattr(struct tree *t, struct node *n, struct stat *st) MUST_CHECK;
/*
 * Inode flags (FS_IOC_GETFLAGS) of a file or folder: immutable, append-only, nodump, of which nodump can be set; -EOPNOTSUPP for any
 * other change, -ENOTTY where the store's filesystem has none.
 */
int obj_flags_get(struct tree *t, struct node *n, unsigned *flags) MUST_CHECK;
int obj_flags_set(struct tree *t, struct node *n, unsigned flags) MUST_CHECK;
/* Read and check the record of special object N into S, which the caller wipes: a target is as secret as a name. */
int obj_special(struct tree *t, struct node *n, struct special *s) MUST_CHECK;

/* Look up: counts one look-up of *OUT and fills ST. -ENOENT, also for a name that the store cannot hold. *OUT is set by 0 alone. */
int obj_lookup(struct tree *t, struct at at, struct node **out, struct stat *st) MUST_CHECK;
/* The same for DISK, a name on disk that readdir has found; it is not asked what it decrypts to. */
int obj_lookup_disk(struct tree *t, struct node *dir, const char *disk, struct node **out, struct stat *st) MUST_CHECK;

/* Before DISK, a name on disk in DIR, is listed: -ENOENT for what a crash cut off while it was made, which a look-up would take away. */
int obj_listed(struct tree *t, struct node *dir, int dir_fd, const char *disk) MUST_CHECK;

/* What is to be made. */
struct make {
	struct at at;
	mode_t mode; /* with type bits for mknod */
	dev_t rdev;
	const char *target; /* symlink */
	struct cred cred;
};
/*
 * Make; each counts one look-up of *OUT and fills ST. Nothing half made stays, but what was made stays when only the answer
 * fails. -EEXIST, or as the system call. FILE (NULL: not wanted) gets the open file with one writable handle; may call the
 * KMS with wrap type `file`. A file of the name NULL has none, until obj_link() gives it one; -EOPNOTSUPP where the store's
 * filesystem has no O_TMPFILE.
 */
int obj_create(struct tree *t, const struct make *m, struct node **out, struct stat *st, struct file **file) MUST_CHECK;
int obj_mkdir(struct tree *t, const struct make *m, struct node **out, struct stat *st) MUST_CHECK;
/* Symlink, fifo, socket, device. -EINVAL for other modes, -ENAMETOOLONG for the target. */
int obj_special_new(struct tree *t, const struct make *m, struct node **out, struct stat *st) MUST_CHECK;
/* One more name of N; counts one look-up of N. -EPERM for a folder, -ENOENT when its last name is gone. */
int obj_link(struct tree *t, struct node *n, struct at at, struct stat *st) MUST_CHECK;

/*
 * Remove a name; who knows the object goes on with it. -ENOENT, -EISDIR. Other names of something durable are made durable before:
 * unless MAY_WAIT, -EAGAIN when the disk would have to be waited for, with nothing changed.
 */
int obj_unlink(struct tree *t, struct at at, bool may_wait) MUST_CHECK;
/* Remove a folder that is empty to the user. -ENOENT, -ENOTDIR, -ENOTEMPTY; it is as before then. */
int obj_rmdir(struct tree *t, struct at at) MUST_CHECK;
#define OBJ_NO_WAIT 0x80000000u
/*
 * FLAGS: RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT (which leaves a character device 0:0 of CRED's in the old place);
 * -EINVAL for others. Else as rename(2); all is as before when it fails. A crash in the middle can leave a whiteout out.
 * The new place of something durable is made durable before; OBJ_NO_WAIT: -EAGAIN then, with nothing changed.
 */
int obj_rename(struct tree *t, struct at from, struct at to, unsigned flags, const struct cred *cred) MUST_CHECK;

/*
 * Make durable what N needs to be found again by all its names that the table knows, by fsync of the things themselves: sidecars,
 * entries, ids and folders up to the last that is known to be durable; of a folder its own id too. A node without a name needs
 * nothing, and a store that is mounted read-only neither. What fails is owed still. Waits for the disk.
 */
int obj_sync_up(struct tree *t, struct node *n) MUST_CHECK;
/*
 * Before file N itself is synced: begin to write what obj_sync_up() will wait for, where the filesystem's journal takes it along in one
 * commit with the file. Waits for nothing.
 */
void obj_sync_begin(struct tree *t, struct node *n);
/*
 * An fsync of folder DIR, FD being a descriptor of it for reading: its entries, the ids of folders, sidecars and special objects
 * that were made in it, and what obj_sync_up() does.
 */
int obj_sync_folder(struct tree *t, struct node *dir, int fd) MUST_CHECK;

#endif
