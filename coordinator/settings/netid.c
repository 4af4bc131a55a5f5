/* SPDX-License-Identifier: MIT */
/* Ids as hexadecimal digits, both ways. Operators type them, so capitals are read, too. */
#include "coordinator/settings/netid.h"

#include <string.h>

static const char digits[] = "0123456789abcdef";

const char *pv_netid_format(const uint8_t id[static PV_NETWORK_ID_LEN],
                            char buf[static PV_NETID_BUF])
{
    for (size_t i = 0; i < PV_NETWORK_ID_LEN; i++) {
        buf[2 * i] = digits[id[i] >> 4];
        buf[2 * i + 1] = digits[id[i] & 15];
    }
    buf[2 * PV_NETWORK_ID_LEN] = '\0';
    return buf;
}

int pv_netid_parse(const char *text, uint8_t ret_id[static PV_NETWORK_ID_LEN])
{
    /* In memory of its own: ret_id is written when all digits are good, or not at all. */
    uint8_t id[PV_NETWORK_ID_LEN] = {0};
    if (strlen(text) != 2 * PV_NETWORK_ID_LEN)
        return PV_ERR_MALFORMED;
    for (size_t i = 0; i < 2 * PV_NETWORK_ID_LEN; i++) {
        char c = text[i] >= 'A' && text[i] <= 'F' ? (char)(text[i] - 'A' + 'a') : text[i];
        const char *at = strchr(digits, c);
        if (at == NULL)
            return PV_ERR_MALFORMED;
        id[i / 2] = (uint8_t)(id[i / 2] << 4 | (at - digits));
    }
    memcpy(ret_id, id, sizeof(id));
    return PV_OK;
}
