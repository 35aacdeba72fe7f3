/* SPDX-License-Identifier: BSD-2-Clause */
/* The file layer without FUSE against a byte array: random operations, failing system calls, death in between. */
#include <linux/falloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#include "fs/check/check.h"
#include "fs/inode/file.h"
#include "fs/store/replay.h"
#include "fs/store/store_own.h"
#include "store_rig.h"

static struct rig rig;
static struct nodes *nodes;
static struct file_env env;
static struct file_work work;
static struct node *node;
static struct file *file;
static char disk_name[NAME_LEN_MAX + 1];
static uint32_t B;
static uint8_t *model, *content;
static uint64_t size, limit;

/* ---- the wrapped system calls: what a failure or a death is made of ---- */

enum { NO_FAULT, FAIL, SHORT, DIE };
static int fault_kind;
static long fault_at; /* counts down over pwrite and ftruncate; strikes at 0 */
static bool fault_struck;
static uint8_t *dead_slot, *dead_bytes;
static size_t dead_len;

static void remember_death(int fd)
{
	struct stat st;
	ck_assert_int_eq(fstat(fd, &st), 0);
	dead_len = (size_t)st.st_size;
	dead_bytes = malloc(dead_len + 1);
	ck_assert_int_eq(store_pread_full(fd, dead_bytes, dead_len, 0), 0);
	memcpy(dead_slot, work.slot, rig.store->slot_len);
}

static bool strikes(void)
{
	if (fault_kind == NO_FAULT || fault_at < 0 || fault_at-- > 0)
		return false;
	fault_struck = true;
	return true;
}

static ssize_t pwrite_wrapped(int fd, const void *buf, size_t len, off_t off)
{
	if (!strikes())
		return syscall(SYS_pwrite64, fd, buf, len, off);
	/* the part that gets through; the rest fails (or, for a death, is never asked for) */
	size_t part = len > 1 ? (size_t)random() % len : 0;
	if (fault_kind != FAIL && part > 0)
		ck_assert_int_eq(syscall(SYS_pwrite64, fd, buf, part, off), (long)part);
	if (fault_kind == DIE) {
		remember_death(fd);
		return syscall(SYS_pwrite64, fd, buf, len, off);
	}
	errno = ENOSPC;
	return -1;
}

static int ftruncate_wrapped(int fd, off_t len)
{
	if (strikes()) {
		if (fault_kind != DIE) {
			errno = EIO;
			return -1;
		}
		remember_death(fd);
	}
	return (int)syscall(SYS_ftruncate, fd, len);
}

static bool no_holes; /* the backing cannot punch */

static int fallocate_wrapped(int fd, int mode, off_t off, off_t len)
{
	if (no_holes && (mode & FALLOC_FL_PUNCH_HOLE)) {
		errno = EOPNOTSUPP;
		return -1;
	}
	return (int)syscall(SYS_fallocate, fd, mode, off, len);
}

/* Both names, whatever the size of off_t makes of them. */
ssize_t byokfs_pwrite(int fd, const void *buf, size_t len, off_t off) __asm__("pwrite");
ssize_t byokfs_pwrite64(int fd, const void *buf, size_t len, off_t off) __asm__("pwrite64");
int byokfs_ftruncate(int fd, off_t len) __asm__("ftruncate");
int byokfs_ftruncate64(int fd, off_t len) __asm__("ftruncate64");

int byokfs_fallocate(int fd, int mode, off_t off, off_t len) __asm__("fallocate");
int byokfs_fallocate64(int fd, int mode, off_t off, off_t len) __asm__("fallocate64");

int byokfs_fallocate(int fd, int mode, off_t off, off_t len)
{
	return fallocate_wrapped(fd, mode, off, len);
}

int byokfs_fallocate64(int fd, int mode, off_t off, off_t len)
{
	return fallocate_wrapped(fd, mode, off, len);
}

ssize_t byokfs_pwrite(int fd, const void *buf, size_t len, off_t off)
{
	return pwrite_wrapped(fd, buf, len, off);
}

