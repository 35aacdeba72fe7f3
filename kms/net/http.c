/* SPDX-License-Identifier: BSD-2-Clause */
/* HTTPS to a KMS: one bounded request, one bounded reply. The one place that knows libcurl. */
#include "kms/net/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/keys.h"
#include "kms/clock.h"
#include "kms/net/heap.h"

#define LINES_MAX 8u    /* requests at a time */
#define HEAD_MAX 32768u /* bytes of a reply's headers */
#define LOOK_MS 1000    /* between two looks at the clock at most: it counts a suspend, poll(2) does not */
#define KEEP_S 60L      /* an idle connection is taken up again for so long */
#define LIST_END 1024u
#define PAUSE_MS INT64_C(200)
#define PAUSES_MAX 6u /* doublings */

/* A connection that is kept, with the machinery around it. */
struct line {
	CURLM *multi;
	CURL *easy;
	bool busy;
	unsigned generation; /* of the http it was made in */
};

struct http {
	char *word[7]; /* the configuration's strings, for free */
	struct http_config cfg;
	pthread_mutex_t lock;
	pthread_cond_t free_line;
	struct line line[LINES_MAX]; /* lock */
	unsigned generation;         /* lock; http_refresh() counts it up */
	atomic_bool cancelled;
};

/* One request on one line. */
struct transfer {
	const struct http_request *q;
	struct http_reply *reply;
	size_t head, room;
	bool too_large;
	char error[CURL_ERROR_SIZE];
	struct curl_slist *headers, *connect_to;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static CURLcode started;

static void start(void)
{
	started = curl_global_init_mem(CURL_GLOBAL_DEFAULT, heap_alloc, heap_free, heap_realloc, heap_strdup,
				       heap_calloc);
}

static int word_copy(struct http *h, size_t i, const char *from, const char **to)
{
	if (!from)
		return 0;
	h->word[i] = strdup(from);
	*to = h->word[i];
	return h->word[i] ? 0 : -ENOMEM;
}

int http_new(const struct http_config *cfg, struct http **out)
{
	struct http *h = calloc(1, sizeof(*h));

	pthread_once(&once, start);
	if (!h)
		return -ENOMEM;
	pthread_mutex_init(&h->lock, NULL);
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&h->free_line, &attr);
	pthread_condattr_destroy(&attr);
	h->cfg = *cfg;
	if (started != CURLE_OK || word_copy(h, 0, cfg->ca_file, &h->cfg.ca_file) ||
	    word_copy(h, 1, cfg->client_cert, &h->cfg.client_cert) ||
	    word_copy(h, 2, cfg->client_key, &h->cfg.client_key) ||
	    word_copy(h, 3, cfg->server_name, &h->cfg.server_name) || word_copy(h, 4, cfg->proxy, &h->cfg.proxy) ||
	    word_copy(h, 5, cfg->unix_path, &h->cfg.unix_path) || word_copy(h, 6, cfg->standby, &h->cfg.standby)) {
		http_free(h);
		return started != CURLE_OK ? -EIO : -ENOMEM;
	}
	*out = h;
	return 0;
}

static void line_drop(struct line *l)
{
	if (l->easy)
		curl_easy_cleanup(l->easy);
	if (l->multi)
		curl_multi_cleanup(l->multi);
	l->easy = NULL;
	l->multi = NULL;
}

