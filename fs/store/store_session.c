/* SPDX-License-Identifier: BSD-2-Clause */
/* A store in use: its one owner, the session from mount to unmount, the mapped in-flight slots. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "fs/store/borrow.h"
#include "fs/store/pin_file.h"
#include "fs/store/replay.h"
#include "fs/store/store.h"
#include "fs/store/store_own.h"
#include "kms/gate.h"

#define OWNER_LEN_MAX 8192

/* Owner lock. The kernel's lock is the truth and dies with its process; the file's text is for messages only. */

static int owner_parse(const char *text, struct store_owner *out)
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
	store_printable(out->host);
	store_printable(out->mountpoint);
	return 0;
}

/* Who says that he owns it. Unknown is "?": the lock is held all the same. */
static void owner_read(int own_fd, struct store_owner *out)
{
	AUTO(auto_free) uint8_t *text = NULL;
	size_t len;

	memset(out, 0, sizeof(*out));
	memcpy(out->host, "?", 2);
	if (store_read_file(own_fd, STORE_LOCK, OWNER_LEN_MAX, &text, &len) == 0 && owner_parse((char *)text, out) < 0)
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
	int fd = store_open_file(s->own_fd, STORE_LOCK, O_RDWR | O_CREAT);
	if (s->read_only && (fd == -EROFS || fd == -EACCES)) {
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

int store_owner(const struct store *s, struct store_owner *out)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	AUTO(auto_close) int fd = store_open_file(s->own_fd, STORE_LOCK, O_RDONLY);
	if (fd < 0)
		return fd;
	if (fcntl(fd, F_OFD_GETLK, &lock) < 0)
		return -errno;
	if (lock.l_type == F_UNLCK)
		return -ENOENT;
	owner_read(s->own_fd, out);
	return 0;
}

/* Beginning */

static void note(store_log_fn log, int priority, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void note(store_log_fn log, int priority, const char *format, ...)
{
	char text[STORE_WHY_MAX];
	va_list ap;

	if (!log)
		return;
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	log(priority, text);
}

/* The box has opened: this copy is the good one, the others follow it. */
static int keyring_repair(const struct store *s, store_log_fn log)
{
	const struct store_copies *cs = s->copies;

	for (size_t i = 0; i < STORE_COPIES; i++) {
		const struct store_copy *c = &cs->copy[i];
		if (c == cs->chosen || (i == 1 && cs->same))
			continue;
		note(log, LOG_WARNING, "keyring copy %s was %s: written again from %s", c->name,
		     c->error == -ENOENT ? "missing"
		     : c->error < 0      ? "damaged"
					 : "not the same",
		     cs->chosen->name);
		int r = store_write_file(s->own_fd, c->name, s->keyring->bytes, s->keyring->len, 0600);
		if (r < 0 && r != -ENOSPC && r != -EDQUOT)
			return r;
		if (r < 0)
			note(log, LOG_WARNING,
			     "keyring copy %s could not be written (%s): the store depends on one copy", c->name,
			     strerror(-r));
	}
	return 0;
}

static void pin_update(const struct store *s, store_log_fn log)
{
	struct pin *old = NULL;
	int r = pin_file_find(s->path, s->keyring->store_id, &old);

	int older = r == 0 && old->sequence > s->keyring->sequence;

	if (older)
		note(log, LOG_WARNING,
		     "an older keyring of %s was accepted by order: change %llu, this host had seen %llu", s->path,
		     (unsigned long long)s->keyring->sequence, (unsigned long long)old->sequence);
	pin_free(r == 0 ? old : NULL);
	r = older ? pin_file_forget(s->keyring->store_id) : 0;
	if (r == 0)
		r = pin_file_write(s->path, s->keyring);
	if (r < 0)
		note(log, LOG_WARNING, "cannot write this host's pin of %s (%s): the next mount needs --kms again",
		     s->path, strerror(-r));
}

/* The last session's record. Unreadable counts as unclean: it says nothing, so nothing may be assumed. */
static int session_read(struct store *s, const struct store_keys *keys, const uint8_t *record, size_t len,
			store_log_fn log)
{
	struct session last = {0};
	int r = !record ? -EBADMSG : session_parse(keys, record, len, &last);

	if (r < 0 && r != -EBADMSG)
		return r;
	if (r == -EBADMSG)
		note(log, LOG_WARNING,
		     "the session record of %s is %s: treated as after a crash until `byokfs verify` has passed",
		     s->path, !record ? "missing" : "damaged");
	s->unclean = r == -EBADMSG || last.state != SESSION_CLEAN;
	s->session.number = last.number + 1;
	s->session.state = SESSION_OPEN;
	s->session.dirty_since = s->session.number;
	if (s->unclean && last.dirty_since != 0)
		s->session.dirty_since = last.dirty_since;
	return 0;
}

/* Read the old record, make the new one and the one that will end it. Keys are borrowed for this only. */
static int session_records(struct store *s, struct gate *g, uint8_t open_record[SESSION_LEN], store_log_fn log)
{
	AUTO(auto_free) uint8_t *record = NULL;
	AUTO(borrow_end) struct borrow b = {0};
	size_t len = 0;

	int r = store_read_file(s->own_fd, STORE_SESSION, SESSION_LEN, &record, &len);
	if (r < 0 && r != -ENOENT && r != -EFBIG && r != -EUCLEAN)
		return r;
	r = borrow_store(&b, g, GATE_USE_NEW);
	if (r < 0)
		return r;
	r = session_read(s, b.store, record, len, log);
	const struct session clean = {.number = s->session.number, .state = SESSION_CLEAN};
	if (r == 0)
		r = session_write(b.store, &clean, s->session_clean);
	if (r == 0)
		r = session_write(b.store, &s->session, open_record);
	return r;
}

static int inflight_map(struct store *s)
{
	size_t len = INFLIGHT_SLOTS * s->slot_len;
	struct stat st;
	int fd = store_open_file(s->own_fd, STORE_INFLIGHT, O_RDWR);

	if (fd == -EUCLEAN)
		return fd;
	/* Sparse counts as absent: a full disk would be SIGBUS in the mapping. */
	if (fd >= 0 && (fstat(fd, &st) < 0 || (size_t)st.st_size != len || (uint64_t)st.st_blocks * 512 < len))
		auto_close(&fd);
	if (fd < 0) {
		int r = store_inflight_make(s->own_fd, s->slot_len);
		if (r < 0)
			return r;
		fd = store_open_file(s->own_fd, STORE_INFLIGHT, O_RDWR);
	}
	if (fd < 0)
		return fd;
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	int r = p == MAP_FAILED ? -errno : 0;
	close(fd);
	if (r == 0)
		s->inflight = p;
	return r;
}

/*
 * A session record, durable. On a full disk it is written in place: less than a sector, of a file that has its block; a
 * full store must be mountable, if only to delete from it.
 */
static int session_put(const struct store *s, const uint8_t record[SESSION_LEN])
{
	int r = store_write_file(s->own_fd, STORE_SESSION, record, SESSION_LEN, 0600);
	if (r != -ENOSPC && r != -EDQUOT)
		return r;
	AUTO(auto_close) int fd = store_open_file(s->own_fd, STORE_SESSION, O_WRONLY);
	if (fd < 0)
		return fd == -ENOENT ? r : fd;
	r = store_pwrite_full(fd, record, SESSION_LEN, 0);
	return r == 0 && fsync(fd) < 0 ? -errno : r;
}

/* Temporary files that a crash left in STORE/byokfs. */
static void sweep(const struct store *s)
{
	AUTO(store_dir_close) DIR *d = store_dir_open(s->own_fd);
	if (!d)
		return;
	for (const struct dirent *e; (e = readdir(d));)
		if (strncmp(e->d_name, STORE_TMP_PREFIX, strlen(STORE_TMP_PREFIX)) == 0)
			unlinkat(s->own_fd, e->d_name, 0);
}

/* A store that is only read: nothing of it is written, so what a crash left stays and is told. */
static int begin_read_only(struct store *s, struct gate *g, store_log_fn log)
{
	uint8_t record[SESSION_LEN];
	int r = session_records(s, g, record, log);
	if (r < 0)
		return r;
	r = replay_pending(s);
	if (r > 0)
		note(log, LOG_WARNING,
		     "%s has %d unfinished writes of a crashed mount: some blocks may read as I/O errors until it "
		     "was mounted for writing once",
		     s->path, r);
	pin_update(s, log);
	return r < 0 ? r : 0;
}

static int begin(struct store *s, struct gate *g, store_log_fn log, const char **step)
{
	uint8_t record[SESSION_LEN];
	unsigned replayed = 0;

	*step = "read the session of";
	int r = session_records(s, g, record, log);
	if (r < 0)
		return r;
	sweep(s);
	*step = "repair the keyring of";
	if ((r = keyring_repair(s, log)) < 0)
		return r;
	pin_update(s, log);
	*step = "complete the writes that a crash cut off (-o ro mounts it without) in";
	if ((r = replay_all(s, log, &replayed)) < 0)
		return r;
	*step = "map " STORE_OWN "/" STORE_INFLIGHT " of";
	if ((r = inflight_map(s)) < 0)
		return r;
	if (s->unclean)
		note(log, LOG_NOTICE,
		     "%s was not unmounted cleanly (%u writes completed): run `byokfs verify` when it is not mounted",
		     s->path, replayed);
	*step = "write the session of";
	return session_put(s, record);
}

int store_begin(struct store *s, struct gate *g, store_log_fn log, char why[STORE_WHY_MAX])
{
	const char *step = "begin to use";

	why[0] = 0;
	int r = s->read_only ? begin_read_only(s, g, log) : begin(s, g, log, &step);
	if (r < 0)
		snprintf(why, STORE_WHY_MAX, "cannot %s the store %.300s: %s", step, s->path, strerror(-r));
	return r;
}

int store_end(struct store *s, bool verified)
{
	/* The record was sealed at the beginning: the gate may be locked by now, with no key to seal one. */
	if (s->inflight)
		munmap(s->inflight, INFLIGHT_SLOTS * s->slot_len);
	s->inflight = NULL;
	if (s->read_only || s->session.state != SESSION_OPEN || (s->unclean && !verified))
		return 0;
	int r = session_put(s, s->session_clean);
	if (r == 0)
		s->session.state = SESSION_CLEAN;
	return r;
}
