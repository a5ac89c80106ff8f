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
unset AWS_REGION AWS_DEFAULT_REGION AWS_ENDPOINT_URL AWS_ENDPOINT_URL_S3 AWS_CA_BUNDLE
unset http_proxy https_proxy HTTPS_PROXY no_proxy NO_PROXY all_proxy ALL_PROXY
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

start_server() # [CERTIFICATE]
{
    python3 "$srcdir/tests/lib/s3_server.py" "$s3_port" "$store" "$@" >>"$dir/server.log" 2>&1 &
    server=$!
    eventually server_is_there && return
    cat "$dir/server.log"
    exit 1
}

stop_server()
{
    kill "$server"
    wait "$server" 2>/dev/null
    server=
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
AWS_REGION=eu-west-1 check "takes the region, and names the right one" says 1 \
    'in another region: AWS_REGION=us-east-1 \(400 AuthorizationHeaderMalformed' export s3://bucket/a/b
touch "$store/.moved"
check "names the region that a redirect tells" says 1 'another region: AWS_REGION=eu-west-1 \(301' \
    export s3://bucket/a/b
rm "$store/.moved"
touch "$store/.other"
check "does not follow to another place" says 1 'sends us elsewhere: http://other.example/ \(307' \
    export s3://bucket/a/b
rm "$store/.other"
touch "$store/.skew"
check "tells of a wrong clock" says 1 "this machine's clock is wrong \(403" export s3://bucket/a/b
rm "$store/.skew"
echo 1 >"$store/.slow"
check "sends again what came too slowly" says 0 '^verified' export verify s3://bucket/a/b
check "one did" grep -q '^0$' "$store/.slow"
echo 2 >"$store/.later"
begun=${EPOCHREALTIME/[.,]/}
check "comes again when the store says so" says 0 '^verified' export verify s3://bucket/a/b
check "and not before" test $((${EPOCHREALTIME/[.,]/} - begun)) -ge 2000000
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


# --- broken off ---

objects() # PREFIX
{
    find "$store" -name "$1*" | wc -l
}

log_lines()
{
    wc -l <"$dir/server.log"
}

sent_since() # LINE PREFIX: objects of a snapshot
{
    tail -n "+$(($1 + 1))" "$dir/server.log" | grep -c "^PUT /bucket/$2/snapshot-.*'200'"
}

echo 4 >"$store/.quota"
check "tells that a store takes no more" says 1 '403 QuotaExceeded' export s3://bucket/half
check "four objects are there" test "$(objects half)" = 4
rm "$store/.quota"
lines=$(log_lines)
check "goes on" says 0 '^exported' export s3://bucket/half
check "does not send what is there" \
    test "$(sent_since "$lines" half)" = $(($(objects 'half%2Fsnapshot') - 4))
check "it is whole" says 0 '^verified' export verify s3://bucket/half
echo 5 >"$store/.quota"
check "breaks off again" says 1 '403 QuotaExceeded' export s3://bucket/other
rm "$store/.quota"
victim=$(find "$store" -name 'other*.rdb.2')
printf x | dd of="$victim" bs=1 seek=5000 conv=notrunc status=none
printf 0 >"$store/.meta-${victim##*/}"
check "sends again what is another" says 0 '^exported' export s3://bucket/other
check "that is whole, too" says 0 '^verified' export verify s3://bucket/other

# Two at once: the first one's manifest is held back until the second one is through.
write 2000 2100
echo manifest >"$store/.hold"
timeout 120 "${ctl[@]}" "${s3[@]}" export s3://bucket/a/b >"$dir/first.log" 2>&1 &
first=$!
check "one is about to put its manifest" eventually test -e "$store/.held"
write 2100 2200
check "another one is through meanwhile" says 0 '^exported' export s3://bucket/a/b
rm "$store/.held"
check "so is the first" wait "$first"
check "what is there then is whole" says 0 '^verified' export verify s3://bucket/a/b
check "and is gone on with" says 0 '^exported' export s3://bucket/a/b
check "whole again" says 0 '^verified' export verify s3://bucket/a/b

# An export whose snapshot is being sent gets this signal; its exit status is in `ended`.
end_by() # SIGNAL
{
    local pid
    echo .rdb >"$store/.hold"
    "${ctl[@]}" "${s3[@]}" export "s3://bucket/ended-$1" >"$dir/ended.log" 2>&1 &
    pid=$!
    eventually test -e "$store/.held" || cat "$dir/ended.log"
    kill "-$1" "$pid"
    wait "$pid" 2>/dev/null
    ended=$?
    rm "$store/.held"
}

begun=$SECONDS
end_by TERM
check "does not wait for the store" test $((SECONDS - begun)) -lt 40
check "ends when it is told to" test "$ended" = 1
check "says so" grep -q 'told to stop' "$dir/ended.log"
check "leaves no files then" test -z "$(ls "$TMPDIR")"
end_by KILL
check "is killed" test "$ended" = 137
check "leaves files then" test -n "$(ls "$TMPDIR")"
mkdir "$TMPDIR/holdfast-ctl-ABCDEF"
touch "$TMPDIR/holdfast-ctl-file"
exec 8<"$TMPDIR/holdfast-ctl-ABCDEF"
flock 8
check "verifies after that" says 0 '^verified' export verify s3://bucket/a/b
check "what a killed one has left is gone, and nothing else" \
    test "$(cd "$TMPDIR" && echo *)" = "holdfast-ctl-ABCDEF holdfast-ctl-file"
exec 8<&-
rm -r "$TMPDIR"/holdfast-ctl-*

# --- where the store is ---

s3=(--s3-object-bytes 100000)
check "takes a path behind the host" says 0 '^verified' export verify s3://bucket/a/b \
    --s3-endpoint "http://127.0.0.1:$s3_port/behind/a/path/"
AWS_ENDPOINT_URL=http://127.0.0.1:$s3_port check "takes the store of the environment" \
    says 0 '^verified' export verify s3://bucket/a/b
AWS_ENDPOINT_URL_S3=ftp://x check "refuses a strange one" says 1 'AWS_ENDPOINT_URL_S3: not http' \
    export verify s3://bucket/a/b
http_proxy=http://127.0.0.1:$s3_port check "goes through a proxy" says 0 '^verified' \
    export verify s3://bucket/a/b --s3-endpoint http://store.example:9000
check "the proxy was asked for the store" grep -q 'GET http://store.example:9000/bucket/a/b' \
    "$dir/server.log"
if command -v openssl >/dev/null; then
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost -keyout "$dir/key" -out "$dir/cert" 2>/dev/null
    cat "$dir/key" "$dir/cert" >"$dir/both"
    stop_server
    start_server "$dir/both"
    begun=$SECONDS
    check "trusts nobody else" says 1 'certificate' export verify s3://bucket/a/b \
        --s3-endpoint "https://localhost:$s3_port"
    check "which is told at once" test $((SECONDS - begun)) -lt 10
    AWS_CA_BUNDLE=$dir/cert check "trusts who is named" says 0 '^verified' \
        export verify s3://bucket/a/b --s3-endpoint "https://localhost:$s3_port"
    AWS_CA_BUNDLE=$dir/cert check "by that name only" says 1 'certificate|peer' \
        export verify s3://bucket/a/b --s3-endpoint "https://127.0.0.1:$s3_port"
    AWS_CA_BUNDLE=$dir/nothing check "misses the file" says 1 'Problem with the SSL CA cert' \
        export verify s3://bucket/a/b --s3-endpoint "https://localhost:$s3_port"
    stop_server
    start_server
fi
s3=(--s3-endpoint "http://127.0.0.1:$s3_port" --s3-object-bytes 100000)

# --- imported ---

before=$(digest)
for name in proxy1 redis1 log1 log2 log3; do "$dev_cluster" kill --dir "$dir/cluster" "$name"; done
rm -rf "$dir"/cluster/log?/data
for name in log1 log2 log3; do "$dev_cluster" start-one --dir "$dir/cluster" "$name"; done
check "imports" says 0 '^imported' import s3://bucket/a/b
check "leaves no files" test -z "$(ls "$TMPDIR")"
"$dev_cluster" start --dir "$dir/cluster" >"$dir/start.log" 2>&1 || cat "$dir/start.log"
check "it is the same" test "$(digest)" = "$before"
check "and has all keys" test "$(redis-cli -p "$port" DBSIZE)" = 2200
stop_server
check "tells that the store is down" says 1 's3://bucket/a/b/manifest.json: http.*connect' \
    export verify s3://bucket/a/b

checks_end
