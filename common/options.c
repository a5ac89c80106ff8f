#include "common/options.h"

#include "common/mem.h"

#include <config.h> /* autoconf's; "config.h" would be the one beside this file */
#include <getopt.h>
#include <string.h>

/* The options, with their help; getopt's own tables are made from this one. */
static const struct options_row {
    const char *name;
    char letter;
    const char *argument; /* NULL: takes none */
    const char *help;
} options_rows[] = {
    {"config", 'c', "FILE", "read the configuration (JSON) from FILE"},
    {"check-config", 'k', NULL, "check the configuration and exit"},
    {"verbose", 'v', NULL, "with --check-config: print what is in effect, defaults included"},
    {"help", 'h', NULL, "print this help and exit"},
    {"version", 'V', NULL, "print the version and exit"},
};

enum { OPTIONS_ROWS = sizeof options_rows / sizeof options_rows[0] };
enum { OPTIONS_FIRST_EXTRA = 256 }; /* what getopt returns for the first extra: no letter */

static void options_help_row(char letter, const char *name, const char *argument, const char *help,
                             FILE *out)
{
    char text[48];

    snprintf(text, sizeof text, "%c%c%c --%s %s", letter != '\0' ? '-' : ' ',
             letter != '\0' ? letter : ' ', letter != '\0' ? ',' : ' ', name,
             argument != NULL ? argument : "");
    fprintf(out, "  %-24s %s\n", text, help);
}

static void options_help(const struct options_program *program, FILE *out)
{
    fprintf(out, "Usage: %s %s%s\n%s\n\nOptions:\n", program->name,
            program->config_optional ? "[--config FILE] [OPTION...]" : "--config FILE [OPTION...]",
            program->operands != NULL ? program->operands : "", program->summary);
    for (size_t i = 0; i < OPTIONS_ROWS; i++) {
        const struct options_row *row = &options_rows[i];
        options_help_row(row->letter, row->name, row->argument, row->help, out);
    }
    for (size_t i = 0; i < program->extra_count; i++) {
        const struct options_extra *extra = &program->extras[i];
        options_help_row('\0', extra->name, extra->argument, extra->help, out);
    }
    if (program->more_help != NULL) {
        fputs(program->more_help, out);
        return;
    }
    fputs("\nKeys of the configuration:\n", out);
    config_help(program->schema, program->schema_count, out);
    fputs("\nExit status: 0 done, 2 wrong command line or configuration.\n", out);
}

static void options_tables(const struct options_program *program, struct option *longs,
                           char *letters)
{
    memset(longs, 0, (OPTIONS_ROWS + OPTIONS_EXTRAS_MAX + 1) * sizeof *longs);
    if (!program->mixed) {
        *letters++ = '+'; /* stop at the first operand */
    }
    *letters++ = ':'; /* tell a missing argument from an unknown option */
    for (size_t i = 0; i < OPTIONS_ROWS; i++) {
        bool argument = options_rows[i].argument != NULL;
        longs[i].name = options_rows[i].name;
        longs[i].has_arg = argument ? required_argument : no_argument;
        longs[i].val = (unsigned char)options_rows[i].letter;
        *letters++ = options_rows[i].letter;
        if (argument) {
            *letters++ = ':';
        }
    }
    *letters = '\0';
    for (size_t i = 0; i < program->extra_count; i++) {
        struct option *row = &longs[OPTIONS_ROWS + i];
        row->name = program->extras[i].name;
        row->has_arg = program->extras[i].argument != NULL ? required_argument : no_argument;
        row->val = OPTIONS_FIRST_EXTRA + (int)i;
    }
}

/* Says what is wrong with the command line; always false, for the caller to return. */
static bool options_refuse(const struct options_program *program, const char *what,
                           const char *detail, int *exit_status, FILE *err)
{
    fprintf(err, "%s: %s%s\nTry '%s --help'.\n", program->name, what, detail, program->name);
    *exit_status = OPTIONS_EXIT_USAGE;
    return false;
}

bool options_parse(const struct options_program *program, int argc, char **argv,
                   struct options *options, int *exit_status, FILE *out, FILE *err)
{
    struct option longs[OPTIONS_ROWS + OPTIONS_EXTRAS_MAX + 1];
    char letters[2 * OPTIONS_ROWS + 3];
    int option;

    *options = (struct options){0};
    *exit_status = 0;
    MUST(program->extra_count <= OPTIONS_EXTRAS_MAX);
    options_tables(program, longs, letters);
    opterr = 0;
    optind = 0; /* glibc: start afresh */
    while ((option = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
        switch (option) {
        case 'c':
            options->config_path = optarg;
            break;
        case 'k':
            options->check_config = true;
            break;
        case 'v':
            options->verbose = true;
            break;
        case 'h':
            options_help(program, out);
            return false;
        case 'V':
            fprintf(out, "%s %s\n", program->name, PACKAGE_VERSION);
            return false;
        case ':':
            return options_refuse(program, "an argument is missing after ", argv[optind - 1],
                                  exit_status, err);
        default:
            if (option >= OPTIONS_FIRST_EXTRA) {
                options->extras[option - OPTIONS_FIRST_EXTRA] = optarg != NULL ? optarg : "";
                break;
            }
            return options_refuse(program, "not an option: ", argv[optind - 1], exit_status, err);
        }
    }
    options->operands_at = optind;
    if (program->operands == NULL && optind < argc) {
        return options_refuse(program, "takes no such argument: ", argv[optind], exit_status, err);
    }
    if (options->config_path == NULL && !program->config_optional) {
        return options_refuse(program, "--config FILE is needed", "", exit_status, err);
    }
    return true;
}

bool options_load(const struct options_program *program, const struct options *options,
                  void *target, int *exit_status, FILE *out, FILE *err)
{
    char error[CONFIG_ERROR_BYTES_MAX];
    const char *name = options->config_path;
    int rc;

    *exit_status = 0;
    if (name != NULL) {
        rc = config_load(name, program->schema, program->schema_count, target, error, sizeof error);
    } else {
        name = "(defaults)";
        rc = config_parse(name, "{}", 2, program->schema, program->schema_count, target, error,
                          sizeof error);
    }
    if (rc != ERR_OK) {
        fprintf(err, "%s\n", error);
        *exit_status = OPTIONS_EXIT_USAGE;
        return false;
    }
    if (!options->check_config) {
        return true;
    }
    if (options->verbose) {
        config_print(program->schema, program->schema_count, target, out);
    } else {
        fprintf(out, "%s: ok\n", name);
    }
    config_free(program->schema, program->schema_count, target);
    return false;
}
