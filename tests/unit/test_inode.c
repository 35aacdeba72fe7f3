/* SPDX-License-Identifier: BSD-2-Clause */
/* The inode table: ids, names, orphans, folder descriptors, lost ranges; alone and under many threads. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "crypto/name.h"
#include "fs/inode/durable.h"
#include "fs/inode/node.h"

static struct nodes *t;
static char dir[64];
static int root_fd;

static void setup(void)
{
	struct rlimit r;
	getrlimit(RLIMIT_NOFILE, &r);
	r.rlim_cur = r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
	snprintf(dir, sizeof(dir), "/tmp/byokfs-inode.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	root_fd = open(dir, O_RDONLY | O_DIRECTORY);
	t = calloc(1, sizeof(*t));
	ck_assert_int_eq(nodes_init(t, root_fd), 0);
}

static void teardown(void)
{
	char command[sizeof(dir) + 16];

	nodes_free(t);
	free(t);
	close(root_fd);
	snprintf(command, sizeof(command), "rm -rf %s", dir); /* nftw(3) ends where a path is too long */
	ck_assert_int_eq(system(command), 0);
}

static unsigned open_fds(void)
{
	unsigned n = 0;
	for (int fd = 0; fd < 8192; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static struct node *look(struct node *parent, const char *name, ino_t ino, int type)
{
	const struct node_key key = {1, ino, type};
	struct node *n;
	ck_assert_int_eq(node_lookup(t, &key, parent, name, &n), 0);
	return n;
}

/* Make NAME on disk in folder AT (a descriptor) and look it up. */
static struct node *make(struct node *parent, int at, const char *name, int type)
{
	struct stat st;
	struct node *n;
	if (type == OBJECT_DIR)
		ck_assert_int_eq(mkdirat(at, name, 0755), 0);
	else
		close(openat(at, name, O_CREAT | O_EXCL | O_WRONLY, 0644));
	ck_assert_int_eq(fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW), 0);
	const struct node_key key = {st.st_dev, st.st_ino, type};
	ck_assert_int_eq(node_lookup(t, &key, parent, name, &n), 0);
	return n;
}

static const char *path_of(struct node *n)
{
	static char buf[4097];
	buf[node_path(t, n, buf, sizeof(buf) - 1)] = 0;
	return buf;
}

START_TEST(ids_are_used_again_under_new_generations)
{
	struct node *a = look(t->root, "a", 10, OBJECT_FILE);
	uint64_t id = a->id, generation = a->generation;
	ck_assert_ptr_eq(node_get(t, id), a);
	ck_assert_ptr_eq(look(t->root, "a", 10, OBJECT_FILE), a);
	ck_assert_uint_eq(t->known, 2);
	node_forget(t, a, 1);
	ck_assert_ptr_eq(node_get(t, id), a);
	ck_assert(node_known(t, 1, 10));
	node_forget(t, a, 1);
	ck_assert_ptr_null(node_get(t, id));
	ck_assert(!node_known(t, 1, 10));
	struct node *b = look(t->root, "b", 11, OBJECT_FILE);
	ck_assert_uint_eq(b->id, id);
	ck_assert_uint_ne(b->generation, generation);
	ck_assert_uint_eq(t->high, 2);
	ck_assert_ptr_null(node_get(t, 0));
	ck_assert_ptr_null(node_get(t, UINT64_MAX));
	ck_assert_ptr_null(node_get(t, 99999));
	node_forget(t, b, 50); /* more than there are: no underflow */
	ck_assert_uint_eq(t->known, 1);
	node_forget(t, t->root, 5);
	ck_assert_ptr_eq(node_get(t, NODE_ROOT), t->root);
}
END_TEST

START_TEST(children_pin_their_folders)
{
	struct node *d = look(t->root, "d", 20, OBJECT_DIR);
	struct node *e = look(d, "e", 21, OBJECT_DIR);
	struct node *f = look(e, "f", 22, OBJECT_FILE);
	uint64_t id = d->id;
	ck_assert_str_eq(path_of(f), "d/e/f");
	node_forget(t, d, 1);
	node_forget(t, e, 1);
	ck_assert_ptr_eq(node_get(t, id), d);
	ck_assert(node_known(t, 1, 20));
	ck_assert_uint_eq(t->known, 2);
	ck_assert_str_eq(path_of(f), "d/e/f");
	node_forget(t, f, 1); /* takes the chain with it */
	ck_assert_ptr_null(node_get(t, id));
	ck_assert_uint_eq(t->n_nodes, 1);
	ck_assert_uint_eq(t->root->pins, 0);
}
END_TEST

START_TEST(names_come_go_and_move)
{
	struct node *d = look(t->root, "d", 30, OBJECT_DIR);
	struct node *f = look(t->root, "f", 31, OBJECT_FILE);
	struct stat st = {.st_dev = 1, .st_ino = 31};
	struct node *parent;
	char name[256];
	ck_assert_int_eq(node_add_name(t, f, d, "hard"), 0);
	ck_assert_int_eq(node_add_name(t, f, d, "hard"), 0); /* twice is once */
	ck_assert_uint_eq(d->pins, 1);
	ck_assert_str_eq(path_of(f), "d/hard");
	look(t->root, "f", 31, OBJECT_FILE); /* the name last seen comes first */
	ck_assert_str_eq(path_of(f), "f");
	ck_assert_int_eq(node_name(t, f, 1, &parent, name), 0);
	ck_assert_str_eq(name, "hard");
	ck_assert_ptr_eq(parent, d);
	node_unpin(t, parent);
	ck_assert_int_eq(node_name(t, f, 2, &parent, name), -ENOENT);
	node_drop_name(t, 1, 31, t->root, "f");
	node_drop_name(t, 1, 31, t->root, "f");
	node_drop_name(t, 1, 31, t->root, "hard"); /* another folder's */
	ck_assert_str_eq(path_of(f), "d/hard");
	ck_assert_int_eq(node_move_name(t, &st, (struct node_place){d, "hard"}, (struct node_place){t->root, "g"}), 0);
	ck_assert_str_eq(path_of(f), "g");
	ck_assert_uint_eq(d->pins, 0);
	ck_assert_int_eq(node_move_name(t, &st, (struct node_place){t->root, "g"}, (struct node_place){t->root, "g"}),
			 0);
	ck_assert_str_eq(path_of(f), "g");
	st.st_ino = 999; /* unknown to the kernel */
	ck_assert_int_eq(node_move_name(t, &st, (struct node_place){d, "x"}, (struct node_place){d, "y"}), 0);
	node_drop_name(t, 1, 31, t->root, "g");
	ck_assert_str_eq(path_of(f), "");
	ck_assert_str_eq(path_of(t->root), "");
	char small[4];
	struct node *deep = look(d, "a-name", 32, OBJECT_FILE);
	ck_assert_uint_eq(node_path(t, deep, small, sizeof(small)), 0);
}
END_TEST

START_TEST(the_hash_grows)
{
	enum { N = 20000 };
	struct node **n = calloc(N, sizeof(struct node *));
	for (int i = 0; i < N; i++) {
		char name[16];
		snprintf(name, sizeof(name), "%d", i);
		n[i] = look(t->root, name, 1000 + (ino_t)i, i % 3 == 0 ? OBJECT_DIR : OBJECT_FILE);
	}
	ck_assert_uint_ge(t->n_hash, N / 2);
	for (int i = 0; i < N; i++) {
		char name[16];
		snprintf(name, sizeof(name), "%d", i);
		ck_assert_ptr_eq(look(t->root, name, 1000 + (ino_t)i, OBJECT_FILE), n[i]);
		ck_assert_int_eq(n[i]->type, i % 3 == 0 ? OBJECT_DIR : OBJECT_FILE);
	}
	atomic_store(&n[7]->opened, NODE_OPENED_AT_ALL);
	atomic_store(&n[N - 1]->opened, NODE_OPENED_AT_ALL | NODE_OPENED_TO_WRITE);
	uint64_t ids[64], next = 1;
	ck_assert_uint_eq(nodes_collect(t, NODE_WRITTEN, &next, ids, 64), 1);
	ck_assert_uint_eq(ids[0], n[N - 1]->id);
	ck_assert_uint_eq(nodes_collect(t, NODE_WRITTEN, &next, ids, 64), 0);
	next = 1;
	ck_assert_uint_eq(nodes_collect(t, NODE_OPENED, &next, ids, 64), 1);
	ck_assert_uint_eq(ids[0], n[7]->id);
	size_t folders = 0, others = 0, k;
	for (next = 1; (k = nodes_collect(t, NODE_FOLDER, &next, ids, 64)) > 0;)
		folders += k;
	for (next = 1; (k = nodes_collect(t, NODE_OTHER, &next, ids, 64)) > 0;)
		others += k;
	ck_assert_uint_eq(folders + others + 2, N + 1); /* and the root */
	for (int i = 0; i < N; i++)
		node_forget(t, n[i], 2);
	ck_assert_uint_eq(t->n_nodes, 1);
	next = 1;
	ck_assert_uint_eq(nodes_collect(t, NODE_OTHER, &next, ids, 64), 0);
	free(n);
}
END_TEST

/* A node without a name is reached by its descriptor; of many the oldest living one goes, not a stranger with its id. */
START_TEST(orphans)
{
	enum { MORE = ORPHANS_MAX + 10 };
	struct stat st;
	struct node *held = make(t->root, root_fd, "held", OBJECT_FILE);
	ck_assert_int_eq(fstatat(root_fd, "held", &st, 0), 0);
	node_keep_orphan(t, st.st_dev, st.st_ino, openat(root_fd, "held", O_PATH));
	unlinkat(root_fd, "held", 0);
	node_drop_name(t, st.st_dev, st.st_ino, t->root, "held");
	unsigned before = open_fds();
	for (int i = 0; i < MORE; i++) { /* forgotten at once: none of them may push the held one out */
		struct node *n = make(t->root, root_fd, "x", OBJECT_FILE);
		node_keep_orphan(t, n->dev, n->ino, openat(root_fd, "x", O_PATH));
		unlinkat(root_fd, "x", 0);
		node_drop_name(t, n->dev, n->ino, t->root, "x");
		node_forget(t, n, 1);
	}
	ck_assert_uint_eq(open_fds(), before);
	struct stat now;
	ck_assert_int_eq(node_stat(t, held, &now), 0);
	ck_assert_uint_eq(now.st_ino, st.st_ino);
	int fd = node_open(t, held, O_RDWR);
	ck_assert_int_ge(fd, 0);
	close(fd);
	fd = node_open_path(t, held);
	ck_assert_int_ge(fd, 0);
	close(fd);
	node_keep_orphan(t, 77, 78, openat(root_fd, ".", O_PATH)); /* unknown: closed */
	ck_assert_uint_eq(open_fds(), before);
	node_forget(t, held, 1);
	ck_assert_uint_eq(open_fds(), before - 1);
}
END_TEST

/* Past the limit the descriptor goes, and with it the number: whoever gets it next is another node. */
START_TEST(an_inode_number_used_again)
{
	struct node *n[ORPHANS_MAX + 1];
	for (unsigned i = 0; i <= ORPHANS_MAX; i++) {
		char name[16];
		snprintf(name, sizeof(name), "n%u", i);
		n[i] = look(t->root, name, 5000 + i, OBJECT_FILE);
		n[i]->has_id = true;
		node_keep_orphan(t, 1, 5000 + i, openat(root_fd, ".", O_PATH));
		node_drop_name(t, 1, 5000 + i, t->root, name);
	}
	ck_assert_int_eq(n[0]->orphan_fd, -1);
	ck_assert_int_ge(n[1]->orphan_fd, 0);
	struct node *new = look(t->root, "new", 5000, OBJECT_DIR);
	ck_assert_ptr_ne(new, n[0]);
	ck_assert_int_eq(new->type, OBJECT_DIR);
	ck_assert(!new->has_id);
	struct stat st;
	ck_assert_int_eq(node_stat(t, n[0], &st), -ESTALE);
	node_forget(t, n[0], 1);
	ck_assert_ptr_eq(look(t->root, "new", 5000, OBJECT_DIR), new);
	/* one that has a name again keeps its place in the table */
	ck_assert_int_eq(node_add_name(t, n[5], t->root, "back"), 0);
	ck_assert_int_eq(n[5]->orphan_fd, -1);
	ck_assert_ptr_eq(look(t->root, "back", 5005, OBJECT_FILE), n[5]);
}
END_TEST

START_TEST(folder_descriptors)
{
	enum { N = 1500 };
	static struct node *n[N];
	unsigned before = open_fds();
	struct dirfd *d, *again;
	for (int i = 0; i < N; i++) {
		char name[16];
		snprintf(name, sizeof(name), "d%d", i);
		n[i] = make(t->root, root_fd, name, OBJECT_DIR);
	}
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < N; i++) {
			struct stat st;
			ck_assert_int_eq(dirfd_get(t, n[i], &d), 0);
			ck_assert_int_eq(fstat(d->fd, &st), 0);
			ck_assert_uint_eq(st.st_ino, n[i]->ino);
			ck_assert_int_eq(dirfd_get(t, n[i], &again), 0);
			ck_assert_ptr_eq(d, again);
			dirfd_put(t, d);
			dirfd_put(t, again);
		}
	ck_assert_uint_le(open_fds(), before + 1024);
	ck_assert_int_eq(dirfd_get(t, n[0], &d), 0);
	unlinkat(root_fd, "d0", AT_REMOVEDIR);
	node_drop_name(t, n[0]->dev, n[0]->ino, t->root, "d0");
	node_forget(t, n[0], 1); /* in use: closed by the last user */
	ck_assert_int_ge(fcntl(d->fd, F_GETFD), 0);
	int fd = d->fd;
	dirfd_put(t, d);
	ck_assert_int_lt(fcntl(fd, F_GETFD), 0);
	for (int i = 1; i < N; i++)
		node_forget(t, n[i], 1);
	ck_assert_uint_eq(open_fds(), before);
	ck_assert_int_eq(dirfd_get(t, t->root, &d), 0);
	ck_assert_int_eq(d->fd, root_fd);
	dirfd_put(t, d);
}
END_TEST

