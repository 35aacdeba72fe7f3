/* SPDX-License-Identifier: BSD-2-Clause */
/* The host's mark of a store's last session, read and written beside the pin. */
#include "fs/store/session_mark.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "crypto/auto.h"
#include "fs/store/pin_file.h"

#define MARK_SUFFIX ".session"

int session_mark_read(const struct store *s, struct session_mark *out)
{
	uint8_t buf[SESSION_MARK_LEN];
	AUTO(auto_close) int fd = pin_file_beside(s->path, s->keyring->store_id, MARK_SUFFIX, O_RDONLY);

	if (fd < 0)
		return fd;
	if (store_pread_full(fd, buf, sizeof(buf), 0))
		return -EUCLEAN;
	int r = session_mark_parse(buf, sizeof(buf), out);
	return r == 0 && memcmp(out->store_id, s->keyring->store_id, ID_LEN) != 0 ? -EUCLEAN : r;
}

int session_mark_put(const struct store *s, const struct session_mark *mark)
{
	struct session_mark m = *mark;
	uint8_t buf[SESSION_MARK_LEN];

	memcpy(m.store_id, s->keyring->store_id, ID_LEN);
	session_mark_write(&m, buf);
	return pin_file_put_beside(s->path, s->keyring->store_id, MARK_SUFFIX, buf, sizeof(buf));
}

int session_mark_look(const struct store *s, struct session_verdict *out)
{
	AUTO(auto_free) uint8_t *record = NULL;
	struct session_mark mark;
	struct session session;
	size_t len = 0;
	int r = store_read_file(s->own_fd, STORE_SESSION, SESSION_LEN, &record, &len);

	if (r || session_peek(record, len, &session))
		return -ENOENT;
	session_judge(&session, session_mark_read(s, &mark) == 0 ? &mark : NULL, s->accept_session, out);
	return 0;
}
