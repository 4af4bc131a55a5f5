/* SPDX-License-Identifier: MIT */
#include "sim_store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim_faults.h"

enum {
    MAX_META = 64,
    MAX_ENTRIES = 4096,
    MAX_ENDPOINTS = 1024,
};

struct meta {
    char name[PV_JOB_META_NAME];
    uint8_t *value;
    size_t len;
};

struct sim_store {
    bool full;
    bool has_network;
    uint8_t network_id[16];
    char network_name[PV_NAME_BUF];
    char node_name[PV_NAME_BUF];
    struct pv_stored_statement *statements; /* each view owns its bytes */
    size_t n_statements;
    struct pv_view entries[MAX_ENTRIES]; /* each owns its bytes */
    size_t n_entries;
    struct meta meta[MAX_META];
    size_t n_meta;
    struct pv_saved_endpoint endpoints[MAX_ENDPOINTS];
    size_t n_endpoints;
    bool has_root;
    struct pv_job_keys keys; /* n 0: the first one is still in use */
    uint8_t root_sk[PV_SIGN_SK_LEN];
    struct pv_saved saved;
    struct pv_saved_meta saved_meta[MAX_META];
};

int sim_store_new(struct sim_store **ret_store)
{
    struct sim_store *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return PV_ERR_NOMEM;
    *ret_store = s;
    return PV_OK;
}

/* Views are const by nature; these ones own what they show. */
static void free_view(struct pv_view *v)
{
    union {
        const uint8_t *shown;
        uint8_t *owned;
    } p = {.shown = v->ptr};
    free(p.owned);
    *v = pv_view(NULL, 0);
}

static struct pv_view copy_view(struct pv_view v)
{
    if (v.len == 0)
        return pv_view(NULL, 0);
    return pv_view(sim_copy(v.ptr, v.len), v.len);
}

static void cut_entries(struct sim_store *s, size_t n)
{
    while (s->n_entries > n)
        free_view(&s->entries[--s->n_entries]);
}

static void forget_network(struct sim_store *s)
{
    cut_entries(s, 0);
    for (size_t i = 0; i < s->n_statements; i++) {
        free_view(&s->statements[i].statement);
        free_view(&s->statements[i].receipt);
    }
    free(s->statements);
    s->statements = NULL;
    s->n_statements = 0;
    s->has_network = false;
}

struct sim_store *sim_store_free(struct sim_store *store)
{
    if (store == NULL)
        return NULL;
    forget_network(store);
    for (size_t i = 0; i < store->n_meta; i++)
        free(store->meta[i].value);
    free(store);
    return NULL;
}

void sim_store_set_full(struct sim_store *store, bool full)
{
    store->full = full;
}

bool sim_store_serves(const struct pv_job *job)
{
    switch (job->kind) {
    case PV_JOB_PUT_STATEMENTS:
    case PV_JOB_PUT_ENTRIES:
    case PV_JOB_SET_NETWORK:
    case PV_JOB_FORGET_NETWORK:
    case PV_JOB_SET_META:
    case PV_JOB_PUT_ENDPOINTS:
    case PV_JOB_KEEP_ROOT:
    case PV_JOB_SAVE_KEYS:
        return true;
    case PV_JOB_RESOLVE:
    case PV_JOB_IFACE_UP:
    case PV_JOB_IFACE_DOWN:
    case PV_JOB_NETPLAN:
    case PV_JOB_NAMES:
    case PV_JOB_NOTIFY:
    case PV_JOB_PORTMAP:
    case PV_JOB_HOSTKEYS:
    case PV_JOB_KINDS:
        break;
    }
    return false;
}

static void copy_mark(struct pv_stored_statement *to, const struct pv_stored_statement *from)
{
    to->has_mark = from->has_mark;
    memcpy(to->mark, from->mark, sizeof(to->mark));
}

