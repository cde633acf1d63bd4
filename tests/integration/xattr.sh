#!/usr/bin/env bash
# Extended attributes, the facts, ids that differ, and merged commits.
# TIMEOUT 120
# BACKENDS embedded servers
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
need setfattr attr
need setfacl acl
need rsync rsync
need python3 python3
A=$WORK/a
B=$WORK/b
fs_start one "$WORK/store" "$A"
fs_start two "$WORK/store" "$B"
R=acct/table/rec
mkdir -p "$A/$R"
echo hello >"$A/$R/f"

step "what applications set is there on the other mount, and goes"
setfattr -n user.comment -v "a text" "$A/$R/f"
setfattr -n user.binary -v 0x00ff00 "$A/$R/f"
setfattr -n user.empty "$A/$R"
equal "a text" "$(getfattr --only-values -n user.comment "$B/$R/f")" "a value"
equal 0x00ff00 "$(getfattr -e hex -n user.binary "$B/$R/f" | sed -n 's/^user.binary=//p')" "a binary value"
equal "user.binary user.comment" "$(getfattr "$B/$R/f" | sed -n 's/^user/user/p' | xargs)" "the list"
mv "$A/$R/f" "$A/$R/g"
equal "a text" "$(getfattr --only-values -n user.comment "$A/$R/g")" "after a rename"
cp -a "$A/$R/g" "$A/$R/copy"
equal "a text" "$(getfattr --only-values -n user.comment "$A/$R/copy")" "cp -a takes them along"
setfattr -x user.comment "$A/$R/g"
must_say "No such attribute" getfattr -n user.comment "$A/$R/g"
must_say "No such attribute" setfattr -x user.comment "$A/$R/g"
must_say "not supported" setfattr -n security.x -v y "$A/$R/g"
touch "$A/$R/much"
must_say "No space left" python3 -c "import os; [os.setxattr('$A/$R/much', f'user.n{i}', b'x' * 30000) for i in range(3)]"
rm "$A/$R/much"
equal 0 "$(sql "$WORK/store" "select count(*) from fsp_xattr where name like 'user.n%'")" "attributes of what is gone"

step "facts: answered, not listed, read-only"
want=$(printf 'hello\n' | sha256sum | cut -d ' ' -f 1)
equal "$want" "$(getfattr --only-values -n user.filespace.hash "$A/$R/g")" hash
equal acct.table.rec "$(getfattr --only-values -n user.filespace.space "$A/$R/g")" space
equal g "$(getfattr --only-values -n user.filespace.key "$A/$R/g")" key
equal "$(object_size "$WORK/store" "$want")" "$(getfattr --only-values -n user.filespace.stored_size "$A/$R/g")" "stored size"
equal "$(sql "$WORK/store" "select id from filespace_file where file_key='g' and deleted_at=0")" \
	"$(getfattr --only-values -n user.filespace.version "$A/$R/g")" version
health=$(getfattr --only-values -n user.filespace.health "$A")
since='ok since 2[0-9-]*T[0-9:]*Z'
grep -q "^database $since; objects $since; spool $since; content $since; writable\$" <<<"$health" ||
	fail "health: $health"
"$CTL" -s "$WORK/store" status | grep -qxF "Health     $A: $health" ||
	fail "status: $("$CTL" -s "$WORK/store" status)"
must_say "not permitted" setfattr -n user.filespace.hash -v x "$A/$R/g"
mkdir "$WORK/src"
cp -a "$A/$R/." "$WORK/src/" 2>/dev/null || true
equal "" "$(rsync -aX --checksum --dry-run --itemize-changes "$A/$R/" "$WORK/src/")" "rsync -X has nothing to do"

step "ACLs are refused, and their absence is told"
mkdir -p "$WORK/acl/d"
echo disk >"$WORK/acl/f"
setfacl -m u:1001:rw "$WORK/acl/f" && setfacl -d -m u:1001:rwx "$WORK/acl/d" ||
	fail "no ACLs on the disk below $WORK"
