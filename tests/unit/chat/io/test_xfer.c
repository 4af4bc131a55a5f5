/* SPDX-License-Identifier: MIT */
/* One transfer over loopback: whole, from the middle, and with a sender that lies. */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "chat/io/xfer.h"
#include "crypto/hash.h"
#include "sys/helper/source.h"
#include "sys/net/stream.h"
#include "sys/proc/event.h"
#include "tests/unit/test_util.h"

enum {
    SIZE = 3 * PV_FILE_CHUNK_MAX + 1234,
};

static char base[] = "/tmp/pv_xfer_XXXXXX";
static uint8_t bytes[SIZE];
static const uint8_t id[PV_FILE_ID_LEN] = {0xab, 0xcd, 1, 2, 3, 4, 5, 6, 7};
static int dir_fd, source_fd, listen_fd;
static struct pv_addr server;
static struct pv_file_stamp stamp;

static void write_at(const char *name, const void *data, size_t len)
{
    int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), len);
    close(fd);
}

static int begin(void **state)
{
    struct test_rng r = {.state = 7};
    struct stat st;
    memcpy(base + sizeof(base) - 7, "XXXXXX", 6);
    test_rng_fill(&r, bytes, sizeof(bytes));
    if (mkdtemp(base) == NULL)
        return -1;
    dir_fd = open(base, O_RDONLY | O_DIRECTORY);
    write_at("source", bytes, sizeof(bytes));
    source_fd = openat(dir_fd, "source", O_RDWR);
    if (source_fd < 0 || fstat(source_fd, &st) != 0)
        return -1;
    stamp = (struct pv_file_stamp){.dev = st.st_dev,
                                   .ino = st.st_ino,
                                   .mtime_ns = (uint64_t)st.st_mtim.tv_sec * 1000000000u +
                                               (uint64_t)st.st_mtim.tv_nsec};
    const struct pv_addr any = {.family = PV_AF_INET, .ip = {127, 0, 0, 1}};
    return pv_stream_listen(&any, NULL, &listen_fd) == PV_OK &&
                   pv_stream_local(listen_fd, &server) == PV_OK
               ? 0
               : -1;
}

static int end(void **state)
{
    static const char *const names[] = {"source", "5-abcd010203040506", "5-abcd010203040506.part"};
    for (size_t i = 0; i < PV_ARRAY_LEN(names); i++)
        unlinkat(dir_fd, names[i], 0);
    close(dir_fd);
    close(source_fd);
    close(listen_fd);
    return rmdir(base);
}

PV_TEST_WORLD(begin, end);

/* --- the sender's side, on a thread of its own ---------------------------------------------- */

struct sender {
    pthread_t thread;
    const void *script; /* what a liar sends after the answer; NULL: an honest sender */
    size_t script_len;
    uint64_t offset; /* asked for */
    enum pv_file_why why;
    uint8_t word; /* a liar is told */
};

static int accept_get(struct sender *s)
{
    struct pollfd p = {.fd = listen_fd, .events = POLLIN};
    struct pv_addr remote, local;
    uint8_t get[PV_FILE_GET_LEN], got[PV_FILE_ID_LEN];
    int fd = -1;
    if (poll(&p, 1, 20000) <= 0 || pv_stream_accept(listen_fd, &fd, &remote, &local) != PV_OK)
        return -1;
    p.fd = fd;
    for (size_t n = 0; n < sizeof(get);) {
        size_t more = 0;
        int r = pv_stream_read(fd, get + n, sizeof(get) - n, &more);
        if (r == PV_ERR_AGAIN)
            (void)poll(&p, 1, 20000);
        else if (r < 0)
            break;
        n += more;
    }
    return pv_file_get_parse(get, got, &s->offset) == PV_OK ? fd : -1;
}

/* As much of the script as the receiver takes before it has a word to say. */
static void send_script(const struct sender *s, int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT};
    const uint8_t *script = s->script;
    for (size_t sent = 0; sent < s->script_len && poll(&p, 1, 20000) > 0 && p.revents == POLLOUT;) {
        ssize_t n = send(fd, script + sent, s->script_len - sent, MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
    }
}

static void lie(struct sender *s, int fd)
{
    struct pv_blake2b512 *hash;
    uint8_t answer[PV_FILE_ANSWER_LEN], head[PV_FILE_HASH_LEN];
    assert_ok(pv_blake2b512_new(&hash));
    assert_ok(pv_blake2b512_digest(hash, head));
    pv_blake2b512_free(hash);
    pv_file_answer_build(PV_FILE_WHY_NONE, SIZE, head, answer);
    assert_int_equal(send(fd, answer, sizeof(answer), MSG_NOSIGNAL), sizeof(answer));
    send_script(s, fd);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    (void)poll(&p, 1, 20000);
    (void)!recv(fd, &s->word, 1, 0);
    close(fd);
}

