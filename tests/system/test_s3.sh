#!/bin/bash
# holdfast-ctl export and import with an object store: what is there is what was exported, faults of
# the store are got over or told, credentials stay where they are. Prints check's summary line.
# Skipped without python3, or if Holdfast was built without libcurl.
set -u

srcdir=${srcdir:-$(dirname "$(readlink -f "$0")")/../..}
# shellcheck source=tests/lib/checks.sh
. "$srcdir/tests/lib/checks.sh"
dir=$PWD/test-run-s3.$$
port=$(free_port 15000)
s3_port=$(free_port 19000)
export TMPDIR=$dir/tmp
export AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE
export AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY
export AWS_SESSION_TOKEN=a-token-that-is-signed-too
unset AWS_REGION AWS_DEFAULT_REGION
store=$dir/store
ctl=("$HOLDFAST_BIN/holdfast-ctl" --config "$dir/cluster/proxy1/config.json")
s3=(--s3-endpoint "http://127.0.0.1:$s3_port" --s3-object-bytes 100000)

command -v python3 >/dev/null || exit 77
"$HOLDFAST_BIN/holdfast-ctl" export verify s3://x/y 2>&1 | grep -q 'without libcurl' && exit 77
mkdir -p "$store" "$TMPDIR"
server=

finish()
{
    [[ -n $server ]] && kill "$server"
    "$dev_cluster" wipe --dir "$dir/cluster"
    rm -rf "$dir"
}
trap finish EXIT
trap 'exit 143' TERM INT

# Runs holdfast-ctl: this exit status, this pattern in what it says, and never the secret.
says() # STATUS PATTERN ARGUMENTS...
{
    ends_and_says "$1" "$2" timeout 120 "${ctl[@]}" "${s3[@]}" "${@:3}" || return
    ! grep -F -e "${AWS_SECRET_ACCESS_KEY:-no secret}" -e "$AWS_SESSION_TOKEN" <<<"$said"
}

server_is_there()
{
    (: <"/dev/tcp/127.0.0.1/$s3_port") 2>/dev/null
}

start_server()
{
    python3 "$srcdir/tests/lib/s3_server.py" "$s3_port" "$store" >>"$dir/server.log" 2>&1 &
    server=$!
    eventually server_is_there && return
    cat "$dir/server.log"
    exit 1
}

write() # FROM TO
{
    python3 - "$1" "$2" <<'END' | redis-cli -p "$port" --pipe >/dev/null
import os, sys
for i in range(int(sys.argv[1]), int(sys.argv[2])):
    sys.stdout.buffer.write(b"*3\r\n$3\r\nSET\r\n$7\r\nk%06d\r\n$500\r\n" % i + os.urandom(500) + b"\r\n")
END
}

digest()
{
    redis-cli -p "$redis_port" DEBUG DIGEST
}

snapshot_of_all()
{
    local out
    out=$(timeout 120 "${ctl[@]}" snapshot now 2>&1) && [[ $out =~ offset\ [0-9]{6,} ]] && return
    printf '%s\n' "$out"
    return 1
}

start_server
"$dev_cluster" start --dir "$dir/cluster" --port "$port" -- --enable-debug-command yes \
    >"$dir/start.log" 2>&1 || { cat "$dir/start.log"; exit 1; }
redis_port=$(port_of "$dir/cluster" redis1)
write 0 1000
check "a snapshot is made" snapshot_of_all
check "there is nothing yet" says 1 'there is no such export' export verify s3://bucket/a/b
check "exports" says 0 '^exported  the snapshot at offset [1-9]' export s3://bucket/a/b
check "a large file is several objects" test -n "$(find "$store" -name '*.rdb.1')"
write 1000 2000
echo 3 >"$store/.fail"
check "exports what is new, though the store fails now and then" says 0 '^exported' \
    export s3://bucket/a/b/
check "the store has failed" grep -q '^0$' "$store/.fail"
echo 2 >"$store/.cut"
check "verifies, though it is cut off now and then" says 0 '^verified' export verify s3://bucket/a/b
check "it was cut off" grep -q '^0$' "$store/.cut"

AWS_SECRET_ACCESS_KEY=wrong check "tells of a wrong secret" says 1 \
    'refuses these credentials \(403 SignatureDoesNotMatch' export s3://bucket/a/b
AWS_ACCESS_KEY_ID=wrong check "tells of a wrong key" says 1 '403 InvalidAccessKeyId' \
    export s3://bucket/a/b
AWS_SECRET_ACCESS_KEY='' check "needs credentials" says 1 'AWS_SECRET_ACCESS_KEY in the env' \
    export s3://bucket/a/b
check "tells of a missing bucket" says 1 'no such bucket \(404 NoSuchBucket' export s3://nowhere/a
AWS_REGION=eu-west-1 check "takes the region" says 1 '400 AuthorizationHeaderMalformed' \
    export s3://bucket/a/b
check "refuses a strange name" says 1 'not s3://BUCKET/PREFIX' export 's3://bucket/a b?x=1'
check "refuses a strange object size" says 2 'not a number of bytes' export s3://bucket/a/b \
    --s3-object-bytes 5
log=$(find "$store" -name '*.hfr' -size +40k | head -n 1)
cp "$log" "$dir/kept"
printf x | dd of="$log" bs=1 seek=5000 conv=notrunc status=none
check "finds damage" says 1 'is damaged: its checksum is wrong' export verify s3://bucket/a/b
cp "$dir/kept" "$log"
mv "$log" "$dir/kept"
check "misses an object" says 1 'is missing in the store' export verify s3://bucket/a/b
mv "$dir/kept" "$log"

before=$(digest)
for name in proxy1 redis1 log1 log2 log3; do "$dev_cluster" kill --dir "$dir/cluster" "$name"; done
rm -rf "$dir"/cluster/log?/data
for name in log1 log2 log3; do "$dev_cluster" start-one --dir "$dir/cluster" "$name"; done
check "imports" says 0 '^imported' import s3://bucket/a/b
check "leaves no files" test -z "$(ls "$TMPDIR")"
"$dev_cluster" start --dir "$dir/cluster" >"$dir/start.log" 2>&1 || cat "$dir/start.log"
check "it is the same" test "$(digest)" = "$before"
check "and has all keys" test "$(redis-cli -p "$port" DBSIZE)" = 2000
kill "$server"
wait "$server" 2>/dev/null
server=
check "tells that the store is down" says 1 's3://bucket/a/b/manifest.json: http.*connect' \
    export verify s3://bucket/a/b

checks_end
