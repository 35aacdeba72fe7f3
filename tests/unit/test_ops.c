/* SPDX-License-Identifier: BSD-2-Clause */
/* The FUSE callbacks, asked as the kernel asks: requests of <linux/fuse.h> through a socket in the place of /dev/fuse. */
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/fuse.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#include "fs/fuse/server.h"
#include "fs/lock/janitor.h"
#include "fs/tree/tree.h"
#include "tests/unit/store_rig.h"

#define BODY_MAX (1u << 17)
#define NOBODY 4711u /* an id that no inode has */

static struct rig rig;
static struct tree tree;
static struct lock lock;
static struct server *server;
static int kernel; /* our end */
static bool read_only;
static enum wrap_type wrap = WRAP_STORE;
static _Atomic bool ended;

/* The last reply. */
static uint8_t body[BODY_MAX];
static size_t body_len;

/* ---- what the kernel is told ---- */

static _Atomic unsigned n_forgotten;
static _Atomic uint64_t forgotten; /* the last inode */

int lock_forget_inode(struct lock *l, uint64_t ino, int64_t off, int64_t len)
{
	(void)l;
	(void)off;
	(void)len;
	atomic_store(&forgotten, ino);
	atomic_fetch_add(&n_forgotten, 1);
	return 0;
}

static void (*on_locking)(void); /* once, at the first word of a lock: the state is LOCKING */

void lock_forget_names(struct lock *l)
{
	void (*now)(void) = on_locking;

	(void)l;
	on_locking = NULL;
	if (now)
		now();
}

/* ---- the kernel's end ---- */

/* The reply to request UNIQUE: 0 or its negative errno; what it says is in BODY. */
static int receive(uint64_t unique)
{
	struct fuse_out_header h;
	struct iovec iov[2] = {{&h, sizeof(h)}, {body, sizeof(body)}};

	ssize_t n = readv(kernel, iov, 2);
	ck_assert_int_ge(n, (ssize_t)sizeof(h));
	ck_assert_uint_eq(h.len, (uint64_t)n);
	ck_assert_uint_eq(h.unique, unique);
	body_len = (size_t)n - sizeof(h);
	return h.error;
}

static uint64_t send_request(uint32_t opcode, uint64_t node, struct iovec *iov, int n)
{
	static uint64_t unique;
	struct fuse_in_header h = {.len = sizeof(h),
				   .opcode = opcode,
				   .unique = ++unique,
				   .nodeid = node,
				   .uid = getuid(),
				   .gid = getgid(),
				   .pid = (uint32_t)getppid()};

	for (int i = 1; i < n; i++)
		h.len += (uint32_t)iov[i].iov_len;
	iov[0] = (struct iovec){&h, sizeof(h)};
	ck_assert_int_eq(writev(kernel, iov, n), (ssize_t)h.len);
	return unique;
}

/* What follows a request's header, in parts. */
#define PARTS(...) ((struct iovec[]){{0}, __VA_ARGS__})
#define SEND(opcode, node, ...) send_request(opcode, node, PARTS(__VA_ARGS__), (int)ARRAY_LEN(PARTS(__VA_ARGS__)))
#define ASK(opcode, node, ...) receive(SEND(opcode, node, __VA_ARGS__))
#define BYTES(...) &(__VA_ARGS__), sizeof(__VA_ARGS__)
#define TEXT(s) (char *)(uintptr_t)(s), strlen(s) + 1

#define DIRECT_MMAP (1u << 4) /* FUSE_DIRECT_IO_ALLOW_MMAP in flags2 */

static uint32_t offer; /* flags2 of INIT */

static void init(void)
{
	struct fuse_init_in in = {.major = 7, .minor = 36, .max_readahead = 1 << 20, .flags2 = offer};
	in.flags = (offer ? FUSE_INIT_EXT : 0) | FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_WRITEBACK_CACHE |
		   FUSE_POSIX_ACL | FUSE_DO_READDIRPLUS | FUSE_DONT_MASK | FUSE_AUTO_INVAL_DATA | FUSE_MAX_PAGES |
		   FUSE_PARALLEL_DIROPS | FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS | FUSE_ATOMIC_O_TRUNC | FUSE_SPLICE_READ;
	ck_assert_int_eq(ASK(FUSE_INIT, 0, {BYTES(in)}), 0);
	const struct fuse_init_out *out = (const struct fuse_init_out *)body;
	ck_assert_uint_eq(body_len, sizeof(*out));
	ck_assert_uint_eq(out->flags2 & DIRECT_MMAP, offer);
	ck_assert(!offer || (out->flags & FUSE_INIT_EXT));
}

/* ---- the mount around it ---- */

static void on_log(int priority, const char *text)
{
	(void)priority;
	(void)text;
}

static void on_ended(void *arg)
{
	(void)arg;
	atomic_store(&ended, true);
}

static void on_drain(void *arg, unsigned drain_ms)
{
	(void)arg;
	lock_drain(&lock, drain_ms);
}

static void on_locked(void *arg, enum gate_cause cause, const char *reason)
{
	(void)arg;
	(void)cause;
	(void)reason;
	server_wipe(server);
}

static void on_active(void *arg)
{
	(void)arg;
	lock_lifted(&lock);
}

