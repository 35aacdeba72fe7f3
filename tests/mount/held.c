/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ways to what a file of a mount had in the kernel's cache, by what was held before a lock: held FILE
 *
 * FILE is full of the letter 's', HELD_LEN bytes of it at least. Says "held" when all is prepared; after a line of input tries each way
 * and says `WAY OUTCOME`: the bytes it got, or the name of the error. What this kernel does not have is "none".
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define HELD_LEN (40 << 20)
#define PAGE 4096

static sigjmp_buf bus;
static int fd;
static char *map;

static void on_bus(int sig)
{
	siglongjmp(bus, sig);
}

static void say(const char *way, ssize_t r)
{
	if (r < 0)
		printf("%s %s\n", way, strerrorname_np(errno));
	else
		printf("%s %zd\n", way, r);
}

/* One that waits in the kernel while the mount locks: its buffer is of memory that is not there before somebody gives it. */
static struct parked {
	char *buf;
	int faults;
	ssize_t got;
	pthread_t thread;
} parked;

static void *parked_read(void *arg)
{
	(void)arg;
	parked.got = pread(fd, parked.buf, HELD_LEN, 0);
	return NULL;
}

static int park(void)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffd_msg m;

	parked.buf = mmap(NULL, HELD_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	parked.faults = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	if (parked.faults < 0 || ioctl(parked.faults, UFFDIO_API, &api) < 0)
		return -1;
	struct uffdio_register r = {.range = {(unsigned long)parked.buf, HELD_LEN},
				    .mode = UFFDIO_REGISTER_MODE_MISSING};
	if (ioctl(parked.faults, UFFDIO_REGISTER, &r) < 0 ||
	    pthread_create(&parked.thread, NULL, parked_read, NULL) != 0)
		return -1;
	return read(parked.faults, &m, sizeof(m)) == sizeof(m) ? 0 : -1;
}

static void unpark(void)
{
	struct uffdio_zeropage z = {.range = {(unsigned long)parked.buf, HELD_LEN}};

	ioctl(parked.faults, UFFDIO_ZEROPAGE, &z);
	pthread_join(parked.thread, NULL);
	ssize_t seen = 0;
	for (size_t i = 0; i < HELD_LEN; i++)
		seen += parked.buf[i] == 's';
	say("parked", seen);
}

/* A buffer that is registered with io_uring stays pinned: are pages of a shared mapping taken for one? */
static void ring(void)
{
	struct io_uring_params p = {0};
	struct iovec buf = {map, PAGE};
	int r = (int)syscall(SYS_io_uring_setup, 4, &p);

	if (r < 0)
		puts("registered none");
	else
		say("registered", syscall(SYS_io_uring_register, r, IORING_REGISTER_BUFFERS, &buf, 1));
}

static void ways(void)
{
	char text[PAGE];
	int out[2];
	off_t at = 0;
	struct iovec from = {map, PAGE}, to = {text, sizeof(text)};

	if (sigsetjmp(bus, 1) == 0) {
		*(volatile char *)text = *(volatile char *)map;
		puts("mapping 1");
	} else {
		puts("mapping SIGBUS");
	}
	int mem = open("/proc/self/mem", O_RDONLY);
	say("mem", pread(mem, text, PAGE, (off_t)(unsigned long)map));
	say("process_vm_readv", process_vm_readv(getpid(), &to, 1, &from, 1, 0));
	if (pipe(out) < 0)
		exit(1);
	say("vmsplice", vmsplice(out[1], &from, 1, SPLICE_F_NONBLOCK));
	say("splice", splice(fd, &at, out[1], NULL, PAGE, SPLICE_F_NONBLOCK));
	int net[2];
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, net) < 0)
		exit(1);
	at = 0;
	say("sendfile", sendfile(net[0], fd, &at, PAGE));
	say("read", pread(fd, text, PAGE, 0));
	say("write-from", write(out[1], map, PAGE));
}

int main(int argc, char **argv)
{
	char line[8];

	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGBUS, on_bus);
	fd = argc == 2 ? open(argv[1], O_RDWR) : -1;
	map = mmap(NULL, HELD_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED) {
		perror("held");
		return 1;
	}
	for (size_t i = 0; i < HELD_LEN; i += PAGE)
		if (((volatile char *)map)[i] != 's')
			return 1;
	ring();
	int none = park();
	puts("held");
	if (!fgets(line, sizeof(line), stdin))
		return 1;
	if (none)
		puts("parked none");
	else
		unpark();
	ways();
	return 0;
}
