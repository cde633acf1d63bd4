/*
 * Signature V4 against the examples that AWS publishes for S3 ("Signature
 * Calculations for the Authorization Header"), and what they do not cover.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "fsp_buf.h"
#include "../../src/objstore/s3_cred.h"
#include "../../src/objstore/s3_sign.h"

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define DATE "20130524T000000Z"
#define HOST "examplebucket.s3.amazonaws.com"
#define SCOPE "AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request"

static char access_key[] = "AKIAIOSFODNN7EXAMPLE";
static char secret_key[] = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
static const struct s3_keys keys = { access_key, secret_key, NULL };

struct vector {
	const char *method, *key;       /* not encoded */
	struct s3_param params[2];
	size_t n_params;
	struct s3_header headers[6];
	size_t n_headers;
	const char *body;
	const char *request_hash, *signed_names, *signature;
};

static const struct vector vectors[] = {
	{ .method = "GET", .key = "test.txt",
	  .headers = { { "range", "bytes=0-9" } }, .n_headers = 1, .body = "",
	  .request_hash = "7344ae5b7ee6c3e7e6b0fe0640412a37"
	                  "625d1fbfff95c48bbb2dc43964946972",
	  .signed_names = "host;range;x-amz-content-sha256;x-amz-date",
	  .signature = "f0e8bdb87c964420e857bd35b5d6ed31"
	               "0bd44f0170aba48dd91039c6036bdb41" },
	{ .method = "PUT", .key = "test$file.text",
	  .headers = { { "x-amz-storage-class", "REDUCED_REDUNDANCY" },
	               { "date", "Fri, 24 May 2013 00:00:00 GMT" } },
	  .n_headers = 2, .body = "Welcome to Amazon S3.",
	  .request_hash = "9e0e90d9c76de8fa5b200d8c849cd5b8"
	                  "dc7a3be3951ddb7f6a76b4158342019d",
	  .signed_names = "date;host;x-amz-content-sha256;x-amz-date;"
	                  "x-amz-storage-class",
	  .signature = "98ad721746da40c64f1a55b78f14c238"
	               "d841ea1380cd77a1b5971af0ece108bd" },
	{ .method = "GET", .key = "", .params = { { "lifecycle", "" } },
	  .n_params = 1, .body = "",
	  .request_hash = "9766c798316ff2757b517bc739a67f62"
	                  "13b4ab36dd5da2f94eaebf79c77395ca",
	  .signed_names = "host;x-amz-content-sha256;x-amz-date",
	  .signature = "fea454ca298b7da1c68078a5d1bdbfbb"
	               "e0d65c699e0f91ac7a200a0136783543" },
	{ .method = "GET", .key = "",
	  .params = { { "prefix", "J" }, { "max-keys", "2" } }, .n_params = 2,
	  .body = "",
	  .request_hash = "df57d21db20da04d7fa30298dd4488ba"
	                  "3a2b47ca3a489c74750e0f1e7df1b9b7",
	  .signed_names = "host;x-amz-content-sha256;x-amz-date",
	  .signature = "34b48302e7b5fa45bde8084f4b7868a8"
	               "6f0a534bc59db6670ed5711ef69dc6f7" },
};

static void check_vector(const struct vector *v)
{
	FSP_BUF struct fsp_buf path = FSP_BUF_INIT, query = FSP_BUF_INIT;
	FSP_BUF struct fsp_buf request = FSP_BUF_INIT, auth = FSP_BUF_INIT;
	FSP_BUF struct fsp_buf want = FSP_BUF_INIT;
	char payload[S3_SHA256_HEX + 1], hash[S3_SHA256_HEX + 1];
	struct s3_header h[9];
	struct s3_param params[2];
	size_t n = v->n_headers;
	struct s3_to_sign sign = { .method = v->method, .payload = payload };

	memcpy(h, v->headers, sizeof(v->headers));
	memcpy(params, v->params, sizeof(params));
	assert_int_equal(s3_sha256_hex(payload, v->body, strlen(v->body)), 0);
	h[n++] = (struct s3_header){ "x-amz-content-sha256", payload };
	h[n++] = (struct s3_header){ "x-amz-date", DATE };
	h[n++] = (struct s3_header){ "host", HOST };
	s3_sort_headers(h, n);
	assert_int_equal(fsp_buf_addc(&path, '/'), 0);
	assert_int_equal(s3_encode(&path, v->key, true), 0);
	assert_int_equal(fsp_buf_adds(&query, ""), 0);
	assert_int_equal(s3_canonical_query(&query, params, v->n_params), 0);
	sign.path = path.data;
	sign.query = query.data;
	sign.headers = h;
	sign.n_headers = n;
	assert_int_equal(s3_canonical_request(&sign, &request), 0);
	assert_int_equal(s3_sha256_hex(hash, request.data, request.len), 0);
	assert_string_equal(hash, v->request_hash);
	assert_int_equal(s3_authorization(&sign, &keys, "us-east-1", DATE,
	                                  &auth), 0);
	assert_int_equal(fsp_buf_printf(&want,
	                                "AWS4-HMAC-SHA256 Credential=" SCOPE
	                                ",SignedHeaders=%s,Signature=%s",
	                                v->signed_names, v->signature), 0);
	assert_string_equal(auth.data, want.data);
}

static void test_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(*vectors); i++)
		check_vector(&vectors[i]);
}

static void assert_encoded(const char *in, bool keep_slash, const char *want)
{
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;

	assert_int_equal(s3_encode(&b, in, keep_slash), 0);
	assert_string_equal(b.data, want);
}

static void test_encode(void **state)
{
	(void)state;
	assert_encoded("aZ09-._~", true, "aZ09-._~");
	assert_encoded("a/b c", true, "a/b%20c");
	assert_encoded("a/b+c", false, "a%2Fb%2Bc");
	assert_encoded("\xc3\xa4=&%", true, "%C3%A4%3D%26%25");
}

/* Sorted by name: "a" comes before "a-b", though '=' comes after '-'. */
static void test_query(void **state)
{
	struct s3_param p[] = { { "uploadId", "a+b/=" }, { "a-b", "1" },
		                { "partNumber", "7" },   { "a", "" } };
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;

	(void)state;
	assert_int_equal(s3_canonical_query(&b, p, 4), 0);
	assert_string_equal(b.data,
	                    "a=&a-b=1&partNumber=7&uploadId=a%2Bb%2F%3D");
}

static void test_header_spaces(void **state)
{
	const struct s3_header h[] = { { "host", "  a   b c  " } };
	const struct s3_to_sign sign = { "GET", "/", "", h, 1, EMPTY };
	FSP_BUF struct fsp_buf b = FSP_BUF_INIT;

	(void)state;
	assert_int_equal(s3_canonical_request(&sign, &b), 0);
	assert_string_equal(b.data, "GET\n/\n\nhost:a b c\n\nhost\n" EMPTY);
}

static void test_date(void **state)
{
	char d[S3_DATE_LEN + 1];

	(void)state;
	s3_amz_date(d, 1369353600);
	assert_string_equal(d, DATE);
	s3_amz_date(d, INT64_MAX);
	assert_int_equal(strlen(d), S3_DATE_LEN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_encode),
		cmocka_unit_test(test_query),
		cmocka_unit_test(test_header_spaces),
		cmocka_unit_test(test_date),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
