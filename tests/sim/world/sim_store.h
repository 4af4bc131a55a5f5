/* SPDX-License-Identifier: MIT */
/*
 * sim_store.h - a node's disk in the simulator: serves the daemon's store jobs from memory and
 * survives the node, so that a restart finds what was acknowledged and nothing else.
 *
 * Chat jobs are not served here: the owner passes them to a chat store of its choice.
 */
#pragma once

#include "daemon/core/engine.h"

struct sim_store; /* opaque */

PV_MUST_CHECK int sim_store_new(struct sim_store **ret_store);
struct sim_store *sim_store_free(struct sim_store *store);

/* Every store job fails with PV_ERR_NO_SPACE ("disk full") while this is on. */
void sim_store_set_full(struct sim_store *store, bool full);

/* Is it a job of the store (not of the resolver, the interface or chat)? */
bool sim_store_serves(const struct pv_job *job);
/* Does one store job and fills its result. rng: a root key is drawn from it. */
void sim_store_run(struct sim_store *store, const struct pv_job *job, const struct pv_rng *rng,
                   struct pv_job_result *ret_result);

/* The facts that a starting node loads. Valid until the next run(). */
const struct pv_saved *sim_store_load(struct sim_store *store);
/* The transport keys on the disk, as they were saved last; n 0: they never were. */
const struct pv_job_keys *sim_store_keys(const struct sim_store *store);
/* The file with them is lost, and an older one takes its place. */
void sim_store_forget_keys(struct sim_store *store);
/* Is there a root key? *ret_key: how to sign with it (the store is the keeper as well). */
bool sim_store_root(struct sim_store *store, struct pv_kept_key *ret_key);
/* Its PV_SIGN_SK_LEN bytes. */
const uint8_t *sim_store_root_sk(const struct sim_store *store);
/* store gets the root key that the other one has, or had: it was kept on paper. */
void sim_store_share_root(struct sim_store *store, const struct sim_store *other);
