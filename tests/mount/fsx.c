/* SPDX-License-Identifier: BSD-2-Clause */
/* Random reads, writes, cuts, holes and mappings on one file, each checked against a copy in memory. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_LEN (1u << 20)
#define LOG_LEN 20

static uint8_t good[MAX_LEN];
static uint8_t seen[MAX_LEN];
static size_t good_len;
static uint64_t state;
static int fd;
static const char *path;
static char history[LOG_LEN][96];
static unsigned long op_no;

static uint32_t rnd(uint32_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return below ? (uint32_t)(state >> 16) % below : 0;
}

static void die(const char *what, long at)
{
	fprintf(stderr, "fsx: operation %lu: %s at %ld: %s\n", op_no, what, at, strerror(errno));
	for (unsigned i = 0; i < LOG_LEN; i++)
		fprintf(stderr, "   %s\n", history[(op_no + 1 + i) % LOG_LEN]);
	exit(1);
}

static void note(const char *what, size_t off, size_t len)
{
	snprintf(history[op_no % LOG_LEN], sizeof(history[0]), "%lu %s %zu +%zu (size %zu)", op_no, what, off, len,
		 good_len);
}

static void compare(const uint8_t *p, size_t off, size_t len, const char *what)
{
	for (size_t i = 0; i < len; i++) {
		if (p[i] == good[off + i])
			continue;
		fprintf(stderr, "fsx: byte %zu is %02x, expected %02x\n", off + i, p[i], good[off + i]);
		errno = 0;
		die(what, (long)(off + i));
	}
}

static void grow(size_t end)
{
	if (end <= good_len)
		return;
	good_len = end;
}

static void op_read(size_t off, size_t len)
{
	note("read", off, len);
	ssize_t n = pread(fd, seen, len, (off_t)off);
	size_t want = off >= good_len ? 0 : good_len - off < len ? good_len - off : len;
	if (n < 0)
		die("read", (long)off);
	if ((size_t)n != want) {
		fprintf(stderr, "fsx: read %zd bytes, expected %zu\n", n, want);
		die("short read", (long)off);
	}
	compare(seen, off, want, "read");
}

static void fill(size_t off, size_t len)
{
	for (size_t i = 0; i < len; i++)
		good[off + i] = (uint8_t)(rnd(255) + 1);
}

static void op_write(size_t off, size_t len)
{
	note("write", off, len);
	fill(off, len);
	grow(off + len);
	if (pwrite(fd, good + off, len, (off_t)off) != (ssize_t)len)
		die("write", (long)off);
}

static void op_append(size_t len)
{
	size_t off = good_len;
	if (off + len > MAX_LEN)
		return;
	note("append", off, len);
	int a = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	if (a < 0)
		die("open for append", 0);
	fill(off, len);
	grow(off + len);
	if (write(a, good + off, len) != (ssize_t)len)
		die("append", (long)off);
	if (close(a))
		die("close after append", 0);
}

static void op_truncate(size_t len)
{
	note("truncate", len, 0);
	if (len < good_len)
		memset(good + len, 0, good_len - len);
	good_len = len;
	if (ftruncate(fd, (off_t)len))
		die("truncate", (long)len);
}

static void op_punch(size_t off, size_t len)
{
	note("punch", off, len);
	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)len))
		die("punch", (long)off);
	if (off < good_len)
		memset(good + off, 0, good_len - off < len ? good_len - off : len);
}

static void op_allocate(size_t off, size_t len)
{
	note("fallocate", off, len);
	if (fallocate(fd, 0, (off_t)off, (off_t)len))
		die("fallocate", (long)off);
	grow(off + len);
}

static void op_map(size_t off, size_t len, int writing)
{
	if (off >= good_len)
		return;
	if (off + len > good_len)
		len = good_len - off;
	note(writing ? "map write" : "map read", off, len);
	size_t page = off & ~(size_t)4095;
	uint8_t *m = mmap(NULL, off - page + len, PROT_READ | (writing ? PROT_WRITE : 0), MAP_SHARED, fd, (off_t)page);
	if (m == MAP_FAILED)
		die("mmap", (long)off);
	if (writing) {
		fill(off, len);
		memcpy(m + (off - page), good + off, len);
		if (rnd(2) && msync(m, off - page + len, MS_SYNC))
			die("msync", (long)off);
	} else {
		compare(m + (off - page), off, len, "mapped read");
	}
	munmap(m, off - page + len);
}

static void op_reopen(void)
{
	note("reopen", 0, 0);
	if (close(fd))
		die("close", 0);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		die("open", 0);
	if (rnd(4) == 0)
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

static void op_sync(void)
{
	note("fsync and forget", 0, 0);
	if (fsync(fd))
		die("fsync", 0);
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

static void check_size(void)
{
	struct stat st;
	if (fstat(fd, &st))
		die("fstat", 0);
	if ((size_t)st.st_size != good_len) {
		fprintf(stderr, "fsx: size %lld, expected %zu\n", (long long)st.st_size, good_len);
		die("size", 0);
	}
}

static void step(size_t largest)
{
	size_t off = rnd((uint32_t)largest), len = rnd(rnd(8) ? 20000 : 200000) + 1;
	if (off + len > largest)
		len = largest - off;
	switch (rnd(20)) {
	case 0:
	case 1:
	case 2:
	case 3:
	case 4:
		op_read(off, len);
		break;
	case 5:
	case 6:
	case 7:
	case 8:
	case 9:
		op_write(off, len);
		break;
	case 10:
		op_append(rnd(9000) + 1);
		break;
	case 11:
		op_truncate(off);
		break;
	case 12:
	case 13:
		op_map(off, len, 0);
		break;
	case 14:
	case 15:
		op_map(off, len, 1);
		break;
	case 16:
		op_punch(off, len);
		break;
	case 17:
		op_allocate(off, len);
		break;
	case 18:
		op_reopen();
		break;
	default:
		op_sync();
	}
}

int main(int argc, char **argv)
{
	if (argc < 4) {
		fprintf(stderr, "usage: fsx FILE SEED OPERATIONS [LARGEST]\n");
		return 2;
	}
	path = argv[1];
	state = strtoull(argv[2], NULL, 10) * 0x9e3779b97f4a7c15ull + 1;
	unsigned long ops = strtoul(argv[3], NULL, 10);
	size_t largest = argc > 4 ? strtoul(argv[4], NULL, 10) : 300000;
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		die("create", 0);
	for (op_no = 1; op_no <= ops; op_no++) {
		step(largest);
		if (op_no % 16 == 0)
			check_size();
	}
	op_sync();
	op_read(0, MAX_LEN);
	op_reopen();
	op_read(0, MAX_LEN);
	printf("fsx: seed %s, %lu operations, size %zu at the end\n", argv[2], ops, good_len);
	return 0;
}
