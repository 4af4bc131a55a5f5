/* SPDX-License-Identifier: MIT */
/*
 * sshdkeys.h - reads the public host keys of this machine's sshd. Only the .pub files are opened,
 * so no private key is ever in this process.
 */
#pragma once

#include <stddef.h>

#include "base/pv.h"

/*
 * Reads the files that sshd's defaults name (sshd_config(5) HostKey) with ".pub" behind, below dir.
 * A file that is missing, that this process may not read, or that is longer than a key is left out.
 * *ret_text: their lines, at most PV_JOB_HOSTKEYS_MAX bytes, which the caller frees; nothing in it
 * is checked. PV_ERR_NOMEM. Any thread.
 */
PV_MUST_CHECK int pv_sshdkeys_read(const char *dir, char **ret_text, size_t *ret_len);
