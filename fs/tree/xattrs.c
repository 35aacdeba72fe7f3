/* SPDX-License-Identifier: BSD-2-Clause */
/* Extended attributes: names and values sealed, "has none" remembered per inode. */
#include "fs/tree/xattrs.h"

#include <errno.h>
#include <linux/xattr.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "crypto/xattr.h"
#include "fs/store/borrow.h"
#include "fs/store/store.h"

#define VALUE_MAX 65536u
#define LIST_TRIES 8

/* The backing object, for the calls that take a path. */
struct backing {
	int fd;
	char path[40];
};

static void backing_close(struct backing *b)
{
	if (b->fd >= 0)
		close(b->fd);
}

static int backing_open(struct tree *t, struct node *n, struct backing *b)
{
	b->fd = node_open_path(&t->nodes, n);
	if (b->fd < 0)
		return b->fd;
	snprintf(b->path, sizeof(b->path), "/proc/self/fd/%d", b->fd);
	return 0;
}

static bool is_acl(const char *name)
{
	return strcmp(name, XATTR_ACL_ACCESS) == 0 || strcmp(name, XATTR_ACL_DEFAULT) == 0;
}

/* The namespaces that a user knows from ext4; ACLs go their own way. */
static int check_name(const char *name)
{
	static const char *const space[] = {"user.", "trusted.", "security."};

	for (size_t i = 0; i < ARRAY_LEN(space); i++) {
		size_t len = strlen(space[i]);

		if (strncmp(name, space[i], len) == 0)
			return name[len] ? 0 : -EINVAL;
	}
	return -EOPNOTSUPP;
}

/* One try of backing_list(): -ERANGE when the list has grown between the question for its length and that for its bytes. */
static int list_once(const struct backing *b, char **list, size_t *len)
{
	ssize_t n = listxattr(b->path, NULL, 0);

	if (n <= 0)
		return n < 0 && errno != EOPNOTSUPP ? -errno : 0;
	AUTO(auto_free) char *buf = malloc((size_t)n);
	if (!buf)
		return -ENOMEM;
	n = listxattr(b->path, buf, (size_t)n);
	if (n < 0)
		return -errno;
	*list = buf;
	*len = (size_t)n;
	buf = NULL;
	return 0;
}

/* All names the backing has; *LIST is malloc'ed. Not -ERANGE, which would say something of the caller's own buffer. */
static int backing_list(const struct backing *b, char **list, size_t *len)
{
	*len = 0;
	*list = NULL;
	for (int i = 0; i < LIST_TRIES; i++) {
		int r = list_once(b, list, len);

		if (r != -ERANGE)
			return r;
	}
	return -EBUSY;
}

/* One of a user's, as it is called on disk. */
static bool is_user(const char *disk)
{
	return strncmp(disk, XATTR_DISK_PREFIX, sizeof(XATTR_DISK_PREFIX) - 1) == 0 && strcmp(disk, TIMES_XATTR) != 0;
}

static bool any_user(const char *list, size_t len)
{
	if (len == 0)
		return false;
	for (const char *p = list; p < list + len; p += strlen(p) + 1)
		if (is_user(p))
			return true;
	return false;
}

/* -ENODATA if N has none of ours, remembered: the kernel asks for security.capability before every write(2). */
static int has_some(struct tree *t, struct node *n)
{
	uint8_t known = atomic_load(&n->xattrs);

	if (known != NODE_HAS_UNKNOWN)
		return known == NODE_HAS_NONE ? -ENODATA : 0;
	AUTO(backing_close) struct backing b = {.fd = -1};
	AUTO(auto_free) char *list = NULL;
	size_t len;
	int r = backing_open(t, n, &b);
	if (!r)
		r = backing_list(&b, &list, &len);
	if (r)
		return r;
	known = any_user(list, len) ? NODE_HAS_SOME : NODE_HAS_NONE;
	/* a setxattr that came in between has said that there are some, and that stands */
	atomic_compare_exchange_strong(&n->xattrs, &(uint8_t){NODE_HAS_UNKNOWN}, known);
	return known == NODE_HAS_NONE ? -ENODATA : 0;
}

