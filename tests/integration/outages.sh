#!/usr/bin/env bash
# Each server stopped, frozen, slow, and slower than the deadlines, in turn, under
# load from PHP on two mounts: every call ends within its deadline and a second
# (and what the longest of the same calls took on this machine's own disk), and
# the error says which; who is killed while he waits is gone at once; cached reads
# and listings go on; afterwards everything works by itself, and what was
# acknowledged is all there.
# TIMEOUT 600
# FIRST
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
need php php-cli
need python3 python3
need getfattr attr
for kind in mariadb rgw; do
	own_servers $kind "$WORK/$kind"
done
# How long a server is away, in seconds; ONLY is a pattern for some of them.
AWAY=${AWAY:-20}
SHORT=$((AWAY < 12 ? AWAY : 12))
DEADLINE=6             # of any call: twice s3.timeout, once mysql.timeout
export FSP_BACKEND=servers
S=$WORK/store
A=$WORK/a
B=$WORK/b

# Everybody goes through two doors, which can be closed, stuck and slow.
cat >"$WORK/door.py" <<'PY'
import os, select, socket, sys, threading, time
# door.py CONTROL PORT...: prints a port for each; the file says for how many
# seconds each piece is held up.
control, targets = sys.argv[1], [int(p) for p in sys.argv[2:]]
def word():
    try:
        return open(control).read().strip()
    except OSError:
        return ""
def pump(a, b):
    try:
        while True:
            data = a.recv(65536)
            if not data:
                break
            time.sleep(float(word() or 0))
            b.sendall(data)
    except OSError:
        pass
    for s in (a, b):
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
def serve(l, port):
    while True:
        c, _ = l.accept()
        try:
            t = socket.create_connection(("127.0.0.1", port))
        except OSError:
            c.close()
            continue
        for s in (c, t):
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for pair in ((c, t), (t, c)):
            threading.Thread(target=pump, args=pair, daemon=True).start()
ports = []
for port in targets:
    l = socket.create_server(("127.0.0.1", 0), backlog=128)
    ports.append(l.getsockname()[1])
    threading.Thread(target=serve, args=(l, port), daemon=True).start()
print(*ports, flush=True)
signal = threading.Event()
signal.wait()
PY
door() { # door NAME PORT: sets DOOR to the port of a door before it
	python3 "$WORK/door.py" "$WORK/$1.word" "$2" >"$WORK/$1.port" &
	echo $! >>"$WORK/pids"
	wait_for 10 test -s "$WORK/$1.port" || fail "no door"
	DOOR=$(cat "$WORK/$1.port")
}
door database "$FSP_TEST_MYSQL_PORT"
DB_DOOR=$DOOR
door objects "${FSP_TEST_S3_ENDPOINT##*:}"
S3_DOOR=$DOOR

store_init "$S" -o "bzip2.level=1"
rm "$WORK/server-stores"        # these go with their servers
sed -i "s|^socket = .*|host = 127.0.0.1\nport = $DB_DOOR|
	s|^endpoint = .*|endpoint = http://127.0.0.1:$S3_DOOR|" "$S/filespacefs.conf"
OPTIONS=(-o "mount.op_timeout=${DEADLINE}s,mysql.connect_timeout=2s"
	-o "mysql.timeout=${DEADLINE}s,s3.timeout=3s,s3.connect_timeout=2s,s3.retries=2")
fs_start one "$S" "$A" "${OPTIONS[@]}"
R=x/y/z
mkdir -p "$A/$R/old"
for i in 1 2 3 4 5; do echo "content $i" >"$A/$R/old/$i"; done
for who in killed waits now; do
	mkdir -p "$A/$R/$who-cold/cold"
	for i in 1 2 3 4; do echo "$who $i" >"$A/$R/$who-cold/cold/$i"; done
