/* SPDX-License-Identifier: MIT */
/*
 * fuzz_rostersync - in-band type 2 from a hostile member: the input is a sequence of bodies (u16
 * length, bytes), each followed by a second. The output is bounded and ends, whatever comes.
 */
#include <stdlib.h>

#include "base/bytes.h"
#include "daemon/core/member/rostersync.h"
#include "proto/roster/roster_make.h"
#include "tests/fuzz/fuzz_util.h"

static void require(bool ok)
{
    must(ok);
}

/* A network of one node. */
static struct pv_roster *make_roster(const struct pv_rng *rng)
{
    uint8_t seed[PV_SIGN_SEED_LEN] = {1}, root[PV_SIGN_SK_LEN], node[PV_SIGN_SK_LEN];
    uint8_t pk[PV_SIGN_PK_LEN], transport[32] = {1}, list[64];
    struct pv_hostport hp = {.host = "192.0.2.1", .port = 3478};
    struct pv_writer w = pv_writer(list, sizeof(list));
    struct pv_roster *r = NULL;
    enum pv_roster_added added;
    struct pv_view none = pv_view(NULL, 0);
    struct pv_created made;

    pv_sign_keypair(seed, root, pk);
    seed[0] = 2;
    pv_sign_keypair(seed, node, pk);
    pv_coordlist_put(&w, pk, &hp, 1);
    struct pv_create c = {.root = pv_signer_sk(root),
                          .node_sk = node,
                          .transport = transport,
                          .network_name = "home",
                          .node_name = "alice",
                          .range = {.base = pv_addr4(10, 66, 0, 0, 0), .bits = 16},
                          .coordinators = pv_written(&w)};
    require(pv_make_create(&c, &made) == PV_OK);
    require(pv_roster_new(pv_made_view(&made.network), NULL, rng, &r) == PV_OK);
    require(pv_roster_add(r, pv_view(made.coordinators.raw, made.coordinators.len), none, &added) ==
            PV_OK);
    require(pv_roster_add(r, pv_made_view(&made.admin), none, &added) == PV_OK);
    require(pv_roster_add(r, pv_made_view(&made.member), none, &added) == PV_OK);
    return r;
}

static void count_bytes(void *owner, struct pv_rostersync_peer *p, struct pv_view body)
{
    size_t *bytes = owner;
    require(p->up && body.len > 0 && body.len <= PV_INBAND_WHOLE_MAX);
    *bytes += body.len;
}

static void take_outcome(void *owner, struct pv_rostersync_peer *p,
                         enum pv_rostersync_outcome outcome, pv_ns now)
{
    require(p->up);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint8_t same = 7;
    struct pv_rng rng = {.fill = fuzz_fill_same, .ctx = &same};
    struct pv_roster *roster = make_roster(&rng);
    struct pv_rostersync *s = NULL;
    struct pv_reader r = pv_reader(pv_view(data, len));
    const uint8_t own[32] = {0x80}, low[32] = {0}, high[32] = {0xff};
    struct pv_rostersync_peer peers[2] = {{.up = false}};
    struct pv_roster_event ev;
    size_t bytes = 0;
    const struct pv_rostersync_config cfg = {
        .own = own, .rng = rng, .send = count_bytes, .tell = take_outcome, .owner = &bytes};
    pv_ns now = PV_S(1);

    require(pv_rostersync_new(&s, &cfg) == PV_OK);
    pv_rostersync_set_roster(s, roster);
    require(pv_rostersync_peer_up(s, &peers[1], low, now) == PV_OK);
    require(pv_rostersync_peer_up(s, &peers[0], high, now) == PV_OK);
    for (size_t i = 0; r.rest.len > 0 && r.status == PV_OK; i++) {
        struct pv_view body = pv_get_view16(&r, PV_INBAND_WHOLE_MAX);
        int status = pv_rostersync_handle(s, &peers[i % 2], body, now);
        require(status == PV_OK || status == PV_ERR_MALFORMED);
        while (pv_roster_poll_event(roster, &ev) == PV_OK)
            require(ev.type != PV_ROSTER_EV_MEMBER_GONE);
        bytes = 0;
        pv_rostersync_run(s, now);
        require(bytes <= PV_INBAND_WHOLE_MAX);
        now += PV_S(1);
        pv_rostersync_handle_timeout(s, now);
    }
    pv_rostersync_free(s);
    pv_roster_free(roster);
    return 0;
}
