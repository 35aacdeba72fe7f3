/* SPDX-License-Identifier: BSD-2-Clause */
/* After a crash, through the tree: whose unfinished end is sealed, whose is damage, and what is told of it. */
#include "tests/unit/tree_rig.h"

#include "crypto/header.h"
#include "fs/store/written.h"

static struct file_work work;

static void tree_end(void)
{
	tree_free(tree);
	free(tree);
	tree = NULL;
}

/* As a mount begins. */
static void begin(void)
{
	char why[STORE_WHY_MAX];

	ck_assert_msg(store_begin(rig.store, rig.gate, NULL, why) == 0, "%s", why);
	tree = calloc(1, sizeof(*tree));
	ck_assert_ptr_nonnull(tree);
	ck_assert_int_eq(tree_init(tree, rig.store, rig.gate, false, tree_said), 0);
	ck_assert_ptr_nonnull(tree->env.written);
}

static void next_mount(bool crash)
{
	tree_end();
	if (!crash)
		ck_assert_int_eq(store_end(rig.store, false), 0);
	rig_shut(&rig);
	ck_assert_int_eq(rig_open(&rig), 0);
	begin();
	ck_assert_int_eq(rig.store->unclean, crash);
}

static void listed_begin(enum wrap_type wrap)
{
	fault_clear();
	rig_begin(&rig);
	rig.wrap = wrap;
	rig_start(&rig);
	begin();
	uint8_t *slot = calloc(1, rig.store->slot_len);
	ck_assert_int_eq(file_work_init(&work, &tree->env.layout, slot), 0);
}

static void listed_setup(void)
{
	listed_begin(WRAP_STORE);
}

static void wrapped_setup(void)
{
	listed_begin(WRAP_FILE);
}

static void listed_teardown(void)
{
	free(work.slot);
	file_work_free(&work);
	teardown();
}

/* LEN bytes into NAME, which is there. */
static void fill(const char *name, size_t len)
{
	uint8_t bytes[20000];
	struct file *f;

	memset(bytes, 'x', sizeof(bytes));
	ck_assert_int_eq(file_open(&tree->env, look(root(), name), true, &work, &f), 0);
	ck_assert_int_eq(file_write(f, &work, &(struct file_write){.plain = bytes, .len = len}), 0);
	file_close(f, true);
}

/* What opening it gives; its size in SIZE. */
static int opens(const char *name, uint64_t *size)
{
	struct node *n;
	struct stat st;
	struct file *f;
	int r = obj_lookup(tree, at(root(), name), &n, &st);

	*size = 0;
	if (!r)
		r = n->type == OBJECT_FILE ? file_open(&tree->env, n, false, &work, &f) : -EINVAL;
	if (r)
		return r;
	*size = file_size(f);
	ck_assert_int_eq(st.st_size, (off_t)*size); /* and the look-up had told it */
	file_close(f, false);
	return 0;
}

static off_t two_blocks(void)
{
	return (off_t)layout_record_off(&tree->env.layout, 2) + 100;
}

/* A file of long ago, and one that was written when the mount died, be it new or old. */
START_TEST(cut)
{
	const char *const names[] = {"old", "changed", "made"};
	uint64_t size;

	new_file(root(), "old");
	new_file(root(), "changed");
	fill("old", 12000);
	fill("changed", 12000);
	next_mount(false);
	new_file(root(), "made");
	fill("made", 12000);
	fill("changed", 10);
	if (_i)
		written_tick(tree->env.written, 0);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		truncate_disk(root(), disk_of(root(), names[i]).name, two_blocks());
	ck_assert_int_eq(unlinkat(rig.store->own_fd, STORE_JOURNAL, 0),
			 0); /* or "changed" would be what it was before */
	next_mount(true);
	ck_assert_int_eq(opens("old", &size), -EIO);
	ck_assert_uint_eq(tree->env.corrupt, 1);
	ck_assert_int_eq(opens("changed", &size), 0);
	ck_assert_uint_eq(size, 2 * RIG_BLOCK);
	ck_assert_int_eq(opens("made", &size), 0);
	ck_assert_uint_eq(size, 2 * RIG_BLOCK);
	ck_assert_uint_eq(tree->env.recovered, 2);
	struct written_mends mends;
	written_mends(tree->env.written, &mends);
	ck_assert(mends.files == 2 && mends.bytes == 200 && mends.back == 0);
	/* A mount that only reads one changes nothing: it is not listed. */
	next_mount(true);
	ck_assert_int_eq(opens("old", &size), -EIO);
	ck_assert_int_eq(opens("made", &size), 0);
}
END_TEST

