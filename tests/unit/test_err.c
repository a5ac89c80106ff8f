/* Error codes: all negative, all different, each with a text of its own. */
#include "common/err.h"

#include "tests/lib/unit.h"

#include <string.h>

START_TEST(codes_and_texts)
{
    static const int codes[] = {
#define CODE(name, code, text) name,
        ERR_MAP(CODE)
#undef CODE
    };
    size_t count = sizeof codes / sizeof codes[0];

    ck_assert_str_eq(err_text(ERR_OK), "ok");
    ck_assert_str_eq(err_text(ERR_NO_SPACE), "no space is left");
    for (size_t i = 0; i < count; i++) {
        ck_assert_int_lt(codes[i], 0);
        ck_assert_str_ne(err_text(codes[i]), "unknown error");
        for (size_t k = 0; k < i; k++) {
            ck_assert_int_ne(codes[i], codes[k]);
            ck_assert_str_ne(err_text(codes[i]), err_text(codes[k]));
        }
    }
    ck_assert_str_eq(err_text(1), "unknown error");
    ck_assert_str_eq(err_text(-1000), "unknown error");
}
END_TEST

int main(void)
{
    return UNIT_RUN("err", NULL, NULL, codes_and_texts);
}
