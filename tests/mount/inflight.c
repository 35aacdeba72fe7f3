/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a lock does to a write(2) that is inside the kernel, and to many cached inodes.
 *
 *   inflight write FILE BYTES over|grow COMMAND...   one write(2), COMMAND (the lock) run in the middle of it; tells what
 *                                                    could be read, waits for a line (the key is back), checks the old handle
 *                                                    (INFLIGHT_MS: how long it lasts at least, half of it after the lock; its
 *                                                    buffer is made while it is read)
 *   inflight check FILE BYTES WRITTEN                after the return: EIO or what was written, never anything else
 *   inflight cached DIR OPEN COMMAND...              poll contents of OPEN files and attributes of all while COMMAND locks
 *   inflight make DIR N                              N small files in folders of 1,000
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096u
#define OLD 0x4f4c444f4c444f4cull
#define NEW 0x4e45574e45574e45ull

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1e3 + ts.tv_nsec / 1e6;
}

static void die(const char *what)
{
	perror(what);
	exit(2);
}

static const char *name_of(int e)
{
	return e == 0 ? "0" : strerrorname_np(e);
}

static uint64_t word(uint64_t kind, uint64_t off)
{
	return kind ^ (off * 0x9e3779b97f4a7c15ull);
}

static void fill(uint64_t *p, uint64_t off, size_t len, uint64_t kind)
{
	for (size_t i = 0; i < len / 8; i++)
		p[i] = word(kind, off + 8 * i);
}

