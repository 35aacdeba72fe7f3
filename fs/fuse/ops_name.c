/* SPDX-License-Identifier: BSD-2-Clause */
/* FUSE callbacks on names: looking up, making, linking, renaming and removing. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/fuse/ops.h"
#include "fs/store/store.h"

/* ---- look-up ---- */

/*
 * Locking looks up files by number (rootsync.c): all of the reply that matters is that its time is over. By a number a file is
 * touched too (touch.c).
 */
static bool lookup_own(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct tree *t = req_tree(req);
	struct fuse_entry_param e;
	struct stat st;
	uint64_t asked = lock_asked_id(name), touched = lock_touched_id(name);

	if (parent != FUSE_ROOT_ID || !(asked || touched) || !ops_own_thread(req))
		return false;
	struct node *n = node_lookup_again(&t->nodes, asked ? asked : touched);
	int r = n ? obj_getattr(t, n, &st) : -ENOENT;
	if (!r && touched && !atomic_load(&n->written_ns))
		r = -ENOENT;
	if (r) {
		fuse_reply_err(req, -r);
	} else {
		ops_entry(req_server(req), n, &st, &e);
		e.attr_timeout = e.entry_timeout = 0;
		r = fuse_reply_entry(req, &e);
	}
	if (n && r)
		node_forget(&t->nodes, n, 1);
	return true;
}

/* A name that is not there is remembered too: nobody else makes one. */
static void reply_absent(fuse_req_t req)
{
	const struct fuse_entry_param e = {.entry_timeout = ops_timeout(req_server(req))};

	if (ops_open(req_server(req)))
		fuse_reply_entry(req, &e);
	else
		fuse_reply_err(req, EACCES);
}

static void lookup_now(fuse_req_t req, struct at at)
{
	struct node *n = NULL;
	struct stat st;
	int r = obj_lookup(req_tree(req), at, &n, &st);

	if (r == -ENOENT)
		reply_absent(req);
	else
		ops_reply_entry(req, n, &st, r);
}

static void job_lookup(struct file_work *w, void *arg)
{
	struct deferred *d = arg;

	(void)w;
	lookup_now(d->req, (struct at){d->node, d->name});
	ops_deferred_end(d);
}

/* JOB on NAME, where D's lane is waited for. */
static void name_later(fuse_req_t req, pool_job *job, struct deferred *d, const char *name)
{
	if (strlen(name) > NAME_LEN_MAX) {
		fuse_reply_err(req, ENAMETOOLONG);
		return;
	}
	memcpy(d->name, name, strlen(name) + 1);
	ops_defer(req, job, d);
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	if (lookup_own(req, parent, name))
		return;
	struct node *dir = ops_admit(req, parent);
	if (!dir)
		return;
	if (ops_lookup_waits(req_server(req)))
		name_later(req, job_lookup, &(struct deferred){.node = dir, .lane = POOL_KMS}, name);
	else
		lookup_now(req, (struct at){dir, name});
}

static void forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	struct nodes *nodes = &req_tree(req)->nodes;
	struct node *n = node_get(nodes, ino);

	if (n)
		node_forget(nodes, n, nlookup);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	forget(req, ino, nlookup);
	fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++)
		forget(req, forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

/* ---- making ---- */

/* On a serving thread, or in the pool where the KMS is asked. FI: the file is to be opened; NULL for MKNOD. */
static void create_now(fuse_req_t req, const struct make *m, struct fuse_file_info *fi)
{
	struct tree *t = req_tree(req);
	struct node *n = NULL;
	struct file *f = NULL;
	struct stat st;
	int r = obj_create(t, m, &n, &st, fi ? &f : NULL);

	if (r == -ENOSPC && nodes_room_comes(&t->nodes))
		r = obj_create(t, m, &n, &st, fi ? &f : NULL);
	if (r || !fi) {
		ops_reply_entry(req, n, &st, r);
		return;
	}
	struct fuse_entry_param e;
	ops_entry(req_server(req), n, &st, &e);
	if (ops_reply_handle(req, f, true, fi, &e) == -ENOENT)
		node_forget(&t->nodes, n, 1);
}

/* What obj_create() is to make at NAME: a file without one, for NAMELESS. */
static struct make file_to_make(const char *name, mode_t mode)
{
	return (struct make){.at.name = strcmp(name, NAMELESS) == 0 ? NULL : name, .mode = mode};
}

static void job_create(struct file_work *w, void *arg)
{
	struct deferred *d = arg;
	struct make m = file_to_make(d->name, d->mode);

	(void)w;
	m.at.dir = d->node;
	m.cred = ops_cred(d->req);
	create_now(d->req, &m, d->arg ? &d->fi : NULL);
	ops_deferred_end(d);
}

static void create_later(fuse_req_t req, const struct make *m, const struct fuse_file_info *fi)
{
	struct deferred d = {.node = m->at.dir, .mode = m->mode, .arg = fi != NULL, .lane = POOL_KMS};

	if (fi)
		d.fi = *fi;
	name_later(req, job_create, &d, m->at.name ? m->at.name : NAMELESS);
}

/* A regular file: with wrap type `file` the KMS is asked for its key. */
static void create(fuse_req_t req, const struct make *m, struct fuse_file_info *fi)
{
	if (req_server(req)->cfg.store->keyring->wrap_type == WRAP_FILE)
		create_later(req, m, fi);
	else
		create_now(req, m, fi);
}

/* Admit the making of M in folder PARENT by who asks; false: it is answered, and the request is gone. */
static bool make_admitted(fuse_req_t req, fuse_ino_t parent, struct make *m)
{
	m->cred = ops_cred(req);
	m->at.dir = ops_admit_change(req, parent);
	return m->at.dir;
}

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	struct make m = file_to_make(name, mode);

	if (make_admitted(req, parent, &m))
		create(req, &m, fi);
}

