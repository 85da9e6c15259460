/* SPDX-License-Identifier: MIT
 *
 * store/pages.c - a map of address space in ranges of pages (store/pages.h).
 *
 * Boundary tags in a table beside the pages: the tags of the first and the last page of a range hold its length and kind, so
 * both neighbours of a range are found in O(1) and joined. Holes and free ranges also hang in a list of ranges of about the
 * same size, linked through the first tag: exact sizes below 32 pages, above that 32 lists per power of two, and a bitmap finds
 * the next list that is not empty. So everything is O(1), nothing is allocated once a region is mapped, and therefore neither a
 * release nor a split can fail: that is why it is not a pair of trees. The price is 12 bytes of table per page that was ever in
 * use (0.3 %); the table is mapped like the region and only the used part of it is ever touched.
 *
 * Good fit instead of best fit is enough: pieces come in few sizes, so the right list mostly holds the exact one, and what does
 * not fit is no loss: free pages can always be given back (ram.c).
 *
 * Invariants
 *  (1) The ranges of a region cover it without gaps.
 *  (2) Two holes, or two free ranges, are never neighbours.
 *  (3) Tags inside a range are stale and never read. */
#undef NDEBUG
#include <assert.h>

#include "store/pages.h"

#include <sys/mman.h>
#include <unistd.h>

#define NONE            UINT32_MAX
#define SMALL_REGION    (UINT32_C(1) << 16)
#define SCAN_MAX        16 /* ranges looked at in a list whose members may be too short */
#define KIND_BITS       2
#define EXACT_BINS      32u
#define EXACT_BINS_LOG2 5u

struct warm_page_tag {
    uint32_t span;       /* n_pages << KIND_BITS | kind */
    uint32_t prev, next; /* list of its bin; holes and free ranges only */
};

size_t warm__page_bytes(void) {
    return (size_t)sysconf(_SC_PAGESIZE);
}

void warm__pages_init(warm_pages *m) {
    *m = (warm_pages){.page_bytes = warm__page_bytes()};
    for (size_t k = 0; k < 2; k++) {
        for (size_t i = 0; i < WARM_PAGE_BINS; i++) m->bins[k].head[i] = NONE;
    }
}

void warm__pages_deinit(warm_pages *m) {
    for (uint32_t i = 0; i < m->n_regions; i++) {
        munmap(m->regions[i].base, m->regions[i].n_pages * m->page_bytes);
        munmap(m->regions[i].tags, m->regions[i].n_pages * sizeof(warm_page_tag));
    }
    m->n_regions = 0;
}

static warm_page_tag *tag_of(const warm_pages *m, uint32_t page) {
    return &m->regions[page >> WARM_REGION_BITS].tags[page & (WARM_REGION_PAGES - 1)];
}

uint8_t *warm__pages_addr(const warm_pages *m, uint32_t page) {
    return m->regions[page >> WARM_REGION_BITS].base + (page & (WARM_REGION_PAGES - 1)) * m->page_bytes;
}

uint32_t warm__pages_number(const warm_pages *m, const uint8_t *addr) {
    for (uint32_t i = 0; i < m->n_regions; i++) {
        const warm_region *r = &m->regions[i];
        if (addr < r->base || addr >= r->base + r->n_pages * m->page_bytes) continue;
        size_t offset = (size_t)(addr - r->base);
        assert(offset % m->page_bytes == 0);
        return i << WARM_REGION_BITS | (uint32_t)(offset / m->page_bytes);
    }
    assert(false && "an address that is not the arena's");
    return NONE;
}

uint32_t warm__pages_span(const warm_pages *m, uint32_t range) {
    return tag_of(m, range)->span >> KIND_BITS;
}

static enum warm_page_kind kind_of(const warm_page_tag *t) {
    return (enum warm_page_kind)(t->span & ((1u << KIND_BITS) - 1));
}

enum warm_page_kind warm__pages_kind(const warm_pages *m, uint32_t range) {
    return kind_of(tag_of(m, range));
}

/* ---- lists by size ---- */

static bool is_listed(enum warm_page_kind kind) {
    return kind == WARM_PAGE_HOLE || kind == WARM_PAGE_FREE;
}

/* Grows with n: n itself below 32; then the power of two below n and the 5 bits behind its leading one. */
static uint32_t bin_of(uint32_t n) {
    if (n < EXACT_BINS) return n;
    uint32_t log2 = 31u - (uint32_t)__builtin_clz(n);
    uint32_t fine = (n >> (log2 - EXACT_BINS_LOG2)) & (EXACT_BINS - 1);
    return (log2 - EXACT_BINS_LOG2 + 1) * EXACT_BINS + fine;
}

static void link_range(warm_pages *m, uint32_t range) {
    warm_page_tag *t = tag_of(m, range);
    uint32_t n = t->span >> KIND_BITS, bin = bin_of(n);
    warm_page_bins *b = &m->bins[kind_of(t)];
    t->prev = NONE;
    t->next = b->head[bin];
    if (t->next != NONE) tag_of(m, t->next)->prev = range;
    b->head[bin] = range;
    b->n_pages[bin] += n;
    b->nonempty[bin / 64] |= UINT64_C(1) << bin % 64;
}

static void unlink_range(warm_pages *m, uint32_t range) {
    const warm_page_tag *t = tag_of(m, range);
    uint32_t n = t->span >> KIND_BITS, bin = bin_of(n);
    warm_page_bins *b = &m->bins[kind_of(t)];
    if (t->next != NONE) tag_of(m, t->next)->prev = t->prev;
    if (t->prev != NONE) {
        tag_of(m, t->prev)->next = t->next;
    } else {
        b->head[bin] = t->next;
        if (t->next == NONE) b->nonempty[bin / 64] &= ~(UINT64_C(1) << bin % 64);
    }
    b->n_pages[bin] -= n;
}

