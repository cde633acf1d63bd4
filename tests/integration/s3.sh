#!/usr/bin/env bash
# A real mount on a real S3 gateway, with the rows in SQLite: what is written,
# what is stored, and what each thing that is set wrongly says.
# TIMEOUT 180
# TAKES 60
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
need curl curl
need sqlite3 sqlite3
own_servers rgw "$WORK/rgw"
S=$WORK/store
M=$WORK/mnt
B=fsp-it-$$

# The stock client signs well enough for what needs no query: ours is not its
# own judge of what lies in the bucket.
s3curl() { # s3curl PATH CURL-ARGUMENT...
	local path=$1
	shift
	curl -sS --fail --aws-sigv4 "aws:amz:$FSP_TEST_S3_REGION:s3" \
		-u "$FSP_TEST_S3_ACCESS_KEY:$FSP_TEST_S3_SECRET_KEY" \
		-H "x-amz-content-sha256: UNSIGNED-PAYLOAD" \
		"$@" "$FSP_TEST_S3_ENDPOINT/$path"
}
bucket_keys() { s3curl "$B" | grep -o '<Key>[^<]*' | sed 's/<Key>//'; }
count_keys() { bucket_keys | wc -l; }

make_store() { # make_store DIR [-o ...]
	local dir=$1
	shift
	FILESPACEFS_S3_ACCESS_KEY=$FSP_TEST_S3_ACCESS_KEY \
		FILESPACEFS_S3_SECRET_KEY=$FSP_TEST_S3_SECRET_KEY \
		"$CTL" -s "$dir" init -o general.adapter=s3 -o s3.bucketname="$B" \
		-o s3.endpoint="$FSP_TEST_S3_ENDPOINT" -o s3.prefix=it/ "$@" >/dev/null
}
health_is_down() { health | grep -q 'objects down since'; }
health_is_ok() { health | grep -q 'objects ok since'; }
FS_ENV=(FILESPACEFS_S3_ACCESS_KEY="$FSP_TEST_S3_ACCESS_KEY"
	FILESPACEFS_S3_SECRET_KEY="$FSP_TEST_S3_SECRET_KEY")
ctl() { env "${FS_ENV[@]}" "$CTL" "$@"; }

step "a store with its objects in a bucket"
s3curl "$B" -X PUT >/dev/null
make_store "$S" -o s3.part_size=5M
[ ! -e "$S/objects" ] || [ -z "$(ls "$S/objects")" ] || fail "objects on the disk"
grep -q "$FSP_TEST_S3_SECRET_KEY" "$S/filespacefs.conf" && fail "init wrote the secret key down"
fs_start fs "$S" "$M"
R=$M/acme/contact/35
mkdir -p "$R"
echo "hello bucket" >"$R/hello.txt"
equal "hello bucket" "$(cat "$R/hello.txt")" "what was written"
hash=$(printf 'hello bucket\n' | sha256sum | cut -d ' ' -f 1)
equal "it/$hash" "$(bucket_keys)" "the key in the bucket"
[ "$(df --output=avail -B1G "$M" | tail -n 1)" -gt 1000 ] || fail "df: $(df "$M")"

step "the object is what DESIGN.md says, for stock tools"
s3curl "$B/it/$hash" >"$WORK/object"
equal "hello bucket" "$(openssl enc -d -aes-256-cbc -K "$(conf_value "$S" encryption key)" \
	-iv "$(conf_value "$S" encryption iv)" -in "$WORK/object" | bunzip2)" "decoded by hand"

step "equal content is stored once, and other calls make no object"
cp "$R/hello.txt" "$R/again.txt"
echo "hello bucket" >"$R/third.txt"
mv "$R/third.txt" "$R/fourth.txt"
chmod 600 "$R/fourth.txt"
ln "$R/fourth.txt" "$R/fifth.txt"
rm "$R/fifth.txt"
equal 1 "$(count_keys)" "objects for one content under many names"

step "an object of many parts, there and back"
head -c 22000000 /dev/urandom >"$WORK/big"
cp "$WORK/big" "$R/big.bin"
bighash=$(sha256sum "$WORK/big" | cut -d ' ' -f 1)
s3curl "$B/it/$bighash" -I | tr -d '\r' >"$WORK/head"
grep -qiE '^etag: "?[0-9a-f]{32}-5"?$' "$WORK/head" || fail "not of 5 parts: $(cat "$WORK/head")"
fs_stop fs
fs_start fs "$S" "$M"
cmp "$WORK/big" "$R/big.bin" || fail "the large file came back changed"
equal "hello bucket" "$(cat "$R/again.txt")" "after a remount"
equal 2 "$(count_keys)" "objects at the end"

step "status and a tree of many files"
ctl -s "$S" status >"$WORK/status"
grep -q "s3, $B" "$WORK/status" || fail "status: $(cat "$WORK/status")"
mkdir "$WORK/tree"
for i in {1..60}; do
	echo "file $((i % 40))" >"$WORK/tree/$i"
done
rsync -a "$WORK/tree/" "$R/tree/"
same_tree "$WORK/tree" "$R/tree"
equal 42 "$(count_keys)" "objects of 40 more contents"

