#include "proxy/resp.h"
