/* A change of the log as one line of text: a JSON object for programs, or for people. Pure.
 *
 *   {"offset":412,"time":"2026-11-22T14:02:00.123Z","db":0,"command":"SET","args":["k","v"]}
 *
 * An argument that is not UTF-8 is {"base64":"…"}. A change of a transaction has
 * "transaction": the offset at which that began, and "more":true unless it is the last one that is
 * told. A database that is not known is null. */
#ifndef PROXY_CTL_CHANGE_TEXT_H
#define PROXY_CTL_CHANGE_TEXT_H

#include "proxy/ctl/changes.h"
#include "proxy/protocol/command.h"

/* Both append a line, its end included. */
void change_text_json(const struct change *c, struct buf *out);
void change_text_plain(const struct change *c, struct buf *out);
/* How far the log was looked through: {"offset":412,"time":"2026-11-22T14:02:00.123Z"}. */
void change_text_mark(uint64_t offset, uint64_t wall_ms, bool json, struct buf *out);

/* A text in quotes, as JSON has it; what is not UTF-8 as {"base64":"…"}. */
void change_text_json_value(const void *bytes, size_t size, struct buf *out);

/* Whether a key that the change has written (or, where it can't be told which it writes, that it
 * names) matches the pattern. What may have changed any key (FLUSHALL, SWAPDB, a function library)
 * always does; what changes none (PUBLISH) never. keys: room for the keys' places. */
bool change_text_matches(const struct change *c, const struct command_table *table,
                         const char *glob, struct buf *keys);

#endif
