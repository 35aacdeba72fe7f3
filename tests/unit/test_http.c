/* SPDX-License-Identifier: BSD-2-Clause */
/* The HTTPS core against a TLS server on loopback: who is believed, how long and how much is waited for, what stays in memory. */
#include <check.h>
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crypto/secret.h"
#include "kms/clock.h"
#include "kms/net/http.h"
#include "tests/kms/tls_rig.h"

#define DNS_HANG_MS 6000
/* A sanitizer keeps what was freed, and what was copied to be looked at. */
#define SANITIZED false
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#undef SANITIZED
#define SANITIZED true
#endif
#endif
#define SOON_MS 2000 /* on a slow machine; what it must not be is the 6 s of the resolver, the 20 s of the deadline */

static struct tls_rig rig;
static struct http *http;
static struct http_config cfg;
static struct http_reply reply;
static struct kms_verdict v;
static char ca[128], other[128], cert[128], key[128];
static int64_t took;

/* In the place of the C library's, for libcurl too: a DNS server that does not answer. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
	static int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

	if (node && strcmp(node, "hangs.example") == 0) {
		clock_pause(DNS_HANG_MS);
		return EAI_AGAIN;
	}
	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
	return real(node, service, hints, out);
}

static void setup(void)
{
	ck_assert_int_eq(secret_init(), 0);
	tls_rig_start(&rig);
	snprintf(ca, sizeof(ca), "%s/ca.pem", rig.dir);
	snprintf(other, sizeof(other), "%s/other.pem", rig.dir);
	snprintf(cert, sizeof(cert), "%s/client.pem", rig.dir);
	snprintf(key, sizeof(key), "%s/client.key", rig.dir);
	cfg = (struct http_config){.ca_file = ca, .proxy = "none"};
	unsetenv("https_proxy");
	http = NULL;
}

static void teardown(void)
{
	http_reply_free(&reply);
	http_free(http);
	tls_rig_stop(&rig);
}

static int ask_at(const char *base, const char *path, const char *body, int64_t ms)
{
	static const char *const headers[] = {"X-Vault-Token: geheim", NULL};
	char url[256];
	const struct http_request q = {
		.method = body ? "POST" : "GET",
		.url = url,
		.header = headers,
		.body = body,
		.body_len = body ? strlen(body) : 0,
		.id_header = "x-number",
		.deadline = clock_ms(CLOCK_BOOTTIME) + ms,
	};
	int64_t from = clock_ms(CLOCK_MONOTONIC);

	if (!http)
		ck_assert_int_eq(http_new(&cfg, &http), 0);
	snprintf(url, sizeof(url), "%s%d%s", base, rig.port, path);
	http_reply_free(&reply);
	memset(&v, 0, sizeof(v));
	int r = http_ask(http, &q, &reply, &v);
	took = clock_ms(CLOCK_MONOTONIC) - from;
	return r;
}

static int ask(const char *path, const char *body)
{
	return ask_at("https://127.0.0.1:", path, body, 20000);
}

START_TEST(test_answers)
{
	ck_assert_msg(ask("/echo", "{\"a\":1}") == 0, "%s", v.text);
	ck_assert_uint_eq(reply.status, 200);
	ck_assert_str_eq(reply.body, "{\"a\":1}");
	ck_assert_uint_eq(reply.len, 7);
	ck_assert_str_eq(reply.request_id, "n-7");
	ck_assert_ptr_nonnull(strstr(rig.last, "POST /echo HTTP/1.1\r\n"));
	ck_assert_ptr_nonnull(strstr(rig.last, "X-Vault-Token: geheim\r\n"));
	ck_assert_int_eq(ask("/status/429", NULL), 0);
	ck_assert_uint_eq(reply.status, 429);
	ck_assert_uint_eq(reply.retry_after, 7);
	ck_assert_str_eq(reply.body, "{}");
	ck_assert_int_eq(ask("/status/302", NULL), 0); /* a redirect is an answer, and is not followed */
	ck_assert_uint_eq(reply.status, 302);
	/* one connection is kept between polls, a new one after a refresh */
	ck_assert_int_eq(rig.connections, 1);
	http_refresh(http);
	ck_assert_int_eq(ask("/echo", "x"), 0);
	ck_assert_int_eq(rig.connections, 2);
	/* one that was closed under us costs nothing */
	ck_assert_int_eq(ask("/drop", NULL), 0);
	clock_pause(100);
	ck_assert_msg(ask("/echo", "again") == 0, "%s", v.text);
	ck_assert_str_eq(reply.body, "again");
}
END_TEST

