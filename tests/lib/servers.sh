# shellcheck shell=bash
# Real servers for the tests, from Debian's packages, on 127.0.0.1: what
# tests/servers (the command) and lib.sh (the integration tests) share.
# mariadb.sh, cluster.sh, rgw.sh and s3.sh have what belongs to one sort.
#
# A server lives in a directory DIR of its own:
#
#   kind    the word it was started with; gone once it is stopped
#   env     what clients need, as shell assignments
#   *.pid   its processes; each has DIR in its command line
#   log     what it says
#
# Measured on 2 cores and an SSD, empty; three times as long beside a compiler:
#
#                   from nothing    resident                        disk
#   mariadb, -tls   0.7 s           71 MB                           62 MB
#   replica         1.0 s           2 x 71 MB                       123 MB
#   galera          11 s            3 x 102 MB                      377 MB
#   rgw             1.1 s           rgw 47, osd 49, mon 35 MB       40 MB
#                                   and the objects, 4 GB at the most
#   rgw-bluestore   8.2 s           rgw 47, osd 54, mon 36 MB       44 MB
#                                   and the objects, 12 GB at the most
#
# After kill -9 a server is back in 0.2 s; of Galera's nodes one in 4 s and all
# three in 4 s, and the others' writes wait up to 6 s when one dies. The disk of
# rgw is that of the monitor.

SERVERS_LIB=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$SERVERS_LIB/mariadb.sh"
. "$SERVERS_LIB/cluster.sh"
. "$SERVERS_LIB/rgw.sh"
. "$SERVERS_LIB/s3.sh"

srv_die() {
	printf 'servers: %s\n' "$*" >&2
	return 1
}

# srv_need PACKAGE COMMAND...: the words "apt-get install" make a skip of it.
srv_need() {
	local package=$1 c
	shift
	for c in "$@"; do
		command -v "$c" >/dev/null ||
			srv_die "needs $c (apt-get install $package)" || return
	done
}

srv_needs_of() { # srv_needs_of KIND
	srv_need python3 python3 && srv_need openssl openssl || return
	case $1 in
	mariadb | mariadb-tls | replica)
		srv_need mariadb-server mariadbd mariadb-install-db mariadb
		;;
	galera)
		srv_need mariadb-server mariadbd mariadb-install-db mariadb &&
			srv_need rsync rsync && srv_need lsof lsof || return
		[ -n "$(galera_library)" ] ||
			srv_die "needs libgalera_smm.so (apt-get install galera-4)"
		;;
	rgw | rgw-bluestore)
		srv_need radosgw radosgw && srv_need ceph-mon ceph-mon &&
			srv_need ceph-osd ceph-osd && srv_need ceph-common ceph &&
			srv_need curl curl
		;;
	*) srv_die "there is no server '$1'" ;;
	esac
}

# srv_wait SECONDS COMMAND...: until it succeeds.
srv_wait() {
	local left=$(($1 * 20))
	shift
	until "$@" >/dev/null 2>&1; do
		left=$((left - 1))
		[ "$left" -gt 0 ] || return 1
		sleep 0.05
	done
}

# A zombie has no command line, and a pid that was given to somebody else has
# not our directory in it: both are gone.
srv_pid_alive() { # srv_pid_alive PIDFILE
	local pid
	{ read -r pid <"$1"; } 2>/dev/null || return
	tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF -- "${1%/*}"
}
srv_pid_gone() { ! srv_pid_alive "$1"; }

srv_signal() { # srv_signal SIGNAL PIDFILE
	local pid
	srv_pid_alive "$2" || return 0
	read -r pid <"$2" && kill "-$1" "$pid" 2>/dev/null || :
}

# The descriptors of the caller: a lock that is held there must not live on in
# a server, nor a pipe that somebody reads to its end.
srv_close_all() {
	local fd
	for fd in /proc/self/fd/*; do
		fd=${fd##*/}
		[ "$fd" -le 2 ] || eval "exec $fd>&-"
	done
}

# Starts a server in the background. With FSP_SESSION=own it outlives the
# session of the caller; else the runner's stop_all finds it there.
srv_spawn() { # srv_spawn PIDFILE LOG COMMAND...
	local pidfile=$1 log=$2 own=()
	shift 2
	[ "${FSP_SESSION:-}" != own ] || own=(setsid)
	(
		srv_close_all
		trap - EXIT ERR
		cd / && exec "${own[@]}" bash -c \
			'echo $$ >"$1" && shift && exec "$@"' spawn "$pidfile" "$@"
	) </dev/null >>"$log" 2>&1 &
	disown                          # bash says nothing when it is killed
	srv_wait 10 test -s "$pidfile"
}

srv_stop_pid() { # srv_stop_pid SIGNAL PIDFILE
	[ -e "$2" ] || return 0
	srv_signal "$1" "$2"
	srv_signal CONT "$2"
	srv_wait 30 srv_pid_gone "$2" || {
		srv_signal KILL "$2"
		srv_wait 10 srv_pid_gone "$2" || return
	}
	rm -f "$2"
}

# kill -9, and it is gone when this returns.
srv_kill_pid() { # srv_kill_pid PIDFILE
	srv_pid_alive "$1" || srv_die "no process of $1" || return
	srv_signal KILL "$1"
	srv_wait 10 srv_pid_gone "$1" || return
	rm -f "$1"
}