static int run(char **argv)
{
	extern char **environ;
	pid_t pid;
	int status;

	if (posix_spawn(&pid, argv[0], NULL, NULL, argv, environ) || waitpid(pid, &status, 0) != pid)
		die("lock command");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

/* ---- one write(2) ---- */

static struct {
	const char *path;
	size_t len;
	int writer, reader;
	uint64_t *buf;
	volatile uint64_t *shared, *private;
	_Atomic long result;
	_Atomic int err;
	_Atomic bool written, over, locked;
	_Atomic double write_end;
	double locked_at;
} g;

struct probe {
	const char *name;
	uint64_t (*once)(size_t page); /* not 0: the first word that was read */
	_Atomic long tries;
	long hits, old, late; /* old: of the store; late: a second and more after the write(2) had ended */
	double last;
	pthread_t thread;
};

static int check(int fd, size_t len, long written, bool may_be_short);

static void *write_thread(void *arg)
{
	long r = write(g.writer, g.buf, g.len);

	(void)arg;
	g.err = r < 0 ? errno : 0;
	g.result = r;
	g.write_end = now();
	g.written = true;
	return NULL;
}

static _Thread_local sigjmp_buf fault;
static _Thread_local volatile sig_atomic_t guarded;

static void on_sigbus(int sig)
{
	if (!guarded)
		_exit(128 + sig);
	siglongjmp(fault, 1);
}

static uint64_t load(volatile uint64_t *map, size_t page)
{
	volatile uint64_t v;

	/* what is there is never 0, in neither content */
	if (sigsetjmp(fault, 1)) {
		guarded = 0;
		return 0;
	}
	guarded = 1;
	v = map[page * PAGE / 8];
	guarded = 0;
	return v ? v : 1;
}

static uint64_t load_shared(size_t page)
{
	return load(g.shared, page);
}
static uint64_t load_private(size_t page)
{
	return load(g.private, page);
}

static uint64_t read_at(int fd, size_t page)
{
	uint64_t b[8];

	return pread(fd, b, sizeof(b), (off_t)page * PAGE) > 0 ? b[0] ? b[0] : 1 : 0;
}

static uint64_t read_old(size_t page)
{
	return read_at(g.reader, page);
}

static uint64_t read_writer(size_t page)
{
	return read_at(g.writer, page);
}

static uint64_t read_new(size_t page)
{
	int fd = open(g.path, O_RDONLY);
	uint64_t r;

	if (fd < 0)
		return 0;
	r = read_at(fd, page);
	close(fd);
	return r;
}

static uint64_t stat_old(size_t page)
{
	struct stat st;

	(void)page;
	return fstat(g.reader, &st) == 0;
}

static uint64_t write_new(size_t page)
{
	return pwrite(g.reader, g.buf, PAGE, (off_t)page * PAGE) > 0;
}

static struct probe probes[] = {
	{.name = "read_old", .once = read_old},    {.name = "read_writer", .once = read_writer},
	{.name = "read_new", .once = read_new},    {.name = "fstat", .once = stat_old},
	{.name = "write_old", .once = write_new},  {.name = "shared", .once = load_shared},
	{.name = "private", .once = load_private},
};
#define N_PROBES (sizeof(probes) / sizeof(*probes))

#define TRIES_WANTED 200

/* Each has been tried often enough to say something, on a slow machine too. */
static bool all_probed(void)
{
	for (size_t i = 0; i < N_PROBES; i++)
		if (probes[i].tries < TRIES_WANTED)
			return false;
	return true;
}

static void *probe_thread(void *arg)
{
	struct probe *p = arg;
	unsigned seed = (unsigned)(uintptr_t)arg;

	while (!g.locked)
		usleep(200);
	while (!g.over) {
		size_t page = (size_t)rand_r(&seed) % (g.len / PAGE);
		uint64_t got;

		p->tries++;
		got = p->once(page);
		if (got) {
			p->hits++;
			p->old += got != word(NEW, page * PAGE);
			p->last = now() - g.locked_at;
			if (g.written && now() > g.write_end + 1000)
				p->late++;
		}
		if (p->tries % 64 == 0)
			usleep(100);
	}
	return NULL;
}

/*
 * The write(2) reads memory that comes into being page by page, so that it lasts as long as it shall on any machine: the
 * second half only when the lock has been carried out.
 */
static struct {
	int fd;
	useconds_t pause;
	_Atomic size_t pieces; /* given so far */
} slow;

#define SLOW_PIECE (256u << 10)

static void *slow_thread(void *arg)
{
	uint64_t *piece = mmap(NULL, SLOW_PIECE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct uffd_msg m;

	(void)arg;
	while (read(slow.fd, &m, sizeof(m)) == sizeof(m)) {
		uint64_t at = (m.arg.pagefault.address - (uint64_t)(uintptr_t)g.buf) & ~(uint64_t)(SLOW_PIECE - 1);
		struct uffdio_copy copy = {
			.dst = (uint64_t)(uintptr_t)g.buf + at, .src = (uint64_t)(uintptr_t)piece, .len = SLOW_PIECE};

		fill(piece, at, SLOW_PIECE, NEW);
		usleep(slow.pause);
		while (at >= g.len / 2 && !g.locked)
			usleep(1000);
		(void)ioctl(slow.fd, UFFDIO_COPY, &copy);
		slow.pieces++;
	}
	return NULL;
}

static int slow_buffer(long ms)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register range = {{(uint64_t)(uintptr_t)g.buf, g.len}, UFFDIO_REGISTER_MODE_MISSING, 0};
	pthread_t t;

	slow.fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	slow.pause = (useconds_t)((uint64_t)ms * 1000 / (g.len / SLOW_PIECE));
	if (slow.fd < 0 || ioctl(slow.fd, UFFDIO_API, &api) || ioctl(slow.fd, UFFDIO_REGISTER, &range))
		return -1;
	return pthread_create(&t, NULL, slow_thread, NULL);
}

static void make_old(const char *path, size_t len)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	uint64_t *b = malloc(1 << 20);

	if (fd < 0 || !b)
		die(path);
	for (size_t off = 0; off < len; off += 1 << 20) {
		fill(b, off, 1 << 20, OLD);
		if (write(fd, b, 1 << 20) != 1 << 20)
			die("write of the old content");
	}
	if (fsync(fd) || close(fd))
		die("fsync of the old content");
	free(b);
}

