/* SPDX-License-Identifier: BSD-2-Clause */
/* What an fsync makes durable: which things are synced, by themselves, and what a rename or an unlink has synced before it. */
#include "fs/inode/durable.h"
#include "tree_rig.h"

#define SEEN_MAX 4096u

/* Long names, each in a buffer of its own. */
static char long_a[201], long_b[202];
/* The inodes that were synced, in their order; and how many there were at the first rename or unlink of a name. */
static ino_t synced[SEEN_MAX];
static unsigned n_synced, n_before;

static void see(enum fault_call call, int fd, const char *name)
{
	struct stat st;

	if ((call == CALL_RENAMEAT2 || call == CALL_UNLINKAT) && n_before == 0)
		n_before = n_synced + 1;
	if (call != CALL_FSYNC || name[0])
		return;
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_uint_lt(n_synced, SEEN_MAX);
	synced[n_synced++] = st.st_ino;
}

static void watch(void)
{
	fault_clear();
	fault_watch = see;
	n_synced = n_before = 0;
}

static void setup_sync(void)
{
	setup();
	memset(long_a, 'a', sizeof(long_a) - 1);
	memset(long_b, 'b', sizeof(long_b) - 1);
	tree->nodes.names_follow = false;
	watch();
}

/* As after an unmount, where nothing is known. */
static void anew(bool unclean, bool follows)
{
	tree_fresh(unclean, false);
	tree->nodes.names_follow = follows;
	watch();
}

static void drop(struct node *n)
{
	node_forget(&tree->nodes, n, 1);
}

/* Was what lies under DISK in DIR synced, among the first MOST? */
static bool was_synced(struct node *dir, const char *disk, unsigned most)
{
	struct stat st;

	if (!lies(dir, disk, &st))
		ck_abort_msg("%s is not there", disk);
	for (unsigned i = 0; i < n_synced && i < most; i++)
		if (synced[i] == st.st_ino)
			return true;
	return false;
}

static bool id_synced(struct node *dir)
{
	return was_synced(dir, DIRID_NAME, SEEN_MAX);
}

static bool folder_synced(struct node *dir)
{
	return was_synced(dir, ".", SEEN_MAX);
}

static bool thing_synced(struct node *dir, const char *name)
{
	return was_synced(dir, disk_of(dir, name).name, SEEN_MAX);
}

static bool sidecar_synced(struct node *dir, const char *name)
{
	return was_synced(dir, disk_of(dir, name).sidecar, SEEN_MAX);
}

static int sync_folder(struct node *dir)
{
	AUTO(auto_close) int fd = fd_of(dir);

	return obj_sync_folder(tree, dir, fd);
}

/* ---- an fsync of a file, and of what lies above ---- */

START_TEST(new_folders)
{
	tree->nodes.names_follow = _i;
	struct node *a = new_dir(root(), "a"), *b = new_dir(a, "b"), *f = new_file(b, "f"), *beside = new_dir(a, "c");
	watch();
	obj_sync_begin(tree, f);
	ck_assert_uint_eq(n_synced, 0); /* it waits for nothing */
	ck_assert_int_eq(obj_sync_up(tree, f), 0);
	obj_sync_begin(tree, f);
	ck_assert(id_synced(b) && folder_synced(b) && id_synced(a) && folder_synced(a) && folder_synced(root()));
	ck_assert_uint_eq(n_synced, 5);
	ck_assert(!id_synced(beside)); /* is nothing to f */
	watch();
	ck_assert_int_eq(obj_sync_up(tree, f), 0);
	ck_assert_int_eq(obj_sync_up(tree, b), 0);
	ck_assert_uint_eq(n_synced, 0);
	struct node *g = new_file(b, "g");
	ck_assert_int_eq(obj_sync_up(tree, g), 0);
	ck_assert_int_eq(folder_synced(b), !_i); /* its entry, where the file does not bring it along */
	ck_assert_uint_eq(n_synced, !_i);
	watch();
	ck_assert_int_eq(obj_sync_up(tree, beside), 0);
	ck_assert(id_synced(beside) && folder_synced(beside));
	ck_assert(!folder_synced(a)); /* its entries were synced when beside was among them */
	ck_assert_uint_eq(fault_seen[CALL_SYNCFS], 0);
}
END_TEST

