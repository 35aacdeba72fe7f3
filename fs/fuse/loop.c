/* SPDX-License-Identifier: BSD-2-Clause */
/* The serving threads: receive a request, run its callback; buffers that can be wiped from outside. */
#include "fs/fuse/loop.h"

#include <errno.h>
#include <linux/fuse.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "crypto/secret.h"
#include "fs/lock/janitor.h"
#include "fs/fuse/ops.h"

#define SERVERS_MIN 4u
#define WIPE_SIGNAL SIGUSR2
#define WIPE_WAIT_MS 2000

struct loop {
	struct fs *fs;
	struct fuse_session *session;
	struct fuse_lowlevel_ops ops;
	unsigned n;
	struct server server[INFLIGHT_SLOTS];
	_Atomic unsigned wipe_epoch; /* a server that has not wiped since does so before its next request */
	_Atomic unsigned wiped;      /* servers that have */
	pthread_mutex_t wipe_lock;   /* server.signalled: no signal is sent to one that has seen the first */
	_Atomic unsigned running;
};

static void on_wipe_signal(int sig)
{
	(void)sig; /* it only ends the read(2) of an idle thread */
}

/*
 * The frame of the signal has the vector registers in it, and with them the last bytes that were copied. So the signals
 * must have come to an end before the stack is wiped: the yield takes what is still pending.
 */
static void server_wipe(struct server *s)
{
	unsigned epoch = atomic_load(&s->loop->wipe_epoch);

	if (s->wiped == epoch)
		return;
	pthread_mutex_lock(&s->loop->wipe_lock);
	s->to_signal = false;
	pthread_mutex_unlock(&s->loop->wipe_lock);
	sched_yield();
	file_work_wipe(&s->work);
	if (s->buf.mem) /* libfuse's own: requests carry what users write */
		secret_wipe(s->buf.mem, malloc_usable_size(s->buf.mem));
	secret_wipe_stack();
	s->wiped = epoch;
	atomic_fetch_add(&s->loop->wiped, 1);
}

static void *server_main(void *arg)
{
	struct server *s = arg;
	struct fs *fs = s->fs;

	loop_self_set(s);
	while (!fuse_session_exited(s->loop->session)) {
		unsigned turn;
		int r;

		server_wipe(s);
		r = fuse_session_receive_buf(s->loop->session, &s->buf);
		if (r == -EINTR || r == -EAGAIN)
			continue;
		if (r <= 0)
			break;
		turn = fs_request_begin(fs);
		fuse_session_process_buf(s->loop->session, &s->buf);
		if (!ops_open(fs)) /* a page that was refused after the wipe */
			secret_wipe(s->buf.mem, (size_t)r);
		fs_request_end(fs, turn);
	}
	if (atomic_fetch_sub(&s->loop->running, 1) == 1) {
		uint64_t ended = FS_WAKE_ENDED;

		if (write(fs->wake_fd, &ended, sizeof(ended)) < 0)
			fs->cfg.log(3, "cannot wake the main thread at the end of the session");
	}
	return NULL;
}

int loop_new(struct fs *fs)
{
	char name[] = "byokfs", path[32];
	char *argv[] = {name, NULL};
	struct fuse_args args = {1, argv, 0};
	struct loop *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->fs = fs;
	pthread_mutex_init(&l->wipe_lock, NULL);
	ops_file_fill(&l->ops);
	ops_dir_fill(&l->ops);
	l->session = fuse_session_new(&args, &l->ops, sizeof(l->ops), fs);
	fuse_opt_free_args(&args);
	if (!l->session) {
		free(l);
		return -EINVAL;
	}
	snprintf(path, sizeof(path), "/dev/fd/%d", fs->fuse_fd);
	if (fuse_session_mount(l->session, path)) {
		fuse_session_destroy(l->session);
		free(l);
		return -EIO;
	}
	fs->loop = l;
	return 0;
}

static unsigned server_count(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned n = cpus > 0 ? (unsigned)cpus * 2 : 2;

	return n < SERVERS_MIN          ? SERVERS_MIN
	       : n > INFLIGHT_SLOTS - 1 ? INFLIGHT_SLOTS - 1
					: n; /* the last slot is the pool's */
}

int loop_start(struct fs *fs)
{
	struct sigaction sa = {.sa_handler = on_wipe_signal}; /* no SA_RESTART */
	struct loop *l = fs->loop;
	unsigned want = server_count();
	sigset_t wipe;
	int r = janitor_start(fs);

	if (r)
		return r;
	sigaction(WIPE_SIGNAL, &sa, NULL);
	sigemptyset(&wipe);
	sigaddset(&wipe, WIPE_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &wipe, NULL);
	if (fs->store->inflight)
		fs->pool_slot = fs->store->inflight + (INFLIGHT_SLOTS - 1) * fs->store->slot_len;
	for (; l->n < want; l->n++) {
		struct server *s = &l->server[l->n];
		uint8_t *slot = fs->store->inflight ? fs->store->inflight + l->n * fs->store->slot_len : NULL;

		s->fs = fs;
		s->loop = l;
		if (file_work_init(&s->work, &fs->env.layout, slot))
			break;
		atomic_fetch_add(&l->running, 1);
		if (pthread_create(&s->thread, NULL, server_main, s)) {
			atomic_fetch_sub(&l->running, 1);
			file_work_free(&s->work);
			break;
		}
	}
	pthread_sigmask(SIG_BLOCK, &wipe, NULL);
	return l->n > 0 ? 0 : -EAGAIN;
}

void loop_wipe(struct fs *fs)
{
	struct loop *l = fs->loop;

	pthread_mutex_lock(&l->wipe_lock);
	for (unsigned i = 0; i < l->n; i++)
		l->server[i].to_signal = true;
	pthread_mutex_unlock(&l->wipe_lock);
	atomic_store(&l->wiped, 0);
	atomic_fetch_add(&l->wipe_epoch, 1);
	/* A signal between a thread's check and its read(2) is lost, so it is sent until it is seen. */
	for (int ms = 0; ms < WIPE_WAIT_MS && atomic_load(&l->wiped) < atomic_load(&l->running); ms += 2) {
		pthread_mutex_lock(&l->wipe_lock);
		for (unsigned i = 0; i < l->n; i++)
			if (l->server[i].to_signal)
				pthread_kill(l->server[i].thread, WIPE_SIGNAL);
		pthread_mutex_unlock(&l->wipe_lock);
		clock_pause(2);
	}
}

/* After an unmount its read(2) has failed already; when the session is given up with handles open, the signal ends it. */
static void server_join(struct server *s)
{
	while (pthread_tryjoin_np(s->thread, NULL) == EBUSY) {
		pthread_kill(s->thread, WIPE_SIGNAL);
		clock_pause(2);
	}
}

void loop_free(struct fs *fs)
{
	struct loop *l = fs->loop;

	if (!l)
		return;
	/* While requests are still answered: a job, or the janitor, may wait for a page that is being written back. */
	janitor_stop(fs);
	pool_stop(fs->pool);
	fuse_session_exit(l->session);
	for (unsigned i = 0; i < l->n; i++) {
		server_join(&l->server[i]);
		file_work_free(&l->server[i].work);
		if (l->server[i].buf.mem)
			secret_wipe(l->server[i].buf.mem, malloc_usable_size(l->server[i].buf.mem));
		free(l->server[i].buf.mem);
	}
	pool_free(fs->pool);
	fs->pool = NULL;
	janitor_free(fs);
	fuse_session_destroy(l->session); /* closes fuse_fd */
	free(l);
	fs->loop = NULL;
}
