/* SPDX-License-Identifier: BSD-2-Clause */
/* The walk of a check: folders, their ids, names and sidecars. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "fs/check/check_own.h"
#include "fs/store/borrow.h"
#include "fs/store/store_own.h"

#define DIRID_MISSING "is missing"

/* Open a folder for listing. A plain user's own one may lack the bit for searching: lent as long as it is looked at. */
static int dir_open(struct check_dir *d, int at_fd, const char *name)
{
	struct stat st;
	int fd = store_openat(at_fd, name, O_RDONLY | O_DIRECTORY, 0);
	if (fd == -EACCES) {
		AUTO(auto_close) int fd_path = store_openat(at_fd, name, O_PATH | O_DIRECTORY, 0);
		fd = fd_path < 0 ? fd_path : store_reopen(fd_path, O_RDONLY | O_DIRECTORY);
	}
	if (fd < 0 || geteuid() == 0 || fstat(fd, &st) || st.st_uid != geteuid() || (st.st_mode & 0100))
		return fd;
	d->mode = st.st_mode & 07777;
	d->lifted = fchmod(fd, d->mode | 0500) == 0;
	return fd;
}

/* Enter the folder NAME of PARENT (NULL: data/ itself). PLAIN is taken over. Reports; *OUT NULL when it cannot be entered. */
static int dir_enter(struct check_run *run, struct check_dir *parent, const char *name, char *plain,
		     struct check_dir **out)
{
	struct check_dir *d = calloc(1, sizeof(*d));
	*out = NULL;
	if (!d) {
		free(plain);
		return -ENOMEM;
	}
	d->plain = plain;
	d->users = 1;
	d->parent = parent ? check_dir_get(parent) : NULL;
	d->disk = strdup(parent ? name : "data");
	int fd = dir_open(d, parent ? parent->fd : run->cfg->store->data_fd, parent ? name : ".");
	d->stream = fd >= 0 ? fdopendir(fd) : NULL;
	if (fd >= 0 && !d->stream) {
		d->lifted = false;
		close(fd);
	}
	d->fd = d->stream ? fd : -1;
	if (d->disk && d->stream) {
		*out = d;
		return 0;
	}
	int r = !d->disk || fd >= 0 ? -ENOMEM : fd;
	check_dir_put(d);
	return r;
}

static void say_io(struct check_run *run, const struct check_at *at, const char *what, int r)
{
	check_say(run, at, &(struct check_finding){.code = CHECK_IO, .severity = CHECK_DAMAGE}, "%s: %s", what,
		  strerror(-r));
}

/*
 * The id is lost, which is no damage where a crash may have cut it off. What it was may be known: from the folder itself, if a name
 * in it proves that. Else, with --repair, a new one; what is in the folder gets new names when it is come to.
 */
static void lost_dirid(struct check_run *run, struct check_dir *d, const struct check_at *at, const char *how)
{
	bool known = store_dirid_recall(d->fd, run->cfg->gate, run->names, d->id) == 0;
	bool cut = known && run->unclean && strcmp(how, DIRID_MISSING) == 0;
	struct check_finding f = {.code = CHECK_DIRID, .severity = cut ? CHECK_CRASH : CHECK_DAMAGE};
	d->has_id = run->repair ? check_new_id(run, d) == 0 : known;
	d->new_id = run->repair && d->has_id && !known;
	f.repaired = run->repair && d->has_id;
	check_say(run, at, &f, "the directory's id (%s) %s%s", DIRID_NAME, how,
		  f.repaired && known ? "; it is there again"
		  : f.repaired        ? "; it has a new one, and what is in it is called lost-INODE"
		  : known             ? "; what it was is known"
				      : ", so its names cannot be decrypted");
}

/* No directory id: in an otherwise empty folder a mkdir cut off, else lost. */
static void no_dirid(struct check_run *run, struct check_dir *d, const struct check_at *at)
{
	int empty = store_dir_empty(d->fd, DIRID_NAME); /* an id file without bytes is none */
	if (empty != 1) {
		lost_dirid(run, d, at, DIRID_MISSING);
		return;
	}
	struct check_finding f = {.code = CHECK_STUMP, .severity = run->unclean ? CHECK_CRASH : CHECK_DAMAGE};
	if (run->repair)
		d->has_id = store_dirid_mend(d->fd, run->cfg->gate, run->names, d->id) == 0;
	f.repaired = d->has_id;
	check_say(run, at, &f,
		  d->has_id ? "an empty directory without an id; it has one now" : "an empty directory without an id");
}

