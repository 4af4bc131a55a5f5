/* SPDX-License-Identifier: MIT */
/* New settings beside the old ones: read as a whole, compared, and what was opened or fixed at the
 * start taken back. */
#include "coordinator/reload.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "coordinator/cert.h"
#include "coordinator/settings/settings_limits.h"

/* A list that is full ends with dots. */
void pv_coordreload_name(char list[static PV_COORDRELOAD_TEXT_MAX], const char *name)
{
    static const char more[] = ", ...";
    size_t used = strlen(list), len = strlen(name);
    for (const char *at = strstr(list, name); at != NULL; at = strstr(at + 1, name)) {
        if ((at == list || at[-1] == ' ') && (at[len] == '\0' || at[len] == ','))
            return;
    }
    if (used + len + 2 + sizeof(more) <= PV_COORDRELOAD_TEXT_MAX)
        snprintf(list + used, PV_COORDRELOAD_TEXT_MAX - used, "%s%s", used == 0 ? "" : ", ", name);
    else if (used < sizeof(more) || strcmp(list + used + 1 - sizeof(more), more) != 0)
        snprintf(list + used, PV_COORDRELOAD_TEXT_MAX - used, "%s", more);
}

static bool same_addrs(const struct pv_addr *a, size_t n, const struct pv_addr *b, size_t m)
{
    for (size_t i = 0; n == m && i < n; i++) {
        if (!pv_addr_equal(&a[i], &b[i]))
            return false;
    }
    return n == m;
}

static bool same_public(const struct pv_coordset *a, const struct pv_coordset *b)
{
    for (size_t i = 0; a->n_public == b->n_public && i < a->n_public; i++) {
        if (a->public[i].port != b->public[i].port ||
            strcmp(a->public[i].host, b->public[i].host) != 0)
            return false;
    }
    return a->n_public == b->n_public;
}

static bool same_allow(const struct pv_coordset_relay *a, const struct pv_coordset_relay *b)
{
    for (size_t i = 0; a->n_allow == b->n_allow && i < a->n_allow; i++) {
        if (a->allow[i].bits != b->allow[i].bits ||
            !pv_addr_equal_ip(&a->allow[i].base, &b->allow[i].base))
            return false;
    }
    return a->n_allow == b->n_allow;
}

/* --- what waits ------------------------------------------------------------------------------ */

/* NULL: none of this name. */
static const struct pv_coordset_user *user_named(const struct pv_coordset_relay *r,
                                                 const char *name)
{
    for (size_t i = 0; i < r->n_users; i++) {
        if (strcmp(r->users[i].name, name) == 0)
            return &r->users[i];
    }
    return NULL;
}

/* Names the users of a that b has not, or not so. */
static void name_users(const struct pv_coordset_relay *a, const struct pv_coordset_relay *b,
                       char *waiting)
{
    for (size_t i = 0; i < a->n_users; i++) {
        const struct pv_coordset_user *u = &a->users[i], *other = user_named(b, u->name);
        if (other == NULL || strcmp(u->password_file, other->password_file) != 0)
            pv_coordreload_name(waiting, PV_STR("[turn-user %s]", u->name));
    }
}

/* Sockets, and passwords and certificates in other places than before, were opened with rights that
 * are gone. */
static void name_waiting(const struct pv_coordset *now, const struct pv_coordset *old,
                         char *waiting)
{
    if (!same_addrs(now->listen, now->n_listen, old->listen, old->n_listen))
        pv_coordreload_name(waiting, "listen");
    if (!same_addrs(now->alt, now->n_alt, old->alt, old->n_alt))
        pv_coordreload_name(waiting, "alt-address");
    if (!same_addrs(now->tls_listen, now->n_tls_listen, old->tls_listen, old->n_tls_listen))
        pv_coordreload_name(waiting, "tls-listen");
    if (strcmp(now->tls_cert, old->tls_cert) != 0)
        pv_coordreload_name(waiting, "tls-cert");
    if (strcmp(now->tls_key, old->tls_key) != 0)
        pv_coordreload_name(waiting, "tls-key");
    if (now->relay.off != old->relay.off)
        pv_coordreload_name(waiting, "[relay] enabled");
    /* Tables of these sizes were made at the start. */
    pv_coordset_limits_compare(&now->limits.general, &old->limits.general, pv_coordreload_name,
                               waiting);
    name_users(&now->relay, &old->relay, waiting);
    name_users(&old->relay, &now->relay, waiting);
    if (strcmp(now->store.postgres, old->store.postgres) != 0)
        pv_coordreload_name(waiting, "[store] postgres");
    if (!pv_addr_equal(&now->metrics.listen, &old->metrics.listen))
        pv_coordreload_name(waiting, "[metrics] listen");
    if (now->metrics.remote != old->metrics.remote)
        pv_coordreload_name(waiting, "[metrics] allow-remote");
}

static void keep_old(struct pv_coordset *now, const struct pv_coordset *old)
{
    memcpy(now->listen, old->listen, sizeof(now->listen));
    now->n_listen = old->n_listen;
    memcpy(now->alt, old->alt, sizeof(now->alt));
    now->n_alt = old->n_alt;
    memcpy(now->tls_listen, old->tls_listen, sizeof(now->tls_listen));
    now->n_tls_listen = old->n_tls_listen;
    memcpy(now->tls_cert, old->tls_cert, sizeof(now->tls_cert));
    memcpy(now->tls_key, old->tls_key, sizeof(now->tls_key));
    now->relay.off = old->relay.off;
    now->limits.general = old->limits.general;
    memcpy(now->relay.users, old->relay.users, sizeof(now->relay.users));
    now->relay.n_users = old->relay.n_users;
    now->metrics = old->metrics;
    now->store = old->store;
    memcpy(now->state, old->state, sizeof(now->state)); /* as the running program reaches it */
}

