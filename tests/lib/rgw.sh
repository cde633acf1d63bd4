# shellcheck shell=bash
# A real S3: Ceph's gateway over one OSD and one monitor. Sourced by servers.sh.
#
# The OSD holds its objects in memory, where they are gone with its process; a
# test that kills more than the gateway takes rgw-bluestore, which writes to a
# file. That file is sparse and needs 12 GB of room at the most.

# Ceph's own authentication is off: only the gateway talks to the OSD, on
# loopback. Without ms_*_mode=crc the gateway asks for encryption and fails,
# without the two paxos settings each of its pools costs a second or more, and
# without tcp_nodelay a small answer waits 40 ms for the client's ACK.
rgw_config() { # rgw_config DIR STORE MON-V2 MON-V1 HTTP HTTPS
	cat <<CONF
[global]
fsid = $(cat /proc/sys/kernel/random/uuid)
mon_initial_members = a
mon_host = [v2:127.0.0.1:$3,v1:127.0.0.1:$4]
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
public_network = 127.0.0.0/8
ms_bind_ipv6 = false
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
ms_mon_client_mode = crc
ms_client_mode = crc
ms_cluster_mode = crc
ms_service_mode = crc
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 8
osd_pool_default_pgp_num = 8
osd_pool_default_pg_autoscale_mode = off
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
osd_crush_chooseleaf_type = 0
paxos_propose_interval = 0.05
paxos_min_wait = 0.01
run_dir = $1/run
crash_dir = $1/crash
keyring = $1/keyring
admin_socket =
pid_file =
log_file = $1/log/\$name.log

[mon.a]
host = localhost
mon_data = $1/mon
mon_data_avail_crit = 0
mon_data_avail_warn = 0

[osd.0]
host = localhost
osd_data = $1/osd
osd_memory_target = 1073741824
$(if [ "$2" = memstore ]; then
		printf '%s\n' 'osd_objectstore = memstore' \
			'memstore_device_bytes = 4G'
	else
		printf '%s\n' 'osd_objectstore = bluestore' \
			'bluestore_block_create = true' \
			'bluestore_block_preallocate_file = false' \
			'bluestore_block_size = 12G'
	fi)

[client.rgw.a]
rgw_frontends = beast endpoint=127.0.0.1:$5 ssl_endpoint=127.0.0.1:$6 ssl_certificate=$1/tls/server.pem ssl_private_key=$1/tls/server.key tcp_nodelay=1
rgw_data = $1/rgw
rgw_dns_name = localhost
rgw_run_sync_thread = false
rgw_thread_pool_size = 64
rgw_gc_obj_min_wait = 1
rgw_gc_processor_period = 5
CONF
}

rgw_make() { # rgw_make DIR STORE
	local dir=$1 ports
	mapfile -t ports < <("$SERVERS_LIB/free-ports" 4)
	[ "${#ports[@]}" = 4 ] || return
	mkdir -p "$dir"/{run,crash,log,mon,osd,rgw} && srv_make_ca "$dir/tls" || return
	rgw_config "$dir" "$2" "${ports[@]}" >"$dir/ceph.conf"
	echo "${ports[2]}" >"$dir/port"
	echo "${ports[3]}" >"$dir/https-port"
	local fsid mon="[v2:127.0.0.1:${ports[0]},v1:127.0.0.1:${ports[1]}]"
	fsid=$(sed -n 's/^fsid = //p' "$dir/ceph.conf")
	{
		monmaptool --create --clobber --fsid "$fsid" --addv a "$mon" "$dir/monmap" &&
			ceph-authtool --create-keyring "$dir/keyring" --gen-key -n mon. \
				--cap mon 'allow *' &&
			ceph-mon -c "$dir/ceph.conf" -i a --mkfs --monmap "$dir/monmap" \
				--keyring "$dir/keyring"
	} >"$dir/log/make.log" 2>&1 || srv_die "$(tail -n 5 "$dir/log/make.log")"
}

