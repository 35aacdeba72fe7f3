/* SPDX-License-Identifier: BSD-2-Clause */
/* Extended attributes of the mount: sealed, bound to their object, counted when they do not authenticate; ACLs as they are. */
#include "tree_rig.h"

#include "fs/tree/xattrs.h"

#define ACL_ACCESS "system.posix_acl_access"
#define ACL_DEFAULT "system.posix_acl_default"
#define VALUE_LEN_MAX (65536u - XATTR_OVERHEAD)

static int set(struct node *n, const char *name, const char *value, int flags)
{
	const struct xattr_value v = {value, strlen(value), flags, false};
	return xattrs_set(tree, n, name, &v);
}

/* The value as text; what fits in BUF. */
static int get(struct node *n, const char *name, char buf[256])
{
	struct xattr_buf b = {buf, 255, 0};
	int r = xattrs_get(tree, n, name, &b);
	buf[r ? 0 : b.len] = '\0';
	return r;
}

static void is(struct node *n, const char *name, const char *value)
{
	struct xattr_buf ask = {0};
	char buf[256];
	ck_assert_int_eq(get(n, name, buf), 0);
	ck_assert_str_eq(buf, value);
	ck_assert_int_eq(xattrs_get(tree, n, name, &ask), 0);
	ck_assert_uint_eq(ask.len, strlen(value));
}

static int ask(struct node *n, const char *name)
{
	char buf[256];
	return get(n, name, buf);
}

/* How many names are listed; whether NAME is among them. */
static unsigned listed(struct node *n, const char *name, bool *there)
{
	char buf[4096];
	struct xattr_buf b = {buf, sizeof(buf), 0};
	unsigned count = 0;
	*there = false;
	ck_assert_int_eq(xattrs_list(tree, n, &b), 0);
	for (const char *p = buf; p < buf + b.len; p += strlen(p) + 1, count++)
		*there = *there || strcmp(p, name) == 0;
	return count;
}

static unsigned count_listed(struct node *n)
{
	bool there;
	return listed(n, "", &there);
}

/* ---- the backing's side ---- */

static void path_of(struct node *dir, const char *name, char path[512])
{
	snprintf(path, 512, "%s/data/%s", rig.path, disk_of(dir, name).name);
}

/* The name on disk of N's attribute. */
static void disk_name(struct node *n, const char *name, char disk[XATTR_DISK_NAME_MAX + 1])
{
	const struct store_keys *keys;
	uint8_t id[ID_LEN];
	ck_assert_int_eq(obj_id(tree, n, id), 0);
	ck_assert_int_eq(gate_enter(rig.gate, GATE_USE_NEW, &keys), 0);
	ck_assert_int_eq(xattr_name_encode(keys, id, name, disk), 0);
	gate_leave(rig.gate);
}

static size_t raw_get(const char *path, const char *disk, uint8_t raw[4096])
{
	ssize_t n = getxattr(path, disk, raw, 4096);
	ck_assert_int_ge(n, 0);
	return (size_t)n;
}

/* ---- setting and getting ---- */

START_TEST(set_get_remove)
{
	struct node *n = _i == 0   ? new_file(root(), "n")
			 : _i == 1 ? new_dir(root(), "n")
			 : _i == 2 ? root()
				   : new_special(root(), "n", 'l');
	ck_assert_int_eq(ask(n, "user.a"), -ENODATA);
	ck_assert_int_eq(xattrs_remove(tree, n, "user.a"), -ENODATA);
	ck_assert_int_eq(set(n, "user.a", "one", 0), 0);
	is(n, "user.a", "one");
	ck_assert_int_eq(set(n, "user.a", "", 0), 0);
	is(n, "user.a", "");
	ck_assert_int_eq(set(n, "user.a", "two and more", 0), 0);
	ck_assert_int_eq(set(n, "trusted.b", "B", 0), 0);
	ck_assert_int_eq(set(n, "security.capability", "cap", 0), 0);
	tree_fresh(false, false);
	n = _i == 2 ? root() : look(root(), "n");
	is(n, "user.a", "two and more");
	is(n, "trusted.b", "B");
	is(n, "security.capability", "cap");
	ck_assert_int_eq(xattrs_remove(tree, n, "user.a"), 0);
	ck_assert_int_eq(ask(n, "user.a"), -ENODATA);
	ck_assert_int_eq(xattrs_remove(tree, n, "user.a"), -ENODATA);
	is(n, "trusted.b", "B");
}
END_TEST