/* Nothing is known of folders that were found: the daemon may have been killed, the kernel may have forgotten them. */
START_TEST(found_folders)
{
	struct node *d = new_dir(root(), "d");
	drop(new_file(d, long_a));
	drop(d);
	anew(false, _i);
	d = look(root(), "d");
	struct node *f = look(d, long_a);
	ck_assert_int_eq(obj_sync_up(tree, f), 0);
	ck_assert(id_synced(d) && folder_synced(d) && sidecar_synced(d, long_a) && folder_synced(root()));
	watch();
	ck_assert_int_eq(obj_sync_up(tree, f), 0);
	ck_assert_uint_eq(n_synced, 0);
	drop(f);
	drop(d);
	d = look(root(), "d");
	ck_assert_int_eq(obj_sync_up(tree, d), 0);
	ck_assert(id_synced(d) && folder_synced(d));
}
END_TEST

START_TEST(long_names)
{
	tree->nodes.names_follow = _i;
	struct node *d = new_dir(root(), long_b), *f = new_file(d, long_a);
	drop(new_file(d, long_b));
	watch();
	ck_assert_int_eq(obj_sync_up(tree, f), 0);
	ck_assert(sidecar_synced(d, long_a) && sidecar_synced(root(), long_b) && !sidecar_synced(d, long_b));
	ck_assert_uint_eq(fault_seen[CALL_SYNCFS], 0);
	/* a sidecar that was lost before is no matter of this fsync; something else in its place is */
	AUTO(auto_close) int fd = fd_of(d);
	struct node *g = look(d, long_b);
	ck_assert_int_eq(unlinkat(fd, disk_of(d, long_b).sidecar, 0), 0);
	ck_assert_int_eq(mkdirat(fd, disk_of(d, long_b).sidecar, 0700), 0);
	ck_assert_int_eq(obj_sync_up(tree, g), -EIO);
	ck_assert_int_eq(unlinkat(fd, disk_of(d, long_b).sidecar, AT_REMOVEDIR), 0);
	ck_assert_int_eq(obj_sync_up(tree, g), 0);
}
END_TEST

START_TEST(all_names_of_a_file)
{
	struct node *f = new_file(root(), "f"), *a = new_dir(root(), "a"), *b = new_dir(root(), "b");
	struct stat st;
	tree->nodes.names_follow = _i;
	ck_assert_int_eq(obj_link(tree, f, at(a, long_a), &st), 0);
	ck_assert_int_eq(obj_link(tree, f, at(b, "x"), &st), 0);
	watch();
	ck_assert_int_eq(obj_sync_up(tree, f), 0);
	ck_assert(id_synced(a) && folder_synced(a) && sidecar_synced(a, long_a) && folder_synced(root()));
	ck_assert(id_synced(b) && folder_synced(b));
	watch();
	ck_assert_int_eq(obj_sync_up(tree, f), 0);
	ck_assert_uint_eq(n_synced, 0);
}
END_TEST

/* What fails is owed still: whichever call it is, the next fsync makes good for it. */
START_TEST(syncs_that_fail)
{
	struct node *a = new_dir(root(), "a"), *b = new_dir(a, long_b), *f = new_file(b, long_a);
	for (int skip = 0; skip < 7; skip++) {
		atomic_store(&a->id_durable, false);
		atomic_store(&b->id_durable, false);
		atomic_store(&root()->entries_durable, 0);
		watch();
		faults[0] = (struct fault){CALL_FSYNC, NULL, EIO, skip, 1};
		ck_assert_int_eq(obj_sync_up(tree, f), -EIO);
		ck_assert_int_eq(obj_sync_up(tree, f), 0);
		ck_assert(id_synced(b) && sidecar_synced(b, long_a) && folder_synced(b));
		ck_assert(id_synced(a) && sidecar_synced(a, long_b) && folder_synced(a) && folder_synced(root()));
		ck_assert(!node_name_ref(&tree->nodes, f, false, &(struct name_ref){0}));
		f->links->sidecar_durable = b->links->sidecar_durable = false;
	}
	atomic_store(&b->id_durable, false);
	AUTO(auto_close) int fd = fd_of(b);
	ck_assert_int_eq(unlinkat(fd, DIRID_NAME, 0), 0);
	watch();
	ck_assert_int_eq(obj_sync_up(tree, f), -ENOENT);
	ck_assert(!atomic_load(&b->id_durable));
}
END_TEST

