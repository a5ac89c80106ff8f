/* The command line that every program of Holdfast has: --config FILE, --check-config,
 * --verbose, --help, --version. Exit status 0: what was asked for was done; 2: the command line or
 * the configuration is wrong. */
#ifndef COMMON_OPTIONS_H
#define COMMON_OPTIONS_H

#include "common/config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { OPTIONS_EXIT_USAGE = 2 };

enum { OPTIONS_EXTRAS_MAX = 32 };

/* An option that only one program has. */
struct options_extra {
    const char *name;     /* "proxy" */
    const char *argument; /* "HOST:PORT"; NULL: takes none */
    const char *help;
};

/* What a program is, for its command line. */
struct options_program {
    const char *name;     /* "holdfast-proxy" */
    const char *summary;  /* one line for --help */
    const char *operands; /* "COMMAND [ARGUMENT...]" for --help; NULL: it takes none */
    const struct config_row *schema;
    size_t schema_count;
    bool config_optional; /* without --config every key takes its default */
    bool mixed;           /* options may stand behind operands, too: argv is put into order */
    const struct options_extra *extras; /* at most OPTIONS_EXTRAS_MAX */
    size_t extra_count;
    const char *more_help; /* behind the options, instead of the keys of the configuration and the
                              exit statuses; NULL: these */
};

struct options {
    const char *config_path; /* NULL if not given */
    bool check_config;
    bool verbose;
    const char *extras[OPTIONS_EXTRAS_MAX]; /* "" if it takes no argument; NULL if not given */
    int operands_at; /* index in argv of the first operand; argc if there is none */
};

/* Reads the command line. True: go on. False: the program ends with *exit_status; what it had to
 * say has been written to out (help, version) or err (mistakes). Options end at the first operand
 * (mixed: at "--"). */
bool options_parse(const struct options_program *program, int argc, char **argv,
                   struct options *options, int *exit_status, FILE *out, FILE *err) MUST_CHECK;

/* Loads the configuration that the options name into target (config_free frees it). True and false
 * as above: after --check-config, "FILE: ok" (with --verbose the effective configuration instead)
 * has been written and the program ends with 0, target owning nothing. */
bool options_load(const struct options_program *program, const struct options *options,
                  void *target, int *exit_status, FILE *out, FILE *err) MUST_CHECK;

#endif
