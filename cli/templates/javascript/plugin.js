// Keeps the longest value; of equally long ones the greatest.
//
// `kinfold plugin build` makes the component, `kinfold plugin check` tries the laws on it. The contract is wit/resolver.wit; what
// can be imported is `merge` and nothing else: no clock, no timers, no console.

/** A plugin's export: folds siblings into one value. */
export const resolver = {
  /**
   * @param {{bucket: string, key: Uint8Array, config: Uint8Array}} context
   * @param {{value?: Uint8Array, time: number}[]} siblings at least two, sorted by their bytes, no two with equal bytes
   * @returns {Uint8Array | undefined} the merged value; undefined merges to a delete
   */
  merge(context, siblings) {
    return reported(() => {
      // They come sorted by their bytes, so of equally long ones the last is the greatest.
      let longest = new Uint8Array(0);
      for (const { value } of siblings) {
        if (value !== undefined && value.length >= longest.length) longest = value;
      }
      return longest;
    });
  },
};

/**
 * Turns what goes wrong into an answer. To answer with an error of your own, throw one of
 * `{ tag: "invalid-sibling", val: [position, "why"] }`, `{ tag: "keep-siblings", val: "why" }`.
 */
function reported(merge) {
  try {
    return merge();
  } catch (error) {
    throw error.tag ? error : { tag: "internal", val: String(error) };
  }
}
