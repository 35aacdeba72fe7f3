/* SPDX-License-Identifier: BSD-2-Clause */
/* Making objects: files, folders, special objects, further names. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "crypto/header.h"
#include "crypto/secret.h"
#include "fs/inode/blank.h"
#include "fs/store/borrow.h"
#include "fs/store/written.h"
#include "fs/tree/object_own.h"
#include "fs/tree/xattrs.h"

/* A default ACL can change only through this mount, so one question per folder is enough. */
static bool has_default_acl(struct node *dir, int dir_fd)
{
	uint8_t known = atomic_load(&dir->default_acl);

	if (known == NODE_HAS_UNKNOWN) {
		char path[40];

		snprintf(path, sizeof(path), "/proc/self/fd/%d", dir_fd);
		known = getxattr(path, XATTR_ACL_DEFAULT, NULL, 0) > 0 ? NODE_HAS_SOME : NODE_HAS_NONE;
		atomic_store(&dir->default_acl, known);
	}
	return known == NODE_HAS_SOME;
}

/* The mode to create with: umask where the parent has no default ACL. */
static mode_t obj_mode(struct node *dir, int dir_fd, const struct make *m)
{
	mode_t mode = m->mode & 07777;

	return has_default_acl(dir, dir_fd) ? mode : mode & ~m->cred.umask;
}

/*
 * Give a new object to its creator. The group stays the folder's where that is setgid (the backing did it already).
 * chown clears suid and sgid, so they are set again, through the descriptor: an ACL's mask must not be touched otherwise.
 */
static int give_to_creator(int fd, int dir_fd, const struct make *m)
{
	if (geteuid() != 0)
		return 0;
	struct stat st, dir;
	if (fstat(fd, &st) || fstat(dir_fd, &dir))
		return -errno;
	uid_t uid = m->cred.uid;
	gid_t gid = (dir.st_mode & S_ISGID) ? st.st_gid : m->cred.gid;
	if (st.st_uid == uid && st.st_gid == gid)
		return 0;
	if (fchownat(fd, "", uid, gid, AT_EMPTY_PATH))
		return -errno;
	if (!S_ISDIR(st.st_mode) && (m->mode & (S_ISUID | S_ISGID)) && fchmod(fd, st.st_mode & 07777))
		return -errno;
	return 0;
}

/* Where a new object goes: its folder's descriptor and its name on disk, the sidecar written. `= {0}` is nowhere. */
struct place {
	struct dirfd_ref dir;
	struct disk_name dn;
	bool sidecar_made;
};

static void place_end(struct place *p)
{
	dirfd_ref_put(&p->dir);
}

static int place_begin(struct tree *t, struct at at, struct place *p)
{
	int r = at.name ? obj_encode(t, at, &p->dn) : 0;

	p->dir.t = &t->nodes;
	if (!r)
		r = dirfd_get(&t->nodes, at.dir, &p->dir.d);
	if (r || !p->dn.sidecar[0])
		return r;
	struct stat st;
	if (store_stat(p->dir.d->fd, p->dn.name, &st) == 0)
		return -EEXIST;
	return obj_sidecar_write(at.dir, p->dir.d->fd, &p->dn, &p->sidecar_made);
}

/* Making failed: nothing half made stays. FLAGS for unlinkat(); NAME may be NULL. */
static int place_undo(struct place *p, const char *name, int flags, int r)
{
	if (name)
		(void)unlinkat(p->dir.d->fd, name, flags);
	if (p->sidecar_made)
		obj_sidecar_remove(p->dir.d->fd, &p->dn);
	return r;
}

static struct node_key key_of(const struct stat *st, int type)
{
	return (struct node_key){st->st_dev, st->st_ino, type};
}

/* Enter the new object into the table. */
static int announce(struct tree *t, const struct make *m, const char *disk, struct node_key key, struct node **out)
{
	return node_lookup(&t->nodes, &key, m->at.dir, disk, out);
}

