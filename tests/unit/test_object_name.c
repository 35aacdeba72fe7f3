/* SPDX-License-Identifier: BSD-2-Clause */
/* Names go and move: unlink, rmdir, rename, sidecars in their order, and what a failure in between leaves. */
#include "tree_rig.h"

/* Long names, each in a buffer of its own. */
static char long_a[201], long_b[202];

static void setup_names(void)
{
	setup();
	memset(long_a, 'a', sizeof(long_a) - 1);
	memset(long_b, 'b', sizeof(long_b) - 1);
}

static int rename_to(const char *from, const char *to, unsigned flags)
{
	return obj_rename(tree, at(root(), from), at(root(), to), flags, &nobody);
}

static void drop(struct node *n)
{
	node_forget(&tree->nodes, n, 1);
}

/* ---- the order of a long name and its sidecar ---- */

static unsigned n_seen; /* how often the order was looked at */

static bool at_fd(int dir_fd, const char *name)
{
	struct stat st;
	return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* No long name without its sidecar, at no moment. */
static void sidecar_first_and_last(enum fault_call call, int dir_fd, const char *name)
{
	char other[NAME_LEN_MAX + 1];
	if (strncmp(name, LONG_PREFIX, strlen(LONG_PREFIX)) == 0 && call != CALL_UNLINKAT &&
	    call != CALL_OPENAT2) { /* which makes none here */
		name_sidecar(name, other);
		ck_assert_msg(at_fd(dir_fd, other), "the name comes before its sidecar");
		n_seen++;
	}
	if (strncmp(name, SIDECAR_PREFIX, strlen(SIDECAR_PREFIX)) == 0 && call == CALL_UNLINKAT) {
		snprintf(other, sizeof(other), LONG_PREFIX "%s", name + strlen(SIDECAR_PREFIX));
		ck_assert_msg(!at_fd(dir_fd, other), "the sidecar goes before its name");
		n_seen++;
	}
}

START_TEST(sidecar_before_name)
{
	struct node *f = new_file(root(), "f");
	struct stat st;
	fault_watch = sidecar_first_and_last;
	ck_assert_int_eq(try_file(root(), long_a), 0);
	ck_assert_uint_eq(n_seen, 1);
	ck_assert_int_eq(obj_unlink(tree, at(root(), long_a), true), 0);
	ck_assert_uint_eq(n_seen, 2);
	nothing_of(root(), long_a);
	ck_assert_int_eq(try_dir(root(), long_a), 0);
	ck_assert_int_eq(obj_rmdir(tree, at(root(), long_a)), 0);
	ck_assert_int_eq(try_special(root(), long_a, 's'), 0);
	ck_assert_int_eq(obj_unlink(tree, at(root(), long_a), true), 0);
	ck_assert_int_eq(obj_link(tree, f, at(root(), long_a), &st), 0);
	n_seen = 0;
	ck_assert_int_eq(rename_to(long_a, long_b, 0), 0);
	ck_assert_uint_eq(n_seen, 2);
	nothing_of(root(), long_a);
	whole(root(), long_b);
}
END_TEST

/* Each way to make something, in a form that can fail. */
static int make_kind(int kind, const char *name)
{
	struct node *n = kind == 3 ? look(root(), "f") : root();
	struct stat st;
	int r = kind == 0   ? try_file(root(), name)
		: kind == 1 ? try_dir(root(), name)
		: kind == 2 ? try_special(root(), name, 'l')
		: kind == 3 ? obj_link(tree, n, at(root(), name), &st)
			    : rename_to("g", name, 0);
	if (kind == 3)
		drop(n);
	return r;
}

/* What fails when, while something is made: nothing of it stays. */
START_TEST(failure_while_making_leaves_nothing)
{
	static const struct {
		int kind;
		struct fault fault;
	} cases[] = {
		{0, {CALL_OPENAT, LONG_PREFIX, ENOSPC, 0, 1}},
		{0, {CALL_PWRITE, NULL, ENOSPC, 0, 1}}, /* the sidecar's bytes */
		{0, {CALL_PWRITE, NULL, ENOSPC, 1, 1}}, /* the header */
		{1, {CALL_MKDIRAT, NULL, EDQUOT, 0, 1}},
		{1, {CALL_OPENAT2, LONG_PREFIX, EMFILE, 2, 1}}, /* behind two looks at the name */
		{1, {CALL_PWRITE, NULL, EIO, 0, 1}},
		{1, {CALL_PWRITE, NULL, ENOSPC, 1, 1}}, /* the id */
		{2, {CALL_OPENAT, OWN_PREFIX "tmp.", ENOSPC, 0, 1}},
		{2, {CALL_PWRITE, NULL, ENOSPC, 0, 1}},
		{2, {CALL_PWRITE, NULL, ENOSPC, 1, 1}}, /* the record */
		{2, {CALL_FTRUNCATE, NULL, EFBIG, 0, 1}},
		{2, {CALL_RENAMEAT2, NULL, EIO, 0, 1}},
		{3, {CALL_LINKAT, NULL, EMLINK, 0, 1}},
		{3, {CALL_PWRITE, NULL, ENOSPC, 0, 1}},
		{4, {CALL_RENAMEAT2, NULL, EIO, 0, 1}},
		{4, {CALL_PWRITE, NULL, ENOSPC, 0, 1}},
	};
	drop(new_file(root(), "f"));
	drop(new_file(root(), "g"));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char *was = snap();
		uint64_t known = tree->nodes.known;
		fault_clear();
		faults[0] = cases[i].fault;
		ck_assert_msg(make_kind(cases[i].kind, long_a) == -cases[i].fault.err, "case %zu", i);
		ck_assert_msg(faults[0].left == 0, "case %zu", i);
		fault_clear();
		same_as(was);
		ck_assert_uint_eq(tree->nodes.known, known);
		ck_assert_int_eq(try_look(root(), long_a), -ENOENT);
	}
	for (int kind = 0; kind < 5; kind++) { /* and none of it is in the way */
		ck_assert_int_eq(make_kind(kind, long_a), 0);
		whole(root(), long_a);
		ck_assert_int_eq(kind == 1 ? obj_rmdir(tree, at(root(), long_a))
					   : obj_unlink(tree, at(root(), long_a), true),
				 0);
	}
}
END_TEST