START_TEST(nothing_lies_in_clear)
{
	struct node *n = new_file(root(), "f");
	char path[512], names[4096];
	uint8_t raw[4096];
	ck_assert_int_eq(set(n, "user.comment", "secret words", 0), 0);
	ck_assert_int_eq(set(n, "security.capability", "cap", 0), 0);
	path_of(root(), "f", path);
	ssize_t len = listxattr(path, names, sizeof(names));
	ck_assert_int_gt(len, 0);
	for (const char *p = names; p < names + len; p += strlen(p) + 1) {
		if (strncmp(p, "user.", 5) != 0) /* the system's own, as security.selinux */
			continue;
		ck_assert_ptr_null(strstr(p, "comment"));
		ck_assert_ptr_null(memmem(raw, raw_get(path, p, raw), "secret", 6));
	}
	ck_assert_int_lt(getxattr(path, "security.capability", raw, sizeof(raw)), 0);
	/* the same again is other bytes */
	char disk[XATTR_DISK_NAME_MAX + 1];
	uint8_t again[4096];
	disk_name(n, "user.comment", disk);
	size_t n_raw = raw_get(path, disk, raw);
	ck_assert_uint_eq(n_raw, strlen("secret words") + XATTR_OVERHEAD);
	ck_assert_int_eq(set(n, "user.comment", "secret words", 0), 0);
	ck_assert_uint_eq(raw_get(path, disk, again), n_raw);
	ck_assert_mem_ne(raw, again, n_raw);
}
END_TEST

START_TEST(create_and_replace)
{
	struct node *n = new_file(root(), "f");
	ck_assert_int_eq(set(n, "user.a", "x", XATTR_REPLACE), -ENODATA);
	ck_assert_int_eq(ask(n, "user.a"), -ENODATA);
	ck_assert_int_eq(set(n, "user.a", "one", XATTR_CREATE), 0);
	ck_assert_int_eq(set(n, "user.a", "two", XATTR_CREATE), -EEXIST);
	is(n, "user.a", "one");
	ck_assert_int_eq(set(n, "user.a", "two", XATTR_REPLACE), 0);
	is(n, "user.a", "two");
}
END_TEST

START_TEST(names_that_none_may_have)
{
	static const struct {
		const char *name;
		int r;
	} bad[] = {{"", -EOPNOTSUPP},
		   {"comment", -EOPNOTSUPP},
		   {"system.nfs4_acl", -EOPNOTSUPP},
		   {"user", -EOPNOTSUPP},
		   {"user.", -EINVAL},
		   {"trusted.", -EINVAL},
		   {"security.", -EINVAL},
		   {"system.posix_acl_accessX", -EOPNOTSUPP}};
	struct node *n = new_file(root(), "f");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		ck_assert_int_eq(set(n, bad[i].name, "x", 0), bad[i].r);
		ck_assert_int_eq(ask(n, bad[i].name), bad[i].r);
		ck_assert_int_eq(xattrs_remove(tree, n, bad[i].name), bad[i].r);
	}
	ck_assert_uint_eq(count_listed(n), 0);
}
END_TEST

START_TEST(longest_name)
{
	struct node *n = new_file(root(), "f");
	char name[300];
	bool there;
	memset(name, 'n', sizeof(name));
	memcpy(name, "user.", 5);
	name[XATTR_PLAIN_NAME_MAX] = '\0';
	ck_assert_int_eq(set(n, name, "v", 0), 0);
	is(n, name, "v");
	ck_assert_uint_eq(listed(n, name, &there), 1);
	ck_assert(there);
	name[XATTR_PLAIN_NAME_MAX] = 'n'; /* one more: the store cannot hold it, so it is not there */
	name[XATTR_PLAIN_NAME_MAX + 1] = '\0';
	ck_assert_int_eq(set(n, name, "v", 0), -ERANGE);
	ck_assert_int_eq(ask(n, name), -ENODATA);
	ck_assert_int_eq(xattrs_remove(tree, n, name), -ENODATA);
	name[XATTR_PLAIN_NAME_MAX] = '\0';
	ck_assert_int_eq(xattrs_remove(tree, n, name), 0);
	ck_assert_uint_eq(count_listed(n), 0);
}
END_TEST

