/* SPDX-License-Identifier: BSD-2-Clause */
/* References of the provider `vault:`: an address, a mount, a key, perhaps a namespace. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kms/providers/vault.h"

#define SCHEME "vault:"
#define QUERY "namespace="

static const char name_chars[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";

#define SAY(why, ...) (snprintf(why, KMS_TEXT_MAX, __VA_ARGS__), -EINVAL)

bool vault_host_is_loopback(const char *host)
{
	struct in_addr four;

	if (inet_pton(AF_INET, host, &four) == 1)
		return ntohl(four.s_addr) >> 24 == 127;
	return strcmp(host, "[::1]") == 0 || strcmp(host, "localhost") == 0;
}

/* The host at *AT into OUT, in lower case; *AT moves behind it. */
static int host_take(const char **at, struct vault_ref *out, char why[KMS_TEXT_MAX])
{
	static const char dns[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-";
	bool six = **at == '[';
	size_t len = six ? 1 + strspn(*at + 1, "0123456789abcdefABCDEF:.") : strspn(*at, dns);

	if (six && (*at)[len] != ']')
		return SAY(why, "the host '%.60s' is not [an IPv6 address]", *at);
	len += six;
	if (len == 0 || len > VAULT_HOST_MAX || (*at)[0] == '.' || (*at)[0] == '-')
		return SAY(why, "the host in '%.100s' is not a name or an address", *at);
	for (size_t i = 0; i < len; i++)
		out->host[i] = (char)((*at)[i] >= 'A' && (*at)[i] <= 'Z' ? (*at)[i] + 32 : (*at)[i]);
	out->host[len] = '\0';
	*at += len;
	return 0;
}

static int port_take(const char **at, struct vault_ref *out, char why[KMS_TEXT_MAX])
{
	size_t len;

	out->port = out->plain ? 80 : 443;
	if (**at != ':')
		return 0;
	len = strspn(*at + 1, "0123456789");
	out->port = len > 0 && len < 6 ? (unsigned)strtoul(*at + 1, NULL, 10) : 0;
	if (out->port < 1 || out->port > 65535)
		return SAY(why, "the port in '%.60s' is not a number of 1 to 65535", *at);
	*at += 1 + len;
	return 0;
}

/* "https://HOST[:PORT]" at *AT; *AT moves behind it. */
static int address_take(const char **at, struct vault_ref *out, char why[KMS_TEXT_MAX])
{
	out->plain = strncmp(*at, "http://", 7) == 0;
	if (!out->plain && strncmp(*at, "https://", 8) != 0)
		return SAY(why, "the address '%.80s' does not begin with https://", *at);
	*at += out->plain ? 7 : 8;
	int r = host_take(at, out, why);
	if (!r)
		r = port_take(at, out, why);
	if (!r && out->plain && !vault_host_is_loopback(out->host))
		return SAY(why, "http:// to %.100s: only to this machine itself (127.0.0.1), everywhere else https://",
			   out->host);
	return r;
}

int vault_address_parse(const char *address, struct vault_ref *out, char why[KMS_TEXT_MAX])
{
	const char *at = address;
	int r = address_take(&at, out, why);

	if (!r && *at == '/')
		at++;
	return !r && *at ? SAY(why, "'%.60s' behind the address", at) : r;
}

/* LEN bytes that are a path of names, no slash at its ends. */
static int path_take(const char *from, size_t len, char out[VAULT_PATH_MAX + 1])
{
	if (len == 0 || len > VAULT_PATH_MAX)
		return -EINVAL;
	for (size_t i = 0; i < len;) {
		size_t word = strspn(from + i, name_chars);

		if (word == 0 || i + word > len || from[i] == '.' || (i + word < len && from[i + word] != '/'))
			return -EINVAL;
		i += word;
		if (i < len && ++i == len) /* ends in a slash */
			return -EINVAL;
	}
	memcpy(out, from, len);
	out[len] = '\0';
	return 0;
}

/* "MOUNT/NAME", "MOUNT/keys/NAME" as the command line of Vault has it; LEN bytes. */
static int key_take(const char *at, size_t len, struct vault_ref *out, char why[KMS_TEXT_MAX])
{
	char all[VAULT_PATH_MAX + 1];

	if (path_take(at, len, all))
		return SAY(why, "'%.*s' is not MOUNT/NAME (letters, digits, '.', '_', '-')",
			   (int)(len < 100 ? len : 100), at);
	char *slash = strrchr(all, '/');
	if (!slash)
		return SAY(why, "'%.100s' names no key: MOUNT/NAME, as in transit/backup", all);
	if (strlen(slash + 1) > VAULT_NAME_MAX)
		return SAY(why, "the name of the key is longer than %u bytes", VAULT_NAME_MAX);
	snprintf(out->name, sizeof(out->name), "%s", slash + 1);
	*slash = '\0';
	size_t mount = strlen(all);
	if (mount > 5 && strcmp(all + mount - 5, "/keys") == 0)
		all[mount - 5] = '\0';
	snprintf(out->mount, sizeof(out->mount), "%s", all);
	return 0;
}

static int space_take(const char *from, struct vault_ref *out, char why[KMS_TEXT_MAX])
{
	size_t len = strlen(from);

	while (len && from[len - 1] == '/')
		len--;
	while (len && *from == '/')
		from++, len--;
	if (len && path_take(from, len, out->space))
		return SAY(why, "the namespace '%.80s' is not made of letters, digits, '.', '_', '-' and '/'", from);
	return 0;
}

int vault_ref_parse(const char *ref, const char *address, const char *space, struct vault_ref *out,
		    char why[KMS_TEXT_MAX])
{
	const char *at = ref + strlen(SCHEME);
	int r;

	memset(out, 0, sizeof(*out));
	if (strncmp(ref, SCHEME, strlen(SCHEME)) != 0)
		return SAY(why, "'%.100s' is not vault:https://HOST:PORT/MOUNT/NAME", ref);
	if (strstr(at, "://")) {
		r = address_take(&at, out, why);
		if (!r && *at != '/')
			r = SAY(why, "no key behind the address: vault:https://HOST:PORT/MOUNT/NAME");
		at += *at == '/';
	} else {
		r = address ? vault_address_parse(address, out, why)
			    : SAY(why, "no address: vault:https://HOST:PORT/%.80s, or set VAULT_ADDR", at);
	}
	size_t len = strcspn(at, "?");
	if (!r)
		r = key_take(at, len, out, why);
	if (!r && at[len] && strncmp(at + len + 1, QUERY, strlen(QUERY)) != 0)
		r = SAY(why, "'%.60s' is not ?namespace=NS", at + len);
	if (!r && at[len])
		r = space_take(at + len + 1 + strlen(QUERY), out, why);
	else if (!r && space)
		r = space_take(space, out, why);
	return r;
}

int vault_ref_write(const struct vault_ref *v, char out[KMS_REF_MAX + 1])
{
	int n = snprintf(out, KMS_REF_MAX + 1, SCHEME "%s://%s:%u/%s/%s%s%s", v->plain ? "http" : "https", v->host,
			 v->port, v->mount, v->name, v->space[0] ? "?" QUERY : "", v->space);

	return n > (int)KMS_REF_MAX ? -ENAMETOOLONG : 0;
}