srv_log_tail() { # srv_log_tail DIR
	local log
	for log in "$1"/log "$1"/*/log "$1"/log/*; do
		[ -f "$log" ] || continue
		printf -- '-- %s\n' "$log"
		tail -n 25 "$log"
	done >&2
}

# A CA of its own, a certificate for localhost and 127.0.0.1, one of a client.
# EC keys: they take no time.
srv_make_ca() { # srv_make_ca DIR
	local dir=$1 name
	mkdir -p "$dir" && (
		cd "$dir" || exit
		openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
			-keyout ca.key -out ca.pem -days 30 -subj "/CN=filespacefs test CA" \
			-addext basicConstraints=critical,CA:TRUE || exit
		for name in server client; do
			openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
				-keyout "$name.key" -out "$name.csr" \
				-subj "/CN=$([ "$name" = server ] && echo localhost || echo client)" &&
				printf 'subjectAltName=%s\n' "DNS:$([ "$name" = server ] &&
					echo localhost,IP:127.0.0.1 || echo client)" >"$name.ext" &&
				openssl x509 -req -in "$name.csr" -CA ca.pem -CAkey ca.key \
					-CAcreateserial -out "$name.pem" -days 30 \
					-extfile "$name.ext" || exit
		done
		cat server.pem server.key >server-both.pem
	) >"$dir/openssl.out" 2>&1 || srv_die "openssl: $(tail -n 3 "$dir/openssl.out")"
}

srv_start() { # srv_start KIND DIR
	local kind=$1 dir=$2
	srv_needs_of "$kind" || return
	mkdir -p "$dir" && dir=$(cd "$dir" && pwd) || return
	[ ! -e "$dir/kind" ] || srv_die "$dir is in use" || return
	chmod 700 "$dir"
	echo "$kind" >"$dir/kind"
	"srv_start_${kind//-/_}" "$dir" && [ -s "$dir/env" ] || {
		srv_log_tail "$dir"
		srv_stop "$dir"
		srv_die "$kind did not start in $dir"
		return 1
	}
	[ -z "${FSP_OWNER:-}" ] || {
		(
			srv_close_all
			cd / && exec setsid "$SERVERS_LIB/reaper" "$FSP_OWNER" "$dir"
		) </dev/null >/dev/null 2>&1 &
		disown
	}
}

srv_kind() {
	cat "$1/kind" 2>/dev/null || srv_die "no servers in $1"
}

# Ends everything that runs in DIR; the data stays.
srv_stop() { # srv_stop DIR
	local dir kind
	dir=$(cd "$1" 2>/dev/null && pwd) || return 0
	kind=$(srv_kind "$dir" 2>/dev/null) || return 0
	case $kind in
	rgw*) rgw_stop "$dir" ;;
	mariadb*) mariadb_stop "$dir" ;;
	*) for dir in "$dir"/node-*; do mariadb_stop "$dir" || return; done ;;
	esac || return
	rm -f "$1/kind"
}

# One of each sort for a whole run of tests, started by who asks first.
srv_shared() { # srv_shared KIND: prints its environment
	local kind=$1 dir
	: "${FSP_SHARED:?the runner of the tests says where shared servers live}"
	dir=$FSP_SHARED/$kind
	mkdir -p "$FSP_SHARED"
	(
		flock 9
		if [ -e "$dir.failed" ]; then
			cat "$dir.failed" >&2
			exit 1
		fi
		[ -e "$dir/env" ] || FSP_SESSION=own FSP_OWNER=$FSP_RUN_PID \
			srv_start "$kind" "$dir" 2>"$dir.out" || {
			mv "$dir.out" "$dir.failed"
			cat "$dir.failed" >&2
			exit 1
		}
	) 9>"$FSP_SHARED/$kind.lock" || return
	cat "$dir/env"
}

# The pid file of a node, and how it is started again.
srv_node() { # srv_node DIR [NODE]
	local kind
	kind=$(srv_kind "$1") || return
	case $kind:${2:-} in
	mariadb*:) echo "$1/mariadbd.pid" ;;
	replica:primary | replica:replica | galera:[123])
		echo "$1/node-$2/mariadbd.pid"
		;;
	galera:all) echo "$1/none.pid" ;;
	rgw*:) echo "$1/rgw.pid" ;;
	rgw*:rgw | rgw*:osd | rgw*:mon) echo "$1/$2.pid" ;;
	*) srv_die "$kind has no node '${2:-}'" ;;
	esac
}

srv_kill() { # srv_kill DIR [NODE]
	local pidfile
	pidfile=$(srv_node "$@") && srv_kill_pid "$pidfile"
}

srv_restart() { # srv_restart DIR [NODE]
	local pidfile dir
	pidfile=$(srv_node "$@") || return
	srv_pid_gone "$pidfile" || srv_die "${2:-the server} runs" || return
	dir=${pidfile%/*}
	case ${pidfile##*/} in
	mariadbd.pid)
		if [ "$(srv_kind "$1")" = galera ]; then
			galera_restart "$1" "$2"
		else
			mariadb_up "$dir"
		fi
		;;
	none.pid) galera_restart "$1" all ;;
	rgw.pid) rgw_gateway_up "$dir" ;;
	osd.pid) rgw_osd_up "$dir" ;;
	mon.pid) rgw_mon_up "$dir" ;;
	esac || {
		srv_log_tail "$dir"
		srv_die "${2:-the server} did not come back"
	}
}
