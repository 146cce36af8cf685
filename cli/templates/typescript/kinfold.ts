// Kinfold's contract with plugins, for TypeScript. There is no clock, no timers, no console.

/** One of the versions to be merged. */
export interface Sibling {
  /** The bytes; undefined: a delete, which only a plugin with `tombstones = "pass"` is shown. */
  value?: Uint8Array;
  /** When it was written: microseconds since 1970, below 2^53. */
  time: number;
}

/** What is being merged: equal on every node that merges the same siblings. */
export interface Context {
  bucket: string;
  key: Uint8Array;
  /** What the operator set on the bucket for its plugin. */
  config: Uint8Array;
}

/** Thrown by a merge that gives no value. The siblings stay, whichever it is. */
export class MergeError {
  private constructor(readonly tag: string, readonly val: unknown) {}

  /** The sibling at this position is not a value of the kind that this plugin merges, and why. */
  static invalidSibling(position: number, why: string): MergeError {
    return new MergeError("invalid-sibling", [position, why]);
  }

  /** The siblings are fine, but a person or an application has to choose, and why. */
  static keepSiblings(why: string): MergeError {
    return new MergeError("keep-siblings", why);
  }

  /** A fault of the plugin itself, or of its configuration. */
  static internal(why: string): MergeError {
    return new MergeError("internal", why);
  }
}

/**
 * Folds siblings into one value; undefined merges to a delete. There are at least two siblings, sorted by their bytes (a delete
 * first), no two with equal bytes. The answer has to depend on the arguments alone; ties go by bytes, never by position.
 */
export type Merge = (context: Context, siblings: Sibling[]) => Uint8Array | undefined;

/** What a plugin exports. Any other exception becomes `internal`, with its words. */
export function exported(merge: Merge) {
  return {
    merge(context: Context, siblings: Sibling[]): Uint8Array | undefined {
      try {
        return merge(context, siblings);
      } catch (error) {
        throw error instanceof MergeError ? error : MergeError.internal(String(error));
      }
    },
  };
}
