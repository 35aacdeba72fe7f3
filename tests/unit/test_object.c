/* SPDX-License-Identifier: BSD-2-Clause */
/* Objects by name: making, looking up, links, attributes, directory ids, and what a locked gate leaves of them. */
#include "tree_rig.h"

#include <pthread.h>

#include "fs/tree/object_own.h"

/* ---- files ---- */

START_TEST(tree_is_of_its_store)
{
	ck_assert_int_eq(tree->names, NAMES_SIV);
	ck_assert_ptr_eq(tree->env.gate, rig.gate);
	ck_assert_uint_eq(tree->env.layout.block_len, RIG_BLOCK);
	ck_assert(!tree->env.unclean && !tree->env.read_only);
	tree_fresh(true, true);
	ck_assert(tree->env.unclean && tree->env.read_only);
	struct stat st = attr(root());
	ck_assert(S_ISDIR(st.st_mode));
	struct store gone = {.data_fd = -1, .keyring = rig.store->keyring};
	struct tree *t = calloc(1, sizeof(*t));
	ck_assert_int_eq(tree_init(t, &gone, rig.gate, false, tree_said), -EIO);
	free(t);
}
END_TEST

START_TEST(file_is_made_and_found)
{
	const struct make m = making(root(), "letter", 0666);
	struct node *n, *again;
	struct stat st, on_disk;
	ck_assert_int_eq(try_look(root(), "letter"), -ENOENT);
	ck_assert_int_eq(obj_create(tree, &m, &n, &st, NULL), 0);
	ck_assert_int_eq(st.st_mode, S_IFREG | 0644);
	ck_assert_int_eq(st.st_size, 0);
	ck_assert_int_eq(st.st_blksize, 4096);
	ck_assert_uint_eq(tree->nodes.known, 2);
	again = look(root(), "letter");
	ck_assert_ptr_eq(again, n);
	ck_assert_uint_eq(n->nlookup, 2);
	struct disk_name dn = disk_of(root(), "letter");
	ck_assert_str_ne(dn.name, "letter");
	ck_assert(lies(root(), dn.name, &on_disk));
	ck_assert_uint_eq(on_disk.st_ino, st.st_ino);
	ck_assert_int_eq(on_disk.st_size, HEADER_LEN_STORE + FINAL_OVERHEAD);
	ck_assert_int_eq(on_disk.st_mtim.tv_nsec, st.st_mtim.tv_nsec);
	whole(root(), "letter");
	node_forget(&tree->nodes, n, 2);
	ck_assert_uint_eq(tree->nodes.known, 1);
	ck_assert_uint_eq(tree->nodes.n_nodes, 1);
}
END_TEST

START_TEST(file_is_made_open)
{
	const struct make m = making(root(), "f", 0600);
	uint8_t plain[10000];
	struct file_work work;
	struct file *f;
	struct node *n;
	struct stat st;
	rig_pattern(plain, sizeof(plain));
	ck_assert_int_eq(file_work_init(&work, &tree->env.layout, calloc(1, rig.store->slot_len)), 0);
	ck_assert_int_eq(obj_create(tree, &m, &n, &st, &f), 0);
	const struct file_write w = {.plain = plain, .len = sizeof(plain), .use = GATE_USE_NEW};
	ck_assert_int_eq(file_write(f, &work, &w), 0);
	ck_assert_int_eq(attr(n).st_size, sizeof(plain)); /* what the open file says */
	file_close(f, true);
	ck_assert_ptr_null(n->file);
	ck_assert_int_eq(attr(n).st_size, sizeof(plain)); /* what the size on disk says */
	tree_fresh(false, false);
	n = look(root(), "f");
	ck_assert_int_eq(attr(n).st_size, sizeof(plain));
	const uint8_t *back;
	size_t len;
	ck_assert_int_eq(file_open(&tree->env, n, false, &work, &f), 0);
	ck_assert_int_eq(file_read(f, &work, 0, sizeof(plain), &back, &len), 0);
	ck_assert_uint_eq(len, sizeof(plain));
	ck_assert_int_eq(memcmp(back, plain, len), 0);
	file_close(f, false);
	free(work.slot);
	file_work_free(&work);
}
END_TEST

START_TEST(nothing_is_made_over_anything)
{
	const char *const name[] = {"short", long_of('x', 200)};
	node_forget(&tree->nodes, new_file(root(), name[0]), 1);
	node_forget(&tree->nodes, new_file(root(), name[1]), 1);
	struct node *other = new_file(root(), "other");
	char *was = snap();
	uint64_t known = tree->nodes.known;
	for (size_t i = 0; i < ARRAY_LEN(name); i++) {
		struct stat st;
		ck_assert_int_eq(try_file(root(), name[i]), -EEXIST);
		ck_assert_int_eq(try_dir(root(), name[i]), -EEXIST);
		ck_assert_int_eq(try_special(root(), name[i], 'p'), -EEXIST);
		ck_assert_int_eq(obj_link(tree, other, at(root(), name[i]), &st), -EEXIST);
		whole(root(), name[i]);
	}
	same_as(was);
	ck_assert_uint_eq(tree->nodes.known, known);
}
END_TEST

START_TEST(names_that_none_may_have)
{
	static const char *const bad[] = {"", ".", "..", "a/b"};
	struct node *n = new_file(root(), "n");
	char *was = snap();
	struct stat st;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		ck_assert_int_eq(try_file(root(), bad[i]), -EINVAL);
		ck_assert_int_eq(try_dir(root(), bad[i]), -EINVAL);
		ck_assert_int_eq(try_special(root(), bad[i], 's'), -EINVAL);
		ck_assert_int_eq(obj_link(tree, n, at(root(), bad[i]), &st), -EINVAL);
		ck_assert_int_eq(try_look(root(), bad[i]), -ENOENT);
	}
	const char *long_name = long_of('n', 256);
	ck_assert_int_eq(try_file(root(), long_name), -ENAMETOOLONG);
	ck_assert_int_eq(try_look(root(), long_name), -ENAMETOOLONG);
	ck_assert_int_eq(obj_rename(tree, at(root(), "n"), at(root(), long_name), 0, &nobody), -ENAMETOOLONG);
	ck_assert_int_eq(obj_unlink(tree, at(root(), long_name), true), -ENAMETOOLONG);
	same_as(was);
}
END_TEST

