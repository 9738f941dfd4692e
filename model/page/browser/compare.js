// The tab "Compare": two pictures of one lesion, side by side.
import {box, make} from "./elements.js";
import {fill as fillOne} from "./one.js";
import {speaker} from "./words.js";

/** Fill the tab into `place`; see one.js. */
export function fill(place, page, base, gradio) {
    const {text, probability} = speaker(page);
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

    const surest = ({probabilities}) =>
        Object.keys(probabilities).reduce((a, b) => probabilities[a] >= probabilities[b] ? a : b);
    const top = answer => answer.confident
        ? `${page.names[surest(answer)]}, ${probability(answer.probabilities[surest(answer)])}`
        : text("sum_unsure");

    function compare() {
        change.replaceChildren();
        if (answers.includes(null)) return;
        const line = (head, cells) => make("tr", {}, make("th", {scope: "row", textContent: head}),
            ...cells.map(textContent => make("td", {textContent})));
        const head = make("tr", {}, make("td"), ...["compare_first", "compare_second"].map(
            key => make("th", {scope: "col", textContent: text(key)})));
        const rows = [line(text("compare_top"), answers.map(top))];
        if (answers[0].suspicious)
            rows.unshift(line(text("compare_score"), answers.map(({suspicious: {score, flag}}) =>
                `${probability(score)}, ${text(flag ? "compare_above" : "compare_below")}`)));
        change.append(
            make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)),
            make("p", {className: "small", textContent: text("compare_caution")}));
    }
}
