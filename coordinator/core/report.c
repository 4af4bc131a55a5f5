/* SPDX-License-Identifier: MIT */
/* A report as JSON, and such JSON as lines for people and as text for Prometheus. Both are made
 * from JSON, not from the report, because the program that prints them is another process than the
 * one that counts. */
#include "coordinator/core/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/jsonread.h"
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
    {NULL, OF(udp_silent_s), {"udp_silent", NO_SAMPLE}}, /* it has relay_udp_received */
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
    {"connections", OF(kinds.applicants), {"applicants", GAUGE, KIND("applicants"), NULL}},
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
      "Control channels of members and applicants whose keys ML-KEM-768 takes part in."}},
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
    UDP_SILENT_S = 30,  /* ours: so long after the start silence by UDP says something */
    UDP_CLOSED_S = 300, /* ours: and so long after UDP came in, which nodes send every 110 s */
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
    json_t *doc = json_pack(
        "{s:i, s:s, s:s?, s:o, s:s?, s:{}, s:{}, s:o, s:{}, s:{s:s, s:s?}, s:{}, s:{}, "
        "s:o}",
        "version", PV_REPORT_VERSION, "coordinator", r->version, "rights", r->rights, "listen",
        addrs_json(r), "public_doubt", r->public_doubt, "connections", "requests", "relay",
        relay_json(r), "limits", "store", "kind", r->store.postgres ? "postgres" : "sqlite",
        "error", r->store.error, "cluster", "loop", "process", process_json(&r->process));
    if (doc == NULL || set_rows(doc, r) == 0)
        return doc;
    json_decref(doc);
    return NULL;
}

/* --- lines ----------------------------------------------------------------------------------- */

/* Writes a number of the object as a field of put_words() says it. */
static void put_field(struct pv_text *l, const json_t *obj, struct pv_view field)
{
    char key[48];
    snprintf(key, sizeof(key), "%.*s", (int)field.len, (const char *)field.ptr);
    char *noun = strchr(key, ' ');
    if (noun != NULL)
        *noun++ = '\0';
    json_int_t n = pv_json_int(obj, key);
    if (noun == NULL)
        pv_text_add(l, "%" JSON_INTEGER_FORMAT, n);
    else if (strcmp(noun, "*") == 0)
        pv_text_add(l, "%s", PV_BYTES_STR((double)n));
    else
        pv_text_add(l, "%" JSON_INTEGER_FORMAT " %s%s", n, noun, n == 1 ? "" : "s");
}

/* Writes words about an object. In them "{key}" is a number of it, "{key applicant}" one with its
 * noun ("1 applicant", "2 applicants"), and "{key *}" one of bytes ("3.0 MiB"). */
static void put_words(struct pv_text *l, const json_t *obj, const char *words)
{
    while (*words != '\0') {
        size_t plain = strcspn(words, "{"), field = strcspn(words + plain, "}");
        pv_text_add(l, "%.*s", (int)plain, words);
        words += plain;
        if (*words == '\0')
            return;
        put_field(l, obj, pv_view(words + 1, field - 1));
        words += field + 1;
    }
}

/* A line of them behind its label. */
static void put_line(struct pv_text *l, const char *label, const json_t *obj, const char *words)
{
    pv_text_add(l, "%-14s", label);
    put_words(l, obj, words);
    pv_text_add(l, "\n");
}

/* Writes "NAME 3, OTHER 1" of the counters that are not zero, else "none". */
static void put_counts(struct pv_text *l, const char *label, json_t *counts)
{
    const char *name;
    json_t *value;
    bool any = false;
    pv_text_add(l, "%-14s", label);
    json_object_foreach(counts, name, value) {
        if (json_integer_value(value) == 0)
            continue;
        pv_text_add(l, "%s%s %" JSON_INTEGER_FORMAT, any ? ", " : "", name,
                    json_integer_value(value));
        any = true;
    }
    pv_text_add(l, any ? "\n" : "none\n");
}

/* Writes version, addresses, networks and connections. Any of them may be missing or of another
 * type in the document, which reads as 0 or "?". */
static void put_head(struct pv_text *l, const json_t *doc)
{
    pv_text_add(l, "%-14s%s, up %s\n", "coordinator", pv_json_text(doc, "coordinator", "?"),
                PV_DURATION_STR((double)pv_json_int(doc, "uptime")));
    const char *rights = pv_json_text(doc, "rights", NULL);
    if (rights != NULL)
        pv_text_add(l, "%-14s%s\n", "rights", rights);
    pv_text_add(l, "%-14s", "listening");
    PV_EACH_JSON(json_object_get(doc, "listen"), addr)
        pv_text_add(l, "%s%s", addr_i == 0 ? "" : " ", pv_json_string(addr));
    pv_text_add(l, "\n");
    put_line(l, "networks", doc, "{networks}, {statements statement}");
    put_line(l, "nodes online", doc, "{online}");
    put_line(l, "connections", json_object_get(doc, "connections"),
             "{open}: {members member}, {applicants applicant}, {turn} TURN, {stun} STUN");
    put_line(l, "", json_object_get(doc, "connections"),
             "{opening} opening, {closing} closing; {tls} of all by TLS, {hybrid} hybrid");
    put_line(
        l, "requests", json_object_get(doc, "requests"),
        "{signals signal} passed on, {failed connection} refused or closed for protocol errors");
}