/* --- what has changed ------------------------------------------------------------------------ */

/* Names the networks of a about which b says something else, or nothing. */
static void name_networks(const struct pv_coordset_limits *a, const struct pv_coordset_limits *b,
                          char *changed)
{
    char id[PV_NETID_BUF];
    for (size_t i = 0; i < a->n; i++) {
        size_t k = 0;
        while (k < b->n && memcmp(a->nets[i].id, b->nets[k].id, sizeof(a->nets[i].id)) != 0)
            k++;
        if (k == b->n || !pv_coordset_limits_same(a, i, b, k))
            pv_coordreload_name(changed,
                                PV_STR("[network %s]", pv_netid_format(a->nets[i].id, id)));
    }
}

/* A running coordinator takes these over; the rest is named by name_waiting(). */
static void name_changed(const struct pv_coordset *now, const struct pv_coordset *old,
                         char *changed)
{
    const struct pv_coordset_relay *r = &now->relay, *q = &old->relay;
    const struct pv_netlimits *l = &now->limits.all, *m = &old->limits.all;
    if (!same_public(now, old))
        pv_coordreload_name(changed, "public");
    if (now->switches.open != old->switches.open)
        pv_coordreload_name(changed, "open");
    if (r->port_lo != q->port_lo || r->port_hi != q->port_hi)
        pv_coordreload_name(changed, "[relay] ports");
    if (r->per_user != q->per_user)
        pv_coordreload_name(changed, "[relay] allocations-per-user");
    if (r->phone_ports != q->phone_ports)
        pv_coordreload_name(changed, "[relay] phone-ports");
    if (r->phone_ports_per_net != q->phone_ports_per_net)
        pv_coordreload_name(changed, "[relay] phone-ports-per-network");
    if (r->bandwidth != q->bandwidth)
        pv_coordreload_name(changed, "[relay] bandwidth");
    if (!same_allow(r, q))
        pv_coordreload_name(changed, "[relay] allow-peer");
    if (l->members != m->members)
        pv_coordreload_name(changed, "[limits] members");
    if (l->statements != m->statements)
        pv_coordreload_name(changed, "[limits] statements");
    if (l->stored != m->stored)
        pv_coordreload_name(changed, "[limits] stored");
    name_networks(&now->limits, &old->limits, changed);
    name_networks(&old->limits, &now->limits, changed);
}

void pv_coordtold_make(const struct pv_coordset *set, struct pv_coordtold *ret_told)
{
    pv_coordurl_public(set, &ret_told->stun);
    pv_coordurl_tls(set, &ret_told->tls);
    ret_told->net_limits = (struct pv_netlimits_table){
        .all = set->limits.all, .nets = set->limits.nets, .n = set->limits.n};
    ret_told->policy = (struct pv_coord_policy){.switches = set->switches,
                                                .stun = ret_told->stun.texts,
                                                .n_stun = ret_told->stun.n,
                                                .net_limits = &ret_told->net_limits};
}

/* The next start would end with it. That there is none is seen where the rights that are left do
 * not suffice to read it.
 */
static int check_there(const char *key, const char *path, char error[static PV_COORDSET_ERROR_MAX])
{
    if (access(path, F_OK) == 0 || (errno != ENOENT && errno != ENOTDIR))
        return PV_OK;
    snprintf(error, PV_COORDSET_ERROR_MAX, "%s %.200s: no such file", key, path);
    return PV_ERR_MALFORMED;
}

/* The contents are read by the next start. */
static int check_passwords(const struct pv_coordset *set, char error[static PV_COORDSET_ERROR_MAX])
{
    char path[PATH_MAX];
    int r = PV_OK;
    for (size_t i = 0; i < set->relay.n_users && r == PV_OK; i++) {
        const struct pv_coordset_user *u = &set->relay.users[i];
        r = check_there(PV_STR("[turn-user %s] password-file", u->name),
                        pv_coordset_path(set, u->password_file, path), error);
    }
    return r;
}

static bool can_read(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* A certificate in the place of before is read by the reload itself. */
static int check_certificate(const struct pv_coordset *now, const struct pv_coordset *old,
                             char error[static PV_COORDSET_ERROR_MAX])
{
    char why[PV_COORDCERT_ERROR_MAX];
    if (now->tls_cert[0] == '\0' ||
        (strcmp(now->tls_cert, old->tls_cert) == 0 && strcmp(now->tls_key, old->tls_key) == 0))
        return PV_OK;
    int r = check_there("tls-cert", now->tls_cert, error);
    if (r == PV_OK)
        r = check_there("tls-key", now->tls_key, error);
    if (r != PV_OK || !can_read(now->tls_cert) || !can_read(now->tls_key))
        return r;
    if (pv_coordcert_check(now, why) == PV_OK)
        return PV_OK;
    snprintf(error, PV_COORDSET_ERROR_MAX, "%s", why);
    return PV_ERR_MALFORMED;
}

int pv_coordreload_read(struct pv_coordreload *ret_reload, const struct pv_coordset *old,
                        char ret_error[static PV_COORDSET_ERROR_MAX])
{
    struct pv_coordset *now = &ret_reload->set;
    ret_reload->changed[0] = ret_reload->waiting[0] = '\0';
    int r = pv_coordset_reload(now, old, ret_error);
    if (r == PV_OK)
        r = check_passwords(now, ret_error);
    if (r == PV_OK)
        r = check_certificate(now, old, ret_error);
    if (r < 0)
        return r;
    name_waiting(now, old, ret_reload->waiting);
    name_changed(now, old, ret_reload->changed);
    keep_old(now, old);
    pv_coordtold_make(now, &ret_reload->told);
    return PV_OK;
}
