/* The conversations of replication, over every split of their bytes into two and into single ones.
 */
#include "proxy/protocol/psync.h"

#include "tests/lib/unit.h"

#include <stdio.h>
#include <string.h>

#define REPLID "0123456789abcdef0123456789abcdef01234567"
#define NEW    "89abcdef0123456789abcdef0123456789abcdef"
#define MARK   "aabaabaaabaabaabaaabaabaabaaabaabaabaaac" /* repeats itself: hard to look for */
#define HALF   "aabaabaaabaabaabaaabaabaabaaabaabaabaaa"  /* the mark without its end */
#define FULL   "+FULLRESYNC " REPLID " 4711\r\n"
#define SHAKEN "+PONG\r\n+OK\r\n+OK\r\n"
#define SENT                                                                                       \
    "*1\r\n$4\r\nPING\r\n*3\r\n$8\r\nREPLCONF\r\n$14\r\nlistening-port\r\n$4\r\n7379\r\n"          \
    "*5\r\n$8\r\nREPLCONF\r\n$4\r\ncapa\r\n$3\r\neof\r\n$4\r\ncapa\r\n$6\r\npsync2\r\n"
#define SENT_NEW SENT "*3\r\n$5\r\nPSYNC\r\n$1\r\n?\r\n$2\r\n-1\r\n"
#define SENT_OLD SENT "*3\r\n$5\r\nPSYNC\r\n$40\r\n" REPLID "\r\n$4\r\n4712\r\n"

static struct replid replid_of(const char *hex)
{
    struct replid r;
    memcpy(r.hex, hex, sizeof r.hex);
    return r;
}

/* What a conversation told, as text: events in order, adjoining bytes of a kind joined. */
struct told {
    struct buf text, out;
    enum psync_replica_event_kind last;
};

static void tell_bytes(struct told *t, const char *kind, const struct psync_replica_event *e)
{
    ck_assert_uint_gt(e->size, 0);
    if (t->last != e->kind) {
        buf_append_str(&t->text, kind);
    }
    buf_append(&t->text, e->bytes, e->size);
}

static void tell(struct told *t, const struct psync_replica_event *e)
{
    switch (e->kind) {
    case PSYNC_REPLICA_MORE:
        return;
    case PSYNC_REPLICA_FULL_RESYNC:
        buf_printf(&t->text, "[full %.40s %llu]", e->replid.hex, (unsigned long long)e->offset);
        break;
    case PSYNC_REPLICA_RDB:
        tell_bytes(t, "[rdb]", e);
        break;
    case PSYNC_REPLICA_RDB_END:
        buf_append_str(&t->text, "[end]");
        break;
    case PSYNC_REPLICA_RESUMED:
        buf_printf(&t->text, "[resumed %.40s %llu]", e->replid.hex, (unsigned long long)e->offset);
        break;
    case PSYNC_REPLICA_STREAM_BYTES:
        tell_bytes(t, "[stream]", e);
        break;
    case PSYNC_REPLICA_ENDED:
        buf_printf(&t->text, "[ended %s]", e->reason);
        break;
    }
    t->last = e->kind;
}

static void take(struct psync_replica *p, struct told *t, const char *bytes, size_t size)
{
    struct psync_replica_event e;

    do {
        size_t taken = psync_replica_take(p, (const uint8_t *)bytes, size, &t->out, &e);
        ck_assert_uint_le(taken, size);
        bytes += taken;
        size -= taken;
        tell(t, &e);
    } while (e.kind != PSYNC_REPLICA_MORE && e.kind != PSYNC_REPLICA_ENDED);
    ck_assert(e.kind == PSYNC_REPLICA_ENDED || size == 0);
}

static void check_text(const struct buf *b, const char *want, size_t split)
{
    const char *is = b->len > 0 ? (const char *)buf_head(b) : "";

    ck_assert_msg(b->len == strlen(want) && memcmp(is, want, b->len) == 0,
                  "split at %zu: \"%.*s\" instead of \"%s\"", split, (int)b->len, is, want);
}

