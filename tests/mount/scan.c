/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Looks for needles at every byte of files, folders or a process's memory.
 *
 *   scan NEEDLES [--marker FILE] [--pid PID]... [PATH]...
 *
 * NEEDLES: lines `label hex` (at least 8 bytes each). A marker counts as a needle for each of its 16-byte pieces, so any run
 * of 31 of its bytes is found. Prints `HIT label where offset` (at most 50) and `scanned N bytes, M hits`; exit 1 on a hit.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define BUCKETS (1u << 20)
#define CHUNK (4u << 20)
#define OVERLAP 256u

struct needle {
	struct needle *next;
	char label[64];
	size_t len;
	uint8_t bytes[OVERLAP];
};

static struct needle *table[BUCKETS];
static uint64_t scanned, hits;

static uint32_t bucket(const uint8_t *p)
{
	uint64_t v;
	memcpy(&v, p, 8);
	return (uint32_t)((v * 0x9e3779b97f4a7c15ull) >> 44);
}

static void add(const char *label, const uint8_t *p, size_t len)
{
	struct needle *n = calloc(1, sizeof(*n));
	if (!n)
		abort();
	if (len < 8 || len > OVERLAP) {
		free(n);
		return;
	}
	snprintf(n->label, sizeof(n->label), "%s", label);
	memcpy(n->bytes, p, len);
	n->len = len;
	n->next = table[bucket(p)];
	table[bucket(p)] = n;
}

static void read_needles(const char *path)
{
	char line[4096], label[64], hex[2048];
	FILE *f = fopen(path, "re");
	if (!f)
		exit(2);
	while (fgets(line, sizeof(line), f)) {
		uint8_t b[1024];
		if (sscanf(line, "%63s %2047s", label, hex) != 2)
			continue;
		size_t n = strlen(hex) / 2;
		for (size_t i = 0; i < n; i++) {
			unsigned v;
			sscanf(hex + 2 * i, "%2x", &v);
			b[i] = (uint8_t)v;
		}
		add(label, b, n);
	}
	fclose(f);
}

static void read_marker(const char *path)
{
	uint8_t b[16];
	FILE *f = fopen(path, "re");
	if (!f)
		exit(2);
	while (fread(b, 1, 16, f) == 16)
		add("marker", b, 16);
	fclose(f);
}

/* LEN bytes at P, of which the first NEW may begin a needle that was not looked for before. */
static void look(const uint8_t *p, size_t len, size_t fresh, const char *where, uint64_t base)
{
	for (size_t i = 0; i < fresh && i + 8 <= len; i++) {
		for (struct needle *n = table[bucket(p + i)]; n; n = n->next) {
			if (i + n->len > len || memcmp(p + i, n->bytes, n->len))
				continue;
			if (hits++ < 50)
				printf("HIT %s %s %#" PRIx64 "\n", n->label, where, base + i);
		}
	}
	scanned += fresh;
}

static void scan_range(int fd, uint64_t off, uint64_t end, const char *where)
{
	static uint8_t buf[CHUNK + OVERLAP];
	while (off < end) {
		size_t want = end - off < CHUNK + OVERLAP ? (size_t)(end - off) : CHUNK + OVERLAP;
		ssize_t n = pread(fd, buf, want, (off_t)off);
		if (n <= 0) {
			off += 4096; /* a guard page */
			continue;
		}
		size_t fresh = (size_t)n > CHUNK ? CHUNK : (size_t)n;
		look(buf, (size_t)n, fresh, where, off);
		off += fresh;
	}
}

static int visit(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)ftw;
	look((const uint8_t *)path, strlen(path), strlen(path), path, 0);
	if (flag != FTW_F || !S_ISREG(st->st_mode))
		return 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		scan_range(fd, 0, (uint64_t)st->st_size, path);
		close(fd);
	}
	char names[65536], value[65536];
	ssize_t n = llistxattr(path, names, sizeof(names));
	for (char *x = names; n > 0 && x < names + n; x += strlen(x) + 1) {
		look((const uint8_t *)x, strlen(x), strlen(x), path, 0);
		ssize_t v = lgetxattr(path, x, value, sizeof(value));
		if (v > 0)
			look((const uint8_t *)value, (size_t)v, (size_t)v, path, 0);
	}
	return 0;
}

static void scan_pid(const char *pid)
{
	char path[64], line[4096];
	snprintf(path, sizeof(path), "/proc/%s/mem", pid);
	int mem = open(path, O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/%s/maps", pid);
	FILE *maps = fopen(path, "re");
	if (mem < 0 || !maps) {
		printf("cannot read the memory of %s: %s\n", pid, strerror(errno));
		exit(2);
	}
	while (fgets(line, sizeof(line), maps)) {
		uint64_t a, b;
		char perm[8], where[128];
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s", &a, &b, perm) != 3 || strstr(line, "[vvar"))
			continue;
		char *name = strchr(line, '/') ? strrchr(line, '/') : strchr(line, '[');
		if (name)
			name[strcspn(name, "\n")] = '\0';
		snprintf(where, sizeof(where), "pid:%s:%s:%.80s", pid, perm, name ? name : "anonymous");
		scan_range(mem, a, b, where);
	}
	fclose(maps);
	close(mem);
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	read_needles(argv[1]);
	for (int i = 2; i < argc; i++) {
		if (strcmp(argv[i], "--marker") == 0 && i + 1 < argc)
			read_marker(argv[++i]);
		else if (strcmp(argv[i], "--pid") == 0 && i + 1 < argc)
			scan_pid(argv[++i]);
		else
			nftw(argv[i], visit, 32, FTW_PHYS);
	}
	printf("scanned %" PRIu64 " bytes, %" PRIu64 " hits\n", scanned, hits);
	return hits ? 1 : 0;
}
