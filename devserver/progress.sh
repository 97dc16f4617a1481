# shellcheck shell=bash
# What a person sees while something runs. Sourced after checkout.sh.

say() {
    printf '%s\n' "$*" >&2
}

fail() {
    local line
    printf 'error: %s\n' "$1" >&2
    shift
    for line in "$@"; do
        printf '       %s\n' "$line" >&2
    done
    exit 1
}

# step WHAT COMMAND...: run a command, its output in a log, a line of progress on the screen.
# The command stays in the foreground, so that Ctrl-C reaches it.
step() {
    local what=$1 log began ticker status=0 interrupted=''
    shift
    mkdir -p "$LOGS"
    log=$LOGS/$(printf '%s' "$what" | tr -cs 'A-Za-z0-9' '-' | sed 's/-*$//').log
    began=$SECONDS
    say "==> $what"
    progress_ticker "$log" "$began" &
    ticker=$!
    # shellcheck disable=SC2064  # the value of now is meant
    trap "kill $ticker 2>/dev/null || true" EXIT
    trap 'interrupted=yes' INT
    "$@" >"$log" 2>&1 || status=$?
    kill "$ticker" 2>/dev/null || true
    wait "$ticker" 2>/dev/null || true
    trap - EXIT INT
    [ ! -t 2 ] || printf '\r\033[K' >&2
    if [ -n "$interrupted" ]; then
        say "Interrupted. What was done before stays done: run make again to go on."
        exit 130
    fi
    if [ "$status" -ne 0 ]; then
        tail -n 30 "$log" | sed 's/^/    | /' >&2
        printf 'error: %s failed (exit code %s); the whole output is in %s\n' \
            "$what" "$status" "$log" >&2
        exit "$status"
    fi
    say "    done in $((SECONDS - began)) s"
}

# The last line that the command wrote: every second on a terminal, now and then elsewhere.
progress_ticker() {
    local log=$1 began=$2 every=20 last silence
    local parent=$$
    [ ! -t 2 ] || every=1
    # A pipe that nobody writes to: waiting for it starts no process that could be left behind.
    exec {silence}<> <(:)
    while kill -0 "$parent" 2>/dev/null; do
        if read -r -t "$every" -u "$silence"; then break; fi
        last=$(tail -n 5 "$log" 2>/dev/null | tr '\r' '\n' | tr -cd '[:print:]\n' |
            sed '/^ *$/d' | tail -n 1 | cut -c 1-70) || true
        if [ -t 2 ]; then
            printf '\r\033[K    %3d s  %s' "$((SECONDS - began))" "$last" >&2
        else
            printf '    %3d s  %s\n' "$((SECONDS - began))" "$last" >&2
        fi
    done
}
