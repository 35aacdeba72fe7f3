/* SPDX-License-Identifier: BSD-2-Clause */
/* What the sources of the tree share among themselves. */
#ifndef FS_OBJECT_OWN_H
#define FS_OBJECT_OWN_H

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

#endif
