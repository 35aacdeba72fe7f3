/* SPDX-License-Identifier: BSD-2-Clause */
/* FUSE callbacks on inodes and open files: translate, call one function, reply. */
#include "fs/fuse/ops.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "crypto/secret.h"
#include "fs/audit/audit.h"
#include "fs/lock/janitor.h"
#include "fs/tree/xattrs.h"

#define HANDLE_WRITABLE 1u /* low bit of fh: malloc'ed pointers leave it free */

/* ---- what all callbacks use ---- */

bool ops_refused(fuse_req_t req)
{
	if (ops_open(req_server(req)))
		return false;
	audit_denied(req_server(req)->cfg.audit, thread_opcode());
	fuse_reply_err(req, EACCES);
	return true;
}

bool ops_change_refused(fuse_req_t req)
{
	if (!req_tree(req)->env.read_only)
		return ops_refused(req);
	fuse_reply_err(req, EROFS); /* `mount -o remount,rw` changes the kernel's mind, not ours */
	return true;
}

struct cred ops_cred(fuse_req_t req)
{
	const struct fuse_ctx *c = fuse_req_ctx(req);

	return (struct cred){c->uid, c->gid, c->umask};
}

void ops_entry(const struct server *s, struct node *n, const struct stat *st, struct fuse_entry_param *e)
{
	memset(e, 0, sizeof(*e));
	e->ino = n->id;
	e->generation = n->generation;
	e->attr = *st;
	e->attr_timeout = e->entry_timeout = s->cfg.attr_timeout_ms / 1000.0;
}

void ops_reply_entry(fuse_req_t req, struct node *n, const struct stat *st, int r)
{
	struct server *s = req_server(req);
	struct fuse_entry_param e;

	if (r) {
		fuse_reply_err(req, -r);
		return;
	}
	/* Locking may have begun since this was admitted; its id is in the table already, so the passes cover it. */
	if (!ops_open(s)) {
		node_forget(&s->cfg.tree->nodes, n, 1);
		fuse_reply_err(req, EACCES);
		return;
	}
	ops_entry(s, n, st, &e);
	if (fuse_reply_entry(req, &e) == -ENOENT)
		node_forget(&s->cfg.tree->nodes, n, 1);
}

void ops_defer(fuse_req_t req, pool_job *job, const struct deferred *d)
{
	struct server *s = req_server(req);
	struct deferred *copy = malloc(sizeof(*copy));
	unsigned turn = lock_request_begin(s->cfg.lock);

	if (copy) {
		*copy = *d;
		copy->req = req;
		copy->server = s;
		copy->turn = turn;
		if (pool_submit(s->pool, copy->lane, job, copy) == 0)
			return;
	}
	free(copy);
	lock_request_end(s->cfg.lock, turn);
	fuse_reply_err(req, ENOMEM);
}

void ops_deferred_end(struct deferred *d)
{
	lock_request_end(d->server->cfg.lock, d->turn);
	secret_wipe(d->name, sizeof(d->name));
	free(d);
}

static struct file *handle_file(const struct fuse_file_info *fi)
{
	return (struct file *)(uintptr_t)(fi->fh & ~(uint64_t)HANDLE_WRITABLE);
}

/* ---- init, attributes ---- */

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	const struct server *s = userdata;
	unsigned want = FUSE_CAP_ASYNC_READ | FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_POSIX_ACL |
			FUSE_CAP_DONT_MASK | FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO |
			FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_ASYNC_DIO;

	/* Splice would copy into pipes; O_TRUNC comes as SETATTR; locks stay the kernel's. */
	conn->want = conn->capable & want;
	if (s->cfg.tree->env.read_only)
		conn->want &= ~(unsigned)FUSE_CAP_WRITEBACK_CACHE;
	conn->max_write = INFLIGHT_REQUEST_MAX;
	conn->max_readahead = INFLIGHT_REQUEST_MAX;
	conn->max_background = 256;
	conn->congestion_threshold = 200;
	conn->time_gran = 1;
}

