/* SPDX-License-Identifier: MIT */
/* refusal.c - the coordinator's reasons in the user's words, with what to do about each. */
#include "daemon/core/member/refusal.h"

static const struct pv_refusal refusals[] = {
    {PV_CTL_E_UNKNOWN_INVITE, PV_CTLAPI_BAD_TOKEN, "the coordinator does not know this token",
     "ask for a new one"},
    {PV_CTL_E_UNKNOWN_NETWORK, PV_CTLAPI_BAD_TOKEN, "the coordinator does not know this token",
     "ask for a new one"},
    {PV_CTL_E_VERSION, PV_CTLAPI_REFUSED, "the coordinator is older than p2pvpn on this machine",
     "its operator has to upgrade p2pvpn-coordinator"},
    {PV_CTL_E_INVITE_REVOKED, PV_CTLAPI_BAD_TOKEN, "the token was revoked", "ask for a new one"},
    {PV_CTL_E_INVITE_EXPIRED, PV_CTLAPI_BAD_TOKEN, "the token has expired", "ask for a new one"},
    {PV_CTL_E_INVITE_USED, PV_CTLAPI_BAD_TOKEN, "the token is used up", "ask for a new one"},
    {PV_CTL_E_REVOKED, PV_CTLAPI_REFUSED, "this machine was removed from the network",
     "`sudo p2pvpnctl leave --forget` makes a new identity; then ask for a new token"},
    {PV_CTL_E_NOT_ALLOWED, PV_CTLAPI_REFUSED, "the coordinator's secret is missing or wrong",
     "copy the URL whole, in quotes. On the coordinator `sudo p2pvpn-coordinator url` prints it"},
    {PV_CTL_E_FULL, PV_CTLAPI_FAILED, "the network or the coordinator is full",
     "an admin's `sudo p2pvpnctl remove NAME` of a machine that is gone makes room in the network; "
     "the coordinator's operator sets [limits] in coordinator.conf"},
    {PV_CTL_E_TAKEN, PV_CTLAPI_FAILED, "the name is taken",
     "choose another with --name, and not the network's name. If its machine is gone, an admin "
     "frees "
     "the name: `sudo p2pvpnctl remove NAME`"},
};

const struct pv_refusal *pv_refusal_find(enum pv_ctl_error error)
{
    for (size_t i = 0; i < PV_ARRAY_LEN(refusals); i++) {
        if (refusals[i].error == error)
            return &refusals[i];
    }
    return NULL;
}
