/* SPDX-License-Identifier: BSD-2-Clause */
/* From an inode to its descriptor while names move under it: by others, by half a rename, by a thing put in its place. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fs/inode/node.h"

#define KEPT_MOST 1024u /* descriptors of folders that nobody uses at the moment */

static struct nodes *nodes;
static char dir[64];
static int root_fd;

/* Nobody sleeps here: what happens meanwhile happens at one of the pauses. */
static unsigned n_pauses, pauses_left;
static void (*at_pause)(void);

int nanosleep(const struct timespec *for_long, struct timespec *left)
{
	(void)for_long;
	(void)left;
	n_pauses++;
	if (pauses_left > 0 && --pauses_left == 0)
		at_pause();
	return 0;
}

static void setup(void)
{
	struct rlimit r;

	getrlimit(RLIMIT_NOFILE, &r);
	r.rlim_cur = r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
	snprintf(dir, sizeof(dir), "/tmp/byokfs-dirfd.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	root_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	nodes = calloc(1, sizeof(*nodes));
	ck_assert_int_eq(nodes_init(nodes, root_fd), 0);
}

static void teardown(void)
{
	char command[sizeof(dir) + 16];

	nodes_free(nodes);
	free(nodes);
	close(root_fd);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	ck_assert_int_eq(system(command), 0);
}

/* Make PATH (below the root) on disk, and look it up as NAME in PARENT. */
static struct node *make(struct node *parent, const char *path, const char *name, int type)
{
	struct stat st;
	struct node *n;

	if (type == OBJECT_DIR)
		ck_assert_int_eq(mkdirat(root_fd, path, 0755), 0);
	else
		close(openat(root_fd, path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644));
	ck_assert_int_eq(fstatat(root_fd, path, &st, AT_SYMLINK_NOFOLLOW), 0);
	const struct node_key key = {st.st_dev, st.st_ino, type};
	ck_assert_int_eq(node_lookup(nodes, &key, parent, name, &n), 0);
	return n;
}

static void move_on_disk(const char *from, const char *to)
{
	ck_assert_int_eq(renameat(root_fd, from, root_fd, to), 0);
}

static void move_in_table(struct node *n, struct node_place from, struct node_place to)
{
	const struct stat st = {.st_dev = n->dev, .st_ino = n->ino};

	ck_assert_int_eq(node_move_name(nodes, &st, from, to), 0);
}

/* N is found by its descriptor, by stat and by open: all say the same inode. */
static void found(struct node *n)
{
	struct stat st;

	ck_assert_int_eq(node_stat(nodes, n, &st), 0);
	ck_assert_uint_eq(st.st_ino, n->ino);
	int fd = node_open_path(nodes, n);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_uint_eq(st.st_ino, n->ino);
	close(fd);
	fd = node_open(nodes, n, O_RDONLY);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_uint_eq(st.st_ino, n->ino);
	close(fd);
	if (n->type == OBJECT_DIR) {
		struct dirfd *d;
		ck_assert_int_eq(dirfd_get(nodes, n, &d), 0);
		ck_assert_int_eq(fstat(d->fd, &st), 0);
		ck_assert_uint_eq(st.st_ino, n->ino);
		dirfd_put(nodes, d);
	}
}

static void stale(struct node *n)
{
	struct stat st;
	unsigned before = n_pauses;

	ck_assert_int_eq(node_stat(nodes, n, &st), -ESTALE);
	ck_assert_int_eq(node_open(nodes, n, O_RDONLY), -ESTALE);
	ck_assert_uint_gt(n_pauses, before); /* not at the first look */
	ck_assert_uint_le(n_pauses, before + 100);
}

/* ---- the descriptors that are kept ---- */

/* The one that was used least lately goes first; the one that is in use never. */
START_TEST(least_lately_used)
{
	enum { N = KEPT_MOST + 1 };
	struct node *n[N];
	struct dirfd *d, *held;
	char name[16];

	for (unsigned i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "d%u", i);
		n[i] = make(nodes->root, name, name, OBJECT_DIR);
	}
	ck_assert_int_eq(dirfd_get(nodes, n[0], &held), 0);
	for (unsigned i = 1; i < N; i++) {
		ck_assert_int_eq(dirfd_get(nodes, n[i], &d), 0);
		dirfd_put(nodes, d);
	}
	ck_assert_uint_eq(nodes->n_dirfds, KEPT_MOST);
	ck_assert_int_eq(dirfd_get(nodes, n[1], &d), 0); /* so it is the latest */
	ck_assert_uint_eq(nodes->n_dirfds, KEPT_MOST - 1);
	dirfd_put(nodes, d);
	dirfd_put(nodes, held);
	ck_assert_uint_eq(nodes->n_dirfds, KEPT_MOST);
	ck_assert_ptr_nonnull(n[0]->dirfd);
	ck_assert_ptr_nonnull(n[1]->dirfd);
	ck_assert_ptr_null(n[2]->dirfd);
	ck_assert_ptr_nonnull(n[3]->dirfd);
	found(n[2]); /* opened anew: the next one goes */
	ck_assert_ptr_nonnull(n[2]->dirfd);
	ck_assert_ptr_null(n[3]->dirfd);
	ck_assert_uint_eq(nodes->n_dirfds, KEPT_MOST);
}
END_TEST

