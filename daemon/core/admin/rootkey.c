/* SPDX-License-Identifier: MIT */
/* rootkey.c - who signs: the root key, of which the keeper has the secret, or this node. */
#include "daemon/core/admin/rootkey.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/member/membership.h"
#include "daemon/core/node/statuspage.h"
#include "daemon/core/peer/peers.h"
#include "proto/local/ctlapi_pack.h"
#include "proto/local/ctlapi_request.h"
#include "proto/roster/roster_make.h"

bool pv_rootkey_is_here(const struct pv_node *n)
{
    return n->roster != NULL && n->identity->has_root &&
           memcmp(n->identity->root.pk, pv_roster_root(n->roster), PV_SIGN_PK_LEN) == 0;
}

struct pv_signer pv_rootkey_signer(const struct pv_node *n)
{
    return pv_rootkey_is_here(n) ? pv_signer_kept(&n->identity->root) : pv_node_signer(n);
}

int pv_rootkey_grant(struct pv_node *n, const uint8_t pk[static PV_SIGN_PK_LEN], pv_ns now)
{
    struct pv_st_admin admin = {.rights = PV_RIGHT_INVITE | PV_RIGHT_REVOKE,
                                .time = pv_node_wall_s(n, now)};
    struct pv_made made;

    memcpy(admin.node, pk, sizeof(admin.node));
    int r = pv_rootkey_is_here(n) ? PV_OK : PV_ERR_NOT_FOUND;
    /* A grant that has ended stays so: within the same second it would be made anew as it was. */
    for (bool known = r == PV_OK; known; admin.time++) {
        uint8_t hash[PV_STATEMENT_HASH_LEN];
        r = pv_make_admin(pv_roster_network_id(n->roster), pv_rootkey_signer(n), &admin, &made);
        if (r == PV_OK)
            pv_statement_hash(pv_made_view(&made), hash);
        known = r == PV_OK && pv_roster_find(n->roster, hash) != NULL;
    }
    return r == PV_OK ? pv_membership_say(n, pv_made_view(&made), now) : r;
}

/* --- the part -------------------------------------------------------------------------------- */

/* The part makes admins of those who joined by an invite of root's, as soon as this node hears of
 * them; it says where the root key is, for export, and has the keeper take one, sealed with a key
 * that the client made of a passphrase. The passphrase never passes the control socket. */

struct rootkey {
    struct pv_node *node;
    const char *file; /* borrowed: of the root key */
    bool pending;     /* somebody may be due */
    bool saving;      /* an imported key is being written */
    uint64_t handle;  /* of the client that waits for it, and may be gone */
};

static int start(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct rootkey *k = part;
    k->file = cfg->root_file;
    return PV_OK;
}

/* --- admins by invite ------------------------------------------------------------------------- */

/* Only once: whose rights have ended is not made an admin again by the same token. An invite that
 * let in more than it allows makes none, for nobody knows whom it was meant for. */
static bool is_due(const struct pv_node *n, const struct pv_member *m)
{
    struct pv_roster_invite inv;
    return !pv_roster_was_admin(n->roster, m->node) &&
           pv_roster_invite(n->roster, m->admitted_by, &inv) == PV_OK && !inv.revoked &&
           inv.used <= inv.uses &&
           memcmp(inv.signer, pv_roster_root(n->roster), sizeof(inv.signer)) == 0;
}

static void run_rootkey(void *part, pv_ns now)
{
    struct rootkey *k = part;
    struct pv_node *n = k->node;
    if (!k->pending)
        return;
    k->pending = false;
    if (!pv_rootkey_is_here(n))
        return;
    for (const struct pv_member *m = pv_roster_next(n->roster, NULL), *next; m != NULL; m = next) {
        /* Taken first, since a grant changes the roster. */
        next = pv_roster_next(n->roster, m);
        if (!is_due(n, m))
            continue;
        int r = pv_rootkey_grant(n, m->node, now);
        pv_log(n->log, r == PV_OK ? PV_LOG_INFO : PV_LOG_WARN,
               "peer=%s what=\"%s\" why=\"it joined by an invite for admins%s%s\"", m->name,
               r == PV_OK ? "made an admin" : "not made an admin", r == PV_OK ? "" : ": ",
               r == PV_OK ? "" : pv_strstatus(r));
    }
}

