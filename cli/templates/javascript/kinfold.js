// Kinfold's contract with plugins, for JavaScript. There is no clock, no timers, no console.

/**
 * One of the versions to be merged.
 * @typedef {object} Sibling
 * @property {Uint8Array | undefined} value the bytes; undefined: a delete, which only a plugin with `tombstones = "pass"` is shown
 * @property {number} time when it was written: microseconds since 1970, below 2^53
 */

/**
 * What is being merged: equal on every node that merges the same siblings.
 * @typedef {object} Context
 * @property {string} bucket
 * @property {Uint8Array} key
 * @property {Uint8Array} config what the operator set on the bucket for its plugin
 */

/** Thrown by a merge that gives no value. The siblings stay, whichever it is. */
export class MergeError {
  constructor(tag, val) {
    this.tag = tag;
    this.val = val;
  }

  /** The sibling at this position is not a value of the kind that this plugin merges, and why. */
  static invalidSibling(position, why) {
    return new MergeError("invalid-sibling", [position, why]);
  }

  /** The siblings are fine, but a person or an application has to choose, and why. */
  static keepSiblings(why) {
    return new MergeError("keep-siblings", why);
  }

  /** A fault of the plugin itself, or of its configuration. */
  static internal(why) {
    return new MergeError("internal", why);
  }
}

/**
 * What a plugin exports. Any other exception becomes `internal`, with its words.
 *
 * `merge` folds siblings into one value; undefined merges to a delete. There are at least two siblings, sorted by their bytes (a
 * delete first), no two with equal bytes. The answer has to depend on the arguments alone; ties go by bytes, never by position.
 *
 * @param {(context: Context, siblings: Sibling[]) => Uint8Array | undefined} merge
 */
export function exported(merge) {
  return {
    merge(context, siblings) {
      try {
        return merge(context, siblings);
      } catch (error) {
        throw error instanceof MergeError ? error : MergeError.internal(String(error));
      }
    },
  };
}
