#!/usr/bin/env bash
# flock and fcntl locks, on one mount and among several.
# TIMEOUT 200
# TAKES 15 25
# BACKENDS embedded servers
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
need flock util-linux
need php php-cli
need python3 python3
A=$WORK/a
B=$WORK/b
fs_start one "$WORK/store" "$A"
fs_start two "$WORK/store" "$B"
mkdir -p "$A/x/y/z"
F=x/y/z/file
echo start >"$A/$F"

step "8 PHP processes on two mounts append with LOCK_EX: no line is lost"
cat >"$WORK/append.php" <<'PHP'
<?php [, $file, $who, $times] = $argv;
for ($i = 0; $i < $times; $i++)
	if (file_put_contents($file, "$who $i\n", FILE_APPEND | LOCK_EX) === false)
		exit(1);
PHP
append_all() { # append_all LOG TIMES [COMMAND...]: by COMMAND, as another user
	local log=$1 times=$2 w m p pids=()
	shift 2
	for w in 1 2 3 4 5 6 7 8; do
		[ $((w % 2)) = 0 ] && m=$A || m=$B
		"$@" php "$WORK/append.php" "$m/x/y/z/$log" "w$w" "$times" &
		pids+=($!)
	done
	for p in "${pids[@]}"; do wait "$p" || fail "a writer failed"; done
	for w in 1 2 3 4 5 6 7 8; do
		seq -f "w$w %.0f" 0 $((times - 1))
	done | sort >"$WORK/lines"
	sort "$A/x/y/z/$log" | cmp - "$WORK/lines" || fail "lines of $log: lost, or twice"
	cmp "$A/x/y/z/$log" "$B/x/y/z/$log" || fail "the mounts do not agree on $log"
}
append_all log 25
if [ "$(id -u)" = 0 ]; then
	id www-data >/dev/null || fail "no user www-data"
	chmod 755 "$WORK" "$WORK/.." "$WORK/../.."
	install -m 666 /dev/null "$A/x/y/z/www-log"
	append_all www-log 10 setpriv --reuid=www-data --regid=www-data --clear-groups
else
	note "not root: not tried as www-data"
fi

step "read, change, write under a lock: a counter on two mounts"
cat >"$WORK/count.php" <<'PHP'
<?php [, $file, $times] = $argv;
for ($i = 0; $i < $times; $i++) {
	$f = fopen($file, 'c+');
	flock($f, LOCK_EX) or exit(1);
	$n = (int) stream_get_contents($f);
	ftruncate($f, 0); rewind($f);
	fwrite($f, (string) ($n + 1));
	fflush($f);
	flock($f, LOCK_UN) or exit(1);
	fclose($f);
}
PHP
count() { # count FILE TIMES
	local p m pids=()
	for m in "$A" "$B" "$A" "$B"; do
		php "$WORK/count.php" "$m/x/y/z/$1" "$2" & pids+=($!)
	done
	for p in "${pids[@]}"; do wait "$p" || fail "a counter failed"; done
	equal $((4 * $2)) "$(cat "$A/x/y/z/$1")" "the counter $1"
}
count count 40
# The first ones meet while the file is being made.
for i in $(seq "$(on_servers && echo 10 || echo 20)"); do count "count$i" 2; done

step "a lock shows what others have committed, whatever the file was here before"
cat >"$WORK/shows.py" <<'PY'
import fcntl, os, sys
a, b = sys.argv[1:]

def there(name, data, flags=os.O_WRONLY | os.O_CREAT):
    """Written and closed on the other mount."""
    fd = os.open(f"{b}/{name}", flags)
    fcntl.flock(fd, fcntl.LOCK_EX)
    os.write(fd, data)
    os.close(fd)

def expect(what, want, fd):
    fcntl.flock(fd, fcntl.LOCK_EX)
    got = os.pread(fd, 100, 0)
    size = os.fstat(fd).st_size
    fcntl.flock(fd, fcntl.LOCK_UN)
    if got != want or size != len(want):
        sys.exit(f"{what}: {got!r} of {size} bytes, not {want!r}")

# Made here, written there: what is there is the content, not nothing.
fd = os.open(f"{a}/made", os.O_RDWR | os.O_CREAT)
there("made", b"17")
expect("made here", b"17", fd)
os.pwrite(fd, b"18", 0)
os.close(fd)
assert open(f"{b}/made", "rb").read() == b"18"

