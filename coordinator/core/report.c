/* SPDX-License-Identifier: MIT */
/* A report as JSON, and such JSON as lines for people and as text for Prometheus. Both are made
 * from JSON, not from the report, because the program that prints them is another process than the
 * one that counts, and may be another version. */
#include "coordinator/core/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "proto/control/jsonline.h"

/* --- the coordinator's own numbers ------------------------------------------------------------ */

/* A new one is a field of struct pv_report (or of what it holds) and a row here. */

#define OF(field)   offsetof(struct pv_report, field)
#define GAUGE       PV_METRICS_GAUGE
#define COUNTER     PV_METRICS_COUNTER
#define KIND(kind)  "p2pvpn_coordinator_connections", "kind", kind
#define NO_SAMPLE   GAUGE, NULL, NULL, NULL, NULL
#define PLAIN(name) "p2pvpn_coordinator_" name, NULL, NULL

static const struct pv_report_row rows[] = {
    {NULL, OF(uptime_s), {"uptime", NO_SAMPLE}}, /* Prometheus has process_start_time_seconds */
    {NULL, OF(coord.networks), {"networks", GAUGE, PLAIN("networks"), "Networks."}},
    {NULL,
     OF(coord.statements),
     {"statements", GAUGE, PLAIN("statements"), "Statements of all networks."}},
    {NULL, OF(coord.online), {"online", GAUGE, PLAIN("nodes_online"), "Nodes online."}},

    {"connections", OF(coord.conns), {"open", NO_SAMPLE}}, /* the sum of the kinds */
    {"connections",
     OF(coord.accepted),
     {"accepted", COUNTER, PLAIN("accepted_connections_total"), "TCP connections accepted."}},
    {"connections",
     OF(kinds.members),
     {"members", GAUGE, KIND("members"), "Open TCP connections, by what speaks there."}},
    {"connections", OF(kinds.guests), {"guests", GAUGE, KIND("guests"), NULL}},
    {"connections", OF(kinds.turn), {"turn", GAUGE, KIND("turn"), NULL}},
    {"connections", OF(kinds.stun), {"stun", GAUGE, KIND("stun"), NULL}},
    {"connections", OF(kinds.opening), {"opening", GAUGE, KIND("opening"), NULL}},
    {"connections", OF(kinds.closing), {"closing", GAUGE, KIND("closing"), NULL}},
    {"connections",
     OF(tls),
     {"tls", GAUGE, PLAIN("tls_connections"), "Those of them that are inside TLS."}},
    {"connections",
     OF(kinds.hybrid),
     {"hybrid", GAUGE, PLAIN("hybrid_connections"),
      "Control channels of members and guests whose keys ML-KEM-768 takes part in."}},
    {"connections",
     OF(handshakes),
     {"tls_handshakes", GAUGE, PLAIN("tls_handshakes"), "TLS handshakes under way."}},
    {"connections",
     OF(waiting),
     {"waiting", GAUGE, PLAIN("connections_waiting"),
      "1 while new connections wait because all descriptors are in use."}},

    {"requests",
     OF(coord.signals),
     {"signals", COUNTER, PLAIN("signals_total"), "Signals passed on between nodes."}},
    {"requests",
     OF(coord.failed),
     {"failed", COUNTER, PLAIN("failed_connections_total"),
      "Connections ended for a wrong handshake, message or hello."}},
    {"requests",
     OF(coord.requests),
     {"handled", COUNTER, PLAIN("requests_total"), "Requests of nodes."}},

    /* All of `limits` is one family, by name; those of enum pv_coord_limit follow this one. */
    {"limits", OF(tls_refused), {"tls_handshakes", NO_SAMPLE}},
    {"limits", OF(no_fds), {"descriptors", NO_SAMPLE}},

    {"store",
     OF(coord.jobs),
     {"pending", GAUGE, PLAIN("store_pending"), "Changes that wait for the disk."}},
    {"store",
     OF(store.failed),
     {"failed", COUNTER, PLAIN("store_failed_total"), "Changes that were not written."}},
    {"store", OF(store.bytes), {"bytes", GAUGE, PLAIN("store_bytes"), "Size of the database."}},
    {"store",
     OF(store.free),
     {"disk_free", GAUGE, PLAIN("disk_free_bytes"), "Free bytes of its disk."}},

    {"cluster",
     OF(living),
     {"coordinators", GAUGE, PLAIN("cluster_coordinators"),
      "Coordinators that share this one's database and live; 0: it has a database of its own."}},
    {"cluster",
     OF(coord.homes_taken),
     {"taken", COUNTER, PLAIN("homes_taken_total"), "Networks that came to this coordinator."}},
    {"cluster",
     OF(coord.homes_given),
     {"given", COUNTER, PLAIN("homes_given_total"),
      "Networks that it gave away, or let go as nobody used them."}},
    {"cluster",
     OF(coord.homes_lost),
     {"lost", COUNTER, PLAIN("homes_lost_total"), "Networks that other coordinators took."}},
    {"cluster",
     OF(coord.moved),
     {"moved", COUNTER, PLAIN("nodes_moved_total"),
      "Nodes that were told to go to another coordinator."}},

    {"loop",
     OF(loop.turns),
     {"turns", COUNTER, PLAIN("loop_turns_total"), "Turns of the control thread's loop."}},
    {"loop",
     OF(loop.slow),
     {"slow", COUNTER, PLAIN("loop_slow_turns_total"), "Turns that took more than 5 ms."}},
    {"loop",
     OF(loop.hard),
     {"hard", COUNTER, PLAIN("loop_hard_turns_total"),
      "Of the slow turns those in which the thread itself worked for more than 5 ms."}},
    {"loop",
     OF(loop.busy_us),
     {"busy_us", COUNTER, PLAIN("loop_busy_microseconds_total"),
      "Time that the control thread did not sleep."}},
    {"loop",
     OF(loop.longest_us),
     {"longest_us", GAUGE, PLAIN("loop_longest_turn_microseconds"),
      "The longest turn of the last one to two minutes."}},
};

