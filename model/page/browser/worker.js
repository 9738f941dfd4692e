// Runs off the page's thread: decodes a picture, asks the model, draws the maps. A classic worker,
// made of picture.js and this file, since a module worker cannot load LiteRT.js. It asks the
// network for nothing: all it needs comes with the first message.

let ask, tab, seen;

/** Load the model: `files` holds Blobs of LiteRT.js, its wasm and the model. */
async function start({files, settings}) {
    tab = settings;
    // Only the processor is used; LiteRT.js would look for a graphics card.
    Object.defineProperty(navigator, "gpu", {value: undefined});
    const script = URL.createObjectURL(files.runtime), wasm = URL.createObjectURL(files.wasm);
    // Its log, which is no more than that, would stand as errors on the console.
    const printErr = line => console.debug(line);
    self.Module = {locateFile: () => wasm, mainScriptUrlOrBlob: script, printErr};
    importScripts(URL.createObjectURL(files.litert));
    await loadLiteRt(script + "#.js"); // a path that ends in .js is taken as it is
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
    await ask(new Uint8Array(height * width * 3).fill(128)); // the first run is slower
}

/** A file as upright RGBA on white, and at the size in which it is shown. */
async function opened(file) {
    let bitmap;
    try {
        bitmap = await createImageBitmap(file, {
            imageOrientation: "from-image", colorSpaceConversion: "none", premultiplyAlpha: "none",
        });
    } catch {
        throw {key: "error_unreadable"};
    }
    if (bitmap.width * bitmap.height > tab.most_pixels)
        throw {key: "error_too_large", values: {
            width: bitmap.width, height: bitmap.height, megapixels: Math.floor(tab.most_pixels / 1e6)}};
    const drawn = (width, height) => {
        const context = new OffscreenCanvas(width, height).getContext("2d", {willReadFrequently: true});
        context.fillStyle = "white";
        context.fillRect(0, 0, width, height);
        context.imageSmoothingQuality = "high";
        context.drawImage(bitmap, 0, 0, width, height);
        return context.getImageData(0, 0, width, height);
    };
    const whole = drawn(bitmap.width, bitmap.height);
    const less = Math.min(1, tab.look.longest / Math.max(bitmap.width, bitmap.height));
    const shown = drawn(...[bitmap.width, bitmap.height].map(n => Math.max(1, Math.round(n * less))));
    bitmap.close();
    return {whole, shown};
}

/** The answer to a picture: the server's Prediction, and the picture as it is shown. */
async function classify({file}) {
    const {whole, shown} = await opened(file);
    const {height, width} = tab.input;
    const out = await ask(toArray(whole, height, width));
    const notices = qualityNotices(whole, tab.quality);
    const familiarity = out.familiarity?.[0];
    if (familiarity !== undefined && tab.familiar !== null && familiarity < tab.familiar)
        notices.push("unfamiliar");
    seen = {shown, ...strengths(out.evidence, out.evidence_shape.slice(1), turned(whole, height, width))};
    return {
        probabilities: out.probabilities, notices, familiarity, milliseconds: out.milliseconds, shown,
        confident: !notices.some(code => tab.quality.refused.includes(code)),
    };
}

/** The map of the diagnosis at `place` over the last picture; `some` where it shows anything. */
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
        postMessage({number, error: error.key ? error : {key: "", reason: String(error?.message ?? error)}});
    }
};
