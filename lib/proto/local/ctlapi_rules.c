/* SPDX-License-Identifier: MIT */
/*
 * ctlapi_rules.c - builders for what the control socket says about rules and tags.
 */
#include "proto/local/ctlapi.h"
#include "proto/local/ctlapi_pack.h"

json_t *pv_ctlapi_rules_new(bool allow_default, uint64_t default_denied, const char *firewall,
                            uint64_t firewall_denied)
{
    return pv_ctlapi_pack("{s:i, s:[], s:s, s:I, s:o, s:I, s:[]}", "version", PV_CTLAPI_FORMAT,
                          "rules", "default", allow_default ? "allow" : "deny", "default_denied",
                          (json_int_t)default_denied, "firewall",
                          firewall == NULL ? json_null() : json_string(firewall), "firewall_denied",
                          (json_int_t)firewall_denied, "tags");
}

int pv_ctlapi_rules_add(json_t *rules, const struct pv_ctlapi_rule *rule)
{
    return pv_ctlapi_append(rules, "rules",
                            pv_ctlapi_pack("{s:i, s:s, s:s, s:s, s:s, s:o, s:I}", "number",
                                           (int)rule->number, "verdict",
                                           rule->allow ? "allow" : "deny", "from", rule->from, "to",
                                           rule->to, "ports", rule->ports, "by",
                                           rule->by == NULL ? json_null() : json_string(rule->by),
                                           "denied", (json_int_t)rule->denied));
}

int pv_ctlapi_rules_add_tag(json_t *rules, const char *peer, const char *tag)
{
    return pv_ctlapi_append(rules, "tags", pv_ctlapi_pack("{s:s, s:s}", "peer", peer, "tag", tag));
}

json_t *pv_ctlapi_can_json(bool allowed, unsigned rule, const char *from, const char *to,
                           const char *port, const char *why)
{
    return pv_ctlapi_pack("{s:b, s:o, s:s, s:s, s:s, s:s}", "allowed", allowed, "rule",
                          rule == 0 ? json_null() : json_integer(rule), "from", from, "to", to,
                          "port", port, "why", why);
}
