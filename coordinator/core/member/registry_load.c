/* SPDX-License-Identifier: MIT */
/* Takes in what the store has: all of it at a start, or one network. */
#include <string.h>

#include "coordinator/core/member/registry.h"

/* Notes our own receipts, also those that came back from members: after an old backup was restored
 * they tell of epochs and times that the store does not know, and that must not be used twice. */
static void note_receipt(struct pv_registry *reg, struct pv_cnet *net, struct pv_view receipt)
{
    struct pv_receipt r;
    if (receipt.len == 0 || pv_receipt_decode(receipt, &r) != PV_OK ||
        memcmp(r.coordinator, reg->sk + PV_SIGN_SEED_LEN, PV_SIGN_PK_LEN) != 0)
        return;
    if (r.epoch > reg->known_epoch)
        reg->known_epoch = r.epoch;
    if (net != NULL && r.time > net->last_time)
        net->last_time = r.time;
}

/* The row of a network's record comes first in the log, and carries the id that follows from it. */
static int load_net(struct pv_registry *reg, const struct pv_storerow *row, bool verified,
                    struct pv_cnet **ret_net)
{
    struct pv_cnet *net = NULL;
    int r = pv_cnet_new(&net, row->statement, verified, &reg->rng);
    if (r < 0)
        return r;
    r = memcmp(net->id, row->network, PV_NETWORK_ID_LEN) == 0 ? pv_registry_add(reg, net)
                                                              : PV_ERR_AUTH;
    if (r < 0)
        pv_cnet_free(net);
    else
        *ret_net = net;
    return r;
}

/* A row that is damaged or does not verify is left out with a line in the log: one bad row must not
 * keep a thousand nodes offline, and members bring back what is missing. */
int pv_registry_load(struct pv_registry *reg, struct pv_storerow *row)
{
    int r = PV_OK;
    const struct pv_cnet_row taken = {.at = {.epoch = row->epoch, .n = row->n},
                                      .statement = row->statement,
                                      .receipt = row->receipt,
                                      .foreign = row->foreign,
                                      .verified = pv_rowmark_is_good(reg->mark_key, row)};
    struct pv_cnet *net = pv_registry_find(reg, row->network);
    if (net == NULL)
        r = load_net(reg, row, taken.verified, &net);
    if (r == PV_OK)
        r = pv_cnet_take(net, &taken);
    /* A foreign receipt is only passed over when it is wrong, so it is asked about here. */
    if (r == PV_OK && !taken.verified &&
        (row->foreign.len == 0 || pv_cnet_receipt_is_good(net, row->statement, row->foreign)))
        pv_rowmark_set(reg->mark_key, row);
    if (r == PV_ERR_NOMEM)
        return r;
    if (r < 0)
        pv_log(reg->log, PV_LOG_WARN, "store row left out epoch=%llu n=%llu why=\"%s\"",
               (unsigned long long)row->epoch, (unsigned long long)row->n, pv_strstatus(r));
    if (row->epoch > reg->known_epoch)
        reg->known_epoch = row->epoch;
    note_receipt(reg, net, row->receipt);
    note_receipt(reg, net, row->foreign);
    return PV_OK;
}

/* The epoch is the time of this start, unless the clock is behind an epoch that was used: (epoch,
 * n) never stands for two statements. */
void pv_registry_start(struct pv_registry *reg, uint64_t wall)
{
    for (struct pv_cnet *net = reg->nets; net != NULL; net = net->hh.next) {
        int r;
        do {
            r = pv_unsettled_settle(&reg->unsettled, net, PV_UNSETTLED_START, reg->log);
            net->n_gone = 0; /* nobody is connected yet */
        } while (r == PV_ERR_NOMEM);
        if (r == PV_ERR_AGAIN)
            reg->retry_at = 0;
    }
    reg->epoch = wall > reg->known_epoch ? wall : reg->known_epoch + 1;
}
