/* SPDX-License-Identifier: BSD-2-Clause */
/* The worker's end of the helper of PKCS#11: a question at a time, each with an end, whatever a vendor's module does. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "crypto/secret.h"
#include "kms/clock.h"
#include "kms/providers/pkcs11.h"
#include "kms/verdict.h"

struct p11_link {
	pthread_mutex_t turn; /* held while a question is under way; guards all that no other lock does */
	struct p11_begin begin;
	pid_t keeper_pid;
	int keeper, helper; /* sockets; -1: none */
	pthread_mutex_t guard;
	int pidfd;                   /* guard: of the helper, -1 = none */
	atomic_bool cancelled, anew; /* anew: the next question has a new helper */
};

static void helper_kill(struct p11_link *l)
{
	pthread_mutex_lock(&l->guard);
	if (l->pidfd >= 0)
		(void)syscall(SYS_pidfd_send_signal, l->pidfd, SIGKILL, NULL, 0);
	pthread_mutex_unlock(&l->guard);
}

/* turn is held. */
static void helper_drop(struct p11_link *l)
{
	helper_kill(l);
	pthread_mutex_lock(&l->guard);
	auto_close(&l->pidfd);
	pthread_mutex_unlock(&l->guard);
	auto_close(&l->helper);
}

static void keeper_end(struct p11_link *l)
{
	auto_close(&l->keeper); /* it ends, and its helpers with it */
	for (int i = 0; l->keeper_pid > 0; i++) {
		if (waitpid(l->keeper_pid, NULL, i < 100 ? WNOHANG : 0) != 0)
			l->keeper_pid = 0;
		else if (i == 99)
			kill(l->keeper_pid, SIGKILL); /* it may have been stopped */
		else
			clock_pause(5);
	}
}

/* posix_spawn and not fork: nothing of this process's memory is copied. It gets our environment, which is a list of what is harmless. */
static int keeper_start(struct p11_link *l)
{
	char name[] = "byokfs", command[] = P11_COMMAND, *const argv[] = {name, command, NULL};
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&files);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	int r = posix_spawn_file_actions_adddup2(&files, pair[1], 0);
	/* whoever waits for the end of our output does not wait for it */
	for (int fd = 1; !r && fd <= 2; fd++)
		r = posix_spawn_file_actions_addopen(&files, fd, "/dev/null", O_WRONLY, 0);
	if (!r)
		r = posix_spawn_file_actions_addclosefrom_np(&files, 3);
	if (!r)
		r = posix_spawn(&l->keeper_pid, "/proc/self/exe", &files, &attr, argv, environ);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attr);
	close(pair[1]);
	if (r) {
		close(pair[0]);
		l->keeper_pid = 0;
		return -r;
	}
	l->keeper = pair[0];
	return 0;
}

int p11_link_new(const struct p11_begin *begin, struct p11_link **out)
{
	struct p11_link *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->begin = *begin;
	l->keeper = l->helper = l->pidfd = -1;
	pthread_mutex_init(&l->turn, NULL);
	pthread_mutex_init(&l->guard, NULL);
	int r = keeper_start(l);
	if (r) {
		p11_link_free(l);
		return r;
	}
	*out = l;
	return 0;
}

void p11_link_free(struct p11_link *l)
{
	if (!l)
		return;
	helper_drop(l);
	keeper_end(l);
	pthread_mutex_destroy(&l->turn);
	pthread_mutex_destroy(&l->guard);
	free(l);
}

void p11_link_refresh(struct p11_link *l)
{
	atomic_store(&l->anew, true);
	atomic_store(&l->cancelled, false);
}

void p11_link_cancel(struct p11_link *l)
{
	atomic_store(&l->cancelled, true);
	helper_kill(l);
}

/* Until FD has something to read: 0, -ETIMEDOUT. */
static int readable(int fd, int64_t deadline)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	for (;;) {
		int64_t left = deadline - clock_ms(CLOCK_BOOTTIME);
		int n = left > 0 ? poll(&p, 1, (int)(left < 60000 ? left : 60000)) : 0;

		if (n > 0)
			return 0;
		if (left <= 0)
			return -ETIMEDOUT;
		if (n < 0 && errno != EINTR)
			return -errno;
	}
}

static int say_none(const struct p11_link *l, const struct p11_ask *a, int error, struct kms_verdict *v)
{
	if (atomic_load(&l->cancelled)) {
		kms_verdict_set(v, KMS_TRANSIENT, "cancelled", "the question for key %.180s was ended", a->key);
		return -ECANCELED;
	}
	if (error == -ETIMEDOUT)
		kms_verdict_set(v, KMS_TRANSIENT, "timeout", "the token does not answer: key %.180s", a->key);
	else if (error == -EPIPE)
		kms_verdict_set(v, KMS_TRANSIENT, "crash", "the module of PKCS#11 crashed or was killed: key %.160s",
				a->key);
	else if (error == -EBADMSG)
		kms_verdict_set(v, KMS_TRANSIENT, "garbled", "an answer for key %.180s that makes no sense", a->key);
	else
		kms_verdict_set(v, KMS_TRANSIENT, "helper", "no helper for PKCS#11: %.60s: key %.140s",
				strerror(-error), a->key);
	return -EAGAIN;
}

