/* SPDX-License-Identifier: BSD-2-Clause */
/* `byokfs pin`: what this host knows of stores, shown, and carried to another host. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/store/pin_file.h"
#include "fs/store/store.h"
#include "tools/cmd.h"
#include "tools/emit.h"

static const char help[] =
	"Usage: byokfs pin show [STORE] [--json]\n"
	"       byokfs pin export STORE [--file F]\n"
	"       byokfs pin import STORE --file F [--accept-older-keyring]\n"
	"What this host knows of a store, so that no other can be put in its place: its id, the KMS that may be "
	"contacted\n"
	"for it, the newest change of its keyring. It holds no key; who may change it decides which store is trusted.\n"
	"\n"
	"  show                    the pin of STORE, or every pin of this host\n"
	"  export                  the pin of STORE into the new file F, or to standard output\n"
	"  import                  make the pin of another host this host's pin of STORE; F may be '-'\n"
	"  --file F                the file\n"
	"  --accept-older-keyring  import: although this host has seen a newer keyring of that store\n"
	"  --json                  show: for programs\n"
	"  -h, --help              this text\n"
	"\n"
	"Example:\n"
	"  byokfs pin export /srv/backup.store --file backup.pin     on the host that made it\n"
	"  byokfs pin import /mnt/disk/backup.store --file backup.pin     on the one that is to read it\n";

enum { OPT_FILE = 256, OPT_OLDER, OPT_JSON };

static const struct option longs[] = {
	{"file", required_argument, NULL, OPT_FILE},
	{"accept-older-keyring", no_argument, NULL, OPT_OLDER},
	{"json", no_argument, NULL, OPT_JSON},
	{"help", no_argument, NULL, 'h'},
	{0},
};

struct pin_args {
	const char *command, *store, *file;
	bool accept_older, json, help;
};

static void pin_free_at(struct pin **p)
{
	pin_free(*p);
}

/* Finding */

/* The id of the store that lies at PATH; false when there is none that can be read. */
static bool store_id_at(const char *path, uint8_t id[ID_LEN])
{
	const struct store_open how = {.path = path, .no_pin_check = true, .read_only = true};
	char why[STORE_WHY_MAX];
	struct store *s = NULL;

	if (store_open(&how, &s, why) < 0)
		return false;
	memcpy(id, s->keyring->store_id, ID_LEN);
	store_close(s);
	return true;
}

static int pin_refusal(int r, const char *path)
{
	char dir[PATH_MAX];

	if (pin_file_dir(dir, sizeof(dir)) < 0)
		snprintf(dir, sizeof(dir), "the state directory");
	if (r == -ENOENT)
		return cmd_fail(CMD_NOT_FOUND, "this host has no pin of %s in %s", path, dir);
	if (r == -EMEDIUMTYPE)
		return cmd_fail(CMD_NOT_TRUSTED, "the pins in %s name another store at %s", dir, path);
	if (r == -EPERM)
		return cmd_fail(
			CMD_NOT_TRUSTED,
			"%s may be written by others than root and you, so pins in it prove nothing: chmod go-w it",
			dir);
	return cmd_fail(cmd_exit_of(r), "the pin of %s in %s: %s", path, dir,
			r == -EUCLEAN ? "it is damaged" : strerror(-r));
}

/* The pin of the store at PATH, which becomes canonical. */
static int pin_locate(const char *given, char path[PATH_MAX], struct pin **out)
{
	uint8_t id[ID_LEN];

	if (!realpath(given, path))
		return cmd_fail(cmd_exit_of(-errno), "store %s: %s", given, strerror(errno));
	int r = store_id_at(path, id) ? pin_file_find(path, id, out) : pin_file_only(path, out);
	return r < 0 ? pin_refusal(r, path) : CMD_OK;
}

/* show */

static void pin_show(struct emit *e, const struct pin *p)
{
	emit_hex(e, "store_id", p->store_id, ID_LEN);
	emit_u64(e, "change", p->sequence);
	emit_list(e, "kms");
	for (uint32_t i = 0; i < p->n_refs; i++)
		emit_str(e, NULL, p->ref[i]);
	emit_close(e);
}

struct showing {
	struct emit emit;
	int code;
};