done
fs_stop one                             # nobody has these in a cache
fs_start one "$S" "$A" "${OPTIONS[@]}"
fs_start two "$S" "$B" "${OPTIONS[@]}"
for m in "$A" "$B"; do cat "$m/$R"/old/* >/dev/null; done
mkdir "$WORK/disk"
cp -r "$A/$R/old" "$WORK/disk/old"
health() { getfattr --absolute-names --only-values -n user.filespace.health "$1"; }

# Every call with its time and its errno, a line each: OPERATION MS RESULT.
cat >"$WORK/load.php" <<'PHP'
<?php
[, $dir, $who, $until, $log] = $argv;
$out = fopen($log, 'a');
$err = null;
set_error_handler(function ($no, $text) use (&$err) {
	// "failed to open stream: Host is down", "errno=112 Host is down"
	$err = preg_match('/errno=\d+ (.*)$/', $text, $m) ? $m[1]
		: trim(substr(strrchr($text, ':'), 1));
	return true;
});
function call($what, $fn) {
	global $err, $out;
	$err = null;
	clearstatcache();
	$since = hrtime(true);
	$result = $fn();
	$ms = intdiv(hrtime(true) - $since, 1000000);
	fwrite($out, "$what $ms " . ($result === false ? strtr($err ?? 'false', ' ', '_') : 'ok') . "\n");
	return $result !== false;
}
function store($path, $text) {
	if (!call('open', function () use ($path, &$f) { return ($f = fopen($path, 'w')) !== false; }))
		return false;
	// fclose() of PHP says nothing of close(2): fsync does.
	$ok = call('write', fn() => fwrite($f, $text) === strlen($text)) &&
		call('fsync', fn() => fsync($f));
	call('close', fn() => fclose($f));
	return $ok;
}
for ($n = 0; !file_exists($until); $n++) {
	$path = "$dir/$who-$n";
	$text = "$who $n " . str_repeat(chr(97 + $n % 26), 5000);
	if (store($path, $text))
		fwrite($out, "stored $path " . sha1($text) . "\n");
	call('list', function () use ($dir, &$err) {
		$n = count(scandir($dir . '/old') ?: []);
		// PHP ends a listing where readdir(3) fails, and says nothing.
		$err = $err ?? "$n entries";
		return $n === 7;
	});
	call('read', fn() => file_get_contents($dir . '/old/' . (1 + $n % 5)));
	call('stat', fn() => filesize($dir . '/old/' . (1 + $n % 5)));
	call('chmod', fn() => chmod($dir . '/old/' . (1 + $n % 5), $n % 2 ? 0640 : 0644));
	usleep(100000);
}
PHP
# Many who change one directory.
sed '/^for (/,$d' "$WORK/load.php" >"$WORK/crowd.php"
cat >>"$WORK/crowd.php" <<'PHP'
while (!file_exists($until)) {
	$ok = call('mkdir', fn() => mkdir("$dir/$who"));
	if (!call('rmdir', fn() => rmdir("$dir/$who")) || !$ok)
		usleep(100000);
}
PHP

# One call, begun when it is told to: "ERRNO MILLISECONDS", or nothing when it
# is killed.
cat >"$WORK/caller.py" <<'PY'
import errno, fcntl, os, sys, time
what, where, name, go, said = sys.argv[1:6]
os.chdir(where)         # no walk through directories in which others wait
path = name
def write(path):
    fd = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
    os.write(fd, f"{name} ".encode() * 500)
    return fd
if what in ("fsync", "close"):
    fd = write(path)
elif what in ("chmod", "unlink", "flock"):
    os.close(write(path))
    fd = os.open(path, os.O_RDONLY)
open(said, "w").close()
while not os.path.exists(go):
    time.sleep(0.01)
since, code = time.monotonic(), "ok"
try:
    {"fsync": lambda: os.fsync(fd), "close": lambda: os.close(fd),
     "chmod": lambda: os.chmod(path, 0o600), "mkdir": lambda: os.mkdir(path),
     "unlink": lambda: os.unlink(path),
     "list": lambda: len(os.listdir(f"{where}/../old")) == 5 or os._exit(9),
     "flock": lambda: fcntl.flock(fd, fcntl.LOCK_EX),
     "cold": lambda: open(f"cold/{name}").read()}[what]()
except OSError as e:
    code = errno.errorcode[e.errno]
with open(said, "w") as f:
    print(code, int((time.monotonic() - since) * 1000), file=f)
PY
ROUND=0
declare -A CALLERS=() COLD=([killed]=0 [waits]=0 [now]=0)
# Each in a directory of its own: who changes one waits in the kernel for others.
callers() { # callers WHO OPERATION...
	local who=$1 what name
	shift
	rm -f "$WORK/go.$who"
	for what in "$@"; do
		mkdir -p "$A/$R/$who-$what"
		name=$((++ROUND))
		[ "$what" != cold ] || name=$((++COLD[$who]))
		rm -f "$WORK/said.$who-$what"
		python3 "$WORK/caller.py" "$what" "$A/$R/$who-$what" "$name" "$WORK/go.$who" \
			"$WORK/said.$who-$what" 2>>"$WORK/callers.err" &
		CALLERS[$who-$what]=$!
		echo "$!" >>"$WORK/pids"
	done
	for what in "$@"; do
		wait_for 30 test -e "$WORK/said.$who-$what" || fail "no caller: $(cat "$WORK/callers.err")"
	done
}
ended() { ! [ -e "/proc/$1" ] || grep -q '^State:.Z' "/proc/$1/status"; }
# Half of them are killed while they wait, the others hear what there is to say.
# Killed means long before the deadline.
kill_callers() { # kill_callers OPERATION...
	local what
	touch "$WORK/go.killed" "$WORK/go.waits"
	sleep 0.5
	for what in "$@"; do
		[ ! -s "$WORK/said.killed-$what" ] ||
			fail "$what does not wait: $(cat "$WORK/said.killed-$what")"
		kill -9 "${CALLERS[killed-$what]}"
	done
	for what in "$@"; do
		wait_for $((DEADLINE - 3)) ended "${CALLERS[killed-$what]}" ||
			fail "killed in $what, it does not end: $(cat "/proc/${CALLERS[killed-$what]}/wchan")"
		wait "${CALLERS[killed-$what]}" 2>/dev/null || :
	done
}
# What those heard who waited, and it may be one of these.
heard() { # heard ERRNOS OPERATION...
	local errnos=$1 what code ms
	shift
	for what in "$@"; do
		wait_for $((DEADLINE + 10)) ended "${CALLERS[waits-$what]}" || fail "$what never ends"
		wait "${CALLERS[waits-$what]}" || fail "$what: $(cat "$WORK/callers.err")"
		read -r code ms <"$WORK/said.waits-$what"
		note "$what, begun when it went away: $code after $ms ms"
		[[ $code =~ ^($errnos)$ ]] || fail "$what says $code, not $errnos"
	done
}
# Those who call now, while it is known to be away, hear one of these.
refused() { # refused ERRNOS OPERATION...
	local errnos=$1 what code ms
	shift
	touch "$WORK/go.now"
	for what in "$@"; do
		wait "${CALLERS[now-$what]}" || fail "$what: $(cat "$WORK/callers.err")"
		read -r code ms <"$WORK/said.now-$what"
		[[ $code =~ ^($errnos)$ ]] || fail "$what says $code while it is away, not $errnos"
	done
}

calls() { # calls WHAT [RESULT]: how many in the logs of this outage
	cat "$WORK"/log.* | awk -v w="$1" -v r="${2:-}" '$1 == w && (r == "" || $3 ~ "^(" r ")$")' | wc -l
}
says() { health "$A" | grep -q "$1"; }
back() { ! health "$A" | grep -q ' down ' && ! health "$B" | grep -q ' down '; }
answers() { echo again >"$A/$R/probe" && equal again "$(cat "$B/$R/probe")" "after it is back" >/dev/null; }
longest_of() { # longest_of LOG...
	cat "$@" | awk '$1 != "stored" && $2 >= max { max = $2; what = $0 } END { print what }'
}
outage() { # outage NAME START END: runs the commands under load
	local m pids=() since longest stall limit=$DEADLINE
	# What gets on begins the time anew: a commit's content, then its row.
	# A call there may be three requests: two look-ups, and an open.
	[[ $1 != *crawling ]] || limit=$((3 * DEADLINE))
	CHOSEN=
	# shellcheck disable=SC2053 # a pattern
	[[ $1 = ${ONLY:-*} ]] || return 0
	CHOSEN=yes
	step "$1 for $AWAY s"
	rm -f "$WORK"/log.* "$WORK/enough" "$WORK/disk.log"
	php "$WORK/load.php" "$WORK/disk" disk "$WORK/enough" "$WORK/disk.log" &
	pids+=($!)
	for m in "$A" "$B"; do
		for who in 1 2; do
			php "$WORK/load.php" "$m/$R" "${m##*/}$who-${1// /-}" \
				"$WORK/enough" "$WORK/log.${m##*/}$who" &
			pids+=($!)
		done
	done
	sleep 1
	$2
	cat "$WORK"/log.* | wc -l >"$WORK/before"
	sleep "$AWAY"
	for m in "$A" "$B"; do note "$(timeout 20 getfattr --absolute-names --only-values -n user.filespace.health "$m")"; done
	during "$1"
	$3
	since=$EPOCHREALTIME
	wait_for 10 back || fail "not back: $(health "$A")"
	wait_for 5 answers || fail "nothing works: $(health "$A")"
	since=$(((${EPOCHREALTIME/./} - ${since/./}) / 1000))
	note "all is back after $since ms"
	[ "$since" -lt 5000 ] || fail "it took $since ms"
	touch "$WORK/enough"
	for m in "${pids[@]}"; do
		wait_for $((DEADLINE + 5)) gone "$m" || fail "a process hangs: $(cat "/proc/$m/wchan")"
		wait "$m" || fail "a load failed"
	done
	longest=$(longest_of "$WORK"/log.*)
	note "$(cat "$WORK"/log.* | grep -vc '^stored') calls, the longest: $longest"
	read -r _ stall _ <<<"$(longest_of "$WORK/disk.log")"
	read -r _ ms _ <<<"$longest"
	# A machine that stalls for longer than that cannot judge anything.
	[ "$stall" -le $((DEADLINE * 1000)) ] || stall=$((DEADLINE * 1000))
	[ "$ms" -le $(((limit + 1) * 1000 + stall)) ] ||
		fail "a call over its deadline: $longest, the disk's own $stall ms"
	cat "$WORK"/log.* | awk '$1 == "stored"' >>"$WORK/stored"
	cat "$WORK"/log.* | awk '$1 != "stored" { print $1, $3 }' | sort | uniq -c | sed 's/^/   /'
}
only() { # only WHAT RESULTS: nothing else was answered
	local got
	[ -n "$CHOSEN" ] || return 0
	got=$(cat "$WORK"/log.* | awk -v w="$1" -v r="^($2)\$" '$1 == w && $3 !~ r { print $3 }' | sort -u | xargs)
	[ -z "$got" ] || fail "$1 said $got"
}
signal() { # signal NAME PIDFILE: to a server
	kill "-$1" "$(cat "$2")"
}
DB_PID=$(find "$WORK/mariadb" -name mariadbd.pid)
RGW_PID=$(find "$WORK/rgw" -name rgw.pid)
: "${DB_PID:?}" "${RGW_PID:?}"

