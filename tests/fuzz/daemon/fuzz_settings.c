/* SPDX-License-Identifier: MIT */
/* The daemon's configuration parser: whatever comes, it ends, and says where it stopped. */
#include <stdlib.h>
#include <string.h>

#include "daemon/settings.h"
#include "tests/fuzz/fuzz_util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct pv_settings s;
    char error[PV_SETTINGS_ERROR_MAX] = "";
    pv_settings_init(&s);
    int r = pv_settings_parse(&s, "f", pv_view(data, len), error);
    must((r < 0) == (error[0] != '\0') &&
         s.engine.given.n_own_addrs <= PV_ARRAY_LEN(s.engine.given.own_addrs) &&
         s.n_peers <= PV_ENGINE_MAX_STATIC && s.engine.given.mtu >= PV_SETTINGS_MTU_MIN);
    must(r != PV_ERR_MALFORMED || strncmp(error, "f:", 2) == 0);
    pv_settings_done(&s);
    return 0;
}
