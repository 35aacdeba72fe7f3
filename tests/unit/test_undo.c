/* SPDX-License-Identifier: BSD-2-Clause */
/* Torn writes: whatever subset of the sectors of what was written since an fsync has reached the disk, what it acknowledged is there. */
#include <linux/falloc.h>
#include <sys/syscall.h>

#include "crypto/auto.h"
#include "fs/inode/file.h"
#include "fs/store/journal_own.h"
#include "fs/store/store_own.h"
#include "fs/store/undo.h"
#include "store_rig.h"

#define SECTOR 512u
#define LIMIT (12u * 4096 + 77)
#define OPS_MAX 6
#define DISK_MAX (1u << 20)

static struct rig rig;
static struct nodes *nodes;
static struct file_env env;
static struct file_work work;
static struct node *node;
static struct file *file;
static char disk_name[NAME_LEN_MAX + 1];

/* ---- what reaches the file, in its order: sectors as they are after each write, and lengths ---- */

struct image {
	uint8_t bytes[DISK_MAX];
	uint64_t len;
};

static int watched = -1;       /* the file's descriptor */
static struct image after[64]; /* [0]: what is durable; then after each system call */
static unsigned n_after;

static void look(struct image *out)
{
	struct stat st;

	memset(out->bytes, 0, sizeof(out->bytes));
	ck_assert_int_eq(fstat(watched, &st), 0);
	ck_assert_uint_le((uint64_t)st.st_size, sizeof(out->bytes));
	out->len = (uint64_t)st.st_size;
	ck_assert_int_eq(store_pread_full(watched, out->bytes, out->len, 0), 0);
}

static void note_change(int fd)
{
	struct stat a, b;

	if (watched < 0 || fstat(fd, &a) || fstat(watched, &b) || a.st_ino != b.st_ino)
		return;
	ck_assert_uint_lt(n_after, ARRAY_LEN(after));
	look(&after[n_after++]);
}

ssize_t byokfs_pwrite(int fd, const void *buf, size_t len, off_t off) __asm__("pwrite");
ssize_t byokfs_pwrite64(int fd, const void *buf, size_t len, off_t off) __asm__("pwrite64");
int byokfs_ftruncate(int fd, off_t len) __asm__("ftruncate");
int byokfs_ftruncate64(int fd, off_t len) __asm__("ftruncate64");

ssize_t byokfs_pwrite64(int fd, const void *buf, size_t len, off_t off)
{
	ssize_t n = syscall(SYS_pwrite64, fd, buf, len, off);

	note_change(fd);
	return n;
}

ssize_t byokfs_pwrite(int fd, const void *buf, size_t len, off_t off)
{
	return byokfs_pwrite64(fd, buf, len, off);
}

int byokfs_ftruncate64(int fd, off_t len)
{
	int r = (int)syscall(SYS_ftruncate, fd, len);

	note_change(fd);
	return r;
}

int byokfs_ftruncate(int fd, off_t len)
{
	return byokfs_ftruncate64(fd, len);
}

static bool synced; /* the file was */

/* Before a hole is punched the file syncs itself; so does the journal, for room, or when its file is gone. */
int byokfs_fdatasync(int fd) __asm__("fdatasync");
int byokfs_fdatasync(int fd)
{
	struct stat a, b;

	if (watched >= 0 && fstat(fd, &a) == 0 && fstat(watched, &b) == 0 && a.st_ino == b.st_ino) {
		n_after = 0;
		note_change(fd);
		synced = true;
	}
	return (int)syscall(SYS_fdatasync, fd);
}

/* Each sector as it was after any of the writes up to LAST, the length as well. */
static void tear(struct image *out, unsigned last)
{
	out->len = after[(unsigned)random() % (last + 1)].len;
	memset(out->bytes, 0, sizeof(out->bytes));
	bool few = random() % 2; /* nearly all old, or nearly all new, is as good a test as a mixture */
	bool old = random() % 2;
	for (uint64_t at = 0; at < out->len; at += SECTOR) {
		unsigned from = few && random() % 8 ? (old ? 0 : last) : (unsigned)random() % (last + 1);
		size_t n = out->len - at < SECTOR ? out->len - at : SECTOR;
		memcpy(out->bytes + at, after[from].bytes + at, n); /* zeros behind what its length was then */
	}
}

/* ---- the file ---- */

static void quiet(int priority, const char *text)
{
	(void)priority;
	if (getenv("VERBOSE"))
		fprintf(stderr, "%s\n", text);
}

static void open_journal(void)
{
	const struct store_keys *keys;
	struct journal_key *key;
	const struct journal_config cfg = {.own_fd = rig.store->own_fd,
					   .session = rig.store->session.number,
					   .ring_len = JOURNAL_UNIT,
					   .ring_min = JOURNAL_UNIT};

	ck_assert_int_eq(gate_enter(rig.gate, GATE_USE_NEW, &keys), 0);
	ck_assert_int_eq(journal_key_new(keys, cfg.session, &key), 0);
	gate_leave(rig.gate);
	ck_assert_int_eq(journal_open(&cfg, key, &env.journal), 0);
}

