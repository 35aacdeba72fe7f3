/* SPDX-License-Identifier: BSD-2-Clause */
/* `byokfs inspect`: show what lies in one file of a store, without a key. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "crypto/header.h"
#include "crypto/keyring.h"
#include "crypto/pin.h"
#include "fs/store/store.h"
#include "tools/cmd.h"
#include "tools/inspect_show.h"

static const char help[] =
	"Usage: byokfs inspect FILE [OPTIONS]\n"
	"Show what can be told of FILE without a key: any file of a store (of data/, or of byokfs/), or a pin.\n"
	"\n"
	"  --json            one JSON object\n"
	"  --block-size N    the store's block size, where FILE lies outside a store\n"
	"  --header-size N   the store's header size, 512 or 4096, likewise\n"
	"  -h, --help        this text\n"
	"\n"
	"Nothing of it is checked with a key: byokfs verify does that. Exit: 0, or 5 if FILE is malformed.\n"
	"\n"
	"Example:\n"
	"  byokfs inspect /srv/backup.store/byokfs/keyring\n";

enum { OPT_JSON = 256, OPT_BLOCK, OPT_HEADER };

static const struct option longs[] = {
	{"json", no_argument, NULL, OPT_JSON},
	{"block-size", required_argument, NULL, OPT_BLOCK},
	{"header-size", required_argument, NULL, OPT_HEADER},
	{"help", no_argument, NULL, 'h'},
	{0},
};

struct inspect {
	const char *path;
	bool json, help;
	struct layout given; /* by options; zeros: not given */
	char dir[PATH_MAX];  /* canonical folder of FILE */
	char name[NAME_MAX + 1];
	char store[PATH_MAX]; /* of the store around FILE, "" if there is none */
	struct inspected in;
};

static void inspect_end(struct inspect *i)
{
	free(i->in.bytes);
	if (i->in.fd >= 0)
		close(i->in.fd);
}

static int option_take(struct inspect *i, int c)
{
	uint64_t n;
	switch (c) {
	case OPT_JSON:
		i->json = true;
		return CMD_OK;
	case OPT_BLOCK:
		return cmd_block_size("inspect", optarg, &i->given.block_len);
	case OPT_HEADER:
		if (cmd_number(optarg, "kK", HEADER_LEN_STORE, HEADER_LEN_FILE, &n) < 0 ||
		    (n != HEADER_LEN_STORE && n != HEADER_LEN_FILE))
			return cmd_usage("inspect", "--header-size is %u or %u, not '%s'", HEADER_LEN_STORE,
					 HEADER_LEN_FILE, optarg);
		i->given.header_len = (uint32_t)n;
		return CMD_OK;
	case 'h':
		i->help = true;
		return CMD_OK;
	default:
		return CMD_USAGE;
	}
}

static int options_read(struct inspect *i, int argc, char **argv)
{
	int c, r = CMD_OK;
	while (r == CMD_OK && !i->help && (c = cmd_option(argc, argv, "h", longs)) != -1)
		r = option_take(i, c);
	if (r != CMD_OK || i->help)
		return r;
	if (optind != argc - 1)
		return cmd_usage("inspect", "%s", optind == argc ? "FILE is missing" : "one FILE only");
	i->path = argv[optind];
	return CMD_OK;
}

/* FILE's folder, all links in the path to it resolved; FILE itself is not followed. */
static int split_path(struct inspect *i)
{
	char copy[PATH_MAX];
	if (snprintf(copy, sizeof(copy), "%s", i->path) >= (int)sizeof(copy))
		return -ENAMETOOLONG;
	const char *last = basename(copy);
	if (strlen(last) >= sizeof(i->name))
		return -ENAMETOOLONG;
	snprintf(i->name, sizeof(i->name), "%s", last);
	snprintf(copy, sizeof(copy), "%s", i->path);
	return realpath(dirname(copy), i->dir) ? 0 : -errno;
}

/* The store that DIR or a folder above it is: its keyring's layout. */
static void find_store(struct inspect *i)
{
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "%s", i->dir);
	while (path[0] == '/') {
		int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
		int own = fd < 0 ? fd : store_openat(fd, STORE_OWN, O_PATH | O_DIRECTORY, 0);
		const char *const name[] = {STORE_KEYRING, STORE_KEYRING_COPY};
		for (size_t n = 0; own >= 0 && n < ARRAY_LEN(name) && !i->store[0]; n++) {
			uint8_t *bytes;
			size_t len;
			struct keyring *k;
			if (store_read_file(own, name[n], KEYRING_LEN_MAX, &bytes, &len))
				continue;
			if (keyring_parse(bytes, len, &k) == 0) {
				i->in.layout = k->layout;
				snprintf(i->store, sizeof(i->store), "%s", path);
				keyring_free(k);
			}
			free(bytes);
		}
		if (own >= 0)
			close(own);
		if (fd >= 0)
			close(fd);
		char *slash = strrchr(path, '/');
		if (i->store[0] || !slash || path[1] == '\0')
			return;
		slash[slash == path] = '\0';
	}
}

