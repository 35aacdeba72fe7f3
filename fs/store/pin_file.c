/* SPDX-License-Identifier: BSD-2-Clause */
/* The pin on disk: file names say for which path and which store. */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "fs/store/pin_file.h"
#include "fs/store/store_own.h"

#define PIN_SUFFIX ".pin"
#define PIN_NAME_MAX 128
#define PIN_TAIL_LEN (2 * ID_LEN + sizeof(PIN_SUFFIX) - 1) /* "<store id>.pin" */
#define PIN_PATH_MAX 4096

static const char *home_dir(void)
{
	const char *home = secure_getenv("HOME");
	if (home && home[0] == '/')
		return home;
	const struct passwd *pw = getpwuid(geteuid());
	return pw && pw->pw_dir && pw->pw_dir[0] == '/' ? pw->pw_dir : NULL;
}

int pin_file_dir(char *out, size_t len)
{
	const char *own = secure_getenv("BYOKFS_STATE_DIR"), *xdg = secure_getenv("XDG_STATE_HOME");
	int n;

	if (own && own[0] == '/')
		n = snprintf(out, len, "%s", own);
	else if (geteuid() == 0)
		n = snprintf(out, len, "/var/lib/byokfs");
	else if (xdg && xdg[0] == '/')
		n = snprintf(out, len, "%s/byokfs", xdg);
	else if (home_dir() != NULL)
		n = snprintf(out, len, "%s/.local/state/byokfs", home_dir());
	else
		return -ENOENT;
	return n < 0 || (size_t)n >= len ? -ENAMETOOLONG : 0;
}

void store_path_hash(const char *text, char out[17])
{
	uint64_t h = 0xcbf29ce484222325ull;

	for (const char *p = text; *p != 0; p++)
		h = (h ^ (uint8_t)*p) * 0x100000001b3ull;
	snprintf(out, 17, "%016llx", (unsigned long long)h);
}

/*
 * "backup-0123456789abcdef-" and the store id in hex: the last part of the path for people, the hash of the whole path
 * and the id for us. PREFIX_LEN bytes of it name the path.
 */
static size_t pin_name(const char *store_path, const uint8_t store_id[ID_LEN], char out[PIN_NAME_MAX])
{
	char part[40], hash[17], hex[2 * ID_LEN + 1];
	const char *last = strrchr(store_path, '/');
	size_t n = 0;

	for (const char *p = last ? last + 1 : store_path; *p != 0 && n < sizeof(part) - 1; p++) {
		char c = *p;
		int fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
		part[n++] = (char)(fine ? c : '_');
	}
	part[n] = 0;
	store_path_hash(store_path, hash);
	store_id_hex(store_id, hex);
	snprintf(out, PIN_NAME_MAX, "%s-%s-%s" PIN_SUFFIX, part, hash, hex);
	return n + 1 + 16 + 1;
}

/* Who may write here, or a file here, may tell us which KMS to trust: only root and we. */
static bool others_may_write(const struct stat *st)
{
	return (st->st_uid != 0 && st->st_uid != geteuid()) || (st->st_mode & (S_IWGRP | S_IWOTH));
}

static int state_dir_open(int create)
{
	char path[PIN_PATH_MAX];
	struct stat st;
	int r = pin_file_dir(path, sizeof(path));
	if (r < 0)
		return r;
	if (create && (r = store_make_dirs(path)) < 0)
		return r;
	AUTO(auto_close) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (others_may_write(&st))
		return -EPERM;
	int keep = fd;
	fd = -1;
	return keep;
}

int pin_file_dir_make(char *out, size_t len)
{
	AUTO(auto_close) int fd = state_dir_open(1);

	return fd < 0 ? fd : pin_file_dir(out, len);
}

static int pin_read_at(int dir_fd, const char *name, struct pin **out)
{
	AUTO(auto_free) uint8_t *buf = NULL;
	size_t len;
	struct stat st;
	if (store_stat(dir_fd, name, &st) == 0 && others_may_write(&st))
		return -EPERM;
	int r = store_read_file(dir_fd, name, PIN_LEN_MAX, &buf, &len);
	if (r == -EFBIG)
		return -EUCLEAN;
	if (r < 0)
		return r;
	return pin_parse(buf, len, out);
}

