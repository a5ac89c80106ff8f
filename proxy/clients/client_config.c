#include "proxy/clients/client_config.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

enum { NAME_OUTPUT = CLIENT_CONFIG_NUMBERS, NAMES, VALUE_MAX = 512 };

static const char *const names[NAMES] = {"maxclients",        "timeout",
                                         "tcp-keepalive",     "client-query-buffer-limit",
                                         "maxmemory-clients", "min-replicas-to-write",
                                         "slowlog-max-len",   "client-output-buffer-limit"};
static const char *const classes[CLIENT_CONFIG_CLASSES] = {"normal", "slave", "pubsub"};

static int name_of(const struct resp_arg *word)
{
    for (int i = 0; i < NAMES; i++) {
        if (resp_arg_is(word, names[i])) {
            return i;
        }
    }
    return resp_arg_is(word, "min-slaves-to-write") ? CLIENT_CONFIG_REPLICAS : -1;
}

/* ---- values ---- */

/* memtoull (util.c). */
static bool take_memory(const struct resp_arg *word, uint64_t *value)
{
    static const struct {
        const char *unit;
        uint64_t bytes;
    } units[] = {{"", 1},        {"b", 1},        {"k", 1000},       {"kb", 1 << 10},
                 {"m", 1000000}, {"mb", 1 << 20}, {"g", 1000000000}, {"gb", 1 << 30}};
    size_t digits = 0;

    *value = 0;
    for (; digits < word->len && word->bytes[digits] >= '0' && word->bytes[digits] <= '9';
         digits++) {
        unsigned digit = word->bytes[digits] - (unsigned)'0';
        if (*value > (UINT64_MAX - digit) / 10) {
            return false;
        }
        *value = *value * 10 + digit;
    }
    struct resp_arg unit = {word->bytes + digits, word->len - digits};
    for (size_t i = 0; digits > 0 && i < sizeof units / sizeof *units; i++) {
        if (resp_arg_is(&unit, units[i].unit)) {
            bool fits = *value <= UINT64_MAX / units[i].bytes;
            *value *= units[i].bytes;
            return fits;
        }
    }
    return false;
}

static bool take_integer(const struct resp_arg *word, long long least, long long most,
                         uint64_t *value)
{
    long long n;

    if (!resp_arg_integer(word, &n) || n < least || n > most) {
        return false;
    }
    *value = (uint64_t)n;
    return true;
}

/* What Redis is given instead of so much: with a small slowlog-log-slower-than there may be a
 * fence, a SELECT and a HELLO for each command. NULL: the same; in a large log enough is left. */
static const char *slowlog_given(uint64_t most)
{
    return most == 0 || most > 1024 ? NULL : most <= 128 ? "1024" : "8192";
}

static bool take_number(struct client_config *config, int name, const struct resp_arg *word)
{
    struct resp_arg number = *word;
    uint64_t *value = &config->numbers[name].value;

    config->numbers[name].set = true;
    config->numbers[name].percent = false;
    switch (name) {
    case CLIENT_CONFIG_MAXCLIENTS:
        return take_integer(word, 1, UINT_MAX, value);
    case CLIENT_CONFIG_TIMEOUT_S:
    case CLIENT_CONFIG_KEEPALIVE_S:
    case CLIENT_CONFIG_REPLICAS:
        return take_integer(word, 0, INT_MAX, value);
    case CLIENT_CONFIG_SLOWLOG:
        if (!take_integer(word, 0, LONG_MAX, value)) {
            return false;
        }
        config->numbers[name].set = slowlog_given(*value) != NULL;
        return true;
    case CLIENT_CONFIG_QUERY_BYTES:
        return take_memory(word, value) && *value >= 1024 * 1024 && *value <= LONG_MAX;
    default:
        break;
    }
    if (word->len > 1 && word->bytes[word->len - 1] == '%') {
        number.len--;
        config->numbers[name].percent = true;
        return take_integer(&number, 0, 100, value);
    }
    return take_memory(word, value) && *value <= LONG_MAX;
}

/* Whether that is what Redis was given. */
static bool slowlog_is_given(const struct client_config *config, const struct resp_arg *value)
{
    return config->numbers[CLIENT_CONFIG_SLOWLOG].set &&
           resp_arg_is(value, slowlog_given(config->numbers[CLIENT_CONFIG_SLOWLOG].value));
}

