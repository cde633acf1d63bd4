#!/usr/bin/env bash
# Reading ahead: the window grows with who reads in order, each of several, and
# what nobody has begun to fetch is not fetched any more when he seeks or closes.
# TIMEOUT 240
# TAKES 10
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
need python3 python3
need openssl openssl
S=$WORK/store
M=$WORK/mnt
F=acct/table/rec/big
HOLD=$WORK/hold
FS_ENV=(LD_PRELOAD="$(preloaded preload_iotrace)" IOTRACE_PREFIX="$S/"
	IOTRACE_HOLD="$HOLD")

# Stored as it is: as many bytes come down as of the content are asked for.
openssl enc -aes-128-ctr -K 00 -iv 00 -in /dev/zero 2>/dev/null |
	head -c $((128 << 20)) >"$WORK/plain" || true
store_init "$S"
fs_start fs "$S" "$M" -o general.compression=none
mkdir -p "$M/${F%/*}"
cp "$WORK/plain" "$M/$F"
fs_stop fs

# Past the pages of the kernel, so that the daemon is asked for just that.
cat >"$WORK/reader.py" <<'PY'
import mmap, os, re, sys, threading, time
mount, path, plain, hold = sys.argv[2:]
STEP = 128 << 10
MB = 1 << 20
PIECE, AT_ONCE = 4, 3                   # MB for a thread, and how many of these

def counted():
    text = os.getxattr(mount, "user.filespace.traffic").decode()
    return {name: int(n) for n, name in
            re.findall(r"(\d+) (bytes down|pieces|given up)", text)}

def until(what, condition):
    for _ in range(12000):
        if condition(counted()):
            return
        time.sleep(0.01)
    sys.exit("%s: %s" % (what, counted()))

def came(what, mb):
    """So much has come by the end, and a few blocks more at the most."""
    until(what, lambda c: mb * MB <= c["bytes down"] <= (mb + 0.6) * MB)
    print("   %s: %.2f MB" % (what, counted()["bytes down"] / MB))

class Reader:
    def __init__(self, start):
        self.fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
        self.buf = mmap.mmap(-1, STEP)
        self.at = int(start * MB)
    def to(self, mb):
        with open(plain, "rb") as f:
            f.seek(self.at)
            while self.at < int(mb * MB):
                n = os.preadv(self.fd, [self.buf], self.at)
                if n != STEP or self.buf[:n] != f.read(n):
                    sys.exit("bytes at %d differ" % self.at)
                self.at += n
    def seek(self, mb):
        """The first read somewhere else is none of a run yet."""
        self.at = int(mb * MB)
        self.to(mb + STEP / MB)
        return self.at / MB

def grow(r, last):
    """The window is 512 KB, then 1 MB, and so on; doubled at the half of it."""
    for end, reach in ((0.5, 1), (0.75, 1.75), (1.25, 3.25), (2.25, 6.25),
                       (4.25, 12.25), (8.25, 24.25), (16.25, 48.25)):
        r.to(end - STEP / MB)
        r.to(end)
        if last is None or end == last:
            came("read %.2f MB in order" % end, reach)

def held():
    """A reader whose window has just grown to 64 MB; nothing of it came yet."""
    r = Reader(0)
    grow(r, 16.25)
    with open(hold + ".new", "w") as f:
        f.write("read /objects 1000")
    os.rename(hold + ".new", hold)
    before = counted()
    r.to(32.25)
    asked = counted()["pieces"] - before["pieces"]
    if asked != 48 // PIECE:
        sys.exit("%d pieces were asked for" % asked)
    until("nobody fetches", lambda c: os.path.exists(hold + ".held"))
    return r

def goes_on(r):
    """What was not begun was given up, and does not come when it could."""
    until("nothing is given up", lambda c: c["given up"] >= 48 // PIECE - AT_ONCE)
    begun = 48 // PIECE - counted()["given up"]
    os.unlink(hold)
    came("afterwards", 48.25 + begun * PIECE)

def growing():
    grow(Reader(0), None)

def two():
    both = [Reader(0), Reader(64)]
    both[1].seek(64)
    threads = [threading.Thread(target=r.to, args=(r.at / MB + 16.25,)) for r in both]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if [r.at for r in both] != [int(16.25 * MB), int(80.25 * MB) + STEP]:
        sys.exit("somebody has not read to his end")
    came("two who have read 16.25 MB", 2 * 48.25)

def seeking():
    r = held()
    r.seek(0)                           # that is there: he does not wait
    goes_on(r)
    before = counted()["bytes down"] / MB
    r.to(r.seek(64) + 0.5)              # 32 MB, and now 16
    came("0.5 MB in order after two seeks", before + 16.5)
    before = counted()["bytes down"] / MB
    r.seek(0)
    r.to(r.seek(100) + 0.5)
    came("and after four", before + 4.5)

def closing():
    r = held()
    os.close(r.fd)
    goes_on(r)

globals()[sys.argv[1]]()
PY

for how in growing two seeking closing; do
	step "$how"
	rm -f "$HOLD.held"
	fs_start fs "$S" "$M" -o mount.read_ahead=64M
	timeout 200 python3 "$WORK/reader.py" "$how" "$M" "$M/$F" "$WORK/plain" "$HOLD" ||
		fail "$how"
	fs_stop fs
done
check_store "$S"