static void put_one(struct sim_store *s, const struct pv_stored_statement *item)
{
    for (size_t i = 0; i < s->n_statements; i++) {
        if (!pv_view_equal(s->statements[i].statement, item->statement))
            continue;
        if (item->forget) {
            free_view(&s->statements[i].statement);
            free_view(&s->statements[i].receipt);
            s->n_statements--;
            memmove(s->statements + i, s->statements + i + 1,
                    (s->n_statements - i) * sizeof(*s->statements));
            return;
        }
        if (item->receipt.len > 0) {
            free_view(&s->statements[i].receipt);
            s->statements[i].receipt = copy_view(item->receipt);
        }
        if (item->receipt.len > 0 || s->statements[i].receipt.len == 0)
            copy_mark(&s->statements[i], item);
        return;
    }
    if (item->forget)
        return;
    struct pv_stored_statement *grown =
        sim_realloc(s->statements, (s->n_statements + 1) * sizeof(*grown));
    s->statements = grown;
    s->statements[s->n_statements].statement = copy_view(item->statement);
    s->statements[s->n_statements].receipt = copy_view(item->receipt);
    copy_mark(&s->statements[s->n_statements], item);
    s->n_statements++;
}

static int set_meta(struct sim_store *s, const struct pv_job_set_meta *job)
{
    struct meta *m = NULL;
    for (size_t i = 0; i < s->n_meta; i++) {
        if (strcmp(s->meta[i].name, job->name) == 0)
            m = &s->meta[i];
    }
    if (m == NULL) {
        if (s->n_meta == MAX_META)
            return PV_ERR_LIMIT;
        m = &s->meta[s->n_meta++];
        *m = (struct meta){0};
        memcpy(m->name, job->name, sizeof(m->name));
    }
    free(m->value);
    m->value = sim_copy(job->value, job->len);
    m->len = job->len;
    return PV_OK;
}

static int put_entries(struct sim_store *s, const struct pv_job_put_entries *put)
{
    struct pv_job_set_meta head = {.name = "log-head"};
    union {
        const uint8_t *shown;
        uint8_t *owned;
    } p = {.shown = put->head.ptr};
    if (put->first == 0 || put->first - 1 > s->n_entries || put->first + put->n > MAX_ENTRIES)
        abort();
    cut_entries(s, (size_t)put->first - 1);
    for (size_t i = 0; i < put->n; i++)
        s->entries[s->n_entries++] = copy_view(put->entries[i]);
    head.value = p.owned;
    head.len = put->head.len;
    return set_meta(s, &head);
}

static int put_endpoints(struct sim_store *s, const struct pv_job_put_endpoints *put)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->n_endpoints; i++) {
        if (memcmp(s->endpoints[i].node, put->node, sizeof(put->node)) != 0)
            s->endpoints[kept++] = s->endpoints[i];
    }
    s->n_endpoints = kept;
    for (size_t i = 0; i < put->n; i++) {
        if (s->n_endpoints == MAX_ENDPOINTS)
            return PV_ERR_LIMIT;
        struct pv_saved_endpoint *x = &s->endpoints[s->n_endpoints++];
        memcpy(x->node, put->node, sizeof(x->node));
        x->addr = put->addrs[i];
    }
    return PV_OK;
}

/* As the keeper does, of which no scenario here imports a key. */
static int keep_root(struct sim_store *s, const struct pv_job *job, const struct pv_rng *rng,
                     struct pv_job_result *ret_result)
{
    uint8_t seed[PV_SIGN_SEED_LEN], pk[PV_SIGN_PK_LEN];
    if (job->u.root.import || job->u.root.back)
        return PV_ERR_UNSUPPORTED;
    if (!s->has_root || job->u.root.anew) {
        pv_rng_fill(rng, seed, sizeof(seed));
        pv_sign_keypair(seed, s->root_sk, pk);
        s->has_root = true;
    }
    memcpy(ret_result->root_pk, s->root_sk + PV_SIGN_SEED_LEN, sizeof(ret_result->root_pk));
    return PV_OK;
}

