// Keeps the longest value; of equally long ones the greatest.
//
// `kinfold plugin build` makes the component, `kinfold plugin check` tries the laws on it. `kinfold.ts` is the contract.

import { Answer, Context, Sibling } from "./kinfold";

export function merge(context: Context, siblings: Sibling[]): Answer {
  // They come sorted by their bytes, so of equally long ones the last is the greatest.
  let longest = new Uint8Array(0);
  for (let n = 0; n < siblings.length; n++) {
    const value = siblings[n].value;
    if (value !== null && value.length >= longest.length) longest = value;
  }
  return Answer.value(longest);
}
