/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Load on one directory of a mount: handles, readers, writers, mappings, listings, one big write; says what each was answered.
 *
 *   load run DIR PAGE LOG MARKER [MIB] [COUNT]   until the phase is `ended`; COUNT readers and writers each (32)
 *   load phase PAGE serving|told|back|dead|ended
 *   load kill PAGE SIGNAL PID...                 the phase is `dead`, and at once the signal
 *   load wait PAGE answered|served SECONDS       each worker since the phase began; exit 1 and a line for each that was not,
 *                                                when none of these has moved for SECONDS: the others are only slow
 *   load last PAGE                               ms from told, or dead, to the last success of each kind, `name=ms`
 *   load report PAGE                             answers other than success; exit 1 when one is not of the design's
 *   load stop PAGE SECONDS                       ended; exit 1 and a line for each worker that is still there (as for wait)
 *   load check DIR LOG MARKER                    the unchanging files and the big one; the records are ackwriter's to check
 *
 * PAGE is a file outside the mount that all share; LOG has what fsync, msync or close covered, as ackwriter writes it, so
 * that `ackwriter check DIR LOG` reads it. MARKER is a file of 16 bytes, found in every page that is not a record.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RECORD 128u
#define RECORDS 4096u
#define PAGE 4096u
#define PER_PAGE (PAGE / RECORD)
#define FIXED 100u /* files that nobody changes */
#define FIXED_PAGES 16u
#define MAPPED 4u /* processes with a shared mapping, and as many with private ones */
#define LISTERS 2u
#define COUNT_MAX 32u
#define ACK_FILES (COUNT_MAX + MAPPED)
#define WORKERS_MAX (2 * COUNT_MAX + 2 * MAPPED + LISTERS + 2)
#define BIG_PAGES 256u /* the big file repeats one MiB of stamps */
#define NOTES 24u
#define GOT_SIGBUS 200 /* beside the errnos */
#define ERRORS 201

enum phase { SERVING, TOLD, BACK, DEAD, ENDED, PHASES };
static const char *const phase_name[] = {"serving", "told", "back", "dead", "ended"};

enum op {
	OPEN,
	READ,
	READ_ACK,
	READ_BIG,
	LOAD,
	LOAD_ACK,
	WRITE,
	WRITE_BIG,
	STORE,
	FSYNC,
	MSYNC,
	CLOSE,
	LIST,
	STAT,
	OPS
};
static const char *const op_name[] = {"open",      "read",  "read-record", "read-big", "load",  "load-record", "write",
				      "write-big", "store", "fsync",       "msync",    "close", "list",        "stat"};

struct worker {
	char kind[16];
	_Atomic int pid, op;
	_Atomic int64_t began;             /* of the call under way, 0 = none */
	_Atomic uint32_t answered, served; /* the phase's number at the beginning of the last answered, served call */
};

struct shared {
	_Atomic int phase, turn;
	_Atomic uint32_t number; /* of the phase, counted up */
	_Atomic int64_t since;
	uint32_t n_workers;
	_Atomic int started;
	uint64_t run;
	_Atomic int64_t last[OPS];
	_Atomic uint64_t calls[OPS], errors[PHASES][OPS][ERRORS], bad[PHASES][OPS][ERRORS];
	_Atomic uint64_t big_acked, acks, wrong;
	char note[NOTES][160];
	_Atomic uint64_t acked[ACK_FILES][RECORDS];
	struct worker worker[WORKERS_MAX];
};

static struct shared *shared;
static struct worker *me;
static const char *dir;
static char marker[16];
static int log_fd;
static uint64_t seed;
static enum phase begun_phase;
static uint32_t begun_number;
static int begun_turn;
static sigjmp_buf on_bus;

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static uint32_t rnd(uint32_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 16) % below;
}

static void wrong(const char *fmt, ...)
{
	uint64_t n = atomic_fetch_add(&shared->wrong, 1);
	va_list ap;

	if (n >= NOTES)
		return;
	va_start(ap, fmt);
	vsnprintf(shared->note[n], sizeof(shared->note[n]), fmt, ap);
	va_end(ap);
}

/* --- what may be answered (DESIGN.md "The gate", "Locking") */

