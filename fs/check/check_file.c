/* SPDX-License-Identifier: BSD-2-Clause */
/* Checking one object of data/ with the key: header, end, blocks, or the record of a special object. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "crypto/special.h"
#include "fs/check/check_own.h"
#include "fs/store/borrow.h"
#include "fs/store/store_own.h"

#define FINDING(c, s) (&(struct check_finding){.code = (c), .severity = (s)})

int check_open(struct check_run *run, const struct check_at *at, struct stat *st)
{
	int fd = store_open_lifted(at->dir->fd, at->name, O_RDONLY);
	if (fd == -ENOENT && !run->cfg->gate)
		return -1; /* gone meanwhile, from a mounted store */
	int r = fd < 0 ? fd : fstat(fd, st) < 0 ? -errno : 0;
	if (!r)
		return fd;
	if (r == -EMFILE || r == -ENFILE || r == -ENOMEM)
		check_stop(run, r);
	else
		check_say(run, at, FINDING(CHECK_IO, CHECK_DAMAGE), "cannot be opened: %s", strerror(-r));
	auto_close(&fd);
	return -1;
}

/* A create cut off: complete it, or say so. */
static void say_stump(struct check_run *run, const struct check_at *at, bool excused)
{
	struct check_finding f = {.code = CHECK_STUMP, .severity = excused ? CHECK_CRASH : CHECK_DAMAGE};
	if (run->repair && excused)
		f.repaired = check_fill_stump(run, at) == 0;
	check_say(run, at, &f,
		  f.repaired ? "a create that a crash cut off; it is an empty file now"
		  : excused  ? "a create that a crash cut off: an empty file"
			     : "emptied: not even a header is left");
}

/* A mount has found this end unfinished and sealed it, or the file half written and put it back: it is whole, and something is gone. */
static void say_mended(struct check_run *run, const struct check_at *at, const uint8_t file_id[ID_LEN])
{
	const struct writing_entry *e = run->unclean ? leeway_mended(run->leeway, file_id) : NULL;
	if (e)
		check_say(run, at,
			  &(struct check_finding){.code = CHECK_END, .severity = CHECK_CRASH, .repaired = true},
			  "left unfinished by a crash, and sealed by a mount, which cut %" PRIu64 " bytes on disk off",
			  e->value);
	if (run->unclean && leeway_back(run->leeway, file_id))
		check_say(run, at,
			  &(struct check_finding){.code = CHECK_END, .severity = CHECK_CRASH, .repaired = true},
			  "half written when the machine went down, and put back as it was when it was last synced");
}

static void say_header(struct check_work *w, const struct check_at *at, int r)
{
	struct check_run *run = w->run;
	if (check_locked(run, r))
		return;
	if (r == -ENOKEY)
		check_say(run, at, FINDING(CHECK_KEY, CHECK_DAMAGE),
			  "the keyring does not know the key that its header names");
	else if (r == -EACCES)
		check_say(run, at, FINDING(CHECK_KEY, CHECK_DAMAGE), "the KMS refuses the key of this file");
	else if (r == -ENOTSUP)
		check_say(run, at, FINDING(CHECK_HEADER, CHECK_DAMAGE), "its header is of a newer version");
	else if (r == -EUCLEAN)
		check_say(run, at, FINDING(CHECK_HEADER, CHECK_DAMAGE), "its header is malformed");
	else if (r == -EBADMSG)
		check_say(run, at, FINDING(CHECK_HEADER, CHECK_DAMAGE),
			  "its header does not authenticate: altered, or of another store");
	else
		check_say(run, at, FINDING(CHECK_KEY, CHECK_DAMAGE), "its key cannot be had: %s", strerror(-r));
}

/* A regular file while it is looked at. */
struct opened {
	int fd;
	struct stat st;
	uint8_t bytes[HEADER_LEN_FILE];
	struct header header;
	struct gate_key *key;
};

static void opened_end(struct opened *o)
{
	gate_key_close(o->key);
	auto_close(&o->fd);
}

/* Read the header, look whether the file was seen before, get the key. 0, 1 nothing more to do, or reported and -1. */
static int file_begin(struct check_work *w, const struct check_at *at, struct opened *o)
{
	struct check_run *run = w->run;
	enum check_seen seen = CHECK_NEW;
	int r = store_pread_full(o->fd, o->bytes, run->layout->header_len, 0);
	if (r) {
		check_say(run, at, FINDING(CHECK_IO, CHECK_DAMAGE), "its header cannot be read: %s", strerror(-r));
		return -1;
	}
	r = header_parse(o->bytes, run->layout->header_len, &o->header);
	if (!r)
		r = gate_key_open(run->cfg->gate, o->bytes, &o->key);
	if ((r == -EUCLEAN && check_blank_stump(run, at, o->fd, &o->st)) ||
	    ((r == -EUCLEAN || r == -EBADMSG || r == -ENOTSUP || r == -ENOKEY) && check_made(run, at, o->fd, NULL))) {
		say_stump(run, at, true);
		return 1;
	}
	if (r) {
		say_header(w, at, r);
		return -1;
	}
	r = check_ids_add(&run->ids, o->header.file_id, &o->st, &seen);
	if (r)
		check_stop(run, r);
	if (seen == CHECK_OTHER)
		check_say(run, at, FINDING(CHECK_COPY, CHECK_DAMAGE), "a copy of another file: both have the same id");
	return seen == CHECK_SAME || r;
}