void http_free(struct http *h)
{
	if (!h)
		return;
	for (size_t i = 0; i < LINES_MAX; i++)
		line_drop(&h->line[i]);
	for (size_t i = 0; i < ARRAY_LEN(h->word); i++)
		free(h->word[i]);
	pthread_cond_destroy(&h->free_line);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

void http_refresh(struct http *h)
{
	pthread_mutex_lock(&h->lock);
	h->generation++;
	for (size_t i = 0; i < LINES_MAX; i++)
		if (!h->line[i].busy)
			line_drop(&h->line[i]);
	atomic_store(&h->cancelled, false);
	pthread_mutex_unlock(&h->lock);
}

void http_cancel(struct http *h)
{
	atomic_store(&h->cancelled, true);
	pthread_mutex_lock(&h->lock);
	for (size_t i = 0; i < LINES_MAX; i++)
		if (h->line[i].busy)
			curl_multi_wakeup(h->line[i].multi);
	pthread_cond_broadcast(&h->free_line);
	pthread_mutex_unlock(&h->lock);
}

void http_reply_free(struct http_reply *r)
{
	heap_free(r->body);
	r->body = NULL;
}

/* Lines */

/* A free line; of those that have a connection first. h->lock is held. */
static struct line *line_find(struct http *h)
{
	struct line *found = NULL;

	for (size_t i = 0; i < LINES_MAX; i++)
		if (!h->line[i].busy && (!found || (!found->multi && h->line[i].multi)))
			found = &h->line[i];
	return found;
}

static bool line_make(struct line *l)
{
	if (!l->multi)
		l->multi = curl_multi_init();
	if (!l->easy)
		l->easy = curl_easy_init();
	return l->multi && l->easy;
}

static struct line *line_take(struct http *h, int64_t deadline, struct kms_verdict *v)
{
	struct line *l;

	pthread_mutex_lock(&h->lock);
	while (!(l = line_find(h)) && !atomic_load(&h->cancelled)) {
		int64_t left = deadline - clock_ms(CLOCK_BOOTTIME);
		struct timespec until = clock_timespec(clock_ms(CLOCK_MONOTONIC) + left);

		if (left <= 0 || pthread_cond_timedwait(&h->free_line, &h->lock, &until) == ETIMEDOUT)
			break;
	}
	if (l && l->generation != h->generation)
		line_drop(l);
	if (l && !line_make(l)) {
		line_drop(l);
		l = NULL;
	}
	if (l) {
		l->busy = true;
		l->generation = h->generation;
	}
	pthread_mutex_unlock(&h->lock);
	if (!l)
		kms_verdict_set(v, KMS_TRANSIENT, "busy", "too many requests to the KMS are under way");
	return l;
}

static void line_give(struct http *h, struct line *l)
{
	pthread_mutex_lock(&h->lock);
	curl_easy_reset(l->easy);
	if (l->generation != h->generation)
		line_drop(l);
	l->busy = false;
	pthread_cond_broadcast(&h->free_line);
	pthread_mutex_unlock(&h->lock);
}

int http_pause(struct http *h, unsigned n, const struct http_reply *r, int64_t deadline)
{
	const int64_t most = PAUSE_MS << (n < PAUSES_MAX ? n : PAUSES_MAX);
	uint32_t dice;

	random_bytes((uint8_t *)&dice, sizeof(dice));
	int64_t ms = r->body && r->retry_after ? r->retry_after * INT64_C(1000) : dice % (most + 1);
	struct timespec until = clock_timespec(clock_ms(CLOCK_MONOTONIC) + ms);
	if (clock_ms(CLOCK_BOOTTIME) + ms >= deadline)
		return -ETIMEDOUT;
	pthread_mutex_lock(&h->lock);
	while (!atomic_load(&h->cancelled) && pthread_cond_timedwait(&h->free_line, &h->lock, &until) != ETIMEDOUT)
		;
	pthread_mutex_unlock(&h->lock);
	return atomic_load(&h->cancelled) ? -ECANCELED : 0;
}

/* The reply as it comes in */

static size_t body_in(char *data, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	size_t len = size * n;

	if (len > HTTP_BODY_MAX - t->reply->len) {
		t->too_large = true;
		return 0;
	}
	if (t->reply->len + len >= t->room) {
		size_t room = 2 * (t->reply->len + len) + LIST_END;
		char *to = heap_realloc(t->reply->body, room);

		if (!to)
			return 0;
		t->reply->body = to;
		t->room = room;
	}
	memcpy(t->reply->body + t->reply->len, data, len);
	t->reply->len += len;
	t->reply->body[t->reply->len] = '\0';
	return len;
}

/* The value of the header NAME, if this LINE is it, cut to what OUT holds. */
static bool header_keep(const char *name, const char *line, size_t len, char *out, size_t size)
{
	size_t n = name ? strlen(name) : 0;

	if (!n || len <= n || line[n] != ':' || strncasecmp(line, name, n) != 0)
		return false;
	line += n + 1;
	len -= n + 1;
	while (len && (*line == ' ' || *line == '\t'))
		line++, len--;
	while (len && (unsigned char)line[len - 1] <= ' ')
		len--;
	snprintf(out, size, "%.*s", (int)(len < size ? len : size - 1), line);
	return true;
}

static size_t head_in(char *data, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	size_t len = size * n;
	char date[64];

	t->head += len;
	if (t->head > HEAD_MAX) {
		t->too_large = true;
		return 0;
	}
	(void)header_keep(t->q->id_header, data, len, t->reply->request_id, sizeof(t->reply->request_id));
	if (header_keep("Date", data, len, date, sizeof(date))) {
		time_t at = curl_getdate(date, NULL);

		t->reply->date = at > 0 ? at : 0;
	}
	return len;
}

static CURLcode tls_begin(CURL *easy, void *ctx, void *arg)
{
	(void)easy;
	(void)arg;
	SSL_CTX_set_options(ctx, SSL_OP_CLEANSE_PLAINTEXT); /* records that were read are wiped in OpenSSL's buffer */
	return CURLE_OK;
}

/* The request */

/* An option that libcurl does not know here would be protection that is not there. */
#define SET(easy, option, value) (curl_easy_setopt(easy, option, value) == CURLE_OK)

static bool set_tls(const struct http *h, CURL *e)
{
	const struct http_config *c = &h->cfg;

	return SET(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) && SET(e, CURLOPT_SSL_VERIFYPEER, 1L) &&
	       SET(e, CURLOPT_SSL_VERIFYHOST, 2L) && SET(e, CURLOPT_SSL_CTX_FUNCTION, tls_begin) &&
	       (!c->ca_file || (SET(e, CURLOPT_CAINFO, c->ca_file) && SET(e, CURLOPT_CAPATH, NULL))) &&
	       (!c->client_cert || SET(e, CURLOPT_SSLCERT, c->client_cert)) &&
	       (!c->client_key || SET(e, CURLOPT_SSLKEY, c->client_key)) &&
	       /* else OpenSSL would ask for it on the terminal */
	       SET(e, CURLOPT_KEYPASSWD, "");
}

static bool set_way(const struct http *h, CURL *e, int64_t left_ms)
{
	const struct http_config *c = &h->cfg;
	bool direct = c->proxy && strcmp(c->proxy, "none") == 0;
	int64_t connect_ms = c->connect_ms && c->connect_ms < left_ms ? c->connect_ms : left_ms;

	return SET(e, CURLOPT_PROTOCOLS_STR, c->plain ? "http,https" : "https") && SET(e, CURLOPT_FOLLOWLOCATION, 0L) &&
	       SET(e, CURLOPT_NOSIGNAL, 1L) && SET(e, CURLOPT_QUICK_EXIT, 1L) &&
	       SET(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) && SET(e, CURLOPT_TIMEOUT_MS, (long)left_ms) &&
	       SET(e, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms) &&
	       SET(e, CURLOPT_MAXFILESIZE, (long)HTTP_BODY_MAX) && SET(e, CURLOPT_MAXAGE_CONN, KEEP_S) &&
	       SET(e, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) && (!direct || SET(e, CURLOPT_PROXY, "")) &&
	       (direct || !c->proxy || SET(e, CURLOPT_PROXY, c->proxy)) &&
	       (!c->unix_path || SET(e, CURLOPT_UNIX_SOCKET_PATH, c->unix_path));
}

static bool list_add(struct curl_slist **list, const char *text)
{
	struct curl_slist *longer = curl_slist_append(*list, text);

	if (longer)
		*list = longer;
	return longer != NULL;
}

/* The certificate must name another host than the URL: asked for by that name, connected to the URL's, which the KMS is told. */
static bool url_renamed(const struct http *h, struct transfer *t, const char *url, char out[HTTP_URL_MAX])
{
	CURLU *u = curl_url();
	char *host = NULL, *port = NULL, *all = NULL;
	char text[3 * HTTP_WORD_MAX];
	bool good = u && !curl_url_set(u, CURLUPART_URL, url, 0) && !curl_url_get(u, CURLUPART_HOST, &host, 0) &&
		    !curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) &&
		    !curl_url_set(u, CURLUPART_HOST, h->cfg.server_name, 0) && !curl_url_get(u, CURLUPART_URL, &all, 0);

	if (good) {
		snprintf(text, sizeof(text), "Host: %.255s:%.5s", host, port);
		good = list_add(&t->headers, text);
		snprintf(text, sizeof(text), "%.255s:%.5s:%.255s:%.5s", h->cfg.server_name, port, host, port);
		good = good && list_add(&t->connect_to, text) &&
		       snprintf(out, HTTP_URL_MAX, "%s", all) < (int)HTTP_URL_MAX;
	}
	curl_free(host);
	curl_free(port);
	curl_free(all);
	curl_url_cleanup(u);
	return good;
}

