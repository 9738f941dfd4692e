// The model on this device: the visitor chooses one; it is loaded, and runs in a worker.
import {make, box} from "./elements.js";
import {missing, obtain, wanted} from "./files.js";
import {speaker} from "./words.js";

/** Start the worker. Returns a function from (task, its arguments) to a promise of the result. */
export function startWorker(files) {
    const code = new Blob([files.picture, "\n", files.worker], {type: "text/javascript"});
    const address = URL.createObjectURL(code), worker = new Worker(address), waiting = new Map();
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
    ask.end = () => {
        worker.terminate();
        URL.revokeObjectURL(address);
        for (const {reject} of waiting.values()) reject({key: "", reason: "ended"});
    };
    return ask;
}

/** Fill `place` with the choice of a model and a button that loads it; a model that is already here
 * starts by itself. `page` and `base` are those of picker.js. `changed(view)` is called with the
 * settings for answer.js when a model is chosen, at once with those of the default; `ready()` when
 * the button has done its work. Returns `classify`, from a File to a promise of its answer or of
 * {error: sentence}; that loads the model if need be. */
export function device(place, page, base, {changed, ready}) {
    const {text, number, percent} = speaker(page), {models, ...rules} = page.private;
    const megabytes = bytes => number(bytes / 1e6, 1);
    const title = ({own}) => text(own ? "private_own" : "private_small");
    const entries = () => wanted(page.files, model.file);
    const views = new Map(models.map(one => [one, {...page, ...one.page}]));
    let model = models[0];
    let running = null; // a promise of what startWorker returns

    // --- what is seen
    const choice = make("fieldset", {className: "models", hidden: models.length < 2},
        make("legend", {}, text("private_model")), ...models.map(one => make("label", {},
            make("input", {type: "radio", name: "private_model", onchange: () => choose(one)}),
            make("span", {}, described(one)))));
    const load = make("button", {type: "button", className: "load", hidden: true, async onclick() {
        alert.replaceChildren();
        await start().then(ready, error => alert.append(failure(error)));
    }});
    const bar = make("progress", {hidden: true, value: 0, ariaLabel: text("private_bar")});
    const status = make("p", {role: "status"}), alert = make("div", {role: "alert"});
    place.replaceChildren(choice, box("row", load, bar, status), alert);

    function described(one) {
        const size = `${title(one)}, ${megabytes(page.files[one.file].transfer)} MB`;
        if (!one.tested) return size;
        const {caught, alarmed} = one.tested;
        const shares = {caught: percent(caught), alarmed: percent(alarmed)};
        return `${size}: ${text("private_tested", shares)}`;
    }

    const sentence = ({key, values}) =>
        key ? text(key, values) : `${text("private_failed")} ${text("private_instead")}`;
    const failure = error => make("p", {className: "box error"}, sentence(error));

    function tell(words) {
        // A screen reader would read it out again.
        if (status.textContent !== words) status.textContent = words;
    }
    const tellProcessor = accelerator => tell(text(
        accelerator === "webgpu" ? "private_graphics" : "private_processor",
        {model: title(model)}));

    // --- what happens
    function select(one) {
        stop();
        model = one;
        choice.querySelectorAll("input")[models.indexOf(one)].checked = true;
        alert.replaceChildren();
        load.hidden = true;
        tell("");
        changed(views.get(one));
    }

    async function choose(one) {
        select(one);
        const bytes = await missing(entries());
        if (model !== one || running) return;
        if (!bytes) return start().catch(error => alert.append(failure(error)));
        load.textContent = text("private_load", {megabytes: megabytes(bytes)});
        load.hidden = false; // only now, because an earlier click would be lost
    }

    function start() {
        running ??= begin();
        return running;
    }

    function stop() {
        running?.then(ask => ask.end(), () => {});
        running = null;
    }

    function again() {
        tell("");
        Object.assign(load, {hidden: false, textContent: text("private_again")});
    }

    async function begin() {
        let done = 0, total = await missing(entries()), ask;
        load.hidden = true;
        bar.hidden = false;
        choice.disabled = true;
        status.ariaBusy = "true"; // screen readers need not read out each megabyte
        try {
            const files = await obtain(entries(), page.files, base, bytes => {
                total = Math.max(total, done += bytes); // grows if a cached file proves damaged
                bar.value = done / total;
                const values = {done: megabytes(done), total: megabytes(total)};
                tell(text("private_progress", values));
            });
            tell(text("private_starting"));
            bar.removeAttribute("value");
            ask = startWorker(files);
            tellProcessor(await ask("start", {files, settings: {...rules, ...model}}));
            return ask;
        } catch (error) {
            ask?.end();
            running = null;
            again();
            throw error;
        } finally {
            bar.hidden = true;
            choice.disabled = false;
            status.ariaBusy = "false";
        }
    }

    async function classify(file) {
        try {
            const ask = await start();
            choice.disabled = true;
            const answer = await ask("classify", {file});
            tellProcessor(answer.accelerator);
            return answer;
        } catch (error) {
            if (!error.key) {
                stop();
                again();
            }
            return {error: sentence(error)};
        } finally {
            choice.disabled = false;
        }
    }

    async function first() {
        for (const one of models) if (!await missing(wanted(page.files, one.file))) return one;
        return models[0];
    }

    select(models[0]);
    first().then(one => running || choose(one)); // unless a picture has been classified meanwhile
    return classify;
}
