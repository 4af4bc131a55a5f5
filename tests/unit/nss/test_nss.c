/* SPDX-License-Identifier: MIT */
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nss/answer.h"
#include "nss/find.h"
#include "sys/file/file.h"
#include "tests/unit/test_dir.h"
#include "tests/unit/test_util.h"

struct fixture {
    char dir[64];
};

static struct fixture *f; /* of the test that runs */

static int make(void **state)
{
    f = test_alloc(sizeof(*f));
    snprintf(f->dir, sizeof(f->dir), "/tmp/pv-nss-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    return 0;
}

static int drop(void **state)
{
    int r = test_dir_remove(f->dir);
    free(f);
    return r;
}

/* bob in this network, with the address 10.n.0.1 and fd0n::1; and a node of its own name. */
static void write_file(const char *file, const char *network, uint8_t n, unsigned mode)
{
    struct pv_names_entry e[2] = {{.name = "bob", .ip4 = pv_addr4(10, n, 0, 1, 0)}};
    uint8_t ip6[16] = {0xfd, n, [15] = 1}, bytes[PV_NAMES_SIZE(2)];
    e[0].ip6 = pv_addr6(ip6, 0);
    snprintf(e[1].name, sizeof(e[1].name), "only-%s", network);
    e[1].ip4 = pv_addr4(10, n, 0, 2, 0);
    assert_ok(pv_names_build(network, e, 2, bytes, sizeof(bytes)));
    assert_ok(pv_file_write(PV_STR("%s/%s", f->dir, file), pv_view(bytes, sizeof(bytes)), mode));
}

PV_TEST_IN(finds_in_one_network_and_in_several, make, drop)
{
    struct pv_nss_found found;
    write_file("b.names", "work", 2, 0644);
    write_file("a.names", "home", 1, 0644);
    /* Both have a bob: whoever means one of them says which. */
    assert_int_equal(pv_nss_by_name(f->dir, "bob", &found), PV_ERR_EXISTS);
    assert_ok(pv_nss_by_name(f->dir, "bob.home.p2p", &found));
    assert_string_equal(found.full, "bob.home.p2p");
    assert_ok(pv_nss_by_name(f->dir, "bob.work.p2p.", &found));
    assert_string_equal(found.full, "bob.work.p2p");
    assert_int_equal(found.ip4.ip[1], 2);
    assert_ok(pv_nss_by_name(f->dir, "only-work", &found));
    assert_int_equal(pv_nss_by_name(f->dir, "only-work.home.p2p", &found), PV_ERR_NOT_FOUND);
    assert_int_equal(pv_nss_by_name(f->dir, "bob.elsewhere.p2p", &found), PV_ERR_NOT_FOUND);
    assert_int_equal(pv_nss_by_name(f->dir, "www.debian.org", &found), PV_ERR_NOT_FOUND);
    struct pv_addr ip = pv_addr4(10, 2, 0, 2, 99);
    assert_ok(pv_nss_by_addr(f->dir, &ip, &found));
    assert_string_equal(found.full, "only-work.work.p2p");
    ip = pv_addr6((const uint8_t[16]){0xfd, 1, [15] = 1}, 0);
    assert_ok(pv_nss_by_addr(f->dir, &ip, &found));
    assert_string_equal(found.full, "bob.home.p2p");
    ip = pv_addr4(192, 0, 2, 1, 0);
    assert_int_equal(pv_nss_by_addr(f->dir, &ip, &found), PV_ERR_NOT_FOUND);
}

/* A member that came lately is in a file of its own, and for a moment in both. */
PV_TEST_IN(a_member_in_two_files_of_a_network_is_found, make, drop)
{
    struct pv_nss_found found;
    write_file("a.names", "home", 1, 0644);
    write_file("a.recent.names", "home", 1, 0644);
    assert_ok(pv_nss_by_name(f->dir, "bob", &found));
    assert_string_equal(found.full, "bob.home.p2p");
    write_file("b.names", "home", 2, 0644); /* another network of the same name */
    assert_int_equal(pv_nss_by_name(f->dir, "bob", &found), PV_ERR_EXISTS);
}

/* The daemon of another network says that it is of this one: it answers for nobody of it, also not
 * for names that only its file has. */
PV_TEST_IN(a_network_that_two_daemons_claim_is_nobodys, make, drop)
{
    struct pv_nss_found found;
    write_file("b.names", "work", 2, 0644);
    assert_ok(pv_nss_by_name(f->dir, "bob.work.p2p", &found));
    write_file("a.names", "work", 1, 0644);
    assert_int_equal(pv_nss_by_name(f->dir, "bob.work.p2p", &found), PV_ERR_EXISTS);
    assert_int_equal(pv_nss_by_name(f->dir, "only-work.work.p2p", &found), PV_ERR_EXISTS);
    write_file("a.names", "home", 1, 0644);
    assert_ok(pv_nss_by_name(f->dir, "bob.work.p2p", &found));
    assert_int_equal(found.ip4.ip[1], 2);
}

/* p2pvpnctl without -n means it, and so does a short name; no other daemon can take that away. */
PV_TEST_IN(the_first_networks_names_come_before_all_others, make, drop)
{
    struct pv_nss_found found;
    write_file("a.names", "work", 1, 0644);
    write_file("p2pvpnd.names", "home", 2, 0644);
    assert_ok(pv_nss_by_name(f->dir, "bob", &found));
    assert_string_equal(found.full, "bob.home.p2p");
    assert_ok(pv_nss_by_name(f->dir, "only-work", &found));
    write_file("a.names", "home", 1, 0644); /* or so its daemon says */
    assert_ok(pv_nss_by_name(f->dir, "bob.home.p2p", &found));
    assert_int_equal(found.ip4.ip[1], 2);
    assert_ok(pv_nss_by_name(f->dir, "only-home", &found));
    /* Two others may both have what it does not. */
    write_file("a.names", "work", 1, 0644);
    write_file("b.names", "work", 3, 0644);
    assert_int_equal(pv_nss_by_name(f->dir, "only-work", &found), PV_ERR_EXISTS);
    assert_int_equal(pv_nss_by_name(f->dir, "bob.work.p2p", &found), PV_ERR_EXISTS);
}

PV_TEST_IN(names_of_two_networks_are_found, make, drop)
{
    struct pv_nss_shared s[2];
    assert_int_equal(pv_nss_find_shared("/nonexistent", s, 2), 0);
    write_file("a.names", "work", 1, 0644);
    write_file("a.recent.names", "work", 1, 0644);
    assert_int_equal(pv_nss_find_shared(f->dir, s, 2), 0); /* they are of one */
    assert_int_equal(unlink(PV_STR("%s/a.recent.names", f->dir)), 0);
    write_file("b.names", "club", 3, 0644);
    assert_int_equal(pv_nss_find_shared(f->dir, s, 2), 1);
    assert_string_equal(s[0].name, "bob");
    assert_false(s[0].means_first);
    write_file("p2pvpnd.names", "home", 2, 0644);
    /* Of the other two alone it would not be true that it is nobody's. */
    assert_int_equal(pv_nss_find_shared(f->dir, s, 2), 2);
    assert_string_equal(s[0].of[0], "home");
    assert_string_equal(s[0].of[1], "work");
    assert_int_equal(s[0].ip4[0].ip[1], 2);
    assert_int_equal(s[0].ip4[1].ip[1], 1);
    assert_int_equal(s[0].ip6[0].ip[1], 2);
    assert_true(s[0].means_first && s[1].means_first);
    assert_int_equal(pv_nss_find_shared(f->dir, s, 1), 2); /* more than have a place */
}

/* A directory lists its files in an order of its own. */
PV_TEST_IN(of_too_many_files_the_first_networks_stay, make, drop)
{
    enum {
        OTHERS = PV_NSS_MAX_FILES + 3
    };
    struct pv_nss_found found;
    write_file("p2pvpnd.names", "home", 200, 0644);
    for (uint8_t i = 0; i < OTHERS; i++) {
        write_file(PV_STR("o%02u.names", i), "work", i, 0644);
    }
    assert_ok(pv_nss_by_name(f->dir, "bob", &found));
    assert_int_equal(found.ip4.ip[1], 200);
    write_file("p2pvpnd.names", "home", 201, 0644); /* another entry of the directory */
    assert_ok(pv_nss_by_name(f->dir, "bob", &found));
    assert_int_equal(found.ip4.ip[1], 201);
    for (unsigned i = 0; i < OTHERS; i++) {
        assert_int_equal(unlink(PV_STR("%s/o%02u.names", f->dir, i)), 0);
    }
}

PV_TEST(short_names_have_no_network)
{
    assert_true(pv_nss_is_short("bob"));
    assert_true(pv_nss_is_short("bob."));
    assert_false(pv_nss_is_short("bob.home.p2p"));
    assert_false(pv_nss_is_short("bob.home"));
}

PV_TEST_IN(without_files_nobody_is_known, make, drop)
{
    struct pv_nss_found found;
    assert_int_equal(pv_nss_by_name(f->dir, "bob", &found), PV_ERR_NOT_FOUND);
    assert_int_equal(pv_nss_by_name("/nonexistent", "bob", &found), PV_ERR_NOT_FOUND);
    write_file("note.txt", "home", 1, 0644);
    assert_int_equal(pv_nss_by_name(f->dir, "bob", &found), PV_ERR_NOT_FOUND);
}

PV_TEST_IN(a_broken_or_foreign_file_hides_nothing, make, drop)
{
    struct pv_nss_found found;
    write_file("a.names", "evil", 3, 0666); /* anybody could have written it */
    assert_int_equal(pv_nss_by_name(f->dir, "bob", &found), PV_ERR_MALFORMED);
    write_file("x", "evil", 3, 0644);
    assert_int_equal(symlink(PV_STR("%s/x", f->dir), PV_STR("%s/b.names", f->dir)), 0);
    assert_int_not_equal(pv_nss_by_name(f->dir, "bob", &found), PV_OK);
    write_file("c.names", "home", 1, 0644);
    assert_ok(pv_nss_by_name(f->dir, "bob", &found));
    assert_string_equal(found.full, "bob.home.p2p");
    assert_ok(pv_file_write(PV_STR("%s/a.names", f->dir), pv_view("garbage", 7), 0644));
    assert_ok(pv_nss_by_name(f->dir, "bob", &found));
}

/* A unit runs the daemon as a user of its own, and makes the directory for that user. */
PV_TEST_IN(the_owner_of_the_directory_is_believed, make, drop)
{
    struct pv_nss_found found;
    if (geteuid() != 0)
        skip();
    write_file("a.names", "home", 1, 0644);
    assert_int_equal(chown(PV_STR("%s/a.names", f->dir), 12345, 12345), 0);
    assert_int_equal(pv_nss_by_name(f->dir, "bob", &found), PV_ERR_MALFORMED);
    assert_int_equal(chown(f->dir, 12345, 12345), 0);
    assert_int_equal(chmod(f->dir, 0755), 0);
    assert_ok(pv_nss_by_name(f->dir, "bob", &found));
    assert_int_equal(chmod(f->dir, 01777), 0);
    assert_int_equal(pv_nss_by_name(f->dir, "bob", &found), PV_ERR_MALFORMED);
}

PV_TEST(names_below_p2p_are_ours)
{
    assert_true(pv_nss_is_ours("bob.home.p2p"));
    assert_true(pv_nss_is_ours("x.y.z.P2P."));
    assert_true(pv_nss_is_ours("nobody.p2p"));
    assert_false(pv_nss_is_ours("bob"));
    assert_false(pv_nss_is_ours(""));
    assert_false(pv_nss_is_ours("."));
    assert_false(pv_nss_is_ours(".p2p"));
    assert_false(pv_nss_is_ours("p2p."));
    assert_false(pv_nss_is_ours("home.p2p.example"));
    assert_false(pv_nss_is_ours("notp2p"));
}

PV_TEST_IN(a_hosts_file_is_read_as_hosts_5_says, make, drop)
{
    static const char text[] = "127.0.0.1\tlocalhost\n192.0.2.1 long.example  Bob\tpi # carol\n"
                               "#192.0.2.2 dave\n192.0.2.3\n\n   \n::1 last";
    const char *path = PV_STR("%s/x", f->dir);
    assert_ok(pv_file_write(path, pv_view(text, sizeof(text) - 1), 0644));
    assert_true(pv_nss_in_hosts(path, "bob"));
    assert_true(pv_nss_in_hosts(path, "pi"));
    assert_true(pv_nss_in_hosts(path, "last"));
    assert_false(pv_nss_in_hosts(path, "carol"));
    assert_false(pv_nss_in_hosts(path, "dave"));
    assert_false(pv_nss_in_hosts(path, "192.0.2.3"));
    assert_false(pv_nss_in_hosts(path, "long"));
    assert_false(pv_nss_in_hosts("/nonexistent", "bob"));
}

static struct pv_nss_found a_host(void)
{
    struct pv_nss_found found = {.name = "bob", .full = "bob.home.p2p"};
    found.ip4 = pv_addr4(10, 66, 1, 2, 0);
    found.ip6 = pv_addr6((const uint8_t[16]){0xfd, [15] = 7}, 0);
    return found;
}

PV_TEST(a_hostent_fits_or_says_that_it_does_not)
{
    const struct pv_nss_found found = a_host();
    for (int family = AF_INET; family != 0; family = family == AF_INET ? AF_INET6 : 0) {
        bool fitted = false;
        for (size_t len = 0; len < 128; len++) {
            struct hostent host;
            char *buf = malloc(len + 1); /* exact: what goes beyond is seen */
            int r = pv_nss_fill_host(&found, family, &host, buf, len);
            assert_true(fitted ? r == PV_OK : (r == PV_OK || r == PV_ERR_NO_SPACE));
            fitted = r == PV_OK;
            if (fitted) {
                assert_string_equal(host.h_name, "bob.home.p2p");
                assert_string_equal(host.h_aliases[0], "bob");
                assert_null(host.h_aliases[1]);
                assert_int_equal(host.h_addrtype, family);
                assert_int_equal(host.h_length, family == AF_INET ? 4 : 16);
                assert_memory_equal(host.h_addr_list[0],
                                    family == AF_INET ? found.ip4.ip : found.ip6.ip,
                                    (size_t)host.h_length);
                assert_null(host.h_addr_list[1]);
            }
            free(buf);
        }
        assert_true(fitted);
    }
}

PV_TEST(a_family_that_is_missing_is_not_found)
{
    struct pv_nss_found found = a_host();
    struct hostent host;
    struct gaih_addrtuple *tuple = NULL;
    char buf[256];
    found.ip6 = (struct pv_addr){0};
    assert_int_equal(pv_nss_fill_host(&found, AF_INET6, &host, buf, sizeof(buf)), PV_ERR_NOT_FOUND);
    assert_int_equal(pv_nss_fill_host(&found, AF_UNIX, &host, buf, sizeof(buf)), PV_ERR_NOT_FOUND);
    assert_ok(pv_nss_fill_tuples(&found, &tuple, buf, sizeof(buf)));
    assert_int_equal(tuple->family, AF_INET);
    assert_null(tuple->next);
    found.ip4 = (struct pv_addr){0};
    assert_int_equal(pv_nss_fill_tuples(&found, &tuple, buf, sizeof(buf)), PV_ERR_NOT_FOUND);
}

/* A DNS server must neither hear whom the user looks for, nor say who a name is that members have.
 */
PV_TEST(names_of_the_overlay_and_of_several_are_asked_of_nobody_else)
{
    static const struct {
        const char *name;
        bool found;
        int status, h_errnum;
        enum nss_status want;
    } rows[] = {
        {"bob", true, PV_OK, NETDB_SUCCESS, NSS_STATUS_SUCCESS},
        {"bob", false, PV_ERR_NOT_FOUND, HOST_NOT_FOUND, NSS_STATUS_NOTFOUND},
        {"bob", false, PV_ERR_EXISTS, HOST_NOT_FOUND, NSS_STATUS_TRYAGAIN},
        {"bob", true, PV_ERR_NOT_FOUND, NO_DATA, NSS_STATUS_TRYAGAIN},
        {"bob", false, PV_ERR_MALFORMED, NO_RECOVERY, NSS_STATUS_UNAVAIL},
        {"bob", true, PV_ERR_NO_SPACE, NETDB_INTERNAL, NSS_STATUS_TRYAGAIN},
        {"bob.home.p2p", false, PV_ERR_NOT_FOUND, HOST_NOT_FOUND, NSS_STATUS_TRYAGAIN},
        {"bob.home.p2p", false, PV_ERR_EXISTS, HOST_NOT_FOUND, NSS_STATUS_TRYAGAIN},
        {"bob.home.p2p", false, PV_ERR_MALFORMED, HOST_NOT_FOUND, NSS_STATUS_TRYAGAIN},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        int err = 0, h_err = 0;
        enum nss_status got =
            pv_nss_name_status(rows[i].name, rows[i].found, rows[i].status, &err, &h_err);
        if (got != rows[i].want || h_err != rows[i].h_errnum)
            fail_msg("%s, %d: %d, %d", rows[i].name, rows[i].status, got, h_err);
    }
}

PV_TEST(tuples_fit_or_say_that_they_do_not)
{
    const struct pv_nss_found found = a_host();
    for (int given = 0; given < 2; given++) {
        bool fitted = false;
        for (size_t len = 0; len < 256; len++) {
            struct gaih_addrtuple mine, *tuple = given ? &mine : NULL;
            char *buf = malloc(len + 1);
            int r = pv_nss_fill_tuples(&found, &tuple, buf, len);
            assert_true(fitted ? r == PV_OK : (r == PV_OK || r == PV_ERR_NO_SPACE));
            fitted = r == PV_OK;
            if (fitted) {
                assert_true(!given || tuple == &mine);
                assert_string_equal(tuple->name, "bob.home.p2p");
                assert_int_equal(tuple->family, AF_INET6);
                assert_memory_equal(tuple->addr, found.ip6.ip, 16);
                assert_int_equal(tuple->next->family, AF_INET);
                assert_memory_equal(tuple->next->addr, found.ip4.ip, 4);
                assert_null(tuple->next->next);
            }
            free(buf);
        }
        assert_true(fitted);
    }
}
