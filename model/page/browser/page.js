// The private tab: a picture is chosen, pasted, dropped or taken, and classified by worker.js on this
// device. All words are those of model/page/texts.json, which Gradio brings with the page.
import {able, missing, obtain, wanted} from "./files.js";

const words = window.gradio_config?.i18n_translations ?? {};
const spoken = (navigator.language || "en").split("-")[0];
const language = spoken in words ? spoken : "en";

const filled = (text, values = {}) =>
    Object.entries(values).reduce((so, [key, value]) => so.replaceAll(`{${key}}`, value), text);
const text = (key, values) => filled(words[language][key], values);

/** As model/page/texts.py writes numbers. */
export function number(value, digits = 0, tongue = language) {
    return new Intl.NumberFormat(tongue === "id" ? "id" : "en-US", {
        minimumFractionDigits: digits, maximumFractionDigits: digits, roundingMode: "halfEven",
    }).format(value);
}

/** A probability without more certainty than a model has: never 0 % nor 100 %. */
export function probability(p, digits = 0, tongue = language) {
    const say = key => words[tongue][key];
    return p > 0.99 ? say("over_99") : p < 0.01 ? say("under_1") : number(100 * p, digits, tongue) + "%";
}

/** Both as per cent, with as many digits as it takes to tell them apart, up to three. */
export function apart(score, threshold, tongue = language) {
    let pair;
    for (let digits = 0; digits < 4; digits++) {
        pair = [score, threshold].map(p => probability(p, digits, tongue));
        if (pair[0] !== pair[1]) break;
    }
    return pair;
}