static int allowed(enum phase p, enum op op, int err, int turn)
{
	int tells = op == FSYNC || op == MSYNC || op == CLOSE;
	int mapped = op == LOAD || op == LOAD_ACK || op == STORE;
	int lost = op == READ_ACK || op == READ_BIG || op == WRITE || op == WRITE_BIG;

	if (tells && (err == EACCES || err == EIO))
		return p != SERVING || turn > 0;
	/* what an earlier lock took from a file: EIO, in a mapping SIGBUS, whenever the mount serves, before the next lock too */
	if (turn > 0 && ((lost && err == EIO) || (mapped && op != LOAD && err == GOT_SIGBUS)))
		return 1;
	if (mapped && err == GOT_SIGBUS)
		return p != SERVING;
	if (p == SERVING)
		return 0;
	/* a write(2) of part of a page, which must be read first: the kernel says EIO whatever that READ was answered with */
	if (p == TOLD && op == WRITE && err == EIO)
		return 1;
	if (p >= DEAD && (err == ENOTCONN || err == ECONNABORTED))
		return 1;
	/* between the end of the dead mount and the next one its path leads nowhere */
	return err == EACCES || (p >= DEAD && err == ENOENT && (op == OPEN || op == STAT));
}

static void call(enum op op)
{
	begun_number = atomic_load(&shared->number);
	begun_phase = atomic_load(&shared->phase);
	begun_turn = atomic_load(&shared->turn);
	atomic_store(&me->op, op);
	atomic_store(&me->began, now_ns());
	errno = 0;
}

/* RC < 0: errno is the answer. Returns whether it went well. */
static int answer(enum op op, long rc)
{
	int err = errno;
	enum phase p = atomic_load(&shared->phase);

	if (rc >= 0) {
		int64_t at = now_ns(), was = atomic_load(&shared->last[op]);

		atomic_fetch_add(&shared->calls[op], 1);
		while ((p == TOLD || p == DEAD) && at > was)
			if (atomic_compare_exchange_weak(&shared->last[op], &was, at))
				break;
	} else {
		/* a call that saw two phases may be answered as either has it */
		int ok = allowed(begun_phase, op, err, begun_turn) || allowed(p, op, err, atomic_load(&shared->turn));

		err = err < 0 || err >= ERRORS ? 0 : err;
		atomic_fetch_add(&shared->errors[p][op][err], 1);
		if (!ok)
			atomic_fetch_add(&shared->bad[p][op][err], 1);
	}
	atomic_store(&me->began, 0);
	atomic_store(&me->answered, begun_number);
	errno = err;
	return rc >= 0;
}

static void served(void)
{
	atomic_store(&me->served, begun_number);
}

static int going(void)
{
	return atomic_load(&shared->phase) != ENDED;
}

/* Refused: slowly, so that what goes on is not held up by what does not. */
static void rest(int ok, unsigned us)
{
	usleep(ok ? us : 15000);
}

/* --- what lies in the files */

struct cell {
	char marker[16];
	uint32_t file, page;
	uint64_t generation;
	uint8_t rest[32];
};

static void stamp(void *out, uint32_t file, uint32_t page, uint64_t generation)
{
	struct cell c = {.file = file, .page = page, .generation = generation};

	memcpy(c.marker, marker, sizeof(marker));
	memset(c.rest, (int)(0x40 | (page & 0x3f)), sizeof(c.rest));
	for (size_t i = 0; i < PAGE; i += sizeof(c))
		memcpy((char *)out + i, &c, sizeof(c));
}

static int is_stamped(const void *got, uint32_t file, uint32_t page, uint64_t at_least)
{
	char want[PAGE];
	struct cell c;

	memcpy(&c, got, sizeof(c));
	stamp(want, file, page, c.generation);
	return c.generation >= at_least && memcmp(want, got, PAGE) == 0;
}

struct record {
	uint64_t magic;
	uint32_t file, number;
	uint64_t version;
	uint8_t fill[RECORD - 24];
};

/* As ackwriter makes them. */
static void record_make(struct record *r, uint32_t file, uint32_t number, uint64_t version)
{
	uint64_t x = (version * 0x9e3779b97f4a7c15ull) ^ ((uint64_t)file << 32) ^ number;

	*r = (struct record){.magic = 0x626b6673726563ull, .file = file, .number = number, .version = version};
	for (size_t i = 0; i < sizeof(r->fill); i++) {
		x = x * 6364136223846793005ull + 1442695040888963407ull;
		r->fill[i] = (uint8_t)(x >> 56);
	}
}

static int record_is(const struct record *r, uint32_t file, uint32_t number, uint64_t at_least)
{
	struct record want;

	record_make(&want, file, number, r->version);
	return r->version >= at_least && memcmp(&want, r, sizeof(want)) == 0;
}

static int open_in(int flags, const char *fmt, uint32_t n)
{
	char path[4096];
	size_t len = (size_t)snprintf(path, sizeof(path), "%s/", dir);

	snprintf(path + len, sizeof(path) - len, fmt, n);
	return open(path, flags | O_CLOEXEC, 0644);
}