OBJECT_CALLS=(fsync close cold)
ROW_CALLS=(chmod mkdir unlink flock fsync)
stop_objects() {
	callers now "${OBJECT_CALLS[@]}"
	srv_kill "$WORK/rgw" rgw
}
start_objects() { srv_restart "$WORK/rgw" rgw; }
freeze_objects() {
	callers killed "${OBJECT_CALLS[@]}"
	callers waits "${OBJECT_CALLS[@]}"
	callers now "${OBJECT_CALLS[@]}"
	signal STOP "$RGW_PID"
	kill_callers "${OBJECT_CALLS[@]}"
}
thaw_objects() { signal CONT "$RGW_PID"; }
slow_objects() { echo 0.05 >"$WORK/objects.word"; }
crawl_objects() {
	callers killed "${OBJECT_CALLS[@]}"
	callers waits "${OBJECT_CALLS[@]}"
	echo 2.5 >"$WORK/objects.word"
	kill_callers "${OBJECT_CALLS[@]}"
}
quick_objects() { : >"$WORK/objects.word"; }
stop_database() {
	callers now "${ROW_CALLS[@]}" list
	srv_kill "$WORK/mariadb"
}
start_database() { srv_restart "$WORK/mariadb"; }
# Those who change one directory wait for each other in the kernel: the deadline
# is for all of them together.
freeze_database() {
	local i
	mkdir -p "$A/$R/crowd"
	for i in 1 2 3 4; do
		php "$WORK/crowd.php" "$A/$R/crowd" "$i" "$WORK/enough" "$WORK/log.crowd$i" &
		pids+=($!)
	done
	sleep 1
	callers killed "${ROW_CALLS[@]}"
	callers waits "${ROW_CALLS[@]}"
	callers now "${ROW_CALLS[@]}" list
	signal STOP "$DB_PID"
	kill_callers "${ROW_CALLS[@]}"
}
thaw_database() { signal CONT "$DB_PID"; }
slow_database() { echo 0.05 >"$WORK/database.word"; }
crawl_database() {
	callers killed "${ROW_CALLS[@]}"
	callers waits "${ROW_CALLS[@]}"
	echo 1.2 >"$WORK/database.word"
	kill_callers "${ROW_CALLS[@]}"
}
quick_database() { : >"$WORK/database.word"; }