static void setup(void)
{
	const struct gate_hooks hooks = {.drain = on_drain, .locked = on_locked, .active = on_active};
	char why[STORE_WHY_MAX];
	int end[2];

	rig_begin(&rig);
	rig.wrap = wrap;
	rig_start(&rig);
	ck_assert_msg(store_begin(rig.store, rig.gate, NULL, why) == 0, "%s", why);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, end), 0);
	kernel = end[0];
	ck_assert_int_eq(tree_init(&tree, rig.store, rig.gate, read_only, on_log), 0);
	lock_init(&lock, &(struct lock_config){.nodes = &tree.nodes,
					       .gate = rig.gate,
					       .fuse_fd = end[1],
					       .mountpoint = rig.dir,
					       .log = on_log});
	ck_assert_int_eq(server_new(&(struct server_config){.tree = &tree,
							    .lock = &lock,
							    .store = rig.store,
							    .fuse_fd = end[1],
							    .attr_timeout_ms = 15000,
							    .ended = on_ended},
				    &server),
			 0);
	ck_assert_int_eq(janitor_start(&lock), 0);
	ck_assert_int_eq(server_start(server), 0);
	ck_assert_int_eq(gate_start(rig.gate, &hooks), 0);
	init();
}

static void teardown(void)
{
	gate_detach(rig.gate);
	janitor_stop(&lock);
	shutdown(kernel, SHUT_RDWR);
	server_free(server);
	ck_assert(atomic_load(&ended));
	janitor_free(&lock);
	tree_free(&tree);
	close(kernel);
	rig_end(&rig);
}

static void order_lock(void)
{
	ck_assert_int_eq(gate_lock(rig.gate, "the test"), 0);
	ck_assert_int_eq(gate_state(rig.gate), GATE_LOCKED);
}

static void order_unlock(void)
{
	char why[320];
	ck_assert_int_eq(gate_unlock(rig.gate, why), 0);
}

/* ---- single requests ---- */

static int lookup(const char *name, struct fuse_entry_out *e)
{
	int r = ASK(FUSE_LOOKUP, FUSE_ROOT_ID, {TEXT(name)});
	if (!r)
		memcpy(e, body, sizeof(*e));
	return r;
}

static int create(const char *name, struct fuse_entry_out *e, uint64_t *fh)
{
	struct fuse_create_in in = {.flags = O_RDWR | O_CREAT, .mode = S_IFREG | 0644, .umask = 022};
	struct fuse_open_out open;
	int r = ASK(FUSE_CREATE, FUSE_ROOT_ID, {BYTES(in)}, {TEXT(name)});
	if (r)
		return r;
	ck_assert_uint_eq(body_len, sizeof(*e) + sizeof(open));
	memcpy(e, body, sizeof(*e));
	memcpy(&open, body + sizeof(*e), sizeof(open));
	*fh = open.fh;
	return 0;
}

static int put(uint64_t node, uint64_t fh, uint64_t off, const char *text, uint32_t flags)
{
	struct fuse_write_in in = {.fh = fh, .offset = off, .size = (uint32_t)strlen(text), .write_flags = flags};
	int r = ASK(FUSE_WRITE, node, {BYTES(in)}, {(char *)(uintptr_t)text, strlen(text)});
	if (!r)
		ck_assert_uint_eq(((struct fuse_write_out *)body)->size, in.size);
	return r;
}

static int get(uint64_t node, uint64_t fh, uint64_t off, uint32_t size)
{
	struct fuse_read_in in = {.fh = fh, .offset = off, .size = size};
	return ASK(FUSE_READ, node, {BYTES(in)});
}

static int fsync_file(uint64_t node, uint64_t fh)
{
	struct fuse_fsync_in in = {.fh = fh};
	return ASK(FUSE_FSYNC, node, {BYTES(in)});
}

static int release(uint64_t node, uint64_t fh)
{
	struct fuse_release_in in = {.fh = fh};
	return ASK(FUSE_RELEASE, node, {BYTES(in)});
}

static int getattr(uint64_t node, struct fuse_attr_out *out)
{
	struct fuse_getattr_in in = {0};
	int r = ASK(FUSE_GETATTR, node, {BYTES(in)});
	if (!r)
		memcpy(out, body, sizeof(*out));
	return r;
}

static int set_mtime(uint64_t node, const uint64_t *fh)
{
	struct fuse_setattr_in in = {.valid = FATTR_MTIME, .mtime = 12345};
	if (fh) {
		in.valid |= FATTR_FH;
		in.fh = *fh;
	}
	return ASK(FUSE_SETATTR, node, {BYTES(in)});
}

/* ---- a file's life ---- */

START_TEST(session)
{
	const struct fuse_init_out *out = (struct fuse_init_out *)body; /* setup() has asked */
	ck_assert_uint_eq(out->major, 7);
	ck_assert_uint_eq(out->max_write, INFLIGHT_REQUEST_MAX);
	ck_assert_uint_eq(out->time_gran, 1);
	ck_assert_uint_eq(out->flags & FUSE_WRITEBACK_CACHE, read_only ? 0 : FUSE_WRITEBACK_CACHE);
	ck_assert(out->flags & FUSE_POSIX_ACL);
	/* the kernel's own locks are exact; O_TRUNC comes as SETATTR; splice would copy into pipes */
	ck_assert_uint_eq(out->flags & (FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS | FUSE_ATOMIC_O_TRUNC | FUSE_SPLICE_READ),
			  0);
}
END_TEST