START_TEST(nothing_to_be_found_by)
{
	struct node *d = new_dir(root(), "d"), *f = new_file(d, "f");
	AUTO(auto_close) int fd = fd_of(d);
	ck_assert_int_eq(obj_unlink(tree, at(d, "f"), true), 0);
	watch();
	ck_assert_int_eq(obj_sync_up(tree, f), 0);
	ck_assert_uint_eq(n_synced, 0);
	ck_assert_int_eq(obj_rmdir(tree, at(root(), "d")), 0);
	ck_assert_int_eq(obj_sync_up(tree, d), 0);
	ck_assert_int_eq(obj_sync_folder(tree, d, fd), 0); /* who has it open still */
	tree_fresh(false, true);
	watch();
	ck_assert_int_eq(obj_sync_up(tree, root()), 0);
	ck_assert_int_eq(sync_folder(root()), 0);
	ck_assert_uint_eq(n_synced, 0);
}
END_TEST

/* Some filesystems know no fsync of folders. */
START_TEST(folders_without_fsync)
{
	struct node *d = new_dir(root(), "d"), *f = new_file(d, "f");
	watch();
	faults[0] = (struct fault){CALL_FSYNC, NULL, EINVAL, 1, 1};
	ck_assert_int_eq(obj_sync_up(tree, f), 0);
	faults[0] = (struct fault){CALL_FSYNC, NULL, EINVAL, 0, 2};
	ck_assert_int_eq(sync_folder(d), 0);
}
END_TEST

/* After a crash a folder gets the id that it never had: that one is not durable, whatever was. */
START_TEST(new_id_after_a_crash)
{
	struct node *d = new_dir(root(), "d");
	truncate_disk(d, DIRID_NAME, 0);
	anew(true, _i);
	d = look(root(), "d");
	ck_assert_int_eq(obj_sync_up(tree, d), 0);
	struct node *f = new_file(d, "f");
	watch();
	ck_assert_int_eq(obj_sync_up(tree, f), 0);
	ck_assert(id_synced(d) && folder_synced(d));
}
END_TEST

START_TEST(plain_users_folders)
{
	become_plain_user();
	struct node *d = new_dir(root(), "d"), *f = new_file(d, "f");
	struct stat st;
	AUTO(auto_close) int fd = fd_of(d);
	ck_assert_int_eq(fchmod(fd, 0200), 0);
	watch();
	ck_assert_int_eq(obj_sync_up(tree, f), 0);
	ck_assert_int_eq(obj_sync_up(tree, d), 0);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0200);
	ck_assert_int_eq(fchmod(fd, 0700), 0);
	ck_assert(id_synced(d));
}
END_TEST

/* ---- an fsync of a folder ---- */

/* The id's bytes are what makes the filesystem below commit: after them the folder costs nothing more. */
START_TEST(id_before_its_folder)
{
	struct node *d = new_dir(root(), "d");

	watch();
	ck_assert_int_eq(sync_folder(d), 0);
	ck_assert(was_synced(d, DIRID_NAME, 1));
	ck_assert(folder_synced(d) && folder_synced(root()));
	watch();
	ck_assert_int_eq(sync_folder(d), 0);
	ck_assert(!id_synced(d) && n_synced == 1);
	drop(d);
}
END_TEST

START_TEST(what_was_made_in_a_folder)
{
	tree->nodes.names_follow = _i;
	struct node *d = new_dir(root(), "d");
	drop(new_dir(d, "sub"));
	drop(new_special(d, "link", 'l'));
	drop(new_file(d, long_a));
	drop(new_file(d, "f"));
	ck_assert_int_eq(try_special(d, "fifo", 'p'), 0);
	ck_assert_int_eq(try_dir(d, "gone"), 0);
	ck_assert_int_eq(obj_rmdir(tree, at(d, "gone")), 0);
	watch();
	ck_assert_int_eq(sync_folder(d), 0);
	if (_i) { /* so many by one call, where it is known to work */
		ck_assert_uint_eq(fault_seen[CALL_SYNCFS], 1);
	} else {
		struct node *sub = look(d, "sub");
		ck_assert(id_synced(sub) && folder_synced(sub) && thing_synced(d, "link") && thing_synced(d, "fifo"));
		ck_assert(sidecar_synced(d, long_a) && !thing_synced(d, "f"));
		ck_assert_uint_eq(fault_seen[CALL_SYNCFS], 0);
	}
	ck_assert(folder_synced(d) && id_synced(d) && folder_synced(root()));
	watch();
	ck_assert_int_eq(sync_folder(d), 0);
	ck_assert(n_synced == 1 && folder_synced(d)); /* who removes a name wants that too */
	drop(new_special(d, "one", 'l'));
	watch();
	ck_assert_int_eq(sync_folder(d), 0);
	ck_assert(thing_synced(d, "one") && n_synced == 2);
	ck_assert_uint_eq(fault_seen[CALL_SYNCFS], 0);
}
END_TEST

