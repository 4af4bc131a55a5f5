/* SPDX-License-Identifier: MIT */
/*
 * hostkeys.c - the part that finds the host keys of this machine's sshd for its card (card.h, adr
 * 0126), and tells programs of this machine those of members.
 *
 * The keys are those in sshd's own files, unless root named others (`ssh announce`). The files are
 * read after a start, and again a minute later at the earliest, when something else wakes the
 * engine: an idle node wakes for nothing of this, and a login from a member wakes it.
 */
#include <string.h>

#include "daemon/core/member/card.h"
#include "daemon/core/node/node.h"
#include "daemon/core/node/part.h"
#include "daemon/core/node/saved.h"
#include "daemon/core/terms/sshlines.h"
#include "proto/local/ctlapi_pack.h"
#include "proto/local/ctlapi_request.h"

#define AGAIN PV_S(60) /* ours: between two looks */

static const char META[] = "hostkeys"; /* in the store: what root named */

enum given {
    GIVEN_NOTHING, /* the keys in sshd's files count */
    GIVEN_KEYS,    /* those that root named; the empty list: none is announced */
};

struct hostkeys {
    struct pv_node *node;
    enum given given;
    bool looking;           /* a job is under way */
    pv_ns look_at;          /* the files are read at the next turn after this */
    struct pv_sshkeys keys; /* to be announced */
    bool known;             /* keys is: the files were read, or root named them */
};

/* A value of the store starts with one byte, since an empty one means that nothing is there. */
static int restore(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct hostkeys *x = part;
    struct pv_view v = pv_saved_value(cfg->saved, META);
    if (v.len == 0 || v.ptr[0] != GIVEN_KEYS)
        return PV_OK;
    v = pv_view(v.ptr + 1, v.len - 1);
    if (pv_sshkeys_check(v, PV_SSHKEYS_HOST) != PV_OK)
        return PV_OK;
    x->given = GIVEN_KEYS;
    x->known = true;
    x->keys.len = v.len;
    if (v.len > 0)
        memcpy(x->keys.list, v.ptr, v.len);
    return PV_OK;
}

static bool put_given(struct hostkeys *x)
{
    uint8_t value[1 + PV_SSHKEYS_MAX] = {GIVEN_KEYS};
    memcpy(value + 1, x->keys.list, x->keys.len);
    return pv_node_put_meta(x->node, META,
                            pv_view(value, x->given == GIVEN_NOTHING ? 0 : 1 + x->keys.len));
}

/* --- finding ---------------------------------------------------------------------------------- */

static void answer_announced(struct hostkeys *x, uint64_t handle);

static void on_found(struct pv_jobwait *wait, struct pv_job_result *result, pv_ns now)
{
    struct hostkeys *x = wait->self;
    x->looking = false;
    if (result != NULL && result->status == PV_OK && x->given == GIVEN_NOTHING) {
        x->keys.len = 0;
        (void)pv_sshkeys_read(&x->keys, result->hostkeys);
        x->known = true;
    }
    if (wait->tag != 0)
        answer_announced(x, wait->tag);
}

/* handle: of the client that waits for it; 0: nobody does. */
static void look(struct hostkeys *x, uint64_t handle, pv_ns now)
{
    x->look_at = now + AGAIN;
    x->looking =
        pv_jobqueue_submit(&x->node->jobs, pv_job_new(PV_JOB_HOSTKEYS), on_found, x, handle);
    if (!x->looking && handle != 0)
        pv_ctlsrv_fail(x->node->ctl, handle, PV_CTLAPI_FAILED, "ssh_announce: out of memory");
}

/* Without a timeout of its own: see above. */
static void run(void *part, pv_ns now)
{
    struct hostkeys *x = part;
    const struct pv_node *n = x->node;
    if (!n->up || n->roster == NULL || pv_node_self(n) == NULL)
        return;
    if (x->given == GIVEN_NOTHING && !x->looking && now >= x->look_at)
        look(x, 0, now);
    if (x->known)
        pv_card_set_sshkeys(x->node, &x->keys, now);
}

