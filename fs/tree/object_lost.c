/* SPDX-License-Identifier: BSD-2-Clause */
/* Files that go, and with them what they have lost. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "crypto/auto.h"
#include "crypto/header.h"
#include "fs/tree/object_own.h"

bool obj_lost_begin(struct tree *t, int dir_fd, const char *disk, const struct stat *st, uint8_t id[ID_LEN])
{
	uint8_t head[HEADER_ID_END];

	if (!S_ISREG(st->st_mode) || st->st_nlink > 1 || !lost_maybe(t->env.lost, st->st_ino))
		return false;
	AUTO(auto_close) int fd = store_open_lifted(dir_fd, disk, O_RDONLY);
	if (fd < 0 || store_pread_full(fd, head, sizeof(head), 0))
		return false; /* its entries stay, and `verify` finds them without a file */
	memcpy(id, header_file_id(head), ID_LEN);
	return true;
}
