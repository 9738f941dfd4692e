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
    let seen; // the File whose answer is shown
    let answers; // another list once these are obsolete

    function look(file) {
        seen = file;
        answers.mark(file);
        show(answer, aside, answers.get(file) ?? null, view);
    }

    function clear() {
        answers = results(view, look);
        beside.replaceChildren(answers.list, answer);
        look(null);
    }
    clear();

    const {more, focus} = picker(source, page, base, {
        local: true, multiple: true,
        changed(file) {
            if (file) look(file);
            else clear();
        },
        async take(file, name) {
            const mine = answers;
            seen = file;
            showBusy(answer, aside, view);
            reveal(answer);
            const answered = {...await classify(file), name};
            if (mine !== answers) return;
            answers.add(file, answered);
            if (seen === file) look(file);
            reveal(answer); // a page may be long enough to scroll only now
        },
    });
    const classify = device(panel, page, base, {
        changed(chosen) {
            view = chosen;
            clear();
        },
        ready: focus,
    });
    place.replaceChildren(lead, panel, box("columns", source, beside, box("below", aside, more)));
}
