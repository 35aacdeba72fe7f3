/* SPDX-License-Identifier: BSD-2-Clause */
/* The id of a folder of data/: read, made, put on disk. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "fs/store/borrow.h"
#include "fs/store/store.h"

/* No id file, or an empty one (a mkdir that a crash cut off), is none yet. */
int store_dirid_fetch(int dir_fd, uint8_t file[DIRID_LEN + 1], size_t *len)
{
	AUTO(auto_close) int fd = store_open_file(dir_fd, DIRID_NAME, O_RDONLY);

	*len = 0;
	if (fd == -ENOENT)
		return 0;
	if (fd == -EUCLEAN)
		return -EBADMSG;
	if (fd < 0)
		return fd;
	ssize_t n = pread(fd, file, DIRID_LEN + 1, 0);
	if (n < 0)
		return -errno;
	*len = (size_t)n;
	return 0;
}

/*
 * One write of less than a page: the death of the process leaves all of it or an empty file, which counts as none. A
 * power cut is the caller's business (fsync up the chain before anything below counts as durable).
 */
int store_dirid_put(int dir_fd, const uint8_t file[DIRID_LEN])
{
	AUTO(auto_close) int fd = store_open_own(dir_fd, DIRID_NAME, O_WRONLY | O_CREAT);

	return fd < 0 ? fd : store_pwrite_full(fd, file, DIRID_LEN, 0);
}

int store_dirid_make(int dir_fd, struct gate *g, uint8_t id[ID_LEN])
{
	uint8_t file[DIRID_LEN], fresh[ID_LEN];
	AUTO(borrow_end) struct borrow b;
	int r = borrow_store(&b, g, GATE_USE_NEW);
	if (r)
		return r;
	r = dirid_new(b.store, fresh, file);
	borrow_end(&b); /* before the disk */
	if (!r)
		r = store_dirid_put(dir_fd, file);
	if (!r)
		memcpy(id, fresh, ID_LEN);
	return r;
}

int store_dirid_read(int dir_fd, struct gate *g, uint8_t id[ID_LEN])
{
	uint8_t file[DIRID_LEN + 1];
	AUTO(borrow_end) struct borrow b = {0};
	size_t len;
	int r = store_dirid_fetch(dir_fd, file, &len);
	if (!r && len == 0)
		return -ENODATA;
	if (!r)
		r = borrow_store(&b, g, GATE_USE_NEW);
	return r ? r : dirid_parse(b.store, file, len, id);
}

int store_dirid_mend(int dir_fd, struct gate *g, uint8_t id[ID_LEN])
{
	int r = store_dirid_read(dir_fd, g, id);
	if (r != -ENODATA)
		return r;
	r = store_dir_empty(dir_fd, DIRID_NAME);
	if (r < 0)
		return r;
	return r == 1 ? store_dirid_make(dir_fd, g, id) : -ENODATA;
}
