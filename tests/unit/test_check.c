/* SPDX-License-Identifier: BSD-2-Clause */
/* Checking a store: silent on a good one, and nothing that is altered in one stays unsaid. */
#include "fs/check/check.h"

#include <dirent.h>
#include <fnmatch.h>

#include "tests/unit/fault.h"
#include "fs/store/lost_own.h"
#include "tests/unit/store_rig.h"

#define SEEN_MAX 256
#define LONG_NAME                                                                                                  \
	"a long name, "                                                                                            \
	"which goes on and on until it does not fit into a name on disk any more, so that it is hashed there and " \
	"the rest lies in a sidecar beside it, as the format says of all names over 175 bytes"

static struct rig rig;

/* What the last check said. */
static struct seen {
	enum check_code code;
	enum check_severity severity;
	int64_t block, last;
	int repaired;
	char path[512], plain[512], text[512];
} seen[SEEN_MAX];
static int n_seen;
static struct check_counts counts;

static void problem(void *arg, const struct check_problem *p)
{
	(void)arg;
	ck_assert_ptr_nonnull(p->path);
	if (n_seen == SEEN_MAX)
		return;
	struct seen *s = &seen[n_seen++];
	s->code = p->code;
	s->severity = p->severity;
	s->block = p->block;
	s->last = p->last;
	s->repaired = p->repaired;
	snprintf(s->path, sizeof(s->path), "%s", p->path);
	snprintf(s->plain, sizeof(s->plain), "%s", p->plain ? p->plain : "?");
	snprintf(s->text, sizeof(s->text), "%s", p->text);
}

static int run(int repair)
{
	struct check_config cfg = {
		.store = rig.store,
		.gate = rig.gate,
		.repair = repair,
		.problem = problem,
		.threads = 1,
	};
	n_seen = 0;
	memset(&counts, 0, sizeof(counts));
	return check_data(&cfg, &counts);
}

static int run_plain(void)
{
	struct check_config cfg = {.store = rig.store, .problem = problem};
	n_seen = 0;
	memset(&counts, 0, sizeof(counts));
	return check_data(&cfg, &counts);
}

static int run_own(void)
{
	struct check_config cfg = {.store = rig.store, .gate = rig.gate, .problem = problem};
	n_seen = 0;
	memset(&counts, 0, sizeof(counts));
	check_keyring(&cfg, &counts);
	return check_own(&cfg, &counts);
}

/* The first problem with CODE, or NULL. */
static const struct seen *saw(enum check_code code)
{
	for (int i = 0; i < n_seen; i++)
		if (seen[i].code == code)
			return &seen[i];
	return NULL;
}

static void tell(void)
{
	for (int i = 0; i < n_seen; i++)
		fprintf(stderr, "  %s %s (%s) %s%s\n", check_code_name(seen[i].code), seen[i].path, seen[i].plain,
			seen[i].text, seen[i].repaired ? " [repaired]" : "");
}

static void silent(void)
{
	tell();
	ck_assert_int_eq(n_seen, 0);
}

/* The small store: names on disk of what is in it. */
static char empty[256], small[256], three[256], sparse[256], longer[256], folder[256], inner[256], link_name[256],
	node[256];
static uint8_t folder_id[ID_LEN];
static int folder_fd;
static int have_xattrs;

static void put_file(int dir_fd, const uint8_t *dir_id, const char *name, uint64_t size, char disk[256])
{
	struct gate_key *key;
	rig_name(&rig, dir_fd, dir_id, name, disk);
	close(rig_put_file(&rig, dir_fd, disk, size, &key));
	gate_key_close(key);
}

static void put_special(const char *name, struct special *s, char disk[256])
{
	const struct layout *l = &rig.store->keyring->layout;
	uint8_t record[SPECIAL_RECORD_MAX];
	const struct store_keys *keys;
	size_t len;
	rig_name(&rig, rig.store->data_fd, rig.root_id, name, disk);
	ck_assert_int_eq(gate_enter(rig.gate, GATE_USE_NEW, &keys), 0);
	ck_assert_int_eq(special_seal(keys, s, record, &len), 0);
	gate_leave(rig.gate);
	int fd = openat(rig.store->data_fd, disk, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_eq(store_pwrite_full(fd, record, len, 0), 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)layout_special_size(l, s->type)), 0);
	close(fd);
}

static void put_xattr(const char *disk, const char *name, const char *value)
{
	char disk_name[XATTR_DISK_NAME_MAX + 1];
	uint8_t header[HEADER_LEN_FILE], cipher[256];
	struct header h;
	const struct store_keys *keys;
	int fd = store_open_file(rig.store->data_fd, disk, O_RDONLY);
	uint32_t header_len = rig.store->keyring->layout.header_len;
	ck_assert_int_eq(store_pread_full(fd, header, header_len, 0), 0);
	ck_assert_int_eq(header_parse(header, header_len, &h), 0);
	ck_assert_int_eq(gate_enter(rig.gate, GATE_USE_NEW, &keys), 0);
	ck_assert_int_eq(xattr_name_encode(keys, h.file_id, name, disk_name), 0);
	ck_assert_int_eq(xattr_seal(keys, h.file_id, name, (const uint8_t *)value, strlen(value), cipher), 0);
	gate_leave(rig.gate);
	have_xattrs = fsetxattr(fd, disk_name, cipher, strlen(value) + XATTR_OVERHEAD, 0) == 0;
	close(fd);
}

static void put_sparse(void)
{
	struct final_head head = {.tail_len = 7, .flags = FINAL_SPARSE, .generation = 2};
	struct gate_key *key;
	rig_name(&rig, rig.store->data_fd, rig.root_id, "sparse", sparse);
	int fd = rig_put_file(&rig, rig.store->data_fd, sparse, 0, &key);
	ck_assert_int_eq(ftruncate(fd, (off_t)rig.store->keyring->layout.header_len), 0);
	rig_put_block(&rig, fd, key, 600);
	rig_put_final(&rig, fd, key, 900, &head);
	gate_key_close(key);
	close(fd);
}

