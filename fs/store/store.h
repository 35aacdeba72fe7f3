/* SPDX-License-Identifier: BSD-2-Clause */
/* The store's own files: layout of the directory, keyring copies, pin, session, owner lock, in-flight replay. No FUSE. */
#ifndef FS_STORE_H
#define FS_STORE_H

#include <stdbool.h>

#include "crypto/auto.h"
#include "crypto/inflight.h"
#include "crypto/keyring.h"
#include "crypto/name.h"
#include "crypto/pin.h"
#include "crypto/session.h"
#include "fs/store/leeway.h"
#include "fs/store/lost.h"

struct stat;
struct timespec;

struct gate;
struct slots;
struct written;
struct journal;
struct journal_key;
struct live;

#define STORE_WHY_MAX 512u

/* Names in STORE. The keyring's second copy is rewritten when the first is durable. */
#define STORE_OWN "byokfs"
#define STORE_DATA "data"
#define STORE_KEYRING "keyring"
#define STORE_KEYRING_COPY "keyring.copy"
#define STORE_SESSION "session"
#define STORE_INFLIGHT "inflight"
#define STORE_WRITING "writing"
#define STORE_JOURNAL "journal"
#define STORE_LOST "lost"
#define STORE_LOCK "lock"

struct store_copies; /* store.c: keyring copies found, and the pin */

/* An open store. Read-only for others than store*.c. */
struct store {
	char *path;              /* canonical, for messages only */
	int dir_fd;              /* STORE */
	int own_fd;              /* STORE/byokfs */
	int data_fd;             /* STORE/data, O_RDONLY | O_DIRECTORY */
	int lock_fd;             /* -1 unless store_lock() */
	int host_fd;             /* this host's lock of the store id, -1 without */
	struct keyring *keyring; /* the copy in use */
	struct session session;
	uint64_t last_session;   /* number of the record found, 0 = there was none to read */
	uint64_t left_session;   /* the one that broke off, as far as is known; 0: none did */
	bool unclean;            /* an earlier session did not end cleanly and verify has not passed since */
	bool stale;              /* the record claims that, but it is an old one: nothing is tolerated for it */
	struct leeway leeway;    /* whose unfinished ends are tolerated; nobody's unless `unclean` */
	bool accept_session;     /* the operator put an older store back: its record counts */
	char *live_path;         /* of the record of slots, NULL: none is kept */
	struct live *live;       /* fs/store/live.h; as `slots`, and NULL when none can be kept */
	bool disk_lost;          /* the disk has lost the last writes of the session that broke off, in this boot */
	struct slots *slots;     /* fs/store/slots.h; NULL until store_begin(), and when it is only read */
	struct written *written; /* fs/store/written.h; as `slots`, and NULL when there is no room for it */
	struct writing_key *list_key;    /* of the session, until `written` has it */
	struct journal *journal;         /* fs/store/journal.h; as `slots` */
	struct journal_key *journal_key; /* of the session, until `journal` has it */
	struct lost *lost;               /* fs/store/lost.h: what mounts lost; NULL until store_begin() */
	struct lost_key *lost_key;       /* until `lost` has it */
	size_t slot_len;
	bool read_only;
	bool first_contact; /* neither a pin nor store_open.store_id says which store it must be: tell it */
	struct store_copies *copies;
	uint8_t session_clean[SESSION_LEN]; /* sealed by store_begin(): a locked store can still be closed cleanly */
};

/* How a store is opened. */
struct store_open {
	const char *path;
	const char *const *refs; /* KMS references from the command line (normalised), or NULL */
	size_t n_refs;
	bool accept_older;       /* --accept-older-keyring */
	bool accept_session;     /* --accept-older-session */
	bool no_pin_check;       /* `inspect`, `verify --no-key`, `status`: nothing will be contacted */
	bool allow_copy;         /* --allow-copy: another copy of the store may be mounted for writing beside it */
	const uint8_t *store_id; /* --store-id: the ID_LEN bytes that it must have, or NULL */
	bool read_only;
	const char *run_dir; /* a folder that a restart of the machine empties, ours alone; NULL: there is none */
};

