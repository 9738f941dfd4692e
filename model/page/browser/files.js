// Downloads the model and its runtime once, verifies their checksums and keeps them in the
// browser's Cache. Later visits need no network. Files of older versions are deleted.

const STORE = "lesion-private";

// The smallest WebAssembly modules that use an instruction of SIMD and of relaxed SIMD.
const SIMD = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65,
    0, 253, 15, 253, 98, 11];
const RELAXED = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0,
    65, 1, 253, 15, 65, 2, 253, 15, 253, 128, 2, 11];
const valid = code => {
    try {
        return WebAssembly.validate(new Uint8Array(code));
    } catch {
        return false;
    }
};

/** Whether this browser can run the model: it needs WebAssembly SIMD, and a canvas in workers. */
export const able = () => valid(SIMD) && "Worker" in self && "OffscreenCanvas" in self
    && "createImageBitmap" in self;

/** Of the page's `files`, those that this browser needs for a model, {name: entry}. `model` is the
 * name of its file. Several threads need an isolated page. */
export function wanted(files, model) {
    const kind = self.crossOriginIsolated && valid(RELAXED) ? "threaded" : "compat";
    const {litert, picture, worker} = files;
    const runtime = files[`${kind}.js`], wasm = files[`${kind}.wasm`];
    return {litert, model: files[model], picture, worker, runtime, wasm};
}

const key = entry => `${location.origin}/${STORE}/${entry.sha256}`;

// null outside https and localhost, or if the browser refuses; then each visit downloads anew.
async function openStore() {
    try {
        return await self.caches?.open(STORE) ?? null;
    } catch {
        return null;
    }
}

/** How many bytes of `entries` have yet to be downloaded. */
export async function missing(entries) {
    const store = await openStore();
    let bytes = 0;
    for (const entry of Object.values(entries))
        if (!await store?.match(key(entry))) bytes += entry.transfer;
    return bytes;
}

// crypto.subtle is missing outside https and localhost, where only the size can be checked.
async function intact(blob, entry) {
    if (!self.crypto?.subtle) return blob.size === entry.bytes;
    const digest = await crypto.subtle.digest("SHA-256", await blob.arrayBuffer());
    const hex = Array.from(new Uint8Array(digest), byte => byte.toString(16).padStart(2, "0"));
    return hex.join("") === entry.sha256;
}

const damaged = new Set(); // addresses for which the browser's HTTP cache may hold wrong bytes

async function download(url, entry, progress) {
    const parts = [];
    try {
        const response = await fetch(url, {cache: damaged.has(url) ? "reload" : "default"});
        if (response.status === 404) throw {key: "private_changed"};
        if (!response.ok) throw {key: "private_offline"};
        const reader = response.body.getReader();
        for (let part = await reader.read(); !part.done; part = await reader.read()) {
            parts.push(part.value);
            progress(part.value.length / entry.bytes * entry.transfer); // `part` is unpacked
        }
    } catch (error) {
        throw error.key ? error : {key: "private_offline"};
    }
    const blob = new Blob(parts, {type: entry.type});
    if (!await intact(blob, entry)) {
        damaged.add(url);
        throw {key: "private_altered"};
    }
    return blob;
}

/** {name: Blob} of `entries`, from the Cache or else from below `base`. Calls `progress(bytes)` for
 * each part that arrives over the network. What is none of the page's `files` leaves the Cache.
 * Throws {key}, the key of a text. */
export async function obtain(entries, files, base, progress) {
    const store = await openStore(), blobs = {};
    for (const [name, entry] of Object.entries(entries)) {
        const kept = await (await store?.match(key(entry)))?.blob();
        if (kept && await intact(kept, entry)) {
            blobs[name] = new Blob([kept], {type: entry.type});
            continue;
        }
        blobs[name] = await download(base + entry.name, entry, progress);
        // A full disk is no reason to fail: the next visit downloads the file again.
        await store?.put(key(entry), new Response(blobs[name])).catch(() => {});
    }
    const keys = new Set(Object.values(files).map(key));
    for (const request of await store?.keys() ?? [])
        if (!keys.has(request.url)) await store.delete(request);
    return blobs;
}
