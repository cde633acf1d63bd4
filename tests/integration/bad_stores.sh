#!/usr/bin/env bash
# Damaged and hostile stores: an error for what is damaged, the rest goes on,
# and nothing crashes.
# TIMEOUT 120
# TAKES 14 16
# BACKENDS embedded servers
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
need sqlite3 sqlite3
need openssl openssl
need getfattr attr
M=$WORK/mnt
D=$M/acct/table/record
OP=$TOOLS/fsop
n=0
fresh_store() { # a new store $S of 8 files, not mounted
	local name
	n=$((n + 1))
	S=$WORK/store$n
	store_init "$S"
	fs_start "fill$n" "$S" "$M"
	mkdir -p "$D"
	for name in good torn missing longer swapped bomb second garbage; do
		"$OP" open "$D/$name" wct fill 20000 "${#name}${name//[^o]/}" close >/dev/null
		echo "$name" >>"$D/$name"
	done
	fs_stop "fill$n"
}
object_of() { hash_of "$S" "$1"; }
append_noise() { head -c 64 /dev/urandom >>"$1"; }
put() { # put NAME: stdin becomes the object of that file
	cat >"$WORK/new-object"
	object_put "$S" "$(object_of "$1")" "$WORK/new-object"
}
fresh_store
encrypt() {
	openssl enc -aes-256-cbc -K "$(conf_value "$S" encryption key)" \
		-iv "$(conf_value "$S" encryption iv)"
}

step "damaged objects: EIO for each, a log line, and the others are read"
object_edit "$S" "$(object_of torn)" truncate -s -100
object_remove "$S" "$(object_of missing)"
object_edit "$S" "$(object_of longer)" append_noise
object_get "$S" "$(object_of good)" "$WORK/good-object"
put swapped <"$WORK/good-object"
head -c 200000000 /dev/zero | bzip2 -9 | encrypt | put bomb
{ echo one | bzip2 -9; echo two | bzip2 -9; } | encrypt | put second
head -c 20000 /dev/urandom | put garbage
fs_start fs "$S" "$M"
for name in torn missing longer swapped bomb second garbage; do
	"$OP" open "$D/$name" r pread 0 100 >"$WORK/out" || true
	grep -q ': EIO$' "$WORK/out" || fail "$name: $(xargs <"$WORK/out")"
	grep -q "$(object_of $name)" "$WORK/fs.log" || fail "no log line names the object of $name"
	grep -q "$(object_of $name).* row [0-9]* (/acct/table/record/$name)" "$WORK/fs.log" ||
		fail "no log line names the row and the path of $name"
done
equal good "$(tail -c 5 "$D/good")" "end of a good file"
ls -l "$D" >/dev/null
mv "$D/torn" "$D/torn2"
chmod 600 "$D/torn2"
rm "$D/torn2"
echo mended >"$D/garbage"
equal mended "$(cat "$D/garbage")" "written over a damaged file"
must_fail "$CTL" -s "$S" cat-object "$(object_of bomb)"
health() { getfattr --absolute-names --only-values -n user.filespace.health "$M"; }
health | grep -q 'content degraded since 2.*: 7 damaged: row [0-9]* (/acct/table/record/torn), object [0-9a-f]\{12\}' ||
	fail "health: $(health)"
"$CTL" -s "$S" status | grep -q 'content degraded since' || fail "status says $("$CTL" -s "$S" status)"
step "the same content written again heals a damaged object"
"$OP" open "$D/again" wct fill 20000 4oo close >/dev/null
object_edit "$S" "$(object_of again)" truncate -s 10
"$OP" open "$D/again2" wct fill 20000 4oo close >/dev/null
sha256sum "$D/again2" >/dev/null || fail "the new copy names a damaged object"
fs_stop fs

step "the wrong key: refused for writing; everything is listed, nothing is read"
fresh_store
sed -i 's/^key = .*/key = 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f/' \
	"$S/filespacefs.conf"
must_say "are not those that this store was written with" "$FILESPACEFS" "$S" "$M"
fs_start fs "$S" "$M" -o ro
equal 8 "$(ls "$D" | wc -l)" "entries with the wrong key"
"$OP" open "$D/good" r pread 0 10 >"$WORK/out" || true
grep -q ': EIO$' "$WORK/out" || fail "wrong key: $(xargs <"$WORK/out")"
fs_stop fs

