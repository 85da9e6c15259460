/* SPDX-License-Identifier: MIT
 *
 * store/ram.c - the ram tier: extents of whole pages in reserved address space (warmslot/store.h).
 *
 * Address space costs nothing, memory does: what the budget is charged for are pages that were touched or are about to be. A
 * released extent stays touched and charged, and is handed out again first, because touching a page for the first time costs
 * five times as much as writing to it. When a request fits into no free range but the budget is used up, free pages are given
 * back to the system and new ones are taken elsewhere in the address space. So free memory is never lost to fragmentation:
 * whatever its shape, all of it can serve the next request, and the only waste is the rounding to pages.
 *
 * Touching ahead: after a reserve, when few touched pages are left, the engine thread charges the budget for a run of new pages
 * and lends it to the prefault thread (a WARM range). That thread claims chunk after chunk under the lock and writes one byte
 * to each page; what it has done is taken back as free pages at the next call. Chunks it has not claimed can be called back at
 * any time, for the claimed one the engine thread waits (256 KiB, a fraction of a millisecond), and only if the pages are
 * needed for something else. Plain writes, not MADV_POPULATE_WRITE: they work on every kernel, and a mistake in this protocol
 * is one that TSan sees.
 *
 * Invariants
 *  (1) used + free + warm pages are what this store has taken from the budget, at all times; no other page of the address space
 *      is resident.
 *  (2) The prefault thread writes only to pages of the one WARM range that it has claimed; these belong to nobody else.
 *  (3) A page is charged before it can be touched, and given back to the system before it is given back to the budget.
 * Not counted: the table of pages.c, 0.3 % of the pages.
 * Threads: [engine], and the prefault thread, which knows only the fields under the lock. */
#undef NDEBUG
#include <assert.h>

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/alloc.h"
#include "base/worker.h"
#include "store/pages.h"
#include "warmslot/store.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define FORBID(p, n) __asan_poison_memory_region(p, n)
#define ALLOW(p, n)  __asan_unpoison_memory_region(p, n)
#else
#define FORBID(p, n) ((void)(p), (void)(n))
#define ALLOW(p, n)  ((void)(p), (void)(n))
#endif

#define CHUNK_PAGES 64u
/* Prefaulting leaves this share of the limit to the other owners of the budget: without it they would find no room, have free
 * pages trimmed, and the next reserve would fault the same pages in again. */
#define ROOM_SHARE 16u

typedef struct ram_store {
    warm_store base;
    warm_budget *budget;
    warm_pages pages;
    uint64_t n_reserve, n_refused;

    size_t prefault_pages;
    warm_worker *toucher; /* NULL: no prefaulting */
    uint32_t warm_range;  /* the WARM range, if warm_span > 0 */
    uint32_t warm_span;

    pthread_mutex_t lock; /* next, end, done */
    pthread_cond_t chunk_done;
    uint8_t *next, *end; /* not claimed yet */
    uint8_t *done;       /* everything before it is touched; done < next while a chunk is claimed */
} ram_store;

static size_t room_bytes(const ram_store *s) {
    return s->budget->limit_bytes - s->budget->used_bytes;
}

static size_t bytes_of(const ram_store *s, size_t n_pages) {
    return n_pages * s->pages.page_bytes;
}

/* ---- touching ahead ---- */

/* On the prefault thread: touches what is lent, until it is done or called back. */
static void touch(void *arg) {
    ram_store *s = arg;
    size_t page = warm__page_bytes();
    pthread_mutex_lock(&s->lock);
    while (s->next < s->end) {
        uint8_t *from = s->next;
        size_t n = (size_t)(s->end - from);
        if (n > CHUNK_PAGES * page) n = CHUNK_PAGES * page;
        s->next = from + n;
        pthread_mutex_unlock(&s->lock);
        for (size_t i = 0; i < n; i += page) *(volatile uint8_t *)(from + i) = 0;
        pthread_mutex_lock(&s->lock);
        s->done = from + n;
        pthread_cond_signal(&s->chunk_done);
    }
    pthread_mutex_unlock(&s->lock);
}

/* The number of pages from the beginning of the WARM range to p. */
static uint32_t warm_pages_to(const ram_store *s, const uint8_t *p) {
    return (uint32_t)((size_t)(p - warm__pages_addr(&s->pages, s->warm_range)) / s->pages.page_bytes);
}