/* A tree far deeper than a thread's stack, no descriptor kept; moved and found again. */
START_TEST(a_deep_tree)
{
	enum { N = 6000 };
	struct node **n = calloc(N + 1, sizeof(struct node *));
	int at = dup(root_fd);
	n[0] = t->root;
	for (int i = 1; i <= N; i++) {
		n[i] = make(n[i - 1], at, "d", OBJECT_DIR);
		int next = openat(at, "d", O_RDONLY | O_DIRECTORY);
		close(at);
		at = next;
	}
	close(at);
	struct dirfd *d;
	ck_assert_int_eq(dirfd_get(t, n[N], &d), 0);
	dirfd_put(t, d);
	struct stat st;
	ck_assert_int_eq(node_stat(t, n[N], &st), 0);
	ck_assert_uint_eq(st.st_ino, n[N]->ino);
	/* the first folder is moved: names in the table follow, descriptors need nothing */
	ck_assert_int_eq(fstatat(root_fd, "d", &st, 0), 0);
	ck_assert_int_eq(renameat(root_fd, "d", root_fd, "e"), 0);
	ck_assert_int_eq(node_move_name(t, &st, (struct node_place){t->root, "d"}, (struct node_place){t->root, "e"}),
			 0);
	ck_assert_int_eq(dirfd_get(t, n[1000], &d), 0);
	dirfd_put(t, d);
	for (int i = 1; i < N; i++)
		node_forget(t, n[i], 1);
	ck_assert_uint_eq(t->n_nodes, N + 1);
	node_forget(t, n[N], 1);
	ck_assert_uint_eq(t->n_nodes, 1);
	free(n);
}
END_TEST

