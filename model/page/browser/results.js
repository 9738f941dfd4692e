// A list of the pictures that have been answered, from which the visitor chooses.
import {make} from "./elements.js";
import {levelOf} from "./level.js";
import {setLevelOf} from "./sets.js";
import {likeness, verdict} from "./verdict.js";
import {speaker} from "./words.js";

/** An empty list of answers, hidden while it has fewer than two. `page` is settings() of
 * model/page/settings.py for the model that answers; `choose(file)` is called when the visitor
 * chooses a picture. `signal` ends what the list listens to. Returns {list, add, remove, get, mark}:
 * the element, and functions that add or replace the answer to a File, that remove it, that return
 * it, and that mark the File whose answer is shown. */
export function results(page, choose, signal) {
    const rows = new Map(); // a File to {button, answer}
    const list = make("ol", {
        className: "results", hidden: true, ariaLabel: speaker(page).text("private_results"),
    });
    const level = levelOf(page), sets = setLevelOf(page);

    function draw({button, answer}) {
        const told = answer.error ? [answer.error]
            : [verdict(answer, page, level.own)?.title, likeness(answer, page, sets.level)?.title];
        button.lastChild.textContent = told.filter(Boolean).join(". ");
    }
    for (const choice of [level, sets])
        choice.addEventListener("change", () => rows.forEach(draw), {signal});

    function add(file, answer) {
        if (!rows.has(file)) {
            const button = make("button", {type: "button", onclick: () => choose(file)},
                make("b", {}, file.name), make("span"));
            rows.set(file, {button});
            list.append(make("li", {}, button));
        }
        const row = rows.get(file);
        row.answer = answer;
        draw(row);
        list.hidden = rows.size < 2;
    }

    function remove(file) {
        rows.get(file)?.button.parentElement.remove();
        rows.delete(file);
        list.hidden = rows.size < 2;
    }

    function mark(file) {
        for (const [other, {button}] of rows) button.ariaCurrent = String(other === file);
    }
    return {list, add, remove, get: file => rows.get(file)?.answer, mark};
}
