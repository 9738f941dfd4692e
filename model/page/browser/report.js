// The report on one answer: an HTML file that loads nothing and prints to one page of A4.
import {box, make, paragraphs} from "./elements.js";
import {OPAQUE, layers, legend, standsOut} from "./map.js";
import {likeness, ranked, remarks, verdict} from "./verdict.js";
import {speaker} from "./words.js";

const STYLE = `
@page { size: A4; margin: 10mm; }
* { box-sizing: border-box; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
body { font: 9pt/1.3 system-ui, sans-serif; color: #111; background: #fff; max-width: 186mm;
  margin: 0 auto; overflow-wrap: anywhere; }
h1 { font-size: 13pt; margin: 0 0 2mm; }
p { margin: 0 0 1mm; }
section { border: 1px solid #555; border-left-width: 2mm; padding: 2mm 3mm 1mm; margin: 2.5mm 0; }
section h2 { font-size: 16pt; line-height: 1.2; margin: 0 0 1mm; }
.likeness { font-size: 12pt; font-weight: 600; }
.pictures { display: flex; gap: 6mm; margin: 2.5mm 0; }
figure { flex: 1 1 0; min-width: 0; margin: 0; }
figcaption { margin: 1mm 0 0; font-weight: 600; }
.layers { position: relative; display: inline-block; }
.layers img { display: block; max-width: 100%; max-height: 45mm; }
.layers svg { position: absolute; overflow: visible; }
.scale { display: flex; gap: 2mm; align-items: center; }
.scale svg { width: 30mm; height: 3mm; }
table { border-collapse: collapse; }
th, td { text-align: left; font-weight: 400; padding: 0.2mm 6mm 0.2mm 0;
  border-bottom: 1px solid #ccc; }
td { text-align: right; }
caption { text-align: left; font-weight: 600; }
.foot { display: flex; gap: 10mm; align-items: flex-end; margin: 2.5mm 0; }
dl { display: grid; grid-template-columns: auto 1fr; gap: 0 4mm; margin: 2mm 0; }
dd { margin: 0; }
.small { font-size: 8.5pt; color: #333; }
.disclaimer, .own { font-weight: 600; }
.foot .disclaimer { flex: 1 1 60mm; }
@media screen { body { padding: 16px; } }
`;

function facts(answer, page, time) {
    const {text} = speaker(page);
    const date = new Intl.DateTimeFormat(page.language, {dateStyle: "long", timeStyle: "long"});
    const pairs = [
        ["report_file", answer.name],
        ["report_date", date.format(time)],
        ["report_model", `${page.model.id}, ${page.model.revision}`],
    ].filter(([, value]) => value);
    return make("dl", {}, ...pairs.flatMap(
        ([key, value]) => [make("dt", {}, text(key)), make("dd", {}, value)]));
}

function table(answer, page) {
    const {text, probability} = speaker(page);
    const rows = ranked(answer).map(([label, p]) => make("tr", {},
        make("th", {scope: "row"}, page.names[label]), make("td", {}, probability(p, 1))));
    return make("table", {}, make("caption", {}, text("report_diagnosis")), ...rows);
}

function pictures(answer, label, page) {
    const {text} = speaker(page), {height, width} = answer.evidence;
    const plain = box("layers", make("img", {src: answer.picture, alt: text("map_plain")}));
    const figures = [make("figure", {}, plain, make("figcaption", {}, text("map_plain")))];
    if (standsOut(answer, label)) {
        const map = layers(answer, label, page);
        map.style.setProperty("--map", OPAQUE / 100);
        const title = text("report_chosen", {name: page.names[label], n: height * width});
        figures.push(
            make("figure", {}, map, make("figcaption", {}, title), legend(answer, label, page)));
    }
    return box("pictures", ...figures);
}

/** The report as HTML. `label` is the diagnosis of the map, `own` the visitor's operating point or
 * null, `level` that of the set, `time` the Date of the answer. */
export function report(answer, page, {label, own, level, time}) {
    const {text} = speaker(page);
    const file = document.implementation.createHTMLDocument(text("report_heading"));
    file.documentElement.lang = page.language;
    file.head.prepend(make("meta", {charset: "utf-8"}));
    file.head.append(
        make("meta", {name: "viewport", content: "width=device-width"}),
        make("style", {textContent: STYLE}));
    const judged = verdict(answer, page, own), like = likeness(answer, page, level);
    const parts = [make("h1", {}, text("report_heading")), facts(answer, page, time)];
    if (judged)
        parts.push(make("section", {}, make("h2", {}, judged.title),
            ...paragraphs([judged.reasons.join(" "), ...judged.sentences].filter(Boolean)),
            ...paragraphs(judged.chosen, "own"), ...paragraphs(judged.rates, "small")));
    if (like)
        parts.push(...paragraphs([like.title], "likeness"), ...paragraphs(like.notes, "small"));
    const notes = remarks(answer, page);
    if (notes.length) parts.push(make("p", {}, notes.join(" ")));
    parts.push(pictures(answer, label, page),
        box("foot", table(answer, page),
            make("p", {className: "disclaimer"}, text("no_diagnosis"))));
    file.body.append(...parts);
    return `<!doctype html>\n${file.documentElement.outerHTML}`;
}

/** Download a report. `time` dates its name. */
export function save(html, time) {
    const href = URL.createObjectURL(new Blob([html], {type: "text/html"}));
    const stamp = time.toISOString().slice(0, 19).replaceAll(/[-:]/g, "").replace("T", "-");
    make("a", {href, download: `lesion-${stamp}.html`}).click();
    setTimeout(() => URL.revokeObjectURL(href), 60_000);
}

/** Open the browser's dialog for printing a report. */
export function print(html, page) {
    document.querySelector(".printed")?.remove(); // not every browser fires afterprint
    const frame = make("iframe", {
        className: "printed", srcdoc: html, title: speaker(page).text("report_print"),
    });
    frame.onload = () => {
        frame.contentWindow.onafterprint = () => frame.remove();
        frame.contentWindow.print();
    };
    document.body.append(frame);
}