/* Nobody knows what was made in it: all is looked at. */
START_TEST(found_folder_with_something_in_it)
{
	struct node *d = new_dir(root(), "d");
	drop(new_dir(d, "sub"));
	drop(new_special(d, "link", 'l'));
	drop(new_file(d, long_a));
	drop(new_file(d, "f"));
	scribble(d, "planted", "x", 1, 0);
	anew(_i == 1, _i > 0);
	if (_i == 2)
		atomic_store(&tree->nodes.forgot, true);
	d = look(root(), "d");
	struct node *sub = look(d, "sub");
	ck_assert_int_eq(sync_folder(d), 0);
	ck_assert(id_synced(sub) && thing_synced(d, "link") && sidecar_synced(d, long_a) && !thing_synced(d, "f"));
	ck_assert(id_synced(d) && folder_synced(d) && folder_synced(root()) && !was_synced(d, "planted", SEEN_MAX));
	watch();
	ck_assert_int_eq(sync_folder(d), 0);
	ck_assert_uint_eq(n_synced, 1);
	/* on a disk of this machine a mount that ended well has left nothing to look for */
	anew(false, true);
	d = look(root(), "d");
	ck_assert_int_eq(sync_folder(d), 0);
	ck_assert(!thing_synced(d, "link") && id_synced(d) && folder_synced(d));
}
END_TEST

START_TEST(more_than_is_noted)
{
	struct node *d = new_dir(root(), "d");
	char name[32];
	tree->nodes.names_follow = _i;
	for (unsigned i = 0; i <= OWED_MAX; i++) {
		snprintf(name, sizeof(name), "%u", i);
		ck_assert_int_eq(try_special(d, name, 'p'), 0);
	}
	watch();
	ck_assert_int_eq(sync_folder(d), 0);
	ck_assert_uint_eq(fault_seen[CALL_SYNCFS], _i);
	for (unsigned i = 0; i <= OWED_MAX && !_i; i++) {
		snprintf(name, sizeof(name), "%u", i);
		ck_assert(thing_synced(d, name));
	}
	/* a folder that is forgotten with what it owes */
	ck_assert_int_eq(try_special(d, "one", 'p'), 0);
	ck_assert(!atomic_load(&tree->nodes.forgot));
	drop(d);
	ck_assert(atomic_load(&tree->nodes.forgot));
	d = look(root(), "d");
	watch();
	ck_assert_int_eq(sync_folder(d), 0);
	ck_assert(_i ? fault_seen[CALL_SYNCFS] == 1 : thing_synced(d, "one"));
}
END_TEST

START_TEST(folder_syncs_that_fail)
{
	struct node *d = new_dir(root(), "d");
	tree->nodes.names_follow = _i;
	for (unsigned skip = 0; skip < 6; skip++) {
		char name[32];
		for (unsigned i = 0; i < 6; i++) {
			snprintf(name, sizeof(name), "%u.%u", skip, i);
			ck_assert_int_eq(try_special(d, name, 'p'), 0);
		}
		watch();
		faults[0] = (struct fault){CALL_FSYNC, NULL, EIO, _i ? 0 : (int)skip, 1};
		faults[1] = (struct fault){CALL_SYNCFS, NULL, EIO, 0, _i};
		ck_assert_int_eq(sync_folder(d), -EIO);
		watch();
		ck_assert_int_eq(sync_folder(d), 0);
		for (unsigned i = 0; i < 6 && !_i; i++) {
			snprintf(name, sizeof(name), "%u.%u", skip, i);
			ck_assert(thing_synced(d, name));
		}
		ck_assert_uint_eq(fault_seen[CALL_SYNCFS], _i);
	}
}
END_TEST