/* Whoever asks for the same folder at the same time shares one descriptor, and it is kept when the last has given it back. */
START_TEST(shared)
{
	struct node *n = make(nodes->root, "d", "d", OBJECT_DIR);
	struct dirfd *a, *b;

	ck_assert_int_eq(dirfd_get(nodes, n, &a), 0);
	ck_assert_int_eq(dirfd_get(nodes, n, &b), 0);
	ck_assert_ptr_eq(a, b);
	ck_assert_uint_eq(a->users, 2);
	dirfd_put(nodes, a);
	ck_assert_uint_eq(nodes->n_dirfds, 0);
	dirfd_put(nodes, b);
	ck_assert_uint_eq(nodes->n_dirfds, 1);
	int fd = b->fd;
	ck_assert_int_eq(dirfd_get(nodes, n, &a), 0);
	ck_assert_int_eq(a->fd, fd);
	struct dirfd_ref ref = {nodes, a};
	dirfd_ref_put(&ref);
	ref.d = NULL;
	dirfd_ref_put(&ref); /* nothing was got */
	ck_assert_uint_eq(nodes->n_dirfds, 1);
}
END_TEST

/* ---- names that move ---- */

/* A folder goes elsewhere with all that is in it, _i: with its descriptor kept, or without any. */
START_TEST(moved_parents)
{
	struct node *from = make(nodes->root, "from", "from", OBJECT_DIR);
	struct node *to = make(nodes->root, "to", "to", OBJECT_DIR);
	struct node *moved = make(from, "from/a", "a", OBJECT_DIR);
	struct node *deep = make(moved, "from/a/deep", "deep", OBJECT_DIR);
	struct node *file = make(deep, "from/a/deep/f", "f", OBJECT_FILE);

	if (_i)
		found(deep);
	ck_assert_int_eq(!deep->dirfd, !_i);
	move_on_disk("from/a", "to/b");
	move_in_table(moved, (struct node_place){from, "a"}, (struct node_place){to, "b"});
	ck_assert_int_eq(unlinkat(root_fd, "from", AT_REMOVEDIR), 0);
	found(file);
	found(deep);
	found(moved);
	char path[64];
	path[node_path(nodes, file, path, sizeof(path) - 1)] = '\0';
	ck_assert_str_eq(path, "to/b/deep/f");
}
END_TEST

static struct node *halfway;

/* Says in the table what was done on disk a moment ago. */
static void second_half(void)
{
	move_in_table(halfway, (struct node_place){nodes->root, "old"}, (struct node_place){nodes->root, "new"});
}

/* Between the two halves of a rename a name is not there: it is asked again until it is. */
START_TEST(in_the_middle_of_a_rename)
{
	struct node *below;

	halfway = make(nodes->root, "old", "old", OBJECT_DIR);
	below = make(halfway, "old/f", "f", OBJECT_FILE);
	move_on_disk("old", "new");
	pauses_left = 3;
	at_pause = second_half;
	struct stat st;
	ck_assert_int_eq(node_stat(nodes, below, &st), 0);
	ck_assert_uint_eq(st.st_ino, below->ino);
	ck_assert_uint_eq(n_pauses, 3);
	found(halfway);
	found(below);
}
END_TEST

/* Another inode under the name, of the same kind or not: never taken for the one that was there. */
START_TEST(replaced)
{
	struct node *file = make(nodes->root, "f", "f", OBJECT_FILE);
	struct node *folder = make(nodes->root, "d", "d", OBJECT_DIR);
	struct node *below = make(folder, "d/x", "x", OBJECT_FILE);
	struct dirfd *d;

	move_on_disk("f", "f.away");
	close(openat(root_fd, "f", O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644));
	stale(file);
	move_on_disk("f.away", "f"); /* names found again */
	found(file);

	move_on_disk("d", "d.away");
	ck_assert_int_eq(mkdirat(root_fd, "d", 0755), 0);
	close(openat(root_fd, "d/x", O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644));
	ck_assert_int_eq(dirfd_get(nodes, folder, &d), -ESTALE);
	stale(folder);
	stale(below);
	ck_assert_int_eq(unlinkat(root_fd, "d/x", 0), 0);
	ck_assert_int_eq(unlinkat(root_fd, "d", AT_REMOVEDIR), 0);
	ck_assert_int_eq(symlinkat("d.away", root_fd, "d"), 0); /* leads to the right one, and is not it */
	ck_assert_int_eq(dirfd_get(nodes, folder, &d), -ESTALE);
	stale(below);
	ck_assert_int_eq(unlinkat(root_fd, "d", 0), 0);
	move_on_disk("d.away", "d");
	found(folder);
	found(below);
}
END_TEST

