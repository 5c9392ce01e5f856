/* What a server cannot be faster than: it takes records of a fixed size from publishers and does nothing but send them.
 *
 *     send BYTES message|turn
 *
 * `message`: one send per subscriber and message. `turn`: one send per subscriber and turn; all that was read in one
 * turn of the event loop is sent at once. It prints its port. A connection begins with a line, `S` or `P`, which is
 * answered with `ok`; a publisher's records are acknowledged with two bytes each.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BATCH = 256, INPUT = 1 << 16, TURN = BATCH * INPUT, UNSENT_MAX = 8 << 20 };
#define ACK "++"

struct peer {
    int fd, role, records; /* records: read in this turn, not yet acknowledged */
    size_t have, unsent, room;
    char *input, *output; /* output: what the kernel did not take */
};

static size_t record;
static int by_turn, poller, listener, subscriber_count, room, publisher_count;
static struct peer **subscribers, *publishers[BATCH];
static char *turn;
static size_t turn_length;

static void die(const char *why) {
    perror(why);
    exit(1);
}

static void watch(struct peer *peer, int operation, unsigned events) {
    struct epoll_event event = {.events = events, .data.ptr = peer};
    epoll_ctl(poller, operation, peer->fd, &event);
}

static void keep(struct peer *peer, const char *data, size_t length) {
    if (peer->unsent + length > UNSENT_MAX) die("a peer does not read");
    if (peer->unsent + length > peer->room) {
        peer->room = 2 * (peer->unsent + length);
        peer->output = realloc(peer->output, peer->room);
    }
    memcpy(peer->output + peer->unsent, data, length);
    if (!peer->unsent) watch(peer, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
    peer->unsent += length;
}

static void write_to(struct peer *peer, const char *data, size_t length) {
    ssize_t taken = peer->unsent ? 0 : send(peer->fd, data, length, MSG_NOSIGNAL);
    if (taken < 0) taken = 0; /* full, or gone: reading will tell */
    if ((size_t)taken < length) keep(peer, data + taken, length - taken);
}

static void write_rest(struct peer *peer) {
    ssize_t taken = send(peer->fd, peer->output, peer->unsent, MSG_NOSIGNAL);
    if (taken <= 0) return;
    peer->unsent -= taken;
    memmove(peer->output, peer->output + taken, peer->unsent);
    if (!peer->unsent) watch(peer, EPOLL_CTL_MOD, EPOLLIN);
}

static void send_to_all(const char *data, size_t length) {
    for (int i = 0; i < subscriber_count; i++) write_to(subscribers[i], data, length);
}

static void end_turn(void) {
    if (turn_length) send_to_all(turn, turn_length);
    turn_length = 0;
    for (int i = 0; i < publisher_count; i++) {
        char acks[2 * INPUT];
        int length = 2 * publishers[i]->records;
        for (int j = 0; j < length; j += 2) memcpy(acks + j, ACK, 2);
        write_to(publishers[i], acks, length);
        publishers[i]->records = 0;
    }
    publisher_count = 0;
}

static void forward(struct peer *peer, const char *data) {
    if (!by_turn) {
        send_to_all(data, record);
        write_to(peer, ACK, 2);
        return;
    }
    memcpy(turn + turn_length, data, record);
    turn_length += record;
    if (!peer->records++) publishers[publisher_count++] = peer;
}

/* The line that a connection begins with; returns how many bytes it took. */
static size_t greet(struct peer *peer) {
    if (peer->have < 2) return 0;
    peer->role = peer->input[0];
    if (peer->role == 'S') {
        if (subscriber_count == room) subscribers = realloc(subscribers, (room = 2 * room + 16) * sizeof *subscribers);
        subscribers[subscriber_count++] = peer;
    }
    write_to(peer, "ok\n", 3);
    return 2;
}

static void hang_up(struct peer *peer) {
    for (int i = 0; i < subscriber_count; i++)
        if (subscribers[i] == peer) subscribers[i--] = subscribers[--subscriber_count];
    for (int i = 0; i < publisher_count; i++)
        if (publishers[i] == peer) publishers[i--] = publishers[--publisher_count];
    close(peer->fd);
    free(peer->input);
    free(peer->output);
    free(peer);
}

static void receive(struct peer *peer) {
    ssize_t got = recv(peer->fd, peer->input + peer->have, INPUT - peer->have, 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
        hang_up(peer);
        return;
    }
    peer->have += got;
    size_t at = peer->role ? 0 : greet(peer);
    for (; peer->role == 'P' && peer->have - at >= record; at += record) forward(peer, peer->input + at);
    memmove(peer->input, peer->input + at, peer->have -= at);
}

static void accept_all(void) {
    for (int fd, yes = 1; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
        struct peer *peer = calloc(1, sizeof *peer);
        *peer = (struct peer){.fd = fd, .input = malloc(INPUT)};
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        watch(peer, EPOLL_CTL_ADD, EPOLLIN);
    }
}

static void listen_anywhere(void) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (bind(listener, (struct sockaddr *)&address, length) || listen(listener, 1024)) die("cannot listen");
    getsockname(listener, (struct sockaddr *)&address, &length);
    struct epoll_event event = {.events = EPOLLIN};
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
}

int main(int count, char **words) {
    if (count != 3) die("send BYTES message|turn");
    record = atoi(words[1]);
    by_turn = !strcmp(words[2], "turn");
    turn = malloc(TURN);
    poller = epoll_create1(0);
    listen_anywhere();
    for (struct epoll_event events[BATCH];;) {
        int ready = epoll_wait(poller, events, BATCH, -1);
        for (int i = 0; i < ready; i++) {
            struct peer *peer = events[i].data.ptr;
            if (!peer) accept_all();
            else if (events[i].events & ~EPOLLOUT) receive(peer);
            else write_rest(peer);
        }
        end_turn();
    }
}