START_TEST(names_of_every_length)
{
	static const size_t lens[] = {1, 174, 175, 176, 177, 254, 255};
	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		const char *name = long_of('k', lens[i]);
		bool is_long = lens[i] > 175;
		ck_assert_int_eq(try_file(root(), name), 0);
		ck_assert_int_eq(disk_of(root(), name).sidecar[0] != '\0', is_long);
		whole(root(), name);
		ck_assert_int_eq(try_look(root(), name), 0);
	}
	ck_assert_uint_eq(count_names(root(), SIDECAR_PREFIX), 4);
	for (size_t i = 0; i < ARRAY_LEN(lens); i++)
		ck_assert_int_eq(obj_unlink(tree, at(root(), long_of('k', lens[i])), true), 0);
	ck_assert_uint_eq(count_names(root(), SIDECAR_PREFIX), 0);
	ck_assert_uint_eq(count_names(root(), LONG_PREFIX), 0);
}
END_TEST

START_TEST(plain_names)
{
	teardown();
	tree_start(NAMES_PLAIN);
	struct node *d = new_dir(root(), "folder");
	node_forget(&tree->nodes, new_file(d, long_of('p', 255)), 1);
	ck_assert_int_eq(try_special(d, "pipe", 'p'), 0);
	ck_assert(lies(root(), "folder", NULL));
	ck_assert(lies(d, long_of('p', 255), NULL));
	ck_assert_int_eq(try_look(d, "pipe"), 0);
	ck_assert_int_eq(try_file(d, OWN_PREFIX "mine"), -EINVAL);
	ck_assert_int_eq(try_look(d, DIRID_NAME), -ENOENT);
	ck_assert_int_eq(obj_unlink(tree, at(d, DIRID_NAME), true), -EINVAL);
	ck_assert_int_eq(obj_rename(tree, at(d, "pipe"), at(d, OWN_PREFIX "x"), 0, &nobody), -EINVAL);
	ck_assert_int_eq(obj_unlink(tree, at(d, "pipe"), true), 0);
	ck_assert_int_eq(obj_unlink(tree, at(d, long_of('p', 255)), true), 0);
	ck_assert_int_eq(obj_rmdir(tree, at(root(), "folder")), 0);
}
END_TEST

/* ---- special objects ---- */

static const struct {
	char kind;
	enum object_type type;
	mode_t mode;
} kinds[] = {{'l', OBJECT_SYMLINK, S_IFLNK | 0777},
	     {'p', OBJECT_FIFO, S_IFIFO | 0644},
	     {'s', OBJECT_SOCKET, S_IFSOCK | 0644},
	     {'c', OBJECT_CHAR, S_IFCHR | 0644},
	     {'b', OBJECT_BLOCK, S_IFBLK | 0644}};

START_TEST(special_objects)
{
	const struct make m = making_special(root(), "special", kinds[_i].kind);
	bool device = kinds[_i].kind == 'c' || kinds[_i].kind == 'b', link = kinds[_i].kind == 'l';
	struct node *n;
	struct stat st;
	ck_assert_int_eq(obj_special_new(tree, &m, &n, &st), 0);
	for (int round = 0; round < 3; round++) { /* new, asked again, of another mount */
		ck_assert_int_eq(n->type, (int)kinds[_i].type);
		ck_assert_uint_eq(st.st_mode, kinds[_i].mode);
		ck_assert_int_eq(st.st_size, link ? 6 : 0);
		ck_assert_int_eq(st.st_blocks, 0);
		ck_assert_uint_eq(st.st_rdev, device ? makedev(7, 300) : 0);
		if (round == 1) {
			tree_fresh(false, false);
			ck_assert_int_eq(obj_lookup(tree, at(root(), "special"), &n, &st), 0);
		} else {
			st = attr(n);
		}
	}
	struct special s;
	uint8_t id[ID_LEN];
	ck_assert_int_eq(obj_special(tree, n, &s), 0);
	ck_assert_int_eq(s.type, kinds[_i].type);
	ck_assert_str_eq(s.target_len ? s.target : "", link ? "target" : "");
	ck_assert_int_eq(obj_id(tree, n, id), 0);
	ck_assert_mem_eq(id, s.object_id, ID_LEN);
	struct disk_name dn = disk_of(root(), "special");
	ck_assert(lies(root(), dn.name, &st));
	ck_assert_int_eq(st.st_size, layout_special_size(&tree->env.layout, kinds[_i].type));
	ck_assert(S_ISREG(st.st_mode));
	ck_assert_int_eq(st.st_mode & 07777, link ? 0600 : 0644);
	ck_assert_uint_eq(count_names(root(), OWN_PREFIX "tmp."), 0);
	ck_assert_int_eq(obj_unlink(tree, at(root(), "special"), true), 0);
	nothing_of(root(), "special");
}
END_TEST

START_TEST(targets_of_every_length)
{
	static const size_t lens[] = {1, 59, 60, SPECIAL_TARGET_MAX};
	char target[SPECIAL_TARGET_MAX + 2];
	struct make m = making_special(root(), "", 'l');
	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		struct special s;
		struct stat st;
		struct node *n;
		memset(target, 't', lens[i]);
		target[lens[i]] = '\0';
		m.at.name = long_of('l', i + 1);
		m.target = target;
		ck_assert_int_eq(obj_special_new(tree, &m, &n, &st), 0);
		ck_assert_int_eq(st.st_size, (off_t)lens[i]);
		/* a fast link of ext4 has no block */
		ck_assert_int_eq(st.st_blocks == 0, lens[i] < 60);
		ck_assert_int_eq(obj_special(tree, n, &s), 0);
		ck_assert_str_eq(s.target, target);
	}
	char *was = snap();
	struct node *n;
	struct stat st;
	memset(target, 't', sizeof(target) - 1);
	target[sizeof(target) - 1] = '\0';
	m.at.name = long_of('l', 250);
	ck_assert_int_eq(obj_special_new(tree, &m, &n, &st), -ENAMETOOLONG);
	m.target = NULL;
	m.mode = S_IFDIR | 0755;
	ck_assert_int_eq(obj_special_new(tree, &m, &n, &st), -EINVAL);
	same_as(was); /* no sidecar either */
}
END_TEST

