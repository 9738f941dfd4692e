// What the page says of an answer, in words. answer.js draws it, report.js prints it. `answer` and
// `page` are those of answer.js; `own` is the visitor's own operating point, or null.
import {speaker} from "./words.js";

/** [label, probability] of each diagnosis, the most probable first. */
export const ranked = ({probabilities}) =>
    Object.entries(probabilities).sort(([, one], [, other]) => other - one);

/** Labels within a sentence, without their codes: "melanoma, benign keratosis". */
function listed(labels, page, last = ", ") {
    const {text} = speaker(page);
    const names = labels.map(label => {
        const name = text(`name_${label}`);
        return name ? name[0].toLowerCase() + name.slice(1) : label;
    });
    return [names.slice(0, -1).join(", "), names.at(-1)].filter(Boolean).join(last);
}

const capital = words => words[0].toUpperCase() + words.slice(1);

/** Of 100 suspicious and 100 harmless lesions, how many one point of the validation ROC warns
 * about. */
export function rates({sensitivity, specificity}, page) {
    const {text, number} = speaker(page);
    return text("point_rates", {
        caught: number(100 * sensitivity), alarmed: number(100 * (1 - specificity)),
    });
}

// What a visitor who chose another level must know: what the model's own level says.
function modelsOwn({suspicious: {flag, threshold}}, page, own) {
    const {text, distinct} = speaker(page);
    const [stored] = distinct(threshold, own.threshold);
    return text(`point_own_${flag ? "suspicious" : "benign"}`, {stored});
}

/** {kind, title, reasons, sentences, chosen, rates}: kind is "suspicious", "benign" or "unsure";
 * the lists hold a paragraph per entry. Null where there is nothing to warn of or to refuse. */
export function verdict(answer, page, own) {
    const {text, distinct} = speaker(page);
    const {suspicious, confident} = answer, reasons = [], sentences = [];
    if (confident && !suspicious) return null;
    const flag = own ? suspicious.score >= own.threshold : suspicious?.flag;
    const kind = !confident ? "unsure" : flag ? "suspicious" : "benign";
    const suspects = page.suspicious.labels ?? [], one = suspects.length === 1 ? "_one" : "";
    const weighed = key => {
        const [score, threshold] = distinct(
            suspicious.score, own?.threshold ?? suspicious.threshold);
        const names = listed(suspects, page, ` ${text("and")} `);
        return text(key + one, {score, threshold, names});
    };
    if (confident) {
        sentences.push(`${capital(weighed("sum_score"))} ${text(`sum_${kind}_caution`)}`);
    } else {
        const codes = answer.notices.filter(code => code !== "lens");
        reasons.push(...codes.map(code => text(`notice_${code}`)));
        sentences.push(text("sum_unsure_caution"));
        sentences.push(`${flag ? weighed("sum_even_so") : ""} ${text("sum_worried")}`.trim());
    }
    const measured = !confident ? [] : own ? [rates(own, page)] : page.rates;
    return {
        kind, title: text(`sum_${kind}`), reasons, sentences, rates: measured,
        chosen: own ? [modelsOwn(answer, page, own)] : [],
    };
}

/** {title, notes}: what the picture is most similar to, or, if the set at `level` holds more, what
 * it could be; the notes say what the level means. Null if unreliable. */
export function likeness(answer, page, level) {
    const {text, probability} = speaker(page);
    if (!answer.confident) return null;
    const [first, p] = ranked(answer)[0], set = answer.sets?.[level];
    const title = text("sum_similar", {name: page.names[first], probability: probability(p)});
    if (!set) return {title, notes: []};
    // A class with too few lesions to set its limit is in every set, and no news.
    const rare = set.filter((label, i) => i && Object.hasOwn(page.sets.always[level], label));
    const could = set.filter(label => !rare.includes(label));
    return {
        title: could.length > 1 ? text("set_could", {names: listed(could, page)}) : title,
        notes: [meaning(could, rare, answer, page, level), scarce(rare, page, level),
            page.sets.measured[level]].filter(Boolean),
    };
}

function meaning(could, rare, answer, page, level) {
    const {text, number, percent} = speaker(page), share = {level: percent(level)};
    const said = page.sets.inherited ? [] : [text("set_means", {...share, n: number(100 * level)})];
    if (could.length + rare.length === 1) said.unshift(text("set_alone", share));
    const likelier = ranked(answer).filter(([label]) => !rare.includes(label));
    if (likelier.slice(0, could.length).some(([label]) => !could.includes(label)))
        said.push(text("set_own"));
    return said.join(" ");
}

function scarce(rare, page, level) {
    const {text} = speaker(page);
    const names = rare.map(label => {
        const n = page.sets.always[level][label], name = listed([label], page);
        return text(n === 1 ? "set_few_one" : "set_few", {name, n});
    });
    return names.length ? text("set_rare", {names: names.join(", ")}) : "";
}

/** Sentences on how the picture was read that are no reason to refuse an answer. */
export const remarks = (answer, page) => answer.notices
    .filter(code => answer.confident || code === "lens")
    .map(code => speaker(page).text(`notice_${code}`));
