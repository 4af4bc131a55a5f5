/* SPDX-License-Identifier: MIT */
#include <pthread.h>

#include "daemon/packets/sockset.h"
#include "tests/unit/test_util.h"

PV_TEST(a_set_has_what_it_was_given_and_no_more)
{
    struct pv_sockset set = {0};
    struct pv_sockset_sock socks[PV_SOCKSET_MAX + 1], got;
    for (size_t i = 0; i < PV_ARRAY_LEN(socks); i++)
        socks[i] = (struct pv_sockset_sock){.id = (uint16_t)(65535 - i), .fd = (int)(100 + i)};
    assert_int_equal(pv_sockset_fd(&set, 65535), -1);
    assert_false(pv_sockset_at(&set, 0, &got));
    pv_sockset_change(&set, socks, PV_ARRAY_LEN(socks));
    for (size_t i = 0; i < PV_SOCKSET_MAX; i++) {
        assert_int_equal(pv_sockset_fd(&set, socks[i].id), socks[i].fd);
        assert_true(pv_sockset_at(&set, i, &got));
        assert_int_equal(got.id, socks[i].id);
        assert_int_equal(got.fd, socks[i].fd);
    }
    assert_int_equal(pv_sockset_fd(&set, socks[PV_SOCKSET_MAX].id), -1);
    pv_sockset_change(&set, socks + 3, 1);
    assert_int_equal(pv_sockset_fd(&set, socks[3].id), socks[3].fd);
    assert_int_equal(pv_sockset_fd(&set, socks[0].id), -1);
    pv_sockset_change(&set, NULL, 0);
    assert_false(pv_sockset_at(&set, 0, &got));
    pv_sockset_wait(&set); /* nobody is inside: returns */
}

enum {
    CHANGES = 2000,
    USERS = 2, /* they never sleep: more would only wait for processors */
};

struct rig {
    struct pv_sockset set;
    _Atomic bool stop;
    _Atomic bool open[CHANGES + 1]; /* by descriptor */
    _Atomic unsigned used, wrong;
    _Atomic unsigned next_thread;
};

static void *use(void *arg)
{
    struct rig *r = arg;
    unsigned thread = PV_SOCKSET_THREADS - 1 - atomic_fetch_add(&r->next_thread, 1);
    struct pv_sockset_sock sock;
    while (!atomic_load(&r->stop)) {
        pv_sockset_enter(&r->set, thread);
        for (size_t i = 0; i < PV_SOCKSET_MAX; i++) {
            if (!pv_sockset_at(&r->set, i, &sock))
                continue;
            atomic_fetch_add(&r->used, 1);
            if (!atomic_load(&r->open[sock.fd]))
                atomic_fetch_add(&r->wrong, 1);
        }
        if (atomic_load(&r->used) % 3 == 0)
            pv_sockset_leave(&r->set, thread);
    }
    pv_sockset_leave(&r->set, thread);
    return NULL;
}

PV_TEST(no_thread_uses_a_descriptor_after_the_wait)
{
    static struct rig r;
    pthread_t threads[USERS];
    for (unsigned i = 0; i < USERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, use, &r), 0);
    for (int fd = 1; fd <= CHANGES; fd++) {
        const struct pv_sockset_sock sock = {.id = (uint16_t)fd, .fd = fd};
        atomic_store(&r.open[fd], true);
        pv_sockset_change(&r.set, &sock, 1);
        pv_sockset_wait(&r.set);
        atomic_store(&r.open[fd - 1], false);
    }
    while (atomic_load(&r.used) == 0) { /* a busy machine starts threads late */
    }
    atomic_store(&r.stop, true);
    for (unsigned i = 0; i < USERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&r.wrong), 0);
}
