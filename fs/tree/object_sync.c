/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names become durable: what an fsync of an object needs so that it is found again, by fsync of the very things. A folder's id
 * and a long name's sidecar are files of their own, whose bytes no journal of the filesystem below brings along.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "fs/tree/object_own.h"

#define SYNC_EACH 4u /* so many things in a folder are synced one by one where syncfs(2) is to be had */

/* ---- one thing ---- */

static int sync_file(int fd)
{
	return fd < 0 ? fd : fsync(fd) < 0 ? -errno : 0;
}

static int sync_id(int dir_fd)
{
	AUTO(auto_close) int fd = store_open_file(dir_fd, DIRID_NAME, O_RDONLY);

	return sync_file(fd);
}

/* One that is not there has gone with its name meanwhile; or it was lost long ago, which no fsync mends. */
static int sync_sidecar(int dir_fd, const char *disk)
{
	char sidecar[NAME_LEN_MAX + 1];

	name_sidecar(disk, sidecar);
	AUTO(auto_close) int fd = store_open_file(dir_fd, sidecar, O_RDONLY);
	return fd == -ENOENT ? 0 : sync_file(fd);
}

static void entries_durable(struct node *dir, uint64_t stamp)
{
	uint64_t was = atomic_load(&dir->entries_durable);

	while (was < stamp && !atomic_compare_exchange_weak(&dir->entries_durable, &was, stamp))
		;
}

/* ---- upwards ---- */

/* The searching of a plain user's own folder that lacks the bit, lent. */
static bool search_lent(int fd, struct stat *st)
{
	return geteuid() != 0 && fstat(fd, st) == 0 && (st->st_mode & 0100) == 0 &&
	       fchmod(fd, (st->st_mode & 07777) | 0100) == 0;
}