static void reply_stat(fuse_req_t req, const struct stat *st, int r)
{
	struct server *s = req_server(req);

	if (r)
		fuse_reply_err(req, -r);
	else
		fuse_reply_attr(req, st, ops_open(s) ? s->cfg.attr_timeout_ms / 1000.0 : 0);
}

static void reply_attr(fuse_req_t req, struct node *n)
{
	struct stat st;
	int r = obj_getattr(req_tree(req), n, &st);

	reply_stat(req, &st, r);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)fi;
	/* the root's attributes may be had while locked: monitoring must not see a dead mount */
	if (ino != FUSE_ROOT_ID && ops_refused(req))
		return;
	reply_attr(req, req_node(req, ino));
}

static void stamp(const struct stat *attr, int to_set, struct timespec ts[2])
{
	ts[0] = (struct timespec){0, UTIME_OMIT};
	ts[1] = (struct timespec){0, UTIME_OMIT};
	if (to_set & FUSE_SET_ATTR_ATIME_NOW)
		ts[0].tv_nsec = UTIME_NOW;
	else if (to_set & FUSE_SET_ATTR_ATIME)
		ts[0] = attr->st_atim;
	if (to_set & FUSE_SET_ATTR_MTIME_NOW)
		ts[1].tv_nsec = UTIME_NOW;
	else if (to_set & FUSE_SET_ATTR_MTIME)
		ts[1] = attr->st_mtim;
}

/* chown first (it clears suid and sgid), then chmod, then the size, then the times (a change of size moves them). */
static int set_owner_mode(int fd, const struct stat *attr, int to_set)
{
	uid_t uid = to_set & FUSE_SET_ATTR_UID ? attr->st_uid : (uid_t)-1;
	gid_t gid = to_set & FUSE_SET_ATTR_GID ? attr->st_gid : (gid_t)-1;
	char path[40];

	if ((to_set & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)) && fchownat(fd, "", uid, gid, AT_EMPTY_PATH))
		return -errno;
	if (!(to_set & FUSE_SET_ATTR_MODE))
		return 0;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd); /* O_PATH has no fchmod */
	return chmod(path, attr->st_mode & 07777) ? -errno : 0;
}

/* One change of attributes: by which thread, of what. */
struct change {
	struct tree *tree;
	struct node *n;
	const struct stat *attr;
	int to_set;
};

static int set_size(const struct change *c, struct file_work *w, struct file *f)
{
	struct file *opened = NULL;
	int r = 0;

	if (c->n->type != OBJECT_FILE)
		return -EINVAL;
	if (!f) {
		r = file_open(&c->tree->env, c->n, true, w, &opened);
		f = opened;
	}
	if (!r)
		r = file_truncate(f, w, (uint64_t)c->attr->st_size);
	if (opened)
		file_close(opened, true);
	return r;
}

/* ST: the attributes afterwards, by the descriptor that is there already. */
static int apply(const struct change *c, struct file_work *w, struct file *f, struct stat *st)
{
	const int times = FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_ATIME_NOW | FUSE_SET_ATTR_MTIME_NOW;
	struct timespec ts[2];
	int fd = f ? f->fd : node_open_path(&c->tree->nodes, c->n), r;

	if (fd < 0)
		return fd;
	r = set_owner_mode(fd, c->attr, c->to_set);
	if (!r && (c->to_set & FUSE_SET_ATTR_SIZE))
		r = set_size(c, w, f);
	if (!r && (c->to_set & times)) {
		stamp(c->attr, c->to_set, ts);
		r = utimensat(fd, "", ts, AT_EMPTY_PATH) ? -errno : 0;
	}
	if (!r)
		r = fstat(fd, st) ? -errno : 0;
	if (!f)
		close(fd);
	return r ? r : obj_attr(c->tree, c->n, st);
}

/* Through the open file F (may be NULL; given back) where it can be written: no name has to be found again. */
static void setattr(fuse_req_t req, const struct change *c, struct file_work *w, struct file *f)
{
	struct stat st;
	int r = apply(c, w, f && f->writable ? f : NULL, &st);

	if (f)
		file_close(f, false);
	reply_stat(req, &st, r);
}