/* A reader of the file, as the porter of a client starts one. */
static int open_reader(void)
{
    struct pv_source source = {.file = source_fd};
    int daemon = -1, fd = -1;
    assert_ok(pv_source_new(source_fd, &daemon, &source.own));
    assert_ok(pv_source_open(daemon, &fd));
    assert_ok(pv_source_serve(&source, -1));
    close(daemon);
    close(source.own);
    return fd;
}

static void *serve(void *arg)
{
    struct sender *s = arg;
    int fd = accept_get(s);
    assert_true(fd >= 0);
    if (s->script != NULL) {
        lie(s, fd);
        return NULL;
    }
    struct pv_xfer x = {.op = {.type = PV_FILEOP_SERVE, .size = SIZE, .stamp = stamp},
                        .sock = fd,
                        .file = open_reader()};
    x.op.offset = s->offset;
    assert_ok(pv_xfer_init(&x));
    pv_xfer_run(&x);
    s->why = x.why;
    pv_xfer_done(&x);
    return NULL;
}

/* --- the receiver's -------------------------------------------------------------------------- */

/* Connects when the transfer asks for it, as the node does. */
struct node {
    struct pv_xfer *x;
    int want, stop;
};

static void *connect_when_asked(void *arg)
{
    const struct node *n = arg;
    const struct pv_stream_bind anywhere = {.ifname = NULL};
    struct pollfd p[2] = {{.fd = n->want, .events = POLLIN}, {.fd = n->stop, .events = POLLIN}};
    int fd = -1;
    if (poll(p, 2, -1) <= 0 || p[0].revents == 0)
        return NULL;
    assert_true(atomic_load(&n->x->wants));
    assert_ok(pv_stream_connect(&server, &anywhere, &fd));
    p[1] = (struct pollfd){.fd = fd, .events = POLLOUT};
    (void)poll(&p[1], 1, 20000);
    pv_xfer_give(n->x, fd);
    return NULL;
}

/* Runs the receiver's end. cancelled: before it begins. */
static enum pv_file_why receive(uint64_t *ret_done, bool cancelled)
{
    struct pv_xfer x = {.op = {.type = PV_FILEOP_FETCH, .number = 5, .size = SIZE, .addr = server},
                        .sock = -1,
                        .file = -1,
                        .dir = dir_fd};
    struct node node = {.x = &x};
    pthread_t thread;
    memcpy(x.op.id, id, sizeof(id));
    assert_ok(pv_event_open(&node.want));
    assert_ok(pv_event_open(&node.stop));
    x.want_fd = node.want;
    assert_ok(pv_xfer_init(&x));
    if (cancelled)
        pv_xfer_cancel(&x);
    assert_int_equal(pthread_create(&thread, NULL, connect_when_asked, &node), 0);
    pv_xfer_run(&x);
    pv_event_raise(node.stop);
    assert_int_equal(pthread_join(thread, NULL), 0);
    *ret_done = atomic_load(&x.done);
    pv_xfer_done(&x);
    close(node.want);
    close(node.stop);
    return x.why;
}

static uint64_t done; /* bytes that fetch() has now */

static enum pv_file_why fetch(struct sender *s)
{
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
    enum pv_file_why why = receive(&done, false);
    assert_int_equal(pthread_join(s->thread, NULL), 0);
    return why;
}

