/* SPDX-License-Identifier: MIT */
/* A report as text for Prometheus (docs/OPERATIONS.md "Metrics"). It is made from the JSON that the
 * running coordinator gave, which may be another version: missing numbers are 0, and reasons and
 * limits that this version does not know are shown all the same. */
#include <string.h>

#include "coordinator/core/report_rows.h"

enum {
    SAMPLES_MAX = 128, /* more than both tables have; test_report compares */
};

/* A number that is not there is 0, as in report.c; counters are never below zero. */
static uint64_t count_at(const json_t *obj, const char *key)
{
    json_int_t n = json_integer_value(json_object_get(obj, key));
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
    size_t n = 0, n_rows = 0;
    const struct pv_report_row *rows = pv_report_rows(&n_rows);
    for (size_t i = 0; i < n_rows && n < SAMPLES_MAX; i++) {
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
    pv_metrics_family(m, PV_METRICS_GAUGE, "p2pvpn_coordinator_relay_enabled",
                      "1: the relay is on.");
    pv_metrics_count(m, json_is_true(json_object_get(relay, "enabled")), NULL);
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