/* Writes the traffic of the relay, for members and for each static user, and its drops by
 * reason. */
static void put_relay(struct pv_text *l, const json_t *relay)
{
    if (!pv_json_bool(relay, "enabled")) {
        pv_text_add(l, "%-14soff\n", "relay");
        return;
    }
    put_line(l, "relay", relay,
             "{member_allocations allocation} of members, {static_allocations} of static users on "
             "{sockets socket}");
    put_line(l, "relayed", relay, "{member_bytes *} in {member_packets packet} for members");
    put_line(l, "", relay, "{static_bytes *} in {static_packets packet} for static users");
    if (pv_json_int(relay, "phone_ports") > 0 || pv_json_int(relay, "phone_port_packets") > 0)
        put_line(l, "", relay,
                 "{phone_port_bytes *} in {phone_port_packets packet} through phone ports, "
                 "{phone_ports phone port} open now");
    PV_EACH_JSON(json_object_get(relay, "users"), user) {
        pv_text_add(l, "%-14s", "");
        put_words(l, user, "{bytes *} in {packets packet}");
        pv_text_add(l, " for %s, ", pv_json_text(user, "name", "?"));
        put_words(l, user, "{allocations allocation} now\n");
    }
    put_line(l, "", relay, "{refused request} answered by an error");
    put_counts(l, "not relayed", json_object_get(relay, "drops"));
}

uint64_t pv_report_hear_udp(struct pv_report_udp *u, uint64_t online, uint64_t received, pv_ns now)
{
    if (online == 0 || received != u->received)
        *u = (struct pv_report_udp){.received = received, .at = now};
    return (now - u->at) / PV_S(1);
}

bool pv_report_is_udp_silent(uint64_t received, uint64_t silent_s)
{
    return silent_s >= (received == 0 ? UDP_SILENT_S : UDP_CLOSED_S);
}

static void put_udp_problem(struct pv_text *l, const json_t *doc)
{
    const json_t *relay = json_object_get(doc, "relay");
    uint64_t received = (uint64_t)pv_json_int(relay, "udp_received");
    uint64_t silent_s = (uint64_t)pv_json_int(doc, "udp_silent");
    if (!pv_report_is_udp_silent(received, silent_s))
        return;
    pv_text_add(
        l, "%-14sno UDP has come in%s%s, all nodes come by TCP only: let UDP in to the ports\n",
        "problem", received == 0 ? "" : " for ",
        received == 0 ? "" : PV_DURATION_STR((double)silent_s));
    put_line(l, "", NULL,
             "above, in the firewall of this machine and in front of it; or all nodes");
    put_line(l, "", NULL, "that are here are in networks that let no UDP out");
    /* Nodes send UDP where `public` says, and come by TCP where their token says. */
    const char *doubt = pv_json_text(doc, "public_doubt", NULL);
    if (doubt != NULL)
        pv_text_add(l, "%-14snote: %s\n", "", doubt);
}

static void put_problems(struct pv_text *l, const json_t *doc)
{
    put_udp_problem(l, doc);
    if (pv_json_int(json_object_get(doc, "connections"), "waiting") == 0)
        return;
    put_line(l, "problem", json_object_get(doc, "process"),
             "all {max_fds} descriptors are in use, new connections wait:");
    put_line(l, "", NULL,
             "set a higher LimitNOFILE= (`systemctl edit p2pvpn-coordinator`) and restart");
}

/* The store is ok as long as its last operation was: a disk that is full shows here first. */
static void put_store(struct pv_text *l, const json_t *store)
{
    const char *error = pv_json_text(store, "error", NULL);
    pv_text_add(l, "%-14s%s, ", "store", error == NULL ? "ok" : "failing");
    if (pv_json_is(store, "kind", "postgres"))
        pv_text_add(l, "in PostgreSQL");
    else
        put_words(l, store, "{bytes *}, {disk_free *} left on the disk");
    if (pv_json_int(store, "pending") > 0)
        put_words(l, store, ", {pending change} waiting");
    if (pv_json_int(store, "failed") > 0)
        put_words(l, store, ", {failed} failed");
    pv_text_add(l, "\n");
    if (error != NULL)
        pv_text_add(l, "%-14s%s\n", "", error);
}

