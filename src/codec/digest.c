/*
 * SHA-256 and SHA-1 of one content in one pass, and its sum. SHA-1 names the
 * objects that PHP wrote, SHA-256 the new ones. A writer waits for both, so
 * they are taken at once where there is a core for it.
 */
#include "fsp_codec.h"

#include <errno.h>
#include <stdlib.h>

#include <openssl/evp.h>

#include "fsp_buf.h"
#include "fsp_pool.h"

/* What takes longer than to wake a thread. */
#define LARGE 65536

struct fsp_digest {
	struct fsp_job job;             /* the first: SHA-1 of a large part */
	const void *part;
	size_t len;
	int err;
	EVP_MD_CTX *sha256, *sha1;
	struct fsp_sum *sum;
};

int fsp_digest_new(struct fsp_digest **out)
{
	struct fsp_digest *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->sha256 = EVP_MD_CTX_new();
	d->sha1 = EVP_MD_CTX_new();
	/* Known algorithms fail to start only for want of memory. */
	if (fsp_sum_new(&d->sum) || !d->sha256 || !d->sha1 ||
	    !EVP_DigestInit_ex(d->sha256, EVP_sha256(), NULL) ||
	    !EVP_DigestInit_ex(d->sha1, EVP_sha1(), NULL)) {
		fsp_digest_free(d);
		return -ENOMEM;
	}
	*out = d;
	return 0;
}

static void add_sha1(struct fsp_job *j)
{
	struct fsp_digest *d = (struct fsp_digest *)j;

	d->err = EVP_DigestUpdate(d->sha1, d->part, d->len) ? 0 : -EIO;
}

/*
 * What the pool has not begun when it is needed is taken back: behind what
 * waits there a writer would wait for blocks to be compressed.
 */
static void end_sha1(struct fsp_digest *d)
{
	fsp_pool_cancel(&d->job);
	if (!fsp_pool_done(&d->job))
		add_sha1(&d->job);
}

int fsp_digest_update(struct fsp_digest *d, const void *buf, size_t len)
{
	bool ok;

	d->job.run = add_sha1;
	d->part = buf;
	d->len = len;
	if (len >= LARGE)
		fsp_pool_submit(&d->job);
	ok = EVP_DigestUpdate(d->sha256, buf, len);
	fsp_sum_add(d->sum, buf, len);
	if (len >= LARGE)
		end_sha1(d);
	else
		add_sha1(&d->job);
	return ok ? d->err : -EIO;
}

uint64_t fsp_digest_size(const struct fsp_digest *d)
{
	return fsp_sum_size(d->sum);
}

/* Finishes a copy, so that the running digest can go on. */
static int get_hex(const EVP_MD_CTX *running, char *hex, size_t hexlen)
{
	EVP_MD_CTX *copy = EVP_MD_CTX_new();
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned int len = 0;
	int rc = -ENOMEM;

	if (!copy)
		return rc;
	if (EVP_MD_CTX_copy_ex(copy, running) &&
	    EVP_DigestFinal_ex(copy, md, &len) && len * 2 == hexlen) {
		fsp_hex(hex, md, len);
		rc = 0;
	}
	EVP_MD_CTX_free(copy);
	return rc;
}

int fsp_digest_get(const struct fsp_digest *d, struct fsp_digests *out)
{
	int rc = get_hex(d->sha256, out->sha256, FSP_SHA256_HEX);

	if (!rc)
		rc = get_hex(d->sha1, out->sha1, FSP_SHA1_HEX);
	out->size = fsp_sum_size(d->sum);
	out->sum = fsp_sum_get(d->sum);
	return rc;
}

void fsp_digest_free(struct fsp_digest *d)
{
	if (!d)
		return;
	fsp_sum_free(d->sum);
	EVP_MD_CTX_free(d->sha256);
	EVP_MD_CTX_free(d->sha1);
	free(d);
}

int fsp_sha256(const void *buf, size_t len, uint8_t out[32])
{
	/* A known algorithm fails only for want of memory. */
	return EVP_Digest(buf, len, out, NULL, EVP_sha256(), NULL) ? 0 :
		-ENOMEM;
}
