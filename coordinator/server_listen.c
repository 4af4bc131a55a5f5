/* SPDX-License-Identifier: MIT */
/* The sockets that the coordinator listens on: TCP for nodes, TLS and TURN, and UDP of the same
 * ports for the relay's thread. Each failure becomes a sentence that says what to do. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "coordinator/server_int.h"
#include "sys/net/stream.h"
#include "sys/net/udp.h"

enum {
    PORT_TRIES = 16, /* ours: ports tried when the kernel may choose */
};

/* Opens a UDP and a TCP socket of one port. When the kernel may choose, a port that is free in one
 * protocol may be taken in the other. */
static int open_pair(const struct pv_addr *addr, struct pv_addr *ret_bound, int *ret_udp,
                     int *ret_tcp)
{
    static const struct pv_udp_opts opts = {0};
    int r = PV_ERR_EXISTS;
    for (int i = 0; r == PV_ERR_EXISTS && i < (addr->port == 0 ? PORT_TRIES : 1); i++) {
        *ret_bound = *addr;
        int udp = -1;
        r = pv_udp_open(addr, &opts, &udp);
        if (r == PV_OK)
            r = pv_udp_local(udp, ret_bound);
        if (r == PV_OK)
            r = pv_stream_listen(ret_bound, NULL, ret_tcp);
        if (r < 0 && udp >= 0)
            close(udp);
        if (r == PV_OK)
            *ret_udp = udp;
    }
    return r;
}

/* Why an address cannot be listened on, and what to do about it; option is the flag or key that
 * named it. */
void pv_server_explain_listen(const struct pv_addr *addr, const char *option, int r,
                              char ret_error[static PV_COORDSERVER_ERROR_MAX])
{
    char text[PV_ADDR_TEXT];
    pv_addr_format(addr, text);
    if (r == PV_ERR_EXISTS)
        snprintf(ret_error, PV_COORDSERVER_ERROR_MAX,
                 "listen on %s: the address is in use: stop the program that has it, or choose "
                 "another with %s",
                 text, option);
    else if (r == -EADDRNOTAVAIL)
        snprintf(ret_error, PV_COORDSERVER_ERROR_MAX,
                 "listen on %s: not an address of this machine: choose another with %s", text,
                 option);
    else if (r == -EACCES)
        snprintf(ret_error, PV_COORDSERVER_ERROR_MAX,
                 "listen on %s: not permitted: run as root, or choose a port above 1023 with %s",
                 text, option);
    else
        snprintf(ret_error, PV_COORDSERVER_ERROR_MAX, "listen on %s: %s", text, pv_strstatus(r));
}

/* Serves the TCP socket, and owns it from now on. */
static int take_listener(struct pv_coordserver *s, int tcp, const char *prefix,
                         const struct pv_addr *bound)
{
    struct pv_server_listener *l = &s->listeners[s->n_listeners++];
    char text[PV_ADDR_TEXT];
    size_t used = strlen(s->addresses);
    *l = (struct pv_server_listener){.server = s, .tcp = tcp};
    snprintf(s->addresses + used, sizeof(s->addresses) - used, "%s%s%s", used > 0 ? " " : "",
             prefix, pv_addr_format(bound, text));
    return pv_watch_new(&l->tcp_watch, s->loop, tcp, PV_LOOP_READ, pv_server_on_accept, l);
}

/* The TCP socket is served here, the UDP socket by the relay's thread. Both are owned after this,
 * also when it fails. */
static int open_listener(struct pv_coordserver *s, const struct pv_addr *addr)
{
    struct pv_addr bound;
    int udp = -1;
    int tcp = -1;
    int r = open_pair(addr, &bound, &udp, &tcp);
    if (r < 0)
        return r;
    r = take_listener(s, tcp, "", &bound);
    int r_udp = pv_stunudp_take(s->udp, udp, &bound);
    return r < 0 ? r : r_udp;
}

/* These ports have TCP only: they are for networks that let out nothing but port 443. On failure
 * ret_error is written. */
