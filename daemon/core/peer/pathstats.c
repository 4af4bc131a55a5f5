/* SPDX-License-Identifier: MIT */
/* Numbers of the searches for paths, by method, result and the NATs of both sides: the words of the
 * labels, the class of a NAT, and the metrics. */
#include "daemon/core/peer/pathstats.h"

/* --- words ----------------------------------------------------------------------------------- */

const char *pv_natclass_name(enum pv_natclass c)
{
    static const char *const names[PV_NATCLASSES] = {
        [PV_NATCLASS_UNKNOWN] = "unknown", [PV_NATCLASS_OPEN] = "open",
        [PV_NATCLASS_SOME] = "nat",        [PV_NATCLASS_CONE] = "cone",
        [PV_NATCLASS_BLOCK] = "block",     [PV_NATCLASS_SEQUENTIAL] = "sequential",
        [PV_NATCLASS_RANDOM] = "random",   [PV_NATCLASS_SYMMETRIC] = "symmetric",
    };
    return names[c];
}

static const char *method_name(enum pv_hardnat_method method)
{
    static const char *const names[PV_PATH_METHODS] = {
        [PV_HARDNAT_NONE] = "checks",
        [PV_HARDNAT_FAN] = "predicted",
        [PV_HARDNAT_RENDEZVOUS] = "rendezvous",
        [PV_HARDNAT_BLOCK] = "block",
        [PV_HARDNAT_MEET] = "meet",
        [PV_HARDNAT_BIRTHDAY] = "birthday",
        [PV_HARDNAT_FRESH] = "fresh",
    };
    return names[method];
}

static const char *result_name(enum pv_path_result result)
{
    static const char *const names[PV_PATH_RESULTS] = {
        [PV_PATH_DIRECT] = "direct",
        [PV_PATH_RELAYED] = "relayed",
        [PV_PATH_FAILED] = "failed",
    };
    return names[result];
}

static const char *end_name(enum pv_path_end end)
{
    static const char *const names[PV_PATH_ENDS] = {
        [PV_PATH_END_HOST] = "host",
        [PV_PATH_END_SRFLX] = "srflx",
        [PV_PATH_END_PRFLX] = "prflx",
        [PV_PATH_END_PORTMAP] = "portmap",
        [PV_PATH_END_REMEMBERED] = "remembered",
    };
    return names[end];
}

/* IPv4 only, as hard NATs are. That a NAT is symmetric is known by measuring only, so it comes
 * before anything that candidates say. */
enum pv_natclass pv_natclass(const struct pv_desc_nat *nat, const struct pv_ice_cand *cands,
                             size_t n)
{
    static const enum pv_natclass varies[] = {
        [PV_DESC_PORTS_UNKNOWN] = PV_NATCLASS_SYMMETRIC,
        [PV_DESC_PORTS_SEQUENTIAL] = PV_NATCLASS_SEQUENTIAL,
        [PV_DESC_PORTS_BLOCK] = PV_NATCLASS_BLOCK,
        [PV_DESC_PORTS_RANDOM] = PV_NATCLASS_RANDOM,
    };
    bool mapped = false;
    if (nat != NULL && nat->mapping == PV_DESC_MAPPING_VARIES)
        return varies[nat->ports];
    for (size_t i = 0; i < n; i++) {
        if (cands[i].addr.family != PV_AF_INET)
            continue;
        if (cands[i].type == PV_ICE_HOST && !pv_addr_is_private(&cands[i].addr))
            return PV_NATCLASS_OPEN;
        mapped = mapped || cands[i].type == PV_ICE_SRFLX;
    }
    if (nat != NULL && nat->mapping == PV_DESC_MAPPING_SAME)
        return PV_NATCLASS_CONE;
    return mapped ? PV_NATCLASS_SOME : PV_NATCLASS_UNKNOWN;
}

/* --- numbers --------------------------------------------------------------------------------- */

void pv_pathstats_init(struct pv_pathstats *s)
{
    /* Seconds. A path in a LAN takes a round trip, one through two hard NATs some seconds. */
    static const double bounds[] = {0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60};
    _Static_assert(PV_ARRAY_LEN(bounds) <= PV_HISTOGRAM_MAX, "they fit");
    *s = (struct pv_pathstats){.to_direct = {.bounds = bounds, .n_bounds = PV_ARRAY_LEN(bounds)}};
}

