/* SPDX-License-Identifier: BSD-2-Clause */
/* A store in use: the session from mount to unmount. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "fs/store/probe.h"
#include "fs/store/borrow.h"
#include "fs/store/live.h"
#include "fs/store/journal.h"
#include "fs/store/journal_read.h"
#include "fs/store/pin_file.h"
#include "fs/store/replay.h"
#include "fs/store/session_mark.h"
#include "fs/store/slots.h"
#include "fs/store/store.h"
#include "fs/store/store_own.h"
#include "fs/store/undo.h"
#include "fs/store/written.h"
#include "kms/gate.h"

#define JOURNAL_RING (16u << 20)

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

/* What the last session left: its record (NULL: none) and its list. */
struct found {
	uint8_t *record;
	size_t len;
	struct leeway_file list;
};

static void found_free(struct found *f)
{
	free(f->record);
	free(f->list.bytes);
}

/* What was found, in words. */
static void session_tell(const struct store *s, bool readable, bool found, const struct session_verdict *v,
			 store_log_fn log)
{
	if (v->stale)
		note(log, LOG_WARNING,
		     "the session record of %s is older than this host has seen, or gone: it was put back. Nothing is "
		     "tolerated for it; if you restored the store from a copy, use --accept-older-session",
		     s->path);
	else if (!readable)
		note(log, LOG_WARNING,
		     "the session record of %s is %s: treated as after a crash until `byokfs verify` has passed",
		     s->path, found ? "damaged" : "missing");
	else if (v->older)
		note(log, LOG_NOTICE, "%s is an older state than this host has seen: restored from a copy?", s->path);
}

/* When this system was started, in seconds since 1970; 0 when it does not say. */
static uint64_t booted(void)
{
	struct timespec now = {0}, up = {0};

	if (clock_gettime(CLOCK_REALTIME, &now) < 0 || clock_gettime(CLOCK_BOOTTIME, &up) < 0)
		return 0;
	return now.tv_sec > up.tv_sec ? (uint64_t)(now.tv_sec - up.tv_sec) : 0;
}

/* Whose ends the session that broke off may have left unfinished; and the key of the next one's list. */
static int leeway_take(struct store *s, const struct store_keys *keys, const struct found *f,
		       const struct session_verdict *v, store_log_fn log)
{
	struct leeway_how how = {
		.session = s->left_session, .accept = s->accept_session, .listed = v->listed, .booted = booted()};

	store_boot_id(how.boot_id);
	if (s->disk_lost) /* as good as a restart */
		how.boot_id[0] ^= 1;
	leeway_free(&s->leeway);
	int r = v->unclean ? leeway_judge(keys, &f->list, &how, &s->leeway) : 0;
	if (r == 0 && !s->read_only) {
		writing_key_free(s->list_key);
		s->list_key = NULL;
		r = writing_key_new(keys, v->next, &s->list_key);
	}
	if (r == 0 && !s->read_only) {
		journal_key_free(s->journal_key);
		s->journal_key = NULL;
		r = journal_key_new(keys, v->next, &s->journal_key);
	}
	if (r == 0) {
		lost_key_free(s->lost_key);
		s->lost_key = NULL;
		r = lost_key_new(keys, &s->lost_key);
	}
	if (r == 0 && s->leeway.lost)
		note(log, LOG_WARNING,
		     "the list of files that were being written in %s was taken away or altered: no unfinished end is "
		     "tolerated; if you restored the store from a copy, use --accept-older-session",
		     s->path);
	else if (r == 0 && s->leeway.all && !s->accept_session)
		note(log, LOG_NOTICE,
		     "%s has no list of the files that were being written: every unfinished end is tolerated until "
		     "`byokfs verify` has passed",
		     s->path);
	return r;
}

/* Has the disk lost what the session that broke off wrote last, though the machine went on? */
static bool disk_behind(const struct store *s, const struct found *f)
{
	AUTO(auto_close) int fd = s->live_path ? store_open_file(s->own_fd, STORE_INFLIGHT, O_RDONLY) : -1;
	const struct live_disk d = {.slots = fd, .slot_len = s->slot_len, .list = f->list.bytes};

	return s->live_path && live_ahead(s->live_path, s->last_session, &d);
}

