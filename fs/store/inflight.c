/* SPDX-License-Identifier: BSD-2-Clause */
/* The in-flight file: made. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "fs/store/store_own.h"

int store_inflight_make(int own_fd, size_t slot_len)
{
	char tmp[64];
	off_t len = (off_t)(INFLIGHT_SLOTS * slot_len);

	snprintf(tmp, sizeof(tmp), STORE_TMP_PREFIX "%d.inflight", (int)getpid());
	unlinkat(own_fd, tmp, 0);
	AUTO(auto_close) int fd = store_open_file(own_fd, tmp, O_RDWR | O_CREAT | O_EXCL);
	if (fd < 0)
		return fd;
	/* Blocks now, so that a full disk is an error here and not SIGBUS in the mapping later. glibc writes zeros if need be. */
	int r = -posix_fallocate(fd, 0, len);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (r == 0)
		r = store_put_in_place(own_fd, tmp, STORE_INFLIGHT);
	if (r == 0 && fsync(own_fd) < 0)
		r = -errno;
	if (r < 0)
		unlinkat(own_fd, tmp, 0);
	return r;
}