/* Plays input to a fresh replica, cut at `split` (or into single bytes where it is 0). */
static void play_split(const struct psync_replica_config *config, const char *input, size_t split,
                       const char *want_told, const char *want_out)
{
    struct psync_replica p;
    struct told t = {.text = BUF_INIT, .out = BUF_INIT};
    size_t size = strlen(input);

    psync_replica_init(&p, config, &t.out);
    if (split > 0) {
        take(&p, &t, input, split);
        if (p.state != PSYNC_REPLICA_REFUSED) {
            take(&p, &t, input + split, size - split);
        }
    } else {
        for (size_t i = 0; i < size && p.state != PSYNC_REPLICA_REFUSED; i++) {
            take(&p, &t, input + i, 1);
        }
    }
    check_text(&t.text, want_told, split);
    if (want_out != NULL) {
        check_text(&t.out, want_out, split);
    }
    buf_release(&t.text);
    buf_release(&t.out);
}

static void play(const struct psync_replica_config *config, const char *input,
                 const char *want_told, const char *want_out)
{
    for (size_t split = 0; split <= strlen(input); split++) {
        play_split(config, input, split, want_told, want_out);
    }
}

static const struct psync_replica_config fresh = {.announce_port = 7379};

/* An RDB of known size, with keep-alives before each of its lines, then the stream. */
START_TEST(sized_rdb)
{
    play(&fresh, SHAKEN "\n\n" FULL "\n\n$7\r\nREDISxy*1\r\n$4\r\nPING\r\n",
         "[full " REPLID " 4711][rdb]REDISxy[end][stream]*1\r\n$4\r\nPING\r\n", SENT_NEW);
    play(&fresh, SHAKEN FULL "$0\r\n\n", "[full " REPLID " 4711][end][stream]\n", SENT_NEW);
    play(&fresh, SHAKEN FULL "$3\r\n\n\n\n", "[full " REPLID " 4711][rdb]\n\n\n[end]", SENT_NEW);
}
END_TEST

/* An RDB that ends with a mark: found across every split, and no beginning of it taken for it. */
START_TEST(marked_rdb)
{
    play(&fresh, SHAKEN FULL "\n$EOF:" MARK "\r\nREDIS" MARK "*1\r\n",
         "[full " REPLID " 4711][rdb]REDIS[end][stream]*1\r\n", SENT_NEW);
    play(&fresh, SHAKEN FULL "$EOF:" MARK "\r\n" HALF "x" HALF HALF "aabaab" MARK MARK,
         "[full " REPLID " 4711][rdb]" HALF "x" HALF HALF "aabaab[end][stream]" MARK, SENT_NEW);
    play(&fresh, SHAKEN FULL "$EOF:" MARK "\r\naabaabaaab" MARK,
         "[full " REPLID " 4711][rdb]aabaabaaab[end]", SENT_NEW);
    play(&fresh, SHAKEN FULL "$EOF:" MARK "\r\n" MARK, "[full " REPLID " 4711][end]", SENT_NEW);
}
END_TEST

/* Every pair of beginnings of the mark before the mark itself: none is lost, none is taken. */
START_TEST(false_marks)
{
    for (int i = 0; i < PSYNC_MARK_BYTES; i++) {
        for (int k = 0; k < PSYNC_MARK_BYTES; k++) {
            char input[512], want[512];
            snprintf(input, sizeof input, SHAKEN FULL "$EOF:" MARK "\r\nR%.*s%.*s" MARK, i, MARK, k,
                     MARK);
            snprintf(want, sizeof want, "[full " REPLID " 4711][rdb]R%.*s%.*s[end]", i, MARK, k,
                     MARK);
            play_split(&fresh, input, 0, want, NULL);
            play_split(&fresh, input, strlen(input) - 20, want, NULL);
            play_split(&fresh, input, strlen(input), want, NULL);
        }
    }
}
END_TEST

