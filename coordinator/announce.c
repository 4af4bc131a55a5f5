/* SPDX-License-Identifier: MIT */
/* Shows the coordinator's URL as text and as a QR code. */
#include "coordinator/announce.h"

#include "sys/term/qr.h"

void pv_announce_url(const char *url, unsigned columns, bool utf8, FILE *out)
{
    fprintf(out, "p2pvpn-coordinator: make a network with: sudo p2pvpnctl create '%s'\n", url);
    if (utf8)
        (void)pv_qr_print(url, columns, out); /* the URL itself stands above */
}
