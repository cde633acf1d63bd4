# shellcheck shell=bash
# Several MariaDB servers: a primary with its replica, a Galera cluster. Sourced
# by servers.sh; the nodes are DIR/node-NAME, as in mariadb.sh.

# A node with the data of another one that has not run yet: quicker than to
# make it again.
mariadb_copy() { # mariadb_copy FROM DIR PORT [LINE-OF-CONFIGURATION...]
	local from=$1 dir=$2
	shift
	mkdir -p "$dir" && cp -a "$from/data" "$dir/data" &&
		mariadb_layout "$@"
}

# The replica follows from the first statement on, asynchronously. The primary
# syncs its binary log, or it could lose what it has told. Triggers may be made
# without SUPER.
srv_start_replica() { # srv_start_replica DIR
	local dir=$1 ports password repl p=$1/node-primary r=$1/node-replica
	mapfile -t ports < <("$SERVERS_LIB/free-ports" 2)
	local common=(binlog_format=ROW gtid_strict_mode=ON sync_binlog=1
		log_bin=binlog log_slave_updates=ON relay_log=relay
		log_bin_trust_function_creators=ON)
	password=$(srv_password) && repl=$(srv_password) &&
		mariadb_make "$p" "${ports[0]}" server_id=1 "${common[@]}" &&
		mariadb_copy "$p" "$r" "${ports[1]}" server_id=2 read_only=ON \
			"${common[@]}" &&
		mariadb_up "$p" && mariadb_up "$r" || return
	mariadb_root "$p" <<SQL || return
CREATE USER repl@'127.0.0.1' IDENTIFIED BY '$repl';
GRANT REPLICATION SLAVE ON *.* TO repl@'127.0.0.1';
SQL
	mariadb_root "$r" <<SQL || return
CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=${ports[0]},
	MASTER_USER='repl', MASTER_PASSWORD='$repl', MASTER_CONNECT_RETRY=1,
	MASTER_USE_GTID=slave_pos;
START SLAVE;
SQL
	mariadb_users "$p" "$password" && replica_caught_up "$dir" || return
	{
		mariadb_env "$p" "$password" "$dir"
		printf '%s=%q\n' FSP_TEST_REPLICA_PORT "${ports[1]}" \
			FSP_TEST_REPLICA_SOCKET "$r/sock"
	} >"$dir/env"
}

replica_caught_up() { # replica_caught_up DIR
	local gtid
	gtid=$(mariadb_root "$1/node-primary" -e 'SELECT @@gtid_current_pos') &&
		[ "$(mariadb_root "$1/node-replica" \
			-e "SELECT MASTER_GTID_WAIT('$gtid', 30)")" = 0 ]
}

galera_library() {
	local f
	for f in /usr/lib/galera/libgalera_smm.so /usr/lib/libgalera_smm.so; do
		[ ! -e "$f" ] || { echo "$f" && return; }
	done
}

# The transfer to a node that joins refuses to work as root.
galera_user() {
	[ "$(id -u)" = 0 ] || return 0
	id -un mysql 2>/dev/null || srv_die "there is no user mysql for Galera"
}

# A partition or a dead node is noticed within some seconds, as in production.
galera_config() { # galera_config N PORTS...: MySQL, group, IST, SST of each node
	local n=$1
	shift
	local p=("$@") group=$((n * 4 - 3))
	cat <<CNF
wsrep_on=ON
wsrep_provider=$(galera_library)
wsrep_cluster_name=filespacefs-test
wsrep_cluster_address=gcomm://127.0.0.1:${p[1]},127.0.0.1:${p[5]},127.0.0.1:${p[9]}
wsrep_node_name=node-$n
wsrep_node_address=127.0.0.1:${p[group]}
wsrep_sst_method=rsync
wsrep_sst_receive_address=127.0.0.1:${p[group + 2]}
wsrep_provider_options="gmcast.listen_addr=tcp://127.0.0.1:${p[group]};ist.recv_addr=127.0.0.1:${p[group + 1]};gcache.size=64M;pc.recovery=true"
binlog_format=ROW
innodb_autoinc_lock_mode=2
CNF
}

