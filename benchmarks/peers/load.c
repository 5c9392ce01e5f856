/* The one client of this comparison: it opens all connections, publishes in a closed loop and counts what arrives.
 *
 * It reads its orders from standard input and prints one line of JSON for each run. It parses nothing: a delivery is
 * one occurrence of a two-byte marker at a subscriber, an acknowledgement one of another at a publisher. So it costs the
 * same whatever it talks to, and far less than any server. Orders are lines, some with bytes behind them:
 *
 *     port N                       on 127.0.0.1
 *     server PID                   whose processor time is told; 0: nobody's
 *     marker XY / ack XY           in hexadecimal; no ack: nothing is acknowledged
 *     gated 0|1                    whether a publisher also waits for its acknowledgements
 *     connections S|P|X COUNT      subscribers, publishers, or others; what follows is theirs:
 *     stage SEND EXPECT            then so many bytes: send the first, wait until the second have come
 *     message LENGTH               then so many bytes: what a publisher sends, several are sent in turn
 *     run WINDOW WARM_UP SECONDS   messages in flight per publisher
 *
 * In flight: published and not yet delivered to every subscriber; and, if gated, not yet acknowledged.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 1024, BUFFER = 1 << 18, PATIENCE_MS = 30000, TIMES = 1 << 22 };

struct blob { char *data; size_t length; };
struct stage { struct blob send, expect; };
struct group {
    char role;
    int count, stages, messages;
    struct stage *stage;
    struct blob *message;
};
struct peer {
    int fd, half; /* half: the last read ended with the first byte of a marker */
    struct group *group;
    long sent, counted; /* counted: deliveries of a subscriber, acknowledgements of a publisher */
};

static int port, server, gated, has_ack, poller;
static unsigned char marker[2], ack[2];
static struct group *groups;
static int group_count;
static struct peer *peers, **publishers;
static int peer_count, publisher_count, subscriber_count;
static char buffer[BUFFER];

/* Of the run under way. Messages are numbered; each has a place in two rings as large as the window of all. */
static long sent, completed, delivered, acknowledged, received_bytes, ring, *reached;
static double *sent_at;
static uint32_t *times_us;
static long timed;

