/* SPDX-License-Identifier: BSD-2-Clause */
/* Appending to the audit log with room kept in reserve, the host's end record, reading pieces of a hostile file. */
#include "fs/audit/audit_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "fs/store/pin_file.h"
#include "fs/store/store_own.h"

#define END_SUFFIX ".audit"
#define WINDOW (2 * AUDIT_LINE_MAX)
#define TORN_MAX (1u << 20)

/* The end record */

static int end_read_fd(int fd, const uint8_t store_id[ID_LEN], struct audit_end *out)
{
	uint8_t buf[AUDIT_END_LEN];
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size == 0)
		return -ENOENT; /* made, and then the machine stopped */
	if (st.st_size != (off_t)sizeof(buf))
		return -EUCLEAN;
	int r = store_pread_full(fd, buf, sizeof(buf), 0);
	if (r == 0)
		r = audit_end_parse(buf, sizeof(buf), out);
	return r == 0 && memcmp(out->store_id, store_id, ID_LEN) != 0 ? -EUCLEAN : r;
}

int audit_end_read(const struct store *s, struct audit_end *out)
{
	AUTO(auto_close) int fd = pin_file_beside(s->path, s->keyring->store_id, END_SUFFIX, O_RDONLY);

	return fd < 0 ? fd : end_read_fd(fd, s->keyring->store_id, out);
}

int audit_file_remember(struct audit_file *f, const struct audit_end *end)
{
	uint8_t buf[AUDIT_END_LEN];

	f->end = *end;
	if (f->end_fd < 0)
		return -ENOENT;
	audit_end_write(end, buf);
	int r = store_pwrite_full(f->end_fd, buf, sizeof(buf), 0);
	return r == 0 && fdatasync(f->end_fd) < 0 ? -errno : r;
}

/* How the log was found */

/* The complete line that ends at offset END of the file: 0 and what it says, -EBADMSG. */
static int line_ending_at(int fd, uint64_t end, struct audit_line *out)
{
	char buf[WINDOW];
	size_t n = end < sizeof(buf) ? (size_t)end : sizeof(buf);

	if (n < 2)
		return -EBADMSG;
	int r = store_pread_full(fd, buf, n, end - n);
	if (r < 0)
		return r;
	const char *before = memrchr(buf, '\n', n - 1);
	if (buf[n - 1] != '\n' || (!before && n < end))
		return -EBADMSG;
	const char *from = before ? before + 1 : buf;
	r = audit_line_parse(from, (size_t)(buf + n - 1 - from), out);
	out->time = out->event = out->members = NULL; /* they would lead into our buffer */
	return r;
}

/*
 * Bytes behind the last newline. One write tears less than a line; a file that has no newline for much longer than that is not our
 * work and may be of any length, so only the last TORN_MAX bytes of it are looked at.
 */
static int torn_bytes(int fd, uint64_t size, uint64_t *torn)
{
	char buf[WINDOW];

	for (uint64_t end = size; end > 0 && size - end < TORN_MAX;) {
		size_t n = end < sizeof(buf) ? (size_t)end : sizeof(buf);
		int r = store_pread_full(fd, buf, n, end - n);
		if (r < 0)
			return r;
		const char *last = memrchr(buf, '\n', n);
		if (last) {
			*torn = size - (end - n + (uint64_t)(last + 1 - buf));
			return 0;
		}
		end -= n;
	}
	*torn = size < TORN_MAX ? size : TORN_MAX;
	return 0;
}

/* What the host remembers is there, where it was. */
static bool end_is_there(int fd, uint64_t size, const struct audit_end *e)
{
	struct audit_line l = {0};

	return e->length <= size && line_ending_at(fd, e->length, &l) == 0 && l.session == e->session &&
	       l.line == e->line && memcmp(l.mac, e->mac, MAC_LEN) == 0;
}

static int look(struct audit_file *f)
{
	struct audit_line last = {0};
	struct stat st = {0};

	if (f->fd >= 0 && fstat(f->fd, &st) < 0)
		return -errno;
	uint64_t size = (uint64_t)st.st_size;
	f->length = size;
	if (size == 0) {
		f->found = f->end.session != 0 ? AUDIT_MISSING : AUDIT_NEW;
		return 0;
	}
	int r = torn_bytes(f->fd, size, &f->torn);
	if (r < 0)
		return r;
	/* A last line that is none leaves zeros: nothing can be said of it but that the next one follows. */
	if (line_ending_at(f->fd, size - f->torn, &last) == 0)
		memcpy(f->prev, last.mac, MAC_LEN);
	if (f->end.session == 0)
		f->found = AUDIT_UNKNOWN;
	else if (!end_is_there(f->fd, size, &f->end))
		f->found = AUDIT_CUT;
	else
		f->found = f->torn > 0 ? AUDIT_TORN : AUDIT_WHOLE;
	return 0;
}

/* Writing */

/* Where the filesystem has no such call there is no reserve, and what cannot be written is counted. */
static void reserve(struct audit_file *f)
{
	if (f->reserved >= f->length + AUDIT_RESERVE / 2)
		return;
	if (fallocate(f->fd, FALLOC_FL_KEEP_SIZE, (off_t)f->length, AUDIT_RESERVE) == 0)
		f->reserved = f->length + AUDIT_RESERVE;
}