/** The HTML of what stands out; its parts come from model/page/answer.py. */
export function summary({probabilities, notices, confident, milliseconds}, tab, tongue = language) {
    const {boxes} = tab.html[tongue];
    const shown = notices.map(code => boxes[code]);
    if (!confident) shown.push(boxes.unsure);
    else if (tab.suspicious) {
        const {labels, threshold} = tab.suspicious;
        const total = labels.reduce((sum, label) => sum + (probabilities[tab.labels.indexOf(label)] ?? 0), 0);
        const [score, level] = apart(total, threshold, tongue);
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

/** The worker, as a function (task, what it takes) to a promise of its result. */
export function working(files) {
    const code = new Blob([files.picture, "\n", files.worker], {type: "text/javascript"});
    const worker = new Worker(URL.createObjectURL(code)), waiting = new Map();
    const ended = error => {
        for (const [, stop] of waiting.values()) stop(error);
        waiting.clear();
    };
    worker.onerror = event => ended({key: "", reason: event.message});
    worker.onmessage = ({data: {number, result, error}}) => {
        const [go, stop] = waiting.get(number) ?? [];
        waiting.delete(number);
        if (error) stop?.(error);
        else go?.(result);
    };
    let count = 0;
    const ask = (task, rest) => new Promise((go, stop) => {
        waiting.set(++count, [go, stop]);
        worker.postMessage({number: count, task, ...rest});
    });
    ask.end = () => worker.terminate();
    return ask;
}

/** Put the tab into `place`; `base` is the address that its files are under. */
export async function fill(place, base) {
    const tab = await (await fetch(base + "tab.json")).json();
    const html = tab.html[language];
    let ask, asked = 0;

    // --- what is on the tab
    const status = make("p", {role: "status", className: "status"});
    const bar = make("progress", {hidden: true, value: 0, ariaLabel: text("common.progress")});
    const load = make("button", {type: "button", className: "main", hidden: true});
    const alert = make("div", {role: "alert"});
    const input = make("input", {type: "file", accept: "image/*", ariaLabel: text("private_choose")});
    const button = (key, onclick) => make("button", {type: "button", textContent: text(key), onclick});
    const video = make("video", {
        autoplay: true, muted: true, playsInline: true, ariaLabel: text("private_viewfinder"),
    });
    const film = make("div", {hidden: true, className: "film"}, video, make("div", {className: "row"},
        button("private_shoot", shoot), button("private_close", close)));
    const hint = make("p", {className: "empty", textContent: text("private_drop")});
    const photo = make("canvas", {hidden: true, role: "img", ariaLabel: text("private_chosen")});
    const choose = make("label", {className: "button"}, input, text("private_choose"));
    const source = make("div", {hidden: true, className: "source"},
        make("div", {className: "row"}, choose, button("private_camera", camera),
            button("private_paste", paste)),
        film, make("div", {className: "drop"}, hint, photo));
    const empty = `<div class="empty">${make("i", {textContent: text("private_empty")}).innerHTML}</div>`;
    const verdict = make("div", {className: "verdict", ariaLive: "polite", hidden: true, innerHTML: empty});
    const shares = make("div", {className: "shares", hidden: true});
    const chart = make("canvas", {role: "img"});
    const choice = make("select", {onchange: draw},
        ...html.names.map((name, value) => make("option", {value, textContent: name})));
    const about = make("div");
    const explained = make("div", {className: "columns", hidden: true},
        make("div", {}, make("h3", {textContent: text("map")}), chart, make("div", {innerHTML: html.legend})),
        make("div", {}, make("label", {className: "pick"}, text("map_for"), choice), about));
    place.replaceChildren(make("p", {textContent: text("private_lead")}), alert,
        make("div", {className: "row"}, load, bar, status),
        make("div", {className: "columns"}, source, make("div", {}, verdict, shares)), explained);

    function say(error, ...more) {
        alert.replaceChildren();
        if (!error) return;
        const lines = [text(error.key || "private_failed", error.values), ...more];
        alert.append(make("div", {className: "box notice"},
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
    load.hidden = false; // not before: a press that nothing hears would be lost
    if (!total) await prepare();

    async function prepare() {
        let done = 0;
        const focused = document.activeElement === load;
        say();
        total = await missing(entries);
        load.hidden = true;
        bar.hidden = false;
        status.ariaBusy = "true"; // each megabyte need not be read out
        try {
            const files = await obtain(entries, base, bytes => {
                total = Math.max(total, done += bytes); // more, where a kept file is found damaged
                bar.value = done / total;
                const values = {done: megabytes(done), total: megabytes(total)};
                status.textContent = text("private_progress", values);
            });
            status.textContent = text("private_starting");
            bar.removeAttribute("value");
            ask = working(files);
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

    // --- a picture
    async function classify(file) {
        const mine = ++asked;
        say();
        close();
        for (const part of [shares, explained, photo]) part.hidden = true;
        hint.hidden = false;
        verdict.textContent = text("private_computing");
        try {
            const found = await ask("classify", {file});
            if (mine !== asked) return;
            paint(photo, found.shown);
            hint.hidden = true;
            verdict.innerHTML = summary(found, tab);
            list(found);
            choice.value = String(found.probabilities.indexOf(Math.max(...found.probabilities)));
            await draw();
            explained.hidden = false;
        } catch (error) {
            if (mine !== asked) return;
            verdict.innerHTML = empty;
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
            const row = make("div", {className: "share"}, make("dt", {textContent: html.names[i]}),
                make("dd", {textContent: probability(probabilities[i])}));
            row.style.setProperty("--part", `${100 * probabilities[i]}%`);
            return row;
        });
        const heading = confident ? [make("p", {className: "top", textContent: html.names[order[0]]})] : [];
        shares.replaceChildren(make("h3", {textContent: text("probabilities")}), ...heading,
            make("dl", {}, ...rows));
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
        // Before Gradio sees them: its own picture field would upload what is pasted or dropped.
        const caught = take => event => {
            if (!visible()) return;
            const file = [...take(event)?.files ?? []].find(one => one.type.startsWith("image/"));
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
            // The prototype's own: model/page/page.js puts Gradio's message in the place of refusals.
            video.srcObject = await MediaDevices.prototype.getUserMedia.call(
                navigator.mediaDevices, {video: {facingMode: "environment", width: {ideal: 1920}}});
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
