/* SPDX-License-Identifier: BSD-2-Clause */
/* The serving threads: receive a request, run its callback; buffers that can be wiped from outside. */
#include "fs/fuse/server.h"

#include <errno.h>
#include <linux/fuse.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "crypto/secret.h"
#include "fs/fuse/ops.h"
#include "fs/store/store.h"

#define THREADS_MIN 4u
/* What asks the KMS (wrap type `file`) waits 50 ms each, or for long; see pool.h. */
#define POOL_THREADS_DISK 4u
#define POOL_THREADS_KMS 12u
#define POOL_THREADS_TELL 2u
#define POOL_THREADS_LISTS 2u
#define WIPE_SIGNAL SIGUSR2
#define WIPE_WAIT_MS 2000

static void on_wipe_signal(int sig)
{
	(void)sig; /* it only ends the read(2) of an idle thread */
}

/*
 * The frame of the signal has the vector registers in it, and with them the last bytes that were copied. So the signals
 * must have come to an end before the stack is wiped: the yield takes what is still pending.
 */
static void thread_wipe(struct server_thread *t)
{
	struct server *s = t->server;
	unsigned epoch = atomic_load(&s->wipe_epoch);

	if (t->wiped == epoch)
		return;
	pthread_mutex_lock(&s->wipe_lock);
	t->to_signal = false;
	pthread_mutex_unlock(&s->wipe_lock);
	sched_yield();
	file_work_wipe(&t->work);
	if (t->buf.mem) /* libfuse's own: requests carry what users write */
		secret_wipe(t->buf.mem, malloc_usable_size(t->buf.mem));
	secret_wipe_stack();
	t->wiped = epoch;
	atomic_fetch_add(&s->wiped, 1);
}

/*
 * libfuse of Debian 12 and 13 has no call for TMPFILE, which asks for what CREATE asks for, but for a name: it becomes one, of a
 * name that no file can have.
 */
static void tmpfile_as_create(struct fuse_buf *buf, size_t len)
{
	const size_t name_at = sizeof(struct fuse_in_header) + sizeof(struct fuse_create_in);
	struct fuse_in_header *in = buf->mem;

	if ((buf->flags & FUSE_BUF_IS_FD) || len < name_at + sizeof(NAMELESS) || in->opcode != FUSE_TMPFILE)
		return;
	in->opcode = FUSE_CREATE;
	memcpy((char *)buf->mem + name_at, NAMELESS, sizeof(NAMELESS));
}

/*
 * Linux 6.6 maps what is opened past its cache, where it is told that we are content. libfuse of Debian 12 and 13 has no word for
 * that either: what the kernel offers is seen in its INIT, and taken in the reply.
 */
#define DIRECT_MMAP (1u << 4) /* FUSE_DIRECT_IO_ALLOW_MMAP in flags2, which older headers lack */

static void see_offer(struct server *s, const struct fuse_buf *buf, size_t len)
{
	const struct fuse_in_header *in = buf->mem;
	const struct fuse_init_in *init = (const struct fuse_init_in *)(in + 1);

	if ((buf->flags & FUSE_BUF_IS_FD) || len < sizeof(*in) + sizeof(*init) || in->opcode != FUSE_INIT)
		return;
	s->maps_direct = (init->flags & FUSE_INIT_EXT) && (init->flags2 & DIRECT_MMAP);
	s->init_unique = in->unique;
}

/* INIT is answered alone, before there is another request. */
static void take_offer(const struct server *s, const struct iovec *iov, int count)
{
	const struct fuse_out_header *out = iov[0].iov_base;

	if (!s->maps_direct || count < 2 || out->unique != s->init_unique ||
	    iov[1].iov_len < sizeof(struct fuse_init_out))
		return;
	struct fuse_init_out *init = iov[1].iov_base;
	init->flags |= FUSE_INIT_EXT;
	init->flags2 |= DIRECT_MMAP;
}

