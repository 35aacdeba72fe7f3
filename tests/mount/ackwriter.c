/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes numbered records all the while and logs what fsync or close said to be safe; `check` compares files with the log.
 *
 *   ackwriter write DIR LOG SEED [SECONDS] [FILES]   appends and small overwrites until killed, or SECONDS
 *   ackwriter check DIR LOG                          exit 1 when anything acknowledged is not there
 *
 * A record is 128 bytes (never across a page): file, number, version, and bytes made from these three.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define RECORD 128u
#define FILES_MAX 64u
#define RECORDS_MAX 4096u

struct record {
	uint64_t magic;
	uint32_t file, number;
	uint64_t version;
	uint8_t fill[RECORD - 24];
};

struct one {
	int fd;
	uint32_t written; /* records in the file */
	uint32_t acked_records;
	uint64_t version[RECORDS_MAX]; /* newest written */
	uint64_t acked[RECORDS_MAX];
	uint8_t dirty[RECORDS_MAX];
};

static struct one files[FILES_MAX];
static uint64_t state;
static uint64_t errors, acks;

static uint32_t rnd(uint32_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 16) % below;
}

static void make(struct record *r, uint32_t file, uint32_t number, uint64_t version)
{
	uint64_t x = (version * 0x9e3779b97f4a7c15ull) ^ ((uint64_t)file << 32) ^ number;
	r->magic = 0x626b6673726563ull;
	r->file = file;
	r->number = number;
	r->version = version;
	for (size_t i = 0; i < sizeof(r->fill); i++) {
		x = x * 6364136223846793005ull + 1442695040888963407ull;
		r->fill[i] = (uint8_t)(x >> 56);
	}
}

static int whole(const struct record *r, uint32_t file, uint32_t number)
{
	struct record want;
	make(&want, file, number, r->version);
	return memcmp(&want, r, sizeof(want)) == 0;
}

static void path_of(char *out, size_t len, const char *dir, uint32_t i)
{
	snprintf(out, len, "%s/ack-%02u", dir, i);
}

/* One write(2) on the log per acknowledgement: it is on a disk that nobody kills. */
static void log_ack(int log, uint32_t i, const char *by)
{
	static char buf[RECORDS_MAX * 32];
	struct one *f = &files[i];
	int n = snprintf(buf, sizeof(buf), "size %u %u %s\n", i, f->written, by);
	for (uint32_t k = 0; k < f->written; k++) {
		if (!f->dirty[k])
			continue;
		n += snprintf(buf + n, sizeof(buf) - (size_t)n, "ack %u %u %" PRIu64 "\n", i, k, f->version[k]);
		f->dirty[k] = 0;
	}
	if (write(log, buf, (size_t)n) != n)
		abort();
	acks++;
}

static void say_error(int log, uint32_t i, const char *what)
{
	char buf[128];
	int n = snprintf(buf, sizeof(buf), "error %u %s %s\n", i, what, strerrorname_np(errno));
	if (errors++ < 2000 && write(log, buf, (size_t)n) != n)
		abort();
	usleep(20000);
}

static void put(int log, uint32_t i, uint32_t k)
{
	struct one *f = &files[i];
	struct record r;
	make(&r, i, k, f->version[k] + 1);
	/* the version counts as tried even if the write fails: part of it may arrive */
	f->version[k]++;
	f->dirty[k] = 1;
	if (pwrite(f->fd, &r, RECORD, (off_t)k * RECORD) != (ssize_t)RECORD) {
		f->dirty[k] = 0;
		say_error(log, i, "write");
		return;
	}
	if (k >= f->written)
		f->written = k + 1;
}

/* A failed fsync or close is told once: the next good one says nothing of what was dirty then. */
static void forget_dirty(int log, uint32_t i, const char *what)
{
	memset(files[i].dirty, 0, sizeof(files[i].dirty));
	say_error(log, i, what);
}

static int open_file(const char *dir, uint32_t i, int log)
{
	char path[4096];
	path_of(path, sizeof(path), dir, i);
	files[i].fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (files[i].fd < 0)
		say_error(log, i, "open");
	return files[i].fd;
}

