/* SPDX-License-Identifier: BSD-2-Clause */
/* FUSE callbacks on names: look-up, making and removing, listing. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "crypto/secret.h"
#include "fs/fuse/ops.h"

/* Does this process ask itself? The kernel tells the thread, not the process. */
static bool own_thread(fuse_req_t req)
{
	pid_t thread = fuse_req_ctx(req)->pid;

	return thread > 0 && tgkill(getpid(), thread, 0) == 0;
}

/* Locking looks up files by number (rootsync.c): all of the reply that matters is that its time is over. */
static bool lookup_own(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct server *s = req_server(req);
	struct fuse_entry_param e;
	struct stat st;
	struct node *n;
	int r;

	if (parent != FUSE_ROOT_ID || !lock_asked_id(name) || !own_thread(req))
		return false;
	n = node_lookup_again(&s->cfg.tree->nodes, lock_asked_id(name));
	r = n ? obj_getattr(req_tree(req), n, &st) : -ENOENT;
	if (r) {
		fuse_reply_err(req, -r);
	} else {
		ops_entry(s, n, &st, &e);
		e.attr_timeout = e.entry_timeout = 0;
		r = fuse_reply_entry(req, &e);
	}
	if (n && r)
		node_forget(&s->cfg.tree->nodes, n, 1);
	return true;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct server *s = req_server(req);
	struct node *n = NULL;
	struct stat st;
	int r;

	if (lookup_own(req, parent, name) || ops_refused(req))
		return;
	r = obj_lookup(req_tree(req), (struct at){req_node(req, parent), name}, &n, &st);
	if (r == -ENOENT) {
		/* a name that is not there is remembered too: nobody else makes one */
		struct fuse_entry_param e = {.entry_timeout = s->cfg.attr_timeout_ms / 1000.0};

		if (ops_open(s))
			fuse_reply_entry(req, &e);
		else
			fuse_reply_err(req, EACCES);
		return;
	}
	ops_reply_entry(req, n, &st, r);
}

static void forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	struct node *n = req_node(req, ino);

	if (n)
		node_forget(&req_tree(req)->nodes, n, nlookup);
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

static void reply_created(fuse_req_t req, struct node *n, const struct stat *st, struct file *f,
			  struct fuse_file_info *fi)
{
	struct server *s = req_server(req);
	struct fuse_entry_param e;
	int r = -ENOENT;

	ops_entry(s, n, st, &e);
	fi->fh = (uint64_t)(uintptr_t)f | 1;
	fi->keep_cache = 1;
	if (ops_open(s))
		r = fuse_reply_create(req, &e, fi);
	else
		fuse_reply_err(req, EACCES);
	if (r == -ENOENT) {
		file_close(f, true);
		node_forget(&s->cfg.tree->nodes, n, 1);
	}
}

/* CREATE and MKNOD of a regular file, on a serving thread or in the pool (wrap type `file`: the KMS is asked). */
static void create_now(fuse_req_t req, const struct make *m, struct fuse_file_info *fi)
{
	struct node *n = NULL;
	struct file *f = NULL;
	struct stat st;
	int r = obj_create(req_tree(req), m, &n, &st, fi ? &f : NULL);

	if (r || !fi)
		ops_reply_entry(req, n, &st, r);
	else
		reply_created(req, n, &st, f, fi);
}

static void job_create(struct file_work *w, void *arg)
{
	struct deferred *d = arg;
	struct make m = {{node_get(&d->server->cfg.tree->nodes, d->ino), d->name}, d->mode, 0, NULL, ops_cred(d->req)};

	(void)w;
	create_now(d->req, &m, d->arg ? &d->fi : NULL);
	ops_deferred_end(d);
}

