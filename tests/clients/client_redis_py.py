#!/usr/bin/env python3
"""redis-py against Holdfast; see tests/clients/run for what a client is asked to do."""
import select
import sys
import time

import redis
from redis.sentinel import Sentinel

MASTER = "mymaster"


def parse(addresses):
    return [(a.rsplit(":", 1)[0], int(a.rsplit(":", 1)[1])) for a in addresses.split(",")]


def connect(mode, addresses):
    if mode == "sentinel":
        sentinel = Sentinel(parse(addresses), socket_timeout=2)
        return sentinel.master_for(MASTER, socket_timeout=10, decode_responses=True)
    host, port = parse(addresses)[0]
    return redis.Redis(host, port, socket_timeout=10, decode_responses=True)


def expect(what, got, wanted):
    if got != wanted:
        sys.exit(f"{what}: {got!r} instead of {wanted!r}")


def ordinary_data(r):
    expect("ping", r.ping(), True)
    r.delete("s", "h", "l", "z", "st", "n", "t")
    expect("set", r.set("s", "v", ex=100), True)
    expect("get", r.get("s"), "v")
    expect("ttl", 0 < r.ttl("s") <= 100, True)
    expect("set nx", r.set("s", "w", nx=True), None)
    expect("incr", [r.incr("n") for _ in range(3)], [1, 2, 3])
    expect("hset", r.hset("h", mapping={"a": 1, "b": 2}), 2)
    expect("hgetall", r.hgetall("h"), {"a": "1", "b": "2"})
    expect("rpush", r.rpush("l", "a", "b", "c"), 3)
    expect("lrange", r.lrange("l", 0, -1), ["a", "b", "c"])
    expect("zadd", r.zadd("z", {"a": 1, "b": 2.5}), 2)
    expect("zrange", r.zrange("z", 0, -1, withscores=True), [("a", 1.0), ("b", 2.5)])
    entry = r.xadd("st", {"f": "v"})
    expect("xread", r.xread({"st": "0"}), [["st", [(entry, {"f": "v"})]]])
    expect("scan", sorted(r.scan_iter("[shlz]")), ["h", "l", "s", "z"])


def ordinary_state(r, mode):
    """What a connection or a script keeps."""
    expect("multi", r.pipeline().set("t", 1).incr("t").get("t").execute(), [True, 2, "2"])
    pipe = r.pipeline(transaction=False)
    for i in range(100):
        pipe.set(f"p{i}", i)
    expect("pipeline", pipe.execute(), [True] * 100)

    def add_one(p):
        value = int(p.get("t"))
        p.multi()
        p.set("t", value + 1)

    expect("watch", r.transaction(add_one, "t"), [True])
    script = r.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    expect("script", script(keys=["t"], args=[10]), 13)
    expect("blpop", r.blpop("l", timeout=5), ("l", "a"))
    expect("blpop nothing", r.blpop("nothing", timeout=1), None)
    listener = r.pubsub()
    listener.subscribe("c")
    expect("subscribe", listener.get_message(timeout=5)["type"], "subscribe")
    heard = r.publish("c", "m")  # counts those at the leader, which by address it need not be
    expect("publish", heard == 1 or mode == "address", True)
    message = None
    for _ in range(50):
        message = message or listener.get_message(timeout=0.1)
    expect("message", message["data"], "m")
    listener.subscribe("d")  # whose answer nobody has read yet
    expect("numsub", r.pubsub_numsub("c", "d"), [("c", 1), ("d", 1)])
    listener.close()
    with r.client() as own:
        expect("tracking on", own.client_tracking_on(own.client_id()), "OK")
        expect("tracking off", own.client_tracking_off(own.client_id()), "OK")
    with_error = r.pipeline().set("s", "x").lpush("s", "y")
    try:
        with_error.execute()
        sys.exit("no error from a transaction with a wrong command")
    except redis.ResponseError as e:
        expect("error", "WRONGTYPE" in str(e), True)


def load(r, name):
    """Writes until standard input ends, then looks whether what was acknowledged is there."""
    acked, errors, i, gap, told = [], 0, 0, 0.0, time.monotonic()
    last = told
    while not select.select([sys.stdin], [], [], 0)[0]:
        i += 1
        try:
            r.set(f"{name}:{i}", i)
            acked.append(i)
            now = time.monotonic()
            gap, last = max(gap, now - last), now
            if i % 10 == 0:
                expect("read what was written", r.get(f"{name}:{i}"), str(i))
        except redis.RedisError as e:
            errors += 1
            print(f"{type(e).__name__}: {e}", file=sys.stderr)
            time.sleep(0.01)
        if time.monotonic() - told > 0.1:
            told = time.monotonic()
            print(f"ACKED {len(acked)}", flush=True)
    lost = 0
    for first in range(0, len(acked), 500):
        part = acked[first:first + 500]
        values = r.mget([f"{name}:{k}" for k in part])
        lost += sum(value != str(k) for k, value in zip(part, values))
    print(f"DONE acked={len(acked)} lost={lost} errors={errors} gap_ms={int(gap * 1000)}")
    return lost == 0 and len(acked) > 0


def main():
    task, name, mode, addresses = sys.argv[1:5]
    r = connect(mode, addresses)
    if task == "ordinary":
        if mode == "sentinel":  # by address it may be any proxy
            expect("role", r.info("replication")["role"], "master")
        ordinary_data(r)
        ordinary_state(r, mode)
        print("DONE")
        return 0
    return 0 if load(r, name) else 1


if __name__ == "__main__":
    sys.exit(main())
