# shellcheck shell=bash
# S3 with stock curl, for what tests look at beside the programs: as the user
# and at the endpoint of FSP_TEST_S3_*. Sourced by servers.sh.

# curl 7.88 signs a query as it is given: sorted, with / as %2F, and each name
# with an equals sign. The payload's digest it leaves to us.
s3() { # s3 METHOD BUCKET/KEY[?QUERY] [CURL-OPTION...]
	s3_request "$@" --fail-with-body
}

s3_status() { # s3_status METHOD BUCKET/KEY [CURL-OPTION...]
	s3_request "$@" -o /dev/null -w '%{http_code}\n'
}

s3_request() {
	local method=(-X "$1") path=$2
	[ "$1" != HEAD ] || method=(-I)
	shift 2
	curl -sS "${method[@]}" --max-time 60 --cacert "$FSP_TEST_S3_CA" \
		--aws-sigv4 "aws:amz:$FSP_TEST_S3_REGION:s3" \
		-u "$FSP_TEST_S3_ACCESS_KEY:$FSP_TEST_S3_SECRET_KEY" \
		-H 'x-amz-content-sha256: UNSIGNED-PAYLOAD' \
		"$@" "$FSP_TEST_S3_ENDPOINT/$path"
}

s3_make_bucket() { # s3_make_bucket BUCKET
	s3 PUT "$1" -H 'Content-Length: 0' >/dev/null
}

# The keys of a bucket and their sizes, "KEY SIZE" a line; the tests' keys need
# no escapes of XML.
s3_list() { # s3_list BUCKET [PREFIX]
	local page start=
	while :; do
		page=$(s3 GET "$1?list-type=2&prefix=$(s3_escape "${2:-}")&start-after=$start") ||
			return
		page=$(grep -oE '<(Key|Size)>[^<]*|<IsTruncated>true' <<<"$page") || return 0
		sed -n 's/^<Key>//p; s/^<Size>//p' <<<"$page" | paste -d ' ' - -
		grep -q '^<IsTruncated>' <<<"$page" || return 0
		start=$(sed -n 's/^<Key>//p' <<<"$page" | tail -n 1)
		start=$(s3_escape "$start")
	done
}
s3_keys() { s3_list "$@" | sed 's/ [0-9]*$//'; }

s3_escape() { # s3_escape TEXT: of the characters that tests use
	local text=${1//%/%25}
	text=${text////%2F}
	printf '%s\n' "${text// /%20}"
}