/* What BELOW (NULL: nothing), a name in folder DIR, needs of it, and its id. 1: something was done. */
static int sync_folder(struct tree *t, struct node *dir, const struct name_ref *below)
{
	const uint64_t stamp = nodes_stamp(&t->nodes);
	bool id = !atomic_load(&dir->id_durable), sidecar = below && !below->sidecar;
	bool entries = id || (below && !below->entry);
	struct stat st;

	if (!entries && !sidecar)
		return 0;
	AUTO(auto_close) int fd = node_open(&t->nodes, dir, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return fd;
	bool lent = search_lent(fd, &st);
	int r = id ? sync_id(fd) : 0;
	if (!r && sidecar)
		r = sync_sidecar(fd, below->name);
	if (lent && fchmod(fd, st.st_mode & 07777) < 0 && !r)
		r = -errno;
	if (!r && entries)
		r = store_sync_dir(fd);
	if (r)
		return r == -EUCLEAN ? -EIO : r;
	if (id)
		atomic_store(&dir->id_durable, true);
	if (entries)
		entries_durable(dir, stamp);
	return 1;
}

/* NAME of N (NULL: it is to come there), whose parent is unpinned, and the folders above it up to the root. 1 as above. */
static int sync_from(struct tree *t, struct node *n, const struct name_ref *name)
{
	struct name_ref at = *name;
	struct node *held = NULL;
	int r, did = 0;

	do {
		struct node *dir = at.parent;

		atomic_store(&dir->fresh, false); /* first: who renames it from now on pays for the new place */
		r = sync_folder(t, dir, &at);
		if (r > 0 && n && !at.sidecar)
			node_sidecar_durable(&t->nodes, n, &at);
		did |= r > 0;
		if (held)
			node_unpin(&t->nodes, held);
		n = held = dir;
	} while (r >= 0 && n != t->nodes.root && node_name_ref(&t->nodes, n, true, &at));
	node_unpin(&t->nodes, held);
	return r < 0 ? r : did;
}

/* One name of N that is not durable yet; a folder's id with it, unless it has no name any more. */
static int sync_name(struct tree *t, struct node *n)
{
	struct name_ref name;
	bool dir = n->type == OBJECT_DIR;

	if (!node_name_ref(&t->nodes, n, dir, &name))
		return 0;
	int own = dir ? sync_folder(t, n, NULL) : 0;
	if (own < 0) {
		node_unpin(&t->nodes, name.parent);
		return own;
	}
	int up = sync_from(t, n, &name);
	return up < 0 ? up : own | up;
}

/* Have the bytes of folder DIR's id written, without waiting for them. */
static void start_id(struct tree *t, struct node *dir)
{
	AUTO(auto_close) int fd = node_open(&t->nodes, dir, O_RDONLY | O_DIRECTORY);
	AUTO(auto_close) int id = fd < 0 ? fd : store_open_file(fd, DIRID_NAME, O_RDONLY);

	if (id >= 0) /* what fails here fails again, and is told then */
		(void)sync_file_range(id, 0, 0, SYNC_FILE_RANGE_WRITE);
}

void obj_sync_begin(struct tree *t, struct node *n)
{
	struct node *held = NULL;
	struct name_ref at;

	if (t->env.read_only || !t->nodes.names_follow)
		return;
	while (n != t->nodes.root && node_name_ref(&t->nodes, n, !!held, &at)) {
		if (held)
			node_unpin(&t->nodes, held);
		n = held = at.parent;
		if (atomic_load(&n->id_durable))
			break;
		start_id(t, n);
	}
	if (held)
		node_unpin(&t->nodes, held);
}

int obj_sync_up(struct tree *t, struct node *n)
{
	struct name_ref name;
	int r;

	if (t->env.read_only)
		return 0;
	atomic_store(&n->fresh, false);
	do /* until there is nothing left to do: names come and folders move meanwhile */
		r = sync_name(t, n);
	while (r > 0);
	if ((r != -ENOENT && r != -ESTALE) || !node_name_ref(&t->nodes, n, true, &name))
		return r == -ENOENT || r == -ESTALE ? 0 : r;
	node_unpin(&t->nodes, name.parent);
	return r;
}

int obj_sync_place(struct tree *t, struct at at, const struct disk_name *dn)
{
	struct name_ref name = {.parent = node_pin(&t->nodes, at.dir->id), .entry = true, .sidecar = !dn->sidecar[0]};
	int r = name.parent ? 0 : -ESTALE;

	memcpy(name.name, dn->name, sizeof(dn->name));
	if (!r)
		r = sync_from(t, NULL, &name);
	return r < 0 ? r : 0;
}

int obj_sync_entries(struct tree *t, struct node *dir)
{
	const uint64_t stamp = nodes_stamp(&t->nodes);
	AUTO(auto_close) int fd = node_open(&t->nodes, dir, O_RDONLY | O_DIRECTORY);
	int r = fd < 0 ? fd : store_sync_dir(fd);

	if (!r)
		entries_durable(dir, stamp);
	return r;
}

/* ---- a folder, and what was made in it ---- */

static bool has_durable_id(struct tree *t, const struct stat *st)
{
	struct node *n = node_pin_inode(&t->nodes, st->st_dev, st->st_ino);
	bool durable = n && atomic_load(&n->id_durable);

	if (n)
		node_unpin(&t->nodes, n);
	return durable;
}

static void is_durable(struct tree *t, const struct stat *st)
{
	struct node *n = node_pin_inode(&t->nodes, st->st_dev, st->st_ino);

	if (!n)
		return;
	atomic_store(&n->fresh, false);
	atomic_store(&n->id_durable, true);
	node_unpin(&t->nodes, n);
}

bool obj_goes_along(struct tree *t, const struct stat *st)
{
	uint64_t size;

	return S_ISDIR(st->st_mode) || (S_ISREG(st->st_mode) && layout_classify(&t->env.layout, (uint64_t)st->st_size,
										&size) >= OBJECT_SYMLINK);
}

/* A folder's id; all of a sidecar or a special object. What has gone meanwhile, or was never ours, needs nothing. */
static int sync_thing(struct tree *t, int dir_fd, const char *disk)
{
	struct stat st;
	AUTO(auto_close) int path = store_openat(dir_fd, disk, O_PATH, 0);

	if (path < 0)
		return path == -ENOENT ? 0 : path;
	if (fstat(path, &st) < 0)
		return -errno;
	bool dir = S_ISDIR(st.st_mode);
	if ((!dir && !S_ISREG(st.st_mode)) || (dir && has_durable_id(t, &st)))
		return 0;
	AUTO(auto_close) int fd = store_reopen(path, dir ? O_RDONLY | O_DIRECTORY : O_RDONLY);
	if (fd < 0)
		return fd;
	int r = dir ? sync_id(fd) : sync_file(fd);
	if (dir && (r == -ENOENT || r == -EACCES)) /* on its way out; one that its owner may not search */
		return 0;
	if (!r && dir)
		r = store_sync_dir(fd);
	if (!r)
		is_durable(t, &st);
	return r;
}

/* Is DISK in folder DIR_FD one of those that an fsync of the folder has to bring along? Or a negative errno. */
static int needs_sync(struct tree *t, int dir_fd, const char *disk)
{
	enum entry_kind kind = name_kind(t->names, disk);
	struct stat st;

	if (kind == ENTRY_SIDECAR)
		return 1;
	if (kind != ENTRY_NAME && kind != ENTRY_LONG)
		return 0;
	int r = store_stat(dir_fd, disk, &st);
	if (r)
		return r == -ENOENT ? 0 : r;
	return obj_goes_along(t, &st) && !(S_ISDIR(st.st_mode) && has_durable_id(t, &st));
}

static void dir_close(DIR **d)
{
	if (*d)
		closedir(*d);
}

/* Whatever is in the folder: nobody knows what is not durable. */
static int sync_all_in(struct tree *t, int dir_fd)
{
	int copy = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO(dir_close) DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	unsigned done = 0;

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
		int r = needs_sync(t, dir_fd, e->d_name);
		if (r > 0 && t->nodes.names_follow && ++done > SYNC_EACH)
			return syncfs(dir_fd) < 0 ? -errno : 0;
		if (r > 0)
			r = sync_thing(t, dir_fd, e->d_name);
		if (r < 0)
			return r;
	}
}

