/* Clients by their ids, which are given out in ascending order, so that the lowest bits are as good
 * as a hash. Somebody may ask for a great many at once (CLIENT LIST ID …, or a pipeline of CLIENT
 * UNBLOCK): none is looked for among all. */
#include "proxy/clients/client.h"

#include "common/mem.h"

#include <stdlib.h>

enum { IDS_BUCKETS_MIN = 64 };

static struct client **bucket_of(const struct clients *all, uint64_t id)
{
    return &all->ids[id & (all->ids_size - 1)];
}

static void ids_enter(const struct clients *all, struct client *c)
{
    struct client **bucket = bucket_of(all, c->id);

    c->next_of_id = *bucket;
    *bucket = c;
}

void clients_add_id(struct clients *all, struct client *c)
{
    if (all->count >= all->ids_size) {
        free(all->ids);
        all->ids_size = all->ids_size > 0 ? all->ids_size * 2 : IDS_BUCKETS_MIN;
        all->ids = mem_calloc(all->ids_size, sizeof(struct client *));
        for (struct client *each = all->list; each != NULL; each = each->next) {
            ids_enter(all, each);
        }
    }
    ids_enter(all, c);
}

void clients_remove_id(const struct clients *all, const struct client *c)
{
    struct client **at = bucket_of(all, c->id);

    while (*at != c) {
        at = &(*at)->next_of_id;
    }
    *at = c->next_of_id;
}

struct client *clients_find(const struct clients *all, uint64_t id)
{
    struct client *c = all->ids_size > 0 ? *bucket_of(all, id) : NULL;

    while (c != NULL && c->id != id) {
        c = c->next_of_id;
    }
    return c;
}
