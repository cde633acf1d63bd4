#!/usr/bin/env bash
# A primary and its replica: histories are read from the replica, never without
# what the mount itself has committed; a replica that comes first among the hosts
# is passed by for writing; the primary is killed in a copy, the replica takes
# over, and what close() had confirmed is all there, since it follows
# semi-synchronously.
# TIMEOUT 200
# TAKES 20
# SERVERS rgw
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
need python3 python3
own_servers replica "$WORK/r"
export FSP_BACKEND=servers
P=$WORK/r/node-primary
R=$WORK/r/node-replica
A=$WORK/a
B=$WORK/b
S=$WORK/store
store_init "$S" -o bzip2.level=1
primary=127.0.0.1:$FSP_TEST_MYSQL_PORT
replica=127.0.0.1:$FSP_TEST_REPLICA_PORT
store_for() { # store_for DIR LINE...: the same one by other hosts
	mkdir "$1"
	(umask 077 && sed "s|^socket = .*|$(printf '%s\\n' "${@:2}")|" "$S/filespacefs.conf" \
		>"$1/filespacefs.conf")
}
store_for "$WORK/reads" "host = $primary" "read_hosts = $replica"
store_for "$WORK/hosts" "host = $replica, $primary"
OPTIONS=(-o "mount.thin_versions=0,mount.op_timeout=8s,mysql.connect_timeout=1s,mysql.timeout=10s")
caught_up() { wait_for 30 replica_caught_up "$WORK/r" || fail "the replica does not follow"; }
on_replica() { mariadb_root "$R" "$@"; }
selects() { # selects NODE: how many it has answered
	mariadb_root "$1" -e "SHOW GLOBAL STATUS LIKE 'Com_select'" | cut -f 2
}
versions() { ls "$1/.versions/f" | wc -l; } # versions DIR

step "histories are read from the replica"
fs_start reads "$WORK/reads" "$A" "${OPTIONS[@]}"
D=x/y/z
mkdir -p "$A/$D"
echo 1 >"$A/$D/f"
echo 2 >"$A/$D/f"
caught_up
n=$(selects "$R")
equal 2 "$(versions "$A/$D")" "versions"
[ "$(selects "$R")" -gt "$n" ] || fail "the replica was not asked"

step "what this mount commits while the replica stands still is read at once"
on_replica -e "STOP SLAVE SQL_THREAD"
for i in 3 4 5; do
	echo "$i" >"$A/$D/f"
	equal "$i" "$(versions "$A/$D")" "versions, with the replica behind"
	equal "$i" "$(cat "$A/$D/f")" "the content"
done
equal 2 "$(on_replica "$(conf_value "$S" mysql database)" \
	-e "SELECT count(*) FROM filespace_file")" "rows on the replica"
equal 5 "$("$CTL" -s "$WORK/reads" versions --json "/$D/f" |
	python3 -c 'import json,sys; print(len(json.load(sys.stdin)["versions"]))')" \
	"versions that filespacectl lists"
on_replica -e "START SLAVE SQL_THREAD"
caught_up

step "and while it comes and goes"
read_back() { # read_back LAST: what is written is listed, whoever is asked
	while [ "$i" -lt "$1" ]; do
		i=$((i + 1))
		[ $((i % 4)) != 0 ] || on_replica -e "STOP SLAVE SQL_THREAD"
		[ $((i % 4)) != 2 ] || on_replica -e "START SLAVE SQL_THREAD"
		echo "$i" >"$A/$D/f"
		equal "$i" "$(versions "$A/$D")" "versions"
	done
	on_replica -e "START SLAVE SQL_THREAD"
	caught_up
}
read_back 25
n=$(selects "$R")
asked_again() { versions "$A/$D" >/dev/null && [ "$(selects "$R")" -gt "$n" ]; }
wait_for 20 asked_again || fail "the replica is not asked any more"

fs_stop reads

step "a replica that comes first is passed by: all is read where it is written"
fs_start hosts "$WORK/hosts" "$B" "${OPTIONS[@]}"
on_replica -e "STOP SLAVE SQL_THREAD"
for i in 1 2 3; do
	echo "by a host list $i" >"$B/$D/g"
	equal "by a host list $i" "$(cat "$B/$D/g")" "what was just written"
	equal "$i" "$(ls "$B/$D/.versions/g" | wc -l)" "versions"
done
on_replica -e "START SLAVE SQL_THREAD"
caught_up

