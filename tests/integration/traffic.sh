#!/usr/bin/env bash
# What calls cost: no request to the object store where no content is asked
# for, and one wait for the database where a directory is listed.
# TIMEOUT 60
# TAKES 4 15
# BACKENDS embedded servers
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
need getfattr attr
S=$WORK/store
M=$WORK/mnt
R=$M/acct/table/rec
fs_start fs "$S" "$M"
mkdir -p "$R"
for i in $(seq 200); do echo "content $i" >"$R/f$i"; done
mkdir "$R/sub"
echo "content 7, again" >"$R/f7"
fs_stop fs
# Nothing is asked but by us: names that were looked up stay, and nobody reads
# the journal of changes.
fs_start fs "$S" "$M" -o mount.cache_time=0,mount.entry_timeout=1h,mount.attr_timeout=1h

traffic() { getfattr --absolute-names --only-values -n user.filespace.traffic "$M"; }
objects() { traffic | grep -o 'objects [^;]*'; }
trips() { traffic | sed 's/.*, \([0-9]*\) round trips;.*/\1/'; }

# The journal is read once a second: not in what is counted next. At the first
# time everything that was looked up may be old.
quiet() { getfattr --absolute-names --only-values -n user.filespace.current "$M" >/dev/null; }
step "the kernel looks up the way once"
quiet
stat "$R" >/dev/null
before=$(objects)
grep -qE '^objects [0-9]+ put, [0-9]+ get, [0-9]+ head, [0-9]+ del, [0-9]+ list, [0-9]+ bytes down$' <<<"$before" ||
	fail "objects: $(traffic)"

step "a cold listing with all attributes"
n=$(trips)
equal 202 "$(ls -l "$R" | wc -l)" "lines of ls -l"
equal 1 $(($(trips) - n)) "round trips for 201 entries, $(traffic)"
equal "$before" "$(objects)" "requests after listing"

step "what changes no content asks for no object"
stat "$R/f1" >/dev/null
mv "$R/f1" "$R/sub/g1"
chmod 600 "$R/f2"
touch -d 2020-01-01 "$R/f3"
ln "$R/f4" "$R/link"
rm "$R/f5" "$R/link"
mkdir "$R/d" && rmdir "$R/d"
mv "$R/sub" "$R/moved"
equal "$before" "$(objects)" "requests after changes"

step "nor does a copy of a whole file, nor a version that comes back"
cp --reflink=auto "$R/f8" "$R/copy"
equal "$before" "$(objects)" "requests after a copy"
cp -p "$R/.versions/f7/$(ls "$R/.versions/f7" | head -n 1)" "$R/f7"
equal "$before" "$(objects)" "requests after a restore"
equal "content 8" "$(cat "$R/copy")" "the copy"
equal "content 7" "$(cat "$R/f7")" "the version that came back"
before=$(objects)

step "content that is read or written does"
cat "$R/f6" >/dev/null
[ "$before" != "$(objects)" ] || fail "nothing was counted"
"$CTL" -s "$S" status | grep -q "^Traffic    $M: database [0-9]* reads," ||
	fail "status: $("$CTL" -s "$S" status)"

step "content that is stored already: its object is looked at once for many files"
heads() { traffic | sed 's/.* get, \([0-9]*\) head.*/\1/'; }
n=$(heads)
for i in 1 2 3; do echo "content 9" >"$R/again$i"; done
equal 1 $(($(heads) - n)) "looks at what was stored by another mount"
n=$(heads)
for i in 1 2 3; do echo "content of now" >"$R/now$i"; done
equal 0 $(($(heads) - n)) "looks at what this one has just stored"
twice() { # twice NAME: that content in two new files; the round trips
	local n i
	quiet
	n=$(trips)
	for i in 1 2; do echo "content of now" >"$R/$1$i"; done
	echo $(($(trips) - n))
}
known=$(twice known)
fs_stop fs
check_store "$S"

step "with seen_time 0 it is looked at each time; what is gone is stored again"
fs_start fs "$S" "$M" -o general.seen_time=0,mount.cache_time=0,mount.entry_timeout=1h,mount.attr_timeout=1h
n=$(heads)
for i in 4 5; do echo "content 9" >"$R/again$i"; done
equal 2 $(($(heads) - n)) "looks"
equal $((known + 2)) "$(twice asked)" "round trips where the rows are asked for the object"
key=$(echo "content 9" | sha256sum | cut -d ' ' -f 1)
object_remove "$S" "$key"
echo "content 9" >"$R/again6"
equal 1 "$(object_keys "$S" | grep -c "$key")" "objects with that content"
fs_stop fs

step "who reads all names first, and then looks at each, asks no more than ls"
# More than come with one answer of ours; as PHP writes them.
sql "$S" "INSERT INTO filespace_file (file_key, space_key, data_hash, created_at,
		deleted_at, size_original, size_storage)
	WITH RECURSIVE n(i) AS (SELECT 10 UNION ALL SELECT i + 1 FROM n WHERE i < 50)
	SELECT 100 * a.i + b.i, 'acct.table.many',
		'da39a3ee5e6b4b0d3255bfef95601890afd80709', 1, 0, 5000, 5000 FROM n a, n b"
fs_start fs "$S" "$M" -o mount.cache_time=0,mount.entry_timeout=1h,mount.attr_timeout=1h
quiet
stat "$M/acct/table/many" >/dev/null
n=$(trips)
equal 1681 "$(find "$M/acct/table/many" -type f -size +1k | wc -l)" "files"
n=$(($(trips) - n))
[ "$n" -lt 100 ] || fail "$n round trips of find, $(traffic)"
fs_stop fs

step "what was missing is not taken for there"
object_remove "$S" "$key"
fs_start fs "$S" "$M"
echo "content 10" >"$R/seen"
key=$(echo "content 10" | sha256sum | cut -d ' ' -f 1)
object_remove "$S" "$key"
"$CTL" -s "$S" cache drop >/dev/null
[ "$(id -u)" != 0 ] || echo 3 >/proc/sys/vm/drop_caches
must_say "Input/output error" dd if="$R/f10" of=/dev/null iflag=direct status=none
echo "content 10" >"$R/healed"
equal 1 "$(object_keys "$S" | grep -c "$key")" "objects with that content"
fs_stop fs

if on_servers; then
	step "a host that starts while the bucket is away"
	sed -i 's#^endpoint = .*#endpoint = http://127.0.0.1:9#' "$S/filespacefs.conf"
	fs_start fs "$S" "$M"
	equal 1681 "$(find "$M/acct/table/many" -type f -size +1k | wc -l)" "files"
	must_say "Host is down" cat "$M/acct/table/many/1010"
	fs_stop fs
fi
