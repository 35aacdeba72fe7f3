/* SPDX-License-Identifier: BSD-2-Clause */
/* FUSE callbacks on open files. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/audit/audit.h"
#include "fs/fuse/caller.h"
#include "fs/inode/times.h"
#include "fs/lock/janitor.h"
#include "fs/store/store.h"
#include "fs/store/written.h"
#include "fs/tree/xattrs.h"

#define TELLING_MS 20u

/* ---- open, release ---- */

/* HELD (or NULL) is N's file, given back before the reply: the kernel may have closed and forgotten N when that returns. */
static void open_now(fuse_req_t req, struct node *n, struct fuse_file_info *fi, struct file_work *w, struct file *held)
{
	bool writable = (fi->flags & O_ACCMODE) != O_RDONLY;
	struct file *f;
	int r = n->type == OBJECT_FILE ? file_open(&req_tree(req)->env, n, writable, w, &f) : -EIO;

	if (held)
		file_close(held, false);
	if (r)
		fuse_reply_err(req, -r);
	else
		(void)ops_reply_handle(req, f, writable, fi, NULL);
}

static void job_open(struct file_work *w, void *arg)
{
	struct deferred *d = arg;

	open_now(d->req, d->node, &d->fi, w, NULL);
	ops_deferred_end(d);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct node *n = ops_admit(req, ino);

	if (!n)
		return;
	/* Held over the opening: with wrap type `file` only a file that is not open yet asks the KMS. */
	struct file *held = file_ref(n);
	if (!held && req_server(req)->cfg.store->keyring->wrap_type == WRAP_FILE)
		ops_defer(req, job_open, &(struct deferred){.lane = POOL_KMS, .node = n, .fi = *fi});
	else
		open_now(req, n, fi, &thread_self()->work, held);
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct file *f = handle_file(fi);

	(void)ino;
	if (handle_writable(fi)) {
		if (ops_open(req_server(req)))
			file_unsparse(f, &thread_self()->work);
		times_settle(&req_tree(req)->env, f->node, f->fd);
	}
	file_close(f, handle_writable(fi));
	fuse_reply_err(req, 0);
}

/* The time of what went past the kernel's cache, if it does not know that yet. */
static void tell_time(const struct server *s, struct node *n)
{
	int64_t ns = atomic_load(&n->written_ns);
	const struct timespec when = {ns / 1000000000, ns % 1000000000};

	atomic_fetch_add(&n->telling, 1);
	if (ns && ops_open(s))
		lock_touch(s->cfg.lock, n->id, &when);
	atomic_fetch_sub(&n->telling, 1);
}

static void job_flush(struct file_work *w, void *arg)
{
	struct deferred *d = arg;

	(void)w;
	int r = handle_writable(&d->fi) ? behind_settle(handle_file(&d->fi)) : 0;
	if (lost_pending(d->server->cfg.store->lost))
		file_lost_noted(handle_file(&d->fi), false);
	tell_time(d->server, d->node);
	/* who closes may unmount next, and is not to find it in use by what his fsync has left */
	for (unsigned ms = 0; atomic_load(&d->node->telling) > 0 && ms < TELLING_MS; ms++)
		clock_pause(1);
	fuse_reply_err(d->req, -r);
	ops_deferred_end(d);
}

/*
 * Before the kernel sends this it has written back and collected the errors, so there is nothing to do, locked or not, but to
 * tell it the time of what went past its cache, and to wait until what it tells to be lost is on the list, and what a lock has
 * sealed on the disk. It must be answered: without FLUSH, close(2) returns 0 on a connection whose daemon has been killed, dirty
 * pages lost.
 */
static void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct node *n = node_get(&req_tree(req)->nodes, ino);
	struct file *f = handle_file(fi);
	bool behind = handle_writable(fi) && (!behind_idle(f) || atomic_load(&f->behind.error));
	bool disk = behind || lost_pending(req_server(req)->cfg.store->lost);

	if (n && (disk || atomic_load(&n->written_ns) || atomic_load(&n->telling) > 0))
		ops_defer(
			req, job_flush,
			&(struct deferred){.lane = disk ? POOL_DISK : POOL_TELL, .node = n, .fi = *fi, .aside = true});
	else
		fuse_reply_err(req, 0);
}

/* ---- contents ---- */

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)ino;
	if (ops_refused(req))
		return;
	const uint8_t *plain;
	size_t len;
	int r = file_read(handle_file(fi), &thread_self()->work, (uint64_t)off, size, &plain, &len);
	if (!r && !ops_open(req_server(req)))
		r = -EACCES;
	/* a write(2) of a part of a page reads the rest, through a handle that need not read */
	if (!r && (fi->flags & O_ACCMODE) != O_WRONLY)
		times_read_by_user(&req_tree(req)->env, file_fd(handle_file(fi)));
	if (r)
		fuse_reply_err(req, -r);
	else
		fuse_reply_buf(req, (const char *)plain, len);
}

