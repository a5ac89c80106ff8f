# Sourced by tests that are shell scripts, with srcdir set: checks, counted, and ports.sh. What they
# run is built in HOLDFAST_BIN, or here. Such a test ends with checks_end.
# shellcheck shell=bash

dev_cluster=${srcdir:?}/scripts/dev-cluster
export HOLDFAST_BIN=${HOLDFAST_BIN:-$PWD}
checks=0
failures=0
said=''
# shellcheck source=tests/lib/ports.sh
. "$srcdir/tests/lib/ports.sh"

# A check: a name, and a command that must succeed.
check() # NAME COMMAND...
{
    local name=$1
    shift
    checks=$((checks + 1))
    if ! "$@"; then
        failures=$((failures + 1))
        echo "FAILED: $name ($*)"
    fi
}

# Runs a command: this exit status, this pattern in what it says (which is in `said` then).
ends_and_says() # STATUS PATTERN COMMAND...
{
    local expected=$1 pattern=$2 status
    shift 2
    said=$("$@" 2>&1)
    status=$?
    ((status == expected)) && grep -Eq -- "$pattern" <<<"$said" && return
    printf 'status %s, said:\n%s\n' "$status" "$said"
    return 1
}

# Tries for a minute at least; prints what was said the last time.
eventually() # COMMAND...
{
    local tries text
    for ((tries = 0; tries < 600; tries++)); do
        text=$("$@" 2>&1) && return 0
        sleep 0.1
    done
    printf '%s\n' "$text"
    return 1
}

# Where the development cluster's process listens.
port_of() # DIR NAME
{
    "$dev_cluster" status --dir "$1" | awk -v name="$2" '$1 == name { print $3 }'
}

# The summary as programs with check print it, and the exit status.
checks_end()
{
    echo "$(((checks - failures) * 100 / checks))%: Checks: $checks, Failures: $failures, Errors: 0"
    ((failures == 0))
}
