/* holdfast-proxy: options, set-up in order, signals. */
#include "common/log.h"
#include "common/mem.h"
#include "common/options.h"
#include "proxy/node/proxy.h"

#include <stdlib.h>

static const struct options_program program = {
    .name = "holdfast-proxy",
    .summary = "Puts a quorum log in front of a stock Redis: what it acknowledges is durable.",
    .schema = settings_schema,
};

int main(int argc, char **argv)
{
    struct options_program described = program;
    struct options options;
    struct settings settings = {0};
    enum log_level level = LOG_LEVEL_INFO;
    int status = EXIT_FAILURE;

    described.schema_count = settings_schema_count;
    if (!options_parse(&described, argc, argv, &options, &status, stdout, stderr) ||
        !options_load(&described, &options, &settings, &status, stdout, stderr)) {
        return status;
    }
    if (log_level_parse(settings.log_level, &level) != ERR_OK) {
        level = LOG_LEVEL_INFO; /* cannot be: the schema checks it */
    }
    log_init(settings.name, level);
    settings.path = options.config_path;

    mem_give_back_large();
    struct proxy *proxy = mem_calloc(1, sizeof *proxy);
    if (proxy_open(proxy, &settings) == ERR_OK) {
        proxy_run(proxy);
        status = EXIT_SUCCESS;
    } else {
        status = EXIT_FAILURE;
    }
    proxy_close(proxy);
    free(proxy);
    config_free(settings_schema, settings_schema_count, &settings);
    return status;
}