/* The first list at or behind `bin` that is not empty. */
static bool next_bin(const warm_page_bins *b, uint32_t bin, uint32_t *found) {
    uint64_t mask = ~UINT64_C(0) << bin % 64;
    for (uint32_t word = bin / 64; word < (WARM_PAGE_BINS + 63) / 64; word++) {
        uint64_t bits = b->nonempty[word] & mask;
        if (bits) {
            *found = word * 64 + (uint32_t)__builtin_ctzll(bits);
            return true;
        }
        mask = ~UINT64_C(0);
    }
    return false;
}

bool warm__pages_find(const warm_pages *m, enum warm_page_kind kind, uint32_t n, uint32_t *range) {
    if (n > WARM_REGION_PAGES) return false;
    const warm_page_bins *b = &m->bins[kind];
    uint32_t bin = bin_of(n), best = NONE, best_span = UINT32_MAX;
    uint32_t at = b->head[bin];
    for (int i = 0; i < SCAN_MAX && at != NONE && best_span != n; i++, at = tag_of(m, at)->next) {
        uint32_t span = warm__pages_span(m, at);
        if (span < n || span >= best_span) continue;
        best = at;
        best_span = span;
    }
    if (best == NONE) {
        if (!next_bin(b, bin + 1, &bin)) return false;
        best = b->head[bin];
    }
    *range = best;
    return true;
}

bool warm__pages_smallest(const warm_pages *m, enum warm_page_kind kind, uint32_t *range) {
    uint32_t bin;
    if (!next_bin(&m->bins[kind], 0, &bin)) return false;
    *range = m->bins[kind].head[bin];
    return true;
}

uint64_t warm__pages_count_from(const warm_pages *m, enum warm_page_kind kind, uint32_t n) {
    uint64_t sum = 0;
    for (uint32_t bin = bin_of(n); next_bin(&m->bins[kind], bin, &bin); bin++) sum += m->bins[kind].n_pages[bin];
    return sum;
}

/* ---- ranges ---- */

static void set_range(warm_pages *m, uint32_t first, uint32_t n, enum warm_page_kind kind) {
    uint32_t span = n << KIND_BITS | (uint32_t)kind;
    tag_of(m, first)->span = span;
    tag_of(m, first + n - 1)->span = span;
    if (is_listed(kind)) link_range(m, first);
}

void warm__pages_mark(warm_pages *m, uint32_t range, uint32_t skip, uint32_t n, enum warm_page_kind kind) {
    enum warm_page_kind old = warm__pages_kind(m, range);
    uint32_t span = warm__pages_span(m, range);
    assert(n > 0 && skip <= span && n <= span - skip && kind != old);
    if (is_listed(old)) unlink_range(m, range);
    uint32_t first = range + skip, rest = span - skip - n;
    if (skip) set_range(m, range, skip, old);
    if (rest) set_range(m, first + n, rest, old);
    m->n_pages[old] -= n;
    m->n_pages[kind] += n;
    if (is_listed(kind)) {
        uint32_t in_region = first & (WARM_REGION_PAGES - 1);
        const warm_page_tag *left = in_region ? tag_of(m, first - 1) : NULL;
        bool has_right = in_region + n < m->regions[first >> WARM_REGION_BITS].n_pages;
        const warm_page_tag *right = has_right ? tag_of(m, first + n) : NULL;
        if (right && kind_of(right) == kind) {
            unlink_range(m, first + n);
            n += right->span >> KIND_BITS;
        }
        if (left && kind_of(left) == kind) {
            uint32_t more = left->span >> KIND_BITS;
            first -= more;
            unlink_range(m, first);
            n += more;
        }
    }
    set_range(m, first, n, kind);
}

static void *map(size_t bytes) {
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static bool map_region(warm_pages *m, uint32_t n) {
    warm_region r = {.n_pages = n, .base = map(n * m->page_bytes)};
    if (!r.base) return false;
    r.tags = map(n * sizeof(warm_page_tag));
    if (!r.tags) {
        munmap(r.base, n * m->page_bytes);
        return false;
    }
    /* A huge page is one fault, but then 2 MiB are resident where one page was counted. And nobody wants gigabytes of other
     * people's prompts in a core file. Kernels built without either answer EINVAL: then there is nothing to switch off. */
    (void)madvise(r.base, n * m->page_bytes, MADV_NOHUGEPAGE);
    (void)madvise(r.base, n * m->page_bytes, MADV_DONTDUMP);
    m->regions[m->n_regions] = r;
    m->n_pages[WARM_PAGE_HOLE] += n;
    set_range(m, m->n_regions++ << WARM_REGION_BITS, n, WARM_PAGE_HOLE);
    return true;
}

int warm__pages_grow(warm_pages *m, uint32_t n) {
    if (n > WARM_REGION_PAGES) return WARM_EINVAL;
    if (m->n_regions == WARM_REGIONS_MAX) return WARM_ENOMEM;
    if (map_region(m, WARM_REGION_PAGES)) return 0;
    /* ulimit -v or vm.overcommit_memory=2: address space is counted like memory here, so it is taken in small steps. */
    return map_region(m, n > SMALL_REGION ? n : SMALL_REGION) ? 0 : WARM_ENOMEM;
}
