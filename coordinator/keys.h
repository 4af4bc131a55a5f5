/* SPDX-License-Identifier: MIT */
/*
 * keys.h - the coordinator's long-lived secrets as files of the state directory: coordinator.key
 * (seed of its Ed25519 key pair) and create.key (the secret in its URL); one line of base64url
 * each, mode 0600, in a directory of mode 0700.
 *
 * Made at the first start, or by `url` before it.
 */
#pragma once

#include "base/pv.h"
#include "base/remedy.h"
#include "crypto/sign.h"
#include "proto/control/ctlmsg.h"

enum {
    PV_COORDKEYS_ERROR_MAX = 400, /* bytes of "what failed: why: what to do", with the NUL */
};

/* Lives in memory of pv_secret_alloc(). */
struct pv_coordkeys {
    uint8_t sk[PV_SIGN_SK_LEN];
    uint8_t pk[PV_SIGN_PK_LEN];
    uint8_t secret[PV_CTL_SECRET_LEN];
};

/* Ours: commands such as `url` hold the lock for the time of writing a file or two. */
#define PV_COORDKEYS_WAIT PV_S(2)

#define PV_COORDKEYS_FILE        "coordinator.key"
#define PV_COORDKEYS_SECRET_FILE "create.key"

/*
 * Makes the directory when it is missing and takes its lock, which is held until *ret_lock_fd is
 * closed: one coordinator a directory. Waits up to PV_COORDKEYS_WAIT for who has it. PV_ERR_EXISTS:
 * another one runs; -errno; ret_error.
 */
PV_MUST_CHECK int pv_coordkeys_lock(const char *dir, int *ret_lock_fd,
                                    char ret_error[static PV_COORDKEYS_ERROR_MAX]);
/* Reads the keys. PV_ERR_NOT_FOUND: one of them is missing; PV_ERR_MALFORMED: a file that is no
 * key; -errno; ret_error. */
PV_MUST_CHECK int pv_coordkeys_read(const char *dir, struct pv_coordkeys *ret_keys,
                                    char ret_error[static PV_COORDKEYS_ERROR_MAX]);
/* Reads the keys, making those that are missing; the caller holds the lock. As above. */
PV_MUST_CHECK int pv_coordkeys_make(const char *dir, const struct pv_rng *rng,
                                    struct pv_coordkeys *ret_keys,
                                    char ret_error[static PV_COORDKEYS_ERROR_MAX]);
/* Reads the keys; makes them, and sets *ret_made, where there are none and nobody else makes them
 * (up to PV_COORDKEYS_WAIT). As both above. */
PV_MUST_CHECK int pv_coordkeys_get(const char *dir, const struct pv_rng *rng,
                                   struct pv_coordkeys *ret_keys, bool *ret_made,
                                   char ret_error[static PV_COORDKEYS_ERROR_MAX]);
/* Makes a new secret and writes it in the place of the old one; whoever holds the old one cannot
 * create networks any more once the coordinator uses it. -errno; ret_error. */
PV_MUST_CHECK int pv_coordkeys_rotate(const char *dir, const struct pv_rng *rng,
                                      uint8_t ret_secret[static PV_CTL_SECRET_LEN],
                                      char ret_error[static PV_COORDKEYS_ERROR_MAX]);

/* Says why a file of the state directory cannot be written, and what to do about it; text is
 * pv_strstatus()'s. */
PV_MUST_CHECK struct pv_reason pv_coordkeys_unwritten(int status);

/* Is this what a file has in it whose key has len bytes? */
PV_MUST_CHECK bool pv_coordkeys_is_key(struct pv_view text, size_t len);
