/* Any bytes as the reply to COMMAND, and any request against the table that comes of them. The
 * first byte is the length of the request behind it, whose words are separated by NULs. */
#include "proxy/protocol/command.h"

#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(const struct command_table *t, const uint8_t *words, size_t size)
{
    struct resp_arg argv[256];
    struct buf keys = BUF_INIT, text = BUF_INIT;
    const struct command *c;
    size_t argc = 0, start = 0;

    for (size_t i = 0; i <= size; i++) {
        if (i == size || words[i] == '\0') {
            argv[argc++] = (struct resp_arg){words + start, i - start};
            start = i + 1;
        }
    }
    if (command_check(t, argv, argc, &c, &text) == ERR_OK) {
        (void)command_reach(c, argv, argc, &keys);
        (void)command_second_db(c, argv, argc);
        for (size_t i = 0; i < keys.len / sizeof(struct command_key); i++) {
            struct command_key key;
            memcpy(&key, buf_head(&keys) + i * sizeof key, sizeof key);
            MUST(key.index > 0 && key.index < argc);
        }
    }
    buf_release(&keys);
    buf_release(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct command_table *t;
    size_t words;

    if (size == 0 || (words = data[0] % 200) >= size) {
        return 0;
    }
    if (command_table_parse(data + 1 + words, size - 1 - words, &t) == ERR_OK) {
        use(t, data + 1, words);
        command_table_destroy(t);
    }
    return 0;
}
