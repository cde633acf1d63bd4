#!/usr/bin/env bash
# filespacectl store test: what it says of a store that works, and of each
# thing that does not.
# SERVERS rgw
# TIMEOUT 120
. "$(dirname "$0")/../lib/lib.sh"
need curl curl
need openssl openssl
[ -n "${FSP_TEST_S3_ENDPOINT:-}" ] || skip "no server (tests/servers with rgw)"
S=$WORK/store
B=store-test-$$

says() { # says TEXT: in the output of the last run
	grep -qE -- "$1" "$WORK/out" || fail "not said: $1; but: $(cat "$WORK/out")"
}
all_ok() {
	! grep -q '^FAIL\|^warn' "$WORK/out" || fail "not all is ok: $(cat "$WORK/out")"
}
run_test() { # run_test STATUS ARGUMENT...
	local want=$1 rc=0
	shift
	timeout 60 env "${FS_ENV[@]}" "$CTL" "$@" >"$WORK/out" 2>"$WORK/err" || rc=$?
	[ "$rc" = "$want" ] || fail "exit $rc, not $want: $(cat "$WORK/out" "$WORK/err")"
}
FS_ENV=(FILESPACEFS_S3_ACCESS_KEY="$FSP_TEST_S3_ACCESS_KEY"
	FILESPACEFS_S3_SECRET_KEY="$FSP_TEST_S3_SECRET_KEY")

step "an embedded store: all works, nothing stays"
store_init "$WORK/plain"
run_test 0 -s "$WORK/plain" store test
all_ok
says '^ok   objects: get a range of it +[0-9.]+ ms$'
says '^ok   database: write a row and remove it +[0-9.]+ ms$'
says '^all that is needed works$'
equal 0 "$(ls -A "$WORK/plain/objects" | wc -l)" "objects that stay"
equal 0 "$(sql "$WORK/plain" 'SELECT count(*) FROM fsp_mount')" "mounts that stay"
must_say "give test" "$CTL" -s "$WORK/plain" store tost

step "a bucket"
s3_make_bucket "$B"
env "${FS_ENV[@]}" "$CTL" -s "$S" init -o general.adapter=s3 -o s3.bucketname="$B" \
	-o s3.endpoint="$FSP_TEST_S3_HTTPS" -o s3.ca_file="$FSP_TEST_S3_CA" \
	-o s3.prefix=it/ >/dev/null
run_test 0 -s "$S" store test
all_ok
sed 's/^/   /' "$WORK/out"
says '^ok   objects: connect +[0-9.]+ ms  127\.0\.0\.1:[0-9]+, 127\.0\.0\.1 port'
says '^ok   objects: TLS +[0-9.]+ ms  TLSv1\.[23], certificate until 20'
says '^ok   objects: clock of this machine +[-+][0-2] s to'
says '^ok   objects: keys, bucket and region '
says '^ok   objects: put 5 MiB '
equal "" "$(s3_keys "$B")" "objects that stay in the bucket"

step "--json says the same"
run_test 0 -s "$S" store test --json
python3 - "$WORK/out" <<'PY' || fail "json: $(cat "$WORK/out")"
import json, sys
d = json.load(open(sys.argv[1]))
assert d["failed"] == 0 and d["warnings"] == 0
steps = {(s["part"], s["step"]): s for s in d["steps"]}
assert steps["objects", "delete"]["result"] == "ok"
assert steps["objects", "put 4 KiB"]["microseconds"] > 0
assert steps["objects", "TLS"]["found"].startswith("TLSv1.")
assert len(steps) >= 19, len(steps)
PY

step "what is wrong is named, with what to do"
run_test 1 -s "$S" store test -o s3.bucketname=no-such-bucket
says '^FAIL objects: keys, bucket and region .*NoSuchBucket'
says '^     .*s3.bucketname'
says '^ok   database: read'
says '^[1-9][0-9]* failed$'
run_test 1 -s "$S" store test -o s3.endpoint=https://127.0.0.1:1
says '^FAIL objects: connect .*'
says '^     check s3.endpoint'
run_test 1 -s "$S" store test -o s3.endpoint="$FSP_TEST_S3_HTTPS" -o s3.ca_file=/etc/hostname
says '^FAIL objects: TLS '
says '^     s3.ca_file must hold'
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=another -keyout /dev/null \
	-out "$WORK/another.pem" 2>/dev/null
run_test 1 -s "$S" store test -o s3.endpoint="$FSP_TEST_S3_HTTPS" -o s3.ca_file="$WORK/another.pem"
says '^FAIL objects: TLS .*certificate'
says '^     .*set s3.ca_file'
run_test 0 -s "$S" store test -o s3.endpoint="$FSP_TEST_S3_ENDPOINT"
says '^warn objects: TLS .*none'
run_test 0 -s "$S" store test -o s3.tls_verify=no
says '^warn objects: TLS .*not verified'
FS_ENV[1]=FILESPACEFS_S3_SECRET_KEY=wrong
run_test 1 -s "$S" store test
says '^FAIL objects: keys, bucket and region .*SignatureDoesNotMatch'

step "somebody without rights on the bucket"
FS_ENV=(FILESPACEFS_S3_ACCESS_KEY="$FSP_TEST_S3_OTHER_ACCESS_KEY"
	FILESPACEFS_S3_SECRET_KEY="$FSP_TEST_S3_OTHER_SECRET_KEY")
run_test 1 -s "$S" store test
sed 's/^/   /' "$WORK/out"
says '^FAIL objects: put 4 KiB '
says '^     .*s3:PutObject'
for secret in "$FSP_TEST_S3_SECRET_KEY" "$FSP_TEST_S3_OTHER_SECRET_KEY"; do
	grep -rqF "$secret" "$WORK/out" "$WORK/err" && fail "a secret was printed"
done
equal "" "$(s3_keys "$B")" "objects that stay in the bucket"

step "a database that cannot be written to"
cp -r "$WORK/plain" "$WORK/legacy"
rm -f "$WORK/legacy"/meta.db*
"$TOP/tests/lib/dump2sqlite" "$FIXTURE/dump.sql" | sqlite3 "$WORK/legacy/meta.db"
FS_ENV=(A=b)
run_test 1 -s "$WORK/legacy" store test
says '^FAIL database: schema '
says "^     see 'filespacectl schema plan'"
run_test 1 -s "$WORK/legacy" store test -o mount.read_only=yes
says '^FAIL objects: get what a row names .*No such file'
cp -r "$FIXTURE/objects/." "$WORK/legacy/objects"
run_test 0 -s "$WORK/legacy" store test -o mount.read_only=yes
says '^warn database: schema '
says '^ok   objects: get what a row names '
