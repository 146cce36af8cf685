// Kinfold's contract with plugins, for C: what a plugin writes is `merge`, and what it can answer is below.
//
// Include this file once: it also defines the functions that the component exports, after the canonical ABI of the
// component model. A fresh instance runs every merge, so nothing need ever be freed.

#ifndef KINFOLD_H
#define KINFOLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const uint8_t *bytes;
    size_t len;
} kinfold_bytes;

// One of the versions to be merged.
typedef struct {
    // Whether it is a value; otherwise it is a delete, which only a plugin with `tombstones = "pass"` is shown.
    bool has_value;
    kinfold_bytes value;
    // When it was written: microseconds since 1970, below 2^53.
    uint64_t time;
} kinfold_sibling;

// What is being merged: equal on every node that merges the same siblings.
typedef struct {
    kinfold_bytes bucket;
    kinfold_bytes key;
    // What the operator set on the bucket for its plugin.
    kinfold_bytes config;
} kinfold_context;

// What a merge comes to. Made by the functions below.
typedef struct {
    uint32_t is_error;
    uint32_t which;
    uintptr_t words[3];
} kinfold_answer;

// Yours: folds siblings into one value. There are at least two, sorted by their bytes (a delete first), no two with equal bytes.
// The answer has to depend on the arguments alone, and ties go by bytes, never by position.
kinfold_answer merge(kinfold_context context, const kinfold_sibling *siblings, size_t count);

// The merged value. Its bytes may be those of a sibling.
static inline kinfold_answer kinfold_value(kinfold_bytes value) {
    return (kinfold_answer){0, 1, {(uintptr_t)value.bytes, value.len, 0}};
}

// The siblings merge to a delete.
static inline kinfold_answer kinfold_delete(void) {
    return (kinfold_answer){0, 0, {0, 0, 0}};
}

// The sibling at this position is not a value of the kind that this plugin merges, and why.
static inline kinfold_answer kinfold_invalid_sibling(size_t position, const char *reason) {
    return (kinfold_answer){1, 0, {position, (uintptr_t)reason, strlen(reason)}};
}

// The siblings are fine, but a person or an application has to choose, and why.
static inline kinfold_answer kinfold_keep_siblings(const char *reason) {
    return (kinfold_answer){1, 1, {(uintptr_t)reason, strlen(reason), 0}};
}

// A fault of the plugin itself, or of its configuration.
static inline kinfold_answer kinfold_internal(const char *reason) {
    return (kinfold_answer){1, 2, {(uintptr_t)reason, strlen(reason), 0}};
}

enum { KINFOLD_DEBUG, KINFOLD_INFO, KINFOLD_WARN, KINFOLD_ERROR };

__attribute__((import_module("kinfold:merge/log@0.1.0"), import_name("write")))
void kinfold_log_write(uint32_t level, const char *message, size_t len);

// Says something to the operator. The last error before a trap becomes the reason of the failure.
static inline void kinfold_log(uint32_t level, const char *message) {
    kinfold_log_write(level, message, strlen(message));
}

// Memory for the rest of the merge.
static inline void *kinfold_allocate(size_t size) {
    void *block = malloc(size ? size : 1);
    if (!block) {
        kinfold_log(KINFOLD_ERROR, "out of memory");
        __builtin_trap();
    }
    return block;
}

__attribute__((export_name("cabi_realloc")))
void *kinfold_cabi_realloc(void *old, size_t old_size, size_t align, size_t new_size) {
    (void)align; // never more than malloc's own
    void *block = kinfold_allocate(new_size);
    if (old_size) {
        memcpy(block, old, old_size < new_size ? old_size : new_size);
    }
    return block;
}

__attribute__((export_name("kinfold:merge/resolver@0.1.0#merge")))
const kinfold_answer *kinfold_merge(
    const uint8_t *bucket, size_t bucket_len,
    const uint8_t *key, size_t key_len,
    const uint8_t *config, size_t config_len,
    const kinfold_sibling *siblings, size_t count
) {
    static kinfold_answer answer;
    answer = merge((kinfold_context){{bucket, bucket_len}, {key, key_len}, {config, config_len}}, siblings, count);
    return &answer;
}

#endif