/* What a reply tells of N, which counts one look-up; without a reply there is none. */
static int answer(struct tree *t, struct node *n, struct stat *st)
{
	int r = obj_attr(t, n, st);

	if (r)
		node_forget(&t->nodes, n, 1);
	return r;
}

/* A file that is to be made is listed before it comes to be: cut off in between, it is no damage. */
static int list_create(struct tree *t, const char *name, struct place *p, const struct blank *blank, uint32_t *slot)
{
	const struct written_file what = {.file_id = blank->file_id,
					  .place = name ? writing_place(p->dir.d->node->ino, p->dn.name) : 0};

	*slot = 0;
	return t->env.written ? written_add(t->env.written, &what, slot) : 0;
}

static void unlist(struct tree *t, uint32_t slot)
{
	if (slot)
		written_closed(t->env.written, slot, false);
}

static int make_file(const struct make *m, struct place *p, const struct blank *blank, int *out)
{
	int dir_fd = p->dir.d->fd, how = m->at.name ? O_CREAT | O_EXCL | O_NOFOLLOW : O_TMPFILE;
	const char *name = m->at.name ? p->dn.name : NULL;
	mode_t mode = obj_mode(m->at.dir, dir_fd, m);
	AUTO(auto_close) int fd = openat(dir_fd, name ? name : ".", O_RDWR | O_CLOEXEC | O_NOATIME | how, mode);

	if (fd < 0)
		return place_undo(p, NULL, 0, -errno);
	int r = blank_write(blank, fd);
	if (!r)
		r = give_to_creator(fd, dir_fd, m);
	if (r)
		return place_undo(p, name, 0, r);
	*out = fd;
	fd = -1;
	return 0;
}

/* The same for file FD without a name: as with one that has lost its last, a descriptor stands in for it. */
static int announce_nameless(struct tree *t, int fd, struct node_key key, struct node **out)
{
	int r = node_lookup(&t->nodes, &key, NULL, NULL, out);
	int path = r ? -1 : store_reopen(fd, O_PATH);

	if (path >= 0)
		node_keep_orphan(&t->nodes, key.dev, key.ino, path);
	else if (!r)
		node_forget(&t->nodes, *out, 1);
	return r ? r : path < 0 ? path : 0;
}

int obj_create(struct tree *t, const struct make *m, struct node **out, struct stat *st, struct file **file)
{
	AUTO(place_end) struct place p = {0};
	AUTO(blank_end) struct blank blank = {0};
	AUTO(auto_close) int fd = -1;
	uint32_t slot = 0;
	int r = blank_make(&blank, t->env.gate, &t->env.layout);

	if (!r)
		r = place_begin(t, m->at, &p);
	if (!r && (r = list_create(t, m->at.name, &p, &blank, &slot)))
		r = place_undo(&p, NULL, 0, r);
	if (!r)
		r = make_file(m, &p, &blank, &fd);
	if (!r && fstat(fd, st))
		r = -errno;
	if (!r)
		r = m->at.name ? announce(t, m, p.dn.name, key_of(st, OBJECT_FILE), out)
			       : announce_nameless(t, fd, key_of(st, OBJECT_FILE), out);
	if (r) {
		unlist(t, slot);
		return r;
	}
	if (slot)
		written_found(t->env.written, slot, st->st_ino);
	atomic_store(&(*out)->fresh, true);
	atomic_store(&(*out)->listed, slot);
	obj_cache_id(*out, blank.file_id);
	atomic_store(&(*out)->xattrs, NODE_HAS_NONE); /* brand new: saves the question before the first write */
	if (file) {
		r = file_adopt(&t->env, *out, fd, &blank, file);
		fd = -1;
	}
	if (!file || r)
		unlist(t, slot);
	if (!r)
		return answer(t, *out, st);
	node_forget(&t->nodes, *out, 1);
	return r;
}

