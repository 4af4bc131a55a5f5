/* SPDX-License-Identifier: MIT */
/* The relay's configuration, put together from settings, password files and the addresses of this
 * machine. */
#include "coordinator/relaycfg.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "crypto/ct.h"
#include "sys/file/file.h"
#include "sys/net/netlink.h"

enum {
    RELAYS_MAX = 4096,  /* relay sockets (turns.h), and no more than half of all descriptors */
    PASSWORD_MAX = 256, /* ours: characters, below what the core takes (turns.c) */
};

/* In guarded memory, for the passwords. */
struct pv_relaycfg {
    struct pv_turns_config cfg;
    struct pv_coordset_user names[PV_TURNS_USERS_MAX];
    char passwords[PV_TURNS_USERS_MAX][PASSWORD_MAX + 1];
    struct pv_turns_user users[PV_TURNS_USERS_MAX];
    struct pv_addr own[PV_TURNS_OWN_MAX];
};

/* The password is the first line of the file, without its end, which editors add. The error names
 * the user and the file, never the contents. */
static int read_password(const struct pv_coordset_user *user, char *password,
                         char error[static PV_COORDKEYS_ERROR_MAX])
{
    char *text = NULL;
    size_t len = 0;
    const char *why = NULL;
    int r = pv_file_read(user->password_file, PASSWORD_MAX + 2, &text, &len);
    if (r < 0) {
        why = r == PV_ERR_NOT_FOUND ? "no such file"
              : r == PV_ERR_LIMIT   ? "longer than 256 characters, or not a regular file"
                                    : pv_strstatus(r);
    } else {
        size_t n = strcspn(text, "\r\n");
        if (n == 0 || n > PASSWORD_MAX)
            why = "its first line has to be a password of 1 to 256 characters";
        else
            memcpy(password, text, n);
    }
    pv_file_free(text, len);
    if (why == NULL)
        return PV_OK;
    snprintf(error, PV_COORDKEYS_ERROR_MAX, "[turn-user %s] password-file %s: %s", user->name,
             user->password_file, why);
    return PV_ERR_MALFORMED;
}

/* Collects the addresses that lead to this machine: the relay refuses them as peers
 * (turnpeer.h). */
static void add_own(struct pv_relaycfg *c, const struct pv_addr *a)
{
    for (size_t i = 0; i < c->cfg.n_own; i++) {
        if (pv_addr_equal_ip(&c->own[i], a))
            return;
    }
    if (c->cfg.n_own < PV_TURNS_OWN_MAX && !pv_addr_is_unspecified(a))
        c->own[c->cfg.n_own++] = *a;
}

static size_t family_of(const struct pv_addr *a)
{
    return a->family == PV_AF_INET6 ? 1 : 0;
}

/* The first address of a family stands. */
static void set_first(struct pv_addr slots[static 2], const struct pv_addr *a)
{
    struct pv_addr *slot = &slots[family_of(a)];
    if (slot->family != PV_AF_NONE)
        return;
    *slot = *a;
    slot->port = 0;
}

/* The public addresses that clients are told, names left out: the first of a family, unless it is
 * private and another is not. A coordinator at home has both, and phones come from outside. */
static void take_public(const struct pv_coordset *set, struct pv_addr slots[static 2])
{
    for (size_t i = 0; i < set->n_public; i++) {
        struct pv_addr a;
        if (pv_addr_parse_ip(set->public[i].host, &a) < 0)
            continue;
        struct pv_addr *slot = &slots[family_of(&a)];
        if (slot->family == PV_AF_NONE || (pv_addr_is_private(slot) && !pv_addr_is_private(&a)))
            *slot = a;
    }
}

static void take_address(void *ctx, const struct pv_net_addr *found)
{
    struct pv_relaycfg *c = ctx;
    const struct pv_addr *a = &found->addr.base;
    add_own(c, a);
    if (found->up && !found->tunnel && !found->container && !pv_addr_is_loopback(a) &&
        !pv_addr_is_link_local(a))
        set_first(c->cfg.relay_other, a);
}

