// Kinfold's contract with plugins, for AssemblyScript: the types that `merge` in plugin.ts gets and gives, and the functions that
// the component exports, after the canonical ABI of the component model. `kinfold plugin build` gives these their names.
//
// A fresh instance runs every merge, so nothing is ever freed (`--runtime stub`).

import { merge } from "./plugin";

/** One of the versions to be merged. */
export class Sibling {
  constructor(
    /** The bytes; null: a delete, which only a plugin with `tombstones = "pass"` is shown. */
    public value: Uint8Array | null,
    /** When it was written: microseconds since 1970, below 2^53. */
    public time: u64,
  ) {}
}

/** What is being merged: equal on every node that merges the same siblings. */
export class Context {
  constructor(
    public bucket: string,
    public key: Uint8Array,
    /** What the operator set on the bucket for its plugin. */
    public config: Uint8Array,
  ) {}
}

/** What a merge comes to. */
export class Answer {
  private constructor(
    public isError: u32,
    public which: u32,
    public a: usize = 0,
    public b: usize = 0,
    public c: usize = 0,
  ) {}

  /** The merged value. */
  static value(value: Uint8Array): Answer {
    return new Answer(0, 1, value.dataStart, value.length);
  }

  /** The siblings merge to a delete. */
  static delete(): Answer {
    return new Answer(0, 0);
  }

  /** The sibling at this position is not a value of the kind that this plugin merges, and why. */
  static invalidSibling(position: u32, reason: string): Answer {
    const words = String.UTF8.encode(reason);
    return new Answer(1, 0, position, changetype<usize>(words), words.byteLength);
  }

  /** The siblings are fine, but a person or an application has to choose, and why. */
  static keepSiblings(reason: string): Answer {
    const words = String.UTF8.encode(reason);
    return new Answer(1, 1, changetype<usize>(words), words.byteLength);
  }

  /** A fault of the plugin itself, or of its configuration. */
  static internal(reason: string): Answer {
    const words = String.UTF8.encode(reason);
    return new Answer(1, 2, changetype<usize>(words), words.byteLength);
  }
}

export enum Level { debug, info, warn, error }

@external("kinfold:merge/log@0.1.0", "write")
declare function log_write(level: u32, message: usize, len: usize): void;

/** Says something to the operator. */
export function log(level: Level, message: string): void {
  const words = String.UTF8.encode(message);
  log_write(level, changetype<usize>(words), words.byteLength);
}

// What an exception calls. They can't be caught: the last error before the trap becomes the reason of the failure.
function abort(message: string | null, file: string | null, line: u32, column: u32): void {
  const what = message === null ? "aborted" : message;
  const where = file === null ? "" : file;
  log(Level.error, `${what} (${where}:${line}:${column})`);
  unreachable();
}

function bytes(address: usize, len: usize): Uint8Array {
  const copy = new Uint8Array(<i32>len);
  memory.copy(copy.dataStart, address, len);
  return copy;
}

export function cabi_realloc(old: usize, oldSize: usize, align: usize, size: usize): usize {
  const block = heap.alloc(size);
  if (oldSize > 0) memory.copy(block, old, min(oldSize, size));
  return block;
}

export function kinfold_resolver_merge(
  bucket: usize, bucketLen: usize,
  key: usize, keyLen: usize,
  config: usize, configLen: usize,
  first: usize, count: usize,
): usize {
  const context = new Context(
    String.UTF8.decodeUnsafe(bucket, bucketLen), bytes(key, keyLen), bytes(config, configLen),
  );
  const siblings = new Array<Sibling>();
  for (let n: usize = 0; n < count; n++) {
    // 24 bytes: whether it is a value, its address and length, and its time.
    const at = first + n * 24;
    const value = load<u8>(at) ? bytes(load<usize>(at, 4), load<usize>(at, 8)) : null;
    siblings.push(new Sibling(value, load<u64>(at, 16)));
  }
  const answer = merge(context, siblings);
  const result = heap.alloc(20);
  store<u32>(result, answer.isError);
  store<u32>(result, answer.which, 4);
  store<usize>(result, answer.a, 8);
  store<usize>(result, answer.b, 12);
  store<usize>(result, answer.c, 16);
  return result;
}