const struct pv_report_row *pv_report_rows(size_t *ret_n)
{
    *ret_n = PV_ARRAY_LEN(rows);
    return rows;
}

/* --- the report ------------------------------------------------------------------------------ */

enum {
    UDP_SILENT_S = 30, /* ours: so long after the start silence by UDP says something */
};

/* --- JSON ------------------------------------------------------------------------------------ */

/* JSON has signed integers (jansson: 64 bits); a counter that is larger stays at the top. */
static json_t *number(uint64_t n)
{
    return json_integer(n > INT64_MAX ? INT64_MAX : (json_int_t)n);
}

/* Lists the addresses as they were printed at the start. */
static json_t *addrs_json(const struct pv_report *r)
{
    json_t *list = json_array();
    for (size_t i = 0; i < r->n_addrs; i++)
        pv_jsonline_add(&list, json_string(r->addrs[i]));
    return list;
}

/* Lists static users by name, which the operator gave them; each number has its row in
 * relaystats.c. */
static json_t *users_json(const struct pv_report *r)
{
    json_t *list = json_array();
    for (size_t i = 0; i < r->n_users; i++) {
        json_t *user = json_pack("{s:s}", "name", r->users[i]);
        for (int k = 0; k < PV_RELAYSTAT_USER_N; k++) {
            enum pv_relaystat_user what = (enum pv_relaystat_user)k;
            pv_jsonline_set(&user, pv_relaystat_user_row(what)->key,
                            number(pv_relaystat_get_user(r->relay, i, what)));
        }
        pv_jsonline_add(&list, user);
    }
    return list;
}

/* Writes the relay's counters by their names, drops in an object of their own. */
static json_t *relay_json(const struct pv_report *r)
{
    json_t *relay = json_pack("{s:b}", "enabled", r->relay_on);
    json_t *drops = json_object();
    for (int i = 0; i < PV_RELAYSTAT_N; i++) {
        enum pv_relaystat what = (enum pv_relaystat)i;
        const char *key = pv_relaystat_row(what)->key;
        const char *reason = pv_relaystat_reason(what);
        pv_jsonline_set(reason != NULL ? &drops : &relay, reason != NULL ? reason : key,
                        number(pv_relaystat_get(r->relay, what)));
    }
    pv_jsonline_set(&relay, "drops", drops);
    pv_jsonline_set(&relay, "users", users_json(r));
    return relay;
}