START_TEST(longest_value)
{
	struct node *n = new_file(root(), "f");
	char *value = malloc(VALUE_LEN_MAX + 1), *back = malloc(VALUE_LEN_MAX);
	struct xattr_value v = {value, VALUE_LEN_MAX + 1, 0, false};
	struct xattr_buf b = {back, VALUE_LEN_MAX, 0};
	rig_pattern((uint8_t *)value, VALUE_LEN_MAX + 1);
	fault_clear();
	ck_assert_int_eq(xattrs_set(tree, n, "user.v", &v), -ENOSPC);
	ck_assert_uint_eq(fault_seen[CALL_SETXATTR], 0);
	v.len = VALUE_LEN_MAX;
	int r = xattrs_set(tree, n, "user.v", &v);
	ck_assert_uint_eq(fault_seen[CALL_SETXATTR], 1); /* from here on it is the backing's limit */
	ck_assert(r == 0 || r == -ENOSPC || r == -E2BIG);
	v.len = r ? 2000 : VALUE_LEN_MAX;
	ck_assert_int_eq(xattrs_set(tree, n, "user.v", &v), 0);
	ck_assert_int_eq(xattrs_get(tree, n, "user.v", &b), 0);
	ck_assert_uint_eq(b.len, v.len);
	ck_assert_mem_eq(back, value, v.len);
	free(value);
	free(back);
}
END_TEST

START_TEST(room_for_the_answer)
{
	struct node *n = new_file(root(), "f");
	char buf[16] = "untouched";
	struct xattr_buf b = {0};
	ck_assert_int_eq(set(n, "user.a", "12345", 0), 0);
	ck_assert_int_eq(xattrs_get(tree, n, "user.a", &b), 0);
	ck_assert_uint_eq(b.len, 5);
	b = (struct xattr_buf){buf, 4, 0};
	ck_assert_int_eq(xattrs_get(tree, n, "user.a", &b), -ERANGE);
	ck_assert_str_eq(buf, "untouched");
	b.size = 5;
	ck_assert_int_eq(xattrs_get(tree, n, "user.a", &b), 0);
	ck_assert_mem_eq(buf, "12345", 5);
	ck_assert_int_eq(buf[5], 'c');
}
END_TEST

START_TEST(lists)
{
	struct node *n = new_file(root(), "f");
	char buf[64], path[512];
	struct xattr_buf b = {0};
	bool there;
	ck_assert_int_eq(xattrs_list(tree, n, &b), 0);
	ck_assert_uint_eq(b.len, 0);
	ck_assert_int_eq(set(n, "user.one", "1", 0), 0);
	ck_assert_int_eq(set(n, "trusted.two", "2", 0), 0);
	ck_assert_int_eq(xattrs_list(tree, n, &b), 0);
	ck_assert_uint_eq(b.len, sizeof("user.one") + sizeof("trusted.two"));
	b = (struct xattr_buf){buf, b.len - 1, 0};
	ck_assert_int_eq(xattrs_list(tree, n, &b), -ERANGE);
	b.size = b.len;
	ck_assert_int_eq(xattrs_list(tree, n, &b), 0);
	ck_assert_uint_eq(listed(n, "user.one", &there), 2);
	ck_assert(there);
	listed(n, "trusted.two", &there);
	ck_assert(there);
	/* what is not ours is not told, but counted */
	path_of(root(), "f", path);
	ck_assert_int_eq(setxattr(path, "user.planted", "x", 1, 0), 0);
	ck_assert_uint_eq(tree->env.corrupt, 0);
	ck_assert_uint_eq(listed(n, "user.planted", &there), 2);
	ck_assert(!there);
	ck_assert_uint_eq(tree->env.corrupt, 1);
	if (setxattr(path, "trusted.backing", "x", 1, 0) == 0) /* root's */
		ck_assert_uint_eq(count_listed(n), 2);
	ck_assert_int_eq(ask(n, "user.planted"), -ENODATA);
}
END_TEST

