/* SPDX-License-Identifier: MIT
 *
 * tests/unit/test_http_listen.c - what a server listens on: TCP by address and name, unix sockets, ports; and what can't be had. */
#include "unit/http_fixture.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

static void health(warm_http_request *r, void *ud) {
    (void)ud;
    warm_http_reply(r, 200, "text/plain", "ok", 2);
}

static void start(server *s, warm_http_options o) {
    server_new(s, o);
    warm_http_route(s->http, "GET", "/health", WARM_HTTP_PUBLIC, health, s);
    server_run(s);
}

static int setup(void **state) {
    server *s = malloc(sizeof *s);
    start(s, (warm_http_options){0});
    *state = s;
    return 0;
}

static int teardown(void **state) {
    server_stop(*state);
    free(*state);
    return 0;
}

static int unix_connect(const char *path) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
    return client_connect_to((struct sockaddr *)&a, sizeof a);
}

static void check_health(int fd) {
    assert_true(fd >= 0);
    client_send(fd, "GET /health HTTP/1.1\r\n\r\n");
    answer a;
    answer_read(fd, &a, false);
    assert_string_equal(a.body, "ok");
    close(fd);
}

static char *temp_dir(void) {
    static char dir[64];
    snprintf(dir, sizeof dir, "/tmp/warm-http-XXXXXX");
    assert_non_null(mkdtemp(dir));
    return dir;
}

static void several_hosts_are_served_at_once(void **state) {
    (void)state;
    const char *dir = temp_dir();
    char plain[80], scheme[80];
    snprintf(plain, sizeof plain, "%s/a.sock", dir);
    snprintf(scheme, sizeof scheme, "unix:%s/b", dir);
    const char *const hosts[] = {"127.0.0.1", plain, "127.0.0.2", scheme};
    mode_t mask = umask(077);
    server s;
    start(&s, (warm_http_options){.hosts = hosts, .n_hosts = 4});
    umask(mask);
    struct stat st;
    assert_int_equal(stat(plain, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0660);
    check_health(client_connect(&s));
    check_health(unix_connect(plain));
    check_health(unix_connect(scheme + 5));
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(warm_http_port(s.http))};
    inet_pton(AF_INET, "127.0.0.2", &a.sin_addr);
    check_health(client_connect_to((struct sockaddr *)&a, sizeof a));
    server_stop(&s);
    assert_int_equal(rmdir(dir), 0); /* the sockets are gone */
}

static void only_unix_sockets_have_no_port(void **state) {
    (void)state;
    const char *dir = temp_dir();
    char path[80];
    snprintf(path, sizeof path, "%s/a.sock", dir);
    const char *const hosts[] = {path};
    server s;
    start(&s, (warm_http_options){.hosts = hosts, .n_hosts = 1, .port = 8080});
    assert_int_equal(warm_http_port(s.http), 0);
    check_health(unix_connect(path));
    server_stop(&s);
    assert_int_equal(rmdir(dir), 0);
}

static void a_stale_socket_is_replaced_and_a_living_one_is_not(void **state) {
    (void)state;
    const char *dir = temp_dir();
    char path[80];
    snprintf(path, sizeof path, "%s/a.sock", dir);
    const char *const hosts[] = {path};
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
    int left = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(left, (struct sockaddr *)&a, sizeof a), 0);
    close(left); /* the file stays */
    server s;
    start(&s, (warm_http_options){.hosts = hosts, .n_hosts = 1});
    check_health(unix_connect(path));
    warm_err err = {0};
    warm_http *second = NULL;
    assert_int_not_equal(warm_http_new(&(warm_http_options){.hosts = hosts, .n_hosts = 1}, &second, &err), 0);
    assert_non_null(strstr(err.text, "is in use by another process"));
    check_health(unix_connect(path));
    /* another file took our name: it is not ours to remove */
    assert_int_equal(unlink(path), 0);
    int file = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(file >= 0);
    close(file);
    server_stop(&s);
    memset(&err, 0, sizeof err);
    assert_int_not_equal(warm_http_new(&(warm_http_options){.hosts = hosts, .n_hosts = 1}, &second, &err), 0);
    assert_non_null(strstr(err.text, "exists and is not a socket"));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
}