/* Writes the numbers that Prometheus' own libraries tell of a process, read by the shell
 * (sys/proc/procinfo). */
static json_t *process_json(const struct pv_metrics_process *p)
{
    return json_pack("{s:f, s:f, s:o, s:o, s:o}", "cpu", p->cpu_s, "start", p->start_s, "resident",
                     number(p->resident), "fds", number(p->fds), "max_fds", number(p->max_fds));
}

/* Writes the numbers of the table, each into its object. Not 0: out of memory. */
static int set_rows(json_t *doc, const struct pv_report *r)
{
    int failed = 0;
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        uint64_t value = 0;
        memcpy(&value, (const char *)r + rows[i].offset, sizeof(value));
        json_t *object = rows[i].object == NULL ? doc : json_object_get(doc, rows[i].object);
        failed |= json_object_set_new(object, rows[i].stat.key, number(value));
    }
    json_t *limits = json_object_get(doc, "limits");
    for (int i = 0; i < PV_COORD_LIMITS; i++)
        failed |= json_object_set_new(limits, pv_coord_limit_name((enum pv_coord_limit)i),
                                      number(r->coord.limits[i]));
    return failed;
}

/* Objects are made here in the order in which people read them; set_rows() fills them. */
json_t *pv_report_json(const struct pv_report *r)
{
    json_t *doc =
        json_pack("{s:i, s:s, s:s?, s:o, s:{}, s:{}, s:o, s:{}, s:{s:s, s:s?}, s:{}, s:{}, s:o}",
                  "version", PV_REPORT_VERSION, "coordinator", r->version, "rights", r->rights,
                  "listen", addrs_json(r), "connections", "requests", "relay", relay_json(r),
                  "limits", "store", "kind", r->store.postgres ? "postgres" : "sqlite", "error",
                  r->store.error, "cluster", "loop", "process", process_json(&r->process));
    if (doc == NULL || set_rows(doc, r) == 0)
        return doc;
    json_decref(doc);
    return NULL;
}

/* --- lines ----------------------------------------------------------------------------------- */

/* Text under construction, of at most PV_REPORT_TEXT_MAX bytes. */
struct report_lines {
    char *text;
    size_t len; /* PV_REPORT_TEXT_MAX - 1: it is full */
};

static void put_text(struct report_lines *l, const char *fmt, ...) PV_PRINTF(2, 3);
static void put_text(struct report_lines *l, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    size_t room = PV_REPORT_TEXT_MAX - l->len;
    int n = vsnprintf(l->text + l->len, room, fmt, ap);
    va_end(ap);
    l->len = n < 0 || (size_t)n >= room ? PV_REPORT_TEXT_MAX - 1 : l->len + (size_t)n;
}

/* A number that is not there is 0: another version may have made the document. */
static json_int_t number_at(const json_t *obj, const char *key)
{
    return json_integer_value(json_object_get(obj, key));
}

/* A number of bytes for people: "3.0 MiB". */
static const char *bytes_at(const json_t *obj, const char *key, char buf[static PV_AMOUNT_BUF])
{
    return pv_bytes_format((double)number_at(obj, key), buf);
}

/* Writes a number with its noun: "1 guest", "2 guests". */
static void put_number_of(struct report_lines *l, const json_t *obj, const char *key,
                          const char *noun)
{
    json_int_t n = number_at(obj, key);
    put_text(l, "%" JSON_INTEGER_FORMAT " %s%s", n, noun, n == 1 ? "" : "s");
}

