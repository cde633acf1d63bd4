#!/usr/bin/env bash
# What the kernel keeps: a warm listing asks nothing, and what another mount, PHP
# or SQL by hand changes shows as soon as it was heard of.
# TIMEOUT 180
# TAKES 20 25
# BACKENDS embedded servers
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
need getfattr attr
need python3 python3
S=$WORK/store
A=$WORK/a
B=$WORK/b
R=acct/table/record

fact() { getfattr --absolute-names --only-values -n "user.filespace.$2" "$1"; }
current() { equal yes "$(fact "$1" current)" "current"; }
# All statements but those that ask for changes: one each, a round trip.
trips() { fact "$1" traffic | sed 's/.*, \([0-9]*\) round trips;.*/\1/'; }
shown() { find "$1" -mindepth 1 -printf '%P\n' | sort | xargs; }

fs_start one "$S" "$A" -o mount.cache_time=1h
fs_start two "$S" "$B" -o mount.cache_time=1h
mkdir -p "$A/$R/sub"
for i in $(seq 40); do echo "$i" >"$A/$R/f$i"; done
current "$B"

cat >"$WORK/list.py" <<'PY'
import os, sys
for i in range(int(sys.argv[2])):
    n = sum(1 for e in os.scandir(sys.argv[1])
            if e.stat(follow_symlinks=False))
print(n)
PY

step "a warm listing asks nothing"
for i in 1 2 3; do
	equal 41 "$(python3 "$WORK/list.py" "$B/$R" 1)" "entries"
done
before=$(trips "$B")
equal 41 "$(python3 "$WORK/list.py" "$B/$R" 3000)" "entries"
n=$(($(trips "$B") - before))
note "$n round trips for 3,000 listings"
# At most five a second for the journal, and never one for each listing.
[ "$n" -lt 500 ] || fail "$n round trips"

step "once no change is told any more, the kernel does not ask this daemon either"
listings() { fact "$1" traffic | sed 's/.*; kernel \([0-9]*\) listings.*/\1/'; }
none_asked() {
	local before
	before=$(listings "$B")
	[ "$before" -gt 0 ] || fail "nothing was counted: $(fact "$B" traffic)"
	equal 41 "$(python3 "$WORK/list.py" "$B/$R" 200)" "entries"
	equal 41 "$(ls "$B/$R" | wc -l)" "entries"
	[ "$before" = "$(listings "$B")" ]
}
wait_for 2 none_asked || fail "the kernel asks for what it could keep: $(fact "$B" traffic)"

step "what another mount does"
echo new >"$A/$R/new"
current "$B"
[ -e "$B/$R/new" ] || fail "a new name is not there"
equal 42 "$(python3 "$WORK/list.py" "$B/$R" 1)" "with a new name"
rm "$A/$R/new"
mv "$A/$R/f1" "$A/$R/sub/g1"
current "$B"
equal 40 "$(python3 "$WORK/list.py" "$B/$R" 1)" "after a removal and a move"
equal g1 "$(ls "$B/$R/sub")" "moved"
chmod 600 "$A/$R/f2"
printf longer >>"$A/$R/f3"
current "$B"
equal "600 8" "$(stat -c %a "$B/$R/f2") $(stat -c %s "$B/$R/f3")" "attributes"
rm -r "$A/$R/sub"
mkdir "$A/$R/sub"
current "$B"
equal "" "$(ls "$B/$R/sub")" "another directory of that name"