START_TEST(file)
{
	struct fuse_entry_out e, again;
	struct fuse_attr_out a;
	uint64_t fh;

	ck_assert_int_eq(lookup("file", &e), 0);
	ck_assert_uint_eq(e.nodeid, 0); /* "not there", to be remembered */
	ck_assert_uint_eq(e.entry_valid, 15);
	ck_assert_int_eq(create("file", &e, &fh), 0);
	ck_assert_uint_eq(e.attr.mode, S_IFREG | 0644);
	ck_assert_int_eq(put(e.nodeid, fh, 0, "hello", 0), 0);
	ck_assert_int_eq(put(e.nodeid, fh, 5, ", world", FUSE_WRITE_CACHE), 0);
	ck_assert_int_eq(get(e.nodeid, fh, 0, 100), 0);
	ck_assert_uint_eq(body_len, 12);
	ck_assert_int_eq(memcmp(body, "hello, world", 12), 0);
	ck_assert_int_eq(fsync_file(e.nodeid, fh), 0);
	ck_assert_int_eq(getattr(e.nodeid, &a), 0);
	ck_assert_uint_eq(a.attr.size, 12);
	ck_assert_uint_eq(a.attr_valid, 15);
	ck_assert_int_eq(lookup("file", &again), 0);
	ck_assert_uint_eq(again.nodeid, e.nodeid);
	ck_assert_uint_eq(again.attr.size, 12);
	ck_assert_int_eq(release(e.nodeid, fh), 0);
	/* the kernel forgets: one look-up of CREATE, one of LOOKUP */
	ck_assert_uint_eq(atomic_load(&tree.nodes.known), 2);
	struct fuse_forget_in forget = {.nlookup = 2};
	SEND(FUSE_FORGET, e.nodeid, {BYTES(forget)});
	ck_assert_int_eq(getattr(FUSE_ROOT_ID, &a), 0); /* FORGET has no answer */
	for (int ms = 0; ms < 5000 && atomic_load(&tree.nodes.known) > 1; ms++)
		clock_pause(1);
	ck_assert_uint_eq(atomic_load(&tree.nodes.known), 1);
	/* and finds it again */
	ck_assert_int_eq(lookup("file", &again), 0);
	ck_assert_uint_eq(again.attr.size, 12);
}
END_TEST

/* TMPFILE, of which libfuse knows nothing, with the name that the kernel gives it or another. */
static int tmpfile_of(const char *name, struct fuse_entry_out *e, uint64_t *fh)
{
	struct fuse_create_in in = {.flags = O_RDWR | O_TMPFILE, .mode = S_IFREG | 0666, .umask = 022};
	struct fuse_open_out open;
	int r = ASK(FUSE_TMPFILE, FUSE_ROOT_ID, {BYTES(in)}, {TEXT(name)});
	if (r)
		return r;
	ck_assert_uint_eq(body_len, sizeof(*e) + sizeof(open));
	memcpy(e, body, sizeof(*e));
	memcpy(&open, body + sizeof(*e), sizeof(open));
	*fh = open.fh;
	return 0;
}

START_TEST(file_without_a_name)
{
	struct fuse_entry_out e, named;
	uint64_t fh, other;

	ck_assert_int_eq(tmpfile_of("/", &e, &fh), 0);
	ck_assert_uint_eq(e.attr.mode, S_IFREG | 0644);
	ck_assert_uint_eq(e.attr.nlink, 0);
	ck_assert_int_eq(put(e.nodeid, fh, 0, "hello", 0), 0);
	ck_assert_int_eq(tmpfile_of("any-name-that-is-longer", &named, &other), 0);
	ck_assert_uint_ne(named.nodeid, e.nodeid);
	ck_assert_int_eq(lookup("any-name-that-is-longer", &named), 0);
	ck_assert_uint_eq(named.nodeid, 0);
	struct fuse_link_in in = {.oldnodeid = e.nodeid};
	ck_assert_int_eq(ASK(FUSE_LINK, FUSE_ROOT_ID, {BYTES(in)}, {TEXT("file")}), 0);
	memcpy(&named, body, sizeof(named));
	ck_assert_uint_eq(named.nodeid, e.nodeid);
	ck_assert_uint_eq(named.attr.nlink, 1);
	ck_assert_int_eq(release(e.nodeid, fh), 0);
	ck_assert_int_eq(lookup("file", &named), 0);
	ck_assert_uint_eq(named.attr.size, 5);
	/* a request that is cut off before its name is libfuse's to refuse */
	struct fuse_create_in cut = {.flags = O_RDWR};
	ck_assert_int_eq(ASK(FUSE_TMPFILE, FUSE_ROOT_ID, {BYTES(cut)}), -ENOSYS);
}
END_TEST

/* As Linux 6.18 asks: an int where the number says long. */
static int ask_flags(uint64_t node, uint32_t cmd, uint32_t size)
{
	return ASK(FUSE_IOCTL, node, {BYTES((struct fuse_ioctl_in){.cmd = cmd, .out_size = size})});
}

static int set_flags(uint64_t node, uint32_t flags)
{
	struct fuse_ioctl_in in = {.cmd = FS_IOC_SETFLAGS, .in_size = sizeof(flags)};
	return ASK(FUSE_IOCTL, node, {BYTES(in)}, {BYTES(flags)});
}

