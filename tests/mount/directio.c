/* SPDX-License-Identifier: BSD-2-Clause */
/* Buffered reads beside asynchronous direct writes: `directio FILE ROUNDS`; what a write has finished, every later read shows. */
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LEN 65536
#define READERS 3

static const char *path;
static atomic_bool over;

/* Keeps filling the page cache with whatever it gets. */
static void *reader(void *arg)
{
	char *buf = malloc(LEN);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	(void)arg;
	while (buf && fd >= 0 && !atomic_load(&over))
		if (pread(fd, buf, LEN, 0) < 0)
			break;
	close(fd);
	free(buf);
	return NULL;
}

static int write_direct(aio_context_t ctx, int fd, void *buf)
{
	struct iocb cb = {.aio_lio_opcode = IOCB_CMD_PWRITE,
			  .aio_fildes = (uint32_t)fd,
			  .aio_buf = (uintptr_t)buf,
			  .aio_nbytes = LEN};
	struct iocb *list[1] = {&cb};
	struct io_event done;

	if (syscall(SYS_io_submit, ctx, 1, list) != 1 || syscall(SYS_io_getevents, ctx, 1, 1, &done, NULL) != 1)
		return -errno;
	return done.res == LEN ? 0 : (int)done.res;
}

/* The number of rounds in which a read after the write showed what was there before, or -errno. */
static int rounds(int n, char *buf, char *back)
{
	aio_context_t ctx = 0;
	int stale = 0, r = 0;
	int direct = open(path, O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);
	int buffered = open(path, O_RDONLY | O_CLOEXEC);

	if (direct < 0 || buffered < 0 || syscall(SYS_io_setup, 4, &ctx))
		return -errno;
	for (int i = 0; i < n && r == 0; i++) {
		memset(buf, 'a' + i % 26, LEN);
		r = write_direct(ctx, direct, buf);
		if (r == 0 && pread(buffered, back, LEN, 0) != LEN)
			r = -EIO;
		stale += r == 0 && memcmp(buf, back, LEN) != 0;
	}
	syscall(SYS_io_destroy, ctx);
	close(direct);
	close(buffered);
	return r ? r : stale;
}

int main(int argc, char **argv)
{
	pthread_t thread[READERS];
	void *buf = NULL, *back = NULL;

	if (argc != 3 || posix_memalign(&buf, 4096, LEN) || posix_memalign(&back, 4096, LEN))
		return 2;
	path = argv[1];
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, LEN))
		return 2;
	close(fd);
	for (int i = 0; i < READERS; i++)
		if (pthread_create(&thread[i], NULL, reader, NULL))
			return 2;
	int stale = rounds(atoi(argv[2]), buf, back);
	atomic_store(&over, true);
	for (int i = 0; i < READERS; i++)
		pthread_join(thread[i], NULL);
	free(buf);
	free(back);
	if (stale < 0) {
		fprintf(stderr, "directio: %s: %s\n", path, strerror(-stale));
		return 2;
	}
	printf("%d\n", stale);
	return stale > 0;
}