static bool set_request(const struct http *h, CURL *e, struct transfer *t, const char *url)
{
	const struct http_request *q = t->q;
	char renamed[HTTP_URL_MAX];

	for (const char *const *header = q->header; header && *header; header++)
		if (!list_add(&t->headers, *header))
			return false;
	if (!list_add(&t->headers, "Expect:"))
		return false;
	if (h->cfg.server_name) {
		if (!url_renamed(h, t, url, renamed) || !SET(e, CURLOPT_CONNECT_TO, t->connect_to))
			return false;
		url = renamed;
	}
	return SET(e, CURLOPT_URL, url) && SET(e, CURLOPT_HTTPHEADER, t->headers) &&
	       (!q->body ||
		(SET(e, CURLOPT_POSTFIELDSIZE, (long)q->body_len) && SET(e, CURLOPT_POSTFIELDS, q->body))) &&
	       SET(e, CURLOPT_CUSTOMREQUEST, q->method) && SET(e, CURLOPT_WRITEFUNCTION, body_in) &&
	       SET(e, CURLOPT_WRITEDATA, t) && SET(e, CURLOPT_HEADERFUNCTION, head_in) &&
	       SET(e, CURLOPT_HEADERDATA, t) && SET(e, CURLOPT_ERRORBUFFER, t->error);
}

