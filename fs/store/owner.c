/* SPDX-License-Identifier: BSD-2-Clause */
/* The one owner of a store: the kernel's lock, and a text that says who it is. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "crypto/json.h"
#include "fs/store/pin_file.h"
#include "fs/store/store.h"
#include "fs/store/store_own.h"

#define OWNER_LEN_MAX 8192

/* Owner lock. The kernel's lock is the truth and dies with its process; the file's text is for messages only. */

int store_owner_parse(const char *text, struct store_owner *out)
{
	const char *pid = strchr(text, '\n');
	const char *mountpoint = pid ? strchr(pid + 1, '\n') : NULL;

	if (!mountpoint)
		return -ENOENT;
	char *end = NULL;
	long n = strtol(pid + 1, &end, 10);
	size_t host_len = (size_t)(pid - text), path_len = strlen(mountpoint + 1);
	if (end != mountpoint || n <= 0 || n > INT_MAX || host_len == 0 || host_len >= sizeof(out->host) ||
	    path_len >= sizeof(out->mountpoint))
		return -ENOENT;
	memcpy(out->host, text, host_len);
	out->host[host_len] = 0;
	memcpy(out->mountpoint, mountpoint + 1, path_len + 1);
	out->pid = (int)n;
	text_plain(out->host);
	text_plain(out->mountpoint);
	return 0;
}

/* Who says that he owns it. Unknown is "?": the lock is held all the same. */
static void owner_read(int own_fd, struct store_owner *out)
{
	AUTO(auto_free) uint8_t *text = NULL;
	size_t len;

	memset(out, 0, sizeof(*out));
	memcpy(out->host, "?", 2);
	if (store_read_file(own_fd, STORE_LOCK, OWNER_LEN_MAX, &text, &len) == 0 &&
	    store_owner_parse((char *)text, out) < 0)
		memcpy(out->host, "?", 2);
}

static int owner_write(int fd, const char *mountpoint)
{
	char text[OWNER_LEN_MAX], host[256] = "";

	if (gethostname(host, sizeof(host) - 1) < 0 || host[0] == 0)
		memcpy(host, "?", 2);
	int n = snprintf(text, sizeof(text), "%s\n%d\n%s", host, (int)getpid(), mountpoint);
	if (n < 0 || (size_t)n >= sizeof(text))
		return -ENAMETOOLONG;
	/* Over the last owner's text: its block is there already, and a full disk must not keep a store from being mounted. */
	int r = store_pwrite_full(fd, text, (size_t)n, 0);
	if (r == 0 && ftruncate(fd, n) < 0)
		r = -errno;
	return r == -ENOSPC || r == -EDQUOT ? 0 : r;
}

/* A store that cannot be written (O_RDONLY) is shared among readers; who writes excludes everyone. */
static int owner_open(const struct store *s, short *type)
{
	*type = F_WRLCK;
	int fd = store_open_own(s->own_fd, STORE_LOCK, O_RDWR | O_CREAT);
	if (s->read_only && (fd == -EROFS || fd == -EACCES || fd == -EUCLEAN)) {
		*type = F_RDLCK;
		fd = store_open_file(s->own_fd, STORE_LOCK, O_RDONLY);
	}
	return fd;
}

static int lock_refusal(const struct store *s, int r, char why[STORE_WHY_MAX])
{
	struct store_owner o;

	if (r == -EAGAIN || r == -EACCES) {
		owner_read(s->own_fd, &o);
		snprintf(why, STORE_WHY_MAX,
			 "the store %.120s is in use by process %d on %.60s%s%.180s: unmount it there first", s->path,
			 o.pid, o.host, o.mountpoint[0] != 0 ? ", mounted on " : "", o.mountpoint);
		return -EBUSY;
	}
	if (r == -EUCLEAN) {
		snprintf(why, STORE_WHY_MAX,
			 "cannot lock %.300s/" STORE_OWN "/" STORE_LOCK
			 ": it is a link, or has a second name, and writing would change another file. Remove it",
			 s->path);
		return r;
	}
	snprintf(why, STORE_WHY_MAX, "cannot lock %.300s/" STORE_OWN "/" STORE_LOCK ": %s%s", s->path, strerror(-r),
		 r == -EROFS ? " (mount it with -o ro)" : "");
	return r;
}

