/* SPDX-License-Identifier: BSD-2-Clause */
/* The id of a folder of data/: read, made, put on disk. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "crypto/block.h"
#include "crypto/secret.h"
#include "fs/store/borrow.h"
#include "fs/store/store.h"

#define WITNESSES 64u /* names that are asked: somebody may have planted others */

/* No id file, or one of no bytes or zeros (a mkdir that a crash cut off), is none yet. */
int store_dirid_fetch(int dir_fd, uint8_t file[DIRID_LEN + 1], size_t *len)
{
	AUTO(auto_close) int fd = store_open_file(dir_fd, DIRID_NAME, O_RDONLY);

	*len = 0;
	if (fd == -ENOENT)
		return 0;
	if (fd == -EUCLEAN)
		return -EBADMSG;
	if (fd < 0)
		return fd;
	ssize_t n = pread(fd, file, DIRID_LEN + 1, 0);
	if (n < 0)
		return -errno;
	*len = block_is_zero(file, (size_t)n) ? 0 : (size_t)n;
	return 0;
}

/*
 * One write of less than a page: the death of the process leaves all of it or an empty file, which counts as none. A
 * power cut is the caller's business (fsync up the chain before anything below counts as durable).
 */
int store_dirid_put(int dir_fd, const uint8_t file[DIRID_LEN])
{
	AUTO(auto_close) int fd = store_open_own(dir_fd, DIRID_NAME, O_WRONLY | O_CREAT);

	return fd < 0 ? fd : store_pwrite_full(fd, file, DIRID_LEN, 0);
}

/* Not where whoever serves the filesystem says what number and time a folder has. */
static bool origin_of(int dir_fd, struct dirid_origin *out)
{
	struct timespec born;
	struct stat st;

	if (!store_is_local(dir_fd) || fstat(dir_fd, &st) < 0 || !store_born(dir_fd, &born))
		return false;
	*out = (struct dirid_origin){.ino = st.st_ino, .sec = born.tv_sec, .nsec = (uint32_t)born.tv_nsec};
	return true;
}

int store_dirid_make(int dir_fd, struct gate *g, uint8_t id[ID_LEN])
{
	uint8_t file[DIRID_LEN], fresh[ID_LEN];
	struct dirid_origin origin;
	bool known = origin_of(dir_fd, &origin);
	AUTO(borrow_end) struct borrow b;
	int r = borrow_store(&b, g, GATE_USE_NEW);
	if (r)
		return r;
	r = known ? dirid_from(b.store, &origin, fresh, file) : dirid_new(b.store, fresh, file);
	borrow_end(&b); /* before the disk */
	if (!r)
		r = store_dirid_put(dir_fd, file);
	if (!r)
		memcpy(id, fresh, ID_LEN);
	return r;
}

int store_dirid_read(int dir_fd, struct gate *g, uint8_t id[ID_LEN])
{
	uint8_t file[DIRID_LEN + 1];
	AUTO(borrow_end) struct borrow b = {0};
	size_t len;
	int r = store_dirid_fetch(dir_fd, file, &len);
	if (!r && len == 0)
		return -ENODATA;
	if (!r)
		r = borrow_store(&b, g, GATE_USE_NEW);
	return r ? r : dirid_parse(b.store, file, len, id);
}

/* A name in a folder, which proves the folder's id. */
struct witness {
	char name[NAME_LEN_MAX + 1];
	uint8_t *sidecar;
	size_t len;
};

struct witnesses {
	struct witness w[WITNESSES];
	size_t n;
	DIR *dir;
};

static void witnesses_end(struct witnesses **w)
{
	if (!*w)
		return;
	for (size_t i = 0; i < (*w)->n; i++)
		free((*w)->w[i].sidecar);
	if ((*w)->dir)
		closedir((*w)->dir);
	free(*w);
}

static int witnesses_call(struct witnesses *w, int dir_fd, enum name_mode names)
{
	int copy = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct dirent *e;

	w->dir = copy < 0 ? NULL : fdopendir(copy);
	if (!w->dir) {
		int r = -errno;

		auto_close(&copy);
		return r;
	}
	while (w->n < WITNESSES && (e = readdir(w->dir))) {
		struct witness *one = &w->w[w->n];
		enum entry_kind kind = name_kind(names, e->d_name);
		char sidecar[NAME_LEN_MAX + 1];

		if ((kind != ENTRY_NAME && kind != ENTRY_LONG) || strcmp(e->d_name, ".") == 0 ||
		    strcmp(e->d_name, "..") == 0)
			continue;
		snprintf(one->name, sizeof(one->name), "%s", e->d_name);
		name_sidecar(one->name, sidecar);
		if (kind == ENTRY_LONG && store_read_file(dir_fd, sidecar, NAME_SIDECAR_MAX, &one->sidecar, &one->len))
			continue;
		w->n++;
	}
	return 0;
}

/* The file of ORIGIN's id, if one of W proves that. */
static int recall(struct gate *g, enum name_mode names, const struct witnesses *w, const struct dirid_origin *origin,
		  uint8_t file[DIRID_LEN])
{
	AUTO(borrow_end) struct borrow b = {0};
	char plain[NAME_LEN_MAX + 1];
	uint8_t id[ID_LEN];
	int r = borrow_store(&b, g, GATE_USE_NEW);

	if (!r)
		r = dirid_from(b.store, origin, id, file);
	if (r)
		return r;
	for (size_t i = 0; i < w->n; i++) {
		const struct witness *one = &w->w[i];

		if (name_decode(b.store, names, id, one->name, one->sidecar, one->len, plain))
			continue;
		secret_wipe(plain, sizeof(plain));
		return 0;
	}
	return -ENODATA;
}

static int recall_file(int dir_fd, struct gate *g, enum name_mode names, uint8_t file[DIRID_LEN])
{
	AUTO(witnesses_end) struct witnesses *w = calloc(1, sizeof(*w));
	struct dirid_origin origin;

	if (!w)
		return -ENOMEM;
	if (!origin_of(dir_fd, &origin))
		return -ENODATA;
	int r = witnesses_call(w, dir_fd, names);
	return r ? r : recall(g, names, w, &origin, file);
}

int store_dirid_recall(int dir_fd, struct gate *g, enum name_mode names, uint8_t id[ID_LEN])
{
	uint8_t file[DIRID_LEN];
	int r = recall_file(dir_fd, g, names, file);

	return r ? r : dirid_peek(file, DIRID_LEN, id);
}

int store_dirid_mend(int dir_fd, struct gate *g, enum name_mode names, uint8_t id[ID_LEN])
{
	uint8_t file[DIRID_LEN];
	int r = store_dirid_read(dir_fd, g, id);

	if (r != -ENODATA)
		return r;
	r = store_dir_empty(dir_fd, DIRID_NAME);
	if (r == 1)
		return store_dirid_make(dir_fd, g, id);
	if (r == 0)
		r = recall_file(dir_fd, g, names, file);
	if (!r)
		r = store_dirid_put(dir_fd, file);
	return r ? r : dirid_peek(file, DIRID_LEN, id);
}