rgw_ceph() { # rgw_ceph DIR COMMAND...
	local dir=$1
	shift
	timeout 60 ceph -c "$dir/ceph.conf" "$@"
}

rgw_mon_up() {
	srv_spawn "$1/mon.pid" "$1/log/mon.out" \
		ceph-mon -f -c "$1/ceph.conf" -i a --public-addr 127.0.0.1
}

# Boots the OSD; the first time it gets its number and its store.
rgw_osd_up() { # rgw_osd_up DIR
	local dir=$1 uuid
	if [ ! -e "$dir/osd-made" ]; then
		uuid=$(cat /proc/sys/kernel/random/uuid)
		{
			rgw_ceph "$dir" osd new "$uuid" &&
				ceph-osd -c "$dir/ceph.conf" -i 0 --mkfs --osd-uuid "$uuid"
		} >>"$dir/log/make.log" 2>&1 ||
			srv_die "$(tail -n 5 "$dir/log/make.log")" || return
		echo "$uuid" >"$dir/osd-made"
	fi
	srv_spawn "$dir/osd.pid" "$dir/log/osd.out" \
		ceph-osd -f -c "$dir/ceph.conf" -i 0
}

rgw_gateway_up() { # rgw_gateway_up DIR
	srv_spawn "$1/rgw.pid" "$1/log/rgw.out" \
		radosgw -f -c "$1/ceph.conf" -n client.rgw.a &&
		srv_wait 60 rgw_answers "$1"
}

rgw_answers() {
	curl -sS -o /dev/null --max-time 5 "http://127.0.0.1:$(cat "$1/port")/"
}

rgw_admin() { # rgw_admin DIR COMMAND...
	local dir=$1
	shift
	timeout 60 radosgw-admin -c "$dir/ceph.conf" -n client.rgw.a \
		--no-mon-config "$@"
}

rgw_user() { # rgw_user DIR UID ACCESS-KEY SECRET-KEY
	rgw_admin "$1" user create --uid="$2" --display-name="$2" \
		--access-key="$3" --secret-key="$4" >>"$1/log/make.log" 2>&1 ||
		srv_die "$(tail -n 5 "$1/log/make.log")"
}

# Two users: fsp, and other, who has no rights on what fsp makes.
rgw_env() { # rgw_env DIR SECRET OTHERS-SECRET
	printf '%s=%q\n' FSP_TEST_S3_ENDPOINT "http://127.0.0.1:$(cat "$1/port")" \
		FSP_TEST_S3_HTTPS "https://127.0.0.1:$(cat "$1/https-port")" \
		FSP_TEST_S3_CA "$1/tls/ca.pem" FSP_TEST_S3_REGION us-east-1 \
		FSP_TEST_S3_ACCESS_KEY FSPTESTACCESSKEY FSP_TEST_S3_SECRET_KEY "$2" \
		FSP_TEST_S3_OTHER_ACCESS_KEY OTHERACCESSKEY \
		FSP_TEST_S3_OTHER_SECRET_KEY "$3" FSP_TEST_S3_DIR "$1"
}

rgw_start() { # rgw_start DIR STORE
	local dir=$1 secret other
	secret=$(srv_password) && other=$(srv_password) &&
		rgw_make "$dir" "$2" && rgw_mon_up "$dir" && rgw_osd_up "$dir" &&
		rgw_gateway_up "$dir" &&
		rgw_user "$dir" fsp FSPTESTACCESSKEY "$secret" &&
		rgw_user "$dir" other OTHERACCESSKEY "$other" &&
		rgw_env "$dir" "$secret" "$other" >"$dir/env"
}
srv_start_rgw() { rgw_start "$1" memstore; }
srv_start_rgw_bluestore() { rgw_start "$1" bluestore; }

# Killed: what is in memory need not be written down at the end, bluestore
# keeps what it has acknowledged, and an orderly end of an OSD takes 10 s.
rgw_stop() { # rgw_stop DIR
	srv_stop_pid KILL "$1/rgw.pid" && srv_stop_pid KILL "$1/osd.pid" &&
		srv_stop_pid KILL "$1/mon.pid"
}
