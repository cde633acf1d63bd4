# shellcheck shell=bash
# What the tests share that record the steps which make a write durable, and let
# one of them fail. TRACE has a line for each step, from whoever records them;
# what the file FAULT says goes wrong, and it is FAULT.fired then. The store is
# $S, the mount fs at $M. After lib.sh.
OP=$TOOLS/fsop
TRACE=$WORK/trace
FAULT=$WORK/fault
D=$M/acct/table/record

# The daemon's own calls below the store are what is recorded.
record_calls() {
	# shellcheck disable=SC2034 # lib.sh's
	FS_ENV=(LD_PRELOAD="$(preloaded preload_iotrace)" IOTRACE_OUT="$TRACE"
		IOTRACE_PREFIX="$S/" IOTRACE_FAULT="$FAULT")
}

traced() { # traced COMMAND...
	: >"$TRACE"
	"$@" >"$WORK/out" || fail "$* says $(xargs <"$WORK/out")"
	echo returned >>"$TRACE"
}

# Numbers of the lines in the trace that match, 0 for none.
matching() { grep -nE "$1" "$TRACE" || true; }
first_after() { # first_after LINE REGEX
	matching "$2" | awk -F : -v after="$1" '
		$1 > after && !n { n = $1 }
		END { print n + 0 }'
}
first() { first_after 0 "$1"; }
last() { matching "$1" | awk -F : '{ n = $1 } END { print n + 0 }'; }

fault() { # fault WHAT: from now on
	FAULT_SET=$1
	rm -f "$FAULT.fired"
	echo "$1" >"$FAULT"
}
# One that goes wrong many times need not have done so to the last.
fault_fired() {
	[ -e "$FAULT.fired" ] || [ "$(cat "$FAULT")" != "$FAULT_SET" ] ||
		fail "the fault '$FAULT_SET' never fired: $(xargs <"$WORK/out")"
	rm -f "$FAULT"
}

kept() { find "$S" -path '*/kept/*' -name '*.data' | wc -l; }
live() { # live FILE-KEY TEXT: how many live rows have that content
	sql "$S" "SELECT count(*) FROM filespace_file WHERE file_key = '$1' AND deleted_at = 0
		AND data_hash = '$(printf '%s' "$2" | sha256sum | cut -d ' ' -f 1)'"
}

# A fault while a victim gets a new version, and what is said then. "ok": it is
# there, once. Else the old one stays, and the new content is kept.
victims=0
inject() { # inject FAULT ANSWER OP...: the answer to the first of close, fsync
	local fault=$1 want=$2 key before kept old new
	shift 2
	victims=$((victims + 1))
	key=victim$victims
	old="old text $victims"
	new="new text $victims"
	printf '%s' "$old" >"$D/$key"
	before=$(rows "$S")
	kept=$(kept)
	fault "$fault"
	"$OP" open "$D/$key" wct write "$new" "$@" >"$WORK/out" || true
	fault_fired
	grep -q "^$1: $want\$" "$WORK/out" ||
		fail "'$fault': wanted $want, got $(xargs <"$WORK/out")"
	if [ "$want" = ok ]; then
		equal "$new" "$(cat "$D/$key")" "the new version after '$fault'"
		equal $((before + 1)) "$(rows "$S")" "rows after '$fault'"
		equal 1 "$(live "$key" "$new")" "live rows after '$fault'"
		equal "$kept" "$(kept)" "kept contents after '$fault'"
	else
		equal "$old" "$(cat "$D/$key")" "the old version after '$fault'"
		equal "$before" "$(rows "$S")" "rows after '$fault'"
		equal $((kept + 1)) "$(kept)" "kept contents after '$fault'"
		grep -rqlF "$new" "$S" --include='*.data' || fail "the new content was not kept"
	fi
	note "$fault -> $(xargs <"$WORK/out")"
}
