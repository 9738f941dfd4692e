// The visitor's own warning level. It lasts as long as the page, and holds for all answers that are
// shown with the same settings.
import {box, make} from "./elements.js";
import {rates} from "./verdict.js";
import {speaker} from "./words.js";

class Level extends EventTarget {
    own = null; // an entry of page.suspicious.points; null: the model's own level

    choose(point) {
        this.own = point;
        this.dispatchEvent(new Event("change"));
    }
}

const levels = new WeakMap();

/** The Level of `page`, settings() of model/page/settings.py: {own, choose(point)}, an EventTarget
 * that fires "change". */
export function levelOf(page) {
    if (!levels.has(page)) levels.set(page, new Level());
    return levels.get(page);
}

let drawn = 0;

/** A slider over the validation ROC, within <details>, as a list of elements: empty if the model
 * comes without points. `signal` ends what it listens to. */
export function levelSlider(page, signal) {
    const {points, threshold} = page.suspicious;
    if (!points?.length) return [];
    const {text, probability} = speaker(page), level = levelOf(page);
    const off = point => Math.abs(point.threshold - threshold);
    const stored = points.reduce((best, point, i) => off(point) < off(points[best]) ? i : best, 0);
    const id = `levels${++drawn}`;
    const input = make("input", {
        type: "range", min: 0, max: points.length - 1, step: 1, ariaLabel: text("point_heading"),
    });
    input.setAttribute("list", id);
    const tick = make("option", {value: stored, label: text("point_stored")});
    const heading = make("strong"), measured = make("p");
    const reset = make("button", {
        type: "button", textContent: text("point_reset"),
        onclick() {
            level.choose(null);
            input.focus(); // this button can no longer hold it
        },
    });
    input.oninput = () => {
        const at = Number(input.value);
        level.choose(at === stored ? null : points[at]);
    };
    function draw() {
        const point = level.own ?? points[stored];
        const whose = text(level.own ? "point_yours" : "point_stored");
        const said = text("point_level", {threshold: probability(point.threshold)});
        input.value = points.indexOf(point);
        input.ariaValueText = `${said}, ${whose}`;
        heading.textContent = `${said} (${whose})`;
        measured.textContent = rates(point, page);
        reset.disabled = !level.own;
    }
    draw();
    level.addEventListener("change", draw, {signal});
    const ends = box("ends small",
        make("span", {}, text("point_lower")), make("span", {}, text("point_higher")));
    return [make("details", {className: "level", open: level.own !== null},
        make("summary", {}, text("point_heading")), heading, input,
        make("datalist", {id}, tick), ends, measured, reset)];
}