static int must_open(int flags, const char *fmt, uint32_t n)
{
	int fd = open_in(flags, fmt, n);

	if (fd < 0) {
		wrong("%s could not open %s: %s", me->kind, fmt, strerror(errno));
		exit(1);
	}
	return fd;
}

/* --- readers */

static int read_fixed(int fd, uint32_t file)
{
	char buf[PAGE];
	uint32_t page = rnd(FIXED_PAGES);

	call(READ);
	if (!answer(READ, pread(fd, buf, PAGE, (off_t)page * PAGE)))
		return 0;
	if (!is_stamped(buf, file, page, 1))
		wrong("fixed file %u page %u: other bytes (first %02x)", file, page, (unsigned char)buf[0]);
	return 1;
}

/* A read that races with a write may see half of it: what is wrong stays wrong. */
#define TRIES 20

static void read_record(int fd, uint32_t file)
{
	uint32_t k = rnd(RECORDS);
	uint64_t acked = 0;
	struct record r = {0};
	ssize_t n = 0;

	for (unsigned i = 0; i < 64 && acked == 0; i++)
		acked = atomic_load(&shared->acked[file][k = rnd(RECORDS)]);
	for (int i = 0; acked && i < TRIES; i++) {
		call(READ_ACK);
		n = pread(fd, &r, RECORD, (off_t)k * RECORD);
		/* after a death an old handle knows an old end of the file: nothing is served */
		if (n == 0 && atomic_load(&shared->phase) >= DEAD) {
			n = -1;
			errno = ENOTCONN;
		}
		if (!answer(READ_ACK, n) || record_is(&r, file, k, acked))
			return;
		usleep(1000);
		/* a mapping's record is taken back before it is stored anew */
		if (atomic_load(&shared->acked[file][k]) == 0)
			return;
	}
	if (acked)
		wrong("ack-%02u record %u: %zd bytes, version %" PRIx64 ", %" PRIx64 " was acknowledged, phase %d",
		      file, k, n, r.version, acked, atomic_load(&shared->phase));
}

static void read_big(int fd, uint32_t pages)
{
	uint64_t acked = atomic_load(&shared->big_acked);
	uint32_t page = rnd(pages);
	char buf[PAGE];

	for (int i = 0; acked && i < TRIES; i++) {
		call(READ_BIG);
		if (!answer(READ_BIG, pread(fd, buf, PAGE, (off_t)page * PAGE)) ||
		    is_stamped(buf, FIXED, page % BIG_PAGES, acked))
			return;
		usleep(1000);
	}
	if (acked)
		wrong("big page %u: not generation %" PRIx64 " or later (first %02x)", page, acked,
		      (unsigned char)buf[0]);
}

static void reader(uint32_t id, uint32_t n, uint32_t big_pages)
{
	int fixed[4], record = must_open(O_RDONLY | O_CREAT, "ack-%02u", id),
		      big = must_open(O_RDONLY | O_CREAT, "big", 0);
	int mapped = must_open(O_RDONLY | O_CREAT, "ack-%02u", COUNT_MAX + id % MAPPED);

	(void)n;
	for (uint32_t i = 0; i < 4; i++)
		fixed[i] = must_open(O_RDONLY, "fixed-%03u", (id * 3 + i) % FIXED);
	while (going()) {
		uint32_t i = rnd(4);
		int ok = read_fixed(fixed[i], (id * 3 + i) % FIXED);

		if (ok)
			served();
		if (rnd(32) == 0)
			posix_fadvise(fixed[i], 0, 0, POSIX_FADV_DONTNEED);
		read_record(record, id);
		read_record(mapped, COUNT_MAX + id % MAPPED);
		read_big(big, big_pages);
		if (rnd(8) == 0) {
			call(OPEN);
			int fd = open_in(O_RDONLY, "fixed-%03u", rnd(FIXED));
			if (answer(OPEN, fd))
				close(fd);
		}
		rest(ok, 3000);
	}
}

/* A hundred handles, each read in turn. */
static void holder(void)
{
	int fd[FIXED];

	for (uint32_t i = 0; i < FIXED; i++)
		fd[i] = must_open(O_RDWR, "fixed-%03u", i);
	while (going()) {
		uint32_t number = atomic_load(&shared->number), well = 0;

		for (uint32_t i = 0; i < FIXED && going(); i++)
			well += (uint32_t)read_fixed(fd[i], i);
		if (well == FIXED)
			atomic_store(&me->served, number);
		rest(well > 0, 3000);
	}
}

