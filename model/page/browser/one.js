// The tab "One picture": the server classifies.
import {show, showBusy} from "./answer.js";
import {box} from "./elements.js";
import {picker} from "./picker.js";
import {speaker} from "./words.js";

/** A function from a File to the server's answer, or {error: sentence}. `server` and `upload` are
 * those of Gradio's gr.HTML. */
export const classifier = (page, {server, upload}) => async file => {
    const {text} = speaker(page);
    if (file.size > page.most_bytes)
        return {error: text("error_bytes", {megabytes: page.most_bytes / 1e6})};
    try {
        const {path} = await upload(file);
        return await server.classify({path, language: page.language});
    } catch {
        return {error: text("error_unreachable")};
    }
};

const READ = 300; // pixels, about the height of a verdict on a phone

/** Scroll to an answer that the visitor would not see otherwise. */
export function reveal(place) {
    const {top, bottom} = place.getBoundingClientRect();
    if (top >= 0 && Math.min(bottom, top + READ) <= innerHeight) return;
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    place.scrollIntoView({behavior: still ? "auto" : "smooth", block: "start"});
}

/** Fill the tab into `place`. */
export function fill(place, page, base, gradio) {
    const classify = classifier(page, gradio);
    const source = box("source"), answer = box("answer");
    let asked = 0;
    show(answer, null, page);
    const {more} = picker(source, page, base, {
        changed() {
            asked++; // what is still under way is obsolete
            show(answer, null, page);
        },
        async take(file, name) {
            const mine = ++asked;
            showBusy(answer, page);
            reveal(answer);
            const result = await classify(file);
            if (mine !== asked) return;
            show(answer, {...result, name}, page);
            reveal(answer); // a page may be long enough to scroll only now
        },
    });
    place.replaceChildren(box("columns", source, answer, more));
}
