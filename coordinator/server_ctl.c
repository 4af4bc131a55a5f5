/* SPDX-License-Identifier: MIT */
/* The operator's requests to the running coordinator by its control socket. An answer is
 * {"version":1, …}, or {"version":1,"error":CODE,"message":…}. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/keys.h"
#include "coordinator/server_int.h"
#include "coordinator/settings/settings_limits.h"
#include "crypto/ct.h"
#include "proto/chat/chat.h"
#include "proto/control/jsonline.h"
#include "sys/proc/entropy.h"

static json_t *error_json(const char *code, const char *message)
{
    return json_pack("{s:i, s:s, s:s}", "version", PV_REPORT_VERSION, "error", code, "message",
                     message);
}

/* --- networks -------------------------------------------------------------------------------- */

struct listing {
    json_t *list;
    bool names;
};

static void list_network(void *ctx, const struct pv_coord_network *n)
{
    struct listing *l = ctx;
    char id[PV_NETID_BUF];
    json_t *o =
        json_pack("{s:s, s:I, s:I, s:I, s:I, s:o}", "id", pv_netid_format(n->id, id), "members",
                  (json_int_t)n->members, "online", (json_int_t)n->online, "statements",
                  (json_int_t)n->statements, "bytes", (json_int_t)n->bytes, "seen",
                  n->seen_s == 0 ? json_null() : json_integer((json_int_t)n->seen_s));
    if (l->names)
        pv_jsonline_set(&o, "name", json_string(n->name));
    pv_jsonline_add(&l->list, o);
}

/* Names are the members' own: they are told only when they are asked for. */
static json_t *networks_json(const struct pv_coordserver *s, const json_t *request, pv_ns now)
{
    struct listing l = {.list = json_array(),
                        .names = json_is_true(json_object_get(request, "names"))};
    pv_coord_networks(s->coord, now, list_network, &l);
    return json_pack("{s:i, s:I, s:b, s:o}", "version", PV_REPORT_VERSION, "uptime",
                     (json_int_t)((now - s->started) / PV_S(1)), "shared", s->lease != NULL,
                     "networks", l.list);
}

/* --- drop ------------------------------------------------------------------------------------ */

/* Behind everything that the core has given to the store: what was under way for the network is
 * deleted too. */
static int order_drop(struct pv_coordserver *s, uint64_t client,
                      const uint8_t id[static PV_NETWORK_ID_LEN], pv_ns now)
{
    struct pv_storeop_copy what = {.wall_s = 0};
    struct pv_storeop *op = NULL;
    memcpy(what.network, id, sizeof(what.network));
    int r = pv_coord_drop_begin(s->coord, id);
    if (r < 0)
        return r;
    r = pv_storeop_new_copy(PV_STOREOP_DROP, &what, pv_view(NULL, 0), &op);
    if (r < 0) {
        pv_coord_drop_end(s->coord, id, false, now);
        return r;
    }
    op->id = client;
    pv_server_submit_all(s, now);
    pv_server_submit(s, op, now);
    return PV_OK;
}

static void drop(struct pv_coordserver *s, uint64_t client, const json_t *request, pv_ns now)
{
    const char *text = json_string_value(json_object_get(request, "network"));
    uint8_t id[PV_NETWORK_ID_LEN];
    int r = text == NULL ? PV_ERR_MALFORMED : pv_netid_parse(text, id);
    if (r == PV_OK)
        r = order_drop(s, client, id, now);
    if (r == PV_OK)
        return; /* answered by pv_server_dropped() */
    pv_ctlsock_answer(
        &s->ctl, client,
        r == PV_ERR_NOT_FOUND && s->lease != NULL
            ? error_json("elsewhere", "this coordinator is not the home of such a network")
        : r == PV_ERR_NOT_FOUND ? error_json("unknown_network", "no such network")
        : r == PV_ERR_EXISTS    ? error_json("busy", "it is being dropped")
        : r == PV_ERR_MALFORMED ? error_json("bad_request", "not the id of a network")
                                : error_json("failed", "out of memory"));
}

void pv_server_dropped(struct pv_coordserver *s, const struct pv_storeop *op,
                       const struct pv_storeop_result *result, pv_ns now)
{
    bool done = result->status == PV_OK;
    char id[PV_NETID_BUF];
    pv_coord_drop_end(s->coord, op->copy.network, done, now);
    if (done)
        pv_log(s->log, PV_LOG_INFO, "network dropped id=%s", pv_netid_format(op->copy.network, id));
    pv_ctlsock_answer(&s->ctl, op->id,
                      done ? json_pack("{s:i, s:s}", "version", PV_REPORT_VERSION, "network",
                                       pv_netid_format(op->copy.network, id))
                           : error_json("failed", result->error));
}

/* --- the secret ------------------------------------------------------------------------------ */

/* On disk first: a coordinator that is killed between the two knows the new one. */
static json_t *rotate_secret(struct pv_coordserver *s)
{
    char error[PV_COORDKEYS_ERROR_MAX];
    uint8_t secret[PV_CTL_SECRET_LEN];
    struct pv_rng rng = pv_entropy();
    if (pv_coordkeys_rotate(s->state, &rng, secret, error) < 0)
        return error_json("failed", error);
    pv_coord_set_secret(s->coord, secret);
    pv_wipe(secret, sizeof(secret));
    pv_log(s->log, PV_LOG_INFO,
           "the URL has a new secret; with the former one nobody makes networks any more");
    return json_pack("{s:i}", "version", PV_REPORT_VERSION);
}