/* Who cannot keep a record does without: only a disk that loses writes alone is noticed less well then. */
static void live_begin(struct store *s, store_log_fn log)
{
	int r = s->live_path ? live_open(s->live_path, s->session.number, &s->live) : 0;

	if (r)
		note(log, LOG_NOTICE, "cannot keep %s: %s", s->live_path, strerror(-r));
}

/* The last session's record, and what this host remembers of it: how the next one begins. */
static int session_read(struct store *s, const struct store_keys *keys, const struct found *f, store_log_fn log)
{
	const uint8_t *record = f->record;
	struct session last = {0};
	struct session_mark mark;
	struct session_verdict v;
	int r = !record ? -EBADMSG : session_parse(keys, record, f->len, &last);

	if (r < 0 && r != -EBADMSG)
		return r;
	int known = session_mark_read(s, &mark);
	if (known < 0 && known != -ENOENT)
		note(log, LOG_WARNING, "this host's mark of the last session of %s cannot be used: %s", s->path,
		     strerror(-known));
	session_judge(r == 0 ? &last : NULL, known == 0 ? &mark : NULL, s->accept_session, &v);
	session_tell(s, r == 0, record != NULL, &v, log);
	s->unclean = v.unclean;
	s->stale = v.stale;
	s->last_session = r == 0 ? last.number : 0;
	/* without a record it is the one that this host knows of */
	s->left_session = s->last_session ? s->last_session : v.next - 1;
	s->disk_lost = v.unclean && disk_behind(s, f);
	if (s->disk_lost)
		note(log, LOG_WARNING,
		     "the disk of %s has lost its last writes: treated as after a power cut, what no fsync "
		     "acknowledged may be gone",
		     s->path);
	s->session = (struct session){.number = v.next, .state = SESSION_OPEN, .dirty_since = v.dirty_since};
	return leeway_take(s, keys, f, &v, log);
}

/* After the store's own record: a crash in between leaves a record that is newer than the mark, which is believed. */
static void mark_put(const struct store *s, enum session_mark_state state, store_log_fn log)
{
	const struct session_mark m = {
		.number = s->session.number, .state = state, .listed = state == SESSION_MARK_OPEN && s->written};
	int r = session_mark_put(s, &m);

	if (r < 0)
		note(log, LOG_WARNING,
		     "this host cannot remember the session of %s (%s): an old record put back will not be noticed",
		     s->path, strerror(-r));
}

/* Read the old record, make the new one and the one that will end it. Keys are borrowed for this only. */
static int session_records(struct store *s, struct gate *g, uint8_t open_record[SESSION_LEN], store_log_fn log)
{
	AUTO(found_free) struct found f = {0};
	AUTO(borrow_end) struct borrow b = {0};

	int r = store_read_file(s->own_fd, STORE_SESSION, SESSION_LEN, &f.record, &f.len);
	if (r < 0 && r != -ENOENT && r != -EFBIG && r != -EUCLEAN)
		return r;
	r = leeway_read(s->own_fd, &f.list);
	if (r < 0)
		return r;
	r = borrow_store(&b, g, GATE_USE_NEW);
	if (r < 0)
		return r;
	r = session_read(s, b.store, &f, log);
	const struct session clean = {.number = s->session.number, .state = SESSION_CLEAN};
	if (r == 0)
		r = session_write(b.store, &clean, s->session_clean);
	if (r == 0)
		r = session_write(b.store, &s->session, open_record);
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
	AUTO(auto_close) int fd = store_open_own(s->own_fd, STORE_SESSION, O_WRONLY);
	if (fd < 0)
		return fd == -ENOENT ? r : fd;
	r = store_pwrite_full(fd, record, SESSION_LEN, 0);
	return r == 0 && fsync(fd) < 0 ? -errno : r;
}

