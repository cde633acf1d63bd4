#!/usr/bin/env bash
# The real servers of the tests: each sort starts, answers, comes back after
# kill -9 with what it had acknowledged, and leaves no process.
# TIMEOUT 400
# TAKES 90
. "$(dirname "$0")/../lib/lib.sh"

start() { # start KIND: as a test does it for servers of its own
	local out since=$EPOCHREALTIME
	step "$1"
	out=$(srv_needs_of "$1" 2>&1) || skip "${out#servers: }"
	FSP_OWNER=$$ srv_start "$1" "$WORK/$1" || fail "$1 did not start"
	note "started in $(((${EPOCHREALTIME/./} - ${since/./}) / 1000)) ms"
	memory "$WORK/$1"
	# shellcheck disable=SC1090
	. "$WORK/$1/env"
}

memory() { # memory DIR
	local pidfile
	find "$1" -name '*.pid' | while read -r pidfile; do
		note "$(sed -n 's/^VmRSS:[[:space:]]*//p' "/proc/$(cat "$pidfile")/status")" \
			"${pidfile#"$WORK/"}"
	done
	note "$(du -sh "$1" | cut -f 1) on the disk"
}

processes() { # processes DIR
	local cmdline
	for cmdline in /proc/[0-9]*/cmdline; do
		tr '\0' ' ' 2>/dev/null <"$cmdline" | grep -F "$1" || :
	done
}

stop() { # stop KIND
	srv_stop "$WORK/$1"
	wait_for 5 none_left "$WORK/$1" || fail "left: $(processes "$WORK/$1")"
}
none_left() { [ -z "$(processes "$1")" ]; }

as_fsp() { # as_fsp ARGUMENT...: by TCP
	mariadb --no-defaults -h 127.0.0.1 -P "$FSP_TEST_MYSQL_PORT" \
		-u "${FSP_USER:-fsp}" -p"$FSP_TEST_MYSQL_PASSWORD" -N -B "$@"
}

# What the server itself counts of closing files: nobody else is here.
one_transaction_each() {
	local commits i
	[ -r /dev/fuse ] || return 0
	mkdir "$WORK/store"
	(umask 077 && cat >"$WORK/store/filespacefs.conf" <<-CONF
		[general]
		database = mysql
		adapter = file
		[file]
		path = $WORK/store/objects/
		[mysql]
		socket = $FSP_TEST_MYSQL_SOCKET
		user = $FSP_TEST_MYSQL_USER
		password = $FSP_TEST_MYSQL_PASSWORD
		database = t_commits
		[encryption]
		method = none
		CONF
	)
	mkdir "$WORK/store/objects"
	as_fsp -e "CREATE DATABASE t_commits"
	"$CTL" -s "$WORK/store" schema upgrade >"$WORK/schema.out" || fail "schema"
	fs_start fs "$WORK/store" "$WORK/mnt" -o mount.delegate=no
	mkdir -p "$WORK/mnt/a/b/c"
	commits() { as_fsp -e "SHOW GLOBAL STATUS LIKE 'Com_commit'" | cut -f 2; }
	# A shell closes a descriptor before it writes, which is one more.
	written() { "$TOOLS/fsop" open "$WORK/mnt/a/b/c/$1" "$2" write "$3" close >/dev/null; }
	commits=$(commits)
	for i in $(seq 20); do written "f$i" wct "$i"; done
	equal 40 $(($(commits) - commits)) "commits for 20 new files, made and closed"
	commits=$(commits)
	for i in $(seq 20); do written "f$i" wt "$i, again"; done
	equal 20 $(($(commits) - commits)) "commits for 20 new versions"
	fs_stop fs
	# In a new directory the name comes with the content; what it is held
	# with and given up by are a few more.
	fs_start fs "$WORK/store" "$WORK/mnt"
	commits=$(commits)
	mkdir "$WORK/mnt/a/b/d"
	for i in $(seq 20); do
		"$TOOLS/fsop" open "$WORK/mnt/a/b/d/f$i" wct write "$i" close >/dev/null
	done
	fs_stop fs
	commits=$(($(commits) - commits))
	[ "$commits" -lt 40 ] || fail "$commits commits for 20 files in a new directory"
	equal 40 "$(sql "$WORK/store" "SELECT count(*) FROM filespace_file WHERE deleted_at = 0")" rows
}

start mariadb
as_fsp -e "CREATE DATABASE t_x; CREATE TABLE t_x.a (b INT)"
must_say "denied" as_fsp -e "CREATE DATABASE other"
must_say "denied" mariadb --no-defaults -h 127.0.0.1 -P "$FSP_TEST_MYSQL_PORT" -u root
as_fsp t_x -e "INSERT INTO a VALUES (7)"
srv_kill "$WORK/mariadb"
must_fail as_fsp -e "SELECT 1"
srv_restart "$WORK/mariadb"
equal 7 "$(as_fsp t_x -e "SELECT * FROM a")" "the row after kill -9"
equal 1 "$(as_fsp -e "SELECT @@innodb_flush_log_at_trx_commit")" "flush at commit"
one_transaction_each
stop mariadb

start mariadb-tls
equal TLSv1.3 "$(FSP_USER=fsp_tls as_fsp --ssl-ca="$FSP_TEST_MYSQL_CA" \
	--ssl-verify-server-cert -e "SHOW STATUS LIKE 'Ssl_version'" | cut -f 2)" "TLS"
