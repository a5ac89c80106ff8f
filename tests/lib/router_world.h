/* What a router works in: real clients over sockets, a real engine whose Redis is played by the
 * test, the table of redis-server 7.0.15 (tests/data), and an owner that releases each reply as
 * soon as its batch is fenced. Everything here fails the running test if it can't be done. */
#ifndef TESTS_LIB_ROUTER_WORLD_H
#define TESTS_LIB_ROUTER_WORLD_H

#include "proxy/clients/pubsub.h"
#include "proxy/clients/router.h"

enum { WORLD_CLIENTS_MAX = 4, WORLD_LINKS_MAX = 2 };
/* How long requests wait for a leader, and links for answers, one that is to be left for half of
 * that: longer than any machine stands still. So nobody has waited for too long unless a test says
 * so. */
enum { WORLD_PATIENCE_MS = 3600 * 1000, WORLD_LEAVE_MS = WORLD_PATIENCE_MS / 2 };

extern struct world {
    struct event_base *base;
    struct request_pool pool;
    struct clients all;
    struct engine *engine;
    struct tracker *tracker;
    struct pubsub *pubsub;
    struct private_pool *privates;         /* WORLD_LINKS_MAX at most, one of them idle */
    struct private_pool *forward_privates; /* nowhere at first */
    struct forward *forward; /* one link, nowhere at first; refuses the fourth that waits */
    struct forward *replica;
    struct command_table *table;
    struct router router;
    int listener, port;             /* where clients come in */
    int redis_listener, redis_port; /* where the engine goes */
    int redis;                      /* our end of its link */
    int links[WORLD_LINKS_MAX];     /* our ends of private links; -1: none */
    int other_listener, other_port; /* where the forwards' links go */
    int other;                      /* our end of the last one */
    char nonce[17];                 /* of it */
    int fds[WORLD_CLIENTS_MAX];     /* our ends of clients; -1: none */
    struct client *clients[WORLD_CLIENTS_MAX];
    struct buf heard;     /* what world_hear returned, or what Redis was sent */
    struct waits_log log; /* what WAIT is told: two nodes have all that is answered, one nothing */
    bool hold;            /* nothing is sent to Redis; it gathers */
    bool bare;            /* what Redis was sent last has no fence */
} world;

/* A checked fixture: the link is up, the service is full, client 0 is there, RESP2, no password. */
void world_setup(void);
/* The same, but somebody else leads, or will. */
void world_setup_other_leads(void);
/* Nothing is left of requests and transactions. */
void world_teardown(void);

/* The links' own user has this password, which may be set anew at run time. */
struct credentials *world_credentials(const char *configured);

/* A new client in this place (the one that was there leaves). */
void world_join(int i);

/* Client i sends a request of words that single blanks separate; or these very bytes. */
void world_say(int i, const char *words);
void world_say_raw(int i, const char *bytes);

/* What client i gets: waits for something, then takes all there is. Valid until the next call. */
const char *world_hear(int i);
/* Exactly this comes. "": nothing does, and the connection stays. */
void world_expect(int i, const char *reply);
/* The connection ends, with nothing before that. */
void world_expect_closed(int i);

struct exchange {
    const char *request, *reply;
};
/* Client 0 has these exchanges, and nothing of them reaches Redis. */
void world_expect_all(const struct exchange *exchanges, size_t count);

/* Redis gets exactly these commands ("GET a|SET b c") and the fence behind them. */
void world_expect_sent(const char *commands);
/* The same of commands that begin and end so. */
void world_expect_sent_like(const char *begin, const char *end);
/* The same, of commands that tell of no data: there is no fence, nor does world_redis answer one.
 */
void world_expect_sent_bare(const char *commands);
/* Redis gets nothing. */
void world_expect_nothing_sent(void);
/* Client i asks for a pause of writes, and Redis is told; Redis is told of its end. */
void world_pause(int i);
void world_unpause(int i);
/* It answers: these bytes and the fence. */
void world_redis(const char *replies);

/* The client says this, Redis gets just that, answers with this, and so the client hears it. */
void world_asks(int i, const char *words, const char *reply);

/* The next private link is made, and set up by Redis, which calls it 70 + i. */
void world_link_up(int i);
void world_link_up_as(int i, const char *answers);
/* Redis gets exactly these commands and the fence behind them on that link; or answers there; or
 * says this, without a fence; or ends it. */
void world_link_expect_sent(int i, const char *commands);
void world_link_expect_unfenced(int i, const char *commands);
/* The same of a link that is not fenced. */
void world_link_expect_bare(int i, const char *commands);
void world_link_redis(int i, const char *replies);
void world_link_redis_raw(int i, const char *bytes);
/* As world_asks, on that link; and on one that is not fenced. */
void world_link_asks(int i, int link, const char *words, const char *reply);
void world_link_asks_bare(int i, int link, const char *words, const char *reply);
void world_link_down(int i);
/* The proxy has closed that link. */
void world_link_expect_closed(int i);
/* Another proxy leads (or our Redis is a replica, and may be read): the link to it comes up. */
void world_other_joins(bool leader);
void world_other_accept(void); /* its connection only */
/* The next connection to it is one client's own (world.forward_privates goes to world.other_port).
 */
void world_other_link(void);
/* It gets exactly these commands ("": nothing); it says these bytes; it says that it doesn't
 * serve. */
void world_expect_other(const char *commands);
void world_other(const char *replies);
void world_other_moved(void);
void world_turn(void);
/* What waits for a leader on our links has waited for too long. */
void world_links_wait_too_long(void);
/* So has what waits in front of links, clients' own as well; what comes later does not wait. */
void world_waits_too_long(void);

/* What the last request of client i may reveal: "0:a 5:a" (database and key, keys being one small
 * letter), "keyspace" or "harmless". It must not be answered yet. */
const char *world_scope(int i);

#endif
