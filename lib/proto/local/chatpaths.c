/* SPDX-License-Identifier: MIT */
/* chatpaths.c - puts another end to a path. */
#include "proto/local/chatpaths.h"

#include <stdio.h>
#include <string.h>

int pv_chatpath(const char *control, enum pv_chatpath which, char *ret_path, size_t cap)
{
    static const char sock[] = ".sock", run[] = "/run/p2pvpn/";
    const char *dir = "";
    size_t len = strlen(control);
    if (len > strlen(sock) && strcmp(control + len - strlen(sock), sock) == 0)
        len -= strlen(sock);
    if (which == PV_CHATPATH_UNIT) {
        if (strncmp(control, run, strlen(run)) != 0)
            return PV_ERR_NOT_FOUND;
        dir = "/run/p2pvpn-chat/";
        control += strlen(run);
        len -= strlen(run);
    }
    int n = snprintf(ret_path, cap, "%s%.*s%s", dir, (int)len, control,
                     which == PV_CHATPATH_NODE ? ".node" : ".chat");
    return n < 0 || (size_t)n >= cap ? PV_ERR_NO_SPACE : PV_OK;
}