/* Bytes of the record that differ, or another kind's size: told, counted, and not known afterwards. */
START_TEST(special_record_that_does_not_authenticate)
{
	struct node *n = new_special(root(), "s", 'l');
	struct disk_name dn = disk_of(root(), "s");
	struct special s;
	struct stat st;
	if (_i == 0)
		scribble(root(), dn.name, "\xff\xfe", 2, 40);
	else
		truncate_disk(root(), dn.name, (off_t)layout_special_size(&tree->env.layout, OBJECT_FIFO));
	ck_assert_int_eq(obj_getattr(tree, n, &st), 0); /* known already */
	tree_fresh(false, false);
	ck_assert_int_eq(try_look(root(), "s"), -EIO);
	ck_assert_uint_eq(n_said, 1);
	ck_assert_ptr_nonnull(strstr(said, dn.name));
	ck_assert_ptr_nonnull(strstr(said, "EIO"));
	ck_assert_uint_eq(tree->env.corrupt, 1);
	ck_assert_uint_eq(tree->nodes.known, 1);
	ck_assert_uint_eq(tree->nodes.n_nodes, 1);
	/* known when it was damaged: readlink and a new name say so too, and count no look-up */
	ck_assert(lies(root(), dn.name, &st));
	const struct node_key key = {st.st_dev, st.st_ino, _i == 0 ? OBJECT_SYMLINK : OBJECT_FIFO};
	ck_assert_int_eq(node_lookup(&tree->nodes, &key, root(), dn.name, &n), 0);
	ck_assert_int_eq(obj_special(tree, n, &s), -EIO);
	ck_assert_int_eq(obj_link(tree, n, at(root(), "second"), &st), -EIO);
	ck_assert_uint_eq(n->nlookup, 1);
}
END_TEST

/* ---- what a store never holds, and what a crash leaves ---- */

static int look_disk(struct node *dir, const char *disk, struct stat *st)
{
	struct node *n = NULL;
	int r = obj_lookup_disk(tree, dir, disk, &n, st);
	ck_assert_int_eq(n != NULL, r == 0); /* a listing goes by it */
	if (!r)
		node_forget(&tree->nodes, n, 1);
	return r;
}

START_TEST(planted_things)
{
	struct disk_name dn = disk_of(root(), "planted");
	AUTO(auto_close) int fd = fd_of(root());
	struct stat st;
	ck_assert_int_eq(mkfifoat(fd, dn.name, 0644), 0);
	ck_assert_int_eq(try_look(root(), "planted"), -EIO);
	ck_assert_uint_eq(n_said, 1);
	ck_assert_int_eq(unlinkat(fd, dn.name, 0), 0);
	ck_assert_int_eq(symlinkat("/etc/passwd", fd, dn.name), 0);
	ck_assert_int_eq(look_disk(root(), dn.name, &st), -EIO);
	ck_assert_uint_eq(tree->env.corrupt, 2);
	ck_assert_int_eq(unlinkat(fd, dn.name, 0), 0);
	ck_assert_int_eq(look_disk(root(), dn.name, &st), -ENOENT);
	/* a folder with no id of ours, in a file's place */
	ck_assert_int_eq(mkdirat(fd, dn.name, 0755), 0);
	ck_assert_int_eq(try_look(root(), "planted"), -EIO);
	ck_assert_uint_eq(tree->env.corrupt, 3);
	ck_assert_int_eq(try_file(root(), "f"), 0);
	ck_assert_int_eq(try_look(root(), "f"), 0);
	ck_assert_uint_eq(tree->nodes.known, 1);
}
END_TEST

/* Shown as an empty file, so that it can be removed. */
START_TEST(stumps_and_impossible_sizes)
{
	static const off_t sizes[] = {0, 1, 100, HEADER_LEN_STORE, HEADER_LEN_STORE + FINAL_OVERHEAD - 1};
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct disk_name dn = disk_of(root(), "odd");
		struct stat st;
		struct node *n;
		uint8_t id[ID_LEN];
		truncate_disk(root(), dn.name, sizes[i]);
		ck_assert_int_eq(obj_lookup(tree, at(root(), "odd"), &n, &st), 0);
		ck_assert_int_eq(n->type, OBJECT_FILE);
		ck_assert(S_ISREG(st.st_mode));
		ck_assert_int_eq(st.st_size, 0);
		if (sizes[i] < 24)
			ck_assert_int_eq(obj_id(tree, n, id), -EIO);
		node_forget(&tree->nodes, n, 1);
		ck_assert_int_eq(obj_unlink(tree, at(root(), "odd"), true), 0);
	}
}
END_TEST

START_TEST(attributes_of_another_kind)
{
	struct node *f = new_file(root(), "f"), *d = new_dir(root(), "d");
	struct stat file = attr(f), folder = attr(d), fifo = {.st_mode = S_IFIFO | 0644};
	int type;
	ck_assert_int_eq(obj_attr(tree, f, &folder), -EIO);
	ck_assert_int_eq(obj_attr(tree, d, &file), -EIO);
	ck_assert_int_eq(obj_attr(tree, f, &fifo), -EIO);
	ck_assert_int_eq(obj_type(tree, &fifo, &type), -EIO);
	ck_assert_int_eq(obj_type(tree, &folder, &type), 0);
	ck_assert_int_eq(type, OBJECT_DIR);
	file.st_size = (off_t)layout_special_size(&tree->env.layout, OBJECT_BLOCK);
	ck_assert_int_eq(obj_type(tree, &file, &type), 0);
	ck_assert_int_eq(type, OBJECT_BLOCK);
	/* its size on disk has become another kind's behind our back */
	ck_assert_int_eq(obj_attr(tree, f, &file), 0);
	ck_assert_int_eq(file.st_size, 0);
	ck_assert(S_ISREG(file.st_mode));
}
END_TEST

START_TEST(times_are_the_backings)
{
	struct node *f = new_file(root(), "f");
	struct disk_name dn = disk_of(root(), "f");
	AUTO(auto_close) int fd = fd_of(root());
	const struct timespec times[2] = {{1000000000, 5}, {1234567890, 987654321}};
	ck_assert_int_eq(utimensat(fd, dn.name, times, 0), 0);
	struct stat st = attr(f);
	ck_assert_int_eq(st.st_atim.tv_sec, 1000000000);
	ck_assert_int_eq(st.st_mtim.tv_sec, 1234567890);
	ck_assert_int_eq(st.st_mtim.tv_nsec, 987654321);
}
END_TEST