static int open_tls_listeners(struct pv_coordserver *s, const struct pv_coordset *set,
                              char ret_error[static PV_COORDSERVER_ERROR_MAX])
{
    int r = PV_OK;
    for (size_t i = 0; r == PV_OK && i < set->n_tls_listen; i++) {
        struct pv_addr bound;
        int tcp = -1;
        r = pv_stream_listen(&set->tls_listen[i], NULL, &tcp);
        if (r == PV_OK) {
            r = pv_stream_local(tcp, &bound);
            int taken = take_listener(s, tcp, "tls:", r == PV_OK ? &bound : &set->tls_listen[i]);
            r = r < 0 ? r : taken;
        }
        if (r < 0)
            pv_server_explain_listen(&set->tls_listen[i], "--tls-listen", r, ret_error);
    }
    return r;
}

/* A socket for all addresses would take one that is not ours without a word, and nodes would wait
 * for answers from it. */
static int check_ours(const struct pv_addr *addr)
{
    static const struct pv_udp_opts opts = {0};
    struct pv_addr at = *addr;
    int fd = -1;
    at.port = 0;
    int r = pv_udp_open(&at, &opts, &fd);
    if (fd >= 0)
        close(fd);
    return r;
}

/* Opens the second port of everything, and the second address where one was asked for. Without the
 * port STUN answers all the same; without the address the operator's wish would be ignored in
 * silence. */
static int open_alternates(struct pv_coordserver *s, const struct pv_coordset *set,
                           char ret_error[static PV_COORDSERVER_ERROR_MAX])
{
    int r = pv_stunudp_open_ports(s->udp);
    if (r < 0)
        snprintf(ret_error, PV_COORDSERVER_ERROR_MAX, "start: %s", pv_strstatus(r));
    for (size_t i = 0; r == PV_OK && i < set->n_alt; i++) {
        char text[PV_ADDR_TEXT];
        struct pv_addr first;
        struct pv_addr at = set->alt[i];
        r = check_ours(&set->alt[i]);
        if (r == PV_OK)
            r = pv_coordurl_first(set, &set->alt[i], &first);
        if (r == PV_OK)
            r = pv_stunudp_set_second(s->udp, &first, &set->alt[i], &at);
        pv_addr_format(&at, text);
        if (r == -EADDRNOTAVAIL)
            snprintf(ret_error, PV_COORDSERVER_ERROR_MAX,
                     "alternate address %s: not an address of this machine: give it this address, "
                     "or leave --alt-address out",
                     pv_addr_format_ip(&set->alt[i], text));
        else if (r == PV_ERR_NOT_FOUND)
            snprintf(ret_error, PV_COORDSERVER_ERROR_MAX,
                     "alternate address %s: no other address of its family is served here: give "
                     "this machine one, or leave --alt-address out",
                     pv_addr_format_ip(&set->alt[i], text));
        else if (r < 0)
            snprintf(ret_error, PV_COORDSERVER_ERROR_MAX,
                     "alternate address: UDP %s cannot be used: %s: free it, or leave "
                     "--alt-address out",
                     text, pv_strstatus(r));
    }
    return r;
}

/* An address that was asked for must work; of the default ones IPv6 may be missing. */
int pv_server_open_listeners(struct pv_coordserver *s, const struct pv_coordset *set,
                             char ret_error[static PV_COORDSERVER_ERROR_MAX])
{
    static const uint8_t any6[16];
    const struct pv_addr standard[] = {pv_addr4(0, 0, 0, 0, PV_COORDSET_PORT),
                                       pv_addr6(any6, PV_COORDSET_PORT)};
    const struct pv_addr *addrs = set->n_listen > 0 ? set->listen : standard;
    size_t n = set->n_listen > 0 ? set->n_listen : PV_ARRAY_LEN(standard);
    for (size_t i = 0; i < n; i++) {
        int r = open_listener(s, &addrs[i]);
        /* A machine without IPv6 still serves IPv4 when it was not asked for more. */
        if ((r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL) && set->n_listen == 0 && i > 0) {
            pv_log(s->log, PV_LOG_INFO, "no IPv6 on this machine");
            continue;
        }
        if (r < 0) {
            pv_server_explain_listen(&addrs[i], "--listen", r, ret_error);
            return r;
        }
    }
    int r = open_tls_listeners(s, set, ret_error);
    if (r < 0)
        return r;
    return open_alternates(s, set, ret_error);
}
