/* SPDX-License-Identifier: MIT */
/* What the subcommands print, for people and as JSON; backup.c does the work. */
#include "coordinator/commands.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "base/text.h"
#include "coordinator/backup.h"
#include "coordinator/core/report.h"
#include "sys/proc/clock.h"

int pv_coord_print_error(const char *error)
{
    fprintf(stderr, "p2pvpn-coordinator: %s\n", error);
    return PV_COORDEXIT_FAILED;
}

static int exit_of(int r)
{
    return r == -EACCES || r == -EPERM ? PV_COORDEXIT_PERMISSION : PV_COORDEXIT_FAILED;
}

/* Prints the document, which it takes, on one line. */
static int print_json(json_t *doc)
{
    char *text = doc == NULL ? NULL : json_dumps(doc, JSON_COMPACT);
    json_decref(doc);
    if (text == NULL)
        return pv_coord_print_error("out of memory");
    printf("%s\n", text);
    free(text);
    return PV_COORDEXIT_DONE;
}

/* --- backup and restore ---------------------------------------------------------------------- */

static void print_counts(const struct pv_backup *b)
{
    printf("%llu network%s, %llu statement%s", (unsigned long long)b->networks,
           b->networks == 1 ? "" : "s", (unsigned long long)b->statements,
           b->statements == 1 ? "" : "s");
}

static int backup(const struct pv_coordset *set)
{
    char error[PV_BACKUP_ERROR_MAX], size[PV_AMOUNT_BUF];
    struct pv_backup b;
    int r = pv_backup_make(set->state, set->operand, pv_clock_wall_us() / 1000000, &b, error);
    if (r < 0) {
        (void)pv_coord_print_error(error);
        return exit_of(r);
    }
    if (set->json)
        return print_json(json_pack("{s:i, s:s, s:I, s:I, s:I, s:I}", "version", PV_REPORT_VERSION,
                                    "file", set->operand, "made", (json_int_t)b.made, "bytes",
                                    (json_int_t)b.bytes, "networks", (json_int_t)b.networks,
                                    "statements", (json_int_t)b.statements));
    print_counts(&b);
    printf(", %s in %s\nIt has the coordinator's keys: keep it as safe as those.\n",
           pv_bytes_format((double)b.bytes, size), set->operand);
    return PV_COORDEXIT_DONE;
}

static int restore(struct pv_coordset *set)
{
    char error[PV_BACKUP_ERROR_MAX], age[PV_AMOUNT_BUF];
    struct pv_backup b;
    uint64_t wall = pv_clock_wall_us() / 1000000;
    int r = pv_backup_restore(set, set->operand, wall, &b, error);
    if (r < 0) {
        (void)pv_coord_print_error(error);
        return exit_of(r);
    }
    if (set->json)
        return print_json(json_pack("{s:i, s:s, s:I, s:I, s:I, s:s?}", "version", PV_REPORT_VERSION,
                                    "file", set->operand, "made", (json_int_t)b.made, "networks",
                                    (json_int_t)b.networks, "statements", (json_int_t)b.statements,
                                    "kept", b.kept[0] == '\0' ? NULL : b.kept));
    print_counts(&b);
    printf(" of %s ago restored\n",
           pv_duration_format(wall > b.made ? (double)(wall - b.made) : 0, age));
    if (b.kept[0] != '\0')
        printf("What was there is kept beside it: coordinator.db%s and so on.\n", b.kept);
    return PV_COORDEXIT_DONE;
}

int pv_coord_command(struct pv_coordset *set)
{
    return set->action == PV_COORDSET_BACKUP ? backup(set) : restore(set);
}
