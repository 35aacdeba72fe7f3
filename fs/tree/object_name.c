/* SPDX-License-Identifier: BSD-2-Clause */
/* Names go and move: unlink, rmdir, rename. */
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
#include "fs/tree/object_own.h"

#define OWN_NAMES_MAX 4096u /* that a folder to be removed is rid of */

static void dir_close(DIR **d)
{
	if (*d)
		closedir(*d);
}

/* What may be about to lose its last name gets a descriptor first, if the kernel still knows it. */
static void keep_if_known(struct tree *t, int dir_fd, const char *disk, const struct stat *st)
{
	if ((!S_ISDIR(st->st_mode) && st->st_nlink > 1) || !node_known(&t->nodes, st->st_dev, st->st_ino))
		return;
	int fd = store_openat(dir_fd, disk, O_PATH, 0);
	struct stat now;
	if (fd >= 0 && (fstat(fd, &now) || now.st_dev != st->st_dev || now.st_ino != st->st_ino)) {
		close(fd); /* somebody else has put another object there */
		return;
	}
	if (fd >= 0)
		node_keep_orphan(&t->nodes, st->st_dev, st->st_ino, fd);
}

/*
 * ST is about to lose its name DN in AT's folder, and has others: of something durable those must be durable first, for a crash
 * may leave just them.
 */
static int sync_other_names(struct tree *t, const struct stat *st, struct at at, const struct disk_name *dn,
			    bool may_wait)
{
	struct node *n = S_ISDIR(st->st_mode) || st->st_nlink < 2 ? NULL
								  : node_pin_inode(&t->nodes, st->st_dev, st->st_ino);
	int r = 0;

	if (!n)
		return 0;
	if (!atomic_load(&n->fresh) && node_owes_others(&t->nodes, n, at.dir, dn->name))
		r = may_wait ? obj_sync_up(t, n) : -EAGAIN;
	node_unpin(&t->nodes, n);
	return r;
}

int obj_unlink(struct tree *t, struct at at, bool may_wait)
{
	AUTO(dirfd_ref_put) struct dirfd_ref d = {&t->nodes, NULL};
	struct disk_name dn;
	struct stat st;
	int r = obj_encode(t, at, &dn);

	if (!r)
		r = dirfd_get(&t->nodes, at.dir, &d.d);
	if (r)
		return r;
	r = store_stat(d.d->fd, dn.name, &st);
	if (!r)
		r = sync_other_names(t, &st, at, &dn, may_wait);
	if (r)
		return r;
	keep_if_known(t, d.d->fd, dn.name, &st);
	uint8_t id[ID_LEN];
	bool lost = obj_lost_begin(t, d.d->fd, dn.name, &st, id);
	if (unlinkat(d.d->fd, dn.name, 0))
		return -errno;
	if (lost)
		lost_gone(t->env.lost, id);
	node_drop_name(&t->nodes, st.st_dev, st.st_ino, at.dir, dn.name);
	obj_sidecar_remove(d.d->fd, &dn);
	return 0;
}

/* A folder about to go: emptied of what is ours, and how to put that back. */
struct emptied {
	int path, fd; /* O_PATH, and opened */
	uint8_t id_file[DIRID_LEN];
	bool had_id;
	bool lifted;
	mode_t mode; /* before that */
};

static void emptied_end(struct emptied *e)
{
	auto_close(&e->fd);
	auto_close(&e->path);
}

/*
 * -ENOTEMPTY if anything but our own names is in folder FD. *OTHERS: there are some beside the id; SWEEP removes these. Crashes leave
 * a few; of so many that the folder above would be held up somebody has made them, and verify takes them away.
 */