/* Writes "NAME 3, OTHER 1" of the counters that are not zero, else "none". */
static void put_counts(struct report_lines *l, const char *label, json_t *counts)
{
    const char *name;
    json_t *value;
    bool any = false;
    put_text(l, "%-14s", label);
    json_object_foreach(counts, name, value)
    {
        if (json_integer_value(value) == 0)
            continue;
        put_text(l, "%s%s %" JSON_INTEGER_FORMAT, any ? ", " : "", name, json_integer_value(value));
        any = true;
    }
    put_text(l, any ? "\n" : "none\n");
}

/* Writes version, addresses, networks and connections. Any of them may be missing or of another
 * type in the document, which reads as 0 or "?". */
static void put_head(struct report_lines *l, const json_t *doc)
{
    char buf[PV_AMOUNT_BUF];
    const char *version = json_string_value(json_object_get(doc, "coordinator"));
    const json_t *list = json_object_get(doc, "listen"), *addr;
    const json_t *conns = json_object_get(doc, "connections");
    const json_t *requests = json_object_get(doc, "requests");
    size_t i;
    put_text(l, "%-14s%s, up %s\n", "coordinator", version == NULL ? "?" : version,
             pv_duration_format((double)number_at(doc, "uptime"), buf));
    const char *rights = json_string_value(json_object_get(doc, "rights"));
    if (rights != NULL)
        put_text(l, "%-14s%s\n", "rights", rights);
    put_text(l, "%-14s", "listening");
    json_array_foreach(list, i, addr)
    {
        const char *text = json_string_value(addr);
        put_text(l, "%s%s", i == 0 ? "" : " ", text == NULL ? "?" : text);
    }
    put_text(l, "\n%-14s%" JSON_INTEGER_FORMAT ", ", "networks", number_at(doc, "networks"));
    put_number_of(l, doc, "statements", "statement");
    put_text(l, "\n%-14s%" JSON_INTEGER_FORMAT "\n", "nodes online", number_at(doc, "online"));
    put_text(l, "%-14s%" JSON_INTEGER_FORMAT ": ", "connections", number_at(conns, "open"));
    put_number_of(l, conns, "members", "member");
    put_text(l, ", ");
    put_number_of(l, conns, "guests", "guest");
    put_text(l,
             ", %" JSON_INTEGER_FORMAT " TURN, %" JSON_INTEGER_FORMAT " STUN, %" JSON_INTEGER_FORMAT
             " opening, %" JSON_INTEGER_FORMAT " closing; %" JSON_INTEGER_FORMAT
             " by TLS, %" JSON_INTEGER_FORMAT " hybrid\n",
             number_at(conns, "turn"), number_at(conns, "stun"), number_at(conns, "opening"),
             number_at(conns, "closing"), number_at(conns, "tls"), number_at(conns, "hybrid"));
    put_text(l, "%-14s", "requests");
    put_number_of(l, requests, "signals", "signal");
    put_text(l, " passed on, ");
    put_number_of(l, requests, "failed", "connection");
    put_text(l, " closed for protocol errors\n");
}

/* Writes the traffic of the relay, for members and for each static user, and its drops by
 * reason. */
static void put_relay(struct report_lines *l, const json_t *relay)
{
    char text[PV_AMOUNT_BUF];
    const json_t *user;
    size_t i;
    if (!json_is_true(json_object_get(relay, "enabled"))) {
        put_text(l, "%-14soff\n", "relay");
        return;
    }
    put_text(l, "%-14s", "relay");
    put_number_of(l, relay, "member_allocations", "allocation");
    put_text(l, " of members, %" JSON_INTEGER_FORMAT " of static users on ",
             number_at(relay, "static_allocations"));
    put_number_of(l, relay, "sockets", "socket");
    put_text(l, "\n%-14s%s in ", "relayed", bytes_at(relay, "member_bytes", text));
    put_number_of(l, relay, "member_packets", "packet");
    put_text(l, " for members\n%-14s%s in ", "", bytes_at(relay, "static_bytes", text));
    put_number_of(l, relay, "static_packets", "packet");
    put_text(l, " for static users\n");
    if (number_at(relay, "doors") > 0 || number_at(relay, "door_packets") > 0) {
        put_text(l, "%-14s%s in ", "", bytes_at(relay, "door_bytes", text));
        put_number_of(l, relay, "door_packets", "packet");
        put_text(l, " through doors, ");
        put_number_of(l, relay, "doors", "door");
        put_text(l, " open now\n");
    }
    json_array_foreach(json_object_get(relay, "users"), i, user)
    {
        const char *name = json_string_value(json_object_get(user, "name"));
        put_text(l, "%-14s%s in ", "", bytes_at(user, "bytes", text));
        put_number_of(l, user, "packets", "packet");
        put_text(l, " for %s, ", name == NULL ? "?" : name);
        put_number_of(l, user, "allocations", "allocation");
        put_text(l, " now\n");
    }
    put_text(l, "%-14s", "");
    put_number_of(l, relay, "refused", "request");
    put_text(l, " answered by an error\n");
    put_counts(l, "not relayed", json_object_get(relay, "drops"));
}