static void remove_on_disk(struct node *dir, const char *disk, bool folder)
{
	AUTO(auto_close) int fd = fd_of(dir);
	ck_assert_int_eq(unlinkat(fd, disk, folder ? AT_REMOVEDIR : 0), 0);
}

/* Taken away behind our back: an error for whoever asks, and nothing is taken for it. */
START_TEST(objects_that_are_gone)
{
	ck_assert_int_eq(try_special(root(), "s", 'l'), 0);
	struct disk_name s = disk_of(root(), "s"), f = disk_of(root(), "f"), d = disk_of(root(), "d");
	remove_on_disk(new_dir(root(), "d"), DIRID_NAME, false);
	ck_assert_int_eq(try_file(root(), "f"), 0);
	tree_fresh(true, false);
	struct node *folder = look(root(), "d"), *file = look(root(), "f"), *link = look(root(), "s"), *out;
	/* held, or the next object may get its inode number, and be it */
	AUTO(auto_close) int held = openat(rig.store->data_fd, f.name, O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(held, 0);
	remove_on_disk(root(), d.name, true);
	remove_on_disk(root(), f.name, false);
	remove_on_disk(root(), s.name, false);
	truncate_disk(root(), f.name, 100); /* another object under the name */
	char *was = snap();
	struct special special;
	struct stat st;
	uint8_t id[ID_LEN];
	ck_assert_int_eq(obj_dir_id(tree, folder, id), -ESTALE);
	ck_assert_int_eq(obj_lookup_disk(tree, folder, "x", &out, &st), -ESTALE);
	ck_assert_int_eq(try_file(folder, "x"), -ESTALE);
	obj_cache_id(folder, rig.root_id); /* as if it had been read before */
	ck_assert_int_eq(try_dir(folder, "x"), -ESTALE);
	ck_assert_int_eq(obj_unlink(tree, at(folder, "x"), true), -ESTALE);
	ck_assert_int_eq(obj_rmdir(tree, at(folder, "x")), -ESTALE);
	ck_assert_int_eq(obj_rename(tree, at(root(), "f"), at(folder, "x"), 0, &nobody), -ESTALE);
	ck_assert_int_eq(obj_id(tree, file, id), -ESTALE);
	ck_assert_int_eq(obj_getattr(tree, file, &st), -ESTALE);
	ck_assert_int_eq(obj_link(tree, file, at(root(), long_of('l', 200)), &st), -ESTALE);
	ck_assert_int_eq(obj_special(tree, link, &special), -ESTALE);
	atomic_store(&folder->id_durable, false);
	const struct node_key key = {1, 1, OBJECT_FILE};
	ck_assert_int_eq(node_lookup(&tree->nodes, &key, folder, "x", &out), 0);
	ck_assert_int_eq(obj_sync_up(tree, out), -ESTALE);
	same_as(was);
}
END_TEST

/* ---- directory ids ---- */

static void id_on_disk(struct node *dir, uint8_t id[ID_LEN])
{
	AUTO(auto_close) int dir_fd = fd_of(dir);
	AUTO(auto_close) int fd = openat(dir_fd, DIRID_NAME, O_RDONLY | O_CLOEXEC);
	uint8_t file[DIRID_LEN + 1];
	const struct store_keys *keys;
	ssize_t len = pread(fd, file, sizeof(file), 0);
	ck_assert_int_eq(len, DIRID_LEN);
	ck_assert_int_eq(gate_enter(rig.gate, GATE_USE_NEW, &keys), 0);
	ck_assert_int_eq(dirid_parse(keys, file, (size_t)len, id), 0);
	gate_leave(rig.gate);
}

START_TEST(folder_has_an_id)
{
	const struct make m = making(root(), "d", 0777);
	uint8_t id[ID_LEN], other[ID_LEN], disk[ID_LEN];
	struct node *d;
	struct stat st;
	ck_assert_int_eq(obj_mkdir(tree, &m, &d, &st), 0);
	ck_assert_uint_eq(st.st_mode, S_IFDIR | 0755);
	ck_assert_int_eq(d->type, OBJECT_DIR);
	ck_assert_int_eq(obj_dir_id(tree, d, id), 0);
	id_on_disk(d, disk);
	ck_assert_mem_eq(id, disk, ID_LEN);
	ck_assert_int_eq(obj_dir_id(tree, new_dir(root(), "e"), other), 0);
	ck_assert_mem_ne(id, other, ID_LEN);
	ck_assert_int_eq(obj_dir_id(tree, root(), other), 0);
	ck_assert_mem_eq(other, rig.root_id, ID_LEN);
	/* one name, two folders, two names on disk */
	ck_assert_str_ne(disk_of(d, "x").name, disk_of(root(), "x").name);
	tree_fresh(false, false);
	ck_assert_int_eq(obj_id(tree, look(root(), "d"), id), 0);
	ck_assert_mem_eq(id, disk, ID_LEN);
}
END_TEST

static void remove_id(struct node *dir)
{
	AUTO(auto_close) int fd = fd_of(dir);
	ck_assert_int_eq(unlinkat(fd, DIRID_NAME, 0), 0);
}

START_TEST(id_is_remembered)
{
	struct node *d = new_dir(root(), "d");
	uint8_t id[ID_LEN];
	remove_id(d);
	ck_assert_int_eq(obj_dir_id(tree, d, id), 0);
	ck_assert_int_eq(try_file(d, "f"), 0);
	tree_fresh(false, false);
	ck_assert_int_eq(try_look(root(), "d"), -EIO);
}
END_TEST

/* A crash has cut a mkdir off: no id, or an empty file. */
START_TEST(missing_id_is_made_after_a_crash)
{
	fault_fs_type = FUSE_SUPER_MAGIC; /* where an id cannot be known without its file */
	struct node *d = new_dir(root(), "d");
	uint8_t id[ID_LEN], disk[ID_LEN], was[ID_LEN];
	ck_assert_int_eq(obj_dir_id(tree, d, was), 0);
	if (_i == 0)
		remove_id(d);
	else
		truncate_disk(d, DIRID_NAME, 0);
	tree_fresh(false, false); /* but there was none */
	ck_assert_int_eq(try_look(root(), "d"), -EIO);
	ck_assert_uint_eq(n_said, 1);
	ck_assert_uint_eq(tree->nodes.known, 1);
	tree_fresh(true, true); /* nothing is made by a mount that only reads */
	d = look(root(), "d");
	ck_assert_int_eq(obj_dir_id(tree, d, id), -EIO);
	ck_assert_int_eq(try_look(d, "f"), -EIO);
	tree_fresh(true, false);
	d = look(root(), "d");
	ck_assert_uint_eq(n_said, 0);
	ck_assert_int_eq(obj_dir_id(tree, d, id), 0);
	id_on_disk(d, disk);
	ck_assert_mem_eq(id, disk, ID_LEN);
	ck_assert_mem_ne(id, was, ID_LEN);
	ck_assert_int_eq(try_file(d, "f"), 0);
	whole(d, "f");
}
END_TEST

/* On a disk of this machine the id follows from the folder's inode, and a name in it proves that. */
START_TEST(missing_id_is_recalled)
{
	static const uint8_t zeros[DIRID_LEN];
	const char *name = _i & 1 ? long_of('n', 200) : "f";
	uint8_t id[ID_LEN], was[ID_LEN];
	fault_fs_type = EXT4_SUPER_MAGIC;
	struct node *d = new_dir(root(), "d");
	ck_assert_int_eq(obj_dir_id(tree, d, was), 0);
	if (_i & 8)
		scribble(d, "planted", "x", 1, 0);
	ck_assert_int_eq(try_file(d, name), 0);
	if ((_i & 6) == 0)
		remove_id(d);
	else if ((_i & 6) == 2)
		truncate_disk(d, DIRID_NAME, 0);
	else
		scribble(d, DIRID_NAME, zeros, sizeof(zeros), 0);
	tree_fresh(false, false); /* but there was no crash */
	ck_assert_int_eq(try_look(root(), "d"), -EIO);
	tree_fresh(true, true);
	char *disk = snap();
	d = look(root(), "d");
	ck_assert_int_eq(obj_dir_id(tree, d, id), 0);
	ck_assert_mem_eq(id, was, ID_LEN);
	ck_assert_int_eq(try_look(d, name), 0);
	same_as(disk); /* a mount that only reads */
	tree_fresh(true, false);
	d = look(root(), "d");
	ck_assert_int_eq(try_look(d, name), 0);
	ck_assert(!atomic_load(&d->id_durable));
	tree_fresh(false, false);
	d = look(root(), "d");
	ck_assert_int_eq(try_look(d, name), 0);
	/* names of another folder prove nothing */
	AUTO(auto_close) int fd = fd_of(d);
	struct node *e = new_dir(root(), "e");
	AUTO(auto_close) int to = fd_of(e);
	ck_assert_int_eq(renameat(fd, disk_of(d, name).name, to, disk_of(d, name).name), 0);
	if (_i & 1)
		ck_assert_int_eq(renameat(fd, disk_of(d, name).sidecar, to, disk_of(d, name).sidecar), 0);
	remove_id(e);
	tree_fresh(true, false);
	ck_assert_int_eq(obj_dir_id(tree, look(root(), "e"), id), -EIO);
}
END_TEST

/* A name came to the disk, and its sidecar's bytes did not: who looks for it brings them back. */
START_TEST(sidecar_after_a_crash)
{
	const char *name = long_of('n', 200);
	struct stat st;
	ck_assert_int_eq(try_file(root(), name), 0);
	struct disk_name dn = disk_of(root(), name);
	if (_i == 0)
		truncate_disk(root(), dn.sidecar, 0);
	else
		remove_on_disk(root(), dn.sidecar, false);
	tree_fresh(false, false);
	ck_assert_int_eq(try_look(root(), name), 0);
	ck_assert(!lies(root(), dn.sidecar, &st) || st.st_size == 0);
	tree_fresh(true, false);
	ck_assert_int_eq(try_look(root(), name), 0);
	whole(root(), name);
	ck_assert(lies(root(), dn.sidecar, &st) && st.st_size == (off_t)dn.sidecar_len);
}
END_TEST

START_TEST(missing_id_is_not_made_over_names)
{
	fault_fs_type = FUSE_SUPER_MAGIC;
	struct node *d = new_dir(root(), "d");
	uint8_t id[ID_LEN];
	ck_assert_int_eq(try_file(d, "f"), 0);
	remove_id(d);
	tree_fresh(true, false);
	d = look(root(), "d");
	ck_assert_int_eq(obj_dir_id(tree, d, id), -EIO);
	ck_assert_int_eq(try_file(d, "g"), -EIO);
	ck_assert_uint_eq(n_said, 2);
	ck_assert_uint_eq(count_names(d, OWN_PREFIX), 0);
	tree_fresh(false, false);
	ck_assert_int_eq(try_look(root(), "d"), -EIO);
}
END_TEST

START_TEST(id_that_does_not_authenticate)
{
	struct node *d = new_dir(root(), "d");
	AUTO(auto_close) int fd = fd_of(d);
	if (_i == 0)
		scribble(d, DIRID_NAME, "\xff\xfe\xfd", 3, 20);
	else if (_i == 1)
		truncate_disk(d, DIRID_NAME, DIRID_LEN - 1);
	else if (_i == 2)
		truncate_disk(d, DIRID_NAME, 5000);
	else
		remove_id(d);
	if (_i == 3)
		ck_assert_int_eq(mkfifoat(fd, DIRID_NAME, 0600), 0);
	for (int unclean = 0; unclean < 2; unclean++) {
		uint8_t id[ID_LEN];
		tree_fresh(unclean, false);
		ck_assert_int_eq(try_look(root(), "d"), unclean ? 0 : -EIO);
		if (!unclean)
			continue;
		ck_assert_int_eq(obj_dir_id(tree, look(root(), "d"), id), -EIO);
		ck_assert_uint_eq(tree->env.corrupt, 1);
	}
}
END_TEST

START_TEST(id_goes_where_the_folder_goes)
{
	struct node *a = new_dir(root(), "a"), *b = new_dir(root(), "b");
	uint8_t id[ID_LEN], moved[ID_LEN];
	ck_assert_int_eq(try_file(a, "f"), 0);
	ck_assert_int_eq(obj_dir_id(tree, a, id), 0);
	ck_assert_int_eq(obj_rename(tree, at(root(), "a"), at(b, "c"), 0, &nobody), 0);
	tree_fresh(false, false);
	b = look(root(), "b");
	a = look(b, "c");
	ck_assert_int_eq(obj_dir_id(tree, a, moved), 0);
	ck_assert_mem_eq(id, moved, ID_LEN);
	ck_assert_int_eq(try_look(a, "f"), 0);
	whole(a, "f");
}
END_TEST

/* What somebody moves from folder to folder on disk has no name there. */
START_TEST(names_of_another_folder)
{
	struct node *a = new_dir(root(), "a"), *b = new_dir(root(), "b");
	const char *const names[] = {"f", long_of('f', 200)};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char plain[NAME_LEN_MAX + 1];
		ck_assert_int_eq(try_file(a, names[i]), 0);
		struct disk_name dn = disk_of(a, names[i]);
		AUTO(auto_close) int from = fd_of(a);
		AUTO(auto_close) int to = fd_of(b);
		ck_assert_int_eq(renameat(from, dn.name, to, dn.name), 0);
		if (dn.sidecar[0])
			ck_assert_int_eq(renameat(from, dn.sidecar, to, dn.sidecar), 0);
		ck_assert_int_eq(decode(b, dn.name, plain), -EBADMSG);
		ck_assert_int_eq(try_look(b, names[i]), -ENOENT);
		ck_assert_int_eq(try_look(a, names[i]), -ENOENT);
		ck_assert_int_eq(obj_unlink(tree, at(b, names[i]), true), -ENOENT);
	}
}
END_TEST