static void copied(struct check_run *run, struct check_dir *d, const struct check_at *at)
{
	struct stat st;
	enum check_seen seen = CHECK_NEW;
	int r = fstat(d->fd, &st) < 0 ? -errno : check_ids_add(&run->ids, d->id, &st, &seen);
	if (r)
		check_stop(run, r);
	if (seen == CHECK_OTHER)
		check_say(run, at, &(struct check_finding){.code = CHECK_COPY, .severity = CHECK_DAMAGE},
			  "a copy of another directory: both have the same id");
}

/* The id of a folder just entered, and its attributes. */
static void dir_begin(struct check_run *run, struct check_dir *d)
{
	struct check_at at = {.dir = d};
	int r = store_dirid_read(d->fd, run->cfg->gate, d->id);
	/* Where the id file may be read it is the gate that refuses. */
	if (r == -EACCES && faccessat(d->fd, DIRID_NAME, R_OK, AT_EACCESS) == 0 && check_locked(run, r))
		return;
	d->has_id = r == 0;
	if (r == -ENODATA)
		no_dirid(run, d, &at);
	else if (r == -EBADMSG || r == -EUCLEAN || r == -EFBIG)
		lost_dirid(run, d, &at, "does not authenticate");
	else if (r)
		say_io(run, &at, "the directory's id cannot be read", r);
	if (!d->has_id || d->new_id) /* attributes of an id that is gone nobody sees any more */
		return;
	copied(run, d, &at);
	check_xattrs(run, &at, d->fd, d->id);
}

/* Without key: only that an id of the right length is there. */
static void dir_begin_plain(struct check_run *run, struct check_dir *d)
{
	struct check_at at = {.dir = d};
	struct stat st;
	int there = store_stat(d->fd, DIRID_NAME, &st) == 0 && !(S_ISREG(st.st_mode) && st.st_size == 0);
	if (there) {
		if (!S_ISREG(st.st_mode) || st.st_size != DIRID_LEN)
			check_say(run, &at, &(struct check_finding){.code = CHECK_DIRID, .severity = CHECK_DAMAGE},
				  "the directory's id (%s) is not a file of %u bytes", DIRID_NAME, DIRID_LEN);
	} else if (store_dir_empty(d->fd, DIRID_NAME) == 1) {
		check_say(run, &at,
			  &(struct check_finding){.code = CHECK_STUMP,
						  .severity = run->unclean ? CHECK_CRASH : CHECK_DAMAGE},
			  "an empty directory without an id");
	} else if (store_stat(d->fd, DIRID_NAME, &st) < 0 || st.st_size == 0) {
		/* Asked again: a mounted store may have made it since. */
		check_say(run, &at, &(struct check_finding){.code = CHECK_DIRID, .severity = CHECK_DAMAGE},
			  "the directory's id (%s) is missing", DIRID_NAME);
	}
	check_xattrs(run, &at, d->fd, NULL);
}

/* The plain name of an entry into PLAIN. *SIDECAR: its sidecar is what cannot be had. -ENODATA: its folder has no id. */
static int decode_name(struct check_run *run, const struct check_at *at, char plain[NAME_LEN_MAX + 1], int *sidecar)
{
	uint8_t *data = NULL;
	size_t len = 0;
	char name[NAME_LEN_MAX + 1];
	AUTO(borrow_end) struct borrow b = {0};
	int r = at->dir->has_id ? 0 : -ENODATA;
	name_sidecar(at->name, name);
	*sidecar = 0;
	if (!r && name_kind(run->names, at->name) == ENTRY_LONG) {
		r = store_read_file(at->dir->fd, name, NAME_SIDECAR_MAX, &data, &len);
		*sidecar = r != 0;
	}
	if (!r)
		r = borrow_store(&b, run->cfg->gate, GATE_USE_NEW);
	if (!r)
		r = name_decode(b.store, run->names, at->dir->id, at->name, data, len, plain);
	free(data);
	return r;
}

/* The name of a file that was being made, whose sidecar has no bytes. */
static bool sidecar_cut(struct check_run *run, const struct check_at *at)
{
	char name[NAME_LEN_MAX + 1];
	struct stat st;
	if (name_kind(run->names, at->name) != ENTRY_LONG)
		return false;
	name_sidecar(at->name, name);
	AUTO(auto_close) int fd = store_open_file(at->dir->fd, name, O_RDONLY);
	return fd >= 0 && fstat(fd, &st) == 0 && store_is_blank(fd, (uint64_t)st.st_size, 1) == 1 &&
	       store_stat(at->dir->fd, at->name, &st) == 0 && check_excused(run, at, &st);
}