static void assert_kept(void)
{
    static uint8_t got[SIZE + 1];
    struct stat st;
    int fd = openat(dir_fd, "5-abcd010203040506", O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(read(fd, got, sizeof(got)), SIZE);
    assert_memory_equal(got, bytes, SIZE);
    close(fd);
}

static size_t part_size(void)
{
    struct stat st;
    return fstatat(dir_fd, "5-abcd010203040506.part", &st, 0) == 0 ? (size_t)st.st_size : SIZE_MAX;
}

PV_TEST(a_whole_file_arrives)
{
    struct sender s = {.offset = 0};
    assert_int_equal(fetch(&s), PV_FILE_WHY_NONE);
    assert_int_equal(s.why, PV_FILE_WHY_NONE);
    assert_int_equal(done, SIZE);
    assert_int_equal(part_size(), SIZE_MAX);
    assert_kept();
}

/* Chunks of zeros, at the end too, take no room and count as arrived. */
PV_TEST(a_sparse_file_stays_sparse)
{
    struct sender s = {.offset = 0};
    struct stat st;
    memset(bytes + PV_FILE_CHUNK_MAX, 0, SIZE - PV_FILE_CHUNK_MAX);
    assert_int_equal(pwrite(source_fd, bytes, SIZE, 0), SIZE);
    assert_int_equal(fstat(source_fd, &st), 0);
    stamp.mtime_ns = (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec;
    assert_int_equal(fetch(&s), PV_FILE_WHY_NONE);
    assert_kept();
    assert_int_equal(fstatat(dir_fd, "5-abcd010203040506", &st, 0), 0);
    assert_true(st.st_blocks * 512 < 2 * PV_FILE_CHUNK_MAX);
}

PV_TEST(it_goes_on_where_it_was)
{
    struct sender s = {.offset = 0};
    write_at("5-abcd010203040506.part", bytes, PV_FILE_CHUNK_MAX + 77);
    assert_int_equal(fetch(&s), PV_FILE_WHY_NONE);
    assert_int_equal(s.offset, PV_FILE_CHUNK_MAX + 77);
    assert_kept();
}

PV_TEST(another_beginning_is_thrown_away)
{
    struct sender s = {.offset = 0}, again = {.offset = 0};
    uint8_t wrong[500] = {1};
    write_at("5-abcd010203040506.part", wrong, sizeof(wrong));
    assert_int_equal(fetch(&s), PV_FILE_WHY_CORRUPT);
    assert_int_equal(s.why, PV_FILE_WHY_CORRUPT);
    assert_int_equal(part_size(), 0);
    assert_int_equal(fetch(&again), PV_FILE_WHY_NONE);
    assert_int_equal(again.offset, 0);
    assert_kept();
}

PV_TEST(a_changed_file_is_told)
{
    struct sender s = {.offset = 0};
    assert_int_equal(pwrite(source_fd, "x", 1, SIZE - 1), 1);
    assert_int_equal(fetch(&s), PV_FILE_WHY_CHANGED);
    assert_int_equal(s.why, PV_FILE_WHY_CHANGED);
}

/* As a log does between the offer and the end. */
PV_TEST(a_file_that_grows_is_sent_as_it_was_offered)
{
    struct sender s = {.offset = 0};
    assert_int_equal(pwrite(source_fd, "x", 1, SIZE), 1);
    assert_int_equal(fetch(&s), PV_FILE_WHY_NONE);
    assert_int_equal(s.why, PV_FILE_WHY_NONE);
    assert_kept();
}

/* A reader that says nothing, as one does whose file hangs. */
PV_TEST(a_file_that_does_not_answer_can_be_cancelled)
{
    int pair[2], sock[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sock), 0);
    struct pv_xfer x = {
        .op = {.type = PV_FILEOP_SERVE, .size = SIZE}, .sock = sock[0], .file = pair[0]};
    assert_ok(pv_xfer_init(&x));
    pv_xfer_cancel(&x);
    pv_xfer_run(&x);
    assert_int_not_equal(x.why, PV_FILE_WHY_NONE);
    pv_xfer_done(&x);
    close(pair[1]);
    close(sock[1]);
}

PV_TEST(a_file_kept_already_needs_no_connection)
{
    write_at("5-abcd010203040506", bytes, SIZE);
    server.family = PV_AF_NONE;
    assert_int_equal(receive(&done, false), PV_FILE_WHY_NONE);
}

PV_TEST(a_link_in_the_place_of_the_file_is_not_followed)
{
    assert_int_equal(symlinkat("source", dir_fd, "5-abcd010203040506.part"), 0);
    assert_int_equal(receive(&done, false), PV_FILE_WHY_UNWRITABLE);
}

PV_TEST(a_cancelled_transfer_ends_at_once)
{
    assert_int_equal(receive(&done, true), PV_FILE_WHY_STOPPED); /* nobody accepts: it would wait */
}

PV_TEST(a_sender_that_lies_is_found_out)
{
    static uint8_t script[2 * PV_FILE_CHUNK_MAX];
    static const struct {
        uint32_t length;
        const char *why;
    } rows[] = {
        {PV_FILE_CHUNK_MAX + 1, "a chunk that is too long"},
        {0xffffffff, "a length without sense"},
        {0, "an early end, with a hash of nothing"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct sender s = {.script = script, .script_len = sizeof(script)};
        memset(script, 0, sizeof(script));
        pv_store_be32(script, rows[i].length);
        if (fetch(&s) != PV_FILE_WHY_CORRUPT || s.word != PV_FILE_WHY_CORRUPT)
            fail_msg("%s", rows[i].why);
        assert_int_equal(part_size(), 0);
    }
}

PV_TEST(nothing_is_written_behind_the_size_that_was_offered)
{
    static uint8_t script[SIZE + 4 * 8 + PV_FILE_CHUNK_MAX];
    struct sender s = {.script = script};
    while (s.script_len + 4 + PV_FILE_CHUNK_MAX <= sizeof(script)) {
        pv_store_be32(script + s.script_len, PV_FILE_CHUNK_MAX);
        s.script_len += 4 + PV_FILE_CHUNK_MAX;
    }
    assert_int_equal(fetch(&s), PV_FILE_WHY_CORRUPT);
    assert_int_equal(done, 3 * PV_FILE_CHUNK_MAX);
}