static void ipv6_is_served_with_and_without_brackets(void **state) {
    (void)state;
    int probe = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    bool have = probe >= 0 && bind(probe, (struct sockaddr *)&a, sizeof a) == 0;
    if (probe >= 0) close(probe);
    if (!have) skip();
    static const char *const names[] = {"::1", "[::1]"};
    for (size_t i = 0; i < 2; i++) {
        const char *const hosts[] = {names[i], "127.0.0.1"};
        server s;
        start(&s, (warm_http_options){.hosts = hosts, .n_hosts = 2});
        a.sin6_port = htons(warm_http_port(s.http));
        check_health(client_connect_to((struct sockaddr *)&a, sizeof a));
        check_health(client_connect(&s));
        server_stop(&s);
    }
}

static void a_name_is_served_on_the_addresses_it_has(void **state) {
    (void)state;
    const char *const hosts[] = {"localhost"};
    server s;
    start(&s, (warm_http_options){.hosts = hosts, .n_hosts = 1});
    check_health(client_connect(&s));
    server_stop(&s);
}

static void an_address_that_cannot_be_had_is_one_clear_sentence(void **state) {
    server *s = *state;
    uint16_t port = warm_http_port(s->http);
    warm_http *second = NULL;
    warm_err err = {0};
    assert_int_not_equal(warm_http_new(&(warm_http_options){.port = port}, &second, &err), 0);
    char want[96];
    snprintf(want, sizeof want, "address 127.0.0.1:%u is in use by another process", port);
    assert_string_equal(err.text, want);
    static const struct {
        const char *host, *text;
    } bad[] = {
        {"192.0.2.1", "cannot listen on 192.0.2.1:"},
        {"no such host", "cannot resolve the address to listen on, no such host: "},
        {"", "'' is no address to listen on"},
        {"unix:", "the path of a unix socket has 1 to 107 bytes, not 0"},
        {"/no/such/dir/a.sock", "cannot listen on /no/such/dir/a.sock: No such file or directory"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *const hosts[] = {"127.0.0.1", bad[i].host};
        memset(&err, 0, sizeof err);
        assert_int_not_equal(warm_http_new(&(warm_http_options){.hosts = hosts, .n_hosts = 2}, &second, &err), 0);
        if (strncmp(err.text, bad[i].text, strlen(bad[i].text)) != 0) fail_msg("%s: %s", bad[i].host, err.text);
    }
    char path[201] = {0};
    memset(path, '/', 200);
    const char *const hosts[] = {path};
    assert_int_not_equal(warm_http_new(&(warm_http_options){.hosts = hosts, .n_hosts = 1}, &second, &err), 0);
    assert_non_null(strstr(err.text, "not 200"));
}

static double cpu_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void a_connection_waits_while_descriptors_have_run_out(void **state) {
    server *s = *state;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct rlimit old;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    int lowest = dup(fd);
    close(lowest); /* the descriptor that accept would get */
    struct rlimit none = {.rlim_cur = (rlim_t)lowest, .rlim_max = old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(warm_http_port(s->http)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int rc = connect(fd, (struct sockaddr *)&a, sizeof a);
    client_send(fd, "GET /health HTTP/1.1\r\n\r\n");
    struct pollfd p = {.fd = fd, .events = POLLIN};
    double before = cpu_seconds();
    int early = poll(&p, 1, 200);
    double used = cpu_seconds() - before;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(rc, 0);
    assert_int_equal(early, 0);
    assert_true(used < 0.1); /* not spent on asking again and again */
    answer got;
    answer_read(fd, &got, false);
    assert_string_equal(got.body, "ok");
    close(fd);
}

static void two_servers_share_a_port_if_both_want_to(void **state) {
    (void)state;
    server first, second;
    start(&first, (warm_http_options){.reuse_port = true});
    start(&second, (warm_http_options){.reuse_port = true, .port = warm_http_port(first.http)});
    assert_int_equal(warm_http_port(second.http), warm_http_port(first.http));
    server_stop(&first);
    check_health(client_connect(&second));
    server_stop(&second);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(several_hosts_are_served_at_once),
        cmocka_unit_test(only_unix_sockets_have_no_port),
        cmocka_unit_test(two_servers_share_a_port_if_both_want_to),
        cmocka_unit_test(a_stale_socket_is_replaced_and_a_living_one_is_not),
        cmocka_unit_test(ipv6_is_served_with_and_without_brackets),
        cmocka_unit_test(a_name_is_served_on_the_addresses_it_has),
        cmocka_unit_test_setup_teardown(an_address_that_cannot_be_had_is_one_clear_sentence, setup, teardown),
        cmocka_unit_test_setup_teardown(a_connection_waits_while_descriptors_have_run_out, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
