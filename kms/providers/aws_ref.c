/* SPDX-License-Identifier: BSD-2-Clause */
/* References of the provider `aws-kms:`: the ARN of a key or of an alias. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "kms/providers/aws.h"
#include "kms/providers/vault.h"

#define SCHEME "aws-kms:"
#define DIGITS "0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyz"
#define ALIAS "alias/"
#define KEY "key/"

#define SAY(why, ...) (snprintf(why, KMS_TEXT_MAX, __VA_ARGS__), -EINVAL)

/* Partitions, the end of their hosts' names, and what the names of their regions begin with. As of botocore's partitions.json. */
static const struct partition {
	const char *name, *suffix, *region;
} partitions[] = {
	{"aws", "amazonaws.com", ""},
	{"aws-cn", "amazonaws.com.cn", "cn-"},
	{"aws-us-gov", "amazonaws.com", "us-gov-"},
	{"aws-eusc", "amazonaws.eu", "eusc-"},
	{"aws-iso", "c2s.ic.gov", "us-iso-"},
	{"aws-iso-b", "sc2s.sgov.gov", "us-isob-"},
	{"aws-iso-e", "cloud.adc-e.uk", "eu-isoe-"},
	{"aws-iso-f", "csp.hci.ic.gov", "us-isof-"},
};

static bool is_key_id(const char *id)
{
	return kms_version_good(KMS_VERSION_UUID, id);
}

bool aws_ref_claims(const char *ref)
{
	return strncmp(ref, "arn:", 4) == 0 || strncmp(ref, ALIAS, strlen(ALIAS)) == 0 || is_key_id(ref);
}

/* The field of the ARN at *AT, up to the next colon, into OUT; *AT moves behind it. */
static int field_take(const char **at, char *out, size_t size)
{
	size_t len = strcspn(*at, ":");

	if (!(*at)[len] || len == 0 || len >= size)
		return -EINVAL;
	memcpy(out, *at, len);
	out[len] = '\0';
	*at += len + 1;
	return 0;
}

static int partition_take(const char **at, struct aws_ref *out, const char **region, char why[KMS_TEXT_MAX])
{
	char name[16];

	if (field_take(at, name, sizeof(name)))
		return SAY(why, "the 2nd field of the ARN, the partition, is missing or too long");
	for (size_t i = 0; i < ARRAY_LEN(partitions); i++) {
		if (strcmp(partitions[i].name, name) != 0)
			continue;
		out->partition = partitions[i].name;
		out->suffix = partitions[i].suffix;
		*region = partitions[i].region;
		return 0;
	}
	return SAY(why, "the 2nd field of the ARN, the partition, is aws, aws-cn, aws-us-gov, ..., not '%.16s'", name);
}

/* "eu-west-1": letters, digits and single hyphens, a number at the end. */
static bool is_region(const char *r)
{
	size_t len = strlen(r);

	return len >= 5 && strspn(r, LETTERS DIGITS "-") == len && strspn(r, LETTERS) >= 2 && strchr(r, '-') &&
	       !strstr(r, "--") && strchr(DIGITS, r[len - 1]);
}

static int place_take(const char **at, struct aws_ref *out, const char *region, char why[KMS_TEXT_MAX])
{
	char service[16];

	if (field_take(at, service, sizeof(service)) || strcmp(service, "kms") != 0)
		return SAY(why, "the 3rd field of the ARN, the service, must be kms");
	if (field_take(at, out->region, sizeof(out->region)) || !is_region(out->region))
		return SAY(why, "the 4th field of the ARN, the region, is one like eu-west-1");
	if (strncmp(out->region, region, strlen(region)) != 0)
		return SAY(why, "the 4th field of the ARN, the region, begins with %s in the partition %s", region,
			   out->partition);
	if (field_take(at, out->account, sizeof(out->account)) || strlen(out->account) != 12 ||
	    strspn(out->account, DIGITS) != 12)
		return SAY(why, "the 5th field of the ARN, the account, must be 12 digits");
	return 0;
}

