/* SPDX-License-Identifier: MIT */
/*
 * coordaddrs.h - where the coordinator may be: hosts as the network's record or a token writes
 * them, the places where it once said that it speaks TLS, and the addresses that both stand for.
 *
 * Names are looked up by jobs of the owner, which hands the results back. Numeric addresses are
 * there at once. Through an HTTP proxy only the proxy's name is looked up: it looks up the others.
 */
#pragma once

#include "daemon/core/coord/coordclient.h"
#include "daemon/core/node/node.h"
#include "proto/roster/statement.h"

enum {
    PV_COORDADDRS_MAX_HOSTS = 8, /* as many as a coordinators record has of one coordinator */
};

struct pv_coordaddrs {
    struct pv_hostport hosts[PV_COORDADDRS_MAX_HOSTS]; /* as written in the record or token */
    size_t n_hosts;
    struct pv_hostport tls_hosts[PV_CTL_ADDRS_MAX]; /* of the last welcome */
    size_t n_tls_hosts;
    /* plain ones first, guessed ones last */
    struct pv_coordclient_addr addrs[PV_COORDCLIENT_MAX_ADDRS];
    size_t n_addrs;
    bool guessing;
    uint32_t generation; /* of the hosts: what is looked up for former ones is not taken */
    size_t n_asking;     /* lookups of these hosts' names that are under way */
    bool owes_learnt;    /* tls_hosts are looked for once something is known of hosts */
    bool with_learnt;    /* tls_hosts are looked for, through a proxy too */
    bool proxy_unfound;  /* the proxy's name was looked up, and has no address */
};

/* The names of the hosts; addrs is empty until pv_coordaddrs_find(). */
void pv_coordaddrs_set_hosts(struct pv_coordaddrs *a, struct pv_view list);
/* Adds these hosts behind the present ones, as far as there is room. */
void pv_coordaddrs_add_hosts(struct pv_coordaddrs *a, struct pv_view list);
/* Looks for all of them anew: those known at once are in addrs; jobs bring the others, whose
 * results done hands to pv_coordaddrs_take(), and while some are under way nothing is asked again.
 * with_learnt: also where a coordinator said that it speaks TLS, as far as that is believed. Else,
 * where the hosts name no place with TLS, port 443 of each is guessed: a network may let nothing
 * else out. */
void pv_coordaddrs_find(struct pv_coordaddrs *a, struct pv_node *n, bool with_learnt,
                        pv_job_done *done, void *self);
/* Takes the result of a lookup. Returns false if its hosts are no longer looked up. */
PV_MUST_CHECK bool pv_coordaddrs_take(struct pv_coordaddrs *a, struct pv_node *n,
                                      const struct pv_jobwait *wait,
                                      const struct pv_job_result *result);
/* No address is known, and nobody is looking for one. */
bool pv_coordaddrs_are_unknown(const struct pv_coordaddrs *a);

/* "tls:HOST:PORT" and so on, one a line, as it was stored. */
void pv_coordaddrs_load_learnt(struct pv_coordaddrs *a, struct pv_view text);
enum {
    PV_COORDADDRS_TEXT = PV_CTL_ADDRS_MAX * (PV_HOSTPORT_BUF + 1),
};
/* The same text of what is known now; its length. */
size_t pv_coordaddrs_write_learnt(const struct pv_coordaddrs *a,
                                  char text[static PV_COORDADDRS_TEXT]);
/* Takes the places where the coordinator says that it speaks TLS. True: they are others than
 * before, and are to be stored. */
PV_MUST_CHECK bool pv_coordaddrs_learn(struct pv_coordaddrs *a, const struct pv_ctl_welcome *w);

/*
 * A coordinator may name any address, and a node sends STUN and TURN there: it must not be made to
 * speak to the services of its own machine or network. An address of a machine, link or private
 * network is believed only of a coordinator that is itself reached within such a one.
 */
bool pv_coordaddrs_is_believed(const struct pv_addr *coordinator, const struct pv_addr *addr);

/* Which of the places that a coordinator says of itself may come into a signed record, from where
 * every member would connect to them: none that is not believed. A name leads where its owner says,
 * so it stays. The texts are borrowed. */
struct pv_coordlist_more pv_coordaddrs_sift(const struct pv_addr *coordinator,
                                            const char *const *texts, size_t n, bool tls,
                                            const char *ret_kept[static PV_CTL_ADDRS_MAX]);
