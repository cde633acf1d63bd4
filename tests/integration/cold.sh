#!/usr/bin/env bash
# What programs that want a little of a large file that nobody has read yet make
# us fetch: tail and head, the directory of a zip archive and one of its members,
# a film whose index is at its end, and single reads wherever they begin.
# TIMEOUT 240
# TAKES 12 20
# BACKENDS embedded servers
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
need python3 python3
S=$WORK/store
M=$WORK/mnt
R=acct/table/rec
MB=96
! on_servers || MB=32

cat >"$WORK/make.py" <<'PY'
import random, struct, sys, zipfile
mb, top = int(sys.argv[1]), sys.argv[2]
r = random.Random(20150508)
with zipfile.ZipFile(top + "/scans.zip", "w") as z:
    for i in range(mb):
        z.writestr("page-%03d.jpg" % i, r.randbytes(1 << 20))
        z.writestr("page-%03d.txt" % i, "page %03d, " % i * 300)

def box(kind, body):
    return struct.pack(">I4s", 8 + len(body), kind) + body
with open(top + "/film.mp4", "wb") as f:
    f.write(box(b"ftyp", b"isom\0\0\2\0isomiso2avc1mp41"))
    f.write(struct.pack(">I4sQ", 1, b"mdat", 16 + (mb << 20)))
    for i in range(mb):
        f.write(r.randbytes(1 << 20))
    f.write(box(b"moov", r.randbytes(300000)))
PY
python3 "$WORK/make.py" "$MB" "$WORK"
store_init "$S"
for how in zstd none; do
	fs_start fs "$S" "$M" -o "general.compression=$how"
	mkdir -p "$M/$R"
	case $how in
	zstd) cp "$WORK/scans.zip" "$M/$R" ;;
	none) cp "$WORK/film.mp4" "$M/$R" ;;
	esac
	fs_stop fs
done
for f in scans.zip film.mp4; do
	stored=$(object_size "$S" "$(hash_of "$S" "$f")")
	[ "$stored" -ge $((MB << 20)) ] || fail "the sample is too small: $f has $stored bytes"
done

cat >"$WORK/read.py" <<'PY'
import os, re, struct, subprocess, sys, zipfile
how, mount, top, plain = sys.argv[1:]

def down():
    text = os.getxattr(mount, "user.filespace.traffic").decode()
    return int(re.search(r"(\d+) bytes down", text)[1])

def same(name, off, got):
    with open(os.path.join(plain, name), "rb") as f:
        f.seek(off)
        if not got or f.read(len(got)) != got:
            sys.exit("%s: bytes at %d differ" % (name, off))

def archive():
    with zipfile.ZipFile(top + "/scans.zip") as z:
        name = z.namelist()[len(z.namelist()) // 2 | 1]
        text = z.read(name)
    if text != (b"page %s, " % name[5:8].encode()) * 300:
        sys.exit("%s is %r" % (name, text[:40]))
    # What Python reads at once, and as much again; the directory and the end.
    return (2 << 20) + 5 * 256000

def film():
    """To its index, which is at the end; three looks into it, then it plays."""
    f = open(top + "/film.mp4", "rb", buffering=65536)
    at, index = 0, None
    while index is None:
        f.seek(at)
        size, kind, large = struct.unpack(">I4sQ", f.read(16))
        if kind == b"moov":
            f.seek(at)
            index = f.read(size)
            same("film.mp4", at, index)
        elif kind not in (b"ftyp", b"mdat"):
            sys.exit("a box of sort %r at %d" % (kind, at))
        else:
            at += large if size == 1 else size
    for part, n in ((2, 256), (5, 256), (3, 256), (6, 2048)):
        at = os.path.getsize(plain + "/film.mp4") * part // 8
        f.seek(at)
        same("film.mp4", at, f.read(n << 10))
    # Two blocks for each place; of what plays twice as much is ahead, at the most.
    return 6 * 256000 + len(index) + (3 * 256 + 3 * 2048 << 10)

def ends():
    for name in ("scans.zip", "film.mp4"):
        size = os.path.getsize(os.path.join(plain, name))
        for tool, off in (("head", 0), ("tail", size - 1000)):
            same(name, off, subprocess.run([tool, "-c", "1000", os.path.join(top, name)],
                                           stdout=subprocess.PIPE, check=True).stdout)
    return 4 * 256000

def single():
    """Each where nobody was before, half of them across two blocks."""
    most, block = 0, 126976
    for name in ("scans.zip", "film.mp4"):
        for i in range(16):
            off = (10 + 12 * i) * block + (block - 2048 if i % 2 else 4321 * i)
            before = down()
            fd = os.open(os.path.join(top, name), os.O_RDONLY)
            same(name, off, os.pread(fd, 4096, off))
            os.close(fd)
            n = down() - before
            if not 0 < n <= 256000:
                sys.exit("%d bytes for 4 KB at %d of %s" % (n, off, name))
            most = max(most, n)
    if most < 250000:
        sys.exit("no read was across two blocks, or none of noise: %d" % most)
    return 32 * 256000

before = down()
most = globals()[how]()
n = down() - before
print("   %d bytes, at most %d" % (n, most))
if not 0 < n <= most:
    sys.exit("%d bytes were fetched, at most %d expected" % (n, most))
PY

export KEEP_CACHE=1
for how in ends archive film single; do
	step "$how"
	cache_drop "$S"
	fs_start fs "$S" "$M"
	timeout 100 python3 "$WORK/read.py" "$how" "$M" "$M/$R" "$WORK" || fail "$how"
	fs_stop fs
done
check_store "$S"
