/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A block device with a volatile cache that loses its power: a FUSE file for a loop device.
 *
 *   layer IMAGE PENDING MOUNTPOINT      in the foreground, until it is unmounted
 *
 * MOUNTPOINT/disk is IMAGE as it is written. IMAGE itself gets the writes only when they are flushed (fsync). MOUNTPOINT/ctl
 * takes `cut` (now) and `flush N` (at the N-th flush from now, which fails): from then on every write and flush is EIO, and PENDING
 * has what was written since the last flush: offset and length, 8 bytes each, little endian, and the bytes. ctl read: flushes so
 * far, the moment of the cut (seconds of CLOCK_MONOTONIC; 0: none), pieces and bytes that are not flushed.
 */
#define FUSE_USE_VERSION 31
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct piece {
	uint64_t off, len;
	struct piece *next;
	char bytes[];
};

static const char *pending_path;
static char *durable, *now;
static off_t size;
static struct piece *first, **last = &first;
static uint64_t pieces, bytes, flushes, cut_at;
static double frozen;

static void freeze(void)
{
	struct timespec t;
	FILE *out = fopen(pending_path, "we");

	for (struct piece *p = first; p; p = p->next)
		if (!out || fwrite(p, 16, 1, out) != 1 || fwrite(p->bytes, p->len, 1, out) != 1)
			abort();
	if (!out || fclose(out))
		abort();
	clock_gettime(CLOCK_MONOTONIC, &t);
	frozen = (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int disk_flush(void)
{
	if (frozen == 0 && ++flushes == cut_at)
		freeze();
	if (frozen != 0)
		return -EIO;
	for (struct piece *p = first, *next; p; p = next) {
		next = p->next;
		memcpy(durable + p->off, p->bytes, p->len);
		free(p);
	}
	first = NULL;
	last = &first;
	pieces = bytes = 0;
	return 0;
}

static int disk_write(const char *data, size_t len, off_t off)
{
	if (frozen != 0)
		return -EIO;
	if (off < 0 || off > size || (off_t)len > size - off)
		return -ENOSPC;
	struct piece *p = malloc(sizeof(*p) + len);
	if (!p)
		abort();
	*p = (struct piece){.off = (uint64_t)off, .len = len};
	memcpy(p->bytes, data, len);
	memcpy(now + off, data, len);
	*last = p;
	last = &p->next;
	pieces++;
	bytes += len;
	return (int)len;
}

static int ctl_write(const char *data, size_t len)
{
	char text[64] = "";

	memcpy(text, data, len < sizeof(text) ? len : sizeof(text) - 1);
	if (strncmp(text, "flush ", 6) == 0)
		cut_at = flushes + strtoull(text + 6, NULL, 10);
	else if (strncmp(text, "cut", 3) == 0 && frozen == 0)
		freeze();
	return (int)len;
}

static int op_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
	(void)fi;
	if (strcmp(path, "/") == 0) {
		st->st_mode = S_IFDIR | 0700;
		st->st_nlink = 2;
		return 0;
	}
	st->st_mode = S_IFREG | 0600;
	st->st_nlink = 1;
	if (strcmp(path, "/disk") == 0)
		st->st_size = size;
	else if (strcmp(path, "/ctl") != 0)
		return -ENOENT;
	return 0;
}

static int op_read(const char *path, char *out, size_t len, off_t off, struct fuse_file_info *fi)
{
	char text[128];

	(void)fi;
	if (strcmp(path, "/disk") == 0) {
		if (off >= size)
			return 0;
		len = (off_t)len > size - off ? (size_t)(size - off) : len;
		memcpy(out, now + off, len);
		return (int)len;
	}
	int n = snprintf(text, sizeof(text), "%llu %.9f %llu %llu\n", (unsigned long long)flushes, frozen,
			 (unsigned long long)pieces, (unsigned long long)bytes);
	if (off >= n)
		return 0;
	len = len > (size_t)(n - off) ? (size_t)(n - off) : len;
	memcpy(out, text + off, len);
	return (int)len;
}

static int op_write(const char *path, const char *data, size_t len, off_t off, struct fuse_file_info *fi)
{
	(void)fi;
	return strcmp(path, "/disk") == 0 ? disk_write(data, len, off) : ctl_write(data, len);
}

static int op_fsync(const char *path, int datasync, struct fuse_file_info *fi)
{
	(void)datasync;
	(void)fi;
	return strcmp(path, "/disk") == 0 ? disk_flush() : 0;
}

static int op_truncate(const char *path, off_t len, struct fuse_file_info *fi)
{
	(void)len;
	(void)fi;
	return strcmp(path, "/ctl") == 0 ? 0 : -EPERM;
}

static void *op_init(struct fuse_conn_info *conn, struct fuse_config *cfg)
{
	(void)conn;
	cfg->direct_io = 1;
	return NULL;
}

int main(int argc, char **argv)
{
	static const struct fuse_operations ops = {.getattr = op_getattr,
						   .read = op_read,
						   .write = op_write,
						   .fsync = op_fsync,
						   .truncate = op_truncate,
						   .init = op_init};
	struct stat st;

	if (argc != 4)
		return 2;
	int fd = open(argv[1], O_RDWR | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		return 2;
	size = st.st_size;
	pending_path = argv[2];
	unlink(pending_path);
	durable = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	/* a page that was never written shows what IMAGE has, which is the same */
	now = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	if (durable == MAP_FAILED || now == MAP_FAILED)
		return 2;
	char *args[] = {argv[0], "-f", "-s", argv[3], NULL};
	return fuse_main(4, args, &ops, NULL);
}