/* Why FILE is not one to look into. */
static int not_regular(const struct inspect *i, mode_t mode)
{
	if (S_ISDIR(mode))
		return cmd_fail(CMD_USAGE, "%s is a directory: inspect a file in it, %s/%s for its id", i->path,
				i->path, DIRID_NAME);
	const char *what = S_ISLNK(mode)    ? "a symbolic link"
			   : S_ISFIFO(mode) ? "a fifo"
			   : S_ISSOCK(mode) ? "a socket"
					    : "a device";
	return cmd_fail(i->store[0] ? CMD_DAMAGED : CMD_USAGE, "%s is %s: %s", i->path, what,
			i->store[0] ? "byokfs puts only directories and regular files into a store"
				    : "not a file of a store");
}

static int read_front(struct inspect *i)
{
	/* Files and slots: the front. Keyrings and pins: all of it, and one byte more to see that there is more. */
	i->in.len = i->in.size < PIN_LEN_MAX + 1 ? (size_t)i->in.size : PIN_LEN_MAX + 1;
	i->in.bytes = malloc(i->in.len + 1);
	return i->in.bytes ? store_pread_full(i->in.fd, i->in.bytes, i->in.len, 0) : -ENOMEM;
}

static int cannot_read(const struct inspect *i, int r)
{
	return cmd_fail(cmd_exit_of(r), "cannot read %s: %s", i->path, strerror(-r));
}

static int open_file(struct inspect *i)
{
	AUTO(auto_close) int dir = open(i->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	int r = dir < 0 ? -errno : store_stat(dir, i->name, &st);
	if (r)
		return cannot_read(i, r);
	if (!S_ISREG(st.st_mode))
		return not_regular(i, st.st_mode);
	i->in.fd = store_open_file(dir, i->name, O_RDONLY);
	if (i->in.fd < 0)
		return cannot_read(i, i->in.fd);
	if (fstat(i->in.fd, &st) < 0)
		return cannot_read(i, -errno);
	i->in.size = (uint64_t)st.st_size;
	r = read_front(i);
	return r ? cannot_read(i, r) : CMD_OK;
}

static bool is_long_header(const struct inspected *in)
{
	struct header h;
	return in->len >= HEADER_LEN_FILE && header_parse(in->bytes, HEADER_LEN_FILE, &h) == 0;
}

/* Without a keyring to ask: what a header says, and else what new stores have. */
static enum suite suite_of(const struct inspected *in)
{
	struct header h;
	size_t len = in->layout.header_len;
	return in->len >= len && header_parse(in->bytes, len, &h) == 0 ? (enum suite)h.suite : SUITE_2;
}

/* 0, or what inspect_show() says of it. */
static int show(struct inspect *i, enum inspect_kind kind)
{
	struct emit e = {.out = stdout, .json = i->json};
	emit_open(&e, NULL);
	emit_str(&e, "path", i->path);
	emit_str(&e, "kind", inspect_kind_name(kind));
	if (i->store[0])
		emit_str(&e, "store", i->store);
	if (i->in.len >= 8 && memcmp(i->in.bytes, "BYOKFS", 6) == 0)
		emit_fmt(&e, "format", "%c", i->in.bytes[6] >= '0' && i->in.bytes[6] <= '9' ? i->in.bytes[6] : '?');
	emit_u64(&e, "disk_size", i->in.size);
	int r = inspect_show(&i->in, kind, &e);
	emit_bool(&e, "well_formed", !r);
	emit_close(&e);
	return r;
}

static int inspect(struct inspect *i)
{
	int r = split_path(i);
	if (r)
		return cmd_fail(cmd_exit_of(r), "cannot find %s: %s", i->path, strerror(-r));
	find_store(i);
	if (i->given.block_len)
		i->in.layout.block_len = i->given.block_len;
	if (i->given.header_len)
		i->in.layout.header_len = i->given.header_len;
	int code = open_file(i);
	if (code != CMD_OK)
		return code;
	/* Without a keyring to ask, the length that makes a header of it; one of 512 never reads as one of 4096. */
	if (!i->in.layout.header_len)
		i->in.layout.header_len = is_long_header(&i->in) ? HEADER_LEN_FILE : HEADER_LEN_STORE;
	if (!i->in.layout.suite)
		i->in.layout.suite = suite_of(&i->in);
	i->in.name = i->name;
	enum inspect_kind kind = inspect_kind_of(&i->in);
	if (kind == INSPECT_UNKNOWN && !i->store[0])
		return cmd_fail(CMD_USAGE, "%s is not a file of a store", i->path);
	r = show(i, kind);
	if (r == -ENOTSUP)
		return cmd_fail(CMD_DAMAGED, "%s is of a newer format than this version knows, or damaged", i->path);
	if (r == -EUCLEAN)
		return cmd_fail(CMD_DAMAGED, "%s is malformed: run byokfs verify", i->path);
	return r ? cmd_fail(cmd_exit_of(r), "cannot show %s: %s", i->path, strerror(-r)) : CMD_OK;
}

int cmd_inspect(int argc, char **argv)
{
	AUTO(inspect_end) struct inspect i = {.in.fd = -1};
	int r = options_read(&i, argc, argv);
	if (r == CMD_OK && i.help) {
		fputs(help, stdout);
		return CMD_OK;
	}
	return r == CMD_OK ? inspect(&i) : r;
}
