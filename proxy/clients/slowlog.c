#include "proxy/clients/slowlog.h"

#include "common/mem.h"
#include "proxy/protocol/resp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* slowlog.h of Redis: so much of a command is kept. */
enum { WORDS_MAX = 32, WORD_BYTES_MAX = 128 };

/* One entry: *6, id, time, duration, the command's words, the address, the name. */
struct entry {
    size_t len;      /* in the reply … */
    size_t head_len; /* … and before the address */
    size_t id, time_s, took_us;
    size_t argc;
    struct resp_arg first, second;
    struct resp_arg address, name;
    bool redacted;
    uint64_t key;            /* as a note's: words, or first if it is redacted */
    struct slowlog_who *who; /* NULL: as Redis has it */
    bool open;               /* it may be paired */
};

/* ---- hashes ---- */

static uint64_t hash_word(uint64_t hash, const void *bytes, size_t size)
{
    return XXH3_64bits_withSeed(bytes, size, hash);
}

static uint64_t hash_first(const char *link, size_t link_len, size_t argc,
                           const struct resp_arg *first)
{
    return hash_word(hash_word(argc, link, link_len), first->bytes, first->len);
}

/* As slowlogCreateEntry cuts a long word, of which `have` bytes are here. */
static uint64_t hash_sent_word(uint64_t hash, const uint8_t *bytes, size_t len)
{
    char text[WORD_BYTES_MAX + 48];

    if (len <= WORD_BYTES_MAX) {
        return hash_word(hash, bytes, len);
    }
    memcpy(text, bytes, WORD_BYTES_MAX);
    int more = snprintf(text + WORD_BYTES_MAX, sizeof text - WORD_BYTES_MAX, "... (%zu more bytes)",
                        len - WORD_BYTES_MAX);
    return hash_word(hash, text, WORD_BYTES_MAX + (size_t)more);
}

/* ---- what was sent ---- */

/* Of a word that may be cut short, as much as is logged. */
static bool read_sent_word(const uint8_t *bytes, size_t size, size_t *at, struct resp_arg *word)
{
    size_t begin = *at, len;

    if (!resp_read_number(bytes, size, &begin, '$', &len)) {
        return false;
    }
    size_t here = size - begin, kept = len < WORD_BYTES_MAX ? len : WORD_BYTES_MAX;
    if (here < kept) {
        return false;
    }
    *word = (struct resp_arg){bytes + begin, len};
    *at = here < 2 || len > here - 2 ? size : begin + len + 2;
    return true;
}

/* Reads one command from *at on. False: there is none, or too little of it. last: what is not
 * logged of it is not looked at, nor what comes behind it. */
static bool read_sent(const char *link, const uint8_t *bytes, size_t size, size_t *at, bool last,
                      struct slowlog_note *note)
{
    size_t argc, link_len = strlen(link);
    struct resp_arg word;
    char more[48];

    if (!resp_read_number(bytes, size, at, '*', &argc) || argc == 0) {
        return false;
    }
    size_t logged = argc < WORDS_MAX ? argc : WORDS_MAX;
    note->words = hash_word(logged, link, link_len);
    for (size_t i = 0; i < argc; i++) {
        if (i == WORDS_MAX - 1 && argc > WORDS_MAX) {
            int len = snprintf(more, sizeof more, "... (%zu more arguments)", argc - WORDS_MAX + 1);
            note->words = hash_word(note->words, more, (size_t)len);
            if (last) {
                return true;
            }
        }
        if (!read_sent_word(bytes, size, at, &word)) {
            *at = size;
            return i >= logged - (argc > WORDS_MAX); /* all that is logged was there */
        }
        if (i == 0) {
            note->first = hash_first(link, link_len, logged, &word);
        }
        if (i < WORDS_MAX - (argc > WORDS_MAX)) {
            note->words = hash_sent_word(note->words, word.bytes, word.len);
        }
    }
    return true;
}

/* ---- notes ---- */

void slowlog_init(struct slowlog *s)
{
    *s = (struct slowlog){.slower_ns = UINT64_MAX};
}

