// The shopping cart of the Dynamo paper, in C: the same bytes as the one in Rust beside it.
//
// `ITEM<TAB>QUANTITY` a line; of each item the greatest quantity is kept, and the lines are sorted by item.

#include "kinfold.h"

enum { MAX_QUANTITY = 999999999 };

typedef struct {
    kinfold_bytes item;
    uint32_t quantity;
} entry;

static int by_item(const void *left, const void *right) {
    const kinfold_bytes a = ((const entry *)left)->item, b = ((const entry *)right)->item;
    int order = memcmp(a.bytes, b.bytes, a.len < b.len ? a.len : b.len);
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

// Writes a number in decimal digits and returns where it ends.
static uint8_t *write_number(uint8_t *to, uint32_t number) {
    uint8_t digits[10];
    size_t count = 0;
    do {
        digits[count++] = '0' + number % 10;
        number /= 10;
    } while (number);
    while (count) {
        *to++ = digits[--count];
    }
    return to;
}

static kinfold_answer malformed(size_t position, uint32_t line, const char *what) {
    char *reason = kinfold_allocate(strlen(what) + 24);
    memcpy(reason, "line ", 5);
    char *end = (char *)write_number((uint8_t *)reason + 5, line);
    memcpy(end, ": ", 2);
    strcpy(end + 2, what);
    return kinfold_invalid_sibling(position, reason);
}

// Reads decimal digits, or returns false.
static bool read_quantity(const uint8_t *digits, const uint8_t *end, uint32_t *quantity) {
    uint64_t number = 0;
    if (digits == end) {
        return false;
    }
    for (; digits < end; digits++) {
        if (*digits < '0' || *digits > '9' || (number = number * 10 + (*digits - '0')) > MAX_QUANTITY) {
            return false;
        }
    }
    *quantity = number;
    return true;
}

kinfold_answer merge(kinfold_context context, const kinfold_sibling *siblings, size_t count) {
    (void)context;
    size_t size = 0;
    for (size_t n = 0; n < count; n++) {
        size += siblings[n].has_value ? siblings[n].value.len + 1 : 0;
    }
    // No line is shorter than three bytes, its newline among them.
    entry *entries = kinfold_allocate((size / 3 + 1) * sizeof *entries);
    size_t found = 0;
    for (size_t n = 0; n < count; n++) {
        if (!siblings[n].has_value) {
            continue;
        }
        const uint8_t *at = siblings[n].value.bytes, *end = at + siblings[n].value.len;
        for (uint32_t line = 1; at < end; line++) {
            const uint8_t *stop = memchr(at, '\n', end - at);
            stop = stop ? stop : end;
            const uint8_t *tab = memchr(at, '\t', stop - at);
            if (!tab) {
                return malformed(n, line, "there is no tab between item and quantity");
            }
            entry *next = &entries[found++];
            next->item = (kinfold_bytes){at, tab - at};
            if (!read_quantity(tab + 1, stop, &next->quantity)) {
                return malformed(n, line, "the quantity is not a number below 1000000000");
            }
            at = stop + 1;
        }
    }
    qsort(entries, found, sizeof *entries, by_item);
    // A line grows by at most what leading zeros are not: never.
    uint8_t *text = kinfold_allocate(size + 1), *to = text;
    for (size_t n = 0; n < found;) {
        const entry *first = &entries[n];
        uint32_t quantity = 0;
        for (; n < found && by_item(first, &entries[n]) == 0; n++) {
            quantity = entries[n].quantity > quantity ? entries[n].quantity : quantity;
        }
        memcpy(to, first->item.bytes, first->item.len);
        to += first->item.len;
        *to++ = '\t';
        to = write_number(to, quantity);
        *to++ = '\n';
    }
    return kinfold_value((kinfold_bytes){text, to - text});
}
