// The private tab: the visitor chooses, pastes, drops or takes a picture, and worker.js classifies
// it on this device. All words come from model/page/texts.json; Gradio sends them with the page.
import {able, missing, obtain, wanted} from "./files.js";

const words = window.gradio_config?.i18n_translations ?? {};
const spoken = (navigator.language || "en").split("-")[0];
const language = spoken in words ? spoken : "en";

const filled = (text, values = {}) =>
    Object.entries(values).reduce(
        (filling, [key, value]) => filling.replaceAll(`{${key}}`, value), text);
const text = (key, values) => filled(words[language][key], values);

/** A number as the server writes it: 12,345.6, or 12.345,6 in Indonesian. */
export function number(value, digits = 0, tongue = language) {
    return new Intl.NumberFormat(tongue === "id" ? "id" : "en-US", {
        minimumFractionDigits: digits, maximumFractionDigits: digits, roundingMode: "halfEven",
    }).format(value);
}

/** A probability in per cent, never 0 % or 100 %: no model is that certain. */
export function probability(p, digits = 0, tongue = language) {
    if (p > 0.99) return words[tongue].over_99;
    return p < 0.01 ? words[tongue].under_1 : number(100 * p, digits, tongue) + "%";
}

/** Both in per cent, with as many decimals as it takes to tell them apart, at most three. */
export function distinct(score, threshold, tongue = language) {
    let pair;
    for (let digits = 0; digits < 4; digits++) {
        pair = [score, threshold].map(p => probability(p, digits, tongue));
        if (pair[0] !== pair[1]) break;
    }
    return pair;
}

/** The HTML of the summary, composed from the parts that model/page/answer.py made. */
export function summary({probabilities, notices, confident, milliseconds}, tab, tongue = language) {
    const {boxes} = tab.html[tongue];
    const shown = notices.map(code => boxes[code]);
    if (!confident) shown.push(boxes.unsure);
    else if (tab.suspicious) {
        const {labels, threshold} = tab.suspicious;
        const total = labels.reduce(
            (sum, label) => sum + (probabilities[tab.labels.indexOf(label)] ?? 0), 0);
        const [score, level] = distinct(total, threshold, tongue);
        const box = boxes[total >= threshold ? "suspicious" : "benign"];
        shown.push(filled(box, {score, threshold: level}));
    }
    return shown.join("") + filled(boxes.time, {milliseconds: number(milliseconds, 0, tongue)});
}

function make(tag, properties = {}, ...children) {
    const node = Object.assign(document.createElement(tag), properties);
    node.append(...children);
    return node;
}

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

