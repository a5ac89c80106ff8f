#!/bin/bash
# holdfast-ctl with the real programs: what it shows, what it refuses, and with which exit status.
# Prints check's summary line.
set -u

srcdir=${srcdir:-$(dirname "$(readlink -f "$0")")/../..}
# shellcheck source=tests/lib/checks.sh
. "$srcdir/tests/lib/checks.sh"
ctl=$HOLDFAST_BIN/holdfast-ctl
dir=$PWD/test-run-ctl.$$
port=$(free_port 14000)
password=$dir.password

finish()
{
    "$dev_cluster" wipe --dir "$dir" || rm -rf "$dir"
    rm -f "$password" "$password".*
}
trap finish EXIT
trap 'exit 143' TERM INT

# Runs holdfast-ctl: this exit status, this pattern in what it says.
says() # STATUS PATTERN ARGUMENTS...
{
    ends_and_says "$1" "$2" timeout 60 "$ctl" "${@:3}"
}

check "help" says 0 '^Usage: holdfast-ctl ' --help
check "version" says 0 '^holdfast-ctl [0-9]' --version
check "needs a command" says 2 'a command is needed'
check "refuses a wrong command" says 2 'not a command: log frobnicate' log frobnicate
check "refuses arguments too many" says 2 'status takes: no arguments' status now
check "refuses arguments too few" says 2 'log replace takes: OLD NEW-HOST:PORT' log replace log1
check "refuses an address" says 2 'not HOST:PORT: nonsense' --proxy nonsense status
check "refuses a port" says 2 'not HOST:PORT: h:70000' --proxy h:70000 status
check "refuses a time" says 2 'not a number of seconds' --wait soon failover
check "refuses an option" says 2 'not an option' --frobnicate status
check "misses a password file" says 2 'No such file' --password-file "$password" status
: >"$password"
check "refuses an empty password" says 2 'no password' --password-file "$password" status
check "refuses a configuration" says 2 'no-such-file' --config /no-such-file status
check "refuses a user without a password" says 2 '--user goes with --password-file' --user bob status
check "refuses what would be unheeded" says 2 '--cluster-id goes with --log-nodes only' --cluster-id 00 tail
check "refuses a store's option for a folder" says 2 'goes with s3://BUCKET/PREFIX only: bucket/orders is a' \
    --s3-endpoint http://127.0.0.1:1 export bucket/orders
check "refuses a password for a file" says 2 'goes with --to HOST:PORT: then\.rdb is a file' \
    --to-password-file <(echo secret) restore --to then.rdb
check "refuses an offset" says 2 'not the offset of a snapshot.*: 5 minutes ago' snapshot verify '5 minutes ago'
check "refuses marks without a time" says 2 '--marks: not a number of seconds' --marks soon tail
check "refuses a time before it asks anybody" says 2 'not an offset or a time' --proxy 127.0.0.1:1 tail --from soon
check "nobody is there" says 3 'Connection refused' --proxy 127.0.0.1:1 status

echo secret >"$password"
"$dev_cluster" start --dir "$dir" --port "$port" -- --requirepass secret >"$password.log" 2>&1 || {
    cat "$password.log"
    exit 1
}
at=(--proxy "127.0.0.1:$port" --password-file "$password")
check "asks for a password" says 1 'NOAUTH.*--password-file' --proxy "127.0.0.1:$port" status
echo wrong >"$password.wrong"
check "tells of a wrong one" says 1 'WRONGPASS' --proxy "127.0.0.1:$port" \
    --password-file "$password.wrong" status
check "shows who it is" says 0 "^proxy +127\.0\.0\.1:$port, leader \(" "${at[@]}" status
check "shows who leads" says 0 "^leader +127\.0\.0\.1:$port, term [1-9]" "${at[@]}" status
check "shows the log nodes" says 0 '^log3 +up +[0-9]+ +[0-9]+' "${at[@]}" status
check "takes a proxy's configuration" says 0 "^proxy +127\.0\.0\.1:$port, leader" \
    --config "$dir/proxy1/config.json" status
check "the user comes with the password" says 0 "^proxy" "${at[@]}" --user default status
on_a_full_disk()
{
    "$ctl" "${at[@]}" --json status >/dev/full 2>"$password.said"
    (($? == 1)) && grep -q 'standard output: No space left' "$password.said"
}
check "tells of output that is lost" on_a_full_disk
check "shows times of snapshots" says 0 '^snapshot1 .* 20[0-9-]+T[0-9:]+\.[0-9]{3}Z ' "${at[@]}" snapshot list
check "shows how far back one can go" says 0 '^restore --at goes back to offset [0-9]+, of 20' "${at[@]}" snapshot list
check "prints JSON" says 0 '^	"role":	"leader",$' "${at[@]}" --json status
redis_port=$(port_of "$dir" redis1)
check "knows a Redis from a proxy" says 1 'is not a Holdfast proxy' \
    --proxy "127.0.0.1:$redis_port" --password-file "$password" status
