/* What proxies say, taken apart and printed. */
#include "proxy/ctl/ctl_text.h"
#include "tests/lib/unit.h"

#include <string.h>

static const char info[] = "# Holdfast\r\n"
                           "holdfast_role:leader\r\n"
                           "holdfast_leader:[::1]:7379\r\n"
                           "holdfast_term:17\r\n"
                           "holdfast_empty:\r\n"
                           "nonsense\r\n"
                           "holdfast_log1:state=up,offset=1234567,lag_bytes=0\r\n"
                           "holdfast_log2:state=catchup,offset=99,lag_bytes=1234468\r\n"
                           "holdfast_log10:state=down,lag_bytes=7,reason=lost, and gone\r\n"
                           "holdfast_proxy1:name=a,synced=yes\r\n";

static struct ctl_text text;
static char *printed;
static size_t printed_size;

static void setup(void)
{
    ctl_text_init(&text, info, sizeof info - 1, "holdfast_");
}

static void teardown(void)
{
    ctl_text_fini(&text);
    free(printed);
    printed = NULL;
}

/* Values are found by their keys; a value may hold colons or be empty. */
START_TEST(values)
{
    char field[16];

    ck_assert_str_eq(ctl_text_get(&text, "role"), "leader");
    ck_assert_str_eq(ctl_text_get(&text, "leader"), "[::1]:7379");
    ck_assert_str_eq(ctl_text_get(&text, "empty"), "");
    ck_assert_ptr_null(ctl_text_get(&text, "nonsense"));
    ck_assert_int_eq(ctl_text_number(&text, "term"), 17);
    ck_assert_int_eq(ctl_text_number(&text, "role"), -1);
    ck_assert_int_eq(ctl_text_number(&text, "empty"), -1);
    ck_assert(ctl_text_field(ctl_text_get(&text, "log2"), "offset", field, sizeof field));
    ck_assert_str_eq(field, "99");
    ck_assert(!ctl_text_field(ctl_text_get(&text, "log10"), "offset", field, sizeof field));
}
END_TEST

/* A table: numbers to the right, words to the left, what a row has not is "-". */
START_TEST(table)
{
    FILE *out = open_memstream(&printed, &printed_size);

    ctl_text_print_rows(&text, "log", out);
    ctl_text_print_rows(&text, "nothing", out);
    fclose(out);
    ck_assert_str_eq(printed, "LOG    STATE     OFFSET  LAG BYTES  REASON\n"
                              "log1   up       1234567          0  -\n"
                              "log2   catchup       99    1234468  -\n"
                              "log10  down           -          7  lost, and gone\n");
}
END_TEST

/* Wall times can be read, and told to --at; what never was is "-". JSON has numbers. */
START_TEST(times)
{
    static const char bytes[] = "snapshot1:offset=5,wall_ms=1795356120250,verified_ms=0\n"
                                "snapshot2:offset=0,wall_ms=1000,verified_ms=1795356120250\n";
    FILE *out = open_memstream(&printed, &printed_size);

    ctl_text_fini(&text);
    ctl_text_init(&text, bytes, sizeof bytes - 1, "");
    ctl_text_print_rows(&text, "snapshot", out);
    fclose(out);
    ck_assert_str_eq(printed,
                     "SNAPSHOT   OFFSET  WALL TIME                 VERIFIED AT\n"
                     "snapshot1       5  2026-11-22T14:02:00.250Z  -\n"
                     "snapshot2       0  1970-01-01T00:00:01.000Z  2026-11-22T14:02:00.250Z\n");
    free(printed);
    out = open_memstream(&printed, &printed_size);
    ctl_text_print_json(&text, out);
    fclose(out);
    ck_assert_ptr_nonnull(strstr(printed, "\"wall_ms\":\t1795356120250"));
}
END_TEST

/* Lines that are no rows, aligned. */
START_TEST(lines)
{
    FILE *out = open_memstream(&printed, &printed_size);

    ctl_text_print_lines(&text, out);
    fclose(out);
    ck_assert_str_eq(printed, "role    leader\n"
                              "leader  [::1]:7379\n"
                              "term    17\n"
                              "empty   \n");
}
END_TEST

/* JSON: numbers are numbers, rows are gathered by their kind. */
START_TEST(json)
{
    FILE *out = open_memstream(&printed, &printed_size);

    ctl_text_print_json(&text, out);
    fclose(out);
    ck_assert_ptr_nonnull(strstr(printed, "\"role\":\t\"leader\""));
    ck_assert_ptr_nonnull(strstr(printed, "\"term\":\t17"));
    ck_assert_ptr_nonnull(strstr(printed, "\"empty\":\t\"\""));
    ck_assert_ptr_nonnull(strstr(printed, "\"logs\":\t[{"));
    ck_assert_ptr_nonnull(strstr(printed, "\"lag_bytes\":\t1234468"));
    ck_assert_ptr_nonnull(strstr(printed, "\"proxies\":\t[{"));
}
END_TEST

/* Whatever comes is taken apart without harm. */
START_TEST(nonsense)
{
    static const char bytes[] = ":\n::\n1:a=b\nx1:=\nx2:,,a=b,\nx3:a=b,c\n\n\r\r#:\n=";
    FILE *out = open_memstream(&printed, &printed_size);

    ctl_text_fini(&text);
    ctl_text_init(&text, bytes, sizeof bytes - 1, "holdfast_");
    ctl_text_print_lines(&text, out);
    ctl_text_print_rows(&text, "x", out);
    ctl_text_print_json(&text, out);
    fclose(out);
    ck_assert_uint_gt(printed_size, 0);
}
END_TEST

int main(void)
{
    return UNIT_RUN("ctl_text", setup, teardown, values, table, times, lines, json, nonsense);
}