static void free_hostkeys(void *part)
{
    struct hostkeys *x = part;
    pv_jobqueue_forget(&x->node->jobs, x, NULL);
}

/* --- commands --------------------------------------------------------------------------------- */

static void answer_announced(struct hostkeys *x, uint64_t handle)
{
    pv_ctlsrv_answer(x->node->ctl, handle,
                     pv_ctlapi_pack("{s:o, s:b}", "keys", pv_sshlines(pv_sshkeys_view(&x->keys)),
                                    "found", x->given == GIVEN_NOTHING));
}

static void do_announce(void *part, struct pv_ctlapi_request *req, struct pv_peer *p,
                        uint64_t handle, pv_ns now)
{
    struct hostkeys *x = part;
    struct pv_sshkeys keys = {.len = 0};
    if (req->text != NULL && strcmp(req->text, "none") != 0 &&
        (pv_sshkeys_read(&keys, pv_view(req->text, strlen(req->text))) > 0 || keys.len == 0)) {
        pv_ctlsrv_fail(x->node->ctl, handle, PV_CTLAPI_USAGE,
                       "ssh_announce: a line is no public host key: give lines of .pub files");
        return;
    }
    x->given = req->text == NULL ? GIVEN_NOTHING : GIVEN_KEYS;
    x->known = x->given == GIVEN_KEYS; /* those in the files are read again */
    if (x->known)
        x->keys = keys;
    if (!put_given(x))
        pv_ctlsrv_fail(x->node->ctl, handle, PV_CTLAPI_FAILED, "ssh_announce: out of memory");
    else if (x->given == GIVEN_KEYS)
        answer_announced(x, handle);
    else
        look(x, handle, now);
}

/* Names and addresses that a member has now, and no other way to name one: a key or a former name
 * is nothing that ssh connects to. */
static const struct pv_member *find_host(const struct pv_node *n, const char *host)
{
    char name[PV_NAME_BUF];
    struct pv_addr ip;
    if (pv_node_ip(host, &ip))
        return pv_roster_by_ip(n->roster, &ip);
    return pv_node_name(n, host, name) ? pv_roster_by_name(n->roster, name) : NULL;
}

/* Out of the roster alone: the coordinator and the other node may be away. */
static void do_known_hosts(void *part, struct pv_ctlapi_request *req, struct pv_peer *p,
                           uint64_t handle, pv_ns now)
{
    struct hostkeys *x = part;
    struct pv_node *n = x->node;
    const struct pv_member *m = find_host(n, req->peer);
    const struct pv_st_card *card = m == NULL ? NULL : pv_roster_card(n->roster, m->node);
    if (m == NULL) {
        pv_ctlsrv_fail(n->ctl, handle, PV_CTLAPI_UNKNOWN_PEER,
                       "ssh_known_hosts: no member has this name or address");
        return;
    }
    pv_ctlsrv_answer(n->ctl, handle,
                     pv_ctlapi_pack("{s:o, s:o, s:o}", "ip4", pv_ctlapi_ip(&m->ip4), "ip6",
                                    pv_ctlapi_ip(&m->ip6), "keys",
                                    pv_sshlines(card == NULL ? pv_view(NULL, 0) : card->hostkeys)));
}

static const struct pv_command_handler commands[] = {
    {PV_CTLAPI_SSH_ANNOUNCE, PV_NEEDS_NETWORK, do_announce},
    {PV_CTLAPI_SSH_KNOWN_HOSTS, PV_NEEDS_NETWORK, do_known_hosts},
};

const struct pv_part pv_part_hostkeys = {
    .name = "hostkeys",
    .size = PV_PART_SIZE(struct hostkeys),
    .restore = restore,
    .free = free_hostkeys,
    .run = run,
    .commands = commands,
    .n_commands = PV_ARRAY_LEN(commands),
};