size_t client_config_slowlog_len(const struct client_config *config)
{
    return config->numbers[CLIENT_CONFIG_SLOWLOG].set
               ? (size_t)config->numbers[CLIENT_CONFIG_SLOWLOG].value
               : SIZE_MAX;
}

void client_config_slowlog_found(struct client_config *config, const char *value)
{
    struct resp_arg word = {(const uint8_t *)value, strlen(value)};

    config->numbers[CLIENT_CONFIG_SLOWLOG].set = slowlog_is_given(config, &word);
}

bool client_config_replicas_lack(const struct client_config *config)
{
    return config->numbers[CLIENT_CONFIG_REPLICAS].set &&
           config->numbers[CLIENT_CONFIG_REPLICAS].value > config->replicas;
}

/* The next word between single blanks. */
static bool next_word(const struct resp_arg *text, size_t *at, struct resp_arg *word)
{
    if (*at > text->len) {
        return false;
    }
    const uint8_t *begin = text->bytes + *at;
    const uint8_t *end = *at < text->len ? memchr(begin, ' ', text->len - *at) : NULL;
    *word = (struct resp_arg){begin, end != NULL ? (size_t)(end - begin) : text->len - *at};
    *at += word->len + 1;
    return true;
}

static bool take_output(struct client_config *config, const struct resp_arg *text)
{
    struct resp_arg words[4];
    size_t at = 0;

    while (text->len > 0 && at <= text->len) {
        enum client_config_class class = CLIENT_CONFIG_NORMAL;
        for (size_t i = 0; i < 4; i++) {
            if (!next_word(text, &at, &words[i])) {
                return false;
            }
        }
        if (resp_arg_is(&words[0], "slave") || resp_arg_is(&words[0], "replica")) {
            class = CLIENT_CONFIG_REPLICA;
        } else if (resp_arg_is(&words[0], "pubsub")) {
            class = CLIENT_CONFIG_PUBSUB;
        } else if (!resp_arg_is(&words[0], "normal")) {
            return false;
        }
        if (!take_memory(&words[1], &config->output[class].hard_bytes) ||
            !take_memory(&words[2], &config->output[class].soft_bytes) ||
            !take_integer(&words[3], 0, INT_MAX, &config->output[class].soft_s)) {
            return false;
        }
        config->output[class].set = true;
    }
    return text->len > 0;
}

bool client_config_take(struct client_config *config, const struct resp_arg *argv, size_t argc,
                        struct resp_arg *rest, size_t *rest_count)
{
    struct client_config next = *config;
    bool seen[NAMES] = {false}, ours = false;

    *rest_count = 0;
    if (argc < 4 || argc % 2 != 0) {
        return false;
    }
    rest[(*rest_count)++] = argv[0];
    rest[(*rest_count)++] = argv[1];
    for (size_t i = 2; i < argc; i += 2) {
        int name = name_of(&argv[i]);
        if (name < 0) {
            rest[(*rest_count)++] = argv[i];
            rest[(*rest_count)++] = argv[i + 1];
            continue;
        }
        if (seen[name] || !(name == NAME_OUTPUT ? take_output(&next, &argv[i + 1])
                                                : take_number(&next, name, &argv[i + 1]))) {
            return false;
        }
        seen[name] = ours = true;
        if (name == CLIENT_CONFIG_REPLICAS && next.numbers[name].value == 0) {
            rest[(*rest_count)++] = argv[i];
            rest[(*rest_count)++] = argv[i + 1];
        } else if (name == CLIENT_CONFIG_SLOWLOG) {
            const char *given = slowlog_given(next.numbers[name].value);
            rest[(*rest_count)++] = argv[i];
            rest[(*rest_count)++] = given != NULL
                                        ? (struct resp_arg){(const uint8_t *)given, strlen(given)}
                                        : argv[i + 1];
        }
    }
    if (ours) {
        *config = next;
    }
    return ours;
}

/* ---- CONFIG REWRITE ---- */