/* Takes back what has been touched. */
static void collect(ram_store *s) {
    if (!s->warm_span) return;
    pthread_mutex_lock(&s->lock);
    uint32_t n = warm_pages_to(s, s->done);
    pthread_mutex_unlock(&s->lock);
    if (!n) return;
    uint8_t *p = warm__pages_addr(&s->pages, s->warm_range);
    warm__pages_mark(&s->pages, s->warm_range, 0, n, WARM_PAGE_FREE);
    FORBID(p, bytes_of(s, n));
    s->warm_range += n;
    s->warm_span -= n;
}

/* Calls back what the thread has not claimed: untouched, so there is nothing to give back but the charge. */
static void call_back(ram_store *s) {
    if (!s->warm_span) return;
    pthread_mutex_lock(&s->lock);
    s->end = s->next;
    uint32_t keep = warm_pages_to(s, s->next);
    pthread_mutex_unlock(&s->lock);
    uint32_t n = s->warm_span - keep;
    if (!n) return;
    warm__pages_mark(&s->pages, s->warm_range, keep, n, WARM_PAGE_HOLE);
    warm_budget_give(s->budget, bytes_of(s, n));
    s->warm_span = keep;
}

/* Ends the loan: nothing is called WARM any more. */
static void end_loan(ram_store *s) {
    call_back(s);
    if (!s->warm_span) return;
    pthread_mutex_lock(&s->lock);
    while (s->done < s->next) pthread_cond_wait(&s->chunk_done, &s->lock);
    pthread_mutex_unlock(&s->lock);
    collect(s);
    assert(!s->warm_span);
}

/* Lends new pages to the thread if few are ready for requests of n pages like the last one, and if there is room beside them. */
static void lend(ram_store *s, uint32_t n) {
    if (!s->toucher || s->warm_span) return;
    uint64_t ready = warm__pages_count_from(&s->pages, WARM_PAGE_FREE, n);
    size_t leave = s->budget->limit_bytes / ROOM_SHARE;
    /* Not for a few pages: waking the thread costs as much as touching them. */
    if (ready > s->prefault_pages - s->prefault_pages / 4 || room_bytes(s) <= leave) return;
    size_t want = s->prefault_pages - (size_t)ready;
    size_t can = (room_bytes(s) - leave) / s->pages.page_bytes;
    if (want > can) want = can;
    uint32_t range;
    if (!want || !warm__pages_find(&s->pages, WARM_PAGE_HOLE, (uint32_t)want, &range)) return;
    int rc = warm_budget_take(s->budget, bytes_of(s, want));
    assert(rc == 0);
    warm__pages_mark(&s->pages, range, 0, (uint32_t)want, WARM_PAGE_WARM);
    s->warm_range = range;
    s->warm_span = (uint32_t)want;
    pthread_mutex_lock(&s->lock);
    s->next = s->done = warm__pages_addr(&s->pages, range);
    s->end = s->next + bytes_of(s, want);
    pthread_mutex_unlock(&s->lock);
    warm_worker_post(s->toucher, touch, s);
}

/* ---- giving back ---- */

/* Gives n free pages back, of the smallest ranges first: these are the least likely to serve a request as they are. */
static void give_back(ram_store *s, size_t n) {
    while (n) {
        uint32_t range;
        bool found = warm__pages_smallest(&s->pages, WARM_PAGE_FREE, &range);
        assert(found);
        uint32_t span = warm__pages_span(&s->pages, range);
        uint32_t part = span < n ? span : (uint32_t)n;
        uint8_t *p = warm__pages_addr(&s->pages, range + (span - part));
        ALLOW(p, bytes_of(s, part));
        int rc = madvise(p, bytes_of(s, part), MADV_DONTNEED);
        assert(rc == 0); /* it fails for locked or foreign pages only; going on would break invariant (1) */
        warm__pages_mark(&s->pages, range, span - part, part, WARM_PAGE_HOLE);
        warm_budget_give(s->budget, bytes_of(s, part));
        n -= part;
    }
}

static size_t pages_short(const ram_store *s, size_t bytes) {
    size_t room = room_bytes(s);
    return room < bytes ? (bytes - room + s->pages.page_bytes - 1) / s->pages.page_bytes : 0;
}

/* Makes room in the budget out of the store's own free memory; false (and nothing changed) if that is not enough. */
static bool make_room(ram_store *s, size_t bytes) {
    size_t n = pages_short(s, bytes);
    if (!n) return true;
    if (n > s->pages.n_pages[WARM_PAGE_FREE] + s->warm_span) return false;
    call_back(s);
    if (pages_short(s, bytes)) end_loan(s);
    give_back(s, pages_short(s, bytes));
    return true;
}

