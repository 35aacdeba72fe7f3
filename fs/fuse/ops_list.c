/* SPDX-License-Identifier: BSD-2-Clause */
/* FUSE callbacks on open folders: listing them. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "crypto/secret.h"
#include "fs/fuse/ops.h"

/* An open folder. */
struct open_folder {
	pthread_mutex_t lock;
	DIR *dir;  /* lock */
	off_t pos; /* lock: where `dir` stands, -1 = unknown */
	struct node *node;
	uint8_t id[ID_LEN];
};

/* NULL: the root, opened by ourselves for syncfs(2) only. */
static struct open_folder *folder_of(const struct fuse_file_info *fi)
{
	return (struct open_folder *)(uintptr_t)fi->fh;
}

static int folder_open(struct tree *t, struct node *n, struct open_folder **out)
{
	AUTO(auto_free) struct open_folder *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->node = n;
	int r = obj_dir_id(t, n, l->id);
	if (r)
		return r;
	int fd = node_open(&t->nodes, n, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return fd;
	if (t->env.atimes & ATIME_FOLDERS) /* what the user lists moves it */
		(void)!fcntl(fd, F_SETFL, 0);
	l->dir = fdopendir(fd);
	if (!l->dir) {
		close(fd);
		return -ENOMEM;
	}
	pthread_mutex_init(&l->lock, NULL);
	*out = l;
	l = NULL;
	return 0;
}

static void folder_close(struct open_folder *l)
{
	closedir(l->dir);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

/* Locking opens the root to have something for syncfs(2): without keys and without the disk, for our own process only. */
static bool opendir_own(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	if (ino != FUSE_ROOT_ID || !ops_own_thread(req))
		return false;
	atomic_store(&req_server(req)->cfg.lock->root_opened_by, fuse_req_ctx(req)->pid);
	fi->fh = 0; /* no listing */
	fuse_reply_open(req, fi);
	return true;
}

static void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct open_folder *l = NULL;

	if (opendir_own(req, ino, fi))
		return;
	struct node *n = ops_admit(req, ino);
	if (!n)
		return;
	int r = folder_open(req_tree(req), n, &l);
	if (r) {
		fuse_reply_err(req, -r);
		return;
	}
	fi->fh = (uint64_t)(uintptr_t)l;
	atomic_fetch_or(&n->opened, NODE_OPENED_AT_ALL);
	if (fuse_reply_open(req, fi) == -ENOENT)
		folder_close(l);
}

static void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	if (folder_of(fi))
		folder_close(folder_of(fi));
	fuse_reply_err(req, 0);
}

/* ---- names ---- */

static void log_alien(struct tree *t, const struct open_folder *l, const char *disk)
{
	char path[2048], text[2400];

	if (!file_env_corrupt(&t->env))
		return;
	size_t len = node_path(&t->nodes, l->node, path, sizeof(path) - 1);

	path[len] = '\0';
	snprintf(text, sizeof(text), "data/%s: the name %s does not authenticate: left out of the listing", path, disk);
	t->env.log(LOG_ERR, text);
}

static int decode(struct tree *t, const struct open_folder *l, const char *disk, char plain[NAME_LEN_MAX + 1])
{
	AUTO(auto_free) uint8_t *data = NULL;
	size_t len = 0;
	int r = 0;

	if (name_kind(t->names, disk) == ENTRY_LONG) {
		char sidecar[NAME_LEN_MAX + 1];

		name_sidecar(disk, sidecar);
		r = store_read_file(dirfd(l->dir), sidecar, NAME_SIDECAR_MAX, &data, &len);
	}
	const struct store_keys *keys;
	if (!r)
		r = gate_enter(t->env.gate, GATE_USE_NEW, &keys);
	if (r)
		return r;
	r = name_decode(keys, t->names, l->id, disk, data, len, plain);
	gate_leave(t->env.gate);
	return r;
}

/* The plain name of DISK: 0, -ENOENT for what is not to be listed, -EACCES. */
static int plain_name(struct tree *t, const struct open_folder *l, const char *disk, char plain[NAME_LEN_MAX + 1])
{
	enum entry_kind kind = name_kind(t->names, disk);

	if (kind == ENTRY_OWN || kind == ENTRY_SIDECAR)
		return -ENOENT;
	int r = decode(t, l, disk, plain);
	/* what may be there the next time must not be missing without an error: a backup would drop it */
	if (r == 0 || r == -EACCES || r == -ENOMEM || r == -EMFILE || r == -ENFILE)
		return r;
	log_alien(t, l, disk);
	return -ENOENT;
}

/* ---- replies ---- */

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

static size_t add_plain(fuse_req_t req, struct open_folder *l, const struct dirent *e, const char *name,
			struct reply *p)
{
	struct stat st = {.st_ino = e->d_ino};
	int type;

