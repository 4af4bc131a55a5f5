/* SPDX-License-Identifier: MIT */
/*
 * sim_net.h - a network in virtual time: hosts, private networks behind NATs, datagrams, byte
 * streams, timers. A machine that a test attaches to it (the daemon's core, the coordinator's)
 * never sees a real clock or socket; the same seed gives the same run, and sim_net_hash() proves
 * it.
 *
 * Zones: 0 is the public network; sim_net_add_nat() hangs a private one below another (NATs of
 * NATs are fine). A host lives in one zone and has addresses of it. Datagrams travel
 *
 *   host up-line -> zone -> [NAT, NAT's outer line]... -> zone -> host down-line -> event
 *
 * as real IP packets through natcore. Streams (like TCP) do not: they reach a listener in the own
 * zone or any zone above, are reliable and in order, take the delays of the way, and can be cut,
 * or go silent when a NAT on the way forgets or a host loses power.
 *
 * The owner pulls: sim_net_next() moves the clock to the next event and hands it over. There are no
 * callbacks. Not thread-safe. Limits are asserts: a test that hits one is wrong.
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"
#include "tests/natcore/natcore.h"
#include "tests/test.h"

enum {
    SIM_PUBLIC = 0,       /* the zone of public addresses */
    SIM_MAX_ZONES = 1024, /* NATs and the public zone */
    SIM_MAX_HOSTS = 4096,
    SIM_HOST_ADDRS = 8,   /* addresses of one host */
    SIM_HOST_LISTENS = 4, /* listening ports of one host */
    SIM_NAME_ADDRS = 4,   /* addresses of a name */
    SIM_STREAM_DEPTH = 4, /* NATs between the two ends of a stream */
    SIM_HOPS = 4,         /* hops that crossing the public zone costs */
    SIM_NO_WALL = SIM_MAX_HOSTS,
};

enum sim_event_kind {
    SIM_DATAGRAM,  /* host, local, remote, data, ttl */
    SIM_EXPIRED,   /* host, local, data = a datagram of its own whose TTL was used up at remote */
    SIM_TIMER,     /* host: sim_net_timer() is due */
    SIM_ACCEPTED,  /* host, stream, local, remote: somebody connected */
    SIM_CONNECTED, /* host, stream */
    SIM_BYTES,     /* host, stream, data */
    SIM_WRITABLE,  /* host, stream: sim_net_write() took less than it got, and takes more now */
    SIM_CLOSED,    /* host, stream, status; the stream id is gone */
    SIM_AT,        /* tag: sim_net_at() is due */
};

struct sim_event {
    enum sim_event_kind kind;
    pv_ns now;
    unsigned host;
    uint32_t stream;
    uint64_t tag;
    int status; /* PV_ERR_CLOSED, PV_ERR_REFUSED, PV_ERR_TIMEOUT */
    struct pv_addr local, remote;
    struct pv_view data; /* valid until the next call of sim_net_next() */
    uint8_t ttl;
};

struct sim_net; /* opaque */

struct sim_net *sim_net_new(uint64_t seed); /* virtual time starts at one hour */
struct sim_net *sim_net_free(struct sim_net *net);

pv_ns sim_net_now(const struct sim_net *net);
/* The network's own generator; also what a test should draw from. */
struct pv_natrng *sim_net_rng(struct sim_net *net);
/* A struct pv_rng on top of a generator; ctx = the generator. */
struct pv_rng sim_rng(struct pv_natrng *rng);

/* A private zone behind a new NAT whose outside is in `outer`. */
unsigned sim_net_add_nat(struct sim_net *net, unsigned outer, const struct pv_nat_config *config);
/* The NAT of a private zone: settings, statistics, pv_nat_drop_mapping(). */
struct pv_nat *sim_net_nat(struct sim_net *net, unsigned zone);
/* The NAT forgets everything, streams through it go silent. */
void sim_net_reboot_nat(struct sim_net *net, unsigned zone);

/* A host with up and down lines of that quality each (NULL: perfect). */
unsigned sim_net_add_host(struct sim_net *net, unsigned zone, const struct pv_link_config *line);
void sim_net_add_addr(struct sim_net *net, unsigned host, const struct pv_addr *ip);
void sim_net_del_addr(struct sim_net *net, unsigned host, const struct pv_addr *ip);
/* The host's addresses, overlay ones left out; returns how many. */
size_t sim_net_addrs(const struct sim_net *net, unsigned host,
                     struct pv_addr ret_addrs[static SIM_HOST_ADDRS]);
/* Another address that streams reach from every host, whatever stands between: an overlay's. */
void sim_net_add_overlay(struct sim_net *net, unsigned host, const struct pv_addr *ip);
/* A name has this address, too. There is one name, of at most SIM_NAME_ADDRS addresses. */
void sim_net_name(struct sim_net *net, const char *name, const struct pv_addr *ip);
/* The addresses of a name as this host's resolver tells them, with those that a DNS64 makes where
 * its NAT is a NAT64; 0: nobody knows it. Everybody knows ipv4only.arpa. */
size_t sim_net_lookup(const struct sim_net *net, unsigned host, const char *name,
                      struct pv_addr ret_addrs[static 2 * SIM_NAME_ADDRS]);
/* Changes zone; addresses are the caller's business. Streams go silent. */
void sim_net_move(struct sim_net *net, unsigned host, unsigned zone);
void sim_net_set_line(struct sim_net *net, unsigned host, const struct pv_link_config *line);
/* Off: everything of it is lost, its streams go silent; on again: what arrives for a stream of
 * before is answered by a reset. */
void sim_net_power(struct sim_net *net, unsigned host, bool on);

