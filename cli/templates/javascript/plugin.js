// Keeps the longest value; of equally long ones the greatest.
//
// `kinfold plugin build` makes the component, `kinfold plugin check` tries the laws on it. `kinfold.js` is the contract.

import { exported } from "./kinfold.js";

function merge(_context, siblings) {
  // They come sorted by their bytes, so of equally long ones the last is the greatest.
  let longest = new Uint8Array(0);
  for (const { value } of siblings) {
    if (value !== undefined && value.length >= longest.length) longest = value;
  }
  return longest;
}

export const resolver = exported(merge);
