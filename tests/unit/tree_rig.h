/* SPDX-License-Identifier: BSD-2-Clause */
/* The tree of a scratch store, without FUSE: what test_object.c, test_object_name.c and test_xattrs.c stand on. */
#ifndef TESTS_UNIT_TREE_RIG_H
#define TESTS_UNIT_TREE_RIG_H

#include <dirent.h>
#include <grp.h>
#include <sys/sysmacros.h>

#include "fault.h"
#include "fs/tree/object.h"
#include "store_rig.h"

static struct rig rig;
static struct tree *tree;
static unsigned n_said; /* lines in the log */
static char said[4096]; /* the last of them */

static inline void tree_said(int priority, const char *text)
{
	(void)priority;
	n_said++;
	snprintf(said, sizeof(said), "%s", text);
}

/* ---- beginning and end ---- */

/* The tree as a mount begins: nothing is known yet. UNCLEAN: as after a crash. */
static inline void tree_fresh(bool unclean, bool read_only)
{
	if (tree) {
		tree_free(tree);
		free(tree);
	}
	tree = calloc(1, sizeof(*tree));
	ck_assert_ptr_nonnull(tree);
	rig.store->unclean = rig.store->leeway.all = unclean;
	ck_assert_int_eq(tree_init(tree, rig.store, rig.gate, read_only, tree_said), 0);
	n_said = 0;
}

static inline void tree_start(enum name_mode names)
{
	umask(0); /* as the daemon has it */
	fault_clear();
	rig_begin(&rig);
	rig.names = names;
	rig_start(&rig);
	tree_fresh(false, false);
}

static inline void setup(void)
{
	tree_start(NAMES_SIV);
}

static inline void teardown(void)
{
	char command[sizeof(rig.dir) + 32];

	fault_clear();
	if (geteuid() != getuid())
		ck_assert_int_eq(seteuid(getuid()) || setegid(getgid()), 0);
	if (geteuid() != 0) { /* folders of any mode, to be removed */
		snprintf(command, sizeof(command), "chmod -R u+rwX %s", rig.dir);
		ck_assert_int_eq(system(command), 0);
	}
	tree_free(tree);
	free(tree);
	tree = NULL;
	rig_end(&rig);
}

/* Lock, by order. */
static inline void tree_lock(void)
{
	ck_assert_int_eq(gate_start(rig.gate, NULL), 0);
	ck_assert_int_eq(gate_lock(rig.gate, "the test"), 0);
}

/* The rest of the test is a plain user's, who owns the store; as whom the tests run, unless that is root. */
static inline void become_plain_user(void)
{
	char command[sizeof(rig.dir) + 32];

	if (geteuid() != 0)
		return;
	snprintf(command, sizeof(command), "chown -R 65534:65534 %s", rig.dir);
	ck_assert_int_eq(system(command), 0);
	ck_assert_int_eq(setgroups(0, NULL), 0);
	ck_assert_int_eq(setegid(65534), 0);
	ck_assert_int_eq(seteuid(65534), 0);
}

/* ---- names and what lies under them ---- */

static inline struct node *root(void)
{
	return tree->nodes.root;
}

static inline struct at at(struct node *dir, const char *name)
{
	return (struct at){dir, name};
}

/* A name of LEN times C. Three at a time. */
static inline const char *long_of(char c, size_t len)
{
	static char buf[3][300];
	static unsigned turn;
	char *p = buf[turn++ % 3];

	memset(p, c, len);
	p[len] = '\0';
	return p;
}

/* The name on disk. */
static inline struct disk_name disk_of(struct node *dir, const char *name)
{
	struct disk_name dn;

	ck_assert_int_eq(obj_encode(tree, at(dir, name), &dn), 0);
	return dn;
}

/* A descriptor of folder N that can be used for anything. */
static inline int fd_of(struct node *n)
{
	int fd = node_open(&tree->nodes, n, O_RDONLY);

	ck_assert_int_ge(fd, 0);
	return fd;
}