chmod 640 "$A/$R/g"
must_say "not supported" setfacl -m u:1001:rw "$A/$R/g"
must_say "not supported" setfacl -d -m u:1001:rw "$A/$R"
setfacl -b "$A/$R/g"
setfacl -k "$A/$R"
equal "user::rw- group::r-- other::---" "$(getfacl -cEp "$A/$R/g" | xargs)" "the mode as an ACL"
equal -rw-r----- "$(ls -l "$A/$R/g" | cut -d ' ' -f 1)" "no + behind the mode"
must_say "not supported" cp -a "$WORK/acl" "$A/$R/by-cp"
must_say "not supported" rsync -aA "$WORK/acl/" "$A/$R/by-rsync"
for by in cp rsync; do
	equal disk "$(cat "$A/$R/by-$by/f")" "what $by copies all the same"
	equal "$(stat -c %a "$WORK/acl/f")" "$(stat -c %a "$A/$R/by-$by/f")" "the mode by $by"
done
# What has none to lose goes without a word.
rm -r "$WORK/acl"
for copy in "cp -a" "rsync -aA"; do
	$copy "$A/$R/by-cp" "$WORK/acl" >"$WORK/copy.out" 2>&1 || fail "$copy: $(cat "$WORK/copy.out")"
	equal "" "$(cat "$WORK/copy.out")" "$copy"
done
same_tree "$A/$R/by-cp" "$WORK/acl/by-cp"

step "two mounts write one file: ranges and appends of both are kept"
cat >"$WORK/merge.py" <<'PY'
import os, sys
a, b = sys.argv[1], sys.argv[2]
def put(path, data):
    with open(path, "wb") as f: f.write(data)
def get(path):
    with open(path, "rb") as f: return f.read()
# ranges
put(a, b"0123456789" * 1000)
fa, fb = os.open(a, os.O_RDWR), os.open(b, os.O_RDWR)
os.pwrite(fa, b"AAAA", 10); os.pwrite(fb, b"BBBB", 5000); os.pwrite(fb, b"bb", 12)
os.close(fa); os.close(fb)
want = bytearray(b"0123456789" * 1000); want[10:14] = b"AAAA"; want[5000:5004] = b"BBBB"; want[12:14] = b"bb"
assert get(a) == want == get(b), "ranges"
# appends
put(a, b"start\n")
fa, fb = os.open(a, os.O_WRONLY | os.O_APPEND), os.open(b, os.O_WRONLY | os.O_APPEND)
for i in range(5): os.write(fa, b"a%d\n" % i); os.write(fb, b"b%d\n" % i)
os.close(fa); os.close(fb)
got = get(b).split()
assert got[0] == b"start" and sorted(got) == sorted([b"start"] + [b"%c%d" % (c, i) for c in b"ab" for i in range(5)]), got
assert get(a) == get(b)
# a truncation to nothing replaces
fa, fb = os.open(a, os.O_RDWR), os.open(b, os.O_WRONLY | os.O_TRUNC)
os.pwrite(fa, b"XX", 0); os.close(fa); os.write(fb, b"new"); os.close(fb)
assert get(a) == b"new", get(a)
# a cut file stays cut, and what is written beyond stays in its place
put(a, b"0123456789")
fa, fb = os.open(a, os.O_RDWR), os.open(b, os.O_RDWR)
os.pwrite(fb, b"ZZ", 8); os.ftruncate(fa, 4); os.close(fb); os.close(fa)
assert get(a) == b"0123", get(a)
PY
python3 "$WORK/merge.py" "$A/$R/shared" "$B/$R/shared" || fail "a merge"
ctl_check=$("$CTL" -s "$WORK/store" check) || fail "$ctl_check"
fs_stop two
fs_stop one

step "ids that differ: uid=, gid=, umask=, squash"
[ "$(id -u)" = 0 ] || skip "not root: other users and ids were not tried"
as() { # as UID GID COMMAND...
	setpriv --reuid "$1" --regid "$2" --clear-groups "${@:3}"
}
chmod 755 "$WORK" "$WORK/.." "$WORK/../.."
fs_start three "$WORK/store" "$A" -o uid=33,gid=34,umask=027,squash=all,anonuid=1000,anongid=1001
echo x >"$A/$R/squashed"
equal "33:34 640" "$(stat -c '%u:%g %a' "$A/$R/squashed")" "as it is shown"
chown 33:34 "$A/$R/squashed"
must_say "not permitted" chown 5 "$A/$R/squashed"

