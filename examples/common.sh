# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the examples share: they say what they do, show each command before they run it, start daemons and
# wait until they are ready, and leave nothing behind.

# Colours only for eyes.
if [[ -t 1 && -z ${NO_COLOR-} ]]; then
        bold=$'\e[1m' dim=$'\e[2m' plain_text=$'\e[0m'
else
        bold='' dim='' plain_text=''
fi

keep=
dir=
daemon_names=()
daemon_pids=()
last_command=

step() {
        printf '\n%s== %s%s\n' "$bold" "$*" "$plain_text"
}

say() {
        printf '%s   %s%s\n' "$dim" "$*" "$plain_text"
}

# Prints a command as one would type it, then runs it here.
show() {
        last_command=$1
        printf '%s$ %s%s\n' "$bold" "$1" "$plain_text"
        eval "$1"
}

# The same for a command that has to be refused; its words are shown, its success ends the script.
show_refused() {
        local status=0

        last_command=$1
        printf '%s$ %s%s\n' "$bold" "$1" "$plain_text"
        eval "$1" || status=$?
        if ((status == 0)); then
                echo "this should have been refused" >&2
                return 1
        fi
        say "refused, exit status $status"
}

# Runs a long command without its words, unless it fails.
quietly() {
        local log
        log=$(mktemp)

        last_command=$*
        if ! "$@" >"$log" 2>&1; then
                tail -n 40 "$log" >&2
                rm -f "$log"
                return 1
        fi
        rm -f "$log"
}

# A port on which nobody listens, below those that the kernel gives to clients.
free_port() {
        local port
        while :; do
                port=$((10000 + RANDOM % 20000))
                (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
        done
        echo "$port"
}

# private_folder UID FOLDER [MODE]
private_folder() {
        mkdir -p "$2"
        chmod "${3-0700}" "$2"
        if ((EUID == 0)) && [[ -n $1 ]]; then
                chown "$1:$1" "$2"
        fi
}

# as_user UID: what to put in front of a command.  Where root allows it each daemon gets a user of its own.
as_user() {
        if ((EUID == 0)) && [[ -n $1 ]]; then
                echo "setpriv --reuid=$1 --regid=$1 --clear-groups -- "
        fi
}

# start_daemon NAME COMMAND: shows and starts it, and returns when it says that it is ready.
start_daemon() {
        local name=$1 ready=$dir/log/$1.ready line

        last_command=$2
        printf '%s$ %s &%s\n' "$bold" "$2" "$plain_text"
        mkfifo "$ready"
        eval "exec $2 --ready-fd 9" 9>"$ready" </dev/null >"$dir/log/$name.log" 2>&1 &
        daemon_names+=("$name")
        daemon_pids+=($!)

        if ! read -r -t 30 line <"$ready"; then
                echo "$name did not become ready" >&2
                return 1
        fi
        rm -f "$ready"
        say "$name is ready: pid $!, uid $(stat -c %u "/proc/$!"), log $dir/log/$name.log"
}

stop_daemons() {
        local i
        for ((i = ${#daemon_pids[@]} - 1; i >= 0; i--)); do
                kill "${daemon_pids[i]}" 2>/dev/null || continue
                timeout 10 tail --pid="${daemon_pids[i]}" -s 0.02 -f /dev/null || kill -KILL "${daemon_pids[i]}"
                wait "${daemon_pids[i]}" 2>/dev/null || true
        done
        daemon_pids=()
}

# The script's last act, however it ends.
finish() {
        local status=$? name
        trap - EXIT ERR INT TERM
        set +e

        if ((status != 0)); then
                {
                        printf '\nFAILED (status %s): %s\n' "$status" "$last_command"
                        for name in "${daemon_names[@]}"; do
                                printf -- '---- the end of the log of %s\n' "$name"
                                tail -n 10 "$dir/log/$name.log"
                        done
                } >&2
        fi
        if [[ -n $keep && $status == 0 ]]; then
                exit 0
        fi
        stop_daemons
        [[ -z $dir ]] || rm -rf "$dir"
        exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