struct slowlog_who *slowlog_who_create(const char *address, const char *name)
{
    size_t address_len = strlen(address) + 1, name_len = strlen(name) + 1;
    struct slowlog_who *who = mem_alloc(sizeof *who + address_len + name_len);

    who->refs = 1;
    who->len = address_len + name_len;
    memcpy(who->text, address, address_len);
    memcpy(who->text + address_len, name, name_len);
    return who;
}

void slowlog_who_release(struct slowlog_who *who)
{
    if (who != NULL && --who->refs == 0) {
        free(who);
    }
}

struct slowlog_who *slowlog_who_share(struct slowlog_who *who)
{
    if (who != NULL) {
        who->refs++;
    }
    return who;
}

const char *slowlog_who_address(const struct slowlog_who *who)
{
    return who->text;
}

const char *slowlog_who_name(const struct slowlog_who *who)
{
    return who->text + strlen(who->text) + 1;
}

static bool who_is(const struct slowlog_who *a, const struct slowlog_who *b)
{
    return a == b ||
           (a != NULL && b != NULL && a->len == b->len && memcmp(a->text, b->text, a->len) == 0);
}

static struct slowlog_note *note_at(const struct slowlog *s, uint64_t number)
{
    return &s->notes[number % SLOWLOG_NOTES_MAX];
}

static void forget_notes(struct slowlog *s, uint64_t before)
{
    while (s->forgotten < before) {
        slowlog_who_release(note_at(s, s->forgotten++)->who);
    }
}

void slowlog_forget(struct slowlog *s)
{
    forget_notes(s, s->noted);
    for (size_t i = 0; s->known != NULL && i < SLOWLOG_KNOWN_MAX; i++) {
        slowlog_who_release(s->known[i].who);
        s->known[i].who = NULL;
    }
    s->seen_next = s->seen_before = 0;
    s->mark = s->noted;
}

void slowlog_fini(struct slowlog *s)
{
    slowlog_forget(s);
    free(s->notes);
    free(s->known);
    slowlog_init(s);
}

static uint64_t threshold_ns(long long slower_us)
{
    return slower_us < 0 || (uint64_t)slower_us > UINT64_MAX / 1000 ? UINT64_MAX
                                                                    : (uint64_t)slower_us * 1000;
}

bool slowlog_is_lower(const struct slowlog *s, long long slower_us)
{
    return threshold_ns(slower_us) < s->slower_ns;
}

void slowlog_set_threshold(struct slowlog *s, long long slower_us, uint64_t now_s)
{
    if (slowlog_is_lower(s, slower_us)) {
        s->lacks_until_s = now_s;
    }
    s->slower_ns = threshold_ns(slower_us);
}

void slowlog_maybe_threshold(struct slowlog *s, long long slower_us)
{
    if (slowlog_is_lower(s, slower_us)) {
        s->slower_ns = threshold_ns(slower_us);
    }
}

void slowlog_add_own(struct slowlog *s, const char *address)
{
    (void)snprintf(s->own[s->own_next++ % SLOWLOG_OWN_MAX], SLOWLOG_ADDRESS_BYTES, "%s", address);
}

void slowlog_note(struct slowlog *s, const struct slowlog_request *r)
{
    struct slowlog_note note = {
        .began_s = r->began_s, .ended_s = r->ended_s, .took_us = r->took_us};
    size_t at = 0;
    bool more = true;

    if (s->notes == NULL) {
        s->notes = mem_calloc(SLOWLOG_NOTES_MAX, sizeof *s->notes);
    }
    while (more && read_sent(r->link, r->bytes, r->size, &at, !r->block, &note)) {
        more = r->block;
        if (s->noted - s->forgotten == SLOWLOG_NOTES_MAX) {
            s->lacks_until_s = note_at(s, s->forgotten)->ended_s;
            forget_notes(s, s->forgotten + 1);
        }
        note.who = slowlog_who_share(r->who);
        *note_at(s, s->noted++) = note;
    }
}

uint64_t slowlog_mark(const struct slowlog *s)
{
    return s->noted;
}

bool slowlog_wants_look(const struct slowlog *s)
{
    return s->noted > s->mark;
}