bool pv_report_is_udp_silent(uint64_t online, uint64_t received, uint64_t uptime_s)
{
    return received == 0 && online > 0 && uptime_s >= UDP_SILENT_S;
}

/* A report of an older program does not say. */
static void put_udp_problem(struct report_lines *l, const json_t *doc)
{
    const json_t *received = json_object_get(json_object_get(doc, "relay"), "udp_received");
    if (!json_is_integer(received) ||
        !pv_report_is_udp_silent((uint64_t)number_at(doc, "online"),
                                 (uint64_t)json_integer_value(received),
                                 (uint64_t)number_at(doc, "uptime")))
        return;
    put_text(l, "%-14sno UDP has come in, all nodes come by TCP only: let UDP in to the ports\n",
             "problem");
    put_text(l, "%-14sabove, in the firewall of this machine and in front of it; or all nodes\n",
             "");
    put_text(l, "%-14sthat are here are in networks that let no UDP out\n", "");
}

static void put_problems(struct report_lines *l, const json_t *doc)
{
    put_udp_problem(l, doc);
    if (number_at(json_object_get(doc, "connections"), "waiting") == 0)
        return;
    put_text(l, "%-14sall %" JSON_INTEGER_FORMAT " descriptors are in use, new connections wait:\n",
             "problem", number_at(json_object_get(doc, "process"), "max_fds"));
    put_text(l,
             "%-14sset a higher LimitNOFILE= (`systemctl edit p2pvpn-coordinator`) and restart\n",
             "");
}

/* The store is ok as long as its last operation was: a disk that is full shows here first. */
static void put_store(struct report_lines *l, const json_t *store)
{
    char size[PV_AMOUNT_BUF], left[PV_AMOUNT_BUF];
    const char *error = json_string_value(json_object_get(store, "error"));
    const char *kind = json_string_value(json_object_get(store, "kind"));
    put_text(l, "%-14s%s, ", "store", error == NULL ? "ok" : "failing");
    if (kind != NULL && strcmp(kind, "postgres") == 0)
        put_text(l, "in PostgreSQL");
    else
        put_text(l, "%s, %s left on the disk", bytes_at(store, "bytes", size),
                 bytes_at(store, "disk_free", left));
    if (number_at(store, "pending") > 0) {
        put_text(l, ", ");
        put_number_of(l, store, "pending", "change");
        put_text(l, " waiting");
    }
    if (number_at(store, "failed") > 0)
        put_text(l, ", %" JSON_INTEGER_FORMAT " failed", number_at(store, "failed"));
    put_text(l, "\n");
    if (error != NULL)
        put_text(l, "%-14s%s\n", "", error);
}

/* A coordinator that waits for its turn has nothing to count. */
static void put_standby(struct report_lines *l, const json_t *doc)
{
    const char *serves = json_string_value(json_object_get(doc, "serves"));
    const char *error = json_string_value(json_object_get(doc, "error"));
    put_text(l, "%-14sstanding by: %s\n", "coordinator",
             serves != NULL  ? "somebody has the database alone"
             : error != NULL ? error
                             : "it asks the database");
    if (serves != NULL)
        put_text(l, "%-14s%s\n", "who has it", serves);
}

