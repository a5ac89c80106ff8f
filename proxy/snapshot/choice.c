#include "proxy/snapshot/choice.h"

/* Nodes that hold as many snapshots as they may, and would refuse another when it is made. */
static uint32_t choice_full_nodes(const struct catalogue_view *list)
{
    uint32_t full = 0;

    for (unsigned node = 0; node < CATALOGUE_NODES_MAX; node++) {
        unsigned held = 0;
        for (unsigned i = 0; i < list->count; i++) {
            held += list->entries[i].on >> node & 1;
        }
        full |= held >= SNAPINFO_LIST_MAX ? 1u << node : 0;
    }
    return full;
}

enum choice choice_take(const struct catalogue_view *list, const struct catalogue_entry *newest,
                        uint32_t members, uint64_t commit)
{
    int takers = __builtin_popcount(members & ~choice_full_nodes(list));

    if (newest != NULL && newest->info.offset >= commit) {
        return CHOICE_IS_THERE;
    }
    return takers > __builtin_popcount(members) / 2 ? CHOICE_GO_ON : CHOICE_LISTS_ARE_FULL;
}

enum choice choice_verify(const struct catalogue_view *list, uint64_t offset,
                          struct choice_trial *out)
{
    *out = (struct choice_trial){.alone = true};
    for (unsigned i = 0; i < list->count; i++) { /* the newest first */
        const struct catalogue_entry *e = &list->entries[i];
        if (e->info.offset == offset) {
            out->entry = e;
        } else if (out->entry == NULL) {
            out->on_to = e->info.offset;
        } else if (e->counts != 0) {
            out->alone = false;
        }
    }
    if (out->entry == NULL) {
        return CHOICE_NO_SUCH;
    }
    return out->entry->counts == 0 ? CHOICE_DOES_NOT_COUNT : CHOICE_GO_ON;
}
