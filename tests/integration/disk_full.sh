#!/usr/bin/env bash
# Full disks: of the objects, of the spool, of the database. close() says
# ENOSPC, the old version stays, what was written is kept and listed.
# TIMEOUT 120
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
need_root
need sqlite3 sqlite3
S=$WORK/store
M=$WORK/mnt
OP=$TOOLS/fsop
D=$M/acct/table/record
small_disk 4m

room_again() { rm -f "$SMALL/ballast"; }
fill_disk() { head -c 16M /dev/zero >"$SMALL/ballast" 2>/dev/null || true; }
left_in() { find "$1" -name '.tmp-*' 2>/dev/null | wc -l; }

step "no room for the object"
store_init "$S" -o "file.path=$SMALL/objects"
fs_start fs "$S" "$M"
mkdir -p "$D"
printf 'the old text' >"$D/f"
"$OP" open "$D/f" wct fill 8000000 1 close >"$WORK/out" || true
grep -q ': ENOSPC$' "$WORK/out" || fail "wanted ENOSPC: $(xargs <"$WORK/out")"
equal "the old text" "$(cat "$D/f")" "the old version"
equal 1 "$(sql "$S" "SELECT count(*) FROM filespace_file WHERE file_key = 'f'")" "rows"
equal 0 "$(left_in "$SMALL")" "temporary objects left"
"$CTL" -s "$S" status >"$WORK/status"
grep -q 'acct/table/record/f' "$WORK/status" || fail "status does not list what was kept: $(cat "$WORK/status")"
data=$(find "$S/spool/kept" -name '*.data')
equal 8000000 "$(stat -c %s "$data")" "size of what was kept"
"$OP" open "$WORK/wanted" wct fill 8000000 1 close >/dev/null
cmp "$data" "$WORK/wanted"

step "a new file that cannot be stored is not there, and fsync says so, too"
"$OP" open "$D/new" wct fill 8000000 2 fsync close >"$WORK/out" || true
grep -q '^fsync: ENOSPC$' "$WORK/out" || fail "fsync: $(xargs <"$WORK/out")"
equal 0 "$(sql "$S" "SELECT count(*) FROM filespace_file WHERE file_key = 'new'")" "rows of the new file"

step "small files still fit, and room again is enough"
fill_disk
"$OP" open "$D/g" wct fill 100000 3 close >"$WORK/out" || true
grep -q ': ENOSPC$' "$WORK/out" || fail "wanted ENOSPC: $(xargs <"$WORK/out")"
room_again
"$OP" open "$D/g" wct fill 100000 3 close >/dev/null || fail "no write after room was made"
equal 100000 "$(stat -c %s "$D/g")" "size after room was made"
fill_disk
equal "the old text" "$(cat "$D/f")" "reading on a full disk"
mv "$D/f" "$D/f2"
chmod 600 "$D/f2"
rm "$D/f2"
room_again
fs_stop fs
check_store_rows() { "$CTL" -s "$S" check >/dev/null || fail "check"; }
check_store_rows

step "no room in the spool"
S=$WORK/store2
store_init "$S" -o "spool.path=$SMALL/spool"
fs_start fs2 "$S" "$M"
mkdir -p "$D"
printf 'the old text' >"$D/f"
"$OP" open "$D/f" wct fill 8000000 1 close >"$WORK/out" || true
grep -q ': ENOSPC$' "$WORK/out" || fail "wanted ENOSPC: $(xargs <"$WORK/out")"
equal "the old text" "$(cat "$D/f")" "the old version"
rm -f "$SMALL"/spool/kept/*
printf 'more' >>"$D/f"
equal "the old textmore" "$(cat "$D/f")" "appended afterwards"
fs_stop fs2
check_store_rows

step "no room for the database"
S=$SMALL/store
store_init "$S" -o "file.path=$WORK/objects3" -o "spool.path=$WORK/spool3" -o "cache.path=$WORK/cache3"
fs_start fs3 "$S" "$M"
mkdir -p "$D"
printf 'the old text' >"$D/f"
fill_disk
said=
for i in $(seq 1 400); do
	"$OP" open "$D/f" wct write "text $i" close >"$WORK/out" || { said=$(xargs <"$WORK/out"); break; }
done
[[ $said = *ENOSPC* ]] || fail "wanted ENOSPC on a full database disk: '$said'"
content=$(cat "$D/f")
room_again
printf 'room' >"$D/f"
equal room "$(cat "$D/f")" "written after room was made"
fs_stop fs3
fs_start fs4 "$S" "$M"
equal room "$(cat "$D/f")" "after a remount"
grep -rqF "$content" "$D/.versions/f/" || fail "the version before is missing"
fs_stop fs4
check_store_rows