static void env_begin(void)
{
	nodes = calloc(1, sizeof(*nodes));
	ck_assert_int_eq(nodes_init(nodes, rig.store->data_fd), 0);
	env = (struct file_env){.gate = rig.gate,
				.layout = rig.store->keyring->layout,
				.nodes = nodes,
				.leeway = &rig.store->leeway,
				.log = quiet};
	store_boot_id(env.boot_id);
	ck_assert_int_eq(file_work_init(&work, &env.layout, calloc(1, rig.store->slot_len)), 0);
	open_journal();
}

static void env_end(void)
{
	free(work.slot);
	file_work_free(&work);
	nodes_free(nodes);
	free(nodes);
	journal_close(env.journal);
}

static void setup(void)
{
	AUTO(blank_end) struct blank blank = {0};
	struct stat st;

	rig_begin(&rig);
	rig_start(&rig);
	rig.store->session.number = 1;
	rig.store->slot_len = inflight_slot_len(&rig.store->keyring->layout);
	env_begin();
	rig_name(&rig, rig.store->data_fd, rig.root_id, "f", disk_name);
	int fd = openat(rig.store->data_fd, disk_name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(blank_make(&blank, rig.gate, &env.layout), 0);
	ck_assert_int_eq(blank_write(&blank, fd), 0);
	ck_assert_int_eq(fstat(fd, &st), 0);
	const struct node_key k = {st.st_dev, st.st_ino, OBJECT_FILE};
	ck_assert_int_eq(node_lookup(nodes, &k, nodes->root, disk_name, &node), 0);
	ck_assert_int_eq(file_adopt(&env, node, fd, &blank, &file), 0);
}

static void teardown(void)
{
	watched = -1;
	file_close(file, true);
	env_end();
	rig_end(&rig);
}

/* The machine went down and is up again: nothing in memory, the journal as it was, the file as it is. */
static void restart(const struct image *disk)
{
	struct stat st;
	struct undo_done done;
	const struct undo u = {.store = rig.store, .gate = rig.gate, .log = quiet};

	watched = -1;
	int fd = dup(file->fd);
	ck_assert_int_eq(syscall(SYS_ftruncate, fd, (off_t)disk->len), 0);
	ck_assert_int_eq(store_pwrite_full(fd, disk->bytes, disk->len, 0), 0);
	file_close(file, true);
	env_end();
	rig.store->left_session = rig.store->session.number;
	ck_assert_int_eq(undo_all(&u, &done), 0);
	undo_done_free(&done);
	rig.store->session.number++;
	rig.store->leeway.all = true;
	env_begin();
	env.unclean = true;
	ck_assert_int_eq(fstat(fd, &st), 0);
	const struct node_key k = {st.st_dev, st.st_ino, OBJECT_FILE};
	ck_assert_int_eq(node_lookup(nodes, &k, nodes->root, disk_name, &node), 0);
	close(fd);
	int r = file_open(&env, node, true, &work, &file);
	ck_assert_msg(r == 0, "the file does not open: %d", r);
	env.unclean = false;
}

/* ---- the model: what the file was at the fsync and after each operation since ---- */

struct state {
	uint8_t bytes[LIMIT];
	uint64_t size;
};

static struct state model[OPS_MAX + 1]; /* [0]: at the fsync */
static unsigned n_model;

static uint64_t pick(uint64_t max)
{
	uint64_t at = (uint64_t)random() % (max + 1);

	if (random() % 3 == 0) {
		static const int near[] = {-33, -32, -31, -1, 0, 1};
		int64_t edge = (int64_t)(at / RIG_BLOCK * RIG_BLOCK) + near[random() % 6];
		at = edge < 0 ? 0 : (uint64_t)edge > max ? max : (uint64_t)edge;
	}
	return at;
}

#define SAY(...) (getenv("VERBOSE") ? (void)fprintf(stderr, __VA_ARGS__) : (void)0)

static void one_operation(void)
{
	static uint8_t content[LIMIT];
	struct state *s = &model[n_model];
	struct file_write w = {.plain = content, .use = GATE_USE_NEW};
	long dice = random() % 10;

	*s = model[n_model - 1];
	n_model++;
	if (dice < 7) {
		w.off = dice < 3 ? s->size : pick(s->size);
		w.len = 1 + pick(dice % 2 ? 200 : 3 * RIG_BLOCK);
		w.len = w.off + w.len > LIMIT ? LIMIT - w.off : w.len;
		for (uint64_t i = 0; i < w.len; i++)
			content[i] = (uint8_t)(random() | 1);
		SAY("write %llu +%zu (size %llu)\n", (unsigned long long)w.off, w.len, (unsigned long long)s->size);
		ck_assert_int_eq(file_write(file, &work, &w), 0);
		memcpy(s->bytes + w.off, content, w.len);
		s->size = w.off + w.len > s->size ? w.off + w.len : s->size;
	} else if (dice < 9) {
		uint64_t to = pick(s->size);
		SAY("truncate %llu (size %llu)\n", (unsigned long long)to, (unsigned long long)s->size);
		ck_assert_int_eq(file_truncate(file, &work, to), 0);
		memset(s->bytes + to, 0, LIMIT - to);
		s->size = to;
	} else {
		uint64_t off = pick(s->size), end = pick(s->size);
		if (off >= end)
			return;
		SAY("punch %llu to %llu (size %llu)\n", (unsigned long long)off, (unsigned long long)end,
		    (unsigned long long)s->size);
		ck_assert_int_eq(
			file_fallocate(file, &work, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, end - off), 0);
		memset(s->bytes + off, 0, end - off);
	}
}

/* Is each byte one that was there at the fsync or was put there since? */
static void judge(unsigned seed)
{
	uint64_t size = file_size(file), least = UINT64_MAX, most = 0;
	const uint8_t *plain;
	size_t got;

	for (unsigned i = 0; i < n_model; i++) {
		least = model[i].size < least ? model[i].size : least;
		most = model[i].size > most ? model[i].size : most;
	}
	ck_assert_msg(size >= least && size <= most, "seed %u: size %llu, between %llu and %llu", seed,
		      (unsigned long long)size, (unsigned long long)least, (unsigned long long)most);
	for (uint64_t at = 0; at < size; at += got) {
		int r = file_read(file, &work, at, RIG_BLOCK - at % RIG_BLOCK, &plain, &got);
		bool durable = at < least;
		if (r && !durable)
			return; /* never acknowledged, and told */
		ck_assert_msg(r == 0, "seed %u: read at %llu of %llu: %d", seed, (unsigned long long)at,
			      (unsigned long long)size, r);
		for (size_t i = 0; i < got; i++) {
			bool known = false;
			for (unsigned k = 0; k < n_model && !known; k++)
				known = at + i < model[k].size && model[k].bytes[at + i] == plain[i];
			ck_assert_msg(known, "seed %u: byte %llu of %llu is %d, which nobody wrote there", seed,
				      (unsigned long long)(at + i), (unsigned long long)size, plain[i]);
		}
	}
}

/* What there is now is durable. */
static void sync_all(void)
{
	SAY("sync\n");
	ck_assert_int_eq(file_sync(file, false), 0);
	model[0] = model[n_model - 1];
	n_model = 1;
	look(&after[0]);
	n_after = 1;
}

/* Somebody takes the journal's file away, and it is noticed. */
static void take_away(void)
{
	static const char name[] = STORE_JOURNAL;
	int dir_fd = rig.store->own_fd;
	int fd = store_open_own(dir_fd, name, O_WRONLY);
	long dice = random() % 3;

	SAY("the journal goes\n");
	if (fd < 0)
		return;
	if (dice == 0)
		ck_assert_int_eq(unlinkat(dir_fd, name, 0), 0);
	else if (dice == 1)
		ck_assert_int_eq(renameat(dir_fd, name, dir_fd, "away"), 0);
	else
		ck_assert_int_eq(syscall(SYS_ftruncate, fd, (off_t)0), 0);
	close(fd);
	synced = false;
	env.journal->looked = 0; /* a second has passed */
	journal_tick(env.journal, 0);
	if (!synced)
		return;
	model[0] = model[n_model - 1];
	n_model = 1;
}

static void round_of(unsigned seed)
{
	static struct image disk;
	struct state now = {.size = file_size(file)};
	const uint8_t *plain;
	size_t got;

	srandom(seed);
	SAY("round %u, size %llu\n", seed, (unsigned long long)now.size);
	for (uint64_t at = 0; at < now.size; at += got) {
		/* what an earlier round has left unread is written again */
		if (file_read(file, &work, at, RIG_BLOCK - at % RIG_BLOCK, &plain, &got)) {
			ck_assert_int_eq(file_truncate(file, &work, at), 0);
			now.size = at;
			break;
		}
		memcpy(now.bytes + at, plain, got);
	}
	model[0] = now;
	n_model = 1;
	watched = file->fd;
	n_after = 0;
	for (long i = random() % 3; i >= 0; i--) {
		sync_all();
		for (long k = 1 + random() % OPS_MAX; k > 0; k--) {
			if (seed % 4 == 3 && random() % 4 == 0)
				take_away();
			one_operation();
		}
	}
	tear(&disk, n_after - 1);
	for (unsigned i = 0; i < n_after; i++)
		SAY("after %u: %llu on disk\n", i, (unsigned long long)after[i].len);
	SAY("torn: %llu on disk\n", (unsigned long long)disk.len);
	restart(&disk);
	judge(seed);
}

START_TEST(torn)
{
	const char *text = getenv("UNDO_ROUNDS");
	unsigned rounds = text ? (unsigned)atoi(text) : 300;

	for (unsigned i = 0; i < rounds; i++)
		round_of((unsigned)_i * 1000000 + i);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("undo");
	TCase *t = tcase_create("undo");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 600);
	tcase_add_loop_test(t, torn, 0, 4);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