static void create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	struct server *s = req_server(req);
	struct make m = {{req_node(req, parent), name}, mode, 0, NULL, ops_cred(req)};
	struct deferred d = {.lane = POOL_KMS, .ino = parent, .mode = mode, .arg = fi != NULL};

	if (s->cfg.store->keyring->wrap_type != WRAP_FILE) {
		create_now(req, &m, fi);
		return;
	}
	if (strlen(name) > NAME_LEN_MAX) {
		fuse_reply_err(req, ENAMETOOLONG);
		return;
	}
	memcpy(d.name, name, strlen(name) + 1);
	if (fi)
		d.fi = *fi;
	ops_defer(req, job_create, &d);
}

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	if (!ops_change_refused(req))
		create(req, parent, name, mode, fi);
}

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	struct make m = {{req_node(req, parent), name}, mode, rdev, NULL, ops_cred(req)};
	struct node *n = NULL;
	struct stat st;
	int r;

	if (ops_change_refused(req))
		return;
	if (S_ISREG(mode) || !(mode & S_IFMT)) {
		create(req, parent, name, mode, NULL);
		return;
	}
	r = obj_special_new(req_tree(req), &m, &n, &st);
	ops_reply_entry(req, n, &st, r);
}

static void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	struct make m = {{req_node(req, parent), name}, S_IFLNK | 0777, 0, target, ops_cred(req)};
	struct node *n = NULL;
	struct stat st;
	int r;

	if (ops_change_refused(req))
		return;
	r = obj_special_new(req_tree(req), &m, &n, &st);
	ops_reply_entry(req, n, &st, r);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct make m = {{req_node(req, parent), name}, mode, 0, NULL, ops_cred(req)};
	struct node *n = NULL;
	struct stat st;
	int r;

	if (ops_change_refused(req))
		return;
	r = obj_mkdir(req_tree(req), &m, &n, &st);
	ops_reply_entry(req, n, &st, r);
}

static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname)
{
	struct node *n = req_node(req, ino);
	struct stat st;
	int r;

	if (ops_change_refused(req))
		return;
	r = obj_link(req_tree(req), n, (struct at){req_node(req, newparent), newname}, &st);
	ops_reply_entry(req, n, &st, r);
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	if (!ops_change_refused(req))
		fuse_reply_err(req, -obj_unlink(req_tree(req), (struct at){req_node(req, parent), name}));
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	if (!ops_change_refused(req))
		fuse_reply_err(req, -obj_rmdir(req_tree(req), (struct at){req_node(req, parent), name}));
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent, const char *newname,
		      unsigned int flags)
{
	struct at from = {req_node(req, parent), name}, to = {req_node(req, newparent), newname};

	if (!ops_change_refused(req))
		fuse_reply_err(req, -obj_rename(req_tree(req), from, to, flags));
}

/* ---- listing ---- */

struct listing {
	pthread_mutex_t lock;
	DIR *dir;
	off_t pos;
	struct node *node;
	uint8_t id[ID_LEN];
};

static int listing_open(struct tree *t, struct node *n, struct listing **out)
{
	struct listing *l = calloc(1, sizeof(*l));
	int fd, r;

	if (!l)
		return -ENOMEM;
	l->node = n;
	r = obj_dir_id(t, n, l->id);
	fd = r ? r : node_open(&t->nodes, n, O_RDONLY | O_DIRECTORY);
	if (fd >= 0) {
		l->dir = fdopendir(fd);
		if (!l->dir)
			close(fd);
	}
	if (fd < 0 || !l->dir) {
		free(l);
		return fd < 0 ? fd : -ENOMEM;
	}
	pthread_mutex_init(&l->lock, NULL);
	*out = l;
	return 0;
}

static void listing_close(struct listing *l)
{
	closedir(l->dir);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

/*
 * Locking opens the root to have something for syncfs(2): without keys and without the disk, for our own process only.
 */
static bool opendir_own(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	if (ino != FUSE_ROOT_ID || !own_thread(req))
		return false;
	atomic_store(&req_server(req)->cfg.lock->root_opened_by, fuse_req_ctx(req)->pid);
	fi->fh = 0; /* no listing */
	fuse_reply_open(req, fi);
	return true;
}

static void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct listing *l = NULL;
	int r;

	if (opendir_own(req, ino, fi) || ops_refused(req))
		return;
	r = listing_open(req_tree(req), req_node(req, ino), &l);
	if (r) {
		fuse_reply_err(req, -r);
		return;
	}
	fi->fh = (uint64_t)(uintptr_t)l;
	atomic_fetch_or(&l->node->opened, 1);
	if (fuse_reply_open(req, fi) == -ENOENT)
		listing_close(l);
}