during() { # during NAME: while it is away; the first calls may have waited
	case $1 in
	*slow*) ;;
	"objects crawling") heard "ETIMEDOUT|EHOSTDOWN" "${OBJECT_CALLS[@]}" ;;
	"database crawling") heard "ETIMEDOUT|EHOSTDOWN" "${ROW_CALLS[@]}" ;;
	objects*)
		# What is asked in two calls may meet the open breaker with the second.
		[ "$1" = "objects stopped" ] || heard ETIMEDOUT fsync close
		[ "$1" = "objects stopped" ] || heard "ETIMEDOUT|EHOSTDOWN" cold
		refused EHOSTDOWN "${OBJECT_CALLS[@]}"
		timeout 5 ls -l "$A/$R/old" >/dev/null || fail "ls without objects"
		wait_for 5 says '^database ok.*objects down.*; not writable now$' || fail "health: $(health "$A")"
		;;
	database*)
		[ "$1" = "database stopped" ] || heard "ETIMEDOUT|EHOSTDOWN" "${ROW_CALLS[@]}"
		wait_for 5 says '^database down' || fail "health: $(health "$A")"
		equal "content 3" "$(timeout 5 cat "$A/$R/old/3")" "a cached file"
		[ "$(id -u)" != 0 ] || echo 2 >/proc/sys/vm/drop_caches
		equal "content 4" "$(timeout 5 cat "$A/$R/old/4")" "what the kernel has forgotten"
		refused EHOSTDOWN "${ROW_CALLS[@]}"
		refused "ok|EHOSTDOWN" list
		must_say "Read-only file system" timeout 5 sh -c "echo x >>'$A/$R/old/3'"
		must_say "Read-only file system" timeout 5 truncate -s 1 "$A/$R/old/3"
		# Whether there is such a name nobody can tell.
		must_say "Host is down" timeout 5 sh -c "echo x >'$A/$R/none'"
		must_say "Host is down" timeout 5 mkdir "$A/$R/none"
		says '; not writable now$' || fail "health: $(health "$A")"
		;;
	esac
}
judge() { # judge WHAT...: after an outage, what was answered
	local what
	for what in "$@"; do only "$what" ok; done
}

