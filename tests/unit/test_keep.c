/* SPDX-License-Identifier: BSD-2-Clause */
/* What of a file goes to the undo journal before a change: which records, once in an era, for a cut and a hole, and when it fails. */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

#include "crypto/auto.h"
#include "fs/inode/file_own.h"
#include "fs/inode/keep_own.h"
#include "fs/store/journal_own.h"
#include "fs/store/store_own.h"
#include "store_rig.h"

#define RECORD (RIG_BLOCK + BLOCK_OVERHEAD)
#define TAIL 77u
#define SIZE (6u * RIG_BLOCK + TAIL) /* what most tests begin with: durable */

static struct rig rig;
static struct nodes *nodes;
static struct file_env env;
static struct file_work work;
static struct file *file;
static struct keep_change change;

static unsigned file_syncs;
static uint64_t disk_free;

int byokfs_fdatasync(int fd) __asm__("fdatasync");
int byokfs_fdatasync(int fd)
{
	struct stat a, b;

	if (file && fstat(fd, &a) == 0 && fstat(file->fd, &b) == 0 && a.st_ino == b.st_ino)
		file_syncs++;
	return (int)syscall(SYS_fdatasync, fd);
}

int byokfs_fstatvfs(int fd, struct statvfs *out) __asm__("fstatvfs");
int byokfs_fstatvfs64(int fd, struct statvfs *out) __asm__("fstatvfs64");

int byokfs_fstatvfs64(int fd, struct statvfs *out)
{
	(void)fd;
	*out = (struct statvfs){
		.f_blocks = 1u << 30, .f_bfree = disk_free, .f_bavail = disk_free, .f_bsize = 1, .f_frsize = 1};
	return 0;
}

int byokfs_fstatvfs(int fd, struct statvfs *out)
{
	return byokfs_fstatvfs64(fd, out);
}

/* ---- the file ---- */

static void quiet(int priority, const char *text)
{
	(void)priority;
	(void)text;
}

static void open_journal(void)
{
	const struct store_keys *keys;
	struct journal_key *key;
	const uint64_t ring = journal_ring_min(&env.layout);
	const struct journal_config cfg = {
		.own_fd = rig.store->own_fd, .session = 1, .ring_len = ring, .ring_min = ring, .log = quiet};

	ck_assert_int_eq(gate_enter(rig.gate, GATE_USE_NEW, &keys), 0);
	ck_assert_int_eq(journal_key_new(keys, cfg.session, &key), 0);
	gate_leave(rig.gate);
	ck_assert_int_eq(journal_open(&cfg, key, &env.journal), 0);
}

static void make_file(void)
{
	AUTO(blank_end) struct blank blank = {0};
	char name[NAME_LEN_MAX + 1];
	struct node *node;
	struct stat st;

	rig_name(&rig, rig.store->data_fd, rig.root_id, "f", name);
	int fd = openat(rig.store->data_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(blank_make(&blank, rig.gate, &env.layout), 0);
	ck_assert_int_eq(blank_write(&blank, fd), 0);
	ck_assert_int_eq(fstat(fd, &st), 0);
	const struct node_key k = {st.st_dev, st.st_ino, OBJECT_FILE};
	ck_assert_int_eq(node_lookup(nodes, &k, nodes->root, name, &node), 0);
	ck_assert_int_eq(file_adopt(&env, node, fd, &blank, &file), 0);
}

static void put_bytes(uint64_t off, size_t len)
{
	AUTO(auto_free) uint8_t *plain = malloc(len);
	const struct file_write w = {.off = off, .plain = plain, .len = len, .use = GATE_USE_NEW};

	memset(plain, 'x', len);
	ck_assert_int_eq(file_write(file, &work, &w), 0);
}

static void setup(void)
{
	disk_free = UINT64_MAX / 2;
	rig_begin(&rig);
	rig_start(&rig);
	rig.store->slot_len = inflight_slot_len(&rig.store->keyring->layout);
	nodes = calloc(1, sizeof(*nodes));
	ck_assert_int_eq(nodes_init(nodes, rig.store->data_fd), 0);
	env = (struct file_env){.gate = rig.gate, .layout = rig.store->keyring->layout, .nodes = nodes, .log = quiet};
	ck_assert_int_eq(file_work_init(&work, &env.layout, calloc(1, rig.store->slot_len)), 0);
	change = (struct keep_change){0};
	open_journal();
	make_file();
	put_bytes(0, SIZE);
	ck_assert_int_eq(file_sync(file, false), 0);
	file_syncs = 0;
}

static void teardown(void)
{
	file_close(file, true);
	file = NULL;
	free(work.slot);
	file_work_free(&work);
	nodes_free(nodes);
	free(nodes);
	journal_close(env.journal);
	rig_end(&rig);
}

/* ---- what is in the journal ---- */

static uint64_t entries_put(void)
{
	struct journal_stat s;

	journal_stat(env.journal, &s);
	return s.put;
}

static uint64_t in_force(void)
{
	struct journal_stat s;

	journal_stat(env.journal, &s);
	return s.in_force;
}

/* The newest entry as the next mount would read it; its bytes are the caller's. */
static uint8_t *newest(struct journal_left *out)
{
	AUTO(auto_close) int fd = store_open_file(rig.store->own_fd, STORE_JOURNAL, O_RDONLY);
	struct stat st;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fstat(fd, &st), 0);
	const size_t len = (size_t)st.st_size - JOURNAL_HEAD_LEN;
	uint8_t *ring = malloc(len);
	ck_assert_int_eq(store_pread_full(fd, ring, len, JOURNAL_HEAD_LEN), 0);
	out->e.seq = 0;
	for (size_t at = 0; at < len; at += JOURNAL_ALIGN) {
		struct journal_left l;
		if (journal_entry_parse(env.journal->key, ring + at, len - at, at, &l) == 0 && l.e.seq > out->e.seq)
			*out = l;
	}
	ck_assert_uint_gt(out->e.seq, 0);
	ck_assert_mem_eq(out->e.file_id, file->file_id, ID_LEN);
	ck_assert_uint_eq(out->e.ino, file->node->ino);
	return ring;
}

