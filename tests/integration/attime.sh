#!/usr/bin/env bash
# .versions/@TIME against a recorded history.
# TIMEOUT 400
# BACKENDS embedded servers
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
need python3 python3
M=$WORK/m

OPERATIONS=${OPERATIONS:-$(on_servers && echo 300 || echo 1000)}
step "$OPERATIONS random operations, the view at 100 of their times"
store_init "$WORK/store" -o mount.thin_interval=0 -o bzip2.level=1
fs_start one "$WORK/store" "$M"
seed=${SEED:-$RANDOM}
note "SEED=$seed"
python3 "$TOP/tests/tools/attime.py" "$M" "$seed" "$OPERATIONS" 100 ||
	fail "seed $seed"

step "all forms of a time, read-only, directories back with cp -a"
R=$M/A/T/R
mkdir -p "$R/dir"
echo one >"$R/dir/file"
chmod 640 "$R/dir/file"
chmod 2750 "$R/dir"
sleep 1.1
now=$(date +%s)
sleep 1.1
echo two >"$R/dir/file"
mv "$R/dir" "$R/renamed"
for t in "@$now" "@$(date -u -d "@$now" +%Y-%m-%dT%H:%M:%SZ)" \
	"@$(date -u -d "@$now" '+%Y-%m-%d %H:%M:%S')" \
	"@$(date -u -d "@$now" +%Y%m%dT%H%M%SZ)" \
	"@$(TZ=XYZ-2 date -d "@$now" +%Y-%m-%dT%H:%M:%S+02:00)" \
	"@$(TZ=XYZ5 date -d "@$now" +%Y-%m-%dT%H:%M:%S-0500)" \
	"$(date -u -d "@$now" +@GMT-%Y.%m.%d-%H.%M.%S)"; do
	equal one "$(cat "$R/.versions/$t/dir/file")" "$t"
done
equal one "$(cat "$R/renamed/.versions/@$now/file")" "by the directory's new name"
must_say "Read-only file system" touch "$R/.versions/@$now/dir/file"
must_say "Read-only file system" mkdir "$R/.versions/@$now/new"
must_say "No such file" ls "$R/.versions/@2001-01-01"
must_say "No such file" ls "$R/.versions/@nonsense"
cp -a "$R/.versions/@$now/dir" "$R/dir"
equal one "$(cat "$R/dir/file")" "restored"
equal 640 "$(stat -c %a "$R/dir/file")" "its mode"
[ "$(stat -c %Y "$R/.versions/@$now/dir")" -le "$now" ] ||
	fail "the directory's mtime is of a later change"
cp -a "$R/renamed/.versions/@$now" "$R/whole"
equal one "$(cat "$R/whole/file")" "restored from its own .versions"
equal 2750 "$(stat -c %a "$R/whole")" "the directory's mode"
[ "$(stat -c %Y "$R/whole")" -le "$now" ] || fail "the directory's mtime"
fs_stop one
