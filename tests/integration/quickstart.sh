#!/usr/bin/env bash
# scripts/quickstart from a clean directory, twice.
# TIMEOUT 200
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
need sqlite3 sqlite3
export QUICKSTART_DIR=$WORK/data QUICKSTART_BIN=$BIN

for round in first second; do
	step "the $round run"
	"$TOP/scripts/quickstart" "$WORK/space" >"$WORK/quickstart.out" 2>&1 ||
		fail "quickstart: $(tail -n 20 "$WORK/quickstart.out")"
	mounted "$WORK/space" || fail "nothing is mounted"
	"$CTL" -s "$WORK/data" --json status | grep -o '"pid": *[0-9]*' |
		grep -o '[0-9]*' >>"$WORK/pids"
	tail -n 25 "$WORK/quickstart.out" | grep -qF 'fusermount3 -u' ||
		fail "the last screen does not say how to unmount"
done
[ "$(find "$WORK/space" -type f | wc -l)" -gt 10 ] || fail "no files in the demo"
unmount "$WORK/space"
"$CTL" -s "$WORK/data" check
