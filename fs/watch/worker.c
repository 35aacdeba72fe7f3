/* SPDX-License-Identifier: BSD-2-Clause */
/* What a worker asks of its supervisor and tells it. */
#include "fs/watch/worker.h"

#include <errno.h>
#include <stdio.h>

#include "fs/watch/link.h"

int worker_mount(struct worker *w, int *fd, char why[STORE_WHY_MAX])
{
	struct link_msg m = {.type = LINK_MOUNT};
	int r = link_send(w->sock, &m, -1, false);

	/* a signal may have been passed on before */
	while (!r && (r = link_receive(w->sock, &m, fd)) == 0 && m.type != LINK_MOUNTED)
		if (m.type == LINK_STOP)
			r = -EINTR;
	if (r) {
		snprintf(why, STORE_WHY_MAX, r == -EINTR ? "interrupted" : "the supervisor does not answer");
		return r;
	}
	snprintf(why, STORE_WHY_MAX, "%s", m.text);
	w->mount = m.mount;
	snprintf(w->abort_how, sizeof(w->abort_how), "%s", m.how);
	return m.error ? m.error : *fd < 0 ? -EPROTO : 0;
}

void worker_serving(struct worker *w)
{
	const struct link_msg m = {.type = LINK_SERVING};

	atomic_store(&w->page->phase, WATCH_SERVING);
	(void)(link_send(w->sock, &m, -1, false) == 0); /* its death is noticed elsewhere */
}

void worker_tell(struct worker *w, const struct gate_change *c)
{
	struct link_msg m = {.type = LINK_CHANGE, .from = (int)c->from, .to = (int)c->to, .cause = (int)c->cause};

	snprintf(m.text, sizeof(m.text), "%s", c->reason);
	(void)(link_send(w->sock, &m, -1, true) == 0); /* what does not fit in the queue is not told */
}
