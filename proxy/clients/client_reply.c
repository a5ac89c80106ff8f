/* The queue of a client's requests: put there in the order in which they came, answered in any, and
 * released from the head. */
#include "proxy/clients/client_impl.h"

#include "common/mem.h"

/* Into the queue, in front of another one (NULL: behind all). How many are there does not matter:
 * there may be a great many pushes. */
static void client_enter(struct client *c, struct request *r, struct request *before)
{
    struct request *prev = before != NULL ? before->prev_of_client : c->last;

    r->client = c;
    r->prev_of_client = prev;
    r->next_of_client = before;
    *(prev != NULL ? &prev->next_of_client : &c->first) = r;
    *(before != NULL ? &before->prev_of_client : &c->last) = r;
    if (prev == NULL) {
        c->oldest_ns = c->all->now_ns;
    }
}

static void client_unlink(struct client *c, struct request *r)
{
    struct request *prev = r->prev_of_client, *next = r->next_of_client;

    *(prev != NULL ? &prev->next_of_client : &c->first) = next;
    *(next != NULL ? &next->prev_of_client : &c->last) = prev;
    r->prev_of_client = r->next_of_client = NULL;
}

/* Redis answers it to nobody; whose it was is remembered as long as somebody may ask. */
static void client_leave_request(struct client *c, struct request *r)
{
    if (r->stage == REQUEST_SENT && c->all->slowlog.slower_ns != UINT64_MAX) {
        r->who = slowlog_who_share(client_who(c));
    }
    r->client = NULL;
}

void client_abandon_requests(struct client *c)
{
    while (c->first != NULL) {
        struct request *r = c->first;
        client_unlink(c, r);
        client_leave_request(c, r);
        c->all->events->abandoned(c->all->ctx, r);
    }
    c->pending_count = 0;
    c->unanswered = 0;
    c->all->withheld_bytes -= c->withheld_bytes;
    c->withheld_bytes = 0;
}

struct request *client_first_unanswered(const struct client *c)
{
    struct request *first = NULL;
    uint32_t left = c->unanswered;

    /* From behind: in front of it there may be a great many pushes. */
    for (struct request *r = c->last; r != NULL && left > 0; r = r->prev_of_client) {
        if (r->stage == REQUEST_SENT) {
            first = r;
            left--;
        }
    }
    return first;
}

struct request *client_queue(struct client *c, uint32_t request_flags)
{
    struct request *r = request_take(c->all->pool);

    r->flags = request_flags | (c->async ? REQUEST_ASYNC : 0u);
    if (c->reply_mode != CLIENT_REPLY_ON) {
        r->flags |= REQUEST_SILENT;
        if (c->reply_mode == CLIENT_REPLY_SKIP) {
            c->reply_mode = CLIENT_REPLY_ON;
        }
    }
    client_enter(c, r, NULL);
    c->pending_count++;
    c->unanswered++;
    if ((request_flags & REQUEST_BARRIER) != 0) {
        c->barrier = true;
    }
    if ((request_flags & REQUEST_CLOSE) != 0) {
        c->close_when_sent = true;
    }
    return r;
}

struct request *client_queue_ours(struct client *c, uint32_t request_flags)
{
    enum client_reply_mode mode = c->reply_mode;
    struct request *r = client_queue(c, request_flags);

    c->reply_mode = mode;
    return r;
}

struct request *client_queue_before(struct client *c, struct request *before)
{
    struct request *r = request_take(c->all->pool);

    r->flags = REQUEST_SILENT;
    client_enter(c, r, before);
    c->pending_count++;
    c->unanswered++;
    return r;
}

void client_answer(struct client *c, const void *reply, size_t size, uint32_t request_flags)
{
    if (c->all->capture != NULL) {
        buf_append(c->all->capture, reply, size);
        return;
    }
    struct request *r = client_queue(c, request_flags);

    request_set_reply(r, reply, size);
    r->stage = REQUEST_ANSWERED;
    client_answered(r);
    client_release(r);
}

void client_answer_always(struct client *c, const void *reply, size_t size)
{
    enum client_reply_mode mode = c->reply_mode;

    c->reply_mode = CLIENT_REPLY_ON;
    client_answer(c, reply, size, 0);
    c->reply_mode = mode == CLIENT_REPLY_SKIP ? CLIENT_REPLY_ON : mode;
}

void client_answer_error(struct client *c, const char *text)
{
    struct buf reply = BUF_INIT;

    resp_put_error(&reply, text);
    client_answer(c, buf_head(&reply), reply.len, 0);
    buf_release(&reply);
}

