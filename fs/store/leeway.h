/* SPDX-License-Identifier: BSD-2-Clause */
/* Whose unfinished ends are tolerated after a crash: what the list of the session that broke off says. */
#ifndef FS_STORE_LEEWAY_H
#define FS_STORE_LEEWAY_H

#include <sys/stat.h>

#include "crypto/writing.h"

/* `= {0}`: nothing is tolerated. Filled once, read by any thread. */
struct leeway {
	bool all;   /* every end: no list is known, or the operator says that an older store was put back */
	bool lost;  /* the list was taken away or altered */
	bool moved; /* it lies in another file than it was written in: inode numbers and places say nothing */
	uint64_t from,
		to; /* ctimes whose ends are tolerated too: the last entries may not have reached the disk; 0: none */
	uint64_t young; /* entries without an inode number are of files with a ctime from here on; 0: there are none */
	struct writing_entry *entry; /* `n`, by file id, the mended ones of an id last */
	uint64_t *ino, *place;       /* sorted; without zeros */
	size_t n, n_ino, n_place;
};

/* The file STORE/byokfs/writing as it was found. */
struct leeway_file {
	uint8_t *bytes; /* malloc'ed, WRITING_LEN of them; NULL: there is none of that length */
	uint64_t ino;
};

/* 0 also when there is none; -ENOMEM, -EIO, ... */
int leeway_read(int own_fd, struct leeway_file *out) MUST_CHECK;

/* What a list is judged by. */
struct leeway_how {
	uint64_t session; /* the number of the record that claims a crash, 0 = unknown */
	bool accept;      /* every end is tolerated, by order */
	bool listed;      /* this host knows that the session kept a list */
	uint8_t boot_id[ID_LEN];
	uint64_t booted; /* when this system was started: seconds since 1970 */
};

/*
 * Judge FILE (FORMAT.md "Files being written"); *OUT is freed by leeway_free(). Where the list does not count, OUT says
 * `all` or `lost`. -ENOMEM, -EIO.
 */
int leeway_judge(const struct store_keys *keys, const struct leeway_file *file, const struct leeway_how *how,
		 struct leeway *out) MUST_CHECK;
void leeway_free(struct leeway *l);

/* false: the object behind ST has nothing to be looked for. true: leeway_file() or leeway_stump() is to be asked. */
bool leeway_maybe(const struct leeway *l, const struct stat *st);
/* May the end of the file with FILE_ID in its header be unfinished? */
bool leeway_file(const struct leeway *l, const uint8_t file_id[ID_LEN], const struct stat *st);
/* May a file that has no header be a create cut off? PLACE: writing_place() of a name of it. */
bool leeway_stump(const struct leeway *l, const struct stat *st, uint64_t place);
/*
 * Was the file behind ST (PLACE: of a name of it; FILE_ID: what its header says, NULL if that is not whole) made by the session that
 * broke off, and never made durable since? Then nothing of it need be there. BORN: when its inode was made, seconds; 0: unknown.
 */
bool leeway_made(const struct leeway *l, const struct stat *st, const uint8_t *file_id, uint64_t place, uint64_t born);
/* BORN of FD. */
uint64_t leeway_born(int fd);
/* The note that FILE_ID's end was mended in an earlier mount, or NULL. */
const struct writing_entry *leeway_mended(const struct leeway *l, const uint8_t file_id[ID_LEN]);
/* Did FILE_ID go back to what the undo journal had of it? */
bool leeway_back(const struct leeway *l, const uint8_t file_id[ID_LEN]);
/* It does so now, before anybody else reads L. -ENOMEM. */
int leeway_add_back(struct leeway *l, const uint8_t file_id[ID_LEN]) MUST_CHECK;

#endif