step "who may what goes by what is shown"
as 33 5 sh -c 'echo mine >"$1/mine"; echo more >>"$1/squashed"' sh "$A/$R"
equal "33:34 640" "$(stat -c '%u:%g %a' "$A/$R/mine")" "made by whom uid= shows"
equal "x more" "$(xargs <"$A/$R/squashed")" "written by whom uid= shows"
equal mine "$(as 5 34 cat "$A/$R/mine")" "read by the group that gid= shows"
must_say "denied" as 5 34 sh -c 'echo no >>"$1"' sh "$A/$R/mine"
must_say "denied" as 5 34 touch "$A/$R/new"
must_say "not permitted" as 5 34 chmod 666 "$A/$R/mine"
must_say "denied" as 5 34 rm "$A/$R/mine"
# 1000 owns it in the store, which nobody here is shown.
must_say "denied" as 1000 1001 cat "$A/$R/mine"
must_say "denied" as 1000 1001 ls "$A"
as 33 5 mv "$A/$R/mine" "$A/$R/still-mine"
fs_stop three

fs_start four "$WORK/store" "$A"
equal "1000:1001 644" "$(stat -c '%u:%g %a' "$A/$R/squashed")" "as it is stored"
equal "1000:1001 644" "$(stat -c '%u:%g %a' "$A/$R/still-mine")" "stored by somebody else"
equal mine "$(as 5 5 cat "$A/$R/still-mine")" "what umask= does not hide here"
as 1000 5 chmod 4777 "$A/$R/still-mine"
printf x >"$A/$R/setuid"
chmod 4777 "$A/$R/setuid"
fs_stop four

fs_start five "$WORK/store" "$A" -o umask=027,allow_other
equal 4750 "$(stat -c %a "$A/$R/setuid")" "setuid, as it is shown"
chown 65534 "$A/$R/setuid"              # the kernel clears it
equal 750 "$(stat -c %a "$A/$R/setuid")" "cleared"
chmod 700 "$A/$R/squashed"
equal 700 "$(stat -c %a "$A/$R/squashed")" "changed under umask="
must_say "denied" as 5 5 cat "$A/$R/still-mine"
must_say "denied" as 5 1001 ls "$A"
fs_stop five

fs_start six "$WORK/store" "$A" -o squash=root,anonuid=1002,anongid=1003
equal 777 "$(stat -c %a "$A/$R/setuid")" "cleared, and what umask= hides is as before"
equal 704 "$(stat -c %a "$A/$R/squashed")" "changed where it was shown"
mkdir "$A/$R/roots"
echo root >"$A/$R/roots/file"
ln -s file "$A/$R/roots/link"
mkfifo "$A/$R/roots/fifo"
equal "1002:1003" "$(stat -c %u:%g "$A/$R/roots"{,/file,/link,/fifo} | sort -u)" "root's are anonuid's"
chmod 777 "$A/$R/roots"
as 1000 1001 sh -c 'echo own >"$1/own"; chmod 600 "$1/own"' sh "$A/$R/roots"
equal "1000:1001 600" "$(stat -c '%u:%g %a' "$A/$R/roots/own")" "another's stay his"
must_say "denied" as 1002 1003 cat "$A/$R/roots/own"
as 1002 1003 sh -c 'echo anon >>"$1/file"' sh "$A/$R/roots"
# What root may do this machine's kernel decides.
echo root >>"$A/$R/roots/own"
equal "own root 1000" "$(xargs <"$A/$R/roots/own") $(stat -c %u "$A/$R/roots/own")" "written by root"
fs_stop six
fs_start seven "$WORK/store" "$A"
equal "1002:1003" "$(stat -c %u:%g "$A/$R/roots"{,/file,/link,/fifo} | sort -u)" "as they are stored"
fs_stop seven
