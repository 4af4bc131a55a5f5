/* SPDX-License-Identifier: MIT */
/*
 * The coordinator's core against one client that says anything, its store and its owner. The bits
 * of the first byte, from the lowest:
 *   0 the client is member alice, else an applicant
 *   1 the store fails
 *   2 the client offers hybrid keys, 3 by what is no key
 *   4 other coordinators share the store, so that networks come when somebody knocks for them
 *   5 there is a relay, and little room for anything
 *   6 and 7 mean nothing
 * The rest is lines: "@N" lets N seconds go by, "!" begins what the client signs (say_signed), "?"
 * what it asks for (say_request), "$" what the owner does (own), "#" bytes of a second connection
 * that shakes no hands, and everything else is one message. Keys are fixed, so that the corpus can
 * name them. Every request gets at most one answer, and all ends when it is told to.
 */
#include <stdlib.h>
#include <string.h>

#include "crypto/ct.h"
#include "tests/fuzz/coordinator/coord_client.h"

/* An owner would turn for ever whom the next timeout never leaves behind. */
static void pass(struct world *w, pv_ns dt)
{
    w->now += dt;
    pv_coord_set_wall(w->coord, WALL * 1000000 + (w->now + w->wall_ahead - PV_S(100)) / 1000,
                      w->now);
    for (int n = 0; n == 0 || pv_coord_next_timeout(w->coord) <= w->now; n++) {
        must(n < 1000);
        pv_coord_handle_timeout(w->coord, w->now);
        pump(w);
    }
}

static void note_network(void *ctx, const struct pv_coord_network *net)
{
    size_t *n = ctx;
    must(net->online <= CONNECTS_MAX + 1 && net->bytes >= net->statements);
    (*n)++;
}

/* When everything is done that is due, as taking in what was put, it adds up. */
static void look(struct world *w)
{
    struct pv_coord_stats stats;
    struct pv_coord_kinds kinds;
    size_t n = 0;
    pass(w, 0);
    pv_coord_stats(w->coord, &stats);
    pv_coord_kinds(w->coord, &kinds);
    pv_coord_networks(w->coord, w->now, note_network, &n);
    must(n == stats.networks && n == pv_coord_n_homes(w->coord));
    must(kinds.members + kinds.applicants + kinds.turn + kinds.stun + kinds.opening +
             kinds.closing ==
         stats.conns);
    must(pv_coord_strangers(w->coord) <= stats.conns);
}

static void drop(struct world *w, uint8_t how)
{
    const uint8_t *id = (how & 1) != 0 ? once.other.network_id : once.created.network_id;
    if (pv_coord_drop_begin(w->coord, id) < 0)
        return;
    if ((how & 2) != 0)
        pump(w);
    pv_coord_drop_end(w->coord, id, (how & 4) != 0, w->now);
}

static void set_policy(struct world *w, uint8_t how)
{
    static const char *const stun[] = {"a.example:3478"};
    static struct pv_netlimits_table table;
    struct pv_turns_policy *relay = calloc(1, sizeof(*relay));
    must(relay != NULL);
    relay->per_user = how;
    table.all = (struct pv_netlimits){.members = how & 3, .statements = how >> 2 & 15};
    const struct pv_coord_policy policy = {.switches.open = (how & 1) != 0,
                                           .stun = stun,
                                           .n_stun = how >> 1 & 1,
                                           .net_limits = &table};
    pv_coord_set_policy(w->coord, &policy, relay);
}

static void set_tls(struct world *w, uint8_t how)
{
    static const char *const addrs[] = {"a.example:443"};
    const struct pv_ctl_tls tls = {.pin = {how}, .n = how & 1, .addrs = addrs};
    pv_coord_set_tls(w->coord, (how & 2) != 0 ? NULL : &tls);
}

/* The homes that the store has for this coordinator; every question is as old as the input says. */
static void tell_homes(struct world *w, uint8_t how)
{
    struct pv_coord_home list[2] = {{.fence = w->store.fence - (how & 1)}, {.fence = how >> 1 & 3}};
    memcpy(list[0].network, once.created.network_id, PV_NETWORK_ID_LEN);
    memcpy(list[1].network, once.other.network_id, PV_NETWORK_ID_LEN);
    (void)!pv_coord_homes_came(w->coord);
    (void)!pv_coord_homes_are(w->coord, list, how >> 3 & 1 ? 2 : how >> 4 & 1,
                              w->now - PV_S(how >> 5), w->now);
}