/* ---- what does not authenticate ---- */

START_TEST(value_of_another)
{
	struct node *a = new_file(root(), "a"), *b = new_file(root(), "b");
	char path_a[512], path_b[512], disk_a[XATTR_DISK_NAME_MAX + 1], disk_b[XATTR_DISK_NAME_MAX + 1];
	uint8_t raw[4096];
	struct xattr_buf length = {0};
	path_of(root(), "a", path_a);
	path_of(root(), "b", path_b);
	disk_name(a, "user.x", disk_a);
	disk_name(b, "user.x", disk_b);
	ck_assert_str_ne(disk_a, disk_b);
	ck_assert_int_eq(set(a, "user.x", "a's", 0), 0);
	ck_assert_int_eq(set(b, "user.y", "b's", 0), 0);
	size_t len = raw_get(path_a, disk_a, raw);
	/* as it is: a name that says nothing there */
	ck_assert_int_eq(setxattr(path_b, disk_a, raw, len, 0), 0);
	ck_assert_int_eq(ask(b, "user.x"), -ENODATA);
	ck_assert_uint_eq(count_listed(b), 1);
	ck_assert_uint_eq(tree->env.corrupt, 1);
	/* under the name that it would have */
	ck_assert_int_eq(setxattr(path_b, disk_b, raw, len, 0), 0);
	ck_assert_int_eq(ask(b, "user.x"), -EIO);
	ck_assert_uint_eq(tree->env.corrupt, 2);
	ck_assert_int_eq(xattrs_get(tree, b, "user.x", &length), 0); /* a length is all that is told unread */
	/* another name of the same object */
	char disk_y[XATTR_DISK_NAME_MAX + 1];
	disk_name(b, "user.y", disk_y);
	len = raw_get(path_b, disk_y, raw);
	ck_assert_int_eq(setxattr(path_b, disk_b, raw, len, 0), 0);
	ck_assert_int_eq(ask(b, "user.x"), -EIO);
	is(b, "user.y", "b's");
	/* and it can be set again, or removed */
	ck_assert_int_eq(set(b, "user.x", "new", XATTR_REPLACE), 0);
	is(b, "user.x", "new");
}
END_TEST

START_TEST(damaged_value)
{
	struct node *n = new_file(root(), "f");
	char path[512], disk[XATTR_DISK_NAME_MAX + 1];
	uint8_t raw[4096];
	path_of(root(), "f", path);
	disk_name(n, "user.x", disk);
	ck_assert_int_eq(set(n, "user.x", "value", 0), 0);
	size_t len = raw_get(path, disk, raw);
	raw[len - 1] ^= 1;
	ck_assert_int_eq(setxattr(path, disk, raw, len, 0), 0);
	ck_assert_int_eq(ask(n, "user.x"), -EIO);
	ck_assert_uint_eq(tree->env.corrupt, 1);
	ck_assert_int_eq(setxattr(path, disk, raw, XATTR_OVERHEAD - 1, 0), 0);
	ck_assert_int_eq(ask(n, "user.x"), -EIO);
	ck_assert_uint_eq(tree->env.corrupt, 2);
	ck_assert_int_eq(setxattr(path, disk, raw, 0, 0), 0);
	ck_assert_int_eq(ask(n, "user.x"), -EIO);
	ck_assert_uint_eq(tree->env.corrupt, 3);
	ck_assert_int_eq(xattrs_remove(tree, n, "user.x"), 0);
	ck_assert_int_eq(ask(n, "user.x"), -ENODATA);
}
END_TEST

/* ---- they follow the object ---- */

