// The answer to one picture: the verdict, what it is most similar to, the probabilities, the map.
import {box, buttons, make, paragraphs} from "./elements.js";
import {levelOf, levelSlider} from "./level.js";
import {map} from "./map.js";
import {print, report, save} from "./report.js";
import {setChoice, setLevelOf} from "./sets.js";
import {likeness, ranked, remarks, verdict} from "./verdict.js";
import {speaker} from "./words.js";

const MARKS = {suspicious: "▲", benign: "○", unsure: "?"};
const ends = new WeakMap(); // place -> AbortController of what its answer listens to
let groups = 0;

// Screen readers announce what comes into `said`, the verdict; the rest is for reading.
function parts(place) {
    if (!place.querySelector(":scope > .said"))
        place.replaceChildren(make("div", {className: "said", role: "status"}), box("rest"));
    return place.children;
}

const list = sentences => sentences.length > 1
    ? make("ul", {}, ...sentences.map(sentence => make("li", {}, sentence)))
    : make("p", {}, ...sentences);

function verdictBox({kind, title, reasons, sentences, chosen, rates}) {
    const mark = make("span", {className: "mark", ariaHidden: "true"}, MARKS[kind]);
    const words = box("words", make("h2", {}, title));
    if (reasons.length) words.append(list(reasons));
    words.append(
        ...paragraphs(sentences), ...paragraphs(chosen, "own"), ...paragraphs(rates, "small"));
    return box(`box ${kind}`, mark, words);
}

// The bars are radio buttons for the diagnosis that the map shows.
function bars(answer, page, choose) {
    const {text, probability} = speaker(page), suspects = page.suspicious.labels ?? [];
    const name = `diagnosis${++groups}`, first = ranked(answer)[0][0];
    const rows = ranked(answer).map(([label, p]) => {
        const input = make("input", {
            type: "radio", name, checked: label === first, onchange: () => choose(label),
        });
        const counts = suspects.includes(label), words = make("span", {}, page.names[label]);
        if (counts)
            words.append("\u00a0", make("span", {role: "img", ariaLabel: text("sum_counts")}, "▲"));
        const bar = make("i");
        bar.style.width = `${100 * p}%`;
        return make("label", {className: counts ? "share counts" : "share"},
            input, words, make("span", {}, probability(p)), bar);
    });
    const hint = suspects.length
        ? `${text("sum_choose")} ▲: ${text("sum_counts")}.` : text("sum_choose");
    return make("fieldset", {className: "shares"},
        make("legend", {}, text("probabilities")),
        make("p", {className: "small"}, hint), ...rows);
}

// What one of the known diagnoses is and how it is handled; nothing of any other label.
function description(label, page) {
    const {text} = speaker(page), what = text(`what_${label}`);
    return what ? [
        make("strong", {}, page.names[label]), make("p", {}, make("b", {}, text("sum_if")),
            ` ${what} ${text(`handling_${label}`)}`),
    ] : [];
}

function fill([said, rest], aside, answer, page, signal) {
    const {text} = speaker(page), level = levelOf(page), time = new Date();
    const sets = setLevelOf(page), choice = answer.sets ? setChoice(page, signal) : [];
    const similar = make("p", {className: "likeness"}), meaning = box("meaning");
    const resemble = () => {
        const {title, notes} = likeness(answer, page, sets.level);
        similar.textContent = title;
        meaning.replaceChildren(...paragraphs(notes, "small"));
    };
    if (answer.confident) {
        resemble();
        sets.addEventListener("change", resemble, {signal});
    }
    const judge = () => {
        const judged = verdict(answer, page, level.own);
        said.replaceChildren(judged ? verdictBox(judged) : similar);
    };
    judge();
    level.addEventListener("change", judge, {signal});

    const {figure, choose} = map(answer, page), told = box("told");
    let chosen;
    const pick = label => {
        chosen = label;
        choose(label);
        told.replaceChildren(...description(label, page));
    };
    pick(ranked(answer)[0][0]);
    const written = () => report(
        answer, page, {label: chosen, own: level.own, level: sets.level, time});
    const button = buttons(text), notes = remarks(answer, page);
    // Once it is read, a choice of another level is to be heard.
    if (answer.suspicious && choice.length) similar.ariaLive = "polite";
    rest.replaceChildren(
        ...answer.confident && (answer.suspicious || choice.length)
            ? [box("like", ...answer.suspicious ? [similar] : [], ...choice, meaning)] : [],
        ...notes.length ? [box("box notice", list(notes))] : [],
        bars(answer, page, pick),
        ...answer.suspicious ? levelSlider(page, signal) : [],
        box("row", button("report_save", () => save(written(), time)),
            button("report_print", () => print(written(), page))));
    aside.replaceChildren(figure, told);
}

/** Show an answer in `place`, and its map in `aside`, in place of what they held. `answer` is what
 * model/page/calls.py's `classify` and the private tab's worker return, or {error: sentence}; `name`
 * in it is the picture's file name, if known. `page` is settings() of model/page/settings.py. Null
 * empties the place to its first sentence. The place needs no aria-live: the verdict in it has it. */
export function show(place, aside, answer, page) {
    ends.get(place)?.abort();
    const [said, rest] = parts(place);
    for (const part of [said, rest, aside]) part.replaceChildren();
    place.ariaBusy = null;
    place.style.minHeight = aside.style.visibility = "";
    if (!answer) {
        rest.append(box("empty", speaker(page).text("answer_empty")));
    } else if (answer.error) {
        rest.append(make("p", {className: "box error", role: "alert"}, answer.error));
    } else {
        const end = new AbortController();
        ends.set(place, end);
        fill([said, rest], aside, answer, page, end.signal);
    }
}

/** A sign in `place` that an answer is being computed. Both keep their height, so nothing jumps. */
export function showBusy(place, aside, page) {
    ends.get(place)?.abort();
    const [said, rest] = parts(place);
    place.style.minHeight = `${place.offsetHeight}px`;
    place.ariaBusy = "true";
    aside.style.visibility = "hidden";
    rest.replaceChildren();
    said.replaceChildren(box("empty", speaker(page).text("sum_busy")));
}