static void make_special(fuse_req_t req, const struct make *m)
{
	struct node *n = NULL;
	struct stat st;
	int r = obj_special_new(req_tree(req), m, &n, &st);

	if (r == -ENOSPC && nodes_room_comes(&req_tree(req)->nodes))
		r = obj_special_new(req_tree(req), m, &n, &st);
	ops_reply_entry(req, n, &st, r);
}

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	struct make m = {.at.name = name, .mode = mode};

	if (!make_admitted(req, parent, &m))
		return;
	if (S_ISREG(mode) || !(mode & S_IFMT)) {
		create(req, &m, NULL);
		return;
	}
	m.rdev = rdev;
	make_special(req, &m);
}

static void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	struct make m = {.at.name = name, .mode = S_IFLNK | 0777, .target = target};

	if (make_admitted(req, parent, &m))
		make_special(req, &m);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct make m = {.at.name = name, .mode = mode};
	struct node *n = NULL;
	struct stat st;

	if (!make_admitted(req, parent, &m))
		return;
	int r = obj_mkdir(req_tree(req), &m, &n, &st);
	if (r == -ENOSPC && nodes_room_comes(&req_tree(req)->nodes))
		r = obj_mkdir(req_tree(req), &m, &n, &st);
	ops_reply_entry(req, n, &st, r);
}

/* ---- linking, removing, renaming ---- */

static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname)
{
	struct node *n = ops_admit_change(req, ino);
	struct node *dir = n ? ops_node(req, newparent) : NULL;
	struct stat st;

	if (!dir)
		return;
	int r = obj_link(req_tree(req), n, (struct at){dir, newname}, &st);
	ops_reply_entry(req, n, &st, r);
}

static void job_unlink(struct file_work *w, void *arg)
{
	struct deferred *d = arg;

	(void)w;
	fuse_reply_err(d->req, -obj_unlink(d->server->cfg.tree, (struct at){d->node, d->name}, true));
	ops_deferred_end(d);
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct node *dir = ops_admit_change(req, parent);

	if (!dir)
		return;
	int r = obj_unlink(req_tree(req), (struct at){dir, name}, false);
	if (r == -EAGAIN) /* something has to be made durable first */
		name_later(req, job_unlink, &(struct deferred){.node = dir, .lane = POOL_DISK}, name);
	else
		fuse_reply_err(req, -r);
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct node *dir = ops_admit_change(req, parent);

	if (dir)
		fuse_reply_err(req, -obj_rmdir(req_tree(req), (struct at){dir, name}));
}

static void job_rename(struct file_work *w, void *arg)
{
	struct deferred *d = arg;
	const struct cred cred = ops_cred(d->req);

	(void)w;
	fuse_reply_err(d->req, -obj_rename(d->server->cfg.tree, (struct at){d->node, d->name},
					   (struct at){d->to, d->new_name}, (unsigned)d->arg, &cred));
	ops_deferred_end(d);
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent, const char *newname,
		      unsigned int flags)
{
	const struct cred cred = ops_cred(req); /* a refusal ends the request */
	struct node *from = ops_admit_change(req, parent);
	struct node *to = from ? ops_node(req, newparent) : NULL;

	if (!to)
		return;
	int r = obj_rename(req_tree(req), (struct at){from, name}, (struct at){to, newname}, flags | OBJ_NO_WAIT,
			   &cred);
	if (r != -EAGAIN) {
		fuse_reply_err(req, -r);
		return;
	}
	struct deferred d = {.node = from, .to = to, .arg = (int)flags, .lane = POOL_DISK};
	memcpy(d.new_name, newname, strlen(newname) + 1); /* it has been encrypted: it is not too long */
	name_later(req, job_rename, &d, name);
}

void ops_fill_name(struct fuse_lowlevel_ops *ops)
{
	ops->lookup = op_lookup;
	ops->forget = op_forget;
	ops->forget_multi = op_forget_multi;
	ops->create = op_create;
	ops->mknod = op_mknod;
	ops->symlink = op_symlink;
	ops->mkdir = op_mkdir;
	ops->link = op_link;
	ops->unlink = op_unlink;
	ops->rmdir = op_rmdir;
	ops->rename = op_rename;
}
