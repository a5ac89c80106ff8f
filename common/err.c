#include "common/err.h"

const char *err_text(int code)
{
    switch (code) {
    case ERR_OK:
        return "ok";
#define ERR_CASE(name, value, text)                                                                \
    case name:                                                                                     \
        return text;
        ERR_MAP(ERR_CASE)
#undef ERR_CASE
    default:
        return "unknown error";
    }
}
