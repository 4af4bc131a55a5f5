/* SPDX-License-Identifier: MIT */
/*
 * bench_coordinator - the load of many nodes on a coordinator. tests/bench/coordinator.py drives
 * it; nothing is asserted.
 *
 *   bench_coordinator SERVER URL SOURCE NODES NETWORKS tcp|tls [one]
 *
 * SOURCE is the first address that nodes connect from; the next 32 * NODES are this machine's too.
 * With "one" all connect from that one.
 * It reads one order a line and answers each with one line of JSON, while all nodes live on:
 *
 *   join N WINDOW RATE      N nodes more, never more than WINDOW of them at once; RATE signals a
 *                           second of 1.5 KB between members meanwhile
 *   settle                  until every member has the whole log of its network
 *   rest SECONDS            nothing but pings
 *   signals RATE SECONDS SIZE N
 *                           RATE signals a second between members; N nodes join meanwhile
 *   flap N                  N members, one after the other, go and come back
 *   storm                   answers "ready"; then until all members were away and are back
 *   token                   the token of the first network
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/text.h"
#include "crypto/ct.h"
#include "loadnode.h"
#include "sys/proc/clock.h"

enum {
    LINE = 256,
    FILES = 1 << 20,
    TURN_MS = 100,
    SIGNAL_SIZE = 1500,
    PATIENCE_S = 900, /* an order that takes longer has failed */
};

