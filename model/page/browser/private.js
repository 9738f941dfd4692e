// The private tab: the visitor's own browser classifies, with one of the models that the page offers.
import {show, showBusy} from "./answer.js";
import {device} from "./device.js";
import {box, make} from "./elements.js";
import {able} from "./files.js";
import {reveal} from "./one.js";
import {picker} from "./picker.js";
import {results} from "./results.js";
import {speaker} from "./words.js";

/** Fill the tab into `place`. */
export function fill(place, page, base) {
    const {text} = speaker(page), lead = make("p", {}, text("private_lead"));
    if (!able()) {
        place.replaceChildren(lead, make("p", {className: "box error", role: "alert"},
            `${text("private_unable")} ${text("private_instead")}`));
        return;
    }
    const panel = box("device"), source = box("source"), answer = box("result answer");
    const beside = box("answers"), aside = box("result");
    let view = page; // settings for answer.js, of the chosen model
    let seen = null; // the File whose answer is shown
    let last = null; // the File that was classified last
    let answers; // another list once these are obsolete
    let ends = new AbortController(); // of what that list listens to

    function look(file) {
        seen = file;
        answers.mark(file);
        show(answer, aside, answers.get(file) ?? null, view);
    }

    function clear() {
        ends.abort();
        ends = new AbortController();
        answers = results(view, file => {
            select(file);
            look(file);
        }, ends.signal);
        beside.replaceChildren(answers.list, answer);
        look(null);
    }

    const {more, focus, select} = picker(source, page, base, {
        local: true, multiple: true,
        changed(file, former) {
            answers.remove(former);
            if (file) look(file);
            else clear();
        },
        async take(file, name) {
            const mine = answers, first = !answers.get(last);
            // Unless the visitor has turned to another picture of several.
            if (first || seen === last) {
                seen = file;
                showBusy(answer, aside, view);
            }
            last = file;
            if (first) reveal(answer);
            const answered = {...await classify(file), name};
            if (mine !== answers) return;
            answers.add(file, answered);
            if (seen === file) look(file);
            if (first) reveal(answer); // a page may be long enough to scroll only now
        },
    });
    const classify = device(panel, page, base, {
        changed(chosen) {
            view = chosen;
            clear();
        },
        ready: focus,
    });
    clear();
    place.replaceChildren(lead, panel, box("columns", source, beside, box("below", aside, more)));
}
