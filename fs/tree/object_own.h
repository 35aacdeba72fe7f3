/* SPDX-License-Identifier: BSD-2-Clause */
/* What the sources of the tree share among themselves. */
#ifndef FS_OBJECT_OWN_H
#define FS_OBJECT_OWN_H

#include "fs/inode/durable.h"
#include "fs/tree/object.h"

/* Remember ID as that of N, whose object has just been made or read. Takes the node's lock. */
void obj_cache_id(struct node *n, const uint8_t id[ID_LEN]);
/*
 * Write the sidecar of DN, if it has one, into folder DIR with descriptor DIR_FD: before the name itself. *MADE: there was
 * no such name, so the sidecar goes again when the name does not come. On an error nothing is left. -EIO for something else
 * in its place, or as open(2) and write(2).
 */
int obj_sidecar_write(struct node *dir, int dir_fd, const struct disk_name *dn, bool *made) MUST_CHECK;
/* Remove the sidecar of DN, if it has one: after the name. One that stays is harmless. */
void obj_sidecar_remove(int dir_fd, const struct disk_name *dn);

/*
 * Make durable what a name DN in folder AT.dir needs, but itself: its sidecar, which has been written, the folder's id, the folders
 * above. Waits for the disk.
 */
int obj_sync_place(struct tree *t, struct at at, const struct disk_name *dn) MUST_CHECK;
/* An fsync of folder DIR for its entries alone. */
int obj_sync_entries(struct tree *t, struct node *dir) MUST_CHECK;
/* Is ST, as it is on disk, what an fsync of its folder brings along: a folder, a special object? */
bool obj_goes_along(struct tree *t, const struct stat *st);

/* A special object on its way to its name. */
struct sealed_special {
	enum object_type type;
	uint8_t record[SPECIAL_RECORD_MAX];
	size_t len;
	char tmp[64]; /* its name of our own until then */
};

/* Seal what M asks for; nothing is on disk yet. -EINVAL, -ENAMETOOLONG, -EACCES. */
int obj_special_seal(struct tree *t, const struct make *m, struct sealed_special *s) MUST_CHECK;
/*
 * Record, then size, under a name of our own: its size tells the type, so it must never be seen with another. The name ends in
 * random digits because nothing says that the last mount swept its own. On an error nothing is left.
 */
int obj_special_write(struct tree *t, const struct make *m, int dir_fd, struct sealed_special *s) MUST_CHECK;
/* Give it its NAME on disk, which must be free (-EEXIST). On an error nothing is left. */
int obj_special_publish(int dir_fd, const struct sealed_special *s, const char *name) MUST_CHECK;

/* Before the name DISK goes: true if it is a file's last one and the file may have lost something: its ID, for lost_gone(). */
bool obj_lost_begin(struct tree *t, int dir_fd, const char *disk, const struct stat *st, uint8_t id[ID_LEN]);

#endif
