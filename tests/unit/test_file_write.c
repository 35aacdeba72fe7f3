/* SPDX-License-Identifier: BSD-2-Clause */
/* Changes of a file around block edges, every combination, against a byte array: done, failing at each call, refused. */
#include <linux/falloc.h>

#include "fs/inode/file_own.h"
#include "tests/unit/fault.h"
#include "tests/unit/store_rig.h"

#define B 128u /* no store has it: small, so that every combination of edges is cheap */
#define SPACE (6 * B)
#define DISK_NAME "f"

/* Around a block's edge, and where the final record of a long tail reaches into the place of the next record (B - 32). */
static const uint64_t edges[] = {0,     1,         B - 33,    B - 32,        B - 31,    B - 1, B,
				 B + 1, 2 * B - 1, 2 * B + 0, 2 * B + B / 2, 3 * B - 1, 3 * B, 3 * B + 5};
#define EDGES ARRAY_LEN(edges)

void *__real_realloc(void *p, size_t len);
void *__wrap_realloc(void *p, size_t len);

static bool no_memory;

/* In the place of realloc(3) for what is linked. */
void *__wrap_realloc(void *p, size_t len)
{
	return no_memory ? NULL : __real_realloc(p, len);
}

static struct rig rig;
static struct nodes *nodes;
static struct file_env env;
static struct file_work work;
static struct node *node;
static struct file *file;
static char logged[4096];

/* What the file ought to be. */
static uint8_t model[SPACE], content[SPACE];
static uint64_t size;
static bool sparse;

static void on_log(int priority, const char *text)
{
	(void)priority;
	snprintf(logged, sizeof(logged), "%s", text);
}

