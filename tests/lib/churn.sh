# shellcheck shell=bash
# What the tests share that kill a mount while tests/tools/churn writes in it,
# again and again, and look at what its notes say was acknowledged. The store is
# $S, the mount fs at $M. After lib.sh.

# As often as the environment says, with the seed that it says.
churn_init() { # churn_init ROUNDS
	ROUNDS=${ROUNDS:-$1}
	SEED=${SEED:-$(($(date +%s) % 100000))}
	RANDOM=$SEED
	CHURN_DIR=$M/acct/table/record
	CHURN_NOTES=$WORK/notes
	echo "SEED=$SEED ROUNDS=$ROUNDS"
}

churn_verify() { # churn_verify WHEN
	"$TOOLS/churn" verify "$CHURN_DIR" "$CHURN_NOTES" || fail "$1"
}

churn_acked() { grep -c '^A' "$CHURN_NOTES" || true; }
churn_noted() { wc -l 2>/dev/null <"$CHURN_NOTES" || echo 0; }
churn_begun() { [ "$(churn_noted)" -gt "$1" ]; }

# What the last kill has left, then a writer, and a kill in the thick of it or,
# with "first", among its first operations. Every other dead mount stays: the
# next one has to take it away by itself.
churn_round() { # churn_round ROUND [first]
	local round=$1 lines writer delay stale=
	mkdir -p "$CHURN_DIR"
	[ ! -s "$CHURN_NOTES" ] || churn_verify "after the kill of round $((round - 1))"
	lines=$(churn_noted)
	"$TOOLS/churn" write "$CHURN_DIR" "$CHURN_NOTES" \
		"$((SEED * 1000 + round))" 1000000 >"$WORK/churn.out" 2>&1 &
	writer=$!
	echo "$writer" >>"$WORK/pids"
	if [ "${2:-}" = first ]; then
		printf -v delay '0.%03d' "$((RANDOM % 30))"
	else
		wait_for 20 churn_begun "$lines" ||
			fail "the writer does not begin: $(cat "$WORK/churn.out")"
		printf -v delay '0.%03d' "$((RANDOM % 400))"
	fi
	sleep "$delay"
	[ $((round % 2)) = 1 ] || stale=stale
	fs_kill fs "$stale"
	! wait "$writer" || fail "the writer noticed nothing: $(cat "$WORK/churn.out")"
}
