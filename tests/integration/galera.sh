#!/usr/bin/env bash
# Galera, with mounts that write to two of three nodes: they meet at one name and
# one file and settle, hear of each other's changes, and hold locks against each
# other. Nodes are killed in a copy, in the middle of an upload: the copy goes on,
# or says which files failed and how; nothing that close() had confirmed is lost.
# Without a quorum reading goes on from what is known, and all works by itself
# when there is one again.
# TIMEOUT 300
# TAKES 45
# SERVERS rgw
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
need python3 python3
need getfattr attr
own_servers galera "$WORK/galera"
export FSP_BACKEND=servers
# With a binary log only somebody with SUPER may make triggers, or:
for n in 1 2 3; do
	mariadb_root "$WORK/galera/node-$n" -e "SET GLOBAL log_bin_trust_function_creators = 1"
done
S=$WORK/store
A=$WORK/a
B=$WORK/b
OP=$TOOLS/fsop
# What is stored as it is takes no time to compress, and long to upload.
store_init "$S" -o general.compression=none
hosts=
for port in $FSP_TEST_GALERA_PORTS; do hosts=${hosts:+$hosts, }127.0.0.1:$port; done
sed -i "s|^socket = .*|host = $hosts|" "$S/filespacefs.conf"
OPTIONS=(-o "mount.op_timeout=20s,mysql.connect_timeout=2s,mount.thin_versions=0")
fs_start one "$S" "$A" "${OPTIONS[@]}"
# The other mount prefers another node.
read -r p1 p2 p3 <<<"$FSP_TEST_GALERA_PORTS"
mkdir "$WORK/second"
sed "s|^host = .*|host = 127.0.0.1:$p3, 127.0.0.1:$p2, 127.0.0.1:$p1|" \
	"$S/filespacefs.conf" >"$WORK/second/filespacefs.conf"
chmod 600 "$WORK/second/filespacefs.conf"
fs_start two "$WORK/second" "$B" "${OPTIONS[@]}"
D=x/y/z
mkdir -p "$A/$D"
# On a node all that the others had committed.
rows_of() { # rows_of STATEMENT
	sql "$S" "SET wsrep_sync_wait = 7; $1"
}
refused() { # how many transactions the cluster has taken back, on all nodes
	local n
	for n in 1 2 3; do
		mariadb_root "$WORK/galera/node-$n" -e "SHOW GLOBAL STATUS WHERE
			variable_name IN ('wsrep_local_cert_failures', 'wsrep_local_bf_aborts')"
	done | awk '{ n += $2 } END { print n }'
}
again() { # how many transactions the mounts have run again
	local m
	for m in "$A" "$B"; do
		getfattr --absolute-names --only-values -n user.filespace.traffic "$m" | sed 's/.* \([0-9]*\) again.*/\1\n/'
	done | awk '{ n += $1 } END { print n }'
}
both() { # both A... -- B...: operations of two processes at once; their statuses
	local first=()
	while [ "$1" != -- ]; do first+=("$1") && shift; done
	shift
	rm -f "$WORK/go"
	"$OP" "${first[@]}" >"$WORK/out.a" 2>&1 & pa=$!
	"$OP" "$@" >"$WORK/out.b" 2>&1 & pb=$!
	touch "$WORK/go"
	won=0
	! wait $pa || won=$((won + 1))
	! wait $pb || won=$((won + 1))
}
said() { cat "$WORK/out.a" "$WORK/out.b"; }

step "one name and one file on two nodes at once"
before=$(refused) retried=$(again) round=0
meet() { # until the cluster has refused a few of them
	round=$((round + 1))
	both await "$WORK/go" open "$A/$D/x$round" wcx write a close -- \
		await "$WORK/go" open "$B/$D/x$round" wcx write b close
	equal 1 "$won" "winners of O_EXCL: $(said)"
	[[ $(said) = *'open: EEXIST'* ]] || fail "the loser of O_EXCL: $(said)"
	both await "$WORK/go" mkdir "$A/$D/d$round" -- await "$WORK/go" mkdir "$B/$D/d$round"
	equal 1 "$won" "winners of mkdir: $(said)"
	[[ $(said) = *'mkdir: EEXIST'* ]] || fail "the loser of mkdir: $(said)"
	both open "$A/$D/both$round" wct write "text of A" await "$WORK/go" close -- \
		open "$B/$D/both$round" wct write "text of B" await "$WORK/go" close
	equal 2 "$won" "commits: $(said)"
	equal "1 2" "$(rows_of "SELECT count(IF(deleted_at = 0, 1, NULL)), count(*)
		FROM filespace_file WHERE file_key = 'both$round'" | xargs)" "live rows, and all"
	equal "text of A text of B" "$(cat "$A/$D/.versions/both$round/"* |
		sed 's/text/\ntext/g' | sort | xargs)" "both versions"
	equal "$(cat "$A/$D/both$round")" "$(cat "$B/$D/both$round")" "what both mounts read"
	[ "$round" -ge 8 ] && [ "$(refused)" -ge $((before + 5)) ]
}
wait_for 60 meet || fail "$round rounds, and hardly a conflict: $(refused)"
retried=$(($(again) - retried))
note "$round rounds, $(($(refused) - before)) transactions refused, $retried run again"
[ "$retried" -ge 5 ] || fail "only $retried were run again"