ssize_t byokfs_pwrite64(int fd, const void *buf, size_t len, off_t off)
{
	return pwrite_wrapped(fd, buf, len, off);
}

int byokfs_ftruncate(int fd, off_t len)
{
	return ftruncate_wrapped(fd, len);
}

int byokfs_ftruncate64(int fd, off_t len)
{
	return ftruncate_wrapped(fd, len);
}

/* ---- one file of one store ---- */

static void quiet(int priority, const char *text)
{
	(void)priority;
	if (getenv("VERBOSE"))
		fprintf(stderr, "%s\n", text);
}

static void make_file(void)
{
	AUTO(blank_end) struct blank blank = {0};
	struct stat st;
	rig_name(&rig, rig.store->data_fd, rig.root_id, "f", disk_name);
	int fd = openat(rig.store->data_fd, disk_name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(blank_make(&blank, rig.gate, &env.layout), 0);
	ck_assert_int_eq(blank_write(&blank, fd), 0);
	ck_assert_int_eq(fstat(fd, &st), 0);
	const struct node_key k = {st.st_dev, st.st_ino, OBJECT_FILE};
	ck_assert_int_eq(node_lookup(nodes, &k, nodes->root, disk_name, &node), 0);
	ck_assert_int_eq(file_adopt(&env, node, fd, &blank, &file), 0);
}

static void begin(uint32_t block_len, uint64_t max)
{
	rig_begin(&rig);
	rig_start(&rig);
	B = block_len;
	rig.store->keyring->layout.block_len = B;
	rig.store->slot_len = inflight_slot_len(&rig.store->keyring->layout);
	nodes = calloc(1, sizeof(*nodes));
	ck_assert_int_eq(nodes_init(nodes, rig.store->data_fd), 0);
	env = (struct file_env){.gate = rig.gate, .layout = rig.store->keyring->layout, .nodes = nodes, .log = quiet};
	ck_assert_int_eq(lost_new(&env.lost), 0);
	store_boot_id(env.boot_id);
	ck_assert_int_eq(file_work_init(&work, &env.layout, calloc(1, rig.store->slot_len)), 0);
	dead_slot = malloc(rig.store->slot_len);
	limit = max;
	model = calloc(1, limit + 1);
	content = calloc(1, INFLIGHT_REQUEST_MAX);
	size = 0;
	fault_kind = NO_FAULT;
	make_file();
}

static void end(void)
{
	file_close(file, true);
	free(work.slot);
	file_work_free(&work);
	nodes_free(nodes);
	free(nodes);
	lost_free(env.lost);
	free(dead_slot);
	free(model);
	free(content);
	rig_end(&rig);
}

static void reopen(void)
{
	file_close(file, true);
	ck_assert_int_eq(file_open(&env, node, true, &work, &file), 0);
}

/* All of it, in requests that begin and end anywhere. */
static void compare(void)
{
	ck_assert_uint_eq(file_size(file), size);
	for (uint64_t at = 0; at < size;) {
		const uint8_t *plain;
		size_t got, want = 1 + (size_t)random() % INFLIGHT_REQUEST_MAX;
		ck_assert_int_eq(file_read(file, &work, at, want, &plain, &got), 0);
		ck_assert_uint_eq(got, want < size - at ? want : size - at);
		ck_assert_msg(memcmp(plain, model + at, got) == 0, "bytes %llu +%zu differ", (unsigned long long)at,
			      got);
		at += got;
	}
	const uint8_t *plain;
	size_t got;
	ck_assert_int_eq(file_read(file, &work, size + 5, 10, &plain, &got), 0);
	ck_assert_uint_eq(got, 0);
}

static void on_problem(void *arg, const struct check_problem *p)
{
	(void)arg;
	ck_abort_msg("verify: %s: %s (%s, block %lld)", p->path, p->text, check_code_name(p->code),
		     (long long)p->block);
}

static void verify(void)
{
	const struct check_config cfg = {.store = rig.store, .gate = rig.gate, .problem = on_problem};
	struct check_counts counts = {0};
	ck_assert_int_eq(check_data(&cfg, &counts), 0);
	ck_assert_uint_eq(counts.files, 1);
}

static uint32_t flags_on_disk(void)
{
	uint8_t head[FINAL_HEAD_LEN];
	struct final_head h;
	ck_assert_int_eq(store_pread_full(file->fd, head, sizeof(head), layout_record_off(&env.layout, size / B)), 0);
	ck_assert_int_eq(final_head_parse(&env.layout, head, sizeof(head), &h), 0);
	return h.flags;
}

/* ---- operations, on the file and on the model ---- */

struct op {
	enum { WRITE, TRUNCATE, PUNCH, ZERO, ALLOCATE } kind;
	uint64_t off, len;
};

static uint64_t pick(uint64_t max)
{
	uint64_t at = (((uint64_t)random() << 31) | (uint64_t)random()) % (max + 1);
	if (random() % 3 == 0) { /* around a block's edge, or where a tail grows longer than B - 32 */
		static const int near[] = {-33, -32, -31, -1, 0, 1};
		int64_t edge = (int64_t)(at / B * B) + near[random() % 6];
		at = edge < 0 ? 0 : (uint64_t)edge > max ? max : (uint64_t)edge;
	}
	return at;
}

static struct op random_op(void)
{
	struct op o = {.kind = WRITE, .off = pick(limit - 1)};
	long dice = random() % 10;
	if (dice >= 6)
		o.kind = dice == 6 || dice == 7 ? TRUNCATE : dice == 8 ? PUNCH : random() % 2 ? ZERO : ALLOCATE;
	if (o.kind == WRITE && random() % 4 == 0)
		o.off = size < limit ? size : 0; /* append */
	uint64_t room = limit - o.off, end = pick(limit);
	o.len = random() % 4 == 0 ? 1 + (uint64_t)random() % 100
		: end > o.off     ? end - o.off
				  : 1 + (uint64_t)random() % (2 * B);
	if (o.len > room)
		o.len = room;
	if (o.kind == WRITE && o.len > INFLIGHT_REQUEST_MAX)
		o.len = INFLIGHT_REQUEST_MAX;
	for (uint64_t i = 0; o.kind == WRITE && i < o.len; i += 8)
		content[i] = (uint8_t)(random() | 1);
	return o;
}

static void grow_model(uint64_t to)
{
	if (to > size)
		size = to;
}

static void on_model(const struct op *o)
{
	uint64_t to = o->off + o->len;
	if (o->kind == WRITE) {
		memcpy(model + o->off, content, o->len);
		grow_model(to);
	} else if (o->kind == TRUNCATE) {
		memset(model + o->off, 0, limit - o->off);
		size = o->off;
	} else if (o->kind != ALLOCATE && o->off < size) {
		memset(model + o->off, 0, (to < size ? to : size) - o->off);
	}
	if (o->kind == ZERO || o->kind == ALLOCATE)
		grow_model(to);
}

static int on_file(const struct op *o)
{
	const struct file_write w = {o->off, content, o->len, GATE_USE_NEW};
	if (o->kind == WRITE)
		return file_write(file, &work, &w);
	if (o->kind == TRUNCATE)
		return file_truncate(file, &work, o->off);
	return file_fallocate(file, &work,
			      o->kind == PUNCH  ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
			      : o->kind == ZERO ? FALLOC_FL_ZERO_RANGE
						: 0,
			      o->off, o->len);
}

static const uint32_t block_lens[] = {4096, 16384, 65536, 1u << 20};

START_TEST(random_operations)
{
	begin(block_lens[_i], _i == 3 ? 5 << 20 : 14 * block_lens[_i] + 123);
	int rounds = _i == 3 ? 3 : _i == 2 ? 6 : 15;
	srandom(7 + (unsigned)_i);
	for (int round = 0; round < rounds; round++) {
		no_holes = round % 4 == 3;
		for (int i = 0; i < 12; i++) {
			struct op o = random_op();
			ck_assert_int_eq(on_file(&o), 0);
			on_model(&o);
		}
		compare();
		reopen();
		compare();
		verify();
	}
	no_holes = false;
	end();
}
END_TEST

/* Write-back in any order: while there are gaps the file is sparse; when all are filled nothing on disk says so any more. */
START_TEST(gaps_are_filled)
{
	enum { N = 40 };
	begin(block_lens[_i], (uint64_t)N * block_lens[_i]);
	for (unsigned seed = 0; seed < 1; seed++) {
		uint64_t order[N];
		srandom(seed);
		for (uint64_t i = 0; i < N; i++) {
			uint64_t j = (uint64_t)random() % (i + 1);
			order[i] = order[j];
			order[j] = i;
		}
		for (int i = 0; i < N; i++) {
			struct op o = {WRITE, order[i] * B, B};
			memset(content, (int)order[i] + 1, B);
			ck_assert_int_eq(on_file(&o), 0);
			on_model(&o);
		}
		ck_assert_uint_eq(flags_on_disk(), 0);
		compare();
		reopen();
		compare();
		verify();
		struct op o = {TRUNCATE, 0, 0};
		ck_assert_int_eq(on_file(&o), 0);
		on_model(&o);
		ck_assert_uint_eq(flags_on_disk(), 0);
	}
	end();
}
END_TEST

/* Every size around every edge, up and down. */
START_TEST(truncate_at_edges)
{
	static const int64_t near[] = {-33, -32, -31, -1, 0, 1, 31, 32, 33};
	begin(block_lens[_i], 4 * block_lens[_i]);
	for (unsigned a = 0; a < 27; a++)
		for (unsigned b = 0; b < 27; b++) {
			struct op o = {WRITE, 0, (uint64_t)((int64_t)((1 + a / 9) * B) + near[a % 9])};
			if (o.len > INFLIGHT_REQUEST_MAX)
				o.len = INFLIGHT_REQUEST_MAX;
			memset(content, 'x', o.len);
			ck_assert_int_eq(on_file(&o), 0);
			on_model(&o);
			o = (struct op){TRUNCATE, (uint64_t)((int64_t)((1 + b / 9) * B) + near[b % 9]), 0};
			ck_assert_int_eq(on_file(&o), 0);
			on_model(&o);
			compare();
			if ((a + b) % 5 == 0)
				reopen();
			o.off = 0;
			ck_assert_int_eq(on_file(&o), 0);
			on_model(&o);
		}
	end();
}
END_TEST

static void seek_is(uint64_t off, int whence, int64_t want)
{
	uint64_t out;
	int r = file_seek(file, &work, off, whence, &out);
	ck_assert_int_eq(r ? r : (int64_t)out, want);
}

START_TEST(seek_data_and_holes)
{
	begin(4096, 1 << 20);
	seek_is(0, SEEK_DATA, -ENXIO);
	struct op o = {WRITE, 20 * 4096 + 5, 10};
	ck_assert_int_eq(on_file(&o), 0);
	on_model(&o);
	seek_is(0, SEEK_HOLE, 0);
	seek_is(0, SEEK_DATA, 20 * 4096);
	seek_is(20 * 4096 + 7, SEEK_DATA, 20 * 4096 + 7);
	seek_is(20 * 4096, SEEK_HOLE, (int64_t)size);
	seek_is(size, SEEK_DATA, -ENXIO);
	o = (struct op){WRITE, 3 * 4096, 4096};
	ck_assert_int_eq(on_file(&o), 0);
	on_model(&o);
	seek_is(0, SEEK_DATA, 3 * 4096);
	seek_is(3 * 4096 + 1, SEEK_HOLE, 4 * 4096);
	o = (struct op){PUNCH, 3 * 4096, 4096};
	ck_assert_int_eq(on_file(&o), 0);
	on_model(&o);
	seek_is(0, SEEK_DATA, 20 * 4096);
	compare();
	end();
}
END_TEST

/* ---- failures ---- */

/* After a failed operation O each byte is the old one, or what O makes of it, or (a block that was hit) EIO. */
static void compare_after_failure(const struct op *o, const uint8_t *old, uint64_t old_size)
{
	bool cut = o->kind == TRUNCATE;
	uint64_t from = o->off, to = cut ? UINT64_MAX : o->off + o->len;
	ck_assert_uint_eq(file_size(file), old_size);
	for (uint64_t at = 0; at < old_size; at += B) {
		const uint8_t *plain;
		size_t got, len = B < old_size - at ? B : (size_t)(old_size - at);
		int r = file_read(file, &work, at, len, &plain, &got);
		if (r) { /* only what the request covers wholly: bytes beside it were acknowledged long ago */
			ck_assert_int_eq(r, -EIO);
			ck_assert_msg(o->kind == WRITE && at >= from && at + B <= to, "block %llu cannot be read",
				      (unsigned long long)(at / B));
			continue;
		}
		ck_assert_uint_eq(got, len);
		size_t sound = 0; /* an assertion is a system call of Check's: one for all */
		for (bool fine = true; fine && sound < len; sound += fine) {
			size_t i = sound;
			bool hit = at + i >= from && at + i < to && !cut;
			fine = plain[i] == old[at + i] ||
			       (hit && plain[i] == (o->kind == WRITE ? content[at + i - o->off] : 0));
		}
		ck_assert_msg(sound == len, "byte %llu is neither old nor new", (unsigned long long)(at + sound));
	}
}

/* Put the model back in step: what the failed request left is taken over, lost blocks are written again. */
static void resync(uint64_t old_size)
{
	size = old_size;
	memset(model + size, 0, limit + 1 - size);
	for (uint64_t at = 0; at < size; at += B) {
		const uint8_t *plain;
		size_t got, len = B < size - at ? B : (size_t)(size - at);
		if (file_read(file, &work, at, len, &plain, &got) == 0) {
			memcpy(model + at, plain, len);
			continue;
		}
		memset(content, 'r', len);
		const struct file_write w = {at, content, len, GATE_USE_NEW};
		ck_assert_int_eq(file_write(file, &work, &w), 0);
		memset(model + at, 'r', len);
	}
}

static void fail_once(int kind)
{
	struct op o = random_op();
	uint64_t old_size = size;
	uint8_t *old = malloc(limit + 1);
	memcpy(old, model, limit + 1);
	if (o.kind == ZERO || o.kind == ALLOCATE || o.kind == PUNCH) /* of several steps, each whole by itself */
		o.kind = random() % 2 ? WRITE : TRUNCATE;
	if (o.kind == WRITE && o.len > INFLIGHT_REQUEST_MAX)
		o.len = INFLIGHT_REQUEST_MAX;
	fault_struck = false;
	fault_at = random() % 3;
	fault_kind = kind;
	int r = on_file(&o);
	fault_kind = NO_FAULT;
	if (!fault_struck) {
		ck_assert_int_eq(r, 0);
		on_model(&o);
	} else if (r == 0) {
		on_model(&o);
	} else {
		/* a short reflag after the data: the request failed, and is all there */
		ck_assert(r == -ENOSPC || r == -EIO);
		if (file_size(file) != old_size) {
			ck_assert_int_eq(o.kind, WRITE);
			ck_assert_uint_eq(file_size(file), o.off + o.len);
			on_model(&o);
		} else {
			compare_after_failure(&o, old, old_size);
			reopen();
			compare_after_failure(&o, old, old_size);
			resync(old_size);
		}
	}
	free(old);
	compare();
}

START_TEST(a_failing_call)
{
	begin(_i % 2 ? 16384 : 4096, 12 * (_i % 2 ? 16384 : 4096) + 77);
	srandom(100 + (unsigned)_i);
	for (int i = 0; i < 30; i++)
		fail_once(_i < 2 ? FAIL : SHORT);
	verify();
	end();
}
END_TEST

/* ---- death ---- */

/* Not when a truncate to the same size only asks for new times. */
static bool in_flight_at_death(void)
{
	struct inflight in;
	const char *path;
	int r = inflight_parse(dead_slot, rig.store->slot_len, &env.layout, &in, &path);
	ck_assert(r == 0 || r == -ENOENT);
	return r == 0;
}

static void replay_dead(void)
{
	int fd = openat(rig.store->data_fd, disk_name, O_RDWR | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, 0), 0);
	ck_assert_int_eq(store_pwrite_full(fd, dead_bytes, dead_len, 0), 0);
	close(fd);
	fd = openat(rig.store->own_fd, STORE_INFLIGHT, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_eq(ftruncate(fd, 0), 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)(INFLIGHT_SLOTS * rig.store->slot_len)), 0);
	ck_assert_int_eq(store_pwrite_full(fd, dead_slot, rig.store->slot_len, 0), 0);
	close(fd);
	unsigned replayed;
	ck_assert_int_eq(replay_all(rig.store, quiet, &replayed), 0);
	ck_assert_uint_eq(replayed, 1);
	free(dead_bytes);
}