srv_start_galera() { # srv_start_galera DIR
	local dir=$1 ports password n MARIADB_USER
	MARIADB_USER=$(galera_user) || return
	chmod 711 "$dir"
	[ -z "$MARIADB_USER" ] || setpriv --reuid "$MARIADB_USER" --clear-groups \
		test -x "$dir" || srv_die "$MARIADB_USER cannot reach $dir" || return
	mapfile -t ports < <("$SERVERS_LIB/free-ports" 12)
	[ "${#ports[@]}" = 12 ] && password=$(srv_password) &&
		mariadb_make "$dir/node-1" "${ports[0]}" || return
	for n in 2 3; do
		mariadb_copy "$dir/node-1" "$dir/node-$n" "${ports[n * 4 - 4]}" || return
	done
	for n in 1 2 3; do
		galera_config "$n" "${ports[@]}" >>"$dir/node-$n/my.cnf"
	done
	mariadb_up "$dir/node-1" --wsrep-new-cluster &&
		mariadb_users "$dir/node-1" "$password" &&
		mariadb_up "$dir/node-2" && mariadb_up "$dir/node-3" || return
	{
		mariadb_env "$dir/node-1" "$password" "$dir"
		printf '%s=%q\n' FSP_TEST_GALERA_PORTS "${ports[0]} ${ports[4]} ${ports[8]}"
	} >"$dir/env"
}

# After kill -9 a node has to look up how far it had come, else it is given
# everything again.
galera_position() { # galera_position NODE-DIR: an option for its start
	local out=$1/recover.out position
	[ -e "$1/data/grastate.dat" ] || return 0
	mariadbd --defaults-file="$1/my.cnf" --wsrep-recover --log-error="$out" \
		--skip-networking --socket="$1/recover.sock" >/dev/null 2>&1 || return
	position=$(sed -n 's/.*WSREP: Recovered position:[[:space:]]*//p' "$out" | tail -n 1)
	rm -f "$out"
	[ -z "$position" ] || echo "--wsrep_start_position=$position"
}

# One node into a cluster that lives, or all of one that was stopped or killed:
# the one that was stopped last goes first; nodes that were killed together find
# each other again and go on when all are there.
galera_restart() { # galera_restart DIR 1|2|3|all
	local dir=$1 n first=
	case $2 in
	[123])
		galera_launch "$dir" "$2" && galera_wait "$dir/node-$2"
		return
		;;
	esac
	for n in 1 2 3; do
		! grep -q '^safe_to_bootstrap: 1' "$dir/node-$n/data/grastate.dat" ||
			first=$n
	done
	[ -z "$first" ] || { galera_launch "$dir" "$first" --wsrep-new-cluster &&
		galera_wait "$dir/node-$first"; } || return
	for n in 1 2 3; do
		[ "$n" = "$first" ] || galera_launch "$dir" "$n" || return
	done
	for n in 1 2 3; do galera_wait "$dir/node-$n" || return; done
}

galera_launch() { # galera_launch DIR N [OPTION...]
	local node=$1/node-$2 position
	shift 2
	position=$(galera_position "$node") || return
	srv_spawn "$node/mariadbd.pid" "$node/log" mariadbd \
		--defaults-file="$node/my.cnf" ${position:+"$position"} "$@"
}

galera_wait() {
	srv_wait 60 galera_ready_or_gone "$1" && galera_ready "$1"
}
galera_ready() {
	[ "$(mariadb_root "$1" -e "SHOW STATUS LIKE 'wsrep_local_state_comment'" |
		cut -f 2)" = Synced ]
}
galera_ready_or_gone() { galera_ready "$1" || srv_pid_gone "$1/mariadbd.pid"; }