step "two nodes make names in a directory that one mount holds"
cat >"$WORK/held.py" <<'PY'
import os, sys, threading, time
tops, rounds = sys.argv[1:3], int(sys.argv[3])

def tries(what, *args):
    try:
        what(*args)
        return 1
    except FileExistsError:
        return 0

def write(path, text):
    with open(path, "x") as f:
        f.write(text)

for n in range(rounds):
    dirs = [f"{top}/h{n}" for top in tops]
    os.mkdir(dirs[0])
    for i in range(2000):       # it is held as long as names come
        if os.path.isdir(dirs[1]):
            break
        os.mkdir(f"{dirs[0]}/k{i}")
        time.sleep(0.01)
    start, won = threading.Barrier(2), [None, None]

    def race(at):
        start.wait()
        won[at] = (tries(os.mkdir, dirs[at] + "/s"), tries(write, dirs[at] + "/x", "of %d" % at),
                   tries(write, f"{dirs[at]}/own{at}", "own"))

    threads = [threading.Thread(target=race, args=(at,)) for at in (0, 1)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if None in won:
        sys.exit(f"round {n}: an error")
    sums = [a + b for a, b in zip(*won)]
    if sums != [1, 1, 2]:
        sys.exit(f"round {n}: winners of mkdir, of O_EXCL, and of names of their own: {won}")
    text = "of %d" % won[1][1]
    for at in (0, 1):           # a node may be behind for a moment
        want = {"s", "x", "own0", "own1"}
        for _ in range(1500):
            if want <= set(os.listdir(dirs[at])):
                break
            time.sleep(0.01)
        if not want <= set(os.listdir(dirs[at])) or open(dirs[at] + "/x").read() != text:
            sys.exit(f"round {n}: mount {at} has {os.listdir(dirs[at])}")
PY
python3 "$WORK/held.py" "$A/$D" "$B/$D" 12 || fail "names in a held directory"

step "locks hold across nodes: no line is lost"
: >"$A/$D/log"
append_locked "$A/$D/log" a 15 & pa=$!
append_locked "$B/$D/log" b 15 & pb=$!
wait $pa && wait $pb || fail "an append failed"
equal 30 "$(sort -u "$B/$D/log" | wc -l)" "lines of both"

step "what changes on one node is heard of on the others"
# Both keep the listing; without the journal it would be asked for again after
# a minute.
for m in "$A" "$B" "$A" "$B"; do ls "$m/$D" >/dev/null; done
shows() { [[ $'\n'$(ls "$1/$D")$'\n' = *$'\n'$2$'\n'* ]]; }
hidden() { ! shows "$@"; }
echo x >"$A/$D/made-on-1"
wait_for 15 shows "$B" made-on-1 || fail "not heard of on node 3"
rm "$B/$D/made-on-1"
wait_for 15 hidden "$A" made-on-1 || fail "not heard of on node 1"
FSP_TEST_MYSQL_SOCKET=$WORK/galera/node-2/sock sql "$S" "INSERT INTO filespace_file
	(file_key, space_key, data_hash, created_at, size_original, size_storage)
	VALUES ('of-php', 'x.y.z', SHA1('x'), 1500000000, 1, 1)"
for m in "$A" "$B"; do wait_for 15 shows "$m" of-php || fail "PHP on node 2 is not heard of on $m"; done
FSP_TEST_MYSQL_SOCKET=$WORK/galera/node-2/sock sql "$S" "UPDATE filespace_file
	SET deleted_at = 1500000001 WHERE file_key = 'of-php' AND deleted_at = 0"
for m in "$A" "$B"; do wait_for 15 hidden "$m" of-php || fail "PHP's removal is not heard of on $m"; done
# It has no object.
FSP_TEST_MYSQL_SOCKET=$WORK/galera/node-2/sock sql "$S" "DELETE FROM filespace_file
	WHERE file_key = 'of-php'"

step "the node of each mount is killed in an upload of its copy"
mkdir "$A/$D/copy"
pids=()
for who in a b; do
	[ $who = a ] && m=$A || m=$B
	python3 "$TOP/tests/tools/confirmed.py" copy "$m/$D/copy" $who "$WORK/enough" \
		4000000 >"$WORK/copied.$who" &
	pids+=($!)
done
# They are asked often: without a process.
said_of() { # said_of WHO WORD: sets COUNT, how many of its files, and LAST, its last line
	local lines line
	mapfile -t lines <"$WORK/copied.$1"
	COUNT=0 LAST=
	for line in "${lines[@]}"; do
		[[ $line != "$2"* ]] || COUNT=$((COUNT + 1))
		LAST=$line
	done
}
stored() { said_of "$1" ok && [ "$COUNT" -ge "$2" ]; }
failing() { said_of "$1" failed && [ "$COUNT" -gt "$2" ]; }
uploads() { said_of "$1" closing && [[ $LAST = closing* ]]; }
count() { said_of "$@" && echo "$COUNT"; }
# Killed while close() of a file goes on, which is its upload nearly all the time.
kill_in_upload() { # kill_in_upload WHO NODE
	local tries last
	for tries in 1 2 3 4 5 6 7 8 9; do
		wait_for 30 uploads "$1" || fail "$1 uploads nothing"
		last=$LAST
		kill -STOP "$(cat "$WORK/galera/node-$2/mariadbd.pid")"
		if uploads "$1" && [ "$last" = "$LAST" ]; then
			srv_kill "$WORK/galera" "$2"
			note "node $2 killed while: $last, try $tries"
			return
		fi
		kill -CONT "$(cat "$WORK/galera/node-$2/mariadbd.pid")"
	done
	fail "no kill in an upload of $1"
}
wait_for 30 stored a 3 || fail "no copy"
wait_for 30 stored b 3 || fail "no copy"
kill_in_upload b 3
a=$(count a ok) b=$(count b ok)
wait_for 60 stored a $((a + 3)) || fail "the copy does not go on: $(tail -n 3 "$WORK/copied.a")"
wait_for 60 stored b $((b + 3)) || fail "the copy of the mount on the dead node does not go on: $(tail -n 3 "$WORK/copied.b")"

step "another one is killed: without a quorum nothing can be written"
echo "known" >"$A/$D/known"
equal known "$(cat "$A/$D/known")" "a small file"
kill_in_upload a 1
a=$(count a failed) b=$(count b failed)
wait_for 60 failing a "$a" || fail "no error without a quorum: $(tail -n 3 "$WORK/copied.a")"
wait_for 60 failing b "$b" || fail "no error without a quorum: $(tail -n 3 "$WORK/copied.b")"
fails_as() { # fails_as TEXT COMMAND...: the first calls may have waited
	! "${@:2}" >"$WORK/fails.out" 2>&1 && grep -qF "$1" "$WORK/fails.out"
}
wait_for 30 fails_as EROFS "$OP" open "$A/$D/known" w || fail "opening for writing: $(cat "$WORK/fails.out")"
wait_for 30 fails_as EHOSTDOWN "$OP" mkdir "$A/$D/none" || fail "mkdir: $(cat "$WORK/fails.out")"
equal known "$(cat "$A/$D/known")" "what the mount knows"

step "with a quorum again all goes on by itself"
srv_restart "$WORK/galera" 1
a=$(count a ok) b=$(count b ok)
wait_for 60 stored a $((a + 2)) || fail "the copy does not go on: $(tail -n 3 "$WORK/copied.a")"
wait_for 60 stored b $((b + 2)) || fail "the other copy does not go on: $(tail -n 3 "$WORK/copied.b")"
touch "$WORK/enough"
for p in "${pids[@]}"; do wait "$p" || fail "a copy ended with an error"; done
note "$(cat "$WORK"/copied.* | grep -v '^closing' | cut -d ' ' -f 1,3 | sort | uniq -c | xargs)"
equal "" "$(sed -n 's/^failed [^ ]* //p' "$WORK"/copied.* | sort -u |
	sed -E '/^(EHOSTDOWN|EROFS|ETIMEDOUT)$/d' | xargs)" "errors of another sort"
mkdir "$B/$D/none"

step "what was confirmed is there, on both mounts"
mapfile -t names < <(sed -n 's/^ok //p' "$WORK"/copied.*)
for m in "$A" "$B"; do
	python3 "$TOP/tests/tools/confirmed.py" check "$m/$D/copy" "${names[@]}" || fail "lost on $m"
done
fs_stop one
fs_stop two
FSP_TEST_MYSQL_SOCKET=$WORK/galera/node-2/sock check_store "$S"