/* A newcomer costs one look; all members are gone through only when somebody is due, or when this
 * node may have slept while they came. */
static void on_peer(void *part, struct pv_peer *p, unsigned facts, pv_ns now)
{
    struct rootkey *k = part;
    const struct pv_node *n = k->node;
    if ((facts & PV_PEER_FACT_MEMBER) == 0 || !n->identity->has_root || n->roster == NULL)
        return;
    const struct pv_member *m = pv_roster_by_node(n->roster, pv_peer_pk(p));
    k->pending = k->pending || (m != NULL && is_due(n, m));
}

static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct rootkey *k = part;
    k->pending = k->pending || (facts & (PV_FACT_NETWORK | PV_FACT_ONLINE)) != 0;
}

/* --- export and import ------------------------------------------------------------------------ */

static void answer_error(struct rootkey *k, uint64_t handle, enum pv_ctlapi_code code,
                         const char *text)
{
    pv_ctlsrv_fail(k->node->ctl, handle, code, text);
}

/* Its file is for root alone, and p2pvpnctl seals what is in it: whoever has taken this process
 * over could have the key sealed for himself. A key that is left over from another network may be
 * the only one, too. */
static void run_root_export(void *part, struct pv_ctlapi_request *req, struct pv_peer *p,
                            uint64_t handle, pv_ns now)
{
    struct rootkey *k = part;
    struct pv_node *n = k->node;
    if (!n->identity->has_root) {
        answer_error(k, handle, PV_CTLAPI_REFUSED,
                     "root export: there is no root key on this machine: use the one that ran "
                     "`create`, or where it was imported");
        return;
    }
    pv_ctlsrv_answer(
        n->ctl, handle,
        pv_ctlapi_pack("{s:s?, s:s, s:o}", "network",
                       pv_rootkey_is_here(n) ? pv_roster_network(n->roster)->name : NULL, "file",
                       k->file, "key", pv_ctlapi_key(n->identity->root.pk)));
}

/* Each of these has another remedy. A wrong passphrase has the exit code of a wrong token, so that
 * scripts may ask for it again. */
static void fail_import(struct rootkey *k, const struct pv_job_result *result)
{
    const char *network = pv_roster_network(k->node->roster)->name;
    char text[PV_CTLAPI_ERROR_BUF];
    const int status = result->status;
    if (status == PV_ERR_AUTH)
        snprintf(text, sizeof(text),
                 "root import: the passphrase is not the one it was exported with: try again");
    else if (status == PV_ERR_REFUSED)
        snprintf(text, sizeof(text),
                 "root import: that is the root key of another network than %s: import it on a "
                 "node of that one",
                 network);
    else if (status == PV_ERR_EXISTS)
        snprintf(text, sizeof(text),
                 "root import: the root key of another network is on this machine: keep it by "
                 "`p2pvpnctl root export`, delete %.200s, restart p2pvpnd, try again",
                 k->file);
    else
        snprintf(text, sizeof(text), "root import: %s", result->error);
    answer_error(k, k->handle,
                 status == PV_ERR_AUTH      ? PV_CTLAPI_BAD_TOKEN
                 : status == PV_ERR_REFUSED ? PV_CTLAPI_REFUSED
                 : status == PV_ERR_EXISTS  ? PV_CTLAPI_REFUSED
                                            : PV_CTLAPI_FAILED,
                 text);
}

