/* Redis' patterns: "*", "?", "[a-z]", "[^a]", "\" before a character that is meant as it is. Pure.
 */
#ifndef PROXY_PROTOCOL_GLOB_H
#define PROXY_PROTOCOL_GLOB_H

#include <stdbool.h>
#include <stddef.h>

/* Whether the whole text matches, as stringmatchlen of util.c in Redis has it (case counts). Takes
 * at most pattern × text steps. */
bool glob_match(const char *pattern, size_t pattern_len, const char *text, size_t text_len);

#endif