/* --- settings -------------------------------------------------------------------------------- */

/* Takes "a, b, c" apart. The name of a static user may be no UTF-8, as the file may not be. */
static json_t *names_json(const char *names)
{
    json_t *list = json_array();
    char name[PV_COORDRELOAD_TEXT_MAX];
    while (*names != '\0') {
        const char *end = strstr(names, ", ");
        size_t len = end == NULL ? strlen(names) : (size_t)(end - names);
        pv_chat_harmless(pv_view(names, len), " ", name, sizeof(name));
        pv_jsonline_add(&list, json_string(name));
        names += len + (end == NULL ? 0 : 2);
    }
    return list;
}

static json_t *reload(struct pv_coordserver *s)
{
    char error[PV_COORDSERVER_ERROR_MAX], path[PATH_MAX];
    char text[PV_COORDSERVER_ERROR_MAX + 32];
    if (pv_server_reload(s, error) < 0) {
        snprintf(text, sizeof(text), "nothing is changed: %s", error);
        return error_json("settings", text);
    }
    return json_pack("{s:i, s:s, s:o, s:o}", "version", PV_REPORT_VERSION, "file",
                     pv_coordset_path(s->set, s->set->config, path), "changed",
                     names_json(s->reloaded->changed), "restart", names_json(s->reloaded->waiting));
}

/* --- drain ----------------------------------------------------------------------------------- */

/* A second one takes the place of the first, which waits for the same. */
static void drain(struct pv_coordserver *s, uint64_t client)
{
    struct pv_coord_stats stats;
    if (s->lease == NULL) {
        pv_ctlsock_answer(&s->ctl, client,
                          error_json("alone", "no other coordinator can take its networks, as its "
                                              "database is its own: [store] postgres is one that "
                                              "several share"));
        return;
    }
    if (s->keep.few == UINT64_MAX) {
        pv_ctlsock_answer(&s->ctl, client,
                          error_json("alone",
                                     "no other coordinator with this database takes networks: "
                                     "start one, or restart one that was drained, and then drain "
                                     "this one"));
        return;
    }
    pv_coord_stats(s->coord, &stats);
    s->drain_client = client;
    s->drain_from = stats.homes_given;
    pv_log(s->log, PV_LOG_INFO, "gives its networks to other coordinators networks=%llu",
           (unsigned long long)stats.networks);
    pv_coord_drain(s->coord, true);
    pv_leasekeep_hurry(&s->keep);
}

pv_ns pv_server_check_drain(struct pv_coordserver *s, pv_ns now)
{
    struct pv_coord_stats stats;
    if (s->drain_client != 0 && pv_coord_n_homes(s->coord) > 0 && s->keep.few == UINT64_MAX) {
        pv_ctlsock_answer(&s->ctl, s->drain_client,
                          error_json("alone",
                                     "no other coordinator takes networks any more: those that "
                                     "are left go as soon as one does, so start one"));
        s->drain_client = 0;
    }
    if (s->drain_client == 0 || pv_coord_n_homes(s->coord) > 0)
        return PV_NEVER;
    if (pv_coord_left_at(s->coord) > now)
        return pv_coord_left_at(s->coord);
    pv_coord_stats(s->coord, &stats);
    pv_ctlsock_answer(&s->ctl, s->drain_client,
                      json_pack("{s:i, s:I}", "version", PV_REPORT_VERSION, "given",
                                (json_int_t)(stats.homes_given - s->drain_from)));
    s->drain_client = 0;
    return PV_NEVER;
}

/* --- the socket ------------------------------------------------------------------------------ */

static void on_request(void *ctx, uint64_t id, const json_t *request, pv_ns now)
{
    struct pv_coordserver *s = ctx;
    const char *what = json_string_value(json_object_get(request, "do"));
    if (what != NULL && strcmp(what, "drop") == 0)
        drop(s, id, request, now);
    else if (what != NULL && strcmp(what, "networks") == 0)
        pv_ctlsock_answer(&s->ctl, id, networks_json(s, request, now));
    else if (what != NULL && strcmp(what, "secret") == 0)
        pv_ctlsock_answer(&s->ctl, id, rotate_secret(s));
    else if (what != NULL && strcmp(what, "drain") == 0)
        drain(s, id);
    else if (what != NULL && strcmp(what, "reload") == 0)
        pv_ctlsock_answer(&s->ctl, id, reload(s));
    else
        pv_ctlsock_answer(&s->ctl, id, error_json("bad_request", "unknown request"));
}

/* Without the socket everything else goes on. */
void pv_server_open_ctl(struct pv_coordserver *s)
{
    s->ctl.spare = &s->spare;
    s->ctl.request = on_request;
    s->ctl.ctx = s;
    int r = pv_ctlsock_open(&s->ctl, s->loop, s->state);
    if (r < 0)
        pv_log(
            s->log, PV_LOG_WARN,
            "`p2pvpn-coordinator networks`, `drop`, `secret`, `drain` and `reload` will not work: "
            "%.200s: %s",
            s->ctl.path,
            r == PV_ERR_NO_SPACE ? "the path is too long for a socket" : pv_strstatus(r));
}