/* The key is here and on disk: this node acts as an admin from now on. */
static void imported(struct rootkey *k, uint64_t handle, pv_ns now)
{
    struct pv_node *n = k->node;
    int r = PV_OK;
    bool granted =
        pv_roster_rights(n->roster, n->identity->sign_pk) != (PV_RIGHT_INVITE | PV_RIGHT_REVOKE);
    if (granted)
        r = pv_rootkey_grant(n, n->identity->sign_pk, now);
    k->pending = true; /* those who joined by an invite of root's while it was nowhere */
    if (r == PV_OK)
        pv_ctlsrv_answer(n->ctl, handle,
                         pv_ctlapi_pack("{s:s, s:b}", "network", pv_roster_network(n->roster)->name,
                                        "granted", granted));
    else
        answer_error(k, handle, PV_CTLAPI_FAILED,
                     "root import: the key is here, but this node could not be made an admin: "
                     "run it again");
}

/* Key and box of the request. */
static bool take_request(const struct pv_ctlapi_request *req, struct pv_job_root *ret_root)
{
    size_t len = 0;
    return pv_key_parse(req->secret, ret_root->key) == PV_OK &&
           pv_b64url_decode(req->text, strlen(req->text), ret_root->box, sizeof(ret_root->box),
                            &len) == PV_OK &&
           len == sizeof(ret_root->box);
}

/* Only what is on disk counts: a key that were gone after the next crash would be no safe place for
 * it. */
static void on_job(struct pv_jobwait *wait, struct pv_job_result *result, pv_ns now)
{
    struct rootkey *k = wait->self;
    struct pv_node *n = k->node;
    k->saving = false;
    if (result->status == PV_OK) {
        memcpy(n->identity->root.pk, result->root_pk, sizeof(result->root_pk));
        n->identity->has_root = true;
    }
    /* The network may have been left while the disk was slow; the key stays as that of create
     * does. */
    if (n->roster == NULL)
        answer_error(k, k->handle, PV_CTLAPI_NOT_JOINED,
                     "root import: this machine left the network meanwhile");
    else if (result->status != PV_OK)
        fail_import(k, result);
    else
        imported(k, k->handle, now);
}

/* The keeper opens the box. A key that is here already is not written again; the node becomes an
 * admin all the same, as its rights may have ended since. */
static void run_root_import(void *part, struct pv_ctlapi_request *req, struct pv_peer *p,
                            uint64_t handle, pv_ns now)
{
    struct rootkey *k = part;
    struct pv_node *n = k->node;
    if (k->saving) {
        answer_error(k, handle, PV_CTLAPI_FAILED, "root import: another one is under way: wait");
        return;
    }
    struct pv_job *job = pv_job_new(PV_JOB_KEEP_ROOT);
    if (job != NULL && !take_request(req, &job->u.root)) {
        pv_job_free(job);
        answer_error(k, handle, PV_CTLAPI_USAGE,
                     "root import: \"key\" is no key, or \"box\" no box: use p2pvpnctl");
        return;
    }
    if (job != NULL) {
        job->u.root.import = true;
        memcpy(job->u.root.pk, pv_roster_root(n->roster), sizeof(job->u.root.pk));
    }
    k->saving = pv_jobqueue_submit(&n->jobs, job, on_job, k, 0);
    k->handle = handle;
    if (!k->saving)
        answer_error(k, handle, PV_CTLAPI_FAILED, "root import: out of memory");
}

static void show(void *part, struct pv_statuspage *st, pv_ns now)
{
    const struct rootkey *k = part;
    st->s.root_key = pv_rootkey_is_here(k->node);
}

static const struct pv_command_handler commands[] = {
    {PV_CTLAPI_ROOT_EXPORT, PV_NEEDS_NOTHING, run_root_export},
    {PV_CTLAPI_ROOT_IMPORT, PV_NEEDS_NETWORK, run_root_import},
};

const struct pv_part pv_part_rootkey = {
    .name = "rootkey",
    .size = PV_PART_SIZE(struct rootkey),
    .start = start,
    .on_facts = on_facts,
    .on_peer = on_peer,
    .run = run_rootkey,
    .commands = commands,
    .n_commands = PV_ARRAY_LEN(commands),
    .status = show,
};
