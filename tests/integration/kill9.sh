#!/usr/bin/env bash
# kill -9 of the mount at random moments: what close() acknowledged is whole,
# nothing is torn, no row lacks its object, and the store mounts again.
# TIMEOUT 900
# TAKES 43 45
# BACKENDS embedded servers
. "$(dirname "$0")/../lib/lib.sh"
. "$TOP/tests/lib/churn.sh"
need_fuse
need sqlite3 sqlite3
S=$WORK/store
M=$WORK/mnt
churn_init "$(on_servers && echo 10 || echo 50)"

store_init "$S"
for round in $(seq 1 "$ROUNDS"); do
	fs_start fs "$S" "$M"
	equal 1 "$(grep -cF " $M " /proc/self/mountinfo)" "mounts at one place"
	# Some kills hit the first operations, most the thick of it.
	if [ $((RANDOM % 4)) -gt 0 ]; then
		churn_round "$round"
	else
		churn_round "$round" first
	fi
done
acked=$(churn_acked)
note "$acked acknowledged steps in $ROUNDS rounds"
[ "$acked" -gt "$ROUNDS" ] || fail "hardly anything was written"

step "the last mount, and the store as a whole"
fs_start fs "$S" "$M"
churn_verify "after the last kill"
step "an empty file whose close() returned is there after a kill"
for i in 1 2 3 4 5; do
	"$TOOLS/fsop" open "$M/acct/table/empty$i" wcx close >/dev/null
	fs_kill fs
	fs_start fs "$S" "$M"
	[ -f "$M/acct/table/empty$i" ] || fail "empty$i is gone"
done
step "every version can be read"
for entry in "$M"/acct/table/record/.versions/*/*; do
	cat "$entry" >/dev/null || fail "a version cannot be read: $entry"
done
fs_stop fs
check_store "$S"
step "every object is what its name says"
sql "$S" 'SELECT DISTINCT data_hash FROM filespace_file' | while read -r hash; do
	"$CTL" -s "$S" cat-object "$hash" >"$WORK/plain" || exit 1
	[ "$(sha256sum <"$WORK/plain" | cut -c 1-64)" = "$hash" ] || exit 1
done || fail "a torn object"
equal 0 "$(find "$S/spool" -mindepth 2 -type f 2>/dev/null | grep -vc '/kept/' || true)" \
	"files left in the spool"
on_servers || equal 0 "$(find "$S/objects" -name '.tmp-*' | wc -l)" \
	"temporary objects left"
