/* SPDX-License-Identifier: MIT */
/* unroot.c - makes a process of root's one of another user. */
#include "ctl/lib/unroot.h"

#include <grp.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/text.h"

enum {
    NOBODY = 65534, /* Debian Policy 9.2.2 */
};

/* The number in a variable that sudo(8) sets; NOBODY if it has none, or root's. */
static uint32_t sudo_id(const char *variable)
{
    uint64_t id;
    const char *text = getenv(variable);
    return text != NULL && pv_u64_parse(text, 1, UINT32_MAX - 1, &id) == PV_OK ? (uint32_t)id
                                                                               : NOBODY;
}

void pv_unroot(gid_t also)
{
    if (geteuid() != 0)
        return;
    const uid_t uid = sudo_id("SUDO_UID");
    const gid_t gid = uid == NOBODY ? NOBODY : sudo_id("SUDO_GID");
    (void)!(setgroups(also == 0 ? 0 : 1, &also) == 0 && setresgid(gid, gid, gid) == 0 &&
            setresuid(uid, uid, uid) == 0);
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}