/* The gate locks when the sidecar is there and nothing else: it does not stay, or what is made is whole. */
static void lock_at_first_write(enum fault_call call, int dir_fd, const char *name)
{
	(void)dir_fd;
	(void)name;
	if (call != CALL_PWRITE)
		return;
	fault_watch = NULL;
	tree_lock();
}

START_TEST(locked_while_making)
{
	char why[320];
	drop(new_file(root(), "f"));
	drop(new_file(root(), "g"));
	char *was = snap();
	fault_watch = lock_at_first_write;
	int r = make_kind(_i, long_a);
	/* the folder's id cannot be sealed; the special object is there, but what it is cannot be told */
	ck_assert_int_eq(r, _i == 1 || _i == 2 ? -EACCES : 0);
	ck_assert_int_eq(gate_unlock(rig.gate, why), 0);
	if (_i == 1) {
		same_as(was);
	} else {
		whole(root(), long_a);
		ck_assert_int_eq(try_look(root(), long_a), 0);
		free(was);
	}
}
END_TEST

/* The same for short names, where there is no sidecar to take back. */
START_TEST(failure_while_making_a_short_name)
{
	drop(new_file(root(), "f"));
	drop(new_file(root(), "g"));
	char *was = snap();
	fault_set(CALL_PWRITE, NULL, ENOSPC);
	ck_assert_int_eq(make_kind(0, "x"), -ENOSPC);
	fault_set(CALL_PWRITE, NULL, ENOSPC);
	ck_assert_int_eq(make_kind(1, "x"), -ENOSPC);
	fault_set(CALL_PWRITE, NULL, ENOSPC);
	ck_assert_int_eq(make_kind(2, "x"), -ENOSPC);
	fault_set(CALL_RENAMEAT2, NULL, EXDEV);
	ck_assert_int_eq(make_kind(4, "x"), -EXDEV);
	same_as(was);
}
END_TEST

/* A death after the name went and before its sidecar did: harmless, and used again. */
START_TEST(orphaned_sidecar)
{
	struct disk_name dn = disk_of(root(), long_a);
	ck_assert_int_eq(try_file(root(), long_a), 0);
	fault_set(CALL_UNLINKAT, SIDECAR_PREFIX, EIO);
	ck_assert_int_eq(obj_unlink(tree, at(root(), long_a), true), 0);
	ck_assert(!lies(root(), dn.name, NULL));
	ck_assert(lies(root(), dn.sidecar, NULL));
	ck_assert_int_eq(try_look(root(), long_a), -ENOENT);
	ck_assert_int_eq(try_dir(root(), long_a), 0);
	whole(root(), long_a);
	ck_assert_int_eq(obj_rmdir(tree, at(root(), long_a)), 0);
	nothing_of(root(), long_a);
	/* half written, or somebody's */
	scribble(root(), dn.sidecar, "half", 4, 0);
	ck_assert_int_eq(try_file(root(), long_a), 0);
	whole(root(), long_a);
	ck_assert_int_eq(obj_unlink(tree, at(root(), long_a), true), 0);
	truncate_disk(root(), dn.sidecar, 300);
	ck_assert_int_eq(try_file(root(), long_a), 0);
	whole(root(), long_a);
}
END_TEST

