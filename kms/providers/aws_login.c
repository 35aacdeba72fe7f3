/* SPDX-License-Identifier: BSD-2-Clause */
/* Who we are at AWS: an access key, made anew before it is old. */
#include <string.h>

#include "kms/clock.h"
#include "kms/providers/aws.h"

#define RENEW_MS (5 * 60 * INT64_C(1000)) /* a deleted role bites within these, not at the end of a session */
#define AGAIN_MS 15000                    /* after a renewal that nobody answered */

/* FRESH is the key now; the lock is held. One that is the same as before keeps its number. */
static void key_take(struct aws_login *l, struct aws_key *fresh)
{
	int64_t now = clock_ms(CLOCK_BOOTTIME), left_ms = (fresh->expires - aws_now(l)) * 1000;
	bool same = aws_key_equal(&l->now, fresh);

	aws_key_wipe(&l->now);
	l->now = *fresh;
	*fresh = (struct aws_key){0};
	l->generation += !same;
	l->refused = l->refused && same;
	l->ends_at = l->now.expires ? now + left_ms : INT64_MAX;
	l->renew_at = now + (l->now.expires && left_ms / 2 < RENEW_MS ? left_ms / 2 : RENEW_MS);
}

/* A key that may be used; the lock is held. The old one serves on while a renewal is silent, and goes when it is refused. */
static int key_renew(struct aws_login *l, int64_t deadline, struct kms_verdict *v)
{
	int64_t now = clock_ms(CLOCK_BOOTTIME);
	AUTO(aws_key_wipe) struct aws_key fresh = {0};

	if (!atomic_exchange(&l->anew, false) && l->now.secret && now < l->renew_at && now < l->ends_at)
		return 0;
	int r = aws_key_make(l, &fresh, deadline, v);
	if (r && v->class == KMS_TRANSIENT && l->now.secret && !l->refused && now < l->ends_at) {
		l->renew_at = now + AGAIN_MS;
		return 0;
	}
	if (r) {
		aws_key_wipe(&l->now);
		l->generation++;
		return r;
	}
	key_take(l, &fresh);
	return 0;
}

int aws_login_sign(struct aws_login *l, struct aws_signed *s, int64_t deadline, struct kms_verdict *v)
{
	/* Another question may be asking for a key, and hang: it is no reason to miss one's own deadline. */
	struct timespec until = clock_timespec(clock_ms(CLOCK_MONOTONIC) + deadline - clock_ms(CLOCK_BOOTTIME));

	if (pthread_mutex_clocklock(&l->lock, CLOCK_MONOTONIC, &until))
		return kms_verdict_set(v, KMS_TRANSIENT, "busy",
				       "an access key is being asked for, which does not end");
	int r = key_renew(l, deadline, v);
	if (!r) {
		r = aws_sign(l, &l->now, s);
		if (r)
			r = kms_verdict_set(v, KMS_TRANSIENT, "memory", "a request cannot be signed: %s", strerror(-r));
		s->generation = l->generation;
	}
	pthread_mutex_unlock(&l->lock);
	return r;
}

void aws_login_refused(struct aws_login *l, unsigned generation)
{
	if (pthread_mutex_trylock(&l->lock)) { /* somebody makes a new one */
		atomic_store(&l->anew, true);
		return;
	}
	if (l->generation == generation) {
		l->refused = true;
		atomic_store(&l->anew, true);
	}
	pthread_mutex_unlock(&l->lock);
}

void aws_login_end(struct aws_login *l)
{
	pthread_mutex_lock(&l->lock);
	aws_key_wipe(&l->now);
	pthread_mutex_unlock(&l->lock);
	http_free(l->meta);
	l->meta = NULL;
}
