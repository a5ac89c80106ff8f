/* The proxy's settings: the defaults, that every key reaches its own field, and the bounds that the
 * program relies on. */
#include "proxy/node/settings.h"

#include "tests/lib/unit.h"

#include <stdio.h>
#include <string.h>

#define MINIMAL                                                                                    \
    "\"cluster_id\":\"000102030405060708090a0b0c0d0e0f\",\"log\":{\"nodes\":[\"127.0.0.1:1\"]}"

static int parse(const char *text, struct settings *s, char *error)
{
    return config_parse("test", text, strlen(text), settings_schema, settings_schema_count, s,
                        error, CONFIG_ERROR_BYTES_MAX);
}

/* What must be given is enough, and the defaults suit each other. */
START_TEST(test_defaults)
{
    char error[CONFIG_ERROR_BYTES_MAX];
    struct settings s;

    ck_assert_msg(parse("{" MINIMAL "}", &s, error) == ERR_OK, "%s", error);
    ck_assert_uint_eq(s.cluster_id[15], 15);
    ck_assert_uint_eq(s.log_nodes.count, 1);
    ck_assert_str_eq(s.redis_host, "127.0.0.1");
    ck_assert_str_eq(s.redis_password, "");
    ck_assert_int_eq(s.port, 7379);
    ck_assert_int_lt(s.log_heartbeat_ms * 3, s.lease_ms);
    ck_assert_int_ge(s.redis_handover_ms, 5000 + 1000); /* Redis' busy-reply-threshold */
    ck_assert_int_le(s.withheld_client_max_bytes, s.withheld_total_max_bytes);
    ck_assert_int_le(s.query_client_max_bytes, s.query_total_max_bytes);
    ck_assert_int_le(s.bulk_max_bytes, s.query_client_max_bytes);
    ck_assert_int_le(s.log_append_max_bytes, s.log_window_max_bytes);
    config_free(settings_schema, settings_schema_count, &s);
}
END_TEST

/* No two keys share a name or a field; a number given for one changes that field alone. */
START_TEST(test_fields)
{
    for (size_t i = 0; i < settings_schema_count; i++) {
        const struct config_row *row = &settings_schema[i];
        ck_assert_uint_lt(row->offset, sizeof(struct settings));
        for (size_t j = 0; j < i; j++) {
            ck_assert_str_ne(row->path, settings_schema[j].path);
            ck_assert_uint_ne(row->offset, settings_schema[j].offset);
        }
    }
}
END_TEST

/* What the program could not live with is refused, and the key is named. */
START_TEST(test_refused)
{
    static const struct {
        const char *given, *named;
    } cases[] = {
        {"\"port\":65536", "port"},
        {"\"port\":-1", "port"},
        {"\"host\":\"\"", "host"},
        {"\"lease_ms\":0", "lease_ms"},
        {"\"log_level\":\"loud\"", "log_level"},
        {"\"redis\":{\"port\":0}", "redis.port"},
        {"\"redis\":{\"batches_in_flight\":5}", "redis.batches_in_flight"},
        {"\"limits\":{\"pending_max\":0}", "limits.pending_max"},
        {"\"limits\":{\"clients_max\":\"many\"}", "limits.clients_max"},
        {"\"limits\":{\"clients\":1}", "limits.clients"},
    };
    char text[512], error[CONFIG_ERROR_BYTES_MAX];
    struct settings s;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        (void)snprintf(text, sizeof text, "{" MINIMAL ",%s}", cases[i].given);
        ck_assert_msg(parse(text, &s, error) == ERR_INVALID, "%s", cases[i].given);
        ck_assert_msg(strstr(error, cases[i].named) != NULL, "%s: %s", cases[i].given, error);
    }
    ck_assert_int_eq(parse("{}", &s, error), ERR_INVALID);
}
END_TEST

/* The password is never printed. */
START_TEST(test_secret)
{
    char error[CONFIG_ERROR_BYTES_MAX], *printed = NULL;
    size_t size = 0;
    struct settings s;
    FILE *out = open_memstream(&printed, &size);

    ck_assert_ptr_nonnull(out);
    ck_assert_int_eq(parse("{" MINIMAL ",\"redis\":{\"password\":\"hidden\"}}", &s, error), ERR_OK);
    config_print(settings_schema, settings_schema_count, &s, out);
    (void)fclose(out);
    ck_assert_ptr_nonnull(strstr(printed, "redis"));
    ck_assert_ptr_null(strstr(printed, "hidden"));
    free(printed);
    config_free(settings_schema, settings_schema_count, &s);
}
END_TEST

int main(void)
{
    return UNIT_RUN("settings", NULL, NULL, test_defaults, test_fields, test_refused, test_secret);
}