/* The list of this session, before its record: a crash in between leaves both, and both count. */
static int list_begin(struct store *s, store_log_fn log)
{
	const struct written_config cfg = {
		.own_fd = s->own_fd,
		.data_fd = s->data_fd,
		.session = s->session.number,
		.carry = s->unclean ? &s->leeway : NULL,
		.live = s->live,
		.log = log,
	};
	int r = written_open(&cfg, s->list_key, &s->written);

	if (r == 0)
		s->list_key = NULL;
	if (r != -ENOSPC && r != -EDQUOT)
		return r;
	note(log, LOG_WARNING,
	     "no room for the list of files being written in %s: after a crash unfinished ends are tolerated "
	     "everywhere",
	     s->path);
	return 0;
}

/* Before this session's record: until then a crash leaves the journal to be read once more. */
static int undo(struct store *s, struct gate *g, store_log_fn log, struct undo_done *done)
{
	const struct undo u = {.store = s, .gate = g, .log = log};
	int r = s->unclean ? undo_all(&u, done) : 0;

	if (r == 0 && done->files)
		note(log, LOG_NOTICE, "%s: %zu files were half written and are as they were when they were last synced",
		     s->path, done->files);
	return r;
}

/* What went back is told until the store is whole. */
static int list_undone(struct store *s, const struct undo_done *done)
{
	int r = 0;

	for (size_t i = 0; i < done->files && r == 0; i++) {
		r = leeway_add_back(&s->leeway, done->file[i].file_id);
		if (r == 0 && s->written)
			r = written_back(s->written, done->file[i].file_id, done->file[i].ino);
	}
	return r;
}

static int journal_begin(struct store *s, store_log_fn log)
{
	const struct journal_config cfg = {
		.own_fd = s->own_fd,
		.session = s->session.number,
		.ring_len = JOURNAL_RING,
		.ring_min = journal_ring_min(&s->keyring->layout),
		.log = log,
	};
	int r = journal_open(&cfg, s->journal_key, &s->journal);

	if (r == 0)
		s->journal_key = NULL;
	return r;
}

