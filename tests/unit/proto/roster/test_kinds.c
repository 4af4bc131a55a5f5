/* SPDX-License-Identifier: MIT */
/* The compiler cannot see all that a row of the table of types lacks. */
#include <stdio.h>

#include "proto/roster/kinds.h"
#include "tests/unit/test_util.h"

static const struct {
    uint8_t number;
    const char *name;
} types[] = {
#define TYPE(name, number) {number, "PV_ST_" #name},
    PV_STATEMENT_TYPES(TYPE)
#undef TYPE
};

/* what: a sentence's end that says what the row in kinds.c does not. */
static void expect(bool said, const char *name, const char *what)
{
    if (!said)
        fail_msg("%s: its row in lib/proto/roster/kinds.c %s", name, what);
}

static size_t size_of(const struct pv_kind *kind)
{
    size_t n = 0;
    while (n < PV_KIND_FIELDS && kind->fields[n].form != PV_FIELD_END)
        n++;
    return n;
}

PV_TEST(each_type_says_what_it_is)
{
    for (size_t i = 0; i < PV_ARRAY_LEN(types); i++) {
        const struct pv_kind *kind = pv_kind_of(types[i].number);
        const char *name = types[i].name;
        expect(kind->name != NULL, name, "has no name");
        expect(size_of(kind) > 0 && size_of(kind) < PV_KIND_FIELDS, name,
               "has no fields, or so many that PV_KIND_FIELDS is too low");
        expect(kind->does != 0, name, "does not say what it does");
        expect(kind->by != 0, name, "does not say who may sign it");
        expect(kind->owed != 0, name, "does not say whether it is owed to anybody");
        expect(kind->owed == PV_OWED_NOT || kind->told != NULL, name,
               "has no words for what is owed");
        expect(kind->told == NULL || kind->told[0] != '~' || kind->subject != 0, name,
               "names a node, and says no subject");
        expect((kind->right & ~kind->by) == 0, name,
               "wants a right that its signers need not have");
    }
}

PV_TEST(only_types_of_one_number_share_their_places)
{
    for (size_t i = 0; i < PV_ARRAY_LEN(types); i++) {
        const struct pv_kind *kind = pv_kind_of(types[i].number);
        expect(kind->quota == PV_ROSTER_QUOTA_NONE || kind->number != 0, types[i].name,
               "says that a few are kept, and not by which number");
        for (size_t j = 0; j < i; j++)
            expect(kind->quota == PV_ROSTER_QUOTA_NONE ||
                       kind->quota != pv_kind_of(types[j].number)->quota,
                   types[i].name, "takes the places of another type (its quota)");
    }
}

/* The rest before the signature is the one field of a type that this version does not know. */
PV_TEST(a_type_of_a_later_version_is_kept_and_does_nothing)
{
    const struct pv_kind *kind = pv_kind_of(200);

    assert_null(kind->name);
    assert_int_equal(kind->does, PV_DOES_NOTHING);
    assert_int_equal(kind->fields[0].form, PV_FIELD_REST);
    assert_int_equal(kind->quota, PV_ROSTER_QUOTA_UNKNOWN);
    assert_ptr_equal(pv_kind_of(PV_ST_RECEIPT), kind);
}

PV_TEST(a_type_has_its_subject_number_and_time_where_the_row_says)
{
    struct pv_statement st = {.type = PV_ST_PLACE};

    st.u.place.serial = 7;
    st.u.place.time = 8;
    assert_ptr_equal(pv_st_subject(&st), st.u.place.node);
    assert_int_equal(pv_st_number(&st), 7);
    assert_int_equal(pv_st_time(&st), 8);
    pv_st_set_time(&st, 9);
    assert_int_equal(st.u.place.time, 9);
    st.type = PV_ST_LEAVE;
    assert_ptr_equal(pv_st_subject(&st), st.signer);
    st.type = PV_ST_RULE;
    st.u.rule.slot.seq = 10;
    assert_null(pv_st_subject(&st));
    assert_int_equal(pv_st_number(&st), 10);
    st.type = PV_ST_COORDINATORS;
    pv_st_set_time(&st, 11);
    assert_int_equal(pv_st_time(&st), 0);
}