/* Killed inside a system call: what was under way is completed from its slot, nothing else is touched. */
START_TEST(death_and_replay)
{
	begin(block_lens[_i], _i == 2 ? 5 * 65536 + 1 : 11 * block_lens[_i] + 99);
	srandom(200 + (unsigned)_i);
	for (int i = 0; i < 40; i++) {
		struct op o = random_op();
		if (o.kind != TRUNCATE)
			o.kind = WRITE;
		if (o.kind == WRITE && o.len > INFLIGHT_REQUEST_MAX)
			o.len = INFLIGHT_REQUEST_MAX;
		fault_struck = false;
		fault_at = random() % 3;
		fault_kind = DIE;
		ck_assert_int_eq(on_file(&o), 0);
		fault_kind = NO_FAULT;
		on_model(&o);
		if (fault_struck && !in_flight_at_death()) {
			free(dead_bytes);
		} else if (fault_struck) {
			file_close(file, true);
			replay_dead();
			ck_assert_int_eq(file_open(&env, node, true, &work, &file), 0);
		}
		compare();
		if (i % 10 == 0)
			verify();
	}
	end();
}
END_TEST

/* ---- opening beside writing ---- */

static _Atomic bool stop;

static void *opener(void *arg)
{
	struct file_work w;
	struct file *f;
	(void)arg;
	ck_assert_int_eq(file_work_init(&w, &env.layout, NULL), 0);
	while (!atomic_load(&stop)) {
		ck_assert_int_eq(file_open(&env, node, false, &w, &f), 0);
		file_close(f, false);
	}
	file_work_free(&w);
	return NULL;
}

