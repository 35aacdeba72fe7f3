/* SPDX-License-Identifier: BSD-2-Clause */
/* The sidecars of long names: written before the name, removed after it. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "fs/tree/object_own.h"

int obj_sidecar_write(struct node *dir, int dir_fd, const struct disk_name *dn, bool *made)
{
	*made = false;
	if (!dn->sidecar[0])
		return 0;
	AUTO(auto_close)
	int fd = store_openat(dir_fd, dn->sidecar, O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK, 0600);
	if (fd < 0)
		return fd;
	struct stat st;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		return -EIO;
	/* An orphan of an earlier crash is as good as a new one once it has the same bytes: its name is their hash. */
	*made = store_stat(dir_fd, dn->name, &st) != 0;
	int r = store_pwrite_full(fd, dn->sidecar_data, dn->sidecar_len, 0);
	node_owe(dir, dn->sidecar);
	if (r && *made) {
		obj_sidecar_remove(dir_fd, dn);
		*made = false;
	}
	return r;
}

void obj_sidecar_remove(int dir_fd, const struct disk_name *dn)
{
	if (dn->sidecar[0])
		(void)unlinkat(dir_fd, dn->sidecar, 0); /* an orphan is harmless */
}