static const struct {
	enum tls_rig_mode mode;
	const char *ca; /* NULL: the rig's */
	const char *base;
	enum kms_class class;
	const char *code;
} peers[] = {
	{RIG_GOOD, NULL, "https://127.0.0.1:", KMS_OK, ""},
	{RIG_GOOD, NULL, "https://localhost:", KMS_OK, ""},
	{RIG_GOOD, other, "https://127.0.0.1:", KMS_MISCONFIGURED, "tls"},
	{RIG_EXPIRED, NULL, "https://127.0.0.1:", KMS_MISCONFIGURED, "tls"},
	{RIG_OTHER_NAME, NULL, "https://127.0.0.1:", KMS_MISCONFIGURED, "tls"},
	{RIG_OTHER_CA, NULL, "https://127.0.0.1:", KMS_MISCONFIGURED, "tls"},
	{RIG_OLD_TLS, NULL, "https://127.0.0.1:", KMS_TRANSIENT, "tls"},
	{RIG_GOOD, "/nowhere.pem", "https://127.0.0.1:", KMS_MISCONFIGURED, "tls-files"},
	{RIG_GOOD, NULL, "http://127.0.0.1:", KMS_TRANSIENT, "broken"},
	{RIG_NOBODY, NULL, "https://127.0.0.1:", KMS_TRANSIENT, "connect"},
	{RIG_GOOD, NULL, "https://nowhere.invalid:", KMS_TRANSIENT, "dns"},
};

/* Nobody but the host itself is spoken to, by TLS 1.2 or later; no request reaches another. */
START_TEST(test_peers)
{
	rig.mode = peers[_i].mode;
	if (peers[_i].mode == RIG_NOBODY)
		rig.port = 1;
	if (peers[_i].ca)
		cfg.ca_file = peers[_i].ca;
	int r = ask_at(peers[_i].base, "/status/200", NULL, 20000);
	ck_assert_int_eq(r, kms_class_errno(peers[_i].class));
	if (r) {
		ck_assert_msg(v.class == peers[_i].class && strcmp(v.code, peers[_i].code) == 0, "%d %s: %s", v.class,
			      v.code, v.text);
		ck_assert_int_eq(rig.requests, 0);
	}
}
END_TEST

START_TEST(test_client_certificate)
{
	rig.mode = RIG_WANTS_CLIENT;
	ck_assert_int_ne(ask("/status/200", NULL), 0);
	ck_assert_int_eq(v.class, KMS_TRANSIENT);
	http_free(http);
	http = NULL;
	cfg.client_cert = cert;
	cfg.client_key = key;
	ck_assert_msg(ask("/status/200", NULL) == 0, "%s", v.text);
}
END_TEST

/* The certificate names another host than the address. */
START_TEST(test_server_name)
{
	rig.mode = RIG_OTHER_NAME;
	cfg.server_name = "kms.example";
	ck_assert_msg(ask("/status/200", NULL) == 0, "%s", v.text);
	char host[64];
	snprintf(host, sizeof(host), "Host: 127.0.0.1:%d\r\n", rig.port);
	ck_assert_msg(strstr(rig.last, host) != NULL, "%s", rig.last);
	rig.mode = RIG_GOOD;
	http_refresh(http);
	ck_assert_int_eq(ask("/status/200", NULL), -EINVAL);
}
END_TEST

static const struct {
	const char *path, *code;
	int64_t ms;
} limits[] = {
	{"/big", "too-large", 20000}, {"/endless", "too-large", 20000}, {"/heads", "too-large", 20000},
	{"/cut", "broken", 20000},    {"/drip", "timeout", 700},        {"/hang", "timeout", 700},
};

START_TEST(test_limits)
{
	ck_assert_int_eq(ask_at("https://127.0.0.1:", limits[_i].path, NULL, limits[_i].ms), -ETIMEDOUT);
	ck_assert_msg(strcmp(v.code, limits[_i].code) == 0, "%s: %s %s", limits[_i].path, v.code, v.text);
	ck_assert_int_lt(took, limits[_i].ms < SOON_MS ? limits[_i].ms + SOON_MS : limits[_i].ms);
	ck_assert_ptr_null(reply.body);
}
END_TEST

START_TEST(test_hang_in_tls)
{
	rig.mode = RIG_MUTE;
	ck_assert_int_eq(ask_at("https://127.0.0.1:", "/echo", NULL, 500), -ETIMEDOUT);
	ck_assert_str_eq(v.code, "timeout");
	ck_assert_int_lt(took, 500 + SOON_MS);
}
END_TEST

