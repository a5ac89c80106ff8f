/* The manifest of an export: what is printed is read back, and no byte of it can change unnoticed.
 */
#include "proxy/ctl/manifest.h"
#include "tests/lib/unit.h"

#include <string.h>

static void sample(struct manifest *m)
{
    struct replid replid;

    *m = (struct manifest){.log_id = 3, .begun_ms = 1000, .ended_ms = 2000};
    for (size_t i = 0; i < sizeof m->cluster_id; i++) {
        m->cluster_id[i] = (uint8_t)(i * 17);
    }
    memset(replid.hex, 'a', sizeof replid.hex);
    m->snapshot = (struct snapshot_info){.offset = 500,
                                         .term = {2},
                                         .replid = replid,
                                         .size_bytes = 99,
                                         .crc = 0x12345678,
                                         .wall_ms = 900,
                                         .engine_version = "7.0.15"};
    ck_assert_int_eq(history_append(&m->history, (struct log_term){2}, 400, &replid), ERR_OK);
    ck_assert_int_eq(history_append(&m->history, (struct log_term){5}, 700, &replid), ERR_OK);
    manifest_add(m, &(struct manifest_file){.from = 500,
                                            .to = 700,
                                            .bytes = 300,
                                            .crc = 1,
                                            .chain_crc = 2,
                                            .first_ms = 950,
                                            .last_ms = 960});
    manifest_add(m, &(struct manifest_file){.from = 700, .to = 701, .bytes = 65, .chain_crc = 7});
}

START_TEST(reads_what_it_prints)
{
    struct manifest m, again;
    struct buf text = BUF_INIT;
    char name[MANIFEST_NAME_BYTES];
    const char *why;

    sample(&m);
    manifest_print(&m, &text);
    ck_assert_int_eq(manifest_parse((char *)buf_head(&text), text.len, &again, &why), ERR_OK);
    ck_assert_mem_eq(again.cluster_id, m.cluster_id, sizeof m.cluster_id);
    ck_assert_uint_eq(again.log_id, 3);
    ck_assert(snapinfo_same(&again.snapshot, &m.snapshot));
    ck_assert(history_equal(&again.history, &m.history));
    ck_assert_uint_eq(again.count, 2);
    ck_assert_mem_eq(again.files, m.files, 2 * sizeof *m.files);
    ck_assert_uint_eq(manifest_end(&again), 701);
    ck_assert_uint_eq(manifest_chain(&again), 7);
    manifest_file_name(&m.files[1], name);
    ck_assert_str_eq(name, "log-00000000000000000700-00000000.hfr");
    ck_assert_ptr_nonnull(memmem(buf_head(&text), text.len, name, strlen(name)));
    manifest_snapshot_name(&m.snapshot, name);
    ck_assert_ptr_nonnull(memmem(buf_head(&text), text.len, name, strlen(name)));
    manifest_fini(&again);
    manifest_fini(&m);
    buf_release(&text);
}
END_TEST

/* What its files are called is known again, and nothing else is taken for one. */
START_TEST(knows_its_files)
{
    static const char *const strange[] = {"",
                                          "manifest.json",
                                          "snapshot-00000000000000000500-12345678.rdb.part",
                                          "snapshot-00000000000000000500.rdb",
                                          "snapshot-0000000000000000050x-12345678.rdb",
                                          "snapshot-00000000000000000500-1234567.rdb",
                                          "snapshot-00000000000000000500-12345678.hfr",
                                          "log-00000000000000000500-00000001.rdb",
                                          "log-000000000000000000500-0000001.hfr",
                                          "log.hfr"};
    struct manifest m;

    sample(&m);
    for (size_t i = 0; i < sizeof strange / sizeof *strange; i++) {
        ck_assert_msg(!manifest_is_file_name(strange[i]), "%s", strange[i]);
        ck_assert(!manifest_names(&m, strange[i]));
    }
    static const char *const ours[] = {"snapshot-00000000000000000500-12345678.rdb",
                                       "log-00000000000000000500-00000001.hfr",
                                       "log-00000000000000000700-00000000.hfr"};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        ck_assert_msg(manifest_is_file_name(ours[i]) && manifest_names(&m, ours[i]), "%s", ours[i]);
    }
    static const char *const others[] = {
        "snapshot-00000000000000000501-12345678.rdb", "snapshot-00000000000000000500-12345679.rdb",
        "log-00000000000000000500-00000002.hfr", "log-00000000000000000701-00000000.hfr"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        ck_assert_msg(manifest_is_file_name(others[i]) && !manifest_names(&m, others[i]), "%s",
                      others[i]);
    }
    manifest_fini(&m);
    ck_assert(!manifest_names(&m, ours[1]));
}
END_TEST

/* Each bit of it, and each shorter piece. */
START_TEST(no_byte_can_change)
{
    struct manifest m, again;
    struct buf text = BUF_INIT;
    const char *why = NULL;

    sample(&m);
    manifest_print(&m, &text);
    for (size_t i = 0; i < text.len; i++) {
        buf_head(&text)[i] ^= (uint8_t)(1u << i % 8);
        ck_assert_msg(manifest_parse((char *)buf_head(&text), text.len, &again, &why) ==
                          ERR_CORRUPT,
                      "byte %zu", i);
        ck_assert_ptr_nonnull(why);
        buf_head(&text)[i] ^= (uint8_t)(1u << i % 8);
        ck_assert_int_eq(manifest_parse((char *)buf_head(&text), i, &again, &why), ERR_CORRUPT);
    }
    manifest_fini(&m);
    buf_release(&text);
}
END_TEST

static void expect_refused(struct manifest *m, const char *expected)
{
    struct buf text = BUF_INIT;
    struct manifest again;
    const char *why;

    manifest_print(m, &text);
    ck_assert_int_eq(manifest_parse((char *)buf_head(&text), text.len, &again, &why), ERR_CORRUPT);
    ck_assert_str_eq(why, expected);
    buf_release(&text);
    manifest_fini(m);
}

/* With a right checksum, but files that don't go on with each other, or are empty. */
START_TEST(contradictions)
{
    struct manifest m;

    sample(&m);
    m.files[1].from = 702;
    expect_refused(&m, "it contradicts itself");
    sample(&m);
    m.files[0].to = 500;
    expect_refused(&m, "it contradicts itself");
    sample(&m);
    m.snapshot.offset = 499;
    expect_refused(&m, "it contradicts itself");
    sample(&m);
    m.history.entries[1].term.n = 1;
    expect_refused(&m, "it contradicts itself");
}
END_TEST

int main(void)
{
    return UNIT_RUN("manifest", NULL, NULL, reads_what_it_prints, knows_its_files,
                    no_byte_can_change, contradictions);
}