/* The end is not where the size says, or an earlier one was met. */
static void say_end(struct check_run *run, struct check_target *t, int early)
{
	struct check_finding f = {.code = CHECK_END,
				  .severity = t->excused ? CHECK_CRASH : CHECK_DAMAGE,
				  .in_blocks = true,
				  .block = t->end.blocks,
				  .last = t->end.blocks};
	if (run->repair && t->excused)
		f.repaired = check_seal_end(run, t) == 0;
	const char *what = early        ? "an earlier end of the file lies before its end"
			   : t->excused ? "left unfinished by a crash"
					: "cut, or its end was altered";
	if (f.repaired)
		check_say(run, t->at, &f,
			  "%s: sealed after %" PRIu64 " blocks, what was cut off is kept in " CHECK_LOST, what,
			  t->end.blocks);
	else
		check_say(run, t->at, &f, "%s: it is whole up to block %" PRIu64, what, t->end.blocks);
}

/* Find the end: at its place, or where the crash left it. 0, or -1 when there is nothing to go on with. */
static int find_end(struct check_work *w, struct check_target *t, const struct stat *st)
{
	struct check_run *run = w->run;
	struct final_head head;
	uint64_t size;
	enum object_type type = layout_classify(run->layout, (uint64_t)st->st_size, &size);
	uint64_t no = size / run->layout->block_len;
	int r = type == OBJECT_FILE ? recover_final_at(&t->file, no, &head) : 0;
	if (r == 1 && head.tail_len == size % run->layout->block_len) {
		t->end = (struct recover_end){
			.blocks = no, .disk_size = (uint64_t)st->st_size, .flags = head.flags, .sealed = true};
		return 0;
	}
	r = r < 0 ? r : recover_find(&t->file, &t->end);
	if (!r) {
		say_end(run, t, 0);
		return 0;
	}
	if (check_locked(run, r))
		return -1;
	if (r == -EBADMSG)
		check_say(run, t->at, FINDING(CHECK_END, CHECK_DAMAGE),
			  "cut or overwritten: neither its end nor any block authenticates");
	else
		check_say(run, t->at, FINDING(CHECK_IO, CHECK_DAMAGE), "its end cannot be read: %s", strerror(-r));
	return -1;
}

static void check_regular(struct check_work *w, const struct check_at *at, struct opened *o)
{
	struct check_run *run = w->run;
	check_count(run, &(struct check_counts){.files = 1});
	if (file_begin(w, at, o))
		return;
	struct check_target t = {
		.at = at,
		.file = {.fd = o->fd,
			 .layout = run->layout,
			 .gate = run->cfg->gate,
			 .key = o->key,
			 .made = check_made(run, at, o->fd, o->header.file_id)},
		.file_id = o->header.file_id,
		.excused = run->unclean && leeway_file(run->leeway, o->header.file_id, &o->st),
	};
	say_mended(run, at, o->header.file_id);
	check_lost(run, at, &(struct lost_of){o->header.file_id, (uint64_t)o->st.st_ino});
	check_header(run, at, &t.file, o->bytes, &o->header);
	check_xattrs(run, at, o->fd, o->header.file_id);
	if (find_end(w, &t, &o->st))
		return;
	int r = check_blocks(w, &t);
	if (r == 1)
		say_end(run, &t, 1);
	else if (r && !check_locked(run, r))
		check_say(run, at, FINDING(CHECK_IO, CHECK_DAMAGE), "its contents cannot be checked: %s", strerror(-r));
}

/* 1 if nothing but zeros follows the record, whose length stands in it. */
static int blank_behind(struct check_work *w, const struct opened *o, size_t len)
{
	struct special_head head;
	if (special_peek(w->cipher, len, &head))
		return 0;
	uint64_t off = head.record_len, size = (uint64_t)o->st.st_size;
	size_t room = w->room * w->record_len;
	while (off < size) {
		size_t n = size - off < room ? (size_t)(size - off) : room;
		if (store_pread_full(o->fd, w->cipher, n, off))
			return 1; /* not a finding: the object itself is whole */
		if (!block_is_zero(w->cipher, n))
			return 0;
		off += n;
	}
	return 1;
}

