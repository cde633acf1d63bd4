#!/usr/bin/env bash
# `filespacectl schema` on MariaDB: PHP's tables become ours while PHP writes,
# with the command and the server killed on the way.
# TIMEOUT 300
# TAKES 43
. "$(dirname "$0")/../lib/lib.sh"

need php php
own_servers mariadb "$WORK/db"
export FILESPACEFS_MYSQL_USER=fsp FILESPACEFS_MYSQL_PASSWORD=$FSP_TEST_MYSQL_PASSWORD
S=$WORK/store
store_init "$S"

schema() { (exec_schema "$@"); } # schema DATABASE CHARSET WORD...
exec_schema() { # in the background $! is the command itself
	local db=$1 charset=$2
	shift 2
	exec "$CTL" -s "$S" -o general.database=mysql -o mysql.host=127.0.0.1 \
		-o mysql.port="$FSP_TEST_MYSQL_PORT" -o mysql.database="$db" \
		-o mysql.charset="$charset" schema "$@"
}
root() { mariadb_root "$WORK/db" "$@"; }
there() { # there DATABASE TABLE
	[ "$(root -e "SELECT COUNT(*) FROM information_schema.tables WHERE
		table_schema = '$1' AND table_name = '$2'")" = 1 ]
}

step "PHP's own store, over latin1"
root -e "CREATE DATABASE t_php"
root t_php <"$FIXTURE/dump.sql"
sum() { # sum DATABASE CHARSET: what PHP reads
	root "$1" -e "SELECT id, HEX(CONVERT(file_key USING $2)),
		HEX(CONVERT(space_key USING $2)), data_hash, created_at,
		COALESCE(deleted_at, 0), size_original FROM filespace_file
		ORDER BY id" | sha256sum
}
before=$(sum t_php latin1)
must_say "filespace_file lacks the column ino" schema t_php latin1 check
schema t_php latin1 plan >"$WORK/plan"
# Where writers wait, and what happens meanwhile.
sed -n '/^-- writers wait from here/,/^-- writers go on/p' "$WORK/plan" >"$WORK/locked"
grep -q "^RENAME TABLE filespace_file TO fsp_old_file" "$WORK/locked" ||
	fail "plan: $(cat "$WORK/plan")"
equal 2 "$(grep -c '^-- writers wait from here: 0\.[0-9]* s at the longest with a million' \
	"$WORK/locked")" "how long they wait: $(cat "$WORK/locked")"
! grep '^INSERT\|^ALTER' "$WORK/locked" || fail "what takes long while they wait"
schema t_php utf8mb4 plan >"$WORK/plan"
grep -q "looks encoded twice" "$WORK/plan" || fail "no warning"
schema t_php latin1 --json plan | python3 -c '
import json, sys
plan = json.load(sys.stdin)
assert plan["needed"] and "CREATE TABLE" in plan["sql"], plan'
equal 2 "$(root -e "SELECT COUNT(*) FROM information_schema.tables WHERE
	table_schema = 't_php'")" "tables after check and plan"
schema t_php latin1 upgrade >"$WORK/upgrade"
grep -q "16 rows were taken over" "$WORK/upgrade" || fail "$(cat "$WORK/upgrade")"
grep -q "writers waited for 0\." "$WORK/upgrade" || fail "$(cat "$WORK/upgrade")"
schema t_php latin1 check >/dev/null
equal "$before" "$(root t_php -e "SELECT id, HEX(file_key), HEX(space_key),
	data_hash, created_at, deleted_at, size_original FROM filespace_file
	ORDER BY id" | sha256sum)" "rows"
schema t_php latin1 upgrade >"$WORK/upgrade"
grep -q "up to date" "$WORK/upgrade" || fail "$(cat "$WORK/upgrade")"

step "the plan's statements are what is run"
root -e "CREATE DATABASE t_new"
schema t_new utf8mb4 plan >"$WORK/plan"
root t_new <"$WORK/plan"
schema t_new utf8mb4 check >/dev/null

step "privileges that are missing are named"
root -e "CREATE USER low@'127.0.0.1' IDENTIFIED BY 'low';
	CREATE DATABASE t_low; GRANT SELECT, INSERT, UPDATE ON t_low.* TO
	low@'127.0.0.1'"
root t_low <"$FIXTURE/dump.sql"
low() {
	FILESPACEFS_MYSQL_USER=low FILESPACEFS_MYSQL_PASSWORD=low \
		schema t_low latin1 "$@"
}
must_say "GRANT SELECT, INSERT, UPDATE, DELETE, CREATE" low upgrade
low plan >/dev/null
equal 2 "$(root -e "SELECT COUNT(*) FROM information_schema.tables WHERE
	table_schema = 't_low'")" "tables after a refusal"

step "a large store, PHP at work, kill -9 of the command"
root -e "CREATE DATABASE t_big"
root t_big <"$FIXTURE/dump.sql"
root t_big -e "INSERT INTO filespace_file (file_key, space_key, data_hash,
	created_at, deleted_at, size_original, size_storage) SELECT
	CONCAT('f', seq), CONCAT('a.b.', seq % 5000), SHA1(seq), seq,
	IF(seq % 3, 0, 9), seq, seq FROM seq_1_to_100000"
php "$TOP/tests/tools/uploads.php" "$FSP_TEST_MYSQL_PORT" "$FSP_TEST_MYSQL_PASSWORD" \
	t_big "$WORK/enough" >"$WORK/written" 2>&1 &