static int list(DIR *d)
{
	long n = 0;

	call(LIST);
	rewinddir(d);
	errno = 0;
	while (readdir(d))
		n++;
	if (errno)
		return answer(LIST, -1);
	if (n < (long)FIXED + 2)
		wrong("a listing has %ld names", n);
	return answer(LIST, n);
}

static void lister(void)
{
	DIR *held = opendir(dir);
	char path[4096];
	struct stat st;

	if (!held)
		wrong("opendir: %s", strerror(errno));
	while (held && going()) {
		int ok = list(held);
		DIR *d;

		call(OPEN);
		d = opendir(dir);
		if (answer(OPEN, d ? 0 : -1)) {
			ok &= list(d);
			closedir(d);
		}
		snprintf(path, sizeof(path), "%s/fixed-%03u", dir, rnd(FIXED));
		call(STAT);
		ok &= answer(STAT, stat(path, &st));
		if (ok)
			served();
		rest(ok, 5000);
	}
}

/* --- mappings */

static void bus(int sig)
{
	(void)sig;
	siglongjmp(on_bus, 1);
}

/* OP: LOAD of a file that nobody writes, LOAD_ACK of one from which a lock may have taken something. */
static int load_page(enum op op, const char *map, char *out)
{
	call(op);
	if (sigsetjmp(on_bus, 1)) {
		errno = GOT_SIGBUS;
		return answer(op, -1);
	}
	memcpy(out, map, PAGE);
	return answer(op, 0);
}