/* What a walk over the pins looks for and finds. */
struct pin_search {
	char name[PIN_NAME_MAX]; /* the name that path and id would have */
	size_t prefix_len;
	bool any_id;      /* the id does not count, the path must match */
	unsigned at_path; /* pins of the path, of whatever store */
	bool exact;       /* one of them is of this store */
	struct pin *found;
	int error;
};

static void pin_search_take(struct pin_search *q, int dir_fd, const char *name)
{
	struct pin *p = NULL;
	size_t n = strlen(name), want = strlen(q->name);
	int same_path = strncmp(name, q->name, q->prefix_len) == 0;
	int same_id = n >= PIN_TAIL_LEN && strcmp(name + n - PIN_TAIL_LEN, q->name + want - PIN_TAIL_LEN) == 0;

	if (same_path && n == want)
		q->at_path++;
	if (strcmp(name, q->name) == 0)
		q->exact = true;
	if (n < PIN_TAIL_LEN || !(q->any_id ? same_path && n == want : same_id))
		return;
	int r = pin_read_at(dir_fd, name, &p);
	/* A damaged pin of the same store for another path is no reason to refuse. */
	if (r < 0 && same_path)
		q->error = r;
	if (r < 0)
		return;
	/* The name is only a hint; the id inside counts. */
	char own[PIN_NAME_MAX];
	pin_name("", p->store_id, own);
	int fits = strcmp(own + strlen(own) - PIN_TAIL_LEN, name + n - PIN_TAIL_LEN) == 0;
	int better = fits && (!q->found || p->sequence > q->found->sequence);
	pin_free(better ? q->found : p);
	if (better)
		q->found = p;
}

static int pin_search_run(struct pin_search *q)
{
	AUTO(auto_close) int fd = state_dir_open(0);
	if (fd < 0)
		return fd;
	AUTO(store_dir_close) DIR *d = store_dir_open(fd);
	if (!d)
		return -errno;
	for (const struct dirent *e; (e = readdir(d));)
		pin_search_take(q, fd, e->d_name);
	if (q->error < 0) {
		pin_free(q->found);
		q->found = NULL;
	}
	return q->error;
}

int pin_file_find(const char *store_path, const uint8_t store_id[ID_LEN], struct pin **out)
{
	struct pin_search q = {0};

	q.prefix_len = pin_name(store_path, store_id, q.name);
	int r = pin_search_run(&q);
	if (r < 0)
		return r;
	if (q.at_path > 0 && !q.exact) {
		pin_free(q.found);
		return -EMEDIUMTYPE;
	}
	*out = q.found;
	return q.found ? 0 : -ENOENT;
}

int pin_file_only(const char *store_path, struct pin **out)
{
	static const uint8_t no_id[ID_LEN];
	struct pin_search q = {.any_id = true};

	q.prefix_len = pin_name(store_path, no_id, q.name);
	int r = pin_search_run(&q);
	if (r < 0)
		return r;
	if (q.at_path != 1 || !q.found) {
		pin_free(q.found);
		return -ENOENT;
	}
	*out = q.found;
	return 0;
}

static int pin_bytes(const struct keyring *k, uint8_t **buf, size_t *len)
{
	struct pin p = {.sequence = k->sequence, .n_refs = k->n_slots, .keyring = k->bytes, .keyring_len = k->len};
	AUTO(auto_free) char(*ref)[KEYRING_REF_MAX + 1] = calloc(k->n_slots, sizeof(*ref));
	if (!ref)
		return -ENOMEM;
	for (uint32_t i = 0; i < k->n_slots; i++)
		memcpy(ref[i], k->slot[i].ref, sizeof(*ref));
	memcpy(p.store_id, k->store_id, ID_LEN);
	p.ref = ref;
	return pin_write(&p, buf, len);
}

static int pin_put(const char *store_path, const uint8_t store_id[ID_LEN], const uint8_t *buf, size_t len)
{
	char name[PIN_NAME_MAX];
	AUTO(auto_free) uint8_t *old = NULL;
	size_t old_len;
	AUTO(auto_close) int fd = state_dir_open(1);
	if (fd < 0)
		return fd;
	pin_name(store_path, store_id, name);
	int r = store_read_file(fd, name, PIN_LEN_MAX, &old, &old_len);
	if (r == 0 && old_len == len && memcmp(old, buf, len) == 0)
		return 0;
	return store_write_file(fd, name, buf, len, 0600);
}

