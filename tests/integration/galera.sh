#!/usr/bin/env bash
# Galera: one of three nodes is killed during a copy. The copy goes on, or says
# which files failed; nothing that close() had confirmed is lost.
# TIMEOUT 300
# TAKES 27
# SERVERS rgw
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
need python3 python3
out=$(srv_needs_of galera 2>&1) || skip "${out#servers: }"
FSP_OWNER=$$ srv_start galera "$WORK/galera" || fail "no cluster"
set -a
# shellcheck disable=SC1091 # made by the line above
. "$WORK/galera/env"
set +a
export FSP_BACKEND=servers
# With a binary log only somebody with SUPER may make triggers, or:
for n in 1 2 3; do
	mariadb_root "$WORK/galera/node-$n" -e "SET GLOBAL log_bin_trust_function_creators = 1"
done
S=$WORK/store
A=$WORK/a
B=$WORK/b
store_init "$S" -o bzip2.level=1
hosts=
for port in $FSP_TEST_GALERA_PORTS; do hosts=${hosts:+$hosts, }127.0.0.1:$port; done
sed -i "s|^socket = .*|host = $hosts|" "$S/filespacefs.conf"
fs_start one "$S" "$A" -o mount.op_timeout=20s,mysql.connect_timeout=2s
# The other mount prefers another node.
read -r p1 p2 p3 <<<"$FSP_TEST_GALERA_PORTS"
mkdir "$WORK/second"
sed "s|^host = .*|host = 127.0.0.1:$p3, 127.0.0.1:$p2, 127.0.0.1:$p1|" \
	"$S/filespacefs.conf" >"$WORK/second/filespacefs.conf"
chmod 600 "$WORK/second/filespacefs.conf"
fs_start two "$WORK/second" "$B" -o mount.op_timeout=20s,mysql.connect_timeout=2s
mkdir -p "$A/x/y/z"

step "a copy on each of two mounts while node 1 is killed"
cat >"$WORK/copy.py" <<'PY'
import errno, os, sys, time
# copy.py DIR WHO UNTIL: "ok NAME" for each file whose close said so.
where, who, until = sys.argv[1:4]
n = 0
while not os.path.exists(until):
    name = f"{who}-{n}"
    try:
        fd = os.open(f"{where}/{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            os.write(fd, f"{name} ".encode() * 300)
        finally:
            os.close(fd)
        print("ok", name, flush=True)
    except OSError as e:
        print("failed", name, errno.errorcode[e.errno], flush=True)
        time.sleep(0.05)
    n += 1
PY
pids=()
for who in a b; do
	[ $who = a ] && m=$A || m=$B
	python3 "$WORK/copy.py" "$m/x/y/z" $who "$WORK/enough" >"$WORK/copied.$who" &
	pids+=($!)
done
stored() { [ "$(grep -c '^ok' "$WORK/copied.$1")" -gt "$2" ]; }
wait_for 30 stored a 10 || fail "no copy"
wait_for 30 stored b 10 || fail "no copy"
srv_kill "$WORK/galera" 1
a=$(grep -c '^ok' "$WORK/copied.a")
b=$(grep -c '^ok' "$WORK/copied.b")
wait_for 60 stored a $((a + 20)) || fail "the copy does not go on: $(tail -n 3 "$WORK/copied.a")"
wait_for 60 stored b $((b + 20)) || fail "the other copy does not go on: $(tail -n 3 "$WORK/copied.b")"
touch "$WORK/enough"
for p in "${pids[@]}"; do wait "$p" || fail "a copy ended with an error"; done
note "$(cat "$WORK"/copied.* | cut -d ' ' -f 1,3 | sort | uniq -c | xargs)"

step "what was confirmed is there, on both mounts"
grep -h '^ok' "$WORK"/copied.* | cut -d ' ' -f 2 >"$WORK/names"
for m in "$A" "$B"; do
	python3 - "$m/x/y/z" "$WORK/names" <<'PY' || fail "lost on $m"
import sys
for name in open(sys.argv[2]).read().split():
    assert open(f"{sys.argv[1]}/{name}").read() == f"{name} " * 300, name
PY
done
fs_stop one
fs_stop two
FSP_TEST_MYSQL_SOCKET=$WORK/galera/node-2/sock check_store "$S"