static void own_several(struct world *w, uint8_t what, uint8_t how)
{
    switch (what) {
    case 'h':
        tell_homes(w, how);
        break;
    case 'f':
        pv_coord_balance(w->coord, how == '-' ? UINT64_MAX : how % 4u, w->now);
        break;
    case 'g':
        pv_coord_drain(w->coord, how % 2 == 0);
        must(pv_coord_is_draining(w->coord) == (how % 2 == 0));
        break;
    default:
        break;
    }
}

static void own_store(struct world *w, uint8_t what, uint8_t how)
{
    static const int registers[] = {PV_OK, PV_ERR_EXISTS, PV_ERR_EXPIRED, -5};
    static const enum pv_home_verdict verdicts[] = {PV_HOME_TAKE, PV_HOME_THERE, PV_HOME_NONE,
                                                    PV_HOME_WAIT};
    switch (what) {
    case 'S':
        w->store.slow = (how & 1) != 0;
        w->store.fails = (how & 2) != 0;
        break;
    case 'R':
        w->store.register_says = registers[how & 3];
        break;
    case 'H':
        w->store.says = verdicts[how & 3];
        w->store.without_rows = (how & 4) != 0;
        w->store.elsewhere = (how & 8) != 0;
        break;
    default:
        (void)store_wake(&w->store, w->coord, how, w->now);
        break;
    }
}

/* "$" letter, then a byte. */
static void own(struct world *w, uint8_t what, uint8_t how)
{
    const uint8_t secret[PV_CTL_SECRET_LEN] = {how};
    switch (what) {
    case 'b':
        pv_coord_bill(w->coord, PV_MS(how), w->now);
        break;
    case 'i':
        pv_coord_idle(w->coord, w->now);
        break;
    case 'd':
        drop(w, how);
        break;
    case 'p':
        set_policy(w, how);
        break;
    case 's':
        pv_coord_set_secret(w->coord, secret);
        break;
    case 't':
        set_tls(w, how);
        break;
    case 'k':
        w->wall_ahead += PV_S(3600) * how;
        pass(w, 0);
        break;
    case 'm':
        pass(w, PV_S(60) * how);
        break;
    case 'n':
        look(w);
        break;
    case 'q':
        pv_coord_closed(w->coord, how % 2 == 0 ? w->conn : w->raw, w->now);
        w->closed |= how % 2 == 0;
        w->raw_open &= how % 2 == 0;
        break;
    default:
        if (what >= 'A' && what <= 'Z')
            own_store(w, what, how);
        else if ((w->flags & SEVERAL) != 0)
            own_several(w, what, how);
        break;
    }
}

/* Bytes of a connection that does not begin with a handshake; another one when it has ended. */
static void say_raw(struct world *w, struct pv_view bytes)
{
    const struct pv_addr src = pv_addr4(192, 0, 2, 9, 9), local = pv_addr4(198, 51, 100, 1, 3478);
    if (!w->raw_open) {
        w->raw = w->raw < RAW ? RAW : w->raw + 1;
        w->raw_open = pv_coord_accept(w->coord, w->raw, &src, w->now) == PV_OK;
        pv_coord_came_to(w->coord, w->raw, &local);
        if (bytes.len > 3 && bytes.ptr[3] % 2 == 1)
            pv_coord_speaks_tls(w->coord, w->raw);
    }
    if (w->raw_open && bytes.len > 0 && pv_coord_wants_bytes(w->coord, w->raw))
        pv_coord_handle_bytes(w->coord, w->raw, bytes, w->now);
}

static uint8_t byte_of(struct pv_view line, size_t i)
{
    return i < line.len ? line.ptr[i] : 0;
}