/* Somebody takes a folder out of the store under us: an error soon, however deep what lies below it. */
START_TEST(a_folder_taken_away)
{
	struct node *n = t->root;
	int at = dup(root_fd);
	for (int i = 0; i < 12; i++) {
		n = make(n, at, "d", OBJECT_DIR);
		int next = openat(at, "d", O_RDONLY | O_DIRECTORY);
		close(at);
		at = next;
	}
	struct node *f = make(n, at, "f", OBJECT_FILE);
	close(at);
	ck_assert_int_eq(renameat(root_fd, "d", root_fd, "elsewhere"), 0);
	struct stat st;
	struct timespec a, b;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
	ck_assert_int_eq(node_stat(t, f, &st), -ESTALE);
	struct dirfd *d;
	ck_assert_int_eq(dirfd_get(t, n, &d), -ESTALE);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
	ck_assert_int_lt((b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000, 2000);
	ck_assert_int_eq(renameat(root_fd, "elsewhere", root_fd, "d"), 0);
	ck_assert_int_eq(node_stat(t, f, &st), 0);
	unlinkat(root_fd, "planted", 0);
	/* another object under the name */
	ck_assert_int_eq(renameat(root_fd, "d", root_fd, "elsewhere"), 0);
	ck_assert_int_eq(symlinkat("elsewhere", root_fd, "d"), 0);
	struct node *top = node_get(t, 2);
	ck_assert_int_lt(node_open_path(t, top), 0);
}
END_TEST

START_TEST(what_is_owed_stays_owed_until_paid)
{
	struct node *d = look(t->root, "d", 40, OBJECT_DIR);
	char name[256];
	uint64_t more, at = 0, seq = node_owed_seq(d, &more);
	ck_assert_uint_eq(more, OWED_UNKNOWN); /* found, not made */
	node_paid(d, seq);
	(void)node_owed_seq(d, &more);
	ck_assert_uint_eq(more, 0);
	node_owe(d, "x");
	seq = node_owed_seq(d, &more);
	node_owe(d, "x"); /* again, while the first is being synced */
	node_paid(d, seq);
	ck_assert(node_owed(d, &at, name) && strcmp(name, "x") == 0 && at > seq);
	ck_assert(!node_owed(d, &at, name));
	ck_assert_uint_eq(node_owed_count(d), 1);
	for (unsigned i = 0; i < OWED_MAX; i++)
		node_owe(d, "y");
	ck_assert_uint_eq(node_owed_count(d), OWED_MAX);
	seq = node_owed_seq(d, &more);
	ck_assert_uint_eq(more, seq); /* one too many: not by name */
	node_paid(d, seq - 1);
	(void)node_owed_seq(d, &more);
	ck_assert_uint_eq(more, seq);
	node_paid(d, seq);
	(void)node_owed_seq(d, &more);
	ck_assert(more == 0 && node_owed_count(d) == 0);
}
END_TEST

START_TEST(a_name_is_durable_with_its_folder)
{
	struct node *d = look(t->root, "d", 40, OBJECT_DIR), *f = look(d, "f", 41, OBJECT_FILE);
	struct name_ref ref;
	ck_assert(node_name_ref(t, f, false, &ref) && ref.parent == d && !ref.entry && ref.sidecar);
	node_unpin(t, ref.parent);
	atomic_store(&d->entries_durable, nodes_stamp(t));
	ck_assert(node_name_ref(t, f, false, &ref) && ref.entry); /* its folder is not */
	node_unpin(t, ref.parent);
	ck_assert(!node_way_durable(t, d));
	ck_assert(node_owes_others(t, f, d, "other") && !node_owes_others(t, f, d, "f"));
	atomic_store(&t->root->entries_durable, nodes_stamp(t));
	atomic_store(&d->id_durable, true);
	ck_assert(!node_name_ref(t, f, false, &ref));
	ck_assert(node_way_durable(t, d) && !node_owes_others(t, f, d, "other"));
	/* a new name with a sidecar, and one that is another by the time it is synced */
	ck_assert_int_eq(node_add_name(t, f, d, LONG_PREFIX "x"), 0);
	ck_assert(node_name_ref(t, f, false, &ref) && !ref.entry && !ref.sidecar);
	node_unpin(t, ref.parent);
	node_drop_name(t, f->dev, f->ino, d, ref.name);
	ck_assert_int_eq(node_add_name(t, f, d, LONG_PREFIX "x"), 0);
	node_sidecar_durable(t, f, &ref);
	ck_assert(node_name_ref(t, f, false, &ref) && !ref.sidecar);
	node_unpin(t, ref.parent);
	node_sidecar_durable(t, f, &ref);
	t->names_follow = true;
	ck_assert(!node_name_ref(t, f, false, &ref));
}
END_TEST

/* ---- ranges against a bitmap ---- */

static void compare(const struct ranges *s, const uint8_t *bits, size_t n)
{
	size_t wrong = 0; /* an assertion is a system call of Check's: one for all */
	for (size_t i = 0; i < n; i++)
		wrong += ranges_hit(s, i, i + 1) != (bits[i] != 0);
	for (size_t i = 0; i < s->n; i++) /* disjoint, and joined where they touch */
		wrong += s->r[i].start >= s->r[i].end || (i > 0 && s->r[i - 1].end >= s->r[i].start);
	ck_assert_uint_eq(wrong, 0);
}

/* Whoever watches from another process sees an id before the kernel can know it. */
START_TEST(the_highest_id_is_shared)
{
	_Atomic uint64_t high = 0;
	struct node *a, *b;

	t->shared_high = &high;
	a = look(t->root, "a", 91, OBJECT_FILE);
	ck_assert_uint_eq(atomic_load(&high), a->id);
	b = look(t->root, "b", 92, OBJECT_FILE);
	ck_assert_uint_eq(atomic_load(&high), b->id);
	node_forget(t, a, 1);
	a = look(t->root, "c", 93, OBJECT_FILE);
	ck_assert_uint_le(a->id, atomic_load(&high));
	t->shared_high = NULL;
}
END_TEST

START_TEST(ranges_like_a_bitmap)
{
	enum { N = 200 };
	for (unsigned seed = 0; seed < 60; seed++) {
		struct ranges s = {0};
		uint8_t bits[N] = {0};
		srandom(seed);
		for (int op = 0; op < 300; op++) {
			size_t a = (size_t)random() % N, b = a + (size_t)random() % (N - a + 1);
			if (random() % 8 == 0)
				b = a + (b > a);
			if (random() % 2 == 0) {
				ck_assert_int_eq(ranges_add(&s, a, b), 0);
				memset(bits + a, 1, b - a);
			} else {
				ranges_cut(&s, a, b);
				memset(bits + a, 0, b - a);
			}
			compare(&s, bits, N);
			bool hit = false;
			for (size_t i = a; i < b; i++)
				hit = hit || bits[i];
			ck_assert_int_eq(ranges_hit(&s, a, b), hit);
		}
		ranges_clear(&s);
	}
	struct ranges s = {0};
	ck_assert_int_eq(ranges_add(&s, 5, UINT64_MAX), 0);
	ck_assert(ranges_hit(&s, UINT64_MAX - 1, UINT64_MAX));
	ranges_cut(&s, 7, UINT64_MAX);
	ck_assert_uint_eq(s.n, 1);
	ck_assert_uint_eq(s.r[0].end, 7);
	ranges_cut(&s, 0, UINT64_MAX);
	ck_assert_uint_eq(s.n, 0);
	ranges_clear(&s);
}
END_TEST

/* ---- many threads: what the kernel may do at once, which is everything that is not one name twice ---- */

enum { THREADS = 4, ROUNDS = 1500, FILES = 8 };

struct worker {
	pthread_t thread;
	struct node *dir;
	int fd;
};

static _Atomic bool stop;

static void one_round(struct worker *w, int i)
{
	char a[32], b[32];
	struct stat st, now;
	snprintf(a, sizeof(a), "a%d", i % FILES);
	snprintf(b, sizeof(b), "b%d", i % FILES);
	struct node *n = make(w->dir, w->fd, a, OBJECT_FILE);
	ck_assert_int_eq(node_stat(t, n, &st), 0);
	ck_assert_int_eq(renameat(w->fd, a, w->fd, b), 0);
	ck_assert_int_eq(node_move_name(t, &st, (struct node_place){w->dir, a}, (struct node_place){w->dir, b}), 0);
	ck_assert_int_eq(node_stat(t, n, &now), 0);
	ck_assert_uint_eq(now.st_ino, st.st_ino);
	atomic_fetch_or(&n->opened, NODE_OPENED_AT_ALL | NODE_OPENED_TO_WRITE);
	node_keep_orphan(t, st.st_dev, st.st_ino, openat(w->fd, b, O_PATH));
	unlinkat(w->fd, b, 0);
	node_drop_name(t, st.st_dev, st.st_ino, w->dir, b);
	ck_assert_int_eq(node_stat(t, n, &now), 0);
	ck_assert_uint_eq(now.st_nlink, 0);
	node_forget(t, n, 1);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	for (int i = 0; i < ROUNDS; i++)
		one_round(w, i);
	return NULL;
}

static void *collect(void *arg)
{
	uint64_t ids[16];
	(void)arg;
	while (!atomic_load(&stop)) {
		for (enum node_class c = NODE_WRITTEN; c <= NODE_OTHER; c++) {
			uint64_t next = 1;
			while (nodes_collect(t, c, &next, ids, 16) > 0)
				;
		}
		(void)nodes_open_files(t);
	}
	return NULL;
}

/* Lookups, stats and forgets of shared folders beside the workers: descriptors come and go. */
static void *visit(void *arg)
{
	struct worker *w = arg;
	for (int i = 0; !atomic_load(&stop); i++) {
		struct node *d = w[i % THREADS].dir, *same;
		const struct node_key key = {d->dev, d->ino, OBJECT_DIR};
		char name[16], buf[256];
		struct stat st;
		struct dirfd *fd;
		snprintf(name, sizeof(name), "w%d", i % THREADS);
		ck_assert_int_eq(node_lookup(t, &key, t->root, name, &same), 0);
		ck_assert_ptr_eq(same, d);
		ck_assert_int_eq(node_stat(t, same, &st), 0);
		ck_assert_int_eq(dirfd_get(t, same, &fd), 0);
		dirfd_put(t, fd);
		ck_assert_uint_gt(node_path(t, same, buf, sizeof(buf)), 0);
		node_forget(t, same, 1);
	}
	return NULL;
}

START_TEST(side_by_side)
{
	struct worker w[THREADS];
	pthread_t collector, visitor;
	unsigned before = open_fds();
	for (int i = 0; i < THREADS; i++) {
		char name[16];
		snprintf(name, sizeof(name), "w%d", i);
		w[i] = (struct worker){.dir = make(t->root, root_fd, name, OBJECT_DIR)};
		w[i].fd = openat(root_fd, name, O_RDONLY | O_DIRECTORY);
	}
	atomic_store(&stop, false);
	pthread_create(&collector, NULL, collect, NULL);
	pthread_create(&visitor, NULL, visit, w);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&w[i].thread, NULL, work, &w[i]);
	for (int i = 0; i < THREADS; i++)
		pthread_join(w[i].thread, NULL);
	atomic_store(&stop, true);
	pthread_join(collector, NULL);
	pthread_join(visitor, NULL);
	for (int i = 0; i < THREADS; i++) {
		close(w[i].fd);
		node_forget(t, w[i].dir, 1);
	}
	ck_assert_uint_eq(t->n_nodes, 1);
	ck_assert_uint_eq(open_fds(), before);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("inode");
	TCase *c = tcase_create("inode");
	tcase_set_timeout(c, 100);
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, ids_are_used_again_under_new_generations);
	tcase_add_test(c, children_pin_their_folders);
	tcase_add_test(c, names_come_go_and_move);
	tcase_add_test(c, the_hash_grows);
	tcase_add_test(c, orphans);
	tcase_add_test(c, an_inode_number_used_again);
	tcase_add_test(c, folder_descriptors);
	tcase_add_test(c, a_deep_tree);
	tcase_add_test(c, a_folder_taken_away);
	tcase_add_test(c, what_is_owed_stays_owed_until_paid);
	tcase_add_test(c, a_name_is_durable_with_its_folder);
	tcase_add_test(c, the_highest_id_is_shared);
	tcase_add_test(c, ranges_like_a_bitmap);
	tcase_add_test(c, side_by_side);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
