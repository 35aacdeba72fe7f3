/* SPDX-License-Identifier: BSD-2-Clause */
/* Secret memory: zeroed when given out, wiped when freed, guarded, not inherited unlocked. */
#include "tests/unit/vector.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* Sanitizers turn mlock() into nothing. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define NO_MLOCK 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(NO_MLOCK)
enum { mlock_works = 0 };
#else
enum { mlock_works = 1 };
#endif

START_TEST(lengths)
{
	ck_assert_ptr_null(secret_alloc(0));
	ck_assert_ptr_null(secret_alloc(SECRET_MAX + 1));
	uint8_t *p = secret_alloc(SECRET_MAX);
	ck_assert_ptr_nonnull(p);
	for (size_t i = 0; i < SECRET_MAX; i++)
		ck_assert_uint_eq(p[i], 0);
	ck_assert_uint_eq(secret_in_use(), 1);
	secret_free(p);
	secret_free(NULL);
	ck_assert_uint_eq(secret_in_use(), 0);
}
END_TEST

START_TEST(wiped_when_freed)
{
	uint8_t *p = secret_alloc(100);
	memset(p, 0xaa, SECRET_MAX); /* the whole slot is wiped, not only what was asked for */
	secret_free(p);
	/* The mapping stays; only the link to the next free slot may differ from zero. */
	for (size_t i = sizeof(void *); i < SECRET_MAX; i++)
		ck_assert_uint_eq(p[i], 0);
	uint8_t *again = secret_alloc(SECRET_MAX);
	ck_assert_ptr_eq(again, p);
	for (size_t i = 0; i < SECRET_MAX; i++)
		ck_assert_uint_eq(again[i], 0);
	secret_free(again);
}
END_TEST

START_TEST(many)
{
	enum { N = 5000 };
	static uint8_t *p[N];
	for (size_t i = 0; i < N; i++) {
		p[i] = secret_alloc(SECRET_MAX);
		ck_assert_ptr_nonnull(p[i]);
		memset(p[i], (int)i, SECRET_MAX);
	}
	for (size_t i = 0; i < N; i++)
		ck_assert(p[i][0] == (uint8_t)i && p[i][SECRET_MAX - 1] == (uint8_t)i);
	ck_assert_uint_eq(secret_in_use(), N);
	for (size_t i = 0; i < N; i++)
		secret_free(p[i]);
	ck_assert_uint_eq(secret_in_use(), 0);
}
END_TEST

static void *churn(void *arg)
{
	(void)arg;
	for (int i = 0; i < 20000; i++) {
		uint8_t *p = secret_alloc(64), *q = secret_alloc(64);
		ck_assert(p && q && p != q && p[0] == 0);
		p[0] = q[0] = 1;
		secret_free(p);
		secret_free(q);
	}
	return NULL;
}

START_TEST(threads)
{
	pthread_t t[4];
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		pthread_create(&t[i], NULL, churn, NULL);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		pthread_join(t[i], NULL);
	ck_assert_uint_eq(secret_in_use(), 0);
}
END_TEST

/* How the child that runs BODY ends: its signal, or -1. */
static int child_signal(void (*body)(void))
{
	int status = 0;
	pid_t pid = fork();
	if (pid == 0) {
		const struct rlimit none = {0, 0};
		setrlimit(RLIMIT_CORE, &none);
		signal(SIGSEGV, SIG_DFL);
		body();
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return WIFSIGNALED(status) ? WTERMSIG(status) : -1;
}

static void run_off_the_front(void)
{
	volatile uint8_t *p = secret_alloc(1);
	for (size_t i = 0; i < (1u << 20); i++)
		p[-(ptrdiff_t)i] = 1;
}

START_TEST(guarded)
{
	ck_assert_int_eq(child_signal(run_off_the_front), SIGSEGV);
}
END_TEST

/* The kernel's flags of the mapping that P lies in. */
static int mapping_has(const void *p, const char *flag)
{
	FILE *in = fopen("/proc/self/smaps", "re");
	char line[512];
	int inside = 0, found = 0;
	while (in && fgets(line, sizeof(line), in)) {
		unsigned long from, to;
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			inside = (unsigned long)p >= from && (unsigned long)p < to;
		else if (inside && strncmp(line, "VmFlags:", 8) == 0)
			found = strstr(line, flag) != NULL;
	}
	if (in)
		fclose(in);
	return found;
}

START_TEST(locked_and_not_dumped)
{
	void *p = secret_alloc(32);
	ck_assert(mapping_has(p, " dd"));
	if (mlock_works)
		ck_assert_int_eq(mapping_has(p, " lo"), secret_all_locked());
	/* The child inherits no lock: the slab takes it again. */
	int locked = secret_all_locked(), status = 0;
	pid_t pid = fork();
	if (pid == 0)
		_exit(!mlock_works || (mapping_has(p, " lo") == locked && secret_all_locked() == locked) ? 0 : 1);
	waitpid(pid, &status, 0);
	ck_assert_int_eq(status, 0);
	secret_free(p);
}
END_TEST

START_TEST(past_the_lock_limit)
{
	const struct rlimit none = {0, 0};
	int status = 0;
	pid_t pid = mlock_works ? fork() : -1;
	if (pid < 0)
		return;
	if (pid == 0) {
		if (setrlimit(RLIMIT_MEMLOCK, &none) != 0 || (geteuid() == 0 && setuid(65534) != 0))
			_exit(0); /* cannot be tried here */
		void *p = secret_alloc(32);
		_exit(p && !secret_all_locked() ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	ck_assert_int_eq(status, 0);
}
END_TEST

/* As many as it says, and not one more, are locked. */
START_TEST(capacity)
{
	const struct rlimit some = {8 << 20, 8 << 20};
	int status = 0;
	pid_t pid = mlock_works ? fork() : -1;
	if (pid < 0)
		return;
	if (pid == 0) {
		if (setrlimit(RLIMIT_MEMLOCK, &some) != 0 || (geteuid() == 0 && setuid(65534) != 0) ||
		    !secret_all_locked())
			_exit(0); /* cannot be tried here */
		size_t fits = secret_capacity();
		if (fits < 8192 || fits > 16384)
			_exit(1);
		while (secret_in_use() < fits)
			if (!secret_alloc(32) || !secret_all_locked())
				_exit(2);
		_exit(secret_alloc(32) && !secret_all_locked() ? 0 : 3);
	}
	waitpid(pid, &status, 0);
	ck_assert_int_eq(status, 0);
}
END_TEST

int main(void)
{
	const struct test_entry list[] = {
		{"lengths", lengths},
		{"wiped when freed", wiped_when_freed},
		{"many", many},
		{"threads", threads},
		{"guarded", guarded},
		{"locked and not dumped", locked_and_not_dumped},
		{"past the lock limit", past_the_lock_limit},
		{"capacity", capacity},
	};
	return test_main("secret", list, ARRAY_LEN(list));
}