static int by_value(const void *a, const void *b)
{
    const pv_ns *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* ,"NAME":[p50,p90,p99,max] in milliseconds. */
static void print_times(const char *name, pv_ns *times, size_t n)
{
    static const unsigned at[] = {50, 90, 99, 100};
    qsort(times, n, sizeof(*times), by_value);
    printf(",\"%s\":[", name);
    for (size_t i = 0; i < PV_ARRAY_LEN(at) && n > 0; i++)
        printf("%s%.3f", i == 0 ? "" : ",", (double)times[(n - 1) * at[i] / 100] / 1e6);
    printf("]");
}

static void begin_answer(const struct load *l, pv_ns began)
{
    const struct load_counts *c = &l->counts;
    printf("{\"seconds\":%.3f,\"nodes\":%zu,\"online\":%zu,\"rx\":%llu,\"tx\":%llu,"
           "\"statements\":%llu,\"pages\":%llu,\"presences\":%llu,\"signals\":%llu,"
           "\"refused\":%llu,\"failures\":%llu",
           (double)(pv_clock_now() - began) / 1e9, l->n_nodes, l->n_online,
           (unsigned long long)c->rx, (unsigned long long)c->tx, (unsigned long long)c->items,
           (unsigned long long)c->pages, (unsigned long long)c->presences,
           (unsigned long long)c->signals, (unsigned long long)c->refused,
           (unsigned long long)c->failures);
}

static void end_answer(void)
{
    puts("}");
    fflush(stdout);
}

static void begin_order(struct load *l)
{
    l->counts = (struct load_counts){0};
    l->n_delays = 0;
}

static void check_patience(pv_ns began, const char *what)
{
    if (pv_clock_now() > began + PV_S(PATIENCE_S))
        load_die(what);
}

/* Times of all nodes from `first` on. */
static void print_node_times(const struct load *l, size_t first, const char *name, bool whole)
{
    size_t n = 0;
    pv_ns *times = calloc(l->n_nodes + 1, sizeof(*times));
    if (times == NULL)
        load_die("out of memory");
    for (size_t i = first; i < l->n_nodes; i++) {
        pv_ns at = whole ? l->nodes[i].whole_at : l->nodes[i].joined;
        if (at != 0)
            times[n++] = at - l->nodes[i].began;
    }
    print_times(name, times, n);
    free(times);
}

/* --- signals --------------------------------------------------------------------------------- */

/* Signals at a rate. They leave evenly, whatever the answers: a coordinator that stops does not
 * stop the clock of those that wait (coordinated omission). */
struct flow {
    pv_ns began;
    double rate, seconds; /* a second; for so long */
    size_t size;
    uint64_t due, sent;
};

/* A member and another one of its network, by chance. False: there is no pair now. */
static bool pick_pair(struct load *l, size_t n_old, struct load_node **ret_from,
                      struct load_node **ret_to)
{
    struct load_node *from = &l->nodes[pv_rng_below(&l->rng, (uint32_t)n_old)];
    size_t same = from->number % l->n_nets, size = (n_old - same + l->n_nets - 1) / l->n_nets;
    struct load_node *to =
        &l->nodes[same + l->n_nets * pv_rng_below(&l->rng, (uint32_t)(size == 0 ? 1 : size))];
    *ret_from = from;
    *ret_to = to;
    return from != to && from->online && to->online;
}

/* Sends those that are due, among the first n nodes. */
static void run_flow(struct load *l, struct flow *f, size_t n, pv_ns now)
{
    double t = (double)(now - f->began) / 1e9;
    uint64_t goal = (uint64_t)((t < f->seconds ? t : f->seconds) * f->rate);
    for (; f->due < goal && n > 1; f->due++) {
        struct load_node *from, *to;
        for (int tries = 0; tries < 8; tries++) {
            if (!pick_pair(l, n, &from, &to) || !load_signal(from, to, f->size, now))
                continue;
            f->sent++;
            break;
        }
    }
}

static int flow_turn_ms(const struct flow *f)
{
    return f->rate <= 0    ? TURN_MS
           : f->rate > 500 ? 1
                           : (int)(1000 / (f->rate < 10 ? 10 : f->rate)) + 1;
}

/* --- orders ---------------------------------------------------------------------------------- */

/* Networks are made first, since members need their invites. */
static bool has_networks(const struct load *l)
{
    bool made = l->n_nodes >= l->n_nets;
    for (size_t i = 0; i < l->n_nets && made; i++)
        made = l->nets[i].invite_uses > 0;
    return made;
}

/* A join is over when the node is online as a member; its copy of the log may come later. Those who
 * are in send each other signals. */
static void run_join(struct load *l, size_t count, size_t window, double rate)
{
    struct flow flow = {
        .began = pv_clock_now(), .rate = rate, .seconds = PATIENCE_S, .size = SIGNAL_SIZE};
    size_t first = l->n_nodes, target = l->n_nodes + count;
    pv_ns began = pv_clock_now();
    begin_order(l);
    while (l->n_online < target || !has_networks(l)) {
        bool made = has_networks(l);
        while (l->n_nodes < target && l->n_nodes - l->n_online < window &&
               (l->n_nodes < l->n_nets || made))
            load_begin(load_add(l), pv_clock_now());
        run_flow(l, &flow, l->n_nodes, pv_clock_now());
        load_turn(l, -1, flow_turn_ms(&flow));
        check_patience(began, "the nodes do not get in");
    }
    begin_answer(l, began);
    printf(",\"whole\":%zu", l->n_whole);
    print_node_times(l, first, "join_ms", false);
    print_times("signal_ms", l->delays, l->n_delays);
    end_answer();
}

static bool is_settled(const struct load *l)
{
    for (size_t i = 0; i < l->n_nodes; i++) {
        const struct load_node *n = &l->nodes[i];
        if (!n->whole || n->have.epoch != n->net->end.epoch || n->have.n != n->net->end.n)
            return false;
    }
    return true;
}

static void run_settle(struct load *l)
{
    pv_ns began = pv_clock_now(), look = began;
    begin_order(l);
    for (;;) {
        load_turn(l, -1, TURN_MS);
        pv_ns now = pv_clock_now();
        if (now >= look && is_settled(l))
            break;
        if (now >= look)
            look = now + PV_MS(50);
        check_patience(began, "the statements do not get to all members");
    }
    begin_answer(l, began);
    print_node_times(l, 0, "whole_ms", true);
    end_answer();
}

static void run_rest(struct load *l, double seconds)
{
    pv_ns began = pv_clock_now();
    begin_order(l);
    while (pv_clock_now() < began + (pv_ns)(seconds * 1e9))
        load_turn(l, -1, TURN_MS);
    begin_answer(l, began);
    end_answer();
}

static void run_signals(struct load *l, double rate, double seconds, size_t size, size_t joins)
{
    pv_ns began = pv_clock_now(), end = began + (pv_ns)(seconds * 1e9);
    size_t n_old = l->n_nodes, first = l->n_nodes;
    struct flow flow = {.began = began, .rate = rate, .seconds = seconds, .size = size};
    begin_order(l);
    for (pv_ns now = began; now < end + PV_S(2); now = pv_clock_now()) {
        double t = (double)(now - began) / 1e9;
        run_flow(l, &flow, n_old, now);
        if (l->n_nodes - first < joins &&
            (double)(l->n_nodes - first + 1) * seconds / (double)(joins + 1) <= t)
            load_begin(load_add(l), now);
        if (now >= end && l->counts.signals + l->counts.refused >= flow.sent)
            break;
        load_turn(l, -1, flow_turn_ms(&flow));
    }
    begin_answer(l, began);
    printf(",\"sent\":%llu", (unsigned long long)flow.sent);
    print_node_times(l, first, "join_ms", false);
    print_times("signal_ms", l->delays, l->n_delays);
    end_answer();
}

/* Each is back before the next goes. */
static void run_flap(struct load *l, size_t count)
{
    pv_ns began = pv_clock_now();
    begin_order(l);
    for (size_t i = 0; i < count; i++) {
        struct load_node *n = &l->nodes[pv_rng_below(&l->rng, (uint32_t)l->n_nodes)];
        load_flap(n, pv_clock_now());
        while (!n->online || !n->whole) {
            load_turn(l, -1, TURN_MS);
            check_patience(began, "a node that went does not come back");
        }
    }
    for (pv_ns end = pv_clock_now() + PV_MS(300); pv_clock_now() < end;) /* the last pushes */
        load_turn(l, -1, TURN_MS);
    begin_answer(l, began);
    end_answer();
}

static void run_storm(struct load *l)
{
    size_t n = 0;
    pv_ns *times = calloc(l->n_nodes, sizeof(*times));
    if (times == NULL)
        load_die("out of memory");
    pv_ns began = pv_clock_now();
    begin_order(l);
    puts("\"ready\"");
    fflush(stdout);
    for (bool all = false; !all;) {
        load_turn(l, -1, TURN_MS);
        all = l->n_online == l->n_nodes;
        for (size_t i = 0; all && i < l->n_nodes; i++)
            all = l->nodes[i].back_at > began;
        check_patience(began, "the nodes do not come back");
    }
    for (size_t i = 0; i < l->n_nodes; i++)
        times[n++] = l->nodes[i].back_at - began;
    begin_answer(l, began);
    print_times("back_ms", times, n);
    end_answer();
    free(times);
}

static void run_token(const struct load *l)
{
    char text[PV_TOKEN_TEXT_BUF];
    struct pv_token token = {0};
    struct pv_writer w = pv_writer(token.list, sizeof(token.list));
    const struct load_network *net = &l->nets[0];
    memcpy(token.network_id, net->made.network_id, sizeof(token.network_id));
    memcpy(token.seed, net->invite_seed, sizeof(token.seed));
    pv_coordlist_put(&w, l->url.pk, &l->url.addr, 1);
    token.list_len = w.len;
    load_check(pv_token_format(&token, text, sizeof(text)), "token");
    printf("\"%s\"\n", text);
    fflush(stdout);
    pv_token_done(&token);
}

static void run_order(struct load *l, const char *line)
{
    unsigned long a = 0, b = 0;
    double x = 0, y = 0;
    if (sscanf(line, "join %lu %lu %lf", &a, &b, &x) == 3)
        run_join(l, a, b == 0 ? 1 : b, x);
    else if (strcmp(line, "settle") == 0)
        run_settle(l);
    else if (sscanf(line, "rest %lf", &x) == 1)
        run_rest(l, x);
    else if (sscanf(line, "signals %lf %lf %lu %lu", &x, &y, &a, &b) == 4 && a >= LOAD_STAMP &&
             a <= PV_CTL_BOX_MAX)
        run_signals(l, x, y, a, b);
    else if (sscanf(line, "flap %lu", &a) == 1)
        run_flap(l, a);
    else if (strcmp(line, "storm") == 0)
        run_storm(l);
    else if (strcmp(line, "token") == 0)
        run_token(l);
    else
        load_die("no such order");
}

/* Between orders the nodes live on: their pings keep them online. */
static void serve_orders(struct load *l)
{
    char line[LINE];
    size_t len = 0;
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL};
    if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, STDIN_FILENO, &ev) < 0)
        load_die("epoll");
    for (;;) {
        ssize_t got = load_turn(l, STDIN_FILENO, TURN_MS) ? read(STDIN_FILENO, line + len, 1) : -1;
        if (got == 0)
            return;
        if (got < 0)
            continue;
        if (line[len] != '\n') {
            len += len + 1 < sizeof(line) ? 1 : 0;
            continue;
        }
        line[len] = '\0';
        len = 0;
        run_order(l, line);
    }
}

int main(int argc, char **argv)
{
    static struct load l;
    struct rlimit files;
    uint64_t nodes = 0, nets = 0;
    char why[PV_TLS_ERROR_MAX];
    if (pv_crypto_init() < 0 || argc < 7 || argc > 8 || pv_addr_parse(argv[1], &l.server) < 0 ||
        pv_url_parse(argv[2], strlen(argv[2]), &l.url) < 0 ||
        pv_addr_parse_ip(argv[3], &l.source) < 0 || pv_u64_parse(argv[4], 1, 1 << 20, &nodes) < 0 ||
        pv_u64_parse(argv[5], 1, nodes, &nets) < 0)
        load_die("SERVER URL SOURCE NODES NETWORKS tcp|tls [one]");
    l.one_address = argc == 8;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max < FILES ? files.rlim_max : FILES;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    if (strcmp(argv[6], "tls") == 0 && pv_tls_ctx_new_client(&l.tls, NULL, why) < 0)
        load_die(why);
    load_init(&l, nodes, nets);
    serve_orders(&l);
    load_done(&l);
    return 0;
}
