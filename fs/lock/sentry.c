/* SPDX-License-Identifier: BSD-2-Clause */
/* Stands beside a lock: does a thread that it waits for hang in the store's disk, or is it only slow? */
#include "fs/lock/sentry.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "fs/lock/lock_own.h"

#define LOOK_MS 100
#define OVER_MS 150 /* past the drain limit: what the disk does take is through by then */

/* Numbers of the threads of this process that handle requests, and which thread it is; 0 = none yet. */
static atomic_uint seats;
static _Thread_local unsigned seat_number;
static _Thread_local pid_t seat_thread;

void lock_work_begin(struct lock *l)
{
	if (!seat_number) {
		seat_number = atomic_fetch_add(&seats, 1) % LOCK_SEATS + 1;
		seat_thread = gettid();
	}
	struct lock_seat *seat = &l->seat[seat_number - 1];
	atomic_store(&seat->thread, seat_thread);
	atomic_store(&seat->request, atomic_fetch_add(&l->requests, 1) + 1);
}

void lock_work_end(struct lock *l)
{
	if (seat_number)
		atomic_store(&l->seat[seat_number - 1].request, 0);
}

/* Does THREAD of this process sleep, and how often has it gone to sleep so far? False also where nobody can tell. */
static bool asleep(pid_t thread, uint64_t *turns)
{
	char path[64], text[4096];

	snprintf(path, sizeof(path), "/proc/self/task/%d/status", (int)thread);
	AUTO(auto_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return false;
	text[n] = '\0';
	const char *state = strstr(text, "\nState:\t"), *gave_up = strstr(text, "\nvoluntary_ctxt_switches:\t");
	if (!state || !gave_up)
		return false;
	*turns = strtoull(strchr(gave_up, '\t'), NULL, 10);
	return state[8] != 'R';
}

bool sentry_look(struct sentry_seat seen[LOCK_SEATS], struct lock *l)
{
	bool stuck = false, moves = false;

	for (size_t i = 0; i < LOCK_SEATS; i++) {
		struct sentry_seat now = {.request = atomic_load(&l->seat[i].request)}, was = seen[i];
		bool sleeps = now.request && asleep(atomic_load(&l->seat[i].thread), &now.turns);

		if (now.request && now.request == was.request)
			now.looks = was.looks + 1;
		if (now.looks && sleeps && now.turns == was.turns)
			now.still = was.still + 1;
		seen[i] = now;
		stuck = stuck || now.still >= SENTRY_LOOKS;
		moves = moves || (now.looks >= SENTRY_LOOKS && now.still < SENTRY_LOOKS);
	}
	return stuck && !moves;
}

static void *sentry_main(void *arg)
{
	struct sentry *s = arg;
	struct timespec ts;

	pthread_mutex_lock(&s->mutex);
	while (!s->stop) {
		bool stuck = sentry_look(s->seen, s->lock);

		if (stuck && clock_ms(CLOCK_BOOTTIME) > s->until + OVER_MS)
			atomic_store(&s->lock->cfg.beacon->stuck, true);
		ts = clock_timespec(clock_ms(CLOCK_MONOTONIC) + LOOK_MS);
		pthread_cond_timedwait(&s->ends, &s->mutex, &ts);
	}
	pthread_mutex_unlock(&s->mutex);
	return NULL;
}

void sentry_start(struct sentry *s, struct lock *l, int64_t until)
{
	pthread_condattr_t attr;

	*s = (struct sentry){.lock = l, .until = until};
	if (!l->cfg.beacon)
		return;
	atomic_store(&l->cfg.beacon->stuck, false);
	pthread_mutex_init(&s->mutex, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->ends, &attr);
	pthread_condattr_destroy(&attr);
	s->runs = pthread_create(&s->thread, NULL, sentry_main, s) == 0;
}

void sentry_end(struct sentry *s)
{
	if (!s->lock->cfg.beacon)
		return;
	pthread_mutex_lock(&s->mutex);
	s->stop = true;
	pthread_cond_signal(&s->ends);
	pthread_mutex_unlock(&s->mutex);
	if (s->runs)
		pthread_join(s->thread, NULL);
	pthread_cond_destroy(&s->ends);
	pthread_mutex_destroy(&s->mutex);
}
