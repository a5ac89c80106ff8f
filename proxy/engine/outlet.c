#include "proxy/engine/outlet.h"

#include "common/mem.h"

/* Of what goes ahead; Redis' slow log shows no more of any command. */
enum { OUTLET_HEAD_BYTES = 8192 };

void outlet_release(struct outlet *o)
{
    chain_release(&o->ahead);
    buf_release(&o->out);
    for (unsigned i = 0; i < OUTLET_BATCHES_MAX; i++) {
        buf_release(&o->sent[i]);
    }
    o->ahead_due = false;
    o->out_at = 0;
}

bool outlet_is_empty(const struct outlet *o)
{
    return o->out.len == 0 && !o->ahead_due;
}

void outlet_put_ahead(struct outlet *o, unsigned batch, struct buf *gathered,
                      struct chain *commands)
{
    struct buf *sent = &o->sent[batch];
    size_t size;
    const uint8_t *head = chain_head(commands, &size);

    MUST(o->ahead.len == 0 && sent->len == 0);
    buf_append(sent, buf_head(gathered), gathered->len);
    buf_append(sent, head, size < OUTLET_HEAD_BYTES ? size : OUTLET_HEAD_BYTES);
    chain_take(&o->ahead, gathered);
    chain_move(&o->ahead, commands);
}

void outlet_begin(struct outlet *o, struct buf *gathered)
{
    o->ahead_due = o->ahead.len > 0;
    buf_swap(&o->out, gathered);
}

const uint8_t *outlet_next(const struct outlet *o, size_t *size, bool *taken)
{
    *taken = o->ahead_due;
    if (o->ahead_due) {
        return chain_head(&o->ahead, size);
    }
    *size = o->out.len - o->out_at;
    return *size > 0 ? buf_head(&o->out) + o->out_at : NULL;
}

void outlet_wrote(struct outlet *o, size_t size)
{
    if (!o->ahead_due) {
        MUST(size <= o->out.len - o->out_at);
        o->out_at += size;
        return;
    }
    chain_consume(&o->ahead, size);
    if (o->ahead.len == 0) {
        chain_release(&o->ahead);
        o->ahead_due = false;
    }
}

void outlet_all_written(struct outlet *o, unsigned batch, size_t keep)
{
    if (batch < OUTLET_BATCHES_MAX && o->sent[batch].len == 0) {
        buf_swap(&o->out, &o->sent[batch]);
    }
    buf_clear(&o->out);
    buf_trim(&o->out, keep);
    o->out_at = 0;
}

void outlet_answered(struct outlet *o, unsigned batch, size_t keep)
{
    buf_clear(&o->sent[batch]);
    buf_trim(&o->sent[batch], keep);
}

const uint8_t *outlet_sent(const struct outlet *o, unsigned batch, uint64_t at, size_t *size)
{
    const struct buf *sent = o->sent[batch].len > 0 ? &o->sent[batch] : &o->out;
    size_t here = at < sent->len ? sent->len - (size_t)at : 0;

    *size = here < *size ? here : *size;
    return here > 0 ? buf_head(sent) + at : NULL;
}
