// The worker: decodes a picture, runs the model and finds the evidence, off the page's thread. It is
// a classic worker, made of picture.js and this file, since LiteRT.js loads itself with
// importScripts, which module workers lack. It never uses the network: the first message brings
// all it needs.

const TOLERANCE = 0.01; // how far a probability may be off on the graphics processor

let ask; // runs the model: pixels to its outputs, {name: numbers, name_shape: [...]}
let tab; // the limits and one entry of "models" of `private` in model/page/settings.py
let blank; // the most that `agreed` keeps of any diagnosis for a blank picture

/** Load the model: `files` holds Blobs of LiteRT.js, its wasm and the model. Returns what computes
 * it, "wasm" or "webgpu". */
async function start({files, settings}) {
    tab = settings;
    // Without a GPU of use, hide it from LiteRT.js, which opens a device at its start, with no
    // option to prevent this (Environment.create in @litertjs/core 2.5.3).
    const graphics = await hasGraphics();
    if (!graphics) Object.defineProperty(navigator, "gpu", {value: undefined});
    const script = URL.createObjectURL(files.runtime), wasm = URL.createObjectURL(files.wasm);
    // LiteRT.js writes its log to stderr, which would show up as errors on the console.
    const printErr = line => console.debug(line);
    self.Module = {locateFile: () => wasm, mainScriptUrlOrBlob: script, printErr};
    importScripts(URL.createObjectURL(files.litert));
    await loadLiteRt(script + "#.js"); // it takes a path that ends in .js for a file, not a folder
    const bytes = new Uint8Array(await files.model.arrayBuffer());
    const cpu = await compiled(bytes, "wasm");
    ask = cpu;
    if (graphics) {
        const gpu = await accelerated(bytes, cpu);
        // A GPU may fail later, for one after the device has slept.
        if (gpu) ask = pixels => gpu(pixels).catch(() => (ask = cpu)(pixels));
    }
    // Also a warm-up: the first run is slower.
    const grey = new Uint8Array(tab.input.height * tab.input.width * 3).fill(128);
    const {accelerator, evidence} = await ask(grey);
    blank = largest(agreed(evidence, evidence, tab.page.labels.length));
    return accelerator;
}

/** Whether there is a graphics processor, and not one that software imitates. */
async function hasGraphics() {
    const adapter = await navigator.gpu?.requestAdapter({powerPreference: "high-performance"});
    return Boolean(adapter) && !adapter.info.isFallbackAdapter;
}

/** Compile the model. `accelerator` is LiteRT.js's name for what computes it: "wasm", the
 * processor, or "webgpu". Throws if that cannot compute all of it. */
async function compiled(bytes, accelerator) {
    const gpuOptions = {precision: "fp32"};
    const model = await loadAndCompile(bytes, {accelerator, gpuOptions});
    // LiteRT.js takes wasm if a GPU cannot do all.
    if (accelerator === "webgpu"
            && !(model.options.accelerator === "webgpu" && model.isFullyAccelerated)) {
        model.delete();
        throw new Error("Some operation is not supported by WebGPU.");
    }
    const {height, width} = tab.input;
    return async pixels => {
        const input = new Tensor(Float32Array.from(pixels), [1, height, width, 3]);
        const begun = performance.now(), answer = {accelerator};
        for (const [name, tensor] of Object.entries(await model.run({pixels: input}))) {
            answer[name] = Array.from(await tensor.data());
            answer[name + "_shape"] = Array.from(tensor.type.layout.dimensions);
            tensor.delete();
        }
        answer.milliseconds = performance.now() - begun;
        input.delete();
        return answer;
    };
}

/** Pixels of all brightnesses. */
const pattern = () => Uint8Array.from(
    {length: tab.input.height * tab.input.width * 3}, (_, i) => i * 2654435761 >>> 24);