/* Nothing of it can be told, not even to who would remove it through the mount: so a repair takes it out of the way. */
static void say_special(struct check_run *run, const struct check_at *at, int r)
{
	struct check_finding f = {.code = r == -EBADMSG ? CHECK_SPECIAL : CHECK_IO, .severity = CHECK_DAMAGE};

	if (run->repair && r == -EBADMSG)
		f.repaired = check_move_lost(run, at) == 0;
	check_say(run, at, &f, "a symlink, fifo, socket or device node that does not open: %s%s",
		  r == -EBADMSG ? "it does not authenticate" : strerror(-r),
		  f.repaired ? "; moved to " CHECK_LOST : "");
}

/* Nobody was told that it was made. */
static void say_cut_off(struct check_run *run, const struct check_at *at)
{
	struct check_finding f = {.code = CHECK_STUMP, .severity = CHECK_CRASH};

	f.repaired = run->repair && unlinkat(at->dir->fd, at->name, 0) == 0;
	check_say(run, at, &f, "a symlink, fifo, socket or device node that a crash cut off while it was made%s",
		  f.repaired ? "; removed" : "");
}

/* A special object: the record at its front, and nothing behind it. */
static void check_special(struct check_work *w, const struct check_at *at, struct opened *o, enum object_type type)
{
	struct check_run *run = w->run;
	size_t len = (size_t)o->st.st_size < SPECIAL_RECORD_MAX ? (size_t)o->st.st_size : SPECIAL_RECORD_MAX;
	struct borrow b = {0};
	struct special s;
	check_count(run, &(struct check_counts){.specials = 1, .bytes = len});
	int r = store_pread_full(o->fd, w->cipher, len, 0);
	if (!r)
		r = borrow_store(&b, run->cfg->gate, GATE_USE_NEW);
	if (!r)
		r = special_open(b.store, type, w->cipher, len, &s);
	borrow_end(&b);
	if (check_locked(run, r))
		return;
	if (r == -EBADMSG && check_made(run, at, o->fd, NULL)) {
		say_cut_off(run, at);
		return;
	}
	if (r) {
		say_special(run, at, r);
		return;
	}
	if (!blank_behind(w, o, len))
		check_say(run, at, FINDING(CHECK_SPECIAL, CHECK_NOTE),
			  "there is something behind the record of a special object");
	enum check_seen seen = CHECK_NEW;
	r = check_ids_add(&run->ids, s.object_id, &o->st, &seen);
	if (r)
		check_stop(run, r);
	if (seen == CHECK_OTHER)
		check_say(run, at, FINDING(CHECK_COPY, CHECK_DAMAGE),
			  "a copy of another special object: both have the same id");
	if (seen != CHECK_SAME)
		check_xattrs(run, at, o->fd, s.object_id);
}

/* A file cut to the length of a special object: it has a header at its front. */
static bool is_cut_file(int fd)
{
	uint8_t front[HEADER_MAGIC_LEN];
	return store_pread_full(fd, front, sizeof(front), 0) == 0 && header_begins(front);
}

/* A mount looks at sizes: it takes a file cut to this one for a special object that does not open, and cannot remove it. */
static void move_unreachable(struct check_run *run, const struct check_at *at, int fd)
{
	struct check_finding f = {.code = CHECK_SPECIAL, .severity = CHECK_DAMAGE};
	struct stat st;
	uint64_t size;

	/* an end that was sealed has another length by now */
	if (fstat(fd, &st) < 0 || layout_classify(run->layout, (uint64_t)st.st_size, &size) < OBJECT_SYMLINK)
		return;
	f.repaired = check_move_lost(run, at) == 0;
	if (f.repaired)
		check_say(run, at, &f, "as long as a symlink, fifo, socket or device node; moved to " CHECK_LOST);
}

void check_file(struct check_work *w, const struct check_at *at)
{
	AUTO(opened_end) struct opened o = {.fd = -1};
	uint64_t size;
	o.fd = check_open(w->run, at, &o.st);
	if (o.fd < 0)
		return;
	enum object_type type = layout_classify(w->run->layout, (uint64_t)o.st.st_size, &size);
	if (type == OBJECT_STUMP || (uint64_t)o.st.st_size < w->run->layout->header_len)
		say_stump(w->run, at, check_excused(w->run, at, &o.st));
	else if (type >= OBJECT_SYMLINK && !is_cut_file(o.fd))
		check_special(w, at, &o, type);
	else
		check_regular(w, at, &o); /* a size that no object has is an end not to be found */
	if (type >= OBJECT_SYMLINK && w->run->repair && is_cut_file(o.fd))
		move_unreachable(w->run, at, o.fd);
}