START_TEST(inode_flags)
{
	const size_t head = sizeof(struct fuse_ioctl_out);
	struct fuse_entry_out e;
	struct fsxattr x;
	uint32_t flags;
	uint64_t fh;

	ck_assert_int_eq(create("file", &e, &fh), 0);
	int r = ask_flags(e.nodeid, FS_IOC_GETFLAGS, 4);
	if (r == -ENOTTY)
		return; /* the filesystem of the test has none */
	ck_assert_int_eq(r, 0);
	ck_assert_uint_eq(body_len, head + 4);
	memcpy(&flags, body + head, 4);
	ck_assert_uint_eq(flags, 0); /* whatever the file on disk has: extents, inline data */
	ck_assert_int_eq(set_flags(e.nodeid, FS_NODUMP_FL), 0);
	ck_assert_int_eq(ask_flags(e.nodeid, FS_IOC_FSGETXATTR, sizeof(x)), 0);
	ck_assert_uint_eq(body_len, head + sizeof(x));
	memcpy(&x, body + head, sizeof(x));
	ck_assert_uint_eq(x.fsx_xflags, FS_XFLAG_NODUMP);
	ck_assert_uint_eq(x.fsx_nextents + x.fsx_projid, 0);
	ck_assert_int_eq(set_flags(e.nodeid, FS_NODUMP_FL | FS_IMMUTABLE_FL), -EOPNOTSUPP);
	ck_assert_int_eq(set_flags(e.nodeid, FS_NODUMP_FL | FS_SYNC_FL), -EOPNOTSUPP);
	ck_assert_int_eq(set_flags(e.nodeid, 0), 0);
	ck_assert_int_eq(ask_flags(e.nodeid, FS_IOC_GETFLAGS, 4), 0);
	ck_assert_mem_eq(body + head, &(uint32_t){0}, 4);
	ck_assert_int_eq(ask_flags(e.nodeid, FS_IOC_GETFLAGS, 0), -ENOTTY);
	ck_assert_int_eq(ask_flags(e.nodeid, FS_IOC_FSGETXATTR, 4), -ENOTTY);
	ck_assert_int_eq(ask_flags(e.nodeid, FS_IOC_SETFLAGS, 4), -ENOTTY);
	ck_assert_int_eq(ask_flags(e.nodeid, FIGETBSZ, 4), -ENOTTY);
}
END_TEST

START_TEST(handles_know_their_mode)
{
	struct fuse_open_in in = {.flags = O_RDONLY};
	struct fuse_open_out open;
	struct fuse_entry_out e;
	uint64_t fh;

	ck_assert_int_eq(create("file", &e, &fh), 0);
	ck_assert_int_eq(release(e.nodeid, fh), 0);
	ck_assert_int_eq(ASK(FUSE_OPEN, e.nodeid, {BYTES(in)}), 0);
	memcpy(&open, body, sizeof(open));
	ck_assert(open.open_flags & FOPEN_KEEP_CACHE);
	const struct node *n = node_get(&tree.nodes, e.nodeid);
	ck_assert_uint_eq(n->file->handles, 1);
	ck_assert_uint_eq(n->file->writers, 0);
	ck_assert_int_eq(get(e.nodeid, open.fh, 0, 10), 0);
	ck_assert_uint_eq(body_len, 0);
	in.flags = O_WRONLY;
	ck_assert_int_eq(ASK(FUSE_OPEN, e.nodeid, {BYTES(in)}), 0);
	uint64_t writer = ((struct fuse_open_out *)body)->fh;
	ck_assert_uint_eq(n->file->writers, 1);
	ck_assert_int_eq(release(e.nodeid, writer), 0);
	ck_assert_uint_eq(n->file->writers, 0);
	ck_assert_int_eq(release(e.nodeid, open.fh), 0);
	/* the last OPEN may still hold it */
	for (int ms = 0; ms < 5000 && atomic_load(&n->file); ms++)
		clock_pause(1);
	ck_assert_ptr_null(n->file);
	/* a folder is not opened as a file */
	ck_assert_int_eq(ASK(FUSE_OPEN, FUSE_ROOT_ID, {BYTES(in)}), -EIO);
}
END_TEST

START_TEST(truncate_and_times)
{
	struct fuse_setattr_in in = {.valid = FATTR_SIZE | FATTR_MTIME | FATTR_MODE, .size = 3, .mode = 0600};
	struct fuse_entry_out e;
	uint64_t fh;

	ck_assert_int_eq(create("file", &e, &fh), 0);
	ck_assert_int_eq(put(e.nodeid, fh, 0, "hello", 0), 0);
	in.mtime = 1000000000;
	ck_assert_int_eq(ASK(FUSE_SETATTR, e.nodeid, {BYTES(in)}), 0);
	struct fuse_attr_out *a = (struct fuse_attr_out *)body;
	ck_assert_uint_eq(a->attr.size, 3);
	ck_assert_uint_eq(a->attr.mode, S_IFREG | 0600);
	ck_assert_uint_eq(a->attr.mtime, 1000000000);
	/* without an open file too */
	ck_assert_int_eq(release(e.nodeid, fh), 0);
	in.size = 10000;
	ck_assert_int_eq(ASK(FUSE_SETATTR, e.nodeid, {BYTES(in)}), 0);
	ck_assert_uint_eq(((struct fuse_attr_out *)body)->attr.size, 10000);
}
END_TEST