/*
 * Make STORE (an absent or empty directory): byokfs/, data/ with its directory id, both keyring copies, session, in-flight
 * file, all durable; then the pin. What a mount does to a filesystem is tried before (-EOPNOTSUPP). KEYS are the new store's. WHY
 * gets one sentence on error; on success one that says what the filesystem cannot keep, or "".
 */
int store_create(const char *path, const struct keyring *keyring, const struct store_keys *keys,
		 char why[STORE_WHY_MAX]) MUST_CHECK;

/*
 * Open the directories and choose the keyring copy: candidates by falling sequence; those that do not parse or name other
 * KMS references or another store id than the pin (or `refs`) are left out, and so are, without a pin, those under a KEK that
 * wraps for everybody unless `store_id` is theirs. -ENOENT not a store, -EUCLEAN no usable keyring, -ENOTSUP newer format,
 * -EPERM references not pinned, another store id, or older keyring, with WHY.
 */
int store_open(const struct store_open *how, struct store **out, char why[STORE_WHY_MAX]) MUST_CHECK;
/* The other keyring copy, when the one in use did not open its box: -ENOENT if there is none. */
int store_next_keyring(struct store *s) MUST_CHECK;
/* Unlocks, closes, frees. NULL is legal. */
void store_close(struct store *s);

/*
 * Become the one owner. -EBUSY with WHY naming host, pid and mount point of the owner; a dead owner on this host is
 * replaced. MOUNTPOINT may be "" (verify). With one, and unless read-only, also the one copy of the store on this host that is
 * mounted for writing: -EBUSY with WHY naming the other.
 */
int store_lock(struct store *s, const char *mountpoint, char why[STORE_WHY_MAX]) MUST_CHECK;
/* Who owns it now: 0 and the facts, -ENOENT if nobody. */
struct store_owner {
	char host[256];
	int pid;
	char mountpoint[4096];
};
int store_owner(const struct store *s, struct store_owner *out) MUST_CHECK;
/*
 * Who has another copy of it mounted for writing on this host, which is what store_lock() refuses when the store itself is free:
 * 0 with the path of that copy in the place of the mount point, -ENOENT if nobody.
 */
int store_copy_owner(const struct store *s, struct store_owner *out) MUST_CHECK;

/*
 * With the store locked and the gate open: repair the other keyring copy, write the pin, read the session, replay valid
 * in-flight slots, open the in-flight file, mark the session open (durable). LOG is called for each thing of note.
 */
int store_begin(struct store *s, struct gate *g, void (*log)(int priority, const char *text),
		char why[STORE_WHY_MAX]) MUST_CHECK;
/* Make all durable, and mark the session clean if it was clean before or VERIFIED says that verify has passed; unmap. */
int store_end(struct store *s, bool verified) MUST_CHECK;

/* ID as hex digits and NUL, as every message and command line has it. */
void store_id_hex(const uint8_t id[ID_LEN], char out[2 * ID_LEN + 1]);
/* And back. -EINVAL unless TEXT is that; ID is scratch then. */
int store_id_read(const char *text, uint8_t id[ID_LEN]) MUST_CHECK;
/* Id of this boot of the machine; zeros when the system does not tell. */
void store_boot_id(uint8_t id[ID_LEN]);
/*
 * openat2() below DIR_FD: beneath it, no symlinks, no magic links, nothing that is mounted there (-EIO), O_CLOEXEC | O_NOFOLLOW
 * added: fd or negative errno.
 */