/* The stream goes on: PSYNC names the next byte; a new replid may be told, or none. */
START_TEST(resumed)
{
    struct replid old = replid_of(REPLID);
    struct psync_replica_config config = {.announce_port = 7379, .replid = &old, .offset = 4711};

    play(&config, SHAKEN "\n+CONTINUE " NEW "\r\n*1\r\n\n",
         "[resumed " NEW " 4711][stream]*1\r\n\n", SENT_OLD);
    play(&config, SHAKEN "+CONTINUE\r\nx", "[resumed " REPLID " 4711][stream]x", SENT_OLD);
    play(&config, SHAKEN "+FULLRESYNC " NEW " 9\r\n$1\r\nR", "[full " NEW " 9][rdb]R[end]",
         SENT_OLD);
}
END_TEST

/* AUTH comes first where it is configured, with and without a user, and may be refused. */
START_TEST(authenticated)
{
    struct psync_replica_config config = {.password = "s3cret", .announce_port = 7379};

    play(&config, "+OK\r\n" SHAKEN FULL, "[full " REPLID " 4711]",
         "*2\r\n$4\r\nAUTH\r\n$6\r\ns3cret\r\n" SENT_NEW);
    config.user = "repl";
    play(&config, "+OK\r\n" SHAKEN FULL, "[full " REPLID " 4711]",
         "*3\r\n$4\r\nAUTH\r\n$4\r\nrepl\r\n$6\r\ns3cret\r\n" SENT_NEW);
    play(&config, "-WRONGPASS no\r\n", "[ended AUTH was refused: -WRONGPASS no]",
         "*3\r\n$4\r\nAUTH\r\n$4\r\nrepl\r\n$6\r\ns3cret\r\n");
}
END_TEST

/* Nothing is sent before the reply to what was sent before it. */
START_TEST(one_request_at_a_time)
{
    struct psync_replica p;
    struct told t = {.text = BUF_INIT, .out = BUF_INIT};

    psync_replica_init(&p, &fresh, &t.out);
    check_text(&t.out, "*1\r\n$4\r\nPING\r\n", 0);
    take(&p, &t, "+PONG\r", 6);
    check_text(&t.out, "*1\r\n$4\r\nPING\r\n", 0);
    take(&p, &t, "\n+OK\r\n", 6);
    check_text(&t.out, SENT, 0);
    take(&p, &t, "+OK\r\n", 5);
    check_text(&t.out, SENT_NEW, 0);
    buf_release(&t.out);
}
END_TEST

/* Errors and nonsense end the conversation with a reason. */
START_TEST(refused)
{
    struct replid old = replid_of(REPLID);
    struct psync_replica_config config = {.announce_port = 7379, .replid = &old};
    static const struct {
        const char *reply, *told;
    } cases[] = {
        {"-NOMASTERLINK no\r\n", "[ended PSYNC was refused: -NOMASTERLINK no]"},
        {"-ERR unknown command\r\n", "[ended PSYNC was refused: -ERR unknown command]"},
        {":1\r\n", "[ended unexpected reply to PSYNC: :1]"},
        {"+FULLRESYNC\r\n", "[ended unexpected reply to PSYNC: +FULLRESYNC]"},
        {"+FULLRESYNC x 1\r\n", "[ended unexpected reply to PSYNC: +FULLRESYNC x 1]"},
        {"+FULLRESYNC " REPLID " \r\n",
         "[ended unexpected reply to PSYNC: +FULLRESYNC " REPLID " ]"},
        {"+FULLRESYNC " REPLID " -1\r\n",
         "[ended unexpected reply to PSYNC: +FULLRESYNC " REPLID " -1]"},
        {"+FULLRESYNC " REPLID " 9223372036854775808\r\n",
         "[ended unexpected reply to PSYNC: +FULLRESYNC " REPLID " 9223372036854775808]"},
        {"+CONTINUE x\r\n", "[ended unexpected reply to PSYNC: +CONTINUE x]"},
        {"+CONTINUED\r\n", "[ended unexpected reply to PSYNC: +CONTINUED]"},
        {FULL "+OK\r\n", "[full " REPLID " 4711][ended unexpected start of the RDB: +OK]"},
        {FULL "$-1\r\n", "[full " REPLID " 4711][ended unexpected start of the RDB: $-1]"},
        {FULL "$EOF:x\r\n", "[full " REPLID " 4711][ended unexpected start of the RDB: $EOF:x]"},
    };
    char input[512];

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(input, sizeof input, SHAKEN "%s", cases[i].reply);
        play(&config, input, cases[i].told, NULL);
    }
    play(&fresh, SHAKEN "+CONTINUE " NEW "\r\n",
         "[ended unexpected reply to PSYNC: +CONTINUE " NEW "]", SENT_NEW);
    play(&fresh, "-LOADING wait\r\n", "[ended PING was refused: -LOADING wait]", NULL);
    play(&fresh, "+PONG\r\n-ERR no\r\n", "[ended REPLCONF listening-port was refused: -ERR no]",
         NULL);
}
END_TEST