START_TEST(seek_writes_back_first)
{
	struct fuse_lseek_in in = {.whence = SEEK_HOLE};
	struct fuse_entry_out e;

	ck_assert_int_eq(create("file", &e, &in.fh), 0);
	ck_assert_int_eq(put(e.nodeid, in.fh, 0, "hello", 0), 0);
	atomic_store(&n_forgotten, 0);
	ck_assert_int_eq(ASK(FUSE_LSEEK, e.nodeid, {BYTES(in)}), 0);
	ck_assert_uint_eq(((struct fuse_lseek_out *)body)->offset, 5);
	ck_assert_uint_eq(atomic_load(&n_forgotten), 1);
	ck_assert_uint_eq(atomic_load(&forgotten), e.nodeid);
	in.whence = SEEK_SET;
	ck_assert_int_eq(ASK(FUSE_LSEEK, e.nodeid, {BYTES(in)}), -EINVAL);
}
END_TEST

/* ---- names ---- */

static unsigned list_root(uint32_t opcode, char *names, size_t len)
{
	struct fuse_read_in in = {.size = 4096};
	struct fuse_open_in open = {0};
	unsigned n = 0;

	names[0] = '\0';
	ck_assert_int_eq(ASK(FUSE_OPENDIR, FUSE_ROOT_ID, {BYTES(open)}), 0);
	in.fh = ((struct fuse_open_out *)body)->fh;
	while (ASK(opcode, FUSE_ROOT_ID, {BYTES(in)}) == 0 && body_len > 0) {
		for (size_t at = 0; at < body_len; n++) {
			size_t plus = opcode == FUSE_READDIRPLUS ? sizeof(struct fuse_entry_out) : 0;
			const struct fuse_dirent *d = (const struct fuse_dirent *)(body + at + plus);
			size_t used = strlen(names);
			snprintf(names + used, len - used, "%.*s ", (int)d->namelen, d->name);
			in.offset = d->off;
			at += FUSE_DIRENT_ALIGN(plus + FUSE_NAME_OFFSET + d->namelen);
		}
	}
	struct fuse_release_in done = {.fh = in.fh};
	ck_assert_int_eq(ASK(FUSE_FSYNCDIR, FUSE_ROOT_ID, {BYTES((struct fuse_fsync_in){.fh = in.fh})}), 0);
	ck_assert_int_eq(ASK(FUSE_RELEASEDIR, FUSE_ROOT_ID, {BYTES(done)}), 0);
	return n;
}

START_TEST(names)
{
	struct fuse_mkdir_in dir = {.mode = 0755, .umask = 022};
	struct fuse_mknod_in fifo = {.mode = S_IFIFO | 0600}, plain = {.mode = S_IFREG | 0600};
	struct fuse_entry_out e;
	char text[512];

	ck_assert_int_eq(ASK(FUSE_MKDIR, FUSE_ROOT_ID, {BYTES(dir)}, {TEXT("dir")}), 0);
	uint64_t folder = ((struct fuse_entry_out *)body)->nodeid;
	ck_assert_int_eq(ASK(FUSE_MKNOD, FUSE_ROOT_ID, {BYTES(fifo)}, {TEXT("fifo")}), 0);
	ck_assert_uint_eq(((struct fuse_entry_out *)body)->attr.mode, S_IFIFO | 0600);
	ck_assert_int_eq(ASK(FUSE_MKNOD, FUSE_ROOT_ID, {BYTES(plain)}, {TEXT("plain")}), 0);
	struct fuse_link_in link = {.oldnodeid = ((struct fuse_entry_out *)body)->nodeid};
	ck_assert_int_eq(ASK(FUSE_SYMLINK, FUSE_ROOT_ID, {TEXT("symlink")}, {TEXT("target")}), 0);
	memcpy(&e, body, sizeof(e));
	ck_assert_int_eq(ASK(FUSE_READLINK, e.nodeid), 0);
	ck_assert_uint_eq(body_len, 6);
	ck_assert_int_eq(memcmp(body, "target", 6), 0);
	ck_assert_int_eq(ASK(FUSE_LINK, FUSE_ROOT_ID, {BYTES(link)}, {TEXT("second")}), 0);
	ck_assert_uint_eq(((struct fuse_entry_out *)body)->attr.nlink, 2);
	struct fuse_rename2_in rename = {.newdir = folder};
	ck_assert_int_eq(ASK(FUSE_RENAME2, FUSE_ROOT_ID, {BYTES(rename)}, {TEXT("second")}, {TEXT("moved")}), 0);
	ck_assert_int_eq(ASK(FUSE_RMDIR, FUSE_ROOT_ID, {TEXT("dir")}), -ENOTEMPTY);
	ck_assert_uint_eq(list_root(FUSE_READDIR, text, sizeof(text)), 6); /* with . and .. */
	for (size_t i = 0; i < 4; i++)
		ck_assert_ptr_nonnull(strstr(text, ((const char *[]){"dir ", "fifo ", "plain ", "symlink "})[i]));
	ck_assert_uint_eq(list_root(FUSE_READDIRPLUS, text, sizeof(text)), 6);
	ck_assert_int_eq(ASK(FUSE_UNLINK, folder, {TEXT("moved")}), 0);
	ck_assert_int_eq(ASK(FUSE_RMDIR, FUSE_ROOT_ID, {TEXT("dir")}), 0);
	ck_assert_int_eq(ASK(FUSE_UNLINK, FUSE_ROOT_ID, {TEXT("nothing")}), -ENOENT);
}
END_TEST

