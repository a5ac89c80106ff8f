/* The shared command line: what goes on, what ends with 0, what ends with 2 and what it says. */
#include "common/options.h"

#include "tests/lib/unit.h"

#include <string.h>
#include <unistd.h>

struct sample {
    int64_t port;
};

static const struct config_row rows[] = {
    CONFIG_INT("port", struct sample, port, 1, 65535, "6379", "the port"),
};

static struct options_program program = {
    .name = "prog", .summary = "Does things.", .schema = rows, .schema_count = 1};

static char *out, *err;
static size_t out_size, err_size;
static int status;
static struct options options;
static struct sample sample;

/* Runs both steps as a main function would; true if the program would go on. */
static bool run(int argc, const char *const *args)
{
    char *argv[8];
    bool go_on;

    free(out);
    free(err);
    FILE *out_file = open_memstream(&out, &out_size);
    FILE *err_file = open_memstream(&err, &err_size);
    ck_assert(out_file != NULL && err_file != NULL && argc < 8);
    for (int i = 0; i < argc; i++) {
        argv[i] = (char *)(uintptr_t)args[i];
    }
    argv[argc] = NULL;
    go_on = options_parse(&program, argc, argv, &options, &status, out_file, err_file) &&
            options_load(&program, &options, &sample, &status, out_file, err_file);
    fclose(out_file);
    fclose(err_file);
    return go_on;
}

#define RUN(...)                                                                                   \
    run(sizeof((const char *const[]){"prog", __VA_ARGS__}) / sizeof(char *),                       \
        (const char *const[]){"prog", __VA_ARGS__})

static void write_file(char *path, const char *text)
{
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

START_TEST(help_and_version_end_with_0)
{
    ck_assert(!RUN("--help"));
    ck_assert_int_eq(status, 0);
    ck_assert_ptr_nonnull(strstr(out, "Usage: prog --config FILE"));
    ck_assert_ptr_nonnull(strstr(out, "--check-config"));
    ck_assert_ptr_nonnull(strstr(out, "port (integer 1..65535, default 6379)"));
    ck_assert(!RUN("--version"));
    ck_assert_int_eq(status, 0);
    ck_assert_ptr_nonnull(strstr(out, "prog 0."));
    ck_assert_str_eq(err, "");
}
END_TEST

START_TEST(wrong_command_lines_end_with_2)
{
    ck_assert(!RUN("--nonsense"));
    ck_assert_int_eq(status, 2);
    ck_assert_str_eq(err, "prog: not an option: --nonsense\nTry 'prog --help'.\n");
    ck_assert(!RUN("--config"));
    ck_assert_int_eq(status, 2);
    ck_assert_str_eq(err, "prog: an argument is missing after --config\nTry 'prog --help'.\n");
    ck_assert(!RUN("--verbose"));
    ck_assert_int_eq(status, 2);
    ck_assert_str_eq(err, "prog: --config FILE is needed\nTry 'prog --help'.\n");
    ck_assert(!RUN("-c", "x", "operand"));
    ck_assert_int_eq(status, 2);
    ck_assert_str_eq(err, "prog: takes no such argument: operand\nTry 'prog --help'.\n");
    ck_assert_str_eq(out, "");
}
END_TEST

/* A good file goes on, or with --check-config says so and ends; -v prints what is in effect. */
START_TEST(configuration)
{
    char good[] = "/tmp/test_options.XXXXXX";
    char bad[] = "/tmp/test_options.XXXXXX";
    char expected[128];

    write_file(good, "{}");
    write_file(bad, "{\n\"port\": 0}");
    ck_assert(RUN("--config", good));
    ck_assert_int_eq(sample.port, 6379);
    ck_assert(!RUN("--config", good, "--check-config"));
    ck_assert_int_eq(status, 0);
    snprintf(expected, sizeof expected, "%s: ok\n", good);
    ck_assert_str_eq(out, expected);
    ck_assert(!RUN("--config", good, "--check-config", "-v"));
    ck_assert_int_eq(status, 0);
    ck_assert_str_eq(out, "{\n    \"port\": 6379\n}\n");
    ck_assert(!RUN("--config", bad));
    ck_assert_int_eq(status, 2);
    snprintf(expected, sizeof expected, "%s:2: port: 0 is out of range, ", bad);
    ck_assert_msg(strncmp(err, expected, strlen(expected)) == 0, "%s", err);
    unlink(good);
    unlink(bad);
    ck_assert(!RUN("--config", bad));
    ck_assert_int_eq(status, 2);
}
END_TEST

/* A program with operands gets those behind the options untouched, whatever they look like. */
START_TEST(operands)
{
    program.operands = "COMMAND [ARGUMENT...]";
    program.config_optional = true;
    ck_assert(RUN("-v", "status", "--all"));
    ck_assert_int_eq(options.operands_at, 2);
    ck_assert(options.verbose);
    ck_assert_int_eq(sample.port, 6379);
    ck_assert(RUN("-v"));
    ck_assert_int_eq(options.operands_at, 2);
}
END_TEST

/* Options of one program alone, with and without an argument; its own help instead of the keys. */
START_TEST(extras)
{
    static const struct options_extra own[] = {{"proxy", "HOST:PORT", "where it is"},
                                               {"json", NULL, "as JSON"}};
    program.operands = "COMMAND [ARGUMENT...]";
    program.config_optional = true;
    program.extras = own;
    program.extra_count = 2;
    program.more_help = "\nCommands: none.\n";
    ck_assert(RUN("--json", "--proxy", "h:1", "status", "--proxy"));
    ck_assert_str_eq(options.extras[0], "h:1");
    ck_assert_str_eq(options.extras[1], "");
    ck_assert_int_eq(options.operands_at, 4);
    ck_assert(RUN("status"));
    ck_assert_ptr_null(options.extras[0]);
    ck_assert_ptr_null(options.extras[1]);
    ck_assert(!RUN("--proxy"));
    ck_assert_int_eq(status, 2);
    ck_assert_str_eq(err, "prog: an argument is missing after --proxy\nTry 'prog --help'.\n");
    ck_assert(!RUN("--help"));
    ck_assert_ptr_nonnull(strstr(out, "--proxy HOST:PORT    where it is\n"));
    ck_assert_ptr_nonnull(strstr(out, "\n\nCommands: none.\n"));
    ck_assert_ptr_null(strstr(out, "default 6379"));
}
END_TEST

/* Mixed: options stand anywhere, and operands follow in their order; "--" ends them. */
START_TEST(mixed)
{
    static const struct options_extra own[] = {{"proxy", "HOST:PORT", "where it is"},
                                               {"json", NULL, "as JSON"}};
    program.operands = "COMMAND [ARGUMENT...]";
    program.config_optional = program.mixed = true;
    program.extras = own;
    program.extra_count = 2;
    ck_assert(RUN("log", "--proxy", "h:1", "status", "--json"));
    ck_assert_str_eq(options.extras[0], "h:1");
    ck_assert_str_eq(options.extras[1], "");
    ck_assert_int_eq(options.operands_at, 4);
    ck_assert(RUN("log", "--", "--json"));
    ck_assert_ptr_null(options.extras[1]);
}
END_TEST

int main(void)
{
    return UNIT_RUN("options", NULL, NULL, help_and_version_end_with_0,
                    wrong_command_lines_end_with_2, configuration, operands, extras, mixed);
}