/* ---- what is durable comes to no place that is not ---- */

static int move(struct node *from, const char *name, struct node *to, const char *new, unsigned flags)
{
	watch();
	return obj_rename(tree, at(from, name), at(to, new), flags, &nobody);
}

/* All that NAME in DIR needs had been synced when the first name was moved or removed. */
static bool kept_before(struct node *dir, const char *name)
{
	const struct disk_name dn = disk_of(dir, name);

	return n_before > 0 && was_synced(dir, DIRID_NAME, n_before - 1) && was_synced(dir, ".", n_before - 1) &&
	       (!dn.sidecar[0] || was_synced(dir, dn.sidecar, n_before - 1)) && node_way_durable(&tree->nodes, dir);
}

START_TEST(rename_into_a_new_folder)
{
	struct node *f = new_file(root(), "f"), *d = new_dir(root(), "d"), *e = new_dir(root(), "e");
	tree->nodes.names_follow = _i;
	ck_assert_int_eq(move(root(), "f", d, "fresh", OBJ_NO_WAIT), 0);
	ck_assert_uint_eq(n_synced, 0); /* nobody was told that it is safe */
	ck_assert_int_eq(move(d, "fresh", root(), "f", 0), 0);
	ck_assert_int_eq(obj_sync_up(tree, f), 0);
	char *was = snap();
	ck_assert_int_eq(move(root(), "f", d, long_a, OBJ_NO_WAIT), -EAGAIN);
	ck_assert_uint_eq(n_synced, 0);
	same_as(was);
	ck_assert_int_eq(move(root(), "f", d, long_a, 0), 0);
	ck_assert(kept_before(d, long_a));
	ck_assert_uint_eq(fault_seen[CALL_SYNCFS], 0);
	/* a folder with something durable in it, under a name that is no longer its first */
	ck_assert_int_eq(obj_sync_up(tree, d), 0);
	ck_assert_int_eq(move(root(), "d", e, "d", 0), 0);
	ck_assert(kept_before(e, "d"));
	watch();
	ck_assert_int_eq(obj_sync_up(tree, f), 0);
	ck_assert_int_eq(folder_synced(e), _i); /* synced with the rename, where an entry does not follow */
	ck_assert_int_eq(move(e, "d", root(), "d", OBJ_NO_WAIT), _i ? 0 : -EAGAIN);
}
END_TEST

START_TEST(rename_that_cannot_keep)
{
	struct node *f = new_file(root(), "f"), *d = new_dir(root(), "d");
	ck_assert_int_eq(obj_sync_up(tree, f), 0);
	char *was = snap();
	for (int skip = 0; skip < 4; skip++) {
		watch();
		faults[0] = (struct fault){CALL_FSYNC, NULL, EIO, skip, 1};
		atomic_store(&d->id_durable, false);
		atomic_store(&root()->entries_durable, 0);
		ck_assert_int_eq(obj_rename(tree, at(root(), "f"), at(d, long_a), 0, &nobody), -EIO);
	}
	same_as(was);
	/* done, but perhaps not for good: the old sidecar stays */
	ck_assert_int_eq(move(root(), "f", root(), long_a, 0), 0);
	watch();
	faults[0] = (struct fault){CALL_FSYNC, NULL, EIO, 0, 1};
	ck_assert_int_eq(obj_rename(tree, at(root(), long_a), at(root(), "f"), 0, &nobody), 0);
	ck_assert(lies(root(), disk_of(root(), long_a).sidecar, NULL) && lies(root(), disk_of(root(), "f").name, NULL));
	ck_assert_int_eq(move(root(), "f", root(), long_a, 0), 0);
	ck_assert_int_eq(move(root(), long_a, root(), "f", 0), 0);
	ck_assert(folder_synced(root()) && !lies(root(), disk_of(root(), long_a).sidecar, NULL));
	ck_assert_int_eq(move(root(), "f", root(), "g", OBJ_NO_WAIT), 0);
	ck_assert_uint_eq(n_synced, 0); /* same folder, short names */
}
END_TEST

