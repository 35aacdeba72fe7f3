/* SPDX-License-Identifier: BSD-2-Clause */
/* Files of the store by path, by inode number, and told to be the right ones by the file id in their headers. */
#include "fs/store/hunt.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "crypto/header.h"
#include "fs/store/store_own.h"

#define DEPTH_MAX 16384 /* folders held open at once */
#define PATH_LEN_MAX 7936u

int hunt_error(int r)
{
	return r == -ENOENT || r == -ENOTDIR || r == -ELOOP || r == -EUCLEAN ? -ENOENT : r;
}

int hunt_is(const struct store *s, int fd, const struct quarry *q)
{
	const uint32_t len = s->keyring->layout.header_len;
	AUTO(auto_free) uint8_t *buf = malloc(len);
	struct stat st;

	int r = !buf                                        ? -ENOMEM
		: fstat(fd, &st) < 0 || st.st_ino != q->ino ? -ENOENT
							    : store_pread_full(fd, buf, len, 0);
	if (r == 0 && memcmp(header_file_id(buf), q->file_id, ID_LEN) == 0)
		return fd;
	close(fd);
	return r == -ENOMEM ? r : -ENOENT;
}

int hunt_path(const struct store *s, const char *path, size_t len, const struct quarry *q)
{
	char text[PATH_LEN_MAX + 1];

	if (len == 0 || len > PATH_LEN_MAX)
		return -ENOENT;
	memcpy(text, path, len);
	text[len] = '\0';
	/* Disk names grow by a third, so the path may be longer than the kernel takes at once: one part at a time. */
	AUTO(auto_close) int dir_fd = store_openat(s->data_fd, ".", O_RDONLY | O_DIRECTORY, 0);
	char *part = text;
	for (char *slash; dir_fd >= 0 && (slash = strchr(part, '/')); part = slash + 1) {
		*slash = 0;
		int next = store_openat(dir_fd, part, O_PATH | O_DIRECTORY, 0);
		close(dir_fd);
		dir_fd = next;
	}
	if (dir_fd < 0)
		return hunt_error(dir_fd);
	int fd = store_open_lifted(dir_fd, part, O_RDWR);
	return fd < 0 ? hunt_error(fd) : hunt_is(s, fd, q);
}

struct hunt {
	const struct store *s;
	struct quarry *q;
	size_t n, left;
	bool blind; /* a folder could not be looked into */
	hunt_fn *found;
	void *arg;
};

/* The first of those with inode number INO, or NULL. */
static struct quarry *with_ino(const struct hunt *h, uint64_t ino)
{
	size_t low = 0, high = h->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (h->q[mid].ino < ino)
			low = mid + 1;
		else
			high = mid;
	}
	return low < h->n && h->q[low].ino == ino ? &h->q[low] : NULL;
}

static int entry(struct hunt *h, int dir_fd, const struct dirent *e)
{
	struct quarry *q = with_ino(h, e->d_ino);
	int r = 0;

	for (; r == 0 && q && q < h->q + h->n && q->ino == e->d_ino; q++) {
		if (q->found)
			continue;
		int fd = store_open_lifted(dir_fd, e->d_name, O_RDWR);
		fd = fd < 0 ? hunt_error(fd) : hunt_is(h->s, fd, q);
		if (fd == -ENOENT)
			continue;
		if (fd < 0)
			return fd;
		q->found = true;
		h->left--;
		r = h->found(h->arg, q, fd);
	}
	return r;
}

/* What cannot be looked into for want of memory or descriptors must not count as looked into. */
static int blind(struct hunt *h, int r)
{
	if (r == -EMFILE || r == -ENFILE || r == -ENOMEM)
		return r;
	h->blind = h->blind || hunt_error(r) != -ENOENT;
	return 0;
}

static int open_folder(int dir_fd, const char *name)
{
	AUTO(auto_close) int fd = store_openat(dir_fd, name, O_PATH | O_DIRECTORY, 0);

	return fd < 0 ? fd : store_reopen(fd, O_RDONLY | O_DIRECTORY);
}

static int walk(struct hunt *h, int dir_fd, int depth)
{
	AUTO(store_dir_close) DIR *d = store_dir_open(dir_fd);
	int r = d ? 0 : depth > 0 ? blind(h, -errno) : -errno;

	if (!d)
		return r;
	for (const struct dirent *e; !r && h->left > 0 && (e = readdir(d));) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (e->d_type != DT_DIR)
			r = entry(h, dirfd(d), e);
		if (r || (e->d_type != DT_DIR && e->d_type != DT_UNKNOWN))
			continue;
		AUTO(auto_close) int sub = depth < DEPTH_MAX ? open_folder(dirfd(d), e->d_name) : -ELOOP;
		if (depth == DEPTH_MAX)
			h->blind = true;
		r = sub < 0 ? blind(h, sub) : walk(h, sub, depth + 1);
	}
	return r;
}

int hunt_walk(const struct store *s, struct quarry *q, size_t n, hunt_fn *found, void *arg)
{
	struct hunt h = {.s = s, .q = q, .n = n, .found = found, .arg = arg};

	for (size_t i = 0; i < n; i++)
		h.left += !q[i].found;
	int r = h.left ? walk(&h, s->data_fd, 0) : 0;
	return r ? r : h.left && h.blind;
}
