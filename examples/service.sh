# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# The signing service of an example, from the sources to a daemon that is ready: after common.sh.

build=$root/build-quickstart
built=

# parse_options ARGUMENT...: those that all examples have.
parse_options() {
        local name
        name=examples/$(basename "$0")

        while (($# > 0)); do
                case $1 in
                --keep) keep=1 ;;
                --build)
                        build=$(cd "${2?--build needs a folder}" && pwd) built=1
                        shift
                        ;;
                --help | -h)
                        usage "$name"
                        exit 0
                        ;;
                *)
                        usage "$name" >&2
                        exit 2
                        ;;
                esac
                shift
        done
}

usage() {
        cat <<END
usage: $1 [--keep] [--build DIR]
  --keep        leave the daemons running at the end
  --build DIR   use the programs of this build folder, as they are
END
}

# Users of the two daemons when root runs this: numbers that no package of Debian uses.
keystore_uid=64201 service_uid=64202
((EUID == 0)) || keystore_uid='' service_uid=''
as_keystore=$(as_user "$keystore_uid") as_service=$(as_user "$service_uid")

build_programs() {
        step "Build"
        if [[ -n $built ]]; then
                say "taking what is in $build"
                return
        fi
        "$root/scripts/deps" build quickstart
        say "with Meson, in $build; the first time takes up to a minute"
        if [[ ! -f $build/build.ninja ]]; then
                quietly meson setup "$build" "$root" -Dtests=disabled
        fi
        quietly meson compile -C "$build"
}

# Copies: the daemons' users may not reach this folder, and a rebuild must not pull them from under --keep.
make_folder() {
        local where=${TMPDIR:-/tmp}
        ((${#where} <= 60)) || where=/tmp # a socket's path has little room
        dir=$(mktemp -d "$where/csign-quickstart.XXXXXX")
        chmod 755 "$dir"
        mkdir "$dir/bin" "$dir/log" "$dir/work"
        install -m 755 "$build/cli/csign" "$build/sidecar/csign-sidecar" "$build/service/csign-service" \
                "$build/service/keystore/csign-keystore" "$build/provider/csign.so" "$dir/bin"
        export PATH=$dir/bin:$PATH
}

start_service() {
        local port
        port=$(free_port)
        url=https://localhost:$port

        step "Start the signing service: csign-keystore holds the keys, csign-service speaks HTTPS"
        private_folder "$keystore_uid" "$dir/keystore"
        private_folder "$keystore_uid" "$dir/run" 0755
        private_folder "$service_uid" "$dir/service"

        cat >"$dir/csign-keystore.conf" <<END
socket = $dir/run/keystore.sock
kek = $dir/keystore/kek
service-user = ${service_uid:-$EUID}
END
        cat >"$dir/csign-service.conf" <<END
listen = 127.0.0.1:$port
issuer = $url
names = localhost, 127.0.0.1
state-directory = $dir/service
keystore-socket = $dir/run/keystore.sock
END
        show "cat $dir/csign-keystore.conf"
        show "${as_keystore}csign-keystore init-kek --kek $dir/keystore/kek"
        start_daemon csign-keystore "${as_keystore}csign-keystore --config $dir/csign-keystore.conf"
        show "cat $dir/csign-service.conf"
        show "${as_service}csign-service init --config $dir/csign-service.conf --api-key-out $dir/service/owner.key"
        start_daemon csign-service "${as_service}csign-service --config $dir/csign-service.conf"

        # What the owner of the service takes home.
        (cd "$dir/work" && install -m 644 ../service/ca.pem service-ca.pem && install -m 600 ../service/owner.key owner.key)
}