check "refuses a hand-over to nobody" says 1 ': [A-Z]+ ' "${at[@]}" failover
check "refuses a hand-over to a stranger" says 1 ': [A-Z]+ ' "${at[@]}" failover proxy9
check "refuses a node's address" says 2 'not HOST:PORT: log4' "${at[@]}" log replace log1 log4
check "shows the log's members" says 0 '^node3 +log3 +127\.0\.0\.1:[0-9]+ +yes ' "${at[@]}" log status
check "shows that none is changed" says 0 '^change +none$' "${at[@]}" log status
check "prints members as JSON" says 0 '"id":	"log2",$' "${at[@]}" --json log status
check "refuses to replace a stranger" says 1 'no member of the log' "${at[@]}" \
    log replace log9 127.0.0.1:1
check "the leader is as it was" says 0 "^proxy +127\.0\.0\.1:$port, leader \(" "${at[@]}" status
"$dev_cluster" pause --dir "$dir" proxy1
check "does not wait for ever" says 3 'temporarily unavailable|timed out' "${at[@]}" status
"$dev_cluster" resume --dir "$dir" proxy1


# --- three proxies: hand-overs, by holdfast-ctl and by a Sentinel's word -----------------------

"$dev_cluster" wipe --dir "$dir"
"$dev_cluster" start --dir "$dir" --port "$port" --nodes 3 -- --requirepass secret >"$password.log" 2>&1 || {
    cat "$password.log"
    exit 1
}
read -ra sentinels < <(sed -n 's/^sentinel_ports=//p' "$dir/cluster.env")

leader() # its number
{
    "$dev_cluster" status --dir "$dir" | sed -n 's/^proxy\([0-9]*\) .* leader$/\1/p' | head -n 1
}

# What a proxy's Sentinel gives as the master's port.
sentinel_says() # PROXY PORT
{
    [[ $(redis-cli -p "${sentinels[$1 - 1]}" SENTINEL GET-MASTER-ADDR-BY-NAME mymaster | tail -n 1) == "$2" ]]
}

all_follow() # every proxy but the leader is ready to lead
{
    local number
    for number in 1 2 3; do
        says 0 '^proxy[123] .*leader .*yes' --proxy "127.0.0.1:$((port + number - 1))" \
            --password-file "$password" status || return 1
    done
    (($("$ctl" "${at[@]}" status | grep -c '^proxy[123] .* follower .* yes ') == 2))
}

check "all proxies are shown, and caught up" eventually all_follow
first=$(leader)
second=$((first % 3 + 1))
other=$((second % 3 + 1))
redis-cli -p "${sentinels[other - 1]}" SUBSCRIBE +switch-master >"$password.events" &
listener=$!
# What the leader hears of the others is a moment old, so it may call one that has caught up behind.
check "hands over by name, asked of another" eventually says 0 "^127\.0\.0\.1:$((port + second - 1)) leads in term [0-9]+, after [0-9]+ ms$" \
    --proxy "127.0.0.1:$((port + other - 1))" --password-file "$password" failover "proxy$second"
check "that one leads" [ "$(leader)" = "$second" ]
check "refuses to hand over to the leader" says 1 'leads already' "${at[@]}" failover "proxy$second"
for number in 1 2 3; do
    check "Sentinel $number knows" eventually sentinel_says "$number" "$((port + second - 1))"
done
check "all are caught up again" eventually all_follow
check "hands over as JSON" eventually says 0 '^\{"leader": "127\.0\.0\.1:[0-9]+", "term": [0-9]+, "took_ms": [0-9]+\}$' \
    "${at[@]}" --json failover "127.0.0.1:$((port + first - 1))"
check "all are caught up once more" eventually all_follow
# Asked of a Sentinel whose proxy does not lead.
# It is answered before the leader is asked, who may refuse.
# Whoever may change what stands there needs the password.
sentinel_fails_over()
{
    [[ $(REDISCLI_AUTH=$(<"$password") redis-cli -p "${sentinels[other - 1]}" SENTINEL FAILOVER mymaster) == OK ]]
}
check "SENTINEL FAILOVER is taken" sentinel_fails_over
leads_not() { [[ $(leader) != "$1" && -n $(leader) ]]; }
leads_not_or_asks() { leads_not "$1" || { sentinel_fails_over; sleep 1; leads_not "$1"; }; }
check "and another leads" eventually leads_not_or_asks "$first"
switches() { (($(grep -c '^mymaster 127.0.0.1 ' "$password.events") >= 3)); }
check "every switch was told, by a follower's Sentinel" eventually switches
kill "$listener"

checks_end