static void step(const char *dir, int log, uint32_t n)
{
	uint32_t i = rnd(n);
	struct one *f = &files[i];
	if (f->fd < 0 && open_file(dir, i, log) < 0)
		return;
	uint32_t count = rnd(6) + 1;
	while (count--) {
		if (rnd(2) && f->written < RECORDS_MAX)
			put(log, i, f->written);
		else if (f->written)
			put(log, i, rnd(f->written));
	}
	switch (rnd(5)) {
	case 0:
		if (fsync(f->fd))
			forget_dirty(log, i, "fsync");
		else
			log_ack(log, i, "fsync");
		break;
	case 1:
		if (close(f->fd))
			forget_dirty(log, i, "close");
		else
			log_ack(log, i, "close");
		f->fd = -1;
	}
}

static int run(char **argv, int argc)
{
	int log = open(argv[3], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	uint32_t n = argc > 6 ? (uint32_t)atoi(argv[6]) : 16;
	time_t end = argc > 5 && atoi(argv[5]) ? time(NULL) + atoi(argv[5]) : 0;
	if (log < 0 || n == 0 || n > FILES_MAX)
		return 2;
	state = strtoull(argv[4], NULL, 10) * 0x9e3779b97f4a7c15ull + 1;
	for (uint32_t i = 0; i < n; i++)
		files[i].fd = -1;
	while (!end || time(NULL) < end)
		step(argv[2], log, n);
	for (uint32_t i = 0; i < n; i++) {
		if (files[i].fd < 0)
			continue;
		if (close(files[i].fd))
			forget_dirty(log, i, "close");
		else
			log_ack(log, i, "close");
	}
	printf("%" PRIu64 " acknowledged, %" PRIu64 " errors\n", acks, errors);
	return 0;
}

static void read_log(FILE *log)
{
	char line[256], by[32];
	uint32_t i, k;
	uint64_t v;
	while (fgets(line, sizeof(line), log)) {
		if (!strchr(line, '\n'))
			break;
		if (sscanf(line, "ack %u %u %" SCNu64, &i, &k, &v) == 3 && i < FILES_MAX && k < RECORDS_MAX)
			files[i].acked[k] = v;
		else if (sscanf(line, "size %u %u %31s", &i, &k, by) == 3 && i < FILES_MAX && k <= RECORDS_MAX) {
			files[i].acked_records = k;
			acks++;
		}
	}
}

static unsigned check_file(const char *dir, uint32_t i)
{
	char path[4096];
	unsigned bad = 0;
	struct one *f = &files[i];
	struct record r;
	struct stat st;
	path_of(path, sizeof(path), dir, i);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st)) {
		if (f->acked_records)
			printf("%s: %s, %u records were acknowledged\n", path, strerror(errno), f->acked_records);
		return f->acked_records ? 1 : 0;
	}
	if (st.st_size < (off_t)f->acked_records * RECORD) {
		printf("%s: %lld bytes, %u were acknowledged\n", path, (long long)st.st_size,
		       f->acked_records * RECORD);
		bad++;
	}
	for (uint32_t k = 0; (off_t)k * RECORD < st.st_size && k < RECORDS_MAX; k++) {
		ssize_t n = pread(fd, &r, RECORD, (off_t)k * RECORD);
		if (n < 0) {
			printf("%s: record %u: %s (a torn block?)\n", path, k, strerror(errno));
			bad++;
			break;
		}
		if (k >= f->acked_records || f->acked[k] == 0)
			continue;
		if (n != (ssize_t)RECORD || !whole(&r, i, k) || r.version < f->acked[k]) {
			printf("%s: record %u: version %" PRIu64 "%s, %" PRIu64 " was acknowledged\n", path, k,
			       r.version, n == (ssize_t)RECORD && whole(&r, i, k) ? "" : " (not whole)", f->acked[k]);
			bad++;
		}
	}
	close(fd);
	return bad;
}

int main(int argc, char **argv)
{
	if (argc >= 5 && strcmp(argv[1], "write") == 0)
		return run(argv, argc);
	if (argc == 4 && strcmp(argv[1], "check") == 0) {
		unsigned bad = 0, records = 0;
		FILE *log = fopen(argv[3], "re");
		if (!log)
			return 2;
		read_log(log);
		fclose(log);
		for (uint32_t i = 0; i < FILES_MAX; i++) {
			bad += check_file(argv[2], i);
			records += files[i].acked_records;
		}
		printf("%" PRIu64 " acknowledgements, %u records checked, %u lost or torn\n", acks, records, bad);
		return bad ? 1 : 0;
	}
	fprintf(stderr, "usage: ackwriter write DIR LOG SEED [SECONDS] [FILES] | check DIR LOG\n");
	return 2;
}
