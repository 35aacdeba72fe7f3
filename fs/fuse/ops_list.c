/* SPDX-License-Identifier: BSD-2-Clause */
/* FUSE callbacks on open folders: listing them. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "crypto/secret.h"
#include "fs/fuse/ops.h"

#define TURN_MS 50      /* of names that are not listed, after which somebody else has his turn */
#define GIVE_UP_MS 2000 /* a request that has taken so long ends at a signal */

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
	if (r == 0)
		return obj_listed(t, l->node, dirfd(l->dir), disk);
	if (r == -EACCES || r == -ENOMEM || r == -EMFILE || r == -ENFILE)
		return r;
	log_alien(t, l, disk);
	return -ENOENT;
}

/* ---- replies ---- */

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

struct ask {
	size_t size;
	off_t off;
	bool plus;
	int64_t turn;  /* since when this thread is at it */
	int64_t begun; /* since when any is */
};

/*
 * How many names that are not listed lie in a row is decided by who writes to the store. 1: what there is, is answered, or the
 * search goes on when others have had their turn; 0: it goes on here. Whoever is killed while he waits is let go, but not at each
 * signal: to most programs an EINTR of readdir(3) is an error.
 */
static int passed_by(fuse_req_t req, const struct ask *a)
{
	struct server *s = req_server(req);
	int64_t now = clock_ms(CLOCK_MONOTONIC);

	if (!ops_open(s))
		return -EACCES;
	if (fuse_session_exited(s->session) || (now - a->begun > GIVE_UP_MS && fuse_req_interrupted(req)))
		return -EINTR;
	return now - a->turn > TURN_MS;
}

/* Fill P from the listing's position on; -EACCES when it locks on the way, 1: see above. Under the listing's lock. */
static int list(fuse_req_t req, struct open_folder *l, const struct ask *a, struct reply *p)
{
	struct dirent *e;

	if (a->off != l->pos)
		seekdir(l->dir, a->off);
	l->pos = -1;
	while ((errno = 0, e = readdir(l->dir))) {
		char plain[NAME_LEN_MAX + 1];
		const char *name = is_dots(e->d_name) ? e->d_name : plain;
		int r = name == plain ? plain_name(req_tree(req), l, e->d_name, plain) : 0;

		if (r == -ENOENT) {
			l->pos = e->d_off;
			r = passed_by(req, a);
			if (!r)
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

/* 1: nothing was found yet, and A->off is where to go on. */
static int fill_reply(fuse_req_t req, struct ask *a, struct open_folder *l, struct reply *p)
{
	p->buf = malloc(p->size);
	p->counted = a->plus ? calloc(p->size / DIRENTPLUS_MIN + 1, sizeof(struct node *)) : NULL;
	if (!p->buf || (a->plus && !p->counted))
		return -ENOMEM;
	pthread_mutex_lock(&l->lock);
	int r = list(req, l, a, p);
	if (r == 1)
		a->off = l->pos;
	pthread_mutex_unlock(&l->lock);
	if (!ops_open(req_server(req)))
		return -EACCES;
	return p->used > 0 && r != -EACCES ? 0 : r; /* an error behind what fits is met again by the next request */
}

static void list_later(fuse_req_t req, enum pool_lane lane, const struct ask *a, const struct fuse_file_info *fi);

static void read_folder(fuse_req_t req, struct ask *a, struct fuse_file_info *fi)
{
	struct open_folder *l = folder_of(fi);
	struct nodes *nodes = &req_tree(req)->nodes;
	struct reply p = {.size = a->size};

	if (ops_refused(req))
		return;
	int r = l ? fill_reply(req, a, l, &p) : -EBADF;
	if (r == 1)
		list_later(req, POOL_LISTS, a, fi);
	else if (r)
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

static void list_job(struct deferred *d, bool plus)
{
	struct ask a = {(size_t)d->arg, (off_t)d->off, plus, clock_ms(CLOCK_MONOTONIC), d->begun};

	read_folder(d->req, &a, &d->fi);
	ops_deferred_end(d);
}

static void job_readdir(struct file_work *w, void *arg)
{
	(void)w;
	list_job(arg, false);
}

static void job_readdirplus(struct file_work *w, void *arg)
{
	(void)w;
	list_job(arg, true);
}

static void list_later(fuse_req_t req, enum pool_lane lane, const struct ask *a, const struct fuse_file_info *fi)
{
	/* the kernel asks for a MiB at most */
	ops_defer(req, a->plus ? job_readdirplus : job_readdir,
		  &(struct deferred){
			  .lane = lane, .fi = *fi, .off = (uint64_t)a->off, .arg = (int)a->size, .begun = a->begun});
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	const int64_t now = clock_ms(CLOCK_MONOTONIC);
	struct ask a = {.size = size, .off = off, .turn = now, .begun = now};

	(void)ino;
	read_folder(req, &a, fi);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	const int64_t now = clock_ms(CLOCK_MONOTONIC);
	struct ask a = {.size = size, .off = off, .plus = true, .turn = now, .begun = now};

	(void)ino;
	if (ops_lookup_waits(req_server(req)))
		list_later(req, POOL_KMS, &a, fi);
	else
		read_folder(req, &a, fi);
}

/* ---- fsyncdir ---- */

static void job_fsyncdir(struct file_work *w, void *arg)
{
	struct deferred *d = arg;
	const struct open_folder *l = folder_of(&d->fi);

	(void)w;
	fuse_reply_err(d->req, -obj_sync_folder(d->server->cfg.tree, l->node, dirfd(l->dir)));
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