fd = os.open(f"{a}/emptied", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
more = os.open(f"{a}/emptied", os.O_RDWR | os.O_TRUNC)
there("emptied", b"17")
expect("made and emptied here", b"", fd)
os.pwrite(fd, b"replaced", 0)
os.close(fd)
os.close(more)
assert open(f"{b}/emptied", "rb").read() == b"replaced"

# So does an open, without a lock.
fd = os.open(f"{a}/opened", os.O_RDWR | os.O_CREAT)
there("opened", b"seen")
assert open(f"{a}/opened", "rb").read() == b"seen"
os.close(fd)
assert open(f"{b}/opened", "rb").read() == b"seen"

# Changed in mode meanwhile: both stay.
fd = os.open(f"{a}/mode", os.O_RDWR | os.O_CREAT, 0o644)
os.fchmod(fd, 0o640)
there("mode", b"17")
expect("made here, with a mode", b"17", fd)
os.close(fd)
# What is not opened or locked may be a second old; this waits for it.
os.getxattr(f"{b}/../../..", "user.filespace.current")
assert os.stat(f"{b}/mode").st_mode & 0o777 == 0o640

# Emptied here after that: the emptying counts.
fd = os.open(f"{a}/cut", os.O_RDWR | os.O_CREAT)
there("cut", b"17")
os.ftruncate(fd, 0)
expect("cut here", b"", fd)
os.close(fd)

# Written here without a lock: over what is there.
there("both", b"0123456789")
fd = os.open(f"{a}/both", os.O_RDWR)
os.pwrite(fd, b"ab", 2)
there("both", b"xyz")
expect("written on both", b"xyab456789", fd)
os.close(fd)
PY
python3 "$WORK/shows.py" "$A/x/y/z" "$B/x/y/z" || fail "a lock that shows what was before"

step "a lock on one mount is seen on the other, waited for, and interruptible"
mkfifo "$WORK/hold"
flock "$A/$F" -c "echo locked >$WORK/held; cat $WORK/hold" &
holder=$!
wait_for 10 test -s "$WORK/held" || fail "no lock"
must_fail flock -n "$B/$F" true
flock "$B/$F" touch "$WORK/got" &
waiter=$!
flock "$B/$F" touch "$WORK/never" &
killed=$!
sleep 0.2
kill -TERM "$killed"
wait "$killed" && fail "a killed waiter got the lock"
[ ! -e "$WORK/got" ] || fail "two have the lock"
echo >"$WORK/hold"
wait "$holder" "$waiter"
[ -e "$WORK/got" ] || fail "the waiter never got it"

step "fcntl ranges: the same answers as on a local disk"
cat >"$WORK/ranges.py" <<'PY'
import fcntl, os, random, struct, sys
# Two owners (processes) take and give random ranges; the answers are printed.
path, seed = sys.argv[1], int(sys.argv[2])
r = random.Random(seed)
parent_r, child_w = os.pipe(); child_r, parent_w = os.pipe()
pid = os.fork()
def serve(rd, wr):
    fd = os.open(path, os.O_RDWR)
    with os.fdopen(rd, "rb", 0) as rd:
        while True:
            line = rd.readline()
            if not line: os._exit(0)
            kind, start, length, test = map(int, line.split())
            lock = struct.pack("hhqqi4x", kind, 0, start, length, 0)
            try:
                if test:
                    got = struct.unpack("hhqqi4x", fcntl.fcntl(fd, fcntl.F_GETLK, lock))
                    out = f"{got[0]} {got[2]} {got[3]}" if got[0] != fcntl.F_UNLCK else "free"
                else:
                    fcntl.fcntl(fd, fcntl.F_SETLK, lock); out = "ok"
            except OSError as e:
                out = e.strerror
            os.write(wr, (out + "\n").encode())
if pid == 0: serve(child_r, child_w)
r2, w2 = os.pipe(); r3, w3 = os.pipe()
pid2 = os.fork()
if pid2 == 0: serve(r2, w3)
ends = [(parent_w, os.fdopen(parent_r, "rb", 0)), (w2, os.fdopen(r3, "rb", 0))]
for i in range(300):
    w, rd = r.choice(ends)
    kind = r.choice([fcntl.F_RDLCK, fcntl.F_WRLCK, fcntl.F_UNLCK])
    test = int(r.random() < 0.3 and kind != fcntl.F_UNLCK)
    start, length = r.randrange(0, 30), r.choice([0, 1, 5, 10])
    os.write(w, f"{kind} {start} {length} {test}\n".encode())
    answer = rd.readline().decode().strip()
    # Which of several conflicting ranges is told is not promised.
    print(i, kind, start, length, test, "taken" if test and answer != "free" else answer)
os._exit(0)
PY
: >"$WORK/local"
for seed in 1 2 3; do
	python3 "$WORK/ranges.py" "$WORK/local" "$seed" >"$WORK/want"
	python3 "$WORK/ranges.py" "$A/$F" "$seed" >"$WORK/have"
	diff "$WORK/want" "$WORK/have" || fail "seed $seed differs from the local disk"
done

step "fcntl ranges between two mounts: conflicts, waiting, what a lock shows"
python3 "$TOP/tests/tools/regions.py" "$A/x/y/z" "$B/x/y/z" || fail "ranges of two mounts"

step "a mount that dies holds nothing"
flock "$A/$F" -c "echo locked >$WORK/held2; sleep 1000" &
wait_for 10 test -s "$WORK/held2" || fail "no lock"
kill -9 "${FS_PID[one]}"
flock -w 20 "$B/$F" touch "$WORK/after" || fail "the dead mount's lock stays"
[ -e "$WORK/after" ] || fail "no lock after a dead mount"
fs_stop two
equal 0 "$(sql "$WORK/store" 'select count(*) from fsp_lock')" "locks that are left"

step "a mount with a spool elsewhere is not taken for dead"
fs_start near "$WORK/store" "$A"
fs_start far "$WORK/store" "$B" -o "spool.path=$WORK/far-spool"
flock "$B/$F" -c "echo locked >$WORK/held3; sleep 1000" &
holder=$!
wait_for 10 test -s "$WORK/held3" || fail "no lock"
must_fail flock -n "$A/$F" true
kill "$holder"
fs_kill far
flock -w 20 "$A/$F" touch "$WORK/after-far" || fail "the dead mount's lock stays"
fs_stop near