static int only_own_names(struct tree *t, int fd, bool sweep, bool *others)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO(dir_close) DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;

	unsigned seen = 0;

	*others = false;
	if (!dir) {
		int r = -errno;

		auto_close(&copy);
		return r;
	}
	for (;;) {
		errno = 0;
		const struct dirent *e = readdir(dir);

		if (!e)
			return -errno;
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		enum entry_kind kind = name_kind(t->names, e->d_name);
		if (kind != ENTRY_OWN && kind != ENTRY_SIDECAR)
			return -ENOTEMPTY;
		if (strcmp(e->d_name, DIRID_NAME) == 0)
			continue;
		*others = true;
		if (++seen > OWN_NAMES_MAX) {
			if (file_env_corrupt(&t->env))
				t->env.log(LOG_WARNING,
					   "a folder is full of names of the store's own and is not removed: "
					   "byokfs verify --repair moves them away");
			return -ENOTEMPTY;
		}
		if (sweep && unlinkat(fd, e->d_name, 0))
			return -ENOTEMPTY;
	}
}

/* A plain user may remove his own folder whatever its bits are: the id in it must go first. */
static int lift(struct emptied *e)
{
	struct stat st;

	if (geteuid() == 0)
		return 0;
	if (fstat(e->path, &st))
		return -errno;
	if ((st.st_mode & 0700) == 0700)
		return 0;
	e->mode = st.st_mode & 07777;
	int r = store_chmod(e->path, e->mode | 0700);
	e->lifted = !r;
	return r;
}

/* The folder behind FD has no id on disk any more: what the table remembers would seal names that nobody can open again. */
static void forget_id(struct tree *t, int fd)
{
	struct stat st;
	struct node *n;

	if (fstat(fd, &st) ||
	    node_lookup(&t->nodes, &(struct node_key){st.st_dev, st.st_ino, OBJECT_DIR}, NULL, NULL, &n))
		return;
	pthread_mutex_lock(&n->lock);
	n->has_id = false;
	pthread_mutex_unlock(&n->lock);
	node_forget(&t->nodes, n, 1);
}

static void put_back(struct tree *t, struct emptied *e)
{
	/* Should even this fail, the folder is an empty one without an id, which gets a new one in a session after a crash. */
	if (e->had_id && store_write_file(e->fd, DIRID_NAME, e->id_file, DIRID_LEN, 0600)) {
		e->had_id = false;
		atomic_store(&t->env.half_done, true);
		forget_id(t, e->fd);
	}
	if (e->lifted)
		(void)(store_chmod(e->path, e->mode) == 0);
}

/* All of ours out of the folder behind E, the id last, of which E keeps the bytes; nothing goes if something else is in it. */
static int take_out_own(struct tree *t, struct emptied *e)
{
	uint8_t file[DIRID_LEN + 1];
	size_t len = 0;
	bool others;
	int r = only_own_names(t, e->fd, false, &others);

	if (!r && others)
		r = only_own_names(t, e->fd, true, &others);
	if (r)
		return r;
	bool whole = store_dirid_fetch(e->fd, file, &len) == 0 && len >= DIRID_LEN;
	if (unlinkat(e->fd, DIRID_NAME, 0) && errno != ENOENT)
		return -errno;
	e->had_id = whole;
	if (whole)
		memcpy(e->id_file, file, DIRID_LEN);
	return 0;
}