/* A coordinator that waits for its turn has nothing to count. */
static void put_standby(struct pv_text *l, const json_t *doc)
{
    const char *serves = pv_json_text(doc, "serves", NULL);
    const char *error = pv_json_text(doc, "error", NULL);
    pv_text_add(l, "%-14sstanding by: %s\n", "coordinator",
                serves != NULL  ? "somebody has the database alone"
                : error != NULL ? error
                                : "it asks the database");
    if (serves != NULL)
        pv_text_add(l, "%-14s%s\n", "who has it", serves);
}

/* Of a coordinator with a database of its own there is nothing to say. */
static void put_cluster(struct pv_text *l, const json_t *doc)
{
    const json_t *cluster = json_object_get(doc, "cluster");
    if (pv_json_int(cluster, "coordinators") == 0)
        return;
    pv_text_add(l, "%-14s", "cluster");
    put_words(l, cluster, "{coordinators coordinator}, home of ");
    put_words(l, doc, "{networks network} here: ");
    put_words(l, cluster, "{taken} came, {given} were given away, {lost} were taken by others\n");
}

bool pv_report_is_well(const json_t *doc)
{
    const json_t *store = json_object_get(doc, "store");
    return !pv_json_bool(doc, "standby") && json_is_object(store) &&
           !json_is_string(json_object_get(store, "error"));
}

/* The document is not trusted to be whole: it comes from another process, perhaps of another
 * version. */
int pv_report_text(const json_t *doc, char ret_text[static PV_REPORT_TEXT_MAX])
{
    struct pv_text l = pv_text_in(ret_text, PV_REPORT_TEXT_MAX);
    if (pv_json_int(doc, "version") != PV_REPORT_VERSION)
        return PV_ERR_MALFORMED;
    if (pv_json_bool(doc, "standby")) {
        put_standby(&l, doc);
        return PV_OK;
    }
    put_head(&l, doc);
    put_relay(&l, json_object_get(doc, "relay"));
    put_counts(&l, "limits hit", json_object_get(doc, "limits"));
    put_store(&l, json_object_get(doc, "store"));
    put_cluster(&l, doc);
    put_problems(&l, doc);
    return l.cut ? PV_ERR_NO_SPACE : PV_OK;
}

/* --- metrics (docs/guide/metrics.md) ---------------------------------------------------------- */

/* Missing numbers are 0, and reasons and limits that this program does not know are shown all the
 * same. */

enum {
    SAMPLES_MAX = 128, /* more than both tables have; test_report compares */
};

/* Counters are never below zero, whatever stands there. */
static uint64_t count_at(const json_t *obj, const char *key)
{
    json_int_t n = pv_json_int(obj, key);
    return n < 0 ? 0 : (uint64_t)n;
}

/* Each member of an object becomes a sample with its name as the label. */
static void put_object(struct pv_metrics *m, const char *label, json_t *counts)
{
    const char *name;
    json_t *value;
    json_object_foreach(counts, name, value) {
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
    pv_metrics_count(m, 1, "version", pv_json_text(doc, "coordinator", NULL), NULL);
    pv_metrics_family(m, PV_METRICS_COUNTER, "p2pvpn_coordinator_limited_total",
                      "Connections and requests turned away, by the limit that was hit.");
    put_object(m, "limit", json_object_get(doc, "limits"));
    pv_metrics_one(m, PV_METRICS_GAUGE, "p2pvpn_coordinator_relay_enabled", "1: the relay is on.",
                   pv_json_bool(relay, "enabled"));
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
    for (int f = 0; f < PV_RELAYSTAT_USER_N; f++) {
        const struct pv_stat_row *row = pv_relaystat_user_row((enum pv_relaystat_user)f);
        pv_metrics_family(m, row->type, row->family, row->help);
        PV_EACH_JSON(json_object_get(relay, "users"), user) {
            pv_metrics_count(m, count_at(user, row->key), row->label,
                             pv_json_text(user, "name", NULL), NULL);
        }
    }
}

/* Writes the families of Prometheus' own libraries, with our prefix. */
static void put_process(struct pv_metrics *m, const json_t *process)
{
    const struct pv_metrics_process p = {
        .cpu_s = pv_json_real(process, "cpu", 0),
        .start_s = pv_json_real(process, "start", 0),
        .resident = count_at(process, "resident"),
        .fds = count_at(process, "fds"),
        .max_fds = count_at(process, "max_fds"),
    };
    pv_metrics_process(m, "p2pvpn_coordinator", &p);
}

int pv_report_metrics(const json_t *doc, char **ret_text, size_t *ret_len)
{
    struct pv_metrics m;
    bool standby = pv_json_bool(doc, "standby");
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