static void say_line(struct world *w, struct pv_view line)
{
    uint8_t first = line.len > 1 ? line.ptr[0] : 0;
    if (first == '@')
        pass(w, PV_S(line.ptr[1] % 64u));
    else if (first == '!')
        say_signed(w, line);
    else if (first == '?')
        say_request(w, line.ptr[1], byte_of(line, 2), byte_of(line, 3));
    else if (first == '$')
        own(w, line.ptr[1], byte_of(line, 2));
    else if (first == '#')
        say_raw(w, pv_view(line.ptr + 1, line.len - 1));
    else if (line.len > 0 && line.len <= PV_CONTROL_TEXT_MAX)
        (void)!pv_control_send(w->client, line);
    pump(w);
}

/* As an operator would set it who has room for nobody. */
static void set_tight(struct pv_coord_config *cfg)
{
    static const struct pv_turns_config relay = {
        .enabled = true,
        .relay_bind = {{.family = PV_AF_INET, .ip = {192, 0, 2, 9}}},
        .limits = {.relays = 16},
    };
    static const struct pv_netlimits_table limits = {
        .all = {.members = 3, .statements = 12, .stored = 100}};
    cfg->relay = &relay;
    cfg->policy.net_limits = &limits;
    cfg->policy.switches.open = true;
    cfg->limits = (struct pv_coord_limits){
        .conns = 6,
        .applicants = 3,
        .regulars = 2,
        .source_burst = 12,
        .request_rate = 3,
        .request_burst = 12,
        .network_rate = 3,
        .network_burst = 8,
        .signal_rate = 1,
        .signal_burst = 3,
        .networks = 1,
        .open_burst = 1,
        .subscriptions = 3,
        .steps = 8,
    };
}

static void load_network(struct world *w)
{
    for (size_t i = 0; i < PV_ARRAY_LEN(once.rows); i++) {
        struct pv_storerow row = once.rows[i]; /* loading may write into it */
        must(pv_coord_load(w->coord, &row) == PV_OK);
    }
}

static void start(struct world *w, uint8_t flags)
{
    static const uint8_t secret[PV_CTL_SECRET_LEN] = {9};
    /* Of thousands of relay sockets each one is looked at in the end of every run. */
    static const struct pv_turns_config no_relay = {.limits = {.relays = 16}};
    bool several = (flags & SEVERAL) != 0, member = (flags & MEMBER) != 0;
    w->rng = (struct pv_rng){.fill = fuzz_fill_mix, .ctx = &w->random};
    w->now = PV_S(100);
    w->conn = FIRST;
    w->flags = flags;
    w->store.fails = (flags & STORE_FAILS) != 0;
    w->store.says = PV_HOME_TAKE;
    struct pv_coord_config cfg = {.sk = once.coordinator.sk,
                                  .secret = secret,
                                  .kem = &kem_double,
                                  .homes = several,
                                  .relay = &no_relay};
    if ((flags & TIGHT) != 0)
        set_tight(&cfg);
    must(pv_coord_new(&w->coord, &cfg, &w->rng, NULL) == PV_OK);
    if (several)
        pv_coord_set_epoch(w->coord, 2);
    else
        load_network(w);
    pv_coord_set_wall(w->coord, WALL * 1000000, w->now);
    connect_as(w, member ? &once.alice : &once.applicant, member ? PV_CTL_MEMBER : PV_CTL_APPLICANT,
               0);
    must(w->n_answered == 1 || (several && w->store.fails));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct world w; /* large; wholly new each time */
    size_t lines = 1;
    if (len == 0)
        return 0;
    must(pv_crypto_init() == PV_OK);
    if (!once.made)
        sign_network();
    memset(&w, 0, sizeof(w));
    start(&w, data[0]);
    data++;
    len--;
    while (len > 0) {
        const uint8_t *end = memchr(data, '\n', len);
        size_t n = end == NULL ? len : (size_t)(end - data);
        say_line(&w, pv_view(data, n));
        lines++;
        data += n < len ? n + 1 : n;
        len -= n < len ? n + 1 : n;
    }
    must(w.n_answered <= lines + w.n_connected);
    look(&w);
    pv_coord_shutdown(w.coord, w.now);
    pump(&w);
    must(w.closed && !w.raw_open);
    pv_control_free(w.client);
    pv_coord_free(w.coord);
    store_done(&w.store);
    return 0;
}
