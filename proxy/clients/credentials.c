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

bool credentials_in_acl(const struct resp_arg *argv, size_t argc, struct resp_arg *password)
{
    bool found = false;

    for (size_t i = 3; i < argc; i++) {
        const struct resp_arg *rule = &argv[i];
        struct resp_arg word = {rule->bytes, 0};
        if (rule->len > 1 && rule->bytes[0] == '>') {
            word = (struct resp_arg){rule->bytes + 1, rule->len - 1};
        } else if (!resp_arg_is(rule, "nopass")) {
            continue;
        }
        if (credentials_usable(&word)) {
            *password = word;
            found = true;
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
}

bool credentials_refused(struct credentials *c)
{
    if (!c->has_learned || strcmp(c->learned, c->configured) == 0) {
        return false;
    }
    bool is_learned = strcmp(c->password, c->learned) == 0;
    credentials_copy(c->password, is_learned ? c->configured : c->learned);
    return true;
}
