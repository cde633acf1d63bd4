# shellcheck shell=bash
# MariaDB: one, one with TLS. Sourced by servers.sh. A node is a directory: my.cnf, data, sock, log,
# mariadbd.pid, port.

# What a server of tests needs is small, but what makes a commit durable
# stays as it is in production.
mariadb_config() { # mariadb_config DIR PORT
	cat <<CNF
[mariadbd]
datadir=$1/data
socket=$1/sock
pid_file=$1/own-pid
tmpdir=$1/tmp
bind_address=127.0.0.1
port=$2
skip_name_resolve
innodb_flush_log_at_trx_commit=1
innodb_buffer_pool_size=64M
innodb_log_file_size=32M
aria_pagecache_buffer_size=8M
key_buffer_size=1M
performance_schema=OFF
max_connections=200
CNF
	[ "$(id -u)" != 0 ] || echo "user=${MARIADB_USER:-root}"
}

mariadb_layout() { # mariadb_layout DIR PORT [LINE-OF-CONFIGURATION...]
	local dir=$1 port=$2
	shift 2
	[ "${#dir}" -lt 100 ] ||
		srv_die "$dir is too long for the name of a socket" || return
	mkdir -p "$dir/data" "$dir/tmp" || return
	{
		mariadb_config "$dir" "$port"
		[ "$#" = 0 ] || printf '%s\n' "$@"
	} >"$dir/my.cnf"
	echo "$port" >"$dir/port"
	[ "$(id -u)" != 0 ] || chown -R "${MARIADB_USER:-root}" "$dir"
}

# Makes a node. Its root is only the user who runs the tests, by the socket;
# there is nobody without a password.
mariadb_make() { # mariadb_make DIR PORT [LINE-OF-CONFIGURATION...]
	local dir=$1
	mariadb_layout "$@" || return
	mariadb-install-db --defaults-file="$dir/my.cnf" --skip-test-db \
		--auth-root-authentication-method=socket \
		--auth-root-socket-user="$(id -un)" >"$dir/install.out" 2>&1 ||
		srv_die "mariadb-install-db: $(tail -n 5 "$dir/install.out")"
}

mariadb_up() { # mariadb_up DIR [OPTION...]: starts the server of a node
	local dir=$1
	shift
	srv_spawn "$dir/mariadbd.pid" "$dir/log" \
		mariadbd --defaults-file="$dir/my.cnf" "$@" &&
		srv_wait "${MARIADB_PATIENCE:-60}" mariadb_answers_or_gone "$dir" &&
		mariadb_answers "$dir"
}

mariadb_answers() { mariadb_root "$1" -e 'SELECT 1' >/dev/null 2>&1; }
mariadb_answers_or_gone() {
	mariadb_answers "$1" || srv_pid_gone "$1/mariadbd.pid"
}

# The administrator's client; statements come by -e or by stdin.
mariadb_root() { # mariadb_root DIR [OPTION...]
	local dir=$1
	shift
	mariadb --no-defaults --socket="$dir/sock" --batch --raw \
		--skip-column-names --default-character-set=utf8mb4 "$@"
}

mariadb_stop() { # mariadb_stop DIR
	srv_stop_pid TERM "$1/mariadbd.pid"
}

# Users of the tests: fsp may do all in databases t_*, and nothing else.
mariadb_users() { # mariadb_users DIR PASSWORD
	local host
	mariadb_root "$1" <<SQL || return
DELETE FROM mysql.global_priv WHERE User = '';
FLUSH PRIVILEGES;
SQL
	for host in localhost 127.0.0.1; do
		mariadb_root "$1" <<SQL || return
CREATE USER fsp@'$host' IDENTIFIED BY '$2';
GRANT ALL ON \`t\\_%\`.* TO fsp@'$host';
SQL
	done
}

mariadb_env() { # mariadb_env NODE-DIR PASSWORD [DIR-OF-ALL]
	printf '%s=%q\n' FSP_TEST_MYSQL_HOST 127.0.0.1 \
		FSP_TEST_MYSQL_PORT "$(cat "$1/port")" \
		FSP_TEST_MYSQL_SOCKET "$1/sock" FSP_TEST_MYSQL_USER fsp \
		FSP_TEST_MYSQL_PASSWORD "$2" FSP_TEST_MYSQL_DIR "${3:-$1}"
}

srv_password() { openssl rand -hex 12; }

srv_start_mariadb() { # srv_start_mariadb DIR [LINE-OF-CONFIGURATION...]
	local dir=$1 port password
	shift
	port=$("$SERVERS_LIB/free-ports" 1) && password=$(srv_password) &&
		mariadb_make "$dir" "$port" skip_log_bin "$@" &&
		mariadb_up "$dir" && mariadb_users "$dir" "$password" &&
		mariadb_env "$dir" "$password" >"$dir/env"
}

# TLS is offered to all. fsp_tls has to use it, fsp_cert with our client's
# certificate; their passwords are fsp's.
srv_start_mariadb_tls() { # srv_start_mariadb_tls DIR
	local dir=$1 FSP_TEST_MYSQL_PASSWORD
	srv_make_ca "$dir/tls" &&
		srv_start_mariadb "$dir" "ssl_ca=$dir/tls/ca.pem" \
			"ssl_cert=$dir/tls/server.pem" "ssl_key=$dir/tls/server.key" || return
	# shellcheck disable=SC1091
	. "$dir/env"
	mariadb_root "$dir" <<SQL || return
CREATE USER fsp_tls@'127.0.0.1' IDENTIFIED BY '$FSP_TEST_MYSQL_PASSWORD' REQUIRE SSL;
GRANT ALL ON \`t\\_%\`.* TO fsp_tls@'127.0.0.1';
CREATE USER fsp_cert@'127.0.0.1' IDENTIFIED BY '$FSP_TEST_MYSQL_PASSWORD'
	REQUIRE SUBJECT '/CN=client';
GRANT ALL ON \`t\\_%\`.* TO fsp_cert@'127.0.0.1';
SQL
	printf '%s=%q\n' FSP_TEST_MYSQL_CA "$dir/tls/ca.pem" \
		FSP_TEST_MYSQL_CERT "$dir/tls/client.pem" \
		FSP_TEST_MYSQL_KEY "$dir/tls/client.key" >>"$dir/env"
}
