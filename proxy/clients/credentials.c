#include "proxy/clients/credentials.h"

#include <string.h>

static void credentials_copy(char to[CREDENTIALS_BYTES_MAX + 1], const char *from)
{
    size_t len = strnlen(from, CREDENTIALS_BYTES_MAX);

    memcpy(to, from, len);
    to[len] = '\0';
}

void credentials_init(struct credentials *c, const char *configured)
{
    memset(c, 0, sizeof *c);
    c->configured = configured != NULL ? configured : "";
    credentials_copy(c->password, c->configured);
    credentials_copy(c->link_password, c->configured);
}

static bool credentials_usable(const struct resp_arg *word)
{
    return word->len <= CREDENTIALS_BYTES_MAX &&
           (word->len == 0 || memchr(word->bytes, '\0', word->len) == NULL);
}

bool credentials_in_config(const struct resp_arg *argv, size_t argc, struct resp_arg *password)
{
    for (size_t i = 2; i + 1 < argc; i += 2) {
        if (resp_arg_is(&argv[i], "requirepass")) {
            *password = argv[i + 1];
            return credentials_usable(password);
        }
    }
    return false;
}

static bool credentials_same(const struct resp_arg *a, const struct resp_arg *b)
{
    return a->len == b->len && (a->len == 0 || memcmp(a->bytes, b->bytes, a->len) == 0);
}

bool credentials_in_acl(const struct resp_arg *argv, size_t argc, struct resp_arg *password)
{
    bool found = false;

    for (size_t i = 3; i < argc; i++) {
        const struct resp_arg *rule = &argv[i];
        struct resp_arg word = {rule->bytes, 0};
        char kind = rule->len > 0 ? (char)rule->bytes[0] : '\0';
        if (rule->len > 0 && (kind == '>' || kind == '<')) {
            word = (struct resp_arg){rule->bytes + 1, rule->len - 1};
        }
        if (kind == '>' || resp_arg_is(rule, "nopass")) {
            if (credentials_usable(&word) && (word.len > 0 || kind != '>')) {
                *password = word;
                found = true;
            } else if (found && password->len == 0) {
                found = false; /* one is needed again */
            }
        } else if (resp_arg_is(rule, "reset") || resp_arg_is(rule, "resetpass") ||
                   (kind == '#' && found && password->len == 0) ||
                   (kind == '<' && found && credentials_same(&word, password))) {
            found = false;
        }
    }
    return found;
}

void credentials_set(struct credentials *c, const struct resp_arg *password)
{
    if (!credentials_usable(password)) {
        return;
    }
    if (password->len > 0) {
        memcpy(c->learned, password->bytes, password->len);
    }
    c->learned[password->len] = '\0';
    c->has_learned = true;
    credentials_copy(c->password, c->learned);
    credentials_copy(c->link_password, c->learned);
}

bool credentials_refused(struct credentials *c)
{
    if (!c->has_learned || strcmp(c->learned, c->configured) == 0) {
        return false;
    }
    bool is_learned = strcmp(c->link_password, c->learned) == 0;
    credentials_copy(c->link_password, is_learned ? c->configured : c->learned);
    return true;
}

void credentials_accepted(struct credentials *c)
{
    credentials_copy(c->password, c->link_password);
}