step "the gateway goes away: an error in time, nothing lost; then it is back"
fs_stop fs
fs_start fs "$S" "$M" -o s3.retries=1 -o s3.connect_timeout=1s
srv_kill "$FSP_TEST_S3_DIR" rgw
rc=0
timeout 60 dd if="$WORK/big" of="$R/down.bin" bs=1M count=1 conv=fsync 2>"$WORK/dd.err" || rc=$?
[ "$rc" != 0 ] && [ "$rc" != 124 ] || fail "a write without the server ended with $rc"
grep -qiE 'host is down' "$WORK/dd.err" || fail "the error is: $(cat "$WORK/dd.err")"
[ "$(ls "$R" | wc -l)" -ge 4 ] || fail "listing without the server"

step "while it is known to be down calls fail at once, and users can read why"
health() { getfattr --absolute-names --only-values -n user.filespace.health "$M"; }
wait_for 10 health_is_down || fail "health: $(health)"
health >"$WORK/health"
grep -q '; objects down since 2.*; writes fail\|; objects down since 2.*; reads of cached' "$WORK/health" ||
	fail "health: $(cat "$WORK/health")"
note "$(cat "$WORK/health")"
grep -q '^database ok' "$WORK/health" || fail "health: $(cat "$WORK/health")"
ctl -s "$S" status | grep -qF "Health     $M: database ok" || fail "status without health"
began=$(date +%s%N)
for i in 1 2 3 4 5; do
	must_say "host is down" dd if="$WORK/big" of="$R/down$i.bin" bs=1M count=1 conv=fsync
done
took=$((($(date +%s%N) - began) / 1000000))
note "5 refused writes: $took ms"
[ "$took" -lt 2000 ] || fail "5 writes took $took ms while the server was known to be down"
ls -l "$R" >/dev/null
mv "$R/fourth.txt" "$R/moved.txt"
chmod 640 "$R/moved.txt"

step "it is back: everything works within 5 s, without a word from anybody"
srv_restart "$FSP_TEST_S3_DIR" rgw
began=$(date +%s%N)
wait_for 10 health_is_ok || fail "health: $(health)"
took=$((($(date +%s%N) - began) / 1000000))
note "back after $took ms"
[ "$took" -lt 5000 ] || fail "it took $took ms"
echo "up again" >"$R/up.txt"
equal "up again" "$(cat "$R/up.txt")" "after the server came back"
fs_stop fs
grep -q "secret\|Signature=" "$WORK/fs.log" && fail "the log has a signature: $(grep -m 1 'Signature=' "$WORK/fs.log")"

step "settings that are wrong: one clear line, and no hang"
refused() { # refused TEXT WORD...: with these variables or options
	local text=$1
	shift
	local -a vars=("${FS_ENV[@]}") options=()
	while [ $# -gt 0 ]; do
		case $1 in
		-o) options+=(-o "$2") && shift ;;
		*) vars+=("$1") ;;
		esac
		shift
	done
	must_say "$text" timeout 30 env "${vars[@]}" "$FILESPACEFS" -f "${options[@]}" "$S" "$M"
	sed -i '/the keys come from/d' "$WORK/must_fail.log"
	equal 1 "$(wc -l <"$WORK/must_fail.log")" "lines of: $(cat "$WORK/must_fail.log")"
	note "$(grep S3: "$WORK/must_fail.log")"
}
refused "the secret key is wrong" FILESPACEFS_S3_SECRET_KEY=wrong
refused "does not know this access key" FILESPACEFS_S3_ACCESS_KEY=NOBODY
refused "the bucket does not exist" -o s3.bucketname=no-such-bucket
refused "check s3.ca_file" -o s3.endpoint="$FSP_TEST_S3_HTTPS"
refused "check s3.ca_file" -o s3.endpoint="$FSP_TEST_S3_HTTPS" -o s3.ca_file=/dev/null
must_say "is no URL" "$FILESPACEFS" -f -o s3.endpoint=http:// "$S" "$M"
must_say "needs [s3] bucketname" "$FILESPACEFS" -f -o general.adapter=s3 "$WORK/plain" "$M"

step "HTTPS with the right authority, and a server that is not there"
fs_start fs "$S" "$M" -o s3.endpoint="$FSP_TEST_S3_HTTPS" -o s3.ca_file="$FSP_TEST_S3_CA"
equal "up again" "$(cat "$R/up.txt")" "by HTTPS"
fs_stop fs
fs_start fs "$S" "$M" -o s3.endpoint=http://127.0.0.1:1 -o s3.retries=0
[ "$(ls "$R" | wc -l)" -ge 4 ] || fail "listing without a server"
must_say "host is down" cat "$R/up.txt"
fs_stop fs

step "a store with objects and without its database is not begun anew"
mv "$S/meta.db" "$WORK/meta.db"
must_fail env "${FS_ENV[@]}" "$FILESPACEFS" -f "$S" "$M"
[ ! -e "$S/meta.db" ] || fail "an empty database was made"