/* Is DISK (a name on disk) there? ST may be NULL. */
static inline bool lies(struct node *dir, const char *disk, struct stat *st)
{
	AUTO(auto_close) int fd = fd_of(dir);
	struct stat any;

	return fstatat(fd, disk, st ? st : &any, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Who asks where it does not matter. */
static const struct cred nobody = {65534, 65534, 0};

static inline struct make making(struct node *dir, const char *name, mode_t mode)
{
	return (struct make){.at = at(dir, name), .mode = mode, .cred = {geteuid(), getegid(), 022}};
}

static inline int try_file(struct node *dir, const char *name)
{
	const struct make m = making(dir, name, 0644);
	struct node *n;
	struct stat st;
	int r = obj_create(tree, &m, &n, &st, NULL);

	if (!r)
		node_forget(&tree->nodes, n, 1);
	return r;
}

static inline int try_dir(struct node *dir, const char *name)
{
	const struct make m = making(dir, name, 0755);
	struct node *n;
	struct stat st;
	int r = obj_mkdir(tree, &m, &n, &st);

	if (!r)
		node_forget(&tree->nodes, n, 1);
	return r;
}

/* Special objects by their letters: l, p, s, c, b. */
static inline struct make making_special(struct node *dir, const char *name, char kind)
{
	struct make m = making(dir, name, 0644);

	m.mode |= kind == 'l'   ? S_IFLNK
		  : kind == 'p' ? S_IFIFO
		  : kind == 's' ? S_IFSOCK
		  : kind == 'c' ? S_IFCHR
				: S_IFBLK;
	m.target = kind == 'l' ? "target" : NULL;
	m.rdev = makedev(7, 300);
	return m;
}

static inline int try_special(struct node *dir, const char *name, char kind)
{
	const struct make m = making_special(dir, name, kind);
	struct node *n;
	struct stat st;
	int r = obj_special_new(tree, &m, &n, &st);

	if (!r)
		node_forget(&tree->nodes, n, 1);
	return r;
}

static inline struct node *new_file(struct node *dir, const char *name)
{
	const struct make m = making(dir, name, 0644);
	struct node *n;
	struct stat st;

	ck_assert_int_eq(obj_create(tree, &m, &n, &st, NULL), 0);
	return n;
}

static inline struct node *new_dir(struct node *dir, const char *name)
{
	const struct make m = making(dir, name, 0755);
	struct node *n;
	struct stat st;

	ck_assert_int_eq(obj_mkdir(tree, &m, &n, &st), 0);
	return n;
}

static inline struct node *new_special(struct node *dir, const char *name, char kind)
{
	const struct make m = making_special(dir, name, kind);
	struct node *n;
	struct stat st;

	ck_assert_int_eq(obj_special_new(tree, &m, &n, &st), 0);
	return n;
}

/* Look up, and forget at once: whether it is there. */
static inline int try_look(struct node *dir, const char *name)
{
	struct node *n;
	struct stat st;
	int r = obj_lookup(tree, at(dir, name), &n, &st);

	if (!r)
		node_forget(&tree->nodes, n, 1);
	return r;
}

static inline struct node *look(struct node *dir, const char *name)
{
	struct node *n;
	struct stat st;

	ck_assert_int_eq(obj_lookup(tree, at(dir, name), &n, &st), 0);
	return n;
}

static inline struct stat attr(struct node *n)
{
	struct stat st;

	ck_assert_int_eq(obj_getattr(tree, n, &st), 0);
	return st;
}

/* Overwrite LEN bytes at OFF of the file that lies under DISK. */
static inline void scribble(struct node *dir, const char *disk, const void *bytes, size_t len, uint64_t off)
{
	AUTO(auto_close) int dir_fd = fd_of(dir);
	AUTO(auto_close) int fd = openat(dir_fd, disk, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(store_pwrite_full(fd, bytes, len, off), 0);
}

static inline void truncate_disk(struct node *dir, const char *disk, off_t len)
{
	AUTO(auto_close) int dir_fd = fd_of(dir);
	AUTO(auto_close) int fd = openat(dir_fd, disk, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, len), 0);
}

/* ---- everything that lies in the store, as text ---- */

static inline void snap_folder(FILE *out, int dir_fd, const char *path)
{
	struct dirent **list = NULL;
	int fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int n = fd < 0 ? -1 : scandirat(fd, ".", &list, NULL, alphasort);

	for (int i = 0; i < n; i++) {
		const char *name = list[i]->d_name;
		struct stat st;

		if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0) {
			ck_assert_int_eq(fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW), 0);
			fprintf(out, "%s/%s %ju %o %u:%u %ju %jd\n", path, name, (uintmax_t)st.st_ino, st.st_mode,
				st.st_uid, st.st_gid, (uintmax_t)st.st_nlink,
				S_ISDIR(st.st_mode) ? (intmax_t)0 : (intmax_t)st.st_size);
			if (S_ISDIR(st.st_mode))
				snap_folder(out, fd, name);
		}
		free(list[i]);
	}
	free(list);
	if (fd >= 0)
		close(fd);
}