static void each_show(void *arg, const char *name, const struct pin *p, int error)
{
	struct showing *s = arg;

	if (!p) {
		s->code = cmd_fail(CMD_DAMAGED, "pin %s: %s", name,
				   error == -EUCLEAN ? "it is damaged" : strerror(-error));
		return;
	}
	emit_open(&s->emit, NULL);
	emit_str(&s->emit, "file", name);
	pin_show(&s->emit, p);
	emit_close(&s->emit);
}

static int show(const struct pin_args *a)
{
	struct showing s = {.emit = {.out = stdout, .json = a->json}};
	AUTO(pin_free_at) struct pin *p = NULL;
	char path[PATH_MAX];

	if (a->store) {
		int r = pin_locate(a->store, path, &p);
		if (r != CMD_OK)
			return r;
		emit_open(&s.emit, NULL);
		pin_show(&s.emit, p);
		emit_close(&s.emit);
		return CMD_OK;
	}
	emit_list(&s.emit, NULL);
	int r = pin_file_each(each_show, &s);
	emit_close(&s.emit);
	return r < 0 ? pin_refusal(r, "any store") : s.code;
}

/* export */

static int bytes_put(int fd, const uint8_t *buf, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, buf, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		buf += n;
		len -= (size_t)n;
	}
	return 0;
}