/* Look before touching: nothing changes unless the folder is empty to the user. Folders are not raced: the kernel locks them. */
static int empty_out(struct tree *t, int dir_fd, const char *disk, struct emptied *e)
{
	e->path = store_openat(dir_fd, disk, O_PATH | O_DIRECTORY, 0);
	int r = e->path < 0 ? e->path : lift(e);

	if (r)
		return r;
	e->fd = openat(e->path, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = e->fd < 0 ? -errno : take_out_own(t, e);
	if (r)
		put_back(t, e);
	return r;
}

int obj_rmdir(struct tree *t, struct at at)
{
	AUTO(dirfd_ref_put) struct dirfd_ref d = {&t->nodes, NULL};
	AUTO(emptied_end) struct emptied e = {.path = -1, .fd = -1};
	struct disk_name dn;
	struct stat st;
	int r = obj_encode(t, at, &dn);

	if (!r)
		r = dirfd_get(&t->nodes, at.dir, &d.d);
	if (r)
		return r;
	r = store_stat(d.d->fd, dn.name, &st);
	if (r)
		return r;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	keep_if_known(t, d.d->fd, dn.name, &st);
	r = empty_out(t, d.d->fd, dn.name, &e);
	if (r)
		return r;
	if (unlinkat(d.d->fd, dn.name, AT_REMOVEDIR)) {
		r = -errno;
		put_back(t, &e);
		return r;
	}
	node_drop_name(&t->nodes, st.st_dev, st.st_ino, at.dir, dn.name);
	obj_sidecar_remove(d.d->fd, &dn);
	return 0;
}

/* One side of a rename. */
struct side {
	struct at at;
	struct dirfd_ref d;
	struct disk_name dn;
	struct stat st;
	bool there;
	bool keep; /* what comes here is durable, and must not be lost with its new place */
};

static void side_end(struct side *s)
{
	dirfd_ref_put(&s->d);
}

static int side_begin(struct tree *t, struct at at, struct side *s)
{
	int r = obj_encode(t, at, &s->dn);

	s->at = at;
	s->d.t = &t->nodes;
	if (!r)
		r = dirfd_get(&t->nodes, at.dir, &s->d.d);
	if (r)
		return r;
	r = store_stat(s->d.d->fd, s->dn.name, &s->st);
	s->there = r == 0;
	return r == -ENOENT ? 0 : r;
}

/* The table follows what happened on disk. */
static int rename_nodes(struct tree *t, const struct side *from, const struct side *to, unsigned flags)
{
	struct node_place a = {from->at.dir, from->dn.name}, b = {to->at.dir, to->dn.name};

	if (flags & RENAME_EXCHANGE) {
		int r = node_move_name(&t->nodes, &from->st, a, b);
		return r ? r : node_move_name(&t->nodes, &to->st, b, a);
	}
	if (to->there)
		node_drop_name(&t->nodes, to->st.st_dev, to->st.st_ino, to->at.dir, to->dn.name);
	return node_move_name(&t->nodes, &from->st, a, b);
}

/* Does what lies at FROM take anything along to TO that the disk has to be waited for? */
static bool must_keep(struct tree *t, const struct side *from, const struct side *to)
{
	struct node *n = node_pin_inode(&t->nodes, from->st.st_dev, from->st.st_ino);
	bool fresh = n && atomic_load(&n->fresh), follows = t->nodes.names_follow;

	if (n)
		node_unpin(&t->nodes, n);
	if (fresh)
		return false;
	if (to->dn.sidecar[0] || (from->dn.sidecar[0] && !follows))
		return true;
	return from->at.dir != to->at.dir && !(follows && node_way_durable(&t->nodes, to->at.dir));
}

/* Before the rename: whatever a crash leaves of it, what is durable is found again. */
static int place_before(struct tree *t, const struct side *from, const struct side *to)
{
	int r = to->keep ? obj_sync_place(t, to->at, &to->dn) : 0;

	return !r && from->keep ? obj_sync_place(t, from->at, &from->dn) : r;
}

/* After it, where the new entry might be lost and not the old one's removal. */
static int place_after(struct tree *t, const struct side *from, const struct side *to)
{
	int r = to->keep && !t->nodes.names_follow ? obj_sync_entries(t, to->at.dir) : 0;

	return !r && from->keep && !t->nodes.names_follow ? obj_sync_entries(t, from->at.dir) : r;
}

static int rename_on_disk(struct tree *t, struct side *from, struct side *to, unsigned flags, struct emptied *e)
{
	bool replaces = to->there && flags == 0, made = false;
	uint8_t id[ID_LEN];
	int r = 0;

	if (replaces)
		keep_if_known(t, to->d.d->fd, to->dn.name, &to->st);
	if (!to->there)
		r = obj_sidecar_write(to->at.dir, to->d.d->fd, &to->dn, &made);
	if (!r)
		r = place_before(t, from, to);
	if (!r && replaces && S_ISDIR(to->st.st_mode) && S_ISDIR(from->st.st_mode))
		r = empty_out(t, to->d.d->fd, to->dn.name, e);
	bool lost = !r && replaces && obj_lost_begin(t, to->d.d->fd, to->dn.name, &to->st, id);
	if (!r && renameat2(from->d.d->fd, from->dn.name, to->d.d->fd, to->dn.name, flags) == 0) {
		if (lost)
			lost_gone(t->env.lost, id);
		return 0;
	}
	if (!r) {
		r = -errno;
		put_back(t, e);
	}
	if (made)
		obj_sidecar_remove(to->d.d->fd, &to->dn);
	return r;
}

/* What overlayfs leaves where a name was. */
static int whiteout_begin(struct tree *t, const struct side *from, const struct cred *cred, struct sealed_special *s)
{
	const struct make m = {.at = from->at, .mode = S_IFCHR, .cred = *cred};
	int r = obj_special_seal(t, &m, s);

	return r ? r : obj_special_write(t, &m, from->d.d->fd, s);
}

/* The rename itself, a whiteout ready before it: what can fail, fails then. The kernel lets nobody look in between. */
static int rename_leaving(struct tree *t, struct side *from, struct side *to, unsigned flags, const struct cred *cred)
{
	AUTO(emptied_end) struct emptied e = {.path = -1, .fd = -1};
	struct sealed_special whiteout;
	bool leaves = flags & RENAME_WHITEOUT;
	int r = leaves ? whiteout_begin(t, from, cred, &whiteout) : 0;

	if (r)
		return r;
	r = rename_on_disk(t, from, to, flags & ~(unsigned)RENAME_WHITEOUT, &e);
	if (r && leaves)
		(void)unlinkat(from->d.d->fd, whiteout.tmp, 0);
	if (r)
		return r;
	r = rename_nodes(t, from, to, flags);
	if (obj_goes_along(t, &from->st))
		node_owe(to->at.dir, to->dn.name);
	/* a sidecar that stays is harmless */
	if (place_after(t, from, to) == 0 && !(flags & (RENAME_EXCHANGE | RENAME_WHITEOUT)))
		obj_sidecar_remove(from->d.d->fd, &from->dn);
	if (!leaves || r)
		return r;
	node_owe(from->at.dir, from->dn.name);
	return obj_special_publish(from->d.d->fd, &whiteout, from->dn.name);
}

int obj_rename(struct tree *t, struct at from, struct at to, unsigned flags, const struct cred *cred)
{
	AUTO(side_end) struct side a = {0};
	AUTO(side_end) struct side b = {0};

	bool may_wait = !(flags & OBJ_NO_WAIT);

	flags &= ~OBJ_NO_WAIT;
	if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT) ||
	    (flags & RENAME_EXCHANGE && flags & RENAME_WHITEOUT))
		return -EINVAL;
	int r = side_begin(t, from, &a);
	if (!r)
		r = side_begin(t, to, &b);
	if (r)
		return r;
	if (!a.there || ((flags & RENAME_EXCHANGE) && !b.there))
		return -ENOENT;
	if ((flags & RENAME_NOREPLACE) && b.there)
		return -EEXIST;
	/* rename(2): two names of one object both stay. Nothing happens on disk, so nothing may happen to sidecar and table. */
	if (b.there && a.st.st_dev == b.st.st_dev && a.st.st_ino == b.st.st_ino)
		return 0;
	b.keep = must_keep(t, &a, &b);
	a.keep = (flags & RENAME_EXCHANGE) && must_keep(t, &b, &a);
	r = (a.keep || b.keep) && !may_wait ? -EAGAIN : 0;
	if (!r && b.there && !(flags & RENAME_EXCHANGE))
		r = sync_other_names(t, &b.st, to, &b.dn, may_wait);
	return r ? r : rename_leaving(t, &a, &b, flags, cred);
}