# PHP's fsync() tells no reason. A listing is the whole one or none.
refused="ok|Host_is_down"
none="0_entries"
late="$refused|Connection_timed_out"
outage "objects stopped" stop_objects start_objects
judge list read stat chmod open write close
only fsync "ok|false"
outage "objects frozen" freeze_objects thaw_objects
judge list read stat chmod open write close
only fsync "ok|false"
outage "objects slow" slow_objects quick_objects
judge list read stat chmod open write fsync close
AWAY=$SHORT outage "objects crawling" crawl_objects quick_objects
judge list read stat chmod open write close
only fsync "ok|false"
outage "database stopped" stop_database start_database
judge read stat write close
only list "$refused|$none"
only chmod "$refused"
only fsync "ok|false"
only open "$refused|Read-only_file_system"
outage "database frozen" freeze_database thaw_database
judge read stat write close
only list "$late|$none"
only chmod "$late"
only mkdir "$late|File_exists"
only rmdir "$late|No_such_file_or_directory"
only fsync "ok|false"
only open "$late|Read-only_file_system"
outage "database slow" slow_database quick_database
judge list read stat chmod open write fsync close
AWAY=$SHORT outage "database crawling" crawl_database quick_database
judge read stat write
only list "$late|$none"
only chmod "$late"
only fsync "ok|false"
only open "$late|Read-only_file_system"

step "what was acknowledged is all there"
[ "$(wc -l <"$WORK/stored")" -gt 20 ] || fail "hardly anything was stored: $(wc -l <"$WORK/stored")"
note "$(wc -l <"$WORK/stored") files"
fs_stop one
fs_stop two
fs_start three "$S" "$A" "${OPTIONS[@]}"
sed "s| $B/| $A/|" "$WORK/stored" | awk '{ print $3 "  " $2 }' >"$WORK/sums"
sha1sum --quiet -c "$WORK/sums" >"$WORK/sums.out" 2>&1 || fail "lost: $(head -n 5 "$WORK/sums.out")"
fs_stop three
check_store "$S"
