/*
 * Names of the object formats, and what a data_hash may look like.
 */
#include <errno.h>
#include <string.h>

#include "piece.h"

static const struct {
	const char *name;
	enum algo algo;
	enum sealing sealing;
} formats[] = {
	[FSP_FMT_LEGACY] = { "bzip2+aes-256-cbc", ALGO_BZIP2, SEAL_FIXED_IV },
	[FSP_FMT_IV] = { "iv+bzip2+aes-256-cbc", ALGO_BZIP2, SEAL_OWN_IV },
	[FSP_FMT_PLAIN] = { "bzip2", ALGO_BZIP2, SEAL_NONE },
	[FSP_FMT_ZSTD] = { "zstd+aes-256-cbc", ALGO_ZSTD, SEAL_FIXED_IV },
	[FSP_FMT_ZSTD_IV] = { "iv+zstd+aes-256-cbc", ALGO_ZSTD, SEAL_OWN_IV },
	[FSP_FMT_ZSTD_PLAIN] = { "zstd", ALGO_ZSTD, SEAL_NONE },
	[FSP_FMT_STORED] = { "stored+aes-256-cbc", ALGO_STORED, SEAL_FIXED_IV },
	[FSP_FMT_STORED_IV] = { "iv+stored+aes-256-cbc", ALGO_STORED,
		                SEAL_OWN_IV },
	[FSP_FMT_STORED_PLAIN] = { "stored", ALGO_STORED, SEAL_NONE },
};

#define NFORMATS (sizeof(formats) / sizeof(*formats))

const char *fsp_format_name(enum fsp_format f)
{
	return (size_t)f < NFORMATS ? formats[f].name : "unknown";
}

int fsp_format_parse(const char *name, enum fsp_format *out)
{
	for (size_t i = 0; i < NFORMATS; i++) {
		if (!strcmp(name, formats[i].name)) {
			*out = (enum fsp_format)i;
			return 0;
		}
	}
	return -EINVAL;
}

static int find(enum algo a, enum sealing s, enum fsp_format *out)
{
	for (size_t i = 0; i < NFORMATS; i++) {
		if (formats[i].algo == a && formats[i].sealing == s) {
			*out = (enum fsp_format)i;
			return 0;
		}
	}
	return -EINVAL;
}

enum fsp_format fsp_format_stored(enum fsp_format f)
{
	/* There is one for each way of sealing. */
	(void)find(ALGO_STORED, formats[f].sealing, &f);
	return f;
}

enum fsp_format fsp_format_zstd(enum fsp_format f)
{
	(void)find(ALGO_ZSTD, formats[f].sealing, &f);
	return f;
}

bool fsp_format_usable(enum fsp_format f, const struct fsp_keys *keys)
{
	return (size_t)f < NFORMATS &&
	       (formats[f].sealing == SEAL_NONE || (keys && keys->set));
}

bool fsp_format_fits(enum fsp_format f, uint64_t size, uint64_t stored)
{
	/* Whatever is compressed may have any size. */
	if (formats[f].algo != ALGO_STORED)
		return true;
	if (formats[f].sealing == SEAL_NONE)
		return stored == size;
	if (formats[f].sealing == SEAL_OWN_IV)
		stored -= stored < IV_LEN ? stored : IV_LEN;
	return stored == (size / IV_LEN + 1) * IV_LEN;  /* with padding */
}

enum algo format_algo(enum fsp_format f)
{
	return formats[f].algo;
}

enum sealing format_sealing(enum fsp_format f)
{
	return formats[f].sealing;
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
