// The tab "One picture": the server classifies.
import {show, showBusy} from "./answer.js";
import {box} from "./elements.js";
import {picker} from "./picker.js";
import {speaker} from "./words.js";

/** Fill the tab into `place`. `gradio` holds the functions of Gradio's gr.HTML: {server, upload}.
 * Options:
 *   answered(answer)   called with each answer, and with null when it no longer holds
 *   hints              whether to show hints and examples (default: true) */
export function fill(
    place, page, base, {server, upload}, {answered = () => {}, hints = true} = {},
) {
    const {text} = speaker(page);
    const source = box("source"), answer = box("result answer"), aside = box("result");
    let asked = 0;

    function put(result) {
        show(answer, aside, result, page);
        answered(result?.error ? null : result);
    }

    async function classify(file) {
        if (file.size > page.most_bytes)
            return {error: text("error_bytes", {megabytes: page.most_bytes / 1e6})};
        try {
            const {path} = await upload(file);
            const result = await server.classify({path, language: page.language});
            if (result) return result; // Gradio only logs that a call failed
        } catch {} // so did the upload
        return {error: text("error_unreachable")};
    }

    put(null);
    const {more} = picker(source, page, base, {
        examples: hints,
        changed() {
            asked++; // what is still under way is obsolete
            put(null);
        },
        async take(file, name) {
            const mine = ++asked;
            showBusy(answer, aside, page);
            reveal(answer);
            const result = await classify(file);
            if (mine !== asked) return;
            put({...result, name});
            reveal(answer);
        },
    });
    place.replaceChildren(box("columns", source, answer, box("below", aside, ...hints ? [more] : [])));
}

const READ = 300; // pixels, about the height of a verdict on a phone

/** Scroll to an answer that the visitor cannot see, as on a phone. */
export function reveal(place) {
    const {top, bottom} = place.getBoundingClientRect();
    if (top >= 0 && Math.min(bottom, top + READ) <= innerHeight) return;
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    place.scrollIntoView({behavior: calm ? "instant" : "smooth", block: "start"});
}
