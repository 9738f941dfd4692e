// The worker: decodes a picture, runs the model and draws the evidence maps, off the page's thread.
// It is a classic worker, made of picture.js and this file, since LiteRT.js loads itself with
// importScripts, which module workers lack. It never uses the network: the first message brings
// all it needs.

let ask; // runs the model: pixels to its outputs, {name: numbers, name_shape: [...]}
let tab; // settings() of model/page/private.py
let blank; // the most that `agreed` keeps of any diagnosis for a blank picture
let seen; // the last picture and its evidence, for further maps

/** Load the model: `files` holds Blobs of LiteRT.js, its wasm and the model. */
async function start({files, settings}) {
    tab = settings;
    // Hide the GPU from LiteRT.js: it opens a GPU device at its start, with no option to prevent
    // this (Environment.create in @litertjs/core 2.5.3), and the model runs on the CPU.
    Object.defineProperty(navigator, "gpu", {value: undefined});
    const script = URL.createObjectURL(files.runtime), wasm = URL.createObjectURL(files.wasm);
    // LiteRT.js writes its log to stderr, which would show up as errors on the console.
    const printErr = line => console.debug(line);
    self.Module = {locateFile: () => wasm, mainScriptUrlOrBlob: script, printErr};
    importScripts(URL.createObjectURL(files.litert));
    await loadLiteRt(script + "#.js"); // it takes a path that ends in .js for a file, not a folder
    const bytes = new Uint8Array(await files.model.arrayBuffer());
    const model = await loadAndCompile(bytes, {accelerator: "wasm"});
    const {height, width} = tab.input;
    ask = async pixels => {
        const input = new Tensor(Float32Array.from(pixels), [1, height, width, 3]);
        const begun = performance.now();
        const out = await model.run({pixels: input});
        const milliseconds = performance.now() - begun;
        const answer = {milliseconds};
        for (const [name, tensor] of Object.entries(out)) {
            answer[name] = Array.from(tensor.toTypedArray());
            answer[name + "_shape"] = Array.from(tensor.type.layout.dimensions);
            tensor.delete();
        }
        input.delete();
        return answer;
    };
    // Also a warm-up: the first run is slower.
    const {evidence} = await ask(new Uint8Array(height * width * 3).fill(128));
    blank = largest(agreed(evidence, evidence, tab.labels.length));
}

// How files hold an ICC profile: JPEG, PNG, WebP and HEIC.
const PROFILE = /ICC_PROFILE\0|iCCP|ICCP|colrprof/;

/** Whether colours are converted: by an ICC profile only, as in model/colour.py. The browser would
 * also heed a PNG's gAMA, cHRM and cICP. */
async function conversion(file) {
    const text = new TextDecoder("latin1").decode(await file.arrayBuffer());
    return PROFILE.test(text) ? "default" : "none";
}

/** Decode a file to upright RGBA on white: the `whole` picture, or, if `cropped`, what a lens shows
 * of it; and the same as it is `shown`, smaller. */
async function opened(file) {
    let bitmap;
    try {
        bitmap = await createImageBitmap(file, {
            imageOrientation: "from-image", premultiplyAlpha: "none",
            colorSpaceConversion: await conversion(file),
        });
    } catch {
        throw {key: "error_unreadable"};
    }
    if (bitmap.width * bitmap.height > tab.most_pixels)
        throw {key: "error_too_large", values: {
            width: bitmap.width, height: bitmap.height,
            megapixels: Math.floor(tab.most_pixels / 1e6),
        }};
    let part = {left: 0, top: 0, width: bitmap.width, height: bitmap.height};
    const drawn = (width, height) => {
        const canvas = new OffscreenCanvas(width, height);
        const context = canvas.getContext("2d", {willReadFrequently: true});
        context.fillStyle = "white";
        context.fillRect(0, 0, width, height);
        context.imageSmoothingQuality = "high";
        context.drawImage(
            bitmap, part.left, part.top, part.width, part.height, 0, 0, width, height);
        return context.getImageData(0, 0, width, height);
    };
    let whole = drawn(part.width, part.height);
    const cropped = withinLens(whole, tab.lens);
    if (cropped) {
        part = cropped;
        whole = drawn(part.width, part.height);
    }
    const scale = Math.min(1, tab.look.longest / Math.max(part.width, part.height));
    const scaled = pixels => Math.max(1, Math.round(pixels * scale));
    const shown = drawn(scaled(part.width), scaled(part.height));
    bitmap.close();
    return {whole, shown, cropped: cropped !== null};
}

/** Classify a file. Returns the fields of the server's Prediction, and the picture to show. */
async function classify({file}) {
    const {whole, shown, cropped} = await opened(file);
    const {height, width} = tab.input;
    const pixels = toArray(whole, height, width);
    const out = await ask(pixels);
    const notices = qualityNotices(whole, tab.quality);
    if (cropped) notices.push("lens");
    const familiarity = out.familiarity?.[0];
    if (familiarity !== undefined && tab.familiar !== null && familiarity < tab.familiar)
        notices.push("unfamiliar");
    const quarter = turned(whole, height, width);
    const shape = out.evidence_shape.slice(1);
    const kept = agreed(out.evidence, (await ask(halfTurn(pixels))).evidence, shape[2]);
    seen = {shown, ...strengths(kept, shape, quarter, blank)};
    return {
        probabilities: out.probabilities, milliseconds: out.milliseconds,
        notices, familiarity, shown,
        confident: !notices.some(code => tab.quality.refused.includes(code)),
    };
}

/** The map of the diagnosis at index `place`, over the last picture. `some`: is anything in it? */
function map({place}) {
    const value = enlarge(seen.maps[place], seen, seen.shown.width, seen.shown.height);
    const data = overlay(seen.shown, value, tab.look);
    const most = seen.maps[place].reduce((a, b) => Math.max(a, b), 0);
    return {image: new ImageData(data, seen.shown.width), some: most > tab.look.least};
}

const TASKS = {start, classify, map};
onmessage = async ({data: {number, task, ...rest}}) => {
    try {
        postMessage({number, result: await TASKS[task](rest)});
    } catch (error) {
        const reason = String(error?.message ?? error);
        postMessage({number, error: error?.key ? error : {key: "", reason}});
    }
};
