/* SPDX-License-Identifier: BSD-2-Clause */
/* Objects: ids, names, types, attributes, look-up. */
#include "fs/tree/object.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <syslog.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "crypto/header.h"
#include "crypto/secret.h"
#include "fs/inode/times.h"
#include "fs/store/borrow.h"
#include "fs/tree/object_own.h"

#define FAST_LINK_LEN 60 /* a target of fewer bytes takes no block on ext4, and so is seen as taking none here */

static void log_node(struct tree *t, struct node *n, const char *what)
{
	char path[2048], text[2400];

	if (!file_env_corrupt(&t->env))
		return;
	size_t len = node_path(&t->nodes, n, path, sizeof(path) - 1);

	path[len] = '\0';
	snprintf(text, sizeof(text), "data/%s (inode %" PRIu64 "): %s: EIO", path, (uint64_t)n->ino, what);
	t->env.log(LOG_ERR, text);
}

static bool cached_id(struct node *n, uint8_t id[ID_LEN])
{
	pthread_mutex_lock(&n->lock);
	bool has = n->has_id;
	if (has)
		memcpy(id, n->object_id, ID_LEN);
	pthread_mutex_unlock(&n->lock);
	return has;
}

void obj_cache_id(struct node *n, const uint8_t id[ID_LEN])
{
	pthread_mutex_lock(&n->lock);
	memcpy(n->object_id, id, ID_LEN);
	n->has_id = true;
	pthread_mutex_unlock(&n->lock);
}