void client_config_write(const struct client_config *config, struct buf *text)
{
    for (int i = 0; i < CLIENT_CONFIG_NUMBERS; i++) {
        if (config->numbers[i].set) {
            buf_printf(text, "%s %" PRIu64 "%s\n", names[i], config->numbers[i].value,
                       config->numbers[i].percent ? "%" : "");
        }
    }
    for (int i = 0; i < CLIENT_CONFIG_CLASSES; i++) {
        if (config->output[i].set) {
            buf_printf(text, "%s %s %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", names[NAME_OUTPUT],
                       classes[i], config->output[i].hard_bytes, config->output[i].soft_bytes,
                       config->output[i].soft_s);
        }
    }
}

bool client_config_read(struct client_config *config, const uint8_t *text, size_t size)
{
    struct client_config next = *config;

    for (size_t at = 0; at < size;) {
        const uint8_t *line = text + at, *end = memchr(line, '\n', size - at);
        const uint8_t *blank = end != NULL ? memchr(line, ' ', (size_t)(end - line)) : NULL;
        struct resp_arg words[4] = {{NULL, 0}}, rest[4];
        size_t rest_count;
        if (blank == NULL) {
            return false;
        }
        words[2] = (struct resp_arg){line, (size_t)(blank - line)};
        words[3] = (struct resp_arg){blank + 1, (size_t)(end - blank) - 1};
        if (!client_config_take(&next, words, 4, rest, &rest_count)) {
            return false;
        }
        at += (size_t)(end - line) + 1;
    }
    *config = next;
    return true;
}

/* ---- CONFIG GET ---- */

/* Redis' value for all classes, with what was set, or is shown, in it. */
static void put_output(const struct client_config *config, const struct resp_arg *before,
                       char out[VALUE_MAX])
{
    struct resp_arg word;
    size_t at = 0;
    int len = 0;

    for (int i = 0; i < CLIENT_CONFIG_CLASSES; i++) {
        char old[128] = "";
        for (int k = 0; k < 4 && next_word(before, &at, &word); k++) {
            size_t have = strlen(old);
            (void)snprintf(old + have, sizeof old - have, "%s%.*s", k > 0 ? " " : "",
                           (int)(word.len < 32 ? word.len : 32), (const char *)word.bytes);
        }
        if (config->output[i].set || config->output[i].shown) {
            (void)snprintf(old, sizeof old, "%s %" PRIu64 " %" PRIu64 " %" PRIu64, classes[i],
                           config->output[i].hard_bytes, config->output[i].soft_bytes,
                           config->output[i].soft_s);
        }
        len += snprintf(out + len, (size_t)(VALUE_MAX - len), "%s%s", i > 0 ? " " : "", old);
    }
}

/* False: Redis' own value holds. */
static bool put_value(const struct client_config *config, int name, const struct resp_arg *before,
                      char out[VALUE_MAX])
{
    if (name == NAME_OUTPUT) {
        put_output(config, before, out);
        return true;
    }
    if (name < 0 || !config->numbers[name].set ||
        (name == CLIENT_CONFIG_SLOWLOG && !slowlog_is_given(config, before))) {
        return false;
    }
    (void)snprintf(out, VALUE_MAX, "%" PRIu64 "%s", config->numbers[name].value,
                   config->numbers[name].percent ? "%" : "");
    return true;
}

void client_config_correct(const struct client_config *config, struct buf *reply)
{
    struct buf out = BUF_INIT;
    struct resp_arg name, value;
    char text[VALUE_MAX];
    const uint8_t *bytes = buf_head(reply);
    char type = reply->len > 0 && bytes[0] == '%' ? '%' : '*';
    size_t at = 0, elements;

    if (!resp_read_number(bytes, reply->len, &at, type, &elements)) {
        return; /* an error */
    }
    buf_append(&out, bytes, at);
    while (resp_read_bulk(bytes, reply->len, &at, &name) &&
           resp_read_bulk(bytes, reply->len, &at, &value)) {
        resp_put_bulk(&out, name.bytes, name.len);
        if (put_value(config, name_of(&name), &value, text)) {
            resp_put_bulk(&out, text, strlen(text));
        } else {
            resp_put_bulk(&out, value.bytes, value.len);
        }
    }
    if (at == reply->len) {
        buf_swap(reply, &out);
    }
    buf_release(&out);
}