static int encode(struct tree *t, struct node *n, const char *name, uint8_t id[ID_LEN],
		  char disk[XATTR_DISK_NAME_MAX + 1])
{
	AUTO(borrow_end) struct borrow b = {0};
	int r = obj_id(t, n, id);

	if (!r)
		r = borrow_store(&b, t->env.gate, GATE_USE_NEW);
	return r ? r : xattr_name_encode(b.store, id, name, disk);
}

struct sealed_value {
	uint8_t id[ID_LEN];
	const char *name;
	const uint8_t *cipher;
	size_t len;
};

static int open_value(struct tree *t, const struct sealed_value *v, void *plain)
{
	AUTO(borrow_end) struct borrow b = {0};
	int r = borrow_store(&b, t->env.gate, GATE_USE_NEW);

	if (!r)
		r = xattr_open(b.store, v->id, v->name, v->cipher, v->len, plain);
	if (r == -EBADMSG) {
		atomic_fetch_add(&t->env.corrupt, 1);
		r = -EIO;
	}
	return r;
}

static int get_sealed(struct tree *t, struct node *n, const char *name, struct xattr_buf *buf)
{
	AUTO(backing_close) struct backing b = {.fd = -1};
	struct sealed_value v = {.name = name};
	char disk[XATTR_DISK_NAME_MAX + 1];
	int r = has_some(t, n);

	if (r)
		return r;
	r = encode(t, n, name, v.id, disk);
	if (!r)
		r = backing_open(t, n, &b);
	if (r)
		return r == -ERANGE ? -ENODATA : r;
	AUTO(auto_free) uint8_t *cipher = malloc(VALUE_MAX);
	if (!cipher)
		return -ENOMEM;
	ssize_t got = getxattr(b.path, disk, cipher, VALUE_MAX);
	if (got < 0)
		return -errno;
	if ((size_t)got < XATTR_OVERHEAD) {
		atomic_fetch_add(&t->env.corrupt, 1);
		return -EIO;
	}
	buf->len = (size_t)got - XATTR_OVERHEAD;
	if (buf->size == 0)
		return 0;
	v.cipher = cipher;
	v.len = (size_t)got;
	return buf->size < buf->len ? -ERANGE : open_value(t, &v, buf->value);
}

static int get_acl(struct tree *t, struct node *n, const char *name, struct xattr_buf *buf)
{
	AUTO(backing_close) struct backing b = {.fd = -1};
	int r = backing_open(t, n, &b);

	if (r)
		return r;
	ssize_t got = getxattr(b.path, name, buf->value, buf->size);
	if (got < 0)
		return -errno;
	buf->len = (size_t)got;
	return 0;
}

int xattrs_get(struct tree *t, struct node *n, const char *name, struct xattr_buf *buf)
{
	if (is_acl(name))
		return get_acl(t, n, name, buf);
	int r = check_name(name);
	return r ? r : get_sealed(t, n, name, buf);
}

/*
 * The bit goes before the ACL comes, so that it is at no moment there for whom the ACL lets in; it comes back when that fails. The
 * kernel lets nobody else change the inode meanwhile.
 */
static int set_without_setgid(const struct backing *b, const char *name, const struct xattr_value *v)
{
	struct stat st;

	if (fstat(b->fd, &st))
		return -errno;
	int r = store_chmod(b->fd, st.st_mode & (07777 & ~S_ISGID));
	if (!r && setxattr(b->path, name, v->value, v->len, v->flags)) {
		r = -errno;
		if (store_chmod(b->fd, st.st_mode & 07777))
			r = -EIO;
	}
	return r;
}

static int set_plain(const struct backing *b, const char *name, const struct xattr_value *v)
{
	return setxattr(b->path, name, v->value, v->len, v->flags) ? -errno : 0;
}

/* V NULL: it is removed. */
static int set_acl(struct tree *t, struct node *n, const char *name, const struct xattr_value *v)
{
	AUTO(backing_close) struct backing b = {.fd = -1};
	int r = backing_open(t, n, &b);

	if (r)
		return r;
	if (!v)
		r = removexattr(b.path, name) ? -errno : 0;
	else
		r = v->drop_setgid ? set_without_setgid(&b, name, v) : set_plain(&b, name, v);
	atomic_store(&n->default_acl, NODE_HAS_UNKNOWN);
	return r;
}