START_TEST(renamed_linked_unlinked)
{
	struct node *f = new_file(root(), "f"), *d = new_dir(root(), "d");
	struct stat st;
	ck_assert_int_eq(set(f, "user.x", "f's", 0), 0);
	ck_assert_int_eq(set(d, "user.x", "d's", 0), 0);
	ck_assert_int_eq(obj_link(tree, f, at(d, "g"), &st), 0);
	ck_assert_int_eq(obj_rename(tree, at(root(), "d"), at(root(), "e"), 0, &nobody), 0);
	ck_assert_int_eq(obj_unlink(tree, at(root(), "f"), true), 0);
	is(f, "user.x", "f's");
	is(d, "user.x", "d's");
	ck_assert_int_eq(obj_unlink(tree, at(d, "g"), true), 0);
	is(f, "user.x", "f's"); /* no name, but somebody has it open */
	ck_assert_int_eq(set(f, "user.y", "late", 0), 0);
	is(f, "user.y", "late");
	ck_assert_uint_eq(count_listed(f), 2);
}
END_TEST

/* An object without an id has no attributes: those of a stump would be lost when it gets one. */
START_TEST(stump_has_none)
{
	truncate_disk(root(), disk_of(root(), "stump").name, 0);
	struct node *n = look(root(), "stump");
	struct xattr_buf b = {0};
	ck_assert_int_eq(set(n, "user.x", "v", 0), -EIO);
	ck_assert_int_eq(ask(n, "user.x"), -ENODATA);
	ck_assert_int_eq(xattrs_list(tree, n, &b), -EIO);
	ck_assert_int_eq(xattrs_remove(tree, n, "user.x"), -EIO);
}
END_TEST

/* ---- what the kernel asks before every write(2) ---- */

START_TEST(none_is_remembered)
{
	struct node *n = new_file(root(), "f");
	fault_clear();
	ck_assert_int_eq(ask(n, "security.capability"), -ENODATA);
	ck_assert_uint_eq(fault_seen[CALL_LISTXATTR], 0); /* brand new */
	tree_fresh(false, false);
	n = look(root(), "f");
	fault_clear(); /* its times are asked for */
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(ask(n, "security.capability"), -ENODATA);
	ck_assert_uint_le(fault_seen[CALL_LISTXATTR], 2);
	ck_assert_uint_eq(fault_seen[CALL_GETXATTR], 0);
	ck_assert_int_eq(set(n, "security.capability", "cap", 0), 0);
	is(n, "security.capability", "cap");
	ck_assert_int_eq(xattrs_remove(tree, n, "security.capability"), 0);
	ck_assert_int_eq(ask(n, "security.capability"), -ENODATA);
}
END_TEST

static struct node *racing;

static void set_meanwhile(enum fault_call call, int dir_fd, const char *name)
{
	(void)dir_fd;
	(void)name;
	if (call != CALL_LISTXATTR)
		return;
	fault_watch = NULL;
	ck_assert_int_eq(set(racing, "user.x", "meanwhile", 0), 0);
}

/* A set between the question and its answer is not forgotten. */
START_TEST(set_beside_the_first_question)
{
	node_forget(&tree->nodes, new_file(root(), "f"), 1);
	tree_fresh(false, false);
	racing = look(root(), "f");
	fault_watch = set_meanwhile;
	(void)ask(racing, "user.x");
	ck_assert_ptr_null(fault_watch);
	is(racing, "user.x", "meanwhile");
}
END_TEST

/* ---- the backing fails ---- */

START_TEST(backing_without_attributes)
{
	node_forget(&tree->nodes, new_file(root(), "f"), 1);
	tree_fresh(false, false);
	struct node *n = look(root(), "f");
	struct xattr_buf b = {0};
	fault_set(CALL_LISTXATTR, NULL, EOPNOTSUPP);
	ck_assert_int_eq(xattrs_list(tree, n, &b), 0);
	ck_assert_uint_eq(b.len, 0);
	fault_set(CALL_LISTXATTR, NULL, EOPNOTSUPP);
	ck_assert_int_eq(ask(n, "user.x"), -ENODATA);
	fault_set(CALL_SETXATTR, NULL, EOPNOTSUPP);
	ck_assert_int_eq(set(n, "user.x", "v", 0), -EOPNOTSUPP);
}
END_TEST

