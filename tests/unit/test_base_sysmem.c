/* SPDX-License-Identifier: MIT
 *
 * Available memory, over a made-up /proc and /sys. */
#include <ftw.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/sysmem.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)

static char root[64];

static int begin(void **state) {
    (void)state;
    strcpy(root, "/tmp/warm-sysmem-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw) {
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static int end(void **state) {
    (void)state;
    return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void put(const char *path, const char *text) {
    char full[512];
    snprintf(full, sizeof full, "%s/%s", root, path);
    for (char *p = full + strlen(root) + 1; (p = strchr(p, '/')); p++) {
        *p = '\0';
        mkdir(full, 0755);
        *p = '/';
    }
    FILE *f = fopen(full, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void put_number(const char *path, uint64_t v) {
    char text[32];
    snprintf(text, sizeof text, "%" PRIu64 "\n", v);
    put(path, text);
}

static void put_machine(void) {
    put("proc/meminfo", "MemTotal:       16777216 kB\nMemFree:         1000000 kB\nMemAvailable:    8388608 kB\nBuffers: 1 kB\n");
}

static void check(uint64_t available, uint64_t total) {
    assert_int_equal(warm_sysmem_available(root), available);
    assert_int_equal(warm_sysmem_total(root), total);
}

static void nothing_known_is_no_limit(void **state) {
    (void)state;
    check(UINT64_MAX, UINT64_MAX);
}

static void machine_without_cgroup_limit(void **state) {
    (void)state;
    put_machine();
    check(8 * GIB, 16 * GIB);
    put("proc/self/cgroup", "0::/user.slice/x.scope\n");
    put("sys/fs/cgroup/user.slice/x.scope/memory.max", "max\n");
    put_number("sys/fs/cgroup/user.slice/x.scope/memory.current", 5 * GIB);
    check(8 * GIB, 16 * GIB);
}

static void v2_limit_counts_reclaimable_pages_as_room(void **state) {
    (void)state;
    put_machine();
    put("proc/self/cgroup", "0::/a/b\n");
    put_number("sys/fs/cgroup/a/b/memory.max", 4 * GIB);
    put_number("sys/fs/cgroup/a/b/memory.current", 3 * GIB);
    check(1 * GIB, 4 * GIB);
    put("sys/fs/cgroup/a/b/memory.stat", "anon 100\nfile 2147483648\ninactive_file_x 7\ninactive_file 1073741824\nactive_file 5\n");
    check(2 * GIB, 4 * GIB);
}

static void tightest_ancestor_decides(void **state) {
    (void)state;
    put_machine();
    put("proc/self/cgroup", "0::/a/b/c\n");
    put_number("sys/fs/cgroup/a/b/c/memory.max", 6 * GIB);
    put_number("sys/fs/cgroup/a/b/c/memory.current", 1 * GIB);
    put("sys/fs/cgroup/a/b/memory.max", "max\n");
    put_number("sys/fs/cgroup/a/memory.max", 7 * GIB);
    put_number("sys/fs/cgroup/a/memory.current", 6 * GIB + 512 * MIB);
    check(512 * MIB, 6 * GIB);
}

static void namespaced_root_is_used_when_the_path_is_the_hosts(void **state) {
    (void)state;
    put_machine();
    put("proc/self/cgroup", "0::/docker/0123abcd\n");
    put_number("sys/fs/cgroup/memory.max", 2 * GIB);
    put_number("sys/fs/cgroup/memory.current", 512 * MIB);
    check(GIB + 512 * MIB, 2 * GIB);
}

static void usage_above_the_limit_leaves_nothing(void **state) {
    (void)state;
    put_machine();
    put("proc/self/cgroup", "0::/\n");
    put_number("sys/fs/cgroup/memory.max", GIB);
    put_number("sys/fs/cgroup/memory.current", GIB + 4096);
    check(0, GIB);
    put_number("sys/fs/cgroup/memory.current", GIB);
    put("sys/fs/cgroup/memory.stat", "inactive_file 99999999999\n"); /* sampled later than memory.current */
    check(GIB, GIB);
}

static void v1_memory_controller(void **state) {
    (void)state;
    put_machine();
    put("proc/self/cgroup", "9:name=systemd:/x\n4:cpu,memory:/box/1\n3:memoryless:/y\n0::/\n");
    put("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    put_number("sys/fs/cgroup/memory/memory.usage_in_bytes", 15 * GIB);
    put_number("sys/fs/cgroup/memory/box/1/memory.limit_in_bytes", 3 * GIB);
    put_number("sys/fs/cgroup/memory/box/1/memory.usage_in_bytes", 2 * GIB);
    put("sys/fs/cgroup/memory/box/1/memory.stat", "inactive_file 1\ntotal_inactive_file 1073741824\n");
    put_number("sys/fs/cgroup/memory/y/memory.limit_in_bytes", 1);
    check(2 * GIB, 3 * GIB);
}

static void hybrid_mount_of_v2(void **state) {
    (void)state;
    put_machine();
    put("proc/self/cgroup", "4:memory:/\n0::/u\n");
    put_number("sys/fs/cgroup/unified/u/memory.max", 5 * GIB);
    put_number("sys/fs/cgroup/unified/u/memory.current", 1 * GIB);
    check(4 * GIB, 5 * GIB);
}

static void real_machine_knows_its_memory(void **state) {
    (void)state;
    uint64_t total = warm_sysmem_total(""), available = warm_sysmem_available("");
    assert_true(total > 64 * MIB && total < UINT64_MAX);
    assert_true(available > 0 && available <= total);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_known_is_no_limit, begin, end),
        cmocka_unit_test_setup_teardown(machine_without_cgroup_limit, begin, end),
        cmocka_unit_test_setup_teardown(v2_limit_counts_reclaimable_pages_as_room, begin, end),
        cmocka_unit_test_setup_teardown(tightest_ancestor_decides, begin, end),
        cmocka_unit_test_setup_teardown(namespaced_root_is_used_when_the_path_is_the_hosts, begin, end),
        cmocka_unit_test_setup_teardown(usage_above_the_limit_leaves_nothing, begin, end),
        cmocka_unit_test_setup_teardown(v1_memory_controller, begin, end),
        cmocka_unit_test_setup_teardown(hybrid_mount_of_v2, begin, end),
        cmocka_unit_test(real_machine_knows_its_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