step "the primary is killed in a copy; the replica has all of it, applied or not"
mariadb_root "$P" -e "SET GLOBAL rpl_semi_sync_master_timeout = 60000,
	rpl_semi_sync_master_wait_point = 'AFTER_SYNC', rpl_semi_sync_master_enabled = ON"
on_replica -e "SET GLOBAL rpl_semi_sync_slave_enabled = ON; STOP SLAVE IO_THREAD; START SLAVE IO_THREAD"
is_semi_sync() {
	[ "$(mariadb_root "$P" -e "SHOW STATUS LIKE 'Rpl_semi_sync_master_status'" | cut -f 2)" = ON ] &&
		[ "$(mariadb_root "$P" -e "SHOW STATUS LIKE 'Rpl_semi_sync_master_clients'" | cut -f 2)" = 1 ]
}
wait_for 20 is_semi_sync || fail "not semi-synchronous"
caught_up
on_replica -e "STOP SLAVE SQL_THREAD"
echo "the newest" >"$B/$D/g"
python3 "$TOP/tests/tools/confirmed.py" copy "$B/$D" b "$WORK/enough" 200000 >"$WORK/copied" &
copier=$!
said() { # said WORD N: of so many files; asked often, so without a process
	local lines line n=0
	mapfile -t lines <"$WORK/copied"
	for line in "${lines[@]}"; do [[ $line != "$1"* ]] || n=$((n + 1)); done
	[ "$n" -ge "$2" ]
}
stored() { said ok "$1"; }
failing() { said failed "$1"; }
wait_for 30 stored 10 || fail "no copy"
srv_kill "$WORK/r" primary
wait_for 60 failing 5 || fail "the copy goes on without a primary: $(tail -n 3 "$WORK/copied")"
ok=$(grep -c '^ok' "$WORK/copied")
# What is read now comes from the replica, or from what the mount knows.
for i in 1 2 3 4 5 6 7 8 9 10; do
	equal "the newest" "$(cat "$B/$D/g")" "read with the replica behind"
	nap 0.1
done

step "with all of it applied reading goes on, and writing says why not"
on_replica -e "START SLAVE SQL_THREAD"
applied() {
	on_replica -e "SHOW SLAVE STATUS" | grep -q "has read all relay log"
}
wait_for 30 applied || fail "not applied"
lists() { [ "$(ls "$B/$D/.versions/g" 2>/dev/null | wc -l)" = 4 ]; }
wait_for 20 lists || fail "no reading from the replica: $(ls "$B/$D/.versions/g" 2>&1 | tail -n 3)"
[ "$(on_replica -e "SELECT @@read_only")" = 1 ] || fail "the replica is writable"
must_say "Read-only file system" mkdir "$B/$D/none"
equal "the newest" "$(cat "$B/$D/g")" "read from the replica"

step "the replica is made the primary: the copy goes on, all confirmed is there"
on_replica -e "STOP SLAVE; RESET SLAVE ALL; SET GLOBAL read_only = OFF"
wait_for 60 stored $((ok + 10)) || fail "the copy does not go on: $(tail -n 3 "$WORK/copied")"
touch "$WORK/enough"
wait "$copier" || fail "the copy ended with an error"
note "$(grep -v '^closing' "$WORK/copied" | cut -d ' ' -f 1,3 | sort | uniq -c | xargs)"
equal "" "$(sed -n 's/^failed [^ ]* //p' "$WORK/copied" | sort -u |
	sed -E '/^(EHOSTDOWN|EROFS|ETIMEDOUT)$/d' | xargs)" "errors of another sort"
mkdir "$B/$D/new"
mapfile -t names < <(sed -n 's/^ok //p' "$WORK/copied")
python3 "$TOP/tests/tools/confirmed.py" check "$B/$D" "${names[@]}" || fail "lost"

step "it is its own read host then, too"
store_for "$WORK/after" "host = $replica" "read_hosts = $replica"
fs_start after "$WORK/after" "$A" "${OPTIONS[@]}"
echo "after it" >"$A/$D/g"
equal 5 "$(ls "$A/$D/.versions/g" | wc -l)" "versions on the new primary"
python3 "$TOP/tests/tools/confirmed.py" check "$A/$D" "${names[@]}" || fail "lost for another mount"
fs_stop hosts
fs_stop after
FSP_TEST_MYSQL_SOCKET=$R/sock check_store "$WORK/after"