/* A DNS server that hangs makes neither the time limit nor a cancel void (CURLOPT_QUICK_EXIT). */
START_TEST(test_hang_in_dns)
{
	ck_assert_int_eq(ask_at("https://hangs.example:", "/echo", NULL, 500), -ETIMEDOUT);
	ck_assert_str_eq(v.code, "timeout");
	ck_assert_int_lt(took, 500 + SOON_MS);
	int64_t from = clock_ms(CLOCK_MONOTONIC);
	http_refresh(http);
	ck_assert_int_lt(clock_ms(CLOCK_MONOTONIC) - from, SOON_MS);
}
END_TEST

static void *cancel_soon(void *arg)
{
	(void)arg;
	clock_pause(300);
	http_cancel(http);
	return NULL;
}

START_TEST(test_cancel)
{
	static const char *const bases[] = {"https://127.0.0.1:", "https://hangs.example:"};
	pthread_t thread;

	ck_assert_int_eq(http_new(&cfg, &http), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, cancel_soon, NULL), 0);
	ck_assert_int_eq(ask_at(bases[_i], "/hang", NULL, 20000), -ECANCELED);
	ck_assert_int_lt(took, 300 + SOON_MS);
	pthread_join(thread, NULL);
	ck_assert_int_eq(ask("/echo", "x"), -ECANCELED); /* until it is refreshed */
	http_refresh(http);
	ck_assert_int_eq(ask("/echo", "x"), 0);
}
END_TEST

/* Before a second try: not for long, as long as the KMS asks for, never past the deadline, and not when it was cancelled. */
START_TEST(test_pause)
{
	struct http_reply none = {0}, asks = {.body = rig.last, .retry_after = 1};
	int64_t now = clock_ms(CLOCK_BOOTTIME), sum = 0;
	pthread_t thread;

	ck_assert_int_eq(http_new(&cfg, &http), 0);
	for (int i = 0; i < 10; i++) {
		int64_t from = clock_ms(CLOCK_MONOTONIC);
		ck_assert_int_eq(http_pause(http, 0, &none, now + 60000), 0);
		sum += clock_ms(CLOCK_MONOTONIC) - from;
	}
	ck_assert_int_gt(sum, 100); /* a second is what it comes to */
	ck_assert_int_lt(sum, 10 * 200 + SOON_MS);
	int64_t from = clock_ms(CLOCK_MONOTONIC);
	ck_assert_int_eq(http_pause(http, 0, &asks, clock_ms(CLOCK_BOOTTIME) + 60000), 0);
	ck_assert_int_ge(clock_ms(CLOCK_MONOTONIC) - from, 1000);
	ck_assert_int_eq(http_pause(http, 0, &asks, clock_ms(CLOCK_BOOTTIME) + 900), -ETIMEDOUT);
	asks.retry_after = 30;
	ck_assert_int_eq(pthread_create(&thread, NULL, cancel_soon, NULL), 0);
	from = clock_ms(CLOCK_MONOTONIC);
	ck_assert_int_eq(http_pause(http, 0, &asks, clock_ms(CLOCK_BOOTTIME) + 60000), -ECANCELED);
	ck_assert_int_lt(clock_ms(CLOCK_MONOTONIC) - from, 300 + SOON_MS);
	pthread_join(thread, NULL);
}
END_TEST

/* A 307 is followed to the standby that was named and to nobody else. */
START_TEST(test_standby)
{
	snprintf(rig.redirect, sizeof(rig.redirect), "localhost:%d", rig.port);
	ck_assert_int_eq(ask("/to307", "body"), 0);
	ck_assert_uint_eq(reply.status, 307);
	ck_assert_int_eq(rig.requests, 1);
	http_free(http);
	http = NULL;
	cfg.standby = rig.redirect;
	ck_assert_msg(ask("/to307", "body") == 0, "%s", v.text);
	ck_assert_uint_eq(reply.status, 200);
	ck_assert_str_eq(reply.body, "body");
	ck_assert_ptr_nonnull(strstr(rig.last, "X-Vault-Token: geheim"));
	ck_assert_int_eq(rig.requests, 3);
	http_free(http);
	http = NULL;
	cfg.standby = "localhost:1";
	ck_assert_int_eq(ask("/to307", "body"), 0);
	ck_assert_uint_eq(reply.status, 307);
}
END_TEST

/* Requests from several threads, more than there are lines. */
static atomic_int good;

