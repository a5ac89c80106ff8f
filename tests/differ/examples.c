#include "tests/differ/examples.h"

#include "tests/differ/values.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Words between blanks. Some keys that end with 0 become others of the same type. Nothing that
 * blocks, and no times to live that come. */
static const char *const examples[] = {
    "XCLAIM x0 gr1 c2 0 1-1 2-1 3-1",
    "XCLAIM x0 gr1 c1 0 2-1 3-1 JUSTID",
    "XCLAIM x0 gr1 c2 0 2-1 IDLE 1000000 RETRYCOUNT 5",
    "XCLAIM x0 gr1 c3 0 3-1 4-1 TIME 1000 FORCE",
    "XCLAIM x0 gr1 c3 0 3-1 LASTID 2-1",
    "XAUTOCLAIM x0 gr1 c3 0 0 COUNT 1 JUSTID",
    "XAUTOCLAIM x0 gr1 c1 0 2-0 COUNT 3",
    "XACK x0 gr1 1-1 2-1 3-1 4-1",
    "XPENDING x0 gr1",
    "XPENDING x0 gr1 - + 10",
    "XPENDING x0 gr1 IDLE 0 - + 10 c1",
    "XREADGROUP GROUP gr1 c1 COUNT 2 STREAMS x0 >",
    "XREADGROUP GROUP gr1 c2 STREAMS x0 0",
    "XREADGROUP GROUP gr1 c2 NOACK STREAMS x0 x0 > >",
    "XGROUP CREATE x0 gr1 0 MKSTREAM",
    "XGROUP CREATE x0 gr2 $ ENTRIESREAD 2",
    "XGROUP SETID x0 gr1 0 ENTRIESREAD 3",
    "XGROUP SETID x0 gr1 2-1",
    "XGROUP CREATECONSUMER x0 gr1 c9",
    "XGROUP DELCONSUMER x0 gr1 c1",
    "XINFO CONSUMERS x0 gr1",
    "XINFO GROUPS x0",
    "XINFO STREAM x0 FULL COUNT 1",
    "XINFO STREAM x0",
    "XSETID x0 39-0 ENTRIESADDED 50 MAXDELETEDID 3-0",
    "XREAD COUNT 2 STREAMS x0 x1 0 0",
    "XTRIM x0 MINID ~ 5 LIMIT 10",
    "XTRIM x0 MAXLEN 3",
    "XRANGE x0 (1 + COUNT 3",
    "XREVRANGE x0 + - COUNT 2",
    "XDEL x0 1-1 2-1",
    "LSET l0 0 v",
    "LSET l0 -1 w",
    "LPOS l0 a RANK -1 COUNT 0 MAXLEN 5",
    "LINSERT l0 BEFORE a new",
    "LREM l0 -1 a",
    "LINDEX l0 -1",
    "LRANGE l0 1 -2",
    "LMPOP 2 l0 l1 LEFT COUNT 2",
    "LMOVE l0 l1 RIGHT LEFT",
    "GEODIST g0 a b km",
    "GEOSEARCH g0 FROMMEMBER a BYRADIUS 5000 km ASC COUNT 2 WITHCOORD WITHDIST WITHHASH",
    "GEOSEARCH g0 FROMLONLAT 1 1 BYBOX 9000 9000 km DESC",
    "GEOSEARCH g0 FROMMEMBER b BYBOX 9000 9000 km COUNT 1 ANY",
    "GEOSEARCHSTORE z2 g0 FROMMEMBER a BYBOX 9000 9000 km STOREDIST",
    "GEOSEARCHSTORE g2 g0 FROMLONLAT 1 1 BYRADIUS 9000 km",
    "GEORADIUS g0 1 1 9000 km STORE g3",
    "GEORADIUS g0 1 1 9000 km STOREDIST z3",
    "GEORADIUS g0 1 1 9000 km WITHCOORD ASC",
    "GEORADIUSBYMEMBER g0 a 9000 km WITHDIST ASC",
    "GEORADIUSBYMEMBER g0 b 9000 km STORE g2",
    "GEORADIUSBYMEMBER_RO g0 a 9000 km WITHHASH DESC",
    "GEORADIUS_RO g0 1 1 9000 km WITHDIST COUNT 2 ASC",
    "SORT l0 ALPHA DESC STORE l3",
    "SORT l0 BY nosort GET # GET s* STORE l3",
    "SORT l0 BY nosort GET h*->a LIMIT 0 2",
    "SORT l0 ALPHA LIMIT 1 2",
    "SORT_RO l0 ALPHA ASC GET #",
    "SMOVE t0 t1 a",
    "SINTERCARD 2 t0 t1 LIMIT 1",
    "SISMEMBER t0 a",
    "SREM t0 a 1",
    "HGET h0 a",
    "HDEL h0 b",
    "HEXISTS h0 a",
    "HSTRLEN h0 b",
    "HINCRBYFLOAT h0 c 1.5",
    "HINCRBY h0 1 5",
    "ZADD z0 GT CH 5 a",
    "ZADD z0 LT 0 b 1 c",
    "ZADD z0 INCR 2 a",
    "ZADD z0 XX INCR 1 nosuch",
    "ZADD z0 NX 1 a 7 new",
    "ZMPOP 2 z0 z1 MIN COUNT 2",
    "ZSCORE z0 a",
    "ZRANK z0 c",
    "ZREVRANK z0 a",
    "ZUNION 2 z0 z1 WEIGHTS 2 3 AGGREGATE MAX WITHSCORES",
    "ZINTER 2 z0 z1 AGGREGATE MIN WITHSCORES",
    "ZDIFF 2 z0 z1 WITHSCORES",
    "ZINTERCARD 2 z0 z1 LIMIT 2",
    "ZUNIONSTORE z2 2 z0 t0 WEIGHTS 2 1 AGGREGATE SUM",
    "ZINTERSTORE z3 2 z0 z1 AGGREGATE MAX",
    "ZRANGEBYSCORE z0 -inf +inf WITHSCORES LIMIT 1 2",
    "ZREVRANGEBYSCORE z0 +inf (0 LIMIT 0 -1",
    "ZCOUNT z0 (0 10",
    "ZREMRANGEBYSCORE z0 (2 3",
    "ZREMRANGEBYRANK z0 -1 -1",
    "ZREM z0 a",
    "ZREVRANGE z0 0 1 WITHSCORES",
    "SET s0 v XX GET KEEPTTL",
    "SET s0 v NX GET EX 1000000",
    "SET s0 5 GET PX 1000000000",
    "SETNX s3 v",
    "MSETNX s2 1 s3 2",
    "GETEX s0 PERSIST",
    "GETEX s0 EXAT 4000000000",
    "LCS s0 s1 IDX MINMATCHLEN 1 WITHMATCHLEN",
    "LCS s0 s1 LEN",
    "EXPIRE l0 2000000 NX",
    "EXPIREAT h0 4000000000 XX",
    "PERSIST s0",
    "COPY s0 s3 DB 1 REPLACE",
    "COPY x0 x3 REPLACE",
    "COPY z0 z3",
    "RENAME l0 l3",
    "RENAMENX t0 t3",
    "OBJECT ENCODING l0",
    "OBJECT ENCODING z0",
    "OBJECT FREQ s0",
    "MEMORY USAGE l0 SAMPLES 0",
    "BITFIELD b0 SET u8 0 255 OVERFLOW SAT INCRBY u8 0 10 GET u8 0",
    "BITFIELD b0 OVERFLOW FAIL INCRBY u2 1 3",
    "BITFIELD b0 OVERFLOW WRAP INCRBY i5 #1 30",
    "BITFIELD_RO b0 GET i5 #2 GET u16 0",
    "BITPOS b0 1 0 -1 BIT",
    "BITPOS b0 1 1 -1 BYTE",
    "BITCOUNT b0 1 -5 BIT",
    "BITOP XOR b2 b0 b1",
    "BITOP NOT b3 b0",
    "GETBIT b0 5",
    "SETBIT b0 5 0",
    "PFCOUNT p0 p1",
    "PFMERGE p2 p0 p1",
    "PFDEBUG ENCODING p0",
    "PFDEBUG DECODE p0",
    "PFDEBUG TODENSE p0",
    "COMMAND LIST FILTERBY PATTERN x*",
    "COMMAND LIST FILTERBY ACLCAT hyperloglog",
    "COMMAND LIST FILTERBY MODULE nosuch",
    "COMMAND INFO get nosuch config|get",
    "COMMAND DOCS get xadd",
    "CONFIG GET maxmemory-policy hash-max*",
    "LATENCY HISTOGRAM get",
    "LATENCY GRAPH command",
    "ACL GETUSER u1",
    "ACL DRYRUN u1 get s0",
    "ACL CAT hyperloglog",
    "SCRIPT FLUSH SYNC",
    "FUNCTION FLUSH ASYNC",
    "FLUSHDB ASYNC",
    "FLUSHDB SYNC",
    "FLUSHALL SYNC",
};

