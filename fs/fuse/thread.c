/* SPDX-License-Identifier: BSD-2-Clause */
/* The serving thread that runs a handler. */
#include <string.h>

#include "fs/fuse/ops.h"

static _Thread_local struct server_thread *self;

struct server_thread *thread_self(void)
{
	return self;
}

uint32_t thread_opcode(void)
{
	uint32_t opcode = 0;

	/* struct fuse_in_header: length, opcode */
	if (self && self->buf.mem && !(self->buf.flags & FUSE_BUF_IS_FD) && self->buf.size >= 2 * sizeof(opcode))
		memcpy(&opcode, (const char *)self->buf.mem + sizeof(opcode), sizeof(opcode));
	return opcode;
}

void thread_self_set(struct server_thread *t)
{
	self = t;
}