static struct node *wanted;

static void *ask_for_id(void *id)
{
	ck_assert_int_eq(obj_dir_id(tree, wanted, id), 0);
	return NULL;
}

/* Those who find none at the same time must not each make one. */
START_TEST(one_id_for_all_who_ask)
{
	enum { ASKING = 8 };
	static uint8_t ids[ASKING][ID_LEN];
	pthread_t thread[ASKING];
	uint8_t disk[ID_LEN];
	remove_id(new_dir(root(), "d"));
	tree_fresh(true, false);
	wanted = look(root(), "d");
	for (int i = 0; i < ASKING; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, ask_for_id, ids[i]), 0);
	for (int i = 0; i < ASKING; i++)
		ck_assert_int_eq(pthread_join(thread[i], NULL), 0);
	id_on_disk(wanted, disk);
	for (int i = 0; i < ASKING; i++)
		ck_assert_mem_eq(ids[i], disk, ID_LEN);
}
END_TEST

START_TEST(ids_of_files)
{
	struct node *f = new_file(root(), "f");
	struct disk_name dn = disk_of(root(), "f");
	AUTO(auto_close) int fd = fd_of(root());
	AUTO(auto_close) int file = openat(fd, dn.name, O_RDONLY | O_CLOEXEC);
	uint8_t header[HEADER_LEN_STORE], id[ID_LEN];
	struct header h;
	ck_assert_int_eq(store_pread_full(file, header, sizeof(header), 0), 0);
	ck_assert_int_eq(header_parse(header, sizeof(header), &h), 0);
	ck_assert_int_eq(obj_id(tree, f, id), 0); /* from the making */
	ck_assert_mem_eq(id, h.file_id, ID_LEN);
	tree_fresh(false, false);
	f = look(root(), "f");
	for (int i = 0; i < 2; i++) { /* from disk, then remembered */
		memset(id, 0, sizeof(id));
		ck_assert_int_eq(obj_id(tree, f, id), 0);
		ck_assert_mem_eq(id, h.file_id, ID_LEN);
		truncate_disk(root(), dn.name, 0);
	}
}
END_TEST

