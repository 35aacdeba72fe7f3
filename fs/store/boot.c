/* SPDX-License-Identifier: BSD-2-Clause */
/* Which boot of the machine this is: an in-flight slot outlives the daemon, not the machine. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fs/store/store.h"

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void store_boot_id(uint8_t id[ID_LEN])
{
	char text[64] = "";
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
	unsigned digits = 0;

	if (fd >= 0)
		close(fd);
	memset(id, 0, ID_LEN);
	for (ssize_t i = 0; i < n && digits < 2 * ID_LEN; i++) {
		int v = hex(text[i]);

		if (v < 0)
			continue;
		id[digits / 2] |= (uint8_t)(digits % 2 ? v : v << 4);
		digits++;
	}
	if (digits < 2 * ID_LEN)
		memset(id, 0, ID_LEN);
}
