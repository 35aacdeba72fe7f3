/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines of the audit log for people. */
#ifndef TOOLS_AUDIT_SHOW_H
#define TOOLS_AUDIT_SHOW_H

#include <stdio.h>

#include "crypto/audit.h"

/* One line: time, session and number, event, members. Nothing in it that a terminal obeys. */
void audit_show_line(FILE *out, const struct audit_line *l);

#endif