uint64_t slowlog_last_mark(const struct slowlog *s)
{
    return s->mark;
}

void slowlog_was_reset(struct slowlog *s, uint64_t mark)
{
    forget_notes(s, mark);
}

/* ---- entries ---- */

static bool take_entry(const uint8_t *bytes, size_t size, struct entry *e)
{
    struct resp_arg word;
    size_t at = 0, number;

    *e = (struct entry){0};
    if (!resp_read_number(bytes, size, &at, '*', &number) || number != 6 ||
        !resp_read_number(bytes, size, &at, ':', &e->id) ||
        !resp_read_number(bytes, size, &at, ':', &e->time_s) ||
        !resp_read_number(bytes, size, &at, ':', &e->took_us) ||
        !resp_read_number(bytes, size, &at, '*', &e->argc)) {
        return false;
    }
    size_t words = at;
    for (size_t i = 0; i < e->argc; i++) {
        if (!resp_read_bulk(bytes, size, &at, &word)) {
            return false;
        }
        e->redacted = e->redacted || (i > 0 && resp_arg_is(&word, "(redacted)"));
        e->first = i == 0 ? word : e->first;
        e->second = i == 1 ? word : e->second;
    }
    e->head_len = at;
    if (!resp_read_bulk(bytes, size, &at, &e->address) ||
        !resp_read_bulk(bytes, size, &at, &e->name)) {
        return false;
    }
    e->len = at;
    const char *link = (const char *)e->address.bytes;
    if (e->redacted) {
        e->key = hash_first(link, e->address.len, e->argc, &e->first);
        return true;
    }
    e->key = hash_word(e->argc, link, e->address.len);
    for (size_t i = 0; i < e->argc && resp_read_bulk(bytes, size, &words, &word); i++) {
        e->key = hash_word(e->key, word.bytes, word.len);
    }
    return true;
}

/* The entries of a whole reply, newest first; the caller's to free. NULL: it is no such reply. */
static struct entry *take_entries(const struct buf *reply, size_t *count)
{
    const uint8_t *bytes = buf_head(reply);
    struct entry *entries;
    size_t at = 0;

    if (!resp_read_number(bytes, reply->len, &at, '*', count) || *count > reply->len) {
        return NULL;
    }
    entries = mem_calloc(*count + 1, sizeof *entries);
    for (size_t i = 0; i < *count; i++) {
        if (!take_entry(bytes + at, reply->len - at, &entries[i])) {
            free(entries);
            return NULL;
        }
        at += entries[i].len;
    }
    return entries;
}

/* With these very words, and nobody's: how a private link asks whose it is (engine.c). */
static bool is_identity(const struct entry *e)
{
    static const char info[] = "INFO", replication[] = "replication";

    return e->who == NULL && e->argc == 2 && e->first.len == sizeof info - 1 &&
           memcmp(e->first.bytes, info, e->first.len) == 0 &&
           e->second.len == sizeof replication - 1 &&
           memcmp(e->second.bytes, replication, e->second.len) == 0;
}

/* What no client can have sent to Redis through the proxy; but for HELLO and SELECT inside MULTI,
 * which are not told from ours. */
static bool is_ours(const struct slowlog *s, const struct entry *e)
{
    static const char *const words[] = {"role", "hello", "select", "replconf", "psync"};
    static const char *const of_client[] = {"id", "no-evict", "setname", "pause", "unpause"};

    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (resp_arg_is(&e->first, words[i])) {
            return true;
        }
    }
    for (size_t i = 0; i < sizeof of_client / sizeof *of_client; i++) {
        if (resp_arg_is(&e->first, "client") && resp_arg_is(&e->second, of_client[i])) {
            return true;
        }
    }
    for (size_t i = 0; e->who == NULL && i < SLOWLOG_OWN_MAX; i++) {
        size_t len = strlen(s->own[i]);
        if (len > 0 && len == e->address.len && memcmp(s->own[i], e->address.bytes, len) == 0) {
            return true;
        }
    }
    return is_identity(e) ||
           (resp_arg_is(&e->first, "spublish") && resp_arg_is(&e->second, "__holdfast__"));
}

/* ---- pairing ---- */