/*
 * Sends a datagram. src may have no family: the host's first address of dst's family is taken.
 * ttl 0 = 64. False when the host has no such address (like ENETUNREACH).
 */
bool sim_net_send(struct sim_net *net, unsigned host, const struct pv_addr *src,
                  const struct pv_addr *dst, uint8_t ttl, struct pv_view payload);

/* Sees every datagram a host sends; false: it is lost. NULL: nobody. */
void sim_net_set_tap(struct sim_net *net,
                     bool (*tap)(void *ctx, unsigned host, const struct pv_addr *dst,
                                 struct pv_view payload),
                     void *ctx);

/* A wall between all others: datagrams neither from nor to this host are lost; SIM_NO_WALL takes it
 * down. */
void sim_net_set_wall(struct sim_net *net, unsigned host);

/* The network is in pieces: hosts with public addresses on different sides reach each other neither
 * by datagrams nor by streams, which go silent. All are on side 0 at first. */
void sim_net_set_side(struct sim_net *net, unsigned host, unsigned side);

/* One timer a host: PV_NEVER stops it. A time in the past is due at once. */
void sim_net_timer(struct sim_net *net, unsigned host, pv_ns when);
/* A SIM_AT event of the test's own. */
void sim_net_at(struct sim_net *net, pv_ns when, uint64_t tag);

/* Blocked: its streams go silent, and it can make no new ones. Datagrams pass. */
void sim_net_block_streams(struct sim_net *net, unsigned host, bool blocked);
/* Blocked: datagrams neither leave nor reach it. Streams pass. */
void sim_net_block_datagrams(struct sim_net *net, unsigned host, bool blocked);
/* Of its streams only those to this port of others pass (but for the overlay's); 0 = all do. The
 * others go silent. */
void sim_net_only_port(struct sim_net *net, unsigned host, uint16_t port);
void sim_net_listen(struct sim_net *net, unsigned host, uint16_t port);
/* The answer is CONNECTED or CLOSED (REFUSED by a host that does not listen, else TIMEOUT). */
uint32_t sim_net_connect(struct sim_net *net, unsigned host, const struct pv_addr *remote);
/* Returns how many bytes it took: all, unless sim_faults.h says otherwise. SIM_WRITABLE follows. */
/* Is there still an end to write to? Ids are not given twice. */
bool sim_net_is_open(const struct sim_net *net, uint32_t stream);
size_t sim_net_write(struct sim_net *net, uint32_t stream, struct pv_view data);
/* No further event comes for this end; the other one gets CLOSED after what was written. */
void sim_net_close(struct sim_net *net, uint32_t stream);
/* Cuts it for both ends at once (CLOSED). */
void sim_net_cut(struct sim_net *net, uint32_t stream);
/* The owner of this end is told (CLOSED) that long after it wrote to a stream that is silent, as by
 * TCP_USER_TIMEOUT. Without it never. */
void sim_net_set_patience(struct sim_net *net, uint32_t stream, pv_ns patience);
/* From now on nothing passes and nobody is told. */
void sim_net_silence(struct sim_net *net, uint32_t stream);

/* Goes to the next event at or before `until`. PV_ERR_AGAIN: there is none; the clock is at until
 * then. */
PV_MUST_CHECK int sim_net_next(struct sim_net *net, pv_ns until, struct sim_event *ret_event);

/* A hash over every event handed over so far; mix() adds something of the test's. */
uint64_t sim_net_hash(const struct sim_net *net);
void sim_net_mix(struct sim_net *net, const void *data, size_t len);
/* Datagrams that found no way. */
uint64_t sim_net_unroutable(const struct sim_net *net);

/* --- scenarios ------------------------------------------------------------------------------- */

/* Is PV_SIM_LONG set: the numbers of the targets instead of the quick ones. */
bool sim_is_long(void);

/* A test whose body is a scenario and runs once per `seed`: from the environment SEED that one,
 * else 1..PV_SIM_SEEDS, or the range that this names (1001-2000), else 1..n. */
#define PV_SIM(name, n)                              \
    static void name##_of(uint64_t seed, void *ctx); \
    PV_TEST(name)                                    \
    {                                                \
        sim_seeds(n, name##_of, NULL);               \
    }                                                \
    static void name##_of(uint64_t seed, void *ctx)

/* The same as a PV_TEST_WHOLE(), which scripts/test leaves to CI. */
#define PV_SIM_WHOLE(name, n)                        \
    static void name##_of(uint64_t seed, void *ctx); \
    PV_TEST_WHOLE(name)                              \
    {                                                \
        sim_seeds(n, name##_of, NULL);               \
    }                                                \
    static void name##_of(uint64_t seed, void *ctx)

/* For the body of a test: the same with a scenario that takes something, ctx. A failing seed is
 * printed with the command that repeats it, and the others run all the same. */
void sim_seeds(uint64_t n, void (*run)(uint64_t seed, void *ctx), void *ctx);
/* The same where some may fail: returns how many did. */
unsigned sim_failures(uint64_t n, void (*run)(uint64_t seed, void *ctx), void *ctx);

/* Runs it once; whether it came to its end. */
bool sim_run(uint64_t seed, void (*run)(uint64_t seed, void *ctx), void *ctx);

/* Ends the scenario that runs, whose seed has failed; the caller has printed why. */
void sim_fail(void) __attribute__((noreturn));

/* The seed of the scenario that runs. */
uint64_t sim_seed(void);

/* Says which case of several it is, for sim_case_name(): at most 199 bytes. */
void sim_case(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The name that was said last in this run; "" before that. */
const char *sim_case_name(void);