/* ---- admission ---- */

/* The smallest request of OPCODE on NODE that is well-formed. */
static int call(uint32_t opcode, uint64_t node, uint64_t fh)
{
	static char zero[64], data[16];
	struct fuse_setxattr_in x = {.size = 1};

	switch (opcode) {
	case FUSE_LOOKUP:
	case FUSE_UNLINK:
	case FUSE_RMDIR:
	case FUSE_REMOVEXATTR:
		return ASK(opcode, node, {TEXT("user.name")});
	case FUSE_SYMLINK:
		return ASK(opcode, node, {TEXT("name")}, {TEXT("target")});
	case FUSE_READLINK:
		return ASK(opcode, node);
	case FUSE_RENAME2:
		return ASK(opcode, node, {BYTES((struct fuse_rename2_in){.newdir = node})}, {TEXT("a")}, {TEXT("b")});
	case FUSE_LINK:
		return ASK(opcode, node, {BYTES((struct fuse_link_in){.oldnodeid = node})}, {TEXT("name")});
	case FUSE_MKDIR:
		return ASK(opcode, node, {BYTES((struct fuse_mkdir_in){.mode = 0755})}, {TEXT("name")});
	case FUSE_MKNOD:
		return ASK(opcode, node, {BYTES((struct fuse_mknod_in){.mode = S_IFREG})}, {TEXT("name")});
	case FUSE_CREATE:
	case FUSE_TMPFILE:
		return ASK(opcode, node, {BYTES((struct fuse_create_in){.flags = O_RDWR})}, {TEXT("name")});
	case FUSE_SETATTR:
		return ASK(opcode, node, {BYTES((struct fuse_setattr_in){.valid = FATTR_MODE, .mode = 0600})});
	case FUSE_SETXATTR:
		return ASK(opcode, node, {&x, FUSE_COMPAT_SETXATTR_IN_SIZE}, {TEXT("user.name")}, {data, 1});
	case FUSE_GETXATTR:
		return ASK(opcode, node, {BYTES((struct fuse_getxattr_in){.size = 64})}, {TEXT("user.name")});
	case FUSE_LISTXATTR:
		return ASK(opcode, node, {BYTES((struct fuse_getxattr_in){.size = 64})});
	case FUSE_WRITE:
		return ASK(opcode, node, {BYTES((struct fuse_write_in){.fh = fh, .size = 16})}, {BYTES(data)});
	case FUSE_READ:
	case FUSE_READDIR:
	case FUSE_READDIRPLUS:
		return ASK(opcode, node, {BYTES((struct fuse_read_in){.fh = fh, .size = 4096})});
	case FUSE_FALLOCATE:
		return ASK(opcode, node, {BYTES((struct fuse_fallocate_in){.fh = fh, .length = 10})});
	case FUSE_LSEEK:
		return ASK(opcode, node, {BYTES((struct fuse_lseek_in){.fh = fh, .whence = SEEK_DATA})});
	case FUSE_IOCTL:
		return ASK(opcode, node, {BYTES((struct fuse_ioctl_in){.cmd = FS_IOC_GETFLAGS, .out_size = 4})});
	case FUSE_FSYNC:
		return ASK(opcode, node, {BYTES((struct fuse_fsync_in){.fh = fh})});
	default: /* GETATTR, OPEN, OPENDIR, STATFS, FLUSH: their arguments may all be 0 */
		return ASK(opcode, node, {BYTES(zero)});
	}
}

static const uint32_t changes[] = {FUSE_SETATTR,     FUSE_SYMLINK,   FUSE_MKNOD,  FUSE_MKDIR,  FUSE_UNLINK,
				   FUSE_RMDIR,       FUSE_RENAME2,   FUSE_LINK,   FUSE_CREATE, FUSE_SETXATTR,
				   FUSE_REMOVEXATTR, FUSE_FALLOCATE, FUSE_TMPFILE};
static const uint32_t questions[] = {FUSE_LOOKUP,  FUSE_GETATTR,  FUSE_READLINK,  FUSE_OPEN,
				     FUSE_OPENDIR, FUSE_GETXATTR, FUSE_LISTXATTR, FUSE_IOCTL};
static const uint32_t contents[] = {FUSE_READ, FUSE_WRITE, FUSE_LSEEK};

START_TEST(locked)
{
	struct fuse_entry_out e;
	uint64_t fh;

	ck_assert_int_eq(create("file", &e, &fh), 0);
	ck_assert_int_eq(put(e.nodeid, fh, 0, "hello", 0), 0);
	struct fuse_open_in open = {0};
	ck_assert_int_eq(ASK(FUSE_OPENDIR, FUSE_ROOT_ID, {BYTES(open)}), 0);
	uint64_t listing = ((struct fuse_open_out *)body)->fh;
	order_lock();
	for (size_t i = 0; i < ARRAY_LEN(changes); i++)
		ck_assert_msg(call(changes[i], e.nodeid, fh) == -EACCES, "opcode %u", changes[i]);
	for (size_t i = 0; i < ARRAY_LEN(questions); i++)
		ck_assert_msg(call(questions[i], e.nodeid, fh) == -EACCES, "opcode %u", questions[i]);
	for (size_t i = 0; i < ARRAY_LEN(contents); i++)
		ck_assert_msg(call(contents[i], e.nodeid, fh) == -EACCES, "opcode %u", contents[i]);
	ck_assert_int_eq(call(FUSE_READDIR, FUSE_ROOT_ID, listing), -EACCES);
	ck_assert_int_eq(call(FUSE_READDIRPLUS, FUSE_ROOT_ID, listing), -EACCES);
	/* what must go on, or the kernel could not let go of anything */
	ck_assert_int_eq(call(FUSE_FLUSH, e.nodeid, fh), 0);
	ck_assert_int_eq(fsync_file(e.nodeid, fh), 0);
	ck_assert_int_eq(call(FUSE_STATFS, FUSE_ROOT_ID, 0), 0);
	ck_assert_int_eq(release(FUSE_ROOT_ID, fh), 0);
	order_unlock();
	ck_assert_int_eq(call(FUSE_READDIR, FUSE_ROOT_ID, listing), 0);
	struct fuse_release_in done = {.fh = listing};
	ck_assert_int_eq(ASK(FUSE_RELEASEDIR, FUSE_ROOT_ID, {BYTES(done)}), 0);
}
END_TEST

