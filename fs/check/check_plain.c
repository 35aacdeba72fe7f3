/* SPDX-License-Identifier: BSD-2-Clause */
/* Checking one object without the key: size, header and final head look as they must. The store may be mounted meanwhile. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "crypto/header.h"
#include "fs/check/check_own.h"
#include "fs/store/store_own.h"

#define FINDING(c, s) (&(struct check_finding){.code = (c), .severity = (s)})

/* What one look at a file found; `text` NULL: nothing. */
struct look {
	enum check_code code;
	const char *text;
	int severity;
	struct header header;
	bool has_id;
};

static void look_bad(struct look *l, enum check_code code, const char *text)
{
	l->code = code;
	l->text = text;
	l->severity = CHECK_DAMAGE;
}

static void look_header(struct check_run *run, int fd, struct look *l)
{
	uint8_t bytes[HEADER_LEN_FILE];
	int r = store_pread_full(fd, bytes, run->layout->header_len, 0);
	if (r) {
		look_bad(l, CHECK_IO, "its header cannot be read");
		return;
	}
	r = header_parse(bytes, run->layout->header_len, &l->header);
	if (r == -ENOTSUP)
		look_bad(l, CHECK_HEADER, "its header is of a newer version");
	else if (r)
		look_bad(l, CHECK_HEADER, "its header is malformed");
	l->has_id = !r;
}

static void look_end(struct check_run *run, int fd, uint64_t size, struct look *l)
{
	uint8_t head[FINAL_OVERHEAD];
	struct final_head parsed;
	uint64_t no = size / run->layout->block_len;
	int r = store_pread_full(fd, head, sizeof(head), layout_record_off(run->layout, no));
	if (r)
		look_bad(l, CHECK_IO, "its end cannot be read");
	else if (final_head_parse(run->layout, head, sizeof(head), &parsed) || block_is_zero(head, sizeof(head)) ||
		 parsed.tail_len != size % run->layout->block_len)
		look_bad(l, CHECK_END, "cut, unfinished, or its end was altered: no final record where its size says");
	if (l->code == CHECK_END && run->unclean)
		l->severity = CHECK_CRASH;
}

static void look_once(struct check_run *run, int fd, const struct stat *st, struct look *l)
{
	uint64_t size;
	memset(l, 0, sizeof(*l));
	enum object_type type = layout_classify(run->layout, (uint64_t)st->st_size, &size);
	if (type >= OBJECT_SYMLINK)
		return;
	if (type == OBJECT_STUMP) {
		look_bad(l, CHECK_STUMP,
			 run->unclean ? "an empty file: a create that a crash cut off"
				      : "emptied: not even a header is left");
		l->severity = run->unclean ? CHECK_CRASH : CHECK_DAMAGE;
		return;
	}
	if (type == OBJECT_BAD) {
		look_bad(l, CHECK_SIZE, "no object has such a size: cut, unfinished, or not made by byokfs");
		l->severity = run->unclean ? CHECK_CRASH : CHECK_DAMAGE;
		return;
	}
	look_header(run, fd, l);
	if (!l->text)
		look_end(run, fd, size, l);
}

static int same(const struct stat *a, const struct stat *b)
{
	return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
	       a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* 1 if the file stood still while it was looked at (or nothing was wrong with it). */
static int look_still(struct check_run *run, int fd, struct stat *st, struct look *l)
{
	for (int i = 0; i < CHECK_TRIES; i++) {
		struct stat after;
		look_once(run, fd, st, l);
		if (!l->text)
			return 1;
		if (i)
			usleep(20000); /* a write in flight is longer than two looks */
		if (fstat(fd, &after) < 0 || (i && same(st, &after)))
			return 1;
		*st = after;
	}
	return 0;
}

void check_file_plain(struct check_work *w, const struct check_at *at)
{
	struct check_run *run = w->run;
	AUTO(auto_close) int fd = -1;
	struct stat st;
	struct look l;
	enum check_seen seen = CHECK_NEW;
	fd = check_open(run, at, &st);
	if (fd < 0)
		return;
	uint64_t size;
	int special = layout_classify(run->layout, (uint64_t)st.st_size, &size) >= OBJECT_SYMLINK;
	check_count(run, &(struct check_counts){
				 .files = !special, .specials = (uint64_t)special, .bytes = run->layout->header_len});
	if (!look_still(run, fd, &st, &l)) {
		check_count(run, &(struct check_counts){.busy = 1});
		return;
	}
	if (l.text && st.st_nlink > 0)
		check_say(run, at, FINDING(l.code, (enum check_severity)l.severity), "%s", l.text);
	if (l.has_id && check_ids_add(&run->ids, l.header.file_id, &st, &seen))
		check_stop(run, -ENOMEM);
	if (seen == CHECK_OTHER)
		check_say(run, at, FINDING(CHECK_COPY, CHECK_DAMAGE), "a copy of another file: both have the same id");
	if (seen != CHECK_SAME)
		check_xattrs(run, at, fd, NULL);
}
