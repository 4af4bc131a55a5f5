/* SPDX-License-Identifier: MIT */
/*
 * logins.c - the part that announces the keys which users of this machine log in elsewhere with, on
 * its card (card.h), and tells this machine's sshd which keys of members open an account (adr
 * 0134).
 *
 * A key opens an account while its member has it on its card and a rule in force names the account.
 * Which accounts sshd asks about at all is root's to say, in sshd's own configuration.
 */
#include <string.h>

#include "daemon/core/member/card.h"
#include "daemon/core/member/rules.h"
#include "daemon/core/node/node.h"
#include "daemon/core/node/part.h"
#include "daemon/core/node/saved.h"
#include "daemon/core/terms/sshlines.h"
#include "proto/local/ctlapi_pack.h"
#include "proto/local/ctlapi_request.h"

static const char META[] = "loginkeys"; /* in the store: the list */

enum {
    ANSWER_MAX = 256, /* ours: members that one answer names; more announced the very same key */
};

struct logins {
    struct pv_node *node;
    struct pv_sshkeys keys; /* to be announced */
};

static int start(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct logins *x = part;
    x->keys.use = PV_SSHKEYS_LOGIN;
    return PV_OK;
}

static int restore(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct logins *x = part;
    const struct pv_view v = pv_saved_value(cfg->saved, META);
    if (v.len == 0 || pv_sshkeys_check(v, PV_SSHKEYS_LOGIN) != PV_OK)
        return PV_OK;
    x->keys.len = v.len;
    memcpy(x->keys.list, v.ptr, v.len);
    return PV_OK;
}

/* Another network need not know them. */
static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct logins *x = part;
    if ((facts & PV_FACT_NETWORK) != 0 && x->node->roster == NULL)
        x->keys.len = 0;
}

static void run(void *part, pv_ns now)
{
    struct logins *x = part;
    const struct pv_node *n = x->node;
    if (n->up && n->roster != NULL && pv_node_self(n) != NULL)
        pv_card_set_sshkeys(x->node, &x->keys, now);
}

/* --- what this machine announces -------------------------------------------------------------- */

static void answer(struct logins *x, uint64_t handle)
{
    pv_ctlsrv_answer(x->node->ctl, handle,
                     pv_ctlapi_pack("{s:o}", "keys", pv_sshlines(pv_sshkeys_view(&x->keys))));
}

static void do_keys(void *part, struct pv_ctlapi_request *req, struct pv_peer *p, uint64_t handle,
                    pv_ns now)
{
    answer(part, handle);
}

/* Takes the new list, which is stored before the client hears of it. */
static void take(struct logins *x, const struct pv_sshkeys *keys, const char *what, uint64_t handle)
{
    if (!pv_node_put_meta(x->node, META, pv_sshkeys_view(keys))) {
        pv_ctlsrv_failf(x->node->ctl, handle, PV_CTLAPI_FAILED, "%s: out of memory", what);
        return;
    }
    x->keys = *keys;
    answer(x, handle);
}

static void do_add(void *part, struct pv_ctlapi_request *req, struct pv_peer *p, uint64_t handle,
                   pv_ns now)
{
    struct logins *x = part;
    struct pv_sshkeys keys = x->keys;
    keys.full = false;
    const size_t bad = pv_sshkeys_read(&keys, pv_view(req->text, strlen(req->text)));
    if (keys.full)
        pv_ctlsrv_fail(x->node->ctl, handle, PV_CTLAPI_FAILED,
                       "ssh_keys_add: there is no room for all of these keys: remove some first");
    else if (bad > 0 || keys.len == 0)
        pv_ctlsrv_fail(x->node->ctl, handle, PV_CTLAPI_USAGE,
                       "ssh_keys_add: a line is no public key: give lines of .pub files");
    else
        take(x, &keys, "ssh_keys_add", handle);
}