/* ---- further names ---- */

START_TEST(links)
{
	struct node *d = new_dir(root(), "d"), *f = new_file(root(), "f"), *s = new_special(root(), "s", 'l');
	struct stat st;
	ck_assert_int_eq(obj_link(tree, f, at(d, long_of('g', 190)), &st), 0);
	ck_assert_uint_eq(st.st_nlink, 2);
	ck_assert_int_eq(st.st_size, 0);
	ck_assert_uint_eq(f->nlookup, 2); /* the reply counts one */
	ck_assert_ptr_eq(look(d, long_of('g', 190)), f);
	whole(d, long_of('g', 190));
	ck_assert_int_eq(obj_link(tree, s, at(d, "t"), &st), 0);
	ck_assert(S_ISLNK(st.st_mode));
	ck_assert_int_eq(st.st_size, 6);
	/* found by the second name when the first is gone */
	ck_assert_int_eq(obj_unlink(tree, at(root(), "f"), true), 0);
	ck_assert_int_lt(f->orphan_fd, 0);
	ck_assert_uint_eq(attr(f).st_nlink, 1);
	/* folders have one name */
	char *was = snap();
	ck_assert_int_eq(obj_link(tree, d, at(root(), long_of('h', 200)), &st), -EPERM);
	same_as(was);
	/* what has no name gets none again */
	ck_assert_int_eq(obj_unlink(tree, at(d, long_of('g', 190)), true), 0);
	was = snap();
	ck_assert_int_eq(obj_link(tree, f, at(d, long_of('i', 200)), &st), -ENOENT);
	same_as(was);
	ck_assert_uint_eq(f->nlookup, 3);
	ck_assert_uint_eq(attr(f).st_nlink, 0);
}
END_TEST

/* ---- modes and owners ---- */

static const uint8_t acl[] = {2,    0, 0, 0,                          /* version */
			      1,    0, 7, 0, 0xff, 0xff, 0xff, 0xff,  /* owner rwx */
			      4,    0, 7, 0, 0xff, 0xff, 0xff, 0xff,  /* group rwx */
			      0x20, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}; /* others none */

static mode_t made_mode(struct node *dir, mode_t mode)
{
	struct make m = making(dir, "made", mode);
	struct node *n;
	struct stat st;
	m.cred.umask = 027;
	ck_assert_int_eq(obj_create(tree, &m, &n, &st, NULL), 0);
	node_forget(&tree->nodes, n, 1);
	ck_assert_int_eq(obj_unlink(tree, at(dir, "made"), true), 0);
	return st.st_mode & 07777;
}