static void put_folder(const char *name, char disk[256], uint8_t id[ID_LEN], int *fd)
{
	rig_name(&rig, rig.store->data_fd, rig.root_id, name, disk);
	ck_assert_int_eq(mkdirat(rig.store->data_fd, disk, 0755), 0);
	*fd = openat(rig.store->data_fd, disk, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_eq(store_dirid_mend(*fd, rig.gate, NAMES_SIV, id), 0);
}

static void fill(void)
{
	struct special symlink = {.type = OBJECT_SYMLINK, .target_len = 9};
	struct special device = {.type = OBJECT_CHAR, .major = 1, .minor = 3};
	memcpy(symlink.target, "somewhere", 10);
	put_file(rig.store->data_fd, rig.root_id, "empty", 0, empty);
	put_file(rig.store->data_fd, rig.root_id, "small", 100, small);
	put_file(rig.store->data_fd, rig.root_id, "three", 3 * RIG_BLOCK + 5, three);
	put_file(rig.store->data_fd, rig.root_id, LONG_NAME, 10, longer);
	put_sparse();
	put_folder("folder", folder, folder_id, &folder_fd);
	put_file(folder_fd, folder_id, "inner", RIG_BLOCK, inner);
	put_special("link", &symlink, link_name);
	put_special("null", &device, node);
	put_xattr(small, "user.colour", "green");
}

static void setup_as(enum wrap_type wrap, enum name_mode names)
{
	rig_begin(&rig);
	rig.wrap = wrap;
	rig.names = names;
	rig_start(&rig);
	fill();
}

static void setup(void)
{
	setup_as(WRAP_STORE, NAMES_SIV);
}

static void teardown(void)
{
	close(folder_fd);
	rig_end(&rig);
}

static int data(void)
{
	return rig.store->data_fd;
}

static uint64_t size_at(int dir_fd, const char *name)
{
	struct stat st;
	ck_assert_int_eq(fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW), 0);
	return (uint64_t)st.st_size;
}

static void flip(int dir_fd, const char *name, uint64_t off)
{
	uint8_t byte;
	int fd = openat(dir_fd, name, O_RDWR | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(store_pread_full(fd, &byte, 1, off), 0);
	byte ^= 0x04;
	ck_assert_int_eq(store_pwrite_full(fd, &byte, 1, off), 0);
	close(fd);
}

static void put_bytes(const char *name, uint64_t off, const char *bytes, size_t len)
{
	int fd = openat(data(), name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_eq(store_pwrite_full(fd, (const uint8_t *)bytes, len, off), 0);
	close(fd);
}

static void cut(int dir_fd, const char *name, uint64_t size)
{
	int fd = openat(dir_fd, name, O_RDWR | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)size), 0);
	close(fd);
}