START_TEST(backing_that_fails)
{
	struct node *n = new_file(root(), "f");
	struct xattr_buf b = {0};
	ck_assert_int_eq(set(n, "user.x", "v", 0), 0);
	fault_set(CALL_SETXATTR, NULL, ENOSPC);
	ck_assert_int_eq(set(n, "user.x", "w", 0), -ENOSPC);
	fault_set(CALL_GETXATTR, NULL, EIO);
	ck_assert_int_eq(ask(n, "user.x"), -EIO);
	for (int skip = 0; skip < 2; skip++) {
		fault_set(CALL_LISTXATTR, NULL, EIO);
		faults[0].skip = skip;
		ck_assert_int_eq(xattrs_list(tree, n, &b), -EIO);
	}
	tree_fresh(false, false);
	n = look(root(), "f");
	fault_set(CALL_LISTXATTR, NULL, EIO);
	ck_assert_int_eq(ask(n, "user.x"), -EIO);
	fault_clear();
	is(n, "user.x", "v"); /* and that is not remembered */
}
END_TEST

/* The list has grown between its length and its bytes. */
START_TEST(list_that_grows_meanwhile)
{
	struct node *n = new_file(root(), "f");
	ck_assert_int_eq(set(n, "user.x", "v", 0), 0);
	fault_set(CALL_LISTXATTR, NULL, ERANGE);
	faults[0].skip = 1;
	ck_assert_uint_eq(count_listed(n), 1);
	tree_fresh(false, false);
	n = look(root(), "f");
	fault_set(CALL_LISTXATTR, NULL, ERANGE);
	faults[0].skip = 1;
	is(n, "user.x", "v");
	/* for ever: it ends all the same */
	char buf[256];
	struct xattr_buf b = {buf, sizeof(buf), 0};
	fault_set(CALL_LISTXATTR, NULL, ERANGE);
	faults[0] = (struct fault){CALL_LISTXATTR, NULL, ERANGE, 1, 1000};
	ck_assert_int_eq(xattrs_list(tree, n, &b), -EBUSY);
}
END_TEST

/* Taken away behind our back. */
START_TEST(object_that_is_gone)
{
	struct node *n = new_file(root(), "f");
	struct xattr_buf b = {0};
	char path[512];
	ck_assert_int_eq(set(n, "user.x", "v", 0), 0);
	path_of(root(), "f", path);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(ask(n, "user.x"), -ESTALE);
	ck_assert_int_eq(ask(n, ACL_ACCESS), -ESTALE);
	ck_assert_int_eq(set(n, "user.x", "v", 0), -ESTALE);
	ck_assert_int_eq(set(n, ACL_ACCESS, "v", 0), -ESTALE);
	ck_assert_int_eq(xattrs_list(tree, n, &b), -ESTALE);
	ck_assert_int_eq(xattrs_remove(tree, n, "user.x"), -ESTALE);
	tree_fresh(false, false);
}
END_TEST

/* ---- ACLs ---- */

/* Version 2: owner rwx, group rwx, others none. */
static const uint8_t acl[] = {2, 0, 0,    0,    1,    0,    7,    0, 0xff, 0xff, 0xff, 0xff, 4,    0,
			      7, 0, 0xff, 0xff, 0xff, 0xff, 0x20, 0, 0,    0,    0xff, 0xff, 0xff, 0xff};

static int set_acl(struct node *n, const char *name)
{
	const struct xattr_value v = {acl, sizeof(acl), 0, false};
	return xattrs_set(tree, n, name, &v);
}

static mode_t made_mode(struct node *dir)
{
	const struct make m = making(dir, "made", 0666);
	struct node *n;
	struct stat st;
	ck_assert_int_eq(obj_create(tree, &m, &n, &st, NULL), 0);
	node_forget(&tree->nodes, n, 1);
	ck_assert_int_eq(obj_unlink(tree, at(dir, "made"), true), 0);
	return st.st_mode & 07777;
}