/* Relay sockets are bound to a listening address that is a real one, and clients are told that or,
 * behind a 1:1 NAT, --public; else both follow from the client's or the machine's addresses. */
static void take_addresses(struct pv_relaycfg *c, const struct pv_coordset *set)
{
    for (size_t i = 0; i < set->n_listen; i++) {
        add_own(c, &set->listen[i]);
        if (!pv_addr_is_unspecified(&set->listen[i]))
            set_first(c->cfg.relay_bind, &set->listen[i]);
    }
    for (size_t i = 0; i < set->n_public; i++) {
        struct pv_addr a;
        if (pv_addr_parse_ip(set->public[i].host, &a) == PV_OK)
            add_own(c, &a);
    }
    for (size_t i = 0; i < set->n_alt; i++)
        add_own(c, &set->alt[i]);
    (void)!pv_net_each_addr(false, take_address, c);
}

/* The relay gets half of the descriptors at most, as connections need some too. */
static uint32_t most_relays(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_max / 2 > RELAYS_MAX)
        return RELAYS_MAX;
    return (uint32_t)(files.rlim_max / 2) + 1;
}

/* Everything that the core is told to copy lies in this block, in guarded memory, and is gone when
 * the core has been made. */
int pv_relaycfg_new(struct pv_relaycfg **ret_cfg, const struct pv_coordset *set,
                    char ret_error[static PV_COORDKEYS_ERROR_MAX])
{
    struct pv_relaycfg *c = pv_secret_alloc(sizeof(*c));
    if (c == NULL) {
        snprintf(ret_error, PV_COORDKEYS_ERROR_MAX, "out of memory");
        return PV_ERR_NOMEM;
    }
    const struct pv_coordset_relay *r = &set->relay;
    memset(c, 0, sizeof(*c));
    c->cfg = (struct pv_turns_config){
        .enabled = !r->off,
        .users = c->users,
        .n_users = r->n_users,
        .own = c->own,
        .limits = {.relays = most_relays()},
    };
    pv_relaycfg_policy(set, &c->cfg.policy);
    for (size_t i = 0; i < r->n_users; i++) {
        c->names[i] = r->users[i];
        c->users[i] = (struct pv_turns_user){.name = c->names[i].name, .password = c->passwords[i]};
        int e = read_password(&r->users[i], c->passwords[i], ret_error);
        if (e < 0) {
            pv_relaycfg_free(c);
            return e;
        }
    }
    take_addresses(c, set);
    *ret_cfg = c;
    return PV_OK;
}

void pv_relaycfg_policy(const struct pv_coordset *set, struct pv_turns_policy *ret_policy)
{
    const struct pv_coordset_relay *r = &set->relay;
    *ret_policy = (struct pv_turns_policy){.per_user = r->per_user,
                                           .bandwidth = r->bandwidth,
                                           .port_lo = r->port_lo,
                                           .port_hi = r->port_hi,
                                           .n_allow = r->n_allow,
                                           .n_nets = set->limits.n,
                                           .phone_ports = r->phone_ports,
                                           .phone_ports_per_net = r->phone_ports_per_net};
    _Static_assert(sizeof(ret_policy->allow) == sizeof(r->allow), "all of them fit");
    memcpy(ret_policy->allow, r->allow, sizeof(ret_policy->allow));
    _Static_assert(sizeof(ret_policy->nets) == sizeof(set->limits.relay), "all of them fit");
    memcpy(ret_policy->nets, set->limits.relay, sizeof(ret_policy->nets));
    take_public(set, ret_policy->relay_public);
}

const struct pv_turns_config *pv_relaycfg_get(const struct pv_relaycfg *cfg)
{
    return &cfg->cfg;
}

struct pv_relaycfg *pv_relaycfg_free(struct pv_relaycfg *cfg)
{
    pv_secret_free(cfg);
    return NULL;
}