int store_openat(int dir_fd, const char *path, uint64_t flags, uint64_t mode);
/* The folder NAME at the top of a store: the one place where another filesystem may be mounted. */
int store_open_part(int dir_fd, const char *name) MUST_CHECK;
/* What NAME itself is, by store_openat(): the only stat(2) by name below a store. Negative errno. */
int store_stat(int dir_fd, const char *name, struct stat *st) MUST_CHECK;
/* Whole-length pread/pwrite; -EIO on a short read for _full, EINTR handled. */
int store_pread_full(int fd, void *buf, size_t len, uint64_t off) MUST_CHECK;
int store_pwrite_full(int fd, const void *buf, size_t len, uint64_t off) MUST_CHECK;
/* 1 if the SIZE bytes of file FD can hold nothing: fewer than LEAST, or zeros from end to end; 0 if not, negative errno. */
int store_is_blank(int fd, uint64_t size, uint64_t least) MUST_CHECK;
/* Temporary file, fsync, rename, fsync of the directory. */
int store_write_file(int dir_fd, const char *name, const void *buf, size_t len, unsigned mode) MUST_CHECK;
/* Read a whole regular file of at most MAX bytes; *OUT is malloc'ed. -ENOENT, -EFBIG, -EUCLEAN not a regular file. */
int store_read_file(int dir_fd, const char *name, size_t max, uint8_t **out, size_t *len) MUST_CHECK;
/* 1 if DIR_FD holds nothing but EXCEPT (may be NULL), 0 if it does, negative errno. */
int store_dir_empty(int dir_fd, const char *except) MUST_CHECK;
/*
 * Is FD's filesystem known to be one on a disk of this machine, where syncfs(2) reaches the disk, and an fsync of a file makes its
 * names durable with it (ext2 to ext4, xfs, btrfs)? Elsewhere, as over FUSE, either may do nothing.
 */
bool store_is_local(int fd);
/* When what FD refers to was made, as the filesystem says. False: it does not. */
bool store_born(int fd, struct timespec *out);
/* fsync(2) of the folder FD; a filesystem that has none for folders needs none. */
int store_sync_dir(int fd) MUST_CHECK;
/*
 * The id of the folder DIR_FD. Each borrows the keys by itself, and not across its I/O. read: -ENODATA if there is none
 * yet, -EBADMSG if it does not authenticate, -EACCES when locked. make: a new one, written (not synced). recall: the one that make()
 * gave it, where that can be known without the file, and a name in the folder proves it (with plain names: any); else -ENODATA;
 * nothing is written. mend: read, but a folder without an id gets the one that is recalled, and an otherwise empty one a new
 * one: there a crash cut off a mkdir.
 */
int store_dirid_read(int dir_fd, struct gate *g, uint8_t id[ID_LEN]) MUST_CHECK;
int store_dirid_make(int dir_fd, struct gate *g, uint8_t id[ID_LEN]) MUST_CHECK;
int store_dirid_recall(int dir_fd, struct gate *g, enum name_mode names, uint8_t id[ID_LEN]) MUST_CHECK;
int store_dirid_mend(int dir_fd, struct gate *g, enum name_mode names, uint8_t id[ID_LEN]) MUST_CHECK;
/* The bytes of the id file, *LEN = 0 when there is none yet: to be put back. -EBADMSG for what is not a file. */
int store_dirid_fetch(int dir_fd, uint8_t file[DIRID_LEN + 1], size_t *len) MUST_CHECK;
/* Write the bytes that dirid_new() made. */
int store_dirid_put(int dir_fd, const uint8_t file[DIRID_LEN]) MUST_CHECK;
/* -EUCLEAN unless FD is a regular file (a planted fifo or link never gets so far: opened with O_PATH first). */
int store_open_file(int dir_fd, const char *name, int flags);
/*
 * The same for a file of byokfs's own that is going to be written: -EUCLEAN when it has a second name as well, by which it would
 * be somebody else's (a hard link that a writer of the store planted).
 */
int store_open_own(int dir_fd, const char *name, int flags);
/* The same; a plain user's own file that lacks the bits gets them for the moment of the open. -EIO if they had to stay. */
int store_open_lifted(int dir_fd, const char *name, int flags);
/*
 * Open with FLAGS (O_CLOEXEC, O_NONBLOCK added) the file or folder that the O_PATH descriptor FD_PATH refers to, and no
 * other, through /proc; lifts bits as above.
 */
int store_reopen(int fd_path, int flags);
/*
 * chmod(2) of what the descriptor refers to, O_PATH or not. Never by name: what lies there by then may be a link that leads out of
 * the store, and root follows it.
 */
int store_chmod(int fd, mode_t mode) MUST_CHECK;
/*
 * Move atime of the file FD (O_PATH or not), as a read(2) would: the store's filesystem decides by its own mount options. Nothing
 * that is opened by the functions above moves it by being read, where we own it.
 */
void store_touch(int fd);
/* setxattr(2) in the same way; lifts bits as above. */
int store_setxattr(int fd, const char *name, const void *value, size_t len) MUST_CHECK;

#endif