START_TEST(default_acl_is_the_backings)
{
	struct node *d = new_dir(root(), "d");
	uint8_t back[100];
	struct xattr_buf b = {back, sizeof(back), 0};
	char path[512];
	bool there;
	ck_assert_uint_eq(made_mode(d), 0644);
	ck_assert_int_eq(ask(d, ACL_DEFAULT), -ENODATA);
	ck_assert_int_eq(set_acl(d, ACL_DEFAULT), 0);
	path_of(root(), "d", path);
	ck_assert_int_eq(getxattr(path, ACL_DEFAULT, back, sizeof(back)), sizeof(acl)); /* as it is */
	ck_assert_mem_eq(back, acl, sizeof(acl));
	memset(back, 0, sizeof(back));
	ck_assert_int_eq(xattrs_get(tree, d, ACL_DEFAULT, &b), 0);
	ck_assert_uint_eq(b.len, sizeof(acl));
	ck_assert_mem_eq(back, acl, sizeof(acl));
	b.size = 5;
	ck_assert_int_eq(xattrs_get(tree, d, ACL_DEFAULT, &b), -ERANGE);
	b = (struct xattr_buf){0};
	ck_assert_int_eq(xattrs_get(tree, d, ACL_DEFAULT, &b), 0);
	ck_assert_uint_eq(b.len, sizeof(acl));
	ck_assert_uint_eq(listed(d, ACL_DEFAULT, &there), 1);
	ck_assert(there);
	atomic_store(&d->xattrs, NODE_HAS_UNKNOWN);
	ck_assert_int_eq(ask(d, "user.x"), -ENODATA); /* it counts for none of ours */
	ck_assert_int_eq(d->xattrs, NODE_HAS_NONE);
	ck_assert_uint_eq(made_mode(d), 0660); /* known at once, and no umask any more */
	ck_assert_int_eq(xattrs_remove(tree, d, ACL_DEFAULT), 0);
	ck_assert_uint_eq(made_mode(d), 0644);
	ck_assert_uint_eq(count_listed(d), 0);
}
END_TEST

START_TEST(access_acl_is_the_mode)
{
	struct node *f = new_file(root(), "f"), *p = new_special(root(), "p", 'p');
	ck_assert_int_eq(set_acl(f, ACL_ACCESS), 0);
	ck_assert_uint_eq(attr(f).st_mode, S_IFREG | 0770);
	ck_assert_int_eq(set_acl(p, ACL_ACCESS), 0);
	ck_assert_uint_eq(attr(p).st_mode, S_IFIFO | 0770);
	ck_assert_int_eq(set_acl(f, ACL_DEFAULT), -EACCES);  /* folders only: the kernel's word */
	const struct xattr_value part = {acl, 12, 0, false}; /* an owner and nobody else */
	ck_assert_int_eq(xattrs_set(tree, f, ACL_ACCESS, &part), -EINVAL);
	ck_assert_uint_eq(attr(f).st_mode, S_IFREG | 0770);
}
END_TEST

START_TEST(access_acl_drops_setgid)
{
	struct node *f = new_file(root(), "f");
	const struct xattr_value good = {acl, sizeof(acl), 0, true}, bad = {acl, 12, 0, true};
	char path[512];
	path_of(root(), "f", path);
	ck_assert_int_eq(chmod(path, 06755), 0);
	ck_assert_int_eq(xattrs_set(tree, f, ACL_ACCESS, &bad), -EINVAL);
	ck_assert_uint_eq(attr(f).st_mode, S_IFREG | 06755); /* as it was */
	ck_assert_int_eq(xattrs_set(tree, f, ACL_ACCESS, &good), 0);
	ck_assert_uint_eq(attr(f).st_mode, S_IFREG | 04770);
	ck_assert_int_eq(chmod(path, 06755), 0);
	ck_assert_int_eq(set_acl(f, ACL_ACCESS), 0); /* who may keep it */
	ck_assert_uint_eq(attr(f).st_mode, S_IFREG | (geteuid() == 0 ? 06770 : 04770 | (attr(f).st_mode & S_ISGID)));
}
END_TEST

