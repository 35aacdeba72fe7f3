/* SPDX-License-Identifier: BSD-2-Clause */
/* Control messages: requests, answers, escaped values. */
#include <stdlib.h>
#include <string.h>

#include "fs/watch/control.h"
#include "fs/watch/mountinfo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	enum control_command cmd;
	const char *body;
	size_t body_len;
	int error;

	if (control_request_parse((const char *)data, len, &cmd) == 0 &&
	    (cmd < CONTROL_STATUS || cmd > CONTROL_UNMOUNTING))
		abort();
	if (control_answer_parse((const char *)data, len, &error, &body, &body_len) == 0) {
		const char *begin = (const char *)data;
		if (error > 0 || body < begin || body + body_len > begin + len)
			abort();
	}
	char *text = malloc(len + 1);
	if (text == NULL)
		return 0;
	memcpy(text, data, len);
	text[len] = 0;
	size_t before = strlen(text);
	mountinfo_unescape(text);
	if (strlen(text) > before)
		abort();
	free(text);
	return 0;
}