/* What is planted where a sidecar goes fails the one who makes the name, and stops nobody. */
START_TEST(planted_sidecar)
{
	struct disk_name dn = disk_of(root(), long_a);
	AUTO(auto_close) int fd = fd_of(root());
	ck_assert_int_eq(mkfifoat(fd, dn.sidecar, 0600), 0);
	ck_assert_int_ne(try_file(root(), long_a), 0);
	AUTO(auto_close) int reader = openat(fd, dn.sidecar, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	ck_assert_int_ge(reader, 0);
	ck_assert_int_eq(try_dir(root(), long_a), -EIO); /* a fifo with a reader even opens */
	ck_assert_int_eq(unlinkat(fd, dn.sidecar, 0), 0);
	ck_assert_int_eq(symlinkat("/tmp/elsewhere", fd, dn.sidecar), 0);
	ck_assert_int_eq(try_file(root(), long_a), -ELOOP);
	ck_assert_int_ne(access("/tmp/elsewhere", F_OK), 0);
	ck_assert_int_eq(unlinkat(fd, dn.sidecar, 0), 0);
	ck_assert_int_eq(mkdirat(fd, dn.sidecar, 0700), 0);
	ck_assert_int_eq(try_special(root(), long_a, 'c'), -EISDIR);
	ck_assert_int_eq(try_file(root(), "short"), 0);
	ck_assert_int_eq(rename_to("short", long_a, 0), -EISDIR);
	whole(root(), "short");
	ck_assert(!lies(root(), dn.name, NULL));
}
END_TEST

/* A backing that knows no RENAME_NOREPLACE. */
START_TEST(special_without_noreplace)
{
	const char *name = _i == 0 ? "s" : long_a;
	fault_set(CALL_RENAMEAT2, NULL, EINVAL);
	ck_assert_int_eq(try_special(root(), name, 'l'), 0);
	ck_assert_uint_eq(fault_seen[CALL_LINKAT], 1);
	whole(root(), name);
	ck_assert_int_eq(attr(look(root(), name)).st_size, 6);
	ck_assert_uint_eq(attr(look(root(), name)).st_nlink, 1);
	ck_assert_uint_eq(count_names(root(), OWN_PREFIX "tmp."), 0);
	fault_set(CALL_RENAMEAT2, NULL, EINVAL);
	ck_assert_int_eq(try_special(root(), name, 'c'), -EEXIST);
	fault_set(CALL_RENAMEAT2, NULL, EINVAL);
	faults[1] = (struct fault){CALL_LINKAT, NULL, EPERM, 0, 1};
	ck_assert_int_eq(try_special(root(), long_b, 'c'), -EPERM);
	ck_assert_uint_eq(count_names(root(), OWN_PREFIX "tmp."), 0);
	nothing_of(root(), long_b);
	whole(root(), name);
}
END_TEST

/* ---- unlink ---- */

START_TEST(unlinked_and_still_used)
{
	struct node *f = new_file(root(), "f"), *l = new_special(root(), "l", 'l');
	drop(new_file(root(), "forgotten"));
	ck_assert_int_eq(obj_unlink(tree, at(root(), "nothing"), true), -ENOENT);
	ck_assert_int_eq(obj_unlink(tree, at(root(), "f"), true), 0);
	ck_assert_int_eq(try_look(root(), "f"), -ENOENT);
	ck_assert_int_ge(f->orphan_fd, 0);
	ck_assert_ptr_null(f->links);
	ck_assert_uint_eq(attr(f).st_nlink, 0);
	ck_assert_int_eq(obj_unlink(tree, at(root(), "f"), true), -ENOENT);
	ck_assert_int_eq(obj_unlink(tree, at(root(), "l"), true), 0);
	struct special s;
	ck_assert_int_eq(obj_special(tree, l, &s), 0);
	ck_assert_str_eq(s.target, "target");
	/* nobody knows it: no descriptor is kept */
	unsigned opens = (fault_clear(), 1); /* the look */
	ck_assert_int_eq(obj_unlink(tree, at(root(), "forgotten"), true), 0);
	ck_assert_uint_eq(fault_seen[CALL_OPENAT2], opens);
	drop(f);
	drop(l);
	ck_assert_uint_eq(tree->nodes.n_nodes, 1);
}
END_TEST

static bool is_lost(const uint8_t id[ID_LEN])
{
	struct lost_counts n;

	lost_count(tree->env.lost, &n);
	return n.files > 0 && lost_hit(tree->env.lost, id, 0, 1);
}

/* What was lost goes with the last name, by unlink or by a rename over it; and is part of the size that is told until then. */
START_TEST(lost_goes_with_the_last_name)
{
	uint8_t id[ID_LEN];

	for (int replaced = 0; replaced < 2; replaced++) {
		ck_assert_int_eq(lost_new(&tree->env.lost), 0);
		struct node *f = new_file(root(), "f"), *other = new_file(root(), "other");
		struct stat st;
		ck_assert_int_eq(obj_id(tree, f, id), 0);
		ck_assert_int_eq(attr(f).st_size, 0);
		ck_assert_int_eq(lost_add(tree->env.lost, &(struct lost_of){id, 0}, 0, 12345), 0);
		ck_assert_int_eq(attr(f).st_size, 12345);
		ck_assert_int_eq(attr(other).st_size, 0);
		ck_assert_int_eq(obj_link(tree, f, at(root(), "g"), &st), 0);
		ck_assert_int_eq(st.st_size, 12345);
		ck_assert_int_eq(obj_unlink(tree, at(root(), "f"), true), 0);
		ck_assert(is_lost(id));
		drop(f);
		ck_assert_int_eq(attr(look(root(), "g")).st_size, 12345);
		ck_assert_int_eq(replaced ? rename_to("other", "g", 0) : obj_unlink(tree, at(root(), "g"), true), 0);
		ck_assert(!is_lost(id));
		lost_free(tree->env.lost);
		tree->env.lost = NULL;
		if (!replaced)
			ck_assert_int_eq(obj_unlink(tree, at(root(), "other"), true), 0);
	}
}
END_TEST

START_TEST(unlink_that_fails)
{
	struct node *d = new_dir(root(), "d"), *f = new_file(root(), long_a);
	char *was = snap();
	ck_assert_int_eq(obj_unlink(tree, at(root(), "d"), true), -EISDIR);
	fault_set(CALL_UNLINKAT, LONG_PREFIX, EROFS);
	ck_assert_int_eq(obj_unlink(tree, at(root(), long_a), true), -EROFS);
	same_as(was);
	whole(root(), long_a);
	/* both are as before for those who know them */
	ck_assert_ptr_eq(look(root(), long_a), f);
	ck_assert_uint_eq(attr(f).st_nlink, 1);
	ck_assert_int_eq(try_file(d, "in it"), 0);
	ck_assert_int_eq(rename_to(long_a, "f", 0), 0);
	ck_assert_uint_eq(attr(f).st_nlink, 1);
}
END_TEST

/* Somebody has put another object there between the look and the open: it is not taken for the one that goes. */
static int swap_at = -1;
static void swap_before_open(enum fault_call call, int dir_fd, const char *name)
{
	if (call != CALL_OPENAT2 || swap_at-- != 0)
		return;
	ck_assert_int_eq(renameat(dir_fd, name, dir_fd, OWN_PREFIX "aside"), 0);
	int fd = (int)syscall(SYS_openat, dir_fd, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	ck_assert_int_ge(fd, 0);
	close(fd);
}

START_TEST(unlink_beside_a_swap)
{
	struct node *f = new_file(root(), "f");
	swap_at = 1; /* the look is the first */
	fault_watch = swap_before_open;
	ck_assert_int_eq(obj_unlink(tree, at(root(), "f"), true), 0);
	ck_assert_int_eq(swap_at, -1);
	ck_assert_int_lt(f->orphan_fd, 0);
	/* no descriptor to be had: it goes all the same */
	f = new_file(root(), "f");
	fault_set(CALL_OPENAT2, NULL, EMFILE);
	faults[0].skip = 1;
	ck_assert_int_eq(obj_unlink(tree, at(root(), "f"), true), 0);
	ck_assert_int_eq(faults[0].left, 0);
	ck_assert_int_lt(f->orphan_fd, 0);
}
END_TEST

/* ---- rmdir ---- */

START_TEST(empty_folder_goes)
{
	struct node *d = new_dir(root(), long_a);
	struct stat st;
	ck_assert_int_eq(obj_rmdir(tree, at(root(), "nothing")), -ENOENT);
	ck_assert_int_eq(try_file(root(), "f"), 0);
	ck_assert_int_eq(obj_rmdir(tree, at(root(), "f")), -ENOTDIR);
	ck_assert_int_eq(obj_rmdir(tree, at(root(), long_a)), 0);
	nothing_of(root(), long_a);
	ck_assert_int_eq(obj_getattr(tree, d, &st), 0); /* somebody is still in it */
	ck_assert(S_ISDIR(st.st_mode));
	ck_assert_int_eq(try_file(d, "f"), -ENOENT);
	ck_assert_int_eq(try_dir(d, long_b), -ENOENT);
	ck_assert_int_eq(try_look(d, "f"), -ENOENT);
	drop(d);
	ck_assert_uint_eq(tree->nodes.n_nodes, 1);
}
END_TEST

START_TEST(full_folder_stays)
{
	static const char *const in_it[] = {"file", "folder", "link"};
	struct node *d = new_dir(root(), "d");
	for (size_t i = 0; i < ARRAY_LEN(in_it); i++) {
		ck_assert_int_eq(i == 0   ? try_file(d, in_it[i])
				 : i == 1 ? try_dir(d, in_it[i])
					  : try_special(d, in_it[i], 'l'),
				 0);
		truncate_disk(d, OWN_PREFIX "tmp.1", 5); /* ours, but not to be touched while it stays */
		char *was = snap();
		ck_assert_int_eq(obj_rmdir(tree, at(root(), "d")), -ENOTEMPTY);
		same_as(was);
		ck_assert_int_eq(i == 1 ? obj_rmdir(tree, at(d, in_it[i])) : obj_unlink(tree, at(d, in_it[i]), true),
				 0);
	}
	ck_assert_int_eq(try_file(d, long_a), 0);
	ck_assert_int_eq(obj_rmdir(tree, at(root(), "d")), -ENOTEMPTY);
	ck_assert_int_eq(obj_unlink(tree, at(d, long_a), true), 0);
	truncate_disk(d, "not ours", 5);
	ck_assert_int_eq(obj_rmdir(tree, at(root(), "d")), -ENOTEMPTY);
	AUTO(auto_close) int fd = fd_of(d);
	ck_assert_int_eq(unlinkat(fd, "not ours", 0), 0);
	ck_assert_int_eq(obj_rmdir(tree, at(root(), "d")), 0);
}
END_TEST

/* What crashes have left in it is no content. */
START_TEST(folder_with_leftovers_goes)
{
	struct node *d = new_dir(root(), "d");
	AUTO(auto_close) int fd = fd_of(d);
	truncate_disk(d, OWN_PREFIX "tmp.00ff", 100);
	truncate_disk(d, disk_of(d, long_a).sidecar, 216);
	ck_assert_int_eq(mkdirat(fd, OWN_PREFIX "odd", 0700), 0);
	ck_assert_int_eq(obj_rmdir(tree, at(root(), "d")), -ENOTEMPTY); /* a folder was never ours */
	ck_assert_int_eq(unlinkat(fd, OWN_PREFIX "odd", AT_REMOVEDIR), 0);
	ck_assert_int_eq(try_file(d, "f"), 0); /* its id is as before */
	whole(d, "f");
	ck_assert_int_eq(obj_unlink(tree, at(d, "f"), true), 0);
	truncate_disk(d, disk_of(d, long_a).sidecar, 216);
	ck_assert_int_eq(obj_rmdir(tree, at(root(), "d")), 0);
	ck_assert_int_eq(try_look(root(), "d"), -ENOENT);
}
END_TEST

/* A mkdir that a crash cut off: no id, or an empty one. */
START_TEST(stump_of_a_folder_goes)
{
	struct node *d = new_dir(root(), "d");
	AUTO(auto_close) int fd = fd_of(d);
	if (_i == 0)
		ck_assert_int_eq(unlinkat(fd, DIRID_NAME, 0), 0);
	else
		truncate_disk(d, DIRID_NAME, _i == 1 ? 0 : 7);
	tree_fresh(true, false);
	ck_assert_int_eq(obj_rmdir(tree, at(root(), "d")), 0);
	nothing_of(root(), "d");
}
END_TEST

static void id_of(struct node *dir, uint8_t id[DIRID_LEN])
{
	AUTO(auto_close) int dir_fd = fd_of(dir);
	AUTO(auto_close) int fd = openat(dir_fd, DIRID_NAME, O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(store_pread_full(fd, id, DIRID_LEN, 0), 0);
}

/* Emptied, and then it cannot go: the same id comes back. */
START_TEST(rmdir_that_fails)
{
	struct node *d = new_dir(root(), long_a);
	uint8_t was[DIRID_LEN], now[DIRID_LEN];
	id_of(d, was);
	fault_set(CALL_UNLINKAT, LONG_PREFIX, EBUSY);
	ck_assert_int_eq(obj_rmdir(tree, at(root(), long_a)), -EBUSY);
	id_of(d, now);
	ck_assert_mem_eq(was, now, DIRID_LEN);
	whole(root(), long_a);
	fault_set(CALL_UNLINKAT, DIRID_NAME, EACCES);
	ck_assert_int_eq(obj_rmdir(tree, at(root(), long_a)), -EACCES);
	id_of(d, now);
	ck_assert_mem_eq(was, now, DIRID_LEN);
	fault_set(CALL_OPENAT2, LONG_PREFIX, EMFILE);
	faults[0].skip = 2; /* the look, and the one that is kept for those who know it */
	ck_assert_int_eq(obj_rmdir(tree, at(root(), long_a)), -EMFILE);
	fault_set(CALL_OPENAT, ".", EMFILE);
	faults[0].skip = 1; /* to be listed */
	ck_assert_int_eq(obj_rmdir(tree, at(root(), long_a)), -EMFILE);
	truncate_disk(d, OWN_PREFIX "tmp.1", 5);
	fault_set(CALL_UNLINKAT, OWN_PREFIX "tmp.", EACCES);
	ck_assert_int_eq(obj_rmdir(tree, at(root(), long_a)), -ENOTEMPTY);
	ck_assert_int_eq(try_file(d, "f"), 0);
	whole(d, "f");
}
END_TEST

/* Not even the id comes back: no name is sealed under it any more, and the session is not a clean one. */
START_TEST(rmdir_that_fails_twice)
{
	struct node *d = new_dir(root(), "d");
	struct disk_name dn = disk_of(root(), "d");
	uint8_t id[ID_LEN];
	fault_set(CALL_UNLINKAT, dn.name, EBUSY);
	faults[1] = (struct fault){CALL_PWRITE, NULL, ENOSPC, 0, 1};
	ck_assert_int_eq(obj_rmdir(tree, at(root(), "d")), -EBUSY);
	ck_assert_int_eq(faults[1].left, 0);
	ck_assert_uint_eq(count_names(d, DIRID_NAME), 0);
	ck_assert_int_eq(obj_dir_id(tree, d, id), -EIO);
	ck_assert_int_eq(try_file(d, "f"), -EIO);
	ck_assert_uint_eq(count_names(d, ""), 2); /* . and .. */
	ck_assert(atomic_load(&tree->env.half_done));
	tree_fresh(true, false); /* as the next mount finds it */
	d = look(root(), "d");
	ck_assert_int_eq(try_file(d, "f"), 0);
	whole(d, "f");
}
END_TEST

/* ---- rename ---- */

static void tree_with_names(int i)
{
	if (i == 0)
		return;
	teardown();
	tree_start(NAMES_PLAIN);
}

START_TEST(rename_moves)
{
	tree_with_names(_i);
	struct node *d = new_dir(root(), "d"), *f = new_file(root(), "f"), *e = new_dir(root(), "e");
	ck_assert_int_eq(try_file(e, "in e"), 0);
	ck_assert_int_eq(rename_to("f", "g", 0), 0);
	nothing_of(root(), "f");
	whole(root(), "g");
	ck_assert_int_eq(rename_to("g", long_a, 0), 0);
	nothing_of(root(), "g");
	whole(root(), long_a);
	ck_assert_int_eq(obj_rename(tree, at(root(), long_a), at(d, long_a), RENAME_NOREPLACE, &nobody), 0);
	nothing_of(root(), long_a);
	whole(d, long_a);
	ck_assert_int_eq(obj_rename(tree, at(d, long_a), at(d, "s"), 0, &nobody), 0);
	nothing_of(d, long_a);
	whole(d, "s");
	ck_assert_int_eq(obj_rename(tree, at(root(), "e"), at(d, "e"), 0, &nobody), 0);
	ck_assert_ptr_eq(look(d, "s"), f); /* the table went along */
	ck_assert_ptr_null(f->links->next);
	ck_assert_ptr_eq(f->links->parent, d);
	ck_assert_ptr_eq(look(d, "e"), e);
	ck_assert_uint_eq(attr(f).st_nlink, 1);
	ck_assert_int_eq(try_look(e, "in e"), 0);
	whole(e, "in e");
	ck_assert_int_eq(f->orphan_fd, -1);
}
END_TEST

/* overlayfs: a character device 0:0 stays where the name was, whatever lay at the other. */
START_TEST(rename_leaves_whiteout)
{
	tree_with_names(_i);
	static const char *const names[] = {"f", long_a};
	struct node *n;
	struct stat st;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		ck_assert_int_eq(try_file(root(), names[i]), 0);
		ck_assert_int_eq(rename_to(names[i], "g", RENAME_WHITEOUT), 0);
		ck_assert_int_eq(obj_lookup(tree, at(root(), names[i]), &n, &st), 0);
		ck_assert(S_ISCHR(st.st_mode) && st.st_rdev == 0 && (st.st_mode & 07777) == 0);
		node_forget(&tree->nodes, n, 1);
		ck_assert_int_eq(obj_lookup(tree, at(root(), "g"), &n, &st), 0);
		ck_assert(S_ISREG(st.st_mode));
		node_forget(&tree->nodes, n, 1);
		ck_assert_int_eq(obj_unlink(tree, at(root(), names[i]), true), 0);
	}
}
END_TEST

START_TEST(rename_that_is_refused)
{
	tree_with_names(_i);
	struct node *d = new_dir(root(), "d"), *e = new_dir(root(), "empty");
	uint8_t id[DIRID_LEN], now[DIRID_LEN];
	ck_assert_int_eq(try_file(root(), "f"), 0);
	ck_assert_int_eq(try_file(d, "in d"), 0);
	id_of(e, id);
	char *was = snap();
	ck_assert_int_eq(rename_to("nothing", "g", 0), -ENOENT);
	ck_assert_int_eq(rename_to("nothing", long_a, 0), -ENOENT);
	ck_assert_int_eq(rename_to("f", "d", RENAME_NOREPLACE), -EEXIST);
	ck_assert_int_eq(rename_to("f", "nothing", RENAME_EXCHANGE), -ENOENT);
	ck_assert_int_eq(rename_to("f", "empty", RENAME_WHITEOUT | RENAME_EXCHANGE), -EINVAL);
	ck_assert_int_eq(rename_to("f", "d", RENAME_WHITEOUT | RENAME_NOREPLACE), -EEXIST);
	ck_assert_int_eq(rename_to("f", "g", 64), -EINVAL);
	ck_assert_int_eq(rename_to("f", "empty", 0), -EISDIR);
	ck_assert_int_eq(rename_to("empty", "f", 0), -ENOTDIR);
	ck_assert_int_eq(rename_to("empty", "d", 0), -ENOTEMPTY);
	ck_assert_int_eq(obj_rename(tree, at(root(), "d"), at(d, long_a), 0, &nobody), -EINVAL); /* into itself */
	same_as(was);
	id_of(e, now);
	ck_assert_mem_eq(id, now, DIRID_LEN);
	whole(root(), "f");
	whole(d, "in d");
}
END_TEST

START_TEST(rename_over_a_file)
{
	tree_with_names(_i);
	struct node *old = new_file(root(), long_b), *new = new_file(root(), long_a);
	ck_assert_int_eq(rename_to(long_a, long_b, 0), 0);
	nothing_of(root(), long_a);
	whole(root(), long_b);
	ck_assert_ptr_eq(look(root(), long_b), new);
	ck_assert_uint_eq(attr(old).st_nlink, 0); /* still open somewhere */
	ck_assert_ptr_null(old->links);
	/* it fails: the old one stays, whole */
	ck_assert_int_eq(try_file(root(), "f"), 0);
	char *was = snap();
	fault_set(CALL_RENAMEAT2, NULL, EDQUOT);
	ck_assert_int_eq(rename_to("f", long_b, 0), -EDQUOT);
	same_as(was);
	whole(root(), long_b);
	ck_assert_ptr_eq(look(root(), long_b), new);
}
END_TEST

START_TEST(rename_over_an_empty_folder)
{
	tree_with_names(_i);
	struct node *full = new_dir(root(), "full"), *old = new_dir(root(), "empty");
	uint8_t id[DIRID_LEN], now[DIRID_LEN];
	ck_assert_int_eq(try_file(full, "f"), 0);
	truncate_disk(old, OWN_PREFIX "tmp.9", 9);
	id_of(old, id);
	fault_set(CALL_RENAMEAT2, NULL, EIO);
	ck_assert_int_eq(rename_to("full", "empty", 0), -EIO);
	id_of(old, now); /* put back */
	ck_assert_mem_eq(id, now, DIRID_LEN);
	ck_assert_int_eq(rename_to("full", "empty", 0), 0);
	nothing_of(root(), "full");
	ck_assert_ptr_eq(look(root(), "empty"), full);
	whole(full, "f");
	ck_assert_int_eq(try_look(full, "f"), 0);
	struct stat st;
	ck_assert_int_eq(obj_getattr(tree, old, &st), 0);
	ck_assert_int_eq(try_file(old, "g"), -ENOENT);
	/* a folder over one below itself: that one has its id again */
	struct node *below = new_dir(full, "below");
	id_of(below, id);
	ck_assert_int_eq(obj_rename(tree, at(root(), "empty"), at(full, "below"), 0, &nobody), -EINVAL);
	id_of(below, now);
	ck_assert_mem_eq(id, now, DIRID_LEN);
}
END_TEST

START_TEST(exchange)
{
	tree_with_names(_i);
	struct node *d = new_dir(root(), "d"), *f = new_file(d, long_b), *e = new_dir(root(), long_a);
	ck_assert_int_eq(try_file(e, "in e"), 0);
	ck_assert_int_eq(obj_rename(tree, at(root(), long_a), at(d, long_b), RENAME_EXCHANGE, &nobody), 0);
	ck_assert_ptr_eq(look(root(), long_a), f);
	ck_assert_ptr_eq(look(d, long_b), e);
	whole(root(), long_a);
	whole(d, long_b);
	whole(e, "in e");
	ck_assert_ptr_eq(f->links->parent, root());
	ck_assert_ptr_null(f->links->next);
	ck_assert_ptr_eq(e->links->parent, d);
	ck_assert_ptr_null(e->links->next);
	ck_assert_uint_eq(attr(f).st_nlink, 1);
	char *was = snap();
	fault_set(CALL_RENAMEAT2, NULL, EINVAL); /* a backing without it */
	ck_assert_int_eq(obj_rename(tree, at(root(), long_a), at(d, long_b), RENAME_EXCHANGE, &nobody), -EINVAL);
	same_as(was);
}
END_TEST

/* rename(2): two names of one object, and nothing happens. */
START_TEST(rename_over_itself)
{
	struct node *f = new_file(root(), long_a);
	struct stat st;
	ck_assert_int_eq(obj_link(tree, f, at(root(), long_b), &st), 0);
	char *was = snap();
	ck_assert_int_eq(rename_to(long_a, long_b, 0), 0);
	ck_assert_int_eq(rename_to(long_a, long_a, 0), 0);
	ck_assert_int_eq(rename_to(long_a, long_b, RENAME_EXCHANGE), 0);
	same_as(was);
	whole(root(), long_a);
	whole(root(), long_b);
	ck_assert_ptr_eq(look(root(), long_a), f);
	ck_assert_ptr_eq(look(root(), long_b), f);
	struct node *d = new_dir(root(), "d");
	uint8_t id[DIRID_LEN];
	ck_assert_int_eq(rename_to("d", "d", 0), 0);
	id_of(d, id);
}
END_TEST

/* ---- a plain user's folders ---- */

static void chmod_disk(struct node *dir, const char *name, mode_t mode)
{
	struct disk_name dn = disk_of(dir, name);
	AUTO(auto_close) int fd = fd_of(dir);
	ck_assert_int_eq((int)syscall(SYS_fchmodat, fd, dn.name, mode), 0);
}

static mode_t mode_of(struct node *dir, const char *name)
{
	struct disk_name dn = disk_of(dir, name);
	struct stat st;
	ck_assert(lies(dir, dn.name, &st));
	return st.st_mode & 07777;
}

START_TEST(plain_user_removes_his_own)
{
	become_plain_user();
	drop(new_dir(root(), "d"));
	chmod_disk(root(), "d", 0555);
	ck_assert_int_eq(obj_rmdir(tree, at(root(), "d")), 0);
	drop(new_dir(root(), "d")); /* with all bits: nothing is lifted */
	fault_clear();
	ck_assert_int_eq(obj_rmdir(tree, at(root(), "d")), 0);
	ck_assert_uint_eq(fault_seen[CALL_CHMOD], 0);
	drop(new_dir(root(), "d"));
	drop(new_dir(root(), "e"));
	chmod_disk(root(), "d", 0000);
	ck_assert_int_eq(rename_to("e", "d", 0), 0);
	ck_assert_uint_eq(mode_of(root(), "d"), 0755);
	whole(root(), "d");
}
END_TEST

START_TEST(plain_user_keeps_his_bits)
{
	struct disk_name dn;
	struct node *d;
	become_plain_user();
	d = new_dir(root(), "d");
	ck_assert_int_eq(try_dir(root(), "e"), 0);
	ck_assert_int_eq(try_file(d, "f"), 0);
	dn = disk_of(root(), "d");
	chmod_disk(root(), "d", 0555);
	ck_assert_int_eq(obj_rmdir(tree, at(root(), "d")), -ENOTEMPTY);
	ck_assert_uint_eq(mode_of(root(), "d"), 0555);
	ck_assert_int_eq(rename_to("e", "d", 0), -ENOTEMPTY);
	ck_assert_uint_eq(mode_of(root(), "d"), 0555);
	chmod_disk(root(), "d", 0000);
	ck_assert_int_eq(obj_rmdir(tree, at(root(), "d")), -ENOTEMPTY);
	ck_assert_uint_eq(mode_of(root(), "d"), 0000);
	chmod_disk(root(), "d", 0755);
	ck_assert_int_eq(obj_unlink(tree, at(d, "f"), true), 0);
	chmod_disk(root(), "d", 0500);
	fault_set(CALL_UNLINKAT, dn.name, EBUSY);
	ck_assert_int_eq(obj_rmdir(tree, at(root(), "d")), -EBUSY);
	ck_assert_uint_eq(mode_of(root(), "d"), 0500);
	fault_set(CALL_RENAMEAT2, NULL, EIO);
	ck_assert_int_eq(rename_to("e", "d", 0), -EIO);
	ck_assert_uint_eq(mode_of(root(), "d"), 0500);
	fault_set(CALL_OPENAT2, dn.name, EMFILE);
	faults[0].skip = 2;
	ck_assert_int_eq(obj_rmdir(tree, at(root(), "d")), -EMFILE);
	ck_assert_uint_eq(mode_of(root(), "d"), 0500);
	fault_set(CALL_OPENAT, ".", EMFILE); /* when the bits are lifted already */
	ck_assert_int_eq(obj_rmdir(tree, at(root(), "d")), -EMFILE);
	ck_assert_uint_eq(mode_of(root(), "d"), 0500);
	fault_set(CALL_CHMOD, NULL, EPERM); /* another's folder */
	ck_assert_int_eq(obj_rmdir(tree, at(root(), "d")), -EPERM);
	ck_assert_uint_eq(mode_of(root(), "d"), 0500);
	tree_fresh(false, false);
	ck_assert_int_eq(try_look(root(), "d"), 0); /* its id is there all the time */
	ck_assert_int_eq(obj_rmdir(tree, at(root(), "d")), 0);
}
END_TEST

static Suite *make_suite(void)
{
	Suite *suite = suite_create("object_name");
	TCase *sidecars = tcase_create("sidecars"), *gone = tcase_create("gone"), *moved = tcase_create("moved");
	TCase *const all[] = {sidecars, gone, moved};
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		tcase_add_checked_fixture(all[i], setup_names, teardown);
		tcase_set_timeout(all[i], 60);
		suite_add_tcase(suite, all[i]);
	}
	tcase_add_test(sidecars, sidecar_before_name);
	tcase_add_test(sidecars, failure_while_making_leaves_nothing);
	tcase_add_loop_test(sidecars, locked_while_making, 0, 5);
	tcase_add_test(sidecars, failure_while_making_a_short_name);
	tcase_add_test(sidecars, orphaned_sidecar);
	tcase_add_test(sidecars, planted_sidecar);
	tcase_add_loop_test(sidecars, special_without_noreplace, 0, 2);
	tcase_add_test(gone, unlinked_and_still_used);
	tcase_add_test(gone, lost_goes_with_the_last_name);
	tcase_add_test(gone, unlink_that_fails);
	tcase_add_test(gone, unlink_beside_a_swap);
	tcase_add_test(gone, empty_folder_goes);
	tcase_add_test(gone, full_folder_stays);
	tcase_add_test(gone, folder_with_leftovers_goes);
	tcase_add_loop_test(gone, stump_of_a_folder_goes, 0, 3);
	tcase_add_test(gone, rmdir_that_fails);
	tcase_add_test(gone, rmdir_that_fails_twice);
	tcase_add_loop_test(moved, rename_moves, 0, 2);
	tcase_add_loop_test(moved, rename_that_is_refused, 0, 2);
	tcase_add_loop_test(moved, rename_leaves_whiteout, 0, 2);
	tcase_add_loop_test(moved, rename_over_a_file, 0, 2);
	tcase_add_loop_test(moved, rename_over_an_empty_folder, 0, 2);
	tcase_add_loop_test(moved, exchange, 0, 2);
	tcase_add_test(moved, rename_over_itself);
	tcase_add_test(moved, plain_user_removes_his_own);
	tcase_add_test(moved, plain_user_keeps_his_bits);
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