step "rows that are no files are hidden and harm nothing"
fresh_store
row() { # row SPACE KEY HASH SIZE
	sql "$S" "INSERT INTO filespace_file (file_key, space_key, data_hash, created_at, size_original, size_storage)
		VALUES ($2, $1, $3, 1431080000, $4, $4)"
}
good="'$(object_of good)'"
row "'acct.table.record'" "'../../../etc/passwd'" "$good" 5
row "'acct.table.record'" "'a//b'" "$good" 5
row "'acct.table.record'" "'/leading'" "$good" 5
row "'acct.table.record'" "'trailing/'" "$good" 5
row "'acct.table.record'" "'.'" "$good" 5
row "'acct.table.record'" "''" "$good" 5
row "'acct.table.record'" "$(sql_bytes "$S" 610062)" "$good" 5
row "'acct.table'" "'record/f'" "$good" 5
row "'acct.table.rec/ord'" "'f'" "$good" 5
row "'ac%ct.table.record'" "'f'" "$good" 5
row "'ac%41ct.table.record'" "'f'" "$good" 5
row "'...'" "'f'" "$good" 5
row "'..x'" "'f'" "$good" 5
row "'acct.table.record'" "'$(printf 'l%.0s' {1..300})'" "$good" 5
row "'acct'" "'table'" "$good" 5
fs_start fs "$S" "$M"
equal 8 "$(ls -A "$D" | wc -l)" "entries beside hidden rows"
equal "record" "$(ls -A "$M/acct/table")" "records"
equal "acct" "$(ls -A "$M")" "accounts"
[ -d "$M/acct/table" ] || fail "a file took a directory's name"
find "$M" >/dev/null

step "rows with impossible hashes and sizes: EIO, no path is followed"
row "'acct.table.record'" "'hash-path'" "'../filespacefs.conf'" 5
row "'acct.table.record'" "'hash-empty'" "''" 5
row "'acct.table.record'" "'hash-null-ish'" "'zz'" 5
row "'acct.table.record'" "'size-minus'" "$good" -1
row "'acct.table.record'" "'size-huge'" "$good" 9223372036854775807
row "'acct.table.record'" "'size-small'" "$good" 3
for name in hash-path hash-empty hash-null-ish size-minus size-huge size-small; do
	"$OP" open "$D/$name" r pread 0 5 >"$WORK/out" || true
	grep -q '^data' "$WORK/out" && fail "$name gave data: $(xargs <"$WORK/out")"
done
ls -l "$D" >/dev/null
equal 8 "$( (sha256sum "$D"/* || true) 2>/dev/null | wc -l)" "files that can be read"
alive "${FS_PID[fs]}" || fail "the daemon died"
fs_stop fs

step "a database from a newer program"
sql "$S" "UPDATE fsp_info SET value = '999999' WHERE name = 'schema'"
must_say "schema" "$FILESPACEFS" "$S" "$M"

no_database() {
	step "a database that is none"
	head -c 100000 /dev/urandom >"$S/meta.db"
	rm -f "$S"/meta.db-*
	must_fail "$FILESPACEFS" "$S" "$M"
	must_fail "$CTL" -s "$S" status
	scan_log "$WORK/must_fail.log"
}

no_objects() {
	local rc=0
	step "the objects are not there at all"
	fresh_store
	rm -r "$S/objects"
	"$FILESPACEFS" -o ro "$S" "$M" >"$WORK/out" 2>&1 || rc=$?
	if [ "$rc" = 0 ]; then
		must_fail cat "$D/good"
		unmount "$M"
	else
		grep -q objects "$WORK/out" || fail "the message: $(cat "$WORK/out")"
	fi
}

if ! on_servers; then
	no_database
	no_objects
fi

step "an object that was found damaged is stored again by who has the content"
fs_start heal "$WORK/heal" "$WORK/heal-mnt"
echo hello >"$WORK/heal-mnt/a"
fs_stop heal
object_damage "$WORK/heal" "$(object_keys "$WORK/heal")"
fs_start heal "$WORK/heal" "$WORK/heal-mnt"
must_say "Input/output error" cat "$WORK/heal-mnt/a"
M=$WORK/heal-mnt
health | grep -q 'content degraded since' || fail "health: $(health)"
echo hello >"$WORK/heal-mnt/b"
health | grep -q 'content ok since' || fail "health after it was stored again: $(health)"
fs_stop heal
fs_start heal "$WORK/heal" "$WORK/heal-mnt"
equal "hello hello" "$(cat "$WORK/heal-mnt/a" "$WORK/heal-mnt/b" | xargs)" "both files"
fs_stop heal
