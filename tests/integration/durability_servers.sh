#!/usr/bin/env bash
# The order in which a write becomes durable over MariaDB and S3, recorded on
# its way to them, and what close() says when one of the steps fails: the object
# is stored before its row is written, the row committed before the answer.
# SERVERS mariadb rgw
# TIMEOUT 120
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
need python3 python3
[ -n "${FSP_TEST_MYSQL_PORT:-}" ] || skip "no servers (tests/servers with mariadb,rgw)"
FSP_BACKEND=servers
S=$WORK/store
M=$WORK/mnt
. "$TOP/tests/lib/durable.sh"

# Both servers are reached through this. It writes down what passes, before it
# passes it on, and does once what the file FAULT says.
cat >"$WORK/door.py" <<'PY'
import os, re, socket, sys, threading
trace, fault, db, s3 = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
lock = threading.Lock()
ROW = b"INSERT INTO filespace_file"
out = os.open(trace, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
def say(what):
    os.write(out, (what + "\n").encode())
def fired(*words):
    with lock:
        try:
            word = open(fault).read().strip()
        except OSError:
            return None
        if word.split(" ")[0] not in words:
            return None
        left = int(word.split(" ")[1]) - 1
        if left:
            with open(fault, "w") as f:
                f.write("%s %d" % (word.split(" ")[0], left))
        else:
            os.rename(fault, fault + ".fired")
        return word.split(" ")[0]
class Pair:
    """One connection: c the daemon's end, t the server's."""
    def __init__(self, c, t, kind):
        self.c, self.t, self.kind = c, t, kind
        self.waits = None               # what an answer of the server means
        self.drop = False
        self.names = set()              # of statements that write a row
        for s in (c, t):
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for a, b, look in ((c, t, self.asked), (t, c, self.answered)):
            threading.Thread(target=self.pump, args=(a, b, look), daemon=True).start()
    def pump(self, a, b, look):
        try:
            while True:
                data = a.recv(1 << 16)
                if not data or not look(data):
                    break
                b.sendall(data)
        except OSError:
            pass
        for s in (self.c, self.t):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
    def has_row(self, data):
        """In full, or by the name that the statement was given on this connection."""
        self.names.update(re.findall(rb"PREPARE (fsp\d+) FROM '" + ROW, data))
        return ROW in data or self.names & set(re.findall(rb"EXECUTE (fsp\d+) ", data))
    def asked(self, data):
        if self.kind == "s3" and data.startswith(b"PUT "):
            f = fired("put-refused", "put-lost")
            if f == "put-refused":
                self.c.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n"
                               b"Connection: close\r\n\r\n")
            if f:
                return False
            say("put")
            self.waits = "stored"
        if self.kind == "db" and self.has_row(data):
            say("row")
        if self.kind == "db" and b"COMMIT" in data:
            f = fired("commit-lost", "commit-unanswered")
            if f == "commit-lost":
                return False
            say("commit")
            self.waits = "committed"
            self.drop = f is not None
        return True
    def answered(self, data):
        if self.waits == "stored" and not data.startswith(b"HTTP/1.1 200"):
            if not data.startswith(b"HTTP/1.1 100"):
                self.waits = None
        elif self.waits:
            say(self.waits)
            self.waits = None
        return not self.drop
def serve(l, port, kind):
    while True:
        c, _ = l.accept()
        Pair(c, socket.create_connection(("127.0.0.1", port)), kind)
ports = []
for port, kind in ((db, "db"), (s3, "s3")):
    l = socket.create_server(("127.0.0.1", 0), backlog=64)
    ports.append(l.getsockname()[1])
    threading.Thread(target=serve, args=(l, port, kind), daemon=True).start()
print(*ports, flush=True)
threading.Event().wait()
PY
store_init "$S" -o "mysql.connections=4"
python3 "$WORK/door.py" "$TRACE" "$FAULT" "$FSP_TEST_MYSQL_PORT" \
	"${FSP_TEST_S3_ENDPOINT##*:}" >"$WORK/ports" &
echo $! >>"$WORK/pids"
wait_for 10 test -s "$WORK/ports" || fail "no door"
read -r DB_DOOR S3_DOOR <"$WORK/ports"
cp "$S/filespacefs.conf" "$WORK/direct.conf"
sed -i "s|^socket = .*|host = 127.0.0.1\nport = $DB_DOOR|
	s|^endpoint = .*|endpoint = http://127.0.0.1:$S3_DOOR|" "$S/filespacefs.conf"
fs_start fs "$S" "$M" -o "s3.retries=2,mount.op_timeout=20s"
mkdir -p "$D"

order() { # order WORD...: the trace has them in this order, and no row before
	local line=0 word at
	for word in "$@"; do
		at=$(awk -v w="$word" -v from="$line" 'NR > from && $0 == w { print NR; exit }' "$TRACE")
		[ -n "$at" ] || fail "no $word after line $line: $(xargs <"$TRACE")"
		line=$at
	done
	[ "$1" != put ] || awk '$0 == "stored" { stored = 1 } $0 == "row" && !stored { exit 1 }' "$TRACE" ||
		fail "a row before its object: $(xargs <"$TRACE")"
}
step "close() of a new file, of a new version, fsync()"
traced "$OP" open "$D/f" wct write "first text" close
order put stored row commit committed returned
traced "$OP" open "$D/f" wct write "second text" close
order put stored row commit committed returned
traced "$OP" open "$D/g" wct write "third text" fsync
order put stored row commit committed returned
traced dd if=/dev/urandom of="$D/h" bs=64k count=40 status=none
order put stored row commit committed returned
step "close() of an empty new file: the name is durable, the row follows"
traced "$OP" open "$D/empty" wcx close
order commit committed returned
equal 1 "$(sql "$S" "SELECT count(*) FROM fsp_name WHERE name = 'empty' AND live = 1 AND owner IS NULL")" \
	"names that outlive the mount when close() has returned"
step "content that is stored already: the row alone"
traced "$OP" open "$D/f2" wct write "second text" close
order row commit committed returned
! grep -q put "$TRACE" || fail "it was stored again"
step "rename and chmod do not touch the objects"
traced mv "$D/f2" "$D/f3"
order commit committed returned
traced chmod 600 "$D/f3"
order commit committed returned
! grep -q put "$TRACE" || fail "it was stored again"

step "the object is refused: close() says so, and fsync()"
inject "put-refused 1" EACCES close
inject "put-refused 1" EACCES fsync close
step "the object is lost on the way, once and always"
inject "put-lost 1" ok close
inject "put-lost 999" EHOSTDOWN close
again() { printf again >"$D/again"; }
wait_for 10 again || fail "nothing can be stored any more"
step "the COMMIT is lost on the way, or its answer: it happened once"
inject "commit-lost 1" ok close
inject "commit-unanswered 1" ok close
inject "commit-unanswered 1" ok fsync close

fs_stop fs
cp "$WORK/direct.conf" "$S/filespacefs.conf"
check_store "$S"
