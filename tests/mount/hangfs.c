/* SPDX-License-Identifier: BSD-2-Clause */
/* hangfs PLACE: a FUSE mount on the file or folder PLACE whose server answers INIT and then nothing any more, until it is killed. */
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	static char buf[1 << 20];
	char opts[128];
	struct stat st;
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (argc != 2 || fd < 0 || lstat(argv[1], &st) < 0)
		return 2;
	snprintf(opts, sizeof(opts), "fd=%d,rootmode=%o,user_id=0,group_id=0,allow_other", fd, st.st_mode & S_IFMT);
	if (mount("hang", argv[1], "fuse.hang", 0, opts) < 0 || read(fd, buf, sizeof(buf)) <= 0)
		return 3;
	const struct fuse_in_header *in = (const struct fuse_in_header *)buf;
	struct {
		struct fuse_out_header head;
		struct fuse_init_out init;
	} out = {.head = {.len = sizeof(out), .unique = in->unique},
		 .init = {.major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION, .max_write = 4096}};
	if (write(fd, &out, sizeof(out)) != (ssize_t)sizeof(out))
		return 4;
	puts("hangs");
	fflush(stdout);
	for (;;)
		pause();
}
