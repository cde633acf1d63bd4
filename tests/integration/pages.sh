#!/usr/bin/env bash
# What a file that stays open shows of other mounts' changes: never zeros in
# place of bytes, and never the old content for good.
# TIMEOUT 200
# TAKES 20 48
# BACKENDS embedded servers
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
need python3 python3
A=$WORK/a
B=$WORK/b
fs_start one "$WORK/store" "$A"
fs_start two "$WORK/store" "$B"
mkdir -p "$A/x/y/z"

# Reads FILE through one descriptor and one that is opened again and again, both
# at once, until the file END is there.
cat >"$WORK/watch.py" <<'PY'
import os, sys, threading
path, end, mark = sys.argv[1:4]
bad = []

def until_end(step):
    def run():
        while not os.path.exists(end) and not bad:
            step()
    return run

blips = []

# A kernel that is held up between taking a page and asking for the size copies
# the old page up to the new size, once. Twice in a row, or often, it is ours.
def check(read, who):
    data = read()
    if b"\0" not in data:
        return data
    blips.append(f"{who}: a zero at {data.index(0)} of {len(data)}")
    data = read()
    if b"\0" in data or len(blips) > 2:
        bad.append(f"{blips[-1]}; then {data.find(0)} of {len(data)}")
    return data

kept = os.open(path, os.O_RDONLY)

def read_kept():
    check(lambda: os.pread(kept, 1 << 20, 0), "the kept descriptor")

def read_fresh():
    # What is committed before an open is there after it. At the second look:
    # the kernel marks attributes as fresh a moment before it sets the size, and
    # the other thread may be just there.
    least = os.stat(mark).st_size
    fd = os.open(path, os.O_RDONLY)
    for _ in range(2):
        size = os.fstat(fd).st_size
        data = check(lambda: os.pread(fd, 1 << 20, 0), "a fresh descriptor")
        if size >= least and len(data) >= least:
            break
    os.close(fd)
    if size < least or len(data) < least:
        bad.append(f"a fresh descriptor: {size}, {len(data)} of at least {least} bytes")

threads = [threading.Thread(target=until_end(s)) for s in (read_kept, read_fresh)]
for t in threads:
    t.start()
for t in threads:
    t.join()
if bad:
    sys.exit(bad[0])
PY

# Appends through another mount; MARK, on the local disk, gets the size that is
# committed. Each time it waits until the READER's path shows it: a kernel that
# is held up between two steps of its own, for as long as a whole commit, can
# cut a page that is newer.
cat >"$WORK/grow.py" <<'PY'
import os, sys, time
path, mark, n = sys.argv[1], sys.argv[2], int(sys.argv[3])
reader = sys.argv[4] if len(sys.argv) > 4 else None
for i in range(n):
    line = b"%d " % i * (1 + i % 7) + b"\n"
    with open(path, "ab", buffering=0) as f:
        f.write(line)
    size = os.stat(path).st_size
    os.truncate(mark, size)
    while reader and os.stat(reader).st_size < size:
        time.sleep(0.001)
PY

step "a reader of what another mount appends to sees no zeros"
for i in 1 2 3; do
	printf 'start\n' >"$A/x/y/z/grow$i"
	: >"$WORK/mark"
	rm -f "$WORK/end"
	python3 "$WORK/watch.py" "$A/x/y/z/grow$i" "$WORK/end" "$WORK/mark" & watcher=$!
	python3 "$WORK/grow.py" "$B/x/y/z/grow$i" "$WORK/mark" 150 "$A/x/y/z/grow$i"
	touch "$WORK/end"
	wait "$watcher" || fail "the reader saw it, round $i"
	equal "$(sha1sum <"$B/x/y/z/grow$i")" "$(sha1sum <"$A/x/y/z/grow$i")" "both mounts at the end"
done

step "nor while this mount appends, too"
printf 'start\n' >"$A/x/y/z/both"
: >"$WORK/mark"
rm -f "$WORK/end"
python3 "$WORK/watch.py" "$A/x/y/z/both" "$WORK/end" "$WORK/mark" & watcher=$!
: >"$WORK/mark.b"
: >"$WORK/mark.a"
python3 "$WORK/grow.py" "$B/x/y/z/both" "$WORK/mark.b" 100 & other=$!
python3 "$WORK/grow.py" "$A/x/y/z/both" "$WORK/mark.a" 100
wait "$other"
touch "$WORK/end"
wait "$watcher" || fail "the reader saw it"
equal 201 "$(wc -l <"$A/x/y/z/both")" "lines of both"
equal "$(sha1sum <"$B/x/y/z/both")" "$(sha1sum <"$A/x/y/z/both")" "both mounts at the end"

step "an overwrite of the same size reaches what is open and mapped"
cat >"$WORK/same.py" <<'PY'
import mmap, os, sys, time
a, b = sys.argv[1:3]
with open(a, "w") as f:
    f.write("old " * 3000)
fd = os.open(a, os.O_RDONLY)
m = mmap.mmap(fd, 0, prot=mmap.PROT_READ)
assert m[:4] == b"old " and os.pread(fd, 4, 8000) == b"old "
before = os.fstat(fd)
with open(b, "r+") as f:
    f.write("new " * 3000)
# Asking for attributes is enough; nobody opens it. The kernel asks us once
# attr_timeout is over.
until = time.monotonic() + 20
while os.pread(fd, 4, 8000) != b"new " and time.monotonic() < until:
    st = os.fstat(fd)
    time.sleep(0.02)
assert os.pread(fd, 4, 8000) == b"new ", "the descriptor shows the old content"
assert m[:4] == b"new ", "the mapping shows the old content"
while os.fstat(fd).st_mtime_ns == before.st_mtime_ns and time.monotonic() < until:
    time.sleep(0.02)
assert os.fstat(fd).st_mtime_ns != before.st_mtime_ns, "the old mtime"
# By a look-up, too: stat(2) of the path.
with open(b, "r+") as f:
    f.write("NEW " * 3000)
while m[:4] != b"NEW " and time.monotonic() < until:
    os.stat(a)
    time.sleep(0.02)
assert m[:4] == b"NEW ", "the mapping shows the old content after a look-up"
PY
python3 "$WORK/same.py" "$A/x/y/z/same" "$B/x/y/z/same" || fail "same size"

fs_stop one
fs_stop two
check_store "$WORK/store"