static void make_file(void)
{
	AUTO(blank_end) struct blank blank = {0};
	struct stat st;

	int fd = openat(rig.store->data_fd, DISK_NAME, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(blank_make(&blank, rig.gate, &env.layout), 0);
	ck_assert_int_eq(blank_write(&blank, fd), 0);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_int_eq(st.st_size, (off_t)layout_disk_size(&env.layout, 0));
	const struct node_key k = {st.st_dev, st.st_ino, OBJECT_FILE};
	ck_assert_int_eq(node_lookup(nodes, &k, nodes->root, DISK_NAME, &node), 0);
	ck_assert_int_eq(file_adopt(&env, node, fd, &blank, &file), 0);
	ck_assert_ptr_null(blank.key);
}

static void setup(void)
{
	fault_clear();
	fake_reset();
	rig_begin(&rig);
	rig_start(&rig);
	rig.store->keyring->layout.block_len = B;
	nodes = calloc(1, sizeof(*nodes));
	ck_assert_int_eq(nodes_init(nodes, rig.store->data_fd), 0);
	env = (struct file_env){.gate = rig.gate, .layout = rig.store->keyring->layout, .nodes = nodes, .log = on_log};
	ck_assert_int_eq(lost_new(&env.lost), 0);
	ck_assert_int_eq(file_work_init(&work, &env.layout, calloc(1, inflight_slot_len(&env.layout))), 0);
	for (size_t i = 0; i < SPACE; i++)
		content[i] = (uint8_t)(i % 251 + 1);
	size = 0;
	sparse = false;
	make_file();
}

static void teardown(void)
{
	file_close(file, true);
	free(work.slot);
	file_work_free(&work);
	nodes_free(nodes);
	free(nodes);
	lost_free(env.lost);
	rig_end(&rig);
}

static void reopen(void)
{
	file_close(file, true);
	ck_assert_int_eq(file_open(&env, node, true, &work, &file), 0);
}

static int write_at(uint64_t off, uint64_t len)
{
	const struct file_write w = {off, content, len, GATE_USE_NEW};

	return file_write(file, &work, &w);
}

static void must_write(uint64_t off, uint64_t len)
{
	if (off / B > (size + B - 1) / B)
		sparse = true; /* whole blocks that nobody wrote */
	ck_assert_int_eq(write_at(off, len), 0);
	memcpy(model + off, content, len);
	size = off + len > size ? off + len : size;
}

static void must_truncate(uint64_t to)
{
	if (to / B > (size + B - 1) / B)
		sparse = true;
	if (to == 0)
		sparse = false;
	ck_assert_int_eq(file_truncate(file, &work, to), 0);
	memset(model + to, 0, SPACE - to);
	size = to;
}

/* A file of FROM bytes: written, or (GROWN) nothing but an end. */
static void begin_with(uint64_t from, bool grown)
{
	must_truncate(0);
	if (grown)
		must_truncate(from);
	else if (from > 0)
		must_write(0, from);
}

static struct final_head head_on_disk(void)
{
	uint8_t raw[FINAL_HEAD_LEN];
	struct final_head h;

	ck_assert_int_eq(store_pread_full(file_fd(file), raw, sizeof(raw), layout_record_off(&env.layout, size / B)),
			 0);
	ck_assert_int_eq(final_head_parse(&env.layout, raw, sizeof(raw), &h), 0);
	return h;
}

/* All of it is as the model says, on disk and in memory, now and when it is opened again. */
static void compare(const char *what, uint64_t a, uint64_t b)
{
	for (int again = 0; again < 2; again++) {
		const uint8_t *plain;
		struct stat st;
		size_t got = 0;

		int r = file_read(file, &work, 0, SPACE, &plain, &got);
		bool same = r == 0 && file_size(file) == size && got == size && memcmp(plain, model, got) == 0;
		ck_assert_msg(same, "%s %llu, %llu: %d, %zu bytes of %llu", what, (unsigned long long)a,
			      (unsigned long long)b, r, got, (unsigned long long)size);
		struct final_head h = head_on_disk();
		bool end = h.tail_len == size % B && h.flags == (sparse ? FINAL_SPARSE : 0) &&
			   fstat(file_fd(file), &st) == 0 &&
			   (uint64_t)st.st_size == layout_disk_size(&env.layout, size);
		ck_assert_msg(end, "%s %llu, %llu: tail %u, flags %u, on disk %lld", what, (unsigned long long)a,
			      (unsigned long long)b, h.tail_len, h.flags, (long long)st.st_size);
		if (!again)
			reopen();
	}
}

/* _i: the file was written, or grown. */
START_TEST(every_write)
{
	for (size_t s = 0; s < EDGES; s++)
		for (size_t i = 0; i < EDGES; i++)
			for (size_t j = i + 1; j < EDGES; j++) {
				begin_with(edges[s], _i);
				uint64_t before = file->generation, whole = size / B;
				bool was = sparse;
				must_write(edges[i], edges[j] - edges[i]);
				/* the end is sealed anew when bytes of the last block or behind it change, never otherwise */
				bool end = edges[j] > whole * B || was != sparse;
				ck_assert_uint_eq(file->generation, before + end);
				compare("write", edges[i], edges[j]);
			}
}
END_TEST

START_TEST(every_truncate)
{
	for (size_t s = 0; s < EDGES; s++)
		for (size_t i = 0; i < EDGES; i++) {
			begin_with(edges[s], _i);
			must_truncate(edges[i]);
			compare("truncate", edges[s], edges[i]);
			must_truncate(SPACE - 1); /* what was cut off does not come back */
			compare("grow from", edges[s], edges[i]);
		}
}
END_TEST

/* _i: with holes in the backing, or FALLOC_FL_ZERO_RANGE, which also grows. */
START_TEST(every_punch)
{
	for (size_t s = 0; s < EDGES; s++)
		for (size_t i = 0; i < EDGES; i++)
			for (size_t j = i + 1; j < EDGES; j++) {
				begin_with(edges[s], false);
				uint64_t to = edges[j] < size ? edges[j] : size;
				int mode = _i ? FALLOC_FL_ZERO_RANGE : FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
				ck_assert_int_eq(file_fallocate(file, &work, mode, edges[i], edges[j] - edges[i]), 0);
				if (edges[i] < to) {
					memset(model + edges[i], 0, to - edges[i]);
					sparse = (edges[i] + B - 1) / B < to / B;
				}
				if (_i && edges[j] > size) {
					sparse = sparse || edges[j] / B > (size + B - 1) / B;
					size = edges[j];
				}
				compare("punch", edges[i], edges[j]);
			}
}
END_TEST

/* ---- a system call fails ---- */

/* CALL number SKIP fails, and only that. */
static void fail_at(enum fault_call call, int skip)
{
	fault_clear();
	faults[0] = (struct fault){call, NULL, ENOSPC, skip, 1};
}

static bool struck(void)
{
	bool yes = faults[0].left == 0;

	fault_clear();
	return yes;
}

/* Each byte of the request is the old or the new one, whole blocks at a time; whatever lies beside it is the old. */
static void take_over(uint64_t off, uint64_t end)
{
	const uint8_t *plain;
	size_t got;

	ck_assert_int_eq(file_read(file, &work, 0, SPACE, &plain, &got), 0);
	ck_assert_uint_eq(got, size);
	for (uint64_t at = 0; at < size; at++) {
		bool hit = at >= off && at < end;
		bool fine = plain[at] == model[at] || (hit && plain[at] == content[at - off]);
		if (!fine)
			ck_abort_msg("write %llu to %llu in %llu: byte %llu is neither", (unsigned long long)off,
				     (unsigned long long)end, (unsigned long long)size, (unsigned long long)at);
	}
	memcpy(model, plain, size);
}

START_TEST(every_write_that_fails)
{
	for (size_t s = 0; s < EDGES; s++)
		for (size_t i = 0; i < EDGES; i += 2)
			for (size_t j = i + 1; j < EDGES; j++)
				for (int skip = 0;; skip++) {
					begin_with(edges[s], false);
					memset(content, 'n', B); /* not what the file has there */
					fail_at(CALL_PWRITE, skip);
					int r = write_at(edges[i], edges[j] - edges[i]);
					if (!struck()) {
						ck_assert_int_eq(r, 0);
						ck_assert_int_gt(skip, 0);
						break;
					}
					ck_assert_int_eq(r, -ENOSPC);
					sparse = file->flags & FINAL_SPARSE;
					take_over(edges[i], edges[j]);
					compare("after a failed write", edges[i], edges[j]);
				}
}
END_TEST

/* _i: which call. A truncate that fails has done nothing at all. */
START_TEST(every_truncate_that_fails)
{
	for (size_t s = 0; s < EDGES; s++)
		for (size_t i = 0; i < EDGES; i++)
			for (int skip = 0;; skip++) {
				begin_with(edges[s], false);
				fail_at(_i ? CALL_FTRUNCATE : CALL_PWRITE, skip);
				int r = file_truncate(file, &work, edges[i]);
				if (!struck()) {
					ck_assert_int_eq(r, 0);
					ck_assert(skip > 0 || (edges[s] == edges[i] && !_i));
					break;
				}
				ck_assert_int_eq(r, -ENOSPC);
				compare("after a failed truncate", edges[s], edges[i]);
			}
}
END_TEST

/* The end cannot be put back either: nothing is written into the file any more, and the session does not end clean. */
START_TEST(an_end_that_cannot_be_put_back)
{
	begin_with(2 * B + 5, false);
	fault_clear();
	faults[0] = (struct fault){CALL_PWRITE, NULL, EIO, 0, 2};
	ck_assert_int_eq(write_at(2 * B + 5, 10), -EIO);
	ck_assert(struck());
	ck_assert(file->broken);
	ck_assert(env.half_done);
	ck_assert_uint_eq(env.corrupt, 1);
	ck_assert_ptr_nonnull(strstr(logged, "data/f (inode "));
	ck_assert_ptr_nonnull(
		strstr(logged, "after a failed write the end could not be put back; block 2 does not authenticate"));
	ck_assert_int_eq(write_at(0, 1), -EIO);
	ck_assert_int_eq(file_truncate(file, &work, 0), -EIO);
	ck_assert_uint_eq(file_size(file), 2 * B + 5);
}
END_TEST

/* A block beside the request that cannot be put back is told by its number. */
START_TEST(a_block_that_cannot_be_put_back)
{
	begin_with(4 * B, false);
	fault_clear();
	faults[0] = (struct fault){CALL_PWRITE, NULL, EIO, 0, 2};
	ck_assert_int_eq(write_at(B + 1, 5), -EIO);
	ck_assert(struck());
	ck_assert(!file->broken);
	ck_assert_uint_eq(env.corrupt, 1);
	ck_assert_ptr_nonnull(strstr(logged, ": a failed write left block 1 does not authenticate: EIO"));
	must_write(B + 1, 5); /* the end is sound: the file can still be written */
	compare("write", B + 1, B + 6);
}
END_TEST

/* ---- what is lost, what is refused ---- */

START_TEST(lost_until_written)
{
	const uint8_t *plain;
	size_t got;

	begin_with(3 * B + 5, false);
	file_lost(file, B, B);
	ck_assert_int_eq(file_read(file, &work, 0, B, &plain, &got), 0);
	ck_assert_int_eq(file_read(file, &work, B - 1, 2, &plain, &got), -EIO);
	ck_assert_int_eq(file_read(file, &work, 2 * B - 1, 1, &plain, &got), -EIO);
	ck_assert_int_eq(file_read(file, &work, 2 * B, B, &plain, &got), 0);
	fail_at(CALL_PWRITE, 0);
	ck_assert_int_eq(write_at(B, B), -ENOSPC);
	ck_assert(struck());
	ck_assert_int_eq(file_read(file, &work, B, 1, &plain, &got), -EIO); /* a failure finds nothing again */
	must_write(B, B);
	ck_assert(!node->lost_any);
	compare("write", B, 2 * B);
	file_lost(file, 3 * B, UINT64_MAX - 3 * B);
	must_truncate(3 * B);
	ck_assert(!node->lost_any);
	compare("truncate", 3 * B, 0);
}
END_TEST

static bool says_sparse(void)
{
	size = file_size(file);
	return head_on_disk().flags & FINAL_SPARSE;
}

/* A write that fails beside a gap, or would have opened one, leaves no more holes than there were. */
START_TEST(failure_opens_no_hole)
{
	begin_with(B, false);
	fail_at(CALL_PWRITE, 0);
	ck_assert_int_eq(write_at(3 * B, B), -ENOSPC);
	ck_assert(struck() && !says_sparse());
	must_write(B, B); /* in order: nothing of the one before is left in the account of gaps */
	ck_assert(!says_sparse() && !file->holes && file->gaps.n == 0);
	must_write(4 * B, B); /* out of order, and what is to come in between fails once */
	ck_assert(says_sparse() && !file->holes);
	fail_at(CALL_PWRITE, 0);
	ck_assert_int_eq(write_at(2 * B, B), -ENOSPC);
	ck_assert(struck());
	must_write(2 * B, B);
	ck_assert(says_sparse());
	must_write(3 * B, B);
	ck_assert(!says_sparse() && file->gaps.n == 0);
	sparse = false;
	compare("filled", 0, 0);
	/* a truncate that fails, in between */
	must_write(SPACE - B, B);
	must_truncate(5 * B);
	begin_with(B, false);
	must_write(3 * B, B);
	fail_at(CALL_PWRITE, 0);
	ck_assert_int_eq(file_truncate(file, &work, 2 * B), -ENOSPC);
	ck_assert(struck());
	must_write(B, 2 * B);
	ck_assert(!says_sparse() && !file->holes);
	sparse = false;
	compare("filled after a failed truncate", 0, 0);
}
END_TEST

/* What was lost is no hole, whether what lies behind it came before or after; nor is it one that a new open finds. */
START_TEST(what_was_lost_is_no_hole)
{
	const uint8_t *plain;
	uint64_t at;
	size_t got;

	for (int behind_first = 0; behind_first < 2; behind_first++) {
		begin_with(B, false);
		if (behind_first)
			must_write(3 * B, 2 * B);
		file_lost(file, B, 2 * B);
		if (!behind_first)
			must_write(3 * B, 2 * B);
		file_unsparse(file, &work);
		ck_assert(!says_sparse() && !file->holes);
		reopen();
		ck_assert(!says_sparse() && !file->holes);
		ck_assert_int_eq(file_read(file, &work, B, 1, &plain, &got), -EIO);
		ck_assert_int_eq(file_read(file, &work, 3 * B - 1, 1, &plain, &got), -EIO);
		ck_assert_int_eq(file_read(file, &work, 3 * B, 2 * B, &plain, &got), 0);
		/* without the list it does not read either */
		struct lost *list = env.lost;
		env.lost = NULL;
		atomic_store(&node->lost_any, false);
		ck_assert_int_eq(file_read(file, &work, B, 1, &plain, &got), -EIO);
		ck_assert_int_eq(file_read(file, &work, 2 * B, 1, &plain, &got), -EIO);
		env.lost = list;
		reopen();
		ck_assert_int_eq(file_seek(file, &work, B, SEEK_DATA, &at), 0);
		ck_assert_uint_eq(at, B);
		must_write(B, 2 * B);
		sparse = false;
		compare("written again", B, 3 * B);
	}
}
END_TEST

/* Holes and what was lost side by side: holes read as zeros, and who looks for data finds what was lost. */
START_TEST(lost_beside_holes)
{
	const uint8_t *plain;
	uint64_t at;
	size_t got;

	begin_with(B, false);
	file_lost(file, 2 * B, B);
	must_write(4 * B, B); /* blocks 1 and 3 are holes, 2 is lost */
	ck_assert(says_sparse());
	ck_assert_int_eq(file_read(file, &work, B, B, &plain, &got), 0);
	ck_assert_int_eq(file_read(file, &work, 3 * B, B, &plain, &got), 0);
	ck_assert_int_eq(file_read(file, &work, 2 * B, 1, &plain, &got), -EIO);
	ck_assert_int_eq(file_seek(file, &work, B, SEEK_DATA, &at), 0);
	ck_assert_uint_eq(at, 2 * B);
	ck_assert_int_eq(file_seek(file, &work, 2 * B + 5, SEEK_DATA, &at), 0);
	ck_assert_uint_eq(at, 2 * B + 5);
	ck_assert_int_eq(file_seek(file, &work, 3 * B, SEEK_DATA, &at), 0);
	ck_assert_uint_eq(at, 4 * B);
	ck_assert_int_eq(file_seek(file, &work, 0, SEEK_HOLE, &at), 0);
	ck_assert_uint_eq(at, B);
	ck_assert_int_eq(file_seek(file, &work, 2 * B, SEEK_HOLE, &at), 0);
	ck_assert_uint_eq(at, 3 * B);
	ck_assert_int_eq(file_seek(file, &work, 4 * B, SEEK_HOLE, &at), 0);
	ck_assert_uint_eq(at, 5 * B);
	ck_assert_int_eq(file_seek(file, &work, 5 * B, SEEK_HOLE, &at), -ENXIO);
}
END_TEST

/* Of a block that was lost in part, and is not there, a part can be written again: the rest stays lost. */
START_TEST(a_lost_block_in_parts)
{
	const uint8_t *plain;
	size_t got;

	begin_with(B, false);
	file_lost(file, B + 10, 20);
	must_write(3 * B, B); /* block 2 is a hole; of block 1, which nobody wrote, 20 bytes were lost */
	must_write(B + 12, 5);
	ck_assert_int_eq(file_read(file, &work, B + 12, 5, &plain, &got), 0);
	ck_assert_mem_eq(plain, content, 5);
	ck_assert_int_eq(file_read(file, &work, B + 17, 1, &plain, &got), -EIO);
	ck_assert_int_eq(file_read(file, &work, B, 1, &plain, &got), sparse ? 0 : -EIO);
	begin_with(3 * B, false); /* torn by what failed */
	uint8_t rubbish[B] = {1};
	ck_assert_int_eq(store_pwrite_full(file_fd(file), rubbish, B, layout_record_off(&env.layout, 1)), 0);
	ck_assert_int_eq(write_at(B + 5, 5), -EIO); /* damage is no loss */
	file_lost(file, B, 4);
	must_write(B + 5, 5);
	ck_assert_int_eq(file_read(file, &work, B + 5, 5, &plain, &got), 0);
	ck_assert_int_eq(file_read(file, &work, B + 10, 1, &plain, &got), -EIO);
	must_write(B, B);
	compare("written again", B, 2 * B);
}
END_TEST

/* What was lost behind the end is part of the size that is told: data, until it is written, cut off or made a hole. */
START_TEST(lost_behind_the_end)
{
	const uint8_t *plain;
	uint64_t at;
	size_t got;

	begin_with(B + 5, false);
	file_lost(file, B + 5, 3 * B);
	reopen();
	ck_assert_uint_eq(file_size(file), B + 5);
	ck_assert_uint_eq(file_told_size(file), 4 * B + 5);
	ck_assert_int_eq(file_read(file, &work, B, 5, &plain, &got), 0);
	ck_assert_int_eq(file_read(file, &work, 2 * B, 5, &plain, &got), -EIO);
	ck_assert_int_eq(file_seek(file, &work, 2 * B, SEEK_DATA, &at), 0);
	ck_assert_uint_eq(at, 2 * B);
	ck_assert_int_eq(file_seek(file, &work, 0, SEEK_HOLE, &at), 0);
	ck_assert_uint_eq(at, 4 * B + 5);
	ck_assert_int_eq(file_seek(file, &work, 4 * B + 5, SEEK_DATA, &at), -ENXIO);
	file_lost(file, 5 * B, B); /* and a hole before more of it: nobody is to take it for the end */
	ck_assert_int_eq(file_read(file, &work, 4 * B + 5, B - 5, &plain, &got), 0);
	ck_assert_uint_eq(got, B - 5);
	for (size_t i = 0; i < got; i++)
		ck_assert_uint_eq(plain[i], 0);
	file_found(file, 5 * B, 6 * B);
	/* a room taken below the told end changes nothing; a hole in it keeps the rest */
	ck_assert_int_eq(file_fallocate(file, &work, 0, 0, 3 * B), 0);
	ck_assert_uint_eq(file_told_size(file), 4 * B + 5);
	ck_assert_int_eq(file_read(file, &work, 3 * B + 1, 1, &plain, &got), -EIO);
	ck_assert_int_eq(file_fallocate(file, &work, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 3 * B, 2 * B), 0);
	ck_assert_uint_eq(file_told_size(file), 4 * B + 5);
	ck_assert_int_eq(file_read(file, &work, 3 * B, B + 5, &plain, &got), 0);
	ck_assert_uint_eq(got, B + 5);
	ck_assert_int_eq(file_read(file, &work, 3 * B - 1, 1, &plain, &got), -EIO);
	must_truncate(B + 5);
	ck_assert_uint_eq(file_told_size(file), B + 5);
	ck_assert(!node->lost_any);
	/* appended to at the told end, it has no hole */
	begin_with(B, false);
	file_lost(file, B, 2 * B);
	must_write(3 * B, B);
	ck_assert(!says_sparse());
	/* all of it lost, as far as anybody can tell: no size comes of that */
	file_lost(file, 0, UINT64_MAX);
	ck_assert_uint_eq(file_told_size(file), 4 * B);
}
END_TEST

/* What is lost cannot be remembered: all of the file is lost rather than zeros read where there were bytes. */
START_TEST(lost_without_memory)
{
	const uint8_t *plain;
	size_t got;

	begin_with(SPACE - 1, false);
	for (uint64_t i = 0; i < 4; i++)
		file_lost(file, 10 * i, 5);
	struct lost_counts n;
	lost_count(env.lost, &n);
	ck_assert_uint_eq(n.ranges, 4); /* what the set has room for */
	ck_assert_int_eq(file_read(file, &work, 5, 5, &plain, &got), 0);
	no_memory = true;
	file_lost(file, 50, 5);
	no_memory = false;
	ck_assert(node->lost_any);
	ck_assert_int_eq(file_read(file, &work, 50, 1, &plain, &got), -EIO);
	ck_assert_int_eq(file_read(file, &work, 5, 5, &plain, &got), -EIO);
	ck_assert_int_eq(file_read(file, &work, SPACE - 2, 1, &plain, &got), -EIO);
	must_write(0, SPACE - 1); /* written again it is found again, and what lies behind the end by a truncate */
	ck_assert_int_eq(file_read(file, &work, 0, SPACE - 1, &plain, &got), 0);
	ck_assert_int_eq(file_read(file, &work, 0, SPACE, &plain, &got), -EIO);
	must_truncate(SPACE - 1);
	compare("write", 0, SPACE - 1);
}
END_TEST

/* The very first one: nothing is there to be stretched, so the file is given up. */
START_TEST(first_lost_without_memory)
{
	begin_with(B, false);
	no_memory = true;
	file_lost(file, 50, 5);
	no_memory = false;
	ck_assert(file->broken);
	const uint8_t *plain;
	size_t got;
	ck_assert_int_eq(file_read(file, &work, 0, 1, &plain, &got), -EIO);
	ck_assert_int_eq(write_at(0, 1), -EIO);
	ck_assert_int_eq(file_truncate(file, &work, 0), -EIO);
}
END_TEST

START_TEST(limits)
{
	begin_with(B, false);
	uint64_t most = layout_size_max(&env.layout);
	ck_assert_int_eq(write_at(0, 0), 0);
	ck_assert_int_eq(write_at(0, INFLIGHT_REQUEST_MAX + 1), -EFBIG);
	ck_assert_int_eq(write_at(most, 1), -EFBIG);
	ck_assert_int_eq(write_at(UINT64_MAX, 1), -EFBIG);
	ck_assert_int_eq(file_truncate(file, &work, most + 1), -EFBIG);
	ck_assert_int_eq(file_fallocate(file, &work, 0, 0, 0), -EINVAL);
	ck_assert_int_eq(file_fallocate(file, &work, 0, UINT64_MAX, 2), -EFBIG);
	compare("nothing", 0, 0);
}
END_TEST

/* Locked: no key is borrowed, none is made, and the file is what it was. */
START_TEST(a_locked_gate)
{
	struct blank blank;
	struct borrow keys = {0};
	const uint8_t *plain;
	size_t got;

	begin_with(2 * B + 5, false);
	ck_assert_int_eq(gate_lock(rig.gate, "the test"), 0);
	ck_assert_int_eq(gate_state(rig.gate), GATE_LOCKED);
	fault_clear();
	ck_assert_int_eq(write_at(1, B), -EACCES);
	ck_assert_int_eq(write_at(4 * B, 1), -EACCES);
	ck_assert_int_eq(file_truncate(file, &work, 1), -EACCES);
	ck_assert_int_eq(file_read(file, &work, 0, 1, &plain, &got), -EACCES);
	ck_assert_int_eq(borrow_file(&keys, rig.gate, GATE_USE_NEW, file->key, &env.layout), -EACCES);
	ck_assert_int_eq(blank_make(&blank, rig.gate, &env.layout), -EACCES);
	ck_assert_ptr_null(blank.key);
	ck_assert_uint_eq(blank.len, 0);
	ck_assert_uint_eq(fault_seen[CALL_PWRITE] + fault_seen[CALL_FTRUNCATE], 0);
	ck_assert_uint_eq(file_size(file), size);
	ck_assert_uint_eq(env.corrupt, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("file_write");
	TCase *c = tcase_create("file_write");

	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_loop_test(c, every_write, 0, 2);
	tcase_add_loop_test(c, every_truncate, 0, 2);
	tcase_add_loop_test(c, every_punch, 0, 2);
	tcase_add_test(c, every_write_that_fails);
	tcase_add_loop_test(c, every_truncate_that_fails, 0, 2);
	tcase_add_test(c, an_end_that_cannot_be_put_back);
	tcase_add_test(c, a_block_that_cannot_be_put_back);
	tcase_add_test(c, lost_until_written);
	tcase_add_test(c, failure_opens_no_hole);
	tcase_add_test(c, what_was_lost_is_no_hole);
	tcase_add_test(c, lost_beside_holes);
	tcase_add_test(c, lost_behind_the_end);
	tcase_add_test(c, a_lost_block_in_parts);
	tcase_add_test(c, lost_without_memory);
	tcase_add_test(c, first_lost_without_memory);
	tcase_add_test(c, limits);
	tcase_add_test(c, a_locked_gate);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