struct expected {
	enum journal_kind kind;
	uint64_t off, len;
};

/* The newest entry has these extents, whose old bytes are what the file has, and CUT. */
static void entry_is(uint64_t cut, const struct expected *x, uint32_t n)
{
	struct journal_left l;
	AUTO(auto_free) uint8_t *ring = newest(&l);
	ck_assert_ptr_nonnull(ring);
	const uint8_t *bytes = l.bytes;
	AUTO(auto_free) uint8_t *disk = malloc(1u << 21);

	ck_assert_uint_eq(l.e.cut, cut);
	ck_assert_uint_eq(l.e.disk_size, layout_disk_size(&env.layout, file->size));
	ck_assert_uint_eq(l.e.n_extents, n);
	for (uint32_t i = 0; i < n; i++) {
		const struct journal_extent *got = &l.e.extent[i];
		ck_assert_msg(got->kind == x[i].kind && got->off == x[i].off && got->len == x[i].len,
			      "extent %u: kind %d, %llu + %u", i, (int)got->kind, (unsigned long long)got->off,
			      got->len);
		if (got->kind == JOURNAL_HOLE)
			continue;
		if (got->kind == JOURNAL_OLD)
			ck_assert_int_eq(store_pread_full(file->fd, disk, got->len, got->off), 0);
		ck_assert_mem_eq(bytes, got->kind == JOURNAL_OLD ? disk : inflight_data(work.slot), got->len);
		bytes += got->len;
	}
}

static uint64_t at(uint64_t no)
{
	return layout_record_off(&env.layout, no);
}

/* A change of [FROM, TO) on disk that leaves the length as it is, to its end. */
static void touch(uint64_t from, uint64_t to)
{
	const struct inflight in = {
		.disk_size = INFLIGHT_KEEP_SIZE, .n_extents = 1, .extent = {{from, (uint32_t)(to - from)}}};

	ck_assert_int_eq(keep_before(file, &work, &in, &change), 0);
	keep_after(file, &change, 0);
}

static void touched(uint64_t from, uint64_t to, const struct expected *x, uint32_t n)
{
	uint64_t put = entries_put();

	touch(from, to);
	ck_assert_uint_eq(entries_put() - put, n > 0);
	if (n)
		entry_is(JOURNAL_NO_CUT, x, n);
}

#define OLD(off, len) (struct expected[]){{JOURNAL_OLD, off, len}}, 1

/* ---- ---- */

START_TEST(records)
{
	const uint64_t end = at(6) + FINAL_OVERHEAD + TAIL;

	touched(at(1), at(3), OLD(at(1), 2 * RECORD));
	touched(at(1), at(3), NULL, 0); /* they are not durable any more */
	touched(at(2), at(4), OLD(at(3), RECORD));
	touched(at(0) + 5, at(0) + 6, OLD(at(0), RECORD)); /* a record is kept whole */
	touched(at(4) + RECORD - 1, at(5) + 1, OLD(at(4), 2 * RECORD));
	touched(end, end + 5000, NULL, 0); /* behind the end nothing is durable */
	touched(end - 1, end, OLD(at(6), FINAL_OVERHEAD + TAIL));
	touched(at(0), end, NULL, 0);
	ck_assert_uint_eq(in_force(), 5);
	ck_assert_uint_eq(file_syncs, 0);
}
END_TEST

