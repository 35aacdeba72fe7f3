/* SPDX-License-Identifier: BSD-2-Clause */
/* Making a store: all of it, or nothing is left behind. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "fs/store/pin_file.h"
#include "fs/store/store.h"
#include "fs/store/probe.h"
#include "fs/store/store_own.h"

/* What a failed store_create() has to take away again. */
struct making {
	char path[PATH_MAX];
	bool made_dir; /* STORE itself */
	int dir_fd;
	bool done;
};

static void making_undo(struct making *m)
{
	static const char *const own[] = {STORE_KEYRING,  STORE_KEYRING_COPY, STORE_SESSION,
					  STORE_INFLIGHT, STORE_LOST,         STORE_LOCK};

	if (m->dir_fd < 0 && m->made_dir)
		rmdir(m->path);
	if (m->dir_fd < 0)
		return;
	if (!m->done) {
		AUTO(auto_close) int own_fd = store_open_part(m->dir_fd, STORE_OWN);
		for (size_t i = 0; own_fd >= 0 && i < ARRAY_LEN(own); i++)
			unlinkat(own_fd, own[i], 0);
		unlinkat(m->dir_fd, STORE_OWN, AT_REMOVEDIR);
		unlinkat(m->dir_fd, STORE_DATA "/" DIRID_NAME, 0);
		unlinkat(m->dir_fd, STORE_DATA, AT_REMOVEDIR);
		if (m->made_dir)
			rmdir(m->path);
	}
	auto_close(&m->dir_fd);
}

static int making_begin(struct making *m, const char *path, char why[STORE_WHY_MAX])
{
	if (mkdir(path, 0700) == 0) {
		m->made_dir = true;
	} else if (errno != EEXIST) {
		int r = -errno;
		store_say(why, "cannot make the folder %.300s: %s", path, strerror(-r));
		return r;
	}
	if (realpath(path, m->path) == NULL) {
		int r = -errno;
		store_say(why, "cannot open %.300s: %s", path, strerror(-r));
		return r;
	}
	m->dir_fd = open(m->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m->dir_fd < 0) {
		int r = -errno;
		store_say(why, "cannot open %.300s: %s", path, strerror(-r));
		return r;
	}
	int r = store_dir_empty(m->dir_fd, NULL);
	/* Not ours to take away. */
	if (r == 0)
		m->done = true;
	if (r < 0)
		store_say(why, "cannot read %.300s: %s", path, strerror(-r));
	else if (r == 0)
		store_say(why, "%.300s is not empty: a store is made in a new or an empty folder", path);
	return r == 1 ? 0 : r < 0 ? r : -ENOTEMPTY;
}

static int making_own(int own_fd, const struct keyring *k, const struct store_keys *keys)
{
	const struct session clean = {.number = 1, .state = SESSION_CLEAN};
	uint8_t record[SESSION_LEN];

	int r = session_write(keys, &clean, record);
	if (r == 0)
		r = store_write_file(own_fd, STORE_SESSION, record, sizeof(record), 0600);
	if (r == 0)
		r = store_write_file(own_fd, STORE_LOCK, "", 0, 0600);
	if (r == 0)
		r = store_inflight_make(own_fd, inflight_slot_len(&k->layout));
	if (r == 0)
		r = lost_make(own_fd, keys, clean.number);
	if (r == 0)
		r = store_write_file(own_fd, STORE_KEYRING, k->bytes, k->len, 0600);
	if (r == 0)
		r = store_write_file(own_fd, STORE_KEYRING_COPY, k->bytes, k->len, 0600);
	return r;
}

/* data/ is the root folder that users see: its mode is theirs to change through the mount. */
static int making_data(int dir_fd, const struct store_keys *keys)
{
	uint8_t id[ID_LEN], file[DIRID_LEN];
	AUTO(auto_close) int data_fd = store_open_part(dir_fd, STORE_DATA);
	if (data_fd < 0)
		return data_fd;
	int r = fchmod(data_fd, 0755) < 0 ? -errno : dirid_new(keys, id, file);
	if (r == 0)
		r = store_dirid_put(data_fd, file);
	if (r < 0)
		return r;
	AUTO(auto_close) int id_fd = store_open_file(data_fd, DIRID_NAME, O_RDONLY);
	if (id_fd < 0)
		return id_fd;
	return fsync(id_fd) < 0 || fsync(data_fd) < 0 ? -errno : 0;
}

static int making_write(const struct making *m, const struct keyring *k, const struct store_keys *keys)
{
	if (mkdirat(m->dir_fd, STORE_OWN, 0700) < 0 || mkdirat(m->dir_fd, STORE_DATA, 0755) < 0)
		return -errno;
	int r = making_data(m->dir_fd, keys);
	if (r < 0)
		return r;
	AUTO(auto_close) int own_fd = store_open_part(m->dir_fd, STORE_OWN);
	if (own_fd < 0)
		return own_fd;
	r = making_own(own_fd, k, keys);
	if (r < 0)
		return r;
	return fsync(m->dir_fd) < 0 ? -errno : 0;
}

static int making_try(int data_fd, const char *path, char why[STORE_WHY_MAX])
{
	char lacks[STORE_WHY_MAX];
	int r = store_probe(data_fd, lacks);

	if (r == -EOPNOTSUPP)
		store_say(why, "the filesystem of %.200s lacks what a mount needs: %.200s", path, lacks);
	else if (r < 0)
		store_say(why, "cannot try the filesystem of %.200s: %s", path, strerror(-r));
	else if (lacks[0] != '\0')
		store_say(why, "the filesystem of %.200s cannot keep: %.280s", path, lacks);
	return r;
}

int store_create(const char *path, const struct keyring *keyring, const struct store_keys *keys,
		 char why[STORE_WHY_MAX])
{
	char dir[PATH_MAX];
	AUTO(making_undo) struct making m = {.dir_fd = -1};

	why[0] = 0;
	int r = making_begin(&m, path, why);
	if (r < 0)
		return r;
	r = making_write(&m, keyring, keys);
	if (r < 0) {
		store_say(why, "cannot write the new store %.300s: %s", path, strerror(-r));
		return r;
	}
	AUTO(auto_close) int data_fd = store_open_part(m.dir_fd, STORE_DATA);
	r = data_fd < 0 ? data_fd : store_case_check(data_fd, m.path, why);
	if (r == 0)
		r = making_try(data_fd, m.path, why);
	if (r < 0)
		return r;
	r = pin_file_write(m.path, keyring);
	if (r < 0) {
		int n = pin_file_dir(dir, sizeof(dir));
		store_say(why, "cannot write the pin of %.200s in %.200s: %s", path,
			  n < 0 ? "the state directory" : dir, strerror(-r));
		return r;
	}
	m.done = true;
	return 0;
}