static ssize_t reply(int fd, struct iovec *iov, int count, void *arg)
{
	take_offer(arg, iov, count);
	return writev(fd, iov, count);
}

static ssize_t request(int fd, void *buf, size_t len, void *arg)
{
	(void)arg;
	return read(fd, buf, len);
}

static void *thread_main(void *arg)
{
	struct server_thread *t = arg;
	struct server *s = t->server;

	thread_self_set(t);
	while (!fuse_session_exited(s->session)) {
		thread_wipe(t);
		int len = fuse_session_receive_buf(s->session, &t->buf);
		if (len == -EINTR || len == -EAGAIN)
			continue;
		if (len <= 0)
			break;
		unsigned turn = lock_request_begin(s->cfg.lock);
		lock_work_begin(s->cfg.lock);
		see_offer(s, &t->buf, (size_t)len);
		tmpfile_as_create(&t->buf, (size_t)len);
		fuse_session_process_buf(s->session, &t->buf);
		if (!ops_open(s)) /* a page that was refused after the wipe */
			secret_wipe(t->buf.mem, (size_t)len);
		lock_work_end(s->cfg.lock);
		lock_request_end(s->cfg.lock, turn);
	}
	if (atomic_fetch_sub(&s->running, 1) == 1)
		s->cfg.ended(s->cfg.arg);
	return NULL;
}

/* libfuse has one log for all, without an argument. */
static void (*_Atomic fuse_says)(int priority, const char *text);

/*
 * What libfuse would write to standard error by itself, on a serving thread: a terminal that stands still would hold that up. Its
 * levels are syslog's.
 */
__attribute__((format(printf, 2, 0))) static void on_fuse_log(enum fuse_log_level level, const char *format,
							      va_list args)
{
	void (*say)(int, const char *) = atomic_load(&fuse_says);
	char text[256];

	vsnprintf(text, sizeof(text), format, args);
	text[strcspn(text, "\n")] = 0;
	if (say)
		say((int)level, text);
}

static int session_new(struct server *s)
{
	char name[] = "byokfs";
	char *argv[] = {name, NULL};
	struct fuse_args args = {1, argv, 0};

	ops_fill_session(&s->ops);
	ops_fill_attr(&s->ops);
	ops_fill_xattr(&s->ops);
	ops_fill_file(&s->ops);
	ops_fill_name(&s->ops);
	ops_fill_list(&s->ops);
	ops_fill_ioctl(&s->ops);
	atomic_store(&fuse_says, s->cfg.tree->env.log);
	fuse_set_log_func(on_fuse_log);
	s->session = fuse_session_new(&args, &s->ops, sizeof(s->ops), s);
	fuse_opt_free_args(&args);
	if (!s->session)
		return -EINVAL;
	const struct fuse_custom_io io = {.writev = reply, .read = request};
	if (fuse_session_custom_io(s->session, &io, s->cfg.fuse_fd) == 0)
		return 0;
	fuse_session_destroy(s->session);
	return -EIO;
}

int server_new(const struct server_config *cfg, struct server **out)
{
	struct server *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->cfg = *cfg;
	pthread_mutex_init(&s->slot_lock, NULL);
	pthread_mutex_init(&s->wipe_lock, NULL);
	int r = session_new(s);
	if (r)
		free(s);
	else
		*out = s;
	return r;
}

static unsigned thread_count(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned n = cpus > 0 ? (unsigned)cpus * 2 : 2;

	if (n < THREADS_MIN)
		return THREADS_MIN;
	return n < BEHIND_SLOT ? n : BEHIND_SLOT;
}

/* Memory of in-flight slot I, NULL where the store is mounted read-only. */
static uint8_t *slot(const struct server *s, unsigned i)
{
	return s->slots ? s->slots + i * s->cfg.store->slot_len : NULL;
}

