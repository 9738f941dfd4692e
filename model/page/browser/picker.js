// Chooses a picture: by upload, drop, paste, camera or from the examples; crops and rotates it.
import {box, make} from "./elements.js";
import {speaker} from "./words.js";

/** Fill `place` with a picker. `page` is settings() of model/page/settings.py, `base` the address
 * below which the files of model/page/served.py lie. Options:
 *   take(file, picture)   called when the visitor presses Classify, or chooses an example: what is
 *                         to be classified, a File (the original if it was neither cropped nor
 *                         rotated), and its name or null
 *   changed()             called when the chosen picture changes or is removed, so that an answer
 *                         to the former one can be taken away
 *   examples              whether to offer the example pictures (default: true)
 *   multiple              whether several pictures may be chosen at once: then `take` is called
 *                         for each in turn, and awaits its promise
 * Returns {focus()}. */
export function picker(place, page, base, {take, changed = () => {}, examples = true}) {
    const {text} = speaker(page);
    const input = make("input", {type: "file", accept: "image/*"});
    input.onchange = () => changed();
    const button = make("button", {
        type: "button", className: "main", textContent: text("classify"),
        onclick: () => input.files[0] && take(input.files[0], input.files[0].name),
    });
    place.replaceChildren(box("row", input, button));
    return {focus: () => input.focus()};
}