/* Of a coordinator with a database of its own there is nothing to say. */
static void put_cluster(struct report_lines *l, const json_t *doc)
{
    const json_t *cluster = json_object_get(doc, "cluster");
    if (number_at(cluster, "coordinators") == 0)
        return;
    put_text(l, "%-14s", "cluster");
    put_number_of(l, cluster, "coordinators", "coordinator");
    put_text(l, ", home of ");
    put_number_of(l, doc, "networks", "network");
    put_text(l,
             " here: %" JSON_INTEGER_FORMAT " came, %" JSON_INTEGER_FORMAT
             " were given away, %" JSON_INTEGER_FORMAT " were taken by others\n",
             number_at(cluster, "taken"), number_at(cluster, "given"), number_at(cluster, "lost"));
}

bool pv_report_is_well(const json_t *doc)
{
    const json_t *store = json_object_get(doc, "store");
    return !json_is_true(json_object_get(doc, "standby")) && json_is_object(store) &&
           !json_is_string(json_object_get(store, "error"));
}

/* The document is not trusted to be whole: it comes from another process, perhaps of another
 * version. */
int pv_report_text(const json_t *doc, char ret_text[static PV_REPORT_TEXT_MAX])
{
    struct report_lines l = {.text = ret_text};
    if (number_at(doc, "version") != PV_REPORT_VERSION)
        return PV_ERR_MALFORMED;
    if (json_is_true(json_object_get(doc, "standby"))) {
        put_standby(&l, doc);
        return PV_OK;
    }
    put_head(&l, doc);
    put_relay(&l, json_object_get(doc, "relay"));
    put_counts(&l, "limits hit", json_object_get(doc, "limits"));
    put_store(&l, json_object_get(doc, "store"));
    put_cluster(&l, doc);
    put_problems(&l, doc);
    return l.len == PV_REPORT_TEXT_MAX - 1 ? PV_ERR_NO_SPACE : PV_OK;
}

/* --- metrics (docs/OPERATIONS.md "Metrics") --------------------------------------------------- */

/* Of a coordinator of another version missing numbers are 0, and reasons and limits that this
 * version does not know are shown all the same. */

enum {
    SAMPLES_MAX = 128, /* more than both tables have; test_report compares */
};

/* Counters are never below zero, whatever stands there. */
static uint64_t count_at(const json_t *obj, const char *key)
{
    json_int_t n = number_at(obj, key);
    return n < 0 ? 0 : (uint64_t)n;
}

/* Each member of an object becomes a sample with its name as the label. */
static void put_object(struct pv_metrics *m, const char *label, json_t *counts)
{
    const char *name;
    json_t *value;
    json_object_foreach(counts, name, value)
    {
        if (json_is_integer(value))
            pv_metrics_count(m, count_at(counts, name), label, name, NULL);
    }
}

/* A number of the document, and how it is shown. */
struct report_sample {
    const json_t *object;
    const struct pv_stat_row *row;
};

/* Is row i the first of its family? Some twenty families are looked through for each, once a
 * scrape. */
static bool begins_family(const struct report_sample *samples, size_t i)
{
    for (size_t k = 0; k < i; k++) {
        if (strcmp(samples[k].row->family, samples[i].row->family) == 0)
            return false;
    }
    return true;
}

/* The samples of a family have to stand together, wherever their rows do. */
static void put_samples(struct pv_metrics *m, const struct report_sample *samples, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct pv_stat_row *head = samples[i].row;
        if (!begins_family(samples, i))
            continue;
        pv_metrics_family(m, head->type, head->family, head->help);
        for (size_t k = i; k < n; k++) {
            const struct pv_stat_row *row = samples[k].row;
            if (strcmp(row->family, head->family) == 0)
                pv_metrics_count(m, count_at(samples[k].object, row->key), row->label, row->value,
                                 NULL);
        }
    }
}