/* A line without end doesn't grow. */
START_TEST(endless_line)
{
    struct psync_replica p;
    struct told t = {.text = BUF_INIT, .out = BUF_INIT};

    psync_replica_init(&p, &fresh, &t.out);
    for (int i = 0; i < PSYNC_LINE_MAX_BYTES && p.state != PSYNC_REPLICA_REFUSED; i++) {
        take(&p, &t, "x", 1);
    }
    ck_assert_int_eq(p.state, PSYNC_REPLICA_REFUSED);
    buf_release(&t.text);
    buf_release(&t.out);
}
END_TEST

/* An ACK is wanted behind a marked RDB, and only until the stream begins. */
START_TEST(wants_ack)
{
    struct psync_replica p;
    struct told t = {.text = BUF_INIT, .out = BUF_INIT};
    static const char marked[] = SHAKEN FULL "$EOF:" MARK "\r\nR" MARK,
                      sized[] = SHAKEN FULL "$1\r\nR";

    psync_replica_init(&p, &fresh, &t.out);
    take(&p, &t, marked, sizeof marked - 2);
    ck_assert(!psync_replica_wants_ack(&p) && !psync_replica_streams(&p));
    take(&p, &t, marked + sizeof marked - 2, 1);
    ck_assert(psync_replica_wants_ack(&p) && psync_replica_streams(&p));
    take(&p, &t, "*", 1);
    ck_assert(!psync_replica_wants_ack(&p) && psync_replica_streams(&p));

    psync_replica_init(&p, &fresh, &t.out);
    take(&p, &t, sized, sizeof sized - 1);
    ck_assert(!psync_replica_wants_ack(&p) && psync_replica_streams(&p));
    buf_clear(&t.out);
    psync_replica_put_ack(&t.out, 12345678901ull);
    check_text(&t.out, "*3\r\n$8\r\nREPLCONF\r\n$3\r\nACK\r\n$11\r\n12345678901\r\n", 0);
    buf_release(&t.text);
    buf_release(&t.out);
}
END_TEST

/* --- the master's end --- */

static bool hear(struct psync_master *m, struct told *t, const char *bytes, size_t size)
{
    struct psync_master_event e;

    psync_master_put(m, (const uint8_t *)bytes, size);
    do {
        psync_master_next(m, &t->out, &e);
        if (e.kind == PSYNC_MASTER_ASKED && e.has_replid) {
            buf_printf(&t->text, "[asked %.40s %llu]", e.replid.hex, (unsigned long long)e.offset);
        } else if (e.kind == PSYNC_MASTER_ASKED) {
            buf_append_str(&t->text, "[asked ?]");
        } else if (e.kind == PSYNC_MASTER_ACKED) {
            buf_printf(&t->text, "[acked %llu]", (unsigned long long)e.offset);
        } else if (e.kind == PSYNC_MASTER_ENDED) {
            buf_printf(&t->text, "[ended %s]", e.reason);
            return false;
        }
    } while (e.kind != PSYNC_MASTER_MORE);
    return true;
}