/* Two descriptors from the keeper: socket and pidfd of a new helper. turn is held. */
static int helper_take(struct p11_link *l, int64_t deadline)
{
	char byte = 'n', room[CMSG_SPACE(2 * sizeof(int))] = {0};
	struct iovec io = {&byte, 1};
	struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room)};
	int fds[2];

	if (send(l->keeper, &byte, 1, MSG_NOSIGNAL) != 1)
		return -ESRCH;
	int r = readable(l->keeper, deadline);
	if (r)
		return r;
	ssize_t n = recvmsg(l->keeper, &m, MSG_CMSG_CLOEXEC);
	const struct cmsghdr *c = n == 1 ? CMSG_FIRSTHDR(&m) : NULL;
	if (n <= 0)
		return -ESRCH;
	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(sizeof(fds)))
		return -EAGAIN;
	memcpy(fds, CMSG_DATA(c), sizeof(fds));
	l->helper = fds[0];
	pthread_mutex_lock(&l->guard);
	l->pidfd = fds[1];
	pthread_mutex_unlock(&l->guard);
	return 0;
}

/* A keeper that was killed is started again where that is allowed; one that does not answer in time is no use either. */
static int helper_new(struct p11_link *l, int64_t deadline)
{
	int r = l->keeper < 0 ? keeper_start(l) : 0;

	if (!r)
		r = helper_take(l, deadline);
	if (r == -ESRCH) {
		keeper_end(l);
		r = keeper_start(l);
		if (!r)
			r = helper_take(l, deadline);
	} else if (r == -ETIMEDOUT && l->keeper >= 0) {
		keeper_end(l); /* its late answer would be taken for the next one's */
	}
	return r;
}

/* Q and SECRET to the helper, R and SECRET back. */
static int exchange(struct p11_link *l, const struct p11_question *q, struct p11_secret *secret, struct p11_reply *r,
		    int64_t deadline)
{
	struct p11_question copy = *q;
	struct iovec out[2] = {{&copy, sizeof(copy)}, {secret, sizeof(*secret)}};
	struct iovec in[2] = {{r, sizeof(*r)}, {secret, sizeof(*secret)}};
	struct msghdr m = {.msg_iov = out, .msg_iovlen = 2};

	if (sendmsg(l->helper, &m, MSG_NOSIGNAL) < 0)
		return -EPIPE;
	secret_wipe(secret, sizeof(*secret));
	int e = readable(l->helper, deadline);
	if (e)
		return e;
	m.msg_iov = in;
	ssize_t n = recvmsg(l->helper, &m, 0);
	if (n <= 0)
		return -EPIPE;
	return n == (ssize_t)(sizeof(*r) + sizeof(*secret)) && secret->len <= P11_PIN_MAX && p11_reply_good(r)
		       ? 0
		       : -EBADMSG;
}

/* A helper that has logged in; or its refusal in R, and none. turn is held. */
static int begin(struct p11_link *l, const struct p11_ask *a, struct p11_reply *r, struct kms_verdict *v)
{
	AUTO(secret_free_at) struct p11_secret *pin = secret_alloc(sizeof(*pin));
	AUTO(secret_free_at) struct p11_secret *sent = secret_alloc(sizeof(*sent));
	struct p11_question q = {.op = P11_BEGIN};

	if (!pin || !sent)
		return say_none(l, a, -ENOMEM, v);
	if (a->pin(a->arg, pin, v))
		return -EAGAIN;
	int e = helper_new(l, a->deadline);
	q.begin = l->begin;
	*sent = *pin;
	if (!e && !atomic_load(&l->cancelled)) /* a cancel that came before there was anything to kill */
		e = exchange(l, &q, sent, r, a->deadline);
	if (e || atomic_load(&l->cancelled))
		return say_none(l, a, e, v);
	if (r->stage == P11_LOGIN)
		a->refused(a->arg, pin);
	return 0;
}

/* Once; *FRESH: of a helper that began for this question. turn is held. */
static int ask_once(struct p11_link *l, const struct p11_ask *a, struct p11_reply *r, bool *fresh,
		    struct kms_verdict *v)
{
	*fresh = l->helper < 0;
	if (*fresh) {
		int e = begin(l, a, r, v);

		if (e || r->stage != P11_DONE) {
			helper_drop(l);
			return e;
		}
	}
	int e = exchange(l, a->q, a->secret, r, a->deadline);
	if (e) {
		helper_drop(l);
		return say_none(l, a, e, v);
	}
	return 0;
}

/*
 * What is no success is asked of a new helper, too, and that one's answer counts: a login that has ended, or a token that was pulled
 * out, looks like a key that is gone to whoever has begun before.
 */
static int ask(struct p11_link *l, const struct p11_ask *a, struct p11_reply *r, struct kms_verdict *v)
{
	AUTO(secret_free_at) struct p11_secret *copy = secret_alloc(sizeof(*copy));
	bool fresh;

	if (!copy)
		return say_none(l, a, -ENOMEM, v);
	if (atomic_load(&l->cancelled))
		return say_none(l, a, -ECANCELED, v);
	*copy = *a->secret;
	if (atomic_exchange(&l->anew, false))
		helper_drop(l);
	int e = ask_once(l, a, r, &fresh, v);
	if (!e && r->stage != P11_DONE && !fresh) {
		helper_drop(l);
		*a->secret = *copy;
		e = ask_once(l, a, r, &fresh, v);
	}
	if (!e && r->stage == P11_CALL) /* the token may be what is wrong */
		helper_drop(l);
	return e;
}

int p11_link_ask(struct p11_link *l, const struct p11_ask *a, struct p11_reply *r, struct kms_verdict *v)
{
	struct timespec until = clock_timespec(clock_ms(CLOCK_MONOTONIC) + a->deadline - clock_ms(CLOCK_BOOTTIME));

	memset(r, 0, sizeof(*r));
	if (pthread_mutex_clocklock(&l->turn, CLOCK_MONOTONIC, &until))
		return say_none(l, a, -ETIMEDOUT, v);
	int e = ask(l, a, r, v);
	pthread_mutex_unlock(&l->turn);
	if (e || r->stage != P11_DONE)
		secret_wipe(a->secret, sizeof(*a->secret));
	return e;
}
