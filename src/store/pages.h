/* SPDX-License-Identifier: MIT
 *
 * store/pages.h - a map of address space: which pages are used, free, warming or not there.
 *
 * Address space is mapped in regions (64 GiB each, or small steps where the system counts address space) and cut into ranges:
 * runs of pages of one kind. A page has a global number: region * WARM_REGION_PAGES + page in the region. The map owns the
 * mapping, but touches no page of it and counts nothing: that is ram.c's business.
 * Threads: [engine]. */
#ifndef WARM_STORE_PAGES_H
#define WARM_STORE_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "warmslot/err.h"

#define WARM_REGION_BITS  24
#define WARM_REGION_PAGES (UINT32_C(1) << WARM_REGION_BITS)
#define WARM_REGIONS_MAX  255u /* so that no page has the number UINT32_MAX */
#define WARM_PAGE_BINS    672u /* pages.c, bin_of */

enum warm_page_kind {
    WARM_PAGE_HOLE, /* no memory behind it */
    WARM_PAGE_FREE, /* touched and kept for reuse */
    WARM_PAGE_USED, /* handed out; neighbours are never joined */
    WARM_PAGE_WARM, /* given to the prefault thread; never joined */
    WARM_PAGE_KINDS
};

typedef struct warm_page_tag warm_page_tag;
typedef struct warm_region {
    uint8_t *base;
    warm_page_tag *tags;
    uint32_t n_pages;
} warm_region;

/* Ranges of one kind, by size. */
typedef struct warm_page_bins {
    uint32_t head[WARM_PAGE_BINS];
    uint64_t n_pages[WARM_PAGE_BINS];
    uint64_t nonempty[(WARM_PAGE_BINS + 63) / 64];
} warm_page_bins;

typedef struct warm_pages {
    size_t page_bytes;
    size_t n_pages[WARM_PAGE_KINDS]; /* by kind */
    warm_page_bins bins[2];          /* of WARM_PAGE_HOLE and WARM_PAGE_FREE */
    uint32_t n_regions;
    warm_region regions[WARM_REGIONS_MAX];
} warm_pages;

/* The granularity of extents: the system's page. */
size_t warm__page_bytes(void);

void warm__pages_init(warm_pages *m);
void warm__pages_deinit(warm_pages *m);

/* Maps another region with room for n pages; it is one hole. WARM_ENOMEM if the system refuses, WARM_EINVAL for more than a
 * region can have. */
WARM_MUST_USE int warm__pages_grow(warm_pages *m, uint32_t n);

uint8_t *warm__pages_addr(const warm_pages *m, uint32_t page);
/* The number of the page that begins at addr, which lies in a region. */
uint32_t warm__pages_number(const warm_pages *m, const uint8_t *addr);

/* Kind and length of the range that begins at this page. */
enum warm_page_kind warm__pages_kind(const warm_pages *m, uint32_t range);
uint32_t warm__pages_span(const warm_pages *m, uint32_t range);

/* A hole or free range of at least n pages, nearly the smallest there is (within 1/32). False may be wrong when only ranges of
 * n..n*33/32 pages fit. O(1). */
WARM_MUST_USE bool warm__pages_find(const warm_pages *m, enum warm_page_kind kind, uint32_t n, uint32_t *range);
/* One of the smallest; false if there is none. O(1). */
WARM_MUST_USE bool warm__pages_smallest(const warm_pages *m, enum warm_page_kind kind, uint32_t *range);
/* How many pages lie in ranges of about n pages or more. */
uint64_t warm__pages_count_from(const warm_pages *m, enum warm_page_kind kind, uint32_t n);

/* Makes pages [range + skip, range + skip + n) of a range another kind. Splits what has to be split, and joins holes and
 * free ranges with their neighbours of the same kind. O(1), can't fail. */
void warm__pages_mark(warm_pages *m, uint32_t range, uint32_t skip, uint32_t n, enum warm_page_kind kind);

#endif