static int thread_start(struct server *s)
{
	struct server_thread *t = &s->thread[s->n_threads];

	t->server = s;
	int r = file_work_init(&t->work, &s->cfg.tree->env.layout, slot(s, s->n_threads));
	if (r)
		return r;
	t->work.slot_no = s->n_threads;
	atomic_fetch_add(&s->running, 1);
	r = -pthread_create(&t->thread, NULL, thread_main, t);
	if (r) {
		atomic_fetch_sub(&s->running, 1);
		file_work_free(&t->work);
		return r;
	}
	s->n_threads++;
	return 0;
}

int server_start(struct server *s)
{
	const unsigned jobs[POOL_LANES] = {
		[POOL_DISK] = POOL_THREADS_DISK,
		[POOL_KMS] = s->cfg.store->keyring->wrap_type == WRAP_FILE ? POOL_THREADS_KMS : 0,
		[POOL_TELL] = POOL_THREADS_TELL,
		[POOL_LISTS] = POOL_THREADS_LISTS,
	};
	const struct behind_config behind = {.env = &s->cfg.tree->env,
					     .slot_no = BEHIND_SLOT,
					     .slot_len = s->cfg.store->slot_len,
					     .failed = ops_write_failed,
					     .arg = s};
	struct sigaction sa = {.sa_handler = on_wipe_signal}; /* no SA_RESTART */
	sigset_t wipe;

	if (s->cfg.store->slots && !(s->slots = calloc(INFLIGHT_SLOTS, s->cfg.store->slot_len)))
		return -ENOMEM;
	int r = pool_new(&s->cfg.tree->env.layout, jobs, &s->pool);
	if (r)
		return r;
	s->pool_slot = slot(s, POOL_SLOT);
	if (s->slots && s->cfg.tree->env.behind)
		r = behind_start(s->cfg.tree->env.behind, &behind);
	sigaction(WIPE_SIGNAL, &sa, NULL);
	sigemptyset(&wipe);
	sigaddset(&wipe, WIPE_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &wipe, NULL);
	for (unsigned want = thread_count(); !r && s->n_threads < want;)
		r = thread_start(s);
	pthread_sigmask(SIG_BLOCK, &wipe, NULL);
	return s->n_threads > 0 ? 0 : -EAGAIN;
}

void server_wipe(struct server *s)
{
	pthread_mutex_lock(&s->wipe_lock);
	for (unsigned i = 0; i < s->n_threads; i++)
		s->thread[i].to_signal = true;
	pthread_mutex_unlock(&s->wipe_lock);
	atomic_store(&s->wiped, 0);
	atomic_fetch_add(&s->wipe_epoch, 1);
	/* A signal between a thread's check and its read(2) is lost, so it is sent until it is seen. */
	for (int ms = 0; ms < WIPE_WAIT_MS && atomic_load(&s->wiped) < atomic_load(&s->running); ms += 2) {
		pthread_mutex_lock(&s->wipe_lock);
		for (unsigned i = 0; i < s->n_threads; i++)
			if (s->thread[i].to_signal)
				pthread_kill(s->thread[i].thread, WIPE_SIGNAL);
		pthread_mutex_unlock(&s->wipe_lock);
		clock_pause(2);
	}
	pool_wipe(s->pool);
}

/* After an unmount its read(2) has failed already; when the session is given up with handles open, the signal ends it. */
static void thread_end(struct server_thread *t)
{
	while (pthread_tryjoin_np(t->thread, NULL) == EBUSY) {
		pthread_kill(t->thread, WIPE_SIGNAL);
		clock_pause(2);
	}
	file_work_free(&t->work);
	if (t->buf.mem)
		secret_wipe(t->buf.mem, malloc_usable_size(t->buf.mem));
	free(t->buf.mem);
}

void server_free(struct server *s)
{
	if (!s)
		return;
	/* While requests are still answered: a job may wait for a page that is being written back. */
	pool_stop(s->pool);
	fuse_session_exit(s->session);
	for (unsigned i = 0; i < s->n_threads; i++)
		thread_end(&s->thread[i]);
	pool_free(s->pool);
	fuse_session_destroy(s->session); /* closes fuse_fd */
	free(s->slots);
	free(s);
}