/* Writes the coordinator's own numbers, then the relay's. */
static void put_tables(struct pv_metrics *m, const json_t *doc)
{
    struct report_sample samples[SAMPLES_MAX];
    size_t n = 0;
    for (size_t i = 0; i < PV_ARRAY_LEN(rows) && n < SAMPLES_MAX; i++) {
        const char *object = rows[i].object;
        if (rows[i].stat.family != NULL)
            samples[n++] = (struct report_sample){
                object == NULL ? doc : json_object_get(doc, object), &rows[i].stat};
    }
    for (int i = 0; i < PV_RELAYSTAT_N && n < SAMPLES_MAX; i++) {
        const struct pv_stat_row *row = pv_relaystat_row((enum pv_relaystat)i);
        if (row->family != NULL)
            samples[n++] = (struct report_sample){json_object_get(doc, "relay"), row};
    }
    put_samples(m, samples, n);
}

/* Writes everything that is no number of a table: the version, switches, and objects whose members
 * are the labels. */
static void put_rest(struct pv_metrics *m, const json_t *doc)
{
    const json_t *relay = json_object_get(doc, "relay");
    pv_metrics_family(m, PV_METRICS_GAUGE, "p2pvpn_coordinator_build_info",
                      "The version that runs.");
    pv_metrics_count(m, 1, "version", json_string_value(json_object_get(doc, "coordinator")), NULL);
    pv_metrics_family(m, PV_METRICS_COUNTER, "p2pvpn_coordinator_limited_total",
                      "Connections and requests turned away, by the limit that was hit.");
    put_object(m, "limit", json_object_get(doc, "limits"));
    pv_metrics_one(m, PV_METRICS_GAUGE, "p2pvpn_coordinator_relay_enabled", "1: the relay is on.",
                   json_is_true(json_object_get(relay, "enabled")));
    pv_metrics_family(m, PV_METRICS_COUNTER, "p2pvpn_coordinator_relay_drops_total",
                      "Datagrams not relayed, by reason.");
    put_object(m, "reason", json_object_get(relay, "drops"));
    pv_metrics_family(m, PV_METRICS_GAUGE, "p2pvpn_coordinator_store_healthy",
                      "1: the last change was written.");
    pv_metrics_count(m, json_is_null(json_object_get(json_object_get(doc, "store"), "error")),
                     NULL);
}

static void put_users(struct pv_metrics *m, const json_t *relay)
{
    const json_t *user;
    size_t i;
    for (int f = 0; f < PV_RELAYSTAT_USER_N; f++) {
        const struct pv_stat_row *row = pv_relaystat_user_row((enum pv_relaystat_user)f);
        pv_metrics_family(m, row->type, row->family, row->help);
        json_array_foreach(json_object_get(relay, "users"), i, user)
        {
            pv_metrics_count(m, count_at(user, row->key), row->label,
                             json_string_value(json_object_get(user, "name")), NULL);
        }
    }
}

/* Writes the families of Prometheus' own libraries, with our prefix. */
static void put_process(struct pv_metrics *m, const json_t *process)
{
    const struct pv_metrics_process p = {
        .cpu_s = json_number_value(json_object_get(process, "cpu")),
        .start_s = json_number_value(json_object_get(process, "start")),
        .resident = count_at(process, "resident"),
        .fds = count_at(process, "fds"),
        .max_fds = count_at(process, "max_fds"),
    };
    pv_metrics_process(m, "p2pvpn_coordinator", &p);
}

int pv_report_metrics(const json_t *doc, char **ret_text, size_t *ret_len)
{
    struct pv_metrics m;
    bool standby = json_is_true(json_object_get(doc, "standby"));
    if (count_at(doc, "version") != PV_REPORT_VERSION)
        return PV_ERR_MALFORMED;
    pv_metrics_init(&m);
    pv_metrics_family(&m, PV_METRICS_GAUGE, "p2pvpn_coordinator_standby",
                      "1: it waits for its database.");
    pv_metrics_count(&m, standby, NULL);
    if (standby)
        return pv_metrics_take(&m, ret_text, ret_len); /* it has nothing else to count */
    put_tables(&m, doc);
    put_rest(&m, doc);
    put_users(&m, json_object_get(doc, "relay"));
    put_process(&m, json_object_get(doc, "process"));
    return pv_metrics_take(&m, ret_text, ret_len);
}