static int run(struct sim_store *s, const struct pv_job *job, const struct pv_rng *rng,
               struct pv_job_result *ret_result)
{
    switch (job->kind) {
    case PV_JOB_PUT_STATEMENTS:
        for (size_t i = 0; i < job->u.put_statements.n; i++)
            put_one(s, &job->u.put_statements.items[i]);
        return PV_OK;
    case PV_JOB_PUT_ENTRIES:
        return put_entries(s, &job->u.put_entries);
    case PV_JOB_SET_NETWORK:
        s->has_network = true;
        memcpy(s->network_id, job->u.set_network.network_id, sizeof(s->network_id));
        memcpy(s->network_name, job->u.set_network.name, sizeof(s->network_name));
        memcpy(s->node_name, job->u.set_network.node_name, sizeof(s->node_name));
        return PV_OK;
    case PV_JOB_FORGET_NETWORK:
        forget_network(s);
        s->n_endpoints = 0;
        if (job->u.forget != PV_FORGET_NETWORK)
            s->keys.n = 0;
        if (job->u.forget == PV_FORGET_ROOT)
            s->has_root = false;
        return PV_OK;
    case PV_JOB_SET_META:
        return set_meta(s, &job->u.set_meta);
    case PV_JOB_PUT_ENDPOINTS:
        return put_endpoints(s, &job->u.put_endpoints);
    case PV_JOB_KEEP_ROOT:
        return keep_root(s, job, rng, ret_result);
    case PV_JOB_SAVE_KEYS:
        s->keys = job->u.keys;
        return PV_OK;
    case PV_JOB_RESOLVE:
    case PV_JOB_IFACE_UP:
    case PV_JOB_IFACE_DOWN:
    case PV_JOB_NETPLAN:
    case PV_JOB_NAMES:
    case PV_JOB_NOTIFY:
    case PV_JOB_PORTMAP:
    case PV_JOB_HOSTKEYS:
    case PV_JOB_KINDS:
        break;
    }
    return PV_ERR_UNSUPPORTED;
}

void sim_store_run(struct sim_store *store, const struct pv_job *job, const struct pv_rng *rng,
                   struct pv_job_result *ret_result)
{
    *ret_result = (struct pv_job_result){.id = job->id, .kind = job->kind};
    if (store->full || sim_fault(SIM_FAULT_STORE)) {
        ret_result->status = -ENOSPC; /* as daemon/store does */
        snprintf(ret_result->error, sizeof(ret_result->error), "store: disk full: free some space");
        return;
    }
    ret_result->status = run(store, job, rng, ret_result);
}

const struct pv_saved *sim_store_load(struct sim_store *s)
{
    for (size_t i = 0; i < s->n_meta; i++) {
        memcpy(s->saved_meta[i].name, s->meta[i].name, sizeof(s->meta[i].name));
        s->saved_meta[i].value = pv_view(s->meta[i].value, s->meta[i].len);
    }
    s->saved = (struct pv_saved){
        .has_network = s->has_network,
        .statements = s->statements,
        .n_statements = s->n_statements,
        .entries = s->entries,
        .n_entries = s->n_entries,
        .meta = s->saved_meta,
        .n_meta = s->n_meta,
        .endpoints = s->endpoints,
        .n_endpoints = s->n_endpoints,
    };
    memcpy(s->saved.network_id, s->network_id, sizeof(s->network_id));
    memcpy(s->saved.network_name, s->network_name, sizeof(s->network_name));
    memcpy(s->saved.node_name, s->node_name, sizeof(s->node_name));
    return &s->saved;
}

const struct pv_job_keys *sim_store_keys(const struct sim_store *store)
{
    return &store->keys;
}

void sim_store_forget_keys(struct sim_store *store)
{
    store->keys.n = 0;
}

static int sign(void *keeper, struct pv_view body, uint8_t ret_sig[static PV_SIGN_LEN])
{
    const struct sim_store *s = keeper;
    return s->has_root ? pv_statement_sign_as_root(body, s->root_sk, ret_sig) : PV_ERR_NOT_FOUND;
}

bool sim_store_root(struct sim_store *store, struct pv_kept_key *ret_key)
{
    *ret_key = (struct pv_kept_key){.sign = sign, .keeper = store};
    memcpy(ret_key->pk, store->root_sk + PV_SIGN_SEED_LEN, sizeof(ret_key->pk));
    return store->has_root;
}

const uint8_t *sim_store_root_sk(const struct sim_store *store)
{
    return store->root_sk;
}

void sim_store_share_root(struct sim_store *store, const struct sim_store *other)
{
    memcpy(store->root_sk, other->root_sk, sizeof(store->root_sk));
    store->has_root = true;
}
