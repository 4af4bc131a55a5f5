/* SPDX-License-Identifier: MIT */
/* copybox.c - the box of a stored copy, sealed and opened (PROTOCOL-PEERS.md "Stored copies"). */
#include "proto/control/copybox.h"

#include "base/bytes.h"

static const char prologue_text[] = "p2pvpn store v1";

enum {
    ROUTE_LEN = PV_NETWORK_ID_LEN + 2 * PV_SIGN_PK_LEN,
    PROLOGUE_LEN = sizeof(prologue_text) - 1 + ROUTE_LEN,
};

static struct pv_view copy_prologue(const struct pv_signal_route *route,
                                    uint8_t buf[static PROLOGUE_LEN])
{
    struct pv_writer w = pv_writer(buf, PROLOGUE_LEN);
    pv_put_bytes(&w, prologue_text, sizeof(prologue_text) - 1);
    pv_put_bytes(&w, route->network_id, sizeof(route->network_id));
    pv_put_bytes(&w, route->from, sizeof(route->from));
    pv_put_bytes(&w, route->to, sizeof(route->to));
    return pv_written(&w);
}

int pv_copybox_seal(const struct pv_signal_route *route, const struct pv_copybox_keys *keys,
                    const struct pv_rng *rng, struct pv_view content,
                    uint8_t ret_box[static PV_COPYBOX_MAX], size_t *ret_len)
{
    uint8_t start[PROLOGUE_LEN];
    int r;
    if (content.len > PV_COPYBOX_CONTENT_MAX)
        return PV_ERR_LIMIT;
    const struct pv_noise_parties parties = {
        .prologue = copy_prologue(route, start), .local = keys->local, .remote = keys->remote};
    if (keys->hybrid == NULL)
        r = pv_noise_xpsk_seal(&parties, rng, content, ret_box);
    else
        r = pv_sealing_seal(keys->hybrid, &parties, rng, content, ret_box);
    if (r == PV_OK)
        *ret_len = content.len + (keys->hybrid == NULL ? PV_NOISE_X_OVERHEAD : PV_SEALING_OVERHEAD);
    return r;
}

int pv_copybox_open(const struct pv_signal_route *route, const struct pv_noise_static *local,
                    struct pv_view box, uint8_t ret_content[static PV_COPYBOX_CONTENT_MAX],
                    size_t *ret_len)
{
    uint8_t start[PROLOGUE_LEN], sender[PV_DH_LEN];
    if (box.len > PV_COPYBOX_CLASSICAL_MAX)
        return PV_ERR_LIMIT;
    if (box.len < PV_NOISE_X_OVERHEAD)
        return PV_ERR_TRUNCATED;
    /* Which transport key sealed it does not matter: the author may have a new one by now. Whose
     * words they are the signature says. */
    int r = pv_noise_x_open(copy_prologue(route, start), local, box, sender, ret_content);
    if (r == PV_OK)
        *ret_len = box.len - PV_NOISE_X_OVERHEAD;
    return r;
}

int pv_copybox_open_hybrid(const struct pv_signal_route *route,
                           const uint8_t psk[static PV_NOISE_PSK_LEN],
                           const struct pv_noise_static *local, struct pv_view box,
                           uint8_t ret_content[static PV_COPYBOX_CONTENT_MAX], size_t *ret_len)
{
    uint8_t start[PROLOGUE_LEN], sender[PV_DH_LEN];
    if (box.len > PV_COPYBOX_MAX)
        return PV_ERR_LIMIT;
    int r = pv_sealing_open(psk, copy_prologue(route, start), local, box, sender, ret_content);
    if (r == PV_OK)
        *ret_len = box.len - PV_SEALING_OVERHEAD;
    return r;
}