/* The account of one WRITE and its outcome R, for the audit log and the report of the lock. */
static void account(const struct server *s, const struct file_write *wr, bool open, int r)
{
	struct lock *l = s->cfg.lock;

	if (!r && !open)
		atomic_fetch_add(&l->sealed_bytes, wr->len);
	if (r == -EACCES)
		audit_denied(s->cfg.audit, FUSE_WRITE);
	if (r == -EACCES && wr->use == GATE_USE_DRAIN) {
		atomic_fetch_add(&l->refused_writes, 1);
		atomic_fetch_add(&l->refused_bytes, wr->len);
	}
}

/*
 * The write(2) of these bytes has long returned. Once its attributes are forgotten (which waits for nothing) the kernel asks
 * for them before the next one, with the handle: op_getattr answers with this error.
 */
static void tell_at_next_write(struct lock *l, const struct file *f, int r)
{
	atomic_store(&f->node->write_error, -r);
	(void)lock_forget_inode(l, f->node->id, -1, 0);
}

void ops_write_failed(void *arg, struct file *f, uint64_t off, uint64_t len, int r)
{
	struct server *s = arg;

	file_lost(f, off, len);
	if (space_failed(&s->space, r))
		tell_at_next_write(s->cfg.lock, f, r);
	janitor_lost(s->cfg.lock, f->node->id, off, len);
}

/* The kernel moves no time for what goes past its cache. */
static void written_direct(struct node *n)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME_COARSE, &now); /* as the kernel itself stamps files */
	times_written(n, &now);
	atomic_store(&n->written_ns, (int64_t)now.tv_sec * 1000000000 + now.tv_nsec);
}

/*
 * What a write takes away from a file - setuid, setgid, capabilities - the kernel leaves to us where it goes past its cache. Before
 * the write; then the kernel forgets the mode that it knows. It holds the inode's lock, so that no chmod comes in between.
 */
static int drop_privileges(fuse_req_t req, struct file *f)
{
	struct server *s = req_server(req);
	struct xattr_buf length = {0};
	struct stat st;

	if (fstat(f->fd, &st) < 0)
		return -errno;
	mode_t drop = st.st_mode & S_ISUID;
	if (st.st_mode & S_IXGRP)
		drop |= st.st_mode & S_ISGID;
	if (drop && !caller_keeps_setid(req)) {
		if (fchmod(f->fd, st.st_mode & 07777 & ~drop) < 0)
			return -errno;
		(void)lock_forget_inode(s->cfg.lock, f->node->id, -1, 0);
	}
	int r = xattrs_get(s->cfg.tree, f->node, XATTR_CAPABILITY, &length);
	if (!r)
		r = xattrs_remove(s->cfg.tree, f->node, XATTR_CAPABILITY);
	return r == -ENODATA ? 0 : r;
}

/* F's bytes are durable: so is what it is found by, and a crash may take nothing of it. */
static int sync_up(struct tree *t, const struct file *f)
{
	int r = obj_sync_up(t, f->node);

	if (!r && t->env.written)
		written_durable(t->env.written, atomic_load(&f->node->listed), f->file_id);
	return r;
}

/* O_SYNC, O_DSYNC, or the same for this call alone: past its cache the kernel leaves that to us, too. */
static int sync_written(const struct server *s, const struct file *f, int flags)
{
	if (!(flags & O_DSYNC))
		return 0;
	bool all = (flags & O_SYNC) == O_SYNC;
	if (all)
		times_settle(&s->cfg.tree->env, f->node, f->fd);
	int r = (all ? fsync(f->fd) : fdatasync(f->fd)) < 0 ? -errno : 0;
	return r ? r : sync_up(s->cfg.tree, f);
}

