/* SPDX-License-Identifier: BSD-2-Clause */
/* FUSE callbacks on attributes: translate, call one function, reply. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "crypto/secret.h"
#include "fs/fuse/ops.h"
#include "fs/inode/times.h"
#include "fs/store/store.h"

static void reply_stat(fuse_req_t req, const struct stat *st, int r)
{
	const struct server *s = req_server(req);

	if (r)
		fuse_reply_err(req, -r);
	else
		fuse_reply_attr(req, st, ops_open(s) ? ops_timeout(s) : 0);
}

static void reply_attr(fuse_req_t req, struct node *n)
{
	struct stat st;
	int r = n ? obj_getattr(req_tree(req), n, &st) : -ESTALE;

	reply_stat(req, &st, r);
}

/*
 * With a handle the kernel asks before a write(2) into its cache (before a cached read too): a writer is told here what has
 * become of the bytes that it wrote before. Once, as by fsync: it may have undone them, or mean others.
 */
static int untold_error(struct node *n, const struct fuse_file_info *fi)
{
	return fi && handle_writable(fi) && atomic_load(&n->write_error) ? atomic_exchange(&n->write_error, 0) : 0;
}

/* A lock makes sure that the kernel asks (rootsync.c): nobody is denied anything. */
static bool asked_by_lock(fuse_req_t req)
{
	if (ops_open(req_server(req)) || !ops_own_thread(req))
		return false;
	fuse_reply_err(req, LOCK_ASKED);
	return true;
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	if (ino != FUSE_ROOT_ID && asked_by_lock(req))
		return;
	/* the root's attributes may be had while locked: monitoring must not see a dead mount */
	struct node *n = ino == FUSE_ROOT_ID ? ops_node(req, ino) : ops_admit(req, ino);
	if (!n)
		return;
	int told = untold_error(n, fi);
	if (told)
		fuse_reply_err(req, told);
	else
		reply_attr(req, n);
}

/* ---- setattr ---- */

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

	if ((to_set & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)) && fchownat(fd, "", uid, gid, AT_EMPTY_PATH))
		return -errno;
	if (!(to_set & FUSE_SET_ATTR_MODE))
		return 0;
	return store_chmod(fd, attr->st_mode & 07777);
}

/* One change of attributes: of what, and to what. */
struct change {
	struct tree *tree;
	struct node *node;
	const struct stat *attr;
	int to_set;
};

static int set_size(const struct change *c, struct file_work *w, struct file *f)
{
	struct file *opened = NULL;
	int r = 0;

	if (c->node->type != OBJECT_FILE)
		return -EINVAL;
	if (!f) {
		r = file_open(&c->tree->env, c->node, true, w, &opened);
		f = opened;
	}
	if (!r)
		r = file_truncate(f, w, (uint64_t)c->attr->st_size);
	if (opened)
		file_close(opened, true);
	return r;
}

/* With its write-back cache the kernel says times of a file itself, those of "now" too. */
static void told_times(const struct change *c, int fd)
{
	const struct timespec *mtime = c->to_set & FUSE_SET_ATTR_MTIME ? &c->attr->st_mtim : NULL;
	const struct timespec *ctime = c->to_set & FUSE_SET_ATTR_CTIME ? &c->attr->st_ctim : NULL;

	if (mtime || ctime)
		times_told(&c->tree->env, c->node, fd, mtime, ctime);
	else
		times_settle(&c->tree->env, c->node, fd);
}

/* ST: the attributes afterwards, by the descriptor that is there already. */
static int apply(const struct change *c, struct file_work *w, struct file *f, struct stat *st)
{
	const int times = FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_ATIME_NOW | FUSE_SET_ATTR_MTIME_NOW;
	int fd = f ? f->fd : node_open_path(&c->tree->nodes, c->node);

	if (fd < 0)
		return fd;
	int r = set_owner_mode(fd, c->attr, c->to_set);
	if (!r && (c->to_set & FUSE_SET_ATTR_SIZE))
		r = set_size(c, w, f);
	if (!r && (c->to_set & times)) {
		struct timespec ts[2];

		stamp(c->attr, c->to_set, ts);
		r = utimensat(fd, "", ts, AT_EMPTY_PATH) ? -errno : 0;
		if (!r && ts[1].tv_nsec != UTIME_OMIT) /* the kernel knows the time from now on */
			atomic_store(&c->node->written_ns, 0);
	}
	if (!r && c->node->type == OBJECT_FILE)
		told_times(c, fd);
	if (!r)
		r = fstat(fd, st) ? -errno : 0;
	if (!f)
		close(fd);
	return r ? r : obj_attr(c->tree, c->node, st);
}

