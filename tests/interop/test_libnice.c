/* SPDX-License-Identifier: MIT */
/*
 * test_libnice.c - our ICE agent in its RFC profile and libnice, over loopback: in both roles they
 * come to the same pair, and data passes on it in both directions (RFC 8445 s7, s8).
 *
 * Deadlines are for a machine that is very busy; nothing is measured.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <nice/agent.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/ice/ice.h"
#include "proto/stun/stun.h"
#include "sys/proc/clock.h"
#include "sys/proc/entropy.h"
#include "tests/unit/test_util.h"

static const char PING[] = "from ours to theirs";
static const char PONG[] = "from theirs to ours";

enum {
    PATIENCE_S = 60,
};

struct duo {
    struct pv_ice_agent *ours;
    struct pv_ice_creds creds;
    struct pv_addr addr; /* of our socket */
    int fd;
    NiceAgent *theirs;
    GMainContext *context;
    guint stream;
    bool gathered, ready;
    bool got_ping, got_pong;
};

static void on_gathered(NiceAgent *agent, guint stream, gpointer data)
{
    struct duo *d = data;
    d->gathered = true;
}

static void on_state(NiceAgent *agent, guint stream, guint component, guint state, gpointer data)
{
    struct duo *d = data;
    d->ready = state == NICE_COMPONENT_STATE_READY;
}

static void on_data(NiceAgent *agent, guint stream, guint component, guint len, gchar *buf,
                    gpointer data)
{
    struct duo *d = data;
    d->got_ping |= len == sizeof(PING) && memcmp(buf, PING, len) == 0;
}

static struct pv_addr to_addr(const struct sockaddr_in *sa)
{
    uint8_t ip[4];
    memcpy(ip, &sa->sin_addr, sizeof(ip));
    return pv_addr4(ip[0], ip[1], ip[2], ip[3], ntohs(sa->sin_port));
}

static void open_socket(struct duo *d)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sa);
    d->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(d->fd >= 0);
    assert_int_equal(bind(d->fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(getsockname(d->fd, (struct sockaddr *)&sa, &len), 0);
    d->addr = to_addr(&sa);
}

static struct pv_ice_cand our_cand(const struct duo *d)
{
    return (struct pv_ice_cand){
        .type = PV_ICE_HOST,
        .addr = d->addr,
        .priority = pv_ice_priority(PV_ICE_HOST, UINT16_MAX),
        .carrier = {.kind = PV_ICE_CARRIER_UDP, .local = d->addr},
    };
}

static void make_ours(struct duo *d, bool controlling)
{
    struct pv_ice_config cfg = {.controlling = controlling, .foreign = true, .rng = pv_entropy()};
    open_socket(d);
    pv_ice_make_creds(&cfg.rng, &d->creds);
    cfg.local = d->creds;
    assert_ok(pv_ice_new(&d->ours, &cfg, pv_clock_now()));
    struct pv_ice_cand cand = our_cand(d);
    pv_ice_set_local(d->ours, &cand, 1, pv_clock_now());
}

static void make_theirs(struct duo *d, bool controlling)
{
    NiceAddress loopback;
    d->context = g_main_context_new();
    d->theirs = nice_agent_new(d->context, NICE_COMPATIBILITY_RFC5245);
    g_object_set(d->theirs, "controlling-mode", (gboolean)controlling, "upnp", FALSE, "ice-tcp",
                 FALSE, NULL);
    nice_address_init(&loopback);
    assert_true(nice_address_set_from_string(&loopback, "127.0.0.1"));
    assert_true(nice_agent_add_local_address(d->theirs, &loopback));
    (void)g_signal_connect(d->theirs, "candidate-gathering-done", G_CALLBACK(on_gathered), d);
    (void)g_signal_connect(d->theirs, "component-state-changed", G_CALLBACK(on_state), d);
    d->stream = nice_agent_add_stream(d->theirs, 1);
    assert_true(d->stream != 0);
    assert_true(nice_agent_attach_recv(d->theirs, d->stream, 1, d->context, on_data, d));
    assert_true(nice_agent_gather_candidates(d->theirs, d->stream));
}

static void tell_theirs(struct duo *d)
{
    NiceCandidate *c = nice_candidate_new(NICE_CANDIDATE_TYPE_HOST);
    c->component_id = 1;
    c->stream_id = d->stream;
    c->transport = NICE_CANDIDATE_TRANSPORT_UDP;
    c->priority = our_cand(d).priority;
    (void)snprintf(c->foundation, sizeof(c->foundation), "1");
    assert_true(nice_address_set_from_string(&c->addr, PV_IP_STR(&d->addr)));
    nice_address_set_port(&c->addr, d->addr.port);
    assert_true(
        nice_agent_set_remote_credentials(d->theirs, d->stream, d->creds.ufrag, d->creds.pwd));
    GSList list = {.data = c, .next = NULL};
    assert_int_equal(nice_agent_set_remote_candidates(d->theirs, d->stream, 1, &list), 1);
    nice_candidate_free(c);
}

static void tell_ours(struct duo *d)
{
    struct pv_ice_creds creds;
    struct pv_ice_cand cands[4];
    size_t n = 0;
    gchar *ufrag = NULL, *pwd = NULL;
    memset(&creds, 0, sizeof(creds));
    memset(cands, 0, sizeof(cands));
    assert_true(nice_agent_get_local_credentials(d->theirs, d->stream, &ufrag, &pwd));
    (void)snprintf(creds.ufrag, sizeof(creds.ufrag), "%s", ufrag);
    (void)snprintf(creds.pwd, sizeof(creds.pwd), "%s", pwd);
    g_free(ufrag);
    g_free(pwd);
    GSList *list = nice_agent_get_local_candidates(d->theirs, d->stream, 1);
    for (GSList *i = list; i != NULL; i = i->next) {
        const NiceCandidate *c = i->data;
        struct sockaddr_storage sa;
        nice_address_copy_to_sockaddr(&c->addr, (struct sockaddr *)&sa);
        if (sa.ss_family != AF_INET || n == PV_ARRAY_LEN(cands))
            continue;
        cands[n] = (struct pv_ice_cand){.type = PV_ICE_HOST,
                                        .addr = to_addr((const struct sockaddr_in *)&sa),
                                        .priority = c->priority,
                                        .base = (uint8_t)n};
        n++;
    }
    g_slist_free_full(list, (GDestroyNotify)nice_candidate_free);
    assert_true(n > 0);
    assert_ok(pv_ice_set_remote(d->ours, &creds, cands, n, pv_clock_now()));
}

static void send_to(const struct duo *d, const struct pv_addr *dst, const void *data, size_t len)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(dst->port)};
    memcpy(&sa.sin_addr, dst->ip, 4);
    (void)!sendto(d->fd, data, len, 0, (struct sockaddr *)&sa, sizeof(sa));
}

