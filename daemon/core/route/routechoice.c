/* SPDX-License-Identifier: MIT */
/* routechoice.c - what the user of this node says about routes and exits: the commands, what is
 * stored of them, and their answers. */
#include <string.h>

#include "daemon/core/peer/peers.h"
#include "daemon/core/route/routes_int.h"
#include "proto/local/ctlapi_request.h"

/* The whole choice is one value: half of it would be another choice. */
void pv_routechoice_save(struct pv_routes *r)
{
    uint8_t buf[PV_ROUTEUSE_BYTES];
    size_t len = pv_routeuse_encode(&r->use, buf);
    pv_node_put_meta(r->node, PV_ROUTES_META, pv_view(buf, len));
}

void pv_routechoice_answer(struct pv_routes *r, const char *fault)
{
    if (r->asked != 0 && fault[0] == '\0')
        pv_ctlsrv_done(r->node->ctl, r->asked);
    else if (r->asked != 0)
        pv_ctlsrv_fail(r->node->ctl, r->asked, PV_CTLAPI_FAILED, fault);
    r->asked = 0;
}

/* A change of the exit is answered by the host. */
static void use_changed(struct pv_routes *r, bool exit, uint64_t handle, pv_ns now)
{
    size_t plans = r->n_plans;
    r->fault[0] = '\0';
    pv_routechoice_save(r);
    pv_routes_look(r, false, now);
    pv_routechoice_answer(r, "");
    r->asked = handle;
    if (!exit || plans == r->n_plans)
        pv_routechoice_answer(r, "");
}

/* A prefix or a member; a prefix that nobody offers yet is fine. False: the client is answered. */
static bool read_entry(struct pv_routes *r, const char *text, uint64_t handle,
                       struct pv_routeuse_entry *ret)
{
    const struct pv_peer *p = pv_peers_find(r->node->peers, text);
    memset(ret, 0, sizeof(*ret));
    if (p != NULL && !pv_peer_is_static(p)) {
        memcpy(ret->pk, pv_peer_pk(p), sizeof(ret->pk));
        return true;
    }
    ret->is_prefix = true;
    if (strchr(text, '/') == NULL || pv_prefix_parse(text, &ret->prefix) != PV_OK ||
        !pv_route_is_valid(&ret->prefix)) {
        pv_ctlsrv_failf(
            r->node->ctl, handle, PV_CTLAPI_UNKNOWN_PEER,
            "route use: \"%.70s\" is neither a member nor a prefix: give all, auto, off, a name of "
            "`p2pvpnctl peers`, or a prefix of `p2pvpnctl route list`",
            text);
        return false;
    }
    if (ret->prefix.bits == 0) {
        pv_ctlsrv_failf(
            r->node->ctl, handle, PV_CTLAPI_USAGE,
            "route use: %s is everything: `p2pvpnctl exit use PEER` sends all by a member", text);
        return false;
    }
    return true;
}

/* Words before names: nobody is called all, auto or off in this place. */
void pv_routechoice_use(void *part, struct pv_ctlapi_request *req, struct pv_peer *p,
                        uint64_t handle, pv_ns now)
{
    static const char *const modes[] = {
        [PV_ROUTEUSE_AUTO] = "auto", [PV_ROUTEUSE_ALL] = "all", [PV_ROUTEUSE_OFF] = "off"};
    struct pv_routes *r = part;
    struct pv_routeuse_entry entry;
    (void)p;
    for (size_t i = 0; i < PV_ARRAY_LEN(modes); i++) {
        if (strcmp(req->peer, modes[i]) == 0) {
            pv_routeuse_set_mode(&r->use, (enum pv_routeuse_mode)i);
            use_changed(r, false, handle, now);
            return;
        }
    }
    if (!read_entry(r, req->peer, handle, &entry))
        return;
    entry.on = !req->off;
    if (pv_routeuse_set(&r->use, &entry) != PV_OK) {
        pv_ctlsrv_failf(
            r->node->ctl, handle, PV_CTLAPI_FAILED,
            "route use: %d members and prefixes were named already: `p2pvpnctl route use auto`, "
            "all or off begins anew",
            PV_ROUTEUSE_MAX);
        return;
    }
    use_changed(r, false, handle, now);
}

/* A peer that is no exit is refused here and now: with --block nothing would go out any more. */
void pv_routechoice_exit_use(void *part, struct pv_ctlapi_request *req, struct pv_peer *p,
                             uint64_t handle, pv_ns now)
{
    struct pv_routes *r = part;
    bool offered = false;
    for (size_t i = 0; i < r->n; i++)
        offered =
            offered || (r->all[i].prefix.bits == 0 && pv_routeset_has(&r->all[i], pv_peer_pk(p)));
    if (!offered) {
        pv_ctlsrv_failf(
            r->node->ctl, handle, PV_CTLAPI_REFUSED,
            "exit use: %s is no exit: there `p2pvpnctl exit offer`, and an admin has to say "
            "`p2pvpnctl route allow %s default`",
            pv_peer_name(p), pv_peer_name(p));
        return;
    }
    r->use.exit = true;
    r->use.exit_lan = req->lan;
    r->use.exit_block = req->block;
    memcpy(r->use.exit_pk, pv_peer_pk(p), sizeof(r->use.exit_pk));
    pv_peer_want(p, "exit", now);
    pv_peers_touch(r->node->peers, p, now);
    use_changed(r, true, handle, now);
}

/* Always possible, whatever has become of the exit. */
void pv_routechoice_exit_off(void *part, struct pv_ctlapi_request *req, struct pv_peer *p,
                             uint64_t handle, pv_ns now)
{
    struct pv_routes *r = part;
    (void)req;
    (void)p;
    r->use.exit = r->use.exit_lan = r->use.exit_block = false;
    memset(r->use.exit_pk, 0, sizeof(r->use.exit_pk));
    use_changed(r, true, handle, now);
}