static void serve(const char *secret, const char *input, const char *want_told,
                  const char *want_out)
{
    size_t size = strlen(input);

    for (size_t split = 0; split <= size; split++) {
        struct psync_master m;
        struct told t = {.text = BUF_INIT, .out = BUF_INIT};
        psync_master_init(&m, secret);
        if (split > 0) {
            if (hear(&m, &t, input, split) && split < size) {
                (void)hear(&m, &t, input + split, size - split);
            }
        } else {
            for (size_t i = 0; i < size && hear(&m, &t, input + i, 1); i++) {
            }
        }
        check_text(&t.text, want_told, split);
        check_text(&t.out, want_out, split);
        psync_master_fini(&m);
        buf_release(&t.text);
        buf_release(&t.out);
    }
}

#define AUTH(secret, len) "*2\r\n$4\r\nAUTH\r\n$" len "\r\n" secret "\r\n"
#define PING              "*1\r\n$4\r\nPING\r\n"
#define ACK               "*3\r\n$8\r\nREPLCONF\r\n$3\r\nACK\r\n$2\r\n77\r\n"
#define PSYNC_ANY         "*3\r\n$5\r\nPSYNC\r\n$1\r\n?\r\n$2\r\n-1\r\n"
#define PSYNC_AT(n, len)  "*3\r\n$5\r\nPSYNC\r\n$40\r\n" REPLID "\r\n$" len "\r\n" n "\r\n"
#define NOAUTH            "-NOAUTH Authentication required.\r\n"
#define WRONGPASS         "-WRONGPASS invalid username-password pair or user is disabled.\r\n"

/* What a replica of 7.0 says, word for word, is answered; then only ACKs and keep-alives come. */
START_TEST(served)
{
    serve("s3cret", SENT, "[ended no AUTH came first (a replica needs the secret as masterauth)]",
          NOAUTH NOAUTH);
    serve("s3cret", PING AUTH("s3cret", "6") SENT PSYNC_ANY "\n\n" ACK "\n" ACK,
          "[asked ?][acked 77][acked 77]", NOAUTH "+OK\r\n+PONG\r\n+OK\r\n+OK\r\n");
    serve("s3cret", "*3\r\n$4\r\nAUTH\r\n$4\r\nrepl\r\n$6\r\ns3cret\r\n" PSYNC_AT("4712", "4"),
          "[asked " REPLID " 4711]", "+OK\r\n");
    serve(NULL, PING PSYNC_AT("1", "1"), "[asked " REPLID " 0]", "+PONG\r\n");
    serve("", PSYNC_AT("0", "1"), "[asked ?]", "");
    serve(NULL, ACK "*3\r\n$8\r\nREPLCONF\r\n$7\r\nversion\r\n$5\r\n7.2.0\r\n", "", "+OK\r\n");
    serve(NULL, "*3\r\n$8\r\nREPLCONF\r\n$6\r\nfuture\r\n$1\r\n1\r\n" PSYNC_ANY, "[asked ?]",
          "-ERR Unrecognized REPLCONF option\r\n");
}
END_TEST

/* Strangers are sent away with a reason. */
START_TEST(strangers)
{
    serve("s3cret", AUTH("s3creT", "6"), "[ended wrong secret]", WRONGPASS);
    serve("s3cret", AUTH("s3cre", "5"), "[ended wrong secret]", WRONGPASS);
    serve("s3cret", AUTH("s3crets3cret", "12"), "[ended wrong secret]", WRONGPASS);
    serve("s3cret", AUTH("", "0"), "[ended wrong secret]", WRONGPASS);
    serve("s3cret", "*1\r\n$4\r\nAUTH\r\n", "[ended wrong secret]", WRONGPASS);
    serve("s3cret", PSYNC_ANY,
          "[ended no AUTH came first (a replica needs the secret as masterauth)]", NOAUTH);
    serve(NULL, "SYNC\r\n", "[ended not what a replica says]",
          "-ERR only replicas are served here\r\n");
    serve(NULL, "*1\r\n$7\r\nFLUSHDB\r\n", "[ended not what a replica says]",
          "-ERR only replicas are served here\r\n");
    serve(NULL, PSYNC_ANY "*1\r\n$7\r\nFLUSHDB\r\n", "[asked ?][ended not what a replica says]",
          "");
    serve(NULL, PSYNC_ANY PSYNC_ANY, "[asked ?][ended a misplaced PSYNC]",
          "-ERR PSYNC is not possible here\r\n");
    serve(NULL, "*x\r\n", "[ended Protocol error: invalid multibulk length]",
          "-ERR Protocol error: invalid multibulk length\r\n");
}
END_TEST

