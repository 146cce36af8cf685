// Keeps the longest value; of equally long ones the greatest.
//
// `kinfold plugin build` makes the component, `kinfold plugin check` tries the laws on it. `kinfold.ts` is the contract.

import { exported, type Context, type Sibling } from "./kinfold.js";

function merge(_context: Context, siblings: Sibling[]): Uint8Array | undefined {
  // They come sorted by their bytes, so of equally long ones the last is the greatest.
  let longest: Uint8Array = new Uint8Array(0);
  for (const { value } of siblings) {
    if (value !== undefined && value.length >= longest.length) longest = value;
  }
  return longest;
}

export const resolver = exported(merge);