/* Fresh ones in between are kept once more, which harms nobody: the older entry is put back last. */
START_TEST(between)
{
	touched(at(2), at(3), OLD(at(2), RECORD));
	touched(at(1), at(4), OLD(at(1), 3 * RECORD));
	const struct inflight append = {.disk_size = layout_disk_size(&env.layout, 7 * RIG_BLOCK + 5),
					.n_extents = 2,
					.extent = {{at(5), 2 * RECORD}, {at(7), FINAL_OVERHEAD + 5}}};
	ck_assert_int_eq(keep_before(file, &work, &append, &change), 0);
	keep_after(file, &change, 0);
	entry_is(JOURNAL_NO_CUT,
		 (struct expected[]){{JOURNAL_OLD, at(5), RECORD}, {JOURNAL_OLD, at(6), FINAL_OVERHEAD + TAIL}}, 2);
	ck_assert(!change.redone);
}
END_TEST

/* A sync makes all of it durable, whoever makes it; so does half a minute. */
START_TEST(eras)
{
	struct journal_left l;

	touched(at(1), at(2), OLD(at(1), RECORD));
	for (int i = 0; i < 3; i++) {
		if (i == 0) {
			uint64_t upto = keep_before_sync(file);
			ck_assert_uint_eq(upto, 1);
			ck_assert_int_eq(keep_synced(file, upto), 0);
		} else if (i == 1) {
			journal_tick(env.journal, INT64_MAX - JOURNAL_AGE_S);
		} else {
			file->node->keep->since -= 31000;
		}
		ck_assert_uint_eq(in_force(), i == 2);
		touched(at(1), at(2), OLD(at(1), RECORD));
		AUTO(auto_free) uint8_t *ring = newest(&l);
		ck_assert_ptr_nonnull(ring);
		ck_assert_uint_eq(l.e.oldest, i == 2 ? l.e.seq - 1 : l.e.seq);
	}
	touched(at(1), at(2), NULL, 0);
}
END_TEST

static _Atomic bool synced;

static void *sync_it(void *arg)
{
	(void)arg;
	journal_tick(env.journal, INT64_MAX - JOURNAL_AGE_S);
	atomic_store(&synced, true);
	return NULL;
}

/* Somebody needs room while a change is being made: he waits for it, and who comes after that keeps it again. */
START_TEST(under_way)
{
	const struct inflight in = {.disk_size = INFLIGHT_KEEP_SIZE, .n_extents = 1, .extent = {{at(1), RECORD}}};
	pthread_t t;

	ck_assert_int_eq(keep_before(file, &work, &in, &change), 0);
	ck_assert_ptr_nonnull(change.owner);
	atomic_store(&synced, false);
	ck_assert_int_eq(pthread_create(&t, NULL, sync_it, NULL), 0);
	while (journal_era(env.journal, change.owner) == change.era)
		usleep(1000);
	usleep(50000);
	ck_assert(!atomic_load(&synced) && file_syncs == 0 && in_force() == 1);
	keep_after(file, &change, 0);
	pthread_join(t, NULL);
	ck_assert(file_syncs == 1 && in_force() == 0);
	touched(at(1), at(2), OLD(at(1), RECORD));
}
END_TEST

/* To SIZE, its new final record in the slot. */
static int cut_to(uint64_t size)
{
	const struct inflight in = {.disk_size = layout_disk_size(&env.layout, size),
				    .n_extents = 1,
				    .extent = {{at(size / RIG_BLOCK), layout_final_len(&env.layout, size)}}};

	memset(inflight_data(work.slot), (int)(size % 251), in.extent[0].len);
	return keep_before(file, &work, &in, &change);
}

