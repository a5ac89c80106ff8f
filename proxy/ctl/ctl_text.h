/* What a proxy answers to INFO holdfast and HOLDFAST LOG STATUS, taken apart: lines "key:value",
 * where a value may be fields "a=1,b=2" (a row: a log node, a proxy); and printed, aligned for
 * people or as JSON for programs. Pure, but for the output. */
#ifndef PROXY_CTL_CTL_TEXT_H
#define PROXY_CTL_CTL_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct ctl_line {
    char *key, *value;
};

struct ctl_text {
    char *bytes; /* what the lines point into */
    struct ctl_line *lines;
    size_t count;
};

/* Takes the text apart; a prefix that all keys have ("holdfast_") is left out of them. Comments and
 * lines without a colon are skipped. ctl_text_fini frees. */
void ctl_text_init(struct ctl_text *t, const char *text, size_t size, const char *prefix);
void ctl_text_fini(struct ctl_text *t);

/* The value of a key, or NULL. */
const char *ctl_text_get(const struct ctl_text *t, const char *key);
/* The same as a number; -1 if it is none. */
long long ctl_text_number(const struct ctl_text *t, const char *key);

/* A field of a row's value: "offset" of "state=up,offset=17". False: it has none. */
bool ctl_text_field(const char *value, const char *name, char *out, size_t size);

/* Rows of one kind have keys of one word and a number: "log1", "log2". */
bool ctl_text_is_row(const struct ctl_line *line);

/* Prints all rows of a kind as a table with the fields' names as its head; numbers stand to the
 * right, wall_ms, taken_ms and verified_ms are times. Nothing if there is none. */
void ctl_text_print_rows(const struct ctl_text *t, const char *kind, FILE *out);
/* Prints the lines that are no rows, aligned. */
void ctl_text_print_lines(const struct ctl_text *t, FILE *out);
/* Prints everything as one JSON object; rows become arrays of objects, under their kind's
 * plural ("logs", "proxies"). */
void ctl_text_print_json(const struct ctl_text *t, FILE *out);

/* Prints what a command asked for: as JSON, or the lines and below them the rows of a kind. */
void ctl_text_print(const struct ctl_text *t, bool json, const char *kind, FILE *out);

#endif
