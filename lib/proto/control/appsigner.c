/* SPDX-License-Identifier: MIT */
/* appsigner.c - the domains, and who signs under them. */
#include "proto/control/appsigner.h"

static const char *const contexts[] = {
    [PV_APPSIGNER_PARCEL] = "p2pvpn chat v1",
    [PV_APPSIGNER_ROOM] = "p2pvpn room v1",
};

static int sign_by_key(const void *keeper, enum pv_appsigner_domain domain, struct pv_view head,
                       struct pv_view body, uint8_t ret_sig[static PV_SIGN_LEN])
{
    return pv_sign(ret_sig, contexts[domain], head, body, keeper);
}

struct pv_appsigner pv_appsigner_of(const uint8_t *sk)
{
    return (struct pv_appsigner){.sign = sign_by_key, .keeper = sk};
}

int pv_appsigner_verify(const uint8_t sig[static PV_SIGN_LEN], enum pv_appsigner_domain domain,
                        struct pv_view head, struct pv_view body,
                        const uint8_t pk[static PV_SIGN_PK_LEN])
{
    return pv_sign_verify(sig, contexts[domain], head, body, pk);
}