/* The folder is there; its id goes in. A plain user's folder without the bits gets them for the moment. */
static int fill_folder(struct tree *t, const struct make *m, struct place *p, mode_t mode, uint8_t id[ID_LEN])
{
	AUTO(auto_close) int fd = store_openat(p->dir.d->fd, p->dn.name, O_RDONLY | O_DIRECTORY, 0);

	if (fd < 0)
		return fd;
	int r = give_to_creator(fd, p->dir.d->fd, m);
	if (!r)
		r = store_dirid_make(fd, t->env.gate, id);
	if (!r && (mode & 0700) != 0700 && geteuid() != 0) {
		struct stat st;

		if (fstat(fd, &st) || fchmod(fd, (st.st_mode & 07077) | (mode & 0700)))
			r = -errno;
	}
	if (r)
		(void)unlinkat(fd, DIRID_NAME, 0);
	return r;
}

int obj_mkdir(struct tree *t, const struct make *m, struct node **out, struct stat *st)
{
	AUTO(place_end) struct place p = {0};
	int r = place_begin(t, m->at, &p);

	if (r)
		return r;
	int dir_fd = p.dir.d->fd;
	mode_t mode = obj_mode(m->at.dir, dir_fd, m);
	if (mkdirat(dir_fd, p.dn.name, geteuid() == 0 ? mode : mode | 0700))
		return place_undo(&p, NULL, 0, -errno);
	uint8_t id[ID_LEN];
	r = fill_folder(t, m, &p, mode, id);
	if (!r)
		r = store_stat(dir_fd, p.dn.name, st);
	if (r)
		return place_undo(&p, p.dn.name, AT_REMOVEDIR, r);
	r = announce(t, m, p.dn.name, key_of(st, OBJECT_DIR), out);
	if (r)
		return r;
	obj_cache_id(*out, id);
	uint64_t more, seq = node_owed_seq(*out, &more);
	node_paid(*out, seq); /* nothing was made in it yet */
	atomic_store(&(*out)->fresh, true);
	node_owe(m->at.dir, p.dn.name);
	return 0;
}

static int special_of(const struct make *m, struct special *s)
{
	size_t len = m->target ? strlen(m->target) : 0;

	memset(s, 0, offsetof(struct special, target));
	if (len > SPECIAL_TARGET_MAX)
		return -ENAMETOOLONG;
	switch (m->mode & S_IFMT) {
	case S_IFLNK:
		s->type = OBJECT_SYMLINK;
		memcpy(s->target, m->target, len);
		s->target_len = (uint16_t)len;
		break;
	case S_IFIFO:
		s->type = OBJECT_FIFO;
		break;
	case S_IFSOCK:
		s->type = OBJECT_SOCKET;
		break;
	case S_IFCHR:
	case S_IFBLK:
		s->type = S_ISCHR(m->mode) ? OBJECT_CHAR : OBJECT_BLOCK;
		s->major = major(m->rdev);
		s->minor = minor(m->rdev);
		break;
	default:
		return -EINVAL;
	}
	return 0;
}

/* Sealed before anything is on disk: what cannot be sealed leaves no sidecar. */
int obj_special_seal(struct tree *t, const struct make *m, struct sealed_special *sealed)
{
	struct borrow b = {0};
	struct special s;
	int r = special_of(m, &s);

	if (!r)
		r = borrow_store(&b, t->env.gate, GATE_USE_NEW);
	if (!r)
		r = special_seal(b.store, &s, sealed->record, &sealed->len);
	borrow_end(&b);
	sealed->type = s.type;
	secret_wipe(s.target, sizeof(s.target));
	return r;
}