	/* a special object's type shows in its size only; a folder's at once */
	if (e->d_type == DT_DIR)
		st.st_mode = S_IFDIR;
	else if (store_stat(dirfd(l->dir), e->d_name, &st) == 0 && obj_type(req_tree(req), &st, &type) == 0)
		st.st_mode = type == OBJECT_DIR ? S_IFDIR : type == OBJECT_FILE ? S_IFREG : 0;
	return fuse_add_direntry(req, p->buf + p->used, p->size - p->used, name, &st, e->d_off);
}

static size_t add_plus(fuse_req_t req, struct open_folder *l, const struct dirent *e, const char *name, struct reply *p)
{
	struct tree *t = req_tree(req);
	struct fuse_entry_param entry = {.attr = {.st_ino = e->d_ino, .st_mode = S_IFDIR}};
	struct node *n = NULL;
	struct stat st;

	if (!is_dots(name) && obj_lookup_disk(t, l->node, e->d_name, &n, &st) == 0)
		ops_entry(req_server(req), n, &st, &entry);
	else if (!is_dots(name))
		entry.attr.st_mode = 0;
	size_t len = fuse_add_direntry_plus(req, p->buf + p->used, p->size - p->used, name, &entry, e->d_off);
	if (n && len > p->size - p->used)
		node_forget(&t->nodes, n, 1);
	else if (n)
		p->counted[p->n_counted++] = n;
	return len;
}

/* Fill P from the listing's position on; -EACCES when it locks on the way. Under the listing's lock. */
static int list(fuse_req_t req, struct open_folder *l, off_t off, struct reply *p)
{
	struct dirent *e;

	if (off != l->pos)
		seekdir(l->dir, off);
	l->pos = -1;
	while ((errno = 0, e = readdir(l->dir))) {
		char plain[NAME_LEN_MAX + 1];
		const char *name = is_dots(e->d_name) ? e->d_name : plain;
		int r = name == plain ? plain_name(req_tree(req), l, e->d_name, plain) : 0;

		if (r == -ENOENT) {
			l->pos = e->d_off;
			continue;
		}
		if (r)
			return r;
		size_t len = p->counted ? add_plus(req, l, e, name, p) : add_plain(req, l, e, name, p);
		if (len > p->size - p->used) {
			l->pos = -1;
			return 0;
		}
		p->used += len;
		l->pos = e->d_off;
	}
	return -errno;
}

static int fill_reply(fuse_req_t req, off_t off, struct open_folder *l, struct reply *p, bool plus)
{
	p->buf = malloc(p->size);
	p->counted = plus ? calloc(p->size / DIRENTPLUS_MIN + 1, sizeof(struct node *)) : NULL;
	if (!p->buf || (plus && !p->counted))
		return -ENOMEM;
	pthread_mutex_lock(&l->lock);
	int r = list(req, l, off, p);
	pthread_mutex_unlock(&l->lock);
	if (!ops_open(req_server(req)))
		return -EACCES;
	return p->used > 0 && r != -EACCES ? 0 : r; /* an error behind what fits is met again by the next request */
}

static void read_folder(fuse_req_t req, size_t size, off_t off, struct open_folder *l, bool plus)
{
	struct nodes *nodes = &req_tree(req)->nodes;
	struct reply p = {.size = size};

	if (ops_refused(req))
		return;
	int r = l ? fill_reply(req, off, l, &p, plus) : -EBADF;
	if (r)
		fuse_reply_err(req, -r);
	else
		r = fuse_reply_buf(req, p.buf, p.used);
	for (size_t i = 0; r && i < p.n_counted; i++)
		node_forget(nodes, p.counted[i], 1);
	if (p.buf)
		secret_wipe(p.buf, p.used);
	free(p.buf);
	free(p.counted);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)ino;
	read_folder(req, size, off, folder_of(fi), false);
}

static void job_readdirplus(struct file_work *w, void *arg)
{
	struct deferred *d = arg;

	(void)w;
	read_folder(d->req, (size_t)d->arg, (off_t)d->off, folder_of(&d->fi), true);
	ops_deferred_end(d);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	const struct deferred later = {.lane = POOL_KMS, .fi = *fi, .off = (uint64_t)off, .arg = (int)size};

	(void)ino;
	if (ops_lookup_waits(req_server(req)) && size <= INT_MAX)
		ops_defer(req, job_readdirplus, &later);
	else
		read_folder(req, size, off, folder_of(fi), true);
}

/* ---- fsyncdir ---- */

static void job_fsyncdir(struct file_work *w, void *arg)
{
	struct deferred *d = arg;
	const struct open_folder *l = folder_of(&d->fi);
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
	(void)ino;
	(void)datasync;
	if (!folder_of(fi))
		fuse_reply_err(req, 0);
	else
		ops_defer(req, job_fsyncdir, &(struct deferred){.fi = *fi, .aside = true});
}

void ops_fill_list(struct fuse_lowlevel_ops *ops)
{
	ops->opendir = op_opendir;
	ops->releasedir = op_releasedir;
	ops->readdir = op_readdir;
	ops->readdirplus = op_readdirplus;
	ops->fsyncdir = op_fsyncdir;
}
