#!/usr/bin/env bash
# .versions/@TIME against a recorded history.
# TIMEOUT 400
# TAKES 15 25
# BACKENDS embedded servers
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
need python3 python3
M=$WORK/m

OPERATIONS=${OPERATIONS:-$(on_servers && echo 200 || echo 1000)}
VIEWS=${VIEWS:-$(on_servers && echo 30 || echo 100)}
# A server's clock is known to half of what it takes to ask for it.
ERROR=$(on_servers && echo 20000 || echo 10)
step "$OPERATIONS random changes over two mounts, $VIEWS views at random times"
store_init "$WORK/store" -o mount.thin_interval=0 -o bzip2.level=1
fs_start one "$WORK/store" "$M"
for name in two three; do
	fs_start "$name" "$WORK/store" "$WORK/$name" -o mount.entry_timeout=0,mount.attr_timeout=0
done
seed=${SEED:-$RANDOM}
note "SEED=$seed"
python3 "$TOP/tests/tools/attime.py" "$WORK/two" "$WORK/three" "$M" "$seed" \
	"$OPERATIONS" "$VIEWS" "$ERROR" || fail "seed $seed"
fs_stop two
fs_stop three

step "who may read what was there"
if [ "$(id -u)" = 0 ]; then
	as_nobody() { setpriv --reuid nobody --regid nogroup --clear-groups "$@"; }
	chmod 755 "$WORK"
	P=$M/A/T/who
	mkdir -p "$P/shut"
	for f in plain open-then-shut shut-then-open shut-now shut-before gone hidden shut/gone; do
		echo "$f" >"$P/$f"
	done
	chmod 600 "$P/shut-then-open" "$P/shut-before" "$P/hidden"
	nap 0.05
	then=$(date +%s.%N)
	nap 0.05
	# A new content, and then the other mode.
	echo new >"$P/open-then-shut"
	echo new >"$P/shut-then-open"
	chmod 600 "$P/open-then-shut" "$P/shut-now"
	# A mode alone makes no version: what is shown has the one of now.
	chmod 644 "$P/shut-then-open" "$P/shut-before"
	rm "$P/gone" "$P/hidden" "$P/shut/gone"
	chmod 700 "$P/shut"
	reads() { # reads PATH: what nobody reads
		as_nobody cat "$1" 2>"$WORK/nobody.err" && return
		grep -q 'Permission denied' "$WORK/nobody.err" || fail "$1: $(cat "$WORK/nobody.err")"
		echo denied
	}
	as_nobody test -x "$P" || fail "nobody does not reach the mount"
	for V in "$P/.versions/@${then:0:17}" "$M/.versions/@${then:0:17}/A/T/who"; do
		equal plain "$(reads "$V/plain")" "a file that is as it was"
		equal gone "$(reads "$V/gone")" "one that is gone"
		equal denied "$(reads "$V/hidden")" "one that is gone and was shut"
		equal denied "$(reads "$V/open-then-shut")" "an open version of what is shut by now"
		equal denied "$(reads "$V/shut-then-open")" "a shut version of what is open by now"
		equal denied "$(reads "$V/shut-now")" "shut since then"
		equal shut-before "$(reads "$V/shut-before")" "opened since then"
		equal denied "$(reads "$V/shut/gone")" "gone, in a directory that is shut by now"
		equal "shut/gone" "$(cat "$V/shut/gone")" "the same, by root"
		equal 600 "$(stat -c %a "$V/shut-now")" "the mode that the version has now"
	done
	# What is gone has its directory's mode, in .versions/NAME, too.
	equal gone "$(reads "$(echo "$P/.versions/gone/"*)")" "a version of what is gone"
	equal denied "$(reads "$(echo "$P/.versions/hidden/"*)")" "of what is gone and was shut"
	chmod 711 "$P"
	equal denied "$(reads "$(echo "$P/.versions/gone/"*)")" "in a directory that is not to be read"
	# In other words, since the kernel keeps what it was told of for a second.
	equal denied "$(reads "$P/.versions/@${then:0:16}/gone")" "at a time, there"
	equal plain "$(reads "$P/plain")" "what is there can be opened by its name"
else
	note "not tried: it needs root for another user"
fi

step "all forms of a time, read-only, directories back with cp -a"
R=$M/A/T/R
mkdir -p "$R/dir"
echo one >"$R/dir/file"
chmod 640 "$R/dir/file"
mkdir "$R/dir/group" "$R/dir/sticky"
chmod 2750 "$R/dir" "$R/dir/group"
chmod 1777 "$R/dir/sticky"
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
equal "640 2750 1777" "$(cd "$R/dir" && stat -c %a file group sticky | xargs)" "the modes in it"
[ "$(stat -c %Y "$R/.versions/@$now/dir")" -le "$now" ] ||
	fail "the directory's mtime is of a later change"
cp -a "$R/renamed/.versions/@$now" "$R/whole"
equal one "$(cat "$R/whole/file")" "restored from its own .versions"
equal 2750 "$(stat -c %a "$R/whole")" "the directory's mode"
[ "$(stat -c %Y "$R/whole")" -le "$now" ] || fail "the directory's mtime"
fs_stop one