static void *ask_main(void *arg)
{
	struct http_reply r;
	struct kms_verdict mine = {0};
	char url[64];
	struct http_request q = {.method = "POST", .url = url, .body = arg, .body_len = strlen(arg)};

	snprintf(url, sizeof(url), "https://127.0.0.1:%d/echo", rig.port);
	for (int i = 0; i < 5; i++) {
		q.deadline = clock_ms(CLOCK_BOOTTIME) + 60000;
		if (http_ask(http, &q, &r, &mine) == 0 && strcmp(r.body, arg) == 0)
			good++;
		http_reply_free(&r);
	}
	return NULL;
}

START_TEST(test_threads)
{
	static char bodies[20][16];
	pthread_t thread[20];

	ck_assert_int_eq(http_new(&cfg, &http), 0);
	for (int i = 0; i < 20; i++) {
		snprintf(bodies[i], sizeof(bodies[i]), "body of %d", i);
		ck_assert_int_eq(pthread_create(&thread[i], NULL, ask_main, bodies[i]), 0);
	}
	for (int i = 0; i < 20; i++)
		pthread_join(thread[i], NULL);
	ck_assert_int_eq(good, 100);
	ck_assert_int_le(rig.connections, 8);
}
END_TEST

/* In how many places of this process's memory are the bytes that the server sends for /secret? */
static size_t places(void)
{
	FILE *maps = fopen("/proc/self/maps", "re"), *mem = fopen("/proc/self/mem", "re");
	char line[512];
	size_t n = 0;

	ck_assert(maps && mem);
	while (fgets(line, sizeof(line), maps)) {
		unsigned long from, to;
		char mode[8];

		if (sscanf(line, "%lx-%lx %7s", &from, &to, mode) != 3 || mode[0] != 'r' || strstr(line, "[v"))
			continue;
		unsigned char *copy = to - from < (1ul << 30) ? malloc(to - from) : NULL;
		bool have = copy && fseek(mem, (long)from, SEEK_SET) == 0 &&
			    fread(copy, 1, to - from, mem) == to - from;
		for (size_t i = 0; have && i + RIG_SECRET_LEN <= to - from; i++) {
			size_t j = 0;

			while (j < RIG_SECRET_LEN &&
			       copy[i + j] == rig_secret(j)) /* it stands nowhere in the test itself */
				j++;
			n += j == RIG_SECRET_LEN;
		}
		free(copy);
	}
	fclose(maps);
	fclose(mem);
	return n;
}

/* A payload stands in no place of memory once its reply is given back: not in libcurl's buffers, nor in OpenSSL's. */
START_TEST(test_nothing_stays)
{
	struct tls_rig *apart = mmap(NULL, sizeof(*apart), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t server = fork();

	if (server == 0) {
		tls_rig_start(apart);
		atomic_store(&apart->connections, -1);
		pause();
		_exit(0);
	}
	while (atomic_load(&apart->connections) == 0)
		clock_pause(5);
	snprintf(ca, sizeof(ca), "%s/ca.pem", apart->dir);
	rig.port = apart->port;
	for (int i = 0; i < 3; i++) {
		ck_assert_msg(ask("/secret", "{}") == 0, "%s", v.text);
		ck_assert_uint_eq(reply.len, RIG_SECRET_LEN);
		for (size_t j = 0; j < reply.len; j++)
			ck_assert_uint_eq((unsigned char)reply.body[j], rig_secret(j));
		ck_assert_uint_ge(places(), 1); /* it can be found */
		http_reply_free(&reply);
		ck_assert_uint_eq(places(), 0); /* the connection is kept */
	}
	http_free(http);
	http = NULL;
	ck_assert_uint_eq(places(), 0);
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("http");
	TCase *t = tcase_create("http");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 30);
	tcase_add_test(t, test_answers);
	tcase_add_loop_test(t, test_peers, 0, (int)(sizeof(peers) / sizeof(peers[0])));
	tcase_add_test(t, test_client_certificate);
	tcase_add_test(t, test_server_name);
	tcase_add_loop_test(t, test_limits, 0, (int)(sizeof(limits) / sizeof(limits[0])));
	tcase_add_test(t, test_hang_in_tls);
	tcase_add_test(t, test_hang_in_dns);
	tcase_add_loop_test(t, test_cancel, 0, 2);
	tcase_add_test(t, test_pause);
	tcase_add_test(t, test_standby);
	tcase_add_test(t, test_threads);
	if (!SANITIZED)
		tcase_add_test(t, test_nothing_stays);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