START_TEST(cut)
{
	const uint64_t size = 2 * RIG_BLOCK + 10, less = RIG_BLOCK + 9, disk = layout_disk_size(&env.layout, size);

	ck_assert_int_eq(cut_to(SIZE), 0); /* which is none */
	keep_after(file, &change, 0);
	entry_is(JOURNAL_NO_CUT, OLD(at(6), FINAL_OVERHEAD + TAIL));
	ck_assert(!change.redone);
	ck_assert_int_eq(file_sync(file, false), 0);
	ck_assert_int_eq(cut_to(size), 0);
	ck_assert(change.redone);
	keep_after(file, &change, 0);
	entry_is(disk,
		 (struct expected[]){{JOURNAL_OLD, at(2), RECORD},
				     {JOURNAL_OLD, at(6), FINAL_OVERHEAD + TAIL},
				     {JOURNAL_NEW, at(2), FINAL_OVERHEAD + 10}},
		 3);
	touched(at(2), at(6), NULL, 0); /* what is cut off is not durable */
	ck_assert_int_eq(cut_to(size), 0);
	ck_assert(!change.redone);
	keep_after(file, &change, 0);
	ck_assert_int_eq(cut_to(less), 0);
	ck_assert(change.redone);
	keep_after(file, &change, 0);
	entry_is(layout_disk_size(&env.layout, less),
		 (struct expected[]){{JOURNAL_OLD, at(1), RECORD}, {JOURNAL_NEW, at(1), FINAL_OVERHEAD + 9}}, 2);
}
END_TEST

/* What it grew by since the last sync may go without a word. */
START_TEST(cut_of_what_is_fresh)
{
	put_bytes(SIZE, 3 * RIG_BLOCK);
	uint64_t put = entries_put();
	ck_assert_int_eq(cut_to(SIZE + RIG_BLOCK), 0);
	ck_assert(!change.redone);
	keep_after(file, &change, 0);
	ck_assert_uint_eq(entries_put(), put);
}
END_TEST

/* A hole is punched when the end that allows it is durable, and not before; its bytes are not kept. */
START_TEST(hole)
{
	const uint64_t put = entries_put();

	file_ended(file, FINAL_SPARSE, file->generation + 1);
	ck_assert_int_eq(keep_before_hole(file, 1, 3, &change), 0);
	ck_assert(change.redone && file_syncs == 1);
	keep_after(file, &change, 0);
	entry_is(JOURNAL_NO_CUT, (struct expected[]){{JOURNAL_HOLE, at(1), 2 * RECORD}}, 1);
	ck_assert_int_eq(keep_before_hole(file, 2, 3, &change), 0);
	ck_assert(!change.redone);
	keep_after(file, &change, 0);
	ck_assert_int_eq(keep_before_hole(file, 2, 4, &change), 0);
	keep_after(file, &change, 0);
	entry_is(JOURNAL_NO_CUT, (struct expected[]){{JOURNAL_HOLE, at(3), RECORD}}, 1);
	ck_assert_uint_eq(file_syncs, 1);
	ck_assert_uint_eq(entries_put() - put, 2);
	/* it allowed none for a while: again it has to be durable */
	file_ended(file, 0, file->generation + 1);
	file_ended(file, FINAL_SPARSE, file->generation + 1);
	ck_assert_int_eq(keep_before_hole(file, 4, 5, &change), 0);
	keep_after(file, &change, 0);
	ck_assert_uint_eq(file_syncs, 2);
}
END_TEST

/* A change that failed has left nobody knows what: all of it counts as durable. What the journal would make is made durable. */
START_TEST(failed)
{
	const struct inflight in = {.disk_size = INFLIGHT_KEEP_SIZE, .n_extents = 1, .extent = {{at(1), RECORD}}};

	touched(at(3), at(4), OLD(at(3), RECORD));
	ck_assert_int_eq(keep_before(file, &work, &in, &change), 0);
	keep_after(file, &change, -EIO);
	ck_assert(file_syncs == 0 && in_force() == 2);
	touched(at(3), at(4), OLD(at(3), RECORD));
	touched(at(1), at(2), OLD(at(1), RECORD));
	ck_assert_int_eq(cut_to(RIG_BLOCK), 0);
	keep_after(file, &change, -ENOSPC);
	ck_assert(file_syncs == 1 && in_force() == 0);
	touched(at(5), at(6), OLD(at(5), RECORD));
}
END_TEST