/* What libcurl says, as a verdict: whoever is not the KMS makes no statement about the key. */
static int say_failed(CURLcode code, const struct transfer *t, struct kms_verdict *v)
{
	const char *text = t->error[0] ? t->error : curl_easy_strerror(code);

	if (t->too_large || code == CURLE_FILESIZE_EXCEEDED)
		return kms_verdict_set(v, KMS_TRANSIENT, "too-large", "the reply is longer than any of a KMS");
	switch (code) {
	case CURLE_PEER_FAILED_VERIFICATION:
		return kms_verdict_set(v, KMS_MISCONFIGURED, "tls", "the peer is not who it must be: %.180s", text);
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_CIPHER:
		return kms_verdict_set(v, KMS_MISCONFIGURED, "tls-files", "%.200s", text);
	case CURLE_URL_MALFORMAT:
		return kms_verdict_set(v, KMS_MISCONFIGURED, "url", "%.200s", text);
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
		return kms_verdict_set(v, KMS_TRANSIENT, "dns", "%.200s", text);
	case CURLE_COULDNT_CONNECT:
		return kms_verdict_set(v, KMS_TRANSIENT, "connect", "%.200s", text);
	case CURLE_OPERATION_TIMEDOUT:
		return kms_verdict_set(v, KMS_TRANSIENT, "timeout", "no answer in time: %.180s", text);
	case CURLE_SSL_CONNECT_ERROR:
		return kms_verdict_set(v, KMS_TRANSIENT, "tls", "%.200s", text);
	default:
		return kms_verdict_set(v, KMS_TRANSIENT, "broken", "%.200s", text);
	}
}

/* Drive the line until its request has ended, the time is over, or somebody cancels. */
static int line_run(struct http *h, struct line *l, const struct transfer *t, struct kms_verdict *v)
{
	for (;;) {
		int running = 0, queued = 0;
		int64_t left = t->q->deadline - clock_ms(CLOCK_BOOTTIME);

		if (atomic_load(&h->cancelled)) {
			kms_verdict_set(v, KMS_TRANSIENT, "cancelled", "the request was cancelled");
			return -ECANCELED;
		}
		if (left <= 0)
			return kms_verdict_set(v, KMS_TRANSIENT, "timeout", "no answer in time");
		CURLMcode m = curl_multi_perform(l->multi, &running);
		CURLMsg *msg = curl_multi_info_read(l->multi, &queued);
		if (msg && msg->msg == CURLMSG_DONE)
			return msg->data.result == CURLE_OK ? 0 : say_failed(msg->data.result, t, v);
		if (m == CURLM_OK)
			m = curl_multi_poll(l->multi, NULL, 0, (int)(left < LOOK_MS ? left : LOOK_MS), NULL);
		if (m != CURLM_OK)
			return kms_verdict_set(v, KMS_TRANSIENT, "broken", "%.200s", curl_multi_strerror(m));
	}
}