/* What earlier mounts have lost: told, and known to this one. */
static int lost_begin(struct store *s, store_log_fn log)
{
	const struct lost_config cfg = {
		.own_fd = s->own_fd,
		.data_fd = s->data_fd,
		.session = s->session.number,
		.last_session = s->last_session,
		.expected = s->keyring->ro_compat & FEATURE_RO_LOST,
		.read_only = s->read_only,
		.log = log,
	};
	struct lost_counts n;

	bool told = s->lost; /* it was begun for reading, and is for writing now */
	lost_free(s->lost);
	s->lost = NULL;
	int r = lost_open(&cfg, s->lost_key, &s->lost);
	if (r)
		return r;
	s->lost_key = NULL;
	lost_count(s->lost, &n);
	if (told)
		return 0;
	if (n.altered)
		note(log, LOG_WARNING,
		     "the list of what was lost in %s was taken away, altered or put back: what it named may read as "
		     "if "
		     "nothing had happened, until `byokfs verify --repair` has looked",
		     s->path);
	if (n.overflowed)
		note(log, LOG_WARNING, "%s has lost more than the list of it has room for", s->path);
	if (n.ranges)
		note(log, LOG_WARNING,
		     "%llu ranges of %llu files of %s were lost by an earlier mount, and read as errors until they are "
		     "written again: `byokfs verify` names them",
		     (unsigned long long)n.ranges, (unsigned long long)n.files, s->path);
	return 0;
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
	r = lost_begin(s, log);
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

/* What `init` says where it was made is said again where it lies by now. Beside data/, whose times are the user's. */
static void tell_lacks(const struct store *s, store_log_fn log)
{
	char lacks[STORE_WHY_MAX];
	int r = store_probe(s->own_fd, lacks);

	if (lacks[0] != '\0')
		note(log, r < 0 ? LOG_WARNING : LOG_NOTICE, "the filesystem of %.200s %s: %.250s", s->path,
		     r < 0 ? "lacks what a mount needs" : "cannot keep", lacks);
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
	tell_lacks(s, log);
	*step = "repair the keyring of";
	if ((r = keyring_repair(s, log)) < 0)
		return r;
	pin_update(s, log);
	*step = "complete the writes that a crash cut off (-o ro mounts it without) in";
	if ((r = replay_all(s, log, &replayed)) < 0)
		return r;
	*step = "put back what was half written in";
	AUTO(undo_done_free) struct undo_done undone = {0};
	if ((r = undo(s, g, log, &undone)) < 0)
		return r;
	*step = "make " STORE_OWN "/" STORE_INFLIGHT " of";
	live_begin(s, log);
	const struct slots_config slots = {s->own_fd, s->slot_len, s->session.number, s->live, log};
	if ((r = slots_open(&slots, &s->slots)) < 0)
		return r;
	if (s->unclean)
		note(log, LOG_NOTICE,
		     "%s was not unmounted cleanly (%u writes completed): run `byokfs verify` when it is not mounted",
		     s->path, replayed);
	*step = "make " STORE_OWN "/" STORE_WRITING " of";
	if ((r = list_begin(s, log)) < 0 || (r = list_undone(s, &undone)) < 0)
		return r;
	if ((r = journal_begin(s, log)) < 0)
		return r;
	*step = "make " STORE_OWN "/" STORE_LOST " of";
	if ((r = lost_begin(s, log)) < 0)
		return r;
	*step = "write the session of";
	if ((r = session_put(s, record)) < 0)
		return r;
	live_begun(s->live);
	mark_put(s, s->stale ? SESSION_MARK_DOUBTED : SESSION_MARK_OPEN, log);
	return 0;
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

/* What became of the keyring's copies while it was in use: without one of them nobody opens the store again. */
static void keyring_keep(const struct store *s)
{
	static const char *const name[STORE_COPIES] = {STORE_KEYRING, STORE_KEYRING_COPY};

	for (size_t i = 0; i < STORE_COPIES; i++) {
		AUTO(auto_free) uint8_t *buf = NULL;
		struct keyring *k = NULL;
		size_t len = 0;
		int r = store_read_file(s->own_fd, name[i], KEYRING_LEN_MAX, &buf, &len);

		if (r == 0)
			r = keyring_parse(buf, len, &k);
		keyring_free(k);
		/* another one that is well-formed may be newer, and stays */
		if (r == -ENOENT || r == -EUCLEAN || r == -EFBIG)
			(void)(store_write_file(s->own_fd, name[i], s->keyring->bytes, s->keyring->len, 0600) == 0);
	}
}

/*
 * What was written, and the ends that were mended, in this mount or one before: durable, before they count as whole. After a clean end
 * nothing is tolerated; and who unmounts pulls out the disk.
 */
static int session_end(struct store *s, bool verified)
{
	if (s->read_only || s->session.state != SESSION_OPEN)
		return 0;
	int r = syncfs(s->data_fd) < 0 ? -errno : 0;
	if (r < 0 || s->stale || (s->unclean && !verified))
		return r;
	r = session_put(s, s->session_clean);
	if (r < 0)
		return r;
	s->session.state = SESSION_CLEAN;
	(void)(journal_forget(s) == 0); /* what it has counts for nothing after a clean end */
	mark_put(s, SESSION_MARK_CLEAN, NULL);
	return 0;
}

int store_end(struct store *s, bool verified)
{
	/* The record was sealed at the beginning: the gate may be locked by now, with no key to seal one. */
	if (s->slots)
		keyring_keep(s);
	slots_free(s->slots);
	s->slots = NULL;
	written_free(s->written);
	s->written = NULL;
	journal_close(s->journal);
	s->journal = NULL;
	lost_free(s->lost);
	s->lost = NULL;
	int r = session_end(s, verified);
	/* a disk that is gone has neither the clean end nor, maybe, what went before it */
	live_free(s->live, s->session.state == SESSION_CLEAN);
	s->live = NULL;
	return r;
}