START_TEST(umask_or_default_acl)
{
	struct node *d = new_dir(root(), "d");
	struct disk_name dn = disk_of(root(), "d");
	char path[512];
	ck_assert_uint_eq(made_mode(d, 0666), 0640);
	ck_assert_int_eq(d->default_acl, NODE_HAS_NONE);
	snprintf(path, sizeof(path), "%s/data/%s", rig.path, dn.name);
	ck_assert_int_eq(setxattr(path, "system.posix_acl_default", acl, sizeof(acl), 0), 0);
	ck_assert_uint_eq(made_mode(d, 0666), 0640); /* remembered: it can change through the mount only */
	atomic_store(&d->default_acl, NODE_HAS_UNKNOWN);
	ck_assert_uint_eq(made_mode(d, 0666), 0660);
	ck_assert_uint_eq(made_mode(d, 0604), 0600);
	ck_assert_int_eq(d->default_acl, NODE_HAS_SOME);
	const struct make m = making(d, "sub", 0777);
	struct node *sub;
	struct stat st;
	ck_assert_int_eq(obj_mkdir(tree, &m, &sub, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0770);
	ck_assert_uint_eq(made_mode(sub, 0666), 0660); /* inherited */
	struct make p = making_special(d, "pipe", 'p');
	struct node *n;
	p.mode = S_IFIFO | 0666;
	ck_assert_int_eq(obj_special_new(tree, &p, &n, &st), 0);
	ck_assert_uint_eq(st.st_mode, S_IFIFO | 0660);
}
END_TEST

/* Root gives to whoever asked. */
START_TEST(owner_is_who_asked)
{
	struct make m = making(root(), "f", 06755);
	struct node *n, *d;
	struct stat st;
	if (geteuid() != 0)
		return;
	m.cred = (struct cred){1234, 4321, 022};
	ck_assert_int_eq(obj_create(tree, &m, &n, &st, NULL), 0);
	ck_assert_uint_eq(st.st_uid, 1234);
	ck_assert_uint_eq(st.st_gid, 4321);
	ck_assert_uint_eq(st.st_mode & 07777, 06755); /* chown takes these bits; they came back */
	m.at.name = "d";
	m.mode = 0777;
	ck_assert_int_eq(obj_mkdir(tree, &m, &d, &st), 0);
	ck_assert_uint_eq(st.st_uid, 1234);
	ck_assert_uint_eq(st.st_gid, 4321);
	AUTO(auto_close) int fd = fd_of(d);
	ck_assert_int_eq(fchown(fd, 0, 77), 0);
	ck_assert_int_eq(fchmod(fd, 02777), 0);
	m.at = at(d, "s");
	m.mode = S_IFSOCK | 0600;
	ck_assert_int_eq(obj_special_new(tree, &m, &n, &st), 0);
	ck_assert_uint_eq(st.st_uid, 1234);
	ck_assert_uint_eq(st.st_gid, 77); /* the folder's, which is setgid */
	m.at.name = "sub";
	m.mode = 0755;
	ck_assert_int_eq(obj_mkdir(tree, &m, &n, &st), 0);
	ck_assert_uint_eq(st.st_gid, 77);
	ck_assert_uint_eq(st.st_mode & 07777, 02755);
	/* it fails: nothing stays */
	char *was = snap();
	m.at.name = long_of('o', 200);
	fault_set(CALL_FCHOWNAT, NULL, EDQUOT);
	ck_assert_int_eq(obj_create(tree, &m, &n, &st, NULL), -EDQUOT);
	fault_set(CALL_FCHOWNAT, NULL, EDQUOT);
	ck_assert_int_eq(obj_mkdir(tree, &m, &n, &st), -EDQUOT);
	m.mode |= S_IFIFO;
	fault_set(CALL_FCHOWNAT, NULL, EDQUOT);
	ck_assert_int_eq(obj_special_new(tree, &m, &n, &st), -EDQUOT);
	m.mode = S_IFREG | 04755;
	fault_set(CALL_FCHMOD, NULL, EIO);
	ck_assert_int_eq(obj_create(tree, &m, &n, &st, NULL), -EIO);
	same_as(was);
}
END_TEST

/* ---- a plain user ---- */

START_TEST(plain_user_makes_folders_of_any_mode)
{
	static const mode_t modes[] = {0755, 0555, 0500, 0300, 0000, 01555};
	become_plain_user();
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		struct make m = making(root(), long_of('m', i + 1), modes[i]);
		struct stat st;
		struct node *d;
		uint8_t id[ID_LEN];
		m.cred.umask = 0;
		ck_assert_int_eq(obj_mkdir(tree, &m, &d, &st), 0);
		ck_assert_uint_eq(st.st_mode & 07777, modes[i]);
		ck_assert_uint_eq(st.st_uid, geteuid());
		tree_fresh(false, false);
		d = look(root(), m.at.name); /* seen whatever its bits, and its id is read though r is not there */
		ck_assert_int_eq(obj_dir_id(tree, d, id), (modes[i] & 0100) ? 0 : -EACCES);
		ck_assert_uint_eq(attr(d).st_mode & 07777, modes[i]);
		ck_assert_int_eq(try_file(d, "f"), (modes[i] & 0300) == 0300 ? 0 : -EACCES);
	}
	char *was = snap();
	struct make m = making(root(), long_of('z', 200), 0555);
	struct node *d;
	struct stat st;
	fault_set(CALL_FCHMOD, NULL, EIO);
	ck_assert_int_eq(obj_mkdir(tree, &m, &d, &st), -EIO);
	same_as(was);
}
END_TEST

START_TEST(plain_user_reads_his_own)
{
	become_plain_user();
	const struct make m = making(root(), "f", 0);
	struct make s = making_special(root(), "p", 'p');
	struct node *n;
	struct stat st;
	uint8_t id[ID_LEN];
	s.mode = S_IFIFO;
	ck_assert_int_eq(obj_create(tree, &m, &n, &st, NULL), 0);
	ck_assert_int_eq(obj_special_new(tree, &s, &n, &st), 0);
	ck_assert_uint_eq(st.st_mode, S_IFIFO);
	tree_fresh(false, false);
	ck_assert_int_eq(obj_id(tree, look(root(), "f"), id), 0);
	ck_assert_int_eq(obj_lookup(tree, at(root(), "p"), &n, &st), 0);
	ck_assert_uint_eq(st.st_mode, S_IFIFO);
}
END_TEST

