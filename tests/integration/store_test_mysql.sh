#!/usr/bin/env bash
# filespacectl store test against MariaDB: by TLS, by a socket, without; as whom
# it knows, what may be done, which role the server has; and what does not work.
# TIMEOUT 120
. "$(dirname "$0")/../lib/lib.sh"
own_servers mariadb-tls "$WORK/db"
S=$WORK/store
store_init "$S"
root() { mariadb_root "$WORK/db" "$@"; }
root -e "CREATE DATABASE t_test; CREATE DATABASE t_php"
root t_php <"$FIXTURE/dump.sql"

says() { # says PATTERN: in the output of the last run
	grep -qE -- "$1" "$WORK/out" || fail "not said: $1; but: $(cat "$WORK/out")"
}
run_test() { # run_test STATUS SECTION.KEY=VALUE...
	local want=$1 rc=0 options=(-o general.database=mysql -o mysql.database=t_test) o
	shift
	for o; do options+=(-o "$o"); done
	FILESPACEFS_MYSQL_USER=${USER_IS:-fsp_tls} \
		FILESPACEFS_MYSQL_PASSWORD=${PASSWORD_IS:-$FSP_TEST_MYSQL_PASSWORD} \
		timeout 60 "$CTL" -s "$S" "${options[@]}" store test >"$WORK/out" 2>&1 || rc=$?
	[ "$rc" = "$want" ] || fail "exit $rc, not $want: $(cat "$WORK/out")"
	! grep -qF "$FSP_TEST_MYSQL_PASSWORD" "$WORK/out" || fail "the password was printed"
}
TCP=(mysql.host=127.0.0.1 "mysql.port=$FSP_TEST_MYSQL_PORT")
TLS=("${TCP[@]}" "mysql.tls_ca=$FSP_TEST_MYSQL_CA")

step "no tables yet, then all works by TLS"
run_test 1 "${TLS[@]}"
says '^FAIL database: schema .*there are no tables'
FILESPACEFS_MYSQL_USER=fsp FILESPACEFS_MYSQL_PASSWORD=$FSP_TEST_MYSQL_PASSWORD \
	"$CTL" -s "$S" -o general.database=mysql -o mysql.database=t_test \
	-o mysql.socket="$FSP_TEST_MYSQL_SOCKET" schema upgrade >/dev/null
run_test 0 "${TLS[@]}"
sed 's/^/   /' "$WORK/out"
says '^ok   database: connect +[0-9.]+ ms '
says '^ok   database: TLS .*TLSv1\.[23], certificate until [A-Z][a-z]{2} '
says '^ok   database: clock of this machine .*[-+]0\.[0-9]{3} s to the server'
says '^ok   database: version .*MariaDB'
says '^ok   database: role .*primary, or a server alone'
says '^ok   database: schema .*version [0-9]+'
says '^ok   database: write a row and remove it '
says '^all that is needed works$'

step "without TLS, by a socket"
USER_IS=fsp run_test 0 "${TCP[@]}" mysql.tls=off
says '^warn database: TLS .*none$'
USER_IS=fsp run_test 0 "mysql.socket=$FSP_TEST_MYSQL_SOCKET"
says '^ok   database: TLS .*none, by a socket of this machine'

step "what does not work is named"
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=another -keyout /dev/null \
	-out "$WORK/another.pem" 2>/dev/null
run_test 1 "${TCP[@]}" "mysql.tls_ca=$WORK/another.pem"
says '^FAIL database: connect .*[Cc]ertificate'
PASSWORD_IS=wrong run_test 1 "${TLS[@]}"
says '^FAIL database: connect .*[Aa]ccess denied'
says '^     check user, password and database'
run_test 1 mysql.host=127.0.0.1 mysql.port=1
says '^FAIL database: connect '
says '^     check the host and the port'
cp -r "$FIXTURE/objects/." "$S/objects"
run_test 1 "${TLS[@]}" mysql.database=t_php mysql.charset=latin1
says "^FAIL database: schema .*PHP's tables"
run_test 0 "${TLS[@]}" mysql.database=t_php mysql.charset=latin1 mount.read_only=yes
says '^ok   objects: get what a row names '
root -e "SET GLOBAL read_only = 1"
run_test 1 "${TLS[@]}"
says '^FAIL database: (role|connect) .*read-only'
run_test 0 "${TLS[@]}" mount.read_only=yes
says '^ok   database: role .*read-only'
root -e "SET GLOBAL read_only = 0;
	CREATE USER few@'127.0.0.1' IDENTIFIED BY '$FSP_TEST_MYSQL_PASSWORD';
	GRANT SELECT, INSERT, UPDATE ON t_test.* TO few@'127.0.0.1'"
USER_IS=few run_test 1 "${TCP[@]}" mysql.tls=off
says '^FAIL database: write to the tables .*DELETE'
srv_stop "$WORK/db"