/* Its bytes may not reach the disk as its name does: then it is found empty. */
static int list_special(struct tree *t, const struct sealed_special *s, struct node *dir, int fd)
{
	struct written_file what = {.file_id = header_file_id(s->record), .place = writing_place(dir->ino, s->tmp)};
	uint32_t slot = 0;
	struct stat st;

	if (!t->env.written)
		return 0;
	if (fstat(fd, &st))
		return -errno;
	what.ino = st.st_ino;
	int r = written_add(t->env.written, &what, &slot);
	if (!r)
		unlist(t, slot);
	return r;
}

int obj_special_write(struct tree *t, const struct make *m, int dir_fd, struct sealed_special *s)
{
	mode_t mode = S_ISLNK(m->mode) ? 0600 : obj_mode(m->at.dir, dir_fd, m);
	uint64_t random;

	random_bytes(&random, sizeof(random));
	snprintf(s->tmp, sizeof(s->tmp), OWN_PREFIX "tmp.%016" PRIx64, random);
	AUTO(auto_close) int fd = openat(dir_fd, s->tmp, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd < 0)
		return -errno;
	int r = list_special(t, s, m->at.dir, fd);
	/* the size first, which is on disk before the name then: without it nobody would know that it was no file */
	if (!r && ftruncate(fd, (off_t)layout_special_size(&t->env.layout, s->type)))
		r = -errno;
	if (!r)
		r = store_pwrite_full(fd, s->record, s->len, 0);
	if (!r)
		r = give_to_creator(fd, dir_fd, m);
	if (r)
		(void)unlinkat(dir_fd, s->tmp, 0);
	return r;
}

/* A backing without RENAME_NOREPLACE. */
static int publish_by_link(int dir_fd, const char *tmp, const char *name)
{
	return linkat(dir_fd, tmp, dir_fd, name, 0) || unlinkat(dir_fd, tmp, 0) ? -errno : 0;
}

int obj_special_publish(int dir_fd, const struct sealed_special *s, const char *name)
{
	int r = renameat2(dir_fd, s->tmp, dir_fd, name, RENAME_NOREPLACE) ? -errno : 0;

	if (r == -EINVAL)
		r = publish_by_link(dir_fd, s->tmp, name);
	if (r)
		(void)unlinkat(dir_fd, s->tmp, 0);
	return r;
}

int obj_special_new(struct tree *t, const struct make *m, struct node **out, struct stat *st)
{
	AUTO(place_end) struct place p = {0};
	struct sealed_special sealed;
	int r = obj_special_seal(t, m, &sealed);

	if (!r)
		r = place_begin(t, m->at, &p);
	if (r)
		return r;
	r = obj_special_write(t, m, p.dir.d->fd, &sealed);
	if (!r)
		r = obj_special_publish(p.dir.d->fd, &sealed, p.dn.name);
	if (r)
		return place_undo(&p, NULL, 0, r);
	r = store_stat(p.dir.d->fd, p.dn.name, st);
	if (r)
		return r;
	r = announce(t, m, p.dn.name, key_of(st, (int)sealed.type), out);
	if (r)
		return r;
	atomic_store(&(*out)->fresh, true);
	node_owe(m->at.dir, p.dn.name);
	return answer(t, *out, st);
}

int obj_link(struct tree *t, struct node *n, struct at at, struct stat *st)
{
	AUTO(place_end) struct place p = {0};
	int r = place_begin(t, at, &p);

	if (r)
		return r;
	AUTO(auto_close) int fd = node_open_path(&t->nodes, n);
	if (fd < 0)
		return place_undo(&p, NULL, 0, fd);
	char path[40];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (linkat(AT_FDCWD, path, p.dir.d->fd, p.dn.name, AT_SYMLINK_FOLLOW))
		return place_undo(&p, NULL, 0, -errno);
	r = node_add_name(&t->nodes, n, at.dir, p.dn.name);
	if (r)
		return r;
	if (fstat(fd, st))
		return -errno;
	/* the reply counts one look-up, of this very node: it may be one that is not found by its number any more */
	return node_lookup_again(&t->nodes, n->id) == n ? answer(t, n, st) : -ESTALE;
}