static void say_name(struct check_run *run, const struct check_at *at, int r, int sidecar, const char *now)
{
	int is_long = name_kind(run->names, at->name) == ENTRY_LONG;
	struct check_finding f = {
		.code = is_long ? CHECK_SIDECAR : CHECK_NAME, .severity = CHECK_DAMAGE, .repaired = now != NULL};
	const char *called = now ? "; it is called " : "";
	now = now ? now : "";
	if (sidecar && r == -ENOENT)
		check_say(run, at, &f, "its long name is lost: the sidecar is missing%s%s", called, now);
	else if (sidecar && (r == -EUCLEAN || r == -EFBIG))
		check_say(run, at, &f, "its long name is lost: the sidecar is none%s%s", called, now);
	else if (sidecar)
		say_io(run, at, "the sidecar of its long name cannot be read", r);
	else if (sidecar_cut(run, at))
		check_say(
			run, at,
			&(struct check_finding){.code = CHECK_SIDECAR, .severity = CHECK_CRASH, .repaired = f.repaired},
			"a create that a crash cut off: its long name was not on disk yet%s%s", called, now);
	else
		check_say(run, at, &f,
			  "the name does not authenticate in this directory: altered, or moved here from another%s%s",
			  called, now);
}

/* A name that is lost for good, not for the moment. */
static bool name_is_lost(int r, int sidecar)
{
	return r == -EBADMSG || (sidecar && (r == -ENOENT || r == -EUCLEAN || r == -EFBIG));
}

/* The plain name of an entry, malloc'ed, or NULL; reports unless QUIET. DISK is its name on disk, which --repair may change. */
static char *entry_name(struct check_run *run, const struct check_at *at, int quiet, char disk[NAME_LEN_MAX + 1])
{
	char plain[NAME_LEN_MAX + 1], *now = NULL;
	int sidecar, r = decode_name(run, at, plain, &sidecar);
	if (!r)
		return strdup(plain);
	/* Without the folder's id, which was told already, no name can be decrypted. */
	if (!at->dir->has_id || (!sidecar && check_locked(run, r)) || quiet)
		return NULL;
	if (run->repair && name_is_lost(r, sidecar) && check_new_name(run, at, disk, &now))
		now = NULL;
	if (!at->dir->new_id || !now)
		say_name(run, at, r, sidecar, now);
	return now;
}

/* A name of no kind that we give. */
static bool alien(struct check_run *run, const struct check_at *at)
{
	struct check_finding f = {.code = CHECK_NAME, .severity = CHECK_DAMAGE};
	f.repaired = run->repair && check_move_lost(run, at) == 0;
	check_say(run, at, &f,
		  f.repaired ? "not a name that byokfs gives; moved to " CHECK_LOST : "not a name that byokfs gives");
	return f.repaired;
}

/* A sidecar: it must have an entry, or be swept. */
static void check_sidecar(struct check_run *run, const struct check_at *at)
{
	char entry[NAME_LEN_MAX + 1];
	struct stat st;
	struct check_finding f = {.code = CHECK_ORPHAN, .severity = CHECK_NOTE};
	snprintf(entry, sizeof(entry), "%s%s", LONG_PREFIX, at->name + strlen(SIDECAR_PREFIX));
	if (store_stat(at->dir->fd, entry, &st) != -ENOENT)
		return;
	/* Gone with its entry: removed in a store that is in use, or swept by a repair of the name. */
	if ((!run->cfg->gate || run->repair) && store_stat(at->dir->fd, at->name, &st) == -ENOENT)
		return;
	if (run->repair)
		f.repaired = check_move_lost(run, at) == 0;
	check_say(run, at, &f,
		  f.repaired ? "the sidecar of a long name whose entry is gone; moved to " CHECK_LOST
			     : "the sidecar of a long name whose entry is gone");
}

static void check_leftover(struct check_run *run, const struct check_at *at)
{
	struct check_finding f = {.code = CHECK_LEFTOVER, .severity = CHECK_NOTE};
	if (strcmp(at->name, DIRID_NAME) == 0)
		return;
	if (run->repair)
		f.repaired = check_move_lost(run, at) == 0;
	check_say(run, at, &f,
		  f.repaired ? "left over under a name of the store's own; moved to " CHECK_LOST
			     : "left over under a name of the store's own");
}