writer=$!
rows_in() { # rows_in TABLE: 0 while it is not there
	root t_big -e "SELECT COUNT(*) FROM $1" 2>/dev/null || echo 0
}
copied() { [ "$(rows_in fsp_new_file)" -gt "$1" ]; }
written() { [ "$(rows_in "filespace_file WHERE space_key = 'w.w.w'")" -gt "$1" ]; }
wait_for 20 written 20 || fail "the writer: $(cat "$WORK/written")"
kill_when() { # kill_when CONDITION...: starts an upgrade, and kills it then
	local pid
	exec_schema t_big utf8mb4 upgrade >"$WORK/out" 2>&1 &
	pid=$!
	wait_for 30 "$@" || fail "$*: $(cat "$WORK/out")"
	kill -9 "$pid"
	! wait "$pid" 2>/dev/null || fail "it was not killed"
}
kill_when there t_big fsp_log_file
kill_when copied 10000
kill_when copied 60000
schema t_big utf8mb4 upgrade >"$WORK/out" 2>&1 || fail "$(cat "$WORK/out")"
note "$(grep waited "$WORK/out")"
: >"$WORK/enough"
wait "$writer" || fail "the writer: $(cat "$WORK/written")"
n=$(sed -n 's/^done \([0-9]*\) [0-9]*$/\1/p' "$WORK/written")
[ -n "$n" ] || fail "the writer: $(cat "$WORK/written")"
note "$n uploads meanwhile"
equal "$n" "$(rows_in "filespace_file WHERE space_key = 'w.w.w'")" "uploads"
equal 7 "$(rows_in "filespace_file WHERE space_key = 'w.w.w' AND
	deleted_at = 0")" "files"
equal "100000" "$(rows_in "filespace_file WHERE space_key LIKE 'a.b.%'
	AND data_hash = SHA1(SUBSTR(file_key, 2)) AND deleted_at =
	IF(SUBSTR(file_key, 2) % 3, 0, 9)")" "old rows"
schema t_big utf8mb4 check >/dev/null

step "kill -9 of the server"
root -e "DROP DATABASE t_big; CREATE DATABASE t_big"
root t_big <"$FIXTURE/dump.sql"
root t_big -e "INSERT INTO filespace_file (file_key, space_key, data_hash,
	created_at, deleted_at, size_original, size_storage) SELECT
	CONCAT('f', seq), CONCAT('a.b.', seq % 5000), SHA1(seq), seq,
	IF(seq % 3, 0, 9), seq, seq FROM seq_1_to_100000"
before=$(sum t_big utf8mb4)
for condition in "there t_big fsp_log_file" "copied 30000" "copied 100010"; do
	exec_schema t_big utf8mb4 upgrade >"$WORK/out" 2>&1 &
	pid=$!
	# shellcheck disable=SC2086 # words
	wait_for 30 $condition || fail "$condition: $(cat "$WORK/out")"
	srv_kill "$WORK/db"
	! wait "$pid" || fail "an upgrade without a server: $(cat "$WORK/out")"
	srv_restart "$WORK/db"
done
schema t_big utf8mb4 upgrade >"$WORK/out" 2>&1 || fail "$(cat "$WORK/out")"
equal "$before" "$(sum t_big utf8mb4)" "rows"
schema t_big utf8mb4 check >/dev/null

step "a binary log, under which only SUPER makes triggers"
mariadb_stop "$WORK/db"
mariadb_up "$WORK/db" --log-bin="$WORK/db/data/binlog" --server-id=1 ||
	fail "no server with a binary log"
root -e "CREATE DATABASE t_log; CREATE DATABASE t_log2; CREATE DATABASE t_log3"
root t_log <"$FIXTURE/dump.sql"
tables() { # tables DATABASE
	root -e "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = '$1'"
}
refused() { # refused DATABASE WORD...
	local tables
	tables=$(tables "$1")
	must_say "log_bin_trust_function_creators = 1, or GRANT SUPER ON *.* TO 'fsp'@'127.0.0.1'" \
		schema "$1" latin1 "${@:2}"
	equal 1 "$(grep -c . "$WORK/must_fail.log")" "lines: $(cat "$WORK/must_fail.log")"
	equal "$tables" "$(tables "$1")" "tables of $1 after a refusal"
}
for db in t_log t_log2; do
	refused $db plan
	refused $db upgrade
	"$CTL" -s "$S" -o general.database=mysql -o mysql.host=127.0.0.1 \
		-o mysql.port="$FSP_TEST_MYSQL_PORT" -o mysql.database=$db \
		store test >"$WORK/out" 2>&1 || true
	grep -q "^warn .*triggers for an upgrade .*GRANT SUPER ON" "$WORK/out" ||
		fail "store test: $(cat "$WORK/out")"
done
root -e "GRANT SUPER ON *.* TO fsp@'127.0.0.1'"
schema t_log latin1 upgrade >/dev/null
root -e "REVOKE SUPER ON *.* FROM fsp@'127.0.0.1'"
schema t_log latin1 check >/dev/null
schema t_log latin1 upgrade >/dev/null
root t_log -e "DROP TRIGGER fsp_journal_file_insert"
refused t_log upgrade
root -e "CREATE ROLE trusted; GRANT SUPER ON *.* TO trusted;
	GRANT trusted TO fsp@'127.0.0.1'; SET DEFAULT ROLE trusted FOR fsp@'127.0.0.1'"
schema t_log latin1 upgrade >/dev/null
schema t_log2 latin1 upgrade >/dev/null
root -e "REVOKE trusted FROM fsp@'127.0.0.1'"
refused t_log3 upgrade
root -e "SET GLOBAL log_bin_trust_function_creators = 1"
schema t_log3 latin1 upgrade >/dev/null

step "an embedded store answers likewise"
"$CTL" -s "$S" --json schema check | python3 -c '
import json, sys
assert json.load(sys.stdin)["needed"] is False'
"$CTL" -s "$S" schema plan | grep -q "up to date" || fail "plan of SQLite"
srv_stop "$WORK/db"