static int export(const struct pin_args *a)
{
	AUTO(pin_free_at) struct pin *p = NULL;
	AUTO(auto_free) uint8_t *buf = NULL;
	char path[PATH_MAX];
	size_t len;

	int r = pin_locate(a->store, path, &p);
	if (r != CMD_OK)
		return r;
	r = pin_write(p, &buf, &len);
	if (r < 0)
		return cmd_fail(CMD_FAILED, "cannot write the pin: %s", strerror(-r));
	bool to_file = a->file && strcmp(a->file, "-") != 0;
	if (!to_file && isatty(STDOUT_FILENO))
		return cmd_usage("pin", "a pin is not text: name a file with --file");
	if (!to_file)
		r = bytes_put(STDOUT_FILENO, buf, len);
	else {
		AUTO(auto_close) int fd = open(a->file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
		r = fd < 0 ? -errno : bytes_put(fd, buf, len);
		if (r == 0 && fsync(fd) < 0)
			r = -errno;
	}
	return r < 0 ? cmd_fail(cmd_exit_of(r), "cannot write %s: %s", to_file ? a->file : "the output", strerror(-r))
		     : CMD_OK;
}

/* import */

/* A pin as it came, hostile until proved otherwise: whole, and its copy of the keyring is what the rest of it says. */
static int pin_read(const char *file, struct pin **out)
{
	AUTO(auto_free) uint8_t *buf = malloc(PIN_LEN_MAX + 1);
	AUTO(auto_close) int own = strcmp(file, "-") == 0 ? -1 : open(file, O_RDONLY | O_CLOEXEC);
	struct stat st;
	size_t len = 0;
	ssize_t n = 1;

	if (!buf)
		return -ENOMEM;
	if (own < 0 && strcmp(file, "-") != 0)
		return -errno;
	if (own >= 0 && fstat(own, &st) == 0 && ((st.st_uid != 0 && st.st_uid != geteuid()) || (st.st_mode & 022)))
		cmd_warn("%s is, or could have been, written by somebody else: compare the id with what byokfs init "
			 "printed",
			 file);
	while (len <= PIN_LEN_MAX && n > 0) {
		n = read(own < 0 ? STDIN_FILENO : own, buf + len, PIN_LEN_MAX + 1 - len);
		if (n < 0 && errno != EINTR)
			return -errno;
		len += n > 0 ? (size_t)n : 0;
		n = n < 0 ? 1 : n;
	}
	return len > PIN_LEN_MAX ? -EUCLEAN : pin_parse(buf, len, out);
}

static bool pin_agrees(const struct pin *p)
{
	struct keyring *k = NULL;

	if (keyring_parse(p->keyring, p->keyring_len, &k) < 0)
		return false;
	bool good = memcmp(k->store_id, p->store_id, ID_LEN) == 0 && k->sequence == p->sequence &&
		    k->n_slots == p->n_refs;
	for (uint32_t i = 0; good && i < k->n_slots; i++)
		good = pin_has_ref(p, k->slot[i].ref);
	keyring_free(k);
	return good;
}

/* May P become this host's? Never another store's than the one that lies there, and no older one unless told so. */
static int import_check(const struct pin_args *a, const char *path, const struct pin *p)
{
	AUTO(pin_free_at) struct pin *known = NULL;
	uint8_t id[ID_LEN];

	if (!pin_agrees(p))
		return cmd_fail(CMD_DAMAGED, "%s is damaged, or no pin that this version knows", a->file);
	if (store_id_at(path, id) && memcmp(id, p->store_id, ID_LEN) != 0)
		return cmd_fail(CMD_NOT_TRUSTED, "%s is the pin of another store than %s", a->file, path);
	int r = pin_file_known(p->store_id, &known);
	if (r < 0 && r != -ENOENT)
		return pin_refusal(r, path);
	if (r == 0 && known->sequence > p->sequence && !a->accept_older)
		return cmd_fail(CMD_NOT_TRUSTED,
				"%s is older than this host has seen (change %llu, known %llu): --accept-older-keyring "
				"takes it all the same",
				a->file, (unsigned long long)p->sequence, (unsigned long long)known->sequence);
	if (r == 0 && known->sequence > p->sequence)
		r = pin_file_forget(p->store_id);
	return r < 0 && r != -ENOENT ? pin_refusal(r, path) : CMD_OK;
}

static int import(const struct pin_args *a)
{
	AUTO(pin_free_at) struct pin *p = NULL;
	char path[PATH_MAX], hex[2 * ID_LEN + 1];

	if (!realpath(a->store, path))
		return cmd_fail(cmd_exit_of(-errno), "store %s: %s", a->store, strerror(errno));
	int r = pin_read(a->file, &p);
	if (r < 0)
		return cmd_fail(r == -EUCLEAN || r == -ENOTSUP ? CMD_DAMAGED : cmd_exit_of(r), "%s: %s", a->file,
				r == -EUCLEAN || r == -ENOTSUP ? "damaged, or no pin that this version knows"
							       : strerror(-r));
	r = import_check(a, path, p);
	if (r != CMD_OK)
		return r;
	r = pin_file_import(path, p);
	if (r < 0)
		return pin_refusal(r, path);
	store_id_hex(p->store_id, hex);
	cmd_say("This host trusts store %s at %s now.", hex, path);
	return CMD_OK;
}

/* The command line */

static int option_take(struct pin_args *a, int c)
{
	switch (c) {
	case OPT_FILE:
		a->file = optarg;
		return CMD_OK;
	case OPT_OLDER:
		a->accept_older = true;
		return CMD_OK;
	case OPT_JSON:
		a->json = true;
		return CMD_OK;
	case 'h':
		a->help = true;
		return CMD_OK;
	default:
		return CMD_USAGE;
	}
}

static int options_read(struct pin_args *a, int argc, char **argv)
{
	int c, r = CMD_OK;

	while (r == CMD_OK && !a->help && (c = cmd_option(argc, argv, "h", longs)) != -1)
		r = option_take(a, c);
	if (r != CMD_OK || a->help)
		return r;
	if (optind == argc)
		return cmd_usage("pin", "a command is missing: show, export or import");
	a->command = argv[optind++];
	a->store = optind < argc ? argv[optind++] : NULL;
	if (optind < argc)
		return cmd_usage("pin", "one STORE only");
	return CMD_OK;
}

int cmd_pin(int argc, char **argv)
{
	static const char *const words[] = {"show", "export", "import", NULL};
	struct pin_args a = {0};

	int r = options_read(&a, argc, argv);
	if (r == CMD_OK && a.help) {
		fputs(help, stdout);
		return CMD_OK;
	}
	if (r != CMD_OK)
		return r;
	bool is_show = strcmp(a.command, "show") == 0, is_import = strcmp(a.command, "import") == 0;
	if (!is_show && !is_import && strcmp(a.command, "export") != 0) {
		const char *near = cmd_near(a.command, words);
		return cmd_usage("pin", "unknown command '%s'%s%s%s", a.command, near ? ": did you mean '" : "",
				 near ? near : "", near ? "'?" : "");
	}
	if (!is_show && !a.store)
		return cmd_usage("pin", "%s: STORE is missing", a.command);
	if (is_import && !a.file)
		return cmd_usage("pin", "import: --file is missing");
	const char *other = is_show && a.file              ? "--file"
			    : !is_show && a.json           ? "--json"
			    : !is_import && a.accept_older ? "--accept-older-keyring"
							   : NULL;
	if (other)
		return cmd_usage("pin", "%s does not take %s", a.command, other);
	return is_show ? show(&a) : is_import ? import(&a) : export(&a);
}