static void do_remove(void *part, struct pv_ctlapi_request *req, struct pv_peer *p, uint64_t handle,
                      pv_ns now)
{
    struct logins *x = part;
    struct pv_sshkeys keys = x->keys, gone = {.use = PV_SSHKEYS_LOGIN};
    struct pv_view list, key;
    if (strcmp(req->text, "all") == 0) {
        keys.len = 0;
    } else if (pv_sshkeys_read(&gone, pv_view(req->text, strlen(req->text))) > 0 || gone.len == 0) {
        pv_ctlsrv_fail(x->node->ctl, handle, PV_CTLAPI_USAGE,
                       "ssh_keys_remove: a line is no public key: give lines of .pub files");
        return;
    }
    list = pv_sshkeys_view(&gone);
    while (pv_sshkeys_next(&list, &key))
        (void)pv_sshkeys_remove(&keys, key);
    take(x, &keys, "ssh_keys_remove", handle);
}

/* --- what this machine's sshd is told --------------------------------------------------------- */

/* The key of this member that sshd asks about. */
static bool find_key(const struct pv_node *n, const struct pv_member *m, const uint8_t *hash,
                     struct pv_view *ret_key)
{
    const struct pv_st_card *card = pv_roster_card(n->roster, m->node);
    struct pv_view list = card == NULL ? pv_view(NULL, 0) : card->loginkeys;
    while (pv_sshkeys_next(&list, ret_key))
        if (pv_sshkey_has_hash(*ret_key, hash))
            return true;
    return false;
}

/* A rule is about two machines: what this one announces opens nothing here. */
static bool may_log_in(const struct pv_node *n, const struct pv_member *m, const char *account)
{
    const struct pv_policy *policy = pv_rules_policy(n);
    const uint8_t *self = n->identity->sign_pk;
    return policy != NULL && pv_rules_are_known(n) && memcmp(m->node, self, PV_SIGN_PK_LEN) != 0 &&
           pv_policy_login(policy, m->node, self, account).allow;
}

/* Out of the roster alone: the coordinator and the member may be away. The rules are asked of the
 * few members with this key, not of all. */
static void do_authorized(void *part, struct pv_ctlapi_request *req, struct pv_peer *p,
                          uint64_t handle, pv_ns now)
{
    struct logins *x = part;
    const struct pv_node *n = x->node;
    json_t *out = pv_ctlapi_list("members");
    uint8_t hash[PV_SHA256_LEN];
    const bool asked = pv_sshkey_read_print(req->text, hash) == PV_OK && pv_node_self(n) != NULL;
    size_t count = 0;
    for (const struct pv_member *m = asked ? pv_roster_next(n->roster, NULL) : NULL;
         m != NULL && count < ANSWER_MAX; m = pv_roster_next(n->roster, m)) {
        struct pv_view key;
        if (!find_key(n, m, hash, &key) || !may_log_in(n, m, req->peer))
            continue;
        count++;
        pv_ctlapi_put(&out, "members",
                      pv_ctlapi_pack("{s:o, s:o, s:s}", "ip4", pv_ctlapi_ip(&m->ip4), "ip6",
                                     pv_ctlapi_ip(&m->ip6), "key", PV_SSHKEY_STR(key)));
    }
    pv_ctlsrv_answer(n->ctl, handle, out);
}

static const struct pv_command_handler commands[] = {
    {PV_CTLAPI_SSH_KEYS, PV_NEEDS_NETWORK, do_keys},
    {PV_CTLAPI_SSH_KEYS_ADD, PV_NEEDS_NETWORK, do_add},
    {PV_CTLAPI_SSH_KEYS_REMOVE, PV_NEEDS_NETWORK, do_remove},
    {PV_CTLAPI_SSH_AUTHORIZED_KEYS, PV_NEEDS_NETWORK, do_authorized},
};

const struct pv_part pv_part_logins = {
    .name = "logins",
    .size = PV_PART_SIZE(struct logins),
    .start = start,
    .restore = restore,
    .on_facts = on_facts,
    .run = run,
    .commands = commands,
    .n_commands = PV_ARRAY_LEN(commands),
};