static void job_setattr(struct file_work *w, void *arg)
{
	struct deferred *d = arg;
	struct change c = {d->server->cfg.tree, node_get(&d->server->cfg.tree->nodes, d->ino), &d->attr, d->arg};
	struct file *f;
	int r;

	/* the KMS is asked before the slot is taken */
	r = c.n->type == OBJECT_FILE ? file_open(&d->server->cfg.tree->env, c.n, true, w, &f) : -EINVAL;
	if (r) {
		fuse_reply_err(d->req, -r);
	} else {
		pthread_mutex_lock(&d->server->slot_lock);
		w->slot = d->server->pool_slot;
		setattr(d->req, &c, w, file_ref(c.n));
		w->slot = NULL;
		pthread_mutex_unlock(&d->server->slot_lock);
		file_close(f, true);
	}
	ops_deferred_end(d);
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
	const int drain = FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW | FUSE_SET_ATTR_CTIME;
	struct server *s = req_server(req);
	struct change c = {req_tree(req), req_node(req, ino), attr, to_set};
	/* Sent when the kernel writes dirty pages back: refused, fsync would fail although every byte was sealed. */
	bool times = !(to_set & ~drain);
	struct file *f;

	/*
	 * Locked, it comes from an inode whose writes were refused: nothing was written, so there is no time to set, and the
	 * writer has been told once. Only the kernel itself names a handle here; utimensat(2) does not.
	 */
	if (times && fi && gate_state(s->cfg.tree->env.gate) == GATE_LOCKED) {
		reply_attr(req, c.n);
		return;
	}
	if (!(times && gate_state(s->cfg.tree->env.gate) == GATE_LOCKING) && ops_change_refused(req))
		return;
	f = file_ref(c.n);
	if (!f && (to_set & FUSE_SET_ATTR_SIZE) && s->cfg.store->keyring->wrap_type == WRAP_FILE)
		ops_defer(req, job_setattr,
			  &(struct deferred){.lane = POOL_KMS, .ino = ino, .attr = *attr, .arg = to_set});
	else
		setattr(req, &c, &thread_self()->work, f);
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct special s;
	int r;

	if (ops_refused(req))
		return;
	r = obj_special(req_tree(req), req_node(req, ino), &s);
	if (r)
		fuse_reply_err(req, -r);
	else
		fuse_reply_readlink(req, s.target);
	secret_wipe(s.target, sizeof(s.target));
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct statvfs st;

	(void)ino;
	if (fstatvfs(req_server(req)->cfg.store->data_fd, &st)) {
		fuse_reply_err(req, errno);
		return;
	}
	st.f_namemax = NAME_LEN_MAX;
	fuse_reply_statfs(req, &st);
}

/* ---- open files ---- */

static void finish_open(fuse_req_t req, struct file *f, struct fuse_file_info *fi, bool writable)
{
	fi->fh = (uint64_t)(uintptr_t)f | (writable ? HANDLE_WRITABLE : 0);
	fi->keep_cache = 1; /* we are the only writer, and locking invalidates by itself */
	if (!ops_open(req_server(req))) {
		fuse_reply_err(req, EACCES);
		file_close(f, writable);
	} else if (fuse_reply_open(req, fi) == -ENOENT) {
		file_close(f, writable);
	}
}

static void open_now(fuse_req_t req, struct node *n, struct fuse_file_info *fi, struct file_work *w)
{
	bool writable = (fi->flags & O_ACCMODE) != O_RDONLY;
	struct file *f;
	int r = n->type == OBJECT_FILE ? file_open(&req_tree(req)->env, n, writable, w, &f) : -EIO;

	if (r)
		fuse_reply_err(req, -r);
	else
		finish_open(req, f, fi, writable);
}