/* An entry or a note, by its place: newest first. */
struct place {
    uint64_t key;
    size_t at;
};

struct pairing {
    const struct slowlog *s;
    struct entry *entries;
    struct place *of_entries, *of_notes; /* sorted */
    size_t entry_count, note_count;
    size_t *newest, *same; /* scratch of pair_group */
};

static int place_compare(const void *a, const void *b)
{
    const struct place *x = a, *y = b;

    if (x->key != y->key) {
        return x->key < y->key ? -1 : 1;
    }
    return x->at < y->at ? -1 : x->at > y->at;
}

static struct slowlog_note *note_of(const struct pairing *p, const struct place *place)
{
    return note_at(p->s, p->s->noted - 1 - place->at);
}

/* Redis' clock may be read a little before ours. */
static bool fits(const struct entry *e, const struct slowlog_note *note)
{
    return !note->paired && note->took_us >= e->took_us && e->time_s + 1 >= note->began_s &&
           e->time_s <= note->ended_s + 1;
}

/* Entries and notes with the same key, newest first. The newest note that an entry can have is what
 * it gets if those before it take the newest that they can; the oldest likewise from the other end.
 * Whatever is right lies between. */
static void pair_group(struct pairing *p, const struct place *entries, size_t entry_count,
                       const struct place *notes, size_t note_count)
{
    size_t next = 0, end = note_count;

    for (size_t i = 0; i < entry_count; i++) {
        size_t at = next;
        while (at < note_count && !fits(&p->entries[entries[i].at], note_of(p, &notes[at]))) {
            at++;
        }
        p->newest[i] = at;
        next = at < note_count ? at + 1 : next;
    }
    for (size_t i = note_count; i-- > 0;) { /* the last one behind it of the same client */
        bool with_next = i + 1 < note_count &&
                         who_is(note_of(p, &notes[i])->who, note_of(p, &notes[i + 1])->who);
        p->same[i] = with_next ? p->same[i + 1] : i;
    }
    for (size_t i = entry_count; i-- > 0;) {
        struct entry *e = &p->entries[entries[i].at];
        size_t at = end;
        while (at > 0 && !fits(e, note_of(p, &notes[at - 1]))) {
            at--;
        }
        if (at == 0) {
            continue;
        }
        end = at - 1;
        if (p->newest[i] <= end && end <= p->same[p->newest[i]]) {
            struct slowlog_note *note = note_of(p, &notes[end]);
            e->who = slowlog_who_share(note->who);
            note->paired = p->newest[i] == end && note->who != NULL;
        }
    }
}

static void pair_sorted(struct pairing *p)
{
    size_t e = 0, n = 0;

    while (e < p->entry_count && n < p->note_count) {
        uint64_t key = p->of_entries[e].key;
        size_t entries = e, notes;
        while (n < p->note_count && p->of_notes[n].key < key) {
            n++;
        }
        notes = n;
        while (e < p->entry_count && p->of_entries[e].key == key) {
            e++;
        }
        while (n < p->note_count && p->of_notes[n].key == key) {
            n++;
        }
        pair_group(p, &p->of_entries[entries], e - entries, &p->of_notes[notes], n - notes);
    }
}

/* Those that Redis redacted, or the others. */
static void pair(const struct slowlog *s, struct entry *entries, size_t count, bool redacted)
{
    size_t notes = (size_t)(s->noted - s->forgotten);
    struct pairing p = {.s = s, .entries = entries};

    p.of_entries = mem_alloc((count + 1) * sizeof *p.of_entries);
    p.of_notes = mem_alloc((notes + 1) * sizeof *p.of_notes);
    p.newest = mem_alloc((count + 1) * sizeof *p.newest);
    p.same = mem_alloc((notes + 1) * sizeof *p.same);
    for (size_t i = 0; i < count; i++) {
        if (entries[i].open && entries[i].redacted == redacted) {
            p.of_entries[p.entry_count++] = (struct place){entries[i].key, i};
        }
    }
    for (size_t i = 0; p.entry_count > 0 && i < notes; i++) {
        const struct slowlog_note *note = note_at(s, s->noted - 1 - i);
        p.of_notes[p.note_count++] = (struct place){redacted ? note->first : note->words, i};
    }
    qsort(p.of_entries, p.entry_count, sizeof *p.of_entries, place_compare);
    qsort(p.of_notes, p.note_count, sizeof *p.of_notes, place_compare);
    pair_sorted(&p);
    free(p.of_entries);
    free(p.of_notes);
    free(p.newest);
    free(p.same);
}