static void client_all_answered(struct client *c)
{
    c->blocks = false;
    if (c->taken_bytes > 0) {
        client_holds(c, 0);
    }
    if (c->postponed) {
        client_resume(c);
    }
}

void client_answered(struct request *r)
{
    size_t bytes = request_reply_bytes(r);

    MUST(r->client != NULL && r->stage == REQUEST_ANSWERED);
    r->client->reply_mean_bytes += bytes / 8;
    r->client->reply_mean_bytes -= r->client->reply_mean_bytes / 8;
    r->client->withheld_bytes += bytes;
    r->client->all->withheld_bytes += bytes;
    if (bytes >= BIGS_BYTES) {
        bigs_add(&r->client->all->bigs, r->big_key);
    } else if ((r->flags & REQUEST_BIG) != 0) {
        bigs_remove(&r->client->all->bigs, r->big_key);
    }
    if (--r->client->unanswered == 0) {
        client_all_answered(r->client);
    }
}

void client_release(struct request *r)
{
    struct client *c = r->client;

    MUST(c != NULL && r->stage == REQUEST_ANSWERED);
    r->stage = REQUEST_RELEASED;
    if ((r->flags & REQUEST_ACK) != 0) {
        c->acks++;
    }
    if (r == c->first) {
        client_needs_flush(c);
    }
}

/* Moves the replies at the head of the queue that may leave into out. */
void client_move_released(struct client *c)
{
    while (c->first != NULL && c->first->stage == REQUEST_RELEASED) {
        struct request *r = c->first;
        size_t bytes = request_reply_bytes(r);

        c->withheld_bytes -= bytes;
        c->all->withheld_bytes -= bytes;
        if ((r->flags & REQUEST_WAIT) != 0) {
            c->all->events->wait_reply(c->all->ctx, r);
        }
        if ((r->flags & REQUEST_BARRIER) != 0) {
            c->barrier = false;
        }
        if ((r->flags & REQUEST_ACK) != 0) {
            c->acks--;
        }
        if ((r->flags & REQUEST_SILENT) == 0) {
            request_send_reply(r, &c->out);
        }
        client_unlink(c, r);
        c->pending_count--;
        c->oldest_ns = c->all->now_ns;
        request_give(c->all->pool, r);
    }
}

struct request *client_insert(struct client *c, struct request *before, const void *bytes,
                              size_t size)
{
    struct request *r = request_take(c->all->pool);

    request_set_reply(r, bytes, size);
    r->stage = REQUEST_ANSWERED;
    client_enter(c, r, before);
    c->pending_count++;
    c->withheld_bytes += size;
    c->all->withheld_bytes += size;
    return r;
}

void client_answer_early(struct request *r, const void *bytes, size_t size)
{
    struct client *c = r->client;
    struct request *answer = request_take(c->all->pool);
    uint64_t oldest_ns = c->oldest_ns;

    MUST(r->stage == REQUEST_SENT);
    request_set_reply(answer, bytes, size);
    answer->flags = r->flags & REQUEST_SILENT;
    answer->stage = REQUEST_ANSWERED;
    client_enter(c, answer, r);
    c->oldest_ns = oldest_ns;
    client_unlink(c, r);
    client_leave_request(c, r);
    client_answered(answer);
    client_release(answer);
}

/* A message that must not overtake what stands in the queue, though that was released. */
static void client_queue_push(struct client *c, char head, const uint8_t *rest, size_t size)
{
    struct request *r = request_take(c->all->pool), *behind = c->last;

    while (behind != NULL &&
           ((behind->flags & REQUEST_ACK) == 0 || behind->stage != REQUEST_RELEASED)) {
        behind = behind->prev_of_client;
    }
    MUST(behind != NULL);

    request_add_reply(r, &head, 1);
    request_add_reply(r, rest, size);
    r->flags = REQUEST_ACK;
    r->stage = REQUEST_RELEASED;
    client_enter(c, r, behind->next_of_client);
    c->acks++;
    c->pending_count++;
    c->withheld_bytes += size + 1;
    c->all->withheld_bytes += size + 1;
}

void client_push(struct client *c, char head, const uint8_t *rest, size_t size)
{
    if (c->closing || c->close_when_sent) {
        return;
    }
    client_move_released(c);
    if (c->acks > 0) {
        client_queue_push(c, head, rest, size);
        return;
    }
    chain_append(&c->out, &head, 1);
    chain_append(&c->out, rest, size);
    client_needs_flush(c);
}