static int write_admitted(fuse_req_t req, const struct fuse_file_info *fi, const struct file_write *wr)
{
	struct file *f = handle_file(fi);
	bool direct = handle_direct(fi) && !fi->writepage;
	int r = direct ? drop_privileges(req, f) : 0;

	if (!r)
		r = file_write(f, &thread_self()->work, wr);
	/* not while it locks: what is dirty then has little time */
	if (r == -ENOSPC && ops_open(req_server(req)) && nodes_room_comes(&req_tree(req)->nodes))
		r = file_write(f, &thread_self()->work, wr);
	return !r && direct ? sync_written(req_server(req), f, fi->flags) : r;
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct server *s = req_server(req);
	struct lock *l = s->cfg.lock;
	struct file *f = handle_file(fi);
	const struct file_write wr = {(uint64_t)off, (const uint8_t *)buf, size,
				      fi->writepage ? GATE_USE_DRAIN : GATE_USE_NEW};
	int r = -EACCES;

	atomic_fetch_add(&l->writes, 1);
	bool open = ops_open(s);
	if (open || (fi->writepage && !lock_sealed(l)))
		r = write_admitted(req, fi, &wr);
	account(s, &wr, open, r);
	bool disk = space_failed(&s->space, r);
	if (!r && handle_direct(fi) && !fi->writepage)
		written_direct(f->node);
	if (r && fi->writepage) { /* its bytes are lost, and must read as such: neither as zeros nor as stale pages */
		file_lost(f, wr.off, size);
		if (open)
			file_unsparse(f, &thread_self()->work);
		if (disk)
			tell_at_next_write(l, f, r);
		janitor_lost(l, ino, wr.off, size);
	}
	if (r)
		fuse_reply_err(req, -r);
	else
		fuse_reply_write(req, size);
}

static void job_tell(struct file_work *w, void *arg)
{
	struct deferred *d = arg;

	(void)w;
	atomic_store(&d->node->to_tell, false);
	tell_time(d->server, d->node);
	node_unpin(&d->server->cfg.tree->nodes, d->node);
	ops_deferred_end(d);
}

/* N, pinned, when its time is to be told and nobody is about to. */
static struct node *to_tell(struct nodes *t, struct node *n)
{
	if (!atomic_load(&n->written_ns) || atomic_exchange(&n->to_tell, true))
		return NULL;
	return node_pin(t, n->id); /* an open file's */
}

/*
 * The time is told behind the reply: over FSYNC the kernel holds the inode's lock, which utimensat(2) waits for. By threads of
 * their own, or those that wait would hold up the FSYNCs that they wait for.
 */
static void job_fsync(struct file_work *w, void *arg)
{
	struct deferred *d = arg;
	struct server *s = d->server;
	struct tree *t = s->cfg.tree;
	struct file *f = handle_file(&d->fi);
	struct node *n = to_tell(&t->nodes, f->node);

	times_settle(&t->env, f->node, f->fd);
	obj_sync_begin(t, f->node);
	int r = file_sync(f, d->arg);
	file_lost_noted(f, true);
	if (!r)
		r = sync_up(t, f);
	fuse_reply_err(d->req, -r);
	d->node = n;
	if (!n)
		ops_deferred_end(d);
	else if (pool_submit(s->pool, POOL_TELL, job_tell, d))
		job_tell(w, d);
}

/* Also while locked: whatever was accepted and could not be sealed, the kernel has told or will tell by itself. */
static void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	(void)ino;
	ops_defer(req, job_fsync, &(struct deferred){.fi = *fi, .arg = datasync, .aside = true});
}

static void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len, struct fuse_file_info *fi)
{
	if (!ops_admit_change(req, ino))
		return;
	struct file *f = handle_file(fi);
	struct file_work *w = &thread_self()->work;
	int r = file_fallocate(f, w, mode, (uint64_t)off, (uint64_t)len);
	if (r == -ENOSPC && nodes_room_comes(&req_tree(req)->nodes))
		r = file_fallocate(f, w, mode, (uint64_t)off, (uint64_t)len);
	fuse_reply_err(req, -r);
}

/* The kernel asks with dirty pages unwritten; they are written back first, from a thread that serves nobody. */
static void job_lseek(struct file_work *w, void *arg)
{
	struct deferred *d = arg;
	struct file *f = handle_file(&d->fi);
	uint64_t out;
	int r = 0;

	if (atomic_load(&f->node->opened) & NODE_OPENED_TO_WRITE)
		r = lock_forget_inode(d->server->cfg.lock, f->node->id, 0, 0);
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
	(void)ino;
	if (ops_refused(req))
		return;
	if (whence != SEEK_DATA && whence != SEEK_HOLE)
		fuse_reply_err(req, EINVAL);
	else
		ops_defer(req, job_lseek, &(struct deferred){.fi = *fi, .off = (uint64_t)off, .arg = whence});
}

void ops_fill_file(struct fuse_lowlevel_ops *ops)
{
	ops->open = op_open;
	ops->release = op_release;
	ops->flush = op_flush;
	ops->read = op_read;
	ops->write = op_write;
	ops->fsync = op_fsync;
	ops->fallocate = op_fallocate;
	ops->lseek = op_lseek;
}