/* ---- what is known ---- */

static struct slowlog_who *known_who(const struct slowlog *s, const struct entry *e)
{
    const struct slowlog_known *known =
        s->known != NULL ? &s->known[e->id % SLOWLOG_KNOWN_MAX] : NULL;
    bool is = known != NULL && known->id == e->id && known->time_s == e->time_s;

    return is ? slowlog_who_share(known->who) : NULL;
}

static void know(struct slowlog *s, const struct entry *e)
{
    if (s->known == NULL) {
        s->known = mem_calloc(SLOWLOG_KNOWN_MAX, sizeof *s->known);
    }
    struct slowlog_known *known = &s->known[e->id % SLOWLOG_KNOWN_MAX];
    slowlog_who_release(known->who);
    *known = (struct slowlog_known){e->id, e->time_s, slowlog_who_share(e->who)};
}

/* Finds out whose they are. */
static void look(struct slowlog *s, struct entry *entries, size_t count, uint64_t mark)
{
    bool some = false;

    for (size_t i = 0; i < count; i++) {
        struct entry *e = &entries[i];
        e->who = known_who(s, e);
        e->open = e->who == NULL && e->id >= s->seen_before && e->time_s > s->lacks_until_s;
        some = some || e->open;
    }
    if (some && s->noted > s->forgotten) {
        pair(s, entries, count, false);
        pair(s, entries, count, true);
    }
    for (size_t i = 0; i < count; i++) {
        if (entries[i].open && entries[i].who != NULL) {
            know(s, &entries[i]);
        }
    }
    s->seen_before = s->seen_next;
    s->seen_next = count > 0 && entries[0].id >= s->seen_next ? entries[0].id + 1 : s->seen_next;
    forget_notes(s, s->mark);
    s->mark = mark;
}

static void free_entries(struct entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        slowlog_who_release(entries[i].who);
    }
    free(entries);
}

void slowlog_learn(struct slowlog *s, const struct buf *reply, uint64_t mark)
{
    size_t count = 0;
    struct entry *entries = take_entries(reply, &count);

    if (entries != NULL) {
        look(s, entries, count, mark);
        free_entries(entries, count);
    }
}

static void put_entry(struct buf *out, const uint8_t *bytes, const struct entry *e)
{
    if (e->who == NULL) {
        buf_append(out, bytes, e->len);
        return;
    }
    const char *address = e->who->text, *name = slowlog_who_name(e->who);
    buf_append(out, bytes, e->head_len);
    resp_put_bulk(out, address, strlen(address));
    resp_put_bulk(out, name, strlen(name));
}

void slowlog_correct(struct slowlog *s, struct buf *reply, uint64_t mark, size_t held, size_t most,
                     bool len_only)
{
    struct buf kept = BUF_INIT, out = BUF_INIT;
    size_t at = 0, count = 0, entry_count = 0, ignored;
    struct entry *entries = take_entries(reply, &entry_count);
    const uint8_t *bytes = buf_head(reply);

    if (entries == NULL) {
        return;
    }
    look(s, entries, entry_count, mark);
    (void)resp_read_number(bytes, reply->len, &at, '*', &ignored);
    for (size_t i = 0; i < entry_count && count < held; i++) {
        if (!is_ours(s, &entries[i]) && (len_only || count < most)) {
            count++;
            put_entry(&kept, bytes + at, &entries[i]);
        }
        at += entries[i].len;
    }
    if (len_only) {
        resp_put_integer(&out, (long long)count);
    } else {
        resp_put_array(&out, count);
        buf_append(&out, buf_head(&kept), kept.len);
    }
    free_entries(entries, entry_count);
    buf_swap(reply, &out);
    buf_release(&kept);
    buf_release(&out);
}
