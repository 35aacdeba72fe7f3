/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the keystore's passphrase comes from: a file, systemd's credentials directory, or a prompt. */
#include "kms/keystore/passphrase.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "crypto/secret.h"
#include "kms/keystore/trust.h"

#define BUFFER_LEN (PASSPHRASE_MAX + 4) /* a line end, and room to see that it is too long */
#define CREDENTIAL "byokfs.passphrase"

/* Drop one line end and check the length. */
static int passphrase_finish(char *text, size_t n, const char *from, char *why, size_t len)
{
	if (n > 0 && text[n - 1] == '\n')
		n--;
	if (n > 0 && text[n - 1] == '\r')
		n--;
	secret_wipe(text + n, BUFFER_LEN - n);
	if (n > PASSPHRASE_MAX)
		snprintf(why, len, "the passphrase from %s is longer than %u bytes", from, PASSPHRASE_MAX);
	else if (n == 0)
		snprintf(why, len, "the passphrase from %s is empty", from);
	else if (strlen(text) != n)
		snprintf(why, len, "the passphrase from %s contains a NUL byte", from);
	else
		return 0;
	return -EINVAL;
}

/* A pipe or a terminal is whoever's gave it to us; a file must be ours, and so must its place be. */
static bool file_trusted(int fd, const char *path)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return false;
	return !S_ISREG(st.st_mode) || trust_file(&st, path) == 0;
}

static int passphrase_file(const char *path, char *text, char *why, size_t len)
{
	AUTO(auto_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0) {
		int r = -errno;

		snprintf(why, len, "passphrase file %s: %s", path, strerror(-r));
		return r;
	}
	if (!file_trusted(fd, path)) {
		snprintf(why, len,
			 "passphrase file %s is not yours, or others may write it or a folder above it: chmod 600 it",
			 path);
		return -EPERM;
	}
	size_t n = 0;
	while (n < BUFFER_LEN - 1) {
		ssize_t got = read(fd, text + n, BUFFER_LEN - 1 - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			int r = -errno;

			snprintf(why, len, "passphrase file %s: %s", path, strerror(-r));
			return r;
		}
		if (got == 0)
			break;
		n += (size_t)got;
	}
	return passphrase_finish(text, n, path, why, len);
}

static const int prompt_signals[] = {SIGINT, SIGTERM, SIGQUIT, SIGHUP, SIGTSTP};
static volatile sig_atomic_t prompt_signal;

static void prompt_interrupted(int number)
{
	prompt_signal = number;
}

/* One line without echo into TEXT; a signal ends it. Returns the length or negative errno. */
static ssize_t prompt_line(int tty, const char *label, char *text)
{
	struct termios before;

	if (tcgetattr(tty, &before) != 0)
		return -errno;
	struct termios quiet = before;
	quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHONL);
	if (tcsetattr(tty, TCSAFLUSH, &quiet) != 0)
		return -errno;
	dprintf(tty, "%s: ", label);
	size_t n = 0;
	ssize_t got = 0;
	while (!prompt_signal && n < BUFFER_LEN - 1) {
		got = read(tty, text + n, 1);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		if (text[n++] == '\n')
			break;
	}
	tcsetattr(tty, TCSAFLUSH, &before);
	dprintf(tty, "\n");
	if (prompt_signal)
		return -EINTR;
	return got < 0 ? -EIO : (ssize_t)n;
}

/* prompt_line() with the terminal put right again even when it is interrupted; the signal is raised again afterwards. */
static int prompt_guarded(int tty, const char *label, char *text, char *why, size_t len)
{
	struct sigaction before[ARRAY_LEN(prompt_signals)], ours = {.sa_handler = prompt_interrupted};

	prompt_signal = 0;
	sigemptyset(&ours.sa_mask);
	for (size_t i = 0; i < ARRAY_LEN(prompt_signals); i++)
		sigaction(prompt_signals[i], &ours, &before[i]);
	ssize_t n = prompt_line(tty, label, text);
	for (size_t i = 0; i < ARRAY_LEN(prompt_signals); i++)
		sigaction(prompt_signals[i], &before[i], NULL);
	if (prompt_signal)
		raise((int)prompt_signal);
	if (n < 0) {
		snprintf(why, len, n == -EINTR ? "stopped at the passphrase prompt" : "cannot read from the terminal");
		return (int)n;
	}
	return passphrase_finish(text, (size_t)n, "the terminal", why, len);
}

static int passphrase_prompt(const struct passphrase_source *src, char *text, char *why, size_t len)
{
	AUTO(auto_close) int tty = open("/dev/tty", O_RDWR | O_CLOEXEC);

	if (tty < 0) {
		snprintf(why, len,
			 "the keystore %s needs a passphrase and there is no terminal to ask on: --passphrase-file",
			 src->what);
		return -ENOKEY;
	}
	char label[PATH_MAX + 64];
	snprintf(label, sizeof(label), "%s %s",
		 src->new_one ? "New passphrase for keystore" : "Passphrase for keystore", src->what);
	int r = prompt_guarded(tty, label, text, why, len);
	if (r || !src->new_one)
		return r;
	AUTO(secret_free_at) char *again = secret_alloc(BUFFER_LEN);
	if (!again) {
		snprintf(why, len, "no locked memory left for a passphrase");
		return -ENOMEM;
	}
	r = prompt_guarded(tty, "The same again", again, why, len);
	if (r)
		return r;
	if (sodium_memcmp(text, again, BUFFER_LEN) != 0) {
		snprintf(why, len, "the two passphrases differ");
		return -EINVAL;
	}
	return 0;
}

static int passphrase_choose(const struct passphrase_source *src, char *text, char *why, size_t len)
{
	if (src->file)
		return passphrase_file(src->file, text, why, len);
	const char *credentials = getenv("CREDENTIALS_DIRECTORY");
	char path[PATH_MAX];
	if (credentials && snprintf(path, sizeof(path), "%s/" CREDENTIAL, credentials) < PATH_MAX &&
	    access(path, F_OK) == 0)
		return passphrase_file(path, text, why, len);
	if (src->may_prompt)
		return passphrase_prompt(src, text, why, len);
	snprintf(why, len,
		 "the keystore %s needs a passphrase: --passphrase-file, or the systemd credential " CREDENTIAL,
		 src->what);
	return -ENOKEY;
}

int passphrase_read(const struct passphrase_source *src, char **out, char *why, size_t len)
{
	char *text = secret_alloc(BUFFER_LEN);

	if (!text) {
		snprintf(why, len, "no locked memory left for a passphrase");
		return -ENOMEM;
	}
	int r = passphrase_choose(src, text, why, len);
	if (r) {
		secret_free(text);
		return r;
	}
	*out = text;
	return 0;
}

bool passphrase_readable_by_others(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & (S_IRGRP | S_IROTH));
}
