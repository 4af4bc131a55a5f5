/* SPDX-License-Identifier: MIT */
/*
 * identity.h - this node's long-lived keys as files of the state directory: identity.key,
 * transport.key, root.key; one line of base64url each, mode 0600, and 0000 of root.key, which is
 * the keeper's alone (keeper.h). transport.key has a line for each further key that is answered,
 * with the Unix time at which it was replaced; 0: it is to come.
 *
 * Made at the first start. Any thread, one at a time for one directory.
 */
#pragma once

#include "base/pv.h"
#include "daemon/core/engine.h"

/*
 * Reads the keys below dir into ret_identity (memory of pv_secret_alloc()), making identity.key
 * and transport.key when they do not exist. transport_key: an X25519 secret from elsewhere to use
 * instead of those in transport.key, NULL = none. PV_ERR_MALFORMED: a file that is no key is never
 * overwritten. -errno. Then "what failed: why: what to do" is in ret_error.
 */
PV_MUST_CHECK int pv_identity_load(const char *dir, const uint8_t *transport_key,
                                   const struct pv_rng *rng, struct pv_identity *ret_identity,
                                   char ret_error[static PV_JOB_ERROR_MAX]);
/* The network's root seed. PV_ERR_NOT_FOUND, without a word; PV_ERR_MALFORMED, -errno; ret_error.
 */
PV_MUST_CHECK int pv_identity_read_root(const char *dir, uint8_t ret_seed[static PV_SIGN_SEED_LEN],
                                        char ret_error[static PV_JOB_ERROR_MAX]);
/* -errno; ret_error. */
PV_MUST_CHECK int pv_identity_save_root(const char *dir,
                                        const uint8_t seed[static PV_SIGN_SEED_LEN],
                                        char ret_error[static PV_JOB_ERROR_MAX]);
/* Gives the root key of this public half the name of one that is kept aside, or (back) takes that
 * from it. -errno; ret_error. */
PV_MUST_CHECK int pv_identity_root_aside(const char *dir, const uint8_t pk[static PV_SIGN_PK_LEN],
                                         bool back, char ret_error[static PV_JOB_ERROR_MAX]);
/* Replaces the transport keys by these, all at once. -errno; ret_error. */
PV_MUST_CHECK int pv_identity_save_transport(const char *dir, const struct pv_job_keys *keys,
                                             char ret_error[static PV_JOB_ERROR_MAX]);
/* Deletes the identity and the transport key. -errno; ret_error. */
PV_MUST_CHECK int pv_identity_forget(const char *dir, char ret_error[static PV_JOB_ERROR_MAX]);
PV_MUST_CHECK int pv_identity_forget_root(const char *dir, char ret_error[static PV_JOB_ERROR_MAX]);