/* Half a request that never ends is cut off at a bound, whatever it is made of. */
START_TEST(endless_request)
{
    static const char *const beginnings[] = {"x", "*2\r\n$2048\r\n", "*10\r\n$3\r\nfoo\r\n"};

    for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++) {
        struct psync_master m;
        struct told t = {.text = BUF_INIT, .out = BUF_INIT};
        psync_master_init(&m, "s3cret");
        bool lives = hear(&m, &t, beginnings[i], strlen(beginnings[i]));
        for (int k = 0; lives && k < 3 * PSYNC_REQUEST_MAX_BYTES; k++) {
            lives = hear(&m, &t, i == 2 ? "$3\r\nfoo\r\n" : "x", i == 2 ? 9 : 1);
            ck_assert_uint_le(m.in.len, PSYNC_REQUEST_MAX_BYTES + 16);
        }
        ck_assert(!lives);
        psync_master_fini(&m);
        buf_release(&t.text);
        buf_release(&t.out);
    }
}
END_TEST

/* Both ends understand each other. */
START_TEST(end_to_end)
{
    struct replid id = replid_of(NEW);
    struct psync_replica r;
    struct psync_master m;
    struct told t = {.text = BUF_INIT, .out = BUF_INIT}, heard = t;
    struct psync_replica_config config = {.password = "s3cret", .announce_port = 7379};

    psync_replica_init(&r, &config, &t.out);
    psync_master_init(&m, "s3cret");
    while (t.out.len > 0) {
        ck_assert(hear(&m, &heard, (const char *)buf_head(&t.out), t.out.len));
        buf_clear(&t.out);
        take(&r, &t, (const char *)buf_head(&heard.out), heard.out.len);
        buf_clear(&heard.out);
    }
    check_text(&heard.text, "[asked ?]", 0);
    psync_master_put_full_resync(&heard.out, &id, 123);
    buf_append_str(&heard.out, "\n");
    psync_master_put_rdb_head(&heard.out, 5);
    buf_append_str(&heard.out, "REDIS+");
    take(&r, &t, (const char *)buf_head(&heard.out), heard.out.len);
    check_text(&t.text, "[full " NEW " 123][rdb]REDIS[end][stream]+", 0);
    buf_clear(&heard.out);
    psync_master_put_continue(&heard.out, &id);
    check_text(&heard.out, "+CONTINUE " NEW "\r\n", 0);
    psync_master_fini(&m);
    buf_release(&t.text);
    buf_release(&t.out);
    buf_release(&heard.text);
    buf_release(&heard.out);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("psync");
    TCase *replica = tcase_create("replica"), *master = tcase_create("master");

    tcase_set_timeout(replica, 60); /* every split, maybe under a sanitizer */
    tcase_add_test(replica, sized_rdb);
    tcase_add_test(replica, marked_rdb);
    tcase_add_test(replica, false_marks);
    tcase_add_test(replica, resumed);
    tcase_add_test(replica, authenticated);
    tcase_add_test(replica, one_request_at_a_time);
    tcase_add_test(replica, refused);
    tcase_add_test(replica, endless_line);
    tcase_add_test(replica, wants_ack);
    suite_add_tcase(suite, replica);
    tcase_set_timeout(master, 60);
    tcase_add_test(master, served);
    tcase_add_test(master, strangers);
    tcase_add_test(master, endless_request);
    tcase_add_test(master, end_to_end);
    suite_add_tcase(suite, master);
    return unit_main(suite);
}
