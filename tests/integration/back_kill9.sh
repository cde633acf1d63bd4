#!/usr/bin/env bash
# kill -9 at random moments with mount.commit = back: what close() promised is
# shown by the next mount at once, and stored by it, once, whole and in order.
# TIMEOUT 600
# TAKES 15
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
need sqlite3 sqlite3
S=$WORK/store
M=$WORK/mnt
ROUNDS=${ROUNDS:-20}
SEED=${SEED:-$(($(date +%s) % 100000))}
RANDOM=$SEED
echo "SEED=$SEED ROUNDS=$ROUNDS"

noted() { wc -l 2>/dev/null <"$WORK/notes" || echo 0; }
begun() { [ "$(noted)" -gt "$lines" ]; }
queued() {
	"$CTL" -s "$S" status --json |
		python3 -c 'import json,sys; print(len(json.load(sys.stdin)["queued"]))'
}
none_queued() { [ "$(queued)" = 0 ]; }

store_init "$S"
some=0
for round in $(seq 1 "$ROUNDS"); do
	fs_start fs "$S" "$M" -o mount.commit=back -o "mount.commit_parallel=$((round % 3 + 1))"
	mkdir -p "$M/acct/table/record"
	if [ -s "$WORK/notes" ]; then
		"$TOOLS/churn" verify "$M/acct/table/record" "$WORK/notes" ||
			fail "after the kill of round $((round - 1))"
	fi
	lines=$(noted)
	"$TOOLS/churn" write "$M/acct/table/record" "$WORK/notes" \
		"$((SEED * 1000 + round))" 1000000 >"$WORK/churn.out" 2>&1 &
	writer=$!
	echo "$writer" >>"$WORK/pids"
	wait_for 20 begun || fail "the writer does not begin: $(cat "$WORK/churn.out")"
	printf -v delay '0.%03d' "$((RANDOM % 400))"
	sleep "$delay"
	if [ $((round % 2)) = 0 ]; then
		fs_kill fs stale
	else
		fs_kill fs
	fi
	wait "$writer" && fail "the writer noticed nothing: $(cat "$WORK/churn.out")"
	[ "$(queued)" = 0 ] || some=$((some + 1))
done
note "$(grep -c '^A' "$WORK/notes") acknowledged steps, $some of $ROUNDS kills with a queue"
[ "$some" -gt 0 ] || fail "never was anything queued"

step "another kind of mount takes the last queue over"
fs_start fs "$S" "$M"
"$TOOLS/churn" verify "$M/acct/table/record" "$WORK/notes" || fail "after the last kill"
wait_for 60 none_queued || fail "$(queued) still queued"
"$TOOLS/churn" verify "$M/acct/table/record" "$WORK/notes" || fail "after all is stored"
fs_stop fs
equal "" "$(find "$S/spool" -mindepth 1 -not -name kept)" "left in the spool"
fs_start fs "$S" "$M"
"$TOOLS/churn" verify "$M/acct/table/record" "$WORK/notes" || fail "from the store"
fs_stop fs
equal "" "$(sql "$S" "SELECT space_key, file_key, count(*) FROM filespace_file
	WHERE deleted_at IS NULL OR deleted_at = 0
	GROUP BY space_key, file_key HAVING count(*) > 1")" "keys with two live rows"
check_store "$S"