static void job_open(struct file_work *w, void *arg)
{
	struct deferred *d = arg;

	open_now(d->req, node_get(&d->server->cfg.tree->nodes, d->ino), &d->fi, w);
	ops_deferred_end(d);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct server *s = req_server(req);
	struct node *n = req_node(req, ino);
	struct file *open;

	if (ops_refused(req))
		return;
	/* Held over the opening: with wrap type `file` only a file that is not open yet asks the KMS. */
	open = file_ref(n);
	if (!open && s->cfg.store->keyring->wrap_type == WRAP_FILE)
		ops_defer(req, job_open, &(struct deferred){.lane = POOL_KMS, .ino = ino, .fi = *fi});
	else
		open_now(req, n, fi, &thread_self()->work);
	if (open)
		file_close(open, false);
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	file_close(handle_file(fi), (fi->fh & HANDLE_WRITABLE) != 0);
	fuse_reply_err(req, 0);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	const uint8_t *plain;
	size_t len;
	int r;

	(void)ino;
	if (ops_refused(req))
		return;
	r = file_read(handle_file(fi), &thread_self()->work, (uint64_t)off, size, &plain, &len);
	if (!r && !ops_open(req_server(req)))
		r = -EACCES;
	if (r)
		fuse_reply_err(req, -r);
	else
		fuse_reply_buf(req, (const char *)plain, len);
}

/* One WRITE, admitted or not, and the account of it. */
static int write_now(struct server *s, struct file *f, const struct file_write *wr)
{
	bool open = ops_open(s);
	int r = -EACCES;

	if (open || (wr->use == GATE_USE_DRAIN && !lock_sealed(s->cfg.lock)))
		r = file_write(f, &thread_self()->work, wr);
	if (!r && !open)
		atomic_fetch_add(&s->cfg.lock->sealed_bytes, wr->len);
	if (r == -EACCES)
		audit_denied(s->cfg.audit, FUSE_WRITE);
	if (r == -EACCES && wr->use == GATE_USE_DRAIN) {
		atomic_fetch_add(&s->cfg.lock->refused_writes, 1);
		atomic_fetch_add(&s->cfg.lock->refused_bytes, wr->len);
	}
	return r;
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct server *s = req_server(req);
	struct file *f = handle_file(fi);
	struct file_write wr = {(uint64_t)off, (const uint8_t *)buf, size,
				fi->writepage ? GATE_USE_DRAIN : GATE_USE_NEW};
	int r;

	atomic_fetch_add(&s->cfg.lock->writes, 1);
	r = write_now(s, f, &wr);
	if (r && fi->writepage) { /* its bytes are lost, and must read as such: neither as zeros nor as stale pages */
		file_lost(f, (uint64_t)off, size);
		janitor_lost(s->cfg.lock, ino, (uint64_t)off, size);
	}
	if (r)
		fuse_reply_err(req, -r);
	else
		fuse_reply_write(req, size);
}

/*
 * Before the kernel sends this it has written back and collected the errors, so there is nothing to do, locked or not. But
 * it must be answered: without FLUSH, close(2) returns 0 on a connection whose daemon has been killed, dirty pages lost.
 */
static void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	fuse_reply_err(req, 0);
}

static void job_fsync(struct file_work *w, void *arg)
{
	struct deferred *d = arg;
	struct file *f = handle_file(&d->fi);
	int r = (d->arg ? fdatasync(f->fd) : fsync(f->fd)) ? -errno : 0;

	(void)w;
	if (!r)
		r = obj_sync_up(d->server->cfg.tree, f->node);
	fuse_reply_err(d->req, -r);
	ops_deferred_end(d);
}

/* Also while locked: whatever was accepted and could not be sealed, the kernel has told or will tell by itself. */
static void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	ops_defer(req, job_fsync, &(struct deferred){.ino = ino, .fi = *fi, .arg = datasync});
}

static void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len, struct fuse_file_info *fi)
{
	int r;

	(void)ino;
	if (ops_change_refused(req))
		return;
	r = file_fallocate(handle_file(fi), &thread_self()->work, mode, (uint64_t)off, (uint64_t)len);
	fuse_reply_err(req, -r);
}