/* Emptied: a create that was cut off has left its place, or its number if that was known. */
START_TEST(emptied)
{
	uint64_t size;

	new_file(root(), "old");
	next_mount(false);
	new_file(root(), "made");
	new_file(root(), "before");
	written_tick(tree->env.written, 0);
	ck_assert_int_eq(obj_rename(tree, at(root(), "before"), at(root(), "moved"), 0, &nobody), 0);
	new_file(root(), "fresh"); /* its number is not on disk */
	ck_assert_int_eq(try_special(root(), "link", 'l'), 0);
	const char *const names[] = {"old", "made", "moved", "fresh", "link"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		truncate_disk(root(), disk_of(root(), names[i]).name, 0);
	next_mount(true);
	ck_assert_int_eq(opens("old", &size), -EIO);
	for (size_t i = 1; i < ARRAY_LEN(names); i++) {
		ck_assert_msg(opens(names[i], &size) == 0, "%s", names[i]);
		ck_assert_uint_eq(size, 0);
	}
	ck_assert_uint_eq(tree->env.recovered, 4);
}
END_TEST

/* PARTS of the eight of NAME's header stay, the others are zeros; TO: cut to so many bytes, negative to let it be. */
static void tear(const char *name, unsigned parts, off_t to)
{
	const struct disk_name dn = disk_of(root(), name);
	size_t len = tree->env.layout.header_len / 8;
	static const uint8_t zeros[HEADER_LEN_FILE / 8];

	for (unsigned i = 0; i < 8; i++)
		if (!(parts & 1u << i))
			scribble(root(), dn.name, zeros, len, i * len);
	if (to >= 0)
		truncate_disk(root(), dn.name, to);
}

static void zero(const char *name)
{
	struct stat st;

	ck_assert(lies(root(), disk_of(root(), name).name, &st));
	tear(name, 0, 0);
	truncate_disk(root(), disk_of(root(), name).name, st.st_size);
}

/*
 * The header of what was being made reached the disk in part, or only the size did: it is empty, nothing else. What is of before, or
 * was made durable, is damage.
 */
START_TEST(torn)
{
	char name[32];
	uint64_t size;
	unsigned empty = 0;
	const off_t h = tree->env.layout.header_len;
	const off_t cuts[] = {1, h / 2, h - 1, h, h + 1, -1};

	new_file(root(), "old");
	fill("old", 5000);
	new_file(root(), "old zeros");
	ck_assert_int_eq(try_special(root(), "old link", 'l'), 0);
	next_mount(false);
	fill("old", 10); /* listed, but of long ago */
	fill("old zeros", 10);
	for (unsigned i = 0; i < 255; i++) {
		snprintf(name, sizeof(name), "made %u", i);
		struct node *n = new_file(root(), name);
		if (i % 2)
			fill(name, 5000);
		if (i % 50 == 8) {
			snprintf(name, sizeof(name), "kept %u", i);
			n = new_file(root(), name);
			fill(name, 100);
			written_durable(tree->env.written, atomic_load(&n->listed), n->object_id);
			tear(name, i, -1);
		}
	}
	new_file(root(), "kept zeros");
	struct node *kept = look(root(), "kept zeros");
	written_durable(tree->env.written, atomic_load(&kept->listed), kept->object_id);
	new_file(root(), "zeros");
	fill("zeros", 9000);
	ck_assert_int_eq(try_special(root(), "link", 'l'), 0);
	ck_assert_int_eq(try_special(root(), "fifo", 'p'), 0);
	written_tick(tree->env.written, 0);
	tear("old", 0xf0, -1);
	zero("old zeros");
	zero("kept zeros");
	zero("zeros");
	zero("link");
	zero("old link");
	tear("fifo", 0xfe, -1);
	for (unsigned i = 0; i < 255; i++) {
		snprintf(name, sizeof(name), "made %u", i);
		tear(name, i, cuts[i % ARRAY_LEN(cuts)]);
	}
	next_mount(true);
	for (unsigned i = 0; i < 255; i++) {
		snprintf(name, sizeof(name), "made %u", i);
		ck_assert_msg(opens(name, &size) == 0, "%s", name);
		if (size == 5000) /* what was not there had been zeros before */
			continue;
		ck_assert_uint_eq(size, 0);
		empty++;
		fill(name, 10); /* and can be used */
		ck_assert(opens(name, &size) == 0 && size == 10);
		snprintf(name, sizeof(name), "kept %u", i);
		if (i % 50 == 8)
			ck_assert_int_eq(opens(name, &size), -EIO);
	}
	ck_assert_uint_gt(empty, 230);
	ck_assert(opens("zeros", &size) == 0 && size == 0);
	ck_assert_int_eq(opens("link", &size), -ENOENT); /* nobody was told that it is there */
	ck_assert_int_eq(opens("fifo", &size), -ENOENT);
	ck_assert_int_eq(try_special(root(), "link", 'l'), 0); /* and can be made */
	ck_assert_int_eq(opens("old link", &size), -EIO);
	ck_assert_int_eq(opens("old", &size), -EIO);
	ck_assert_int_eq(opens("old zeros", &size), -EIO);
	ck_assert_int_eq(opens("kept zeros", &size), -EIO);
}
END_TEST

/* Nothing behind the header authenticates. */
START_TEST(rubbish_behind_the_header)
{
	const char *const names[] = {"old", "kept", "made"};
	uint8_t rubbish[300];
	uint64_t size;

	new_file(root(), "old");
	next_mount(false);
	fill("old", 300);
	new_file(root(), "made");
	fill("made", 300);
	struct node *kept = new_file(root(), "kept");
	fill("kept", 300);
	written_durable(tree->env.written, atomic_load(&kept->listed), kept->object_id);
	written_tick(tree->env.written, 0);
	random_bytes(rubbish, sizeof(rubbish));
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		scribble(root(), disk_of(root(), names[i]).name, rubbish, sizeof(rubbish), tree->env.layout.header_len);
	ck_assert_int_eq(unlinkat(rig.store->own_fd, STORE_JOURNAL, 0), 0); /* or the durable ones would go back */
	next_mount(true);
	ck_assert_int_eq(opens("old", &size), -EIO);
	ck_assert_int_eq(opens("kept", &size), -EIO);
	ck_assert(opens("made", &size) == 0 && size == 0);
	next_mount(true); /* mended before anything of it was durable: once more */
	ck_assert(opens("made", &size) == 0 && size == 0);
}
END_TEST

/* A clean end is none before everything is durable. */
START_TEST(clean_end)
{
	new_file(root(), "f");
	fault_clear();
	next_mount(false);
	ck_assert_uint_ge(fault_seen[CALL_SYNCFS], 1);
	tree_end();
	fault_set(CALL_SYNCFS, NULL, EIO);
	ck_assert_int_eq(store_end(rig.store, false), -EIO);
	rig_shut(&rig);
	ck_assert_int_eq(rig_open(&rig), 0);
	begin();
	ck_assert(rig.store->unclean);
}
END_TEST

/* A list that cannot be written: nothing is made or changed without an entry. */
START_TEST(no_entry)
{
	struct stat st;
	struct file *f;

	new_file(root(), "old");
	next_mount(false);
	struct disk_name dn = disk_of(root(), "new"), old = disk_of(root(), "old");
	ck_assert(lies(root(), old.name, &st));
	const off_t len = st.st_size;
	ck_assert_int_eq(file_open(&tree->env, look(root(), "old"), true, &work, &f), 0);
	fault_set(CALL_PWRITE, NULL, EIO); /* the first one: the entry's */
	ck_assert_int_eq(try_file(root(), "new"), -EIO);
	ck_assert(!lies(root(), dn.name, &st));
	fault_set(CALL_PWRITE, NULL, EIO);
	ck_assert_int_eq(file_write(f, &work, &(struct file_write){.plain = (const uint8_t *)"x", .len = 1}), -EIO);
	ck_assert(lies(root(), old.name, &st) && st.st_size == len);
	fault_clear();
	ck_assert_int_eq(file_write(f, &work, &(struct file_write){.plain = (const uint8_t *)"x", .len = 1}), 0);
	file_close(f, true);
}
END_TEST

/* With wrap type `file` each key is a call: only those are had whose end may be unfinished. */
START_TEST(asks_for_few)
{
	char name[8];
	uint64_t size;

	for (int i = 0; i < 9; i++) {
		snprintf(name, sizeof(name), "old%d", i);
		new_file(root(), name);
	}
	next_mount(false);
	new_file(root(), "made");
	written_tick(tree->env.written, 0);
	next_mount(true);
	int calls = atomic_load(&fakes[0].calls);
	for (int i = 0; i < 9; i++) {
		snprintf(name, sizeof(name), "old%d", i);
		look(root(), name);
	}
	ck_assert_int_eq(atomic_load(&fakes[0].calls), calls);
	look(root(), "made");
	ck_assert_int_eq(atomic_load(&fakes[0].calls), calls + 1);
	ck_assert_int_eq(opens("made", &size), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("leeway");
	TCase *t = tcase_create("leeway");

	tcase_add_checked_fixture(t, listed_setup, listed_teardown);
	tcase_add_loop_test(t, cut, 0, 2);
	tcase_add_test(t, emptied);
	tcase_add_test(t, torn);
	tcase_add_test(t, clean_end);
	tcase_add_test(t, rubbish_behind_the_header);
	tcase_add_test(t, no_entry);
	suite_add_tcase(s, t);
	TCase *wrapped = tcase_create("wrapped");
	tcase_add_checked_fixture(wrapped, wrapped_setup, listed_teardown);
	tcase_add_test(wrapped, asks_for_few);
	tcase_add_test(wrapped, torn);
	suite_add_tcase(s, wrapped);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