static int resource_take(const char *at, struct aws_ref *out, char why[KMS_TEXT_MAX])
{
	static const char alias[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ" LETTERS DIGITS "/_-";

	out->is_alias = strncmp(at, ALIAS, strlen(ALIAS)) == 0;
	if (!out->is_alias && strncmp(at, KEY, strlen(KEY)) != 0)
		return SAY(why, "the 6th field of the ARN is key/ID or alias/NAME, not '%.60s'", at);
	at += out->is_alias ? strlen(ALIAS) : strlen(KEY);
	size_t len = strlen(at);
	if (out->is_alias && (len == 0 || len > AWS_NAME_MAX || strspn(at, alias) != len))
		return SAY(why, "the alias '%.60s' is not made of letters, digits, '/', '_' and '-'", at);
	if (!out->is_alias && !is_key_id(at))
		return SAY(why, "the id '%.60s' of the key is not one like 1234abcd-12ab-34cd-56ef-1234567890ab", at);
	memcpy(out->name, at, len + 1);
	return 0;
}

/* A person types what the console shows: without an account and a region it says not where the key is. */
static int say_bare(const char *name, char why[KMS_TEXT_MAX])
{
	return SAY(why,
		   "'%.60s' names no region and no account; its ARN does: "
		   "aws kms describe-key --key-id %.60s --query KeyMetadata.Arn --output text",
		   name, name);
}

int aws_ref_parse(const char *ref, struct aws_ref *out, char why[KMS_TEXT_MAX])
{
	const char *at = ref, *region = "";

	memset(out, 0, sizeof(*out));
	if (strncmp(at, SCHEME, strlen(SCHEME)) == 0)
		at += strlen(SCHEME);
	if (strncmp(at, "//", 2) == 0) /* Tink's */
		at += 2;
	if (strncmp(at, "arn:", 4) != 0) {
		if (strncmp(at, KEY, strlen(KEY)) == 0 && is_key_id(at + strlen(KEY)))
			at += strlen(KEY);
		if (is_key_id(at) || strncmp(at, ALIAS, strlen(ALIAS)) == 0)
			return say_bare(at, why);
		return SAY(why, "'%.100s' is not " SCHEME "arn:aws:kms:REGION:ACCOUNT:key/ID", ref);
	}
	at += 4;
	int r = partition_take(&at, out, &region, why);
	if (!r)
		r = place_take(&at, out, region, why);
	return r ? r : resource_take(at, out, why);
}

void aws_key_arn(const struct aws_ref *a, const char *id, char out[AWS_ARN_MAX])
{
	snprintf(out, AWS_ARN_MAX, "arn:%s:kms:%s:%s:" KEY "%s", a->partition, a->region, a->account, id);
}

void aws_ref_arn(const struct aws_ref *a, char out[AWS_ARN_MAX])
{
	snprintf(out, AWS_ARN_MAX, "arn:%s:kms:%s:%s:%s%s", a->partition, a->region, a->account,
		 a->is_alias ? ALIAS : KEY, a->name);
}

const char *aws_key_id_of(const struct aws_ref *a, const char *arn)
{
	char whole[AWS_ARN_MAX];
	const char *id = strrchr(arn, '/');

	if (!id || !is_key_id(id + 1) || (!a->is_alias && strcmp(id + 1, a->name) != 0))
		return NULL;
	aws_key_arn(a, id + 1, whole);
	return strcmp(whole, arn) == 0 ? id + 1 : NULL;
}

/* Without a port of its own it is not in the header, but libcurl puts it there when it asks for the host by another name. */
static void host_write(const struct vault_ref *at, bool renamed, struct aws_place *out)
{
	const char *scheme = at->plain ? "http" : "https";

	if (!renamed && at->port == (at->plain ? 80 : 443)) {
		snprintf(out->host, sizeof(out->host), "%s", at->host);
		snprintf(out->url, sizeof(out->url), "%s://%s/", scheme, at->host);
		return;
	}
	snprintf(out->host, sizeof(out->host), "%s:%u", at->host, at->port);
	snprintf(out->url, sizeof(out->url), "%s://%s:%u/", scheme, at->host, at->port);
}

int aws_place_find(const struct kms_options *o, const char *option, const char *host, struct aws_place *out,
		   struct kms_verdict *v)
{
	const char *endpoint = kms_options_get(o, option);
	struct vault_ref at = {.port = 443};
	char why[KMS_TEXT_MAX];

	memset(out, 0, sizeof(*out));
	snprintf(at.host, sizeof(at.host), "%s", host);
	if (endpoint && strncmp(endpoint, "unix:/", 6) == 0) {
		out->socket = endpoint + 5;
		at.plain = true;
		at.port = 80;
	} else if (endpoint && vault_address_parse(endpoint, &at, why)) {
		return kms_verdict_set(v, KMS_MISCONFIGURED, "option", "option %s: %.200s", option, why);
	}
	out->plain = at.plain;
	if (at.plain && !out->socket && !kms_options_flag(o, "plain-http"))
		return kms_verdict_set(v, KMS_MISCONFIGURED, "option",
				       "http to %.100s is not encrypted: option plain-http=yes if that is meant",
				       at.host);
	host_write(&at, kms_options_get(o, "server-name") != NULL, out);
	return 0;
}