START_TEST(locked_root)
{
	struct fuse_getxattr_in in = {.size = 256};
	struct fuse_attr_out a;

	order_lock();
	/* monitoring must not see a dead mount; but nothing of it may be remembered */
	ck_assert_int_eq(getattr(FUSE_ROOT_ID, &a), 0);
	ck_assert_uint_eq(a.attr_valid, 0);
	ck_assert_int_eq(ASK(FUSE_GETXATTR, FUSE_ROOT_ID, {BYTES(in)}, {TEXT("user.byokfs.state")}), 0);
	body[body_len] = '\0';
	ck_assert_msg(strncmp((char *)body, "locked (ordered): ", 18) == 0, "%s", (char *)body);
	in.size = 3;
	ck_assert_int_eq(ASK(FUSE_GETXATTR, FUSE_ROOT_ID, {BYTES(in)}, {TEXT("user.byokfs.state")}), -ERANGE);
	order_unlock();
	ck_assert_int_eq(ASK(FUSE_SETXATTR, FUSE_ROOT_ID, {&(struct fuse_setxattr_in){.size = 1}, 8},
			     {TEXT("user.byokfs.state")}, {TEXT("")}),
			 -EPERM);
}
END_TEST

static struct fuse_entry_out open_file;
static uint64_t open_fh;

static void while_locking(void)
{
	ck_assert_int_eq(gate_state(rig.gate), GATE_LOCKING);
	/* what was accepted before is sealed, with the time that the kernel sets when it writes back */
	ck_assert_int_eq(put(open_file.nodeid, open_fh, 0, "HELLO", FUSE_WRITE_CACHE), 0);
	ck_assert_int_eq(set_mtime(open_file.nodeid, &open_fh), 0);
	/* nothing new */
	ck_assert_int_eq(put(open_file.nodeid, open_fh, 0, "other", 0), -EACCES);
	ck_assert_int_eq(get(open_file.nodeid, open_fh, 0, 5), -EACCES);
	ck_assert_int_eq(call(FUSE_SETATTR, open_file.nodeid, open_fh), -EACCES);
	ck_assert_int_eq(call(FUSE_CREATE, FUSE_ROOT_ID, 0), -EACCES);
	ck_assert_int_eq(set_mtime(NOBODY, &open_fh), -ESTALE);
}

START_TEST(locking)
{
	struct fs_lock_report report;

	ck_assert_int_eq(create("file", &open_file, &open_fh), 0);
	ck_assert_int_eq(put(open_file.nodeid, open_fh, 0, "hello", 0), 0);
	on_locking = while_locking;
	order_lock();
	ck_assert_ptr_null(on_locking);
	lock_report(&lock, &report);
	ck_assert_uint_eq(report.sealed_bytes, 5);
	ck_assert_uint_eq(report.refused_bytes, 0);
	order_unlock();
	ck_assert_int_eq(get(open_file.nodeid, open_fh, 0, 5), 0);
	ck_assert_int_eq(memcmp(body, "HELLO", 5), 0);
}
END_TEST

/* A page that was acknowledged long ago is refused: its bytes read as EIO, never as zeros, until they are written again. */
START_TEST(lost_page)
{
	struct fuse_entry_out e;
	struct fs_lock_report report;
	uint64_t fh;

	ck_assert_int_eq(create("file", &e, &fh), 0);
	ck_assert_int_eq(put(e.nodeid, fh, 0, "hello", 0), 0);
	order_lock();
	ck_assert_int_eq(put(e.nodeid, fh, 0, "HELLO", FUSE_WRITE_CACHE), -EACCES);
	ck_assert_int_eq(put(e.nodeid, fh, 0, "other", 0), -EACCES); /* its writer is told, nothing is lost */
	lock_report(&lock, &report);
	ck_assert_uint_eq(report.refused_bytes, 5);
	ck_assert_uint_eq(atomic_load(&lock.refused_writes), 1);
	ck_assert_uint_ge(atomic_load(&lock.draining), 1);
	/* its time was never set, and fsync has told the error once: nothing more to refuse */
	ck_assert_int_eq(set_mtime(e.nodeid, &fh), 0);
	ck_assert_int_eq(set_mtime(e.nodeid, NULL), -EACCES);
	order_unlock();
	ck_assert_int_eq(get(e.nodeid, fh, 0, 5), -EIO);
	ck_assert_int_eq(put(e.nodeid, fh, 0, "HELLO", FUSE_WRITE_CACHE), 0);
	ck_assert_int_eq(get(e.nodeid, fh, 0, 5), 0);
	ck_assert_int_eq(memcmp(body, "HELLO", 5), 0);
	ck_assert_int_eq(release(e.nodeid, fh), 0);
}
END_TEST