/* A slow opener must not bring back a size from before another's writes. */
START_TEST(open_beside_write)
{
	pthread_t thread[3];
	begin(4096, 1 << 20);
	file_close(file, true);
	atomic_store(&stop, false);
	for (int i = 0; i < 3; i++)
		pthread_create(&thread[i], NULL, opener, NULL);
	for (int i = 0; i < 200; i++) {
		ck_assert_int_eq(file_open(&env, node, true, &work, &file), 0);
		ck_assert_uint_eq(file_size(file), size);
		struct op o = {WRITE, size, 100};
		ck_assert_int_eq(on_file(&o), 0);
		on_model(&o);
		file_close(file, true);
	}
	atomic_store(&stop, true);
	for (int i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	ck_assert_int_eq(file_open(&env, node, true, &work, &file), 0);
	compare();
	end();
}
END_TEST

/* A create that a crash cut off, opened by many at once: one header is made, and all have it. */
START_TEST(one_header_for_a_stump)
{
	pthread_t thread[3];
	for (int i = 0; i < 10; i++) {
		begin(4096, 4096);
		file_close(file, true);
		env.unclean = true;
		env.leeway = &(const struct leeway){.all = true};
		ck_assert_int_eq(unlinkat(rig.store->data_fd, disk_name, 0), 0);
		int fd = openat(rig.store->data_fd, disk_name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
		struct stat st;
		ck_assert_int_eq(fstat(fd, &st), 0);
		close(fd);
		node_forget(nodes, node, 1);
		const struct node_key k = {st.st_dev, st.st_ino, OBJECT_FILE};
		ck_assert_int_eq(node_lookup(nodes, &k, nodes->root, disk_name, &node), 0);
		atomic_store(&stop, false);
		for (int j = 0; j < 3; j++)
			pthread_create(&thread[j], NULL, opener, NULL);
		ck_assert_int_eq(file_open(&env, node, true, &work, &file), 0);
		struct op o = {WRITE, 0, 10};
		ck_assert_int_eq(on_file(&o), 0);
		on_model(&o);
		atomic_store(&stop, true);
		for (int j = 0; j < 3; j++)
			pthread_join(thread[j], NULL);
		ck_assert_uint_eq(env.recovered, 1);
		reopen();
		compare();
		end();
	}
}
END_TEST

/* ---- lost ranges, and what is refused ---- */

START_TEST(lost_ranges)
{
	const uint8_t *plain;
	size_t got;
	begin(4096, 1 << 16);
	struct op o = {WRITE, 0, 20000};
	ck_assert_int_eq(on_file(&o), 0);
	on_model(&o);
	file_lost(file, 8192, 4096);
	ck_assert_int_eq(file_read(file, &work, 8000, 193, &plain, &got), -EIO);
	ck_assert_int_eq(file_read(file, &work, 8000, 192, &plain, &got), 0);
	ck_assert_int_eq(file_read(file, &work, 12288, 10, &plain, &got), 0);
	reopen(); /* the inode remembers */
	ck_assert_int_eq(file_read(file, &work, 9000, 1, &plain, &got), -EIO);
	o = (struct op){WRITE, 8192, 2000};
	ck_assert_int_eq(on_file(&o), 0);
	on_model(&o);
	ck_assert_int_eq(file_read(file, &work, 8192, 2000, &plain, &got), 0);
	ck_assert_int_eq(file_read(file, &work, 8192, 2001, &plain, &got), -EIO);
	o = (struct op){PUNCH, 10000, 4000};
	ck_assert_int_eq(on_file(&o), 0);
	on_model(&o);
	compare();
	file_lost(file, 16384, 100000);
	o = (struct op){TRUNCATE, 16384, 0};
	ck_assert_int_eq(on_file(&o), 0);
	on_model(&o);
	o.off = 20000;
	ck_assert_int_eq(on_file(&o), 0);
	on_model(&o);
	compare();
	ck_assert_int_eq(file_truncate(file, &work, UINT64_MAX), -EFBIG);
	ck_assert_int_eq(file_fallocate(file, &work, 0, INT64_MAX, 10), -EFBIG);
	ck_assert_int_eq(file_fallocate(file, &work, FALLOC_FL_COLLAPSE_RANGE, 0, 4096), -EOPNOTSUPP);
	file_close(file, true);
	env.read_only = true;
	ck_assert_int_eq(file_open(&env, node, true, &work, &file), -EROFS);
	ck_assert_int_eq(file_open(&env, node, false, &work, &file), 0);
	file_close(file, false);
	env.read_only = false;
	ck_assert_int_eq(file_open(&env, node, true, &work, &file), 0);
	end();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("file");
	TCase *c = tcase_create("file");
	tcase_set_timeout(c, 110);
	tcase_add_loop_test(c, random_operations, 0, 4);
	tcase_add_loop_test(c, gaps_are_filled, 0, 4);
	tcase_add_loop_test(c, truncate_at_edges, 0, 2);
	tcase_add_test(c, seek_data_and_holes);
	tcase_add_loop_test(c, a_failing_call, 0, 4);
	tcase_add_loop_test(c, death_and_replay, 0, 3);
	tcase_add_test(c, lost_ranges);
	suite_add_tcase(s, c);
	c = tcase_create("threads");
	tcase_set_timeout(c, 110);
	tcase_add_test(c, open_beside_write);
	tcase_add_test(c, one_header_for_a_stump);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
