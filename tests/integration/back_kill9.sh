#!/usr/bin/env bash
# kill -9 at random moments with mount.commit = back: what close() promised is
# shown by the next mount at once, and stored by it, once, whole and in order.
# TIMEOUT 600
# TAKES 15 12
# BACKENDS embedded servers
# CHECKED
. "$(dirname "$0")/../lib/lib.sh"
. "$TOP/tests/lib/churn.sh"
need_fuse
need sqlite3 sqlite3
S=$WORK/store
M=$WORK/mnt
churn_init "$(on_servers && echo 6 || echo 20)"

store_init "$S"
some=0
for round in $(seq 1 "$ROUNDS"); do
	fs_start fs "$S" "$M" -o mount.commit=back -o "mount.commit_parallel=$((round % 3 + 1))"
	churn_round "$round"
	[ "$(queued "$S")" = 0 ] || some=$((some + 1))
done
note "$(churn_acked) acknowledged steps, $some of $ROUNDS kills with a queue"
[ "$some" -gt 0 ] || fail "never was anything queued"

step "another kind of mount takes the last queue over"
fs_start fs "$S" "$M"
churn_verify "after the last kill"
all_stored "$S"
churn_verify "after all is stored"
fs_stop fs
equal "" "$(find "$S/spool" -mindepth 1 -not -name kept)" "left in the spool"
fs_start fs "$S" "$M"
churn_verify "from the store"
fs_stop fs
equal "" "$(sql "$S" "SELECT space_key, file_key, count(*) FROM filespace_file
	WHERE deleted_at IS NULL OR deleted_at = 0
	GROUP BY space_key, file_key HAVING count(*) > 1")" "keys with two live rows"
check_store "$S"