static void map_reader(uint32_t id)
{
	const char *map[4];
	char buf[PAGE];

	for (uint32_t i = 0; i < 4; i++) {
		int fd = must_open(O_RDONLY, "fixed-%03u", id * 4 + i);

		map[i] = mmap(NULL, FIXED_PAGES * PAGE, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
		close(fd);
		if (map[i] == MAP_FAILED)
			wrong("mmap: %s", strerror(errno));
	}
	while (going()) {
		uint32_t i = rnd(4), page = rnd(FIXED_PAGES);
		int ok = load_page(LOAD, map[i] + (size_t)page * PAGE, buf);

		if (ok && !is_stamped(buf, id * 4 + i, page, 1))
			wrong("mapping of fixed file %u page %u: other bytes", id * 4 + i, page);
		if (ok)
			served();
		rest(ok, 2000);
	}
}

/* One line for each record of a file, in one write(2): the disk under the log is not the one that dies. */
static void log_records(uint32_t file, const uint32_t *k, const uint64_t *version, uint32_t n)
{
	static char buf[RECORDS * 48];
	int len = 0;

	for (uint32_t i = 0; i < n; i++)
		len += snprintf(buf + len, sizeof(buf) - (size_t)len, "ack %u %u %" PRIu64 "\n", file, k[i],
				version[i]);
	if (len && write(log_fd, buf, (size_t)len) != len)
		abort();
	for (uint32_t i = 0; i < n; i++)
		atomic_store(&shared->acked[file][k[i]], version[i]);
}

static void log_size(uint32_t file, uint32_t records, const char *by)
{
	char buf[64];
	int len = snprintf(buf, sizeof(buf), "size %u %u %s\n", file, records, by);

	if (write(log_fd, buf, (size_t)len) != len)
		abort();
	atomic_fetch_add(&shared->acks, 1);
}

static int store_record(char *map, const struct record *r)
{
	call(STORE);
	if (sigsetjmp(on_bus, 1)) {
		errno = GOT_SIGBUS;
		return answer(STORE, -1);
	}
	memcpy(map + (size_t)r->number * RECORD, r, RECORD);
	return answer(STORE, 0);
}

/* A store that a SIGBUS cuts leaves half a record: so each is taken back in the log before it is stored anew. */
static int store_some(char *map, uint32_t file, uint64_t version)
{
	static const uint64_t none[8];
	uint64_t versions[8];
	uint32_t k[8], stored = 0;
	char page[PAGE];

	for (uint32_t i = 0; i < 8; i++) {
		k[i] = rnd(RECORDS / 8) * 8 + i;
		versions[i] = version;
	}
	log_records(file, k, none, 8);
	for (uint32_t i = 0; i < 8; i++) {
		struct record r;

		record_make(&r, file, k[i], version);
		stored += (uint32_t)store_record(map, &r);
		load_page(LOAD_ACK, map + k[i] / PER_PAGE * PAGE, page);
	}
	call(MSYNC);
	if (!answer(MSYNC, msync(map, RECORDS * RECORD, MS_SYNC)) || stored < 8)
		return 0;
	log_records(file, k, versions, 8);
	log_size(file, RECORDS, "msync");
	return 1;
}

static void map_writer(uint32_t id)
{
	uint32_t file = COUNT_MAX + id;
	int fd = must_open(O_RDWR | O_CREAT, "ack-%02u", file);
	uint64_t version = shared->run << 32;
	char *map;

	if (ftruncate(fd, RECORDS * RECORD) || fsync(fd))
		wrong("sizing the mapped file: %s", strerror(errno));
	map = mmap(NULL, RECORDS * RECORD, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	while (going()) {
		int ok = store_some(map, file, ++version);

		if (ok)
			served();
		rest(ok, 10000);
	}
}

/* --- writers */

struct written {
	uint32_t file, records;
	int fd, owed; /* a write went well since the last fsync */
	uint64_t version[RECORDS];
	uint8_t dirty[RECORDS];
};

static void settle(struct written *w, int ok, const char *by)
{
	static uint32_t k[RECORDS];
	static uint64_t version[RECORDS];
	uint32_t n = 0;

	for (uint32_t i = 0; i < w->records; i++) {
		if (!w->dirty[i])
			continue;
		w->dirty[i] = 0;
		k[n] = i;
		version[n++] = w->version[i];
	}
	if (!ok)
		return;
	log_size(w->file, w->records, by);
	log_records(w->file, k, version, n);
}

/* What was lost reads as EIO until a whole page is written over it. */
static int put_page(struct written *w, uint32_t first)
{
	struct record r[PER_PAGE];

	for (uint32_t i = 0; i < PER_PAGE; i++) {
		record_make(&r[i], w->file, first + i, ++w->version[first + i]);
		w->dirty[first + i] = 1;
	}
	call(WRITE);
	if (!answer(WRITE, pwrite(w->fd, r, PAGE, (off_t)first * RECORD))) {
		memset(w->dirty + first, 0, PER_PAGE);
		return 0;
	}
	if (w->records < first + PER_PAGE)
		w->records = first + PER_PAGE;
	return 1;
}

static int put(struct written *w, uint32_t k)
{
	struct record r;

	record_make(&r, w->file, k, ++w->version[k]);
	w->dirty[k] = 1;
	call(WRITE);
	if (!answer(WRITE, pwrite(w->fd, &r, RECORD, (off_t)k * RECORD))) {
		w->dirty[k] = 0;
		return errno == EIO ? put_page(w, k / PER_PAGE * PER_PAGE) : 0;
	}
	if (k >= w->records)
		w->records = k + 1;
	return 1;
}

static int writer_open(struct written *w)
{
	struct stat st;

	call(OPEN);
	w->fd = open_in(O_RDWR | O_CREAT, "ack-%02u", w->file);
	if (!answer(OPEN, w->fd))
		return 0;
	if (w->records == 0 && fstat(w->fd, &st) == 0)
		w->records = (uint32_t)(st.st_size / RECORD) < RECORDS ? (uint32_t)(st.st_size / RECORD) : RECORDS;
	return 1;
}

static void writer_end(struct written *w, uint32_t how)
{
	int ok;

	if (how == 0) {
		call(FSYNC);
		ok = answer(FSYNC, fsync(w->fd));
		if (!ok && !w->owed && atomic_load(&shared->phase) < DEAD)
			wrong("ack-%02u: fsync told %s twice", w->file, strerrorname_np(errno));
		w->owed = 0;
		settle(w, ok, "fsync");
	} else if (how == 1) {
		call(CLOSE);
		ok = answer(CLOSE, close(w->fd));
		settle(w, ok, "close");
		w->fd = -1;
		w->owed = 1;
	}
}

static void writer(uint32_t id)
{
	struct written *w = calloc(1, sizeof(*w));

	if (!w)
		abort();
	w->file = id;
	w->fd = -1;
	w->owed = 1;
	for (uint32_t k = 0; k < RECORDS; k++)
		w->version[k] = shared->run << 32;
	while (going()) {
		uint32_t n = rnd(6) + 1, well = 0;

		if (w->fd < 0 && !writer_open(w)) {
			rest(0, 0);
			continue;
		}
		while (n-- && going()) {
			uint32_t k = rnd(2) && w->records < RECORDS ? w->records : w->records ? rnd(w->records) : 0;

			well += (uint32_t)put(w, k);
		}
		if (well) {
			w->owed = 1;
			served();
		}
		writer_end(w, rnd(8));
		rest(well > 0, 10000);
	}
	if (w->fd >= 0)
		writer_end(w, 1);
}

/* One write(2) of MIB MiB, again and again. */
static void big_writer(uint32_t mib)
{
	int fd = must_open(O_RDWR | O_CREAT, "big", 0);
	char *buf = malloc(BIG_PAGES * PAGE), line[64];
	struct iovec *iov = calloc(mib, sizeof(*iov));
	uint64_t generation = shared->run << 32;

	while (buf && iov && going()) {
		ssize_t n;
		int ok;

		generation++;
		for (uint32_t p = 0; p < BIG_PAGES; p++)
			stamp(buf + (size_t)p * PAGE, FIXED, p, generation);
		for (uint32_t i = 0; i < mib; i++)
			iov[i] = (struct iovec){buf, BIG_PAGES * PAGE};
		call(WRITE_BIG);
		n = pwritev(fd, iov, (int)mib, 0);
		ok = answer(WRITE_BIG, n);
		if (ok && n == (ssize_t)mib * BIG_PAGES * PAGE)
			served();
		call(FSYNC);
		ok = answer(FSYNC, fsync(fd)) && n == (ssize_t)mib * BIG_PAGES * PAGE;
		if (ok) {
			n = snprintf(line, sizeof(line), "big %" PRIu64 " %u\n", generation, mib);
			if (write(log_fd, line, (size_t)n) != n)
				abort();
			atomic_store(&shared->big_acked, generation);
		}
		rest(ok, 100000);
	}
}

/* --- run */

static void read_log(const char *path, uint64_t *run, uint64_t *big, uint32_t *mib)
{
	FILE *f = fopen(path, "re");
	char line[256];
	uint32_t i, k;
	uint64_t v;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "ack %u %u %" SCNu64, &i, &k, &v) == 3 && shared && i < ACK_FILES && k < RECORDS)
			atomic_store(&shared->acked[i][k], v);
		else if (sscanf(line, "big %" SCNu64 " %u", &v, mib) == 2)
			*big = v;
		else if (sscanf(line, "run %" SCNu64, &v) == 1)
			*run = v;
	}
	if (f)
		fclose(f);
}

