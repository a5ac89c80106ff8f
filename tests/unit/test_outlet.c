/* What goes to an engine's socket, and what is kept of it until it is answered. */
#include "proxy/engine/outlet.h"

#include "tests/lib/unit.h"

#include <string.h>

static struct outlet o;

static void setup(void)
{
    o = (struct outlet){.out_at = 0};
}

static void teardown(void)
{
    outlet_release(&o);
}

static void begin(const char *text)
{
    struct buf gathered = BUF_INIT;

    buf_append_str(&gathered, text);
    outlet_begin(&o, &gathered);
    ck_assert_uint_eq(gathered.len, 0);
    buf_release(&gathered);
}

/* Exactly this goes out next, and is written. */
static void goes(const char *text, bool ahead)
{
    size_t size;
    bool taken;
    const uint8_t *bytes = outlet_next(&o, &size, &taken);

    ck_assert_ptr_nonnull(bytes);
    ck_assert(taken == ahead);
    ck_assert_uint_ge(size, strlen(text));
    ck_assert_mem_eq(bytes, text, strlen(text));
    outlet_wrote(&o, strlen(text));
}

static void nothing_goes(void)
{
    size_t size;
    bool taken;

    ck_assert_ptr_null(outlet_next(&o, &size, &taken));
}

static void was_sent(unsigned batch, uint64_t at, size_t most, const char *text)
{
    size_t size = most;
    const uint8_t *bytes = outlet_sent(&o, batch, at, &size);

    ck_assert_uint_eq(size, strlen(text));
    ck_assert(size == 0 ? bytes == NULL : memcmp(bytes, text, size) == 0);
}

/* A batch's bytes are there while they are written, and until it is answered; each batch has its
 * own. */
START_TEST(test_batches)
{
    ck_assert(outlet_is_empty(&o));
    nothing_goes();
    begin("abcdef");
    ck_assert(!outlet_is_empty(&o));
    was_sent(0, 2, 3, "cde");
    goes("abcd", false);
    was_sent(0, 0, 100, "abcdef");
    goes("ef", false);
    nothing_goes();
    outlet_all_written(&o, 0, 100);
    ck_assert(outlet_is_empty(&o));
    was_sent(0, 0, 3, "abc");
    was_sent(0, 6, 3, "");

    begin("gh");
    goes("gh", false);
    outlet_all_written(&o, 1, 100);
    was_sent(0, 4, 3, "ef");
    was_sent(1, 0, 3, "gh");
    outlet_answered(&o, 0, 0);
    was_sent(0, 0, 3, "");
    was_sent(1, 1, 3, "h");
}
END_TEST

/* What belongs to no batch, and what is added behind one, is not kept. */
START_TEST(test_others)
{
    begin("setup");
    goes("setup", false);
    outlet_all_written(&o, OUTLET_BATCHES_MAX, 0);
    was_sent(0, 0, 9, "");
    ck_assert_uint_eq(o.out.cap, 0);
    begin("batch");
    goes("batch", false);
    outlet_all_written(&o, 0, 100);
    buf_append_str(&o.out, "fence");
    goes("fence", false);
    outlet_all_written(&o, 0, 100);
    was_sent(0, 0, 9, "batch");
}
END_TEST

/* What is taken over goes first, and only how it begins is kept. */
START_TEST(test_ahead)
{
    struct buf gathered = BUF_INIT, large = BUF_INIT;
    struct chain commands = {.len = 0};
    enum { LARGE = 100000, KEPT = 8192 };

    buf_append_str(&gathered, "select");
    memset(buf_reserve(&large, LARGE), 'x', LARGE);
    buf_commit(&large, LARGE);
    chain_take(&commands, &large);
    outlet_put_ahead(&o, 0, &gathered, &commands);
    ck_assert_uint_eq(gathered.len + commands.len, 0);
    ck_assert(outlet_is_empty(&o)); /* until the batch begins */
    begin("fence");
    ck_assert(!outlet_is_empty(&o));
    goes("select", true);
    for (size_t left = LARGE, size; left > 0; left -= size) {
        bool taken;
        ck_assert_ptr_nonnull(outlet_next(&o, &size, &taken));
        ck_assert(taken);
        outlet_wrote(&o, size);
    }
    goes("fence", false);
    nothing_goes();
    outlet_all_written(&o, 0, 100);
    was_sent(0, 0, 8, "selectxx");
    size_t size = LARGE;
    ck_assert_ptr_nonnull(outlet_sent(&o, 0, 6, &size));
    ck_assert_uint_eq(size, KEPT);
    chain_release(&commands);
    buf_release(&gathered);
}
END_TEST

int main(void)
{
    return UNIT_RUN("outlet", setup, teardown, test_batches, test_others, test_ahead);
}