/* ---- the vtable ---- */

static int refuse(ram_store *s, int code) {
    s->n_refused++;
    return code;
}

static int ram_reserve(warm_store *base, size_t bytes, warm_extent *out) {
    ram_store *s = (ram_store *)base;
    size_t page = s->pages.page_bytes;
    assert(bytes > 0);
    s->n_reserve++;
    if (bytes > s->budget->limit_bytes) return refuse(s, WARM_EFULL);
    size_t n_pages = bytes / page + (bytes % page != 0);
    if (n_pages > WARM_REGION_PAGES) return refuse(s, WARM_ENOMEM);
    uint32_t n = (uint32_t)n_pages, range;
    collect(s);
    if (!warm__pages_find(&s->pages, WARM_PAGE_FREE, n, &range)) {
        if (!make_room(s, bytes_of(s, n))) return refuse(s, WARM_EFULL);
        if (!warm__pages_find(&s->pages, WARM_PAGE_HOLE, n, &range)) {
            if (warm__pages_grow(&s->pages, n)) return refuse(s, WARM_ENOMEM);
            bool found = warm__pages_find(&s->pages, WARM_PAGE_HOLE, n, &range);
            assert(found);
        }
        int rc = warm_budget_take(s->budget, bytes_of(s, n));
        assert(rc == 0);
    }
    warm__pages_mark(&s->pages, range, 0, n, WARM_PAGE_USED);
    *out = (warm_extent){warm__pages_addr(&s->pages, range), bytes, bytes_of(s, n)};
    FORBID(out->data, out->held_bytes);
    ALLOW(out->data, out->bytes);
    lend(s, n);
    return 0;
}

static void ram_release(warm_store *base, warm_extent *x) {
    ram_store *s = (ram_store *)base;
    uint32_t range = warm__pages_number(&s->pages, x->data);
    uint32_t n = warm__pages_span(&s->pages, range);
    assert(warm__pages_kind(&s->pages, range) == WARM_PAGE_USED && bytes_of(s, n) == x->held_bytes);
    FORBID(x->data, x->held_bytes);
    warm__pages_mark(&s->pages, range, 0, n, WARM_PAGE_FREE);
    *x = (warm_extent){0};
}

static void ram_trim(warm_store *base, size_t keep_bytes) {
    ram_store *s = (ram_store *)base;
    size_t keep = keep_bytes / s->pages.page_bytes;
    collect(s);
    if (s->pages.n_pages[WARM_PAGE_FREE] + s->warm_span <= keep) return;
    end_loan(s);
    size_t n = s->pages.n_pages[WARM_PAGE_FREE];
    if (n > keep) give_back(s, n - keep);
}

static void ram_stats(const warm_store *base, warm_store_stats *out) {
    const ram_store *s = (const ram_store *)base;
    *out = (warm_store_stats){
        .used_bytes = bytes_of(s, s->pages.n_pages[WARM_PAGE_USED]),
        .free_bytes = bytes_of(s, s->pages.n_pages[WARM_PAGE_FREE] + s->warm_span),
        .n_reserve = s->n_reserve,
        .n_refused = s->n_refused,
    };
}

static void ram_close(warm_store *base) {
    ram_store *s = (ram_store *)base;
    assert(s->pages.n_pages[WARM_PAGE_USED] == 0);
    ram_trim(base, 0); /* also takes the poison of free pages off before the address space goes */
    warm_worker_free(s->toucher);
    pthread_cond_destroy(&s->chunk_done);
    pthread_mutex_destroy(&s->lock);
    warm__pages_deinit(&s->pages);
    free(s);
}

static const warm_store_ops ram_ops = {"ram", ram_reserve, ram_release, ram_trim, ram_stats, ram_close};

int warm_store_ram_open(warm_budget *budget, size_t prefault_bytes, warm_store **out, warm_err *err) {
    ram_store *s = warm_xcalloc(1, sizeof *s);
    s->base.ops = &ram_ops;
    s->budget = budget;
    warm__pages_init(&s->pages);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->chunk_done, NULL);
    s->prefault_pages = prefault_bytes / s->pages.page_bytes;
    if (s->prefault_pages > WARM_REGION_PAGES / 2) s->prefault_pages = WARM_REGION_PAGES / 2;
    int rc = s->prefault_pages ? warm_worker_new("prefault", 1, &s->toucher, err) : 0;
    if (rc) {
        ram_close(&s->base);
        return rc;
    }
    *out = &s->base;
    return 0;
}
