/*
 * Names of the object formats, and what a data_hash may look like.
 */
#include "fsp_codec.h"

#include <errno.h>
#include <string.h>

static const char *const format_names[] = {
	[FSP_FMT_LEGACY] = "bzip2+aes-256-cbc",
	[FSP_FMT_IV] = "iv+bzip2+aes-256-cbc",
	[FSP_FMT_PLAIN] = "bzip2",
};

#define NFORMATS (sizeof(format_names) / sizeof(*format_names))

const char *fsp_format_name(enum fsp_format f)
{
	return (size_t)f < NFORMATS ? format_names[f] : "unknown";
}

int fsp_format_parse(const char *name, enum fsp_format *out)
{
	for (size_t i = 0; i < NFORMATS; i++) {
		if (!strcmp(name, format_names[i])) {
			*out = (enum fsp_format)i;
			return 0;
		}
	}
	return -EINVAL;
}

bool fsp_hash_valid(const char *hash)
{
	size_t n = strspn(hash, "0123456789abcdef");

	return !hash[n] && (n == FSP_SHA1_HEX || n == FSP_SHA256_HEX);
}

int fsp_digests_match(const struct fsp_digests *d, const char *hash,
                      uint64_t size)
{
	const char *own = strlen(hash) == FSP_SHA1_HEX ? d->sha1 : d->sha256;

	return d->size == size && !strcmp(own, hash) ? 0 : -EIO;
}