static int log_make(struct audit_file *f)
{
	int fd = store_open_own(f->own_fd, STORE_AUDIT, O_RDWR | O_CREAT);
	if (fd < 0)
		return fd;
	f->fd = fd;
	return fsync(f->own_fd) < 0 ? -errno : 0;
}

int audit_file_open(struct audit_file *f, const struct store *s)
{
	*f = (struct audit_file){.fd = -1, .end_fd = -1, .path = strdup(s->path)};
	f->own_fd = fcntl(s->own_fd, F_DUPFD_CLOEXEC, 0);
	if (f->own_fd < 0 || !f->path)
		return -ENOMEM;
	f->end_fd = pin_file_beside(s->path, s->keyring->store_id, END_SUFFIX, O_RDWR | O_CREAT);
	int r = f->end_fd < 0 ? -ENOENT : end_read_fd(f->end_fd, s->keyring->store_id, &f->end);
	if (r < 0)
		f->end = (struct audit_end){0};
	memcpy(f->end.store_id, s->keyring->store_id, ID_LEN);
	r = log_make(f);
	if (r < 0 && r != -ENOSPC && r != -EDQUOT)
		return r;
	r = look(f);
	if (r == 0 && f->fd >= 0)
		reserve(f);
	return r;
}

void audit_file_close(struct audit_file *f)
{
	free(f->path);
	auto_close(&f->fd);
	auto_close(&f->end_fd);
	auto_close(&f->own_fd);
	f->path = NULL;
}

int audit_file_append(struct audit_file *f, const char *lines, size_t len, struct audit_end *end)
{
	uint64_t at = f->length;
	int r = f->fd < 0 ? log_make(f) : 0;

	if (r == 0 && f->torn > 0)
		r = store_pwrite_full(f->fd, "\n", 1, at++);
	if (r == 0)
		r = store_pwrite_full(f->fd, lines, len, at);
	if (r == 0 && fdatasync(f->fd) < 0)
		r = -errno;
	if (r < 0)
		return r;
	f->torn = 0;
	f->length = at + len;
	end->length = f->length;
	reserve(f);
	return 0;
}

/* Reading */

int audit_reader_open(struct audit_reader *r, int own_fd)
{
	r->off = 0;
	r->at = r->len = 0;
	r->fd = store_open_file(own_fd, STORE_AUDIT, O_RDONLY);
	return r->fd < 0 ? r->fd : 0;
}

void audit_reader_close(struct audit_reader *r)
{
	auto_close(&r->fd);
}

/* More bytes behind those in the buffer: how many, 0 at the end. */
static ssize_t fill(struct audit_reader *r)
{
	if (r->at > 0) {
		memmove(r->buf, r->buf + r->at, r->len - r->at);
		r->off += r->at;
		r->len -= r->at;
		r->at = 0;
	}
	ssize_t n;
	do
		n = pread(r->fd, r->buf + r->len, sizeof(r->buf) - 1 - r->len, (off_t)(r->off + r->len));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	r->len += (size_t)n;
	return n;
}

/* The next offset from OFF on that is not in a hole of FD, where its filesystem tells; the end of the file if there is none. */
static uint64_t skip_hole(int fd, uint64_t off)
{
	off_t data = lseek(fd, (off_t)off, SEEK_DATA);
	off_t end = data < 0 && errno == ENXIO ? lseek(fd, 0, SEEK_END) : data;

	return end > (off_t)off ? (uint64_t)end : off;
}

/* A piece longer than any line: its beginning stays, the rest is passed over. */
static int pass_long(struct audit_reader *r, struct audit_piece *out)
{
	char buf[AUDIT_LINE_MAX];
	uint64_t off = r->off + r->len;
	const char *end = NULL;
	ssize_t n = 1;

	while (!end && n > 0) {
		off = skip_hole(r->fd, off);
		n = pread(r->fd, buf, sizeof(buf), (off_t)off);
		if (n < 0 && errno != EINTR)
			return -errno;
		end = n > 0 ? memchr(buf, '\n', (size_t)n) : NULL;
		off += end ? (uint64_t)(end + 1 - buf) : n > 0 ? (uint64_t)n : 0;
		n = n < 0 ? 1 : n;
	}
	out->too_long = true;
	out->ended = end;
	out->end = off;
	out->len = (size_t)(off - r->off) - (end ? 1 : 0);
	r->buf[AUDIT_LINE_MAX] = 0;
	out->text = r->buf;
	r->off = off;
	r->at = r->len = 0;
	return 1;
}

int audit_reader_next(struct audit_reader *r, struct audit_piece *out)
{
	char *end;

	*out = (struct audit_piece){0};
	while (!(end = memchr(r->buf + r->at, '\n', r->len - r->at))) {
		if (r->at == 0 && r->len == sizeof(r->buf) - 1)
			return pass_long(r, out);
		ssize_t n = fill(r);
		if (n < 0)
			return (int)n;
		if (n > 0)
			continue;
		if (r->len == r->at)
			return 0;
		end = r->buf + r->len;
		break;
	}
	out->ended = end < r->buf + r->len;
	*end = 0;
	out->text = r->buf + r->at;
	out->len = (size_t)(end - out->text);
	out->too_long = out->len >= AUDIT_LINE_MAX;
	r->at += out->len + (size_t)out->ended;
	out->end = r->off + r->at;
	return 1;
}