/* Read before the lock was ours: an owner who came between may have changed it, and ours would overwrite his. */
static int keyring_unchanged(const struct store *s)
{
	AUTO(auto_free) uint8_t *buf = NULL;
	const struct store_copy *c = s->copies->chosen;
	size_t len;

	if (c == &s->copies->copy[STORE_COPIES])
		return 0;
	int r = store_read_file(s->own_fd, c->name, KEYRING_LEN_MAX, &buf, &len);
	if (r < 0)
		return r;
	return len == s->keyring->len && memcmp(buf, s->keyring->bytes, len) == 0 ? 0 : -EAGAIN;
}

/* The text of the host's lock FD: its path is that of the store. */
static void copy_read(int fd, struct store_owner *out)
{
	char text[OWNER_LEN_MAX];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = 0;
	if (store_owner_parse(text, out) < 0)
		*out = (struct store_owner){.host = "?", .mountpoint = "?"};
}

static void copy_refusal(const struct store *s, int fd, char why[STORE_WHY_MAX])
{
	struct store_owner o;

	copy_read(fd, &o);
	snprintf(why, STORE_WHY_MAX,
		 "another copy of the store %.120s, with the same id, is mounted for writing by process %d: %.180s. "
		 "The two "
		 "would go separate ways; if that is meant, mount with --allow-copy, or one of them with -o ro",
		 s->path, o.pid, o.mountpoint);
}

/* Two copies of one store that are written at once are noticed by nobody but the host on which both are mounted. */
static int copy_lock(struct store *s, const char *mountpoint, char why[STORE_WHY_MAX])
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	if (mountpoint[0] == 0 || s->read_only)
		return 0;
	AUTO(auto_close) int fd = pin_file_host_lock(s->keyring->store_id);
	if (fd < 0)
		return 0; /* no place for it: then there is none for the pin either, and that is told */
	if (fcntl(fd, F_OFD_SETLK, &lock) == 0) {
		int r = owner_write(fd, s->path);
		s->host_fd = fd;
		fd = -1;
		return r;
	}
	if ((errno != EAGAIN && errno != EACCES) || s->copies->how.allow_copy)
		return 0;
	copy_refusal(s, fd, why);
	return -EBUSY;
}

int store_lock(struct store *s, const char *mountpoint, char why[STORE_WHY_MAX])
{
	struct flock lock = {.l_whence = SEEK_SET};

	why[0] = 0;
	if (s->lock_fd >= 0)
		return 0;
	AUTO(auto_close) int fd = owner_open(s, &lock.l_type);
	/* -EACCES of the open is not that of the lock: it means permission. */
	if (fd == -EACCES) {
		snprintf(why, STORE_WHY_MAX, "you may not write to the store %.300s", s->path);
		return -EACCES;
	}
	if (fd < 0)
		return lock_refusal(s, fd, why);
	if (fcntl(fd, F_OFD_SETLK, &lock) < 0)
		return lock_refusal(s, -errno, why);
	int r = keyring_unchanged(s);
	if (r < 0) {
		snprintf(why, STORE_WHY_MAX,
			 "the keyring of %.300s has just been changed by another process: try again", s->path);
		return r;
	}
	r = copy_lock(s, mountpoint, why);
	if (r < 0)
		return r;
	r = lock.l_type == F_WRLCK ? owner_write(fd, mountpoint) : 0;
	if (r < 0) {
		snprintf(why, STORE_WHY_MAX, "cannot write %.300s/" STORE_OWN "/" STORE_LOCK ": %s", s->path,
			 strerror(-r));
		return r;
	}
	s->lock_fd = fd;
	fd = -1;
	return 0;
}

/* Does somebody hold the lock of FD for writing, or for reading? Negative errno. */
static int is_held(int fd)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	if (fcntl(fd, F_OFD_GETLK, &lock) < 0)
		return -errno;
	return lock.l_type != F_UNLCK;
}

int store_owner(const struct store *s, struct store_owner *out)
{
	AUTO(auto_close) int fd = store_open_file(s->own_fd, STORE_LOCK, O_RDONLY);
	if (fd < 0)
		return fd;
	int r = is_held(fd);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	owner_read(s->own_fd, out);
	return 0;
}

int store_copy_owner(const struct store *s, struct store_owner *out)
{
	AUTO(auto_close) int fd = pin_file_host_lock(s->keyring->store_id);
	if (fd < 0)
		return -ENOENT;
	int r = is_held(fd);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	copy_read(fd, out);
	return 0;
}
