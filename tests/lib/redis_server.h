/* A redis-server of a test's own: in a temporary folder, on a free port of loopback, without
 * persistence, DEBUG allowed. It dies with the process that started it, at the latest.
 *
 * Everything here fails the running test (ck_abort_msg) when it can't do what it says. */
#ifndef TESTS_LIB_REDIS_SERVER_H
#define TESTS_LIB_REDIS_SERVER_H

#include <hiredis/hiredis.h>
#include <sys/types.h>

/* An unchecked fixture, which every test case that starts servers needs: their folder. (A test that
 * fails runs no code of its own any more.) */
void redis_servers_setup(void);
void redis_servers_teardown(void);

struct redis_server;

/* Starts it with more arguments ("--option", "value", …, NULL; args may be NULL) and waits until it
 * answers PING. */
struct redis_server *redis_server_start(const char *const args[]);

/* kill -9, and waits until it is gone. NULL is allowed. */
void redis_server_stop(struct redis_server *s);

/* kill -9, and a new process with the same port and arguments; its data is gone. */
void redis_server_restart(struct redis_server *s);

int redis_server_port(const struct redis_server *s);
pid_t redis_server_pid(const struct redis_server *s);

/* A new connection; commands on it fail after 20 s. The caller frees it. */
redisContext *redis_server_connect(const struct redis_server *s);

/* Runs a command on the server's own connection. An error reply fails the test. The reply is the
 * caller's. */
redisReply *redis_server_ask(struct redis_server *s, const char *format, ...);

/* The same, for its effect only. */
void redis_server_do(struct redis_server *s, const char *format, ...);

#endif
