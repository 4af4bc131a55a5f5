/* SPDX-License-Identifier: MIT */
/* The proofs of connections, as work for the owner's threads: a queue of it, and the two ways to
 * work on one. A piece has copies, or owns, what it needs, so that its connection may end
 * meanwhile. */
#include <stdlib.h>
#include <string.h>

#include "coordinator/core/coord_int.h"

struct pv_coord_proof {
    struct pv_coord_proof *next; /* in the queue */
    uint64_t conn;
    struct pv_control *control;        /* owned: its handshake is due; NULL: it is about a hello */
    struct pv_ctl_hello hello;         /* of it only what its signature needs */
    uint8_t hash[PV_CONTROL_HASH_LEN]; /* that hello signed */
    int status;                        /* what came of it */
};

static void enqueue(struct pv_coord *c, struct pv_coord_proof *p)
{
    if (c->proofs_tail == NULL)
        c->proofs_head = p;
    else
        c->proofs_tail->next = p;
    c->proofs_tail = p;
    c->n_proofs++;
}

int pv_proofs_lend_handshake(struct pv_coord *c, struct pv_conn *s)
{
    struct pv_coord_proof *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return PV_ERR_NOMEM;
    p->conn = s->id;
    p->control = s->control;
    s->control = NULL;
    enqueue(c, p);
    return PV_OK;
}

int pv_proofs_lend_hello(struct pv_coord *c, struct pv_conn *s, struct pv_ctl_msg *msg)
{
    struct pv_coord_proof *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return PV_ERR_NOMEM;
    p->conn = s->id;
    memcpy(p->hello.node, msg->u.hello.node, sizeof(p->hello.node));
    memcpy(p->hello.sig, msg->u.hello.sig, sizeof(p->hello.sig));
    memcpy(p->hash, s->hash, sizeof(p->hash));
    s->held = msg;
    s->hello = PV_CONN_HELLO_LENT;
    enqueue(c, p);
    return PV_OK;
}

int pv_coord_poll_proof(struct pv_coord *c, struct pv_coord_proof **ret_proof)
{
    struct pv_coord_proof *p = c->proofs_head;
    if (p == NULL)
        return PV_ERR_AGAIN;
    c->proofs_head = p->next;
    if (p->next == NULL)
        c->proofs_tail = NULL;
    *ret_proof = p;
    return PV_OK;
}

void pv_coord_proof_run(struct pv_coord_proof *proof)
{
    proof->status = proof->control != NULL ? pv_control_handshake(proof->control)
                                           : pv_ctl_hello_verify(&proof->hello, proof->hash);
}

struct pv_coord_proof *pv_coord_proof_free(struct pv_coord_proof *proof)
{
    if (proof != NULL)
        pv_control_free(proof->control);
    free(proof);
    return NULL;
}

uint64_t pv_proofs_conn(const struct pv_coord_proof *proof)
{
    return proof->conn;
}

int pv_proofs_back(struct pv_coord *c, struct pv_conn *s, struct pv_coord_proof *proof)
{
    int r = proof->status;
    c->n_proofs--;
    if (s != NULL && proof->control != NULL) {
        s->control = proof->control;
        proof->control = NULL;
    } else if (s != NULL) {
        s->hello = r == PV_OK ? PV_CONN_HELLO_SIGNED : PV_CONN_HELLO_FORGED;
    }
    pv_coord_proof_free(proof);
    return r;
}

void pv_proofs_done(struct pv_coord *c)
{
    struct pv_coord_proof *p;
    while (pv_coord_poll_proof(c, &p) == PV_OK)
        pv_coord_proof_free(p);
}
