/* SPDX-License-Identifier: MIT */
/* coordinator.conf: any text is read or refused with a line number, never more. */
#include <stdlib.h>
#include <string.h>

#include "coordinator/settings/settings.h"
#include "tests/fuzz/fuzz_util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct pv_coordset set;
    char error[PV_COORDSET_ERROR_MAX] = "";
    memset(&set, 0, sizeof(set));
    int r = pv_coordset_parse(&set, "f", pv_view(data, len), error);
    must(set.n_listen <= PV_COORDSET_LISTEN_MAX && set.n_public <= PV_CTL_ADDRS_MAX);
    must(r >= 0 || strncmp(error, "f:", 2) == 0);
    return 0;
}