/** The model on the GPU; null unless it works there, with the answer of `cpu`, and sooner. */
async function accelerated(bytes, cpu) {
    try {
        const gpu = await compiled(bytes, "webgpu"), pixels = pattern();
        for (const run of [gpu, cpu]) await run(pixels); // the first run is slower
        const one = await gpu(pixels), other = await cpu(pixels);
        return alike(one, other) && sooner(one, other) ? gpu : null;
    } catch (error) {
        console.debug(error);
        return null;
    }
}

const alike = (one, other) => one.probabilities.every(
    (p, i) => Math.abs(p - other.probabilities[i]) <= TOLERANCE);

function sooner(one, other) {
    return one.milliseconds < other.milliseconds;
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
    const scale = Math.min(1, tab.longest / Math.max(part.width, part.height));
    const scaled = pixels => Math.max(1, Math.round(pixels * scale));
    const shown = drawn(scaled(part.width), scaled(part.height));
    bitmap.close();
    return {whole, shown, cropped: cropped !== null};
}

/** `sets_of` of model/page/sets.py, for `ranked`, [label, probability] from the most probable, and
 * page.sets. */
const setsOf = (ranked, sets) => sets && Object.fromEntries(
    Object.entries(sets.quantiles).map(([level, quantiles]) => [level, ranked
        .filter(([label, p], rank) => rank === 0 || 1 - p <= quantiles[label])
        .map(([label]) => label)]));

/** `suspicious` of model/warning.py. */
function suspicion(probabilities, {labels, threshold}) {
    if (!labels?.length || threshold === null) return null;
    const score = labels.reduce((sum, label) => sum + (probabilities[label] ?? 0), 0);
    return {score, threshold, flag: score >= threshold};
}

async function dataUrl({data, width, height}) {
    const canvas = new OffscreenCanvas(width, height);
    canvas.getContext("2d").putImageData(new ImageData(data, width), 0, 0);
    const blob = await canvas.convertToBlob({type: "image/jpeg", quality: 0.9});
    return new FileReaderSync().readAsDataURL(blob);
}

const rounded = (value, digits) => Number(value.toFixed(digits));

/** Classify a file. Returns what `for_page` of model/page/answer.py returns, and "accelerator". */
async function classify({file}) {
    const {whole, shown, cropped} = await opened(file);
    const {height, width} = tab.input, {labels, suspicious, sets} = tab.page;
    const pixels = toArray(whole, height, width);
    const out = await ask(pixels);
    const notices = qualityNotices(whole, tab.quality);
    if (cropped) notices.push("lens");
    const familiarity = out.familiarity?.[0];
    if (familiarity !== undefined && tab.familiar !== null && familiarity < tab.familiar)
        notices.push("unfamiliar");
    const named = list => Object.fromEntries(labels.map((label, i) => [label, list[i]]));
    const probabilities = named(out.probabilities);
    const ranked = Object.entries(probabilities).sort(([, one], [, other]) => other - one);
    const quarter = turned(whole, height, width);
    const shape = out.evidence_shape.slice(1);
    const kept = agreed(out.evidence, (await ask(halfTurn(pixels))).evidence, shape[2]);
    const {maps, ...size} = strengths(kept, shape, quarter, blank);
    return {
        probabilities, notices, accelerator: out.accelerator,
        suspicious: suspicion(probabilities, suspicious),
        confident: !notices.some(code => tab.quality.refused.includes(code)),
        sets: setsOf(ranked, sets),
        milliseconds: rounded(out.milliseconds, 1),
        evidence: {
            ...size, extent: extent(shape, tab.input, quarter, tab.stride),
            maps: named(maps.map(map => Array.from(map, value => rounded(value, 3)))),
        },
        picture: await dataUrl(shown),
    };
}

const TASKS = {start, classify};
onmessage = async ({data: {number, task, ...rest}}) => {
    try {
        postMessage({number, result: await TASKS[task](rest)});
    } catch (error) {
        const reason = String(error?.message ?? error);
        postMessage({number, error: error?.key ? error : {key: "", reason}});
    }
};