START_TEST(read_only_mount)
{
	struct fuse_attr_out a;
	for (size_t i = 0; i < ARRAY_LEN(changes); i++)
		ck_assert_msg(call(changes[i], FUSE_ROOT_ID, 0) == -EROFS, "opcode %u", changes[i]);
	ck_assert_int_eq(getattr(FUSE_ROOT_ID, &a), 0);
	/* locked too: that it is read-only does not depend on keys */
	order_lock();
	ck_assert_int_eq(call(FUSE_MKDIR, FUSE_ROOT_ID, 0), -EROFS);
}
END_TEST

/* The kernel never does this; whoever plays it must not end the process by it. */
START_TEST(ids_that_are_not_there)
{
	static const uint64_t ids[] = {NOBODY, 0, UINT64_MAX, 1ull << 40};
	for (size_t n = 0; n < ARRAY_LEN(ids); n++) {
		for (size_t i = 0; i < ARRAY_LEN(changes); i++)
			ck_assert_msg(call(changes[i], ids[n], 0) == -ESTALE, "opcode %u", changes[i]);
		for (size_t i = 0; i < ARRAY_LEN(questions); i++)
			ck_assert_msg(call(questions[i], ids[n], 0) == -ESTALE, "opcode %u", questions[i]);
		struct fuse_forget_in forget = {.nlookup = 1};
		SEND(FUSE_FORGET, ids[n], {BYTES(forget)});
	}
	struct fuse_rename2_in rename = {.newdir = NOBODY};
	ck_assert_int_eq(ASK(FUSE_RENAME2, FUSE_ROOT_ID, {BYTES(rename)}, {TEXT("a")}, {TEXT("b")}), -ESTALE);
	struct fuse_link_in link = {.oldnodeid = FUSE_ROOT_ID};
	ck_assert_int_eq(ASK(FUSE_LINK, NOBODY, {BYTES(link)}, {TEXT("a")}), -ESTALE);
	ck_assert_int_eq(set_mtime(NOBODY, NULL), -ESTALE);
}
END_TEST

/* With wrap type `file` the KMS is asked on the pool's threads, for CREATE, the first OPEN and a truncate. */
START_TEST(asks_the_kms)
{
	struct fuse_setattr_in cut = {.valid = FATTR_SIZE, .size = 2};
	struct fuse_open_in in = {.flags = O_RDWR};
	struct fuse_entry_out e;
	uint64_t fh;
	char name[300];

	ck_assert_int_eq(create("file", &e, &fh), 0);
	ck_assert_int_eq(put(e.nodeid, fh, 0, "hello", 0), 0);
	ck_assert_int_eq(release(e.nodeid, fh), 0);
	ck_assert_int_eq(ASK(FUSE_SETATTR, e.nodeid, {BYTES(cut)}), 0);
	ck_assert_int_eq(ASK(FUSE_OPEN, e.nodeid, {BYTES(in)}), 0);
	fh = ((struct fuse_open_out *)body)->fh;
	ck_assert_int_eq(get(e.nodeid, fh, 0, 10), 0);
	ck_assert_uint_eq(body_len, 2);
	ck_assert_int_eq(release(e.nodeid, fh), 0);
	memset(name, 'x', sizeof(name));
	name[256] = '\0';
	ck_assert_int_eq(create(name, &e, &fh), -ENAMETOOLONG);
}
END_TEST

static void setup_read_only(void)
{
	read_only = true;
	setup();
}

/* A kernel that maps what is opened past its cache: init() looks at the answer. */
static void setup_offered(void)
{
	offer = DIRECT_MMAP;
	setup();
}

static void setup_file(void)
{
	wrap = WRAP_FILE;
	setup();
}

static TCase *add_case(Suite *s, const char *name, void (*begin)(void))
{
	TCase *c = tcase_create(name);
	tcase_add_checked_fixture(c, begin, teardown);
	tcase_set_timeout(c, 60);
	suite_add_tcase(s, c);
	return c;
}

int main(void)
{
	Suite *suite = suite_create("ops");
	TCase *c = add_case(suite, "ops", setup);
	tcase_add_test(c, session);
	tcase_add_test(c, file);
	tcase_add_test(c, file_without_a_name);
	tcase_add_test(c, inode_flags);
	tcase_add_test(c, handles_know_their_mode);
	tcase_add_test(c, truncate_and_times);
	tcase_add_test(c, seek_writes_back_first);
	tcase_add_test(c, names);
	tcase_add_test(c, locked);
	tcase_add_test(c, locked_root);
	tcase_add_test(c, locking);
	tcase_add_test(c, lost_page);
	tcase_add_test(c, ids_that_are_not_there);
	c = add_case(suite, "read-only", setup_read_only);
	tcase_add_test(c, session);
	tcase_add_test(c, read_only_mount);
	c = add_case(suite, "offered", setup_offered);
	tcase_add_test(c, file);
	c = add_case(suite, "wrap type file", setup_file);
	tcase_add_test(c, asks_the_kms);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
