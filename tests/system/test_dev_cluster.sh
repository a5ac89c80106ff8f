#!/bin/bash
# scripts/dev-cluster does what its help says, with the real programs. Prints check's summary line.
set -u

srcdir=${srcdir:-$(dirname "$(readlink -f "$0")")/../..}
# shellcheck source=tests/lib/checks.sh
. "$srcdir/tests/lib/checks.sh"
dir=$PWD/test-run-dev-cluster.$$
port=$(free_port 10000)

finish()
{
    "$dev_cluster" wipe --dir "$dir" || rm -rf "$dir"
}
trap finish EXIT
trap 'exit 143' TERM INT

state_is() # NAME STATE
{
    [[ $("$dev_cluster" status --dir "$dir" | awk -v name="$1" '$1 == name { print $4 }') == "$2" ]]
}

status_is_regular()
{
    ! "$dev_cluster" status --dir "$dir" |
        grep -Evq '^(log[123]|redis1|proxy1) ([0-9]+|-) [0-9]+ (up|down|leader|follower|candidate)$'
}

output_is() # EXPECTED COMMAND...
{
    local expected=$1
    shift
    [[ $("$@" 2>&1) == "$expected" ]]
}

fails_with() # STATUS COMMAND...
{
    local expected=$1
    shift
    "$@" >/dev/null 2>&1
    (($? == expected))
}

# The pipe ends only when nobody holds it open any more: a process that had inherited it would.
start_and_let_go()
{
    timeout 150 bash -c '"$@" | cat' start "$dev_cluster" start --dir "$dir" "$@" &&
        state_is proxy1 leader
}

cli()
{
    timeout 20 redis-cli -p "$port" "$@"
}

check "refuses a wrong verb" fails_with 2 "$dev_cluster" frobnicate
check "knows of no cluster yet" fails_with 1 "$dev_cluster" status --dir "$dir"
check "wipes nothing" "$dev_cluster" wipe --dir "$dir"
check "refuses too many nodes" fails_with 2 "$dev_cluster" start --dir "$dir" --nodes 10
check "starts, and lets go of its output" start_and_let_go --port "$port" -- --maxmemory 77mb
check "status is regular" status_is_regular
check "writes" output_is OK cli SET k v
check "passes arguments on to Redis" output_is 80740352 \
    bash -c "redis-cli -p '$port' INFO memory | tr -d '\r' | sed -n 's/^maxmemory://p'"
check "starts what is up already" start_and_let_go
check "refuses another shape" fails_with 2 "$dev_cluster" start --dir "$dir" --log-nodes 5

check "kills" "$dev_cluster" kill --dir "$dir" log2
check "shows the dead" state_is log2 down
check "kills the dead" "$dev_cluster" kill --dir "$dir" log2
check "can't pause the dead" fails_with 1 "$dev_cluster" pause --dir "$dir" log2
check "writes on, with two of three" output_is OK cli SET k v2
check "starts one" "$dev_cluster" start-one --dir "$dir" log2
check "shows the living" state_is log2 up
check "pauses" "$dev_cluster" pause --dir "$dir" log1
check "shows the frozen" state_is log1 down
check "doesn't start the frozen" fails_with 1 "$dev_cluster" start-one --dir "$dir" log1
check "resumes" "$dev_cluster" resume --dir "$dir" log1
check "shows the thawed" state_is log1 up
check "pauses the proxy" "$dev_cluster" pause --dir "$dir" proxy1
check "shows the frozen proxy" state_is proxy1 down
check "resumes the proxy" "$dev_cluster" resume --dir "$dir" proxy1
check "it leads again" eventually state_is proxy1 leader
check "refuses unknown names" fails_with 2 "$dev_cluster" kill --dir "$dir" log9

check "stops" "$dev_cluster" stop --dir "$dir"
check "all is down" state_is proxy1 down
# shellcheck disable=SC2016 # they are the inner shell's
check "a stranger with our pid lives on" bash -c '
    sleep 60 & echo $! >"$1/log1/pid"; "$2" kill --dir "$1" log1
    kill -0 $! && kill $!' stranger "$dir" "$dev_cluster"
check "goes on with the data" start_and_let_go
check "the data is there" output_is v2 cli GET k
check "arguments are kept" output_is 80740352 \
    bash -c "redis-cli -p '$port' INFO memory | tr -d '\r' | sed -n 's/^maxmemory://p'"
# shellcheck disable=SC2016
check "kills Redis and the proxy" bash -c '
    "$2" kill --dir "$1" redis1 && "$2" kill --dir "$1" proxy1' both "$dir" "$dev_cluster"
check "starts what is missing" start_and_let_go
check "the data is there, rebuilt" output_is v2 cli GET k
touch "$dir/mine"
check "wipes" "$dev_cluster" wipe --dir "$dir"
check "wipes only what is its own" output_is mine ls -A "$dir"
rm -rf "$dir"

# Several proxies: one leads, the others follow, and another leads when it is gone.
leader_name()
{
    "$dev_cluster" status --dir "$dir" | awk '$4 == "leader" { print $1 }'
}

counts_are() # LEADERS FOLLOWERS
{
    [[ $("$dev_cluster" status --dir "$dir" | awk '
        $4 == "leader" { l++ } $4 == "follower" { f++ } END { print l + 0, f + 0 }') == "$1 $2" ]]
}

check "starts three" timeout 150 "$dev_cluster" start --dir "$dir" --port "$port" --nodes 3
check "one leads, two follow" eventually counts_are 1 2
check "writes through any of them" output_is OK cli SET k v3
old=$(leader_name)
check "kills the leader" "$dev_cluster" kill --dir "$dir" "$old"
check "another leads" eventually counts_are 1 1
check "starts the old one" "$dev_cluster" start-one --dir "$dir" "$old"
check "it follows" eventually counts_are 1 2
check "and answers" output_is v3 cli GET k
check "wipes three" "$dev_cluster" wipe --dir "$dir"

checks_end