/* Copy a file within the store's data/. */
static void copy(int from_fd, const char *from, int to_fd, const char *to)
{
	uint8_t *bytes;
	size_t len;
	ck_assert_int_eq(store_read_file(from_fd, from, 1 << 24, &bytes, &len), 0);
	int fd = openat(to_fd, to, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	ck_assert_int_eq(store_pwrite_full(fd, bytes, len, 0), 0);
	close(fd);
	free(bytes);
}

START_TEST(test_good)
{
	ck_assert_int_eq(run(0), 0);
	silent();
	ck_assert_uint_eq(counts.files, 6);
	ck_assert_uint_eq(counts.specials, 2);
	ck_assert_uint_eq(counts.dirs, 2);
	ck_assert_int_eq(run_plain(), 0);
	silent();
	ck_assert_int_eq(run_own(), 0);
	silent();
	ck_assert_int_eq(run(1), 0); /* nothing to repair, nothing repaired */
	silent();
	ck_assert_int_eq(faccessat(rig.store->own_fd, CHECK_LOST, F_OK, 0), -1);
}
END_TEST

/* Both wrap types, both name modes. */
START_TEST(test_good_others)
{
	for (int i = 1; i < 4; i++) {
		teardown();
		setup_as(i & 1 ? WRAP_FILE : WRAP_STORE, i & 2 ? NAMES_PLAIN : NAMES_SIV);
		ck_assert_int_eq(run(0), 0);
		silent();
		ck_assert_uint_eq(counts.files, 6);
		ck_assert_int_eq(run_plain(), 0);
		silent();
		flip(data(), three, rig.store->keyring->layout.header_len + 20);
		ck_assert_int_eq(run(0), 0);
		ck_assert_int_eq(n_seen, 1);
		ck_assert_str_eq(seen[0].plain, "/three");
	}
}
END_TEST

/* Flip bytes of NAME, from START on: all of them for 700 bytes and at the end, fewer between. Each is told, under its path. */
static void flip_all(int dir_fd, const char *name, const char *path, uint64_t start, uint64_t end)
{
	uint64_t size = size_at(dir_fd, name);
	if (end > size)
		end = size;
	for (uint64_t off = start; off < end; off += off < 700 || off + 80 > end ? 1 : 41) {
		flip(dir_fd, name, off);
		ck_assert_int_eq(run(0), 0);
		ck_assert_msg(n_seen >= 1, "%s: byte %d flipped, and nobody said so", path, (int)off);
		ck_assert_str_eq(seen[0].path, path);
		flip(dir_fd, name, off);
	}
	ck_assert_int_eq(run(0), 0);
	silent();
}

START_TEST(test_flip_files)
{
	char path[600];
	snprintf(path, sizeof(path), "data/%s", empty);
	flip_all(data(), empty, path, 0, UINT64_MAX);
	snprintf(path, sizeof(path), "data/%s", small);
	flip_all(data(), small, path, 500, UINT64_MAX);
	snprintf(path, sizeof(path), "data/%s", three);
	flip_all(data(), three, path, 680, UINT64_MAX);
	snprintf(path, sizeof(path), "data/%s/%s", folder, inner);
	flip_all(folder_fd, inner, path, 0, 40);
}
END_TEST

START_TEST(test_flip_others)
{
	char path[600], sidecar[256];
	name_sidecar(longer, sidecar);
	snprintf(path, sizeof(path), "data/%s", longer);
	flip_all(data(), sidecar, path, 0, UINT64_MAX);
	snprintf(path, sizeof(path), "data/%s", folder);
	flip_all(folder_fd, DIRID_NAME, path, 0, UINT64_MAX);
	snprintf(path, sizeof(path), "data/%s", link_name);
	flip_all(data(), link_name, path, 0, 100);
	snprintf(path, sizeof(path), "data/%s", node);
	flip_all(data(), node, path, 0, 700);
}
END_TEST

/* A name with one character changed does not authenticate. */
START_TEST(test_flip_name)
{
	size_t len = strlen(small);
	for (size_t i = 0; i < len; i++) {
		char name[256];
		memcpy(name, small, sizeof(name));
		name[i] = name[i] == 'A' ? 'B' : 'A';
		ck_assert_int_eq(renameat(data(), small, data(), name), 0);
		ck_assert_int_eq(run(0), 0);
		ck_assert_int_eq(n_seen, 1);
		ck_assert_int_eq(seen[0].code, CHECK_NAME);
		ck_assert_str_eq(seen[0].plain, "?");
		ck_assert_int_eq(renameat(data(), name, data(), small), 0);
	}
	ck_assert_int_eq(renameat(data(), small, data(), "visible to all"), 0);
	ck_assert_int_eq(run(0), 0);
	ck_assert_ptr_nonnull(saw(CHECK_NAME));
	ck_assert_int_eq(run_plain(), 0);
	ck_assert_ptr_nonnull(saw(CHECK_NAME));
}
END_TEST

/* Moved into another folder, a name is not one there. */
START_TEST(test_moved)
{
	ck_assert_int_eq(renameat(data(), small, folder_fd, small), 0);
	ck_assert_int_eq(run(0), 0);
	ck_assert_int_eq(n_seen, 1);
	ck_assert_int_eq(seen[0].code, CHECK_NAME);
}
END_TEST

START_TEST(test_cut)
{
	const struct layout *l = &rig.store->keyring->layout;
	uint64_t whole = size_at(data(), three);
	copy(data(), three, rig.store->own_fd, "saved");
	for (uint64_t no = 0; no <= 4; no++) {
		for (int d = -1; d <= 1; d++) {
			uint64_t at = (no == 4 ? whole : layout_record_off(l, no)) + (uint64_t)(int64_t)d;
			if (at == whole)
				continue;
			cut(data(), three, at);
			ck_assert_int_eq(run(0), 0);
			ck_assert_msg(n_seen >= 1, "cut at %d", (int)at);
			ck_assert_int_eq(seen[0].severity, CHECK_DAMAGE);
			ck_assert_str_eq(seen[0].plain, "/three");
			ck_assert_int_eq(run_plain(), 0);
			ck_assert_msg(n_seen >= 1, "cut at %d, without key", (int)at);
			copy(rig.store->own_fd, "saved", data(), three);
		}
	}
	cut(data(), three, 0);
	ck_assert_int_eq(run(0), 0);
	ck_assert_int_eq(seen[0].code, CHECK_STUMP);
	ck_assert_int_eq(seen[0].severity, CHECK_DAMAGE);
}
END_TEST

static void move_block(const char *from, uint64_t from_no, const char *to, uint64_t to_no)
{
	const struct layout *l = &rig.store->keyring->layout;
	uint8_t record[RIG_BLOCK + BLOCK_OVERHEAD];
	int in = openat(data(), from, O_RDONLY | O_CLOEXEC), out = openat(data(), to, O_WRONLY | O_CLOEXEC);
	ck_assert_int_eq(store_pread_full(in, record, sizeof(record), layout_record_off(l, from_no)), 0);
	ck_assert_int_eq(store_pwrite_full(out, record, sizeof(record), layout_record_off(l, to_no)), 0);
	close(in);
	close(out);
}

START_TEST(test_swapped)
{
	move_block(three, 0, three, 2);
	ck_assert_int_eq(run(0), 0);
	ck_assert_int_eq(n_seen, 1);
	ck_assert_int_eq(seen[0].code, CHECK_BLOCK);
	ck_assert_int_eq(seen[0].block, 2);
	move_block(sparse, 600, three, 0);
	ck_assert_int_eq(run(0), 0);
	ck_assert_int_eq(n_seen, 2);
	ck_assert_int_eq(seen[0].block, 0);
	ck_assert_int_eq(seen[1].block, 2);
	move_block(sparse, 600, three, 1); /* all three: one run */
	ck_assert_int_eq(run(0), 0);
	ck_assert_int_eq(n_seen, 1);
	ck_assert_int_eq(seen[0].block, 0);
	ck_assert_int_eq(seen[0].last, 2);
	ck_assert_uint_eq(counts.damage, 1);
}
END_TEST

START_TEST(test_zeroed)
{
	move_block(sparse, 0, three, 1);
	ck_assert_int_eq(run(0), 0);
	ck_assert_int_eq(n_seen, 1);
	ck_assert_ptr_nonnull(strstr(seen[0].text, "all zero"));
	move_block(sparse, 0, sparse, 600); /* in a file with holes this is not to be seen: FORMAT.md says so */
	ck_assert_int_eq(run(0), 0);
	ck_assert_int_eq(n_seen, 1);
}
END_TEST

START_TEST(test_planted)
{
	alarm(20);
	ck_assert_int_eq(mkfifoat(data(), "fifo", 0600), 0);
	ck_assert_int_eq(symlinkat("/etc/passwd", data(), "outside"), 0);
	ck_assert_int_eq(unlinkat(data(), small, 0), 0);
	ck_assert_int_eq(mkfifoat(data(), small, 0600), 0);
	ck_assert_int_eq(unlinkat(folder_fd, DIRID_NAME, 0), 0);
	ck_assert_int_eq(mkfifoat(folder_fd, DIRID_NAME, 0600), 0);
	ck_assert_int_eq(run(0), 0);
	int types = 0;
	for (int i = 0; i < n_seen; i++)
		types += seen[i].code == CHECK_TYPE;
	ck_assert_int_eq(types, 3);
	ck_assert_ptr_nonnull(saw(CHECK_DIRID));
	ck_assert_int_eq(run_plain(), 0);
	ck_assert_ptr_nonnull(saw(CHECK_TYPE));
	/* Repair moves what does not belong here, and keeps it. */
	ck_assert_int_eq(run(1), 0);
	ck_assert_uint_eq(counts.repaired, 4); /* and the folder has a new id */
	ck_assert_int_eq(run(0), 0);
	silent();
	alarm(0);
}
END_TEST

START_TEST(test_copies)
{
	char name[256];
	ck_assert_int_eq(linkat(data(), small, folder_fd, small, 0), 0); /* a hard link, if under a wrong name */
	rig_name(&rig, data(), rig.root_id, "another name", name);
	ck_assert_int_eq(linkat(data(), three, data(), name, 0), 0);
	ck_assert_int_eq(unlinkat(folder_fd, small, 0), 0);
	ck_assert_int_eq(run(0), 0);
	silent();
	rig_name(&rig, data(), rig.root_id, "copy", name);
	copy(data(), small, data(), name);
	ck_assert_int_eq(run(0), 0);
	ck_assert_ptr_nonnull(saw(CHECK_COPY));
	ck_assert_int_eq(run_plain(), 0);
	ck_assert_int_eq(n_seen, 1);
	ck_assert_int_eq(seen[0].code, CHECK_COPY);
	ck_assert_int_eq(unlinkat(data(), name, 0), 0);
	ck_assert_int_eq(mkdirat(data(), name, 0700), 0);
	int fd = openat(data(), name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	copy(folder_fd, DIRID_NAME, fd, DIRID_NAME);
	close(fd);
	ck_assert_int_eq(run(0), 0);
	ck_assert_int_eq(n_seen, 1);
	ck_assert_int_eq(seen[0].code, CHECK_COPY);
}
END_TEST

START_TEST(test_sidecars)
{
	char sidecar[256], orphan[256];
	name_sidecar(longer, sidecar);
	memcpy(orphan, sidecar, sizeof(orphan));
	orphan[strlen(SIDECAR_PREFIX)] ^= 1;
	copy(data(), sidecar, data(), orphan);
	ck_assert_int_eq(run(0), 0);
	ck_assert_int_eq(n_seen, 1);
	ck_assert_int_eq(seen[0].code, CHECK_ORPHAN);
	ck_assert_int_eq(seen[0].severity, CHECK_NOTE);
	ck_assert_int_eq(run(1), 0);
	ck_assert_uint_eq(counts.repaired, 1);
	ck_assert_int_eq(run(0), 0);
	silent();
	ck_assert_int_eq(unlinkat(data(), sidecar, 0), 0);
	ck_assert_int_eq(run(0), 0);
	ck_assert_int_eq(n_seen, 1);
	ck_assert_int_eq(seen[0].code, CHECK_SIDECAR);
	ck_assert_int_eq(seen[0].severity, CHECK_DAMAGE);
	/* where old names are kept something was planted: nothing is renamed, and nobody waits for who reads a pipe */
	int own = rig.store->own_fd;
	ck_assert_int_eq(mkfifoat(own, CHECK_LOST "/names", 0600), 0);
	alarm(20);
	ck_assert_int_eq(run(1), 0);
	alarm(0);
	ck_assert_uint_eq(counts.repaired, 0);
	ck_assert_int_eq(unlinkat(own, CHECK_LOST "/names", 0), 0);
	ck_assert_int_eq(run(1), 0); /* the name is lost, and gets another */
	ck_assert_uint_eq(counts.repaired, 1);
	ck_assert_ptr_nonnull(strstr(seen[0].text, "it is called lost-"));
	ck_assert_int_eq(run(0), 0);
	silent();
}
END_TEST

START_TEST(test_stumps)
{
	char file[256], dir[256], half[256];
	uint8_t zeros[3000] = {0};
	rig_name(&rig, data(), rig.root_id, "stump", file);
	rig_name(&rig, data(), rig.root_id, "stump folder", dir);
	rig_name(&rig, data(), rig.root_id, "half", half);
	close(openat(data(), file, O_WRONLY | O_CREAT | O_CLOEXEC, 0640));
	ck_assert_int_eq(mkdirat(data(), dir, 0750), 0);
	int fd = openat(data(), half, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_eq(store_pwrite_full(fd, zeros, sizeof(zeros), 0), 0);
	close(fd);
	/* after a clean end this is damage, and stays; but a folder can have an id again */
	ck_assert_int_eq(run(1), 0);
	ck_assert_uint_eq(counts.damage, 2);
	ck_assert_uint_eq(counts.repaired, 1);
	rig.store->unclean = rig.store->leeway.all = 1;
	ck_assert_int_eq(run(0), 0);
	ck_assert_uint_eq(counts.crash, 2);
	ck_assert_uint_eq(counts.damage, 0);
	ck_assert_int_eq(run(1), 0);
	ck_assert_uint_eq(counts.repaired, 2);
	ck_assert_uint_eq(counts.crash, 0);
	rig.store->unclean = rig.store->leeway.all = 0;
	ck_assert_int_eq(run(0), 0);
	silent();
	struct stat st;
	ck_assert_int_eq(fstatat(data(), file, &st, 0), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0640);
}
END_TEST

/* A folder's id that is known without its file: nothing in it is lost, and after a crash it is no damage. */
START_TEST(test_recalled)
{
	char dir[256], name[256];
	uint8_t id[ID_LEN], now[ID_LEN];
	fault_fs_type = EXT4_SUPER_MAGIC;
	rig_name(&rig, data(), rig.root_id, "made", dir);
	ck_assert_int_eq(mkdirat(data(), dir, 0700), 0);
	AUTO(auto_close) int fd = openat(data(), dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_eq(store_dirid_mend(fd, rig.gate, NAMES_SIV, id), 0);
	rig_name(&rig, fd, id, "file", name);
	ck_assert_int_eq(linkat(data(), small, fd, name, 0), 0);
	for (int crash = 0; crash < 2; crash++) {
		cut(fd, DIRID_NAME, 0);
		rig.store->unclean = rig.store->leeway.all = crash;
		ck_assert_int_eq(run(0), 0);
		ck_assert_int_eq(n_seen, 1);
		ck_assert(seen[0].code == CHECK_DIRID && seen[0].severity == (crash ? CHECK_CRASH : CHECK_DAMAGE));
		ck_assert_int_eq(run(1), 0);
		ck_assert(n_seen == 1 && seen[0].repaired);
		ck_assert_int_eq(store_dirid_read(fd, rig.gate, now), 0);
		ck_assert_mem_eq(now, id, ID_LEN);
		ck_assert_int_eq(run(0), 0);
		silent();
	}
	rig.store->unclean = rig.store->leeway.all = 0;
}
END_TEST

/* How many bytes lie in lost+found. */
static uint64_t lost_bytes(void)
{
	uint64_t sum = 0;
	int fd = openat(rig.store->own_fd, CHECK_LOST, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	for (struct dirent *e; d && (e = readdir(d));)
		if (e->d_name[0] != '.')
			sum += size_at(fd, e->d_name);
	if (d)
		closedir(d);
	return sum;
}

START_TEST(test_unfinished)
{
	const struct layout *l = &rig.store->keyring->layout;
	rig.store->unclean = rig.store->leeway.all = 1;
	cut(data(), three, layout_record_off(l, 2) + 100);
	ck_assert_int_eq(run(0), 0);
	ck_assert_int_eq(n_seen, 1);
	ck_assert_int_eq(seen[0].code, CHECK_END);
	ck_assert_int_eq(seen[0].severity, CHECK_CRASH);
	ck_assert_int_eq(seen[0].block, 2);
	ck_assert_uint_eq(lost_bytes(), 0);
	ck_assert_int_eq(run(1), 0);
	ck_assert_int_eq(n_seen, 1);
	ck_assert_int_eq(seen[0].repaired, 1);
	ck_assert_uint_eq(lost_bytes(), 100);
	ck_assert_uint_eq(size_at(data(), three), layout_disk_size(l, 2 * RIG_BLOCK));
	rig.store->unclean = rig.store->leeway.all = 0;
	ck_assert_int_eq(run(0), 0);
	silent();
}
END_TEST

/* Only where the mount that broke off was writing; and what a later mount has cut off is told, as repaired. */
START_TEST(test_being_written)
{
	const struct layout *l = &rig.store->keyring->layout;
	struct writing_entry e = {.kind = WRITING_WRITTEN};
	uint8_t header[HEADER_ID_END];
	int fd = openat(data(), three, O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(store_pread_full(fd, header, sizeof(header), 0), 0);
	close(fd);
	memcpy(e.file_id, header_file_id(header), ID_LEN);
	rig.store->unclean = 1;
	rig.store->leeway = (struct leeway){.entry = &e, .n = 1};
	cut(data(), longer, layout_record_off(l, 1) + 100);
	cut(data(), three, layout_record_off(l, 2) + 100);
	cut(data(), empty, 0);
	ck_assert_int_eq(run(0), 0);
	ck_assert_uint_eq(counts.damage, 2);
	ck_assert_uint_eq(counts.crash, 1);
	ck_assert_int_eq(run(1), 0);
	ck_assert_uint_eq(counts.damage, 2);
	ck_assert_uint_eq(counts.repaired, 1);
	e.kind = WRITING_MENDED;
	e.value = 4711;
	ck_assert_int_eq(run(0), 0);
	ck_assert_uint_eq(counts.damage, 2);
	ck_assert_uint_eq(counts.crash, 0);
	ck_assert_uint_eq(counts.repaired, 1);
	for (int i = 0; i < n_seen; i++)
		ck_assert(seen[i].severity == CHECK_DAMAGE || (seen[i].code == CHECK_END && seen[i].repaired));
	rig.store->leeway = (struct leeway){.lost = true};
	check_list(&(struct check_config){.store = rig.store, .problem = problem}, &counts);
	ck_assert_uint_eq(counts.damage, 3);
	rig.store->leeway.lost = false;
}
END_TEST

/* The file id of DISK in data/. */
static void id_of(const char *disk, uint8_t id[ID_LEN])
{
	AUTO(auto_close) int fd = openat(data(), disk, O_RDONLY | O_CLOEXEC);
	uint8_t head[HEADER_ID_END];

	ck_assert_int_eq(store_pread_full(fd, head, sizeof(head), 0), 0);
	memcpy(id, header_file_id(head), ID_LEN);
}

/* What was lost is named, file and bytes, once; zeros in its place are no news; it keeps nobody from counting as clean. */
START_TEST(test_lost)
{
	const uint64_t record = layout_record_len(&rig.store->keyring->layout);
	uint8_t id[ID_LEN], gone[ID_LEN] = {9};

	ck_assert_int_eq(lost_new(&rig.store->lost), 0);
	struct lost *l = rig.store->lost;
	id_of(three, id);
	ck_assert_int_eq(lost_add(l, &(struct lost_of){id, 0}, RIG_BLOCK, 2 * RIG_BLOCK), 0);
	ck_assert_int_eq(lost_add(l, &(struct lost_of){id, 0}, 100000, UINT64_MAX), 0);
	AUTO(auto_close) int fd = openat(data(), three, O_WRONLY | O_CLOEXEC);
	uint8_t *zeros = calloc(1, record);
	ck_assert_int_eq(store_pwrite_full(fd, zeros, record, layout_record_off(&rig.store->keyring->layout, 1)), 0);
	ck_assert_int_eq(run(0), 0);
	ck_assert_int_eq(n_seen, 2);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(seen[i].code, CHECK_LOST_RANGE);
		ck_assert_int_eq(seen[i].severity, CHECK_DAMAGE);
		ck_assert_str_eq(seen[i].plain, "/three");
	}
	ck_assert_ptr_nonnull(strstr(seen[0].text, "bytes 4096 to 8191 are lost"));
	ck_assert_ptr_nonnull(strstr(seen[1].text, "all from byte 100000 on is lost"));
	ck_assert(seen[0].block == 1 && seen[0].last == 1);
	ck_assert(counts.damage == 2 && counts.lost == 2);
	/* what is beside it is damage as ever */
	ck_assert_int_eq(store_pwrite_full(fd, zeros, record, layout_record_off(&rig.store->keyring->layout, 0)), 0);
	ck_assert_int_eq(run(0), 0);
	ck_assert(counts.damage == 3 && counts.lost == 2 && saw(CHECK_BLOCK) && saw(CHECK_BLOCK)->last == 0);
	free(zeros);
	/* of a file that is no more: told, and forgotten by a repair that has seen all */
	lost_cut(l, &(struct lost_of){id, 0}, 0, UINT64_MAX);
	ck_assert_int_eq(lost_add(l, &(struct lost_of){gone, 4711}, 0, 1), 0);
	l->head.altered = true;
	ck_assert_int_eq(run(1), 0);
	ck_assert_ptr_null(saw(CHECK_LOST_RANGE)); /* the damaged one could have been it */
	ck_assert_int_eq(unlinkat(data(), three, 0), 0);
	ck_assert_int_eq(run(0), 0);
	ck_assert(saw(CHECK_LOST_RANGE) && saw(CHECK_LOST_RANGE)->severity == CHECK_NOTE);
	ck_assert_ptr_nonnull(strstr(saw(CHECK_LOST_RANGE)->text, "not there any more (inode 4711)"));
	check_list(&(struct check_config){.store = rig.store, .problem = problem}, &counts);
	ck_assert_uint_eq(counts.damage, 0); /* the repair before has settled that */
	ck_assert_int_eq(run(1), 0);
	ck_assert(!lost_maybe(l, 4711) || !lost_hit(l, gone, 0, 1));
	ck_assert_int_eq(run(0), 0);
	ck_assert_ptr_null(saw(CHECK_LOST_RANGE));
	l->head.altered = l->head.overflowed = true;
	check_list(&(struct check_config){.store = rig.store, .problem = problem}, &counts);
	ck_assert_uint_eq(counts.damage, 2);
}
END_TEST

/* A shrink that was not finished: the size says that all is well, the end does not. */
START_TEST(test_earlier_end)
{
	const struct layout *l = &rig.store->keyring->layout;
	struct final_head head = {.tail_len = 11, .generation = 2};
	uint8_t header[HEADER_LEN_FILE];
	struct gate_key *key;
	int fd = openat(data(), three, O_RDWR | O_CLOEXEC);
	uint64_t whole = size_at(data(), three);
	ck_assert_int_eq(store_pread_full(fd, header, l->header_len, 0), 0);
	ck_assert_int_eq(gate_key_open(rig.gate, header, &key), 0);
	uint64_t end = rig_put_final(&rig, fd, key, 1, &head);
	gate_key_close(key);
	close(fd);
	ck_assert_int_eq(run(1), 0);
	ck_assert_int_eq(n_seen, 1);
	ck_assert_int_eq(seen[0].code, CHECK_END);
	ck_assert_int_eq(seen[0].severity, CHECK_DAMAGE);
	rig.store->unclean = rig.store->leeway.all = 1;
	ck_assert_int_eq(run(1), 0);
	ck_assert_int_eq(seen[0].repaired, 1);
	ck_assert_uint_eq(size_at(data(), three), end);
	ck_assert_uint_eq(lost_bytes(), whole - end);
	ck_assert_int_eq(run(0), 0);
	silent();
}
END_TEST

START_TEST(test_xattrs)
{
	char list[1024];
	uint8_t value[256];
	int fd = openat(data(), small, O_RDONLY | O_CLOEXEC);
	if (!have_xattrs)
		return;
	ssize_t n = flistxattr(fd, list, sizeof(list));
	ck_assert_int_gt(n, 0);
	ck_assert_int_eq(strncmp(list, "user.", 5), 0);
	ssize_t len = fgetxattr(fd, list, value, sizeof(value));
	for (ssize_t i = 0; i < len; i++) {
		value[i] ^= 1;
		ck_assert_int_eq(fsetxattr(fd, list, value, (size_t)len, 0), 0);
		ck_assert_int_eq(run(0), 0);
		ck_assert_int_eq(n_seen, 1);
		ck_assert_int_eq(seen[0].code, CHECK_XATTR);
		value[i] ^= 1;
	}
	ck_assert_int_eq(fsetxattr(fd, list, value, 20, 0), 0); /* cut */
	ck_assert_int_eq(run(0), 0);
	ck_assert_int_eq(n_seen, 1);
	ck_assert_int_eq(run_plain(), 0);
	ck_assert_int_eq(n_seen, 1);
	ck_assert_int_eq(fremovexattr(fd, list), 0);
	list[strlen("user.")] ^= 1;
	ck_assert_int_eq(fsetxattr(fd, list, value, (size_t)len, 0), 0);
	ck_assert_int_eq(run(0), 0);
	ck_assert_int_eq(n_seen, 1);
	ck_assert_int_eq(fremovexattr(fd, list), 0);
	ck_assert_int_eq(fsetxattr(fd, "user.mime_type", "text", 4, 0), 0); /* another program's */
	ck_assert_int_eq(run(0), 0);
	ck_assert_int_eq(n_seen, 1);
	ck_assert_int_eq(seen[0].severity, CHECK_NOTE);
	close(fd);
}
END_TEST

/* Close the store and open it again after something happened to its own files. */
static int reopen(void)
{
	rig_shut(&rig);
	return rig_open(&rig);
}

static int own_fd(void)
{
	static char path[200];
	snprintf(path, sizeof(path), "%s/byokfs", rig.path);
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

START_TEST(test_keyring_copies)
{
	static const char *const name[] = {"keyring", "keyring.copy"};
	int own = own_fd();
	copy(own, "keyring", own, "saved");
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(unlinkat(own, name[i], 0), 0);
		ck_assert_int_eq(reopen(), 0);
		ck_assert_int_eq(run_own(), 0);
		ck_assert_int_eq(n_seen, 1);
		ck_assert_int_eq(seen[0].code, CHECK_KEYRING);
		ck_assert_ptr_nonnull(strstr(seen[0].path, name[i]));
		copy(own, "saved", own, name[i]);
		uint64_t size = size_at(own, name[i]);
		for (uint64_t off = 0; off < size; off += 7) {
			flip(own, name[i], off);
			/* The copy whose box opens is in use: with the first one flipped in a place that parses, a mount goes on to the other. */
			if (reopen() == 0) {
				ck_assert_int_eq(run_own(), 0);
				ck_assert_msg(n_seen == 1, "%s: byte %d", name[i], (int)off);
				ck_assert_int_eq(seen[0].code, CHECK_KEYRING);
			}
			flip(own, name[i], off);
		}
		ck_assert_int_eq(reopen(), 0);
	}
	ck_assert_int_eq(unlinkat(own, "saved", 0), 0);
	close(own);
}
END_TEST

START_TEST(test_session)
{
	for (uint64_t off = 0; off < SESSION_LEN; off++) {
		flip(rig.store->own_fd, "session", off);
		ck_assert_int_eq(run_own(), 0);
		ck_assert_int_eq(n_seen, 1);
		ck_assert_int_eq(seen[0].code, CHECK_SESSION);
		flip(rig.store->own_fd, "session", off);
	}
	cut(rig.store->own_fd, "session", 10);
	ck_assert_int_eq(run_own(), 0);
	ck_assert_int_eq(n_seen, 1);
	ck_assert_int_eq(unlinkat(rig.store->own_fd, "session", 0), 0);
	ck_assert_int_eq(run_own(), 0);
	ck_assert_int_eq(n_seen, 1);
}
END_TEST

START_TEST(test_inflight)
{
	flip(rig.store->own_fd, "inflight", 3);
	ck_assert_int_eq(run_own(), 0);
	ck_assert_int_le(n_seen, 1); /* a byte of an empty slot may say nothing */
	cut(rig.store->own_fd, "inflight", 100);
	ck_assert_int_eq(run_own(), 0);
	ck_assert_int_eq(n_seen, 1);
	ck_assert_int_eq(seen[0].severity, CHECK_NOTE);
}
END_TEST

/* The gate locks: the check ends, and blames no file. */
START_TEST(test_refused)
{
	struct gate_hooks none = {0};
	ck_assert_int_eq(gate_start(rig.gate, &none), 0);
	ck_assert_int_eq(gate_lock(rig.gate, "the test"), 0);
	ck_assert_int_eq(run(0), -EACCES);
	silent();
}
END_TEST

/* The gate locks when the check has come to a file: it ends there, and blames nobody. */
static void lock_at_three(enum fault_call call, int dir_fd, const char *name)
{
	(void)dir_fd;
	if (call != CALL_OPENAT2 || strcmp(name, three) != 0)
		return;
	fault_watch = NULL;
	ck_assert_int_eq(gate_lock(rig.gate, "the test"), 0);
}

START_TEST(test_refused_meanwhile)
{
	const struct gate_hooks none = {0};
	ck_assert_int_eq(gate_start(rig.gate, &none), 0);
	fault_watch = lock_at_three;
	ck_assert_int_eq(run(0), -EACCES);
	ck_assert_ptr_null(fault_watch);
	silent();
	ck_assert_int_eq(run_plain(), 0); /* which needs no gate */
	silent();
}
END_TEST

START_TEST(test_cancel)
{
	_Atomic int cancel = 1;
	struct check_config cfg = {.store = rig.store, .gate = rig.gate, .problem = problem, .cancel = &cancel};
	n_seen = 0;
	ck_assert_int_eq(check_data(&cfg, &counts), -EINTR);
	silent();
}
END_TEST

/* One damage each, by which nothing else is touched. */

static void hurt_own_name(void)
{
	copy(data(), small, data(), OWN_PREFIX "unknown");
}

static void hurt_orphan(void)
{
	char sidecar[256];
	name_sidecar(longer, sidecar);
	sidecar[strlen(SIDECAR_PREFIX)] ^= 1;
	put_bytes(sidecar, 0, "x", 1);
}

static void hurt_fifo(void)
{
	ck_assert_int_eq(mkfifoat(data(), "fifo", 0600), 0);
}

static void hurt_empty_slot(void)
{
	flip(data(), small, 64 + 160 + 3);
}

static void hurt_binding(void)
{
	flip(data(), small, rig.store->keyring->layout.header_len - 5);
}

static void hurt_version(void)
{
	put_bytes(small, 6, "2", 1);
}

static void hurt_suite(void)
{
	put_bytes(small, 24, "\0\0", 2);
}

static void hurt_generation(void)
{
	put_bytes(small, 64 + 8, "\0\0\0\7", 4);
}

static void hurt_end(void)
{
	put_bytes(small, rig.store->keyring->layout.header_len, "\0\0\0\1", 4);
}

static void hurt_size(void)
{
	cut(data(), small, layout_disk_size(&rig.store->keyring->layout, 0) - 1);
}

static void hurt_record(void)
{
	flip(data(), link_name, 40);
}

static void hurt_behind_record(void)
{
	flip(data(), link_name, size_at(data(), link_name) - 1);
}

static void hurt_emptied(void)
{
	cut(data(), small, 0);
}

static void hurt_dirid(void)
{
	int fd = openat(data(), folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cut(fd, DIRID_NAME, DIRID_LEN - 1);
	close(fd);
}

/* `plain`: what a check without key says of it, 0 nothing. `repairable`: in a clean store. */
static const struct hurt {
	void (*hurt)(void);
	enum check_code code;
	enum check_severity severity;
	int plain;
	bool repairable;
} hurts[] = {
	{hurt_own_name, CHECK_LEFTOVER, CHECK_NOTE, CHECK_LEFTOVER, true},
	{hurt_orphan, CHECK_ORPHAN, CHECK_NOTE, CHECK_ORPHAN, true},
	{hurt_fifo, CHECK_TYPE, CHECK_DAMAGE, CHECK_TYPE, true},
	{hurt_empty_slot, CHECK_HEADER, CHECK_NOTE, 0, false},
	{hurt_binding, CHECK_HEADER, CHECK_NOTE, 0, false},
	{hurt_version, CHECK_HEADER, CHECK_DAMAGE, CHECK_HEADER, false},
	{hurt_suite, CHECK_HEADER, CHECK_DAMAGE, CHECK_HEADER, false},
	{hurt_generation, CHECK_KEY, CHECK_DAMAGE, 0, false},
	{hurt_end, CHECK_END, CHECK_DAMAGE, CHECK_END, false},
	{hurt_size, CHECK_END, CHECK_DAMAGE, CHECK_SIZE, false},
	{hurt_record, CHECK_SPECIAL, CHECK_DAMAGE, 0, true},
	{hurt_behind_record, CHECK_SPECIAL, CHECK_NOTE, 0, false},
	{hurt_emptied, CHECK_STUMP, CHECK_DAMAGE, CHECK_STUMP, false},
	{hurt_dirid, CHECK_DIRID, CHECK_DAMAGE, CHECK_DIRID, true},
};

/* The one finding of the last run, and how it was counted. */
static void only(enum check_code code, enum check_severity severity, bool repaired)
{
	if (n_seen != 1)
		tell();
	ck_assert_int_eq(n_seen, 1);
	ck_assert_str_eq(check_code_name(seen[0].code), check_code_name(code));
	ck_assert_str_eq(check_severity_name(seen[0].severity), check_severity_name(severity));
	ck_assert_int_eq(seen[0].repaired != 0, repaired);
	ck_assert_uint_eq(counts.repaired, repaired);
	ck_assert_uint_eq(counts.notes, !repaired && severity == CHECK_NOTE);
	ck_assert_uint_eq(counts.damage, !repaired && severity == CHECK_DAMAGE);
	ck_assert_uint_eq(counts.crash, 0);
}

/* Each damage is told once, as what it is, with the key and without; what can be repaired is gone afterwards, the rest stays. */
START_TEST(test_one_finding)
{
	const struct hurt *h = &hurts[_i];
	h->hurt();
	ck_assert_int_eq(run(0), 0);
	only(h->code, h->severity, false);
	ck_assert_int_eq(run_plain(), 0);
	if (h->plain)
		only((enum check_code)h->plain, h->severity, false);
	else
		silent();
	ck_assert_int_eq(run(1), 0);
	only(h->code, h->severity, h->repairable);
	ck_assert_int_eq(run(0), 0);
	if (h->repairable)
		silent();
	else
		only(h->code, h->severity, false);
}
END_TEST

/* What the disk does not give is told, and all else is looked at. */
START_TEST(test_unreadable)
{
	fault_set(CALL_OPENAT2, folder, EIO);
	ck_assert_int_eq(run(0), 0);
	only(CHECK_IO, CHECK_DAMAGE, false);
	ck_assert_str_eq(seen[0].plain, "/folder");
	ck_assert_str_eq(seen[0].text, "the directory cannot be read: Input/output error");
	ck_assert_uint_eq(counts.files, 5); /* but the one in it */
	ck_assert_uint_eq(counts.dirs, 1);
	fault_set(CALL_OPENAT2, small, EIO);
	ck_assert_int_eq(run(0), 0);
	only(CHECK_IO, CHECK_DAMAGE, false);
	ck_assert_str_eq(seen[0].plain, "/small");
	ck_assert_str_eq(seen[0].text, "cannot be opened: Input/output error");
	/* Gone since it was listed: of a mounted store that is nothing, with the key nobody else is there. */
	fault_set(CALL_OPENAT2, small, ENOENT);
	ck_assert_int_eq(run_plain(), 0);
	silent();
	fault_set(CALL_OPENAT2, small, ENOENT);
	ck_assert_int_eq(run(0), 0);
	only(CHECK_IO, CHECK_DAMAGE, false);
	/* No more descriptors: the check itself ends. */
	fault_set(CALL_OPENAT2, small, EMFILE);
	ck_assert_int_eq(run(0), -EMFILE);
	silent();
	fault_clear();
}
END_TEST

static int told;
static void progress(void *arg, const struct check_counts *c)
{
	(void)arg;
	(void)c;
	told++;
}

/* Deep and wide: a thousand folders into each other, two thousand files in one; with the sum of all told. */
START_TEST(test_large)
{
	char disk[256];
	int fd = data();
	const uint8_t *id = rig.root_id;
	uint8_t ids[2][ID_LEN];
	for (int i = 0; i < 300; i++) {
		rig_name(&rig, fd, id, "deeper", disk);
		ck_assert_int_eq(mkdirat(fd, disk, 0700), 0);
		int next = openat(fd, disk, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		ck_assert_int_eq(store_dirid_mend(next, rig.gate, NAMES_SIV, ids[i & 1]), 0);
		if (fd != data())
			close(fd);
		fd = next;
		id = ids[i & 1];
	}
	for (int i = 0; i < 1000; i++) {
		char name[32];
		snprintf(name, sizeof(name), "file %d", i);
		put_file(fd, id, name, i % 3 ? 1 : 0, disk);
	}
	close(fd);
	struct check_config cfg = {
		.store = rig.store, .gate = rig.gate, .problem = problem, .progress = progress, .threads = 4};
	n_seen = 0;
	memset(&counts, 0, sizeof(counts));
	ck_assert_int_eq(check_data(&cfg, &counts), 0);
	silent();
	ck_assert_uint_eq(counts.files, 1006);
	ck_assert_uint_eq(counts.dirs, 302);
	ck_assert_int_ge(told, 1);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		test_good,
		test_good_others,
		test_flip_files,
		test_flip_others,
		test_flip_name,
		test_moved,
		test_cut,
		test_swapped,
		test_zeroed,
		test_planted,
		test_copies,
		test_sidecars,
		test_stumps,
		test_recalled,
		test_unfinished,
		test_being_written,
		test_earlier_end,
		test_xattrs,
		test_keyring_copies,
		test_session,
		test_inflight,
		test_refused,
		test_cancel,
		test_large,
		test_unreadable,
		test_refused_meanwhile,
		test_lost,
	};
	Suite *s = suite_create("check");
	TCase *t = tcase_create("check");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 110);
	for (size_t i = 0; i < ARRAY_LEN(tests); i++)
		tcase_add_test(t, tests[i]);
	tcase_add_loop_test(t, test_one_finding, 0, ARRAY_LEN(hurts));
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
