#include "logsvc/wire_impl.h"

#include "common/crc32c.h"
#include "common/le.h"
#include "common/mem.h"

#include <stdio.h>
#include <string.h>

enum { WIRE_ENVELOPE_BYTES = 80 }; /* of any version */

static bool wire_data_is_records(enum wire_type type)
{
    return type == WIRE_APPEND || type == WIRE_MEND || type == WIRE_READ_REPLY;
}

static bool wire_may_have_data(enum wire_type type)
{
    return wire_data_is_records(type) || type == WIRE_SNAP_WRITE || type == WIRE_SNAP_READ_REPLY;
}

size_t wire_size(const struct wire_msg *msg)
{
    return WIRE_HEADER_BYTES + wire_body_size(msg) + msg->data_size;
}

size_t wire_head_size(const struct wire_msg *msg)
{
    return WIRE_HEADER_BYTES + wire_body_size(msg);
}

void wire_encode_head(const struct wire_msg *msg, uint8_t *out)
{
    size_t body_bytes = wire_body_size(msg);

    MUST(msg->data_size == 0 || wire_may_have_data(msg->type));
    MUST(msg->data_size <= WIRE_DATA_MAX);
    le_put32(out, WIRE_MAGIC);
    le_put16(out + 4, WIRE_VERSION);
    out[6] = (uint8_t)msg->type;
    out[7] = msg->channel;
    le_put32(out + 12, (uint32_t)body_bytes);
    le_put32(out + 16, (uint32_t)msg->data_size);
    le_put32(out + 20, 0);
    memcpy(out + 24, msg->cluster_id, sizeof msg->cluster_id);
    le_put64(out + 40, msg->log_id);
    le_put64(out + 48, msg->term.n);
    le_put64(out + 56, msg->conf.generation);
    le_put64(out + 64, msg->session);
    le_put64(out + 72, msg->seq);
    le_put64(out + 80, msg->conf.term.n);
    wire_body_put(msg, out + WIRE_HEADER_BYTES);
    /* Type and channel are covered by making them the seed. */
    uint32_t crc =
        crc32c_extend(crc32c_extend(0, out + 4, 4), out + 12, WIRE_HEADER_BYTES - 12 + body_bytes);
    if (!wire_data_is_records(msg->type)) {
        crc = crc32c_extend(crc, msg->data, msg->data_size);
    }
    le_put32(out + 8, crc);
}

void wire_encode(const struct wire_msg *msg, uint8_t *out)
{
    wire_encode_head(msg, out);
    if (msg->data_size > 0) {
        memcpy(out + wire_head_size(msg), msg->data, msg->data_size);
    }
}

int wire_record(const uint8_t *bytes, size_t size, struct record *r, const uint8_t **payload,
                size_t *size_bytes)
{
    if (record_decode_header(bytes, size, r) != ERR_OK ||
        size - RECORD_HEADER_BYTES < r->len_bytes || r->begin > UINT64_MAX - r->len_bytes) {
        return ERR_CORRUPT;
    }
    *payload = bytes + RECORD_HEADER_BYTES;
    *size_bytes = RECORD_HEADER_BYTES + (size_t)r->len_bytes;
    return ERR_OK;
}

/* Whether data are whole records, each beginning where the one before ends. */
static bool wire_records_ok(const uint8_t *bytes, size_t size)
{
    struct record r;
    const uint8_t *payload;
    size_t whole;
    uint64_t end = 0;

    for (size_t at = 0; at < size; at += whole) {
        if (wire_record(bytes + at, size - at, &r, &payload, &whole) != ERR_OK ||
            (at > 0 && r.begin != end)) {
            return false;
        }
        end = record_end(&r);
    }
    return true;
}

static void wire_decode_envelope(const uint8_t *bytes, struct wire_msg *msg)
{
    *msg = (struct wire_msg){
        .type = (enum wire_type)bytes[6],
        .channel = bytes[7],
        .log_id = le_get64(bytes + 40),
        .term = {le_get64(bytes + 48)},
        .conf.generation = le_get64(bytes + 56),
        .session = le_get64(bytes + 64),
        .seq = le_get64(bytes + 72),
    };
    memcpy(msg->cluster_id, bytes + 24, sizeof msg->cluster_id);
}

