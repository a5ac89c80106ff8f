/* The configuration of a log: whose votes and acknowledgements count (docs/log-protocol.md,
 * "Membership"). A plain value; {0} is "none": a node that was never told of one.
 *
 *   NONE ──every seed is empty──▶ FOUNDING (all count) ──all have it──▶ STABLE ◀──▶ JOINT
 *
 * Invariants (conf_check; nothing that breaks them can be decoded):
 *   - ids are ordered by term, then generation; generation 0 is NONE, 1 is FOUNDING;
 *   - no node id, disk id or empty text occurs twice, or at all, in a set;
 *   - JOINT (there is an old set): the sets differ by exactly one member.
 *
 * What a quorum is, is said in one place only, conf_quorum_value: it asks for each member by its
 * identity, never by an index (others have indexed the array of the wrong set there). */
#ifndef LOGSVC_CONF_H
#define LOGSVC_CONF_H

#include "common/buf.h"
#include "common/err.h"
#include "logsvc/term.h"

#include <stddef.h>

enum { CONF_MEMBERS_MAX = 7, CONF_TEXT_MAX = 63, CONF_DISK_ID_BYTES = 16 };

/* 16 random bytes, made with the log's folder: names the disk that remembers the promises. All
 * zeros: not known. */
struct disk_id {
    uint8_t bytes[CONF_DISK_ID_BYTES];
};

/* Orders configurations. Its term is that of the leader who made it (or made it his own). */
struct conf_id {
    struct term term;
    uint64_t generation;
};

struct conf_member {
    char node_id[CONF_TEXT_MAX + 1];
    struct disk_id disk;
    char address[CONF_TEXT_MAX + 1]; /* "host:port"; where to look for it, no part of who it is */
};

struct conf_set {
    unsigned count;
    struct conf_member members[CONF_MEMBERS_MAX];
};

struct conf {
    struct conf_id id;
    struct conf_set now;
    struct conf_set old; /* count 0 unless JOINT */
};

enum conf_kind { CONF_NONE, CONF_FOUNDING, CONF_STABLE, CONF_JOINT };

/* Bytes of an encoded conf: u64 term, u64 generation, then for each set u8 count and for each
 * member u8 length, node id, 16 bytes disk id, u8 length, address. */
enum {
    CONF_MEMBER_BYTES_MAX = 1 + CONF_TEXT_MAX + CONF_DISK_ID_BYTES + 1 + CONF_TEXT_MAX,
    CONF_BYTES_MIN = 8 + 8 + 1 + 1,
    CONF_BYTES_MAX = CONF_BYTES_MIN + 2 * CONF_MEMBERS_MAX * CONF_MEMBER_BYTES_MAX
};

bool disk_id_equal(const struct disk_id *a, const struct disk_id *b);
bool disk_id_known(const struct disk_id *id);

int conf_id_compare(struct conf_id a, struct conf_id b);

enum conf_kind conf_kind(const struct conf *c);
/* "none", "founding", "stable", "joint". */
const char *conf_kind_name(enum conf_kind kind);

/* The member of that name, or with that identity; NULL: there is none. In a joint conf both sets
 * are looked through, the new one first. */
const struct conf_member *conf_find_node(const struct conf *c, const char *node_id);
const struct conf_member *conf_find(const struct conf *c, const char *node_id,
                                    const struct disk_id *disk);
bool conf_set_has(const struct conf_set *set, const char *node_id, const struct disk_id *disk);

/* What a quorum stands behind: the greatest v such that the members with value(member) >= v are a
 * quorum of the conf: in a STABLE one more than half, in a JOINT one more than half of each set, in
 * a FOUNDING one all. 0 without a conf. So with values 0 and 1 it tells whether those with 1 are a
 * quorum. value is asked for each member of each set. */
uint64_t conf_quorum_value(const struct conf *c,
                           uint64_t (*value)(const void *ctx, const struct conf_member *m),
                           const void *ctx);

/* Makes the first conf, (0, 1). ERR_INVALID: the members are no set. */
int conf_found(const struct conf_set *members, struct conf *out) MUST_CHECK;
/* The same members under the winner of an election. */
void conf_restamp(struct conf *c, struct term term);
/* Out of a STABLE conf: `added` instead of the member old_id. ERR_NOT_FOUND: old_id is no member.
 * ERR_EXISTS: the node id or disk id is a member's already. ERR_INVALID: not STABLE, or senseless.
 */
int conf_replace(const struct conf *c, const char *old_id, const struct conf_member *added,
                 struct conf *out) MUST_CHECK;
/* Out of a JOINT or FOUNDING conf: only the new set counts, by majority. */
void conf_settle(const struct conf *c, struct conf *out);

/* ERR_CORRUPT: an invariant above is broken. */
int conf_check(const struct conf *c) MUST_CHECK;
void conf_encode(const struct conf *c, struct buf *out);
/* Reads exactly size bytes, and checks. ERR_CORRUPT; c is then undefined. */
int conf_decode(const uint8_t *bytes, size_t size, struct conf *c) MUST_CHECK;

#endif
