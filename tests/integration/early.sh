#!/usr/bin/env bash
# Large content is encoded while it is being written, and is right whatever
# happens to it before it is closed.
# TIMEOUT 400
# TAKES 30 20
# BACKENDS embedded servers
# CHECKED
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
need python3 python3
need openssl openssl
S=$WORK/store
A=$WORK/a
fs_start one "$S" "$A" -o log.level=debug
mkdir -p "$A/x/y/z"

# Writes 12 MiB and waits until some of it was encoded, then does as it is told.
cat >"$WORK/writer.py" <<'PY'
import glob, os, random, sys, time
how, path, spool = sys.argv[1:]
r = random.Random(how)
words = [bytes(r.choices(b"abcdefghij \n", k=28)) for _ in range(5000)]
data = bytearray(b"".join(r.choices(words, k=(12 << 20) // 28)))
fd = os.open(path, os.O_RDWR | os.O_CREAT)
at = 0
while at < len(data):
    at += os.pwrite(fd, data[at:at + (1 << 20)], at)

def encoded():      # besides the content itself something grows there
    sizes = sorted(os.path.getsize(f) for f in glob.glob(spool + "/*/w-*"))
    return len(sizes) > 1 and sizes[0] > 0

while not encoded():
    time.sleep(0.01)
if how.startswith("tail"):
    time.sleep(float(how[4:]))
elif how == "more":
    os.pwrite(fd, b"the end", len(data))
    data += b"the end"
elif how == "changed":
    os.pwrite(fd, b"changed", 100)
    data[100:107] = b"changed"
elif how == "cut":
    os.ftruncate(fd, 9 << 20)
    del data[9 << 20:]
elif how == "anew":
    os.ftruncate(fd, 0)
    data = data[::-1][:10 << 20]
    os.pwrite(fd, data, 0)
elif how == "damaged":      # what was not hashed yet: less than a megabyte
    w = max(glob.glob(spool + "/*/w-*"), key=os.path.getsize)
    with open(w, "r+b") as f:
        f.seek(len(data) - 1)
        f.write(bytes([data[-1] ^ 1]))
elif how == "twice":
    os.fsync(fd)
    os.pwrite(fd, b"and on", len(data))
    data += b"and on"
os.close(fd)
with open("want", "wb") as f:
    f.write(data)
PY

# The object itself, by stock tools.
object_is() { # object_is NAME FILE
	decode_object "$S" "$(hash_of "$S" "$1")" | cmp - "$2"
}

used() { grep -c 'bytes were encoded while they were written' "$WORK/one.log" || true; }

cases=(whole more twice changed cut anew)
! on_servers || cases=(whole cut)       # the object goes elsewhere, in parts
for how in "${cases[@]}"; do
	step "$how"
	before=$(used)
	timeout 60 python3 "$WORK/writer.py" "$how" "$A/x/y/z/$how" "$S/spool" ||
		fail "nothing is encoded while it is written"
	cmp "$WORK/want" "$A/x/y/z/$how" || fail "$how: another content"
	object_is "$how" "$WORK/want" || fail "$how: the object has another content"
	case $how in
	whole | more | twice) [ "$(used)" -gt "$before" ] || fail "$how: it was of no use" ;;
	esac
done
step "close() has only the tail to do, where the encoder had the time"
rest() { # rest: bytes of the last content that were not encoded early
	sed -n 's/.*debug: \([0-9]*\) of \([0-9]*\) bytes were encoded while.*/\2 \1/p' "$WORK/one.log" |
		tail -n 1 | { read -r all early; echo $((all - early)); }
}
for nap in 1 4 15 60; do                # on a machine that is busy, too
	timeout 150 python3 "$WORK/writer.py" "tail$nap" "$A/x/y/z/tail$nap" "$S/spool"
	note "$(rest) bytes were left"
	[ "$(rest)" -ge 2097152 ] || break
done
[ "$(rest)" -lt 2097152 ] || fail "close() had $(rest) bytes to encode"

step "what the spool's disk has damaged is not committed"
timeout 60 python3 "$WORK/writer.py" damaged "$A/x/y/z/damaged" "$S/spool" \
	2>"$WORK/damaged.err" && fail "a damaged content was committed"
grep -q 'Errno 5' "$WORK/damaged.err" || fail "$(tail -1 "$WORK/damaged.err")"
[ ! -s "$A/x/y/z/damaged" ] || fail "it is there"
rm -f "$A/x/y/z/damaged"
step "content that is there is not stored again"
objects=$(object_count "$S")
timeout 60 python3 "$WORK/writer.py" whole "$A/x/y/z/again" "$S/spool"
equal "$objects" "$(object_count "$S")" "objects"
equal "$(hash_of "$S" whole)" "$(hash_of "$S" again)" "hashes"
fs_stop one

step "what does not compress is hashed behind the writer, and encoded when it is sent"
fs_start one "$S" "$A" -o log.level=debug -o general.compression=auto
before=$(used)
head -c 12345678 /dev/urandom >"$WORK/want"
cp "$WORK/want" "$A/x/y/z/noise"
equal "$(sha256sum <"$WORK/want" | cut -d' ' -f1)" "$(hash_of "$S" noise)" "hashes"
object_get "$S" "$(hash_of "$S" noise)" "$WORK/object"
openssl enc -d -aes-256-cbc -K "$(conf_value "$S" encryption key)" \
	-iv "$(conf_value "$S" encryption iv)" -in "$WORK/object" |
	cmp - "$WORK/want" || fail "the object has another content"
equal "$before" "$(used)" "contents that were encoded early"

step "auto judges what is large by its beginning: of text it is bzip2, whatever follows"
cat >"$WORK/mixed.py" <<'PY'
import glob, os, random, sys, time
top, spool = sys.argv[1:]
r = random.Random(5)
data = b"in the beginning there is text\n" * 40000 + r.randbytes(8 << 20)
fd = os.open(top + "/mixed", os.O_RDWR | os.O_CREAT)
for at in range(0, len(data), 1 << 20):
    os.pwrite(fd, data[at:at + (1 << 20)], at)
while len([w for w in glob.glob(spool + "/*/w-*") if os.path.getsize(w)]) < 2:
    time.sleep(0.01)
os.close(fd)
with open("want", "wb") as f:
    f.write(data)
PY
timeout 60 python3 "$WORK/mixed.py" "$A/x/y/z" "$S/spool" || fail "nothing is encoded while it is written"
object_is mixed "$WORK/want" || fail "the object has another content"
[ "$(used)" -gt "$before" ] || fail "it was of no use"
fs_stop one
rm -rf "$S/spool/kept"
equal 0 "$(find "$S/spool" -name 'w-*' | wc -l)" "spool files that are left"