int wire_decode(const uint8_t *bytes, size_t size, struct wire_msg *msg)
{
    if (size < WIRE_ENVELOPE_BYTES || le_get32(bytes) != WIRE_MAGIC) {
        return ERR_PROTOCOL;
    }
    wire_decode_envelope(bytes, msg);
    if (le_get16(bytes + 4) != WIRE_VERSION) {
        return ERR_REFUSED;
    }
    if (size < WIRE_HEADER_BYTES) {
        return ERR_PROTOCOL;
    }
    msg->conf.term = (struct term){le_get64(bytes + 80)};
    size_t body_bytes = le_get32(bytes + 12), data_bytes = le_get32(bytes + 16);
    size_t left = size - WIRE_HEADER_BYTES;
    if (body_bytes > left || data_bytes != left - body_bytes || data_bytes > WIRE_DATA_MAX ||
        (data_bytes > 0 && !wire_may_have_data(msg->type))) {
        return ERR_PROTOCOL;
    }
    size_t covered = WIRE_HEADER_BYTES - 12 + body_bytes;
    covered += wire_data_is_records(msg->type) ? 0 : data_bytes;
    if (crc32c_extend(crc32c_extend(0, bytes + 4, 4), bytes + 12, covered) != le_get32(bytes + 8) ||
        le_get32(bytes + 20) != 0 || msg->channel > WIRE_LOOKOUT) {
        return ERR_PROTOCOL;
    }
    if (!wire_body_get(bytes + WIRE_HEADER_BYTES, body_bytes, msg)) {
        return ERR_PROTOCOL;
    }
    msg->data = data_bytes > 0 ? bytes + WIRE_HEADER_BYTES + body_bytes : NULL;
    msg->data_size = data_bytes;
    if (wire_data_is_records(msg->type) && !wire_records_ok(msg->data, msg->data_size)) {
        return ERR_PROTOCOL;
    }
    return ERR_OK;
}

bool wire_is_request(enum wire_type type)
{
    return type != WIRE_REFUSED && type % 2 == 1;
}

const char *wire_type_name(enum wire_type type)
{
    switch (type) {
#define WIRE_NAME(name, code, field)                                                               \
    case name:                                                                                     \
        return &#name[sizeof "WIRE_" - 1];
        WIRE_TYPE_MAP(WIRE_NAME)
#undef WIRE_NAME
    }
    return "unknown";
}

const char *wire_refusal_text(uint32_t code)
{
    static const char *const texts[] = {
        [WIRE_REFUSED_CLUSTER] = "the cluster id differs",
        [WIRE_REFUSED_LOG] = "no such log on this node",
        [WIRE_REFUSED_LEASE] = "the lease length differs",
        [WIRE_REFUSED_VERSION] = "the version of the message format differs",
        [WIRE_REFUSED_GENERATION] = "the configuration is older than the one here",
        [WIRE_REFUSED_SESSION] = "the session is stale",
        [WIRE_REFUSED_TERM] = "the term is stale",
        [WIRE_REFUSED_ELECTED] = "the sender is not known as the elected leader here",
        [WIRE_REFUSED_DIVERGED] = "the highest common point differs",
        [WIRE_REFUSED_BAD] = "the message makes no sense",
        [WIRE_REFUSED_SPACE] = "no space is left",
        [WIRE_REFUSED_NOT_FOUND] = "not found",
        [WIRE_REFUSED_CORRUPT] = "the stored bytes are corrupt",
        [WIRE_REFUSED_MEMBER] = "not a member of the log, or not the disk that was one",
        [WIRE_REFUSED_NEEDED] = "the log here stands on that snapshot",
    };

    return code < sizeof texts / sizeof texts[0] && texts[code] != NULL ? texts[code]
                                                                        : "unknown refusal";
}

struct wire_msg wire_reply_to(const struct wire_msg *request, enum wire_type type, struct term term,
                              struct conf_id conf)
{
    struct wire_msg reply = {
        .type = type,
        .channel = request->channel,
        .log_id = request->log_id,
        .term = term,
        .conf = conf,
        .session = request->session,
        .seq = request->seq,
    };
    memcpy(reply.cluster_id, request->cluster_id, sizeof reply.cluster_id);
    return reply;
}

struct wire_msg wire_refuse(const struct wire_msg *request, struct term term, struct conf_id conf,
                            enum wire_refusal code, const char *reason)
{
    struct wire_msg reply = wire_reply_to(request, WIRE_REFUSED, term, conf);

    reply.refused.code = code;
    reply.refused.to = (uint8_t)request->type;
    snprintf(reply.refused.reason, sizeof reply.refused.reason, "%s",
             reason != NULL ? reason : wire_refusal_text(code));
    return reply;
}