START_TEST(exchange_of_durable_things)
{
	struct node *d = new_dir(root(), "d"), *e = new_dir(root(), "e"), *f = new_file(d, "f"), *g = new_file(e, "g");
	tree->nodes.names_follow = _i;
	ck_assert_int_eq(obj_sync_up(tree, f), 0);
	ck_assert_int_eq(move(d, "f", e, "g", RENAME_EXCHANGE | OBJ_NO_WAIT), -EAGAIN);
	ck_assert_int_eq(move(d, "f", e, "g", RENAME_EXCHANGE), 0);
	ck_assert(was_synced(e, DIRID_NAME, n_before - 1));
	/* now g is in d and f in e, both folders durable; g is fresh still */
	atomic_store(&d->id_durable, false);
	ck_assert_int_eq(move(d, "f", e, "g", RENAME_EXCHANGE), 0);
	ck_assert(was_synced(d, DIRID_NAME, n_before - 1));
	(void)g;
}
END_TEST

START_TEST(special_objects_and_folders_move)
{
	struct node *d = new_dir(root(), "d");
	drop(new_special(root(), "link", 'l'));
	struct node *sub = new_dir(root(), "sub");
	ck_assert_int_eq(sync_folder(d), 0);
	struct node *link = look(root(), "link");
	ck_assert_int_eq(move(root(), "link", d, "link", 0), 0);
	ck_assert_int_eq(move(root(), "sub", d, "sub", 0), 0);
	watch();
	ck_assert_int_eq(sync_folder(d), 0);
	ck_assert(thing_synced(d, "link") && id_synced(sub));
	(void)link;
}
END_TEST

START_TEST(last_durable_name_goes)
{
	struct node *f = new_file(root(), "f"), *d = new_dir(root(), "d"), *g = new_file(root(), "g");
	struct stat st;
	tree->nodes.names_follow = _i;
	ck_assert_int_eq(obj_sync_up(tree, f), 0);
	ck_assert_int_eq(obj_link(tree, f, at(d, long_a), &st), 0);
	watch();
	if (_i & 1)
		ck_assert_int_eq(obj_unlink(tree, at(root(), "f"), false), -EAGAIN);
	else
		ck_assert_int_eq(move(root(), "g", root(), "f", OBJ_NO_WAIT), -EAGAIN);
	ck_assert_uint_eq(n_synced, 0);
	if (_i & 1)
		ck_assert_int_eq(obj_unlink(tree, at(root(), "f"), true), 0);
	else
		ck_assert_int_eq(move(root(), "g", root(), "f", 0), 0);
	ck_assert(kept_before(d, long_a));
	/* now nothing has to be waited for */
	ck_assert_int_eq(obj_link(tree, f, at(root(), "f2"), &st), 0);
	ck_assert_int_eq(obj_unlink(tree, at(root(), "f2"), false), 0);
	(void)g;
}
END_TEST

static Suite *make_suite(void)
{
	Suite *suite = suite_create("object_sync");
	TCase *up = tcase_create("up"), *folder = tcase_create("folder"), *moved = tcase_create("moved");
	TCase *const all[] = {up, folder, moved};
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		tcase_add_checked_fixture(all[i], setup_sync, teardown);
		tcase_set_timeout(all[i], 60);
		suite_add_tcase(suite, all[i]);
	}
	tcase_add_loop_test(up, new_folders, 0, 2);
	tcase_add_loop_test(up, found_folders, 0, 2);
	tcase_add_loop_test(up, long_names, 0, 2);
	tcase_add_loop_test(up, all_names_of_a_file, 0, 2);
	tcase_add_test(up, syncs_that_fail);
	tcase_add_test(up, nothing_to_be_found_by);
	tcase_add_test(up, folders_without_fsync);
	tcase_add_loop_test(up, new_id_after_a_crash, 0, 2);
	tcase_add_test(up, plain_users_folders);
	tcase_add_test(folder, id_before_its_folder);
	tcase_add_loop_test(folder, what_was_made_in_a_folder, 0, 2);
	tcase_add_loop_test(folder, found_folder_with_something_in_it, 0, 3);
	tcase_add_loop_test(folder, more_than_is_noted, 0, 2);
	tcase_add_loop_test(folder, folder_syncs_that_fail, 0, 2);
	tcase_add_loop_test(moved, rename_into_a_new_folder, 0, 2);
	tcase_add_test(moved, rename_that_cannot_keep);
	tcase_add_loop_test(moved, exchange_of_durable_things, 0, 2);
	tcase_add_test(moved, special_objects_and_folders_move);
	tcase_add_loop_test(moved, last_durable_name_goes, 0, 2);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(make_suite());
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
