// The level of the prediction sets. It lasts as long as the page, and holds for all answers that are
// shown with the same settings.
import {make} from "./elements.js";
import {speaker} from "./words.js";

class SetLevel extends EventTarget {
    /** `level` is a key of page.sets.quantiles, or null without sets. */
    constructor(level) {
        super();
        this.level = level;
    }

    choose(level) {
        this.level = level;
        this.dispatchEvent(new Event("change"));
    }
}

const levels = new WeakMap();

/** The SetLevel of `page`, settings() of model/page/settings.py: {level, choose(level)}, an
 * EventTarget that fires "change". */
export function setLevelOf(page) {
    if (!levels.has(page)) levels.set(page, new SetLevel(page.sets?.level ?? null));
    return levels.get(page);
}

let drawn = 0;

/** Radio buttons for the level, as a list of elements: empty if the model has no sets. `signal` ends
 * what they listen to. */
export function setChoice(page, signal) {
    if (!page.sets) return [];
    const {text, percent} = speaker(page), chosen = setLevelOf(page), name = `set${++drawn}`;
    const inputs = Object.keys(page.sets.quantiles).map(value => make("input", {
        type: "radio", name, value, onchange: () => chosen.choose(value),
    }));
    function draw() {
        for (const input of inputs) input.checked = input.value === chosen.level;
    }
    draw();
    chosen.addEventListener("change", draw, {signal});
    return [make("fieldset", {className: "levels small"}, make("legend", {}, text("set_level")),
        ...inputs.map(input => make("label", {}, input, percent(input.value))))];
}