static void map_shared(const char *path, int flags)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | flags, 0666);

	if (fd < 0 || ((flags & O_CREAT) && ftruncate(fd, sizeof(*shared)))) {
		perror(path);
		exit(2);
	}
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (shared == MAP_FAILED)
		exit(2);
}

static void read_marker(const char *path)
{
	FILE *f = fopen(path, "re");

	if (!f || fread(marker, 1, sizeof(marker), f) != sizeof(marker)) {
		perror(path);
		exit(2);
	}
	fclose(f);
}

static void make_fixed(void)
{
	char page[PAGE];

	for (uint32_t i = 0; i < FIXED; i++) {
		int fd = open_in(O_RDWR | O_CREAT | O_EXCL, "fixed-%03u", i);

		for (uint32_t p = 0; fd >= 0 && p < FIXED_PAGES; p++) {
			stamp(page, i, p, 1);
			if (pwrite(fd, page, PAGE, (off_t)p * PAGE) != PAGE)
				exit(2);
		}
		if (fd >= 0 && (fsync(fd) || close(fd)))
			exit(2);
	}
}

static struct worker *next_worker(const char *kind)
{
	struct worker *w = &shared->worker[shared->n_workers++];
	pid_t pid = fork();

	if (pid < 0)
		exit(2);
	if (pid > 0) {
		snprintf(w->kind, sizeof(w->kind), "%s", kind);
		atomic_store(&w->pid, pid);
		return NULL;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	me = w;
	seed = (uint64_t)(w - shared->worker + 1) * 0x9e3779b97f4a7c15ull;
	return w;
}

static void start(uint32_t count, uint32_t mib)
{
	for (uint32_t i = 0; i < count; i++) {
		if (next_worker("writer"))
			exit((writer(i), 0));
		if (next_worker("reader"))
			exit((reader(i, count, mib * BIG_PAGES), 0));
	}
	for (uint32_t i = 0; i < MAPPED; i++) {
		if (next_worker("map-writer"))
			exit((map_writer(i), 0));
		if (next_worker("map-reader"))
			exit((map_reader(i), 0));
	}
	for (uint32_t i = 0; i < LISTERS; i++)
		if (next_worker("lister"))
			exit((lister(), 0));
	if (next_worker("holder"))
		exit((holder(), 0));
	if (next_worker("big-writer"))
		exit((big_writer(mib), 0));
}

static int run(int argc, char **argv)
{
	uint32_t mib = argc > 6 ? (uint32_t)atoi(argv[6]) : 64, count = argc > 7 ? (uint32_t)atoi(argv[7]) : COUNT_MAX,
		 was = 0;
	uint64_t number = 0, big = 0;
	char line[32];
	int n;

	dir = argv[2];
	if (mib == 0 || mib > 1024 || count == 0 || count > COUNT_MAX)
		return 2;
	read_marker(argv[5]);
	map_shared(argv[3], O_CREAT | O_TRUNC);
	read_log(argv[4], &number, &big, &was);
	shared->run = number + 1;
	/* a file of another size was only in part written */
	atomic_store(&shared->big_acked, was >= mib ? big : 0);
	log_fd = open(argv[4], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	n = snprintf(line, sizeof(line), "run %" PRIu64 "\n", shared->run);
	if (log_fd < 0 || write(log_fd, line, (size_t)n) != n)
		return 2;
	atomic_store(&shared->number, 1);
	signal(SIGBUS, bus);
	make_fixed();
	start(count, mib);
	atomic_store(&shared->started, 1);
	while (wait(NULL) > 0 || errno == EINTR)
		;
	return 0;
}

/* --- what the scenario asks */

static int set_phase(const char *name)
{
	for (int p = 0; p < PHASES; p++) {
		if (strcmp(name, phase_name[p]))
			continue;
		if (p == TOLD || p == DEAD) {
			for (int o = 0; o < OPS; o++)
				atomic_store(&shared->last[o], 0);
			atomic_store(&shared->since, now_ns());
			atomic_fetch_add(&shared->turn, 1);
		}
		atomic_store(&shared->phase, p);
		atomic_fetch_add(&shared->number, 1);
		return 0;
	}
	return 2;
}

static void say_worker(const struct worker *w)
{
	char path[64], text[160] = "";
	int64_t began = atomic_load(&w->began);
	FILE *f;

	printf("%s %d in %s for %" PRId64 " ms:", w->kind, atomic_load(&w->pid),
	       began ? op_name[atomic_load(&w->op)] : "nothing", began ? (now_ns() - began) / 1000000 : 0);
	snprintf(path, sizeof(path), "/proc/%d/wchan", atomic_load(&w->pid));
	f = fopen(path, "re");
	if (f && fgets(text, sizeof(text), f))
		printf(" %s", text);
	if (f)
		fclose(f);
	puts("");
}

/* Gone, or ended and not yet waited for. */
static int is_gone(int pid)
{
	char path[64], text[512] = "";
	const char *p;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	if (!f)
		return 1;
	p = fgets(text, sizeof(text), f) ? strrchr(text, ')') : NULL;
	fclose(f);
	return !p || p[2] == 'Z' || p[2] == 'X';
}

/*
 * What changes whenever a process runs: its time on the processor, its switches. One that waits for its turn, or whose call
 * goes on, moves; one that hangs does not.
 */
static uint64_t moves(int pid)
{
	char path[64], text[512];
	uint64_t sum = 0, n;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "re");
	while (f && fgets(text, sizeof(text), f))
		if (strstr(text, "ctxt_switches:") && sscanf(strchr(text, ':') + 1, "%" SCNu64, &n) == 1)
			sum += n;
	if (f)
		fclose(f);
	return sum;
}

/* Answered or served since the phase began (WANT_SERVED), or gone (WANT_GONE). */
enum want { WANT_ANSWERED, WANT_SERVED, WANT_GONE };

static bool is_done(const struct worker *w, enum want want)
{
	if (want == WANT_GONE)
		return is_gone(atomic_load(&w->pid));
	return atomic_load(want == WANT_SERVED ? &w->served : &w->answered) >= atomic_load(&shared->number);
}

/* How many workers are not done, or have not been started; AT is their moves, taken once in a while. */
static uint32_t count_left(enum want want, uint64_t *at)
{
	uint32_t left = want != WANT_GONE && !atomic_load(&shared->started);

	for (uint32_t i = 0; i < shared->n_workers; i++) {
		if (is_done(&shared->worker[i], want))
			continue;
		left++;
		if (at)
			*at += moves(atomic_load(&shared->worker[i].pid));
	}
	return left;
}

/*
 * Each worker is done, or somebody hangs: no worker has become done, and none of those that are not has moved, for SECONDS.
 * To be served again is a thing that a worker does: one that is refused for ever moves as well, so there must be progress.
 */
static int wait_for(enum want want, double seconds)
{
	int64_t since = now_ns(), began = since;
	uint64_t was = 0;
	uint32_t left, before = UINT32_MAX;

	for (unsigned n = 0; (left = count_left(want, NULL)) > 0; n++) {
		if (n % 20 == 0) {
			uint64_t at = 0;

			left = count_left(want, &at);
			if (left != before || (at != was && want != WANT_SERVED))
				since = now_ns();
			was = at;
			before = left;
		}
		if (now_ns() - since > (int64_t)(seconds * 1e9) || now_ns() - began > (int64_t)(15 * seconds * 1e9))
			break;
		usleep(10000);
	}
	for (uint32_t i = 0; left && i < shared->n_workers; i++)
		if (!is_done(&shared->worker[i], want))
			say_worker(&shared->worker[i]);
	return left ? 1 : 0;
}

static int last(void)
{
	int64_t since = atomic_load(&shared->since);

	for (int o = 0; o < OPS; o++) {
		int64_t at = atomic_load(&shared->last[o]);

		printf("%s=%" PRId64 "\n", op_name[o], at > since ? (at - since) / 1000000 + 1 : 0);
	}
	return 0;
}

static int report(void)
{
	uint64_t bad = 0, wrongs = atomic_load(&shared->wrong);

	for (int p = 0; p < PHASES; p++) {
		for (int o = 0; o < OPS; o++) {
			for (int e = 0; e < ERRORS; e++) {
				uint64_t n = atomic_load(&shared->errors[p][o][e]),
					 b = atomic_load(&shared->bad[p][o][e]);
				const char *name = e == GOT_SIGBUS ? "SIGBUS" : strerrorname_np(e);

				if (n)
					printf("answer %s %s %s %" PRIu64 "\n", phase_name[p], op_name[o],
					       name ? name : "0", n);
				if (b)
					printf("bad %s %s %s %" PRIu64 "\n", phase_name[p], op_name[o],
					       name ? name : "0", b);
				bad += b;
			}
		}
	}
	for (uint64_t i = 0; i < wrongs && i < NOTES; i++)
		printf("wrong %s\n", shared->note[i]);
	for (int o = 0; o < OPS; o++)
		printf("calls %s %" PRIu64 "\n", op_name[o], atomic_load(&shared->calls[o]));
	printf("sum %" PRIu64 " acknowledgements, %" PRIu64 " bad answers, %" PRIu64 " wrong contents\n",
	       atomic_load(&shared->acks), bad, wrongs);
	return bad || wrongs ? 1 : 0;
}

static int stop(double seconds)
{
	set_phase("ended");
	return wait_for(WANT_GONE, seconds);
}

static unsigned check_pages(int fd, uint32_t file, uint32_t pages, uint64_t generation)
{
	char buf[PAGE];
	unsigned bad = 0;

	for (uint32_t p = 0; p < pages; p++) {
		ssize_t n = fd < 0 ? -1 : pread(fd, buf, PAGE, (off_t)p * PAGE);

		if (n == PAGE && is_stamped(buf, file, p % BIG_PAGES, generation))
			continue;
		if (bad++ < 3)
			printf("file %u page %u: %s\n", file, p,
			       n < 0       ? strerror(errno)
			       : n == PAGE ? "other bytes"
					   : "short");
	}
	if (fd >= 0)
		close(fd);
	return bad;
}

static int check(char **argv)
{
	uint64_t number = 0, big = 0;
	unsigned bad = 0;
	uint32_t mib = 0;

	dir = argv[2];
	read_marker(argv[4]);
	read_log(argv[3], &number, &big, &mib);
	for (uint32_t i = 0; i < FIXED; i++)
		bad += check_pages(open_in(O_RDONLY, "fixed-%03u", i), i, FIXED_PAGES, 1);
	if (big)
		bad += check_pages(open_in(O_RDONLY, "big", 0), FIXED, mib * BIG_PAGES, big);
	printf("%u fixed files and %u MiB of generation %" PRIx64 ": %u pages wrong\n", FIXED, mib, big, bad);
	return bad ? 1 : 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[1] : "";

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (strcmp(what, "run") == 0 && argc >= 6)
		return run(argc, argv);
	if (strcmp(what, "check") == 0 && argc == 5)
		return check(argv);
	if (*what)
		map_shared(argv[2], 0);
	if (strcmp(what, "phase") == 0 && argc == 4)
		return set_phase(argv[3]);
	if (strcmp(what, "kill") == 0 && argc >= 5) {
		set_phase("dead");
		for (int i = 4; i < argc; i++)
			kill(atoi(argv[i]), atoi(argv[3]));
		return 0;
	}
	if (strcmp(what, "wait") == 0 && argc == 5)
		return wait_for(strcmp(argv[3], "served") == 0 ? WANT_SERVED : WANT_ANSWERED, atof(argv[4]));
	if (strcmp(what, "last") == 0)
		return last();
	if (strcmp(what, "report") == 0)
		return report();
	if (strcmp(what, "stop") == 0 && argc == 4)
		return stop(atof(argv[3]));
	fprintf(stderr, "usage: see the head of load.c\n");
	return 2;
}