/* ---- locked ---- */

START_TEST(locked_gate_refuses_everything)
{
	struct node *d = NULL, *f, *out;
	ck_assert_int_eq(try_dir(root(), "d"), 0);
	ck_assert_int_eq(try_file(root(), "f"), 0);
	ck_assert_int_eq(try_special(root(), "s", 'l'), 0);
	struct disk_name s = disk_of(root(), "s");
	struct file *file;
	struct special special;
	struct stat st;
	uint8_t id[ID_LEN];
	char *was = snap();
	uint64_t known;
	tree_fresh(_i == 1, false);
	f = look(root(), "f");
	if (_i == 1)
		d = look(root(), "d");
	known = tree->nodes.known;
	const struct make m = making(root(), "new", 0644);
	tree_lock();
	ck_assert_int_eq(try_look(root(), "f"), -EACCES);
	ck_assert_int_eq(obj_lookup_disk(tree, root(), s.name, &out, &st), -EACCES);
	ck_assert_int_eq(obj_create(tree, &m, &out, &st, NULL), -EACCES);
	ck_assert_int_eq(obj_create(tree, &m, &out, &st, &file), -EACCES);
	ck_assert_int_eq(obj_mkdir(tree, &m, &out, &st), -EACCES);
	ck_assert_int_eq(try_special(root(), "new", 'p'), -EACCES);
	ck_assert_int_eq(obj_link(tree, f, at(root(), "new"), &st), -EACCES);
	ck_assert_int_eq(obj_unlink(tree, at(root(), "f"), true), -EACCES);
	ck_assert_int_eq(obj_rmdir(tree, at(root(), "d")), -EACCES);
	ck_assert_int_eq(obj_rename(tree, at(root(), "f"), at(root(), "g"), 0, &nobody), -EACCES);
	ck_assert_int_eq(obj_rename(tree, at(root(), "f"), at(root(), "d"), RENAME_EXCHANGE, &nobody), -EACCES);
	if (_i == 1) /* not read before */
		ck_assert_int_eq(obj_dir_id(tree, d, id), -EACCES);
	ck_assert(lies(root(), s.name, &st));
	const struct node_key key = {st.st_dev, st.st_ino, OBJECT_SYMLINK};
	ck_assert_int_eq(node_lookup(&tree->nodes, &key, root(), s.name, &out), 0);
	ck_assert_int_eq(obj_special(tree, out, &special), -EACCES);
	ck_assert_int_eq(obj_getattr(tree, out, &st), -EACCES);
	node_forget(&tree->nodes, out, 1);
	same_as(was);
	ck_assert_uint_eq(tree->nodes.known, known);
	ck_assert_uint_eq(tree->env.corrupt, 0);
	ck_assert_uint_eq(n_said, 0); /* nothing is wrong with any of them */
	char why[320];
	ck_assert_int_eq(gate_unlock(rig.gate, why), 0);
	ck_assert_int_eq(try_look(root(), "s"), 0);
	ck_assert_int_eq(try_dir(root(), "new"), 0);
}
END_TEST

/* After a crash, locked: an empty folder without an id gets none. */
START_TEST(locked_gate_makes_no_id)
{
	struct node *d = new_dir(root(), "d");
	uint8_t id[ID_LEN];
	remove_id(d);
	tree_fresh(true, false);
	d = look(root(), "d");
	tree_lock();
	ck_assert_int_eq(obj_dir_id(tree, d, id), -EACCES);
	ck_assert_uint_eq(count_names(d, OWN_PREFIX), 0);
}
END_TEST

static Suite *make_suite(void)
{
	Suite *suite = suite_create("object");
	TCase *files = tcase_create("files"), *special = tcase_create("special"), *ids = tcase_create("ids"),
	      *modes = tcase_create("modes");
	TCase *const all[] = {files, special, ids, modes};
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		tcase_add_checked_fixture(all[i], setup, teardown);
		tcase_set_timeout(all[i], 60);
		suite_add_tcase(suite, all[i]);
	}
	tcase_add_test(files, tree_is_of_its_store);
	tcase_add_test(files, file_is_made_and_found);
	tcase_add_test(files, file_is_made_open);
	tcase_add_test(files, nothing_is_made_over_anything);
	tcase_add_test(files, names_that_none_may_have);
	tcase_add_test(files, names_of_every_length);
	tcase_add_test(files, plain_names);
	tcase_add_test(files, links);
	tcase_add_loop_test(special, special_objects, 0, ARRAY_LEN(kinds));
	tcase_add_test(special, targets_of_every_length);
	tcase_add_loop_test(special, special_record_that_does_not_authenticate, 0, 2);
	tcase_add_test(special, planted_things);
	tcase_add_test(special, stumps_and_impossible_sizes);
	tcase_add_test(special, attributes_of_another_kind);
	tcase_add_test(special, times_are_the_backings);
	tcase_add_test(special, objects_that_are_gone);
	tcase_add_test(ids, folder_has_an_id);
	tcase_add_test(ids, id_is_remembered);
	tcase_add_loop_test(ids, missing_id_is_made_after_a_crash, 0, 2);
	tcase_add_test(ids, missing_id_is_not_made_over_names);
	tcase_add_loop_test(ids, missing_id_is_recalled, 0, 16);
	tcase_add_loop_test(ids, sidecar_after_a_crash, 0, 2);
	tcase_add_loop_test(ids, id_that_does_not_authenticate, 0, 4);
	tcase_add_test(ids, id_goes_where_the_folder_goes);
	tcase_add_test(ids, names_of_another_folder);
	tcase_add_test(ids, one_id_for_all_who_ask);
	tcase_add_test(ids, ids_of_files);
	tcase_add_test(modes, umask_or_default_acl);
	tcase_add_test(modes, owner_is_who_asked);
	tcase_add_test(modes, plain_user_makes_folders_of_any_mode);
	tcase_add_test(modes, plain_user_reads_his_own);
	tcase_add_loop_test(modes, locked_gate_refuses_everything, 0, 2);
	tcase_add_test(modes, locked_gate_makes_no_id);
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
