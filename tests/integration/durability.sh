#!/usr/bin/env bash
# The order in which a write becomes durable, recorded from the daemon itself,
# and what close() says when one of the steps fails. Over servers nothing of that
# is the daemon's own; durability_servers.sh shows what it says to them, and when.
# TIMEOUT 180
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
need sqlite3 sqlite3
S=$WORK/store
M=$WORK/mnt
. "$TOP/tests/lib/durable.sh"

record_calls
store_init "$S"
fs_start fs "$S" "$M"
mkdir -p "$D"

# The order of one commit: object, its name, the directory, the row, the answer.
commit_order() { # commit_order [new-dir]
	local rename temp synced dirsync wal answer
	answer=$(last '^returned')
	rename=$(last "^rename $S/objects/[^ ]* $S/objects/[0-9a-f]{64} = 0\$")
	[ "$rename" -gt 0 ] || fail "no object was renamed into place"
	temp=$(sed -n "${rename}p" "$TRACE" | cut -d ' ' -f 2)
	synced=$(last "^fsync $temp = 0\$")
	[ "$synced" -gt 0 ] && [ "$synced" -lt "$rename" ] ||
		fail "the object was not synced before its rename"
	[ "$(last "^write $temp = 0\$")" -lt "$synced" ] ||
		fail "the object was written after its fsync"
	dirsync=$(first_after "$rename" "^fsync $S/objects = 0\$")
	[ "$dirsync" -gt "$rename" ] || fail "the directory was not synced after the rename"
	wal=$(first_after "$dirsync" "^write $S/meta.db-wal = 0\$")
	[ "$wal" -gt "$dirsync" ] || fail "no row was written after the object was durable"
	wal=$(first_after "$wal" "^fsync $S/meta.db-wal = 0\$")
	[ "$wal" -gt 0 ] || fail "the row was not synced"
	[ "$wal" -lt "$answer" ] || fail "the answer came before the row was durable"
	[ "${1:-}" = new-dir ] ||
		[ "$(last "^write $S/meta.db-wal = 0\$")" -lt "$(last "^fsync $S/meta.db-wal = 0\$")" ] ||
		fail "rows were written after the last fsync"
}

# A new directory is given up when it is quiet, which is a row as well, at any time.
step "close() of a new file in a new directory"
traced "$OP" open "$D/f0" wct write "text zero" close
commit_order new-dir
given_up() {
	[ "$(sql "$S" "SELECT count(*) FROM fsp_node WHERE rdev <> 0")" = 0 ]
}
wait_for 10 given_up || fail "the directory is not given up"
step "close() of a new file"
traced "$OP" open "$D/f" wct write "first text" close
commit_order
step "close() of a new version"
traced "$OP" open "$D/f" wct write "second text" close
commit_order
step "fsync(), with the file still open"
traced "$OP" open "$D/g" wct write "third text" fsync
commit_order
step "close() of an empty new file: the name is durable, the row follows"
traced "$OP" open "$D/empty" wcx close
[ "$(last "^fsync $S/meta.db-wal = 0\$")" -gt "$(first "^write $S/meta.db-wal = 0\$")" ] ||
	fail "the name was not synced"
equal 1 "$(sql "$S" "SELECT count(*) FROM fsp_name WHERE name = 'empty' AND live = 1 AND owner IS NULL")" \
	"names that outlive the mount when close() has returned"
empty_row() {
	[ "$(sql "$S" "SELECT count(*) FROM filespace_file WHERE file_key LIKE '%empty' AND deleted_at = 0")" = 1 ]
}
wait_for 10 empty_row || fail "the empty file's row never came"
step "close() of a file that was emptied"
traced "$OP" open "$D/f" wt close
[ "$(last "^fsync $S/meta.db-wal = 0\$")" -gt "$(last "^write $S/meta.db-wal = 0\$")" ] ||
	fail "the row was not synced"
equal 1 "$(sql "$S" "SELECT count(*) FROM filespace_file WHERE file_key = 'f' AND deleted_at = 0 AND size_original = 0")" \
	"live empty rows when close() has returned"
step "a large file written in pieces"
traced dd if=/dev/urandom of="$D/h" bs=64k count=40 status=none
commit_order
step "content that is stored already: the row alone"
traced "$OP" open "$D/f2" wct write "second text" close
grep -q "objects" "$TRACE" && fail "the object store was written to: $(grep objects "$TRACE" | head -n 3)"
[ "$(last "^fsync $S/meta.db-wal = 0\$")" -gt "$(last "^write $S/meta.db-wal = 0\$")" ] ||
	fail "the row was not synced"
step "rename and chmod do not touch the objects"
traced mv "$D/f2" "$D/f3"
traced chmod 600 "$D/f3"
grep -q "objects" "$TRACE" && fail "the object store was written to"

# The error is not for ever: the next write goes through.
fails() { # fails FAULT ANSWER OP...
	local key text
	inject "$@"
	key=victim$victims
	text="new text $victims"
	printf '%s' "$text" >"$D/$key"
	equal "$text" "$(cat "$D/$key")" "written again after '$1'"
	equal "$text" "$(decode_object "$S" "$(hash_of "$S" "$key")")" "its object"
}

step "a step that fails: close() says so"
fails "fsync objects/.tmp 1 EIO" EIO close
fails "fsync objects 2 EIO" EIO close
fails "write objects/.tmp 1 ENOSPC" ENOSPC close
fails "fsync objects/.tmp 1 ENOSPC" ENOSPC close
fails "rename objects/ 1 EIO" EIO close
fails "fsync meta.db-wal 1 EIO" EIO close
fails "write meta.db-wal 1 ENOSPC" ENOSPC close

step "a step that fails: fsync() says so, and close() does not hide it"
fails "fsync objects/.tmp 1 EIO" EIO fsync close
step "the spool is full: write() or close() says so"
printf old >"$D/victim"
fault "write /spool/ 1 ENOSPC"
"$OP" open "$D/victim" wct write lost close >"$WORK/out" || true
fault_fired
grep -q ': ENOSPC$' "$WORK/out" || fail "got $(xargs <"$WORK/out")"
equal old "$(cat "$D/victim")" "the old version"
"$CTL" -s "$S" status >"$WORK/status"
grep -q 'acct/table/record/victim' "$WORK/status" || fail "status does not say what is kept"
fs_stop fs
check_store "$S"