/* What DIR owes up to UPTO; MORE as node_owed_seq() says. */
static int sync_owed(struct tree *t, struct node *dir, int fd, uint64_t upto, uint64_t more)
{
	bool local = t->nodes.names_follow;
	uint64_t seq = 0;
	char name[256];
	int r = 0;

	if (local && (more > OWED_UNKNOWN || node_owed_count(dir) > SYNC_EACH))
		return syncfs(fd) < 0 ? -errno : 0;
	if (more > OWED_UNKNOWN || (more && (!local || t->env.unclean || atomic_load(&t->nodes.forgot))))
		return sync_all_in(t, fd);
	while (!r && node_owed(dir, &seq, name) && seq <= upto)
		r = sync_thing(t, fd, name);
	return r;
}

/*
 * DIR's id, unless it is durable, and with it the entries. The id first: that commits what the folder below has made, too, and an fsync
 * of the folder has nothing left to do; the other way round each would be a commit. 1: done. A folder that has gone needs nothing.
 */
static int sync_own(struct tree *t, struct node *dir)
{
	int r = atomic_load(&dir->id_durable) ? 0 : sync_folder(t, dir, NULL);

	return r == -ENOENT || r == -ESTALE ? 0 : r;
}

int obj_sync_folder(struct tree *t, struct node *dir, int fd)
{
	const uint64_t stamp = nodes_stamp(&t->nodes);
	uint64_t more, seq = node_owed_seq(dir, &more);

	if (t->env.read_only)
		return 0;
	obj_sync_begin(t, dir);
	int r = sync_owed(t, dir, fd, seq, more);
	if (!r)
		r = sync_own(t, dir);
	if (!r)
		r = store_sync_dir(fd);
	if (r < 0)
		return r;
	entries_durable(dir, stamp);
	node_paid(dir, seq);
	return obj_sync_up(t, dir);
}