/* ---- locked ---- */

START_TEST(locked_gate_refuses)
{
	struct node *n = new_file(root(), "f");
	char path[512], disk[XATTR_DISK_NAME_MAX + 1], why[320];
	uint8_t was[4096], now[4096];
	struct xattr_buf b = {0};
	path_of(root(), "f", path);
	disk_name(n, "user.x", disk);
	ck_assert_int_eq(set(n, "user.x", "v", 0), 0);
	size_t len = raw_get(path, disk, was);
	if (_i == 1) {
		tree_fresh(false, false);
		n = look(root(), "f");
	}
	tree_lock();
	ck_assert_int_eq(ask(n, "user.x"), -EACCES);
	ck_assert_int_eq(set(n, "user.x", "w", 0), -EACCES);
	ck_assert_int_eq(set(n, "user.y", "w", XATTR_CREATE), -EACCES);
	ck_assert_int_eq(xattrs_list(tree, n, &b), -EACCES);
	ck_assert_int_eq(xattrs_remove(tree, n, "user.x"), -EACCES);
	ck_assert_uint_eq(raw_get(path, disk, now), len);
	ck_assert_mem_eq(was, now, len);
	ck_assert_uint_eq(tree->env.corrupt, 0);
	ck_assert_int_eq(gate_unlock(rig.gate, why), 0);
	is(n, "user.x", "v");
	ck_assert_uint_eq(count_listed(n), 1);
}
END_TEST

/* It locks while the value is under way from the disk. */
static void lock_meanwhile(enum fault_call call, int dir_fd, const char *name)
{
	(void)dir_fd;
	(void)name;
	if (call != CALL_GETXATTR)
		return;
	fault_watch = NULL;
	tree_lock();
}

START_TEST(locked_between_disk_and_keys)
{
	struct node *n = new_file(root(), "f");
	char buf[256];
	ck_assert_int_eq(set(n, "user.x", "value", 0), 0);
	fault_watch = lock_meanwhile;
	ck_assert_int_eq(get(n, "user.x", buf), -EACCES);
	ck_assert_str_eq(buf, "");
	ck_assert_uint_eq(tree->env.corrupt, 0);
}
END_TEST

static Suite *make_suite(void)
{
	Suite *suite = suite_create("xattrs");
	TCase *values = tcase_create("values"), *bound = tcase_create("bound"), *backing = tcase_create("backing"),
	      *acls = tcase_create("acls"), *locked = tcase_create("locked");
	TCase *const all[] = {values, bound, backing, acls, locked};
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		tcase_add_checked_fixture(all[i], setup, teardown);
		tcase_set_timeout(all[i], 60);
		suite_add_tcase(suite, all[i]);
	}
	tcase_add_loop_test(values, set_get_remove, 0, 4);
	tcase_add_test(values, nothing_lies_in_clear);
	tcase_add_test(values, create_and_replace);
	tcase_add_test(values, names_that_none_may_have);
	tcase_add_test(values, longest_name);
	tcase_add_test(values, longest_value);
	tcase_add_test(values, room_for_the_answer);
	tcase_add_test(values, lists);
	tcase_add_test(bound, value_of_another);
	tcase_add_test(bound, damaged_value);
	tcase_add_test(bound, renamed_linked_unlinked);
	tcase_add_test(bound, stump_has_none);
	tcase_add_test(backing, none_is_remembered);
	tcase_add_test(backing, set_beside_the_first_question);
	tcase_add_test(backing, backing_without_attributes);
	tcase_add_test(backing, backing_that_fails);
	tcase_add_test(backing, list_that_grows_meanwhile);
	tcase_add_test(backing, object_that_is_gone);
	tcase_add_test(acls, default_acl_is_the_backings);
	tcase_add_test(acls, access_acl_is_the_mode);
	tcase_add_test(acls, access_acl_drops_setgid);
	tcase_add_loop_test(locked, locked_gate_refuses, 0, 2);
	tcase_add_test(locked, locked_between_disk_and_keys);
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