static void reply_take(CURL *e, struct http_reply *r)
{
	curl_off_t after = 0;
	long status = 0;

	curl_easy_getinfo(e, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(e, CURLINFO_RETRY_AFTER, &after);
	r->status = (unsigned)status;
	r->retry_after = after > 0 && after < 86400 ? (unsigned)after : 0;
}

/* A 307 to the host that may be spoken to instead: its URL in OUT. */
static bool standby_url(const struct http *h, CURL *e, const struct http_reply *r, char out[HTTP_URL_MAX])
{
	static const char https[] = "https://";
	char *to = NULL;

	if (r->status != 307 || !h->cfg.standby || curl_easy_getinfo(e, CURLINFO_REDIRECT_URL, &to) || !to)
		return false;
	size_t len = strlen(h->cfg.standby);
	return strncmp(to, https, strlen(https)) == 0 && strncasecmp(to + strlen(https), h->cfg.standby, len) == 0 &&
	       to[strlen(https) + len] == '/' && snprintf(out, HTTP_URL_MAX, "%s", to) < (int)HTTP_URL_MAX;
}

/* Once to URL. STANDBY is empty unless that answered with a way on. */
static int line_ask(struct http *h, struct line *l, struct transfer *t, char url[HTTP_URL_MAX], struct kms_verdict *v)
{
	int64_t left = t->q->deadline - clock_ms(CLOCK_BOOTTIME);
	char standby[HTTP_URL_MAX] = "";
	int r;

	*t->reply = (struct http_reply){.body = heap_calloc(1, 1)};
	t->room = 1;
	t->head = 0;
	curl_easy_reset(l->easy);
	if (!t->reply->body || !set_tls(h, l->easy) || !set_way(h, l->easy, left > 0 ? left : 1) ||
	    !set_request(h, l->easy, t, url))
		r = kms_verdict_set(v, KMS_TRANSIENT, "memory", "a request to the KMS cannot be made");
	else if (curl_multi_add_handle(l->multi, l->easy) != CURLM_OK)
		r = kms_verdict_set(v, KMS_TRANSIENT, "memory", "a request to the KMS cannot be begun");
	else {
		r = line_run(h, l, t, v);
		reply_take(l->easy, t->reply);
		if (!r && standby_url(h, l->easy, t->reply, standby))
			memcpy(url, standby, sizeof(standby));
		curl_multi_remove_handle(l->multi, l->easy);
	}
	curl_slist_free_all(t->headers);
	curl_slist_free_all(t->connect_to);
	t->headers = t->connect_to = NULL;
	return !r && standby[0] ? 1 : r;
}

int http_ask(struct http *h, const struct http_request *q, struct http_reply *r, struct kms_verdict *v)
{
	struct transfer t = {.q = q, .reply = r};
	char url[HTTP_URL_MAX];

	*r = (struct http_reply){0};
	if (snprintf(url, sizeof(url), "%s", q->url) >= (int)sizeof(url))
		return kms_verdict_set(v, KMS_MISCONFIGURED, "url", "the address is too long");
	struct line *l = line_take(h, q->deadline, v);
	if (!l)
		return kms_class_errno(v->class);
	int result = line_ask(h, l, &t, url, v);
	if (result == 1) { /* the standby has named the host that serves */
		http_reply_free(r);
		result = line_ask(h, l, &t, url, v);
	}
	line_give(h, l);
	if (result == 1) /* it sends us on for ever */
		result = kms_verdict_set(v, KMS_TRANSIENT, "redirected", "the KMS sends us from one host to another");
	if (result) {
		http_reply_free(r);
		kms_verdict_request(v, r->request_id);
	}
	return result;
}