/* An attribute as it lies on disk. */
struct sealed_xattr {
	char disk[XATTR_DISK_NAME_MAX + 1];
	uint8_t *cipher; /* malloc'ed; the value's length and XATTR_OVERHEAD */
};

static void sealed_xattr_end(struct sealed_xattr *s)
{
	free(s->cipher);
}

static int seal_value(struct tree *t, struct node *n, const char *name, const struct xattr_value *v,
		      struct sealed_xattr *out)
{
	AUTO(borrow_end) struct borrow b = {0};
	uint8_t id[ID_LEN];
	int r = encode(t, n, name, id, out->disk);

	if (r)
		return r;
	out->cipher = malloc(v->len + XATTR_OVERHEAD);
	if (!out->cipher)
		return -ENOMEM;
	r = borrow_store(&b, t->env.gate, GATE_USE_NEW);
	return r ? r : xattr_seal(b.store, id, name, v->value, v->len, out->cipher);
}

int xattrs_set(struct tree *t, struct node *n, const char *name, const struct xattr_value *v)
{
	AUTO(backing_close) struct backing b = {.fd = -1};
	AUTO(sealed_xattr_end) struct sealed_xattr s = {0};

	if (is_acl(name))
		return set_acl(t, n, name, v);
	int r = check_name(name);
	if (r)
		return r;
	if (v->len > VALUE_MAX - XATTR_OVERHEAD)
		return -ENOSPC;
	r = seal_value(t, n, name, v, &s);
	if (!r)
		r = backing_open(t, n, &b);
	if (r)
		return r;
	atomic_store(&n->xattrs, NODE_HAS_SOME);
	return setxattr(b.path, s.disk, s.cipher, v->len + XATTR_OVERHEAD, v->flags) ? -errno : 0;
}

/* Append NAME and its NUL where there is room; counts in any case. */
static void append(const char *name, struct xattr_buf *buf)
{
	size_t n = strlen(name) + 1;

	if (buf->len + n <= buf->size)
		memcpy((char *)buf->value + buf->len, name, n);
	buf->len += n;
}

static void append_plain(const char *name, struct xattr_buf *buf)
{
	bool trusted = strncmp(name, XATTR_TRUSTED_PREFIX, XATTR_TRUSTED_PREFIX_LEN) == 0;

	buf->has_trusted |= trusted;
	if (!trusted || !buf->hide_trusted)
		append(name, buf);
}

int xattrs_list(struct tree *t, struct node *n, struct xattr_buf *buf)
{
	AUTO(backing_close) struct backing b = {.fd = -1};
	AUTO(auto_free) char *disk = NULL;
	AUTO(borrow_end) struct borrow keys = {0};
	uint8_t id[ID_LEN];
	size_t disk_len;
	int r = obj_id(t, n, id);

	buf->len = 0;
	buf->has_trusted = false;
	if (!r)
		r = backing_open(t, n, &b);
	if (!r)
		r = backing_list(&b, &disk, &disk_len);
	if (!r)
		r = borrow_store(&keys, t->env.gate, GATE_USE_NEW);
	if (r)
		return r;
	for (const char *p = disk; disk_len > 0 && p < disk + disk_len; p += strlen(p) + 1) {
		char plain[XATTR_DISK_NAME_MAX + 1];

		if (is_acl(p))
			append(p, buf);
		else if (is_user(p) && xattr_name_decode(keys.store, id, p, plain) == 0)
			append_plain(plain, buf);
		else if (is_user(p))
			atomic_fetch_add(&t->env.corrupt, 1);
	}
	return buf->size > 0 && buf->len > buf->size ? -ERANGE : 0;
}

int xattrs_remove(struct tree *t, struct node *n, const char *name)
{
	AUTO(backing_close) struct backing b = {.fd = -1};
	char disk[XATTR_DISK_NAME_MAX + 1];
	uint8_t id[ID_LEN];

	if (is_acl(name))
		return set_acl(t, n, name, NULL);
	int r = check_name(name);
	if (!r)
		r = encode(t, n, name, id, disk);
	if (!r)
		r = backing_open(t, n, &b);
	if (r)
		return r == -ERANGE ? -ENODATA : r;
	return removexattr(b.path, disk) ? -errno : 0;
}