/*
 * Through the open file F (may be NULL) where it can be written: no name has to be found again. F is given back, as WRITABLE,
 * before the reply: the kernel may have forgotten the node when that returns.
 */
static void setattr(fuse_req_t req, const struct change *c, struct file_work *w, struct file *f, bool writable)
{
	struct stat st;
	int r = apply(c, w, f && f->writable ? f : NULL, &st);

	if (f)
		file_close(f, writable);
	reply_stat(req, &st, r);
}

static void job_setattr(struct file_work *w, void *arg)
{
	struct deferred *d = arg;
	struct server *s = d->server;
	const struct change c = {s->cfg.tree, d->node, &d->attr, d->arg};
	struct file *f;
	/* the KMS is asked before the slot is taken */
	int r = d->node->type == OBJECT_FILE ? file_open(&s->cfg.tree->env, d->node, true, w, &f) : -EINVAL;

	if (r) {
		fuse_reply_err(d->req, -r);
	} else {
		pthread_mutex_lock(&s->slot_lock);
		w->slot = s->pool_slot;
		w->slot_no = POOL_SLOT;
		setattr(d->req, &c, w, f, true);
		w->slot = NULL;
		pthread_mutex_unlock(&s->slot_lock);
	}
	ops_deferred_end(d);
}

/* A time of before the last write past the kernel's cache: its own, of a mapping, or one told by us that came late. */
static bool overtaken(fuse_req_t req, const struct node *n, const struct stat *attr, const struct fuse_file_info *fi)
{
	int64_t ns = (int64_t)attr->st_mtim.tv_sec * 1000000000 + attr->st_mtim.tv_nsec;

	return ns < atomic_load(&n->written_ns) && (fi || ops_own_thread(req));
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
	const int drain = FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW | FUSE_SET_ATTR_CTIME;
	struct tree *t = req_tree(req);
	enum gate_state state = gate_state(t->env.gate);
	/* Sent when the kernel writes dirty pages back: refused, fsync would fail although every byte was sealed. */
	bool times = !(to_set & ~drain);

	/*
	 * Locked, it comes from an inode whose writes were refused: nothing was written, so there is no time to set, and the
	 * writer has been told once. Only the kernel itself names a handle here; utimensat(2) does not.
	 */
	if (times && fi && state == GATE_LOCKED) {
		reply_attr(req, node_get(&t->nodes, ino));
		return;
	}
	struct node *n = times && state == GATE_LOCKING ? ops_node(req, ino) : ops_admit_change(req, ino);
	if (!n)
		return;
	if (times && (to_set & FUSE_SET_ATTR_MTIME) && overtaken(req, n, attr, fi)) {
		reply_attr(req, n);
		return;
	}
	struct file *f = file_ref(n);
	if (!f && (to_set & FUSE_SET_ATTR_SIZE) && req_server(req)->cfg.store->keyring->wrap_type == WRAP_FILE)
		ops_defer(req, job_setattr,
			  &(struct deferred){.lane = POOL_KMS, .node = n, .attr = *attr, .arg = to_set});
	else
		setattr(req, &(struct change){t, n, attr, to_set}, &thread_self()->work, f, false);
}

static void reply_link(fuse_req_t req, struct node *n, const char *target)
{
	const struct file_env *env = &req_tree(req)->env;

	if (env->atimes & ATIME_FILES) {
		AUTO(auto_close) int fd = node_open_path(env->nodes, n);

		if (fd >= 0)
			times_read_by_user(env, fd);
	}
	fuse_reply_readlink(req, target);
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct node *n = ops_admit(req, ino);

	if (!n)
		return;
	struct special link;
	int r = obj_special(req_tree(req), n, &link);
	if (r)
		fuse_reply_err(req, -r);
	else
		reply_link(req, n, link.target);
	secret_wipe(link.target, sizeof(link.target));
}

void ops_fill_attr(struct fuse_lowlevel_ops *ops)
{
	ops->getattr = op_getattr;
	ops->setattr = op_setattr;
	ops->readlink = op_readlink;
}