/** Fill the tab into `place`; `base` is the address below which its files are served. */
export async function fill(place, base) {
    const tab = await (await fetch(base + "tab.json")).json();
    const html = tab.html[language];
    let ask, asked = 0;

    // --- the elements
    const button = (key, onclick) =>
        make("button", {type: "button", textContent: text(key), onclick});
    const box = (className, ...children) => make("div", {className}, ...children);

    const load = make("button", {type: "button", className: "main", hidden: true});
    const bar = make("progress", {hidden: true, value: 0, ariaLabel: text("common.progress")});
    const status = make("p", {role: "status", className: "status"});
    const alert = make("div", {role: "alert"});

    const input = make("input", {
        type: "file", accept: "image/*,.heic,.heif,.hif,.jfif", ariaLabel: text("private_choose"),
    });
    const video = make("video", {
        autoplay: true, muted: true, playsInline: true, ariaLabel: text("private_viewfinder"),
    });
    const film = box("film", video,
        box("row", button("private_shoot", shoot), button("private_close", close)));
    const hint = make("p", {className: "empty", textContent: text("private_drop")});
    const photo = make("canvas", {hidden: true, role: "img", ariaLabel: text("private_chosen")});
    const source = box("source",
        box("row", make("label", {className: "button"}, input, text("private_choose")),
            button("private_camera", camera), button("private_paste", paste)),
        film,
        box("drop", hint, photo));

    const nothingYet = () => box("empty", text("private_empty"));
    const verdict = make("div", {className: "verdict", ariaLive: "polite"}, nothingYet());
    const shares = box("shares");
    const chart = make("canvas", {role: "img"});
    const choice = make("select", {onchange: draw},
        ...html.names.map((name, value) => make("option", {value, textContent: name})));
    const about = make("div");
    const explained = box("columns",
        make("div", {}, make("h3", {textContent: text("map")}), chart,
            make("div", {innerHTML: html.legend})),
        make("div", {}, make("label", {className: "pick"}, text("map_for"), choice), about));

    for (const part of [film, source, verdict, shares, explained]) part.hidden = true;
    place.replaceChildren(
        make("p", {textContent: text("private_lead")}), alert,
        box("row", load, bar, status),
        box("columns", source, make("div", {}, verdict, shares)),
        explained);

    function say(error, ...more) {
        alert.replaceChildren();
        if (!error) return;
        const lines = [text(error.key || "private_failed", error.values), ...more];
        alert.append(box("box notice",
            make("span", {className: "mark", ariaHidden: "true", textContent: "!"}),
            make("div", {}, ...lines.map(line => make("p", {textContent: line})))));
    }

    // --- the model
    if (!able()) {
        load.remove();
        return say({key: "private_unable"}, text("private_instead"));
    }
    const entries = wanted(tab.files);
    const megabytes = bytes => number(bytes / 1e6, 1);
    let total = await missing(entries);
    load.textContent = text("private_load", {megabytes: megabytes(total)});
    load.onclick = prepare;
    load.hidden = false; // only now, because an earlier click would be lost
    if (!total) await prepare();

    async function prepare() {
        let done = 0;
        const focused = document.activeElement === load;
        say();
        total = await missing(entries);
        load.hidden = true;
        bar.hidden = false;
        status.ariaBusy = "true"; // screen readers need not read out each megabyte
        try {
            const files = await obtain(entries, base, bytes => {
                total = Math.max(total, done += bytes); // grows if a cached file proves damaged
                bar.value = done / total;
                const values = {done: megabytes(done), total: megabytes(total)};
                status.textContent = text("private_progress", values);
            });
            status.textContent = text("private_starting");
            bar.removeAttribute("value");
            ask = startWorker(files);
            await ask("start", {files, settings: {...tab, html: null, files: null}});
            status.textContent = text("private_ready");
            source.hidden = verdict.hidden = false;
            if (focused) input.focus();
            listen();
        } catch (error) {
            ask?.end();
            status.textContent = "";
            say(error, ...(error.key ? [] : [text("private_instead")]));
            Object.assign(load, {hidden: false, textContent: text("private_again")});
        }
        bar.hidden = true;
        status.ariaBusy = "false";
    }

    // --- one picture
    async function classify(file) {
        const mine = ++asked; // a later picture makes this one's answer obsolete
        say();
        close();
        for (const part of [shares, explained, photo]) part.hidden = true;
        hint.hidden = false;
        verdict.textContent = text("private_computing");
        try {
            const result = await ask("classify", {file});
            if (mine !== asked) return;
            paint(photo, result.shown);
            hint.hidden = true;
            verdict.innerHTML = summary(result, tab);
            list(result);
            choice.value = String(result.probabilities.indexOf(Math.max(...result.probabilities)));
            await draw();
            explained.hidden = false;
        } catch (error) {
            if (mine !== asked) return;
            verdict.replaceChildren(nothingYet());
            say(error);
        }
    }

    function paint(canvas, image) {
        Object.assign(canvas, {width: image.width, height: image.height, hidden: false});
        canvas.getContext("2d").putImageData(image, 0, 0);
    }

    function list({probabilities, confident}) {
        const order = [...probabilities.keys()].sort((a, b) => probabilities[b] - probabilities[a]);
        const rows = order.map(i => {
            const row = box("share", make("dt", {textContent: html.names[i]}),
                make("dd", {textContent: probability(probabilities[i])}));
            row.style.setProperty("--part", `${100 * probabilities[i]}%`);
            return row;
        });
        const top = make("p", {className: "top", textContent: html.names[order[0]]});
        shares.replaceChildren(make("h3", {textContent: text("probabilities")}),
            ...(confident ? [top] : []), make("dl", {}, ...rows));
        shares.hidden = false;
    }

    async function draw() {
        const index = Number(choice.value);
        const {image, some} = await ask("map", {place: index});
        paint(chart, image);
        chart.ariaLabel = text(some ? "map_alt" : "map_none", {name: html.names[index]});
        about.innerHTML = html.diagnoses[index];
    }

    // --- where pictures come from
    function listen() {
        input.onchange = () => {
            if (input.files[0]) classify(input.files[0]);
            input.value = "";
        };
        const visible = () => place.offsetParent !== null;
        // In the capture phase, ahead of Gradio, whose own picture field would upload the file.
        const caught = take => event => {
            if (!visible()) return;
            // A file whose ending the system does not know has no type; the decoder judges it.
            const file = [...take(event)?.files ?? []].find(
                one => !one.type || one.type.startsWith("image/"));
            event.preventDefault();
            event.stopImmediatePropagation();
            if (file) classify(file);
        };
        addEventListener("paste", caught(event => event.clipboardData), true);
        addEventListener("drop", caught(event => event.dataTransfer), true);
        addEventListener("dragover", event => visible() && event.preventDefault(), true);
    }

    async function paste() {
        try {
            for (const item of await navigator.clipboard.read()) {
                const kind = item.types.find(type => type.startsWith("image/"));
                if (kind) return classify(await item.getType(kind));
            }
            throw new Error();
        } catch {
            say({key: "private_clipboard"});
        }
    }

    async function camera() {
        say();
        try {
            video.srcObject = await navigator.mediaDevices.getUserMedia({
                video: {facingMode: "environment", width: {ideal: 1920}},
            });
            film.hidden = false;
        } catch {
            say({key: "error_camera"});
        }
    }

    function close() {
        for (const track of video.srcObject?.getTracks() ?? []) track.stop();
        video.srcObject = null;
        film.hidden = true;
    }

    function shoot() {
        const canvas = make("canvas", {width: video.videoWidth, height: video.videoHeight});
        canvas.getContext("2d").drawImage(video, 0, 0);
        canvas.toBlob(classify, "image/png");
    }
}