static void put_attempts(const struct pv_pathstats *s, enum pv_hardnat_method method,
                         struct pv_metrics *m)
{
    for (unsigned result = 0; result < PV_PATH_RESULTS; result++) {
        for (unsigned own = 0; own < PV_NATCLASSES; own++) {
            for (unsigned theirs = 0; theirs < PV_NATCLASSES; theirs++) {
                uint64_t n = s->attempts[method][result][own][theirs];
                if (n == 0) /* there are a thousand, and few ever happen */
                    continue;
                pv_metrics_count(m, n, "method", method_name(method), "result",
                                 result_name((enum pv_path_result)result), "nat",
                                 pv_natclass_name((enum pv_natclass)own), "peer_nat",
                                 pv_natclass_name((enum pv_natclass)theirs), NULL);
            }
        }
    }
}

void pv_pathstats_metrics(const struct pv_pathstats *s, struct pv_metrics *m)
{
    pv_metrics_family(m, PV_METRICS_COUNTER, "p2pvpn_path_attempts_total",
                      "Attempts to reach members directly, by method, what came of them, and the "
                      "NATs of both sides.");
    for (unsigned method = 0; method < PV_PATH_METHODS; method++)
        put_attempts(s, (enum pv_hardnat_method)method, m);
    pv_metrics_family(m, PV_METRICS_COUNTER, "p2pvpn_direct_paths_total",
                      "Searches that ended at a direct path, by the kind of address at both ends.");
    for (unsigned own = 0; own < PV_PATH_ENDS; own++) {
        for (unsigned theirs = 0; theirs < PV_PATH_ENDS; theirs++) {
            if (s->direct[own][theirs] != 0)
                pv_metrics_count(m, s->direct[own][theirs], "local",
                                 end_name((enum pv_path_end)own), "remote",
                                 end_name((enum pv_path_end)theirs), NULL);
        }
    }
    pv_metrics_one(m, PV_METRICS_COUNTER, "p2pvpn_relayed_paths_total",
                   "Paths to members that began to lead through a relay.", s->relayed);
    pv_metrics_family(m, PV_METRICS_HISTOGRAM, "p2pvpn_time_to_direct_seconds",
                      "From the beginning of an attempt to reach a member to its direct path.");
    pv_metrics_histogram(m, &s->to_direct);
    pv_metrics_family(m, PV_METRICS_COUNTER, "p2pvpn_relay_seconds_total",
                      "Time that paths led through relays, all members together.");
    pv_metrics_real(m, (double)s->relay_time / 1e9, NULL);
    pv_metrics_one(m, PV_METRICS_COUNTER, "p2pvpn_handshakes_total",
                   "Handshakes that gave session keys.", s->handshakes);
    pv_metrics_one(m, PV_METRICS_COUNTER, "p2pvpn_handshakes_failed_total",
                   "Handshakes given up after 90 s without an answer.", s->handshakes_failed);
}

void pv_pathpairs_metrics(const struct pv_pathpairs *pairs, struct pv_metrics *m)
{
    pv_metrics_family(m, PV_METRICS_GAUGE, "p2pvpn_pairs",
                      "Members that this node talked to since it started, by the NATs of both "
                      "sides; direct: whether they had a direct path at any time.");
    for (unsigned own = 0; own < PV_NATCLASSES; own++) {
        for (unsigned theirs = 0; theirs < PV_NATCLASSES; theirs++) {
            const uint32_t talked = pairs->talked[own][theirs];
            const uint32_t direct = pairs->direct[own][theirs];
            const char *nat = pv_natclass_name((enum pv_natclass)own);
            const char *peer_nat = pv_natclass_name((enum pv_natclass)theirs);
            if (talked == 0)
                continue;
            pv_metrics_count(m, direct, "direct", "yes", "nat", nat, "peer_nat", peer_nat, NULL);
            pv_metrics_count(m, talked - direct, "direct", "no", "nat", nat, "peer_nat", peer_nat,
                             NULL);
        }
    }
}
