/* SPDX-License-Identifier: BSD-2-Clause */
/* Sealing and writing empty files. */
#include "fs/inode/blank.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/header.h"
#include "fs/store/borrow.h"
#include "fs/store/store.h"

int blank_make(struct blank *b, struct gate *g, const struct layout *l)
{
	const struct final_head head = {.generation = 1};
	AUTO(borrow_end) struct borrow keys = {0};

	*b = (struct blank){0};
	int r = gate_key_create(g, b->bytes, &b->key);
	if (!r)
		r = borrow_file(&keys, g, GATE_USE_NEW, b->key, l);
	if (!r)
		r = final_seal(&keys.seal, 0, &head, NULL, b->bytes + l->header_len);
	borrow_end(&keys);
	if (r) {
		blank_end(b);
		return r;
	}
	b->len = (size_t)layout_disk_size(l, 0);
	memcpy(b->file_id, header_file_id(b->bytes), ID_LEN);
	return 0;
}

int blank_write(const struct blank *b, int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	int r = store_pwrite_full(fd, b->bytes, b->len, 0);
	if (r || geteuid() == 0 || !(st.st_mode & (S_ISUID | S_ISGID)))
		return r;
	return fchmod(fd, st.st_mode & 07777) < 0 ? -errno : 0;
}

void blank_end(struct blank *b)
{
	gate_key_close(b->key);
	b->key = NULL;
}
