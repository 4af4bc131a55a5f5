/* SPDX-License-Identifier: MIT */
/* These commands read the database, whether a coordinator runs here or not; changes are for the
 * coordinator that runs here. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/jsonread.h"
#include "base/text.h"
#include "coordinator/commands.h"
#include "coordinator/core/report.h"
#include "coordinator/ctlsock.h"
#include "coordinator/pgload.h"
#include "coordinator/rights.h"
#include "coordinator/settings/settings_limits.h"
#include "proto/local/harmless.h"
#include "sys/proc/clock.h"

/* Reads as the user that runs the coordinator: the files that conninfo names are its own. */
static int read_database(const struct pv_coordset *set, const struct pv_pgview *view, char *ret_why,
                         size_t cap)
{
    char error[PV_PG_ERROR_MAX] = "", rights_error[PV_RIGHTS_ERROR_MAX];
    char set_error[PV_COORDSET_ERROR_MAX];
    const struct pv_pgplugin *pg = NULL;
    struct pv_coordset as;
    struct pv_rights rights;
    int r = pv_coordset_reload(&as, set, set_error);
    if (r < 0) {
        snprintf(ret_why, cap, "%s", set_error);
        return r;
    }
    if (as.store.postgres[0] == '\0') {
        snprintf(ret_why, cap,
                 "no database is named in %.200s: a coordinator with a database of its own is the "
                 "home of all its networks",
                 as.config);
        return PV_ERR_STATE;
    }
    r = pv_pgload(&pg, error);
    if (r < 0) {
        snprintf(ret_why, cap, "%s", error);
        return r;
    }
    r = pv_rights_enter(&rights, &as, rights_error);
    if (r < 0) {
        snprintf(ret_why, cap, "%s", rights_error);
        return r;
    }
    r = pg->view_read(as.store.postgres, view, error);
    if (r < 0)
        snprintf(ret_why, cap, "%s", error[0] != '\0' ? error : pv_strstatus(r));
    return r;
}

/* --- homes ----------------------------------------------------------------------------------- */

struct listing {
    json_t *coordinators, *homes;
};

static void add_coordinator(void *ctx, const struct pv_pgview_coordinator *c)
{
    struct listing *l = ctx;
    json_array_append_new(l->coordinators,
                          json_pack("{s:s, s:s, s:b, s:b, s:I}", "name", c->name, "addresses",
                                    c->addrs, "living", c->living, "draining", c->draining, "homes",
                                    (json_int_t)c->homes));
}

static void add_home(void *ctx, const struct pv_pgview_home *h)
{
    struct listing *l = ctx;
    char id[PV_NETID_BUF];
    json_array_append_new(
        l->homes,
        json_pack("{s:s, s:o, s:b, s:b, s:I, s:s}", "network", pv_netid_format(h->network, id),
                  "home", h->name[0] == '\0' ? json_null() : json_string(h->name), "living",
                  h->living, "loaded", h->loaded, "since", (json_int_t)h->since_s, "why", h->why));
}

/* A home whose coordinator does not live has another as soon as a member knocks. */
static void print_homes(const struct listing *l)
{
    uint64_t wall = pv_clock_wall_us() / 1000000;
    PV_EACH_JSON(l->coordinators, o) {
        printf("%-40s %6lld homes%s\n", pv_json_text(o, "name", "-"),
               (long long)pv_json_int(o, "homes"),
               !pv_json_bool(o, "living")    ? "  away"
               : pv_json_bool(o, "draining") ? "  gives them away"
                                             : "");
    }
    printf("\n%-32s  %-8s  %-34s  %s\n", "NETWORK", "SINCE", "WHY", "HOME");
    PV_EACH_JSON(l->homes, o) {
        uint64_t since = (uint64_t)pv_json_int(o, "since");
        printf("%-32s  %-8s  %-34s  %s%s\n", pv_json_text(o, "network", "-"),
               PV_DURATION_STR(wall > since ? (double)(wall - since) : 0),
               pv_json_text(o, "why", "-"), pv_json_text(o, "home", "-"),
               pv_json_bool(o, "living") ? "" : " (away)");
    }
}

int pv_cluster_homes(struct pv_coordset *set)
{
    char why[PV_RIGHTS_ERROR_MAX];
    struct listing l = {json_array(), json_array()};
    const struct pv_pgview view = {.ctx = &l, .coordinator = add_coordinator, .home = add_home};
    int r = read_database(set, &view, why, sizeof(why));
    if (r < 0) {
        json_decref(l.coordinators);
        json_decref(l.homes);
        (void)pv_coord_print_error(why);
        return r == PV_ERR_STATE ? PV_COORDEXIT_USAGE : PV_COORDEXIT_FAILED;
    }
    if (!set->json) {
        /* Any coordinator of the database wrote these. */
        if (pv_harmless_json(l.coordinators) == PV_OK && pv_harmless_json(l.homes) == PV_OK)
            print_homes(&l);
        json_decref(l.coordinators);
        json_decref(l.homes);
        return PV_COORDEXIT_DONE;
    }
    return pv_coord_print_json(json_pack("{s:i, s:o, s:o}", "version", PV_REPORT_VERSION,
                                         "coordinators", l.coordinators, "homes", l.homes));
}

struct wanted {
    uint8_t network[PV_NETWORK_ID_LEN];
    struct pv_pgview_home home;
    bool found;
};

static void find_home(void *ctx, const struct pv_pgview_home *h)
{
    struct wanted *w = ctx;
    if (memcmp(h->network, w->network, sizeof(w->network)) != 0)
        return;
    w->home = *h;
    w->found = true;
}

void pv_cluster_home_of(const struct pv_coordset *set, const char *network, char *ret_text,
                        size_t cap)
{
    char why[PV_RIGHTS_ERROR_MAX];
    struct wanted w = {.found = false};
    const struct pv_pgview view = {.ctx = &w, .home = find_home};
    if (pv_netid_parse(network, w.network) == PV_OK &&
        read_database(set, &view, why, sizeof(why)) < 0)
        snprintf(ret_text, cap, "the database does not say which one is: %.300s", why);
    else if (!w.found)
        snprintf(ret_text, cap,
                 "it has no home: `p2pvpn-coordinator homes` lists the networks that have one");
    else if (w.home.living && w.home.loaded)
        snprintf(ret_text, cap, "its home is %s: type the same on that machine", w.home.name);
    else
        snprintf(ret_text, cap,
                 "none has it now, since none of its members is connected: once one is, "
                 "`p2pvpn-coordinator homes` says where to drop it");
}

/* --- copies ---------------------------------------------------------------------------------- */

bool pv_cluster_copies(const struct pv_coordset *set, json_t *list, char *ret_why, size_t cap)
{
    const struct pv_pgview view = {.ctx = list, .copies = pv_coord_set_copies};
    return read_database(set, &view, ret_why, cap) == PV_OK;
}

/* --- drain ----------------------------------------------------------------------------------- */

int pv_cluster_drain(const struct pv_coordset *set)
{
    json_t *doc = NULL;
    int status = 0;
    int code = pv_coord_ask(set, json_pack("{s:s}", "do", "drain"), &doc, &status);
    if (code != PV_COORDEXIT_DONE)
        return code;
    if (set->json)
        return pv_coord_print_json(doc);
    json_int_t n = pv_json_int(doc, "given");
    printf("%lld network%s given to other coordinators; none comes here until this one is "
           "restarted\n",
           (long long)n, n == 1 ? "" : "s");
    json_decref(doc);
    return PV_COORDEXIT_DONE;
}