int pin_file_write(const char *store_path, const struct keyring *k)
{
	AUTO(auto_free) uint8_t *buf = NULL;
	size_t len;
	int r = pin_bytes(k, &buf, &len);
	return r < 0 ? r : pin_put(store_path, k->store_id, buf, len);
}

int pin_file_import(const char *store_path, const struct pin *p)
{
	AUTO(auto_free) uint8_t *buf = NULL;
	size_t len;
	int r = pin_write(p, &buf, &len);
	return r < 0 ? r : pin_put(store_path, p->store_id, buf, len);
}

int pin_file_known(const uint8_t store_id[ID_LEN], struct pin **out)
{
	return pin_file_find("", store_id, out); /* no store has that path: the id alone decides */
}

static int name_is_pin(const struct dirent *e)
{
	size_t n = strlen(e->d_name);

	return n >= PIN_TAIL_LEN && strcmp(e->d_name + n - (sizeof(PIN_SUFFIX) - 1), PIN_SUFFIX) == 0;
}

int pin_file_each(void (*each)(void *arg, const char *name, const struct pin *p, int error), void *arg)
{
	struct dirent **entry = NULL;
	AUTO(auto_close) int fd = state_dir_open(0);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	int n = scandirat(fd, ".", &entry, name_is_pin, alphasort);
	if (n < 0)
		return -errno;
	for (int i = 0; i < n; i++) {
		struct pin *p = NULL;
		int r = pin_read_at(fd, entry[i]->d_name, &p);

		each(arg, entry[i]->d_name, r < 0 ? NULL : p, r);
		pin_free(r < 0 ? NULL : p);
		free(entry[i]);
	}
	free(entry);
	return 0;
}

int pin_file_forget(const uint8_t store_id[ID_LEN])
{
	char own[PIN_NAME_MAX];
	AUTO(auto_close) int fd = state_dir_open(0);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	AUTO(store_dir_close) DIR *d = store_dir_open(fd);
	if (!d)
		return -errno;
	pin_name("", store_id, own);
	for (const struct dirent *e; (e = readdir(d));) {
		size_t n = strlen(e->d_name);
		if (n < PIN_TAIL_LEN || strcmp(e->d_name + n - PIN_TAIL_LEN, own + strlen(own) - PIN_TAIL_LEN) != 0)
			continue;
		if (unlinkat(fd, e->d_name, 0) < 0)
			return -errno;
	}
	return 0;
}

/* The pin's name with ENDING for ".pin". */
static int name_beside(const char *store_path, const uint8_t store_id[ID_LEN], const char *ending, char *name)
{
	pin_name(store_path, store_id, name);
	size_t n = strlen(name) - (sizeof(PIN_SUFFIX) - 1);
	return snprintf(name + n, PIN_NAME_MAX - n, "%s", ending) >= (int)(PIN_NAME_MAX - n) ? -ENAMETOOLONG : 0;
}

int pin_file_beside(const char *store_path, const uint8_t store_id[ID_LEN], const char *ending, int flags)
{
	char name[PIN_NAME_MAX];
	AUTO(auto_close) int fd = state_dir_open((flags & O_CREAT) != 0);
	if (fd < 0)
		return fd;
	struct stat st;
	int r = name_beside(store_path, store_id, ending, name);
	if (r == 0 && store_stat(fd, name, &st) == 0 && others_may_write(&st))
		r = -EPERM;
	return r < 0 ? r : store_open_file(fd, name, flags);
}

int pin_file_put_beside(const char *store_path, const uint8_t store_id[ID_LEN], const char *ending, const void *buf,
			size_t len)
{
	char name[PIN_NAME_MAX];
	AUTO(auto_close) int fd = state_dir_open(1);
	if (fd < 0)
		return fd;
	int r = name_beside(store_path, store_id, ending, name);
	return r < 0 ? r : store_write_file(fd, name, buf, len, 0600);
}

int pin_file_host_lock(const uint8_t store_id[ID_LEN])
{
	char hex[2 * ID_LEN + 1], name[sizeof("store-.lock") + 2 * ID_LEN];
	AUTO(auto_close) int fd = state_dir_open(1);

	if (fd < 0)
		return fd;
	store_id_hex(store_id, hex);
	snprintf(name, sizeof(name), "store-%s.lock", hex);
	return store_open_file(fd, name, O_RDWR | O_CREAT);
}