static void receive(struct duo *d)
{
    const struct pv_ice_carrier carrier = {.kind = PV_ICE_CARRIER_UDP, .local = d->addr};
    uint8_t buf[1500];
    struct sockaddr_in sa;
    socklen_t len = sizeof(sa);
    ssize_t n;
    while ((n = recvfrom(d->fd, buf, sizeof(buf), 0, (struct sockaddr *)&sa, &len)) >= 0) {
        struct pv_addr src = to_addr(&sa);
        if (n == (ssize_t)sizeof(PONG) && memcmp(buf, PONG, sizeof(PONG)) == 0)
            d->got_pong = true;
        else
            (void)!pv_ice_handle_input(d->ours, &carrier, &src, pv_view(buf, (size_t)n),
                                       pv_clock_now());
        len = sizeof(sa);
    }
}

/* One turn of both agents: at most 10 ms. */
static void turn(struct duo *d)
{
    struct pollfd p = {.fd = d->fd, .events = POLLIN};
    struct pv_ice_transmit tx;
    struct pv_ice_event ev;
    (void)poll(&p, 1, 10);
    receive(d);
    pv_ice_handle_timeout(d->ours, pv_clock_now());
    while (pv_ice_poll_transmit(d->ours, &tx) == PV_OK)
        send_to(d, &tx.dst, tx.buf, tx.len);
    while (pv_ice_poll_event(d->ours, &ev) == PV_OK)
        ;
    while (g_main_context_iteration(d->context, FALSE))
        ;
}

static bool is_over(const struct duo *d)
{
    return d->ready && pv_ice_state(d->ours) == PV_ICE_COMPLETED;
}

/* Both ends of the pair that libnice chose are the ends of ours. */
static void check_pair(const struct duo *d)
{
    NiceCandidate *local = NULL, *remote = NULL;
    struct pv_ice_path path;
    struct sockaddr_storage l, r;
    assert_true(nice_agent_get_selected_pair(d->theirs, d->stream, 1, &local, &remote));
    nice_address_copy_to_sockaddr(&local->addr, (struct sockaddr *)&l);
    nice_address_copy_to_sockaddr(&remote->addr, (struct sockaddr *)&r);
    struct pv_addr their_end = to_addr((const struct sockaddr_in *)&l);
    struct pv_addr our_end = to_addr((const struct sockaddr_in *)&r);
    assert_ok(pv_ice_selected(d->ours, &path));
    assert_true(path.nominated);
    assert_true(pv_addr_equal(&path.remote, &their_end));
    assert_true(pv_addr_equal(&d->addr, &our_end));
}

static void meet(bool we_control)
{
    struct duo d = {.fd = -1};
    struct pv_ice_path path;
    make_ours(&d, we_control);
    make_theirs(&d, !we_control);
    pv_ns end = pv_clock_now() + PV_S(PATIENCE_S);
    while (!d.gathered && pv_clock_now() < end)
        turn(&d);
    assert_true(d.gathered);
    tell_ours(&d);
    tell_theirs(&d);
    while (!is_over(&d) && pv_clock_now() < end)
        turn(&d);
    assert_true(is_over(&d));
    check_pair(&d);

    assert_ok(pv_ice_selected(d.ours, &path));
    while (!(d.got_ping && d.got_pong) && pv_clock_now() < end) {
        send_to(&d, &path.remote, PING, sizeof(PING));
        (void)nice_agent_send(d.theirs, d.stream, 1, sizeof(PONG), PONG);
        turn(&d);
    }
    assert_true(d.got_ping);
    assert_true(d.got_pong);

    d.ours = pv_ice_free(d.ours);
    nice_agent_remove_stream(d.theirs, d.stream);
    g_object_unref(d.theirs);
    g_main_context_unref(d.context);
    (void)close(d.fd);
}

PV_TEST(libnice_controls_and_a_pair_is_selected)
{
    meet(false);
}

PV_TEST(we_control_and_a_pair_is_selected)
{
    meet(true);
}
