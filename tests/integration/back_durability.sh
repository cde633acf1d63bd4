#!/usr/bin/env bash
# mount.commit = back: the order of what makes a promise durable, by a recorder
# of system calls, and what happens when one of them fails.
# TIMEOUT 120
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
need sqlite3 sqlite3
S=$WORK/store
M=$WORK/mnt
. "$TOP/tests/lib/durable.sh"

record_calls
store_init "$S"
fs_start fs "$S" "$M" -o mount.commit=back
mkdir -p "$D"

all_traced() { # all_traced COMMAND...: and what comes after the answer
	all_stored "$S"
	traced "$@"
	all_stored "$S"
}
J="$S/spool/[0-9a-f]*/journal"
W="$S/spool/[0-9a-f]*/w-[0-9]*"

step "a small file: one sync of the journal, before close() returns"
"$OP" open "$D/first" wct write first close >/dev/null
all_traced "$OP" open "$D/small" wct write "small text" close
[ "$(first "^write $J = 0\$")" -gt 0 ] || fail "nothing was written to the journal"
[ "$(first "^fsync $J = 0\$")" -gt "$(first "^write $J = 0\$")" ] || fail "synced before it was written"
[ "$(first "^fsync $J = 0\$")" -lt "$(first '^returned')" ] || fail "the answer came before the journal was synced"
equal 0 "$(first "^fsync $W = 0\$")" "the content is in the journal, and was synced by itself"

step "a large file: content, directory, journal; it goes only when its end is synced"
all_traced "$OP" open "$D/large" wct fill 500000 1 close
content=$(first "^fsync $W = 0\$")
dir=$(first "^fsync $S/spool/[0-9a-f]* = 0\$")
journal=$(first "^fsync $J = 0\$")
[ "$content" -gt 0 ] && [ "$content" -lt "$dir" ] && [ "$dir" -lt "$journal" ] &&
	[ "$journal" -lt "$(first '^returned')" ] ||
	fail "content $content, directory $dir, journal $journal, answer $(first '^returned')"
end=$(last "^fsync $J = 0\$")
gone=$(first "^(unlink|rename) $W")
[ "$gone" -gt "$end" ] || fail "content went in line $gone, its end was synced in $end"
row=$(last "^fsync $S/meta.db-wal = 0\$")
[ "$row" -gt 0 ] && [ "$row" -lt "$end" ] || fail "the end was written before the row was durable"

step "the journal cannot be synced: the file is stored before close() returns"
fault "fsync journal 1 EIO"
"$OP" open "$D/unsynced" wct write "not in the journal" close >"$WORK/out" ||
	fail "$(xargs <"$WORK/out")"
fault_fired
[ -n "$(hash_of "$S" unsynced)" ] || fail "close() returned, and it is nowhere"
fs_stop fs

step "an error that does not pass: what was promised is kept, and listed"
fs_start fs "$S" "$M" -o mount.commit=back
printf 'the old text' >"$D/victim"
all_stored "$S"
fault "fsync objects/ 1 EIO"
"$OP" open "$D/victim" wct write "the new text" close >"$WORK/out" ||
	fail "$(xargs <"$WORK/out")"
all_stored "$S"
fault_fired
equal 1 "$(kept)" "kept contents"
"$CTL" -s "$S" status >"$WORK/status"
grep -q 'acct/table/record/victim .*12 .*Input/output error' "$WORK/status" ||
	fail "status: $(cat "$WORK/status")"
equal "the new text" "$(cat "$S"/spool/kept/*.data)" "what was kept"
equal "the old text" "$(cat "$D/victim")" "the file has what is live"
grep -q 'close() had promised cannot be stored' "$WORK/fs.log" || fail "no line in the log"
printf 'and goes on' >"$D/victim"
all_stored "$S"
equal "and goes on" "$(cat "$D/victim")" "written again"

step "a new file that cannot be stored is not there"
fault "fsync objects/ 1 EIO"
"$OP" open "$D/stub" wct write "stub text" close >"$WORK/out" || fail "$(xargs <"$WORK/out")"
all_stored "$S"
fault_fired
wait_for 20 test ! -e "$D/stub" || fail "an empty file is left: $(ls -l "$D/stub")"
equal 2 "$(kept)" "kept contents"
fs_stop fs
check_store "$S"