/* What cannot be kept must not be written over, and is tried again. */
START_TEST(not_kept)
{
	const struct inflight in = {.disk_size = INFLIGHT_KEEP_SIZE, .n_extents = 1, .extent = {{at(1), RECORD}}};
	const uint64_t put = entries_put();

	disk_free = 4096;
	ck_assert_int_eq(keep_before(file, &work, &in, &change), -ENOSPC);
	ck_assert_ptr_null(change.owner);
	keep_after(file, &change, -ENOSPC);
	ck_assert_int_eq(cut_to(5), -ENOSPC);
	keep_after(file, &change, -ENOSPC);
	ck_assert_uint_eq(entries_put(), put);
	disk_free = UINT64_MAX / 2;
	touched(at(1), at(2), OLD(at(1), RECORD));
	/* somebody has cut the file itself */
	ck_assert_int_eq(ftruncate(file->fd, (off_t)at(2) + 7), 0);
	const struct inflight gone = {.disk_size = INFLIGHT_KEEP_SIZE, .n_extents = 1, .extent = {{at(2), RECORD}}};
	ck_assert_int_eq(keep_before(file, &work, &gone, &change), -EIO);
	ck_assert_ptr_null(change.owner);
	keep_after(file, &change, -EIO);
}
END_TEST

/* A file that was made pays nothing until it has been synced, closed and opened as often as one likes. */
START_TEST(made)
{
	struct node *node = file->node;

	ck_assert_uint_eq(entries_put(), 0);
	ck_assert_int_eq(faccessat(rig.store->own_fd, STORE_JOURNAL, F_OK, 0), -1);
	touched(at(1), at(2), OLD(at(1), RECORD));
	file_close(file, true);
	ck_assert_ptr_null(node->keep);
	ck_assert_uint_eq(in_force(), 1); /* the file's entries stay */
	ck_assert_int_eq(file_open(&env, node, true, &work, &file), 0);
	touched(at(1), at(2), OLD(at(1), RECORD));
	ck_assert_uint_eq(in_force(), 2);
}
END_TEST

START_TEST(never_synced)
{
	struct node *node = file->node;

	keep_free(node->keep);
	keep_new(node);
	touched(at(0), at(6) + 10, NULL, 0);
	ck_assert_int_eq(cut_to(5), 0);
	keep_after(file, &change, 0);
	file_close(file, true);
	ck_assert_int_eq(file_open(&env, node, true, &work, &file), 0);
	touched(at(0), at(6) + 10, NULL, 0);
	ck_assert_uint_eq(entries_put(), 0);
	ck_assert_int_eq(file_sync(file, false), 0);
	touched(at(0), at(1), OLD(at(0), RECORD));
}
END_TEST

/* The largest request, over a tail that is nearly a block, fits into the shortest journal; one after another. */
START_TEST(largest)
{
	const uint64_t blocks = INFLIGHT_REQUEST_MAX / RIG_BLOCK + 1, size = (blocks + 1) * RIG_BLOCK - 1;
	const struct inflight in = {
		.disk_size = layout_disk_size(&env.layout, size),
		.n_extents = 2,
		.extent = {{at(0), (uint32_t)(blocks * RECORD)}, {at(blocks), layout_final_len(&env.layout, size)}}};

	put_bytes(SIZE, INFLIGHT_REQUEST_MAX - SIZE);
	put_bytes(INFLIGHT_REQUEST_MAX, size - INFLIGHT_REQUEST_MAX);
	for (int i = 0; i < 4; i++) {
		ck_assert_int_eq(file_sync(file, false), 0);
		ck_assert_int_eq(keep_before(file, &work, &in, &change), 0);
		keep_after(file, &change, 0);
		entry_is(JOURNAL_NO_CUT,
			 (struct expected[]){{JOURNAL_OLD, at(0), blocks * RECORD},
					     {JOURNAL_OLD, at(blocks), layout_final_len(&env.layout, size)}},
			 2);
		file->node->keep->since -= 31000; /* again, and the last one is in force */
	}
	ck_assert_int_eq(keep_before(file, &work, &in, &change), 0);
	keep_after(file, &change, 0);
	ck_assert_uint_eq(in_force(), 1);
}
END_TEST

/* A store without a journal, one that is only read. */
START_TEST(none)
{
	struct journal *j = env.journal;

	env.journal = NULL;
	touch(at(1), at(3));
	ck_assert_ptr_null(change.owner);
	ck_assert_int_eq(cut_to(5), 0);
	keep_after(file, &change, -EIO);
	ck_assert_int_eq(keep_before_hole(file, 1, 3, &change), 0);
	keep_after(file, &change, 0);
	ck_assert_uint_eq(keep_before_sync(file), 0);
	env.journal = j;
	ck_assert_uint_eq(entries_put(), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("keep");
	TCase *t = tcase_create("keep");
	const TTest *const all[] = {records,  between, eras,         under_way, cut, cut_of_what_is_fresh, hole, failed,
				    not_kept, made,    never_synced, largest,   none};

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		tcase_add_test(t, all[i]);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failures = srunner_ntests_failed(r);
	srunner_free(r);
	return failures ? 1 : 0;
}
