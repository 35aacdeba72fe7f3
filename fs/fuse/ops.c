/* SPDX-License-Identifier: BSD-2-Clause */
/* What all FUSE callbacks use: admission, replies, requests that go on in the pool; and the session's own two. */
#include "fs/fuse/ops.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "crypto/secret.h"
#include "fs/audit/audit.h"
#include "fs/store/store.h"

/* ---- admission ---- */

bool ops_refused(fuse_req_t req)
{
	if (ops_open(req_server(req)))
		return false;
	audit_denied(req_server(req)->cfg.audit, thread_opcode());
	fuse_reply_err(req, EACCES);
	return true;
}

struct node *ops_node(fuse_req_t req, fuse_ino_t ino)
{
	struct node *n = node_get(&req_tree(req)->nodes, ino);

	if (!n)
		fuse_reply_err(req, ESTALE);
	return n;
}

struct node *ops_admit(fuse_req_t req, fuse_ino_t ino)
{
	return ops_refused(req) ? NULL : ops_node(req, ino);
}

struct node *ops_admit_change(fuse_req_t req, fuse_ino_t ino)
{
	if (!req_tree(req)->env.read_only)
		return ops_admit(req, ino);
	fuse_reply_err(req, EROFS); /* `mount -o remount,rw` changes the kernel's mind, not ours */
	return NULL;
}

bool ops_own_thread(fuse_req_t req)
{
	pid_t thread = fuse_req_ctx(req)->pid;

	return thread > 0 && tgkill(getpid(), thread, 0) == 0;
}

/* ---- replies ---- */

struct cred ops_cred(fuse_req_t req)
{
	const struct fuse_ctx *c = fuse_req_ctx(req);

	return (struct cred){c->uid, c->gid, c->umask};
}

void ops_entry(const struct server *s, const struct node *n, const struct stat *st, struct fuse_entry_param *e)
{
	*e = (struct fuse_entry_param){
		.ino = n->id,
		.generation = n->generation,
		.attr = *st,
		.attr_timeout = ops_timeout(s),
		.entry_timeout = ops_timeout(s),
	};
}

void ops_reply_entry(fuse_req_t req, struct node *n, const struct stat *st, int r)
{
	struct server *s = req_server(req);

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
	struct fuse_entry_param e;
	ops_entry(s, n, st, &e);
	if (fuse_reply_entry(req, &e) == -ENOENT)
		node_forget(&s->cfg.tree->nodes, n, 1);
}

/*
 * Near the full mark a write(2) must be told at once, so it may not end in the kernel's cache. What reads too may be wanted for a
 * shared mapping, and older kernels refuse to map what is opened so.
 */
static bool writes_through(struct server *s, const struct fuse_file_info *fi)
{
	int how = fi->flags & O_ACCMODE;

	return (how == O_WRONLY || (how == O_RDWR && s->maps_direct)) && space_near(&s->space, s->cfg.store->data_fd);
}

int ops_reply_handle(fuse_req_t req, struct file *f, bool writable, struct fuse_file_info *fi,
		     const struct fuse_entry_param *e)
{
	if (!ops_open(req_server(req))) {
		file_close(f, writable); /* before the reply, after which the kernel may forget the node */
		fuse_reply_err(req, EACCES);
		return -ENOENT;
	}
	fi->keep_cache = 1; /* we are the only writer, and locking invalidates by itself */
	fi->direct_io = writes_through(req_server(req), fi);
	fi->fh = handle_make(f, writable, fi->direct_io);
	int r = e ? fuse_reply_create(req, e, fi) : fuse_reply_open(req, fi);
	if (r == -ENOENT)
		file_close(f, writable);
	return r;
}

/* ---- the pool ---- */

static void deferred_run(struct file_work *w, void *arg)
{
	struct deferred *d = arg;

	if (!d->aside)
		lock_work_begin(d->server->cfg.lock);
	d->run(w, d);
}

void ops_defer(fuse_req_t req, pool_job *job, const struct deferred *d)
{
	struct server *s = req_server(req);
	struct deferred *copy = malloc(sizeof(*copy));
	unsigned turn = d->aside ? 0 : lock_request_begin(s->cfg.lock);

	if (copy) {
		*copy = *d;
		copy->req = req;
		copy->server = s;
		copy->turn = turn;
		copy->run = job;
		if (pool_submit(s->pool, copy->lane, deferred_run, copy) == 0)
			return;
	}
	free(copy);
	if (!d->aside)
		lock_request_end(s->cfg.lock, turn);
	fuse_reply_err(req, ENOMEM);
}

void ops_deferred_end(struct deferred *d)
{
	if (!d->aside) {
		lock_work_end(d->server->cfg.lock);
		lock_request_end(d->server->cfg.lock, d->turn);
	}
	secret_wipe(d->name, sizeof(d->name));
	free(d);
}

/* ---- the session ---- */

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	const struct server *s = userdata;
	unsigned want = FUSE_CAP_ASYNC_READ | FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_POSIX_ACL |
			FUSE_CAP_DONT_MASK | FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO |
			FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_IOCTL_DIR;

	/*
	 * Splice would copy into pipes; O_TRUNC comes as SETATTR; locks stay the kernel's. Without ASYNC_DIO an asynchronous
	 * O_DIRECT write ends inside io_submit(2): the kernel drops cached pages only behind a write that it has waited for.
	 */
	conn->want = conn->capable & want;
	if (s->cfg.tree->env.read_only)
		conn->want &= ~(unsigned)FUSE_CAP_WRITEBACK_CACHE;
	s->cfg.tree->env.keeps_times = conn->want & FUSE_CAP_WRITEBACK_CACHE;
	conn->max_write = INFLIGHT_REQUEST_MAX;
	conn->max_readahead = INFLIGHT_REQUEST_MAX;
	conn->max_background = 256;
	conn->congestion_threshold = 200;
	conn->time_gran = 1;
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	(void)ino;
	struct statvfs st;
	(void)nodes_room_comes(&req_tree(req)->nodes); /* who has removed something asks whether it was enough */
	if (fstatvfs(req_server(req)->cfg.store->data_fd, &st)) {
		fuse_reply_err(req, errno);
		return;
	}
	st.f_namemax = NAME_LEN_MAX;
	fuse_reply_statfs(req, &st);
}

void ops_fill_session(struct fuse_lowlevel_ops *ops)
{
	ops->init = op_init;
	ops->statfs = op_statfs;
}