step "directories that others rename are followed"
mkdir -p "$A/$R/one/deep"
echo x >"$A/$R/one/deep/x"
equal "deep deep/x" "$(shown "$B/$R/one")" "before"
equal "deep deep/x" "$(shown "$B/$R/one")" "before, kept"
mv "$A/$R/one" "$A/$R/two"
current "$B"
equal "deep deep/x" "$(shown "$B/$R/two")" "renamed"
echo y >"$A/$R/two/deep/y"
current "$B"
equal "deep deep/x deep/y" "$(shown "$B/$R/two")" "changed below the new name"
[ ! -e "$B/$R/one" ] || fail "the old name is still there"
# Renamed and changed at once, to where the other mount knows nothing.
mkdir -p "$A/other/t/r"
mv "$A/$R/two" "$A/other/t/r/three"
echo z >"$A/other/t/r/three/deep/z"
rm "$A/other/t/r/three/deep/x"
current "$B"
equal "deep deep/y deep/z" "$(shown "$B/other/t/r/three")" "far away"

step "what PHP does, in directories that only its rows make"
php_row() { # php_row SPACE KEY
	sql "$S" "INSERT INTO filespace_file (space_key, file_key, data_hash, created_at, size_original, size_storage) VALUES ('$1', '$2', 'da39a3ee5e6b4b0d3255bfef95601890afd80709', 1500000000, 5, 5)"
}
equal "acct other" "$(ls "$B" | xargs)" "accounts"
equal "acct other" "$(ls "$B" | xargs)" "accounts, kept"
php_row php.t.r d/e/f
current "$B"
equal "acct other php" "$(ls "$B" | xargs)" "with PHP's"
equal "t t/r t/r/d t/r/d/e t/r/d/e/f" "$(shown "$B/php")" "all of it"
equal "t t/r t/r/d t/r/d/e t/r/d/e/f" "$(shown "$B/php")" "all of it, kept"
php_row php.t.r d/e/g
current "$B"
equal "f g" "$(ls "$B/php/t/r/d/e" | xargs)" "one more"
sql "$S" "UPDATE filespace_file SET deleted_at = 1500000001 WHERE space_key = 'php.t.r' AND deleted_at = 0"
current "$B"
[ ! -e "$B/php/t/r/d/e" ] || fail "a directory without rows"
equal "acct other" "$(ls "$B" | xargs)" "and the directories with them"

step "versions are never kept"
equal 1 "$(ls "$B/$R/.versions/f9" | wc -l)" "one version"
for i in 2 3 4; do
	echo "version $i" >"$B/$R/f9"
	equal "$i" "$(ls "$B/$R/.versions/f9" | wc -l)" "versions"
done

step "positions hold while a directory changes"
cat >"$WORK/seek.py" <<'PY'
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
class Dirent(ctypes.Structure):
    _fields_ = [("ino", ctypes.c_uint64), ("off", ctypes.c_int64),
                ("len", ctypes.c_ushort), ("type", ctypes.c_ubyte),
                ("name", ctypes.c_char * 256)]
libc.opendir.restype = ctypes.c_void_p
libc.readdir.restype = ctypes.POINTER(Dirent)
libc.telldir.restype = ctypes.c_long
libc.readdir.argtypes = libc.telldir.argtypes = [ctypes.c_void_p]
libc.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]
path = sys.argv[1]
d = libc.opendir(path.encode())
at, names = [], []
while True:
    pos = libc.telldir(d)
    e = libc.readdir(d)
    if not e:
        break
    at.append(pos)
    names.append(e.contents.name)
assert len(names) == len(set(names)), names
half = len(names) // 2
victim = next(n for n in names[:half] if n.startswith(b"f"))
os.unlink(os.path.join(path.encode(), victim))
for i in range(half, len(names)):
    libc.seekdir(d, at[i])
    assert libc.readdir(d).contents.name == names[i], names[i]
libc.seekdir(d, at[half])
rest = []
while True:
    e = libc.readdir(d)
    if not e:
        break
    rest.append(e.contents.name)
assert rest == names[half:], (rest, names[half:])
print("ok")
PY
equal ok "$(python3 "$WORK/seek.py" "$B/$R")" "seekdir"
equal ok "$(python3 "$WORK/seek.py" "$A/$R")" "seekdir"

fs_stop one
fs_stop two
sql "$S" "DELETE FROM filespace_file WHERE space_key = 'php.t.r'"      # no objects
check_store "$S"