/* One name of two is gone, or leads to another: the other one will do. */
START_TEST(by_another_name)
{
	struct node *d = make(nodes->root, "d", "d", OBJECT_DIR);
	struct node *f = make(nodes->root, "f", "f", OBJECT_FILE);

	ck_assert_int_eq(linkat(root_fd, "f", root_fd, "d/hard", 0), 0);
	ck_assert_int_eq(node_add_name(nodes, f, d, "hard"), 0);
	ck_assert_int_eq(unlinkat(root_fd, "d/hard", 0), 0); /* the one that is tried first */
	found(f);
	ck_assert_int_eq(mkdirat(root_fd, "d/hard", 0755), 0);
	found(f);
	move_on_disk("d", "elsewhere");
	found(f);
	ck_assert_int_eq(unlinkat(root_fd, "f", 0), 0);
	stale(f);
}
END_TEST

/* A folder that is removed while a process stands in it: its descriptor goes on, and nothing is found in it by name. */
START_TEST(removed_and_still_used)
{
	struct node *d = make(nodes->root, "d", "d", OBJECT_DIR);
	struct node *sub = make(d, "d/sub", "sub", OBJECT_DIR);

	node_keep_orphan(nodes, d->dev, d->ino, openat(root_fd, "d", O_PATH | O_CLOEXEC));
	node_drop_name(nodes, d->dev, d->ino, nodes->root, "d");
	move_on_disk("d", "gone"); /* what its name was is somebody else's by now */
	ck_assert_int_eq(mkdirat(root_fd, "d", 0755), 0);
	found(d);
	found(sub); /* by its name in the orphan */
	ck_assert_int_eq(unlinkat(root_fd, "gone/sub", AT_REMOVEDIR), 0);
	struct stat st;
	ck_assert_ptr_nonnull(sub->dirfd);
	ck_assert_int_eq(node_stat(nodes, sub, &st), -ESTALE);
}
END_TEST

/* ---- from end to end ---- */

static size_t collect_all(enum node_class class, uint64_t *ids, size_t step)
{
	uint64_t next = 1;
	size_t n = 0, got;

	while ((got = nodes_collect(nodes, class, &next, ids + n, step)) > 0) {
		ck_assert_uint_le(got, step);
		n += got;
	}
	return n;
}

static struct node *known(ino_t ino, int type)
{
	const struct node_key key = {1, ino, type};
	struct node *n;
	char name[24];

	snprintf(name, sizeof(name), "n%llu", (unsigned long long)ino);
	ck_assert_int_eq(node_lookup(nodes, &key, nodes->root, name, &n), 0);
	return n;
}

/* Each inode is in one class; each comes once, in the order of ids, however many are asked for at a time. */
START_TEST(classes)
{
	enum { N = 3 * NODE_CHUNK };
	uint64_t *ids = calloc(N, sizeof(*ids));
	struct node *folder = known(10, OBJECT_DIR), *other = known(11, OBJECT_FILE), *opened = known(12, OBJECT_FILE);

	for (ino_t i = 100; i < 100 + N - 10; i++) /* far apart: most steps find nothing */
		(void)known(i, OBJECT_FILE);
	struct node *written = known(13, OBJECT_FILE), *folder_opened = known(14, OBJECT_DIR);
	atomic_store(&opened->opened, NODE_OPENED_AT_ALL);
	atomic_store(&folder_opened->opened, NODE_OPENED_AT_ALL);
	atomic_store(&written->opened, NODE_OPENED_AT_ALL | NODE_OPENED_TO_WRITE);
	for (size_t step = 1; step <= 3; step++) {
		ck_assert_uint_eq(collect_all(NODE_WRITTEN, ids, step), 1);
		ck_assert_uint_eq(ids[0], written->id);
		ck_assert_uint_eq(collect_all(NODE_OPENED, ids, step), 2);
		ck_assert_uint_eq(ids[0], opened->id);
		ck_assert_uint_eq(ids[1], folder_opened->id);
		ck_assert_uint_eq(collect_all(NODE_FOLDER, ids, step), 2);
		ck_assert_uint_eq(ids[0], NODE_ROOT);
		ck_assert_uint_eq(ids[1], folder->id);
	}
	size_t n = collect_all(NODE_OTHER, ids, 100);
	ck_assert_uint_eq(n, N - 10 + 1);
	ck_assert_uint_eq(ids[0], other->id);
	size_t rising = 1;
	while (rising < n && ids[rising] > ids[rising - 1])
		rising++;
	ck_assert_uint_eq(rising, n);
	free(ids);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("dirfd");
	TCase *c = tcase_create("dirfd");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, least_lately_used);
	tcase_add_test(c, shared);
	tcase_add_loop_test(c, moved_parents, 0, 2);
	tcase_add_test(c, in_the_middle_of_a_rename);
	tcase_add_test(c, replaced);
	tcase_add_test(c, by_another_name);
	tcase_add_test(c, removed_and_still_used);
	tcase_add_test(c, classes);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