static void die(const char *format, ...) {
    va_list list;
    va_start(list, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
    exit(1);
}

static void *more(void *list, int count, size_t size) {
    list = realloc(list, (count + 1) * size);
    if (!list) die("no memory");
    memset((char *)list + count * size, 0, size);
    return list;
}

static double now_s(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec + at.tv_nsec / 1e9;
}

static double own_cpu_s(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* The processor time of the server, all its threads; 0 if it is not to be told. */
static double server_cpu_s(void) {
    char path[32], line[1024], *behind_name;
    unsigned long user = 0, system = 0;
    if (!server) return 0;
    snprintf(path, sizeof path, "/proc/%d/stat", server);
    FILE *file = fopen(path, "r");
    if (!file || !fgets(line, sizeof line, file) || !(behind_name = strrchr(line, ')'))) die("the server is gone");
    fclose(file);
    sscanf(behind_name + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system);
    return (double)(user + system) / sysconf(_SC_CLK_TCK);
}

/* --- opening connections: one after the other, stage by stage */

static void converse(int fd, struct stage *stage) {
    size_t have = 0;
    if (send(fd, stage->send.data, stage->send.length, MSG_NOSIGNAL) != (ssize_t)stage->send.length) die("cannot send: %m");
    while (stage->expect.length && !memmem(buffer, have, stage->expect.data, stage->expect.length)) {
        ssize_t got = have < BUFFER ? recv(fd, buffer + have, BUFFER - have, 0) : 0;
        if (got <= 0)
            die("waited for %.*s, received %.*s", (int)stage->expect.length, stage->expect.data, (int)have, buffer);
        have += got;
    }
}

static int connected(struct group *group) {
    int fd = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(fd, (struct sockaddr *)&address, sizeof address)) die("cannot connect to port %d: %m", port);
    for (int i = 0; i < group->stages; i++) converse(fd, &group->stage[i]);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void open_peer(struct group *group) {
    struct peer *peer = &peers[peer_count++];
    *peer = (struct peer){.fd = connected(group), .group = group};
    if (group->role == 'P') publishers[publisher_count++] = peer;
    if (group->role == 'S') subscriber_count++;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = peer};
    epoll_ctl(poller, EPOLL_CTL_ADD, peer->fd, &event);
}

static void open_all(void) {
    int total = 0;
    for (int i = 0; i < group_count; i++) total += groups[i].count;
    peers = calloc(total, sizeof *peers);
    publishers = calloc(total, sizeof *publishers);
    times_us = calloc(TIMES, sizeof *times_us);
    poller = epoll_create1(0);
    for (int i = 0; i < group_count; i++)
        for (int j = 0; j < groups[i].count; j++) open_peer(&groups[i]);
}

/* --- counting */

static long count(struct peer *peer, const char *data, size_t length, const unsigned char *wanted) {
    const char *at = data, *end = data + length;
    long found = 0;
    if (peer->half && (unsigned char)*at == wanted[1]) found++, at++;
    peer->half = 0;
    while ((at = memchr(at, wanted[0], end - at))) {
        if (at + 1 == end) {
            peer->half = 1;
            break;
        }
        if ((unsigned char)at[1] == wanted[1]) found++, at++;
        at++;
    }
    return found;
}

/* A subscriber has got its next message; when the oldest has reached everybody, it is no longer in flight. */
static void deliver(struct peer *peer, double at) {
    if (peer->counted >= sent) die("a subscriber got more than was published");
    reached[peer->counted++ % ring]++;
    delivered++;
    while (completed < sent && reached[completed % ring] == subscriber_count) {
        reached[completed % ring] = 0;
        if (timed < TIMES) times_us[timed++] = (at - sent_at[completed % ring]) * 1e6;
        completed++;
    }
}

static void receive(struct peer *peer) {
    ssize_t got = recv(peer->fd, buffer, BUFFER, 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) die("the server closed a connection (%c): %m", peer->group->role);
    if (peer->group->role == 'S') {
        double at = now_s();
        received_bytes += got;
        for (long found = count(peer, buffer, got, marker); found; found--) deliver(peer, at);
    } else if (peer->group->role == 'P' && has_ack) {
        long found = count(peer, buffer, got, ack);
        peer->counted += found;
        acknowledged += found;
    }
}

/* --- publishing */

static void publish(struct peer *peer, long messages) {
    struct group *group = peer->group;
    size_t length = 0;
    double at = now_s();
    for (; messages; messages--) {
        struct blob *message = &group->message[peer->sent++ % group->messages];
        if (length + message->length > BUFFER) die("too much to send at once");
        memcpy(buffer + length, message->data, message->length);
        length += message->length;
        sent_at[sent++ % ring] = at;
    }
    if (send(peer->fd, buffer, length, MSG_NOSIGNAL) != (ssize_t)length) die("a publisher cannot send: %m");
}

/* Fill the windows: nobody's turn is skipped twice when there is not enough for all. */
static void publish_all(int window) {
    static int first;
    first = (first + 1) % publisher_count;
    for (int i = 0; i < publisher_count; i++) {
        struct peer *peer = publishers[(first + i) % publisher_count];
        long free_of_all = ring - (sent - completed);
        long free = gated ? window - (peer->sent - peer->counted) : free_of_all;
        if (free > free_of_all) free = free_of_all;
        if (free > 0) publish(peer, free);
    }
}

/* --- runs */

static void start_run(int window) {
    ring = (long)window * publisher_count;
    reached = realloc(reached, ring * sizeof *reached);
    sent_at = realloc(sent_at, ring * sizeof *sent_at);
    if (!reached || !sent_at) die("no memory");
    memset(reached, 0, ring * sizeof *reached);
    sent = completed = delivered = acknowledged = received_bytes = timed = 0;
    for (int i = 0; i < peer_count; i++) peers[i].sent = peers[i].counted = 0;
}

/* Publish for so many seconds, then wait until everything has arrived; returns how long it took. */
static double go(int window, double seconds) {
    struct epoll_event events[BATCH];
    double start = now_s();
    start_run(window);
    for (int over = 0;;) {
        over = over || now_s() - start >= seconds;
        if (!over) publish_all(window);
        if (over && completed == sent && (!has_ack || acknowledged == sent)) return now_s() - start;
        int ready = epoll_wait(poller, events, BATCH, PATIENCE_MS);
        if (!ready) die("stalled: %ld published, %ld delivered, %ld acknowledged", sent, delivered, acknowledged);
        for (int i = 0; i < ready; i++) receive(events[i].data.ptr);
    }
}

static int by_value(const void *left, const void *right) {
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

static void run(int window, double warm_up, double seconds) {
    if (warm_up > 0) go(window, warm_up);
    double own = own_cpu_s(), its = server_cpu_s();
    double took = go(window, seconds);
    own = own_cpu_s() - own, its = server_cpu_s() - its;
    qsort(times_us, timed, sizeof *times_us, by_value);
    printf("{\"in_flight\": %d, \"seconds\": %.4f, \"messages\": %ld, \"deliveries\": %ld, \"acknowledged\": %ld, "
           "\"bytes\": %ld, \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"client_busy\": %.3f, \"server_busy\": %.3f}\n",
           window, took, sent, delivered, acknowledged, received_bytes, times_us[timed / 2] / 1e3,
           times_us[timed * 99 / 100] / 1e3, own / took, its / took);
    fflush(stdout);
}

/* --- orders */

static struct blob read_blob(size_t length) {
    struct blob blob = {malloc(length + 1), length};
    if (!blob.data || fread(blob.data, 1, length, stdin) != length) die("the orders end too early");
    return blob;
}

static void add_group(char role, int count) {
    groups = more(groups, group_count, sizeof *groups);
    groups[group_count].role = role;
    groups[group_count++].count = count;
}

static void add_stage(size_t send, size_t expect) {
    struct group *group = &groups[group_count - 1];
    group->stage = more(group->stage, group->stages, sizeof *group->stage);
    struct stage *stage = &group->stage[group->stages++];
    stage->send = read_blob(send);
    stage->expect = read_blob(expect);
}

static void add_message(size_t length) {
    struct group *group = &groups[group_count - 1];
    group->message = more(group->message, group->messages, sizeof *group->message);
    group->message[group->messages++] = read_blob(length);
}

static void obey(const char *line) {
    int a, b;
    char role;
    double warm_up, seconds;
    if (sscanf(line, "port %d", &port) == 1 || sscanf(line, "server %d", &server) == 1) return;
    if (sscanf(line, "gated %d", &gated) == 1) return;
    if (sscanf(line, "marker %2hhx%2hhx", &marker[0], &marker[1]) == 2) return;
    if (sscanf(line, "ack %2hhx%2hhx", &ack[0], &ack[1]) == 2) has_ack = 1;
    else if (sscanf(line, "connections %c %d", &role, &a) == 2) add_group(role, a);
    else if (sscanf(line, "stage %d %d", &a, &b) == 2) add_stage(a, b);
    else if (sscanf(line, "message %d", &a) == 1) add_message(a);
    else if (sscanf(line, "run %d %lf %lf", &a, &warm_up, &seconds) == 3) {
        if (!peers) open_all();
        run(a, warm_up, seconds);
    } else die("no such order: %s", line);
}

int main(void) {
    char line[256];
    while (fgets(line, sizeof line, stdin)) obey(line);
    return 0;
}
