#!/usr/bin/env bash
# What PHP applications do, as root and as www-data.
# TIMEOUT 120
# BACKENDS embedded servers
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
need php php-cli
need sqlite3 sqlite3
M=$WORK/m
fs_start one "$WORK/store" "$M"
mkdir -p "$M/a/t/root" "$M/a/t/www"

step "as the user who mounted"
php "$TOP/tests/tools/habits.php" "$M/a/t/root"

step "as www-data"
if [ "$(id -u)" = 0 ]; then
	id www-data >/dev/null || fail "no user www-data"
	W=$M/a/t/www
	echo theirs >"$W/theirs"
	mkdir -m 755 "$W/closed"
	chown www-data:www-data "$W"
	chmod o+x "$WORK" "$WORK/.." "$WORK/../.."
	habits=$(env TMPDIR=/tmp setpriv --reuid=www-data --regid=www-data --clear-groups \
		php "$TOP/tests/tools/habits.php" "$W" refused) || fail "as www-data: $habits"
	equal www-data "$(stat -c %U "$W/upload.bin")" "the owner"
	note "$habits habits"
fi

step "a file that was emptied and written before it was closed is one version"
echo old >"$M/a/t/root/v"
echo new >"$M/a/t/root/v"
equal 2 "$(find "$M/a/t/root/.versions/v" -type f | wc -l)" "versions"
equal 0 "$(sql "$WORK/store" "select count(*) from filespace_file where file_key = 'v' and size_original = 0")" "empty rows"

step "a loop that appends is thinned, and the newest is kept"
for i in $(seq 1 40); do echo "line $i" >>"$M/a/t/root/loop"; done
equal 10 "$(find "$M/a/t/root/.versions/loop" -type f | wc -l)" "versions of a loop"
equal 40 "$(wc -l <"$M/a/t/root/loop")" "lines"
equal "line 1" "$(cat "$(find "$M/a/t/root/.versions/loop" -type f | sort | head -n 1)")" "the oldest version"
equal "line 40" "$(tail -n 1 "$(find "$M/a/t/root/.versions/loop" -type f | sort | tail -n 1)")" "the newest version"

step "PHP sees a new file with its first commit, never a stub"
exec 7>"$M/a/t/root/open"
equal 0 "$(sql "$WORK/store" "select count(*) from filespace_file where file_key = 'open'")" "rows of an open file"
[ -e "$M/a/t/root/open" ] || fail "the name is not there"
echo content >&7
exec 7>&-
equal 1 "$(sql "$WORK/store" "select count(*) from filespace_file where file_key = 'open'")" "rows after close"
fs_stop one
out=$("$CTL" -s "$WORK/store" check) || fail "$out"
[ "$(id -u)" = 0 ] || skip "not root: what www-data does was not tried"
