/* What our Redis was set to before we changed it, in a small file: a proxy that was killed could
 * not put it back, and its successor must not take our settings for the operator's. It counts for
 * one process of Redis only, known by its run_id: a restarted one has its own settings again.
 *
 *     data_dir/redis-settings:  the run_id, then a line "NAME VALUE" for each */
#include "proxy/node/proxy.h"

#include "common/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    REDIS_SETTINGS_PATH_BYTES = 4200,
    REDIS_SETTINGS_LINE_BYTES = PROXY_REDIS_SETTING_BYTES + 64
};

static void redis_settings_path(const struct proxy *p, const char *suffix, char *path)
{
    (void)snprintf(path, REDIS_SETTINGS_PATH_BYTES, "%s/redis-settings%s", p->settings->data_dir,
                   suffix);
}

static void redis_settings_line(struct proxy *p, char *line)
{
    char *value = strchr(line, ' ');

    if (value == NULL) {
        return;
    }
    *value++ = '\0';
    for (int i = 0; i < PROXY_REDIS_SETTINGS; i++) {
        struct proxy_redis_setting *s = &p->redis_settings[i];
        if (!s->known && strcmp(line, proxy_redis_setting_name(i)) == 0) {
            (void)snprintf(s->found, sizeof s->found, "%s", value);
            s->known = true;
        }
    }
}

void proxy_redis_settings_load(struct proxy *p)
{
    char path[REDIS_SETTINGS_PATH_BYTES], line[REDIS_SETTINGS_LINE_BYTES];

    redis_settings_path(p, "", path);
    FILE *f = fopen(path, "re");
    if (f == NULL) {
        return; /* nothing was ever found, or it can't be read: then what is there now counts */
    }
    bool ours = fgets(line, sizeof line, f) != NULL;
    line[strcspn(line, "\n")] = '\0';
    ours = ours && strcmp(line, p->redis_run_id) == 0;
    while (ours && fgets(line, sizeof line, f) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        redis_settings_line(p, line);
    }
    (void)fclose(f);
}

void proxy_redis_settings_forget(const struct proxy *p)
{
    char path[REDIS_SETTINGS_PATH_BYTES];

    redis_settings_path(p, "", path);
    if (unlink(path) != 0 && errno != ENOENT) {
        log_warn("%s can't be removed: %s", path, strerror(errno));
    }
}

void proxy_redis_settings_save(const struct proxy *p)
{
    char path[REDIS_SETTINGS_PATH_BYTES], fresh[REDIS_SETTINGS_PATH_BYTES];

    redis_settings_path(p, "", path);
    redis_settings_path(p, ".new", fresh);
    FILE *f = fopen(fresh, "we");
    bool ok = f != NULL && fprintf(f, "%s\n", p->redis_run_id) > 0;
    for (int i = 0; i < PROXY_REDIS_SETTINGS && ok; i++) {
        const struct proxy_redis_setting *s = &p->redis_settings[i];
        ok = !s->known || fprintf(f, "%s %s\n", proxy_redis_setting_name(i), s->found) > 0;
    }
    if (f != NULL && fclose(f) != 0) {
        ok = false;
    }
    if (!ok || rename(fresh, path) != 0) {
        log_warn("%s: %s; Redis keeps our settings should this proxy be killed", path,
                 strerror(errno));
    }
}
