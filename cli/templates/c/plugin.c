// Keeps the longest value; of equally long ones the greatest.
//
// `kinfold plugin build` makes the component, `kinfold plugin check` tries the laws on it. `kinfold.h` is the contract.

#include <string.h>

#include "kinfold.h"

kinfold_answer merge(kinfold_context context, const kinfold_sibling *siblings, size_t count) {
    (void)context;
    // They come sorted by their bytes, so of equally long ones the last is the greatest.
    kinfold_bytes longest = {NULL, 0};
    for (size_t n = 0; n < count; n++) {
        if (siblings[n].has_value && siblings[n].value.len >= longest.len) {
            longest = siblings[n].value;
        }
    }
    return kinfold_value(longest);
}