static bool is_of(const char *example, const struct command *c)
{
    size_t len = strlen(c->name);
    return strncasecmp(example, c->name, len) == 0 && (example[len] == ' ' || example[len] == '\0');
}

static void put_word(struct random *r, struct step *s, const char *word, size_t len)
{
    char key[16];

    if (len == 2 && strchr("slthzxgpb", word[0]) != NULL && word[1] == '0' &&
        values_chance(r, 30)) {
        (void)snprintf(key, sizeof key, "%c%d", word[0], 1 + (int)random_below(r, 3));
        word = key;
    }
    step_word(s, word, len);
}

bool examples_make(struct random *r, const struct command *c, struct step *s)
{
    const char *const *all = examples;
    size_t count = sizeof examples / sizeof *examples, fit = 0;

    for (size_t i = 0; i < count; i++) {
        fit += is_of(all[i], c);
    }
    if (fit == 0) {
        return false;
    }
    size_t at = random_below(r, fit), i = 0;
    for (; !is_of(all[i], c) || at > 0; i++) {
        at -= is_of(all[i], c);
    }
    for (const char *word = all[i]; *word != '\0';) {
        size_t len = strcspn(word, " ");
        put_word(r, s, word, len);
        word += len + (word[len] == ' ');
    }
    return true;
}