static int read_dir_id(struct tree *t, struct node *dir, uint8_t id[ID_LEN])
{
	if (cached_id(dir, id))
		return 0;
	AUTO(auto_close) int fd = node_open(&t->nodes, dir, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return fd;
	/* one is made where a crash cut a mkdir off */
	bool mend = t->env.unclean && !t->env.read_only;
	int r = mend ? store_dirid_mend(fd, t->env.gate, t->names, id) : store_dirid_read(fd, t->env.gate, id);
	if (r == -ENODATA && t->env.unclean && !mend)
		r = store_dirid_recall(fd, t->env.gate, t->names, id);
	if (r == -EBADMSG || r == -ENODATA || r == -EUCLEAN || r == -EFBIG) {
		log_node(t, dir, "the directory id is missing or does not authenticate");
		return -EIO;
	}
	if (!r && mend)
		atomic_store(&dir->id_durable, false); /* it may be a new one */
	if (!r)
		obj_cache_id(dir, id);
	return r;
}

int obj_dir_id(struct tree *t, struct node *dir, uint8_t id[ID_LEN])
{
	if (cached_id(dir, id))
		return 0;
	/* one at a time: two that find none would each make one, and names be sealed under the one that is not on disk */
	pthread_mutex_lock(&dir->once);
	int r = read_dir_id(t, dir, id);
	pthread_mutex_unlock(&dir->once);
	return r;
}

int obj_id(struct tree *t, struct node *n, uint8_t id[ID_LEN])
{
	if (n->type == OBJECT_DIR)
		return obj_dir_id(t, n, id);
	if (cached_id(n, id))
		return 0;
	AUTO(auto_close) int fd = node_open(&t->nodes, n, O_RDONLY);
	if (fd < 0)
		return fd;
	/* Header and special record both have it behind their magic. An id that lies opens no value: it is in the AAD. */
	uint8_t head[HEADER_ID_END];
	int r = store_pread_full(fd, head, sizeof(head), 0);
	if (r)
		return r;
	memcpy(id, header_file_id(head), ID_LEN);
	obj_cache_id(n, id);
	return 0;
}

int obj_encode(struct tree *t, struct at at, struct disk_name *dn)
{
	AUTO(borrow_end) struct borrow b = {0};
	size_t len = strlen(at.name);

	if (len > NAME_LEN_MAX)
		return -ENAMETOOLONG;
	uint8_t id[ID_LEN];
	int r = obj_dir_id(t, at.dir, id);
	if (!r)
		r = borrow_store(&b, t->env.gate, GATE_USE_NEW);
	return r ? r : name_encode(b.store, t->names, id, at.name, len, dn);
}

int obj_type(struct tree *t, const struct stat *st, int *type)
{
	if (S_ISDIR(st->st_mode)) {
		*type = OBJECT_DIR;
		return 0;
	}
	if (!S_ISREG(st->st_mode))
		return -EIO;
	uint64_t size;
	*type = layout_classify(&t->env.layout, (uint64_t)st->st_size, &size);
	/* A stump or an impossible size is shown as a file, so that it can be removed; opening it says EIO. */
	if (*type == OBJECT_STUMP || *type == OBJECT_BAD)
		*type = OBJECT_FILE;
	return 0;
}

int obj_special(struct tree *t, struct node *n, struct special *s)
{
	AUTO(auto_close) int fd = node_open(&t->nodes, n, O_RDONLY);

	if (fd < 0)
		return fd;
	struct borrow b = {0};
	uint8_t record[SPECIAL_RECORD_MAX];
	int r = store_pread_full(fd, record, sizeof(record), 0);
	if (!r)
		r = borrow_store(&b, t->env.gate, GATE_USE_NEW);
	if (r)
		return r;
	r = special_open(b.store, (enum object_type)n->type, record, sizeof(record), s);
	borrow_end(&b);
	if (r) {
		log_node(t, n, "the special object's record does not authenticate");
		return -EIO;
	}
	pthread_mutex_lock(&n->lock);
	memcpy(n->object_id, s->object_id, ID_LEN);
	n->dev_major = s->major;
	n->dev_minor = s->minor;
	n->target_len = s->target_len;
	n->has_id = n->has_special = true;
	pthread_mutex_unlock(&n->lock);
	return 0;
}

static mode_t special_mode(int type)
{
	static const mode_t mode[] = {
		[OBJECT_SYMLINK] = S_IFLNK, [OBJECT_FIFO] = S_IFIFO,  [OBJECT_SOCKET] = S_IFSOCK,
		[OBJECT_CHAR] = S_IFCHR,    [OBJECT_BLOCK] = S_IFBLK,
	};

	return mode[type];
}

static int special_attr(struct tree *t, struct node *n, struct stat *st)
{
	pthread_mutex_lock(&n->lock);
	bool has = n->has_special;
	pthread_mutex_unlock(&n->lock);
	if (!has) {
		struct special s;
		int r = obj_special(t, n, &s);

		secret_wipe(s.target, sizeof(s.target));
		if (r)
			return r;
	}
	st->st_mode = special_mode(n->type) | (n->type == OBJECT_SYMLINK ? 0777 : st->st_mode & 07777);
	pthread_mutex_lock(&n->lock);
	st->st_size = n->type == OBJECT_SYMLINK ? n->target_len : 0;
	st->st_rdev = makedev(n->dev_major, n->dev_minor);
	pthread_mutex_unlock(&n->lock);
	if (n->type != OBJECT_SYMLINK || st->st_size < FAST_LINK_LEN)
		st->st_blocks = 0;
	return 0;
}

/* What was lost behind the SIZE bytes of N that are stored is part of the size that is told. */
static uint64_t told_size(struct tree *t, struct node *n, uint64_t size)
{
	uint8_t id[ID_LEN];

	/* one whose header cannot be had has nothing that could be read, lost or not */
	if (!lost_maybe(t->env.lost, n->ino) || obj_id(t, n, id))
		return size;
	(void)lost_any(t->env.lost, &(struct lost_of){id, n->ino});
	return file_env_told_size(&t->env, id, size);
}

int obj_attr(struct tree *t, struct node *n, struct stat *st)
{
	if (n == t->nodes.root && t->root_only)
		st->st_mode &= ~(mode_t)(S_IRWXG | S_IRWXO);
	if (n->type == OBJECT_DIR)
		return S_ISDIR(st->st_mode) ? 0 : -EIO;
	if (!S_ISREG(st->st_mode))
		return -EIO;
	if (n->type != OBJECT_FILE)
		return special_attr(t, n, st);
	uint64_t size = 0;
	pthread_mutex_lock(&n->lock);
	if (n->file)
		size = file_size(n->file);
	else if (layout_classify(&t->env.layout, (uint64_t)st->st_size, &size) != OBJECT_FILE)
		size = 0;
	pthread_mutex_unlock(&n->lock);
	st->st_size = (off_t)told_size(t, n, size);
	st->st_blksize = 4096;
	times_answer(&t->env, n, st);
	return 0;
}

int obj_getattr(struct tree *t, struct node *n, struct stat *st)
{
	int r = node_stat(&t->nodes, n, st);

	return r ? r : obj_attr(t, n, st);
}

/*
 * A folder is one of ours when its id says so: an empty one could have been planted in a file's place. It is read at the
 * first look-up and will be needed for the names in it. After a crash a stump is possible, and gets its id when used.
 */
static int check_folder(struct tree *t, struct node *n)
{
	AUTO(borrow_end) struct borrow b = {0};
	uint8_t id[ID_LEN];
	int r = n->type != OBJECT_DIR || t->env.unclean ? 0 : obj_dir_id(t, n, id);

	/* A plain user's own folder that he may not search: nothing in it is reached, but it is seen and can be changed. */
	if (r == -EACCES && geteuid() != 0)
		r = borrow_store(&b, t->env.gate, GATE_USE_NEW); /* -EACCES if it was the gate */
	return r;
}

/* 1 the special object of TYPE in RECORD authenticates, 0 it does not, -EACCES. */
static int special_whole(struct tree *t, int type, const uint8_t record[SPECIAL_RECORD_MAX])
{
	AUTO(borrow_end) struct borrow b = {0};
	struct special s;
	int r = borrow_store(&b, t->env.gate, GATE_USE_NEW);

	if (r)
		return r;
	r = special_open(b.store, (enum object_type)type, record, SPECIAL_RECORD_MAX, &s);
	secret_wipe(s.target, sizeof(s.target));
	return r == 0;
}

/*
 * After a crash a file may have been cut to the very size that tells a special object: its front says what it is. And of a special
 * object that was being made its size may be there, and not its bytes: nobody was told of it, so it has never been. -ENOENT: that.
 */
static int type_after_crash(struct tree *t, struct node *dir, int dir_fd, const char *disk, int *type)
{
	uint8_t record[SPECIAL_RECORD_MAX];
	struct stat st;

	if (!t->env.unclean || *type < OBJECT_SYMLINK || *type == OBJECT_DIR)
		return 0;
	AUTO(auto_close) int fd = store_open_lifted(dir_fd, disk, O_RDONLY);
	if (fd < 0 || fstat(fd, &st) || store_pread_full(fd, record, sizeof(record), 0))
		return 0;
	if (header_begins(record)) {
		*type = OBJECT_FILE;
		return 0;
	}
	if (!leeway_made(t->env.leeway, &st, NULL, writing_place(dir->ino, disk), leeway_born(fd)))
		return 0;
	int r = special_whole(t, *type, record);
	if (r)
		return r < 0 ? r : 0;
	log_node(t, dir,
		 "a link, fifo, socket or device in this folder was being made when the machine went down: it is gone");
	if (!t->env.read_only && unlinkat(dir_fd, disk, 0) == 0)
		atomic_fetch_add(&t->env.recovered, 1);
	return -ENOENT;
}

int obj_listed(struct tree *t, struct node *dir, int dir_fd, const char *disk)
{
	struct stat st;
	int type;

	if (!t->env.unclean || store_stat(dir_fd, disk, &st) || obj_type(t, &st, &type))
		return 0;
	int r = type_after_crash(t, dir, dir_fd, disk, &type);
	return r == -ENOENT ? r : 0;
}

/* No size is told before it is known where the file ends; ST is what it is afterwards. */
static int settle(struct tree *t, struct node *n, int fd, struct stat *st)
{
	if (n->type != OBJECT_FILE || !t->env.unclean || atomic_load(&n->settled))
		return 0;
	int r = file_settle(&t->env, n, st);
	if (r)
		return r;
	return fstat(fd, st) ? -errno : 0;
}

int obj_lookup_disk(struct tree *t, struct node *dir, const char *disk, struct node **out, struct stat *st)
{
	AUTO(dirfd_ref_put) struct dirfd_ref d = {&t->nodes, NULL};
	int r = dirfd_get(&t->nodes, dir, &d.d);

	if (r)
		return r;
	AUTO(auto_close) int fd = store_openat(d.d->fd, disk, O_PATH, 0);
	r = fd < 0 ? fd : fstat(fd, st) ? -errno : 0;
	if (r == -EIO)
		log_node(t, dir,
			 "something in this folder cannot be looked at: the disk, or something is mounted over it");
	if (r)
		return r;
	struct node_key key = {.dev = st->st_dev, .ino = st->st_ino};
	r = obj_type(t, st, &key.type);
	if (r) {
		log_node(t, dir, "something in this folder is neither a folder nor a regular file of the store");
		return r;
	}
	r = type_after_crash(t, dir, d.d->fd, disk, &key.type);
	if (r)
		return r;
	struct node *n;
	r = node_lookup(&t->nodes, &key, dir, disk, &n);
	if (r)
		return r;
	r = settle(t, n, fd, st);
	if (!r)
		times_look(&t->env, n, fd);
	if (!r)
		r = obj_attr(t, n, st);
	if (!r)
		r = check_folder(t, n);
	if (r)
		node_forget(&t->nodes, n, 1);
	else
		*out = n;
	return r;
}

/* After a crash a long name may be there, and not its sidecar's bytes: without them no listing has it. */
static int sidecar_after_crash(struct tree *t, struct at at, const struct disk_name *dn)
{
	AUTO(dirfd_ref_put) struct dirfd_ref d = {&t->nodes, NULL};
	AUTO(auto_free) uint8_t *bytes = NULL;
	size_t len = 0;
	bool made;

	if (!t->env.unclean || t->env.read_only || !dn->sidecar[0])
		return 0;
	int r = dirfd_get(&t->nodes, at.dir, &d.d);
	if (r)
		return r;
	r = store_read_file(d.d->fd, dn->sidecar, NAME_SIDECAR_MAX, &bytes, &len);
	if (r == 0 && len == dn->sidecar_len && memcmp(bytes, dn->sidecar_data, len) == 0)
		return 0;
	return r && r != -ENOENT ? r : obj_sidecar_write(at.dir, d.d->fd, dn, &made);
}

int obj_lookup(struct tree *t, struct at at, struct node **out, struct stat *st)
{
	struct disk_name dn;
	int r = obj_encode(t, at, &dn);

	if (r) /* a name that the store cannot hold is not there */
		return r == -EINVAL ? -ENOENT : r;
	r = obj_lookup_disk(t, at.dir, dn.name, out, st);
	/* what fails here, listings and verify tell */
	if (!r && sidecar_after_crash(t, at, &dn) && file_env_corrupt(&t->env))
		log_node(t, at.dir, "the sidecar of a long name cannot be written again");
	return r;
}
