// The tab "Compare": two pictures of one lesion, side by side.
import {box} from "./elements.js";
import {fill as fillOne} from "./one.js";

/** Fill the tab into `place`. */
export function fill(place, page, base, gradio) {
    const sides = [box("side"), box("side")];
    place.replaceChildren(box("columns", ...sides));
    for (const side of sides) fillOne(side, page, base, gradio);
}
