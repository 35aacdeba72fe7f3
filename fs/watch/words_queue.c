/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines that wait for the log: bounded, and what does not fit is told. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "fs/watch/words_own.h"
#include "kms/gate.h"

void words_queue_init(struct words_queue *q, unsigned most)
{
	pthread_condattr_t attr;

	*q = (struct words_queue){.most = most};
	pthread_mutex_init(&q->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&q->more, NULL);
	pthread_cond_init(&q->less, &attr);
	pthread_condattr_destroy(&attr);
}

static struct words_line *line_new(const struct words_line *head, const char *text)
{
	size_t len = strlen(text);
	struct words_line *l = malloc(sizeof(*l) + len + 1);

	if (!l)
		return NULL;
	*l = *head;
	l->next = NULL;
	memcpy(l->text, text, len + 1);
	return l;
}

void words_queue_put(struct words_queue *q, const struct words_line *head, const char *text)
{
	struct words_line *l = line_new(head, text);

	pthread_mutex_lock(&q->lock);
	if (l && q->n < q->most && !q->dropped) { /* told first: so that it stands where they are missing */
		if (q->last)
			q->last->next = l;
		else
			q->first = l;
		q->last = l;
		q->n++;
		l = NULL;
		pthread_cond_signal(&q->more);
	} else {
		q->dropped++;
	}
	pthread_mutex_unlock(&q->lock);
	free(l);
}

/* Under the lock. What was dropped came after all that waits: it is told when they are said. */
static struct words_line *dropped_line(struct words_queue *q)
{
	char text[80];

	snprintf(text, sizeof(text), WORDS_DROPPED, q->dropped);
	q->dropped = 0;
	q->n++;
	return line_new(&(struct words_line){.priority = LOG_WARNING, .pid = getppid()}, text);
}

struct words_line *words_queue_take(struct words_queue *q)
{
	pthread_mutex_lock(&q->lock);
	while (!q->first && !q->dropped)
		pthread_cond_wait(&q->more, &q->lock);
	struct words_line *l = q->first;
	if (!l) {
		l = dropped_line(q);
	} else {
		q->first = l->next;
		if (!q->first)
			q->last = NULL;
	}
	pthread_mutex_unlock(&q->lock);
	return l;
}

void words_queue_said(struct words_queue *q)
{
	pthread_mutex_lock(&q->lock);
	q->n--;
	pthread_cond_broadcast(&q->less);
	pthread_mutex_unlock(&q->lock);
}

void words_queue_drain(struct words_queue *q, int limit_ms)
{
	struct timespec until = clock_timespec(clock_ms(CLOCK_MONOTONIC) + limit_ms);
	int r = 0;

	pthread_mutex_lock(&q->lock);
	while ((q->n > 0 || q->dropped > 0) && r == 0)
		r = pthread_cond_timedwait(&q->less, &q->lock, &until);
	pthread_mutex_unlock(&q->lock);
}