must_say "denied" env FSP_USER=fsp_tls mariadb --no-defaults --skip-ssl \
	-h 127.0.0.1 -P "$FSP_TEST_MYSQL_PORT" -u fsp_tls -p"$FSP_TEST_MYSQL_PASSWORD" -e "SELECT 1"
FSP_USER=fsp_cert must_say "denied" as_fsp --ssl-ca="$FSP_TEST_MYSQL_CA" -e "SELECT 1"
equal 1 "$(FSP_USER=fsp_cert as_fsp --ssl-ca="$FSP_TEST_MYSQL_CA" \
	--ssl-cert="$FSP_TEST_MYSQL_CERT" --ssl-key="$FSP_TEST_MYSQL_KEY" \
	-e "SELECT 1")" "with a certificate"
stop mariadb-tls

s3_works() {
	local bucket=b-$RANDOM
	s3_make_bucket "$bucket"
	echo "some text" >"$WORK/text"
	s3 PUT "$bucket/a/key" -T "$WORK/text"
	equal "some text" "$(s3 GET "$bucket/a/key")" "what was stored"
	equal a/key "$(s3_keys "$bucket")" "the keys"
	equal 403 "$(FSP_TEST_S3_ACCESS_KEY=$FSP_TEST_S3_OTHER_ACCESS_KEY \
		FSP_TEST_S3_SECRET_KEY=$FSP_TEST_S3_OTHER_SECRET_KEY \
		s3_status GET "$bucket/a/key")" "the other user's answer"
	equal 403 "$(FSP_TEST_S3_SECRET_KEY=wrong s3_status GET "$bucket/a/key")" "a wrong secret"
	equal 404 "$(s3_status GET "$bucket/none")" "a missing key"
	equal "some text" "$(FSP_TEST_S3_ENDPOINT=$FSP_TEST_S3_HTTPS \
		s3 GET "$bucket/a/key")" "by HTTPS"
	must_say "certificate" curl -sS "$FSP_TEST_S3_HTTPS"
	srv_kill "$WORK/$1" rgw
	must_fail s3 GET "$bucket/a/key"
	srv_restart "$WORK/$1" rgw
	equal "some text" "$(s3 GET "$bucket/a/key")" "after kill -9 of the gateway"
	BUCKET=$bucket
}

start replica
as_fsp -e "CREATE DATABASE t_x; CREATE TABLE t_x.a (b INT); INSERT INTO t_x.a VALUES (1)"
replica_caught_up "$WORK/replica"
on_replica() { mariadb_root "$WORK/replica/node-replica" "$@"; }
equal 1 "$(on_replica t_x -e "SELECT * FROM a")" "the row on the replica"
FSP_TEST_MYSQL_PORT=$FSP_TEST_REPLICA_PORT \
	must_say "read-only" as_fsp t_x -e "INSERT INTO a VALUES (9)"
srv_kill "$WORK/replica" replica
as_fsp t_x -e "INSERT INTO a VALUES (2)"
srv_kill "$WORK/replica" primary
srv_restart "$WORK/replica" replica
srv_restart "$WORK/replica" primary
replica_caught_up "$WORK/replica"
equal "1 2" "$(on_replica t_x -e "SELECT * FROM a ORDER BY b" | xargs)" "rows after kill -9 of both"
stop replica

start galera
on_node() { # on_node N STATEMENT: it has what the others had committed
	timeout 30 mariadb --no-defaults -u fsp -p"$FSP_TEST_MYSQL_PASSWORD" -N -B \
		-S "$WORK/galera/node-$1/sock" -e "SET wsrep_sync_wait = 7; $2"
}
on_node 1 "CREATE DATABASE t_x; CREATE TABLE t_x.a (b INT PRIMARY KEY); INSERT INTO t_x.a VALUES (1)"
equal 1 "$(on_node 3 "SELECT * FROM t_x.a")" "the row on another node"
srv_kill "$WORK/galera" 2
on_node 3 "INSERT INTO t_x.a VALUES (2)"
srv_restart "$WORK/galera" 2
equal "1 2" "$(on_node 2 "SELECT * FROM t_x.a" | xargs)" "rows on the node that came back"
for node in 1 2 3; do srv_kill "$WORK/galera" $node; done
srv_restart "$WORK/galera" all
equal "1 2" "$(on_node 1 "SELECT * FROM t_x.a" | xargs)" "rows after kill -9 of all"
srv_stop "$WORK/galera"
echo galera >"$WORK/galera/kind"
srv_restart "$WORK/galera" all
equal "1 2" "$(on_node 1 "SELECT * FROM t_x.a" | xargs)" "rows after an orderly end"
stop galera

start rgw
s3_works rgw
stop rgw

start rgw-bluestore
s3_works rgw-bluestore
for node in rgw osd mon; do srv_kill "$WORK/rgw-bluestore" $node; done
for node in mon osd rgw; do srv_restart "$WORK/rgw-bluestore" $node; done
equal "some text" "$(s3 GET "$BUCKET/a/key")" "after kill -9 of all"
stop rgw-bluestore

step "servers go when who started them has gone"
bash -c 'exec 2>&1; . "$1/tests/lib/servers.sh"; FSP_SESSION=own FSP_OWNER=$$ srv_start mariadb "$2"' \
	start "$TOP" "$WORK/orphan"
wait_for 20 none_left "$WORK/orphan" || fail "left: $(processes "$WORK/orphan")"
