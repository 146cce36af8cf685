// The shopping cart of the Dynamo paper, in TypeScript: the same bytes as the one in Rust beside it.
//
// `ITEM<TAB>QUANTITY` a line; of each item the greatest quantity is kept, and the lines are sorted by item.

import { exported, MergeError, type Context, type Sibling } from "./kinfold.js";

const MAX_QUANTITY = 999999999;
const TAB = 9;
const NEWLINE = 10;

// An item is any bytes, so it is kept as a string of one character a byte: these sort as the bytes do.
function chars(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
}

function merge(_context: Context, siblings: Sibling[]): Uint8Array | undefined {
  const cart = new Map<string, number>();
  siblings.forEach(({ value }, position) => {
    lines(value ?? new Uint8Array(0)).forEach((line, n) => {
      const malformed = (why: string) => MergeError.invalidSibling(position, `line ${n + 1}: ${why}`);
      const tab = line.indexOf(TAB);
      if (tab < 0) throw malformed("there is no tab between item and quantity");
      const digits = chars(line.subarray(tab + 1));
      const quantity = Number(digits);
      if (!/^[0-9]+$/.test(digits) || quantity > MAX_QUANTITY) {
        throw malformed("the quantity is not a number below 1000000000");
      }
      const item = chars(line.subarray(0, tab));
      cart.set(item, Math.max(quantity, cart.get(item) ?? 0));
    });
  });
  const items = [...cart.keys()].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  const text = items.map((item) => `${item}\t${cart.get(item)}\n`).join("");
  return Uint8Array.from(text, (char) => char.charCodeAt(0));
}

/** The lines of a value. The newline of the last one may be missing; no bytes are no lines. */
function lines(value: Uint8Array): Uint8Array[] {
  const found = [];
  for (let start = 0; start < value.length; ) {
    const newline = value.indexOf(NEWLINE, start);
    const end = newline < 0 ? value.length : newline;
    found.push(value.subarray(start, end));
    start = end + 1;
  }
  return found;
}

export const resolver = exported(merge);