/* Names, inodes, modes, owners, links, sizes. The caller frees it. */
static inline char *snap(void)
{
	char *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	snap_folder(out, rig.store->data_fd, ".");
	fclose(out);
	return text;
}

/* Nothing in the store, and no look-up count, has changed since *TEXT; which is freed. */
static inline void same_as(char *text)
{
	char *now = snap();

	ck_assert_str_eq(text, now);
	free(text);
	free(now);
}

/* The names that begin with PREFIX and lie in DIR. */
static inline unsigned count_names(struct node *dir, const char *prefix)
{
	AUTO(auto_close) int fd = fd_of(dir);
	struct dirent **list;
	unsigned found = 0;
	int n = scandirat(fd, ".", &list, NULL, NULL);

	for (int i = 0; i < n; i++) {
		found += strncmp(list[i]->d_name, prefix, strlen(prefix)) == 0;
		free(list[i]);
	}
	free(list);
	return found;
}

/* What the name on disk says, by its sidecar if it has one, in the folder whose id DIR has: 0 or -EBADMSG. */
static inline int decode(struct node *dir, const char *disk, char plain[NAME_LEN_MAX + 1])
{
	uint8_t sidecar[NAME_SIDECAR_MAX + 100], id[ID_LEN];
	char name[NAME_LEN_MAX + 1];
	const struct store_keys *keys;
	ssize_t len = 0;

	ck_assert_int_eq(obj_dir_id(tree, dir, id), 0);
	name_sidecar(disk, name);
	if (name[0]) {
		AUTO(auto_close) int dir_fd = fd_of(dir);
		AUTO(auto_close) int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

		len = fd >= 0 ? pread(fd, sidecar, sizeof(sidecar), 0) : 0;
	}
	ck_assert_int_eq(gate_enter(rig.gate, GATE_USE_NEW, &keys), 0);
	int r = name_decode(keys, rig.names, id, disk, len > 0 ? sidecar : NULL, (size_t)len, plain);
	gate_leave(rig.gate);
	return r;
}

/* NAME lies in DIR as it should: its sidecar (there if it is long, and only then) tells the name. */
static inline void whole(struct node *dir, const char *name)
{
	struct disk_name dn = disk_of(dir, name);
	char plain[NAME_LEN_MAX + 1];

	ck_assert(lies(dir, dn.name, NULL));
	ck_assert_int_eq(decode(dir, dn.name, plain), 0);
	ck_assert_str_eq(plain, name);
}

/* Neither NAME nor a sidecar of it lies in DIR. */
static inline void nothing_of(struct node *dir, const char *name)
{
	struct disk_name dn = disk_of(dir, name);

	ck_assert(!lies(dir, dn.name, NULL));
	ck_assert(!dn.sidecar[0] || !lies(dir, dn.sidecar, NULL));
}

#endif
