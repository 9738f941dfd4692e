// The private tab: the visitor chooses, pastes, drops or takes a picture, and worker.js classifies
// it on this device.
import {show, showBusy} from "./answer.js";
import {box, make} from "./elements.js";
import {able, missing, obtain, wanted} from "./files.js";
import {picker} from "./picker.js";
import {speaker} from "./words.js";

/** Start the worker. Returns a function from (task, its arguments) to a promise of the result. */
export function startWorker(files) {
    const code = new Blob([files.picture, "\n", files.worker], {type: "text/javascript"});
    const worker = new Worker(URL.createObjectURL(code)), waiting = new Map();
    worker.onerror = event => {
        for (const {reject} of waiting.values()) reject({key: "", reason: event.message});
        waiting.clear();
    };
    worker.onmessage = ({data: {number, result, error}}) => {
        const {resolve, reject} = waiting.get(number) ?? {};
        waiting.delete(number);
        if (error) reject?.(error);
        else resolve?.(result);
    };
    let count = 0;
    const ask = (task, rest) => new Promise((resolve, reject) => {
        waiting.set(++count, {resolve, reject});
        worker.postMessage({number: count, task, ...rest});
    });
    ask.end = () => worker.terminate();
    return ask;
}

/** Fill the tab into `place`. */
export function fill(place, page, base) {
    place.textContent = speaker(page).text("private_lead");
}
