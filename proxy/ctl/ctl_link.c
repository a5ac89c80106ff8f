#include "proxy/ctl/ctl_link.h"

#include "common/mem.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool ctl_parse_address(const char *text, char *host, size_t size, int *port)
{
    const char *colon = strrchr(text, ':');
    char *end;

    if (colon == NULL || colon == text) {
        return false;
    }
    long number = strtol(colon + 1, &end, 10);
    size_t len = (size_t)(colon - text);
    if (text[0] == '[' && len > 2 && text[len - 1] == ']') {
        text++;
        len -= 2;
    }
    if (end == colon + 1 || *end != '\0' || number < 1 || number > 65535 || len >= size) {
        return false;
    }
    memcpy(host, text, len);
    host[len] = '\0';
    *port = (int)number;
    return true;
}

static struct timeval ctl_timeval(uint32_t ms)
{
    return (struct timeval){.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};
}

static int ctl_link_auth(struct ctl_link *l, const struct ctl *ctl, bool loud)
{
    const char *argv[3] = {"AUTH"};
    int argc = 1;
    char *text = NULL;

    if (ctl->password[0] == '\0') {
        return CTL_EXIT_DONE;
    }
    if (ctl->user[0] != '\0') {
        argv[argc++] = ctl->user;
    }
    argv[argc++] = ctl->password;
    int rc = ctl_link_ask(l, loud, &text, argc, argv);
    free(text);
    return rc;
}

int ctl_link_open(struct ctl_link *l, const struct ctl *ctl, const char *host, int port, bool loud)
{
    *l = (struct ctl_link){.port = port, .password_option = ctl->password_option};
    (void)snprintf(l->host, sizeof l->host, "%s", host);
    l->redis = redisConnectWithTimeout(host, port, ctl_timeval(ctl->timeout_ms));
    MUST(l->redis != NULL);
    if (l->redis->err != 0 || redisSetTimeout(l->redis, ctl_timeval(ctl->timeout_ms)) != REDIS_OK) {
        if (loud) {
            ctl_complain("%s:%d: %s", host, port, l->redis->errstr);
        }
        ctl_link_close(l);
        return CTL_EXIT_UNREACHABLE;
    }
    int rc = ctl_link_auth(l, ctl, loud);
    if (rc != CTL_EXIT_DONE) {
        ctl_link_close(l);
    }
    return rc;
}

void ctl_link_close(struct ctl_link *l)
{
    if (l->redis != NULL) {
        redisFree(l->redis);
        l->redis = NULL;
    }
}

int ctl_link_ask(struct ctl_link *l, bool loud, char **text, int argc, const char **argv)
{
    redisReply *reply = redisCommandArgv(l->redis, argc, argv, NULL);

    *text = NULL;
    if (reply == NULL) {
        if (loud) {
            ctl_complain("%s:%d: %s", l->host, l->port, l->redis->errstr);
        }
        return CTL_EXIT_UNREACHABLE;
    }
    bool is_text = reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS;
    if (is_text || reply->type == REDIS_REPLY_ERROR) {
        *text = mem_strdup(reply->str);
    }
    if (!is_text && loud) {
        bool noauth = *text != NULL && strncmp(*text, "NOAUTH", 6) == 0;
        ctl_complain("%s:%d: %s%s%s%s", l->host, l->port,
                     *text != NULL ? *text : "a strange answer", noauth ? " (--" : "",
                     noauth ? l->password_option : "", noauth ? " FILE)" : "");
    }
    freeReplyObject(reply);
    return is_text ? CTL_EXIT_DONE : CTL_EXIT_FAILED;
}

int ctl_link_status(struct ctl_link *l, bool loud, const char *what, struct ctl_text *status)
{
    const char *argv[] = {"HOLDFAST", what, "STATUS"};
    char *text = NULL;
    int rc = ctl_link_ask(l, loud, &text, 3, argv);

    if (rc == CTL_EXIT_DONE) {
        ctl_text_init(status, text, strlen(text), "");
    }
    free(text);
    return rc;
}

int ctl_link_info(struct ctl_link *l, bool loud, struct ctl_text *info)
{
    static const char prefix[] = "holdfast_";
    const char *argv[] = {"INFO", "holdfast"};
    char *text = NULL;
    int rc = ctl_link_ask(l, loud, &text, 2, argv);

    if (rc == CTL_EXIT_DONE) {
        ctl_text_init(info, text, strlen(text), prefix);
        if (ctl_text_get(info, "role") == NULL) {
            if (loud) {
                ctl_complain("%s:%d: is not a Holdfast proxy", l->host, l->port);
            }
            ctl_text_fini(info);
            rc = CTL_EXIT_FAILED;
        }
    }
    free(text);
    return rc;
}

int ctl_link_open_leader(struct ctl_link *l, const struct ctl *ctl, bool loud,
                         struct ctl_text *info)
{
    char host[256];
    int port = 0;
    int rc = ctl_link_open(l, ctl, ctl->host, ctl->port, loud);

    if (rc != CTL_EXIT_DONE) {
        return rc;
    }
    rc = ctl_link_info(l, loud, info);
    if (rc == CTL_EXIT_DONE && strcmp(ctl_text_get(info, "role"), "leader") == 0) {
        return rc;
    }
    if (rc == CTL_EXIT_DONE) {
        const char *leader = ctl_text_get(info, "leader");
        bool known = leader != NULL && ctl_parse_address(leader, host, sizeof host, &port);
        ctl_text_fini(info);
        rc = known ? CTL_EXIT_DONE : CTL_EXIT_FAILED;
        if (!known && loud) {
            ctl_complain("%s:%d: knows of no proxy that leads", l->host, l->port);
        }
    }
    ctl_link_close(l);
    if (rc == CTL_EXIT_DONE && (rc = ctl_link_open(l, ctl, host, port, loud)) == CTL_EXIT_DONE &&
        (rc = ctl_link_info(l, loud, info)) != CTL_EXIT_DONE) {
        ctl_link_close(l);
    }
    return rc;
}
