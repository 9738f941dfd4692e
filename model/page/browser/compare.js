// The tab "Compare": two pictures of one lesion, side by side.
import {box, make} from "./elements.js";
import {levelOf} from "./level.js";
import {fill as fillOne} from "./one.js";
import {setLevelOf} from "./sets.js";
import {likeness, verdict} from "./verdict.js";
import {speaker} from "./words.js";

/** Fill the tab into `place`; see one.js. */
export function fill(place, page, base, gradio) {
    const {text, percent, probability} = speaker(page);
    const level = levelOf(page), sets = setLevelOf(page);
    const answers = [null, null];
    const change = make("div", {className: "change", ariaLive: "polite"});
    const sides = ["compare_first", "compare_second"].map((key, index) => {
        const side = box("one");
        fillOne(side, page, base, gradio, {
            hints: false,
            answered(answer) {
                answers[index] = answer;
                compare();
            },
        });
        return make("section", {ariaLabel: text(key)}, make("h2", {textContent: text(key)}), side);
    });
    place.replaceChildren(
        make("p", {textContent: text("compare_lead")}), change, box("sides", ...sides));

    function compare() {
        change.replaceChildren();
        if (answers.includes(null)) return;
        const line = (head, cells) => make("tr", {}, make("th", {scope: "row", textContent: head}),
            ...cells.map(textContent => make("td", {textContent})));
        const head = make("tr", {}, make("td"), ...["compare_first", "compare_second"].map(
            key => make("th", {scope: "col", textContent: text(key)})));
        const rows = [
            line(text("compare_verdict"), answers.map(one => verdict(one, page, level.own)?.title)),
            line(text("compare_score"), answers.map(
                ({suspicious}) => suspicious && probability(suspicious.score))),
            line(page.sets ? text("compare_set", {level: percent(sets.level)}) : text("compare_like"),
                answers.map(one => likeness(one, page, sets.level)?.title ?? "–")),
        ];
        change.append(
            make("table", {}, make("thead", {}, head),
                make("tbody", {}, ...answers[0].suspicious ? rows : rows.slice(2))),
            make("p", {className: "small", textContent: text("compare_caution")}));
    }
    level.addEventListener("change", compare);
    sets.addEventListener("change", compare);
}