static struct listing *listing_of(const struct fuse_file_info *fi)
{
	return (struct listing *)(uintptr_t)fi->fh;
}

static void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	if (listing_of(fi))
		listing_close(listing_of(fi));
	fuse_reply_err(req, 0);
}

static void log_alien(struct tree *t, const struct listing *l, const char *disk)
{
	char path[2048], text[2400];
	size_t len = node_path(&t->nodes, l->node, path, sizeof(path) - 1);

	path[len] = '\0';
	atomic_fetch_add(&t->env.corrupt, 1);
	snprintf(text, sizeof(text), "data/%s: the name %s does not authenticate: left out of the listing", path, disk);
	t->env.log(LOG_ERR, text);
}

/* The plain name of DISK: 0, -ENOENT for what is not to be listed, -EACCES. */
static int plain_name(struct tree *t, struct listing *l, const char *disk, char plain[NAME_LEN_MAX + 1])
{
	enum entry_kind kind = name_kind(t->names, disk);
	char sidecar[NAME_LEN_MAX + 1];
	const struct store_keys *keys;
	uint8_t *data = NULL;
	size_t len = 0;
	int r = 0;

	if (kind == ENTRY_OWN || kind == ENTRY_SIDECAR)
		return -ENOENT;
	if (kind == ENTRY_LONG) {
		name_sidecar(disk, sidecar);
		r = store_read_file(dirfd(l->dir), sidecar, NAME_SIDECAR_MAX, &data, &len);
	}
	if (!r) {
		r = gate_enter(t->env.gate, GATE_USE_NEW, &keys);
		if (!r) {
			r = name_decode(keys, t->names, l->id, disk, data, len, plain);
			gate_leave(t->env.gate);
		}
	}
	free(data);
	/* what may be there the next time must not be missing without an error: a backup would drop it */
	if (r == 0 || r == -EACCES || r == -ENOMEM || r == -EMFILE || r == -ENFILE)
		return r;
	log_alien(t, l, disk);
	return -ENOENT;
}

/* Buffer of one reply. */
struct reply {
	char *buf;
	size_t size, used;
	struct node **counted; /* readdirplus: each entry counts a look-up, taken back if the reply is not sent */
	size_t n_counted;
};