static void check_planted(struct check_run *run, const struct check_at *at)
{
	struct check_finding f = {.code = CHECK_TYPE, .severity = CHECK_DAMAGE};
	if (run->repair)
		f.repaired = check_move_lost(run, at) == 0;
	check_say(run, at, &f,
		  f.repaired ? "neither a directory nor a regular file: not made by byokfs; moved to " CHECK_LOST
			     : "neither a directory nor a regular file: not made by byokfs");
}

/* DT_DIR, DT_REG or DT_UNKNOWN for the rest; -1 when it is gone. */
static int entry_type(struct check_run *run, const struct check_at *at, const struct dirent *e)
{
	struct stat st;
	if (e->d_type != DT_UNKNOWN)
		return e->d_type == DT_DIR || e->d_type == DT_REG ? e->d_type : DT_UNKNOWN;
	int r = store_stat(at->dir->fd, e->d_name, &st);
	if (r) {
		if (r != -ENOENT)
			say_io(run, at, "cannot be looked at", r);
		return -1;
	}
	return S_ISDIR(st.st_mode) ? DT_DIR : S_ISREG(st.st_mode) ? DT_REG : DT_UNKNOWN;
}

/* Go down into a folder: *CUR becomes it. */
static int go_down(struct check_run *run, struct check_dir **cur, const char *name, char *plain)
{
	struct check_at at = {.dir = *cur, .name = name, .plain = plain};
	char *kept = plain ? strdup(plain) : NULL;
	struct check_dir *d;
	int r = dir_enter(run, *cur, name, kept, &d);
	if (r && r != -ENOMEM && r != -EMFILE && r != -ENFILE) {
		if (r != -ENOENT || run->cfg->gate)
			say_io(run, &at, "the directory cannot be read", r);
		return 0;
	}
	if (r)
		return r;
	check_dir_put(*cur); /* the child holds it */
	*cur = d;
	check_count(run, &(struct check_counts){.dirs = 1});
	if (run->cfg->gate)
		dir_begin(run, d);
	else
		dir_begin_plain(run, d);
	return 0;
}

static int check_entry(struct check_run *run, struct check_dir **cur, const struct dirent *e)
{
	struct check_at at = {.dir = *cur, .name = e->d_name};
	enum entry_kind kind = name_kind(run->names, e->d_name);
	int type = entry_type(run, &at, e);
	if (type < 0)
		return 0;
	if (kind == ENTRY_SIDECAR || kind == ENTRY_OWN) {
		if (kind == ENTRY_SIDECAR)
			check_sidecar(run, &at);
		else
			check_leftover(run, &at);
		return 0;
	}
	char *plain = NULL;
	int planted = type == DT_UNKNOWN; /* what it is says all; a name helps to find it */
	char disk[NAME_LEN_MAX + 1];
	snprintf(disk, sizeof(disk), "%s", e->d_name);
	if (kind == ENTRY_ALIEN && !planted && alien(run, &at))
		return 0;
	if (kind != ENTRY_ALIEN && run->cfg->gate)
		plain = entry_name(run, &at, planted, disk);
	at.plain = plain;
	int r = 0;
	if (type == DT_REG) {
		check_push(run, *cur, disk, plain);
		return 0;
	}
	if (type == DT_DIR)
		r = go_down(run, cur, disk, plain);
	else
		check_planted(run, &at);
	free(plain);
	return r;
}

/* The folder is done: back to the one above. */
static struct check_dir *go_up(struct check_dir *d)
{
	struct check_dir *parent = d->parent ? check_dir_get(d->parent) : NULL;
	check_dir_put(d);
	return parent;
}

int check_walk(struct check_run *run)
{
	struct check_dir *cur;
	int r = dir_enter(run, NULL, NULL, strdup(""), &cur);
	if (r)
		return r;
	check_count(run, &(struct check_counts){.dirs = 1});
	if (run->cfg->gate)
		dir_begin(run, cur);
	else
		dir_begin_plain(run, cur);
	while (cur && !r && !atomic_load(&run->stop)) {
		errno = 0;
		struct dirent *e = readdir(cur->stream);
		if (!e) {
			struct check_at at = {.dir = cur};
			if (errno)
				say_io(run, &at, "the directory cannot be read to its end", -errno);
			cur = go_up(cur);
		} else if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
			r = check_entry(run, &cur, e);
		}
	}
	check_dir_put(cur);
	return r;
}