/* The kernel asks with dirty pages unwritten; they are written back first, from a thread that serves nobody. */
static void job_lseek(struct file_work *w, void *arg)
{
	struct deferred *d = arg;
	struct file *f = handle_file(&d->fi);
	uint64_t out;
	int r = 0;

	if (atomic_load(&f->node->opened) & 2)
		r = lock_forget_inode(d->server->cfg.lock, d->ino, 0, 0);
	if (!r || r == -ENOENT)
		r = file_seek(f, w, d->off, d->arg, &out);
	if (r)
		fuse_reply_err(d->req, -r);
	else
		fuse_reply_lseek(d->req, (off_t)out);
	ops_deferred_end(d);
}

static void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
	if (ops_refused(req))
		return;
	if (whence != SEEK_DATA && whence != SEEK_HOLE)
		fuse_reply_err(req, EINVAL);
	else
		ops_defer(req, job_lseek,
			  &(struct deferred){.ino = ino, .fi = *fi, .off = (uint64_t)off, .arg = whence});
}

/* ---- extended attributes ---- */

static void reply_sized(fuse_req_t req, int r, const void *buf, size_t len, size_t size)
{
	if (r)
		fuse_reply_err(req, -r);
	else if (size == 0)
		fuse_reply_xattr(req, len);
	else
		fuse_reply_buf(req, buf, len);
}

static void reply_state(fuse_req_t req, size_t size)
{
	struct gate_status s;
	char text[512];
	size_t len;

	gate_status(req_tree(req)->env.gate, &s);
	len = (size_t)snprintf(text, sizeof(text), "%s%s%s%s%s", gate_state_name(s.state), s.cause ? " (" : "",
			       gate_cause_name(s.cause), s.cause ? "): " : "", s.cause ? s.reason : "");
	reply_sized(req, size > 0 && size < len ? -ERANGE : 0, text, len, size);
}

static void read_xattrs(fuse_req_t req, struct node *n, const char *name, size_t size)
{
	struct xattr_buf buf = {.size = size};
	int r = -ENOMEM;

	if (size > 0)
		buf.value = malloc(size);
	if (size == 0 || buf.value)
		r = name ? xattrs_get(req_tree(req), n, name, &buf) : xattrs_list(req_tree(req), n, &buf);
	reply_sized(req, r, buf.value, buf.len, size);
	if (buf.value)
		secret_wipe(buf.value, size);
	free(buf.value);
}

static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	if (ino == FUSE_ROOT_ID && strcmp(name, XATTR_STATE) == 0)
		reply_state(req, size);
	else if (!ops_refused(req))
		read_xattrs(req, req_node(req, ino), name, size);
}

static void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	if (!ops_refused(req))
		read_xattrs(req, req_node(req, ino), NULL, size);
}

static void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags)
{
	struct xattr_value v = {value, size, flags};
	int r;

	if (ops_change_refused(req))
		return;
	if (ino == FUSE_ROOT_ID && strcmp(name, XATTR_STATE) == 0)
		r = -EPERM;
	else
		r = xattrs_set(req_tree(req), req_node(req, ino), name, &v);
	fuse_reply_err(req, -r);
}

static void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	if (ops_change_refused(req))
		return;
	fuse_reply_err(req, -xattrs_remove(req_tree(req), req_node(req, ino), name));
}

void ops_file_fill(struct fuse_lowlevel_ops *ops)
{
	ops->init = op_init;
	ops->getattr = op_getattr;
	ops->setattr = op_setattr;
	ops->readlink = op_readlink;
	ops->statfs = op_statfs;
	ops->open = op_open;
	ops->release = op_release;
	ops->read = op_read;
	ops->write = op_write;
	ops->flush = op_flush;
	ops->fsync = op_fsync;
	ops->fallocate = op_fallocate;
	ops->lseek = op_lseek;
	ops->getxattr = op_getxattr;
	ops->listxattr = op_listxattr;
	ops->setxattr = op_setxattr;
	ops->removexattr = op_removexattr;
}