#define DIRENTPLUS_MIN 152u /* bytes of the shortest entry of readdirplus */

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static size_t add_plain(fuse_req_t req, struct listing *l, const struct dirent *e, const char *name, struct reply *p)
{
	struct stat st = {.st_ino = e->d_ino};
	int type;

	/* a special object's type shows in its size only; a folder's at once */
	if (e->d_type == DT_DIR)
		st.st_mode = S_IFDIR;
	else if (fstatat(dirfd(l->dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		 obj_type(req_tree(req), &st, &type) == 0)
		st.st_mode = type == OBJECT_DIR ? S_IFDIR : type == OBJECT_FILE ? S_IFREG : 0;
	return fuse_add_direntry(req, p->buf + p->used, p->size - p->used, name, &st, e->d_off);
}

static size_t add_plus(fuse_req_t req, struct listing *l, const struct dirent *e, const char *name, struct reply *p)
{
	struct server *s = req_server(req);
	struct fuse_entry_param entry = {.attr = {.st_ino = e->d_ino, .st_mode = S_IFDIR}};
	struct node *n = NULL;
	struct stat st;
	size_t len;

	if (!is_dots(name) && obj_lookup_disk(s->cfg.tree, l->node, e->d_name, &n, &st) == 0)
		ops_entry(s, n, &st, &entry);
	else if (!is_dots(name))
		entry.attr.st_mode = 0;
	len = fuse_add_direntry_plus(req, p->buf + p->used, p->size - p->used, name, &entry, e->d_off);
	if (n && len > p->size - p->used)
		node_forget(&s->cfg.tree->nodes, n, 1);
	else if (n)
		p->counted[p->n_counted++] = n;
	return len;
}

/* Fill P from the listing's position on; -EACCES when it locks on the way. */
static int list(fuse_req_t req, struct listing *l, off_t off, struct reply *p)
{
	struct dirent *e;

	if (off != l->pos)
		seekdir(l->dir, off);
	l->pos = -1;
	while ((errno = 0, e = readdir(l->dir))) {
		char plain[NAME_LEN_MAX + 1];
		const char *name = is_dots(e->d_name) ? e->d_name : plain;
		size_t len;
		int r = name == plain ? plain_name(req_tree(req), l, e->d_name, plain) : 0;

		if (r == -ENOENT) {
			l->pos = e->d_off;
			continue;
		}
		if (r)
			return r;
		len = p->counted ? add_plus(req, l, e, name, p) : add_plain(req, l, e, name, p);
		if (len > p->size - p->used) {
			l->pos = -1;
			return 0;
		}
		p->used += len;
		l->pos = e->d_off;
	}
	return -errno;
}

static int fill_reply(fuse_req_t req, off_t off, struct listing *l, struct reply *p, bool plus)
{
	int r;

	p->buf = malloc(p->size);
	p->counted = plus ? calloc(p->size / DIRENTPLUS_MIN + 1, sizeof(struct node *)) : NULL;
	if (!p->buf || (plus && !p->counted))
		return -ENOMEM;
	pthread_mutex_lock(&l->lock);
	r = list(req, l, off, p);
	pthread_mutex_unlock(&l->lock);
	if (!ops_open(req_server(req)))
		return -EACCES;
	return p->used > 0 && r != -EACCES ? 0 : r; /* an error behind what fits is met again by the next request */
}

static void read_listing(fuse_req_t req, size_t size, off_t off, struct listing *l, bool plus)
{
	struct server *s = req_server(req);
	struct reply p = {.size = size};
	int r = l ? fill_reply(req, off, l, &p, plus) : -EBADF;

	if (r)
		fuse_reply_err(req, -r);
	else
		r = fuse_reply_buf(req, p.buf, p.used);
	for (size_t i = 0; r && i < p.n_counted; i++)
		node_forget(&s->cfg.tree->nodes, p.counted[i], 1);
	if (p.buf)
		secret_wipe(p.buf, p.used);
	if (p.buf)
		secret_wipe(p.buf, p.used);
	free(p.buf);
	free(p.counted);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)ino;
	if (!ops_refused(req))
		read_listing(req, size, off, listing_of(fi), false);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)ino;
	if (!ops_refused(req))
		read_listing(req, size, off, listing_of(fi), true);
}

static void job_fsyncdir(struct file_work *w, void *arg)
{
	struct deferred *d = arg;
	struct listing *l = (struct listing *)(uintptr_t)d->fi.fh;
	uint32_t owes = node_owes(l->node);
	int r = 0;

	(void)w;
	/* a folder's id is as much part of it as its entries */
	if (owes & NODE_UNSYNCED)
		r = syncfs(dirfd(l->dir)) ? -errno : 0;
	if (!r)
		r = fsync(dirfd(l->dir)) ? -errno : 0;
	if (!r)
		r = obj_sync_up(d->server->cfg.tree, l->node);
	if (!r)
		node_paid(l->node, owes);
	fuse_reply_err(d->req, -r);
	ops_deferred_end(d);
}

static void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	if (!listing_of(fi))
		fuse_reply_err(req, 0);
	else
		ops_defer(req, job_fsyncdir, &(struct deferred){.ino = ino, .fi = *fi, .arg = datasync});
}

void ops_dir_fill(struct fuse_lowlevel_ops *ops)
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
	ops->opendir = op_opendir;
	ops->releasedir = op_releasedir;
	ops->readdir = op_readdir;
	ops->readdirplus = op_readdirplus;
	ops->fsyncdir = op_fsyncdir;
}