static void tell(void)
{
	int sync1 = fsync(g.writer) ? errno : 0, sync2 = fsync(g.writer) ? errno : 0, end = close(g.writer) ? errno : 0;

	printf("write %ld %s in_flight_ms %.0f fsync1 %s fsync2 %s close %s\n", (long)g.result, name_of(g.err),
	       g.write_end - g.locked_at, name_of(sync1), name_of(sync2), name_of(end));
	for (size_t i = 0; i < N_PROBES; i++)
		printf("probe %s tries %ld hits %ld old %ld late %ld last_ms %.1f\n", probes[i].name,
		       (long)probes[i].tries, probes[i].hits, probes[i].old, probes[i].late, probes[i].last);
}

static int cmd_write(char **argv)
{
	struct sigaction sa = {.sa_handler = on_sigbus, .sa_flags = SA_NODEFER};
	bool over = strcmp(argv[2], "over") == 0;
	pthread_t w;
	const char *ms = getenv("INFLIGHT_MS");
	int rc;

	sigaction(SIGBUS, &sa, NULL);
	g.path = argv[0];
	g.len = strtoull(argv[1], NULL, 0) & ~((size_t)(1 << 20) - 1);
	if (over)
		make_old(g.path, g.len);
	g.writer = open(g.path, O_RDWR | O_CREAT, 0600);
	g.reader = open(g.path, O_RDWR);
	g.buf = mmap(NULL, g.len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	g.shared = mmap(NULL, g.len, PROT_READ, MAP_SHARED, g.reader, 0);
	g.private = mmap(NULL, g.len, PROT_READ, MAP_PRIVATE, g.reader, 0);
	if (g.writer < 0 || g.reader < 0 || g.buf == MAP_FAILED || g.shared == MAP_FAILED || g.private == MAP_FAILED)
		die("prepare");
	if (!ms)
		fill(g.buf, 0, g.len, NEW);
	else if (slow_buffer(atol(ms)))
		die("userfaultfd");
	for (size_t i = 0; i < N_PROBES; i++)
		pthread_create(&probes[i].thread, NULL, probe_thread, &probes[i]);
	pthread_create(&w, NULL, write_thread, NULL);
	/* in the middle: a tenth of it is written */
	while (ms && slow.pieces < g.len / SLOW_PIECE / 10 && !g.written)
		usleep(1000);
	if (!ms)
		usleep(5000);
	rc = run(argv + 3);
	g.locked_at = now();
	g.locked = true;
	if (rc)
		fprintf(stderr, "the lock command ended with %d\n", rc);
	pthread_join(w, NULL);
	usleep(2500000);
	while (!all_probed())
		usleep(10000);
	g.over = true;
	for (size_t i = 0; i < N_PROBES; i++)
		pthread_join(probes[i].thread, NULL);
	tell();
	fflush(stdout);
	if (getchar() < 0)
		return 2;
	return check(g.reader, g.len, g.result, false) || rc;
}

/*
 * Every page is the new content, the old one where the write(2) did not get, or EIO. SHORT: the file may end where writes
 * were lost, when the kernel has forgotten its size since.
 */
static int check(int fd, size_t len, long written, bool may_be_short)
{
	size_t bad = 0, lost = 0, good = 0, old = 0, gone = 0;
	uint64_t b[PAGE / 8], want[PAGE / 8];

	for (size_t off = 0; off < len; off += PAGE) {
		ssize_t n = pread(fd, b, PAGE, (off_t)off);

		fill(want, off, PAGE, NEW);
		if (n < 0 && errno == EIO) {
			lost++;
		} else if (n == PAGE && memcmp(b, want, PAGE) == 0) {
			good++;
		} else if (n == 0 && ((long)off >= written || may_be_short)) {
			gone++;
		} else {
			fill(want, off, PAGE, OLD);
			if (n == PAGE && memcmp(b, want, PAGE) == 0 && (long)off >= written)
				old++;
			else if (bad++ < 5)
				printf("page %zu: %zd bytes, first word %016llx\n", off / PAGE, n,
				       n > 0 ? (unsigned long long)b[0] : 0);
		}
	}
	printf("pages %zu new %zu eio %zu old %zu beyond %zu wrong %zu\n", len / PAGE, good, lost, old, gone, bad);
	return bad ? 1 : 0;
}

static int cmd_check(char **argv)
{
	int fd = open(argv[0], O_RDONLY);

	if (fd < 0)
		die(argv[0]);
	return check(fd, strtoull(argv[1], NULL, 0) & ~((size_t)(1 << 20) - 1), atol(argv[2]), true);
}

/* ---- many inodes ---- */

static int cmd_make(char **argv)
{
	long n = atol(argv[1]);
	char path[512];

	for (long i = 0; i < n; i++) {
		if (i % 1000 == 0) {
			snprintf(path, sizeof(path), "%s/d%ld", argv[0], i / 1000);
			if (mkdir(path, 0700))
				die(path);
		}
		snprintf(path, sizeof(path), "%s/d%ld/f%ld", argv[0], i / 1000, i);
		if (mknod(path, S_IFREG | 0600, 0))
			die(path);
	}
	return 0;
}

#define OPEN_MAX 256
static struct {
	int fd[OPEN_MAX], n_fd;
	int *path_fd;
	int n_path;
	_Atomic bool over;
	double start, contents, attributes;
} c;

static void *poll_contents(void *arg)
{
	char b[16];

	(void)arg;
	while (!c.over) {
		for (int i = 0; i < c.n_fd; i++)
			if (pread(c.fd[i], b, sizeof(b), 0) > 0)
				c.contents = now() - c.start;
	}
	return NULL;
}

static void *poll_attributes(void *arg)
{
	struct stat st;

	(void)arg;
	while (!c.over) {
		for (int i = 0; i < c.n_path; i++)
			if (fstat(c.path_fd[i], &st) == 0)
				c.attributes = now() - c.start;
	}
	return NULL;
}

/* DIR is one that `make` made, every inode cached; attributes are sampled through O_PATH descriptors, which need no name. */
static int cmd_cached(char **argv)
{
	int want = atoi(argv[1]), folders = 0, rc;
	char path[512];
	double locked;
	struct stat st;
	pthread_t t[2];

	while (snprintf(path, sizeof(path), "%s/d%d", argv[0], folders), stat(path, &st) == 0)
		folders++;
	c.path_fd = calloc((size_t)folders, sizeof(int));
	for (int i = 0; i < folders; i++) {
		snprintf(path, sizeof(path), "%s/d%d/f%d", argv[0], i, i * 1000 + 999);
		c.path_fd[c.n_path] = open(path, O_PATH);
		if (c.path_fd[c.n_path] >= 0)
			c.n_path++;
	}
	for (int i = 0; i < want && i < OPEN_MAX; i++) {
		snprintf(path, sizeof(path), "%s/open%d", argv[0], i);
		c.fd[c.n_fd] = open(path, O_RDWR);
		if (c.fd[c.n_fd] >= 0)
			c.n_fd++;
	}
	if (c.n_fd == 0 || c.n_path == 0)
		die("nothing to poll");
	c.start = now();
	pthread_create(&t[0], NULL, poll_contents, NULL);
	pthread_create(&t[1], NULL, poll_attributes, NULL);
	usleep(100000);
	c.start = now();
	c.contents = c.attributes = -1;
	rc = run(argv + 2);
	locked = now() - c.start;
	usleep(300000);
	c.over = true;
	pthread_join(t[0], NULL);
	pthread_join(t[1], NULL);
	printf("open %d sampled %d contents_ms %.0f attributes_ms %.0f lock_ms %.0f\n", c.n_fd, c.n_path, c.contents,
	       c.attributes, locked);
	return rc;
}

int main(int argc, char **argv)
{
	if (argc >= 6 && strcmp(argv[1], "write") == 0)
		return cmd_write(argv + 2);
	if (argc == 5 && strcmp(argv[1], "check") == 0)
		return cmd_check(argv + 2);
	if (argc >= 5 && strcmp(argv[1], "cached") == 0)
		return cmd_cached(argv + 2);
	if (argc == 4 && strcmp(argv[1], "make") == 0)
		return cmd_make(argv + 2);
	fputs("usage: inflight write|check|cached|make ...\n", stderr);
	return 2;
}
