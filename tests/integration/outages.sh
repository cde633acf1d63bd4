#!/usr/bin/env bash
# Each server stopped, frozen and slow, in turn, under load from PHP on two
# mounts: every call ends within its deadline and a second (and what the longest
# of the same calls took on this machine's own disk), and the error says which
# server; cached reads and listings go on; afterwards everything works by
# itself, and what was acknowledged is all there.
# TIMEOUT 600
# FIRST
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
need php php-cli
need python3 python3
need getfattr attr
for kind in mariadb rgw; do
	out=$(srv_needs_of $kind 2>&1) || skip "${out#servers: }"
	FSP_OWNER=$$ srv_start $kind "$WORK/$kind" || fail "$kind did not start"
	set -a
	# shellcheck disable=SC1090 # made by the line above
	. "$WORK/$kind/env"
	set +a
done
# How long a server is away, in seconds; ONLY is a pattern for some of them.
AWAY=${AWAY:-30}
DEADLINE=6             # of any call: twice s3.timeout, once mysql.timeout
export FSP_BACKEND=servers
S=$WORK/store
A=$WORK/a
B=$WORK/b

# Everybody goes through two doors, which can be closed, stuck and slow.
cat >"$WORK/door.py" <<'PY'
import os, select, socket, sys, threading, time
# door.py CONTROL PORT...: prints a port for each; the file's word says what it does.
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
            if word() == "slow":
                time.sleep(0.05)
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
fs_start two "$S" "$B" "${OPTIONS[@]}"
R=x/y/z
mkdir -p "$A/$R/old"
for i in 1 2 3 4 5; do echo "content $i" >"$A/$R/old/$i"; done
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
	call('list', fn() => ($l = scandir($dir . '/old')) && count($l) === 7);
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
	local m pids=() since longest stall
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
	[ "$ms" -le $(((DEADLINE + 1) * 1000 + stall)) ] ||
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

stop_objects() { srv_kill "$WORK/rgw" rgw; }
start_objects() { srv_restart "$WORK/rgw" rgw; }
freeze_objects() { signal STOP "$RGW_PID"; }
thaw_objects() { signal CONT "$RGW_PID"; }
slow_objects() { echo slow >"$WORK/objects.word"; }
quick_objects() { : >"$WORK/objects.word"; }
stop_database() { srv_kill "$WORK/mariadb"; }
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
	signal STOP "$DB_PID"
}
thaw_database() { signal CONT "$DB_PID"; }
slow_database() { echo slow >"$WORK/database.word"; }
quick_database() { : >"$WORK/database.word"; }

during() { # during NAME: while it is away; the first calls may have waited
	case $1 in
	*slow*) ;;
	objects*)
		timeout 5 ls -l "$A/$R/old" >/dev/null || fail "ls without objects"
		wait_for 5 says '^database ok.*objects down.*; not writable now$' || fail "health: $(health "$A")"
		;;
	database*)
		wait_for 5 says '^database down' || fail "health: $(health "$A")"
		equal "content 3" "$(timeout 5 cat "$A/$R/old/3")" "a cached file"
		[ "$(id -u)" != 0 ] || echo 2 >/proc/sys/vm/drop_caches
		equal "content 4" "$(timeout 5 cat "$A/$R/old/4")" "what the kernel has forgotten"
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

down="ok|false|Host_is_down|Connection_timed_out"
outage "objects stopped" stop_objects start_objects
judge list read stat chmod open write close
only fsync "$down"
outage "objects frozen" freeze_objects thaw_objects
judge list read stat chmod open write close
only fsync "$down"
outage "objects slow" slow_objects quick_objects
judge list read stat chmod open write fsync close
outage "database stopped" stop_database start_database
judge read stat write close
only chmod "$down"
only fsync "$down"
only open "$down|Read-only_file_system"
outage "database frozen" freeze_database thaw_database
judge read stat write close
only chmod "$down"
only mkdir "$down|File_exists"
only rmdir "$down|No_such_file_or_directory"
only fsync "$down"
only open "$down|Read-only_file_system"
outage "database slow" slow_database quick_database
judge list read stat chmod open write fsync close

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
